"""The command line: the only file that prints, exits or draws progress bars."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim import __version__
from accelsim.errors import AccelsimError, InputError, Problem

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from accelsim.pipeline import Progress

app = typer.Typer(
    name="accelsim",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Simulate accelerators for speech networks: what comes out, how well it recognises, how many cycles, "
    "how much power and area.",
    epilog="Exit codes: 0 done; 1 the run failed or a judged figure left its tolerance; 2 bad input; "
    "130 interrupted; 143 terminated.",
)
data_app = typer.Typer(no_args_is_help=True, help="Speech data: list it, or download it once.")
app.add_typer(data_app, name="data")

Architecture = Annotated[str, typer.Argument(help="Name (rsnn28nm) or path (arch/rsnn28nm.yaml).", metavar="ARCH")]
WorkloadOption = Annotated[
    str | None, typer.Option("--workload", "-w", help="Workload name or folder instead of the architecture's own.")
]
SetOption = Annotated[
    list[str],
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override one key; workload keys start with 'workload.'."),
]
SeedOption = Annotated[int, typer.Option(help="Seed of every random draw.", min=0)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output instead of tables.")]
OutOption = Annotated[Path | None, typer.Option("--out", "-o", help="Write result.json into this folder.")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"accelsim {__version__}")
        raise typer.Exit


@app.command(
    epilog="Examples:\n\n"
    "  accelsim run arch/rsnn28nm.yaml\n\n"
    "  accelsim run rsnn28nm -s 'clocks.main.frequency=500 MHz' -s pacing.mode=back_to_back\n\n"
    "  accelsim run rsnn28nm -w rsnn_paper_activity -s workload.time_steps=1 --json\n\n"
    "  accelsim run rsnn28nm -s workload.inputs.dataset=mini_librispeech --out runs/ls"
)
def run(
    architecture: Architecture,
    workload: WorkloadOption = None,
    set_: SetOption = [],  # noqa: B006
    seed: SeedOption = 0,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a workload on an architecture and say what came out, how well, how fast, at what power and area."""
    overrides = _overrides(set_)
    if out is not None:
        from accelsim.result import check_writable

        check_writable(out)
    with _progress() as tell:
        from accelsim.pipeline import run as simulate

        result = simulate(
            architecture,
            workload,
            overrides=overrides,
            seed=seed,
            command=shlex.join(["accelsim", *sys.argv[1:]]),
            progress=tell,
        )
    if out is not None:
        typer.echo(f"wrote {result.write(out)}", err=True)
    if as_json:
        typer.echo(result.to_json(), nl=False)
        return
    from accelsim.report.console import summary

    _print(summary(result, _paper_of(result.arch.name)))


@app.command(epilog="Example:\n\n  accelsim compare rsnn28nm")
def compare(
    paper: Annotated[str, typer.Argument(help="Name of a paper in arch/papers, or a path.", metavar="PAPER")],
    seed: SeedOption = 0,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run what a paper's figures need and set ours beside them; exit 1 if a judged one leaves its tolerance."""
    if out is not None:
        from accelsim.result import check_writable

        check_writable(out)
    with _progress() as tell:
        from accelsim.explore import compare as run_comparison

        comparison = run_comparison(
            paper, seed=seed, progress=tell, on_run=lambda name, done, total: tell(f"run {name}", done, total)
        )
    if out is not None:
        for name, result in comparison.results.items():
            typer.echo(f"wrote {result.write(out / name)}", err=True)
    rows = [(row.figure, row.ours, row.ratio, row.holds) for row in comparison.rows]
    if as_json:
        table = [
            {**figure.model_dump(), "ours": ours, "ratio": ratio, "holds": holds} for figure, ours, ratio, holds in rows
        ]
        typer.echo(
            json.dumps({"paper": comparison.paper.name, "holds": comparison.holds(), "figures": table}, indent=2)
        )
    else:
        from accelsim.report.comparison import comparison_table

        title = f"{comparison.paper.title} ({comparison.paper.reference})"
        _print(comparison_table(title, rows))
        for figure, *_ in rows:
            if figure.note:
                _print(f"[dim]{figure.name}: {figure.note}[/]")
    if not comparison.holds():
        raise typer.Exit(1)


@app.command(epilog="Example:\n\n  accelsim validate arch/*.yaml arch/cost/*.yaml workloads/*/workload.yaml")
def validate(
    files: Annotated[list[Path], typer.Argument(help="Architectures, cost tables, workloads or papers.")],
) -> None:
    """Check files of any accelsim schema and report all their problems at once."""
    from accelsim.explore.validate import validate_file

    problems: list[Problem] = []
    for file in files:
        try:
            typer.echo(f"{file}: {validate_file(file)}")
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


@app.command(epilog="Example:\n\n  accelsim schema arch > arch.schema.json")
def schema(
    name: Annotated[str, typer.Argument(help="arch, cost, device, workload, paper or result.", metavar="NAME")],
) -> None:
    """Print the JSON schema of a kind of file, for editors and other tools."""
    from accelsim.explore.validate import schema_of

    typer.echo(json.dumps(schema_of(name), indent=2))


@app.command(epilog="Example:\n\n  accelsim schedule rsnn28nm")
def schedule(architecture: Architecture, workload: WorkloadOption = None, set_: SetOption = []) -> None:  # noqa: B006
    """Print how a workload is cut into jobs for an architecture, and where its matrices lie on crossbar tiles."""
    from accelsim.architecture import load_architecture
    from accelsim.pipeline import split_overrides
    from accelsim.report.console import schedule_table, tile_table
    from accelsim.schedule import build_schedule
    from accelsim.workload import load_workload

    for_chip, for_network = split_overrides(_overrides(set_))
    chip = load_architecture(architecture, for_chip)
    cut = build_schedule(load_workload(workload or chip.spec.workload, for_network), chip)
    if cut.tile_map is not None:
        _print(tile_table(cut.tile_map))
    _print(schedule_table(cut))


@app.command("list")
def list_() -> None:
    """List the architectures, workloads, cost tables, devices and papers that come with accelsim."""
    from accelsim.library import names, workload_names

    shelves = {
        "architectures": names("arch"),
        "workloads": workload_names(),
        "cost tables": names("arch/cost"),
        "devices": names("arch/devices"),
        "papers": names("arch/papers"),
    }
    for shelf, entries in shelves.items():
        typer.echo(f"{shelf}: {', '.join(entries)}")


@data_app.command("list")
def data_list() -> None:
    """List the data sets that accelsim knows, and where each would come from."""
    from accelsim.data import DOWNLOADS

    for name, source in DOWNLOADS.items():
        typer.echo(f"{name}: {source.url or source.layout} ({source.licence})")


@data_app.command("get", epilog="Example:\n\n  accelsim data get mini_librispeech")
def data_get(name: Annotated[str, typer.Argument(help="Name of a data set.", metavar="NAME")]) -> None:
    """Fetch a data set once; the folder named by ACCELSIM_DATA serves instead where it holds the set."""
    from accelsim.data import get

    folder = get(name, progress=lambda line: typer.echo(line, err=True), bar=_DownloadBar())
    typer.echo(f"{name}: {folder}")


def main() -> None:
    """Run the command line; every error a user can meet ends in one message and an exit code."""
    # A terminated run unwinds like an interrupted one, so that its temporary file goes too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        app()
    except InputError as error:
        typer.echo(
            f"error: {error}" if len(error.problems) == 1 else f"{len(error.problems)} errors:\n{error}", err=True
        )
        sys.exit(error.exit_code)
    except AccelsimError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as error:
        # Typer turns an interrupt within a command into the exit code 130, and says nothing.
        if isinstance(error, SystemExit) and error.code != 130:
            raise
        typer.echo("interrupted; nothing half-written is left behind", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)


def _overrides(pairs: list[str]) -> dict[str, str]:
    overrides, problems = {}, []
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip() or not value.strip():
            problems.append(Problem(f"'--set {pair}' is not KEY=VALUE", hint="for example --set components.pe.sets=4"))
        overrides[key.strip()] = value.strip()
    if problems:
        raise InputError(problems)
    return overrides


def _paper_of(architecture: str) -> Any:
    from accelsim.explore import load_paper
    from accelsim.library import names

    return load_paper(architecture) if architecture in names("arch/papers") else None


def _print(what: RenderableType) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160, soft_wrap=False).print(what)


class _DownloadBar:
    """Draws a download on standard error, in the way in which pooch reports it."""

    def __init__(self) -> None:
        self.total = 0
        self.drawn: tuple[RichProgress, TaskID] | None = None

    def update(self, amount: int) -> None:
        if self.drawn is None:
            from rich.console import Console
            from rich.progress import Progress

            progress = Progress(console=Console(stderr=True), transient=True)
            progress.start()
            self.drawn = progress, progress.add_task("download", total=self.total)
        progress, task = self.drawn
        progress.update(task, advance=amount)

    def reset(self) -> None:
        if self.drawn is not None:
            self.drawn[0].reset(self.drawn[1])

    def close(self) -> None:
        if self.drawn is not None:
            self.drawn[0].stop()


@contextmanager
def _progress() -> Iterator[Progress]:
    """Draw a bar on standard error for whatever takes longer than a second; nothing when it is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:

        def silent(stage: str, done: int | None = None, total: int | None = None) -> None:
            pass

        yield silent
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task("", total=None)
    begun = time.monotonic()

    def tell(stage: str, done: int | None = None, total: int | None = None) -> None:
        if not bar.live.is_started and time.monotonic() - begun > 1.0:
            bar.start()
        bar.update(task, description=stage, completed=done or 0, total=total)

    try:
        yield tell
    finally:
        bar.stop()


if __name__ == "__main__":
    main()
