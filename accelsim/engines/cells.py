"""The cells of a run: matrices programmed onto the crossbars of a chip, and the write pulses that it took."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import Architecture
from accelsim.components.crossbar import Crossbar
from accelsim.components.dac import Dac
from accelsim.devices import Device, Programmed
from accelsim.engines.effective_cache import cached_effective
from accelsim.kernels.arrays import ArrayModel, Drops
from accelsim.kernels.cells import CellProgram
from accelsim.kernels.crossbar import Curves, ReadVariance, Tiles, chords, program_tiles
from accelsim.kernels.read_noise import NoiseModel
from accelsim.kernels.wires import Wires
from accelsim.placement import Problems
from accelsim.schedule.mapping import TileMapping
from accelsim.schema.source import Location


def first_tile(chip: Architecture, crossbar: str) -> int:
    """Return the number of a crossbar's first tile in draws: no two tiles of a chip share one, so none share a draw.

    The tiles of the crossbars that stand before it in the file come first.
    """
    before = takewhile(lambda part: part[0] != crossbar, chip.components().items())
    return sum(spec.tiles for _, spec in before if isinstance(spec, Crossbar))


def noise_model(crossbar: Crossbar) -> NoiseModel:
    """Return the model of the read noise of a crossbar."""
    return "off" if crossbar.noise == "none" else crossbar.noise


def read_variance(device: Device, crossbar: Crossbar, curves: Curves, temperature: float) -> ReadVariance | None:
    """Return the read noise of a device's own as a function of states; None without any, or if noise is not physical.

    curves: the device's at the crossbar's read voltage, for cells of its bits; temperature in K.
    """
    volts, terms = crossbar.read_voltage, device.current_terms(crossbar.read_voltage)

    def variance(conductances: NDArray[np.float64]) -> NDArray[np.float64] | None:
        return device.read_variance(
            conductances, age=crossbar.age, read_time=crossbar.read_time, temperature=temperature
        )

    def of_states(states: NDArray[np.float64]) -> NDArray[np.float64]:
        found = variance(chords(states, curves, terms, volts))
        assert found is not None
        return found

    if crossbar.noise != "physical" or variance(np.array([device.lowest_conductance(volts)])) is None:
        return None
    return of_states


def array_model(crossbar: Crossbar, device: Device, cell_bits: int, seed: int, drops: Drops) -> ArrayModel | None:
    """Return how the cells of a crossbar lie in their arrays; None where nothing lies between them and the converters.

    ``drops`` takes up what wires take. Gains of columns are measured at the first age that the device describes.
    """
    curves = device.curves(crossbar.read_voltage, cell_bits)
    given = crossbar.wires
    wires = None
    if not isinstance(given, str):
        wires = Wires(given.row, given.column, given.driver, given.amplifier, given.sensed == "both_ends")
    gain = crossbar.column_gain == "measured"
    if wires is None and not gain and crossbar.row_order == "as_given":
        return None
    volts, fresh = crossbar.read_voltage, None
    if gain and (ages := device.ages()) is not None and crossbar.age != ages[0]:
        fresh = device.programmer(seed, read_voltage=volts, cell_bits=cell_bits, age=ages[0])
    terms = device.current_terms(volts)
    gated = not isinstance(given, str) and given.undriven == "open"
    return ArrayModel(
        curves, volts, terms, wires, gain, crossbar.row_order, seed, fresh, drops, cached_effective, gated
    )


def check_wires(
    crossbar: Crossbar, driver: Dac, problems: Problems, at: Location, depthwise: Sequence[str] = ()
) -> None:
    """Note what keeps rows without a voltage from being open; ``depthwise``: layers whose columns share no rows."""
    wires = crossbar.wires
    if isinstance(wires, str) or wires.undriven == "grounded":
        return
    if driver.mode != "bit_serial":
        problems.add(
            "rows whose bit is 0 are open where a bit switches the access transistors of a row: the drivers are not "
            "'mode: bit_serial'",
            at=at,
        )
    if wires.column == wires.amplifier == 0:
        problems.add(
            "open rows change the drop along a column, and 'column' and 'amplifier' are 0 ohm",
            "write 'undriven: grounded'",
            at=at,
        )
    for key in ("row", "driver"):
        if getattr(wires, key) > 0:
            problems.add(
                f"where rows are open an input switches the gates of its row, which carry no current: '{key}' would "
                f"change nothing",
                f"write '{key}: 0 ohm'",
                at=at,
            )
    if crossbar.sign == "neighbours":
        problems.add(
            "states of S4D are fed back as voltages on all rows, of which none is open",
            "write 'undriven: grounded'",
            at=at,
        )
    for layer in depthwise:
        problems.add(
            f"'{layer}' is depthwise: its columns have inputs of their own, and share no rows that could be open",
            "write 'undriven: grounded'",
            at=at,
        )


_KEPT, _OF_TERM, _OF_OPEN = 12, 22, 24
_ON_THE_WAY, _BEHIND_WIRES = 24, 60
"""Bytes of a cell, see `tiles_bytes`."""


def tiles_bytes(crossbar: Crossbar, device: Device, mapping: TileMapping) -> int:
    """Return about how many bytes one copy of a matrix takes while it is programmed, see `program_tiles`.

    Of each cell what `Tiles` keeps of it, and of a row of tiles the levels, states and sums that are made on the way;
    of wires the admittances between rows, of which three copies live at a time, and of open rows all cells once more.
    """
    rows = mapping.matrix.inputs if mapping.matrix.depthwise else crossbar.rows
    columns, planes, signs = crossbar.columns, mapping.planes, 2 if mapping.sign == "pair" else 1
    of_row = mapping.column_tiles * planes * rows * columns
    terms = device.current_terms(crossbar.read_voltage)
    kept = mapping.row_tiles * of_row * (_KEPT + (0 if terms is None else len(terms.voltages) * _OF_TERM))
    if isinstance(crossbar.wires, str):
        return kept + of_row * signs * _ON_THE_WAY
    arrays = mapping.matrix.outputs if mapping.matrix.depthwise else mapping.column_tiles * planes * signs
    if crossbar.wires.undriven == "open":
        kept += mapping.row_tiles * of_row * signs * _OF_OPEN
    coupling = mapping.column_tiles * (mapping.row_tiles + 3) * rows * rows * 8
    return kept + of_row * signs * (_ON_THE_WAY + _BEHIND_WIRES) + coupling + arrays * rows * rows * 8


class Cells:
    """Programs matrices; ``cells``, ``write_pulses`` and ``reached``, by a read's voltage, keep count, and ``drops`` of
    what wires take.

    ``seed`` decides every draw, with the numbers of the tiles, which begin at ``first_tile``, see `first_tile`.
    ``temperature``: of the chip, in K, for the read noise.
    """

    def __init__(
        self, crossbar: Crossbar, device: Device, seed: int, first_tile: int = 0, temperature: float = 300.0
    ) -> None:
        self.crossbar, self.device, self.seed, self.first_tile = crossbar, device, seed, first_tile
        self.temperature = temperature
        self.cells = self.write_pulses = 0
        self.drops = Drops()
        self.reached: int | None = None

    def noise(self) -> NoiseModel:
        """Return the model of the read noise."""
        return noise_model(self.crossbar)

    def tiles(self, weights: NDArray[np.int8], mapping: TileMapping, copy: int = 0) -> Tiles:
        """Return one copy of a matrix, programmed; raises ValueError for weights out of range."""
        crossbar = self.crossbar
        curves = self.device.curves(crossbar.read_voltage, crossbar.cell_bits)
        model = array_model(crossbar, self.device, crossbar.cell_bits, self.seed, self.drops)
        return program_tiles(
            weights,
            self.programmer(crossbar.cell_bits),
            curves,
            weight_bits=mapping.matrix.weight_bits,
            cell_bits=crossbar.cell_bits,
            sign=mapping.sign,
            tile_rows=mapping.matrix.inputs if mapping.matrix.depthwise else crossbar.rows,
            tile_columns=crossbar.columns,
            first_tile=self.first_tile + mapping.first_tile + copy * mapping.row_tiles * mapping.column_tiles,
            terms=self.device.current_terms(crossbar.read_voltage),
            read_variance=read_variance(self.device, crossbar, curves, self.temperature),
            model=model,
            depthwise=mapping.matrix.depthwise,
        )

    def programming(self) -> dict[str, int]:
        """Return what was written before the first frame."""
        counts = {"cells": self.cells, "write_pulses": self.write_pulses}
        return counts if self.reached is None else {**counts, "reached_by_read": self.reached}

    def programmer(self, cell_bits: int) -> CellProgram:
        """Return the function that programs arrays of cells of so many bits, and is counted."""
        crossbar = self.crossbar
        return self.device.programmer(
            self.seed, read_voltage=crossbar.read_voltage, cell_bits=cell_bits, age=crossbar.age, count=self._count
        )

    def _count(self, written: Programmed) -> None:
        self.write_pulses += int(written.pulses.sum())
        self.cells += written.states.size
        if written.reached is not None:
            self.reached = (self.reached or 0) + int(written.reached.sum())
