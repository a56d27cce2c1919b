"""Dense layers on crossbar tiles: every matrix is cut into tiles, and every tile works on its own.

A frame's vector goes over the bus into the input registers of the tiles, the rows are driven in one or several
phases, the columns of a phase are converted while the next one is read, and the partial sums come back over the bus.
"""

from __future__ import annotations

from types import MappingProxyType

from accelsim.architecture import Architecture
from accelsim.components.adc import Adc
from accelsim.components.crossbar import Crossbar
from accelsim.components.dac import Dac
from accelsim.schedule.job import Job, Schedule
from accelsim.schedule.mapping import Mapping, Matrix, map_matrices
from accelsim.schedule.parts import Parts
from accelsim.schema.workload import FEATURES, LinearOp
from accelsim.workload import Workload


def schedule_tiles(workload: Workload, architecture: Architecture) -> Schedule:
    """Cut a network of dense layers into jobs per tile; raises InputError when it does not fit the chip."""
    return _Tiles(workload, architecture).schedule()


class _Tiles:
    def __init__(self, workload: Workload, architecture: Architecture) -> None:
        self.workload = workload
        self.architecture = architecture
        self.parts = parts = Parts(workload, architecture, "dense layers on tiles need")
        kinds = ("dac", "crossbar", "sample_hold", "adc", "shift_add", "bus", "accumulator")
        self.name = {kind: parts.only(kind) for kind in kinds}
        self.name |= {role: parts.storing(role) for role in ("features", "tile_inputs", "tile_outputs")}
        self.parts.stop_on_problems()
        self.dac: Dac = architecture.of_kind("dac")[self.name["dac"]]
        self.crossbar: Crossbar = architecture.of_kind("crossbar")[self.name["crossbar"]]
        self.adc: Adc = architecture.of_kind("adc")[self.name["adc"]]
        layers = workload.spec.layers
        self.layer = next(layer for layer in layers if isinstance(layer, LinearOp))
        if len(layers) > 1:
            parts.problem(f"tiles run one dense layer, found {', '.join(layer.name for layer in layers)}")
        self._check_fit()
        self.parts.stop_on_problems()

    def schedule(self) -> Schedule:
        """Return the jobs of one frame: load; per tile deliver, read, convert, send; and the sum."""
        layer, source, summed = self.layer, self.name["features"], self.name["accumulator"]
        lies = self._mapped(layer)
        rows, columns = lies.row_tiles, lies.column_tiles
        tiles = range(lies.first_tile, lies.first_tile + rows * columns)
        delivered = tuple(self.parts.channel(source, self._in("tile_inputs", tile)) for tile in tiles)
        sent = tuple(self.parts.channel(self._in("tile_outputs", tile), summed) for tile in tiles)
        jobs = [Job("load", FEATURES, source, gives=delivered, paced=True)]
        for index, tile in enumerate(tiles):
            jobs += self._tile_jobs(layer, tile, delivered[index], index // columns, index % columns)
        work = MappingProxyType({"row_tiles": rows, "column_tiles": columns, "first_tile": tiles.start})
        jobs.append(Job(f"{layer.name}.sum", layer.name, summed, takes=sent, last=True, work=work))
        self.parts.stop_on_problems()
        return Schedule(tuple(jobs))

    def _tile_jobs(self, layer: LinearOp, tile: int, from_source: str, row: int, column: int) -> list[Job]:
        """Return the jobs of one tile; a phase is converted while the next one is read."""
        inside = {key: self._in(key, tile) for key in self.name}
        to_rows = self.parts.channel(inside["tile_inputs"], inside["crossbar"])
        to_converters = self.parts.channel(inside["crossbar"], inside["adc"])
        to_outputs = self.parts.channel(inside["adc"], inside["tile_outputs"])
        to_sum = self.parts.channel(inside["tile_outputs"], self.name["accumulator"])

        def work(stage: str) -> MappingProxyType[str, int | str | bool]:
            return MappingProxyType({"stage": stage, "tile": tile, "row": row, "column": column})

        prefix, phases = f"{layer.name}[{tile}]", self.dac.phases()
        jobs = [
            Job(
                f"{prefix}.deliver", layer.name, inside["tile_inputs"], (self.name["bus"],), (from_source,), (to_rows,),
                work=work("deliver"),
            )
        ]  # fmt: skip
        for phase in range(phases):
            lockstep = (inside["dac"], inside["sample_hold"])
            takes = (to_rows,) if phase == 0 else ()
            jobs.append(
                Job(
                    f"{prefix}.read.{phase}", layer.name, inside["crossbar"], lockstep, takes, (to_converters,),
                    work=work("read"),
                )
            )  # fmt: skip
        for phase in range(phases):
            gives = (to_outputs,) if phase == phases - 1 else ()
            jobs.append(
                Job(
                    f"{prefix}.convert.{phase}", layer.name, inside["adc"], (inside["shift_add"],), (to_converters,),
                    gives, work=work("convert"),
                )
            )  # fmt: skip
        jobs.append(
            Job(
                f"{prefix}.send", layer.name, inside["tile_outputs"], (self.name["bus"],), (to_outputs,), (to_sum,),
                work=work("send"),
            )
        )  # fmt: skip
        return jobs

    def _check_fit(self) -> None:
        layer = self.layer
        if layer.weight_bits - 1 > self.crossbar.planes:
            self.parts.problem(
                f"layer '{layer.name}' has {layer.weight_bits}-bit weights, {layer.weight_bits - 1} planes; "
                f"'{self.name['crossbar']}' has {self.crossbar.planes}"
            )
        if self.dac.bits < layer.input_bits:
            self.parts.problem(
                f"layer '{layer.name}' has {layer.input_bits}-bit inputs, '{self.name['dac']}' takes {self.dac.bits}"
            )
        columns = self.crossbar.columns * self.crossbar.planes
        if self.adc.shared_by > columns:
            self.parts.problem(f"'{self.name['adc']}' is shared by {self.adc.shared_by} columns, a tile has {columns}")
        elif self.adc.units * self.adc.shared_by < columns:
            self.parts.problem(
                f"{self.adc.units} converters shared by {self.adc.shared_by} serve "
                f"{self.adc.units * self.adc.shared_by} of the {columns} columns of a tile"
            )
        if self.dac.units < self.crossbar.rows:
            self.parts.problem(f"'{self.name['dac']}' drives {self.dac.units} of {self.crossbar.rows} rows")

    def _mapped(self, layer: LinearOp) -> Mapping:
        """Return where the layer's matrix lies; raises InputError when it does not fit the tiles."""
        matrix = Matrix(layer.name, self.workload.spec.inputs_of(layer), layer.outputs, layer.weight_bits)
        rows, columns = self.crossbar.rows, self.crossbar.columns
        return map_matrices([matrix], tile_rows=rows, tile_columns=columns, tiles=self.crossbar.tiles).mappings[0]

    def _in(self, key: str, tile: int) -> str:
        return f"{self.name[key]}[{tile}]"
