"""Digital arrays, vector units and attention engines.

With a task queue, every op is a task that waits for its operands, frame by frame; vector units, attention engines and
banks of activation memory stand in clusters, and consecutive ops share a cluster. Without one, an array does its ops
one after the other: dense layers, state-space kernels whose states lie in registers beside it, and recurrent layers,
where there is a vector unit too.

A step of a recurrent layer is a product with both of its matrices, then the gates on the vector unit: whoever leads the
layer's jobs does one after the other, so that the next step's product waits for the state. Columns of what has not
changed are left out by layers that know them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from accelsim.components.abstract import MatrixArray, Memory
from accelsim.components.attention_engine import AttentionEngine
from accelsim.components.task_queue import TaskQueue
from accelsim.components.vector_unit import VectorUnit
from accelsim.devices import WHOLE_NUMBERS
from accelsim.engines import readout
from accelsim.engines.cluster import Cluster
from accelsim.engines.engine import Assignment, Counts, Engine, Grid, Macs, Run, Tell, Wires
from accelsim.engines.recurrence import Columns
from accelsim.inputs import Batch
from accelsim.kernels.activation import LARGEST_CODE
from accelsim.kernels.fixed_point import signed_range
from accelsim.kernels.number import Arithmetic
from accelsim.kernels.ssm import side
from accelsim.ops.attention import AttentionOp
from accelsim.ops.op import (
    ANY_LENGTH,
    EXACT,
    Datapath,
    DatapathOp,
    Edge,
    Op,
    Signal,
    VectorOp,
    WeightedOp,
    evaluate,
    magnitudes,
)
from accelsim.ops.recurrent import RecurrentOp
from accelsim.ops.s4d import MACS_PER_STATE, S4dOp
from accelsim.placement import ENGINES, Parts, Problems, of_class, stores
from accelsim.schedule.job import Job, Work
from accelsim.schedule.windows import FrameWindow

QUEUED = frozenset({"queue", "vector", "activations"})
ARRAY = frozenset({"array", "weights"})


@dataclass(frozen=True)
class Multiply(Work):
    """A matrix, or the kernels of a state-space layer, on an array that does one after the other."""

    stage: ClassVar[str] = "multiply"


@dataclass(frozen=True)
class ArrayTask(Work):
    """A matrix on the array, with the codes of its inputs and the rounding of its sums on the vector unit."""

    stage: ClassVar[str] = "digital"


@dataclass(frozen=True)
class VectorTask(Work):
    """An op on the lanes of the vector unit."""

    stage: ClassVar[str] = "vector"


@dataclass(frozen=True)
class AttentionTask(Work):
    """The attention of one row to all that it sees."""

    stage: ClassVar[str] = "attention"


@dataclass(frozen=True)
class StepProduct(Work):
    """A product of one step of a recurrent layer: with the inputs in the first ``round``, and with the state.

    ``place``: of the row within a frame.
    """

    stage: ClassVar[str] = "step"
    place: int
    round: int


@dataclass(frozen=True)
class StepGates(StepProduct):
    """What the vector unit does with the sums of such a product."""

    stage: ClassVar[str] = "gates"


class Digital(Engine):
    """An array of integer multipliers, a vector unit, an attention engine, and the memories around them."""

    kind = "digital"
    runs = (DatapathOp, S4dOp)
    roles = {
        "array": of_class("an array of integer multipliers", MatrixArray),
        "weights": stores("weights"),
        "states": stores("states"),
        "vector": of_class("a vector unit", VectorUnit),
        "attention": of_class("an attention engine", AttentionEngine),
        "queue": of_class("a task queue", TaskQueue),
        "activations": stores("activations"),
        readout.ROLE: readout.READOUT,
    }
    needs = (QUEUED, ARRAY)
    settings = frozenset({"batch"})
    lockstep = (
        ("weights", "array"), ("states", "array"), ("vector", "array"), ("queue", "array"), ("queue", "vector"),
        ("queue", "attention"), ("queue", "activations"),
    )  # fmt: skip
    flows = (("array", readout.ROLE), ("queue", "queue"))
    entries = ("queue", "array")
    exits = ("queue", "array")

    def __init__(self, assignment: Assignment, problems: Problems) -> None:
        super().__init__(assignment, problems)
        self.cluster = Cluster(self) if self.parts.has(QUEUED) else None
        if self.cluster is not None:
            self.number_bits = self.cluster.number_bits
        self._check_matrices()
        if self.cluster is not None:
            self._check_tasks(self.cluster)
        else:
            self._check_states()
            if self.reads_out(self.ops[-1]) and isinstance(self.ops[-1], S4dOp):
                readout.check_word(self.ops[-1], self.ops[-1].code_bits, self)
            self.check_order(self.parts.name("array"), [op.name for op in self.ops if self.works(op)])

    @classmethod
    def refuses(cls, op: Op, read: Sequence[Edge], given: Edge, parts: Parts) -> str | None:
        queued = parts.has(QUEUED)
        if isinstance(op, WeightedOp | S4dOp | RecurrentOp) and (lacks := parts.lacks("array", "weights")):
            return f"it needs {cls.roles[lacks[0]].what}"
        if isinstance(op, WeightedOp | RecurrentOp) and op.in_float():
            return f"it has float{op.weight_bits} weights, '{parts.name('array')}' multiplies integers"
        if isinstance(op, RecurrentOp) and not queued:
            lacks = parts.lacks("vector", "states")
            return f"it needs {cls.roles[lacks[0]].what}" if lacks else None
        if isinstance(op, S4dOp):
            return (
                "state-space kernels need an array that leads its jobs, without a task queue"
                if queued
                else (None if "states" in parts else f"it needs {cls.roles['states'].what}")
            )
        if isinstance(op, AttentionOp) and "attention" not in parts:
            return f"it needs {cls.roles['attention'].what}"
        if not queued and not (isinstance(op, WeightedOp) and op.gives == "codes"):
            return (
                "real numbers, and codes that are rounded, need a vector unit, a task queue and a memory with "
                "'stores: activations'"
            )
        return None

    def takers(self, op: Op) -> tuple[str, ...]:
        return (self.parts.name("array") if self.cluster is None else f"{self.parts.name('queue')}[{op.name}]",)

    def givers(self, op: Op) -> tuple[str, ...]:
        return self.takers(op)

    def window(self, op: Op) -> FrameWindow:
        batch = self.placed(op).batch if isinstance(op, WeightedOp) else 1
        return self.frames_read(op, batch)

    def instances_of(self, copy: str) -> int:
        shared = self.cluster.instances_of(copy) if self.cluster is not None else None
        return super().instances_of(copy) if shared is None else shared

    def longest(self) -> int:
        if any(isinstance(op, AttentionOp) and op.chunk is None for op in self.ops):
            return int(self.parts.spec("attention").frames)
        return ANY_LENGTH

    def jobs(self, ops: Sequence[Op], wires: Wires) -> list[Job]:
        jobs: list[Job] = []
        for op in ops:
            if not self.works(op):
                continue
            (leader,) = self.takers(op)
            takes, gives = wires.taken(op.name, leader), wires.given(op.name, leader)
            last = op is self.graph.last
            if isinstance(op, RecurrentOp):
                jobs += self._steps(op, leader, takes, gives, last=last and not self.reads_out(op))
                continue
            if self.cluster is not None:
                work, parts = self._task(op, self.cluster)
                jobs.append(
                    Job.of(op.name, op.name, [("queue", leader), *parts], work, takes=takes, gives=gives, last=last)
                )
                continue
            parts = [(role, self.parts.name(role)) for role in ("array", "weights")]
            parts += [("states", self.parts.name("states"))] if isinstance(op, S4dOp) else []
            summed = self.reads_out(op)
            if summed:
                to_sum = wires.inside(leader, self.parts.name(readout.ROLE))
                gives = (*gives, to_sum)
            jobs.append(
                Job.of(f"{op.name}.multiply", op.name, parts, Multiply(), takes=takes, gives=gives,
                       last=last and not summed)
            )  # fmt: skip
            if summed:
                width, name = self.graph.given.width, self.parts.name(readout.ROLE)
                jobs.append(readout.readout_job(op, width, name, self.parts.spec(readout.ROLE), (to_sum,)))
        return jobs

    def _task(self, op: Op, cluster: Cluster) -> tuple[Work, list[tuple[str, str]]]:
        if isinstance(op, AttentionOp):
            return AttentionTask(), cluster.parts(op, "attention", "activations")
        if isinstance(op, WeightedOp):
            shared = [(role, self.parts.name(role)) for role in ("array", "weights")]
            return ArrayTask(), [*shared, *cluster.parts(op, "vector", "activations")]
        return VectorTask(), cluster.parts(op, "vector", "activations")

    def _steps(
        self, op: RecurrentOp, leader: str, takes: tuple[str, ...], gives: tuple[str, ...], *, last: bool
    ) -> list[Job]:
        """Return for every row of a frame, and every product in it, the product and its gates, led by one component.

        The product of a row so begins when the gates of the row before have ended.
        """
        rounds = len(op.rounds())
        steps = [(row, place) for row in range(self.rows_in(op.name)) for place in range(rounds)]
        jobs = []
        for number, (row, place) in enumerate(steps):
            at = f".{number}" if len(steps) > 1 else ""
            first, final = number == 0, number == len(steps) - 1
            jobs += [
                Job.of(f"{op.name}.multiply{at}", op.name, self._step_parts(op, leader, gates=False),
                       StepProduct(row, place), takes=takes if first else ()),
                Job.of(f"{op.name}.gates{at}", op.name, self._step_parts(op, leader, gates=True),
                       StepGates(row, place), gives=gives if final else (), last=last and final),
            ]  # fmt: skip
        return jobs

    def _step_parts(self, op: RecurrentOp, leader: str, *, gates: bool) -> list[tuple[str, str]]:
        """Return what works on a product, or on its gates; what has changed is found on the vector unit."""
        multiplying = [] if gates else [(role, self.parts.name(role)) for role in ("array", "weights")]
        on_vector = ("vector",) if gates or op.skips() else ()
        if self.cluster is not None:
            return [("queue", leader), *multiplying, *self.cluster.parts(op, *on_vector, "activations")]
        names = [(role, self.parts.name(role)) for role in (*on_vector, "states")]
        return [*(multiplying or [("array", leader)]), *names]

    def reads_out(self, op: Op) -> bool:
        """Return whether an accumulator adds up what an op gives."""
        if isinstance(op, RecurrentOp):
            return False
        return op is self.graph.last and self.cluster is None and readout.ROLE in self.parts

    # Checks

    def _check_matrices(self) -> None:
        """See that the array takes all operands, and that the weights fit their memory."""
        needed = 0
        add = self.problems.add
        for op in self.ops:
            if isinstance(op, WeightedOp):
                stored = {op.weight_bits: math.prod(op.shapes(self.graph.read(op))["weight"])}
                bits = op.input_bits
            elif isinstance(op, S4dOp):
                stored, bits = op.stored(), op.code_bits
            elif isinstance(op, RecurrentOp):
                stored = {op.weight_bits: sum(math.prod(matrix) for matrix in op.matrices(self.graph.read(op)))}
                bits = op.weight_bits
            else:
                continue
            array: MatrixArray = self.parts.spec("array")
            needed += self.words_of(stored)
            self._check_sums(op, array.sum_bits())
            for what, has, takes in (
                ("weights", max(stored), array.weight_bits),
                ("inputs", bits, array.input_bits),
            ):
                if has > takes:
                    add(f"layer '{op.name}' has {has}-bit {what}, '{self.parts.name('array')}' takes {takes} bits")
        if needed and needed > (room := self.parts.spec("weights").capacity()):
            add(f"the weights take {needed} words of '{self.parts.name('weights')}', which has {room}")

    def words_of(self, stored: Mapping[int, int]) -> int:
        """Return the words of the weights' memory that values take, bits of a value -> how many."""
        return sum(self.parts.spec("weights").words_of(values, bits) for bits, values in stored.items())

    def _check_sums(self, op: WeightedOp | S4dOp | RecurrentOp, sum_bits: int | None) -> None:
        """Note where the array's sums do not hold every sum of a layer."""
        if sum_bits is None or (largest := self._largest_sum(op)) <= (holds := signed_range(sum_bits)[1]):
            return
        self.problems.add(
            f"layer '{op.name}' has sums up to {largest:,}, the {sum_bits}-bit sums of '{self.parts.name('array')}' "
            f"hold {holds:,}",
            at=self.at("array"),
        )

    def _largest_sum(self, op: WeightedOp | S4dOp | RecurrentOp) -> int:
        """Return the largest magnitude that a sum of products can reach with a layer's weights, whatever the inputs.

        Of a matrix max_j (m sum_i |w_ij| + |b_j|), m the largest code, 128 of codes of the full range, and b the bias
        of sums that are given as they are; of a state-space layer see `S4dOp.largest_sum`.
        """
        if isinstance(op, S4dOp):
            return op.largest_sum(self.tensors)
        if isinstance(op, RecurrentOp):
            both = (self.tensors[f"{op.name}.{end}"] for end in ("weight", "recurrent_weight"))
            return max(128 * int(magnitudes(weight).max(initial=0)) for weight in both)
        sums = magnitudes(self.tensors[op.tensor_name("weight")])
        if op.output is not None:
            return -signed_range(op.input_bits)[0] * int(sums.max(initial=0))
        if op.gives == "real":
            return LARGEST_CODE * int(sums.max(initial=0))
        bias = self.tensors.get(op.tensor_name("bias"), np.zeros(1))
        return int(((sums << (op.input_bits - 1)) + np.abs(bias.astype(np.int64))).max(initial=0))

    def _check_tasks(self, cluster: Cluster) -> None:
        tasks = sum(self.works(op) for op in self.ops)
        if tasks > (entries := self.parts.spec("queue").entries):
            self.problems.add(f"'{self.parts.name('queue')}' has {entries} entries for {tasks} layers")
        cluster.check("attention")
        for op in self.ops:
            if not isinstance(op, AttentionOp):
                continue
            engine, name = self.parts.spec("attention"), self.parts.name("attention")
            if (rows := self.rows_in(op.name)) > 1:
                self.problems.add(
                    f"layer '{op.name}' attends over {rows} rows for one of the outputs: pool or stride before it"
                )
            elif op.chunk is not None and op.keys_seen() > engine.frames:
                self.problems.add(
                    f"layer '{op.name}' sees {op.keys_seen()} frames, '{name}' holds the scores of {engine.frames}"
                )

    def state_bits(self, op: RecurrentOp) -> int:
        """Return the bits of a recurrent layer's state."""
        return op.state_bits(self.graph.read(op), self.number_bits)

    def _check_states(self) -> None:
        kernels = [op for op in self.ops if isinstance(op, S4dOp)]
        recurrent = [op for op in self.ops if isinstance(op, RecurrentOp)]
        if not kernels and not recurrent:
            return
        memory, name = self.parts.spec("states"), self.parts.name("states")
        needed = sum(2 * op.states * op.kernels for op in kernels)
        needed += sum(memory.words_of(1, self.state_bits(op)) for op in recurrent)
        if needed > memory.capacity():
            self.problems.add(f"{needed} states do not fit the {memory.capacity()} entries of '{name}'")
        widest = max((op.code_bits for op in kernels), default=0)
        if memory.width_bits < widest:
            self.problems.add(f"{widest}-bit states do not fit the words of '{name}'")
        for op in kernels:
            if self.rows_in(op.name) != 1:
                self.problems.add(f"layer '{op.name}' makes {self.rows_in(op.name)} rows in a frame, '{self.name}' one")

    def check_memory(self, held: Mapping[str, Sequence[int]], longest: int) -> None:
        if self.cluster is not None:
            self.cluster.check_memory(held, longest, ANY_LENGTH)

    def start(self, batch: Batch, seed: int, tell: Tell) -> DigitalRun:
        return DigitalRun(self, tell)


class DigitalRun(Run):
    """One run of a digital engine: nothing is drawn, every value is exact in the formats of its units."""

    def __init__(self, engine: Digital, tell: Tell) -> None:
        super().__init__()
        self.engine, self.tell = engine, tell
        self.columns = Columns()

    def values(self, ops: Sequence[Op], signals: dict[str, Signal]) -> None:
        unit = self._unit(self.tallies.clamped)
        self._values(ops, signals, unit)
        self.columns.note(ops, self.engine.graph, unit, self.tallies)
        if self.engine.reads_out(ops[-1]):
            readout.check_sums(signals[ops[-1].name], self.engine)
        self.tallies.exceptions |= {name: asdict(found) for name, found in unit.exceptions.items()}

    def exact(self, ops: Sequence[Op], signals: dict[str, Signal]) -> None:
        self._values(ops, signals, self._unit({}))

    def _unit(self, clamped: dict[str, int]) -> Datapath:
        """Return the units that compute, without a vector unit nothing but integers.

        What goes wrong with exact values is counted too, for nobody: else kernels would be compiled once more without.
        """
        engine = self.engine
        return Datapath(
            engine.tensors, self._arithmetic(), self._attention(), reach=engine.graph.reach, clamped=clamped,
            count_exceptions=engine.cluster is not None,
        )  # fmt: skip

    def _values(self, ops: Sequence[Op], signals: dict[str, Signal], unit: Datapath) -> None:
        graph = self.engine.graph
        for op in ops:
            if isinstance(op, S4dOp):
                self.tell(op.name)
                signals[op.name] = self._kernels(op, signals[op.input], unit.clamped)
            else:
                assert isinstance(op, DatapathOp)
                evaluate([op], signals, graph.edges, unit, progress=self.tell)
            for read in op.reads():
                if graph.last_reader[read] == op.name:
                    signals.pop(read, None)

    def _arithmetic(self) -> Arithmetic:
        cluster = self.engine.cluster
        return EXACT if cluster is None else cluster.vector.arithmetic()

    def _attention(self) -> Arithmetic | None:
        parts = self.engine.parts
        return Arithmetic(parts.spec("attention").number) if "attention" in parts else None

    def _kernels(self, op: S4dOp, source: Signal, clamped: dict[str, int]) -> Signal:
        """Run state-space kernels in whole numbers: as on ideal cells, whose levels are exact."""

        program = WHOLE_NUMBERS.programmer(0, read_voltage=1.0, cell_bits=op.cell_bits())
        codes, beyond = op.words(source.values)
        curves = WHOLE_NUMBERS.curves(1.0, op.cell_bits())
        size = side(op.states)  # an array has no size that a kernel must fit
        ran = op.recur(codes, source.starts, self.engine.tensors, program, curves, rows=size, columns=size)
        clamped[op.name] = beyond + int(ran.saturated.sum())
        return Signal(ran.outputs, source.starts, self.engine.graph.edges[op.name])

    # Counts

    def count(self, job: Job, grid: Grid) -> tuple[Mapping[str, Counts], Macs | None]:
        if isinstance(job.work, readout.Readout):
            return readout.readout_counts(job.work, grid), None
        op = self.engine.graph.by_name[job.layer]
        if isinstance(job.work, Multiply):
            return self._multiply(op, grid)
        cluster = self.engine.cluster
        if isinstance(job.work, StepProduct):
            assert isinstance(op, RecurrentOp)
            return (self._gates if isinstance(job.work, StepGates) else self._step)(op, job.work, grid)
        assert cluster is not None
        if isinstance(op, AttentionOp):
            return self._attend(op, cluster, grid)
        if isinstance(op, WeightedOp):
            return self._product(op, cluster, grid)
        assert isinstance(op, VectorOp)
        rows, width = cluster.rows(op, grid), self.engine.graph.edges[op.name].width
        work = op.work(self.engine.graph.read(op), cluster.vector.arithmetic())
        return {
            "queue": {"dispatch": (rows > 0).astype(np.int64)},
            "vector": {
                "operation": rows * work.operations * width,
                "special": rows * (work.special * width + work.special_per_row),
            },
            "activations": cluster.access(op, cluster.words_read(op, grid), cluster.given_words(op, grid), grid),
        }, None

    def _multiply(self, op: Op, grid: Grid) -> tuple[Mapping[str, Counts], Macs]:
        """Count a layer on an array that leads: its words are read anew in every frame."""
        engine, every = self.engine, np.ones(grid.frames, np.int64)
        array: MatrixArray = engine.parts.spec("array")
        if isinstance(op, S4dOp):
            macs, states = MACS_PER_STATE * op.states * op.kernels, 2 * op.states * op.kernels
            stored, blocks, added = op.stored(), array.steps(macs), 0
        else:
            assert isinstance(op, WeightedOp)
            inputs, outputs = op.matrix(engine.graph.read(op))
            given, rows = engine.graph.edges[op.name], engine.rows_in(op.name)
            values = math.prod(op.shapes(engine.graph.read(op))["weight"])
            places = op.positions(given) * rows
            stored, macs, states = {op.weight_bits: values}, values * places, 0
            blocks = places * array.blocks(inputs, 1 if op.each_channel() else outputs)
            blocks *= outputs if op.each_channel() else 1
            added = given.width * rows if len(op.reads()) > 1 else 0
        weights: Memory = engine.parts.spec("weights")
        read = engine.words_of(stored)
        counts: dict[str, Counts] = {
            "array": {"mac": every * macs, "add": every * added, "blocks": every * blocks},
            "weights": weights.accesses(every * read, every * 0),
        }
        if isinstance(op, S4dOp):
            counts["states"] = {"read": every * states, "write": every * states}
        return counts, Macs(grid.frames * macs, grid.frames * macs)

    def _product(self, op: WeightedOp, cluster: Cluster, grid: Grid) -> tuple[Mapping[str, Counts], Macs]:
        engine, graph = self.engine, self.engine.graph
        rows, read = cluster.rows(op, grid), graph.read(op)
        array: MatrixArray = engine.parts.spec("array")
        weights: Memory = engine.parts.spec("weights")
        inputs, outputs = op.matrix(read)
        places = op.positions(graph.edges[op.name])
        if op.each_channel():  # it has inputs of its own, so that one column works at a time
            blocks = places * array.blocks(inputs, 1) * outputs
        else:
            blocks = places * array.blocks(inputs, outputs)
        values = math.prod(op.shapes(read)["weight"])
        words = weights.words_of(values, op.weight_bits)
        quantised = cluster.rows_read(op, op.input, grid) * graph.edges[op.input].width
        operations = quantised * cluster.quantising(op) + rows * cluster.rounding(op)
        working = (rows > 0).astype(np.int64)
        macs = int(rows.sum()) * places * values
        return {
            "queue": {"dispatch": working},
            "array": {"mac": rows * places * values, "add": rows * 0, "blocks": rows * blocks},
            "weights": {name: working * count for name, count in weights.accesses(words, 0).items()},
            "vector": {"operation": operations, "special": rows * 0},
            "activations": cluster.access(op, cluster.words_read(op, grid), cluster.given_words(op, grid), grid),
        }, Macs(macs, macs)

    def _step(self, op: RecurrentOp, work: StepProduct, grid: Grid) -> tuple[Mapping[str, Counts], Macs]:
        """Count a product of a step: with the inputs in the first round, and with the state, columns that are taken."""
        engine, read, every = self.engine, self.engine.graph.read(op), np.ones(grid.frames, np.int64)
        array: MatrixArray = engine.parts.spec("array")
        weights: Memory = engine.parts.spec("weights")
        ((inputs, columns), (units, _)), outputs = op.matrices(read), op.rounds()[work.round].columns
        taken, states = self.columns.of_row(op, read, grid, engine.rows_in(op.name), work.place)
        dense, macs, blocks = units * outputs, states * outputs, _blocks(array, states, outputs)
        if work.round == 0:
            dense += inputs * columns
            macs, blocks = macs + taken * columns, blocks + _blocks(array, taken, columns)
        words = self._words_of(op, weights, units, states, outputs)
        if work.round == 0:
            words = words + self._words_of(op, weights, inputs, taken, columns)
        counts: dict[str, Counts] = {
            "array": {"mac": macs, "add": every * 0, "blocks": blocks},
            "weights": weights.accesses(words, every * 0),
        }
        if op.skips():
            counts["vector"] = {"operation": every * op.change_work(read).operations, "special": every * 0}
        # The state, or what is left of the last output behind a gate.
        state = engine.state_bits(op) if work.round == 0 else units * op.weight_bits
        self._step_memory(counts, op, grid, read=state, inputs=work.round == 0)
        performed = int(macs.sum())
        return counts, Macs(dense * grid.frames, performed, dense * grid.frames - performed)

    def _words_of(
        self, op: RecurrentOp, weights: Memory, inputs: int, taken: NDArray[np.int64], outputs: int
    ) -> NDArray[np.int64]:
        """Return the words of a matrix that a step reads, [frames]: all of it, or a row for each input that is taken.

        Where rows are read for themselves, each begins a word.
        """
        if op.skips():
            return taken * weights.words_of(outputs, op.weight_bits)
        return np.full(len(taken), weights.words_of(inputs * outputs, op.weight_bits))

    def _gates(self, op: RecurrentOp, work: StepProduct, grid: Grid) -> tuple[Mapping[str, Counts], None]:
        """Count the work on the sums of a step's product; behind the last one output and state are written."""
        read, rounds, every = self.engine.graph.read(op), op.rounds(), np.ones(grid.frames, np.int64)
        done = rounds[work.round].work
        operations = done.operations + (op.input_work(read).operations if work.round == 0 else 0)
        last = work.round == len(rounds) - 1
        counts: dict[str, Counts] = {"vector": {"operation": every * operations, "special": every * done.special}}
        written = self.engine.state_bits(op) if last else op.units * op.weight_bits
        self._step_memory(counts, op, grid, written=written, outputs=last)
        if self.engine.cluster is None:
            counts["array"] = {"mac": every * 0, "add": every * 0, "blocks": every * 0}
        return counts, None

    def _step_memory(
        self, counts: dict[str, Counts], op: RecurrentOp, grid: Grid, *, read: int = 0, written: int = 0,
        inputs: bool = False, outputs: bool = False,
    ) -> None:  # fmt: skip
        """Count the bits of state that a step reads and writes, and with them the row that it reads or gives."""
        engine, cluster, every = self.engine, self.engine.cluster, np.ones(grid.frames, np.int64)
        if cluster is None:
            memory: Memory = engine.parts.spec("states")
            counts["states"] = memory.accesses(every * memory.words_of(1, read), every * memory.words_of(1, written))
            return
        counts["queue"] = {"dispatch": every}
        rows = engine.rows_in(op.name)
        first = every * cluster.words(read)
        first = first + cluster.words_read(op, grid) // rows if inputs else first
        second = every * (cluster.words(written) + (cluster.words(cluster.bits(op.name)) if outputs else 0))
        second = second + cluster.words_brought(op, grid) // rows if inputs else second
        counts["activations"] = cluster.memory.accesses(first, second, share=cluster.vector.units)

    def _attend(self, op: AttentionOp, cluster: Cluster, grid: Grid) -> tuple[Mapping[str, Counts], Macs]:
        width, terms = self.engine.graph.edges[op.name].width, 2 if op.positions is None else 3
        spans = op.spans(grid.starts)
        keys = spans[:, 1] - spans[:, 0]
        # Queries once; keys, values and, with positions, their vectors anew for every frame.
        third = cluster.words(cluster.bits(op.input) // 3)
        read = third + keys * 2 * third
        if op.positions is not None:
            read = read + keys * cluster.words(cluster.bits(op.positions))
        written = np.full(grid.frames, cluster.words(cluster.bits(op.name)))
        macs = int(keys.sum()) * terms * width
        return {
            "queue": {"dispatch": np.ones(grid.frames, np.int64)},
            "attention": {"mac": keys * terms * width, "exponential": keys * op.heads},
            "activations": cluster.access(op, read, written, grid),
        }, Macs(macs, macs)


def _blocks(array: MatrixArray, inputs: NDArray[np.int64], outputs: int) -> NDArray[np.int64]:
    """Return the blocks that so many inputs take through a matrix, of each frame."""
    several, place = np.unique(inputs, return_inverse=True)
    return np.array([array.blocks(int(n), outputs) if n else 0 for n in several], np.int64)[place]


ENGINES.register("digital", Digital)
