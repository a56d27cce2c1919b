"""What a job needs of the frames around its own, in tokens: cyclo-static rates, and how large buffers must be for them.

A token stands for one frame of a layer's output. A convolution over time waits for frames ahead of its own and keeps
some behind it; attention waits for the last frame of an utterance and keeps all of them until it has done with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FrameWindow:
    """Which frames of an utterance a job reads for frame t: t - behind .. t + ahead, or with ``whole`` all of them.

    With a ``batch`` B, frames t, t + 1 .. of B are worked on together when the first one is: t is a multiple of B.
    """

    ahead: int = 0
    behind: int = 0
    whole: bool = False
    batch: int = 1

    def plain(self) -> bool:
        """Return whether a job takes one token, and frees it, in every frame."""
        return self == FrameWindow()

    def tokens(self, starts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how many tokens a job takes and frees in every frame: [frames] each; starts: [utterances + 1].

        In frame t of n the job has taken min(e + ahead, n) tokens and has freed max(e - behind, 0), e being the end of
        t's batch; all n are taken at once for a whole utterance, and in the last frame all are freed.
        """
        taken, freed = np.zeros((2, int(starts[-1])), np.int64)
        for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            n = last - first
            if not n:
                continue
            end = np.minimum((np.arange(n) // self.batch + 1) * self.batch, n)
            have = np.full(n, n) if self.whole else np.minimum(end + self.ahead, n)
            done = np.zeros(n, np.int64) if self.whole else np.maximum(end - self.behind, 0)
            done[-1] = n
            taken[first:last] = np.diff(have, prepend=0)
            freed[first:last] = np.diff(done, prepend=0)
        return taken, freed

    def worked_on(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many frames are worked on in every frame, 0 but in the first one of a batch: [frames]."""
        frames = np.zeros(int(starts[-1]), np.int64)
        for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            begin = np.arange(first, last, self.batch)
            frames[begin] = np.minimum(self.batch, last - begin)
        return frames


@dataclass(frozen=True, order=True)
class Delay:
    """How far a layer lags behind the inputs: whole utterances waited for, and frames on top."""

    utterances: int = 0
    frames: int = 0

    def behind(self, window: FrameWindow) -> Delay:
        """Return the delay of a layer that reads one of this delay through a window."""
        if window.whole:
            return Delay(self.utterances + 1, 0)
        return Delay(self.utterances, self.frames + window.ahead + window.batch - 1)


def slots(producer: Delay, consumer: Delay, window: FrameWindow, longest: int) -> int:
    """Return the least tokens that the channel between two layers must hold so that neither waits for ever.

    While the consumer waits, on another path, for frames that lie ahead, its own tokens queue up: the difference of the
    delays, and what the window keeps. Where it waits for whole utterances, that is the ``longest`` one.
    """
    if consumer.utterances > producer.utterances:
        return longest
    return min(consumer.frames - producer.frames + window.behind + 1, longest)
