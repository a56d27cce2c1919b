"""CMU AN4 as features: 13 MFCC a frame with their differences, normalised per utterance, as 8-bit codes.

AN4 has 130 test utterances by ten speakers, ``test_all``. ``test`` are the 91 of the seven men, on which the figures of
this repository were measured: the file that they came from lacks the women.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from accelsim import library
from accelsim.data.dataset import DATASETS, Download, Featured, FeatureSet, data_folder
from accelsim.data.featured import unsigned
from accelsim.data.files import read_lines, read_packed, read_table, read_whole
from accelsim.errors import InputError, show

FRAME_PERIOD_S = 0.01
WIDTH = 39
"""Features a frame: 13 MFCC, their differences, and the differences of these."""
CODES_PER_DEVIATION = 32
"""Steps of a code in a standard deviation: codes reach +-127 / 32, about 4 deviations."""

FILE = "an4_mfcc13.npz"
TREE = "an4"
"""CMU's own folder of lists, texts and cepstra."""
SAMPLE = "an4_sample"
DICTIONARY = "an4.dic"
SPLITS = ("train", "test", "test_all")
WOMEN = ("fcaw", "fjlp", "fvap")
"""Three of AN4's ten test speakers: the figures of this repository are of the seven others, 91 utterances."""
_SMALLEST_DEVIATION = 1e-3


@dataclass(frozen=True)
class Spoken:
    """One utterance of AN4: mfcc float32 [frames, 13], and its words in upper case."""

    name: str
    speaker: str
    mfcc: NDArray[np.float32]
    words: tuple[str, ...]


def load_an4(split: str, folder: Path | None = None) -> list[Spoken]:
    """Return the utterances of a split: ``train``; ``test``, what AN4 tests with, without `WOMEN`; or ``test_all``.

    No speaker of the tests is in ``train``. Reads from the data folder ``an4_mfcc13.npz``: `mfcc` of all utterances end
    to end, `offsets` to cut them, `utt`, `speaker`, `split`, `text`; where it is not there, CMU's own folder ``an4`` of
    cepstra. Raises FileNotFoundError without either, InputError where they are damaged, ValueError for an unknown
    split.
    """
    if split not in SPLITS:
        raise ValueError(f"AN4 has the splits {', '.join(SPLITS[:-1])} and {SPLITS[-1]}, found '{split}'")
    root = folder or data_folder()
    if not os.path.exists(root / FILE) and not os.path.exists(root / TREE):
        raise FileNotFoundError(root / FILE)
    packed = os.path.exists(root / FILE) and (split != "test_all" or not os.path.exists(root / TREE))
    spoken = _packed(root / FILE, split) if packed else _tree(root / TREE, split)
    if packed and split == "test_all" and not {one.speaker for one in spoken} >= set(WOMEN):
        message = f"{', '.join(WOMEN)} of {split} are not in it"
        raise InputError.of(message, file=root / FILE, hint="move it away and run `accelsim data get an4`")
    return [one for one in spoken if split != "test" or one.speaker not in WOMEN]


def _packed(path: Path, split: str) -> list[Spoken]:
    recordings, table = read_packed(path, "mfcc", "floats", (WIDTH // 3,), ("utt", "speaker", "split", "text"))
    empty = [str(name) for name, mfcc in zip(table["utt"], recordings, strict=True) if not len(mfcc)]
    if empty:
        raise InputError.of(f"utterance {show(empty[0])} has no frames", file=path)
    columns = zip(recordings, table["utt"], table["speaker"], table["split"], table["text"], strict=True)
    return [
        Spoken(str(name), str(speaker), mfcc.astype(np.float32), tuple(str(text).split()))
        for mfcc, name, speaker, part, text in columns
        if part == split.removesuffix("_all")
    ]


def _tree(root: Path, split: str) -> list[Spoken]:
    """Read CMU's lists of files and of texts, and the cepstra that they name."""
    part = split.removesuffix("_all")
    files, texts = (root / "etc" / f"an4_{part}.{kind}" for kind in ("fileids", "transcription"))
    said = read_lines(texts)
    listed = read_lines(files)
    if len(said) != len(listed):
        raise InputError.of(f"expected {len(listed)} lines as in {files.name}, found {len(said)}", file=texts)
    found = []
    for number, (file, line) in enumerate(zip(listed, said, strict=True), 1):
        place = PurePosixPath(file)
        if len(place.parts) != 3 or ".." in place.parts:
            message = f"expected a folder, a speaker and a name, found {show(file)}"
            raise InputError.of(message, file=files, line=number)
        _, speaker, name = place.parts
        text, _, told = line.rpartition(" (")
        if told != f"{name})":
            raise InputError.of(f"expected the text of {show(name)}, found {show(line)}", file=texts, line=number)
        words = tuple(word for word in text.split() if word not in ("<s>", "</s>"))
        found.append(Spoken(name, speaker, read_cepstra(root / "feat" / f"{file}.mfc"), words))
    return found


def read_cepstra(path: Path) -> NDArray[np.float32]:
    """Return the cepstra of a file of CMU Sphinx, [frames, 13]: how many values, then those, big-endian, of 32 bits.

    Rounded to 16 bits, as ``an4_mfcc13.npz`` holds them: both give the same codes.
    """
    raw = read_whole(path, "recording_bytes")
    values = np.frombuffer(raw[4 : len(raw) // 4 * 4], ">f4")
    if len(raw) % 4 or len(raw) < 8 or int.from_bytes(raw[:4], "big") != len(values) or len(values) % (WIDTH // 3):
        raise InputError.of(f"not a file of {WIDTH // 3} cepstra a frame", file=path, hint="fetch the data set again")
    with np.errstate(over="ignore"):
        rounded = values.reshape(-1, WIDTH // 3).astype(np.float16).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise InputError.of("holds cepstra that are no numbers of 16 bits", file=path, hint="fetch the data set again")
    return rounded


def dictionary_file(folder: Path) -> Path:
    """Return where AN4's dictionary is: beside the packed file, or in CMU's own folder."""
    inside = folder / TREE / "etc" / DICTIONARY
    return inside if os.path.exists(inside) and not os.path.exists(folder / DICTIONARY) else folder / DICTIONARY


def load_dictionary(folder: Path | None = None) -> dict[str, list[tuple[str, ...]]]:
    """Return the pronunciations of AN4's 101 words, in the dictionary's order: word -> phones of each variant."""
    words: dict[str, list[tuple[str, ...]]] = {}
    path = dictionary_file(folder or data_folder())
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
    url="https://github.com/cphazen/Machine-Learning-Project-ASR",
    checksum="git:5e478f0ee6c5b060edf702acdd563948cad5545f",
    checksum_source="a public repository that holds CMU's own folder of cepstra, texts and licence",
    licence="BSD-like",
    size="about 16 MB",
    kept={"an4": TREE},
    layout="an4/feat/<part>/<speaker>/<utterance>.mfc and an4/etc (AN4 as CMU gives it out in cepstra, "
    "http://www.speech.cs.cmu.edu/databases/an4/), or an4_mfcc13.npz (mfcc [frames, 13] at 100 frames a second, all "
    "utterances end to end, offsets to cut them, and utt, speaker, split, text of each) and an4.dic for its phones",
    marks=(FILE, f"{TREE}/feat"),
)


def _read(split: str) -> list[Featured]:
    return _featured(load_an4(split), load_dictionary() if os.path.exists(dictionary_file(data_folder())) else {})


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


DATASETS.register("an4", FeatureSet(SPLITS, WIDTH, FRAME_PERIOD_S, _read, DOWNLOAD, sample=SAMPLE))
DATASETS.register(SAMPLE, FeatureSet(("test",), WIDTH, FRAME_PERIOD_S, _read_sample, shipped=sample_folder))
