"""The best configurations of a store: those that keep its constraints and that no other one is known to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from accelsim.explore.intervals import Drawn
from accelsim.explore.metrics import METRICS, Constraint, Metric, read_constraints
from accelsim.explore.pareto import front, hypervolume
from accelsim.explore.spreads import Spreads, interval, is_less
from accelsim.explore.store import Configuration, Store
from accelsim.result import Interval
from accelsim.schema import format_figure

_MOST_OBJECTIVES = 3
"""Of more the volume takes too long."""


@dataclass(frozen=True)
class Front:
    """The configurations of a store, and which of them no other one is known to beat in all objectives.

    ``done``: those of which no seed failed, ``failed``: the others. ``objectives`` that apply nowhere are left out;
    ``limits``: the constraints. ``values``: [done, objectives], smaller is better. ``allowed``: [done], which keep the
    constraints; ``best``: [done], which of those are on the front, where all values are finite: another one beats them
    where it is at least as good in all objectives, and better in one beyond its interval. ``share``: volume that
    the front dominates of the box from the best to the worst value of every objective over all done, 0 .. 1; None where
    there is nothing to compare, or not two or three objectives. ``draws``: of the mean of a configuration, see
    `Spreads`.
    """

    done: list[Configuration]
    failed: list[Configuration]
    objectives: list[Metric]
    limits: list[Constraint]
    values: NDArray[np.float64]
    allowed: NDArray[np.bool_]
    best: NDArray[np.bool_]
    share: float | None
    draws: Callable[[Configuration, Metric], Drawn | float] = field(compare=False)

    def interval(self, configuration: Configuration, metric: Metric) -> Interval | None:
        """Return the 95 % interval of a metric over utterances and seeds; None where nothing is known to spread."""
        return interval(self.draws(configuration, metric))

    def leaders(self, metric: Metric) -> list[Configuration]:
        """Return the best configuration of the front in an objective, then those that are not known to be worse."""
        ranked = sorted(self.front(), key=lambda c: metric.badness(c.mean[metric.name]))
        if not ranked:
            return []
        best = self._badness(ranked[0], metric)
        return [c for c in ranked if c is ranked[0] or not is_less(best, self._badness(c, metric))]

    def _badness(self, configuration: Configuration, metric: Metric) -> Drawn | float:
        return _badness(metric, self.draws(configuration, metric))

    def unmet(self) -> str | None:
        """Say that no configuration keeps the constraints, and how near the nearest comes; None where one does."""
        if not self.limits or not self.done or self.allowed.any():
            return None
        told = []
        for limit in self.limits:
            values = [c.mean[limit.metric.name] for c in self.done if limit.metric.name in c.mean]
            best = min(values, key=lambda value: limit.sign * value, default=None)
            told.append(
                f"'{limit.text}' (none has this figure)"
                if best is None
                else f"'{limit.text}' (nearest: {format_figure(best, limit.metric.unit)})"
            )
        return f"no configuration keeps {' and '.join(told)}"

    def warnings(self) -> list[str]:
        """Return what nobody may miss: points that failed, constraints that none keeps, and what the front is worth."""
        chosen, found = self.front(), []
        if self.failed:
            found.append(f"{len(self.failed)} of {len(self.done) + len(self.failed)} configurations failed")
        if unmet := self.unmet():
            found.append(unmet)
        if late := sum(c.mean.get("deadline_misses", 0) > 0 for c in chosen):
            found.append(f"{late} of {len(chosen)} configurations on the front are late: frames miss their deadline")
        if guessed := sum("extrapolated" in c.mean for c in chosen):
            what = "outside what the prices hold for"
            found.append(f"{guessed} of {len(chosen)} configurations on the front are extrapolated: {what}")
        return found

    def front(self) -> list[Configuration]:
        """Return the configurations on the front."""
        return [c for c, best in zip(self.done, self.best, strict=True) if best]


def front_of(store: Store) -> Front:
    """Return the front of a store, by the means over the seeds."""
    meta, configurations = store.meta(), store.configurations()
    known = {name for configuration in configurations for name in configuration.mean}
    objectives = [METRICS[name] for name in meta["objectives"] if name in known]
    done = [c for c in configurations if not c.errors and all(metric.name in c.mean for metric in objectives)]
    values = np.array([[metric.badness(c.mean[metric.name]) for metric in objectives] for c in done])
    values = values.reshape(len(done), len(objectives))
    limits = read_constraints(meta["constraints"])
    allowed = np.array([all(limit.keeps(c.mean) for limit in limits) for c in done], bool)
    best = np.zeros(len(done), bool)
    finite = np.isfinite(values).all(axis=1)
    draws = Spreads(store).draws
    if objectives:
        best[allowed & finite] = front(values[allowed & finite])
        best |= _unbeaten(done, objectives, values, allowed & finite, best, draws)
    share = None
    if best.any() and finite.sum() > 1 and 1 < len(objectives) <= _MOST_OBJECTIVES:
        low, high = values[finite].min(axis=0), values[finite].max(axis=0)
        with np.errstate(over="ignore"):
            width = high - low
        if np.isfinite(width).all():
            scaled = (values[best] - low) / np.where(high > low, width, 1)
            share = hypervolume(scaled, np.ones(len(objectives)))
    return Front(done, [c for c in configurations if c.errors], objectives, limits, values, allowed, best, share, draws)


def _unbeaten(
    done: Sequence[Configuration],
    objectives: Sequence[Metric],
    values: NDArray[np.float64],
    asked: NDArray[np.bool_],
    best: NDArray[np.bool_],
    draws: Callable[[Configuration, Metric], Drawn | float],
) -> NDArray[np.bool_]:
    """Return which configurations only a difference inside its interval keeps off the front: [done]."""
    found = np.zeros(len(done), bool)
    leaders = np.flatnonzero(best)
    for i in np.flatnonzero(asked & ~best).tolist():
        ahead = leaders[(values[leaders] <= values[i]).all(axis=1)]  # those that beat it, if their means are right
        found[i] = not any(_is_told(done[j], done[i], objectives, draws) for j in ahead.tolist())
    return found


def _is_told(
    better: Configuration,
    worse: Configuration,
    objectives: Sequence[Metric],
    draws: Callable[[Configuration, Metric], Drawn | float],
) -> bool:
    """Return whether a configuration is better than another one in one objective beyond the interval."""
    pairs = ((_badness(m, draws(better, m)), _badness(m, draws(worse, m))) for m in objectives)
    return any(is_less(less, more) for less, more in pairs)


def _badness(metric: Metric, draws: Drawn | float) -> Drawn | float:
    """Return draws, negated where more is better."""
    return -draws if metric.higher_is_better else draws
