"""Cells that follow the laws of a published device: programming noise, decay, drift, stuck cells."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.cells import RESTING
from accelsim.kernels.compile import compiled
from accelsim.kernels.counter_random import (
    CELL_STREAM,
    DECAY_STREAM,
    DRIFT_STREAM,
    STUCK_STREAM,
    normal_pair,
    philox,
    split_seed,
    uniform,
)


@dataclass(frozen=True)
class Moments:
    """What a device's laws say of the cells of each level at one age; conductances in S.

    ``mean``, ``sigma``: of the programmed conductance, [levels]; ``decay``: standard deviation of what is added to it
    since; ``exponent``, ``spread``: mean and standard deviation of the drift exponent, [levels]; ``log_ratio``:
    ln(t / t0) of drift; ``lowest``, ``highest``: where a conductance is cut off.
    """

    mean: NDArray[np.float64]
    sigma: NDArray[np.float64]
    decay: float
    exponent: NDArray[np.float64]
    spread: NDArray[np.float64]
    log_ratio: float
    lowest: float
    highest: float


def measured_conductances(
    levels: NDArray[np.uint8],
    arrays: NDArray[np.int64],
    *,
    seed: int,
    moments: Moments,
    ends: tuple[float, float],
    stuck_low: float,
    stuck_high: float,
) -> NDArray[np.float64]:
    """Return the conductances of programmed cells, clip(mean + sigma z1 + decay z2) (t / t0)^-|nu + spread z3|, in S.

    z1 .. z3: normal numbers of a cell, of a stream each, functions of (seed, array, cell) alone, so that a cell that
    is read at two ages is the same cell. A cell is stuck at the highest conductance with probability ``stuck_low``
    (low resistance), at the lowest with ``stuck_high``, and then neither varies nor drifts; nor does one that rests.

    levels: [arrays, cells], `RESTING` or into the levels of ``moments``; ends: lowest and highest conductance of the
    range. Returns float64, same shape.
    """
    low, high = split_seed(seed)
    m = moments
    cells: NDArray[np.float64] = _measured(
        levels, arrays, low, high, m.mean, m.sigma, m.decay, m.exponent, m.spread, m.log_ratio, m.lowest, m.highest,
        ends[0], ends[1], stuck_low, stuck_high,
    )  # fmt: skip
    return cells


@numba.njit(inline="always")
def _normal(cell, array, seed_high, key, stream):  # type: ignore[no-untyped-def]
    w0, w1, _, _ = philox(np.uint64(0), cell, array, seed_high, key, stream)
    return np.float64(normal_pair(w0, w1)[0])


@compiled(parallel=True)
def _measured(  # type: ignore[no-untyped-def]
    levels, arrays, key, seed_high, mean, sigma, decay, exponent, spread, log_ratio, lowest, highest, bottom, top,
    stuck_low, stuck_high,
):  # fmt: skip
    cells = levels.shape[1]
    out = np.empty(levels.shape)
    for n in numba.prange(len(arrays)):
        array = np.uint64(arrays[n])
        for c in range(cells):
            cell, level = np.uint64(c), levels[n, c]
            if stuck_low + stuck_high > 0:
                u = uniform(philox(np.uint64(0), cell, array, seed_high, key, np.uint64(STUCK_STREAM))[0])
                if u < stuck_low:
                    out[n, c] = top
                    continue
                if u < stuck_low + stuck_high:
                    out[n, c] = bottom
                    continue
            if level == RESTING:
                out[n, c] = bottom
                continue
            g = mean[level]
            if sigma[level] > 0:
                g += sigma[level] * _normal(cell, array, seed_high, key, np.uint64(CELL_STREAM))
            if decay > 0:
                g += decay * _normal(cell, array, seed_high, key, np.uint64(DECAY_STREAM))
            g = min(max(g, lowest), highest)
            if log_ratio > 0:
                nu = exponent[level]
                if spread[level] > 0:
                    nu += spread[level] * _normal(cell, array, seed_high, key, np.uint64(DRIFT_STREAM))
                g *= np.exp(-abs(nu) * log_ratio)
            out[n, c] = g
    return out
