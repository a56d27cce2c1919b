"""Operators on integers: as DequantizeLinear, the operator, QuantizeLinear; or as sums without a scale.

A form says of an operator which one it is on integers: the places of code, scale and zero point of what it reads, and
of scale and zero point of what it gives, and of its bias.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from accelsim.importers.onnx.fold import Const, Quantised, Refused
from accelsim.importers.onnx.lowering import SPELLINGS, Anything, Lowering, Read, onnx_op
from accelsim.importers.onnx.operators.weighted import Weights, int8_weights
from accelsim.importers.onnx.proto import Node
from accelsim.importers.onnx.values import Value

_BIAS = "bias of integers"
"""Not an operator of ONNX: an int32 bias, and the scales whose product is its own."""


@dataclass(frozen=True)
class _Form:
    """An operator on integers: the operator, and where codes, scales and zero points are among its inputs."""

    op: str
    reads: tuple[tuple[int, int, int], ...]
    gives: tuple[int, int]
    bias: int | None = None

    def of(self, node: Node) -> _Form:
        """Return the form that a node has."""
        return self


@dataclass(frozen=True)
class _Listed(_Form):
    """An operator that reads any number of values, behind scale and zero point of what it gives."""

    def of(self, node: Node) -> _Form:
        return replace(self, reads=tuple((place, place + 1, place + 2) for place in range(2, len(node.inputs), 3)))


def _spelt_out(form: _Form, node: Node) -> list[Node]:
    """Return DequantizeLinear of what a node reads, the operator, and QuantizeLinear; raises `Refused`."""
    if not node.outputs:
        raise Refused("it gives nothing")
    form, result = form.of(node), node.outputs[0]
    names = [*node.inputs, *[""] * 24]
    nodes: list[Node] = []
    inputs: list[str] = []

    def add(op: str, read: list[str], given: str, axis: int | None = None) -> None:
        nodes.append(Node(node.name, op, "", read, [given], {} if axis is None else {"axis": axis}))

    axis = 0 if form.op == "Conv" or node.attributes.get("transB") else 1
    for places in form.reads:
        there = bool(names[places[0]])
        inputs.append(f"{result}/{places[0]}/dequantised" if there else "")
        if there:
            add("DequantizeLinear", [names[place] for place in places], inputs[-1], axis)
    if form.bias is not None and names[form.bias]:
        inputs.append(f"{result}/bias")
        add(_BIAS, [names[form.bias], *(names[scale] for _, scale, _ in form.reads)], inputs[-1])
    real = f"{result}/real"
    nodes.append(Node(node.name, form.op, "", inputs, [real], dict(node.attributes)))
    add("QuantizeLinear", [real, *(names[place] for place in form.gives)], result)
    return nodes


_ONE, _TWO = ((0, 1, 2),), ((0, 1, 2), (3, 4, 5))
_FORMS = {
    ("", "QLinearConv"): _Form("Conv", _TWO, (6, 7), bias=8),
    ("", "QLinearMatMul"): _Form("MatMul", _TWO, (6, 7)),
    ("com.microsoft", "QGemm"): _Form("Gemm", _TWO, (7, 8), bias=6),
    ("com.microsoft", "QLinearAdd"): _Form("Add", _TWO, (6, 7)),
    ("com.microsoft", "QLinearMul"): _Form("Mul", _TWO, (6, 7)),
    ("com.microsoft", "QLinearSigmoid"): _Form("Sigmoid", _ONE, (3, 4)),
    ("com.microsoft", "QLinearLeakyRelu"): _Form("LeakyRelu", _ONE, (3, 4)),
    ("com.microsoft", "QLinearSoftmax"): _Form("Softmax", _ONE, (3, 4)),
    ("com.microsoft", "QLinearGlobalAveragePool"): _Form("GlobalAveragePool", _ONE, (3, 4)),
    ("com.microsoft", "QLinearAveragePool"): _Form("AveragePool", _ONE, (3, 4)),
    ("com.microsoft", "QLinearConcat"): _Listed("Concat", (), (0, 1)),
}
SPELLINGS.update({key: partial(_spelt_out, form) for key, form in _FORMS.items()})


@onnx_op(_BIAS)
def bias_of_integers(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """An int32 bias of an operator on integers: b s_a s_b."""
    bias, a, b = (lowering.constant(node, place, "bias or scale") for place in range(3))
    if bias.dtype != np.int32:
        raise Refused(f"a bias of type {bias.dtype}")
    scale = (np.asarray(a, np.float32).reshape(-1) * np.asarray(b, np.float32).reshape(-1)).astype(np.float32)
    if scale.size not in (1, bias.size) or not (np.isfinite(scale).all() and (scale > 0).all()):
        raise Refused("scales that do not fit its bias")
    return [Quantised(bias, scale, np.zeros(1, np.int32), 0)]


def integer_operands(lowering: Lowering, node: Node, read: Read) -> tuple[Value, Weights]:
    """Return what ConvInteger and MatMulInteger multiply: codes as they are, by weights whose sums stay whole numbers.

    Raises `Refused` where a zero point is in the way.
    """
    x, w = read[0], read[1]
    zeros = [lowering.optional(node, 2), lowering.optional(node, 3)]
    if not isinstance(x, Value) or x.real or not isinstance(w, Const):
        raise Refused("it multiplies what are not codes by constants; scales that are computed from the data are "
                      "not taken")  # fmt: skip
    if any(zero is not None and not isinstance(zero, Const) for zero in zeros):
        raise Refused("its zero points are not constants")
    point = int(zeros[0].array.reshape(-1)[0]) if isinstance(zeros[0], Const) and zeros[0].array.size == 1 else 0
    if isinstance(zeros[0], Const) and zeros[0].array.size != 1:
        raise Refused("more than one zero point of what it reads")
    if point != x.shift:
        raise Refused(
            f"zero point {point} of what it reads: sums of codes less {x.shift} are exact here; QLinearConv, or "
            "QuantizeLinear around Conv, takes any"
        )
    zero = zeros[1].array.astype(np.int32) if isinstance(zeros[1], Const) else np.zeros(1, np.int32)
    if zero.size > 1:
        raise Refused("a zero point for every output of its weights")
    if w.array.dtype.kind not in "iu":
        raise Refused(f"weights of type {w.array.dtype}; integers are read")
    codes = int8_weights(w.array.astype(np.int32) - zero.reshape(-1)[0])
    return replace(x, real=True), Weights(codes, sums=True)
