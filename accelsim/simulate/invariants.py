"""Laws that hold in every run, checked at the end of every run."""

from __future__ import annotations

from collections.abc import Mapping

from accelsim.engines.execute import Activity
from accelsim.errors import InvariantError
from accelsim.schedule.job import Schedule, part_of
from accelsim.simulate.engine import Service, Timeline
from accelsim.simulate.ledger import STATES, Ledger
from accelsim.simulate.supply import Supply, power_times


def close_books(
    schedule: Schedule,
    service: Service,
    timeline: Timeline,
    activity: Activity,
    supplies: Mapping[str, Supply] | None = None,
) -> Ledger:
    """Return the ledger of a run after checking it; ``supplies``: how the components are clocked and supplied.

    busy + wait_input + wait_output + idle = total and none below zero, busy = sum of the jobs' service cycles, active +
    clocked + gated + waking + off = all of every component's `PowerTimes`, MACs performed + skipped = dense, every
    count at least zero. Raises InvariantError, which is a bug in accelsim or in a component and never the user's.
    """
    wrong: list[str] = []
    for name, states in timeline.cycles.items():
        if sum(states.values()) != timeline.total[name] or min(states.values()) < 0:
            wrong.append(f"{name}: cycles {states} do not add up to {timeline.total[name]}")
    busy: dict[str, int] = {}
    for (_, name), cycles in service.items():
        busy[name] = busy.get(name, 0) + int(cycles.sum())
    for name, needed in busy.items():
        if timeline.cycles[name]["busy"] != needed:
            wrong.append(f"{name}: busy for {timeline.cycles[name]['busy']} cycles, its jobs take {needed}")
    for job, macs in activity.macs.items():
        if macs["performed"] + macs["skipped"] != macs["dense"]:
            wrong.append(f"{job}: MACs performed + skipped are not the dense MACs: {macs}")
    counts = _counts(schedule, activity)
    for name, actions in counts.items():
        wrong += [f"{name}: {action} counted {count} times" for action, count in actions.items() if count < 0]
    power = power_times(schedule, timeline, supplies or {})
    for name, times in power.items():
        parts = (times.active, times.clocked, times.gated, times.waking, *times.off.values())
        if sum(parts) != times.all or min(parts) < 0:
            wrong.append(f"{name}: times {times} do not add up")
    if wrong:
        raise InvariantError("the books do not balance:\n  " + "\n  ".join(wrong))
    return Ledger(*_whole_components(timeline), counts, power, timeline.wakes)


def _whole_components(timeline: Timeline) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Return cycles and totals with the copies of a component in several tiles added up."""
    cycles: dict[str, dict[str, int]] = {}
    total: dict[str, int] = {}
    for name, states in timeline.cycles.items():
        whole = cycles.setdefault(part_of(name), dict.fromkeys(STATES, 0))
        for state, spent in states.items():
            whole[state] += spent
        total[part_of(name)] = total.get(part_of(name), 0) + timeline.total[name]
    return cycles, total


def _counts(schedule: Schedule, activity: Activity) -> Mapping[str, Mapping[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for job in schedule.jobs:
        for member in job.members():
            mine = counts.setdefault(part_of(member), {})
            for action, per_frame in activity.counts[job.name, member].items():
                mine[action] = mine.get(action, 0) + int(per_frame.sum())
    return counts
