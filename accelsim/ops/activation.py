"""Activations: functions of single values, and gates."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels import fixed_functions
from accelsim.kernels.activation import gelu, glu, relu, sigmoid, silu, softmax, tanh
from accelsim.kernels.conv import Starts
from accelsim.kernels.number import Arithmetic, Number
from accelsim.kernels.requantise import Scaling
from accelsim.ops import plain, plain_fixed, plain_integer
from accelsim.ops.op import (
    OPS,
    Datapath,
    Edge,
    Quantisation,
    QuantisedOp,
    QuantisedVectorOp,
    Signal,
    Tensors,
    VectorOp,
    Work,
    real,
)


class ReluOp(QuantisedVectorOp):
    """y = max(x, 0); with an ``output``, whose low is no less than z, y = clamp(z + round(M (q - z_x))).

    M = double(s_x) / double(s) with ``rounding: double_away``, as TensorFlow Lite Micro has it, else M = float32(s_x /
    s) in halves away from 0, as LiteRT has it (observed in ai-edge-litert 2.3.0, with and without XNNPACK).
    """

    op: Literal["relu"]
    input: str
    spread: ClassVar[float] = 0.71

    def shape(self, read: Sequence[Edge]) -> Edge:
        return real(read[0])

    def real_work(self, read: Sequence[Edge]) -> Work:
        return Work(1)

    def integer_work(self, read: Sequence[Edge]) -> Work:
        return Work(5)  # q - z, product, rounding shift, z, maximum

    def values(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        return relu(unit.real(read[0])), read[0].starts

    def plain_values(self, read: Sequence[Signal], number: Number) -> NDArray[Any]:
        x = plain.real(read[0], number)
        return np.where(x < 0, np.float32(0), x)

    def integers(self, read: Sequence[Signal], output: Quantisation, unit: Datapath) -> NDArray[Any]:
        codes, zero = read[0].codes()
        least = output.zero_point if output.low is None else max(output.low, output.zero_point)
        scaling = Scaling.ratio(read[0].edge.scale, output.scale, "double_away")
        if self.how() != "double_away":
            scaling = Scaling.of(np.float32(read[0].edge.scale) / np.float32(output.scale), "double_away")
        return unit.requantised(self, codes, scaling, output.model_copy(update={"low": least}), -zero)

    def plain_integers(self, read: Sequence[Signal], output: Quantisation) -> NDArray[Any]:
        a, given = np.float32(read[0].edge.scale), np.float32(output.scale)
        ratio = float(a) / float(given) if self.how() == "double_away" else float(a / given)
        y = plain_integer.scaled(plain_integer.centred(read[0]), ratio, "double_away")
        return plain_integer.clamped(np.maximum(y, 0), output)


class _FunctionOp(VectorOp):
    """A function of every value by itself that a kernel computes."""

    input: str
    kernel: ClassVar[Callable[..., Any]]

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        kernel = type(self).kernel
        return kernel(unit.real(read[0]), unit.vector.number, exceptions=unit.exceptions_of(self)), read[0].starts


class SiluOp(_FunctionOp):
    """y = x / (1 + e^-x)."""

    op: Literal["silu"]
    spread: ClassVar[float] = 0.60
    kernel = staticmethod(silu)

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(1, 2)  # 1 + e; exponential and quotient

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return R(x / R(1 + R(e^-x)))."""
        x = plain.real(read[0], number)
        with np.errstate(all="ignore"):
            return plain.rounded(x / plain.gate(x, number), number)


class _CodedFunctionOp(QuantisedVectorOp):
    """A function of every value by itself that a kernel computes, of codes by a table of all of them."""

    input: str
    kernel: ClassVar[Callable[..., Any]]
    fixed: ClassVar[tuple[float, int]]
    """Scale and zero point of what the fixed-point function gives."""
    fixed_operations: ClassVar[int]
    """Operations of the fixed-point function, from the code to the code."""

    def shape(self, read: Sequence[Edge]) -> Edge:
        return real(read[0])

    def check_integers(self, read: Sequence[Edge], output: Quantisation) -> None:
        check_function(self, read, output, self.fixed)

    def integer_work(self, read: Sequence[Edge]) -> Work:
        return Work(self.fixed_operations) if self.how() == "double_away" else Work(0, 1)  # else a table is read

    def values(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        kernel = type(self).kernel
        return kernel(unit.real(read[0]), unit.vector.number, exceptions=unit.exceptions_of(self)), read[0].starts

    @abstractmethod
    def table(self, centred: NDArray[np.int64], scale: float, output: Quantisation) -> NDArray[np.int64]:
        """Return the codes, less the zero point, of all q - z."""

    def integers(self, read: Sequence[Signal], output: Quantisation, unit: Datapath) -> NDArray[Any]:
        codes, zero = read[0].codes()
        given = self.table(np.arange(-128, 128) - zero, read[0].edge.scale, output) + output.zero_point
        return np.clip(given, *output.limits()).astype(output.word())[codes.astype(np.int64) + 128]


class SigmoidOp(_CodedFunctionOp):
    """y = 1 / (1 + e^-x).

    With an ``output``, of scale 2^-8 and zero point -128, and ``rounding: double_away`` it is gemmlowp's fixed-point
    function, see `accelsim.kernels.fixed_functions`; with ``double_up`` and ``single`` round(y / s) + z of a table.
    """

    op: Literal["sigmoid"]
    kernel = staticmethod(sigmoid)
    fixed: ClassVar[tuple[float, int]] = (2.0**-8, -128)
    fixed_operations: ClassVar[int] = 57  # q - z, 2 limits, product, shift, |x|, exponential 27, quotient 20, ends 3

    def spread_of(self, read: Sequence[float]) -> float:
        return 0.54  # of deviation 1; from 0.5 to 0.71 for any other, so that there is no factor

    def real_work(self, read: Sequence[Edge]) -> Work:
        return Work(1, 2)  # 1 + e; exponential and quotient

    def table(self, centred: NDArray[np.int64], scale: float, output: Quantisation) -> NDArray[np.int64]:
        if self.how() == "double_away":
            return fixed_functions.logistic(centred, scale)
        return fixed_functions.table(lambda x: 1 / (1 + np.exp(-x)), centred, scale, output.scale)

    def plain_integers(self, read: Sequence[Signal], output: Quantisation) -> NDArray[Any]:
        function = plain_fixed.logistic if self.how() == "double_away" else plain_fixed.logistic_of_table
        return plain_fixed.of_each(function, read[0], output)

    def plain_values(self, read: Sequence[Signal], number: Number) -> NDArray[Any]:
        """Return R(1 / R(1 + R(e^-x)))."""
        with np.errstate(all="ignore"):
            return plain.rounded(np.float32(1) / plain.gate(plain.real(read[0], number), number), number)


class TanhOp(_CodedFunctionOp):
    """y = tanh x = (e^2x - 1) / (e^2x + 1), to the bit as in `accelsim.kernels.activation.tanh`.

    All lanes go the same way: they compute the series near 0 and the exponential beyond, and take one. With an
    ``output``, of scale 2^-7 and zero point 0, and ``rounding: double_away`` it is gemmlowp's fixed-point function;
    with ``double_up`` and ``single`` round(y / s) + z of a table.
    """

    op: Literal["tanh"]
    kernel = staticmethod(tanh)
    fixed: ClassVar[tuple[float, int]] = (2.0**-7, 0)
    fixed_operations: ClassVar[int] = 59  # q - z, 2 limits, product, shift, |x|, exponential 29, quotient 21, ends 3

    def spread_of(self, read: Sequence[float]) -> float:
        return min(0.63 * read[0], 1.0)

    def real_work(self, read: Sequence[Edge]) -> Work:
        series, beyond = 4 + 2 * (len(plain.TANH) - 1), 3  # x^2, x^2 P, x .., x + ..; 2|x|, 1 + e, 1 - quotient
        return Work(series + beyond + 1, 2)  # which of both; exponential and quotient

    def table(self, centred: NDArray[np.int64], scale: float, output: Quantisation) -> NDArray[np.int64]:
        if self.how() == "double_away":
            return fixed_functions.tanh(centred, scale)
        return fixed_functions.table(np.tanh, centred, scale, output.scale)

    def plain_integers(self, read: Sequence[Signal], output: Quantisation) -> NDArray[Any]:
        function = plain_fixed.tanh if self.how() == "double_away" else plain_fixed.tanh_of_table
        return plain_fixed.of_each(function, read[0], output)

    def plain_values(self, read: Sequence[Signal], number: Number) -> NDArray[Any]:
        """Return R(tanh x), tanh as a float32."""
        with np.errstate(all="ignore"):
            return plain.rounded(plain.tanh(plain.real(read[0], number)), number)


class GeluOp(_FunctionOp):
    """y = x Phi(x) = x (1 + erf(x / sqrt 2)) / 2, to the bit as in `accelsim.kernels.activation.gelu`: not by tanh.

    All lanes go the same way: they compute all three series of Phi, and take one.
    """

    op: Literal["gelu"]
    spread: ClassVar[float] = 0.65
    kernel = staticmethod(gelu)

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        products = sum(2 * (len(series) - 1) for series in (plain.ERF, plain.ERFC_FROM_1, plain.ERFC_FROM_2))
        near = 5  # z = |x| / sqrt 2, z^2, z P, 1/2 .., 1/2 + ..
        far = 6  # 1/z^2, which series, (1/z) Q, e .., 1/2 .., 1 - ..
        return Work(products + near + far + 3, 2)  # z < 1, x < 0, x Phi; exponential and quotient

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return R(x R(Phi(x))), Phi as a float32."""
        x = plain.real(read[0], number)
        with np.errstate(all="ignore"):
            return plain.rounded(x * plain.rounded(plain.normal_distribution(x), number), number)


class SoftmaxOp(QuantisedVectorOp):
    """y_j = e^(x_j - m) / sum_k e^(x_k - m), m = max x_k: over channels of a band, ``of: width`` of the row.

    As R(R(e^R(x_j - m)) / S), S the float32 sum of the exponentials, ascending. With an ``output``, of scale 2^-8 and
    zero point -128, and ``rounding: double_away`` it is gemmlowp's fixed-point function, see
    `accelsim.kernels.fixed_functions`; with ``double_up`` and ``single`` the exponentials are a table, and their sum
    and quotient float32.
    """

    op: Literal["softmax"]
    input: str
    of: Literal["channels", "width"] = "channels"

    def shape(self, read: Sequence[Edge]) -> Edge:
        return real(read[0])

    def spread_of(self, read: Sequence[float]) -> float:
        return 0.2

    def check_integers(self, read: Sequence[Edge], output: Quantisation) -> None:
        check_function(self, read, output, (2.0**-8, -128))

    def _groups(self, edge: Edge) -> int:
        return 1 if self.of == "width" else edge.bands

    def real_work(self, read: Sequence[Edge]) -> Work:
        return Work(3, 2)  # maximum, difference, sum; exponential and quotient

    def integer_work(self, read: Sequence[Edge]) -> Work:
        groups = self._groups(read[0])
        if self.how() != "double_away":
            return Work(6, 1, groups)  # maximum, difference, sum, product, rounding, z; table; 1 / sum
        return Work(38, 0, groups)  # maximum, difference, shift, product, exponential 29, shift, sum, end 3; 1 / sum

    def values(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        x = unit.real(read[0])
        rows = x.reshape(len(x), self._groups(read[0].edge), -1)
        y = softmax(rows, unit.vector.number, exceptions=unit.exceptions_of(self))
        return y.reshape(len(x), -1), read[0].starts

    def plain_values(self, read: Sequence[Signal], number: Number) -> NDArray[Any]:
        x = plain.real(read[0], number)
        rows = x.reshape(len(x), self._groups(read[0].edge), -1)
        with np.errstate(all="ignore"):
            least = plain.rounded(rows - rows.max(axis=-1, keepdims=True), number)
            terms = plain.rounded(plain.exponential(least), number)
            sums = plain.total(terms, axis=-1)[..., None]
            return plain.rounded(terms / sums, number).reshape(len(x), -1)

    def integers(self, read: Sequence[Signal], output: Quantisation, unit: Datapath) -> NDArray[Any]:
        codes, _ = read[0].codes()
        rows = codes.astype(np.int64).reshape(len(codes), self._groups(read[0].edge), -1)
        below = rows.max(axis=-1, keepdims=True) - rows
        if self.how() == "double_away":
            y = fixed_functions.softmax(below, read[0].edge.scale)
        else:
            y = fixed_functions.softmax_of_table(below, read[0].edge.scale, output.scale)
        y = np.clip(y + output.zero_point, *output.limits())
        return y.reshape(len(codes), -1).astype(output.word())

    def plain_integers(self, read: Sequence[Signal], output: Quantisation) -> NDArray[Any]:
        codes = plain_integer.centred(read[0])
        rows = codes.reshape(len(codes), self._groups(read[0].edge), -1)
        function = plain_fixed.softmax if self.how() == "double_away" else plain_fixed.softmax_of_table
        y = function(rows, np.float32(read[0].edge.scale), np.float32(output.scale))
        return plain_integer.clamped(y.reshape(len(codes), -1), output)


def check_function(op: QuantisedOp, read: Sequence[Edge], output: Quantisation, fixed: tuple[float, int]) -> None:
    """Raise ValueError unless a function takes 8-bit codes, and gives those that its fixed-point form gives."""
    op.check_codes(read, bits=(8,))
    scale, zero = fixed
    found = output.bits, float(np.float32(output.scale)), output.zero_point
    if found != (8, scale, zero):
        raise ValueError(
            f"its output has 8 bits, scale {scale} and zero point {zero}, found {found[0]}, {found[1]:g} and {found[2]}"
            "; 'rounding: half_even' gives others, or an op 'quantise' changes them"
        )


class GluOp(VectorOp):
    """y = a / (1 + e^-b), a and b side by side."""

    op: Literal["glu"]
    input: str
    spread: ClassVar[float] = 0.54

    def infer(self, read: Sequence[Edge]) -> Edge:
        if read[0].width % 2:
            raise ValueError(f"a gated linear unit needs an even number of inputs, found {read[0].width}")
        return Edge(read[0].width // 2, 1, read[0].stride, distances=read[0].distances)

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(1, 2)

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        return glu(unit.real(read[0]), unit.vector.number, exceptions=unit.exceptions_of(self)), read[0].starts

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return R(a / R(1 + R(e^-b)))."""
        a, b = np.split(plain.real(read[0], number), 2, axis=1)
        with np.errstate(all="ignore"):
            return plain.rounded(a / plain.gate(b, number), number)


OPS.register("relu", ReluOp)
OPS.register("silu", SiluOp)
OPS.register("sigmoid", SigmoidOp)
OPS.register("tanh", TanhOp)
OPS.register("gelu", GeluOp)
OPS.register("softmax", SoftmaxOp)
OPS.register("glu", GluOp)
