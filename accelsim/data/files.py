"""Reading what the data sets consist of: one reader a format, which checks before anything is used.

Whatever is wrong with a file ends in an InputError that names it.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.data.features import SAMPLE_RATE_HZ
from accelsim.errors import InputError, did_you_mean

_AGAIN = "fetch the data set again"
RATES_HZ = (4_000, 384_000)
"""Least and largest sample rate of a recording."""


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text in UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError.of(f"cannot read: {error.strerror or error}", file=path, hint=_AGAIN) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError.of("not UTF-8 text", file=path, line=line, hint=_AGAIN) from None


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a table of tab-separated columns with a header; it may have more than these ``columns``."""
    header, *lines = csv.reader(read_lines(path) or [""], delimiter="\t", quoting=csv.QUOTE_NONE)
    missing = [column for column in columns if column not in header]
    if missing:
        raise InputError.of(f"no column '{missing[0]}'", file=path, line=1, hint=did_you_mean(missing[0], header))
    for number, row in enumerate(lines, 2):
        if row and len(row) != len(header):
            raise InputError.of(f"expected {len(header)} columns, found {len(row)}", file=path, line=number)
    return [dict(zip(header, row, strict=True)) for row in lines if row]


def read_audio(path: Path) -> NDArray[np.float32]:
    """Return mono audio at 16 kHz, float32 in [-1, 1)."""
    audio, rate_hz = read_recording(path)
    if rate_hz != SAMPLE_RATE_HZ:
        raise InputError.of(f"expected {SAMPLE_RATE_HZ} Hz, found {rate_hz} Hz", file=path, hint=_AGAIN)
    return audio


def read_recording(path: Path) -> tuple[NDArray[np.float32], int]:
    """Return mono audio, float32 in [-1, 1), and its rate in Hz, in any format that libsndfile reads."""
    import soundfile

    if not os.path.isfile(path):
        raise InputError.of("no such recording", file=path, hint=_AGAIN)
    try:
        with soundfile.SoundFile(path) as file:
            rate_hz, channels, frames = file.samplerate, file.channels, file.frames
            audio = np.asarray(file.read(dtype="float32", always_2d=True))
    except Exception as error:  # whatever libsndfile makes of a damaged file
        raise InputError.of(f"not a recording: {_reason(error)}", file=path, hint=_AGAIN) from None
    if channels != 1:
        raise InputError.of(f"expected one channel (mono), found {channels}", file=path, hint="mix it down to mono")
    if len(audio) < frames:
        raise InputError.of(f"cut short: {len(audio)} of {frames} samples are there", file=path, hint=_AGAIN)
    if not np.isfinite(audio).all():
        raise InputError.of("holds samples that are NaN or infinite", file=path, hint=_AGAIN)
    check_rate(rate_hz, path)
    return audio[:, 0], rate_hz


def check_rate(rate_hz: int, path: Path) -> None:
    """Raise InputError for a sample rate that no recording of speech has."""
    low, high = RATES_HZ
    if not low <= rate_hz <= high:
        raise InputError.of(f"expected a sample rate from {low} to {high} Hz, found {rate_hz}", file=path, hint=_AGAIN)


def read_packed(
    path: Path, values: str, columns: Sequence[str], others: Sequence[str] = ()
) -> tuple[list[NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return the utterances of an .npz file and its other arrays.

    ``values``: numbers of all utterances end to end, cut by ``offsets`` [utterances + 1]; ``columns``: arrays with one
    entry an utterance; ``others``: arrays of any shape.
    """

    def wrong(message: str, hint: str | None = _AGAIN) -> InputError:
        return InputError.of(message, file=path, hint=hint)

    wanted = [values, "offsets", *columns, *others]
    found, there = read_arrays(path, wanted)
    for name in wanted:
        if name not in found:
            raise wrong(f"no array '{name}'", did_you_mean(name, there))
    data = found[values]
    if data.dtype.kind not in "iuf" or data.ndim not in (1, 2):
        raise wrong(f"'{values}': expected numbers, found {data.ndim} dimensions of {data.dtype}")
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        raise wrong(f"'{values}' holds NaN or infinity")
    try:
        ends = cuts("offsets", found["offsets"], len(data))
    except ValueError as error:
        raise wrong(f"{error}") from None
    offsets = found["offsets"]
    for name in columns:
        if found[name].shape != (len(offsets) - 1,):
            raise wrong(f"'{name}': expected {len(offsets) - 1} entries, found shape {list(found[name].shape)}")
    return [data[start:end] for start, end in pairwise(ends)], found


def read_arrays(path: Path, wanted: Sequence[str]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return those of the ``wanted`` arrays that an .npz or .safetensors file holds, and the names of all its arrays.

    Neither format can make anything run: pickled objects in an .npz are refused.
    """
    if not os.path.isfile(path):
        raise InputError.of("no such file", file=path, hint=_AGAIN)
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="numpy") as tensors:
                there = list(tensors.keys())
                return {name: tensors.get_tensor(name) for name in wanted if name in there}, there
        with np.load(path, allow_pickle=False) as table:
            there = list(table.files)
            return {name: table[name] for name in wanted if name in there}, there
    except Exception as error:  # whatever zipfile, zlib, NumPy and safetensors make of a damaged file
        form = path.suffix if path.suffix == ".safetensors" else ".npz"
        raise InputError.of(f"not a whole {form} file: {_reason(error)}", file=path, hint=_AGAIN) from None


def cuts(name: str, offsets: NDArray[Any], rows: int) -> NDArray[np.int64]:
    """Return the offsets that cut so many ``rows`` into utterances, checked; raises ValueError."""
    if offsets.dtype.kind not in "iu" or offsets.ndim != 1 or not len(offsets):
        raise ValueError(f"'{name}': expected a list of whole numbers")
    if offsets.min() < 0 or offsets.max() > rows or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"'{name}' must rise from 0 to {rows}, the number of rows")
    return offsets.astype(np.int64)


def _reason(error: Exception) -> str:
    """Return what a library says of a file, without the path, which is told anyway."""
    return (str(error).rsplit(": ", 1)[-1] or type(error).__name__).rstrip(".")
