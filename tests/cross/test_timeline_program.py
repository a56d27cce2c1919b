"""The event engine against a linear programme.

With one clock and no shared component, the earliest schedule is the smallest solution of inequalities "this not before
that": scipy's HiGHS finds it without an event queue, a process or SimPy.
"""

from __future__ import annotations

import numpy as np
import pytest
from chips import clocking, links, rsnn28nm
from scipy.optimize import linprog
from scipy.sparse import coo_array

from accelsim.engines.deploy import deploy
from accelsim.schedule import Schedule
from accelsim.simulate import Clocking, Link, simulate
from accelsim.workload import load_workload


def earliest(
    schedule: Schedule, chain: list[Link], service: dict[tuple[str, str], np.ndarray], period: int, frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the start of the first unpaced job and the end of the last one, per frame, in cycles.

    Unknowns: start s, end e = s + longest service, and put p (all tokens given) of each job in each frame.
    """
    number = {job.name: index for index, job in enumerate(schedule.jobs)}
    count = len(number)
    rows: list[tuple[int, int, int]] = []  # (later, earlier, by): later >= earlier + by; earlier -1: the origin

    def variable(what: str, job: str, frame: int) -> int:
        return (frame * count + number[job]) * 3 + "sep".index(what)

    for leader in schedule.leaders():
        turns = [(frame, job) for frame in range(frames) for job in schedule.of(leader)]
        for before, (frame, job) in zip([None, *turns], turns, strict=False):
            longest = max(int(service[job.name, member][frame]) for member in job.members())
            rows.append((variable("e", job.name, frame), variable("s", job.name, frame), longest))
            rows.append((variable("p", job.name, frame), variable("e", job.name, frame), 0))
            if before is not None:
                rows.append((variable("s", job.name, frame), variable("p", before[1].name, before[0]), 0))
            if job.paced:
                rows.append((variable("s", job.name, frame), -1, frame * period))
    for link in chain:
        producers, consumers = (
            [(frame, job.name) for frame in range(frames) for job in schedule.jobs if link.name() in getattr(job, way)]
            for way in ("gives", "takes")
        )
        assert len(producers) == len(consumers)
        for (sent, producer), (got, consumer) in zip(producers, consumers, strict=True):
            rows.append((variable("s", consumer, got), variable("p", producer, sent), link.latency))
        for (got, consumer), (sent, producer) in zip(consumers, producers[link.capacity :], strict=False):
            rows.append((variable("p", producer, sent), variable("e", consumer, got), 0))

    lines = np.arange(len(rows))
    later, before, by = (np.array(column) for column in zip(*rows, strict=True))
    held = before >= 0
    matrix = coo_array(
        (
            np.concatenate([-np.ones(len(rows)), np.ones(held.sum())]),
            (np.concatenate([lines, lines[held]]), np.concatenate([later, before[held]])),
        ),
        shape=(len(rows), 3 * count * frames),
    )
    solution = linprog(np.ones(matrix.shape[1]), A_ub=matrix.tocsr(), b_ub=-by, bounds=(0, None), method="highs")
    assert solution.status == 0, solution.message
    times = np.rint(solution.x).astype(np.int64).reshape(frames, count, 3)
    assert np.abs(solution.x - times.ravel()).max() < 1e-6
    unpaced = [number[job.name] for job in schedule.jobs if not job.paced]
    last = next(number[job.name] for job in schedule.jobs if job.last)
    return times[:, unpaced, 0].min(axis=1), times[:, last, 2]


@pytest.mark.parametrize("period", [0, 40, 150])
@pytest.mark.parametrize("seed", range(4))
def test_earliest_schedule(seed, period):
    rng = np.random.default_rng([seed, period])
    chip = rsnn28nm()
    schedule = deploy(load_workload("rsnn_paper_activity"), chip).schedule
    chain = [
        Link(link.producer, link.consumer, int(rng.integers(1, 4)), int(rng.integers(1, 8))) for link in links(chip)
    ]
    frames, tick = 24, 10_000
    service = {(job.name, member): rng.integers(0, 30, frames) for job in schedule.jobs for member in job.members()}
    clocks = Clocking(dict.fromkeys(clocking(chip).period_ps, tick), period * tick)

    timeline = simulate(schedule, chain, service, clocks, frames)

    started, finished = earliest(schedule, chain, service, period, frames)
    np.testing.assert_array_equal(timeline.started_ps // tick, started)
    np.testing.assert_array_equal(timeline.finished_ps // tick, finished)
