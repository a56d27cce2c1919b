"""The grammar of how ops lie on a chip: on which engine, in how many copies, with which converter settings."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le
from pydantic import PositiveInt, model_validator

from accelsim.schema.effects import Effect
from accelsim.schema.parse import Model

Place = Annotated[int, Ge(0)]


class ConverterSetting(Model):
    """Other bits for some of a layer's converters: those of a tile row, a plane or a tile column, or all of them.

    A converter is at (``row_tile``, ``plane``, ``column_tile``), counted from 0 within the layer, plane 0 being the
    least significant; a place that is not given means every one. Later settings win over earlier ones.
    """

    effects = dict.fromkeys(
        ("row_tile", "plane", "column_tile", "precision_bits", "range_bits"),
        Effect(values="either", counts="either", given="a setting of converters that are there"),
    )
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


class PlacementSpec(Model):
    """How the ops that an entry of ``placement`` names lie on the chip; what is left out takes its default.

    ``engine``: the engine that runs them. The other keys are read by engines with crossbar tiles: ``copies``, how often
    a matrix is programmed, so that as many frames are worked on at a time; ``converters``, settings that differ from
    those of the chip's converters; ``adc``, the converters of its tiles where the chip has several kinds; or by digital
    arrays: ``batch``, frames of an utterance for which the weights are read once.
    """

    effects = {
        "copies": Effect(values="either", counts="either", cycles="either", energy="more"),
        "batch": Effect(counts="less", cycles="either"),
    }
    engine: str | None = None
    copies: PositiveInt = 1
    converters: list[ConverterSetting] = []
    adc: str | None = None
    batch: PositiveInt = 1

    def settings(self) -> frozenset[str]:
        """Return the keys beside the engine that an entry sets."""
        return frozenset(self.model_fields_set - {"engine"})


class PlacementFile(Model):
    """A placement in a separate file, as ``accelsim schedule --placement`` writes it."""

    placement: dict[str, PlacementSpec]


class EngineSpec(Model):
    """An engine of a chip: its kind, and which components play which of its roles.

    A role that is left out is played by the one component of the chip that can; an empty list leaves it unplayed.
    """

    kind: str
    parts: dict[str, str | list[str]] = {}

    def named(self, role: str) -> tuple[str, ...]:
        """Return the components that the file names for a role."""
        given = self.parts.get(role, ())
        return (given,) if isinstance(given, str) else tuple(given)
