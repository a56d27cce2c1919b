"""Where a word lies in its recording: silence around it is cut off, what is too long is cut short, or made one length.

A network that averages over equal parts of an utterance hears another word where silence lies around it. So a recipe
and a run take the same two numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.data.features import SAMPLE_RATE_HZ

WINDOW = SAMPLE_RATE_HZ // 100
"""Samples of the 10 ms over which power is taken."""
QUIET_DB = 30.0
QUIET_S = 0.2


def at_loudness(audio: NDArray[np.float32], rms: float) -> NDArray[np.float32]:
    """Return audio [samples] with another root mean square; silence alone stays as it is."""
    found = float(np.sqrt(np.mean(audio.astype(np.float64) ** 2))) if len(audio) else 0.0
    return audio * np.float32(rms / found) if found > 0 else audio


def trimmed(audio: NDArray[np.float32], trim_db: float) -> NDArray[np.float32]:
    """Return audio [samples] without the silence at its ends.

    p[k] = mean of x^2 over window k of 10 ms. Kept is all from the first to the last window with
    p[k] >= max(p) 10^(-trim_db / 10); a rest shorter than a window belongs to the last one. Silence alone stays whole.
    """
    first, end = _span(audio, trim_db)
    return audio[first:end]


def speech_end_s(audio: NDArray[np.float32]) -> float:
    """Return when the last window of 10 ms ends whose power is at most 30 dB below that of the loudest, in seconds."""
    return _span(audio, QUIET_DB)[1] / SAMPLE_RATE_HZ


def of_length(audio: NDArray[np.float32], seconds: float) -> NDArray[np.float32]:
    """Return audio of exactly so many seconds: silence is added at its end, or the end is cut off."""
    samples = round(seconds * SAMPLE_RATE_HZ)
    return np.pad(audio[:samples], (0, max(samples - len(audio), 0)))


def is_quiet(audio: NDArray[np.float32]) -> bool:
    """Tell whether more than 0.2 s at the ends of audio lie 30 dB below its loudest 10 ms: noise around a word."""
    first, end = _span(audio, QUIET_DB)
    return len(audio) - (end - first) > QUIET_S * SAMPLE_RATE_HZ


def powers(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return p[k], the mean of x^2 over every whole window of 10 ms: audio [samples] -> [windows]."""
    windows = len(audio) // WINDOW
    return (audio[: windows * WINDOW].astype(np.float64).reshape(windows, WINDOW) ** 2).mean(axis=1)


def _span(audio: NDArray[np.float32], below_db: float) -> tuple[int, int]:
    power = powers(audio)
    if not len(power):
        return 0, len(audio)
    loud = np.flatnonzero(power >= power.max() * 10 ** (-below_db / 10))
    return int(loud[0]) * WINDOW, len(audio) if loud[-1] == len(power) - 1 else int(loud[-1] + 1) * WINDOW


@dataclass(frozen=True)
class Clips:
    """What was cut off utterances or added to them: of how many, and how many seconds in all.

    ``trimmed``: silence at their ends; ``cut``: what is beyond the longest that the network takes; ``padded``: silence
    that makes them as long as the network takes them; ``quiet``: those whose ends are still quiet, see `is_quiet`.
    """

    utterances: int = 0
    trimmed: int = 0
    trimmed_s: float = 0.0
    cut: int = 0
    cut_s: float = 0.0
    quiet: int = 0
    padded: int = 0
    padded_s: float = 0.0


WHOLE = Clips()
