"""Arrays as they are read: the order of their rows, their cells behind the wires, and the gain of each column.

A cell behind wires is one of another conductance, G_eff, see `accelsim.kernels.wires`, and so of another state:
r_eff = (LL(V) - G_eff V) / (LL(V) - HH(V)) at the read voltage V, exact for ohmic cells at every voltage and else at V.
G_eff may lie outside the range of the cells: r_eff is whatever it comes to. Noise of a read is that of the effective
cells. How far cells that are not ohmic are off is found for a few reads of the first array, see `Drops`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.array_read import Residue, gated_residue, residue
from accelsim.kernels.cells import CellProgram
from accelsim.kernels.compile import compiled
from accelsim.kernels.counter_random import COLUMN_STREAM, philox, split_seed
from accelsim.kernels.crossbar import Curves, RowOrder, Terms, chords, states_of
from accelsim.kernels.gated_rows import gated_read
from accelsim.kernels.wires import Effective, Wires, effective

ROUNDED = 1e-6
"""How far below 0 the rounding of a state may take a conductance, as a share of the largest."""
PATTERNS = 64
"""Patterns with which a column's gain is measured."""

EXACT_READS = 8
"""Reads of an array of cells that are not ohmic that are solved exactly, each by one of the first patterns."""

Solver = Callable[[NDArray[np.float64], Wires], Effective]
"""Finds what arrays are behind their wires, as `accelsim.kernels.wires.effective` does."""


@dataclass
class Drops:
    """What wires took of the arrays that were programmed.

    ``largest``: the largest share that a column lost of its current with all rows at the read voltage; ``kept`` and
    ``ideal``: sums of the currents of all columns with and without wires, in A. ``residue``: how far reads of half the
    rows at the read voltage are from exact ones in the first array, where its cells are not ohmic; else 0.
    """

    largest: float = 0.0
    kept: float = 0.0
    ideal: float = 0.0
    residue: Residue | None = None

    def mean(self) -> float:
        """Return the share that wires took of the currents of all columns."""
        return 1 - self.kept / self.ideal if self.ideal else 0.0

    def add(self, cells: NDArray[np.float64], found: NDArray[np.float64]) -> None:
        """Take up arrays of conductances without and with wires, [.., rows, columns] in S."""
        ideal, kept = cells.sum(axis=-2), found.sum(axis=-2)
        share = np.divide(kept, ideal, out=np.ones_like(ideal), where=ideal > 0)
        self.largest = max(self.largest, float(1 - share.min(initial=1.0)))
        self.kept, self.ideal = self.kept + float(kept.sum()), self.ideal + float(ideal.sum())


class Seen(NamedTuple):
    """Arrays as their converters and drivers see them.

    ``states`` float32 [arrays, rows, columns]: of the effective cells; ``gains`` float64 [arrays, columns], None where
    all are 1; ``drivers`` float64 [arrays, rows, rows] in S: admittance that the drivers see, of depthwise columns
    [arrays, columns, rows, rows]; None without wires.
    """

    states: NDArray[np.float32]
    gains: NDArray[np.float64] | None
    drivers: NDArray[np.float64] | None


@dataclass(frozen=True)
class ArrayModel:
    """How cells of some ``curves`` and ``terms`` lie in arrays and are read, at a read voltage of ``volts``.

    ``wires``: None without; ``measured_gain``: each column's current is multiplied by a gain of its own, see
    `column_gains`; ``row_order``: see `order_of_rows`; ``seed``: of the patterns. ``fresh``: programs the same cells as
    they are right after programming, where they change with time: gains are measured then. ``drops`` takes up what
    wires take; ``solve`` finds it. ``gated``: a row without a voltage is open, see `accelsim.kernels.gated_rows`; the
    cells of such arrays are seen as they are, and the wires when they are read.
    """

    curves: Curves
    volts: float
    terms: Terms | None = None
    wires: Wires | None = None
    measured_gain: bool = False
    row_order: RowOrder = "as_given"
    seed: int = 0
    fresh: CellProgram | None = None
    drops: Drops = field(default_factory=Drops)
    solve: Solver = effective
    gated: bool = False

    def __post_init__(self) -> None:
        if self.gated and self.wires is None:
            raise ValueError("rows without a voltage are open for what they do to the drop along wires: there are none")

    def order(self, levels: NDArray[np.integer[Any]], used: int) -> NDArray[np.int64]:
        """Return which input lies on each row, see `order_of_rows`."""
        return order_of_rows(self.row_order, levels, used, self.wires is not None and self.wires.both_ends)

    def conductances(self, states: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the chord conductances of cells at the read voltage, in S."""
        return chords(states, self.curves, self.terms, self.volts)

    def gated_cells(self, states: NDArray[np.floating[Any]], sign: int = 1) -> NDArray[np.float64]:
        """Return the chord conductances of cells at the read voltage or its negative, in S, none below 0."""
        return _at_least_0(chords(states, self.curves, self.terms, sign * self.volts))

    def states(self, conductances: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the states whose chord conductances at the read voltage these are, in S."""
        return states_of(conductances, self.curves, self.terms, self.volts).astype(np.float32)

    def driven_state(self, current: NDArray[np.float64], cells: int) -> NDArray[np.float64]:
        """Return the sum of the states of so many cells that take a current (A) together at the read voltage."""
        low, high = np.polyval(self.curves.low, self.volts), np.polyval(self.curves.high, self.volts)
        return np.asarray((cells * low - current) / (low - high))

    def seen(
        self, states: NDArray[np.float32], fresh: NDArray[np.float32], arrays: NDArray[np.int64], *,
        depthwise: bool = False,
    ) -> Seen:  # fmt: skip
        """Return arrays as they are read: behind their wires, with the gains of their columns.

        states [arrays, rows, columns]: of the cells; ``fresh``: of the same right after programming, for the gains;
        arrays: their numbers. ``depthwise``: each column has inputs and drivers of its own, so that no row joins them:
        its cells hang on a ladder of column wire, each behind one length of row wire and a driver.
        """
        if self.wires is None and not self.measured_gain:
            return Seen(states, None, None)
        if self.gated:
            return self._seen_open(states, fresh, arrays, depthwise)
        cells = self.conductances(states)
        found, drivers = self._behind_wires(cells, depthwise)
        if self.wires is not None:
            self.drops.add(cells, found)
        gains = None
        if self.measured_gain:
            then = cells if fresh is states else self.conductances(fresh)
            unaged = found if fresh is states else self._behind_wires(then, depthwise)[0]
            gains = column_gains(unaged, then, arrays, self.seed)
        if self.wires is None:
            return Seen(states, gains, drivers)
        effective_states = self.states(found)
        if self.drops.residue is None and not (depthwise or self._ohmic()):
            on = _patterns(np.ascontiguousarray(arrays[:1], np.int64), states.shape[1], *split_seed(self.seed))
            reads = on[0, :EXACT_READS] * self.volts
            self.drops.residue = residue(states[0], effective_states[0], self.curves, self.wires, reads, self.terms)
        return Seen(effective_states, gains, drivers)

    def _seen_open(
        self, states: NDArray[np.float32], fresh: NDArray[np.float32], arrays: NDArray[np.int64], depthwise: bool
    ) -> Seen:
        """As `seen`, where a row without a voltage is open: gains, and what wires take."""
        assert self.wires is not None
        if depthwise:
            raise ValueError("columns of a depthwise convolution share no rows that could be open")
        cells = self.gated_cells(states)
        every = np.ones((1, states.shape[1]), np.int64)
        self.drops.add(cells, gated_read(cells, every, self.wires).currents[0][:, None, :])
        gains = None
        if self.measured_gain:
            then = cells if fresh is states else self.gated_cells(fresh)
            gains = column_gains(then, then, arrays, self.seed, gated=self.wires)
        if self.drops.residue is None and not self._ohmic():
            on = _patterns(np.ascontiguousarray(arrays[:1], np.int64), states.shape[1], *split_seed(self.seed))
            reads = on[0, :EXACT_READS]
            fast = gated_read(cells[:1], reads.astype(np.int64), self.wires, self.volts).currents[:, 0]
            self.drops.residue = gated_residue(states[0], fast, self.curves, self.wires, reads * self.volts, self.terms)
        return Seen(states, gains, None)

    def _ohmic(self) -> bool:
        """Return whether the current of every cell is proportional to its voltage."""
        laws = (self.curves.low, self.curves.high, *(() if self.terms is None else self.terms.voltages))
        return not any(any(law[:-2]) for law in laws)

    def _behind_wires(
        self, cells: NDArray[np.float64], depthwise: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Return the effective conductances of arrays, and the admittance that their drivers see."""
        if self.wires is None:
            return cells, None
        cells = _at_least_0(cells)
        if not depthwise:
            return self.solve(cells, self.wires)
        count, rows, columns = cells.shape
        ladders = np.ascontiguousarray(cells.swapaxes(1, 2)).reshape(count * columns, rows, 1)
        one = self.solve(ladders, self.wires)
        found = one.conductances.reshape(count, columns, rows).swapaxes(1, 2)
        return found, one.drivers.reshape(count, columns, rows, rows)

    def with_gains(
        self, states: NDArray[np.floating[Any]], gains: NDArray[np.float64] | None, power: int = 1
    ) -> NDArray[np.float32]:
        """Return the states of cells that conduct gain^power times as much; gains: [.., columns].

        The current of a column grows with its gain, the variance of its noise with the square.
        """
        if gains is None:
            return states
        return self.states(self.conductances(states) * gains[..., None, :] ** power)


def _at_least_0(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """The state of a cell at 0 S is rounded to float32, and may stand for a little less."""
    return np.where(cells < -ROUNDED * np.abs(cells).max(initial=0.0), cells, np.maximum(cells, 0.0))


def order_of_rows(
    order: RowOrder, levels: NDArray[np.integer[Any]], used: int, both_ends: bool = False
) -> NDArray[np.int64]:
    """Return which input lies on each row of an array: [.., rows], ``order[row]`` = input.

    as_given: input i on row i. alternating: inputs 0, 2, 4 .. on rows 0, 1, 2 .., inputs 1, 3, 5 .. on the last row,
    the one before it .., so that neighbours lie at opposite ends of the columns. sorted: the more a row conducts, the
    nearer to the amplifiers it lies: behind the last row, or at ``both_ends`` the outermost first. Rows without an
    input are the farthest, and of equal ones the later input is nearer.

    An order costs nothing here: an input's word is written into another of the tile's registers. The table that says
    which, rows log2(rows) bits a tile, is not priced.

    levels: [.., rows, columns] of all arrays that share the rows; ``used``: rows with an input, the first ones.
    """
    rows = levels.shape[-2]
    if order == "as_given":
        place = np.arange(rows)
    elif order == "alternating":
        place = np.concatenate([np.arange(0, rows, 2), np.arange(1, rows, 2)[::-1]])
    else:
        conducting = levels.sum(axis=-1, dtype=np.int64)
        conducting[..., used:] = -1
        nearer = np.argsort(conducting, axis=-1, kind="stable")  # the last lies nearest
        if not both_ends:
            return nearer
        # From the outside in: the nearest on the last row, the next on row 0, and so on.
        places = np.empty(rows, np.int64)
        places[0::2], places[1::2] = np.arange(rows)[::-1][: -(-rows // 2)], np.arange(rows // 2)
        ordered = np.empty_like(nearer)
        ordered[..., places] = nearer[..., ::-1]
        return ordered
    return np.broadcast_to(place, levels.shape[:-1]).astype(np.int64)


def column_gains(
    found: NDArray[np.float64], wanted: NDArray[np.float64], arrays: NDArray[np.int64], seed: int,
    gated: Wires | None = None,
) -> NDArray[np.float64]:  # fmt: skip
    """Return the gain of every column that brings its currents nearest to those of its cells without wires.

    In `PATTERNS` reads every row is at the read voltage or at 0 V, each as often, by draws that are a function of
    (seed, array, pattern, row). gain_j = sum_m I*_mj I_mj / sum_m I_mj^2, least squares, I as measured, I* the sum of
    the currents of the cells that are driven, each as programming left it. A column without current has a gain of 1.
    Same bits for any threads and BLAS, and any arrays beside it.

    found, wanted: conductances with and without wires, [arrays, rows, columns] in S. ``gated``: ``found`` are those of
    the cells, behind these wires, and rows at 0 V are open. Returns [arrays, columns].
    """
    drawn = _patterns(np.ascontiguousarray(arrays, np.int64), found.shape[1], *split_seed(seed))
    if gated is None:
        return _gains(_driven(drawn, found), _driven(drawn, wanted))
    bits = drawn.astype(np.int64)
    ours = [gated_read(found[n : n + 1], bits[n], gated).currents[:, 0] for n in range(len(found))]
    return _gains(np.stack(ours), _driven(drawn, wanted))


def _driven(patterns: NDArray[np.float64], conductances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the currents of columns per volt on the rows of each pattern, [arrays, patterns, columns] in S."""
    currents = np.zeros((*patterns.shape[:2], conductances.shape[2]))
    _add_rows(patterns, np.ascontiguousarray(conductances, np.float64), currents)
    return currents


@compiled(parallel=True)
def _add_rows(patterns, conductances, currents):  # type: ignore[no-untyped-def]
    """Row after row: a product by BLAS would add in an order of its own."""
    for n in numba.prange(len(patterns)):
        for m in range(patterns.shape[1]):
            for i in range(patterns.shape[2]):
                if patterns[n, m, i] > 0.0:
                    for j in range(conductances.shape[2]):
                        currents[n, m, j] += conductances[n, i, j]


@compiled()
def _gains(ours, theirs):  # type: ignore[no-untyped-def]
    arrays, patterns, columns = ours.shape
    found = np.ones((arrays, columns))
    for n in range(arrays):
        both, squares = np.zeros(columns), np.zeros(columns)
        for m in range(patterns):
            for j in range(columns):
                both[j] += ours[n, m, j] * theirs[n, m, j]
                squares[j] += ours[n, m, j] * ours[n, m, j]
        for j in range(columns):
            if squares[j] > 0.0:
                found[n, j] = both[j] / squares[j]
    return found


@compiled(parallel=True)
def _patterns(arrays, rows, key, seed_high):  # type: ignore[no-untyped-def]
    """Rows that are on, 1.0 or 0.0, [arrays, patterns, rows]: bits of one draw for every 128 rows."""
    out = np.zeros((len(arrays), PATTERNS, rows))
    for n in numba.prange(len(arrays)):
        array = np.uint64(arrays[n])
        for m in range(PATTERNS):
            for block in range(-(-rows // 128)):
                words = philox(np.uint64(block), np.uint64(m), array, seed_high, key, np.uint64(COLUMN_STREAM))
                for i in range(min(rows - 128 * block, 128)):
                    word = words[i // 32]
                    out[n, m, 128 * block + i] = np.float64((word >> np.uint64(i % 32)) & np.uint64(1))
    return out
