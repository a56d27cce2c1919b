"""Counter-based uniforms and normals for use inside numba: a draw is a function of its key and nothing else.

Philox4x32-10 turns a counter of four 32-bit words and a key of two into four words that pass the usual batteries of
tests (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Here the key is (low half of the seed,
stream), the last word of the counter is the high half of the seed, and the caller gives the other three words: which
draw, which cell or frame, which array. Whatever else is drawn, in whatever order, on however many threads, the same
counter gives the same bits. Words travel as uint64 values below 2^32, so that products need no conversion.

Normals come in pairs from two words by the Box-Muller transform with polynomials instead of library functions
(`normal_pair`): only additions, products and one square root, all correctly rounded, so that every machine gives the
same bits and a compiler can do eight at once.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled

# Streams: what a draw is for. Two purposes never share a counter.
CELL_STREAM = 1
"""Cell-to-cell and cycle-to-cycle variation while a cell is programmed."""
DRIFT_STREAM = 2
"""A cell's drift exponent."""
READ_STREAM = 3
"""Read noise of a conversion."""
STATE_STREAM = 4
"""Read noise of a column whose current becomes a state."""
DECAY_STREAM = 11
"""What a cell loses or gains after it was programmed."""
STUCK_STREAM = 12
"""Whether a cell is stuck."""
CONVERTER_STREAM = 16
"""Offset, gain error and nonlinearity of a converter."""
CONVERTER_NOISE_STREAM = 17
"""Noise of a converter itself, of a conversion."""
COLUMN_STREAM = 24
"""Rows that are on while the gain of a column is measured."""

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)

_ONE = np.uint64(1)
_TWO = np.uint64(2)
_29 = np.uint64(29)
_30 = np.uint64(30)

_F1 = np.float32(1.0)
_F_HALF = np.float32(0.5)
_TO_UNIT = np.float32(2.0**-31)
_TO_ARC = np.float32(2.0**-29)
_LN2 = np.float32(np.log(2.0))
# sin(pi t / 4) = t P(t^2), cos(pi t / 4) = Q(t^2) for |t| <= 1, ln(1 + f) = f L(f) for 1 + f in [sqrt(1/2), sqrt 2]:
# near-minimax least-squares fits at Chebyshev nodes, largest errors 2.4e-9, 2.8e-8 and 3.6e-8 (relative).
_P = tuple(np.float32(c) for c in (-3.59545076e-05, 0.00249000713, -0.0807454348, 0.785398161))
_Q = tuple(np.float32(c) for c in (-0.000318880505, 0.0158499153, -0.308424254, 0.999999972))
_L = tuple(
    np.float32(c)
    for c in (
        0.0895945895, -0.14481978, 0.149174494, -0.165437718, 0.199584134,
        -0.250029445, 0.333341605, -0.499999778, 0.999999975,
    )
)  # fmt: skip
_P0, _P1, _P2, _P3 = _P
_Q0, _Q1, _Q2, _Q3 = _Q
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = _L
_SQRT_HALF_BITS = np.int32(0x3F3504F3)
_MANTISSA = np.int32(0x7FFFFF)
_SHIFT_BITS = np.int32(0x3F800000 - 0x3F3504F3)
_23 = np.int32(23)


def _reinterpret(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
    return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))


@intrinsic
def _bits_of(_context, value):  # type: ignore[no-untyped-def]
    """The bit pattern of a float32 as int32."""
    return types.int32(types.float32), _reinterpret


@intrinsic
def _float_of(_context, bits):  # type: ignore[no-untyped-def]
    """The float32 of a bit pattern."""
    return types.float32(types.int32), _reinterpret


@numba.njit(inline="always")
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Return the four words of Philox4x32-10 for a counter of four words and a key of two; all uint64 below 2^32.

    Ten rounds of (c0, c1, c2, c3) -> (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0)) with the keys
    advanced by odd constants between them.
    """
    for _ in range(10):
        p0 = _MULTIPLIER_0 * c0
        p1 = _MULTIPLIER_1 * c2
        c0 = (p1 >> _HALF) ^ c1 ^ k0
        c2 = (p0 >> _HALF) ^ c3 ^ k1
        c1 = p1 & _LOW
        c3 = p0 & _LOW
        k0 = (k0 + _WEYL_0) & _LOW
        k1 = (k1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


@numba.njit(inline="always")
def uniform(word):  # type: ignore[no-untyped-def]
    """Return (word + 1/2) / 2^32 as float64, in the open interval (0, 1)."""
    return (np.float64(word) + 0.5) * 2.0**-32


@numba.njit(inline="always")
def normal_pair(word_0, word_1):  # type: ignore[no-untyped-def]
    """Return two independent standard normals (float32) from two random words.

    z = sqrt(-2 ln u) (+-cos a, +-sin a): u = (top 31 bits of word_0 + 1/2) / 2^31, the top two bits of word_1 are the
    signs and the other 30 the angle a in (0, pi/2), evaluated around pi/4. The method has no rejection; its largest
    magnitude is 6.66, and each value is within 1e-6 of the exact transform of its bits.
    """
    u = (np.float32(np.int32(word_0 >> _ONE)) + _F_HALF) * _TO_UNIT
    bits = _bits_of(u) + _SHIFT_BITS
    exponent = (bits >> _23) - np.int32(127)
    f = _float_of(np.int32((bits & _MANTISSA) + _SQRT_HALF_BITS)) - _F1
    series = (((((((_L0 * f + _L1) * f + _L2) * f + _L3) * f + _L4) * f + _L5) * f + _L6) * f + _L7) * f + _L8
    radius = np.sqrt(-(np.float32(exponent) * _LN2 + f * series))  # sqrt(-2 ln u) / sqrt 2
    t = (np.float32(np.int32((word_1 << _TWO) & _LOW) >> np.int32(2)) + _F_HALF) * _TO_ARC
    s = t * t
    sine = t * (((_P0 * s + _P1) * s + _P2) * s + _P3)
    cosine = ((_Q0 * s + _Q1) * s + _Q2) * s + _Q3
    sign_0 = _F1 - np.float32(np.int32((word_1 >> _29) & _TWO))
    sign_1 = _F1 - np.float32(np.int32((word_1 >> _30) & _TWO))
    return sign_0 * (radius * (cosine - sine)), sign_1 * (radius * (cosine + sine))


@numba.njit
def normals_into(out, groups, draw_0, frame, array, seed_high, key_0, key_1):  # type: ignore[no-untyped-def]
    """Fill out[: 4 groups] (float32) with standard normals: out[w groups + g] is normal w of counter draw_0 + g.

    ``groups``: number of counters; the others as in `philox`: counter (draw, frame, array, seed_high).
    """
    out_0 = out[:groups]
    out_1 = out[groups : 2 * groups]
    out_2 = out[2 * groups : 3 * groups]
    out_3 = out[3 * groups : 4 * groups]
    for g in range(groups):
        w0, w1, w2, w3 = philox(draw_0 + np.uint64(g), frame, array, seed_high, key_0, key_1)
        out_0[g], out_1[g] = normal_pair(w0, w1)
        out_2[g], out_3[g] = normal_pair(w2, w3)


@numba.njit
def cell_normals_into(out, count, draw, first_cell, array, seed_high, key_0, key_1):  # type: ignore[no-untyped-def]
    """Fill out[:, :count] (float32 [4, cells]) with the normals of counter (draw, cell, array, seed_high)."""
    out_0, out_1, out_2, out_3 = out[0], out[1], out[2], out[3]
    for g in range(count):
        w0, w1, w2, w3 = philox(draw, first_cell + np.uint64(g), array, seed_high, key_0, key_1)
        out_0[g], out_1[g] = normal_pair(w0, w1)
        out_2[g], out_3[g] = normal_pair(w2, w3)


@numba.njit
def cell_uniforms_into(out, count, draw, first_cell, array, seed_high, key_0, key_1):  # type: ignore[no-untyped-def]
    """Fill out[:count] (float64) with the uniform of the first word of counter (draw, cell, array, seed_high)."""
    for g in range(count):
        w0, _, _, _ = philox(draw, first_cell + np.uint64(g), array, seed_high, key_0, key_1)
        out[g] = uniform(w0)


def split_seed(seed: int) -> tuple[np.uint64, np.uint64]:
    """Return the low and high 32 bits of a seed, 0 <= seed < 2^64; raises ValueError for any other."""
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"a seed must be a whole number from 0 to 2^64 - 1, found {seed}")
    return np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)


@compiled()
def philox_words(counters, key):  # type: ignore[no-untyped-def]
    """Return Philox4x32-10 of each row of ``counters`` [n, 4] under ``key`` [2], as uint64 words [n, 4]."""
    out = np.empty(counters.shape, np.uint64)
    for n in range(len(counters)):
        out[n] = philox(counters[n, 0], counters[n, 1], counters[n, 2], counters[n, 3], key[0], key[1])
    return out


@compiled(parallel=True)
def _normals(count, stream, seed_low, seed_high, array):  # type: ignore[no-untyped-def]
    blocks = -(-count // 4096)
    out = np.empty(blocks * 4096, np.float32)
    for b in numba.prange(blocks):
        part = out[b * 4096 : (b + 1) * 4096]
        normals_into(part, 1024, np.uint64(0), np.uint64(b), array, seed_high, seed_low, stream)
    return out[:count]


def normals(seed: int, stream: int, array: int, count: int) -> NDArray[np.float32]:
    """Return ``count`` standard normals of one array of a stream, for tests and studies of the generator."""
    low, high = split_seed(seed)
    drawn: NDArray[np.float32] = _normals(count, np.uint64(stream), low, high, np.uint64(array))
    return drawn
