"""The gates of recurrent layers in plain NumPy and Python, for their references; nothing here calls `accelsim.kernels`.

Activations of 16-bit words are worked out word by word, as the C++ of the two runtimes does.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accelsim.ops import plain, plain_integer
from accelsim.ops.plain_integer import Whole

if TYPE_CHECKING:
    from accelsim.ops.op import Tensors
    from accelsim.ops.recurrent import RecurrentOp


def products(x: plain.Values, weight: plain.Values, bias: NDArray[Any] | None, number: str) -> plain.Values:
    """Return R(sum_i x_i w_ij + R(b_j)), i ascending, in float32."""
    sums = np.zeros(weight.shape[1], np.float32)
    for i, row in enumerate(weight):
        sums = sums + x[i] * row
    return plain.rounded(sums if bias is None else sums + plain.rounded(bias, number), number)


def sums(op: RecurrentOp, end: str, x: Whole, scale: float, tensors: Tensors) -> Whole:
    """Return the products of a matrix with codes less their zero point, and their bias, in steps of 2^-12."""
    weight, of_gates = tensors[f"{op.name}.{end}"].astype(np.int64), tensors[f"{op.name}.{end}_scale"]
    total = np.zeros(weight.shape[1], np.int64)
    for i, row in enumerate(weight):
        total = total + x[i] * row
    if end == "weight" or op.recurrent_bias:
        total = total + tensors.get(f"{op.name}.{end.replace('weight', 'bias')}", np.int64(0))
    found = []
    for part, one in zip(np.split(total, len(of_gates)), of_gates, strict=True):
        exact = float(np.float32(scale)) * float(one)
        step = exact if op.gates == "interpolated" else float(np.float32(scale) * one)
        found.append(plain_integer.scaled(part, step * 4096, op.how(), np.float32(step * 4096)))
    return np.concatenate(found)


def words(op: RecurrentOp, end: str, x: Whole, scale: float, tensors: Tensors) -> Whole:
    """Return `sums` as 16-bit words."""
    return word(sums(op, end, x, scale, tensors))


def word(x: Whole) -> Whole:
    """Return numbers within a word of 16 bits."""
    return np.clip(x, -32768, 32767)


def away(x: Whole, places: int) -> Whole:
    """Return x / 2^places to the nearest, halves away from 0."""
    return np.sign(x) * ((2 * np.abs(x) + 2**places) // 2 ** (places + 1))


def sigmoid(x: Whole, form: str) -> Whole:
    """Return 2^15 / (1 + e^-x) of words of scale 2^-12."""
    one = _chord_sigmoid if form == "interpolated" else _fixed_sigmoid
    return np.array([one(int(value)) for value in x], np.int64)


def tanh(x: Whole, form: str, places: int = 0) -> Whole:
    """Return 2^15 tanh x of words of scale 2^(places - 12)."""
    one = _chord_tanh if form == "interpolated" else _fixed_tanh
    return np.array([one(int(value), places) for value in x], np.int64)


# Chords of a table, tflite-micro: reference/integer_ops/logistic.h and tanh.h


@cache
def _table() -> tuple[int, ...]:
    """Return 2^16 s(i / 24), and half of what a chord of 1 / 24 may lie below the curve there; at the end 2^16 - 1."""
    found = []
    for i in range(255):
        s = 1 / (1 + math.exp(-i / 24))
        bend = s * (1 - s) * (1 - 2 * s)  # s''
        found.append(round(65536 * (s - bend / 24 / 24 / 16)))
    return (*found, 65535)


def _chord_sigmoid(x: int) -> int:
    size = abs(3 * x)
    place, rest = divmod(size, 512)
    if place < 255:
        low, high = _table()[place : place + 2]
        value = 512 * low + rest * (high - low)
    else:
        value = 1024 * 32767
    if x < 0:
        value = 65536 * 512 - value - 1
    return (value + 512) // 1024


def _chord_tanh(x: int, places: int) -> int:
    steps = 3 * x * 2**places if places >= 0 else (3 * x + 2 ** (-places - 1)) // 2**-places
    place, rest = divmod(abs(steps), 256)
    if place < 255:
        low, high = _table()[place : place + 2]
        value = 256 * low + rest * (high - low)
    else:
        value = 256 * 65535
    value -= 32768 * 256
    return (value + 128) // 256 if steps >= 0 else (127 - value) // 256


# gemmlowp's fixed point: fixedpoint.h, with int16


def _times(a: int, b: int) -> int:
    """Return a b / 2^15 to the nearest, halves up, within 16 bits."""
    return min((a * b + 16384) // 32768, 32767)


def _divided(a: int, places: int) -> int:
    nearest = (abs(a) + 2**places // 2) // 2**places
    return nearest if a >= 0 else -nearest


def _grown(a: int, places: int) -> int:
    return max(min(a * 2**places, 32767), -32768)


def _power(a: int, whole: int) -> int:
    """Return e^x for x = a 2^(whole - 15) <= 0, of scale 2^-15."""
    if a == 0:
        return 32767
    quarter = 2 ** (15 - whole - 2)
    small = a % quarter - quarter
    x = _grown(small, whole) + 4096
    square = _times(x, x)
    cube, fourth = _times(square, x), _times(square, square)
    third = _times(_divided(fourth, 2) + cube, 10923)
    start = round(32768 * math.exp(-1 / 8))
    result = min(start + _times(start, x + _divided(third + square, 1)), 32767)
    left = small - a
    for exponent in range(-2, 5):
        place = 15 - whole + exponent
        if exponent < whole and left // 2**place % 2:
            result = _times(result, round(32768 * math.exp(-(2**exponent))))
    return result


def _twice_inverse(a: int) -> int:
    """Return 2 / (1 + a 2^-15), of scale 2^-13."""
    half = (a + 32768) // 2
    x = 23130 + _times(half, -15420)
    for _ in range(3):
        x += _grown(_times(x, 8192 - _times(half, x)), 2)
    return x


def _fixed_sigmoid(x: int) -> int:
    if x == 0:
        return 16384
    value = _grown(_twice_inverse(_power(-abs(x), 3)), 1)
    return value if x > 0 else 32767 - value


def _fixed_tanh(x: int, places: int) -> int:
    if x == 0:
        return 0
    value = _grown(_twice_inverse(_power(-abs(x), 4 + places)) - 8192, 2)
    return value if x > 0 else -value
