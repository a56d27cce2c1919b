"""Chunk by chunk with state carried along, or all at once with the same frames in sight: the same bits."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from graphs import Streaming, chip, frames, graph, streaming
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.engines.npu.run import datapath as npu_datapath
from accelsim.kernels.attention import chunks
from accelsim.ops.op import FEATURES, Datapath, Signal, evaluate
from accelsim.ops.streaming import Stream
from accelsim.workload import Workload, load_workload

KEYS = {
    "components.vector.accumulator": ["float32", "float16"],
    "components.vector.norm": ["plain", "pre_normalised"],
    "components.vector.softmax": ["shifted", "plain", "rescaled"],
    "components.array.accumulator": ["float32", "float16"],
}


def datapath(workload: Workload, keys: dict[str, str]) -> Datapath:
    """Return how a chip computes a network."""
    npu = chip(keys, "edge_npu").components()
    return npu_datapath(workload, npu["array"], npu["vector"])  # type: ignore[arg-type]


def at_once(workload: Workload, keys: dict[str, str], features: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the outputs of whole utterances."""
    network = workload.graph
    signals = {FEATURES: Signal(features, starts, network.edges[FEATURES])}
    evaluate(network.ops, signals, network.edges, datapath(workload, keys))  # type: ignore[arg-type]
    return signals[network.last.name].values


@settings(max_examples=40, deadline=None)
@given(
    streaming(),
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.integers(0, 2**16),
    st.fixed_dictionaries({key: st.sampled_from(values) for key, values in KEYS.items()}),
)
def test_chunks_equal_the_whole(
    tmp_path_factory: pytest.TempPathFactory, shape: Streaming, lengths: list[int], seed: int, keys: dict[str, str]
) -> None:
    workload = graph(tmp_path_factory.mktemp("stream"), shape.layers(), bands=shape.bands, seed=seed)
    batch = frames(workload, [shape.stride() * length + seed % 4 for length in lengths], seed)
    whole = at_once(workload, keys, batch.features, batch.starts)
    found = []
    step = shape.chunk * shape.stride()
    for first, last in pairwise(batch.starts.tolist()):
        stream = Stream(workload.graph, datapath(workload, keys))
        found += [stream.push(batch.features[a : min(a + step, last)]) for a in range(first, last, step)]
    np.testing.assert_array_equal(np.concatenate([whole[:0], *found]), whole)


def test_what_a_frame_hears(tmp_path: Path) -> None:
    """A change of one input frame is heard in its chunk and as long as caches remember it, never before."""
    shape = Streaming(front="none", blocks=1, kernel=2, chunk=4, left=4)
    workload = graph(tmp_path, shape.layers(), bands=shape.bands)
    batch = frames(workload, [24])
    changed = batch.features.copy()
    changed[9] ^= 64
    before, after = (at_once(workload, {}, each, batch.starts) for each in (batch.features, changed))
    differs = (before != after).any(1)
    # Frame 9 is of the chunk 8 .. 11. The convolution with two taps hands it on to frame 10 alone, before attention
    # shows both to their chunk, and to the chunk 12 .. 15, whose cache holds 8 .. 11; nobody else hears of it.
    assert np.flatnonzero(differs).tolist() == list(range(8, 16))


def test_spans_by_hand() -> None:
    """Seven frames, then two, in chunks of three with two before them."""
    spans = chunks(np.array([0, 7, 9]), 3, 2)
    assert spans.tolist() == [[0, 3]] * 3 + [[1, 6]] * 3 + [[4, 7]] + [[7, 9]] * 2


def test_convolutions_alone_stream_in_any_whole_rows(tmp_path: Path) -> None:
    """Two strides of two: rows of four frames, in one push, in pushes of one row or of several, the last one a part."""
    workload = graph(tmp_path, CONVOLUTIONS, bands=6)
    batch = frames(workload, [27])
    whole = at_once(workload, {}, batch.features, batch.starts)
    assert len(whole) == 7
    for pushes in ([27], [4] * 6 + [3], [8, 4, 12, 3], [24, 3]):
        stream, ends = Stream(workload.graph, datapath(workload, {})), np.cumsum([0, *pushes])
        found = [stream.push(batch.features[a:b]) for a, b in pairwise(ends)]
        np.testing.assert_array_equal(np.concatenate(found), whole)


CONVOLUTIONS = [
    "{name: a, op: conv, input: features, channels: 3, stride: [2, 1], weight_bits: 16}",
    "{name: b, op: conv, input: a, channels: 2, kernel: [3, 1], stride: [2, 1], weight_bits: 16}",
    "{name: c, op: depthwise, input: b, taps: 4, causal: true, weight_bits: 16}",
]


def test_chunks_of_a_wrong_length(tmp_path: Path) -> None:
    """Longer than the attention's, after a shorter one, empty, or of another width: refused, and nothing is kept."""
    shape = Streaming(front="none", chunk=4, left=4)
    workload = graph(tmp_path, shape.layers(), bands=shape.bands)
    codes = frames(workload, [16]).features
    stream = Stream(workload.graph, datapath(workload, {}))
    for wrong, message in (
        (codes[:8], "expected a chunk of 4 frames, the last one at most so many, found 8"),
        (codes[:0], "a chunk has at least one frame, found none"),
        (codes[:4, :5], r"expected a chunk of \[frames, 8\] features, found \[4, 5\]"),
    ):
        with pytest.raises(ValueError, match=message):
            stream.push(wrong)
    assert len(stream.push(codes[:4])) == 4
    assert len(stream.push(codes[4:7])) == 3
    for after in (codes[7:11], codes[7:10]):
        with pytest.raises(ValueError, match="so it was the last: begin a new stream"):
            stream.push(after)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["{name: d, op: depthwise, input: features, taps: 3}"], "layer 'd' looks ahead, beyond the end of a chunk"),
        (["{name: d, op: conv, input: features, channels: 2}"], "layer 'd' looks ahead, beyond the end of a chunk"),
        (["{name: q, op: linear, input: features, outputs: 6}", "{name: h, op: attention, input: q, heads: 1}"],
         "layer 'h' looks ahead, beyond the end of a chunk"),
        (["{name: q, op: linear, input: features, outputs: 18}",
          "{name: h, op: attention, input: q, heads: 1, chunk: 2, left: 4}",
          "{name: i, op: attention, input: h, heads: 1, chunk: 4, left: 4}"],
         "layers 'h', 'i' work on chunks of different lengths"),
    ],
)  # fmt: skip
def test_graphs_that_do_not_stream(tmp_path: Path, layers: list[str], message: str) -> None:
    workload = graph(tmp_path, layers, bands=4)
    with pytest.raises(ValueError, match=message):
        Stream(workload.graph, Datapath(workload.tensors))


def test_rows_beyond_the_last_do_not_stream(tmp_path: Path) -> None:
    """Padding of two rows for a kernel of one makes two rows more than it reads."""
    layer = "{name: d, op: conv, input: features, channels: 2, kernel: [1, 1], bands: 1, padding: [[2, 0], [0, 0]]}"
    workload = graph(tmp_path, [layer], bands=4)
    stream = Stream(workload.graph, Datapath(workload.tensors))
    with pytest.raises(ValueError, match="layer 'd' makes 5 rows of 3, one for each 1: it pads"):
        stream.push(frames(workload, [3]).features)


def test_neurons_do_not_stream() -> None:
    workload = load_workload("rsnn_paper_activity")
    with pytest.raises(ValueError, match=r"layer 'l0' \(lif\) is no op of a datapath"):
        Stream(workload.graph, Datapath({}))
