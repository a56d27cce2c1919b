"""Products with weights: what Conv, MatMul and Gemm share, and what is folded into them.

In integers acc = sum (q - z) w + b and codes of acc s_in s_w, where what a product reads and its weights are codes and
QuantizeLinear follows; else in float16, with additions, products and batch norms behind it folded in, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.importers.onnx.fold import Const, Quantised, Refused
from accelsim.importers.onnx.lowering import FLOAT16_LARGEST, Anything, Follow, Lowering
from accelsim.importers.onnx.operators.normalisation import batch_norm_terms
from accelsim.importers.onnx.proto import Node
from accelsim.importers.onnx.values import Axis, Dims, Value


@dataclass(frozen=True)
class Weights:
    """Weights as an op has them, [.., outputs], or as a file has them: int8 with scales, or float32 without.

    ``scale``: one, or one an output; ``sums``: the sums stay whole numbers, without a scale.
    """

    matrix: NDArray[Any]
    scale: NDArray[np.float32] | None = None
    sums: bool = False


@dataclass(frozen=True)
class _Term:
    """A node behind a product that can be folded in; ``vector``: its constant, one number for each output."""

    node: Node
    vector: NDArray[np.float64] | None = None
    constant: Const | Quantised | None = None


def weights_of(value: Anything | None, axis: int) -> Weights:
    """Return weights as a file has them, outputs along ``axis``; raises `Refused` for what are none."""
    if isinstance(value, Quantised):
        codes = value.codes
        if value.scale.size > 1 and value.axis != axis:
            raise Refused(f"weight scales along axis {value.axis}; one a tensor, or one an output, is read")
        shape = [1] * codes.ndim
        if value.zero_point.size > 1:
            shape[value.axis] = -1
        if value.zero_point.any() or codes.dtype != np.int8:
            codes = int8_weights(codes.astype(np.int32) - value.zero_point.reshape(shape))
        return Weights(codes, value.scale)
    if isinstance(value, Const):
        if value.array.dtype.kind != "f":
            raise Refused(f"weights of type {value.array.dtype}; floating-point or quantised ones are read")
        return Weights(np.asarray(value.array, np.float32))
    raise Refused("its weights are not constants of the file")


def int8_weights(codes: NDArray[Any]) -> NDArray[np.int8]:
    """Return weights less their zero point as int8; raises `Refused` where they do not fit."""
    if codes.min(initial=0) < -128 or codes.max(initial=0) > 127:
        raise Refused("weights less their zero point do not lie in -128 .. 127")
    return codes.astype(np.int8)


def weighted(
    lowering: Lowering, node: Node, kind: str, x: Value, keys: dict[str, Any], weights: Weights,
    bias: Anything | None, dims: Dims, order: Sequence[Axis],
) -> Value:  # fmt: skip
    """Add a product with weights [.., outputs] as the op has them, and what it folds in; raises `Refused`."""
    if weights.sums:
        offset = 128 if x.edge.unsigned else 0
        how = {"gives": "codes", "weight_bits": 8, "input_bits": 8, "input_offset": offset}
        tensors = {"weight": np.ascontiguousarray(weights.matrix)}
        return lowering.emit(node, kind, {"input": x}, {**keys, **how}, dims, order, tensors=tensors)
    matrix, scale = weights.matrix, weights.scale
    follow, terms = _behind(lowering, node, weights, bias, dims, order)
    if scale is not None and follow.codes is not None and x.quantised and x.edge.bits == 8:
        tensors = _integers(lowering, x, matrix, scale, terms[0].constant if terms else bias)
        made = lowering.emit(node, kind, {"input": x}, keys, dims, order, tensors=tensors, output=follow.codes)
    else:
        if scale is not None:
            shape = [1] * (matrix.ndim - 1) + [-1]
            matrix = matrix.astype(np.float32) * (scale if scale.size == 1 else scale.reshape(shape))
            lowering.approximate("no QuantizeLinear follows: float16 weights instead of integers")
        tensors, reference = _floats(lowering, matrix, bias, terms)
        keys = {**keys, "weight_bits": 16}
        made = lowering.emit(node, kind, {"input": x}, keys, dims, order, tensors=tensors, reference=reference)
        follow = Follow([term.node for term in terms])
    lowering.absorb(follow, made)
    return made


def _behind(
    lowering: Lowering, node: Node, weights: Weights, bias: Anything | None, dims: Dims, order: Sequence[Axis]
) -> tuple[Follow, list[_Term]]:
    """Return what follows a product, and those terms of it that can be folded in: all of them or none."""
    quantised, outputs = weights.scale is not None, weights.matrix.shape[-1]
    place = _channel_dim(dims, order, outputs)

    def fold(after: Node) -> bool:
        if after.op == "BatchNormalization":
            return not quantised
        if after.op not in ("Add", "Mul", "Div") or (after.op != "Add" and quantised):
            return False
        other = [lowering.values.get(one) for one in after.inputs]
        found = [one for one in other if isinstance(one, Const | Quantised)]
        return len(found) == 1 and (after.op != "Div" or isinstance(other[-1], Const))

    follow = lowering.after(node.outputs[0], fold=fold)
    terms: list[_Term] = []
    for one in follow.nodes:
        if one.op in ("Add", "Mul", "Div"):
            read = (lowering.values.get(name) for name in one.inputs)
            constant = next(value for value in read if isinstance(value, Const | Quantised))
            vector = _per_channel(constant.real(), dims, place, outputs)
            if vector is None or (quantised and (bias is not None or terms)):
                return lowering.after(node.outputs[0]), []
            terms.append(_Term(one, vector, constant))
        elif one.op == "BatchNormalization":
            if place not in (1, -1) or len(dims) < 2:
                return lowering.after(node.outputs[0]), []
            terms.append(_Term(one))
    return follow, terms


def _floats(
    lowering: Lowering, weight: NDArray[Any], bias: Anything | None, terms: Sequence[_Term]
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return the tensors of a product in float16, and the reference in float32; raises `Refused`."""
    outputs = weight.shape[-1]
    added: NDArray[Any] | None = None
    if bias is not None:
        array = bias.real() if isinstance(bias, Quantised | Const) else None
        if array is None or array.dtype.kind != "f" or array.size != outputs:
            raise Refused(f"its bias is not a constant of {outputs} numbers")
        added = np.asarray(array, np.float32).reshape(-1)
    if terms:
        weight, added = _folded(lowering, terms, weight.astype(np.float64), added)
    reference = np.ascontiguousarray(weight, np.float32)
    if not np.isfinite(reference).all() or np.abs(reference).max(initial=0) > FLOAT16_LARGEST:
        raise Refused("its weights do not lie in the range of float16")
    tensors: dict[str, NDArray[Any]] = {"weight": reference.astype(np.float16)}
    plain: dict[str, NDArray[Any]] = {"weight": reference}
    if added is not None:
        if not np.isfinite(added).all():
            raise Refused("its bias holds NaN or infinity")
        tensors["bias"] = plain["bias"] = np.asarray(added, np.float32)
    if not np.array_equal(tensors["weight"].astype(np.float32), reference):
        lowering.approximate("weights rounded to float16")
    return tensors, plain


def _folded(
    lowering: Lowering, terms: Sequence[_Term], weight: NDArray[Any], bias: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return weight and bias, in float64, with additions, products and batch norms behind them folded in."""
    outputs = weight.shape[-1]
    for term in terms:
        offset = np.zeros(outputs) if bias is None else bias.astype(np.float64)
        if term.vector is None:
            gain, shift = batch_norm_terms(lowering, term.node, outputs)
            weight, bias = weight * gain, offset * gain + shift
        elif term.node.op == "Add":
            bias = offset + term.vector
        else:
            with np.errstate(all="ignore"):
                factor = term.vector if term.node.op == "Mul" else 1.0 / term.vector
            weight = weight * factor
            bias = None if bias is None else offset * factor
    return weight, bias


def _integers(
    lowering: Lowering, x: Value, weight: NDArray[np.int8], scale: NDArray[np.float32], bias: Anything | None
) -> dict[str, NDArray[Any]]:
    """Return the tensors of a product of integers; raises `Refused`."""
    tensors: dict[str, NDArray[Any]] = {
        "weight": np.ascontiguousarray(weight),
        "weight_scale": scale.reshape(()) if scale.size == 1 else scale,
    }
    if bias is not None:
        product = (np.float32(x.edge.scale) * scale).astype(np.float32)
        tensors["bias"] = _integer_bias(lowering, bias, product, weight.shape[-1])
    return tensors


def _integer_bias(lowering: Lowering, bias: Anything, product: NDArray[np.float32], outputs: int) -> NDArray[np.int32]:
    """Return a bias in units of s_in s_w: as the file has it, or rounded."""
    if isinstance(bias, Quantised) and bias.codes.dtype == np.int32 and not bias.zero_point.any():
        same = np.allclose(np.broadcast_to(bias.scale, product.shape), product, rtol=3e-7, atol=0) if (
            bias.scale.size in (1, product.size)) else False  # fmt: skip
        if same and bias.codes.size == outputs:
            return np.ascontiguousarray(bias.codes.reshape(-1))
    array = bias.real() if isinstance(bias, Quantised) else bias.array if isinstance(bias, Const) else None
    if array is None or array.dtype.kind != "f" or array.size not in (1, outputs):
        raise Refused(f"its bias is not a constant of {outputs} numbers")
    wide = np.broadcast_to(array.reshape(-1).astype(np.float64), outputs) / product.astype(np.float64)
    if not np.isfinite(wide).all() or np.abs(wide).max(initial=0) >= 2**31 - 1:
        raise Refused("its bias does not fit 32 bits of its scale")
    codes = np.rint(wide).astype(np.int32)
    if not np.array_equal(codes, wide):
        lowering.approximate("bias rounded to 32-bit integers of the scale of the sums")
    return codes


def _channel_dim(dims: Dims, order: Sequence[Axis], outputs: int) -> int:
    """Return in which dimension the outputs of a product lie: the last axis of a row; -1 where there is one output."""
    if outputs == 1 or not order:
        return -1
    return next(place for place, dim in enumerate(dims) if order[-1] in dim)


def _per_channel(array: NDArray[Any], dims: Dims, place: int, outputs: int) -> NDArray[np.float64] | None:
    """Return a constant as one number for each output; None where it is anything else."""
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        return None
    if array.size == 1 and array.ndim <= len(dims):
        return np.full(outputs, float(array.reshape(-1)[0]))
    shape = [1] * (len(dims) - array.ndim) + [*array.shape]
    wanted = [outputs if at == place else 1 for at in range(len(dims))]
    return array.reshape(-1).astype(np.float64) if shape == wanted else None
