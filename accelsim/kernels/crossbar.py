"""Matrices cut into bit planes and programmed onto crossbar tiles of cells with two limiting I-V curves.

The current of a column is linear in the states r of its cells, I_j = sum_i LL(V_i) (1 - r_ij) + HH(V_i) r_ij, or has
further terms f_k(V_i) c_k(r_ij), see `Terms`; the products are in `accelsim.kernels.product`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log2
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Sign = Literal["pair", "offset"]
Program = Callable[[NDArray[np.uint8], NDArray[np.int64]], NDArray[np.float32]]
"""Programs cells: levels [arrays, rows, columns] (0: high resistance) and the arrays' numbers -> states r, alike."""

ReadVariance = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""The read noise that cells have of their own: states r -> variance of the conductance in S^2, the same shape."""

PLANES_PER_TILE = 64
"""Numbers that a tile keeps for its planes: array number = 2 (64 tile + plane) + sign."""

STATE_GRID_BITS = 20
NOISE_STEPS = 1 << 20
LARGEST_STATE = 1.25  # of the middle of the range, where the variance takes a state to be


@dataclass(frozen=True)
class Curves:
    """Current of a cell in its two limiting states: LL (low resistance) and HH (high), polynomials in V.

    Coefficients in A/V^n, highest power first, the last one (current at 0 V) being 0. The state r gives
    I = LL(V) (1 - r) + HH(V) r. ``unit``: current of one level step at full-scale voltage, in A: one weight unit.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    unit: float

    def __post_init__(self) -> None:
        if self.low[-1] != 0 or self.high[-1] != 0:
            raise ValueError("a cell without voltage must carry no current: the last coefficient must be 0")
        if not self.unit > 0:
            raise ValueError(f"the current of a weight unit must be greater than 0 A, found {self.unit:g} A")

    def current(self, state: NDArray[Any], voltage: NDArray[Any]) -> NDArray[np.float64]:
        """Return I = LL(V) (1 - r) + HH(V) r in A; the arguments broadcast."""
        low, high = np.polyval(self.low, voltage), np.polyval(self.high, voltage)
        return np.asarray(low * (1 - state) + high * state, np.float64)


@dataclass(frozen=True)
class Terms:
    """What two curves leave of a cell's current: I(V, r) = LL(V) (1 - r) + HH(V) r + sum_k f_k(V) c_k(r).

    ``voltages``: f_k, polynomials in V as those of `Curves`, in A; ``coefficients``: states of any shape -> c_k [terms,
    *shape], without a unit and within +-1.
    """

    voltages: tuple[tuple[float, ...], ...]
    coefficients: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def __post_init__(self) -> None:
        if any(polynomial[-1] != 0 for polynomial in self.voltages):
            raise ValueError("a cell without voltage must carry no current: the last coefficient must be 0")

    def of(self, states: NDArray[Any]) -> NDArray[np.float64]:
        """Return c_k of states, [terms, *shape]; raises ValueError where they do not lie within +-1."""
        found = np.asarray(self.coefficients(np.asarray(states, np.float64)), np.float64)
        if found.shape != (len(self.voltages), *states.shape):
            raise ValueError(f"expected coefficients {(len(self.voltages), *states.shape)}, found {found.shape}")
        if not (np.abs(found) <= 1).all():
            raise ValueError("the coefficients of further terms of a cell's current must lie within +-1")
        return found

    def current(self, states: NDArray[Any], voltage: float) -> NDArray[np.float64]:
        """Return sum_k f_k(V) c_k(r) in A, the shape of the states."""
        return np.tensordot([np.polyval(polynomial, voltage) for polynomial in self.voltages], self.of(states), 1)


def chords(states: NDArray[Any], curves: Curves, terms: Terms | None, voltage: float) -> NDArray[np.float64]:
    """Return the chord conductances I(V, r) / V of cells at a voltage other than 0, in S, the shape of the states."""
    current = curves.current(np.asarray(states, np.float64), np.asarray(voltage))
    return (current if terms is None else current + terms.current(states, voltage)) / voltage


def states_of(conductances: NDArray[Any], curves: Curves, terms: Terms | None, voltage: float) -> NDArray[np.float64]:
    """Return the states r whose chord conductances at a voltage are these, in S: the inverse of `chords`.

    r = (LL(V) - G V) / (LL(V) - HH(V)) where two curves are all; else repeated, with what the further terms carry taken
    off G V, until r moves by less than 1e-12. Raises ValueError where that does not settle: terms that outweigh curves.
    """
    low, high = np.polyval(curves.low, voltage), np.polyval(curves.high, voltage)
    wanted = np.asarray(conductances, np.float64) * voltage
    states = np.asarray((low - wanted) / (low - high))
    if terms is None:
        return states
    for _ in range(200):
        after = (low - wanted + terms.current(states, voltage)) / (low - high)
        if np.abs(after - states).max(initial=0) < 1e-12:
            return after
        states = after
    raise ValueError("no state of a cell has such a current: its further terms outweigh its two curves")


@dataclass(frozen=True)
class TermTiles:
    """One of the further terms of the cells of a matrix; shapes as in `Tiles`.

    ``difference``: c(r_pos) - c(r_neg) of a pair, c(r) of a single cell; ``total``: half the sum of c of a pair, or c,
    in steps of ``1 / total_scale``; ``row_sum``: sum of c over all cells of a tile on the row.
    """

    voltage: tuple[float, ...]
    difference: NDArray[np.float32]
    total: NDArray[np.int16]
    row_sum: NDArray[np.float64]


@dataclass(frozen=True)
class CellNoise:
    """Read noise of the cells of a matrix: variance of a pair's or a single cell's conductance, in ``step`` S^2.

    ``variance`` float32, shape of ``Tiles.difference``: whole numbers up to 2^20.
    """

    variance: NDArray[np.float32]
    step: float

    @classmethod
    def of(cls, variance: NDArray[np.float64]) -> CellNoise:
        """Return variances in S^2 on their grid; raises ValueError for negative ones and what is not a number."""
        if not (variance >= 0).all():
            raise ValueError("the variance of a cell's conductance must not be negative")
        largest = float(variance.max(initial=0))
        step = largest / NOISE_STEPS or 1.0
        return cls(np.rint(variance / step).astype(np.float32), step)


@dataclass(frozen=True)
class Tiles:
    """A matrix programmed onto tiles, as the products need it.

    ``difference`` float32 [row tiles, rows, planes * outputs (+ planes * column tiles)]: level steps that a cell pair
    subtracts, (r_neg - r_pos) (levels - 1) for a differential pair, -r (levels - 1) for a single cell; then the columns
    that hold the offset, one per plane and column tile. ``total`` int16, same shape: the sum of the states of both
    cells, from the middle of its range, in steps of ``1 / total_scale``. ``row_state`` float64 [row tiles, column
    tiles, rows]: sum of r over all cells of a tile on the row, padded ones included; ``cells_per_row``: how many.
    ``terms``: further terms of the current; ``noise``: read noise of the cells' own, None where they have none.
    """

    difference: NDArray[np.float32]
    total: NDArray[np.int16]
    total_scale: float
    row_state: NDArray[np.float64]
    cells_per_row: int
    inputs: int
    outputs: int
    tile_columns: int
    planes: int
    cell_bits: int
    sign: Sign
    first_tile: int
    curves: Curves
    terms: tuple[TermTiles, ...] = ()
    noise: CellNoise | None = None

    @property
    def summands(self) -> int:
        """Return how many products a column of a tile adds up: rows times terms."""
        return self.difference.shape[1] * (1 + len(self.terms))

    @property
    def column_tiles(self) -> int:
        """Return how many tiles lie side by side."""
        return -(-self.outputs // self.tile_columns)

    @property
    def conversions_per_frame(self) -> int:
        """Return the conversions per frame and phase of the columns that hold outputs, padded columns left out."""
        return len(self.difference) * self.planes * self.outputs


def planes_of(weight_bits: int, cell_bits: int, sign: Sign) -> int:
    """Return the planes of a signed weight: ceil((weight_bits - 1) / cell_bits), one bit more with an offset.

    Weights of 1 bit, -1 and 1, lie in cells as those of 2 bits do: with pairs in one plane, with an offset as 0 or 2
    less 1.
    """
    bits = max(weight_bits, 2)
    return -(-(bits - 1 if sign == "pair" else bits) // cell_bits)


def digits(weights: NDArray[np.integer[Any]], weight_bits: int, cell_bits: int, sign: Sign) -> NDArray[np.uint8]:
    """Cut signed weights into the levels of their cells.

    pair: levels[p, 0] holds digit p of max(q, 0) and levels[p, 1] that of max(-q, 0), sign-magnitude; offset: levels[p,
    0] holds digit p of q + Q, Q = 2^(weight_bits - 1) - 1, and levels[p, 1] that of Q, which one column stores. Digits
    have ``cell_bits`` bits, p ascending from the least significant. Weights of 1 bit: Q = 1.

    weights: any shape, |q| <= Q, and of 1 bit not 0, else ValueError. Returns uint8 [planes, 2, *shape].
    """
    _check_weights(weights, weight_bits)
    largest = _largest_weight(weight_bits)
    wide = weights.astype(np.int32)
    if sign == "pair":
        halves = (np.maximum(wide, 0), np.maximum(-wide, 0))
    else:
        halves = (wide + largest, np.full_like(wide, largest))
    places = np.arange(planes_of(weight_bits, cell_bits, sign)) * cell_bits
    digit = (np.stack(halves) >> places.reshape(-1, *[1] * (weights.ndim + 1))) & ((1 << cell_bits) - 1)
    return digit.astype(np.uint8)


def _largest_weight(weight_bits: int) -> int:
    return (1 << (max(weight_bits, 2) - 1)) - 1


def _check_weights(weights: NDArray[np.integer[Any]], weight_bits: int) -> None:
    magnitude, largest = np.abs(weights.astype(np.int64)), _largest_weight(weight_bits)
    if weight_bits == 1 and (magnitude != 1).any():
        raise ValueError("1-bit weights must be -1 or 1")
    if magnitude.max(initial=0) > largest:
        raise ValueError(f"{weight_bits}-bit weights must lie within +-{largest}")


def program_tiles(
    weights: NDArray[np.integer[Any]],
    program: Program,
    curves: Curves,
    *,
    weight_bits: int,
    cell_bits: int = 1,
    sign: Sign = "pair",
    tile_rows: int = 128,
    tile_columns: int = 128,
    first_tile: int = 0,
    terms: Terms | None = None,
    read_variance: ReadVariance | None = None,
) -> Tiles:
    """Program a matrix onto tiles of tile_rows x tile_columns cells, padded with zeros.

    Tile (k, m) is number first_tile + k * column_tiles + m; its array of plane p is number 2 (64 tile + p), and the
    negative array (or the column of the offset, the first column of its array) one more. All cells of a tile are
    programmed, padded ones too, row by row.

    weights: integers [inputs, outputs], |q| <= 2^(weight_bits - 1) - 1, or -1 and 1 of 1 bit; curves as the device
    gives them for 2^cell_bits levels; ``terms`` and ``read_variance``: the device's, of states as they are programmed.
    Raises ValueError for weights out of range.
    """
    inputs, outputs = weights.shape
    planes, levels = planes_of(weight_bits, cell_bits, sign), 1 << cell_bits
    if weight_bits < 1 or planes > PLANES_PER_TILE:
        raise ValueError(f"weights must have from 1 to {PLANES_PER_TILE} bits, found {weight_bits}")
    _check_weights(weights, weight_bits)
    row_tiles, column_tiles = -(-inputs // tile_rows), -(-outputs // tile_columns)
    padded = column_tiles * tile_columns
    width = planes * outputs + (planes * column_tiles if sign == "offset" else 0)
    steps_grid = 2.0 ** (STATE_GRID_BITS - ceil(log2(levels - 1)))
    voltages = () if terms is None else terms.voltages
    total_scale = _total_limit(tile_rows) / LARGEST_STATE
    shape = row_tiles, tile_rows, width
    difference, total = np.empty(shape, np.float32), np.empty(shape, np.int16)
    row_state = np.empty((row_tiles, column_tiles, tile_rows))
    further = [
        TermTiles(voltage, np.empty(shape, np.float32), np.empty(shape, np.int16), np.empty(row_state.shape))
        for voltage in voltages
    ]
    variance = None if read_variance is None else np.empty(shape)
    numbers = first_tile + np.arange(row_tiles * column_tiles).reshape(row_tiles, column_tiles)
    arrays = 2 * (PLANES_PER_TILE * numbers[..., None, None] + np.arange(planes)[:, None]) + np.arange(2)
    for k in range(row_tiles):
        block = np.zeros((tile_rows, padded), weights.dtype)
        rows = weights[k * tile_rows : (k + 1) * tile_rows]
        block[: len(rows), :outputs] = rows
        # [planes, 2, rows, column tiles, columns] -> [column tiles, planes, 2, rows, columns]
        # What pads a tile is 0, which 1-bit weights cannot be; in their cells it can.
        target = digits(block, max(weight_bits, 2), cell_bits, sign)
        target = target.reshape(planes, 2, tile_rows, column_tiles, tile_columns)
        target = target.transpose(3, 0, 1, 2, 4)
        if sign == "pair":
            parts = [(_programmed(program, target, arrays[k]), outputs)]
        else:
            parts = [
                (_programmed(program, target[:, :, :1], arrays[k][..., :1]), outputs),
                (_programmed(program, target[:, :, 1:, :, :1], arrays[k][..., 1:]), column_tiles),
            ]
        found = [_stored(*_compared(part, 1), used, levels, steps_grid, total_scale) for part, used in parts]
        difference[k], total[k] = (np.concatenate(both, axis=1) for both in zip(*found, strict=True))
        row_state[k] = sum(part.sum(axis=(1, 2, 4), dtype=np.float64) for part, _ in parts)
        of_terms = [] if terms is None else [(terms.of(part), used) for part, used in parts]
        for n, term in enumerate(further):
            found = [
                _stored(*_compared(part[n], 0), used, 2, 2.0**STATE_GRID_BITS, total_scale) for part, used in of_terms
            ]
            term.difference[k], term.total[k] = (np.concatenate(both, axis=1) for both in zip(*found, strict=True))
            term.row_sum[k] = sum(part[n].sum(axis=(1, 2, 4)) for part, _ in of_terms)
        if read_variance is not None and variance is not None:
            spread = [_flat(read_variance(part.astype(np.float64)).sum(axis=2), used) for part, used in parts]
            variance[k] = np.concatenate(spread, axis=1)
    cells_per_row = planes * (2 * tile_columns if sign == "pair" else tile_columns + 1)
    return Tiles(
        difference, total, total_scale, row_state, cells_per_row,
        inputs, outputs, tile_columns, planes, cell_bits, sign, first_tile, curves,
        tuple(further), None if variance is None else CellNoise.of(variance),
    )  # fmt: skip


def _compared(cells: NDArray[Any], middle: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return difference and total of what cells hold, [column tiles, planes, rows, columns].

    cells: [column tiles, planes, 2, rows, columns], pairs, or 1 instead of 2, single cells. States (``middle`` 1) are
    subtracted as r_neg - r_pos, because the current falls with r, and their total lies around 1; coefficients of a term
    (0) as c_pos - c_neg, and their total is the mean.
    """
    first, last = cells[:, :, 0], cells[:, :, -1]
    single = cells.shape[2] == 1
    if middle:
        return (-first, 2 * first - 1) if single else (last - first, first + last - 1)
    return (first, first) if single else (first - last, (first + last) / 2)


def _programmed(program: Program, target: NDArray[np.uint8], arrays: NDArray[np.int64]) -> NDArray[np.float32]:
    shape = target.shape
    states = program(np.ascontiguousarray(target).reshape(-1, *shape[-2:]), arrays.reshape(-1))
    return states.reshape(shape)


def _stored(
    difference: NDArray[Any],
    total: NDArray[Any],
    outputs: int,
    levels: int,
    steps_grid: float,
    total_scale: float,
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """States [column tiles, planes, rows, columns] on their grids, as [rows, planes * outputs]."""
    steps = np.rint(_flat(difference, outputs) * np.float32((levels - 1) * steps_grid)) / np.float32(steps_grid)
    limit = round(total_scale * LARGEST_STATE)
    totals = np.clip(np.rint(_flat(total, outputs) * np.float32(total_scale)), -limit, limit)
    return steps.astype(np.float32), totals.astype(np.int16)


def _flat(values: NDArray[Any], outputs: int) -> NDArray[Any]:
    """[column tiles, planes, rows, columns] -> [rows, planes * outputs], padded columns left out."""
    rows, planes = values.shape[2], values.shape[1]
    return values.transpose(2, 1, 0, 3).reshape(rows, planes, -1)[:, :, :outputs].reshape(rows, planes * outputs)


def _total_limit(rows: int) -> int:
    """The largest total, and with `variance_limit` the split of the 24 bits of float32 between the two operands."""
    return int((1 << ((24 - ceil(log2(rows))) // 2)) - 1)


def variance_limit(rows: int) -> int:
    return int((1 << (24 - ceil(log2(rows)) - (24 - ceil(log2(rows))) // 2)) - 1)
