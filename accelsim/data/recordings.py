"""Recordings of a user: a manifest that lists them, a folder, or arrays; checked, resampled and labelled.

A manifest is a table with a header: ``path`` of each recording, beside the manifest or absolute; and where they are
known ``start`` and ``end`` of the part that counts, in seconds; ``text``, what is said; ``class``, what it is an
example of; ``phones``, with blanks between; ``speaker``; ``split``, such as train or test. `COLUMNS` has the other
names that these may have; more columns are not read. Its name ends in .tsv (tabs), .csv (commas) or .parquet.
"""

from __future__ import annotations

import csv
import hashlib
import io
import numbers
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelsim import limits
from accelsim.data.dataset import Recording, Utterance
from accelsim.data.digits import resampled
from accelsim.data.features import SAMPLE_RATE_HZ
from accelsim.data.files import LOUDEST, RATES_HZ, RecordingError, check_rate, is_file, read_channels, read_whole
from accelsim.data.manifest import COLUMNS, Row, rows_of_file
from accelsim.errors import InputError, Problem, did_you_mean, show
from accelsim.result import written_whole

__all__ = [
    "BAD", "COLUMNS", "KINDS", "SPLITS", "TABLE", "Finding", "Found", "Recording", "Row", "chosen", "digest_of", "hear",
    "labelled", "read_recordings", "rows_of", "rows_of_arrays", "split_of", "used",
]  # fmt: skip

TABLE = "recordings.tsv"
SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".sph")
"""How names of recordings end; the folder of a class is searched for these."""
_NOT_READ = (".m4a", ".mp4", ".aac", ".webm", ".wma", ".amr", ".3gp", ".mov")
"""Of telephones and browsers, which libsndfile does not read."""

KINDS: Mapping[str, str] = {
    "missing": "there is no such file",
    "damaged": "it cannot be read, or is cut short",
    "empty": "it holds no sample",
    "not_finite": "it holds samples that are NaN or infinite",
    "wrong_rate": f"its sample rate is not from {RATES_HZ[0]:,} to {RATES_HZ[1]:,} Hz",
    "stereo": "it has several channels, and 'channels: mix' is not said",
    "segment": "its start or end lies outside of it",
    "short": "it is shorter than one frame of the features",
    "unlabelled": "nothing says what it is",
    "unknown": "its label is none of the classes",
    "silent": "all its samples have one value",
    "clipped": "its loudest samples are cut off, it was recorded too loud",
    "narrow": "its sample rate is too low for the highest frequency of the features",
}
"""What can be wrong with a recording."""
USABLE = frozenset({"silent", "clipped", "narrow"})
"""Kinds that a run reads and counts unless it is told to skip them; it refuses the others."""
BAD = tuple(kind for kind in KINDS if kind != "narrow")
"""Kinds that ``skip: bad`` leaves out: all but those of a whole data set."""

SPLITS = ("train", "dev", "test")
_HELD_OUT = 0.2
"""Share of the speakers in dev, and in test: ours to choose."""
_MIX = "mix it down to mono, or 'channels: mix'"
_FULL_SCALE = 0.98
"""Of the largest sample that a file may hold; some recorders stop a little below it."""
_CLIPPED_RUN = 3
"""So many samples in a row at one largest magnitude are clipped: ours to choose."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with one recording: its ``kind``, one of `KINDS`, and the words for it with their place."""

    kind: str
    problem: Problem


@dataclass(frozen=True)
class Found:
    """Recordings as utterances, and what was found on the way.

    ``findings``: all that is wrong, with those that are skipped too; ``given``: how many recordings were looked at;
    ``skipped``: how many of them were left out, by kind; ``doubtful``: how many of the utterances are of a kind that is
    used all the same, by kind;
    ``rates_hz``: how many have which sample rate.
    """

    utterances: tuple[Utterance, ...]
    findings: tuple[Finding, ...]
    given: int
    skipped: Mapping[str, int]
    doubtful: Mapping[str, int]
    rates_hz: Mapping[int, int]

    @property
    def seconds(self) -> float:
        """Return the length of all utterances."""
        return sum(len(one.audio) for one in self.utterances) / SAMPLE_RATE_HZ

    def refused(self, skip: Iterable[str] = ()) -> list[Problem]:
        """Return the problems of recordings for which a run refuses them, but for kinds that are skipped."""
        return [one.problem for one in self.findings if one.kind not in USABLE and one.kind not in skip]


Look = Callable[[Utterance, int], Iterable[tuple[str, str, str | None]]]
"""What else may be wrong with an utterance of so many Hz: kind, message and hint of each."""


def rows_of(path: Path) -> list[Row]:
    """Return what a manifest lists, or a folder holds.

    In a folder lies a manifest, ``recordings.tsv``, whose recordings are below the folder; or Parquet files; or a
    folder for each class with its recordings. Folders whose names begin with a dot or an underscore are no classes. As
    in Speech Commands, what stands before ``_nohash_`` in a name is the speaker. Raises InputError.
    """
    if not os.path.isdir(path):
        if not is_file(path):
            raise InputError.of("no such folder of recordings, nor a manifest", file=path)
        return rows_of_file(path)
    table = path / TABLE
    if is_file(table):
        return rows_of_file(table, inside=True)
    if shards := sorted(path.glob("*.parquet")):
        return [row for shard in shards for row in rows_of_file(shard)]
    rows = list(_rows_of_classes(path))
    if not rows:
        hint = "write one, or give every class a folder with its recordings"
        raise InputError.of("cannot read: no such file", file=table, hint=hint)
    return rows


def _rows_of_classes(folder: Path) -> Iterator[Row]:
    count = 0
    for label in sorted(os.listdir(folder)):
        if label[0] in "._" or not os.path.isdir(folder / label):
            continue
        for path in sorted((folder / label).rglob("*")):
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                limits.check("utterances", count := count + 1, file=folder)
                speaker, mark, _ = path.stem.partition("_nohash_")
                name = f"{label}/{path.stem}"
                yield Row(path, path, name=name, label=label, speaker=speaker if mark else "")


def rows_of_arrays(recordings: Sequence[Recording]) -> list[Row]:
    """Return recordings from Python as rows; raises InputError for what is none."""
    rows: list[Row] = []
    problems: list[Problem] = []
    for at, one in enumerate(recordings):
        place = Path(f"recording {at}")
        if isinstance(one, Recording):
            row = Row(place, place, name=one.name or f"recording-{at}", speaker=one.speaker, given=one)
            rows.append(
                replace(row, text=one.text, label=one.label, phones=None if one.phones is None else tuple(one.phones))
            )
        else:
            problems.append(Problem(f"expected an accelsim.Recording, found {type(one).__name__}", place))
    if problems:
        raise InputError(problems)
    return rows


def write_recordings(recordings: Sequence[Recording], folder: Path) -> Path:
    """Write recordings from Python as WAV of 32-bit floats into a folder, and return their manifest.

    Raises InputError where the folder cannot be written.
    """
    import soundfile

    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["path", "text", "class", "phones", "speaker"])
    for number, one in enumerate(recordings):
        file = f"{number:05}.wav"
        with written_whole(folder / file) as stream:
            soundfile.write(stream, np.asarray(one.audio, np.float32), one.rate_hz, subtype="FLOAT", format="WAV")
        rows.writerow([file, one.text or "", one.label or "", " ".join(one.phones or ()), one.speaker])
    with written_whole(folder / "recordings.csv") as stream:
        stream.write(table.getvalue().encode())
    return folder / "recordings.csv"


def digest_of(rows: Sequence[Row]) -> bytes:
    """Return SHA-256 over what rows say and the recordings that they name; of those that are there."""
    found = hashlib.sha256()
    size = 0
    for path in dict.fromkeys(row.path for row in rows if row.content is None and row.given is None):
        content = read_whole(path, "recording_bytes") if is_file(path) else b""
        size += len(content)
        limits.check("data_bytes", size, "all its recordings together", file=rows[0].table)
        found.update(f"{path.name} {len(content)} ".encode("utf-8", "surrogatepass") + content)
    for row in rows:
        said = (row.name, row.start_s, row.end_s, row.text, row.label, row.phones, row.speaker, row.split)
        found.update(repr(said).encode() + (row.content or b""))
        if row.given is not None:
            audio = np.ascontiguousarray(row.given.audio)
            found.update(repr((row.given.rate_hz, audio.shape, audio.dtype.str)).encode() + audio.tobytes())
    return found.digest()


def chosen(rows: Sequence[Row], split: str | None = None, speakers: Sequence[str] | None = None) -> list[Row]:
    """Return the rows of a split, of some speakers, or of both.

    Where the table has a column ``split``, that says which is in which; where it has none, every speaker is in one of
    train, dev and test, see `split_of`. Raises InputError for a split or a speaker that is not there.
    """
    found = list(rows)
    if speakers is not None:
        known = dict.fromkeys(row.speaker for row in rows if row.speaker)
        if strange := [name for name in speakers if name not in known]:
            raise InputError(
                Problem(f"no recording of speaker {show(n)}", hint=did_you_mean(n, known)) for n in strange
            )
        found = [row for row in found if row.speaker in speakers]
    if split is not None:
        of_row = _splits(rows, split)
        found = [row for row in found if of_row(row) == split]
    if not found:
        raise InputError.of(f"no recording of these speakers is in split {show(split)}")
    return found


def _splits(rows: Sequence[Row], split: str) -> Callable[[Row], str]:
    """Return what tells the split of a row; raises InputError where there is none of this name."""
    if named := dict.fromkeys(row.split for row in rows if row.split):
        if split not in named:
            raise InputError.of(f"no split {show(split)} in column 'split'", hint=did_you_mean(split, named))
        return lambda row: row.split
    if split not in SPLITS:
        raise InputError.of(f"no split {show(split)}: there is no column 'split'", hint=did_you_mean(split, SPLITS))
    if nameless := [row for row in rows if not row.speaker]:
        hint = "or say in a column 'split' which recording is in which"
        raise InputError([nameless[0].problem("has no speaker, by whom recordings are split", hint)])
    parts = split_of(row.speaker for row in rows)
    return lambda row: parts[row.speaker]


def split_of(speakers: Iterable[str]) -> dict[str, str]:
    """Return the split of every speaker: a fifth of them is in dev, a fifth in test, at least one each.

    The order is that of SHA-256 of the names, so it is the same everywhere. Raises InputError for less than three.
    """
    order = sorted(set(speakers), key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest())
    if len(order) < len(SPLITS):
        message = f"train, dev and test take three speakers, found {len(order)}"
        raise InputError.of(message, hint="or say in a column 'split' which recording is in which")
    each = max(1, round(_HELD_OUT * len(order)))
    return {name: "test" if at < each else "dev" if at < 2 * each else "train" for at, name in enumerate(order)}


def read_recordings(
    path: str | Path,
    *,
    split: str | None = None,
    speakers: Sequence[str] | None = None,
    mix: bool = False,
    skip: Sequence[str] = (),
) -> list[Utterance]:
    """Return the recordings of a manifest or a folder as mono audio at 16 kHz, in order; see `rows_of` and `chosen`.

    ``mix``: average several channels; ``skip``: leave out recordings of these `KINDS`. Raises InputError with all that
    is wrong with the others.
    """
    heard = hear(chosen(rows_of(Path(path)), split, speakers), mix=mix, skip=skip)
    return [*used(heard, skip).utterances]


def used(heard: Found, skip: Sequence[str] = ()) -> Found:
    """Return what was heard; raises InputError with every recording that cannot be used, or where none is left."""
    if problems := heard.refused(skip):
        raise InputError(problems)
    if not heard.utterances:
        found = ", ".join(f"{count:,} {kind}" for kind, count in heard.skipped.items())
        raise InputError.of(f"no recording is left of {heard.given:,}: {found}")
    return heard


def hear(
    rows: Sequence[Row],
    *,
    mix: bool = False,
    skip: Sequence[str] = (),
    look: Look | None = None,
    most: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Found:
    """Return recordings as utterances with all that is wrong with them; the first ``most`` good ones, if that is said.

    Several channels are averaged with ``mix``. Those of kinds in ``skip`` are left out and counted, each under its
    first kind. ``look``: finds what else is wrong; ``progress``: told (done, total).
    """
    utterances: list[Utterance] = []
    findings: list[Finding] = []
    skipped: Counter[str] = Counter()
    doubtful: Counter[str] = Counter()
    rates: Counter[int] = Counter()
    size = given = 0
    for given, row in enumerate(rows, 1):
        utterance, rate_hz, found = _heard(row, mix)
        if utterance is not None and len(utterance.audio) and look is not None:
            found += [Finding(kind, row.problem(message, hint)) for kind, message, hint in look(utterance, rate_hz)]
        rates.update([rate_hz] if rate_hz else [])
        findings += found
        kinds = [one.kind for one in found]
        if out := [kind for kind in kinds if kind in skip]:
            skipped[out[0]] += 1
        elif utterance is not None and USABLE.issuperset(kinds):
            size += utterance.audio.nbytes
            limits.check("data_bytes", size, "all its recordings together", file=row.table)
            utterances.append(utterance)
            doubtful.update(kinds)
        if progress is not None:
            progress(given, len(rows))
        if most is not None and len(utterances) >= most:
            break
    return Found(tuple(utterances), tuple(findings), given, dict(skipped), dict(doubtful), dict(sorted(rates.items())))


def _heard(row: Row, mix: bool) -> tuple[Utterance | None, int, list[Finding]]:
    """Return the utterance of a row, its sample rate, and what is wrong with it; None and 0 where it cannot be read."""
    try:
        audio, rate_hz = _audio(row, mix)
    except RecordingError as error:
        hint = _MIX if error.kind == "stereo" else error.problems[0].hint
        return None, 0, [Finding(error.kind, row.problem(error.problems[0].message, hint))]
    except InputError as error:  # over a limit
        return None, 0, [Finding("damaged", row.problem(one.message, one.hint)) for one in error.problems]
    found = []
    if not len(audio):
        found.append(Finding("empty", row.problem("holds no samples")))
    elif float(np.ptp(audio)) == 0.0:
        found.append(Finding("silent", row.problem(f"is silent: all {len(audio):,} samples are {audio[0, 0]:g}")))
    elif flat := clipped_samples(audio):
        found.append(Finding("clipped", row.problem(f"is clipped: {flat:,} samples in rows at its largest magnitude")))
    utterance = Utterance(
        name=row.name,
        speaker=row.speaker,
        audio=resampled(audio.mean(axis=1, dtype=np.float32), rate_hz, SAMPLE_RATE_HZ),
        phones=row.phones,
        text=row.text or row.label,
        label=row.label,
    )
    return utterance, rate_hz, found


def labelled(utterance: Utterance, rate_hz: int) -> Iterator[tuple[str, str, str | None]]:
    """Find that nothing says what an utterance is, as `hear` looks."""
    if not (utterance.text or utterance.label or utterance.phones):
        yield "unlabelled", "nothing says what it is", "fill 'text', 'class' or 'phones'"


def _audio(row: Row, mix: bool) -> tuple[NDArray[np.float32], int]:
    """Return the audio of a row [samples, channels] and its sample rate; raises RecordingError."""
    if row.given is not None:
        return _audio_of_array(row, row.given, mix)
    hint = None
    if row.path.suffix.lower() in _NOT_READ:
        hint = f"convert it: ffmpeg -i {row.path.name} {row.path.stem}.flac"
    return read_channels(
        row.path, several=mix, start_s=row.start_s, end_s=row.end_s, content=row.content, again=hint
    )  # fmt: skip


def _audio_of_array(row: Row, given: Recording, mix: bool) -> tuple[NDArray[np.float32], int]:
    audio = np.asarray(given.audio)
    if audio.ndim not in (1, 2) or audio.dtype.kind != "f":
        message = f"expected floats [samples], found {audio.dtype} {list(audio.shape)}"
        hint = "whole numbers of 16 bits: divide them by 32768" if audio.dtype.kind in "iu" else None
        raise RecordingError.because("damaged", message, row.path, hint)
    audio = audio.reshape(len(audio), -1)
    if audio.shape[1] != 1 and not mix:
        message = f"expected one channel, found {audio.shape[1]}"
        raise RecordingError.because("stereo", message, row.path, _MIX)
    if not isinstance(given.rate_hz, numbers.Integral):
        raise RecordingError.because(
            "wrong_rate", f"expected a sample rate in whole Hz, found {given.rate_hz!r}", row.path
        )
    rate_hz = int(given.rate_hz)
    check_rate(rate_hz, row.path, None)
    if not np.isfinite(audio).all():
        raise RecordingError.because("not_finite", "holds samples that are NaN or infinite", row.path)
    if (loudest := float(np.abs(audio).max(initial=0))) > LOUDEST:
        raise RecordingError.because("damaged", f"a sample of {loudest:g}, at most {LOUDEST:g} is read", row.path)
    return audio.astype(np.float32), rate_hz


def clipped_samples(audio: NDArray[np.float32]) -> int:
    """Return how many samples [samples, channels] are clipped.

    Those are in rows of at least three equal ones at the largest magnitude of their channel, near full scale.
    """
    found = 0
    for channel in audio.T:
        for peak in (channel.max(initial=0), channel.min(initial=0)):
            if abs(peak) < _FULL_SCALE * max(1.0, float(np.abs(channel).max())):
                continue
            at = np.flatnonzero(channel == peak)
            ends = np.flatnonzero(np.diff(at, append=len(channel) + 1) != 1)
            lengths = np.diff(ends, prepend=-1)
            found += int(lengths[lengths >= _CLIPPED_RUN].sum())
    return found
