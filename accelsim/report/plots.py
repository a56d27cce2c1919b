"""Figures for papers: one column wide, fonts embedded, readable in grey and by colour-blind readers."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from accelsim.errors import InputError
from accelsim.explore.front import Front, front_of
from accelsim.explore.metrics import Metric
from accelsim.explore.store import Store
from accelsim.report.headline import LARGEST, drawable, portion
from accelsim.report.html import typeset
from accelsim.report.roofline import Spot, roofline
from accelsim.report.steps import Slice, Steps, slice_of, steps_of
from accelsim.report.sweep_html import FIGURES
from accelsim.result import FrameRecord, Result, written_whole
from accelsim.schema import format_si
from accelsim.schema.quantity import PREFIXED, multiple_of
from accelsim.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure

FORMATS = ("pdf", "svg", "png")
WIDTH_IN = 3.5
"""One column of a two-column paper."""

# Okabe and Ito's colours; they differ in lightness too.
_BLUE, _SKY, _ORANGE, _VERMILION, _GREY = "#0072b2", "#56b4e9", "#e69f00", "#d55e00", "#8a949e"
_LINES = (
    (_BLUE, "o"), (_VERMILION, "s"), ("#009e73", "^"), (_ORANGE, "D"), ("#cc79a7", "v"), (_SKY, "P"), (_GREY, "X"),
    ("black", "*"),
)  # fmt: skip
"""Colour and mark of each line, to be told apart in grey as well."""
_STYLE = {
    "font.size": 7,
    "axes.linewidth": 0.6,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.markersize": 4,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # TrueType, embedded; publishers refuse Type 3
    "svg.fonttype": "path",
    "svg.hashsalt": "accelsim",
    "text.parse_math": False,  # a name may hold dollars
}
# Without dates, so that the same run gives the same file.
_METADATA: dict[str, dict[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}


def run_figures(result: Result) -> dict[str, Figure]:
    """Return the figures of a run by name: energy by component, roofline and timeline of a frame where there are such.

    Raises InputError where the record has no figure that can be drawn.
    """
    figures = {}
    if drawable(result.energy.total_j):
        figures["energy"] = _breakdown(result)
    if spots := [spot for spot in roofline(result) if spot.drawable]:
        figures["roofline"] = _roofline(spots)
    if result.frame is not None and any(job.left_ps for job in result.frame.jobs):
        figures["timeline"] = timeline_figure(result.frame)
    if not figures:
        raise InputError.of(f"no energy to draw: it is {format_si(result.energy.total_j, 'J')} in all")
    return figures


def sweep_figures(store: Store) -> dict[str, Figure]:
    """Return the figures of a sweep by name: its front in each pair of the first objective with another, and slices.

    They show every objective along the longest axis of numbers, with a line for every step of the next axis or, where
    both have three steps or more, a heat map, see `slice_of`.
    """
    found, meta = front_of(store), store.meta()
    if len(found.objectives) < 2 or not found.best.any():
        raise InputError.of("no front to draw: that takes two objectives and a configuration that is done")
    first, *others = found.objectives
    figures = {f"pareto_{other.short}": _pareto(found, first, other) for other in others}
    if shown := slice_of(steps_of(meta["axes"], meta["swept"], found.done), found):
        for metric in found.objectives:
            if shown.other is None or len(shown.other.texts) <= len(_LINES):
                figures[f"curves_{metric.short}"] = _curves(found, metric, shown, shown.other)
            if shown.other is not None and len(shown.other.texts) > 2:
                figures[f"heat_{metric.short}"] = _heat(found, metric, shown, shown.other)
    return figures


def write_figures(figures: Mapping[str, Figure], formats: Sequence[str], folder: Path) -> list[Path]:
    """Write every figure in every format, each file whole or not at all, and return their paths."""
    paths = []
    for name, figure in figures.items():
        for kind in formats:
            buffer = io.BytesIO()
            with drawn_in():
                figure.savefig(buffer, format=kind, metadata=_METADATA[kind])
            paths.append(folder / f"{name}.{kind}")
            with written_whole(paths[-1]) as file:
                file.write(buffer.getvalue())
    return paths


def timeline_figure(frame: FrameRecord) -> Figure:
    """Return what every component did for one frame: its work in the colour of the layer, in grey what a job waited.

    Copies of a component in tiles share a line. Raises InputError where nothing worked.
    """
    end_ps = max((job.left_ps for job in frame.jobs), default=0)
    scale, unit = next(((scale, unit) for scale, unit in _TIMES if end_ps >= scale), _TIMES[-1])
    layers = list(dict.fromkeys(job.layer for job in frame.jobs))
    colours = dict(zip(layers, _JOBS, strict=False))
    bars: dict[str, list[tuple[str, int, int, str]]] = {}
    for job in frame.jobs:
        for place, (member, busy_ps) in enumerate(job.busy_ps.items()):
            line = bars.setdefault(member.partition("[")[0], [])
            if not place:  # it leads the job, and waits for the others
                line += [("waits", job.ready_ps, job.start_ps, _PALE), ("waits", job.end_ps, job.left_ps, _PALE)]
            line.append((job.layer, job.start_ps, job.start_ps + busy_ps, colours.get(job.layer, _GREY)))
    if not bars:
        raise InputError.of("no timeline to draw: nothing worked for the frame")
    meanings = {name: colour for line in bars.values() for name, begin, end, colour in line if end > begin}
    others = [name for name, colour in meanings.items() if colour == _GREY]
    named = {label(name): colour for name, colour in meanings.items() if name not in others}
    named |= {f"{len(others)} other layers": _GREY} if others else {}
    with _axes(height_in=0.7 + 0.17 * len(bars) + 0.13 * -(-len(named) // 2)) as (figure, axes):
        from matplotlib.patches import Patch

        for row, line in enumerate(bars.values()):
            for height, waits in ((0.3, True), (0.75, False)):
                spans = [(begin, end, colour) for name, begin, end, colour in line if (name == "waits") == waits]
                axes.broken_barh(
                    [(begin / scale, (end - begin) / scale) for begin, end, _ in spans],
                    (row - height / 2, height),
                    facecolors=[colour for *_, colour in spans],
                    linewidth=0,
                )
        axes.set_yticks(range(len(bars)), [label(name) for name in bars])
        axes.invert_yaxis()
        axes.set_xlim(0, end_ps / scale)
        axes.set_xlabel(f"time since frame {frame.frame} arrived, {typeset(f'1 {unit}')[2:]}")
        patches = [Patch(color=colour, label=name) for name, colour in named.items()]
        figure.legend(handles=patches, loc="outside upper center", ncols=2)
    return figure


_TIMES = ((1e12, "s"), (1e9, "ms"), (1e6, "us"), (1e3, "ns"))
_PALE = "#c8ced4"
_JOBS = tuple(colour for colour, _ in _LINES if colour != _GREY)

_MOST_BARS = 40
_MOST_SPOTS = 500
_LONGEST_LABEL = 40


def label(name: str) -> str:
    """Return a name as it is written in a figure, which has no room for long ones."""
    text = typeset(printable(name))
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 2]}.."


_SHARES = (("dynamic", _BLUE), ("clock", _SKY), ("standby", _GREY), ("leakage", _ORANGE), ("wake", _VERMILION))


def _breakdown(result: Result) -> Figure:
    """Draw the energy by component; those below a thousandth of it are put together, and all but the largest 40."""
    # A share that no bar can show, such as one below zero, is not drawn.
    bars = {
        c.name: {share: 100 * portion(joules, result.energy.total_j) for share, joules in c.energy_j}
        for c in result.components
    }
    largest = sorted(bars, key=lambda name: -sum(bars[name].values()))[:_MOST_BARS]
    small = [bars.pop(name) for name, shares in list(bars.items()) if sum(shares.values()) < 0.1 or name not in largest]
    rest = {share: sum(shares[share] for shares in small) for share, _ in _SHARES}
    ordered = sorted(bars.items(), key=lambda bar: sum(bar[1].values()))
    parts = [("others", rest), *ordered] if small else ordered
    with _axes(height_in=0.45 + 0.16 * len(parts)) as (figure, axes):
        left = [0.0] * len(parts)
        for share, colour in _SHARES:
            if not any(shares[share] for _, shares in parts):
                continue
            widths = [shares[share] for _, shares in parts]
            axes.barh([label(name) for name, _ in parts], widths, left=left, color=colour, label=share, height=0.7)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        for place, end in enumerate(left):
            axes.annotate(
                f"{end:.1f}", (end, place), xytext=(2, 0), textcoords="offset points", va="center", fontsize=6
            )
        axes.set_xlim(0, 1.12 * max(left, default=0) or 1)
        axes.set_xlabel(f"share of {typeset(format_si(result.energy.total_j, 'J'))}, %")
        axes.legend(loc="lower right")
    return figure


def _roofline(spots: Sequence[Spot]) -> Figure:
    path, peak, bytes_per_s = spots[0].path, spots[0].peak, spots[0].bytes_per_s
    spots = [spot for spot in spots if spot.path == path][:_MOST_SPOTS]
    ridge = peak / bytes_per_s
    low = min(ridge, *(s.intensity for s in spots)) / 4
    high = max(ridge, *(s.intensity for s in spots)) * 4
    bottom = min(low * bytes_per_s, *(s.rate for s in spots)) / 2
    with _axes(height_in=2.3) as (figure, axes):
        from matplotlib.ticker import LogLocator, NullLocator

        axes.loglog([low, ridge, high], [low * bytes_per_s, peak, peak], color="black", linewidth=1)
        axes.loglog([s.intensity for s in spots], [s.rate for s in spots], "o", color=_BLUE)
        roof = f"multipliers {format_si(peak, 'OPS')}"
        axes.annotate(roof, (high, peak), xytext=(0, 3), textcoords="offset points", ha="right")
        axes.set(xlim=(low, high), ylim=(bottom, 2 * peak))
        for axis, span in ((axes.xaxis, high / low), (axes.yaxis, 2 * peak / bottom)):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 300 else (1,)))
            axis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.yaxis.set_major_formatter(partial(_tick, "OPS"))
        axes.set_xlabel(f"operations per byte of {label(path)} ({typeset(format_si(bytes_per_s, 'B/s'))})")
        axes.set_ylabel("operations per second")
        _name_spots(figure, axes, spots)
    return figure


_PLACES: tuple[tuple[float, float, Literal["left", "right"]], ...] = (
    (4, -7, "left"), (4, 2, "left"), (-4, -7, "right"), (-4, 2, "right"), (4, -14, "left"), (-4, 9, "right"),
)  # fmt: skip
"""Where the name of a spot may stand, in points from it, the best place first."""


def _name_spots(figure: Figure, axes: Axes, spots: Sequence[Spot]) -> None:
    """Write the names beside the spots as far as there is room: none over another, over a spot or beyond the frame."""
    figure.draw_without_rendering()  # places are known from here on
    frame = axes.get_window_extent()
    at = axes.transData.transform([(s.intensity, s.rate) for s in spots])
    taken = [text.get_window_extent() for text in axes.texts]
    for spot in sorted(spots, key=lambda s: -s.rate):
        for across, up, side in _PLACES:
            text = axes.annotate(
                label(spot.layer), (spot.intensity, spot.rate), xytext=(across, up), textcoords="offset points", ha=side
            )
            box = text.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not box.count_contains(at) and not box.count_overlaps(taken):
                taken.append(box)
                break
            text.remove()


def _pareto(found: Front, across: Metric, up: Metric) -> Figure:
    with _axes(height_in=2.3) as (figure, axes):
        groups = (
            (found.allowed & ~found.best, ".", _GREY, "beaten by another"),
            (~found.allowed, "x", _GREY, "breaks a constraint"),
            (found.best, "o", _VERMILION, "on the front"),
        )
        for which, mark, colour, meaning in groups:
            chosen = [c for c, belongs in zip(found.done, which, strict=True) if belongs]
            if not chosen:
                continue
            points = [_shown(c.mean[across.name]) for c in chosen], [_shown(c.mean[up.name]) for c in chosen]
            axes.plot(*points, mark, color=colour, label=meaning)
        _set_figure(axes.xaxis, across, (_shown(c.mean[across.name]) for c in found.done))
        _set_figure(axes.yaxis, up, (_shown(c.mean[up.name]) for c in found.done))
        axes.legend(loc="best")
    return figure


def _curves(found: Front, metric: Metric, shown: Slice, other: Steps | None) -> Figure:
    """Draw means over the seeds, with their 95 % intervals over utterances and seeds."""
    along = shown.along
    assert along.numbers is not None
    groups: dict[int | None, list[int]] = {}
    for i in sorted(shown.chosen, key=lambda i: (other.places[i] if other else 0, along.places[i])):
        groups.setdefault(other.places[i] if other else None, []).append(i)
    with _axes(height_in=2.3 + 0.13 * len(groups)) as (figure, axes):
        for (step, line), (colour, mark) in zip(groups.items(), _LINES, strict=False):
            of_line = [found.done[i] for i in line]
            mean = [_shown(c.mean[metric.name]) for c in of_line]
            ends = [found.interval(c, metric) or (m, m) for c, m in zip(of_line, mean, strict=True)]
            # A mean of equal values may come out a rounding error beyond them.
            below = [max(m - _shown(low), 0) for m, (low, _) in zip(mean, ends, strict=True)]
            above = [max(_shown(high) - m, 0) for m, (_, high) in zip(mean, ends, strict=True)]
            axes.errorbar(
                [along.numbers[place] for i in line if (place := along.places[i]) is not None], mean,
                yerr=(below, above), label=label(other.texts[step]) if other and step is not None else "",
                fmt=f"{mark}-", color=colour, linewidth=0.9, elinewidth=0.5, capsize=1.5,
            )  # fmt: skip
        _set_steps(axes, along)
        _set_figure(axes.yaxis, metric, (_shown(found.done[i].mean[metric.name]) for i in shown.chosen))
        _say_held(axes, shown)
        if other:
            figure.legend(title=label(_said(other)), loc="outside upper center", ncols=min(len(groups), 3))
    return figure


def _heat(found: Front, metric: Metric, shown: Slice, other: Steps) -> Figure:
    """Draw the mean over the seeds at each pair of steps; pairs that were not run stay empty."""
    import numpy as np

    along = shown.along
    cells = np.full((len(other.texts), len(along.texts)), math.nan)
    for i in shown.chosen:
        cells[other.places[i], along.places[i]] = _shown(found.done[i].mean[metric.name])
    with _axes(height_in=min(0.9 + 0.2 * len(other.texts), 4.5)) as (figure, axes):
        image = axes.imshow(cells, cmap="viridis", aspect="auto", origin="lower")
        for axis, steps in ((axes.xaxis, along), (axes.yaxis, other)):
            every = -(-len(steps.texts) // 12)
            ticks = range(0, len(steps.texts), every)
            axis.set_ticks(list(ticks), [label(_tick_text(steps, i)) for i in ticks])
            axis.set_label_text(_label_of(steps))
        bar = figure.colorbar(image, ax=axes)
        _set_figure(bar.ax.yaxis, metric, cells.flat)
        _say_held(axes, shown)
    return figure


def _set_steps(axes: Axes, steps: Steps) -> None:
    """Label the steps of an axis of numbers as they are written, or, where they are many, at round numbers."""
    from matplotlib.ticker import NullLocator

    assert steps.numbers is not None
    if steps.logarithmic:
        axes.set_xscale("log")
    if len(steps.numbers) <= _MOST_TICKS:
        axes.set_xticks(list(steps.numbers), [label(_tick_text(steps, i)) for i in range(len(steps.texts))])
        axes.xaxis.set_minor_locator(NullLocator())
    elif steps.multiple:
        axes.xaxis.set_major_formatter(partial(_tick, steps.unit))
    axes.set_xlabel(_label_of(steps))


_MOST_TICKS = 8


def _unit_of(steps: Steps) -> str:
    """Return the unit that stands at an axis rather than at its ticks: the one that all steps are written in."""
    return "" if steps.multiple or " & " in steps.name else steps.unit


def _tick_text(steps: Steps, place: int) -> str:
    return steps.texts[place].removesuffix(_unit_of(steps)).strip()


def _said(steps: Steps) -> str:
    """Return the name of an axis in a figure, which has no room for the whole keys."""
    for sign in (" & ", " = "):
        if sign in steps.name:
            return sign.join(key.rpartition(".")[2].replace("_", " ") for key in steps.name.split(sign))
    return steps.name.rpartition(".")[2].replace("_", " ")


def _label_of(steps: Steps) -> str:
    unit = _unit_of(steps)
    return label(_said(steps)) + (f", {typeset(f'1 {unit}')[2:]}" if unit else "")


def _say_held(axes: Axes, shown: Slice) -> None:
    if shown.held:
        axes.set_title("at " + label(", ".join(f"{name} = {text}" for name, text in shown.held.items())), fontsize=6.5)


def _set_figure(axis: XAxis | YAxis, metric: Metric, values: Iterable[float]) -> None:
    """Label the axis of a figure, in the multiple of its unit that the largest value drawn has."""
    scale, unit = 1.0, metric.unit
    if unit in PREFIXED:
        scale, unit = multiple_of(unit, max((abs(value) for value in values if math.isfinite(value)), default=0.0))
        axis.set_major_formatter(lambda value, _: f"{value / scale:.6g}")
    axis.set_label_text(typeset(FIGURES[metric.name]) + (f", {typeset(f'1 {unit}')[2:]}" if unit else ""))


def _shown(value: float) -> float:
    """Return a figure as it is drawn: NaN, which no mark stands for, where no axis can show it."""
    return value if abs(value) < LARGEST else math.nan


def _tick(unit: str, value: float, _: int | None) -> str:
    return typeset(format_si(value, unit))


@contextmanager
def _axes(height_in: float) -> Iterator[tuple[Figure, Axes]]:
    """Give the axes of a new figure, drawn without any window or global state."""
    with drawn_in():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        yield figure, figure.subplots()


@contextmanager
def drawn_in() -> Iterator[None]:
    """Draw and save within the style of our figures, whatever the user's own; raises InputError without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        raise InputError.of("figures need matplotlib", hint="pip install 'accelsim-speech[plots]'") from None
    style: dict[Any, Any] = {**matplotlib.rcParamsDefault, **_STYLE}
    style.pop("backend", None)
    with matplotlib.rc_context(style):
        yield
