"""Crossbar tiles: resistive arrays that multiply a vector by a matrix in one read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import Discriminator, PositiveInt, Tag

from accelsim.components.kind import ComponentSpec, Counts, component_kind, cycles_of
from accelsim.kernels.crossbar import RowOrder
from accelsim.schema import Effect, Model, NonNegativeResistance, NonNegativeTime, PositiveTime, PositiveVoltage
from accelsim.schema.wires import OhmPerCell

_WIRE = Effect(values="either", counts="either", cycles="either", given="metal and floor plan of an array")


class ArrayWires(Model):
    """Resistances that lie between the drivers of an array, its cells and its amplifiers, see `accelsim.kernels.wires`.

    ``row``, ``column``: of a cell's length of wire, in ohm or by the name of a geometry of a table of wires
    (``accelsim/wires@1``), which has it at the chip's node and temperature; ``driver``, ``amplifier``: of each row's
    driver, one for every array of a tile, and of each column's sense amplifier. ``sensed``: at one end of the columns,
    behind the last row, or at both. ``undriven``: rows without a voltage are held at 0 V (``grounded``), or the access
    transistors of their cells are off (``open``): an input's bits switch them, so that drivers are bit-serial and rows
    carry no current, see `accelsim.kernels.gated_rows`.
    """

    effects = dict.fromkeys(("row", "column", "driver", "amplifier"), _WIRE)
    row: OhmPerCell
    column: OhmPerCell
    driver: NonNegativeResistance = 0.0
    amplifier: NonNegativeResistance = 0.0
    sensed: Literal["one_end", "both_ends"] = "one_end"
    undriven: Literal["grounded", "open"] = "grounded"


def _kind_of_wires(given: Any) -> str:
    return "none" if isinstance(given, str) else "wires"


class Crossbar(ComponentSpec):
    """``tiles`` tiles, each with arrays of ``rows`` x ``columns`` memristor cells for ``planes`` planes of a matrix.

    A plane holds ``cell_bits`` bits of every weight. ``sign: pair`` has two arrays per plane, one for the positive and
    one for the negative weights; ``sign: offset`` has one, with a further column that holds the offset; ``sign:
    neighbours`` has positive and negative columns beside each other in one array. A read puts up
    to ``read_voltage`` on the rows for ``read_time``, and takes ``cycles_per_read`` cycles or as many as that time
    does, whichever are more; a shorter read has more noise. Before the first frame the cells are written by pulses of
    ``write_time``, or of the time that the device's file states, which reach ``cells_written_at_once`` cells of the
    chip together. ``age``: the time from then to the run; a device that changes with time needs it.

    ``wires``: the resistances of every array, ``none``: wires without any. Two remedies for what they do, see
    `accelsim.kernels.arrays`: ``column_gain: measured``, each column's amplifier has a gain of its own, without wires
    1; ``row_order``, on which row of an array an input lies.
    """

    kind: Literal["crossbar"]
    effects = {
        "tiles": Effect(energy="more", area="more", spare="tiles that no matrix lies on"),
        "planes": Effect(energy="more", area="more", spare="more planes than weights have"),
        "rows": Effect(
            values="either", counts="either", cycles="either", energy="more", area="more", spare="rows without an input"
        ),
        "columns": Effect(
            values="either",
            counts="either",
            cycles="either",
            energy="more",
            area="more",
            spare="columns of no output",
        ),
        "cell_bits": Effect(values="either", counts="either", cycles="less", energy="either", area="less"),
        "read_voltage": Effect(values="either", counts="more", spare="a swing beyond the noise of a read"),
        "read_time": Effect(values="either", cycles="more", energy="more", spare="longer than cells take to settle"),
        "write_time": Effect(cycles="more", energy="more", given="the pulse that the cells were measured with"),
        "cells_written_at_once": Effect(cycles="less", given="how many cells the write drivers reach together"),
        "cycles_per_read": Effect(cycles="more", spare="fewer than its read_time takes"),
        "age": Effect(values="either", counts="either", spare="a device that does not change with time"),
    }
    tiles: PositiveInt
    planes: Annotated[int, Ge(1), Le(15)]
    rows: PositiveInt
    columns: PositiveInt
    device: str
    device_settings: dict[str, Any] = {}
    """Keys of the device's file that differ on this chip, such as ``write_noise``."""
    cell_bits: Annotated[int, Ge(1), Le(6)] = 1
    sign: Literal["pair", "offset", "neighbours"] = "pair"
    read_voltage: PositiveVoltage
    read_time: PositiveTime
    write_time: PositiveTime
    cells_written_at_once: PositiveInt
    cycles_per_read: PositiveInt = 1
    noise: Literal["physical", "legacy", "none"] = "physical"
    age: NonNegativeTime | None = None
    wires: Annotated[
        Annotated[Literal["none"], Tag("none")] | Annotated[ArrayWires, Tag("wires")], Discriminator(_kind_of_wires)
    ] = "none"
    column_gain: Literal["none", "measured"] = "none"
    row_order: RowOrder = "as_given"

    def geometries(self) -> dict[str, str]:
        """Return the keys of the wires whose resistance stands for that of a geometry, and its name."""
        if isinstance(self.wires, str):
            return {}
        return {key: value for key in ("row", "column") if isinstance(value := getattr(self.wires, key), str)}

    def wired(self, ohm: Mapping[str, float]) -> Self:
        """Return the crossbar with resistances of wires in ohm, by their keys, in the place of geometries.

        Without wires no gain of a column is measured: there is nothing that it undoes.
        """
        if isinstance(self.wires, str):
            return self.model_copy(update={"column_gain": "none"})
        return self.model_copy(update={"wires": self.wires.model_copy(update=ohm)}) if ohm else self

    def clocked(self, frequency: float) -> Self:
        """Return the crossbar with the cycles of a read: max(cycles_per_read, ceil(read_time * frequency))."""
        cycles = max(self.cycles_per_read, cycles_of("read_time", self.read_time, frequency))
        return self.model_copy(update={"cycles_per_read": cycles})

    def instances(self) -> int:
        return self.tiles * self.planes * self.arrays_per_plane()

    def arrays_per_plane(self) -> int:
        """Return 2 for a differential pair of arrays, else 1."""
        return 2 if self.sign == "pair" else 1

    def multipliers(self) -> int:
        """Return the multiplications of one read: a weight takes one cell of a plane, or four as neighbours."""
        return self.tiles * self.rows * self.columns // (4 if self.sign == "neighbours" else 1)

    def pass_cycles(self) -> int:
        return self.cycles_per_read

    def programming_s(self, pulses: int, pulse_time: float | None = None) -> float:
        """Return how long so many write pulses take, in s: ceil(pulses / cells_written_at_once) * write_time.

        ``pulse_time``: of the device's file, in s; it takes the place of write_time.
        """
        return -(-pulses // self.cells_written_at_once) * (pulse_time or self.write_time)

    def dimensions(self) -> dict[str, float]:
        return super().dimensions() | {"cells": self.rows * (self.columns + (self.sign == "offset"))}

    def flip_flops(self) -> int:
        """Return 0: cells and wires."""
        return 0


def service_cycles(spec: Crossbar, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = reads of a tile * cycles_per_read; all its arrays are read together."""
    return counts["phases"] * spec.cycles_per_read


component_kind(
    "crossbar",
    Crossbar,
    {
        "read_nanowatt": "one nanowatt of array power V I, summed over cells, during one read",
        "write_pulse": "one pulse that writes one cell; counted before the first frame, apart from inference",
    },
    service_cycles,
    {"phases": "reads of a tile, one after the other"},
)
