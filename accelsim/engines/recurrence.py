"""What a recurrent layer multiplies in each step: all columns of its matrices, or those of what has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from accelsim.engines.engine import Grid, Tallies
from accelsim.kernels.conv import Starts
from accelsim.ops.graph import Graph
from accelsim.ops.op import Datapath, Edge, Op
from accelsim.ops.recurrent import RecurrentOp


@dataclass
class Columns:
    """By layer that skips: how many inputs and states were taken anew in each row, [rows, 2], and where rows start."""

    taken: dict[str, tuple[NDArray[np.int64], Starts]] = field(default_factory=dict)

    def note(self, ops: Sequence[Op], graph: Graph, unit: Datapath, tallies: Tallies) -> None:
        """Keep what a unit counted of ops whose values it has computed."""
        for op in (op for op in ops if op.name in unit.taken):
            self.taken[op.name] = unit.taken[op.name]
            found, _ = unit.taken[op.name]
            every = len(found) * (graph.edges[op.reads()[0]].width + graph.edges[op.name].width)
            tallies.sparsity[op.name] = every - int(found.sum()), every

    def of_row(
        self, op: RecurrentOp, read: Sequence[Edge], grid: Grid, rows: int, row: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the inputs and the states that are multiplied in one of the ``rows`` of each frame, [frames] each.

        Rows beyond the end of an utterance, which fill its last frame, take nothing anew.
        """
        (inputs, _), (units, _) = op.matrices(read)
        if op.name not in self.taken:
            return np.full(grid.frames, inputs), np.full(grid.frames, units)
        taken, starts = self.taken[op.name]
        found = np.zeros((2, grid.frames), np.int64)
        for first, last, begin, end in zip(
            grid.starts[:-1].tolist(), grid.starts[1:].tolist(), starts[:-1].tolist(), starts[1:].tolist(), strict=True
        ):
            mine = taken[begin + row : end : rows][: last - first]
            found[:, first : first + len(mine)] = mine.T
        return found[0], found[1]
