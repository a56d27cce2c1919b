"""Recordings of one's own: a folder with a table, read at any rate, checked, and heard by a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from chips import random_weights, write_speech_network

from accelsim.data.recordings import read_recordings
from accelsim.errors import InputError
from accelsim.inputs import load_batch
from accelsim.workload import load_workload


def write(folder: Path, table: str = "file\ttext\tspeaker\na.wav\tokay nabu\tme\nb.flac\t\tyou\n") -> Path:
    folder.mkdir()
    (folder / "recordings.tsv").write_text(table)
    tone = 0.5 * np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000)
    soundfile.write(folder / "a.wav", tone, 16_000, subtype="PCM_16")
    soundfile.write(folder / "b.flac", tone[::2], 8000)
    return folder


def network(folder: Path) -> Path:
    path = write_speech_network(
        folder, random_weights(np.random.default_rng(1), 6, [4], 3), features=6, hidden=[4], classes=3, steps=1
    )
    path.write_text(
        path.read_text().replace("source: speech, dataset: timit_sample, split: test", "source: folder, path: mine")
    )
    return path


def test_audio_of_any_rate_with_what_is_said(tmp_path):
    first, second = read_recordings(write(tmp_path / "mine"))
    assert (first.name, first.speaker, first.text) == ("a", "me", "okay nabu") and second.text is None
    assert len(first.audio) == len(second.audio) == 16_000 and second.audio.dtype == np.float32
    assert np.abs(first.audio - second.audio)[800:-800].max() < 0.02


def test_a_network_hears_them_and_its_hash_follows_them(tmp_path):
    write(tmp_path / "mine")
    workload = load_workload(network(tmp_path))
    batch = load_batch(workload)
    assert batch.source == "mine" and batch.speakers == 2 and np.diff(batch.starts).tolist() == [98, 98]
    soundfile.write(tmp_path / "mine/a.wav", np.zeros(16_000), 16_000)
    assert load_workload(network(tmp_path)).sha256 != workload.sha256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda mine: mine.rename(mine.parent / "gone"), "mine: no such folder of recordings"),
        (lambda mine: (mine / "recordings.tsv").unlink(), r"recordings.tsv: cannot read"),
        (lambda mine: (mine / "recordings.tsv").write_text("file\ttext\n"), r"recordings.tsv: names no recording"),
        (lambda mine: (mine / "recordings.tsv").write_text("file\ttexts\n"), r"no column 'text' .did you mean 'texts'"),
        (lambda mine: (mine / "a.wav").unlink(), r"a.wav: no such recording"),
        (lambda mine: (mine / "a.wav").write_bytes(b"RIFF"), r"a.wav: not a recording"),
    ],
)
def test_what_is_missing_or_damaged_is_said(tmp_path, change, message):
    change(write(tmp_path / "mine"))
    with pytest.raises(InputError, match=message):
        load_batch(load_workload(network(tmp_path)))
