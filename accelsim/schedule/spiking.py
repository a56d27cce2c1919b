"""Recurrent spiking networks on sets of accumulate-only PEs with zero skipping.

The schedule is that of the 28 nm chip (arXiv 2503.21337): one matrix after the other, 128 neurons (a group) at a
time, the whole datapath in lock-step, one row per step.
"""

from __future__ import annotations

from types import MappingProxyType

from accelsim.architecture import Architecture
from accelsim.components.pe_array import PeArray
from accelsim.components.sram import Sram
from accelsim.kernels.fixed_point import signed_range
from accelsim.schedule.job import Job, Schedule
from accelsim.schedule.parts import Parts
from accelsim.schema.workload import FEATURES, LifOp, SpikeSumOp
from accelsim.workload import Workload

Work = dict[str, int | str | bool]


def schedule_spiking(workload: Workload, architecture: Architecture) -> Schedule:
    """Cut a spiking network into jobs; raises InputError when the chip lacks a part or the network does not fit."""
    return _Spiking(workload, architecture).schedule()


class _Spiking:
    def __init__(self, workload: Workload, architecture: Architecture) -> None:
        self.workload = workload
        self.architecture = architecture
        self.parts = parts = Parts(workload, architecture, "a spiking network needs")
        self.steps = workload.spec.time_steps
        self.layers = [layer for layer in workload.spec.layers if isinstance(layer, LifOp | SpikeSumOp)]
        for layer in workload.spec.layers:
            if layer not in self.layers:
                parts.problem(f"layer '{layer.name}' ({layer.op}) does not run on spike-driven PEs")
        self.pe_name = parts.only("pe_array")
        self.skip_name = parts.only("zero_skip")
        self.bus_name = parts.only("bus")
        self.lif_name = parts.only("lif")
        self.readout_name = parts.only("accumulator")
        self.controller_name = parts.only("controller")
        self.buffer_name = parts.storing("features")
        self.membranes_name = parts.storing("membranes")
        self.spikes_name = parts.storing("spikes")
        self.weights_name = {
            role: parts.storing(role) for role in ("input_weights", "recurrent_weights", "readout_weights")
        }
        self.parts.stop_on_problems()
        self.pe: PeArray = architecture.of_kind("pe_array")[self.pe_name]
        self.skip = architecture.of_kind("zero_skip")[self.skip_name]
        self.parallel = architecture.of_kind("controller")[self.controller_name].time_steps == "parallel"
        self.lif = architecture.of_kind("lif")[self.lif_name]
        self.memory: dict[str, Sram] = {
            role: architecture.of_kind("sram")[name] for role, name in self.weights_name.items()
        }
        self._check_fit()
        self.parts.stop_on_problems()

    def schedule(self) -> Schedule:
        """Return the jobs: load, then per layer its matrices and its neurons, then the readout."""
        to_datapath = self.parts.channel(self.buffer_name, self.skip_name)
        to_neurons = self.parts.channel(self.pe_name, self.lif_name)
        from_neurons = self.parts.channel(self.spikes_name, self.skip_name)
        to_readout = self.parts.channel(self.pe_name, self.readout_name)
        jobs = [Job("load", FEATURES, self.buffer_name, gives=(to_datapath,), paced=True)]
        for layer in self.layers:
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
        self.parts.stop_on_problems()
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
        cut = MappingProxyType({"matrix": name, **work, "groups": groups, "accesses_per_row": accesses})
        return Job(f"{layer.name}.{name}", layer.name, self.pe_name, lockstep, takes, gives, work=cut)

    def _check_fit(self) -> None:
        spec, widths = self.workload.spec, {FEATURES: self.workload.spec.inputs.width()}
        registers = self.architecture.of_kind("register_file")
        rows = dict.fromkeys(self.weights_name, 0)
        neurons = 0
        if not self.layers or not isinstance(self.layers[-1], SpikeSumOp):
            self.parts.problem("the network must end in a spike_sum layer")
        self._check_order()
        selected = self.skip.units * self.skip.width
        for layer in self.layers:
            widths[layer.name] = layer.neurons
            inputs = max(widths[layer.input], layer.neurons if isinstance(layer, LifOp) else 0)
            if inputs > selected:
                self.parts.problem(
                    f"layer '{layer.name}' has {inputs} inputs, "
                    f"'{self.skip_name}' selects among {self.skip.units} x {self.skip.width}"
                )
            groups = -(-layer.neurons // self.pe.pes)
            if layer.weight_bits > self.pe.weight_bits:
                self.parts.problem(
                    f"layer '{layer.name}' has {layer.weight_bits}-bit weights, "
                    f"the PEs of '{self.pe_name}' take {self.pe.weight_bits}"
                )
            if isinstance(layer, LifOp):
                neurons += layer.neurons
                if layer.threshold > signed_range(self.lif.membrane_bits)[1]:
                    self.parts.problem(
                        f"threshold {layer.threshold} of layer '{layer.name}' does not fit "
                        f"the {self.lif.membrane_bits}-bit membranes of '{self.lif_name}'"
                    )
                role = "input_weights" if layer.input == FEATURES else "recurrent_weights"
                rows[role] += self._rows_per_bank(role, widths[layer.input]) * groups
                rows["recurrent_weights"] += self._rows_per_bank("recurrent_weights", layer.neurons) * groups
            else:
                rows["readout_weights"] += self._rows_per_bank("readout_weights", widths[layer.input]) * groups
                if layer.input == FEATURES:
                    self.parts.problem(f"layer '{layer.name}' (spike_sum) reads features, it needs spikes")
        for role, needed in rows.items():
            memory, name = self.memory[role], self.weights_name[role]
            accesses = -(-self.pe.pes * self.pe.weight_bits // memory.width_bits)
            if needed * accesses > memory.rows:
                self.parts.problem(
                    f"the {role} need {needed * accesses} rows of {memory.width_bits} bits in each bank, "
                    f"'{name}' has {memory.banks} x {memory.rows}"
                )
        if spec.input_bits % self.pe.sets:
            self.parts.problem(f"{spec.input_bits}-bit inputs do not split evenly over {self.pe.sets} PE sets")
        for name, needed, what in (
            (self.buffer_name, widths[FEATURES], "features"),
            (self.membranes_name, neurons, "membranes"),
            (self.spikes_name, neurons * self.steps, "spikes of all time steps"),
        ):
            if needed > registers[name].entries:
                self.parts.problem(f"{needed} {what} do not fit the {registers[name].entries} entries of '{name}'")
        if registers[self.buffer_name].width_bits < spec.input_bits:
            self.parts.problem(f"{spec.input_bits}-bit features do not fit the words of '{self.buffer_name}'")
        if self.steps > 1 and self.parallel:
            if self.pe.sets % self.steps:
                self.parts.problem(
                    f"{self.steps} parallel time steps need a multiple of {self.steps} PE sets, "
                    f"'{self.pe_name}' has {self.pe.sets}"
                )
            if self.skip.merge_spikes and self.steps > 2:
                self.parts.problem("merged spikes (Type C) shift by at most one place: two time steps, not more")

    def _rows_per_bank(self, role: str, inputs: int) -> int:
        """Return the rows that a group of neurons takes in each bank: the inputs are spread over the banks."""
        return -(-inputs // self.memory[role].banks)

    def _check_order(self) -> None:
        """The features are taken, and the result is given out, once per frame."""
        layers = self.layers
        readers = [layer.name for layer in layers if isinstance(layer, LifOp) and layer.input == FEATURES]
        if len(readers) > 1:
            self.parts.problem(f"only one lif layer can read the features, found {', '.join(readers)}")
        early = [layer.name for layer in layers[:-1] if isinstance(layer, SpikeSumOp)]
        if early:
            self.parts.problem(f"only the last layer can be a spike_sum, found {', '.join(early)}")
