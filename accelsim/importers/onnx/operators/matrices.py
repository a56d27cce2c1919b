"""MatMul, Gemm and MatMulInteger: rows, or each band of them, times a matrix of the file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from accelsim.importers.onnx.fold import Const, Quantised, Refused, attribute
from accelsim.importers.onnx.lowering import Anything, Lowering, Read, onnx_op
from accelsim.importers.onnx.operators.integers import integer_operands
from accelsim.importers.onnx.operators.weighted import Weights, weighted, weights_of
from accelsim.importers.onnx.proto import Node
from accelsim.importers.onnx.values import Value, axes_of, width


@onnx_op("MatMul", inputs=2)
def matmul(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """MatMul of a value and a matrix of the file."""
    x, w = read[0], read[1]
    if isinstance(x, Value) and isinstance(w, Value):
        raise Refused("a product of two values that depend on the input (attention); --format conformer reads the "
                      "state dict of a Conformer's layer")  # fmt: skip
    if not isinstance(x, Value):
        raise Refused("a matrix of the file times the data: transpose both")
    axis = (w.codes.ndim if isinstance(w, Quantised) else 2) - 1
    return [_dense(lowering, node, x, weights_of(w, axis), None)]


@onnx_op("MatMulInteger", inputs=2)
def matmul_integer(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """MatMulInteger: sums of products of codes as they are, where no zero point is in the way."""
    x, weights = integer_operands(lowering, node, read)
    return [_dense(lowering, node, x, weights, None)]


@onnx_op("Gemm", inputs=2)
def gemm(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Gemm of a value and a matrix of the file."""
    x, w, bias = read[0], read[1], read[2] if len(read) > 2 else None
    if attribute(node, "transA", 0) or not isinstance(x, Value):
        raise Refused("it transposes what it reads, or reads no value")
    turned = bool(attribute(node, "transB", 0))
    weights = weights_of(w, 0 if turned else 1)
    alpha, beta = attribute(node, "alpha", 1.0, float), attribute(node, "beta", 1.0, float)
    if (alpha, beta) != (1.0, 1.0):
        if weights.scale is not None:
            raise Refused(f"alpha {alpha:g} and beta {beta:g} with quantised weights")
        weights = Weights((weights.matrix.astype(np.float64) * alpha).astype(np.float32))
        if isinstance(bias, Const):
            bias = Const(np.asarray(bias.array * beta, np.float32))
    if turned:
        weights = replace(weights, matrix=weights.matrix.T)
    return [_dense(lowering, node, x, weights, bias)]


def _dense(lowering: Lowering, node: Node, x: Value, weights: Weights, bias: Anything | None) -> Value:
    """Return rows, or each band of them, times a matrix [inputs, outputs]; raises `Refused`."""
    weight = weights.matrix
    if weight.ndim != 2 or not x.dims:
        raise Refused(f"weights of {weight.ndim} dimensions; a matrix is read")
    if not x.real:
        raise Refused("it multiplies codes without their scale")
    if x.timed(-1):
        x = lowering.collapsed(node, x)
    inner = [*x.dims[-1]]
    if width(inner) != weight.shape[0]:
        raise Refused(f"{width(inner)} values times a matrix of {list(weight.shape)}")
    others = [axis for axis in x.order if axis not in inner]
    outputs = weight.shape[1]
    new = axes_of(outputs)
    dims = (*x.dims[:-1], new)
    lying = [axis for axis in x.order if axis in inner]
    index = np.arange(width(inner)).reshape([axis.size or 1 for axis in inner])
    index = index.transpose([inner.index(axis) for axis in lying]).reshape(-1)
    matrix = weight if np.array_equal(index, np.arange(len(index))) else weight[index]
    if not others:
        weights = replace(weights, matrix=matrix)
        return weighted(lowering, node, "linear", x, {"outputs": outputs}, weights, bias, dims, new)
    x = lowering.arranged_for(node, x.unpadded(), [*others, *lying])
    keys = {
        "channels": outputs, "kernel": [1, 1], "bands": width(others), "padding": [[0, 0], [0, 0]],
    }  # fmt: skip
    weights = replace(weights, matrix=matrix.reshape(1, 1, -1, outputs))
    return weighted(lowering, node, "conv", x, keys, weights, bias, dims, (*others, *new))
