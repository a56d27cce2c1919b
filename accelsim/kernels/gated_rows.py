"""Columns of cells whose access transistors are gated by the bits of their rows: a row without a bit is open.

Gates take no current, so that a row wire drops nothing and a driven cell sees the read voltage on one side. On the
other every column is a ladder of its wire and its driven cells, one for each pattern of bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.wires import Wires


class GatedRead(NamedTuple):
    """``currents`` [frames, arrays, columns] in A per volt, both ends of a column summed; ``power`` [frames, arrays] in
    W per volt squared: what the driven rows give."""

    currents: NDArray[np.float64]
    power: NDArray[np.float64]


def gated_currents(conductances: NDArray[np.float64], bits: NDArray[np.int8], wires: Wires) -> GatedRead:
    """Return the currents of columns over the cells of driven rows alone: b V on row i where its bit b is not 0.

    From the far end on, a column is a current i and an admittance y: a cell adds g b and g, a length of wire r divides
    both by 1 + r y. The driver's resistance counts in no row, because rows carry no current.

    conductances: [arrays, rows, columns] in S; bits: [frames, rows], -1, 0 or 1. Raises ValueError for other bits and
    for shapes that do not fit. Same bits for any threads: a column is one chain of operations.
    """
    cells, pattern = np.ascontiguousarray(conductances, np.float64), np.asarray(bits)
    if cells.ndim != 3 or pattern.ndim != 2 or pattern.shape[1] != cells.shape[1]:
        raise ValueError(f"bits of shape {pattern.shape} do not fit conductances of shape {cells.shape}")
    if np.abs(pattern.astype(np.int64)).max(initial=0) > 1:
        raise ValueError("a gated row takes the bits -1, 0 and 1")
    currents = np.empty((len(pattern), len(cells), cells.shape[2]))
    power = np.empty((len(pattern), len(cells)))
    end = wires.column + wires.amplifier
    both = wires.both_ends and end > 0  # amplifiers at both ends of wires without resistance are one
    _ladders(cells, pattern.astype(np.float64), wires.column, end, both, currents, power)
    return GatedRead(currents, power)


@compiled(parallel=True)
def _ladders(cells, bits, length, end, both, currents, power):  # type: ignore[no-untyped-def]
    arrays, rows, columns = cells.shape
    for frame in numba.prange(len(bits)):
        short, admittance = np.empty(columns), np.empty(columns)
        # What the drivers give; the far amplifier's current, and how it grows with the voltage of the node in hand.
        given, far, transfer = np.empty(columns), np.empty(columns), np.empty(columns)
        for array in range(arrays):
            short[:] = 0.0
            given[:] = 0.0
            far[:] = 0.0
            admittance[:] = 1.0 / end if both else 0.0
            transfer[:] = 1.0 / end if both else 0.0
            wire = 0.0  # from the last driven cell to the row in hand
            for i in range(rows):
                b = bits[frame, i]
                if b != 0.0:
                    _along(wire, short, admittance, given, far, transfer)
                    for j in range(columns):
                        g = cells[array, i, j]
                        short[j] += g * b
                        admittance[j] += g
                        given[j] += g
                    wire = 0.0
                wire += length
            _along(wire - length + end, short, admittance, given, far, transfer)
            total = 0.0
            for j in range(columns):
                currents[frame, array, j] = short[j] + far[j]
                total += given[j]
            power[frame, array] = total


@compiled()
def _along(wire, short, admittance, given, far, transfer):  # type: ignore[no-untyped-def]
    """Go along a wire: the node in hand rises to V = i r / (1 + y r) when what lies in front of it is at 0 V."""
    for j in range(len(short)):
        share = 1.0 / (1.0 + wire * admittance[j])
        volts = wire * short[j] * share
        given[j] -= short[j] * volts
        far[j] += transfer[j] * volts
        short[j] *= share
        admittance[j] *= share
        transfer[j] *= share
