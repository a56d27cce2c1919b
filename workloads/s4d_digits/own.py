"""Recordings of one's own for the recipes of spoken words: splits by speaker, choices on dev, and who is understood.

Words, rate and longest length come from the training recordings. Settings are chosen by the errors on dev, and the test
speakers are heard once, by what was chosen: their rates and the spread between them are what to expect of strangers.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from accelsim.data import Utterance
from accelsim.data.clip import is_quiet, trimmed
from accelsim.data.features import SAMPLE_RATE_HZ
from accelsim.data.recordings import chosen, hear, rows_of, used

TRIMS_DB = (60.0, 40.0, 30.0)
"""How far below the loudest 10 ms silence begins: which one it is, the dev speakers decide, see `best`."""
HEADROOM, LENGTH_STEP_S = 1.25, 0.05
"""Strangers are slower than the longest of training; nothing is padded in a run, so that room costs nothing there."""


@dataclass(frozen=True)
class Spoken:
    """Recordings in three parts without a common speaker, the words in them, and the lowest sample rate of training."""

    manifest: Path
    train: tuple[Utterance, ...]
    dev: tuple[Utterance, ...]
    test: tuple[Utterance, ...]
    words: tuple[str, ...]
    rate_hz: int

    def longest_s(self, trim_db: float) -> float:
        """Return 1.25 times the length of the longest training recording without its silence, in steps of 50 ms."""
        longest = HEADROOM * max(len(trimmed(one.audio, trim_db)) for one in self.train) / SAMPLE_RATE_HZ
        return round(LENGTH_STEP_S * math.ceil(longest / LENGTH_STEP_S - 1e-9), 2)

    def labels(self, part: Sequence[Utterance]) -> list[int]:
        """Return the place of each utterance's word among `words`."""
        return [self.words.index(word_of(one)) for one in part]


def word_of(utterance: Utterance) -> str:
    """Return what a recording is an example of."""
    return utterance.label or utterance.text or ""


def read(manifest: Path) -> Spoken:
    """Read a manifest or folder, see `accelsim.data.recordings`; leave out and count clipped and silent recordings.

    Raises InputError for recordings that cannot be used, SystemExit where words or speakers do not serve.
    """
    rows = rows_of(manifest)
    found = {split: used(hear(chosen(rows, split), skip=("clipped", "silent"))) for split in ("train", "dev", "test")}
    for split, part in found.items():
        left_out = "".join(f", {count} {kind} left out" for kind, count in part.skipped.items())
        people = {one.speaker for one in part.utterances}
        print(f"{split}: {len(part.utterances)} recordings, {len(people)} speakers{left_out}")
    parts = {split: part.utterances for split, part in found.items()}
    words = tuple(sorted({word_of(one) for one in parts["train"]}))
    if len(words) < 2 or "" in words:
        raise SystemExit(
            f"{manifest}: every recording needs a word in 'class' or 'text', and there are to be two or more"
        )
    if strange := sorted({word_of(one) for split in ("dev", "test") for one in parts[split]} - {*words}):
        raise SystemExit(f"{manifest}: no training speaker says {', '.join(strange)}")
    heard = {split: {one.speaker for one in part} for split, part in parts.items()}
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        if both := sorted(heard[one] & heard[other] - {""}):
            raise SystemExit(f"{manifest}: {', '.join(both)} in {one} and in {other}: a speaker belongs to one of them")
    if len(heard["test"]) < 2:
        print("only one speaker is in test: what one stranger gets wrong says little of the next")
    return Spoken(manifest.resolve(), **parts, words=words, rate_hz=min(found["train"].rates_hz))


def say_clips(spoken: Spoken, trim_db: float, longest_s: float) -> None:
    """Print what is cut off the recordings, and where there is noise around words."""
    for split in ("train", "dev", "test"):
        part: tuple[Utterance, ...] = getattr(spoken, split)
        audio = [trimmed(one.audio, trim_db) for one in part]
        shorter = sum(len(a) < len(one.audio) for a, one in zip(audio, part, strict=True))
        cut = sum(len(a) > longest_s * SAMPLE_RATE_HZ for a in audio)
        quiet = sum(map(is_quiet, audio))
        noise = f"; {quiet} still begin or end with more than 0.2 s of noise" if quiet else ""
        print(f"{split}: {shorter} of {len(part)} trimmed at {trim_db:g} dB, {cut} cut at {longest_s:g} s{noise}")


def say_speakers(path: Path, part: Sequence[Utterance], wrong: dict[str, Sequence[bool]]) -> None:
    """Print and write how much each speaker is misheard, in percent; ``wrong``: by network, of each utterance."""
    speakers = np.array([one.speaker for one in part])
    names = sorted({*speakers.tolist()})
    rates = {
        key: [100 * float(np.mean(np.array(given)[speakers == one])) for one in names] for key, given in wrong.items()
    }
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["speaker", "recordings", *(f"{key}_error_percent" for key in wrong)])
        for at, one in enumerate(names):
            each = [f"{values[at]:.2f}" for values in rates.values()]
            writer.writerow([one, int((speakers == one).sum()), *each])
    for key, values in rates.items():
        spread = f", speakers from {min(values):.1f} to {max(values):.1f}" if len(values) > 1 else ""
        deviation = f", mean {mean(values):.1f}, standard deviation {stdev(values):.1f}" if len(values) > 1 else ""
        print(
            f"{key}: {100 * float(np.mean(wrong[key])):.2f} % of {len(part)} test recordings wrong{spread}{deviation}"
        )


def best(candidates: Sequence[float], judged: Callable[[float], tuple[float, float]], what: str) -> float:
    """Return the candidate that is best on dev, and print all; ``judged`` gives its share of errors and its loss.

    Few recordings make equals of many: among those the lower loss, and then the first, is taken.
    """
    found = {one: judged(one) for one in candidates}
    said = ", ".join(f"{one:g}: {100 * wrong:.2f} % (loss {loss:.3f})" for one, (wrong, loss) in found.items())
    taken = min(candidates, key=lambda one: found[one])
    print(f"{what}: of dev wrong: {said}; {taken:g} is taken")
    return taken


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Add --work, --data and --out, and return the arguments: either a work folder is given, or both of the others."""
    parser.add_argument("--work", type=Path, help="where a training of the digits keeps what it has done")
    parser.add_argument(
        "--data", type=Path, help="a manifest or a folder of your own recordings, in place of the digits"
    )
    parser.add_argument("--out", type=Path, help="the folder into which the network of your own words is written")
    found = parser.parse_args()
    if (found.data is None) != (found.out is None) or (found.data is None) == (found.work is None):
        parser.error("give --work, or --data with --out")
    if found.work is not None:
        found.work.mkdir(parents=True, exist_ok=True)
    return found
