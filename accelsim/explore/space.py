"""What a sweep varies: axes of values, and the points that a grid, random draws or a Latin hypercube make of them."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from accelsim import limits
from accelsim.errors import InputError, Problem

METHODS = ("grid", "random", "lhs")

_NUMBER = re.compile(r"([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*(.*)")
_DIGITS = 6
_SYNTAX = "for example adc.precision_bits=1:8, crossbar.rows=64,128,256 or 'technology.voltage=0.6 V:0.9 V:0.1 V'"


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included, every ``step``; without a step all of them in between."""

    low: Decimal
    high: Decimal
    step: Decimal | None
    unit: str

    def count(self) -> int | None:
        """Return how many numbers there are, None where there is no step."""
        return None if self.step is None else int((self.high - self.low) / self.step) + 1

    def text(self, number: Decimal) -> str:
        """Return a number of the range as the value of a key."""
        return f"{number.normalize():f} {self.unit}".strip()

    def step_text(self, index: int) -> str:
        """Return the value of a step, counted from 0."""
        assert self.step is not None
        return self.text(self.low + index * self.step)

    def at(self, share: float) -> str:
        """Return the value at a share 0 .. 1 of the way, rounded to six digits where there is no step."""
        count = self.count()
        if count is not None:
            return self.step_text(min(int(share * count), count - 1))
        number = self.low + (self.high - self.low) * Decimal(share)
        return self.text(min(max(Decimal(f"{number:.{_DIGITS}g}"), self.low), self.high))


@dataclass(frozen=True)
class Axis:
    """One or several keys that step together: each has its list of values, or there is one key with a range."""

    keys: tuple[str, ...]
    choices: tuple[tuple[str, ...], ...] = ()
    """The steps: one value for each key."""
    range: Range | None = None

    def count(self) -> int | None:
        """Return the number of steps; None for a range without a step."""
        return len(self.choices) if self.range is None else self.range.count()

    def step(self, index: int) -> dict[str, str]:
        """Return what a step sets, counted from 0."""
        values = self.choices[index] if self.range is None else (self.range.step_text(index),)
        return dict(zip(self.keys, values, strict=True))

    def at(self, share: float) -> dict[str, str]:
        """Return what is set at a share 0 .. 1 of the way along the axis."""
        if self.range is not None:
            return {self.keys[0]: self.range.at(share)}
        return self.step(min(int(share * len(self.choices)), len(self.choices) - 1))

    def samples(self, most: int = 64) -> list[dict[str, str]]:
        """Return steps to check before anything runs: all of them, or the first ones and the last."""
        count = self.count()
        if count is None:
            return [self.at(0.0), self.at(1.0)]
        return [self.step(index) for index in sorted({*range(min(count, most)), count - 1})]

    def asked(self) -> dict[str, Any]:
        """Return the axis as plain data: each key with its values, or with its range as text."""
        if self.range is None:
            return {key: [values[i] for values in self.choices] for i, key in enumerate(self.keys)}
        r = self.range
        ends = [r.low, r.high] if r.step is None else [r.low, r.high, r.step]
        return {self.keys[0]: ":".join(r.text(end) for end in ends)}


@dataclass(frozen=True)
class Point:
    """One run: what it sets, and its seed; points that differ in their seed alone share a ``configuration``."""

    number: int
    configuration: int
    seed: int
    keys: Mapping[str, str]


def read_axes(pairs: Sequence[str]) -> list[Axis]:
    """Return the axes of texts such as ``KEY=1:8``, ``KEY=64,128`` or ``KEY=1,2;OTHER=3,4`` (these step together).

    Raises InputError with the problems of all of them.
    """
    axes, problems = [], []
    for pair in pairs:
        settings: dict[str, str] = {}
        for part in _split(pair, ";"):
            key, equals, values = part.partition("=")
            if not equals or not key.strip():
                problems.append(Problem(f"'--set {pair}' is not KEY=VALUES", hint=_SYNTAX))
                break
            settings[key.strip()] = values.strip()
        else:
            try:
                axes.append(read_axis(settings))
            except InputError as error:
                problems += error.problems
    if problems:
        raise InputError(problems)
    return axes


def read_axis(settings: Mapping[str, Any]) -> Axis:
    """Return the axis of keys that step together, each with a list of values or a text such as ``1:8``.

    Raises InputError for an empty range or list, and for lists of different lengths.
    """
    keys = tuple(settings)
    domains = [_domain(key, values) for key, values in settings.items()]
    if len(domains) == 1 and isinstance(domains[0], Range):
        return Axis(keys, range=domains[0])
    lists = []
    for key, domain in zip(keys, domains, strict=True):
        if isinstance(domain, Range):
            count = domain.count()
            if count is None:
                raise InputError.of(f"the range of '{key}' needs a step to go along with another key", hint="a:b:step")
            limits.check("points", count, f"the range of '{key}'")
            domain = [domain.step_text(i) for i in range(count)]
        lists.append(domain)
    if len({len(values) for values in lists}) > 1:
        lengths = ", ".join(f"'{key}' has {len(values)}" for key, values in zip(keys, lists, strict=True))
        raise InputError.of(f"keys that step together need as many values each: {lengths}")
    return Axis(keys, tuple(zip(*lists, strict=True)))


def points_of(axes: Sequence[Axis], method: str, count: int | None, seed: int, seeds: int) -> list[Point]:
    """Return the points: every combination (grid), or ``count`` drawn at random or from a Latin hypercube.

    Each is repeated with ``seeds`` seeds, from ``seed`` up; ``seed`` also decides the draws. Raises InputError.
    """
    configurations = _grid(axes, seeds) if method == "grid" else _drawn(axes, method, count, seed, seeds)
    numbered = enumerate(itertools.product(enumerate(configurations), range(seed, seed + seeds)))
    return [Point(number, index, seed, keys) for number, ((index, keys), seed) in numbered]


def _check_number(numbers: Sequence[int], hint: str | None = None) -> None:
    """Raise InputError where so many configurations and seeds are more points than the limit."""
    total = math.prod(numbers)
    if total > limits.current().points:
        message, raise_it = limits.over("points", total, " x ".join(f"{n:,}" for n in numbers))
        raise InputError.of(message, hint="; ".join(filter(None, [hint, raise_it])))


def _grid(axes: Sequence[Axis], seeds: int) -> list[dict[str, str]]:
    counts = []
    for axis in axes:
        count = axis.count()
        if count is None:
            hint = "write a:b:step, or draw points with --method lhs --points N"
            raise InputError.of(f"a grid needs a step for the range of '{axis.keys[0]}'", hint=hint)
        counts.append(count)
    _check_number([*counts, seeds] if seeds > 1 else counts, "draw some: --method lhs --points N")
    steps = itertools.product(*map(range, counts))
    return [_merged(axis.step(step) for axis, step in zip(axes, each, strict=True)) for each in steps]


def _drawn(axes: Sequence[Axis], method: str, count: int | None, seed: int, seeds: int) -> list[dict[str, str]]:
    if count is None:
        raise InputError.of(f"method '{method}' needs a number of points", hint="--points N")
    _check_number([count, seeds] if seeds > 1 else [count])
    if method == "lhs":
        from scipy.stats import qmc

        shares = qmc.LatinHypercube(max(len(axes), 1), rng=np.random.Generator(np.random.Philox(seed))).random(count)
    else:
        shares = np.random.Generator(np.random.Philox(seed)).random((count, len(axes)))
    return [_merged(axis.at(share) for axis, share in zip(axes, row.tolist(), strict=False)) for row in shares]


def _merged(settings: Iterator[dict[str, str]]) -> dict[str, str]:
    return {key: value for setting in settings for key, value in setting.items()}


def _domain(key: str, values: Any) -> Range | list[str]:
    """Return the values of one key: a range, or the texts of a list."""
    if isinstance(values, list):
        texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
        if not texts:
            raise InputError.of(f"no values for '{key}'", hint=_SYNTAX)
        return texts
    text = values if isinstance(values, str) else json.dumps(values)
    found = _range(key, text)
    if found is not None:
        return found
    texts = _split(text, ",")
    if "" in texts:
        raise InputError.of(f"no values for '{key}'" if texts == [""] else f"an empty value for '{key}'", hint=_SYNTAX)
    return texts


def _range(key: str, text: str) -> Range | None:
    """Return the range that a text such as ``1:8`` or ``0.6 V:0.9 V:0.1 V`` means, None when it is none."""
    parts = [_NUMBER.fullmatch(part.strip()) for part in text.split(":")]
    if not 2 <= len(parts) <= 3 or not all(parts):
        return None
    numbers = [Decimal(match[1]) for match in parts if match]
    units = {match[2].strip() for match in parts if match}
    shown = f"the range '{text}' of '{key}'"
    if len(units) > 1:
        raise InputError.of(f"{shown} mixes units", hint="write every number with the same one")
    low, high = numbers[:2]
    whole = all(number == number.to_integral_value() for number in (low, high))
    step = numbers[2] if len(numbers) == 3 else Decimal(1) if whole and units == {""} else None
    if high < low:
        raise InputError.of(f"{shown} is empty")
    if step is not None and step <= 0:
        raise InputError.of(f"{shown} needs a step above 0")
    return Range(low, high, step, units.pop())


def _split(text: str, separator: str) -> list[str]:
    """Split a text at a separator that stands outside brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character in "[{(") - (character in "]})")
            if character == separator and depth <= 0:
                parts.append("")
                continue
        parts[-1] += character
    return [part.strip() for part in parts]
