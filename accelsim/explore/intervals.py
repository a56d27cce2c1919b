"""How far a figure of ours may be off: draws over prices and assumed sizes, over utterances and over programmings."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.cost import SAMPLES, Draws, interval
from accelsim.explore.paths import value_at, values_at
from accelsim.record import Outcome as Operation
from accelsim.record import Run
from accelsim.result import Result, UtteranceRecord

Drawn = NDArray[np.float64]

RATES = ("accuracy.value", "accuracy.loss", "accuracy.reference_value")
"""Figures whose spread is over utterances and programmings."""

_MOST_AT_ONCE = 4_000_000
"""Numbers of drawn utterances in memory: 32 MB."""

_MOST_KEPT = 8000
"""Utterances whose draws are kept: 65 MB."""

_COST = re.compile(
    r"(operating_points\..+\.)?(energy|power_w|efficiency|area_mm2|programming\.energy_j|components\..+\.(energy_j|area_mm2))"
    r"(\..+)?"
)


def is_cost(path: str) -> bool:
    """Tell whether a figure's spread is over prices and assumed sizes."""
    return _COST.fullmatch(path) is not None


@dataclass(frozen=True)
class Heard:
    """What was counted in each utterance, in all programmings; ``dataset`` and ``lengths`` tell which utterances."""

    dataset: str
    counted: str
    lengths: tuple[int, ...]
    errors: tuple[tuple[int, ...], ...]
    reference: tuple[int, ...] | None = None

    def n(self) -> int:
        """Return how many words, phones .. were said."""
        return sum(self.lengths)


@dataclass(frozen=True)
class Evidence:
    """What a run of a paper gave: figures by path, one value for each of its results, and how far they may be off.

    ``costs``: a Result as plain data in which figures of cost are draws; None for those of a study, which has none.
    """

    name: str
    figures: Mapping[str, Sequence[float | None]]
    heard: Heard | None = None
    costs: Mapping[str, Any] | None = field(default=None, repr=False)

    def values(self, path: str, per: str | None) -> list[float]:
        """Return a figure's value, or its share of another one, in each result; nothing where one has none."""
        found = []
        for value, whole in zip(self.figures[path], self.figures[per] if per else repeat(1.0), strict=False):
            if value is None or not whole:
                return []
            found.append(value / whole)
        return found

    def draws(self, path: str, per: str | None) -> Drawn | float | None:
        """Return draws of the mean of `values`, a number where nothing is known to spread, None where there is none."""
        values = self.values(path, per)
        if not values:
            return None
        if path in RATES and per is None and self.heard is not None:
            return error_rates(self.heard, path, self.name)
        if self.costs is not None:
            drawn, whole = drawn_at(self.costs, path), 1.0 if per is None else drawn_at(self.costs, per)
            return drawn / whole
        return programmings(np.array([values]), self.name)[0] if len(values) > 1 else values[0]


def of_result(name: str, result: Result, run: Run | None, paths: Sequence[str]) -> Evidence:
    """Return the evidence of one run; ``run``: what the draws of costs come from, None for none."""
    costs = None if run is None else drawn_result(result, run)
    return Evidence(name, {path: [value_at(result, path)] for path in paths}, heard_in([result]), costs)


def heard_in(results: Sequence[Result]) -> Heard | None:
    """Return what was counted by utterance in all results of one configuration; None where one has none.

    Raises ValueError where they heard other utterances.
    """
    found = [(r.accuracy, r.accuracy.per_utterance) for r in results if r.accuracy and r.accuracy.per_utterance]
    if not found or len(found) < len(results):
        return None
    if len({(a.dataset, tuple(u.lengths)) for a, u in found}) > 1:
        raise ValueError("the results are of other utterances")
    accuracy, first = found[0]
    errors = tuple(tuple(one) for _, each in found for one in each.errors)
    return Heard(accuracy.dataset, accuracy.counted, tuple(first.lengths), errors, _tuple(first))


def _tuple(utterances: UtteranceRecord) -> tuple[int, ...] | None:
    return None if utterances.reference is None else tuple(utterances.reference)


def error_rates(heard: Heard, which: str, name: str) -> Drawn:
    """Return bootstrap draws of an error rate in percent: [4096].

    Utterances are drawn with replacement, whole, since errors within one are not independent; rate = 100 sum(errors) /
    sum(lengths), the mean over the programmings, see `programmings`. Two runs of the same utterances draw the same
    ones, so that their ratio is a paired bootstrap. ``accuracy.loss``: less the rate of the float network on the same
    draw.
    """
    lengths, counted = np.array(heard.lengths), np.array(heard.errors).T
    ours = np.zeros(len(lengths), np.int64) if heard.reference is None else np.array(heard.reference)
    parts = [(weights @ lengths, weights @ ours, weights @ counted) for weights in _utterances(heard)]
    said, references, errors = (np.concatenate(part) for part in zip(*parts, strict=True))
    said = np.maximum(said, 1)
    reference = 100 * references / said
    if which == "accuracy.reference_value":
        return reference
    rates = 100 * errors / said[:, None]
    means = programmings(rates, name)
    return means - reference if which == "accuracy.loss" else means


def programmings(values: NDArray[np.float64], name: str) -> Drawn:
    """Return draws of the mean over programmings: values [draws or 1, programmings] -> [4096].

    mean + sqrt(s / (s - 1)) (mean of s picked with replacement - mean): plain picks of s have a variance too small by
    (s - 1) / s. The programmings of runs of other names are picked apart.
    """
    values = np.broadcast_to(values, (SAMPLES, values.shape[1]))
    count, means = values.shape[1], values.mean(axis=1)
    if count == 1:
        return means
    picks = _generator("programmings of", name).integers(0, count, values.shape)
    return means + math.sqrt(count / (count - 1)) * (np.take_along_axis(values, picks, axis=1).mean(axis=1) - means)


def _utterances(heard: Heard) -> Iterator[NDArray[np.int64]]:
    """Yield how often each utterance is drawn: [4096, utterances] in all, the same for the same utterances.

    A few draws at a time: of many utterances all of them together are gigabytes. Of fewer they are kept for the next
    figure, since a sweep asks for those of all its configurations.
    """
    few = len(heard.lengths) <= _MOST_KEPT
    parts = _kept(heard.dataset, heard.lengths) if few else _drawn_anew(heard.dataset, heard.lengths)
    return (part.astype(np.int64) for part in parts)


@lru_cache(maxsize=2)
def _kept(dataset: str, lengths: tuple[int, ...]) -> list[NDArray[np.uint16]]:
    return [part.astype(np.uint16) for part in _drawn_anew(dataset, lengths)]  # no more than there are utterances


def _drawn_anew(dataset: str, lengths: tuple[int, ...]) -> Iterator[NDArray[np.int64]]:
    count = len(lengths)
    generator = _generator(dataset, *map(str, lengths))
    at_once = max(1, min(SAMPLES, _MOST_AT_ONCE // count))
    for done in range(0, SAMPLES, at_once):
        yield generator.multinomial(count, np.full(count, 1 / count), size=min(at_once, SAMPLES - done))


def _generator(*names: str) -> np.random.Generator:
    key = int.from_bytes(hashlib.sha256("\n".join(names).encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def drawn_result(result: Result, run: Run) -> dict[str, Any]:
    """Return a Result as plain data with draws in place of every figure of cost, see `is_cost`."""
    data = result.model_dump()
    drawn = run.outcome.bill.draws()
    data["area_mm2"] = drawn.total_area_m2() * 1e6
    data["programming"]["energy_j"] = drawn.programming_j
    for part in data["components"]:
        shares = drawn.energy_j[part["name"]]
        part["energy_j"] = {share: shares.get(share, value) for share, value in part["energy_j"].items()}
        part["area_mm2"] = drawn.area_m2[part["name"]] * 1e6
    _operation(data, drawn, run.outcome)
    for name, outcome in run.points.items():
        _operation(data["operating_points"][name], outcome.bill.draws(), outcome)
    return data


def _operation(data: dict[str, Any], drawn: Draws, outcome: Operation) -> None:
    """Put draws into what costs at one operating point; an efficiency moves as one over the power or the area."""
    total, area = drawn.total_j(), drawn.total_area_m2()
    more_power, more_area = total / outcome.bill.total_j(), area / outcome.bill.total_area_m2()
    energy, efficiency = data["energy"], data["efficiency"]
    shares = sorted({share for by in drawn.energy_j.values() for share in by})
    for share in shares:
        if f"{share}_j" in energy:
            energy[f"{share}_j"] = drawn.total_j(share)
    for key in ("total_j", "per_frame_j", "per_audio_second_j"):
        energy[key] = energy[key] * more_power
    standing = [share for share in shares if share != "dynamic"]
    if idle := sum(outcome.bill.total_j(share) for share in standing):
        energy["idle_power_w"] = energy["idle_power_w"] * drawn.total_j(*standing) / idle
    data["power_w"] = data["power_w"] * more_power
    for way in (efficiency, *efficiency["definitions"].values()):
        way["tops_per_w"] = way["tops_per_w"] / more_power
        way["gops_per_mm2"] = way["gops_per_mm2"] / more_area
    efficiency["mw_per_mm2"] = efficiency["mw_per_mm2"] * more_power / more_area


def drawn_at(data: Mapping[str, Any], path: str) -> Any:
    """Return the draws at a path of `drawn_result`, the sum of all that it leads to."""
    found = [value for value in values_at(data, path.split(".")) if value is not None]
    return sum(found[1:], found[0])


@dataclass(frozen=True)
class Spread:
    """5 % and 95 % points of a figure, and over how much speech: ``n`` of what is ``counted``, 0 where over none."""

    low: float
    high: float
    n: int = 0
    counted: str = ""


def spread_of(draws: Drawn | float, heard: Heard | None) -> Spread:
    """Return the interval of draws; of a plain number it has no width."""
    low, high = interval(draws) if isinstance(draws, np.ndarray) else (draws, draws)
    return Spread(low, high, heard.n() if heard else 0, heard.counted if heard else "")


def needed(spread: Spread, distance: float) -> int:
    """Return how much speech would tell two values ``distance`` apart: width ~ 1 / sqrt(n), and width < distance.

    0 where no amount would.
    """
    found = spread.n * ((spread.high - spread.low) / distance) ** 2 if distance else math.inf
    return math.ceil(round(found, 6)) if math.isfinite(found) else 0
