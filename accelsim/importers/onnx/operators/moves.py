"""Other dimensions of the same values: Reshape, Flatten, Transpose, Squeeze, Unsqueeze; what changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from accelsim.importers.onnx.fold import Const, Quantised, Refused, attribute, fold, whole
from accelsim.importers.onnx.lowering import Anything, Lowering, Read, onnx_op
from accelsim.importers.onnx.proto import Node
from accelsim.importers.onnx.values import Value, reshaped

Move = Callable[[Lowering, Node, Value], Value]


def _move(name: str, *, inputs: int = 1, moves: bool = True) -> Callable[[Move], Move]:
    """Enter a function of a value as the rule of an operator; quantised constants move as they are."""

    def entered(move: Move) -> Move:
        @onnx_op(name, inputs=inputs, moves=moves)
        def rule(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
            x = read[0]
            if isinstance(x, Quantised):
                return [_moved_constant(lowering, node, x, read)]
            if not isinstance(x, Value):
                raise Refused("it moves what is no value")
            return [move(lowering, node, x)]

        return move

    return entered


def _moved_constant(lowering: Lowering, node: Node, x: Quantised, read: Read) -> Quantised:
    """Return quantised weights turned: a scale goes with its axis."""
    arrays: list[NDArray[Any] | None] = [x.codes]
    arrays += [one.array if isinstance(one, Const) else None for one in read[1:]]
    moved = fold(node, arrays, lowering.version)[0]
    axis = x.axis
    if x.scale.size > 1:
        if node.op == "Transpose":
            n = x.codes.ndim
            axis = attribute(node, "perm", list(range(n))[::-1], list).index(x.axis)
        elif node.op != "Identity":
            places = [place for place, size in enumerate(moved.shape) if size == x.scale.size]
            if len(places) != 1:
                raise Refused("it reshapes weights with a scale an output")
            axis = places[0]
    return Quantised(moved, x.scale, x.zero_point, axis, x.four_bits)


@_move("Identity")
def identity(lowering: Lowering, node: Node, x: Value) -> Value:
    """Identity: the value."""
    return x


@_move("Dropout")
def dropout(lowering: Lowering, node: Node, x: Value) -> Value:
    """Dropout: the value, since a network in use drops nothing."""
    training = lowering.optional(node, 2)
    if training is not None and not isinstance(training, Const):
        raise Refused("training_mode is not a constant")
    return x


@_move("Cast", moves=False)
def cast(lowering: Lowering, node: Node, x: Value) -> Value:
    """Cast to floating-point numbers: the value, as real numbers."""
    if attribute(node, "to", 0) not in (1, 10, 11):
        raise Refused("it casts to what is no floating-point number")
    return replace(x, real=True)


@_move("Transpose")
def transpose(lowering: Lowering, node: Node, x: Value) -> Value:
    """Transpose: the dimensions in another order, and what Pad has padded with them."""
    n = len(x.dims)
    perm = attribute(node, "perm", list(range(n))[::-1], list)
    if sorted(perm) != list(range(n)):
        raise Refused(f"perm {perm[:8]} of {n} dimensions")
    moved = replace(x, padding={}).moved(tuple(x.dims[axis] for axis in perm))
    return replace(moved, padding={perm.index(place): value for place, value in x.padding.items()})


@_move("Flatten")
def flatten(lowering: Lowering, node: Node, x: Value) -> Value:
    """Flatten: the dimensions before an axis as one, and those behind it."""
    n, axis = len(x.dims), attribute(node, "axis", 1)
    axis = axis + n if axis < 0 else axis
    if not 0 <= axis <= n:
        raise Refused(f"axis {axis} of {n} dimensions")
    return x.moved(tuple(tuple(one for dim in part for one in dim) for part in (x.dims[:axis], x.dims[axis:])))


@_move("Reshape", inputs=2)
def reshape(lowering: Lowering, node: Node, x: Value) -> Value:
    """Reshape: axes divided and joined."""
    shape = whole(lowering.constant(node, 1, "shape"), "sizes", 1 << 41)
    return reshaped(x, shape, allow_zero=bool(attribute(node, "allowzero", 0)))


@_move("Unsqueeze")
def unsqueeze(lowering: Lowering, node: Node, x: Value) -> Value:
    """Unsqueeze: new dimensions of one value."""
    axes = _axes(lowering, node) or []
    total = len(x.dims) + len(axes)
    if not axes or any(not -total <= axis < total for axis in axes) or total > 8:
        raise Refused(f"axes {axes[:8]} of {total} dimensions")
    new = {axis % total for axis in axes}
    rest = iter(x.dims)
    if len(new) != len(axes):
        raise Refused("an axis twice")
    return x.moved(tuple(() if place in new else next(rest) for place in range(total)))


@_move("Squeeze")
def squeeze(lowering: Lowering, node: Node, x: Value) -> Value:
    """Squeeze: without dimensions of one value; one step of time stays a row."""
    n, axes = len(x.dims), _axes(lowering, node)
    one = [place for place in range(n) if x.size(place) == 1]
    gone = {axis % n for axis in axes if -n <= axis < n} if axes else set(one)
    if not gone <= set(one) or (axes and any(not -n <= axis < n for axis in axes)):
        raise Refused(f"it squeezes axes {axes} of {x.sizes()}")
    return x.moved(tuple(dim for place, dim in enumerate(x.dims) if place not in gone))


def _axes(lowering: Lowering, node: Node) -> list[int] | None:
    """Return the axes that a node names, as an input or an attribute; raises `Refused`."""
    said = lowering.optional(node, 1)
    if said is not None and not isinstance(said, Const):
        raise Refused("its axes are not constants")
    found: list[int] | None = attribute(node, "axes", None, list) if said is None else whole(said.array, "axes")
    return found


@onnx_op("Shape")
def shape(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Shape of a value: a constant; an open dimension has the size `values.DYNAMIC`."""
    if not isinstance(read[0], Value):
        raise Refused("it asks for the shape of what is no value")
    begin, end = attribute(node, "start", 0), attribute(node, "end", None)
    return [Const(read[0].shape()[begin:end])]
