"""Where every cycle of every component went, and how often it did what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STATES = ("busy", "wait_input", "wait_output", "idle")


@dataclass(frozen=True)
class PowerTimes:
    """Times of a component in ps, summed over its instances: all = active + clocked + gated + waking + off.

    ``active``: at work; ``clocked`` and ``gated``: supplied and idle, with and without its clock; ``waking``: while its
    power domain is switched on again; ``off``: asleep, by the state of rest, ``off`` of a switched domain.
    """

    all: int
    active: int
    clocked: int
    gated: int
    waking: int = 0
    off: Mapping[str, int] = field(default_factory=dict)

    def shares(self) -> dict[str, float]:
        """Return each of them as a share of all."""
        spent = {"active": self.active, "clocked": self.clocked, "gated": self.gated, "waking": self.waking}
        return {state: ps / self.all for state, ps in {**spent, **self.off}.items()} if self.all else {}


@dataclass(frozen=True)
class Ledger:
    """Cycles per component and state, and counts per component and action, over a whole run.

    ``cycles[component][state]`` in cycles of that component's clock, ``total[component]`` the length of the run in
    the same unit, ``counts[component][action]``; ``power[component]``: how it was clocked and supplied; ``wakes``: how
    often each power domain was switched on again.
    """

    cycles: Mapping[str, Mapping[str, int]]
    total: Mapping[str, int]
    counts: Mapping[str, Mapping[str, int]]
    power: Mapping[str, PowerTimes] = field(default_factory=dict)
    wakes: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Ticks:
    """Running sums of one component, in ticks, while the engine runs."""

    busy: int = 0
    wait_input: int = 0
    wait_output: int = 0
    engaged: int = field(default=0)
    """Ticks in which the component belonged to a running job, busy or held up by a slower member."""
