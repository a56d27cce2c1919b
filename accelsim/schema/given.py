"""Data that Python gives in the place of a file: made as plain as YAML, each value with its key path, and written."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from typing import Any

import numpy as np

from accelsim import limits
from accelsim.errors import InputError, Problem, show
from accelsim.schema.source import Key, Location, Overrides, Place, Source
from accelsim.schema.written import as_yaml, flow

_EXPECTED = "expected text, a number, True, False, None, a list or a mapping"
_LONGEST_KEY = 100


def given(data: Mapping[str, Any], what: str) -> Source:
    """A mapping from Python as a source; ``what`` stands for the file in messages, with the key path behind it.

    Numbers, texts, paths and arrays of NumPy become those of YAML, tuples become lists. Raises InputError with
    everything that YAML cannot hold.
    """
    found = plain(data, what)
    return Source(what, found, _places(found, what, ()), as_yaml(found).encode())


def override_texts(overrides: Overrides | None) -> dict[str, str]:
    """Overrides with each value as the text that `--set` takes, so `True` is "true"; raises InputError."""
    texts, problems = {}, []
    for key, value in (overrides or {}).items():
        if isinstance(value, str):
            texts[key] = value  # YAML already
        elif isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_):
            # NumPy writes its own types in another way. What is not finite is refused where the text is read.
            texts[key] = repr(int(value) if isinstance(value, numbers.Integral) else float(value))
        else:
            try:
                texts[key] = flow(plain(value, f"--set {key}"))
            except InputError as error:
                problems += error.problems
    if problems:
        raise InputError(problems)
    return texts


def plain(value: Any, what: str) -> Any:
    """A value from Python as YAML would give it: texts, numbers, True, False, None, lists, mappings.

    ``what`` stands for the file in messages. Raises InputError with everything in it that is nothing of those, or more
    than the limits of a file.
    """
    reader = _Reader(what)
    found = reader.value(value, ())
    if reader.problems:
        raise InputError(reader.problems)
    return found


class _Reader:
    def __init__(self, what: str) -> None:
        self.problems: list[Problem] = []
        self._what = what
        self._values = 0
        self._most = limits.current()

    def value(self, value: Any, location: Location) -> Any:
        self._values += 1
        for name, is_over in (
            ("yaml_values", self._values > self._most.yaml_values),
            ("yaml_depth", len(location) > self._most.yaml_depth),
        ):
            if is_over:
                message, hint = limits.over(name)
                raise InputError([*self.problems, Problem(message, place_of(self._what, location), hint=hint)])
        if isinstance(value, np.ndarray | np.generic):
            value = value.tolist()
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, str | PathLike):
            text = fspath(value)
            if isinstance(text, str) and not any("\ud800" <= c <= "\udfff" for c in text):
                return str(text)
        elif isinstance(value, numbers.Integral):
            return int(value)
        elif isinstance(value, numbers.Real):
            if math.isfinite(number := float(value)):
                return number
        elif isinstance(value, Mapping):
            return self._mapping(value, location)
        elif isinstance(value, list | tuple):
            return [self.value(item, (*location, index)) for index, item in enumerate(value)]
        hint = "write it as text, as in YAML"
        self.problems.append(Problem(f"{_EXPECTED}, found {show(value)}", place_of(self._what, location), hint=hint))
        return None

    def _mapping(self, value: Mapping[Any, Any], location: Location) -> dict[str, Any]:
        found = {}
        for key, part in value.items():
            if not isinstance(key, str) or not key or not key.isprintable():
                message = f"expected a word as the key, found {show(key)}"
                self.problems.append(Problem(message, place_of(self._what, location)))
            else:
                found[str(key)] = self.value(part, (*location, key))
        return found


def place_of(what: str, location: Location) -> str:
    """What stands for a value of Python's data in messages: ``dict: components.pe.sets``."""
    path = ".".join(map(str, location))
    return what if not path else f"{what}: {path if len(path) <= _LONGEST_KEY else path[:_LONGEST_KEY] + '..'}"


def _places(data: Any, what: str, location: Location) -> Place:
    """Where each value stands: it has no line, so its key path is in the place of the file's name."""
    pairs: Iterable[tuple[Key, Any]] = ()
    if isinstance(data, dict):
        pairs = data.items()
    elif isinstance(data, list):
        pairs = enumerate(data)
    parts = {key: _places(part, what, (*location, key)) for key, part in pairs}
    return Place(None, parts, place_of(what, location))
