"""Pooling over neighbouring rows and bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray

from accelsim.kernels.conv import Starts, maximum
from accelsim.kernels.number import Arithmetic
from accelsim.ops.conv import Pair
from accelsim.ops.op import OPS, Datapath, Edge, Signal, VectorOp, Work


class MaxPoolOp(VectorOp):
    """The largest of every ``size`` rows and bands, what is left over at the ends dropped."""

    op: Literal["max_pool"]
    over_frames: ClassVar[bool] = True
    input: str
    size: Pair

    def infer(self, read: Sequence[Edge]) -> Edge:
        if read[0].bands < self.size[1]:
            raise ValueError(f"it takes the largest of {self.size[1]} bands, found {read[0].bands}")
        bands = read[0].bands // self.size[1]
        return Edge(bands * read[0].channels, bands, read[0].stride * self.size[0])

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(self.size[0] * self.size[1] - 1)

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        x = unit.real(read[0])
        bands = x.reshape(len(x), read[0].edge.bands, -1)
        pooled, starts = maximum(bands, read[0].starts, (self.size[0], self.size[1]))
        if not len(pooled):
            raise ValueError(f"it takes {self.size[0]} rows for one of its own: no utterance is so long")
        return pooled.reshape(len(pooled), -1), starts


OPS.register("max_pool", MaxPoolOp)
