"""A network deployed on a chip: engines with their ops, the channels between them, and the schedule of one frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import cast

from accelsim.architecture import Architecture
from accelsim.engines.engine import Assignment, Engine
from accelsim.engines.wires import GraphWires, Transfer
from accelsim.ops.graph import Graph
from accelsim.ops.op import Op
from accelsim.placement import Placement, Problems, check_channels, place
from accelsim.schedule.job import Job, Schedule, part_of
from accelsim.schema.quantity import format_si
from accelsim.workload import Workload


@dataclass(frozen=True)
class Segment:
    """Ops that follow each other in the graph and run on one engine."""

    engine: str
    ops: tuple[Op, ...]


@dataclass(frozen=True)
class Deployment:
    """A network on a chip: where each op runs, and what every component does in a frame.

    ``frame``: frames of the input in one of the schedule. ``transfers``: by job, what comes to it over a bus or a mesh.
    """

    network: Workload
    chip: Architecture
    placement: Placement
    engines: Mapping[str, Engine]
    segments: tuple[Segment, ...]
    frame: int
    schedule: Schedule
    transfers: Mapping[str, Transfer]


def deploy(network: Workload, chip: Architecture) -> Deployment:
    """Place a network on a chip and cut it into jobs; raises InputError with everything that does not fit."""
    placement = place(network, chip)
    check_channels(chip)
    graph, problems = network.graph, Problems.of(chip, network)
    frame, chunked = _frame(network, placement, problems)
    engines: dict[str, Engine] = {}
    memories = _users(placement, graph)
    for name, site in placement.sites.items():
        if ops := placement.ops_of(name, graph):
            make = cast(type[Engine], site.kind)
            assignment = Assignment(site, network, chip, ops, frame, placement.settings, placement.keys, memories)
            engines[name] = make(assignment, problems)
    if "compiler" in chip.spec.model_fields_set and not any(site.kind.compiles for site in placement.sites.values()):
        problems.add("the chip has a 'compiler' section, and no engine that compiles a graph", at=("compiler",))
    wires = GraphWires(graph, chip, placement, engines, problems)
    problems.stop()
    segments = tuple(
        Segment(name, tuple(ops)) for name, ops in groupby(graph.ops, key=lambda op: placement.engine_of[op.name])
    )
    jobs = wires.load()
    for segment in segments:
        jobs += engines[segment.engine].jobs(segment.ops, wires)
    jobs, transfers = wires.over_networks(jobs)
    problems.stop()
    longest = min(engine.longest() for engine in engines.values())
    capacities = wires.capacities(longest)
    held = {name: [capacities[channel] for channel in given] for name, given in wires.behind().items()}
    for engine in engines.values():
        engine.check_memory(held, longest)
    problems.stop()
    plans = [plan for engine in engines.values() if (plan := engine.plan()) is not None]
    schedule = Schedule(
        tuple(jobs),
        capacities=capacities,
        windows=wires.windows(jobs),
        inputs_per_frame=frame if chunked else 1,
        plan=plans[0] if plans else None,
        instances=_instances(jobs, chip, {op: engines[name] for op, name in placement.engine_of.items()}),
    )
    return Deployment(network, chip, placement, engines, segments, frame, schedule, transfers)


def check_pace(deployment: Deployment, chip: Architecture) -> None:
    """Raise InputError where a chip in real time waits another time for a frame than its features take.

    A frame of the schedule takes ``deployment.frame`` rows of features, each of the workload's period, and arrives
    every ``pacing.frame_period``, or after as many of these as there are inputs in a frame that is taken as a chunk.
    ``chip``: the deployment's, or it at another operating point.
    """
    pacing = chip.spec.pacing
    if pacing.mode != "real_time" or pacing.frame_period is None:
        return
    row_s, frame = deployment.network.spec.inputs.period(), deployment.frame
    inputs = deployment.schedule.inputs_per_frame
    if round(pacing.frame_period * inputs * 1e12) == round(row_s * frame * 1e12):
        return
    problems = Problems.of(chip, deployment.network)
    rows = "one row of features" if frame == inputs else f"{frame // inputs} rows of features"
    problems.add(
        f"'frame_period' is {format_si(pacing.frame_period, 's')}, and a frame takes {rows} of "
        f"{format_si(row_s, 's')} each",
        f"write '{format_si(row_s * frame / inputs, 's')}'",
        ("pacing", "frame_period"),
    )
    problems.stop()


def _instances(jobs: Sequence[Job], chip: Architecture, engine_of: Mapping[str, Engine]) -> dict[str, int]:
    """Return how many instances of a component work in the jobs of each of its copies."""
    found: dict[str, int] = {}
    for job in jobs:
        for member in (name for name in job.members() if name != part_of(name)):
            if job.layer in engine_of:
                found[member] = engine_of[job.layer].instances_of(member)
    return found


def _users(placement: Placement, graph: Graph) -> dict[str, frozenset[str]]:
    """Return by component the ops of all engines that it is a part of."""
    found: dict[str, frozenset[str]] = {}
    for name, site in placement.sites.items():
        ops = frozenset(op.name for op in placement.ops_of(name, graph))
        for component in (one for names in site.parts.names.values() for one in names):
            found[component] = found.get(component, frozenset()) | ops
    return found


def _frame(network: Workload, placement: Placement, problems: Problems) -> tuple[int, bool]:
    """Return the frames of the input in one of the schedule, and whether they are taken chunk by chunk.

    They are where an engine takes them so, or the workload says how long a chunk is.
    """
    found: dict[str, int] = {}
    for name, site in placement.sites.items():
        if ops := placement.ops_of(name, network.graph):
            chunk = cast(type[Engine], site.kind).chunk(network, ops)
            if chunk is not None:
                found[name] = chunk
    if len(set(found.values())) > 1:
        problems.add("engines take chunks of different lengths: " + ", ".join(f"'{n}' {c}" for n, c in found.items()))
    asked = network.spec.rows()
    chunk = next(iter(found.values()), asked or 1)
    return chunk * network.graph.given.stride, bool(found) or asked is not None
