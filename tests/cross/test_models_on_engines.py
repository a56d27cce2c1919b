"""Networks that others trained, on every engine: each tensor as its definition, step by step as well, weights resident.

Takes the wake words of PyPI's pymicro-wakeword and MLPerf Tiny's keyword spotting from ``ACCELSIM_DATA/models``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import IDEAL, chip

from accelsim.importers.importer import import_model, write
from accelsim.ops.op import FEATURES, Datapath, DatapathOp, Signal
from accelsim.ops.streaming import Stream
from accelsim.pipeline import run_in_full
from accelsim.record import record
from accelsim.testing import run_small
from accelsim.workload import Workload

TILES = {
    "components.features.entries": 500, "components.activations.rows": 8192,
    "components.crossbar.planes": 7, "components.sample_hold.units": 896, "components.adc.units": 14,
    "programming_runs": 1, "placement": "{'op:linear': {engine: crossbar_tiles}, 'op:conv': {engine: crossbar_tiles}}",
    **IDEAL,
}  # fmt: skip
INT8 = {"components.array.number": "int8", "components.array.accumulator": "int32"}
CHIPS: dict[str, tuple[str, dict[str, Any]]] = {
    "npu": ("edge_npu", {}),
    "npu, int8, resident": ("edge_npu", {"compiler.weights": "resident", **INT8}),
    "digital": ("conformer_digital28", {"components.features.entries": 500, "components.activations.rows": 8192}),
    "tiles": ("memristor_conformer", TILES),
}


def wake_words() -> Path:
    spec = find_spec("pymicro_wakeword")
    if spec is None or spec.origin is None:
        pytest.skip("pymicro-wakeword is not installed")
    return Path(spec.origin).parent / "models"


def model_file(name: str) -> Path:
    pytest.importorskip("tflite")
    if name != "kws_ref_model":
        return wake_words() / f"{name}.tflite"
    path = Path(os.environ.get("ACCELSIM_DATA", "")) / "models" / f"{name}.tflite"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


def imported(name: str, folder: Path, **settings: Any) -> Workload:
    return write(import_model(model_file(name), settings), folder)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Workload]]:
    made: dict[str, Workload] = {}
    yield made


def network(made: dict[str, Workload], name: str, folder: Path) -> Workload:
    if name not in made:
        made[name] = imported(name, folder / name)
    return made[name]


@pytest.mark.parametrize("on", CHIPS)
@pytest.mark.parametrize("name", ["okay_nabu", "hey_jarvis", "kws_ref_model"])
def test_each_tensor_is_its_definition(tmp_path: Path, networks: dict[str, Workload], name: str, on: str) -> None:
    workload = network(networks, name, tmp_path)
    chip_name, keys = CHIPS[on]
    ran = run_small(workload, chip(keys, chip_name), (1, 1) if workload.spec.clips else (40, 3))
    for op in workload.graph.ops:
        read = [ran.signals[one] for one in op.reads()]
        assert np.array_equal(ran.signals[op.name].values, op.reference(read, workload.tensors)), op.name


@pytest.mark.parametrize("name", ["okay_nabu", "alexa"])
def test_steps_are_the_whole_recording(tmp_path: Path, networks: dict[str, Workload], name: str) -> None:
    """Every tensor of 120 steps, one, two or three at a time; the state has as many codes as the file's variables."""
    workload = network(networks, name, tmp_path)
    edge = workload.graph.edges[FEATURES]
    codes = np.random.default_rng(7).integers(0, 256, (360, edge.width)).astype(np.uint8)
    whole = {FEATURES: Signal(codes, np.array([0, len(codes)]), edge)}
    for op in workload.graph.ops:
        assert isinstance(op, DatapathOp)
        values, starts = op.compute([whole[one] for one in op.reads()], Datapath(workload.tensors))
        whole[op.name] = Signal(values, starts, workload.graph.edges[op.name])
    stream = Stream(workload.graph, Datapath(workload.tensors))
    step = workload.graph.given.stride
    ends = [*np.cumsum([0, *([step, 2 * step, 3 * step] * 20)]).tolist()]
    pushed = [stream.signals(codes[a:b]) for a, b in pairwise(ends)]
    for op in workload.graph.ops:
        found = np.concatenate([signals[op.name].values for signals in pushed])
        assert np.array_equal(found, whole[op.name].values), op.name
    graph = workload.graph
    behind = sum(op.window(graph.read(op)).behind * graph.edges[op.reads()[0]].width for op in graph.ops)
    kept = sum(state.size for state in stream.state.values() if state is not None)
    # A state is kept in whole strides: the first convolution reads two rows behind, and keeps three.
    assert 0 <= kept - behind < step * edge.width


def test_what_resident_weights_save(tmp_path: Path) -> None:
    """A step of a wake word in real time: without them LPDDR brings all weights every 30 ms."""
    workload = imported(
        "okay_nabu", tmp_path / "net", dataset="librivox_sample", split="test", features="micro"
    )  # fmt: skip
    keys = {"operating_points": "{}", "workload.inputs.seconds": "1.5"}
    one = {"compiler.weights": "resident"}
    streamed, resident = (record(run_in_full("edge_npu", workload.folder, overrides=keys | more)) for more in ({}, one))
    steps = resident.performance.frames
    assert steps == 50 and resident.performance.latency_cycles.p50 < streamed.performance.latency_cycles.p50
    load = resident.first_load
    assert load is not None and load.bytes == sum(
        tensor.size for name, tensor in workload.tensors.items() if name.endswith(".weight")
    )
    # Streamed, weights of at most half of a bank come whole: what each step loads is what the first one does.
    saved = (streamed.energy.dynamic_j - resident.energy.dynamic_j) / (steps - 1)
    assert saved == pytest.approx(load.energy_j, rel=1e-6)
