"""Matrices on crossbar tiles: cut, padded and bit-sliced; every tile has drivers, converters and adders of its own.

Dense layers, convolutions by their unrolled matrix, and depthwise convolutions, whose columns have inputs of their own.
A matrix takes four steps, which work on different frames at the same time: deliver (inputs into the tiles' registers),
read, convert (a phase is converted while the next one is read), and send the sums. Alone, every tile is a unit that
works on its own; a bus or a mesh joins the tiles, and one accumulator adds what they send. In clusters, with a vector
unit and activation memory, all tiles of a copy work together, and deliver and collect also make codes of values, and
values of sums.

A recurrent layer has its two matrices on tiles of their own, which are read together: inputs are delivered, then the
sums are collected, the vector unit makes the gates, and the new state is written into the registers of the recurrent
matrix. Those registers lead both deliveries, so that the next step's waits for the state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from accelsim.components.abstract import AdcTransfer, Converter, Interconnect
from accelsim.components.accumulator import Accumulator
from accelsim.components.crossbar import Crossbar
from accelsim.components.dac import Dac
from accelsim.components.sample_hold import SampleHold
from accelsim.components.shift_add import ShiftAdd
from accelsim.components.vector_unit import VectorUnit
from accelsim.engines.cells import Cells, check_wires, first_tile, tiles_bytes
from accelsim.engines.cluster import CODE_BITS, Cluster
from accelsim.engines.engine import Assignment, Counts, Engine, Grid, Macs, Run, Tell, Wires
from accelsim.errors import InputError, did_you_mean
from accelsim.inputs import Batch
from accelsim.kernels import converters
from accelsim.kernels.conv import Starts
from accelsim.kernels.conversion import Product, Words
from accelsim.kernels.converter_errors import Assigned, converters_of_columns
from accelsim.kernels.converters import dac_codes
from accelsim.kernels.crossbar import Sign, Tiles, planes_of
from accelsim.kernels.product import multiply, multiply_depthwise
from accelsim.kernels.read_power import depthwise_power, read_power
from accelsim.ops.attention import PositionsOp
from accelsim.ops.conv import ConvOp, DepthwiseOp
from accelsim.ops.op import (
    ANY_LENGTH,
    EXACT,
    Datapath,
    DatapathOp,
    Edge,
    Op,
    Signal,
    WeightedOp,
    evaluate,
    largest_weight,
)
from accelsim.ops.recurrent import RecurrentOp, steps
from accelsim.placement import ENGINES, Parts, Problems, Role, of_class, stores
from accelsim.schedule.job import Job, Work, part_of
from accelsim.schedule.mapping import Matrix, TileMap, TileMapping, map_matrices
from accelsim.schedule.windows import FrameWindow
from accelsim.schema.placement import PlacementSpec
from accelsim.schema.source import Key, Location

HUB = 0
"""The tile at whose router the source of the inputs and the accumulator are, on a mesh."""

_CLUSTERED = frozenset({"vector", "activations"})
_TILE = frozenset(
    {"crossbar", "driver", "sample_hold", "converter", "shift_add", "accumulator", "tile_inputs", "network"}
)  # fmt: skip
_IN_TILES = ("driver", "sample_hold", "shift_add", "tile_inputs", "crossbar")
"""Parts that stand in every tile, whatever the converters."""


@dataclass(frozen=True)
class TileWork(Work):
    """Work of one tile, at a row and a column of its matrix, or of all tiles of a copy."""

    row_tile: int | None = None
    column_tile: int | None = None

    def row(self) -> dict[str, Any]:
        place = {} if self.row_tile is None else {"row": self.row_tile, "column": self.column_tile}
        return {"stage": self.stage, **place}


@dataclass(frozen=True)
class Deliver(TileWork):
    """Inputs are written into the registers of tiles."""

    stage: ClassVar[str] = "deliver"


@dataclass(frozen=True)
class Read(TileWork):
    """The rows are driven for one phase, and the columns sampled."""

    stage: ClassVar[str] = "read"


@dataclass(frozen=True)
class ReadStep(Read):
    """The same for a step of a recurrent layer; ``place``: of its row within a frame, ``round``: of its products."""

    place: int = 0
    round: int = 0


@dataclass(frozen=True)
class Convert(TileWork):
    """The columns of a phase are converted, and their planes added."""

    stage: ClassVar[str] = "convert"


@dataclass(frozen=True)
class Send(TileWork):
    """The sums of a tile go to the accumulator."""

    stage: ClassVar[str] = "send"


@dataclass(frozen=True)
class Collect(TileWork):
    """The sums of all tiles of a layer are added, scaled and rounded."""

    stage: ClassVar[str] = "collect"


@dataclass(frozen=True)
class StepWork(Work):
    """A part of a step of a recurrent layer; ``place``: of its row within a frame, ``round``: of its products."""

    place: int
    round: int


@dataclass(frozen=True)
class DeliverStep(StepWork):
    """Codes are written into the registers of a matrix: inputs, or in later rounds what a gate leaves of the state."""

    stage: ClassVar[str] = "deliver"


@dataclass(frozen=True)
class CollectStep(StepWork):
    """The sums of both matrices' tiles are added."""

    stage: ClassVar[str] = "collect"


@dataclass(frozen=True)
class GatesStep(StepWork):
    """The vector unit makes the next state of the sums, or what the next product takes."""

    stage: ClassVar[str] = "gates"


@dataclass(frozen=True)
class StateStep(StepWork):
    """The new state is written into the registers of the recurrent matrix."""

    stage: ClassVar[str] = "state"


@dataclass(frozen=True)
class Sum(Work):
    """The partial sums of tiles below each other are added."""

    row_tiles: int


@dataclass(frozen=True)
class Group:
    """Tiles of one copy of a matrix that work together: (row, column) each; ``at``: how their parts are named."""

    at: str
    copy: int
    tiles: tuple[tuple[int, int], ...]
    number: int


class CrossbarTiles(Engine):
    """Tiles of memristor cells with drivers, converters and adders."""

    kind = "crossbar_tiles"
    runs = (WeightedOp, PositionsOp, RecurrentOp)
    roles: ClassVar[Mapping[str, Role]] = {
        "crossbar": Role(
            "a crossbar with 'sign: pair' or 'sign: offset'",
            lambda spec: isinstance(spec, Crossbar) and spec.sign != "neighbours",
        ),
        "driver": of_class("row drivers", Dac),
        "sample_hold": of_class("a sample-and-hold", SampleHold),
        "converter": of_class("converters", Converter, several=True),
        "shift_add": of_class("shift-and-add units", ShiftAdd),
        "accumulator": of_class("an accumulator", Accumulator),
        "network": of_class("a bus or a mesh", Interconnect),
        "tile_inputs": stores("tile_inputs"),
        "tile_outputs": stores("tile_outputs"),
        "vector": of_class("a vector unit", VectorUnit),
        "activations": stores("activations"),
    }
    needs = (_TILE | _CLUSTERED, _TILE | {"tile_outputs"})
    settings = frozenset({"copies", "converters", "adc"})
    lockstep = (
        ("crossbar", "driver"), ("crossbar", "sample_hold"), ("converter", "shift_add"), ("network", "tile_inputs"),
        ("network", "tile_outputs"), ("network", "accumulator"), ("vector", "tile_inputs"), ("vector", "accumulator"),
        ("activations", "tile_inputs"), ("activations", "accumulator"),
    )  # fmt: skip
    flows = (
        ("tile_inputs", "crossbar"), ("crossbar", "converter"), ("converter", "tile_outputs"),
        ("converter", "accumulator"), ("tile_outputs", "accumulator"),
    )  # fmt: skip
    entries = ("tile_inputs",)
    exits = ("accumulator",)

    def __init__(self, assignment: Assignment, problems: Problems) -> None:
        super().__init__(assignment, problems)
        self.crossbar: Crossbar = self.parts.spec("crossbar")
        self.driver: Dac = self.parts.spec("driver")
        self.network_part: Interconnect = self.parts.spec("network")
        self.cluster = Cluster(self) if self.parts.has(_CLUSTERED) else None
        if self.cluster is not None:
            self.number_bits = self.cluster.number_bits
        self.recurrent = {layer.name: op for op in self.ops if isinstance(op, RecurrentOp) for layer in op.layers()}
        self.map = self._map()
        self.maps = {mapping.matrix.name: mapping for mapping in self.map.mappings}
        depthwise = [name for name, mapping in self.maps.items() if mapping.matrix.depthwise]
        undriven = self.at("crossbar", "wires", "undriven")
        check_wires(self.crossbar, self.driver, self.problems, undriven, depthwise)
        if self.maps:
            self._check_tiles()
            if self.cluster is None:
                self._check_copies()
                self.check_order(self.parts.name("accumulator"), self.maps)

    @classmethod
    def refuses(cls, op: Op, read: Sequence[Edge], given: Edge, parts: Parts) -> str | None:
        if isinstance(op, PositionsOp):  # their vectors are made once, for the matrix that reads them
            return None if parts.has(_CLUSTERED) else "vectors of distances need a vector unit"
        assert isinstance(op, WeightedOp | RecurrentOp)
        if op.in_float():
            return f"it has float{op.weight_bits} weights, '{parts.name('crossbar')}' multiplies integers"
        if isinstance(op, RecurrentOp):
            return None if parts.has(_CLUSTERED) else "gates need a vector unit and a memory with 'stores: activations'"
        if op.gives == "real" and not parts.has(_CLUSTERED):
            what = "real numbers" if op.output is None else "codes that are rounded"
            return f"{what} need a vector unit and a memory with 'stores: activations'"
        dilation = op.dilation[0] if isinstance(op, ConvOp) else op.dilation if isinstance(op, DepthwiseOp) else 1
        if op.each_channel() and dilation > 1:
            return "the registers of a depthwise column hold the last rows, one for each tap: they cannot be dilated"
        return None

    def cell_bytes(self) -> int:
        device = self.chip.devices[self.parts.name("crossbar")]
        of_each = {name: tiles_bytes(self.crossbar, device, mapping) for name, mapping in self.maps.items()}
        # Matrices of recurrent layers stay; of the others one copy is there at a time.
        stay = sum(of_each[name] for name in self.recurrent)
        return stay + max((size for name, size in of_each.items() if name not in self.recurrent), default=0)

    def scratch_bytes(self, op: Op) -> float:
        if op.name not in self.maps:
            return 0.0
        mapping, given = self.maps[op.name], self.graph.edges[op.name]
        groups = mapping.row_tiles * mapping.column_tiles if self.cluster is None else 1
        # Of a vector its drives, as numbers and as codes, its sums, in two copies, and the power of its tiles.
        vector = 10 * mapping.matrix.inputs + 16 * mapping.matrix.outputs + 16 * groups
        return vector * (op.positions(given) if isinstance(op, WeightedOp) else 1) / given.stride

    def takers(self, op: Op) -> tuple[str, ...]:
        name = self.parts.name("tile_inputs")
        if self.cluster is not None:
            return (f"{name}[{op.name}]",)
        return tuple(f"{name}[{tile}]" for tile in self._mapping(op).tile_numbers())

    def givers(self, op: Op) -> tuple[str, ...]:
        name = self.parts.name("accumulator")
        return (name if self.cluster is None else f"{name}[{op.name}]",)

    def window(self, op: Op) -> FrameWindow:
        return self.frames_read(op)

    def tables(self) -> list[list[dict[str, Any]]]:
        return [cast(list[dict[str, Any]], self.map.table())]

    # Jobs

    def jobs(self, ops: Sequence[Op], wires: Wires) -> list[Job]:
        jobs: list[Job] = []
        for op in (op for op in ops if isinstance(op, WeightedOp | RecurrentOp)):
            if isinstance(op, RecurrentOp):
                jobs += self._step_by_step(op, wires)
                continue
            jobs += (self._tile_by_tile if self.cluster is None else self._together)(op, wires)
        return jobs

    def _tile_by_tile(self, op: WeightedOp, wires: Wires) -> list[Job]:
        """Return the jobs of every tile, and the sum of what they send."""
        mapping, accumulator = self._mapping(op), self.parts.name("accumulator")
        jobs, sent = [], []
        for group in self.groups(op):
            ((row, column),) = group.tiles
            place, copies = (row, column), {"copies": mapping.matrix.copies, "copy": group.copy}
            inputs, outputs = (f"{self.parts.name(role)}{group.at}" for role in ("tile_inputs", "tile_outputs"))
            converter = self._converter(op) + group.at
            to_rows = wires.inside(inputs, self.parts.name("crossbar") + group.at)
            to_outputs, to_sum = wires.inside(converter, outputs), wires.inside(outputs, accumulator)
            sent.append(to_sum)
            name = f"{op.name}{group.at}"
            there, back = self._way(HUB, group.number), self._way(group.number, HUB)
            jobs += [
                Job.of(f"{name}.deliver", op.name, [("tile_inputs", inputs), *there], Deliver(*place),
                       takes=wires.taken(op.name, inputs), gives=(to_rows,), **copies),
                *self._conversions(op, name, group, place, to_rows, to_outputs, wires),
                Job.of(f"{name}.send", op.name, [("tile_outputs", outputs), *back], Send(*place),
                       takes=(to_outputs,), gives=(to_sum,), **copies),
            ]  # fmt: skip
        jobs.append(
            Job.of(f"{op.name}.sum", op.name, [("accumulator", accumulator)], Sum(mapping.row_tiles), takes=tuple(sent),
                   gives=wires.given(op.name, accumulator), last=op is self.graph.last)
        )  # fmt: skip
        return jobs

    def _together(self, op: WeightedOp, wires: Wires) -> list[Job]:
        """Return deliver; read and convert of every copy; collect."""
        assert self.cluster is not None
        (inputs,), (sums,) = self.takers(op), self.givers(op)
        shared = self.cluster.parts(op, "network", "vector", "activations")
        between: list[Job] = []
        to_rows, to_sums = [], []
        for group in self.groups(op):
            crossbar, converter = self.parts.name("crossbar") + group.at, self._converter(op) + group.at
            to_rows.append(wires.inside(inputs, crossbar))
            to_sums.append(wires.inside(converter, sums))
            between += self._conversions(op, group.at[1:-1], group, (), to_rows[-1], to_sums[-1], wires)
        return [
            Job.of(f"{op.name}.deliver", op.name, [("tile_inputs", inputs), *shared], Deliver(),
                   takes=wires.taken(op.name, inputs), gives=tuple(to_rows)),
            *between,
            Job.of(f"{op.name}.collect", op.name, [("accumulator", sums), *shared], Collect(), takes=tuple(to_sums),
                   gives=wires.given(op.name, sums), last=op is self.graph.last),
        ]  # fmt: skip

    def _step_by_step(self, op: RecurrentOp, wires: Wires) -> list[Job]:
        """Return for each row of a frame, and each product in it, deliver; read and convert; collect; gates; state.

        The recurrent matrix is read whole for each product, also where only some of its columns are wanted.
        """
        assert self.cluster is not None
        (inputs,), (sums,) = self.takers(op), self.givers(op)
        shared = self.cluster.parts(op, "network", "activations")
        vector = self.cluster.parts(op, "vector")
        places = [(row, number) for row in range(self.rows_in(op.name)) for number in range(len(op.rounds()))]
        back = wires.inside(sums, inputs)
        jobs: list[Job] = []
        for step, (row, number) in enumerate(places):
            at = f".{step}" if len(places) > 1 else ""
            first, last = step == 0, step == len(places) - 1
            between: list[Job] = []
            to_rows, to_sums = [], []
            for layer in op.layers()[0 if number == 0 else 1 :]:
                (group,) = self.groups(layer)
                crossbar, converter = self.parts.name("crossbar") + group.at, self._converter(layer) + group.at
                to_rows.append(wires.inside(inputs, crossbar))
                to_sums.append(wires.inside(converter, sums))
                name = f"{layer.name}{at}"
                conversions = self._conversions(layer, name, group, (), to_rows[-1], to_sums[-1], wires)
                between += [
                    replace(job, layer=op.name, work=ReadStep(place=row, round=number))
                    if isinstance(job.work, Read)
                    else replace(job, layer=op.name)
                    for job in conversions
                ]
            changes = vector if number == 0 and op.skips() else []
            jobs += [
                Job.of(f"{op.name}.deliver{at}", op.name, [("tile_inputs", inputs), *shared, *changes],
                       DeliverStep(row, number), takes=wires.taken(op.name, inputs) if first else (),
                       gives=tuple(to_rows)),
                *between,
                Job.of(f"{op.name}.collect{at}", op.name, [("accumulator", sums), *shared[:1]],
                       CollectStep(row, number), takes=tuple(to_sums)),
                Job.of(f"{op.name}.gates{at}", op.name, [("accumulator", sums), *vector, *shared[1:]],
                       GatesStep(row, number), gives=(back, *(wires.given(op.name, sums) if last else ())),
                       last=last and op is self.graph.last),
                Job.of(f"{op.name}.state{at}", op.name, [("tile_inputs", inputs), *shared], StateStep(row, number),
                       takes=(back,)),
            ]  # fmt: skip
        return jobs

    def _conversions(
        self, op: WeightedOp, name: str, group: Group, place: tuple[int, ...], to_rows: str, to_sums: str, wires: Wires
    ) -> list[Job]:
        """Return a read and a conversion for every phase; a phase is converted while the next one is read.

        The rows are taken in the first phase, and the sums are given in the last.
        """
        phases, at = self.driver.phases(), group.at
        copies = {"copies": self._mapping(op).matrix.copies, "copy": group.copy}
        crossbar, converter = self.parts.name("crossbar") + at, self._converter(op) + at
        to_converters = wires.inside(crossbar, converter)
        reading = [("crossbar", crossbar), *((role, self.parts.name(role) + at) for role in ("driver", "sample_hold"))]
        converting = [("converter", converter), ("shift_add", self.parts.name("shift_add") + at)]
        reads = [
            Job.of(f"{name}.read.{phase}", op.name, reading, Read(*place), takes=(to_rows,) if phase == 0 else (),
                   gives=(to_converters,), **copies)
            for phase in range(phases)
        ]  # fmt: skip
        conversions = [
            Job.of(f"{name}.convert.{phase}", op.name, converting, Convert(*place), takes=(to_converters,),
                   gives=(to_sums,) if phase == phases - 1 else (), **copies)
            for phase in range(phases)
        ]  # fmt: skip
        return [*reads, *conversions]

    def groups(self, op: Op) -> list[Group]:
        """Return the groups of tiles that work together: single tiles, or in clusters all of a copy."""
        mapping = self._mapping(op)
        if self.cluster is None:
            found = []
            for number in mapping.tile_numbers():
                copy, row, column = mapping.place(number)
                found.append(Group(f"[{number}]", copy, ((row, column),), number))
            return found
        tiles = tuple((k, m) for k in range(mapping.row_tiles) for m in range(mapping.column_tiles))
        copies = mapping.matrix.copies
        return [
            Group(f"[{op.name}]" if copies == 1 else f"[{op.name}/{copy}]", copy, tiles, HUB) for copy in range(copies)
        ]

    def instances_of(self, copy: str) -> int:
        each = super().instances_of(copy)
        if self.cluster is None:
            return each
        shared = self.cluster.instances_of(copy)
        if shared is not None:
            return shared
        op = copy[len(part_of(copy)) + 1 : -1]
        if op in self.maps:  # all copies of a matrix
            return each * self.maps[op].numbers
        if mine := [self.maps[layer].numbers for layer, recurrent in self.recurrent.items() if recurrent.name == op]:
            return each * sum(mine)
        mapping = self.maps[op.rpartition("/")[0]]
        return each * mapping.numbers // mapping.matrix.copies

    def _way(self, start: int, end: int) -> list[tuple[str, str]]:
        """Return what a transfer between two tiles occupies: the bus, or the links of the mesh on its way."""
        return [("network", link) for link in self.network_part.way(self.parts.name("network"), start, end)]

    # Converters

    def _converter(self, op: Op) -> str:
        """Return the converters of a layer's tiles: those that its placement names, else the chip's first."""
        return self.placed(op).adc or self.parts.name("converter")

    def transfers(self, op: Op) -> NDArray[Any]:
        """Return the transfer function of each of a layer's converters: [row tiles, planes, column tiles]."""
        mapping = self._mapping(op)
        chip: Converter = self.parts.all("converter")[self._converter(op)]
        transfers = np.empty((mapping.row_tiles, mapping.planes, mapping.column_tiles), object)
        changes: dict[tuple[int, ...], dict[str, int]] = {place: {} for place in np.ndindex(transfers.shape)}
        for setting in self.placed(op).converters:
            given = setting.model_dump(include={"precision_bits", "range_bits"}, exclude_none=True)
            chosen = np.zeros(transfers.shape, bool)
            chosen[setting.place()] = True
            for place in np.argwhere(chosen).tolist():
                changes[tuple(place)] |= given
        for at, change in changes.items():
            transfers[at] = chip.transfer(change)
        return transfers

    def errors(self, op: WeightedOp, copy: int, seed: int, first_tile: int) -> Assigned | None:
        """Return what the converters of one copy of a layer do wrong, and which converts a column; None: nothing.

        ``first_tile``: number of the crossbar's first tile in draws.
        """
        mapping, name = self._mapping(op), self._converter(op)
        converter: Converter = self.parts.all("converter")[name]
        tiles = mapping.row_tiles * mapping.column_tiles
        before = sum(
            self._mapping(other).numbers
            for other in takewhile(lambda other: other.name != op.name, self.matrices())
            if self._converter(other) == name
        )
        within = np.arange(copy * tiles, (copy + 1) * tiles)
        measured = self.chip.converters.get(name)
        errors = converter.imperfections(seed, first_tile + mapping.first_tile + within, before + within, measured)
        if errors is None:
            return None
        columns = converters_of_columns(
            mapping.row_tiles, mapping.planes, mapping.matrix.outputs, tile_columns=mapping.tile_columns,
            units=converter.units, shared_by=converter.shared_by,
        )  # fmt: skip
        return Assigned(errors, columns)

    def words(self, op: WeightedOp) -> Words | None:
        """Return the words behind the converters of a layer; None where nothing can saturate, or there are no codes.

        Their last place is that of the layer's finest converter, of the first phase. What a converter that is ideal, or
        has a transfer function of its own, makes of a current is no code, and lies in no word.
        """
        transfers, dac = self.transfers(op), self.dac()
        if not all(isinstance(one, AdcTransfer) and not one.ideal for one in transfers.flat):
            return None
        adder, total = (self.parts.spec(role).width_bits for role in ("shift_add", "accumulator"))
        output = adder if self.cluster is not None else self.parts.spec("tile_outputs").width_bits
        step = 2.0 ** -max(one.precision_bits for one in transfers.flat)
        words = Words(step if dac.phases == 1 else step / dac.largest_code, adder, output, total)
        return None if words.hold(transfers, transfers.shape, self.crossbar.cell_bits, dac) else words

    def dac(self) -> converters.DacTransfer:
        """Return the transfer function of the row drivers."""
        return converters.DacTransfer(self.driver.bits, self.crossbar.read_voltage, self.driver.mode)

    def matrices(self) -> list[WeightedOp]:
        """Return the matrices that lie on the tiles, in order."""
        found: list[WeightedOp] = []
        for op in self.ops:
            found += [op] if isinstance(op, WeightedOp) else op.layers() if isinstance(op, RecurrentOp) else []
        return found

    def placed(self, op: Op) -> PlacementSpec:
        return super().placed(self.recurrent.get(op.name, op))

    def placed_at(self, op: Op, *rest: Key) -> Location | None:
        return super().placed_at(self.recurrent.get(op.name, op), *rest)

    # Checks

    def _mapping(self, op: Op) -> TileMapping:
        return self.maps[op.name]

    def _map(self) -> TileMap:
        """Lay the matrices onto the tiles, one after the other; notes what does not fit."""
        matrices = []
        for op in self.matrices():
            inputs, outputs = op.matrix(self.graph.read(op))
            copies = self.placed(op).copies
            if copies > 1 and op.name in self.recurrent:
                name = self.recurrent[op.name].name
                self.problems.add(
                    f"layer '{name}' is recurrent, each of its steps waits for the one before: it has one copy, found "
                    f"{copies}",
                    at=self.placed_at(op, "copies"),
                )
                copies = 1
            matrices.append(Matrix(op.name, inputs, outputs, op.weight_bits, op.each_channel(), copies))
        try:
            return map_matrices(
                matrices, tile_rows=self.crossbar.rows, tile_columns=self.crossbar.columns,
                cell_bits=self.crossbar.cell_bits, sign=cast(Sign, self.crossbar.sign), tiles=self.crossbar.tiles,
            )  # fmt: skip
        except InputError as error:
            for problem in error.problems:
                self.problems.add(problem.message, at=("components", self.parts.name("crossbar")))
        self.problems.stop()
        return TileMap(())

    def _check_tiles(self) -> None:
        """See that every kind of part stands in enough tiles, and that drivers and converters serve all cells."""
        add, parts = self.problems.add, self.parts
        with_converter: dict[str, int] = {}
        for op in self.matrices():
            self._check_converters(op)
            self.problems.stop()
            name = self._converter(op)
            with_converter[name] = with_converter.get(name, 0) + self._mapping(op).numbers
            self._check_tile(op, name)
        taken = sum(with_converter.values())
        in_tiles = [*_IN_TILES, *(("accumulator",) if self.cluster is not None else ("tile_outputs",))]
        for part, tiles in (*((parts.name(role), taken) for role in in_tiles), *with_converter.items()):
            if (there := self.chip.components()[part].tiles) < tiles:  # type: ignore[attr-defined]
                add(f"'{part}' stands in {there} tiles, {tiles} are needed, depthwise columns included")
        columns, planes = self.crossbar.columns, self.crossbar.planes
        if self.cluster is None and (entries := parts.spec("tile_outputs").entries) < columns:
            message = f"'{parts.name('tile_outputs')}' holds {entries} of the {columns} outputs of a tile"
            add(message, at=self.at("tile_outputs", "entries"))
        if (held := parts.spec("sample_hold").units) < columns * planes:
            message = f"'{parts.name('sample_hold')}' samples {held} of the {columns * planes} columns of a tile"
            add(message, at=self.at("sample_hold", "units"))
        if (entries := parts.spec("tile_inputs").entries) < self.crossbar.rows:
            add(f"'{parts.name('tile_inputs')}' holds {entries} of the {self.crossbar.rows} inputs of a tile")
        if self.cluster is not None:
            self.cluster.check("network")
        elif (places := self.network_part.places()) is not None and places < self.crossbar.tiles:
            name = parts.name("crossbar")
            add(f"'{parts.name('network')}' has {places} routers, '{name}' {self.crossbar.tiles} tiles")

    def _check_copies(self) -> None:
        """See that no layer in several copies reads frames around its own: each copy has the inputs of its frames."""
        for op in self.graph.ops:
            if op.name in self.maps and self.placed(op).copies > 1 and not self.frames_read(op).plain():
                self.problems.add(
                    f"layer '{op.name}' reads frames around its own, which its {self.placed(op).copies} copies, "
                    "each with the inputs of its own frames, do not share"
                )

    def _check_converters(self, op: WeightedOp) -> None:
        """A layer may split a converter's bits in its own way; more bits than it has would be another converter."""
        add, mapping, placed = self.problems.add, self._mapping(op), self.placed(op)
        where, kinds = f"layer '{op.name}'", self.parts.all("converter")
        if placed.adc is not None and placed.adc not in kinds:
            hint = did_you_mean(placed.adc, kinds)
            add(f"{where} has no converters named '{placed.adc}'", hint, self.placed_at(op, "adc"))
            return
        shape = (mapping.row_tiles, mapping.planes, mapping.column_tiles)
        fits = True
        for index, setting in enumerate(placed.converters):
            for what, there_are in zip(("row_tile", "plane", "column_tile"), shape, strict=True):
                at = getattr(setting, what)
                if at is not None and at >= there_are:
                    fits = False
                    message = f"{where} has {there_are} converters along {what}, found {what} {at}"
                    add(message, at=self.placed_at(op, "converters", index, what))
        if not fits:
            return
        name = self._converter(op)
        try:
            most = max(one.bits for one in self.transfers(op).flat)
        except ValueError as error:
            add(f"{where}: {error}", at=self.placed_at(op, "converters"))
            return
        if most > kinds[name].resolution():
            message = f"{where} asks for {most} bits of '{name}', which has {kinds[name].resolution()}"
            add(message, at=self.placed_at(op, "converters"))

    def _check_tile(self, op: WeightedOp, converter_name: str) -> None:
        """Note where a tile's parts do not serve a matrix: planes, converters, row drivers."""
        add, crossbar, name = self.problems.add, self.crossbar, self.parts.name("crossbar")
        converter: Converter = self.parts.all("converter")[converter_name]
        planes = planes_of(op.weight_bits, crossbar.cell_bits, cast(Sign, crossbar.sign))
        where = f"layer '{op.name}'"
        if planes > crossbar.planes:
            add(f"{where} has {op.weight_bits}-bit weights, {planes} planes; '{name}' has {crossbar.planes}")
        columns = crossbar.columns * crossbar.planes
        served = converter.units * converter.shared_by
        if converter.shared_by > columns:
            add(f"'{converter_name}' is shared by {converter.shared_by} columns, a tile has {columns}")
        elif served < columns:
            add(
                f"{converter.units} converters shared by {converter.shared_by} serve {served} of the {columns} columns "
                "of a tile",
                at=("components", converter_name),
            )
        self._check_words(op, converter)
        weights, largest = self.tensors[op.tensor_name("weight")], largest_weight(op.weight_bits)
        if (op.output is not None or op.name in self.recurrent) and (least := int(weights.min(initial=0))) < -largest:
            add(f"{where} has weights down to {least}, {planes} planes of '{name}' hold -{largest} .. {largest}")
        if self.driver.units < crossbar.rows:
            add(f"'{self.parts.name('driver')}' drives {self.driver.units} of {crossbar.rows} rows")
        if (op.gives == "codes" or op.output is not None) and self.driver.bits < op.input_bits:
            driver = self.parts.name("driver")
            add(f"{where} has {op.input_bits}-bit inputs, '{driver}' takes {self.driver.bits}")

    def _check_words(self, op: WeightedOp, converter: Converter) -> None:
        """Note words of a tile that do not hold a single code; sums of codes saturate, see `words`."""
        code = op.input_bits if op.gives == "codes" else CODE_BITS
        bits = converter.resolution()
        behind = [("shift_add", bits), ("accumulator", bits), *([] if self.cluster else [("tile_outputs", bits)])]
        for role, needed in (("tile_inputs", code), *behind):
            if (has := self.parts.spec(role).width_bits) < needed:
                message = f"the {has}-bit words of '{self.parts.name(role)}' do not hold a code of {needed} bits"
                self.problems.add(message, at=self.at(role, "width_bits"))

    def check_memory(self, held: Mapping[str, Sequence[int]], longest: int) -> None:
        if self.cluster is not None:
            self.cluster.check_memory(held, longest, ANY_LENGTH)

    def start(self, batch: Batch, seed: int, tell: Tell) -> TileRun:
        return TileRun(self, seed, tell)


class TileRun(Run):
    """One run of the tiles; ``watts[op]``: power of each group of tiles of a copy, [rows, groups of a copy]."""

    def __init__(self, engine: CrossbarTiles, seed: int, tell: Tell) -> None:
        super().__init__()
        self.engine, self.seed, self.tell = engine, seed, tell
        self.inexact = engine.cluster is not None
        crossbar = engine.crossbar
        name = engine.parts.name("crossbar")
        self.temperature = engine.chip.spec.technology.temperature
        self.cells = Cells(crossbar, engine.chip.devices[name], seed, first_tile(engine.chip, name), self.temperature)
        self.dac = engine.dac()
        self.watts: dict[str, NDArray[np.float64]] = {}
        self.starts: dict[str, Starts] = {}
        self.clipped: dict[str, int] = {}
        self.programmed: dict[str, Tiles] = {}
        """The tiles of matrices that are multiplied in several calls."""
        self.numbers: dict[str, Iterator[NDArray[np.int64]]] = {}
        """The numbers of the rows of those calls, in draws."""
        self.errors: dict[str, Assigned | None] = {}
        """Those of their converters."""

    def values(self, ops: Sequence[Op], signals: dict[str, Signal]) -> None:
        unit = self._datapath(self._multiply, self.tallies.clamped)
        self._evaluate(ops, signals, unit)
        self.tallies.exceptions |= {name: asdict(found) for name, found in unit.exceptions.items()}
        self.tallies.programming = self.cells.programming()
        self.tallies.drops[self.engine.parts.name("crossbar")] = self.cells.drops

    def exact(self, ops: Sequence[Op], signals: dict[str, Signal]) -> None:
        self._evaluate(ops, signals, self._datapath(None, {}))

    def _datapath(self, multiplier: Any, clamped: dict[str, int]) -> Datapath:
        cluster = self.engine.cluster
        vector = EXACT if cluster is None else cluster.vector.arithmetic()
        return Datapath(
            self.engine.tensors, vector, multiplier=multiplier, reach=self.engine.graph.reach, clamped=clamped,
            count_exceptions=cluster is not None,
        )  # fmt: skip

    def _evaluate(self, ops: Sequence[Op], signals: dict[str, Signal], unit: Datapath) -> None:
        graph = self.engine.graph
        evaluate(
            cast(Sequence[DatapathOp], ops),
            signals,
            graph.edges,
            unit,
            last_reader=graph.last_reader,
            progress=self.tell,
        )

    def _multiply(
        self, op: WeightedOp, codes: NDArray[np.int8], starts: Starts, beyond: int = 0
    ) -> tuple[NDArray[Any], Starts]:
        """Multiply codes by an op's weights on tiles: [rows, width] -> [rows', outputs], in units of weight x code."""
        engine, mapping = self.engine, self.engine.maps[op.name]
        full_scale = 1 << (op.input_bits - 1)
        weight = engine.tensors[op.tensor_name("weight")]
        if (owner := engine.recurrent.get(op.name)) is not None:
            if op.input == owner.input:
                self.starts[owner.name] = starts
            return self._multiply_step(op, codes, mapping), starts
        places = op.positions(engine.graph.edges[op.name])
        vectors = codes
        if isinstance(op, ConvOp):
            vectors, starts = op.unrolled(codes, weight, starts, beyond)
            weight = weight.reshape(-1, weight.shape[-1])
        drives = dac_codes(vectors / full_scale, self.dac)
        # Of a depthwise convolution every vector has as many rows as taps; of one over time alone they slide by.
        step = mapping.matrix.inputs if isinstance(op, ConvOp) and op.depthwise else 1
        number = len(vectors) // step
        sums = np.empty((number, mapping.matrix.outputs))
        per_tile = engine.cluster is None
        groups = mapping.row_tiles * mapping.column_tiles if per_tile else 1
        watts = np.empty((number, groups))
        self.clipped[op.name] = 0
        copies = mapping.matrix.copies
        how: dict[str, Any] = {
            "dac": self.dac,
            "adc": engine.transfers(op),
            "noise": self.cells.noise(),
            "read_seconds": self.engine.crossbar.read_time,
            "temperature_kelvin": self.temperature,
            "seed": self.seed,
            "words": engine.words(op),
        }
        saturated = 0
        for copy in range(copies):
            mine: Any = slice(copy, None, copies)
            if places > 1:  # a copy works on all positions of its rows
                mine = np.arange(number) // places % copies == copy
            tiles = self.cells.tiles(weight, mapping, copy)
            how["errors"] = engine.errors(op, copy, self.seed, self.cells.first_tile)
            if op.each_channel():
                if isinstance(op, ConvOp):
                    product = multiply_depthwise(tiles, drives, **how, step=step)
                    power = depthwise_power(tiles, drives, self.dac, step=step)
                else:
                    edge = int(dac_codes(beyond / full_scale, self.dac))
                    product, power = self._depthwise(op, tiles, drives, starts, mapping, how, edge)
                sums[mine], watts[mine] = product.values[mine], power[mine, None]
                self.clipped[op.name] += int(product.clipped_per_frame[mine].sum())
                saturated += int(product.saturated_per_frame[mine].sum())
            else:
                product = multiply(tiles, drives[mine], **how)
                power = read_power(tiles, drives[mine], self.dac, per_tile=per_tile)
                sums[mine], watts[mine] = product.values, power.reshape(len(power), groups)
                self.clipped[op.name] += int(product.clipped.sum())
                saturated += int(product.saturated_per_frame.sum())
        self.tallies.clamped[op.name] = self.tallies.clamped.get(op.name, 0) + saturated
        rows = number // places
        self.starts[op.name] = starts
        self.watts[op.name] = watts.reshape(rows, places, groups).sum(axis=1) if places > 1 else watts
        return (sums * full_scale).reshape(rows, *([places] if places > 1 else []), -1), starts

    def _multiply_step(self, op: WeightedOp, codes: NDArray[np.int8], mapping: TileMapping) -> NDArray[np.float64]:
        """Multiply codes by a matrix of a recurrent layer, behind all that were multiplied by it before.

        Draws are those of the row in the run, and of the round of its products, so that utterances behind it change
        nothing.
        """
        full_scale = 1 << (op.input_bits - 1)
        layer = self.engine.recurrent[op.name]
        if op.name not in self.programmed:
            self.programmed[op.name] = self.cells.tiles(self.engine.tensors[op.tensor_name("weight")], mapping)
            self.clipped[op.name], self.watts[op.name] = 0, np.empty((0, 1))
            self.errors[op.name] = self.engine.errors(op, 0, self.seed, self.cells.first_tile)
            self.numbers[op.name] = _numbers(layer, self.starts[layer.name], op.input == layer.input)
        tiles, drives = self.programmed[op.name], dac_codes(codes / full_scale, self.dac)
        product = multiply(
            tiles, drives, dac=self.dac, adc=self.engine.transfers(op), noise=self.cells.noise(), seed=self.seed,
            read_seconds=self.engine.crossbar.read_time, temperature_kelvin=self.temperature,
            words=self.engine.words(op), first_frame=next(self.numbers[op.name]), errors=self.errors[op.name],
        )  # fmt: skip
        power = read_power(tiles, drives, self.dac, per_tile=False)
        self.clipped[op.name] += int(product.clipped.sum())
        saturated = int(product.saturated_per_frame.sum())
        self.tallies.clamped[layer.name] = self.tallies.clamped.get(layer.name, 0) + saturated
        self.watts[op.name] = np.concatenate([self.watts[op.name], power.reshape(-1, 1)])
        return product.values * full_scale

    def _depthwise(
        self, op: WeightedOp, tiles: Tiles, drives: NDArray[np.int16], starts: Starts, mapping: TileMapping, how: Any,
        edge: int,
    ) -> tuple[Product, NDArray[np.float64]]:  # fmt: skip
        """Convolve every utterance for itself: what lies beyond their ends stands between them, ``edge``.

        Products across two are left out.
        """
        taps, behind = mapping.matrix.inputs, op.window(self.engine.graph.read(op)).behind
        lengths = np.diff(starts)
        place = np.arange(len(drives)) + np.repeat(np.arange(len(lengths)), lengths) * (taps - 1)
        padded = np.full((len(drives) + len(lengths) * (taps - 1), drives.shape[1]), edge, np.int16)
        padded[place + behind] = drives
        product = multiply_depthwise(tiles, padded, **how)
        power = depthwise_power(tiles, padded, self.dac)
        kept = replace(
            product, values=product.values[place], clipped_per_frame=product.clipped_per_frame[place],
            saturated_per_frame=product.saturated_per_frame[place],
        )  # fmt: skip
        return kept, power[place]

    # Counts

    def count(self, job: Job, grid: Grid) -> tuple[Mapping[str, Counts], Macs | None]:
        engine = self.engine
        op = engine.graph.by_name[job.layer]
        if isinstance(op, RecurrentOp):
            return self._of_step(job, op, grid)
        assert isinstance(op, WeightedOp)
        mapping, work = engine.maps[op.name], job.work
        rows = engine.cluster.rows(op, grid) if engine.cluster else np.full(grid.frames, engine.rows_in(op.name))
        vectors = rows * op.positions(engine.graph.edges[op.name])
        mine = vectors * (np.arange(grid.frames) % job.copies == job.copy)
        group = next((g for g in engine.groups(op) if job.component.endswith(g.at) and g.copy == job.copy), None)
        if isinstance(work, Read | Convert):
            assert group is not None
            if isinstance(work, Read):
                return self._read(mapping, group, mine, self._per_frame(op, grid)), None
            return self._convert(op, mapping, group, mine), None
        if isinstance(work, Sum | Collect):
            macs = int(rows.sum()) * op.positions(engine.graph.edges[op.name])
            macs *= math.prod(op.shapes(engine.graph.read(op))["weight"])
            counts = (
                self._sum(work, op, mapping, vectors) if isinstance(work, Sum) else self._collect(op, mapping, grid)
            )
            return counts, Macs(macs, macs)
        if engine.cluster is not None:
            return self._deliver(op, mapping, vectors, engine.cluster, grid), None
        assert group is not None
        ((row, column),) = group.tiles
        role = "tile_inputs" if isinstance(work, Deliver) else "tile_outputs"
        words = self._used_rows(mapping, row) if isinstance(work, Deliver) else self._used_columns(mapping, column)
        sent = engine.network_part.words(words * engine.parts.spec(role).width_bits)
        moved = engine.network_part.transfers(sent, len(job.in_role("network")))
        return {
            role: {"write": mine * words, "rows": mine, "busiest": (mine > 0) * words},
            "network": {name: mine * value for name, value in moved.items()},
        }, None

    def _used_rows(self, mapping: TileMapping, row: int) -> int:
        return min(self.engine.crossbar.rows, mapping.matrix.inputs - row * self.engine.crossbar.rows)

    def _used_columns(self, mapping: TileMapping, column: int) -> int:
        return min(self.engine.crossbar.columns, mapping.matrix.outputs - column * self.engine.crossbar.columns)

    def _columns(self, mapping: TileMapping, group: Group) -> list[int]:
        """Return the columns in use of each tile of a group."""
        return [self._used_columns(mapping, column) for _, column in group.tiles]

    def _read(
        self, mapping: TileMapping, group: Group, mine: NDArray[np.int64], watts: NDArray[np.float64]
    ) -> Mapping[str, Counts]:
        """Count a read; ``watts``: power of the cells of each group of a copy, [frames, groups]."""
        arrays = mapping.planes * self.engine.crossbar.arrays_per_plane()
        if mapping.matrix.depthwise:
            driven = mapping.matrix.inputs * sum(self._columns(mapping, group))
        else:
            driven = sum(self._used_rows(mapping, row) for row, _ in group.tiles)
        place = group.tiles[0][0] * mapping.column_tiles + group.tiles[0][1] if self.engine.cluster is None else 0
        nanowatts = np.rint(watts[:, place] * 1e9).astype(np.int64)
        sampled = sum(self._columns(mapping, group)) * mapping.planes
        return {
            "crossbar": {"phases": mine, "read_nanowatt": nanowatts * (mine > 0)},
            "driver": {"phases": mine, "drive": mine * driven * arrays},
            "sample_hold": {"phases": mine, "sample": mine * sampled},
        }

    def _convert(
        self, op: WeightedOp, mapping: TileMapping, group: Group, mine: NDArray[np.int64]
    ) -> Mapping[str, Counts]:
        columns = [used * mapping.planes for used in self._columns(mapping, group)]
        shared = {"rows": mine, "busiest": (mine > 0) * max(columns)}
        converted = mine * sum(columns)
        owner = self.engine.recurrent.get(op.name, op)
        clipped = sum(self.clipped[one.name] for one in (owner.layers() if isinstance(owner, RecurrentOp) else (op,)))
        before = self.tallies.conversions.get(owner.name, (0, 0))[0]
        self.tallies.conversions[owner.name] = (before + int(converted.sum()), clipped)
        return {"converter": {"convert": converted, **shared}, "shift_add": {"add": converted, **shared}}

    def _sum(self, work: Sum, op: WeightedOp, mapping: TileMapping, vectors: NDArray[np.int64]) -> Mapping[str, Counts]:
        adders: Accumulator = self.engine.parts.spec("accumulator")
        outputs = mapping.matrix.outputs
        added = outputs * (work.row_tiles - 1 + len(op.reads()) - 1)  # a residual is one more sum
        groups = -(-max(added, outputs) // adders.units)
        return {"accumulator": {"add": vectors * added, "write": vectors * outputs, "groups": vectors * groups}}

    def _deliver(
        self, op: WeightedOp, mapping: TileMapping, vectors: NDArray[np.int64], cluster: Cluster, grid: Grid
    ) -> Mapping[str, Counts]:
        """Count inputs made into codes and written into the registers of all tiles of a copy."""
        crossbar, network = self.engine.crossbar, self.engine.network_part
        vectors_of_row = op.positions(self.engine.graph.edges[op.name])
        if mapping.matrix.depthwise:  # the registers of every column keep the older frames
            edge, new = self.engine.graph.edges[op.input], 1
            width = mapping.matrix.outputs
            if isinstance(op, ConvOp):
                # A stride brings several new ones, another place on the bands all; columns may share a channel.
                over_bands = vectors_of_row > 1 or op.kernel[1] > 1
                new = mapping.matrix.inputs if over_bands else min(op.stride[0], op.kernel[0])
                width = edge.width // (op.bands or edge.bands)
            written, busiest = new * mapping.matrix.outputs, new * min(mapping.matrix.outputs, crossbar.columns)
            width *= new
        else:
            width = mapping.matrix.inputs
            written, busiest = width * mapping.column_tiles, min(width, crossbar.rows)
        quantised = cluster.rows_read(op, op.input, grid) * self.engine.graph.edges[op.input].width
        moved = network.transfers(network.words(width * CODE_BITS), 1)
        return {
            "tile_inputs": {"write": vectors * written, "rows": vectors, "busiest": (vectors > 0) * busiest},
            "network": {name: vectors * value for name, value in moved.items()},
            "vector": {"operation": quantised * cluster.quantising(op), "special": quantised * 0},
            "activations": cluster.access(op, cluster.words_read(op, grid), np.zeros(grid.frames, np.int64), grid),
        }

    def _collect(self, op: WeightedOp, mapping: TileMapping, grid: Grid) -> Mapping[str, Counts]:
        """Count sums that are added, scaled, rounded and written to the activation memory."""
        cluster, network = self.engine.cluster, self.engine.network_part
        assert cluster is not None
        adders: Accumulator = self.engine.parts.spec("accumulator")
        rows, outputs = cluster.rows(op, grid), mapping.matrix.outputs
        vectors = rows * op.positions(self.engine.graph.edges[op.name])
        added = (mapping.row_tiles - 1) * outputs
        groups = -(-max(added, outputs) // (adders.units * mapping.column_tiles))
        moved = network.transfers(network.words(outputs * adders.width_bits), 1)
        memory = cluster.memory.accesses(
            np.zeros(grid.frames, np.int64), cluster.given_words(op, grid), share=cluster.vector.units
        )
        return {
            "accumulator": {"add": vectors * added, "write": vectors * outputs, "groups": vectors * groups},
            "network": {name: vectors * value for name, value in moved.items()},
            "vector": {"operation": rows * cluster.rounding(op), "special": rows * 0},
            "activations": memory,
        }

    # Steps of recurrent layers

    def _of_step(self, job: Job, op: RecurrentOp, grid: Grid) -> tuple[Mapping[str, Counts], Macs | None]:
        """Count a job of a recurrent layer: one row in each frame."""
        engine, work, every = self.engine, job.work, np.ones(grid.frames, np.int64)
        cluster = engine.cluster
        assert cluster is not None
        layers, zero = op.layers(), every * 0
        if isinstance(work, Read | Convert):
            layer = next(one for one in layers if job.component.endswith(f"[{one.name}]"))
            (group,) = engine.groups(layer)
            if not isinstance(work, ReadStep):
                return self._convert(layer, engine.maps[layer.name], group, every), None
            return self._read(engine.maps[layer.name], group, every, self._step_watts(op, layer, work, grid)), None
        assert isinstance(work, StepWork)
        read, rounds = engine.graph.read(op), op.rounds()
        first, last = work.round == 0, work.round == len(rounds) - 1
        rows = engine.rows_in(op.name)
        mappings = [engine.maps[layer.name] for layer in layers]
        state = cluster.words(op.state_bits(read, engine.number_bits))
        if isinstance(work, DeliverStep | StateStep):
            # Inputs in the first round; the state behind every round, whole or what a gate leaves of it.
            mapping = mappings[0 if isinstance(work, DeliverStep) else 1]
            written = mapping.matrix.inputs * (first or isinstance(work, StateStep))
            brought = zero
            if isinstance(work, StateStep):
                taken = every * cluster.words(written * CODE_BITS)
            else:
                taken = cluster.words_read(op, grid) // rows * first
                brought = cluster.words_brought(op, grid) // rows * first
            network = engine.network_part
            moved = network.transfers(network.words(written * CODE_BITS) if written else 0, 1)
            counts = {
                "tile_inputs": {
                    "write": every * written * mapping.column_tiles, "rows": every * (written > 0),
                    "busiest": every * min(written, engine.crossbar.rows),
                },
                "network": {name: every * value for name, value in moved.items()},
                "activations": cluster.memory.accesses(taken, brought, share=cluster.vector.units),
            }  # fmt: skip
            if job.in_role("vector"):
                counts["vector"] = {"operation": every * op.change_work(read).operations, "special": zero}
            return counts, None
        if isinstance(work, CollectStep):
            return self._collect_step(op, mappings if first else mappings[1:], grid)
        done = rounds[work.round].work
        operations = done.operations + (op.input_work(read).operations if first else 0)
        written = state + cluster.words(cluster.bits(op.name)) if last else cluster.words(op.units * CODE_BITS)
        return {
            "accumulator": {"add": zero, "write": zero, "groups": zero},
            "vector": {"operation": every * operations, "special": every * done.special},
            "activations": cluster.memory.accesses(
                every * (state if last else 0), every * written, share=cluster.vector.units
            ),
        }, None  # fmt: skip

    def _collect_step(
        self, op: RecurrentOp, mappings: Sequence[TileMapping], grid: Grid
    ) -> tuple[Mapping[str, Counts], Macs]:
        """Count the sums of tiles, those of both matrices one after the other."""
        network, every = self.engine.network_part, np.ones(grid.frames, np.int64)
        adders: Accumulator = self.engine.parts.spec("accumulator")
        added = written = groups = words = macs = 0
        for mapping in mappings:
            inputs, outputs = mapping.matrix.inputs, mapping.matrix.outputs
            sums = (mapping.row_tiles - 1) * outputs
            added, written, macs = added + sums, written + outputs, macs + inputs * outputs
            groups += -(-max(sums, outputs) // (adders.units * mapping.column_tiles))
            words += network.words(outputs * adders.width_bits)
        moved = network.transfers(words, 1)
        return {
            "accumulator": {"add": every * added, "write": every * written, "groups": every * groups},
            "network": {name: every * value for name, value in moved.items()},
        }, Macs(macs * grid.frames, macs * grid.frames)

    def _step_watts(self, op: RecurrentOp, layer: WeightedOp, work: ReadStep, grid: Grid) -> NDArray[np.float64]:
        """Return the power of a matrix's cells in one of the rows of each frame, [frames, 1], in one of the rounds."""
        watts, starts = self.watts[layer.name], self.starts[op.name]
        if layer.name == op.layers()[1].name:  # step by step of all utterances, and round by round
            rounds, order = len(op.rounds()), steps(starts)
            kept, begin = np.empty((int(starts[-1]), 1)), 0
            for _, rows in order:
                kept[rows] = watts[begin + work.round * len(rows) :][: len(rows)]
                begin += rounds * len(rows)
            watts = kept
        found, each = np.zeros((grid.frames, 1)), self.engine.rows_in(op.name)
        for first, last, begin, end in zip(
            grid.starts[:-1].tolist(), grid.starts[1:].tolist(), starts[:-1].tolist(), starts[1:].tolist(), strict=True
        ):
            mine = watts[begin + work.place : end : each][: last - first]
            found[first : first + len(mine)] = mine
        return found

    def _per_frame(self, op: WeightedOp, grid: Grid) -> NDArray[np.float64]:
        """Return the power of a layer's cells, summed over its rows of a frame: [frames, groups of a copy].

        All rows of distances are of the first frame. Rows that a pool leaves over at the end of an utterance are of
        none.
        """
        watts, rows_in = self.watts[op.name], self.engine.rows_in(op.name)
        found = np.zeros((grid.frames, watts.shape[1]))
        if self.engine.graph.distances(op.name):
            found[0] = np.rint(watts * 1e9).sum(axis=0) * 1e-9
            return found
        if rows_in == 1:
            return watts
        starts = self.starts[op.name]
        rows = np.diff(starts)
        frame = (np.arange(len(watts)) - np.repeat(starts[:-1], rows)) // rows_in
        kept = frame < np.repeat(np.diff(grid.starts), rows)
        frame += np.repeat(grid.starts[:-1], rows)
        for group in range(watts.shape[1]):
            found[:, group] = np.bincount(frame[kept], watts[kept, group], minlength=grid.frames)
        return found


def _numbers(layer: RecurrentOp, starts: Starts, of_inputs: bool) -> Iterator[NDArray[np.int64]]:
    """Yield the numbers of the rows of each call for a matrix of a recurrent layer: all inputs at once, or by steps."""
    if of_inputs:
        yield np.arange(int(starts[-1]))
    rounds = len(layer.rounds())
    for _, rows in steps(starts):
        for number in range(rounds):
            yield rows * rounds + number


ENGINES.register("crossbar_tiles", CrossbarTiles)
