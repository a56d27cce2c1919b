"""Data files that claim what they do not have: a message with the file, soon, and nothing allocated for it."""

from __future__ import annotations

import bz2
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from chips import random_weights, write_speech_network
from claims import flac, npy, wav, zipped

from accelsim import limits
from accelsim.data.features import LogMel
from accelsim.data.files import LOUDEST, read_arrays, read_lines, read_recording, read_table
from accelsim.data.from_file import read_features
from accelsim.data.mel import MelSpectrogram, Mfcc, Spectrum
from accelsim.data.recordings import read_recordings
from accelsim.errors import InputError
from accelsim.inputs import load_batch
from accelsim.workload import load_workload

MEGABYTE = 1 << 20


@contextmanager
def allocates_little(most: int = 30 * MEGABYTE) -> Iterator[None]:
    """Fail where more is allocated meanwhile, NumPy's arrays included."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


HEADERS = {
    "10^12 values": (npy((10**12,)), "is not whole"),
    "a product that is 2^64": (npy((2**32, 2**32)), "is not whole"),
    "a negative size": (npy((-1, -1), data=b"x"), "is not whole"),
    "objects": (npy((1,), "|O", b"x" * 8), "pickled objects"),
    "fields": (npy((1,), [("a", "<i4"), ("b", "|O")], b"x" * 12), "pickled objects"),
    "fields of numbers": (npy((1,), [("a", "<i4")], b"x" * 4), "neither numbers nor text"),
    "complex numbers": (npy((1,), "<c8", b"x" * 8), "neither numbers nor text"),
    "values of 2 GB each": (npy((1,), "<U536870911", b"x" * 8), "is not whole"),
    "a type that is none": (npy((1,), "<q9"), "not a whole .npz file"),
    "a later version": (npy((1,), version=3), "version 3.0"),
    "a header of 4 GB": (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "not a whole .npz file"),
    "a header that is code": (b"\x93NUMPY\x01\x00\x20\x00" + b"__import__('os').abort()".ljust(32), "not a whole"),
    "text of surrogates": (npy((1,), "<U1", struct.pack("<I", 0xD800)), "text that is none"),
    "text beyond Unicode": (npy((1,), ">U1", struct.pack(">I", 0x7FFFFFFF)), "text that is none"),
}  # fmt: skip


@pytest.mark.parametrize("what", HEADERS)
def test_an_array_that_claims_what_it_has_not(what: str, tmp_path: Path) -> None:
    raw, message = HEADERS[what]
    path = tmp_path / "x.npz"
    path.write_bytes(zipped({"codes.npy": raw}))
    with allocates_little(), pytest.raises(InputError, match=rf"{path}: .*{message}"):
        read_arrays(path, ["codes"])


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """Of 1 GB in 1 MB; an array that is not asked for may be as large as it likes."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("codes.npy", "w") as entry:
            entry.write(npy((1_000, MEGABYTE)))
            for _ in range(1_000):
                entry.write(bytes(MEGABYTE))
        archive.writestr("starts.npy", npy((2,), "<i8", struct.pack("<qq", 0, 9)))
    assert path.stat().st_size < 2 * MEGABYTE
    with allocates_little(), pytest.raises(InputError, match=rf"{path}: larger than .* --limit data_bytes="):
        read_arrays(path, ["codes", "starts"])
    with allocates_little():
        assert read_arrays(path, ["starts"])[0]["starts"].tolist() == [0, 9]


def test_other_compression_than_of_numpy_is_refused(tmp_path: Path) -> None:
    """Python's zipfile unpacks bzip2 without a bound: a few hundred bytes come to megabytes."""
    assert len(bz2.compress(bytes(45 * MEGABYTE))) < 300
    path = tmp_path / "x.npz"
    path.write_bytes(zipped({"codes.npy": npy((4, 6), data=bytes(24))}, zipfile.ZIP_BZIP2))
    with pytest.raises(InputError, match="compressed in another way"):
        read_arrays(path, ["codes"])


def test_a_table_of_contents_that_takes_minutes_is_refused(tmp_path: Path) -> None:
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    many = entry * 100_000
    path = tmp_path / "many.npz"
    path.write_bytes(many + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(many), 0, 0))
    with pytest.raises(InputError, match=r"table of contents has 4,600,000 bytes, at most 4,000,000 are read"):
        read_arrays(path, ["codes"])
    large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(many), 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(many), 1)
    path.write_bytes(many + large + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 46, 0, 0))
    with pytest.raises(InputError, match=r"table of contents has 4,600,000 bytes"):
        read_arrays(path, ["codes"])


def test_more_utterances_than_any_set_has(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, codes=np.zeros((9, 6), np.uint8), starts=np.zeros(10**6, np.int64))
    with pytest.raises(InputError, match=rf"{path}: more than 300,000 utterances \(raise it: --limit utterances="):
        read_features(path, 6)
    with limits.within(utterances=1e6):
        assert len(read_features(path, 6)) == 10**6 - 1


# Recordings


CLAIMS: dict[str, tuple[bytes, str]] = {
    "1 Hz": (wav(1, 60_000), "expected a sample rate from 4000 to 384000 Hz, found 1"),
    "0 Hz": (wav(0, 60_000), "not a recording: "),
    "2^31 Hz": (wav(2**31 - 1, 100), "expected a sample rate"),
    "many channels": (wav(16_000, 10, channels=900), "expected one channel"),
    "days": (flac(4096, 2**36 - 1), r"larger than .*: 68,719,476,735 samples .*--limit recording_bytes="),
    "an hour": (flac(4096, 16_000 * 3600), r"larger than .*: 57,600,000 samples"),
    "more than there is": (flac(4096, 5000), "cut short: 4096 of 5000 samples are there|not a recording: "),
    "no length": (flac(4096, 0), "not a recording: "),
}  # fmt: skip


@pytest.mark.parametrize("what", CLAIMS)
def test_a_recording_that_claims_what_it_has_not(what: str, tmp_path: Path) -> None:
    raw, message = CLAIMS[what]
    path = tmp_path / "x.wav"
    path.write_bytes(raw)
    with allocates_little(), pytest.raises(InputError, match=f"{path}: ({message})"):
        read_recording(path)


def test_a_data_chunk_that_claims_2_gb(tmp_path: Path) -> None:
    """libsndfile takes what is there."""
    path = tmp_path / "x.wav"
    path.write_bytes(wav(16_000, 100, 2**30))
    with allocates_little():
        assert len(read_recording(path)[0]) == 100


def test_samples_that_squares_of_overflow_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.array([0.0, -3e38, 0.1], np.float32), 16_000, subtype="FLOAT")
    with pytest.raises(InputError, match=rf"{path}: a sample of 3e\+38, at most 65536 is read"):
        read_recording(path)
    soundfile.write(path, np.array([0.0, -LOUDEST, 0.1], np.float32), 16_000, subtype="FLOAT")
    assert read_recording(path)[0].min() == -LOUDEST


@pytest.mark.parametrize(
    "features",
    [
        LogMel(window_s=0.5, hop_s=0.002), Spectrum(window_s=0.5, hop_s=0.002), Mfcc(window_s=0.5, hop_s=0.002),
        MelSpectrogram(window_s=0.5, hop_s=0.002, per_frame=True, window="povey"),
        Mfcc(window_s=0.5, hop_s=0.002, center=True, logarithm="db", top_db=80.0),
    ],
    ids=lambda features: type(features).__name__,
)  # fmt: skip
def test_memory_of_features_is_theirs_not_that_of_all_spectra(features: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second every 2 ms: 250 times the audio. In blocks the codes are the same."""
    audio = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    whole = features.codes(audio)
    monkeypatch.setattr("accelsim.data.features.MOST_AT_ONCE", 1 << 19)
    with allocates_little(20 * MEGABYTE):
        assert np.array_equal(features.codes(audio), whole)


def test_features_of_all_utterances_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "workload.yaml"
    path.write_text(
        "schema: accelsim/workload@1\nname: small\ngenerated_weights: {seed: 1}\n"
        "inputs: {source: speech, dataset: librivox_sample, split: test, features: {bands: 6}}\n"
        "graph:\n  - {name: l0, op: lif, input: features, neurons: 4, weight_bits: 4, input_shift: -3, beta: 0.75, "
        "recurrent_shift: 1, threshold: 40, reset: subtract}\n"
        "  - {name: out, op: spike_sum, input: l0, neurons: 3, weight_bits: 4}\n"
    )
    with limits.within(data_bytes=10_000), pytest.raises(InputError, match="larger than 10 kB: features of librivox"):
        load_batch(load_workload(path))


# Tables and folders


def folder(path: Path, table: str) -> Path:
    path.mkdir()
    (path / "recordings.tsv").write_text(table)
    (path / "a.wav").write_bytes(wav(16_000, 1000))
    return path


@pytest.mark.parametrize("file", ["../secret.wav", "sub/../../secret.wav", "/etc/hostname"])
def test_a_table_does_not_lead_out_of_its_folder(file: str, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(wav(16_000, 1000))
    mine = folder(tmp_path / "mine", f"file\ttext\na.wav\tyes\n\n{file}\tno\n")
    with pytest.raises(InputError, match=rf"{mine / 'recordings.tsv'}:4: '{file}' leads out of this folder"):
        read_recordings(mine)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "a" * 200_000], ids=["long", "NUL", "a cell of 200,000 letters"])
def test_names_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read|no such recording"):
        read_recordings(folder(tmp_path / "mine", f"file\ttext\n{name}\tyes\n"))


def test_a_folder_that_names_a_recording_again_and_again(tmp_path: Path) -> None:
    mine = folder(tmp_path / "mine", "file\ttext\n" + "a.wav\tyes\n" * 1000)
    with limits.within(data_bytes=1_000_000), pytest.raises(InputError, match=r"recordings.tsv: larger than 1 MB: all"):
        read_recordings(mine)


def test_a_text_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("file\ttext\n" + "\n" * 1000)
    with limits.within(text_bytes=100), pytest.raises(InputError, match=rf"{path}: larger than 100 bytes"):
        read_lines(path)
    path.write_text("file\ttext\n" + "a\tb\n" * 50 + "\n" * 50)
    with limits.within(utterances=50):
        assert len(read_table(path, ["file"])) == 50
    with limits.within(utterances=49), pytest.raises(InputError, match=rf"{path}: more than 49 utterances"):
        read_table(path, ["file"])


def test_all_wrong_rows_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text('file\ttext\na\tb\nc\n\nd\t"e\tf\n')
    with pytest.raises(InputError) as caught:
        read_table(path, ["file"])
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [
        (3, "expected 2 columns, found 1"), (5, "expected 2 columns, found 3"),
    ]  # fmt: skip


# What a workload names


@pytest.mark.parametrize("place", ["weights", "folder", "file"])
@pytest.mark.parametrize("name", ["x" * 300, "a\\0b", ".", "..", "/dev/zero", "x/" * 3000])
def test_a_workload_that_names_what_is_no_file(place: str, name: str, tmp_path: Path) -> None:
    path = write_speech_network(
        tmp_path, random_weights(np.random.default_rng(1), 6, [4], 3), features=6, hidden=[4], classes=3, steps=1
    )
    text = path.read_text()
    speech = next(line for line in text.splitlines() if line.startswith("inputs: "))
    changed: Callable[[], str] = {
        "weights": lambda: text.replace("weights: weights.safetensors", f'weights: "{name}"'),
        "folder": lambda: text.replace("source: speech, dataset: timit_sample, split: test",
                                       f'source: folder, path: "{name}"'),
        "file": lambda: text.replace(
            speech, f'inputs: {{source: file, path: "{name}", frame_period: 30 ms, width: 6}}'
        ),
    }[place]  # fmt: skip
    path.write_text(changed())
    assert path.read_text() != text
    with allocates_little(), pytest.raises(InputError):
        load_batch(load_workload(path))


def test_weights_over_the_limit(tmp_path: Path) -> None:
    path = write_speech_network(
        tmp_path, random_weights(np.random.default_rng(1), 6, [4], 3), features=6, hidden=[4], classes=3, steps=1
    )
    with limits.within(data_bytes=100), pytest.raises(InputError, match=r"safetensors: larger than 100 bytes"):
        load_workload(path)
