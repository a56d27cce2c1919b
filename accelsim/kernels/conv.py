"""Exact integer products and convolutions over the frames of utterances, and maxima over neighbours.

8-bit codes by integer weights, summed exactly in int32. Frames of all utterances lie end to end, ``starts`` tells where
each begins, [utterances + 1]; a convolution sees zeros beyond the ends of an utterance.

Geometry: with stride s, dilation d and K taps, row t of a convolution reads rows s t + d i - before, i < K. Before the
first row lie d (K // 2) rows of zeros: d (K - 1) / 2 for odd K, which is as many as after the last row; d K / 2 for
even K, and d (K / 2 - 1) after. A causal convolution has d (K - 1) rows before and none after. The same holds for the
bands, but causal is the time alone. Strides and dilations are pairs (time, bands). With an explicit padding ((before,
after), (before, after)), of time and of bands, a convolution makes of L rows, or bands, (L + before + after - d (K - 1)
- 1) // s + 1. What lies beyond the ends is 0, or one code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled

Codes = NDArray[np.int8]
Starts = NDArray[np.int64]

Padding = tuple[tuple[int, int], tuple[int, int]]
"""Rows beyond the ends of an utterance, and bands beyond the outer ones: before and after."""

_GATHERED = 1 << 24  # codes laid out for one product of a convolution, so that the copy stays small


def matrix_product(codes: Codes, weights: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Return sum_i x_i w_ij, exact: [frames, inputs] x [inputs, outputs] -> int32 [frames, outputs].

    The product runs in BLAS: float32 where max|x| sum_i |w_ij| < 2^24, else float64, so that every partial sum is a
    whole number that the format holds, in whatever order it is taken. Raises ValueError where int32 could overflow.
    """
    largest = int(np.abs(codes.astype(np.int16)).max(initial=0))
    bound = largest * int(np.abs(weights.astype(np.int64)).sum(axis=0).max(initial=0))
    if bound >= 2**31:
        raise ValueError(f"sums of products up to {bound} do not fit into 32 bits")
    exact: type[Any] = np.float32 if bound < 2**24 else np.float64
    return np.asarray((codes.astype(exact) @ weights.astype(exact)).astype(np.int32))


def depthwise(
    codes: Codes,
    weights: NDArray[np.integer[Any]],
    starts: Starts,
    *,
    dilation: int = 1,
    causal: bool = False,
    beyond: int = 0,
) -> NDArray[np.int32]:
    """Return y[t, c] = sum_i x[t + dilation i - before, c] w[i, c] within each utterance, exact; before: `taps_before`.

    codes: [frames, channels]; weights: [taps, channels], 8-bit; ``beyond``: the code beyond the ends. Returns int32
    [frames, channels].
    """
    if codes.shape[1:] != weights.shape[1:]:
        raise ValueError(f"codes of {codes.shape[1]} channels, weights of {weights.shape[1]}")
    check_starts(starts, len(codes))
    sums = np.zeros(codes.shape, np.int32)
    before = taps_before(len(weights), causal, dilation)
    _depthwise(
        np.ascontiguousarray(codes), weights.astype(np.int32), np.asarray(starts, np.int64), dilation, before,
        np.int32(beyond), sums,
    )  # fmt: skip
    return sums


def taps_before(taps: int, causal: bool, dilation: int = 1) -> int:
    """Return how many rows before its own a convolution reads: d (taps - 1) if causal, else d (taps // 2), d: dilation.

    So many rows of zeros lie before the first row; after the last one lie d (taps - 1) less those before. Raises
    ValueError for fewer than one tap or a dilation below 1.
    """
    if taps < 1 or dilation < 1:
        raise ValueError(f"a convolution needs at least 1 tap and a dilation of at least 1, found {taps}, {dilation}")
    return dilation * (taps - 1 if causal else taps // 2)


@compiled(parallel=True)
def _depthwise(codes, weights, starts, dilation, before, beyond, sums):  # type: ignore[no-untyped-def]
    taps, channels = weights.shape
    for utterance in numba.prange(len(starts) - 1):
        first, last = starts[utterance], starts[utterance + 1]
        for t in range(first, last):
            for i in range(taps):
                source = t + dilation * i - before
                if first <= source < last:
                    for c in range(channels):
                        sums[t, c] += np.int32(codes[source, c]) * weights[i, c]
                elif beyond:
                    for c in range(channels):
                        sums[t, c] += beyond * weights[i, c]


def convolve(
    codes: Codes,
    weights: NDArray[np.integer[Any]],
    starts: Starts,
    stride: tuple[int, int] = (1, 1),
    *,
    dilation: tuple[int, int] = (1, 1),
    causal: bool = False,
    padding: Padding | None = None,
    beyond: int = 0,
) -> tuple[NDArray[np.int32], Starts]:
    """Convolve over time and bands, zeros beyond the ends and the outer bands, exact.

    y[t, b, o] = sum_{i, k, c} x[s_t t + d_t i - before_t, s_b b + d_b k - before_b, c] w[i, k, c, o], stride (s_t,
    s_b), dilation (d_t, d_b), before: `taps_before`, t < ceil(frames / s_t) and b < ceil(bands / s_b). codes: [frames,
    bands, channels]; weights: [I, K, channels, outputs], 8-bit. Returns int32 [frames', bands', outputs] and the new
    starts.
    """
    outputs = weights.shape[3]
    padded, source, band_source, new_starts = windows(
        codes, weights.shape[:3], starts, stride, dilation, causal, padding, beyond
    )  # fmt: skip
    new_bands = len(band_source)
    matrix = weights.reshape(-1, outputs)
    sums = np.empty((len(source), new_bands, outputs), np.int32)
    for part, gathered in gather(padded, source, band_source):
        product = matrix_product(gathered.reshape(-1, len(matrix)), matrix)
        sums[part] = product.reshape(-1, new_bands, outputs)
    return sums, new_starts


def convolve_each(
    codes: Codes,
    weights: NDArray[np.integer[Any]],
    starts: Starts,
    stride: tuple[int, int] = (1, 1),
    *,
    dilation: tuple[int, int] = (1, 1),
    causal: bool = False,
    padding: Padding | None = None,
    beyond: int = 0,
) -> tuple[NDArray[np.int32], Starts]:
    """Convolve every channel over time and bands by weights of its own, exact; geometry as of `convolve`.

    y[t, b, c] = sum_{i, k} x[s_t t + d_t i - before_t, s_b b + d_b k - before_b, c] w[i, k, 0, c]. codes: [frames,
    bands, channels]; weights: [I, K, 1, channels], 8-bit. Returns int32 [frames', bands', channels] and the new starts.
    """
    taps, band_taps, _, channels = weights.shape
    padded, source, band_source, new_starts = windows(
        codes, (taps, band_taps, channels), starts, stride, dilation, causal, padding, beyond
    )  # fmt: skip
    sums = np.zeros((len(source), len(band_source), channels), np.int32)
    for i in range(taps):
        for k in range(band_taps):
            x = padded[source[:, i, None], band_source[:, k]]
            sums += x.astype(np.int32) * weights[i, k, 0].astype(np.int32)
    return sums, new_starts


def windows(
    values: NDArray[Any],
    taps: tuple[int, ...],
    starts: Starts,
    stride: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
    causal: bool = False,
    padding: Padding | None = None,
    beyond: int = 0,
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64], Starts]:
    """Return what a convolution over time and bands reads: padded values, rows and bands of each new one, new starts.

    values: [frames, bands, channels]; taps: (I, K, channels), else ValueError. The new frame t and band b read
    padded[rows[t, i], bands[b, k]]: padded has one frame of zeros, or of ``beyond``, more, and as much beyond the outer
    bands.
    """
    if values.ndim != 3 or values.shape[2] != taps[2]:
        raise ValueError(f"values {values.shape} do not fit weights {taps}")
    check_starts(starts, len(values))
    before, bands_before = taps_before(taps[0], causal, dilation[0]), taps_before(taps[1], False, dilation[1])
    bands, span = values.shape[1], dilation[1] * (taps[1] - 1)
    if padding is not None:
        before, (bands_before, bands_after) = padding[0][0], padding[1]
        span = bands_before + bands_after
    padded = np.zeros((len(values) + 1, bands + span, taps[2]), values.dtype)
    if beyond:
        padded[:] = beyond
    padded[:-1, bands_before : bands_before + bands] = values
    along = None if padding is None else padding[0]
    new_starts = starts_of(starts, taps[0], stride[0], dilation[0], along)
    rows = sources(starts, new_starts, stride[0], dilation[0] * np.arange(taps[0]) - before, outside=len(values))
    across = None if padding is None else padding[1]
    new_bands = stride[1] * np.arange(made_of(bands, taps[1], stride[1], dilation[1], across))
    return padded, rows, new_bands[:, None] + dilation[1] * np.arange(taps[1]), new_starts


def made_of(size: Any, taps: int, stride: int, dilation: int, padding: tuple[int, int] | None) -> Any:
    """Return how many rows, or bands, a convolution makes of ``size``, an int or an array; none of too few."""
    if padding is None:
        return -(-size // stride)
    return np.maximum((size + sum(padding) - dilation * (taps - 1) - 1) // stride + 1, 0)


def starts_of(
    starts: Starts, taps: int, stride: int, dilation: int = 1, padding: tuple[int, int] | None = None
) -> Starts:
    """Return where the utterances start in the rows that a convolution over time makes, [utterances + 1]."""
    made = made_of(np.diff(starts), taps, stride, dilation, padding)
    return np.concatenate([[0], np.cumsum(made)]).astype(np.int64)


def gather(
    padded: NDArray[Any], rows: NDArray[np.int64], bands: NDArray[np.int64]
) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield some new frames at a time and what they read, [frames, bands', taps, band taps, channels]."""
    block = max(_GATHERED // max(rows.shape[1] * bands.size * padded.shape[2], 1), 1)
    for start in range(0, len(rows), block):
        part = slice(start, min(start + block, len(rows)))
        # [frames, taps, bands', band taps, channels] -> [frames, bands', taps, band taps, channels]
        yield part, padded[rows[part][:, :, None, None], bands].transpose(0, 2, 1, 3, 4)


def maximum(values: NDArray[Any], starts: Starts, size: tuple[int, int]) -> tuple[NDArray[Any], Starts]:
    """Return the largest of every ``size`` frames and bands, what is left over at the ends dropped.

    y[t, b, c] = max_{i < m, k < n} x[m t + i, n b + k, c], size = (m, n). values: [frames, bands, channels].
    """
    source, new_starts = pooled_rows(starts, len(values), size[0])
    new_bands = values.shape[1] // size[1]
    kept = values[:, : new_bands * size[1]].reshape(len(values), new_bands, size[1], values.shape[2]).max(axis=2)
    return np.asarray(kept[source].max(axis=1)), new_starts


def pooled_rows(starts: Starts, frames: int, size: int) -> tuple[NDArray[np.int64], Starts]:
    """Return which frames every new one pools, [new frames, size], and the new starts; frames left over are dropped."""
    check_starts(starts, frames)
    new_starts = np.concatenate([[0], np.cumsum(np.diff(starts) // size)]).astype(np.int64)
    return sources(starts, new_starts, size, np.arange(size), outside=0), new_starts


def sources(
    starts: Starts, new_starts: Starts, stride: int, offsets: NDArray[np.int64], outside: int
) -> NDArray[np.int64]:
    """Return which frames every new frame reads, [new frames, offsets]; ``outside`` beyond the ends."""
    lengths = np.diff(new_starts)
    frame = np.arange(new_starts[-1]) - np.repeat(new_starts[:-1], lengths)
    first, last = np.repeat(starts[:-1], lengths)[:, None], np.repeat(starts[1:], lengths)[:, None]
    source = first + stride * frame[:, None] + offsets
    return np.where((source >= first) & (source < last), source, outside)


def check_starts(starts: Starts, frames: int) -> None:
    """Raise ValueError unless the utterances end where the frames do."""
    if starts[0] != 0 or starts[-1] != frames or (np.diff(starts) < 0).any():
        raise ValueError(f"the utterances end at frame {starts[-1]}, found {frames} frames")
