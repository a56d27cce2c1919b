"""Which differences between configurations or chips can be told: 95 % intervals of draws, in pairs."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from accelsim.explore.intervals import Drawn, Heard, error_rates, programmings
from accelsim.explore.metrics import Metric
from accelsim.explore.store import Configuration, Store
from accelsim.result import Interval

_ENDS = (2.5, 97.5)
_SEEDS = "seeds"
"""All configurations are run with the same seeds: a draw takes the same ones of them of all."""
_MOST_KEPT = 1000
"""Draws of configurations: 32 MB."""


def interval(draws: Drawn | float) -> Interval | None:
    """Return the 95 % interval of draws; None of a number, and where they are no numbers."""
    if not isinstance(draws, np.ndarray):
        return None
    low, high = np.percentile(draws, _ENDS)
    return (float(low), float(high)) if np.isfinite([low, high]).all() else None


def is_less(one: Drawn | float, other: Drawn | float) -> bool:
    """Return whether a figure is less than another one as far as can be told.

    Of two numbers it is whether it is; else whether the 95 % interval of the difference, draw by draw, lies below zero.
    """
    return bool(np.percentile(one - other, _ENDS[1]) < 0)


class Spreads:
    """How far the metrics of a store's configurations may be off, over utterances and seeds.

    Error rates are drawn over utterances, the same for all configurations that heard the same ones, and over seeds and
    programmings; other metrics over seeds. What costs are is the mean of their prices: these are wrong alike in all.
    """

    def __init__(self, store: Store) -> None:
        self._heard = store.heard()
        self._metrics = {row["point"]: row for row in store.points()}
        self._drawn: OrderedDict[tuple[int, str], Drawn | float] = OrderedDict()

    def draws(self, configuration: Configuration, metric: Metric) -> Drawn | float:
        """Return draws of a configuration's mean: [4096], or the mean alone where nothing is known to spread."""
        key = configuration.number, metric.name
        if key not in self._drawn:
            self._drawn[key] = self._draw(configuration, metric)
            while len(self._drawn) > _MOST_KEPT:
                self._drawn.popitem(last=False)
        return self._drawn[key]

    def _draw(self, configuration: Configuration, metric: Metric) -> Drawn | float:
        if metric.name in ("error_percent", "accuracy") and (heard := self._heard_by(configuration)) is not None:
            rates = error_rates(heard, "accuracy.value", _SEEDS)
            return rates if metric.name == "error_percent" else 1 - rates / 100
        values = [self._metrics[point][metric.name] for point in configuration.points]
        known = np.array([value for value in values if value is not None])
        if len(set(known.tolist())) < 2 or not np.isfinite(known).all():
            return configuration.mean[metric.name]
        return programmings(known[None], _SEEDS)

    def _heard_by(self, configuration: Configuration) -> Heard | None:
        """Return what was counted in each utterance with all seeds; None where one lacks it, or heard others."""
        found = [self._heard.get(point) for point in configuration.points]
        whole = [one for one in found if one is not None]
        if len(whole) < len(found) or len({(one.dataset, one.lengths) for one in whole}) != 1:
            return None
        errors = tuple(of_run for one in whole for of_run in one.errors)
        return Heard(whole[0].dataset, whole[0].counted, whole[0].lengths, errors)
