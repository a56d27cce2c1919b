"""The grammar of tables of wires: resistance of a cell's length of wire, by geometry and node."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

from annotated_types import Ge
from pydantic import Field, GetJsonSchemaHandler, field_validator
from pydantic_core import core_schema

from accelsim.schema.names import Label
from accelsim.schema.parse import Model
from accelsim.schema.quantity import PositiveLength, PositiveResistance, Quantity, Temperature, format_si

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Geometry(Model):
    """Resistance of a cell's length of wire: at the nodes of a table, or one that holds at every node."""

    description: str
    ohm: PositiveResistance | Annotated[dict[PositiveLength, PositiveResistance], Field(min_length=1)]

    def at(self, node: float) -> float:
        """Return the resistance at a node in m, in ohm: between two nodes of the table as their logarithms lie.

        Raises ValueError for a node beyond those of the table.
        """
        if not isinstance(self.ohm, dict):
            return self.ohm
        rows = sorted(self.ohm.items())
        for length, ohm in rows:
            if math.isclose(length, node, rel_tol=1e-9):
                return ohm
        if not rows[0][0] < node < rows[-1][0]:
            first, last = (format_si(end, "m") for end in (rows[0][0], rows[-1][0]))
            raise ValueError(f"holds from {first} to {last}, found {format_si(node, 'm')}")
        (below, low), (above, high) = next(pair for pair in pairwise(rows) if node < pair[1][0])
        share = math.log(node / below) / math.log(above / below)
        return math.exp((1 - share) * math.log(low) + share * math.log(high))


class WireTable(Model):
    """Resistances of wires in arrays, at a reference temperature.

    At T they have 1 + ``temperature_coefficient`` |T - ``reference_temperature``| times as much.
    """

    name: Label
    description: str = ""
    source: str
    temperature_coefficient: Annotated[float, Ge(0)]
    reference_temperature: Temperature
    geometries: Annotated[dict[str, Geometry], Field(min_length=1)]

    @field_validator("geometries", mode="after")
    @classmethod
    def _named(cls, given: dict[str, Geometry]) -> dict[str, Geometry]:
        for name in given:
            if not _NAME.fullmatch(name):
                raise ValueError(f"a geometry's name has small letters, digits and '_', a letter first, found '{name}'")
        return given

    def ohm(self, geometry: str, node: float, temperature: float) -> float:
        """Return the resistance of a cell's length of a wire at a node (m) and a temperature (K), in ohm.

        Raises ValueError for a node beyond the table.
        """
        try:
            found = self.geometries[geometry].at(node)
        except ValueError as error:
            raise ValueError(f"geometry '{geometry}' of the table of wires '{self.name}' {error}") from None
        return found * (1 + self.temperature_coefficient * abs(temperature - self.reference_temperature))


@dataclass(frozen=True)
class _OhmOrGeometry(Quantity):
    """A resistance of at least 0 ohm, or the name of a geometry, which stays a text until a technology is known."""

    def read(self, value: object) -> float | int | str:  # type: ignore[override]
        if isinstance(value, str) and _NAME.fullmatch(value):
            return value
        return super().read(value)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "description": "A resistance of at least 0 ohm, or a geometry of a table of wires."}


OhmPerCell = Annotated[float, _OhmOrGeometry("resistance", at_least=0, at_most=1e6)]
"""Of a cell's length of wire: metals have up to 30 ohm, doped silicon some kiloohm; 1 Mohm is a cell in HRS."""
