"""Recurrent layers, step by step: LSTM, GRU and delta GRU, in float32 or float16 and in integers.

Products with what a layer reads depend on no state, and are made for all steps before. These kernels do what waits for
the step before: products with the last output, and the gates. Utterances lie end to end, ``starts`` tells where each
begins, [utterances + 1]. The state of each utterance, [utterances, ..], is changed in place, so that a stream goes on
where it was; it begins at 0. No result depends on threads.

Floats: R rounds to the format of the values, A to that of the sums, see `accelsim.kernels.number`; sums ascend, and no
multiplication is fused with an addition; s(x) = R(1 / R(1 + R(e^-x))), t(x) = R(tanh x) as in
`accelsim.kernels.activation`.

Integers: sums of a gate are 16-bit words of scale 2^-12, activations words of scale 2^-15, which tables give; M(x) is x
times a scale, rounded as in `accelsim.kernels.requantise`, clamp16 saturates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.activation import tanh_of
from accelsim.kernels.compile import compiled
from accelsim.kernels.conv import Starts
from accelsim.kernels.number import (
    FloatExceptions,
    Number,
    Values,
    counts_for,
    is_half,
    over,
    plus,
    power_of_e,
    rounded,
    row_of,
    times,
)
from accelsim.kernels.requantise import ROUNDINGS, Scaling, rescaled

GATE_BITS = 12
"""Fraction bits of the sum of a gate."""
ONE_BITS = 15
"""Fraction bits of an activation."""

Words = NDArray[np.int16]
_WORDS = np.arange(-(1 << 15), 1 << 15)
_ONE = np.float32(1)


# Activations of 16-bit words


def sigmoid_table() -> NDArray[np.int64]:
    """Return 65536 / (1 + e^(-i / 24)), i = 0 .. 255, between which is interpolated.

    A chord lies below the curve, by up to h^2 |f''| / 8 with h = 1 / 24: half of that is added. The last is the limit.
    So come out all 256 words of ``sigmoid_table_uint16`` of TensorFlow Lite Micro.
    """
    y = 1 / (1 + np.exp(-np.arange(256) / 24))
    words = np.floor(65536 * (y + y * (1 - y) * (2 * y - 1) / 24**2 / 16) + 0.5).astype(np.int64)
    words[-1] = 65535
    return words


def interpolated(*, tanh: bool, places: int = 0) -> Words:
    """Return 2^15 s(x) or 2^15 tanh(x), x = 2^(places - 12) n, for all words n by chords of `sigmoid_table`: [65536].

    tanh x = 2 s(2 x) - 1. Of 3 n 2^places, 9 bits lie between two words of the table for s, 8 for tanh.
    """
    table, between = sigmoid_table(), 8 if tanh else 9
    steps = 3 * _WORDS
    steps = steps << places if places >= 0 else (steps + (1 << (-places - 1))) >> -places
    size = np.abs(steps)
    place = np.minimum(size >> between, 254)
    found = (table[place] << between) + (size & ((1 << between) - 1)) * (table[place + 1] - table[place])
    beyond = size >> between >= 255
    if tanh:
        found = np.where(beyond, 0xFFFF << 8, found) - (1 << 23)
        return ((np.where(steps >= 0, found + 128, 127 - found)) >> 8).astype(np.int16)
    found = np.where(beyond, 0x7FFF << 10, found) + 512
    return ((np.where(steps >= 0, found, (1 << 25) + 1023 - found)) >> 10).astype(np.int16)


def _product(a: NDArray[np.int64], b: Any) -> NDArray[np.int64]:
    """Return a b 2^-15, rounded to the nearest, halves up."""
    return np.asarray((a * b + (1 << 14)) >> 15)


def _halved(a: NDArray[np.int64], places: int) -> NDArray[np.int64]:
    """Return a 2^-places, rounded to the nearest, halves away from 0."""
    return np.asarray(np.sign(a) * ((np.abs(a) + (1 << places >> 1)) >> places))


def _saturated(a: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.clip(a, -(1 << 15), (1 << 15) - 1)


def _exponential(a: NDArray[np.int64], whole: int) -> NDArray[np.int64]:
    """Return 2^15 e^x, x = a 2^(whole - 15) <= 0: a Taylor series about -1/8, and a factor for each bit of the rest."""
    fraction = 15 - whole
    quarter = 1 << (fraction - 2)
    part = (a & (quarter - 1)) - quarter
    x = _saturated(part << whole) + (1 << 12)
    x2 = _product(x, x)
    x3, x4 = _product(x2, x), _product(x2, x2)
    series = _halved(_product(_halved(x4, 2) + x3, round(2**15 / 3)) + x2, 1)
    eighth = round(2**15 * float(np.exp(-0.125)))
    result = _saturated(eighth + _product(x + series, eighth))
    for power in range(-2, whole):
        bit = (part - a) >> (fraction + power) & 1
        result = np.where(bit, _product(result, round(2**15 * float(np.exp(-(2.0**power))))), result)
    return np.where(a == 0, (1 << 15) - 1, result)


def _reciprocal(a: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 2^13 2 / (1 + a 2^-15) by three steps of Newton's."""
    half = (a + (1 << 15)) >> 1
    x = round(2**13 * 48 / 17) + _product(half, round(-(2**13) * 32 / 17))
    for _ in range(3):
        x = x + _saturated(_product(x, (1 << 13) - _product(half, x)) << 2)
    return x


def fixed_point(*, tanh: bool, places: int = 0) -> Words:
    """Return 2^15 s(x) or 2^15 tanh(x), x = 2^(places - 12) n, for all words n in gemmlowp's fixed point: [65536].

    s(|x|) = 1 / (1 + e), tanh |x| = 2 / (1 + e^2) - 1, e = e^-|x|; 16-bit products, halves up.
    """
    size = np.abs(_WORDS)
    whole = 15 - GATE_BITS + places
    if tanh:
        found = -_saturated((_reciprocal(_exponential(-size, whole + 1)) - (1 << 13)) << 2)
        found = np.where(_WORDS < 0, found, -found)
        return np.where(_WORDS == 0, 0, found).astype(np.int16)
    found = _saturated(_reciprocal(_exponential(-size, whole)) << 1)
    found = np.where(_WORDS > 0, found, (1 << 15) - 1 - found)
    return np.where(_WORDS == 0, 1 << 14, found).astype(np.int16)


@dataclass(frozen=True)
class Gates:
    """How the gates of an integer layer are computed: s and tanh of words of scale 2^-12, and tanh of the cell's.

    ``interpolated``: by chords, as TensorFlow Lite Micro has it, else in gemmlowp's fixed point, as LiteRT has it: the
    products of a cell are then scaled by a shift that rounds halves away from 0, and a gate's second sum is clamped
    with the first one alone.
    """

    sigmoid: Words
    tanh: Words
    tanh_of_cell: Words
    interpolated: bool

    @classmethod
    def of(cls, form: str, cell_places: int = 0) -> Gates:
        """Return the gates of a form, ``interpolated`` or ``fixed_point``, for a cell of scale 2^(cell_places - 12)."""
        key = form, cell_places
        if key not in _GATES:
            table = interpolated if form == "interpolated" else fixed_point
            _GATES[key] = cls(
                table(tanh=False), table(tanh=True), table(tanh=True, places=cell_places), form == "interpolated"
            )
        return _GATES[key]


_GATES: dict[tuple[str, int], Gates] = {}
"""Those that were made, which all layers share."""


# Integers


def gate_words(sums: NDArray[Any], offsets: NDArray[np.int64], scaling: Scaling) -> tuple[Words, int]:
    """Return clamp16(M(sums + offsets)), [rows, gates units], and how many were clamped; a factor for each output."""
    return scaling.codes(sums, offsets, 0, (-(1 << 15), (1 << 15) - 1), (True, True), np.int16)


@numba.njit(inline="always")
def _shifted(x, places):  # type: ignore[no-untyped-def]
    """Return x 2^-places, halves away from 0."""
    half = (np.int64(1) << places) >> 1
    return (x + half) >> places if x >= 0 else -((-x + half) >> places)


@numba.njit(forceinline=True)
def _add_codes(codes, weight, sums):  # type: ignore[no-untyped-def]
    """Add sum_i codes_i w_ij to sums_j."""
    for i in range(len(codes)):
        code = np.int32(codes[i])
        if code != 0:
            row = weight[i]
            for j in range(len(sums)):
                sums[j] += code * np.int32(row[j])


@dataclass
class LstmIntegers:
    """What an integer LSTM computes with, besides its gates.

    ``recurrent``: factors of the last output's products, one for each of the 4 units; ``offsets``: added to those
    products; ``inner``: factors of f c, i g and o tanh c; ``cell_places``: c is of scale 2^(cell_places - 12);
    ``clip``: the largest |c|; ``output``: z, low and high of h, and whether words below and above are counted.
    """

    recurrent: Scaling
    offsets: NDArray[np.int64]
    inner: Scaling
    cell_places: int
    clip: int
    output: tuple[int, int, int, bool, bool]
    gates: Gates


def lstm_integers(
    words: Words,
    weight: NDArray[np.int8],
    how: LstmIntegers,
    starts: Starts,
    h: NDArray[np.int32],
    c: NDArray[np.int32],
) -> tuple[NDArray[np.int8], int]:
    """Return the codes of h of all steps, [rows, units], and how many words were clamped on the way.

    words: of the inputs' products, [rows, 4 units].

    a = clamp16(words + clamp16(M(R (h - z) + offsets))), gates i, f, g, o side by side;
    c' = clamp(clamp16(clamp16(M(s(a_f) c)) + clamp16(M(s(a_i) tanh(a_g)))), clip); h' = clamp(M(s(a_o) tanh(c')) + z).
    weight: R, [units, 4 units]; h: codes less z, and c: [utterances, units].
    """
    out = np.empty((len(words), len(weight)), np.int8)
    begin = np.asarray(starts, np.int64)
    lost = np.zeros(len(h), np.int64)
    _lstm_integers(words, np.ascontiguousarray(weight), *_of(how), begin, h, c, lost, out)
    return out, int(lost.sum())


def lstm_integer_step(
    words: Words, sums: NDArray[np.int64], how: LstmIntegers, h: NDArray[np.int32], c: NDArray[np.int32]
) -> tuple[NDArray[np.int8], int]:
    """Return what `lstm_integers` does of one step of several utterances, from the products with their last h."""
    out, lost = np.empty(h.shape, np.int8), np.zeros(len(h), np.int64)
    _lstm_integer_step(words, sums, *_of(how), h, c, lost, out)
    return out, int(lost.sum())


def _of(how: LstmIntegers) -> tuple[Any, ...]:
    recurrent, inner, gates = how.recurrent, how.inner, how.gates
    # In LiteRT the products of the cell are shifted by 15, and by 30 less the fraction bits of the cell.
    shifts = np.array([ONE_BITS, 2 * ONE_BITS - GATE_BITS + how.cell_places], np.int64)
    return (
        (recurrent.multipliers, recurrent.shifts, recurrent.scales), how.offsets,
        (inner.multipliers, inner.shifts, inner.scales), shifts, ROUNDINGS.index(recurrent.rounding), how.clip,
        np.array(how.output, np.int64), gates.sigmoid, gates.tanh, gates.tanh_of_cell, gates.interpolated,
    )  # fmt: skip


@compiled(parallel=True)
def _lstm_integers(  # type: ignore[no-untyped-def]
    words, weight, recurrent, offsets, inner, shifts, rounding, clip, output, sigmoid, tanh, tanh_of_cell, chords,
    starts, h, c, lost, out,
):  # fmt: skip
    for u in numba.prange(len(starts) - 1):
        sums = np.empty(weight.shape[1], np.int32)
        for t in range(starts[u], starts[u + 1]):
            sums[:] = 0
            _add_codes(h[u], weight, sums)
            _lstm_cell(
                words[t], sums, recurrent, offsets, inner, shifts, rounding, clip, output, sigmoid, tanh, tanh_of_cell,
                chords, h[u], c[u], lost[u : u + 1], out[t],
            )  # fmt: skip


@compiled()
def _lstm_integer_step(  # type: ignore[no-untyped-def]
    words, sums, recurrent, offsets, inner, shifts, rounding, clip, output, sigmoid, tanh, tanh_of_cell, chords,
    h, c, lost, out,
):  # fmt: skip
    for u in range(len(words)):
        _lstm_cell(
            words[u], sums[u], recurrent, offsets, inner, shifts, rounding, clip, output, sigmoid, tanh, tanh_of_cell,
            chords, h[u], c[u], lost[u : u + 1], out[u],
        )  # fmt: skip


@numba.njit(inline="always")
def _word(x, lost):  # type: ignore[no-untyped-def]
    """Return clamp16(x), counting what is clamped."""
    word = min(max(x, -32768), 32767)
    lost[0] += word != x
    return word


@numba.njit(inline="always")
def _factor(x, scaling, at, rounding):  # type: ignore[no-untyped-def]
    """Return x times one of several factors, rounded."""
    return rescaled(x, scaling[0][at], scaling[1][at], scaling[2][at], rounding)


@numba.njit
def _gate(word, total, recurrent, at, rounding, chords, lost):  # type: ignore[no-untyped-def]
    """Return the word of a gate's sum: the input's part and that of the last output."""
    part = _factor(total, recurrent, at, rounding)
    return _word(np.int64(word) + (_word(part, lost) if chords else part), lost)


@numba.njit(inline="always")
def _limited(x, output, lost):  # type: ignore[no-untyped-def]
    """Return a code within low and high of an output (z, low, high, whether each is counted)."""
    code = min(max(x, output[1]), output[2])
    if (x < output[1] and output[3] != 0) or (x > output[2] and output[4] != 0):
        lost[0] += 1
    return code


@numba.njit
def _lstm_cell(  # type: ignore[no-untyped-def]
    words, sums, recurrent, offsets, inner, shifts, rounding, clip, output, sigmoid, tanh, tanh_of_cell, chords,
    h, c, lost, out,
):  # fmt: skip
    units, middle = len(h), 32768
    a = np.empty(4, np.int64)
    for j in range(units):
        for k in range(4):
            at = k * units + j
            a[k] = middle + _gate(words[at], np.int64(sums[at]) + offsets[at], recurrent, at, rounding, chords, lost)
        i, f, o = np.int64(sigmoid[a[0]]), np.int64(sigmoid[a[1]]), np.int64(sigmoid[a[3]])
        kept, new = f * np.int64(c[j]), i * np.int64(tanh[a[2]])
        if chords:
            kept, new = _word(_factor(kept, inner, 0, rounding), lost), _word(_factor(new, inner, 1, rounding), lost)
        else:
            kept, new = _shifted(kept, shifts[0]), _shifted(new, shifts[1])
        cell = min(max(_word(kept + new, lost), -clip), clip)
        c[j] = cell
        y = o * np.int64(tanh_of_cell[middle + cell])
        code = _limited(_factor(y, inner, 2, rounding) + output[0], output, lost)
        out[j] = code
        h[j] = code - output[0]


@dataclass
class GruIntegers:
    """What an integer GRU computes with, besides its gates.

    ``recurrent``: factors of the last output's products, one for each of the 3 units; ``offsets``: added to those
    products; ``output``: z, low and high of h, and whether words below and above are counted; ``given``: the factor
    from words of scale 2^-15 to its codes. ``reset_after``: whether the reset gate multiplies the product, or what is
    multiplied.
    """

    recurrent: Scaling
    offsets: NDArray[np.int64]
    given: Scaling
    output: tuple[int, int, int, bool, bool]
    reset_after: bool
    gates: Gates


def gru_integers(
    words: Words,
    weight: NDArray[np.int8],
    how: GruIntegers,
    threshold: int,
    starts: Starts,
    h: NDArray[np.int32],
    held: NDArray[np.int32],
) -> tuple[NDArray[np.int8], NDArray[np.int64], int]:
    """Return the codes of h of all steps, how many of the last h were taken anew for each, and words clamped.

    d: codes of the last h less z, where they changed by more than ``threshold`` since they were last taken, else as
    they were then; v = M(R d + offsets) for each gate. r = s(clamp16(words + clamp16(v))), u likewise;
    n = tanh(clamp16(words + m)), m = r clamp16(v_n), or with the reset before the product clamp16(v_n) of
    codes r d. H' = clamp16(u H + (1 - u) n) in words of scale 2^-15, h' = clamp(M(H') + z). Every product with an
    activation is rounded, halves away from 0. weight: R, [units, 3 units]; h: H, and held: d, [utterances, units].
    """
    out, taken = np.empty((len(words), len(weight)), np.int8), np.zeros(len(words), np.int64)
    begin = np.asarray(starts, np.int64)
    lost = np.zeros(len(h), np.int64)
    _gru_integers(words, np.ascontiguousarray(weight), *_of_gru(how), threshold, begin, h, held, lost, out, taken)
    return out, taken, int(lost.sum())


def gru_integer_reset(words: Words, sums: NDArray[np.int64], how: GruIntegers) -> tuple[NDArray[np.int16], int]:
    """Return r and u of one step, [utterances, 2 units], from the products of `gru_integers` with their columns."""
    gates, lost = np.empty((len(words), 2 * words.shape[1] // 3), np.int16), np.zeros(len(words), np.int64)
    recurrent, offsets, _, rounding, _, _, sigmoid, _ = _of_gru(how)
    _gru_integer_reset(words, sums, recurrent, offsets, rounding, sigmoid, lost, gates)
    return gates, int(lost.sum())


def gru_integer_update(
    words: Words, sums: NDArray[np.int64], gates: NDArray[np.int16], how: GruIntegers, h: NDArray[np.int32]
) -> tuple[NDArray[np.int8], int]:
    """Return the codes of h of one step, [utterances, units], from the products with the last third of the columns."""
    out, lost = np.empty(h.shape, np.int8), np.zeros(len(h), np.int64)
    recurrent, offsets, given, rounding, output, after, _, tanh = _of_gru(how)
    _gru_integer_update(words, sums, recurrent, offsets, given, rounding, output, after, tanh, gates, h, lost, out)
    return out, int(lost.sum())


def reset_codes(reset: NDArray[np.int16], codes: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return r d of codes less z, rounded to codes, halves away from 0; same shapes."""
    return _halved(reset.astype(np.int64) * codes, ONE_BITS)


def gru_codes(how: GruIntegers, h: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the codes of words H less z, same shape."""
    z, low, high, *_ = how.output
    return np.clip(how.given(h) + z, low, high) - z


def _of_gru(how: GruIntegers) -> tuple[Any, ...]:
    recurrent, given, gates = how.recurrent, how.given, how.gates
    return (
        (recurrent.multipliers, recurrent.shifts, recurrent.scales), how.offsets,
        (given.multipliers, given.shifts, given.scales), ROUNDINGS.index(recurrent.rounding),
        np.array(how.output, np.int64), how.reset_after, gates.sigmoid, gates.tanh,
    )  # fmt: skip


@numba.njit
def _code(word, given, rounding, output):  # type: ignore[no-untyped-def]
    """Return the code of h, from its word."""
    return min(max(_factor(np.int64(word), given, 0, rounding) + output[0], output[1]), output[2])


@compiled(parallel=True)
def _gru_integers(  # type: ignore[no-untyped-def]
    words, weight, recurrent, offsets, given, rounding, output, after, sigmoid, tanh, threshold, starts, h, held,
    lost, out, taken,
):  # fmt: skip
    units = len(weight)
    for u in numba.prange(len(starts) - 1):
        sums, gates = np.empty(3 * units, np.int32), np.empty(2 * units, np.int16)
        for t in range(starts[u], starts[u + 1]):
            for j in range(units):
                d = _code(h[u, j], given, rounding, output) - output[0]
                if abs(d - held[u, j]) > threshold:
                    held[u, j] = d
                    taken[t] += 1
            sums[:] = 0
            if after:
                _add_codes(held[u], weight, sums)
            else:
                _add_codes(held[u], weight[:, : 2 * units], sums[: 2 * units])
            _reset(words[t], sums, recurrent, offsets, rounding, sigmoid, lost[u : u + 1], gates)
            if not after:
                kept = np.empty(units, np.int32)
                for j in range(units):
                    kept[j] = _shifted(np.int64(gates[j]) * held[u, j], ONE_BITS)
                _add_codes(kept, weight[:, 2 * units :], sums[2 * units :])
            _update(
                words[t], sums[2 * units :], recurrent, offsets, given, rounding, output, after, tanh, gates, h[u],
                lost[u : u + 1], out[t],
            )  # fmt: skip


@compiled()
def _gru_integer_reset(words, sums, recurrent, offsets, rounding, sigmoid, lost, gates):  # type: ignore[no-untyped-def]
    for u in range(len(words)):
        _reset(words[u], sums[u], recurrent, offsets, rounding, sigmoid, lost[u : u + 1], gates[u])


@compiled()
def _gru_integer_update(  # type: ignore[no-untyped-def]
    words, sums, recurrent, offsets, given, rounding, output, after, tanh, gates, h, lost, out
):
    for u in range(len(words)):
        _update(
            words[u], sums[u], recurrent, offsets, given, rounding, output, after, tanh, gates[u], h[u],
            lost[u : u + 1], out[u],
        )  # fmt: skip


@numba.njit
def _reset(words, sums, recurrent, offsets, rounding, sigmoid, lost, gates):  # type: ignore[no-untyped-def]
    for at in range(len(gates)):
        total = np.int64(sums[at]) + offsets[at]
        gates[at] = sigmoid[32768 + _gate(words[at], total, recurrent, at, rounding, True, lost)]


@numba.njit
def _update(  # type: ignore[no-untyped-def]
    words, sums, recurrent, offsets, given, rounding, output, after, tanh, gates, h, lost, out
):
    units = len(h)
    for j in range(units):
        at = 2 * units + j
        part = _word(_factor(np.int64(sums[j]) + offsets[at], recurrent, at, rounding), lost)
        if after:
            part = _shifted(part * np.int64(gates[j]), ONE_BITS)
        n = np.int64(tanh[32768 + _word(np.int64(words[at]) + part, lost)])
        u = np.int64(gates[units + j])
        kept, new = u * np.int64(h[j]), ((1 << ONE_BITS) - u) * n
        h[j] = _word(_shifted(kept, ONE_BITS) + _shifted(new, ONE_BITS), lost)
        out[j] = _limited(_factor(np.int64(h[j]), given, 0, rounding) + output[0], output, lost)


def taken_codes(
    codes: NDArray[np.int32], threshold: int, starts: Starts, held: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return codes as they were last taken, and how many were taken anew in each row: by more than ``threshold``.

    codes: [rows, width]; held: what was taken before, [utterances, width], changed in place.
    """
    out, taken = np.empty(codes.shape, np.int32), np.zeros(len(codes), np.int64)
    _taken_codes(np.ascontiguousarray(codes, np.int32), threshold, np.asarray(starts, np.int64), held, out, taken)
    return out, taken


@compiled(parallel=True)
def _taken_codes(codes, threshold, starts, held, out, taken):  # type: ignore[no-untyped-def]
    for u in numba.prange(len(starts) - 1):
        for t in range(starts[u], starts[u + 1]):
            for i in range(codes.shape[1]):
                if abs(codes[t, i] - held[u, i]) > threshold:
                    held[u, i] = codes[t, i]
                    taken[t] += 1
                out[t, i] = held[u, i]


# Floats


def lstm(
    parts: Values,
    weight: NDArray[np.floating[Any]],
    starts: Starts,
    h: Values,
    c: Values,
    number: Number = "float32",
    *,
    accumulator: Number = "float32",
    exceptions: FloatExceptions | None = None,
) -> Values:
    """Return h of all steps, [rows, units], from the products with the inputs, bias included, [rows, 4 units].

    a = R(parts + R(R h)), gates i, f, g, o side by side; c' = R(R(s(a_f) c) + R(s(a_i) t(a_g))), h' = R(s(a_o) t(c')).
    weight: R, of numbers of the format, [units, 4 units]; h, c: [utterances, units].
    """
    out, counts = np.empty((len(parts), len(weight)), np.float32), counts_for(exceptions, len(starts) - 1)
    _lstm(
        parts, np.ascontiguousarray(weight, np.float32), np.asarray(starts, np.int64), is_half(number),
        is_half(accumulator), counts, h, c, out,
    )  # fmt: skip
    if exceptions is not None and counts is not None:
        exceptions.note(counts, out)
    return out


@numba.njit(forceinline=True)
def _add_values(x, row, narrow, count, sums):  # type: ignore[no-untyped-def]
    """Set sums_j = A(sums_j + A(x row_j))."""
    for j in range(len(sums)):
        sums[j] = plus(sums[j], times(x, row[j], narrow, count), narrow, count)


@numba.njit(forceinline=True)
def _multiply(x, weight, narrow, count, sums):  # type: ignore[no-untyped-def]
    """Set sums_j = A(sums_j + A(x_i w_ij)) from 0 on, i ascending."""
    sums[:] = np.float32(0)
    for i in range(len(x)):
        _add_values(x[i], weight[i], narrow, count, sums)


@numba.njit(forceinline=True)
def _sigmoid_of(x, half, count):  # type: ignore[no-untyped-def]
    return over(_ONE, plus(_ONE, power_of_e(-x, half, count), half, count), half, count)


@numba.njit(forceinline=True)
def _tanh_in(x, half, count):  # type: ignore[no-untyped-def]
    return rounded(tanh_of(x), half, np.isfinite(x), count)


@numba.njit(forceinline=True)
def _held(x, half, count):  # type: ignore[no-untyped-def]
    """Return R of a sum."""
    return rounded(x, half, np.isfinite(x), count)


@compiled(parallel=True)
def _lstm(parts, weight, starts, half, narrow, counts, h, c, out):  # type: ignore[no-untyped-def]
    units = len(weight)
    for u in numba.prange(len(starts) - 1):
        count = row_of(counts, u)
        sums = np.empty(4 * units, np.float32)
        for t in range(starts[u], starts[u + 1]):
            _multiply(h[u], weight, narrow, count, sums)
            for k in range(4 * units):
                sums[k] = plus(parts[t, k], _held(sums[k], half, count), half, count)
            for j in range(units):
                i, f = _sigmoid_of(sums[j], half, count), _sigmoid_of(sums[units + j], half, count)
                g, o = _tanh_in(sums[2 * units + j], half, count), _sigmoid_of(sums[3 * units + j], half, count)
                c[u, j] = plus(times(f, c[u, j], half, count), times(i, g, half, count), half, count)
                h[u, j] = times(o, _tanh_in(c[u, j], half, count), half, count)
                out[t, j] = h[u, j]


def gru(
    parts: Values,
    weight: NDArray[np.floating[Any]],
    bias: Values | None,
    starts: Starts,
    h: Values,
    number: Number = "float32",
    *,
    reset_after: bool = True,
    accumulator: Number = "float32",
    exceptions: FloatExceptions | None = None,
) -> Values:
    """Return h of all steps, [rows, units], from the products with the inputs, bias included, [rows, 3 units].

    v = R(A(R h + bias)), or R(R h) without one; r = s(R(parts + v)), u likewise; n = t(R(parts + m)), m = R(r v_n), or
    with the reset before the product v_n of R(r h); h' = R(R(u h) + R(R(1 - u) n)). weight: R, of numbers of the
    format, [units, 3 units]; h: [utterances, units].
    """
    out, counts = np.empty((len(parts), len(weight)), np.float32), counts_for(exceptions, len(starts) - 1)
    wide = np.ascontiguousarray(weight, np.float32)
    added = np.zeros(wide.shape[1], np.float32) if bias is None else np.asarray(bias, np.float32)
    _gru(
        parts, wide, added, bias is not None, np.asarray(starts, np.int64), reset_after, is_half(number),
        is_half(accumulator), counts, h, out,
    )  # fmt: skip
    if exceptions is not None and counts is not None:
        exceptions.note(counts, out)
    return out


@numba.njit(forceinline=True)
def _finished(sums, bias, biased, half, narrow, count):  # type: ignore[no-untyped-def]
    """Set sums_j = R(A(sums_j + bias_j)), or R(sums_j)."""
    for j in range(len(sums)):
        total = plus(sums[j], bias[j], narrow, count) if biased else sums[j]
        sums[j] = _held(total, half, count)


@numba.njit(forceinline=True)
def _new_h(parts, sums, j, units, reset, update, h, half, count):  # type: ignore[no-untyped-def]
    """Return h', the reset gate being 1 where it was multiplied already."""
    at = 2 * units + j
    n = _tanh_in(plus(parts[at], times(reset, sums[at], half, count), half, count), half, count)
    kept = times(update, h, half, count)
    return plus(kept, times(plus(_ONE, -update, half, count), n, half, count), half, count)


@compiled(parallel=True)
def _gru(parts, weight, bias, biased, starts, after, half, narrow, counts, h, out):  # type: ignore[no-untyped-def]
    units = len(weight)
    for u in numba.prange(len(starts) - 1):
        count = row_of(counts, u)
        sums, kept = np.empty(3 * units, np.float32), np.empty(units, np.float32)
        reset, update = np.empty(units, np.float32), np.empty(units, np.float32)
        for t in range(starts[u], starts[u + 1]):
            first = 3 * units if after else 2 * units
            _multiply(h[u], weight[:, :first], narrow, count, sums[:first])
            _finished(sums[:first], bias[:first], biased, half, narrow, count)
            for j in range(units):
                reset[j] = _sigmoid_of(plus(parts[t, j], sums[j], half, count), half, count)
                update[j] = _sigmoid_of(plus(parts[t, units + j], sums[units + j], half, count), half, count)
            if not after:
                for j in range(units):
                    kept[j] = times(reset[j], h[u, j], half, count)
                _multiply(kept, weight[:, first:], narrow, count, sums[first:])
                _finished(sums[first:], bias[first:], biased, half, narrow, count)
                reset[:] = _ONE
            for j in range(units):
                h[u, j] = _new_h(parts[t], sums, j, units, reset[j], update[j], h[u, j], half, count)
                out[t, j] = h[u, j]


@dataclass
class DeltaState:
    """What a delta GRU carries of each utterance: h [utterances, units], and what its sums stand for.

    ``inputs`` [utterances, inputs] and ``state`` [utterances, units]: what was last taken of the inputs and of h;
    ``input_sums`` and ``state_sums`` [utterances, 3 units]: the sums of products with them.
    """

    h: Values
    inputs: Values
    state: Values
    input_sums: Values
    state_sums: Values


def delta_gru(
    x: Values,
    weight: NDArray[np.floating[Any]],
    recurrent: NDArray[np.floating[Any]],
    thresholds: tuple[float, float],
    starts: Starts,
    state: DeltaState,
    number: Number = "float32",
    *,
    accumulator: Number = "float32",
    exceptions: FloatExceptions | None = None,
) -> tuple[Values, NDArray[np.int64]]:
    """Return h of all steps, [rows, units], and how many inputs and states were taken anew for each, [rows, 2].

    Where |d|, d = R(x_i - x^_i), is above the inputs' threshold, M = A(M + A(d w_ij)) and x^_i = x_i, i ascending;
    the same of the last h for N with the threshold of the state. r = s(R(R(M) + R(N))), u likewise,
    n = t(R(R(M) + R(r R(N)))); h' = R(R(u h) + R(R(1 - u) n)). weight: [inputs, 3 units], recurrent: [units, 3 units],
    of numbers of the format; sums begin with the biases.
    """
    units = len(recurrent)
    out, taken = np.empty((len(x), units), np.float32), np.zeros((len(x), 2), np.int64)
    counts = counts_for(exceptions, len(starts) - 1)
    _delta_gru(
        np.ascontiguousarray(x, np.float32), np.ascontiguousarray(weight, np.float32),
        np.ascontiguousarray(recurrent, np.float32), np.float32(thresholds[0]), np.float32(thresholds[1]),
        np.asarray(starts, np.int64), is_half(number), is_half(accumulator), counts, state.h, state.inputs, state.state,
        state.input_sums, state.state_sums, out, taken,
    )  # fmt: skip
    if exceptions is not None and counts is not None:
        exceptions.note(counts, out)
    return out, taken


@numba.njit(forceinline=True)
def _add_changes(x, held, threshold, weight, half, narrow, count, sums):  # type: ignore[no-untyped-def]
    """Add the products with all that changed by more than a threshold; return how many those are."""
    taken = 0
    for i in range(len(x)):
        change = plus(x[i], -held[i], half, count)
        if abs(change) > threshold:
            held[i] = x[i]
            taken += 1
            _add_values(change, weight[i], narrow, count, sums)
    return taken


@compiled(parallel=True)
def _delta_gru(  # type: ignore[no-untyped-def]
    x, weight, recurrent, input_threshold, state_threshold, starts, half, narrow, counts, h, held_x, held_h, sums_x,
    sums_h, out, taken,
):  # fmt: skip
    units = len(recurrent)
    for u in numba.prange(len(starts) - 1):
        count = row_of(counts, u)
        first, second = np.empty(3 * units, np.float32), np.empty(3 * units, np.float32)
        for t in range(starts[u], starts[u + 1]):
            taken[t, 0] = _add_changes(x[t], held_x[u], input_threshold, weight, half, narrow, count, sums_x[u])
            taken[t, 1] = _add_changes(h[u], held_h[u], state_threshold, recurrent, half, narrow, count, sums_h[u])
            for k in range(3 * units):
                first[k], second[k] = _held(sums_x[u, k], half, count), _held(sums_h[u, k], half, count)
            for j in range(units):
                reset = _sigmoid_of(plus(first[j], second[j], half, count), half, count)
                update = _sigmoid_of(plus(first[units + j], second[units + j], half, count), half, count)
                h[u, j] = _new_h(first, second, j, units, reset, update, h[u, j], half, count)
                out[t, j] = h[u, j]
