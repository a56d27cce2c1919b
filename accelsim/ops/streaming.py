"""A graph chunk by chunk, with the state that is carried between chunks: what a device does while somebody speaks."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.conv import Starts
from accelsim.ops.attention import AttentionOp
from accelsim.ops.graph import Graph
from accelsim.ops.op import FEATURES, Datapath, DatapathOp, Op, Signal


class Stream:
    """One utterance on its way through a graph, from its first chunk on.

    The state of an op is the end of what it has read: of a causal convolution the rows behind the next chunk's first
    one, of attention keys and values of the last ``left`` rows. Together with `accelsim.ops.op.evaluate` over a whole
    utterance, whose rows see the same, it gives the same bits.

    A chunk has as many frames of the input as the graph's attention says; without attention, any number of rows of the
    output. The last chunk alone may be shorter. Raises ValueError for a graph that cannot be taken chunk by chunk.
    """

    def __init__(self, graph: Graph, unit: Datapath) -> None:
        self.graph, self.unit = graph, unit
        self.state: dict[str, NDArray[Any]] = {}
        """What each op has kept, [rows, width]; nothing before the first chunk."""
        self.ended = False
        self.frames = _chunk(graph)
        self._distances = self._constants()

    def push(self, features: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the outputs of the next chunk, [rows', classes], from its features [frames, width].

        Raises ValueError for a chunk of a wrong length, and for any that follows a shorter one, which was the last.
        """
        self._check_length(features)
        signals = {FEATURES: self._signal(FEATURES, features), **self._distances}
        for op in self.graph.ops:
            if op.name not in self._distances:
                signals[op.name] = self._signal(op.name, self._advance(op, [signals[name] for name in op.reads()]))
        return signals[self.graph.last.name].values

    def _check_length(self, features: NDArray[Any]) -> None:
        frames, width = len(features), self.graph.edges[FEATURES].width
        if features.shape != (frames, width):
            raise ValueError(f"expected a chunk of [frames, {width}] features, found {list(features.shape)}")
        if self.ended:
            raise ValueError("the chunk before was shorter than the others, so it was the last: begin a new stream")
        if not frames:
            raise ValueError("a chunk has at least one frame, found none")
        if self.frames is None:
            self.ended = bool(frames % self.graph.given.stride)
            return
        if frames > self.frames:
            raise ValueError(f"expected a chunk of {self.frames} frames, the last one at most so many, found {frames}")
        self.ended = frames < self.frames

    def _signal(self, name: str, values: NDArray[Any]) -> Signal:
        return Signal(values, _one_utterance(len(values)), self.graph.edges[name])

    def _constants(self) -> dict[str, Signal]:
        """Return vectors of distances and what is signals of them alone: the same for every chunk."""
        signals: dict[str, Signal] = {}
        self.unit.longest = self.graph.reach
        for op in self.graph.ops:
            if self.graph.distances(op.name):
                values, starts = cast(DatapathOp, op).compute([signals[name] for name in op.reads()], self.unit)
                signals[op.name] = Signal(values, starts, self.graph.edges[op.name])
        return signals

    def _advance(self, op: Op, read: list[Signal]) -> NDArray[Any]:
        """Return an op's values of the chunk, and keep the rows that it will need of it."""
        kept = self._kept_rows(op)
        if not kept:
            return cast(DatapathOp, op).compute(read, self.unit)[0]
        first = read[0]
        before = self.state.get(op.name, first.values[:0])
        rows = np.concatenate([before, first.values])
        self.state[op.name] = rows[-kept:]
        longer = Signal(rows, _one_utterance(len(rows)), first.edge)
        if isinstance(op, AttentionOp):
            spans = np.zeros((len(rows), 2), np.int64)
            spans[len(before) :] = max(len(before) - op.left, 0), len(rows)
            values = [self.unit.real(signal) for signal in (longer, *read[1:])]
            return op.attend(values, spans, self.unit)[len(before) :]
        result, _ = cast(DatapathOp, op).compute([longer, *read[1:]], self.unit)
        return result[len(before) // self._stride(op) :]

    def _kept_rows(self, op: Op) -> int:
        """Return how many rows of its input an op keeps: a whole number of strides, where it has one."""
        stride = self._stride(op)
        return -(-op.window(self.graph.read(op)).behind // stride) * stride

    def _stride(self, op: Op) -> int:
        """Return the rows that an op reads for one of its own."""
        return self.graph.edges[op.name].stride // self.graph.edges[op.reads()[0]].stride


def _chunk(graph: Graph) -> int | None:
    """Return the frames of the input in a chunk, None where any whole rows of the output will do."""
    found: dict[int, str] = {}
    for op in graph.ops:
        if not isinstance(op, DatapathOp):
            raise ValueError(f"layer '{op.name}' ({op.op}) is no op of a datapath")
        window = op.window(graph.read(op))
        if window.whole or window.ahead:
            raise ValueError(f"layer '{op.name}' looks ahead, beyond the end of a chunk")
        if isinstance(op, AttentionOp) and op.chunk is not None:
            found[op.chunk * graph.edges[op.name].stride] = op.name
    if len(found) > 1:
        raise ValueError(f"layers {', '.join(map(repr, found.values()))} attend in chunks of different lengths")
    return next(iter(found), None)


def _one_utterance(rows: int) -> Starts:
    return np.array([0, rows], np.int64)
