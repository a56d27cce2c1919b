"""Data sets that come as features, 8-bit codes per frame, instead of audio; a further one is an entry in the table."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.data import an4
from accelsim.data.datasets import DOWNLOADS, data_folder, missing
from accelsim.data.waveform import ZERO_CODE
from accelsim.errors import InputError, did_you_mean


@dataclass(frozen=True)
class Featured:
    """One utterance: codes uint8 [frames, width] around `ZERO_CODE`; phones and text where they are known."""

    name: str
    speaker: str
    codes: NDArray[np.uint8]
    phones: tuple[str, ...] | None
    text: str | None


@dataclass(frozen=True)
class FeatureSet:
    """What is known of a data set before it is read; ``read``: the utterances of a split, in a fixed order."""

    splits: tuple[str, ...]
    width: int
    frame_period_s: float
    read: Callable[[str], list[Featured]]


def feature_set(name: str, split: str) -> FeatureSet:
    """Return the entry of a data set that has such a split; raises ValueError."""
    if name not in FEATURE_SETS:
        raise ValueError(f"no data set '{name}' that comes as features; {did_you_mean(name, FEATURE_SETS)}")
    found = FEATURE_SETS[name]
    if split not in found.splits:
        raise ValueError(f"data set '{name}' has no split '{split}'; its splits: {', '.join(found.splits)}")
    return found


def load_features(name: str, split: str) -> list[Featured]:
    """Return the utterances of one split, in a fixed order.

    Raises ValueError for an unknown set or split, InputError when the data is not on this machine or is damaged.
    """
    found = feature_set(name, split)
    try:
        return found.read(split)
    except FileNotFoundError:
        raise missing(name) from None
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        message = f"cannot read data set '{name}' in {data_folder()}: {error}"
        raise InputError.of(message, hint=f"expected {DOWNLOADS[name].layout}") from None


def unsigned(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Return code + `ZERO_CODE`."""
    return (codes.astype(np.int16) + ZERO_CODE).astype(np.uint8)


def _an4(split: str) -> list[Featured]:
    dictionary = an4.load_dictionary() if (data_folder() / an4.DICTIONARY).exists() else {}
    return [
        Featured(
            name=spoken.name,
            speaker=spoken.speaker,
            codes=unsigned(an4.feature_codes(spoken.mfcc)),
            phones=an4.phones_of(spoken.words, dictionary),
            text=" ".join(spoken.words),
        )
        for spoken in an4.load_an4(split)
    ]


FEATURE_SETS = {"an4": FeatureSet(("train", "test"), an4.WIDTH, an4.FRAME_PERIOD_S, _an4)}
