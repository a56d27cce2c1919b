"""Convolutions over time, and over bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, cast

import numpy as np
from annotated_types import Ge, Len
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from accelsim.kernels.conv import (
    Padding,
    Starts,
    convolve,
    convolve_each,
    depthwise,
    gather,
    made_of,
    starts_of,
    taps_before,
    windows,
)
from accelsim.kernels.float_product import convolve_each_values, convolve_values, depthwise_values
from accelsim.kernels.number import Values
from accelsim.kernels.requantise import Rounding
from accelsim.ops.op import OPS, Datapath, Edge, RowWindow, Signal, WeightedOp

Pair = Annotated[list[PositiveInt], Len(2, 2)]
"""Over time, over bands."""
Ends = Annotated[list[Annotated[int, Ge(0)]], Len(2, 2)]
"""Before, after."""


class _Geometry(NamedTuple):
    """How a convolution over time and bands lies: each a pair (time, bands), but causal is the time alone.

    ``padding``: None where half of the taps lie before a row, or with ``causal`` all.
    """

    stride: tuple[int, int]
    dilation: tuple[int, int]
    causal: bool
    padding: Padding | None


def _plain_places(
    size: int, taps: int, stride: int, dilation: int, causal: bool, ends: Sequence[int] | None
) -> NDArray[np.int64]:
    """Return in plain NumPy which of ``size`` rows, or bands, the taps of each new one read, [new, taps]; -1: none."""
    if ends is None:
        before, new = dilation * (taps - 1) if causal else dilation * (taps // 2), -(-size // stride)
    else:  # as many as fit between the ends
        before = ends[0]
        new = len(range(0, before + size + ends[1] - dilation * (taps - 1), stride))
    places = stride * np.arange(new)[:, None] + dilation * np.arange(taps) - before
    return np.where((places >= 0) & (places < size), places, -1)


def _plain_window(
    x: NDArray[Any],
    starts: Starts,
    taps: int,
    stride: int,
    dilation: int,
    causal: bool,
    ends: Sequence[int] | None = None,
) -> NDArray[Any]:
    """Return in plain NumPy the rows that each new row reads within its utterance, zeros beyond: [rows', taps, ...]."""
    parts = []
    for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        places = _plain_places(last - first, taps, stride, dilation, causal, ends)
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
        self.check_output(read)
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

    def multiply(
        self, codes: NDArray[np.int8], weight: NDArray[Any], starts: Starts, beyond: int = 0
    ) -> tuple[NDArray[Any], Starts]:
        how: dict[str, Any] = {"dilation": self.dilation, "causal": self.causal, "beyond": beyond}
        return depthwise(codes, weight, starts, **how), starts

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
    ``padding``: [[before, after], [before, after]] of time and of bands, in rows and bands beyond the ends; of L rows,
    or bands, it makes (L + before + after - d (K - 1) - 1) // s + 1 then.
    ``depthwise``: every channel for itself: weight [time taps, band taps, 1, channels]. It has as many ``channels`` as
    it reads, or a multiple m of them: channel c reads channel c // m.
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
    padding: Annotated[list[Ends], Len(2, 2)] | None = None

    @model_validator(mode="after")
    def _padded_once(self) -> ConvOp:
        if self.causal and self.padding is not None:
            raise ValueError("'padding' says what lies before a row: leave out 'causal'")
        return self

    def settled(self, read: Sequence[Edge], rounding: Rounding) -> Self:
        op = super().settled(read, rounding)
        if op.depthwise and op.bands is None and read[0].channels != op.channels:
            return op.model_copy(update={"bands": read[0].bands})
        return op

    def infer(self, read: Sequence[Edge]) -> Edge:
        self.check_output(read)
        if self.depthwise and self.channels % (read_channels := read[0].width // self._bands(read)):
            raise ValueError(f"depthwise, it has {self.channels} channels and reads {read_channels}")
        of, ends = self._bands(read), None if self.padding is None else (self.padding[1][0], self.padding[1][1])
        bands = int(made_of(of, self.kernel[1], self.stride[1], self.dilation[1], ends))
        if not bands:
            raise ValueError(f"{self.kernel[1]} taps do not fit {of} bands and their padding")
        return self.given(Edge(bands * self.channels, bands, read[0].stride * self.stride[0]))

    def window(self, read: Sequence[Edge]) -> RowWindow:
        # The last of a group of rows reads taps ahead of a place that is stride - 1 rows from the end.
        taps, dilation = self.kernel[0], self.dilation[0]
        behind = taps_before(taps, self.causal, dilation) if self.padding is None else self.padding[0][0]
        return RowWindow(behind, max(dilation * (taps - 1) - behind - self.stride[0] + 1, 0))

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return self.tensors_of((*self.kernel, self._inputs(read), self.channels))

    def matrix(self, read: Sequence[Edge]) -> tuple[int, int]:
        return self.kernel[0] * self.kernel[1] * self._inputs(read), self.channels

    def operands(self, x: NDArray[Any], weight: NDArray[Any], starts: Starts) -> NDArray[Any]:
        taps, band_taps, _, channels = weight.shape
        along, across = self.padding or (None, None)
        rows = self._rows(x, weight)
        if self.depthwise:  # every channel as often as channels read it
            rows = rows[:, :, np.arange(channels) // (channels // rows.shape[2])]
        seen = _plain_window(rows, starts, taps, self.stride[0], self.dilation[0], self.causal, along)
        places = _plain_places(rows.shape[1], band_taps, self.stride[1], self.dilation[1], False, across)
        padded = np.concatenate([seen, np.zeros_like(seen[:, :, :1])], axis=2)  # band -1 is the one of zeros
        windows = padded[:, :, places].transpose(0, 2, 1, 3, 4)
        return windows.reshape(*windows.shape[:2], -1, channels if self.depthwise else 1)

    def positions(self, given: Edge) -> int:
        return given.bands

    def each_channel(self) -> bool:
        return self.depthwise

    def multiply(
        self, codes: NDArray[np.int8], weight: NDArray[Any], starts: Starts, beyond: int = 0
    ) -> tuple[NDArray[Any], Starts]:
        convolution = convolve_each if self.depthwise else convolve
        rows = self._channels(codes, weight)
        sums, starts = convolution(rows, weight, starts, **self._geometry()._asdict(), beyond=beyond)
        return sums.reshape(len(sums), -1, weight.shape[3]), starts

    def unrolled(
        self, codes: NDArray[np.int8], weight: NDArray[Any], starts: Starts, beyond: int = 0
    ) -> tuple[NDArray[np.int8], Starts]:
        """Return what the unrolled matrix multiplies, [rows' * bands', inputs], and the starts of the rows.

        Where every channel is for itself, a row of each tap: [rows' * bands' * taps, channels].
        """
        x = self._channels(codes, weight)
        padded, rows, bands, new_starts = windows(
            x, (*weight.shape[:2], x.shape[2]), starts, **self._geometry()._asdict(), beyond=beyond
        )  # fmt: skip
        each = len(bands) * (weight[..., 0].size if self.depthwise else 1)
        vectors = np.empty((len(rows) * each, x.shape[2] if self.depthwise else weight[..., 0].size), np.int8)
        for part, gathered in gather(padded, rows, bands):
            vectors[part.start * each : part.stop * each] = gathered.reshape(-1, vectors.shape[1])
        return vectors, new_starts

    def multiply_float(
        self, x: Values, weight: NDArray[Any], bias: NDArray[Any] | None, starts: Starts, unit: Datapath
    ) -> tuple[Values, Starts]:
        convolution = convolve_each_values if self.depthwise else convolve_values
        return convolution(
            self._channels(x, weight), weight, bias, starts, number=unit.vector.number,
            accumulator=unit.array.accumulator, exceptions=unit.exceptions_of(self), **self._geometry()._asdict(),
        )  # fmt: skip

    def starts(self, read: Sequence[Signal]) -> Starts:
        padding = self._geometry().padding
        along = None if padding is None else padding[0]
        return starts_of(read[0].starts, self.kernel[0], self.stride[0], self.dilation[0], along)

    def _geometry(self) -> _Geometry:
        padding = None if self.padding is None else tuple((before, after) for before, after in self.padding)
        strides, dilations = (self.stride[0], self.stride[1]), (self.dilation[0], self.dilation[1])
        return _Geometry(strides, dilations, self.causal, cast(Padding | None, padding))

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        if self.padding is not None and not self.starts(read)[-1]:
            rows = self.dilation[0] * (self.kernel[0] - 1) + 1 - sum(self.padding[0])
            raise ValueError(f"it takes {rows} rows for one of its own: no utterance is so long")
        return super().compute(read, unit)

    def _rows(self, x: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
        """Return rows as [rows, bands, channels]."""
        if self.bands is not None:
            return x.reshape(len(x), self.bands, -1)
        return x.reshape(len(x), -1, weight.shape[3] if self.depthwise else weight.shape[2])

    def _channels(self, x: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
        """Return rows as [rows, bands, channels], where every channel is for itself each as often as it is read."""
        rows = self._rows(x, weight)
        times = weight.shape[3] // rows.shape[2] if self.depthwise else 1
        return rows if times == 1 else np.repeat(rows, times, axis=2)

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
