"""Matrices cut into bit planes and programmed onto crossbar tiles of cells with two limiting I-V curves.

The current of a column is linear in the states r of its cells, I_j = sum_i LL(V_i) (1 - r_ij) + HH(V_i) r_ij; the
products are in `accelsim.kernels.product`.
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

PLANES_PER_TILE = 64
"""Numbers that a tile keeps for its planes: array number = 2 (64 tile + plane) + sign."""

STATE_GRID_BITS = 20
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
class Tiles:
    """A matrix programmed onto tiles, as the products need it.

    ``difference`` float32 [row tiles, rows, planes * outputs (+ planes * column tiles)]: level steps that a cell pair
    subtracts, (r_neg - r_pos) (levels - 1) for a differential pair, -r (levels - 1) for a single cell; then the columns
    that hold the offset, one per plane and column tile. ``total`` int16, same shape: the sum of the states of both
    cells, from the middle of its range, in steps of ``1 / total_scale``. ``row_state`` float64 [row tiles, column
    tiles, rows]: sum of r over all cells of a tile on the row, padded ones included; ``cells_per_row``: how many.
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
) -> Tiles:
    """Program a matrix onto tiles of tile_rows x tile_columns cells, padded with zeros.

    Tile (k, m) is number first_tile + k * column_tiles + m; its array of plane p is number 2 (64 tile + p), and the
    negative array (or the column of the offset, the first column of its array) one more. All cells of a tile are
    programmed, padded ones too, row by row.

    weights: integers [inputs, outputs], |q| <= 2^(weight_bits - 1) - 1, or -1 and 1 of 1 bit; curves as the device
    gives them for 2^cell_bits levels. Raises ValueError for weights out of range.
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
    total_scale = _total_limit(tile_rows) / LARGEST_STATE
    difference = np.empty((row_tiles, tile_rows, width), np.float32)
    total = np.empty((row_tiles, tile_rows, width), np.int16)
    row_state = np.empty((row_tiles, column_tiles, tile_rows))
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
            state = _programmed(program, target, arrays[k])
            difference[k], total[k] = _stored(
                state[:, :, 1] - state[:, :, 0], state.sum(axis=2) - 1, outputs, levels, steps_grid, total_scale
            )
            row_state[k] = state.sum(axis=(1, 2, 4), dtype=np.float64)
        else:
            cells = _programmed(program, target[:, :, :1], arrays[k][..., :1])[:, :, 0]
            offset = _programmed(program, target[:, :, 1:, :, :1], arrays[k][..., 1:])[:, :, 0]
            main = _stored(-cells, 2 * cells - 1, outputs, levels, steps_grid, total_scale)
            column = _stored(-offset, 2 * offset - 1, column_tiles, levels, steps_grid, total_scale)
            difference[k] = np.concatenate([main[0], column[0]], axis=1)
            total[k] = np.concatenate([main[1], column[1]], axis=1)
            row_state[k] = sum(part.sum(axis=(1, 3), dtype=np.float64) for part in (cells, offset))
    cells_per_row = planes * (2 * tile_columns if sign == "pair" else tile_columns + 1)
    return Tiles(
        difference, total, total_scale, row_state, cells_per_row,
        inputs, outputs, tile_columns, planes, cell_bits, sign, first_tile, curves,
    )  # fmt: skip


def _programmed(program: Program, target: NDArray[np.uint8], arrays: NDArray[np.int64]) -> NDArray[np.float32]:
    shape = target.shape
    states = program(np.ascontiguousarray(target).reshape(-1, *shape[-2:]), arrays.reshape(-1))
    return states.reshape(shape)


def _stored(
    difference: NDArray[np.float32],
    total: NDArray[np.float32],
    outputs: int,
    levels: int,
    steps_grid: float,
    total_scale: float,
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """States [column tiles, planes, rows, columns] on their grids, as [rows, planes * outputs]."""

    def flat(values: NDArray[Any]) -> NDArray[Any]:
        rows, planes = values.shape[2], values.shape[1]
        return values.transpose(2, 1, 0, 3).reshape(rows, planes, -1)[:, :, :outputs].reshape(rows, planes * outputs)

    steps = np.rint(flat(difference) * np.float32((levels - 1) * steps_grid)) / np.float32(steps_grid)
    limit = round(total_scale * LARGEST_STATE)
    totals = np.clip(np.rint(flat(total) * np.float32(total_scale)), -limit, limit)
    return steps.astype(np.float32), totals.astype(np.int16)


def _total_limit(rows: int) -> int:
    """The largest total, and with `variance_limit` the split of the 24 bits of float32 between the two operands."""
    return int((1 << ((24 - ceil(log2(rows))) // 2)) - 1)


def variance_limit(rows: int) -> int:
    return int((1 << (24 - ceil(log2(rows)) - (24 - ceil(log2(rows))) // 2)) - 1)
