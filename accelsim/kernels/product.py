"""Bit-sliced products on crossbar tiles: one conversion per plane, tile and column, at the speed of BLAS.

The current of a column is linear in the states r of its cells, I_j = sum_i LL(V_i) (1 - r_ij) + HH(V_i) r_ij, so a pair
of columns needs one matrix product, I_pos - I_neg = sum_i (LL - HH)(V_i) (r_neg - r_pos)_ij. Independent Gaussian read
noise of the cells adds up to Gaussian noise of the column, whose variance is linear in the state as well: a second
product, then one draw per conversion. Cells whose current has further terms, sum_k f_k(V_i) c_k(r_ij), take one more
product for each of them, and so does read noise that cells have of their own, sum_i V_i^2 sigma_G^2(cell).

The same bits come out for any number of threads, any split into batches and any BLAS: both operands of the first
product are rounded to a grid (2^-20 of a cell's range, about 2^-22 of an input's) on which float64 holds every partial
sum exactly, those of the second to whole numbers whose sums stay below 2^24 in float32; cells' own variances to 2^-20
of the largest one, V^2 likewise to whole numbers whose sums float64 holds. The noise of a conversion is a
function of (seed, tile, plane, frame, column), see `accelsim.kernels.counter_random`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.conversion import FEWEST_FRAMES, Conversion, Product, Words
from accelsim.kernels.converter_errors import Assigned
from accelsim.kernels.converters import Adcs, AdcTransfer, DacTransfer, bit_phases
from accelsim.kernels.crossbar import NOISE_STEPS, STATE_GRID_BITS, Tiles, variance_limit
from accelsim.kernels.gated_rows import GatedTiles
from accelsim.kernels.read_noise import READ_SECONDS, NoiseModel, noise_constants

_BLOCK_VALUES = 1 << 19
_MOST_FRAMES = 512


@dataclass(frozen=True)
class _Tables:
    """What a code at the input stands for, on the grids (index: code + largest code).

    ``signal``, ``slope``: [1 + terms, codes], of the two curves and of each further term; ``slope_step`` [1 + terms]:
    what a step of the slope is in variance; ``constant``: [codes], of the variance; ``square`` [codes]: V^2, times
    ``square_step`` the variance of cells with noise of their own.
    """

    signal: NDArray[np.float64]
    slope: NDArray[np.float32]
    slope_step: NDArray[np.float64]
    constant: NDArray[np.float64]
    square: NDArray[np.float64]
    square_step: float


def _tables(
    tiles: Tiles, dac: DacTransfer, noise: NoiseModel, temperature_kelvin: float, read_seconds: float
) -> _Tables:
    rows = tiles.difference.shape[1]
    voltage, curves, levels = dac.levels(), tiles.curves, 1 << tiles.cell_bits
    low, high = np.polyval(curves.low, voltage), np.polyval(curves.high, voltage)
    further = [np.polyval(term.voltage, voltage) for term in tiles.terms]
    signal = np.array([(low - high) / (curves.unit * (levels - 1)), *(current / curves.unit for current in further)])
    largest = float(np.abs(signal).max())
    # |difference| < 2^(20 + 1 + 1) grid steps; all sums of so many products stay below 2^53 steps of both grids.
    grid = 2.0 ** (53 - (STATE_GRID_BITS + 2) - ceil(log2(tiles.summands)) - 1 - ceil(log2(largest)))
    signal = np.rint(signal * grid) / grid
    thermal, shot = noise_constants(noise, temperature_kelvin, read_seconds)
    # Per cell sigma^2 = |I| (thermal / |V| + shot), in weight units squared; at 0 V, |I / V| is the slope of the curve.
    magnitude = np.abs(voltage)
    safe = np.where(magnitude > 0, magnitude, 1.0)

    def conductance(current: NDArray[np.floating[Any]], polynomial: Sequence[float]) -> NDArray[np.float64]:
        at_rest = polynomial[-2] if len(polynomial) > 1 else 0.0
        return np.asarray(np.where(magnitude > 0, np.sign(voltage) * current / safe, at_rest))

    of_low, of_high = conductance(low, curves.low), conductance(high, curves.high)
    factor = (thermal + shot * magnitude) / curves.unit**2
    # A pair: r_pos + r_neg = 1 + t; a single cell: r = (1 + t) / 2. Of a term, c_pos + c_neg = 2 t, or c = t.
    cells = 2 if tiles.sign == "pair" else 1
    per_total = cells / 2
    slope, level = (of_high - of_low) * factor, of_low * factor
    constant = cells * level + per_total * slope
    of_terms = [
        2 * conductance(current, term.voltage) * factor for current, term in zip(further, tiles.terms, strict=True)
    ]
    slopes = np.array([slope, *of_terms])
    step = np.abs(slopes).max(axis=1) / variance_limit(rows)
    step[step == 0] = 1.0
    fine = step[0] * 2.0**-20
    squared = (voltage / voltage[-1]) ** 2
    square_grid = 2.0 ** (53 - ceil(log2(NOISE_STEPS)) - ceil(log2(rows)))
    cell_step = 0.0 if tiles.noise is None or noise != "physical" else tiles.noise.step
    return _Tables(
        signal,
        np.rint(slopes / step[:, None]).astype(np.float32),
        step * per_total / tiles.total_scale,
        np.rint(constant / fine) * fine,
        np.rint(squared * square_grid),
        cell_step * (voltage[-1] / curves.unit) ** 2 / square_grid,
    )


def multiply(
    tiles: Tiles,
    codes: NDArray[np.int16],
    *,
    dac: DacTransfer | None = None,
    adc: Adcs | None = None,
    noise: NoiseModel = "physical",
    seed: int = 0,
    first_frame: int | NDArray[np.int64] = 0,
    temperature_kelvin: float = 300.0,
    read_seconds: float = READ_SECONDS,
    frames_per_block: int | None = None,
    words: Words | None = None,
    errors: Assigned | None = None,
) -> Product:
    """Multiply DAC codes by a programmed matrix, one conversion per phase, plane, tile and column.

    y_j = sum_phase 2^phase sum_tiles sum_p 2^(p cell_bits) ADC(I_pos - I_neg + noise), everything after the ADC exact,
    or with ``words`` saturating, see `Words`: they are those of codes, which every converter must give.
    With ideal device, converters and no noise, y is exactly sum_i q_ij code_i / 2^(bits-1).

    codes: int16 [frames, inputs], |code| <= 2^(bits-1); adc: one setting, or an object array that broadcasts to [row
    tiles, planes, column tiles], each an `AdcTransfer` or an object with a transfer function of its own, see
    `accelsim.kernels.converters.Transfer`; first_frame: number of the first frame, or of each, for the noise;
    errors: those of the converters, see `accelsim.kernels.converter_errors`. ``frames_per_block`` changes speed and
    memory only. Raises ValueError for codes or shapes that do not fit.
    """
    dac, adc = dac or DacTransfer(), AdcTransfer() if adc is None else adc
    if codes.ndim != 2 or codes.shape[1] != tiles.inputs:
        raise ValueError(f"expected codes [frames, {tiles.inputs}], found shape {codes.shape}")
    _check_codes(codes, dac)
    frames, (row_tiles, rows, width) = len(codes), tiles.difference.shape
    run = Conversion(tiles, dac, adc, noise, seed, first_frame, frames, words, errors)
    block = frames_per_block or min(max(_BLOCK_VALUES // width, FEWEST_FRAMES), _MOST_FRAMES)
    block = min(block, max(frames, 1))
    if tiles.gated is not None:
        factors = noise_constants(noise, temperature_kelvin, read_seconds)
        return _multiply_open(tiles, tiles.gated, codes, dac, run, block, factors, noise == "physical")
    tables = _tables(tiles, dac, noise, temperature_kelvin, read_seconds)
    signal = np.empty((block, width))
    variance = np.empty((block, width), np.float32)
    zero = tables.signal.shape[1] // 2
    steps = (tables.slope_step / tables.slope_step[0]).astype(np.float32)
    for k in range(row_tiles):
        # Rows without an input carry no current, only noise, the same in every frame: they need no product.
        used = min(rows, tiles.inputs - k * rows)
        held = [tiles.difference[k], *(term.difference[k] for term in tiles.terms)]
        weights = [one[:used].astype(np.float64) for one in held]
        totals: list[NDArray[np.float32]] = []
        at_rest, of_cells = np.zeros(0, np.float32), None
        if run.noisy:
            totals = [one.astype(np.float32) for one in (tiles.total[k], *(term.total[k] for term in tiles.terms))]
            at_rest = tables.slope[0, zero] * totals[0][used:].sum(axis=0)
            for step, slope, total in zip(steps[1:], tables.slope[1:], totals[1:], strict=True):
                at_rest = at_rest + step * slope[zero] * total[used:].sum(axis=0)
            if tiles.noise is not None and tables.square_step:
                of_cells = tiles.noise.variance[k, :used].astype(np.float64)
        for start in range(0, frames, block):
            part = codes[start : start + block, k * rows : k * rows + used]
            run.begin_tile(len(part))
            for phase, phase_codes in enumerate([part] if dac.phases == 1 else bit_phases(part, dac)):
                index = phase_codes.astype(np.intp) + zero
                n = len(part)
                np.matmul(tables.signal[0][index], weights[0], out=signal[:n])
                for of_code, term in zip(tables.signal[1:], weights[1:], strict=True):
                    signal[:n] += of_code[index] @ term
                constant = np.zeros(n)
                if run.noisy:
                    np.matmul(tables.slope[0][index], totals[0][:used], out=variance[:n])
                    variance[:n] += at_rest
                    for step, slope, total in zip(steps[1:], tables.slope[1:], totals[1:], strict=True):
                        variance[:n] += (slope[index] @ total[:used]) * step
                    if of_cells is not None:
                        variance[:n] += (tables.square[index] @ of_cells) * (tables.square_step / tables.slope_step[0])
                    constant = tables.constant[index].sum(axis=1) + (rows - used) * tables.constant[zero]
                run.convert(k, phase, start, signal[:n], variance[:n], constant, float(tables.slope_step[0]))
            run.end_tile(start)
    return run.product()


def _multiply_open(
    tiles: Tiles, gated: GatedTiles, codes: NDArray[np.int16], dac: DacTransfer, run: Conversion, block: int,
    factors: tuple[float, float], own_noise: bool,
) -> Product:  # fmt: skip
    """As `multiply`, where rows without a bit are open: an exact read of every array in every phase."""
    row_tiles, rows, width = tiles.difference.shape
    outputs, unit = tiles.outputs, tiles.curves.unit
    gated.check(dac)
    for k in range(row_tiles):
        for start in range(0, len(codes), block):
            part = codes[start : start + block, k * rows : (k + 1) * rows]
            run.begin_tile(len(part))
            for phase, bits in enumerate(bit_phases(part, dac)):
                signal, variance = np.empty((len(part), width)), np.empty((len(part), width), np.float32)
                for m in range(tiles.column_tiles):
                    read = gated.read(k, m, bits, *factors, own_noise)
                    first = m * tiles.tile_columns
                    used = min(tiles.tile_columns, outputs - first)
                    for p in range(tiles.planes):
                        column = slice(p * outputs + first, p * outputs + first + used)
                        if tiles.sign == "pair":
                            positive, negative = (read.currents[:, 2 * p + s, :used] for s in (0, 1))
                            signal[:, column] = (positive - negative) / unit
                            variance[:, column] = read.variance[:, 2 * p : 2 * p + 2, :used].sum(axis=1) / unit**2
                            continue
                        offset = tiles.planes * outputs + p * tiles.column_tiles + m
                        signal[:, column] = read.currents[:, p, :used] / unit
                        signal[:, offset] = read.currents[:, p, -1] / unit
                        variance[:, column] = read.variance[:, p, :used] / unit**2
                        variance[:, offset] = read.variance[:, p, -1] / unit**2
                run.convert(k, phase, start, signal, variance, np.zeros(len(part)), 1.0)
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
    errors: Assigned | None = None,
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
    run = Conversion(tiles, dac, adc, noise, seed, first_frame, frames, words, errors)
    zero = tables.signal.shape[1] // 2
    differences = np.stack([tiles.difference[0], *(term.difference[0] for term in tiles.terms)])
    totals = np.stack([tiles.total[0], *(term.total[0] for term in tiles.terms)])
    of_cells = np.zeros((taps, width), np.float32) if tiles.noise is None else tiles.noise.variance[0]
    block = min(max(_BLOCK_VALUES // width, FEWEST_FRAMES), _MOST_FRAMES)
    for start in range(0, frames, block):
        part = codes[step * start : step * (start + block - 1) + taps]
        run.begin_tile((len(part) - taps) // step + 1)
        for phase, phase_codes in enumerate([part] if dac.phases == 1 else bit_phases(part, dac)):
            signal, variance = _columns(
                phase_codes + np.int64(zero), differences, totals, of_cells, tables.signal, tables.slope,
                tables.constant, tables.slope_step, tables.square, tables.square_step, tiles.planes, run.noisy, step,
            )  # fmt: skip
            run.convert(0, phase, start, signal, variance, np.zeros(len(signal)), 1.0)
        run.end_tile(start)
    return run.product()


def _check_codes(codes: NDArray[np.int16], dac: DacTransfer) -> None:
    largest = int(np.abs(codes.astype(np.int32)).max(initial=0))
    if largest > dac.largest_code:
        top = dac.largest_code
        raise ValueError(f"a DAC of {dac.bits} bits has codes from -{top} to {top}, found {largest}")


@compiled(parallel=True)
def _columns(  # type: ignore[no-untyped-def]
    codes, difference, total, of_cells, signal_of, slope_of, constant_of, slope_step, square_of, square_step,
    planes, noisy, step,
):  # fmt: skip
    """Signal and variance of depthwise columns, as `multiply_depthwise` has the codes: [frames, planes * channels].

    difference, total: [1 + terms, taps, planes * channels].
    """
    terms, taps = difference.shape[:2]
    channels = codes.shape[1]
    frames = (len(codes) - taps) // step + 1
    signal = np.zeros((frames, planes * channels))
    variance = np.zeros((frames, planes * channels), np.float32)
    for t in numba.prange(frames):
        spread = np.zeros(channels)
        for p in range(planes):
            first = p * channels
            for n in range(terms):
                for i in range(taps):
                    for c in range(channels):
                        signal[t, first + c] += signal_of[n, codes[t * step + i, c]] * difference[n, i, first + c]
            if noisy:
                spread[:] = 0.0
                for i in range(taps):
                    for c in range(channels):
                        code = codes[t * step + i, c]
                        spread[c] += slope_step[0] * slope_of[0, code] * total[0, i, first + c] + constant_of[code]
                for n in range(1, terms):
                    for i in range(taps):
                        for c in range(channels):
                            spread[c] += slope_step[n] * slope_of[n, codes[t * step + i, c]] * total[n, i, first + c]
                if square_step > 0.0:
                    for i in range(taps):
                        for c in range(channels):
                            spread[c] += square_step * square_of[codes[t * step + i, c]] * of_cells[i, first + c]
                for c in range(channels):
                    variance[t, first + c] = spread[c]
    return signal, variance
