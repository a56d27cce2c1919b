"""Tables of studies and pages of comparisons that somebody else wrote, as `accelsim compare` takes them."""

from __future__ import annotations

import csv
import io
import json
import random
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import damaged_json
from harness import Case

_STUDY = b"""schema: accelsim/sweep@1
architecture: rsnn28nm
workload: rsnn_paper_activity
axes:
  - workload.inputs.frames: ["1"]
  - clocks.main.frequency: [100 kHz, 200 kHz]
seeds: 2
objectives: [energy, power]
"""
_PAPER = b"""schema: accelsim/paper@1
name: small
title: A small paper
reference: Someone, 2020
architecture: rsnn28nm
runs:
  slow: {study: small.yaml, point: {clocks.main.frequency: 100 kHz}}
  fast: {study: small.yaml, point: {clocks.main.frequency: 200 kHz}}
figures:
  - {name: error, value: 20, unit: "%", tag: stated, role: predicted, run: slow, path: accuracy.value}
  - {name: more, value: 1.1, unit: "1", tag: derived, role: predicted, run: fast, path: accuracy.value,
     relative_to: slow}
  - {name: MACs, value: 1000, unit: "1", tag: derived, role: predicted, run: fast, path: layers.fc.macs_performed,
     tolerance: 0.1}
"""
FILES = {"small.yaml": _STUDY, "paper.yaml": _PAPER}
COMPARE = ["compare", "paper.yaml", "--studies", "studies"]
_TEXTS = (
    "", " ", "0", "-1", "1", "nan", "inf", "-inf", "1e308", "-1e308", "1e400", "5e-324", "9" * 30, "9" * 5000, "1.5",
    "none", "a b", "1 2 3", "1 2 3;4 5", ";", "1;2;3", "0 0 0", "-5 5 0", "1e3", "[]", "{}", "null", '{"a": 1}', "NaN",
    '{"a": {"b": "c"}}', '{"a": {"b": NaN}}', "[" * 50_000, "\x00", "\x1b[2J", "x" * 200_000, "rsnn28nm", "imssa",
    "/dev/zero", "..", "ä", "/etc", "study.csv", "100 MHz", '"', '"a', "a,b", "a\nb",
)  # fmt: skip


@cache
def _study() -> tuple[str, bytes]:
    """Return the table of the study as text, and its store."""
    from accelsim.cli import app

    with tempfile.TemporaryDirectory() as folder:
        study, table = Path(folder, "small.yaml"), Path(folder, "small.csv")
        study.write_bytes(_STUDY)
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            app(["sweep", str(study), "-o", f"{folder}/out", "--table", str(table)], standalone_mode=False)
        with closing(sqlite3.connect(f"{folder}/out/results.sqlite")) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        return table.read_text(), Path(folder, "out/results.sqlite").read_bytes()


def study_store() -> bytes:
    """Return the store of the study."""
    return _study()[1]


@cache
def _rows() -> tuple[Mapping[str, str], ...]:
    """Return the rows of the table, of digests of today's files; what was heard in it is made up."""
    rows = list(csv.DictReader(io.StringIO(_study()[0])))
    heard = {"dataset": "a test", "counted": "phones", "lengths": "10 12 9", "errors": "2 3 1;2 2 2"}
    made_up = {**heard, "reference": "1 1 1", "accuracy.value": "20.5", "layers.fc.macs_performed": "1003"}
    return tuple(row | made_up for row in rows)


def _whole() -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(_rows()[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows())
    return text.getvalue().encode()


def _damaged(rng: random.Random) -> bytes:
    rows = [dict(row) for row in _rows()]
    header = list(rows[0])
    lines = [list(header), *([row[name] for name in header] for row in rows)]
    heard = ("dataset", "counted", "lengths", "errors", "reference", "accuracy.value", "layers.fc.macs_performed")
    told = [header.index(name) for name in (*heard, *heard, "components", "seed", "architecture", "workload")]
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.choice(told) if rng.random() < 0.7 else rng.randrange(len(header))
        for line in rng.choice((lines[1:], [rng.choice(lines[1:])], [lines[0]])) if len(lines) > 1 else []:
            change = rng.random()
            if change < 0.75 and place < len(line):
                line[place] = rng.choice(_TEXTS)
                if header[place] == "components" and rng.random() < 0.7:
                    data = damaged_json.damaged(rng, json.loads(rows[0]["components"]))
                    line[place] = damaged_json.text_of(data)
            elif change < 0.85:
                del line[place : rng.randrange(len(line) + 1)]
            elif change < 0.92:
                line += [rng.choice(_TEXTS)] * rng.choice((1, 3))
            elif line is not lines[0]:
                lines.remove(line)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))).writerows(lines)
    content = text.getvalue().encode("utf-8", "surrogatepass")
    return damaged_json.spoilt(rng, content) if rng.random() < 0.15 else content


def _page(rng: random.Random) -> bytes:
    lines = [
        "## A small paper", "", "| figure | paper | tag | ours | 5 to 95 % | ratio | role | verdict |",
        "|---|---:|---|---:|---:|---:|---|---|",
        "| error | 20 % | stated | 20.5 % | 16 to 22 | 1 | predicted | holds |",
        "| more | 1.1 | derived | 1 | 0.8 to 1.1 | 0.9 | predicted | *cannot tell* (about 340) |",
    ]  # fmt: skip
    for _ in range(rng.choice((1, 2, 4))):
        place = rng.randrange(len(lines))
        rng.choice(
            (
                lambda place=place: lines.insert(place, rng.choice(damaged_json.TEXTS)),
                lambda place=place: lines.insert(place, "|" * rng.choice((1, 3, 100_000))),
                lambda place=place: lines.__setitem__(place, lines[place].replace("holds", rng.choice(_TEXTS))),
                lambda place=place: lines.__setitem__(place, lines[place][: rng.randrange(40)]),
                lambda place=place: lines.extend(lines * 50) if len(lines) < 1000 else None,
            )
        )()
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    return damaged_json.spoilt(rng, content) if rng.random() < 0.4 else content


class Tables:
    name = "tables"
    weight = 0.5

    @property
    def warm(self) -> tuple[Case, ...]:
        return (Case(FILES | {"studies/small.csv": _whole()}, COMPARE),)

    def case(self, rng: random.Random) -> Case:
        if rng.random() < 0.25:
            files = FILES | {"studies/small.csv": _whole(), "page.md": _page(rng)}
            return Case(files, [*COMPARE, "--against", "page.md"])
        files = FILES | {"studies/small.csv": _damaged(rng)}
        return Case(files, rng.choice((COMPARE, [*COMPARE, "--json"])))


KIND = Tables()
