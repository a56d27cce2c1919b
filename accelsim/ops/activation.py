"""Activations: functions of single values, and gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray

from accelsim.kernels.activation import glu, relu, silu
from accelsim.kernels.conv import Starts
from accelsim.kernels.number import Arithmetic
from accelsim.ops.op import OPS, Datapath, Edge, Signal, VectorOp, Work


class ReluOp(VectorOp):
    """max(x, 0)."""

    op: Literal["relu"]
    input: str
    spread: ClassVar[float] = 0.71

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(1)

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        return relu(unit.real(read[0])), read[0].starts


class SiluOp(VectorOp):
    """x / (1 + e^-x)."""

    op: Literal["silu"]
    input: str
    spread: ClassVar[float] = 0.60

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(1, 2)  # 1 + e; exponential and quotient

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        return silu(unit.real(read[0]), unit.vector.number, exceptions=unit.exceptions_of(self)), read[0].starts


class GluOp(VectorOp):
    """a / (1 + e^-b), a and b side by side."""

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


OPS.register("relu", ReluOp)
OPS.register("silu", SiluOp)
OPS.register("glu", GluOp)
