"""A network as one graph of ops: what travels on every edge, who reads whom, and what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from accelsim import limits
from accelsim.errors import did_you_mean, nearest
from accelsim.kernels.requantise import Rounding
from accelsim.ops.attention import AttentionOp
from accelsim.ops.op import ANY_LENGTH, FEATURES, Edge, Op, ShortForm, Tensors
from accelsim.schema import messages_of

_TYPES = (np.int8, np.int16, np.int32, np.float32, np.float16)
"""What tensors of a network are stored as, from the narrowest on."""
_BYTES_OF_WEIGHT = 2  # integers of 8 bits, or float16


class GraphError(ValueError):
    """Something is wrong with one op of a graph; ``place``: its place in the list that the file gives."""

    def __init__(self, place: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.place, self.hint = place, hint


@dataclass(frozen=True)
class Graph:
    """Ops in order, each reading the features or ops before it, and the edges between them by name.

    ``places``: in which item of the file's list each op stands.
    """

    ops: tuple[Op, ...]
    edges: Mapping[str, Edge]
    places: Mapping[str, int]

    @classmethod
    def of(cls, items: Iterable[Op | ShortForm], features: Edge, rounding: Rounding = "double_away") -> Graph:
        """Return the graph of a list of ops and short forms; raises GraphError for the first that does not fit.

        ``rounding``: how integer ops make codes that do not say it themselves, see `accelsim.kernels.requantise`. An op
        too many, or one of too wide a row or too much state, is refused too, see `accelsim.limits`.
        """
        most = limits.current()
        ops: list[Op] = []
        places: dict[str, int] = {}
        edges = {FEATURES: features}
        for place, item in enumerate(items):
            for op in _ops_of(item, place):
                if len(ops) == most.ops:
                    raise GraphError(place, *limits.over("ops"))
                try:
                    settled, edge = _placed(op, edges, rounding)
                except ValueError as error:
                    raise GraphError(place, str(error)) from None
                if edge.width > most.tensor_values:
                    raise GraphError(place, *limits.over("tensor_values", edge.width, f"a row of layer '{op.name}'"))
                kept = sum(map(math.prod, settled.state([edges[name] for name in settled.reads()]).values()))
                if kept > most.state_values:
                    raise GraphError(place, *limits.over("state_values", kept, f"layer '{op.name}' has {kept:,}"))
                edges[op.name] = edge
                ops.append(settled)
                places[op.name] = place
        graph = cls(tuple(ops), edges, places)
        for op in ops[:-1]:
            if not graph.readers[op.name]:
                raise GraphError(places[op.name], f"layer '{op.name}' is read by none")
        if graph.given.distances:
            raise GraphError(
                places[graph.last.name],
                f"layer '{graph.last.name}' gives the outputs, and they do not depend on '{FEATURES}'",
            )
        return graph

    @property
    def last(self) -> Op:
        """The op that gives the outputs."""
        return self.ops[-1]

    @property
    def given(self) -> Edge:
        """The edge of the outputs."""
        return self.edges[self.last.name]

    @cached_property
    def by_name(self) -> Mapping[str, Op]:
        """The ops by name."""
        return {op.name: op for op in self.ops}

    @cached_property
    def readers(self) -> Mapping[str, list[str]]:
        """Which ops read each edge, in order."""
        found: dict[str, list[str]] = {name: [] for name in self.edges}
        for op in self.ops:
            for name in dict.fromkeys(op.reads()):
                found[name].append(op.name)
        return found

    @cached_property
    def last_reader(self) -> Mapping[str, str]:
        """The op after which nobody needs an edge any more."""
        return {read: op.name for op in self.ops for read in op.reads()}

    @cached_property
    def reach(self) -> int:
        """Within how many frames all lie that a frame's attention sees: left + chunk, or any number."""
        attending = [op for op in self.ops if isinstance(op, AttentionOp)]
        if not attending or any(op.chunk is None for op in attending):
            return ANY_LENGTH
        return max(op.keys_seen() for op in attending)

    def chunks(self, ops: Sequence[Op]) -> dict[int, str]:
        """Return how many frames of the input ops work on together, where they do: each number with its last op."""
        found = {}
        for op in ops:
            rows = 1 if self.distances(op.name) else op.window(self.read(op)).chunk
            if rows > 1:
                found[rows * self.edges[op.name].stride] = op.name
        return found

    def read(self, op: Op) -> list[Edge]:
        """Return the edges that an op reads."""
        return [self.edges[name] for name in op.reads()]

    def distances(self, name: str) -> bool:
        """Return whether an op depends on distances between frames alone."""
        return self.edges[name].distances

    def check_sizes(self) -> None:
        """Raise GraphError for the first op that has more values in a tensor, or with those before, than the limits.

        Or where all of them would take more memory than there is.
        """
        most, total = limits.current(), 0
        sizes: dict[str, int] = {}
        for op in self.ops:
            for end, shape in op.shapes(self.read(op)).items():
                values = math.prod(shape)
                total += values - sizes.get(name := op.tensor_name(end), 0)  # several ops may read one
                sizes[name] = values
                if values > most.tensor_values:
                    what = f"'{name}' is {' x '.join(f'{n:,}' for n in shape)}"
                    raise GraphError(self.places[op.name], *limits.over("tensor_values", values, what))
                if total > most.network_values:
                    raise GraphError(self.places[op.name], *limits.over("network_values"))
        if refused := limits.check_memory(_BYTES_OF_WEIGHT * total, f"a network of {total:,} values"):
            raise GraphError(self.places[self.last.name], *refused)

    def tensor_problems(
        self, tensors: Tensors, *, reference: bool = False, cut_short: bool = False
    ) -> Iterator[tuple[int, str, str | None]]:
        """Yield everything that is wrong with tensors: place of the op, message, hint.

        Missing, of a wrong shape or type, out of range, not finite, or read by no op; with ``reference``, of the float
        network. ``cut_short``: the tensors may be those of more layers than the graph has.
        """
        wanted = {op.name: op.float_shapes(self.read(op)) if reference else op.shapes(self.read(op)) for op in self.ops}
        known = {op.tensor_name(end): op for op in reversed(self.ops) for end in wanted[op.name]}
        nobody_reads = [name for name in tensors if name not in known]
        misspelt: set[str | None] = set()  # one mistake, not two
        for op in self.ops:
            for end, shape in wanted[op.name].items():
                name = op.tensor_name(end)
                if name not in tensors:
                    if end not in op.optional():
                        hint = did_you_mean(name, nobody_reads)
                        misspelt.add(nearest(name, nobody_reads))
                        yield self.places[op.name], f"no tensor '{name}'", hint
                    continue
                problem = op.shape_problem(end, shape, tensors[name].shape)
                if problem is None:
                    problem = (
                        op.float_problem(end, tensors[name])
                        if reference
                        else op.tensor_problem(end, tensors[name], tensors)
                    )
                if problem is not None:
                    flipped = tensors[name].shape[::-1]
                    turned = flipped != tensors[name].shape and not op.shape_problem(end, shape, flipped)
                    hint = "its transpose fits: give array.T" if turned else None
                    yield self.places[op.name], f"tensor '{name}' {problem}", hint
        rest = [name for name in nobody_reads if name not in misspelt]
        yield from self._unread(rest, known, tensors, cut_short)

    def laid_out(self, tensors: Mapping[str, NDArray[Any]], *, reference: bool = False) -> dict[str, NDArray[Any]]:
        """Return tensors of the right shape in the type that their ops read, where that holds every value.

        What fits no type is returned as it is, and `tensor_problems` tells why.
        """
        found = dict(tensors)
        for op in self.ops:
            shapes = op.float_shapes(self.read(op)) if reference else op.shapes(self.read(op))
            for end, shape in shapes.items():
                name = op.tensor_name(end)
                if name not in found or op.shape_problem(end, shape, found[name].shape):
                    continue
                given = found[name]
                for kind in (given.dtype.type, *_TYPES):
                    with np.errstate(over="ignore", invalid="ignore"):
                        cast = given.astype(kind)
                    found[name] = cast
                    fits = np.array_equal(cast.astype(given.dtype), given)
                    wrong = op.float_problem(end, cast) if reference else op.tensor_problem(end, cast, found)
                    if fits and not wrong:
                        break
                else:
                    found[name] = given
        return found

    def _unread(
        self, names: Iterable[str], known: Mapping[str, Op], tensors: Tensors, cut_short: bool
    ) -> Iterator[tuple[int, str, str | None]]:
        """Yield the problem of each of the tensors that no op reads; ``known``: the names that ops read."""
        layers = {name.rpartition(".")[0] for name in known}
        free = [name for name in known if name not in tensors]
        for name in names:
            layer = name.rpartition(".")[0]
            if cut_short and layer not in layers:
                continue
            near = nearest(name, known)  # its layer's place in the file is the best there is
            place = 0 if near is None else self.places[known[near].name]
            hint = did_you_mean(name, [other for other in free if other.rpartition(".")[0] == layer] or free)
            yield place, f"no layer reads tensor '{name}'", hint


def _ops_of(item: Op | ShortForm, place: int) -> Iterator[Op]:
    """Yield the ops that an item of a file's list stands for; raises GraphError for a wrong op of a short form."""
    try:
        yield from item.ops() if isinstance(item, ShortForm) else [item]
    except ValidationError as error:
        raise GraphError(place, f"layer '{item.name}': its {error.title} {'; '.join(messages_of(error))}") from None


def _placed(op: Op, edges: Mapping[str, Edge], rounding: Rounding) -> tuple[Op, Edge]:
    """Return an op as it stands in the graph, and what it gives; raises ValueError for what it cannot read."""
    name = f"layer '{op.name}'"
    if op.name in edges:
        raise ValueError(f"two layers are named '{op.name}'")
    for read in op.reads():
        if read not in edges:
            raise ValueError(f"{name} reads '{read}', which is not before it; {did_you_mean(read, edges)}")
        if edges[read].kind not in op.takes:
            takes = " or ".join(sorted(op.takes))
            raise ValueError(f"{name} ({op.op}) takes {takes}, and '{read}' gives {edges[read].kind}")
    read_edges = [edges[read] for read in op.reads()]
    if problem := op.distances_problem(read_edges):
        raise ValueError(f"{name} {problem}")
    try:
        op = op.settled(read_edges, rounding)
        given = op.infer(read_edges)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return op, replace(given, steps=read_edges[0].steps) if read_edges else given
