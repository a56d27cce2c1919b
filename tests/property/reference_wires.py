"""A crossbar array as a list of resistors, and its node equations: nothing is shared with the kernels.

Nodes that 0 ohm join are one node. Ground has no number; a driver is a node of known voltage.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

GROUND = -1


@dataclass
class Network:
    """Resistors (node, node, ohm) by kind; ``nodes``: how many there are."""

    nodes: int = 0
    parts: dict[str, list[tuple[int, int, float]]] = field(default_factory=dict)

    def node(self) -> int:
        self.nodes += 1
        return self.nodes - 1

    def add(self, kind: str, a: int, b: int, ohm: float) -> None:
        self.parts.setdefault(kind, []).append((a, b, ohm))

    def voltages(self, known: dict[int, float], injected: dict[int, float] | None = None) -> np.ndarray:
        """Voltages of all nodes: Kirchhoff's current law at every node that is neither known nor ground.

        ``injected``: currents that come into nodes from outside, in A.
        """
        group = list(range(self.nodes + 1))  # the last one is ground

        def root(n: int) -> int:
            n %= self.nodes + 1
            while group[n] != n:
                n = group[n]
            return n

        everything = [part for parts in self.parts.values() for part in parts]
        for a, b, ohm in everything:
            if ohm == 0:
                group[root(a)] = root(b)
        value = {root(GROUND): 0.0} | {root(n): v for n, v in known.items()}
        free = sorted({root(n) for n in range(self.nodes)} - value.keys())
        place = {n: k for k, n in enumerate(free)}
        entries: dict[tuple[int, int], float] = {}
        right = np.zeros(len(free))
        for a, b, ohm in everything:
            if ohm == 0 or root(a) == root(b) or np.isinf(ohm):
                continue
            for one, other in ((root(a), root(b)), (root(b), root(a))):
                if one in place:
                    entries[place[one], place[one]] = entries.get((place[one], place[one]), 0.0) + 1 / ohm
                    if other in place:
                        entries[place[one], place[other]] = entries.get((place[one], place[other]), 0.0) - 1 / ohm
                    else:
                        right[place[one]] += value[other] / ohm
        for n, current in (injected or {}).items():
            if root(n) in place:
                right[place[root(n)]] += current
        if free:
            # A node that nothing ties to a known one is at 0 V.
            for k in range(len(free)):
                if entries.get((k, k), 0.0) == 0.0:
                    entries[k, k] = 1.0
            at = np.array(list(entries)).T
            matrix = coo_matrix((list(entries.values()), (at[0], at[1])), shape=(len(free), len(free)))
            value |= dict(zip(free, np.atleast_1d(spsolve(matrix.tocsc(), right)), strict=True))
        return np.array([value[root(n)] for n in range(self.nodes)])


@dataclass
class Solved:
    """One read: what every column takes from its cells, what every row gives, and the power in each kind of part.

    ``sensed``: of a read with injected currents, what the amplifiers take of these, by column.
    """

    columns: np.ndarray
    rows: np.ndarray
    cell_volts: np.ndarray
    power: dict[str, float]
    sensed: np.ndarray


def read(
    cells: np.ndarray,
    volts: np.ndarray,
    *,
    row: float,
    column: float,
    driver: float = 0.0,
    amplifier: float = 0.0,
    both_ends: bool = False,
    open_rows: str | None = None,
    injected: dict[tuple[int, int], float] | None = None,
) -> Solved:
    """One read of an array of conductances [rows, columns] by voltages [rows].

    ``open_rows``: what a row of 0 V is: driven to 0 V (None), ``floating``: its wire is there, without a driver, or
    ``gated``: all cells are cut off in rows of 0 V, and the others see the voltage itself. ``injected``: currents in A
    into column nodes (row, column), as a second read with all sources at 0 V.
    """
    rows, columns = cells.shape
    net = Network()
    a = [[net.node() for _ in range(columns)] for _ in range(rows)]
    b = [[net.node() for _ in range(columns)] for _ in range(rows)]
    known = {}
    gated = open_rows == "gated"
    for i in range(rows):
        source = net.node()
        if gated or not (open_rows == "floating" and volts[i] == 0):
            known[source] = float(volts[i])
        if gated:
            for j in range(columns):
                net.add("wires", source, a[i][j], 0.0)
        else:
            inner = net.node()
            net.add("drivers", source, inner, driver)
            for j in range(columns):
                net.add("wires", a[i][j - 1] if j else inner, a[i][j], row)
        for j in range(columns):
            off = cells[i, j] == 0 or (gated and volts[i] == 0)
            net.add("cells", a[i][j], b[i][j], np.inf if off else 1 / cells[i, j])
            if i:
                net.add("wires", b[i - 1][j], b[i][j], column)
    for j in range(columns):
        for i in (rows - 1, 0) if both_ends else (rows - 1,):
            inner = net.node()
            net.add("wires", b[i][j], inner, column)
            net.add("amplifiers", inner, GROUND, amplifier)
    v = np.append(net.voltages(known), 0.0)
    sensed = np.zeros(columns)
    if injected:
        moved = net.voltages(dict.fromkeys(known, 0.0), {b[i][j]: current for (i, j), current in injected.items()})
        moved = np.append(moved, 0.0)
        for (_, j), current in injected.items():
            sensed[j] += current  # less what goes back through the cells of this column
        for i in range(rows):
            for j in range(columns):
                if not (gated and volts[i] == 0):
                    sensed[j] -= cells[i, j] * (moved[b[i][j]] - moved[a[i][j]])
    drop = np.array([[v[a[i][j]] - v[b[i][j]] for j in range(columns)] for i in range(rows)])
    through = cells * drop
    if gated:
        through[volts == 0] = 0
    power = {kind: sum((v[p] - v[q]) ** 2 / ohm for p, q, ohm in parts if ohm > 0) for kind, parts in net.parts.items()}
    return Solved(through.sum(axis=0), through.sum(axis=1), drop, power, sensed)
