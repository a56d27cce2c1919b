"""A sweep or search in a terminal: its best configurations, with bars, and how good the front is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from accelsim.explore.metrics import METRICS, Metric, read_constraint
from accelsim.explore.pareto import front, hypervolume
from accelsim.explore.store import Configuration, Store
from accelsim.schema import format_si

_ROWS = 24
_STEPS = 16
_BAR = 8
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"


def sweep_table(store: Store) -> RenderableType:
    """Return the configurations of a store, those of the Pareto front first and marked."""
    meta, configurations = store.meta(), store.configurations()
    known = {name for configuration in configurations for name in configuration.mean}
    objectives = [METRICS[name] for name in meta["objectives"] if name in known]
    done = [c for c in configurations if all(metric.name in c.mean for metric in objectives) and not c.errors]
    failed = [c for c in configurations if c.errors]
    values = np.array([[metric.badness(c.mean[metric.name]) for metric in objectives] for c in done])
    values = values.reshape(len(done), len(objectives))
    limits = [read_constraint(text) for text in meta["constraints"]]
    allowed = np.array([all(limit.excess(c.mean) <= 0 for limit in limits) for c in done], bool)
    best = np.zeros(len(done), bool)
    if objectives:
        best[allowed] = front(values[allowed])
    title = f"{meta['kind']} of {meta['workload']['name']} on {meta['architecture']['name']}"
    parts: list[RenderableType] = [_table(title, done, best, objectives, meta["swept"], values)]
    parts += [Text(), _sparklines(done, objectives, meta["swept"])]
    parts.append(_summary(values, best, objectives, len(configurations)))
    if failed:
        parts += [Text(f"{len(failed)} failed, for example {_keys(failed[0])}: {failed[0].errors[0]}", style="red")]
    return Group(*parts)


def _table(
    title: str,
    done: Sequence[Configuration],
    best: np.ndarray,
    objectives: Sequence[Metric],
    swept: Sequence[str],
    values: np.ndarray,
) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for key in swept:
        table.add_column(key.removeprefix("components."), justify="right")
    for metric in objectives:
        table.add_column(metric.short, justify="right")
        table.add_column("", width=_BAR)
    order = sorted(range(len(done)), key=lambda i: (not best[i], *values[i]))
    for i in order[:_ROWS]:
        row = ["[green]*[/]" if best[i] else "", *(done[i].keys.get(key, "") for key in swept)]
        for j, metric in enumerate(objectives):
            mean = done[i].mean[metric.name]
            spread = done[i].highest[metric.name] - done[i].lowest[metric.name]
            row += [_shown(mean, metric) + (f" ±{_shown(spread / 2, metric)}" if spread else "")]
            row += [f"[cyan]{_bar(_share(values[i, j], values[:, j]))}[/]"]
        table.add_row(*row, style=None if best[i] else "dim")
    if len(order) > _ROWS:
        table.add_row("", f"... and {len(order) - _ROWS} more", style="dim")
    return table


def _sparklines(done: Sequence[Configuration], objectives: Sequence[Metric], swept: Sequence[str]) -> Table:
    """One line for each swept key and objective: the mean over all else, at each of the key's values."""
    table = Table(box=None, pad_edge=False)
    table.add_column("mean over all else, along", style="dim")
    for metric in objectives:
        table.add_column(metric.short)
    for key in swept:
        steps = sorted({c.keys[key] for c in done if key in c.keys}, key=_in_order)
        if not 2 <= len(steps) <= _STEPS:
            continue
        row = [f"{key.removeprefix('components.')} {steps[0]} .. {steps[-1]}"]
        for metric in objectives:
            means = [float(np.mean([c.mean[metric.name] for c in done if c.keys.get(key) == step])) for step in steps]
            row.append("".join(_LEVELS[round(_share(mean, means) * (len(_LEVELS) - 1))] for mean in means))
        table.add_row(*row)
    return table


def _summary(values: np.ndarray, best: np.ndarray, objectives: Sequence[Metric], total: int) -> Text:
    text = f"{len(values)} of {total} configurations done"
    if best.any():
        names = ", ".join(metric.short for metric in objectives)
        text += f"; [*] Pareto front of {names}: {best.sum()}"
    if best.any() and 1 < len(objectives) <= 3:
        low, high = values.min(axis=0), values.max(axis=0)
        scaled = (values[best] - low) / np.where(high > low, high - low, 1)
        text += f", which dominates {hypervolume(scaled, np.ones(len(objectives))):.1%} of the box that all span"
    return Text(text)


def _in_order(text: str) -> tuple[float, str]:
    """Sort the values of a key by the number that they begin with, if they do."""
    number = text.partition(" ")[0]
    try:
        return float(number), text
    except ValueError:
        return float("inf"), text


def _keys(configuration: Configuration) -> str:
    return ", ".join(f"{key}={value}" for key, value in configuration.keys.items())


def _shown(value: float, metric: Metric) -> str:
    if metric.unit in ("J", "W", "s"):
        return format_si(value, metric.unit)
    return f"{value:.4g} {metric.unit}".strip()


def _share(value: float, among: Sequence[float] | np.ndarray) -> float:
    """Return where a value lies between the smallest and the largest: 0 .. 1."""
    low, high = min(among), max(among)
    return float((value - low) / (high - low)) if high > low else 0.0


def _bar(share: float) -> str:
    eighths = round(share * _BAR * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
