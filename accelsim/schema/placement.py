"""The grammar of how an architecture places a layer: in how many copies, and with which converter settings."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic import PositiveInt, model_validator

from accelsim.schema.parse import Model

Place = Annotated[int, Ge(0)]


class ConverterSetting(Model):
    """Other bits for some of a layer's converters: those of a tile row, a plane or a tile column, or all of them.

    A converter is at (``row_tile``, ``plane``, ``column_tile``), counted from 0 within the layer, plane 0 being the
    least significant; a place that is not given means every one. Later settings win over earlier ones.
    """

    row_tile: Place | None = None
    plane: Place | None = None
    column_tile: Place | None = None
    precision_bits: Annotated[int, Ge(0), Le(16)] | None = None
    range_bits: Annotated[int, Ge(1), Le(16)] | None = None

    @model_validator(mode="after")
    def _sets_something(self) -> ConverterSetting:
        if self.precision_bits is None and self.range_bits is None:
            raise ValueError("expected precision_bits, range_bits or both")
        return self

    def place(self) -> tuple[int | slice, int | slice, int | slice]:
        """Return which converters are meant, as an index into [row tiles, planes, column tiles]."""
        places = (self.row_tile, self.plane, self.column_tile)
        row, plane, column = (slice(None) if at is None else at for at in places)
        return row, plane, column


class Placement(Model):
    """How a layer lies on the chip.

    ``copies``: how often its matrix is programmed, so that as many frames are worked on at a time. ``converters``:
    settings that differ from those of the chip's converters. Of a graph's layers with weights, ``where`` is ``tile`` or
    ``digital`` (a crossbar where the chip has one, if it is not said), ``adc`` names the converters of its tiles where
    the chip has several kinds, and ``batch``: frames of an utterance for which a digital array reads the weights once.
    """

    copies: PositiveInt = 1
    converters: list[ConverterSetting] = []
    where: Literal["tile", "digital"] | None = None
    adc: str | None = None
    batch: PositiveInt = 1
