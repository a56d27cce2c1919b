"""What the engine did within a window of time: every job and wait of every component, every channel's depth."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim import limits
from accelsim.errors import InputError
from accelsim.schedule.job import Schedule
from accelsim.schema.quantity import parse_quantity
from accelsim.simulate.engine import Clocking, Timeline
from accelsim.simulate.ledger import STATES

_LONGEST_TEXT = 200
"""Characters of a window."""

_STATE = {state: code for code, state in enumerate(STATES)}


@dataclass(frozen=True)
class Window:
    """Part of a run, from ``begin`` up to but not including ``end``: picoseconds, or whole ``frames``.

    None stands for the begin or the end of the run. A window of frames lasts from the arrival of its first frame until
    all of its frames are finished.
    """

    begin: int | None = None
    end: int | None = None
    frames: bool = False

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read ``'0ms:5ms'``, ``':5 ms'`` or, in frames, ``'10:12'``; raises InputError."""
        hint = "write 0ms:5ms for a time, 10:12 for the frames 10 and 11"
        begin, colon, end = (part.strip() for part in text.partition(":"))
        if not colon or not (begin or end) or len(text) > _LONGEST_TEXT:
            raise InputError.of(f"'{text}' is not a window BEGIN:END", hint=hint)
        counts = [side.isdecimal() for side in (begin, end) if side]
        if any(counts) and not all(counts):
            raise InputError.of(f"'{text}' mixes a time and a number of frames", hint=hint)
        read = int if all(counts) else _picoseconds
        try:
            window = cls(read(begin) if begin else None, read(end) if end else None, all(counts))
        except InputError as error:
            raise InputError.of(f"'{text}' is not a window BEGIN:END: {error}", hint=hint) from None
        if (window.begin or 0) < 0 or (window.end is not None and window.end <= (window.begin or 0)):
            raise InputError.of(f"the window '{text}' is empty", hint=hint)
        return window

    def bounds_ps(self, timeline: Timeline) -> tuple[int, int]:
        """Return its begin and end in a run; raises InputError when the run has nothing of it."""
        frames = len(timeline.finished_ps)
        begin, last = self.begin or 0, frames if self.frames else timeline.duration_ps
        if begin >= last:
            length = f"{last} frames" if self.frames else f"{last * 1e-12:g} s"
            raise InputError.of(f"the window begins after the end of the run, which lasts {length}")
        end = last if self.end is None else min(self.end, last)
        if not self.frames:
            return begin, end
        arrived, finished = int(timeline.arrived_ps[begin:end].min()), int(timeline.finished_ps[begin:end].max())
        if arrived == finished:
            raise InputError.of("the frames of the window take no time")
        return arrived, finished


def _picoseconds(text: str) -> int:
    """Return a time in whole picoseconds: no run lasts 2^62 of them, and -1 is before all runs already."""
    return round(min(max(parse_quantity(text, "time") * 1e12, -1.0), 2.0**62))


class Trace:
    """Recorder for `simulate`: what happened from ``begin_ps`` up to ``end_ps``.

    After ``longest`` events, or those of the limit, it is ``cut``: ``end_ps`` moves to the time that it has come to, up
    to which it is whole.
    """

    def __init__(
        self, schedule: Schedule, clocking: Clocking, begin_ps: int, end_ps: int, longest: int | None = None
    ) -> None:
        self.components = tuple(clocking.period_ps)
        self.jobs = tuple(job.name for job in schedule.jobs)
        self.channels = tuple(dict.fromkeys(name for job in schedule.jobs for name in (*job.takes, *job.gives)))
        self.period_ps = clocking.period_ps
        self.begin_ps = begin_ps
        self.end_ps = end_ps
        self.cut = False
        self._tick = clocking.tick_ps()
        self.longest = limits.current().events if longest is None else longest
        self._component = {name: place for place, name in enumerate(self.components)}
        self._job = {name: place for place, name in enumerate(self.jobs)}
        self._channel = {name: place for place, name in enumerate(self.channels)}
        # Ticks: only what lies between these can matter.
        self._begin = begin_ps // self._tick
        self._end = -(-end_ps // self._tick)
        self._depth_before = [0] * len(self.channels)
        # Rows of integers, flat: a tenth of what Python objects would take.
        self._spans = array("q")
        self._runs = array("q")
        self._depths = array("q")
        self.events = 0

    def ran(self, job: str, frame: int, start: int, end: int, busy: Iterable[tuple[str, int]]) -> None:
        """Take down that a job ran in ticks; ``busy``: how long each of its components worked, from the start."""
        if not (start < self._end and self._begin < end and start < end):
            return
        self._runs.extend((self._job[job], frame, start, end))
        self._count(end)
        for component, ticks in busy:
            self._span(component, job, frame, "busy", start, start + ticks)
            # Held up by a slower component of the same job.
            self._span(component, job, frame, "wait_input", start + ticks, end)

    def waited(self, component: str, job: str, frame: int, state: str, start: int, end: int) -> None:
        """Take down that the leader of a job waited, before or after it, in ticks."""
        self._span(component, job, frame, state, start, end)

    def depth(self, channel: str, now: int, tokens: int) -> None:
        """Take down how many slots of a channel are in use from ``now`` on."""
        if now <= self._begin:
            self._depth_before[self._channel[channel]] = tokens
        elif now < self._end:
            self._depths.extend((now, self._channel[channel], tokens))
            self._count(now)

    def _span(self, component: str, job: str, frame: int, state: str, start: int, end: int) -> None:
        if start < self._end and self._begin < end and start < end:
            self._spans.extend((self._component[component], self._job[job], frame, _STATE[state], start, end))
            self._count(end)

    def _count(self, now: int) -> None:
        self.events += 1
        if self.events == self.longest and now < self._end:
            # What began before is still taken down when it ends, and clipped: at most one span a component.
            self.cut = True
            self._end = now
            self.end_ps = now * self._tick

    def spans(self) -> NDArray[np.int64]:
        """Return when each component was not idle, clipped to the window: [spans, 6], by component and then by time.

        Columns: component, job, frame, state, start and end in ps; the first two and the state as places in
        ``components``, ``jobs`` and `STATES`. Spans of one component do not overlap.
        """
        spans = np.asarray(self._spans, np.int64).reshape(-1, 6)
        spans = spans[np.argsort(spans[:, 0], kind="stable")]  # within a component they came in order of time
        spans[:, 4] = np.maximum(spans[:, 4] * self._tick, self.begin_ps)
        spans[:, 5] = np.minimum(spans[:, 5] * self._tick, self.end_ps)
        return spans[spans[:, 4] < spans[:, 5]]

    def runs(self) -> NDArray[np.int64]:
        """Return every time that a job ran, not clipped: [runs, 4] of job, frame, start and end in ps."""
        return np.asarray(self._runs, np.int64).reshape(-1, 4) * (1, 1, self._tick, self._tick)

    def depths(self) -> NDArray[np.int64]:
        """Return how many slots of which channel are in use from when on: [changes, 3] of ps, channel and slots.

        In order of time; every channel has a row at the begin of the window.
        """
        begin = [(self.begin_ps, place, slots) for place, slots in enumerate(self._depth_before)]
        changes = np.asarray(self._depths, np.int64).reshape(-1, 3) * (self._tick, 1, 1)
        return np.concatenate([np.array(begin, np.int64).reshape(-1, 3), changes[changes[:, 0] < self.end_ps]])


def each_row(table: NDArray[np.int64]) -> Iterator[list[int]]:
    """Return the rows of a table as Python's integers, without all of them in memory at once."""
    for first in range(0, len(table), 65_536):
        yield from table[first : first + 65_536].tolist()
