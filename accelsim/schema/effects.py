"""What a numeric key of a file may change: no key without an effect, and no effect without a price.

A model declares it beside its keys::

    effects = {"units": Effect(cycles="less", energy="more", area="more", spare="more units than there is work")}

The contract suite ``tests/contract/test_no_free_lunch.py`` halves and doubles every such key on every shipped chip.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

Direction = Literal["more", "less", "either"]
"""What a figure may do when the key grows; ``more`` and ``less`` allow that it stays as it is."""

FIGURES = ("values", "counts", "cycles", "energy", "area")


@dataclass(frozen=True)
class Effect:
    """What may change when a numeric key grows, figure by figure; a figure that is not named stays as it is.

    ``values``: of the outputs, and what saturates or clips on the way. ``counts``: of the events on any component.
    ``cycles``: of the run, and the time of programming. ``energy``: of an event, of a clocked cycle, or of a second of
    standby and leakage; what follows from other counts, cycles or a larger area need not be said. ``area``: in mm2.

    A change pays for what it makes smaller (cycles, energy or area): another of them grows, other values come out, or
    it is refused. Two reasons, in words, allow a change that pays for nothing. ``spare``: a smaller value leaves less
    room beyond what the work needs; one that is too small is refused or pays. ``given``: the value is a fact of
    circuit, floor plan or data sheet, which nothing here derives and nobody chooses.
    """

    values: Direction | None = None
    counts: Direction | None = None
    cycles: Direction | None = None
    energy: Direction | None = None
    area: Direction | None = None
    spare: str = ""
    given: str = ""

    def named(self) -> dict[str, Direction]:
        """Return the figures that may change, with their directions."""
        return {name: direction for name in FIGURES if (direction := getattr(self, name)) is not None}

    def keeps_values(self) -> bool:
        """Return whether no value and no count may change, so that a sweep over the key reuses both."""
        return self.values is None and self.counts is None


def effects_of(model: type[BaseModel]) -> dict[str, Effect]:
    """Return what the keys of a model may change: what it and its bases declare, the nearest class wins."""
    found: dict[str, Effect] = {}
    for base in reversed(model.__mro__):
        found |= vars(base).get("effects", {})
    return found


def numeric_keys(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys of a model that hold a number, a quantity, or several of them."""
    return tuple(name for name, field in model.model_fields.items() if _holds_numbers(field.annotation))


def keeps_values(model: type[BaseModel]) -> frozenset[str]:
    """Return the keys that declare that they change no value and no count: a sweep over them reuses both."""
    return frozenset(key for key, effect in effects_of(model).items() if effect.keeps_values())


def undeclared(model: type[BaseModel]) -> list[str]:
    """Return what is wrong with the declarations of a model: numeric keys without one, and names that are no keys."""
    declared = effects_of(model)
    lacking = [key for key in numeric_keys(model) if key not in declared or not declared[key].named()]
    problems = [
        f"the numeric key '{key}' does not declare what it may change: "
        f"add effects = {{'{key}': Effect(...)}} with some of {', '.join(FIGURES)}"
        for key in lacking
    ]
    problems += [f"effects names '{key}', which is no key" for key in declared if key not in model.model_fields]
    return problems


def _holds_numbers(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is typing.Annotated:
        return _holds_numbers(get_args(annotation)[0])
    if origin is Literal:
        return any(isinstance(value, int | float) and not isinstance(value, bool) for value in get_args(annotation))
    if origin in (Union, UnionType, list, tuple, set, frozenset, dict, Mapping):
        return any(_holds_numbers(part) for part in get_args(annotation))
    return isinstance(annotation, type) and issubclass(annotation, int | float) and annotation is not bool


__all__ = ["FIGURES", "Direction", "Effect", "effects_of", "keeps_values", "numeric_keys", "undeclared"]
