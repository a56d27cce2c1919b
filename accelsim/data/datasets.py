"""Speech data sets: a sample that ships with accelsim, and public sets from a folder or an explicit download."""

from __future__ import annotations

import csv
import os
import re
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from accelsim import library
from accelsim.data import digits
from accelsim.data.features import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from accelsim.errors import DataError, InputError

DATA_VARIABLE = "ACCELSIM_DATA"


@dataclass(frozen=True)
class Utterance:
    """One spoken utterance: audio is mono float32 at 16 kHz in [-1, 1); phones are of the 39-phone set."""

    name: str
    speaker: str
    audio: npt.NDArray[np.float32]
    phones: tuple[str, ...] | None
    text: str | None


@dataclass(frozen=True)
class Download:
    """A public archive and the checksum that a download must have; `checksum_source` says who published it."""

    url: str
    checksum: str | None
    checksum_source: str
    licence: str
    layout: str
    """What a hand-made copy must look like below the data folder."""


DOWNLOADS = {
    "mini_librispeech": Download(
        url="https://www.openslr.org/resources/31/train-clean-5.tar.gz",
        checksum="sha256:47805806c8b15f7549f3c51bd6b7da72ec0128a34d32830c8014a88658c0292d",
        checksum_source="three public projects that pin it beside OpenSLR 31's md5, 5df7d4e78065366204ca6845bb08f490",
        licence="CC BY 4.0",
        layout="LibriSpeech/train-clean-5/<speaker>/<chapter>/*.flac (OpenSLR 31, train-clean-5)",
    ),
    "timit_sample": Download(
        url="https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/timit.zip",
        checksum=None,
        checksum_source="",
        licence="CC BY-NC-SA, for measuring only",
        layout="timit/<dr>-<speaker>/<sentence>.wav, .phn and .txt (NLTK's TIMIT corpus sample)",
    ),
    "fsdd": Download(
        url="https://github.com/Jakobovski/free-spoken-digit-dataset",
        checksum=None,
        checksum_source="",
        licence="CC BY-SA 4.0",
        layout="free-spoken-digit-dataset/recordings/<digit>_<speaker>_<take>.wav (a clone of the repository)",
    ),
    "audiomnist": Download(
        url="https://github.com/soerenab/AudioMNIST",
        checksum=None,
        checksum_source="",
        licence="MIT",
        layout="AudioMNIST/data/<speaker>/<digit>_<speaker>_<take>.wav (a clone of the repository)",
    ),
    "an4": Download(
        url="http://www.speech.cs.cmu.edu/databases/an4/",
        checksum=None,
        checksum_source="",
        licence="BSD-like",
        layout="an4_mfcc13.npz (mfcc [frames, 13] at 100 frames a second, all utterances end to end, offsets to cut "
        "them, and utt, speaker, split, text of each), and an4.dic for its phones",
    ),
}


def data_folder() -> Path:
    """The folder that holds data sets: $ACCELSIM_DATA, else the platform's cache folder for accelsim."""
    chosen = os.environ.get(DATA_VARIABLE)
    if chosen:
        return Path(chosen)
    import pooch

    return Path(pooch.os_cache("accelsim"))


def sample_folder() -> Path:
    """The folder of the LibriVox sample, in a source checkout or inside an installed package."""
    folder = library.root() / "workloads" / "rsnn_phoneme" / "sample"
    if folder.is_dir():
        return folder
    raise _problem("the LibriVox sample is not part of this installation", "reinstall accelsim")


def load(name: str, split: str) -> list[Utterance]:
    """The utterances of one split, in a fixed order.

    Sets and splits: `librivox_sample` test; `mini_librispeech` train, dev, test (by speaker);
    `timit_sample` test (speakers dr2-faem0 and dr8-mbcg0, SA sentences dropped, 61 labels folded to 39 phones);
    `fsdd` and `audiomnist` train, test (by speaker, `text` is the word of the digit); `zero_one` train, test: the
    zeros and ones of both.
    Raises InputError for an unknown set or split, and when the data is not on this machine.
    """
    if name in DOWNLOADS and name not in _SETS:
        raise _problem(f"data set {name!r} comes as features, not as audio", "write 'source: features'")
    if name not in _SETS:
        raise _problem(f"unknown data set {name!r}", f"known data sets: {', '.join(_SETS)}")
    splits, reader = _SETS[name]
    if split not in splits:
        raise _problem(f"data set {name!r} has no split {split!r}", f"its splits: {', '.join(splits)}")
    return reader(split)


class DownloadBar(Protocol):
    """What draws a download: `total` in bytes is set first, then `update` gets the bytes of each piece."""

    total: int

    def update(self, amount: int) -> None: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...


def get(name: str, progress: Callable[[str], None] | None = None, bar: DownloadBar | None = None) -> Path:
    """Download a data set, check its checksum, unpack it safely; returns the folder that now holds it.

    Does nothing but report when the data is already there. `progress` receives one line of text per step, `bar` the
    bytes. A killed download or unpacking leaves nothing that would be taken for the data set.
    Raises InputError for an unknown set, and for a set without a published checksum to check against.
    """
    report = progress or (lambda line: None)
    if name == "librivox_sample":
        report("librivox_sample ships with accelsim")
        return sample_folder()
    if name == "zero_one":
        raise _problem("zero_one is the zeros and ones of fsdd and audiomnist", "get those two")
    if name not in DOWNLOADS:
        raise _problem(f"unknown data set {name!r}", f"known data sets: {', '.join(_SETS | DOWNLOADS)}")
    folder = data_folder()
    if _present(name, folder):
        report(f"{name} is already in {folder}")
        return folder
    download = DOWNLOADS[name]
    if download.checksum is None:
        raise _problem(
            f"no checksum is published for {name}, so it is not downloaded",
            f"fetch {download.url} yourself and provide {download.layout} in the folder that "
            f"{DATA_VARIABLE} names (now {folder})",
        )
    import pooch

    report(f"downloading {download.url} ({download.licence}) to {folder}")
    try:
        archive = pooch.retrieve(
            download.url,
            known_hash=download.checksum,
            path=folder,
            fname=download.url.rsplit("/", 1)[-1],
            downloader=pooch.HTTPDownloader(progressbar=bar or False),
        )
    except ValueError:
        raise _problem(f"the download of {name} does not have the pinned checksum", "try again later") from None
    except OSError as error:
        hint = f"check the connection, or provide {download.layout} in {folder}"
        raise _problem(f"cannot download {download.url}: {error}", hint) from None
    report(f"checksum {download.checksum} holds; unpacking")
    unpack(Path(archive), folder)
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive below `folder`; tarfile's 'data' filter refuses paths and links that lead outside.

    Everything is unpacked aside first and then moved into place, so that a killed run leaves no half of a set.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as source, tempfile.TemporaryDirectory(dir=folder, prefix=".unpack-") as aside:
        source.extractall(aside, filter="data")
        for entry in sorted(Path(aside).iterdir()):
            target = folder / entry.name
            if not target.exists():
                entry.rename(target)
                continue
            for part in sorted(entry.iterdir()):  # another part of the same corpus is there already
                part.rename(target / part.name)


def _present(name: str, folder: Path) -> bool:
    marks = {
        "mini_librispeech": ("librispeech_mini/manifest.tsv", "LibriSpeech/train-clean-5"),
        "timit_sample": ("timit_sample_16k_int16.npz", "timit/dr2-faem0"),
        "fsdd": ("fsdd_8k_int16.npz", "free-spoken-digit-dataset/recordings"),
        "audiomnist": ("audiomnist_subset_8k_int16.npz", "AudioMNIST/data"),
        "an4": ("an4_mfcc13.npz",),
    }
    return any((folder / mark).exists() for mark in marks[name])


def _problem(message: str, hint: str) -> InputError:
    from accelsim.errors import InputError

    return InputError.of(message, hint=hint)


def missing(name: str) -> DataError:
    """The error of a data set that is not on this machine: how to get it, or what its files must look like."""
    from accelsim.errors import DataError

    fetch = f"run `accelsim data get {name}`, or " if DOWNLOADS[name].checksum else ""
    message = f"data set {name!r} is not in {data_folder()}"
    return DataError.of(message, hint=f"{fetch}set {DATA_VARIABLE} to a folder with {DOWNLOADS[name].layout}")


def _read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def _read_audio(path: Path) -> npt.NDArray[np.float32]:
    import soundfile

    audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=False)
    if rate_hz != SAMPLE_RATE_HZ or audio.ndim != 1:
        raise _problem(
            f"{path}: expected mono audio at {SAMPLE_RATE_HZ} Hz, found {audio.ndim} dimensions at {rate_hz} Hz",
            "fetch the data set again",
        )
    return audio


def _librivox_sample(split: str) -> list[Utterance]:
    folder = sample_folder()
    return [
        Utterance(
            name=row["utt"],
            speaker=row["speaker"],
            audio=_read_audio(folder / f"{row['utt']}.flac"),
            phones=tuple(row["phones"].split()),
            text=row["text"],
        )
        for row in _read_table(folder / "librivox.tsv")
    ]


def _mini_librispeech(split: str) -> list[Utterance]:
    folder = data_folder()
    rows = [row for row in _read_table(sample_folder() / "mini_librispeech.tsv") if row["split"] == split]
    if (folder / "librispeech_mini" / "manifest.tsv").exists():
        texts = {r["utt"]: r["transcript"] for r in _read_table(folder / "librispeech_mini" / "manifest.tsv")}
        paths = {row["utt"]: folder / "librispeech_mini" / f"{row['utt']}.opus" for row in rows}
    elif (folder / "LibriSpeech" / "train-clean-5").is_dir():
        root = folder / "LibriSpeech" / "train-clean-5"
        lines = [line for file in sorted(root.rglob("*.trans.txt")) for line in file.read_text().splitlines()]
        texts = dict(line.split(" ", 1) for line in lines)
        paths = {row["utt"]: root.joinpath(*row["utt"].split("-")[:2], f"{row['utt']}.flac") for row in rows}
    else:
        raise missing("mini_librispeech")
    return [
        Utterance(
            name=row["utt"],
            speaker=row["utt"].split("-")[0],
            audio=_read_audio(paths[row["utt"]]),
            phones=tuple(row["phones"].split()) or None,
            text=texts[row["utt"]].lower(),
        )
        for row in rows
    ]


TIMIT_TEST_SPEAKERS = ("dr2-faem0", "dr8-mbcg0")

# After Lee and Hon (1989), onto the 39 phones of CMUdict: AO and ZH stay apart as CMUdict has them, and the flap DX,
# which CMUdict has not, counts as T. "" is silence, a closure or a glottal stop, which the fold drops.
TIMIT_FOLD = {
    "ax": "AH", "ax-h": "AH", "axr": "ER", "dx": "T", "hv": "HH", "ix": "IH", "el": "L", "em": "M", "en": "N",
    "nx": "N", "eng": "NG", "ux": "UW", "q": "", "pcl": "", "tcl": "", "kcl": "", "bcl": "", "dcl": "", "gcl": "",
    "h#": "", "pau": "", "epi": "",
}  # fmt: skip


def fold_timit(labels: list[str]) -> tuple[str, ...]:
    """Fold TIMIT's 61 labels to the 39 phones of CMUdict; silence, closures and glottal stops are removed."""
    return tuple(phone for label in labels if (phone := TIMIT_FOLD.get(label, label.upper())))


def _timit_sample(split: str) -> list[Utterance]:
    folder = data_folder()
    if (folder / "timit_sample_16k_int16.npz").exists():
        utterances = _timit_npz(folder / "timit_sample_16k_int16.npz")
    elif (folder / "timit").is_dir():
        utterances = _timit_tree(folder / "timit")
    else:
        raise missing("timit_sample")
    return [u for u in utterances if u.speaker in TIMIT_TEST_SPEAKERS and not re.search(r"/sa[12]$", u.name)]


def _timit_npz(path: Path) -> list[Utterance]:
    with np.load(path, allow_pickle=False) as data:
        table = {key: data[key] for key in data.files}
    utterances = []
    for index, (speaker, utt) in enumerate(zip(table["speaker"], table["utt"], strict=True)):
        samples = table["audio"][table["offsets"][index] : table["offsets"][index + 1]]
        labels = [str(label) for label in table["seg_phone"][table["seg_utt"] == index]]
        audio = samples.astype(np.float32) / 32768.0
        name = f"{speaker}/{utt}"
        utterances.append(Utterance(name, str(speaker), audio, fold_timit(labels), str(table["text"][index])))
    return utterances


def _timit_tree(root: Path) -> list[Utterance]:
    utterances = []
    for speaker in TIMIT_TEST_SPEAKERS:
        for wav in sorted((root / speaker).glob("*.wav")):
            labels = [line.split()[2] for line in wav.with_suffix(".phn").read_text().splitlines()]
            text = wav.with_suffix(".txt").read_text().split(" ", 2)[2].strip()
            name = f"{speaker}/{wav.stem}"
            utterances.append(Utterance(name, speaker, _read_audio(wav), fold_timit(labels), text))
    return utterances


def _digits(name: str, split: str, count: int = 10) -> list[Utterance]:
    """The digits below `count` of one split."""
    reader, speakers = {
        "fsdd": (digits.fsdd, digits.FSDD_TEST_SPEAKERS),
        "audiomnist": (digits.audiomnist, digits.AUDIOMNIST_TEST_SPEAKERS),
    }[name]
    recordings = reader(
        data_folder(), lambda digit, speaker: digit < count and (speaker in speakers) == (split == "test")
    )
    if recordings is None:
        raise missing(name)
    return [
        Utterance(f"{name}/{one.digit}_{one.speaker}_{one.take}", one.speaker, one.audio, None, digits.WORDS[one.digit])
        for one in recordings
    ]


def _zero_one(split: str) -> list[Utterance]:
    return _digits("fsdd", split, 2) + _digits("audiomnist", split, 2)


_SETS: dict[str, tuple[tuple[str, ...], Callable[[str], list[Utterance]]]] = {
    "librivox_sample": (("test",), _librivox_sample),
    "mini_librispeech": (("train", "dev", "test"), _mini_librispeech),
    "timit_sample": (("test",), _timit_sample),
    "fsdd": (("train", "test"), partial(_digits, "fsdd")),
    "audiomnist": (("train", "test"), partial(_digits, "audiomnist")),
    "zero_one": (("train", "test"), _zero_one),
}
