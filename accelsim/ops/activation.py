"""Activations: functions of single values, and gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.activation import gelu, glu, relu, sigmoid, silu, tanh
from accelsim.kernels.conv import Starts
from accelsim.kernels.number import Arithmetic, Number
from accelsim.ops import plain
from accelsim.ops.op import OPS, Datapath, Edge, Signal, Tensors, VectorOp, Work


class ReluOp(VectorOp):
    """y = max(x, 0)."""

    op: Literal["relu"]
    input: str
    spread: ClassVar[float] = 0.71

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(1)

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        return relu(unit.real(read[0])), read[0].starts

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        x = plain.real(read[0], number)
        return np.where(x < 0, np.float32(0), x)


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


class SigmoidOp(_FunctionOp):
    """y = 1 / (1 + e^-x)."""

    op: Literal["sigmoid"]
    kernel = staticmethod(sigmoid)

    def spread_of(self, read: Sequence[float]) -> float:
        return 0.54  # of deviation 1; from 0.5 to 0.71 for any other, so that there is no factor

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(1, 2)  # 1 + e; exponential and quotient

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return R(1 / R(1 + R(e^-x)))."""
        with np.errstate(all="ignore"):
            return plain.rounded(np.float32(1) / plain.gate(plain.real(read[0], number), number), number)


class TanhOp(_FunctionOp):
    """y = tanh x = (e^2x - 1) / (e^2x + 1), to the bit as in `accelsim.kernels.activation.tanh`.

    All lanes go the same way: they compute the series near 0 and the exponential beyond, and take one.
    """

    op: Literal["tanh"]
    kernel = staticmethod(tanh)

    def spread_of(self, read: Sequence[float]) -> float:
        return min(0.63 * read[0], 1.0)

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        series, beyond = 4 + 2 * (len(plain.TANH) - 1), 3  # x^2, x^2 P, x .., x + ..; 2|x|, 1 + e, 1 - quotient
        return Work(series + beyond + 1, 2)  # which of both; exponential and quotient

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
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
OPS.register("glu", GluOp)
