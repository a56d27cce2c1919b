"""The values of a graph, op by op over all frames: products where there are weights, the vector unit elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.activation import add, dequantise, glu, quantise, relu, rescale, silu
from accelsim.kernels.attention import RelativePositions, attention, chunks, sinusoids, whole_utterances
from accelsim.kernels.conv import Starts, convolve, convolve_each, depthwise, matrix_product, maximum
from accelsim.kernels.float_product import convolve_each_values, convolve_values, depthwise_values, product
from accelsim.kernels.norm import layer_norm
from accelsim.kernels.number import Arithmetic, Faults, Values, values_of
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
    reach_of,
)

EXACT = Arithmetic()
"""Everything in float32."""

Tensors = Mapping[str, NDArray[Any]]
Sums = Callable[[WeightedOp, NDArray[np.int8], Starts], tuple[NDArray[Any], Starts]]
"""Multiplies the codes of all rows by an op's weights: codes [rows, width] -> sums [rows', outputs] and new starts."""


def exact_sums(tensors: Tensors, rows: Mapping[str, Rows]) -> Sums:
    """Return the function that multiplies as integers do, without any error."""

    def sums(op: WeightedOp, codes: NDArray[np.int8], starts: Starts) -> tuple[NDArray[Any], Starts]:
        weight = tensors[f"{op.name}.weight"]
        if isinstance(op, QDepthwiseOp):
            return depthwise(codes, weight, starts, causal=op.causal), starts
        if isinstance(op, QConvOp):
            bands = codes.reshape(len(codes), -1, weight.shape[3] if op.depthwise else weight.shape[2])
            convolution = convolve_each if op.depthwise else convolve
            made, starts = convolution(bands, weight, starts, (op.stride[0], op.stride[1]))
            return made.reshape(len(made), -1, weight.shape[3]), starts
        return matrix_product(codes, weight), starts

    return sums


class GraphValues:
    """One pass through a graph; afterwards ``clamped[op]`` holds codes that were clamped, ``starts[op]`` row offsets.

    ``vector``, ``attention``, ``array``: how the vector unit computes, the attention (as the vector unit unless it is
    given), and what multiplies float16 weights; ``sums``: how integers are multiplied, exactly unless it is given. With
    ``count_faults``, ``faults[op]`` holds what went wrong with an op's numbers.
    """

    def __init__(
        self,
        ops: Sequence[GraphOp],
        rows: Mapping[str, Rows],
        tensors: Tensors,
        *,
        vector: Arithmetic = EXACT,
        attention: Arithmetic | None = None,
        array: Arithmetic = EXACT,
        sums: Sums | None = None,
        count_faults: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.ops, self.rows, self.tensors = ops, rows, tensors
        self.vector, self.attention, self.array = vector, attention or vector, array
        self.sums = sums or exact_sums(tensors, rows)
        self.progress = progress or (lambda _: None)
        self.positional = positional(ops)
        self.clamped: dict[str, int] = {}
        self.faults: dict[str, Faults] = {}
        self.count_faults = count_faults
        self.starts: dict[str, Starts] = {}
        self.reach = reach_of(ops)
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
        number, faults = self.vector.number, self._faults(op)
        if isinstance(op, WeightedOp):
            return (self._in_float if op.in_float() else self._weighted)(op, read[0], starts)
        if isinstance(op, PositionsOp):
            return self._positions(op, min(longest, self.reach)), starts
        if isinstance(op, AttentionOp):
            spans = whole_utterances(starts) if op.chunk is None else chunks(starts, op.chunk, op.left)
            return self.attend(op, read, spans), starts
        if isinstance(op, LayerNormOp):
            gain, bias = self.tensors[f"{op.name}.gain"], self.tensors[f"{op.name}.bias"]
            unit = self.vector
            return (
                layer_norm(
                    read[0], gain, bias, number=number, accumulator=unit.accumulator, form=unit.norm, faults=faults
                ),
                starts,
            )
        if isinstance(op, AddOp):
            return add(read[0], read[1], op.factor, number, faults=faults), starts
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
        return (silu if isinstance(op, SiluOp) else glu)(read[0], number, faults=faults), starts

    def attend(self, op: AttentionOp, read: Sequence[Values], spans: NDArray[np.int64]) -> Values:
        """Return the values of attention, from what it reads and the rows that each row sees, [rows, 2]."""
        relative = None
        if op.positions is not None:
            relative = RelativePositions(read[1], self.tensors[f"{op.name}.u"], self.tensors[f"{op.name}.v"])
        unit = self.attention
        return attention(
            read[0], spans, op.heads, relative, unit.number, accumulator=unit.accumulator, softmax_form=unit.softmax,
            faults=self._faults(op),
        )  # fmt: skip

    def _faults(self, op: GraphOp) -> Faults | None:
        return self.faults.setdefault(op.name, Faults()) if self.count_faults else None

    def _in_float(self, op: WeightedOp, x: Values, starts: Starts) -> tuple[Values, Starts]:
        """Return the values of an op with float16 weights."""
        weight = self.tensors[f"{op.name}.weight"].astype(np.float32)
        bias = self.tensors.get(f"{op.name}.bias")
        unit, faults = self.array, self._faults(op)
        how: dict[str, Any] = {"accumulator": unit.accumulator, "faults": faults}
        self.clamped[op.name] = 0
        if isinstance(op, QDepthwiseOp):
            return depthwise_values(x, weight, bias, starts, self.vector.number, causal=op.causal, **how), starts
        if not isinstance(op, QConvOp):
            return product(x, weight, bias, self.vector.number, **how), starts
        bands = x.reshape(len(x), -1, weight.shape[3] if op.depthwise else weight.shape[2])
        convolution = convolve_each_values if op.depthwise else convolve_values
        made, starts = convolution(bands, weight, bias, starts, (op.stride[0], op.stride[1]), self.vector.number, **how)
        return made.reshape(len(made), -1), starts

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
            return values_of(y, self.vector.number), starts
        output_scale = float(tensors[f"{name}.output_scale"])
        out, beyond = quantise(y, output_scale)
        self.clamped[name] = clamped + beyond
        return dequantise(out, output_scale, self.vector.number), starts

    def _positions(self, op: PositionsOp, frames: int) -> Values:
        """Return the vectors of the distances frames - 1 .. -(frames - 1), beyond a table's reach its last."""
        if op.reach is None:
            return values_of(sinusoids(frames, op.width), self.vector.number)
        table = self.tensors[f"{op.name}.table"]
        if f"{op.name}.table_scale" in self.tensors:
            table = dequantise(table, float(self.tensors[f"{op.name}.table_scale"]), self.vector.number)
        distance = np.clip(np.arange(frames - 1, -frames, -1), -op.reach, op.reach)
        return values_of(table[distance + op.reach], self.vector.number)
