"""Networks whose step is several frames, with no attention: step by step, or several at a time, on every engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import chip, frames, graph, tile_keys, write_graph
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import pipeline
from accelsim.engines.deploy import check_pace, deploy
from accelsim.engines.execute import execute
from accelsim.errors import InputError
from accelsim.ops.op import FEATURES, Signal
from accelsim.schedule.job import part_of
from accelsim.workload import Workload, load_workload

CHIPS: dict[str, tuple[str, dict[str, Any]]] = {
    "npu": ("edge_npu", {}),
    "npu, resident": ("edge_npu", {"compiler.weights": "resident"}),
    "digital": ("conformer_digital28", {"placement": "{'*': {batch: 1}}"}),  # a row waits for no others
    "tiles": ("memristor_conformer", tile_keys(tiles=20, digital=())),
}
MULTIPLIER = {"npu": "array", "npu, resident": "array", "digital": "array", "tiles": "crossbar"}


def layers(bits: int) -> list[str]:
    """Return a network that makes a row of three frames."""
    return [
        f"{{name: a, op: conv, input: features, channels: 6, kernel: [3, 1], stride: [3, 1], bands: 1, causal: true, "
        f"weight_bits: {bits}}}",
        "{name: r, op: relu, input: a}",
        f"{{name: d, op: depthwise, input: r, taps: 4, causal: true, weight_bits: {bits}}}",
        f"{{name: y, op: linear, input: d, outputs: 3, weight_bits: {bits}}}",
    ]


def network(folder: Path, engine: str, chunk: int | None) -> Workload:
    made = graph(folder, layers(16 if engine.startswith("npu") else 4), bands=5)
    return replace(made, spec=made.spec.model_copy(update={"chunk": chunk}))


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(sorted(CHIPS)), st.integers(1, 5), st.lists(st.integers(1, 20), min_size=1, max_size=3))
def test_a_chunk_of_steps(
    tmp_path_factory: pytest.TempPathFactory, engine: str, chunk: int, lengths: list[int]
) -> None:
    """The same values in chunks of any length, the same products; a frame of the schedule is a chunk."""
    folder = tmp_path_factory.mktemp("steps")
    name, keys = CHIPS[engine]
    on = chip({**keys, "pacing": "{mode: back_to_back}"}, name)
    single = deploy(network(folder / "one", engine, 1), on)
    several = deploy(network(folder / "some", engine, chunk), on)
    batch = frames(single.network, [3 * length for length in lengths])
    alone, together = execute(single, batch), execute(several, batch)
    np.testing.assert_array_equal(together.outputs, alone.outputs)
    assert (single.frame, several.frame) == (3, 3 * chunk)
    assert single.schedule.inputs_per_frame == 3 and several.schedule.inputs_per_frame == 3 * chunk
    assert alone.starts.tolist() == np.cumsum([0, *lengths]).tolist()
    assert together.starts.tolist() == np.cumsum([0, *(-(-length // chunk) for length in lengths)]).tolist()
    # A row is 6 x 15 + 6 x 4 + 3 x 6 products, also those of a last chunk that is filled up.
    for ran in (alone, together):
        per_frame = {1: 1, 2: chunk}[1 if ran is alone else 2]
        assert sum(macs["dense"] for macs in ran.activity.macs.values()) == ran.frames * per_frame * (90 + 24 + 18)
    pipeline.operate(on, several.schedule, together.activity, together.frames)


@pytest.mark.parametrize("engine", CHIPS)
def test_pace_is_that_of_steps(tmp_path: Path, engine: str) -> None:
    """A step of 30 ms arrives when its third frame has, one every 30 ms, and its latency counts from there."""
    name, keys = CHIPS[engine]
    on = chip({**keys, "pacing": "{mode: real_time, frame_period: 10 ms}"}, name)
    workload = network(tmp_path / "net", engine, 1)
    deployment = deploy(workload, on)
    check_pace(deployment, on)
    ran = execute(deployment, frames(workload, [12]))
    outcome = pipeline.operate(on, deployment.schedule, ran.activity, ran.frames)
    assert outcome.timeline.arrived_ps.tolist() == [0, 3 * 10**10, 6 * 10**10, 9 * 10**10]
    late = outcome.timeline.finished_ps - outcome.timeline.arrived_ps
    assert (late > 0).all() and (late < 3 * 10**10).all()
    busy = {part_of(member) for _, member in ran.activity.counts}
    assert MULTIPLIER[engine] in busy
    # Without a word on steps the features' period is the schedule's, on all but an NPU, which has chunks anyway.
    bare = deploy(network(tmp_path / "bare", engine, None), on)
    if engine.startswith("npu"):
        check_pace(bare, on)
        return
    with pytest.raises(InputError, match="a frame takes 3 rows of features of 10 ms each"):
        check_pace(bare, on)


CLIPS = [
    "{name: a, op: conv, input: features, channels: 4, kernel: [3, 3], stride: [2, 1], weight_bits: 16}",
    "{name: d, op: conv, input: a, channels: 4, depthwise: true, weight_bits: 16}",
    "{name: p, op: avg_pool, input: d, size: [6, 5]}",
    "{name: y, op: linear, input: p, outputs: 3, weight_bits: 16}",
]
"""Its convolutions look ahead; a row of the output is made of 12 frames."""


def test_clips_on_an_npu(tmp_path: Path) -> None:
    """A step is an utterance of 11 or 12 frames: nothing is carried on; what looks ahead finds all that it reads."""
    made = graph(tmp_path, CLIPS, bands=5)
    whole = replace(made, spec=made.spec.model_copy(update={"clips": True}))
    keys = {"pacing": "{mode: back_to_back}", "components.vector.accumulator": "float32"}
    on = chip(keys, "edge_npu")
    deployment = deploy(whole, on)
    assert deployment.frame == 12 and deployment.schedule.plan is not None
    assert deployment.schedule.plan.state_bits == 0 and not deployment.schedule.plan.pieces
    batch = frames(whole, [12, 11, 12])
    ran = execute(deployment, batch)
    assert ran.frames == 3
    signals = {FEATURES: batch.signal(whole.graph.edges[FEATURES])}
    for op in whole.graph.ops:
        read = [signals[name] for name in op.reads()]
        values = op.reference(read, whole.tensors, "float16")
        signals[op.name] = Signal(values, op.starts(read), whole.graph.edges[op.name])
    np.testing.assert_array_equal(ran.outputs, signals["y"].values)
    # 6 rows of 5 bands: 30 x 9 x 4 products, as many of each channel for itself, 4 x 3 of the matrix.
    assert {name: macs["dense"] for name, macs in ran.activity.macs.items()} == {
        "a": 3 * 1080, "d": 3 * 1080, "y": 3 * 12
    }  # fmt: skip
    with pytest.raises(
        InputError, match=r"makes a step of each utterance, of 12 frames at the most on 'npu', and .* 13"
    ):
        execute(deployment, frames(whole, [12, 13]))
    with pytest.raises(InputError, match=r"looks 1 rows ahead: .*a network of whole clips says 'clips: true'"):
        deploy(made, on)


def test_one_kind_of_step(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "net", CLIPS, bands=5)
    with pytest.raises(InputError, match="a step of 'clips: true' is an utterance: leave out 'chunk'"):
        load_workload(path, {"clips": "true", "chunk": "2"})
