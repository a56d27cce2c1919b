"""Data sets that come as features, 8-bit codes per frame, instead of audio."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.data.dataset import DATASETS, Featured, FeatureSet, reading
from accelsim.data.waveform import ZERO_CODE
from accelsim.errors import InputError, did_you_mean


def feature_set(name: str, split: str) -> FeatureSet:
    """Return the entry of a data set that has such a split; raises ValueError."""
    try:
        found = DATASETS.get(name)
    except InputError as error:
        raise ValueError(str(error)) from None
    if not isinstance(found, FeatureSet):
        known = [other for other, one in DATASETS.loaded().items() if isinstance(one, FeatureSet)]
        raise ValueError(f"no data set '{name}' that comes as features; {did_you_mean(name, known)}")
    if split not in found.splits:
        raise ValueError(f"data set '{name}' has no split '{split}'; its splits: {', '.join(found.splits)}")
    return found


def load_features(name: str, split: str) -> list[Featured]:
    """Return the utterances of one split, in a fixed order.

    Raises ValueError for an unknown set or split, InputError when the data is not on this machine or is damaged.
    """
    found = feature_set(name, split)
    with reading(name):
        return found.read(split)


def unsigned(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Return code + `ZERO_CODE`."""
    return (codes.astype(np.int16) + ZERO_CODE).astype(np.uint8)
