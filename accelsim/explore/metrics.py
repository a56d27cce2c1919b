"""The figures of a Result by which points are compared, each with its unit and its better direction."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from accelsim.errors import InputError, did_you_mean
from accelsim.result import Result
from accelsim.schema import parse_quantity

_CONSTRAINT = re.compile(r"\s*(\w+)\s*(<=|>=)\s*(.+?)\s*")


@dataclass(frozen=True)
class Metric:
    """One figure: column of the store, short name on the command line, unit, and whether more of it is better.

    ``scale``: the unit in SI units; ``quantity``: what it measures, for reading '2 mm2' or '5 ms'; "" for a plain
    number.
    """

    name: str
    short: str
    unit: str
    quantity: str
    scale: float
    higher_is_better: bool
    of: Callable[[Result], float | None]

    def badness(self, value: float) -> float:
        """Return the value, negated where more is better: less of it is always better."""
        return -value if self.higher_is_better else value


def _error_percent(result: Result) -> float | None:
    return result.accuracy.value if result.accuracy and result.accuracy.unit == "%" else None


def _accuracy(result: Result) -> float | None:
    return 1 - result.accuracy.value / 100 if result.accuracy and result.accuracy.unit == "%" else None


def _latency(result: Result, which: str) -> float:
    return getattr(result.performance.latency_cycles, which) / result.performance.clock_hz


def _adc(result: Result, which: str) -> int | None:
    adcs = [layer.adc for layer in result.layers if layer.adc is not None]
    return sum(getattr(adc, which) for adc in adcs) if adcs else None


def _traffic(result: Result) -> float | None:
    moved = result.dram_bytes()
    return moved / result.performance.audio_seconds if moved else None


METRICS = {
    metric.name: metric
    for metric in (
        Metric("error_percent", "error", "%", "", 1, False, _error_percent),
        Metric("accuracy", "accuracy", "", "", 1, True, _accuracy),
        Metric("energy_per_frame_j", "energy", "J", "energy", 1, False, lambda r: r.energy.per_frame_j),
        Metric("energy_j", "total_energy", "J", "energy", 1, False, lambda r: r.energy.total_j),
        Metric("power_w", "power", "W", "power", 1, False, lambda r: r.power_w),
        Metric("area_mm2", "area", "mm2", "area", 1e-6, False, lambda r: r.area_mm2),
        Metric("latency_p50_s", "latency", "s", "time", 1, False, lambda r: _latency(r, "p50")),
        Metric("latency_p99_s", "latency_p99", "s", "time", 1, False, lambda r: _latency(r, "p99")),
        Metric("latency_max_s", "latency_max", "s", "time", 1, False, lambda r: _latency(r, "max")),
        Metric("seconds", "time", "s", "time", 1, False, lambda r: r.performance.seconds),
        Metric("real_time_factor", "rtf", "", "", 1, False, lambda r: r.performance.real_time_factor),
        Metric("deadline_misses", "misses", "", "", 1, False, lambda r: r.performance.deadline_misses),
        Metric("duty_cycle", "duty", "", "", 1, False, lambda r: r.performance.duty_cycle),
        Metric(
            "energy_per_audio_second_j", "audio_energy", "J", "energy", 1, False, lambda r: r.energy.per_audio_second_j
        ),
        Metric("dram_bytes_per_audio_second", "traffic", "B/s", "data rate", 8, False, _traffic),
        Metric("cycles_per_frame", "cycles", "", "", 1, False, lambda r: r.performance.cycles_per_frame),
        Metric("gops", "gops", "", "", 1, True, lambda r: r.efficiency.gops),
        Metric("tops_per_w", "tops_per_w", "", "", 1, True, lambda r: r.efficiency.tops_per_w),
        Metric("gops_per_mm2", "gops_per_mm2", "", "", 1, True, lambda r: r.efficiency.gops_per_mm2),
        Metric("power_density_mw_per_mm2", "power_density", "", "", 1, False, lambda r: r.efficiency.mw_per_mm2),
        Metric("macs_performed", "macs", "", "", 1, False, lambda r: r.performance.macs_performed),
        Metric("saturations", "saturations", "", "", 1, False, lambda r: sum(x.saturations for x in r.layers)),
        Metric("adc_conversions", "conversions", "", "", 1, False, lambda r: _adc(r, "conversions")),
        Metric("adc_clipped", "clipped", "", "", 1, False, lambda r: _adc(r, "clipped")),
        Metric("extrapolated", "extrapolated", "", "", 1, False, lambda r: len(r.provenance.extrapolated) or None),
    )
}


def metric_named(name: str) -> Metric:
    """Return a metric by its column's or its short name; raises InputError that names the nearest one."""
    names = {short: metric for metric in METRICS.values() for short in (metric.name, metric.short)}
    if name not in names:
        raise InputError.of(f"no metric named '{name}'", hint=did_you_mean(name, [m.short for m in METRICS.values()]))
    return names[name]


@dataclass(frozen=True)
class Constraint:
    """A limit on a metric; ``sign`` is 1 for at most, -1 for at least; ``text``: as it was written."""

    metric: Metric
    sign: int
    limit: float
    text: str = ""

    def keeps(self, metrics: Mapping[str, float | None]) -> bool:
        """Tell whether a point keeps the limit; one without the metric does not."""
        value = metrics.get(self.metric.name)
        return value is not None and self.excess({self.metric.name: value}) <= 0

    def excess(self, metrics: Mapping[str, float]) -> float:
        """Return by how much a point breaks the limit; not above zero where it keeps it."""
        return self.sign * (metrics[self.metric.name] - self.limit)


def read_constraint(text: str) -> Constraint:
    """Return the constraint of a text such as ``area<=2 mm2`` or ``accuracy>=0.9``; raises InputError.

    A number without a unit is in the unit of the metric.
    """
    match = _CONSTRAINT.fullmatch(text)
    if not match:
        raise InputError.of(f"'{text}' is not a constraint", hint="for example 'area<=2 mm2' or 'accuracy>=0.9'")
    metric = metric_named(match[1])
    try:
        limit = float(match[3])
    except ValueError:
        if not metric.quantity:
            raise InputError.of(f"'{match[3]}' is not a number, in the constraint '{text}'") from None
        limit = parse_quantity(match[3], metric.quantity) / metric.scale
    if not math.isfinite(limit):
        raise InputError.of(f"'{match[3]}' is no limit, in the constraint '{text}'", hint="a finite number")
    return Constraint(metric, 1 if match[2] == "<=" else -1, limit, text.strip())


def read_constraints(texts: Sequence[str]) -> list[Constraint]:
    """Return the constraints of several texts; raises InputError with the problems of all of them."""
    limits, problems = [], []
    for text in texts:
        try:
            limits.append(read_constraint(text))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return limits
