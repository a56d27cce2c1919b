"""Dense layers on crossbar tiles: every matrix is cut into tiles, and every tile works on its own.

A frame's vector goes over the bus or mesh into the input registers of the tiles, the rows are driven in one or several
phases, the columns of a phase are converted while the next one is read, and the partial sums come back.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import cast

from accelsim.architecture import Architecture
from accelsim.components.adc import Adc
from accelsim.components.crossbar import Crossbar
from accelsim.components.dac import Dac
from accelsim.components.mesh import Mesh
from accelsim.errors import did_you_mean
from accelsim.kernels.crossbar import Sign
from accelsim.schedule.converters import check_converters, check_tile, in_phases
from accelsim.schedule.job import Job, Schedule
from accelsim.schedule.mapping import Mapping, Matrix, TileMap, map_matrices
from accelsim.schedule.parts import Parts
from accelsim.schema.workload import FEATURES, LinearOp
from accelsim.workload import Workload

HUB = 0
"""The tile at whose router the input buffer and the accumulator are."""


def schedule_tiles(workload: Workload, architecture: Architecture) -> Schedule:
    """Cut a network of dense layers into jobs per tile; raises InputError when it does not fit the chip."""
    return _Tiles(workload, architecture).schedule()


def _map_layers(workload: Workload, architecture: Architecture) -> TileMap:
    """Lay the matrices of a network onto the chip's tiles; raises InputError when they do not fit."""
    crossbar: Crossbar = next(iter(architecture.of_kind("crossbar").values()))
    spec = workload.spec
    matrices = [
        Matrix(
            layer.name, spec.inputs_of(layer), layer.outputs, layer.weight_bits,
            copies=architecture.placement(layer.name).copies,
        )
        for layer in spec.layers
        if isinstance(layer, LinearOp)
    ]  # fmt: skip
    return map_matrices(
        matrices, tile_rows=crossbar.rows, tile_columns=crossbar.columns, cell_bits=crossbar.cell_bits,
        sign=cast(Sign, crossbar.sign), tiles=crossbar.tiles,
    )  # fmt: skip


class _Tiles:
    def __init__(self, workload: Workload, architecture: Architecture) -> None:
        self.workload = workload
        self.architecture = architecture
        self.parts = parts = Parts(workload, architecture, "dense layers on tiles need")
        kinds = ("dac", "crossbar", "sample_hold", "adc", "shift_add", "accumulator")
        self.name = {kind: parts.only(kind) for kind in kinds}
        self.name |= {role: parts.storing(role) for role in ("features", "tile_inputs", "tile_outputs")}
        self.network = parts.only("bus", "mesh")
        self.parts.stop_on_problems()
        self.dac: Dac = architecture.of_kind("dac")[self.name["dac"]]
        self.crossbar: Crossbar = architecture.of_kind("crossbar")[self.name["crossbar"]]
        self.adc: Adc = architecture.of_kind("adc")[self.name["adc"]]
        layers = workload.spec.layers
        self.layer = next(layer for layer in layers if isinstance(layer, LinearOp))
        if len(layers) > 1:
            parts.problem(f"tiles run one dense layer, found {', '.join(layer.name for layer in layers)}")
        self._check_placement()
        self._check_fit()
        self.parts.stop_on_problems()

    def schedule(self) -> Schedule:
        """Return the jobs of one frame: load; per tile deliver, read, convert, send; and the sum."""
        layer, source, summed = self.layer, self.name["features"], self.name["accumulator"]
        tile_map = _map_layers(self.workload, self.architecture)
        lies = tile_map.mappings[0]
        check_converters(lies, self.parts)
        delivered = tuple(self.parts.channel(source, self._in("tile_inputs", tile)) for tile in lies.tile_numbers())
        sent = tuple(self.parts.channel(self._in("tile_outputs", tile), summed) for tile in lies.tile_numbers())
        jobs = [Job("load", FEATURES, source, gives=delivered, paced=True)]
        for tile, from_source in zip(lies.tile_numbers(), delivered, strict=True):
            jobs += self._tile_jobs(layer, lies, tile, from_source)
        work = MappingProxyType({"row_tiles": lies.row_tiles})
        jobs.append(Job(f"{layer.name}.sum", layer.name, summed, takes=sent, last=True, work=work))
        self.parts.stop_on_problems()
        return Schedule(tuple(jobs), tile_map)

    def _tile_jobs(self, layer: LinearOp, lies: Mapping, tile: int, from_source: str) -> list[Job]:
        """Return the jobs of one tile; a phase is converted while the next one is read."""
        inside = {key: self._in(key, tile) for key in self.name}
        to_rows = self.parts.channel(inside["tile_inputs"], inside["crossbar"])
        to_converters = self.parts.channel(inside["crossbar"], inside["adc"])
        to_outputs = self.parts.channel(inside["adc"], inside["tile_outputs"])
        to_sum = self.parts.channel(inside["tile_outputs"], self.name["accumulator"])
        copy, row, column = lies.place(tile)

        def job(stage: str, names: tuple[str, ...], takes: tuple[str, ...], gives: tuple[str, ...]) -> Job:
            what: dict[str, int | str | bool] = {"stage": stage, "row": row, "column": column}
            leader, *lockstep = names
            return Job(
                f"{layer.name}[{tile}].{stage}", layer.name, leader, tuple(lockstep), takes, gives,
                work=MappingProxyType(what), copies=lies.matrix.copies, copy=copy,
            )  # fmt: skip

        read = job("read", (inside["crossbar"], inside["dac"], inside["sample_hold"]), (to_rows,), (to_converters,))
        convert = job("convert", (inside["adc"], inside["shift_add"]), (to_converters,), (to_outputs,))
        return [
            job("deliver", (inside["tile_inputs"], *self._way(HUB, tile)), (from_source,), (to_rows,)),
            *in_phases(read, convert, self.dac.phases()),
            job("send", (inside["tile_outputs"], *self._way(tile, HUB)), (to_outputs,), (to_sum,)),
        ]

    def _way(self, start: int, end: int) -> tuple[str, ...]:
        """Return what a transfer between two tiles occupies: the bus, or the links of the mesh on its way."""
        network = self.architecture.components()[self.network]
        if isinstance(network, Mesh):
            return tuple(f"{self.network}[{a}>{b}]" for a, b in network.route(start, end))
        return (self.network,)

    def _check_placement(self) -> None:
        names = [layer.name for layer in self.workload.spec.layers]
        for pattern in self.architecture.spec.placement:
            if not any(fnmatchcase(name, pattern) for name in names):
                self.parts.problem(f"placement names a layer '{pattern}', there is none", did_you_mean(pattern, names))
        network = self.architecture.components()[self.network]
        if isinstance(network, Mesh) and network.instances() < self.crossbar.tiles:
            routers, tiles = network.instances(), self.crossbar.tiles
            self.parts.problem(f"'{self.network}' has {routers} routers, '{self.name['crossbar']}' {tiles} tiles")

    def _check_fit(self) -> None:
        layer = self.layer
        check_tile(f"layer '{layer.name}'", layer.weight_bits, self.name["adc"], self.parts)
        if self.dac.bits < layer.input_bits:
            self.parts.problem(
                f"layer '{layer.name}' has {layer.input_bits}-bit inputs, '{self.name['dac']}' takes {self.dac.bits}"
            )

    def _in(self, key: str, tile: int) -> str:
        return f"{self.name[key]}[{tile}]"
