"""Several programming runs of memristor cells, and the same integers without any."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelsim
from accelsim.architecture import load_architecture
from accelsim.engines.execute import Execution, execute
from accelsim.errors import InputError
from accelsim.explore.reuse import Reuse, is_functional
from accelsim.explore.space import Point
from accelsim.explore.workers import RunTemplate, evaluate
from accelsim.library import find
from accelsim.pipeline import Stages, run_in_full
from accelsim.record import record
from accelsim.report.headline import Headline, headlines
from accelsim.result import Result

TILE = {"workload.inputs.utterances": "2"}
SPOKEN = {
    "workload.inputs.utterances": "20",
    "components.crossbar.device_settings": "{write_noise: 4 uS, stuck_at_low_resistance: 0}",
}
CHIPS = {"memristor_tile": TILE, "imssa10": SPOKEN}


@cache
def run(chip: str, seed: int = 0, runs: int = 1) -> Result:
    return accelsim.run(chip, overrides=CHIPS[chip] | {"programming_runs": str(runs)}, seed=seed)


@pytest.mark.parametrize("chip", CHIPS)
def test_a_programming_run_is_a_run_of_the_next_seed(chip: str) -> None:
    several, alone = run(chip, runs=3), [run(chip, seed) for seed in range(3)]
    values = [each.accuracy.value for each in alone]
    a = several.accuracy
    assert a.runs == values
    assert len(set(values)) > 1
    assert a.value == a.mean == pytest.approx(np.mean(values))
    assert a.sd == pytest.approx(np.std(values, ddof=1))
    assert a.loss == pytest.approx(a.value - a.reference_value)
    assert a.low == pytest.approx(np.mean([each.accuracy.low for each in alone]))
    assert a.high == pytest.approx(np.mean([each.accuracy.high for each in alone]))
    # Time, energy and counts are those of the first run.
    for name in ("performance", "energy", "programming", "layers", "components", "operating_points"):
        assert getattr(several, name) == getattr(alone[0], name), name


def test_one_run_has_no_spread() -> None:
    a = run("memristor_tile").accuracy
    assert (a.runs, a.mean, a.sd, a.exact_value) == ([], None, None, None)
    keys = {"runs", "mean", "sd", "exact_value"}
    before = run("memristor_tile").model_dump(by_alias=True, exclude={"accuracy": keys})
    assert Result.model_validate(before) == run("memristor_tile"), "records of before can still be read"


def rows(result: Result) -> dict[str, Headline]:
    return {row.name: row for row in headlines(result)}


def test_the_headline_tells_the_spread() -> None:
    several = run("memristor_tile", runs=3)
    shown, a = rows(several)["frame error rate"], several.accuracy
    assert shown.values == (f"{a.value:.2f} %",)
    assert shown.note.startswith(f"mean of 3 programming runs, sd {a.sd:.2g}; 95 % interval")
    assert "programming runs" not in rows(run("memristor_tile"))["frame error rate"].note


def without_cells(deployment: Any, batch: Any, **options: Any) -> Execution:
    """Run a tile, and beside it the whole numbers that it stands for."""
    (layer,) = deployment.network.graph.ops
    inputs = np.clip(batch.features.astype(np.int64) - layer.input_offset, -128, 127)
    exact = inputs @ deployment.network.tensors[layer.weights].astype(np.int64)
    return dataclasses.replace(execute(deployment, batch, **options), exact=lambda: exact)


def test_the_same_integers_without_cells() -> None:
    result = record(run_in_full("memristor_tile", overrides=TILE, stages=Stages(execute=without_cells)))
    a, shown = result.accuracy, rows(result)
    # Integers alone lose next to nothing, cells and converters more.
    assert abs(a.exact_value - a.reference_value) < 1 < a.value - a.exact_value
    assert shown["the same weights, exact"].values == (f"{a.exact_value:.2f} %",)
    assert shown["lost on the chip"].values == (f"{a.loss:+.2f} points",)
    assert shown["lost on the chip"].note == f"{a.exact_value - a.reference_value:+.2f} of it by quantisation"
    assert "lost by quantisation" not in shown
    assert result.accuracy.value == run("memristor_tile").accuracy.value


def test_what_is_not_scored_is_not_programmed_again() -> None:
    asked = []

    def once(*args: Any, **options: Any) -> Execution:
        asked.append(options)
        return execute(*args, **options)

    full = run_in_full("isaac_tile", overrides={"programming_runs": "3"}, stages=Stages(execute=once))
    assert record(full).accuracy is None
    assert len(asked) == 1
    assert "programming_run" not in asked[0], "a first run needs no executor that knows of others"


def test_a_chip_without_cells_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--set programming_runs: a chip without a crossbar has no cells to program"):
        load_architecture("rsnn28nm", {"programming_runs": "2"})
    assert load_architecture("rsnn28nm", {"programming_runs": "1"}).spec.programming_runs == 1
    path = tmp_path / "chip.yaml"
    path.write_text(find("rsnn28nm", "arch").read_text() + "programming_runs: 2\n")
    line = len(path.read_text().splitlines())
    with pytest.raises(InputError, match=rf"chip\.yaml:{line}: a chip without a crossbar has no cells to program"):
        load_architecture(path)
    with pytest.raises(InputError, match="programming_runs"):
        load_architecture("memristor_tile", {"programming_runs": "0"})


def test_a_sweep_programs_anew_only_what_a_key_may_change() -> None:
    assert is_functional("programming_runs", load_architecture("memristor_tile").spec)
    reuse, job = Reuse(), RunTemplate("memristor_tile", None, TILE | {"programming_runs": "3"})
    for number, (keys, seed, made) in enumerate(
        [
            ({}, 0, 3),
            ({"clocks.main.frequency": "50 MHz"}, 0, 3),
            ({"programming_runs": "2"}, 0, 5),
            ({}, 1, 8),
            ({"technology.voltage": "0.8 V"}, 1, 8),
        ]
    ):
        point = Point(number, number, seed, keys)
        outcome = evaluate(job, point, reuse)
        assert outcome.error is None
        command = job.command(point)
        expected = accelsim.run("memristor_tile", overrides=job.overrides(point), seed=seed, command=command)
        assert outcome.result == expected.model_copy(update={"frame": None}), "of a point nobody watches one frame"
        assert reuse.executions.computed == made
