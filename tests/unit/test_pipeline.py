"""The stages of a run put together: frames of the schedule that are not those of the inputs."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chips import write_timit

from accelsim.engines.execute import Execution, execute
from accelsim.explore.reuse import Reuse
from accelsim.pipeline import Stages, run_in_full, score, trace
from accelsim.record import record
from accelsim.simulate import Window


def every_second_frame(deployment: Any, batch: Any, **options: Any) -> Execution:
    """Run a network over the even frames of every utterance only, as one does that subsamples by two."""
    kept = [np.arange(first, last, 2) for first, last in pairwise(batch.starts)]
    starts = np.cumsum([0, *(len(frames) for frames in kept)])
    fewer = dataclasses.replace(batch, features=batch.features[np.concatenate(kept)], starts=starts)
    done = execute(deployment, fewer, **options)
    return dataclasses.replace(done, starts=starts, output_starts=starts, subsampling=2)


def test_frames_of_the_schedule_are_those_of_the_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    # The network itself takes every frame: only the run below leaves every second one out.
    monkeypatch.setattr("accelsim.pipeline.check_pace", lambda deployment, chip: None)
    # 20 frames of 10 ms arrive as 10 of 20 ms, and each takes longer than 10 ms but not than 20 ms: none is late.
    overrides = {"workload.inputs.frames": "20", "pacing.frame_period": "20 ms", "operating_points": "{}"}
    stages = Stages(execute=every_second_frame)
    run = run_in_full("rsnn28nm", "rsnn_paper_activity", overrides=overrides, stages=stages)
    assert run.execution.frames == 10
    slowest = int(np.max(run.outcome.timeline.finished_ps - run.outcome.timeline.arrived_ps))
    overrides["clocks.main.frequency"] = f"{run.outcome.architecture.clock_hz() * slowest * 1e-12 / 15e-3:.0f} Hz"
    run = run_in_full("rsnn28nm", "rsnn_paper_activity", overrides=overrides, stages=stages)
    performance = record(run).performance
    assert (performance.frames, performance.utterances) == (10, 1)
    assert performance.seconds == pytest.approx(0.2) == performance.audio_seconds
    assert performance.latency_cycles.max / performance.clock_hz == pytest.approx(15e-3, rel=0.01)
    assert performance.deadline_misses == 0
    as_if_of_10_ms = dataclasses.replace(run, execution=dataclasses.replace(run.execution, subsampling=1))
    assert record(as_if_of_10_ms).performance.deadline_misses > 0
    recorder, power = trace(run, Window())
    assert sorted(set(recorder.runs()[:, 1].tolist())) == list(range(10))
    assert power.joules() == pytest.approx(run.outcome.bill.total_j())


def test_outputs_are_split_where_the_utterances_of_the_schedule_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_timit(tmp_path)
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    seen = []

    def judge(network: Any, batch: Any, outputs: Any, starts: Any, *options: Any) -> Any:
        seen.append((outputs, starts))
        return score(network, batch, outputs, starts, *options)

    stages = Stages(execute=every_second_frame, score=judge)
    run = run_in_full("rsnn28nm", "rsnn_phoneme", overrides={"workload.inputs.dataset": "timit_sample"}, stages=stages)
    ((outputs, starts),) = seen
    assert len(outputs) == starts[-1] == run.execution.frames < len(run.batch.features)
    parts = [outputs[first:last] for first, last in pairwise(starts)]
    alone = run.workload.scorer().score(parts, run.batch.references)
    assert run.accuracy == alone


def test_a_sweep_keeps_scores_of_other_utterances_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_timit(tmp_path)
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    run = run_in_full("rsnn28nm", "rsnn_phoneme", overrides={"workload.inputs.dataset": "timit_sample"})
    reuse = Reuse()
    stages, starts = reuse.stages(), run.batch.starts.copy()
    stages.score(run.workload, run.batch, run.execution.outputs, run.batch.starts)
    starts[1] += 1
    stages.score(run.workload, run.batch, run.execution.outputs, starts)
    stages.score(run.workload, run.batch, run.execution.outputs, run.batch.starts)
    assert reuse.accuracies.computed == 2
