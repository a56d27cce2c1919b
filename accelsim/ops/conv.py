"""Convolutions over time, and over bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Len
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.kernels.conv import Starts, convolve, convolve_each, depthwise, gather, taps_before, windows
from accelsim.kernels.float_product import convolve_each_values, convolve_values, depthwise_values
from accelsim.kernels.number import Values
from accelsim.ops.op import OPS, Datapath, Edge, RowWindow, WeightedOp

Pair = Annotated[list[PositiveInt], Len(2, 2)]
"""Over time, over bands."""


class DepthwiseOp(WeightedOp):
    """A convolution over time of every channel for itself: weight [taps, channels], zeros beyond the ends.

    Half of the taps look ahead; with ``causal`` none does: y[t] = sum_i x[t + i - (taps - 1)] w[i].
    """

    op: Literal["depthwise"]
    over_frames: ClassVar[bool] = True
    taps: PositiveInt
    causal: bool = False

    def infer(self, read: Sequence[Edge]) -> Edge:
        return self.given(read[0])

    def each_channel(self) -> bool:
        return True

    def window(self, read: Sequence[Edge]) -> RowWindow:
        behind = taps_before(self.taps, self.causal)
        return RowWindow(behind, self.taps - 1 - behind)

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return self.tensors_of(self.matrix(read))

    def matrix(self, read: Sequence[Edge]) -> tuple[int, int]:
        return self.taps, read[0].width

    def multiply(self, codes: NDArray[np.int8], weight: NDArray[Any], starts: Starts) -> tuple[NDArray[Any], Starts]:
        return depthwise(codes, weight, starts, causal=self.causal), starts

    def multiply_float(
        self, x: Values, weight: NDArray[Any], bias: NDArray[Any] | None, starts: Starts, unit: Datapath
    ) -> tuple[Values, Starts]:
        y = depthwise_values(
            x, weight, bias, starts, unit.vector.number, causal=self.causal, accumulator=unit.array.accumulator,
            exceptions=unit.exceptions_of(self),
        )  # fmt: skip
        return y, starts


class ConvOp(WeightedOp):
    """A convolution over time and bands: weight [time taps, band taps, in, out], zeros beyond the ends.

    ``bands`` of the input, whose rows are [bands, channels]; it may be given where the op reads features.
    ``depthwise``: every channel for itself, as many as it reads, weight [time taps, band taps, 1, channels].
    """

    op: Literal["conv"]
    over_frames: ClassVar[bool] = True
    channels: PositiveInt
    kernel: Pair = [3, 3]
    stride: Pair = [1, 1]
    bands: PositiveInt | None = None
    depthwise: bool = False

    def infer(self, read: Sequence[Edge]) -> Edge:
        if self.depthwise and (read_channels := read[0].width // self._bands(read)) != self.channels:
            raise ValueError(f"depthwise, it has {self.channels} channels and reads {read_channels}")
        if not all(taps % 2 for taps in self.kernel):
            raise ValueError(f"a kernel has an odd number of taps, found {self.kernel}")
        bands = -(-self._bands(read) // self.stride[1])
        return self.given(Edge(bands * self.channels, bands, read[0].stride * self.stride[0]))

    def window(self, read: Sequence[Edge]) -> RowWindow:
        # The last of a group of rows reads half of the taps ahead of a place that is stride - 1 rows from the end.
        half = self.kernel[0] // 2
        return RowWindow(half, max(half - self.stride[0] + 1, 0))

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return self.tensors_of((*self.kernel, self._inputs(read), self.channels))

    def matrix(self, read: Sequence[Edge]) -> tuple[int, int]:
        return self.kernel[0] * self.kernel[1] * self._inputs(read), self.channels

    def positions(self, given: Edge) -> int:
        return given.bands

    def each_channel(self) -> bool:
        return self.depthwise

    def multiply(self, codes: NDArray[np.int8], weight: NDArray[Any], starts: Starts) -> tuple[NDArray[Any], Starts]:
        convolution = convolve_each if self.depthwise else convolve
        sums, starts = convolution(self._rows(codes, weight), weight, starts, (self.stride[0], self.stride[1]))
        return sums.reshape(len(sums), -1, weight.shape[3]), starts

    def unrolled(
        self, codes: NDArray[np.int8], weight: NDArray[Any], starts: Starts
    ) -> tuple[NDArray[np.int8], Starts]:
        """Return the vectors that the unrolled matrix multiplies, [rows' * bands', inputs], and the starts of the rows."""
        stride = (self.stride[0], self.stride[1])
        padded, rows, bands, new_starts = windows(self._rows(codes, weight), weight.shape[:3], starts, stride)
        vectors = np.empty((len(rows) * len(bands), weight[..., 0].size), np.int8)
        for part, gathered in gather(padded, rows, bands):
            vectors[part.start * len(bands) : part.stop * len(bands)] = gathered.reshape(-1, vectors.shape[1])
        return vectors, new_starts

    def multiply_float(
        self, x: Values, weight: NDArray[Any], bias: NDArray[Any] | None, starts: Starts, unit: Datapath
    ) -> tuple[Values, Starts]:
        convolution = convolve_each_values if self.depthwise else convolve_values
        return convolution(
            self._rows(x, weight), weight, bias, starts, (self.stride[0], self.stride[1]), unit.vector.number,
            accumulator=unit.array.accumulator, exceptions=unit.exceptions_of(self),
        )  # fmt: skip

    def _rows(self, x: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
        """Return rows as [rows, bands, channels]."""
        return x.reshape(len(x), -1, weight.shape[3] if self.depthwise else weight.shape[2])

    def _inputs(self, read: Sequence[Edge]) -> int:
        """Return how many channels one output reads."""
        return 1 if self.depthwise else read[0].width // self._bands(read)

    def _bands(self, read: Sequence[Edge]) -> int:
        bands = self.bands or read[0].bands
        if read[0].width % bands:
            raise ValueError(f"{read[0].width} inputs are not channels of {bands} bands")
        return bands


OPS.register("depthwise", DepthwiseOp)
OPS.register("conv", ConvOp)
