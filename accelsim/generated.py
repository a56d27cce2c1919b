"""Weights drawn from a seed, for networks that are simulated for their cycles, energy and speed alone.

Integer weights are rounded normal numbers with a third of the largest weight as their deviation, scaled so that every
op with weights gives values of deviation 1; the scales of the codes reach four deviations of what the op before gives
to independent normal inputs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.ops.graph import Graph
from accelsim.ops.op import FEATURES, WeightedOp, largest_weight

DEVIATIONS = 4.0
"""How many deviations the largest code stands for."""

_LARGEST_CODE = 127


def generated_tensors(graph: Graph, seed: int) -> dict[str, NDArray[Any]]:
    """Return the tensors of a graph, drawn from ``seed``: the same numbers on every machine.

    A tensor's draws depend on the seed and its op's place alone. The inputs have deviation 1.
    """
    spread = {FEATURES: 1.0}
    tensors: dict[str, NDArray[Any]] = {}
    for place, op in enumerate(graph.ops):
        random = np.random.Generator(np.random.Philox(key=[seed, place]))
        before = spread[op.reads()[0]] if op.reads() else 1.0
        spread[op.name] = op.spread_of([spread[name] for name in op.reads()])
        for end, shape in op.shapes(graph.read(op)).items():
            name = op.tensor_name(end)
            if end == "weight":
                assert isinstance(op, WeightedOp)
                if op.in_float():
                    gain = 1 / (before * math.sqrt(math.prod(shape[:-1])))
                    tensors[name] = (random.standard_normal(shape, np.float32) * np.float32(gain)).astype(np.float16)
                    continue
                largest = largest_weight(op.weight_bits)
                drawn = random.standard_normal(shape, np.float32) * np.float32(max(largest / 3, 1))
                tensors[name] = np.clip(np.rint(drawn), -largest, largest).astype(np.int8)
                if op.weight_bits == 1:
                    tensors[name] = np.where(drawn < 0, -1, 1).astype(np.int8)
                deviation = float(np.sqrt(np.square(tensors[name][:4096].astype(np.float64)).mean())) or 1.0
                gain = 1 / (before * deviation * math.sqrt(math.prod(shape[:-1])))
                if op.gives == "real":
                    tensors[f"{op.name}.weight_scale"] = np.array(gain, np.float32)
            elif end == "input_scale":
                tensors[name] = np.array(DEVIATIONS * before / _LARGEST_CODE, np.float32)
            elif end == "output_scale" and op.name != graph.last.name:
                tensors[name] = np.array(DEVIATIONS / _LARGEST_CODE, np.float32)
            elif end in ("gain", "bias", "u", "v", "table"):
                drawn = random.standard_normal(shape, np.float32) * np.float32(1.0 if end == "table" else 0.1)
                if end == "bias" and isinstance(op, WeightedOp) and op.gives == "codes":
                    drawn = np.rint(drawn * 100).astype(np.int32)
                tensors[name] = drawn + np.float32(1) if end == "gain" else drawn
    return tensors
