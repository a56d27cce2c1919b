"""The quantised Conformer as a list of layers, and its run on accelsim's kernels: integers, and the vector unit.

`layers` says what follows what in the words of a workload file; `run` computes it. Every layer has one output, rows of
values per frame; matrices take 8-bit codes and give 8-bit codes. Layers and tensors carry the names of model.py, where
`Conformer.tensors` says which tensors a layer has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shape import Shape

from accelsim.kernels.activation import add, dequantise, glu, quantise, relu, rescale, silu
from accelsim.kernels.attention import RelativePositions, attention, sinusoids
from accelsim.kernels.conv import convolve, depthwise, matrix_product, maximum
from accelsim.kernels.norm import layer_norm
from accelsim.kernels.number import Number, values_of

Tensors = Mapping[str, NDArray[Any]]
Layer = dict[str, Any]


def layers(shape: Shape) -> list[Layer]:
    """Return the layers of a network in order: name, op, the names of its inputs, and the op's settings."""
    made: list[Layer] = []

    def layer(name: str, op: str, *inputs: str, **settings: Any) -> str:
        made.append({"name": name, "op": op, "inputs": list(inputs), **settings})
        return name

    def feed_forward(name: str, x: str) -> str:
        norm = layer(f"{name}.norm", "layer_norm", x)
        hidden = layer(f"{name}.silu", "silu", layer(f"{name}.linear1", "linear", norm))
        return layer(f"{name}.add", "add", x, layer(f"{name}.linear2", "linear", hidden), factor=0.5)

    def convolution(name: str, x: str) -> str:
        wide = layer(f"{name}.pointwise1", "linear", layer(f"{name}.norm", "layer_norm", x))
        mixed = layer(f"{name}.depthwise", "depthwise", layer(f"{name}.glu", "glu", wide))
        active = layer(f"{name}.silu", "silu", layer(f"{name}.depthwise_norm", "layer_norm", mixed))
        return layer(f"{name}.add", "add", x, layer(f"{name}.pointwise2", "linear", active))

    def self_attention(name: str, x: str) -> str:
        inputs = [layer(f"{name}.qkv", "linear", layer(f"{name}.norm", "layer_norm", x))]
        if shape.position != "none":
            p = layer(f"{name}.positions", "positions", learnable=shape.position.startswith("learnable"))
            if not shape.position.endswith("no_linear"):
                p = layer(f"{name}.linear_pos", "linear", p)
            inputs.append(p)
        context = layer(f"{name}.heads", "attention", *inputs, heads=shape.heads)
        return layer(f"{name}.add", "add", x, layer(f"{name}.out", "linear", context))

    x, bands = "features", shape.bands
    for i, spec in enumerate(shape.front):
        x = layer(f"front.convs.{i}", "conv", x, bands=bands, stride=spec.stride)
        x = layer(f"front.relu.{i}", "relu", x)
        bands = -(-bands // spec.stride[1])
        if spec.pool != (1, 1):
            x = layer(f"front.pool.{i}", "max_pool", x, bands=bands, size=spec.pool)
            bands //= spec.pool[1]
    x = layer("front.linear", "linear", x)
    for i in range(shape.blocks):
        x = feed_forward(f"blocks.{i}.ff1", x)
        x = convolution(f"blocks.{i}.conv", x)
        x = self_attention(f"blocks.{i}.attention", x)
        x = feed_forward(f"blocks.{i}.ff2", x)
        x = layer(f"blocks.{i}.norm", "layer_norm", x)
    layer("output", "linear", x)
    return made


def run(
    network: Sequence[Layer],
    weights: Tensors,
    features: Sequence[NDArray[np.int8]],
    scale: float,
    number: Number = "float32",
) -> tuple[list[NDArray[np.float32]], int]:
    """Return the logits [frames', classes] of every utterance, and how many codes were clamped on the way.

    features: codes [frames, width] of each utterance, worth ``scale``; number: the format of the vector unit.
    """
    starts = np.concatenate([[0], np.cumsum([len(x) for x in features])]).astype(np.int64)
    values = {"features": dequantise(np.concatenate(features), scale, number)}
    clamped = 0
    for layer in network:
        inputs = [values[name] for name in layer["inputs"]]
        values[layer["name"]], starts, beyond = compute(layer, inputs, weights, starts, number)
        clamped += beyond
    logits = values[network[-1]["name"]]
    return [logits[a:b] for a, b in pairwise(starts)], clamped


def compute(
    layer: Layer,
    inputs: Sequence[NDArray[np.float32]],
    weights: Tensors,
    starts: NDArray[np.int64],
    number: Number = "float32",
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    """Return the output of one layer [frames', width], the starts that hold behind it, and the clamped codes."""
    name, op = layer["name"], layer["op"]
    if op in ("linear", "depthwise", "conv"):
        return _weighted(layer, inputs[0], weights, starts, number)
    if op == "layer_norm":
        return layer_norm(inputs[0], weights[f"{name}.gain"], weights[f"{name}.bias"], number=number), starts, 0
    if op == "add":
        return add(inputs[0], inputs[1], layer.get("factor", 1.0), number), starts, 0
    if op == "max_pool":
        bands = inputs[0].reshape(len(inputs[0]), layer["bands"], -1)
        pooled, starts = maximum(bands, starts, layer["size"])
        return pooled.reshape(len(pooled), -1), starts, 0
    if op == "positions":
        return _positions(layer, weights, int(np.diff(starts).max()), number), starts, 0
    if op == "attention":
        block = name.removesuffix(".heads")
        relative = None
        if len(inputs) > 1:
            relative = RelativePositions(inputs[1], weights[f"{block}.u"], weights[f"{block}.v"])
        return attention(inputs[0], starts, layer["heads"], relative, number), starts, 0
    if op == "relu":
        return relu(inputs[0]), starts, 0
    return {"silu": silu, "glu": glu}[op](inputs[0], number), starts, 0


def _weighted(
    layer: Layer, x: NDArray[np.float32], weights: Tensors, starts: NDArray[np.int64], number: Number
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    name = layer["name"]
    weight, input_scale = weights[f"{name}.weight"], weights[f"{name}.input_scale"]
    codes, clamped = quantise(x, float(input_scale))
    if layer["op"] == "linear":
        sums = matrix_product(codes, weight)
    elif layer["op"] == "depthwise":
        sums = depthwise(codes, weight, starts)
    else:
        bands = codes.reshape(len(codes), layer["bands"], -1)
        sums, starts = convolve(bands, weight, starts, layer["stride"])
    y = rescale(sums, float(input_scale * weights[f"{name}.weight_scale"]), weights.get(f"{name}.bias"))
    y = y.reshape(len(y), -1)
    if f"{name}.output_scale" not in weights:
        return values_of(y, number), starts, clamped
    output_scale = float(weights[f"{name}.output_scale"])
    out, beyond = quantise(y, output_scale)
    return dequantise(out, output_scale, number), starts, clamped + beyond


def _positions(layer: Layer, weights: Tensors, frames: int, number: Number) -> NDArray[np.float32]:
    """Return the vectors of the distances frames - 1 .. -(frames - 1), beyond a table's reach its last."""
    block = layer["name"].removesuffix(".positions")
    if not layer["learnable"]:
        return values_of(sinusoids(frames, len(weights[f"{block}.qkv.weight"])), number)
    table = weights[f"{block}.table"]
    if table.dtype == np.int8:
        table = dequantise(table, float(weights[f"{block}.linear_pos.input_scale"]), number)
    reach = len(table) // 2
    return values_of(table[np.clip(np.arange(frames - 1, -frames, -1), -reach, reach) + reach], number)
