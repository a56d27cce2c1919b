"""Means and largest values over windows of time and bands, or over all of a dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from accelsim.importers.onnx.codes import Codes, signed_zero
from accelsim.importers.onnx.fold import Const, Refused, attribute, whole
from accelsim.importers.onnx.lowering import MOST_TAPS, Anything, Lowering, Read, onnx_op
from accelsim.importers.onnx.operators.windows import places_of, window_of
from accelsim.importers.onnx.proto import Node
from accelsim.importers.onnx.values import Axis, Dims, Value, axes_of, width


def _read(read: Read) -> Value:
    """Return the value that a pool reads; raises `Refused`."""
    if not isinstance(read[0], Value):
        raise Refused("it pools what is no value")
    return read[0].unpadded()


@onnx_op("AveragePool", "MaxPool")
def pool(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """AveragePool and MaxPool whose windows touch."""
    x = _read(read)
    kernel = attribute(node, "kernel_shape", [], list)
    if len(kernel) != len(x.dims) - 2 or not all(isinstance(k, int) and 1 <= k <= MOST_TAPS for k in kernel):
        raise Refused(f"a kernel of {kernel[:8]} over {len(x.dims) - 2} dimensions")
    window = window_of(node, x, kernel)
    touching = all(taps.stride == taps.count and (taps.dilation == 1 or taps.count == 1) for taps in window)
    if not touching and any(taps.count > 1 or taps.stride > 1 for taps in window):
        strides = [taps.stride for taps in window]
        raise Refused(f"a window of {kernel} in steps of {strides}: windows that touch are taken")
    if any(taps.before or taps.after for taps in window):
        raise Refused("it pads; windows within the value are taken")
    time, band = places_of(x, window)
    for place in (time, band):
        if place is None:
            continue
        size, count = x.size(place), kernel[place - 2]
        if attribute(node, "ceil_mode", 0) and (size is None or size % count):
            raise Refused("ceil_mode keeps a window that is not whole")
        if size is not None and size < count:
            raise Refused(f"a window of {count} over {size} values")
    pooled = [1 if place is None else kernel[place - 2] for place in (time, band)]
    if pooled == [1, 1]:
        return [x]
    dims = list(x.dims)
    order: Sequence[Axis] = x.order
    if band is not None:
        new_band = x.dims[band] if pooled[1] == 1 else axes_of((x.size(band) or 1) // pooled[1])
        rest = [axis for axis in x.order if axis not in x.dims[band]]
        x = lowering.arranged(node, x, [*x.dims[band], *rest], x.size(band) or 1)
        dims[band] = new_band
        order = (*new_band, *rest)
    if time is not None and pooled[0] > 1:
        old = x.dims[time][0].size
        rule = (*x.dims[time][0].rule, (0, -pooled[0]))
        dims[time] = (Axis(None if old is None else old // pooled[0], time=True, rule=rule),)
    return [_pooled(lowering, node, x, pooled, tuple(dims), order)]


@onnx_op("GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax")
def pool_whole(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Means and largest values of whole dimensions: GlobalAveragePool, GlobalMaxPool, ReduceMean, ReduceMax."""
    x = _read(read)
    n = len(x.dims)
    if node.op.startswith("Global"):
        axes, keep = list(range(2, n)), True
    else:
        said = lowering.optional(node, 1)
        found = whole(said.array, "axes") if isinstance(said, Const) else attribute(node, "axes", None, list)
        axes = list(range(n)) if found is None else [int(axis) for axis in found]
        keep = bool(attribute(node, "keepdims", 1))
        if any(not -n <= axis < n for axis in axes):
            raise Refused(f"axes {axes[:8]} of {n} dimensions")
        axes = sorted({axis % n for axis in axes})
    taken = [axis for place in axes for axis in x.dims[place]]
    time = next((axis for axis in taken if axis.time), None)
    if time is not None and time.size is None:
        raise Refused("it takes the mean of all steps of time, of which there are as many as the input has")
    if time is not None and time.size is not None and time.size > MOST_TAPS:
        raise Refused(f"it pools {time.size:,} steps of time")
    inner = [axis for axis in x.order if axis in taken]
    rest = [axis for axis in x.order if axis not in taken]
    count = width(inner)
    bands = count if count > 1 else None
    x = lowering.arranged(node, x, [*inner, *rest], bands)
    size = [1 if time is None else time.size or 1, count]
    # One row is left of all steps of time, if time is taken.
    shape = tuple(() if place in axes else dim for place, dim in enumerate(x.dims) if keep or place not in axes)
    if size == [1, 1]:
        return [replace(x, dims=shape)]
    return [_pooled(lowering, node, x, size, shape, rest)]


def _pooled(lowering: Lowering, node: Node, x: Value, size: list[int], dims: Dims, order: Sequence[Axis]) -> Value:
    """Return a value pooled over so many steps of time and bands; codes without a scale keep theirs."""
    kind = "max_pool" if "Max" in node.op else "avg_pool"
    if x.real:
        return lowering.emit_folding(node, kind, {"input": x}, {"size": size}, dims, order)
    codes = Codes.all(x.edge.scale, signed_zero(x.edge), x.edge.bits, x.shift)
    made = lowering.emit(node, kind, {"input": x}, {"size": size}, dims, order, output=codes)
    return replace(made, real=False)
