"""Speech data sets: their utterances, and an explicit download of those that are public."""

from __future__ import annotations

import lzma
import os
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from accelsim.data.dataset import DATASETS, DataSet, Download, FeatureSet, Utterance, data_folder, reading
from accelsim.errors import InputError

_GIT = "git:"


def load(name: str, split: str) -> list[Utterance]:
    """The utterances of one split, in a fixed order.

    Sets and splits: `librivox_sample` test; `mini_librispeech` train, dev, test (by speaker);
    `timit_sample` test (speakers dr2-faem0 and dr8-mbcg0, SA sentences dropped, 61 labels folded to 39 phones);
    `fsdd` and `audiomnist` train, test (by speaker, `text` is the word of the digit); `zero_one` train, test: the
    zeros and ones of both.
    Raises InputError for an unknown set or split, and when the data is not on this machine.
    """
    found = DATASETS[name]
    if isinstance(found, FeatureSet):
        raise InputError.of(f"data set {name!r} comes as features, not as audio", hint="write 'source: features'")
    if split not in found.splits:
        raise InputError.of(f"data set {name!r} has no split {split!r}", hint=f"its splits: {', '.join(found.splits)}")
    with reading(name):
        return found.read(split)


class DownloadBar(Protocol):
    """What draws a download: `total` in bytes is set first, then `update` gets the bytes of each piece."""

    total: int

    def update(self, amount: int) -> None: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...


def get(name: str, progress: Callable[[str], None] | None = None, bar: DownloadBar | None = None) -> Path:
    """Download a data set, check its checksum, unpack it safely; returns the folder that now holds it.

    Does nothing but report when the data is already there. A set that is made of others gets those. `progress` receives
    one line of text per step, `bar` the bytes. A killed download or unpacking leaves nothing that would be taken for
    the data set. Raises InputError for an unknown set, and for a set without a published checksum to check against.
    """
    report = progress or (lambda line: None)
    known = DATASETS[name]
    if known.shipped is not None:
        report(f"{name} ships with {DATASETS.origin(name)}")
        return known.shipped()
    if isinstance(known, DataSet) and known.parts:
        for part in known.parts:
            get(part, progress, bar)
        return data_folder()
    folder, download = data_folder(), known.download
    if download is None:
        raise InputError.of(f"{name} has no source to get it from")
    if any(os.path.exists(folder / mark) for mark in download.marks):
        report(f"{name} is already in {folder}")
        return folder
    if download.checksum is None:
        commands = f"`{download.by_hand}`" if download.by_hand else f"fetch {download.url} yourself"
        raise InputError.of(
            f"no checksum is published for {name}, so it is not downloaded",
            hint=f"in the folder that ACCELSIM_DATA names (now {folder}): {commands}; expected there: "
            f"{download.layout}",
        )
    size = f", {download.size}" if download.size else ""
    report(f"downloading {download.url} ({download.licence}{size}) to {folder}")
    if download.checksum.startswith(_GIT):
        clone(name, download, folder)
        report(f"checksum {download.checksum} holds")
        return folder
    import pooch

    try:
        archive = pooch.retrieve(
            download.url,
            known_hash=download.checksum,
            path=folder,
            fname=download.url.rsplit("/", 1)[-1],
            downloader=pooch.HTTPDownloader(progressbar=bar or False),
        )
    except ValueError:
        message = f"the download of {name} does not have the pinned checksum"
        raise InputError.of(message, hint="try again later") from None
    except OSError as error:
        hint = f"check the connection, or provide {download.layout} in {folder}"
        raise InputError.of(f"cannot download {download.url}: {error}", hint=hint) from None
    report(f"checksum {download.checksum} holds; unpacking")
    unpack(Path(archive), folder)
    return folder


def clone(name: str, download: Download, folder: Path) -> None:
    """Get what is ``kept`` of one commit of a repository; git checks every file against the commit's id.

    Raises InputError where git is not there, or cannot get the commit or what is to be kept of it.
    """
    assert download.checksum is not None
    commit = download.checksum.removeprefix(_GIT)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unpack-") as aside:
            _git(aside, "init", "--quiet")
            _git(aside, "fetch", "--quiet", "--depth", "1", download.url, commit)
            _git(aside, "-c", "core.autocrlf=false", "checkout", "--quiet", commit, "--", *download.kept)
            for part, place in download.kept.items():
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                (Path(aside) / part).rename(folder / place)
    except FileNotFoundError:
        hint = f"install git, or provide {download.layout} in {folder}"
        raise InputError.of(f"{name} is downloaded by git, which is not on this machine", hint=hint) from None
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.split())
        hint = f"check the connection, or provide {download.layout} in {folder}"
        raise InputError.of(f"cannot download {download.url}: {reason}", hint=hint) from None
    except OSError as error:
        raise InputError.of(f"cannot put {name} into {folder}: {error.strerror}") from None


def _git(folder: str, *arguments: str) -> None:
    quiet = os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}  # a wrong address asks for no password
    subprocess.run(
        ["git", "-C", folder, *arguments], check=True, capture_output=True, text=True, errors="replace", env=quiet
    )


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive below `folder`; tarfile's 'data' filter refuses paths and links that lead outside.

    Everything is unpacked aside first and then moved into place, so that a killed run leaves no half of a set. Raises
    InputError for an archive that is damaged, and where it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as source, tempfile.TemporaryDirectory(dir=folder, prefix=".unpack-") as aside:
            source.extractall(aside, filter="data")
            for entry in sorted(Path(aside).iterdir()):
                target = folder / entry.name
                if not os.path.exists(target):
                    entry.rename(target)
                elif entry.is_dir() and os.path.isdir(target):  # another part of the same corpus is there already
                    for part in sorted(entry.iterdir()):
                        part.rename(target / part.name)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError.of(f"cannot be unpacked into {folder}: {reason}", file=archive) from None
