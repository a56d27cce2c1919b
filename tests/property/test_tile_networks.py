"""Networks of several layers on tiles that work alone: convolutions by their unrolled matrix, chains, two engines."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chips import batch_of, tiles
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from accelsim.architecture import Architecture, load_architecture
from accelsim.devices import load_device
from accelsim.engines.crossbar_tiles import Convert, Deliver, Read, Send, Sum
from accelsim.engines.deploy import Deployment, deploy
from accelsim.engines.execute import Execution, execute
from accelsim.errors import InputError
from accelsim.kernels.converters import AdcTransfer, DacTransfer, dac_codes
from accelsim.kernels.crossbar import program_tiles
from accelsim.kernels.product import multiply
from accelsim.library import root
from accelsim.pipeline import operate
from accelsim.schema import load_yaml
from accelsim.workload import Workload, load_workload

BANDS = 6
IDEAL = {
    "components.crossbar.device": "ideal",
    "components.crossbar.wires": "none",
    "components.crossbar.noise": "none",
    "components.adc.ideal": "true",
}
SMALL = {
    **tiles(60), "components.crossbar.rows": "64", "components.crossbar.columns": "64", "components.adc.units": "24",
}  # fmt: skip


def network(layers: Sequence[str], weights: Mapping[str, np.ndarray], bands: int = BANDS) -> Workload:
    """Return a network of the given layers, one a line of YAML, over features less 128."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_file(dict(weights), folder / "weights.safetensors")
        (folder / "workload.yaml").write_text(
            f"""schema: accelsim/workload@1
name: layers
weights: weights.safetensors
inputs: {{source: speech, dataset: librivox_sample, split: test, features: {{bands: {bands}}}}}
graph:
"""
            + "".join(f"  - {layer}\n" for layer in layers)
        )
        return load_workload(folder)


def run(
    workload: Workload, chip: Architecture, lengths: Sequence[int], seed: int = 0
) -> tuple[np.ndarray, Deployment, Execution]:
    """Return random features [frames, bands], the deployment and its execution; every job comes to an end."""
    starts = np.cumsum([0, *lengths])
    features = np.random.default_rng(seed).integers(0, 256, (starts[-1], workload.spec.inputs.width())).astype(np.uint8)
    deployment = deploy(workload, chip)
    execution = execute(deployment, batch_of(features, starts.tolist()), seed=seed)
    operate(chip, deployment.schedule, execution.activity, execution.frames)
    return features, deployment, execution


def convolved(x: np.ndarray, weights: np.ndarray, stride: Sequence[int]) -> np.ndarray:
    """One utterance, one product at a time: [frames, bands, in] * [taps, taps, in, out] -> [frames', bands', out]."""
    rows, bands = -(-len(x) // stride[0]), -(-x.shape[1] // stride[1])
    y = np.zeros((rows, bands, weights.shape[3]), int)
    for t, b, i, j in np.ndindex(rows, bands, *weights.shape[:2]):
        frame, band = t * stride[0] + i - weights.shape[0] // 2, b * stride[1] + j - weights.shape[1] // 2
        if 0 <= frame < len(x) and 0 <= band < x.shape[1]:
            y[t, b] += x[frame, band] @ weights[i, j]
    return y


def words(sums: np.ndarray, scale: float) -> np.ndarray:
    """Sums as signed words of eight bits, halves to even."""
    return np.array([max(-128, min(127, round(value * scale))) for value in sums.flat], int).reshape(sums.shape)


@settings(max_examples=25, deadline=None)
@given(
    kernels=st.tuples(st.tuples(st.sampled_from([1, 3, 5]), st.sampled_from([1, 3])), st.sampled_from([1, 3])),
    channels=st.tuples(st.integers(1, 9), st.integers(1, 70)),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    over_time=st.sampled_from([(1, 1), (1, 2), (3, 2)]),
    over_bands=st.integers(1, 2),
    copies=st.integers(1, 2),
    cell_bits=st.integers(1, 3),
    mode=st.sampled_from(["amplitude", "bit_serial"]),
    sign=st.sampled_from(["pair", "offset"]),
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=3),
)
def test_two_convolutions_are_exact_and_counted(
    kernels, channels, strides, over_time, over_bands, copies, cell_bits, mode, sign, lengths
) -> None:
    """To the bit on ideal cells and converters; counts are those of the unrolled matrices, tile by tile.

    ``over_time``: taps and stride of the second, which needs no later frame than its own.
    """
    copies = copies if over_time[0] == 1 else 1
    kernels, strides = [kernels[0], (over_time[0], kernels[1])], [strides, (over_time[1], over_bands)]
    generator, scale = np.random.default_rng(1), 2.0**-9
    shapes = [(*kernels[0], 1, channels[0]), (*kernels[1], *channels)]
    weights = {name: generator.integers(-7, 8, shape, np.int8) for name, shape in zip("ab", shapes, strict=True)}
    common = "op: conv, weight_bits: 4, gives: codes"
    layers = [
        f"{{name: a, {common}, input: features, bands: {BANDS}, channels: {channels[0]}, kernel: {list(kernels[0])}, "
        f"stride: {list(strides[0])}, weights: a, input_offset: 128}}",
        f"{{name: b, {common}, input: a, channels: {channels[1]}, kernel: {list(kernels[1])}, "
        f"stride: {list(strides[1])}, weights: b, input_scale: {scale}}}",
    ]
    chip = load_architecture(
        "memristor_tile",
        {
            **SMALL, **IDEAL, "components.crossbar.cell_bits": str(cell_bits), "components.dac.mode": mode,
            "components.crossbar.sign": sign, "components.crossbar.planes": "4", "components.adc.units": "32",
            "placement": f"{{b: {{copies: {copies}}}}}",
        },
    )  # fmt: skip
    features, deployment, execution = run(network(layers, weights), chip, lengths)
    wanted = []
    for first, last in pairwise(np.cumsum([0, *lengths])):
        inner = convolved(features[first:last, :, None].astype(int) - 128, weights["a"].astype(int), strides[0])
        outer = convolved(words(inner, scale), weights["b"].astype(int), strides[1])
        wanted.append(outer.reshape(len(outer), -1))
    np.testing.assert_array_equal(execution.outputs, np.concatenate(wanted))
    assert execution.activity.saturations["a"] == 0

    counts, macs = recount(deployment, execution.frames, {"a": BANDS, "b": -(-BANDS // strides[0][1])}, strides, copies)
    found = {
        key: {name: values.tolist() for name, values in of.items()} for key, of in execution.activity.counts.items()
    }
    for where, actions in counts.items():
        for action, by_frame in actions.items():
            assert found[where][action] == by_frame, (where, action)
    happened = {key for key, of in found.items() if any(map(any, of.values()))}  # a copy may have no frame to work on
    assert happened - {("load", "input_buffer")} == counts.keys()
    assert {job: of["performed"] for job, of in execution.activity.macs.items()} == macs


def recount(
    deployment: Deployment, frames: int, bands: Mapping[str, int], strides: Sequence[Sequence[int]], copies: int
) -> tuple[dict[tuple[str, str], dict[str, list[int]]], dict[str, int]]:
    """Count what every tile does, vector by vector: {(job, component): {action: by frame}}, and products by job."""
    chip, tensors = deployment.chip, deployment.network.tensors
    crossbar, dac, bus, adders = (chip.components()[name] for name in ("crossbar", "dac", "tile_bus", "accumulator"))
    bits = 3 if crossbar.sign == "pair" else 4
    planes = len(range(0, bits, crossbar.cell_bits))
    arrays = planes * (2 if crossbar.sign == "pair" else 1)
    counts: dict[Any, Any] = defaultdict(lambda: defaultdict(lambda: [0] * frames))
    macs: dict[str, int] = defaultdict(int)
    number = 0
    for name, stride in zip("ab", strides, strict=True):
        inputs, outputs = tensors[name].reshape(-1, tensors[name].shape[-1]).shape
        places = len(range(0, bands[name], stride[1]))
        rows = deployment.frame // (strides[0][0] * (strides[1][0] if name == "b" else 1))
        row_tiles = range(0, inputs, crossbar.rows)
        for copy in range(copies if name == "b" else 1):
            for top in row_tiles:
                for left in range(0, outputs, crossbar.columns):
                    at, job = f"[{number}]", f"{name}[{number}]"
                    used, columns = min(crossbar.rows, inputs - top), min(crossbar.columns, outputs - left)
                    number += 1
                    for t in range(frames):
                        mine = t % (copies if name == "b" else 1) == copy
                        for _ in range(rows * places if mine else 0):
                            counts[f"{job}.deliver", f"tile_inputs{at}"]["write"][t] += used
                            transfers = len(range(0, used * 8, bus.width_bits))
                            counts[f"{job}.deliver", "tile_bus"]["transfer"][t] += transfers
                            for phase in range(8 if dac.mode == "bit_serial" else 1):
                                read, convert = f"{job}.read.{phase}", f"{job}.convert.{phase}"
                                counts[read, f"crossbar{at}"]["phases"][t] += 1
                                counts[read, f"dac{at}"]["drive"][t] += used * arrays
                                counts[read, f"sample_hold{at}"]["sample"][t] += columns * planes
                                counts[convert, f"adc{at}"]["convert"][t] += columns * planes
                                counts[convert, f"shift_add{at}"]["add"][t] += columns * planes
                            counts[f"{job}.send", f"tile_outputs{at}"]["write"][t] += columns
                            transfers = len(range(0, columns * 16, bus.width_bits))
                            counts[f"{job}.send", "tile_bus"]["transfer"][t] += transfers
        for t in range(frames):
            for _ in range(rows * places):
                added = outputs * (len(row_tiles) - 1)
                of = counts[f"{name}.sum", "accumulator"]
                of["add"][t] += added
                of["write"][t] += outputs
                of["groups"][t] += len(range(0, max(added, outputs), adders.units))
                macs[f"{name}.sum"] += inputs * outputs
    # Jobs of a kind are there once a tile, and the sum once a layer.
    kinds = [type(job.work) for job in deployment.schedule.jobs]
    assert kinds.count(Deliver) == kinds.count(Send) == number and kinds.count(Sum) == 2
    assert kinds.count(Read) == kinds.count(Convert) == number * (8 if dac.mode == "bit_serial" else 1)
    return {key: dict(of) for key, of in counts.items()}, dict(macs)


@pytest.mark.parametrize(("taps", "stride", "refused"), [(3, 1, True), (5, 2, True), (3, 2, False), (1, 1, False)])
def test_a_layer_that_waits_for_later_sums_is_refused(taps: int, stride: int, refused: bool) -> None:
    """The one accumulator would wait for sums of a frame that it has not come to: nothing would move any more."""
    layers = [
        f"{{name: a, op: conv, input: features, bands: {BANDS}, channels: 2, weights: a, weight_bits: 4, "
        "gives: codes}",
        f"{{name: b, op: conv, input: a, channels: 2, kernel: [{taps}, 1], stride: [{stride}, 1], weights: b, "
        "weight_bits: 4, gives: codes}",
    ]
    weights = {"a": np.ones((3, 3, 1, 2), np.int8), "b": np.ones((taps, 1, 2, 2), np.int8)}
    if not refused:
        run(network(layers, weights), load_architecture("memristor_tile", {**SMALL, **IDEAL}), [5])
        return
    with pytest.raises(InputError, match=r"'b' needs later frames of layers before it, and 'accumulator' does"):
        deploy(network(layers, weights), load_architecture("memristor_tile", {**SMALL, **IDEAL}))


def test_copies_do_not_share_the_frames_around_their_own() -> None:
    chip = load_architecture("memristor_tile", {**SMALL, **IDEAL, "placement": "{a: {copies: 2}}"})
    layer = f"{{name: a, op: conv, input: features, bands: {BANDS}, channels: 2, weights: a, weight_bits: 4, "
    layer += "gives: codes}"
    with pytest.raises(InputError, match=r"layer 'a' reads frames around its own, which its 2 copies, .* do not share"):
        deploy(network([layer], {"a": np.ones((3, 3, 1, 2), np.int8)}), chip)


DENSE = [
    "{name: y, op: linear, input: features, outputs: 70, weight_bits: 4, weights: y, gives: codes, input_offset: 128}",
    "{name: z, op: linear, input: y, outputs: 9, weight_bits: 4, weights: z, gives: codes, input_scale: 0.015625}",
]


def dense_weights(inputs: int = 100) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(2)
    return {"y": generator.integers(-7, 8, (inputs, 70), np.int8), "z": generator.integers(-7, 8, (70, 9), np.int8)}


def test_two_dense_layers_are_the_plain_product() -> None:
    weights = dense_weights()
    features, _, execution = run(
        network(DENSE, weights, 100), load_architecture("memristor_tile", {**SMALL, **IDEAL}), [4, 1, 6]
    )
    y = (features.astype(int) - 128) @ weights["y"].astype(int)
    wanted = words(y, 2.0**-6)
    np.testing.assert_array_equal(execution.outputs, wanted @ weights["z"].astype(int))
    clamped = int(np.count_nonzero(np.abs(np.rint(y / 64) + 0.5) > 128))
    assert execution.activity.saturations == {"y": 0, "z": clamped} and clamped > 0


TWICE = ("tile_inputs", "dac", "crossbar", "sample_hold", "adc", "shift_add", "tile_outputs", "tile_bus", "accumulator")
ROLES = {
    "tile_inputs": "tile_inputs", "driver": "dac", "crossbar": "crossbar", "sample_hold": "sample_hold",
    "converter": "adc", "shift_add": "shift_add", "tile_outputs": "tile_outputs", "network": "tile_bus",
    "accumulator": "accumulator",
}  # fmt: skip


@pytest.fixture(scope="module")
def two_engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write `memristor_tile` with everything but the input buffer twice, and return its file."""
    data = deepcopy(load_yaml(root() / "arch" / "memristor_tile.yaml").data)
    data["components"]["crossbar"]["wires"] = "none"
    data["components"] |= {f"{name}2": data["components"][name] for name in TWICE}
    again = [
        channel | {end: f"{channel[end]}2" for end in ("from", "to") if channel[end] in TWICE}
        for channel in data["channels"]
    ]
    between = {"from": "accumulator", "to": "tile_inputs2", "capacity": 1, "latency": 1}
    data["channels"] = [*data["channels"], *again, between]
    data["engines"] = {
        name: {"kind": "crossbar_tiles", "parts": {role: part + more for role, part in ROLES.items()}}
        for name, more in (("one", ""), ("two", "2"))
    }
    path = tmp_path_factory.mktemp("twice") / "twice.yaml"
    path.write_text(json.dumps(data))
    return path


def product(x: np.ndarray, weights: np.ndarray, first_tile: int, seed: int) -> np.ndarray:
    """Return what tiles of `memristor_tile` from a number on make of words [frames, inputs], by the kernels alone."""
    device = load_device("synaptogen")
    made = program_tiles(weights, device.programmer(seed), device.curves(0.6), weight_bits=4, first_tile=first_tile)
    return multiply(made, dac_codes(x / 128, DacTransfer()), adc=AdcTransfer(4, 4), seed=seed).values * 128


def test_two_engines_of_a_chip_have_cells_of_their_own(two_engines: Path) -> None:
    """The second engine's three tiles are numbers 3 to 5 in every draw of cells and noise: no draw is used twice."""
    weights, results, seed = dense_weights(), {}, 4
    alone = network([DENSE[0]], {"y": weights["y"]}, 100)
    for engine, first in (("one", 0), ("two", 3)):
        chip = load_architecture(two_engines, {"placement": f"{{y: {{engine: {engine}}}}}"})
        features, _, execution = run(alone, chip, [5, 3], seed)
        results[engine] = execution.outputs
        np.testing.assert_array_equal(execution.outputs, product(features.astype(int) - 128, weights["y"], first, seed))
    assert (results["one"] != results["two"]).mean() > 0.5
    _, _, plain = run(alone, load_architecture("memristor_tile", {"components.crossbar.wires": "none"}), [5, 3], seed)
    np.testing.assert_array_equal(results["one"], plain.outputs)


def test_a_network_runs_across_two_engines(two_engines: Path) -> None:
    """Layer after layer, each on tiles of its own engine, with tokens from one engine to the other."""
    weights, seed = dense_weights(), 4
    chip = load_architecture(two_engines, {"placement": "{y: {engine: one}, z: {engine: two}}"})
    features, deployment, execution = run(network(DENSE, weights, 100), chip, [5, 3], seed)
    assert [segment.engine for segment in deployment.segments] == ["one", "two"]
    assert deployment.schedule.capacities["accumulator->tile_inputs2[0]"] == 1
    y = product(features.astype(int) - 128, weights["y"], 0, seed)
    np.testing.assert_array_equal(execution.outputs, product(words(y, 2.0**-6), weights["z"], 3, seed))
