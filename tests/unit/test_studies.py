"""Tables of studies: from a sweep to a file and back, what they depend on, and papers that read them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accelsim import run
from accelsim.errors import InputError
from accelsim.explore import compare
from accelsim.explore import comparison as explored
from accelsim.explore.comparison import study_paths
from accelsim.explore.metrics import METRICS
from accelsim.explore.store import Store
from accelsim.explore.studies import StudyRow, out_of_date, read_table, rows_of, rows_of_results, write_table
from accelsim.explore.sweep import load_sweep, run_sweep
from accelsim.library import find, names, root
from accelsim.schema.paper import StudyRun

SWEEP = """\
schema: accelsim/sweep@1
architecture: ./chip.yaml
workload: tile_frames
axes:
  - workload.inputs.utterances: [2]
  - programming_runs: [2]
  - adc.precision_bits: [4, 2]
seeds: 2
"""
PAPER = """\
schema: accelsim/paper@1
name: mine
title: A paper
reference: Someone, Some Journal
architecture: memristor_tile
runs:
  four: {study: tiny.yaml, point: {adc.precision_bits: "4"}}
  two: {study: tiny.yaml, point: {adc.precision_bits: "2"}}
figures:
  - {name: error, value: 50, unit: "%", tag: stated, role: predicted, run: four, path: accuracy.value}
  - {name: worse, value: 1.3, unit: "1", tag: stated, role: predicted, run: two, relative_to: four,
     path: accuracy.value}
  - {name: clipped, value: 1, unit: "1", tag: stated, role: predicted, run: four, path: layers.*.adc.clipped,
     per: layers.*.adc.conversions}
  - {name: energy, value: 1, unit: J, tag: stated, role: calibrated, run: four, path: energy.total_j}
"""
PATHS = ["accuracy.value", "layers.*.adc.clipped", "layers.*.adc.conversions", "energy.total_j"]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep of a copy of a chip, run, and a paper that reads it, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("chip.yaml").write_text((root() / "arch/memristor_tile.yaml").read_text())
    Path("tiny.yaml").write_text(SWEEP)
    Path("mine.yaml").write_text(PAPER)
    run_sweep(load_sweep("tiny.yaml"), Path("stores/tiny")).close()
    return Path("mine.yaml")


def exported() -> list[StudyRow]:
    with Store.open(Path("stores/tiny")) as store:
        rows = rows_of(store, load_sweep("tiny.yaml"), PATHS)
    Path("tables").mkdir(exist_ok=True)
    write_table(Path("tables/tiny.csv"), rows)
    return rows


def test_a_table_says_what_the_store_says(study: Path) -> None:
    rows = exported()
    assert read_table(Path("tables/tiny.csv")) == rows and len(rows) == 4
    with Store.open(Path("stores/tiny")) as store:
        results = [store.result(number) for number in range(4)]
    for row, result in zip(rows, results, strict=True):
        assert (row.seed, row.settings["workload.inputs.utterances"]) == (result.seed, "2")
        assert row.figures["power_w"] == result.power_w and row.figures["energy.total_j"] == result.energy.total_j
        assert (
            row.components["adc"]["convert"] == next(c for c in result.components if c.name == "adc").actions["convert"]
        )
        accuracy, utterances = result.accuracy, result.accuracy.per_utterance
        assert row.heard.lengths == tuple(utterances.lengths) and len(row.heard.errors) == 2
        rates = [100 * sum(errors) / sum(row.heard.lengths) for errors in row.heard.errors]
        assert rates == pytest.approx(accuracy.runs)
        assert 100 * sum(row.heard.reference) / row.heard.n() == pytest.approx(accuracy.reference_value)
        assert (row.heard.dataset, row.heard.counted, row.heard.n()) == (accuracy.dataset, accuracy.counted, accuracy.n)
    assert {row.settings["components.adc.precision_bits"] for row in rows} == {"4", "2"}
    # Points that differ in their seed or settings depend on other things; each has digests of its own.
    assert len({row.values for row in rows}) == len({row.costs for row in rows}) == 4
    header = next(csv.reader(Path("tables/tiny.csv").read_text().splitlines()))
    assert set(METRICS) <= set(header) and "set:components.adc.precision_bits" in header


def test_a_paper_reads_tables_as_it_reads_stores(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported()
    from_table, from_store = (compare(study, studies=Path(folder)) for folder in ("tables", "stores"))
    assert from_table.rows == from_store.rows and not from_table.missing
    error, worse, clipped, energy = from_table.rows
    assert (
        error.runs == 2 and error.spread.n == error.spread.n > 0 and error.spread.low < error.ours < error.spread.high
    )
    assert worse.spread.low < worse.ours < worse.spread.high and worse.verdict is not None
    assert clipped.spread.n == 0 and clipped.verdict == "misses", "spread over programmings alone"
    assert energy.verdict is None
    # The library's tables are what is read where nothing else is named.
    monkeypatch.setattr(
        explored,
        "find",
        lambda name, shelf, suffix=".yaml": Path("tables/tiny.csv") if suffix == ".csv" else find(name, shelf),
    )
    assert compare(study).rows == from_table.rows


def edited(file: str, was: str, now: str) -> None:
    text = Path(file).read_text()
    assert was in text
    Path(file).write_text(text.replace(was, now, 1))


def test_a_table_of_other_files_is_refused(study: Path) -> None:
    exported()
    edited("chip.yaml", "read_voltage: 0.6 V", "read_voltage: 0.59 V")
    with pytest.raises(
        InputError, match=r"tables/tiny\.csv was made of other files: what 'accuracy\.value' depends on"
    ):
        compare(study, studies=Path("tables"))
    edited("chip.yaml", "read_voltage: 0.59 V", "read_voltage: 0.6 V")
    assert compare(study, studies=Path("tables")).rows[0].ours is not None
    # A key that changes no value: figures of accuracy stand.
    edited("chip.yaml", "voltage: 0.9 V", "voltage: 0.89 V")
    with pytest.raises(InputError, match=r"what 'energy\.total_j' depends on has changed since.*run its sweep again"):
        compare(study, studies=Path("tables"))
    study.write_text(PAPER.partition("  - {name: energy")[0])
    assert compare(study, studies=Path("tables")).rows[0].ours is not None
    with (
        Store.open(Path("stores/tiny")) as store,
        pytest.raises(InputError, match="was made of other files: architecture"),
    ):
        rows_of(store, load_sweep("tiny.yaml"), PATHS)


PRICES = """\
schema: accelsim/cost@1
name: mine
base: cmos28
node: 28 nm
voltage: 0.9 V
temperature: 300 K
energy:
"""
ROW = "  - {kind: %s, action: %s, value: %s, low: 1 fJ, high: 10 pJ, source: mine, tag: estimated}\n"


@pytest.fixture
def priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[StudyRow]:
    """Rows of a chip with a price list and a device of its own, at two operating points, in the current folder."""
    monkeypatch.chdir(tmp_path)
    chip = (root() / "arch/memristor_tile.yaml").read_text()
    chip = chip.replace("cost: cmos28", "cost: ./mine.yaml").replace("device: synaptogen", "device: ./cells.yaml")
    chip += "\noperating_points: {slow: {clocks.main.frequency: 500 MHz}}\n"
    Path("chip.yaml").write_text(chip)
    Path("mine.yaml").write_text(PRICES + ROW % ("adc", "convert", "1 pJ"))
    Path("cells.yaml").write_text((root() / "arch/devices/synaptogen.yaml").read_text())
    shutil.copytree(root() / "workloads/tile_frames", "network")
    result = run("chip.yaml", "network/workload.yaml", overrides={"workload.inputs.utterances": "1"})
    found = ("chip.yaml", "network/workload.yaml", {"workload.inputs.utterances": "1"}, result)
    rows = rows_of_results([found])
    assert out_of_date(rows) == ()
    return rows


def appended(file: str, text: str) -> None:
    Path(file).write_text(Path(file).read_text() + text)


@pytest.mark.parametrize(
    "edit",
    [
        lambda: edited("chip.yaml", "name:", "# a comment\nname:"),
        lambda: edited("chip.yaml", "assumptions:", "assumptions:\n  - another one"),
        lambda: edited("cells.yaml", "source:", "source: >\n  Seen again,"),
        lambda: appended("mine.yaml", ROW % ("mac_array", "mac", "2 pJ")),  # the tile has none
        lambda: edited("mine.yaml", "source: mine", "source: mine; page 7"),
        lambda: edited("mine.yaml", "1 pJ", "1000 fJ"),
    ],
    ids=["comment", "assumption", "device's source", "unused price", "price's source", "same price in other words"],
)
def test_prose_and_prices_of_others_do_not_age_a_table(priced: list[StudyRow], edit: Callable[[], None]) -> None:
    before = {file: file.read_bytes() for file in Path().glob("*.yaml")}
    edit()
    assert before != {file: file.read_bytes() for file in before} and out_of_date(priced) == ()


@pytest.mark.parametrize(
    ("edit", "aged"),
    [
        (lambda: edited("mine.yaml", "value: 1 pJ", "value: 1.1 pJ"), ("costs",)),
        (lambda: edited("mine.yaml", "high: 10 pJ", "high: 11 pJ"), ("costs",)),
        (lambda: appended("mine.yaml", ROW % ("dac", "drive", "9 fJ")), ("costs",)),
        (lambda: edited("mine.yaml", "voltage: 0.9 V", "voltage: 0.8 V"), ("costs",)),
        (lambda: edited("chip.yaml", "frequency: 500 MHz", "frequency: 400 MHz"), ("costs",)),
        (lambda: edited("chip.yaml", "read_voltage: 0.6 V", "read_voltage: 0.59 V"), ("values", "costs")),
        (lambda: edited("cells.yaml", "eta: 3.0567", "eta: 3.0568"), ("values", "costs")),
        (lambda: other_weight(), ("values", "costs")),
    ],
    ids=["price", "range", "price from now on", "law", "operating point", "key", "device", "weight"],
)
def test_what_a_point_depends_on_ages_its_table(
    priced: list[StudyRow], edit: Callable[[], None], aged: tuple[str, ...]
) -> None:
    edit()
    assert out_of_date(priced) == aged


def other_weight() -> None:
    """Change one weight of the network in the current folder."""
    file = Path("network/weights.safetensors")
    *rest, last = file.read_bytes()
    file.write_bytes(bytes([*rest, last ^ 1]))


def test_seeds_and_columns_that_are_missing_are_told(study: Path) -> None:
    rows = exported()
    write_table(Path("tables/tiny.csv"), [row for row in rows if row.seed == 0])
    reason = compare(study, studies=Path("tables")).missing["two"]
    assert reason == (
        "study tiny has 1 of 2 seeds with adc.precision_bits = 2: run accelsim sweep tiny.yaml -o tables/tiny --resume"
    )
    study.write_text(PAPER.replace("path: energy.total_j", "path: energy.clock_j"))
    write_table(Path("tables/tiny.csv"), rows)
    with pytest.raises(InputError, match=r"tiny\.csv has no column 'energy\.clock_j'"):
        compare(study, studies=Path("tables"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n1,2\n",
        "architecture,workload,seed,values,costs,components,dataset,counted,lengths,errors,reference\na,,x,,,{},,,,,\n",
    ],
)
def test_what_is_no_table(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=r"t\.csv:[12]: (no table of a study: no column|'seed': 'x' is no whole)"):
        read_table(tmp_path / "t.csv")


def test_a_sweep_writes_its_table(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from accelsim import cli

    asked: list[Any] = []
    monkeypatch.setattr(explored, "study_paths", lambda name: asked.append(name) or PATHS)
    done = CliRunner().invoke(
        cli.app, ["sweep", "tiny.yaml", "-o", "stores/tiny", "--resume", "--table", "new/tiny.csv"]
    )
    assert done.exit_code == 0, done.output
    assert asked == ["tiny"] and read_table(Path("new/tiny.csv")) == exported()


def test_a_table_of_chips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from accelsim import cli

    monkeypatch.chdir(tmp_path)
    options = ["-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=4"]
    done = CliRunner().invoke(cli.app, ["compare", "rsnn28nm", "rsnn28nm", *options, "--table", "t/chips.csv"])
    assert done.exit_code == 0, done.output
    first, second = read_table(Path("t/chips.csv"))
    assert first == second and (first.architecture, first.workload) == ("rsnn28nm", "rsnn_paper_activity")
    result = run("rsnn28nm", "rsnn_paper_activity", overrides={"workload.inputs.frames": "4"})
    assert first.figures["power_w"] == result.power_w and first.heard is None
    assert first.figures["peak.power_w"] == result.operating_points["peak"].power_w
    assert first.figures["power_w.low"] == result.uncertainty.power_w[0]
    assert out_of_date([first]) == ()
    assert out_of_date([replace(first, values="old")]) == ("values",)
    assert out_of_date([replace(first, costs="old"), first]) == ("costs",)
    refused = CliRunner().invoke(cli.app, ["compare", "isaac", "--table", "t/chips.csv"])
    assert refused.exit_code != 0 and "--table is for two or more" in str(refused.exception)


def test_the_papers_ask_for_their_figures() -> None:
    used = set()
    for name in names("arch/papers"):
        for spec in explored.load_paper(name).runs.values():
            if isinstance(spec, StudyRun):
                used.add(spec.name())
    assert "imssa_stuck" in used
    for name in used:
        assert study_paths(name), name
    assert study_paths("imssa_noise") == []
    assert {"layers.*.linear_pos.adc.clipped", "accuracy.value"} <= set(study_paths("conformer_ls"))
