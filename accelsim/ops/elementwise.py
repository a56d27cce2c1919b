"""Ops that join two rows, value by value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from accelsim.kernels.activation import add, multiply
from accelsim.kernels.conv import Starts
from accelsim.kernels.number import Number
from accelsim.kernels.requantise import Rounding, Scaling, sum_multipliers
from accelsim.ops import plain, plain_integer
from accelsim.ops.op import OPS, Datapath, Edge, Quantisation, QuantisedVectorOp, Signal, Work, real

_ADDED_BITS = {8: 20, 16: 15}
"""Places by which codes are shifted left before they are added, by the widest of them."""


class AddOp(QuantisedVectorOp):
    """y = residual + factor x, x what ``input`` names.

    With an ``output``, factor is 1. Of two inputs i of scale s_i, with s = 2 max(s_1, s_2) and n = 20, or 15 where
    there are codes of 16 bits, y = clamp(z + round(s / (2^n s_out) sum_i round(s_i / s 2^n (q_i - z_i)))), as
    TensorFlow Lite has it.
    With ``rounding: single`` y = clamp(z + floor(sum_i m_i (q_i - z_i) / 2^k + 1/2)), m_i = rint(2^k s_i / s_out) in
    float32, k such that the larger m_i has 21 bits, as XNNPACK has it. LiteRT's optimised kernel adds and multiplies in
    halves away from 0, so that ``double_up`` does here as ``double_away``.
    """

    op: Literal["add"]
    input: str
    residual: str
    factor: Annotated[float, Gt(0)] = 1.0

    def reads(self) -> tuple[str, ...]:
        return self.residual, self.input

    def shape(self, read: Sequence[Edge]) -> Edge:
        if self.output is not None and self.factor != 1:
            raise ValueError(f"with an 'output' it adds as it is, found factor {self.factor:g}")
        if (read[0].width, read[0].stride) != (read[1].width, read[1].stride):
            raise ValueError(f"it adds rows of {read[1].width} to rows of {read[0].width}, or of another rate")
        return real(read[0])

    def spread_of(self, read: Sequence[float]) -> float:
        return math.hypot(read[0], self.factor * read[1])

    def check_integers(self, read: Sequence[Edge], output: Quantisation) -> None:
        ratio = max(edge.scale for edge in read) / output.scale
        if self.how() == "single" and not 2.0**-10 <= ratio < 2.0**8:
            raise ValueError(f"the larger scale is 2^-10 to 2^8 times that of the output, found {ratio:g} times")

    def real_work(self, read: Sequence[Edge]) -> Work:
        return Work(2)

    def integer_work(self, read: Sequence[Edge]) -> Work:
        if self.how() == "single":
            return Work(6)  # two products, two sums (zero points within), rounding shift, z
        return Work(12)  # twice q - z, shift, product, rounding shift; sum, product, rounding shift, z

    def values(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        residual, x = (unit.real(signal) for signal in read)
        return add(residual, x, self.factor, unit.vector.number, exceptions=unit.exceptions_of(self)), read[0].starts

    def integers(self, read: Sequence[Signal], output: Quantisation, unit: Datapath) -> NDArray[Any]:
        (a, zero_a), (b, zero_b) = (signal.codes() for signal in read)
        wide_a, wide_b = a.astype(np.int64) - zero_a, b.astype(np.int64) - zero_b
        scale_a, scale_b = (float(np.float32(signal.edge.scale)) for signal in read)
        if self.how() == "single":
            of_a, of_b, places = sum_multipliers(scale_a, scale_b, output.scale)
            sums = (wide_a * of_a + wide_b * of_b + (1 << (places - 1))) >> places
            return unit.requantised(self, sums, Scaling.of(1.0, "double_up"), output)
        shift = _ADDED_BITS[max(output.bits, *(signal.edge.bits for signal in read))]
        twice = 2 * max(scale_a, scale_b)
        first, second = (Scaling.of(scale / twice, "double_away") for scale in (scale_a, scale_b))
        sums = first(wide_a << shift) + second(wide_b << shift)
        last = Scaling.of(twice / ((1 << shift) * float(np.float32(output.scale))), "double_away")
        return unit.requantised(self, sums, last, output)

    def plain_integers(self, read: Sequence[Signal], output: Quantisation) -> NDArray[Any]:
        x = [plain_integer.centred(signal) for signal in read]
        scales = [np.float32(signal.edge.scale) for signal in read]
        given = np.float32(output.scale)
        if self.how() == "single":
            ratios = [scale / given for scale in scales]
            places = 20 - (math.frexp(float(max(ratios)))[1] - 1)
            sums = sum(v * round(float(ratio) * 2.0**places) for v, ratio in zip(x, ratios, strict=True))
            return plain_integer.clamped((sums + 2 ** (places - 1)) // 2**places, output)
        one = 2 ** (15 if 16 in (output.bits, read[0].edge.bits, read[1].edge.bits) else 20)
        twice = 2 * float(max(scales))
        parts = [plain_integer.scaled(v * one, float(s) / twice, "double_away") for v, s in zip(x, scales, strict=True)]
        total = plain_integer.scaled(parts[0] + parts[1], twice / (one * float(given)), "double_away")
        return plain_integer.clamped(total, output)

    def plain_values(self, read: Sequence[Signal], number: Number) -> NDArray[Any]:
        """Return R(residual + R(factor x))."""
        residual, x = (plain.real(signal, number) for signal in read)
        with np.errstate(all="ignore"):
            return plain.rounded(residual + plain.rounded(np.float32(self.factor) * x, number), number)


class MultiplyOp(QuantisedVectorOp):
    """y = a x value by value, x what ``input`` names and a what ``by`` names: the gates of a network, for example.

    With an ``output`` y = clamp(z + round(s_a s_x / s_out (q_a - z_a) (q_x - z_x))), ``double_up`` as ``double_away``.
    """

    op: Literal["multiply"]
    input: str
    by: str

    def reads(self) -> tuple[str, ...]:
        return self.input, self.by

    def shape(self, read: Sequence[Edge]) -> Edge:
        if (read[0].width, read[0].stride) != (read[1].width, read[1].stride):
            raise ValueError(f"it multiplies rows of {read[0].width} by rows of {read[1].width}, or of another rate")
        return real(read[0])

    def spread_of(self, read: Sequence[float]) -> float:
        return read[0] * read[1]

    def real_work(self, read: Sequence[Edge]) -> Work:
        return Work(1)

    def integer_work(self, read: Sequence[Edge]) -> Work:
        return Work(6)  # twice q - z; product; product with the factor, rounding shift, z

    def values(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        x, a = (unit.real(signal) for signal in read)
        return multiply(x, a, unit.vector.number, exceptions=unit.exceptions_of(self)), read[0].starts

    def integers(self, read: Sequence[Signal], output: Quantisation, unit: Datapath) -> NDArray[Any]:
        (x, zero_x), (a, zero_a) = (signal.codes() for signal in read)
        products = (x.astype(np.int64) - zero_x) * (a.astype(np.int64) - zero_a)
        wide = [float(np.float32(signal.edge.scale)) for signal in read]
        narrow = np.float32(read[0].edge.scale) * np.float32(read[1].edge.scale) / np.float32(output.scale)
        how: Rounding = "single" if self.how() == "single" else "double_away"
        scaling = Scaling.of(wide[0] * wide[1] / float(np.float32(output.scale)), how, narrow)
        return unit.requantised(self, products, scaling, output)

    def plain_integers(self, read: Sequence[Signal], output: Quantisation) -> NDArray[Any]:
        a, b, given = (np.float32(s) for s in (read[0].edge.scale, read[1].edge.scale, output.scale))
        products = plain_integer.centred(read[0]) * plain_integer.centred(read[1])
        how = "single" if self.how() == "single" else "double_away"
        return plain_integer.clamped(
            plain_integer.scaled(products, float(a) * float(b) / float(given), how, a * b / given), output
        )  # fmt: skip

    def plain_values(self, read: Sequence[Signal], number: Number) -> NDArray[Any]:
        """Return R(a x)."""
        x, a = (plain.real(signal, number) for signal in read)
        with np.errstate(all="ignore"):
            return plain.rounded(x * a, number)


OPS.register("add", AddOp)
OPS.register("multiply", MultiplyOp)
