"""An array of cells and its wires, node by node, as a reader would draw it. Nothing here is shared with the kernels.

Every cell lies between a node on its row and one on its column. Row i is driven through its driver and one length of
wire to the node at column 0; the node at the last row is one length and the amplifier away from 0 V, and at both ends
the node at row 0 is as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu


@dataclass(frozen=True)
class Solved:
    """Currents in A: of the columns into their amplifiers, of the drivers, and the power of all resistances, in W."""

    columns: np.ndarray
    drivers: np.ndarray
    burnt: float


class Array:
    """Conductances [rows, columns] in S, wires of ``row`` and ``column`` ohm a cell, all above 0 ohm."""

    def __init__(self, cells, row, column, driver=0.0, amplifier=0.0, both_ends=False) -> None:
        self.cells = np.asarray(cells, float)
        rows, columns = self.cells.shape
        self.wires: list[tuple[object, object, float]] = []  # (node, node, S); a driver's own node is ("source", i)
        for i in range(rows):
            for j in range(columns):
                self.wires.append((("up", i, j), ("down", i, j), self.cells[i, j]))
                before = ("up", i, j - 1) if j else ("source", i)
                self.wires.append((before, ("up", i, j), 1 / (row + (0 if j else driver))))
                if i < rows - 1:
                    self.wires.append((("down", i, j), ("down", i + 1, j), 1 / column))
        for j in range(columns):
            self.wires.append((("down", rows - 1, j), ("amplifier", j), 1 / (column + amplifier)))
            if both_ends:
                self.wires.append((("down", 0, j), ("amplifier", j), 1 / (column + amplifier)))
        inner = [node for wire in self.wires for node in wire[:2] if node[0] in ("up", "down")]
        self.place = {node: n for n, node in enumerate(dict.fromkeys(inner))}
        at, to, siemens = [], [], []
        for a, b, g in self.wires:
            for one, other in ((a, b), (b, a)):
                if one in self.place:
                    at.append(self.place[one]), to.append(self.place[one]), siemens.append(g)
                    if other in self.place:
                        at.append(self.place[one]), to.append(self.place[other]), siemens.append(-g)
        self.solver = splu(coo_matrix((siemens, (at, to))).tocsc())

    def solve(self, volts) -> Solved:
        """Return what flows while the drivers hold their rows at so many volts."""
        held = {("source", i): v for i, v in enumerate(volts)}
        source = np.zeros(len(self.place))
        for a, b, g in self.wires:
            for one, other in ((a, b), (b, a)):
                if one in self.place and other in held:
                    source[self.place[one]] += g * held[other]
        found = self.solver.solve(source)

        def at(node) -> float:
            return found[self.place[node]] if node in self.place else held.get(node, 0.0)

        columns, drivers = np.zeros(self.cells.shape[1]), np.zeros(self.cells.shape[0])
        burnt = 0.0
        for a, b, g in self.wires:
            current = g * (at(a) - at(b))
            burnt += current * (at(a) - at(b))
            if a[0] == "source":
                drivers[a[1]] += current
            if b[0] == "amplifier":
                columns[b[1]] += current
        return Solved(columns, drivers, burnt)
