"""Figures for papers: one column wide, fonts embedded, readable in grey and by colour-blind readers."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.errors import InputError
from accelsim.explore.front import Front, front_of
from accelsim.explore.metrics import Metric
from accelsim.explore.store import Store
from accelsim.report.html import typeset
from accelsim.report.roofline import roofline
from accelsim.report.sweep_html import FIGURES
from accelsim.result import Result, written_whole
from accelsim.schema import format_si

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("pdf", "svg", "png")
WIDTH_IN = 3.5
"""One column of a two-column paper."""

# Okabe and Ito's colours; they differ in lightness too.
_BLUE, _SKY, _ORANGE, _VERMILION, _GREY = "#0072b2", "#56b4e9", "#e69f00", "#d55e00", "#8a949e"
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
}
# Without dates, so that the same run gives the same file.
_METADATA: dict[str, dict[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}


def run_figures(result: Result) -> dict[str, Figure]:
    """Return the figures of a run by name: energy by component, and the roofline where there is one."""
    figures = {"energy": _breakdown(result)}
    if roofline(result):
        figures["roofline"] = _roofline(result)
    return figures


def sweep_figures(store: Store) -> dict[str, Figure]:
    """Return the figures of a sweep by name: its front in each pair of the first objective with another."""
    found = front_of(store)
    if len(found.objectives) < 2 or not found.best.any():
        raise InputError.of("no front to draw: that takes two objectives and a configuration that is done")
    first, *others = found.objectives
    return {f"pareto_{other.short}": _pareto(found, first, other) for other in others}


def write_figures(figures: Mapping[str, Figure], formats: Sequence[str], folder: Path) -> list[Path]:
    """Write every figure in every format, each file whole or not at all, and return their paths."""
    paths = []
    for name, figure in figures.items():
        for kind in formats:
            buffer = io.BytesIO()
            with _style():
                figure.savefig(buffer, format=kind, metadata=_METADATA[kind])
            paths.append(folder / f"{name}.{kind}")
            with written_whole(paths[-1]) as file:
                file.write(buffer.getvalue())
    return paths


def _breakdown(result: Result) -> Figure:
    """Draw the energy by component; those below a thousandth of it are put together."""
    bars = {c.name: c.energy_j.model_dump() for c in result.components}
    least = 1e-3 * result.energy.total_j
    small = [bars.pop(name) for name, shares in list(bars.items()) if sum(shares.values()) < least]
    rest = {share: sum(shares[share] for shares in small) for share in ("dynamic", "clock", "leakage")}
    ordered = sorted(bars.items(), key=lambda bar: sum(bar[1].values()))
    parts = [("others", rest), *ordered] if small else ordered
    with _axes(height_in=0.45 + 0.16 * len(parts)) as (figure, axes):
        left = [0.0] * len(parts)
        for share, colour in (("dynamic", _BLUE), ("clock", _SKY), ("leakage", _ORANGE)):
            widths = [100 * shares[share] / result.energy.total_j for _, shares in parts]
            axes.barh([name for name, _ in parts], widths, left=left, color=colour, label=share, height=0.7)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        for place, end in enumerate(left):
            axes.annotate(
                f"{end:.1f}", (end, place), xytext=(2, 0), textcoords="offset points", va="center", fontsize=6
            )
        axes.set_xlim(0, 1.12 * max(left))
        axes.set_xlabel(f"share of {typeset(format_si(result.energy.total_j, 'J'))}, %")
        axes.legend(loc="lower right")
    return figure


def _roofline(result: Result) -> Figure:
    spots = roofline(result)
    path, peak, bytes_per_s = spots[0].path, spots[0].peak, spots[0].bytes_per_s
    spots = [spot for spot in spots if spot.path == path]
    ridge = peak / bytes_per_s
    low = min(ridge, *(s.intensity for s in spots)) / 4
    high = max(ridge, *(s.intensity for s in spots)) * 4
    bottom = min(low * bytes_per_s, *(s.rate for s in spots)) / 2
    with _axes(height_in=2.3) as (figure, axes):
        from matplotlib.ticker import LogLocator, NullLocator

        axes.loglog([low, ridge, high], [low * bytes_per_s, peak, peak], color="black", linewidth=1)
        axes.loglog([s.intensity for s in spots], [s.rate for s in spots], "o", color=_BLUE)
        for s in spots:
            axes.annotate(s.layer, (s.intensity, s.rate), xytext=(4, -7), textcoords="offset points")
        roof = f"multipliers {format_si(peak, 'OPS')}"
        axes.annotate(roof, (high, peak), xytext=(0, 3), textcoords="offset points", ha="right")
        axes.set(xlim=(low, high), ylim=(bottom, 2 * peak))
        for axis, span in ((axes.xaxis, high / low), (axes.yaxis, 2 * peak / bottom)):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 300 else (1,)))
            axis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.yaxis.set_major_formatter(partial(_tick, "OPS"))
        axes.set_xlabel(f"operations per byte of {path} ({typeset(format_si(bytes_per_s, 'B/s'))})")
        axes.set_ylabel("operations per second")
    return figure


def _pareto(found: Front, across: Metric, up: Metric) -> Figure:
    with _axes(height_in=2.3) as (figure, axes):
        groups = (
            (found.allowed & ~found.best, ".", _GREY, "beaten by another"),
            (~found.allowed, "x", _GREY, "breaks a constraint"),
            (found.best, "o", _VERMILION, "on the front"),
        )
        for which, mark, colour, label in groups:
            chosen = [c for c, belongs in zip(found.done, which, strict=True) if belongs]
            if not chosen:
                continue
            points = [c.mean[across.name] for c in chosen], [c.mean[up.name] for c in chosen]
            axes.plot(*points, mark, color=colour, label=label)
        for metric, axis in ((across, axes.xaxis), (up, axes.yaxis)):
            prefixed = metric.unit in ("J", "W", "s")
            if prefixed:
                axis.set_major_formatter(partial(_tick, metric.unit))
            unit = f", {typeset(metric.unit)}" if metric.unit and not prefixed else ""
            axis.set_label_text(typeset(FIGURES[metric.name]) + unit)
        axes.legend(loc="best")
    return figure


def _tick(unit: str, value: float, _: int | None) -> str:
    return typeset(format_si(value, unit))


@contextmanager
def _axes(height_in: float) -> Iterator[tuple[Figure, Axes]]:
    """Give the axes of a new figure, drawn without any window or global state."""
    with _style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        yield figure, figure.subplots()


@contextmanager
def _style() -> Iterator[None]:
    try:
        import matplotlib
    except ImportError:
        raise InputError.of("figures need matplotlib", hint="pip install 'accelsim-speech[plots]'") from None
    style: dict[Any, Any] = {**matplotlib.rcParamsDefault, **_STYLE}
    style.pop("backend", None)
    with matplotlib.rc_context(style):
        yield
