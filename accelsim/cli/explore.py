"""`accelsim sweep` and `accelsim search`: many runs of one chip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.app import app
from accelsim.cli.options import (
    Architecture,
    AxisOption,
    ConstraintOption,
    DryRunOption,
    LimitOption,
    MemoryOption,
    ObjectivesOption,
    PluginOption,
    QuietOption,
    ResumeOption,
    SeedOption,
    StrictOption,
    WorkloadOption,
    names_of,
)
from accelsim.cli.say import command_line, is_quiet, progress, say, say_estimate, show, warn
from accelsim.errors import InputError, Problem
from accelsim.limits import LARGEST_SEED

if TYPE_CHECKING:
    from accelsim.explore.store import Store


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
    seed: Annotated[
        int | None, typer.Option(help="First seed; it also decides the draw.", min=0, max=LARGEST_SEED)
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs per configuration, each with its own seed.", min=1)] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes on this machine.", min=1)] = 1,
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler (tcp://host:port) to run on instead.")] = None,
    resume: ResumeOption = False,
    strict: StrictOption = False,
    dry_run: DryRunOption = False,
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
    quiet: QuietOption = False,
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
        objectives=names_of(objectives), constraints=tuple(constraint) or None,
        command=command_line(),
    )  # fmt: skip
    if dry_run:
        with progress() as tell:
            from accelsim.explore.estimate import estimate_sweep

            estimate = estimate_sweep(what, jobs=jobs, done=_done_in(out, resume), progress=tell)
        say_estimate([estimate])
        return
    with progress() as tell:
        store = run_sweep(what, out, jobs=jobs, scheduler=scheduler, resume=resume, progress=tell)
    with store:
        show(sweep_table(store))
        for kind in export:
            for path in store.export_parquet() if kind == "parquet" else store.export_csv():
                say(f"wrote {path}", err=True)
        if table is not None:
            from accelsim.explore.comparison import study_paths
            from accelsim.explore.studies import rows_of, write_table

            write_table(table, rows_of(store, what, study_paths(table.stem)))
            say(f"wrote {table}", err=True)
        _end_of_points(store, out, strict)


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
    strict: StrictOption = False,
    dry_run: DryRunOption = False,
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    memory: MemoryOption = None,
    quiet: QuietOption = False,
) -> None:
    """Let Optuna look for the best values of some keys, under constraints."""
    from accelsim.explore.search import run_search
    from accelsim.explore.sweep import Sweep
    from accelsim.report.sweep import sweep_table

    command = command_line()
    what = Sweep(architecture, None, ()).changed(
        axes=set_, workload=workload, seed=seed, objectives=names_of(objectives), constraints=tuple(constraint),
        command=command,
    )  # fmt: skip
    if dry_run:
        with progress() as tell:
            from accelsim.explore.estimate import estimate_search

            estimate = estimate_search(what, trials=trials, done=_done_in(out, resume), progress=tell)
        say_estimate([estimate])
        return
    with progress() as tell:
        store = run_search(what, out, trials=trials, sampler=sampler, storage=storage, resume=resume, progress=tell)
    with store:
        show(sweep_table(store))
        _end_of_points(store, out, strict)


def _done_in(out: Path, resume: bool) -> int:
    """Return how many points a sweep or search that goes on has done."""
    from accelsim.explore.store import Store

    if not resume or not Store.begun(out):
        return 0
    with Store.open(out) as store:
        return len(store.done())


def _end_of_points(store: Store, out: Path, strict: bool) -> None:
    """Say where the results are; exit 1 when every point failed, or none keeps the constraints.

    ``strict``: for any other warning as well.
    """
    from accelsim.explore.front import front_of

    say(f"results in {out}", err=True)
    found = front_of(store)
    unmet = found.unmet()
    if is_quiet():  # else they stand above the table
        for text in found.warnings():
            if text != unmet:
                warn(f"warning: {text}")
    if unmet:
        warn(f"error: {unmet}")
    if unmet or not store.done() or (strict and found.warnings()):
        raise typer.Exit(1)


def _check_exports(kinds: list[str]) -> None:
    wrong = [kind for kind in kinds if kind not in ("csv", "parquet")]
    if wrong:
        raise InputError(Problem(f"cannot export to '{kind}'", hint="csv or parquet") for kind in wrong)
