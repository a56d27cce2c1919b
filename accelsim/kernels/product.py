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

from dataclasses import dataclass
from math import ceil, log2

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.conversion import FEWEST_FRAMES, Conversion, Product, Words
from accelsim.kernels.converter_errors import Assigned
from accelsim.kernels.converters import Adcs, AdcTransfer, DacTransfer, bit_phases
from accelsim.kernels.crossbar import STATE_GRID_BITS, Tiles, variance_limit
from accelsim.kernels.read_noise import READ_SECONDS, NoiseModel, noise_constants

_BLOCK_VALUES = 1 << 19
_MOST_FRAMES = 512


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
    grid = 2.0 ** (53 - (STATE_GRID_BITS + 2) - ceil(log2(rows)) - 1 - ceil(log2(largest)))
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
    step = float(np.abs(slope).max()) / variance_limit(rows) or 1.0
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
    errors: Assigned | None = None,
) -> Product:
    """Multiply DAC codes by a programmed matrix, one conversion per phase, plane, tile and column.

    y_j = sum_phase 2^phase sum_tiles sum_p 2^(p cell_bits) ADC(I_pos - I_neg + noise), everything after the ADC exact,
    or with ``words`` saturating, see `Words`: they are those of codes, which every converter must give.
    With ideal device, converters and no noise, y is exactly sum_i q_ij code_i / 2^(bits-1).

    codes: int16 [frames, inputs], |code| <= 2^(bits-1); adc: one setting, or an object array that broadcasts to [row
    tiles, planes, column tiles], each an `AdcTransfer` or an object with a transfer function of its own, see
    `accelsim.kernels.converters.Transfer`; first_frame: number of the first frame, for the noise;
    errors: those of the converters, see `accelsim.kernels.converter_errors`. ``frames_per_block`` changes speed and
    memory only. Raises ValueError for codes or shapes that do not fit.
    """
    dac, adc = dac or DacTransfer(), AdcTransfer() if adc is None else adc
    if codes.ndim != 2 or codes.shape[1] != tiles.inputs:
        raise ValueError(f"expected codes [frames, {tiles.inputs}], found shape {codes.shape}")
    _check_codes(codes, dac)
    frames, (row_tiles, rows, width) = len(codes), tiles.difference.shape
    tables = _tables(tiles, dac, noise, temperature_kelvin, read_seconds)
    run = Conversion(tiles, dac, adc, noise, seed, first_frame, frames, words, errors)
    block = frames_per_block or min(max(_BLOCK_VALUES // width, FEWEST_FRAMES), _MOST_FRAMES)
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
    zero = len(tables.signal) // 2
    block = min(max(_BLOCK_VALUES // width, FEWEST_FRAMES), _MOST_FRAMES)
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
