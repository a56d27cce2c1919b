"""Exact IR drop: the effective conductances of an array of ohmic cells behind the resistance of its wires.

With undriven rows at 0 V and ohmic cells an array is a linear network, so that the currents of its columns are I =
G_eff V for every input V, and those of its drivers Y V. Rows are driven at column 0 and columns are sensed behind the
last row: Row i has j + 1 lengths of row wire to cell j, column j has rows - i lengths from cell i to its amplifier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Wires:
    """Resistances in ohm: ``row`` and ``column`` of a wire's length per cell, of a ``driver`` and of an ``amplifier``.

    ``both_ends``: columns have amplifiers at both ends, the second in front of row 0, i + 1 lengths from cell i.
    Raises ValueError for a resistance that is negative or not finite.
    """

    row: float
    column: float
    driver: float = 0.0
    amplifier: float = 0.0
    both_ends: bool = False

    def __post_init__(self) -> None:
        for name in ("row", "column", "driver", "amplifier"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"the resistance of {name} must be finite and at least 0 ohm, found {value:g}")


class Effective(NamedTuple):
    """What an array is seen from outside as: I = conductances^T V of the columns, drivers V of the drivers, in A.

    ``conductances`` [arrays, rows, columns] in S: current of column j per volt on row i, all other rows and the
    amplifiers at 0 V, both ends summed. ``drivers`` [arrays, rows, rows] in S, symmetric: current of driver i per volt
    on row k; V^T drivers V is the power that the drivers give.
    """

    conductances: NDArray[np.float64]
    drivers: NDArray[np.float64]


def effective(conductances: NDArray[np.float64], wires: Wires, threads: int | None = None) -> Effective:
    """Return the effective conductances of arrays behind their wires, and the admittance that their drivers see.

    conductances: [arrays, rows, columns] in S, at least 0. ``threads`` changes speed only, default all.
    """
    cells = np.asarray(conductances, np.float64)
    arrays, rows, columns = cells.shape
    place = np.arange(columns)
    ladder = wires.driver + wires.row * (1 + np.minimum(place[:, None], place))
    eye = np.eye(columns)
    end = wires.column + wires.amplifier
    # Amplifiers at both ends of wires without resistance are one.
    ends = columns * (1 + (wires.both_ends and end > 0))
    # Admittance of the columns' nodes behind the row in hand, of the far amplifiers and of the drivers.
    port = np.zeros((arrays, ends + rows, ends + rows))
    if ends > columns:
        far = slice(columns, ends)
        port[:, :columns, :columns] = port[:, far, far] = eye / end
        port[:, :columns, far] = port[:, far, :columns] = -eye / end
    for i in range(rows):
        if i > 0:
            port = _behind(port, wires.column, columns)
        row = np.linalg.solve(eye + cells[:, i, :, None] * ladder, eye * cells[:, i, None])
        row = (row + row.swapaxes(1, 2)) / 2
        port[:, :columns, :columns] += row
        driver = ends + i
        port[:, :columns, driver] = port[:, driver, :columns] = -row.sum(axis=2)
        port[:, driver, driver] = row.sum(axis=(1, 2))
    port = _behind(port, end, columns)
    sensed = -port[:, ends:, :ends].reshape(arrays, rows, -1, columns).sum(axis=2)
    return Effective(sensed, port[:, ends:, ends:].copy())


def _behind(port: NDArray[np.float64], resistance: float, columns: int) -> NDArray[np.float64]:
    """Put a resistance in series with the first ``columns`` ports."""
    if not resistance:
        return port
    seen = np.eye(columns) + resistance * port[:, :columns, :columns]
    moved: NDArray[np.float64] = port - resistance * port[:, :, :columns] @ np.linalg.solve(seen, port[:, :columns])
    return moved
