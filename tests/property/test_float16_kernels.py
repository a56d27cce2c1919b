"""The kernels of a float16 NPU against `reference_float16`: to the bit, with every fault that they count.

Inputs are drawn at random and from what breaks float16: subnormals, the largest numbers, infinities, NaN, halves.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_float16 import Unit
from scipy import special

from accelsim.kernels.activation import add, gelu, glu, multiply, sigmoid, silu, tanh
from accelsim.kernels.attention import RelativePositions, attention, chunks, whole_utterances
from accelsim.kernels.conv import convolve, convolve_each, depthwise
from accelsim.kernels.float_product import average, convolve_each_values, convolve_values, depthwise_values, product
from accelsim.kernels.norm import layer_norm, softmax
from accelsim.kernels.number import FloatExceptions, in_number, values_of

LARGEST = 65504.0
TINY = 2.0**-24
NUMBERS = ["float32", "float16"]
FORMATS = [(number, accumulator) for number in NUMBERS for accumulator in NUMBERS]
formats = pytest.mark.parametrize(("number", "accumulator"), FORMATS)
seeds = st.integers(0, 2**31)

edges = st.sampled_from(
    [0.0, -0.0, TINY, -TINY, 3 * TINY, 2.0**-14, 2.0**-14 - TINY, LARGEST, -LARGEST, 65472.0, 32752.0, 1.0, -1.0,
     1 + 2.0**-10, 2048.0, 2049.0, 0.5 + 2.0**-11, 2.0**-12, 11.09, 11.1, -9.7, -9.71, -17.0, -88.0, 88.0]
)  # fmt: skip
broken = st.sampled_from([math.inf, -math.inf, math.nan])
ordinary = st.floats(-4, 4, width=16)
finite = st.floats(width=16, allow_nan=False, allow_infinity=False)
wide = st.floats(width=32)  # for float32 numbers; on the grid of float16 most of them are infinite


def numbers(at_least_finite):
    kinds = [ordinary, ordinary, edges, finite]
    return st.one_of(kinds if at_least_finite else [*kinds, broken, wide])


@st.composite
def arrays(draw, *shape, at_least_finite=False):
    """Values that break something: one by one, all equal, alternating, or small ones far from zero."""
    size = math.prod(shape)
    kind = draw(st.sampled_from(["free", "free", "ordinary", "equal", "alternating", "offset"]))
    one = numbers(at_least_finite)
    if kind == "free":
        x = draw(st.lists(one, min_size=size, max_size=size))
    elif kind == "ordinary":
        x = np.random.default_rng(draw(seeds)).normal(0, draw(st.sampled_from([1e-6, 0.01, 1, 30, 3000])), size)
    elif kind == "equal":
        x = np.full(size, draw(one))
    elif kind == "alternating":
        x = draw(one) * np.where(np.arange(size) % 2, -1.0, 1.0)
    else:
        x = draw(one) + np.random.default_rng(draw(seeds)).normal(0, 1, size)
    with np.errstate(all="ignore"):
        return np.asarray(x, np.float64).astype(np.float32).reshape(shape)


def same(found, wanted):
    """Compare bits, signs of zeros included; any NaN is as good as another."""
    found, wanted = np.asarray(found, np.float32), np.asarray(wanted, np.float32)
    assert found.shape == wanted.shape
    nan = np.isnan(wanted)
    np.testing.assert_array_equal(np.isnan(found), nan)
    np.testing.assert_array_equal(found[~nan].view(np.uint32), wanted[~nan].view(np.uint32), f"{found} {wanted}")


def check(kernel, plain, number, accumulator, *, accumulates=True):
    """Run a kernel with and without counting, and the reference; values and exceptions have to agree."""
    unit, exceptions = Unit(number, accumulator), FloatExceptions()
    with np.errstate(all="ignore"):
        wanted = unit.gives(plain(unit))
    how = {"accumulator": accumulator} if accumulates else {}
    same(kernel(exceptions=exceptions, **how), wanted)
    same(kernel(**how), wanted)
    assert exceptions == unit.exceptions


# -- norms, softmax, single numbers -----------------------------------------------------------------------------------


@formats
@pytest.mark.parametrize("form", ["plain", "pre_normalised"])
@settings(max_examples=60, deadline=None)
@given(data=st.data(), width=st.integers(1, 12), seed=seeds, epsilon=st.sampled_from([1e-5, 1e-5, 0.0, 1.0]))
def test_layer_norm(number, accumulator, form, data, width, seed, epsilon):
    x = values_of(data.draw(arrays(2, width)), number)
    gain, bias = np.random.default_rng(seed).normal(1, 0.5, (2, width)).astype(np.float32)

    def plain(unit):
        norm = unit.layer_norm if form == "plain" else unit.pre_normalised
        return [norm(row, gain, bias, epsilon) for row in x]

    def kernel(**how):
        return layer_norm(x, gain, bias, epsilon, number, form=form, **how)

    check(kernel, plain, number, accumulator)


@formats
@pytest.mark.parametrize("form", ["plain", "pre_normalised"])
def test_layer_norm_of_wide_rows(number, accumulator, form):
    """Where terms underflow, sums stagnate and plain sums overflow."""
    random, width = np.random.default_rng(5), 700
    rows = [random.normal(0, s, width) for s in (1e-5, 1, 1000)] + [np.where(np.arange(width) % 2, -LARGEST, LARGEST)]
    x = values_of(np.array(rows), number)
    gain, bias = random.normal(1, 0.5, (2, width)).astype(np.float32)

    def plain(unit):
        norm = unit.layer_norm if form == "plain" else unit.pre_normalised
        return [norm(row, gain, bias, 1e-5) for row in x]

    check(lambda **how: layer_norm(x, gain, bias, 1e-5, number, form=form, **how), plain, number, accumulator)


@formats
@pytest.mark.parametrize("form", ["shifted", "plain", "rescaled"])
@settings(max_examples=60, deadline=None)
@given(data=st.data(), width=st.integers(0, 12))
def test_softmax(number, accumulator, form, data, width):
    x = values_of(data.draw(arrays(2, width)), number)
    check(
        lambda **how: softmax(x, number, form=form, **how),
        lambda unit: np.reshape([unit.softmax(row, form) for row in x], x.shape),
        number, accumulator,
    )  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
@settings(max_examples=80, deadline=None)
@given(data=st.data(), factor=st.sampled_from([1.0, 0.5, 0.3, 60000.0]))
def test_single_numbers(number, data, factor):
    x, y = (values_of(data.draw(arrays(2, 6)), number) for _ in range(2))
    single = {"number": number, "accumulator": "float32", "accumulates": False}
    check(lambda **how: silu(x, number, **how), lambda unit: [[unit.gated(a, a) for a in row] for row in x], **single)
    for kernel in (sigmoid, tanh, gelu):
        check(
            lambda kernel=kernel, **how: kernel(x, number, **how),
            lambda unit, kernel=kernel: [[getattr(unit, kernel.__name__)(a) for a in row] for row in x],
            **single,
        )
    check(
        lambda **how: multiply(x, y, number, **how),
        lambda unit: [[unit.multiply(a, b) for a, b in zip(*rows, strict=True)] for rows in zip(x, y, strict=True)],
        **single,
    )
    check(
        lambda **how: glu(x, number, **how),
        lambda unit: [[unit.gated(row[j], row[3 + j]) for j in range(3)] for row in x],
        **single,
    )
    check(
        lambda **how: add(x, y, factor, number, **how),
        lambda unit: [[unit.add(a, b, factor) for a, b in zip(*rows, strict=True)] for rows in zip(x, y, strict=True)],
        **single,
    )


def test_how_near_activations_are():
    """The bounds of the docstrings, against scipy in float64; in float16 each operation rounds once more."""
    x = np.concatenate([np.linspace(-14, 14, 400_001), np.geomspace(1e-30, 1, 1000), -np.geomspace(1e-30, 1, 1000)])
    x = x.astype(np.float32)
    exact = x.astype(np.float64)
    assert np.abs(tanh(x) - np.tanh(exact)).max() < 1.5e-7 and tanh(x).max() == 1
    assert (np.abs(tanh(x) - np.tanh(exact)) <= 1.5e-7 * np.abs(np.tanh(exact))).all()
    assert (np.abs(gelu(x) - exact * special.ndtr(exact)) <= 1.5e-7 * np.maximum(1, np.abs(x))).all()
    assert (np.abs(sigmoid(x) - special.expit(exact)) <= 3e-7 * special.expit(exact)).all()
    half = values_of(x, "float16")
    exact = half.astype(np.float64)
    assert np.abs(tanh(half, "float16") - np.tanh(exact)).max() <= 2.0**-12 + 2e-7
    assert (np.abs(gelu(half, "float16") - exact * special.ndtr(exact)) <= 2.0**-10 * np.maximum(1, np.abs(x))).all()
    assert np.abs(sigmoid(half, "float16") - special.expit(exact)).max() < 2.0**-10


def test_activations_at_infinity():
    ends = np.float32([-np.inf, np.inf])
    assert tanh(ends).tolist() == [-1, 1] and gelu(ends)[1] == np.inf and np.isnan(gelu(ends)[0])
    assert sigmoid(ends, "float16").tolist() == [0, 1]


def test_faults_by_hand():
    """60000 + 60000 overflows, inf + 1 does not; 2^-14 / 3 loses digits, 2^-15 loses none."""
    exceptions = FloatExceptions()
    a, b = np.array([60000, np.inf], np.float32), np.array([60000, 1], np.float32)
    add(a, b, 1.0, "float16", exceptions=exceptions)
    assert exceptions == FloatExceptions(overflow=1, infinity=2)
    exceptions = FloatExceptions()
    add(np.zeros(3, np.float32), np.float32([2.0**-14, 2.0**-14, np.nan]), 1 / 3, "float16", exceptions=exceptions)
    assert exceptions == FloatExceptions(underflow=2, nan=1)
    exceptions = FloatExceptions()
    add(np.zeros(1, np.float32), np.float32([2.0**-14]), 0.5, "float16", exceptions=exceptions)
    assert exceptions == FloatExceptions()


# -- attention ---------------------------------------------------------------------------------------------------------


@st.composite
def spans_of(draw, rows):
    """Utterances, chunks, or anything."""
    kind = draw(st.sampled_from(["whole", "chunks", "any"]))
    if kind == "any":
        ends = st.tuples(st.integers(0, rows), st.integers(0, rows))
        return np.array(draw(st.lists(ends, min_size=rows, max_size=rows)), np.int64).reshape(rows, 2)
    cut = draw(st.integers(0, rows))
    starts = np.array([0, cut, rows])
    return (
        whole_utterances(starts)
        if kind == "whole"
        else chunks(starts, draw(st.integers(1, 3)), draw(st.integers(0, 3)))
    )


@formats
@pytest.mark.parametrize("form", ["shifted", "plain", "rescaled"])
@settings(max_examples=25, deadline=None)
@given(data=st.data(), rows=st.integers(0, 5), heads=st.integers(1, 2), relative=st.booleans())
def test_attention(number, accumulator, form, data, rows, heads, relative):
    width = 2 * heads
    qkv = values_of(data.draw(arrays(rows, 3 * width)), number)
    spans, positions, more = data.draw(spans_of(rows)), None, ()
    if relative:
        vectors, u, v = data.draw(arrays(2 * rows + 1, width)), *data.draw(arrays(2, heads, 2))
        positions, more = RelativePositions(vectors, u, v), (vectors, u, v)
    check(
        lambda **how: attention(qkv, spans, heads, positions, number, softmax_form=form, **how),
        lambda unit: unit.attention(qkv, spans, heads, form, *more),
        number, accumulator,
    )  # fmt: skip


def test_chunks_by_hand():
    """Utterances of 5 rows and 1 row, chunks of 2, one row before each."""
    assert chunks(np.array([0, 5, 6]), 2, 1).tolist() == [[0, 2], [0, 2], [1, 4], [1, 4], [3, 5], [5, 6]]
    assert whole_utterances(np.array([0, 2, 2, 3])).tolist() == [[0, 2], [0, 2], [2, 3]]
    assert chunks(np.array([0, 3]), 1, 9).tolist() == [[0, 1], [0, 2], [0, 3]]
    with pytest.raises(ValueError, match="at least 1 row"):
        chunks(np.array([0, 3]), 0, 0)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=3), st.integers(1, 5), st.integers(0, 7))
def test_chunks(lengths, chunk, left):
    """Row by row: a row sees another of its utterance if that one's chunk ends its own or if it is near enough."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    found = chunks(starts, chunk, left)
    for u, length in enumerate(lengths):
        for t in range(length):
            k = t // chunk
            seen = [s for s in range(length) if k * chunk - left <= s < (k + 1) * chunk]
            assert list(range(*(found[starts[u] + t] - starts[u]))) == seen


def test_rows_that_see_nothing_give_zeros():
    qkv = np.ones((2, 3), np.float32)
    same(attention(qkv, np.array([[1, 1], [0, 2]]), 1), [[0], [1]])


# -- products and convolutions -----------------------------------------------------------------------------------------


@formats
@settings(max_examples=60, deadline=None)
@given(
    data=st.data(), rows=st.integers(0, 3), inputs=st.integers(0, 9), outputs=st.integers(1, 4), biased=st.booleans()
)
def test_product(number, accumulator, data, rows, inputs, outputs, biased):
    x, w = values_of(data.draw(arrays(rows, inputs)), number), data.draw(arrays(inputs, outputs))
    bias = data.draw(arrays(outputs)) if biased else None
    check(
        lambda **how: product(x, w, bias, number, **how),
        lambda unit: unit.product(x, w, bias),
        number, accumulator,
    )  # fmt: skip


@formats
@pytest.mark.parametrize("deviation", [1e-3, 1.0, 50.0])
def test_longer_products(number, accumulator, deviation):
    """Sums of many roundings: any other order shows."""
    random = np.random.default_rng(2)
    x, w = (values_of(random.normal(0, deviation, shape), number) for shape in ((3, 43), (43, 5)))
    bias = random.normal(0, 1, 5).astype(np.float32)
    check(
        lambda **how: product(x, w, bias, number, **how),
        lambda unit: unit.product(x, w, bias),
        number, accumulator,
    )  # fmt: skip
    maps, taps = x[:, :42].reshape(-1, 3, 2), values_of(random.normal(0, deviation, (3, 3, 2, 4)), number)
    starts = np.array([0, 20, len(maps)])
    check(
        lambda **how: convolve_values(maps, taps, None, starts, (2, 1), number, **how)[0],
        lambda unit: unit.convolve(maps, taps, None, starts, (2, 1)),
        number, accumulator,
    )  # fmt: skip


def many_threads():
    return sorted({1, numba.config.NUMBA_NUM_THREADS})


@formats
def test_product_does_not_depend_on_blocks_or_threads(number, accumulator):
    """More rows and outputs than one block, among them infinities: all at once is as one by one, for any threads."""
    random = np.random.default_rng(1)
    x, w = (values_of(random.normal(0, s, shape), number) for s, shape in ((60, (37, 21)), (60, (21, 150))))
    x[5, 3], w[7, 120] = np.inf, LARGEST
    bias = random.normal(0, 1, 150).astype(np.float32)
    found = []
    try:
        for threads in many_threads():
            numba.set_num_threads(threads)
            exceptions = FloatExceptions()
            found.append((product(x, w, bias, number, accumulator=accumulator, exceptions=exceptions), exceptions))
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    apart = FloatExceptions()
    for values, exceptions in found:
        same(values, found[0][0])
        assert exceptions == found[0][1] and exceptions.infinity > 0
    for t in range(len(x)):
        for left in (0, 149):
            columns = slice(left, left + 149)
            one = product(x[t : t + 1], w[:, columns], bias[columns], number, accumulator=accumulator)
            same(one[0], found[0][0][t, columns])
        product(x[t : t + 1], w, bias, number, accumulator=accumulator, exceptions=apart)
    assert apart == found[0][1]


@formats
@settings(max_examples=25, deadline=None)
@given(
    data=st.data(), frames=st.lists(st.integers(0, 4), min_size=1, max_size=2), bands=st.integers(1, 3),
    taps=st.integers(1, 4), band_taps=st.integers(1, 3), stride=st.sampled_from([(1, 1), (2, 2), (1, 3)]),
    dilation=st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2), (3, 2)]), causal=st.booleans(), biased=st.booleans(),
)  # fmt: skip
def test_convolutions(
    number, accumulator, data, frames, bands, taps, band_taps, stride, dilation, causal, biased
):  # fmt: skip
    starts = np.concatenate([[0], np.cumsum(frames)])
    x = values_of(data.draw(arrays(int(starts[-1]), bands, 2)), number)
    w, each = data.draw(arrays(taps, band_taps, 2, 2)), data.draw(arrays(taps, band_taps, 1, 2))
    bias = data.draw(arrays(2)) if biased else None
    new_starts = np.concatenate([[0], np.cumsum(-(-np.diff(starts) // stride[0]))])
    for kernel, weights in ((convolve_values, w), (convolve_each_values, each)):

        def values(kernel=kernel, weights=weights, **how):
            made, new = kernel(x, weights, bias, starts, stride, number, dilation=dilation, causal=causal, **how)
            assert new.tolist() == new_starts.tolist()
            return made

        check(
            values,
            lambda unit, weights=weights: unit.convolve(
                x, weights, bias, starts, stride, weights is each, dilation, causal
            ),
            number, accumulator,
        )  # fmt: skip


@formats
@settings(max_examples=40, deadline=None)
@given(
    data=st.data(), frames=st.lists(st.integers(0, 5), min_size=1, max_size=2), taps=st.integers(1, 5),
    dilation=st.integers(1, 3), causal=st.booleans(), biased=st.booleans(),
)  # fmt: skip
def test_depthwise(number, accumulator, data, frames, taps, dilation, causal, biased):
    starts = np.concatenate([[0], np.cumsum(frames)])
    x, w = values_of(data.draw(arrays(int(starts[-1]), 2)), number), data.draw(arrays(taps, 2))
    bias = data.draw(arrays(2)) if biased else None
    check(
        lambda **how: depthwise_values(x, w, bias, starts, number, dilation=dilation, causal=causal, **how),
        lambda unit: unit.depthwise(x, w, bias, starts, dilation, causal),
        number, accumulator,
    )  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
@settings(max_examples=60, deadline=None)
@given(
    data=st.data(), frames=st.lists(st.integers(0, 5), min_size=1, max_size=2), bands=st.integers(1, 4),
    size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)  # fmt: skip
def test_average(number, data, frames, bands, size):
    starts = np.concatenate([[0], np.cumsum(frames)])
    x = values_of(data.draw(arrays(int(starts[-1]), bands, 2)), number)

    def values(**how):
        made, new_starts = average(x, starts, size, number, **how)
        assert np.diff(new_starts).tolist() == [n // size[0] for n in frames]
        return made

    check(values, lambda unit: unit.average(x, starts, size), number, "float32", accumulates=False)


def test_a_mean_in_float16_is_rounded_once():
    """(2048 + 1 + 1) / 3 = 683.33: summed in float16 it would be 2048 / 3 = 682.67; and 65504 twice is no overflow."""
    x, exceptions = np.float32([[[2048, 65504]], [[1, 65504]], [[1, 65504]]]), FloatExceptions()
    found, _ = average(x, np.array([0, 3]), (3, 1), "float16", exceptions=exceptions)
    assert found[0, 0].tolist() == [683.5, 65504] and exceptions == FloatExceptions()


@settings(max_examples=40, deadline=None)
@given(
    seeds, st.lists(st.integers(0, 5), min_size=1, max_size=3), st.integers(1, 4), st.sampled_from([1, 3]),
    st.sampled_from([1, 3]), st.integers(1, 2), st.booleans(),
)  # fmt: skip
def test_integers_are_the_values_where_float32_is_exact(seed, frames, bands, taps, band_taps, stride, causal):
    """Codes and weights of 8 bits make sums below 2^24: integer and float kernels agree on the geometry."""
    random, starts = np.random.default_rng(seed), np.concatenate([[0], np.cumsum(frames)])
    codes = random.integers(-128, 128, (starts[-1], bands, 2), np.int8)
    w = random.integers(-128, 128, (taps, band_taps, 2, 3), np.int8)
    each = random.integers(-128, 128, (taps, band_taps, 1, 2), np.int8)
    values = codes.astype(np.float32)
    for exact, kernel, weights in ((convolve, convolve_values, w), (convolve_each, convolve_each_values, each)):
        found, new_starts = kernel(values, weights.astype(np.float32), None, starts, (stride, 2))
        wanted, wanted_starts = exact(codes, weights, starts, (stride, 2))
        np.testing.assert_array_equal(found, wanted)
        assert wanted.dtype == np.int32 and new_starts.tolist() == wanted_starts.tolist()
    found = depthwise_values(values[:, 0], each[:, 0, 0].astype(np.float32), None, starts, causal=causal)
    np.testing.assert_array_equal(found, depthwise(codes[:, 0], each[:, 0, 0], starts, causal=causal))


def test_a_causal_convolution_by_hand():
    """Weights 1, 10, 100 of which the last meets the frame itself: 100 x_t + 10 x_(t-1) + x_(t-2)."""
    codes, weights = np.array([[1], [2], [3], [4]], np.int8), np.array([[1], [10], [100]], np.int8)
    starts = np.array([0, 3, 4])
    assert depthwise(codes, weights, starts, causal=True)[:, 0].tolist() == [100, 210, 321, 400]


def test_float16_sums_by_hand():
    """2048 + 1 is 2048 in float16, so ones added one by one stop there; in float32 they do not."""
    x, w = np.ones((1, 3000), np.float32), np.ones((3000, 1), np.float32)
    assert product(x, w, None, "float16", accumulator="float16")[0, 0] == 2048
    assert product(x, w, None, "float16", accumulator="float32")[0, 0] == 3000


def test_counts_do_not_depend_on_threads():
    random = np.random.default_rng(3)
    x, one = values_of(random.normal(0, 400, (50, 48)), "float16"), np.ones(48, np.float32)
    found = []
    try:
        for threads in many_threads():
            numba.set_num_threads(threads)
            exceptions = FloatExceptions()
            how = {"accumulator": "float16", "exceptions": exceptions}
            layer_norm(x, one, one, 1e-5, "float16", **how)
            softmax(x, "float16", form="rescaled", **how)
            attention(x, chunks(np.array([0, 20, 50]), 7, 3), 2, None, "float16", **how)
            silu(x, "float16", exceptions=exceptions)
            found.append(exceptions)
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    assert all(exceptions == found[0] for exceptions in found)
    assert found[0].overflow > 0 and found[0].underflow > 0 and found[0].rescaled > 0


def test_what_does_not_fit_is_refused():
    x, one = np.zeros((2, 3), np.float32), np.ones(3, np.float32)
    with pytest.raises(ValueError, match="unknown form of a norm 'fast'"):
        layer_norm(x, one, one, form="fast")
    with pytest.raises(ValueError, match="unknown form of a softmax 'fast'"):
        softmax(x, form="fast")
    with pytest.raises(ValueError, match=r"shape \(2, 3\) cannot be multiplied by \(3, 2\)"):
        multiply(x, x.T)
    with pytest.raises(ValueError, match="do not fit weights"):
        product(x, x, None)
    with pytest.raises(ValueError, match="bias of shape"):
        product(x, x.T, one)
    with pytest.raises(ValueError, match="3 channels, weights of 2"):
        depthwise_values(x, x[:, :2], None, np.array([0, 2]))
    with pytest.raises(ValueError, match="do not fit weights"):
        convolve_each(np.zeros((2, 2, 3), np.int8), np.zeros((1, 1, 1, 2), np.int8), np.array([0, 2]))
    with pytest.raises(ValueError, match="end at frame 3, found 2 frames"):
        average(x[:, None], np.array([0, 3]), (1, 1))


# -- what the pre-normaliser promises ----------------------------------------------------------------------------------

HARD_WIDTHS = [1, 2, 3, 63, 64, 512, 700, 1023, 1024, 1025, 1364, 2047, 2048, 2049, 3000, 4095, 4096]


def worst_rows(width, seed=0):
    """Rows that reach a bound or come near: one number alone, extremes, steps to both sides of what underflows."""
    random = np.random.default_rng(seed)
    at, sign = np.arange(width), np.where(np.arange(width) % 2, -1.0, 1.0)
    small = width * 2.0**-22  # eight times this width's floor under the deviation
    for size in (LARGEST, 32752.0, 16384.0, 1.0, small, small / 8, small / 64, 2.0**-14, TINY):
        yield np.full(width, size)
        yield size * sign
        yield size * (at == 0)
        yield size * (at == width - 1)
        yield size * np.where(at == 0, -1, 1)
        yield size * np.where(at == width - 1, -1, 1)
        yield size * np.where(at < width // 2, 1, -1)
        yield size * random.choice([-1.0, 1.0], width)
        yield size * random.uniform(-1, 1, width)
        yield size * np.sort(random.uniform(-1, 1, width))
        yield size * np.exp2(-random.uniform(0, 30, width)) * sign
        yield np.where(at == width // 2, LARGEST, size * sign)
        yield np.where(at == 0, LARGEST, size * sign)


def assert_bounded(rows):
    x = values_of(np.clip(rows, -LARGEST, LARGEST), "float16")
    width = x.shape[1]
    for accumulator in NUMBERS:
        exceptions = FloatExceptions()
        y = layer_norm(
            x, np.ones(width, np.float32), np.zeros(width, np.float32), 1e-5, "float16",
            accumulator=accumulator, form="pre_normalised", exceptions=exceptions,
        )  # fmt: skip
        assert (exceptions.overflow, exceptions.infinity, exceptions.nan) == (0, 0, 0)
        assert (np.abs(y) <= max(1.01 * math.sqrt(width), 1)).all()
        constant = (x == x[:, :1]).all(axis=1)
        assert (y[constant] == 0).all()


@pytest.mark.parametrize("width", HARD_WIDTHS)
def test_no_row_overflows_the_pre_normalised_norm(width):
    assert_bounded(np.array(list(worst_rows(width))))


@settings(max_examples=150, deadline=None)
@given(st.data(), st.one_of(st.integers(1, 4096), st.sampled_from(HARD_WIDTHS)), seeds)
def test_no_row_overflows_the_pre_normalised_norm_at_random(data, width, seed):
    """A pattern of a few drawn numbers, repeated in blocks or shuffled, and float16 bits drawn evenly."""
    some = np.array(data.draw(st.lists(st.one_of(finite, edges), min_size=1, max_size=6)))
    random = np.random.default_rng(seed)
    bits = random.integers(0, 2**16, width).astype(np.uint16).view(np.float16).astype(np.float64)
    bits = np.where(np.isfinite(bits), bits, LARGEST)
    rows = [np.resize(some, width), np.sort(np.resize(some, width)), random.choice(some, width), bits]
    share = random.random(width) < data.draw(st.sampled_from([1 / width, 0.01, 0.5]))
    assert_bounded(np.array([*rows, np.where(share, rows[2], rows[0][0])]))


@numba.njit(parallel=True)
def largest_means(largest):
    """Return for every width up to 4096 the mean of a row of equal numbers over that number, the largest of all."""
    found = np.zeros(4097)
    for n in numba.prange(1, 4097):
        c = in_number(np.float32(1) / np.float32(n), True)
        sums, terms = np.zeros(len(largest), np.float32), np.empty(len(largest), np.float32)
        for k in range(len(largest)):
            terms[k] = in_number(largest[k] * c, True)
        for _ in range(n):
            for k in range(len(largest)):
                sums[k] = in_number(sums[k] + terms[k], True)
        found[n] = (sums / largest).max()
    return found


def test_no_mean_exceeds_1_34_times_its_largest_number():
    """The walk that the proof rests on: all 1024 significands, at the top of the range and at 1.

    Rounding is monotone: no row exceeds the one whose numbers are all the largest. At both scales no term is subnormal;
    numbers so small that a term is cannot overflow.
    """
    significands = np.arange(1024, 2048, dtype=np.float32)
    for scale in (8.0, 2.0**-10):
        found = largest_means(significands * np.float32(scale))
        assert found.max() < 1.34
        assert found.argmax() == 3069
    # Halves instead of quarters would not do: numbers span 65504, and the mean of 1363 equal ones and a 0 overflows.
    assert largest_means(np.array([32752], np.float32))[1364] * 65504 > 65520


def float64_norm(x, epsilon=1e-5):
    x = x.astype(np.float64)
    d = x - x.mean(axis=1, keepdims=True)
    return d / np.sqrt((d * d).mean(axis=1, keepdims=True) + epsilon)


def norm_of(x, form, accumulator="float32"):
    exceptions, one = FloatExceptions(), np.ones(x.shape[1], np.float32)
    y = layer_norm(x, one, 0 * one, 1e-5, "float16", accumulator=accumulator, form=form, exceptions=exceptions)
    return y, exceptions


@pytest.mark.parametrize("accumulator", NUMBERS)
@pytest.mark.parametrize("width", [64, 144, 512, 1000, 4096])
def test_the_pre_normalised_norm_loses_little_on_ordinary_inputs(width, accumulator):
    """Values of deviation 1: its root mean square error is at most 1.5 times that of the plain norm."""
    x = values_of(np.random.default_rng(width).normal(0, 1, (100, width)), "float16")
    wanted = float64_norm(x)
    errors = [
        np.sqrt(np.mean((norm_of(x, form, accumulator)[0] - wanted) ** 2)) for form in ("plain", "pre_normalised")
    ]
    assert errors[1] <= 1.5 * errors[0]
    if accumulator == "float32":
        assert errors[1] < 1e-3


@pytest.mark.parametrize("deviation", [300, 3000, 12000])
@pytest.mark.parametrize("width", [144, 512, 4096])
def test_where_the_plain_norm_overflows_the_pre_normalised_one_is_right(width, deviation):
    """A deviation above 256 has a variance above 65504; with float16 sums much smaller ones break too."""
    x = values_of(np.clip(np.random.default_rng(7).normal(0, deviation, (20, width)), -LARGEST, LARGEST), "float16")
    wanted = float64_norm(x)
    y, exceptions = norm_of(x, "plain")
    assert exceptions.overflow > 0 and np.abs(y - wanted).max() > 1
    y, exceptions = norm_of(x, "pre_normalised")
    assert exceptions.overflow == 0
    np.testing.assert_allclose(y, wanted, atol=0.01)
    y, exceptions = norm_of(x, "pre_normalised", "float16")
    assert exceptions.overflow == 0
    np.testing.assert_allclose(y, wanted, atol=0.3)  # sums of 4096 terms in 11 bits
    narrow = values_of(x / deviation * 30, "float16")
    assert norm_of(narrow, "plain", "float16")[1].overflow > 0
    assert norm_of(narrow, "pre_normalised", "float16")[1].overflow == 0


@pytest.mark.parametrize("accumulator", NUMBERS)
@settings(max_examples=150, deadline=None)
@given(data=st.data(), width=st.integers(1, 400), seed=seeds)
def test_a_rescaled_softmax_never_overflows(accumulator, data, width, seed):
    """For any finite row: no infinity, no NaN, and where nothing was rescaled no sum came to more than 65504."""
    spread = data.draw(st.sampled_from([0.0, 1.0, 5.0, 20.0]))
    centre = data.draw(st.one_of(edges, finite))
    x = values_of(np.clip(centre + np.random.default_rng(seed).normal(0, spread, (1, width)), -3e4, 3e4), "float16")
    exceptions = FloatExceptions()
    y = softmax(x, "float16", accumulator=accumulator, form="rescaled", exceptions=exceptions)
    assert (exceptions.overflow, exceptions.infinity, exceptions.nan) == (0, 0, 0)
    exact = np.exp(x.astype(np.float64) - x.max())
    if accumulator == "float32":
        np.testing.assert_allclose(y, exact / exact.sum(), atol=3e-3)


@pytest.mark.parametrize("width", [1, 2, 50, 1000, 4096])
def test_when_a_softmax_is_rescaled(width):
    """T(n) = ln(32000 / n) and -9.7 on the grid of float16: just within nothing is shifted, just beyond it is."""
    high = np.float16(math.log(32000 / width))
    low = np.float16(-9.7)
    for edge, beyond in ((high, np.inf), (low, -np.inf)):
        for value, count in ((edge, 0), (np.nextafter(edge, np.float16(beyond)), 1)):
            for accumulator in NUMBERS:
                exceptions = FloatExceptions()
                x = np.full((1, width), value, np.float32)
                softmax(x, "float16", accumulator=accumulator, form="rescaled", exceptions=exceptions)
                assert (exceptions.rescaled, exceptions.overflow) == (count, 0)


def test_a_plain_softmax_overflows_beyond_eleven():
    """exp 11.0859375 = 65,248 is a float16, exp 11.09375 = 65,760 is not."""
    for x, overflows in ((11.0859375, 0), (11.09375, 1)):
        exceptions = FloatExceptions()
        softmax(np.array([[x]], np.float32), "float16", form="plain", exceptions=exceptions)
        assert exceptions.overflow == overflows
