"""A bounded link between two components."""

from __future__ import annotations

from collections import deque

import simpy


class Channel:
    """First-in first-out link with ``capacity`` slots and a latency in ticks.

    A slot is taken when the producer puts a token and is free again when the consumer's job ends, because the
    consumer reads from it all the while. A token can be seen ``latency`` ticks after it was put.
    """

    __slots__ = ("_getter", "_putter", "_seen_at", "capacity", "env", "latency", "name", "peak", "used")

    def __init__(self, env: simpy.Environment, name: str, capacity: int, latency: int) -> None:
        self.env = env
        self.name = name
        self.capacity = capacity
        self.latency = latency
        self.used = 0
        self.peak = 0
        self._seen_at: deque[int] = deque()
        self._getter: simpy.Event | None = None
        self._putter: simpy.Event | None = None

    def arrival(self) -> int | None:
        """Return when the next token can be seen, or None when there is none under way."""
        return self._seen_at[0] if self._seen_at else None

    def wait_for_token(self) -> simpy.Event:
        """Return an event that fires when the producer puts a token."""
        self._getter = self.env.event()
        return self._getter

    def take(self) -> None:
        """Take the next token; its slot stays in use until `free`."""
        self._seen_at.popleft()

    def free(self) -> None:
        """Give the slot of a taken token back."""
        self.used -= 1
        if self._putter is not None:
            putter, self._putter = self._putter, None
            putter.succeed()

    def full(self) -> bool:
        return self.used >= self.capacity

    def wait_for_slot(self) -> simpy.Event:
        """Return an event that fires when a slot becomes free."""
        self._putter = self.env.event()
        return self._putter

    def put(self) -> None:
        """Put a token into a free slot."""
        self.used += 1
        self.peak = max(self.peak, self.used)
        self._seen_at.append(int(self.env.now) + self.latency)
        if self._getter is not None:
            getter, self._getter = self._getter, None
            getter.succeed()
