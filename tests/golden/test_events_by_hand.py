"""Counts of what does not fit, by hand: spikes of long frames, codes of features, words of tiles, sums of a readout."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from chips import batch_of
from graphs import chip, graph
from safetensors.numpy import save_file

import accelsim
from accelsim.architecture import load_architecture
from accelsim.data.features import LogMel
from accelsim.engines.deploy import check_pace, deploy
from accelsim.engines.execute import execute
from accelsim.errors import InputError
from accelsim.inputs import load_batch
from accelsim.kernels.accumulate import spike_rows
from accelsim.kernels.zero_skip import merge
from accelsim.ops.op import FEATURES, Datapath, Signal, evaluate
from accelsim.workload import load_workload


def spiking(folder: Path, steps: int) -> Path:
    """Write one neuron that fires in every time step, and a readout that counts its spikes."""
    save_file({"l.weight": np.array([[7]], np.int8), "y.weight": np.array([[1]], np.int8)}, folder / "w.safetensors")
    (folder / "workload.yaml").write_text(
        f"""schema: accelsim/workload@1
name: counting
weights: w.safetensors
time_steps: {steps}
inputs: {{source: speech, dataset: librivox_sample, split: test, features: {{bands: 1}}}}
graph:
  - {{name: l, op: lif, input: features, neurons: 1, recurrent: false, weight_bits: 4, beta: 0.5, threshold: 1,
     reset: zero}}
  - {{name: y, op: spike_sum, input: l, neurons: 1, weight_bits: 2}}
"""
    )
    return folder


@pytest.mark.parametrize("steps", [255, 256, 300, 1000])
def test_a_neuron_that_always_fires_is_counted_in_every_time_step(steps: int, tmp_path: Path) -> None:
    keys = {"components.pe.accumulator_bits": "16", "components.spike_registers.entries": "1000",
            "components.controller.time_steps": "sequential"}  # fmt: skip
    deployment = deploy(load_workload(spiking(tmp_path, steps)), load_architecture("rsnn28nm", keys))
    found = execute(deployment, batch_of(np.full((2, 1), 200, np.uint8), [0, 2]))
    assert found.outputs.tolist() == [[steps], [steps]]
    assert found.activity.saturations == {"l": 0, "y": 0}


def test_sums_of_spikes_need_more_than_a_byte_and_at_most_32_bits() -> None:
    always = np.ones((1, 300, 2), np.uint8)
    assert merge(always).tolist() == [[300, 300]]
    assert spike_rows(always, np.array([[1], [-128]], np.int8), 1, 32, shared=True)[0].tolist() == [[300 - 128 * 300]]
    with pytest.raises(ValueError, match="sums of weights up to 2147483648 do not fit into 32 bits"):
        spike_rows(np.full((1, 1, 2**17), 128, np.uint8), np.full((2**17, 1), -128, np.int8), 1, 32, shared=True)


def identity(folder: Path, features: int = 12):
    """Return a dense layer that gives its inputs, scales 1, and features that mean their codes, less nothing."""
    network = graph(folder, ["{name: y, op: linear, input: features, outputs: 12}"])
    tensors = {
        "y.weight": np.eye(features, dtype=np.int8), "y.bias": np.zeros(features, np.float32),
        **{f"y.{end}": np.array(1, np.float32) for end in ("weight_scale", "input_scale")},
    }  # fmt: skip
    given = dataclasses.replace(network.graph.edges[FEATURES], scale=1.0, zero_point=0)
    edges = {**network.graph.edges, FEATURES: given}
    return dataclasses.replace(network, tensors=tensors, graph=dataclasses.replace(network.graph, edges=edges))


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("conformer_digital28", {}),
        (
            "memristor_conformer",
            {"placement": "{y: {engine: crossbar_tiles}}", "components.crossbar.device": "ideal",
             "components.crossbar.noise": "none", "components.crossbar.wires": "none",
             "components.crossbar.planes": 7, "components.adc.ideal": True,
             "components.adc.units": 14, "components.sample_hold.units": 896},
        ),
        ("edge_npu", {"components.array.number": "int8", "components.array.accumulator": "int32"}),
    ],
)  # fmt: skip
def test_codes_of_features_beyond_127_are_counted(name: str, keys: dict, tmp_path: Path) -> None:
    """0.1 s of the sample, ten frames of 12 bands: 19 of 120 codes are above 127, on every engine that takes them."""
    network = identity(tmp_path)
    codes = load_batch(network).features[:10]
    assert (codes > 127).sum() == 19
    found = execute(deploy(network, chip(keys, name)), batch_of(codes, [0, 10]))
    assert found.activity.saturations["y"] == 19
    assert found.outputs.max() == 127


def test_clipped_features_of_the_streaming_conformer() -> None:
    """2,463 frames of 80 bands of the sample: 2,427 of 197,040 codes lie further than 127 from 80."""
    network = load_workload("conformer_stream", {"inputs.dataset": "librivox_sample", "score": "null"})
    batch = load_batch(network)
    assert batch.features.size == 197_040
    unit = Datapath(network.tensors, count_exceptions=True)
    signals = {FEATURES: Signal(batch.features, batch.starts, network.graph.edges[FEATURES])}
    evaluate(network.graph.ops[:1], signals, network.graph.edges, unit)
    assert unit.clamped == {network.graph.ops[0].name: 2427}
    assert int((np.abs(batch.features.astype(int) - 80) > 127).sum()) == 2427


def test_a_narrow_shift_and_add_by_hand(tmp_path: Path) -> None:
    """12 inputs of 127 / 128 by weights of 7, cells ideal: each plane's current is 12 x 127 / 128 = 11.9, the converter
    clips at 8, code 128. In 8 bits 128 becomes 127, then 127 + 256 and 127 + 512 become 127: three words a sum. The
    value is 127 steps of 2^-4, in units of weight x code 127 / 16 x 128 = 1016."""
    network = graph(tmp_path, ["{name: y, op: linear, input: features, gives: codes, outputs: 5, weight_bits: 4, "
                               "input_offset: 128}"])  # fmt: skip
    network = dataclasses.replace(
        network, tensors={"y.weight": np.full((12, 5), 7, np.int8), "y.bias": np.zeros(5, np.int32)}
    )
    ideal = {
        "components.crossbar.device": "ideal",
        "components.crossbar.wires": "none",
        "components.crossbar.noise": "none",
    }
    batch = batch_of(np.full((2, 12), 255, np.uint8), [0, 2])
    wide = execute(deploy(network, chip(ideal, "memristor_tile")), batch)
    assert wide.outputs.tolist() == [[7 * 8 * 128] * 5] * 2  # 7 planes' weights by 8, which clips
    assert wide.activity.saturations == {"y": 0}
    assert wide.activity.conversions["y"] == (30, 30)
    narrow = execute(deploy(network, chip(ideal | {"components.shift_add.width_bits": 8}, "memristor_tile")), batch)
    assert narrow.outputs.tolist() == [[1016] * 5] * 2
    assert narrow.activity.saturations == {"y": 2 * 5 * 3}


@pytest.mark.parametrize(("units", "groups"), [(128, 1), (64, 16), (16, 106), (256, 1)])
def test_fewer_adders_behind_the_readout_take_longer(units: int, groups: int) -> None:
    """1,920 outputs are 15 groups of 128 PEs, of which each takes ceil(128 / units) additions; one of each group but
    the last is done while the next group's rows are walked: 15 x 8 - 14 = 106 with 16 adders, 15 x 2 - 14 = 16 with
    64."""
    keys = {"components.fc_accumulator.units": units, "workload.inputs.frames": 20, "operating_points": "{}"}
    result = accelsim.run("rsnn28nm", "rsnn_paper_activity", overrides=keys)
    adders = next(each for each in result.components if each.name == "fc_accumulator")
    assert adders.busy_cycles == 20 * groups


def test_a_narrower_weight_bus_takes_more_words_of_a_row() -> None:
    """A row of 128 weights of 4 bits is one word of 512 wires, eight of 64."""
    counted = {}
    for width in (512, 64):
        keys = {"components.weight_bus.width_bits": width, "workload.inputs.frames": 20, "operating_points": "{}"}
        result = accelsim.run("rsnn28nm", "rsnn_paper_activity", overrides=keys)
        counted[width] = next(each for each in result.components if each.name == "weight_bus").actions["transfer"]
    assert counted[64] == 8 * counted[512]


def test_utterances_too_long_for_attention_are_refused_before_a_value_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = graph(tmp_path, ["{name: x, op: linear, input: features, outputs: 36}",
                               "{name: y, op: attention, input: x, heads: 2}"])  # fmt: skip
    deployment = deploy(network, load_architecture("conformer_digital28"))

    def computed(*_: object) -> None:
        raise AssertionError("values were computed")

    monkeypatch.setattr("accelsim.engines.digital.evaluate", computed)
    with pytest.raises(
        InputError, match="1 utterances are longer than the 256 frames of engine 'digital': 'u1' has 257"
    ):
        execute(deployment, batch_of(np.zeros((513, 12), np.uint8), [0, 256, 513]))


@pytest.mark.parametrize(("period", "right"), [("40 ms", False), ("20 ms", True), ("10 ms", False)])
def test_a_chip_is_paced_as_its_features_come(period: str, right: bool, tmp_path: Path) -> None:
    """Features every 20 ms: of 40, 20 and 10 ms only 20 is right."""
    source = Path(graph(tmp_path, ["{name: y, op: linear, input: features, gives: codes, outputs: 5, weight_bits: 4}"]
                        ).folder) / "workload.yaml"  # fmt: skip
    source.write_text(source.read_text().replace("{bands: 12}", "{bands: 12, hop_s: 0.02}"))
    architecture = load_architecture("memristor_tile", {"pacing": f"{{mode: real_time, frame_period: {period}}}"})
    deployment = deploy(load_workload(source), architecture)
    if right:
        check_pace(deployment, architecture)
        return
    with pytest.raises(InputError, match=f"'frame_period' is {period}, and a frame takes one row of features of 20 ms"):
        check_pace(deployment, architecture)
    check_pace(deployment, load_architecture("memristor_tile"))  # back to back nothing waits


def test_rows_that_a_network_subsamples_are_counted_into_the_pace() -> None:
    """A frame of memristor_conformer is four rows of 10 ms, and a chunk of edge_npu arrives after 64 of them."""
    for name, right, wrong in [("memristor_conformer", "40 ms", "10 ms"), ("edge_npu", "10 ms", "40 ms")]:
        architecture = load_architecture(name)
        keys = {} if name == "edge_npu" else {"inputs.dataset": "an4"}
        deployment = deploy(load_workload(architecture.spec.workload, keys), architecture)
        check_pace(deployment, load_architecture(name, {"pacing.frame_period": right}))
        with pytest.raises(InputError, match=f"{name}' *: 'frame_period' is {wrong}, and a frame takes .*{right}"):
            check_pace(deployment, load_architecture(name, {"pacing.frame_period": wrong}))


def test_filters_without_a_bin_are_refused() -> None:
    with pytest.raises(ValueError, match="200"):
        LogMel(bands=200)
    LogMel(bands=80)
