"""Weights drawn from a seed, for networks that are simulated for their cycles, energy and speed alone.

Every op draws its own, see `Op.generated`: those with weights give values of deviation 1, and the scales of the codes
reach four deviations of what the op before gives to independent normal inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.ops.graph import Graph
from accelsim.ops.op import FEATURES


def generated_tensors(graph: Graph, seed: int) -> dict[str, NDArray[Any]]:
    """Return the tensors of a graph, drawn from ``seed``: the same numbers on every machine.

    A tensor's draws depend on the seed and its op's place alone. The inputs have deviation 1.
    """
    spread = {FEATURES: 1.0}
    tensors: dict[str, NDArray[Any]] = {}
    for place, op in enumerate(graph.ops):
        random = np.random.Generator(np.random.Philox(key=[seed, place]))
        before = [spread[name] for name in op.reads()]
        spread[op.name] = op.spread_of(before)
        first = before[0] if before else 1.0
        tensors |= op.generated(graph.read(op), first, random, last=op is graph.last)
    return tensors
