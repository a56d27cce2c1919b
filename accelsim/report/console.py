"""Tables for a terminal: what a person wants to know of a run in ten seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from accelsim.result import Result
from accelsim.schedule import Schedule
from accelsim.schema import format_si
from accelsim.schema.paper import Paper

ROLE_STYLE = {"input": "dim", "calibrated": "yellow", "predicted": "green"}


def summary(result: Result, paper: Paper | None = None) -> RenderableType:
    """Return the tables of a run: headline figures with the paper's beside them, layers, components."""
    return Group(
        _headline(result, paper),
        Text(),
        _layers(result),
        Text(),
        _components(result),
        Text(),
        *_notes(result),
    )


def _headline(result: Result, paper: Paper | None) -> Table:
    p, e, u = result.performance, result.efficiency, result.uncertainty
    table = Table(title=f"{result.workload.name} on {result.arch.name}", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    table.add_column("this run", justify="right", style="bold")
    table.add_column("", style="dim")
    if paper is not None:
        table.add_column(f"paper ({paper.reference.rsplit(', ', 1)[-1]})", justify="right", style="cyan")
        table.add_column("role")

    def row(name: str, value: str, note: str = "", path: str = "") -> None:
        if paper is None:
            table.add_row(name, value, note)
            return
        beside = [f for f in paper.figures if f.path == path and f.short]
        roles = ", ".join(dict.fromkeys(f"[{ROLE_STYLE[f.role]}]{f.role}[/]" for f in beside))
        table.add_row(name, value, note, ", ".join(f.short or "" for f in beside), roles)

    a = result.accuracy
    if a is None:
        row("accuracy", "none", "this workload recognises nothing")
    else:
        row(a.metric, f"{a.value:.2f} {a.unit}", f"95 % {a.low:.1f} to {a.high:.1f}, {a.n} phones of {a.dataset}")
        if a.reference_value is not None:
            change = f"{a.loss:+.2f} points by quantisation"
            row("  same network in float", f"{a.reference_value:.2f} {a.unit}", change, "accuracy.loss")
    row("cycles per frame", f"{p.cycles_per_frame:.1f}", f"{p.frames:,} frames", "performance.cycles_per_frame")
    row(
        "latency p50 / p99 / max",
        f"{p.latency_cycles.p50} / {p.latency_cycles.p99} / {p.latency_cycles.max}",
        f"cycles at {format_si(p.clock_hz, 'Hz')}",
    )
    late = f", {p.deadline_misses} frames late" if p.deadline_misses else ""
    row("time", format_si(p.seconds, "s"), f"for {format_si(p.audio_seconds, 's')} of audio{late}")
    row(
        "real-time factor",
        f"{p.real_time_factor:.4g}",
        "below 1: faster than real time" if p.real_time_factor < 1 else "",
    )
    row(
        "work",
        f"{p.mmac_per_audio_second:.2f} MMAC/s",
        f"{_share(p.macs_performed, p.macs_dense)} of the dense MACs",
        "performance.mmac_per_audio_second",
    )
    row("power", format_si(result.power_w, "W"), _between(u.power_w, 1, "W"), "power_w")
    row(
        "energy per frame",
        format_si(result.energy.per_frame_j, "J"),
        f"leakage {_share(result.energy.leakage_j, result.energy.total_j)}",
    )
    row("area", f"{result.area_mm2:.3f} mm2", f"{u.area_mm2[0]:.3f} to {u.area_mm2[1]:.3f}", "area_mm2")
    row(
        "power density",
        f"{e.mw_per_mm2:.4g} mW/mm2",
        f"{u.mw_per_mm2[0]:.3g} to {u.mw_per_mm2[1]:.3g}",
        "efficiency.mw_per_mm2",
    )
    for name, way in e.definitions.items():
        row(
            f"efficiency, {name}",
            f"{way.tops_per_w:.4g} TOPS/W",
            way.definition,
            f"efficiency.definitions.{name}.tops_per_w",
        )
    for name, way in e.definitions.items():
        row(
            f"area efficiency, {name}",
            f"{way.gops_per_mm2:.4g} GOPS/mm2",
            "",
            f"efficiency.definitions.{name}.gops_per_mm2",
        )
    return table


def _layers(result: Result) -> Table:
    table = _table("layer", "cycles", "MACs performed", "of dense", "zeros in", "saturated", "energy", "share")
    total = sum(layer.energy_j for layer in result.layers)
    for layer in result.layers:
        table.add_row(
            layer.name,
            f"{layer.cycles:,}",
            f"{layer.macs_performed:,}",
            _share(layer.macs_performed, layer.macs_dense),
            f"{layer.sparsity:.1%}" if layer.sparsity is not None else "",
            f"{layer.saturations:,}",
            format_si(layer.energy_j, "J"),
            _share(layer.energy_j, total),
        )
    return table


def _components(result: Result) -> Table:
    table = _table("component", "kind", "busy", "waits in", "waits out", "idle", "energy", "share", "mm2")
    for c in result.components:
        cycles = c.busy_cycles + c.wait_input_cycles + c.wait_output_cycles + c.idle_cycles
        joules = c.energy_j.dynamic + c.energy_j.clock + c.energy_j.leakage
        table.add_row(
            c.name,
            c.kind,
            *(
                _share(part, cycles)
                for part in (c.busy_cycles, c.wait_input_cycles, c.wait_output_cycles, c.idle_cycles)
            ),
            format_si(joules, "J"),
            _share(joules, result.energy.total_j),
            f"{c.area_mm2:.4f}",
        )
    table.columns[1].style = "dim"
    return table


def _notes(result: Result) -> Iterable[RenderableType]:
    for line in result.provenance.calibrated:
        yield Text.assemble(("calibrated ", "yellow"), line)
    if result.leakage_bracket:
        ends = f"{format_si(min(b.power_w for b in result.leakage_bracket), 'W')} to "
        ends += format_si(max(b.power_w for b in result.leakage_bracket), "W")
        odd = "; ".join(f"{b.name} {format_si(b.power_w, 'W')}" for b in result.leakage_bracket)
        yield Text.assemble(("bracket ", "yellow"), f"power with published SRAM leakage instead: {ends} ({odd})")
    for line in result.provenance.assumptions:
        yield Text.assemble(("assumed ", "dim"), (line, "dim"))


def schedule_table(schedule: Schedule) -> Table:
    """Return a schedule as a table, one job a line."""
    rows = schedule.table()
    return _rows_table(rows)


def _rows_table(rows: Sequence[dict[str, str]]) -> Table:
    table = _table(*rows[0], numbers=False)
    for row in rows:
        table.add_row(*row.values())
    return table


def _table(*columns: str, numbers: bool = True) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if numbers and index and column != "kind" else "left")
    return table


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _between(interval: tuple[float, float], factor: float, unit: str) -> str:
    return f"{format_si(interval[0] * factor, unit)} to {format_si(interval[1] * factor, unit)}"
