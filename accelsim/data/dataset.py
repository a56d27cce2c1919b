"""What is known of a data set before it is read; `DATASETS` holds those of accelsim and of plug-ins."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import AccelsimError, DataError, InputError
from accelsim.registry import Registry

DATA_VARIABLE = "ACCELSIM_DATA"
CACHE_VARIABLE = "ACCELSIM_CACHE"


@dataclass(frozen=True)
class Recording:
    """A recording from Python: ``audio`` [samples] or [samples, channels], floats in [-1, 1) at ``rate_hz``.

    ``text``: what is said; ``label``: the class that it is an example of; ``phones``: what is said, phone by phone.

    >>> import numpy as np
    >>> hum = 0.1 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    >>> heard = [accelsim.Recording(hum, label=label) for label in ("zero", "one")]
    >>> result = accelsim.run("imssa", inputs=heard)
    >>> result.accuracy.value
    50.0
    """

    audio: NDArray[Any]
    rate_hz: int = 16_000
    text: str | None = None
    label: str | None = None
    phones: tuple[str, ...] | None = None
    speaker: str = ""
    name: str = ""


@dataclass(frozen=True)
class Utterance:
    """One spoken utterance: audio is mono float32 at 16 kHz in [-1, 1); phones are of the 39-phone set.

    ``label``: the class that it is an example of, where that is not its text.
    """

    name: str
    speaker: str
    audio: NDArray[np.float32]
    phones: tuple[str, ...] | None
    text: str | None
    label: str | None = None


@dataclass(frozen=True)
class Featured:
    """One utterance as features: codes uint8 [frames, width] around 128; phones and text where they are known.

    ``speech_end_s``: when its speech ends, if that is known; ``label``: as in `Utterance`.
    """

    name: str
    speaker: str
    codes: NDArray[np.uint8]
    phones: tuple[str, ...] | None
    text: str | None
    speech_end_s: float | None = None
    label: str | None = None


@dataclass(frozen=True)
class Download:
    """A public archive, or a git repository, and what its content is checked against.

    ``checksum``: ``sha256:`` of an archive, ``git:`` and the commit of a repository, whose id git checks all content
    against, or None: it is not downloaded. ``checksum_source``: who published it. ``kept``: of a repository, the path
    of each part that is kept -> where it goes below the data folder. ``size``: about how much is downloaded.
    """

    url: str
    checksum: str | None
    checksum_source: str
    licence: str
    layout: str
    """What a hand-made copy must look like below the data folder."""
    marks: tuple[str, ...]
    """Paths below the data folder: where one of them exists, the set is there."""
    kept: Mapping[str, str] = field(default_factory=dict)
    size: str = ""
    by_hand: str = ""
    """The commands, run in the data folder, that get a set without a checksum."""


@dataclass(frozen=True)
class DataSet:
    """Speech as audio; ``read``: the utterances of a split, in a fixed order.

    A set without a ``download`` lies in the folder that ``shipped`` returns, or is made of ``parts``, other sets.
    ``sample``: the name of a set that ships, which a run reads where this one is not on the machine. ``loudness``: the
    root mean square to which ``read`` brings every utterance, if it does; recordings of one's own that are heard in the
    place of the set are brought to it too.
    """

    splits: tuple[str, ...]
    read: Callable[[str], list[Utterance]]
    download: Download | None = None
    shipped: Callable[[], Path] | None = None
    parts: tuple[str, ...] = ()
    sample: str | None = None
    loudness: float | None = None


@dataclass(frozen=True)
class FeatureSet:
    """Speech as features of ``width`` codes, one frame every ``frame_period_s``; ``read`` as in `DataSet`.

    ``read`` raises FileNotFoundError where the files are not there, and ValueError where they are damaged.
    """

    splits: tuple[str, ...]
    width: int
    frame_period_s: float
    read: Callable[[str], list[Featured]]
    download: Download | None = None
    shipped: Callable[[], Path] | None = None
    sample: str | None = None


DATASETS: Registry[DataSet | FeatureSet] = Registry("accelsim.datasets", "data set", builtin="accelsim.data")


def data_folder() -> Path:
    """The folder that holds data sets: $ACCELSIM_DATA, else the platform's cache folder for accelsim."""
    return _chosen_folder(DATA_VARIABLE)


def cache_folder() -> Path:
    """The folder for what can be computed again: $ACCELSIM_CACHE, else the platform's cache folder for accelsim."""
    return _chosen_folder(CACHE_VARIABLE)


def _chosen_folder(variable: str) -> Path:
    if chosen := os.environ.get(variable):
        return Path(chosen)
    import pooch

    return Path(pooch.os_cache("accelsim"))


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Put what a data set's own reader raises into our words: every way that a damaged file can fail ends here."""
    try:
        yield
    except AccelsimError:
        raise
    except FileNotFoundError as error:
        download = DATASETS[name].download
        there = download is not None and any(os.path.exists(data_folder() / mark) for mark in download.marks)
        raise (_unreadable(name, error) if there else missing(name)) from None
    except Exception as error:  # a reader of a plug-in may use any library
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: Exception) -> InputError:
    download = DATASETS[name].download
    reason = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
    hint = f"expected {download.layout}" if download else None
    return InputError.of(f"cannot read data set '{name}' in {data_folder()}: {reason}", hint=hint)


def missing(name: str) -> DataError:
    """The error of a data set that is not on this machine: how to get it, or what its files must look like."""
    download = DATASETS[name].download
    message = f"data set {name!r} is not in {data_folder()}"
    if download is None:
        return DataError.of(message)
    fetch = f"run `accelsim data get {name}`, or " if download.checksum else ""
    return DataError.of(message, hint=f"{fetch}set {DATA_VARIABLE} to a folder with {download.layout}")
