"""The quantised Conformer as a graph of accelsim, and its run: integers, and the vector unit.

Ops and tensors carry the names of model.py, where `Conformer.tensors` says which tensors an op has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shape import Shape

from accelsim.kernels.number import Arithmetic, Number, Values
from accelsim.ops.activation import ReluOp
from accelsim.ops.conformer import ConformerOp
from accelsim.ops.conv import ConvOp
from accelsim.ops.graph import Graph
from accelsim.ops.linear import LinearOp
from accelsim.ops.op import FEATURES, Datapath, Edge, Op, Signal, evaluate
from accelsim.ops.pool import MaxPoolOp


def graph(shape: Shape, bits: int = 8) -> list[Op]:
    """Return the ops of a network in order; ``bits`` of all weights: 8 for integers, 16 for float16."""
    ops: list[Op] = []
    x = FEATURES
    for i, spec in enumerate(shape.front):
        conv, relu, pool = (f"front.{part}.{i}" for part in ("convs", "relu", "pool"))
        ops.append(
            ConvOp(
                op="conv", name=conv, input=x, channels=spec.channels, kernel=list(spec.kernel),
                stride=list(spec.stride), bands=shape.bands if x == FEATURES else None, depthwise=spec.depthwise,
                weight_bits=bits,
            )
        )  # fmt: skip
        if not spec.depthwise:
            ops.append(ReluOp(op="relu", name=relu, input=conv))
        if spec.pool != (1, 1):
            ops.append(MaxPoolOp(op="max_pool", name=pool, input=ops[-1].name, size=list(spec.pool)))
        x = ops[-1].name
    ops.append(LinearOp(op="linear", name="front.linear", input=x, outputs=shape.width, weight_bits=bits))
    blocks = ConformerOp(
        op="conformer", name="blocks", input="front.linear", blocks=shape.blocks, width=shape.width, heads=shape.heads,
        feed_forward=shape.feed_forward, kernel=shape.kernel, positions=shape.position, reach=shape.reach,
        chunk=shape.chunk, left=shape.left, weight_bits=bits,
    )  # fmt: skip
    ops += blocks.ops()
    output = LinearOp(op="linear", name="output", input=ops[-1].name, outputs=shape.classes, weight_bits=bits)
    return [*ops, output]


def network(shape: Shape, scale: float, bits: int = 8) -> Graph:
    """Return the ops of `graph` and what travels between them; features are codes worth ``scale``."""
    width = shape.bands * shape.planes
    return Graph.of(graph(shape, bits), Edge(width, width, kind="codes", bits=8, scale=scale))


def run(
    shape: Shape,
    tensors: Mapping[str, NDArray[Any]],
    codes: Sequence[NDArray[np.int8]],
    scale: float,
    number: Number = "float32",
) -> tuple[list[Values], int]:
    """Return the logits [frames', classes] of every utterance, and how many codes were clamped on the way.

    codes: features [frames, width] of each utterance, worth ``scale``; number: the format of the vector unit.
    """
    starts = np.cumsum([0, *map(len, codes)], dtype=np.int64)
    bits = 16 if tensors["output.weight"].dtype == np.float16 else 8
    net, unit = network(shape, scale, bits), Datapath(tensors, Arithmetic(number))
    signals = {FEATURES: Signal(np.concatenate(codes), starts, net.edges[FEATURES])}
    evaluate(net.ops, signals, net.edges, unit, last_reader=net.last_reader)
    logits = signals[net.last.name]
    return [logits.values[a:b] for a, b in pairwise(logits.starts)], sum(unit.clamped.values())
