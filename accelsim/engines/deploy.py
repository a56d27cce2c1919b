"""A network deployed on a chip: engines with their ops, the channels between them, and the schedule of one frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import cast

from accelsim.architecture import Architecture
from accelsim.components.abstract import Interconnect
from accelsim.engines.engine import Assignment, Engine, Wires
from accelsim.errors import did_you_mean
from accelsim.ops.graph import Graph
from accelsim.ops.op import FEATURES, Op
from accelsim.placement import Placement, Problems, check_channels, place, stores
from accelsim.schedule.job import Job, Schedule, Work, part_of
from accelsim.schedule.windows import Delay, FrameWindow, slots
from accelsim.workload import Workload

SOURCE = "features"
"""The role of the memory that takes the features in."""


@dataclass(frozen=True)
class Load(Work):
    """The features of a frame are written into their memory."""

    stage = "load"
    words: int = 0

    def row(self) -> dict[str, object]:
        return {"stage": self.stage}


@dataclass(frozen=True)
class Segment:
    """Ops that follow each other in the graph and run on one engine."""

    engine: str
    ops: tuple[Op, ...]


TRANSFER = "transfer"
"""The role of a bus or of a link of a mesh over which a job's tokens come."""


@dataclass(frozen=True)
class Transfer:
    """What comes to a job over a bus or a mesh in every frame: words over each link, and how many links there are."""

    network: Interconnect
    words: int
    links: int


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
    check_channels(chip)
    placement = place(network, chip)
    graph, problems = network.graph, Problems(f"workload '{network.spec.name}' on '{chip.spec.name}'")
    frame, chunked = _frame(network, placement, problems)
    engines: dict[str, Engine] = {}
    memories = _users(placement, graph)
    for name, site in placement.sites.items():
        if ops := placement.ops_of(name, graph):
            make = cast(type[Engine], site.kind)
            assignment = Assignment(site, network, chip, ops, frame, placement.settings, memories)
            engines[name] = make(assignment, problems)
    if "compiler" in chip.spec.model_fields_set and not any(site.kind.compiles for site in placement.sites.values()):
        problems.add("the chip has a 'compiler' section, and no engine that compiles a graph")
    problems.stop()
    segments = tuple(
        Segment(name, tuple(ops)) for name, ops in groupby(graph.ops, key=lambda op: placement.engine_of[op.name])
    )
    wires = _Wires(graph, chip, placement, engines, problems)
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
    )
    return Deployment(network, chip, placement, engines, segments, frame, schedule, transfers)


def _users(placement: Placement, graph: Graph) -> dict[str, frozenset[str]]:
    """Return by component the ops of all engines that it is a part of."""
    found: dict[str, frozenset[str]] = {}
    for name, site in placement.sites.items():
        ops = frozenset(op.name for op in placement.ops_of(name, graph))
        for component in (one for names in site.parts.names.values() for one in names):
            found[component] = found.get(component, frozenset()) | ops
    return found


def _frame(network: Workload, placement: Placement, problems: Problems) -> tuple[int, bool]:
    """Return the frames of the input in one of the schedule, and whether an engine takes them chunk by chunk."""
    found: dict[str, int] = {}
    for name, site in placement.sites.items():
        if ops := placement.ops_of(name, network.graph):
            chunk = cast(type[Engine], site.kind).chunk(network, ops)
            if chunk is not None:
                found[name] = chunk
    if len(set(found.values())) > 1:
        problems.add("engines take chunks of different lengths: " + ", ".join(f"'{n}' {c}" for n, c in found.items()))
    return next(iter(found.values()), 1) * network.graph.given.stride, bool(found)


class _Wires(Wires):
    """Channels between ops, by the components that take and give what travels between them."""

    def __init__(
        self, graph: Graph, chip: Architecture, placement: Placement, engines: Mapping[str, Engine], problems: Problems
    ) -> None:
        self.graph, self.chip, self.engines, self.problems = graph, chip, engines, problems
        self.engine = {op.name: engines[placement.engine_of[op.name]] for op in graph.ops}
        self.working = [op for op in graph.ops if self.engine[op.name].works(op)]
        names = {op.name for op in self.working}
        self.sources: dict[str, list[str]] = {}
        before = FEATURES
        for op in graph.ops:
            reads = list(dict.fromkeys(op.reads()))
            if op.name in names:
                # What depends on no input is worked on once a run, when the first frame comes to its place in the graph.
                self.sources[op.name] = [read for read in reads if read == FEATURES or read in names] or [before]
            if reads:
                before = next((read for read in reads if read == FEATURES or read in names), before)
        self.readers: dict[str, list[Op]] = {name: [] for name in (FEATURES, *names)}
        for op in self.working:
            for read in self.sources[op.name]:
                self.readers[read].append(op)
        self.source = self._source()

    def taken(self, op: str, entry: str) -> tuple[str, ...]:
        return tuple(
            self.inside(giver, entry)
            for read in self.sources[op]
            if self._joined(read, op)
            for giver in self._givers(read)
            if giver != entry
        )

    def given(self, op: str, leaver: str) -> tuple[str, ...]:
        if op == FEATURES and leaver != self.source:
            return ()
        return tuple(
            self.inside(leaver, taker)
            for reader in self.readers.get(op, ())
            if self._joined(op, reader.name)
            for taker in self.engine[reader.name].takers(reader)
            if taker != leaver
        )

    def inside(self, producer: str, consumer: str) -> str:
        ends = part_of(producer), part_of(consumer)
        if not any((c.from_, c.to, c.lockstep) == (*ends, False) for c in self.chip.spec.channels):
            near = did_you_mean(f"{ends[0]}->{ends[1]}", [c.name() for c in self.chip.spec.channels if not c.lockstep])
            self.problems.add(f"it needs a bounded channel from '{ends[0]}' to '{ends[1]}'", near)
        return f"{producer}->{consumer}"

    def load(self) -> list[Job]:
        """Return the job that takes the features in, unless an engine does."""
        if self.source is None or any(engine.source() for engine in self.engines.values()):
            return []
        work = Load(self.graph.edges[FEATURES].width * next(iter(self.engines.values())).frame)
        gives = self.given(FEATURES, self.source)
        return [Job.of("load", FEATURES, [(SOURCE, self.source)], work, gives=gives, paced=True)]

    def behind(self) -> dict[str, list[str]]:
        """Return the channels behind the features and every op."""
        names = (FEATURES, *(op.name for op in self.working))
        return {name: [c for giver in self._givers(name) for c in self.given(name, giver)] for name in names}

    def capacities(self, longest: int) -> dict[str, int]:
        """Return the tokens that each channel holds: as many as it must, and what the chip gives beyond one.

        ``longest``: frames of the longest utterance that the engines can hold.
        """
        windows = {op.name: self.engine[op.name].window(op) for op in self.working}
        delays = {FEATURES: Delay()}
        for op in self.working:
            before = max(delays[read] for read in self.sources[op.name])
            delays[op.name] = before.behind(windows[op.name])
        specs = {channel.name(): channel for channel in self.chip.spec.channels}
        found: dict[str, int] = {}
        for op in self.working:
            for read in self.sources[op.name]:
                least = slots(delays[read], delays[op.name], windows[op.name], longest)
                for taker in self.engine[op.name].takers(op):
                    for giver in self._givers(read):
                        if giver != taker and self._joined(read, op.name):
                            given = specs[f"{part_of(giver)}->{part_of(taker)}"].capacity
                            name = f"{giver}->{taker}"
                            room = found.get(name, 0)
                            # Who orders its own ops has one channel for all that it gives, or takes: room for each.
                            in_order = self.engine[op.name].in_sequence or self._engine_in_sequence(read)
                            found[name] = room + least if in_order and room else max(room, least + given - 1)
        return found

    def windows(self, jobs: Sequence[Job]) -> dict[tuple[str, str], FrameWindow]:
        """Return by job and channel which frames around its own a job reads, where not its own alone."""
        found = {}
        for op in self.working:
            window = self.engine[op.name].window(op)
            if window.plain():
                continue
            for taker in self.engine[op.name].takers(op):
                for channel in self.taken(op.name, taker):
                    for job in jobs:
                        if job.layer == op.name and channel in job.takes:
                            found[job.name, channel] = window
        return found

    def over_networks(self, jobs: Sequence[Job]) -> tuple[list[Job], dict[str, Transfer]]:
        """Return the jobs with the buses and links that their tokens come over, and what comes."""
        specs = {channel.name(): channel for channel in self.chip.spec.channels if channel.over is not None}
        bits = self._bits_on_channels() if specs else {}
        found: list[Job] = []
        transfers: dict[str, Transfer] = {}
        for job in jobs:
            for channel in job.takes:
                ends = tuple(part_of(end) for end in channel.split("->"))
                spec = specs.get("->".join(ends))
                if spec is None or channel not in bits:
                    continue
                network = self.chip.components()[str(spec.over)]
                if not isinstance(network, Interconnect):
                    self.problems.add(f"channel {spec.name()} goes over '{spec.over}', which is no bus or mesh")
                    continue
                way, words = network.way(str(spec.over), spec.start, spec.end), network.words(bits[channel])
                if job.name in transfers and list(way) == job.in_role(TRANSFER):  # from several tiles, in turn
                    words += transfers[job.name].words
                elif set(way) & set(job.members()) or job.name in transfers:
                    self.problems.add(f"job {job.name} is on '{spec.over}' already, when its tokens come over it")
                    continue
                else:
                    roles = (*job.roles, *[TRANSFER] * len(way))
                    job = replace(job, lockstep=(*job.lockstep, *way), roles=roles)
                transfers[job.name] = Transfer(network, words, len(way))
            found.append(job)
        return found, transfers

    def _bits_on_channels(self) -> dict[str, int]:
        """Return the bits that come over each channel between ops in a frame."""
        found: dict[str, int] = {}
        for op in self.working:
            for read in self.sources[op.name]:
                edge, givers = self.graph.edges[read], self._givers(read)
                if read == FEATURES:
                    bits = edge.bits
                else:
                    engine = self.engine[read]
                    bits = self.graph.by_name[read].value_bits(edge, engine.tensors, engine.number_bits)
                rows = self.engine[op.name].rows_in(read)
                share = (
                    -(-edge.width * edge.steps // len(givers))
                    if edge.kind == "spikes"
                    else -(-edge.width // len(givers))
                )
                for giver in givers:
                    for taker in self.engine[op.name].takers(op):
                        found[f"{giver}->{taker}"] = rows * share * bits
        return found

    def _joined(self, producer: str, consumer: str) -> bool:
        """Return whether tokens go from one op to another: not between ops of an engine that orders them itself."""
        if producer == FEATURES:
            return not (self.engine[consumer].in_sequence and self.engine[consumer].source() == self.source)
        return not (self.engine[producer] is self.engine[consumer] and self.engine[producer].in_sequence)

    def _engine_in_sequence(self, name: str) -> bool:
        return name != FEATURES and self.engine[name].in_sequence

    def _givers(self, name: str) -> tuple[str, ...]:
        if name == FEATURES:
            return () if self.source is None else (self.source,)
        return self.engine[name].givers(self.graph.by_name[name])

    def _source(self) -> str | None:
        for engine in self.engines.values():
            if (source := engine.source()) is not None:
                return source
        role = stores(SOURCE)
        names = [name for name, spec in self.chip.components().items() if role.fits(spec)]
        if len(names) != 1:
            self.problems.add(f"the features need {role.what}, found {len(names)}")
        elif self.chip.components()[names[0]].bits() // self.chip.components()[names[0]].width_bits < self._words():  # type: ignore[attr-defined]
            entries = self.chip.components()[names[0]].bits() // self.chip.components()[names[0]].width_bits  # type: ignore[attr-defined]
            self.problems.add(f"{self._words()} features of a frame do not fit the {entries} entries of '{names[0]}'")
        return names[0] if names else None

    def _words(self) -> int:
        return self.graph.edges[FEATURES].width * next(iter(self.engines.values())).frame
