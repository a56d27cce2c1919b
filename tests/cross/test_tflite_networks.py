"""Small TFLite networks that together have every op and option: each tensor of each run as three runtimes give it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tflite_cases import NETWORKS, features
from tflite_networks import compared, here, translated

from accelsim.importers.importer import import_model, write
from accelsim.ops.floating import float_outputs
from accelsim.ops.op import FEATURES, Signal

RUNTIMES = {"micro": "double_away", "optimised": "double_up", "default": "single"}


@pytest.fixture(autouse=True)
def _installed() -> None:
    for needed in ("tflite", "ai_edge_litert", "tflite_micro"):
        pytest.importorskip(needed)


NOT_IN = {
    ("unbiased", "optimised"): "LiteRT asks for a bias",
    ("unbiased", "default"): "LiteRT asks for a bias",
    ("other_scales", "micro"): "it takes a RELU6's codes for those of its input",
}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_of_every_run_is_that_of_the_runtime(name: str, runtime: str) -> None:
    if reason := NOT_IN.get((name, runtime)):
        pytest.skip(reason)
    data = NETWORKS[name]()
    kind = {"real_ends": "float32", "bytes_in": "uint8"}.get(name, "int8")
    found = compared(data, features(data), RUNTIMES[runtime], runtime, kind=kind)
    assert found.wrong() == {}
    for index, values in found.theirs.items():
        assert len(np.unique(values)) > 8, f"{found.names[index]} says nothing: {np.unique(values)}"


@pytest.mark.parametrize("name", ["same_and_valid", "wake_word", "lstm"])
def test_the_float_network_is_that_of_the_numbers_the_integers_stand_for(name: str, tmp_path: Path) -> None:
    """Where nothing is rounded, outputs differ by a few codes: 7 % of the range at most, 1.5 % on average."""
    data = NETWORKS[name]()
    path = tmp_path / f"{name}.tflite"
    path.write_bytes(data)
    made = write(import_model(path, {"reference": True}), tmp_path / name)
    assert made.reference is not None
    rows = features(data, 12)
    translation, graph, _, _ = translated(data, "double_away")
    clip = len(rows) if translation.streaming or not translation.mixes else translation.step
    starts = np.arange(0, len(rows) + 1, clip)
    signal = Signal(rows, starts, made.graph.edges[FEATURES])
    real = np.concatenate(list(float_outputs(made.graph, made.reference, signal, None)))
    edge = graph.given
    codes = here(data, rows, "double_away")[2].values.astype(np.float32)
    apart = np.abs((codes - edge.zero_point) * edge.scale - real) / (256 * edge.scale)
    assert apart.max() < 0.07 and apart.mean() < 0.015
    assert np.std(real) > 0.02 * 256 * edge.scale
