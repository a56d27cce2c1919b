"""Values and counts of graphs: matrices on memristor tiles or an exact digital array, the rest on the vector unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import Architecture
from accelsim.errors import InputError
from accelsim.execute.activity import Execution
from accelsim.execute.cells import Cells
from accelsim.execute.graph_counts import GraphCounts
from accelsim.execute.graph_values import GraphValues, Sums, exact_sums
from accelsim.execute.inputs import feature_values, vector_arithmetic
from accelsim.kernels.conv import Starts
from accelsim.kernels.converters import Dac, dac_codes
from accelsim.kernels.crossbar import (
    Product,
    Tiles,
    depthwise_power,
    multiply,
    multiply_depthwise,
    read_power,
)
from accelsim.kernels.number import Arithmetic, Values
from accelsim.schedule.converters import converters_of
from accelsim.schedule.graph import CODE_BITS
from accelsim.schedule.job import Schedule
from accelsim.schedule.mapping import Mapping
from accelsim.schema.graph import AttentionOp, QDepthwiseOp, WeightedOp, positional
from accelsim.schema.workload import FEATURES
from accelsim.workload import Batch, Workload

CODE_SCALE = 1 << (CODE_BITS - 1)
"""The code that drives a row with the full voltage: every 8-bit code is a code of an 8-bit DAC."""


def execute_graph(
    schedule: Schedule,
    workload: Workload,
    architecture: Architecture,
    batch: Batch,
    *,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Execution:
    """Run a graph over all frames of a batch at once; ``seed`` draws the cells and their read noise.

    Raises InputError for an utterance that is longer than the attention engine's buffers, or values that no code holds.
    """
    tell = progress or (lambda _: None)
    return _Run(schedule, workload, architecture, batch, seed, tell).execution()


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
        self.schedule, self.workload, self.architecture, self.batch = schedule, workload, architecture, batch
        self.seed, self.progress = seed, progress
        spec, kinds = workload.spec, architecture.of_kind
        self.ops = spec.graph_ops()
        self.rows = spec.graph_rows()
        self.positional = positional(self.ops)
        self.vector = next(iter(kinds("vector_unit").values()))
        self.attention = next(iter(kinds("attention_engine").values()), None)
        lies = schedule.tile_map.mappings if schedule.tile_map else ()
        self.mappings = {mapping.matrix.name: mapping for mapping in lies}
        self.cells = Cells(architecture, seed) if self.mappings else None
        self.exact = exact_sums(workload.tensors, self.rows)
        self.power: dict[str, NDArray[np.float64]] = {}
        self.clipped: dict[str, int] = {}

    def execution(self) -> Execution:
        """Return the outputs of the last layer, how to make those of exact integers, and the counts of every job."""
        values = self._values(self._sums)
        try:
            outputs = values.run(FEATURES, self._features(), self.batch.starts)
        except ValueError as error:
            raise InputError.of(str(error)) from None
        last = self.ops[-1].name
        starts, subsampling = values.starts[last], self.rows[last].stride
        self._check_lengths(starts)
        power = {name: self._per_frame(name, values.starts[name], starts) for name in self.power}
        counts = GraphCounts(self.schedule, self.workload, self.architecture, starts, power)
        activity = counts.activity(values.clamped, self.clipped, self.cells.programming() if self.cells else {})
        exact = self._exact_outputs if self.mappings else None
        return Execution(outputs, {}, activity, starts=starts, subsampling=subsampling, exact=exact)

    def _exact_outputs(self) -> NDArray[Any]:
        return self._values(self.exact).run(FEATURES, self._features(), self.batch.starts)

    def _values(self, sums: Sums) -> GraphValues:
        return GraphValues(
            self.ops,
            self.rows,
            self.workload.tensors,
            vector=vector_arithmetic(self.vector),
            attention=Arithmetic(self.attention.number) if self.attention else None,
            sums=sums,
            progress=self.progress,
        )

    def _features(self) -> Values:
        return feature_values(self.workload, self.batch, self.vector.number)

    def _per_frame(self, name: str, starts: Starts, frame_starts: Starts) -> NDArray[np.float64]:
        """Return the power of a layer's cells, summed over its rows of a frame; of distances, per row.

        ``starts``: offsets of its rows. Rows that a pool leaves over at the end of an utterance are of no frame.
        """
        watts, rows_in = self.power[name], self.rows[self.ops[-1].name].stride // self.rows[name].stride
        if name in self.positional or rows_in == 1:
            return watts
        made = np.diff(starts)
        frame = (np.arange(len(watts)) - np.repeat(starts[:-1], made)) // rows_in
        kept = frame < np.repeat(np.diff(frame_starts), made)
        frame += np.repeat(frame_starts[:-1], made)
        return np.bincount(frame[kept], watts[kept], minlength=int(frame_starts[-1])).astype(np.float64)

    def _check_lengths(self, starts: Starts) -> None:
        """Raise InputError for utterances that the attention engine cannot hold."""
        if self.attention is None or not any(isinstance(op, AttentionOp) and op.chunk is None for op in self.ops):
            return
        lengths = np.diff(starts)
        long = np.flatnonzero(lengths > self.attention.frames)
        if len(long):
            name, frames = self.batch.names[long[0]], lengths[long[0]]
            raise InputError.of(
                f"{len(long)} utterances are longer than the {self.attention.frames} frames of the attention engine: "
                f"'{name}' has {frames}"
            )

    def _sums(self, op: WeightedOp, codes: NDArray[np.int8], starts: Starts) -> tuple[NDArray[Any], Starts]:
        """Multiply on the tiles of a layer that lies on some, else exactly."""
        lies = self.mappings.get(op.name)
        if lies is None:
            return self.exact(op, codes, starts)
        assert self.cells is not None
        chip = next(iter(self.architecture.of_kind("dac").values()))
        dac = Dac(chip.bits, self.cells.crossbar.read_voltage, chip.mode)
        rows = dac_codes(codes / CODE_SCALE, dac)
        sums = np.empty((len(codes), lies.matrix.outputs))
        self.power[op.name], self.clipped[op.name] = np.empty(len(codes)), 0
        for copy in range(lies.matrix.copies):
            mine = slice(copy, None, lies.matrix.copies)
            tiles = self.cells.tiles(self.workload.tensors[f"{op.name}.weight"], lies, copy)
            if lies.matrix.depthwise:
                assert isinstance(op, QDepthwiseOp)
                product, power = self._depthwise(tiles, rows, starts, dac, lies, op.behind())
                sums[mine], self.power[op.name][mine] = product.values[mine], power[mine]
                self.clipped[op.name] += int(product.clipped_per_frame[mine].sum())
            else:
                product = multiply(tiles, rows[mine], dac=dac, **self._analogue(lies))
                sums[mine], self.power[op.name][mine] = product.values, read_power(tiles, rows[mine], dac)
                self.clipped[op.name] += int(product.clipped.sum())
        return sums * CODE_SCALE, starts

    def _depthwise(
        self, tiles: Tiles, rows: NDArray[np.int16], starts: Starts, dac: Dac, lies: Mapping, behind: int
    ) -> tuple[Product, NDArray[np.float64]]:
        """Convolve every utterance for itself: zeros stand between them, and products across two are left out.

        ``behind``: how many rows before its own a row reads.
        """
        taps = lies.matrix.inputs
        lengths = np.diff(starts)
        place = np.arange(len(rows)) + np.repeat(np.arange(len(lengths)), lengths) * (taps - 1)
        padded = np.zeros((len(rows) + len(lengths) * (taps - 1), rows.shape[1]), np.int16)
        padded[place + behind] = rows
        product = multiply_depthwise(tiles, padded, dac=dac, **self._analogue(lies))
        power = depthwise_power(tiles, padded, dac)
        return Product(product.values[place], product.clipped, product.clipped_per_frame[place]), power[place]

    def _analogue(self, lies: Mapping) -> dict[str, Any]:
        assert self.cells is not None
        return {"adc": converters_of(lies, self.architecture), "noise": self.cells.noise(), "seed": self.seed}
