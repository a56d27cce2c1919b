"""What a zero-skip unit lets through: row slots issued, rows read, per frame.

A *step* is one slot of the accumulate pipeline: every PE set receives at most one row (or one bit of one row)
in it. Steps are counts of work, in the order of the data; how long a step takes is not known here.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled


@compiled(parallel=True)
def bit_steps(features, sets, group_bits, skip):  # type: ignore[no-untyped-def]
    """Count Type A: a feature's bit groups are shift-added side by side, one set bit per step.

    steps = sum_i max_g popcount(x_i[g]); without skipping every feature takes ``group_bits`` steps. A feature's
    row is read once, and held for its further bits; a feature that is zero is not read when skipping.

    features: [frames, inputs] unsigned. Returns steps, rows read and set bits, each [frames].
    """
    frames, inputs = features.shape
    steps = np.zeros(frames, np.int64)
    rows = np.zeros(frames, np.int64)
    ones = np.zeros(frames, np.int64)
    for t in numba.prange(frames):
        for i in range(inputs):
            longest = 0
            for g in range(sets):
                count = 0
                for b in range(group_bits):
                    count += (features[t, i] >> (g * group_bits + b)) & 1
                longest = max(longest, count)
                ones[t] += count
            steps[t] += longest if skip else group_bits
            rows[t] += longest > 0 or not skip
    return steps, rows, ones


@compiled(parallel=True)
def bank_steps(active, banks, skip):  # type: ignore[no-untyped-def]
    """Count Types B and C: each PE set walks the active inputs of its own bank, one row per step.

    steps = max_bank |active in bank|; without skipping (Type D) every row of the bank is walked.

    active: [frames, inputs], non-zero where a row is needed. Returns steps and rows read, each [frames].
    """
    frames, inputs = active.shape
    rows_per_bank = -(-inputs // banks)
    steps = np.zeros(frames, np.int64)
    rows = np.zeros(frames, np.int64)
    for t in numba.prange(frames):
        if not skip:
            steps[t] = rows_per_bank
            rows[t] = inputs
            continue
        for k in range(min(banks, inputs)):
            count = 0
            for i in range(k * rows_per_bank, min((k + 1) * rows_per_bank, inputs)):
                count += active[t, i] != 0
            steps[t] = max(steps[t], count)
            rows[t] += count
    return steps, rows


def merge(spikes: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.unsignedinteger[Any]]:
    """Merge the spikes of all time steps: m = sum_s S_s, [frames, steps, inputs] -> [frames, inputs].

    The result has the narrowest type that holds the largest sum there can be.
    """
    largest = spikes.shape[1] * int(spikes.max(initial=0))
    return spikes.sum(axis=1, dtype=np.min_scalar_type(largest))
