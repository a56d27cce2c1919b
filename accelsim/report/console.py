"""Tables for a terminal: what a person wants to know of a run in ten seconds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.style import Style
from rich.table import Table
from rich.text import Text

from accelsim.engines.memory import Memory
from accelsim.limits import rounded
from accelsim.plugins import Listed
from accelsim.report.blocks import alike, together
from accelsim.report.headline import Line, columns, head, headlines, notes, portion, share, speech_notes, warnings
from accelsim.result import LayerRecord, Result
from accelsim.schedule import Schedule
from accelsim.schema import format_si
from accelsim.schema.paper import Paper
from accelsim.text import printable_lines

GLYPHS = "█▓░·"
LEGEND = "█ busy ▓ in\n░ out · idle"
MOST_LAYERS = 40
"""More than this many layers are shown block by block put together."""
MOST_ROWS = 16
"""So many layers and components are shown of a run unless all are asked for."""


class PlainTable(Table):
    """A table whose texts are shown as they are, a chip's name may hold brackets, and of which no cell breaks in words.

    What has a style is a `Text`. Where it is wider than there is room it leaves out its drawn columns and those of a
    ``rank``, the highest first; then columns that may wrap become narrower; then what does not fit follows below, with
    the first ``keys`` columns again. Drawn columns stand on a terminal alone: they show what others say.
    """

    def __init__(self, *, keys: int = 1, **options: Any) -> None:
        super().__init__(box=None, pad_edge=False, title_justify="left", **options)
        self.keys = keys
        self._fits: list[_Fit] = []

    def add_column(
        self, header: RenderableType = "", footer: RenderableType = "", *, rank: int = 0, drawn: bool = False,
        wraps: int = 0, **options: Any,
    ) -> None:  # fmt: skip
        """Add a column; ``wraps``: it may be made as narrow as this, and then breaks between words."""
        self._fits.append(_Fit(rank, drawn, wraps))
        super().add_column(_plain(header), _plain(footer), **options)

    def add_row(
        self, *cells: RenderableType | None, style: str | Style | None = None, end_section: bool = False
    ) -> None:
        super().add_row(*map(_plain, cells), style=style, end_section=end_section)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        natural = [max(map(_width, (column.header, *column.cells)), default=0) for column in self.columns]
        widths = list(natural)
        shown = [i for i, fit in enumerate(self._fits) if console.is_terminal or not fit.drawn]
        room = options.max_width

        def taken(columns: Sequence[int]) -> int:
            return sum(widths[i] for i in columns) + _GAP * (len(columns) - 1)

        while taken(shown) > room and (worst := max((self._fits[i].rank, i) for i in shown))[0]:
            shown.remove(worst[1])
        while taken(shown) > room and (wide := [i for i in shown if 0 < self._fits[i].wraps < widths[i]]):
            widths[max(wide, key=lambda i: widths[i])] -= 1
        keys, rest = shown[: self.keys], shown[self.keys :]
        if rest and taken(keys) + _GAP + max(widths[i] for i in rest) > room:
            keys, rest = shown[:1], shown[1:]
        if keys and rest:
            least = max(room - _GAP - max(widths[i] for i in rest), room // 3, _NARROWEST)
            widths[keys[0]] = min(widths[keys[0]], least)
            for i in rest:
                widths[i] = min(widths[i], max(room - taken(keys) - _GAP, _NARROWEST))
        pieces = [list(keys)]
        for i in rest:
            if len(pieces[-1]) > len(keys) and taken([*pieces[-1], i]) > room:
                pieces.append(list(keys))
            pieces[-1].append(i)
        if self.title:
            yield self.title
        for number, piece in enumerate(pieces):
            if number:
                yield Text()
            for i in piece:
                widths[i] = min(natural[i], widths[i] + room - taken(piece)) if self._fits[i].wraps else widths[i]
            yield self._piece(piece, widths, room, {} if len(pieces) == 1 else {*piece[len(keys) :]})

    def _piece(self, shown: Sequence[int], widths: Sequence[int], room: int, told: Collection[int]) -> Table:
        """Return some of the columns as a table; rows that say nothing in those that are ``told`` are left out."""
        columns = [self.columns[i] for i in shown]
        table = Table(box=None, pad_edge=False, header_style=self.header_style)
        table.show_header = any(isinstance(column.header, Text) and column.header.plain for column in columns)
        for i, column in zip(shown, columns, strict=True):
            wraps = self._fits[i].wraps > 0
            table.add_column(
                column.header, header_style=column.header_style, style=column.style, justify=column.justify,
                width=min(widths[i], room), no_wrap=not wraps, overflow="fold" if wraps else "ellipsis",
            )  # fmt: skip
        cells = [list(column.cells) for column in columns]
        for number, row in enumerate(self.rows):
            here = [column[number] for column in cells]
            if not told or any(isinstance(cell, Text) and cell.plain
                               for i, cell in zip(shown, here, strict=True) if i in told):  # fmt: skip
                table.add_row(*here, style=row.style, end_section=row.end_section)
        return table


class _Fit(NamedTuple):
    """How a column gives way."""

    rank: int
    drawn: bool
    wraps: int


def _width(cell: RenderableType) -> int:
    """Return the columns of a terminal that a cell takes."""
    return max(map(cell_len, cell.plain.split("\n"))) if isinstance(cell, Text) else 0


_GAP = 2
"""Blanks between two columns."""
_NARROWEST = 12
"""No names are cut shorter than this."""
WORDS = 24
"""A column of texts is not made narrower than this: no column is of single words."""


def _plain(what: Any) -> Any:
    return Text(printable_lines(what)) if isinstance(what, str) else what


ROLE_STYLE = {"input": "dim", "calibrated": "yellow", "predicted": "green", "bookkeeping": "blue"}


def summary(result: Result, paper: Paper | None = None, full: bool = False) -> RenderableType:
    """Return what a run says on a terminal: at most ten lines of figures, then where time and energy go.

    ``full``: with every figure, the paper's beside it, every layer and all that was noted and assumed.
    """
    said = [Text.assemble(("warning ", "bold red"), (text, "red")) for text in warnings(result)]
    parts: list[RenderableType] = [*said, _Head(*head(result, paper))]
    if not full:
        told = [note for note in speech_notes(result) if note[0] != "sample"]  # of that a line of the block speaks
        parts += [Text.assemble((f"{name} ", "yellow"), text) for name, text in told]
    parts += [Text()]
    if full:
        parts += [_headline(result, paper), Text()]
    parts += [_layers(result, full), Text(), _components(result, full), Text()]
    return Group(*parts, *(_notes(result) if full else [_more(result, paper)]))


class _Head:
    """A title and a line for each kind of figure, with as much of each as there is room for."""

    def __init__(self, title: str, lines: Sequence[Line]) -> None:
        self.title = title
        self.lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(printable_lines(self.title), "bold")
        begin = max(cell_len(line.name) for line in self.lines) + _GAP
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        grid.add_column(width=begin - _GAP, no_wrap=True)
        grid.add_column()
        for line in self.lines:
            text = line.parts[0]
            for part in line.parts[1:]:
                if begin + cell_len(text) + 2 + cell_len(part) <= options.max_width:
                    text += f"; {part}"
            grid.add_row(Text(printable_lines(line.name)), Text(printable_lines(text)))
        yield grid


def _more(result: Result, paper: Paper | None) -> Text:
    """Return what else ``--full`` says, in a line."""
    told = ["every figure", *(["the paper's beside them"] if paper is not None else [])]
    told += dict.fromkeys(name for name, _ in notes(result)[len(speech_notes(result)) :])
    for what, there in (("calibrated", result.provenance.calibrated), ("assumed", result.provenance.assumptions)):
        told += [f"{len(there)} {what}"] if there else []
    return Text.assemble(("--full shows ", "dim"), (", ".join(told), "dim"))


def _headline(result: Result, paper: Paper | None) -> Table:
    """One column for the run and one for each of its other operating points; the paper's figures beside them."""
    table = PlainTable(keys=1)
    table.add_column("")
    for index, (name, clock) in enumerate(columns(result)):
        table.add_column(f"{name}\n{clock}", justify="right", style="" if index else "bold")
    table.add_column("", style="dim", wraps=28)
    if paper is not None:
        table.add_column(f"paper\n{paper.reference.rsplit(', ', 1)[-1]}", justify="right", style="cyan", wraps=16)
        table.add_column("our figure is")
    for row in headlines(result, paper):
        roles = Text(", ").join(Text(role, ROLE_STYLE[role]) for role in row.roles)
        published: list[RenderableType] = [row.published, roles] if paper else []
        table.add_row(f"  {row.name}" if row.part else row.name, *row.values, row.note, *published)
    return table


def _layers(result: Result, full: bool) -> Table:
    layers: Sequence[LayerRecord] = result.layers
    if len(layers) > (MOST_LAYERS if full else MOST_ROWS):
        layers = alike(layers)
    total = sum(layer.energy_j for layer in layers)
    if not full:
        kept = _dearest([layer.energy_j for layer in layers])
        rest = [layer for i, layer in enumerate(layers) if i not in kept]
        layers = [layer for i, layer in enumerate(layers) if i in kept]
        layers += [together(f"{len(rest)} others", rest)] if rest else []
    clips = any(layer.adc for layer in layers)
    table = PlainTable(header_style="bold")
    table.add_column("layer")
    for header, rank in (
        ("cycles", 2), ("MACs performed", 4), ("of dense", 5), ("clipped" if clips else "zeros in", 3),
        ("saturated", 6), ("energy", 0), ("share", 0),
    ):  # fmt: skip
        table.add_column(header, justify="right", rank=0 if full else rank)
    table.add_column("", rank=1, drawn=True)
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
    return table


def _dearest(costs: Sequence[float]) -> set[int]:
    """Return the places of what is shown by itself of a table without ``--full``: all, or those that cost most."""
    if len(costs) <= MOST_ROWS:
        return set(range(len(costs)))
    # A figure that is no number comes last, and equal ones in their order.
    order = sorted(range(len(costs)), key=lambda i: (not costs[i] >= 0, -costs[i]))
    return set(order[: MOST_ROWS - 1])


def _components(result: Result, full: bool) -> Table:
    table = PlainTable(header_style="bold")
    table.add_column("component")
    table.add_column("kind", style="dim", rank=0 if full else 3)
    for header, rank in (("busy", 1), ("waits in", 5), ("waits out", 6), ("idle", 7)):
        table.add_column(header, justify="right", rank=0 if full else rank)
    table.add_column(LEGEND, rank=4, drawn=True)
    for header in ("energy", "share"):
        table.add_column(header, justify="right")
    table.add_column("", rank=2, drawn=True)
    table.add_column("mm2", justify="right")
    kept = list(range(len(result.components)))
    if not full:
        # What is large matters as much as what draws power: each by its share.
        costs = [portion(c.energy_j.total(), result.energy.total_j) + portion(c.area_mm2, result.area_mm2)
                 for c in result.components]  # fmt: skip
        kept = sorted(_dearest(costs))
    for c in (result.components[i] for i in kept):
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
    if rest := [c for i, c in enumerate(result.components) if i not in kept]:
        joules = sum(c.energy_j.total() for c in rest)
        table.add_row(
            f"{len(rest)} others", "", "", "", "", "", "", format_si(joules, "J"),
            share(joules, result.energy.total_j), bar(joules, result.energy.total_j),
            f"{sum(c.area_mm2 for c in rest):.4f}",
        )  # fmt: skip
    return table


def bar(part: float, whole: float, width: int = 10) -> str:
    """Return a share as a bar of blocks, to an eighth of a character; empty for a share of nothing."""
    eighths = round(8 * width * portion(part, whole))
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
    table = PlainTable(header_style="bold")
    for column, rank in (("group", 0), ("name", 0), ("distribution", 1), ("version", 2), ("module", 0), ("", 0)):
        table.add_column(column, rank=rank)
    for entry in entries:
        origin = entry.origin
        where = origin.module if origin.distribution or origin.file is None else origin.file
        mark = Text("broken", "red") if entry.error else ""
        table.add_row(entry.group, entry.name, origin.distribution or "", origin.version or "", where, mark)
    return table


def memory_line(memory: Memory) -> str:
    """Return what a run would take of this machine's memory, in words."""
    fixed, each = rounded(memory.total()), rounded(1000 * memory.per_frame)
    return f"memory of a run: about {fixed}, and {each} for every 1,000 frames of the input"


def placement_table(rows: Sequence[Mapping[str, int | str]]) -> Table:
    """Return where matrices or kernels lie on crossbars, one a line."""
    table = _table(*rows[0])
    for row in rows:
        table.add_row(*(f"{row[key]:,}" if isinstance(row.get(key), int) else str(row.get(key, "")) for key in rows[0]))
    return table


def rows_table(rows: Sequence[dict[str, str]]) -> Table:
    """Return rows of text as a table, of which long texts break between words."""
    table = PlainTable(header_style="bold")
    for index, column in enumerate(rows[0]):
        table.add_column(column, wraps=WORDS if index else 0)
    for row in rows:
        table.add_row(*row.values())
    return table


def _table(*columns: str, numbers: bool = True) -> Table:
    table = PlainTable(header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if numbers and index and column != "kind" else "left")
    return table
