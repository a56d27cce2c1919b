"""Detection of a wake word: how many are missed, how many false accepts an hour, and how late a detection comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from accelsim.data import Featured, Utterance
from accelsim.data.clip import speech_end_s
from accelsim.schema.quantity import NonNegativeTime
from accelsim.score.error_rate import Accuracy, bootstrap, mean_of, resamples
from accelsim.score.score import SCORES, Score

OTHER = "other"
_TAIL = 0.025
"""Half of what a 95 % interval leaves out."""


class DetectionScore(Score):
    """Misses of a wake word, false accepts an hour and the delay of detections, see `Detections`.

    ``wake_word``: what is said in utterances that should be detected, among other words or alone. ``cutoff`` and
    ``window``: of the network. ``refractory``: how long after a detection no other one is counted.
    """

    kind: Literal["detections"]
    wake_word: Annotated[str, Field(min_length=1)]
    cutoff: Annotated[float, Field(ge=0, lt=1)]
    window: PositiveInt = 1
    refractory: NonNegativeTime = 1.0

    def judge(self, tensors: Mapping[str, NDArray[Any]], *, reference: bool) -> Detections:
        return Detections(self.cutoff, self.window, self.refractory)

    def said(self, utterance: Featured | Utterance) -> tuple[str, ...]:
        """Return the wake word or `OTHER`, and the second at which the speech ends, nothing where that is unknown."""
        words, wanted = (utterance.text or "").lower().split(), self.wake_word.lower().split()
        there = any(words[at : at + len(wanted)] == wanted for at in range(len(words)))
        end_s = utterance.speech_end_s if isinstance(utterance, Featured) else speech_end_s(utterance.audio)
        return self.wake_word if there else OTHER, "" if end_s is None else repr(end_s)

    def reads(self) -> str:
        return "text"

    def check(self, outputs: int) -> None:
        if outputs != 1:
            raise ValueError(f"detections are those of one output, a probability; the network has {outputs}")


SCORES.register("detections", DetectionScore)


@dataclass(frozen=True)
class Detections:
    """Detections of a probability p[t], one row of outputs every ``row_s`` seconds.

    m[t] = mean of p[t - window + 1 .. t], from t = window - 1 on; a detection is a row with m > cutoff that is not
    within ``refractory_s`` of the detection before it. Every utterance starts anew.

    Source of the rule: microWakeWord as Home Assistant and ESPHome run it, `MicroWakeWord.process_streaming` of
    pymicro-wakeword 2.5.0 (Apache-2.0): a mean of exactly the cutoff is none.
    """

    cutoff: float
    window: int
    refractory_s: float
    row_s: float = float("nan")

    def paced(self, row_s: float) -> Detections:
        """Return the same for outputs that come every ``row_s`` seconds."""
        return replace(self, row_s=row_s)

    def rows(self, outputs: NDArray[Any]) -> list[int]:
        """Return the rows of the detections of one utterance, [rows, 1]; raises ValueError for several outputs."""
        values = np.asarray(outputs, np.float64)
        if values.ndim != 2 or values.shape[1] != 1:
            raise ValueError(f"expected one output a row, found {list(values.shape[1:])}")
        if len(values) < self.window:
            return []
        means = np.lib.stride_tricks.sliding_window_view(values[:, 0], self.window).mean(axis=1)
        found: list[int] = []
        for row in (np.flatnonzero(means > self.cutoff) + self.window - 1).tolist():
            if not found or (row - found[-1]) * self.row_s > self.refractory_s:
                found.append(row)
        return found

    def score(
        self,
        outputs: Iterable[NDArray[Any]],
        references: Sequence[Sequence[str]],
        progress: Callable[[int, int], None] | None = None,
    ) -> Accuracy:
        """Return the misses in percent, with the false accepts an hour and the delay in seconds beside them.

        A miss is an utterance with the wake word and without a detection. Every detection elsewhere is a false accept;
        their rate is over the time without the wake word. Delay: from the end of the speech to the end of the row of
        the first detection, over those detected. Intervals are bootstraps over utterances; where none or all are
        missed, or nothing is falsely accepted, that would have no width, and the exact one is taken (Clopper and
        Pearson; Poisson). Without a wake word in the data, the false accepts stand alone. ``progress`` is called with
        (done, total).
        """
        missed, delays, accepts, hours, heard = [], [], [], [], []
        for done, (utterance, (what, end_s)) in enumerate(zip(outputs, references, strict=True), 1):
            found = self.rows(utterance)
            if what == OTHER:
                accepts.append(len(found))
                hours.append(len(utterance) * self.row_s / 3600)
            else:
                missed.append(int(not found))
                heard.append(done - 1)
                if found and end_s:
                    delays.append((found[0] + 1) * self.row_s - float(end_s))
            if progress is not None:
                progress(done, len(references))
        further = []
        if sum(hours) > 0:
            further.append(_rate(np.array(accepts), np.array(hours)))
        if delays:
            further.append(mean_of("delay of detections", np.array(delays), "wake words", "s"))
        if missed:
            return replace(_misses(np.array(missed)), heard=tuple(heard), further=tuple(further))
        if not further:
            raise ValueError("there is neither a wake word nor other speech in the data")
        return further[0]


def _misses(missed: NDArray[np.int64]) -> Accuracy:
    found = bootstrap("missed wake words", "wake words", missed, np.ones(len(missed), np.int64), {})
    exact = 100 * (1 - _TAIL ** (1 / len(missed)))
    if not missed.any():
        return replace(found, high=exact)
    return replace(found, low=100 - exact) if missed.all() else found


def _rate(accepts: NDArray[np.int64], hours: NDArray[np.float64]) -> Accuracy:
    picks = resamples(len(accepts))
    low, high = np.percentile(accepts[picks].sum(axis=1) / hours[picks].sum(axis=1), (2.5, 97.5))
    if not accepts.any():
        high = -np.log(_TAIL) / hours.sum()
    return Accuracy(
        metric="false accepts",
        value=float(accepts.sum() / hours.sum()),
        low=float(low),
        high=float(high),
        n=round(float(hours.sum()) * 3600),
        counted="seconds without the wake word",
        unit="/h",
        detail={"accepts": int(accepts.sum())},
    )
