"""A paper's figures stand beside a run only where chip, workload and settings are those that the paper's file names."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from rich.console import Console

import accelsim
from accelsim.explore import load_paper, paper_beside
from accelsim.library import find, names, root
from accelsim.report.console import summary
from accelsim.report.headline import headlines
from accelsim.report.html import run_page
from accelsim.result import Result
from accelsim.schema.paper import Paper, PaperRun

ACTIVITY = "rsnn_paper_activity"
SHORT = {"workload.inputs.frames": "20"}
FAST = {"clocks.main.frequency": "500 MHz", "pacing.mode": "back_to_back"}


def beside(chip: str | Path = "rsnn28nm", workload: str | Path | None = ACTIVITY, **settings: str) -> list[str]:
    paper = paper_beside(accelsim.run(chip, workload, overrides=settings))
    return [] if paper is None else [figure.short or "" for figure in paper.figures]


def shown(result: Result) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(summary(result, paper_beside(result), full=True))
    return capture.get()


def test_the_run_of_the_paper_and_its_other_operating_point_have_their_figures() -> None:
    assert beside() == ["895 (2, merged)", "13.86", "71.2 uW (100 kHz)", "66.99 (500 MHz)", "28.41 (500 MHz)",
                        "1903 (500 MHz)", "0.31 to 0.37"]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "figures"),
    [
        ({"components.zero_skip.merge_spikes": "false"}, ["1224 (2, unmerged)"]),
        ({"components.zero_skip.merge_spikes": "false", **FAST}, ["1224 (2, unmerged)"]),
        ({"workload.time_steps": "1", **FAST}, ["574 (1 step)"]),
        (SHORT, []),
        ({"workload.inputs.spikes": "0.3"}, []),
        ({"components.lif.membrane_bits": "15"}, []),
        ({"components.pe.switch_cycles": "2"}, []),
        ({"technology.voltage": "0.8 V"}, []),
        ({"pacing.frame_period": "20 ms", "workload.inputs.frame_period": "20 ms"}, []),
    ],
)
def test_a_changed_setting_has_the_figures_that_name_it_alone(settings: dict[str, str], figures: list[str]) -> None:
    assert beside(**settings) == figures


def test_another_network_on_the_chip_is_not_called_the_paper_s() -> None:
    """The trained network is the paper file's run 'speech', which one figure names; the chip's power is no such one."""
    result = accelsim.run("rsnn28nm")
    paper = paper_beside(result)
    assert paper is not None and [(f.run, f.path) for f in paper.figures] == [("speech", "accuracy.loss")]
    text = shown(result)
    assert "(100 kHz)" not in text and "our figure is" in text
    assert not any("power" in line and "calibrated" in line for line in text.splitlines())
    fitted = "components.pe.switch_cycles = 1, fitted to 574"
    assert fitted in text, "what was fitted is still said"
    changed = accelsim.run("rsnn28nm", ACTIVITY, overrides={"components.pe.switch_cycles": 2, **SHORT})
    assert not any("switch_cycles" in line for line in changed.provenance.calibrated), "2 was fitted to nothing"
    same = accelsim.run("rsnn28nm", ACTIVITY, overrides={"components.pe.switch_cycles": 1, **SHORT})
    assert any(line.startswith(fitted) for line in same.provenance.calibrated)


def test_no_column_where_no_figure_stands() -> None:
    result = accelsim.run("rsnn28nm", ACTIVITY, overrides=SHORT)
    for page in (shown(result), run_page(result, paper_beside(result))):
        assert "our figure is" not in page and "2503.21337" not in page.split("fitted to")[0]


def test_a_copy_of_the_files_is_the_paper_s_run_and_an_edited_one_is_not(tmp_path: Path) -> None:
    text = find("rsnn28nm", "arch").read_text()
    (tmp_path / "chip.yaml").write_text(text)
    assert len(beside(tmp_path / "chip.yaml")) == 7
    assert "length: 0.25 mm" in text
    (tmp_path / "chip.yaml").write_text(text.replace("length: 0.25 mm", "length: 0.26 mm"))
    assert beside(tmp_path / "chip.yaml") == []
    network = (root() / "workloads" / ACTIVITY / "workload.yaml").read_text()
    (tmp_path / "net.yaml").write_text(network)
    assert len(beside(workload=tmp_path / "net.yaml")) == 7
    (tmp_path / "net.yaml").write_text(network + "# another file\n")
    assert beside(workload=tmp_path / "net.yaml") == []


def test_a_library_that_no_longer_has_the_paper_s_keys_stops_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    paper = load_paper("rsnn28nm")
    gone = PaperRun(workload=ACTIVITY, set={"components.gone.units": "1"})
    changed = paper.model_copy(update={"runs": paper.runs | {"merged": gone}})
    monkeypatch.setattr("accelsim.explore.comparison.load_paper", lambda _: changed)
    monkeypatch.setattr("accelsim.explore.comparison.names", lambda _: ["rsnn28nm"])
    assert beside() == ["71.2 uW (100 kHz)"]


def test_every_short_figure_has_a_row_of_the_table() -> None:
    """A figure whose path no row has would never be shown, also beside its own run."""
    # The paper ignores wires, so that its figures stand beside a run without their resistance.
    result = accelsim.run("imssa", overrides={"components.crossbar.wires": "none"})
    for name in names("arch/papers"):
        paper = load_paper(name)
        published = [row.published for row in headlines(result, paper)]
        for figure in paper.figures:
            assert not figure.short or any(figure.short in text for text in published), figure.name
    assert "4.94 (software)" in shown(result)


def test_a_ratio_and_a_mean_of_a_study_stand_beside_no_run() -> None:
    figure = {"name": "a", "value": 1.0, "unit": "1", "tag": "stated", "role": "predicted", "run": "base",
              "path": "power_w", "short": "1"}  # fmt: skip
    paper = {"name": "p", "title": "P", "reference": "r", "architecture": "rsnn28nm", "figures": [figure],
             "runs": {"base": {"workload": ACTIVITY}, "mean": {"study": "imssa_noise"}}}  # fmt: skip
    assert Paper.model_validate(paper).figures[0].short == "1"
    for change in ({"per": "area_mm2"}, {"relative_to": "base"}):
        with pytest.raises(ValidationError, match="leave 'short' out"):
            Paper.model_validate(paper | {"figures": [figure | change]})
    with pytest.raises(ValidationError, match="no run alone shows the figure of a study"):
        Paper.model_validate(paper | {"figures": [figure | {"run": "mean"}]})
