"""The matrices of a graph on memristor tiles in plain NumPy: one array after the other, currents by Ohm and Kirchhoff.

Nothing here is shared with the executor but the devices: where a matrix lies, which cells hold what, the windows of a
depthwise convolution, converters and power are written anew from what their docstrings say. There is no read noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from reference_graph import WEIGHTED, placed

from accelsim.architecture import Architecture
from accelsim.workload import Workload


@dataclass
class PlainTiles:
    """``sums`` multiplies as `accelsim.ops.op.Multiply` do; ``watts[layer]``: of the cells, per row."""

    workload: Workload
    chip: Architecture
    seed: int
    watts: dict[str, np.ndarray] = field(default_factory=dict)
    cells: dict[tuple[int, int, int], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.crossbar, self.dac, self.adc = (
            next(iter(self.chip.of_kind(kind).values())) for kind in ("crossbar", "dac", "adc")
        )
        self.device = next(iter(self.chip.devices.values()))
        self.curves = self.device.curves(self.crossbar.read_voltage, self.crossbar.cell_bits)
        self.first: dict[str, int] = {}
        tile = 0
        for op in self.workload.graph.ops:
            if op.op not in WEIGHTED or placed(self.chip, op)[0] == "digital":
                continue
            self.first[op.name] = tile
            inputs, outputs = self.workload.tensors[f"{op.name}.weight"].shape
            row_tiles = 1 if op.op == "depthwise" else ceil(inputs, self.crossbar.rows)
            tile += placed(self.chip, op)[1].copies * row_tiles * ceil(outputs, self.crossbar.columns)

    def sums(self, op: Any, codes: np.ndarray, starts: np.ndarray, beyond: int) -> tuple[np.ndarray, np.ndarray]:
        assert beyond == 0  # of the symmetric codes of these networks
        weights = self.workload.tensors[f"{op.name}.weight"].astype(int)
        if op.name not in self.first:
            if op.op == "linear":
                return codes.astype(int) @ weights, starts
            return depthwise(codes.astype(int), weights, starts), starts
        copies = placed(self.chip, op)[1].copies
        rows, columns = (len(weights) if op.op == "depthwise" else self.crossbar.rows), self.crossbar.columns
        grid = ceil(weights.shape[0], rows), ceil(weights.shape[1], columns)
        found = np.zeros((len(codes), weights.shape[1]))
        self.watts[op.name] = np.zeros(len(codes))
        for t in range(len(codes)):
            tile = self.first[op.name] + t % copies * grid[0] * grid[1]
            if op.op == "depthwise":
                first = max(start for start in starts[:-1] if start <= t)
                last = min(end for end in starts[1:] if end > t)
                inputs = np.zeros((rows, weights.shape[1]), int)  # of every column
                for tap in range(rows):
                    if first <= (source := t + tap - rows // 2) < last:
                        inputs[tap] = codes[source]
            else:
                inputs = np.zeros((grid[0] * rows, 1), int)  # of all columns
                inputs[: len(weights), 0] = codes[t]
            for k in range(grid[0]):
                for m in range(grid[1]):
                    here = slice(m * columns, min((m + 1) * columns, weights.shape[1]))
                    part = inputs[k * rows : (k + 1) * rows]
                    part = part[:, here] if op.op == "depthwise" else part
                    held = weights[k * rows : (k + 1) * rows, here]
                    value, watts = self.tile(held, part, tile + k * grid[1] + m, rows, op.weight_bits)
                    found[t, here] += value
                    self.watts[op.name][t] += watts
        return found * 128, starts

    def tile(self, held: np.ndarray, codes: np.ndarray, tile: int, rows: int, bits: int) -> tuple[np.ndarray, float]:
        """The product of one tile: codes [rows, 1 or its columns], of 128 steps -> values [columns], and watts."""
        levels, top = 2**self.crossbar.cell_bits, 2 ** (self.dac.bits - 1)
        scaled = codes * top // 128
        phases = self.dac.bits if self.dac.mode == "bit_serial" else 1
        planes = ceil(bits - 1 if self.crossbar.sign == "pair" else bits, self.crossbar.cell_bits)
        value, joules = np.zeros(held.shape[1]), 0.0
        for phase in range(phases):
            if phases == 1:
                volts = scaled / top * self.crossbar.read_voltage
            else:
                volts = np.sign(scaled) * (np.abs(scaled) >> phase & 1) * self.crossbar.read_voltage
            for plane in range(planes):
                currents = []
                for sign in (0, 1):
                    if (tile, plane, sign) not in self.cells:
                        self.cells[tile, plane, sign] = self.states(held, tile, plane, sign, rows, bits)
                    r = self.cells[tile, plane, sign]
                    v = volts if volts.shape[1] == 1 else np.pad(volts, ((0, 0), (0, r.shape[1] - volts.shape[1])))
                    amperes = np.polyval(self.curves.low, v) * (1 - r) + np.polyval(self.curves.high, v) * r
                    joules += (v * amperes).sum() / phases
                    currents.append(amperes.sum(axis=0))
                difference = ((currents[0] - currents[1]) / self.curves.unit)[: held.shape[1]]
                weight = levels**plane * (1 if phases == 1 else 2**phase / top)
                value += weight * self.converted(difference)
        return value, joules

    def states(self, held: np.ndarray, tile: int, plane: int, sign: int, rows: int, bits: int) -> np.ndarray:
        """The cells of one array: digits of the positive or the negative weights, or of weight + offset and offset."""
        block = np.zeros((rows, self.crossbar.columns), int)
        block[: held.shape[0], : held.shape[1]] = held
        if self.crossbar.sign == "pair":
            digits = np.maximum(block if sign == 0 else -block, 0)
        else:
            offset = 2 ** (bits - 1) - 1
            digits = block + offset if sign == 0 else np.full((rows, 1), offset)
        cell_bits = self.crossbar.cell_bits
        target = ((digits >> plane * cell_bits) % 2**cell_bits).astype(np.uint8)
        array = np.array([2 * (64 * tile + plane) + sign])
        volts = self.crossbar.read_voltage
        written = self.device.program(target[None], array, seed=self.seed, read_voltage=volts, cell_bits=cell_bits)
        return written.states[0].astype(float)

    def converted(self, y: np.ndarray) -> np.ndarray:
        if self.adc.ideal:
            return y
        step, limit = 2**self.adc.precision_bits, 2 ** (self.adc.precision_bits + self.adc.range_bits - 1)
        return np.array([max(-limit, min(limit, round(x * step))) / step for x in y])


def depthwise(codes: np.ndarray, weights: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """y[t] = sum_i x[t + i - taps // 2] w[i] within each utterance, one product at a time."""
    y = np.zeros(codes.shape, int)
    for first, last in pairwise(starts):
        for t in range(first, last):
            for i in range(len(weights)):
                if first <= t + i - len(weights) // 2 < last:
                    y[t] += codes[t + i - len(weights) // 2] * weights[i]
    return y


def ceil(a: int, b: int) -> int:
    return -(-a // b)
