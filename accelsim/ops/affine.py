"""Gains and offsets that no matrix takes in, limits, and roots: functions of single values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat, model_validator

from accelsim.kernels.activation import add, multiply
from accelsim.kernels.conv import Starts
from accelsim.kernels.number import Arithmetic, Number, values_of
from accelsim.ops import plain
from accelsim.ops.op import OPS, Datapath, Edge, Signal, Tensors, VectorOp, Work, normal, real


class AffineOp(VectorOp):
    """y = gain x + bias, value by value: a batch norm, a normalisation of features, a constant that is added.

    Tensors ``<name>.gain`` and ``<name>.bias``, each one number [] or one for every value of a row [width]; one that is
    missing is 1 or 0.
    """

    op: Literal["affine"]
    input: str

    def infer(self, read: Sequence[Edge]) -> Edge:
        return real(read[0])

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

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(2)

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        x, number, found = unit.real(read[0]), unit.vector.number, unit.exceptions_of(self)
        gain, bias = (unit.tensors.get(f"{self.name}.{end}") for end in ("gain", "bias"))
        if gain is not None:
            x = multiply(x, _rows(values_of(gain, number), x), number, exceptions=found)
        if bias is not None:
            x = add(_rows(values_of(bias, number), x), x, 1.0, number, exceptions=found)
        return x, read[0].starts

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return R(R(x R(gain)) + R(bias))."""
        x = plain.real(read[0], number)
        with np.errstate(all="ignore"):
            if (gain := tensors.get(f"{self.name}.gain")) is not None:
                x = plain.rounded(x * plain.rounded(gain, number), number)
            if (bias := tensors.get(f"{self.name}.bias")) is not None:
                x = plain.rounded(x + plain.rounded(bias, number), number)
        return x


class ClipOp(VectorOp):
    """y = min(max(x, low), high), without the limit that is missing."""

    op: Literal["clip"]
    input: str
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None

    @model_validator(mode="after")
    def _limits(self) -> ClipOp:
        if self.low is None and self.high is None:
            raise ValueError("a clip has a limit: 'low: ..', 'high: ..'")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"expected low <= high, found low {self.low:g} and high {self.high:g}")
        return self

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work((self.low is not None) + (self.high is not None))

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        x, number = unit.real(read[0]), unit.vector.number
        if self.low is not None:
            x = np.maximum(x, values_of(np.array(self.low), number))
        if self.high is not None:
            x = np.minimum(x, values_of(np.array(self.high), number))
        return x, read[0].starts

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return min(max(x, R(low)), R(high)); what is no number stays so."""
        x = plain.real(read[0], number)
        if self.low is not None:
            low = plain.rounded(np.array(self.low), number)
            x = np.where(x < low, low, x)
        if self.high is not None:
            high = plain.rounded(np.array(self.high), number)
            x = np.where(x > high, high, x)
        return np.asarray(x)


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
OPS.register("sqrt", SqrtOp)
