"""State-space networks: kernels on crossbars that read their own state back, or on a digital array, and dense layers.

Every step of a kernel waits for the state of the step before. On a crossbar the state's registers drive the rows
together with the input, one read gives the next state and the last output, and the converters write the state back. A
digital array does the dense layers, and the kernels as well on a chip without a crossbar, one layer after the other.
"""

from __future__ import annotations

from types import MappingProxyType

from accelsim.architecture import Architecture
from accelsim.schedule.job import Job, Schedule
from accelsim.schedule.parts import Parts
from accelsim.schedule.ssm import KernelMap, map_kernels
from accelsim.schema.ssm import S4dOp
from accelsim.schema.workload import FEATURES, LinearOp
from accelsim.workload import Workload

ON_CROSSBAR = ("dac", "crossbar", "sample_hold", "adc")
CROSSBAR_ROLES = ("states", "outputs")


def schedule_state_space(workload: Workload, architecture: Architecture) -> Schedule:
    """Cut a network of state-space and dense layers into jobs; raises InputError when the chip cannot run it."""
    return _StateSpace(workload, architecture).schedule()


class _StateSpace:
    def __init__(self, workload: Workload, architecture: Architecture) -> None:
        self.workload = workload
        self.architecture = architecture
        self.parts = parts = Parts(workload, architecture, "state-space layers need")
        self.analogue = bool(architecture.of_kind("crossbar"))
        self.layers = [layer for layer in workload.spec.layers if isinstance(layer, S4dOp | LinearOp)]
        for layer in workload.spec.layers:
            if layer not in self.layers:
                parts.problem(f"layer '{layer.name}' ({layer.op}) cannot stand among state-space layers")
        kinds = ON_CROSSBAR if self.analogue else ()
        self.name = {kind: parts.only(kind) for kind in kinds}
        self.name |= {role: parts.storing(role) for role in ("features", "states")}
        if self.analogue:
            self.name["outputs"] = parts.storing("outputs")
        self.digital = self.weights = ""
        if not self.analogue or any(isinstance(layer, LinearOp) for layer in self.layers):
            self.digital, self.weights = parts.only("mac_array"), parts.storing("weights")
        self.readout = parts.only("accumulator")
        parts.stop_on_problems()
        self.maps = {one.layer: one for one in self._mapped()}
        self._check_fit()
        parts.stop_on_problems()

    def schedule(self) -> Schedule:
        """Return the jobs of one step: load, then the layers in order, then the sum of the readout."""
        readers: dict[str, list[str]] = {}  # layer -> first components of the layers that read it, or of the readout
        ends: dict[str, list[str]] = {FEATURES: [self.name["features"]]}  # layer -> components that give its outputs
        begins: dict[str, list[str]] = {}
        for layer in self.layers:
            crossbars = self.maps[layer.name].numbers() if layer.name in self.maps else ()
            states = [f"{self.name['states']}[{c}]" for c in crossbars]
            outputs = [f"{self.name['outputs']}[{c}]" for c in crossbars]
            begins[layer.name] = states or [self.digital]
            ends[layer.name] = outputs or [self.digital]
            readers.setdefault(layer.input, []).extend(begins[layer.name])
        last = self.layers[-1].name
        readers.setdefault(last, []).append(self.readout)

        def given(layer: str, by: str) -> tuple[str, ...]:
            return tuple(self.parts.channel(by, to) for to in dict.fromkeys(readers.get(layer, [])) if to != by)

        def taken(layer: str, to: str) -> tuple[str, ...]:
            return tuple(self.parts.channel(by, to) for by in ends[layer] if to != by)

        jobs = [Job("load", FEATURES, self.name["features"], gives=given(FEATURES, self.name["features"]), paced=True)]
        for layer in self.layers:
            if ends[layer.name] == [self.digital]:
                lockstep = (self.weights, self.name["states"]) if isinstance(layer, S4dOp) else (self.weights,)
                takes, gives = taken(layer.input, self.digital), given(layer.name, self.digital)
                work = MappingProxyType({"stage": "multiply"})
                jobs.append(Job(f"{layer.name}.multiply", layer.name, self.digital, lockstep, takes, gives, work=work))
                continue
            assert isinstance(layer, S4dOp)
            for place, (begin, end) in enumerate(zip(begins[layer.name], ends[layer.name], strict=True)):
                takes, gives = taken(layer.input, begin), given(layer.name, end)
                jobs += self._crossbar_jobs(self.maps[layer.name], place, takes, gives)
        work = MappingProxyType({"stage": "readout"})
        jobs.append(Job(f"{last}.readout", last, self.readout, takes=taken(last, self.readout), last=True, work=work))
        self.parts.stop_on_problems()
        return Schedule(tuple(jobs), kernel_maps=tuple(self.maps.values()))

    def _crossbar_jobs(self, lies: KernelMap, place: int, takes: tuple[str, ...], gives: tuple[str, ...]) -> list[Job]:
        """Return the jobs of a layer's crossbar: drive the rows, read, convert, write the state back, give the outputs.

        ``place``: its number within the layer.
        """
        crossbar = lies.numbers()[place]
        kernels = min(lies.per_crossbar, lies.kernels - place * lies.per_crossbar)
        on = {what: f"{self.name[what]}[{crossbar}]" for what in (*ON_CROSSBAR, *CROSSBAR_ROLES)}
        to_rows = self.parts.channel(on["states"], on["crossbar"])
        to_converters = self.parts.channel(on["crossbar"], on["adc"])
        back, out = (self.parts.channel(on["adc"], on[role]) for role in CROSSBAR_ROLES)
        plan = (
            ("drive", (on["states"],), takes, (to_rows,)),
            ("read", (on["crossbar"], on["dac"], on["sample_hold"]), (to_rows,), (to_converters,)),
            ("convert", (on["adc"],), (to_converters,), (back, out)),
            ("latch", (on["states"],), (back,), ()),
            ("output", (on["outputs"],), (out,), gives),
        )
        return [
            Job(
                f"{lies.layer}[{crossbar}].{stage}", lies.layer, members[0], members[1:], taken, given,
                work=MappingProxyType({"stage": stage, "place": place, "kernels": kernels}),
            )
            for stage, members, taken, given in plan
        ]  # fmt: skip

    def _mapped(self) -> list[KernelMap]:
        """Lay the kernels onto the chip's crossbars, if it has any."""
        if not self.analogue:
            return []
        crossbar = self.architecture.of_kind("crossbar")[self.name["crossbar"]]
        return map_kernels(
            [(layer.name, layer.kernels, layer.states) for layer in self.layers if isinstance(layer, S4dOp)],
            rows=crossbar.rows,
            columns=crossbar.columns,
            crossbars=crossbar.tiles,
        )

    def _check_fit(self) -> None:
        registers = self.architecture.of_kind("register_file")
        kernels = [layer for layer in self.layers if isinstance(layer, S4dOp)]
        if self.analogue:
            self._check_crossbars(kernels)
        else:
            needed = sum(2 * layer.states * layer.kernels for layer in kernels)
            self._check_entries(self.name["states"], needed, "states")
        widest = max((layer.code_bits for layer in kernels), default=0)
        if registers[self.name["states"]].width_bits < widest:
            self.parts.problem(f"{widest}-bit states do not fit the words of '{self.name['states']}'")
        width = self.workload.spec.inputs.width()
        self._check_entries(self.name["features"], width, "features")
        if self.digital:
            dense = [layer for layer in self.layers if isinstance(layer, LinearOp)]
            weights = sum(self.workload.spec.inputs_of(layer) * layer.outputs for layer in dense)
            weights += 0 if self.analogue else sum(6 * layer.states * layer.kernels for layer in kernels)
            self._check_entries(self.weights, weights, "weights")
            array = self.architecture.of_kind("mac_array")[self.digital]
            for layer in dense if self.analogue else self.layers:
                bits = layer.input_bits if isinstance(layer, LinearOp) else layer.code_bits
                for what, has, takes in (
                    ("weights", layer.weight_bits, array.weight_bits),
                    ("inputs", bits, array.input_bits),
                ):
                    if has > takes:
                        self.parts.problem(
                            f"layer '{layer.name}' has {has}-bit {what}, '{self.digital}' takes {takes} bits"
                        )

    def _check_entries(self, name: str, needed: int, what: str) -> None:
        entries = self.architecture.of_kind("register_file")[name].entries
        if needed > entries:
            self.parts.problem(f"{needed} {what} do not fit the {entries} entries of '{name}'")

    def _check_crossbars(self, kernels: list[S4dOp]) -> None:
        dac, adc = (self.architecture.of_kind(kind)[self.name[kind]] for kind in ("dac", "adc"))
        for layer in kernels:
            together = min(self.maps[layer.name].per_crossbar, layer.kernels)
            pairs = together * (2 * layer.states + 1)
            self._check_entries(self.name["states"], pairs, f"states and inputs of layer '{layer.name}'")
            self._check_entries(self.name["outputs"], together, f"outputs of layer '{layer.name}'")
            if adc.units * adc.shared_by < pairs:
                self.parts.problem(
                    f"{adc.units} converters shared by {adc.shared_by} serve {adc.units * adc.shared_by} of the "
                    f"{pairs} pairs of columns of layer '{layer.name}'"
                )
            if dac.units < 2 * pairs:
                self.parts.problem(
                    f"'{self.name['dac']}' drives {dac.units} of {2 * pairs} rows of layer '{layer.name}'"
                )
            bits = adc.precision_bits + adc.range_bits
            for what, has in ((self.name["dac"], dac.bits), (self.name["adc"], bits)):
                if has != layer.code_bits:
                    self.parts.problem(f"layer '{layer.name}' has codes of {layer.code_bits} bits, '{what}' of {has}")
        if dac.mode != "amplitude":
            self.parts.problem(f"states are fed back as one voltage each: '{self.name['dac']}' must be 'amplitude'")
