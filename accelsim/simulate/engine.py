"""The discrete-event engine: it animates any schedule on any components, job by job, in integer time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import simpy
from numpy.typing import NDArray

from accelsim.errors import DeadlockError, InputError
from accelsim.schedule.job import Job, Schedule, Tokens
from accelsim.simulate.arbiter import Arbiter
from accelsim.simulate.channel import Channel
from accelsim.simulate.domain import Domain, Sleeper
from accelsim.simulate.ledger import STATES, Ticks

if TYPE_CHECKING:
    from accelsim.simulate.one_frame import OneFrame
    from accelsim.simulate.trace import Trace

NEVER = 2**62
"""Picoseconds that no run reaches, 53 days: sums of two times and all products by whole ticks stay within 64 bits."""

_TIMES_TOLD = 100
"""How often a run tells how far it is: a bar shows no more."""


@dataclass(frozen=True)
class Link:
    """A bounded channel as the engine needs it: capacity in tokens, latency in cycles of the consumer's clock.

    ``tensor``: what it carries, where several channels join the same two components.
    """

    producer: str
    consumer: str
    capacity: int
    latency: int
    tensor: str = ""

    def name(self) -> str:
        return f"{self.producer}->{self.consumer}" + (f" of {self.tensor}" if self.tensor else "")


@dataclass(frozen=True)
class Clocking:
    """Clock period of every component in picoseconds, and when the frames arrive.

    ``frame_period_ps``: a frame every so often (real time), or 0 for back-to-back.
    """

    period_ps: Mapping[str, int]
    frame_period_ps: int = 0

    def tick_ps(self) -> int:
        """Return the integer time base: the greatest common divisor of all periods."""
        return math.gcd(*self.period_ps.values(), self.frame_period_ps)


@dataclass(frozen=True)
class Timeline:
    """When everything happened: cycles per component and state, arrival and end of every frame.

    ``cycles``, ``total``: cycles of each component's own clock. [frames]: ``arrived_ps`` (back-to-back: when its paced
    job could begin), ``started_ps`` (first job after the paced one), ``finished_ps``.
    ``job_cycles``: busy and held-up cycles of each job's leader, summed over frames. ``worked_ps``: for how long the
    chip was at work: a job ran, waited for the edge of its clock, or had a token on its way to it. Time in which all
    there is to do waits for the next frame is not.
    ``asleep_ps[domain][state]``, ``waking_ps[domain]``, ``wakes[domain]``: how long each power domain was in each of
    its states of rest and on its way out of them, and how often it was woken.
    """

    cycles: Mapping[str, Mapping[str, int]]
    total: Mapping[str, int]
    duration_ps: int
    arrived_ps: NDArray[np.int64]
    started_ps: NDArray[np.int64]
    finished_ps: NDArray[np.int64]
    job_cycles: Mapping[str, int]
    channel_peak: Mapping[str, int]
    worked_ps: int
    asleep_ps: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    waking_ps: Mapping[str, int] = field(default_factory=dict)
    wakes: Mapping[str, int] = field(default_factory=dict)

    def interval_ps(self, starts: NDArray[np.int64]) -> float:
        """Return the initiation interval, in ps per frame: how often a frame is finished once the pipeline is full.

        (end of the last utterance - end of the first one) / frames in between. From utterance to utterance, since a
        layer that waits for a whole one lets its frames go in a burst; of a single utterance, from its first frame to
        its last. Where utterances overlap it takes several of them to come near what a long run has. In real time it is
        the period of the frames as long as the chip keeps up. ``starts``: [utterances + 1] offsets in the frames; 0
        where there is but one frame.
        """
        ends = starts[1:][np.diff(starts) > 0] - 1
        first, last = (ends[0], ends[-1]) if len(ends) > 1 else (0, ends[-1])
        return float(self.finished_ps[last] - self.finished_ps[first]) / max(int(last - first), 1)

    def frames_in_flight(self) -> int:
        """Return the most frames at any time that had arrived and were not finished."""
        arrived, finished = np.sort(self.arrived_ps), np.sort(self.finished_ps)
        inside = np.searchsorted(arrived, arrived, "right") - np.searchsorted(finished, arrived, "right")
        return int(inside.max())

    def utterance_latency_ps(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the time from the arrival of each utterance's last frame until that is finished."""
        ends = starts[1:][np.diff(starts) > 0] - 1
        return self.finished_ps[ends] - self.arrived_ps[ends]


Service = Mapping[tuple[str, str], NDArray[np.int64]]
"""Busy cycles per frame of (job, component)."""


def simulate(
    schedule: Schedule,
    links: Sequence[Link],
    service: Service,
    clocking: Clocking,
    frames: int,
    *,
    tokens: Tokens | None = None,
    arbitration: Mapping[str, str] | None = None,
    domains: Sequence[Domain] = (),
    process_order: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
    trace: Trace | None = None,
) -> Timeline:
    """Run ``frames`` repetitions of the schedule and return when everything happened.

    A job starts on an edge of its component's clock when its tokens are there, its lock-step members are free and the
    power ``domains`` of those that have work awake. It lasts as long as the slowest of them (max over members of
    service cycles), and ends when its tokens are put.
    ``tokens``: (job, channel) -> (taken, freed), each [frames]: before it starts in frame t the job takes taken[t] of
    the channel's tokens, one after the other, and when its work is done it gives freed[t] slots back; either may be 0.
    Such a channel carries a token in every frame in which its producer has work. Absent: one and one.
    ``arbitration``: policy per component that several leaders share (default ``oldest_first``).
    ``process_order``: in which order the processes are started; the result must not depend on it.
    ``progress``: called with the number of finished frames, a hundred times or less often.
    ``trace``: told of every job, wait and channel as they happen.

    Raises DeadlockError when the run stops with jobs undone or tokens left over, ValueError for tokens that are freed
    before they were taken, or of which not as many are taken and freed as are put, and InputError for a run of 2^62 ps
    (53 days) or more.
    """
    _check_length(service, clocking, frames)
    policies = arbitration or {}
    run = _Run(schedule, links, service, clocking, frames, tokens or {}, policies, domains, progress, trace)
    may_repeat = trace is None and process_order is None and not tokens
    if may_repeat and (kinds := _kinds(schedule, service, clocking, frames, policies)):
        timeline = _repeated(run, schedule, links, service, clocking, policies, domains, *kinds)
        if timeline is not None:
            return timeline
    return run.result(process_order)


def watch(
    schedule: Schedule,
    links: Sequence[Link],
    service: Service,
    clocking: Clocking,
    frames: int,
    trace: Trace | OneFrame,
    until_ps: int,
    *,
    tokens: Tokens | None = None,
    arbitration: Mapping[str, str] | None = None,
    domains: Sequence[Domain] = (),
) -> None:
    """Run the engine as `simulate` does, for ``trace`` alone, and leave off once ``until_ps`` is over."""
    run = _Run(schedule, links, service, clocking, frames, tokens or {}, arbitration or {}, domains, None, trace)
    run.start()
    run.env.run(until=until_ps // run.tick + 1)


def _check_length(service: Service, clocking: Clocking, frames: int) -> None:
    """Raise InputError for a run that is too long whatever its jobs wait for: the sum over all of them, one by one."""
    longest = float(frames) * clocking.frame_period_ps
    for (_, member), cycles in service.items():
        longest += float(np.broadcast_to(cycles, (frames,)).sum(dtype=np.float64)) * clocking.period_ps[member]
    if longest >= NEVER:
        raise _too_long(longest)


def _too_long(ps: float) -> InputError:
    return InputError.of(
        f"the run would last {ps * 1e-12:.3g} s, more than the {NEVER * 1e-12:.3g} s that can be counted in "
        "picoseconds",
        hint="look at the chip's clocks, its times (read_time, rate, latency, wake) and its frame period",
    )


_FEWEST_REPEATS = 4
_LOOKED_AT_FIRST = 64


def _kinds(
    schedule: Schedule, service: Service, clocking: Clocking, frames: int, arbitration: Mapping[str, str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return a frame of each kind and the kind of every frame, if frames can repeat: equal service, equal clock phases.

    None where they cannot, or hardly do: back-to-back, with copies that take turns, an arbiter that remembers who was
    served last, clocks out of step with the frames, components that run ahead of the frames.
    """
    period = clocking.frame_period_ps
    in_step = all(period % clock == 0 for clock in clocking.period_ps.values())
    led = [[job for job in schedule.of(leader) if not job.once] for leader in schedule.leaders()]
    only_at_first = {channel for job in schedule.jobs if job.once for channel in job.gives}
    waits_for_arrival = all(jobs[0].paced or {*jobs[0].takes} - only_at_first for jobs in led if jobs)
    if not period or not in_step or not waits_for_arrival:
        return None
    if schedule.period() > 1 or "round_robin" in arbitration.values():
        return None
    columns = [np.broadcast_to(cycles, (frames,)) for cycles in service.values()]
    if schedule.starts_up():
        columns.append(np.arange(frames) == 0)
    varied = [column for column in columns if (column != column[0]).any()]
    if not varied:
        return (np.zeros(1, np.int64), np.zeros(frames, np.int64)) if frames >= _FEWEST_REPEATS else None
    table = np.stack(varied, axis=1)
    for part in (table[:_LOOKED_AT_FIRST], table):
        _, examples, kinds = np.unique(part, axis=0, return_index=True, return_inverse=True)
        if len(examples) * _FEWEST_REPEATS > len(part):
            return None
    return examples, kinds.reshape(-1)


def _repeated(
    run: _Run,
    schedule: Schedule,
    links: Sequence[Link],
    service: Service,
    clocking: Clocking,
    arbitration: Mapping[str, str],
    domains: Sequence[Domain],
    examples: NDArray[np.int64],
    kinds: NDArray[np.int64],
) -> Timeline | None:
    """Return the timeline of a run in real time from one frame of each kind; None where a frame meets the one before.

    A frame that finds every component idle, every channel empty and every domain in its deepest state goes as its kind
    does, whatever came before it.
    """
    counts = np.bincount(kinds)
    ends = np.cumsum(counts)
    started, finished = np.zeros(len(examples), np.int64), np.zeros(len(examples), np.int64)
    for kind, (example, count) in enumerate(zip(examples, counts, strict=True)):
        of_one = {key: np.broadcast_to(cycles, (run.frames,))[[example]] for key, cycles in service.items()}
        one = _Run(schedule, links, of_one, clocking, 1, {}, arbitration, domains, None, None, first=int(example))
        one.result(None)
        asleep = all(sleeper.rests_by(one.frame_ticks) for sleeper in one.sleepers.values())
        if one.env.now >= one.frame_ticks or not asleep:
            return None
        run.add(one, int(count))
        started[kind], finished[kind] = one.started[0], one.finished[0]
        if run.progress is not None:
            run.progress(int(ends[kind]))
    arrived = np.arange(run.frames) * run.frame_ticks
    run.arrived, run.finished = arrived.tolist(), (arrived + finished[kinds]).tolist()
    run.started = np.where(started[kinds] == NEVER, NEVER, arrived + started[kinds]).tolist()
    return run.timeline(run.frames * run.frame_ticks)


class _Plan(NamedTuple):
    """What a leader needs of one of its jobs: ticks per frame, (channel, taken and freed per frame), shared members.

    ``sleepers``: power domains, and whether it needs each of them in a frame.
    """

    job: Job
    durations: list[int]
    takes: list[tuple[Channel, list[int], list[int]]]
    gives: list[Channel]
    shared: list[str]
    sleepers: list[tuple[Sleeper, list[bool]]]


class _Run:
    """State of one run: channels, arbiters, running sums."""

    def __init__(
        self,
        schedule: Schedule,
        links: Sequence[Link],
        service: Service,
        clocking: Clocking,
        frames: int,
        tokens: Tokens,
        arbitration: Mapping[str, str],
        domains: Sequence[Domain],
        progress: Callable[[int], None] | None,
        trace: Trace | OneFrame | None,
        first: int = 0,
    ) -> None:
        _check(schedule)
        _check_tokens(schedule, tokens, frames)
        self.env = simpy.Environment()
        self.schedule = schedule
        self.clocking = clocking
        self.frames = frames
        self.first = first  # where it begins among the frames of a longer run
        self.turns = schedule.turns_of(range(first, first + frames))
        self.progress = progress
        self.told_every = max(frames // _TIMES_TOLD, 1)
        self.trace = trace
        self.tick = clocking.tick_ps()
        self.scale = {name: period // self.tick for name, period in clocking.period_ps.items()}
        self.frame_ticks = clocking.frame_period_ps // self.tick
        rated = {channel for _, channel in tokens}
        self.unused = [schedule.unused_in(turn) - rated for turn in range(schedule.turns())]
        self.channels = {
            link.name(): Channel(self.env, link.name(), link.capacity, link.latency * self.scale[link.consumer])
            for link in links
        }
        users: dict[str, list[str]] = {}
        for job in schedule.jobs:
            for member in job.members():
                leaders = users.setdefault(member, [])
                if job.component not in leaders:
                    leaders.append(job.component)
        shared = sorted(name for name, leaders in users.items() if len(leaders) > 1)
        self.arbiters = {
            name: Arbiter(self.env, users[name], arbitration.get(name, "oldest_first"), turn)
            for turn, name in enumerate(shared)
        }
        each = [1] * frames
        self.tokens = {(job.name, channel): (each, each) for job in schedule.jobs for channel in job.takes}
        self.tokens |= {key: (taken.tolist(), freed.tolist()) for key, (taken, freed) in tokens.items()}
        self.service = {key: np.broadcast_to(cycles, (frames,)) * self.scale[key[1]] for key, cycles in service.items()}
        self.ticks = {name: Ticks() for name in clocking.period_ps}
        self.arrived = [0] * frames
        self.started = [NEVER] * frames
        self.finished = [0] * frames
        self.job_ticks = dict.fromkeys((job.name for job in schedule.jobs), 0)
        self.worked = 0
        self.works_until = 0
        self.domains = domains
        self.sleepers = {domain.name: Sleeper(domain.states, self.tick) for domain in domains}
        self.doing: dict[str, tuple[str, str, int, str] | None] = {}
        """What each leader waits for: (how, job, frame, of whom); put into words only when the run is stuck."""

    def start(self, process_order: Sequence[str] | None = None) -> None:
        for name in process_order or self.schedule.leaders():
            self.env.process(self._component(name))

    def result(self, process_order: Sequence[str] | None) -> Timeline:
        self.start(process_order)
        self.env.run()
        self._check_complete()
        end = max(int(self.env.now), self.frames * self.frame_ticks)
        if end * self.tick >= NEVER:
            raise _too_long(end * self.tick)
        for sleeper in self.sleepers.values():
            sleeper.rest(end)
        return self.timeline(end)

    def add(self, one: _Run, times: int) -> None:
        """Book what another run took as if it had happened here so many times."""
        for name, ticks in one.ticks.items():
            mine = self.ticks[name]
            mine.busy += times * ticks.busy
            mine.engaged += times * ticks.engaged
            mine.wait_input += times * ticks.wait_input
            mine.wait_output += times * ticks.wait_output
        self.worked += times * one.worked
        for domain, sleeper in one.sleepers.items():
            self.sleepers[domain].add(sleeper, times)
        for job, spent in one.job_ticks.items():
            self.job_ticks[job] += times * spent
        for name, channel in one.channels.items():
            self.channels[name].peak = max(self.channels[name].peak, channel.peak)

    def _work(self, begin: int, end: int) -> None:
        """Book that the chip is at work from ``begin``, which is now, to ``end``: time is counted once.

        ``end`` lies after all that is booked; who calls sees to it, because it is asked for every job.
        """
        self.worked += end - max(begin, self.works_until)
        self.works_until = end

    def _component(self, name: str) -> Generator[simpy.Event, Any, None]:
        """Run every job that ``name`` leads, in order, for every frame."""
        env: Any = self.env  # simpy types its clock as float; here it only ever holds integers
        now = env.now  # looking it up each time would be a tenth of the run
        ticks, scale, trace = self.ticks[name], self.scale[name], self.trace
        jobs = [(job, self._book(job)) for job in self.schedule.of(name)]
        plans = [
            [self._plan(job, durations, unused) for job, durations in jobs if job.runs_in(turn)]
            for turn, unused in enumerate(self.unused)
        ]
        for frame in range(self.frames):
            arrival = frame * self.frame_ticks
            for job, durations, takes, gives, shared, sleepers in plans[self.turns[frame]]:
                waited_from = now
                if job.paced and now < arrival:
                    self.doing[name] = ("for the frame to arrive", job.name, frame, "")
                    yield env.timeout(arrival - now)
                    now = arrival
                # Nobody sees when a job takes its tokens or starts, so that it waits once, for its end. While a token
                # is on its way the chip is at work already.
                ready = now
                for channel, taken, _ in takes:
                    count = taken[frame]
                    seen_at = channel.arrival(count)
                    if seen_at is None:
                        what = "for a token on" if count == 1 else f"for {count} tokens on"
                        self.doing[name] = (what, job.name, frame, channel.name)
                        yield channel.wait_for_tokens(count)
                        now, seen_at = env.now, channel.arrival(count)
                        if now > ready:
                            ready = now
                    if seen_at > ready:
                        ready = seen_at
                    channel.take(count)
                if shared:
                    if ready > now:
                        yield env.timeout(ready - now)
                    for member in shared:
                        self.doing[name] = ("to get", job.name, frame, member)
                        yield self.arbiters[member].request(name)
                    now = ready = env.now
                if scale > 1:
                    ready += -ready % scale
                start, duration = ready, durations[frame]
                if sleepers and (needed := [sleeper for sleeper, needs in sleepers if needs[frame]]):
                    if ready > now:
                        if ready > self.works_until:
                            self._work(now, ready)
                        yield env.timeout(ready - now)
                        now = ready
                    awake = max(sleeper.awake_at(now) for sleeper in needed)
                    start = awake + -awake % scale
                    for sleeper in needed:
                        sleeper.until = max(sleeper.until, start + duration)
                end = start + duration
                if end > self.works_until:
                    self._work(now, end)
                if end > now:
                    yield env.timeout(end - now)
                    now = end
                # Before its frame has arrived a component has nothing to wait for: that time is idle.
                waited_from = max(waited_from, min(arrival, start))
                ticks.wait_input += start - waited_from
                if trace is not None:
                    trace.waited(name, job.name, frame, "wait_input", waited_from, start)
                if job.paced:
                    self.arrived[frame] = arrival if self.frame_ticks else ready
                elif start < self.started[frame]:
                    self.started[frame] = start

                for member in shared:
                    self.arbiters[member].release()
                for channel, _, freed in takes:
                    channel.free(freed[frame], now)
                if trace is not None:
                    busy = [(member, int(self.service[job.name, member][frame])) for member in job.members()]
                    trace.ran(job.name, frame, start, now, busy)
                    for channel, _, _ in takes:
                        trace.depth(channel.name, now, channel.used)

                ended = now
                for channel in gives:
                    if channel.full():
                        self.doing[name] = ("for room on", job.name, frame, channel.name)
                        yield channel.wait_for_slot()
                        now = env.now
                    channel.put(now)
                    if now + channel.latency > self.works_until:
                        self._work(now, now + channel.latency)
                    if trace is not None:
                        trace.depth(channel.name, now, channel.used)
                ticks.wait_output += now - ended
                if trace is not None:
                    trace.waited(name, job.name, frame, "wait_output", ended, now)
                if job.last:
                    self.finished[frame] = now
                    if self.progress is not None and (frame + 1) % self.told_every == 0:
                        self.progress(frame + 1)
        self.doing[name] = None

    def _book(self, job: Job) -> list[int]:
        """Book the work of a job in all frames and return its ticks per frame, the longest of its members'."""
        scale = self.scale[job.component]
        longest = np.max([self.service[job.name, member] for member in job.members()], axis=0)
        longest = -(-longest // scale) * scale
        mine = slice(0) if job.once and self.first else job.frames()
        self.job_ticks[job.name] = spent = int(longest[mine].sum())
        for member in job.members():
            self.ticks[member].busy += int(self.service[job.name, member][mine].sum())
            self.ticks[member].engaged += spent
        return longest.tolist()

    def _plan(self, job: Job, durations: list[int], unused: frozenset[str]) -> _Plan:
        return _Plan(
            job,
            durations,
            [(self.channels[name], *self.tokens[job.name, name]) for name in job.takes if name not in unused],
            [self.channels[name] for name in job.gives if name not in unused],
            # Shared members are taken in one global order: two leaders that want the same two never block each other.
            sorted(member for member in job.members() if member in self.arbiters),
            [
                (self.sleepers[domain.name], np.any(list(mine), axis=0).tolist())
                for domain in self.domains
                if (mine := [self.service[job.name, m] > 0 for m in job.members() if m in domain.members])
            ],
        )

    def _check_complete(self) -> None:
        stuck = [
            f"{name} waits in {what[1]} (frame {what[2]}) {what[0]} {what[3]}".rstrip()
            for name, what in sorted(self.doing.items())
            if what is not None
        ]
        left = [f"{c.name} holds {c.used} of {c.capacity}" for c in self.channels.values() if c.used]
        if stuck or left:
            raise DeadlockError("the run stopped before all work was done:\n  " + "\n  ".join(stuck + left))

    def timeline(self, end: int) -> Timeline:
        """Return the books of a run that ended at a tick."""
        cycles: dict[str, dict[str, int]] = {}
        total: dict[str, int] = {}
        leaders = set(self.schedule.leaders())
        for name, ticks in self.ticks.items():
            scale = self.scale[name]
            total[name] = -(-end // scale)
            # A member that waits for a slower one is held up at its input; a leader's own waits come on top.
            waits = {
                "busy": ticks.busy // scale,
                "wait_input": (ticks.engaged - ticks.busy + (ticks.wait_input if name in leaders else 0)) // scale,
                "wait_output": ticks.wait_output // scale,
            }
            cycles[name] = {**waits, "idle": total[name] - sum(waits.values())}
        lead_scale = {job.name: self.scale[job.component] for job in self.schedule.jobs}
        assert all(set(states) == set(STATES) for states in cycles.values())
        return Timeline(
            cycles=cycles,
            total=total,
            duration_ps=end * self.tick,
            arrived_ps=np.asarray(self.arrived, np.int64) * self.tick,
            started_ps=np.asarray(self.started, np.int64) * self.tick,
            finished_ps=np.asarray(self.finished, np.int64) * self.tick,
            job_cycles={name: ticks // lead_scale[name] for name, ticks in self.job_ticks.items()},
            channel_peak={name: channel.peak for name, channel in self.channels.items()},
            worked_ps=self.worked * self.tick,
            asleep_ps={
                domain.name: {
                    state.name: ticks * self.tick
                    for state, ticks in zip(domain.states, self.sleepers[domain.name].asleep, strict=True)
                }
                for domain in self.domains
            },
            waking_ps={name: sleeper.waking * self.tick for name, sleeper in self.sleepers.items()},
            wakes={name: sleeper.wakes for name, sleeper in self.sleepers.items()},
        )


def _check(schedule: Schedule) -> None:
    """Raise ValueError for a schedule whose cycles could not be booked: a mistake in accelsim, not of the user."""
    leaders = schedule.leaders()
    ends: dict[tuple[str, str], str] = {}
    for job in schedule.jobs:
        for member in job.lockstep:
            if member in leaders:
                raise ValueError(f"{member} leads jobs and is also in lock-step with {job.component}")
        for verb, channels in (("taken from", job.takes), ("given to", job.gives)):
            for channel in channels:
                other = ends.setdefault((verb, channel), job.component)
                if other != job.component:
                    raise ValueError(f"{channel} is {verb} by {other} and {job.component}")


def _check_tokens(schedule: Schedule, tokens: Tokens, frames: int) -> None:
    """Raise ValueError for token rates that do not come out even: a mistake in accelsim, not of the user."""
    unknown = set(tokens) - {(job.name, channel) for job in schedule.jobs for channel in job.takes}
    if unknown:
        raise ValueError("{} takes nothing from {}".format(*min(unknown)))
    left: Counter[str] = Counter()
    for job in schedule.jobs:
        one = np.zeros(frames, np.int64)
        one[job.frames()] = 1
        for channel in job.gives:
            left[channel] += int(one.sum())
        for channel in job.takes:
            taken, freed = tokens.get((job.name, channel), (one, one))
            what = f"tokens that {job.name} takes from {channel} and frees"
            if taken.shape != (frames,) or freed.shape != (frames,) or (taken < 0).any() or (freed < 0).any():
                raise ValueError(f"{what} must be counts of {frames} frames")
            if taken[one == 0].any() or freed[one == 0].any():
                raise ValueError(f"{what} in a frame in which it has no work")
            if (np.cumsum(freed) > np.cumsum(taken)).any() or taken.sum() != freed.sum():
                raise ValueError(f"{what} must all be freed, and none before it is taken")
            left[channel] -= int(taken.sum())
    for _, channel in sorted(tokens):
        if left[channel]:
            raise ValueError(f"{left[channel]} more tokens are put on {channel} than are taken")
