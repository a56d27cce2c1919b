"""Ops that join several rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from annotated_types import Gt
from numpy.typing import NDArray

from accelsim.kernels.activation import add
from accelsim.kernels.conv import Starts
from accelsim.kernels.number import Arithmetic
from accelsim.ops.op import OPS, Datapath, Edge, Signal, VectorOp, Work, real


class AddOp(VectorOp):
    """residual + factor x."""

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


OPS.register("add", AddOp)
