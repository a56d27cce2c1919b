"""Comparing: bounds of a figure, paths into a result, Markdown pages, studies, chips, and what is refused."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from accelsim import cli, run
from accelsim.errors import InputError
from accelsim.explore import ChipRow, compare, compare_chips, load_paper
from accelsim.explore import comparison as explored
from accelsim.explore.paths import value_at
from accelsim.explore.store import Store
from accelsim.explore.sweep import load_sweep, run_sweep
from accelsim.library import root
from accelsim.report.comparison import chips_markdown, chips_table, markdown, place
from accelsim.result import AccuracyRecord, AdcRecord, PluginRecord, Result
from accelsim.schema.paper import Figure

ACCURACY = AccuracyRecord(
    metric="m", value=1, low=1, high=1, reference_value=None, loss=None, n=1, counted="words", unit="%", dataset="d",
    runs=[1.0],
)  # fmt: skip
SHORT = {"workload.inputs.frames": "20"}

PAPER = """\
schema: accelsim/paper@1
name: mine
title: A paper
reference: Someone, Some Journal
architecture: rsnn28nm
runs:
  base: {workload: rsnn_paper_activity, set: {workload.inputs.frames: "20"}}
figures:
  - {name: complexity, value: 50, unit: MMAC/s, tag: stated, role: predicted, factor: 5,
     run: base, path: performance.mmac_per_audio_second, note: a factor}
  - {name: fc share, value: 0.5, unit: "1", tag: derived, role: bookkeeping, tolerance: 0.1,
     run: base, path: components.weights_fc.area_mm2, per: area_mm2}
  - {name: memory, value: 150528, unit: B, tag: stated, role: input, run: base, path: memory_bytes.sram}
"""


def figure(**more: object) -> Figure:
    basis = {"name": "f", "value": 1, "unit": "1", "tag": "stated", "role": "predicted", "run": "r", "path": "power_w"}
    return Figure.model_validate(basis | more)


@pytest.mark.parametrize(
    ("bounds", "ratio", "holds"),
    [
        ({}, 100.0, None),
        ({"tolerance": 0.2}, 1.2, True),
        ({"tolerance": 0.2}, 1.21, False),
        ({"tolerance": 0.2}, 0.79, False),
        ({"factor": 3}, 3.0, True),
        ({"factor": 3}, 3.1, False),
        ({"factor": 4}, 0.25, True),
        ({"factor": 4}, 0.24, False),
    ],
)
def test_bounds(bounds: dict[str, float], ratio: float, holds: bool | None) -> None:
    assert figure(**bounds).holds(ratio) is holds


def test_only_figures_that_could_be_wrong_are_judged() -> None:
    for role in ("input", "calibrated"):
        for bounds in ({"tolerance": 0.1}, {"factor": 2}):
            with pytest.raises(ValidationError, match="only a predicted figure can be judged"):
                figure(role=role, **bounds)
    assert figure(role="bookkeeping", tolerance=0.1).judged()
    with pytest.raises(ValidationError, match="bookkeeping needs a tolerance or a factor"):
        figure(role="bookkeeping")
    with pytest.raises(ValidationError, match="either a tolerance or a factor"):
        figure(tolerance=0.1, factor=2)


def test_the_page_says_what_holds_and_is_the_same_again(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(PAPER)
    comparison = compare(tmp_path / "mine.yaml")
    result = comparison.results["base"]
    assert value_at(result, "components.weights_fc.area_mm2") == pytest.approx(2 * 0.082575, rel=1e-4)
    with pytest.raises(InputError, match=r"a result has no 'components\.wieghts_fc\.area_mm2'"):
        value_at(result, "components.wieghts_fc.area_mm2")
    # 0.16515 of 0.3139 mm2 is 0.526, a ratio of 1.052.
    assert comparison.rows[1].ratio == pytest.approx(1.052, abs=1e-3)
    assert comparison.holds()
    page = markdown([comparison])
    assert page == markdown([compare(tmp_path / "mine.yaml")])
    lines = page.splitlines()
    assert "## A paper" in lines
    assert any(line.startswith("| complexity | 50 MMAC/s |") and "within a factor of 5" in line for line in lines)
    (share,) = [re.split(r" ?\| ?", line)[1:-1] for line in lines if line.startswith("| fc share |")]
    assert share[:4] + share[5:] == [
        "fc share",
        "0.5",
        "derived",
        "0.5261",
        "1.052",
        "bookkeeping",
        "holds (within 10%)",
    ]
    assert re.fullmatch(r"0\.[\d]+ to 0\.[\d]+", share[4])
    assert "- complexity: a factor" in lines
    assert all(line.count("|") == 9 for line in lines if line.startswith("|"))


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("performance.mmac_per_audio_secon", r"did you mean 'mmac_per_audio_second'"),
        ("performance", ""),
        ("arch.name", ""),
        ("components.weights_fc.aera_mm2", r"did you mean 'area_mm2'"),
        ("power_w.value", ""),
    ],
)
def test_a_wrong_path_is_told_before_anything_runs(tmp_path: Path, path: str, hint: str) -> None:
    (tmp_path / "mine.yaml").write_text(PAPER.replace("path: memory_bytes.sram", f"path: {path}"))
    with pytest.raises(InputError, match=rf"mine\.yaml:13: .*a result has no number at '{path}'.*{hint}"):
        load_paper(tmp_path / "mine.yaml")


def test_two_chips() -> None:
    (first, second), rows = compare_chips(["rsnn28nm", "rsnn28nm"], "rsnn_paper_activity", overrides=SHORT)
    assert first == second
    assert {row.ratios for row in rows} == {(1.0,)}
    assert {row.best for row in rows} == {frozenset()}, "neither is better"
    assert "error_percent" not in {row.metric.name for row in rows}, "a workload without accuracy"


@pytest.fixture
def chips(tmp_path: Path) -> list[Path]:
    """The chip as it is, at twice the clock, and with frames back to back."""
    text = re.sub(r"(?m)^operating_points:\n .*\n", "", (root() / "arch/rsnn28nm.yaml").read_text())
    changes = {
        "base": ("", ""),
        "fast": ("frequency: 100 kHz", "frequency: 200 kHz"),
        "packed": ("mode: real_time, frame_period: 10 ms", "mode: back_to_back"),
    }
    for name, (was, now) in changes.items():
        assert was in text
        changed = text.replace("name: rsnn28nm", f"name: {name}", 1).replace(was, now, 1 if was else 0)
        (tmp_path / f"{name}.yaml").write_text(changed)
    return [tmp_path / f"{name}.yaml" for name in changes]


def test_three_chips(chips: list[Path]) -> None:
    told: list[tuple[str, int, int]] = []
    results, rows = compare_chips(chips, "rsnn_paper_activity", overrides=SHORT, on_run=lambda *now: told.append(now))
    assert told == [(str(chip), done, 3) for done, chip in enumerate(chips)]
    assert [result.arch.name for result in results] == ["base", "fast", "packed"]
    found = {row.metric.name: row for row in rows}
    assert all((len(row.values), len(row.ratios)) == (3, 2) for row in rows)
    # The same work in as many cycles, of half the length.
    assert found["latency_p99_s"].ratios[0] == pytest.approx(0.5)
    assert found["duty_cycle"].ratios[0] == pytest.approx(0.5)
    assert found["cycles_per_frame"].ratios[0] == 1.0
    assert found["audio_per_frame_s"].values == pytest.approx((0.01, 0.01, 0.01))
    assert found["duty_cycle"].values[2] == 1, "back to back"
    assert found["duty_cycle"].best == {1} and found["area_mm2"].best == frozenset()
    assert found["energy_per_audio_second_j"].best == {2}, "the least time to leak in"
    for row in rows:
        for value, ratio in zip(row.values[1:], row.ratios, strict=True):
            assert ratio is None or ratio == pytest.approx(value / row.values[0])
    assert not {"error_percent", "dram_bytes_per_audio_second"} & found.keys(), "no chip has them"


def side_by_side(
    monkeypatch: pytest.MonkeyPatch, *changes: dict[str, Any]
) -> tuple[tuple[Result, ...], dict[str, ChipRow]]:
    """Compare Results that differ from one of a real run in what is given: parts of the record, and keys of them."""
    base = run("rsnn28nm", "rsnn_paper_activity", overrides={"workload.inputs.frames": "4"})
    made = []
    for number, change in enumerate(changes):
        whole = {
            key: new if not isinstance(new, dict) or getattr(base, key) is None else
            getattr(base, key).model_copy(update=new)
            for key, new in change.items()
        }  # fmt: skip
        made.append(base.model_copy(update={"arch": base.arch.model_copy(update={"name": f"chip{number}"}), **whole}))
    later = iter(made)
    monkeypatch.setattr(explored, "_run_chip", lambda *_, **__: (next(later), {}))
    results, rows = compare_chips(["rsnn28nm"] * len(made), "rsnn_paper_activity", overrides=SHORT)
    return results, {row.metric.name: row for row in rows}


def frames(number: int, cycles: float, duty: float = 0.5) -> dict[str, Any]:
    return {"frames": number, "audio_seconds": 2.0, "cycles_per_frame": cycles, "duty_cycle": duty}


def speech(error: float, metric: str = "word error rate", dataset: str = "books/test") -> AccuracyRecord:
    return ACCURACY.model_copy(update={"value": error, "metric": metric, "dataset": dataset, "n": 1200, "runs": []})


def test_ratios_and_best_values_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    _, rows = side_by_side(
        monkeypatch,
        {"performance": frames(200, 100, 0.5), "area_mm2": 2.0, "power_w": 0.0, "efficiency": {"tops_per_w": 4.0}},
        {"performance": frames(200, 50, 0.0), "area_mm2": 1.0, "power_w": 1.0, "efficiency": {"tops_per_w": 1.0}},
        {"performance": frames(200, 400, 37.9), "area_mm2": 1.0, "power_w": 2.0, "efficiency": {"tops_per_w": 5.0}},
        {"performance": frames(200, 50, 0.25), "area_mm2": 3.0, "power_w": 2.0, "efficiency": {"tops_per_w": 5.0}},
    )
    expected = {
        "cycles_per_frame": ((100, 50, 400, 50), (0.5, 4, 0.5), {1, 3}),
        "area_mm2": ((2, 1, 1, 3), (0.5, 0.5, 1.5), {1, 2}),
        "tops_per_w": ((4, 1, 5, 5), (0.25, 1.25, 1.25), {2, 3}),
        # Nothing is a multiple of nothing.
        "power_w": ((0, 1, 2, 2), (None, None, None), {0}),
        # Records of before have none where frames came back to back, and more than 1 where they overlapped.
        "duty_cycle": ((0.5, None, None, 0.25), (None, None, 0.5), {3}),
        "audio_per_frame_s": ((0.01, 0.01, 0.01, 0.01), (1, 1, 1), set()),
    }
    for name, (values, ratios, best) in expected.items():
        assert (rows[name].values, rows[name].ratios, rows[name].best) == (values, ratios, best), name


@pytest.mark.parametrize(("frames_of_second", "direct"), [(200, True), (192, True), (189, False), (2, False)])
def test_frames_of_other_lengths_have_no_best_latency(
    monkeypatch: pytest.MonkeyPatch, frames_of_second: int, direct: bool
) -> None:
    _, rows = side_by_side(
        monkeypatch,
        {"performance": frames(200, 100), "power_w": 2.0},
        {"performance": frames(frames_of_second, 50), "power_w": 1.0},
    )
    assert rows["audio_per_frame_s"].values == (0.01, 2 / frames_of_second)
    assert rows["audio_per_frame_s"].best == frozenset(), "longer is neither better nor worse"
    assert rows["cycles_per_frame"].ratios == (0.5,)
    assert rows["cycles_per_frame"].best == ({1} if direct else set())
    assert rows["power_w"].best == {1}


def test_error_rates_compare_of_one_kind_on_the_same_speech_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for second, third, ratios, best, label in (
        (speech(5.0), None, (0.5, None), {1}, "word error rate / no accuracy"),
        (speech(5.0), speech(4.0), (0.5, 0.4), {2}, "word error rate"),
        (speech(5.0), speech(4.0, "phoneme error rate"), (0.5, None), set(), "word error rate / phoneme error rate"),
        (speech(5.0), speech(4.0, dataset="news/test"), (0.5, None), set(), "word error rate (of different speech)"),
    ):
        results, rows = side_by_side(monkeypatch, {"accuracy": speech(10.0)}, {"accuracy": second}, {"accuracy": third})
        row = rows["error_percent"]
        assert (row.ratios, row.best) == (ratios, best), label
        assert list(map(str, chips_table(results, [row]).columns[0].cells)) == [label]


def test_the_page_of_chips_says_what_was_heard_and_what_is_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    results, rows = side_by_side(
        monkeypatch,
        {"accuracy": speech(10.0), "performance": {"utterances": 3}, "area_mm2": 2.0},
        {"accuracy": None, "area_mm2": 1.0},
        {
            "accuracy": speech(9.0).model_copy(update={"runs": [8.0, 10.0], "reference_value": 7.5}),
            "area_mm2": 3.0,
            "provenance": {
                "predicted": ["area"],
                "calibrated": [],
                "assumptions": ["5 | 6\nbits", "a <b>"],
                "plugins": [
                    PluginRecord(
                        group="accelsim.ops",
                        name="gate",
                        distribution=None,
                        version=None,
                        module="my_gate.py",
                        sha256=None,
                    )
                ],
            },
        },
    )
    page = chips_markdown(results, list(rows.values()), "accelsim compare a b c -o chips.md")
    lines = page.splitlines()
    assert lines[0] == "# Chips side by side" and "accelsim compare a b c -o chips.md" in lines
    head = "| figure | chip0<br>rsnn_paper_activity | chip1<br>rsnn_paper_activity | chip2<br>rsnn_paper_activity |"
    assert f"{head} second / first | third / first |" in lines
    assert "| word error rate / no accuracy | 10 % | none | **9 %** | - | 0.9 |" in lines
    assert "| area | 2 mm2 | **1 mm2** | 3 mm2 | 0.5 | 1.5 |" in lines
    assert all(line.count("|") == 7 for line in lines if line.startswith("|"))
    assert (
        "- chip0: word error rate 10.00 % on `books/test`, 3 utterances, 1,200 words; 95 % interval 1.0 to 1.0" in lines
    )
    assert "- chip1: no accuracy: `rsnn_paper_activity` recognises nothing" in lines
    assert any(line.endswith(", mean of 2 programmings; the network in float 7.50 %") for line in lines)
    assert (
        sum(line.startswith("    - calibrated: components.pe.switch_cycles = 1, fitted to 574") for line in lines) == 2
    )
    last = lines[lines.index("- chip2") + 1 :]
    assert last == [
        "    - predicted: area", "    - calibrated: nothing", r"    - assumptions: 5 \| 6 bits; a \<b\>",
        "    - plug-ins: gate of my_gate.py",
    ]  # fmt: skip


def test_mistakes_in_any_chip_are_told_before_the_first_runs(chips: list[Path]) -> None:
    chips[1].write_text(chips[1].read_text().replace("pes: 128", "pse: 128"))
    chips[2].write_text(chips[2].read_text().replace("kind: lif, units: 128", "kind: lif, units: many"))

    def on_run(*_: object) -> None:
        raise AssertionError("a chip runs")

    with pytest.raises(InputError) as error:
        compare_chips(chips, "rsnn_paper_activity", overrides=SHORT, on_run=on_run)
    assert re.search(r"fast\.yaml:\d+: unknown key 'pse'", str(error.value)), error.value
    assert re.search(r"packed\.yaml:\d+: .*'many'", str(error.value))
    with pytest.raises(InputError, match="expected two or more architectures to compare, found 1"):
        compare_chips(chips[:1], on_run=on_run)
    with pytest.raises(InputError):  # a network that the second chip cannot run
        compare_chips(["memristor_tile", chips[0]], "tile_frames", on_run=on_run)


def test_places() -> None:
    assert [place(index) for index in (0, 2, 9, 10, 20)] == ["first", "third", "tenth", "chip_11", "chip_21"]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["accelsim", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


def test_page_and_table_from_the_command_line(call, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(PAPER)
    code, out, err = call("compare", "mine.yaml", "--out", "reports/page.md")
    assert code == 0
    assert "complexity: a factor" in out
    assert "wrote reports/page.md" in err
    assert (tmp_path / "reports/page.md").read_text().startswith("# Validation")
    (tmp_path / "mine.yaml").write_text(PAPER.replace("factor: 5", "factor: 1.01"))
    # A known miss stays on the page; only one that the page does not have is a failure.
    code, out, _ = call("compare", "mine.yaml", "--out", "reports/new.md")
    assert code == 0 and "1 bookkeeping: 1 hold" in out and "1 predicted: 0 hold, 1 miss" in out
    page = (tmp_path / "reports/new.md").read_text()
    assert "**misses** (within a factor of 1.01)" in page
    code, _, err = call("compare", "mine.yaml", "--against", "reports/page.md")
    assert code == 1 and "A paper: complexity: was holds, is misses" in err and "fc share" not in err
    assert call("compare", "mine.yaml", "--against", "reports/new.md")[0] == 0
    # The page that is judged by may be the one that is written.
    assert call("compare", "mine.yaml", "--against", "reports/page.md", "--out", "reports/page.md")[0] == 1
    assert (tmp_path / "reports/page.md").read_text() == page
    assert call("compare", "mine.yaml", "--against", "reports/page.md")[0] == 0


def test_chips_from_the_command_line(call, tmp_path: Path) -> None:
    chips = ("rsnn28nm", "rsnn28nm", "-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=20")
    code, out, _ = call("compare", *chips)
    assert code == 0
    assert re.search(r" second\n .* / first\n", out), "a chip and the ratios in two lines of head"
    for name in ("cycles per frame", "latency p50", "energy per frame", "power", "area", "tops per w", "gops per mm2"):
        assert name in out
    code, out, _ = call("compare", *chips, "--json", "--out", "runs")
    data = json.loads(out)
    assert data["chips"] == ["rsnn28nm", "rsnn28nm"]
    assert {row["ratio"] for row in data["figures"]} == {1.0}
    assert all([row["first"], row["second"]] == row["values"] for row in data["figures"])
    assert (tmp_path / "runs/second/result.json").is_file()


def test_three_chips_from_the_command_line(call, chips: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    files = [chip.name for chip in chips]
    short = ("-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=20")
    code, out, err = call("compare", *files, *short, "-o", "pages/chips.md")
    assert code == 0 and "wrote pages/chips.md" in err
    lines = out.splitlines()
    assert lines[0].split() == ["base", "fast", "packed", "second", "third"]
    assert lines[1].split()[-4:] == ["/", "first", "/", "first"]
    assert max(map(len, lines)) <= 120
    cells = {re.split(r" {2,}", line)[0]: re.split(r" {2,}", line)[1:] for line in lines[2:]}
    assert cells["audio per frame"] == ["10 ms", "10 ms", "10 ms", "1", "1"]
    assert cells["duty cycle"][2:4] == ["1", "0.5"]
    page = Path("pages/chips.md").read_text()
    assert "accelsim compare base.yaml fast.yaml packed.yaml -w rsnn_paper_activity" in page
    assert "| audio per frame | 10 ms | 10 ms | 10 ms | 1 | 1 |" in page

    code, out, _ = call("compare", *files, *short, "--json", "-o", "runs")
    data = json.loads(out)
    assert data["chips"] == ["base", "fast", "packed"]
    assert {tuple(row) for row in data["figures"]} == {
        ("name", "unit", "values", "ratios", "intervals", "ratio_intervals", "best")
    }
    duty = next(row for row in data["figures"] if row["name"] == "duty_cycle")
    assert duty["values"][2] == 1 and duty["ratios"][0] == pytest.approx(0.5)
    for place_, name in zip(("first", "second", "third"), data["chips"], strict=True):
        assert json.loads(Path(f"runs/{place_}/result.json").read_text())["arch"]["name"] == name

    broken = chips[2].read_text().replace("pes: 128", "pse: 128")
    chips[2].write_text(broken)
    line = next(number for number, text in enumerate(broken.splitlines(), 1) if "pse: 128" in text)
    code, out, err = call("compare", *files, *short, "-o", "later/chips.md")
    assert code == 2 and not out and not Path("later").exists()
    assert re.search(rf"packed\.yaml:{line}: unknown key 'pse'.*did you mean 'pes'", err), err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "b", "c"), "no architecture named 'a'.*no architecture named 'b'.*no architecture named 'c'"),
        (("isaac", "-s", "a=1"), "--workload, --power and --set are for two or more architectures"),
        (("rsnn28nm", "rsnn28nm", "memristor_tlie"), r"no architecture named 'memristor_tlie'.*'memristor_tile'"),
        (("rsnn28nm", "memristor_tlie"), r"no architecture named 'memristor_tlie'.*did you mean 'memristor_tile'"),
        (("rsnn28nm",) * 3 + ("-s", "workload.inputs.fraems=3"), r"fraems"),
    ],
)
def test_what_is_refused(call, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = call("compare", *arguments)
    assert code == 2
    assert re.search(message, err, re.DOTALL), err


def test_one_architecture_alone_is_no_paper(call, chips: list[Path]) -> None:
    code, _, err = call("compare", chips[0].name)
    assert code == 2 and "base.yaml" in err and "accelsim/paper@1" in err


def test_figures_whose_data_is_not_here_have_no_value(tmp_path, monkeypatch) -> None:
    """They are left out with the reason, and are no failure; the others of the same paper stand."""
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    elsewhere = PAPER.replace(
        "figures:",
        "  speech: {workload: rsnn_phoneme, set: {workload.inputs.dataset: timit_sample}}\nfigures:\n"
        '  - {name: errors, value: 20, unit: "%", tag: stated, role: predicted, tolerance: 0.1, run: speech,\n'
        "     path: accuracy.value}",
    )
    (tmp_path / "mine.yaml").write_text(elsewhere)
    comparison = compare(tmp_path / "mine.yaml")
    errors, complexity, *_ = comparison.rows
    assert (errors.ours, errors.ratio, errors.holds) == (None, None, None)
    assert complexity.holds
    assert comparison.holds() and list(comparison.results) == ["base"] and errors.verdict is None
    assert re.search(r"- not run: data set 'timit_sample' is not in", markdown([comparison]))


SWEEP = """\
schema: accelsim/sweep@1
architecture: rsnn28nm
workload: rsnn_paper_activity
axes:
  - workload.inputs.frames: [4]
    operating_points: ["{}"]
  - pe.switch_cycles: [0, 2, 5]
    zero_skip.skip_spikes: [true, false, true]
seeds: 2
"""
STUDY = """\
schema: accelsim/paper@1
name: mine
title: A paper
reference: Someone, Some Journal
architecture: rsnn28nm
runs:
  base: {workload: rsnn_paper_activity, set: {workload.inputs.frames: "4", operating_points: "{}"}}
  quick: {study: tiny.yaml, point: {pe.switch_cycles: "0"}}
  slow: {study: tiny.yaml, point: {pe.switch_cycles: "2", workload.inputs.frames: "4"}}
figures:
  - {name: cycles, value: 100, unit: c, tag: stated, role: predicted, tolerance: 0.1,
     run: slow, path: performance.cycles, scale: 0.5}
  - {name: share, value: 1, unit: "1", tag: stated, role: input,
     run: slow, path: components.pe.busy_cycles, per: performance.cycles}
  - {name: slower, value: 1, unit: "1", tag: stated, role: input,
     run: slow, path: performance.cycles, relative_to: quick}
  - {name: sum, value: 1, unit: "1", tag: stated, role: input, run: slow, path: layers.*.cycles}
  - {name: here, value: 1, unit: "1", tag: stated, role: input, run: base, path: area_mm2}
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A paper that refers to a sweep beside it, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SWEEP)
    Path("mine.yaml").write_text(STUDY)
    return Path("mine.yaml")


def swept(**options: Any) -> list[Result]:
    """Run the study, and return the results of its slow point."""
    with run_sweep(load_sweep("tiny.yaml").changed(**options), Path("studies/tiny")) as store:
        points = [row["point"] for row in store.points() if row["keys"]["components.pe.switch_cycles"] == "2"]
        return [result for point in points if (result := store.result(point)) is not None]


def test_figures_of_a_study_are_means_over_its_seeds(study: Path, call, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (result.performance.cycles for result in swept())
    comparison = compare(study, studies=Path("studies"))
    cycles, share, slower, total, here = comparison.rows
    assert one != two, "seeds differ"
    assert (cycles.ours, cycles.runs) == (pytest.approx((one + two) / 4), 2)
    # Of two values the sample standard deviation is their distance over the square root of two.
    assert cycles.sd == pytest.approx(0.5 * abs(one - two) / 2**0.5)
    assert cycles.ratio == pytest.approx((one + two) / 400) and cycles.holds is False

    with Store.open(Path("studies/tiny")) as store:
        results = [store.result(point) for point in range(4)]  # of the values 0 and 2, two seeds each
    fast, slow = results[:2], results[2:]
    shares = [value_at(r, "components.pe.busy_cycles") / r.performance.cycles for r in slow]
    assert share.ours == pytest.approx(sum(shares) / 2)
    assert slower.ours == pytest.approx((one + two) / sum(r.performance.cycles for r in fast))
    assert (slower.runs, slower.sd) == (2, None)
    assert total.ours == pytest.approx(sum(layer.cycles for r in slow for layer in r.layers) / 2)
    assert (here.runs, here.sd) == (1, None) and list(comparison.results) == ["base"]

    page = markdown([comparison])
    assert "- `tiny.yaml`, of A paper: cycles; share; slower; sum\n" in page
    assert re.search(rf"\| cycles \| 100 c \| stated \| {cycles.ours:.4g} c \(mean of 2, sd {cycles.sd:.2g}\) \|", page)
    assert re.search(r"\| slower \| 1 \| stated \| [0-9.]+ \(mean of 2\) \|", page)
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = call("compare", "mine.yaml", "--studies", "studies")
    assert code == 0 and f"(mean of 2, sd {cycles.sd:.2g})" in out
    code, out, _ = call("compare", "mine.yaml", "--studies", "studies", "--json")
    assert [(f["runs"], f["sd"]) for f in json.loads(out)["figures"][:1]] == [(2, cycles.sd)]


def test_a_study_that_is_not_here_is_told_and_left_out(study: Path) -> None:
    command = r"run accelsim sweep tiny\.yaml -o "
    for studies, reason in (
        (None, rf"study tiny has no table in reports/studies: {command}DIR/tiny --table reports/studies/tiny\.csv$"),
        (Path("studies"), rf"study tiny is not in studies: {command}studies/tiny$"),
    ):
        comparison = compare(study, studies=studies)
        assert [row.ours is None for row in comparison.rows] == [True, True, True, True, False]
        assert comparison.holds() and comparison.missing.keys() == {"quick", "slow"}
        assert all(re.search(reason, text) for text in comparison.missing.values()), comparison.missing
        assert "Figures from studies" not in markdown([comparison])

    swept(axes=["pe.switch_cycles=0,5; zero_skip.skip_spikes=true,true"])
    comparison = compare(study, studies=Path("studies"))
    point = r"with pe\.switch_cycles = 2, workload\.inputs\.frames = 4"
    assert re.fullmatch(
        rf"study tiny has 0 of 2 seeds {point}: {command}studies/tiny --resume", comparison.missing["slow"]
    )
    assert "quick" not in comparison.missing
    Path("tiny.yaml").write_text(SWEEP.replace("seeds: 2", "seeds: 3"))
    assert (
        "study tiny has 2 of 3 seeds with pe.switch_cycles = 0"
        in compare(study, studies=Path("studies")).missing["quick"]
    )


def test_a_study_of_other_files_is_refused(study: Path) -> None:
    chip = Path("chip.yaml")
    chip.write_text((root() / "arch/rsnn28nm.yaml").read_text())
    Path("tiny.yaml").write_text(SWEEP.replace("architecture: rsnn28nm", "architecture: chip.yaml"))
    swept()
    assert not compare(study, studies=Path("studies")).missing
    chip.write_text(chip.read_text() + "# changed\n")
    message = r"the study in studies/tiny was made of other files: architecture 'rsnn28nm' has changed since"
    with pytest.raises(InputError, match=message + r".*run its sweep again, with an empty"):
        compare(study, studies=Path("studies"))


@pytest.mark.parametrize(
    ("was", "now", "message"),
    [
        ("study: tiny.yaml, point: {pe.switch_cycles: \"0\"}", "study: conformer_acd",
         r"8: no sweep named 'conformer_acd' in arch/sweeps.*did you mean 'conformer_adc'"),
        ('pe.switch_cycles: "2"', 'pe.swich_cycles: "2"',
         r"9: the sweep tiny does not set 'pe\.swich_cycles'.*did you mean 'pe\.switch_cycles'"),
        ('pe.switch_cycles: "2"', 'pe.switch_cycles: "3"',
         r"9: the sweep tiny has no pe\.switch_cycles of '3'.*one of: 0, 2, 5"),
        ('pe.switch_cycles: "2"', 'pe.switch_cycles: "2", zero_skip.skip_spikes: "true"',
         r"9: no point of the sweep tiny has all of these values"),
        ('pe.switch_cycles: "2"', 'zero_skip.skip_spikes: "true"',
         r"9: 2 points of the sweep tiny have these values, expected one.*say which: pe\.switch_cycles"),
        ('pe.switch_cycles: "2"', "pe.switch_cycles: 2", r"9: .*expected text, found 2.*quote it"),
        ("study: tiny.yaml, point", "study: tiny.yaml, piont", r"8: .*'study' and 'point' alone, found 'piont'"),
        ("study: tiny.yaml, point: {pe.switch_cycles: \"0\"}", "studdy: tiny.yaml",
         r"8: unknown key 'studdy'.*did you mean 'study'"),
    ],
)  # fmt: skip
def test_a_wrong_study_is_told_with_its_line(study: Path, was: str, now: str, message: str) -> None:
    assert was in STUDY
    study.write_text(STUDY.replace(was, now, 1))
    with pytest.raises(InputError, match=rf"mine\.yaml:{message}"):
        load_paper(study)


def test_names_with_dots_and_patterns() -> None:
    """By hand: the longest name that fits wins, and a pattern is the sum over all that match and have the value."""
    made = run("rsnn28nm", "rsnn_paper_activity", overrides={"workload.inputs.frames": "4"})
    layer, adc = made.layers[0], AdcRecord(conversions=10, clipped=3)
    names = {"blocks.0.pos": adc, "blocks.1.pos": AdcRecord(conversions=10, clipped=4), "blocks": None, "a.adc": adc}
    layers = [layer.model_copy(update={"name": name, "adc": of}) for name, of in names.items()]
    result = made.model_copy(update={"layers": layers, "memory_bytes": {"sram": 1, "sram.low": 2}})
    for path, value in {
        "layers.blocks.0.pos.adc.clipped": 3,
        "layers.blocks.adc.clipped": None,
        "layers.a.adc.adc.clipped": 3,
        "layers.*.pos.adc.clipped": 7,
        "layers.*.adc.clipped": 10,
        "memory_bytes.sram": 1,
        "memory_bytes.sram.low": 2,
    }.items():
        assert value_at(result, path) == value, path
    for path in ("layers.block.0.pos.adc.clipped", "layers.*.neg.adc.clipped", "accuracy.runs.0", "power_w.x"):
        with pytest.raises(InputError, match=f"a result has no '{re.escape(path)}'"):
            value_at(made.model_copy(update={"accuracy": ACCURACY}), path)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("layers.blocks.0.attention.linear_pos.adc.clipped", None),
        ("layers.*.linear_pos.adc.clipped", None),
        ("operating_points.0.6 V.power_w", None),
        ("layers.blocks.0.attention.linear_pos.adc.cliped", "did you mean 'clipped'"),
        ("layers.*.linear_pos.adc", ""),
        ("accuracy.runs.0", ""),
    ],
)
def test_paths_with_dots_are_checked_before_anything_runs(tmp_path: Path, path: str, hint: str | None) -> None:
    (tmp_path / "mine.yaml").write_text(PAPER.replace("path: memory_bytes.sram", f'path: "{path}"'))
    if hint is None:
        assert load_paper(tmp_path / "mine.yaml").figures[-1].path == path
        return
    with pytest.raises(InputError, match=rf"mine\.yaml:13: a result has no number at '{re.escape(path)}'.*{hint}"):
        load_paper(tmp_path / "mine.yaml")


def test_studies_from_the_command_line_need_a_folder_and_papers(call) -> None:
    code, _, err = call("compare", "isaac", "--studies", "nowhere")
    assert code == 2 and "no such folder: nowhere" in err
    code, _, err = call("compare", "rsnn28nm", "rsnn28nm", "--studies", "nowhere")
    assert code == 2 and "--studies is for papers" in err
    code, _, err = call("compare", "isaac", "--against", "nowhere.md")
    assert code == 2 and "no such file: nowhere.md" in err
    code, _, err = call("compare", "rsnn28nm", "rsnn28nm", "--against", "nowhere.md")
    assert code == 2 and "--against is for papers" in err
