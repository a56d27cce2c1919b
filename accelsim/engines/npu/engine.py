"""Graphs on an NPU: a sequencer goes through the steps of a chunk in order, DMA brings weights, a CPU starts it all.

A frame of the schedule is a chunk, as long as the graph's ops work on together, or as the workload says. A CPU, if
there is one, starts it when its features have arrived and reads the outputs when it is done. In between the sequencer
leads every step: products on the systolic array, all else on the vector unit, operands in L2. DMA engine 0 streams the
weights of the next step into one half of the weight banks while the present step works from the other, or brings all of
them in the first chunk of a run, to stay. Tensors that do
not stay in L2 stream through engine 1 during the step that makes or reads them. An op that falls back runs on the CPU,
with copies there and back. Which op takes the chunk in how many pieces is planned in `accelsim.engines.npu.planner`.
What comes from elsewhere is written into L2 by the step that takes it first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from accelsim.components.cpu import Cpu
from accelsim.components.dma import Dma
from accelsim.components.dram import Dram
from accelsim.components.kind import NUMBER_BITS
from accelsim.components.l2 import L2
from accelsim.components.sequencer import Sequencer
from accelsim.components.systolic_array import SystolicArray
from accelsim.components.vector_unit import VectorUnit
from accelsim.engines.engine import Assignment, Engine, Tell, Wires
from accelsim.engines.npu.planner import (
    TENSORS,
    Chunk,
    Group,
    Plan,
    lpddr_bits,
    plan,
    plan_resident,
    seen_distances,
    sizes,
)
from accelsim.engines.npu.run import NpuRun
from accelsim.engines.npu.work import (
    Depthwise,
    End,
    Fallback,
    Gates,
    Inner,
    InnerOnVector,
    Load,
    Places,
    PlacesOnVector,
    Product,
    ProductOnVector,
    Recurrent,
    RecurrentOnVector,
    Softmax,
    Start,
    Step,
    Transpose,
    Vector,
)
from accelsim.errors import did_you_mean
from accelsim.inputs import Batch
from accelsim.kernels.activation import LARGEST_CODE
from accelsim.ops.attention import AttentionOp, PositionsOp
from accelsim.ops.op import FEATURES, FLOAT_BITS, OPS, Op, VectorOp, WeightedOp, magnitudes
from accelsim.ops.recurrent import RecurrentOp
from accelsim.placement import ENGINES, Problems, of_class
from accelsim.schedule.job import Job
from accelsim.schedule.plan import Summary
from accelsim.workload import Workload

WEIGHTS, STREAMS = "[0]", "[1]"
"""The DMA engines: one for weights, one for what does not stay in L2."""
BANKS = ("[0]", "[1]", "[2]")
"""The parts of L2: two halves for weights, and the rest, for tensors and state."""

_MIB = 8 * 1024**2
_WHOLE = {"float32": 2**24, "float16": 2**11}
"""Up to where a sum of codes stays exact."""


@dataclass(frozen=True)
class _Piece:
    """A piece of work of the sequencer or the CPU, ``units``: the roles beside the sequencer and L2 that it takes.

    ``weights``: bits that are loaded before it starts; ``bank``: the part of L2 that its weights lie in, None where it
    has none, or they come into the halves of the weight banks in turns. Those that are loaded for all pieces of a group
    lie among the tensors.
    """

    name: str
    layer: str
    work: Step
    units: tuple[str, ...] = ()
    weights: int = 0
    bank: int | None = None

    @property
    def on_cpu(self) -> bool:
        return isinstance(self.work, Fallback)


class Npu(Engine):
    """A sequencer with a systolic array, a vector unit and L2, and a CPU for what these do not do.

    Without a CPU a chunk starts by itself when its features have come into their memory, weights are loaded as soon as
    there is room, outputs stay in L2, and nothing can fall back.
    """

    kind = "npu"
    runs = (WeightedOp, VectorOp, AttentionOp, PositionsOp, RecurrentOp)
    roles = {
        "array": of_class("a systolic array", SystolicArray),
        "vector": of_class("a vector unit", VectorUnit),
        "sequencer": of_class("a sequencer", Sequencer),
        "l2": of_class("an L2", L2),
        "dma": of_class("a DMA", Dma),
        "dram": of_class("a DRAM", Dram),
        "cpu": of_class("a CPU", Cpu),
    }
    needs = (frozenset(roles) - {"cpu"},)
    lockstep = (("array", "sequencer"), ("vector", "sequencer"), ("l2", "sequencer"), ("dram", "dma"))
    flows = (("cpu", "sequencer"), ("sequencer", "cpu"), ("cpu", "dma"), ("dma", "sequencer"))
    entries = ("sequencer", "cpu")
    exits = ("sequencer", "cpu")
    job_roles: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "tensors": ("l2",), "half": ("l2",), "loader": ("dma",), "streams": ("dma",)
    }  # fmt: skip
    compiles = True
    in_sequence = True

    def __init__(self, assignment: Assignment, problems: Problems) -> None:
        super().__init__(assignment, problems)
        self.compiler = self.chip.spec.compiler
        self.array: SystolicArray = self.parts.spec("array")
        self.vector: VectorUnit = self.parts.spec("vector")
        self.l2: L2 = self.parts.spec("l2")
        self.number_bits = NUMBER_BITS[self.vector.number]
        falling = frozenset(op.name for op in self.ops if self.works(op) and self.compiler.falls_back(op.op))
        self.on_cpu = falling if "cpu" in self.parts else frozenset()
        self.rows = self.frame // self.graph.given.stride
        self.clips = self.network.spec.clips
        found = len(problems.found)
        self._check_chunk()
        if len(problems.found) > found:
            return
        self._check_ops()
        self.sizes = self._sizes()
        self._check_memories()
        if len(problems.found) > found:
            return
        self.resident = self.compiler.weights == "resident"
        self.planned = self._plan()
        if self.resident:
            self._check_resident()
        self._check_scores()
        self.pieces = self._pieces()

    @classmethod
    def chunk(cls, network: Workload, ops: Sequence[Op]) -> int | None:
        """Return the rows of a chunk: as many as ops work on together, as attention does; the workload's, or one."""
        graph = network.graph
        chunks = graph.chunks([*ops, *graph.ops])
        return next((frames // graph.given.stride for frames in chunks), network.spec.rows()) or 1

    def works(self, op: Op) -> bool:
        """Return whether an op has jobs: what depends on distances alone is worked out when the graph is compiled."""
        return not self.graph.distances(op.name)

    def takers(self, op: Op) -> tuple[str, ...]:
        return (self.parts.name("cpu" if op.name in self.on_cpu else "sequencer"),)

    def givers(self, op: Op) -> tuple[str, ...]:
        return self.takers(op)

    def source(self) -> str | None:
        return self.parts.name("cpu") if "cpu" in self.parts else None

    def start(self, batch: Batch, seed: int, tell: Tell) -> NpuRun:
        longest = int(np.diff(batch.starts).argmax())
        if self.clips and (frames := int(np.diff(batch.starts)[longest])) > self.frame:
            problems = Problems.of(self.chip, self.network)
            problems.add(
                f"'clips: true' makes a step of each utterance, of {self.frame} frames at the most on '{self.name}', "
                f"and '{batch.names[longest]}' has {frames}"
            )
            problems.stop()
        return NpuRun(self, tell)

    def plan(self) -> Summary:
        ops, groups, tensors = self.sizes.ops, self.planned.groups, self.sizes.tensors
        return Summary(
            chunk=self.rows,
            pieces={
                ops[g.first].name if g.first == g.last else f"{ops[g.first].name} .. {ops[g.last].name}": g.pieces
                for g in groups
                if g.pieces > 1
            },
            spilled={name: tensors[name] for name in tensors if name in self.planned.spilled},
            weight_bits=sum(self.sizes.weights.values()),
            state_bits=sum(self.sizes.state.values()),
            state_in_l2=self.planned.state_in_l2,
            peak_bits=self.planned.peak_bits,
            room_bits=self.l2.activation_bits(),
            lpddr_bits=lpddr_bits(self.sizes, self.planned),
            on_cpu=tuple(op.name for op in ops if op.name in self.on_cpu),
            resident_bits=sum(self.sizes.weights[name] for name in self.planned.homes),
        )

    def _plan(self) -> Plan:
        room, split = self.l2.activation_bits(), self.compiler.split and not self.clips
        if not self.resident:
            return plan(self.sizes, room, split=split, on_cpu=self.on_cpu)
        return plan_resident(self.sizes, room, self.l2.weight_bits_of_half(), split=split, on_cpu=self.on_cpu)

    # Checks

    def _check_chunk(self) -> None:
        add = self.problems.add
        known = [name for name, entry in OPS.items() if issubclass(entry, Op)]
        named = {f"fallback.{layout}": names for layout, names in self.compiler.fallback.items()}
        for key, names in {**named, "cpu": self.compiler.cpu or []}.items():
            for name in [name for name in names if name not in known]:
                add(f"'compiler.{key}' names '{name}', there is no such op", did_you_mean(name, known))
        attending = [op for op in self.ops if isinstance(op, AttentionOp)]
        if whole := next((op for op in attending if op.chunk is None), None):
            add(
                f"layer '{whole.name}' attends over whole utterances: a graph that runs chunk by chunk says how long "
                "they are, 'chunk: ..' and 'left: ..'"
            )
        chunks = {op.chunk for op in attending if op.chunk is not None}
        if len(chunks) > 1:
            add(f"attention has chunks of different lengths: {', '.join(map(str, sorted(chunks)))}")
        elif chunks and self.network.spec.rows() not in (None, *chunks):
            add(f"the workload says 'chunk: {self.network.spec.chunk}', and attention has chunks of {chunks.pop()}")
        for op in attending:
            if self.graph.edges[op.name].stride != self.graph.given.stride:
                add(f"layer '{op.name}' attends over rows of another rate than the outputs'")

    def _check_ops(self) -> None:
        for op in self.ops:
            if not self.works(op):
                continue
            if self.compiler.falls_back(op.op) and "cpu" not in self.parts:
                self.problems.add(
                    f"layer '{op.name}' ({op.op}): the NPU does not take it in layout {self.compiler.layout}, "
                    "and it has no CPU"
                )
            elif op.name in self.on_cpu and not self.compiler.on_cpu(op.op):
                self.problems.add(
                    f"layer '{op.name}' ({op.op}): the NPU does not take it in layout {self.compiler.layout}, "
                    f"and the CPU has no kernel for it ('compiler.cpu')"
                )
            elif isinstance(op, WeightedOp | RecurrentOp) and op.name not in self.on_cpu:
                self._check_product(op)
            window = op.window(self.graph.read(op))
            if self.clips:  # all that it reads is there
                continue
            if window.whole and not isinstance(op, AttentionOp):
                self.problems.add(
                    f"layer '{op.name}' looks at whole utterances: the first chunk would wait for the last"
                )
            if ahead := window.ahead:
                self.problems.add(
                    f"layer '{op.name}' looks {ahead} rows ahead: the end of a chunk would wait for the next one",
                    "a convolution looks back alone with 'causal: true', or with a stride longer than half of its "
                    "taps; a network of whole clips says 'clips: true'",
                )

    def _check_product(self, op: WeightedOp | RecurrentOp) -> None:
        name, number = self.parts.name("array"), self.array.number
        if isinstance(op, RecurrentOp):
            for layer in () if op.in_float() else op.layers():
                self._check_product(layer)
        elif op.in_float() and number == "int8":
            self.problems.add(f"layer '{op.name}' has float16 weights, '{name}' multiplies int8")
        elif not op.in_float() and number == "float16":
            symmetric = op.gives == "real" and op.output is None
            code = LARGEST_CODE if symmetric else 1 << (op.input_bits - 1)
            largest = code * int(magnitudes(self.tensors[op.tensor_name("weight")]).max(initial=0))
            if largest >= (limit := _WHOLE[self.array.accumulator]):
                self.problems.add(
                    f"layer '{op.name}' has sums up to {largest:,}, {self.array.accumulator} sums of '{name}' hold "
                    f"whole numbers below {limit:,}"
                )

    def _check_memories(self) -> None:
        dram, dma, l2 = self.parts.spec("dram"), self.parts.name("dma"), self.parts.name("l2")
        room, half = self.l2.activation_bits(), self.l2.weight_bits_of_half()
        if self.parts.spec("dma").engines < 2:
            self.problems.add(f"'{dma}' has one engine: weights need one, and tensors that do not stay in L2 another")
        for op in self.sizes.ops:
            weights = self.sizes.weights[op.name]
            least = weights if isinstance(op, AttentionOp) else weights // max(self._columns(op), 1)
            if least > half and op.name not in self.on_cpu and self.compiler.weights == "streamed":
                what = "position vectors" if isinstance(op, AttentionOp) else "weights of one output"
                self.problems.add(
                    f"the {what} of layer '{op.name}' take {least / 8192:.1f} KiB, half of the weight banks of "
                    f"'{l2}' has {half / 8192:.1f}"
                )
        weights, state = sum(self.sizes.weights.values()), sum(self.sizes.state.values())
        name = self.parts.name("dram")
        for tensor, bits in self.sizes.tensors.items():
            if bits > max(room, dram.capacity):
                self.problems.add(
                    f"what layer '{tensor}' makes of a chunk takes {bits / _MIB:.1f} MiB and fits no memory: "
                    f"'{l2}' has {room / _MIB:.1f} for tensors, '{name}' {dram.capacity / _MIB:.1f}"
                )
        if weights + state > dram.capacity:
            self.problems.add(
                f"weights and state take {(weights + state) / _MIB:.1f} MiB, '{name}' has {dram.capacity / _MIB:.1f}"
            )

    def _check_resident(self) -> None:
        """See that L2 holds all weights, all state and the tensors of a chunk at the same time."""
        made, l2 = self.planned, self.l2
        room, halves = l2.activation_bits(), 2 * l2.weight_bits_of_half()
        if not made.spilled and made.state_in_l2 and made.peak_bits <= room:
            return
        kept, state = sum(self.sizes.weights[name] for name in made.homes), sum(self.sizes.state.values())
        among = sum(self.sizes.weights[name] for name, bank in made.homes.items() if bank == TENSORS)
        self.problems.add(
            f"weights of {kept / 8192:.1f} KiB that stay in '{self.parts.name('l2')}' leave no room there for "
            f"{state / 8192:.1f} KiB of state and the tensors of a chunk: it has {halves / 8192:.1f} for weights and "
            f"{room / 8192:.1f} for all else, of which weights take {among / 8192:.1f}",
            "'weights: streamed' brings them anew for every chunk",
            ("compiler", "weights"),
        )

    def _check_scores(self) -> None:
        """See that L2 has room for what nothing streams: scores of attention, sums and weights of a recurrent layer."""
        room = self.l2.activation_bits()
        if self.planned.peak_bits <= room:
            return
        beside = {name: bits + self.sizes.lasting[name] for name, bits in self.sizes.scratch.items()}
        name, bits = max(beside.items(), key=lambda item: item[1])
        what = "sums and weights" if isinstance(self.graph.by_name[name], RecurrentOp) else "scores"
        split = "" if self.compiler.split else ", and 'split: false' takes all rows of a chunk at once"
        self.problems.add(
            f"the {what} of layer '{name}' take {bits / 8192:.1f} KiB for a chunk, '{self.parts.name('l2')}' has "
            f"{room / 8192:.1f} for tensors{split}"
        )

    # Steps

    def _sizes(self) -> Chunk:
        """Return the sizes of a chunk; what reads nothing lies in LPDDR in the numbers of the vector unit."""
        number, graph = self.number_bits, self.graph
        bits = {FEATURES: graph.edges[FEATURES].bits}
        for op in graph.ops:
            bits[op.name] = op.value_bits(graph.edges[op.name], self.tensors, number) if op.reads() else number
        return sizes(graph, self.ops, self.rows, bits, carried=not self.clips)

    def _columns(self, op: Op) -> int:
        """Return the outputs by which the weights of an op are divided into blocks."""
        if isinstance(op, RecurrentOp):
            return op.columns()
        return op.matrix(self.graph.read(op))[1] if isinstance(op, WeightedOp) else 1

    def _pieces(self) -> list[_Piece]:
        """Return all pieces of work of a chunk in order, with the halves of the weight banks dealt out in turns.

        Weights that stay have a place of their own.
        """
        pieces: list[_Piece] = []
        half = 0
        for group in self.planned.groups:
            for piece in range(group.pieces):
                for op in self.sizes.ops[group.first : group.last + 1]:
                    at = f"{op.name}/{piece}" if group.pieces > 1 else op.name
                    for each in self._of_op(op, at, group, piece):
                        in_turn = bool(each.weights) and each.bank is None
                        pieces.append(replace(each, bank=half % 2) if in_turn else each)
                        half += in_turn
        last = {piece.layer: place for place, piece in enumerate(pieces)}
        for name, place in last.items():
            if any(reader not in last for reader in self._readers(name)):
                work = replace(pieces[place].work, sent_bits=self.sizes.tensors[name])
                pieces[place] = replace(pieces[place], work=work)
        return pieces

    def _readers(self, name: str) -> list[str]:
        """Return the ops that read an edge of rows."""
        return [reader for reader in self.graph.readers[name] if not self.graph.distances(reader)]

    def _of_op(self, op: Op, at: str, group: Group, piece: int) -> Iterator[_Piece]:
        """Return the steps of an op in one piece of the chunk."""
        weights = self.sizes.weights[op.name]
        base: dict[str, Any] = {
            "rows": self.rows_in(op.name) // group.pieces,
            "out_bits": self.sizes.tensors[op.name] // group.pieces,
            **self._moved(op, group, piece),
        }
        if op.name in self.on_cpu:
            yield _Piece(at, op.name, Fallback(**{**base, **self._copied(op)}, weight_bits=weights))
        elif isinstance(op, AttentionOp):
            yield from self._attention(op, at, base, weights, group, piece)
        elif isinstance(op, WeightedOp):
            yield from self._weighted(op, at, base, weights, group, piece)
        elif isinstance(op, RecurrentOp):
            yield from self._recurrent(op, at, base, group, piece)
        else:
            yield _Piece(at, op.name, Vector(**base), ("vector",))

    def _copied(self, op: Op) -> dict[str, int]:
        """Return the bits that the CPU copies for an op that falls back: what is in LPDDR it reads and writes there."""
        tensors, spilled = self.sizes.tensors, self.planned.spilled
        return {
            "in_bits": sum(tensors[name] for name in op.reads() if name in tensors and name not in spilled),
            "out_bits": tensors[op.name] * (op.name not in spilled),
            "state_bits": self.sizes.state[op.name] * self.planned.state_in_l2,
        }

    def _moved(self, op: Op, group: Group, piece: int) -> dict[str, int | None]:
        """Return the bits that one piece of an op reads, and those that it moves over LPDDR, tensors and state."""
        spilled = self.planned.spilled
        read = {name: self.sizes.tensors[name] for name in op.reads() if name in self.sizes.tensors}
        received = [name for name in read if self._taken_first_by(name, op)]
        spilled_in = sum(bits for name, bits in read.items() if name in spilled)
        spilled_out = sum(self.sizes.tensors[name] for name in (op.name, *received) if name in spilled)
        if not self.planned.state_in_l2:
            spilled_in += self.sizes.state[op.name]
            spilled_out += self.sizes.fresh[op.name]
        return {
            "in_bits": sum(read.values()) // group.pieces,
            "state_bits": self.sizes.state[op.name] if piece == 0 else 0,
            "spill_in": _share(spilled_in, piece, piece + 1, group.pieces),
            "spill_out": _share(spilled_out, piece, piece + 1, group.pieces),
            "received_bits": sum(read[name] for name in received) if received and piece == 0 else None,
        }

    def _taken_first_by(self, name: str, op: Op) -> bool:
        """Return whether a tensor comes from elsewhere, not by the CPU, and an op is the first that reads it."""
        arrives = name in self.sizes.arrivals or (name == FEATURES and "cpu" not in self.parts)
        return arrives and self.sizes.ops[self.sizes.readers[name][0]] is op

    def _weighted(
        self, op: WeightedOp, at: str, base: dict[str, Any], weights: int, group: Group, piece: int
    ) -> Iterator[_Piece]:
        """Return a step for every block of columns whose weights fit half of the weight banks; one where they stay."""
        inputs, outputs = op.matrix(self.graph.read(op))
        bank = self._bank(op, group)
        loaded = weights if bank is None else weights * (piece == 0)
        most = outputs if bank is not None else self.l2.weight_bits_of_half() * outputs // weights
        blocks = -(-outputs // most)
        kind, units = (Depthwise, ("vector",)) if op.each_channel() else (Product, ("array", "vector"))
        for block in range(blocks):
            begin, end = outputs * block // blocks, outputs * (block + 1) // blocks
            columns = end - begin
            share = {**base, **{key: _share(base[key], begin, end, outputs) for key in ("out_bits", "spill_out")}}
            if block:  # the state and what is spilled are read once
                share |= {"spill_in": 0, "state_bits": 0, "received_bits": None}
            work = kind(
                **share, m=base["rows"] * op.positions(self.graph.edges[op.name]), k=inputs, n=columns, times=1,
                first=block == 0, held=bank == TENSORS, weight_bits=weights * columns // outputs,
            )  # fmt: skip
            name = at if blocks == 1 else f"{at}#{block}"
            yield _Piece(name, op.name, work, units, loaded * columns // outputs, bank)

    def _on_array(self, op: RecurrentOp) -> bool:
        """Return whether the array multiplies the numbers of a recurrent layer, else the vector unit does."""
        return not op.in_float() or (op.weight_bits == FLOAT_BITS and self.array.number == "float16")

    def _recurrent(self, op: RecurrentOp, at: str, base: dict[str, Any], group: Group, piece: int) -> Iterator[_Piece]:
        """Return the products with all rows of the inputs, then step by step that with the state, and the gates.

        A step of the sequencer follows the one before it, so that each product waits for the state. The recurrent
        weights lie among the tensors, or where they stay for the whole run.
        """
        edges, rounds, rows = self.graph.read(op), op.rounds(), base["rows"]
        (inputs, columns), (units, _) = op.matrices(edges)
        of_inputs, of_state = inputs * columns * op.weight_bits, units * columns * op.weight_bits
        array = self._on_array(op)
        on = ("array", "vector") if array else ("vector",)
        sum_bits = columns * op.sum_bits(self.number_bits)
        bank = self._bank(op, group)
        most = columns if bank is not None else self.l2.weight_bits_of_half() * columns // of_inputs
        blocks = -(-columns // most)
        idle = {"rows": 1, "out_bits": 0, "in_bits": 0, "state_bits": 0, "spill_in": 0, "spill_out": 0}
        for block in range(blocks):
            begin, end = columns * block // blocks, columns * (block + 1) // blocks
            share = of_inputs * (end - begin) // columns
            first = {key: base[key] for key in ("spill_in", "received_bits")} if block == 0 else {}
            work: Step = (Product if array else ProductOnVector)(
                **{**idle, "rows": rows, "in_bits": base["in_bits"], **first,
                   "out_bits": rows * sum_bits * (end - begin) // columns},
                m=rows, k=inputs, n=end - begin, times=1, first=block == 0, held=bank == TENSORS, weight_bits=share,
            )  # fmt: skip
            name = f"{at}.inputs" if blocks == 1 else f"{at}.inputs#{block}"
            yield _Piece(name, op.name, work, on, share if bank is None or piece == 0 else 0, bank)
        home = TENSORS if bank is None else bank
        state = self.sizes.state[op.name]
        for step in range(rows):
            for place, one in enumerate(rounds):
                suffix = f"{step}" if len(rounds) == 1 else f"{step}.{place}"
                loads = step == place == 0 and (bank is None or piece == 0)
                sums = sum_bits * one.columns // columns
                work = (Recurrent if array else RecurrentOnVector)(
                    **{**idle, "in_bits": 0 if array else units * self._state_number_bits(op), "out_bits": sums},
                    m=1, k=units, n=one.columns, times=1, held=home == TENSORS,
                    weight_bits=of_state * one.columns // columns,
                )  # fmt: skip
                yield _Piece(f"{at}.state.{suffix}", op.name, work, on[:1], of_state if loads else 0, home)
                last = place == len(rounds) - 1
                final = last and step == rows - 1
                gates = Gates(
                    **{**idle, "in_bits": 2 * sums, "state_bits": state if place == 0 else 0,
                       "out_bits": base["out_bits"] // rows + state if last else units * self._state_number_bits(op),
                       "spill_out": base["spill_out"] if final else 0},
                    round=place,
                )  # fmt: skip
                yield _Piece(f"{at}.gates.{suffix}", op.name, gates, ("vector",))

    def _state_number_bits(self, op: RecurrentOp) -> int:
        """Return the bits of a value that the recurrent weights multiply."""
        return self.number_bits if op.in_float() else op.weight_bits

    def _bank(self, op: Op, group: Group) -> int | None:
        """Return the part of L2 in which an op's weights lie; None where they come into the halves in turns."""
        return self.planned.homes.get(op.name, TENSORS if group.held else None)

    def _attention(
        self, op: AttentionOp, at: str, base: dict[str, Any], weights: int, group: Group, piece: int
    ) -> Iterator[_Piece]:
        """Return scores, those of positions, softmax and context; with batched products operands are transposed."""
        rows, width = base["rows"], self.graph.edges[op.name].width
        keys, size = op.left + self.rows, width // op.heads
        number_bits = self.sizes.tensors[op.input] // (self.rows * 3 * width)
        idle = {
            "rows": rows, "out_bits": 0, "in_bits": 0, "state_bits": 0, "spill_in": 0, "spill_out": 0,
        }  # fmt: skip
        takes_float = self.array.number == "float16"
        units = ("array", "vector") if takes_float else ("vector",)
        inner, places = (Inner, Places) if takes_float else (InnerOnVector, PlacesOnVector)
        score_bits = rows * keys * op.heads * FLOAT_BITS
        batched = self.compiler.attention == "batched"
        steps = 1 if batched else op.heads
        bank = self._bank(op, group)

        def part(end: str, work: Step, units: tuple[str, ...] = units, loaded: int = 0) -> _Piece:
            return _Piece(f"{at}.{end}", op.name, work, units, loaded, bank if isinstance(work, Places) else None)

        if batched:
            operands = (rows + 2 * keys) * width * number_bits
            yield part("transpose", Transpose(**idle, move_bits=operands), ("streams",))
        read = {key: base[key] for key in ("spill_in", "state_bits", "received_bits")}
        scores = {**idle, **read, "out_bits": score_bits}
        yield part("scores", inner(**scores, m=rows, k=size, n=keys, times=op.heads, steps=steps))
        if op.positions is not None:
            work = places(
                **{**idle, "out_bits": score_bits}, m=rows, k=size, n=seen_distances(op), times=op.heads, steps=steps,
                held=bank == TENSORS, weight_bits=weights,
            )  # fmt: skip
            yield part("places", work, loaded=weights if bank is None else weights * (piece == 0))
        softmax = Softmax(
            **{**idle, "in_bits": score_bits * (1 if op.positions is None else 2), "out_bits": score_bits},
            scores=rows * keys * op.heads, relative=op.positions is not None, heads=op.heads,
        )  # fmt: skip
        yield part("softmax", softmax, ("vector",))
        given = {**idle, **{key: base[key] for key in ("out_bits", "spill_out")}}
        yield part("context", inner(**given, m=rows, k=keys, n=size, times=op.heads, steps=steps))
        if batched:
            back = Transpose(**idle, move_bits=rows * width * number_bits)
            yield part("transpose_back", back, ("streams",))

    # Jobs

    def jobs(self, ops: Sequence[Op], wires: Wires) -> list[Job]:
        sequencer, dma = (self.parts.name(role) for role in ("sequencer", "dma"))
        ready = wires.inside(dma + WEIGHTS, sequencer)
        cpu, start, begin, done = "", "", "", ""
        if hosted := "cpu" in self.parts:
            cpu = self.parts.name("cpu")
            start, begin, done = (
                wires.inside(*ends) for ends in ((cpu, sequencer), (cpu, dma + WEIGHTS), (sequencer, cpu))
            )
        pieces, last = self.pieces, self.graph.last.name
        ends = last in self.sizes.tensors and self.works(self.graph.last) and self.graph.last in self.ops
        order = [piece.layer for piece in pieces]
        first_loaded = next((place for place, piece in enumerate(pieces) if piece.weights), None)
        jobs: list[Job] = []
        loads: list[Job] = []
        if hosted and ops[0] is self.ops[0]:
            jobs.append(self._start(pieces, start, begin, wires))
        ours = {op.name for op in ops}
        for place, piece in enumerate(pieces):
            if piece.layer not in ours:
                continue
            at_end = place + 1 == len(pieces)
            from_cpu = hosted and (place == 0 or pieces[place - 1].on_cpu)
            to_cpu = hosted and (ends if at_end else pieces[place + 1].on_cpu)
            entry = cpu if piece.on_cpu else sequencer
            takes = wires.taken(piece.layer, entry) if place == order.index(piece.layer) else ()
            gives = wires.given(piece.layer, entry) if piece.layer not in order[place + 1 :] else ()
            if piece.on_cpu:
                takes = (*(() if from_cpu else (done,)), *takes)
                gives = (*(() if to_cpu or at_end else (start,)), *gives)
                jobs.append(self._cpu_job(piece.name, piece.layer, piece.work, takes=takes, gives=gives))
                continue
            if piece.weights:
                loads.append(self._load(piece, (begin,) if hosted and place == first_loaded else (), (ready,)))
                takes = (ready, *takes)
            takes = (*((start,) if from_cpu else ()), *takes)
            gives = (*((done,) if to_cpu else ()), *gives)
            members, finishes = self._members(piece), at_end and ends and not hosted
            jobs.append(Job.of(piece.name, piece.layer, members, piece.work, takes=takes, gives=gives, last=finishes))
        if hosted and ends and self.graph.last in ops:
            outputs = End(out_bits=self.sizes.tensors[last] * (last not in self.planned.spilled))
            takes = () if pieces[-1].on_cpu else (done,)
            jobs.append(self._cpu_job("end", last, outputs, takes=takes, last=True))
        return [*jobs, *loads]

    def _start(self, pieces: Sequence[_Piece], start: str, begin: str, wires: Wires) -> Job:
        """Return the job that starts a chunk.

        What lives in LPDDR is there already, or has come to where the CPU reads it.
        """
        features = self.sizes.tensors.get(FEATURES, 0) * (FEATURES not in self.planned.spilled)
        others = wires.given(FEATURES, self.parts.name("cpu"))
        edge = self.graph.edges[FEATURES]
        sent = self.frame * edge.width * edge.bits if others else None
        waits = pieces and not pieces[0].on_cpu
        gives = (*((start,) if waits else ()), *((begin,) if any(piece.weights for piece in pieces) else ()), *others)
        # There may be several NPUs on a chip.
        name = "start" if self.name == self.kind else f"{self.name}.start"
        return self._cpu_job(name, FEATURES, Start(in_bits=features, sent_bits=sent), gives=gives, paced=True)

    def _members(self, piece: _Piece) -> list[tuple[str, str]]:
        """Return what works on a step of the sequencer, by role; each member once."""
        l2, streams = self.parts.name("l2"), ("streams", self.parts.name("dma") + STREAMS)
        named = {"array": self.parts.name("array"), "vector": self.parts.name("vector"), "streams": streams[1]}
        members = [("sequencer", self.parts.name("sequencer")), *((unit, named[unit]) for unit in piece.units)]
        members.append(("tensors", l2 + BANKS[TENSORS]))
        if piece.bank not in (None, TENSORS):
            members.append(("half", l2 + BANKS[piece.bank]))
        if piece.work.spill_in or piece.work.spill_out:
            members += [streams, ("dram", self.parts.name("dram"))]
        return members

    def _cpu_job(self, name: str, layer: str, work: Start | Step | End, **rest: Any) -> Job:
        members = [("cpu", self.parts.name("cpu")), ("tensors", self.parts.name("l2") + BANKS[TENSORS]),
                   ("dram", self.parts.name("dram"))]  # fmt: skip
        return Job.of(name, layer, members, work, **rest)

    def _load(self, piece: _Piece, takes: tuple[str, ...], gives: tuple[str, ...]) -> Job:
        assert piece.bank is not None
        role = "tensors" if piece.bank == TENSORS else "half"
        members = [("loader", self.parts.name("dma") + WEIGHTS), ("dram", self.parts.name("dram")),
                   (role, self.parts.name("l2") + BANKS[piece.bank])]  # fmt: skip
        work = Load(weight_bits=piece.weights)
        name = f"{piece.name}.weights"
        return Job.of(name, piece.layer, members, work, takes=takes, gives=gives, once=self.resident)


def _share(bits: int, begin: int, end: int, parts: int) -> int:
    """Return the bits of parts ``begin`` to ``end`` of so many: whole bits, and in all of them none is lost."""
    return bits * end // parts - bits * begin // parts


ENGINES.register("npu", Npu)
