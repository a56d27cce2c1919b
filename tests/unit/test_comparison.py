"""Comparing: bounds of a figure, paths into a result, the Markdown page, two chips, and what is refused."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from pydantic import ValidationError

from accelsim import cli
from accelsim.errors import InputError
from accelsim.explore import compare, compare_chips, load_paper
from accelsim.explore.comparison import value_at
from accelsim.report.comparison import markdown
from accelsim.schema.paper import Figure

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
