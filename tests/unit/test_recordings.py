"""Recordings and lists that are damaged, in every layout that accelsim reads: one message with the file."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from accelsim import cli
from accelsim.data import load, load_features
from accelsim.data.librivox import sample_folder
from accelsim.errors import InputError

SECONDS = 0.2


def speech(rate: int = 16_000) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(rate * SECONDS)).astype(np.float32).clip(-1, 1)


def fsdd(folder: Path) -> Path:
    path = folder / "free-spoken-digit-dataset/recordings/1_george_0.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, speech(8000), 8000, subtype="PCM_16")
    return path


def audiomnist(folder: Path) -> Path:
    path = folder / "AudioMNIST/data/36/1_36_0.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, speech(48_000), 48_000, subtype="PCM_16")
    return path


def timit(folder: Path) -> Path:
    path = folder / "timit/dr2-faem0/sx42.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, speech(), 16_000, subtype="PCM_16")
    path.with_suffix(".phn").write_text("0 1600 h#\n1600 3200 aa\n")
    path.with_suffix(".txt").write_text("0 3200 Ah.\n")
    return path


def librispeech(folder: Path) -> Path:
    """Every listed recording of the test split, the first one returned."""
    rows = [line.split("\t") for line in (sample_folder() / "mini_librispeech.tsv").read_text().splitlines()]
    names = [name for name, split, _ in rows if split == "test"]
    for name in names:
        speaker, chapter, _ = name.split("-")
        place = folder / "LibriSpeech/train-clean-5" / speaker / chapter
        place.mkdir(parents=True, exist_ok=True)
        soundfile.write(place / f"{name}.flac", speech(), 16_000)
        with (place / f"{speaker}-{chapter}.trans.txt").open("a") as file:
            file.write(f"{name} WORDS OF IT\n")
    speaker, chapter, _ = names[0].split("-")
    return folder / "LibriSpeech/train-clean-5" / speaker / chapter / f"{names[0]}.flac"


LAYOUTS = {"fsdd": fsdd, "audiomnist": audiomnist, "timit_sample": timit, "mini_librispeech": librispeech}


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_whole_set_is_read(name, data) -> None:
    LAYOUTS[name](data)
    utterances = load(name, "test")
    assert utterances and all(u.audio.dtype == np.float32 and u.text for u in utterances)
    assert {round(len(u.audio) / 16_000, 3) for u in utterances} == {SECONDS}


def rewrite(path: Path, samples: np.ndarray, rate: int, subtype: str = "PCM_16") -> None:
    soundfile.write(path, samples, rate, subtype=subtype)


def broken_header(path: Path) -> None:
    path.write_bytes(b"\0" * 64 + path.read_bytes()[64:])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "stereo": (
        lambda p: rewrite(p, np.stack([speech()] * 2, axis=1), 16_000), r"expected one channel \(mono\), found 2"
    ),
    "broken header": (broken_header, "not a recording: "),
    "empty": (lambda p: p.write_bytes(b""), "not a recording: "),
    "text": (lambda p: p.write_text("<html>404</html>" * 9), "not a recording: "),
    "a folder": (lambda p: (p.unlink(), p.mkdir()), "no such recording"),
    "100 Hz": (lambda p: rewrite(p, speech(), 100), r"expected .*, found 100"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_damaged_recording_is_told_with_its_file(name, damage, data) -> None:
    path = LAYOUTS[name](data)
    break_it, message = DAMAGE[damage]
    break_it(path)
    with pytest.raises(InputError, match=rf"{path}: {message}"):
        load(name, "test")


def test_samples_that_are_no_numbers_are_refused(data) -> None:
    path = fsdd(data)
    rewrite(path, np.where(np.arange(1600) == 7, np.nan, 0.1).astype(np.float32), 8000, "FLOAT")
    with pytest.raises(InputError, match=rf"{path}: holds samples that are NaN or infinite"):
        load("fsdd", "test")


def test_a_recording_that_is_cut_short_is_refused(data) -> None:
    path = librispeech(data)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=rf"{path}: (cut short: \d+ of 3200 samples are there|not a recording)"):
        load("mini_librispeech", "test")


def cut_text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


LISTS: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "a recording that is listed": ("mini_librispeech", lambda p: (p.unlink(), p)[1], "no such recording"),
    "a chapter's transcripts": (
        "mini_librispeech",
        lambda p: next(p.parent.glob("*.trans.txt")).rename(p.parent / "gone").parent,
        "cannot read",
    ),
    "one transcript": (
        "mini_librispeech",
        lambda p: cut_text(next(p.parent.glob("*.trans.txt")), "x-y-z NOTHING\n"),
        "no transcript of",
    ),
    "the labels": ("timit_sample", lambda p: (p.with_suffix(".phn").unlink(), p.with_suffix(".phn"))[1], "cannot read"),
    "the text": ("timit_sample", lambda p: (p.with_suffix(".txt").unlink(), p.with_suffix(".txt"))[1], "cannot read"),
    "a label of a line": (
        "timit_sample",
        lambda p: cut_text(p.with_suffix(".phn"), "0 1600 h#\n1600 3200\n"),
        "expected 'first sample, last",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LISTS)
def test_a_list_that_lacks_something_is_told_with_its_file(what, data) -> None:
    name, damage, message = LISTS[what]
    place = damage(LAYOUTS[name](data))
    with pytest.raises(InputError) as caught:
        load(name, "test")
    assert str(place) in str(caught.value) and message in str(caught.value), caught.value


def test_a_list_in_another_encoding_is_told_with_its_line(data) -> None:
    path = timit(data).with_suffix(".phn")
    path.write_bytes(b"0 1600 h#\n1600 3200 \xff\n")
    with pytest.raises(InputError, match=rf"{path}:2: not UTF-8 text"):
        load("timit_sample", "test")


# Packed sets: one .npz file each.

SAMPLES, OFFSETS = np.zeros(4000, np.int16), np.array([0, 1000, 4000])
DIGITS = {
    "audio": SAMPLES, "offsets": OFFSETS, "digit": np.array([1, 2]), "speaker": np.array(["george", "theo"]),
    "index": np.array([0, 1]), "rate": np.array(8000),
}  # fmt: skip
TIMIT = {
    "audio": SAMPLES, "offsets": OFFSETS, "speaker": np.array(["dr2-faem0"] * 2), "utt": np.array(["sx1", "sx2"]),
    "text": np.array(["ah", "oh"]), "seg_utt": np.array([0, 1]), "seg_phone": np.array(["aa", "ow"]),
}  # fmt: skip
AN4 = {
    "mfcc": np.zeros((50, 13), np.float16), "offsets": np.array([0, 20, 50]), "utt": np.array(["a", "b"]),
    "speaker": np.array(["m", "f"]), "split": np.array(["test", "test"]), "text": np.array(["YES", "NO"]),
}  # fmt: skip
PACKED = {
    "fsdd": ("fsdd_8k_int16.npz", DIGITS, load),
    "audiomnist": ("audiomnist_subset_8k_int16.npz", {**DIGITS, "speaker": np.array(["36", "01"])}, load),
    "timit_sample": ("timit_sample_16k_int16.npz", TIMIT, load),
    "an4": ("an4_mfcc13.npz", AN4, load_features),
}  # fmt: skip


@pytest.mark.parametrize("name", PACKED)
def test_a_whole_packed_set_is_read(name, data) -> None:
    file, arrays, read = PACKED[name]
    np.savez_compressed(data / file, **arrays)
    assert read(name, "test")


@pytest.mark.parametrize(("name", "array"), [(name, array) for name, (_, held, _) in PACKED.items() for array in held])
def test_a_packed_set_without_one_of_its_arrays_is_refused(name, array, data) -> None:
    file, arrays, read = PACKED[name]
    np.savez_compressed(data / file, **{key: value for key, value in arrays.items() if key != array})
    with pytest.raises(InputError, match=rf"{data / file}: no array '{array}'"):
        read(name, "test")


@pytest.mark.parametrize("name", PACKED)
def test_a_packed_set_that_does_not_fit_together_is_refused(name, data) -> None:
    file, arrays, read = PACKED[name]
    values = next(iter(arrays))
    objects = np.array([{}, {}], dtype=object)
    for changed, message in [
        ({"offsets": np.array([0, 60, 50])}, f"'offsets' must rise from 0 to {len(arrays[values])}"),
        ({"offsets": np.array([0, 1, 10**6])}, "'offsets' must rise"),
        ({"offsets": np.array([0.0, 1.5, 3.0])}, "'offsets': expected a list of whole numbers"),
        ({"speaker": np.array(["george"])}, r"'speaker': expected 2 entries, found shape \[1\]"),
        ({"speaker": objects}, "not a whole .npz file: "),
        ({values: np.array(["x"] * 5000)}, f"'{values}': expected numbers"),
    ]:
        np.savez_compressed(data / file, **{**arrays, **changed})
        with pytest.raises(InputError, match=rf"{data / file}: {message}"):
            read(name, "test")


@pytest.mark.parametrize("name", PACKED)
def test_a_packed_file_that_is_damaged_is_refused(name, data) -> None:
    file, arrays, read = PACKED[name]
    np.savez_compressed(data / file, **arrays)
    whole = (data / file).read_bytes()
    for damaged in (b"", b"PK", whole[:200], whole[:-30], b"\0" * 99, whole[:60] + b"\xff" * 40 + whole[100:]):
        (data / file).write_bytes(damaged)
        with pytest.raises(InputError, match=rf"{data / file}: not a whole .npz file: "):
            read(name, "test")


# On the command line


@pytest.mark.parametrize("damage", ["stereo", "broken header"])
def test_the_command_line_names_the_file_and_exits_with_2(damage, data, monkeypatch, capsys) -> None:
    path = fsdd(data)
    DAMAGE[damage][0](path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["accelsim", "run", "state_and_vector"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and out == ""
    assert err.startswith(f"error: {path}: ") and "Traceback" not in err and err.count("\n") == 1
