"""What a network hears: the recordings or features that its workload names, as the frames of its graph."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from accelsim import limits
from accelsim.data import DATASETS, Featured, Utterance, feature_set, load, load_features
from accelsim.data.clip import WHOLE, Clips, at_loudness, is_quiet, of_length, trimmed
from accelsim.data.features import SAMPLE_RATE_HZ
from accelsim.data.from_file import read_features
from accelsim.data.recordings import Found, Row, chosen, hear, rows_of, rows_of_arrays, used
from accelsim.errors import DataError, InputError, did_you_mean, show
from accelsim.ops.op import Edge, Signal
from accelsim.schema.workload import (
    AnyFeatures,
    AudioInputs,
    Context,
    FeatureInputs,
    FileInputs,
    Heard,
    OwnInputs,
    RandomInputs,
    SpeechInputs,
)
from accelsim.score.score import Score
from accelsim.workload import Workload

Spoken = TypeVar("Spoken", Featured, Utterance)
Recorded = TypeVar("Recorded", SpeechInputs, FeatureInputs)


@dataclass(frozen=True)
class Batch:
    """All frames of all utterances, end to end.

    features: [frames, width] unsigned, or spikes [frames, steps, width]; starts: frame offsets [utterances + 1];
    references: what was said, per utterance, or None; audio_seconds: length of the audio that the frames stand for;
    spoken_by: the speaker of each utterance, empty where unknown; unknown: units of the references that the network's
    outputs cannot stand for; clips: what was cut off; instead_of: the data set that is not on this machine, whose
    sample this is; skipped: bad recordings that were left out, by kind; doubtful: how many of the utterances are of
    such a kind, by kind.
    """

    features: NDArray[np.uint8]
    starts: NDArray[np.int64]
    names: tuple[str, ...]
    source: str
    references: tuple[tuple[str, ...], ...] | None
    audio_seconds: float
    frame_period_s: float
    spoken_by: tuple[str, ...] = ()
    unknown: int = 0
    clips: Clips = WHOLE
    instead_of: str | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)
    doubtful: Mapping[str, int] = field(default_factory=dict)

    @property
    def speakers(self) -> int | None:
        """How many people spoke; None where that of an utterance is unknown."""
        return len({*self.spoken_by}) if self.spoken_by and all(self.spoken_by) else None

    def signal(self, edge: Edge) -> Signal:
        """Return the features as the signal of their edge."""
        return Signal(self.features, self.starts, edge)


def load_batch(
    workload: Workload, progress: Callable[[str, int, int], None] | None = None, *, samples: bool = True
) -> Batch:
    """Fetch the inputs of a workload and compute its features; raises InputError when the data is not there.

    ``samples``: where a data set is not on this machine, take the sample of it that ships with accelsim.
    """
    with workload.at(("inputs",)):
        return _batch(workload, progress, samples)


def _batch(workload: Workload, progress: Callable[[str, int, int], None] | None, samples: bool) -> Batch:
    inputs, score = workload.spec.inputs, workload.spec.score
    if isinstance(inputs, RandomInputs):
        empty = np.zeros((inputs.frames, inputs.width()), np.uint8)
        starts = np.array([0, inputs.frames], np.int64)
        period = inputs.frame_period
        return Batch(empty, starts, ("random",), "random activity", None, inputs.frames * period, period)

    chosen: list[Featured | Utterance]
    of_each: Iterator[NDArray[np.uint8]]
    told: list[Clips] = []
    instead_of: str | None = None
    own: Found | None = None
    if isinstance(inputs, FeatureInputs):
        inputs, instead_of, given = _at_hand(load_features, inputs, samples)
        ready = _chosen(given, inputs, score)
        chosen, of_each = [*ready], (one.codes for one in ready)
        period = feature_set(inputs.dataset, inputs.split).frame_period_s
    elif isinstance(inputs, FileInputs):
        file = workload.folder / inputs.path
        steps = workload.spec.time_steps if inputs.spikes else None
        ready = _chosen(read_features(file, inputs.width(), workload.spec.input_bits, steps), inputs, score)
        chosen, of_each = [*ready], (one.codes for one in ready)
        period = inputs.period()
    else:
        if isinstance(inputs, OwnInputs):
            own = used(_listen(workload, inputs, progress), inputs.skipped())
            spoken = [*own.utterances]
        else:
            inputs, instead_of, spoken = _at_hand(load, inputs, samples)
        heard = _chosen(spoken, inputs, score)
        chosen, of_each = [*heard], _clipped(heard, inputs, told, whole=score is not None and score.whole)
        period = inputs.features.hop_s
    most = None if inputs.seconds is None else max(1, round(inputs.seconds / period))
    codes: list[NDArray[np.uint8]] = []
    for one in of_each:
        codes.append(one)
        if progress is not None:
            progress(getattr(inputs, "dataset", inputs.origin()), len(codes), len(chosen))
        if most is not None and sum(map(len, codes)) >= most:
            break
    utterances = chosen[: len(codes)]
    empty_ones = [u.name for u, c in zip(utterances, codes, strict=True) if not len(c)]
    if empty_ones or not codes:
        message = f"utterances shorter than one frame: {', '.join(empty_ones[:12]) or 'the set is empty'}"
        raise InputError.of(message)
    frames = np.concatenate(codes)[:most]
    ends = np.cumsum([len(c) for c in codes])
    said = [None if inputs.seconds is not None else _said(one, score) for one in utterances]
    unknown = _unknown_units(workload, utterances, said)
    return Batch(
        features=frames,
        starts=np.minimum([0, *ends], len(frames)).astype(np.int64),
        names=tuple(u.name for u in utterances),
        source=inputs.origin(),
        references=None if None in said else tuple(words for words in said if words is not None),
        audio_seconds=len(frames) * period,
        frame_period_s=period,
        spoken_by=tuple(u.speaker for u in utterances),
        unknown=unknown,
        clips=_together(told),
        instead_of=instead_of,
        skipped={} if own is None else own.skipped,
        doubtful={} if own is None else own.doubtful,
    )


def _at_hand(
    read: Callable[[str, str], list[Spoken]], inputs: Recorded, samples: bool
) -> tuple[Recorded, str | None, list[Spoken]]:
    """Return the inputs that are read, what they are read instead of, and their utterances."""
    try:
        return inputs, None, read(inputs.dataset, inputs.split)
    except DataError:
        sample = DATASETS[inputs.dataset].sample
        if not samples or sample is None or inputs.split not in DATASETS[sample].splits:
            raise
        return inputs.model_copy(update={"dataset": sample}), inputs.origin(), read(sample, inputs.split)


def listen(workload: Workload, progress: Callable[[str, int, int], None] | None = None) -> Found:
    """Return a workload's own recordings and all that is wrong with them; raises InputError where it has none."""
    inputs = workload.spec.inputs
    with workload.at(("inputs",)):
        if not isinstance(inputs, OwnInputs):
            raise InputError.of(f"expected recordings of one's own, found inputs of 'source: {inputs.source}'")
        return _listen(workload, inputs.model_copy(update={"utterances": None}), progress)


def _listen(workload: Workload, inputs: OwnInputs, progress: Callable[[str, int, int], None] | None) -> Found:
    rows, place, score = rows_heard(workload, inputs), inputs.origin(), workload.spec.score
    least, column = _least_samples(inputs.features), None if score is None else score.reads()
    if score is not None and column is None and workload.hears_others():
        with workload.at(("score",)):
            message = f"the references of score '{score.kind}' are those of other utterances, found {place}"
            raise InputError.of(message, hint="leave out 'score': -s workload.score=null")

    highest_hz = getattr(inputs.features, "high_hz", 0.0)

    def look(one: Utterance, rate_hz: int) -> Iterator[tuple[str, str, str | None]]:
        if len(audio := _prepared(one.audio, inputs)) < least:
            yield "short", f"is shorter than one frame of the features: {len(audio) / SAMPLE_RATE_HZ:.3g} s", None
        if 2 * highest_hz > rate_hz:
            yield "narrow", f"is narrow: {rate_hz:,} Hz, and the features reach up to {highest_hz:,.0f} Hz", None
        if score is None:
            return
        said = score.said(one)
        if not said and column is not None:
            yield "unlabelled", f"has no '{column}', which score '{score.kind}' compares", None
        for unit in said if said and score.closed else ():
            if not score.knows(unit):
                vocabulary = getattr(score, score.vocabulary)
                yield "unknown", f"{show(unit)} is none of the {score.vocabulary}", did_you_mean(unit, vocabulary)

    tell = None if progress is None else (lambda done, total: progress(place, done, total))
    return hear(
        rows, mix=inputs.channels == "mix", skip=inputs.skipped(), look=look, most=inputs.utterances, progress=tell
    )  # fmt: skip


def rows_heard(workload: Workload, inputs: OwnInputs) -> list[Row]:
    """Return the rows of the recordings that inputs of one's own name."""
    place = inputs.place()
    if place is None:
        if not workload.recordings:
            hint = "accelsim.run(chip, network, inputs=[accelsim.Recording(..), ..])"
            raise InputError.of("'source: array' hears recordings from Python, and none are given", hint=hint)
        rows = rows_of_arrays(workload.recordings)
    else:
        rows = rows_of(workload.folder / place)
    return chosen(rows, inputs.split, inputs.speakers)


@lru_cache(maxsize=8)
def _least_samples(features: AnyFeatures) -> int:
    """Return how many samples give the first frame of features."""
    return bisect_left(
        range(4 * SAMPLE_RATE_HZ), 1, key=lambda samples: len(features.codes(np.zeros(samples, np.float32)))
    )


def _trimmed(audio: NDArray[np.float32], inputs: AudioInputs) -> NDArray[np.float32]:
    return audio if inputs.trim_db is None else trimmed(audio, inputs.trim_db)


def _prepared(audio: NDArray[np.float32], inputs: AudioInputs) -> NDArray[np.float32]:
    """Return audio trimmed and made one length, as inputs ask for it."""
    audio = _trimmed(audio, inputs)
    return audio if inputs.length_s is None else of_length(audio, inputs.length_s)


def _clipped(
    heard: Sequence[Utterance], inputs: AudioInputs, told: list[Clips], *, whole: bool
) -> Iterator[NDArray[np.uint8]]:
    """Yield the features of each utterance, trimmed and cut as its inputs ask for; ``told`` gets what was cut off.

    ``whole``: quiet ends count without ``trim_db`` as well.
    """
    features = inputs.features
    size = 0.0
    most = None if inputs.longest_s is None else max(1, round(inputs.longest_s / features.hop_s))
    for one in heard:
        audio = one.audio if inputs.loudness is None else at_loudness(one.audio, inputs.loudness)
        audio = _trimmed(audio, inputs)
        silence, quiet, spare = len(one.audio) - len(audio), is_quiet(audio), 0.0
        if inputs.length_s is not None:
            spare = inputs.length_s - len(audio) / SAMPLE_RATE_HZ
            audio = of_length(audio, inputs.length_s)
        size += len(audio) / (features.hop_s * SAMPLE_RATE_HZ) * inputs.width()
        limits.check("data_bytes", size, f"features of {inputs.origin()}", file=inputs.origin())
        codes = features.codes(audio)
        cut_s = max(-spare, (len(codes) - len(codes[:most])) * features.hop_s)
        told.append(
            Clips(
                utterances=1,
                trimmed=int(silence > 0),
                trimmed_s=silence / SAMPLE_RATE_HZ,
                cut=int(cut_s > 0),
                cut_s=max(cut_s, 0.0),
                quiet=int(quiet and (whole or inputs.trim_db is not None)),
                padded=int(spare > 0),
                padded_s=max(spare, 0.0),
            )
        )
        yield stacked(codes[:most], inputs.context)


def _together(told: Sequence[Clips]) -> Clips:
    sums = {field.name: sum(getattr(one, field.name) for one in told) for field in fields(Clips)}
    return Clips(**sums)


def _unknown_units(
    workload: Workload, utterances: Sequence[Featured | Utterance], said: Sequence[tuple[str, ...] | None]
) -> int:
    """Return how many units of the references a network cannot say, and so always gets wrong.

    Raises InputError where those of the data and those of the score do not belong together: a class that the workload
    does not have, or words and phones of which it knows none.
    """
    score, inputs = workload.spec.score, workload.spec.inputs
    if score is None or not score.vocabulary or isinstance(inputs, RandomInputs):
        return 0
    heard = [(one.name, unit) for one, units in zip(utterances, said, strict=True) for unit in units or ()]
    strange = [(name, unit) for name, unit in heard if not score.knows(unit)]
    if strange and (score.closed or len(strange) == len(heard)):
        name, label = strange[0]
        message = (
            f"'{score.vocabulary}' does not have '{label}', the label of utterance '{name}' in "
            f"{inputs.origin()}; {len(strange):,} of {len(heard):,} labels are unknown"
        )
        hint = did_you_mean(label, getattr(score, score.vocabulary))
        with workload.at(("score", score.vocabulary)):
            raise InputError.of(message, hint=hint)
    return len(strange)


def _chosen(utterances: list[Spoken], inputs: Heard, score: Score | None) -> list[Spoken]:
    """Return the utterances that a workload reads: the first few, and where it is scored of those with a reference."""
    if score is not None:
        utterances = [one for one in utterances if _said(one, score)]
        if not utterances:
            raise InputError.of(f"no utterance of {inputs.origin()} has a reference for the score '{score.kind}'")
    return utterances[: inputs.utterances]


def _said(utterance: Featured | Utterance, score: Score | None) -> tuple[str, ...] | None:
    """Return what was said in the units of a score, its phones if there is none; None where that is not known."""
    return utterance.phones if score is None else score.said(utterance)


def stacked(codes: NDArray[np.uint8], context: Context) -> NDArray[np.uint8]:
    """Return every frame with its neighbours side by side, oldest first: [frames, bands] -> [frames, width]."""
    shifts = range(-context.before, context.after + 1)
    if len(shifts) == 1 or not len(codes):
        return codes
    places = np.arange(len(codes))[:, None] + np.array(shifts)
    return codes[np.clip(places, 0, len(codes) - 1)].reshape(len(codes), -1)
