"""Comparing: bounds of a figure, paths into a result, the Markdown page, studies, two chips, and what is refused."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from accelsim import cli
from accelsim.errors import InputError
from accelsim.explore import compare, compare_chips, load_paper
from accelsim.explore.comparison import value_at
from accelsim.explore.store import Store
from accelsim.explore.sweep import load_sweep, run_sweep
from accelsim.library import root
from accelsim.pipeline import run
from accelsim.report.comparison import markdown
from accelsim.result import AccuracyRecord, AdcRecord, Result
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
    with pytest.raises(ValidationError, match="either a tolerance or a factor"):
        figure(tolerance=0.1, factor=2)


def test_the_page_says_what_holds_and_is_the_same_again(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(PAPER)
    comparison = compare(tmp_path / "mine.yaml")
    result = comparison.results["base"]
    assert value_at(result, "components.weights_fc.area_mm2") == pytest.approx(2 * 0.082575, rel=1e-4)
    with pytest.raises(InputError, match=r"a result has no 'components\.wieghts_fc\.area_mm2'"):
        value_at(result, "components.wieghts_fc.area_mm2")
    # 0.1651 of 0.3131 mm2 is 0.527, a ratio of 1.055.
    assert comparison.rows[1].ratio == pytest.approx(1.055, abs=1e-3)
    assert comparison.holds()
    page = markdown([comparison])
    assert page == markdown([compare(tmp_path / "mine.yaml")])
    lines = page.splitlines()
    assert "## A paper" in lines
    assert any(line.startswith("| complexity | 50 MMAC/s |") and "within a factor of 5" in line for line in lines)
    assert "| fc share | 0.5 | derived | 0.5275 | 1.055 | bookkeeping | holds (within 10%) |" in lines
    assert "- complexity: a factor" in lines
    assert all(line.count("|") == 8 for line in lines if line.startswith("|"))


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
    (first, second), rows = compare_chips("rsnn28nm", "rsnn28nm", "rsnn_paper_activity", overrides=SHORT)
    assert first == second
    assert {row.ratio for row in rows} == {1.0}
    assert "error_percent" not in {row.metric.name for row in rows}, "a workload without accuracy"


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
    assert call("compare", "mine.yaml", "--out", "reports/page.md")[0] == 1
    assert "**fails** (within a factor of 1.01)" in (tmp_path / "reports/page.md").read_text()


def test_chips_from_the_command_line(call, tmp_path: Path) -> None:
    chips = ("rsnn28nm", "rsnn28nm", "-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=20")
    code, out, _ = call("compare", *chips)
    assert code == 0
    for name in ("cycles per frame", "latency p50", "energy per frame", "power", "area", "tops per w", "gops per mm2"):
        assert name in out
    code, out, _ = call("compare", *chips, "--json", "--out", "runs")
    data = json.loads(out)
    assert data["chips"] == ["rsnn28nm", "rsnn28nm"]
    assert {row["ratio"] for row in data["figures"]} == {1.0}
    assert (tmp_path / "runs/second/result.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "b", "c"), "expected no paper, one paper or two architectures, found 3 names"),
        (("isaac", "-s", "a=1"), "--workload and --set are for two architectures"),
        (("rsnn28nm", "memristor_tile", "-o", "page.md"), "a Markdown page is made of papers"),
        (("rsnn28nm", "memristor_tlie"), r"no architecture named 'memristor_tlie'.*did you mean 'memristor_tile'"),
    ],
)
def test_what_is_refused(call, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = call("compare", *arguments)
    assert code == 2
    assert re.search(message, err, re.DOTALL), err


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
    assert comparison.holds() and list(comparison.results) == ["base"]
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
    assert code == 1 and f"(mean of 2, sd {cycles.sd:.2g})" in out
    code, out, _ = call("compare", "mine.yaml", "--studies", "studies", "--json")
    assert [(f["runs"], f["sd"]) for f in json.loads(out)["figures"][:1]] == [(2, cycles.sd)]


def test_a_study_that_is_not_here_is_told_and_left_out(study: Path) -> None:
    command = r"run accelsim sweep tiny\.yaml -o "
    for studies, reason in (
        (None, rf"study tiny is not in --studies: {command}DIR/tiny$"),
        (Path("studies"), rf"study tiny is not in --studies: {command}studies/tiny$"),
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
    with pytest.raises(InputError, match=message + r".*accelsim sweep tiny\.yaml -o studies/tiny, with an empty"):
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
