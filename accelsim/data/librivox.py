"""The LibriVox sample, which ships with accelsim."""

from __future__ import annotations

from pathlib import Path

from accelsim import library
from accelsim.data.dataset import DATASETS, DataSet, Utterance
from accelsim.data.files import read_audio, read_table
from accelsim.errors import InputError


def sample_folder() -> Path:
    """The folder of the LibriVox sample, in a source checkout or inside an installed package."""
    folder = library.root() / "workloads" / "rsnn_phoneme" / "sample"
    if folder.is_dir():
        return folder
    raise InputError.of("the LibriVox sample is not part of this installation", hint="reinstall accelsim")


def _read(split: str) -> list[Utterance]:
    folder = sample_folder()
    return [
        Utterance(
            name=row["utt"],
            speaker=row["speaker"],
            audio=read_audio(folder / f"{row['utt']}.flac"),
            phones=tuple(row["phones"].split()),
            text=row["text"],
        )
        for row in read_table(folder / "librivox.tsv", ("utt", "speaker", "phones", "text")).values()
    ]


DATASETS.register("librivox_sample", DataSet(("test",), _read, shipped=sample_folder))
