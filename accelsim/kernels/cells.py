"""Cells that follow simple laws: Gaussian write noise, stuck cells, conductance drift."""

from __future__ import annotations

from typing import Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.counter_random import (
    CELL_STREAM,
    DRIFT_STREAM,
    normal_pair,
    philox,
    split_seed,
    uniform,
)

RESTING = 255
"""The level of a cell that is never written: it rests at the lowest conductance, without write noise."""


class CellProgram(Protocol):
    """Programs arrays of cells, [arrays, rows, columns], and returns their states r, float32.

    ``levels``: 0 .. 2^n - 1, or `RESTING`; ``arrays``: their numbers; ``bits``: n of every cell, whose levels span the
    cells' range whatever n is. None: all cells have as many, which the program knows.
    """

    def __call__(
        self, levels: NDArray[np.uint8], arrays: NDArray[np.int64], bits: NDArray[np.uint8] | None = None, /
    ) -> NDArray[np.float32]: ...


def gaussian_conductances(
    levels: NDArray[np.uint8],
    arrays: NDArray[np.int64],
    *,
    seed: int,
    conductances: NDArray[np.float64],
    sigma: float,
    stuck_low: float,
    stuck_high: float,
) -> NDArray[np.float32]:
    """Return the conductances of programmed cells, G = max(G_level + sigma N(0, 1), 0), or of stuck ones.

    A cell is stuck at the highest conductance (low resistance) with probability ``stuck_low``, at the lowest with
    ``stuck_high``, and then has no write noise; nor has a cell that rests. A cell's draws are a function of (seed,
    array, cell).

    levels: [arrays, cells], `RESTING` or into ``conductances`` [levels] in S, ascending; sigma in S. Returns S,
    float32, same shape.
    """
    low, high = split_seed(seed)
    cells: NDArray[np.float32] = _gaussian(levels, arrays, low, high, conductances, sigma, stuck_low, stuck_high)
    return cells


@compiled(parallel=True)
def _gaussian(levels, arrays, key, seed_high, conductances, sigma, stuck_low, stuck_high):  # type: ignore[no-untyped-def]
    cells = levels.shape[1]
    out = np.empty(levels.shape, np.float32)
    for n in numba.prange(len(arrays)):
        array = np.uint64(arrays[n])
        for c in range(cells):
            w0, w1, w2, _ = philox(np.uint64(0), np.uint64(c), array, seed_high, key, np.uint64(CELL_STREAM))
            u = uniform(w0)
            if u < stuck_low:
                out[n, c] = conductances[-1]
            elif u < stuck_low + stuck_high or levels[n, c] == RESTING:
                out[n, c] = conductances[0]
            else:
                out[n, c] = max(conductances[levels[n, c]] + sigma * np.float64(normal_pair(w1, w2)[0]), 0.0)
    return out


def drifted(
    conductances: NDArray[np.float64],
    arrays: NDArray[np.int64],
    *,
    seed: int,
    ratio: float,
    exponent: float,
    spread: float,
) -> NDArray[np.float64]:
    """Return conductances after a time t, G(t) = G(t0) (t / t0)^-nu, nu = max(exponent + spread N(0, 1), 0) per cell.

    conductances: [arrays, cells]; ratio: t / t0 >= 1. The exponent of a cell is a function of (seed, array, cell).
    """
    low, high = split_seed(seed)
    after: NDArray[np.float64] = _drifted(conductances, arrays, low, high, np.log(ratio), exponent, spread)
    return after


@compiled(parallel=True)
def _drifted(conductances, arrays, key, seed_high, log_ratio, exponent, spread):  # type: ignore[no-untyped-def]
    cells = conductances.shape[1]
    out = np.empty(conductances.shape)
    for n in numba.prange(len(arrays)):
        array = np.uint64(arrays[n])
        for c in range(cells):
            w0, w1, _, _ = philox(np.uint64(0), np.uint64(c), array, seed_high, key, np.uint64(DRIFT_STREAM))
            nu = max(exponent + spread * np.float64(normal_pair(w0, w1)[0]), 0.0)
            out[n, c] = conductances[n, c] * np.exp(-nu * log_ratio)
    return out
