"""Convolutions over time, and over bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from annotated_types import Len
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.kernels.conv import Starts, convolve, convolve_each, depthwise, gather, taps_before, windows
from accelsim.kernels.float_product import convolve_each_values, convolve_values, depthwise_values
from accelsim.kernels.number import Values
from accelsim.ops.op import OPS, Datapath, Edge, RowWindow, Signal, WeightedOp

Pair = Annotated[list[PositiveInt], Len(2, 2)]
"""Over time, over bands."""


class _Geometry(NamedTuple):
    """How a convolution over time and bands lies: each a pair (time, bands), but causal is the time alone."""

    stride: tuple[int, int]
    dilation: tuple[int, int]
    causal: bool


def _plain_places(size: int, new: int, taps: int, stride: int, dilation: int, causal: bool) -> NDArray[np.int64]:
    """Return in plain NumPy which of ``size`` rows, or bands, the taps of each new one read, [new, taps]; -1: none."""
    before = dilation * (taps - 1) if causal else dilation * (taps // 2)
    places = stride * np.arange(new)[:, None] + dilation * np.arange(taps) - before
    return np.where((places >= 0) & (places < size), places, -1)


def _plain_window(x: NDArray[Any], starts: Starts, taps: int, stride: int, dilation: int, causal: bool) -> NDArray[Any]:
    """Return in plain NumPy the rows that each new row reads within its utterance, zeros beyond: [rows', taps, ...]."""
    parts = []
    for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        places = _plain_places(last - first, -(-(last - first) // stride), taps, stride, dilation, causal)
        padded = np.concatenate([x[first:last], np.zeros_like(x[:1])])  # row -1 is the one of zeros
        parts.append(padded[places])
    return np.concatenate(parts)


class DepthwiseOp(WeightedOp):
    """A convolution over time of every channel for itself: weight [taps, channels], zeros beyond the ends.

    y[t] = sum_i x[t + dilation i - before] w[i]. Half of the ``taps`` lie before a row, before = dilation (taps // 2);
    with ``causal`` all do, before = dilation (taps - 1). ``dilation``: rows from one tap to the next.
    """

    op: Literal["depthwise"]
    over_frames: ClassVar[bool] = True
    taps: PositiveInt
    dilation: PositiveInt = 1
    causal: bool = False

    def infer(self, read: Sequence[Edge]) -> Edge:
        return self.given(read[0])

    def each_channel(self) -> bool:
        return True

    def window(self, read: Sequence[Edge]) -> RowWindow:
        behind = taps_before(self.taps, self.causal, self.dilation)
        return RowWindow(behind, self.dilation * (self.taps - 1) - behind)

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return self.tensors_of(self.matrix(read))

    def matrix(self, read: Sequence[Edge]) -> tuple[int, int]:
        return self.taps, read[0].width

    def operands(self, x: NDArray[Any], weight: NDArray[Any], starts: Starts) -> NDArray[Any]:
        return _plain_window(x, starts, self.taps, 1, self.dilation, self.causal)[:, None]

    def multiply(self, codes: NDArray[np.int8], weight: NDArray[Any], starts: Starts) -> tuple[NDArray[Any], Starts]:
        return depthwise(codes, weight, starts, dilation=self.dilation, causal=self.causal), starts

    def multiply_float(
        self, x: Values, weight: NDArray[Any], bias: NDArray[Any] | None, starts: Starts, unit: Datapath
    ) -> tuple[Values, Starts]:
        y = depthwise_values(
            x, weight, bias, starts, unit.vector.number, dilation=self.dilation, causal=self.causal,
            accumulator=unit.array.accumulator, exceptions=unit.exceptions_of(self),
        )  # fmt: skip
        return y, starts


class ConvOp(WeightedOp):
    """A convolution over time and bands: weight [time taps, band taps, in, channels], zeros beyond the ends.

    y[t, b] = sum_{i, k} x[s t + d i - before, s' b + d' k - before'] w[i, k], with ``stride`` = [s, s'] and
    ``dilation`` = [d, d'] over time and bands. The ``kernel`` has [K, K'] taps, of which half lie before a row, before
    = d (K // 2), and likewise in bands; with ``causal`` all do in time, before = d (K - 1).
    ``bands`` of the input, whose rows are [bands, channels]; it may be given where the op reads features.
    ``depthwise``: every channel for itself, as many ``channels`` as it reads: weight [time taps, band taps, 1,
    channels].
    """

    op: Literal["conv"]
    over_frames: ClassVar[bool] = True
    channels: PositiveInt
    kernel: Pair = [3, 3]
    stride: Pair = [1, 1]
    dilation: Pair = [1, 1]
    causal: bool = False
    bands: PositiveInt | None = None
    depthwise: bool = False

    def infer(self, read: Sequence[Edge]) -> Edge:
        if self.depthwise and (read_channels := read[0].width // self._bands(read)) != self.channels:
            raise ValueError(f"depthwise, it has {self.channels} channels and reads {read_channels}")
        bands = -(-self._bands(read) // self.stride[1])
        return self.given(Edge(bands * self.channels, bands, read[0].stride * self.stride[0]))

    def window(self, read: Sequence[Edge]) -> RowWindow:
        # The last of a group of rows reads taps ahead of a place that is stride - 1 rows from the end.
        taps, dilation = self.kernel[0], self.dilation[0]
        behind = taps_before(taps, self.causal, dilation)
        return RowWindow(behind, max(dilation * (taps - 1) - behind - self.stride[0] + 1, 0))

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return self.tensors_of((*self.kernel, self._inputs(read), self.channels))

    def matrix(self, read: Sequence[Edge]) -> tuple[int, int]:
        return self.kernel[0] * self.kernel[1] * self._inputs(read), self.channels

    def operands(self, x: NDArray[Any], weight: NDArray[Any], starts: Starts) -> NDArray[Any]:
        taps, band_taps, inputs, channels = weight.shape
        rows = x.reshape(len(x), -1, channels if self.depthwise else inputs)
        seen = _plain_window(rows, starts, taps, self.stride[0], self.dilation[0], self.causal)
        bands = rows.shape[1]
        places = _plain_places(bands, -(-bands // self.stride[1]), band_taps, self.stride[1], self.dilation[1], False)
        padded = np.concatenate([seen, np.zeros_like(seen[:, :, :1])], axis=2)  # band -1 is the one of zeros
        windows = padded[:, :, places].transpose(0, 2, 1, 3, 4)
        return windows.reshape(*windows.shape[:2], -1, channels if self.depthwise else 1)

    def positions(self, given: Edge) -> int:
        return given.bands

    def each_channel(self) -> bool:
        return self.depthwise

    def multiply(self, codes: NDArray[np.int8], weight: NDArray[Any], starts: Starts) -> tuple[NDArray[Any], Starts]:
        convolution = convolve_each if self.depthwise else convolve
        sums, starts = convolution(self._rows(codes, weight), weight, starts, **self._geometry()._asdict())
        return sums.reshape(len(sums), -1, weight.shape[3]), starts

    def unrolled(
        self, codes: NDArray[np.int8], weight: NDArray[Any], starts: Starts
    ) -> tuple[NDArray[np.int8], Starts]:
        """Return what the unrolled matrix multiplies, [rows' * bands', inputs], and the starts of the rows."""
        padded, rows, bands, new_starts = windows(
            self._rows(codes, weight), weight.shape[:3], starts, **self._geometry()._asdict()
        )  # fmt: skip
        vectors = np.empty((len(rows) * len(bands), weight[..., 0].size), np.int8)
        for part, gathered in gather(padded, rows, bands):
            vectors[part.start * len(bands) : part.stop * len(bands)] = gathered.reshape(-1, vectors.shape[1])
        return vectors, new_starts

    def multiply_float(
        self, x: Values, weight: NDArray[Any], bias: NDArray[Any] | None, starts: Starts, unit: Datapath
    ) -> tuple[Values, Starts]:
        convolution = convolve_each_values if self.depthwise else convolve_values
        return convolution(
            self._rows(x, weight), weight, bias, starts, number=unit.vector.number, accumulator=unit.array.accumulator,
            exceptions=unit.exceptions_of(self), **self._geometry()._asdict(),
        )  # fmt: skip

    def starts(self, read: Sequence[Signal]) -> Starts:
        return np.concatenate([[0], np.cumsum(-(-np.diff(read[0].starts) // self.stride[0]))]).astype(np.int64)

    def _geometry(self) -> _Geometry:
        return _Geometry((self.stride[0], self.stride[1]), (self.dilation[0], self.dilation[1]), self.causal)

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
