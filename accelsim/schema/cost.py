"""The grammar of a cost table: prices with their source, and how they scale with a component's size."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator

from accelsim.schema.parse import Model
from accelsim.schema.quantity import (
    Length,
    NonNegativeArea,
    NonNegativePower,
    PositiveEnergy,
    PositiveLength,
    PositivePower,
    PositiveTime,
    PositiveVoltage,
    Temperature,
)

Tag = Literal["stated", "read", "run", "derived", "estimated", "calibrated"]
"""How a number came about: printed by its authors, read in a source, given by a named tool, by arithmetic on
others, estimated here (an assumption), or fitted to a published figure."""


class Price(Model):
    """What every row says: whose price it is, at which size, where the number comes from.

    ``at``: the dimensions of the component for which the value holds, for the laws of its kind.
    ``node``, ``voltage``: where the row differs from its table; the value is scaled from there.
    ``scales: false``: the value holds at every node and supply voltage, because neither decides it.
    ``included_in``: what already covers this one (instead of a value): the kind whose row does, or for an energy the
    action of the same kind, or ``clock`` where the kind's energy per cycle does.
    """

    kind: str
    at: dict[str, Annotated[float, Field(gt=0)] | PositiveLength | PositiveTime] = {}
    source: str
    tag: Tag
    node: PositiveLength | None = None
    voltage: PositiveVoltage | None = None
    scales: bool = True
    note: str | None = None


class Modelled(Price):
    """A row whose value may follow from a formula of `accelsim.cost.models` instead of standing here.

    ``spread``: the low and the high end as factors of the formula's value.
    """

    model: str | None = None
    spread: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(ge=1)]] | None = None


class EnergyPrice(Modelled):
    """Energy of one action of one instance."""

    action: str
    value: PositiveEnergy | None = None
    low: PositiveEnergy | None = None
    high: PositiveEnergy | None = None
    included_in: str | None = None

    @model_validator(mode="after")
    def _given(self) -> EnergyPrice:
        return _given_once(self, self.included_in or self.model)


class ClockPrice(Price):
    """Energy of one clock cycle of one instance, whether it works or not."""

    value: PositiveEnergy
    low: PositiveEnergy
    high: PositiveEnergy

    @model_validator(mode="after")
    def _ordered(self) -> ClockPrice:
        if not self.low <= self.value <= self.high:
            raise ValueError("expected low <= value <= high")
        return self


class AreaPrice(Modelled):
    """Area of one instance; ``utilization`` is the share of placed area that cells fill (macros: 1)."""

    value: NonNegativeArea | None = None
    low: NonNegativeArea | None = None
    high: NonNegativeArea | None = None
    utilization: Annotated[float, Field(gt=0, le=1)] = 1.0
    included_in: str | None = None

    @model_validator(mode="after")
    def _given(self) -> AreaPrice:
        return _given_once(self, self.included_in or self.model)


class LeakagePrice(Price):
    """Leakage power of one instance at the table's voltage and temperature."""

    value: NonNegativePower | None = None
    low: NonNegativePower | None = None
    high: NonNegativePower | None = None
    included_in: str | None = None

    @model_validator(mode="after")
    def _given(self) -> LeakagePrice:
        return _given_once(self, self.included_in)


class LeakageBracket(Model):
    """Leakage that others measured or computed, to bracket a calibrated one; per KiB of SRAM, at its own V and T."""

    name: str
    per_kib: PositivePower
    voltage: PositiveVoltage
    temperature: Temperature
    source: str
    tag: Tag


class LeakageScaling(Model):
    """Constants of the subthreshold law, see `accelsim.cost.scaling.leakage_factor`."""

    dibl: Annotated[float, Field(gt=0)]
    swing_mv_per_decade: Annotated[float, Field(gt=0)]
    doubling_kelvin: Annotated[float, Field(gt=0)]
    source: str


class CostTable(Model):
    """A price list for one node and voltage.

    ``laws[kind][dimension]``: ``proportional`` (value grows with the dimension) or ``interpolate`` (power law
    between the rows that differ in it). ``base``: another table, whose rows hold wherever this one has none for a
    kind (or its action).
    """

    name: str
    description: str = ""
    base: str | None = None
    node: Length
    voltage: PositiveVoltage
    temperature: Temperature
    laws: dict[str, dict[str, Literal["proportional", "interpolate"]]] = {}
    energy: list[EnergyPrice] = []
    clock: list[ClockPrice] = []
    area: list[AreaPrice] = []
    leakage: list[LeakagePrice] = []
    leakage_scaling: LeakageScaling | None = None
    leakage_bracket: list[LeakageBracket] = []

    @model_validator(mode="after")
    def _whole(self) -> CostTable:
        if self.base is None and self.leakage_scaling is None:
            raise ValueError("expected leakage_scaling, or a base that has it")
        return self

    def on(self, base: CostTable) -> CostTable:
        """Return the table with the rows of its base beneath it, each at the base's node and voltage."""
        merged: dict[str, list[Price]] = {}
        for section in ("energy", "clock", "area", "leakage"):
            mine = getattr(self, section)
            given = {_whose(row) for row in mine}
            beneath = [row for row in getattr(base, section) if _whose(row) not in given]
            merged[section] = [
                *mine,
                *(
                    row.model_copy(update={"node": row.node or base.node, "voltage": row.voltage or base.voltage})
                    for row in beneath
                ),
            ]
        laws = {**base.laws, **self.laws}
        return self.model_copy(
            update={**merged, "laws": laws, "leakage_scaling": self.leakage_scaling or base.leakage_scaling}
        )


def _whose(row: Price) -> tuple[str, str]:
    return row.kind, getattr(row, "action", "")


_Ranged = TypeVar("_Ranged", EnergyPrice, AreaPrice, LeakagePrice)


def _given_once(price: _Ranged, instead: str | None) -> _Ranged:
    given = [v for v in (price.value, price.low, price.high) if v is not None]
    if instead is not None:
        if given:
            raise ValueError(f"expected either a value or '{instead}', found both")
        return price
    if len(given) < 3:
        raise ValueError("expected value, low and high (or 'model' or 'included_in')")
    if not given[1] <= given[0] <= given[2]:
        raise ValueError("expected low <= value <= high")
    return price
