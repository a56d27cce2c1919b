"""Weights drawn from a seed, for networks that are simulated for their cycles, energy and speed alone.

Integer weights are rounded normal numbers with a third of the largest weight as their deviation, scaled so that every
op with weights gives values of deviation 1; the scales of the codes reach four deviations of what the op before gives
to independent normal inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.schema.graph import AddOp, GraphOp, PositionsOp, Rows, WeightedOp

DEVIATIONS = 4.0
"""How many deviations the largest code stands for."""

_LARGEST_CODE = 127
_SHRINKS = {"silu": 0.60, "glu": 0.54, "relu": 0.71, "attention": 1.0, "positions": 0.71}
"""Root mean square of what an op makes of normal numbers of deviation 1, attention where all frames are alike."""


def generated_tensors(
    ops: Sequence[GraphOp], rows: Mapping[str, Rows], features: str, seed: int
) -> dict[str, NDArray[Any]]:
    """Return the tensors of a graph, drawn from ``seed``: the same numbers on every machine.

    A tensor's draws depend on the seed and its op's place alone. ``features``: the name of the inputs, of deviation 1.
    """
    spread = {features: 1.0}
    tensors: dict[str, NDArray[Any]] = {}
    last = ops[-1].name
    for place, op in enumerate(ops):
        read = [rows[name] for name in op.reads()]
        random = np.random.Generator(np.random.Philox(key=[seed, place]))
        before = spread[op.reads()[0]] if op.reads() else 1.0
        spread[op.name] = before * _SHRINKS.get(op.op, 1.0)  # type: ignore[attr-defined]
        if isinstance(op, PositionsOp) and op.reach is not None:
            spread[op.name] = 1.0
        if isinstance(op, AddOp):
            spread[op.name] = math.hypot(before, op.factor * spread[op.input])
        if op.op == "layer_norm" or isinstance(op, WeightedOp):  # type: ignore[attr-defined]
            spread[op.name] = 1.0
        for end, shape in op.shapes(read).items():
            name = f"{op.name}.{end}"
            if end == "weight":
                assert isinstance(op, WeightedOp)
                if op.in_float():
                    gain = 1 / (before * math.sqrt(math.prod(shape[:-1])))
                    tensors[name] = (random.standard_normal(shape, np.float32) * np.float32(gain)).astype(np.float16)
                    continue
                largest = (1 << (op.weight_bits - 1)) - 1
                drawn = random.standard_normal(shape, np.float32) * np.float32(max(largest / 3, 1))
                tensors[name] = np.clip(np.rint(drawn), -largest, largest).astype(np.int8)
                deviation = float(np.sqrt(np.square(tensors[name][:4096].astype(np.float64)).mean())) or 1.0
                gain = 1 / (before * deviation * math.sqrt(math.prod(shape[:-1])))
                tensors[f"{op.name}.weight_scale"] = np.array(gain, np.float32)
            elif end == "input_scale":
                tensors[name] = np.array(DEVIATIONS * before / _LARGEST_CODE, np.float32)
            elif end == "output_scale" and op.name != last:
                tensors[name] = np.array(DEVIATIONS / _LARGEST_CODE, np.float32)
            elif end in ("gain", "bias", "u", "v", "table"):
                drawn = random.standard_normal(shape, np.float32) * np.float32(1.0 if end == "table" else 0.1)
                tensors[name] = drawn + np.float32(1) if end == "gain" else drawn
    return tensors
