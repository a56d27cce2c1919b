"""Matrices cut into bit planes and programmed onto crossbar tiles of cells with two limiting I-V curves.

The current of a column is linear in the states r of its cells, I_j = sum_i LL(V_i) (1 - r_ij) + HH(V_i) r_ij, or has
further terms f_k(V_i) c_k(r_ij), see `Terms`; the products are in `accelsim.kernels.product`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.converters import LARGEST_DAC_BITS
from accelsim.kernels.gated_rows import GatedTiles

if TYPE_CHECKING:
    from accelsim.kernels.arrays import ArrayModel

Sign = Literal["pair", "offset"]
RowOrder = Literal["as_given", "alternating", "sorted"]
"""On which row of an array an input lies, see `accelsim.kernels.arrays.order_of_rows`."""
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

    With an `accelsim.kernels.arrays.ArrayModel` all states are those of the effective cells, in ``difference`` with the
    gain of their column, in ``total`` with its square. Behind wires ``row_state`` gives the current of a row's driver
    while it drives alone, and ``coupling`` what it gives for each volt on another row, in S, summed over the arrays of
    a tile: [row tiles, column tiles, rows, rows], or of depthwise columns [outputs, rows, rows]; 0 on the diagonal.
    ``column_state`` [rows, outputs]: of depthwise columns, as ``row_state``, but of one column of every array.
    ``gated``: where rows without a bit are open; everything else is then that of the cells without wires.
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
    coupling: NDArray[np.float64] | None = None
    column_state: NDArray[np.float64] | None = None
    gated: GatedTiles | None = None

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
    model: ArrayModel | None = None,
    depthwise: bool = False,
) -> Tiles:
    """Program a matrix onto tiles of tile_rows x tile_columns cells, padded with zeros.

    Tile (k, m) is number first_tile + k * column_tiles + m; its array of plane p is number 2 (64 tile + p), and the
    negative array (or the column of the offset, the first column of its array) one more. All cells of a tile are
    programmed, padded ones too, row by row.

    weights: integers [inputs, outputs], |q| <= 2^(weight_bits - 1) - 1, or -1 and 1 of 1 bit; curves as the device
    gives them for 2^cell_bits levels; ``terms`` and ``read_variance``: the device's, of states as they are read.
    ``model``: wires, gains and the order of rows, which is one for all arrays of a tile; the column of an offset lies
    behind the others of its array. ``depthwise``: every column has drivers of its own. Raises ValueError for weights
    out of range.
    """
    inputs, outputs = weights.shape
    planes, levels = planes_of(weight_bits, cell_bits, sign), 1 << cell_bits
    if weight_bits < 1 or planes > PLANES_PER_TILE:
        raise ValueError(f"weights must have from 1 to {PLANES_PER_TILE} bits, found {weight_bits}")
    _check_weights(weights, weight_bits)
    row_tiles, column_tiles = -(-inputs // tile_rows), -(-outputs // tile_columns)
    padded = column_tiles * tile_columns
    width = planes * outputs + (planes * column_tiles if sign == "offset" else 0)
    voltages = () if terms is None else terms.voltages
    shape = row_tiles, tile_rows, width
    difference, total = np.empty(shape, np.float32), np.empty(shape, np.float32)
    row_state = np.empty((row_tiles, column_tiles, tile_rows))
    further = [(np.empty(shape), np.empty(shape), np.empty(row_state.shape)) for _ in voltages]
    variance = None if read_variance is None else np.empty(shape)
    coupling: list[NDArray[np.float64]] = []
    lying: list[_Lying] = []
    column_state: NDArray[np.float64] | None = None
    cells_per_row = planes * (2 * tile_columns if sign == "pair" else tile_columns + 1)
    kept = [outputs] if sign == "pair" else [outputs, column_tiles]

    def flat(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([_flat(part, used) for part, used in zip(parts, kept, strict=True)], axis=1)

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
        written = [(target, arrays[k])]
        if sign == "offset":
            written = [(target[:, :, :1], arrays[k][..., :1]), (target[:, :, 1:, :, :1], arrays[k][..., 1:])]
        read = _read(program, written, model, len(rows), depthwise)
        difference[k] = flat(_compared(part, 1)[0] for part in read.signal)
        total[k] = flat(_compared(part, 1)[1] for part in read.noise)
        row_state[k] = sum(part.sum(axis=(1, 2, 4), dtype=np.float64) for part in read.cells)
        if terms is not None:
            of_signal, of_noise, of_cells = ([terms.of(part) for part in parts] for parts in read[:3])
            for n, (differences, totals, row_sum) in enumerate(further):
                differences[k] = flat(_compared(part[n], 0)[0] for part in of_signal)
                totals[k] = flat(_compared(part[n], 0)[1] for part in of_noise)
                row_sum[k] = sum(part[n].sum(axis=(1, 2, 4)) for part in of_cells)
        if read_variance is not None and variance is not None:
            spread = [read_variance(part.astype(np.float64)) for part in read.cells]
            if read.gains:
                spread = [one * gains[..., None, :] ** 2 for one, gains in zip(spread, read.gains, strict=True)]
            variance[k] = flat(one.sum(axis=2) for one in spread)
        if model is not None and model.gated:
            lying.append(_lying(read, model, read_variance))
        if model is not None and depthwise:
            if read.drivers is None:
                alone = model.conductances(read.cells[0]).sum(axis=(1, 2)).swapaxes(1, 2)
            else:
                alone = np.diagonal(read.drivers, axis1=-2, axis2=-1)
                coupling.append(between_rows(read.drivers.reshape(-1, tile_rows, tile_rows)[:outputs]))
            column_state = model.driven_state(alone.reshape(-1, tile_rows)[:outputs].T * model.volts, 2 * planes)
        elif model is not None and read.drivers is not None:
            current = np.diagonal(read.drivers, axis1=-2, axis2=-1) * model.volts
            for voltage, (_, _, row_sum) in zip(voltages, further, strict=True):
                current = current - np.polyval(voltage, model.volts) * row_sum[k]
            row_state[k] = model.driven_state(current, cells_per_row)
            coupling.append(between_rows(read.drivers))
    limit = _total_limit(tile_rows)
    largest = max(float(np.abs(one).max(initial=0)) for one in (total, *(totals for _, totals, _ in further)))
    total_scale = limit / (LARGEST_STATE * _power_of_two(largest / LARGEST_STATE))
    return Tiles(
        _steps(difference, levels), _totals(total, total_scale), total_scale, row_state, cells_per_row,
        inputs, outputs, tile_columns, planes, cell_bits, sign, first_tile, curves,
        tuple(
            TermTiles(voltage, _steps(differences, 2), _totals(totals, total_scale), row_sum)
            for voltage, (differences, totals, row_sum) in zip(voltages, further, strict=True)
        ),
        None if variance is None else CellNoise.of(variance),
        (coupling[0] if depthwise else np.stack(coupling)) if coupling else None,
        column_state,
        _gated(lying, model) if lying and model is not None else None,
    )  # fmt: skip


class _Read(NamedTuple):
    """Arrays of a row of tiles as they are read, [column tiles, planes, 1 or 2, rows, columns], in one or two parts.

    States of the cells as converters see their currents (``signal``) and their noise (``noise``), and as the drivers
    see them (``cells``); ``gains`` [.., columns] of each part, none where all are 1; ``drivers`` [column tiles, rows,
    rows]: admittance of all arrays of a tile, of depthwise columns [column tiles, columns, rows, rows]; ``order``
    [column tiles, rows]: the input on each row.
    """

    signal: list[NDArray[np.float32]]
    noise: list[NDArray[np.float32]]
    cells: list[NDArray[np.float32]]
    gains: list[NDArray[np.float64]]
    drivers: NDArray[np.float64] | None
    order: NDArray[np.int64] | None = None


class _Lying(NamedTuple):
    """A row of tiles of `GatedTiles`."""

    cells: NDArray[np.float64]
    negative: NDArray[np.float64]
    variance: NDArray[np.float64] | None
    order: NDArray[np.int64]
    gains: NDArray[np.float64] | None


def _lying(read: _Read, model: ArrayModel, read_variance: ReadVariance | None) -> _Lying:
    """Arrays of a row of tiles with their rows as they lie."""
    assert read.order is not None
    beside = np.concatenate(read.cells, axis=-1)
    column_tiles, planes, signs, rows, width = beside.shape
    states = np.take_along_axis(beside, read.order[:, None, None, :, None], axis=3)
    states = states.reshape(column_tiles, planes * signs, rows, width)
    return _Lying(
        model.gated_cells(states),
        model.gated_cells(states, -1),
        None if read_variance is None else read_variance(states.astype(np.float64)),
        read.order,
        np.concatenate(read.gains, axis=-1).reshape(column_tiles, planes * signs, width) if read.gains else None,
    )


def _gated(lying: Sequence[_Lying], model: ArrayModel) -> GatedTiles:
    assert model.wires is not None
    cells, negative, variance, order, gains = (
        None if parts[0] is None else np.stack(parts) for parts in zip(*lying, strict=True)
    )
    assert cells is not None and negative is not None and order is not None
    return GatedTiles(cells, negative, variance, order, gains, model.wires, model.volts)


def _read(
    program: Program,
    written: Sequence[tuple[NDArray[np.uint8], NDArray[np.int64]]],
    model: ArrayModel | None,
    used: int,
    depthwise: bool,
) -> _Read:
    """Program a row of tiles and look at it through an array model; the parts of ``written`` lie beside each other.

    written: levels [column tiles, planes, 1 or 2, rows, columns] and the numbers of their arrays. Rows come back in the
    order of the inputs, wherever they lie.
    """
    if model is None:
        plain = [_programmed(program, levels, arrays) for levels, arrays in written]
        return _Read(plain, plain, plain, [], None)
    levels = np.concatenate([part for part, _ in written], axis=-1)
    column_tiles, planes, signs, rows, width = levels.shape
    order = model.order(np.moveaxis(levels, 3, 1).reshape(column_tiles, rows, -1), used)
    there, back = order[:, None, None, :, None], np.argsort(order, axis=1)[:, None, None, :, None]

    def programmed(by: Program) -> NDArray[np.float32]:
        """Return the states of all parts beside each other, [arrays, rows, columns]."""
        parts = [_programmed(by, np.take_along_axis(part, there, axis=3), arrays) for part, arrays in written]
        return np.concatenate(parts, axis=-1).reshape(-1, rows, width)

    states = programmed(program)
    fresh = states if model.fresh is None else programmed(model.fresh)
    numbers = written[0][1].reshape(-1)
    found = model.seen(states, fresh, numbers, depthwise=depthwise)
    cells = np.take_along_axis(found.states.reshape(levels.shape), back, axis=3)
    gains = None if found.gains is None else found.gains.reshape(*levels.shape[:3], width)
    drivers = found.drivers
    if drivers is not None:
        drivers = drivers.reshape(column_tiles, planes * signs, *drivers.shape[1:]).sum(axis=1)
        place = back.reshape(column_tiles, *[1] * (drivers.ndim - 3), rows)
        drivers = np.take_along_axis(np.take_along_axis(drivers, place[..., None], -2), place[..., None, :], -1)
    ends = np.cumsum([part.shape[-1] for part, _ in written])[:-1]

    def parts(whole: NDArray[Any]) -> list[NDArray[Any]]:
        return np.split(whole, ends, axis=-1)

    signal, noise = (model.with_gains(cells, gains, power) for power in (1, 2))
    return _Read(parts(signal), parts(noise), parts(cells), [] if gains is None else parts(gains), drivers, order)


def between_rows(drivers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Admittances between rows, [.., rows, rows] in S, on a grid on which float64 holds every sum of a row's codes."""
    rows = drivers.shape[-1]
    between = drivers * ~np.eye(rows, dtype=bool)
    largest = float(np.abs(between).max(initial=0)) or 1.0
    grid = 2.0 ** (53 - LARGEST_DAC_BITS - ceil(log2(rows)) - 1 - ceil(log2(largest)))
    return np.asarray(np.rint(between * grid) / grid)


def _power_of_two(least: float) -> float:
    """Return the smallest power of 2 that is no less than 1 and a number."""
    return 2.0 ** max(ceil(log2(max(least, 1.0))), 0)


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


def _steps(difference: NDArray[Any], levels: int) -> NDArray[np.float32]:
    """Differences of states, of cells of so many levels, in level steps on their grid: the finest below 2^22 steps."""
    grid = 2.0 ** (STATE_GRID_BITS - ceil(log2(levels - 1)))
    largest = float(np.abs(difference).max(initial=0)) * (levels - 1) * grid
    grid /= _power_of_two(largest / ((1 << (STATE_GRID_BITS + 2)) - 1))
    steps = np.empty(difference.shape, np.float32)
    for k, one in enumerate(difference):
        steps[k] = np.rint(one * np.float32((levels - 1) * grid)) / np.float32(grid)
    return steps


def _totals(total: NDArray[Any], scale: float) -> NDArray[np.int16]:
    return np.rint(total * np.float32(scale)).astype(np.int16)


def _flat(values: NDArray[Any], outputs: int) -> NDArray[Any]:
    """[column tiles, planes, rows, columns] -> [rows, planes * outputs], padded columns left out."""
    rows, planes = values.shape[2], values.shape[1]
    return values.transpose(2, 1, 0, 3).reshape(rows, planes, -1)[:, :, :outputs].reshape(rows, planes * outputs)


def _total_limit(rows: int) -> int:
    """The largest total, and with `variance_limit` the split of the 24 bits of float32 between the two operands."""
    return int((1 << ((24 - ceil(log2(rows))) // 2)) - 1)


def variance_limit(rows: int) -> int:
    return int((1 << (24 - ceil(log2(rows)) - (24 - ceil(log2(rows))) // 2)) - 1)
