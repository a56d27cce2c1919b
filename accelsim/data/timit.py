"""The sample of TIMIT in NLTK's data, for measuring only."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from accelsim.data.dataset import DATASETS, DataSet, Download, Utterance, data_folder, missing
from accelsim.data.files import read_audio, read_lines, read_packed
from accelsim.errors import InputError, show

DOWNLOAD = Download(
    url="https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/timit.zip",
    checksum=None,
    checksum_source="",
    licence="CC BY-NC-SA, for measuring only",
    layout="timit/<dr>-<speaker>/<sentence>.wav, .phn and .txt (NLTK's TIMIT corpus sample)",
    marks=("timit_sample_16k_int16.npz", "timit/dr2-faem0"),
    by_hand="curl -LO https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/timit.zip && "
    "unzip timit.zip",
)

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


def _read(split: str) -> list[Utterance]:
    folder = data_folder()
    if os.path.exists(folder / "timit_sample_16k_int16.npz"):
        utterances = _timit_npz(folder / "timit_sample_16k_int16.npz")
    elif os.path.isdir(folder / "timit"):
        utterances = _timit_tree(folder / "timit")
    else:
        raise missing("timit_sample")
    return [u for u in utterances if u.speaker in TIMIT_TEST_SPEAKERS and not re.search(r"/sa[12]$", u.name)]


def _timit_npz(path: Path) -> list[Utterance]:
    recordings, table = read_packed(path, "audio", "int16", (), ("speaker", "utt", "text"), ("seg_utt", "seg_phone"))
    of, phones = table["seg_utt"], table["seg_phone"]
    if of.dtype.kind not in "iu" or phones.dtype.kind != "U" or of.ndim != 1 or of.shape != phones.shape:
        raise InputError.of("'seg_utt' and 'seg_phone': expected a whole number and a text a segment", file=path)
    utterances = []
    columns = zip(recordings, table["speaker"], table["utt"], table["text"], strict=True)
    for index, (samples, speaker, utt, text) in enumerate(columns):
        labels = [str(label) for label in phones[of == index]]
        audio = samples.astype(np.float32) / np.float32(32768)
        utterances.append(Utterance(f"{speaker}/{utt}", str(speaker), audio, fold_timit(labels), str(text)))
    return utterances


def _timit_tree(root: Path) -> list[Utterance]:
    utterances = []
    for speaker in TIMIT_TEST_SPEAKERS:
        for wav in sorted((root / speaker).glob("*.wav")):
            labels = [_column(wav.with_suffix(".phn"), number, line) for number, line in _spans(wav, ".phn")]
            text = " ".join(_column(wav.with_suffix(".txt"), number, line) for number, line in _spans(wav, ".txt"))
            name = f"{speaker}/{wav.stem}"
            utterances.append(Utterance(name, speaker, read_audio(wav), fold_timit(labels), text))
    if not utterances:
        raise InputError.of(f"no recordings of {' and '.join(TIMIT_TEST_SPEAKERS)}", file=root)
    return utterances


def _spans(wav: Path, suffix: str) -> list[tuple[int, str]]:
    """Return the numbered lines `first sample, last sample, label` beside a recording."""
    return [(number, line) for number, line in enumerate(read_lines(wav.with_suffix(suffix)), 1) if line.strip()]


def _column(path: Path, number: int, line: str) -> str:
    """Return what a line of samples says; raises InputError for one of another form."""
    parts = line.split(maxsplit=2)
    if len(parts) < 3 or not all(part.isascii() and part.isdigit() for part in parts[:2]):
        raise InputError.of(f"expected 'first sample, last sample, label', found {show(line)}", file=path, line=number)
    return parts[2].strip()


DATASETS.register("timit_sample", DataSet(("test",), _read, DOWNLOAD))
