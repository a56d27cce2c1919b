"""The grammar of measured converters: what each of them does wrong, in steps of a code."""

from __future__ import annotations

from typing import Annotated, Self

from annotated_types import Gt
from pydantic import Field, model_validator

from accelsim.schema.effects import Effect
from accelsim.schema.names import Label
from accelsim.schema.parse import Model

_MEASURED = Effect(values="either", counts="either", given="measured on converters")


class MeasuredConverter(Model):
    """One converter: ``offset`` in steps of a code, ``gain`` relative, ``inl`` in steps.

    ``inl``: integral nonlinearity at evenly spaced inputs from one end of the range to the other, linear in between.
    """

    effects = dict.fromkeys(("offset", "gain", "inl"), _MEASURED)
    offset: float = 0.0
    gain: Annotated[float, Gt(-1)] = 0.0
    inl: list[float] = []


class MeasuredConverters(Model):
    """Converters as they were measured: one for all, one for each unit of every tile, or one for each of the chip."""

    name: Label
    description: str = ""
    source: str
    converters: Annotated[list[MeasuredConverter], Field(min_length=1)]

    @model_validator(mode="after")
    def _as_many_points(self) -> Self:
        points = sorted({len(one.inl) for one in self.converters})
        if len(points) > 1 or points[0] == 1:
            found = " and ".join(map(str, points))
            raise ValueError(f"'inl' must have as many points for every converter, at least 2 or none, found {found}")
        return self
