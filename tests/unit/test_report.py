"""Reports: what the page says, that nothing in it can break out, files whole, figures for papers."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pages import FRONT, GRID, HOSTILE, hostile_run, small_run, small_sweep

from accelsim.errors import InputError
from accelsim.explore import load_paper, paper_beside
from accelsim.explore.front import front_of
from accelsim.explore.store import Store
from accelsim.report.console import bar, strip
from accelsim.report.folder import write_report
from accelsim.report.html import run_page, typeset
from accelsim.report.roofline import roofline
from accelsim.report.sweep_html import shown, sweep_page
from accelsim.result import Result


@pytest.fixture(scope="module")
def made() -> Result:
    return small_run()


@pytest.fixture(scope="module")
def swept(made, tmp_path_factory) -> Path:
    return small_sweep(tmp_path_factory.mktemp("sweep"), made)


class Reader(HTMLParser):
    """The plain text of a page, the data in it, and every address and handler that it names."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.text: list[str] = []
        self.data = ""
        self._in = ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._in = dict(attributes).get("id", "") if tag == "script" else tag
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action", "data")]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]

    def handle_data(self, data):
        if self._in == "data":
            self.data += data
        elif self._in not in ("style", ""):
            self.text.append(data)

    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def test_the_page_of_a_run_says_what_the_console_says(made):
    words = Reader(run_page(made, load_paper("rsnn28nm"))).words()
    for text in (
        "rsnn_paper_activity", "51.00 %", "71.2 µW (100 kHz) calibrated", "0.31 to 0.37 predicted", "weights_fc",
        f"{made.performance.cycles_per_frame:.1f}", f"{made.area_mm2:.3f} mm²", made.arch.sha256,
        "accelsim run rsnn28nm", *made.provenance.assumptions, *made.provenance.calibrated,
    ):  # fmt: skip
        assert typeset(text) in words
    assert "7.50%" in words, "150 of 2,000 conversions clipped"


def test_a_page_names_no_address_outside_itself(made, swept):
    with Store.open(swept) as store:
        pages = [run_page(made), sweep_page(store)]
    for page in pages:
        reader = Reader(page)
        assert all(address.startswith("#") for address in reader.addresses)
        assert set(reader.tags).isdisjoint({"link", "img", "iframe", "object", "embed"})
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)


def test_nothing_from_a_file_can_break_out_of_a_page(made, tmp_path):
    store = small_sweep(tmp_path / "hostile", hostile_run(made), key=HOSTILE)
    with Store.open(store) as opened:
        pages = [run_page(hostile_run(made), load_paper("rsnn28nm")), sweep_page(opened)]
    for page in pages:
        reader = Reader(page)
        assert "img" not in reader.tags and reader.tags.count("script") == 2
        assert not reader.handlers
        assert HOSTILE in reader.words(), "shown as what it is"
        json.loads(reader.data)


def test_the_front_in_the_page_is_the_one_known_by_hand(swept):
    with Store.open(swept) as store:
        found = front_of(store)
        page = Reader(sweep_page(store))
    data = json.loads(page.data)
    assert [c.number for c in found.front()] == list(FRONT)
    assert [p["number"] for p in data["points"] if p["front"]] == list(FRONT)
    # The box from (1 nJ, 10 %) to (9 nJ, 40 %) is 8 x 30; dominated: 1 nJ wide from (1, 30) up: 1 x 10, then 2 to 8 nJ
    # from (2, 20) up: 6 x 20, then 8 to 9 nJ from (8, 10) up: 1 x 30. Together 160 of 240.
    assert found.share == pytest.approx(160 / 240)
    assert "66.7%" in page.words()
    assert "1 failed" in page.words() and "too large" in page.words()


def test_the_configurations_in_the_page_are_those_of_the_store(swept):
    with Store.open(swept) as store:
        data = json.loads(Reader(sweep_page(store)).data)
    axes = {axis["name"]: axis for axis in data["axes"]}
    rows = [axes["crossbar.rows"]["texts"][int(i)] for i in axes["crossbar.rows"]["values"]]
    bits = [axes["adc.precision_bits"]["texts"][int(i)] for i in axes["adc.precision_bits"]["values"]]
    figures = zip(axes["energy per frame"]["values"], axes["error"]["values"], strict=True)
    assert axes["crossbar.rows"]["texts"] == ["64", "128", "256"], "by size, not by spelling"
    assert {
        (r, b): (round(joules * 1e9, 9), error) for r, b, (joules, error) in zip(rows, bits, figures, strict=True)
    } == GRID


def test_only_configurations_that_keep_the_constraints_are_on_the_front(made, tmp_path):
    folder = small_sweep(tmp_path / "search", made)
    with Store.open(folder) as store:
        store._connection.execute("UPDATE meta SET value = '[\"error<=28\"]' WHERE key = 'constraints'")
        found = front_of(store)
    # Without 1 (30 %) its neighbour 2 (2 nJ, 20 %) and 5 (8 nJ, 10 %) are left.
    assert [c.number for c in found.front()] == [2, 5]
    assert [c.number for c, allowed in zip(found.done, found.allowed, strict=True) if not allowed] == [0, 1, 4]


def test_layers_lie_under_their_roofs_and_move_what_was_counted(made):
    """Bytes by hand: the chip's weight memories are 512 bits wide, so a read moves 64 bytes."""
    spots = roofline(made)
    assert spots
    for spot in spots:
        assert 0 < spot.rate <= spot.roof * (1 + 1e-9), f"{spot.layer} on {spot.path}"
    moved: dict[str, float] = {}
    for layer in made.layers:
        for path, amount in layer.moved_bytes.items():
            moved[path] = moved.get(path, 0.0) + amount
    for component in made.components:
        if component.kind == "sram":
            assert moved[component.name] == 64 * component.actions["read"]
    # A layer is no faster than its busiest component, and all layers together no slower than the run.
    pace_cycles = sum(layer.pace_s for layer in made.layers) * made.performance.clock_hz
    busiest = max(component.busy_cycles for component in made.components)
    assert busiest <= round(pace_cycles) <= made.performance.cycles
    # 2 macros of 512 bits read every cycle at 100 kHz.
    peaks = {c.name: c.peak_bytes_per_s for c in made.components}
    assert peaks["weights_fc"] == pytest.approx(2 * 64 * 100e3)


@pytest.mark.parametrize(
    ("text", "shown_as"),
    [
        ("71.2 uW", "71.2 µW"), ("5 utterances", "5 utterances"), ("0.3 mm2, 4 mW/mm2", "0.3 mm², 4 mW/mm²"),
        ("mm2ish", "mm2ish"), ("4 to 5 us", "4 to 5 µs"),
    ],
)  # fmt: skip
def test_units_are_set_as_in_print(text, shown_as):
    assert typeset(text) == shown_as


def test_figures_have_their_unit_and_sensible_digits():
    assert shown(6.0634e-9, "J") == "6.063 nJ"
    assert shown(50.3942, "%") == "50.39 %"
    assert shown(123456.7, "") == "123,457"


def test_bars_of_the_console():
    assert bar(1, 2, width=4) == "██"
    assert bar(0, 0) == ""
    assert bar(1, 64, width=8) == "▏", "an eighth of a character"
    assert strip((1, 1, 1, 1), width=8) == "██▓▓░░··"
    assert strip((0, 0, 0, 0), width=4) == ""
    assert all(len(strip((a, 7, 1, 3), width=16)) == 16 for a in range(30))


def test_reports_of_a_folder(made, swept, tmp_path):
    made.write(tmp_path / "run")
    assert write_report(tmp_path / "run", ["html"], tmp_path / "run", paper_beside) == [
        tmp_path / "run" / "report.html"
    ]
    assert write_report(swept, ["html"], tmp_path / "out", lambda _: None) == [tmp_path / "out" / "report.html"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html"], "no temporary file is left"


def test_the_same_folder_gives_the_same_page(made, tmp_path):
    made.write(tmp_path)
    (first,) = write_report(tmp_path, ["html"], tmp_path / "a", lambda _: None)
    (again,) = write_report(tmp_path, ["html"], tmp_path / "b", lambda _: None)
    assert first.read_bytes() == again.read_bytes()


def test_folders_that_hold_no_result(made, tmp_path):
    made.write(tmp_path / "runs" / "peak")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "result.json").write_text("{}")
    for folder, message in (
        ("nowhere", "no folder .*nowhere"),
        ("empty", "holds neither result.json nor results.sqlite"),
        ("runs", "try .*peak"),
        ("broken", r"result.json: not an accelsim/result@1 record: performance: Field required"),
    ):
        with pytest.raises(InputError, match=message):
            write_report(tmp_path / folder, ["html"], tmp_path / "out", lambda _: None)
    with pytest.raises(InputError, match=r"no format 'pfd' \(did you mean 'pdf'"):
        write_report(tmp_path / "runs" / "peak", ["pfd"], tmp_path / "out", lambda _: None)
    assert not (tmp_path / "out").exists()


def test_figures_for_papers(made, swept, tmp_path):
    pytest.importorskip("matplotlib")
    made.write(tmp_path / "run")
    of_run = write_report(tmp_path / "run", ["pdf", "svg", "png"], tmp_path / "figures", lambda _: None)
    of_sweep = write_report(swept, ["pdf"], tmp_path / "figures", lambda _: None)
    names = [path.name for path in (*of_run, *of_sweep)]
    assert names == [
        "energy.pdf", "energy.svg", "energy.png", "roofline.pdf", "roofline.svg", "roofline.png",
        "timeline.pdf", "timeline.svg", "timeline.png", "pareto_error.pdf",
        "curves_energy.pdf", "curves_error.pdf",
    ]  # fmt: skip
    for path in (*of_run, *of_sweep):
        data = path.read_bytes()
        if path.suffix == ".pdf":
            # 3.5 inches of 72 points; every font is embedded TrueType, none of Type 3.
            assert re.search(rb"/MediaBox \[ ?0 0 252 ", data)
            assert b"/FontFile2" in data and b"/Type3" not in data
        elif path.suffix == ".svg":
            assert b"<text" not in data, "letters are outlines: no font is needed to show them"
            assert b'width="252pt"' in data
        else:
            assert int.from_bytes(data[16:20], "big") == 1050, "3.5 inches at 300 dots"
    again = write_report(tmp_path / "run", ["pdf"], tmp_path / "again", lambda _: None)
    assert again[0].read_bytes() == of_run[0].read_bytes(), "no date in it"
