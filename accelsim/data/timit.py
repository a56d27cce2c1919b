"""The sample of TIMIT in NLTK's data, for measuring only."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from accelsim.data.dataset import DATASETS, DataSet, Download, Utterance, data_folder, missing
from accelsim.data.files import read_audio

DOWNLOAD = Download(
    url="https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/timit.zip",
    checksum=None,
    checksum_source="",
    licence="CC BY-NC-SA, for measuring only",
    layout="timit/<dr>-<speaker>/<sentence>.wav, .phn and .txt (NLTK's TIMIT corpus sample)",
    marks=("timit_sample_16k_int16.npz", "timit/dr2-faem0"),
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
            utterances.append(Utterance(name, speaker, read_audio(wav), fold_timit(labels), text))
    return utterances


DATASETS.register("timit_sample", DataSet(("test",), _read, DOWNLOAD))
