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
    ``included_in``: the kind whose row already covers this one (instead of a value).
    """

    kind: str
    at: dict[str, Annotated[float, Field(gt=0)] | PositiveLength] = {}
    source: str
    tag: Tag
    node: PositiveLength | None = None
    voltage: PositiveVoltage | None = None
    note: str | None = None


class EnergyPrice(Price):
    """Energy of one action of one instance."""

    action: str
    value: PositiveEnergy
    low: PositiveEnergy
    high: PositiveEnergy

    @model_validator(mode="after")
    def _ordered(self) -> EnergyPrice:
        return _in_order(self)


class ClockPrice(Price):
    """Energy of one clock cycle of one instance, whether it works or not."""

    value: PositiveEnergy
    low: PositiveEnergy
    high: PositiveEnergy

    @model_validator(mode="after")
    def _ordered(self) -> ClockPrice:
        return _in_order(self)


class AreaPrice(Price):
    """Area of one instance; ``utilization`` is the share of placed area that cells fill (macros: 1)."""

    value: NonNegativeArea | None = None
    low: NonNegativeArea | None = None
    high: NonNegativeArea | None = None
    utilization: Annotated[float, Field(gt=0, le=1)] = 1.0
    included_in: str | None = None

    @model_validator(mode="after")
    def _given(self) -> AreaPrice:
        return _given_or_included(self)


class LeakagePrice(Price):
    """Leakage power of one instance at the table's voltage and temperature."""

    value: NonNegativePower | None = None
    low: NonNegativePower | None = None
    high: NonNegativePower | None = None
    included_in: str | None = None

    @model_validator(mode="after")
    def _given(self) -> LeakagePrice:
        return _given_or_included(self)


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
    between the rows that differ in it).
    """

    name: str
    description: str = ""
    node: Length
    voltage: PositiveVoltage
    temperature: Temperature
    laws: dict[str, dict[str, Literal["proportional", "interpolate"]]] = {}
    energy: list[EnergyPrice]
    clock: list[ClockPrice] = []
    area: list[AreaPrice]
    leakage: list[LeakagePrice]
    leakage_scaling: LeakageScaling
    leakage_bracket: list[LeakageBracket] = []


_Ranged = TypeVar("_Ranged", EnergyPrice, ClockPrice)
_Placed = TypeVar("_Placed", AreaPrice, LeakagePrice)


def _in_order(price: _Ranged) -> _Ranged:
    if not price.low <= price.value <= price.high:
        raise ValueError("expected low <= value <= high")
    return price


def _given_or_included(price: _Placed) -> _Placed:
    given = (price.value, price.low, price.high)
    if price.included_in is not None:
        if any(v is not None for v in given):
            raise ValueError("expected either a value or 'included_in', found both")
        return price
    if price.value is None or price.low is None or price.high is None:
        raise ValueError("expected value, low and high (or 'included_in')")
    if not price.low <= price.value <= price.high:
        raise ValueError("expected low <= value <= high")
    return price
