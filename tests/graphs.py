"""Small graphs for the tests: Conformers with a front end, written to a folder, and the chips that they fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from chips import batch_of, text
from hypothesis import strategies as st

from accelsim.architecture import Architecture, ArchitectureSpec, load_architecture
from accelsim.engines.deploy import Deployment
from accelsim.engines.engine import Grid
from accelsim.engines.execute import Activity, activity_of
from accelsim.inputs import Batch
from accelsim.ops.conformer import Positions
from accelsim.workload import Workload, load_workload

ON_TILES = ", ".join(f"'op:{kind}': {{engine: crossbar_tiles}}" for kind in ("linear", "depthwise", "conv"))
"""Of a placement: matrices lie on tiles, unless something more specific is said of a layer."""
TILE_PARTS = ("tile_inputs", "dac", "crossbar", "sample_hold", "adc", "shift_add", "accumulator")
IDEAL = {
    "components.crossbar.device": "ideal",
    "components.crossbar.wires": "none",
    "components.crossbar.noise": "none",
    "components.adc.ideal": True,
}

FRONTS: Mapping[str, Sequence[str]] = {
    "linear": (),
    "strided": (
        "{name: front.conv, op: conv, input: features, channels: 4, kernel: [3, 1], stride: [2, 1], bands: 1}",
        "{name: front.relu, op: relu, input: front.conv}",
    ),
    "bands": (
        "{name: front.conv.0, op: conv, input: features, channels: 2, stride: [1, 2]}",
        "{name: front.conv.1, op: conv, input: front.conv.0, channels: 3, kernel: [5, 3], stride: [2, 1]}",
    ),
    "wide": (
        "{name: front.conv.0, op: conv, input: features, channels: 8, kernel: [1, 1]}",
        "{name: front.conv.1, op: conv, input: front.conv.0, channels: 66, stride: [1, 2]}",
    ),
    "pooled": (
        "{name: front.conv, op: conv, input: features, channels: 2}",
        "{name: front.relu, op: relu, input: front.conv}",
        "{name: front.pool, op: max_pool, input: front.relu, size: [2, 2]}",
    ),
}
"""Layers before the first matrix, by name."""


@dataclass(frozen=True)
class Shape:
    """A small Conformer: a front end, a matrix, blocks, and a matrix of the outputs."""

    bands: int = 12
    front: str = "linear"
    blocks: int = 1
    width: int = 20
    heads: int = 2
    feed_forward: int = 24
    kernel: int = 3
    positions: Positions = "none"
    reach: int = 4
    order: tuple[str, ...] = ("ff1", "conv", "attention", "ff2")
    weight_bits: int = 4
    outputs: int = 5

    def layers(self) -> list[str]:
        """Return the layers of the graph, one a line of YAML."""
        front = FRONTS[self.front]
        before = front[-1].split("name: ")[1].split(",")[0] if front else "features"
        return [
            *front,
            f"{{name: front.linear, op: linear, input: {before}, outputs: {self.width}}}",
            f"{{name: blocks, op: conformer, input: front.linear, blocks: {self.blocks}, width: {self.width}, "
            f"heads: {self.heads}, feed_forward: {self.feed_forward}, kernel: {self.kernel}, "
            f"positions: {self.positions}, reach: {self.reach}, order: [{', '.join(self.order)}], "
            f"weight_bits: {self.weight_bits}}}",
            f"{{name: output, op: linear, input: blocks.{self.blocks - 1}.norm, outputs: {self.outputs}}}",
        ]


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Draw a small Conformer: any modules in any order, any positions, sizes within a tile of 64 and beyond."""
    heads = draw(st.integers(1, 3))
    modules = draw(st.permutations(["ff1", "conv", "attention", "ff2"]))
    return Shape(
        bands=draw(st.integers(2, 9)),
        front=draw(st.sampled_from(sorted(FRONTS))),
        blocks=draw(st.integers(1, 2)),
        width=2 * heads * draw(st.sampled_from([2, 11, 17])),
        heads=heads,
        feed_forward=draw(st.integers(1, 140)),
        kernel=draw(st.integers(1, 6)),
        positions=draw(st.sampled_from(["none", "relative", "relative_no_linear", "learnable", "learnable_no_linear"])),
        reach=draw(st.integers(1, 6)),
        order=tuple(modules[: draw(st.integers(1, 4))]),
        weight_bits=draw(st.integers(2, 8)),
        outputs=draw(st.integers(2, 70)),
    )


def write_graph(folder: Path, layers: Sequence[str], *, bands: int = 12, seed: int = 1, seconds: float = 1.0) -> Path:
    """Write a graph with generated weights over so many seconds of the sample of speech, and return its path."""
    folder.mkdir(exist_ok=True)
    path = folder / "workload.yaml"
    path.write_text(
        f"""schema: accelsim/workload@1
name: small_graph
generated_weights: {{seed: {seed}}}
inputs: {{source: speech, dataset: librivox_sample, split: test, features: {{bands: {bands}}}, seconds: {seconds}}}
feature_offset: 80
feature_scale: 0.03125
graph:
"""
        + "".join(f"  - {layer}\n" for layer in layers)
    )
    return path


def graph(folder: Path, layers: Sequence[str] | Shape, *, bands: int = 12, seed: int = 1) -> Workload:
    """Return a graph with generated weights, to be run on frames of one's own."""
    if isinstance(layers, Shape):
        bands, layers = layers.bands, layers.layers()
    return load_workload(write_graph(folder, layers, bands=bands, seed=seed))


def frames(workload: Workload, lengths: Sequence[int], seed: int = 0) -> Batch:
    """Return utterances of so many frames of random features; the first ones are the same whatever follows."""
    width = workload.spec.inputs.width()
    codes = np.random.default_rng(seed).integers(0, 256, (sum(lengths), width)).astype(np.uint8)
    return batch_of(codes, [0, *np.cumsum(lengths).tolist()])


def rows_in(workload: Workload, name: str) -> int:
    """Return the rows of a layer in a frame of the outputs."""
    return workload.graph.given.stride // workload.graph.edges[name].stride


def counted(deployment: Deployment, lengths: list[int], watts: Mapping[str, np.ndarray]) -> Activity:
    """Return what the jobs count for utterances of so many frames; ``watts``: of the cells, by layer and row."""
    frame, starts = deployment.frame, np.cumsum([0, *lengths])
    batch = frames(deployment.network, [length * frame for length in lengths])
    runs = {name: engine.start(batch, 0, lambda _: None) for name, engine in deployment.engines.items()}
    for name, power in watts.items():
        run: Any = runs["crossbar_tiles"]
        run.watts[name], run.clipped[name] = power[:, None], 0
        run.starts[name] = starts * rows_in(deployment.network, name)
    return activity_of(deployment, runs, Grid(starts, frame))


def tile_keys(
    *, tiles: int = 80, planes: int = 7, shared_by: int = 64, clusters: int = 2, digital: Sequence[str] = ("front.*",)
) -> dict[str, Any]:
    """Return the keys that make `memristor_conformer` a small chip of 64 x 64 tiles."""
    return {
        **{f"components.{part}.tiles": tiles for part in TILE_PARTS},
        **{f"components.{part}.units": clusters for part in ("vector", "attention", "bus")},
        "components.crossbar.rows": 64,
        "components.crossbar.columns": 64,
        "components.crossbar.planes": planes,
        "components.adc.shared_by": shared_by,
        "components.adc.units": -(-64 * planes // shared_by),
        "components.sample_hold.units": 64 * planes,
        "components.attention.frames": 60,
        "placement": "{" + ", ".join([ON_TILES, *(f"'{layer}': {{engine: digital}}" for layer in digital)]) + "}",
    }


def chip(keys: Mapping[str, Any], name: str = "memristor_conformer") -> Architecture:
    """Return a chip of the library with some keys changed; its wires have no resistance unless a key gives them one."""
    wires = {"components.crossbar.wires": "none"} if "crossbar" in load_architecture(name).components() else {}
    return load_architecture(name, wires | {key: text(value) for key, value in keys.items()})


def without(architecture: Architecture, part: str) -> Architecture:
    """Return a chip without a component."""
    data = architecture.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    data["components"] = {name: spec for name, spec in data["components"].items() if name != part}
    data["channels"] = [channel for channel in data["channels"] if part not in (channel["from"], channel["to"])]
    return dataclasses.replace(architecture, spec=ArchitectureSpec.model_validate(data))


@dataclass(frozen=True)
class Streaming:
    """A small Conformer that streams: a front end with a stride of 4, or none, and blocks in chunks."""

    bands: int = 8
    channels: int = 3
    front: str = "separable"
    blocks: int = 1
    width: int = 12
    heads: int = 2
    feed_forward: int = 20
    kernel: int = 3
    positions: Positions = "relative"
    chunk: int = 4
    left: int = 6
    weight_bits: int = 16
    outputs: int = 5

    def stride(self) -> int:
        """Return the frames of the input in one of the output."""
        return 1 if self.front == "none" else 4

    def layers(self) -> list[str]:
        """Return the layers of the graph, one a line of YAML."""
        bits = f"weight_bits: {self.weight_bits}"
        front = [] if self.front == "none" else [
            f"{{name: c0, op: conv, input: features, channels: {self.channels}, stride: [2, 2], "
            f"bands: {self.bands}, {bits}}}",
            "{name: r0, op: relu, input: c0}",
            f"{{name: c1, op: conv, input: r0, channels: {self.channels}, stride: [2, 2], "
            f"depthwise: {str(self.front == 'separable').lower()}, {bits}}}",
        ]  # fmt: skip
        before = front[-1].split("name: ")[1].split(",")[0] if front else "features"
        return [
            *front,
            f"{{name: front, op: linear, input: {before}, outputs: {self.width}, {bits}}}",
            f"{{name: blocks, op: conformer, input: front, blocks: {self.blocks}, width: {self.width}, "
            f"heads: {self.heads}, feed_forward: {self.feed_forward}, kernel: {self.kernel}, reach: 4, "
            f"positions: {self.positions}, chunk: {self.chunk}, left: {self.left}, {bits}}}",
            f"{{name: output, op: linear, input: blocks.{self.blocks - 1}.norm, outputs: {self.outputs}, {bits}}}",
        ]


@st.composite
def streaming(draw: st.DrawFn) -> Streaming:
    """Draw a small Conformer that streams, of any sizes."""
    heads, chunk = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    return Streaming(
        bands=draw(st.integers(3, 9)),
        channels=draw(st.integers(1, 4)),
        front=draw(st.sampled_from(["none", "vanilla", "separable"])),
        blocks=draw(st.integers(1, 2)),
        width=2 * heads * draw(st.sampled_from([1, 3, 5])),
        heads=heads,
        feed_forward=draw(st.integers(1, 30)),
        kernel=draw(st.integers(1, 5)),
        positions=draw(st.sampled_from(["none", "relative", "relative_no_linear", "learnable", "learnable_no_linear"])),
        chunk=chunk,
        left=draw(st.integers(chunk, 12)),
        weight_bits=draw(st.sampled_from([8, 16])),
        outputs=draw(st.integers(2, 7)),
    )
