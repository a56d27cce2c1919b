"""Rows of parts of others: Concat, Slice, Split, Gather, Pad; states of streaming convolutions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.importers.onnx.codes import signed_zero
from accelsim.importers.onnx.fold import Const, Refused, attribute, whole
from accelsim.importers.onnx.lowering import LARGEST_ROW, MOST_TAPS, Anything, Lowering, Read, onnx_op
from accelsim.importers.onnx.proto import Node
from accelsim.importers.onnx.values import Axis, Cache, State, StateOut, Value, axes_of, rest_of, width


def _state_in_front(node: Node, place: int) -> bool | None:
    """Return whether a Concat of two reads a state at this place: in front of new rows."""
    return place == 0 if len(node.inputs) == 2 else None


@onnx_op("Concat", state=_state_in_front)
def concat(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Concat of rows side by side; of a state and new rows, what a streaming convolution reads."""
    axis = attribute(node, "axis", 0)
    values = [one for one in read if isinstance(one, Value)]
    if any(isinstance(one, State) for one in read):
        if len(read) != 2 or not isinstance(read[0], State) or not values:
            raise Refused("a state that is not in front of new rows, and alone")
        return [_cached(lowering, node, read[0], values[0], axis)]
    if len(values) != len(read) or not values:
        raise Refused("it joins constants and values")
    if len(values) == 1:
        return [values[0]]
    n = len(values[0].dims)
    if not -n <= axis < n or any(len(value.dims) != n for value in values):
        raise Refused(f"axis {axis} of values of different dimensions")
    axis %= n
    values = [value.unpadded() for value in values]
    for value in values[1:]:
        for place in range(n):
            if place != axis and (
                value.size(place) != values[0].size(place) or value.timed(place) != values[0].timed(place)
            ):
                raise Refused(f"shapes {values[0].sizes()} and {value.sizes()} are not alike but for axis {axis}")
    if any(value.timed(axis) for value in values):
        raise Refused("it joins values one after the other in time")
    if len({value.real for value in values}) > 1:
        raise Refused("it joins codes and real numbers")
    follow = lowering.after(node.outputs[0])
    if follow.codes is not None and any(value.quantised for value in values):
        codes = follow.codes
        values = [
            value if codes.same(value.edge) and codes.unclamped
            else lowering.emit(node, "quantise", {"input": value}, {}, value.dims, value.order, output=codes,
                           suffix=f".input{place}")
            for place, value in enumerate(values)
        ]  # fmt: skip
    kinds = {(v.edge.kind, v.edge.bits, v.edge.scale, signed_zero(v.edge), v.edge.unsigned) for v in values}
    if not values[0].real and len(kinds) > 1:
        raise Refused("it joins codes of different scales")
    first = values[0]
    bands = width(rest_of(first, axis))
    joined = [lowering.arranged(node, value, [*rest_of(value, axis), *value.dims[axis]], bands) for value in values]
    new = axes_of(sum(value.size(axis) or 1 for value in values))
    dims = tuple(new if place == axis else dim for place, dim in enumerate(joined[0].dims))
    order = [*rest_of(joined[0], axis), *new]
    made = lowering.emit(node, "concat", {}, {"inputs": [value.op for value in joined]}, dims, order)
    if follow.codes is not None and follow.codes.same(made.edge):
        lowering.absorb(follow, made)
    return [replace(made, real=first.real, shift=first.shift if follow.codes is None else follow.codes.shift)]


def _cached(lowering: Lowering, node: Node, state: State, x: Value, axis: int) -> Value:
    """Return new rows with those before them in front: along time a padding, along a row rows side by side."""
    n = len(x.dims)
    if len(state.sizes) != n or not -n <= axis < n:
        raise Refused(f"a state of {list(state.sizes)} in front of {x.sizes()}")
    axis %= n
    kept = state.sizes[axis]
    if kept is None or not 0 < kept <= MOST_TAPS:
        raise Refused("how many rows the state keeps is not said")
    for place in range(n):
        if place != axis and (state.sizes[place] or 1) != (x.size(place) or 1):
            raise Refused(f"a state of {list(state.sizes)} in front of {x.sizes()}")
    lowering.remarks.append(f"state '{state.name}': {kept} rows, real 0 at the start")
    if x.timed(axis):
        return replace(x, padding={axis: (kept, 0)}, cache=Cache(state.name, axis, kept))
    if x.time is not None:
        raise Refused("a state along another dimension than time")
    new = width(x.dims[axis])
    rows = -(-kept // new) + 1
    rest = rest_of(x, axis)
    x = lowering.arranged(node, x, [*x.dims[axis], *rest])
    both = Axis(rows * new)
    dims = tuple((both,) if place == axis else dim for place, dim in enumerate(x.dims))
    keys = {"rows": rows, "hop": 1, "padding": rows - 1}
    made = lowering.emit(node, "stack", {"input": x}, keys, dims, [both, *rest])
    if rows * new > kept + new:
        part = axes_of(kept + new)
        dims = tuple(part if place == axis else dim for place, dim in enumerate(dims))
        begin = (rows * new - kept - new) * width(rest)
        made = lowering.emit(node, "slice", {"input": made}, {"begin": begin}, dims, [*part, *rest], suffix=".slice")
    return replace(made, cache=Cache(state.name, axis, kept), real=x.real, shift=x.shift)


@onnx_op("Slice")
def slice_(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Slice of a row, or the new state of a cache."""
    x = read[0]
    if not isinstance(x, Value):
        raise Refused("it slices what is no value")
    n = len(x.dims)
    if "starts" in node.attributes:
        lists = [attribute(node, key, None, list) for key in ("starts", "ends", "axes")]
        lists.append(None)
    else:
        lists = []
        for place, what in enumerate(("starts", "ends", "axes", "steps"), 1):
            there = place < len(node.inputs) and node.inputs[place]
            lists.append(whole(lowering.constant(node, place, what), what) if there else None)
    begins, ends, axes, steps = lists
    if begins is None or ends is None:
        raise Refused("it has no starts or no ends")
    axes = list(range(len(begins))) if axes is None else axes
    steps = [1] * len(begins) if steps is None else steps
    if not len(begins) == len(ends) == len(axes) == len(steps):
        raise Refused("starts, ends, axes and steps are not as many")
    for begin, end, axis, step in zip(begins, ends, axes, steps, strict=True):
        if not -n <= axis < n or step == 0:
            raise Refused(f"axis {axis} of {n} dimensions, or a step of 0")
        axis %= n
        if (state := _next_state(lowering, node, x, begin, end, axis, step)) is not None:
            return [state]
        size = x.size(axis)
        if size is None:
            if begin == 0 and step == 1 and end >= 1 << 30:
                continue
            raise Refused("it takes a part of time, of which there is as much as the input has")
        taken = range(size)[slice(begin, None if step < 0 and end <= -(1 << 30) else end, step)]
        if len(taken) == size and step == 1:
            continue
        if not len(taken):
            raise Refused("it takes nothing")
        x = _part(lowering, node, x.unpadded(), axis, taken)
    return [x]


def _next_state(
    lowering: Lowering, node: Node, x: Value, begin: int, end: int, axis: int, step: int
) -> StateOut | None:
    """Return the new state, where a slice is the end of a cache and an output of the graph."""
    if x.cache is None or not lowering.is_result(node.outputs[0]):
        return None
    size = x.size(axis)
    total = None if size is None or x.padding else size
    ends = end >= 1 << 30 or (total is not None and end >= total)
    begins = begin == -x.cache.kept or (total is not None and begin == total - x.cache.kept)
    if axis == x.cache.dim and begins and ends and step == 1:
        lowering.states.append(x.cache.state)
        return StateOut(x.cache.state)
    return None


def _part(lowering: Lowering, node: Node, x: Value, axis: int, taken: range) -> Value:
    """Return a part of a dimension of a row."""
    if x.timed(axis):
        x = lowering.collapsed(node, x)
    inner = [*x.dims[axis]]
    new = axes_of(len(taken))
    dims = tuple(new if place == axis else dim for place, dim in enumerate(x.dims))
    rest = [one for one in x.order if one not in inner]
    k = len(inner)
    if list(x.order) == [*inner, *rest] and taken.step == 1:
        one = width(rest)
        keys: dict[str, Any] = {"begin": taken.start * one, "end": (taken.start + len(taken)) * one}
        order = [*new, *rest]
    elif list(x.order) == [*rest, *inner] and taken.step == 1 and x.edge.bands == width(rest):
        keys = {"begin": taken.start, "end": taken.start + len(taken), "of": "channels"}
        order = [*rest, *new]
    else:
        index = np.arange(x.edge.width).reshape([one.size or 1 for one in x.order])
        index = np.moveaxis(index, [x.order.index(one) for one in inner], range(k))
        index = index.reshape(width(inner), -1)[np.arange(taken.start, taken.stop, taken.step)]
        return lowering.gathered(node, x, index.reshape(-1), dims, [*new, *rest])
    made = lowering.emit(node, "slice", {"input": x}, keys, dims, order)
    return replace(made, real=x.real, shift=x.shift)


@onnx_op("Split")
def split(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Split of a row."""
    x = read[0]
    if not isinstance(x, Value):
        raise Refused("it splits what is no value")
    n, axis = len(x.dims), attribute(node, "axis", 0)
    if not -n <= axis < n:
        raise Refused(f"axis {axis} of {n} dimensions")
    axis %= n
    size = x.size(axis)
    if size is None:
        raise Refused("it splits time, of which there is as much as the input has")
    said = lowering.optional(node, 1)
    sizes = whole(said.array, "sizes") if isinstance(said, Const) else attribute(node, "split", None, list)
    if sizes is None:
        parts = len(node.outputs)
        each = -(-size // max(parts, 1))
        sizes = [min(each, size - each * i) for i in range(parts)]
    if sum(sizes) != size or len(sizes) != len(node.outputs) or any(one < 1 for one in sizes):
        raise Refused(f"parts of {sizes[:8]} of {size} values")
    ends = np.cumsum(sizes).tolist()
    x = x.unpadded()
    return [_part(lowering, node, x, axis, range(end - one, end)) for one, end in zip(sizes, ends, strict=True)]


@onnx_op("Gather", inputs=2)
def gather(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Gather of constant places of a row."""
    x = read[0]
    if not isinstance(x, Value):
        raise Refused("it reads places of what is no value")
    index = lowering.constant(node, 1, "index")
    n, axis = len(x.dims), attribute(node, "axis", 0)
    if not -n <= axis < n or index.ndim > 1 or index.dtype.kind not in "iu" or not index.size:
        raise Refused(f"axis {axis} of {n} dimensions, or an index of {index.ndim}")
    axis %= n
    size = x.size(axis)
    if size is None:
        raise Refused("it takes places of time, of which there is as much as the input has")
    places = np.where(index < 0, index + size, index).reshape(-1)
    if len(places) > LARGEST_ROW or places.min() < 0 or places.max() >= size:
        raise Refused(f"places beyond {size} values")
    x = x.unpadded()
    if x.timed(axis):
        x = lowering.collapsed(node, x)
    if len(places) == 1:
        found = _part(lowering, node, x, axis, range(int(places[0]), int(places[0]) + 1)) if size > 1 else x
    else:
        found = _at(lowering, node, x, axis, places)
    if index.ndim == 0:
        found = found.moved(tuple(dim for place, dim in enumerate(found.dims) if place != axis))
    return [found]


def _at(lowering: Lowering, node: Node, x: Value, axis: int, places: NDArray[np.int64]) -> Value:
    """Return values at places of a dimension, in any order, also more than once."""
    inner = [*x.dims[axis]]
    rest = [one for one in x.order if one not in inner]
    index = np.arange(x.edge.width).reshape([one.size or 1 for one in x.order])
    # The dimension's own order first, then the rest of the row as it lies.
    index = index.transpose([x.order.index(one) for one in [*inner, *rest]]).reshape(width(inner), -1)
    new = axes_of(len(places))
    if len(places) * index.shape[1] > LARGEST_ROW:
        raise Refused(f"a row of {len(places) * index.shape[1]:,} values")
    dims = tuple(new if place == axis else dim for place, dim in enumerate(x.dims))
    return lowering.gathered(node, x, index[places].reshape(-1), dims, [*new, *rest])


@onnx_op("Pad")
def pad(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Pad with zeros in front of a convolution; by reflection or repetition within a row."""
    x = read[0]
    if not isinstance(x, Value):
        raise Refused("it pads what is no value")
    mode, n = attribute(node, "mode", "constant", str), len(x.dims)
    pads = attribute(node, "pads", None, list) if "pads" in node.attributes else whole(
        lowering.constant(node, 1, "pads"), "pads")  # fmt: skip
    said = lowering.optional(node, 3)
    axes = whole(said.array, "axes") if isinstance(said, Const) else list(range(n))
    if pads is None or len(pads) != 2 * len(axes) or any(not -n <= axis < n for axis in axes):
        raise Refused(f"pads of {n} dimensions that are not twice as many")
    if any(not 0 <= one <= MOST_TAPS for one in pads):
        raise Refused(f"pads {pads[:8]}")
    fill = lowering.optional(node, 2)
    value = 0.0
    if isinstance(fill, Const) and fill.array.size == 1 and fill.array.dtype.kind in "fiu":
        value = float(fill.array.reshape(-1)[0])
    elif fill is not None:
        raise Refused("its value is not a constant")
    value = attribute(node, "value", value, float)
    for place, axis in enumerate(axes):
        before, after = pads[place], pads[place + len(axes)]
        if not before and not after:
            continue
        axis %= n
        if mode == "constant":
            if value != 0 or not x.real:
                raise Refused(f"it pads with {value:g}; real zeros are taken")
            old = x.padding.get(axis, (0, 0))
            x = replace(x, padding={**x.padding, axis: (old[0] + before, old[1] + after)}, cache=None)
            lowering.remarks.append("in the padding of the convolution behind it")
            continue
        size = x.size(axis)
        if mode not in ("reflect", "edge", "wrap") or size is None or x.timed(axis):
            raise Refused(f"mode '{mode[:20]}' over time, or not known")
        if mode == "reflect" and max(before, after) >= size:
            raise Refused(f"it reflects {max(before, after)} of {size} values")
        numpy_mode: Any = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}[mode]
        x = _at(lowering, node, x.unpadded(), axis, np.pad(np.arange(size), (before, after), mode=numpy_mode))
    return [x]
