"""The event engine as a plain loop over ticks: at every tick, look at everybody.

A tick is the greatest common divisor of all clock periods. Written from the engine's docstrings:

- a leader runs its jobs in order, frame after frame; a job of a copy only in every so many frames, one that is done
  once only in the first, and a channel is left alone in frames in which one of its ends has no work;
- a paced job waits for its frame; a job takes a token from each of its channels (seen ``latency`` cycles after it was
  put), then gets the members that several leaders share in the order of their names, then waits for its clock's edge;
- of a channel for which the job has rates it takes ``taken[frame]`` tokens and lets go of ``freed[frame]`` slots
  instead of one, and that channel carries a token whenever its producer works;
- it lasts as long as its slowest member, rounded up to its own clock; then it lets go of members and slots, and puts
  a token on each of its channels as soon as there is room;
- a power domain is asleep when no job with work for one of its members has held it for the ``after`` of a state; a job
  that is ready at its clock's edge wakes it, holds it until it ends, and starts at the first edge at which all domains
  that it holds are awake; before the first job every domain is in its last state;
- who gets a shared member is decided at the end of an instant, the members in the order of their names.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

PATIENCE = 400
"""Ticks without any change after which the loop is stuck: longer than any single wait of small jobs."""


@dataclass
class Wire:
    capacity: int
    latency: int
    seen_at: deque[int] = field(default_factory=deque)
    used: int = 0
    peak: int = 0
    """Most slots in use at the end of a tick's instant."""


@dataclass
class Shared:
    """A member that several leaders want."""

    leaders: list[str]
    policy: str
    holder: str | None = None
    last: int = -1
    asked_at: dict[str, int] = field(default_factory=dict)

    def choose(self) -> str:
        asking = [leader for leader in self.leaders if leader in self.asked_at]
        if self.policy == "fixed_priority":
            return asking[0]
        if self.policy == "round_robin":
            for step in range(1, len(self.leaders) + 1):
                leader = self.leaders[(self.last + step) % len(self.leaders)]
                if leader in asking:
                    return leader
        oldest = min(self.asked_at.values())
        return next(leader for leader in asking if self.asked_at[leader] == oldest)


@dataclass
class Leader:
    name: str
    jobs: list
    scale: int
    job: int = 0
    frame: int = 0
    phase: str = "arrive"
    at: int = 0
    """How far it is within its phase: which token, which member."""
    started: int = 0
    ends: int = 0


@dataclass
class Room:
    """A power domain: its members, and (after, wake) of each state of rest in ticks."""

    members: frozenset[str]
    states: list[tuple[int, int]]
    held_by: set[str] = field(default_factory=set)
    idle_since: int = 0
    awake_at: int = 0
    wakes: int = 0
    spent: Counter = field(default_factory=Counter)

    def state(self, now: int) -> int | None:
        """Which state of rest it is in, None when it is awake or waking."""
        if self.held_by:
            return None
        reached = [place for place, (after, _) in enumerate(self.states) if now - self.idle_since >= after]
        return reached[-1] if reached else None

    def spend_a_tick(self, now: int) -> None:
        self.spent["waking" if self.held_by and now < self.awake_at else self.state(now)] += 1


def works_in(job, frame: int) -> bool:
    return frame == 0 if job.once else frame % job.copies == job.copy


class Stuck(Exception):
    """Nothing moves any more and not all work is done."""


class TickLoop:
    """Run it by making one; the attributes then hold what the engine's Timeline holds, in ticks."""

    def __init__(
        self,
        jobs,
        links,
        service,
        period_ps,
        frame_period_ps,
        frames,
        arbitration,
        tokens=None,
        patience=PATIENCE,
        domains=(),
    ) -> None:
        self.patience = patience
        self.tick = next(
            tick for tick in range(min(period_ps.values()), 0, -1)
            if all(p % tick == 0 for p in (*period_ps.values(), frame_period_ps))
        )  # fmt: skip
        self.scale = {name: period // self.tick for name, period in period_ps.items()}
        self.frame_ticks = frame_period_ps // self.tick
        self.frames, self.service, self.tokens = frames, service, tokens or {}
        self.rated = [channel for _, channel in self.tokens]
        self.ends: dict[str, dict[str, list]] = {"gives": {}, "takes": {}}
        for job in jobs:
            for end, channels in self.ends.items():
                for channel in getattr(job, end):
                    channels.setdefault(channel, []).append(job)
        self.wires = {link.name(): Wire(link.capacity, link.latency * self.scale[link.consumer]) for link in links}
        names = list(dict.fromkeys(job.component for job in jobs))
        self.leaders = [Leader(n, [j for j in jobs if j.component == n], self.scale[n]) for n in names]
        wanted: dict[str, list[str]] = {}
        for job in jobs:
            for member in job.members():
                if job.component not in wanted.setdefault(member, []):
                    wanted[member].append(job.component)
        self.shared = {
            member: Shared(leaders, arbitration.get(member, "oldest_first"))
            for member, leaders in sorted(wanted.items())
            if len(leaders) > 1
        }
        self.rooms = {}
        for domain in domains:
            ticks = [(-(-s.after_ps // self.tick), -(-s.wake_ps // self.tick)) for s in domain.states]
            self.rooms[domain.name] = Room(domain.members, ticks, idle_since=-ticks[-1][0])
        self.spent: Counter = Counter()
        self.arrived, self.started, self.finished = [0] * frames, [2**62] * frames, [0] * frames
        self.job_ticks: Counter = Counter()
        # Tick by tick, what a trace has to show.
        self.doing: dict[tuple[str, int], tuple[str, str, int]] = {}
        self.running: dict[int, list[tuple[str, int]]] = {}
        self.depth: Counter = Counter()
        self.worked = 0
        """Ticks in which a job ran or waited for its clock's edge, or a token was on its way."""
        self.now = 0
        self._run()

    def _run(self) -> None:
        unchanged = 0
        while any(leader.phase != "done" for leader in self.leaders):
            unchanged = 0 if self._instant() else unchanged + 1
            if unchanged > self.patience:
                raise Stuck
            for leader in self.leaders:
                self._spend_a_tick(leader)
            if any(leader.phase != "done" for leader in self.leaders):
                for room in self.rooms.values():
                    room.spend_a_tick(self.now)
            under_way = any(seen > self.now for wire in self.wires.values() for seen in wire.seen_at)
            if under_way or any(leader.phase in ("run", "edge", "wake") for leader in self.leaders):
                self.worked += 1
            for name, wire in self.wires.items():
                self.depth[name, self.now] = wire.used
                wire.peak = max(wire.peak, wire.used)
            self.now += 1
        # The tick in which the last one was done has been counted, though nobody did anything in it.
        self.end = max(self.now - 1, self.frames * self.frame_ticks)
        for room in self.rooms.values():
            for now in range(self.now - 1, self.end):
                room.spend_a_tick(now)
        if any(wire.used for wire in self.wires.values()):
            raise Stuck

    def _instant(self) -> bool:
        """Let everything happen that happens at this tick; tell whether anything did."""
        changed = False
        while True:
            while any([self._step(leader) for leader in self.leaders]):
                changed = True
            free = [s for s in self.shared.values() if s.holder is None and s.asked_at]
            if not free:
                return changed
            member = free[0]
            member.holder = member.choose()
            member.last = member.leaders.index(member.holder)
            del member.asked_at[member.holder]
            changed = True

    def _step(self, leader: Leader) -> bool:
        """Move one leader on by one phase, if it can be."""
        if leader.phase == "done":
            return False
        job, frame, now = leader.jobs[leader.job], leader.frame, self.now
        if not works_in(job, frame):
            return self._next_job(leader)
        takes = [name for name in job.takes for _ in range(self._rate(job, name, frame, 0))]
        frees = [name for name in job.takes for _ in range(self._rate(job, name, frame, 1))]
        gives = [name for name in job.gives if name in self.rated or self._works(frame, "takes", name)]
        members = sorted(m for m in job.members() if m in self.shared)
        if leader.phase == "arrive":
            if job.paced and now < frame * self.frame_ticks:
                return False
            return self._enter(leader, "take")
        if leader.phase == "take":
            if leader.at == len(takes):
                return self._enter(leader, "members")
            tokens = self.wires[takes[leader.at]].seen_at
            if not tokens or tokens[0] > now:
                return False
            tokens.popleft()
            leader.at += 1
            return True
        if leader.phase == "members":
            if leader.at == len(members):
                return self._enter(leader, "edge")
            member = self.shared[members[leader.at]]
            if member.holder == leader.name:
                leader.at += 1
                return True
            if leader.name not in member.asked_at:
                member.asked_at[leader.name] = now
                return True
            return False
        if leader.phase == "edge":
            if now % leader.scale:
                return False
            if job.paced:
                self.arrived[frame] = frame * self.frame_ticks if self.frame_ticks else now
            for room in self._needed(job, frame):
                state = room.state(now)
                if state is not None:
                    room.awake_at = now + room.states[state][1]
                    room.wakes += 1
                room.held_by.add(leader.name)
            return self._enter(leader, "wake")
        if leader.phase == "wake":
            if now % leader.scale or any(now < room.awake_at for room in self._needed(job, frame)):
                return False
            if not job.paced:
                self.started[frame] = min(self.started[frame], now)
            leader.started = now
            leader.ends = now + max(self._ticks(job, member, frame) for member in job.members())
            while leader.ends % leader.scale:
                leader.ends += 1
            self.job_ticks[job.name] += leader.ends - now
            return self._enter(leader, "run")
        if leader.phase == "run":
            if now < leader.ends:
                return False
            for member in members:
                self.shared[member].holder = None
            for name in frees:
                self.wires[name].used -= 1
            for room in self._needed(job, frame):
                room.held_by.discard(leader.name)
                room.idle_since = now
            return self._enter(leader, "put")
        if leader.at < len(gives):
            wire = self.wires[gives[leader.at]]
            if wire.used == wire.capacity:
                return False
            wire.used += 1
            wire.seen_at.append(now + wire.latency)
            leader.at += 1
            return True
        if job.last:
            self.finished[frame] = now
        return self._next_job(leader)

    def _next_job(self, leader: Leader) -> bool:
        leader.job += 1
        if leader.job == len(leader.jobs):
            leader.job, leader.frame = 0, leader.frame + 1
        return self._enter(leader, "done" if leader.frame == self.frames else "arrive")

    def _rate(self, job, channel: str, frame: int, which: int) -> int:
        """How many tokens a job takes (0) or frees (1) in a frame."""
        if (job.name, channel) in self.tokens:
            return int(self.tokens[job.name, channel][which][frame])
        return 1 if self._works(frame, "gives", channel) else 0

    def _works(self, frame: int, end: str, channel: str) -> bool:
        """Whether any job at one end of a channel has work in a frame."""
        jobs = self.ends[end].get(channel, [])
        return not jobs or any(works_in(job, frame) for job in jobs)

    def _enter(self, leader: Leader, phase: str) -> bool:
        leader.phase, leader.at = phase, 0
        return True

    def _ticks(self, job, member: str, frame: int) -> int:
        return int(self.service[job.name, member][frame]) * self.scale[member]

    def _needed(self, job, frame: int) -> list:
        """The domains in which one of a job's members has work in a frame."""
        working = {member for member in job.members() if self._ticks(job, member, frame)}
        return [room for room in self.rooms.values() if working & room.members]

    def _spend_a_tick(self, leader: Leader) -> None:
        if leader.phase in ("arrive", "take", "members", "edge", "wake"):
            if self.now >= leader.frame * self.frame_ticks:
                self._spend(leader, leader.name, "wait_input")
        elif leader.phase == "put":
            self._spend(leader, leader.name, "wait_output")
        elif leader.phase == "run":
            job = leader.jobs[leader.job]
            self.running.setdefault(self.now, []).append((job.name, leader.frame))
            for member in job.members():
                works = self.now < leader.started + self._ticks(job, member, leader.frame)
                self._spend(leader, member, "busy" if works else "wait_input")

    def _spend(self, leader: Leader, component: str, state: str) -> None:
        assert (component, self.now) not in self.doing, "nobody does two things at once"
        self.spent[component, state] += 1
        self.doing[component, self.now] = (state, leader.jobs[leader.job].name, leader.frame)
