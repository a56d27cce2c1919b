"""CMU AN4 as features: 13 MFCC a frame with their differences, normalised per utterance, as 8-bit codes.

AN4 has 130 test utterances by ten speakers; a file may hold fewer, and a run tells how many people spoke.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelsim import library
from accelsim.data.dataset import DATASETS, Download, Featured, FeatureSet, data_folder
from accelsim.data.featured import unsigned
from accelsim.data.files import read_lines, read_packed, read_table
from accelsim.errors import InputError, show

FRAME_PERIOD_S = 0.01
WIDTH = 39
"""Features a frame: 13 MFCC, their differences, and the differences of these."""
CODES_PER_DEVIATION = 32
"""Steps of a code in a standard deviation: codes reach +-127 / 32, about 4 deviations."""

FILE = "an4_mfcc13.npz"
SAMPLE = "an4_sample"
DICTIONARY = "an4.dic"
_SMALLEST_DEVIATION = 1e-3


@dataclass(frozen=True)
class Spoken:
    """One utterance of AN4: mfcc float32 [frames, 13], and its words in upper case."""

    name: str
    speaker: str
    mfcc: NDArray[np.float32]
    words: tuple[str, ...]


def load_an4(split: str, folder: Path | None = None) -> list[Spoken]:
    """Return the utterances of AN4's own split, ``train`` or ``test``: no speaker is in both.

    Reads ``an4_mfcc13.npz`` of the data folder: `mfcc` of all utterances end to end, `offsets` to cut them, `utt`,
    `speaker`, `split`, `text`. Raises FileNotFoundError without it, InputError where it is damaged, ValueError for an
    unknown split.
    """
    if split not in ("train", "test"):
        raise ValueError(f"AN4 has the splits train and test, found '{split}'")
    path = (folder or data_folder()) / FILE
    if not os.path.exists(path):
        raise FileNotFoundError(path)
    recordings, table = read_packed(path, "mfcc", "floats", (WIDTH // 3,), ("utt", "speaker", "split", "text"))
    empty = [str(name) for name, mfcc in zip(table["utt"], recordings, strict=True) if not len(mfcc)]
    if empty:
        raise InputError.of(f"utterance {show(empty[0])} has no frames", file=path)
    columns = zip(recordings, table["utt"], table["speaker"], table["split"], table["text"], strict=True)
    return [
        Spoken(str(name), str(speaker), mfcc.astype(np.float32), tuple(str(text).split()))
        for mfcc, name, speaker, part, text in columns
        if part == split
    ]


def load_dictionary(folder: Path | None = None) -> dict[str, list[tuple[str, ...]]]:
    """Return the pronunciations of AN4's 101 words, in the dictionary's order: word -> phones of each variant."""
    words: dict[str, list[tuple[str, ...]]] = {}
    path = (folder or data_folder()) / DICTIONARY
    for number, line in enumerate(read_lines(path), 1):
        entry, *phones = line.split() or [""]
        if entry and not phones:
            raise InputError.of(f"{show(entry)} has no phones", file=path, line=number)
        if entry:
            words.setdefault(entry.split("(")[0], []).append(tuple(phones))
    return words


def phones_of(words: Sequence[str], dictionary: Mapping[str, list[tuple[str, ...]]]) -> tuple[str, ...] | None:
    """Return the phones of an utterance, or None where the dictionary lacks a word.

    The first pronunciation of every word, but the letter A as it is spelled out.
    """
    if any(word not in dictionary for word in words):
        return None
    return tuple(phone for word in words for phone in (("EY",) if word == "A" else dictionary[word][0]))


def differences(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return d[t] = sum_{k=1,2} k (x[t+k] - x[t-k]) / 10, the ends repeated: [frames, n] -> same shape (HTK)."""
    padded = np.pad(values, ((2, 2), (0, 0)), mode="edge")
    summed: NDArray[np.float32] = (padded[3:-1] - padded[1:-3]) + 2 * (padded[4:] - padded[:-4])
    return summed / np.float32(10)


def feature_codes(mfcc: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return the network's inputs: MFCC, first and second differences, [frames, 13] -> int8 [frames, 39].

    code = clip(round(32 (x - mean) / sd), -127, 127), mean and standard deviation per column of the utterance.
    """
    first = differences(mfcc)
    x = np.concatenate([mfcc, first, differences(first)], axis=1)
    deviation = np.maximum(x.std(axis=0), _SMALLEST_DEVIATION)
    return np.clip(np.rint((x - x.mean(axis=0)) / deviation * CODES_PER_DEVIATION), -127, 127).astype(np.int8)


DOWNLOAD = Download(
    url="http://www.speech.cs.cmu.edu/databases/an4/",
    checksum=None,
    checksum_source="",
    licence="BSD-like",
    layout="an4_mfcc13.npz (mfcc [frames, 13] at 100 frames a second, all utterances end to end, offsets to cut "
    "them, and utt, speaker, split, text of each), and an4.dic for its phones",
    marks=("an4_mfcc13.npz",),
)


def _read(split: str) -> list[Featured]:
    return _featured(load_an4(split), load_dictionary() if os.path.exists(data_folder() / DICTIONARY) else {})


def sample_folder() -> Path:
    """Return the folder of those test utterances that ship."""
    return library.root() / "workloads" / "conformer_an4" / "sample"


def _read_sample(split: str) -> list[Featured]:
    """Read ``an4_mfcc13.safetensors``: `mfcc` and `offsets` as in AN4's own file; ``an4.tsv``: utt, speaker, text."""
    folder = sample_folder()
    recordings, _ = read_packed(folder / "an4_mfcc13.safetensors", "mfcc", "floats", (WIDTH // 3,), ())
    rows = read_table(folder / "an4.tsv", ("utt", "speaker", "text"))
    spoken = [
        Spoken(row["utt"], row["speaker"], mfcc.astype(np.float32), tuple(row["text"].split()))
        for row, mfcc in zip(rows.values(), recordings, strict=True)
    ]
    return _featured(spoken, {})


def _featured(spoken: Iterable[Spoken], dictionary: Mapping[str, list[tuple[str, ...]]]) -> list[Featured]:
    return [
        Featured(
            name=one.name,
            speaker=one.speaker,
            codes=unsigned(feature_codes(one.mfcc)),
            phones=phones_of(one.words, dictionary),
            text=" ".join(one.words),
        )
        for one in spoken
    ]


DATASETS.register("an4", FeatureSet(("train", "test"), WIDTH, FRAME_PERIOD_S, _read, DOWNLOAD, sample=SAMPLE))
DATASETS.register(SAMPLE, FeatureSet(("test",), WIDTH, FRAME_PERIOD_S, _read_sample, shipped=sample_folder))
