"""QuantizeLinear and DequantizeLinear: between real numbers and codes."""

from __future__ import annotations

from dataclasses import replace

from accelsim.importers.onnx.codes import INTEGERS
from accelsim.importers.onnx.fold import Const, Refused, attribute, quantise, quantised
from accelsim.importers.onnx.lowering import Anything, Lowering, Read, onnx_op
from accelsim.importers.onnx.proto import Node
from accelsim.importers.onnx.values import Value

DOMAINS = ("", "com.microsoft")
"""com.microsoft has ONNX's own quantisation under the same names."""


@onnx_op("QuantizeLinear", domains=DOMAINS, inputs=2)
def quantise_linear(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """QuantizeLinear: codes of a constant, what it read as codes already, or an op of its own."""
    x = read[0]
    if isinstance(x, Const):
        zero = read[2].array if len(read) > 2 and isinstance(read[2], Const) else None
        kind = attribute(node, "output_dtype", 0)
        dtype = zero.dtype.str if zero is not None else (INTEGERS[kind][0] if kind in INTEGERS else "|u1")
        scale = lowering.constant(node, 1, "scale")
        return [quantise(x.array, scale, zero, attribute(node, "axis", 1), dtype)]
    if not isinstance(x, Value) or not x.real:
        raise Refused("it quantises what is no real number")
    codes = lowering.codes_of(node)
    if codes.same(x.edge) and x.quantised:
        return [replace(x, real=False, raw=False, shift=codes.shift)]
    if x.raw:
        lowering.approximate("quantises codes of the features, not the features")
    made = lowering.emit(node, "quantise", {"input": x}, {}, x.dims, x.order, output=codes)
    return [replace(made, real=False)]


@onnx_op("DequantizeLinear", domains=DOMAINS, inputs=2)
def dequantise_linear(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """DequantizeLinear: the same codes, read as real numbers from here on."""
    x = read[0]
    if isinstance(x, Const):
        if attribute(node, "block_size", 0):
            raise Refused("it has scales for blocks of values; one a tensor, or one an output, is read")
        scale = lowering.constant(node, 1, "scale")
        zero = lowering.optional(node, 2)
        array = zero.array if isinstance(zero, Const) else None
        return [quantised(node, x, scale, array, attribute(node, "axis", 1))]
    if not isinstance(x, Value) or x.real:
        raise Refused("it dequantises what is no code")
    codes = lowering.codes_of(node)
    if not codes.same(x.edge) or codes.shift != x.shift:
        raise Refused("it reads codes with another scale or zero point than they were made with")
    return [replace(x, real=True)]
