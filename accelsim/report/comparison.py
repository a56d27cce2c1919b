"""Tables of a comparison, on a terminal and in Markdown: with papers, and of chips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from rich.table import Table
from rich.text import Text

from accelsim.explore.comparison import CANNOT_TELL, HOLDS, MISSES, ChipRow, Comparison, Row
from accelsim.explore.intervals import Spread
from accelsim.report.console import ROLE_STYLE, WORDS, PlainTable
from accelsim.report.headline import EXTRAPOLATED, between, of_rate, warnings
from accelsim.result import Interval, Result
from accelsim.schema import format_figure
from accelsim.schema.paper import JUDGED, StudyRun
from accelsim.text import in_code, in_markdown

PLACES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")

COLUMNS = ("figure", "paper", "tag", "ours", "5 to 95 %", "ratio", "role", "verdict")

_COLOURS = {HOLDS: "green", MISSES: "red", CANNOT_TELL: "yellow"}
_MARK = {HOLDS: "", MISSES: "**", CANNOT_TELL: "*"}

_PREAMBLE = """# Validation: published figures beside ours

Made by `accelsim compare --out reports/validation.md`. Roles: **input**, we were given it; **calibrated**, a number of
ours was fitted to it, so that it agrees is no evidence; **predicted**, nothing was fitted to it; **bookkeeping**, the
parts are the paper's own and only our sum of them is checked.

Every predicted figure has a verdict. `holds`: the paper's value lies in the 5 to 95 % interval of ours. **misses**: it
lies outside. *cannot tell*: the interval holds the paper's value and that of no effect alike (a ratio of 1, unless the
figure names another rival); how much speech would tell them apart follows from the interval's width, which falls with
the square root. Intervals are computed: costs by the ranges of prices and of assumed sizes, all prices of one source
together; error rates by drawing utterances and programmings anew, the same utterances for both sides of a ratio.
Figures that are exact counts, and bookkeeping, have bounds instead, which the paper's file gives with their reason.
"""

_STUDIES = """Figures from studies are means over programmings, with their standard deviation. Each study has a table in
`reports/studies`, made by `accelsim sweep FILE -o DIR --table reports/studies/NAME.csv`:
"""


_CHIPS = """The best value of a figure is **bold**, and with it those that cannot be told from it, where the values
compare directly: error rates do on the same speech alone, and latency, cycles and energy per frame do where a frame
stands for the same length of audio on every chip. In brackets stand 95 % intervals: of error rates over utterances and
programmings, the same utterances for all chips; of ratios of costs over the ranges of prices and of assumed sizes, all
prices of one source together.
"""

_SPREAD = """5 to 95 %, over the ranges of prices and of assumed sizes. All prices of one source are wrong together, on
all chips, so that ratios are surer than what they are ratios of.
"""

_ROLES = """Predicted: nothing was fitted to it. Calibrated: a number of ours was fitted to a published one, so that it
agrees is no evidence. Assumptions: what the sources leave open, as it was chosen.
"""


def comparison_table(comparison: Comparison) -> Table:
    """Return a paper's figures as a table: stated value, ours, ratio, role, verdict.

    Only judged figures show a verdict; a calibrated one never counts as agreement.
    """
    paper = comparison.paper
    table = _table(f"{paper.title} ({paper.reference})", COLUMNS, ("paper", "ours", "5 to 95 %", "ratio"))
    for row in comparison.rows:
        *cells, role, verdict = _cells(row)
        colour = "dim" if row.verdict is None else _COLOURS[row.verdict]
        table.add_row(*cells, Text(role, ROLE_STYLE[row.figure.role]), Text(verdict, colour))
    return table


def markdown(comparisons: Sequence[Comparison]) -> str:
    """Return the same tables as a Markdown page; the same Results give the same text."""
    lines = [_PREAMBLE, tally(comparisons), "", *_from_studies(comparisons)]
    for comparison in comparisons:
        paper = comparison.paper
        title, reference = in_markdown(paper.title), in_markdown(paper.reference)
        lines += [f"## {title}", "", f"{reference}; {in_code(paper.architecture)}.", ""]
        lines += ["| " + " | ".join(COLUMNS) + " |", "|---|---:|---|---:|---:|---:|---|---|"]
        for row in comparison.rows:
            *cells, verdict = map(in_markdown, _cells(row))
            if row.verdict is not None:
                verdict = verdict.replace(row.verdict, f"{_MARK[row.verdict]}{row.verdict}{_MARK[row.verdict]}", 1)
            lines.append("| " + " | ".join((*cells, verdict)) + " |")
        notes = [f"- {row.figure.name}: {row.figure.note}" for row in comparison.rows if row.figure.note]
        notes += [f"- not run: {reason}" for reason in dict.fromkeys(comparison.missing.values())]
        lines += ["", *map(in_markdown, notes), ""] if notes else [""]
    return "\n".join(lines).rstrip() + "\n"


def tally(comparisons: Sequence[Comparison]) -> str:
    """Return how many figures of each role hold, miss or cannot be told."""
    told = []
    for role in JUDGED:
        found = Counter(row.verdict for one in comparisons for row in one.rows if row.figure.role == role)
        here = sum(count for verdict, count in found.items() if verdict is not None)
        counts = f"{found[HOLDS]} hold, {found[MISSES]} miss, {found[CANNOT_TELL]} cannot be told"
        told.append(f"{here} {role}: {counts}" + (f" ({found[None]} more have no value here)" if found[None] else ""))
    return "; ".join(told) + "."


def verdicts_of(page: str) -> dict[tuple[str, str], str]:
    """Return the verdict on every figure that a Markdown page has a value of: (title, figure) -> its first words.

    Empty for a figure that is not judged. Reads pages that `markdown` made.
    """
    found, title, columns = dict[tuple[str, str], str | None](), "", dict[str, int]()
    for line in page.splitlines():
        if line.startswith("## "):
            title, columns = line.removeprefix("## "), {}
        elif line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if not columns:
                columns = {name: index for index, name in enumerate(cells)}
            elif {"figure", "ours", "verdict"} <= columns.keys() and len(cells) == len(columns):
                verdict = cells[columns["verdict"]].replace("*", "").partition(" (")[0]
                found[title, cells[columns["figure"]]] = verdict if cells[columns["ours"]] != "-" else None
    return {key: verdict for key, verdict in found.items() if verdict is not None}


def changed(comparisons: Sequence[Comparison], page: str) -> list[str]:
    """Return the figures whose verdict is another one than on a page, a line each; those without a value are left out.

    Figures of the papers compared that are on one side alone are among them, but for those without a value here.
    """
    now = verdicts_of(markdown(comparisons))
    titles = {in_markdown(one.paper.title) for one in comparisons}
    nothing = [(one.paper.title, row.figure.name) for one in comparisons for row in one.rows if row.ours is None]
    unseen = {(in_markdown(title), in_markdown(name)) for title, name in nothing}
    before = {key: verdict for key, verdict in verdicts_of(page).items() if key[0] in titles and key not in unseen}

    def word(verdicts: Mapping[tuple[str, str], str], key: tuple[str, str]) -> str:
        return (verdicts[key] or "not judged") if key in verdicts else "not there"

    return [
        f"{title}: {name}: was {word(before, (title, name))}, is {word(now, (title, name))}"
        for title, name in dict.fromkeys([*before, *now])
        if before.get((title, name)) != now.get((title, name))
    ]


def power_rules(results: Sequence[Result]) -> str:
    """Return in words how the parts of the chips wait: one rule, or that of each."""
    rules = dict.fromkeys(result.power_rule for result in results)
    if len(rules) == 1:
        return f"While parts wait: {next(iter(rules))}."
    each = "; ".join(f"{name}, {result.power_rule}" for name, result in zip(_names(results), results, strict=True))
    return f"While parts wait, not by one rule: {each}. See --power."


def place(index: int) -> str:
    """Return what the chip at an index is called by its place: first, second, .. tenth, chip_11, .."""
    return PLACES[index] if index < len(PLACES) else f"chip_{index + 1}"


def chips_table(results: Sequence[Result], rows: Sequence[ChipRow]) -> Table:
    """Return chips side by side, one a column, with each further one over the first; the best values are green.

    Behind ± stands half of a 95 % interval.
    """
    chips = [f"{name}\n{r.workload.name}" for name, r in zip(_names(results), results, strict=True)]
    ratios = [f"{place(index)}\n/ first" for index in range(1, len(results))]
    table = _table(None, ("", *chips, *ratios), (*chips, *ratios))
    for row in rows:
        name, *cells = _chip_cells(row, results, _half)
        values = [Text(cell, "green" if index in row.best else "") for index, cell in enumerate(cells)]
        table.add_row(name, *values)
    return table


def chips_markdown(results: Sequence[Result], rows: Sequence[ChipRow], command: str) -> str:
    """Return the same table as a Markdown page, with what was recognised, and what is calibrated or assumed."""
    names = _names(results)
    heads = [
        f"{in_markdown(name)}<br>{in_markdown(result.workload.name)}"
        for name, result in zip(names, results, strict=True)
    ]
    heads += [f"{place(index)} / first" for index in range(1, len(results))]
    lines = ["# Chips side by side", "", "Made by", "", "```sh", command, "```", "", _CHIPS]
    lines += ["| " + " | ".join(("figure", *heads)) + " |", "|---|" + "---:|" * len(heads)]
    for row in rows:
        name, *cells = _chip_cells(row, results, _in_brackets)
        values = [f"**{cell}**" if index in row.best else cell for index, cell in enumerate(cells)]
        lines.append("| " + " | ".join((name, *values)) + " |")
    lines += ["", in_markdown(power_rules(results))]
    told = [(name, text) for name, result in zip(names, results, strict=True) for text in warnings(result)]
    if told:
        lines += ["", "## Warnings", "", *(f"- {in_markdown(name)}: {in_markdown(text)}" for name, text in told)]
    lines += ["", "## How far power and area may be off", "", _SPREAD]
    for name, result in zip(names, results, strict=True):
        u = result.uncertainty
        power, area = between(u.power_w, "W"), f"{u.area_mm2[0]:.4g} to {u.area_mm2[1]:.4g} mm2"
        lines.append(f"- {in_markdown(name)}: {power}; {area}")
    lines += ["", "## Where the accuracy comes from", ""]
    lines += [f"- {in_markdown(name)}: {_recognised(result)}" for name, result in zip(names, results, strict=True)]
    lines += ["", "## Predicted, calibrated, assumed", "", _ROLES]
    for name, result in zip(names, results, strict=True):
        lines.append(f"- {in_markdown(name)}")
        hidden = {"plugins"} if result.provenance.extrapolated else {"plugins", "extrapolated"}
        kept = result.provenance.model_dump(exclude=hidden)
        for role, told in kept.items():
            lines.append(f"    - {role}: " + ("; ".join(map(in_markdown, told)) or "nothing"))
        if plugins := result.provenance.plugins:
            used = (f"{one.name} of {one.distribution or one.module}" for one in plugins)
            lines.append("    - plug-ins: " + "; ".join(map(in_markdown, used)))
    return "\n".join(lines) + "\n"


def _names(results: Sequence[Result]) -> list[str]:
    """Return what the chips are called; those of one name are told apart by their place, and extrapolated ones marked.

    The figures of all operating points are in the table: one that is extrapolated marks its chip.
    """
    names = [result.arch.name for result in results]
    names = [f"{name} ({place(i)})" if names.count(name) > 1 else name for i, name in enumerate(names)]
    marked = zip(names, results, strict=True)
    return [f"{name} ({EXTRAPOLATED})" if result.provenance.extrapolated else name for name, result in marked]


def _chip_cells(row: ChipRow, results: Sequence[Result], ends: Callable[[Interval], str]) -> list[str]:
    """Return the cells of a figure; ``ends``: how an interval is written behind it."""

    def told(text: str, interval: Interval | None) -> str:
        return text if interval is None or interval[0] == interval[1] else f"{text} {ends(interval)}"

    values = ["none" if value is None else format_figure(value, row.metric.unit) for value in row.values]
    if row.metric.name == "error_percent":  # what costs have is the interval of their ratio, which is the surer one
        values = list(map(told, values, row.intervals))
    ratios = ["-" if ratio is None else f"{ratio:.4g}" for ratio in row.ratios]
    return [_label(row, results), *values, *map(told, ratios, row.ratio_intervals)]


def _in_brackets(interval: Interval) -> str:
    return f"({interval[0]:.3g} to {interval[1]:.3g})"


def _half(interval: Interval) -> str:
    return f"±{(interval[1] - interval[0]) / 2:.2g}"


def _recognised(result: Result) -> str:
    """Return on what a chip was scored, and how well the float network does there."""
    a, utterances = result.accuracy, result.performance.utterances
    if a is None:
        return f"no accuracy: {in_code(result.workload.name)} recognises nothing"
    heard = f"{utterances:,} utterance{'s' if utterances > 1 else ''}"
    text = f"{a.metric} {a.value:.2f} {a.unit} on {in_code(a.dataset)}, {heard}, {a.n:,} {a.counted}"
    text += f"; {of_rate(a)}"
    if a.runs:
        text += f", mean of {len(a.runs)} programmings"
    return text + ("" if a.reference_value is None else f"; the network in float {a.reference_value:.2f} {a.unit}")


def _from_studies(comparisons: Sequence[Comparison]) -> list[str]:
    """Return the note that says which figures came from studies, nothing where none did."""
    figures: dict[tuple[str, str], list[str]] = {}
    for comparison in comparisons:
        for row in comparison.rows:
            for run in row.figure.runs():
                spec = comparison.paper.runs[run]
                if row.ours is not None and isinstance(spec, StudyRun):
                    listed = figures.setdefault((spec.file(), comparison.paper.title), [])
                    listed += [row.figure.name] if row.figure.name not in listed else []
    lines = [
        f"- {in_code(file)}, of {in_markdown(title)}: {in_markdown('; '.join(listed))}"
        for (file, title), listed in figures.items()
    ]
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
    return [
        figure.name,
        f"{figure.value:g}{unit}",
        figure.tag,
        _ours(row, unit),
        "-" if row.spread is None else _interval(row.spread),
        "-" if row.ratio is None else f"{row.ratio:.3f}",
        figure.role,
        _verdict(row),
    ]


def _interval(spread: Spread) -> str:
    if spread.high == spread.low:
        return "exact"
    return f"{spread.low:.4g} to {spread.high:.4g}"


def _verdict(row: Row) -> str:
    """Return a verdict with its bounds, or with how much speech it would take."""
    if row.verdict is None:
        return ""
    if row.figure.judged():
        return f"{row.verdict} ({row.figure.bounds()})"
    if row.needed and row.spread is not None:
        return f"{row.verdict} (about {_rounded(row.needed):,} {row.spread.counted} would; ours are {row.spread.n:,})"
    return row.verdict


def _rounded(count: int) -> int:
    """Return a count with two digits."""
    return int(float(f"{count:.2g}"))


def _label(row: ChipRow, results: Sequence[Result]) -> str:
    """Return what a figure is called; of error rates that do not compare it says why, by naming all kinds of them."""
    if row.metric.name == "error_percent":
        kinds = " / ".join(dict.fromkeys(r.accuracy.metric if r.accuracy else "no accuracy" for r in results))
        several = len({r.accuracy.dataset for r in results if r.accuracy}) > 1
        return f"{kinds} (of different speech)" if several else kinds
    return row.metric.name.removesuffix("_" + row.metric.unit.lower()).replace("_", " ")


def _table(title: str | None, columns: Sequence[str], numbers: Sequence[str]) -> Table:
    shown = None if title is None else Text(title, "table.title")
    table = PlainTable(title=shown, header_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in numbers else "left"
        table.add_column(column, justify=justify, wraps=WORDS if column in ("figure", "verdict") else 0)
    return table
