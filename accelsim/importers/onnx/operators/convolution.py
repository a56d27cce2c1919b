"""Conv and ConvInteger: over time and one dimension more, or over one of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.importers.onnx.fold import Refused, attribute
from accelsim.importers.onnx.lowering import MOST_TAPS, Anything, Lowering, Read, onnx_op
from accelsim.importers.onnx.operators.integers import integer_operands
from accelsim.importers.onnx.operators.weighted import Weights, weighted, weights_of
from accelsim.importers.onnx.operators.windows import Taps, places_of, window_of
from accelsim.importers.onnx.proto import Node
from accelsim.importers.onnx.values import Axis, Value, axes_of, size_of


@onnx_op("Conv", inputs=2)
def conv(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Conv: over time and one dimension more, or over one of them; other dimensions are one."""
    x = read[0]
    if not isinstance(x, Value):
        raise Refused("it convolves a constant")
    weights = weights_of(read[1], 0)
    if not x.real:
        raise Refused("it convolves codes without their scale")
    return [_convolved(lowering, node, x, weights, read[2] if len(read) > 2 else None)]


@onnx_op("ConvInteger", inputs=2)
def conv_integer(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """ConvInteger: sums of products of codes as they are, where no zero point is in the way."""
    x, weights = integer_operands(lowering, node, read)
    return [_convolved(lowering, node, x, weights, None)]


def _convolved(lowering: Lowering, node: Node, x: Value, weights: Weights, bias: Anything | None) -> Value:
    """Return a value convolved with weights [outputs, channels read, taps ..]; raises `Refused`."""
    weight = weights.matrix
    if len(x.dims) < 3 or weight.ndim != len(x.dims):
        raise Refused(f"{len(x.dims)} dimensions and weights of {weight.ndim}; it needs as many, 3 or 4")
    kernel = list(weight.shape[2:])
    if attribute(node, "kernel_shape", kernel, list) != kernel or not all(kernel) or math.prod(kernel) > MOST_TAPS:
        raise Refused(f"a kernel of {kernel[:8]}, not that of its attribute, or of more than {MOST_TAPS:,} taps")
    window = window_of(node, x, kernel)
    group = _groups(node, x, weight)
    time, band = places_of(x, window)
    over_time, over_bands = (Taps() if place is None else window[place - 2] for place in (time, band))
    lengths: dict[int, int | None] = {}
    for place, taps in ((time, over_time), (band, over_bands)):
        if place is not None:
            size = x.size(place)
            lengths[place] = new = None if size is None else taps.length(size)
            if new is not None and new < 1:
                raise Refused(f"{size} values of dimension {place} are fewer than a kernel of {taps.count} needs")

    bands = 1 if band is None else x.size(band) or 1
    x = lowering.arranged_for(node, x, [*(() if band is None else x.dims[band]), *x.dims[1]])
    outputs = weight.shape[0]
    new_channels = axes_of(outputs)
    new_band = () if band is None else axes_of(lengths[band] or 1)
    dims = [dim if place < 2 or place in (time, band) else () for place, dim in enumerate(x.dims)]
    dims[1] = new_channels
    if band is not None:
        dims[band] = new_band
    if time is not None:
        axis = x.dims[time][0]
        rule = (*axis.rule, (over_time.grown, over_time.stride))
        same = over_time.grown == 0 and over_time.stride == 1
        dims[time] = (axis if same else Axis(lengths[time], time=True, rule=rule),)

    matrix: NDArray[Any] = _by_taps(weight, time, band).reshape(
        over_time.count, over_bands.count, weight.shape[1], outputs
    )
    keys: dict[str, Any]
    both = (over_time, over_bands)
    if bands == 1 and group == 1 and all(replace(taps, dilation=1) == Taps() for taps in both):
        kind, keys, matrix = "linear", {"outputs": outputs}, matrix.reshape(-1, outputs)
    else:
        kind = "conv"
        keys = {
            "channels": outputs, "kernel": [taps.count for taps in both], "stride": [taps.stride for taps in both],
            "dilation": [taps.dilation for taps in both],
            "padding": [[taps.before, taps.after] for taps in both], "bands": bands,
        }  # fmt: skip
        if group != 1:
            keys["depthwise"] = True
    x = replace(x, padding={}, cache=None)
    weights = replace(weights, matrix=matrix)
    return weighted(lowering, node, kind, x, keys, weights, bias, tuple(dims), (*new_band, *new_channels))


def _groups(node: Node, x: Value, weight: NDArray[Any]) -> int:
    """Return in how many groups the channels are, one or as many as channels; raises `Refused`."""
    group = attribute(node, "group", 1)
    channels = size_of(x.dims[1])
    if channels is None or x.timed(1):
        raise Refused("its channels are time: choose another time axis")
    if group < 1 or weight.shape[1] * group != channels or weight.shape[0] % group:
        raise Refused(f"{channels} channels in {group} groups and weights of shape {list(weight.shape)}")
    if group not in (1, channels):
        raise Refused(f"{channels} channels in {group} groups: all in one, or every channel for itself, are taken")
    if x.dims[0] and not x.timed(0):
        raise Refused("a batch of more than one")
    return int(group)


def _by_taps(weight: NDArray[Any], time: int | None, band: int | None) -> NDArray[Any]:
    """Return weights [out, in, taps ..] as [taps .., in, out], those over time first."""
    moved = np.moveaxis(weight, (0, 1), (-1, -2))
    return moved.swapaxes(0, 1) if time is not None and band is not None and band < time else moved
