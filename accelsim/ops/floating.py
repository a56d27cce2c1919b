"""The float network of a graph, on the same inputs: what the quantised one is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.ops.graph import Graph
from accelsim.ops.op import FEATURES, Datapath, Edge, Signal, Tensors, longest_computed, outputs_of


def float_outputs(graph: Graph, tensors: Tensors, features: Signal, unit: float | None) -> Iterator[NDArray[Any]]:
    """Yield the outputs [rows, classes] of the float network, one utterance at a time to keep memory small.

    ``tensors``: of the float network; ``unit``: what features are divided by, see `accelsim.workload.WorkloadSpec`.
    """
    signals = {FEATURES: features}
    exact = Datapath(tensors, reach=graph.reach)
    for op in graph.ops[:-1]:
        if not op.reads():
            exact.longest = longest_computed(signals)
        values, starts = op.float_values([signals[name] for name in op.reads()], exact, unit)
        signals[op.name] = Signal(values, starts, _in_float(graph.edges[op.name]))
        for name in op.reads():
            if graph.last_reader[name] == op.name:
                signals.pop(name, None)
    read = [signals[name] for name in graph.last.reads()]
    for places in zip(*(pairwise(signal.starts) for signal in read), strict=True):
        parts = [
            replace(signal, values=signal.values[first:last], starts=np.array([0, last - first], np.int64))
            for signal, (first, last) in zip(read, places, strict=True)
        ]
        yield outputs_of(graph.last.float_values(parts, exact, unit)[0])


def _in_float(edge: Edge) -> Edge:
    """Return an edge as the float network has it: what stands for numbers as codes there are the numbers themselves."""
    return replace(edge, kind="real") if edge.kind == "codes" else edge
