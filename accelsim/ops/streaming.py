"""A graph chunk by chunk, with the state that is carried between chunks: what a device does while somebody speaks."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from accelsim.ops.graph import Graph
from accelsim.ops.op import FEATURES, Datapath, DatapathOp, Op, Signal


class Stream:
    """One utterance on its way through a graph, from its first chunk on.

    Every op keeps a state of its own, see `accelsim.ops.op.DatapathOp.advance`: of a causal convolution the rows behind
    the next chunk's first one, of attention keys and values of the last ``left`` rows. Together with
    `accelsim.ops.op.evaluate` over a whole utterance, whose rows see the same, it gives the same bits.

    A chunk has as many frames of the input as its ops work on together, as attention says; where none do, any number of
    rows of the output. The last chunk alone may be shorter. Raises ValueError for a graph that cannot be taken chunk by
    chunk.
    """

    def __init__(self, graph: Graph, unit: Datapath) -> None:
        self.graph, self.unit = graph, unit
        self.state: dict[str, Any] = {}
        """What each op has kept; nothing before the first chunk."""
        self.ended = False
        self.frames = _chunk(graph)
        self._distances = self._constants()

    def push(self, features: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the outputs of the next chunk, [rows', classes], from its features [frames, width].

        Raises ValueError for a chunk of a wrong length, and for any that follows a shorter one, which was the last.
        """
        return self.signals(features)[self.graph.last.name].values

    def signals(self, features: NDArray[np.uint8]) -> dict[str, Signal]:
        """Return what every op gives in the next chunk, by name; raises ValueError as `push` does."""
        self._check_length(features)
        signals = {FEATURES: self._signal(FEATURES, features), **self._distances}
        for op in self.graph.ops:
            if op.name not in self._distances:
                read = [signals[name] for name in op.reads()]
                values, self.state[op.name] = cast(DatapathOp, op).advance(read, self.state.get(op.name), self.unit)
                self._check_rows(op, len(values), read[0])
                signals[op.name] = self._signal(op.name, values)
        return signals

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

    def _check_rows(self, op: Op, rows: int, read: Signal) -> None:
        """Raise ValueError for an op that makes more rows than belong to what it reads, as padding behind it does."""
        stride = self.graph.edges[op.name].stride // read.edge.stride
        if rows > -(-len(read.values) // stride):
            raise ValueError(
                f"layer '{op.name}' makes {rows} rows of {len(read.values)}, one for each {stride}: it pads"
            )

    def _signal(self, name: str, values: NDArray[Any]) -> Signal:
        return Signal(values, np.array([0, len(values)], np.int64), self.graph.edges[name])

    def _constants(self) -> dict[str, Signal]:
        """Return vectors of distances and what is signals of them alone: the same for every chunk."""
        signals: dict[str, Signal] = {}
        self.unit.longest = self.graph.reach
        for op in self.graph.ops:
            if self.graph.distances(op.name):
                values, starts = cast(DatapathOp, op).compute([signals[name] for name in op.reads()], self.unit)
                signals[op.name] = Signal(values, starts, self.graph.edges[op.name])
        return signals


def _chunk(graph: Graph) -> int | None:
    """Return the frames of the input in a chunk, None where any whole rows of the output will do."""
    for op in graph.ops:
        if not isinstance(op, DatapathOp):
            raise ValueError(f"layer '{op.name}' ({op.op}) is no op of a datapath")
        window = op.window(graph.read(op))
        if window.whole or window.ahead:
            raise ValueError(f"layer '{op.name}' looks ahead, beyond the end of a chunk")
    chunks = graph.chunks(graph.ops)
    if len(chunks) > 1:
        raise ValueError(f"layers {', '.join(map(repr, chunks.values()))} work on chunks of different lengths")
    return next(iter(chunks), None)
