"""Graphs that stream on chips of tiles: exact values on ideal tiles, keys as many as are seen, waits of a chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import IDEAL, Streaming, chip, frames, graph, streaming, tile_keys
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import pipeline
from accelsim.architecture import Architecture
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import Execution, execute
from accelsim.errors import InputError
from accelsim.inputs import Batch
from accelsim.ops.attention import AttentionOp
from accelsim.record import Outcome
from accelsim.schedule import Schedule
from accelsim.workload import Workload

PERIOD_PS = 40_000_000_000
"""Of a frame of the output on `memristor_conformer`."""


@st.composite
def integers(draw: st.DrawFn) -> Streaming:
    """Draw a network that streams, of integers of 2 to 8 bits."""
    return replace(draw(streaming()), weight_bits=draw(st.integers(2, 8)))


def keys(shape: Streaming, **more: Any) -> dict[str, Any]:
    """Return the keys of a chip of ideal tiles with room for no more than must be: one token, and the frames seen."""
    digital = () if shape.front == "none" else ("c*",)
    room = {f"channels.{i}.capacity": 1 for i in range(6)}
    return {**tile_keys(tiles=200, digital=digital), **IDEAL, **room,
            "components.attention.frames": shape.chunk + shape.left,
            "components.queue.entries": 100, **more}  # fmt: skip


def run(
    workload: Workload, architecture: Architecture, lengths: Sequence[int], stride: int
) -> tuple[Schedule, Execution, Outcome, Batch]:
    """Run utterances of so many frames of the output, and return what came of it."""
    deployment = deploy(workload, architecture)
    schedule = deployment.schedule
    batch = frames(workload, [stride * length for length in lengths])
    execution = execute(deployment, batch, seed=1)
    operation = pipeline.operate(architecture, schedule, execution.activity, execution.frames)
    return schedule, execution, operation, batch


@settings(max_examples=40, deadline=None)
@given(
    integers(),
    st.lists(st.integers(1, 20), min_size=1, max_size=3),
    st.sampled_from(["real_time", "back_to_back"]),
    st.integers(1, 2),
)
def test_ideal_tiles_are_exact_and_never_stand_still(
    tmp_path_factory: pytest.TempPathFactory, shape: Streaming, lengths: list[int], pace: str, clusters: int
) -> None:
    """Bit for bit the values of integers, every job comes to an end, and no channel holds more than it can."""
    workload = graph(tmp_path_factory.mktemp("tiles"), shape.layers(), bands=shape.bands)
    units = {f"components.{part}.units": clusters for part in ("vector", "attention", "bus")}
    architecture = chip(keys(shape, **units, **{"pacing.mode": pace}))
    schedule, execution, operation, _ = run(workload, architecture, lengths, shape.stride())
    assert execution.outputs is not None and execution.exact is not None
    np.testing.assert_array_equal(execution.outputs, execution.exact())
    assert len(execution.outputs) == sum(lengths) and np.ptp(execution.outputs) > 0

    capacity = {f"{link.producer}->{link.consumer}": link.capacity for link in pipeline.links(architecture, schedule)}
    peaks = operation.timeline.channel_peak
    assert peaks.keys() == capacity.keys()
    assert all(0 < peaks[name] <= capacity[name] for name in capacity)

    # What attention sees: frame t of an utterance of n is of the chunk that begins at c = t - t mod chunk, and sees
    # from c - left, or the beginning, to the end of the chunk or of the utterance.
    seen = 0
    for n in lengths:
        for t in range(n):
            begin = t - t % shape.chunk
            seen += sum(begin - shape.left <= key < begin + shape.chunk for key in range(n))
    products = 2 if shape.positions == "none" else 3
    for op in workload.graph.ops:
        if isinstance(op, AttentionOp):
            assert execution.activity.macs[op.name]["performed"] == seen * products * shape.width


def latency_ps(execution: Execution, operation: Outcome) -> list[np.ndarray]:
    """Return from when to when each frame takes, utterance by utterance."""
    timeline = operation.timeline
    waits = timeline.finished_ps - timeline.arrived_ps
    return [waits[a:b] for a, b in pairwise(execution.starts.tolist())]


@settings(max_examples=20, deadline=None)
@given(integers(), st.integers(1, 6), st.integers(0, 5))
def test_frames_wait_for_their_chunk_alone(
    tmp_path_factory: pytest.TempPathFactory, shape: Streaming, chunks: int, over: int
) -> None:
    """Frame i of a chunk waits for the rest of it, (chunk - 1 - i) periods, and for work, which is far below one."""
    workload = graph(tmp_path_factory.mktemp("waits"), shape.layers(), bands=shape.bands)
    length = chunks * shape.chunk + over % shape.chunk
    _, execution, operation, _ = run(workload, chip(keys(shape)), [length, 1], shape.stride())
    place = np.arange(length) % shape.chunk
    left_over = length - length % shape.chunk  # the last chunk of an utterance may be short
    rest = np.where(np.arange(length) < left_over, shape.chunk, length % shape.chunk) - 1 - place
    waits = latency_ps(execution, operation)[0]
    assert (waits > rest * PERIOD_PS).all()
    assert (waits < rest * PERIOD_PS + PERIOD_PS // 20).all()


def test_latency_in_a_long_utterance(tmp_path: Path) -> None:
    """12 or 48 frames in chunks of four: the worst wait is the same; with attention over all it is all of them."""
    shape = Streaming(weight_bits=8, chunk=4, left=8)
    whole = [line.replace("chunk: 4, left: 8, ", "") for line in shape.layers()]
    assert any("conformer" in line and "chunk" not in line for line in whole)
    longest: dict[str, list[float]] = {}
    for name, layers in (("chunks", shape.layers()), ("whole", whole)):
        folder = tmp_path / name
        workload = graph(folder, layers, bands=shape.bands)
        architecture = chip(keys(shape) | {"components.attention.frames": 48})
        for length in (12, 48):
            _, execution, operation, _ = run(workload, architecture, [length], shape.stride())
            longest.setdefault(name, []).append(float(latency_ps(execution, operation)[0].max()) / PERIOD_PS)
    assert longest["chunks"] == pytest.approx([3, 3], abs=0.05)
    assert longest["whole"] == pytest.approx([11, 47], abs=0.1)


def test_engines_hold_what_a_chunk_sees_and_no_utterance(tmp_path: Path) -> None:
    """Utterances longer than the attention engine run in chunks; a cache beyond its room does not."""
    shape = Streaming(weight_bits=8, chunk=4, left=8)
    workload = graph(tmp_path, shape.layers(), bands=shape.bands)
    _, execution, _, _ = run(workload, chip(keys(shape)), [40], shape.stride())
    assert execution.outputs is not None and len(execution.outputs) == 40
    with pytest.raises(
        InputError, match=r"layer 'blocks\.0\.attention\.heads' sees 12 frames, 'attention' holds .* 11"
    ):
        deploy(workload, chip(keys(shape) | {"components.attention.frames": 11}))


def test_memory_does_not_grow_with_the_utterance(tmp_path: Path) -> None:
    """Channels are as deep for 8 frames as for 80: a chunk, and what is left of it."""
    shape = Streaming(weight_bits=8, chunk=4, left=8)
    workload = graph(tmp_path, shape.layers(), bands=shape.bands)
    peaks = []
    for length in (16, 80):
        _, _, operation, _ = run(workload, chip(keys(shape)), [length], shape.stride())
        peaks.append(dict(operation.timeline.channel_peak))
    assert peaks[0] == peaks[1]
    into_heads = {name: peak for name, peak in peaks[0].items() if name.endswith("->queue[blocks.0.attention.heads]")}
    from_qkv = [peak for name, peak in into_heads.items() if ".qkv]" in name]
    assert len(from_qkv) == 1 and from_qkv[0] == 8 + 4
