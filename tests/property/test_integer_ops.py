"""Integer ops: the kernels give what plain whole numbers give, in every rounding, geometry and scale."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.kernels import fixed_functions
from accelsim.kernels.requantise import Scaling, multiplier, quantised, sum_multipliers
from accelsim.ops import plain_fixed, plain_integer
from accelsim.ops.op import OPS, Datapath, DatapathOp, Edge, Op, Quantisation, Signal
from accelsim.schema import parse, parse_yaml

ROUNDINGS = ("double_away", "double_up", "single", "half_even")
FIXED = ROUNDINGS[:3]
CODES = Quantisation(scale=1.0)
scales = st.floats(-14, 3).map(lambda power: float(np.float32(2.0**power)))
"""Odd ones: next to none is a power of two."""
roundings = st.sampled_from(ROUNDINGS)


def op_of(name: str, keys: dict[str, Any], *edges: Edge) -> Op:
    """Return an op as it stands in a graph."""
    return parse(OPS[name], parse_yaml(json.dumps({"name": "y", "op": name, **keys}))).settled(edges, "double_away")


@st.composite
def edges(draw: st.DrawFn, bands: int = 1, channels: int | None = None, bits: int = 8) -> Edge:
    """Draw an edge of codes, signed ones or the unsigned ones of features."""
    width, unsigned = bands * (channels or draw(st.integers(1, 6))), bits == 8 and draw(st.booleans())
    zero = draw(st.integers(0, 255) if unsigned else st.integers(-128, 127))
    return Edge(
        width, bands, 1, "codes", bits, draw(scales), zero, unsigned=unsigned, full_range=not unsigned
    )  # fmt: skip


@st.composite
def outputs(draw: st.DrawFn, scale: float | None = None, zero: int | None = None) -> dict[str, Any]:
    """Draw what an op gives; with a limit on one side, on both, or on none."""
    bits = 8 if scale is not None else draw(st.sampled_from([8, 8, 16]))
    zero = draw(st.integers(-128, 127)) if zero is None else zero
    found: dict[str, Any] = {"scale": draw(scales) if scale is None else scale, "zero_point": zero, "bits": bits}
    if draw(st.booleans()):
        found["low"] = draw(st.sampled_from([zero, -128, -20]))
    if draw(st.booleans()):
        found["high"] = max(draw(st.sampled_from([127, 60])), found.get("low", -128))
    return found


def signal(edge: Edge, seed: int, lengths: list[int]) -> Signal:
    """Return codes of all values, a third of them the least or the largest."""
    random, least = np.random.default_rng(seed), 0 if edge.unsigned else -(1 << (edge.bits - 1))
    most = least + (1 << edge.bits) - 1
    drawn = random.integers(least, most + 1, (sum(lengths), edge.width))
    ends = random.choice([least, most], drawn.shape)
    kind = np.uint8 if edge.unsigned else np.int8 if edge.bits == 8 else np.int16
    values = np.where(random.random(drawn.shape) < 1 / 3, ends, drawn).astype(kind)
    return Signal(values, np.cumsum([0, *lengths]).astype(np.int64), edge)


def check(op: Op, read: list[Signal], seed: int = 0, tensors: dict[str, NDArray[Any]] | None = None) -> Datapath:
    """See that an op computes what its reference gives, with tensors of its own; returns the datapath."""
    assert isinstance(op, DatapathOp)
    found = [one.edge for one in read]
    given_edge = op.infer(found)
    if tensors is None:
        tensors = op.generated(found, 1.0, np.random.default_rng(seed), last=False)
    unit = Datapath(tensors)
    values, starts = op.compute(read, unit)
    wanted = op.reference(read, tensors)
    assert values.dtype == wanted.dtype and values.shape == wanted.shape == (starts[-1], given_edge.width)
    assert values.tolist() == wanted.tolist()
    assert starts.tolist() == op.starts(read).tolist()
    return unit


# What a scale becomes, and sums with it


@pytest.mark.parametrize(
    ("scale", "wanted"),
    [
        (0.5, (1 << 30, 0)), (1.0, (1 << 30, 1)), (0.75, (3 << 29, 0)), (0.0, (0, 0)), (2.0**-32, (1 << 30, -31)),
        (2.0**-33, (0, 0)), (1 - 2.0**-40, (1 << 30, 1)), (2.0**31, ((1 << 31) - 1, 30)), (3.0, (3 << 29, 2)),
    ],
)  # fmt: skip
def test_a_multiplier_by_hand(scale: float, wanted: tuple[int, int]) -> None:
    """m 2^(s - 31): 1 - 2^-40 has a mantissa that rounds to 2^31, which is 2^30 and one place more."""
    assert multiplier(scale) == wanted == plain_integer.factor(scale)


@pytest.mark.parametrize("wrong", [-0.5, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        multiplier(wrong)


BY_HAND = {  # of a quarter of the sums: -10, -6, -2, -1, 2, 6, 7
    "double_away": [-3, -2, -1, 0, 1, 2, 2], "double_up": [-2, -1, 0, 0, 1, 2, 2],
    "single": [-2, -2, 0, 0, 0, 2, 2], "half_even": [-2, -2, 0, 0, 0, 2, 2],
}  # fmt: skip


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_halves_by_hand(rounding: Any) -> None:
    """A quarter of -10, -6 and -2 is -2.5, -1.5 and -0.5; of 2 and 6 it is 0.5 and 1.5: these tell the roundings."""
    sums = np.array([[-10, -6, -2, -1, 2, 6, 7]])
    assert Scaling.of(0.25, rounding)(sums).tolist() == [BY_HAND[rounding]]
    assert plain_integer.scaled(sums, 0.25, rounding).tolist() == [BY_HAND[rounding]]


@settings(max_examples=300, deadline=None)
@given(st.floats(-40, 31), roundings, st.integers(0, 2**32))
@example(-31.5, "double_away", 0)
@example(30.9, "double_up", 1)
def test_sums_times_a_scale(power: float, rounding: Any, seed: int) -> None:
    random, scale = np.random.default_rng(seed), 2.0**power
    sums = np.concatenate([
        random.integers(-(2**31), 2**31, 40), random.integers(-300, 300, 40),
        [-(2**31), 2**31 - 1, -(2**24) - 1, 2**24 + 1, 0, 1, -1],
    ])[None]  # fmt: skip
    found, wanted = Scaling.of(scale, rounding)(sums), plain_integer.scaled(sums, scale, rounding)
    word = 2**31  # of what lies beyond, only that it does
    assert np.clip(found, -word, word).tolist() == np.clip(wanted, -word, word).tolist()


@settings(max_examples=200, deadline=None)
@given(scales, st.lists(scales, min_size=1, max_size=9), scales, roundings, st.integers(-128, 127), st.booleans(),
       st.integers(0, 2**32))  # fmt: skip
def test_codes_of_sums(
    a: float, b: list[float], given_scale: float, rounding: Any, zero: int, one: bool, seed: int
) -> None:
    """Scales of products of one and of several outputs, and what is counted."""
    random = np.random.default_rng(seed)
    of_weights = np.float32(b[0]) if one else np.array(b, np.float32)
    sums = random.integers(-(2 ** random.integers(4, 24)), 2**20, (7, len(b)))
    offsets = random.integers(-1000, 1000, len(b))
    output = Quantisation(scale=given_scale, zero_point=zero, low=min(zero, 90), high=100)
    scaling = Scaling.product(a, of_weights, given_scale, rounding)
    codes, counted = scaling.codes(sums, offsets, zero, output.limits(), (True, True), np.int8)
    assert codes.tolist() == plain_integer.requantised(sums + offsets, a, of_weights, output, rounding).tolist()
    wide = Quantisation(scale=given_scale, zero_point=zero, bits=16, low=-(2**15), high=2**15 - 1)
    whole = plain_integer.requantised(sums + offsets, a, of_weights, wide, rounding)
    assert counted == int(((whole < output.low) | (whole > output.high)).sum())
    assert scaling.codes(sums, offsets, zero, output.limits(), (False, False), np.int8)[1] == 0


@settings(max_examples=200, deadline=None)
@given(scales, st.integers(-128, 127), roundings, st.integers(0, 2**32))
def test_codes_of_real_numbers(scale: float, zero: int, rounding: Any, seed: int) -> None:
    """Halves of the scale above all, and the largest and smallest float32 numbers."""
    random = np.random.default_rng(seed)
    halves = (random.integers(-300, 300, 60) / 2).astype(np.float32) * np.float32(scale)
    x = np.concatenate([halves, random.normal(0, 40 * scale, 60), [3e38, -3e38, 1e-45, 0, 0.49999997 * scale]])
    values, output = x.astype(np.float32)[None], Quantisation(scale=scale, zero_point=zero)
    codes, _ = quantised(values, scale, zero, output.limits(), (True, True), np.int8, rounding)
    assert codes.tolist() == plain_integer.quantised(values, output, rounding).tolist()


def test_what_is_no_number_is_not_quantised() -> None:
    with pytest.raises(ValueError, match="not a number"):
        quantised(np.array([[np.nan]]), 1.0, 0, (-128, 127), (True, True), np.int8, "single")


# Ops with weights


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Op, Signal, int]:
    """Draw a convolution over time and bands: any taps, strides, dilations, paddings, each channel for itself too."""
    bands, channels = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    kernel = [draw(st.integers(1, 4)), draw(st.integers(1, min(3, bands)))]
    dilation = [draw(st.integers(1, 3)), 1 if kernel[1] == 1 else draw(st.integers(1, 2))]
    keys: dict[str, Any] = {
        "input": "x",
        "kernel": kernel,
        "stride": [draw(st.integers(1, 3)), draw(st.integers(1, 3))],
    }
    keys |= {"dilation": dilation, "output": draw(outputs()), "rounding": draw(roundings)}
    if draw(st.booleans()):
        least = max(dilation[1] * (kernel[1] - 1) + 1 - bands, 0)  # so many that at least one band fits
        sides = [draw(st.integers(least, least + 3)), draw(st.integers(0, 3))]
        keys["padding"] = [[draw(st.integers(0, 5)), draw(st.integers(0, 5))], sides]
    else:
        keys["causal"] = draw(st.booleans())
    if draw(st.booleans()):
        keys |= {"depthwise": True, "channels": channels * draw(st.integers(1, 3))}
    else:
        keys["channels"] = draw(st.integers(1, 9))
    edge, seed = draw(edges(bands, channels)), draw(st.integers(0, 2**16))
    lengths = [*draw(st.lists(st.integers(1, 9), max_size=2)), draw(st.integers(10, 12))]  # 10 are enough for a row
    return op_of("conv", keys, edge), signal(edge, seed, lengths), seed


@settings(max_examples=150, deadline=None)
@given(convolutions())
def test_convolutions(drawn: tuple[Op, Signal, int]) -> None:
    op, read, seed = drawn
    check(op, [read], seed)


@settings(max_examples=40, deadline=None)
@given(convolutions(), st.sampled_from(["float32", "float16"]))
def test_padding_and_multiplied_channels_of_real_numbers(drawn: tuple[Op, Signal, int], number: Any) -> None:
    """The same geometries without an output, in float16 weights and in integers that are rescaled."""
    op, read, seed = drawn
    for bits in (16, 8):
        real = op.model_copy(update={"output": None, "weight_bits": bits})
        tensors = real.generated([read.edge], 1.0, np.random.default_rng(seed), last=False)
        unit = Datapath(tensors, vector=replace(Datapath({}).vector, number=number))
        values, _ = real.compute([read], unit)  # type: ignore[attr-defined]
        assert values.tolist() == real.reference([read], tensors, number).tolist()


@settings(max_examples=80, deadline=None)
@given(edges(), st.integers(1, 9), outputs(), roundings, st.integers(0, 2**16), st.booleans(), st.booleans())
def test_matrices(
    edge: Edge, wide: int, output: dict[str, Any], rounding: str, seed: int, one: bool, biased: bool
) -> None:
    op = op_of("linear", {"input": "x", "outputs": wide, "output": output, "rounding": rounding}, edge)
    tensors = op.generated([edge], 1.0, np.random.default_rng(seed), last=False)
    if one:
        tensors["y.weight_scale"] = tensors["y.weight_scale"].max()
    if not biased:
        del tensors["y.bias"]
    check(op, [signal(edge, seed, [3, 1])], tensors=tensors)


@settings(max_examples=60, deadline=None)
@given(edges(), st.integers(1, 5), st.integers(1, 3), st.booleans(), outputs(), roundings, st.integers(0, 2**16))
def test_depthwise_over_time(
    edge: Edge, taps: int, dilation: int, causal: bool, output: dict[str, Any], rounding: str, seed: int
) -> None:
    keys = {"taps": taps, "dilation": dilation, "causal": causal, "output": output, "rounding": rounding}
    check(op_of("depthwise", {"input": "x", **keys}, edge), [signal(edge, seed, [4, 1, 7])], seed)


def test_the_largest_sums_are_held() -> None:
    """32,768 weights of -127 and codes of -128 less a zero point of 127: 1.06e9, times a scale of 2^-22 253 of 255."""
    edge = Edge(32768, 1, 1, "codes", 8, 1.0, 127, full_range=True)
    op = op_of("linear", {"input": "x", "outputs": 1, "output": {"scale": 1.0, "zero_point": -128}}, edge)
    tensors = {"y.weight": np.full((32768, 1), -127, np.int8), "y.weight_scale": np.float32(2.0**-22)}
    read = Signal(np.full((1, 32768), -128, np.int8), np.array([0, 1]), edge)
    check(op, [read], tensors=tensors)
    assert op.compute([read], Datapath(tensors))[0].tolist() == [[125]]  # type: ignore[attr-defined]


def test_saturated_words_are_counted_and_limits_are_none() -> None:
    """Codes 10, 60, 100 and -100, times 2: with nothing said 200 and -200 lie beyond the word; a limit is no fault."""
    edge = Edge(4, 1, 1, "codes", 8, 1.0, 0, full_range=True)
    read = Signal(np.array([[10, 60, 100, -100]], np.int8), np.array([0, 1]), edge)
    for more, count, wanted in (({}, 2, [20, 120, 127, -128]), ({"low": 0}, 1, [20, 120, 127, 0]),
                                ({"low": 0, "high": 100}, 0, [20, 100, 100, 0])):  # fmt: skip
        op = op_of("quantise", {"input": "x", "output": {"scale": 0.5, **more}}, edge)
        unit = check(op, [read])
        assert op.compute([read], Datapath({}))[0].tolist() == [wanted]  # type: ignore[attr-defined]
        assert unit.clamped == {"y": count}


def test_too_few_rows_are_refused() -> None:
    """2 rows for a kernel of 3, or of 2 side by side: no row comes of any utterance."""
    edge = Edge(2, 1, 1, "codes", 8, 1.0, 0, full_range=True)
    short = signal(edge, 0, [2, 1])
    output = {"scale": 1.0}
    conv = op_of("conv", {"input": "x", "channels": 1, "kernel": [3, 1], "padding": [[0, 0], [0, 0]],
                          "output": output}, edge)  # fmt: skip
    stack = op_of("stack", {"input": "x", "rows": 3}, edge)
    for op in (conv, stack):
        tensors = op.generated([edge], 1.0, np.random.default_rng(0), last=False)
        with pytest.raises(ValueError, match="takes 3 rows for one of its own: no utterance is so long"):
            op.compute([short], Datapath(tensors))  # type: ignore[attr-defined]


# Ops on values


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([8, 16]), st.data(), roundings, st.integers(0, 2**16), st.sampled_from(["add", "multiply"]))
def test_two_operands(bits: int, data: st.DataObject, rounding: str, seed: int, name: str) -> None:
    a, b = data.draw(edges(channels=5, bits=bits)), data.draw(edges(channels=5))
    output = data.draw(outputs())
    ratio = max(a.scale, b.scale) / output["scale"]
    if rounding == "single" and name == "add" and not 2.0**-10 <= ratio < 2.0**8:
        output["scale"] = float(np.float32(max(a.scale, b.scale) * 1.37))
    keys = {"input": "x", "by" if name == "multiply" else "residual": "z", "output": output, "rounding": rounding}
    op = op_of(name, keys, a, b)
    check(op, [signal(a, seed, [4, 2]), signal(b, seed + 1, [4, 2])])


@settings(max_examples=30, deadline=None)
@given(edges(bits=8), edges(bits=16), outputs(), roundings, st.integers(0, 2**16))
def test_new_scales_and_relu(narrow: Edge, wide: Edge, output: dict[str, Any], rounding: str, seed: int) -> None:
    for name in ("quantise", "relu"):
        for edge in (narrow, wide):
            op = op_of(name, {"input": "x", "output": output, "rounding": rounding}, edge)
            check(op, [signal(edge, seed, [3, 4])])


@settings(max_examples=40, deadline=None)
@given(edges(bands=6, channels=2), st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**16), st.booleans())
def test_pools(edge: Edge, rows: int, bands: int, seed: int, even: bool) -> None:
    zero = edge.zero_point - 128 * edge.unsigned
    for name in ("max_pool", "avg_pool"):
        keys = {"input": "x", "size": [rows, bands], "output": {"scale": edge.scale, "zero_point": zero}}
        op = op_of(name, keys | ({"rounding": "half_even"} if even else {}), edge)
        check(op, [signal(edge, seed, [9, 4, 5])])


@pytest.mark.parametrize(("codes", "mean"), [([1, 2], 2), ([-1, -2], -2), ([0, 1, 0], 0), ([-128, -127], -128)])
def test_means_by_hand(codes: list[int], mean: int) -> None:
    """1.5 becomes 2 and -1.5 becomes -2, away from 0, whatever the zero point."""
    edge = Edge(len(codes), len(codes), 1, "codes", 8, 0.5, 3, full_range=True)
    keys = {"input": "x", "size": [1, len(codes)], "output": {"scale": 0.5, "zero_point": 3}}
    read = Signal(np.array([codes], np.int8), np.array([0, 1]), edge)
    assert op_of("avg_pool", keys, edge).compute([read], Datapath({}))[0].tolist() == [[mean]]  # type: ignore[attr-defined]


# Functions


@settings(max_examples=25, deadline=None)
@given(st.floats(-12, 2), st.integers(-128, 127), st.sampled_from(ROUNDINGS), st.sampled_from(["sigmoid", "tanh"]))
@example(2.0, -128, "double_away", "tanh")
@example(-12.0, 127, "double_away", "sigmoid")
def test_functions_of_every_code(power: float, zero: int, rounding: str, name: str) -> None:
    edge = Edge(256, 1, 1, "codes", 8, float(np.float32(2.0**power)), zero, full_range=True)
    output = {"scale": 2.0**-8, "zero_point": -128} if name == "sigmoid" else {"scale": 2.0**-7}
    op = op_of(name, {"input": "x", "output": output, "rounding": rounding}, edge)
    check(op, [Signal(np.arange(-128, 128).astype(np.int8)[None], np.array([0, 1]), edge)])


@settings(max_examples=40, deadline=None)
@given(st.floats(-12, 2), st.sampled_from(ROUNDINGS), st.integers(0, 2**16), st.integers(1, 40))
@example(-3.0, "double_away", 0, 1)
def test_softmax(power: float, rounding: str, seed: int, channels: int) -> None:
    edge = Edge(2 * channels, 2, 1, "codes", 8, float(np.float32(2.0**power)), -7, full_range=True)
    for of in ("channels", "width"):
        keys = {"input": "x", "of": of, "output": {"scale": 2.0**-8, "zero_point": -128}, "rounding": rounding}
        check(op_of("softmax", keys, edge), [signal(edge, seed, [2, 2])])


@pytest.mark.parametrize("scale", [2.0**-6, 2.0**-4, 0.1])
def test_functions_lie_near_the_true_ones(scale: float) -> None:
    """Within 0.51 of a code, which is what they are rounded to; the ends of a word are those of the function."""
    codes = np.arange(-255, 256)
    x = codes * float(np.float32(scale))
    for found, true in (
        (fixed_functions.logistic(codes, scale), 256 / (1 + np.exp(-x))),
        (fixed_functions.tanh(codes, scale), 128 * np.tanh(x)),
    ):
        near = np.abs(found - true)
        assert near[np.abs(x) < 7.4].max() < 0.51 and near.max() < 1.01
    below = np.arange(12)[None]
    share = np.exp(-below * float(np.float32(scale)))
    assert np.abs(fixed_functions.softmax(below, scale) - 256 * share / share.sum()).max() < 0.51


def test_the_powers_of_e_are_constants() -> None:
    """e^x for all 7 bits of x >= -8 at steps of 1/64, within 2^-22 of the true one."""
    for raw in range(0, -(2**29), -(2**22) * 3):
        found = int(fixed_functions.exponential(np.array([raw]), 5)[0])
        assert found == plain_fixed.power_of_e(raw, 5)
        assert abs(found / 2**31 - np.exp(raw / 2**26)) < 2.0**-22


def test_the_sum_of_two_scales_by_hand() -> None:
    """0.5 and 1 of 1: 20 places make the larger one 2^20, which has 21 bits."""
    assert sum_multipliers(0.5, 1.0, 1.0) == (1 << 19, 1 << 20, 20)
    assert sum_multipliers(3.0, 1.0, 2.0) == (3 << 19, 1 << 19, 20)
