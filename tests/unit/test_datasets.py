"""Data sets: the shipped sample, what is missing, and what a download may do."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from accelsim.data import DATASETS, FeatureSet, data_folder, get, load, load_features
from accelsim.data.datasets import unpack
from accelsim.data.timit import fold_timit
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


@pytest.mark.parametrize("name", [name for name, one in DATASETS.items() if one.download])
def test_missing_data_says_how_to_get_it(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"is not in .*ACCELSIM_DATA"):
        (load_features if isinstance(DATASETS[name], FeatureSet) else load)(name, "test")


def test_sets_that_come_as_features_are_told_apart(monkeypatch, tmp_path):
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"'an4' comes as features, not as audio \(write 'source: features'\)"):
        load("an4", "test")
    with pytest.raises(ValueError, match=r"no data set 'fsdd' that comes as features; one of: an4"):
        load_features("fsdd", "test")


def test_set_without_a_published_checksum_is_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"no checksum is published for timit_sample.*`curl -LO .*unzip timit.zip`"):
        get("timit_sample")


def test_every_pinned_checksum_is_a_sha256_or_the_commit_of_a_repository():
    pins = [one.download.checksum for one in DATASETS.values() if one.download and one.download.checksum]
    assert pins
    assert all(re.fullmatch("sha256:[0-9a-f]{64}|git:[0-9a-f]{40}", pin) for pin in pins)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository in AN4's layout, and the set's download made to come from there, at the commit that is asked for."""
    source = tmp_path / "source"
    (source / "an4/feat").mkdir(parents=True)
    (source / "an4/feat/one.mfc").write_bytes(b"\r\n\0")
    (source / "other").write_text("not kept")

    def git(*arguments):
        options = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", "-C", source, *options, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path / "data"))

    head = git("rev-parse", "HEAD")

    def serve(commit=head, **changes):
        known = DATASETS["an4"]
        changes = {"url": source.as_uri(), "checksum": f"git:{commit}"} | changes
        changed = replace(known, download=replace(known.download, **changes))
        monkeypatch.setitem(DATASETS._found, "an4", replace(DATASETS._registered["an4"], entry=changed))

    return serve


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not on this machine")
def test_a_repository_is_got_at_its_commit_and_what_is_kept_of_it_alone(repository, tmp_path):
    repository()
    said: list[str] = []
    assert get("an4", said.append) == tmp_path / "data"
    assert "BSD-like, about 16 MB" in said[0] and "holds" in said[1]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["an4"]
    assert (tmp_path / "data/an4/feat/one.mfc").read_bytes() == b"\r\n\0"
    get("an4", said.append)
    assert "already in" in said[2]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not on this machine")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"commit": "0" * 40}, "cannot download file:.*provide an4/feat"),
        ({"kept": {"an5": "an5"}}, "cannot download file:.*an5"),
        ({"url": "file:///nowhere"}, "cannot download file:///nowhere"),
    ],
)
def test_what_git_cannot_get_leaves_nothing(repository, tmp_path, changes, message):
    repository(**changes)
    with pytest.raises(InputError, match=message):
        get("an4")
    assert not [*(tmp_path / "data").iterdir()]


def test_without_git_it_says_what_to_do(repository, tmp_path, monkeypatch):
    repository()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"an4 is downloaded by git, which is not on this machine \(install git"):
        get("an4")


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
    with pytest.raises(InputError, match=rf"{archive}: cannot be unpacked into .*outside the destination"):
        unpack(archive, tmp_path / "inside")
    assert not (tmp_path / "outside.txt").exists()


def test_archives_that_are_damaged_or_in_the_way(tmp_path):
    """One message each, nothing half-unpacked; what is there already stays."""
    whole = tmp_path / "whole.tar.gz"
    with tarfile.open(whole, "w:gz") as tar:
        for name in ("a/one", "a/two", "b"):
            member = tarfile.TarInfo(name)
            member.size = 5000
            tar.addfile(member, io.BytesIO(os.urandom(5000)))
    raw = whole.read_bytes()
    for number, damaged in enumerate((b"", b"no archive", raw[:200], raw[:9000], raw[:100] + b"\xff" * 50 + raw[150:])):
        (tmp_path / "x.tar.gz").write_bytes(damaged)
        with pytest.raises(InputError, match="cannot be unpacked"):
            unpack(tmp_path / "x.tar.gz", tmp_path / str(number))
        assert not list((tmp_path / str(number)).iterdir())
    (tmp_path / "there/a").mkdir(parents=True)
    (tmp_path / "there/b").mkdir()
    (tmp_path / "there/a/one").write_text("mine")
    unpack(whole, tmp_path / "there")
    assert (tmp_path / "there/a/two").stat().st_size == 5000 and (tmp_path / "there/b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be unpacked into"):
        unpack(whole, tmp_path / "file")


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


@pytest.mark.skipif(not (data_folder() / "an4_mfcc13.npz").exists(), reason="AN4 is not at hand")
@pytest.mark.parametrize(("split", "utterances", "speakers"), [("train", 948, 74), ("test", 91, 7)])
def test_real_features(split, utterances, speakers):
    found = load_features("an4", split)
    assert len(found) == utterances and len({u.speaker for u in found}) == speakers
    for one in found:
        assert one.codes.dtype == np.uint8 and one.codes.shape[1] == DATASETS["an4"].width
        assert one.codes.min() >= 1 and one.text and one.phones


def test_download_is_checked_unpacked_and_drawn(tmp_path, monkeypatch):
    """A real download, from a server on this machine, of a small archive in the layout of the public one."""
    import functools
    import hashlib
    import http.server
    import threading

    served, folder = tmp_path / "served", tmp_path / "data"
    served.mkdir()
    folder.mkdir()
    archive = served / "train-clean-5.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("LibriSpeech/train-clean-5/1/2/1-2.trans.txt")
        member.size = 12
        tar.addfile(member, io.BytesIO(b"1-2-0 HELLO\n"))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/train-clean-5.tar.gz"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setenv("ACCELSIM_DATA", str(folder))

    class Bar:
        total, seen, closed = 0, 0, False

        def update(self, amount):
            self.seen += amount

        def reset(self):
            self.seen = 0

        def close(self):
            self.closed = True

    def serve(checksum):
        known = DATASETS["mini_librispeech"]
        download = replace(known.download, url=url, checksum=checksum)
        registered = DATASETS._registered["mini_librispeech"]
        changed = replace(registered, entry=replace(known, download=download))
        monkeypatch.setitem(DATASETS._found, "mini_librispeech", changed)

    serve(f"sha256:{'0' * 64}")
    with pytest.raises(InputError, match="does not have the pinned checksum"):
        get("mini_librispeech", bar=Bar())
    assert not (folder / "LibriSpeech").exists()

    serve(f"sha256:{digest}")
    bar = Bar()
    assert get("mini_librispeech", bar=bar) == folder
    assert (folder / "LibriSpeech/train-clean-5/1/2/1-2.trans.txt").read_text() == "1-2-0 HELLO\n"
    assert bar.total == archive.stat().st_size and bar.closed
    assert not list(folder.glob(".unpack-*"))
    server.shutdown()
    server.server_close()

    (folder / "train-clean-5.tar.gz").unlink()
    (folder / "LibriSpeech/train-clean-5").rename(folder / "elsewhere")
    with pytest.raises(InputError, match=r"cannot download http://127.0.0.1.*provide LibriSpeech"):
        get("mini_librispeech")
