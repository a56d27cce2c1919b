"""Recordings of a user: a folder of audio files and a table of what is said in them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from accelsim.data.dataset import Utterance
from accelsim.data.digits import resampled
from accelsim.data.features import SAMPLE_RATE_HZ
from accelsim.data.files import read_recording, read_table
from accelsim.errors import InputError

TABLE = "recordings.tsv"


def read_folder(folder: Path) -> list[Utterance]:
    """Return the utterances of a folder in the order of its table, ``recordings.tsv``.

    The table has tab-separated columns with a header: ``file``, the name of a mono recording below the folder, in any
    format that libsndfile reads and at any rate; ``text``, what is said, empty where it is unknown or nothing is; and
    optionally ``speaker``. Raises InputError with the file that is missing or damaged.
    """
    rows = _rows(folder)
    utterances = []
    for row in rows:
        audio, rate_hz = read_recording(folder / row["file"])
        utterances.append(
            Utterance(
                name=Path(row["file"]).stem,
                speaker=row.get("speaker", ""),
                audio=resampled(audio, rate_hz, SAMPLE_RATE_HZ),
                phones=None,
                text=row["text"] or None,
            )
        )
    return utterances


def digest_of(folder: Path) -> bytes:
    """Return SHA-256 over the table of a folder and all recordings that it names; of those that are there."""
    found = hashlib.sha256()
    for path in (folder / TABLE, *(folder / row["file"] for row in _rows(folder))):
        content = path.read_bytes() if os.path.isfile(path) else b""
        found.update(f"{path.name} {len(content)} ".encode() + content)
    return found.digest()


def _rows(folder: Path) -> list[dict[str, str]]:
    if not os.path.isdir(folder):
        raise InputError.of("no such folder of recordings", file=folder)
    rows = read_table(folder / TABLE, ("file", "text"))
    if not rows:
        raise InputError.of("names no recording", file=folder / TABLE)
    return rows
