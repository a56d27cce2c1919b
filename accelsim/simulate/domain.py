"""Power domains as the engine sees them: what falls asleep together, and what the next job waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sleep:
    """A state of rest: entered ``after_ps`` without a job, left in ``wake_ps``, both in picoseconds."""

    name: str
    after_ps: int
    wake_ps: int


@dataclass(frozen=True)
class Domain:
    """Components that rest together: ``members`` by name, copies in tiles apart, and the ``states``, lightest first.

    It is at work from the start to the end of every job in which a member has work, and awake until it has been idle
    for the ``after_ps`` of its first state. When a job is ready for which it must be awake, the job waits for as long
    as the state takes that the domain has come to, and others that need it wait with it. It then stays awake for the
    job, though that may wait for more. A run begins with every domain in its deepest state, as it waits for work.
    """

    name: str
    members: frozenset[str]
    states: tuple[Sleep, ...]


class Sleeper:
    """A domain while the engine runs; times in ticks, every span of a state rounded up to a whole one."""

    __slots__ = ("_after", "_ready", "_wake", "asleep", "until", "wakes", "waking")

    def __init__(self, states: Sequence[Sleep], tick_ps: int) -> None:
        self._after = [-(-state.after_ps // tick_ps) for state in states]
        self._wake = [-(-state.wake_ps // tick_ps) for state in states]
        self._ready = 0
        self.until = -self._after[-1]
        """Until when it has been at work, or will be."""
        self.asleep = [0] * len(states)
        self.waking = 0
        self.wakes = 0

    def awake_at(self, now: int) -> int:
        """Wake it for a job that is ready now, unless it is awake or waking, and return when it is awake."""
        idle = now - self.until
        state = sum(idle >= after for after in self._after)
        if not state:
            return max(now, self._ready)
        self.rest(now)
        self.wakes += 1
        self.waking += self._wake[state - 1]
        self._ready = now + self._wake[state - 1]
        return self._ready

    def rests_by(self, end: int) -> bool:
        """Return whether it has come to its deepest state when a tick begins."""
        return end - self.until >= self._after[-1]

    def add(self, other: Sleeper, times: int) -> None:
        """Book what another one took as if it had happened here so many times."""
        self.asleep = [mine + times * theirs for mine, theirs in zip(self.asleep, other.asleep, strict=True)]
        self.waking += times * other.waking
        self.wakes += times * other.wakes

    def rest(self, end: int) -> None:
        """Book what it has been asleep from its last work until ``end``."""
        begins = [max(self.until + after, 0) for after in self._after]
        for state, (begin, over) in enumerate(zip(begins, [*begins[1:], end], strict=True)):
            self.asleep[state] += max(min(over, end) - begin, 0)


def in_ticks(domains: Sequence[Domain], tick_ps: int) -> list[tuple[str, tuple[str, ...], list[tuple[str, int, int]]]]:
    """Return all that the engine reads of domains: names, members, and spans in ticks."""
    return [
        (
            domain.name,
            tuple(sorted(domain.members)),
            [(state.name, -(-state.after_ps // tick_ps), -(-state.wake_ps // tick_ps)) for state in domain.states],
        )
        for domain in domains
    ]
