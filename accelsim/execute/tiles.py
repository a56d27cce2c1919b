"""Values and counts of dense layers on memristor tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import Architecture
from accelsim.errors import InputError
from accelsim.execute.activity import Activity, Execution
from accelsim.execute.cells import Cells
from accelsim.kernels.converters import Dac, dac_codes
from accelsim.kernels.crossbar import multiply, read_power
from accelsim.kernels.fixed_point import requantise
from accelsim.schedule.converters import converters_of
from accelsim.schedule.job import Job, Schedule
from accelsim.schema.workload import FEATURES, LinearOp
from accelsim.workload import Batch, Workload

Counts = dict[tuple[str, str], dict[str, NDArray[np.int64]]]


def execute_tiles(
    schedule: Schedule,
    workload: Workload,
    architecture: Architecture,
    batch: Batch,
    *,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Execution:
    """Program the matrices of a network onto tiles and run all frames through them at once.

    ``seed`` draws the cells and their read noise.
    """
    run = _Run(schedule, workload, architecture, batch, seed, progress or (lambda _: None))
    return run.execution()


class _Run:
    def __init__(
        self,
        schedule: Schedule,
        workload: Workload,
        architecture: Architecture,
        batch: Batch,
        seed: int,
        progress: Callable[[str], None],
    ) -> None:
        assert schedule.tile_map is not None
        self.jobs = schedule.jobs
        self.mappings = {mapping.matrix.name: mapping for mapping in schedule.tile_map.mappings}
        self.architecture = architecture
        self.workload = workload
        self.batch = batch
        self.seed = seed
        self.progress = progress
        self.frames = len(batch.features)
        kinds = architecture.of_kind
        self.crossbar = next(iter(kinds("crossbar").values()))
        self.dac = next(iter(kinds("dac").values()))
        self.network = next(iter((kinds("bus") | kinds("mesh")).values()))
        self.registers = {spec.stores: spec for spec in kinds("register_file").values()}
        self.accumulator = next(iter(kinds("accumulator").values()))
        self.cells = Cells(architecture, seed)
        self.nanowatts: dict[str, NDArray[np.int64]] = {}
        self.clipped: dict[str, int] = {}
        self.saturations: dict[str, int] = {}

    def execution(self) -> Execution:
        """Return the outputs of the last layer and the counts of every job."""
        made: dict[str, NDArray[Any]] = {FEATURES: self.batch.features}
        for layer in self.workload.spec.layers:
            assert isinstance(layer, LinearOp)
            self.progress(layer.name)
            made[layer.name] = self._layer(layer, made[layer.input])
        return Execution(made[self.workload.spec.layers[-1].name], {}, self._activity())

    def _layer(self, layer: LinearOp, source: NDArray[Any]) -> NDArray[np.float64]:
        """Return the products of one layer, in units of weight x input: [frames, outputs]."""
        full_scale = 1 << (layer.input_bits - 1)
        centred, clamped = requantise(source, layer.input_scale, layer.input_offset, -full_scale, full_scale - 1)
        self.saturations[layer.name] = clamped
        dac = Dac(self.dac.bits, self.crossbar.read_voltage, self.dac.mode)
        codes = dac_codes(centred / full_scale, dac)
        lies = self.mappings[layer.name]
        values = np.empty((self.frames, layer.outputs))
        power = np.empty((self.frames, lies.row_tiles, lies.column_tiles))
        self.clipped[layer.name] = 0
        for copy in range(lies.matrix.copies):
            mine = slice(copy, None, lies.matrix.copies)
            try:
                tiles = self.cells.tiles(self.workload.tensor(layer.weights), lies, copy)
                product = multiply(
                    tiles, codes[mine], dac=dac, adc=converters_of(lies, self.architecture), noise=self.cells.noise(),
                    seed=self.seed,
                )  # fmt: skip
            except ValueError as error:
                raise InputError.of(f"layer '{layer.name}': {error}") from None
            values[mine] = product.values * full_scale
            power[mine] = read_power(tiles, codes[mine], dac, per_tile=True)
            self.clipped[layer.name] += int(product.clipped.sum())
        self.nanowatts[layer.name] = np.rint(power * 1e9).astype(np.int64)
        return values

    def _activity(self) -> Activity:
        counts: Counts = {}
        macs = {}
        for job in self.jobs:
            layer = next((layer for layer in self.workload.spec.layers if layer.name == job.layer), None)
            if not isinstance(layer, LinearOp):
                self._count(counts, job, job.component, write=len(self.batch.features[0]))
            elif job.name == f"{layer.name}.sum":
                self._count_sum(counts, job, layer)
                macs[job.name] = self._macs(layer)
            else:
                self._count_tile(counts, job, layer)
        conversions = {name: self._conversions(name, counts) for name in self.clipped}
        return Activity(
            counts,
            macs,
            self.saturations,
            {},
            {name: (conversions[name], clipped) for name, clipped in self.clipped.items()},
            self.cells.programming(),
        )

    def _count_tile(self, counts: Counts, job: Job, layer: LinearOp) -> None:
        """Count one job of one tile: what is delivered, read, converted or sent per frame."""
        rows, columns = self.crossbar.rows, self.crossbar.columns
        row, column = int(job.work["row"]), int(job.work["column"])
        used_rows = min(rows, self.workload.spec.inputs_of(layer) - row * rows)
        used_columns = min(columns, layer.outputs - column * columns)
        planes = self.mappings[layer.name].planes
        conversions = used_columns * planes
        stage = job.work["stage"]
        member = job.members()
        if stage == "deliver":
            self._count(counts, job, member[0], write=used_rows)
            self._count_transfer(counts, job, used_rows * self.registers["tile_inputs"].width_bits)
        elif stage == "read":
            arrays = planes * self.crossbar.arrays_per_plane()
            power = self.nanowatts[layer.name][:, row, column] * self._working(job)
            counts[job.name, member[0]] = {"phases": self._working(job), "nanowatt_read": power}
            self._count(counts, job, member[1], phases=1, drive=used_rows * arrays)
            self._count(counts, job, member[2], phases=1, sample=conversions)
        elif stage == "convert":
            self._count(counts, job, member[0], convert=conversions)
            self._count(counts, job, member[1], add=conversions)
        else:
            self._count(counts, job, member[0], write=used_columns)
            self._count_transfer(counts, job, used_columns * self.registers["tile_outputs"].width_bits)

    def _count_transfer(self, counts: Counts, job: Job, bits: int) -> None:
        """Count the words that a transfer puts on each link of its way."""
        words = -(-bits // self.network.width_bits)
        routed = {"route": words, "hops": len(job.lockstep)} if self.network.kind == "mesh" else {}
        for link in job.lockstep:
            self._count(counts, job, link, transfer=words, **routed)

    def _count_sum(self, counts: Counts, job: Job, layer: LinearOp) -> None:
        additions = layer.outputs * (int(job.work["row_tiles"]) - 1)
        groups = -(-max(additions, layer.outputs) // self.accumulator.units)
        self._count(counts, job, job.component, add=additions, write=layer.outputs, groups=groups)

    def _count(self, counts: Counts, job: Job, component: str, **values: int) -> None:
        """Note counts that are the same in every frame in which the job is done."""
        counts[job.name, component] = {name: self._working(job) * value for name, value in values.items()}

    def _working(self, job: Job) -> NDArray[np.int64]:
        """Return 1 for the frames in which a job is done, 0 for those of other copies: [frames]."""
        return (np.arange(self.frames) % job.copies == job.copy).astype(np.int64)

    def _macs(self, layer: LinearOp) -> dict[str, int]:
        """A crossbar skips nothing: every weight is multiplied in every frame."""
        dense = self.frames * self.workload.spec.inputs_of(layer) * layer.outputs
        return {"dense": dense, "performed": dense, "skipped": 0}

    def _conversions(self, layer: str, counts: Counts) -> int:
        return sum(
            int(values["convert"].sum())
            for (job, _), values in counts.items()
            if job.startswith(f"{layer}[") and "convert" in values
        )
