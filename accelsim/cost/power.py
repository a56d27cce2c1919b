"""Power over time: the bill of a run, spread over its trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.cost.pricing import DYNAMIC, Bill
from accelsim.schedule.job import Schedule
from accelsim.simulate.engine import Service
from accelsim.simulate.trace import Trace


@dataclass(frozen=True)
class Power:
    """Power of the chip: ``watt[i]`` from ``time_ps[i]`` until ``time_ps[i + 1]``, the last one until ``end_ps``."""

    time_ps: NDArray[np.int64]
    watt: NDArray[np.float64]
    end_ps: int

    def joules(self) -> float:
        """Return the energy under the steps."""
        return float(self.watt @ np.diff(self.time_ps, append=self.end_ps)) * 1e-12


def power_over_time(
    trace: Trace,
    schedule: Schedule,
    service: Service,
    energy_j: Mapping[str, NDArray[np.float64]],
    bill: Bill,
    duration_ps: int,
) -> Power:
    """Return the power of the chip within a trace, in watt.

    P(t) = (E_rest + E_instant) / T + sum over the jobs that run at t of E_job / T_job.

    A job's energy is that of the actions of all of its components, and even from its start to its end, because nothing
    finer is counted; E_rest, of clocks, standby, leakage and wake-ups, is even over the run, and so is E_instant, of
    jobs that take no time in a frame. The integral over the trace of a whole run is the total of its bill.

    ``energy_j``: [frames] by job, see `job_energy_j`; ``duration_ps``: T, of the whole run.
    """
    instant = 0.0
    for job in schedule.jobs:
        takes_time = np.any([service[job.name, member] > 0 for member in job.members()], axis=0)
        instant += float(energy_j[job.name][~takes_time].sum())
    even_w = (bill.total_j() - bill.total_j(DYNAMIC) + instant) / (duration_ps * 1e-12)

    places, frame, start, end = trace.runs().T
    joules = np.array([energy_j[trace.jobs[p]][f] for p, f in zip(places.tolist(), frame.tolist(), strict=True)])
    watt = joules / ((end - start) * 1e-12)
    start, end = np.maximum(start, trace.begin_ps), np.minimum(end, trace.end_ps)
    inside = start < end
    changes = np.concatenate([[trace.begin_ps], start[inside], end[inside]])
    steps = np.concatenate([[0.0], watt[inside], -watt[inside]])
    times, which = np.unique(changes, return_inverse=True)  # both in order of time, each instant once
    running = np.cumsum(np.bincount(which, steps))
    within = times < trace.end_ps
    # A sum of many steps up and down ends a rounding error beside zero.
    return Power(times[within], even_w + np.maximum(running[within], 0.0), trace.end_ps)
