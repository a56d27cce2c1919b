"""What happened to one frame of a run: every job of it, and what each waited for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from accelsim.simulate.engine import Clocking, Timeline

_LOOKED_AT = 16
"""Frames from the first on among which one is taken: the pipeline is full by then, and the run to it is short."""


@dataclass
class FrameJob:
    """One job of the frame in ps of the run: work from ``start`` to ``end``, and the waits of its leader.

    It waited for its input from ``ready`` until it started, and with its output until ``left``. ``busy``: for how long
    each of its components worked, from the start on.
    """

    job: str
    ready: int
    start: int
    end: int
    left: int
    busy: dict[str, int]


@dataclass
class OneFrame:
    """Recorder for the engine that keeps the jobs of one ``frame`` by name, in the order in which they ended."""

    frame: int
    tick_ps: int
    jobs: dict[str, FrameJob] = field(default_factory=dict)
    _ready: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, clocking: Clocking, timeline: Timeline) -> OneFrame:
        """Return the recorder of a frame like most others: of the first 16 that with the latency nearest the median."""
        latency = timeline.finished_ps - timeline.arrived_ps
        apart = np.abs(latency[:_LOOKED_AT] - np.median(latency))
        # The last of them: what is special about the first frames of a run is over.
        return cls(int(np.flatnonzero(apart == apart.min())[-1]), clocking.tick_ps())

    def waited(self, component: str, job: str, frame: int, state: str, start: int, end: int) -> None:
        """Take down that the leader of a job waited, before or after it, in ticks."""
        if frame != self.frame or start >= end:
            return
        if state == "wait_input":
            self._ready[job] = start * self.tick_ps
        else:
            self.jobs[job].left = end * self.tick_ps

    def ran(self, job: str, frame: int, start: int, end: int, busy: Iterable[tuple[str, int]]) -> None:
        """Take down that a job ran in ticks; ``busy``: how long each of its components worked, from the start."""
        if frame != self.frame:
            return
        begin, over = start * self.tick_ps, end * self.tick_ps
        worked = {member: ticks * self.tick_ps for member, ticks in busy}
        self.jobs[job] = FrameJob(job, self._ready.pop(job, begin), begin, over, over, worked)

    def depth(self, channel: str, now: int, tokens: int) -> None:
        """Take no notice of a channel."""
