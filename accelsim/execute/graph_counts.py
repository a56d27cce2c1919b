"""What every job of a graph does, frame by frame: counts for time and energy, from sizes and from what was read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import Architecture
from accelsim.components.vector_unit import VectorUnit
from accelsim.execute.activity import Activity
from accelsim.kernels.attention import chunks, whole_utterances
from accelsim.schedule.graph import CODE_BITS, output_bits
from accelsim.schedule.job import Job, Schedule
from accelsim.schedule.windows import Window
from accelsim.schema.graph import (
    AttentionOp,
    GraphOp,
    LayerNormOp,
    MaxPoolOp,
    PositionsOp,
    QConvOp,
    WeightedOp,
    positional,
    reach_of,
)
from accelsim.schema.workload import FEATURES
from accelsim.workload import Workload

Counts = dict[tuple[str, str], dict[str, NDArray[np.int64]]]

QUANTISE, RESCALE, DEQUANTISE = 2, 2, 1
"""Operations on a value: product with 1 / scale and rounding; product and bias; product."""

WORK = {
    "layer_norm": (7, 0, 2),  # sum, difference, square, sum; products with 1 / s and the gain, bias; root and quotient
    "silu": (1, 2, 0),  # 1 + e; exponential and quotient
    "glu": (1, 2, 0),
    "relu": (1, 0, 0),
    "add": (2, 0, 0),
}
"""Operations and special functions on every value given, and special functions once a row."""

PRE_NORMALISER = (9, 1, 0)  # an eighth, less the first; product and sum of each mean; difference; quotient by MAD


def work_of(op: GraphOp, unit: VectorUnit) -> tuple[int, int, int]:
    """Return operations and special functions on every value that an op gives, and special functions once a row."""
    operations, special, per_row = WORK[op.op]  # type: ignore[attr-defined]
    if isinstance(op, LayerNormOp) and unit.norm == "pre_normalised":
        return operations + PRE_NORMALISER[0], special + PRE_NORMALISER[1], per_row + PRE_NORMALISER[2]
    return operations, special, per_row


def keys_seen(op: AttentionOp, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many frames each frame sees, itself included: [frames]; starts: of the utterances."""
    spans = whole_utterances(starts) if op.chunk is None else chunks(starts, op.chunk, op.left)
    return spans[:, 1] - spans[:, 0]


class GraphCounts:
    """Counts the jobs of a schedule over all frames.

    ``starts``: offsets of the utterances in frames of the schedule; ``power``: of the cells, by layer, in W, summed
    over the rows of each frame, but of distances row by row. Copies of a matrix count the frames that they work on.
    """

    def __init__(
        self,
        schedule: Schedule,
        workload: Workload,
        architecture: Architecture,
        starts: NDArray[np.int64],
        power: Mapping[str, NDArray[np.float64]],
    ) -> None:
        self.schedule, self.tensors, self.starts, self.power = schedule, workload.tensors, starts, power
        self.frames, self.inputs = int(starts[-1]), workload.spec.inputs.width()
        ops = workload.spec.graph_ops()
        self.ops, self.rows, self.positional = {op.name: op for op in ops}, workload.spec.graph_rows(), positional(ops)
        self.stride = self.rows[ops[-1].name].stride
        self.maps = {m.matrix.name: m for m in schedule.tile_map.mappings} if schedule.tile_map else {}
        layer_of = {job.name: job.layer for job in schedule.jobs}
        self.reach = reach_of(ops)
        self.windows = {layer_of[job]: window for (job, _), window in schedule.windows.items()}
        kinds = architecture.of_kind
        self.part: dict[str, Any] = {
            kind: next(iter(kinds(kind).values()), None)
            for kind in ("vector_unit", "bus", "crossbar", "accumulator", "mac_array")
        }
        self.memory = {spec.stores: spec for spec in kinds("sram").values()}
        self.counts: Counts = {}

    def activity(
        self, clamped: Mapping[str, int], clipped: Mapping[str, int], programming: Mapping[str, int]
    ) -> Activity:
        """Return the counts of all jobs, with what the kernels counted: clamped codes, clipped conversions, pulses."""
        macs: dict[str, dict[str, int]] = {}
        conversions = dict.fromkeys(clipped, 0)
        for job in self.schedule.jobs:
            if job.layer == FEATURES:
                self._count(job, job.component, 1, write=self.inputs * self.stride)
                continue
            op, stage = self.ops[job.layer], job.work["stage"]
            if stage == "vector":
                self._vector(job, op)
            elif isinstance(op, AttentionOp):
                macs[job.name] = self._attention(job, op)
            else:
                assert isinstance(op, WeightedOp)
                getattr(self, f"_{stage}")(job, op)
                if stage in ("collect", "digital"):
                    macs[job.name] = _all_performed(
                        int(self._given(op).sum()) * math.prod(self._positions_and_weight(op))
                    )
                if stage == "convert":
                    conversions[op.name] += int(self.counts[job.name, job.component]["convert"].sum())
        tokens = {key: window.tokens(self.starts) for key, window in self.schedule.windows.items()}
        converted = {name: (made, clipped[name]) for name, made in conversions.items()}
        return Activity(self.counts, macs, clamped, {}, converted, programming, tokens)

    # Sizes

    def _given(self, op: GraphOp) -> NDArray[np.int64]:
        """Return the rows that an op gives in each frame, [frames]; those of positions are all made in the first."""
        if op.name in self.positional:
            rows = np.zeros(self.frames, np.int64)
            rows[0] = 2 * min(int(np.diff(self.starts).max()), self.reach) - 1
            return rows
        frames = self.windows.get(op.name, Window()).worked_on(self.starts)
        return frames * (self.stride // self.rows[op.name].stride)

    def _rows_read(self, op: GraphOp, read: str) -> NDArray[np.int64]:
        """Return the rows of ``read`` that an op reads anew in each frame, [frames]."""
        if read in self.positional:
            return self._given(op)
        return self._given(op) * self.rows[op.name].stride // self.rows[read].stride

    def _bits(self, name: str) -> int:
        """Return the bits of a row in memory; tables hold codes."""
        if name == FEATURES or isinstance(self.ops[name], PositionsOp):
            return self.rows[name].width * CODE_BITS
        return self.rows[name].width * output_bits(self.ops[name], self.tensors, self.part["vector_unit"].number)

    def _positions_and_weight(self, op: WeightedOp) -> tuple[int, ...]:
        """Return on how many positions of a row a weight is used, and the shape of the weight."""
        positions = self.rows[op.name].bands if isinstance(op, QConvOp) else 1
        return positions, *op.shapes([self.rows[read] for read in op.reads()])["weight"]

    def _matrix(self, op: WeightedOp) -> tuple[int, int]:
        return op.matrix([self.rows[read] for read in op.reads()])

    # Jobs of the digital side

    def _vector(self, job: Job, op: GraphOp) -> None:
        queue, vector, memory = job.members()
        given, width = self._given(op), self.rows[op.name].width
        if isinstance(op, MaxPoolOp):
            operations, special, per_row = op.size[0] * op.size[1] - 1, 0, 0
        else:
            operations, special, per_row = work_of(op, self.part["vector_unit"])
        self._count(job, queue, given > 0, dispatch=1)
        self._count(job, vector, given, operation=operations * width, special=special * width + per_row)
        self._access(job, memory, self._words_read(op), given * self._words(self._bits(op.name)))

    def _attention(self, job: Job, op: AttentionOp) -> dict[str, int]:
        queue, engine, memory = job.members()
        width, terms = self.rows[op.name].width, 2 if op.positions is None else 3
        keys = keys_seen(op, self.starts)
        self._count(job, queue, 1, dispatch=1)
        self._count(job, engine, keys, mac=terms * width, exponential=op.heads)
        # Queries once; keys, values and, with positions, their vectors anew for every frame.
        third = self._words(self._bits(op.input) // 3)
        read = third + keys * 2 * third
        if op.positions is not None:
            read = read + keys * self._words(self._bits(op.positions))
        self._access(job, memory, read, np.full(self.frames, self._words(self._bits(op.name))))
        return _all_performed(int(keys.sum()) * terms * width)

    def _digital(self, job: Job, op: WeightedOp) -> None:
        queue, array, weights, vector, memory = job.members()
        given, (positions, *shape) = self._given(op), self._positions_and_weight(op)
        inputs, outputs = self._matrix(op)
        self._count(job, queue, given > 0, dispatch=1)
        if op.each_channel():  # it has inputs of its own, so that one column works at a time
            blocks = positions * self.part["mac_array"].blocks(inputs, 1) * outputs
        else:
            blocks = positions * self.part["mac_array"].blocks(inputs, outputs)
        self._count(job, array, given, mac=positions * math.prod(shape), add=0, blocks=blocks)
        held = self.memory["weights"]
        words = -(-math.prod(shape) * op.weight_bits // held.width_bits)
        self._count(job, weights, given > 0, read=words, write=0, bank_accesses=-(-words // held.banks))
        quantised = self._rows_read(op, op.input) * self.rows[op.input].width
        self._count(job, vector, quantised * QUANTISE + given * self._rounded(op), operation=1)
        self._count(job, vector, 0, special=1)
        self._access(job, memory, self._words_read(op), given * self._words(self._bits(op.name)))

    def _rounded(self, op: WeightedOp) -> int:
        """Return the operations that make a row of sums an output."""
        rounding = QUANTISE + DEQUANTISE if f"{op.name}.output_scale" in self.tensors else 0
        return (RESCALE + rounding) * self.rows[op.name].width

    # Jobs of a matrix on tiles

    def _deliver(self, job: Job, op: WeightedOp) -> None:
        registers, bus, vector, memory = job.members()
        lies, given = self.maps[op.name], self._given(op)
        width = self.rows[op.input].width
        columns = self.part["crossbar"].columns
        if lies.matrix.depthwise:  # the registers of every column keep the older frames
            written, busiest = width, min(width, columns)
        else:
            written, busiest = width * lies.column_tiles, min(width, self.part["crossbar"].rows)
        self._count(job, registers, given, write=written, rows=1)
        self._count(job, registers, given > 0, busiest=busiest)
        self._count(job, bus, given, transfer=-(-width * CODE_BITS // self.part["bus"].width_bits))
        self._count(job, vector, given, operation=QUANTISE * width, special=0)
        self._access(job, memory, self._words_read(op), np.zeros(self.frames, np.int64))

    def _read(self, job: Job, op: WeightedOp) -> None:
        crossbar, dac, hold = job.members()
        lies, mine = self.maps[op.name], self._of_copy(job, op)
        arrays = lies.planes * self.part["crossbar"].arrays_per_plane()
        driven = lies.matrix.inputs * (lies.matrix.outputs if lies.matrix.depthwise else lies.column_tiles)
        nanowatts = np.rint(self.power[op.name] * 1e9).astype(np.int64)
        if op.name in self.positional:
            nanowatts = np.concatenate([[nanowatts.sum()], np.zeros(self.frames - 1, np.int64)])
        self.counts[job.name, crossbar] = {"phases": mine, "nanowatt_read": nanowatts * (mine > 0)}
        self._count(job, dac, mine, phases=1, drive=driven * arrays)
        self._count(job, hold, mine, phases=1, sample=lies.conversions_per_frame)

    def _convert(self, job: Job, op: WeightedOp) -> None:
        adc, shift_add = job.members()
        lies, mine = self.maps[op.name], self._of_copy(job, op)
        busiest = min(lies.matrix.outputs, self.part["crossbar"].columns) * lies.planes
        for member, action in ((adc, "convert"), (shift_add, "add")):
            self._count(job, member, mine, rows=1, **{action: lies.conversions_per_frame})
            self._count(job, member, mine > 0, busiest=busiest)

    def _collect(self, job: Job, op: WeightedOp) -> None:
        sums, bus, vector, memory = job.members()
        lies, given, adders = self.maps[op.name], self._given(op), self.part["accumulator"]
        outputs = lies.matrix.outputs
        added = (lies.row_tiles - 1) * outputs
        groups = -(-max(added, outputs) // (adders.units * lies.column_tiles))
        self._count(job, sums, given, add=added, write=outputs, groups=groups)
        self._count(job, bus, given, transfer=-(-outputs * adders.width_bits // self.part["bus"].width_bits))
        self._count(job, vector, given, operation=self._rounded(op), special=0)
        self._access(job, memory, np.zeros(self.frames, np.int64), given * self._words(self._bits(op.name)))

    def _of_copy(self, job: Job, op: GraphOp) -> NDArray[np.int64]:
        """Return the rows of the frames that a job's copy works on, [frames]."""
        return self._given(op) * (np.arange(self.frames) % job.copies == job.copy)

    # Activation memory

    def _words(self, bits: int) -> int:
        return -(-bits // int(self.memory["activations"].width_bits))

    def _words_read(self, op: GraphOp) -> NDArray[np.int64]:
        """Return the words that an op reads from the activation memory; features come from their own registers."""
        words = np.zeros(self.frames, np.int64)
        for read in op.reads():
            if read != FEATURES:
                words += self._rows_read(op, read) * self._words(self._bits(read))
        return words

    def _access(self, job: Job, member: str, read: NDArray[np.int64], written: NDArray[np.int64]) -> None:
        banks = self.memory["activations"].banks // self.part["vector_unit"].units
        self.counts[job.name, member] = {
            "read": read, "write": written, "bank_accesses": -(-(read + written) // banks)
        }  # fmt: skip

    def _count(self, job: Job, member: str, each: NDArray[Any] | int, **values: int) -> None:
        """Note counts of a job: ``each`` times the values, per frame."""
        counts = self.counts.setdefault((job.name, member), {})
        for name, value in values.items():
            counts[name] = np.broadcast_to(np.asarray(each, np.int64) * value, (self.frames,))


def _all_performed(dense: int) -> dict[str, int]:
    """Nothing is skipped: every weight is multiplied in every frame."""
    return {"dense": dense, "performed": dense, "skipped": 0}
