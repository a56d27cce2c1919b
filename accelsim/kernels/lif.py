"""Leaky integrate-and-fire layers in fixed point, all utterances in one batch."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.accumulate import add_rows, can_saturate
from accelsim.kernels.compile import compiled
from accelsim.kernels.fixed_point import shift, signed_range


def lif(
    current: NDArray[np.int32],
    recurrent: NDArray[np.int8],
    starts: NDArray[np.int64],
    *,
    recurrent_shift: int,
    beta_numerator: int,
    beta_bits: int,
    threshold: int,
    reset_subtract: bool,
    membrane_carry: bool,
    membrane_bits: int,
    accumulator_bits: int,
    banks: int,
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Run a recurrent layer of leaky integrate-and-fire neurons over all frames.

    I[t,s] = current[t,s] + shift(sum_{j: S[t-1,s,j] = 1} Wr_j, recurrent_shift)
    U[t,s] = sat(floor(beta_numerator * U[t,s-1] / 2^beta_bits) + I[t,s])
    S[t,s] = (U[t,s] >= threshold); then U is set to 0, or reduced by the threshold (``reset_subtract``).
    U[t,-1] is the last step of frame t-1 with ``membrane_carry``, else 0; both U and S are 0 where an utterance
    starts. U saturates at ``membrane_bits``; the recurrent sum saturates per bank at ``accumulator_bits``.

    current: [frames, steps, neurons], recurrent: [neurons, neurons] (row = one source neuron), starts: frame
    offsets of the utterances, [utterances + 1]. Returns spikes [frames, steps, neurons], membranes after reset
    (same shape), and per frame the saturated additions of the accumulators and of the membranes.
    """
    low, high = signed_range(accumulator_bits)
    membrane_low, membrane_high = signed_range(membrane_bits)
    return _lif(
        current,
        recurrent.astype(np.int32),
        starts,
        recurrent_shift,
        beta_numerator,
        beta_bits,
        threshold,
        reset_subtract,
        membrane_carry,
        membrane_low,
        membrane_high,
        low,
        high,
        -(-len(recurrent) // banks),
        banks,
        can_saturate(recurrent, accumulator_bits, 1),
    )


@compiled(parallel=True)
def _lif(  # type: ignore[no-untyped-def]
    current,
    recurrent,
    starts,
    recurrent_shift,
    beta_numerator,
    beta_bits,
    threshold,
    reset_subtract,
    membrane_carry,
    membrane_low,
    membrane_high,
    low,
    high,
    rows_per_bank,
    banks,
    saturating,
):
    frames, steps, neurons = current.shape
    spikes = np.zeros((frames, steps, neurons), np.uint8)
    membranes = np.zeros((frames, steps, neurons), np.int32)
    accumulator_saturations = np.zeros(frames, np.int64)
    membrane_saturations = np.zeros(frames, np.int64)
    for u in numba.prange(len(starts) - 1):
        potential = np.zeros(neurons, np.int64)
        accumulator = np.zeros((banks, neurons), np.int32)
        total = np.zeros(neurons, np.int32)
        for t in range(starts[u], starts[u + 1]):
            if not membrane_carry:
                potential[:] = 0
            for s in range(steps):
                total[:] = 0
                if t > starts[u]:
                    previous = spikes[t - 1, s]
                    if saturating:
                        accumulator[:] = 0
                        accumulator_saturations[t] += add_rows(
                            previous, recurrent, rows_per_bank, accumulator, low, high
                        )
                        for k in range(banks):
                            for j in range(neurons):
                                total[j] += accumulator[k, j]
                    else:
                        for i in range(neurons):
                            if previous[i]:
                                for j in range(neurons):
                                    total[j] += recurrent[i, j]
                for j in range(neurons):
                    raw = (
                        ((beta_numerator * potential[j]) >> beta_bits)
                        + current[t, s, j]
                        + shift(np.int64(total[j]), recurrent_shift)
                    )
                    kept = min(max(raw, membrane_low), membrane_high)
                    membrane_saturations[t] += raw != kept
                    if kept >= threshold:
                        spikes[t, s, j] = 1
                        kept = kept - threshold if reset_subtract else 0
                    potential[j] = kept
                    membranes[t, s, j] = kept
    return spikes, membranes, accumulator_saturations, membrane_saturations


@compiled(parallel=True)
def lif_float(current, recurrent, starts, beta, threshold, reset_subtract, membrane_carry):  # type: ignore[no-untyped-def]
    """Run the same layer in float32: U = beta U + I, S = (U >= threshold), reset; see `lif` for the indices.

    current: [frames, steps, neurons], recurrent: [neurons, neurons]. Returns spikes [frames, steps, neurons].
    """
    frames, steps, neurons = current.shape
    spikes = np.zeros((frames, steps, neurons), np.uint8)
    leak, level = np.float32(beta), np.float32(threshold)
    for u in numba.prange(len(starts) - 1):
        potential = np.zeros(neurons, np.float32)
        total = np.zeros(neurons, np.float32)
        for t in range(starts[u], starts[u + 1]):
            if not membrane_carry:
                potential[:] = 0
            for s in range(steps):
                total[:] = current[t, s]
                if t > starts[u]:
                    for i in range(neurons):
                        if spikes[t - 1, s, i]:
                            for j in range(neurons):
                                total[j] += recurrent[i, j]
                for j in range(neurons):
                    value = leak * potential[j] + total[j]
                    if value >= level:
                        spikes[t, s, j] = 1
                        value = value - level if reset_subtract else np.float32(0)
                    potential[j] = value
    return spikes
