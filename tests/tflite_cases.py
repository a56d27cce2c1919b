"""Small TFLite networks that together have every op and option."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tflite_networks import Network, translated

RUNS = 40


def same_and_valid() -> bytes:
    """Convolutions with SAME, also of even kernels, and VALID, strides over time and bands, ReLU and ReLU6; softmax."""
    net = Network(1)
    x = net.conv(net.input([1, 20, 12, 1]), 6, (5, 4), stride=(2, 2), activation="RELU", zero=-128)
    x = net.conv(x, 8, (3, 2), padding="VALID", activation="RELU6", scale=0.024, zero=-128)
    x = net.conv(x, 5, (1, 1), activation="NONE")
    x = net.dense(x, 7, scale=0.06)
    return net.file(net.same("SOFTMAX", x, 1 / 256, -128, "SoftmaxOptions", beta=1.0))


def depthwise() -> bytes:
    """Depthwise convolutions with a multiplier, an even kernel and strides; a limit of +-1; both poolings; logistic."""
    net = Network(2)
    x = net.conv(net.input([1, 16, 8, 3]), 0, (4, 2), stride=(1, 2), depthwise=2, activation="RELU_N1_TO_1", scale=0.01)
    x = net.conv(x, 4, (1, 1), one_scale=True)
    x = net.conv(x, 0, (3, 3), depthwise=1, one_scale=True, padding="VALID")
    x = net.pool(x, (2, 1), average=False, activation="RELU")
    x = net.pool(x, (7, 2), average=True, padding="VALID")
    x = net.dense(net.reshape(x, [1, 4]), 3, scale=0.05, one_scale=True)
    return net.file(net.same("LOGISTIC", x, 1 / 256, -128))


def dilated() -> bytes:
    """Dilation over time and bands, dense and depthwise, SAME and VALID."""
    net = Network(3)
    x = net.conv(net.input([1, 24, 10, 2]), 4, (3, 3), dilation=(2, 3), padding="VALID", activation="RELU")
    x = net.conv(x, 4, (4, 2), dilation=(3, 1), padding="SAME")
    x = net.conv(x, 0, (3, 2), dilation=(2, 1), depthwise=2, padding="SAME", activation="RELU6")
    return net.file(net.conv(x, 3, (2, 2), dilation=(5, 1), padding="VALID"))


def padded() -> bytes:
    """PAD in front of convolutions, before and after unequal, over time and bands."""
    net = Network(4)
    x = net.input([1, 15, 6, 2])
    pad = net.tensor([1, 18, 9, 2], "int8", net.scale(x), net.zero(x))
    net.op("PAD", [x, net.integers([[0, 0], [1, 2], [3, 0], [0, 0]])], [pad], "PadOptions")
    x = net.conv(pad, 5, (3, 3), stride=(2, 1), padding="VALID", activation="RELU")
    pad = net.tensor([1, 10, 7, 5], "int8", net.scale(x), net.zero(x))
    net.op("PAD", [x, net.integers([[0, 0], [2, 0], [0, 0], [0, 0]])], [pad], "PadOptions")
    x = net.conv(pad, 0, (3, 3), depthwise=1, padding="SAME")
    return net.file(net.dense(x, 4, one_scale=False))


def joined() -> bytes:
    """ADD and MUL of branches with other scales, fused and not; tanh, ReLU and ReLU6 by themselves; new scales."""
    net = Network(5)
    x = net.input([1, 9, 5, 2])
    a = net.conv(x, 4, (3, 3), scale=0.02, zero=11)
    b = net.conv(x, 4, (1, 1), scale=0.05, zero=-30)
    summed = net.tensor(net.shape(a), "int8", 0.043, -9)
    none, relu = 0, 1
    net.op("ADD", [a, b], [summed], "AddOptions", fusedActivationFunction=relu)
    product = net.tensor(net.shape(a), "int8", 0.031, 17)
    net.op("MUL", [summed, a], [product], "MulOptions", fusedActivationFunction=none)
    tanh = net.same("TANH", product, 1 / 128, 0)
    relu6 = net.same("RELU6", net.same("QUANTIZE", b, 0.037, 3, "QuantizeOptions"), 0.037, 3)
    half = net.same("RELU", net.same("QUANTIZE", tanh, 0.006, 40, "QuantizeOptions"), 0.0041, -128)
    both = net.tensor(net.shape(a), "int8", 0.06, 1)
    net.op("ADD", [relu6, half], [both], "AddOptions", fusedActivationFunction=none)
    return net.file(net.dense(both, 5))


def other_scales() -> bytes:
    """RELU and RELU6 whose outputs have other scales, the second of which TensorFlow Lite Micro does not take."""
    net = Network(14)
    x = net.conv(net.input([1, 4, 16, 4]), 4, (1, 1), scale=0.037, zero=3)
    low = net.same("RELU6", x, 0.05, -128)
    high = net.same("RELU", x, 0.05, -100)
    y = net.tensor(net.shape(x), "int8", 0.07, -20)
    return net.file(net.op("ADD", [low, high], [y], "AddOptions", fusedActivationFunction=0))


def wake_word() -> bytes:
    """A streaming network: ring buffers, a stride over the new rows, windows of different lengths of one buffer."""
    net = Network(6)
    x = net.reshape(net.input([1, 3, 10], 0.1, -128), [1, 3, 1, 10])
    x = net.conv(net.ring(x, 2, "a"), 8, (5, 1), stride=(3, 1), padding="VALID", activation="RELU", zero=-128)
    ring = net.ring(x, 8, "b")
    first, second = net.split(ring, 3, [3, 5], by_size=True)
    short = net.conv(net.slice(first, [0, 4, 0, 0], [0] * 4, 0b1101, 0b1111), 0, (5, 1), depthwise=1, padding="VALID")
    long = net.conv(net.slice(second, [0, -9, 0, 0], [0] * 4, 0b1101, 0b1111), 0, (9, 1), depthwise=1, padding="VALID")
    x = net.conv(net.concat([short, long], 3), 6, (1, 1), activation="RELU", zero=-128)
    x = net.conv(net.ring(x, 4, "c"), 0, (3, 1), dilation=(2, 1), depthwise=1, padding="VALID")
    x = net.same("LOGISTIC", net.dense(x, 1, scale=0.05), 1 / 256, -128)
    y = net.tensor([1, 1], "uint8", 1 / 256, 0)
    return net.file(net.op("QUANTIZE", [x], [y], "QuantizeOptions"))


def ring_heads() -> bytes:
    """A streaming network that flattens one ring buffer, and takes the mean and the maximum of others."""
    net = Network(7)
    x = net.conv(net.ring(net.input([1, 1, 4, 3]), 3, "a"), 4, (4, 2), padding="VALID", activation="RELU", zero=-100)
    low, high = net.split(x, 3, [2, 2], by_size=False)
    flat = net.dense(net.ring(low, 5, "b"), 6, scale=0.04)
    pooled = net.pool(net.ring(high, 6, "c"), (7, 3), average=True)
    most = net.pool(net.ring(x, 2, "d"), (3, 3), average=False)
    parts = [net.reshape(flat, [1, 6])]
    parts += [
        net.same("QUANTIZE", net.reshape(y, [1, n]), 0.04, -7, "QuantizeOptions") for y, n in ((pooled, 2), (most, 4))
    ]
    return net.file(net.dense(net.concat(parts, 1), 3))


def lstm() -> bytes:
    """LSTM layers one row a run, the first with a clipped cell; dense; logistic."""
    net = Network(8)
    x = net.lstm(net.input([1, 1, 12]), 10, cell=2.0**-11, clip=2.0)
    x = net.lstm(x, 7, zero=-5)
    x = net.dense(x, 6, rows=True, scale=0.03)
    return net.file(net.same("LOGISTIC", x, 1 / 256, -128))


def slices() -> bytes:
    """Parts of channels, bands and rows, by SLICE and STRIDED_SLICE, and their joins."""
    net = Network(9)
    x = net.conv(net.input([1, 6, 5, 2]), 6, (1, 1), scale=0.04)
    first = net.slice(x, [0, 0, 0, 1], [0, 0, 0, 4], 0b0111, 0b0111)
    sizes = net.like(x, [1, 6, 5, 2])
    net.op("SLICE", [x, net.integers([0, 0, 0, 4]), net.integers([1, 6, 5, -1])], [sizes], "SliceOptions")
    x = net.concat([sizes, first, first], 3)
    low = net.slice(x, [0, 0, 0, 0], [0, 0, 2, 0], 0b1111, 0b1011)
    high = net.slice(x, [0, 0, -2, 0], [0, 0, 0, 0], 0b1011, 0b1111)
    a = net.conv(low, 3, (1, 2), padding="VALID")
    b = net.conv(high, 3, (1, 2), padding="VALID")
    x = net.conv(net.concat([a, b], 2), 4, (2, 2), padding="SAME")
    last = net.slice(x, [0, -1, 0, 0], [0, 0, 0, 0], 0b1101, 0b1111)
    return net.file(net.dense(net.reshape(last, [1, 8]), 4, one_scale=False, activation="RELU"))


def means() -> bytes:
    """MEAN over time, over bands and both, dimensions kept or not, of equal and of other scales."""
    net = Network(15)
    x = net.conv(net.input([1, 12, 7, 3]), 8, (3, 3), scale=0.05)

    def mean(of: int, axes: list[int], shape: list[int], scale: float, zero: int) -> int:
        y = net.tensor(shape, "int8", scale, zero)
        return net.op("MEAN", [of, net.integers(axes)], [y], "ReducerOptions", keepDims=len(shape) == 4)

    bands = mean(x, [2], [1, 12, 1, 8], 0.03, -4)
    both = mean(x, [1, 2], [1, 1, 1, 8], 0.021, 9)
    flat = mean(x, [-3, -2], [1, 8], 0.018, -11)
    time = mean(net.reshape(bands, [1, 12, 8]), [1], [1, 8], 0.03, -4)
    parts = [net.reshape(both, [1, 8]), flat, time]
    return net.file(net.dense(net.concat([net.same("QUANTIZE", y, 0.03, 2, "QuantizeOptions") for y in parts], 1), 4))


def one_dimension() -> bytes:
    """Convolutions of one dimension, time as the third of four: dense, depthwise, strided, dilated, padded, pooled."""
    net = Network(16)
    x = net.input([1, 30, 6])
    lying = net.like(x, [1, 1, 30, 6])
    net.op("EXPAND_DIMS", [x, net.integers(1)], [lying], "ExpandDimsOptions")
    y = net.conv(lying, 8, (1, 5), padding="SAME", activation="RELU")
    y = net.conv(y, 0, (1, 3), stride=(1, 1), dilation=(1, 2), depthwise=1, padding="VALID")
    pad = net.like(y, [1, 1, 29, 8])
    net.op("PAD", [y, net.integers([[0, 0], [0, 0], [3, 0], [0, 0]])], [pad], "PadOptions")
    y = net.conv(pad, 6, (1, 4), stride=(1, 2), padding="VALID")
    first, second = net.split(y, 3, [3, 3], by_size=False)
    y = net.concat([second, first], 3)
    y = net.pool(y, (1, 2), average=False)
    y = net.reshape(y, [1, 6, 6])
    return net.file(net.dense(y, 4, one_scale=False))


def other_bands() -> bytes:
    """Features that are pooled, joined and sliced as bands at once; bands of equal number side by side; a softmax."""
    net = Network(17)
    x = net.input([1, 8, 6, 2])
    pooled = net.pool(x, (2, 3), average=True)
    most = net.pool(net.slice(x, [0, 0, 0, 1], [0, 0, 0, 2], 0b0111, 0b0111), (2, 3), average=False)
    both = net.concat([most, pooled, pooled], 3)
    low, high = (net.conv(both, 4, (1, 1), scale=0.05) for _ in range(2))
    low = net.same("QUANTIZE", low, 0.04, 0, "QuantizeOptions")
    high = net.same("QUANTIZE", high, 0.04, 0, "QuantizeOptions")
    y = net.concat([low, high], 2)
    y = net.pool(y, (1, 4), average=True)
    rows = net.reshape(y, [1, 4, 1, 4])
    return net.file(net.same("SOFTMAX", rows, 1 / 256, -128, "SoftmaxOptions", beta=1.0))


def flat_input() -> bytes:
    """All rows go in as one; SQUEEZE and EXPAND_DIMS; a dense layer of each row, and one of all."""
    net = Network(10)
    x = net.reshape(net.input([1, 240], 0.1, -128), [1, 12, 20, 1])
    x = net.reshape(net.pool(x, (2, 4), average=True), [1, 6, 5])
    x = net.dense(x, 8, rows=True, one_scale=False, activation="RELU6", scale=0.024, zero=-128)
    three = net.like(x, [1, 6, 1, 8])
    net.op("EXPAND_DIMS", [x, net.integers(2)], [three], "ExpandDimsOptions")
    y = net.conv(three, 4, (3, 1), padding="SAME")
    two = net.like(y, [1, 6, 4])
    net.op("SQUEEZE", [y], [two], "SqueezeOptions", squeezeDims=[2])
    return net.file(net.dense(two, 3, bias=False))


def real_ends() -> bytes:
    """Real numbers go in and come out: QUANTIZE at once, DEQUANTIZE at the end."""
    net = Network(11)
    x = net.tensor([1, 4, 6, 1], "float32", name="input")
    net.inputs.append(x)
    codes = net.tensor([1, 4, 6, 1], "int8", 0.05, -3)
    net.op("QUANTIZE", [x], [codes], "QuantizeOptions")
    y = net.conv(codes, 3, (3, 3), activation="RELU")
    return net.file(net.op("DEQUANTIZE", [y], [net.tensor([1, 4, 6, 3], "float32")], "DequantizeOptions"))


def bytes_in() -> bytes:
    """uint8 codes go in and come out."""
    net = Network(12)
    x = net.input([1, 5, 4, 2], 0.05, 120, "uint8")
    codes = net.tensor([1, 5, 4, 2], "int8", 0.05, -8)
    net.op("QUANTIZE", [x], [codes], "QuantizeOptions")
    y = net.conv(codes, 3, (2, 3), activation="RELU")
    out = net.tensor(net.shape(y), "uint8", net.scale(y), net.zero(y) + 128)
    return net.file(net.op("QUANTIZE", [y], [out], "QuantizeOptions"))


def unbiased() -> bytes:
    """Convolutions without a bias, which LiteRT does not take."""
    net = Network(13)
    x = net.conv(net.input([1, 8, 4, 3]), 6, (3, 3), bias=False)
    return net.file(net.conv(x, 0, (2, 3), depthwise=1, bias=False))


NETWORKS: dict[str, Callable[[], bytes]] = {
    made.__name__: made
    for made in (
        same_and_valid, depthwise, dilated, padded, joined, wake_word, ring_heads, lstm, slices, flat_input, real_ends,
        bytes_in, unbiased, other_scales, means,
        one_dimension,
        other_bands,
    )
}  # fmt: skip


def features(data: bytes, runs: int = RUNS) -> np.ndarray:
    """Return random features of so many runs, code 125 + 40 times a normal number."""
    translation, *_ = translated(data, "double_up")
    drawn = np.random.default_rng(17).standard_normal((runs * translation.step, translation.width))
    return np.clip(np.rint(125 + 40 * drawn), 0, 255).astype(np.uint8)
