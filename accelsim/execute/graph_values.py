"""The values of a graph, op by op over all frames: integer sums where there are weights, the vector unit elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.activation import add, dequantise, glu, quantise, relu, rescale, silu
from accelsim.kernels.attention import RelativePositions, attention, sinusoids
from accelsim.kernels.conv import Starts, convolve, depthwise, matrix_product, maximum
from accelsim.kernels.norm import layer_norm
from accelsim.kernels.number import Number, Values, values_of
from accelsim.schema.graph import (
    AddOp,
    AttentionOp,
    GraphOp,
    LayerNormOp,
    MaxPoolOp,
    PositionsOp,
    QConvOp,
    QDepthwiseOp,
    ReluOp,
    Rows,
    SiluOp,
    WeightedOp,
    positional,
)

Tensors = Mapping[str, NDArray[Any]]
Sums = Callable[[WeightedOp, NDArray[np.int8], Starts], tuple[NDArray[Any], Starts]]
"""Multiplies the codes of all rows by an op's weights: codes [rows, width] -> sums [rows', outputs] and new starts."""


def exact_sums(tensors: Tensors, rows: Mapping[str, Rows]) -> Sums:
    """Return the function that multiplies as integers do, without any error."""

    def sums(op: WeightedOp, codes: NDArray[np.int8], starts: Starts) -> tuple[NDArray[Any], Starts]:
        weight = tensors[f"{op.name}.weight"]
        if isinstance(op, QDepthwiseOp):
            return depthwise(codes, weight, starts), starts
        if isinstance(op, QConvOp):
            bands = codes.reshape(len(codes), -1, weight.shape[2])
            made, starts = convolve(bands, weight, starts, (op.stride[0], op.stride[1]))
            return made.reshape(len(made), -1, weight.shape[3]), starts
        return matrix_product(codes, weight), starts

    return sums


class GraphValues:
    """One pass through a graph; afterwards ``clamped[op]`` holds codes that were clamped, ``starts[op]`` row offsets.

    ``number`` and ``attention_number``: formats of the vector unit and of the attention engine; ``sums``: how matrices
    are multiplied, exactly unless it is given.
    """

    def __init__(
        self,
        ops: Sequence[GraphOp],
        rows: Mapping[str, Rows],
        tensors: Tensors,
        *,
        number: Number = "float32",
        attention_number: Number | None = None,
        sums: Sums | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.ops, self.rows, self.tensors = ops, rows, tensors
        self.number, self.attention_number = number, attention_number or number
        self.sums = sums or exact_sums(tensors, rows)
        self.progress = progress or (lambda _: None)
        self.positional = positional(ops)
        self.clamped: dict[str, int] = {}
        self.starts: dict[str, Starts] = {}
        self._last_reader = {read: op.name for op in ops for read in op.reads()}

    def run(self, features: str, values: Values, starts: Starts) -> Values:
        """Return the values of the last op, from the inputs' values [frames, width] and the utterances' offsets."""
        made = {features: values}
        self.starts[features] = starts
        longest = int(np.diff(starts).max())
        for op in self.ops:
            self.progress(op.name)
            if op.name not in self.positional:
                starts = self.starts[op.reads()[0]]
                longest = int(np.diff(starts).max())
            made[op.name], self.starts[op.name] = self.compute(op, made, starts, longest)
            for read in op.reads():
                if self._last_reader[read] == op.name:
                    made.pop(read, None)
        return made[self.ops[-1].name]

    def compute(self, op: GraphOp, made: Mapping[str, Values], starts: Starts, longest: int) -> tuple[Values, Starts]:
        """Return the values of one op and the offsets of its rows, from those that it reads.

        ``starts``: offsets of the rows that it reads; ``longest``: frames of the longest utterance, for positions.
        """
        read = [made[name] for name in op.reads()]
        if isinstance(op, WeightedOp):
            return self._weighted(op, read[0], starts)
        if isinstance(op, PositionsOp):
            return self._positions(op, longest), starts
        if isinstance(op, AttentionOp):
            relative = None
            if op.positions is not None:
                relative = RelativePositions(read[1], self.tensors[f"{op.name}.u"], self.tensors[f"{op.name}.v"])
            return attention(read[0], starts, op.heads, relative, self.attention_number), starts
        if isinstance(op, LayerNormOp):
            gain, bias = self.tensors[f"{op.name}.gain"], self.tensors[f"{op.name}.bias"]
            return layer_norm(read[0], gain, bias, number=self.number), starts
        if isinstance(op, AddOp):
            return add(read[0], read[1], op.factor, self.number), starts
        if isinstance(op, MaxPoolOp):
            bands = read[0].reshape(len(read[0]), self.rows[op.input].bands, -1)
            pooled, starts = maximum(bands, starts, (op.size[0], op.size[1]))
            if not len(pooled):
                raise ValueError(
                    f"layer '{op.name}' takes {op.size[0]} rows for one of its own: no utterance is so long"
                )
            return pooled.reshape(len(pooled), -1), starts
        if isinstance(op, ReluOp):
            return relu(read[0]), starts
        return (silu if isinstance(op, SiluOp) else glu)(read[0], self.number), starts

    def _weighted(self, op: WeightedOp, x: Values, starts: Starts) -> tuple[Values, Starts]:
        name, tensors = op.name, self.tensors
        input_scale = float(tensors[f"{name}.input_scale"])
        try:
            codes, clamped = quantise(x, input_scale)
        except ValueError as error:
            raise ValueError(f"layer '{name}': {error}") from None
        sums, starts = self.sums(op, codes, starts)
        scale = float(tensors[f"{name}.input_scale"] * tensors[f"{name}.weight_scale"])
        y = rescale(sums, scale, tensors.get(f"{name}.bias"))
        y = y.reshape(len(y), -1)
        if f"{name}.output_scale" not in tensors:
            self.clamped[name] = clamped
            return values_of(y, self.number), starts
        output_scale = float(tensors[f"{name}.output_scale"])
        out, beyond = quantise(y, output_scale)
        self.clamped[name] = clamped + beyond
        return dequantise(out, output_scale, self.number), starts

    def _positions(self, op: PositionsOp, frames: int) -> Values:
        """Return the vectors of the distances frames - 1 .. -(frames - 1), beyond a table's reach its last."""
        if op.reach is None:
            return values_of(sinusoids(frames, op.width), self.number)
        table = self.tensors[f"{op.name}.table"]
        if f"{op.name}.table_scale" in self.tensors:
            table = dequantise(table, float(self.tensors[f"{op.name}.table_scale"]), self.number)
        distance = np.clip(np.arange(frames - 1, -frames, -1), -op.reach, op.reach)
        return values_of(table[distance + op.reach], self.number)
