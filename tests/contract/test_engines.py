"""What every engine promises, whatever it is: asked of each one that is registered, on small networks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from graphs import Streaming, chip, graph
from mixed import ENGINES as ON_MIXED
from mixed import mixed_chip, random_network
from recurrent import LSTM, H, network

from accelsim.architecture import Architecture
from accelsim.placement import ENGINES
from accelsim.testing import EngineContract
from accelsim.workload import Workload

# The references have float32 sums, plain norms and a softmax that is shifted.
PLAIN = {"vector.accumulator": "float32", "vector.norm": "plain", "vector.softmax": "shifted"}
SEEDS = range(12)
INTEGERS = [
    "{name: c, op: conv, input: features, channels: 4, kernel: [5, 1], stride: [3, 1], bands: 1, "
    "padding: [[2, 0], [0, 0]], output: {scale: 0.05, zero_point: -128, low: -128}}",
    "{name: d, op: conv, input: c, channels: 8, kernel: [3, 1], depthwise: true, padding: [[2, 0], [0, 0]], "
    "output: {scale: 0.05, zero_point: 3}}",
    "{name: ring, op: stack, input: d, rows: 3, padding: 2}",
    "{name: l, op: linear, input: ring, outputs: 2, output: {scale: 0.1, zero_point: 0}}",
    "{name: p, op: sigmoid, input: l, output: {scale: 0.00390625, zero_point: -128}}",
]
"""A network whose step is three frames."""
RECURRENT = {
    "r": f"input: features, units: 5, {LSTM}",
    "s": f"input: r, units: 4, op: gru, reset_after: false, {H}",
    "t": f"input: s, units: 6, op: delta_gru, threshold: 0.05, {H}",
}


class TestEngines(EngineContract):
    """Random networks on a chip with engines of four kinds, and streaming Conformers on an NPU."""

    cases = {name: () for name in ENGINES}
    number = {"npu": "float16"}

    def networks(self, name: str) -> Iterator[tuple[Workload, Architecture]]:
        if name == "npu":
            yield from self.on_npu()
            return
        for engine in ("digital", "clusters"):
            if ON_MIXED[engine]["kind"] == name:
                with tempfile.TemporaryDirectory() as folder:
                    layers = [f"{{name: {layer}, {keys}}}" for layer, keys in RECURRENT.items()]
                    chip_of_all = mixed_chip(Path(folder), dict.fromkeys(RECURRENT, engine))
                    yield graph(Path(folder) / "recurrent", layers, bands=3), chip_of_all
        mine = {engine for engine, spec in ON_MIXED.items() if spec["kind"] == name}
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "network").mkdir()
                network, placement = random_network(Path(folder) / "network", seed, 3 + seed % 7)
                if mine & set(placement.values()):
                    yield network, mixed_chip(Path(folder), placement)

    def on_npu(self) -> Iterator[tuple[Workload, Architecture]]:
        for keys in ({}, {"components.array.number": "int8", "components.array.accumulator": "int32"}):
            with tempfile.TemporaryDirectory() as folder:
                yield graph(Path(folder), INTEGERS, bands=5), chip(keys, "edge_npu")
        for layer in ("op: lstm, weight_bits: 16", f"op: gru, reset_after: false, {H}"):
            with tempfile.TemporaryDirectory() as folder:
                keys = {"components.vector.accumulator": "float32"}
                yield network(Path(folder), layer, units=5, inputs=4, seed=1, chunk=3), chip(keys, "edge_npu")
        for attention, layout, weights in (("einsum", "BC1S", "streamed"), ("batched", "BSC", "resident")):
            keys = {f"components.{key}": value for key, value in PLAIN.items()}
            keys |= {"compiler.attention": attention, "compiler.layout": layout, "compiler.weights": weights}
            with tempfile.TemporaryDirectory() as folder:
                shape = Streaming(chunk=4, left=6)
                yield graph(Path(folder), shape.layers(), bands=shape.bands), chip(keys, "edge_npu")
