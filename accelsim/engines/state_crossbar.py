"""State-space kernels on crossbars that read their own state back (arXiv 2412.20215).

Every step of a kernel waits for the state of the step before. The state's registers drive the rows together with the
input, one read gives the next state and the last output, and the converters write the state back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from accelsim.components import ComponentSpec
from accelsim.components.abstract import AdcTransfer, Converter
from accelsim.components.crossbar import Crossbar
from accelsim.components.dac import Dac
from accelsim.components.register_file import RegisterFile
from accelsim.components.sample_hold import SampleHold
from accelsim.devices import WHOLE_NUMBERS, Device
from accelsim.engines.cells import Cells, array_model, check_wires, first_tile, noise_model, read_variance
from accelsim.engines.engine import Assignment, Counts, Engine, Grid, Macs, Run, Tell, Wires
from accelsim.engines.kernel_map import map_kernels, too_large
from accelsim.engines.readout import READOUT, Readout, check_sums, check_word, readout_counts, readout_job
from accelsim.inputs import Batch
from accelsim.kernels.converter_errors import Assigned, converters_of_columns
from accelsim.kernels.crossbar import PLANES_PER_TILE
from accelsim.kernels.read_noise import SILENT, ReadNoise
from accelsim.kernels.ssm import Recurrence
from accelsim.ops.op import Edge, Op, Signal
from accelsim.ops.s4d import MACS_PER_STATE, S4dOp
from accelsim.placement import ENGINES, Parts, Problems, Role, of_class
from accelsim.schedule.job import Job, Work

_IN_TILES = ("driver", "sample_hold", "converter", "states", "outputs")
"""Roles of which every crossbar has a tile of its own."""


@dataclass(frozen=True)
class OnCrossbar(Work):
    """Work on the ``kernels`` of one crossbar, which is number ``place`` of its layer."""

    place: int
    kernels: int


class Drive(OnCrossbar):
    """The registers take the input and drive the rows with it and with the state."""

    stage: ClassVar[str] = "drive"


class Read(OnCrossbar):
    """The crossbar is read, and its columns are sampled."""

    stage: ClassVar[str] = "read"


class Convert(OnCrossbar):
    """Every pair of columns is converted."""

    stage: ClassVar[str] = "convert"


class Latch(OnCrossbar):
    """The next state goes back into its registers."""

    stage: ClassVar[str] = "latch"


class Output(OnCrossbar):
    """The outputs are put into their registers."""

    stage: ClassVar[str] = "output"


def registers(what: str) -> Role:
    """Return the role of registers that store something: all of them can be read at the same time."""
    return Role(f"registers with 'stores: {what}'", lambda spec: isinstance(spec, RegisterFile) and spec.stores == what)


def _reads_state_back(spec: ComponentSpec) -> bool:
    return isinstance(spec, Crossbar) and spec.sign == "neighbours"


class StateCrossbar(Engine):
    """Crossbars with whole kernels along their diagonals, `accelsim.kernels.ssm`, and the registers of their state."""

    kind = "state_crossbar"
    runs = (S4dOp,)
    roles = {
        "crossbar": Role("a crossbar with 'sign: neighbours'", _reads_state_back),
        "driver": of_class("digital-to-analogue converters", Dac),
        "sample_hold": of_class("sample-and-hold", SampleHold),
        "converter": of_class("analogue-to-digital converters", Converter),
        "states": registers("states"),
        "outputs": registers("outputs"),
        "readout": READOUT,
    }
    needs = (frozenset({"crossbar", *_IN_TILES}),)
    lockstep = (("driver", "crossbar"), ("crossbar", "sample_hold"))
    flows = (
        ("states", "crossbar"), ("crossbar", "converter"), ("converter", "states"), ("converter", "outputs"),
        ("outputs", "readout"),
    )  # fmt: skip
    entries = ("states",)
    exits = ("outputs",)

    def __init__(self, assignment: Assignment, problems: Problems) -> None:
        super().__init__(assignment, problems)
        self.crossbar: Crossbar = self.parts.spec("crossbar")
        self.layers: dict[str, S4dOp] = {op.name: op for op in self.ops if isinstance(op, S4dOp)}
        maps = map_kernels(
            [(op.name, op.kernels, op.states) for op in self.layers.values()],
            rows=self.crossbar.rows,
            columns=self.crossbar.columns,
        )
        self.maps = {mapping.layer: mapping for mapping in maps}
        check_wires(self.crossbar, self.parts.spec("driver"), self.problems, self.at("crossbar", "wires", "undriven"))
        self._check_settings()
        self._check_tiles()
        for op in self.layers.values():
            self._check_fit(op)
            if self.reads_out(op):
                check_word(op, op.code_bits, self)

    @classmethod
    def refuses(cls, op: Op, read: Sequence[Edge], given: Edge, parts: Parts) -> str | None:
        assert isinstance(op, S4dOp)
        crossbar, driver, converter = (parts.spec(role) for role in ("crossbar", "driver", "converter"))
        if driver.mode != "amplitude":
            return f"states are fed back as one voltage each: '{parts.name('driver')}' must be 'amplitude'"
        for role, bits in (("driver", driver.bits), ("converter", converter.resolution())):
            if bits != op.code_bits:
                return f"it has codes of {op.code_bits} bits, '{parts.name(role)}' of {bits}"
        reason = too_large(op.states, rows=crossbar.rows, columns=crossbar.columns)
        return reason and f"'{parts.name('crossbar')}': {reason}"

    def cell_bytes(self) -> int:
        # An array at a time, of which `Recurrence` keeps what it needs: its cells, and behind wires how rows see rows.
        rows, columns = self.crossbar.rows, self.crossbar.columns
        behind = 0 if isinstance(self.crossbar.wires, str) else 4 * rows * rows * 8
        return 2 * rows * columns * 60 + behind

    def takers(self, op: Op) -> tuple[str, ...]:
        return self._copies("states", op)

    def givers(self, op: Op) -> tuple[str, ...]:
        return self._copies("outputs", op)

    def reads_out(self, op: Op) -> bool:
        """Return whether an accumulator adds up what an op gives."""
        return op is self.graph.last and "readout" in self.parts

    def _copies(self, role: str, op: Op) -> tuple[str, ...]:
        """Return the tiles of a role that a layer's crossbars have."""
        return tuple(f"{self.parts.name(role)}[{number}]" for number in self.maps[op.name].numbers())

    def jobs(self, ops: Sequence[Op], wires: Wires) -> list[Job]:
        jobs: list[Job] = []
        for op in ops:
            ends = op is self.graph.last
            if ends and "readout" not in self.parts and self.maps[op.name].crossbars > 1:
                self.problems.add(
                    f"layer '{op.name}' ends a frame on {self.maps[op.name].crossbars} crossbars of '{self.name}': it "
                    f"needs {READOUT.what} for 'readout', which takes the outputs of them all"
                )
            summed = self.reads_out(op)
            for place in range(self.maps[op.name].crossbars):
                jobs += self._crossbar_jobs(op, place, wires, summed, ends and not summed)
            if summed:
                name = self.parts.name("readout")
                takes = tuple(wires.inside(giver, name) for giver in self.givers(op))
                width = self.graph.edges[op.name].width
                jobs.append(readout_job(op, width, name, self.parts.spec("readout"), takes))
        return jobs

    def _crossbar_jobs(self, op: Op, place: int, wires: Wires, summed: bool, last: bool) -> list[Job]:
        """Return the jobs of a layer's crossbar: drive the rows, read, convert, write the state back, give the outputs.

        ``place``: its number within the layer; ``summed``: whether the outputs go on to the readout.
        """
        mapping = self.maps[op.name]
        number = mapping.numbers()[place]
        kernels = min(mapping.per_crossbar, mapping.kernels - place * mapping.per_crossbar)
        on = {role: f"{self.parts.name(role)}[{number}]" for role in ("crossbar", *_IN_TILES)}
        to_rows = wires.inside(on["states"], on["crossbar"])
        to_converters = wires.inside(on["crossbar"], on["converter"])
        back, out = (wires.inside(on["converter"], on[role]) for role in ("states", "outputs"))
        takes, gives = wires.taken(op.name, on["states"]), wires.given(op.name, on["outputs"])
        if summed:
            gives = (*gives, wires.inside(on["outputs"], self.parts.name("readout")))
        plan: list[tuple[type[OnCrossbar], tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = [
            (Drive, ("states",), takes, (to_rows,)),
            (Read, ("crossbar", "driver", "sample_hold"), (to_rows,), (to_converters,)),
            (Convert, ("converter",), (to_converters,), (back, out)),
            (Latch, ("states",), (back,), ()),
            (Output, ("outputs",), (out,), gives),
        ]
        return [
            Job.of(
                f"{op.name}[{number}].{work.stage}", op.name, [(role, on[role]) for role in roles],
                work(place, kernels), takes=taken, gives=given, last=last and work is Output,
            )
            for work, roles, taken, given in plan
        ]  # fmt: skip

    def errors(self, op: S4dOp, seed: int, first_tile: int) -> Assigned | None:
        """Return what the converters of a layer's crossbars do wrong, and which converts a pair of columns.

        ``first_tile``: number in draws of the layer's first crossbar.
        """
        mapping, converter = self.maps[op.name], self.parts.spec("converter")
        tiles = np.arange(mapping.crossbars)
        measured = self.chip.converters.get(self.parts.name("converter"))
        errors = converter.imperfections(seed, first_tile + tiles, mapping.first_crossbar + tiles, measured)
        if errors is None:
            return None
        pairs = mapping.per_crossbar * (2 * op.states + 1)
        columns = converters_of_columns(
            mapping.crossbars, 1, pairs, tile_columns=pairs, units=converter.units, shared_by=converter.shared_by
        )
        return Assigned(errors, columns)

    def tables(self) -> list[list[dict[str, Any]]]:
        return [[mapping.row() for mapping in self.maps.values()]]

    def _check_settings(self) -> None:
        """Refuse settings of the parts that would have no effect here."""
        add, crossbar, name = self.problems.add, self.crossbar, self.parts.name("crossbar")
        converter: Converter = self.parts.spec("converter")
        transfer = converter.transfer({})
        if not isinstance(transfer, AdcTransfer):
            add(
                f"'{self.parts.name('converter')}' ({converter.kind}) has a transfer function of its own, a state goes "
                "back rounded to the nearest code"
            )
        elif transfer.ideal:
            add(
                f"'{self.parts.name('converter')}' is 'ideal: true': a state that goes back without being rounded to a "
                "code is not modelled"
            )
        if crossbar.planes != 1:
            add(f"'{name}' has {crossbar.planes} planes: a weight lies in cells of all its bits, which take one")
        for op in self.layers.values():
            if "cell_bits" in crossbar.model_fields_set and crossbar.cell_bits != op.cell_bits():
                add(
                    f"'{name}' has 'cell_bits: {crossbar.cell_bits}', and a weight of layer '{op.name}' lies whole in "
                    f"{_and(op.bits().cells())}-bit cells: weights are not cut into slices here",
                    "leave 'cell_bits' out",
                )

    def _check_fit(self, op: S4dOp) -> None:
        """Note what one crossbar of a layer needs more of than there is in a tile."""
        mapping, layer = self.maps[op.name], f"layer '{op.name}'"
        together = min(mapping.per_crossbar, op.kernels)
        pairs = together * (2 * op.states + 1)
        add, name, spec = self.problems.add, self.parts.name, self.parts.spec
        if self.rows_in(op.name) != 1:
            add(f"{layer} makes {self.rows_in(op.name)} rows in a frame, '{self.name}' makes one")
        for role, needed, what in (("states", pairs, "states and inputs"), ("outputs", together, "outputs")):
            if needed > spec(role).entries:
                add(f"{needed} {what} of {layer} do not fit the {spec(role).entries} entries of '{name(role)}'")
            if op.code_bits > spec(role).width_bits:
                add(f"{op.code_bits}-bit {role} do not fit the words of '{name(role)}'")
        converter = spec("converter")
        if converter.units * converter.shared_by < pairs:
            add(
                f"{converter.units} converters shared by {converter.shared_by} serve "
                f"{converter.units * converter.shared_by} of the {pairs} pairs of columns of {layer}",
                at=("components", name("converter")),
            )
        if spec("driver").units < 2 * pairs:
            add(f"'{name('driver')}' drives {spec('driver').units} of {2 * pairs} rows of {layer}")
        if spec("sample_hold").units < pairs:
            add(f"'{name('sample_hold')}' samples {spec('sample_hold').units} of {pairs} pairs of columns of {layer}")

    def _check_tiles(self) -> None:
        needed = sum(mapping.crossbars for mapping in self.maps.values())
        if needed > self.crossbar.tiles:
            size = f"{self.crossbar.rows} x {self.crossbar.columns}"
            message = f"the kernels need {needed} crossbars of {size}, the chip has {self.crossbar.tiles}"
            self.problems.add(message, at=("components", self.parts.name("crossbar")))
        for role in _IN_TILES:
            if (tiles := self.parts.spec(role).tiles) < needed:
                name = self.parts.name(role)
                self.problems.add(f"the kernels need {needed} crossbars, '{name}' stands in {tiles} tiles")

    def start(self, batch: Batch, seed: int, tell: Tell) -> StateRun:
        return StateRun(self, seed, tell)


class StateRun(Run):
    """One run of the crossbars: every layer's cells are written, then it runs over all steps."""

    def __init__(self, engine: StateCrossbar, seed: int, tell: Tell) -> None:
        super().__init__()
        self.engine, self.seed, self.tell = engine, seed, tell
        self.temperature = engine.chip.spec.technology.temperature
        self.noise = ReadNoise(noise_model(engine.crossbar), self.temperature, engine.crossbar.read_time)
        self.ran: dict[str, Recurrence] = {}
        name = engine.parts.name("crossbar")
        self.cells = self._cells(engine.chip.devices[name])
        self.tallies.drops[name] = self.cells.drops

    def _cells(self, device: Device) -> Cells:
        """Return fresh cells of a device on the crossbars."""
        first = first_tile(self.engine.chip, self.engine.parts.name("crossbar"))
        return Cells(self.engine.crossbar, device, self.seed, first, self.temperature)

    def values(self, ops: Sequence[Op], signals: dict[str, Signal]) -> None:
        for op in ops:
            self.tell(op.name)
            ran, self.tallies.clamped[op.name] = self._layer(op, signals, self.cells, self.noise)
            self.ran[op.name] = ran
            conversions = len(ran.outputs) * self.engine.maps[op.name].conversions_per_step
            self.tallies.conversions[op.name] = conversions, int(ran.saturated.sum())
            if self.engine.reads_out(op):
                check_sums(signals[op.name], self.engine)
        self.tallies.programming = self.cells.programming()

    def exact(self, ops: Sequence[Op], signals: dict[str, Signal]) -> None:
        """Compute the layers on ideal cells: the recurrence in whole numbers."""
        for op in ops:
            self._layer(op, signals, self._cells(WHOLE_NUMBERS), SILENT)

    def _layer(self, op: Op, signals: dict[str, Signal], cells: Cells, noise: ReadNoise) -> tuple[Recurrence, int]:
        """Run a layer on fresh cells, and put the codes of its outputs into ``signals``.

        Returns its recurrence, and how many inputs were clamped.
        """
        assert isinstance(op, S4dOp)
        crossbar, source = self.engine.crossbar, signals[op.input]
        device, exact = cells.device, cells.device is WHOLE_NUMBERS
        place = self.engine.maps[op.name].first_crossbar
        tile = cells.first_tile + place
        words, clamped = op.words(np.asarray(source.values))
        try:
            curves = device.curves(crossbar.read_voltage, op.cell_bits())
            recurrence = op.recur(
                words,
                source.starts,
                self.engine.tensors,
                cells.programmer(op.cell_bits()),
                curves,
                voltage=crossbar.read_voltage,
                first_array=2 * PLANES_PER_TILE * cells.first_tile + place,
                model=None if exact else array_model(crossbar, device, op.cell_bits(), self.seed, cells.drops),
                terms=device.current_terms(crossbar.read_voltage),
                read_variance=read_variance(device, crossbar, curves, self.temperature),
                noise=noise,
                rows=crossbar.rows,
                columns=crossbar.columns,
                errors=None if exact else self.engine.errors(op, self.seed, tile),
                seed=self.seed,
                first_tile=tile,
            )
        except ValueError as error:
            raise ValueError(f"layer '{op.name}': {error}") from None
        signals[op.name] = Signal(recurrence.outputs, source.starts, self.engine.graph.edges[op.name])
        if self.engine.graph.last_reader[op.input] == op.name:
            signals.pop(op.input)
        return recurrence, clamped

    def count(self, job: Job, grid: Grid) -> tuple[Mapping[str, Counts], Macs | None]:
        work = job.work
        if isinstance(work, Readout):
            return readout_counts(work, grid), None
        assert isinstance(work, OnCrossbar)
        op = self.engine.layers[job.layer]
        states = 2 * op.states * work.kernels
        pairs = states + work.kernels

        def counts(**values: int) -> Counts:
            return {name: np.full(grid.frames, value, np.int64) for name, value in values.items()}

        if isinstance(work, Drive):
            return {"states": counts(read=states, write=work.kernels)}, None
        if isinstance(work, Read):
            power = np.rint(self.ran[job.layer].watts[:, work.place] * 1e9).astype(np.int64)
            macs = grid.frames * MACS_PER_STATE * op.states * work.kernels
            return {
                "crossbar": {**counts(phases=1), "read_nanowatt": power},
                "driver": counts(phases=1, drive=2 * pairs),
                "sample_hold": counts(phases=1, sample=pairs),
            }, Macs(macs, macs)
        if isinstance(work, Convert):
            return {"converter": counts(convert=pairs)}, None
        if isinstance(work, Latch):
            return {"states": counts(write=states)}, None
        return {"outputs": counts(write=work.kernels)}, None


def _and(bits: tuple[int, ...]) -> str:
    """Return the different numbers of bits in words: 1; 1 and 3; 1, 2 and 3."""
    *most, last = (str(n) for n in sorted(set(bits)))
    return f"{', '.join(most)} and {last}" if most else last


ENGINES.register("state_crossbar", StateCrossbar)
