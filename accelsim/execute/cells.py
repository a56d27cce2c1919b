"""The cells of a run: matrices programmed onto the crossbars of a chip, and the write pulses that it took."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import Architecture
from accelsim.kernels.crossbar import NoiseModel, Tiles, program_tiles
from accelsim.schedule.mapping import Mapping


class Cells:
    """Programs matrices; ``cells`` and ``write_pulses`` keep count.

    ``seed`` decides every draw.
    """

    def __init__(self, architecture: Architecture, seed: int) -> None:
        name, self.crossbar = next(iter(architecture.of_kind("crossbar").items()))
        self.seed = seed
        self.device = architecture.devices[name]
        self.cells = self.write_pulses = 0

    def noise(self) -> NoiseModel:
        """Return the model of the read noise."""
        return "off" if self.crossbar.noise == "none" else self.crossbar.noise

    def tiles(self, weights: NDArray[np.int8], lies: Mapping, copy: int = 0) -> Tiles:
        """Return one copy of a matrix, programmed; raises ValueError for weights out of range."""
        crossbar = self.crossbar
        return program_tiles(
            weights,
            self._program,
            self.device.curves(crossbar.read_voltage, crossbar.cell_bits),
            weight_bits=lies.matrix.weight_bits,
            cell_bits=crossbar.cell_bits,
            sign=lies.sign,
            tile_rows=lies.matrix.inputs if lies.matrix.depthwise else crossbar.rows,
            tile_columns=crossbar.columns,
            first_tile=lies.first_tile + copy * lies.row_tiles * lies.column_tiles,
        )

    def programming(self) -> dict[str, int]:
        """Return what was written before the first frame."""
        return {"cells": self.cells, "write_pulses": self.write_pulses}

    def _program(self, levels: NDArray[np.uint8], arrays: NDArray[np.int64]) -> NDArray[np.float32]:
        voltage, cell_bits = self.crossbar.read_voltage, self.crossbar.cell_bits
        written = self.device.program(levels, arrays, seed=self.seed, read_voltage=voltage, cell_bits=cell_bits)
        self.write_pulses += int(written.pulses.sum())
        self.cells += levels.size
        return written.states
