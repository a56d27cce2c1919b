"""The axes of a sweep as they are drawn: the steps of each, with keys that step together as one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from accelsim.explore.front import Front
from accelsim.explore.store import Configuration
from accelsim.report.headline import LARGEST
from accelsim.schema.quantity import measured

_WRITTEN = re.compile(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([^0-9\s].*)?")


@dataclass(frozen=True)
class Steps:
    """One axis: its steps in order, and which of them each configuration has, None where it has none.

    ``numbers``: the steps in ``unit``, where all are numbers of one kind and no two are the same. The unit is the one
    that all are written in, or else the SI unit, of which each is a ``multiple``: '500 kHz' and '1 MHz'.
    """

    name: str
    texts: Sequence[str]
    numbers: Sequence[float] | None
    unit: str
    multiple: bool
    places: Sequence[int | None]

    @property
    def varies(self) -> bool:
        """Whether there is more than one step."""
        return len(self.texts) > 1

    @property
    def logarithmic(self) -> bool:
        """Whether the steps are about as far apart on a logarithmic scale: powers of two, 1, 3, 10, 30."""
        if self.numbers is None or len(self.numbers) < 3 or self.numbers[0] <= 0:
            return False
        ratios = [b / a for a, b in pairwise(self.numbers)]
        return min(ratios) > 1.4 and max(ratios) < 2.5 * min(ratios)


@dataclass(frozen=True)
class Slice:
    """What one picture shows of a sweep: the configurations ``along`` one axis, and for each step of the ``other``.

    ``held``: the steps of the remaining axes, by their names: those of the best configuration.
    """

    along: Steps
    other: Steps | None
    held: Mapping[str, str]
    chosen: Sequence[int]


def steps_of(axes: Sequence[Mapping[str, Any]], swept: Sequence[str], done: Sequence[Configuration]) -> list[Steps]:
    """Return the axes of a store; ``axes`` and ``swept`` as its meta has them, ``done``: its configurations."""
    together = [tuple(key for key in axis if key in swept) for axis in axes]
    alone = [(key,) for key in swept if not any(key in keys for keys in together)]
    return [_steps(keys, done) for keys in (*together, *alone) if keys]


def slice_of(axes: Sequence[Steps], found: Front) -> Slice | None:
    """Return what a picture of a sweep shows unasked: its longest axis of numbers, and the longest of the others.

    None where no axis has three numbers.
    """
    varied = [axis for axis in axes if axis.varies]
    numbers = [axis for axis in varied if axis.numbers is not None and len(axis.texts) > 2]
    if not numbers:
        return None
    along = max(numbers, key=lambda axis: len(axis.texts))
    others = sorted((axis for axis in varied if axis is not along), key=lambda axis: -len(axis.texts))
    best = next((place for place, on_front in enumerate(found.best) if on_front), 0)
    held = {axis.name: axis.places[best] for axis in others[1:]}
    chosen = [
        place
        for place in range(len(found.done))
        if along.places[place] is not None
        and all(axis.places[place] == held[axis.name] is not None for axis in others[1:])
        and (not others or others[0].places[place] is not None)
    ]
    if len({along.places[place] for place in chosen}) < 3:
        return None
    said = {axis.name: axis.texts[place] for axis in others[1:] if (place := held[axis.name]) is not None}
    return Slice(along, others[0] if others else None, said, chosen)


def _steps(keys: tuple[str, ...], done: Sequence[Configuration]) -> Steps:
    taken = [tuple(c.keys[key] for key in keys) if all(key in c.keys for key in keys) else None for c in done]
    steps = list(dict.fromkeys(values for values in taken if values is not None))
    same = all(len(set(values)) == 1 for values in steps)
    names = [key.removeprefix("components.") for key in keys]
    numbers, unit, multiple = None, "", False
    for place in range(len(keys)):  # the first key whose values are numbers, and differ, gives all steps their places
        column = [values[place] for values in steps]
        known = [found for text in column if (found := measured(text)) is not None and abs(found[0]) < LARGEST]
        units = {unit for _, unit in known}
        if len(known) == len(steps) and len(units) == 1 and len({number for number, _ in known}) == len(steps):
            order = sorted(range(len(steps)), key=lambda i, known=known: known[i][0])  # type: ignore[misc]
            steps, column = [steps[i] for i in order], [column[i] for i in order]
            written = [match for text in column if (match := _WRITTEN.fullmatch(text))]
            multiple = len(written) < len(steps) or len({match[2] for match in written}) > 1
            numbers = [known[i][0] for i in order] if multiple else [float(match[1]) for match in written]
            unit = units.pop() if multiple else written[0][2] or ""
            break
    places = {values: place for place, values in enumerate(steps)}
    return Steps(
        (" = " if same else " & ").join(names),
        [values[0] if same else " & ".join(values) for values in steps],
        numbers,
        unit,
        multiple,
        [None if values is None else places[values] for values in taken],
    )
