"""Every number of the README, of docs/ and of the reports is somewhere else too: in a table of a study, in a file that
was run, or in `numbers.yaml`, with the reason why it is not.

Sources, by page: the committed tables of reports/studies that `numbers.yaml` names for it (values of every point, with
means and standard deviations over the seeds of a configuration), reports/validation.md (which CI makes again), what the
page itself shows of a run (tests/docs runs that), and as inputs the numbers of arch/ and workloads/. A number with a
unit matches a quantity of that kind alone, to the digits that are written; one of an input has to be equal. Quotients,
differences and sums of other numbers of the page are written down as such and worked out here. Not looked at: blocks of
code and their output (tests/docs runs them), names such as S4D or int8, and whole numbers up to 16 without a unit,
which are counts or settings.

`python tests/contract/test_numbers.py` prints what is not found, ready to be explained in `numbers.yaml`.
"""

from __future__ import annotations

import ast
import csv
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import chain
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import prose
import pytest
import yaml

from accelsim.explore.metrics import METRICS
from accelsim.explore.studies import SHELF, StudyRow, read_table
from accelsim.library import root

HERE = Path(__file__).parent
SMALL = 16

_LITTLE = (("p", 1e-12), ("n", 1e-9), ("u", 1e-6), ("m", 1e-3), ("", 1.0))
# Unit -> (kind of quantity, in SI units); of a rate per second the kind of what it is a rate of.
UNITS = {
    "%": ("share", 0.01), "points": ("share", 0.01),
    **{f"{p}J": ("energy", s) for p, s in (("f", 1e-15), *_LITTLE)},
    **{f"{p}W": ("power", s) for p, s in _LITTLE},
    **{f"{p}s": ("time", s) for p, s in _LITTLE},
    **{f"{p}Hz": ("frequency", s) for p, s in (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9))},
    **{f"{p}B": ("data", s) for p, s in (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9))},
    **{f"{p}iB": ("data", s) for p, s in (("K", 2.0**10), ("M", 2.0**20), ("G", 2.0**30))},
    **{f"{p}B/s": ("data", s) for p, s in (("k", 1e3), ("M", 1e6), ("G", 1e9))},
    **{f"{p}m": ("length", s) for p, s in (("n", 1e-9), ("u", 1e-6), ("m", 1e-3))},
    **{f"{p}V": ("voltage", s) for p, s in (("m", 1e-3), ("", 1.0))},
    **{f"{p}S": ("conductance", s) for p, s in (("u", 1e-6), ("n", 1e-9))},
    "um2": ("area", 1e-6), "mm2": ("area", 1.0), "K": ("temperature", 1.0), "mW/mm2": ("power density", 1.0),
    "TOPS/W": ("tops_per_w", 1.0), "GOPS/mm2": ("gops_per_mm2", 1.0), "GOPS": ("gops", 1.0),
    "MMAC/s": ("work", 1.0), "MMAC": ("count", 1e6), "Mcycles": ("count", 1e6), "M": ("count", 1e6),
    "k": ("count", 1e3),
}  # fmt: skip
_UNIT = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
NUMBER = re.compile(
    rf"(?<![\w.,/§#-])([-+]?\d+(?:,\d{{3}})*(?:\.\d+)?)(?![\w]*\d)(?: ?({_UNIT})(?![\w/]))?(?![A-Za-z_])"
)

_METRIC_KINDS = {
    "J": "energy", "W": "power", "s": "time", "mm2": "area", "%": "share", "B/s": "data",
    "accuracy": "share", "real_time_factor": "", "duty_cycle": "share", "deadline_misses": "count",
    "cycles_per_frame": "count", "gops": "gops", "tops_per_w": "tops_per_w", "gops_per_mm2": "gops_per_mm2",
    "power_density_mw_per_mm2": "power density",
    "macs_performed": "count", "saturations": "count", "adc_conversions": "count", "adc_clipped": "count",
    "extrapolated": "count",
}  # fmt: skip


@dataclass(frozen=True)
class Token:
    """A number of a page: where it stands, as it is written, its kind ('' for one without a unit) and its value."""

    page: str
    line: int
    start: int
    text: str
    kind: str
    scale: float
    context: str

    def value(self) -> float:
        return float(self.text.replace(",", ""))

    def matches(self, kind: str, value: float) -> bool:
        """Tell whether a quantity is this number, to the digits that are written."""
        decimals = len(self.text.partition(".")[2])
        ulp = 0.5 * 10.0**-decimals * 1.0001
        if self.kind:
            return kind == self.kind and abs(value / self.scale - self.value()) <= ulp
        scales = {"share": (1.0, 100.0), "count": (1.0, 1e-3, 1e-6)}
        return any(abs(value * scale - self.value()) <= ulp for scale in scales.get(kind, _display(kind)))


@cache
def _display(kind: str) -> tuple[float, ...]:
    """Return the scales in which a quantity may stand in a table whose head has the unit."""
    return tuple({1 / scale for name, scale in UNITS.values() if name == kind}) or (1.0,)


def pages() -> list[str]:
    """Return the pages whose numbers are looked for; validation.md is made by a command, and a source itself."""
    reports = [f"reports/{path.name}" for path in sorted((root() / "reports").glob("*.md"))]
    return [*prose.pages(), *(page for page in reports if page != "reports/validation.md")]


def tokens(page: str, text: str) -> Iterator[Token]:
    """Yield the numbers of a page; a cell of a table has the unit of its own, of its column's head or of its row."""
    heads: list[str] = []
    code = False
    for number, raw in enumerate(text.splitlines(), 1):
        if raw.lstrip().startswith("```"):
            code = not code
        if code or raw.lstrip().startswith("```"):
            continue
        # Inline code, the targets of links and identifiers of papers hold no figures.
        line = re.sub(r"`[^`]*`", lambda found: " " * len(found[0]), raw)
        line = re.sub(
            r"\]\([^)]*\)|arXiv \d{4}\.\d{4,5}(?: and \d{4}\.\d{4,5})?|doi \S+", lambda found: " " * len(found[0]), line
        )
        if not line.startswith("|"):
            heads = []
        cells = re.split(r"(?<=\|)", line) if line.startswith("|") else [line]
        if line.startswith("|") and not heads:
            heads = cells
        start = 0
        for index, cell in enumerate(cells):
            head = heads[index] if index < len(heads) and cells is not heads else ""
            unit = _unit_in(head) or (_unit_in(cells[1]) if len(cells) > 1 else "")
            for found in NUMBER.finditer(cell):
                own = found[2] or unit
                kind, scale = UNITS[own] if own else ("", 1.0)
                yield Token(page, number, start + found.start(), found[1], kind, scale, raw.strip())
            start += len(cell)


def _unit_in(head: str) -> str:
    """Return the unit of a column or row: '.., ms', '.., % (sd)', '(mJ)'; empty where it names none."""
    found = re.findall(rf"(?:, |\()({_UNIT})(?=[\s|)(,])", head)
    return found[-1] if found else ""


Sources = dict[str, list[float]]


def of_table(rows: list[StudyRow], components: bool) -> Sources:
    """Return the quantities of a study's table by kind."""
    found: Sources = defaultdict(list)
    groups: dict[tuple[tuple[str, str], ...], list[StudyRow]] = defaultdict(list)
    for row in rows:
        groups[tuple(row.settings.items())].append(row)
    for alike in groups.values():
        for name in alike[0].figures:
            values = [value for row in alike if (value := row.figures.get(name)) is not None]
            scale, kind = _kind_of(name)
            found[kind] += [value * scale for value in values]
            if len(values) > 1:
                found[kind] += [fmean(values) * scale, stdev(values) * scale]
        for row in alike if components else ():
            for part in row.components.values():
                for name, value in part.items():
                    ends = {"_j": "energy", "mm2": "area", "_bytes": "data"}
                    kind = next((kind for end, kind in ends.items() if name.endswith(end)), "count")
                    found[kind].append(value)
    return found


def of_plain_table(path: Path) -> Sources:
    """Return the quantities of a table that is no sweep's, by kind; a column's unit ends its name: ``power_uw``."""
    units = {unit.lower(): unit for unit in UNITS} | {"percent": "%"}
    found: Sources = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for name, cell in row.items():
                kind, scale = UNITS.get(units.get(name.rpartition("_")[2], ""), ("count", 1.0))
                found[kind] += [float(value) * scale for value in re.findall(r"(?<!\S)\d+(?:\.\d+)?(?!\S)", cell)]
    return found


def _kind_of(name: str) -> tuple[float, str]:
    """Return what makes a column of a table a quantity in the units of `UNITS`, and its kind."""
    short = name.rsplit(".", 1)[-1] if name.rsplit(".", 1)[-1] in METRICS else name
    if short in METRICS:
        unit = METRICS[short].unit
        return (0.01 if unit == "%" else 1.0), _METRIC_KINDS.get(short, _METRIC_KINDS.get(unit, ""))
    if name.startswith("accuracy."):
        return 0.01, "share"
    ends = {"_j": "energy", "_w": "power", "_s": "time", "_mm2": "area", "mmac_per_audio_second": "work"}
    return 1.0, next((kind for end, kind in ends.items() if re.search(rf"{end}(\.(low|high))?$", name)), "count")


@cache
def inputs() -> dict[str, set[float]]:
    """Return the numbers of the chips, prices, papers, sweeps and networks, as they are written, by kind."""
    found: dict[str, set[float]] = defaultdict(set)
    for file in [
        *root().glob("arch/**/*.yaml"),
        *root().glob("workloads/*/*.yaml"),
        *root().glob("workloads/*/README.md"),
    ]:
        for match in NUMBER.finditer(file.read_text(encoding="utf-8")):
            kind, scale = UNITS[match[2]] if match[2] else ("", 1.0)
            found[kind].add(float(match[1].replace(",", "")) * scale)
    return found


@cache
def explained() -> dict[str, Any]:
    return yaml.safe_load((HERE / "numbers.yaml").read_text(encoding="utf-8"))


@cache
def sources(page: str) -> Sources:
    """Return the quantities of all tables that a page may quote, and of the validation page."""
    found: Sources = defaultdict(list)
    tables = [names for pattern, names in explained()["tables"].items() if fnmatchcase(page, pattern)]
    for name in chain.from_iterable(tables):
        if name.endswith(".csv"):
            for kind, values in of_plain_table(root() / name).items():
                found[kind] += values
            continue
        pattern, _, extra = name.partition(" + ")
        for path in sorted((root() / SHELF).glob(f"{pattern}.csv")):
            for kind, values in of_table(read_table(path), extra == "components").items():
                found[kind] += values
    for block in prose.blocks((root() / page).read_text(encoding="utf-8")):
        if "not run" not in block.marks:
            for match in NUMBER.finditer(block.text):
                kind, scale = UNITS[match[2]] if match[2] else ("", 1.0)
                found[kind].append(float(match[1].replace(",", "")) * scale)
    for token in tokens("validation", (root() / "reports/validation.md").read_text(encoding="utf-8")):
        found[token.kind].append(token.value() * token.scale)
    return found


def phrases(page: str) -> list[dict[str, str]]:
    return [one for one in explained()["exceptions"] if one["page"] == page]


def covered(token: Token, page: str, text: str) -> bool:
    """Tell whether an exception's phrase covers a number where it stands."""
    lines = text.splitlines(keepends=True)
    place = sum(len(line) for line in lines[: token.line - 1]) + token.start
    for one in phrases(page):
        words = r"\s+".join(map(re.escape, one["text"].split()))
        if any(found.start() <= place < found.end() for found in re.finditer(words, text)):
            return True
    return False


def unexplained(page: str) -> list[Token]:
    """Return the numbers of a page that stand nowhere else."""
    text = (root() / page).read_text(encoding="utf-8")
    missing: list[Token] = []
    listed: list[Token] = []  # numbers of the page's tables that were found: its prose may repeat them
    for in_table in (True, False):
        for token in tokens(page, text):
            if token.context.startswith("|") != in_table:
                continue
            whole = not token.kind and "." not in token.text and abs(token.value()) <= SMALL
            known = (
                whole
                or token.value() * token.scale in inputs()[token.kind]
                or any(
                    token.matches(kind, value)
                    for kind, values in sources(page).items()
                    if not token.kind or kind == token.kind
                    for value in values
                )
            )
            known = known or any(abs(token.value() * token.scale - one.value() * one.scale) < 1e-12 for one in listed)
            if known and in_table:
                listed.append(token)
            elif not known and not covered(token, page, text):
                missing.append(token)
    return sorted(missing, key=lambda token: (token.line, token.start))


def worked_out(expression: str) -> float:
    """Return the value of a sum, difference, product or quotient of numbers."""
    allowed = (ast.Expression, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Constant, ast.UnaryOp, ast.USub)
    tree = ast.parse(expression.replace(",", ""), mode="eval")
    assert all(isinstance(node, allowed) for node in ast.walk(tree)), expression
    return float(eval(compile(tree, "numbers.yaml", "eval"), {"__builtins__": {}}))


@pytest.mark.parametrize("page", pages())
def test_every_number_stands_somewhere_else_too(page: str) -> None:
    missing = unexplained(page)
    told = [f"{page}:{token.line}: {token.text} {token.kind}: {token.context[:100]}" for token in missing]
    assert not told, "\n".join(told)


@pytest.mark.parametrize("one", explained()["exceptions"], ids=lambda one: f"{one['page']}: {one['text'][:30]}")
def test_exceptions_are_of_today_and_have_a_reason(one: dict[str, str]) -> None:
    text = " ".join((root() / one["page"]).read_text(encoding="utf-8").split())
    assert " ".join(one["text"].split()) in text, "the page says so no longer"
    assert len(one.get("reason", "")) > 8 or "as" in one
    if "as" not in one:
        return
    # Worked out: its numbers are the page's, and what comes out is one that the phrase has.
    written = {token.value() for token in tokens(one["page"], (root() / one["page"]).read_text(encoding="utf-8"))}
    known = written | {
        token.value() for token in tokens("", (root() / "reports/validation.md").read_text(encoding="utf-8"))
    }
    literals = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", one["as"].replace(",", ""))]
    assert not [number for number in literals if number not in known | {1.0, 100.0, 1000.0}], "numbers of another page"
    value = worked_out(one["as"])
    decimals = {
        match: 0.5 * 10.0 ** -len(match.partition(".")[2]) for match in re.findall(r"\d+(?:\.\d+)?", one["text"])
    }
    assert any(abs(abs(value) - float(match)) <= ulp * 1.0001 for match, ulp in decimals.items()), (
        f"{one['as']} = {value}"
    )


def test_units_kinds_and_digits_by_hand() -> None:
    page = (
        "Power 71.2 uW, S4D in int8, 3 of 91 utterances; 1,024 words at `128 x 128`, arXiv 2503.21337.\n"
        "| what | latency, ms | error, % (sd) |\n|---|---|---|\n| a | 0.901 | 29.01 (0.4) |\n"
        "| energy, mJ | 4.36 | 5 nJ |\n"
        "```\n77\n```\n"
    )
    found = [(token.text, token.kind, token.scale) for token in tokens("p", page)]
    assert found == [
        ("71.2", "power", 1e-6), ("3", "", 1.0), ("91", "", 1.0), ("1,024", "", 1.0), ("0.901", "time", 1e-3),
        ("29.01", "share", 0.01), ("0.4", "share", 0.01), ("4.36", "time", 1e-3), ("5", "energy", 1e-9),
    ]  # fmt: skip
    token = Token("p", 1, 0, "0.901", "time", 1e-3, "")
    assert token.matches("time", 0.00090149) and not token.matches("time", 0.0009016)
    assert not token.matches("energy", 0.000901)
    plain = Token("p", 1, 0, "897", "", 1.0, "")
    assert plain.matches("count", 896.6) and not plain.matches("count", 896.4) and not plain.matches("energy", 800e-9)


def test_what_is_nowhere_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "README.md").write_text("It takes 12.34567 mW, a third of\n37.03701 mW, and 5 cycles.\n")
    (tmp_path / "reports/validation.md").write_text("| a | 37.03701 mW |\n")
    explained_ = {
        "tables": {},
        "exceptions": [{"page": "README.md", "text": "a third of 37.03701", "reason": "a test"}],
    }
    monkeypatch.setattr(sys.modules[__name__], "root", lambda: tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "explained", lambda: explained_)
    for cached in (sources, inputs):
        monkeypatch.setattr(sys.modules[__name__], cached.__name__, cached.__wrapped__)
    assert [token.text for token in unexplained("README.md")] == ["12.34567"]
    (tmp_path / "reports/validation.md").write_text("| a | 12.34567 mW |\n")
    assert not unexplained("README.md"), "the other number is explained"
    assert worked_out("(33.46 - 8.09) / 8.09 * 100") == pytest.approx(313.6, abs=0.01)


if __name__ == "__main__":
    for name in pages():
        for one in unexplained(name):
            around = one.context[max(0, one.start - 25) : one.start + len(one.text) + 25]
            print(json.dumps({"page": name, "text": around, "reason": f"line {one.line}, {one.text} {one.kind}"}))
