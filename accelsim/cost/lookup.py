"""Finding the price of one component in a table, at its size and operating point."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from accelsim.cost.models import MODELS
from accelsim.cost.scaling import (
    exponentials,
    leakage_factor,
    logarithms,
    node_area_factor,
    node_energy_factor,
    node_energy_spread,
    node_leakage_factor,
    node_leakage_spread,
    sram_area_factor,
    voltage_energy_factor,
)
from accelsim.errors import InputError, did_you_mean
from accelsim.schema.cost import (
    EVERY,
    AreaPrice,
    ClockPrice,
    CostTable,
    EnergyPrice,
    LeakagePrice,
    Modelled,
    Origin,
    StandbyPrice,
)
from accelsim.schema.quantity import largest

_Row: TypeAlias = EnergyPrice | ClockPrice | StandbyPrice | AreaPrice | LeakagePrice

_MOST: Mapping[type[_Row], float] = {
    EnergyPrice: largest("energy"),
    ClockPrice: largest("energy"),
    StandbyPrice: largest("power"),
    AreaPrice: largest("area"),
    LeakagePrice: 1e30,  # exponential in voltage and temperature, which `technology.extrapolate` takes far
}
"""What a price comes to at the most, in SI units: as a file's own numbers, but for leakage."""

_OWN = frozenset({"standby", "leakage"})
"""Sections of the kind itself that may hold another of its prices."""


@dataclass(frozen=True)
class Range:
    """A price with its spread, in SI units, and whether it was fitted.

    ``row`` names the table row, ``source`` what its number comes from, the row itself where it shares that with none:
    two prices of one source are wrong together.
    """

    value: float
    low: float
    high: float
    row: str
    calibrated: bool = False
    source: str = ""

    def times(self, factor: float) -> Range:
        """Return the price multiplied by a number."""
        return replace(self, value=self.value * factor, low=self.low * factor, high=self.high * factor)

    def plus(self, other: Range) -> Range:
        """Return the sum with another part of the same price."""
        value, low, high = self.value + other.value, self.low + other.low, self.high + other.high
        return replace(self, value=value, low=low, high=high, calibrated=self.calibrated or other.calibrated)

    def moves_with(self) -> str:
        """Return the name of what it is wrong together with."""
        return self.source or self.row


@dataclass(frozen=True)
class OperatingPoint:
    """Voltage (V), temperature (K) and node (m) of a chip."""

    voltage: float
    temperature: float
    node: float


class PriceList:
    """A cost table at one operating point; ``kinds``: of the components on the chip, None where that is not known.

    A price that the row of another kind holds is there only where a component of that kind is on the chip. Energies
    scale with `voltage_energy_factor` and `node_energy_factor`, those of clocks and standby power alike, areas with
    `node_area_factor`, those of SRAM with `sram_area_factor`, leakage with `leakage_factor` and `node_leakage_factor`;
    a row that moves to another node has a wider range there, see `node_energy_spread` and `node_leakage_spread`. Rows
    of one price whose ``at`` names other dimensions are parts of it and add up: so much per lane, and so much per entry
    of its memory. Rows of a table for a die of its own, see `accelsim.schema.cost.Base`, hold at that table's node and
    voltage.
    """

    def __init__(self, table: CostTable, point: OperatingPoint, kinds: Collection[str] | None = None) -> None:
        self.table = table
        self.point = point
        self.kinds = kinds

    def energy(self, kind: str, action: str, dimensions: Mapping[str, float]) -> Range:
        """Return the energy of one action of one instance in joule, zero when another row includes it.

        Raises InputError when there is no row.
        """
        rows = [row for row in self.table.energy if (row.kind, row.action) == (kind, action)]
        return self._scaled(rows, f"energy of {kind} {action}", dimensions)

    def clock(self, kind: str, state: str) -> Range:
        """Return the energy of one flip-flop in one cycle in joule, in one of the states of `ClockPrice`.

        ``working``: the price of ``clocked`` where it has no row, and that of ``gated`` where the kind's actions hold
        the clock of their registers.
        """
        own = [row for row in self.table.clock if row.kind in (kind, EVERY) and row.state == state]
        row = min(own, key=lambda row: row.kind == EVERY, default=None)
        if state == "working" and row is None:
            return self.clock(kind, "clocked")
        if row is not None and row.included_in is not None:
            return self.clock(kind, "gated")
        whose = kind if row is not None and row.kind == kind else "a flip-flop"
        return self._scaled([row] if row is not None else [], f"clock of {whose}, {state}", {})

    def standby(self, kind: str, dimensions: Mapping[str, float], state: str | None = None) -> Range:
        """Return the standby power of one instance in watt; ``state``: of a kind that goes to rest by itself."""
        rows = [row for row in self.table.standby if row.kind == kind and row.state == state]
        return self._scaled(rows, f"standby of {kind}" + (f", {state}" if state else ""), dimensions)

    def area(self, kind: str, dimensions: Mapping[str, float]) -> Range:
        """Return the area of one instance in square metre; zero when the row of another kind includes it."""
        rows = [row for row in self.table.area if row.kind == kind]
        return self._scaled(rows, f"area of {kind}", dimensions)

    def leakage(self, kind: str, dimensions: Mapping[str, float]) -> Range:
        """Return the leakage power of one instance in watt; zero when the row of another kind includes it."""
        rows = [row for row in self.table.leakage if row.kind == kind]
        return self._scaled(rows, f"leakage of {kind}", dimensions)

    def _scaled(
        self,
        rows: Sequence[_Row],
        name: str,
        dimensions: Mapping[str, float],
    ) -> Range:
        if not rows:
            raise InputError.of(f"no price for the {name} in cost table '{self.table.name}'")
        try:
            parts = [self._at_point(part, name, dimensions) for part in _parts(rows)]
            total = functools.reduce(Range.plus, parts)
            if not total.high <= _MOST[type(rows[0])]:
                raise ValueError(f"{total.high:.3g} is no price: look at its value and 'at', and at the chip's sizes")
        except ValueError as error:
            raise InputError.of(f"no price for the {name} in cost table '{self.table.name}': {error}") from None
        return total

    def _at_point(
        self,
        rows: Sequence[_Row],
        name: str,
        dimensions: Mapping[str, float],
    ) -> Range:
        first, origin = rows[0], rows[0].origin(self.table)
        source = self.table.source_of(first) or ""
        if first.included_in is not None:
            if not isinstance(first, EnergyPrice) and first.included_in not in _OWN:
                self._see(first.included_in)
            return Range(0.0, 0.0, 0.0, name)
        if isinstance(first, Modelled) and first.model is not None:
            low, high = first.spread or (1.0, 1.0)
            value = _modelled(first.model, dimensions, self._point(origin).node)
            return Range(value, value * low, value * high, name, source=source)
        laws = origin.laws.get(first.kind, {})
        points = [np.array([row.value, row.low, row.high], float) * self._to_point(row) for row in rows]
        for dimension, law in laws.items():
            if law == "proportional":
                for i, row in enumerate(rows):
                    if dimension in row.at:
                        points[i] = points[i] * (_size(dimension, dimensions) / row.at[dimension])
        along = next((d for d, law in laws.items() if law == "interpolate" and d in rows[0].at), None)
        if along is None:
            value, low, high = points[0]
        else:
            value, low, high = _power_law([row.at[along] for row in rows], points, _size(along, dimensions))
        return Range(value, low, high, name, any(row.tag == "calibrated" for row in rows), source)

    def _see(self, kind: str) -> None:
        """Raise ValueError where no component of a kind is on the chip."""
        if self.kinds is not None and kind not in self.kinds:
            raise ValueError(f"the table has it included in that of a {kind}, of which the chip has none")

    def _point(self, origin: Origin) -> OperatingPoint:
        """Return the operating point of the parts that a table prices."""
        if not origin.own_die:
            return self.point
        return OperatingPoint(origin.voltage, self.point.temperature, origin.node)

    def _to_point(self, row: _Row) -> np.ndarray:
        """Return the factors of value, low and high from the row's node, voltage and temperature to its die's."""
        if not row.scales:
            return np.ones(3)
        origin = row.origin(self.table)
        point = self._point(origin)
        node, voltage = row.node or origin.node, row.voltage or origin.voltage
        if isinstance(row, AreaPrice):
            area_factor = sram_area_factor if row.scaling == "bit_cell" else node_area_factor
            return np.full(3, area_factor(point.node, node) / row.utilization)
        if isinstance(row, LeakagePrice):
            law = origin.leakage_scaling
            assert law is not None  # a table without a base has one, and one with a base has the base's
            at_node = node_leakage_factor(point.node, node) * np.array([1.0, *node_leakage_spread(point.node, node)])
            return at_node * leakage_factor(
                point.voltage,
                point.temperature,
                voltage,
                origin.temperature,
                dibl=law.dibl,
                swing_mv_per_decade=law.swing_mv_per_decade,
                doubling_kelvin=law.doubling_kelvin,
            )
        at_node = node_energy_factor(point.node, node) * np.array([1.0, *node_energy_spread(point.node, node)])
        return at_node * voltage_energy_factor(point.voltage, voltage)


def _parts(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Return the rows grouped by the dimensions that they stand at."""
    parts: dict[frozenset[str], list[_Row]] = {}
    for row in rows:
        parts.setdefault(frozenset(row.at), []).append(row)
    return list(parts.values())


def _size(dimension: str, dimensions: Mapping[str, float]) -> float:
    """Return a dimension of a component; raises ValueError where it has none of the name."""
    if dimension not in dimensions:
        raise ValueError(f"it has no size '{dimension}' ({did_you_mean(dimension, dimensions)})")
    return dimensions[dimension]


def _modelled(name: str, dimensions: Mapping[str, float], node: float) -> float:
    """Return the value of a formula; raises ValueError where there is none, or the component has not its sizes."""
    if name not in MODELS:
        raise ValueError(f"no model '{name}' ({did_you_mean(name, MODELS)})")
    try:
        return MODELS[name](dimensions, node)
    except KeyError as error:
        raise ValueError(f"model '{name}' needs the size {error}, which it does not have") from None


_FARTHEST = 300.0
"""Natural logarithm of the factor up to which a power law is followed; 1e130 is no price."""


def _power_law(at: Sequence[float], points: Sequence[np.ndarray], where: float) -> np.ndarray:
    """Interpolate along one dimension by a power law between neighbours, extrapolated beyond the ends.

    Raises ValueError where no power law goes through the points.
    """
    if len(set(at)) < len(at):
        raise ValueError("two rows stand at the same size")
    if not (where > 0 and np.all(np.asarray(points) > 0)):
        raise ValueError("a power law has no 0")
    order = np.argsort(at)
    x = logarithms(np.asarray(at, float)[order])
    y = logarithms(np.asarray(points)[order])
    if len(x) == 1:
        return exponentials(y[0])
    right = int(np.clip(np.searchsorted(x, math.log(where)), 1, len(x) - 1))
    share = (math.log(where) - x[right - 1]) / (x[right] - x[right - 1])
    found = y[right - 1] + share * (y[right] - y[right - 1])
    if not np.all(np.abs(found) < _FARTHEST):
        raise ValueError(f"no power law reaches from {min(at):g} .. {max(at):g} to {where:g}")
    return exponentials(found)
