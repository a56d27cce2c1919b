"""Who gets a component that several leaders want."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import simpy

# Requests of one instant are collected first and granted after all its other events, one arbiter after the other, so
# that the outcome does not depend on the order in which simpy happens to run the processes.
_AFTER_ALL_OTHERS = 2

POLICIES = ("oldest_first", "fixed_priority", "round_robin")


class Arbiter:
    """Grants one component to one leader at a time.

    ``oldest_first``: longest waiting, ties in the order of ``leaders``; ``fixed_priority``: the order of
    ``leaders``; ``round_robin``: the first one after the last grant that asks.
    ``turn``: arbiters with a lower one decide first in an instant, and what follows from their grants comes before the
    next arbiter's decision.
    """

    def __init__(self, env: simpy.Environment, leaders: Sequence[str], policy: str, turn: int = 0) -> None:
        if policy not in POLICIES:
            raise ValueError(f"unknown arbitration policy {policy!r}")
        self.env = env
        self.policy = policy
        self.turn = turn
        self.rank = {leader: i for i, leader in enumerate(leaders)}
        self.holder: str | None = None
        self._last = len(leaders) - 1
        self._waiting: dict[str, tuple[int, simpy.Event]] = {}
        self._deciding = False
        self._decision: Any = simpy.Event(env)  # one at a time, so that the same serves for all
        self._decision._ok, self._decision._value = True, None
        self._decided = [self._decide]

    def request(self, leader: str) -> simpy.Event:
        """Return an event that fires when ``leader`` holds the component."""
        granted = self.env.event()
        self._waiting[leader] = (int(self.env.now), granted)
        if self.holder is None:  # else its release calls for the decision
            self._decide_later()
        return granted

    def release(self) -> None:
        self.holder = None
        if self._waiting:
            self._decide_later()

    def _decide_later(self) -> None:
        if self._deciding:
            return
        self._deciding = True
        self._decision.callbacks = self._decided
        self.env.schedule(self._decision, priority=_AFTER_ALL_OTHERS + self.turn)  # type: ignore[arg-type]

    def _decide(self, _: simpy.Event) -> None:
        self._deciding = False
        if self.holder is not None or not self._waiting:
            return
        self.holder = min(self._waiting, key=self._precedence) if len(self._waiting) > 1 else next(iter(self._waiting))
        self._last = self.rank[self.holder]
        granted: Any = self._waiting.pop(self.holder)[1]
        # Nothing else is left to do in this instant, so that the leader goes on at once instead of by an event.
        granted._ok, granted._value = True, None
        callbacks, granted.callbacks = granted.callbacks, None
        for goes_on in callbacks:
            goes_on(granted)

    def _precedence(self, leader: str) -> tuple[int, int]:
        rank = self.rank[leader]
        if self.policy == "round_robin":
            return ((rank - self._last - 1) % len(self.rank), rank)
        if self.policy == "fixed_priority":
            return (0, rank)
        return (self._waiting[leader][0], rank)
