"""Over the values of a row: batch and layer normalisation, softmax."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from accelsim.importers.onnx.fold import Const, Quantised, Refused, attribute
from accelsim.importers.onnx.lowering import Anything, Lowering, Read, onnx_op
from accelsim.importers.onnx.operators.elementwise import affine, spread
from accelsim.importers.onnx.proto import Node
from accelsim.importers.onnx.values import Value, size_of, width


def batch_norm_terms(lowering: Lowering, node: Node, outputs: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return gain and offset of a batch norm: g = scale / sqrt(variance + epsilon), bias - mean g.

    Raises `Refused` where its statistics are not constants, or not finite.
    """
    if attribute(node, "training_mode", 0):
        raise Refused("it computes statistics of its batch (training_mode)")
    arrays = [lowering.numbers(node, place, what) for place, what in
              enumerate(("scale", "bias", "mean", "variance"), 1)]  # fmt: skip
    if any(one.size != outputs or one.dtype.kind != "f" for one in arrays):
        raise Refused(f"its statistics are not {outputs} numbers each")
    scale, shift, mean, variance = (one.reshape(-1).astype(np.float64) for one in arrays)
    with np.errstate(all="ignore"):
        gain = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5, float))
        offset = shift - mean * gain
    if not (np.isfinite(gain).all() and np.isfinite(offset).all()):
        raise Refused("its variance is negative, or its statistics are not finite")
    return gain, offset


@onnx_op("BatchNormalization", inputs=5)
def batch_norm(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """BatchNormalization that no product takes in: gain x + offset of each channel."""
    x = read[0]
    if not isinstance(x, Value) or len(x.dims) < 2:
        raise Refused("it normalises no value of at least two dimensions")
    x = x.readable()
    gain, offset = batch_norm_terms(lowering, node, size_of(x.dims[1]) or 0)
    shape = [1] * len(x.dims)
    shape[1] = -1
    tensors = {
        "gain": spread(gain.astype(np.float32).reshape(shape), x),
        "bias": spread(offset.astype(np.float32).reshape(shape), x),
    }
    if x.quantised:
        lowering.approximate("gain and offset are computed beforehand, a rounding of float32 apart")
    return [affine(lowering, node, x, tensors)]


@onnx_op("LayerNormalization")
def layer_norm(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """LayerNormalization over all values of a row."""
    x = read[0]
    if not isinstance(x, Value):
        raise Refused("it normalises what is no value")
    x = x.readable()
    epsilon = attribute(node, "epsilon", 1e-5, float)
    if not math.isclose(epsilon, 1e-5, rel_tol=1e-3):
        raise Refused(f"epsilon {epsilon:g}; 1e-5 is taken")
    axis = attribute(node, "axis", -1)
    if not -len(x.dims) <= axis < len(x.dims):
        raise Refused(f"axis {axis} of {len(x.dims)} dimensions")
    axis %= len(x.dims)
    inner = [one for dim in x.dims[axis:] for one in dim]
    if any(one.time for one in inner) or set(map(id, inner)) != set(map(id, x.order)):
        raise Refused("it normalises over time, or over a part of a row alone")
    if len(node.outputs) > 1 and any(node.outputs[1:]):
        raise Refused("it gives mean and deviation as well")
    shape = [size_of(dim) or 1 for dim in x.dims[axis:]]
    if any(isinstance(one, Value) for one in read[1:]):
        raise Refused("its gain or bias depends on the input")
    places = x.places()
    tensors = {}
    for place, end, usual in ((1, "gain", 1), (2, "bias", 0)):
        found = lowering.optional(node, place)
        constant = found.real() if isinstance(found, Const | Quantised) else np.full(shape, usual)
        array = np.asarray(constant, np.float32)
        if not np.isfinite(array).all() or array.ndim > len(shape):
            raise Refused(f"its {end} is not made of finite numbers")
        try:
            flat = np.broadcast_to(array, shape).reshape(-1)
        except ValueError:
            raise Refused(f"its {end} has the shape {list(array.shape)}") from None
        tensors[end] = np.ascontiguousarray(flat[places])
    return [lowering.emit(node, "layer_norm", {"input": x}, {}, x.dims, x.order, tensors=tensors)]


@onnx_op("Softmax")
def softmax(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Softmax over a row, or over each band."""
    x = read[0]
    if not isinstance(x, Value):
        raise Refused("it computes with what is no value")
    x = x.readable()
    version = lowering.version
    axis = attribute(node, "axis", -1 if version >= 13 else 1)
    if not -len(x.dims) <= axis < len(x.dims):
        raise Refused(f"axis {axis} of {len(x.dims)} dimensions")
    axis %= len(x.dims)
    dims = x.dims[axis:] if version < 13 else (x.dims[axis],)
    inner = [one for dim in dims for one in dim]
    if any(one.time for one in inner):
        raise Refused("a softmax over time")
    others = [one for one in x.order if one not in inner]
    bands = width(others)
    x = lowering.arranged(node, x, [*others, *inner], bands if others or x.edge.bands != 1 else None)
    return [lowering.emit_folding(node, "softmax", {"input": x}, {}, x.dims, x.order)]
