"""What a record says of one frame is what a trace of the whole run says of it."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from accelsim.pipeline import run_in_full, trace
from accelsim.record import record
from accelsim.result import Result
from accelsim.simulate import Window
from accelsim.simulate.ledger import STATES

FEW = {"workload.inputs.utterances": "1"}
RUNS = {
    "rsnn28nm": ("rsnn_paper_activity", {"workload.inputs.frames": "40"}),
    "memristor_tile": (None, {**FEW, "pacing.mode": "back_to_back"}),
    "wake_word_npu": (None, FEW),
    "memristor_conformer": (None, {**FEW, "workload.inputs.dataset": "librivox_sample"}),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "memristor_conformer")) for n in RUNS]
)
def test_the_frame_of_a_record_is_that_of_the_trace(name: str) -> None:
    """The run up to the frame alone gives the same jobs and waits, to the picosecond, as the run of all frames."""
    workload, overrides = RUNS[name]
    run = run_in_full(name, workload, overrides=overrides)
    frame = record(run).frame
    assert frame is not None and frame.jobs and not frame.left_out
    timeline = run.outcome.timeline
    begin, end = int(timeline.arrived_ps[frame.frame]), int(timeline.finished_ps[frame.frame])
    assert frame.latency_ps == end - begin
    latency = timeline.finished_ps - timeline.arrived_ps
    nearest = np.abs(latency[:16] - np.median(latency)).min()
    assert abs(frame.latency_ps - np.median(latency)) == nearest, "a frame like most others"

    recorder, _ = trace(run, Window(frame.frame, frame.frame + 1, frames=True))
    ended = {recorder.jobs[job] for job, of, _, over in recorder.runs() if of == frame.frame and over <= end}
    assert {job.name for job in frame.jobs} == ended
    seen: dict[tuple[str, str, str], int] = defaultdict(int)
    for part, job, of, state, start, over in recorder.spans():
        if of == frame.frame and recorder.jobs[job] in ended:
            seen[recorder.components[part], recorder.jobs[job], STATES[state]] += int(over - start)
    told: dict[tuple[str, str, str], int] = defaultdict(int)
    for one in frame.jobs:
        leader = next(iter(one.busy_ps))
        told[leader, one.name, "wait_input"] += one.start_ps - one.ready_ps
        told[leader, one.name, "wait_output"] += one.left_ps - one.end_ps
        for member, busy in one.busy_ps.items():
            told[member, one.name, "busy"] += busy
            told[member, one.name, "wait_input"] += one.end_ps - one.start_ps - busy
    assert {key: ps for key, ps in told.items() if ps} == dict(seen)
    assert {job.layer for job in frame.jobs} <= {layer.name for layer in record(run).layers}


def test_a_record_of_before_has_no_picture_of_the_chip_and_is_read_all_the_same() -> None:
    new = record(run_in_full("rsnn28nm", "rsnn_paper_activity", overrides={"workload.inputs.frames": "4"}))
    assert new.channels and new.engines and new.frame
    data = new.model_dump(by_alias=True, mode="json")
    for key in ("channels", "engines", "frame"):
        del data[key]
    for component in data["components"]:
        del component["instances"]
    old = Result.model_validate(data)
    assert (old.channels, old.engines, old.frame) == ([], [], None)
    assert Result.from_json(new.to_json()) == new
