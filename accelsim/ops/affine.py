"""Gains and offsets that no matrix takes in, limits, and roots: functions of single values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat, model_validator

from accelsim.kernels.activation import add, multiply
from accelsim.kernels.conv import Starts
from accelsim.kernels.number import Arithmetic, Number, Values, values_of
from accelsim.kernels.requantise import quantised
from accelsim.ops import plain, plain_integer
from accelsim.ops.op import OPS, Datapath, Edge, QuantisedOp, Signal, Tensors, VectorOp, Work, normal, real

QUANTISE = 2
"""Operations that make a code of a real number: product with 1 / s, rounding."""


class _RealOp(QuantisedOp, VectorOp):
    """A function of single values that is computed in float32 where it gives codes, and quantised as reals are."""

    input: str

    def infer(self, read: Sequence[Edge]) -> Edge:
        if self.output is None:
            return real(read[0])
        if read[0].kind == "codes":
            self.check_codes(read)
        return self.output.edge(read[0])

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(self.operations() + (0 if self.output is None else QUANTISE))

    @abstractmethod
    def operations(self) -> int:
        """Return the operations on a real number."""

    @abstractmethod
    def function(self, x: Values, number: Number, unit: Datapath) -> Values:
        """Return the function of real numbers in a number format."""

    @abstractmethod
    def plain_function(self, x: Values, tensors: Tensors, number: Number) -> NDArray[Any]:
        """Return the function in plain NumPy."""

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        if self.output is None:
            return self.function(unit.real(read[0]), unit.vector.number, unit), read[0].starts
        output, y = self.output, self.function(read[0].reals(), "float32", unit)
        codes, clamped = quantised(
            y, output.scale, output.zero_point, output.limits(), output.counted(), output.word(), self.how()
        )
        unit.saturated(self, clamped)
        return codes, read[0].starts

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return what `plain_function` gives, or its codes: then everything is float32."""
        with np.errstate(all="ignore"):
            if self.output is None:
                return self.plain_function(plain.real(read[0], number), tensors, number)
            y = self.plain_function(plain_integer.real(read[0]), tensors, "float32")
        return plain_integer.quantised(y, self.output, self.how())

    def float_values(self, read: Sequence[Signal], exact: Datapath, unit: float | None) -> tuple[NDArray[Any], Starts]:
        if self.output is None:
            return super().float_values(read, exact, unit)
        return self.output.activation(self.function(read[0].reals(), "float32", exact)), read[0].starts


class AffineOp(_RealOp):
    """y = gain x + bias, value by value: a batch norm, a normalisation of features, a constant that is added.

    R(R(x R(gain)) + R(bias)), of tensors ``<name>.gain`` and ``<name>.bias``, each one number [] or one for every value
    of a row [width]; one that is missing is 1 or 0. With an ``output`` it is computed in float32 and quantised.
    """

    op: Literal["affine"]

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return {"gain": (read[0].width,), "bias": (read[0].width,)}

    def optional(self) -> frozenset[str]:
        return frozenset({"gain", "bias"})

    def shape_problem(self, end: str, shape: tuple[int, ...], found: tuple[int, ...]) -> str | None:
        return None if found == () else super().shape_problem(end, shape, found)

    def generated(
        self, read: Sequence[Edge], spread: float, random: np.random.Generator, *, last: bool
    ) -> dict[str, NDArray[Any]]:
        width = (read[0].width,)
        return {
            f"{self.name}.gain": normal(random, width, 0.1) + np.float32(1),
            f"{self.name}.bias": normal(random, width, 0.1),
        }

    def operations(self) -> int:
        return 2

    def function(self, x: Values, number: Number, unit: Datapath) -> Values:
        found = unit.exceptions_of(self)
        gain, bias = (unit.tensors.get(f"{self.name}.{end}") for end in ("gain", "bias"))
        if gain is not None:
            x = multiply(x, _rows(values_of(gain, number), x), number, exceptions=found)
        if bias is not None:
            x = add(_rows(values_of(bias, number), x), x, 1.0, number, exceptions=found)
        return x

    def plain_function(self, x: Values, tensors: Tensors, number: Number) -> NDArray[Any]:
        if (gain := tensors.get(f"{self.name}.gain")) is not None:
            x = plain.rounded(x * plain.rounded(gain, number), number)
        if (bias := tensors.get(f"{self.name}.bias")) is not None:
            x = plain.rounded(x + plain.rounded(bias, number), number)
        return x


class ClipOp(_RealOp):
    """y = min(max(x, R(low)), R(high)), without the limit that is missing; what is no number stays so."""

    op: Literal["clip"]
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None

    @model_validator(mode="after")
    def _limits(self) -> ClipOp:
        if self.low is None and self.high is None:
            raise ValueError("a clip has a limit: 'low: ..', 'high: ..'")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"expected low <= high, found low {self.low:g} and high {self.high:g}")
        return self

    def operations(self) -> int:
        return (self.low is not None) + (self.high is not None)

    def function(self, x: Values, number: Number, unit: Datapath) -> Values:
        if self.low is not None:
            x = np.maximum(x, values_of(np.array(self.low), number))
        if self.high is not None:
            x = np.minimum(x, values_of(np.array(self.high), number))
        return x

    def plain_function(self, x: Values, tensors: Tensors, number: Number) -> NDArray[Any]:
        if self.low is not None:
            low = plain.rounded(np.array(self.low), number)
            x = np.where(x < low, low, x)
        if self.high is not None:
            high = plain.rounded(np.array(self.high), number)
            x = np.where(x > high, high, x)
        return np.asarray(x)


class LeakyReluOp(_RealOp):
    """y = x, and R(R(slope) x) of what is below 0."""

    op: Literal["leaky_relu"]
    slope: FiniteFloat = 0.01

    def operations(self) -> int:
        return 2  # product, which of both

    def function(self, x: Values, number: Number, unit: Datapath) -> Values:
        slope = _rows(values_of(np.array(self.slope), number), x)
        scaled = multiply(np.minimum(x, np.float32(0)), slope, number, exceptions=unit.exceptions_of(self))
        return np.where(x < 0, scaled, x)

    def plain_function(self, x: Values, tensors: Tensors, number: Number) -> NDArray[Any]:
        return np.where(x < 0, plain.rounded(x * plain.rounded(np.array(self.slope), number), number), x)


class SqrtOp(VectorOp):
    """y = sqrt(max(x, 0)): magnitudes from powers."""

    op: Literal["sqrt"]
    input: str

    def spread_of(self, read: Sequence[float]) -> float:
        return float(read[0] ** 0.5)

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(1, 1)  # the larger of both; root

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        return values_of(np.sqrt(np.maximum(unit.real(read[0]), np.float32(0))), unit.vector.number), read[0].starts

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return R(sqrt max(x, 0))."""
        x = plain.real(read[0], number)
        return plain.rounded(np.sqrt(np.where(x < 0, np.float32(0), x)), number)


def _rows(values: NDArray[np.float32], x: NDArray[Any]) -> NDArray[np.float32]:
    """Return one number, or one for every value of a row, for each row of x."""
    return np.ascontiguousarray(np.broadcast_to(values, x.shape))


OPS.register("affine", AffineOp)
OPS.register("clip", ClipOp)
OPS.register("leaky_relu", LeakyReluOp)
OPS.register("sqrt", SqrtOp)
