"""Values and counts of ops on an NPU: float16 or 8-bit codes, chunk by chunk.

Values are computed over whole utterances, every row seeing what it sees in its chunk: the same bits as chunk by chunk
with the state carried along (`accelsim.ops.streaming`), since no operation of a row depends on later chunks.

A compiled graph has fixed shapes: every chunk costs the same, also the first ones, whose cache is not yet full, and the
last, which is filled up. What is masked is multiplied all the same. So counts follow from the sizes of a chunk's steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from accelsim.components.cpu import Cpu
from accelsim.components.systolic_array import SystolicArray
from accelsim.components.vector_unit import VectorUnit
from accelsim.engines.engine import Counts, Grid, Macs, Run, Tell
from accelsim.engines.npu.work import (
    Depthwise,
    End,
    Fallback,
    Gates,
    Inner,
    Load,
    Matrices,
    OfAttention,
    PlacesOnVector,
    Product,
    ProductOnVector,
    RecurrentOnVector,
    Softmax,
    Start,
    Step,
    Transpose,
    Vector,
)
from accelsim.kernels.number import Arithmetic, values_of
from accelsim.ops.attention import AttentionOp
from accelsim.ops.op import (
    LARGEST_INTEGER_BITS,
    Datapath,
    DatapathOp,
    Op,
    Signal,
    VectorOp,
    WeightedOp,
    evaluate,
)
from accelsim.ops.recurrent import RecurrentOp
from accelsim.schedule.job import Job
from accelsim.workload import Workload

if TYPE_CHECKING:
    from accelsim.engines.npu.engine import Npu

QUANTISE, RESCALE, DEQUANTISE, ADD = 2, 2, 1, 1
"""Operations on a value: product with 1 / scale and rounding; product and bias; product; sum."""
REQUANTISE = 4
"""Operations that make a code of a sum: bias, product, rounding shift, zero point."""
SOFTMAX = 5
"""Operations on a score: scaled, compared with the largest so far, shifted, summed, scaled by the sum's reciprocal."""
RELATIVE = 1
"""One more where the score of a position is added."""

_ON_VECTOR = Depthwise | PlacesOnVector | ProductOnVector | RecurrentOnVector

Numbers = dict[str, dict[str, int]]
"""Counts in a chunk by role."""


def datapath(network: Workload, array: SystolicArray, vector: VectorUnit) -> Datapath:
    """Return how an NPU's units compute a network; what goes wrong with their numbers is counted."""
    unit = Arithmetic(vector.number, vector.accumulator, vector.norm, vector.softmax)
    # What the array does not take is multiplied on the vector unit.
    products = unit if array.accumulator == "int32" else replace(unit, accumulator=array.accumulator)
    return Datapath(
        network.tensors,
        vector=unit,
        attention=products,
        array=products,
        count_exceptions=True,
        reach=network.graph.reach,
    )


class NpuRun(Run):
    """One run of an NPU; nothing is drawn."""

    inexact = True

    def __init__(self, engine: Npu, tell: Tell) -> None:
        super().__init__()
        self.engine, self.tell = engine, tell
        self.unit = datapath(engine.network, engine.array, engine.vector)
        self.edges, self.tensors = engine.graph.edges, engine.tensors
        self.dma, self.dram = (engine.parts.spec(role) for role in ("dma", "dram"))

    def values(self, ops: Sequence[Op], signals: dict[str, Signal]) -> None:
        for op in ops:
            self.unit.exceptions_of(op)  # every op is listed, also one in which nothing can go wrong
        self._evaluate(ops, signals, self.unit)
        self.tallies.clamped |= self.unit.clamped
        self.tallies.exceptions |= {name: asdict(found) for name, found in self.unit.exceptions.items()}

    def exact(self, ops: Sequence[Op], signals: dict[str, Signal]) -> None:
        self._evaluate(ops, signals, Datapath(self.tensors, reach=self.engine.graph.reach))

    def _evaluate(self, ops: Sequence[Op], signals: dict[str, Signal], unit: Datapath) -> None:
        """Compute ops; real numbers of other engines are rounded to the format of the vector unit as they come in."""
        graph, ours = self.engine.graph, {op.name for op in self.engine.ops}
        theirs = {
            name: signals[name]
            for op in ops
            for name in op.reads()
            if name in signals and name not in ours and signals[name].edge.kind == "real"
        }
        for name, signal in theirs.items():
            signals[name] = replace(signal, values=values_of(signal.values, unit.vector.number))
        evaluate(
            cast(Sequence[DatapathOp], ops), signals, graph.edges, unit, last_reader=graph.last_reader,
            progress=self.tell,
        )  # fmt: skip
        signals |= {name: signal for name, signal in theirs.items() if name in signals}

    def count(self, job: Job, grid: Grid) -> tuple[Mapping[str, Counts], Macs | None]:
        numbers, macs = self._of_chunk(job)
        every = np.ones(grid.frames, np.int64)
        if job.once:
            every[1:] = 0
        counts = {role: {name: value * every for name, value in values.items()} for role, values in numbers.items()}
        return counts, Macs(macs * grid.frames, macs * grid.frames) if macs else None

    def _of_chunk(self, job: Job) -> tuple[Numbers, int]:
        """Return the counts of every role of a job, and its multiplications."""
        work = job.work
        if isinstance(work, Load):
            return self._load(job, work), 0
        if isinstance(work, Start):  # features come from the CPU
            sent = work.sent_bits or 0
            return self._on_cpu(taken=work.out_bits, given=work.in_bits, read=sent, sent=sent), 0
        if isinstance(work, End):  # and outputs go to it
            return self._on_cpu(taken=work.out_bits, given=work.in_bits), 0
        op = self.engine.graph.by_name[job.layer]
        if isinstance(work, Fallback):
            return self._fallback(op, work)
        assert isinstance(work, Step)
        return self._step(job, op, work)

    # Jobs of DMA and CPU

    def _load(self, job: Job, work: Load) -> Numbers:
        bits = work.weight_bits
        bank = "half" if job.in_role("half") else "tensors"
        return {
            "loader": {"descriptor": 1, "word": self.dma.words(bits)},
            "dram": self._dram(read=bits),
            bank: self._l2(bank, written=bits),
        }

    def _fallback(self, op: Op, work: Fallback) -> tuple[Numbers, int]:
        macs = self._macs(op, work)
        counts = self._on_cpu(
            taken=work.in_bits, given=work.out_bits, state=work.state_bits, read=work.weight_bits + work.spill_in,
            written=work.spill_out, received=work.received_bits or 0, sent=work.sent_bits or 0,
            operations=2 * macs + self._operations(op, work),
        )  # fmt: skip
        return counts, macs

    def _on_cpu(
        self, *, taken: int, given: int, state: int = 0, read: int = 0, written: int = 0, received: int = 0,
        sent: int = 0, operations: int = 0,
    ) -> Numbers:  # fmt: skip
        """Return the counts of a job of the CPU: operands out of L2, results back, by way of the DRAM.

        ``read`` and ``written``: besides, in the DRAM; ``received``: from another engine into L2; ``sent``: to others.
        """
        cpu: Cpu = self.engine.parts.spec("cpu")
        copies = cpu.copies(taken + state) + cpu.copies(given) + cpu.copies(sent)
        return {
            "cpu": {"dispatch": 1, "copy": copies, "operation": operations},
            "tensors": self._l2("tensors", read=taken + state, written=given + received),
            "dram": self._dram(read=given + read, written=taken + state + written),
        }

    # Steps of the sequencer

    def _step(self, job: Job, op: Op, work: Step) -> tuple[Numbers, int]:
        counts: Numbers = {"sequencer": {"step": work.steps if isinstance(work, OfAttention) else 1}}
        read, written = work.in_bits + work.state_bits, work.out_bits
        operations = special = macs = moved = weights = 0
        if isinstance(work, Vector):
            operations, special = self._vector(op, work.rows)
        elif isinstance(work, Softmax):
            operations = work.scores * (SOFTMAX + RELATIVE * work.relative)
            special = work.scores + work.rows * work.heads
        elif isinstance(work, Gates):
            assert isinstance(op, RecurrentOp)
            done = op.rounds()[work.round].work
            operations, special = done.operations, done.special
        elif isinstance(work, Transpose):
            read = written = moved = work.move_bits
        elif isinstance(work, Matrices):
            macs = work.macs
            if job.in_role("array"):
                counts["array"], read, weights = self._product(work, self._operand_bits(op))
            else:
                operations = 2 * macs
                weights = work.weight_bits if isinstance(work, _ON_VECTOR) else 0
            if isinstance(work, Product):
                operations += self._operations(op, work)
        if job.in_role("vector"):
            counts["vector"] = {"operation": operations, "special": special}
        # What streams in passes through L2 before it is read; what streams out is read from there again.
        in_half = bool(job.in_role("half"))
        read += work.spill_out + (work.sent_bits or 0) + (0 if in_half else weights)
        counts["tensors"] = self._l2("tensors", read, written + work.spill_in + (work.received_bits or 0))
        if in_half:
            counts["half"] = self._l2("half", read=weights)
        if job.in_role("dram"):
            counts["dram"] = self._dram(read=work.spill_in, written=work.spill_out)
        if job.in_role("streams"):
            spilled = work.spill_in + work.spill_out
            words = self.dma.words(spilled + moved)
            counts["streams"] = {"descriptor": int(bool(moved)) + (2 if spilled else 0), "word": words}
        return counts, macs

    def _operand_bits(self, op: Op) -> int:
        """Return the bits in which the operands of a product lie in L2: those of codes, or of the array's numbers."""
        integers = isinstance(op, WeightedOp | RecurrentOp) and op.output is not None
        return LARGEST_INTEGER_BITS if integers else self.engine.array.operand_bits()

    def _product(self, work: Matrices, operand_bits: int) -> tuple[dict[str, int], int, int]:
        """Return the counts of the array, and the bits that it reads as inputs and as weights."""
        array, (m, k, n) = self.engine.array, (work.m, work.k, work.n)
        counts = {name: value * work.times for name, value in array.counts(m, k, n).items()}
        bits = operand_bits * work.times
        read, weights = array.input_words(m, k, n) * bits, array.weight_words(m, k, n) * bits
        if isinstance(work, Inner):  # both operands are tensors
            return counts, read + weights, 0
        return counts, read, weights

    # Work on values

    def _macs(self, op: Op, work: Fallback) -> int:
        """Return the multiplications of an op that falls back."""
        edge = self.edges[op.name]
        if isinstance(op, AttentionOp):
            return work.rows * op.keys_seen() * edge.width * (2 if op.positions is None else 3)
        if isinstance(op, RecurrentOp):
            return work.rows * sum(math.prod(matrix) for matrix in op.matrices(self.engine.graph.read(op)))
        if not isinstance(op, WeightedOp):
            return 0
        inputs, outputs = op.matrix(self.engine.graph.read(op))
        return work.rows * op.positions(edge) * inputs * outputs

    def _operations(self, op: Op, work: Product | Fallback) -> int:
        """Return the operations beside multiplications: codes of inputs, sums scaled, biased and rounded."""
        if isinstance(op, AttentionOp):
            return work.rows * op.keys_seen() * op.heads * (SOFTMAX + RELATIVE + 1)
        if isinstance(op, RecurrentOp):
            return self._of_recurrent(op, work)
        if not isinstance(op, WeightedOp):
            return sum(self._vector(op, work.rows))
        block = isinstance(work, Product)
        share = work.n / op.matrix(self.engine.graph.read(op))[1] if isinstance(work, Product) else 1
        edge, read = self.edges[op.name], self.edges[op.reads()[0]]
        outputs = round(work.rows * edge.width * share)
        if op.output is not None:  # codes are multiplied as they are
            return outputs * REQUANTISE
        biased = int(f"{op.name}.bias" in self.tensors)
        if op.in_float():
            return outputs * biased
        quantised = work.rows * edge.stride // read.stride * read.width * QUANTISE
        if block and not work.first:  # type: ignore[union-attr]
            quantised = 0
        if op.gives == "codes":  # sums as they are; a residual takes a scaled and rounded one
            return quantised + outputs * (biased + (QUANTISE + ADD) * (len(op.reads()) > 1))
        rounding = QUANTISE + DEQUANTISE if f"{op.name}.output_scale" in self.tensors else 0
        return quantised + outputs * (RESCALE + rounding)

    def _of_recurrent(self, op: RecurrentOp, work: Product | Fallback) -> int:
        """Return the operations on the sums of a recurrent layer's inputs, or of a whole layer that falls back."""
        read = self.engine.graph.read(op)
        of_inputs, changes = op.input_work(read).operations, op.change_work(read).operations
        if isinstance(work, Product):
            return work.rows * (of_inputs * work.n // op.columns() + (changes if work.first else 0))
        of_gates = sum(one.work.operations + one.work.special for one in op.rounds())
        return work.rows * (of_inputs + changes + of_gates)

    def _vector(self, op: Op, rows: int) -> tuple[int, int]:
        """Return operations and special functions of an op of the vector unit."""
        assert isinstance(op, VectorOp)
        work, width = op.work(self.engine.graph.read(op), self.unit.vector), self.edges[op.name].width
        return rows * width * work.operations, rows * (width * work.special + work.special_per_row)

    # Memories

    def _l2(self, bank: str, read: int = 0, written: int = 0) -> dict[str, int]:
        l2 = self.engine.l2
        banks = l2.activation_banks() if bank == "tensors" else l2.weight_banks // 2
        reads, writes = -(-read // l2.width_bits), -(-written // l2.width_bits)
        return {"read": reads, "write": writes, "bank_accesses": -(-(reads + writes) // banks)}

    def _dram(self, read: int = 0, written: int = 0) -> dict[str, int]:
        activates = sum(self.dram.activates(-(-bits // 8)) for bits in (read, written))
        return {"read": self.dram.words(read), "write": self.dram.words(written), "activate": activates}
