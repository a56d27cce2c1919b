"""What is said of integer ops that do not fit: at the line of the op, what was found and what is allowed."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from graphs import chip, graph, write_graph
from safetensors.numpy import load_file, save_file

from accelsim.engines.deploy import deploy
from accelsim.errors import InputError
from accelsim.workload import load_workload

CODES = "output: {scale: 0.05, zero_point: -3}"
SIGMOID = "output: {scale: 0.00390625, zero_point: -128}"
ON_CODES = f"{{name: a, op: conv, input: features, channels: 2, {CODES}}}"


def told(folder: Path, *layers: str) -> str:
    """Return what is said of a network that is refused."""
    with pytest.raises(InputError) as error:
        graph(folder, layers)
    return str(error.value)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        # What an output says of itself.
        (["{name: y, op: linear, input: features, outputs: 2, output: {scale: 0.05, zero_point: 128}}"],
         r"zero_point is a code of 8 bits, -128 \.\. 127, found 128"),
        (["{name: y, op: linear, input: features, outputs: 2, output: {scale: 0.05, low: 40, high: 10}}"],
         r"low lies above high, found low 40 and high 10"),
        (["{name: y, op: linear, input: features, outputs: 2, output: {scale: 1e-50}}"],
         r"the scale is a float32 number greater than 0, found 1e-50"),
        (["{name: y, op: linear, input: features, outputs: 2, output: {scale: 0.05, bits: 4}}"],
         r"expected 8 or 16, found 4"),
        (["{name: y, op: linear, input: features, outputs: 2, output: {scale: 0.05, zero: 3}}"],
         r"unknown key 'zero' \(one of: scale, zero_point, bits, low, high\)"),
        (["{name: y, op: linear, input: features, outputs: 2, output: {scale: 0.05}, rounding: up}"],
         r"unknown value 'up' \(one of: double_away, double_up, single, half_even\)"),
        (["{name: y, op: quantise, input: features}"], r"missing key 'output'"),
        # Keys that do not belong together.
        ([f"{{name: y, op: linear, input: features, outputs: 2, gives: codes, {CODES}}}"],
         r"an 'output' is for integer weights and 'gives: real'"),
        ([f"{{name: y, op: linear, input: features, outputs: 2, weight_bits: 16, {CODES}}}"],
         r"an 'output' is for integer weights"),
        ([f"{{name: y, op: linear, input: features, outputs: 2, input_offset: 3, {CODES}}}"],
         r"codes are read as they are: leave out input_bits, _scale and _offset"),
        (["{name: y, op: conv, input: features, channels: 2, causal: true, padding: [[1, 0], [0, 0]]}"],
         r"'padding' says what lies before a row: leave out 'causal'"),
        (["{name: y, op: conv, input: features, channels: 2, padding: [[1, 0], [-1, 0]]}"],
         r"'padding\[1\]\[0\]': must be at least 0, found -1"),
        (["{name: y, op: conv, input: features, channels: 2, kernel: [3, 14], padding: [[0, 0], [0, 0]]}"],
         r"14 taps do not fit 12 bands and their padding"),
        (["{name: y, op: conv, input: features, bands: 4, channels: 4, depthwise: true}"],
         r"depthwise, it has 4 channels and reads 3"),
        # What they read.
        (["{name: a, op: relu, input: features}", f"{{name: y, op: linear, input: a, outputs: 2, {CODES}}}"],
         r"layer 'y': with an 'output' it reads codes of 8 bits, and 'a' gives real numbers: an op 'quantise' makes"),
        (["{name: a, op: quantise, input: features, output: {scale: 0.05, bits: 16}}",
          f"{{name: y, op: linear, input: a, outputs: 2, {CODES}}}"],
         r"it reads codes of 8 bits, and 'a' gives codes of 16 bits"),
        (["{name: a, op: linear, input: features, outputs: 2, gives: codes}",
          f"{{name: y, op: relu, input: a, {CODES}}}"],
         r"it reads codes of 8 or 16 bits, and 'a' gives codes of 32 bits"),
        (["{name: a, op: relu, input: features}", "{name: y, op: dequantise, input: a}"],
         r"layer 'y' \(dequantise\) takes codes, and 'a' gives real"),
        # What they can give.
        ([ON_CODES, f"{{name: y, op: max_pool, input: a, size: [1, 2], {SIGMOID}}}"],
         r"codes are pooled as they are, of 8 bits, scale 0\.05 and zero point -3; the output has 8 bits, 0\.00390625"),
        ([ON_CODES, f"{{name: y, op: sigmoid, input: a, {CODES}}}"],
         r"its output has 8 bits, scale 0\.00390625 and zero point -128, found 8, 0\.05 and -3; 'rounding: half_even'"),
        ([ON_CODES, f"{{name: y, op: add, input: a, residual: a, factor: 0.5, {CODES}}}"],
         r"with an 'output' it adds as it is, found factor 0\.5"),
        ([ON_CODES, "{name: y, op: add, input: a, residual: a, rounding: single, output: {scale: 0.0001}}"],
         r"the larger scale is 2\^-10 to 2\^8 times that of the output, found 500 times"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(tmp_path: Path, layers: list[str], message: str) -> None:
    found = told(tmp_path, *layers)
    assert re.search(message, found, re.DOTALL), found
    assert re.search(r"workload\.yaml:[0-9]+: ", found), found


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("y.weight_scale", np.ones(3, np.float32), r"has shape \[3\], expected \[2\] or \[\]"),
        ("y.weight_scale", np.array([1, 0], np.float32), r"must be greater than 0, found 0"),
        ("y.weight", np.zeros((12, 2), np.float32), r"has type float32, expected int8"),
        ("y.bias", np.zeros(2, np.float32), r"has type float32, expected int32"),
        ("y.bias", np.full(2, -(2**31), np.int32), r"makes sums of up to [0-9,]+, which 32 bits do not hold"),
        ("y.input_scale", np.ones((), np.float32), r"no layer reads tensor 'y\.input_scale'"),
    ],
)
def test_tensors_that_do_not_fit_are_said(tmp_path: Path, name: str, tensor: np.ndarray, message: str) -> None:
    network = graph(tmp_path, [f"{{name: y, op: linear, input: features, outputs: 2, {CODES}}}"])
    path = write_graph(tmp_path, [f"{{name: y, op: linear, input: features, outputs: 2, {CODES}}}"])
    save_file({**network.tensors, name: tensor}, tmp_path / "weights.safetensors")
    path.write_text(re.sub(r"generated_weights:.*", "weights: weights.safetensors", path.read_text()))
    with pytest.raises(InputError) as error:
        load_workload(path)
    assert re.search(message, str(error.value)), str(error.value)
    assert load_file(tmp_path / "weights.safetensors")[name].shape == tensor.shape


def test_a_scale_of_all_outputs_is_no_list(tmp_path: Path) -> None:
    """One scale is a tensor of no dimension; a list of one scale for two outputs is a mistake."""
    op = graph(tmp_path, [f"{{name: y, op: linear, input: features, outputs: 2, {CODES}}}"]).graph.last
    assert op.shape_problem("weight_scale", (2,), ()) is None
    assert op.shape_problem("weight_scale", (2,), (1,)) == "has shape [1], expected [2] or []"


def test_the_rounding_is_the_networks_unless_an_op_says_its_own(tmp_path: Path) -> None:
    """A network's key reaches its integer ops alone; those that say one keep it."""
    layers = [
        ON_CODES,
        f"{{name: b, op: relu, input: a, rounding: half_even, {CODES}}}",
        "{name: y, op: relu, input: b}",
    ]
    path = write_graph(tmp_path, layers)
    path.write_text(path.read_text() + "\nrounding: double_up\n")
    found = [op.rounding for op in load_workload(path).graph.ops]  # type: ignore[attr-defined]
    assert found == ["double_up", "half_even", None]
    path.write_text(path.read_text().replace("rounding: double_up\n", "rounding: nearest\n"))
    with pytest.raises(InputError, match="'nearest'"):
        load_workload(path)


def test_sums_of_an_array_hold_codes_of_the_full_range(tmp_path: Path) -> None:
    """12 weights of 1 and codes down to -128: 1,536, which 11 bits do not hold, while 12 x 127 = 1,524 is no more."""
    network = graph(tmp_path, [f"{{name: y, op: linear, input: features, outputs: 2, {CODES}}}"])
    ones = dataclasses.replace(network, tensors={**network.tensors, "y.weight": np.full((12, 2), 1, np.int8)})
    keys = {"components.array.accumulator_bits": 12}
    assert deploy(ones, chip(keys, "conformer_digital28")).engines
    with pytest.raises(InputError, match="has sums up to 1,536, the 11-bit sums of 'array' hold 1,023"):
        deploy(ones, chip({"components.array.accumulator_bits": 11}, "conformer_digital28"))
