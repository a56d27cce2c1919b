"""Recurrent spiking networks on sets of accumulate-only PEs with zero skipping.

The schedule is that of the 28 nm chip (arXiv 2503.21337): one matrix after the other, 128 neurons (a group) at a
time, the whole datapath in lock-step, one row per step.
"""

from __future__ import annotations

from types import MappingProxyType

from accelsim.architecture import Architecture
from accelsim.components.pe_array import PeArray
from accelsim.components.sram import Sram
from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.kernels.fixed_point import signed_range
from accelsim.schedule.job import Job, Schedule
from accelsim.schema.workload import LifOp, SpikeSumOp
from accelsim.workload import Workload

FEATURES = "features"

Work = dict[str, int | str | bool]


def schedule_spiking(workload: Workload, architecture: Architecture) -> Schedule:
    """Cut a spiking network into jobs; raises InputError when the chip lacks a part or the network does not fit."""
    return _Spiking(workload, architecture).schedule()


class _Spiking:
    def __init__(self, workload: Workload, architecture: Architecture) -> None:
        self.workload = workload
        self.architecture = architecture
        self.problems: list[Problem] = []
        self.steps = workload.spec.time_steps
        self.pe_name = self._only("pe_array")
        self.skip_name = self._only("zero_skip")
        self.bus_name = self._only("bus")
        self.lif_name = self._only("lif")
        self.readout_name = self._only("accumulator")
        self.controller_name = self._only("controller")
        self.buffer_name = self._storing("features")
        self.membranes_name = self._storing("membranes")
        self.spikes_name = self._storing("spikes")
        self.weights_name = {
            role: self._storing(role) for role in ("input_weights", "recurrent_weights", "readout_weights")
        }
        self._stop_on_problems()
        self.pe: PeArray = architecture.of_kind("pe_array")[self.pe_name]
        self.skip = architecture.of_kind("zero_skip")[self.skip_name]
        self.parallel = architecture.of_kind("controller")[self.controller_name].time_steps == "parallel"
        self.lif = architecture.of_kind("lif")[self.lif_name]
        self.memory: dict[str, Sram] = {
            role: architecture.of_kind("sram")[name] for role, name in self.weights_name.items()
        }
        self._check_fit()
        self._stop_on_problems()

    def schedule(self) -> Schedule:
        """Return the jobs: load, then per layer its matrices and its neurons, then the readout."""
        spec = self.workload.spec
        to_datapath = self._channel(self.buffer_name, self.skip_name)
        to_neurons = self._channel(self.pe_name, self.lif_name)
        from_neurons = self._channel(self.spikes_name, self.skip_name)
        to_readout = self._channel(self.pe_name, self.readout_name)
        jobs = [Job("load", FEATURES, self.buffer_name, gives=(to_datapath,), paced=True)]
        for layer in spec.layers:
            takes = (to_datapath,) if layer.input == FEATURES else (from_neurons,)
            if isinstance(layer, SpikeSumOp):
                work = self._readout_walk()
                jobs.append(self._matrix(layer, "sum", "readout_weights", takes, (to_readout,), work))
                jobs.append(Job(f"{layer.name}.output", layer.name, self.readout_name, takes=(to_readout,), last=True))
                continue
            if layer.input == FEATURES:
                bits: Work = {"walk": "bits", "type": "A", "banks": self.pe.sets, "skip": self.skip.skip_inputs}
                jobs.append(self._matrix(layer, "input", "input_weights", takes, (), bits))
            else:
                jobs.append(self._matrix(layer, "feedforward", "recurrent_weights", takes, (), self._walk()))
            jobs.append(self._matrix(layer, "recurrent", "recurrent_weights", (), (to_neurons,), self._walk()))
            jobs.append(
                Job(
                    f"{layer.name}.neurons",
                    layer.name,
                    self.lif_name,
                    lockstep=(self.membranes_name, self.spikes_name),
                    takes=(to_neurons,),
                    gives=(from_neurons,),
                )
            )
        self._stop_on_problems()
        return Schedule(tuple(jobs))

    def _walk(self) -> Work:
        """How a recurrent layer's rows are walked: Type B in one time step, Type D when two share each row."""
        if self.steps == 1 or not self.parallel:
            return {"walk": "each", "type": "B", "banks": self.pe.sets, "skip": self.skip.skip_spikes}
        return {"walk": "shared", "type": "D", "banks": self._sets_per_step(), "skip": False}

    def _readout_walk(self) -> Work:
        """How the readout's rows are walked: Type C merges the time steps, else each has PE sets of its own."""
        skip = self.skip.skip_spikes
        if self.steps == 1 or not self.parallel:
            return {"walk": "each", "type": "B", "banks": self.pe.sets, "skip": skip}
        if self.skip.merge_spikes:
            return {"walk": "merged", "type": "C", "banks": self.pe.sets, "skip": skip}
        return {"walk": "shared", "type": "B", "banks": self._sets_per_step(), "skip": skip}

    def _sets_per_step(self) -> int:
        return max(self.pe.sets // self.steps, 1)

    def _matrix(
        self,
        layer: LifOp | SpikeSumOp,
        name: str,
        role: str,
        takes: tuple[str, ...],
        gives: tuple[str, ...],
        work: Work,
    ) -> Job:
        """Return the job of one weight matrix, led by the PEs; memory, bus and selectors go in lock-step."""
        memory = self.memory[role]
        lockstep = (self.skip_name, self.weights_name[role], self.bus_name, self.controller_name)
        groups = -(-layer.neurons // self.pe.pes)
        accesses = -(-self.pe.pes * self.pe.weight_bits // memory.width_bits)
        cut = MappingProxyType({**work, "groups": groups, "accesses_per_row": accesses})
        return Job(f"{layer.name}.{name}", layer.name, self.pe_name, lockstep, takes, gives, work=cut)

    def _check_fit(self) -> None:
        spec, widths = self.workload.spec, {FEATURES: self.workload.spec.inputs.width()}
        registers = self.architecture.of_kind("register_file")
        rows = dict.fromkeys(self.weights_name, 0)
        neurons = 0
        if not spec.layers or not isinstance(spec.layers[-1], SpikeSumOp):
            self._problem("the network must end in a spike_sum layer")
        self._check_order()
        selected = self.skip.units * self.skip.width
        for layer in spec.layers:
            widths[layer.name] = layer.neurons
            inputs = max(widths[layer.input], layer.neurons if isinstance(layer, LifOp) else 0)
            if inputs > selected:
                self._problem(
                    f"layer '{layer.name}' has {inputs} inputs, "
                    f"'{self.skip_name}' selects among {self.skip.units} x {self.skip.width}"
                )
            groups = -(-layer.neurons // self.pe.pes)
            if layer.weight_bits > self.pe.weight_bits:
                self._problem(
                    f"layer '{layer.name}' has {layer.weight_bits}-bit weights, "
                    f"the PEs of '{self.pe_name}' take {self.pe.weight_bits}"
                )
            if isinstance(layer, LifOp):
                neurons += layer.neurons
                if layer.threshold > signed_range(self.lif.membrane_bits)[1]:
                    self._problem(
                        f"threshold {layer.threshold} of layer '{layer.name}' does not fit "
                        f"the {self.lif.membrane_bits}-bit membranes of '{self.lif_name}'"
                    )
                role = "input_weights" if layer.input == FEATURES else "recurrent_weights"
                rows[role] += self._rows_per_bank(role, widths[layer.input]) * groups
                rows["recurrent_weights"] += self._rows_per_bank("recurrent_weights", layer.neurons) * groups
            else:
                rows["readout_weights"] += self._rows_per_bank("readout_weights", widths[layer.input]) * groups
                if layer.input == FEATURES:
                    self._problem(f"layer '{layer.name}' (spike_sum) reads features, it needs spikes")
        for role, needed in rows.items():
            memory, name = self.memory[role], self.weights_name[role]
            accesses = -(-self.pe.pes * self.pe.weight_bits // memory.width_bits)
            if needed * accesses > memory.rows:
                self._problem(
                    f"the {role} need {needed * accesses} rows of {memory.width_bits} bits in each bank, "
                    f"'{name}' has {memory.banks} x {memory.rows}"
                )
        if spec.input_bits % self.pe.sets:
            self._problem(f"{spec.input_bits}-bit inputs do not split evenly over {self.pe.sets} PE sets")
        for name, needed, what in (
            (self.buffer_name, widths[FEATURES], "features"),
            (self.membranes_name, neurons, "membranes"),
            (self.spikes_name, neurons * self.steps, "spikes of all time steps"),
        ):
            if needed > registers[name].entries:
                self._problem(f"{needed} {what} do not fit the {registers[name].entries} entries of '{name}'")
        if registers[self.buffer_name].width_bits < spec.input_bits:
            self._problem(f"{spec.input_bits}-bit features do not fit the words of '{self.buffer_name}'")
        if self.steps > 1 and self.parallel:
            if self.pe.sets % self.steps:
                self._problem(
                    f"{self.steps} parallel time steps need a multiple of {self.steps} PE sets, "
                    f"'{self.pe_name}' has {self.pe.sets}"
                )
            if self.skip.merge_spikes and self.steps > 2:
                self._problem("merged spikes (Type C) shift by at most one place: two time steps, not more")

    def _rows_per_bank(self, role: str, inputs: int) -> int:
        """Return the rows that a group of neurons takes in each bank: the inputs are spread over the banks."""
        return -(-inputs // self.memory[role].banks)

    def _check_order(self) -> None:
        """The features are taken, and the result is given out, once per frame."""
        layers = self.workload.spec.layers
        readers = [layer.name for layer in layers if isinstance(layer, LifOp) and layer.input == FEATURES]
        if len(readers) > 1:
            self._problem(f"only one lif layer can read the features, found {', '.join(readers)}")
        early = [layer.name for layer in layers[:-1] if isinstance(layer, SpikeSumOp)]
        if early:
            self._problem(f"only the last layer can be a spike_sum, found {', '.join(early)}")

    def _only(self, kind: str) -> str:
        names = list(self.architecture.of_kind(kind))
        if len(names) != 1:
            self._problem(f"a spiking network needs exactly one component of kind {kind}, found {len(names)}")
        return names[0] if names else ""

    def _storing(self, what: str) -> str:
        stores = {
            spec.stores: name
            for kind in ("sram", "register_file")
            for name, spec in self.architecture.of_kind(kind).items()
        }
        if what not in stores:
            hint = did_you_mean(what, stores)
            self._problem(f"a spiking network needs a memory with 'stores: {what}'", hint)
        return stores.get(what, "")

    def _channel(self, producer: str, consumer: str) -> str:
        for channel in self.architecture.spec.channels:
            if (channel.from_, channel.to, channel.lockstep) == (producer, consumer, False):
                return channel.name()
        self._problem(f"a spiking network needs a bounded channel from '{producer}' to '{consumer}'")
        return f"{producer}->{consumer}"

    def _problem(self, message: str, hint: str | None = None) -> None:
        names = f"workload '{self.workload.spec.name}' on '{self.architecture.spec.name}'"
        self.problems.append(Problem(f"{names}: {message}", hint=hint))

    def _stop_on_problems(self) -> None:
        if self.problems:
            raise InputError(self.problems)
