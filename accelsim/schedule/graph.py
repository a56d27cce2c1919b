"""Graphs, such as Conformers: every layer is a job or a chain of jobs that wait for their operands, frame by frame.

A frame is a row of the output. Layers with weights lie on crossbar tiles of their own, or share one digital array; the
vector units, attention engines, buses and banks of activation memory stand in clusters, and consecutive layers share a
cluster. A layer on tiles takes four steps, which work on different frames at the same time: deliver (codes into the
tiles' input registers), read, convert, and collect (partial sums added, scaled and rounded); each of its copies has
reads and conversions of its own. Every other layer is one step, started from a slot of the task queue.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingType
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Literal, cast

from accelsim.architecture import Architecture
from accelsim.errors import InputError, did_you_mean
from accelsim.kernels.crossbar import Sign
from accelsim.schedule.converters import adc_of, check_converters, check_tile, in_phases
from accelsim.schedule.job import Job, Schedule, part_of
from accelsim.schedule.mapping import Matrix, TileMap, map_matrices
from accelsim.schedule.parts import Parts
from accelsim.schedule.windows import Delay, Window, slots
from accelsim.schema.graph import (
    ANY_LENGTH,
    AttentionOp,
    GraphOp,
    PositionsOp,
    QConvOp,
    QDepthwiseOp,
    WeightedOp,
    positional,
    reach_of,
)
from accelsim.schema.workload import FEATURES
from accelsim.workload import Workload

CODE_BITS = 8
"""What a layer's rounded output takes in memory, and an input on its way to a matrix."""

Where = Literal["tile", "digital", "vector", "attention"]

_TILE_KINDS = ("crossbar", "dac", "sample_hold", "shift_add", "accumulator")


def schedule_graph(workload: Workload, architecture: Architecture) -> Schedule:
    """Cut a graph into jobs per layer; raises InputError when the chip cannot run it."""
    return _Graph(workload, architecture).schedule()


def output_bits(op: GraphOp, tensors: MappingType[str, Any], number: str) -> int:
    """Return the bits of an output in memory: those of a code, or of the vector unit's numbers."""
    return CODE_BITS if f"{op.name}.output_scale" in tensors else int(number.removeprefix("float"))


class _Graph:
    def __init__(self, workload: Workload, architecture: Architecture) -> None:
        self.workload, self.architecture = workload, architecture
        self.parts = Parts(workload, architecture, "a graph needs")
        self.rows = workload.spec.graph_rows()
        ops = workload.spec.graph_ops()
        self.positional = positional(ops)
        self.tables = {op.name: op for op in ops if isinstance(op, PositionsOp)}
        self.ops = {op.name: op for op in ops if op.name not in self.tables}
        self.started_by = self._starts(ops)
        self.stride = self.rows[ops[-1].name].stride
        self._check_placement()
        self.where = {name: self._where(op) for name, op in self.ops.items()}
        self.name = self._components()
        self._check_numbers()
        self.parts.stop_on_problems()
        self.vector = architecture.of_kind("vector_unit")[self.name["vector_unit"]]
        self.longest = self._longest()
        self.reach = min(self.longest, reach_of(ops))
        self.windows = {name: self._window(op) for name, op in self.ops.items()}
        self.delays = {FEATURES: Delay()}
        for name, op in self.ops.items():
            before = max(self.delays[read] for read in self._sources(op))
            self.delays[name] = before.behind(self.windows[name])
        self.tile_map = self._tile_map()
        self.maps = {lies.matrix.name: lies for lies in self.tile_map.mappings} if self.tile_map else {}
        self._check_fit()
        self.parts.stop_on_problems()

    def schedule(self) -> Schedule:
        """Return the jobs of one frame: load, then the layers in order."""
        layers = (FEATURES, *self.ops)
        readers = {name: [op.name for op in self.ops.values() if name in self._sources(op)] for name in layers}
        gives = {name: tuple(self._edge(name, to) for to in readers[name]) for name in layers}
        load = MappingProxyType({"stage": "load"})
        jobs = [Job("load", FEATURES, self.name["features"], gives=gives[FEATURES], paced=True, work=load)]
        windows: dict[tuple[str, str], Window] = {}
        for name, op in self.ops.items():
            takes = tuple(self._edge(read, name) for read in self._sources(op))
            jobs += self._jobs(op, takes, gives[name])
            if not self.windows[name].plain():
                first = f"{name}.deliver" if self.where[name] == "tile" else name
                windows |= {(first, channel): self.windows[name] for channel in takes}
        capacities = {
            self._edge(name, to): self._capacity(name, to) for name, several in readers.items() for to in several
        }
        self._check_memory({name: [capacities[channel] for channel in given] for name, given in gives.items()})
        self.parts.stop_on_problems()
        return Schedule(tuple(jobs), self.tile_map, capacities=capacities, windows=windows)

    # Which layer reads what, and where it runs

    def _starts(self, ops: list[GraphOp]) -> dict[str, str]:
        """Return what starts the layers behind a table of positions: what the layer before the table reads.

        They depend on no input, but are worked on once a run, when the first frame comes to their place in the graph.
        """
        found, before = {}, FEATURES
        for op in ops:
            if isinstance(op, PositionsOp):
                found[op.name] = before
            else:
                before = op.reads()[0]
        return found

    def _sources(self, op: GraphOp) -> tuple[str, ...]:
        """Return the layers, or features, whose tokens a layer takes."""
        if isinstance(op, AttentionOp):
            return tuple(read for read in op.reads() if read not in self.tables)
        return tuple(dict.fromkeys(self.started_by.get(read, read) for read in op.reads()))

    def _where(self, op: GraphOp) -> Where:
        if isinstance(op, AttentionOp):
            return "attention"
        if not isinstance(op, WeightedOp):
            return "vector"
        said = self.architecture.placement(op.name).where
        return said or ("tile" if self.architecture.of_kind("crossbar") else "digital")

    def _components(self) -> dict[str, str]:
        """Return the names of the components by kind or by what they store; notes what is missing, and for which op."""
        parts = self.parts
        found: dict[str, str] = {}
        needs: dict[Where, tuple[tuple[str, ...], tuple[str, ...]]] = {
            "vector": (("vector_unit", "task_queue"), ("features", "activations")),
            "attention": (("attention_engine",), ()),
            "digital": (("mac_array",), ("weights",)),
            "tile": ((*_TILE_KINDS, "bus"), ("tile_inputs",)),
        }
        for where, (kinds, stores) in needs.items():
            first = next((op for op in self.ops.values() if self.where[op.name] == where), None)
            if first is None and where != "vector":
                continue
            if first is not None:
                parts.purpose = f"layer '{first.name}' ({first.op}) needs"  # type: ignore[attr-defined]
            found |= {kind: parts.only(kind) for kind in kinds} | {what: parts.storing(what) for what in stores}
        parts.purpose = "a graph needs"
        if "crossbar" in found and not self.architecture.of_kind("adc"):
            parts.problem("matrices on tiles need a component of kind adc")
        return found

    def _cluster(self, name: str) -> int:
        """Return the cluster of a layer: consecutive layers share one, all clusters have as many."""
        return list(self.ops).index(name) * int(self.vector.units) // len(self.ops)

    # Names of components and channels

    def _takes(self, layer: str) -> str:
        """Return the component that takes a layer's inputs."""
        return f"{self.name['tile_inputs' if self.where[layer] == 'tile' else 'task_queue']}[{layer}]"

    def _gives(self, layer: str) -> str:
        """Return the component that gives a layer's outputs."""
        if layer == FEATURES:
            return self.name["features"]
        return f"{self.name['accumulator' if self.where[layer] == 'tile' else 'task_queue']}[{layer}]"

    def _edge(self, producer: str, consumer: str) -> str:
        """Return the channel from one layer to another."""
        return self.parts.channel(self._gives(producer), self._takes(consumer))

    def _jobs(self, op: GraphOp, takes: tuple[str, ...], gives: tuple[str, ...]) -> list[Job]:
        name, where, cluster = op.name, self.where[op.name], self._cluster(op.name)
        last = name == next(reversed(self.ops))
        vector, memory = (f"{self.name[kind]}[{cluster}]" for kind in ("vector_unit", "activations"))
        if where == "tile":
            return self._tile_jobs(op, takes, gives, (f"{self.name['bus']}[{cluster}]", vector, memory), last)
        members = {
            "vector": (vector, memory),
            "attention": (f"{self.name.get('attention_engine')}[{cluster}]", memory),
            "digital": (self.name.get("mac_array", ""), self.name.get("weights", ""), vector, memory),
        }[where]
        work = MappingProxyType({"stage": where})
        return [Job(name, name, self._takes(name), members, takes, gives, last=last, work=work)]

    def _tile_jobs(
        self, op: GraphOp, takes: tuple[str, ...], gives: tuple[str, ...], cluster: tuple[str, ...], last: bool
    ) -> list[Job]:
        """Return deliver; read and convert of every copy, a phase being converted while the next is read; collect."""
        name, copies = op.name, self.maps[op.name].matrix.copies
        inputs, sums = self._takes(name), self._gives(name)
        parts = {**self.name, "adc": adc_of(name, self.architecture)}
        to_rows, to_sums, between = [], [], []
        for copy in range(copies):
            at = name if copies == 1 else f"{name}/{copy}"
            part = {kind: f"{component}[{at}]" for kind, component in parts.items()}
            rows = self.parts.channel(inputs, part["crossbar"])
            columns = self.parts.channel(part["crossbar"], part["adc"])
            done = self.parts.channel(part["adc"], sums)
            to_rows.append(rows)
            to_sums.append(done)
            read = Job(
                f"{at}.read", name, part["crossbar"], (part["dac"], part["sample_hold"]), (rows,), (columns,),
                work=MappingProxyType({"stage": "read"}), copies=copies, copy=copy,
            )  # fmt: skip
            convert = Job(
                f"{at}.convert", name, part["adc"], (part["shift_add"],), (columns,), (done,),
                work=MappingProxyType({"stage": "convert"}), copies=copies, copy=copy,
            )  # fmt: skip
            between += in_phases(read, convert, self.architecture.of_kind("dac")[self.name["dac"]].phases())
        deliver, collect = (MappingProxyType({"stage": stage}) for stage in ("deliver", "collect"))
        return [
            Job(f"{name}.deliver", name, inputs, cluster, takes, tuple(to_rows), work=deliver),
            *between,
            Job(f"{name}.collect", name, sums, cluster, tuple(to_sums), gives, last=last, work=collect),
        ]

    # Frames that a layer needs, and room for them

    def _window(self, op: GraphOp) -> Window:
        """Return which frames a layer reads. A row of an op that has several in a frame counts as its frame."""
        batch = self.architecture.placement(op.name).batch if self.where[op.name] == "digital" else 1
        if isinstance(op, AttentionOp):
            return Window(whole=True) if op.chunk is None else Window(behind=op.left, batch=op.chunk)
        rows_in = self.stride // self.rows[op.reads()[0]].stride
        if isinstance(op, QDepthwiseOp):
            return Window(-(-(op.taps - 1 - op.behind()) // rows_in), -(-op.behind() // rows_in), batch=batch)
        if isinstance(op, QConvOp):
            half = op.kernel[0] // 2
            # The last of a frame's rows reads half of the taps ahead of a place that is stride - 1 rows from the end.
            return Window(-(-max(half - op.stride[0] + 1, 0) // rows_in), -(-half // rows_in), batch=batch)
        return Window(batch=batch)

    def _capacity(self, producer: str, consumer: str) -> int:
        """Return the tokens that a channel holds: as many as it must, and what the architecture gives beyond one."""
        least = slots(self.delays[producer], self.delays[consumer], self.windows[consumer], self.longest)
        ends = part_of(self._gives(producer)), part_of(self._takes(consumer))
        given = next((c.capacity for c in self.architecture.spec.channels if (c.from_, c.to) == ends), 1)
        return least + given - 1

    def _longest(self) -> int:
        """Return the frames of the longest utterance that the engines can attend over; any where they need not."""
        if not any(isinstance(op, AttentionOp) and op.chunk is None for op in self.ops.values()):
            return ANY_LENGTH
        return int(self.architecture.of_kind("attention_engine")[self.name["attention_engine"]].frames)

    # Checks

    def _check_placement(self) -> None:
        matrices = [op.name for op in self.ops.values() if isinstance(op, WeightedOp)]
        for pattern in self.architecture.spec.placement:
            if not any(fnmatchcase(name, pattern) for name in matrices):
                self.parts.problem(
                    f"placement names a layer '{pattern}', there is none with weights", did_you_mean(pattern, matrices)
                )

    def _check_numbers(self) -> None:
        for name, op in self.ops.items():
            if isinstance(op, WeightedOp) and op.in_float():
                multiplies = self.name["crossbar" if self.where[name] == "tile" else "mac_array"]
                self.parts.problem(f"layer '{name}' has float16 weights, '{multiplies}' multiplies integers")

    def _tile_map(self) -> TileMap | None:
        """Lay the matrices that are on tiles onto the chip's; raises InputError when they do not fit."""
        placement = self.architecture.placement
        matrices = []
        for name, op in self.ops.items():
            if self.where[name] != "tile" or not isinstance(op, WeightedOp):
                continue
            if isinstance(op, QConvOp):
                self.parts.problem(f"layer '{name}' ({op.op}) cannot lie on tiles: place it with 'where: digital'")
                continue
            inputs, outputs = op.matrix([self.rows[read] for read in op.reads()])
            depthwise = isinstance(op, QDepthwiseOp)
            matrices.append(Matrix(name, inputs, outputs, op.weight_bits, depthwise, placement(name).copies))
        self.parts.stop_on_problems()
        if not matrices:
            return None
        crossbar = self.architecture.of_kind("crossbar")[self.name["crossbar"]]
        try:
            return map_matrices(
                matrices, tile_rows=crossbar.rows, tile_columns=crossbar.columns, cell_bits=crossbar.cell_bits,
                sign=cast(Sign, crossbar.sign), tiles=crossbar.tiles,
            )  # fmt: skip
        except InputError as error:
            for problem in error.problems:
                self.parts.problem(problem.message)
        self.parts.stop_on_problems()
        return None

    def _check_fit(self) -> None:
        components, parts = self.architecture.components(), self.parts
        width = self.workload.spec.inputs.width() * self.stride
        if width > (entries := components[self.name["features"]].entries):  # type: ignore[attr-defined]
            parts.problem(f"{width} features of a frame do not fit the {entries} entries of '{self.name['features']}'")
        jobs = sum(where != "tile" for where in self.where.values())
        if jobs > (entries := components[self.name["task_queue"]].entries):  # type: ignore[attr-defined]
            parts.problem(f"'{self.name['task_queue']}' has {entries} entries for {jobs} layers outside tiles")
        for kind in ("attention_engine", "bus"):
            if kind in self.name and (units := components[self.name[kind]].units) != self.vector.units:  # type: ignore[attr-defined]
                parts.problem(
                    f"'{self.name['vector_unit']}' has {self.vector.units} units, one per cluster, "
                    f"'{self.name[kind]}' has {units}"
                )
        banks, memory = components[self.name["activations"]].banks, self.name["activations"]  # type: ignore[attr-defined]
        if banks % self.vector.units:
            parts.problem(f"the {banks} banks of '{memory}' cannot be shared out to {self.vector.units} clusters")
        for name, op in self.ops.items():
            if isinstance(op, AttentionOp) and (rows := self.stride // self.rows[name].stride) > 1:
                parts.problem(
                    f"layer '{name}' attends over {rows} rows for one of the outputs: pool or stride before it"
                )
            elif isinstance(op, AttentionOp) and op.chunk is not None:
                engine, seen = components[self.name["attention_engine"]], op.left + op.chunk
                if seen > engine.frames:  # type: ignore[attr-defined]
                    parts.problem(
                        f"layer '{name}' sees {seen} frames, '{self.name['attention_engine']}' holds the scores of "
                        f"{engine.frames}"  # type: ignore[attr-defined]
                    )
        self._check_digital()
        if self.maps:
            self._check_tiles()

    def _check_digital(self) -> None:
        ops = [op for name, op in self.ops.items() if self.where[name] == "digital" and isinstance(op, WeightedOp)]
        if not ops:
            return
        array = self.architecture.of_kind("mac_array")[self.name["mac_array"]]
        memory = self.architecture.of_kind("sram").get(self.name["weights"])
        if memory is None:
            self.parts.problem(f"'{self.name['weights']}' must be an sram to hold the weights of a graph")
            return
        needed = 0
        for op in ops:
            shape = op.shapes([self.rows[read] for read in op.reads()])["weight"]
            needed += math.prod(shape) * op.weight_bits
            if op.weight_bits > array.weight_bits or array.input_bits < CODE_BITS:
                self.parts.problem(
                    f"layer '{op.name}' has {op.weight_bits}-bit weights and {CODE_BITS}-bit inputs, "
                    f"'{self.name['mac_array']}' takes {array.weight_bits} and {array.input_bits}"
                )
        if needed > memory.bits():
            self.parts.problem(
                f"the weights take {needed / 8192:.0f} KiB, '{self.name['weights']}' has {memory.bits() / 8192:.0f}"
            )

    def _check_tiles(self) -> None:
        """See that every kind of part in a tile stands in enough tiles, and that converters serve all columns."""
        parts, kinds = self.parts, self.architecture.of_kind
        crossbar = kinds("crossbar")[self.name["crossbar"]]
        with_adc: dict[str, int] = {}
        for name, lies in self.maps.items():
            check_converters(lies, parts)
            adc = adc_of(name, self.architecture)
            with_adc[adc] = with_adc.get(adc, 0) + lies.numbers
            check_tile(f"layer '{name}'", lies.matrix.weight_bits, adc, parts)
        taken = sum(with_adc.values())
        shared = ("dac", "sample_hold", "shift_add", "accumulator", "tile_inputs", "crossbar")
        for part, tiles in (*((self.name[kind], taken) for kind in shared), *with_adc.items()):
            if (there := self.architecture.components()[part].tiles) < tiles:  # type: ignore[attr-defined]
                parts.problem(f"'{part}' stands in {there} tiles, {tiles} are needed, depthwise columns included")
        inputs = kinds("register_file")[self.name["tile_inputs"]]
        if inputs.entries < crossbar.rows:
            parts.problem(
                f"'{self.name['tile_inputs']}' holds {inputs.entries} of the {crossbar.rows} inputs of a tile"
            )

    def _check_memory(self, tokens: MappingType[str, list[int]]) -> None:
        """See that all buffers fit the activation memory; ``tokens``: what the channels behind a layer hold."""
        bits = 0
        for name, held in tokens.items():
            if name == FEATURES:
                continue
            per_token = self.rows[name].width * (self.stride // self.rows[name].stride)
            per_token *= output_bits(self.ops[name], self.workload.tensors, self.vector.number)
            count = 2 * self.reach - 1 if name in self.positional else max(held, default=1)
            bits += count * per_token
        for table in self.tables.values():
            learned = f"{table.name}.table" in self.workload.tensors
            bits += self.rows[table.name].width * CODE_BITS * (2 * (table.reach or 0) + 1 if learned else 0)
        if any(table.reach is None for table in self.tables.values()):
            bits += (2 * self.reach - 1) * max(self.rows[name].width for name in self.tables) * CODE_BITS
        memory = self.architecture.of_kind("sram")[self.name["activations"]]
        if bits > memory.bits():
            length = "" if self.longest == ANY_LENGTH else f" for utterances of {self.longest} frames"
            self.parts.problem(
                f"the buffers between layers take {bits / 8192:.0f} KiB{length}, "
                f"'{self.name['activations']}' has {memory.bits() / 8192:.0f}"
            )
