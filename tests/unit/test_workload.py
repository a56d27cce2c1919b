"""Tensors and inputs of a workload: what is read, and what is said about a file that is wrong."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chips import random_weights, write_random_network, write_speech_network, write_timit

from accelsim.errors import InputError
from accelsim.inputs import load_batch
from accelsim.workload import in_float, load_workload

FEATURES, HIDDEN, CLASSES = 6, [4], 3


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    return random_weights(np.random.default_rng(1), FEATURES, HIDDEN, CLASSES)


def write(folder: Path, tensors: dict[str, np.ndarray]) -> Path:
    return write_speech_network(folder, tensors, features=FEATURES, hidden=HIDDEN, classes=CLASSES, steps=2)


def write_with_reference(folder: Path, tensors: dict[str, np.ndarray], **changed: Any) -> Path:
    """Write the network with its float twin beside it; ``changed`` (with __ for a dot) replaces float tensors."""
    from safetensors.numpy import save_file

    path = write(folder, tensors)
    twin = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    twin |= {"l0.beta": np.float32([0.75]), "l0.threshold": np.float32([40])}
    for name, tensor in changed.items():
        name = name.replace("__", ".")
        twin.pop(name)
        if tensor is not None:
            twin[name] = np.asarray(tensor, np.float32)
    save_file(twin, folder / "float.safetensors")
    text = path.read_text()
    path.write_text(text.replace("time_steps:", "reference_weights: float.safetensors\ntime_steps:"))
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(InputError) as error:
        load_workload(path)
    return [str(problem) for problem in error.value.problems]


def test_reads_what_was_written(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    workload = load_workload(write_with_reference(tmp_path, tensors))
    for name, tensor in tensors.items():
        assert np.array_equal(workload.tensors[name], tensor)
        assert np.array_equal(workload.reference[name], tensor)
    assert load_workload(tmp_path).sha256 == workload.sha256, "a folder stands for its workload.yaml"


def test_the_hash_follows_weights_and_overrides(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    path = write(tmp_path, tensors)
    hashes = {load_workload(path).sha256, load_workload(path, {"time_steps": "1"}).sha256}
    tensors["out.w"][0, 0] ^= 1
    write(tmp_path, tensors)
    hashes.add(load_workload(path).sha256)
    assert len(hashes) == 3


def test_missing_file(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    path = write(tmp_path, tensors)
    (tmp_path / "weights.safetensors").rename(tmp_path / "weigths.safetensors")
    assert "no weights at" in problems(path)[0]
    assert "did you mean 'weigths.safetensors'?" in problems(path)[0]


@pytest.mark.parametrize("length", [0, 4, 20, 200, -1])
def test_truncated_file(tmp_path: Path, tensors: dict[str, np.ndarray], length: int) -> None:
    path = write(tmp_path, tensors)
    raw = (tmp_path / "weights.safetensors").read_bytes()
    (tmp_path / "weights.safetensors").write_bytes(raw[:length])
    assert "weights.safetensors: not a whole safetensors file" in problems(path)[0]


def test_a_number_format_that_numpy_has_not(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    path = write(tmp_path, tensors)
    header = json.dumps({"l0.w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    (tmp_path / "weights.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    assert problems(path)


def test_missing_tensor_with_the_nearest_name(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    tensors["out.ww"] = tensors.pop("out.w")
    path = write(tmp_path, tensors)
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "spike_sum" in text)
    assert problems(path) == [f"{path}:{line}: no tensor 'out.w' in weights.safetensors (did you mean 'out.ww'?)"]


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("l0.w", np.zeros((4, 6), np.int8), "tensor 'l0.w' has shape [4, 6], expected [6, 4]"),
        ("l0.w", np.zeros(24, np.int8), "tensor 'l0.w' has shape [24], expected [6, 4]"),
        ("l0.r", np.zeros((4, 5), np.int8), "tensor 'l0.r' has shape [4, 5], expected [4, 4]"),
        ("out.w", np.zeros((4, 3), np.int16), "tensor 'out.w' has type int16, expected int8"),
        ("out.w", np.zeros((4, 3), np.float32), "tensor 'out.w' has type float32, expected int8"),
        ("out.w", np.full((4, 3), 8, np.int8), "tensor 'out.w' has values outside -8 .. 7 (4 bits)"),
        ("out.w", np.full((4, 3), -9, np.int8), "tensor 'out.w' has values outside -8 .. 7 (4 bits)"),
    ],
)
def test_wrong_tensor(
    tmp_path: Path, tensors: dict[str, np.ndarray], name: str, tensor: np.ndarray, message: str
) -> None:
    tensors[name] = tensor
    found = problems(write(tmp_path, tensors))
    assert len(found) == 1
    assert f"{message} in weights.safetensors" in found[0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"l0__w": np.full((6, 4), np.nan)}, "tensor 'l0.w' holds NaN or infinity in float.safetensors"),
        ({"out__w": np.full((4, 3), np.inf)}, "tensor 'out.w' holds NaN or infinity in float.safetensors"),
        ({"out__w": np.zeros((3, 4))}, "tensor 'out.w' has shape [3, 4], expected [4, 3] in float.safetensors"),
        ({"l0__beta": None}, "no tensor 'l0.beta' in float.safetensors"),
        ({"l0__beta": [np.nan]}, "tensor 'l0.beta' holds NaN or infinity in float.safetensors"),
        ({"l0__threshold": [1.0, 2.0]}, "tensor 'l0.threshold' has shape [2], expected [4] or [1] in float"),
    ],
)
def test_wrong_reference(tmp_path: Path, tensors: dict[str, np.ndarray], changed: dict, message: str) -> None:
    found = problems(write_with_reference(tmp_path, tensors, **changed))
    assert len(found) == 1
    assert message in found[0]


def test_all_wrong_tensors_at_once(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    tensors["l0.w"] = np.zeros((1, 1), np.int8)
    tensors["out.w"] = np.full((4, 3), 100, np.int8)
    del tensors["l0.r"]
    assert len(problems(write(tmp_path, tensors))) == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("beta: 0.75", "beta: 0.7501", "expected beta to be a multiple of 2^-8"),
        ("beta: 0.75", "beta: 1.5", "'beta': must be at most 1"),
        ("input: l0,", "input: l1,", "layer 'out' reads 'l1', which is not before it; one of: features, l0"),
        ("name: out", "name: l0", "two layers are named 'l0'"),
        ("reset: subtract", "reset: substract", "unknown value 'substract' (did you mean 'subtract'?)"),
        (
            "weight_bits: 4, weights: out.w",
            "weight_bits: 4",
            "no tensor 'out.weight' in weights.safetensors (did you mean 'out.w'?)",
        ),
        ("time_steps: 2", "time_step: 2", "unknown key 'time_step' (did you mean 'time_steps'?)"),
        ("time_steps: 2", "time_steps: 0", "'time_steps': must be greater than 0"),
        ("time_steps: 2", "time_steps: 2\ninput_bits: 4", "features of speech are 8-bit codes"),
        ("op: spike_sum", "op: spike_some", "unknown op 'spike_some' (did you mean 'spike_sum'?)"),
    ],
)
def test_wrong_network(tmp_path: Path, tensors: dict[str, np.ndarray], old: str, new: str, message: str) -> None:
    path = write(tmp_path, tensors)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    found = problems(path)
    assert any(message in problem for problem in found), found


def test_wrong_densities_and_time_steps_of_random_inputs(tmp_path: Path) -> None:
    sizes = {"features": 3, "hidden": [2], "classes": 2, "frames": 4}
    write_random_network(tmp_path, **sizes, steps=2, spikes=0.2, readout=0.5)
    assert "expected spikes <= readout <= 2 * spikes" in problems(tmp_path)[0]
    write_random_network(tmp_path, **sizes, steps=3)
    assert "random inputs are defined for 1 or 2 time steps, found 3" in problems(tmp_path)[0]


def test_batch_of_speech(tmp_path: Path, tensors: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    # 0.3 s, 0.2 s and 0.4 s per speaker at 10 ms hop and 25 ms window: 28, 18 and 38 frames.
    write_timit(tmp_path, seconds=(0.3, 0.2, 0.4))
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    batch = load_batch(load_workload(write(tmp_path, tensors)))
    assert np.diff(batch.starts).tolist() == [28, 18, 38] * 2
    assert batch.features.shape == (168, FEATURES)
    assert batch.features.dtype == np.uint8
    assert batch.audio_seconds == pytest.approx(1.68)
    assert batch.references == (("AA",),) * 6
    first = load_batch(load_workload(write(tmp_path, tensors), {"inputs.utterances": "2"}))
    assert np.array_equal(first.features, batch.features[:46])


def test_utterances_without_a_frame_are_named(
    tmp_path: Path, tensors: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_timit(tmp_path, seconds=(0.02,))
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    with pytest.raises(InputError, match="utterances shorter than one frame: dr2-faem0/sx0, dr8-mbcg0/sx0"):
        load_batch(load_workload(write(tmp_path, tensors)))


def test_integers_with_scales_stand_for_a_float_network(tmp_path: Path) -> None:
    """w = s_w q, biases as they are, scales of codes gone; integers without a scale stay what they are."""
    q = np.int8([[3, -2], [0, 7]])
    scales = {"a.weight_scale": np.float32(0.5), "a.input_scale": np.float32(9), "a.output_scale": np.float32(9)}
    found = in_float({"a.weight": q, "a.bias": np.float32([1, 2]), **scales})
    assert sorted(found) == ["a.bias", "a.weight"] and found["a.weight"].dtype == np.float32
    assert found["a.weight"].tolist() == [[1.5, -1.0], [0.0, 3.5]] and found["a.bias"].tolist() == [1, 2]
    of_columns = in_float({"a.weight": q, "a.weight_scale": np.float32([0.5, 2])})
    assert of_columns["a.weight"].tolist() == [[1.5, -4.0], [0.0, 14.0]]
    plain = {"a.weight": q}
    assert in_float(plain) is plain
