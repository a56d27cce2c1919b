"""Features from a file: what is read, checked before use, and said about a file that is wrong."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chips import random_weights, write_speech_network
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import accelsim
from accelsim.data.from_file import read_features
from accelsim.errors import InputError
from accelsim.inputs import load_batch
from accelsim.workload import load_workload

WIDTH = 6
CODES = np.random.default_rng(0).integers(0, 256, (30, WIDTH)).astype(np.uint8)
STARTS = np.array([0, 12, 30])


def write(folder: Path, keys: str = "", **arrays: Any) -> Path:
    """Write a network that reads ``features.npz`` with these arrays."""
    path = write_speech_network(
        folder, random_weights(np.random.default_rng(1), WIDTH, [4], 3), features=WIDTH, hidden=[4], classes=3, steps=1
    )
    speech = path.read_text().split("inputs: ")[1].splitlines()[0]
    inputs = f"{{source: file, path: features.npz, frame_period: '30 ms', width: {WIDTH}}}"
    path.write_text(path.read_text().replace(speech, inputs).replace("time_steps", f"{keys}time_steps"))
    if arrays:
        np.savez(folder / "features.npz", **arrays)
    return path


def test_the_network_hears_the_codes_of_the_file(tmp_path):
    batch = load_batch(load_workload(write(tmp_path, codes=CODES, starts=STARTS, labels=np.array(["yes", "no way"]))))
    assert np.array_equal(batch.features, CODES) and np.array_equal(batch.starts, STARTS)
    assert batch.frame_period_s == 0.03 and batch.audio_seconds == pytest.approx(0.9)
    assert batch.references == (("yes",), ("no", "way")) and batch.names == ("features-0", "features-1")
    assert batch.source == "features.npz" and batch.speakers is None


def test_safetensors_are_the_same_and_labels_may_be_numbers(tmp_path):
    accelsim.save_weights(tmp_path / "f.safetensors", {"codes": CODES, "starts": STARTS, "labels": np.array([7, 0])})
    found = read_features(tmp_path / "f.safetensors", WIDTH)
    assert [one.text for one in found] == ["7", "0"]
    assert np.array_equal(np.concatenate([one.codes for one in found]), CODES)


def test_without_starts_and_labels_all_is_one_utterance(tmp_path):
    batch = load_batch(load_workload(write(tmp_path, codes=CODES)))
    assert batch.starts.tolist() == [0, 30] and batch.references is None


def test_the_hash_of_a_workload_follows_its_features(tmp_path):
    path = write(tmp_path)
    absent = load_workload(path).sha256
    first, second = (load_workload(write(tmp_path, codes=CODES ^ bit)).sha256 for bit in (0, 1))
    assert len({absent, first, second}) == 3


def test_a_run_of_features_from_a_file(tmp_path):
    result = accelsim.run(
        "rsnn28nm", write(tmp_path, codes=CODES, starts=STARTS), overrides={"pacing.mode": "back_to_back"}
    )
    assert result.performance.frames == 30


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "features.npz: no such file"),
        ({"code": CODES}, "no array 'codes' .did you mean 'code'"),
        ({"codes": CODES[:, :5]}, r"'codes': expected \[frames, 6\] of uint8, found \[30, 5\] of uint8"),
        ({"codes": CODES.astype(np.int8)}, "found .* of int8"),
        ({"codes": CODES[0, 0]}, r"found \[\] of uint8"),
        ({"codes": CODES, "starts": np.array([0, 31])}, "'starts' must rise from 0 to 30, the number of rows"),
        ({"codes": CODES, "starts": np.array([0, 20, 10])}, "'starts' must rise"),
        ({"codes": CODES, "starts": np.array([-1, 20])}, "'starts' must rise"),
        ({"codes": CODES, "starts": np.array([0, 2**64 - 1], np.uint64)}, "'starts' must rise"),
        ({"codes": CODES, "starts": np.array([0.0, 30.0])}, "'starts': expected a list of whole numbers"),
        ({"codes": CODES, "labels": np.array(["a", "b"])}, r"'labels': expected text or whole numbers of 1 utterances"),
        ({"codes": CODES, "ends": np.array([0.1, 0.2])}, r"'ends': expected finite seconds of 1 utterances"),
        ({"codes": CODES, "ends": np.array([np.nan])}, "'ends': expected finite seconds"),
        ({"codes": np.array([{}], object)}, "not a whole .npz file"),
        ({"codes": CODES, "starts": np.array([0, 0, 30])}, "utterances shorter than one frame: features-0"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, arrays, message):
    with pytest.raises(InputError, match=message):
        load_batch(load_workload(write(tmp_path, **arrays)))


def test_codes_have_the_bits_that_the_workload_says(tmp_path):
    path = write(tmp_path, "input_bits: 1\n", codes=CODES & 1)
    assert np.array_equal(load_batch(load_workload(path)).features, CODES & 1)
    with pytest.raises(InputError, match="'codes': expected codes of 1 bits, found 2"):
        load_batch(load_workload(write(tmp_path, "input_bits: 1\n", codes=CODES & 2)))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_ends_in_an_input_error_or_in_checked_codes(tmp_path, suffix, data):
    path = tmp_path / f"features{suffix}"
    if suffix == ".npz":
        np.savez(path, codes=CODES, starts=STARTS)
    else:
        accelsim.save_weights(path, {"codes": CODES, "starts": STARTS})
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)
    try:
        found = read_features(path, WIDTH)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert all(one.codes.dtype == np.uint8 and one.codes.shape[1] == WIDTH for one in found)


def test_nothing_in_a_file_runs(tmp_path):
    class Runs:
        def __reduce__(self):
            return (pytest.fail, ("a pickle ran",))

    (tmp_path / "features.npz").write_bytes(pickle.dumps(Runs()))
    with pytest.raises(InputError, match="not a whole"):
        read_features(tmp_path / "features.npz", WIDTH)
