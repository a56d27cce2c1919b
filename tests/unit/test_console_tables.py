"""What a run says on a terminal of 80, 100 and 160 columns, word for word, and that nothing ever breaks into columns.

The records are those of tests/golden. ``python tests/unit/test_console_tables.py`` writes the snapshots anew.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.text import Text

from accelsim.report.console import MOST_ROWS, PlainTable, rows_table, summary
from accelsim.report.headline import MOST_LINES, head, headlines
from accelsim.result import Result

RECORDED = Path(__file__).parents[1] / "golden" / "recorded"
SNAPSHOTS = Path(__file__).parent / "console"
WIDTHS = (80, 100, 160)
SHOWN = ("rsnn28nm", "imssa", "memristor_conformer", "edge_npu", "wake_word_digital28")
ALL = sorted(path.name.removesuffix(".json.gz") for path in RECORDED.iterdir())


def result(name: str) -> Result:
    """Return a recorded run, which lacks what differs between two runs of the same thing."""
    kept = json.loads(gzip.decompress((RECORDED / f"{name}.json.gz").read_bytes()))["result"]
    for identity in ("arch", "workload"):
        kept[identity]["sha256"] = "0" * 64
    return Result.model_validate({**kept, "versions": {}, "command": "accelsim run"})


def lines(what: RenderableType, width: int, terminal: bool = True) -> list[str]:
    """Return what a console prints, without colours and without blanks at the ends of lines."""
    out = io.StringIO()
    options = {"markup": False, "emoji": False, "color_system": None, "legacy_windows": False}
    Console(file=out, width=width, force_terminal=terminal, **options).print(what)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def file_of(name: str, width: int) -> Path:
    return SNAPSHOTS / f"{name}_{width}.txt"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SHOWN)
def test_word_for_word(name: str, width: int) -> None:
    assert lines(summary(result(name)), width) == file_of(name, width).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", ALL)
def test_every_recorded_run_fits(name: str) -> None:
    record = result(name)
    title, told = head(record)
    assert 1 + len(told) <= MOST_LINES
    for width in WIDTHS:
        shown = lines(summary(record), width)
        assert max(map(cell_len, shown)) <= width
        begin = shown.index(title)
        for line, at in zip(told, shown[begin + 1 :], strict=False):
            assert at.startswith(line.name) and line.parts[0] in at, (
                "a figure of the first block is on a line of its own"
            )
        tables = shown[begin + 1 + len(told) :]
        assert not any("…" in line for line in tables), "no name is cut short"
        rows = [line for line in tables if re.match(r"\S+ .*(J|nothing) +(-|[0-9.]+%)", line)]
        layers, components = (min(len(one), MOST_ROWS) for one in (record.layers, record.components))
        assert components < len(rows) <= layers + components, "a row is a line"
        full = lines(summary(record, full=True), width)
        assert max(map(cell_len, full)) <= width
        text = "\n".join(full)
        assert all(row.name in text and row.values[0] in text for row in headlines(record)), "--full has every figure"
        assert all(component.name in text for component in record.components)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    record = result("memristor_conformer")
    shown = lines(summary(record), 80)
    assert shown[-1] == "--full shows every figure, read disturb, float16, saturated, 9 assumed"
    others = next(line for line in shown if re.match(r"\d+ others", line))
    together = sum(float(line.split("%")[-2].split()[-1]) for line in shown if "others" in line or " x 4" in line)
    assert 95 < together <= 100.5, f"the rows are all of the energy: {others}"
    assert "assumed" in "\n".join(lines(summary(record, full=True), 80))


def test_what_was_heard_stands_below_the_first_block() -> None:
    record = result("rsnn28nm").model_copy(update={"instead_of": "mini_librispeech/test", "skipped": {"empty": 2}})
    shown = lines(summary(record), 160)
    end = 1 + len(head(record)[1])
    assert sum("sample" in line for line in shown) == 1, "the block has a line of it"
    assert shown[end] == "left out 2 empty of the recordings, as 'skip' of workload.inputs says"
    assert "sample" not in shown[-1], "what is shown is not among what --full adds"
    assert sum("left out 2 empty" in line for line in lines(summary(record, full=True), 160)) == 1


def test_piped_output_is_plain_and_the_same_everywhere(accelsim, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("run", "rsnn28nm", "-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=20")
    plain = accelsim(*command).out
    for name, value in (("COLUMNS", "40"), ("FORCE_COLOR", "1"), ("TERM", "dumb"), ("TTY_COMPATIBLE", "1")):
        monkeypatch.setenv(name, value)
    assert accelsim(*command).out == plain
    assert plain.isascii() and "\x1b" not in plain, "no bars, no colours"
    assert not any(line != line.rstrip() for line in plain.splitlines())
    listed = accelsim("list").out.splitlines()
    assert [line.partition(": ")[0] for line in listed] == [
        "architectures",
        "workloads",
        "cost tables",
        "devices",
        "wires",
        "papers",
    ], "a text is one line, however long"


CELLS = st.text(
    st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=26
)  # no more than there is beside a short name


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(42, 200))
def test_no_cell_of_any_table_breaks(data: st.DataObject, width: int) -> None:
    """At any width each line fits and each cell stands on one line, but for columns that may be left out or wrap."""
    count = data.draw(st.integers(1, 9))
    table = PlainTable(keys=data.draw(st.integers(1, 2)))
    ranks = [0, *(data.draw(st.sampled_from((0, 0, 1, 2))) for _ in range(count - 1))]
    for place, rank in enumerate(ranks):
        table.add_column(f"h{place}", rank=rank)
    rows = [[data.draw(CELLS) for _ in range(count)] for _ in range(data.draw(st.integers(1, 4)))]
    for row in rows:
        table.add_row(*row)
    shown = lines(table, width)
    assert max(map(cell_len, shown)) <= width
    words = {word for line in shown for word in line.split()}
    for row in rows:
        for place, (cell, rank) in enumerate(zip(row, ranks, strict=True)):
            if place > 0 and rank == 0:
                assert cell in words
    wide = lines(table, 10_000)
    assert [line.split() for line in wide[1:]] == rows


def test_a_column_of_words_wraps_before_the_table_is_parted() -> None:
    table = PlainTable()
    table.add_column("name")
    table.add_column("why", wraps=20)
    table.add_column("share", justify="right")
    table.add_row("a" * 20, "many words that say why it is so " * 3, "12.5%")
    shown = lines(table, 60)
    assert len(shown) > 2 and "12.5%" in shown[1], "in one piece"
    assert shown[1].split()[1:3] == ["many", "words"]
    assert max(map(cell_len, shown)) <= 60


def test_long_texts_leave_names_whole() -> None:
    """A schedule: a column of words wider than the room breaks between them, below the others, beside whole names."""
    rows = [{"job": f"l1.feedforward.{i}", "component": "fc_accumulator", "work": "matrix=recurrent, walk=shared, " * 4}
            for i in range(2)]  # fmt: skip
    shown = lines(rows_table(rows), 80)
    assert sum(line.startswith("l1.feedforward.1 ") for line in shown) in (1, 2)
    assert max(map(cell_len, shown)) <= 80 and not any("…" in line for line in shown)
    assert sum(line.count("walk=shared") for line in shown) == 8


def test_a_drawn_column_is_for_those_who_look() -> None:
    table = PlainTable()
    table.add_column("name")
    table.add_column("", drawn=True, rank=1)
    table.add_row("a", Text("█████"))
    assert "█████" in lines(table, 80)[-1] and "█" not in lines(table, 80, terminal=False)[-1]


if __name__ == "__main__":
    SNAPSHOTS.mkdir(exist_ok=True)
    for name in SHOWN:
        for width in WIDTHS:
            text = "\n".join(lines(summary(result(name)), width)) + "\n"
            file_of(name, width).write_text(text, encoding="utf-8")
