"""Where every cycle of every component went, and how often it did what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STATES = ("busy", "wait_input", "wait_output", "idle")


@dataclass(frozen=True)
class Ledger:
    """Cycles per component and state, and counts per component and action, over a whole run.

    ``cycles[component][state]`` in cycles of that component's clock, ``total[component]`` the length of the run in
    the same unit, ``counts[component][action]``.
    """

    cycles: Mapping[str, Mapping[str, int]]
    total: Mapping[str, int]
    counts: Mapping[str, Mapping[str, int]]


@dataclass
class Ticks:
    """Running sums of one component, in ticks, while the engine runs."""

    busy: int = 0
    wait_input: int = 0
    wait_output: int = 0
    engaged: int = field(default=0)
    """Ticks in which the component belonged to a running job, busy or held up by a slower member."""
