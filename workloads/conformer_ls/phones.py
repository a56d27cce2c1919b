"""Mini LibriSpeech as its Conformers learn it: features as codes, and the phones of every utterance.

Words that the dictionary lacks follow ../rsnn_phoneme's rules. Reads mini LibriSpeech and cmudict.0.7a.txt from the
folder that ACCELSIM_DATA names; features are kept in the work folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

sys.path += [str(Path(__file__).parent.parent / folder) for folder in ("conformer_an4", "rsnn_phoneme")]

from align import PHONES, pronounce, read_lexicon
from model import Conformer
from training import Example, log_probabilities, stretched

from accelsim.data import data_folder, load
from accelsim.data.features import LogMel
from accelsim.score.ctc import CtcClasses

FEATURES = LogMel(bands=80)
MEAN_CODE = 80  # the code of a band at its running mean
SCALE = 1 / 32
SPEEDS = (1.0, 0.9, 1.1)
NAMES = ("", *PHONES)
DICTIONARY = "cmudict.0.7a.txt"


@dataclass(frozen=True)
class Spoken:
    """One utterance: the network's inputs int8 [frames, 80], and the phones that were said."""

    codes: NDArray[np.int8]
    phones: tuple[str, ...]


def feature_codes(audio: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return the network's inputs, int8 [frames, 80]: log-mel codes above their running mean."""
    return np.clip(FEATURES.codes(audio).astype(np.int16) - MEAN_CODE, -127, 127).astype(np.int8)


def spoken(split: str, work: Path) -> list[Spoken]:
    """Return the utterances of a split whose phones are known, from the work folder where they have been kept.

    Development and test speakers: the phones that come with the data set. Training speakers: the first pronunciation of
    every word; an utterance with a word that cannot be derived is left out.
    """
    kept = work / f"{split}.npz"
    if not kept.exists():
        made = _spoken(split)
        work.mkdir(parents=True, exist_ok=True)
        part = work / f"{split}.part.npz"
        np.savez(
            part,
            codes=np.concatenate([u.codes for u in made]),
            ends=np.cumsum([len(u.codes) for u in made]),
            phones=np.array([" ".join(u.phones) for u in made]),
        )
        part.replace(kept)
    with np.load(kept, allow_pickle=False) as table:
        codes = np.split(table["codes"], table["ends"][:-1])
        return [Spoken(x, tuple(str(said).split())) for x, said in zip(codes, table["phones"], strict=True)]


def _spoken(split: str) -> list[Spoken]:
    utterances = load("mini_librispeech", split)
    phones = [u.phones for u in utterances]
    if split == "train":
        lexicon = read_lexicon(data_folder() / DICTIONARY)
        said = [[pronounce(word, lexicon) for word in (u.text or "").split()] for u in utterances]
        phones = [tuple(PHONES[p - 1] for word in s for p in word[0]) if all(s) else None for s in said]
    made = [
        Spoken(feature_codes(u.audio), p)
        for u, p in tqdm(zip(utterances, phones, strict=True), desc=f"features of {split}", total=len(utterances))
        if p
    ]
    print(f"{split}: {len(made)} of {len(utterances)} utterances; the others have a word without a pronunciation")
    return made


def example(utterance: Spoken) -> Example:
    """Return one utterance as the training loop takes it."""
    codes = utterance.codes
    speeds = [codes if speed == 1 else np.rint(stretched(codes.astype(np.float32), speed)) for speed in SPEEDS]
    return Example(tuple(x.astype(np.int8)[:, :, None] for x in speeds), tuple(map(NAMES.index, utterance.phones)))


def data(work: Path) -> tuple[int, list[Example], Callable[[Conformer], str]]:
    """Return the number of classes, what is learned from, and the report on the development speakers."""
    learned = [example(u) for u in spoken("train", work)]
    dev = spoken("dev", work)
    codes, references = [u.codes[:, :, None] for u in dev], [u.phones for u in dev]
    decoder = CtcClasses(NAMES)

    def report(model: Conformer) -> str:
        rate = decoder.score(log_probabilities(model, codes, SCALE), references)
        return f"dev phone error rate {rate.value:.2f} %"

    return len(NAMES), learned, report
