"""What the prices of a chip hold for: supply, temperature, node, the fastest clock, and what a tile needs to settle.

A price that is scaled to where no logic works is a number without a meaning: a chip outside the window of its cost
table is refused, or runs as ``technology.extrapolate`` asks, with every figure marked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from accelsim.architecture import Architecture
from accelsim.components.abstract import Converter
from accelsim.components.adc import Adc
from accelsim.components.crossbar import Crossbar
from accelsim.cost.lookup import OperatingPoint
from accelsim.cost.scaling import COARSEST_NM, FINEST_NM, logarithms, node_delay_factor, speed_factor
from accelsim.devices import Device
from accelsim.errors import InputError, Problem
from accelsim.kernels.read_noise import BOLTZMANN
from accelsim.schema import format_si
from accelsim.schema.cost import NodeWindow, Window
from accelsim.schema.source import Location

WAY_OUT = "technology.extrapolate: true runs it, with every figure marked as extrapolated"

# How far the laws are followed at all: beyond, their figures are no longer numbers.
FARTHEST_VOLTAGE, FARTHEST_TEMPERATURE = (1e-3, 10.0), (0.0, 1500.0)

_OWN_VOLTAGE = 0.1
_OWN_TEMPERATURE = (233.15, 398.15)
_ROUNDING = 1e-9

# NeuroSim, Param.cpp (geometry and resistivity of its wires): ohm of one cell's length of wire, 4 F along a row and
# 12 F along a column of one transistor and one memristor, at 300 K.
_WIRE_NODES_NM = (7, 10, 14, 22, 32, 45, 65, 130)
_ROW_OHM = (5.56, 4.65, 2.52, 1.86, 1.28, 0.83, 0.60, 0.34)
_COLUMN_OHM = (16.7, 13.9, 7.57, 5.57, 3.83, 2.49, 1.80, 1.01)
_ROW_PITCHES, _COLUMN_PITCHES = 4, 12
_WIRE_FARAD_PER_METRE = 0.2e-9  # 0.2 fF/um, the wire of hwcomponents' library


@dataclass(frozen=True)
class Die:
    """A die of a chip: the name of the table that prices it, where that table stands, what it holds for, and the point.

    ``kinds``: whose components stand on it; ``own``: whether node and voltage are the table's, whatever the chip's are.
    """

    table: str
    node: float
    voltage: float
    window: Window | None
    point: OperatingPoint
    components: tuple[str, ...]
    own: bool = False


def max_frequency(window: Window, node: float, voltage: float) -> float:
    """Return the fastest clock of logic in Hz; node in metre, voltage in V.

    f(n, V) = f0 D(n0) / D(n) ((V - Vth)^a / V) / ((Vn - Vth)^a / Vn): f0 at the window's node n0 and that node's
    nominal voltage, D the delay of a gate by node (DeepScaleTool), then the alpha-power law (Sakurai & Newton, JSSC
    25, 1990) from the nominal voltage Vn of node n, with its threshold voltage Vth. 0 at or below the threshold.
    """
    at = limits(window, node)
    speed = speed_factor(voltage, at.nominal, threshold=at.threshold, alpha=window.alpha)
    return window.frequency / node_delay_factor(node, window.node) * speed


def fastest_decision(window: Window, node: float, voltage: float) -> float:
    """Return how long a converter takes at least to decide one bit, in s: it slows down as the logic does."""
    fastest = max_frequency(window, node, voltage)
    return window.decision * window.frequency / fastest if fastest else math.inf


def limits(window: Window, node: float) -> NodeWindow:
    """Return the supplies of a node (metre): between two nodes of a window as their logarithms lie, beyond its ends."""
    at = logarithms([one.node for one in window.nodes])

    def between(values: list[float]) -> float:
        return math.exp(np.interp(math.log(node), at, logarithms(values)))

    nearest = min(window.nodes, key=lambda one: abs(math.log(one.node / node)))
    return nearest.model_copy(
        update={
            "node": node,
            "voltage": (between([n.voltage[0] for n in window.nodes]), between([n.voltage[1] for n in window.nodes])),
            "nominal": between([n.nominal for n in window.nodes]),
            "threshold": between([n.threshold for n in window.nodes]),
        }
    )


def settling_s(crossbar: Crossbar, lowest_siemens: float, bits: int, node: float) -> float:
    """Return how long the columns of an array take to settle to half a step of a converter of so many bits, in s.

    t = (bits + 1) ln 2 (R_r C_r / 2 + R_c C_c / 2 + C_c / (rows G)): the wire of a row and that of a column, each with
    its resistance spread along it (Elmore), and the column charged by cells that all have the lowest conductance G.
    R: NeuroSim's wires of one transistor and one memristor at the node (metre), C: 0.2 fF/um. Drivers and amplifiers,
    which no source at hand prices by speed, come on top: the estimate is a low end.
    """
    ohm = [
        math.exp(np.interp(math.log(node * 1e9), logarithms(_WIRE_NODES_NM), logarithms(values)))
        for values in (_ROW_OHM, _COLUMN_OHM)
    ]
    cells = (crossbar.columns, crossbar.rows)
    farad = [
        n * pitches * node * _WIRE_FARAD_PER_METRE
        for n, pitches in zip(cells, (_ROW_PITCHES, _COLUMN_PITCHES), strict=True)
    ]
    wires = sum(n * r * c / 2 for n, r, c in zip(cells, ohm, farad, strict=True))
    return (bits + 1) * math.log(2) * (wires + farad[1] / (crossbar.rows * lowest_siemens))


def dies(architecture: Architecture) -> list[Die]:
    """Return the dies of a chip: its own, and one for each table whose parts stand on a die of their own."""
    table, technology = architecture.cost, architecture.spec.technology
    point = OperatingPoint(technology.voltage, technology.temperature, technology.node or table.node)
    origins = {row.kind: row.origin(table) for row in reversed(table.area)}
    apart: dict[tuple[float, float], list[str]] = {}
    here = []
    for name, spec in architecture.components().items():
        origin = origins.get(spec.kind)
        if origin is None or not origin.own_die:
            here.append(name)
        else:
            apart.setdefault((origin.node, origin.voltage), []).append(name)
    found = [Die(table.name, table.node, table.voltage, table.window, point, tuple(here))]
    for (node, voltage), names in apart.items():
        window = origins[architecture.components()[names[0]].kind].window
        own = OperatingPoint(voltage, technology.temperature, node)
        found.append(Die(table.name, node, voltage, window, own, tuple(names), own=True))
    return found


def check_point(architecture: Architecture) -> None:
    """See that a chip lies inside the windows of its prices, or asks to be extrapolated; raises InputError."""
    far = _beyond(architecture)
    if problems := far or ([] if architecture.spec.technology.extrapolate else outside(architecture)):
        raise InputError(problems)


def _beyond(architecture: Architecture) -> list[Problem]:
    """Return what no extrapolation reaches."""
    technology, node = architecture.spec.technology, architecture.spec.technology.node or architecture.cost.node
    found = []
    for key, value, (low, high), unit in (
        ("voltage", technology.voltage, FARTHEST_VOLTAGE, "V"),
        ("temperature", technology.temperature, FARTHEST_TEMPERATURE, "K"),
        ("node", node * 1e9, (FINEST_NM, COARSEST_NM), "nm"),
    ):
        if not low * (1 - _ROUNDING) <= value <= high * (1 + _ROUNDING):
            message = f"'{key}': no law reaches {value:g} {unit}, expected {low:g} to {high:g} {unit} at most"
            where: Location = ("technology", key)
            found.append(architecture.source.problem(message, where) if architecture.source else Problem(message))
    return found


def outside(architecture: Architecture) -> list[Problem]:
    """Return what of a chip lies outside the windows of its prices, each with its line and what is allowed."""
    source = architecture.source
    found = []
    for die in dies(architecture):
        for message, where in (*_of_die(architecture, die), *_of_tiles(architecture, die)):
            found.append(source.problem(message, where, WAY_OUT) if source else Problem(message, hint=WAY_OUT))
    return found


def extrapolated(architecture: Architecture) -> list[str]:
    """Return why the figures of a chip are extrapolated; nothing inside its windows."""
    return [problem.message for problem in outside(architecture)]


def _of_die(chip: Architecture, die: Die) -> Iterator[tuple[str, Location]]:
    point, window = die.point, die.window
    holds = f"cost table '{die.table}' holds for"
    low, high = window.temperature if window else _OWN_TEMPERATURE
    if not low <= point.temperature <= high:
        message = f"{point.temperature:g} K is outside what {holds}: {low:g} to {high:g} K"
        yield message, ("technology", "temperature")
    if die.own:
        nodes = (die.node, die.node)
    else:
        nodes = (window.nodes[0].node, window.nodes[-1].node) if window else (die.node, die.node)
    if not nodes[0] * (1 - _ROUNDING) <= point.node <= nodes[1] * (1 + _ROUNDING):
        most = f"{nodes[0] * 1e9:g} nm" if nodes[0] == nodes[1] else f"{nodes[0] * 1e9:g} to {nodes[1] * 1e9:g} nm"
        yield f"{point.node * 1e9:g} nm is outside what {holds}: {most}", ("technology", "node")
    if window is not None:
        allowed = limits(window, point.node).voltage
    else:
        allowed = die.voltage * (1 - _OWN_VOLTAGE), die.voltage * (1 + _OWN_VOLTAGE)
    at = f"{allowed[0]:.3g} to {allowed[1]:.3g} V at {point.node * 1e9:g} nm"
    if not allowed[0] * (1 - _ROUNDING) <= point.voltage <= allowed[1] * (1 + _ROUNDING):
        yield f"{point.voltage:g} V is outside what {holds}: {at}", ("technology", "voltage")
    if window is None:
        return
    fastest = max_frequency(window, point.node, point.voltage)
    first = next(iter(chip.spec.clocks))
    used = dict.fromkeys(chip.components()[name].clock or first for name in die.components)
    where = f"{point.voltage:g} V and {point.node * 1e9:g} nm"
    for clock in used:
        if (frequency := chip.spec.clocks[clock].frequency) > fastest * (1 + _ROUNDING):
            message = f"clock '{clock}' of {format_si(frequency, 'Hz')} is faster than {holds} at {where}: "
            yield message + f"at most {format_si(fastest, 'Hz')}", ("clocks", clock, "frequency")
    decision = fastest_decision(window, point.node, point.voltage)
    for name in die.components:
        spec = chip.components()[name]
        if not isinstance(spec, Converter) or (needed := spec.decisions()) is None:
            continue
        decisions, rate = needed
        if decisions * rate * decision > 1 + _ROUNDING:
            message = (
                f"'{name}' converts {format_si(rate, 'Hz')} with {decisions} decisions each, one after the other; at "
                f"{where} one takes {format_si(decision, 's')}: at most {format_si(1 / (decisions * decision), 'Hz')}"
            )
            yield message, ("components", name, "rate")


def level_and_noise(crossbar: Crossbar, device: Device, temperature: float) -> tuple[float, float]:
    """Return the current of one level of a cell, and the thermal noise of a pair of columns of cells in LRS, in A.

    I = I_LSB / (2^cell_bits - 1); i_n = sqrt(4 k T G B), G = 2 rows I_LL(V) / V, B = 1 / (2 read_time): the least noise
    that a current read has (Nyquist), whether a chip's values have it or not. A read whose levels lie below tells
    nothing.
    """
    volts, curves = crossbar.read_voltage, device.curves(crossbar.read_voltage)
    step = curves.unit / ((1 << crossbar.cell_bits) - 1)
    conductance = 2 * crossbar.rows * float(np.polyval(curves.low, volts)) / volts
    return step, math.sqrt(4 * BOLTZMANN * temperature * conductance / (2 * crossbar.read_time))


def quiet_converters(architecture: Architecture) -> list[str]:
    """Return which converters are given less noise than the cells in front of them have, whose own is left out.

    In steps of a code: i_n / I 2^P, see `level_and_noise`, with the converter's P bits behind the point; a column has
    no less while a read lasts. Where cells read with their noise, it is in the codes already. State-space kernels,
    whose columns reach their converters by a gain of the network's, are not looked at.
    """
    found = []
    adcs = {name: spec for name, spec in architecture.components().items() if isinstance(spec, Adc) and spec.noise}
    for name, spec in architecture.components().items():
        if not isinstance(spec, Crossbar) or spec.noise != "none" or spec.sign == "neighbours":
            continue
        level, noise = level_and_noise(spec, architecture.devices[name], architecture.spec.technology.temperature)
        for converter, adc in adcs.items():
            if adc.noise < (least := noise / level * 2.0**adc.precision_bits):
                found.append(
                    f"'{converter}' has {adc.noise:g} steps of noise; the cells of '{name}', read with 'noise: none', "
                    f"alone have {least:.3g} in {format_si(spec.read_time, 's')}"
                )
    return found


def _of_tiles(chip: Architecture, die: Die) -> Iterator[tuple[str, Location]]:
    converters = [spec for spec in chip.components().values() if isinstance(spec, Converter)]
    bits = max((spec.resolution() for spec in converters), default=1)
    for name in die.components:
        spec = chip.components()[name]
        if not isinstance(spec, Crossbar):
            continue
        where = ("components", name)
        supply = die.point.voltage
        if spec.read_voltage > supply * (1 + _ROUNDING):
            message = f"'{name}' reads at {spec.read_voltage:g} V, above the {supply:g} V that its die is supplied with"
            yield message, (*where, "read_voltage")
        step, noise = level_and_noise(spec, chip.devices[name], die.point.temperature)
        if step < noise:
            message = (
                f"'{name}' reads at {spec.read_voltage:g} V, where a level of a cell is {format_si(step, 'A')}: less "
                f"than the {format_si(noise, 'A')} of noise of {spec.rows} cells in {format_si(spec.read_time, 's')}"
            )
            yield message, (*where, "read_voltage")
        lowest = chip.devices[name].lowest_conductance(min(spec.read_voltage, supply))
        needed = settling_s(spec, lowest, bits, die.point.node)
        if spec.read_time < needed:
            message = (
                f"'{name}' is read for {format_si(spec.read_time, 's')}; {spec.rows} x {spec.columns} cells take at "
                f"least {format_si(needed, 's')} to settle to {bits} bits"
            )
            yield message, (*where, "read_time")
