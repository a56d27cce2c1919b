"""The command line: the only file that prints, exits or draws progress bars."""

from __future__ import annotations

import gc
import io
import json
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim import __version__
from accelsim.errors import AccelsimError, InputError, Problem
from accelsim.text import masked_arguments, printable, printable_lines

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from accelsim.explore.store import Store
    from accelsim.pipeline import Progress
    from accelsim.record import Run
    from accelsim.simulate import Window

app = typer.Typer(
    name="accelsim",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Simulate accelerators for speech networks: what comes out, how well it recognises, how many cycles, "
    "how much power and area.",
    epilog="Exit codes: 0 done; 1 the run failed, nothing keeps the constraints, or a verdict is not that of compare "
    "--against; 2 bad input; "
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


def _load_plugins(files: list[Path]) -> list[Path]:
    """Run the plug-ins of a command line before anything that it names is read."""
    if files:
        from accelsim.plugins import load_plugin

        for file in files:
            load_plugin(file)
    return files


def _limits(context: typer.Context, pairs: list[str]) -> list[str]:
    """Make the limits of a command line hold until its command is done."""
    if pairs:
        from accelsim import limits

        wrong = [pair for pair in pairs if "=" not in pair]
        if wrong:
            raise InputError(
                Problem(f"'--limit {pair}' is not NAME=VALUE", hint="for example --limit points=1e6") for pair in wrong
            )
        texts = {name.strip(): value for name, _, value in (pair.partition("=") for pair in pairs)}
        context.with_resource(limits.within(**limits.read_limits(texts)))
    return pairs


def _memory(context: typer.Context, size: str | None) -> str | None:
    if size is not None:
        from accelsim import limits

        context.with_resource(limits.within(memory=limits.read_memory(size)))
    return size


LimitOption = Annotated[
    list[str],
    typer.Option(
        "--limit",
        metavar="NAME=VALUE",
        callback=_limits,
        is_eager=True,
        help="Raise or lower how large an input may be: points=1e6, yaml_bytes=50MB ..; repeat.",
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        callback=_memory,
        is_eager=True,
        help="Memory that a process may take: 4GB. By default what is free; a run that needs more is refused.",
    ),
]
PluginOption = Annotated[
    list[Path],
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        callback=_load_plugins,
        help="Run a Python file that registers ops, components, devices ..; repeat.",
    ),
]
SeedOption = Annotated[int, typer.Option(help="Seed of every random draw.", min=0)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output instead of tables.")]


class PowerRule(StrEnum):
    AS_IS = "as_is"
    GATED = "gated"
    UNGATED = "ungated"


PowerOption = Annotated[
    PowerRule,
    typer.Option(
        "--power",
        help="How parts wait: as_is, as the chip says; gated, clock stopped, none switched off; ungated, clocked.",
    ),
]


class TraceFormat(StrEnum):
    PERFETTO = "perfetto"
    VCD = "vcd"


TraceOption = Annotated[
    list[TraceFormat],
    typer.Option(
        "--trace",
        help="Write what every component did when into the --out folder: perfetto as trace.json.gz for "
        "ui.perfetto.dev, vcd as trace.vcd for GTKWave or Surfer. May be given twice.",
    ),
]
WindowOption = Annotated[
    str | None,
    typer.Option(
        metavar="BEGIN:END",
        help="Trace only from a time up to another (0ms:5ms, 2s:), or from the arrival of a frame until the last one "
        "before another is finished (10:12, the frames 10 and 11).",
    ),
]
PlacementOption = Annotated[
    Path | None,
    typer.Option(
        "--placement",
        metavar="FILE.yaml",
        help="Read which engine runs which op from a file that 'accelsim schedule CHIP --placement FILE.yaml' wrote.",
    ),
]
OutOption = Annotated[Path | None, typer.Option("--out", "-o", help="Write result.json into this folder.")]

AxisOption = Annotated[
    list[str],
    typer.Option("--set", "-s", metavar="KEY=VALUES", help="Values of a key: 64,128 or 1:8 or '0.6 V:0.9 V:0.1 V'."),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with what is in the folder.")]
ConstraintOption = Annotated[
    list[str],
    typer.Option(help="'area<=2 mm2', 'accuracy>=0.9' ..; repeat. Exit 1 if no configuration keeps them all."),
]
ObjectivesOption = Annotated[
    str | None, typer.Option(help="Metrics of the Pareto front: energy,error,area,latency,power .., by comma.")
]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        _say(f"accelsim {__version__}")
        raise typer.Exit


@app.command(
    epilog="Examples:\n\n"
    "  accelsim run arch/rsnn28nm.yaml\n\n"
    "  accelsim run rsnn28nm -s 'clocks.main.frequency=500 MHz' -s pacing.mode=back_to_back\n\n"
    "  accelsim run rsnn28nm -w rsnn_paper_activity -s workload.time_steps=1 --json\n\n"
    "  accelsim run rsnn28nm -s workload.inputs.dataset=mini_librispeech --out runs/ls\n\n"
    "  accelsim run rsnn28nm --out runs/a --trace perfetto --trace vcd --trace-window 0ms:50ms"
)
def run(
    architecture: Architecture,
    workload: WorkloadOption = None,
    set_: SetOption = [],  # noqa: B006
    seed: SeedOption = 0,
    power: PowerOption = PowerRule.AS_IS,
    out: OutOption = None,
    as_json: JsonOption = False,
    trace: TraceOption = [],  # noqa: B006
    trace_window: WindowOption = None,
    placement: PlacementOption = None,
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    memory: MemoryOption = None,
) -> None:
    """Run a workload on an architecture and say what came out, how well, how fast, at what power and area."""
    overrides = _overrides(set_) | _power(power)
    if placement is not None:
        from accelsim.placement import load_placement

        overrides["placement"] = load_placement(placement)
    if trace and out is None:
        raise InputError.of("--trace needs a folder to write to", hint="add --out FOLDER")
    if trace_window is not None and not trace:
        raise InputError.of("--trace-window without a trace", hint="add --trace perfetto or --trace vcd")
    from accelsim.simulate import Window

    window = Window() if trace_window is None else Window.parse(trace_window)
    if out is not None:
        from accelsim.result import check_writable

        check_writable(out)
    with _progress() as tell:
        from accelsim.pipeline import run_in_full
        from accelsim.record import record

        done = run_in_full(architecture, workload, overrides=overrides, seed=seed, progress=tell)
        result = record(done, _command())
    if out is not None:
        _say(f"wrote {result.write(out)}", err=True)
        if trace:
            _write_traces(done, window, trace, out)
    if as_json:
        from accelsim.report.headline import warnings

        for text in warnings(result):
            _say(f"warning: {text}", err=True)
        _say_json(result.to_json())
        return
    from accelsim.explore import paper_beside
    from accelsim.report.console import summary

    _print(summary(result, paper_beside(result)))


@app.command(
    epilog="Examples:\n\n"
    "  accelsim compare --out reports/validation.md\n\n"
    "  accelsim compare rsnn28nm --out runs/paper\n\n"
    "  accelsim compare --against reports/validation.md\n\n"
    "  accelsim sweep arch/sweeps/conformer_adc.yaml -o studies/conformer_adc; accelsim compare --studies studies\n\n"
    "  accelsim compare arch/memristor_tile.yaml mychip.yaml -w tile_frames\n\n"
    "  accelsim compare edge_npu memristor_conformer_stream rsnn28nm -s workload.inputs.dataset=mini_librispeech "
    "-s workload.inputs.split=test -o chips.md"
)
def compare(
    what: Annotated[
        list[str],
        typer.Argument(help="Nothing: all papers. One paper, or two or more architectures.", metavar="[WHAT]"),
    ] = [],  # noqa: B006
    workload: WorkloadOption = None,
    set_: SetOption = [],  # noqa: B006
    seed: SeedOption = 0,
    power: PowerOption = PowerRule.AS_IS,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write a Markdown page (*.md), or a result.json for every run.")
    ] = None,
    studies: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Take a paper's studies from DIR/NAME, where sweeps put them, or from DIR/NAME.csv."
        ),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write a row a chip, as reports/studies has them.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="PAGE.md", help="Exit 1 if a verdict is not that of a page made before.")
    ] = None,
    as_json: JsonOption = False,
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    memory: MemoryOption = None,
) -> None:
    """Set our figures beside those of papers, or two or more chips side by side, with ratios over the first.

    Exit 1 if a verdict is another one than on the page that --against names.
    """
    overrides = _overrides(set_) | _power(power)
    if len(what) < 2 and (workload or overrides):
        raise InputError.of(
            "--workload, --power and --set are for two or more architectures; a paper names its own runs"
        )
    if len(what) > 1 and studies is not None:
        raise InputError.of("--studies is for papers; architectures are run")
    if len(what) > 1 and against is not None:
        raise InputError.of("--against is for papers; architectures have no verdicts")
    if len(what) < 2 and table is not None:
        raise InputError.of("--table is for two or more architectures; figures of papers go to --out PAGE.md")
    if against is not None and not against.is_file():
        raise InputError.of(f"no such file: {against}", hint="--against PAGE.md, which --out PAGE.md made")
    before = against.read_text(encoding="utf-8") if against is not None else None  # --out may be the same file
    if studies is not None and not studies.is_dir():
        raise InputError.of(f"no such folder: {studies}", hint="--studies DIR, with the folders of finished sweeps")
    from accelsim.result import check_writable

    if out is not None:
        check_writable(out.parent if out.suffix == ".md" else out)
    if table is not None:
        check_writable(table.parent)
    if len(what) > 1:
        _compare_chips(what, workload, overrides, seed, out, as_json, table)
        return
    with _progress() as tell:
        from accelsim.explore import compare as run_comparison
        from accelsim.explore import compare_all

        def on_run(name: str, done: int, total: int) -> None:
            tell(f"run {name}", done, total)

        if what:
            comparisons = [run_comparison(what[0], studies=studies, seed=seed, progress=tell, on_run=on_run)]
        else:
            comparisons = list(compare_all(studies=studies, seed=seed, progress=tell, on_run=on_run))
    from accelsim.report.comparison import changed, comparison_table, markdown, tally

    if out is not None and out.suffix == ".md":
        from accelsim.result import written_whole

        with written_whole(out) as page:
            page.write(markdown(comparisons).encode())
        _say(f"wrote {out}", err=True)
    elif out is not None:
        for comparison in comparisons:
            folder = out if what else out / comparison.paper.name
            for name, result in comparison.results.items():
                _say(f"wrote {result.write(folder / name)}", err=True)
    if as_json:
        pages = [
            {
                "paper": comparison.paper.name,
                "holds": comparison.holds(),
                "figures": [
                    {**row.figure.model_dump(), "ours": row.ours, "ratio": row.ratio, "holds": row.holds}
                    | {"runs": row.runs, "sd": row.sd, "verdict": row.verdict, "needed": row.needed}
                    | {"interval": None if row.spread is None else [row.spread.low, row.spread.high]}
                    for row in comparison.rows
                ],
            }
            for comparison in comparisons
        ]
        _say_json(json.dumps(pages[0] if what else pages, indent=2))
    else:
        for comparison in comparisons:
            _print(comparison_table(comparison))
            for row in comparison.rows:
                if row.figure.note:
                    _print(f"{row.figure.name}: {row.figure.note}", "dim")
            for reason in dict.fromkeys(comparison.missing.values()):
                _print(f"not run: {reason}", "yellow")
        _print(tally(comparisons))
    if before is not None and (other := changed(comparisons, before)):
        _say("\n".join([f"verdicts that are not those of {against}:", *other]), err=True)
        raise typer.Exit(1)


def _compare_chips(
    chips: list[str],
    workload: str | None,
    overrides: dict[str, str],
    seed: int,
    out: Path | None,
    as_json: bool,
    table: Path | None,
) -> None:
    with _progress() as tell:
        from accelsim.explore import compare_chips

        results, rows = compare_chips(
            chips, workload, overrides=overrides, seed=seed, progress=tell,
            on_run=lambda name, done, total: tell(f"run {name}", done, total),
        )  # fmt: skip
    from accelsim.report.comparison import chips_markdown, chips_table, place, power_rules
    from accelsim.report.headline import warnings

    if out is not None and out.suffix == ".md":
        from accelsim.result import written_whole

        with written_whole(out) as page:
            page.write(chips_markdown(results, rows, _command()).encode())
        _say(f"wrote {out}", err=True)
    elif out is not None:
        for index, result in enumerate(results):
            _say(f"wrote {result.write(out / place(index))}", err=True)
    if table is not None:
        from accelsim.explore.comparison import settings_of_each
        from accelsim.explore.studies import rows_of_results, write_table

        each = zip(chips, settings_of_each(chips, overrides), results, strict=True)
        write_table(table, rows_of_results((chip, workload, its, one) for chip, its, one in each))
        _say(f"wrote {table}", err=True)
    if as_json:
        figures: list[dict[str, Any]] = [
            {"name": r.metric.name, "unit": r.metric.unit, "values": r.values, "ratios": r.ratios} for r in rows
        ]
        if len(chips) == 2:
            for figure, row in zip(figures, rows, strict=True):
                figure |= {"first": row.values[0], "second": row.values[1], "ratio": row.ratios[0]}
        names = [result.arch.name for result in results]
        _say_json(json.dumps({"chips": names, "figures": figures}, indent=2))
        return
    _print(chips_table(results, rows))
    _print(power_rules(results))
    for result in results:
        for text in warnings(result):
            _print(f"warning {result.arch.name}: {text}", "red")


@app.command(
    epilog="Examples:\n\n"
    "  accelsim sweep memristor_tile -s adc.precision_bits=1:8 -s 'adc.shared_by=4,8,16' --out sweeps/adc\n\n"
    "  accelsim sweep mychip.yaml -s 'crossbar.rows=64,128; dac.units=192,384' --seeds 5 --jobs 2 -o sweeps/rows\n\n"
    "  accelsim sweep mysweep.yaml --out sweeps/mine --resume\n\n"
    "Values are lists (64,128,256) or ranges (1:8, or with a step 0.6 V:0.9 V:0.1 V); keys in one --set that are "
    "separated by ; step together, and one value alone is set for all points."
)
def sweep(
    architecture: Annotated[str, typer.Argument(help="Architecture, or a file of schema accelsim/sweep@1.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the store, results.sqlite.")],
    workload: WorkloadOption = None,
    set_: AxisOption = [],  # noqa: B006
    method: Annotated[str | None, typer.Option(help="grid (every combination), random or lhs.")] = None,
    points: Annotated[int | None, typer.Option(help="Number of configurations to draw (random, lhs).")] = None,
    seed: Annotated[int | None, typer.Option(help="First seed; it also decides the draw.", min=0)] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs per configuration, each with its own seed.", min=1)] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes on this machine.", min=1)] = 1,
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler (tcp://host:port) to run on instead.")] = None,
    resume: ResumeOption = False,
    objectives: ObjectivesOption = None,
    constraint: ConstraintOption = [],  # noqa: B006
    export: Annotated[list[str], typer.Option(help="csv or parquet: tables to write beside the store.")] = [],  # noqa: B006
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write a row a point, as reports/studies has them for 'compare'."),
    ] = None,
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    memory: MemoryOption = None,
) -> None:
    """Run every combination of some keys' values, durable point by point, and say which are best."""
    from accelsim.explore.sweep import Sweep, is_sweep_file, load_sweep, run_sweep
    from accelsim.report.sweep import sweep_table

    _check_exports(export)
    if table is not None:
        from accelsim.result import check_writable

        check_writable(table.parent)
    what = load_sweep(architecture) if is_sweep_file(architecture) else Sweep(architecture, None, ())
    what = what.changed(
        axes=set_, workload=workload, method=method, points=points, seed=seed, seeds=seeds,
        objectives=_names(objectives), constraints=tuple(constraint) or None,
        command=_command(),
    )  # fmt: skip
    with _progress() as tell:
        store = run_sweep(what, out, jobs=jobs, scheduler=scheduler, resume=resume, progress=tell)
    with store:
        _print(sweep_table(store))
        for kind in export:
            for path in store.export_parquet() if kind == "parquet" else store.export_csv():
                _say(f"wrote {path}", err=True)
        if table is not None:
            from accelsim.explore.comparison import study_paths
            from accelsim.explore.studies import rows_of, write_table

            write_table(table, rows_of(store, what, study_paths(table.stem)))
            _say(f"wrote {table}", err=True)
        _end_of_points(store, out)


@app.command(
    epilog="Examples:\n\n"
    "  accelsim search memristor_tile -s adc.precision_bits=1:8 -s adc.range_bits=1:8 --objectives energy,error "
    "--constraint 'area<=2 mm2' --trials 200 --out searches/adc"
)
def search(
    architecture: Architecture,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the store, results.sqlite.")],
    trials: Annotated[int, typer.Option(help="Points to try in all.", min=1)],
    workload: WorkloadOption = None,
    set_: AxisOption = [],  # noqa: B006
    objectives: ObjectivesOption = None,
    constraint: ConstraintOption = [],  # noqa: B006
    sampler: Annotated[str | None, typer.Option(help="tpe or nsga2; by default nsga2 for several objectives.")] = None,
    storage: Annotated[str | None, typer.Option(help="Optuna's storage URL; a file in the folder by default.")] = None,
    seed: SeedOption = 0,
    resume: ResumeOption = False,
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    memory: MemoryOption = None,
) -> None:
    """Let Optuna look for the best values of some keys, under constraints."""
    from accelsim.explore.search import run_search
    from accelsim.explore.sweep import Sweep
    from accelsim.report.sweep import sweep_table

    command = _command()
    what = Sweep(architecture, None, ()).changed(
        axes=set_, workload=workload, seed=seed, objectives=_names(objectives), constraints=tuple(constraint),
        command=command,
    )  # fmt: skip
    with _progress() as tell:
        store = run_search(what, out, trials=trials, sampler=sampler, storage=storage, resume=resume, progress=tell)
    with store:
        _print(sweep_table(store))
        _end_of_points(store, out)


@app.command(
    epilog="Examples:\n\n  accelsim report runs/a\n\n  accelsim report runs/sweep --format html,pdf,svg --out figures"
)
def report(
    folder: Annotated[Path, typer.Argument(help="What --out of run, sweep or search named.", metavar="DIR")],
    formats: Annotated[str, typer.Option("--format", help="Of html, pdf, svg and png, with commas.")] = "html",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write into this folder instead of DIR.")] = None,
    limit: LimitOption = [],  # noqa: B006
    memory: MemoryOption = None,
) -> None:
    """Make one HTML page of a run or a sweep that works offline, or figures for papers."""
    from accelsim.explore import paper_beside
    from accelsim.report.folder import write_report

    for path in write_report(folder, list(_names(formats) or ("html",)), out or folder, paper_beside):
        _say(f"wrote {path}", err=True)


@app.command(
    "import",
    epilog="Examples:\n\n"
    "  accelsim import okay_nabu.tflite --out mynet\n\n"
    "  accelsim import okay_nabu.tflite --out mynet --rounding double_up --frame-period '10 ms'\n\n"
    "  accelsim import kws.onnx --out kws --dataset mini_librispeech --split test\n\n"
    "  accelsim import braille.nir --out braille --dt '0.1 ms' --reset subtract --order new --bits 4\n\n"
    "  accelsim import vad.onnx --out vad --calibrate recordings --bits 8 --bits output=4\n\n"
    "  accelsim run edge_npu -w mynet",
)
def import_(
    model: Annotated[Path, typer.Argument(help="File of a trained network.", metavar="MODEL")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for workload.yaml, weights.safetensors, import.md.")],
    format_: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="tflite, onnx, nir ..; by default by the suffix.")
    ] = None,
    max_size: Annotated[int, typer.Option("--max-size", metavar="MB", help="Largest file that is read.", min=1)] = 100,
    name: Annotated[str | None, typer.Option(help="Name of the workload; by default that of the file.")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="SET", help="Recorded speech as inputs (accelsim data list), instead of a features file."),
    ] = None,
    split: Annotated[str | None, typer.Option(metavar="SPLIT", help="Part of the data set; test by default.")] = None,
    features: Annotated[
        str | None, typer.Option(metavar="KIND", help="Features made of the speech; log_mel by default.")
    ] = None,
    frame_period: Annotated[
        str | None, typer.Option(metavar="TIME", help="From a row of a features file to the next; 10 ms by default.")
    ] = None,
    rounding: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="tflite: how sums become codes: double_away as TensorFlow Lite Micro, the default; double_up as "
            "LiteRT's own kernels; single as LiteRT with XNNPACK, what it does unless told.",
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="onnx: integer weights for a float network, ranges from recordings or .npz features."
        ),
    ] = None,
    bits: Annotated[
        list[str],
        typer.Option("--bits", metavar="N|OP=N", help="nir, or with --calibrate: 8 to 2 bits of weights; repeat."),
    ] = [],  # noqa: B006
    calibration: Annotated[
        str | None,
        typer.Option(metavar="RULE", help="With --calibrate: percentile, the default, or max: how far ranges reach."),
    ] = None,
    dt: Annotated[
        str | None, typer.Option("--dt", metavar="TIME", help="nir: the time step, which no file says: '1 ms'.")
    ] = None,
    reset: Annotated[
        str | None, typer.Option(metavar="RULE", help="nir: subtract (the threshold) or zero (to v_reset).")
    ] = None,
    order: Annotated[
        str | None, typer.Option(metavar="RULE", help="nir: new or old: which synaptic current a membrane takes.")
    ] = None,
    option: Annotated[
        list[str], typer.Option("--option", "-O", metavar="KEY=VALUE", help="Any option of the format; repeat.")
    ] = [],  # noqa: B006
    as_json: JsonOption = False,
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    memory: MemoryOption = None,
) -> None:
    """Make a workload of a trained network: TFLite, ONNX, NIR, or the format of a plug-in.

    All nodes that cannot be taken are named at once, with the reason; then nothing is written, exit 2.
    """
    from accelsim.importers.importer import import_model, size_of, write
    from accelsim.schema import parse_yaml

    given = {
        "name": name, "dataset": dataset, "split": split, "features": features, "frame_period": frame_period,
        "rounding": rounding, "calibrate": None if calibrate is None else str(calibrate), "calibration": calibration,
        "dt": dt, "reset": reset, "order": order,
    }  # fmt: skip
    settings: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    problems = []
    for pair in bits:
        op, equals, width = pair.rpartition("=")
        if not width.strip().isdigit() or (equals and not op.strip()):
            problems.append(
                Problem(f"'--bits {pair}' is not a number of bits, or OP=BITS", hint="--bits 4, --bits fc=8")
            )
        else:
            settings.setdefault("bits", {})[op.strip() or "all"] = int(width)
    for pair in option:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip() or not value.strip():
            problems.append(Problem(f"'--option {pair}' is not KEY=VALUE", hint="for example --option dt=0.001"))
        else:
            settings[key.strip().replace("-", "_")] = parse_yaml(value, f"--option {key}").data
    if problems:
        raise InputError(problems)
    imported = import_model(model, settings, format=format_, largest=max_size * 1_000_000)
    made = write(imported, out)
    size = size_of(made.graph, made.tensors)
    exact = sum(note.how == "exact" for note in imported.notes)
    if as_json:
        figures = {
            "name": made.spec.name, "folder": str(out), "nodes": len(imported.notes), "exact": exact,
            "ops": len(made.graph.ops), "macs": size.macs, "parameters": size.parameters,
            "state_values": size.state_values,
        }  # fmt: skip
        _say_json(json.dumps(figures, indent=2))
        return
    for file in ("workload.yaml", "weights.safetensors", "import.md"):
        _say(f"wrote {out / file}", err=True)
    _say(
        f"{made.spec.name}: {len(imported.notes)} nodes, {exact} of them exact, became {len(made.graph.ops)} ops; "
        f"{size.macs:,.0f} multiply-accumulates a row of the outputs, {size.parameters:,} parameters, "
        f"{size.state_values:,} values of state"
    )
    for remark in imported.remarks:
        _say(remark)


@app.command(epilog="Example:\n\n  accelsim validate arch/*.yaml arch/cost/*.yaml workloads/*/workload.yaml")
def validate(
    files: Annotated[
        list[Path], typer.Argument(help="Architectures, cost tables, devices, workloads, papers or sweeps.")
    ],
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    memory: MemoryOption = None,
) -> None:
    """Check files of any accelsim schema and report all their problems at once."""
    from accelsim.explore.validate import validate_file

    problems: list[Problem] = []
    for file in files:
        try:
            _say(f"{file}: {validate_file(file)}")
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


@app.command(epilog="Example:\n\n  accelsim schema arch > arch.schema.json")
def schema(
    name: Annotated[str, typer.Argument(help="arch, cost, device, workload, paper, sweep or result.", metavar="NAME")],
    plugin: PluginOption = [],  # noqa: B006
) -> None:
    """Print the JSON schema of a kind of file, for editors and other tools."""
    from accelsim.explore.validate import schema_of

    _say_json(json.dumps(schema_of(name), indent=2))


@app.command(
    epilog="Examples:\n\n  accelsim schedule rsnn28nm\n\n"
    "  accelsim schedule memristor_conformer --placement mine.yaml\n\n"
    "  accelsim run memristor_conformer --placement mine.yaml"
)
def schedule(
    architecture: Architecture,
    workload: WorkloadOption = None,
    set_: SetOption = [],  # noqa: B006
    placement: Annotated[
        Path | None,
        typer.Option("--placement", metavar="FILE.yaml", help="Write which engine runs which op into this file."),
    ] = None,
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    memory: MemoryOption = None,
) -> None:
    """Print on which engine each op runs, how its matrices lie there, and the jobs of one frame."""
    from accelsim.architecture import load_architecture
    from accelsim.engines.deploy import deploy
    from accelsim.pipeline import split_overrides
    from accelsim.report.console import placement_table, rows_table, schedule_table
    from accelsim.workload import load_workload

    for_chip, for_network = split_overrides(_overrides(set_))
    chip = load_architecture(architecture, for_chip)
    network = load_workload(workload or chip.spec.workload, for_network)
    deployment = deploy(network, chip)
    if placement is not None:
        from accelsim.placement import placement_text
        from accelsim.result import written_whole

        with written_whole(placement) as file:
            file.write(placement_text(deployment.placement, chip.spec.name, network.spec.name).encode())
        _say(f"wrote {placement}", err=True)
    _print(rows_table(deployment.placement.table(network.graph)))
    for engine in deployment.engines.values():
        for table in engine.tables():
            _print(placement_table(table))
    _print(schedule_table(deployment.schedule))


@app.command("list", epilog="Example:\n\n  accelsim list --plugins")
def list_(
    plugins: Annotated[
        bool, typer.Option("--plugins", help="List ops, engines, components .., and where each comes from.")
    ] = False,
    plugin: PluginOption = [],  # noqa: B006
) -> None:
    """List the architectures, workloads, cost tables, devices and papers of accelsim and of installed plug-ins."""
    if plugins:
        from accelsim.plugins import listing
        from accelsim.report.console import plugin_table

        found = listing()
        _print(plugin_table(found))
        for error in dict.fromkeys(one.error for one in found if one.error):
            _say(f"broken: {error}")
        return
    from accelsim.library import names, workload_names

    shelves = {
        "architectures": names("arch"),
        "workloads": workload_names(),
        "cost tables": names("arch/cost"),
        "devices": names("arch/devices"),
        "wires": names("arch/wires"),
        "papers": names("arch/papers"),
    }
    for shelf, entries in shelves.items():
        _say(f"{shelf}: {', '.join(entries)}")


@data_app.command("list")
def data_list(plugin: PluginOption = []) -> None:  # noqa: B006
    """List the data sets that accelsim knows, and where each would come from."""
    from accelsim.data import DATASETS, DataSet

    for name, known in DATASETS.items():
        if known.download is not None:
            _say(f"{name}: {known.download.url} ({known.download.licence})")
        elif isinstance(known, DataSet) and known.parts:
            _say(f"{name}: made of {', '.join(known.parts)}")
        else:
            _say(f"{name}: ships with {DATASETS.origin(name)}")


@data_app.command("get", epilog="Example:\n\n  accelsim data get mini_librispeech")
def data_get(
    name: Annotated[str, typer.Argument(help="Name of a data set.", metavar="NAME")],
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
) -> None:
    """Fetch a data set once; the folder named by ACCELSIM_DATA serves instead where it holds the set."""
    from accelsim.data import get

    folder = get(name, progress=lambda line: _say(line, err=True), bar=_DownloadBar())
    _say(f"{name}: {folder}")


def main() -> None:
    """Run the command line; every error a user can meet ends in one message and an exit code."""
    # Modules and schemas are many objects that stay: to look through them again and again took a twentieth of a run.
    gc.set_threshold(50_000, 20, 50)
    # A terminated run unwinds like an interrupted one, so that its temporary file goes too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not of UTF-8 lacks letters
    try:
        app()
    except InputError as error:
        _say(f"error: {error}" if len(error.problems) == 1 else f"{len(error.problems)} errors:\n{error}", err=True)
        sys.exit(error.exit_code)
    except AccelsimError as error:
        _say(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except MemoryError as error:
        hint = "take fewer --set workload.inputs.utterances, or smaller sizes"
        _say(f"error: not enough memory: {error} ({hint})", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as error:
        # Typer turns an interrupt within a command into the exit code 130, and says nothing.
        if isinstance(error, SystemExit) and error.code != 130:
            raise
        _say("interrupted; nothing half-written is left behind", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)


def _command() -> str:
    """Return the command line as it is recorded, without passwords."""
    return printable(shlex.join(["accelsim", *masked_arguments(sys.argv[1:])]))


def _say(text: str, err: bool = False) -> None:
    """Print lines that may hold names and texts of files."""
    typer.echo(printable_lines(text), err=err)


def _say_json(text: str) -> None:
    """Print JSON, in whose strings a terminal finds nothing to obey either."""
    shown = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    typer.echo(shown, nl=not text.endswith("\n"))


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))


def _end_of_points(store: Store, out: Path) -> None:
    """Say where the results are; exit 1 when every point failed, or none keeps the constraints."""
    from accelsim.explore.front import front_of

    _say(f"results in {out}", err=True)
    unmet = front_of(store).unmet()
    if unmet:
        _say(f"error: {unmet}", err=True)
    if unmet or not store.done():
        raise typer.Exit(1)


def _check_exports(kinds: list[str]) -> None:
    wrong = [kind for kind in kinds if kind not in ("csv", "parquet")]
    if wrong:
        raise InputError(Problem(f"cannot export to '{kind}'", hint="csv or parquet") for kind in wrong)


def _power(rule: PowerRule) -> dict[str, str]:
    """Return the override that makes all chips wait by one rule."""
    from accelsim.architecture import POWER_RULES

    return {"power": POWER_RULES[rule]} if rule in POWER_RULES else {}


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


def _write_traces(done: Run, window: Window, formats: list[TraceFormat], folder: Path) -> None:
    from accelsim.pipeline import trace
    from accelsim.report.perfetto import write_perfetto
    from accelsim.report.vcd import write_vcd
    from accelsim.result import written_whole

    with _progress() as tell:
        recorded, power = trace(done, window, tell)
    if recorded.cut:
        _say(
            f"the trace ends at {recorded.end_ps * 1e-9:g} ms, after {recorded.longest} events: take a --trace-window "
            "that begins there for what follows",
            err=True,
        )
    if TraceFormat.PERFETTO in formats:
        with written_whole(folder / "trace.json.gz") as file:
            write_perfetto(recorded, power, file)
        _say(f"wrote {folder / 'trace.json.gz'}", err=True)
    if TraceFormat.VCD in formats:
        with written_whole(folder / "trace.vcd") as file:
            write_vcd(recorded, file)
        _say(f"wrote {folder / 'trace.vcd'}", err=True)


def _print(what: RenderableType, style: str | None = None) -> None:
    from rich.console import Console
    from rich.segment import Segment

    # Texts come from files and are shown as they are, whatever brackets they hold.
    class Plain(Console):
        """Escapes what a terminal would obey, whatever table or text it stands in."""

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(printable_lines(segment.text), segment.style)

    console = Plain(width=None if sys.stdout.isatty() else 160, soft_wrap=False, markup=False, emoji=False)
    console.print(what, style=style)


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
        TextColumn("{task.description}", markup=False),
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
        bar.update(task, description=printable(stage), completed=done or 0, total=total)

    try:
        yield tell
    finally:
        bar.stop()


if __name__ == "__main__":
    main()
