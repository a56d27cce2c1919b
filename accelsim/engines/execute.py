"""What values come out of a deployment, and what happened on the way: runs the engines over all frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import Architecture
from accelsim.components import KINDS
from accelsim.engines.deploy import Deployment
from accelsim.engines.engine import Counts, Grid, Run
from accelsim.engines.wires import SOURCE, TRANSFER, Load, Transfer
from accelsim.errors import InputError
from accelsim.inputs import Batch
from accelsim.kernels.arrays import Drops
from accelsim.ops.graph import Graph
from accelsim.ops.op import FEATURES, Signal, outputs_of
from accelsim.placement import Problems
from accelsim.schedule.job import Job, Schedule, Tokens, part_of
from accelsim.schema.workload import RandomInputs


@dataclass(frozen=True)
class Activity:
    """Counts of what happened, per frame.

    ``counts[job, component][name]``: [frames]. ``macs[job][dense | performed | skipped]``: totals over the run;
    performed and skipped are counted apart from each other.
    ``saturations[layer]``: saturated words, total. ``sparsity[layer]``: share of zeros in the layer's inputs.
    ``conversions[layer]``: analogue-to-digital conversions, and how many of them clipped. ``programming``: cells and
    write pulses before the first frame; ``written``: those pulses by crossbar. ``exceptions[layer]``: overflows and the
    like of floating-point numbers, by name. ``tokens``: of jobs that take more or fewer than one token in a frame, as a
    layer does that looks ahead. ``drops``: what the wires of each crossbar took, by its name.
    """

    counts: Mapping[tuple[str, str], Mapping[str, NDArray[np.int64]]]
    macs: Mapping[str, Mapping[str, int]]
    saturations: Mapping[str, int]
    sparsity: Mapping[str, float]
    conversions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    programming: Mapping[str, int] = field(default_factory=dict)
    tokens: Tokens = field(default_factory=dict)
    exceptions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    written: Mapping[str, int] = field(default_factory=dict)
    drops: Mapping[str, Drops] = field(default_factory=dict)


@dataclass(frozen=True)
class Execution:
    """Values and activity of a whole batch.

    ``outputs``: [rows, classes] of the last op, of spikes how many there are in a row, or None where random activity
    has no values. ``spikes[layer]``: [rows, steps, neurons]. ``starts``: [utterances + 1], where each utterance starts
    in the frames of the schedule, each of which stands for ``subsampling`` frames of the batch; ``output_starts``:
    where it starts in the outputs. ``exact``: makes the outputs of the same weights computed exactly, where the chip
    does not.
    """

    outputs: NDArray[Any] | None
    spikes: Mapping[str, NDArray[np.uint8]]
    activity: Activity
    starts: NDArray[np.int64]
    output_starts: NDArray[np.int64]
    subsampling: int = 1
    exact: Callable[[], NDArray[Any]] | None = None

    @property
    def frames(self) -> int:
        """How many frames the schedule repeats for."""
        return int(self.starts[-1])


def execute(
    deployment: Deployment,
    batch: Batch,
    *,
    seed: int = 0,
    programming_run: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Execution:
    """Run a deployment's engines over all frames of a batch.

    ``progress``: called with the op that begins, how many multiply-accumulates of all ops are done, and how many there
    are; what an op gives counts as one more each, so that ops without products count too.
    Random inputs have no values: their activity is drawn, and only the counts follow. A further ``programming_run`` of
    memristor cells is a run of a seed of its own, seed + programming_run. How worn the cells are is a setting of the
    device, ``wear_cycles``, and the same in every run. Raises InputError for values that an engine cannot take.
    """
    network, graph = deployment.network, deployment.network.graph
    tell = (lambda _: None) if progress is None else _told(graph, len(batch.features), progress)
    runs = {name: engine.start(batch, seed + programming_run, tell) for name, engine in deployment.engines.items()}
    inputs = network.spec.inputs
    if isinstance(inputs, RandomInputs):
        for run in runs.values():
            run.draw(inputs)
        grid = Grid(batch.starts, deployment.frame)
        return Execution(None, {}, activity_of(deployment, runs, grid), grid.starts, grid.starts, deployment.frame)
    _check_lengths(deployment, batch, frame_starts(deployment, rows_of(deployment, batch)[graph.last.name]))
    spikes: dict[str, NDArray[np.uint8]] = {}
    signals = {FEATURES: batch.signal(graph.edges[FEATURES])}
    try:
        for segment in deployment.segments:
            runs[segment.engine].values(segment.ops, signals)
            spikes |= {n: s.values for n, s in signals.items() if s.edge.kind == "spikes" and n != FEATURES}
    except ValueError as error:
        problems = Problems.of(deployment.chip)
        problems.add(str(error))
        raise InputError(list(problems.found.values())) from None
    outputs = signals[graph.last.name]
    starts = frame_starts(deployment, outputs.starts)
    activity = activity_of(deployment, runs, Grid(starts, deployment.frame))

    def exact() -> NDArray[Any]:
        signals = {FEATURES: batch.signal(graph.edges[FEATURES])}
        for segment in deployment.segments:
            runs[segment.engine].exact(segment.ops, signals)
        return outputs_of(signals[graph.last.name].values)

    inexact = any(run.inexact for run in runs.values())
    return Execution(
        outputs_of(outputs.values),
        spikes,
        activity,
        starts,
        outputs.starts,
        deployment.frame,
        exact if inexact else None,
    )


def _told(graph: Graph, frames: int, progress: Callable[[str, int, int], None]) -> Callable[[str], None]:
    """Return what an engine calls with an op that begins; one that begins once more begins another pass over all."""
    work = {
        op.name: frames * (op.products(graph.read(op), edge) + edge.width) // edge.stride
        for op, edge in ((op, graph.edges[op.name]) for op in graph.ops)
    }
    done: dict[str, int] = {}

    def begins(name: str) -> None:
        if name in done:
            done.clear()
        progress(name, sum(done.values()), sum(work.values()))
        done[name] = work[name]

    return begins


def rows_of(deployment: Deployment, batch: Batch) -> dict[str, NDArray[np.int64]]:
    """Return where each utterance starts in the rows of the features and of every op, without computing a value."""
    graph = deployment.network.graph
    signals = {FEATURES: Signal(np.empty(0), batch.starts, graph.edges[FEATURES])}
    for op in graph.ops:
        starts = op.starts([signals[name] for name in op.reads()])
        signals[op.name] = Signal(np.empty(0), starts, graph.edges[op.name])
    return {name: signal.starts for name, signal in signals.items()}


def frame_starts(deployment: Deployment, outputs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each utterance starts in the frames of the schedule, from its rows of the outputs."""
    rows = deployment.frame // deployment.network.graph.given.stride
    return np.concatenate([[0], np.cumsum(-(-np.diff(outputs) // rows))]).astype(np.int64)


def activity_of(deployment: Deployment, runs: Mapping[str, Run], grid: Grid) -> Activity:
    """Return the counts of every job on every component that it occupies, and what the kernels counted."""
    schedule, engine_of = deployment.schedule, deployment.placement.engine_of
    counts: dict[tuple[str, str], Counts] = {}
    macs: dict[str, dict[str, int]] = {}
    for job in schedule.jobs:
        if isinstance(job.work, Load):
            counts[job.name, job.part(SOURCE)] = {"write": np.full(grid.frames, job.work.words, np.int64)}
            continue
        engine = engine_of.get(job.layer) or _engine_of_features(deployment)
        of_role, products = runs[engine].count(job, grid)
        if job.name in deployment.transfers:
            of_role = {**of_role, TRANSFER: _moved(job, deployment.transfers[job.name], grid)}
        for role, values in of_role.items():
            for member in job.in_role(role):
                counts[job.name, member] = _declared(deployment.chip, member, values, grid.frames)
        if products is not None:
            macs[job.name] = {"dense": products.dense, "performed": products.performed, "skipped": products.skipped}
    tallies = [run.tallies for run in runs.values()]
    clamped: dict[str, int] = {}
    sparsity: dict[str, float] = {}
    conversions: dict[str, tuple[int, int]] = {}
    exceptions: dict[str, Mapping[str, int]] = {}
    programming: dict[str, int] = {}
    written: dict[str, int] = {}
    for name, run in runs.items():
        if pulses := run.tallies.programming.get("write_pulses", 0):
            crossbar = deployment.engines[name].parts.name("crossbar")
            written[crossbar] = written.get(crossbar, 0) + pulses
    drops: dict[str, Drops] = {}
    for one in tallies:
        drops |= one.drops
        clamped |= one.clamped
        sparsity |= {layer: zero / total for layer, (zero, total) in one.sparsity.items()}
        conversions |= one.conversions
        exceptions |= one.exceptions
        for what, number in one.programming.items():
            programming[what] = programming.get(what, 0) + number
    tokens = {key: window.tokens(grid.starts) for key, window in schedule.windows.items()}
    return Activity(counts, macs, clamped, sparsity, conversions, programming, tokens, exceptions, written, drops)


def _moved(job: Job, transfer: Transfer, grid: Grid) -> Counts:
    """Return the counts of a bus, or of each link of a mesh, over which a job's tokens come."""
    mine = (np.arange(grid.frames) % job.copies == job.copy).astype(np.int64)
    return {name: mine * value for name, value in transfer.network.transfers(transfer.words, transfer.links).items()}


def _engine_of_features(deployment: Deployment) -> str:
    """Return the engine through which the features come in."""
    return next(name for name, engine in deployment.engines.items() if engine.source() is not None)


def _declared(chip: Architecture, member: str, values: Counts, frames: int) -> Counts:
    """Return the counts of a component over all frames; raises ValueError for one that its kind does not declare."""
    kind = KINDS[chip.components()[part_of(member)].kind]
    if unknown := values.keys() - kind.actions.keys() - kind.counts.keys():
        raise ValueError(f"a {kind.name} counts no {', '.join(sorted(unknown))}: a mistake of the engine")
    return {name: np.broadcast_to(np.asarray(value, np.int64), (frames,)) for name, value in values.items()}


def _check_lengths(deployment: Deployment, batch: Batch, starts: NDArray[np.int64]) -> None:
    """Raise InputError for utterances that an engine cannot hold."""
    for name, engine in deployment.engines.items():
        longest, lengths = engine.longest(), np.diff(starts)
        if len(long := np.flatnonzero(lengths > longest)):
            problems = Problems("", deployment.chip.source)
            problems.add(
                f"{len(long)} utterances are longer than the {longest} frames of engine '{name}': "
                f"'{batch.names[long[0]]}' has {lengths[long[0]]}",
                at=("components",),
            )
            problems.stop()


def service_of(
    schedule: Schedule, architecture: Architecture, activity: Activity
) -> dict[tuple[str, str], NDArray[np.int64]]:
    """Return the busy cycles per frame of every (job, component): the component's closed form of its counts.

    Raises InputError where they are more than 64 bits hold.
    """
    service = {}
    for job in schedule.jobs:
        for name in job.members():
            part = part_of(name)
            spec = architecture.components()[part]
            cycles = KINDS[spec.kind].service_cycles(spec, activity.counts[job.name, name])
            if (cycles < 0).any():
                message = f"'{part}' would work for more cycles in '{job.name}' than can be counted: look at its sizes"
                with architecture.at(("components", part)):
                    raise InputError.of(message)
            service[job.name, name] = cycles
    return service
