"""Ops that join, cut, pool and gate rows, dilated and even kernels, 1-bit weights: on every engine that runs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graphs import IDEAL, chip, frames, graph, tile_keys

from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute
from accelsim.errors import InputError
from accelsim.ops.op import FEATURES, Datapath, Signal
from accelsim.ops.streaming import Stream
from accelsim.workload import Workload

CAUSAL = (
    "{name: c, op: conv, input: features, channels: 3, kernel: [4, 2], dilation: [2, 2], causal: true}",
    "{name: t, op: tanh, input: c}",
    "{name: side, op: slice, input: features, begin: 0, end: 1, of: channels}",
    "{name: both, op: concat, inputs: [t, side]}",
    "{name: p, op: avg_pool, input: both, size: [1, 2]}",
    "{name: l, op: linear, input: p, outputs: 12, weight_bits: 1}",
    "{name: x, op: slice, input: l, end: 6}",
    "{name: g, op: slice, input: l, begin: 6}",
    "{name: gate, op: sigmoid, input: g}",
    "{name: gated, op: multiply, input: x, by: gate}",
    "{name: d, op: depthwise, input: gated, taps: 2, dilation: 3, causal: true, weight_bits: 1}",
    "{name: e, op: gelu, input: d}",
    "{name: output, op: linear, input: e, outputs: 4}",
)
AHEAD = tuple(layer.replace(", causal: true", "") for layer in CAUSAL)
NPU = {"components.vector.accumulator": "float32", "components.vector.norm": "plain",
       "components.vector.softmax": "shifted"}  # fmt: skip


def by_reference(network: Workload, features: Signal, number: str) -> dict[str, np.ndarray]:
    signals = {FEATURES: features}
    for op in network.graph.ops:
        read = [signals[name] for name in op.reads()]
        values = op.reference(read, network.tensors, number)  # type: ignore[arg-type]
        signals[op.name] = Signal(values, op.starts(read), network.graph.edges[op.name])
    return {name: signal.values for name, signal in signals.items()}


@pytest.mark.parametrize("number", ["float32", "float16"])
@pytest.mark.parametrize(
    ("name", "layers", "keys"),
    [("conformer_digital28", CAUSAL, {}), ("conformer_digital28", AHEAD, {}), ("edge_npu", CAUSAL, NPU)],
)
def test_digital_engines_meet_the_references(tmp_path: Path, name, layers, keys, number) -> None:
    network = graph(tmp_path, layers, bands=6, seed=3)
    batch = frames(network, [5, 9, 1])
    run = execute(deploy(network, chip({**keys, "components.vector.number": number}, name)), batch)
    wanted = by_reference(network, batch.signal(network.graph.edges[FEATURES]), number)
    assert np.abs(wanted["output"]).max() > 0.5
    assert run.outputs.tolist() == wanted["output"].tolist()


def test_a_stream_is_the_whole(tmp_path: Path) -> None:
    """Chunk by chunk, dilated and even kernels keep the rows behind them that they need."""
    network = graph(tmp_path, CAUSAL, bands=6, seed=3)
    batch = frames(network, [23])
    whole = by_reference(network, batch.signal(network.graph.edges[FEATURES]), "float32")["output"]
    stream = Stream(network.graph, Datapath(network.tensors))
    parts = [stream.push(part) for part in np.split(batch.features, [1, 3, 4, 11, 18])]
    assert np.concatenate(parts).tolist() == whole.tolist()


def test_tiles_of_ideal_cells(tmp_path: Path) -> None:
    """1-bit matrices and unrolled convolutions with even, dilated kernels lie on tiles."""
    layers = [layer.replace(", dilation: 3", "") for layer in AHEAD]
    network = graph(tmp_path, layers, bands=6, seed=3)
    tiles = tile_keys(digital=["t", "side", "both", "p", "x", "g", "gate", "gated", "e"])
    tiles["placement"] = tiles["placement"][:-1] + "".join(
        f", {name}: {{engine: crossbar_tiles}}" for name in ("c", "l", "d", "output")
    ) + "}"  # fmt: skip
    batch = frames(network, [5, 9, 1])
    keys = {**tiles, **IDEAL, "components.vector.number": "float32"}
    run = execute(deploy(network, chip(keys)), batch)
    wanted = by_reference(network, batch.signal(network.graph.edges[FEATURES]), "float32")["output"]
    assert np.allclose(run.outputs, wanted, atol=1e-3)
    assert run.exact is not None
    assert run.exact().tolist() == wanted.tolist()


def test_a_dilated_depthwise_convolution_is_refused_by_tiles(tmp_path: Path) -> None:
    network = graph(tmp_path, ["{name: d, op: depthwise, input: features, taps: 2, dilation: 3}"], bands=6)
    keys = tile_keys()
    keys["placement"] = "{d: {engine: crossbar_tiles}}"
    with pytest.raises(InputError, match="hold the last rows, one for each tap: they cannot be dilated"):
        deploy(network, chip(keys))
