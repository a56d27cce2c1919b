"""The Synaptogen model of a ReRAM cell: what it does at every voltage pulse, cell by cell, drawn from counters.

A cell has four features per cycle: resistance in the high state HRS, set voltage, resistance in the low state LRS and
reset voltage. Offsets and scales differ from cell to cell (a mixture of Gaussians), the course over the cycles is a
vector-autoregressive process of order 10 passed through polynomials. Source: Hennen et al., Synaptogen, with the
parameters and the programming of arXiv 2505.24721. Every draw is a function of (seed, array, cell, draw), so that a
cell is the same whatever else is programmed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.counter_random import (
    CELL_STREAM,
    cell_normals_into,
    cell_uniforms_into,
    normal_pair,
    philox,
    split_seed,
    uniform,
)

FEATURES = 4
ORDER = 10
PULSES_PER_WEAR_CYCLE = 15
WEAR_VOLTS = 2.0

# Counters of a cell: 0 mixture, 1 and 2 its offset and scale, then one per cycle; wear pulses from the middle up.
_FIRST_CYCLE = 3
_FIRST_WEAR = 1 << 31

# The state of a cell between pulses, as a vector.
_R, _R_HRS, _SET_VOLTS, _R_LRS, _FEATURE_RESET_VOLTS, _RESET_VOLTS, _IN_HRS, _IN_LRS, _CYCLE = range(9)
_STATE = 9
_CHUNK_CELLS = 512
_LN10 = float(np.log(10.0))


@dataclass(frozen=True)
class Parameters:
    """The numbers of the model as arrays.

    low, high: limiting I-V curves, A/V^n, highest power first; reference_volts: where a resistance is read (U0);
    full_reset_volts: Umax; eta: exponent of the transition; weights [k], mean [k, 8] and factor [k, 8, 8] (lower
    triangular) of the mixture; feedback [4, 44]: innovations, then the last 10 feature vectors, the oldest first;
    gamma [4, 5]: polynomials, highest power first.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    reference_volts: float
    full_reset_volts: float
    eta: float
    weights: NDArray[np.float64]
    mean: NDArray[np.float64]
    factor: NDArray[np.float64]
    feedback: NDArray[np.float64]
    gamma: NDArray[np.float64]

    def arguments(self) -> tuple[Any, ...]:
        """Return what the compiled functions take."""
        constants = np.array([self.reference_volts, self.full_reset_volts, self.eta])
        return (
            self.low, self.high, constants, np.cumsum(self.weights) / self.weights.sum(),
            self.mean, self.factor, self.feedback, self.gamma,
        )  # fmt: skip


@dataclass(frozen=True)
class Sequence:
    """How cells are programmed.

    First ``wear_cycles`` of 15 pulses with random voltages in +-2 V; then a full reset at ``reset_volts``; then, for
    any level above 0, a set at ``set_volts``; then, for a level between the lowest and the highest, a partial reset at
    ``partial_volts[level]`` (entries of the outer levels are not used).

    Program-and-verify (``verify_pulses`` > 0): the cell is read at ``read_volts`` after every pulse; too much current
    for its level, ``targets[level]`` +- ``tolerance`` A, and the next reset pulse is ``verify_step_volts`` higher; too
    little, and it is set anew. A cell in an outer level starts over with a full reset and, if it is the highest, a set.
    The cell keeps what it has after ``verify_pulses`` further pulses.
    """

    wear_cycles: int
    reset_volts: float
    set_volts: float
    partial_volts: NDArray[np.float64]
    verify_pulses: int = 0
    verify_step_volts: float = 0.01
    read_volts: float = 0.6
    targets: NDArray[np.float64] | None = None
    tolerance: float = 0.0


@numba.njit(inline="always")
def _polynomial(coefficients, x):  # type: ignore[no-untyped-def]
    value = 0.0
    for n in range(len(coefficients)):
        value = value * x + coefficients[n]
    return value


@numba.njit
def _draw_chunk(uniforms, drawn, count, first_cell, array, seed_high, key):  # type: ignore[no-untyped-def]
    """Draw what fresh cells need, many at once: the mixture's uniform, 8 normals, the first cycle's 4 innovations."""
    stream = np.uint64(CELL_STREAM)
    cell_uniforms_into(uniforms, count, np.uint64(0), first_cell, array, seed_high, key, stream)
    for block in range(3):
        part = drawn[4 * block : 4 * block + 4]
        cell_normals_into(part, count, np.uint64(1 + block), first_cell, array, seed_high, key, stream)


@numba.njit
def _draw_cell(u, z, cumulative, mean, factor, offset_and_scale):  # type: ignore[no-untyped-def]
    """A cell's offsets and scales, [mu; sigma] = mean_k + L_k N(0, I), with k from the mixture."""
    k = _component(u, cumulative)
    center, triangle = mean[k], factor[k]
    for row in range(2 * FEATURES):
        value = center[row]
        for column in range(row + 1):
            value += triangle[row, column] * z[column]
        offset_and_scale[row] = value


@numba.njit
def _component(u, cumulative):  # type: ignore[no-untyped-def]
    """The component of the mixture that a uniform chooses."""
    k = 0
    while k < len(cumulative) - 1 and u >= cumulative[k]:
        k += 1
    return k


@numba.njit
def _first_feature(feature, center, triangle, drawn, c, feedback, gamma):  # type: ignore[no-untyped-def]
    """One feature of the first cycle of cell c of a chunk, as `_draw_cell` and `_draw_cycle` give it."""
    offset = center[feature]
    for column in range(feature + 1):
        offset += triangle[feature, column] * drawn[column, c]
    scale = center[FEATURES + feature]
    for column in range(FEATURES + feature + 1):
        scale += triangle[FEATURES + feature, column] * drawn[column, c]
    x = 0.0
    for n in range(FEATURES):
        x += feedback[feature, n] * drawn[2 * FEATURES + n, c]
    return offset + scale * _polynomial(gamma[feature], x)


@numba.njit
def _innovate(cycle, cell, array, seed_high, key, z):  # type: ignore[no-untyped-def]
    """Draw the four innovations of a cycle into z."""
    w0, w1, w2, w3 = philox(np.uint64(_FIRST_CYCLE + cycle), cell, array, seed_high, key, np.uint64(CELL_STREAM))
    z[0], z[1] = normal_pair(w0, w1)
    z[2], z[3] = normal_pair(w2, w3)


@numba.njit
def _draw_cycle(state, history, offset_and_scale, feedback, gamma, g_low, g_span, z):  # type: ignore[no-untyped-def]
    """The features of the next cycle: x = feedback [z; last ten x], feature = offset + scale gamma(x)."""
    cycle = int(state[_CYCLE])
    newest = cycle % ORDER  # the slot of x, which until now holds the vector of ten cycles ago
    for feature in range(FEATURES):
        x = 0.0
        for n in range(FEATURES):
            x += feedback[feature, n] * z[n]
        for lag in range(1, min(cycle, ORDER) + 1):
            slot = (cycle - lag) % ORDER
            place = FEATURES * (1 + ORDER - lag)
            for n in range(FEATURES):
                x += feedback[feature, place + n] * history[slot, n]
        z[FEATURES + feature] = x
    for feature in range(FEATURES):
        x = z[FEATURES + feature]
        history[newest, feature] = x
        value = offset_and_scale[feature] + offset_and_scale[FEATURES + feature] * _polynomial(gamma[feature], x)
        if feature == 0:
            state[_R_HRS] = (g_low - np.exp(-_LN10 * value)) / g_span
        elif feature == 2:
            state[_R_LRS] = (g_low - 1.0 / value) / g_span
        elif feature == 1:
            state[_SET_VOLTS] = value
        else:
            state[_FEATURE_RESET_VOLTS] = value
    state[_CYCLE] = cycle + 1


@numba.njit
def _pulse(  # type: ignore[no-untyped-def]
    volts, state, history, cell, array, seed_high, key, low, high, constants, offset_and_scale, feedback, gamma,
    g_low, g_span, z,
):  # fmt: skip
    """Apply one voltage pulse: set, partial reset or full reset, or nothing."""
    full_volts, eta = constants[1], constants[2]
    if state[_IN_LRS] == 0.0 and volts <= state[_SET_VOLTS]:
        state[_R] = state[_R_LRS]
        state[_RESET_VOLTS] = state[_FEATURE_RESET_VOLTS]
        state[_IN_LRS] = 1.0
        state[_IN_HRS] = 0.0
    elif state[_IN_HRS] == 0.0 and volts > state[_RESET_VOLTS]:
        if state[_IN_LRS] == 1.0:
            _innovate(int(state[_CYCLE]), cell, array, seed_high, key, z)
            _draw_cycle(state, history, offset_and_scale, feedback, gamma, g_low, g_span, z)
        state[_IN_LRS] = 0.0
        if volts >= full_volts:
            state[_R] = state[_R_HRS]
            state[_IN_HRS] = 1.0
        else:
            # The transition curve I = a |Umax - U|^eta + c runs from the state at the reset voltage to HRS at Umax.
            x1, r, r_hrs = state[_RESET_VOLTS], state[_R], state[_R_HRS]
            y1 = (1.0 - r) * _polynomial(low, x1) + r * _polynomial(high, x1)
            y2 = (1.0 - r_hrs) * _polynomial(low, full_volts) + r_hrs * _polynomial(high, full_volts)
            current = (y1 - y2) * (abs(full_volts - volts) / abs(full_volts - x1)) ** eta + y2
            at_low, at_high = _polynomial(low, volts), _polynomial(high, volts)
            state[_R] = (at_low - current) / (at_low - at_high)
            state[_RESET_VOLTS] = volts


@numba.njit
def _start(  # type: ignore[no-untyped-def]
    state, history, u, drawn, cumulative, mean, factor, offset_and_scale, feedback, gamma, g_low, g_span, z,
):  # fmt: skip
    """A fresh cell from its uniform and its 12 normals: drawn, first cycle drawn, in HRS."""
    for n in range(2 * FEATURES):
        z[n] = drawn[n]
    _draw_cell(u, z, cumulative, mean, factor, offset_and_scale)
    for n in range(FEATURES):
        z[n] = drawn[2 * FEATURES + n]
    state[_CYCLE] = 0.0
    _draw_cycle(state, history, offset_and_scale, feedback, gamma, g_low, g_span, z)
    state[_R] = state[_R_HRS]
    state[_RESET_VOLTS] = state[_FEATURE_RESET_VOLTS]
    state[_IN_HRS] = 1.0
    state[_IN_LRS] = 0.0


@numba.njit(inline="always")
def _switches(read_volts, in_low, in_high, set_volts, reset_volts):  # type: ignore[no-untyped-def]
    """Whether a read of either sign would switch a cell, by the two rules of `_pulse`."""
    return (not in_low and -read_volts <= set_volts) or (not in_high and read_volts > reset_volts)


@numba.njit
def _outer_cell(  # type: ignore[no-untyped-def]
    lowest, set_volts, read_volts, u, drawn, c, cumulative, mean, factor, feedback, gamma, g_low, g_span
):
    """State, pulses and whether a read switches it, of a fresh cell that is reset, and set unless it is ``lowest``.

    It is in HRS, which a reset leaves alone, and a set takes it to LRS: two features say it all.
    """
    k = _component(u, cumulative)
    threshold = _first_feature(1, mean[k], factor[k], drawn, c, feedback, gamma)
    if not lowest and set_volts <= threshold:
        low_ohm = _first_feature(2, mean[k], factor[k], drawn, c, feedback, gamma)
        reset = _first_feature(3, mean[k], factor[k], drawn, c, feedback, gamma)
        return (g_low - 1.0 / low_ohm) / g_span, 2, _switches(read_volts, True, False, threshold, reset)
    decades = _first_feature(0, mean[k], factor[k], drawn, c, feedback, gamma)
    state = (g_low - np.exp(-_LN10 * decades)) / g_span
    return state, 1 if lowest else 2, _switches(read_volts, False, True, threshold, 0.0)


@compiled(parallel=True)
def _program_outer(  # type: ignore[no-untyped-def]
    levels, arrays, first_cell, key, seed_high, low, high, constants, cumulative, mean, factor, feedback, gamma,
    set_volts, read_volts,
):  # fmt: skip
    """`_program` of fresh cells that all go to an outer level, without wear or verify: it compiles in a fraction."""
    cells = levels.shape[1]
    g_low = _polynomial(low, constants[0]) / constants[0]
    g_span = g_low - _polynomial(high, constants[0]) / constants[0]
    chunks_per_array = -(-cells // _CHUNK_CELLS)
    chunks = len(arrays) * chunks_per_array
    states = np.empty(levels.shape, np.float32)
    pulses, reached = np.zeros(chunks, np.int64), np.zeros(chunks, np.int64)
    for chunk in numba.prange(chunks):
        n, begin = chunk // chunks_per_array, (chunk % chunks_per_array) * _CHUNK_CELLS
        count = min(_CHUNK_CELLS, cells - begin)
        uniforms, drawn = np.empty(_CHUNK_CELLS), np.empty((3 * FEATURES, _CHUNK_CELLS), np.float32)
        _draw_chunk(uniforms, drawn, count, np.uint64(first_cell + begin), np.uint64(arrays[n]), seed_high, key)
        for c in range(count):
            states[n, begin + c], given, switched = _outer_cell(
                levels[n, begin + c] == 0, set_volts, read_volts, uniforms[c], drawn, c, cumulative, mean, factor,
                feedback, gamma, g_low, g_span,
            )  # fmt: skip
            pulses[chunk] += given
            reached[chunk] += switched
    return states, pulses, reached


@compiled(parallel=True)
def _program(  # type: ignore[no-untyped-def]
    levels, arrays, first_cell, top, plain, key, seed_high, low, high, constants, cumulative, mean, factor, feedback,
    gamma, wear_cycles, reset_volts, set_volts, partial_volts, verify_pulses, verify_step, read_volts, targets,
    tolerance,
):  # fmt: skip
    cells = levels.shape[1]
    g_low = _polynomial(low, constants[0]) / constants[0]
    g_span = g_low - _polynomial(high, constants[0]) / constants[0]
    read_low, read_high = _polynomial(low, read_volts), _polynomial(high, read_volts)
    chunks_per_array = -(-cells // _CHUNK_CELLS)
    chunks = len(arrays) * chunks_per_array
    states = np.empty(levels.shape, np.float32)
    pulses, reached = np.zeros(chunks, np.int64), np.zeros(chunks, np.int64)
    for chunk in numba.prange(chunks):
        state = np.zeros(_STATE)
        history = np.zeros((ORDER, FEATURES))
        offset_and_scale = np.zeros(2 * FEATURES)
        z = np.zeros(2 * FEATURES)
        n = chunk // chunks_per_array
        array = np.uint64(arrays[n])
        begin = (chunk % chunks_per_array) * _CHUNK_CELLS
        uniforms = np.empty(_CHUNK_CELLS)
        drawn = np.empty((3 * FEATURES, _CHUNK_CELLS), np.float32)
        first = np.uint64(first_cell + begin)
        _draw_chunk(uniforms, drawn, min(_CHUNK_CELLS, cells - begin), first, array, seed_high, key)
        count = switched = 0
        for c in range(begin, min(begin + _CHUNK_CELLS, cells)):
            cell = np.uint64(first_cell + c)
            level = levels[n, c]
            if plain and (level == 0 or level == top):
                states[n, c], given, switches = _outer_cell(
                    level == 0, set_volts, read_volts, uniforms[c - begin], drawn, c - begin, cumulative, mean, factor,
                    feedback, gamma, g_low, g_span,
                )  # fmt: skip
                count += given
                switched += switches
                continue
            _start(
                state, history, uniforms[c - begin], drawn[:, c - begin], cumulative, mean, factor, offset_and_scale,
                feedback, gamma, g_low, g_span, z,
            )  # fmt: skip
            for p in range(wear_cycles * PULSES_PER_WEAR_CYCLE):
                words = philox(np.uint64(_FIRST_WEAR + p // 4), cell, array, seed_high, key, np.uint64(CELL_STREAM))
                w = words[0] if p % 4 == 0 else words[1] if p % 4 == 1 else words[2] if p % 4 == 2 else words[3]
                _pulse(
                    WEAR_VOLTS * (2.0 * uniform(w) - 1.0), state, history, cell, array, seed_high, key, low, high,
                    constants, offset_and_scale, feedback, gamma, g_low, g_span, z,
                )  # fmt: skip
            count += wear_cycles * PULSES_PER_WEAR_CYCLE
            # The steps of the sequence: 0 full reset, 1 set, 2 partial reset.
            step, volts, extra = 0, reset_volts, 0
            partial = partial_volts[level]
            while True:
                _pulse(
                    volts, state, history, cell, array, seed_high, key, low, high, constants, offset_and_scale,
                    feedback, gamma, g_low, g_span, z,
                )  # fmt: skip
                count += 1
                if step == 0 and level > 0:
                    step, volts = 1, set_volts
                    continue
                if step == 1 and level < top:
                    step, volts = 2, partial
                    continue
                if extra >= verify_pulses:
                    break
                excess = read_low * (1.0 - state[_R]) + read_high * state[_R] - targets[level]
                if abs(excess) <= tolerance:
                    break
                extra += 1
                if level == 0 or level == top:
                    # An outer level is what the cycle gives: leave it, and let the next one draw anew.
                    if level == 0 and state[_IN_HRS] == 1.0:
                        _pulse(
                            set_volts, state, history, cell, array, seed_high, key, low, high, constants,
                            offset_and_scale, feedback, gamma, g_low, g_span, z,
                        )  # fmt: skip
                        count += 1
                    step, volts = 0, reset_volts
                elif excess > 0.0:
                    volts += verify_step
                else:
                    step, volts, partial = 1, set_volts, partial_volts[level]
            states[n, c] = state[_R]
            switched += _switches(
                read_volts, state[_IN_LRS] == 1.0, state[_IN_HRS] == 1.0, state[_SET_VOLTS], state[_RESET_VOLTS]
            )
        pulses[chunk] = count
        reached[chunk] = switched
    return states, pulses, reached


def program_cells(
    levels: NDArray[np.uint8],
    arrays: NDArray[np.int64],
    *,
    seed: int,
    parameters: Parameters,
    sequence: Sequence,
    first_cell: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Program fresh cells to levels and return their states r, with I(V) = LL(V) (1 - r) + HH(V) r.

    levels: [arrays, cells], 0 (HRS) .. len(partial_volts) - 1 (LRS); arrays: [arrays] numbers of the arrays, from 0 up
    to 2^32; first_cell: number of the first cell. Returns float32 states of the shape of ``levels``, the write
    pulses per array, wear included, and the cells per array that a read of +- ``sequence.read_volts`` would switch: not
    in LRS and set by it, or not in HRS and reset by it. A cell's draws are a function of (seed, array, cell).
    """
    low, high = split_seed(seed)
    targets = np.zeros(len(sequence.partial_volts)) if sequence.targets is None else sequence.targets
    top = len(sequence.partial_volts) - 1
    plain = sequence.wear_cycles == 0 and sequence.verify_pulses == 0 and sequence.reset_volts > 0.0
    if plain and ((levels == 0) | (levels == top)).all():
        states, pulses, reached = _program_outer(
            levels, arrays, first_cell, low, high, *parameters.arguments(), sequence.set_volts, sequence.read_volts
        )
    else:
        states, pulses, reached = _program(
            levels, arrays, first_cell, top, plain, low, high, *parameters.arguments(), sequence.wear_cycles,
            sequence.reset_volts, sequence.set_volts, sequence.partial_volts, sequence.verify_pulses,
            sequence.verify_step_volts, sequence.read_volts, targets, sequence.tolerance,
        )  # fmt: skip
    of_chunks = (len(arrays), -(-levels.shape[1] // _CHUNK_CELLS))
    return states, pulses.reshape(of_chunks).sum(axis=1), reached.reshape(of_chunks).sum(axis=1)


@compiled(parallel=True)
def _respond(  # type: ignore[no-untyped-def]
    volts, array, first_cell, key, seed_high, low, high, constants, cumulative, mean, factor, feedback, gamma,
):  # fmt: skip
    pulses, cells = volts.shape
    g_low = _polynomial(low, constants[0]) / constants[0]
    g_span = g_low - _polynomial(high, constants[0]) / constants[0]
    states = np.empty((pulses + 1, cells))
    features = np.empty((pulses + 1, cells, FEATURES))
    for chunk in numba.prange(-(-cells // _CHUNK_CELLS)):
        begin = chunk * _CHUNK_CELLS
        uniforms = np.empty(_CHUNK_CELLS)
        drawn = np.empty((3 * FEATURES, _CHUNK_CELLS), np.float32)
        first = np.uint64(first_cell + begin)
        _draw_chunk(uniforms, drawn, min(_CHUNK_CELLS, cells - begin), first, array, seed_high, key)
        state = np.zeros(_STATE)
        history = np.zeros((ORDER, FEATURES))
        offset_and_scale = np.zeros(2 * FEATURES)
        z = np.zeros(2 * FEATURES)
        for c in range(begin, min(cells, begin + _CHUNK_CELLS)):
            cell = np.uint64(first_cell + c)
            _start(
                state, history, uniforms[c - begin], drawn[:, c - begin], cumulative, mean, factor, offset_and_scale,
                feedback, gamma, g_low, g_span, z,
            )  # fmt: skip
            for p in range(pulses + 1):
                if p > 0:
                    _pulse(
                        volts[p - 1, c], state, history, cell, array, seed_high, key, low, high, constants,
                        offset_and_scale, feedback, gamma, g_low, g_span, z,
                    )  # fmt: skip
                states[p, c] = state[_R]
                features[p, c, 0] = 1.0 / (g_low - g_span * state[_R_HRS])
                features[p, c, 1] = state[_SET_VOLTS]
                features[p, c, 2] = 1.0 / (g_low - g_span * state[_R_LRS])
                features[p, c, 3] = state[_FEATURE_RESET_VOLTS]
    return states, features


def respond(
    volts: NDArray[np.float64], *, array: int, seed: int, parameters: Parameters, first_cell: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Apply pulses to fresh cells one after the other, for studies of the device.

    volts: [pulses, cells] in V. Returns the states r before the first and after every pulse [pulses + 1, cells], and
    the features of the cycle at that time [pulses + 1, cells, 4]: HRS in ohm, set voltage, LRS in ohm, reset voltage.
    """
    low, high = split_seed(seed)
    states, features = _respond(volts, np.uint64(array), first_cell, low, high, *parameters.arguments())
    return states, features
