"""From real numbers to the codes of an integer network, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.conv import Starts
from accelsim.kernels.number import Arithmetic, Number, values_of
from accelsim.kernels.requantise import Scaling
from accelsim.ops import plain, plain_integer
from accelsim.ops.op import OPS, Datapath, Edge, Kind, Quantisation, QuantisedOp, Signal, Tensors, VectorOp, Work


class QuantiseOp(QuantisedOp, VectorOp):
    """y = clamp(z + round(x / s)) of real numbers, and of codes y = clamp(z + round((s_in / s) (q - z_in))).

    s, z and the limits are those of ``output``. Of real numbers the quotient is a float32: halves go away from 0, with
    ``rounding: half_even`` to even, and with ``rounding: single`` x is multiplied by float32(1 / s), halves to even. Of
    codes the factor has 8 bits behind the point with ``rounding: single``, floor((q - z_in) rint(2^8 s_in / s) / 2^8 +
    1/2), as XNNPACK's conversion of int8 has it (observed in ai-edge-litert 2.3.0); ``half_even`` makes float32 numbers
    first.
    """

    op: Literal["quantise"]
    input: str
    output: Quantisation

    def infer(self, read: Sequence[Edge]) -> Edge:
        if read[0].kind == "codes":
            self.check_codes(read)
        return self.output.edge(read[0])

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        if read[0].kind == "real":
            return Work(2)  # product with 1 / s, rounding
        return Work(4)  # q - z, product, rounding shift, z

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        x, output = read[0], self.output
        if x.edge.kind == "real":
            return unit.quantised(self, x.values, output), x.starts
        if self.how() == "half_even":
            return unit.quantised(self, x.reals(), output), x.starts
        codes, zero = x.codes()
        if self.how() == "single":
            factor = int(np.rint(np.float32(x.edge.scale) / np.float32(output.scale) * np.float32(256)))
            words = ((codes.astype(np.int64) - zero) * factor + 128) >> 8
            return unit.requantised(self, words, Scaling.of(1.0, "double_up"), output), x.starts
        scaling = Scaling.ratio(x.edge.scale, output.scale, self.how())
        return unit.requantised(self, codes, scaling, output, -zero), x.starts

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        x, output = read[0], self.output
        if x.edge.kind == "real":
            return plain_integer.quantised(x.values, output, self.how())
        if self.how() == "half_even":
            return plain_integer.quantised(plain_integer.real(x), output, "half_even")
        q, a, given = plain_integer.centred(x), np.float32(x.edge.scale), np.float32(output.scale)
        if self.how() == "single":
            return plain_integer.clamped((q * int(np.rint(a / given * np.float32(256))) + 128) // 256, output)
        return plain_integer.clamped(plain_integer.scaled(q, float(a) / float(given), self.how(), a / given), output)

    def float_values(self, read: Sequence[Signal], exact: Datapath, unit: float | None) -> tuple[NDArray[Any], Starts]:
        return self.output.activation(read[0].reals()), read[0].starts


class DequantiseOp(VectorOp):
    """y = s (q - z) of codes q of scale s and zero point z, all of them, in the numbers of the unit."""

    op: Literal["dequantise"]
    takes: ClassVar[frozenset[Kind]] = frozenset({"codes"})
    input: str

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(2)  # q - z, product

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        found = unit.exceptions_of(self)
        return values_of(read[0].reals(), unit.vector.number, exceptions=found), read[0].starts

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        return plain.rounded(plain_integer.real(read[0]), number)


OPS.register("quantise", QuantiseOp)
OPS.register("dequantise", DequantiseOp)
