"""Pooling over neighbouring rows and bands."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.conv import Starts, maximum
from accelsim.kernels.float_product import average
from accelsim.kernels.number import Arithmetic, Number, Values
from accelsim.ops import plain
from accelsim.ops.conv import Pair
from accelsim.ops.op import OPS, Datapath, Edge, Signal, Tensors, VectorOp, Work


class _PoolOp(VectorOp):
    """Every ``size`` rows and bands become one, what is left over at the ends dropped."""

    over_frames: ClassVar[bool] = True
    input: str
    size: Pair
    takes_what: ClassVar[str]
    """What of the bands it takes, for messages."""

    def infer(self, read: Sequence[Edge]) -> Edge:
        if read[0].bands < self.size[1]:
            raise ValueError(f"it takes the {self.takes_what} of {self.size[1]} bands, found {read[0].bands}")
        bands = read[0].bands // self.size[1]
        return Edge(bands * read[0].channels, bands, read[0].stride * self.size[0])

    def starts(self, read: Sequence[Signal]) -> Starts:
        return np.concatenate([[0], np.cumsum(np.diff(read[0].starts) // self.size[0])]).astype(np.int64)

    @abstractmethod
    def pool(self, bands: Values, starts: Starts, unit: Datapath) -> tuple[Values, Starts]:
        """Return the pooled values of [rows, bands, channels], and the starts of the new rows."""

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        x = unit.real(read[0])
        pooled, starts = self.pool(x.reshape(len(x), read[0].edge.bands, -1), read[0].starts, unit)
        if not len(pooled):
            raise ValueError(f"it takes {self.size[0]} rows for one of its own: no utterance is so long")
        return pooled.reshape(len(pooled), -1), starts

    def groups(self, x: Values, read: Signal) -> NDArray[Any]:
        """Return in plain NumPy what each new value pools, [rows', bands', channels, size[0] size[1]]: rows, bands."""
        (rows, bands), starts = self.size, read.starts.tolist()
        x = x.reshape(len(x), read.edge.bands, -1)
        kept = [x[a : a + (b - a) // rows * rows] for a, b in pairwise(starts)]
        whole = np.concatenate(kept)[:, : x.shape[1] // bands * bands]
        cut = whole.reshape(len(whole) // rows, rows, whole.shape[1] // bands, bands, -1)
        return cut.transpose(0, 2, 4, 1, 3).reshape(len(cut), cut.shape[2], cut.shape[4], rows * bands)


class MaxPoolOp(_PoolOp):
    """y[t, b] = max x[m t + i, n b + k] over i < m, k < n, channel by channel, ``size`` = [m, n].

    What is left over at the ends is dropped.
    """

    op: Literal["max_pool"]
    takes_what = "largest"

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(self.size[0] * self.size[1] - 1)

    def pool(self, bands: Values, starts: Starts, unit: Datapath) -> tuple[Values, Starts]:
        return maximum(bands, starts, (self.size[0], self.size[1]))

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        pooled = self.groups(plain.real(read[0], number), read[0]).max(axis=-1)
        return np.asarray(pooled.reshape(len(pooled), -1))


class AvgPoolOp(_PoolOp):
    """y[t, b] = sum x[m t + i, n b + k] / (m n) over i < m, k < n, channel by channel, ``size`` = [m, n].

    What is left over at the ends is dropped. The sum is a float32 one, rows ascending and bands within, and the
    quotient is rounded once.
    """

    op: Literal["avg_pool"]
    takes_what = "mean"

    def spread_of(self, read: Sequence[float]) -> float:
        return read[0] / (self.size[0] * self.size[1]) ** 0.5

    def work(self, read: Sequence[Edge], unit: Arithmetic) -> Work:
        return Work(self.size[0] * self.size[1] - 1, 1)  # the quotient

    def pool(self, bands: Values, starts: Starts, unit: Datapath) -> tuple[Values, Starts]:
        size = self.size[0], self.size[1]
        return average(bands, starts, size, unit.vector.number, exceptions=unit.exceptions_of(self))

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        with np.errstate(all="ignore"):
            sums = plain.total(self.groups(plain.real(read[0], number), read[0]), axis=-1)
            pooled = plain.rounded(sums / np.float32(self.size[0] * self.size[1]), number)
        return pooled.reshape(len(pooled), -1)


OPS.register("max_pool", MaxPoolOp)
OPS.register("avg_pool", AvgPoolOp)
