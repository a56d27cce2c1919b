"""ONNX files with something wrong in them: mutations of their structure, and of their bytes, from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx_models import model, node

onnx = pytest.importorskip("onnx")

NUMBERS = (-(1 << 63), -(1 << 31), -65536, -2, -1, 0, 1, 2, 3, 7, 127, 128, 255, 65535, 1 << 20, 1 << 31, (1 << 63) - 1)
NAMES = ("", "x", "y", "w1", "c1", "nothing", "h", "\u00e9", "a" * 300, "q_s")
OPERATORS = (
    "Conv", "Gemm", "MatMul", "Add", "Mul", "Div", "Relu", "Clip", "Softmax", "Reshape", "Flatten", "Transpose",
    "Slice",
    "Split", "Concat", "Gather", "Pad", "Squeeze", "Unsqueeze", "AveragePool", "MaxPool", "GlobalAveragePool", "LSTM",
    "GRU", "QuantizeLinear", "DequantizeLinear", "QLinearConv", "BatchNormalization", "LayerNormalization", "If",
    "ReduceMean", "Shape", "ConstantOfShape", "Cast", "Pow", "Sqrt", "Expand", "Range", "ConvInteger", "Nonsense",
)  # fmt: skip
ATTRIBUTES = (
    "pads", "strides", "dilations", "group", "kernel_shape", "axis", "perm", "alpha", "transB", "hidden_size",
    "auto_pad",
    "direction", "mode", "axes", "keepdims", "epsilon", "value", "to", "layout", "starts", "ends", "block_size",
)  # fmt: skip


def seeds() -> list[Any]:
    """Return models of all kinds that the importer takes."""
    draw = np.random.default_rng(3)

    def f(*shape: int) -> Any:
        return draw.standard_normal(shape).astype(np.float32)

    scales = {"s": np.float32(0.1), "z": np.int8(3), "ws": np.abs(f(4)) + 0.01, "wz": np.zeros(4, np.int8)}
    convolution = [
        node("Conv", "x w1 b1", "c1", pads=[1, 1, 1, 1]), node("Relu", "c1", "r1"),
        node("BatchNormalization", "r1 g g g g", "n"), node("AveragePool", "n", "p", kernel_shape=[2, 2],
                                                            strides=[2, 2]),
        node("Flatten", "p", "flat"), node("Gemm", "flat w2 b2", "y", transB=1),
    ]  # fmt: skip
    made = [
        model(convolution, {"w1": f(4, 1, 3, 3), "b1": f(4), "g": np.abs(f(4)) + 1, "w2": f(3, 4 * 4 * 3), "b2": f(3)},
              [1, 1, 8, 6]),
        model(
            [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "d"),
             node("DequantizeLinear", "w ws wz", "wd", axis=0), node("Conv", "d wd", "c1", pads=[2, 0]),
             node("Relu", "c1", "r"), node("QuantizeLinear", "r s z", "e"), node("DequantizeLinear", "e s z", "y")],
            {"w": draw.integers(-100, 100, (4, 5, 3)).astype(np.int8), **scales}, [1, 5, "time"],
        ),
        model(
            [node("Transpose", "x", "t", perm=[2, 0, 1]), node("LSTM", "t w r b - h c", "l hn cn", hidden_size=4),
             node("Squeeze", "l axes", "u"), node("MatMul", "u m", "y")],
            {"w": f(1, 16, 5), "r": f(1, 16, 4), "b": f(1, 32), "axes": np.array([1]), "m": f(4, 2)}, [1, 5, "time"],
            outputs=("y", "hn", "cn"), states={"h": [1, 1, 4], "c": [1, 1, 4]},
        ),
        model(
            [node("Concat", "h x", "both", axis=2), node("Conv", "both w", "y"),
             node("Slice", "both starts ends axes", "hn")],
            {"w": f(4, 5, 3), "starts": np.array([-2]), "ends": np.array([1 << 62]), "axes": np.array([2])}, [1, 5, 1],
            outputs=("y", "hn"), states={"h": [1, 5, 2]},
        ),
        model(
            [node("Shape", "x", "shape"), node("Gather", "shape zero", "first"), node("Equal", "first one", "is_one"),
             node("Split", "x", "a b", axis=1), node("Mul", "a b", "m"), node("Softmax", "m", "so", axis=1),
             node("Pad", "so pads", "pd", mode="reflect"), node("Slice", "pd starts ends axes", "sl"),
             node("Reshape", "sl new", "y")],
            {"zero": np.array(0), "one": np.array(1), "pads": np.array([0, 1, 0, 0, 1, 0]), "starts": np.array([1]),
             "ends": np.array([4]), "axes": np.array([1]), "new": np.array([1, 3, -1])}, [1, 6, "time"],
        ),
    ]  # fmt: skip
    return made


def mutated(seed: int, kinds: list[Any]) -> bytes:
    """Return one mutated file: one to four changes of a seed's structure, of its bytes, or of both."""
    draw = random.Random(seed)
    made = onnx.ModelProto()
    made.CopyFrom(kinds[seed % len(kinds)])
    if draw.random() < 0.75:
        for _ in range(draw.randint(1, 4)):
            draw.choice(_CHANGES)(made, draw)
    raw = bytearray(made.SerializeToString())
    if draw.random() < 0.45:
        for _ in range(draw.randint(1, 4)):
            raw = _bytes_changed(raw, draw)
    return bytes(raw)


def _bytes_changed(raw: bytearray, draw: random.Random) -> bytearray:
    at = draw.randrange(len(raw) or 1)
    kind = draw.randrange(6)
    if kind == 0:
        return raw[:at]
    if kind == 1 and raw:
        raw[at] = draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))
    elif kind == 2 and raw:
        raw[at] ^= 1 << draw.randrange(8)
    elif kind == 3:
        del raw[at : at + draw.randint(1, 8)]
    elif kind == 4:
        raw[at:at] = bytes(draw.randrange(256) for _ in range(draw.randint(1, 8)))
    else:
        other = draw.randrange(len(raw) or 1)
        raw[at:at] = raw[other : other + draw.randint(1, 200)]
    return raw


def _a_node(made: Any, draw: random.Random) -> Any:
    return draw.choice(made.graph.node) if made.graph.node else made.graph.node.add()


def _operator(made: Any, draw: random.Random) -> None:
    _a_node(made, draw).op_type = draw.choice(OPERATORS)


def _reads(made: Any, draw: random.Random) -> None:
    one = _a_node(made, draw)
    names = [*NAMES, *(name for other in made.graph.node for name in other.output)]
    if one.input and draw.random() < 0.7:
        one.input[draw.randrange(len(one.input))] = draw.choice(names)
    else:
        one.input.append(draw.choice(names))


def _gives(made: Any, draw: random.Random) -> None:
    one = _a_node(made, draw)
    if one.output:
        one.output[draw.randrange(len(one.output))] = draw.choice(NAMES)


def _fewer_inputs(made: Any, draw: random.Random) -> None:
    one = _a_node(made, draw)
    del one.input[draw.randint(0, len(one.input)) :]


def _no_outputs(made: Any, draw: random.Random) -> None:
    one = _a_node(made, draw)
    del one.output[draw.randint(0, len(one.output)) :]


def _attribute(made: Any, draw: random.Random) -> None:
    one = _a_node(made, draw)
    if one.attribute and draw.random() < 0.5:
        there = draw.choice(one.attribute)
        if there.ints:
            there.ints[draw.randrange(len(there.ints))] = draw.choice(NUMBERS)
        else:
            there.i = draw.choice(NUMBERS)
            there.type = draw.choice((1, 2, 3, 4, 7, there.type))
        return
    name = draw.choice(ATTRIBUTES)
    value = draw.choice((draw.choice(NUMBERS), [draw.choice(NUMBERS) for _ in range(draw.randint(1, 6))], 1e30, "text"))
    one.attribute.append(onnx.helper.make_attribute(name, value))


def _tensor(made: Any, draw: random.Random) -> None:
    if not made.graph.initializer:
        return
    one = draw.choice(made.graph.initializer)
    kind = draw.randrange(6)
    if kind == 0 and one.dims:
        one.dims[draw.randrange(len(one.dims))] = draw.choice(NUMBERS)
    elif kind == 1:
        one.data_type = draw.randrange(24)
    elif kind == 2:
        one.raw_data = one.raw_data[: draw.randint(0, len(one.raw_data))]
    elif kind == 3:
        one.raw_data = bytes(draw.choice((0, 127, 128, 255)) for _ in one.raw_data)
    elif kind == 4:
        one.dims.append(draw.choice(NUMBERS))
    else:
        one.data_location = 1
        entry = one.external_data.add()
        entry.key, entry.value = "location", draw.choice(("../x", "/etc/hostname", "nowhere", "", "model.onnx"))


def _without_tensor(made: Any, draw: random.Random) -> None:
    if made.graph.initializer:
        del made.graph.initializer[draw.randrange(len(made.graph.initializer))]


def _without_node(made: Any, draw: random.Random) -> None:
    if made.graph.node:
        del made.graph.node[draw.randrange(len(made.graph.node))]


def _again(made: Any, draw: random.Random) -> None:
    one = made.graph.node.add()
    one.CopyFrom(_a_node(made, draw))


def _input(made: Any, draw: random.Random) -> None:
    if not made.graph.input:
        return
    shape = draw.choice(made.graph.input).type.tensor_type
    if draw.random() < 0.2 or not shape.shape.dim:
        shape.elem_type = draw.randrange(24)
    else:
        draw.choice(shape.shape.dim).dim_value = draw.choice(NUMBERS)


def _outputs(made: Any, draw: random.Random) -> None:
    if made.graph.output:
        draw.choice(made.graph.output).name = draw.choice(NAMES)


def _opset(made: Any, draw: random.Random) -> None:
    made.opset_import[0].version = draw.choice((*NUMBERS, 9, 11, 13, 18, 21))


_CHANGES: tuple[Callable[[Any, random.Random], None], ...] = (
    _operator, _reads, _gives, _fewer_inputs, _no_outputs, _attribute, _attribute, _attribute, _tensor, _tensor,
    _tensor, _without_tensor, _without_node, _again, _input, _outputs, _opset,
)  # fmt: skip
