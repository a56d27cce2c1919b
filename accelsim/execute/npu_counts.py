"""What every job of a graph on an NPU does in a chunk: counts for time and energy, from the sizes of its steps.

A compiled graph has fixed shapes: every chunk costs the same, also the first ones, whose cache is not yet full, and the
last, which is filled up. What is masked is multiplied all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from accelsim.architecture import Architecture
from accelsim.execute.activity import Activity
from accelsim.execute.graph_counts import DEQUANTISE, QUANTISE, RESCALE, work_of
from accelsim.kernels.number import Faults
from accelsim.schedule.job import Job, Schedule, part_of
from accelsim.schema.graph import AttentionOp, GraphOp, MaxPoolOp, QConvOp, Rows, WeightedOp
from accelsim.workload import Workload

Work = Mapping[str, Any]
OfMember = dict[str, dict[str, int]]

SOFTMAX = 5
"""Operations on a score: scaled, compared with the largest so far, shifted, summed, scaled by the sum's reciprocal."""
RELATIVE = 1
"""One more where the score of a position is added."""


def npu_activity(
    schedule: Schedule,
    workload: Workload,
    architecture: Architecture,
    frames: int,
    clamped: Mapping[str, int],
    faults: Mapping[str, Faults],
) -> Activity:
    """Return the counts of all jobs over so many chunks; ``clamped``, ``faults``: what the kernels counted."""
    counter = _Counter(workload, architecture)
    counts, macs = {}, {}
    for job in schedule.jobs:
        of_member, dense = counter.job(job)
        for member, values in of_member.items():
            counts[job.name, member] = {
                name: np.broadcast_to(np.int64(value), (frames,)) for name, value in values.items()
            }
        if dense:
            macs[job.name] = {"dense": dense * frames, "performed": dense * frames, "skipped": 0}
    return Activity(counts, macs, clamped, {}, faults={name: asdict(found) for name, found in faults.items()})


class _Counter:
    def __init__(self, workload: Workload, architecture: Architecture) -> None:
        self.ops: dict[str, GraphOp] = {op.name: op for op in workload.spec.graph_ops()}
        self.rows: dict[str, Rows] = workload.spec.graph_rows()
        self.tensors = workload.tensors
        self.specs = architecture.components()
        kinds = architecture.of_kind
        self.name, self.part = {}, {}
        for kind in ("systolic_array", "vector_unit", "sequencer", "l2", "dma", "dram", "cpu"):
            self.name[kind], self.part[kind] = next(iter(kinds(kind).items()))

    def job(self, job: Job) -> tuple[OfMember, int]:
        """Return the counts of every member of a job, and its multiplications."""
        work, op = job.work, self.ops.get(job.layer)
        stage = work["stage"]
        if stage == "load":
            return self._load(job, work), 0
        if stage in ("start", "end"):
            return self._cpu(job, work, 0), 0
        assert op is not None
        if stage == "fallback":
            macs = self._macs(op, work)
            return self._cpu(job, work, 2 * macs + self._operations(op, work)), macs
        return self._step(job, op, work)

    # Jobs of DMA and CPU

    def _load(self, job: Job, work: Work) -> OfMember:
        engine, dram, bank = job.members()
        bits = int(work["weight_bits"])
        return {
            engine: {"descriptor": 1, "word": self.part["dma"].words(bits)},
            dram: self._dram(read=bits),
            bank: self._l2(bank, written=bits),
        }

    def _cpu(self, job: Job, work: Work, operations: int) -> OfMember:
        """Return the counts of a job of the CPU: operands out of L2, results back, by way of the DRAM."""
        cpu, l2, dram = job.members()
        copied, back = int(work["in_bits"]), int(work["out_bits"])
        if work["stage"] in ("start", "end"):  # features come from the CPU, outputs go to it
            copied, back = back, copied
        state = int(work.get("state_bits", 0))
        weights = int(work.get("weight_bits", 0))
        spilled_in, spilled_out = int(work.get("spill_in", 0)), int(work.get("spill_out", 0))
        core = self.part["cpu"]
        return {
            cpu: {"dispatch": 1, "copy": core.copies(copied + state) + core.copies(back), "operation": operations},
            l2: self._l2(l2, read=copied + state, written=back),
            dram: self._dram(read=back + weights + spilled_in, written=copied + state + spilled_out),
        }

    # Steps of the sequencer

    def _step(self, job: Job, op: GraphOp, work: Work) -> tuple[OfMember, int]:
        array, vector, dma = (self.name[kind] for kind in ("systolic_array", "vector_unit", "dma"))
        counts: OfMember = {job.component: {"step": int(work.get("steps", 1))}}
        stage = str(work["stage"])
        read, written = int(work["in_bits"]) + int(work["state_bits"]), int(work["out_bits"])
        operations = special = macs = moved = weights = 0
        if stage == "vector":
            operations, special = self._vector(op, work)
        elif stage == "softmax":
            scores = int(work["scores"])
            operations = scores * (SOFTMAX + RELATIVE * bool(work["relative"]))
            special = scores + int(work["rows"]) * int(work["heads"])
        elif stage == "transpose":
            moved = int(work["move_bits"])
            read = written = moved
        else:
            macs = int(work["m"]) * int(work["k"]) * int(work["n"]) * int(work["times"])
            if array in job.lockstep:
                counts[array], read, weights = self._product(work, stage)
            else:
                operations = 2 * macs
                if stage == "product_on_vector":
                    weights = int(work["weight_bits"])
            if isinstance(op, WeightedOp):
                operations += self._operations(op, work)
        if vector in job.lockstep:
            counts[vector] = {"operation": operations, "special": special}
        self._memories(job, work, counts, read, written, weights)
        streams = next((member for member in job.lockstep if part_of(member) == dma), None)
        if streams is not None:
            spilled = int(work["spill_in"]) + int(work["spill_out"])
            words = self.part["dma"].words(spilled + moved)
            counts[streams] = {"descriptor": int(bool(moved)) + (2 if spilled else 0), "word": words}
        return counts, macs

    def _product(self, work: Work, stage: str) -> tuple[dict[str, int], int, int]:
        """Return the counts of the array, and the bits that it reads as inputs and as weights."""
        array = self.part["systolic_array"]
        m, k, n, times = (int(work[key]) for key in ("m", "k", "n", "times"))
        counts = {name: value * times for name, value in array.counts(m, k, n).items()}
        bits = array.operand_bits()
        read, weights = array.input_words(m, k, n) * times * bits, array.weight_words(m, k, n) * times * bits
        if stage == "inner":  # both operands are tensors
            return counts, read + weights, 0
        return counts, read, weights

    def _memories(self, job: Job, work: Work, counts: OfMember, read: int, written: int, weights: int) -> None:
        l2, dram = self.name["l2"], self.name["dram"]
        banks = [member for member in job.lockstep if part_of(member) == l2]
        halves = [bank for bank in banks if bank != f"{l2}[2]"]
        spilled_in, spilled_out = int(work["spill_in"]), int(work["spill_out"])
        for bank in halves:
            counts[bank] = self._l2(bank, read=weights)
        # What streams in passes through L2 before it is read; what streams out is read from there again.
        counts[f"{l2}[2]"] = self._l2(
            f"{l2}[2]", read=read + spilled_out + (0 if halves else weights), written=written + spilled_in
        )
        if dram in job.lockstep:
            counts[dram] = self._dram(read=spilled_in, written=spilled_out)

    # Work on values

    def _macs(self, op: GraphOp, work: Work) -> int:
        """Return the multiplications of an op that falls back."""
        rows = int(work["rows"])
        if isinstance(op, AttentionOp):
            products = 2 if op.positions is None else 3
            return rows * (op.left + (op.chunk or 0)) * self.rows[op.name].width * products
        if not isinstance(op, WeightedOp):
            return 0
        inputs, outputs = op.matrix([self.rows[read] for read in op.reads()])
        return rows * (self.rows[op.name].bands if isinstance(op, QConvOp) else 1) * inputs * outputs

    def _operations(self, op: GraphOp, work: Work) -> int:
        """Return the operations beside multiplications: codes of inputs, sums scaled, biased and rounded."""
        if isinstance(op, AttentionOp):
            return int(work["rows"]) * (op.left + (op.chunk or 0)) * op.heads * (SOFTMAX + RELATIVE + 1)
        if not isinstance(op, WeightedOp):
            return sum(self._vector(op, work))
        share = int(work["n"]) / op.matrix([self.rows[read] for read in op.reads()])[1] if "n" in work else 1
        outputs = round(int(work["rows"]) * self.rows[op.name].width * share)
        if op.in_float():
            return outputs * int(f"{op.name}.bias" in self.tensors)
        read = op.reads()[0]
        inputs = int(work["rows"]) * self.rows[op.name].stride // self.rows[read].stride * self.rows[read].width
        rounding = QUANTISE + DEQUANTISE if f"{op.name}.output_scale" in self.tensors else 0
        return inputs * QUANTISE * int(work.get("first", True)) + outputs * (RESCALE + rounding)

    def _vector(self, op: GraphOp, work: Work) -> tuple[int, int]:
        """Return operations and special functions of an op of the vector unit."""
        rows, width = int(work["rows"]), self.rows[op.name].width
        if isinstance(op, MaxPoolOp):
            return rows * width * (op.size[0] * op.size[1] - 1), 0
        operations, special, per_row = work_of(op, self.part["vector_unit"])
        return rows * width * operations, rows * (width * special + per_row)

    # Memories

    def _l2(self, bank: str, read: int = 0, written: int = 0) -> dict[str, int]:
        l2 = self.part["l2"]
        banks = l2.activation_banks() if bank.endswith("[2]") else l2.weight_banks // 2
        reads, writes = -(-read // l2.width_bits), -(-written // l2.width_bits)
        return {"read": reads, "write": writes, "bank_accesses": -(-(reads + writes) // banks)}

    def _dram(self, read: int = 0, written: int = 0) -> dict[str, int]:
        dram = self.part["dram"]
        activates = sum(dram.activates(-(-bits // 8)) for bits in (read, written))
        return {"read": dram.words(read), "write": dram.words(written), "activate": activates}
