"""Data sets: the shipped sample, what is missing, and what a download may do."""

from __future__ import annotations

import io
import os
import tarfile

import numpy as np
import pytest

from accelsim.data import DOWNLOADS, get, load
from accelsim.data.datasets import fold_timit, unpack
from accelsim.errors import InputError

HAS_DATA = "ACCELSIM_DATA" in os.environ


def test_sample_ships_with_phones_and_text():
    utterances = load("librivox_sample", "test")
    assert len(utterances) == 5
    assert sum(len(u.audio) for u in utterances) / 16_000 == pytest.approx(24.7, abs=0.5)
    for utterance in utterances:
        assert utterance.audio.dtype == np.float32
        assert utterance.phones and utterance.text
        assert len(utterance.phones) > len(utterance.text.split())


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [("librivox", "test", r"unknown data set 'librivox'"), ("librivox_sample", "dev", r"has no split 'dev'")],
)
def test_unknown_names_are_refused(name, split, message):
    with pytest.raises(InputError, match=message):
        load(name, split)


@pytest.mark.parametrize("name", sorted(DOWNLOADS))
def test_missing_data_says_how_to_get_it(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"is not in .*ACCELSIM_DATA"):
        load(name, "test")


def test_set_without_a_published_checksum_is_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"no checksum is published for timit_sample"):
        get("timit_sample")


def test_every_pinned_checksum_is_a_sha256():
    pins = [download.checksum for download in DOWNLOADS.values() if download.checksum]
    assert pins
    assert all(pin.startswith("sha256:") and len(pin) == 7 + 64 for pin in pins)


def test_get_reports_what_is_already_there(tmp_path, monkeypatch):
    (tmp_path / "LibriSpeech" / "train-clean-5").mkdir(parents=True)
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    said: list[str] = []
    assert get("mini_librispeech", said.append) == tmp_path
    assert "already in" in said[0]


def test_archive_that_leads_outside_is_refused(tmp_path):
    archive = tmp_path / "bad.tar"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("../outside.txt")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(tarfile.TarError):
        unpack(archive, tmp_path / "inside")
    assert not (tmp_path / "outside.txt").exists()


def test_timit_labels_fold_to_cmudict_phones():
    assert fold_timit(["h#", "sh", "ix", "hv", "ae", "dcl", "d", "axr", "q", "el"]) == (
        "SH", "IH", "HH", "AE", "D", "ER", "L"
    )  # fmt: skip


@pytest.mark.skipif(not HAS_DATA, reason="ACCELSIM_DATA is not set")
@pytest.mark.parametrize(
    ("name", "split", "speakers"),
    [("mini_librispeech", "dev", 2), ("mini_librispeech", "test", 2), ("timit_sample", "test", 2)],
)
def test_real_sets_load_by_speaker(name, split, speakers):
    utterances = load(name, split)
    assert len({u.speaker for u in utterances}) == speakers
    assert any(u.phones for u in utterances)
