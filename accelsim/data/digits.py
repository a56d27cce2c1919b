"""Spoken digits: the Free Spoken Digit Dataset and AudioMNIST, split by speaker, as samples or as their own files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim import library
from accelsim.data.clip import at_loudness
from accelsim.data.dataset import DATASETS, DataSet, Download, Utterance, data_folder, missing
from accelsim.data.features import SAMPLE_RATE_HZ
from accelsim.data.files import check_rate, read_packed, read_recording
from accelsim.errors import InputError, show

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FSDD_TEST_SPEAKERS = ("george",)
AUDIOMNIST_TEST_SPEAKERS = ("36", "43", "56", "60")

LOUDNESS = 0.05
"""Root mean square of every recording: the speakers' microphones differ by a factor of thirty."""

Wanted = Callable[[int, str], bool]
_DIGITS = tuple(map(str, range(len(WORDS))))
_NAME = re.compile(r"([0-9])_([a-z0-9]+)_([0-9]{1,9})")
_TAKE = re.compile(r"[0-9]{1,9}")


class Digit(NamedTuple):
    """One recording: digit 0 to 9, speaker, take, and mono audio float32 at 16 kHz, its RMS brought to `LOUDNESS`."""

    digit: int
    speaker: str
    take: int
    audio: NDArray[np.float32]


def fsdd(folder: Path, wanted: Wanted) -> list[Digit] | None:
    """Return the Free Spoken Digit Dataset in the order of digit, speaker and take, or None if it is not there.

    ``wanted``: which digits of which speakers.

    Reads ``fsdd_8k_int16.npz``, or a clone, ``free-spoken-digit-dataset/recordings/<digit>_<speaker>_<take>.wav``.
    """
    return _recordings(folder, "fsdd_8k_int16.npz", "free-spoken-digit-dataset/recordings", wanted)


def audiomnist(folder: Path, wanted: Wanted) -> list[Digit] | None:
    """Return AudioMNIST alike: ``audiomnist_subset_8k_int16.npz``, or ``AudioMNIST/data/<speaker>/*.wav``."""
    return _recordings(folder, "audiomnist_subset_8k_int16.npz", "AudioMNIST/data", wanted)


def _recordings(folder: Path, packed: str, tree: str, wanted: Wanted) -> list[Digit] | None:
    if os.path.exists(folder / packed):
        found = _packed(folder / packed, wanted)
    elif os.path.isdir(folder / tree):
        found = _files(folder / tree, wanted)
    else:
        return None
    return _in_order(found)


def _in_order(found: Iterable[Digit]) -> list[Digit]:
    return sorted((one._replace(audio=at_loudness(one.audio, LOUDNESS)) for one in found), key=lambda one: one[:3])


def _packed(path: Path, wanted: Wanted) -> Iterator[Digit]:
    recordings, table = read_packed(path, "audio", "int16", (), ("digit", "speaker", "index"), ("rate",))
    if table["rate"].shape != () or table["rate"].dtype.kind not in "iu":
        raise InputError.of("'rate': expected a whole number", file=path)
    rate = int(table["rate"])
    check_rate(rate, path)
    columns = zip(recordings, table["digit"], table["speaker"], table["index"], strict=True)
    for samples, digit, speaker, take in columns:
        if str(digit) not in _DIGITS or not _TAKE.fullmatch(str(take)):
            message = f"'digit' {show(str(digit))}, 'index' {show(str(take))}: expected 0 to 9, and a whole number"
            raise InputError.of(message, file=path)
        if wanted(int(digit), str(speaker)):
            audio = samples.astype(np.float32) / np.float32(32768)
            yield Digit(int(digit), str(speaker), int(take), resampled(audio, rate, SAMPLE_RATE_HZ))


def _files(folder: Path, wanted: Wanted, suffix: str = ".wav") -> Iterator[Digit]:
    for path in folder.rglob(f"*{suffix}"):
        match = _NAME.fullmatch(path.stem)
        if match and wanted(int(match[1]), match[2]):
            samples, rate = read_recording(path)
            yield Digit(int(match[1]), match[2], int(match[3]), resampled(samples, rate, SAMPLE_RATE_HZ))


def resampled(audio: NDArray[np.float32], rate_hz: int, wanted_hz: int) -> NDArray[np.float32]:
    """Return audio at another rate, by scipy's polyphase filter."""
    from scipy.signal import resample_poly

    if rate_hz == wanted_hz:
        return audio
    divisor = np.gcd(rate_hz, wanted_hz)
    return np.asarray(resample_poly(audio, wanted_hz // divisor, rate_hz // divisor), np.float32)


FSDD = Download(
    url="https://github.com/Jakobovski/free-spoken-digit-dataset",
    checksum="git:26eb9aaf76e81b692f806f9140c2d2777410d7a1",
    checksum_source="the repository's commit of 2 May 2024",
    licence="CC BY-SA 4.0",
    size="21 MB",
    kept={"recordings": "free-spoken-digit-dataset/recordings", "README.md": "free-spoken-digit-dataset/README.md"},
    layout="free-spoken-digit-dataset/recordings/<digit>_<speaker>_<take>.wav (a clone of the repository)",
    marks=("fsdd_8k_int16.npz", "free-spoken-digit-dataset/recordings"),
)
AUDIOMNIST = Download(
    url="https://github.com/soerenab/AudioMNIST",
    checksum="git:6c5eb77d8e9242d6ce31af807f0409d36a246f51",
    checksum_source="the repository's commit that added the recordings",
    licence="MIT",
    size="about 1 GB",
    kept={"data": "AudioMNIST/data"},
    layout="AudioMNIST/data/<speaker>/<digit>_<speaker>_<take>.wav (a clone of the repository)",
    marks=("audiomnist_subset_8k_int16.npz", "AudioMNIST/data"),
)


def _digits(name: str, split: str, count: int = 10) -> list[Utterance]:
    """The digits below `count` of one split."""
    reader, speakers = {
        "fsdd": (fsdd, FSDD_TEST_SPEAKERS),
        "audiomnist": (audiomnist, AUDIOMNIST_TEST_SPEAKERS),
    }[name]
    recordings = reader(
        data_folder(), lambda digit, speaker: digit < count and (speaker in speakers) == (split == "test")
    )
    if recordings is None:
        raise missing(name)
    return _utterances(name, recordings)


def _utterances(name: str, recordings: Iterable[Digit]) -> list[Utterance]:
    return [
        Utterance(f"{name}/{one.digit}_{one.speaker}_{one.take}", one.speaker, one.audio, None, WORDS[one.digit])
        for one in recordings
    ]


def _zero_one(split: str) -> list[Utterance]:
    return _digits("fsdd", split, 2) + _digits("audiomnist", split, 2)


def sample_folder(network: str) -> Path:
    """Return the folder of recordings that ship with a network."""
    return library.root() / "workloads" / network / "sample"


def _sample(name: str, network: str, split: str) -> list[Utterance]:
    return _utterances(name, _in_order(_files(sample_folder(network), lambda digit, speaker: True, ".flac")))


_set = partial(DataSet, loudness=LOUDNESS)


def _shipped(name: str, network: str) -> DataSet:
    return _set(("test",), partial(_sample, name, network), shipped=partial(sample_folder, network))


DATASETS.register("fsdd", _set(("train", "test"), partial(_digits, "fsdd"), FSDD, sample="fsdd_sample"))
DATASETS.register("audiomnist", _set(("train", "test"), partial(_digits, "audiomnist"), AUDIOMNIST))
DATASETS.register(
    "zero_one", _set(("train", "test"), _zero_one, parts=("fsdd", "audiomnist"), sample="zero_one_sample")
)
DATASETS.register("zero_one_sample", _shipped("audiomnist", "s4d_digits"))
DATASETS.register("fsdd_sample", _shipped("fsdd", "s4d_digits10"))
