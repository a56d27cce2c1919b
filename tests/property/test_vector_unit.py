"""Kernels of a Conformer against plain loops: equal to the last bit, in float32 and in float16."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
import reference_vector as plain
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.activation import add, dequantise, glu, quantise, relu, rescale, silu
from accelsim.kernels.attention import RelativePositions, attention, sinusoids, whole_utterances
from accelsim.kernels.conv import convolve, convolve_each, depthwise, matrix_product, maximum
from accelsim.kernels.norm import layer_norm, softmax
from accelsim.kernels.number import exponential, in_number, is_half, values_of

seeds = st.integers(0, 2**31)
numbers = st.sampled_from(["float32", "float16"])
lengths = st.lists(st.integers(0, 5), min_size=1, max_size=3)


@numba.njit
def rounded(x, half):
    return in_number(np.float32(x), half)


@numba.njit
def exp_of(x):
    return exponential(np.float32(x))


def same_bits(found, wanted):
    np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted, np.float32))


def random_values(seed, number, *shape, spread=3.0):
    return values_of(np.random.default_rng(seed).normal(0, spread, shape), number)


def starts_of(frames):
    return np.concatenate([[0], np.cumsum(frames)]).astype(np.int64)


@settings(max_examples=500)
@given(st.floats(width=32, allow_nan=False))
def test_float16_is_that_of_numpy(x):
    with np.errstate(over="ignore"):
        wanted = np.float32(np.float16(np.float32(x)))
    assert rounded(x, True) == wanted
    assert rounded(x, False) == np.float32(x)


@pytest.mark.parametrize("x", [2.0**-25, 3 * 2.0**-25, 2.0**-14 - 2.0**-26, 65519.9, 65520.0, 1 + 2.0**-11, 0.0])
def test_float16_at_its_edges(x):
    """Ties to even, subnormals, the step to infinity at 65520."""
    with np.errstate(over="ignore"):
        assert rounded(x, True) == np.float32(np.float16(np.float32(x)))


@settings(max_examples=300)
@given(st.floats(-86, 86, width=32))
def test_exponential(x):
    assert exp_of(x) == plain.exponential(x)
    assert exp_of(x) == pytest.approx(math.exp(np.float32(x)), rel=2 * 2.0**-23)


def test_exponential_is_clamped():
    assert exp_of(1e30) == exp_of(87) and exp_of(-1e30) == exp_of(-87) > 0


@settings(max_examples=50)
@given(seeds, numbers)
def test_single_numbers(seed, number):
    x = random_values(seed, number, 3, 4)
    R = plain.rounder(number)
    same_bits(silu(x, number), [[plain.sigmoid_quotient(a, a, number) for a in row] for row in x])
    same_bits(glu(x, number), [[plain.sigmoid_quotient(r[j], r[2 + j], number) for j in range(2)] for r in x])
    same_bits(relu(x), [[max(a, 0) for a in row] for row in x])
    y = random_values(seed + 1, number, 3, 4)
    wanted = [[R(a + R(np.float32(0.3) * b)) for a, b in zip(*rows, strict=True)] for rows in zip(x, y, strict=True)]
    same_bits(add(x, y, 0.3, number), wanted)


@settings(max_examples=50)
@given(seeds, numbers, st.floats(2.0**-10, 1))
def test_quantise_and_back(seed, number, scale):
    x = random_values(seed, number, 5, 3, spread=20.0)
    codes, clamped = quantise(x, scale)
    exact = [[np.rint(a / np.float32(scale)) for a in row] for row in x]
    assert codes.tolist() == np.clip(exact, -127, 127).tolist()
    assert clamped == sum(abs(code) > 127 for row in exact for code in row)
    R = plain.rounder(number)
    same_bits(dequantise(codes, scale, number), [[R(np.float32(c) * np.float32(scale)) for c in row] for row in codes])


def test_quantise_by_hand():
    """Halves go to the even code; 127.5 is clamped, 127.4 is not."""
    codes, clamped = quantise(np.array([0.5, 1.5, -2.5, 127.4, 127.5, -200.0], np.float32), 1.0)
    assert codes.tolist() == [0, 2, -2, 127, 127, -127] and clamped == 2
    with pytest.raises(ValueError, match="greater than 0, found 0"):
        quantise(np.zeros(1, np.float32), 0.0)
    with pytest.raises(ValueError, match="not a number"):
        quantise(np.array([np.nan], np.float32), 1.0)


def test_rescale_by_hand():
    bias = np.array([1.0, -1.0], np.float32)
    same_bits(rescale(np.array([[4, 6]], np.int32), 0.5, bias), [[3.0, 2.0]])
    same_bits(rescale(np.array([[4, 6]], np.int32), 0.5), [[2.0, 3.0]])


@settings(max_examples=50)
@given(seeds, numbers, st.integers(1, 9))
def test_layer_norm_and_softmax(seed, number, width):
    x = random_values(seed, number, 4, width)
    gain, bias = np.random.default_rng(seed + 1).normal(1, 0.5, (2, width)).astype(np.float32)
    wanted = [plain.layer_norm(row, gain, bias, 1e-5, number) for row in x]
    same_bits(layer_norm(x, gain, bias, 1e-5, number), wanted)
    same_bits(softmax(x, number), [plain.softmax(row, number) for row in x])


def test_layer_norm_by_hand():
    """1 and 3: mean 2, variance 1; without epsilon -1 and 1, times 2, plus 5."""
    x = np.array([[1.0, 3.0]], np.float32)
    same_bits(layer_norm(x, np.full(2, 2.0, np.float32), np.full(2, 5.0, np.float32), 0.0), [[3.0, 7.0]])
    same_bits(softmax(np.zeros((1, 4), np.float32)), [[0.25] * 4])


@settings(max_examples=40)
@given(seeds, numbers, lengths, st.integers(1, 2), st.booleans(), st.integers(0, 2))
def test_attention(seed, number, frames, heads, relative, spare):
    starts, width = starts_of(frames), 2 * heads
    qkv = random_values(seed, number, starts[-1], 3 * width)
    if not relative:
        same_bits(
            attention(qkv, whole_utterances(starts), heads, None, number), plain.attention(qkv, starts, heads, number)
        )
        return
    vectors = random_values(seed + 1, "float32", 2 * (max(frames) + spare) + 1, width)
    u, v = np.random.default_rng(seed + 2).normal(0, 1, (2, heads, 2)).astype(np.float32)
    found = attention(qkv, whole_utterances(starts), heads, RelativePositions(vectors, u, v), number)
    same_bits(found, plain.attention(qkv, starts, heads, number, vectors, u, v))


def test_attention_by_hand():
    """One head of one number: q = 0 makes all weights equal, so the context is the mean of v; utterances stay apart."""
    qkv = np.array([[0, 1, 2], [0, 5, 4], [0, 3, 9]], np.float32)
    same_bits(attention(qkv, whole_utterances(np.array([0, 2, 3])), 1), [[3], [3], [9]])


def test_sinusoids_by_hand():
    """Two columns: sin d and cos d for d = 1, 0, -1."""
    same_bits(sinusoids(2, 2), [[math.sin(1), math.cos(1)], [0, 1], [-math.sin(1), math.cos(1)]])


@settings(max_examples=50)
@given(seeds, st.integers(0, 4), st.integers(1, 6), st.integers(1, 4))
def test_matrix_product(seed, frames, inputs, outputs):
    random = np.random.default_rng(seed)
    x = random.integers(-128, 128, (frames, inputs), np.int8)
    w = random.integers(-128, 128, (inputs, outputs), np.int8)
    wanted = [[sum(int(a) * int(b) for a, b in zip(row, column, strict=True)) for column in w.T] for row in x]
    assert matrix_product(x, w).tolist() == wanted


def test_matrix_product_where_float32_would_lose():
    """2,048 products of 127 x 127 and one of 1 x 1: 33,032,193 is odd and beyond 2^24, float32 has no such number."""
    x = np.full((1, 2049), 127, np.int8)
    w = np.full((2049, 1), 127, np.int8)
    x[0, -1] = w[-1, 0] = 1
    assert int(np.float32(2048 * 127 * 127 + 1)) != 2048 * 127 * 127 + 1
    assert matrix_product(x, w)[0, 0] == 2048 * 127 * 127 + 1
    with pytest.raises(ValueError, match="do not fit into 32 bits"):
        matrix_product(np.full((1, 140_000), 127, np.int8), np.full((140_000, 1), 127, np.int8))


@settings(max_examples=60)
@given(seeds, lengths, st.integers(1, 7), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_depthwise(seed, frames, taps, channels, dilation, causal):
    random, starts = np.random.default_rng(seed), starts_of(frames)
    codes = random.integers(-128, 128, (starts[-1], channels), np.int8)
    weights = random.integers(-128, 128, (taps, channels), np.int8)
    found = depthwise(codes, weights, starts, dilation=dilation, causal=causal)
    assert found.tolist() == plain.depthwise(codes, weights, starts, dilation, causal).tolist()


@settings(max_examples=80)
@given(
    seeds, lengths, st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3),
    st.tuples(st.integers(1, 3), st.integers(1, 3)), st.booleans(),
)  # fmt: skip
def test_convolve(seed, frames, bands, taps, band_taps, stride, dilation, causal):
    random, starts = np.random.default_rng(seed), starts_of(frames)
    codes = random.integers(-128, 128, (starts[-1], bands, 2), np.int8)
    weights = random.integers(-128, 128, (taps, band_taps, 2, 3), np.int8)
    each = random.integers(-128, 128, (taps, band_taps, 1, 2), np.int8)
    # Channel by channel is the same as weights [I, K, 2, 2] that are zero from one channel to the other.
    apart = np.where(np.eye(2, dtype=bool), each, np.int8(0))
    for kernel, given_weights, whole in ((convolve, weights, weights), (convolve_each, each, apart)):
        sums, new_starts = kernel(codes, given_weights, starts, (stride, 2), dilation=dilation, causal=causal)
        for u in range(len(frames)):
            wanted = plain.convolve(codes[starts[u] : starts[u + 1]], whole, (stride, 2), dilation, causal)
            np.testing.assert_array_equal(sums[new_starts[u] : new_starts[u + 1]], wanted)


def test_even_kernels_and_dilation_by_hand():
    """Weights 1, 10, 100, 1000: the zeros of an even kernel, two more before than after; dilated; causal."""
    starts, row = np.array([0, 4]), np.array([[1], [2], [3], [4]], np.int8)
    depth = {
        (2, 1, False): [10, 21, 32, 43],
        (2, 2, False): [10, 20, 31, 42],
        (2, 2, True): [10, 20, 31, 42],
        (4, 1, False): [2100, 3210, 4321, 432],
        (3, 2, False): [310, 420, 31, 42],
        (3, 2, True): [100, 200, 310, 420],
    }
    for (taps, dilation, causal), wanted in depth.items():
        weights = np.array([[1], [10], [100], [1000]], np.int16)[:taps]
        assert depthwise(row, weights, starts, dilation=dilation, causal=causal)[:, 0].tolist() == wanted
        how = {"dilation": (dilation, 1), "causal": causal}
        assert convolve(row[:, None], weights[:, None, :, None], starts, **how)[0][:, 0, 0].tolist() == wanted
        assert convolve_each(row[:, None], weights[:, None, None], starts, **how)[0][:, 0, 0].tolist() == wanted


@settings(max_examples=40)
@given(seeds, lengths, st.integers(1, 5), st.integers(1, 3), st.integers(1, 2))
def test_maximum(seed, frames, bands, time, size):
    starts = starts_of(frames)
    values = random_values(seed, "float32", starts[-1], bands, 2)
    found, new_starts = maximum(values, starts, (time, size))
    for u in range(len(frames)):
        x, y = values[starts[u] : starts[u + 1]], found[new_starts[u] : new_starts[u + 1]]
        assert y.shape == (len(x) // time, bands // size, 2)
        for t, b, c in np.ndindex(y.shape):
            assert y[t, b, c] == max(x[time * t + i, size * b + k, c] for i in range(time) for k in range(size))


def test_what_does_not_fit_is_refused():
    x, one = np.zeros((2, 3), np.float32), np.ones(3, np.float32)
    with pytest.raises(ValueError, match="unknown number format 'bfloat16'"):
        is_half("bfloat16")
    with pytest.raises(ValueError, match="even number of inputs, found 3"):
        glu(x)
    with pytest.raises(ValueError, match="cannot be added"):
        add(x, x[:1])
    with pytest.raises(ValueError, match="do not fit 3 values per frame"):
        layer_norm(x, one[:2], one)
    with pytest.raises(ValueError, match="even width"):
        sinusoids(2, 3)
    with pytest.raises(ValueError, match="3 columns are not q, k and v of 2 heads"):
        attention(x, whole_utterances(np.array([0, 2])), 2)
    with pytest.raises(ValueError, match="do not fit 2 rows"):
        attention(x, whole_utterances(np.array([0, 1])), 1)
    with pytest.raises(ValueError, match="reaches beyond the 2 rows"):
        attention(x, np.array([[0, 2], [1, 3]]), 1)
    biases, both = np.zeros((1, 1), np.float32), np.array([[0, 2], [0, 2]])
    with pytest.raises(ValueError, match="up to 1 rows need 3 position vectors, found 1"):
        attention(x, both, 1, RelativePositions(np.zeros((1, 1), np.float32), biases, biases))
    with pytest.raises(ValueError, match="do not fit 1 heads of 1"):
        attention(x, both, 1, RelativePositions(np.zeros((3, 2), np.float32), biases, biases))
    codes = np.zeros((2, 3), np.int8)
    with pytest.raises(ValueError, match="codes of 3 channels, weights of 2"):
        depthwise(codes, np.zeros((3, 2), np.int8), np.array([0, 2]))
    with pytest.raises(ValueError, match="end at frame 3, found 2 frames"):
        depthwise(codes, np.zeros((3, 3), np.int8), np.array([0, 3]))
    with pytest.raises(ValueError, match="do not fit weights"):
        convolve(codes[:, None], np.zeros((1, 1, 2, 1), np.int8), np.array([0, 2]))
    with pytest.raises(ValueError, match="at least 1 tap and a dilation of at least 1, found 1, 0"):
        convolve(codes[:, None], np.zeros((1, 1, 3, 1), np.int8), np.array([0, 2]), dilation=(1, 0))
