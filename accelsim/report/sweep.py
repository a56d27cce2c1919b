"""A sweep or search in a terminal: its best configurations, with bars, and how good the front is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from accelsim.explore.front import Front, front_of
from accelsim.explore.metrics import Metric
from accelsim.explore.store import Configuration, Store
from accelsim.report.console import PlainTable
from accelsim.report.headline import LARGEST, portion
from accelsim.schema import format_figure

_ROWS = 24
_STEPS = 16
_BAR = 8
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"


def sweep_table(store: Store) -> RenderableType:
    """Return the configurations of a store, those of the Pareto front first and marked."""
    meta, found = store.meta(), front_of(store)
    title = f"{meta['kind']} of {meta['workload']['name']} on {meta['architecture']['name']}"
    parts: list[RenderableType] = [Text.assemble(("warning ", "bold red"), (text, "red")) for text in found.warnings()]
    parts += [_table(title, found, meta["swept"])]
    parts += [Text(), _sparklines(found.done, found.objectives, meta["swept"]), _summary(found)]
    if told := _leaders(found):
        parts += [told]
    if failed := found.failed:
        parts += [Text(f"{len(failed)} failed, for example {_keys(failed[0])}: {failed[0].errors[0]}", style="red")]
    return Group(*parts)


def _table(title: str, found: Front, swept: Sequence[str]) -> Table:
    done, best, values, objectives = found.done, found.best, found.values, found.objectives
    table = PlainTable(title=Text(title, "table.title"))
    table.add_column("")
    for key in swept:
        table.add_column(key.removeprefix("components."), justify="right")
    for metric in objectives:
        table.add_column(metric.short, justify="right")
        table.add_column("", width=_BAR)
    limited = [limit.metric for limit in found.limits if limit.metric not in objectives]
    for metric in dict.fromkeys(limited):
        table.add_column(metric.short, justify="right")
    order = sorted(range(len(done)), key=lambda i: (not best[i], not found.allowed[i], *values[i]))
    for i in order[:_ROWS]:
        mark = Text("*", "green") if best[i] else Text("" if found.allowed[i] else "x", "red")
        if "extrapolated" in done[i].mean:
            mark = Text.assemble(mark, ("?", "yellow"))
        row: list[RenderableType] = [mark, *(done[i].keys.get(key, "") for key in swept)]
        for j, metric in enumerate(objectives):
            row += [_figure(done[i], metric, found)]
            row += [Text(_bar(_share(values[i, j].item(), values[:, j].tolist())), "cyan")]
        for metric in dict.fromkeys(limited):
            of_limit = done[i].mean.get(metric.name)
            row += ["-" if of_limit is None else format_figure(of_limit, metric.unit)]
        table.add_row(*row, style=None if best[i] else "dim")
    if len(order) > _ROWS:
        table.add_row("", f"... and {len(order) - _ROWS} more", style="dim")
    return table


def _figure(configuration: Configuration, metric: Metric, found: Front) -> str:
    """Return a metric's mean, and half of its 95 % interval where it has one."""
    text, interval = format_figure(configuration.mean[metric.name], metric.unit), found.interval(configuration, metric)
    if interval is None or interval[0] == interval[1]:
        return text
    return f"{text} ±{format_figure((interval[1] - interval[0]) / 2, metric.unit)}"


def _leaders(found: Front) -> Text:
    """Say of every objective that has intervals which configuration is best, and which are not known to be worse."""
    lines = []
    for metric in found.objectives:
        leaders = found.leaders(metric)
        interval = found.interval(leaders[0], metric) if leaders else None
        if interval is None or interval[0] == interval[1]:
            continue
        best, *others = leaders
        ends = f"{format_figure(interval[0], metric.unit)} to {format_figure(interval[1], metric.unit)}"
        told = f"{metric.short}: {format_figure(best.mean[metric.name], metric.unit)} ({ends})"
        if others:
            lines.append(f"{told} is among the best: {len(others)} more of the front cannot be told from it")
        else:
            lines.append(f"{told} is the best, beyond the interval of every difference")
    return Text("\n".join([*lines, "intervals and ±: 95 %, over utterances and seeds"] if lines else ""))


def _sparklines(done: Sequence[Configuration], objectives: Sequence[Metric], swept: Sequence[str]) -> Table:
    """One line for each swept key and objective: the mean over all else, at each of the key's values."""
    table = PlainTable()
    table.add_column("mean over all else, along", style="dim")
    for metric in objectives:
        table.add_column(metric.short)
    for key in swept:
        steps = sorted({c.keys[key] for c in done if key in c.keys}, key=_in_order)
        if not 2 <= len(steps) <= _STEPS:
            continue
        row = [f"{key.removeprefix('components.')} {steps[0]} .. {steps[-1]}"]
        for metric in objectives:
            means = [_mean([c.mean[metric.name] for c in done if c.keys.get(key) == step]) for step in steps]
            row.append("".join(_LEVELS[round(_share(mean, means) * (len(_LEVELS) - 1))] for mean in means))
        table.add_row(*row)
    return table


def _summary(found: Front) -> Text:
    text = f"{len(found.done)} of {len(found.done) + len(found.failed)} configurations done"
    broken = len(found.done) - int(found.allowed.sum())
    if broken:
        limits = " and ".join(limit.text for limit in found.limits)
        text += f"; [x] {found.unmet() or f'{broken} break {limits}'}"
    if late := sum(c.mean.get("deadline_misses", 0) > 0 for c in found.done):
        text += f"; {late} of them late: frames miss their deadline"
    if guessed := sum("extrapolated" in c.mean for c in found.done):
        text += f"; [?] {guessed} of them extrapolated: outside what the prices hold for"
    if found.best.any():
        names = ", ".join(metric.short for metric in found.objectives)
        text += f"; [*] Pareto front of {names}: {found.best.sum()}"
    if found.share is not None:
        text += f", which dominates {found.share:.1%} of the box that all span"
    return Text(text)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _in_order(text: str) -> tuple[float, str]:
    """Sort the values of a key by the number that they begin with, if they do."""
    number = text.partition(" ")[0]
    try:
        return float(number), text
    except ValueError:
        return float("inf"), text


def _keys(configuration: Configuration) -> str:
    return ", ".join(f"{key}={value}" for key, value in configuration.keys.items())


def _share(value: float, among: Sequence[float]) -> float:
    """Return where a value lies between the smallest and the largest that can be drawn: 0 .. 1."""
    known = [one for one in among if abs(one) < LARGEST]
    low, high = min(known, default=0.0), max(known, default=0.0)
    return portion(value - low, high - low)


def _bar(share: float) -> str:
    eighths = round(share * _BAR * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
