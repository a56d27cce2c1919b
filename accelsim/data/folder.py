"""Recordings of a user: a folder of audio files and a table of what is said in them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from accelsim import limits
from accelsim.data.dataset import Utterance
from accelsim.data.digits import resampled
from accelsim.data.features import SAMPLE_RATE_HZ
from accelsim.data.files import is_file, read_recording, read_table, read_whole
from accelsim.errors import InputError, Problem, show

TABLE = "recordings.tsv"


def read_folder(folder: Path) -> list[Utterance]:
    """Return the utterances of a folder in the order of its table, ``recordings.tsv``.

    The table has tab-separated columns with a header: ``file``, the name of a mono recording below the folder, in any
    format that libsndfile reads and at any rate; ``text``, what is said, empty where it is unknown or nothing is; and
    optionally ``speaker``. Raises InputError with the file that is missing or damaged.
    """
    utterances = []
    size = 0
    for row in _rows(folder).values():
        audio, rate_hz = read_recording(folder / row["file"])
        audio = resampled(audio, rate_hz, SAMPLE_RATE_HZ)
        size += audio.nbytes
        limits.check("data_bytes", size, "all its recordings together", file=folder / TABLE)
        utterances.append(
            Utterance(
                name=Path(row["file"]).stem,
                speaker=row.get("speaker", ""),
                audio=audio,
                phones=None,
                text=row["text"] or None,
            )
        )
    return utterances


def digest_of(folder: Path) -> bytes:
    """Return SHA-256 over the table of a folder and all recordings that it names; of those that are there."""
    found = hashlib.sha256()
    size = 0
    for path in (folder / TABLE, *(folder / row["file"] for row in _rows(folder).values())):
        content = read_whole(path, "recording_bytes") if is_file(path) else b""
        size += len(content)
        limits.check("data_bytes", size, "all its recordings together", file=folder / TABLE)
        found.update(f"{path.name} {len(content)} ".encode() + content)
    return found.digest()


def _rows(folder: Path) -> dict[int, dict[str, str]]:
    if not os.path.isdir(folder):
        raise InputError.of("no such folder of recordings", file=folder)
    rows = read_table(folder / TABLE, ("file", "text"))
    if not rows:
        raise InputError.of("names no recording", file=folder / TABLE)
    problems = [
        Problem(f"{show(row['file'])} leads out of this folder", folder / TABLE, line)
        for line, row in rows.items()
        if Path(row["file"]).is_absolute() or ".." in Path(row["file"]).parts
    ]
    if problems:
        raise InputError(problems)
    return rows
