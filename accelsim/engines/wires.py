"""Channels between ops across engines: who gives what to whom, how many tokens each holds, and what it goes over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from accelsim.architecture import Architecture
from accelsim.components.abstract import Interconnect, Memory
from accelsim.engines.engine import Engine, Wires
from accelsim.ops.graph import Graph
from accelsim.ops.op import FEATURES
from accelsim.placement import Placement, Problems, stores
from accelsim.schedule.job import Job, Work, part_of
from accelsim.schedule.windows import Delay, FrameWindow, slots

SOURCE = "features"
"""The role of the memory that takes the features in."""

TRANSFER = "transfer"
"""The role of a bus or of a link of a mesh over which a job's tokens come."""


@dataclass(frozen=True)
class Transfer:
    """What comes to a job over a bus or a mesh in every frame: words over each link, and how many links there are."""

    network: Interconnect
    words: int
    links: int


@dataclass(frozen=True)
class Load(Work):
    """The features of a frame are written into their memory."""

    stage = "load"
    words: int = 0

    def row(self) -> dict[str, object]:
        return {"stage": self.stage}


@dataclass(frozen=True)
class Flow:
    """A tensor on its way to an op that reads it: from the component that gives it to the one that takes it."""

    tensor: str
    op: str
    giver: str
    taker: str

    def ends(self) -> str:
        """Return the channel between the two components."""
        return f"{self.giver}->{self.taker}"


class GraphWires(Wires):
    """The channels between the ops of a graph, by the components that take and give what travels between them."""

    def __init__(
        self, graph: Graph, chip: Architecture, placement: Placement, engines: Mapping[str, Engine], problems: Problems
    ) -> None:
        self.graph, self.chip, self.engines, self.problems = graph, chip, engines, problems
        self.engine = {op.name: engines[placement.engine_of[op.name]] for op in graph.ops}
        self.frame = next(iter(engines.values())).frame
        self.working = [op for op in graph.ops if self.engine[op.name].works(op)]
        names = {FEATURES, *(op.name for op in self.working)}
        self.sources: dict[str, list[str]] = {}
        before = FEATURES
        for op in graph.ops:
            reads = [read for read in dict.fromkeys(op.reads()) if read in names]
            if op.name in names:
                # What depends on no input is worked on once a run, when the first frame comes to its place in the
                # graph.
                self.sources[op.name] = reads or [before]
            before = next(iter(reads), before)
        self.source = self._source()
        self.flows = [
            Flow(read, op.name, giver, taker)
            for op in self.working
            for read in self.sources[op.name]
            if self._joined(read, op.name)
            for giver in self._givers(read)
            for taker in self.engine[op.name].takers(op)
            if giver != taker
        ]
        self.channel = self._channels()

    def taken(self, op: str, entry: str) -> tuple[str, ...]:
        return tuple(self._checked(flow) for flow in self.flows if (flow.op, flow.taker) == (op, entry))

    def given(self, op: str, leaver: str) -> tuple[str, ...]:
        return tuple(self._checked(flow) for flow in self.flows if (flow.tensor, flow.giver) == (op, leaver))

    def inside(self, producer: str, consumer: str) -> str:
        ends = part_of(producer), part_of(consumer)
        if not any((c.from_, c.to, c.lockstep) == (*ends, False) for c in self.chip.spec.channels):
            hint = f"add '{{from: {ends[0]}, to: {ends[1]}}}'"
            self.problems.add(f"it needs a bounded channel from '{ends[0]}' to '{ends[1]}'", hint, ("channels",))
        return f"{producer}->{consumer}"

    def load(self) -> list[Job]:
        """Return the job that takes the features in, unless an engine does."""
        if self.source is None or any(engine.source() for engine in self.engines.values()):
            return []
        work, gives = Load(self._words()), self.given(FEATURES, self.source)
        return [Job.of("load", FEATURES, [(SOURCE, self.source)], work, gives=gives, paced=True)]

    def behind(self) -> dict[str, list[str]]:
        """Return the channels behind the features and every op."""
        names = (FEATURES, *(op.name for op in self.working))
        return {name: [self.channel[flow] for flow in self.flows if flow.tensor == name] for name in names}

    def capacities(self, longest: int) -> dict[str, int]:
        """Return the tokens that each channel holds: as many as it must, and what the chip gives beyond one.

        ``longest``: frames of the longest utterance that the engines can hold.
        """
        windows = {op.name: self.engine[op.name].window(op) for op in self.working}
        delays = {FEATURES: Delay()}
        for op in self.working:
            delays[op.name] = max(delays[read] for read in self.sources[op.name]).behind(windows[op.name])
        specs = {channel.name(): channel for channel in self.chip.spec.channels}
        found: dict[str, int] = {}
        for flow in self.flows:
            least = slots(delays[flow.tensor], delays[flow.op], windows[flow.op], longest)
            room = least + specs[f"{part_of(flow.giver)}->{part_of(flow.taker)}"].capacity - 1
            found[self.channel[flow]] = max(found.get(self.channel[flow], 0), room)
        return found

    def windows(self, jobs: Sequence[Job]) -> dict[tuple[str, str], FrameWindow]:
        """Return by job and channel which frames around its own a job reads, where not its own alone."""
        wide = {
            self.channel[flow]: window
            for flow in self.flows
            if not (window := self.engine[flow.op].window(self.graph.by_name[flow.op])).plain()
        }
        return {(job.name, channel): wide[channel] for job in jobs for channel in job.takes if channel in wide}

    def over_networks(self, jobs: Sequence[Job]) -> tuple[list[Job], dict[str, Transfer]]:
        """Return the jobs with the buses and links that their tokens come over, and what comes."""
        specs = {channel.name(): channel for channel in self.chip.spec.channels if channel.over is not None}
        over = {
            self.channel[flow]: (flow, spec)
            for flow in self.flows
            if (spec := specs.get(f"{part_of(flow.giver)}->{part_of(flow.taker)}")) is not None
        }
        found: list[Job] = []
        transfers: dict[str, Transfer] = {}
        for job in jobs:
            for channel in (channel for channel in job.takes if channel in over):
                flow, spec = over[channel]
                network = self.chip.components()[str(spec.over)]
                assert isinstance(network, Interconnect), "see check_channels"
                way, words = network.way(str(spec.over), spec.start, spec.end), network.words(self._bits(flow))
                if job.name in transfers and list(way) == job.in_role(TRANSFER):  # from several parts, in turn
                    words += transfers[job.name].words
                elif set(way) & set(job.members()) or job.name in transfers:
                    message = f"job {job.name} is on '{spec.over}' already, when its tokens come over it"
                    self.problems.add(message, at=("channels", self.chip.spec.channels.index(spec), "over"))
                    continue
                else:
                    roles = (*job.roles, *[TRANSFER] * len(way))
                    job = replace(job, lockstep=(*job.lockstep, *way), roles=roles)
                transfers[job.name] = Transfer(network, words, len(way))
            found.append(job)
        return found, transfers

    def _channels(self) -> dict[Flow, str]:
        """Return the channel of every flow: the one between its ends, or one of its own.

        Tokens have no names. Where several tensors come from one component to another, one channel serves them only if
        they are taken in the order in which they are given, which an engine that orders its own ops does not promise.
        """
        order = {name: place for place, name in enumerate((FEATURES, *(op.name for op in self.working)))}
        between: dict[str, list[Flow]] = {}
        for flow in self.flows:
            between.setdefault(flow.ends(), []).append(flow)
        found: dict[Flow, str] = {}
        for ends, flows in between.items():
            given = sorted(flows, key=lambda flow: order[flow.tensor])
            alone = len({flow.tensor for flow in flows}) == 1
            in_order = given == flows and not any(self._in_sequence(flow) for flow in flows)
            found |= {flow: ends if alone or in_order else f"{ends} of {flow.tensor}" for flow in flows}
        return found

    def _checked(self, flow: Flow) -> str:
        """Return the channel of a flow; notes a problem when the chip has none between its ends."""
        self.inside(flow.giver, flow.taker)
        return self.channel[flow]

    def _bits(self, flow: Flow) -> int:
        """Return the bits of a flow in a frame; several givers share a tensor's rows."""
        edge = self.graph.edges[flow.tensor]
        if flow.tensor == FEATURES:
            bits = edge.bits
        else:
            engine = self.engine[flow.tensor]
            bits = self.graph.by_name[flow.tensor].value_bits(edge, engine.tensors, engine.number_bits)
        values = edge.width * (edge.steps if edge.kind == "spikes" else 1)
        return self.frame // edge.stride * -(-values // len(self._givers(flow.tensor))) * bits

    def _joined(self, producer: str, consumer: str) -> bool:
        """Return whether tokens go from one op to another: not between ops of an engine that orders them itself."""
        taking = self.engine[consumer]
        if producer == FEATURES:
            return not (taking.in_sequence and taking.source() == self.source)
        return not (self.engine[producer] is taking and taking.in_sequence)

    def _in_sequence(self, flow: Flow) -> bool:
        giving = flow.tensor != FEATURES and self.engine[flow.tensor].in_sequence
        return giving or self.engine[flow.op].in_sequence

    def _givers(self, name: str) -> tuple[str, ...]:
        if name == FEATURES:
            return () if self.source is None else (self.source,)
        return self.engine[name].givers(self.graph.by_name[name])

    def _source(self) -> str | None:
        """Return the component that gives the features: an engine's, or the memory that stores them."""
        for engine in self.engines.values():
            if (source := engine.source()) is not None:
                return source
        role = stores(SOURCE)
        names = [name for name, spec in self.chip.components().items() if role.fits(spec)]
        if len(names) != 1:
            found = f"found {', '.join(names)}" if names else "found none"
            self.problems.add(f"the features need one {role.what.removeprefix('a ')}, {found}", at=("components",))
            return None
        memory, at = self.chip.components()[names[0]], ("components", names[0])
        assert isinstance(memory, Memory), "only a memory stores anything"
        if (entries := memory.capacity()) < self._words():
            message = f"{self._words()} features of a frame do not fit the {entries} entries of '{names[0]}'"
            self.problems.add(message, at=at)
        if memory.width_bits < (bits := self.graph.edges[FEATURES].bits):
            self.problems.add(f"{bits}-bit features do not fit the words of '{names[0]}'", at=at)
        return names[0]

    def _words(self) -> int:
        edge = self.graph.edges[FEATURES]
        return edge.width * (edge.steps if edge.kind == "spikes" else 1) * self.frame
