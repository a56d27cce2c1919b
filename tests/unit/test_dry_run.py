"""What a dry run says: points, how much of them is shared, memory and time; and that it leaves nothing behind."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from chips import batch_of

from accelsim.architecture import load_architecture
from accelsim.engines.deploy import deploy
from accelsim.engines.memory import memory_of
from accelsim.explore import estimate as estimates
from accelsim.explore.estimate import beginning, estimate_run, estimate_search, estimate_sweep, extended, in_words
from accelsim.explore.reuse import Reuse
from accelsim.explore.space import read_axes
from accelsim.explore.sweep import Sweep, prepared, run_sweep
from accelsim.explore.workers import RunTemplate, evaluate
from accelsim.inputs import Batch
from accelsim.pipeline import Stages, run_in_full
from accelsim.workload import load_workload

NETWORK = "rsnn_paper_activity"
ACTIVITY = ("-w", NETWORK, "-s", "workload.inputs.frames=8", "-s", "clocks.main.frequency=200 kHz")


def test_a_line_through_two_beginnings() -> None:
    assert extended(100, 3.0, 400, 6.0, 1000) == pytest.approx(12.0), "2 s, and 10 ms a frame"
    assert extended(100, 3.0, 400, 2.0, 1000) == 2.0, "the clock errs: frames that cost nothing, not less than that"
    assert extended(100, 1.0, 400, 8.0, 1000) == pytest.approx(7 / 300 * 1000), "nothing but frames"
    assert extended(50, 1.0, 50, 1.0, 50) == 1.0, "all there is"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.3, "under 1 s"), (12.3, "about 12 s"), (119, "about 120 s"), (125, "about 2.1 min"), (3600, "about 60 min"),
        (7000, "about 120 min"), (9000, "about 2.5 h"), (260_000, "about 3 days"), (9e7, "about 1040 days"),
    ],
)  # fmt: skip
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_the_beginning_of_a_batch_has_whole_utterances() -> None:
    batch = batch_of(np.arange(30, dtype=np.uint8)[:, None], [0, 4, 10, 30])
    for frames, utterances, rows in ((1, 1, 4), (4, 1, 4), (5, 2, 10), (10, 2, 10), (12, 3, 30), (99, 3, 30)):
        part = beginning(batch, frames)
        assert (len(part.starts) - 1, len(part.features), len(part.names)) == (utterances, rows, utterances), frames
        assert part.starts[-1] == rows and part.audio_seconds == pytest.approx(rows * batch.frame_period_s)
    long = batch_of(np.zeros((1000, 1), np.uint8), [0, 1000])
    cut = beginning(long, 100)
    assert len(cut.features) == 100 and cut.starts.tolist() == [0, 100] and cut.references is None


def test_a_run(accelsim: Any) -> None:
    run = ("run", "rsnn28nm", *ACTIVITY, "--dry-run", "--out", "out")
    told = accelsim(*run)
    assert told.code == 0 and not Path("out").exists()
    first, second = told.out.splitlines()
    assert first == "rsnn_paper_activity on rsnn28nm: 8 frames of 1 utterance"
    assert re.fullmatch(r"time: (under 1 s|about [\d.]+ s); memory: about [\d.]+ [MG]B", second)
    (figures,) = json.loads(accelsim(*run, "--json").out)
    assert figures["frames"] == 8 and figures["points"] == 1 and figures["seconds"] > 0
    refused = accelsim(*run, "--memory", "20MB")
    assert refused.code == 2 and "that --memory allows" in refused.err
    wrong = accelsim(*run, "-s", "clocks.main.frequency=nothing")
    assert wrong.code == 2 and "nothing" in wrong.err


def test_time_and_memory_are_those_of_all_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that values and cycles alone move, in proportion to frames: the estimate is the time of the run."""
    keys = {"workload.inputs.frames": 20_000, "pacing.mode": "back_to_back"}
    stages, clock, ran = Stages(), 0.0, []

    def execute(deployment: Any, batch: Batch, **options: Any) -> Any:
        nonlocal clock
        ran.append(len(batch.features))
        clock += 2.0 + 0.01 * ran[-1]
        return stages.execute(deployment, batch, **options)

    def simulate(*arguments: Any, **options: Any) -> Any:
        nonlocal clock
        clock += 0.5 + 0.002 * ran[-1]
        return stages.simulate(*arguments, **options)

    timed = replace(stages, execute=execute, simulate=simulate)
    monkeypatch.setattr(estimates, "time", SimpleNamespace(perf_counter=lambda: clock))
    monkeypatch.setattr(estimates, "Stages", lambda: timed)
    estimate = estimate_run("rsnn28nm", NETWORK, overrides=keys)
    assert max(ran) < 2_000, "a beginning is run, not all"
    clock = 0.0
    run_in_full("rsnn28nm", NETWORK, overrides=keys, one_frame=True, stages=timed)
    assert estimate.seconds == pytest.approx(clock) and clock > 200
    deployment = deploy(load_workload(NETWORK), load_architecture("rsnn28nm"))
    assert estimate.memory.added() == memory_of(deployment, 20_000).added()
    assert (estimate.frames, estimate.utterances) == (20_000, 1)


AXES = {
    "values": ["zero_skip.skip_spikes=true,false", "workload.inputs.frames=4"],
    "cycles": ["pe.switch_cycles=0,1,2", "workload.inputs.frames=4"],
    "prices": ["technology.temperature=300 K,310 K", "workload.inputs.frames=4"],
    "all": ["zero_skip.skip_spikes=true,false", "pe.switch_cycles=0,1,2", "technology.temperature=300 K,310 K",
            "workload.inputs.frames=4"],
}  # fmt: skip


@pytest.mark.parametrize("which", AXES)
def test_what_points_share_is_what_they_share_in_the_sweep(which: str) -> None:
    axes = [*AXES[which], "operating_points={}", "pacing.mode=back_to_back"]
    what = Sweep("rsnn28nm", NETWORK, tuple(read_axes(axes)), seeds=2)
    estimate = estimate_sweep(what, jobs=2)
    _, fixed, _, points = prepared(what)
    reuse, template = Reuse(), RunTemplate("rsnn28nm", NETWORK, fixed)
    for point in sorted(points, key=lambda point: point.seed):
        assert evaluate(template, point, reuse).error is None
    computed = reuse.computed()
    assert (estimate.points, estimate.jobs) == (len(points), 2)
    assert (estimate.values, estimate.cycles) == (computed["executions"], computed["timelines"])


def test_points_that_are_drawn_share_nothing_that_an_axis_changes() -> None:
    axes = ["zero_skip.skip_spikes=true,false", "pe.switch_cycles=0:7", "workload.inputs.frames=4"]
    what = Sweep("rsnn28nm", NETWORK, tuple(read_axes(axes)), method="lhs", points=30)
    estimate = estimate_sweep(what, done=10)
    assert (estimate.points, estimate.values, estimate.cycles) == (20, 20, 20)
    searched = estimate_search(Sweep("rsnn28nm", NETWORK, tuple(read_axes(axes))), trials=25, done=5)
    assert (searched.points, searched.values) == (20, 20)
    prices = Sweep("rsnn28nm", NETWORK, tuple(read_axes([*axes[2:], "technology.temperature=300 K:310 K"])))
    searched = estimate_search(prices, trials=25)
    assert (searched.points, searched.values, searched.cycles) == (25, 1, 1), "a range without steps, of prices alone"


def test_a_sweep(accelsim: Any, tmp_path: Path) -> None:
    axes = ("rsnn28nm", *ACTIVITY, "-s", "components.pe.switch_cycles=0,1", "-o", "out")
    told = accelsim("sweep", *axes, "--seeds", "2", "--dry-run", "--jobs", "3")
    assert told.code == 0 and not Path("out").exists()
    lines = told.out.splitlines()
    assert lines[1].startswith("4 points to run, values for ")
    same = r"if all points take as long as the first; memory: about [\d.]+ [MG]B in each of 3 processes"
    assert re.fullmatch(rf"time: .* in 3 processes, {same}", lines[2])
    what = Sweep("rsnn28nm", NETWORK, tuple(read_axes(
        ["workload.inputs.frames=8", "clocks.main.frequency=200 kHz", "components.pe.switch_cycles=0,1"]
    )))  # fmt: skip
    run_sweep(what, tmp_path / "out").close()
    before = (tmp_path / "out/results.sqlite").read_bytes()
    assert accelsim("sweep", *axes, "--dry-run", "--resume").out.splitlines()[1].startswith("0 points to run")
    assert (tmp_path / "out/results.sqlite").read_bytes() == before
    wrong = accelsim("sweep", *axes, "--objectives", "enrgy", "--dry-run")
    assert wrong.code == 2 and "did you mean 'energy'" in wrong.err
    pytest.importorskip("optuna")
    searched = accelsim("search", *axes[:-1], "search", "--trials", "7", "--dry-run")
    assert "7 points to run" in searched.out and not Path("search").exists()


def test_chips_side_by_side(accelsim: Any) -> None:
    told = accelsim("compare", "rsnn28nm", "rsnn28nm", *ACTIVITY, "--dry-run", "-o", "page.md")
    assert told.code == 0 and not Path("page.md").exists()
    assert told.out.count("rsnn_paper_activity on rsnn28nm: 8 frames") == 2 and "time of all: " in told.out
    paper = accelsim("compare", "rsnn28nm", "--dry-run")
    assert paper.code == 2 and "--dry-run is for two or more architectures" in paper.err
