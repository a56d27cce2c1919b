"""The headline figures of a run as plain rows, for every way of showing them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from accelsim.data.clip import QUIET_DB, QUIET_S
from accelsim.result import AccuracyRecord, ArrayRecord, Latency, OperationRecord, Result
from accelsim.schema import format_si
from accelsim.schema.paper import Paper, Role

EXTRAPOLATED = "extrapolated"

LARGEST, SMALLEST = 1e30, 1e-30
"""No figure of a chip lies beyond; what does is shown as text, and left out of drawings."""

_NOISY = 0.05  # share of words with silence or noise around them, from where the score is another one
_KEEPS_UP = 1.0005
"""Up to this, frames are finished as often as they come."""


@dataclass(frozen=True)
class Headline:
    """One figure: its text at each operating point, a note, the paper's figures beside it, and what ours are to them.

    ``values``: in the order of `columns`. ``part``: whether it is a part of the figure above.
    """

    name: str
    values: tuple[str, ...]
    note: str
    published: str
    roles: tuple[Role, ...]
    part: bool


@dataclass(frozen=True)
class Line:
    """One line of the block that stands first: what it is about, and what there is to say of it, the chief part first.

    The first part always stands there, the others as far as there is room.
    """

    name: str
    parts: tuple[str, ...]


MOST_LINES = 10
"""Lines of the block that stands first, its title among them."""


def head(result: Result, paper: Paper | None = None) -> tuple[str, list[Line]]:
    """Return what ran, and at most nine lines: on what, how well, how fast, at what power, energy and area.

    All with their intervals, and a line for each of its other operating points. The paper's figures stand beside.
    """
    p, u = result.performance, result.uncertainty

    def beside(*paths: str) -> list[str]:
        figures = [figure for figure in paper.figures if figure.path in paths and figure.short] if paper else []
        return [f"the paper: {figure.short} ({figure.role})" for figure in figures]

    title = f"{result.workload.name} on {result.arch.name}"
    source = f"of {result.accuracy.dataset}" if result.accuracy else ""
    count = f"{p.utterances:,} utterance{'s' if p.utterances > 1 else ''}"
    rate = result.efficiency
    heard = f"{count}, {format_si(p.audio_seconds, 's')}"
    bad = sum(result.skipped.values())
    left_out = (f"{bad:,} bad recordings left out",) if bad else ()
    lines = [
        Line("speech", (f"{heard} {source}".rstrip(), *left_out, f"{p.frames:,} frames"))
        if result.instead_of is None
        else Line("sample", (f"{heard}: {_whole(result.instead_of)}", source, f"{p.frames:,} frames")),
        *_recognised(result, beside),
        Line(
            "speed",
            (
                f"latency {_typical(result)}",
                f"real-time factor {p.real_time_factor:.3g}",
                f"{p.cycles_per_frame:.1f} cycles a frame at {format_si(p.clock_hz, 'Hz')}",
                *beside("performance.cycles_per_frame", "performance.real_time_factor"),
            ),
        ),
        Line(
            "power",
            (f"{format_si(result.power_w, 'W')} (5 to 95 %: {between(u.power_w, 'W')})", *beside("power_w")),
        ),
        Line(
            "energy",
            (
                f"{_with_ends(result.energy.per_frame_j, _energy_of_a_frame(result), 'J')} a frame",
                f"{format_si(ratio(result.energy.total_j, p.audio_seconds), 'J')} a second of audio",
            ),
        ),
        Line("area", ("{:.3f} mm2 ({:.3f} to {:.3f})".format(result.area_mm2, *u.area_mm2), *beside("area_mm2"))),
        Line(
            "efficiency",
            (f"{rate.tops_per_w:.4g} TOPS/W, {rate.gops_per_mm2:.4g} GOPS/mm2", f"{rate.op_definition} operations"),
        ),
    ]
    if fitted := result.provenance.calibrated:
        # What it was fitted to, and where, is for --full.
        lines.append(Line("calibrated", tuple(re.split(r", fitted to| \(", what)[0] for what in fitted)))
    others = [
        Line(
            name,
            (
                f"{_with_ends(o.power_w, o.uncertainty.power_w, 'W')}, {format_si(o.energy.per_frame_j, 'J')} a frame",
                f"latency {_typical(o)}",
                f"real-time factor {o.performance.real_time_factor:.3g}",
                f"{o.efficiency.tops_per_w:.4g} TOPS/W",
                f"at {format_si(o.performance.clock_hz, 'Hz')}",
            ),
        )
        for name, o in result.operating_points.items()
    ]
    return title, [*lines, *others][: MOST_LINES - 1]


def _whole(dataset: str) -> str:
    return f"`accelsim data get {dataset.partition('/')[0]}` for all"


def _recognised(result: Result, beside: Callable[..., list[str]]) -> list[Line]:
    """Return the lines of the score: the chief one, and one for what else it measures."""
    a = result.accuracy
    if a is None:
        return [Line("accuracy", ("none: this workload is not scored",))]
    in_float = [] if a.reference_value is None else [f"in float {a.reference_value:.2f} {a.unit}"]
    runs = [f"mean of {len(a.runs)} programmings"] if a.runs else []
    counted = f"{a.n:,} {a.counted}" + (f" of {a.speakers} speakers" if a.speakers and a.speakers > 1 else "")
    ends = a.interval()
    interval = "one utterance, so without an interval" if ends is None else f"95 %: {ends[0]:.1f} to {ends[1]:.1f}"
    chief = f"{a.value:.2f} {a.unit} ({interval})"
    lost = []
    if a.loss is not None:
        points = f"lost on the chip {a.loss:+.2f} {'points' if a.unit == '%' else a.unit}"
        lost = ["; ".join((points, *beside("accuracy.loss")))]
    lines = [Line(a.metric, (chief, *in_float, *beside("accuracy.value"), *runs, counted, *lost))]
    if a.further:
        told = (f"{other.metric} {other.value:.3g} {other.unit} ({other.low:.3g} to {other.high:.3g})"
                for other in a.further)  # fmt: skip
        lines.append(Line("and", tuple(told)))
    return lines


def _typical(point: OperationRecord) -> str:
    latency = point.performance.latency_cycles
    if latency.max == latency.p50:
        return _seconds(point, latency.p50)
    return f"{_seconds(point, latency.p50)}, at most {_seconds(point, latency.max)}"


def _with_ends(value: float, interval: tuple[float, float], unit: str) -> str:
    return f"{format_si(value, unit)} ({between(interval, unit)})"


def _energy_of_a_frame(point: OperationRecord) -> tuple[float, float]:
    """Return the interval of the energy of a frame, P t / n with the ends of the power P: t and n are exact."""
    p = point.performance
    low, high = (ratio(power * p.seconds, p.frames) for power in point.uncertainty.power_w)
    return low, high


def columns(result: Result) -> list[tuple[str, str]]:
    """Return (name, clock) of the run and of each of its other operating points; what is extrapolated says so."""
    points: dict[str, OperationRecord] = {"this run": result, **result.operating_points}
    return [
        (f"{name} ({EXTRAPOLATED})" if extrapolates(result, name) else name, format_si(at.performance.clock_hz, "Hz"))
        for name, at in points.items()
    ]


def extrapolates(result: Result, point: str = "") -> bool:
    """Return whether the figures of a run, or of one of its operating points, lie outside the window of its prices."""
    reasons = result.provenance.extrapolated
    others = tuple(f"{name}: " for name in result.operating_points)
    return any(reason.startswith(f"{point}: ") or not reason.startswith(others) for reason in reasons)


def headlines(result: Result, paper: Paper | None = None) -> list[Headline]:
    """Return what a person wants to know of a run in ten seconds, with the paper's figures beside ours."""
    points: list[OperationRecord] = [result, *result.operating_points.values()]
    rows: list[Headline] = []

    def row(
        name: str, value: Callable[[OperationRecord], str], note: str = "", path: str = "", part: bool = False
    ) -> None:
        values = [value(point) for point in points]
        if path.startswith(("accuracy", "area_mm2", "performance.mmac", "programming", "plan", "first_load")):
            values[1:] = [""] * (len(points) - 1)  # the same at every operating point
        beside = [figure for figure in paper.figures if figure.path == path and figure.short] if paper else []
        published = ", ".join(figure.short or "" for figure in beside)
        roles = tuple(dict.fromkeys(figure.role for figure in beside))
        rows.append(Headline(name, tuple(values), note, published, roles, part))

    a, p, u = result.accuracy, result.performance, result.uncertainty
    if a is None:
        row("accuracy", lambda _: "none", "this workload recognises nothing", "accuracy")
    else:
        sd = "" if a.sd is None else f", sd {a.sd:.2g}"
        spread = f"mean of {len(a.runs)} programming runs{sd}; " if a.runs else ""
        by = f", {a.unknown:,} of them unknown to the network" if a.unknown else ""
        if a.by_speaker:
            rates = [each.value for each in a.by_speaker]
            by += f", {a.speakers} speakers: {min(rates):.1f} to {max(rates):.1f} {a.unit}"
        elif a.speakers:
            by += f", {a.speakers} speaker" + "s" * (a.speakers > 1)
        row(
            a.metric,
            lambda _: f"{a.value:.2f} {a.unit}",
            f"{spread}{of_rate(a)}; {a.n:,} {a.counted}{by}, {a.dataset}",
            "accuracy.value",
        )
        if a.exact_value is not None:
            exact = f"{a.exact_value:.2f} {a.unit}"
            row("the same weights, exact", lambda _: exact, "", "accuracy.exact_value", part=True)
        if a.reference_value is not None:
            row(
                "the network in float",
                lambda _: f"{a.reference_value:.2f} {a.unit}",
                "",
                "accuracy.reference_value",
                part=True,
            )
            lost, note = "lost by quantisation", ""
            if a.exact_value is not None:
                lost, note = "lost on the chip", f"{a.exact_value - a.reference_value:+.2f} of it by quantisation"
            unit = "points" if a.unit == "%" else a.unit
            loss = "-" if a.loss is None else f"{a.loss:+.2f} {unit}"
            row(lost, lambda _: loss, note, "accuracy.loss", part=True)
        for other in a.further:
            interval = f"95 % interval {other.low:.3g} to {other.high:.3g}; {other.n:,} {other.counted}"
            value = f"{other.value:.3g} {other.unit}"
            rows.append(Headline(other.metric, (value, *[""] * (len(points) - 1)), interval, "", (), False))
    row(
        "cycles per frame",
        lambda o: f"{o.performance.cycles_per_frame:.1f}",
        f"{p.frames:,} frames of {p.utterances} utterances",
        "performance.cycles_per_frame",
    )
    pipelined = [o.performance for o in points if o.performance.frames_in_flight > 1]
    if pipelined:
        row(
            "interval between frames",
            lambda o: f"{o.performance.interval_cycles:.1f}",
            "cycles from one finished frame to the next",
            "performance.interval_cycles",
        )
        row("frames in flight", lambda o: f"{o.performance.frames_in_flight:,}", "at most at once")
    if result.plan is not None:
        row("latency p99", lambda o: _seconds(o, o.performance.latency_cycles.p99), "from the arrival of a chunk")
    row("latency p50 / max", lambda o: _latency(o, o.performance.latency_cycles), "from arrival to result")
    if any(abs(o.utterance_latency_cycles.p50 - o.latency_cycles.p50) > 0.1 * o.latency_cycles.p50 for o in pipelined):
        row(
            "of an utterance",
            lambda o: _latency(o, o.performance.utterance_latency_cycles),
            "from the arrival of its last frame to the result",
            part=True,
        )
    late = f"; {p.deadline_misses} frames late" if p.deadline_misses else ""
    row(
        "time", lambda o: format_si(o.performance.seconds, "s"), f"for {format_si(p.audio_seconds, 's')} of audio{late}"
    )
    row(
        "real-time factor",
        lambda o: f"{o.performance.real_time_factor:.3g}",
        "time over audio time",
        "performance.real_time_factor",
    )
    if result.plan is not None:
        plan = result.plan
        row("chunk", lambda _: format_si(plan.seconds, "s"), f"{plan.frames} frames of the output", "plan")
        row(
            "LPDDR traffic",
            lambda _: f"{format_si(ratio(result.dram_bytes(), p.audio_seconds), 'B')}/s",
            f"of audio; {format_si(plan.weight_bytes, 'B')} of weights "
            + ("a chunk" if result.first_load is None else "stay in L2"),
            "plan.lpddr_bytes",
        )
    if (load := result.first_load) is not None:
        row(
            "first load of weights",
            lambda _: f"{format_si(load.time_s, 's')}, {format_si(load.energy_j, 'J')}",
            f"{format_si(load.bytes, 'B')}, once a run; in the time and the energy",
            "first_load",
        )
    if any(o.performance.duty_cycle for o in points) and result.plan is not None:
        row(
            "duty cycle",
            lambda o: f"{o.performance.duty_cycle:.2%}",
            f"{p.deadline_misses:,} of {p.frames:,} chunks missed their deadline, the arrival of the next one",
        )
    row(
        "work",
        lambda _: f"{p.mmac_per_audio_second:.2f} MMAC/s",
        f"{share(p.macs_performed, p.macs_dense)} of the dense MACs",
        "performance.mmac_per_audio_second",
    )
    row("power", lambda o: format_si(o.power_w, "W"), _power_note(result), "power_w")
    if result.plan is not None:
        row("between chunks", lambda o: format_si(o.energy.idle_power_w, "W"), "clocks, standby and leakage", part=True)
        row("energy per second of audio", lambda o: format_si(o.energy.per_audio_second_j, "J"))
    row("energy per frame", lambda o: format_si(o.energy.per_frame_j, "J"))
    row("of which clocks", lambda o: share(o.energy.clock_j, o.energy.total_j), part=True)
    row("of which standby", lambda o: share(o.energy.standby_j, o.energy.total_j), part=True)
    row("of which leakage", lambda o: share(o.energy.leakage_j, o.energy.total_j), result.power_rule, part=True)
    if any(o.energy.wake_j for o in points):
        row("of which wake-ups", lambda o: share(o.energy.wake_j, o.energy.total_j), part=True)
    w = result.programming
    if w.cells:
        row(
            "programming, once before",
            lambda _: f"{format_si(w.time_s, 's')}, {format_si(w.energy_j, 'J')}",
            f"{between(w.energy_interval_j, 'J')}; {w.cells:,} cells, {w.write_pulses:,} pulses; not in the energy",
            "programming",
        )
    for one in result.arrays:
        lost = f"{one.mean_drop:.1%}"
        rows.append(
            Headline(
                f"lost in the wires of {one.name}", (lost, *[""] * (len(points) - 1)), _wires_note(one), "", (), False
            )
        )
    row("area", lambda _: f"{result.area_mm2:.3f} mm2", "{:.3f} to {:.3f}".format(*u.area_mm2), "area_mm2")
    row("power density", lambda o: f"{o.efficiency.mw_per_mm2:.3g} mW/mm2", "", "efficiency.mw_per_mm2")
    for name, way in result.efficiency.definitions.items():
        for unit, key in (("TOPS/W", "tops_per_w"), ("GOPS/mm2", "gops_per_mm2")):
            row(
                f"{unit}, {name} operations",
                partial(_efficiency, name, key),
                way.definition if key == "tops_per_w" else "",
                f"efficiency.definitions.{name}.{key}",
            )
    return rows


def _wires_note(arrays: ArrayRecord) -> str:
    """Return what wires the arrays of a crossbar have, and what is done against what they take."""
    remedies = {
        "gains of columns measured": arrays.column_gain != "none",
        f"rows {arrays.row_order}": arrays.row_order != "as_given",
    }
    told = [
        f"of currents; up to {arrays.largest_drop:.1%} of a column's",
        f"{arrays.row_ohm:.3g} and {arrays.column_ohm:.3g} ohm a cell",
    ]
    if arrays.undriven == "open":
        told.append("rows without a bit open")
    if arrays.residue_rms:
        told.append(f"cells that are not ohmic: columns off by {arrays.residue_rms:.2g} weight units rms")
    return "; ".join([*told, *(name for name, there in remedies.items() if there)])


def _power_note(result: Result) -> str:
    """Return the interval of the power at each operating point."""
    told = f"5 to 95 %: {between(result.uncertainty.power_w, 'W')}"
    others = (f"{name} {between(o.uncertainty.power_w, 'W')}" for name, o in result.operating_points.items())
    return "; ".join((told, *others))


def _efficiency(definition: str, key: str, point: OperationRecord) -> str:
    way = point.efficiency.definitions.get(definition)
    return "-" if way is None else f"{getattr(way, key):.4g}"


def _latency(point: OperationRecord, latency: Latency) -> str:
    return f"{_seconds(point, latency.p50)} / {_seconds(point, latency.max)}"


def _seconds(point: OperationRecord, cycles: int) -> str:
    return format_si(cycles / point.performance.clock_hz, "s")


def ratio(part: float, whole: float) -> float:
    """Return part / whole, NaN of nothing."""
    return part / whole if whole else math.nan


def share(part: float, whole: float) -> str:
    """Return a share in per cent, '-' of nothing."""
    return f"{part / whole:.1%}" if whole else "-"


def portion(part: float, whole: float) -> float:
    """Return a share as it is drawn, 0 .. 1; 0 where it is no number."""
    found = ratio(part, whole)
    return min(max(found, 0.0), 1.0) if found == found else 0.0


def longest(values: Iterable[float]) -> float:
    """Return what the longest bar of a drawing stands for: the largest of the values that can be drawn, 1 of none."""
    return max((value for value in values if drawable(value)), default=1.0)


def drawable(value: float) -> bool:
    """Return whether a figure can be drawn on an axis, a logarithmic one too."""
    return SMALLEST < value < LARGEST


def of_rate(accuracy: AccuracyRecord) -> str:
    """Return the interval of an error rate over utterances."""
    interval = accuracy.interval()
    return "one utterance: no interval" if interval is None else f"95 % interval {interval[0]:.1f} to {interval[1]:.1f}"


def between(interval: tuple[float, float], unit: str) -> str:
    """Return an interval with its unit at both ends."""
    return f"{format_si(interval[0], unit)} to {format_si(interval[1], unit)}"


def speech_notes(result: Result) -> list[tuple[str, str]]:
    """Return (what it is about, what to know) of the speech: samples, what was left out, cut off or added."""
    found: list[tuple[str, str]] = []
    if result.instead_of:
        said = f"of {result.performance.utterances:,} utterances that ship, instead of {result.instead_of}"
        found.append(("sample", f"{said}: {_whole(result.instead_of)}"))
    for about, counts, what in (
        ("left out", result.skipped, "of the recordings, as 'skip' of workload.inputs says"),
        ("doubtful", result.doubtful, "of the recordings, which were heard all the same"),
    ):
        if counts:
            of_each = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in counts.items())
            found.append((about, f"{of_each} {what}"))
    clips = result.clips
    if clips.trimmed:
        off = f"cut off at the ends of {clips.trimmed:,} of {clips.utterances:,} utterances"
        found.append(("silence", f"{off}, {clips.trimmed_s:.3g} s in all"))
    if clips.quiet:
        found.append(("noise", _noise(result)))
    if clips.cut:
        off = f"{clips.cut:,} of {clips.utterances:,} utterances, {clips.cut_s:.3g} s in all"
        found.append(
            (
                "cut short",
                f"{off}, beyond the longest that the network takes (longest_s or length_s of workload.inputs)",
            )
        )
    if clips.padded:
        made = f"{clips.padded:,} of {clips.utterances:,} utterances with silence, {clips.padded_s:.3g} s in all"
        found.append(("made longer", f"{made}, to the length that the network takes (workload.inputs.length_s)"))
    return found


def notes(result: Result) -> list[tuple[str, str]]:
    """Return (what it is about, what to know): of the speech, the plan of a chunk, numbers that went wrong."""
    found = speech_notes(result)
    if reached := result.programming.reached_by_read:
        cells = result.programming.cells
        found.append(
            (
                "read disturb",
                f"a read at full scale would switch {reached:,} of {cells:,} cells ({share(reached, cells)}): their "
                "threshold lies below the read voltage. The values here are as if it did not",
            )
        )
    if (plan := result.plan) is not None:
        room = f"{format_si(plan.peak_bytes, 'B')} of {format_si(plan.room_bytes, 'B')} at the most"
        found.append(
            ("L2", f"{room}, {'with' if plan.state_in_l2 else 'without'} {format_si(plan.state_bytes, 'B')} of state")
        )
        for name, pieces in plan.pieces.items():
            found.append(("split", f"{name}: {pieces} pieces a chunk"))
        if plan.spilled:
            sizes = ", ".join(f"{name} {format_si(size, 'B')}" for name, size in plan.spilled.items())
            found.append(("spilled", f"to LPDDR, each chunk: {sizes}"))
        if plan.on_cpu:
            found.append(
                (
                    "on the CPU",
                    f"{len(plan.on_cpu)} layers: {', '.join(plan.on_cpu[:4])}" + " .." * (len(plan.on_cpu) > 4),
                )
            )
    kinds = dict.fromkeys(kind for layer in result.layers for kind in layer.faults)
    for kind in kinds:
        worst = max(result.layers, key=lambda layer: layer.faults.get(kind, 0))
        total = sum(layer.faults.get(kind, 0) for layer in result.layers)
        if total:
            found.append(("float16", f"{total:,} x {kind}, most in {worst.name} ({worst.faults[kind]:,})"))
    if total := sum(layer.saturations for layer in result.layers):
        worst = max(result.layers, key=lambda layer: layer.saturations)
        found.append(("saturated", f"{total:,} words, most in {worst.name} ({worst.saturations:,})"))
    return found


def _noise(result: Result) -> str:
    clips = result.clips
    still = f"{clips.quiet:,} of {clips.utterances:,} utterances begin or end with more than {QUIET_S:g} s of silence"
    below = f"{QUIET_DB:g} dB below their loudest"
    return f"{still} or noise, {below}: workload.inputs.trim_db cuts it off, a lower one more of it"


def warnings(result: Result) -> list[str]:
    """Return what nobody may miss: frames that are late, words in noise, figures that the prices do not hold for."""
    guess = "no figure of time, energy or area is more than a guess"
    around = [_noise(result)] if result.clips.quiet > _NOISY * result.clips.utterances else []
    return [*_late(result), *around, *(f"{EXTRAPOLATED}, {guess}: {why}" for why in result.provenance.extrapolated)]


def _late(result: Result) -> list[str]:
    """Return at which operating points frames are late, and whether the chip keeps up at all."""
    points: dict[str, OperationRecord] = {"this run": result, **result.operating_points}
    found = []
    for name, point in points.items():
        p = point.performance
        if not p.deadline_misses:
            continue
        what = "chunks" if result.plan is not None else "frames"
        text = f"{p.deadline_misses:,} of {p.frames:,} {what} were late: not finished when the next one came"
        pace = ratio(p.interval_cycles / p.clock_hz, p.audio_seconds / p.frames)
        if pace > _KEEPS_UP and p.deadline_misses > p.frames / 2:
            text += f"; the chip takes {pace:.3g} times as long as the speech at {format_si(p.clock_hz, 'Hz')}"
        else:
            text += f"; the latest one took {_seconds(point, p.latency_cycles.max)}, on average the chip keeps up"
        found.append(text if name == "this run" else f"{name}: {text}")
    return found
