"""The page of a sweep or search: Pareto front, parallel coordinates, every configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from accelsim.explore.front import Front, front_of
from accelsim.explore.metrics import METRICS, Metric
from accelsim.explore.store import Configuration, Store
from accelsim.report.html import render, typeset
from accelsim.report.steps import steps_of
from accelsim.schema import format_si
from accelsim.schema.quantity import PREFIXED, measured

FIGURES = {
    "error_percent": "error",
    "accuracy": "accuracy",
    "energy_per_frame_j": "energy per frame",
    "energy_j": "energy",
    "power_w": "power",
    "area_mm2": "area",
    "latency_p50_s": "latency p50",
    "latency_p99_s": "latency p99",
    "latency_max_s": "latency max",
    "deadline_misses": "deadline misses",
    "duty_cycle": "duty cycle",
    "energy_per_audio_second_j": "energy per second of audio",
    "dram_bytes_per_audio_second": "DRAM bytes per second of audio",
    "seconds": "time",
    "real_time_factor": "real-time factor",
    "cycles_per_frame": "cycles per frame",
    "gops": "GOPS",
    "tops_per_w": "TOPS/W",
    "gops_per_mm2": "GOPS/mm2",
    "power_density_mw_per_mm2": "power density, mW/mm2",
    "macs_performed": "MACs performed",
    "saturations": "saturations",
    "adc_conversions": "ADC conversions",
    "adc_clipped": "ADC conversions clipped",
    "extrapolated": "reasons why it is extrapolated",
}
_SAID_BY_OTHERS = {"accuracy", "energy_j", "seconds", "gops", "extrapolated"}  # shown only where they are objectives


@dataclass(frozen=True)
class Axis:
    """One key or figure over all configurations.

    ``texts``: the values that a key took, in order, of which ``values`` holds places; None for a figure, whose means
    ``values`` holds, and the ends of whose 95 % intervals over utterances and seeds are ``low`` and ``high``.
    ``better``: "less", "more" or "".
    """

    name: str
    unit: str
    better: str
    texts: list[str] | None
    values: list[float | None]
    low: list[float | None] | None = None
    high: list[float | None] | None = None

    def varies(self) -> bool:
        """Return whether it takes more than one value."""
        return len({value for value in self.values if value is not None}) > 1

    def text(self, i: int) -> str:
        """Return what a configuration has here, with its unit."""
        value = self.values[i]
        if value is None:
            return "-"
        return self.texts[int(value)] if self.texts is not None else shown(value, self.unit)


def sweep_page(store: Store) -> str:
    """Return the page of a store."""
    meta = store.meta()
    found = front_of(store)
    done = found.done
    settings = [_setting(key, done) for key in meta["swept"]]
    figures = _figures(found)
    axes = [*(axis for axis in settings if axis.varies()), *figures]
    chosen = [typeset(FIGURES[metric.name]) for metric in found.objectives]
    plotted = [name for name in chosen if any(axis.name == name for axis in figures)]
    plotted += [axis.name for axis in figures if axis.name not in plotted]
    failed = found.failed
    example = next(iter(found.front()), None)
    across = [axis for axis in axes if axis.texts is not None or axis.name in (*chosen, "ADC clipped")]
    parallel = [axis.name for axis in across if axis.varies()]
    varied = [steps for steps in steps_of(meta["axes"], meta["swept"], done) if steps.varies]
    # Numbers make the better lines, and the longest axis the better picture.
    first = sorted(varied, key=lambda steps: (steps.numbers is None, -len(steps.texts)))
    along, other = [*first, None, None][:2]
    best = next((place for place, on_front in enumerate(found.best) if on_front), 0)
    held = {steps.name: steps.places[best] for steps in first[2:]} if meta["method"] == "grid" else {}
    sections = {
        "summary": "Summary",
        "pareto": "Pareto front" if done and figures else "",
        "along": "Along the keys" if along and figures else "",
        "parallel": "Parallel coordinates" if len(parallel) > 1 else "",
        "points": "Configurations" if done else "",
        "failed": "Failed" if failed else "",
        "provenance": "Provenance",
    }
    return render(
        "sweep.html",
        sections,
        {
            "page": "sweep",
            "axes": [asdict(axis) for axis in axes],
            "points": [
                {"number": c.number, "front": bool(best), "allowed": bool(allowed)}
                for c, best, allowed in zip(done, found.best, found.allowed, strict=True)
            ],
            "x": plotted[0] if plotted else "",
            "y": plotted[min(1, len(plotted) - 1)] if plotted else "",
            "parallel": parallel,
            "steps": [asdict(steps) | {"logarithmic": steps.logarithmic} for steps in varied],
            "along": along.name if along else "",
            "lines": other.name if other else "",
            "held": held,
        },
        meta=meta,
        done=done,
        failed=failed,
        front=found,
        objective_names=chosen,
        cards=[_card(metric, found) for metric in found.objectives],
        settings=settings,
        figures=figures,
        along=along,
        parallel=len(parallel) > 1,
        example=example,
        example_result=store.result(example.points[0]) if example else None,
    )


def shown(value: float, unit: str) -> str:
    """Return a figure for people to read, to four digits, with its unit."""
    if unit in PREFIXED:
        return format_si(value, unit, 4)
    return f"{value:.4g} {unit}".strip() if abs(value) < 1e4 else f"{value:,.0f} {unit}".strip()


def _setting(key: str, done: Sequence[Configuration]) -> Axis:
    texts = list(dict.fromkeys(c.keys[key] for c in done if key in c.keys))
    numbers = {text: found[0] for text in texts if (found := measured(text)) is not None}
    if len(numbers) == len(texts):
        texts.sort(key=numbers.__getitem__)
    places: dict[str, float] = {text: place for place, text in enumerate(texts)}
    return Axis(key.removeprefix("components."), "", "", texts, [places.get(c.keys.get(key, "")) for c in done])


def _figures(found: Front) -> list[Axis]:
    """Return the objectives, then every other figure that differs between configurations."""
    others = [m for m in METRICS.values() if m not in found.objectives and m.name not in _SAID_BY_OTHERS]
    axes = [_figure(metric, found) for metric in found.objectives]
    for metric in others:
        axis = _figure(metric, found)
        if metric.name == "adc_clipped":
            axis = Axis("ADC clipped", "%", "less", None, [_clipped(c) for c in found.done])
        if axis.varies():
            axes.append(axis)
    return axes


def _figure(metric: Metric, found: Front) -> Axis:
    known = [metric.name in c.mean for c in found.done]
    ends = [found.interval(c, metric) if has else None for c, has in zip(found.done, known, strict=True)]
    low, high = ([None if of is None else of[end] for of in ends] if any(ends) else None for end in (0, 1))
    better = "more" if metric.higher_is_better else "less"
    means = [c.mean.get(metric.name) for c in found.done]
    return Axis(typeset(FIGURES[metric.name]), typeset(metric.unit), better, None, means, low, high)


def _clipped(c: Configuration) -> float | None:
    """Return the clipped share of the conversions of all layers, in per cent."""
    conversions, clipped = c.mean.get("adc_conversions"), c.mean.get("adc_clipped")
    return 100 * clipped / conversions if conversions and clipped is not None else None


def _card(metric: Metric, found: Front) -> dict[str, Any]:
    """Return the best value of an objective on the front with its interval, and the settings that give it.

    ``others``: how many more of the front cannot be told from it.
    """
    leaders = found.leaders(metric)
    if not leaders:
        return {"name": FIGURES[metric.name], "value": "-", "number": None, "keys": {}, "interval": "", "others": 0}
    best = leaders[0]
    keys = {key.removeprefix("components."): value for key, value in best.keys.items()}
    value = shown(best.mean[metric.name], metric.unit)
    ends = found.interval(best, metric)
    interval = "" if ends is None or ends[0] == ends[1] else " to ".join(shown(end, metric.unit) for end in ends)
    return {
        "name": FIGURES[metric.name], "value": value, "number": best.number, "keys": keys, "interval": interval,
        "others": len(leaders) - 1 if interval else 0,
    }  # fmt: skip
