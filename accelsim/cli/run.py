"""`accelsim run`: one workload on one chip; `accelsim schedule`: what it would do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.app import app
from accelsim.cli.options import (
    Architecture,
    DryRunOption,
    InputsOption,
    JsonOption,
    LimitOption,
    MemoryOption,
    OutOption,
    PlacementOption,
    PluginOption,
    PowerOption,
    PowerRule,
    QuietOption,
    SeedOption,
    SetOption,
    StrictOption,
    TraceFormat,
    TraceOption,
    WindowOption,
    WorkloadOption,
    overrides_of,
    own_inputs,
    power_rule,
)
from accelsim.cli.say import command_line, is_quiet, progress, say, say_estimate, say_json, show, warn
from accelsim.errors import InputError

if TYPE_CHECKING:
    from accelsim.engines.memory import Memory
    from accelsim.record import Run
    from accelsim.simulate import Window


@app.command(
    epilog="Examples:\n\n"
    "  accelsim run arch/rsnn28nm.yaml\n\n"
    "  accelsim run rsnn28nm -s 'clocks.main.frequency=500 MHz' -s pacing.mode=back_to_back\n\n"
    "  accelsim run rsnn28nm -w rsnn_paper_activity -s workload.time_steps=1 --json\n\n"
    "  accelsim run rsnn28nm -s workload.inputs.dataset=mini_librispeech --out runs/ls\n\n"
    "  accelsim run imssa --inputs my.tsv -s workload.inputs.skip=bad\n\n"
    "  accelsim run rsnn28nm --out runs/a --trace perfetto --trace vcd --trace-window 0ms:50ms"
)
def run(
    architecture: Architecture,
    workload: WorkloadOption = None,
    inputs: InputsOption = None,
    set_: SetOption = [],  # noqa: B006
    seed: SeedOption = 0,
    power: PowerOption = PowerRule.AS_IS,
    out: OutOption = None,
    full: Annotated[bool, typer.Option("--full", help="Show every figure, layer, note and assumption.")] = False,
    as_json: JsonOption = False,
    strict: StrictOption = False,
    dry_run: DryRunOption = False,
    trace: TraceOption = [],  # noqa: B006
    trace_window: WindowOption = None,
    placement: PlacementOption = None,
    plugin: PluginOption = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    memory: MemoryOption = None,
    quiet: QuietOption = False,
) -> None:
    """Run a workload on an architecture and say what came out, how well, how fast, at what power and area."""
    overrides = own_inputs(inputs) | overrides_of(set_) | power_rule(power)
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
    if dry_run:
        with progress() as tell:
            from accelsim.explore.estimate import estimate_run

            estimate = estimate_run(architecture, workload, overrides=overrides, seed=seed, progress=tell)
        say_estimate([estimate], as_json)
        return
    with progress() as tell:
        from accelsim.pipeline import run_in_full
        from accelsim.record import record

        done = run_in_full(architecture, workload, overrides=overrides, seed=seed, progress=tell, on_memory=say_memory)
        result = record(done, command_line())
    if out is not None:
        say(f"wrote {result.write(out)}", err=True)
        if trace:
            _write_traces(done, window, trace, out)
    from accelsim.report.headline import warnings

    told = warnings(result)
    if as_json or is_quiet():
        for text in told:
            warn(f"warning: {text}")
        if as_json:
            say_json(result.to_json())
    else:
        from accelsim.explore import paper_beside
        from accelsim.report.console import summary

        show(summary(result, paper_beside(result), full))
    if strict and told:
        raise typer.Exit(1)


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
    from accelsim.engines.memory import memory_of
    from accelsim.pipeline import network_on, split_overrides
    from accelsim.report.console import memory_line, placement_table, rows_table, schedule_table

    for_chip, for_network = split_overrides(overrides_of(set_))
    chip = load_architecture(architecture, for_chip)
    network = network_on(chip, workload, for_network)
    if placement is not None and os.path.exists(placement):
        from accelsim.placement import load_placement

        load_placement(placement)  # raises: another file that is there is not written over
    deployment = deploy(network, chip)
    if placement is not None:
        from accelsim.placement import placement_text
        from accelsim.result import written_whole

        with written_whole(placement) as file:
            file.write(placement_text(deployment.placement, chip.spec.name, network.spec.name).encode())
        say(f"wrote {placement}", err=True)
    lie = [placement_table(table) for engine in deployment.engines.values() for table in engine.tables()]
    for table in (rows_table(deployment.placement.table(network.graph)), *lie, schedule_table(deployment.schedule)):
        show(table)
        show("")
    show(memory_line(memory_of(deployment, 0)))


_MUCH_MEMORY = 500_000_000  # few runs of a second or two come near it


def say_memory(memory: Memory) -> None:
    """Say what a run takes before it begins, unless it is little."""
    if memory.added() >= _MUCH_MEMORY:
        say(f"needs {memory.text()}", err=True)


def _write_traces(done: Run, window: Window, formats: list[TraceFormat], folder: Path) -> None:
    from accelsim.pipeline import trace
    from accelsim.report.perfetto import write_perfetto
    from accelsim.report.vcd import write_vcd
    from accelsim.result import written_whole

    with progress() as tell:
        recorded, power = trace(done, window, tell)
    if recorded.cut:
        say(
            f"the trace ends at {recorded.end_ps * 1e-9:g} ms, after {recorded.longest:,} events: take a "
            "--trace-window that begins there for what follows, or more of them: --limit events=1e7",
            err=True,
        )
    if TraceFormat.PERFETTO in formats:
        with written_whole(folder / "trace.json.gz") as file:
            write_perfetto(recorded, power, file)
        say(f"wrote {folder / 'trace.json.gz'}", err=True)
    if TraceFormat.VCD in formats:
        with written_whole(folder / "trace.vcd") as file:
            write_vcd(recorded, file)
        say(f"wrote {folder / 'trace.vcd'}", err=True)
