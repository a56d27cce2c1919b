"""Jobs and the schedule: what each component does, in which order, once per frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from accelsim.schedule.plan import Summary
from accelsim.schedule.windows import FrameWindow

Tokens = Mapping[tuple[str, str], tuple[NDArray[np.int64], NDArray[np.int64]]]
"""How many tokens a job takes from a channel before it starts, and frees when it ends: (job, channel) -> 2 x [frames].

Where nothing is said, one and one in every frame; see `accelsim.simulate.simulate`.
"""


def part_of(name: str) -> str:
    """Return the component that one of its copies belongs to: ``adc[3]`` is part of ``adc``."""
    return name.partition("[")[0]


@dataclass(frozen=True)
class Work:
    """What a job does, for the kernels that count it; every engine has a small type for each kind of work."""

    stage: ClassVar[str] = ""
    """The kind of work, as the printed schedule calls it."""

    def row(self) -> dict[str, Any]:
        """Return it as keys and values of a printed row."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**({"stage": self.stage} if self.stage else {}), **{k: v for k, v in values.items() if v is not None}}


@dataclass(frozen=True)
class Job:
    """One piece of work that a component repeats in every frame.

    ``component`` leads; the ``lockstep`` members work on the same job at the same time and the slowest of all sets
    the pace. ``roles``: what each of them is for, the leading one first, by the names of the engine's roles; several
    may have one role. The job starts when there is a token, or as many as `Tokens` say, on every channel that it
    ``takes`` from, and ends by putting one on every channel that it ``gives`` to. ``paced`` jobs wait for their frame
    to arrive from outside; the frame is finished when the ``last`` job ends. ``work`` says how the kernels cut it. Of a
    layer that is programmed in several ``copies``, each works on its share of the frames: ``copy``, copy + copies, copy
    + 2 copies and so on; a job that is done ``once`` works in the first frame of a run alone, as what loads weights
    that stay. A channel carries a token in the frames in which both of its ends have work. A component that stands in
    every tile is named with the tile's number: ``adc[3]``.
    """

    name: str
    layer: str
    component: str
    lockstep: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    paced: bool = False
    last: bool = False
    work: Work = Work()
    copies: int = 1
    copy: int = 0
    roles: tuple[str, ...] = ()
    once: bool = False

    @classmethod
    def of(cls, name: str, layer: str, parts: Sequence[tuple[str, str]], work: Work, **rest: Any) -> Job:
        """Return a job of (role, component) pairs, the leading one first."""
        roles, members = zip(*parts, strict=True)
        return cls(name, layer, members[0], tuple(members[1:]), work=work, roles=roles, **rest)

    def runs_in(self, frame: int) -> bool:
        """Return whether the job is done for a frame."""
        return frame == 0 if self.once else frame % self.copies == self.copy

    def frames(self) -> slice:
        """Return the frames in which the job is done."""
        if self.once:
            return slice(0, 1)
        return slice(self.copy, None, self.copies)

    def members(self) -> tuple[str, ...]:
        """Return every component that the job occupies, the leading one first."""
        return (self.component, *self.lockstep)

    def in_role(self, role: str) -> list[str]:
        """Return the components that have a role in the job."""
        return [name for has, name in zip(self.roles, self.members(), strict=True) if has == role]

    def part(self, role: str) -> str:
        """Return the one component that has a role in the job."""
        (name,) = self.in_role(role)
        return name


@dataclass(frozen=True)
class Schedule:
    """All jobs of one frame; the order within a component is the order in which it runs them.

    ``capacities``: of channels that hold other numbers of tokens than the architecture says. ``windows``: by job and
    channel, which frames around its own a job reads, where not its own alone. ``inputs_per_frame``: frames of the
    inputs in one of the schedule, where the pace of the architecture is theirs. ``plan``: of a chunk on an NPU.
    ``instances``: by copy of a component, how many of its instances work in the jobs of that copy; of what is not in
    it, all.
    """

    jobs: tuple[Job, ...]
    capacities: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    windows: Mapping[tuple[str, str], FrameWindow] = field(default_factory=lambda: MappingProxyType({}))
    inputs_per_frame: int = 1
    plan: Summary | None = None
    instances: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, component: str) -> tuple[Job, ...]:
        """Return the jobs that a component leads, in order."""
        return tuple(job for job in self.jobs if job.component == component)

    def period(self) -> int:
        """Return after how many frames the jobs repeat: the least common multiple of all numbers of copies."""
        return math.lcm(*(job.copies for job in self.jobs))

    def starts_up(self) -> bool:
        """Return whether the first frame has jobs that no other has."""
        return any(job.once for job in self.jobs)

    def turns(self) -> int:
        """Return in how many frames from the first on the jobs of every later one occur: one period, or two."""
        return self.period() * (2 if self.starts_up() else 1)

    def turns_of(self, frames: Iterable[int]) -> list[int]:
        """Return of each frame the one among the first `turns` in which the same jobs are done."""
        period, starts_up = self.period(), self.starts_up()
        return [period + frame % period if starts_up and frame >= period else frame % period for frame in frames]

    def unused_in(self, frame: int) -> frozenset[str]:
        """Return the channels that carry no token in a frame, because all jobs at one of their ends have no work."""
        unused: set[str] = set()
        for end in (attrgetter("gives"), attrgetter("takes")):
            working = {name for job in self.jobs if job.runs_in(frame) for name in end(job)}
            unused |= {name for job in self.jobs for name in end(job)} - working
        return frozenset(unused)

    def leaders(self) -> tuple[str, ...]:
        """Return the components that lead a job, in order of first appearance."""
        return tuple(dict.fromkeys(job.component for job in self.jobs))

    def table(self) -> list[dict[str, str]]:
        """Return the schedule as printable rows."""
        return [
            {
                "job": job.name,
                "component": job.component,
                "in lock-step": ", ".join(job.lockstep),
                "takes": ", ".join(job.takes),
                "gives": ", ".join(job.gives),
                "work": ", ".join(f"{k}={v}" for k, v in job.work.row().items()),
                "frames": "first" if job.once else "all" if job.copies == 1 else f"{job.copy} mod {job.copies}",
            }
            for job in self.jobs
        ]
