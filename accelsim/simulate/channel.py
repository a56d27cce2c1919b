"""A bounded link between two components."""

from __future__ import annotations

from collections import deque

import simpy


class Channel:
    """First-in first-out link with ``capacity`` slots and a latency in ticks.

    A slot is taken when the producer puts a token and is free again when the consumer's job ends, because the
    consumer reads from it all the while. A token can be seen ``latency`` ticks after it was put.
    ``peak``: most slots in use at the end of any instant before the last change.
    """

    __slots__ = (
        "_changed_at", "_getter", "_putter", "_seen_at", "_wanted", "capacity", "env", "latency", "name", "peak", "used"
    )  # fmt: skip

    def __init__(self, env: simpy.Environment, name: str, capacity: int, latency: int) -> None:
        self.env = env
        self.name = name
        self.capacity = capacity
        self.latency = latency
        self.used = 0
        self.peak = 0
        self._changed_at = 0
        self._seen_at: deque[int] = deque()
        self._wanted = 0
        self._getter: simpy.Event | None = None
        self._putter: simpy.Event | None = None

    def arrival(self, count: int) -> int | None:
        """Return when the next ``count`` tokens can be seen, or None when not so many are under way."""
        if count > len(self._seen_at):
            return None
        return self._seen_at[count - 1] if count else 0

    def wait_for_tokens(self, count: int) -> simpy.Event:
        """Return an event that fires when the producer has put the last of the next ``count`` tokens."""
        self._wanted = count
        self._getter = self.env.event()
        return self._getter

    def take(self, count: int) -> None:
        """Take the next tokens; their slots stay in use until `free`."""
        for _ in range(count):
            self._seen_at.popleft()

    def free(self, count: int, now: int) -> None:
        """Give the slots of taken tokens back."""
        if not count:
            return
        self._change(-count, now)
        if self._putter is not None:
            putter, self._putter = self._putter, None
            putter.succeed()

    def full(self) -> bool:
        return self.used >= self.capacity

    def wait_for_slot(self) -> simpy.Event:
        """Return an event that fires when a slot becomes free."""
        self._putter = self.env.event()
        return self._putter

    def put(self, now: int) -> None:
        """Put a token into a free slot."""
        self._change(1, now)
        self._seen_at.append(now + self.latency)
        if self._getter is not None and len(self._seen_at) >= self._wanted:
            getter, self._getter = self._getter, None
            getter.succeed()

    def _change(self, slots: int, now: int) -> None:
        # What happens first within an instant must not matter: only what stands at its end counts.
        if now != self._changed_at:
            self._changed_at = now
            if self.used > self.peak:
                self.peak = self.used
        self.used += slots
