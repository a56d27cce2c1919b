"""Records, stores, tables of studies and pages that somebody else wrote: a message with the file, or a whole page."""

from __future__ import annotations

import csv
import json
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import full_run, small_sweep

from accelsim import limits
from accelsim.errors import InputError
from accelsim.explore import intervals
from accelsim.explore.front import front_of
from accelsim.explore.intervals import Heard, Spread, error_rates, needed
from accelsim.explore.metrics import read_constraint
from accelsim.explore.store import Store
from accelsim.explore.studies import read_table
from accelsim.report.console import bar
from accelsim.report.folder import write_report
from accelsim.report.headline import portion, share, warnings
from accelsim.result import Result

FIGURES = (0.0, -1.0, 1e308, -1e308, 5e-324, math.inf, -math.inf, math.nan)


@pytest.fixture(scope="module")
def made() -> Result:
    return full_run()


@pytest.fixture
def store(made, tmp_path) -> Path:
    return small_sweep(tmp_path / "sweep", made)


def data_of(page: Path) -> Any:
    """Return the JSON in a page, as a parser reads it that knows no NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    _, _, rest = page.read_bytes().decode().partition('<script type="application/json" id="data">')
    return json.loads(rest.partition("</script>")[0], parse_constant=refuse)


def changed(record: Any, change: Callable[[str, float], float]) -> Any:
    """Return plain data with every figure that is no count replaced."""
    if isinstance(record, dict):
        return {
            key: change(key, value) if isinstance(value, float) else changed(value, change)
            for key, value in record.items()
        }
    if isinstance(record, list):
        return [change("", value) if isinstance(value, float) else changed(value, change) for value in record]
    return record


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("name", ["", "energy", "pace_s", "moved", "gops", "area_mm2", "total_j"])
def test_every_figure_of_a_record_is_shown_as_what_it_is(made, tmp_path, figure, name):
    """All figures at once, or those of one name, whatever they are; what the rest is divided by stays above zero."""

    def change(key: str, value: float) -> float:
        positive = key in ("clock_hz", "seconds", "audio_seconds") and not figure > 0
        return value if positive or name not in key else figure

    data = changed(json.loads(made.to_json()), change)
    if name == "energy":
        data["components"] = changed(data["components"], lambda key, value: figure)
    (tmp_path / "result.json").write_text(json.dumps(data))
    (page,) = write_report(tmp_path, ["html"], tmp_path / "out", lambda _: None)
    data_of(page)
    if name == "area_mm2" and not math.isfinite(figure):
        assert f"{figure:.3f} mm²" in page.read_text()


@pytest.mark.parametrize("figure", FIGURES)
def test_figures_for_papers_leave_out_what_no_axis_can_show(made, tmp_path, figure):
    pytest.importorskip("matplotlib")

    def change(key: str, value: float) -> float:
        return figure if key in ("dynamic", "pace_s", "total_j") else value

    data = changed(json.loads(made.to_json()), change) | {"frame": None}  # what is drawn of a frame are times alone
    (tmp_path / "result.json").write_text(json.dumps(data))
    if figure == 1e308 or not 0 < figure < 1e300 or figure < 1e-300:
        with pytest.raises(InputError, match="no energy to draw: it is "):
            write_report(tmp_path, ["svg"], tmp_path, lambda _: None)
    else:
        assert write_report(tmp_path, ["svg"], tmp_path, lambda _: None)


def test_a_figure_that_is_not_finite_comes_back_from_json(made):
    odd = made.model_copy(update={"power_w": math.nan, "area_mm2": math.inf})
    text = odd.to_json()
    json.loads(text, parse_constant=pytest.fail)
    back = Result.from_json(text)
    assert math.isnan(back.power_w) and back.area_mm2 == math.inf


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["performance"].update(clock_hz=0), "performance.clock_hz: Input should be greater than 0"),
        (lambda d: d["performance"].update(audio_seconds=math.nan), "performance.audio_seconds: Input should be"),
        (lambda d: d["performance"].update(frames=0), "performance.frames: Input should be greater than 0"),
        (lambda d: d["performance"].update(cycles=2**63), "performance.cycles: Input should be less than"),
        (lambda d: d["performance"].update(cycles=10**400), "performance.cycles: "),
        (lambda d: d["layers"][0].update(saturations=-1), "layers.0.saturations: Input should be greater than or eq"),
        (lambda d: d["accuracy"]["per_utterance"]["errors"][1].pop(), "accuracy.per_utterance: Value error, errors"),
        (lambda d: d["components"][0].update(actions={"x" * 500: "y"}), "components.0.actions.'xxx"),
    ],
)
def test_what_no_run_can_tell_is_refused(made, change, message):
    data = json.loads(made.to_json())
    change(data)
    with pytest.raises(InputError) as caught:
        Result.from_json(json.dumps(data), "old/result.json")
    assert f"old/result.json: not an accelsim/result@1 record: {message}" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_all_problems_of_a_record_are_told_and_of_many_the_first(made):
    data = json.loads(made.to_json())
    data["performance"].update(frames=0, cycles="many")
    with pytest.raises(InputError) as caught:
        Result.from_json(json.dumps(data), "result.json")
    assert len(caught.value.problems) == 2
    data |= {f"more_{i}": 0 for i in range(30)}
    with pytest.raises(InputError) as caught:
        Result.from_json(json.dumps(data), "result.json")
    assert len(caught.value.problems) == 13 and "20 more" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"null", b"1" * 5000, b'{"\\ud800": 1}', b"\0" * 99],
)
def test_a_file_that_is_no_record_is_told_with_its_name(accelsim, content):
    Path("run").mkdir()
    Path("run/result.json").write_bytes(content)
    done = accelsim("report", "run")
    assert done.code == 2 and "run/result.json: " in done.err


def test_a_record_is_read_up_to_a_limit(made, tmp_path):
    (tmp_path / "result.json").write_text(made.to_json())
    with limits.within(record_bytes=1000), pytest.raises(InputError, match="larger than 1 kB") as caught:
        Result.read(tmp_path / "result.json")
    assert "--limit record_bytes=" in str(caught.value)


def test_a_record_with_many_parts_has_a_page_and_figures(made, tmp_path):
    """Thousands of components and long names: a picture has no room for them, and is not of thousands of inches."""
    pytest.importorskip("matplotlib")
    parts = [made.components[0].model_copy(update={"name": f"{i} {'x' * 300}"}) for i in range(2000)]
    made.model_copy(update={"components": parts}).write(tmp_path)
    paths = write_report(tmp_path, ["png"], tmp_path, lambda _: None)
    assert all(path.stat().st_size < 1_000_000 for path in paths)


def test_operating_points_of_others_may_count_other_operations(made, tmp_path):
    data = json.loads(made.to_json())
    for point in data["operating_points"].values():
        point["efficiency"]["definitions"].clear()
    (tmp_path / "result.json").write_text(json.dumps(data))
    (page,) = write_report(tmp_path, ["html"], tmp_path, lambda _: None)
    assert ">-</td>" in page.read_text()


def test_shares_and_bars_of_anything():
    assert [portion(*pair) for pair in ((1, 2), (3, 2), (-1, 2), (1, 0), (math.nan, 1), (math.inf, 1))] == [
        0.5, 1, 0, 0, 0, 1,
    ]  # fmt: skip
    assert bar(1e308, 5e-324) == bar(1, 1) and bar(math.nan, 1.0) == bar(-1.0, 1.0) == ""
    assert share(math.nan, 1.0) == "nan%" and share(1.0, 0.0) == "-"


def test_late_frames_of_a_record_with_next_to_no_audio_are_told(made):
    late = made.performance.model_copy(update={"audio_seconds": 5e-324, "deadline_misses": 3})
    assert "3 of 20" in warnings(made.model_copy(update={"performance": late}))[0]


# ---- Stores ----


def damaged(folder: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(folder / "results.sqlite")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return folder


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DROP TABLE layers", "not a store of accelsim: no table 'layers'"),
        ("ALTER TABLE points DROP COLUMN keys", "table 'points' has no column 'keys'"),
        ("ALTER TABLE meta RENAME COLUMN value TO other", "table 'meta' has no column 'value'"),
        ("DELETE FROM meta", "its schema is nothing"),
        ("UPDATE meta SET value = '\"accelsim/store@99\"' WHERE key = 'schema'", "newer than this accelsim"),
        ("UPDATE meta SET value = '\"accelsim/store@²\"' WHERE key = 'schema'", "its schema is 'accelsim/store@²'"),
        ("UPDATE meta SET value = 1 WHERE key = 'schema'", "its schema is 1"),
        ("UPDATE meta SET value = '{' WHERE key = 'axes'", "meta, row: 7.1: Invalid JSON"),
        ("UPDATE meta SET value = '[\"no\"]' WHERE key = 'objectives'", "meta: objectives.0: Value error, no metric"),
        ("UPDATE meta SET value = '[\"area<=no\"]' WHERE key = 'constraints'", "no"),
        ("DELETE FROM meta WHERE key = 'swept'", "swept"),
        ("UPDATE points SET keys = '[1]'", "points, row"),
        ('UPDATE points SET keys = \'{"a": "\\ud800"}\'', "points, row"),
        ("UPDATE points SET power_w = 'much'", "power_w: Input should be a valid number"),
        ("UPDATE points SET energy_j = x'00'", "energy_j: Input should be a valid number"),
        ("UPDATE points SET configuration = NULL", "configuration: Input should be a valid integer"),
        ("UPDATE points SET status = 'perhaps'", "status: Input should be 'done' or 'failed'"),
        ("UPDATE points SET error = CAST(x'41ff' AS TEXT)", "cannot be read: "),
        ("UPDATE points SET result_json = '{}' WHERE result_json IS NOT NULL", "not an accelsim/result@1 record"),
        ("UPDATE points SET result_json = x'00' WHERE result_json IS NOT NULL", "is no text"),
        ("CREATE TRIGGER t AFTER INSERT ON points BEGIN DELETE FROM points; END", "a trigger, 't'"),
        ("UPDATE points SET error = hex(zeroblob(6000000))", "a cell is larger than 5 MB"),
    ],
)
def test_a_store_of_others_is_checked(accelsim, made, statement, message):
    damaged(small_sweep(Path("run"), made), statement)
    done = accelsim("report", "run")
    assert done.code == 2 and "results.sqlite: " in done.err
    assert message in done.err
    assert not Path("run/report.html").exists()


@pytest.mark.parametrize(
    "view",
    [
        "SELECT * FROM old",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS point FROM n",
        "SELECT zeroblob(2000000000) AS point",
    ],
)
@pytest.mark.parametrize("table", ["points", "meta"])
def test_a_table_that_is_a_view_is_not_read(store, table, view):
    damaged(store, f"ALTER TABLE {table} RENAME TO old", f"CREATE VIEW {table} AS {view}")
    with pytest.raises(InputError, match=f"'{table}' is a view"):
        Store.open(store)


def test_what_others_add_to_a_store_is_left_alone(store):
    damaged(
        store, "CREATE VIEW mine AS SELECT * FROM points", "ALTER TABLE points ADD COLUMN note TEXT",
        "ALTER TABLE points ADD COLUMN made TEXT AS (hex(zeroblob(900000000)))",
        "INSERT INTO meta VALUES ('later', '{\"a\": 1}')",
    )  # fmt: skip
    with Store.open(store) as opened:
        assert len(opened.points()) == 7 and opened.meta()["later"] == {"a": 1}


def test_a_store_without_the_columns_of_today_is_read(store):
    damaged(store, "ALTER TABLE points DROP COLUMN allowed", "ALTER TABLE points DROP COLUMN extrapolated")
    with Store.open(store) as opened:
        assert opened.points()[0]["extrapolated"] is None


@pytest.mark.parametrize("figure", ["9e999", "-9e999", "1e308", "-1e308", "0", "NULL"])
def test_every_figure_of_a_store_is_shown(accelsim, store, tmp_path, figure):
    damaged(store, f"UPDATE points SET energy_per_frame_j = {figure}, power_w = {figure} WHERE point < 3")
    done = accelsim("report", "sweep")
    assert done.code == 0, done.err
    data = data_of(store / "report.html")
    front = {point["number"] for point in data["points"] if point["front"]}
    with Store.open(store) as opened:
        found = front_of(opened)
    assert front == {c.number for c in found.front()} and 5 in front
    if figure in ("9e999", "-9e999"):
        assert not front & {0, 1, 2}, "what is not finite beats nothing"
        assert ("inf" if figure == "9e999" else "-inf") in (store / "report.html").read_text()


def test_curves_and_fronts_leave_out_what_no_axis_can_show(store, tmp_path):
    pytest.importorskip("matplotlib")
    damaged(
        store, "UPDATE points SET energy_per_frame_j = 9e999 WHERE point = 0",
        "UPDATE points SET energy_per_frame_j = -1e308 WHERE point = 3",
        "UPDATE points SET keys = json_remove(keys, '$.\"components.adc.precision_bits\"') WHERE point = 4",
        "UPDATE points SET keys = json_set(keys, '$.\"components.crossbar.rows\"', '1.2.3') WHERE point = 5",
    )  # fmt: skip
    assert write_report(store, ["svg"], tmp_path, lambda _: None)


def test_more_points_than_the_limit_are_not_read(store):
    with Store.open(store) as opened, limits.within(points=5), pytest.raises(InputError, match="more than 5 points"):
        opened.points()


def test_rows_of_others_are_not_exported(store):
    damaged(store, "UPDATE layers SET cycles = 'x' WHERE position = 1")
    with Store.open(store) as opened, pytest.raises(InputError, match="layers: a row of point 0 is no 'cycles'"):
        opened.export_csv()


def test_a_sweep_does_not_go_on_with_the_points_of_another(accelsim):
    sweep = (
        "sweep", "rsnn28nm", "-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=1", "-s",
        "clocks.main.frequency=100 kHz,200 kHz", "--objectives", "energy,power", "-o", "out",
    )  # fmt: skip
    assert accelsim(*sweep).code == 0
    assert accelsim(*sweep, "--resume").code == 0
    damaged(Path("out"), 'UPDATE points SET keys = \'{"clocks.main.frequency": "300 kHz"}\' WHERE point = 1')
    done = accelsim(*sweep, "--resume")
    assert done.code == 2 and "results.sqlite: point 1 is not that of this sweep" in done.err


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\x00" + b"\xff" * 4000, b"no database", b"\0" * 9000])
def test_a_search_does_not_go_on_with_what_is_no_study(accelsim, content):
    pytest.importorskip("optuna")
    Path("out").mkdir()
    Path("out/study.sqlite").write_bytes(content)
    search = (
        "search", "rsnn28nm", "-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=1", "-s",
        "clocks.main.frequency=100 kHz,200 kHz", "--objectives", "energy,power", "--trials", "1", "-o", "out",
    )  # fmt: skip
    done = accelsim(*search, "--resume")
    assert done.code == (0 if content == b"" else 1)
    assert content == b"" or "study.sqlite" in done.err


def test_a_study_of_other_values_is_told(accelsim):
    """Optuna keeps for each name what values it may have; its own exception is ValueError."""
    pytest.importorskip("optuna")
    search = (
        "search", "rsnn28nm", "-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=1", "--objectives",
        "energy,power", "--trials", "2", "--resume",
    )  # fmt: skip
    assert accelsim(*search, "-s", "clocks.main.frequency=100 kHz,200 kHz", "-o", "a").code == 0
    other = "-s", "clocks.main.frequency=100 kHz,200 kHz,300 kHz"
    done = accelsim(*search, *other, "--trials", "3", "-o", "b", "--storage", "sqlite:///a/study.sqlite")
    assert done.code == 1 and "cannot use the storage sqlite:///a/study.sqlite: " in done.err


@pytest.mark.parametrize("text", ["area<=nan", "area<=inf", "accuracy>=-1e999"])
def test_a_limit_is_finite(text):
    with pytest.raises(InputError, match="is no limit"):
        read_constraint(text)


# ---- Tables of studies, and pages ----


@pytest.fixture(scope="module")
def rows() -> list[list[str]]:
    with open(Path(__file__).parents[2] / "reports/studies/imssa_noise.csv", newline="") as file:
        return list(csv.reader(file))[:3]


def table(path: Path, lines: list[list[str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return path


def test_a_table_is_read(rows, tmp_path):
    first, second = read_table(table(tmp_path / "a.csv", rows))
    assert first.heard is not None and len(first.heard.lengths) == len(first.heard.errors[0])
    assert first.figures.keys() == second.figures.keys()


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("seed", "x", "'seed': 'x' is no whole number from 0 to 9223372036854775807"),
        ("seed", "-1", "'seed': '-1' is no whole number"),
        ("seed", "1" * 5000, "'seed': "),
        ("power_w", "nan", "'power_w': 'nan' is out of bounds"),
        ("power_w", "1e308", "'power_w': '1e308' is out of bounds"),
        ("power_w", "much", "'power_w': 'much' is not a number"),
        ("components", "[1]", "components: Input should be"),
        ("components", "[" * 50_000, "components: Invalid JSON"),
        ("components", '{"a": {"b": "c"}}', "components"),
        ("lengths", "1 2", "'errors': "),
        ("lengths", "-1", "'lengths': '-1' is no whole number"),
        ("errors", "1 1;2", "'errors': 2 numbers, expected "),
        ("errors", "", "'errors': 0 numbers, expected "),
        ("reference", "1", "'reference': 1 numbers, expected "),
    ],
)
def test_a_cell_of_a_table_is_checked(rows, tmp_path, column, text, message):
    lines = [list(line) for line in rows]
    lines[2][lines[0].index(column)] = text
    with pytest.raises(InputError) as caught:
        read_table(table(tmp_path / "a.csv", lines))
    assert f"a.csv:3: {message}" in str(caught.value)


@pytest.mark.parametrize("change", ["short", "long", "no column", "column twice", "empty", "bytes", "quote", "huge"])
def test_a_table_is_checked(rows, tmp_path, change):
    lines = [list(line) for line in rows]
    path = tmp_path / "a.csv"
    if change == "short":
        lines[1] = lines[1][:-3]
    elif change == "long":
        lines[1] += ["", "x"]
    elif change == "no column":
        lines[0][lines[0].index("lengths")] = "other"
    elif change == "column twice":
        lines[0][5] = lines[0][6]
    table(path, lines)
    if change in ("empty", "bytes", "quote"):
        path.write_bytes({"empty": b"", "bytes": path.read_bytes()[:300] + b"\xff", "quote": b'"a'}[change])
    with limits.within(text_bytes=100 if change == "huge" else 20_000_000), pytest.raises(InputError) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path))


def test_a_page_to_compare_with_is_text(accelsim):
    Path("page.md").write_bytes(b"## A\xff")
    done = accelsim("compare", "rsnn28nm", "--against", "page.md")
    assert done.code == 2 and "page.md: cannot be read: no UTF-8 at byte 4" in done.err


def test_draws_of_utterances_are_the_same_a_few_at_a_time(monkeypatch):
    lengths = tuple(range(1, 40))
    heard = Heard("a test", "words", lengths, (tuple(n % 3 for n in lengths), tuple(n % 2 for n in lengths)))
    whole = error_rates(heard, "accuracy.value", "a run")
    monkeypatch.setattr(intervals, "_MOST_AT_ONCE", 1000)
    np.testing.assert_array_equal(error_rates(heard, "accuracy.value", "a run"), whole)


def test_no_amount_of_speech_tells_two_equal_values_apart():
    assert needed(Spread(1.0, 2.0, 100), 0.0) == needed(Spread(1.0, math.inf, 100), 1.0) == 0
    assert needed(Spread(1.0, 2.0, 100), 1.0) == 100
