"""Reading what the data sets consist of."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelsim.data.features import SAMPLE_RATE_HZ
from accelsim.errors import InputError


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table of tab-separated columns with a header."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def read_audio(path: Path) -> NDArray[np.float32]:
    """Return mono audio at 16 kHz, float32 in [-1, 1); raises InputError for anything else."""
    import soundfile

    audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=False)
    if rate_hz != SAMPLE_RATE_HZ or audio.ndim != 1:
        message = f"{path}: expected mono audio at {SAMPLE_RATE_HZ} Hz, found {audio.ndim} dimensions at {rate_hz} Hz"
        raise InputError.of(message, hint="fetch the data set again")
    return audio
