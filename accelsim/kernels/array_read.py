"""One read of an array whose cells are not ohmic, behind the resistance of its wires: exact, and too slow for a run.

The effective conductances of `accelsim.kernels.wires` are those of a linear network, of cells that conduct as at the
read voltage. A cell whose current is not proportional to its voltage conducts as its chord, I(V) / V, at the voltage
that wires leave to it, which differs from read to read. `solve_read` finds these voltages; `residue` says how far the
linear network is off.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.crossbar import Curves, Terms
from accelsim.kernels.wires import Wires

TOLERANCE = 1e-12
"""Of the largest voltage: how far Kirchhoff's voltage law may be off at any node."""

SWEEPS = 20_000
_LOOK = 1000


class ArrayRead(NamedTuple):
    """``columns`` [reads, columns] and ``drivers`` [reads, rows] in A, both ends of a column summed; ``cells`` [reads,
    rows, columns]: the voltage of every cell."""

    columns: NDArray[np.float64]
    drivers: NDArray[np.float64]
    cells: NDArray[np.float64]


class Residue(NamedTuple):
    """How far reads of the fast path are from exact ones, in weight units of a single column."""

    rms: float
    largest: float


def solve_read(
    states: NDArray[Any], curves: Curves, wires: Wires, voltages: NDArray[np.float64], terms: Terms | None = None,
    *, gated: bool = False,
) -> ArrayRead:  # fmt: skip
    """Return what columns and drivers carry when an array is read, by cells of any current law.

    Rows and columns are relaxed in turn, each line of a sweep solved exactly as a ladder of its wire with the chords of
    its cells, until all nodes obey Kirchhoff's voltage law to `TOLERANCE` with the currents of the cells' own law. Same
    bits for any threads: a read is solved by one.

    states: [rows, columns]; voltages: [reads, rows] in V; ``gated``: cells of rows at 0 V are cut off.
    Raises ValueError where that does not settle.
    """
    law = _chord_polynomials(states, curves, terms)
    volts = np.ascontiguousarray(voltages, np.float64)
    rows, columns = law.shape[1:]
    if volts.ndim != 2 or volts.shape[1] != rows:
        raise ValueError(f"voltages of shape {volts.shape} do not fit {rows} rows")
    found = ArrayRead(
        np.empty((len(volts), columns)), np.empty((len(volts), rows)), np.empty((len(volts), rows, columns))
    )
    end = float(wires.column + wires.amplifier)
    both = wires.both_ends and end > 0  # amplifiers at both ends of wires without resistance are one
    off = np.empty(len(volts))
    ohms = float(wires.row), float(wires.driver), float(wires.column)
    _relax(law, volts, *ohms, end, both, gated, TOLERANCE, SWEEPS, *found, off)
    if not (off <= TOLERANCE).all():
        raise ValueError(
            f"a read of an array with wires did not settle in {SWEEPS} sweeps: a node is off by {off.max():.1e} of the "
            "largest voltage"
        )
    return found


def _polynomial(law: NDArray[np.float64], volts: NDArray[np.float64]) -> NDArray[np.float64]:
    value = np.zeros_like(volts)
    for coefficient in law:
        value = value * volts + coefficient
    return value


def _chord_polynomials(states: NDArray[Any], curves: Curves, terms: Terms | None) -> NDArray[np.float64]:
    """I(V) / V of every cell as a polynomial: [degree + 1, rows, columns], highest power first."""
    r = np.asarray(states, np.float64)
    parts = [(curves.low, 1 - r), (curves.high, r)]
    if terms is not None:
        parts += list(zip(terms.voltages, terms.of(r), strict=True))
    law = np.zeros((max(len(polynomial) for polynomial, _ in parts) - 1, *r.shape))
    for polynomial, share in parts:
        without_constant = np.asarray(polynomial[:-1])
        law[len(law) - len(without_constant) :] += without_constant[:, None, None] * share
    return law


@compiled(parallel=True)
def _relax(  # type: ignore[no-untyped-def]
    law, volts, row, driver, column, end, both, gated, tolerance, most, columns_out, drivers_out, cells_out, off
):
    for read in numba.prange(len(volts)):
        closed = law
        if gated:
            closed = law.copy()
            for i in range(law.shape[1]):
                if volts[read, i] == 0.0:
                    closed[:, i] = 0.0
        off[read] = _relax_one(
            closed, volts[read], row, driver, column, end, both, tolerance, most,
            columns_out[read], drivers_out[read], cells_out[read],
        )  # fmt: skip


@compiled()
def _relax_one(  # type: ignore[no-untyped-def]
    law, volts, row, driver, column, end, both, tolerance, most, columns_out, drivers_out, across
):
    degree, rows, columns = law.shape
    a, b = np.empty((rows, columns)), np.zeros((rows, columns))  # nodes of row wires, of column wires
    chord, through = np.empty((rows, columns)), np.empty((rows, columns))
    admittance, short = np.empty((rows, columns)), np.empty((rows, columns))
    scale = max(np.abs(volts).max(), 1e-300)
    for i in range(rows):
        across[i] = volts[i]
    error = earlier = np.inf
    for sweep in range(most):
        for i in range(rows):
            for j in range(columns):
                g = 0.0
                for d in range(degree):
                    g = g * across[i, j] + law[d, i, j]
                chord[i, j] = g
        for i in range(rows):
            y = s = 0.0
            for j in range(columns - 1, -1, -1):
                share = 1.0 / (1.0 + row * y)
                y = chord[i, j] + y * share
                s = chord[i, j] * b[i, j] + s * share
                admittance[i, j], short[i, j] = y, s
            before, ohm = volts[i], row + driver
            for j in range(columns):
                before = (before + ohm * short[i, j]) / (1.0 + ohm * admittance[i, j])
                a[i, j] = before
                ohm = row
        for i in range(rows):
            for j in range(columns):
                y = 1.0 / end if both else 0.0
                s = 0.0
                if i > 0:
                    share = 1.0 / (1.0 + column * admittance[i - 1, j])
                    y, s = admittance[i - 1, j] * share, short[i - 1, j] * share
                admittance[i, j] = chord[i, j] + y
                short[i, j] = chord[i, j] * a[i, j] + s
        for i in range(rows - 1, -1, -1):
            ohm = column if i < rows - 1 else end
            for j in range(columns):
                below = b[i + 1, j] if i < rows - 1 else 0.0
                b[i, j] = (below + ohm * short[i, j]) / (1.0 + ohm * admittance[i, j])
        # The cells' own currents at these voltages, and what Kirchhoff's voltage law makes of them.
        for i in range(rows):
            for j in range(columns):
                across[i, j] = a[i, j] - b[i, j]
                g = 0.0
                for d in range(degree):
                    g = g * across[i, j] + law[d, i, j]
                through[i, j] = g * across[i, j]
        error = 0.0
        for i in range(rows):
            current = through[i].sum()
            drivers_out[i] = current
            node = volts[i] - (row + driver) * current
            for j in range(columns):
                error = max(error, abs(node - a[i, j]))
                current -= through[i, j]
                node -= row * current
        for j in range(columns):
            current = -b[0, j] / end if both else 0.0
            total = 0.0
            for i in range(rows):
                total += through[i, j]
            columns_out[j] = total
            node = end * (total + current)
            flowing = total + current
            for i in range(rows - 1, -1, -1):
                error = max(error, abs(node - b[i, j]))
                flowing -= through[i, j]
                node += column * flowing
        error /= scale
        if error <= tolerance:
            break
        if sweep % _LOOK == _LOOK - 1:
            # At this pace, with room of ten, the sweeps that are left do not bring it there.
            if sweep >= _LOOK and not error * (error / earlier) ** ((most - sweep) / _LOOK) <= 10 * tolerance:
                break
            earlier = error
    return error


def residue(
    states: NDArray[Any],
    seen: NDArray[Any],
    curves: Curves,
    wires: Wires,
    voltages: NDArray[np.float64],
    terms: Terms | None = None,
) -> Residue:
    """Return how far the currents of cells of the states ``seen`` without wires are from those of an exact read.

    states, seen: [rows, columns]: of the cells, and effective ones; voltages: [reads, rows] in V. 0 for ohmic cells.
    """
    exact = solve_read(states, curves, wires, voltages, terms).columns
    law = _chord_polynomials(seen, curves, terms)
    fast = np.empty_like(exact)
    for n, read in enumerate(voltages):
        across = np.broadcast_to(read[:, None], seen.shape)
        fast[n] = (_polynomial(law, across) * across).sum(axis=0)
    return _apart(fast, exact, curves)


def gated_residue(
    states: NDArray[Any],
    fast: NDArray[np.float64],
    curves: Curves,
    wires: Wires,
    voltages: NDArray[np.float64],
    terms: Terms | None = None,
) -> Residue:
    """Return how far currents of columns, [reads, columns] in A, are from those of exact reads with gated rows.

    states: [rows, columns]; voltages: [reads, rows] in V. Rows carry no current: neither their wires nor their drivers
    count.
    """
    of_columns = replace(wires, row=0.0, driver=0.0)
    return _apart(fast, solve_read(states, curves, of_columns, voltages, terms, gated=True).columns, curves)


def _apart(fast: NDArray[np.float64], exact: NDArray[np.float64], curves: Curves) -> Residue:
    off = (fast - exact) / curves.unit
    return Residue(float(np.sqrt((off**2).mean())), float(np.abs(off).max(initial=0)))
