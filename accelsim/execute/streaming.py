"""A graph chunk by chunk, with the state that is carried between chunks: what a device does while somebody speaks."""

from __future__ import annotations

import numpy as np

from accelsim.execute.graph_values import GraphValues
from accelsim.kernels.number import Values
from accelsim.schema.graph import AttentionOp, GraphOp, QConvOp, QDepthwiseOp


class Stream:
    """One utterance on its way through a graph, from its first chunk on.

    The state of an op is the end of what it has read: of a causal convolution the rows behind the next chunk's first
    one, of attention keys and values of the last ``left`` rows. Together with `GraphValues.run` over a whole utterance,
    whose frames see the same, it gives the same bits.
    """

    def __init__(self, values: GraphValues, features: str) -> None:
        self.values, self.features = values, features
        self.state: dict[str, Values] = {}
        """What each op has kept, [rows, width]; nothing before the first chunk."""
        self._distances = self._constants()

    def push(self, features: Values) -> Values:
        """Return the outputs of the next chunk, [rows', classes], from its features [frames, width].

        All chunks but the last are as long as the graph's attention says.
        """
        made = {self.features: features, **self._distances}
        for op in self.values.ops:
            if op.name not in self._distances:
                made[op.name] = self._advance(op, made)
        return made[self.values.ops[-1].name]

    def _constants(self) -> dict[str, Values]:
        """Return vectors of distances and what is made of them alone: the same for every chunk."""
        made: dict[str, Values] = {}
        nothing = np.zeros(1, np.int64)
        for op in self.values.ops:
            if op.name in self.values.positional:
                made[op.name], _ = self.values.compute(op, made, nothing, self.values.reach)
        return made

    def _advance(self, op: GraphOp, made: dict[str, Values]) -> Values:
        """Return an op's values of the chunk, and keep the rows that it will need of it."""
        read = [made[name] for name in op.reads()]
        kept = self._kept_rows(op)
        if not kept:
            return self.values.compute(op, made, _one_utterance(len(read[0])), 0)[0]
        before = self.state.get(op.name, read[0][:0])
        rows = np.concatenate([before, read[0]])
        self.state[op.name] = rows[-kept:]
        if isinstance(op, AttentionOp):
            spans = np.zeros((len(rows), 2), np.int64)
            spans[len(before) :] = max(len(before) - op.left, 0), len(rows)
            return self.values.attend(op, [rows, *read[1:]], spans)[len(before) :]
        result, _ = self.values.compute(op, {**made, op.reads()[0]: rows}, _one_utterance(len(rows)), 0)
        stride = op.stride[0] if isinstance(op, QConvOp) else 1
        return result[len(before) // stride :]

    def _kept_rows(self, op: GraphOp) -> int:
        """Return how many rows of its input an op keeps: a whole number of strides, where it has one."""
        if isinstance(op, AttentionOp):
            return op.left
        if isinstance(op, QDepthwiseOp):
            return op.behind()
        if isinstance(op, QConvOp):
            return -(-(op.kernel[0] // 2) // op.stride[0]) * op.stride[0]
        return 0


def _one_utterance(rows: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([0, rows], np.int64)
