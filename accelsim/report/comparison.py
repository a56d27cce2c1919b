"""Tables of a comparison: with papers on a terminal and in Markdown, and of two chips."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from accelsim.explore.comparison import ChipRow, Comparison, Row
from accelsim.report.console import ROLE_STYLE
from accelsim.result import Result
from accelsim.schema import format_si
from accelsim.schema.paper import StudyRun

COLUMNS = ("figure", "paper", "tag", "ours", "ratio", "role", "verdict")

_PREAMBLE = """# Validation: published figures beside ours

Made by `accelsim compare --out reports/validation.md`. Roles: **input**, we were given it; **calibrated**, a number of
ours was fitted to it, so that it agrees is no evidence; **predicted**, nothing was fitted to it; **bookkeeping**, the
parts are the paper's own and only our sum of them is checked. Predicted and bookkeeping figures are judged where bounds
are given: `holds` or **fails**.
"""

_STUDIES = """Figures from studies are means over programmings, with their standard deviation: each study was run with
`accelsim sweep FILE -o DIR/NAME`, and `accelsim compare --studies DIR` took the figures from there:
"""


def comparison_table(comparison: Comparison) -> Table:
    """Return a paper's figures as a table: stated value, ours, ratio, role, verdict.

    Only judged figures show a verdict; a calibrated one never counts as agreement.
    """
    paper = comparison.paper
    table = _table(f"{paper.title} ({paper.reference})", COLUMNS, ("paper", "ours", "ratio"))
    for row in comparison.rows:
        *cells, role, verdict = _cells(row)
        colour = {None: "dim", True: "green", False: "red"}[row.holds]
        table.add_row(*cells, f"[{ROLE_STYLE[row.figure.role]}]{role}[/]", f"[{colour}]{verdict}[/]")
    return table


def markdown(comparisons: Sequence[Comparison]) -> str:
    """Return the same tables as a Markdown page; the same Results give the same text."""
    lines = [_PREAMBLE, *_from_studies(comparisons)]
    for comparison in comparisons:
        paper = comparison.paper
        lines += [f"## {paper.title}", "", f"{paper.reference}; `{paper.architecture}`.", ""]
        lines += ["| " + " | ".join(COLUMNS) + " |", "|---|---:|---|---:|---:|---|---|"]
        for row in comparison.rows:
            *cells, verdict = _cells(row)
            cells.append(verdict.replace("fails", "**fails**"))
            lines.append("| " + " | ".join(cells) + " |")
        notes = [f"- {row.figure.name}: {row.figure.note}" for row in comparison.rows if row.figure.note]
        notes += [f"- not run: {reason}" for reason in dict.fromkeys(comparison.missing.values())]
        lines += ["", *notes, ""] if notes else [""]
    return "\n".join(lines).rstrip() + "\n"


def chips_table(results: tuple[Result, Result], rows: Sequence[ChipRow]) -> Table:
    """Return two chips side by side, with the second over the first; the better value of a figure is green."""
    first, second = (f"{result.arch.name}\n{result.workload.name}" for result in results)
    table = _table(None, ("", first, second, "second / first"), (first, second, "second / first"))
    for row in rows:
        metric = row.metric
        values = [_in_unit(value, metric.unit) for value in (row.first, row.second)]
        if row.first is not None and row.second is not None and row.first != row.second:
            better = 0 if metric.badness(row.first) < metric.badness(row.second) else 1
            values[better] = f"[green]{values[better]}[/]"
        table.add_row(_label(row, results), *values, "-" if row.ratio is None else f"{row.ratio:.4g}")
    return table


def _from_studies(comparisons: Sequence[Comparison]) -> list[str]:
    """Return the note that says which figures came from studies, nothing where none did."""
    figures: dict[tuple[str, str], list[str]] = {}
    for comparison in comparisons:
        for row in comparison.rows:
            for run in (row.figure.run, row.figure.relative_to):
                spec = comparison.paper.runs[run] if run is not None else None
                if row.ours is not None and isinstance(spec, StudyRun):
                    listed = figures.setdefault((spec.file(), comparison.paper.title), [])
                    listed += [row.figure.name] if row.figure.name not in listed else []
    lines = [f"- `{file}`, of {title}: {'; '.join(listed)}" for (file, title), listed in figures.items()]
    return [_STUDIES, *lines, ""] if lines else []


def _ours(row: Row, unit: str) -> str:
    if row.ours is None:
        return "-"
    value = f"{row.ours:.4g}{unit}"
    if row.runs == 1:
        return value
    return f"{value} (mean of {row.runs}" + ("" if row.sd is None else f", sd {row.sd:.2g}") + ")"


def _cells(row: Row) -> list[str]:
    figure = row.figure
    unit = "" if figure.unit == "1" else f" {figure.unit}"
    verdict = {None: "", True: "holds", False: "fails"}[row.holds]
    return [
        figure.name,
        f"{figure.value:g}{unit}",
        figure.tag,
        _ours(row, unit),
        "-" if row.ratio is None else f"{row.ratio:.3f}",
        figure.role,
        f"{verdict} ({figure.bounds()})" if verdict else "",
    ]


def _label(row: ChipRow, results: tuple[Result, Result]) -> str:
    """Return what a figure is called; error rates of two kinds are named both, they do not compare."""
    if row.metric.name == "error_percent":
        return " / ".join(dict.fromkeys(r.accuracy.metric if r.accuracy else "no accuracy" for r in results))
    return row.metric.name.removesuffix("_" + row.metric.unit.lower()).replace("_", " ")


def _in_unit(value: float | None, unit: str) -> str:
    if value is None:
        return "none"
    if unit in ("J", "W", "s"):
        return format_si(value, unit)
    return f"{value:.4g} {unit}".rstrip()


def _table(title: str | None, columns: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left")
    return table
