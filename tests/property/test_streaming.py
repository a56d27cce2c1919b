"""Chunk by chunk with state carried along, or all at once with the same frames in sight: the same bits."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from accelsim.execute.inputs import feature_values
from accelsim.execute.npu import npu_values
from accelsim.execute.streaming import Stream
from graphs import Streaming, chip, frames, graph, streaming
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.attention import chunks

KEYS = {
    "components.vector.accumulator": ["float32", "float16"],
    "components.vector.norm": ["plain", "pre_normalised"],
    "components.vector.softmax": ["shifted", "plain", "rescaled"],
    "components.array.accumulator": ["float32", "float16"],
}


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
    npu = chip(keys, "edge_npu")
    batch = frames(workload, [shape.stride() * length + seed % 4 for length in lengths], seed)
    values = feature_values(workload, batch, "float16")
    network = npu_values(workload, npu)
    whole = network.run("features", values, batch.starts)
    found = []
    step = shape.chunk * shape.stride()
    for first, last in pairwise(batch.starts.tolist()):
        stream = Stream(npu_values(workload, npu), "features")
        found += [stream.push(values[a : min(a + step, last)]) for a in range(first, last, step)]
    np.testing.assert_array_equal(np.concatenate([whole[:0], *found]), whole)


def test_what_a_frame_hears(tmp_path: Path) -> None:
    """A change of one input frame is heard in its chunk and as long as caches remember it, never before."""
    shape = Streaming(front="none", blocks=1, kernel=2, chunk=4, left=4)
    workload = graph(tmp_path, shape.layers(), bands=shape.bands)
    batch = frames(workload, [24])
    network = npu_values(workload, chip({}, "edge_npu"))
    values = feature_values(workload, batch, "float16")
    changed = values.copy()
    changed[9] += 1
    differs = (network.run("features", values, batch.starts) != network.run("features", changed, batch.starts)).any(1)
    # Frame 9 is of the chunk 8 .. 11. The convolution with two taps hands it on to frame 10 alone, before attention
    # shows both to their chunk, and to the chunk 12 .. 15, whose cache holds 8 .. 11; nobody else hears of it.
    assert np.flatnonzero(differs).tolist() == list(range(8, 16))


def test_spans_by_hand() -> None:
    """Seven frames, then two, in chunks of three with two before them."""
    spans = chunks(np.array([0, 7, 9]), 3, 2)
    assert spans.tolist() == [[0, 3]] * 3 + [[1, 6]] * 3 + [[4, 7]] + [[7, 9]] * 2
