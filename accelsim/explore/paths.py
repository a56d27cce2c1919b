"""Dotted paths into a Result."""

from __future__ import annotations

from fnmatch import fnmatchcase
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from accelsim.errors import InputError, nearest
from accelsim.result import Record, Result


def value_at(result: Result, path: str) -> float | None:
    """Return the number at a dotted path of a Result, None where it is absent; raises InputError on a wrong path.

    Parts of a path are keys of records, or names of the records in a list: ``components.adc.area_mm2``. A name may hold
    dots, the longest that fits wins; a pattern such as ``layers.*.linear_pos.cycles`` or ``components.adc.energy_j.*``
    is the sum over all that match.
    """
    values = values_at(result.model_dump(), path.split("."))
    if not values:
        raise InputError.of(f"a result has no '{path}'")
    numbers = [value for value in values if value is not None]
    return sum(map(float, numbers)) if numbers else None


def values_at(data: Any, path: list[str]) -> list[Any]:
    """Return all that a path leads to, nothing where it leads nowhere."""
    if data is None or not path:
        return [data]
    if isinstance(data, list):
        data = {item["name"]: item for item in data if isinstance(item, dict)}
    if not isinstance(data, dict):
        return []
    for length in range(len(path), 0, -1):
        wanted, rest = ".".join(path[:length]), path[length:]
        items = [item for name, item in data.items() if name == wanted or fnmatchcase(name, wanted)]
        if values := [value for item in items for value in values_at(item, rest)]:
            return values
    return []


def wrong_part(annotation: Any, path: list[str]) -> tuple[str, list[str]] | None:
    """Return the first part of a path that a record cannot have and what it could be, None when it ends at a number.

    Names within lists and mappings depend on the run, so any will do, of any number of parts.
    """
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    inner = [a for a in get_args(annotation) if a is not type(None)]
    if get_origin(annotation) in (Union, UnionType):
        return wrong_part(inner[0], path)
    if not path:
        return None if annotation in (int, float) else ("", [])
    if get_origin(annotation) is dict or (get_origin(annotation) is list and _is_record(inner[0])):
        wrong = [wrong_part(inner[-1], path[length:]) for length in range(len(path), 0, -1)]
        if None in wrong:
            return None
        return next((part for part in wrong if part is not None and nearest(*part)), wrong[-1])
    fields = annotation.model_fields if _is_record(annotation) else {}
    matching = [field for name, field in fields.items() if fnmatchcase(name, path[0])]
    if not matching:
        return path[0], list(fields)
    found = (wrong_part(field.annotation, path[1:]) for field in matching)
    return next((part for part in found if part is not None), None)


def _is_record(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Record)
