"""Tables for a terminal: what a person wants to know of a run in ten seconds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from rich.console import Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from accelsim.plugins import Listed
from accelsim.report.headline import columns, headlines, notes, share, warnings
from accelsim.result import AdcRecord, LayerRecord, Result
from accelsim.schedule import Schedule
from accelsim.schema import format_si
from accelsim.schema.paper import Paper
from accelsim.text import printable_lines

GLYPHS = "█▓░·"
LEGEND = "█ busy ▓ in\n░ out · idle"
MOST_LAYERS = 40
"""More than this many layers are shown block by block put together."""


class PlainTable(Table):
    """A table whose texts are shown as they are: a chip's name may hold brackets. What has a style is a `Text`."""

    def add_column(self, header: RenderableType = "", footer: RenderableType = "", **options: Any) -> None:
        super().add_column(_plain(header), _plain(footer), **options)

    def add_row(
        self, *cells: RenderableType | None, style: str | Style | None = None, end_section: bool = False
    ) -> None:
        super().add_row(*map(_plain, cells), style=style, end_section=end_section)


def _plain(what: Any) -> Any:
    return Text(printable_lines(what)) if isinstance(what, str) else what


ROLE_STYLE = {"input": "dim", "calibrated": "yellow", "predicted": "green", "bookkeeping": "blue"}


def summary(result: Result, paper: Paper | None = None) -> RenderableType:
    """Return the tables of a run: headline figures with the paper's beside them, layers, components."""
    return Group(
        *(Text.assemble(("warning ", "bold red"), (text, "red")) for text in warnings(result)),
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
    title = Text(f"{result.workload.name} on {result.arch.name}", "table.title")
    table = PlainTable(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for index, (name, clock) in enumerate(columns(result)):
        table.add_column(f"{name}\n{clock}", justify="right", style="" if index else "bold")
    table.add_column("", style="dim")
    if paper is not None:
        table.add_column(f"paper\n{paper.reference.rsplit(', ', 1)[-1]}", justify="right", style="cyan")
        table.add_column("our figure is")
    for row in headlines(result, paper):
        roles = Text(", ").join(Text(role, ROLE_STYLE[role]) for role in row.roles)
        published: list[RenderableType] = [row.published, roles] if paper else []
        table.add_row(f"  {row.name}" if row.part else row.name, *row.values, row.note, *published)
    return table


def _layers(result: Result) -> Table:
    layers = folded(result.layers) if len(result.layers) > MOST_LAYERS else result.layers
    clips = any(layer.adc for layer in layers)
    special = "clipped" if clips else "zeros in"
    table = _table("layer", "cycles", "MACs performed", "of dense", special, "saturated", "energy", "share", "")
    total = sum(layer.energy_j for layer in layers)
    for layer in layers:
        if clips:
            seen = share(layer.adc.clipped, layer.adc.conversions) if layer.adc else ""
        else:
            seen = f"{layer.sparsity:.1%}" if layer.sparsity is not None else ""
        table.add_row(
            layer.name,
            f"{layer.cycles:,}",
            f"{layer.macs_performed:,}",
            share(layer.macs_performed, layer.macs_dense),
            seen,
            f"{layer.saturations:,}",
            format_si(layer.energy_j, "J"),
            share(layer.energy_j, total),
            bar(layer.energy_j, total),
        )
    table.columns[-1].justify = "left"
    return table


def folded(layers: Sequence[LayerRecord]) -> list[LayerRecord]:
    """Return the layers with those put together that differ in a number alone, as the blocks of a network do.

    ``blocks.0.ff1`` to ``blocks.3.ff1`` become ``blocks.*.ff1 x 4``, with the sums of their figures.
    """
    groups: dict[str, list[LayerRecord]] = {}
    for layer in layers:
        groups.setdefault(re.sub(r"(?<=\.)\d+(?=\.)", "*", layer.name), []).append(layer)
    together = []
    for name, alike in groups.items():
        if len(alike) == 1:
            together += alike
            continue
        converters = [layer.adc for layer in alike if layer.adc]
        together.append(
            LayerRecord(
                name=f"{name} x {len(alike)}",
                cycles=sum(layer.cycles for layer in alike),
                macs_dense=sum(layer.macs_dense for layer in alike),
                macs_performed=sum(layer.macs_performed for layer in alike),
                sparsity=None,
                saturations=sum(layer.saturations for layer in alike),
                adc=AdcRecord(
                    conversions=sum(adc.conversions for adc in converters),
                    clipped=sum(adc.clipped for adc in converters),
                )
                if converters
                else None,
                energy_j=sum(layer.energy_j for layer in alike),
            )
        )
    return together


def _components(result: Result) -> Table:
    table = _table("component", "kind", "busy", "waits in", "waits out", "idle", LEGEND, "energy", "share", "", "mm2")
    for c in result.components:
        states = (c.busy_cycles, c.wait_input_cycles, c.wait_output_cycles, c.idle_cycles)
        joules = c.energy_j.total()
        table.add_row(
            c.name,
            c.kind,
            *(share(part, sum(states)) for part in states),
            strip(states),
            format_si(joules, "J"),
            share(joules, result.energy.total_j),
            bar(joules, result.energy.total_j),
            f"{c.area_mm2:.4f}",
        )
    table.columns[1].style = "dim"
    table.columns[9].justify = "left"
    return table


def bar(part: float, whole: float, width: int = 10) -> str:
    """Return a share as a bar of blocks, to an eighth of a character; empty for a share of nothing."""
    eighths = round(8 * width * part / whole) if whole else 0
    full, rest = divmod(eighths, 8)
    return "█" * full + " ▏▎▍▌▋▊▉"[rest : rest + 1].strip()


def strip(parts: Sequence[int], width: int = 16) -> str:
    """Return busy, waiting for input, waiting to put out and idle as one bar, a glyph each.

    Every end of a part is rounded to the nearest character, so that the bar is always of the same length.
    """
    ends = [round(width * sum(parts[:end]) / max(1, sum(parts))) for end in range(len(parts) + 1)]
    return "".join(glyph * (end - start) for glyph, (start, end) in zip(GLYPHS, pairwise(ends), strict=True))


def _notes(result: Result) -> Iterable[RenderableType]:
    for name, text in notes(result):
        yield Text.assemble((f"{name} ", "yellow"), text)
    for line in result.provenance.calibrated:
        yield Text.assemble(("calibrated ", "yellow"), line)
    if result.leakage_bracket:
        ends = f"{format_si(min(b.power_w for b in result.leakage_bracket), 'W')} to "
        ends += format_si(max(b.power_w for b in result.leakage_bracket), "W")
        odd = "; ".join(f"{b.name} {format_si(b.power_w, 'W')}" for b in result.leakage_bracket)
        yield Text.assemble(("bracket ", "yellow"), f"power with published SRAM leakage instead: {ends} ({odd})")
    for plugin in result.provenance.plugins:
        whose = f"{plugin.distribution} {plugin.version}" if plugin.distribution else plugin.module
        yield Text.assemble(("plug-in ", "yellow"), f"{plugin.name} ({plugin.group}) of {whose}")
    for line in result.provenance.assumptions:
        yield Text.assemble(("assumed ", "dim"), (line, "dim"))


def schedule_table(schedule: Schedule) -> Table:
    """Return a schedule as a table, one job a line."""
    rows = schedule.table()
    return rows_table(rows)


def plugin_table(entries: Sequence[Listed]) -> Table:
    """Return what is registered, one entry a line, and where each comes from; broken ones are marked."""
    table = _table("group", "name", "distribution", "version", "module", "", numbers=False)
    for entry in entries:
        origin = entry.origin
        where = origin.module if origin.distribution or origin.file is None else origin.file
        mark = Text("broken", "red") if entry.error else ""
        table.add_row(entry.group, entry.name, origin.distribution or "", origin.version or "", where, mark)
    return table


def placement_table(rows: Sequence[Mapping[str, int | str]]) -> Table:
    """Return where matrices or kernels lie on crossbars, one a line."""
    table = _table(*rows[0])
    for row in rows:
        table.add_row(*(f"{row[key]:,}" if isinstance(row.get(key), int) else str(row.get(key, "")) for key in rows[0]))
    return table


def rows_table(rows: Sequence[dict[str, str]]) -> Table:
    """Return rows of text as a table."""
    table = _table(*rows[0], numbers=False)
    for row in rows:
        table.add_row(*row.values())
    return table


def _table(*columns: str, numbers: bool = True) -> Table:
    table = PlainTable(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if numbers and index and column != "kind" else "left")
    return table
