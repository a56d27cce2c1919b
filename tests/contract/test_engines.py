"""What every engine promises, whatever it is: asked of each one that is registered, on small networks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from graphs import Streaming, chip, graph
from mixed import ENGINES as ON_MIXED
from mixed import mixed_chip, random_network

from accelsim.architecture import Architecture
from accelsim.placement import ENGINES
from accelsim.testing import EngineContract
from accelsim.workload import Workload

# The references have float32 sums, plain norms and a softmax that is shifted.
PLAIN = {"vector.accumulator": "float32", "vector.norm": "plain", "vector.softmax": "shifted"}
SEEDS = range(12)


class TestEngines(EngineContract):
    """Random networks on a chip with engines of four kinds, and streaming Conformers on an NPU."""

    cases = {name: () for name in ENGINES}
    number = {"npu": "float16"}

    def networks(self, name: str) -> Iterator[tuple[Workload, Architecture]]:
        if name == "npu":
            yield from self.on_npu()
            return
        mine = {engine for engine, spec in ON_MIXED.items() if spec["kind"] == name}
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "network").mkdir()
                network, placement = random_network(Path(folder) / "network", seed, 3 + seed % 7)
                if mine & set(placement.values()):
                    yield network, mixed_chip(Path(folder), placement)

    def on_npu(self) -> Iterator[tuple[Workload, Architecture]]:
        for attention, layout, weights in (("einsum", "BC1S", "streamed"), ("batched", "BSC", "resident")):
            keys = {f"components.{key}": value for key, value in PLAIN.items()}
            keys |= {"compiler.attention": attention, "compiler.layout": layout, "compiler.weights": weights}
            with tempfile.TemporaryDirectory() as folder:
                shape = Streaming(chunk=4, left=6)
                yield graph(Path(folder), shape.layers(), bands=shape.bands), chip(keys, "edge_npu")
