"""Tables for a terminal: what a person wants to know of a run in ten seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from accelsim.result import OperationRecord, Result
from accelsim.schedule import Schedule, TileMap
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
    """One column for the run and one for each of its other operating points; the paper's figures beside them."""
    points: list[OperationRecord] = [result, *result.operating_points.values()]
    table = Table(title=f"{result.workload.name} on {result.arch.name}", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    table.add_column(f"this run\n{_clock(result)}", justify="right", style="bold")
    for name, point in result.operating_points.items():
        table.add_column(f"{name}\n{_clock(point)}", justify="right")
    table.add_column("", style="dim")
    if paper is not None:
        table.add_column(f"paper\n{paper.reference.rsplit(', ', 1)[-1]}", justify="right", style="cyan")
        table.add_column("our figure is")

    def row(name: str, value: Callable[[OperationRecord], str], note: str = "", path: str = "") -> None:
        values = [value(point) for point in points]
        if path.startswith(("accuracy", "area_mm2", "performance.mmac", "programming")):
            values[1:] = [""] * (len(points) - 1)  # the same at every operating point
        beside = [figure for figure in paper.figures if figure.path == path and figure.short] if paper else []
        roles = dict.fromkeys(f"[{ROLE_STYLE[figure.role]}]{figure.role}[/]" for figure in beside)
        published = [", ".join(figure.short or "" for figure in beside), ", ".join(roles)] if paper else []
        table.add_row(name, *values, note, *published)

    a, p, u = result.accuracy, result.performance, result.uncertainty
    if a is None:
        row("accuracy", lambda _: "none", "this workload recognises nothing", "accuracy")
    else:
        row(
            a.metric,
            lambda _: f"{a.value:.2f} {a.unit}",
            f"95 % interval {a.low:.1f} to {a.high:.1f}; {a.n:,} {a.counted}, {a.dataset}",
            "accuracy.value",
        )
        if a.reference_value is not None:
            row("  the network in float", lambda _: f"{a.reference_value:.2f} {a.unit}", "", "accuracy")
            row("  lost by quantisation", lambda _: f"{a.loss:+.2f} points", "", "accuracy.loss")
    row(
        "cycles per frame",
        lambda o: f"{o.performance.cycles_per_frame:.1f}",
        f"{p.frames:,} frames of {p.utterances} utterances",
        "performance.cycles_per_frame",
    )
    row("latency p50 / max", lambda o: _latency(o), "from arrival to result")
    late = f"; {p.deadline_misses} frames late" if p.deadline_misses else ""
    row(
        "time", lambda o: format_si(o.performance.seconds, "s"), f"for {format_si(p.audio_seconds, 's')} of audio{late}"
    )
    row("real-time factor", lambda o: f"{o.performance.real_time_factor:.3g}", "time over audio time")
    row(
        "work",
        lambda _: f"{p.mmac_per_audio_second:.2f} MMAC/s",
        f"{_share(p.macs_performed, p.macs_dense)} of the dense MACs",
        "performance.mmac_per_audio_second",
    )
    row("power", lambda o: format_si(o.power_w, "W"), f"5 to 95 %: {_between(u.power_w, 'W')}", "power_w")
    row("energy per frame", lambda o: format_si(o.energy.per_frame_j, "J"))
    row("  of which leakage", lambda o: _share(o.energy.leakage_j, o.energy.total_j))
    w = result.programming
    if w.cells:
        row(
            "programming, once before",
            lambda _: f"{format_si(w.time_s, 's')}, {format_si(w.energy_j, 'J')}",
            f"{_between(w.energy_interval_j, 'J')}; {w.cells:,} cells, {w.write_pulses:,} pulses; not in the energy",
            "programming",
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
    return table


def _efficiency(definition: str, key: str, point: OperationRecord) -> str:
    return f"{getattr(point.efficiency.definitions[definition], key):.4g}"


def _clock(point: OperationRecord) -> str:
    return format_si(point.performance.clock_hz, "Hz")


def _latency(point: OperationRecord) -> str:
    latency, period_s = point.performance.latency_cycles, 1 / point.performance.clock_hz
    return f"{format_si(latency.p50 * period_s, 's')} / {format_si(latency.max * period_s, 's')}"


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


def tile_table(tile_map: TileMap) -> Table:
    """Return where matrices lie on crossbar tiles, one matrix a line and their sums in the last one."""
    rows = tile_map.table()
    table = _table(*rows[0])
    for row in rows:
        table.add_row(*(f"{row[key]:,}" if isinstance(row.get(key), int) else str(row.get(key, "")) for key in rows[0]))
    return table


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


def _between(interval: tuple[float, float], unit: str) -> str:
    return f"{format_si(interval[0], unit)} to {format_si(interval[1], unit)}"
