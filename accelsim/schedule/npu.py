"""Graphs on an NPU: a sequencer goes through the steps of a chunk in order, DMA brings weights, a CPU starts it all.

A frame of the schedule is a chunk, as long as the chunks of the graph's attention. The CPU starts it when its features
have arrived and reads the outputs when it is done. In between the sequencer leads every step: products on the systolic
array, all else on the vector unit, operands in L2. DMA engine 0 streams the weights of the next step into one half of
the weight banks while the present step works from the other. Tensors that do not stay in L2 stream through engine 1
during the step that makes or reads them. An op that falls back runs on the CPU, with copies there and back. Which op
takes the chunk in how many pieces is planned in `accelsim.schedule.npu_plan`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from accelsim.architecture import Architecture
from accelsim.kernels.activation import LARGEST_CODE
from accelsim.schedule.graph import CODE_BITS, output_bits
from accelsim.schedule.job import Job, Schedule
from accelsim.schedule.npu_plan import Chunk, Group, Summary, lpddr_bits, plan, seen_distances, sizes, state_access
from accelsim.schedule.parts import Parts
from accelsim.schema.graph import (
    FLOAT_BITS,
    AttentionOp,
    GraphOp,
    QConvOp,
    QDepthwiseOp,
    WeightedOp,
    positional,
)
from accelsim.schema.workload import FEATURES
from accelsim.workload import Workload

WEIGHTS, STREAMS = "[0]", "[1]"
"""The DMA engines: one for weights, one for what does not stay in L2."""
HALVES, TENSORS = ("[0]", "[1]"), "[2]"
"""The parts of L2: two halves for weights on their way, and the rest."""

_KINDS = ("systolic_array", "vector_unit", "sequencer", "l2", "dma", "dram", "cpu")
_MIB = 8 * 1024**2
_WHOLE = {"float32": 2**24, "float16": 2**11}
"""Up to where a sum of codes stays exact."""


def is_npu(architecture: Architecture) -> bool:
    """Return whether an architecture runs graphs by the rules of this file."""
    return bool(architecture.of_kind("systolic_array"))


def schedule_npu(workload: Workload, architecture: Architecture) -> Schedule:
    """Cut a graph into the steps of a chunk; raises InputError when the chip cannot run it."""
    return _Npu(workload, architecture).schedule()


@dataclass(frozen=True)
class _Step:
    """A piece of work of the sequencer or the CPU; ``weights``: bits that have to be there before it starts."""

    name: str
    layer: str
    on_cpu: bool
    work: dict[str, int | str | bool]
    weights: int = 0
    held: bool = False
    """Whether its weights were loaded for all pieces of its group, into the banks of tensors."""
    units: tuple[str, ...] = field(default=())


class _Npu:
    def __init__(self, workload: Workload, architecture: Architecture) -> None:
        self.workload, self.architecture = workload, architecture
        self.parts = Parts(workload, architecture, "a graph on an NPU needs")
        self.compiler = architecture.spec.compiler
        self.name = {kind: self.parts.only(kind) for kind in _KINDS}
        self.parts.stop_on_problems()
        components = architecture.components()
        self.part: dict[str, Any] = {kind: components[name] for kind, name in self.name.items()}
        self.rows = workload.spec.graph_rows()
        self.all_ops = workload.spec.graph_ops()
        self.chunk = self._chunk()
        self.parts.stop_on_problems()
        self._check_ops()
        self.sizes = self._sizes()
        self.on_cpu = frozenset(op.name for op in self.sizes.ops if self._falls_back(op))
        self._check_memories()
        self.parts.stop_on_problems()
        self.plan = plan(self.sizes, self.part["l2"].activation_bits(), split=self.compiler.split, on_cpu=self.on_cpu)
        self._check_scores()
        self.parts.stop_on_problems()

    def schedule(self) -> Schedule:
        """Return the jobs of one chunk."""
        cpu, sequencer, dma = self.name["cpu"], self.name["sequencer"], self.name["dma"] + WEIGHTS
        start, ready = self.parts.channel(cpu, sequencer), self.parts.channel(dma, sequencer)
        begin, done = self.parts.channel(cpu, dma), self.parts.channel(sequencer, cpu)
        self.parts.stop_on_problems()
        steps = list(self._steps())
        last = self.sizes.ops[-1].name
        # What lives in LPDDR is there already, or has come to where the CPU reads it.
        features, outputs = (self.sizes.tensors[name] * (name not in self.plan.spilled) for name in (FEATURES, last))
        waiting = any(step.weights for step in steps)
        first_gives = (*(() if steps[0].on_cpu else (start,)), *((begin,) if waiting else ()))
        jobs = [self._cpu_job("start", FEATURES, {"stage": "start", "in_bits": features, "out_bits": 0},
                              gives=first_gives, paced=True)]  # fmt: skip
        before_on_cpu, half = True, 0
        loads: list[Job] = []
        for place, step in enumerate(steps):
            after_on_cpu = place + 1 == len(steps) or steps[place + 1].on_cpu
            if step.on_cpu:
                takes = () if before_on_cpu else (done,)
                jobs.append(self._cpu_job(step.name, step.layer, step.work, takes=takes,
                                          gives=() if after_on_cpu else (start,)))  # fmt: skip
            else:
                lockstep = [*step.units, self.name["l2"] + TENSORS]
                takes = (start,) if before_on_cpu else ()
                if step.weights:
                    bank = TENSORS if step.held else HALVES[half % 2]
                    loads.append(self._load(step, bank, (begin,) if not loads else (), (ready,)))
                    takes = (*takes, ready)
                    if not step.held:
                        lockstep.append(self.name["l2"] + bank)
                        half += 1
                if step.work["spill_in"] or step.work["spill_out"]:
                    lockstep += [self.name["dma"] + STREAMS, self.name["dram"]]
                gives = (done,) if after_on_cpu else ()
                jobs.append(
                    Job(step.name, step.layer, sequencer, tuple(lockstep), takes, gives,
                        work=MappingProxyType(step.work))
                )  # fmt: skip
            before_on_cpu = step.on_cpu
        end = {"stage": "end", "in_bits": 0, "out_bits": outputs}
        jobs.append(self._cpu_job("end", last, end, takes=() if before_on_cpu else (done,), last=True))
        stride = self.rows[last].stride
        return Schedule((*jobs, *loads), inputs_per_frame=self.chunk * stride, plan=self._summary())

    # What a chunk is

    def _chunk(self) -> int:
        attending = [op for op in self.all_ops if isinstance(op, AttentionOp)]
        found = {op.chunk for op in attending}
        if not attending:
            self.parts.problem("the graph has no attention, which says how long a chunk is")
        elif None in found:
            whole = next(op for op in attending if op.chunk is None)
            self.parts.problem(
                f"layer '{whole.name}' attends over whole utterances: a graph that runs chunk by chunk says how long "
                "they are, 'chunk: ..' and 'left: ..'"
            )
        elif len(found) > 1:
            self.parts.problem(f"attention has chunks of different lengths: {', '.join(map(str, sorted(found)))}")  # type: ignore[type-var]
        stride = self.rows[self.all_ops[-1].name].stride
        for op in attending:
            if self.rows[op.name].stride != stride:
                self.parts.problem(f"layer '{op.name}' attends over rows of another rate than the outputs'")
        return next(iter(found), None) or 1

    def _sizes(self) -> Chunk:
        number = str(self.part["vector_unit"].number)
        bits = {op.name: output_bits(op, self.workload.tensors, number) for op in self.all_ops}
        return sizes(self.all_ops, self.rows, self.chunk, FEATURES, {FEATURES: CODE_BITS, **bits})

    def _falls_back(self, op: GraphOp) -> bool:
        return self.compiler.falls_back(op.op)  # type: ignore[attr-defined]

    # Checks

    def _check_ops(self) -> None:
        array, distances = self.part["systolic_array"], positional(self.all_ops)
        for op in self.all_ops:
            if op.name in distances:
                continue
            kind: str = op.op  # type: ignore[attr-defined]
            if self._falls_back(op) and not self.compiler.on_cpu(kind):
                self.parts.problem(
                    f"layer '{op.name}' ({kind}): the NPU does not take it in layout {self.compiler.layout}, "
                    f"and the CPU has no kernel for it ('compiler.cpu')"
                )
            elif isinstance(op, WeightedOp) and not self._falls_back(op):
                self._check_product(op, array)
            if isinstance(op, QConvOp) and op.kernel[0] // 2 >= op.stride[0]:
                self.parts.problem(
                    f"layer '{op.name}' reads {op.kernel[0] // 2} rows ahead with a stride of {op.stride[0]}: "
                    "the end of a chunk would wait for the next one"
                )
            if isinstance(op, QDepthwiseOp) and not op.causal:
                self.parts.problem(f"layer '{op.name}' looks ahead: a graph that streams needs 'causal: true'")

    def _check_product(self, op: WeightedOp, array: Any) -> None:
        name = self.name["systolic_array"]
        if op.in_float() and array.number == "int8":
            self.parts.problem(f"layer '{op.name}' has float16 weights, '{name}' multiplies int8")
        elif not op.in_float() and array.number == "float16":
            weights = self.workload.tensors[f"{op.name}.weight"]
            weights = weights.reshape(-1, weights.shape[-1])
            largest = LARGEST_CODE * int(np.abs(weights.astype(np.int64)).sum(axis=0).max(initial=0))
            if largest >= (limit := _WHOLE[array.accumulator]):
                self.parts.problem(
                    f"layer '{op.name}' has sums up to {largest:,}, {array.accumulator} sums of '{name}' hold whole "
                    f"numbers below {limit:,}"
                )

    def _check_memories(self) -> None:
        dram, l2, dma = self.part["dram"], self.part["l2"], self.part["dma"]
        names = self.name
        if dma.engines < 2:
            self.parts.problem(
                f"'{names['dma']}' has one engine: weights need one, and tensors that do not stay in L2 another"
            )
        half = l2.weight_bits_of_half()
        for op in self.sizes.ops:
            weights = self.sizes.weights[op.name]
            least = weights if isinstance(op, AttentionOp) else weights // max(self._columns(op), 1)
            if least > half and op.name not in self.on_cpu:
                what = "position vectors" if isinstance(op, AttentionOp) else "weights of one output"
                self.parts.problem(
                    f"the {what} of layer '{op.name}' take {least / 8192:.1f} KiB, half of the weight banks of "
                    f"'{names['l2']}' has {half / 8192:.1f}"
                )
        weights, state = sum(self.sizes.weights.values()), sum(self.sizes.state.values())
        for name, bits in self.sizes.tensors.items():
            if bits > max(l2.activation_bits(), dram.capacity):
                self.parts.problem(
                    f"what layer '{name}' makes of a chunk takes {bits / _MIB:.1f} MiB and fits no memory: "
                    f"'{names['l2']}' has {l2.activation_bits() / _MIB:.1f} for tensors, "
                    f"'{names['dram']}' {dram.capacity / _MIB:.1f}"
                )
        if weights + state > dram.capacity:
            self.parts.problem(
                f"weights and state take {(weights + state) / _MIB:.1f} MiB, '{names['dram']}' has "
                f"{dram.capacity / _MIB:.1f}"
            )

    def _check_scores(self) -> None:
        """See that L2 has room for what attention makes on its way, which nothing streams: the scores of its rows."""
        room = self.part["l2"].activation_bits()
        if self.plan.peak_bits <= room:
            return
        name, bits = max(self.sizes.scratch.items(), key=lambda item: item[1])
        split = "" if self.compiler.split else ", and 'split: false' takes all rows of a chunk at once"
        self.parts.problem(
            f"the scores of layer '{name}' take {bits / 8192:.1f} KiB for a chunk, '{self.name['l2']}' has "
            f"{room / 8192:.1f} for tensors{split}"
        )

    # Steps

    def _columns(self, op: GraphOp) -> int:
        """Return the outputs by which the weights of an op are divided into blocks."""
        if isinstance(op, WeightedOp):
            return op.matrix([self.rows[read] for read in op.reads()])[1]
        return 1

    def _steps(self) -> Iterator[_Step]:
        for group in self.plan.groups:
            for piece in range(group.pieces):
                for op in self.sizes.ops[group.first : group.last + 1]:
                    at = f"{op.name}/{piece}" if group.pieces > 1 else op.name
                    yield from self._steps_of(op, at, group, piece)

    def _steps_of(self, op: GraphOp, at: str, group: Group, piece: int) -> Iterator[_Step]:
        """Return the steps of an op in one piece of the chunk."""
        moved = self._moved(op, group, piece)
        given = self.sizes.tensors[op.name] // group.pieces
        rows = self.chunk * self.rows[self.sizes.ops[-1].name].stride // self.rows[op.name].stride // group.pieces
        base: dict[str, int | str | bool] = {"rows": rows, "out_bits": given, **moved}
        weights = self.sizes.weights[op.name]
        if op.name in self.on_cpu:
            yield _Step(at, op.name, True, {**base, **self._copied(op), "stage": "fallback", "weight_bits": weights})
        elif isinstance(op, AttentionOp):
            yield from self._attention(op, at, base, weights, group, piece)
        elif isinstance(op, WeightedOp):
            yield from self._weighted(op, at, base, weights, group, piece)
        else:
            yield _Step(at, op.name, False, {**base, "stage": "vector"}, units=(self.name["vector_unit"],))

    def _copied(self, op: GraphOp) -> dict[str, int]:
        """Return the bits that the CPU copies for an op that falls back: what is in LPDDR it reads and writes there."""
        sizes, spilled = self.sizes.tensors, self.plan.spilled
        return {
            "in_bits": sum(sizes[name] for name in op.reads() if name in sizes and name not in spilled),
            "out_bits": sizes[op.name] * (op.name not in spilled),
            "state_bits": self.sizes.state[op.name] * self.plan.state_in_l2,
        }

    def _moved(self, op: GraphOp, group: Group, piece: int) -> dict[str, int | str | bool]:
        """Return the bits that one piece of an op reads, and those that it moves over LPDDR, tensors and state."""
        read = {name: self.sizes.tensors[name] for name in op.reads() if name in self.sizes.tensors}
        spilled_in = sum(bits for name, bits in read.items() if name in self.plan.spilled)
        spilled_out = self.sizes.tensors[op.name] * (op.name in self.plan.spilled)
        if not self.plan.state_in_l2:
            state_in, state_out = state_access(self.sizes, op)
            spilled_in += state_in
            spilled_out += state_out
        return {
            "in_bits": sum(read.values()) // group.pieces,
            "state_bits": self.sizes.state[op.name] if piece == 0 else 0,
            "spill_in": _share(spilled_in, piece, piece + 1, group.pieces),
            "spill_out": _share(spilled_out, piece, piece + 1, group.pieces),
        }

    def _weighted(
        self, op: WeightedOp, at: str, base: dict[str, Any], weights: int, group: Group, piece: int
    ) -> Iterator[_Step]:
        """Return a step for every block of columns whose weights fit half of the weight banks."""
        read = [self.rows[name] for name in op.reads()]
        inputs, outputs = op.matrix(read)
        places = int(base["rows"]) * (self.rows[op.name].bands if isinstance(op, QConvOp) else 1)
        loaded = weights if not group.held else weights * (piece == 0)
        most = outputs if group.held else self.part["l2"].weight_bits_of_half() * outputs // weights
        blocks = -(-outputs // most)
        array = () if op.each_channel() else (self.name["systolic_array"],)
        for block in range(blocks):
            begin, end = outputs * block // blocks, outputs * (block + 1) // blocks
            columns = end - begin
            share = {
                key: _share(int(base[key]), begin, end, outputs) if key in ("out_bits", "spill_out") else base[key]
                for key in base
            }
            if block:  # the state and what is spilled are read once
                share |= {"spill_in": 0, "state_bits": 0}
            work = {
                **share, "stage": "depthwise" if op.each_channel() else "product",
                "m": places, "k": inputs, "n": columns, "times": 1, "first": block == 0, "held": group.held,
                "weight_bits": weights * columns // outputs,
            }  # fmt: skip
            yield _Step(
                at if blocks == 1 else f"{at}#{block}", op.name, False, work, loaded * columns // outputs, group.held,
                (*array, self.name["vector_unit"]),
            )  # fmt: skip

    def _attention(
        self, op: AttentionOp, at: str, base: dict[str, Any], weights: int, group: Group, piece: int
    ) -> Iterator[_Step]:
        """Return scores, those of positions, softmax and context; with batched products operands are transposed."""
        rows, width = int(base["rows"]), self.rows[op.name].width
        keys, size = op.left + self.chunk, width // op.heads
        number_bits = self.sizes.tensors[op.input] // (self.chunk * 3 * width)
        idle = {"spill_in": 0, "spill_out": 0, "state_bits": 0, "in_bits": 0, "out_bits": 0}
        array, vector = self.name["systolic_array"], self.name["vector_unit"]
        takes_float = self.part["systolic_array"].number == "float16"
        units = (array, vector) if takes_float else (vector,)
        product = "inner" if takes_float else "inner_on_vector"
        score_bits = rows * keys * op.heads * FLOAT_BITS

        def step(end: str, stage: str, work: dict[str, Any], loaded: int = 0, units: tuple[str, ...] = units) -> _Step:
            return _Step(f"{at}.{end}", op.name, False, {**base, **idle, "stage": stage, "steps": 1, **work}, loaded,
                         group.held, units)  # fmt: skip

        batched = self.compiler.attention == "batched"
        if batched:
            operands = (rows + 2 * keys) * width * number_bits
            yield step("transpose", "transpose", {"move_bits": operands}, units=(self.name["dma"] + STREAMS,))
        steps = 1 if batched else op.heads
        yield step("scores", product, {
            "m": rows, "k": size, "n": keys, "times": op.heads, "steps": steps, "out_bits": score_bits,
            **{key: base[key] for key in ("spill_in", "state_bits")},
        })  # fmt: skip
        if op.positions is not None:
            work = {"m": rows, "k": size, "n": seen_distances(op), "times": op.heads, "steps": steps,
                    "out_bits": score_bits, "held": group.held, "weight_bits": weights}  # fmt: skip
            loaded = weights if not group.held else weights * (piece == 0)
            yield step("places", "product" if takes_float else "product_on_vector", work, loaded)
        softmax = {"scores": rows * keys * op.heads, "relative": op.positions is not None, "heads": op.heads,
                   "in_bits": score_bits * (1 if op.positions is None else 2), "out_bits": score_bits}  # fmt: skip
        yield step("softmax", "softmax", softmax, units=(vector,))
        yield step("context", product, {
            "m": rows, "k": keys, "n": size, "times": op.heads, "steps": steps,
            "out_bits": base["out_bits"], "spill_out": base["spill_out"],
        })  # fmt: skip
        if batched:
            yield step(
                "transpose_back", "transpose", {"move_bits": rows * width * number_bits},
                units=(self.name["dma"] + STREAMS,),
            )  # fmt: skip

    # Jobs

    def _cpu_job(
        self, name: str, layer: str, work: dict[str, Any], *, takes: tuple[str, ...] = (),
        gives: tuple[str, ...] = (), paced: bool = False, last: bool = False,
    ) -> Job:  # fmt: skip
        members = (self.name["l2"] + TENSORS, self.name["dram"])
        return Job(name, layer, self.name["cpu"], members, takes, gives, paced=paced, last=last,
                   work=MappingProxyType(work))  # fmt: skip

    def _load(self, step: _Step, bank: str, takes: tuple[str, ...], gives: tuple[str, ...]) -> Job:
        members = (self.name["dram"], self.name["l2"] + bank)
        work: dict[str, int | str | bool] = {"stage": "load", "weight_bits": step.weights}
        return Job(f"{step.name}.weights", step.layer, self.name["dma"] + WEIGHTS, members, takes, gives,
                   work=MappingProxyType(work))  # fmt: skip

    def _summary(self) -> Summary:
        """Return what was decided, for the report."""
        ops, groups = self.sizes.ops, self.plan.groups
        return Summary(
            chunk=self.chunk,
            pieces={
                ops[g.first].name if g.first == g.last else f"{ops[g.first].name} .. {ops[g.last].name}": g.pieces
                for g in groups
                if g.pieces > 1
            },
            spilled={name: self.sizes.tensors[name] for name in self.sizes.tensors if name in self.plan.spilled},
            weight_bits=sum(self.sizes.weights.values()),
            state_bits=sum(self.sizes.state.values()),
            state_in_l2=self.plan.state_in_l2,
            peak_bits=self.plan.peak_bits,
            room_bits=self.part["l2"].activation_bits(),
            lpddr_bits=lpddr_bits(self.sizes, self.plan),
            on_cpu=tuple(op.name for op in ops if op.name in self.on_cpu),
        )


def _share(bits: int, begin: int, end: int, parts: int) -> int:
    """Return the bits of parts ``begin`` to ``end`` of so many: whole bits, and in all of them none is lost."""
    return bits * end // parts - bits * begin // parts
