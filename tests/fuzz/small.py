"""Small chips with small networks, an engine of each kind among them, as files that a case lays down and damages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from graphs import Shape, Streaming, tile_keys

ROOT = Path(__file__).parents[2]
SPEECH = {"source": "speech", "dataset": "librivox_sample", "split": "test", "seconds": 0.3}
"""The speech that ships, little of it."""
RECURRENT = (
    {"name": "g", "op": "gru", "input": "features", "units": 6, "weight_bits": 16},
    {"name": "r", "op": "lstm", "input": "g", "units": 5, "weight_bits": 16},
    {"name": "out", "op": "linear", "input": "r", "outputs": 4, "weight_bits": 16},
)


@dataclass(frozen=True)
class Small:
    """A chip and a network, as plain data not to be changed, and further files beside them."""

    chip: Mapping[str, Any]
    network: Mapping[str, Any]
    beside: Mapping[str, bytes]


def text(data: Any) -> str:
    """Return plain data as YAML."""
    return yaml.dump(data, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False, width=200)


@cache
def smalls() -> dict[str, Small]:
    """Return chips with networks by name; each runs in about a second or less."""
    graphs = {
        "conformer": _graph(Shape(bands=24, positions="relative").layers(), 24),
        "stream": _graph(Streaming(width=20).layers(), 8),
        "recurrent": _graph(RECURRENT, 12),
    }
    tiles = {key: value for key, value in tile_keys().items() if key != "placement"}
    tiles |= {"pacing.frame_period": "10 ms", "placement": yaml.safe_load(str(tile_keys()["placement"]))}
    return {
        "rsnn28nm": _of("rsnn28nm", "rsnn_paper_activity", network={"inputs.frames": 12}),
        "memristor_tile": _of("memristor_tile", "tile_frames"),
        "imssa28": _of("imssa28", "s4d_digits"),
        "s4d_digital28": _of("s4d_digital28", "s4d_digits"),
        "state_and_vector": _of("state_and_vector", "s4d_gated"),
        "neurram_core": _of("neurram_core", "neurram_core_full"),
        "wake_word_npu": _of("wake_word_npu", "wake_word"),
        "memristor_conformer": _of("memristor_conformer", graphs["conformer"], tiles),
        "conformer_digital28": _of("conformer_digital28", graphs["conformer"], {"pacing.frame_period": "10 ms"}),
        "edge_npu": _of("edge_npu", graphs["stream"], {"compiler.layout": "BC1S"}),
        "edge_npu, recurrent": _of("edge_npu", graphs["recurrent"]),
    }


def _graph(layers: Any, bands: int) -> dict[str, Any]:
    return {
        "schema": "accelsim/workload@1",
        "name": "small_graph",
        "generated_weights": {"seed": 1},
        "inputs": {**SPEECH, "features": {"bands": bands}},
        "feature_offset": 80,
        "feature_scale": 0.03125,
        "graph": [yaml.safe_load(layer) if isinstance(layer, str) else dict(layer) for layer in layers],
    }


def _of(
    architecture: str, workload: str | dict[str, Any], chip: Mapping[str, Any] = {}, network: Mapping[str, Any] = {}
) -> Small:
    data = yaml.safe_load((ROOT / "arch" / f"{architecture}.yaml").read_text(encoding="utf-8"))
    data["workload"] = "net.yaml"
    beside = {}
    if isinstance(workload, str):
        folder = ROOT / "workloads" / workload
        workload = yaml.safe_load((folder / "workload.yaml").read_text(encoding="utf-8"))
        for key in ("reference_weights", "score", "reference_unit"):
            workload.pop(key, None)
        if "weights" in workload:
            beside[workload["weights"]] = (folder / workload["weights"]).read_bytes()
        if workload["inputs"]["source"] != "random":
            workload["inputs"] = {**workload["inputs"], **SPEECH}
    return Small(_with(data, chip), _with(workload, network), beside)


def _with(data: Any, keys: Mapping[str, Any]) -> Any:
    for key, value in keys.items():
        *parents, last = key.split(".")
        part = data
        for parent in parents:
            part = part[parent]
        part[last] = value
    return data
