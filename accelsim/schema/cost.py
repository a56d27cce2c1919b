"""The grammar of a cost table: prices with their source, and how they scale with a component's size."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, model_validator

from accelsim.schema.names import Label, Name, as_name
from accelsim.schema.parse import Model
from accelsim.schema.quantity import (
    Length,
    NonNegativeArea,
    NonNegativeEnergy,
    NonNegativePower,
    PositiveEnergy,
    PositiveFrequency,
    PositiveLength,
    PositivePower,
    PositiveTime,
    PositiveVoltage,
    Temperature,
)

Tag = Literal["stated", "read", "run", "derived", "estimated", "calibrated"]
"""How a number came about: printed by its authors, read in a source, given by a named tool, by arithmetic on
others, estimated here (an assumption), or fitted to a published figure."""
Law = Literal["proportional", "interpolate"]

Size = Annotated[float, Field(ge=1e-9, le=1e18)]
"""A size of a component: sizes are whole numbers, shares, and quantities as plain numbers of their SI unit."""

SECTIONS = ("energy", "clock", "standby", "area", "leakage")
EVERY = "*"
"""Stands for every kind of component in a row of the clock."""


@dataclass(frozen=True)
class Origin:
    """The table of a row: where its values hold (m, V, K), and how they scale from there.

    ``own_die``: whether the row is priced at this node and voltage whatever those of the chip are; ``window``: of a
    table for a die of its own, what that die can be operated at.
    """

    node: float
    voltage: float
    temperature: float
    laws: Mapping[str, Mapping[str, Law]]
    leakage_scaling: LeakageScaling | None
    own_die: bool = False
    window: Window | None = None


def _one_or_every(kind: str) -> str:
    return kind if kind == EVERY else as_name(kind)


class Price(Model):
    """What every row says: whose price it is, at which size, where the number comes from.

    ``at``: the dimensions of the component for which the value holds, for the laws of its kind.
    ``node``, ``voltage``: where the row differs from its table; the value is scaled from there.
    ``scales: false``: the value holds at every node and supply voltage, because neither decides it.
    ``included_in``: what already covers this one (instead of a value): another kind, which must be on the chip; or of
    the same kind another action of an energy, or another section, ``standby`` or ``leakage``.
    """

    kind: Annotated[str, AfterValidator(_one_or_every)]
    at: dict[str, Size | PositiveLength | PositiveTime] = {}
    source: str
    tag: Tag
    node: PositiveLength | None = None
    voltage: PositiveVoltage | None = None
    scales: bool = True
    note: str | None = None
    _origin: Origin | None = PrivateAttr(default=None)

    def origin(self, table: CostTable) -> Origin:
        """Return the table of the row; ``table``: in which it is now, its own or one that stands on that."""
        return self._origin or table.origin()

    def moved(self, origin: Origin) -> Price:
        """Return the row as one that comes from elsewhere."""
        row = self.model_copy()
        row._origin = origin
        return row


class Modelled(Price):
    """A row whose value may follow from a formula of `accelsim.cost.models` instead of standing here.

    ``spread``: the low and the high end as factors of the formula's value.
    """

    model: str | None = None
    spread: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(ge=1)]] | None = None


class EnergyPrice(Modelled):
    """Energy of one action of one instance."""

    action: Name
    value: PositiveEnergy | None = None
    low: PositiveEnergy | None = None
    high: PositiveEnergy | None = None
    included_in: str | None = None

    @model_validator(mode="after")
    def _given(self) -> EnergyPrice:
        return _given_once(self, self.included_in or self.model)


class ClockPrice(Price):
    """Energy of one flip-flop in one clock cycle, with its share of the clock's wires and buffers.

    ``kind: "*"`` stands for every kind without a row of its own. ``state``: ``clocked`` while the clock runs through;
    ``gated`` for what stays while it is stopped at the component: root, trunk and gates; ``working`` in a cycle at
    work, where that is not the price of ``clocked``: ``included_in: actions`` says that the kind's actions hold the
    clock of the registers that they write, so that a cycle at work pays them and, here, the price of ``gated`` alone.
    No cycle of a flip-flop is paid twice that way.
    """

    state: Literal["clocked", "gated", "working"]
    value: NonNegativeEnergy | None = None
    low: NonNegativeEnergy | None = None
    high: NonNegativeEnergy | None = None
    included_in: Literal["actions"] | None = None

    @model_validator(mode="after")
    def _given(self) -> ClockPrice:
        if self.included_in is not None and self.state != "working":
            raise ValueError("actions hold the clock of cycles at work alone: expected 'state: working'")
        return _given_once(self, self.included_in)


class StandbyPrice(Modelled):
    """Power of one instance for as long as it is supplied, whether it works or not: bias and static currents.

    It scales with voltage and node as an energy does, of which it is the part that does not wait for an action.
    ``state``: of a kind that goes to rest by itself, see `accelsim.components.kind.StandbyState`. ``included_in:
    leakage``: static logic, which at rest draws its leakage alone.
    """

    state: Name | None = None
    value: NonNegativePower | None = None
    low: NonNegativePower | None = None
    high: NonNegativePower | None = None
    included_in: str | None = None

    @model_validator(mode="after")
    def _given(self) -> StandbyPrice:
        return _given_once(self, self.included_in or self.model)


class AreaPrice(Modelled):
    """Area of one instance; ``utilization`` is the share of placed area that cells fill (macros: 1).

    ``scaling``: how it moves to another node: as ``logic``, or as the ``bit_cell`` of an SRAM.
    """

    value: NonNegativeArea | None = None
    low: NonNegativeArea | None = None
    high: NonNegativeArea | None = None
    utilization: Annotated[float, Field(gt=0, le=1)] = 1.0
    scaling: Literal["logic", "bit_cell"] = "logic"
    included_in: str | None = None

    @model_validator(mode="after")
    def _given(self) -> AreaPrice:
        return _given_once(self, self.included_in or self.model)


class LeakagePrice(Price):
    """Leakage power of one instance at the table's voltage and temperature; ``included_in: standby``: that row's."""

    value: NonNegativePower | None = None
    low: NonNegativePower | None = None
    high: NonNegativePower | None = None
    included_in: str | None = None

    @model_validator(mode="after")
    def _given(self) -> LeakagePrice:
        return _given_once(self, self.included_in)


class LeakageBracket(Model):
    """Leakage that others measured or computed, to bracket a calibrated one; per KiB of SRAM, at its own V and T."""

    name: Label
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


class NodeWindow(Model):
    """Supplies that logic of a node works at; ``nominal``: where its delay holds; ``threshold``: of its transistors."""

    node: PositiveLength
    voltage: tuple[PositiveVoltage, PositiveVoltage]
    nominal: PositiveVoltage
    threshold: PositiveVoltage
    source: str
    tag: Tag

    @model_validator(mode="after")
    def _in_order(self) -> NodeWindow:
        low, high = self.voltage
        if not self.threshold < low <= self.nominal <= high:
            raise ValueError("expected threshold < lowest voltage <= nominal <= highest voltage")
        return self


class Window(Model):
    """What the rows of a table hold for: outside, a chip is refused, or runs with every figure marked as extrapolated.

    ``nodes``: from the first to the last, and between two of them as their logarithms lie. ``frequency``: the fastest
    clock at ``node`` and that node's nominal voltage, elsewhere by `accelsim.cost.scaling.node_delay_factor` and
    `speed_factor` with ``alpha``; ``low``, ``high``, ``alpha_range``: how far they are apart in the sources.
    ``decision``: the fastest decision of a bit of a converter there, see `accelsim.cost.window`.
    """

    temperature: tuple[Temperature, Temperature]
    nodes: Annotated[list[NodeWindow], Field(min_length=1)]
    node: PositiveLength
    frequency: PositiveFrequency
    low: PositiveFrequency
    high: PositiveFrequency
    alpha: Annotated[float, Field(ge=1, le=2)]
    alpha_range: tuple[float, float]
    decision: PositiveTime
    decision_range: tuple[PositiveTime, PositiveTime]
    source: str
    tag: Tag

    @model_validator(mode="after")
    def _in_order(self) -> Window:
        if not self.low <= self.frequency <= self.high:
            raise ValueError("expected low <= frequency <= high")
        for name, (low, value, high) in {
            "temperature": (self.temperature[0], self.temperature[0], self.temperature[1]),
            "alpha_range": (self.alpha_range[0], self.alpha, self.alpha_range[1]),
            "decision_range": (self.decision_range[0], self.decision, self.decision_range[1]),
        }.items():
            if not low <= value <= high:
                raise ValueError(f"expected {name} in order, and around its value")
        at = [one.node for one in self.nodes]
        if at != sorted(set(at)):
            raise ValueError("expected nodes in ascending order")
        if not at[0] <= self.node <= at[-1]:
            raise ValueError("expected 'node' among the nodes")
        return self


class Base(Model):
    """A table that another one stands on.

    ``own_die``: its rows are for parts on a die of their own, at the node and voltage of that table, not the chip's.
    All dies have the chip's temperature.
    """

    table: str
    own_die: bool = False


def _listed(bases: Any) -> Any:
    """Return ``base`` in full: a list of tables, each with its keys."""
    return [{"table": one} if isinstance(one, str) else one for one in (bases if isinstance(bases, list) else [bases])]


class CostTable(Model):
    """A price list for one node and voltage.

    ``laws[kind][dimension]``: ``proportional`` (value grows with the dimension) or ``interpolate`` (power law
    between the rows that differ in it). ``base``: another table, or a list of them, whose rows hold wherever this one
    has none for a kind (or its action); of several tables the first that has one. ``sources``: names of what several
    rows come from: rows whose ``source`` names the same one first are wrong together, all others apart.
    """

    name: Label
    description: str = ""
    base: Annotated[list[Base], BeforeValidator(_listed, json_schema_input_type=str | Base | list[str | Base])] = []
    node: Length
    voltage: PositiveVoltage
    temperature: Temperature
    laws: dict[Name, dict[Name, Law]] = {}
    sources: list[str] = []
    energy: list[EnergyPrice] = []
    clock: list[ClockPrice] = []
    standby: list[StandbyPrice] = []
    area: list[AreaPrice] = []
    leakage: list[LeakagePrice] = []
    leakage_scaling: LeakageScaling | None = None
    leakage_bracket: list[LeakageBracket] = []
    window: Window | None = None
    """What its rows hold for; that of its first base that has one, and without any its own node and voltage alone."""

    @model_validator(mode="after")
    def _whole(self) -> CostTable:
        if not self.base and self.leakage_scaling is None:
            raise ValueError("expected leakage_scaling, or a base that has it")
        return self

    def origin(self) -> Origin:
        """Return where the table's own rows hold, and how they scale."""
        return Origin(self.node, self.voltage, self.temperature, self.laws, self.leakage_scaling)

    def source_of(self, row: Price) -> str | None:
        """Return the one of ``sources`` that a row's text names first, None where it names none."""
        named = [(row.source.find(name), name) for name in self.sources if name in row.source]
        return min(named)[1] if named else None

    def on(self, bases: Sequence[CostTable]) -> CostTable:
        """Return the table with the rows of its bases beneath it, each as its own table has it.

        ``bases``: the tables of ``base``, in order. Where this table has laws of a kind, or constants of leakage, they
        hold for the rows beneath it as well, but for the constants of a die of its own. A bracket of leakage holds
        at its node.
        """
        merged: dict[str, list[Price]] = {}
        for section in SECTIONS:
            rows: list[Price] = list(getattr(self, section))
            priced = {row.kind for row in self.area}
            for base, how in zip(bases, self.base, strict=True):
                given = {_whose(row) for row in rows}
                beneath = _spelt_out(base, section, priced) if how.own_die else getattr(base, section)
                rows += [self._beneath(row, base, how) for row in beneath if _whose(row) not in given]
                priced |= {row.kind for row in base.area}
            merged[section] = rows
        laws: dict[str, dict[str, Law]] = {}
        for table in (self, *bases):
            laws = {**table.laws, **laws}
        constants = next((table.leakage_scaling for table in (self, *bases) if table.leakage_scaling is not None), None)
        sources = list(dict.fromkeys(name for table in (self, *bases) for name in table.sources))
        alike = (base for base in bases if base.node == self.node)
        bracket = next((table.leakage_bracket for table in (self, *alike) if table.leakage_bracket), [])
        same_die = [base for base, how in zip(bases, self.base, strict=True) if not how.own_die]
        window = next((table.window for table in (self, *same_die) if table.window is not None), None)
        return self.model_copy(
            update={
                **merged,
                "leakage_bracket": bracket,
                "laws": laws,
                "sources": sources,
                "leakage_scaling": constants,
                "window": window,
            }
        )

    def _beneath(self, row: Price, base: CostTable, how: Base) -> Price:
        origin = row.origin(base)
        if how.own_die and not origin.own_die:
            here = {"node": row.node or origin.node, "voltage": row.voltage or origin.voltage}
            row = row.model_copy(update=here)
            origin = replace(origin, node=base.node, voltage=base.voltage, own_die=True, window=base.window)
        constants = origin.leakage_scaling if origin.own_die else self.leakage_scaling or origin.leakage_scaling
        return row.moved(replace(origin, laws={**origin.laws, **self.laws}, leakage_scaling=constants))


def _whose(row: Price) -> tuple[str, str]:
    return row.kind, getattr(row, "action", "") or getattr(row, "state", "") or ""


def _spelt_out(table: CostTable, section: str, others: Collection[str]) -> list[Price]:
    """Return the rows of a table with those of every kind (``*``) as one for each kind that it alone prices."""
    kinds = dict.fromkeys(row.kind for row in table.area if row.kind not in others)
    rows: list[Price] = []
    for row in getattr(table, section):
        rows += [row.model_copy(update={"kind": kind}) for kind in kinds] if row.kind == EVERY else [row]
    return rows


_Ranged = TypeVar("_Ranged", EnergyPrice, ClockPrice, StandbyPrice, AreaPrice, LeakagePrice)


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
