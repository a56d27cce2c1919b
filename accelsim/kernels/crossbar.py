"""Bit-sliced products on crossbar tiles: one conversion per plane, tile and column, at the speed of BLAS.

The current of a column is linear in the states r of its cells, I_j = sum_i LL(V_i) (1 - r_ij) + HH(V_i) r_ij, so a pair
of columns needs one matrix product, I_pos - I_neg = sum_i (LL - HH)(V_i) (r_neg - r_pos)_ij. Independent Gaussian read
noise of the cells adds up to Gaussian noise of the column, whose variance is linear in the state as well: a second
product, then one draw per conversion.

The same bits come out for any number of threads, any split into batches and any BLAS: both operands of the first
product are rounded to a grid (2^-20 of a cell's range, about 2^-22 of an input's) on which float64 holds every partial
sum exactly, those of the second to whole numbers whose sums stay below 2^24 in float32. The noise of a conversion is a
function of (seed, tile, plane, frame, column), see `accelsim.kernels.counter_random`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil, log2
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.converters import (
    OWN_TRANSFER,
    Adcs,
    AdcTransfer,
    DacTransfer,
    adc_array,
    bit_phases,
    per_adc,
    transferred,
)
from accelsim.kernels.counter_random import READ_STREAM, normal_pair, normals_into, philox, split_seed
from accelsim.kernels.fixed_point import signed_range

Sign = Literal["pair", "offset"]
NoiseModel = Literal["physical", "legacy", "off"]
Program = Callable[[NDArray[np.uint8], NDArray[np.int64]], NDArray[np.float32]]
"""Programs cells: levels [arrays, rows, columns] (0: high resistance) and the arrays' numbers -> states r, alike."""

PLANES_PER_TILE = 64
"""Numbers that a tile keeps for its planes: array number = 2 (64 tile + plane) + sign."""

BOLTZMANN = 1.380649e-23
ELECTRON = 1.602e-19
READ_SECONDS = 1e-8

_STATE_GRID_BITS = 20
_LARGEST_STATE = 1.25  # of the middle of the range, where the variance takes a state to be
_BLOCK_VALUES = 1 << 19
_FEWEST_FRAMES, _MOST_FRAMES = 16, 512
_MAGIC = 1.5 * 2.0**52  # x + magic - magic rounds to a whole number, halves to even, for |x| < 2^51


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


@dataclass(frozen=True)
class Product:
    """What a product gives: values float64 [frames, outputs] = sum_i q_ij x_i with x in [-1, 1].

    ``clipped`` int64 [row tiles, planes, column tiles] and ``clipped_per_frame`` int64 [frames]: conversions that did;
    ``saturated_per_frame`` int64 [frames]: additions and registers behind the converters that did, see `Words`.
    """

    values: NDArray[np.float64]
    clipped: NDArray[np.int64]
    clipped_per_frame: NDArray[np.int64]
    saturated_per_frame: NDArray[np.int64]


@dataclass(frozen=True)
class Words:
    """The signed words behind the converters of a matrix, whose last place stands for ``step`` weight units.

    ``adder``: bits of the shift-and-add, in which a tile's codes are added one by one, phase after phase, and in a
    phase the planes in ascending order; ``output``: of the register of a tile's sum; ``total``: of the accumulator that
    adds row tiles in ascending order. Each addition saturates, and so does the register.
    """

    step: float
    adder: int
    output: int
    total: int

    def bounds(self, bits: int) -> tuple[float, float]:
        """Return the smallest and largest value of a word of so many bits, in weight units."""
        low, high = signed_range(bits)
        return low * self.step, high * self.step

    def hold(self, adc: Adcs, shape: tuple[int, int, int], cell_bits: int, dac: DacTransfer) -> bool:
        """Return whether every sum fits, whatever the codes: then nothing can saturate.

        A tile's sum reaches sum_phase 2^phase sum_p 2^(p cell_bits) times the largest code of plane p. ``shape``: row
        tiles, planes, column tiles.
        """
        steps, limits = per_adc(adc, shape)
        phases = 1.0 if dac.phases == 1 else (2.0**dac.phases - 1) / dac.largest_code
        weights = phases * 2.0 ** (cell_bits * np.arange(shape[1]))
        of_tile = ((limits / steps) * weights[:, None]).sum(axis=1)
        fits = [of_tile.max() <= self.bounds(bits)[1] for bits in (self.adder, self.output)]
        return all(fits) and bool(of_tile.sum(axis=0).max() <= self.bounds(self.total)[1])


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
    steps_grid = 2.0 ** (_STATE_GRID_BITS - ceil(log2(levels - 1)))
    total_scale = _total_limit(tile_rows) / _LARGEST_STATE
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
    limit = round(total_scale * _LARGEST_STATE)
    totals = np.clip(np.rint(flat(total) * np.float32(total_scale)), -limit, limit)
    return steps.astype(np.float32), totals.astype(np.int16)


def _total_limit(rows: int) -> int:
    """The largest total, and with `_variance_limit` the split of the 24 bits of float32 between the two operands."""
    return int((1 << ((24 - ceil(log2(rows))) // 2)) - 1)


def _variance_limit(rows: int) -> int:
    return int((1 << (24 - ceil(log2(rows)) - (24 - ceil(log2(rows))) // 2)) - 1)


def noise_constants(
    model: NoiseModel, temperature_kelvin: float = 300.0, read_seconds: float = READ_SECONDS
) -> tuple[float, float]:
    """Return the thermal and shot factors of the read noise of a cell: sigma^2 = thermal |I / V| + shot |I|, in A^2.

    physical: thermal = 4 kB T B, shot = 2 e B with B = 1 / t and e = 1.602e-19 C: a read of t = 10 ns has the 100 MHz
    of the published experiments, and a shorter one lets more noise through. legacy: the published experiments'
    slip, B = 1e-8 and e = 2.71828, which makes the noise 37 to 40 times larger. off: both 0.
    Source: arXiv 2505.24721 and its public reference.
    """
    if model == "off":
        return 0.0, 0.0
    if model not in ("physical", "legacy"):
        raise ValueError(f"unknown noise model '{model}' (one of: physical, legacy, off)")
    bandwidth, charge = (1 / read_seconds, ELECTRON) if model == "physical" else (1e-8, 2.71828)
    return 4 * BOLTZMANN * temperature_kelvin * bandwidth, 2 * charge * bandwidth


@dataclass(frozen=True)
class _Tables:
    """What a code at the input stands for, on the grids: signal, and slope and constant of the variance (index: code +
    largest code)."""

    signal: NDArray[np.float64]
    slope: NDArray[np.float32]
    slope_step: float
    constant: NDArray[np.float64]


def _tables(
    tiles: Tiles, dac: DacTransfer, noise: NoiseModel, temperature_kelvin: float, read_seconds: float
) -> _Tables:
    rows = tiles.difference.shape[1]
    voltage, curves, levels = dac.levels(), tiles.curves, 1 << tiles.cell_bits
    low, high = np.polyval(curves.low, voltage), np.polyval(curves.high, voltage)
    signal = (low - high) / (curves.unit * (levels - 1))
    largest = float(np.abs(signal).max())
    # |difference| < 2^(20 + 1 + 1) grid steps; all sums of `rows` products stay below 2^53 steps of both grids.
    grid = 2.0 ** (53 - (_STATE_GRID_BITS + 2) - ceil(log2(rows)) - 1 - ceil(log2(largest)))
    signal = np.rint(signal * grid) / grid
    thermal, shot = noise_constants(noise, temperature_kelvin, read_seconds)
    # Per cell sigma^2 = |I| (thermal / |V| + shot), in weight units squared; at 0 V, |I / V| is the slope of the curve.
    magnitude = np.abs(voltage)
    safe = np.where(magnitude > 0, magnitude, 1.0)
    of_low = np.where(magnitude > 0, np.sign(voltage) * low / safe, curves.low[-2])
    of_high = np.where(magnitude > 0, np.sign(voltage) * high / safe, curves.high[-2])
    factor = (thermal + shot * magnitude) / curves.unit**2
    slope, level = (of_high - of_low) * factor, of_low * factor
    # A pair: r_pos + r_neg = 1 + t; a single cell: r = (1 + t) / 2.
    per_total = 1.0 if tiles.sign == "pair" else 0.5
    constant = (2 if tiles.sign == "pair" else 1) * level + per_total * slope
    step = float(np.abs(slope).max()) / _variance_limit(rows) or 1.0
    fine = step * 2.0**-20
    return _Tables(
        signal,
        np.rint(slope / step).astype(np.float32),
        step * per_total / tiles.total_scale,
        np.rint(constant / fine) * fine,
    )


def multiply(
    tiles: Tiles,
    codes: NDArray[np.int16],
    *,
    dac: DacTransfer | None = None,
    adc: Adcs | None = None,
    noise: NoiseModel = "physical",
    seed: int = 0,
    first_frame: int = 0,
    temperature_kelvin: float = 300.0,
    read_seconds: float = READ_SECONDS,
    frames_per_block: int | None = None,
    words: Words | None = None,
) -> Product:
    """Multiply DAC codes by a programmed matrix, one conversion per phase, plane, tile and column.

    y_j = sum_phase 2^phase sum_tiles sum_p 2^(p cell_bits) ADC(I_pos - I_neg + noise), everything after the ADC exact,
    or with ``words`` saturating, see `Words`: they are those of codes, which every converter must give.
    With ideal device, converters and no noise, y is exactly sum_i q_ij code_i / 2^(bits-1).

    codes: int16 [frames, inputs], |code| <= 2^(bits-1); adc: one setting, or an object array that broadcasts to [row
    tiles, planes, column tiles], each an `AdcTransfer` or an object with a transfer function of its own, see
    `accelsim.kernels.converters.Transfer`; first_frame: number of the first frame, for the noise. ``frames_per_block``
    changes speed and memory only. Raises ValueError for codes or shapes that do not fit.
    """
    dac, adc = dac or DacTransfer(), AdcTransfer() if adc is None else adc
    if codes.ndim != 2 or codes.shape[1] != tiles.inputs:
        raise ValueError(f"expected codes [frames, {tiles.inputs}], found shape {codes.shape}")
    _check_codes(codes, dac)
    frames, (row_tiles, rows, width) = len(codes), tiles.difference.shape
    tables = _tables(tiles, dac, noise, temperature_kelvin, read_seconds)
    run = _Conversion(tiles, dac, adc, noise, seed, first_frame, frames, words)
    block = frames_per_block or min(max(_BLOCK_VALUES // width, _FEWEST_FRAMES), _MOST_FRAMES)
    block = min(block, max(frames, 1))
    signal = np.empty((block, width))
    variance = np.empty((block, width), np.float32)
    zero = len(tables.signal) // 2
    for k in range(row_tiles):
        # Rows without an input carry no current, only noise, the same in every frame: they need no product.
        used = min(rows, tiles.inputs - k * rows)
        weights = tiles.difference[k, :used].astype(np.float64)
        totals = tiles.total[k].astype(np.float32) if run.noisy else None
        at_rest = None if totals is None else tables.slope[zero] * totals[used:].sum(axis=0)
        for start in range(0, frames, block):
            part = codes[start : start + block, k * rows : k * rows + used]
            run.begin_tile(len(part))
            for phase, phase_codes in enumerate([part] if dac.phases == 1 else bit_phases(part, dac)):
                index = phase_codes.astype(np.intp) + zero
                n = len(part)
                np.matmul(tables.signal[index], weights, out=signal[:n])
                constant = np.zeros(n)
                if totals is not None:
                    np.matmul(tables.slope[index], totals[:used], out=variance[:n])
                    variance[:n] += at_rest
                    constant = tables.constant[index].sum(axis=1) + (rows - used) * tables.constant[zero]
                run.convert(k, phase, start, signal[:n], variance[:n], constant, tables.slope_step)
            run.end_tile(start)
    return run.product()


def multiply_depthwise(
    tiles: Tiles,
    codes: NDArray[np.int16],
    *,
    dac: DacTransfer | None = None,
    adc: Adcs | None = None,
    noise: NoiseModel = "physical",
    seed: int = 0,
    first_frame: int = 0,
    temperature_kelvin: float = 300.0,
    read_seconds: float = READ_SECONDS,
    words: Words | None = None,
    step: int = 1,
) -> Product:
    """Depthwise convolution on columns that each have inputs of their own: one conversion per plane and channel.

    y[t, c] = sum_p 2^(p cell_bits) ADC(sum_i I(code[s t + i, c], cell[p, i, c]) + noise): column c holds the taps of
    channel c, and s is the ``step``: 1 where the codes of a column slide by, the number of taps where all are new. The
    tiles are those of a matrix [taps, channels] with tile_rows = taps.

    codes: int16 [s (frames - 1) + taps, channels], padded by the caller; else as `multiply`. Raises ValueError for more
    than one row tile or an offset column, whose inputs would have to be those of every column at once.
    """
    dac, adc = dac or DacTransfer(), AdcTransfer() if adc is None else adc
    row_tiles, taps, width = tiles.difference.shape
    if row_tiles != 1 or taps != tiles.inputs or tiles.sign != "pair":
        raise ValueError("depthwise columns need differential pairs and tiles of as many rows as there are taps")
    if codes.ndim != 2 or codes.shape[1] != tiles.outputs or len(codes) < taps - step:
        raise ValueError(f"expected codes [frames + {taps - 1}, {tiles.outputs}], found shape {codes.shape}")
    _check_codes(codes, dac)
    frames = (len(codes) - taps) // step + 1
    tables = _tables(tiles, dac, noise, temperature_kelvin, read_seconds)
    run = _Conversion(tiles, dac, adc, noise, seed, first_frame, frames, words)
    zero = len(tables.signal) // 2
    block = min(max(_BLOCK_VALUES // width, _FEWEST_FRAMES), _MOST_FRAMES)
    for start in range(0, frames, block):
        part = codes[step * start : step * (start + block - 1) + taps]
        run.begin_tile((len(part) - taps) // step + 1)
        for phase, phase_codes in enumerate([part] if dac.phases == 1 else bit_phases(part, dac)):
            signal, variance = _columns(
                phase_codes + np.int64(zero), tiles.difference[0], tiles.total[0],
                tables.signal, tables.slope, tables.constant, tables.slope_step, tiles.planes, run.noisy, step,
            )  # fmt: skip
            run.convert(0, phase, start, signal, variance, np.zeros(len(signal)), 1.0)
        run.end_tile(start)
    return run.product()


def _check_codes(codes: NDArray[np.int16], dac: DacTransfer) -> None:
    largest = int(np.abs(codes.astype(np.int32)).max(initial=0))
    if largest > dac.largest_code:
        top = dac.largest_code
        raise ValueError(f"a DAC of {dac.bits} bits has codes from -{top} to {top}, found {largest}")


def read_power(
    tiles: Tiles, codes: NDArray[np.int16], dac: DacTransfer | None = None, *, per_tile: bool = False
) -> NDArray[np.float64]:
    """Return the power that the cells take while they are read, in W per frame: P = sum_i V_i sum_j I_j(V_i).

    The sum goes over all cells of all arrays of the matrix, or with ``per_tile`` of each tile, padded cells included. A
    bit-serial DAC has a power per phase, and the mean over the phases is returned. The energy of a read is P times its
    duration, and with a bit-serial DAC times the phases.

    codes: int16 [frames, inputs] as for `multiply`. Returns [frames], or [frames, row tiles, column tiles].
    """
    dac = dac or DacTransfer()
    voltage, curves = dac.levels(), tiles.curves
    low, high = voltage * np.polyval(curves.low, voltage), voltage * np.polyval(curves.high, voltage)
    row_tiles, column_tiles, rows = tiles.row_state.shape
    phases = codes[None] if dac.phases == 1 else bit_phases(codes, dac)
    power = np.zeros((len(codes), row_tiles, column_tiles))
    for k in range(row_tiles):
        part = phases[:, :, k * rows : (k + 1) * rows].astype(np.intp) + len(voltage) // 2
        state = tiles.row_state[k, :, : part.shape[2]].T
        fixed = low[part].mean(axis=0).sum(axis=1) * tiles.cells_per_row
        power[:, k] = fixed[:, None] + (high - low)[part].mean(axis=0) @ state
    return power if per_tile else np.asarray(power.sum(axis=(1, 2)))


def depthwise_power(
    tiles: Tiles, codes: NDArray[np.int16], dac: DacTransfer | None = None, *, step: int = 1
) -> NDArray[np.float64]:
    """Return the power of depthwise columns while they are read, in W per frame: P = sum_c sum_i V I of channel c.

    As `read_power`, but every column has inputs of its own; padded columns are not driven. codes and ``step``: as for
    `multiply_depthwise`. Returns [frames].
    """
    dac = dac or DacTransfer()
    voltage, curves = dac.levels(), tiles.curves
    low, high = voltage * np.polyval(curves.low, voltage), voltage * np.polyval(curves.high, voltage)
    taps = tiles.difference.shape[1]
    # Per tap and channel, over all planes and both signs: the sum of the states, 1 + total for each pair.
    state = (1 + tiles.total[0] / tiles.total_scale).reshape(taps, tiles.planes, -1).sum(axis=1)
    phases = codes[None] if dac.phases == 1 else bit_phases(codes, dac)
    power = np.zeros((len(codes) - taps) // step + 1)
    for phase in phases:
        index = phase.astype(np.intp) + len(voltage) // 2
        for tap in range(taps):
            part = index[tap : tap + step * len(power) : step]
            power += (low[part] * (2 * tiles.planes) + (high - low)[part] * state[tap]).sum(axis=1)
    return power / len(phases)


class _Conversion:
    """The conversions of one product: settings in front, counts and sums behind."""

    def __init__(
        self,
        tiles: Tiles,
        dac: DacTransfer,
        adc: Adcs,
        noise: NoiseModel,
        seed: int,
        first_frame: int,
        frames: int,
        words: Words | None,
    ) -> None:
        shape = (len(tiles.difference), tiles.planes, tiles.column_tiles)
        self.tiles, self.noisy, self.first_frame = tiles, noise != "off", first_frame
        self.steps, self.limits = per_adc(adc, shape)
        self.adcs = adc_array(adc, shape)
        self.scale = 1.0 if dac.phases == 1 else 1.0 / dac.largest_code
        self.key, self.seed_high = split_seed(seed)
        self.values = np.zeros((frames, tiles.outputs))
        self.clipped = np.zeros(shape, np.int64)
        self.per_frame = np.zeros(frames, np.int64)
        self.saturated = np.zeros(frames, np.int64)
        if words is not None and (self.steps <= 0).any():
            raise ValueError("words hold codes: a converter that is ideal, or has a transfer function, gives none")
        self.words = words
        self.bounds = (0.0, 0.0) if words is None else words.bounds(words.adder)
        self.tile = np.zeros((0, tiles.outputs))  # with words, the sums of the present row tile
        # Plain threads, not those of numba: theirs wait busily, and the products' threads do too, so that each
        # change from one to the other would cost more than the work.
        self.threads = numba.get_num_threads()
        self.pool = ThreadPoolExecutor(self.threads)

    def begin_tile(self, frames: int) -> None:
        """Clear the shift-and-add of a row tile for so many frames."""
        if self.words is not None:
            self.tile = np.zeros((frames, self.tiles.outputs))

    def end_tile(self, start: int) -> None:
        """Add the sums of a row tile by way of its output register."""
        if self.words is None:
            return
        part = slice(start, start + len(self.tile))
        kept = np.clip(self.tile, *self.words.bounds(self.words.output))
        wanted = self.values[part] + kept
        np.clip(wanted, *self.words.bounds(self.words.total), out=self.values[part])
        self.saturated[part] += (kept != self.tile).sum(axis=1) + (wanted != self.values[part]).sum(axis=1)

    def convert(
        self,
        k: int,
        phase: int,
        start: int,
        signal: NDArray[np.float64],
        variance: NDArray[np.float32],
        constant: NDArray[np.float64],
        slope_step: float,
    ) -> None:
        tiles = self.tiles
        part = slice(start, start + len(signal))
        weights = 2.0 ** (tiles.cell_bits * np.arange(tiles.planes) + phase) * self.scale
        offset, tile = tiles.sign == "offset", np.uint64(tiles.first_tile + k * tiles.column_tiles)
        values = self.values[part] if self.words is None else self.tile

        def some(frames: slice) -> NDArray[np.int64]:
            found: NDArray[np.int64] = _convert(
                signal[frames], variance[frames], constant[frames].astype(np.float32), np.float32(slope_step),
                self.noisy, offset, self.steps[k], self.limits[k], weights, tiles.tile_columns,
                phase, np.uint64(self.first_frame + start + frames.start), tile,
                self.key, self.seed_high, values[frames], self.per_frame[part][frames],
                self.words is not None, *self.bounds, self.saturated[part][frames],
            )  # fmt: skip
            return found

        share = max(-(-len(signal) // (4 * self.threads)), _FEWEST_FRAMES)
        left = [slice(a, min(a + share, len(signal))) for a in range(0, len(signal), share)]
        clipped: list[NDArray[np.int64]] = []

        def work() -> None:
            while left:
                try:
                    frames = left.pop()
                except IndexError:  # another thread took the last one
                    return
                clipped.append(some(frames))

        others = [self.pool.submit(work) for _ in range(min(self.threads, len(left)) - 1)]
        work()
        for other in others:
            other.result()
        self.clipped[k] += sum(clipped)
        for p, m in np.argwhere(self.steps[k] == OWN_TRANSFER):
            self._transfer(k, p, m, part, signal, weights[p])

    def _transfer(self, k: int, p: int, m: int, part: slice, signal: NDArray[np.float64], weight: float) -> None:
        """Convert the columns of one tile and plane by the converter's own function: `_convert` left their currents."""
        tiles = self.tiles
        first = m * tiles.tile_columns
        last = min(first + tiles.tile_columns, tiles.outputs)
        currents = signal[:, p * tiles.outputs + first : p * tiles.outputs + last].copy()
        values, clipped = transferred(self.adcs[k, p, m], currents)
        self.values[part, first:last] += weight * values
        self.clipped[k, p, m] += np.count_nonzero(clipped)
        self.per_frame[part] += clipped.sum(axis=1)

    def product(self) -> Product:
        self.pool.shutdown()
        return Product(self.values, self.clipped, self.per_frame, self.saturated)


@compiled(nogil=True)
def _convert(  # type: ignore[no-untyped-def]
    signal, variance, constant, slope_step, noisy, offset, steps, limits, weights, tile_columns,
    phase, first_frame, first_tile, key, seed_high, values, per_frame, saturating, low, high, saturated,
):  # fmt: skip
    """Draw the noise, scale, round, clamp, count, shift and add one block: signal [frames, columns] -> values += ...

    ``saturating``: every addition is kept within low .. high, and ``saturated`` [frames] counts those that were not.
    Where a converter has a transfer function of its own, the noisy current is left in ``signal`` instead.
    """
    frames, outputs = values.shape
    planes, column_tiles = steps.shape
    groups = -(-tile_columns // 4)
    clipped = np.zeros((planes, column_tiles), np.int64)
    stream = np.uint64(READ_STREAM)
    draw_0 = np.uint64(phase * (groups + 1))
    z = np.zeros(4 * groups, np.float32)
    total = np.empty(tile_columns, np.float64)
    for t in range(frames):
        frame = first_frame + np.uint64(t)
        for m in range(column_tiles):
            first = m * tile_columns
            width = min(tile_columns, outputs - first)
            total[:width] = 0.0
            if saturating:
                total[:width] = values[t, first : first + width]
            for p in range(planes):
                tile_plane = (first_tile + np.uint64(m)) * np.uint64(PLANES_PER_TILE) + np.uint64(p)
                column = p * outputs + first
                y = signal[t, column : column + width]
                reference = 0.0
                if offset:
                    n = planes * outputs + p * column_tiles + m
                    reference = signal[t, n]
                    if noisy:
                        w0, w1, _, _ = philox(draw_0 + np.uint64(groups), frame, tile_plane, seed_high, key, stream)
                        spread = max(slope_step * variance[t, n] + constant[t], np.float32(0))
                        reference += np.float64(np.sqrt(spread) * normal_pair(w0, w1)[0])
                if noisy:
                    normals_into(z, groups, draw_0, frame, tile_plane, seed_high, key, stream)
                    noise_into(z, variance[t, column : column + width], slope_step, constant[t], width)
                clamped = convert_into(total, y, z, reference, noisy, steps[p, m], limits[p, m], weights[p], width)
                clipped[p, m] += clamped
                per_frame[t] += clamped
                if saturating:
                    for j in range(width):
                        kept = min(max(total[j], low), high)
                        saturated[t] += kept != total[j]
                        total[j] = kept
            out = values[t, first : first + width]
            if saturating:
                out[:] = total[:width]
            else:
                for j in range(width):
                    out[j] += total[j]
    return clipped


@numba.njit(inline="always")
def noise_into(z, variance, slope_step, constant, width):  # type: ignore[no-untyped-def]
    """z <- sqrt(variance) z, both float32."""
    for j in range(width):
        z[j] *= np.sqrt(max(slope_step * variance[j] + constant, np.float32(0)))


@numba.njit(inline="always")
def convert_into(total, signal, noise, reference, noisy, step, limit, weight, width):  # type: ignore[no-untyped-def]
    """total += weight ADC(signal - reference + noise); return how many conversions clipped.

    A step of OWN_TRANSFER: signal <- signal - reference + noise, and nothing is added.
    """
    clamped = 0
    if step <= 0.0:
        for j in range(width):
            y = signal[j] - reference
            if noisy:
                y += np.float64(noise[j])
            if step == 0.0:
                total[j] += weight * y
            else:
                signal[j] = y
        return clamped
    beyond = limit + 1.0
    unit = weight / step
    if noisy:
        for j in range(width):
            x = (signal[j] - reference + np.float64(noise[j])) * step
            rounded = (min(max(x, -beyond), beyond) + _MAGIC) - _MAGIC
            code = min(max(rounded, -limit), limit)
            clamped += code != rounded
            total[j] += unit * code
    else:
        for j in range(width):
            x = (signal[j] - reference) * step
            rounded = (min(max(x, -beyond), beyond) + _MAGIC) - _MAGIC
            code = min(max(rounded, -limit), limit)
            clamped += code != rounded
            total[j] += unit * code
    return clamped


@compiled(parallel=True)
def _columns(  # type: ignore[no-untyped-def]
    codes, difference, total, signal_of, slope_of, constant_of, slope_step, planes, noisy, step
):
    """Signal and variance of depthwise columns, as `multiply_depthwise` has the codes: [frames, planes * channels]."""
    taps = len(difference)
    channels = codes.shape[1]
    frames = (len(codes) - taps) // step + 1
    signal = np.zeros((frames, planes * channels))
    variance = np.zeros((frames, planes * channels), np.float32)
    for t in numba.prange(frames):
        spread = np.zeros(channels)
        for p in range(planes):
            first = p * channels
            for i in range(taps):
                for c in range(channels):
                    signal[t, first + c] += signal_of[codes[t * step + i, c]] * difference[i, first + c]
            if noisy:
                spread[:] = 0.0
                for i in range(taps):
                    for c in range(channels):
                        code = codes[t * step + i, c]
                        spread[c] += slope_step * slope_of[code] * total[i, first + c] + constant_of[code]
                for c in range(channels):
                    variance[t, first + c] = spread[c]
    return signal, variance
