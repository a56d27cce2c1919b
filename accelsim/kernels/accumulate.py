"""Saturating accumulation of weight rows, in the order in which the chip adds them.

A row is one input's weights to all neurons. Saturating addition is not associative, so the order is part of
the definition: features and rows ascending, bits of a feature ascending (least significant first).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.fixed_point import signed_range
from accelsim.kernels.zero_skip import merge

# One BLAS call works on this many frames, so that its float32 temporary stays small next to the result.
_FRAMES_PER_PRODUCT = 4096


def can_saturate(weights: NDArray[np.int8], accumulator_bits: int, largest_input: int) -> bool:
    """Tell whether any input, in any order, can drive an accumulator out of range.

    Every partial sum of column j lies in [m * sum_i min(w_ij, 0), m * sum_i max(w_ij, 0)] with m the largest
    multiple of a row that is added, so the test is exact over all inputs and needs no data.

    weights: [inputs, neurons]; accumulator_bits: signed word; largest_input: m >= 0.
    """
    low, high = signed_range(accumulator_bits)
    wide = weights.astype(np.int64)
    most_negative = largest_input * np.minimum(wide, 0).sum(axis=0)
    most_positive = largest_input * np.maximum(wide, 0).sum(axis=0)
    return bool((most_negative < low).any() or (most_positive > high).any())


def check_sums(weights: NDArray[np.int8], largest_input: int) -> None:
    """Raise ValueError where sum_i m |w_ij|, m = ``largest_input``, does not fit into 32 bits for some neuron j."""
    bound = largest_input * int(np.abs(weights.astype(np.int64)).sum(axis=0).max(initial=0))
    if bound >= 2**31:
        raise ValueError(f"sums of weights up to {bound} do not fit into 32 bits")


def bit_serial(
    features: NDArray[np.uint8],
    weights: NDArray[np.int8],
    input_bits: int,
    sets: int,
    accumulator_bits: int,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Multiply unsigned features by weights one set bit at a time, a group of bits per PE set.

    P_j = sum_g sat(sum_i sum_b w_ij x_i[g,b] 2^b) 2^(g*group_bits), group_bits = input_bits / sets; each addition
    inside a group saturates at ``accumulator_bits``; the groups are combined without loss.

    features: [frames, inputs], weights: [inputs, neurons]. Returns P [frames, neurons] and the number of
    saturated additions per frame [frames].
    """
    if input_bits % sets:
        raise ValueError(f"{input_bits} input bits do not split evenly over {sets} PE sets")
    check_sums(weights, (1 << input_bits) - 1)
    group_bits = input_bits // sets
    if not can_saturate(weights, accumulator_bits, (1 << group_bits) - 1):
        return _product(features, weights), np.zeros(len(features), np.int64)
    low, high = signed_range(accumulator_bits)
    return _bit_serial(features, weights.astype(np.int32), sets, group_bits, low, high)


@compiled(parallel=True)
def _bit_serial(features, weights, sets, group_bits, low, high):  # type: ignore[no-untyped-def]
    frames, inputs = features.shape
    neurons = weights.shape[1]
    out = np.zeros((frames, neurons), np.int32)
    saturations = np.zeros(frames, np.int64)
    for t in numba.prange(frames):
        accumulator = np.zeros((sets, neurons), np.int32)
        clamped = 0
        for i in range(inputs):
            for g in range(sets):
                for b in range(group_bits):
                    if (features[t, i] >> (g * group_bits + b)) & 1:
                        for j in range(neurons):
                            total = accumulator[g, j] + (weights[i, j] << b)
                            kept = min(max(total, low), high)
                            clamped += total != kept
                            accumulator[g, j] = kept
        for g in range(sets):
            for j in range(neurons):
                out[t, j] += accumulator[g, j] << (g * group_bits)
        saturations[t] = clamped
    return out, saturations


def spike_rows(
    spikes: NDArray[np.uint8],
    weights: NDArray[np.int8],
    banks: int,
    accumulator_bits: int,
    shared: bool,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Accumulate the rows of spiking inputs over all time steps of a frame, with an accumulator per bank of inputs.

    P_j = sum_bank sat(sum_s sum_{i in bank} m[s,i] w_ij) with ``shared``: the accumulators live on from one time step
    to the next; else P_j = sum_s sum_bank sat(sum_{i in bank} m[s,i] w_ij): every time step has its own.

    spikes: [frames, steps, inputs] multiplicities m (merged spikes: one step, m up to the number of time steps),
    weights: [inputs, neurons]. Returns P [frames, neurons] and the number of saturated additions per frame [frames].
    Raises ValueError where the sums of all rows do not fit into 32 bits.
    """
    once = int(spikes.max(initial=0))
    largest = int(spikes.shape[1]) * once
    check_sums(weights, largest)
    if not can_saturate(weights, accumulator_bits, largest if shared else once):
        return _product(merge(spikes), weights), np.zeros(len(spikes), np.int64)
    low, high = signed_range(accumulator_bits)
    return _spike_rows(spikes, weights.astype(np.int32), banks, low, high, shared)


@numba.njit(inline="always")
def add_rows(active, weights, rows_per_bank, accumulator, low, high):  # type: ignore[no-untyped-def]
    """Add ``active[i]`` times row i to the accumulator of its bank, saturating; return how often it did."""
    clamped = 0
    for i in range(active.shape[0]):
        if active[i]:
            bank = i // rows_per_bank
            for j in range(weights.shape[1]):
                total = accumulator[bank, j] + weights[i, j] * active[i]
                kept = min(max(total, low), high)
                clamped += total != kept
                accumulator[bank, j] = kept
    return clamped


@compiled(parallel=True)
def _spike_rows(spikes, weights, banks, low, high, shared):  # type: ignore[no-untyped-def]
    frames, steps, inputs = spikes.shape
    neurons = weights.shape[1]
    rows_per_bank = -(-inputs // banks)
    out = np.zeros((frames, neurons), np.int32)
    saturations = np.zeros(frames, np.int64)
    for t in numba.prange(frames):
        accumulator = np.zeros((banks, neurons), np.int32)
        for s in range(steps):
            saturations[t] += add_rows(spikes[t, s], weights, rows_per_bank, accumulator, low, high)
            if not shared or s == steps - 1:
                for k in range(banks):
                    for j in range(neurons):
                        out[t, j] += accumulator[k, j]
                        accumulator[k, j] = 0
    return out, saturations


def _product(inputs: NDArray[np.uint8], weights: NDArray[np.int8]) -> NDArray[np.int32]:
    """Exact integer product at BLAS speed: every partial sum is below 2^24, so float32 holds it exactly."""
    bound = float(np.abs(weights.astype(np.int64)).sum(axis=0).max(initial=0)) * float(inputs.max(initial=0))
    dtype: type[Any] = np.float32 if bound < 2**24 else np.float64
    wide: NDArray[Any] = weights.astype(dtype)
    out = np.empty((len(inputs), weights.shape[1]), np.int32)
    for start in range(0, len(inputs), _FRAMES_PER_PRODUCT):
        part = slice(start, start + _FRAMES_PER_PRODUCT)
        out[part] = inputs[part].astype(dtype) @ wide
    return out
