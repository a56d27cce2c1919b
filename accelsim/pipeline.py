"""One run, from files to all that a record is made of: load, schedule, execute, simulate, price, score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import AnyArchitecture, Architecture, load_architecture
from accelsim.components.kind import StandbyState
from accelsim.cost import Power, check_point, check_prices, job_energy_j, power_over_time, price
from accelsim.engines.deploy import Deployment, check_pace, deploy
from accelsim.engines.execute import Activity, Execution, execute, service_of
from accelsim.engines.memory import Memory, check_memory
from accelsim.errors import InputError
from accelsim.inputs import Batch, load_batch
from accelsim.kernels.compile import watched
from accelsim.ops.floating import float_outputs
from accelsim.ops.op import FEATURES
from accelsim.record import Outcome, Run
from accelsim.schedule import Schedule, part_of
from accelsim.schema import Overrides, override_texts
from accelsim.score import Accuracy
from accelsim.simulate import (
    Clocking,
    Domain,
    Link,
    OneFrame,
    Sleep,
    Supply,
    Timeline,
    Trace,
    Window,
    close_books,
    simulate,
    watch,
)
from accelsim.workload import AnyWorkload, Given, Workload, load_workload

Progress = Callable[[str, int | None, int | None], None]
"""Called with the name of the stage, and how much of how much of it is done where that is known."""

WORKLOAD_PREFIX = "workload."


def run_in_full(
    architecture: AnyArchitecture,
    workload: AnyWorkload | None = None,
    *,
    overrides: Overrides | None = None,
    inputs: Given | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    stages: Stages | None = None,
    on_memory: Callable[[Memory], None] | None = None,
    one_frame: bool = True,
) -> Run:
    """Simulate one workload on one architecture and return every product on the way; `record` makes a Result of it.

    ``architecture``, ``workload``: see `load_architecture` and `load_workload`; the workload defaults to the one that
    the architecture names. ``overrides``: dotted key -> value, for any key of the architecture, or of the workload with
    the prefix ``workload.``. ``inputs``: recordings of one's own in the place of the workload's, see `load_workload`.
    ``stages``: called instead of the stages here. ``on_memory``: told what the run takes before it begins.
    ``one_frame``: whether to take down what happened to one frame. Raises InputError for anything wrong with the files
    and for a run that needs more memory than it may take, see `accelsim.limits`, DeadlockError when the chip stops
    before its work is done.
    """
    with _compilation_told(progress or (lambda stage, done, total: None)) as tell:
        done = _run(architecture, workload, overrides or {}, inputs, seed, tell, stages or Stages(), on_memory)
    return replace(done, frame=watch_one_frame(done)) if one_frame else done


@contextmanager
def _compilation_told(progress: Progress) -> Iterator[Progress]:
    """Give a progress that also says which kernels are being compiled, and after that again what goes on."""
    doing: list[tuple[str, int | None, int | None]] = []

    def tell(stage: str, done: int | None, total: int | None) -> None:
        doing[:] = [(stage, done, total)]
        progress(stage, done, total)

    def compiling(kernel: str | None, functions: int) -> None:
        if kernel is not None:
            progress(f"compiling kernels (once per machine): {kernel}, {functions} functions done", None, None)
        elif doing:
            progress(*doing[0])

    with watched(compiling):
        yield tell


def _run(
    architecture: AnyArchitecture,
    workload: AnyWorkload | None,
    overrides: Overrides,
    inputs: Given | None,
    seed: int,
    tell: Progress,
    stages: Stages,
    on_memory: Callable[[Memory], None] | None,
) -> Run:
    for_chip, for_network = split_overrides(overrides)
    tell("read the files", None, None)
    chip = load_architecture(architecture, for_chip)
    for point in (chip, *chip.operating_points.values()):
        check_point(point)
        check_prices(point)
    network = network_on(chip, workload, for_network, stages.load_workload, inputs)
    deployment = deploy(network, chip)
    for point in (chip, *chip.operating_points.values()):
        check_pace(deployment, point)
    schedule = deployment.schedule
    tell("read the recordings", None, None)
    batch = stages.load_batch(network, lambda name, done, total: tell(f"features of {name}", done, total))
    memory = check_memory(deployment, batch)
    if on_memory is not None:
        on_memory(memory)
    execution = stages.execute(deployment, batch, seed=seed, progress=values_told(tell, 0, chip.spec.programming_runs))
    frames, starts = execution.frames, execution.output_starts
    outcome = operate(chip, schedule, execution.activity, frames, tell, stages)
    points = {
        name: operate(other, schedule, execution.activity, frames, tell, stages)
        for name, other in chip.operating_points.items()
    }
    accuracy = reference = exact = None
    again: tuple[Accuracy, ...] = ()
    if network.spec.score is not None and execution.outputs is not None and batch.references is not None:
        accuracy = stages.score(network, batch, execution.outputs, starts, tell)
        outputs = programmed_again(deployment, batch, seed, tell, stages)
        again = tuple(stages.score(network, batch, values, starts, tell) for values in outputs)
        if execution.exact is not None:
            exact = stages.score(network, batch, execution.exact(), starts, tell)
        reference = stages.score_reference(network, batch, tell) if network.reference is not None else None
    return Run(network, batch, schedule, execution, outcome, points, accuracy, reference, seed, again, exact)


def operate(
    chip: Architecture,
    schedule: Schedule,
    activity: Activity,
    frames: int,
    tell: Progress = lambda *_: None,
    stages: Stages | None = None,
) -> Outcome:
    """Simulate and price what happened at one operating point; the values stay the same."""
    service = service_of(schedule, chip, activity)
    with chip.at(("clocks",)):  # a run that is too long: what of the chip makes it so is in its file
        timeline = (stages or Stages()).simulate(
            schedule,
            links(chip, schedule),
            service,
            clocking(chip, schedule),
            frames,
            tokens=activity.tokens,
            arbitration=arbitration(chip, schedule),
            domains=domains(chip, schedule),
            progress=lambda done: tell("cycles", done, frames),
        )
    ledger = close_books(schedule, service, timeline, activity, supplies(chip))
    bill = price(chip, schedule, activity, ledger)
    return Outcome(chip, timeline, ledger, bill)


def network_on(
    chip: Architecture,
    workload: AnyWorkload | None,
    overrides: Overrides,
    load: Callable[..., Workload] = load_workload,
    inputs: Given | None = None,
) -> Workload:
    """Return the workload that is named, or else the chip's own; raises InputError, at the line that names that."""
    load = load if inputs is None else partial(load, inputs=inputs)
    if workload is not None and workload != "":
        return load(workload, overrides)
    with chip.at(("workload",)):
        return load(chip.spec.workload, overrides)


def programmed_again(
    deployment: Deployment, batch: Batch, seed: int, tell: Progress, stages: Stages
) -> Iterator[NDArray[Any]]:
    """Yield the outputs of every programming run after the first, each with cells and draws of its own."""
    runs = deployment.chip.spec.programming_runs
    for run in range(1, runs):
        told = values_told(tell, run, runs)
        execution = stages.execute(deployment, batch, seed=seed, programming_run=run, progress=told)
        assert execution.outputs is not None
        yield execution.outputs


def values_told(tell: Progress, run: int, runs: int) -> Callable[[str, int, int], None]:
    """Return what `execute` calls with each op of a programming run, counted from 0, of so many."""
    title = f", programming run {run + 1} of {runs}" if runs > 1 else ""

    def told(op: str, done: int, total: int) -> None:
        tell(f"values of {op}{title}", run * total + done, runs * total)

    return told


def trace(run: Run, window: Window, tell: Progress = lambda *_: None) -> tuple[Trace, Power]:
    """Run the engine once more over what a run counted, and return what it did within a window, and at what power.

    Raises InputError when the window lies outside the run.
    """
    chip, timeline = run.outcome.architecture, run.outcome.timeline
    schedule, activity, frames = run.schedule, run.execution.activity, run.execution.frames
    service, clocks = service_of(schedule, chip, activity), clocking(chip, schedule)
    recorder = Trace(schedule, clocks, *window.bounds_ps(timeline))
    simulate(
        schedule,
        links(chip, schedule),
        service,
        clocks,
        frames,
        tokens=activity.tokens,
        arbitration=arbitration(chip, schedule),
        domains=domains(chip, schedule),
        progress=lambda done: tell("trace", done, frames),
        trace=recorder,
    )
    energy_j = job_energy_j(chip, schedule, activity, frames)
    power = power_over_time(recorder, schedule, service, energy_j, run.outcome.bill, timeline.duration_ps)
    return recorder, power


def watch_one_frame(run: Run) -> OneFrame:
    """Return what happened to one of the first frames of a run, see `OneFrame`."""
    chip, timeline = run.outcome.architecture, run.outcome.timeline
    schedule, activity = run.schedule, run.execution.activity
    clocks = clocking(chip, schedule)
    recorder = OneFrame.of(clocks, timeline)
    service, until_ps = service_of(schedule, chip, activity), int(timeline.finished_ps[recorder.frame])
    frames = len(timeline.finished_ps)
    if not activity.tokens:
        # No frame that arrives later can have made a difference. Tokens that are counted come out even at the end only.
        met = int((timeline.arrived_ps <= until_ps).sum())
        service = {key: np.broadcast_to(cycles, (frames,))[:met] for key, cycles in service.items()}
        frames = met
    watch(
        schedule,
        links(chip, schedule),
        service,
        clocks,
        frames,
        recorder,
        until_ps,
        tokens=activity.tokens,
        arbitration=arbitration(chip, schedule),
        domains=domains(chip, schedule),
    )
    return recorder


def split_overrides(overrides: Overrides) -> tuple[dict[str, str], dict[str, str]]:
    """Return the overrides of the architecture and those of the workload, without their prefix, all as text."""
    texts = override_texts(overrides)
    chip = {k: v for k, v in texts.items() if not k.startswith(WORKLOAD_PREFIX)}
    network = {k.removeprefix(WORKLOAD_PREFIX): v for k, v in texts.items() if k.startswith(WORKLOAD_PREFIX)}
    return chip, network


def links(chip: Architecture, schedule: Schedule) -> list[Link]:
    """Return the bounded channels that a schedule uses, one for each copy of a component in a tile."""
    specs = {channel.name(): channel for channel in chip.spec.channels}
    used = dict.fromkeys(name for job in schedule.jobs for name in (*job.takes, *job.gives))
    found = []
    for name in used:
        ends, _, tensor = name.partition(" of ")
        producer, _, consumer = ends.partition("->")
        spec = specs[f"{part_of(producer)}->{part_of(consumer)}"]
        found.append(Link(producer, consumer, schedule.capacities.get(name, spec.capacity), spec.latency, tensor))
    return found


def arbitration(chip: Architecture, schedule: Schedule) -> dict[str, str]:
    """Return the policy of every shared component that has one, and of its copies."""
    policies = chip.spec.arbitration
    members = dict.fromkeys(name for job in schedule.jobs for name in job.members())
    return {name: policies[part_of(name)] for name in members if part_of(name) in policies}


def domains(chip: Architecture, schedule: Schedule) -> list[Domain]:
    """Return what falls asleep together: the switched power domains, and what goes to rest by itself."""
    members = dict.fromkeys(name for job in schedule.jobs for name in job.members())
    found: dict[str, tuple[tuple[str, ...], list[StandbyState]]] = {}
    for name, power in chip.spec.power.items():
        if (gate := power.power_gate) is not None:
            found[name] = (chip.parts_of(name), [StandbyState("off", gate.after, gate.wake)])
    for name, spec in chip.components().items():
        if asleep := spec.standby_states()[1:]:
            found[_by_itself(name)] = ((name,), list(asleep))
    return [
        Domain(
            name,
            frozenset(member for member in members if part_of(member) in parts),
            tuple(Sleep(state, round(after * 1e12), round(wake * 1e12)) for state, after, wake in states),
        )
        for name, (parts, states) in found.items()
    ]


def _by_itself(component: str) -> str:
    """Return the name of the domain of a component that goes to rest by itself; no domain of a file is called so."""
    return f"{component}, by itself"


def supplies(chip: Architecture) -> dict[str, Supply]:
    """Return how each component is clocked and supplied; what goes to rest by itself is a domain of its own."""
    found, domain_of = {}, chip.domains()
    for name, spec in chip.components().items():
        domain = _by_itself(name) if spec.standby_states() else domain_of.get(name)
        found[name] = Supply(spec.instances(), chip.period_ps(name), chip.clock_gated(name), domain)
    return found


def clocking(chip: Architecture, schedule: Schedule) -> Clocking:
    """Return the clock periods of all components, and of their copies in tiles, and the pace of the frames."""
    pacing = chip.spec.pacing
    period = round(pacing.frame_period * 1e12) if pacing.mode == "real_time" and pacing.frame_period else 0
    period *= schedule.inputs_per_frame
    members = dict.fromkeys(name for job in schedule.jobs for name in job.members())
    idle = [name for name in chip.components() if name not in {part_of(member) for member in members}]
    return Clocking({name: chip.period_ps(part_of(name)) for name in (*members, *idle)}, period)


def score(
    network: Workload,
    batch: Batch,
    outputs: NDArray[Any],
    starts: NDArray[np.int64],
    tell: Progress = lambda *_: None,
) -> Accuracy:
    """Return how well the hardware's outputs recognise the batch; starts: of the utterances in the outputs.

    Outputs that are codes with a scale and a zero point are made the numbers that they stand for first.
    """
    edge = network.graph.given
    if edge.kind == "codes" and (edge.scale, edge.zero_point) != (1.0, 0):
        outputs = (outputs.astype(np.float64) - edge.zero_point) * edge.scale
    return _judged(network, batch, np.split(outputs, starts[1:-1]), tell, reference=False)


def score_reference(network: Workload, batch: Batch, tell: Progress = lambda *_: None) -> Accuracy:
    """Return how well the float network recognises the batch."""
    assert network.reference is not None
    features = batch.signal(network.graph.edges[FEATURES])
    outputs = float_outputs(network.graph, network.reference, features, network.spec.reference_unit)
    return _judged(network, batch, outputs, tell, reference=True)


def _judged(
    network: Workload, batch: Batch, outputs: Iterable[NDArray[Any]], tell: Progress, *, reference: bool
) -> Accuracy:
    assert batch.references is not None
    judge = network.scorer(reference=reference)
    try:
        return judge.score(outputs, batch.references, lambda done, total: tell("score", done, total))
    except ValueError as error:
        message = f"workload '{network.spec.name}' cannot be scored on {batch.source}: {error}"
        with network.at(("score",)):
            raise InputError.of(message) from None


@dataclass(frozen=True)
class Stages:
    """The costly stages of a run, each a pure function; a sweep puts others here, which remember what they made."""

    load_workload: Callable[..., Workload] = load_workload
    load_batch: Callable[..., Batch] = load_batch
    execute: Callable[..., Execution] = execute
    simulate: Callable[..., Timeline] = simulate
    score: Callable[..., Accuracy] = score
    score_reference: Callable[..., Accuracy] = score_reference
