"""What an engine is: the parts that it needs, the ops that it runs, how they become jobs, and what they compute.

An engine is made for one network on one chip and knows the ops that are placed on it. Nothing outside an engine knows
its name: the rest of the house asks it for jobs, then for values, then for counts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import Architecture
from accelsim.inputs import Batch
from accelsim.kernels.arrays import Drops
from accelsim.ops.graph import Graph
from accelsim.ops.op import ANY_LENGTH, Edge, Op, Signal
from accelsim.placement import EngineKind, Parts, Problems, Role, Site
from accelsim.schedule.job import Job, part_of
from accelsim.schedule.plan import Summary
from accelsim.schedule.windows import FrameWindow
from accelsim.schema.placement import PlacementSpec
from accelsim.schema.source import Key, Location
from accelsim.schema.workload import RandomInputs
from accelsim.workload import Workload

Counts = Mapping[str, NDArray[np.int64]]
"""What happened on one component in a job: name of the count -> value per frame."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Assignment:
    """What an engine is made from: its site, the network, the chip, and the ops placed on it.

    ``frame``: frames of the input in one frame of the schedule; ``settings``: of each op, as the chip's placement says,
    and ``keys``, the entry of it that says so, if one does; ``memories``: the ops whose engines have each component of
    the chip, by its name.
    """

    site: Site
    network: Workload
    chip: Architecture
    ops: tuple[Op, ...]
    frame: int
    settings: Mapping[str, PlacementSpec]
    keys: Mapping[str, str]
    memories: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Grid:
    """The frames of a schedule in a run: ``starts`` [utterances + 1], and how many frames of the input each has."""

    starts: NDArray[np.int64]
    frame: int

    @property
    def frames(self) -> int:
        """How often the schedule repeats."""
        return int(self.starts[-1])

    def rows_in(self, edge: Edge) -> int:
        """Return the rows of an edge in a frame."""
        return self.frame // edge.stride


@dataclass
class Tallies:
    """What an engine's kernels counted over a whole run, by layer.

    ``clamped``: saturated words; ``sparsity``: zeros and all inputs; ``conversions``: analogue-to-digital conversions
    and how many of them clipped; ``exceptions``: of floating-point numbers, by name; ``programming``: cells and write
    pulses; ``drops``: what the wires of each crossbar took, by its name.
    """

    clamped: dict[str, int] = field(default_factory=dict)
    sparsity: dict[str, tuple[int, int]] = field(default_factory=dict)
    conversions: dict[str, tuple[int, int]] = field(default_factory=dict)
    exceptions: dict[str, Mapping[str, int]] = field(default_factory=dict)
    programming: dict[str, int] = field(default_factory=dict)
    drops: dict[str, Drops] = field(default_factory=dict)


@dataclass(frozen=True)
class Macs:
    """Multiplications of a job over a run: performed and skipped are counted apart from each other."""

    dense: int
    performed: int
    skipped: int = 0


class Wires(ABC):
    """The channels between what gives an op's inputs and what takes them, across engines."""

    @abstractmethod
    def taken(self, op: str, entry: str) -> tuple[str, ...]:
        """Return the channels on which a component receives what an op reads."""

    @abstractmethod
    def given(self, op: str, leaver: str) -> tuple[str, ...]:
        """Return the channels on which a component passes on what an op gives."""

    @abstractmethod
    def inside(self, producer: str, consumer: str) -> str:
        """Return the channel between two components of one engine; notes a problem when the chip has none."""


class Engine(EngineKind, ABC):
    """One engine with the ops of one network; subclasses say the rest.

    ``runs``: the classes of ops that it runs; ``roles``: its parts; ``needs``: sets of roles of which one must be
    whole; ``settings``: the keys of ``placement`` that it reads. ``lockstep`` and ``flows``: pairs of roles that work
    on one job, and between which tokens go; ``entries`` and ``exits``: the roles that take and give what travels
    between ops.
    """

    kind: ClassVar[str]
    runs: ClassVar[tuple[type[Op], ...]]
    roles: ClassVar[Mapping[str, Role]]
    needs: ClassVar[Sequence[frozenset[str]]]
    settings: ClassVar[frozenset[str]] = frozenset()
    lockstep: ClassVar[Sequence[tuple[str, str]]] = ()
    flows: ClassVar[Sequence[tuple[str, str]]] = ()
    entries: ClassVar[Sequence[str]]
    exits: ClassVar[Sequence[str]]
    job_roles: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """What jobs call a part that serves them in several ways: the name, and the roles of which it is one."""
    compiles: ClassVar[bool] = False
    """Whether it reads the ``compiler`` section of a chip."""
    number_bits: int = 32
    """Bits of a real number that it gives."""
    in_sequence: ClassVar[bool] = False
    """Whether it orders its own ops, so that no tokens go between them."""

    def __init__(self, assignment: Assignment, problems: Problems) -> None:
        """Lay the ops onto the parts; notes in ``problems`` what does not fit."""
        self.assignment, self.problems = assignment, problems
        self.name: str = assignment.site.name
        self.parts: Parts = assignment.site.parts
        self.network, self.chip = assignment.network, assignment.chip
        self.graph: Graph = assignment.network.graph
        self.tensors = assignment.network.tensors
        self.ops = assignment.ops
        self.frame = assignment.frame

    @classmethod
    def refuses(cls, op: Op, read: Sequence[Edge], given: Edge, parts: Parts) -> str | None:
        """Return why the engine's parts cannot run an op, one of the classes in ``runs``; else None."""
        return None

    @classmethod
    def chunk(cls, network: Workload, ops: Sequence[Op]) -> int | None:
        """Return how many rows of the output the engine works on at a time, if it takes them chunk by chunk."""
        return None

    def placed(self, op: Op) -> PlacementSpec:
        """Return how an op lies on the engine."""
        return self.assignment.settings[op.name]

    def placed_at(self, op: Op, *rest: Key) -> Location | None:
        """Return where the chip's file says how an op lies on the engine, if it does; ``rest``: keys in that entry."""
        key = self.assignment.keys.get(op.name)
        return None if key is None else ("placement", key, *rest)

    def at(self, role: str, *rest: Key) -> Location:
        """Return where the chip's file has the component of a role; ``rest``: keys in it."""
        return ("components", self.parts.name(role), *rest)

    def rows_in(self, name: str) -> int:
        """Return the rows of an edge in a frame of the schedule."""
        return self.frame // self.graph.edges[name].stride

    def cell_bytes(self) -> int:
        """Return about how much memory its cells take while they are programmed and read, in bytes."""
        return 0

    def scratch_bytes(self, op: Op) -> float:
        """Return about how much memory an op takes beside what it reads and gives, in bytes per frame of the input."""
        return 0.0

    @abstractmethod
    def takers(self, op: Op) -> tuple[str, ...]:
        """Return the components that take what an op reads."""

    @abstractmethod
    def givers(self, op: Op) -> tuple[str, ...]:
        """Return the components that give what an op makes."""

    def works(self, op: Op) -> bool:
        """Return whether an op has jobs: not what reads nothing, such as a table of distances."""
        return bool(op.reads())

    def source(self) -> str | None:
        """Return the component that gives the features to every engine, if they come in through this one."""
        return None

    def window(self, op: Op) -> FrameWindow:
        """Return which frames of the schedule an op reads."""
        return FrameWindow()

    def frames_read(self, op: Op, batch: int = 1) -> FrameWindow:
        """Return the frames that hold the rows which an op reads; ``batch``: frames that are worked on together."""
        window, rows = op.window(self.graph.read(op)), self.rows_in(op.reads()[0])
        if window.whole:
            return FrameWindow(whole=True)
        together = max(batch, -(-window.chunk // rows))
        return FrameWindow(-(-window.ahead // rows), -(-window.behind // rows), batch=together)

    def check_order(self, part: str, names: Collection[str]) -> None:
        """See that a part can do ops frame by frame, in their order: none may need another's results of later frames.

        ``names``: the ops that the part does.
        """
        ahead: dict[str, bool] = {}  # by what depends on one of them, whether it needs later frames of it
        for op in self.graph.ops:
            read = [ahead[name] for name in op.reads() if name in ahead]
            window = self.frames_read(op) if read else FrameWindow()
            later = any(read) or window.whole or window.ahead > 0 or window.batch > 1
            if op.name not in names:
                if read:
                    ahead[op.name] = later
                continue
            if later:
                self.problems.add(
                    f"layer '{op.name}' needs later frames of layers before it, and '{part}' does all of them frame by "
                    "frame, in the order of the layers"
                )
            ahead[op.name] = False

    def longest(self) -> int:
        """Return the frames of the longest utterance that the engine can hold."""
        return ANY_LENGTH

    @abstractmethod
    def jobs(self, ops: Sequence[Op], wires: Wires) -> list[Job]:
        """Return the jobs of connected ops, in order: a segment of the graph."""

    def check_memory(self, held: Mapping[str, Sequence[int]], longest: int) -> None:
        """Note whether the buffers between ops fit; ``held``: tokens of the channels behind each op.

        ``longest``: frames of the longest utterance that all engines can hold.
        """

    def instances_of(self, copy: str) -> int:
        """Return how many instances of a component work in the jobs of one of its copies, as ``adc[3]``.

        Those of one tile where it stands in tiles, else one.
        """
        spec = self.chip.components()[part_of(copy)]
        return spec.instances() // getattr(spec, "tiles", spec.instances())

    def tables(self) -> list[list[dict[str, Any]]]:
        """Return printable tables of how the ops lie on the parts."""
        return []

    def plan(self) -> Summary | None:
        """Return what was planned for a chunk, if anything was."""
        return None

    @abstractmethod
    def start(self, batch: Batch, seed: int, tell: Tell) -> Run:
        """Return a run of the engine over a batch; ``seed`` decides every draw."""


class Run(ABC):
    """One run of an engine: values of its ops, then counts of its jobs."""

    inexact: bool = False
    """Whether its values can differ from those of exact arithmetic, see `exact`."""

    def __init__(self) -> None:
        self.tallies = Tallies()

    @abstractmethod
    def values(self, ops: Sequence[Op], signals: dict[str, Signal]) -> None:
        """Compute a segment's ops and put what they give into ``signals``.

        Raises ValueError, which names the op, for values that it cannot take.
        """

    def draw(self, inputs: RandomInputs) -> None:
        """Draw random activity in place of values."""
        raise NotImplementedError(f"{type(self).__name__} has no random activity")

    def exact(self, ops: Sequence[Op], signals: dict[str, Signal]) -> None:
        """Compute a segment as `values` does, but without analogue devices.

        An engine that is inexact by its numbers alone computes it in float32.
        """
        self.values(ops, signals)

    @abstractmethod
    def count(self, job: Job, grid: Grid) -> tuple[Mapping[str, Counts], Macs | None]:
        """Return the counts of a job by role, and its multiplications."""
