"""What values of an ONNX graph are here: rows of an op, and how the dimensions of a tensor lie in them.

A tensor has dimensions in any order; here one of them may be time, whose steps are rows, and the rest lie in a row.
So dimensions are made of axes: reshaping divides and joins axes, transposing moves them, and neither moves a value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from accelsim.importers.onnx.fold import Refused
from accelsim.ops.op import Edge

DYNAMIC = -(1 << 40)
"""The size of a dimension that a file leaves open, where a graph computes with shapes."""


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of the data, itself and no other of the same size; the size of time may be open, None.

    ``rule``: how so many steps of time come from those of the input: what each op adds, and its stride.
    """

    size: int | None
    time: bool = False
    rule: tuple[tuple[int, int], ...] = ()


Dims = tuple[tuple[Axis, ...], ...]


@dataclass(frozen=True)
class Cache:
    """That a value is a state with new rows behind it: the input that holds the state, along which dimension."""

    state: str
    dim: int
    kept: int


@dataclass(frozen=True)
class Value:
    """A tensor of the graph: rows of ``op``, its axes by dimension, and in the order in which they lie in a row.

    ``shift``: what an integer is more in the file than here; ``raw``: it is the input itself, of whose codes the file
    says nothing; ``padding``: zeros before and after a dimension that what reads it has to add.
    """

    op: str
    edge: Edge
    dims: Dims
    order: tuple[Axis, ...]
    shift: int = 0
    real: bool = True
    raw: bool = False
    padding: dict[int, tuple[int, int]] = field(default_factory=dict)
    cache: Cache | None = None

    @property
    def time(self) -> Axis | None:
        """The axis whose steps are rows; None where every call of the network is a row."""
        return next((axis for dim in self.dims for axis in dim if axis.time), None)

    @property
    def quantised(self) -> bool:
        """Whether it is made of codes, not of real numbers."""
        return self.edge.kind == "codes" and self.edge.bits <= 16

    def size(self, place: int) -> int | None:
        """Return the size of a dimension, None if it is open."""
        return size_of(self.dims[place])

    def sizes(self) -> list[int | None]:
        """Return the sizes of all dimensions."""
        return [size_of(dim) for dim in self.dims]

    def timed(self, place: int) -> bool:
        """Return whether time is in a dimension."""
        return any(axis.time for axis in self.dims[place])

    def shape(self) -> NDArray[np.int64]:
        """Return the shape as a graph computes with it."""
        return np.array([DYNAMIC if size is None else size for size in self.sizes()], np.int64)

    def places(self) -> NDArray[np.int64]:
        """Return for each value of a row its place in the tensor at one time, dimension after dimension."""
        axes = [axis for dim in self.dims for axis in dim if not axis.time]
        index = np.arange(width(axes)).reshape([axis.size or 1 for axis in axes])
        return index.transpose([axes.index(axis) for axis in self.order]).reshape(-1)

    def unpadded(self) -> Value:
        """Return the value; raises `Refused` for one that is padded."""
        if self.padding:
            raise Refused("Pad pads it, and only a convolution takes padding in")
        return self

    def readable(self) -> Value:
        """Return the value; raises `Refused` for one that is padded, or codes without their scale."""
        if not self.real and self.quantised:
            raise Refused("it computes with codes without their scale")
        return self.unpadded()

    def moved(self, dims: Dims) -> Value:
        """Return the same rows with other dimensions of the same axes."""
        if self.padding:
            raise Refused("it moves what Pad has padded; only a convolution takes padding in")
        return replace(self, dims=dims, cache=None)


@dataclass(frozen=True)
class State:
    """An input of the graph that carries a state from call to call."""

    name: str
    sizes: tuple[int | None, ...]


@dataclass(frozen=True)
class StateOut:
    """The new state that the graph gives back."""

    name: str


class Unknown:
    """What a node that is refused gives: what reads it is not looked at."""


class Last(Unknown):
    """A last state that no row of ours is."""


def size_of(axes: Sequence[Axis]) -> int | None:
    """Return the product of sizes, None if one is open."""
    return None if any(axis.size is None for axis in axes) else math.prod(axis.size or 0 for axis in axes)


def width(axes: Sequence[Axis]) -> int:
    """Return the product of sizes, none of which is open."""
    return math.prod(axis.size or 1 for axis in axes)


def axes_of(size: int) -> tuple[Axis, ...]:
    """Return a dimension of new values: one axis, or none for one value."""
    return () if size == 1 else (Axis(size),)


def rest_of(value: Value, axis: int) -> list[Axis]:
    """Return the axes of a row but for those of one dimension, dimension after dimension."""
    return [one for place, dim in enumerate(value.dims) if place != axis for one in dim if not one.time]


def reshaped(value: Value, wanted: Sequence[int], *, allow_zero: bool) -> Value:
    """Return a value in another shape, by dividing and joining axes; raises `Refused`."""
    sizes = value.sizes()
    target: list[int | None] = []
    for place, size in enumerate(wanted):
        if size == 0 and not allow_zero:
            if place >= len(sizes):
                raise Refused(f"shape {list(wanted)} keeps a dimension that is not there")
            target.append(sizes[place])
        else:
            target.append(None if size == DYNAMIC else size)
    known = math.prod(size for size in target if size not in (None, -1))
    total = size_of([axis for dim in value.dims for axis in dim])
    rest = width([axis for dim in value.dims for axis in dim if axis.size is not None])
    if target.count(-1) > 1:
        raise Refused(f"shape {list(wanted)} leaves more than one size open")
    if -1 in target:
        place = target.index(-1)
        if total is None and None not in target:
            if known != rest:
                raise Refused(f"shape {list(wanted)} joins the open dimension with others")
            target[place] = None
        else:
            if known <= 0 or rest % known:
                raise Refused(f"{sizes} has not the shape {list(wanted)}")
            target[place] = rest // known
    left = [axis for dim in value.dims for axis in dim]
    order = list(value.order)
    dims: list[tuple[Axis, ...]] = []
    for one in target:
        dims.append(_taken(one, left, order, sizes, wanted))
    if any(axis.size != 1 for axis in left):
        raise Refused(f"{sizes} has not the shape {list(wanted)}")
    if left:  # a step of time of one: it goes where a 1 is
        free = next((i for i, dim in enumerate(dims) if not dim), None)
        if free is None:
            raise Refused(f"shape {list(wanted)} has no place for time")
        dims[free] = tuple(left)
    return replace(value.moved(tuple(dims)), order=tuple(order))


def _taken(
    size: int | None, left: list[Axis], order: list[Axis], sizes: Sequence[int | None], wanted: Sequence[int]
) -> tuple[Axis, ...]:
    """Take axes of so many values from those that are left; an axis of more is divided, in the row's order too."""
    problem = f"{list(sizes)} has not the shape {list(wanted)} without dividing time or moving values"
    if size is None:
        if not left or left[0].size is not None:
            raise Refused(problem)
        return (left.pop(0),)
    if size < 0:
        raise Refused(problem)
    found: list[Axis] = []
    need = size
    while need > 1:
        if not left or left[0].size is None:
            raise Refused(problem)
        axis = left.pop(0)
        have = axis.size or 1
        if need % have == 0:
            need //= have
            found.append(axis)
        elif have % need == 0 and not axis.time:
            first, second = Axis(need), Axis(have // need)
            place = order.index(axis)
            order[place : place + 1] = [first, second]
            left.insert(0, second)
            found.append(first)
            need = 1
        else:
            raise Refused(problem)
    if size == 1 and left and left[0].time and left[0].size == 1:
        found.append(left.pop(0))
    return tuple(found)
