"""Spiking networks on sets of accumulate-only PEs with zero skipping.

The schedule is that of the 28 nm chip (arXiv 2503.21337): one matrix after the other, 128 neurons (a group) at a
time, the whole datapath in lock-step, one row per step.

What the paper's neurons do not have: a synaptic current with a leak is one more word of state in the membrane memory
and one more update of a LIF unit; a refractory time one more word; a bias, a potential at rest and a leak or threshold
of each neuron one more word each, which is only read. Features that are spikes take the way of a layer's spikes.
Spikes that come later stay in the spike registers for as many time steps as the longest delay; where the synapses of an
input have different delays, its row is walked once for each delay that one of its weights has. A readout that leaks
takes one time step after the other on all PE sets; between them LIF units multiply its accumulators. A readout that
carries its sums from frame to frame keeps its accumulators in the membrane memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.components.accumulator import Accumulator
from accelsim.components.bus import Bus
from accelsim.components.controller import Controller
from accelsim.components.lif import Lif
from accelsim.components.pe_array import PeArray
from accelsim.components.zero_skip import ZeroSkip
from accelsim.engines.engine import Assignment, Counts, Engine, Grid, Macs, Run, Tell, Wires
from accelsim.inputs import Batch
from accelsim.kernels.accumulate import bit_serial, spike_rows
from accelsim.kernels.delays import delayed, delayed_rows
from accelsim.kernels.fixed_point import shift_array, signed_range
from accelsim.kernels.lif import leaky_sum, lif
from accelsim.kernels.random import random_bits, random_spikes
from accelsim.kernels.zero_skip import bank_steps, bit_steps, merge
from accelsim.ops.lif import LifOp, SpikeSumOp
from accelsim.ops.op import FEATURES, Edge, Op, Signal
from accelsim.placement import ENGINES, Parts, Problems, of_class, stores
from accelsim.schedule.job import Job, Work
from accelsim.schema.workload import RandomInputs

# The readout's wide sums are made for so many frames at a time and kept in the width of the output register.
_FRAMES_PER_READOUT = 8192

Walk = Literal["bits", "each", "shared", "merged"]
_CONSTANTS = ("bias", "recurrent_bias", "rest")
_MEMORIES = ("input_weights", "recurrent_weights", "readout_weights")


@dataclass(frozen=True)
class RowWalk(Work):
    """The rows of one matrix are added up.

    ``walk``: bits of features one after the other; every time step on its own (``each``), all of them sharing each row
    (``shared``), or ``merged`` into one. ``type``: of the paper's zero skipping. ``banks``: partial sums that rows are
    dealt out to. ``groups``: of neurons, one after the other; ``accesses_per_row``: of the weight memory.
    """

    matrix: str
    walk: Walk
    type: str
    banks: int
    skip: bool
    groups: int
    accesses_per_row: int


@dataclass(frozen=True)
class TakeCurrents(Work):
    """The currents of a layer, sums that another op made, are written into registers."""

    stage: ClassVar[str] = "currents"


@dataclass(frozen=True)
class Update(Work):
    """The neurons of a layer take all time steps of a frame."""


@dataclass(frozen=True)
class Output(Work):
    """The partial sums of the readout are added and put into their registers."""


class SpikePes(Engine):
    """Sets of PEs that add a row of weights for every spike, behind selectors that skip zeros."""

    kind = "spike_pes"
    runs = (LifOp, SpikeSumOp)
    roles = {
        "pe": of_class("a set of spike-driven PEs", PeArray),
        "select": of_class("a zero-skip unit", ZeroSkip),
        "bus": of_class("a bus", Bus),
        "lif": of_class("LIF units", Lif),
        "readout": of_class("an accumulator", Accumulator),
        "control": of_class("a controller", Controller),
        **{role: stores(role) for role in ("membranes", "spikes", "currents", *_MEMORIES)},
    }
    needs = (frozenset({"pe", "select", "bus", "lif", "control", "membranes", "spikes"}),)
    lockstep = (
        *(("select", memory) for memory in _MEMORIES),
        *((memory, "bus") for memory in _MEMORIES),
        ("bus", "pe"), ("control", "pe"), ("membranes", "lif"), ("lif", "spikes"),
    )  # fmt: skip
    flows = (("pe", "lif"), ("spikes", "select"), ("pe", "readout"), ("currents", "lif"))
    job_roles: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "weights": ("input_weights", "recurrent_weights", "readout_weights")
    }
    entries = ("select", "currents")
    exits = ("spikes", "readout")

    def __init__(self, assignment: Assignment, problems: Problems) -> None:
        super().__init__(assignment, problems)
        self.pe: PeArray = self.parts.spec("pe")
        self.skip: ZeroSkip = self.parts.spec("select")
        self.lif: Lif = self.parts.spec("lif")
        self.steps = self.network.spec.time_steps
        self.parallel = self.parts.spec("control").time_steps == "parallel"
        self.matrix_jobs: list[Job] = []
        self._check_fit()

    @classmethod
    def refuses(cls, op: Op, read: Sequence[Edge], given: Edge, parts: Parts) -> str | None:
        wanted = ["readout", "readout_weights"] if isinstance(op, SpikeSumOp) else []
        if isinstance(op, LifOp):
            deeper = op.feedforward and read[0].kind == "spikes"
            wanted += ["input_weights"] if op.feedforward and not deeper else []
            wanted += ["recurrent_weights"] if op.recurrent or deeper else []
            wanted += [] if op.feedforward else ["currents"]
        lacks = parts.lacks(*wanted)
        return f"it needs {cls.roles[lacks[0]].what}" if lacks else None

    def takers(self, op: Op) -> tuple[str, ...]:
        currents = isinstance(op, LifOp) and not op.feedforward
        return (self.parts.name("currents" if currents else "select"),)

    def givers(self, op: Op) -> tuple[str, ...]:
        return (self.parts.name("readout" if isinstance(op, SpikeSumOp) else "spikes"),)

    def jobs(self, ops: Sequence[Op], wires: Wires) -> list[Job]:
        jobs: list[Job] = []
        for op in ops:
            takes = wires.taken(op.name, self.takers(op)[0])
            gives = wires.given(op.name, self.givers(op)[0])
            last = op is self.graph.last
            if isinstance(op, SpikeSumOp):
                to_readout = wires.inside(self.parts.name("pe"), self.parts.name("readout"))
                jobs.append(self._matrix(op, op.neurons, "sum", "readout_weights", takes, (to_readout,)))
                roles = ["readout", *(["lif"] if self.leaks(op) else []), *(["membranes"] if op.carry else [])]
                parts = [(role, self.parts.name(role)) for role in roles]
                jobs.append(
                    Job.of(f"{op.name}.output", op.name, parts, Output(), takes=(to_readout,), gives=gives, last=last)
                )
            elif isinstance(op, LifOp):
                jobs += self._neurons(op, takes, gives, last, wires)
        self.matrix_jobs += [job for job in jobs if isinstance(job.work, RowWalk)]
        return jobs

    def _neurons(
        self, op: LifOp, takes: tuple[str, ...], gives: tuple[str, ...], last: bool, wires: Wires
    ) -> list[Job]:
        """Return the jobs of a layer: its matrices, or the currents that it reads, then its neurons."""
        jobs: list[Job] = []
        lif, ready = self.parts.name("lif"), []
        if op.feedforward or op.recurrent:
            ready.append(wires.inside(self.parts.name("pe"), lif))
        to_neurons = tuple(ready)
        if op.feedforward:
            bits = self.reads_bits(op)
            name, role = ("input", "input_weights") if bits else ("feedforward", "recurrent_weights")
            jobs.append(self._matrix(op, op.neurons, name, role, takes, () if op.recurrent else to_neurons))
        else:
            to_lif = wires.inside(self.parts.name("currents"), lif)
            ready.append(to_lif)
            jobs.append(
                Job.of(f"{op.name}.currents", op.name, [("currents", self.parts.name("currents"))], TakeCurrents(),
                       takes=takes, gives=(to_lif,))
            )  # fmt: skip
        if op.recurrent:
            jobs.append(self._matrix(op, op.neurons, "recurrent", "recurrent_weights", (), to_neurons))
        parts = [(role, self.parts.name(role)) for role in ("lif", "membranes", "spikes")]
        jobs.append(Job.of(f"{op.name}.neurons", op.name, parts, Update(), takes=tuple(ready), gives=gives, last=last))
        return jobs

    def _matrix(
        self, op: LifOp | SpikeSumOp, neurons: int, name: str, role: str, takes: tuple[str, ...], gives: tuple[str, ...]
    ) -> Job:
        """Return the job of one weight matrix, led by the PEs; memory, bus and selectors go in lock-step."""
        groups = -(-neurons // self.pe.pes)
        accesses = -(-self.pe.pes * self.pe.weight_bits // self.parts.spec(role).width_bits)
        parts = [
            ("pe", self.parts.name("pe")),
            ("select", self.parts.name("select")),
            ("weights", self.parts.name(role)),
            ("bus", self.parts.name("bus")),
            ("control", self.parts.name("control")),
        ]
        work = RowWalk(name, *self._walk(op, name), groups, accesses)
        return Job.of(f"{op.name}.{name}", op.name, parts, work, takes=takes, gives=gives)

    def leaks(self, op: SpikeSumOp) -> int:
        """Return how often in a frame the sums of a readout leak: before each time step that follows another."""
        return 0 if op.beta == 1 else self.steps - (0 if op.carry else 1)

    def words(self, op: LifOp) -> tuple[int, int]:
        """Return the words of a neuron in the membrane memory, and how many are written in a time step."""
        state = 1 + (op.synapse_beta is not None) + (op.refractory > 0)
        constants = sum(op.tensor_name(end) in self.tensors for end in _CONSTANTS)
        return state + constants + len(op.of_each_neuron()), state

    def reads_bits(self, op: LifOp | SpikeSumOp) -> bool:
        """Return whether the rows of a layer's first matrix are called for by bits of features, not by spikes."""
        return self.graph.read(op)[0].kind != "spikes"

    def delays(self, op: LifOp | SpikeSumOp, name: str) -> NDArray[np.int64] | None:
        """Return the delays of the synapses of a matrix, [inputs] or [inputs, neurons]; None where it has none."""
        if not isinstance(op, LifOp) or op.delays is None or name != "feedforward":
            return None
        given = self.tensors.get(op.tensor_name("delays"))
        return None if given is None else given.astype(np.int64)

    def _walk(self, op: LifOp | SpikeSumOp, name: str) -> tuple[Walk, str, int, bool]:
        """Return how the rows of a matrix are walked: walk, type, banks of partial sums, whether zeros are skipped.

        Features bit by bit, Type A. Spikes in Type B where each time step has all PE sets; else time steps run side by
        side: a layer's rows are shared by all of them, Type D, and the readout merges them, Type C. A readout that
        leaks, or carries its sums on, takes one time step after the other.
        """
        if name == "input":
            return "bits", "A", self.pe.sets, self.skip.skip_inputs
        skip = self.skip.skip_spikes
        in_order = isinstance(op, SpikeSumOp) and (op.carry or self.leaks(op) > 0)
        if self.steps == 1 or not self.parallel or in_order:
            return "each", "B", self.pe.sets, skip
        per_step = max(self.pe.sets // self.steps, 1)
        if name != "sum":
            return "shared", "D", per_step, False
        return ("merged", "C", self.pe.sets, skip) if self.skip.merge_spikes else ("shared", "B", per_step, skip)

    def _check_fit(self) -> None:
        add, width = self.problems.add, self.graph.edges
        rows = dict.fromkeys(_MEMORIES, 0)
        neurons = words = currents = 0
        waiting: dict[str, int] = {}
        selected = self.skip.units * self.skip.width
        for op in self.ops:
            assert isinstance(op, LifOp | SpikeSumOp)
            if self.rows_in(op.name) != 1:
                add(f"layer '{op.name}' makes {self.rows_in(op.name)} rows in a frame, '{self.name}' makes one")
            matrices = op.matrices(self.graph.read(op))
            inputs = max((inputs for inputs, _ in matrices.values()), default=0)
            if (delays := self.delays(op, "feedforward")) is not None and delays.ndim > 1:
                inputs = max(inputs, len(delays) * len(np.unique(delays)))  # a row may be called for by each delay
            if inputs > selected:
                add(
                    f"layer '{op.name}' has {inputs} inputs, '{self.parts.name('select')}' selects among "
                    f"{self.skip.units} x {self.skip.width}"
                )
            groups = -(-op.neurons // self.pe.pes)
            if matrices and op.weight_bits > self.pe.accumulator_bits:
                add(
                    f"the {self.pe.accumulator_bits}-bit accumulators of '{self.parts.name('pe')}' hold no "
                    f"{op.weight_bits}-bit weight of layer '{op.name}'",
                    at=self.at("pe", "accumulator_bits"),
                )
            if matrices and op.weight_bits > self.pe.weight_bits:
                add(
                    f"layer '{op.name}' has {op.weight_bits}-bit weights, the PEs of '{self.parts.name('pe')}' take "
                    f"{self.pe.weight_bits}"
                )
            if isinstance(op, LifOp):
                neurons += op.neurons
                words += op.neurons * self.words(op)[0]
                self._check_options(op)
                if op.delays is not None:
                    width_of_inputs = width[op.input].width
                    waiting[op.input] = max(waiting.get(op.input, 0), op.delays * width_of_inputs)
                currents = max(currents, 0 if op.feedforward else op.neurons)
                self._check_word("membranes", self.lif.membrane_bits, f"membranes of layer '{op.name}'")
                threshold = self._largest(op, "threshold")
                if threshold > signed_range(self.lif.membrane_bits)[1]:
                    add(
                        f"threshold {threshold} of layer '{op.name}' does not fit the {self.lif.membrane_bits}-bit "
                        f"membranes of '{self.parts.name('lif')}'"
                    )
            elif op.carry:
                words += op.neurons * self.pe.sets
                carried = f"sums that layer '{op.name}' carries on"
                self._check_word("membranes", self.pe.accumulator_bits, carried)
            for end, (inputs, _) in matrices.items():
                if isinstance(op, SpikeSumOp):
                    role = "readout_weights"
                else:
                    role = "input_weights" if end == "weight" and self.reads_bits(op) else "recurrent_weights"
                rows[role] += -(-inputs // self.parts.spec(role).banks) * groups
        for role, needed in rows.items():
            if not needed:
                continue
            memory, name = self.parts.spec(role), self.parts.name(role)
            accesses = -(-self.pe.pes * self.pe.weight_bits // memory.width_bits)
            if needed * accesses > memory.rows:
                add(
                    f"the {role} need {needed * accesses} rows of {memory.width_bits} bits in each bank, "
                    f"'{name}' has {memory.banks} x {memory.rows}"
                )
        bits = width[FEATURES].bits
        if rows["input_weights"] and bits % self.pe.sets:
            add(f"{bits}-bit inputs do not split evenly over {self.pe.sets} PE sets")
        for role, needed, what in (
            ("membranes", words, "membranes" if words == neurons else "words of membranes and other state"),
            (
                "spikes",
                neurons * self.steps + sum(waiting.values()),
                "spikes of all time steps" + (" and delays" if waiting else ""),
            ),
            ("currents", currents, "currents"),
        ):
            if needed and needed > (entries := self.parts.spec(role).entries):
                add(f"{needed} {what} do not fit the {entries} entries of '{self.parts.name(role)}'")
        if self.steps > 1 and self.parallel:
            if self.pe.sets % self.steps:
                add(
                    f"{self.steps} parallel time steps need a multiple of {self.steps} PE sets, "
                    f"'{self.parts.name('pe')}' has {self.pe.sets}"
                )
            if self.skip.merge_spikes and self.steps > 2:
                add("merged spikes (Type C) shift by at most one place: two time steps, not more")

    def _check_word(self, role: str, bits: int, what: str) -> None:
        """Note where the words of a memory are narrower than what is kept in them."""
        if (has := self.parts.spec(role).width_bits) < bits:
            message = f"'{self.parts.name(role)}' has words of {has} bits for the {bits}-bit {what}"
            self.problems.add(message, at=self.at(role, "width_bits"))

    def _check_options(self, op: LifOp) -> None:
        """Note what of a neuron's options does not fit the words of its state."""
        add, bits = self.problems.add, self.lif.membrane_bits
        low, high = signed_range(bits)
        where = f"layer '{op.name}'"
        words = f"the {bits}-bit words of '{self.parts.name('lif')}'"
        if op.refractory > high:
            add(f"refractory {op.refractory} of {where} does not fit {words}")
        for end in _CONSTANTS:
            given = self.tensors.get(op.tensor_name(end))
            if given is not None and given.size and not low <= given.min() <= given.max() <= high:
                add(f"the {end} of {where} has values from {given.min()} to {given.max()}, which do not fit {words}")
        for end in sorted(op.of_each_neuron() - {"threshold"}):
            if (largest := self._largest(op, end)) > high:
                add(f"the {end} of {where} has numerators up to {largest}, which do not fit {words}")
        if op.delays is not None and self.delays(op, "feedforward") is None:
            add(f"{where} has delays, and random activity has no tensor that says which")

    def _largest(self, op: LifOp, end: str) -> int:
        """Return the largest leak or threshold of a layer; 0 where random activity has no tensor that says it."""
        if end in op.of_each_neuron() and op.tensor_name(end) not in self.tensors:
            return 0
        return int(np.max(op.number(end, self.tensors)))

    def start(self, batch: Batch, seed: int, tell: Tell) -> SpikeRun:
        return SpikeRun(self, batch, seed, tell)


class SpikeRun(Run):
    """One run of the PEs; ``drives``: what drives each matrix by job, features [frames, inputs] or spikes.

    ``late``: of a matrix whose synapses have delays of their own, how often each row is called for, [frames, steps,
    inputs], and the weights added in each frame.
    """

    def __init__(self, engine: SpikePes, batch: Batch, seed: int, tell: Tell) -> None:
        super().__init__()
        self.engine, self.batch, self.seed, self.tell = engine, batch, seed, tell
        self.jobs = {job.name: job for job in engine.matrix_jobs}
        self.layers: dict[str, Any] = {op.name: op for op in engine.ops}
        self.drives: dict[str, NDArray[np.uint8]] = {}
        self.late: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self.pe, self.lif = engine.pe, engine.lif
        self.tallies.clamped = dict.fromkeys(self.layers, 0)

    def values(self, ops: Sequence[Op], signals: dict[str, Signal]) -> None:
        last_reader = self.engine.graph.last_reader
        for op in ops:
            self.tell(op.name)
            source = signals[op.reads()[0]]
            values = self._sum(op, source) if isinstance(op, SpikeSumOp) else self._spikes(op, source)
            signals[op.name] = Signal(values, source.starts, self.engine.graph.edges[op.name])
            if last_reader[op.reads()[0]] == op.name and source.edge.kind != "spikes":  # spikes are kept, as a result
                signals.pop(op.reads()[0])

    def draw(self, inputs: RandomInputs) -> None:
        """Draw random drives at the given densities, each matrix with a stream of its own."""
        steps, frames = self.engine.steps, int(self.batch.starts[-1])
        for index, job in enumerate(self.jobs.values()):
            work = job.work
            assert isinstance(work, RowWalk)
            width = self._matrix_of(job)[0]
            if work.walk == "bits":
                bits = self.engine.graph.edges[FEATURES].bits
                self.drives[job.name] = random_bits(self.seed, index, frames, width, bits, inputs.input_ones)
            else:
                readout = inputs.readout if work.matrix == "sum" else None
                each = inputs.spikes if steps > 1 or readout is None else readout
                self.drives[job.name] = random_spikes(self.seed, index, frames, steps, width, each, readout)

    def count(self, job: Job, grid: Grid) -> tuple[Mapping[str, Counts], Macs | None]:
        if isinstance(job.work, RowWalk):
            return self._count_rows(job, job.work)
        layer, steps = self.layers[job.layer], self.engine.steps

        def every_frame(value: int) -> NDArray[np.int64]:
            return np.full(grid.frames, value, np.int64)

        if isinstance(job.work, TakeCurrents):
            return {"currents": {"write": every_frame(layer.neurons)}}, None
        if isinstance(job.work, Output):
            added = every_frame(layer.neurons * (self.pe.sets - 1))
            # While the sets walk the rows of a group of neurons, one addition of the group before it is done beside.
            groups = [min(self.pe.pes, layer.neurons - first) for first in range(0, layer.neurons, self.pe.pes)]
            adders = self.engine.parts.spec("readout").units
            groups_added = sum(-(-neurons // adders) for neurons in groups) - (len(groups) - 1)
            sums, leaks = layer.neurons * self.pe.sets, self.engine.leaks(layer)
            lif = {"update": sums * leaks, "neurons": sums * (leaks > 0), "time_steps": leaks}
            kept = {"read": sums * layer.carry, "write": sums * layer.carry}
            counts = {
                "readout": {"groups": every_frame(groups_added), "add": added, "write": every_frame(layer.neurons)},
                "lif": {name: every_frame(value) for name, value in lif.items()},
                "membranes": {name: every_frame(value) for name, value in kept.items()},
            }
            return {role: counts[role] for role in job.roles}, None
        updates = layer.neurons * steps
        states = 1 if layer.synapse_beta is None else 2  # the synaptic current is one more state with a leak
        read, written = self.engine.words(layer)
        lif = {"update": updates * states, "neurons": layer.neurons * states, "time_steps": steps}
        return {
            "lif": {name: every_frame(value) for name, value in lif.items()},
            "membranes": {"read": every_frame(updates * read), "write": every_frame(updates * written)},
            "spikes": {"write": every_frame(updates)},
        }, None

    def _tensor(self, op: LifOp | SpikeSumOp, end: str) -> NDArray[np.int8]:
        return self.engine.tensors[op.tensor_name(end)]

    def _spikes(self, op: Any, source: Signal) -> NDArray[np.uint8]:
        """Return the spikes of a layer in every time step, [frames, steps, neurons]."""
        current = self._current(op, source)
        job = self.jobs.get(f"{op.name}.recurrent")
        recurrent = self._tensor(op, "recurrent_weight") if job else None
        tensors, word = self.engine.tensors, self.lif.membrane_bits
        bias, recurrent_bias, rest = (tensors.get(op.tensor_name(end)) for end in _CONSTANTS)
        spikes, _, in_sum, in_membrane = lif(
            current,
            recurrent,
            source.starts,
            recurrent_shift=op.recurrent_shift,
            beta_numerator=op.number("beta", tensors),
            beta_bits=op.beta_bits,
            threshold=op.number("threshold", tensors),
            reset_subtract=op.reset == "subtract",
            membrane_carry=op.membrane_carry,
            membrane_bits=word,
            accumulator_bits=self.pe.accumulator_bits,
            banks=job.work.banks if job else 1,  # type: ignore[attr-defined]
            bias=bias,
            recurrent_bias=recurrent_bias,
            rest=rest,
            strict=op.strict,
            old_current=op.current == "old",
            input_shift=0 if bias is None else op.input_shift,
            refractory=op.refractory,
            alpha_numerator=op.number("synapse_beta", tensors),
            alpha_bits=op.synapse_beta_bits,
            synapse_bits=None if op.synapse_beta is None else word,
        )
        self.tallies.clamped[op.name] += int(in_sum.sum() + in_membrane.sum())
        if job:
            before = np.zeros_like(spikes)  # the spikes of the frame before; none at the start of an utterance
            before[1:] = spikes[:-1]
            before[source.starts[:-1]] = 0
            self.drives[job.name] = before
        return spikes

    def _current(self, op: LifOp, source: Signal) -> NDArray[np.int32]:
        """Return the current of every time step from what the layer reads, [frames, steps, neurons].

        It is shifted here, but where a bias comes before the shift.
        """
        steps, frames, x = self.engine.steps, len(source.values), source.values
        shape = (frames, steps, op.neurons)
        places = op.input_shift if self.engine.tensors.get(op.tensor_name("bias")) is None else 0
        if not op.feedforward:
            low, high = signed_range(min(self.engine.parts.spec("currents").width_bits, 32))
            rounded = np.rint(x)
            kept = np.clip(rounded, low, high)
            self.tallies.clamped[op.name] += int(np.count_nonzero(kept != rounded))
            current = shift_array(kept.astype(np.int32), places)
            return np.broadcast_to(current[:, None], shape)
        weights = self._tensor(op, "weight")
        if self.engine.reads_bits(op):
            self.drives[f"{op.name}.input"] = x
            sums, clamped = bit_serial(x, weights, source.edge.bits, self.pe.sets, self.pe.accumulator_bits)
            current = np.broadcast_to(shift_array(sums, places)[:, None], shape)
        else:
            job = self.jobs[f"{op.name}.feedforward"]
            work = job.work
            assert isinstance(work, RowWalk)
            delays = self.engine.delays(op, work.matrix)
            if delays is not None and delays.ndim == 1:  # a whole row is late, as its spike is
                x = delayed(x, source.starts, delays)
            self.drives[job.name] = x
            if delays is not None and delays.ndim > 1:
                self.late[job.name] = self._called(x, source.starts, weights, delays)
                sums, clamped = delayed_rows(
                    x, weights, delays, source.starts, work.banks, self.pe.accumulator_bits
                )  # fmt: skip
            else:
                flat = x.reshape(frames * steps, 1, x.shape[2])
                sums, clamped = spike_rows(flat, weights, work.banks, self.pe.accumulator_bits, shared=False)
            current = shift_array(sums, places).reshape(shape)
        self.tallies.clamped[op.name] += int(clamped.sum())
        return current

    @staticmethod
    def _called(
        x: NDArray[np.uint8], starts: NDArray[np.int64], weights: NDArray[np.int8], delays: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how often each row is called for, [frames, steps, inputs], and the weights added, [frames].

        A spike calls for its row once for each delay that one of the row's weights has, when it has waited so long;
        then the weights of that delay are added, those that are 0 among them.
        """
        calls = np.zeros(x.shape, np.int64)
        added = np.zeros(len(x), np.int64)
        for delay in np.unique(delays).tolist():
            mine = delays == delay
            walked = (mine & (weights != 0)).any(axis=1)
            late = delayed(x, starts, delay) * walked.astype(np.uint8)
            calls += late
            added += late.sum(axis=1, dtype=np.int64) @ mine.sum(axis=1)
        return calls, added

    def _sum(self, op: SpikeSumOp, source: Signal) -> NDArray[np.integer]:
        job, spikes = self.jobs[f"{op.name}.sum"], source.values
        work = job.work
        assert isinstance(work, RowWalk)
        self.drives[job.name] = spikes
        weights, bits = self._tensor(op, "weight"), self.engine.parts.spec("readout").width_bits
        low, high = signed_range(bits)
        out = np.empty((len(spikes), op.neurons), np.int16 if bits <= 16 else np.int32 if bits <= 32 else np.int64)
        if op.carry or self.engine.leaks(op):
            y, in_sum = leaky_sum(
                spikes, weights, source.starts, alpha_numerator=op.beta_numerator(), alpha_bits=op.beta_bits,
                carry=op.carry, banks=work.banks, accumulator_bits=self.pe.accumulator_bits,
            )  # fmt: skip
            out[:] = np.clip(y, low, high)
            self.tallies.clamped[op.name] += int(in_sum.sum()) + int(np.count_nonzero(out != y))
            return out
        for start in range(0, len(spikes), _FRAMES_PER_READOUT):
            part = spikes[start : start + _FRAMES_PER_READOUT]
            sums, clamped = spike_rows(
                merge(part)[:, None] if work.walk == "merged" else part,
                weights,
                work.banks,
                self.pe.accumulator_bits,
                shared=work.walk == "each",
            )
            kept = np.clip(sums, max(low, -(2**31)), min(high, 2**31 - 1))  # the sums have 32 bits
            self.tallies.clamped[op.name] += int(clamped.sum()) + int(np.count_nonzero(kept != sums))
            out[start : start + len(part)] = kept
        return out

    def _matrix_of(self, job: Job) -> tuple[int, int]:
        """Return inputs and outputs of the matrix of a job."""
        layer = self.layers[job.layer]
        end = "recurrent_weight" if job.work.matrix == "recurrent" else "weight"  # type: ignore[attr-defined]
        return layer.matrices(self.engine.graph.read(layer))[end]

    def _count_rows(self, job: Job, work: RowWalk) -> tuple[Mapping[str, Counts], Macs]:
        """Count one matrix: steps of the datapath, rows read, weights added and slots left idle, per frame."""
        layer, drive = self.layers[job.layer], self.drives[job.name]
        walk, skip, banks, groups = work.walk, work.skip, work.banks, work.groups
        memory = self.engine.chip.components()[job.part("weights")]
        passes = 1
        if walk == "bits":
            bits = self.engine.graph.edges[FEATURES].bits
            steps, rows, ones = bit_steps(drive, banks, bits // banks, skip)
            busiest = rows if memory.banks == 1 else bank_steps(drive, memory.banks, skip)[0]  # type: ignore[attr-defined]
            dense, saved = drive.size * bits, 0
            zero = dense - int(ones.sum())
        else:
            dense = drive.size
            ones = drive.sum(axis=(1, 2), dtype=np.int64)
            zero, saved = int(np.count_nonzero(drive == 0)), 0
            if walk == "each":
                per_step = [drive[:, s] for s in range(drive.shape[1])]
                passes = len(per_step) if isinstance(layer, LifOp) else 1
            else:
                per_step = [merge(drive)]
            walked = [bank_steps(active, banks, skip) for active in per_step]
            steps, rows = (np.sum([w[i] for w in walked], axis=0) for i in (0, 1))
            busiest = np.sum([bank_steps(active, memory.banks, skip)[0] for active in per_step], axis=0)  # type: ignore[attr-defined]
            if job.name in self.late:
                steps, rows, busiest = self._walk_late(job, work, memory.banks)  # type: ignore[attr-defined]
            if walk == "merged":
                several = np.maximum(per_step[0].astype(np.int64) - 1, 0).sum(axis=1)
                ones, saved = ones - several, int(several.sum())
        steps, rows, busiest = steps * groups, rows * groups, busiest * groups
        words = self.engine.parts.spec("bus").words(self.pe.pes * self.pe.weight_bits)
        added = self.late[job.name][1] if job.name in self.late else ones * layer.neurons
        skipped = (zero + saved) * layer.neurons
        if job.name in self.late:
            skipped = dense * layer.neurons - int(added.sum())
        macs = Macs(dense * layer.neurons, int(added.sum()), skipped)
        before = self.tallies.sparsity.get(layer.name, (0, 0))
        self.tallies.sparsity[layer.name] = (before[0] + zero, before[1] + dense)

        blocks = np.full(len(drive), groups * passes, np.int64)
        units = self.engine.skip.instances()
        pes = {
            "steps": steps,
            "blocks": blocks,
            "accumulate": added,
            "idle": steps * self.pe.sets * self.pe.pes - added,
        }
        return {
            "pe": pes,
            "select": {"steps": steps, "select": steps * units if skip else steps * 0},
            "weights": {"read": rows * work.accesses_per_row, "bank_accesses": busiest * work.accesses_per_row},
            "bus": {"transfer": rows * words},
            "control": {"dispatch": blocks},
        }, macs

    def _walk_late(self, job: Job, work: RowWalk, memory_banks: int) -> tuple[NDArray[np.int64], ...]:
        """Return steps, rows read and accesses of the busiest bank of memory, per frame, of rows with delays.

        Without skipping every row is walked once for each delay that one of its weights has, whatever the spikes.
        """
        op, calls = self.layers[job.layer], self.late[job.name][0]
        weights, delays = self._tensor(op, "weight"), self.engine.delays(op, work.matrix)
        assert delays is not None
        if not work.skip:
            ways = np.array([len(np.unique(d[w != 0])) for d, w in zip(delays, weights, strict=True)], np.int64)
            calls = np.broadcast_to(ways, (len(calls), calls.shape[1] if work.walk == "each" else 1, len(ways)))

        def busiest(banks: int) -> NDArray[np.int64]:
            begins = np.arange(0, calls.shape[2], -(-calls.shape[2] // banks))
            most: NDArray[np.int64] = np.add.reduceat(calls, begins, axis=2).max(axis=2).sum(axis=1)
            return most

        return busiest(work.banks), calls.sum(axis=(1, 2)), busiest(memory_banks)


ENGINES.register("spike_pes", SpikePes)
