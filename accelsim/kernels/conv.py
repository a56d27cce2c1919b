"""Exact integer products and convolutions over the frames of utterances, and maxima over neighbours.

8-bit codes by integer weights, summed exactly in int32. Frames of all utterances lie end to end, ``starts`` tells where
each begins, [utterances + 1]; a convolution sees zeros beyond the ends of an utterance.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int8]
Starts = NDArray[np.int64]

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


def depthwise(codes: Codes, weights: NDArray[np.integer[Any]], starts: Starts) -> NDArray[np.int32]:
    """Return y[t, c] = sum_i x[t + i - taps // 2, c] w[i, c] within each utterance, exact.

    codes: [frames, channels]; weights: [taps, channels], 8-bit. Returns int32 [frames, channels].
    """
    if codes.shape[1:] != weights.shape[1:]:
        raise ValueError(f"codes of {codes.shape[1]} channels, weights of {weights.shape[1]}")
    _check_starts(starts, len(codes))
    sums = np.zeros(codes.shape, np.int32)
    _depthwise(np.ascontiguousarray(codes), weights.astype(np.int32), np.asarray(starts, np.int64), sums)
    return sums


@numba.njit(parallel=True, cache=True)
def _depthwise(codes, weights, starts, sums):  # type: ignore[no-untyped-def]
    taps, channels = weights.shape
    for utterance in numba.prange(len(starts) - 1):
        first, last = starts[utterance], starts[utterance + 1]
        for t in range(first, last):
            for i in range(taps):
                source = t + i - taps // 2
                if first <= source < last:
                    for c in range(channels):
                        sums[t, c] += np.int32(codes[source, c]) * weights[i, c]


def convolve(
    codes: Codes, weights: NDArray[np.integer[Any]], starts: Starts, stride: tuple[int, int] = (1, 1)
) -> tuple[NDArray[np.int32], Starts]:
    """Convolve over time and bands, zeros beyond the ends and the outer bands, exact.

    y[t, b, o] = sum_{i, k, c} x[s_t t + i - I // 2, s_b b + k - K // 2, c] w[i, k, c, o], t < ceil(frames / s_t) and
    b < ceil(bands / s_b). codes: [frames, bands, channels]; weights: [I, K, channels, outputs], I and K odd, 8-bit;
    stride: (s_t, s_b). Returns int32 [frames', bands', outputs] and the new starts.
    """
    taps, band_taps, channels, outputs = weights.shape
    if codes.ndim != 3 or codes.shape[2] != channels or not taps % 2 or not band_taps % 2:
        raise ValueError(f"codes {codes.shape} do not fit weights {weights.shape} of odd taps")
    _check_starts(starts, len(codes))
    bands = codes.shape[1]
    padding = band_taps // 2
    padded = np.zeros((len(codes) + 1, bands + 2 * padding, channels), np.int8)  # the last frame stays zero
    padded[:-1, padding : padding + bands] = codes
    new_starts = np.concatenate([[0], np.cumsum(-(-np.diff(starts) // stride[0]))]).astype(np.int64)
    source = _sources(starts, new_starts, stride[0], np.arange(taps) - taps // 2, outside=len(codes))
    new_bands = -(-bands // stride[1])
    band_source = stride[1] * np.arange(new_bands)[:, None] + np.arange(band_taps)
    matrix = weights.reshape(-1, outputs)
    sums = np.empty((len(source), new_bands, outputs), np.int32)
    block = max(_GATHERED // (taps * new_bands * band_taps * channels), 1)
    for start in range(0, len(source), block):
        part = source[start : start + block]
        # [frames, taps, bands', band taps, channels] -> [frames, bands', taps, band taps, channels]
        gathered = padded[part[:, :, None, None], band_source].transpose(0, 2, 1, 3, 4)
        product = matrix_product(gathered.reshape(len(part) * new_bands, -1), matrix)
        sums[start : start + block] = product.reshape(len(part), new_bands, outputs)
    return sums, new_starts


def maximum(values: NDArray[Any], starts: Starts, size: tuple[int, int]) -> tuple[NDArray[Any], Starts]:
    """Return the largest of every ``size`` frames and bands, what is left over at the ends dropped.

    y[t, b, c] = max_{i < m, k < n} x[m t + i, n b + k, c], size = (m, n). values: [frames, bands, channels].
    """
    _check_starts(starts, len(values))
    new_starts = np.concatenate([[0], np.cumsum(np.diff(starts) // size[0])]).astype(np.int64)
    source = _sources(starts, new_starts, size[0], np.arange(size[0]), outside=0)
    new_bands = values.shape[1] // size[1]
    kept = values[:, : new_bands * size[1]].reshape(len(values), new_bands, size[1], values.shape[2]).max(axis=2)
    return np.asarray(kept[source].max(axis=1)), new_starts


def _sources(
    starts: Starts, new_starts: Starts, stride: int, offsets: NDArray[np.int64], outside: int
) -> NDArray[np.int64]:
    """Return which frames every new frame reads, [new frames, offsets]; ``outside`` beyond the ends."""
    lengths = np.diff(new_starts)
    frame = np.arange(new_starts[-1]) - np.repeat(new_starts[:-1], lengths)
    first, last = np.repeat(starts[:-1], lengths)[:, None], np.repeat(starts[1:], lengths)[:, None]
    source = first + stride * frame[:, None] + offsets
    return np.where((source >= first) & (source < last), source, outside)


def _check_starts(starts: Starts, frames: int) -> None:
    if starts[0] != 0 or starts[-1] != frames or (np.diff(starts) < 0).any():
        raise ValueError(f"the utterances end at frame {starts[-1]}, found {frames} frames")
