"""Diagonal state-space kernels (S4D) on crossbars: one read per step gives the next state and the last output.

x[t] = A x[t-1] + B u[t], y[t-1] = Re(C x[t-1]), A diagonal and complex. A complex weight w = wr + j wi acts on (re, im)
as [[wr, -wi], [wi, wr]], and each real weight, split by sign into W = W+ - W- for voltages of one sign, as the four
cells [[W+, W-], [W-, W+]] between (v+, v-) and a pair of columns whose currents are subtracted. A kernel of N states
so takes 4N + 2 rows and columns: re+, re-, im+, im- of every state, then u+, u- (rows) and y+, y- (columns).

The weights share one range, w = scale / q * level with q = 2^(weight_bits - 1) - 1 (one bit: the levels are -1 and 1),
so a column of level steps becomes a state by one gain, scale / q, in front of its converter. State, input and output
are codes of the converters, round half to even, then clamp, see `accelsim.kernels.converters`.

A, B and C may have bits of their own, see `Bits`. A and B share the columns of the states, and a column has one gain,
so one conductance stands for one weight in both: level l of q is the share l / q of the one range, whatever q is, and
fewer bits are a coarser grid on it. A column's step is 1 / L of the range, L the least common multiple of q_a and q_b,
in which both have whole levels: L / q_a A x + L / q_b B u, with the gain scale / L. C has columns of its own. A range
of its own for B would be one of the input's codes, and for C one of the output's gain.

Sums are exact, hence the same for any order: weights lie on a grid of 2^-16 of a level step (coarser for L > 63) and
input amplitudes on one of 2^-12 of a code, on which float64 holds every partial sum. With ideal cells both are whole
numbers, and the recurrence is the plain integer one. Source: arXiv 2412.20215; the expansion is derived from its
equations.

Read noise goes into what is fed back: per step, the current of every pair of columns has one draw, a function of (seed,
crossbar, step, pair), with the variance of all cells of both columns, thermal, shot and the device's own, at the
voltage that each row has in this step. Rows without one, and those that no kernel lies on, have the thermal noise of
cells at rest. Sums of variances are exact too: sums of the two states of a pair lie on a grid of 2^-16, what a code
adds on one of 2^-20 of the largest, the device's own variances on one of 2^-20 of theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.arrays import ArrayModel, Seen
from accelsim.kernels.cells import RESTING, CellProgram
from accelsim.kernels.compile import compiled
from accelsim.kernels.converter_errors import Assigned, misread, misread_smoothly
from accelsim.kernels.converters import DacTransfer
from accelsim.kernels.counter_random import CONVERTER_NOISE_STREAM, STATE_STREAM, normals_into, split_seed
from accelsim.kernels.crossbar import PLANES_PER_TILE, CellNoise, Curves, ReadVariance, Terms, between_rows
from accelsim.kernels.read_noise import SILENT, ReadNoise, noise_constants

LARGEST_WEIGHT_BITS = 7
_WEIGHT_GRID_BITS = 16
_SIGNAL_GRID = 2.0**12
_TOTAL_GRID = 2.0**16
_SLOPE_STEPS = 2.0**20
_LEVEL_STEPS = 2.0**30


class Bits(NamedTuple):
    """Bits of the weights of A, B and C."""

    a: int
    b: int
    c: int

    @classmethod
    def of(cls, bits: int | Bits) -> Bits:
        """Return the bits of each, from those of each or of all."""
        return cls(bits, bits, bits) if isinstance(bits, int) else bits

    def cells(self) -> Bits:
        """Return the bits of the cells that hold levels of one sign."""
        return Bits(*(max(bits - 1, 1) for bits in self))

    def state_steps(self) -> int:
        """Return L, the steps of a state's column in the range: the least common multiple of q_a and q_b."""
        return math.lcm(largest_level(self.a), largest_level(self.b))


@dataclass(frozen=True)
class Kernels:
    """S4D kernels as programmed on crossbars, ``per_crossbar`` of them along the diagonal of each.

    ``weights`` float64 [.., crossbars, 2n, n], n = per_crossbar (2 states + 1): level steps that a row adds to a real
    column, (r_minus - r_plus) L, or q_c for one of an output; rows in pairs for inputs of either sign. ``row_state``
    float64 [.., crossbars, 2n]: sum of r over all cells of a row, those at rest included; ``columns``: how many.
    ``kernels``: as many as there are; ``levels``: the units of ``curves`` in the cells' range; ``steps`` [n]: those of
    a real column in it.

    The first axis of ``weights``, ``row_state`` and ``total``: the two curves, then every further term of the current,
    whose voltages are ``terms``; its coefficients stand for the states, c_plus - c_minus. ``total`` float64 [.., rows,
    n]: r, or c, of both cells of a pair, of all rows; ``noise`` [crossbars, 2n, n]: read noise of the cells' own.
    ``first_array``: the number of the first crossbar in draws.

    Behind wires the states are those of the effective cells, ``row_state`` gives the current of a row's driver while it
    drives alone, and ``coupling`` [crossbars, 2n, 2n] in S what it gives for each volt on another row; empty without.
    """

    weights: NDArray[np.float64]
    row_state: NDArray[np.float64]
    total: NDArray[np.float64]
    columns: int
    kernels: int
    states: int
    per_crossbar: int
    levels: int
    steps: NDArray[np.int64]
    curves: Curves
    terms: tuple[tuple[float, ...], ...]
    noise: CellNoise | None
    first_array: int
    coupling: NDArray[np.float64]


@dataclass(frozen=True)
class Recurrence:
    """What a recurrence gives, step by step, all utterances end to end.

    ``outputs`` int16 [steps, kernels]: codes of y[t-1] at step t, 0 at the first; ``saturated`` int32 and ``watts``
    float64 [steps, crossbars]: conversions that were clamped, and the power of the cells during the read;
    ``states`` int16 [utterances, kernels, states, 2]: the last state of each utterance, (re, im).
    """

    outputs: NDArray[np.int16]
    saturated: NDArray[np.int32]
    watts: NDArray[np.float64]
    states: NDArray[np.int16]


def side(states: int) -> int:
    """Return the rows, and the columns, of a kernel: 4 states + 2."""
    return 4 * states + 2


def largest_level(weight_bits: int) -> int:
    """Return q = 2^(weight_bits - 1) - 1, and 1 for weights of one bit, which are -1 or 1."""
    return max((1 << (weight_bits - 1)) - 1, 1)


def weight_grid(steps: int) -> float:
    """Return how many parts of a step weights are rounded to: 2^16, fewer where the range has more than 63 steps."""
    finest = LARGEST_WEIGHT_BITS - 1  # bits of the largest level that a matrix alone has
    return 2.0 ** (_WEIGHT_GRID_BITS + finest - max(finest, steps.bit_length()))


def quantised(weights: NDArray[np.floating[Any]], scale: float, weight_bits: int) -> NDArray[np.int8]:
    """Round weights to levels of a fixed range: level = round(clip(w / scale, -1, 1) q); one bit: the sign of w."""
    if weight_bits == 1:
        return np.where(weights < 0, -1, 1).astype(np.int8)
    return np.rint(np.clip(weights / scale, -1, 1) * largest_level(weight_bits)).astype(np.int8)


def expand(a: NDArray[np.integer[Any]], b: NDArray[np.integer[Any]], c: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Lay kernels out as cells: levels uint8 [kernels, 4N + 2, 4N + 2], `RESTING` where no weight is.

    a, b, c: signed levels [kernels, N, 2], (re, im). Per state 16 cells of A, 8 of B and 8 of C.
    """
    kernels, states, _ = a.shape
    n = 2 * states + 1
    real = np.zeros((kernels, n, n), np.int64)  # [input, output]: x' = real^T (x, u)
    used = np.zeros((n, n), bool)
    re, im, last = np.arange(0, n - 1, 2), np.arange(1, n - 1, 2), n - 1
    for i, j, weight in (
        (re, re, a[..., 0]), (im, re, -a[..., 1]), (re, im, a[..., 1]), (im, im, a[..., 0]),
        (last, re, b[..., 0]), (last, im, b[..., 1]), (re, last, c[..., 0]), (im, last, -c[..., 1]),
    ):  # fmt: skip
        real[:, i, j], used[i, j] = weight, True
    cells = np.full((kernels, 2 * n, 2 * n), RESTING, np.uint8)
    for s in (0, 1):
        for t in (0, 1):
            part = np.maximum(real if s == t else -real, 0)
            cells[:, s::2, t::2] = np.where(used, part, RESTING)
    return cells


def program_kernels(
    a: NDArray[np.integer[Any]],
    b: NDArray[np.integer[Any]],
    c: NDArray[np.integer[Any]],
    program: CellProgram,
    curves: Curves,
    *,
    weight_bits: int | Bits,
    rows: int = 64,
    columns: int = 64,
    first_array: int = 0,
    terms: Terms | None = None,
    read_variance: ReadVariance | None = None,
    model: ArrayModel | None = None,
) -> Kernels:
    """Program kernels onto crossbars of rows x columns cells, as many per crossbar as fit along its diagonal.

    a, b, c: signed levels [kernels, N, 2], |level| <= q; crossbar k is array ``first_array`` + k; curves as the device
    gives them for cells of max(weight_bits - 1, 1) bits, those of the most bits; ``terms`` and ``read_variance``: the
    device's, of states as they are read; ``model``: wires, gains and the order of all rows of a crossbar. Raises
    ValueError for kernels larger than a crossbar and for levels out of range.
    """
    kernels, states, _ = a.shape
    size, of_parts = side(states), Bits.of(weight_bits)
    per_crossbar = min(rows, columns) // size
    if not per_crossbar:
        raise ValueError(f"a kernel of {states} states needs {size} x {size} cells, a crossbar has {rows} x {columns}")
    for bits, part in zip(of_parts, (a, b, c), strict=True):
        if not 1 <= bits <= LARGEST_WEIGHT_BITS:
            raise ValueError(f"weights must have from 1 to {LARGEST_WEIGHT_BITS} bits, found {bits}")
        q = largest_level(bits)
        if np.abs(part.astype(np.int64)).max(initial=0) > q or (bits == 1 and (part == 0).any()):
            allowed = "-1 or 1" if bits == 1 else f"from {-q} to {q}"
            raise ValueError(f"the levels of {bits}-bit weights must be {allowed}")
    crossbars = -(-kernels // per_crossbar)
    levels = np.full((crossbars, rows, columns), RESTING, np.uint8)
    cell_bits = of_parts.cells()
    of_cells = np.full((crossbars, rows, columns), max(cell_bits), np.uint8)
    for k, block in enumerate(expand(a, b, c)):
        first = k % per_crossbar * size
        place = k // per_crossbar, slice(first, first + size), slice(first, first + size)
        levels[place] = block
        of_cells[place][:-2, :-2], of_cells[place][-2:], of_cells[place][:, -2:] = cell_bits
    arrays = first_array + np.arange(crossbars)
    order = np.tile(np.arange(rows), (crossbars, 1))
    if model is not None:
        if model.gated:
            raise ValueError("states are fed back as voltages on all rows, of which none is open")
        # In steps that cells of all bits share.
        shared = math.lcm(*((1 << bits) - 1 for bits in cell_bits))
        conducting = np.where(levels == RESTING, 0, levels) * (shared // ((1 << of_cells.astype(np.int64)) - 1))
        order = model.order(conducting, per_crossbar * size)
    there, back = order[..., None], np.argsort(order, axis=1)[..., None]
    levels, of_cells = (np.take_along_axis(one, there, axis=1) for one in (levels, of_cells))
    mixed = () if len(set(cell_bits)) == 1 else (of_cells,)
    programmed = program(levels, arrays, *mixed)
    seen = Seen(programmed, None, None)
    if model is not None:
        fresh = programmed if model.fresh is None else model.fresh(levels, arrays, *mixed)
        seen = model.seen(programmed, fresh, arrays)
    cells = np.take_along_axis(seen.states, back, axis=1).astype(np.float64)
    of_signal, of_noise = cells, cells
    if model is not None and seen.gains is not None:
        of_signal, of_noise = (model.with_gains(cells, seen.gains, power).astype(np.float64) for power in (1, 2))
    span = per_crossbar * size
    # In steps of each column, the output the last of a kernel's.
    steps = np.array([*[of_parts.state_steps()] * (2 * states), largest_level(of_parts.c)] * per_crossbar)
    grid = weight_grid(of_parts.state_steps())
    voltages = () if terms is None else terms.voltages

    def held(states_of_cells: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return states, and the coefficients of every further term of the current."""
        return np.stack([states_of_cells, *([] if terms is None else terms.of(states_of_cells))])

    plus, minus = slice(0, span, 2), slice(1, span, 2)
    signal, total = held(of_signal)[:, :, :span], held(of_noise)
    weights = signal[..., plus] - signal[..., minus]
    weights[0] *= -1.0  # the current falls with a state, and grows with the coefficient of a further term
    row_state = held(cells)[:, :, :span].sum(axis=3)
    coupling = np.zeros((crossbars, 0, 0))
    if model is not None and seen.drivers is not None:
        drivers = np.take_along_axis(np.take_along_axis(seen.drivers, back, 1), back.swapaxes(1, 2), 2)[:, :span, :span]
        current = np.diagonal(drivers, axis1=1, axis2=2) * model.volts
        for polynomial, coefficients in zip(voltages, row_state[1:], strict=True):
            current = current - np.polyval(polynomial, model.volts) * coefficients
        row_state[0], coupling = model.driven_state(current, columns), between_rows(drivers)
    noise = None
    if read_variance is not None:
        variance = read_variance(cells[:, :span, :span])
        if seen.gains is not None:
            variance = variance * seen.gains[:, None, :span] ** 2
        noise = CellNoise.of(variance[..., plus] + variance[..., minus])
    return Kernels(
        np.rint(weights * steps * grid) / grid,
        row_state,
        np.rint((total[..., plus] + total[..., minus]) * _TOTAL_GRID) / _TOTAL_GRID,
        columns, kernels, states, per_crossbar, largest_level(max(of_parts)), steps, curves, voltages, noise,
        first_array, coupling,
    )  # fmt: skip


def recurrence(
    kernels: Kernels,
    inputs: NDArray[np.int16],
    starts: NDArray[np.int64],
    *,
    dac: DacTransfer,
    state_gain: float,
    output_gain: float,
    noise: ReadNoise = SILENT,
    errors: Assigned | None = None,
    seed: int = 0,
    first_tile: int = 0,
    first_step: int = 0,
) -> Recurrence:
    """Run every kernel over all steps, states 0 where an utterance starts.

    Per read z_j = sum_i s(code_i) D_ij + noise over rows, s(code) the amplitude of a voltage in codes and D the level
    steps; x[t] = clamp(round(state_gain z)), y[t-1] = clamp(round(output_gain z)), both within +-2^(bits - 1).

    inputs: codes of u [steps, kernels]; starts: offsets of the utterances [utterances + 1]; ``dac``: the converter of
    every row, ``amplitude``; ``state_gain`` = scale / L; errors: those of the converters, behind the gain,
    [crossbars, 1, pairs of columns]. Noise of cells follows from ``seed``, the number of the crossbar's array, the
    step, number ``first_step`` + its own, and the pair; that of a conversion from the same, the crossbar being number
    ``first_tile`` + its own. Raises ValueError for codes out of range or shapes that do not fit.
    """
    if inputs.ndim != 2 or inputs.shape[1] != kernels.kernels:
        raise ValueError(f"expected codes [steps, {kernels.kernels}], found shape {inputs.shape}")
    if dac.phases != 1:
        raise ValueError("states are fed back as one voltage each: the DAC's mode must be 'amplitude'")
    top = dac.largest_code
    largest = int(np.abs(inputs.astype(np.int32)).max(initial=0))
    if largest > top:
        raise ValueError(f"a DAC of {dac.bits} bits has codes from -{top} to {top}, found {largest}")
    voltage = np.arange(top + 1) / top * dac.full_scale_volts
    curves, amperes = kernels.curves, kernels.curves.unit * kernels.levels
    low, high = np.polyval(curves.low, voltage), np.polyval(curves.high, voltage)
    further = [np.polyval(polynomial, voltage) for polynomial in kernels.terms]
    grid = _SIGNAL_GRID
    if further:  # more products in a sum, and larger ones
        share = max(1.0, *(float(np.abs(current).max()) / amperes for current in further))
        grid /= 2.0 ** (math.ceil(math.log2(share)) + math.ceil(math.log2(1 + len(further))))
    signal = np.array([low - high, *further]) / amperes * top
    crossbars = kernels.weights.shape[1]
    pairs = crossbars, 1, kernels.weights.shape[3]
    if errors is not None and errors.converter.shape != pairs:
        raise ValueError(f"converters of columns {errors.converter.shape} do not fit {pairs} (crossbars, 1, pairs)")
    key, seed_high = split_seed(seed)
    shape = len(inputs), crossbars
    outputs = np.zeros(inputs.shape, np.int16)
    saturated, watts = np.zeros(shape, np.int32), np.zeros(shape)
    last = np.zeros((len(starts) - 1, kernels.kernels, 2 * kernels.states), np.int16)
    spread = _spread(kernels, voltage, noise)
    _recur(
        kernels.weights, kernels.row_state, kernels.states, kernels.per_crossbar, inputs, starts,
        np.rint(signal * grid) / grid, voltage * low * kernels.columns,
        voltage * np.array([high - low, *further]), kernels.coupling, voltage, float(top), state_gain, output_gain,
        noise.model != "off", *spread, kernels.total, kernels.steps * (top / amperes), kernels.first_array,
        outputs, saturated, watts, last,
        errors is not None,
        np.empty((pairs[0], 0), np.int64) if errors is None else errors.converter[:, 0],
        np.empty((pairs[0], 4, 0)) if errors is None else errors.of_columns()[:, :, 0],
        np.empty((0, 0)) if errors is None else errors.errors.inl,
        0.0 if errors is None else errors.errors.noise,
        key, seed_high, np.uint64(first_tile), np.uint64(first_step),
    )  # fmt: skip
    return Recurrence(outputs, saturated, watts, last.reshape(*last.shape[:2], kernels.states, 2))


class _Spread(NamedTuple):
    """The variance of a pair of columns, in A^2: ``rest`` [crossbars, n] without a voltage, and what a code adds.

    ``level`` [codes], times ``level_step``, whatever the cells are; ``slope`` [1 + terms, codes], times ``slope_step``,
    per unit of the sum of their states, or coefficients; ``square`` [codes], times ``square_step``, per step of their
    own variance, ``own`` [crossbars, 2n, n]. All but ``rest`` are whole numbers.
    """

    rest: NDArray[np.float64]
    level: NDArray[np.float64]
    level_step: float
    slope: NDArray[np.float64]
    slope_step: NDArray[np.float64]
    square: NDArray[np.float64]
    square_step: float
    own: NDArray[np.float32]


def _spread(kernels: Kernels, voltage: NDArray[np.float64], noise: ReadNoise) -> _Spread:
    """Return what sigma^2 = |I| (thermal / |V| + shot) of all cells of a pair of columns is made of."""
    thermal, shot = noise_constants(noise.model, noise.temperature_kelvin, noise.read_seconds)
    curves, factor = kernels.curves, thermal + shot * voltage

    def at(polynomial: tuple[float, ...]) -> NDArray[np.float64]:
        """I / V, with the slope of the curve at 0 V, times the factor."""
        return np.polyval(polynomial[:-1], voltage) * factor

    of_low = at(curves.low)
    level = 2 * of_low
    slope = np.array([at(curves.high) - of_low, *(at(polynomial) for polynomial in kernels.terms)])
    rows = kernels.total.shape[2]
    rest = rows * level[0] + np.tensordot(slope[:, 0], kernels.total.sum(axis=2), 1)
    level, slope = level - level[0], slope - slope[:, :1]
    level_step = float(np.abs(level).max()) / _LEVEL_STEPS or 1.0
    slope_step = np.abs(slope).max(axis=1) / _SLOPE_STEPS
    slope_step[slope_step == 0] = 1.0
    top = len(voltage) - 1
    own, square_step = np.zeros((0, 0, 0), np.float32), 0.0
    if kernels.noise is not None and noise.model == "physical":
        own, square_step = kernels.noise.variance, kernels.noise.step * (voltage[-1] / top) ** 2
    return _Spread(
        rest, np.rint(level / level_step), level_step, np.rint(slope / slope_step[:, None]), slope_step,
        np.arange(top + 1.0) ** 2, square_step, own,
    )  # fmt: skip


@compiled(parallel=True)
def _recur(  # type: ignore[no-untyped-def]
    weights, row_state, states, per_crossbar, inputs, starts,
    signal, fixed_watts, state_watts, coupling, voltage, top, state_gain, output_gain,
    noisy, rest, level, level_step, slope, slope_step, square, square_step, variance, total, scale, first_array,
    outputs, saturated, watts, last,
    erring, converter, terms, inl, own_noise, key, seed_high, first_tile, first_step,
):  # fmt: skip
    utterances, (parts, crossbars), kernels = len(starts) - 1, weights.shape[:2], inputs.shape[1]
    width = 2 * states + 1
    groups = -(-per_crossbar * width // 4)
    for job in numba.prange(utterances * crossbars):
        u, b = job // crossbars, job % crossbars
        first = b * per_crossbar
        placed = min(per_crossbar, kernels - first)
        n = placed * width
        mine, of_curves = weights[0, b], signal[0]
        codes = np.zeros(n, np.int64)
        z = np.zeros(n)
        normals = np.zeros(4 * groups, np.float32)
        spread = np.zeros((parts + 1, n))
        gains = np.full(n, state_gain)
        gains[width - 1 :: width] = output_gain
        own = np.zeros(4 * groups, np.float32)
        array = (first_tile + np.uint64(b)) * np.uint64(PLANES_PER_TILE)
        for t in range(starts[u], starts[u + 1]):
            step = first_step + np.uint64(t)
            for k in range(placed):
                codes[k * width + width - 1] = inputs[t, first + k]
            z[:] = 0.0
            power = 0.0
            for i in range(n):
                if codes[i] != 0:
                    row = 2 * i + (codes[i] < 0)
                    magnitude = abs(codes[i])
                    amplitude = of_curves[magnitude]
                    line = mine[row]
                    for j in range(n):
                        z[j] += amplitude * line[j]
                    power += fixed_watts[magnitude] + state_watts[0, magnitude] * row_state[0, b, row]
                    for k in range(1, parts):
                        amplitude = signal[k, magnitude]
                        line = weights[k, b, row]
                        for j in range(n):
                            z[j] += amplitude * line[j]
                        power += state_watts[k, magnitude] * row_state[k, b, row]
                    if coupling.shape[1] > 0:
                        current = 0.0
                        for k in range(n):
                            if codes[k] != 0:
                                current += coupling[b, row, 2 * k + (codes[k] < 0)] * voltage[abs(codes[k])]
                        power += voltage[magnitude] * current
            if noisy:
                spread[:] = 0.0
                common = 0.0
                for i in range(n):
                    if codes[i] != 0:
                        row = 2 * i + (codes[i] < 0)
                        magnitude = abs(codes[i])
                        common += level[magnitude]
                        for k in range(parts):
                            more = slope[k, magnitude]
                            of_both = total[k, b, row]
                            for j in range(n):
                                spread[k, j] += more * of_both[j]
                        if square_step > 0.0:
                            squared = square[magnitude]
                            of_cells = variance[b, row]
                            for j in range(n):
                                spread[parts, j] += squared * of_cells[j]
                stream = np.uint64(STATE_STREAM)
                normals_into(normals, groups, np.uint64(0), step, np.uint64(first_array + b), seed_high, key, stream)
                for j in range(n):
                    squares = rest[b, j] + common * level_step
                    for k in range(parts):
                        squares += spread[k, j] * slope_step[k]
                    squares += spread[parts, j] * square_step
                    z[j] += np.sqrt(max(squares, 0.0)) * scale[j] * np.float64(normals[j])
            watts[t, b] = power
            for j in range(n):
                z[j] *= gains[j]
            if erring:
                for j in range(n):
                    gain, offset, bow, s_curve = terms[b, 0, j], terms[b, 1, j], terms[b, 2, j], terms[b, 3, j]
                    if inl.shape[1]:
                        z[j] = misread(z[j], top, gain, offset, bow, s_curve, inl[converter[b, j]])
                    else:
                        z[j] = misread_smoothly(z[j], top, gain, offset, bow, s_curve)
                if own_noise > 0:
                    stream = np.uint64(CONVERTER_NOISE_STREAM)
                    normals_into(own, groups, np.uint64(0), step, array, seed_high, key, stream)
                    for j in range(n):
                        z[j] += own_noise * np.float64(own[j])
            clamped = 0
            for k in range(placed):
                base = k * width
                for j in range(base, base + width - 1):
                    rounded = np.rint(z[j])
                    code = min(max(rounded, -top), top)
                    clamped += code != rounded
                    codes[j] = np.int64(code)
                rounded = np.rint(z[base + width - 1])
                code = min(max(rounded, -top), top)
                clamped += code != rounded
                outputs[t, first + k] = np.int16(code)
            saturated[t, b] = clamped
        for k in range(placed):
            for j in range(width - 1):
                last[u, first + k, j] = codes[k * width + j]


def radius(a: NDArray[np.integer[Any]], state_gain: float) -> NDArray[np.float64]:
    """Return |a| of every state, [kernels, N], from signed levels [kernels, N, 2]; below 1 a state is stable."""
    re, im = a[..., 0].astype(np.float64), a[..., 1].astype(np.float64)
    return np.asarray(np.hypot(re, im) * state_gain)


def impulse_responses(
    a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]], c: NDArray[np.floating[Any]], length: int
) -> NDArray[np.float64]:
    """Return h[k] = Re(sum_n c_n a_n^(k-1) b_n) for k >= 1 and h[0] = 0, [kernels, length], from [kernels, N, 2]."""
    complex_a, complex_b, complex_c = (w[..., 0] + 1j * w[..., 1].astype(np.float64) for w in (a, b, c))
    response = np.zeros((len(a), length))
    power = complex_b * complex_c
    for k in range(1, length):
        response[:, k] = power.sum(axis=1).real
        power = power * complex_a
    return response


def convolve(
    a: NDArray[np.floating[Any]],
    b: NDArray[np.floating[Any]],
    c: NDArray[np.floating[Any]],
    inputs: NDArray[np.floating[Any]],
    starts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Run the same kernels in float by convolution, y[t] = sum_k h[k] u[t - k], without rounding or saturation.

    a, b, c: [kernels, N, 2], (re, im); inputs [steps, kernels]; starts: offsets of the utterances. Returns [steps,
    kernels], delayed by one step as the crossbar's outputs are.
    """
    from scipy.fft import irfft, next_fast_len, rfft  # takes a sixth of a second, and few runs convolve

    lengths = np.diff(starts)
    response = impulse_responses(a, b, c, int(lengths.max(initial=1)))
    outputs = np.zeros(inputs.shape)
    for first, length in zip(starts, lengths, strict=False):
        points = next_fast_len(int(2 * length), real=True)
        part = slice(int(first), int(first + length))
        spectrum = rfft(inputs[part], points, axis=0) * rfft(response[:, :length].T, points, axis=0)
        outputs[part] = irfft(spectrum, points, axis=0)[:length]
    return outputs
