"""Columns of cells whose access transistors are gated by the bits of their rows: a row without a bit is open.

Gates take no current, so that a row wire drops nothing and a driven cell sees the read voltage on one side. On the
other every column is a ladder of its wire and its driven cells, one for each pattern of bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.converters import DacTransfer
from accelsim.kernels.wires import Wires


class GatedRead(NamedTuple):
    """``currents`` and ``variance`` of the read noise [frames, arrays, columns] in A and A^2, both ends of a column
    summed; ``power`` [frames, arrays] in W: what the driven rows give."""

    currents: NDArray[np.float64]
    variance: NDArray[np.float64]
    power: NDArray[np.float64]


@dataclass(frozen=True)
class GatedTiles:
    """The arrays of a matrix on tiles, whose rows are open without a bit, as `gated_read` takes them.

    ``cells``, ``negative`` [row tiles, column tiles, arrays, rows, columns] in S: chord conductances at ``volts`` and
    at -``volts``, rows and columns as they lie, the column of an offset last; arrays go plane by plane, of a pair the
    positive one first. ``variance``: of the cells' own read noise in S^2, alike, None without. ``order`` [row tiles,
    column tiles, rows]: the input on each row; ``gains`` [row tiles, column tiles, arrays, columns], None where all
    are 1.
    """

    cells: NDArray[np.float64]
    negative: NDArray[np.float64]
    variance: NDArray[np.float64] | None
    order: NDArray[np.int64]
    gains: NDArray[np.float64] | None
    wires: Wires
    volts: float

    def check(self, dac: DacTransfer) -> None:
        """Raise ValueError for drivers that put anything but bits of ``volts`` on the rows."""
        if dac.mode != "bit_serial" or dac.full_scale_volts != self.volts:
            raise ValueError(f"gated rows take the bits of a bit-serial DAC of {self.volts:g} V")

    def read(
        self, row: int, column: int, bits: NDArray[np.integer[Any]], thermal: float = 0.0, shot: float = 0.0,
        own_noise: bool = False,
    ) -> GatedRead:  # fmt: skip
        """Return a read of a tile's arrays, currents and noise behind the gains of the columns.

        bits: [frames, inputs], those of the tile's rows that have one; ``own_noise``: with that of the cells' own.
        """
        rows = self.cells.shape[3]
        driven = np.zeros((len(bits), rows), np.int64)
        driven[:, : bits.shape[1]] = bits
        found = gated_read(
            self.cells[row, column], driven[:, self.order[row, column]], self.wires, self.volts,
            negative=self.negative[row, column], thermal=thermal, shot=shot,
            cell_variance=None if self.variance is None or not own_noise else self.variance[row, column],
        )  # fmt: skip
        if self.gains is None:
            return found
        gains = self.gains[row, column]
        return GatedRead(found.currents * gains, found.variance * gains**2, found.power)


def gated_read(
    conductances: NDArray[np.float64],
    bits: NDArray[np.integer],
    wires: Wires,
    volts: float = 1.0,
    *,
    negative: NDArray[np.float64] | None = None,
    thermal: float = 0.0,
    shot: float = 0.0,
    cell_variance: NDArray[np.float64] | None = None,
) -> GatedRead:
    """Read columns over the cells of driven rows alone: b ``volts`` on row i where its bit b is not 0.

    From the far end on, a column is a current s and an admittance y: a cell adds g b V and g, a length of wire r
    divides both by 1 + r y. On the way back, V' = (V + r s) / (1 + r y) gives the voltage of every node and, with the
    amplifiers at 1 V in place of the rows, the share A of a cell's noise current that they sense: a cell of conductance
    g at v volts adds A^2 (thermal g + shot g |v| + cell_variance v^2). Drivers' resistance does not count: rows carry
    no current.

    conductances: [arrays, rows, columns] in S, those of cells at ``volts``; ``negative``: the same at -volts, where
    they differ; ``cell_variance``: of a conductance, in S^2, the same shape; bits: [frames, rows], -1, 0 or 1;
    ``thermal`` and ``shot``: see `accelsim.kernels.read_noise.noise_constants`. Raises ValueError for other bits and
    for shapes that do not fit. Same bits for any threads: a column is one chain of operations.
    """
    cells, pattern = np.ascontiguousarray(conductances, np.float64), np.asarray(bits)
    if cells.ndim != 3 or pattern.ndim != 2 or pattern.shape[1] != cells.shape[1]:
        raise ValueError(f"bits of shape {pattern.shape} do not fit conductances of shape {cells.shape}")
    if np.abs(pattern.astype(np.int64)).max(initial=0) > 1:
        raise ValueError("a gated row takes the bits -1, 0 and 1")
    backward = cells if negative is None else np.ascontiguousarray(negative, np.float64)
    spread = (
        np.zeros((0, *cells.shape[1:])) if cell_variance is None else np.ascontiguousarray(cell_variance, np.float64)
    )
    if backward.shape != cells.shape or (cell_variance is not None and spread.shape != cells.shape):
        raise ValueError(f"expected conductances and variances of shape {cells.shape}")
    shape = len(pattern), len(cells), cells.shape[2]
    found = GatedRead(np.empty(shape), np.zeros(shape), np.empty(shape[:2]))
    end = float(wires.column + wires.amplifier)
    both = wires.both_ends and end > 0  # amplifiers at both ends of wires without resistance are one
    noisy = thermal > 0 or shot > 0 or cell_variance is not None
    _read(
        cells, backward, spread, pattern.astype(np.int64), float(wires.column), end, both, float(volts), noisy,
        float(thermal), float(shot), *found,
    )  # fmt: skip
    return found


@compiled(parallel=True)
def _read(  # type: ignore[no-untyped-def]
    cells, negative, spread, bits, length, end, both, volts, noisy, thermal, shot, currents, variance, power
):
    for frame in numba.prange(len(bits)):
        for array in range(len(cells)):
            _ladders(
                cells[array], negative[array], spread[array : array + 1], bits[frame], length, end, both, volts, noisy,
                thermal, shot, currents[frame, array], variance[frame, array], power[frame, array : array + 1],
            )  # fmt: skip


@compiled()
def _ladders(  # type: ignore[no-untyped-def]
    cells, negative, spread, bits, length, end, both, volts, noisy, thermal, shot, currents, variance, power
):
    rows, columns = cells.shape
    driven = np.flatnonzero(bits)
    count = len(driven)
    # Of the part of a column up to a driven cell: current into a node at 0 V, the same with 1 V on the far amplifier in
    # place of the rows, admittance.
    short, beyond, admittance = np.empty((count, columns)), np.empty((count, columns)), np.empty((count, columns))
    for n in range(count):
        i = driven[n]
        wire = 0.0 if n == 0 else length * (i - driven[n - 1])
        for j in range(columns):
            s, t, y = 0.0, 0.0, 0.0
            if n > 0:
                s, t, y = short[n - 1, j], beyond[n - 1, j], admittance[n - 1, j]
                share = 1.0 / (1.0 + wire * y)
                s, t, y = s * share, t * share, y * share
            elif both:
                t = y = 1.0 / (end + length * i)
            g = cells[i, j] if bits[i] > 0 else negative[i, j]
            short[n, j] = s + g * (bits[i] * volts)
            beyond[n, j] = t
            admittance[n, j] = y + g
    below, share_below = np.zeros(columns), np.ones(columns)
    currents[:] = 0.0
    total = 0.0
    for n in range(count - 1, -1, -1):
        i = driven[n]
        wire = length * (driven[n + 1] - i) if n < count - 1 else length * (rows - 1 - i) + end
        applied = bits[i] * volts
        for j in range(columns):
            ratio = 1.0 / (1.0 + wire * admittance[n, j])
            below[j] = (below[j] + wire * short[n, j]) * ratio
            g = cells[i, j] if bits[i] > 0 else negative[i, j]
            across = applied - below[j]
            currents[j] += g * across
            total += applied * g * across
            if noisy:
                share_below[j] = (share_below[j] + wire * beyond[n, j]) * ratio
                square = thermal * g + shot * g * abs(across)
                if len(spread):
                    square += spread[0, i, j] * across * across
                variance[j] += share_below[j] * share_below[j] * square
    power[0] = total
