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
from accelsim.kernels.number import Arithmetic, Number
from accelsim.ops import plain
from accelsim.ops.op import OPS, Datapath, Edge, Signal, Tensors, VectorOp, Work, real


class AddOp(VectorOp):
    """y = residual + factor x, x what ``input`` names."""

    op: Literal["add"]
    input: str
    residual: str
    factor: Annotated[float, Gt(0)] = 1.0

    def reads(self) -> tuple[str, ...]:
        return self.residual, self.input

    def infer(self, read: Sequence[Edge]) -> Edge:
        if (read[0].width, read[0].stride) != (read[1].width, read[1].stride):
            raise ValueError(f"it adds rows of {read[1].width} to rows of {read[0].width}, or of another rate")
        return real(read[0])

    def spread_of(self, read: Sequence[float]) -> float:
        return math.hypot(read[0], self.factor * read[1])

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(2)

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        residual, x = (unit.real(signal) for signal in read)
        return add(residual, x, self.factor, unit.vector.number, exceptions=unit.exceptions_of(self)), read[0].starts

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return R(residual + R(factor x))."""
        residual, x = (plain.real(signal, number) for signal in read)
        with np.errstate(all="ignore"):
            return plain.rounded(residual + plain.rounded(np.float32(self.factor) * x, number), number)


class MultiplyOp(VectorOp):
    """y = a x value by value, x what ``input`` names and a what ``by`` names: the gates of a network, for example."""

    op: Literal["multiply"]
    input: str
    by: str

    def reads(self) -> tuple[str, ...]:
        return self.input, self.by

    def infer(self, read: Sequence[Edge]) -> Edge:
        if (read[0].width, read[0].stride) != (read[1].width, read[1].stride):
            raise ValueError(f"it multiplies rows of {read[0].width} by rows of {read[1].width}, or of another rate")
        return real(read[0])

    def spread_of(self, read: Sequence[float]) -> float:
        return read[0] * read[1]

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(1)

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        x, a = (unit.real(signal) for signal in read)
        return multiply(x, a, unit.vector.number, exceptions=unit.exceptions_of(self)), read[0].starts

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return R(a x)."""
        x, a = (plain.real(signal, number) for signal in read)
        with np.errstate(all="ignore"):
            return plain.rounded(x * a, number)


OPS.register("add", AddOp)
OPS.register("multiply", MultiplyOp)
