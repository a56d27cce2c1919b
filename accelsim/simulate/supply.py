"""How long each component worked, waited with and without its clock, and was switched off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from accelsim.schedule.job import Schedule, part_of
from accelsim.simulate.engine import Timeline
from accelsim.simulate.ledger import PowerTimes


@dataclass(frozen=True)
class Supply:
    """How a component is clocked and supplied: its instances, clock period, gates; ``domain``: what it sleeps with."""

    instances: int
    period_ps: int
    clock_gated: bool = True
    domain: str | None = None


def power_times(schedule: Schedule, timeline: Timeline, supplies: Mapping[str, Supply]) -> dict[str, PowerTimes]:
    """Return the times of each component, summed over its instances; they add up to instances x run."""
    active: dict[str, int] = dict.fromkeys(supplies, 0)
    for member, states in timeline.cycles.items() if supplies else ():
        supply = supplies[part_of(member)]
        at_work = schedule.instances.get(member, supply.instances)
        active[part_of(member)] += states["busy"] * supply.period_ps * at_work
    found = {}
    for name, supply in supplies.items():
        whole, asleep = supply.instances * timeline.duration_ps, timeline.asleep_ps.get(supply.domain or "", {})
        off = {state: supply.instances * spent for state, spent in asleep.items()}
        waking = supply.instances * timeline.waking_ps.get(supply.domain or "", 0)
        # A router is one instance, though each of its links may be at work.
        worked = min(active[name], whole - sum(off.values()) - waking)
        idle = whole - worked - sum(off.values()) - waking
        clocked, gated = (0, idle) if supply.clock_gated else (idle, 0)
        found[name] = PowerTimes(whole, worked, clocked, gated, waking, off)
    return found
