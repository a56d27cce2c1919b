"""Reading what the data sets consist of: one reader a format, which checks before anything is used.

Whatever is wrong with a file ends in an InputError that names it. Nothing is allocated because a file claims it: sizes
are held against `accelsim.limits` and against the bytes that are there.
"""

from __future__ import annotations

import io
import math
import os
import stat
import struct
import warnings
import zipfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim import limits
from accelsim.data.features import SAMPLE_RATE_HZ
from accelsim.errors import InputError, Problem, did_you_mean

_AGAIN = "fetch the data set again"
RATES_HZ = (4_000, 384_000)
"""Least and largest sample rate of a recording."""
LOUDEST = 2.0**16
"""Magnitude of the loudest sample: files in steps of 16 bits reach half of it, and powers of it are finite."""
ROUNDED_S = 0.05
"""Seconds by which the end of a part may lie behind that of its recording: tables round."""
_UNKNOWN_LENGTH = 2**62
"""libsndfile says more samples than this of a stream whose header does not say how long it is."""
_MOST_CONTENTS = 4_000_000
"""Bytes of the table of contents of an .npz file: some 50,000 arrays."""
_LONGEST_HEADER = 10_000
"""Bytes of the header of an array in an .npz file, NumPy's own limit."""


def is_file(path: Path) -> bool:
    """Return whether a file is there; names that no file can have are none (`Path.is_file` raises for some)."""
    return os.path.isfile(path)


def beside(path: Path) -> list[str]:
    """Return the names of the files beside a path, for hints; none where its folder cannot be read."""
    try:
        return sorted(os.listdir(path.parent))
    except (OSError, ValueError):
        return []


def file_size(
    path: Path, limit: str, missing: str = "cannot read: no such file", again: str | None = _AGAIN
) -> int:  # fmt: skip
    """Return the bytes of a regular file; raises InputError where there is none, or it is over a limit.

    ``again``: what to do about a file that is missing or damaged.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise InputError.of(missing, file=path, hint=again) from None
    except (OSError, ValueError) as error:  # ValueError: a name with NUL in it
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError.of(f"cannot read: {reason}", file=path, hint=again) from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError.of(missing, file=path, hint=again)
    limits.check(limit, status.st_size, file=path)
    return status.st_size


def read_whole(
    path: Path, limit: str, missing: str = "cannot read: no such file", again: str | None = _AGAIN
) -> bytes:  # fmt: skip
    """Return what is in a file; raises InputError where it cannot be read, or is over a limit."""
    file_size(path, limit, missing, again)
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError.of(f"cannot read: {error.strerror or error}", file=path, hint=again) from None


def read_lines(path: Path, again: str | None = _AGAIN) -> list[str]:
    """Return the lines of a text in UTF-8."""
    raw = read_whole(path, "text_bytes", again=again)
    try:
        return raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError.of("not UTF-8 text", file=path, line=line, hint=again) from None


def read_table(path: Path, columns: Sequence[str], again: str | None = _AGAIN) -> dict[int, dict[str, str]]:
    """Return the rows of a table of tab-separated columns by their lines; it may have more than these ``columns``.

    The first line is the header; empty lines are no rows.
    """
    first, *lines = read_lines(path, again) or [""]
    header = first.split("\t")
    missing = [column for column in columns if column not in header]
    if missing:
        raise InputError.of(f"no column '{missing[0]}'", file=path, line=1, hint=did_you_mean(missing[0], header))
    limits.check("utterances", sum(map(bool, lines)), file=path)
    rows = {number: line.split("\t") for number, line in enumerate(lines, 2) if line}
    wrong = [
        Problem(f"expected {len(header)} columns, found {len(row)}", path, number)
        for number, row in rows.items()
        if len(row) != len(header)
    ]
    if wrong:
        raise InputError(wrong)
    return {number: dict(zip(header, row, strict=True)) for number, row in rows.items()}


class RecordingError(InputError):
    """A recording that cannot be used; ``kind``: why, in one word of `accelsim.data.recordings.KINDS`."""

    kind = "damaged"

    @classmethod
    def because(cls, kind: str, message: str, path: Path, hint: str | None = None) -> RecordingError:
        """Return the error of one recording."""
        error = cls([Problem(message, path, hint=hint)])
        error.kind = kind
        return error


def read_audio(path: Path) -> NDArray[np.float32]:
    """Return mono audio at 16 kHz, float32 in [-1, 1)."""
    audio, rate_hz = read_recording(path)
    if rate_hz != SAMPLE_RATE_HZ:
        raise InputError.of(f"expected {SAMPLE_RATE_HZ} Hz, found {rate_hz} Hz", file=path, hint=_AGAIN)
    return audio


def read_recording(path: Path) -> tuple[NDArray[np.float32], int]:
    """Return mono audio, float32 in [-1, 1), and its rate in Hz, in any format that libsndfile reads."""
    audio, rate_hz = read_channels(path, again=_AGAIN)
    return audio[:, 0], rate_hz


def read_channels(
    path: Path,
    *,
    several: bool = False,
    start_s: float = 0.0,
    end_s: float | None = None,
    content: bytes | None = None,
    again: str | None = None,
) -> tuple[NDArray[np.float32], int]:
    """Return audio [samples, channels], float32 in [-1, 1), and its rate in Hz, in any format that libsndfile reads.

    ``several``: more channels than one are allowed. ``start_s``, ``end_s``: the part that is wanted; an end up to
    `ROUNDED_S` behind the last sample is that sample. ``content``: the bytes of the recording, where ``path`` is but
    its name; ``again``: what to do about a damaged one. Raises RecordingError.
    """
    import soundfile

    if content is None:
        if not is_file(path):
            raise RecordingError.because("missing", "no such recording", path, again)
        file_size(path, "recording_bytes", again=again)
    else:
        limits.check("recording_bytes", len(content), file=path)
    try:
        with soundfile.SoundFile(path if content is None else io.BytesIO(content)) as file:
            rate_hz = file.samplerate
            if file.channels != 1 and not several:
                message = f"expected one channel (mono), found {file.channels}"
                raise RecordingError.because("stereo", message, path, "mix it down to mono")
            check_rate(rate_hz, path, again)
            first, end = _part(file, start_s, end_s, path)
            audio = _samples(file, first, end, path)
    except InputError:
        raise
    except Exception as error:  # whatever libsndfile makes of a damaged file
        raise RecordingError.because("damaged", f"not a recording: {_reason(error)}", path, again) from None
    if len(audio) < end - first:
        message = f"cut short: {len(audio)} of {end - first} samples are there"
        raise RecordingError.because("damaged", message, path, again)
    if not np.isfinite(audio).all():
        raise RecordingError.because("not_finite", "holds samples that are NaN or infinite", path, again)
    if (loudest := float(np.abs(audio).max(initial=0))) > LOUDEST:
        raise RecordingError.because("damaged", f"a sample of {loudest:g}, at most {LOUDEST:g} is read", path, again)
    return audio, rate_hz


def _part(file: Any, start_s: float, end_s: float | None, path: Path) -> tuple[int, int]:
    """Return the first sample of the part that is wanted of an open recording, and the one behind its last."""
    if file.frames >= _UNKNOWN_LENGTH:
        raise ValueError("its header does not say how long it is")
    length_s = file.frames / file.samplerate
    if start_s >= length_s > 0 or (end_s is not None and end_s > length_s + ROUNDED_S):
        wanted = f"{start_s:g} s to {'its end' if end_s is None else f'{end_s:g} s'}"
        raise RecordingError.because("segment", f"{wanted} of a recording of {length_s:.6g} s", path)
    first = round(start_s * file.samplerate)
    end = file.frames if end_s is None else min(round(end_s * file.samplerate), file.frames)
    return min(first, end), end


def _samples(file: Any, first: int, end: int, path: Path) -> NDArray[np.float32]:
    """Return samples of an open recording [samples, channels], as many as are there within the limit."""
    # What they become at 16 kHz counts too: a low rate makes a short file long.
    size = 4 * (end - first) * max(1.0, SAMPLE_RATE_HZ / file.samplerate) * file.channels
    limits.check("recording_bytes", size, f"{end - first:,} samples", file=path)
    if first:
        file.seek(first)
    return np.asarray(file.read(end - first, dtype="float32", always_2d=True))


def check_rate(rate_hz: int, path: Path, again: str | None = _AGAIN) -> None:
    """Raise InputError for a sample rate that no recording of speech has."""
    low, high = RATES_HZ
    if not low <= rate_hz <= high:
        message = f"expected a sample rate from {low} to {high} Hz, found {rate_hz}"
        raise RecordingError.because("wrong_rate", message, path, again)


def read_packed(
    path: Path, values: str, kind: str, row: tuple[int, ...], columns: Sequence[str], others: Sequence[str] = ()
) -> tuple[list[NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return the utterances of an .npz file and its other arrays.

    ``values``: numbers of all utterances end to end, cut by ``offsets`` [utterances + 1]: ``int16`` or ``floats``,
    as ``kind`` says, the entries of the shape ``row``; ``columns``: text or whole numbers, one entry an utterance;
    ``others``: arrays of any shape.
    """

    def wrong(message: str, hint: str | None = _AGAIN) -> InputError:
        return InputError.of(message, file=path, hint=hint)

    wanted = [values, "offsets", *columns, *others]
    found, there = read_arrays(path, wanted)
    for name in wanted:
        if name not in found:
            raise wrong(f"no array '{name}'", did_you_mean(name, there))
    data = found[values]
    right = data.dtype == np.int16 if kind == "int16" else data.dtype.kind == "f"
    if not right or data.shape[1:] != row or not data.ndim:
        form = f"[{', '.join(map(str, ('rows', *row)))}]"
        raise wrong(f"'{values}': expected numbers, {kind} {form}, found {list(data.shape)} of {data.dtype}")
    if data.dtype.kind == "f" and not (np.abs(data) <= np.float64(LOUDEST)).all():
        raise wrong(f"'{values}' holds NaN, infinity or numbers beyond {LOUDEST:g}")
    try:
        ends = cuts("offsets", found["offsets"], len(data))
    except ValueError as error:
        raise wrong(f"{error}") from None
    for name in columns:
        shape, dtype = list(found[name].shape), found[name].dtype
        if shape != [len(ends) - 1]:
            raise wrong(f"'{name}': expected {len(ends) - 1} entries, found shape {shape}")
        if dtype.kind not in "Uiu":
            raise wrong(f"'{name}': expected text or whole numbers, found {dtype}")
    limits.check("utterances", len(ends) - 1, file=path)
    return [data[start:end] for start, end in pairwise(ends)], found


def read_arrays(path: Path, wanted: Sequence[str]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return those of the ``wanted`` arrays that an .npz or .safetensors file holds, and the names of all its arrays.

    Neither format can make anything run: pickled objects in an .npz are refused. So is text that is none, and an array
    that claims more than its file has.
    """
    file_size(path, "data_bytes", "no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="numpy") as tensors:
                there = list(tensors.keys())
                return {name: tensors.get_tensor(name) for name in wanted if name in there}, there
        return _read_npz(path, wanted)
    except InputError:
        raise
    except Exception as error:  # whatever zipfile, zlib, NumPy and safetensors make of a damaged file
        form = path.suffix if path.suffix == ".safetensors" else ".npz"
        raise InputError.of(f"not a whole {form} file: {_reason(error)}", file=path, hint=_AGAIN) from None


def _read_npz(path: Path, wanted: Sequence[str]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return arrays of an .npz file as `np.load` does, but nothing is read or allocated before it is checked."""
    with path.open("rb") as file:
        _check_contents(file)
        with zipfile.ZipFile(file) as archive, warnings.catch_warnings():
            warnings.simplefilter("error")  # of headers that NumPy has to guess at
            entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            found = {name: _array(archive, name, entries[name], path) for name in wanted if name in entries}
    return found, list(entries)


def _check_contents(file: io.BufferedReader) -> None:
    """Raise ValueError unless a zip archive has a table of contents that is read at once."""
    size = file.seek(0, os.SEEK_END)
    tail_at = max(size - (1 << 16) - 22 - 76, 0)  # a comment, the record of the end, those of large archives
    file.seek(tail_at)
    tail = file.read()
    file.seek(0)
    end = len(tail) - 22  # as zipfile looks for it: at the end, else behind it a comment
    if not (tail[-22:].startswith(b"PK\5\6") and tail.endswith(b"\0\0")):
        end = tail.rfind(b"PK\5\6")
    if end < 0 or end + 22 > len(tail):
        raise ValueError("it is no zip archive, or its end is missing")
    (contents,) = struct.unpack_from("<I", tail, end + 12)
    if end >= 76 and tail[end - 20 : end - 16] == b"PK\6\7" and tail[end - 76 : end - 72] == b"PK\6\6":
        (contents,) = struct.unpack_from("<Q", tail, end - 76 + 40)
    if contents > _MOST_CONTENTS:
        raise ValueError(f"its table of contents has {contents:,} bytes, at most {_MOST_CONTENTS:,} are read")


def _array(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    """Return one array; its type and size are checked against what its header and the archive say."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"'{name}' is compressed in another way than NumPy does")
    with archive.open(info) as entry:
        head = io.BytesIO(entry.read(_LONGEST_HEADER + 16))
    version = np.lib.format.read_magic(head)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"'{name}' has version {version[0]}.{version[1]} of the format, which is not read")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(head)
    if dtype.hasobject:
        raise ValueError(f"'{name}' holds pickled objects, which are not read")
    if dtype.kind not in "biufUS" or dtype.subdtype is not None:
        raise ValueError(f"'{name}' holds {dtype}, neither numbers nor text")
    size = math.prod(shape) * dtype.itemsize
    if any(length < 0 for length in shape) or size > info.file_size - head.tell():
        raise ValueError(f"'{name}' of shape {list(shape)} ({dtype}) is not whole")
    limits.check("data_bytes", size, f"array '{name}'", file=path)
    with archive.open(info) as entry:
        array: NDArray[Any] = np.lib.format.read_array(entry, allow_pickle=False)
    if dtype.kind == "U" and size:
        letters = np.ascontiguousarray(array).view(dtype.byteorder.replace("|", "=") + "u4")
        if ((letters > 0x10FFFF) | ((letters >= 0xD800) & (letters < 0xE000))).any():
            raise ValueError(f"'{name}' holds text that is none")
    return array


def cuts(name: str, offsets: NDArray[Any], rows: int) -> NDArray[np.int64]:
    """Return the offsets that cut so many ``rows`` into utterances, checked; raises ValueError."""
    if offsets.dtype.kind not in "iu" or offsets.ndim != 1 or not len(offsets):
        raise ValueError(f"'{name}': expected a list of whole numbers")
    if offsets.min() < 0 or offsets.max() > rows or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"'{name}' must rise from 0 to {rows}, the number of rows")
    return offsets.astype(np.int64)


def _reason(error: Exception) -> str:
    """Return what a library says of a file, without the path, which is told anyway."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).rsplit(": ", 1)[-1] or type(error).__name__).rstrip(".")
