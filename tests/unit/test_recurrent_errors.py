"""What is said of recurrent layers that do not fit: their keys, their tensors, the engines that cannot take them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from graphs import chip, graph, tile_keys
from recurrent import LSTM, H, alone, lone_chip, network

from accelsim.engines.deploy import deploy
from accelsim.errors import InputError


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ("op: lstm", "it has float weights, 'weight_bits: 16' or 32, or an 'output' of integers and 'weight_bits: 8'"),
        (f"op: gru, weight_bits: 16, {H}", "it has float weights, 'weight_bits: 16' or 32, or an 'output' of integers"),
        (f"op: lstm, {H}", "an integer LSTM has an 'output' and a 'cell: {scale: ..}'"),
        ("op: lstm, weight_bits: 16, cell: {scale: 0.5}", "a power of two from 2^-15 to 2^-11, found 0.5"),
        (f"op: lstm, {H}, cell: {{scale: 0.0003}}", "the scale of a cell is a power of two"),
        ("op: gru, weight_bits: 16, gates: fixed_point", "'gates' says how integers are computed"),
        ("op: gru, output: {scale: 0.1, bits: 16}", "h travels as codes of 8 bits, found an output of 16"),
        ("op: delta_gru, weight_bits: 16", "missing key 'threshold'"),
        ("op: delta_gru, weight_bits: 16, threshold: -1", "must be at least 0"),
        ("op: gru, weight_bits: 16, reset: false", "unknown key 'reset'"),
    ],
)
def test_keys(tmp_path: Path, layer: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        graph(tmp_path, [f"{{name: r, input: features, units: 3, {layer}}}"])
    assert told in str(error.value), error.value


def test_integers_read_codes(tmp_path: Path) -> None:
    layers = ["{name: n, op: layer_norm, input: features}", f"{{name: r, op: gru, input: n, units: 3, {H}}}"]
    with pytest.raises(InputError, match="an op 'quantise' makes codes of real numbers"):
        graph(tmp_path, layers)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"r.weight": np.zeros((12, 12), np.float32)}, "has type float32, expected int8"),
        ({"r.recurrent_weight": np.zeros((3, 9), np.int8)}, "has shape [3, 9], expected [3, 12]"),
        ({"r.weight_scale": np.array([1, 1, 0, 1], np.float32)}, "must be finite and greater than 0, found 0"),
        ({"r.bias": np.zeros(12, np.float32)}, "has type float32, expected int32"),
        ({"r.bias": np.full(12, 2**31 - 1, np.int32)}, "which 32 bits do not hold"),
    ],
)
def test_tensors(tmp_path: Path, change: dict[str, np.ndarray], told: str) -> None:
    found = network(tmp_path, LSTM, units=3, inputs=12, seed=1)
    problems = [message for _, message, _ in found.graph.tensor_problems({**found.tensors, **change})]
    assert any(told in message for message in problems), problems


def refused(found, arch) -> str:
    with pytest.raises(InputError) as error:
        deploy(found, arch)
    return str(error.value)


def test_floats_need_an_array_of_floats(tmp_path: Path) -> None:
    found = alone(network(tmp_path, "op: lstm, weight_bits: 32", units=3, inputs=12, seed=1))
    assert "it has float32 weights, 'array' multiplies integers" in refused(found, chip({}, "conformer_digital28"))


def test_an_array_alone_needs_a_vector_unit(tmp_path: Path) -> None:
    found = alone(network(tmp_path, LSTM, units=3, inputs=12, seed=1))
    arch = lone_chip(tmp_path)
    spec = arch.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    del spec["components"]["vector"]
    spec["channels"] = [one for one in spec["channels"] if one["from"] != "vector"]
    without = dataclasses.replace(arch, spec=type(arch.spec).model_validate(spec))
    assert "it needs a vector unit" in refused(found, without)


def test_states_must_fit(tmp_path: Path) -> None:
    """30 units: 30 x (8 + 16) bits of state are 90 words of 8."""
    found = alone(network(tmp_path, LSTM, units=30, inputs=12, seed=1))
    keys = {"components.states.entries": 89}
    assert "90 states do not fit the 89 entries of 'states'" in refused(found, lone_chip(tmp_path, **keys))


def test_one_copy_on_tiles(tmp_path: Path) -> None:
    found = alone(network(tmp_path, LSTM, units=3, inputs=12, seed=1))
    keys = {**tile_keys(digital=[]), "placement": "{r: {engine: crossbar_tiles, copies: 2}}"}
    told = refused(found, chip(keys))
    assert "layer 'r' is recurrent, each of its steps waits for the one before: it has one copy, found 2" in told


def test_weights_that_last_must_fit_l2(tmp_path: Path) -> None:
    """256 units: 256 x 1024 weights of 16 bits are 512 KiB, beside the sums of two rows of 1024 numbers of 16 bits."""
    found = alone(network(tmp_path, "op: lstm, weight_bits: 16", units=256, inputs=12, seed=1))
    told = refused(found, chip({"components.l2.rows": 2048}, "edge_npu"))
    assert "the sums and weights of layer 'r' take 516.0 KiB for a chunk, 'l2' has 256.0 for tensors" in told
