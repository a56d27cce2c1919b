"""A tile's reads and conversions: which converters a matrix has, their settings, and whether the parts serve it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import Architecture
from accelsim.components.adc import Adc
from accelsim.errors import did_you_mean
from accelsim.kernels import converters
from accelsim.kernels.crossbar import planes_of
from accelsim.schedule.job import Job
from accelsim.schedule.mapping import Mapping
from accelsim.schedule.parts import Parts


def adc_of(layer: str, architecture: Architecture) -> str:
    """Return the name of the converters of a layer's tiles: those that its placement names, else the chip's first."""
    return architecture.placement(layer).adc or next(iter(architecture.of_kind("adc")))


def converters_of(lies: Mapping, architecture: Architecture) -> NDArray[Any]:
    """Return the setting of each of a layer's converters, an Adc: [row tiles, planes, column tiles]."""
    layer = lies.matrix.name
    chip: Adc = architecture.of_kind("adc")[adc_of(layer, architecture)]
    settings = np.empty((lies.row_tiles, lies.planes, lies.column_tiles), object)
    settings[:] = converters.AdcTransfer(chip.precision_bits, chip.range_bits, chip.ideal)
    for setting in architecture.placement(layer).converters:
        given = setting.model_dump(include={"precision_bits", "range_bits"}, exclude_none=True)
        chosen = np.zeros(settings.shape, bool)
        chosen[setting.place()] = True
        for place in np.argwhere(chosen):
            settings[tuple(place)] = replace(settings[tuple(place)], **given)
    return settings


def check_converters(lies: Mapping, parts: Parts) -> None:
    """Note what is wrong with a layer's converters, and stop there.

    A layer may split a converter's bits in its own way; more bits than it has would be another converter.
    """
    architecture, layer = parts.architecture, lies.matrix.name
    where, placement, kinds = f"layer '{layer}'", architecture.placement(layer), architecture.of_kind("adc")
    if placement.adc is not None and placement.adc not in kinds:
        parts.problem(f"{where} has no converters named '{placement.adc}'", did_you_mean(placement.adc, kinds))
    shape = (lies.row_tiles, lies.planes, lies.column_tiles)
    for setting in placement.converters:
        places = zip(("row_tile", "plane", "column_tile"), shape, strict=True)
        for what, there_are in places:
            at = getattr(setting, what)
            if at is not None and at >= there_are:
                parts.problem(f"{where} has {there_are} converters along {what}, found {what} {at}")
    parts.stop_on_problems()
    name = adc_of(layer, architecture)
    bits = kinds[name].precision_bits + kinds[name].range_bits
    most = max(converter.bits for converter in converters_of(lies, architecture).flat)
    if most > bits:
        parts.problem(f"{where} asks for {most} bits of '{name}', which has {bits}")


def in_phases(read: Job, convert: Job, phases: int) -> list[Job]:
    """Return a read and a conversion for every phase of the inputs; a phase is converted while the next one is read.

    The rows are taken in the first phase, and the sums are given in the last.
    """
    reads = [
        replace(read, name=f"{read.name}.{phase}", takes=read.takes if phase == 0 else ()) for phase in range(phases)
    ]
    conversions = [
        replace(convert, name=f"{convert.name}.{phase}", gives=convert.gives if phase == phases - 1 else ())
        for phase in range(phases)
    ]
    return [*reads, *conversions]


def check_tile(where: str, weight_bits: int, adc_name: str, parts: Parts) -> None:
    """Note where a tile's parts do not serve a matrix of ``weight_bits``: planes, converters, row drivers.

    ``where``: the layer, for the messages; ``adc_name``: the converters of its tiles.
    """
    kinds = parts.architecture.of_kind
    (name, crossbar), (dac_name, dac) = (next(iter(kinds(kind).items())) for kind in ("crossbar", "dac"))
    adc = kinds("adc")[adc_name]
    if crossbar.sign == "neighbours":
        parts.problem(f"'{name}' must have 'sign: pair' or 'sign: offset' for dense layers")
        return
    planes = planes_of(weight_bits, crossbar.cell_bits, crossbar.sign)
    if planes > crossbar.planes:
        parts.problem(f"{where} has {weight_bits}-bit weights, {planes} planes; '{name}' has {crossbar.planes}")
    columns = crossbar.columns * crossbar.planes
    if adc.shared_by > columns:
        parts.problem(f"'{adc_name}' is shared by {adc.shared_by} columns, a tile has {columns}")
    elif adc.units * adc.shared_by < columns:
        parts.problem(
            f"{adc.units} converters shared by {adc.shared_by} serve {adc.units * adc.shared_by} of the {columns} "
            "columns of a tile"
        )
    if dac.units < crossbar.rows:
        parts.problem(f"'{dac_name}' drives {dac.units} of {crossbar.rows} rows")
