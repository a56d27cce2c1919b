"""Figures of a pipeline: its interval, frames in flight and the latency of utterances, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim
from accelsim.report.headline import headlines
from accelsim.result import Latency, Result
from accelsim.schedule.job import Job, Schedule
from accelsim.simulate import Clocking, Link, Timeline, simulate

WHOLE = np.array([0, 8])


def stages(
    cycles: Sequence[int | Sequence[int]], capacity: int = 1, frames: int = 8, period: int = 0, **more: object
) -> Timeline:
    """Run stages in a row of so many cycles each, at 1 GHz, with a latency of one cycle between them."""
    count = len(cycles)
    names = [f"s{i}" for i in range(count)]
    edges = [f"{a}->{b}" for a, b in pairwise(names)]
    ends = zip([(), *((edge,) for edge in edges)], [*((edge,) for edge in edges), ()], strict=True)
    jobs = tuple(
        Job(f"j{i}", "l", names[i], (), takes, gives, paced=i == 0, last=i == count - 1)
        for i, (takes, gives) in enumerate(ends)
    )
    links = [Link(*edge.split("->"), capacity, 1) for edge in edges]
    service = {(f"j{i}", names[i]): np.broadcast_to(np.asarray(c, np.int64), (frames,)) for i, c in enumerate(cycles)}
    clocking = Clocking(dict.fromkeys(names, 1000), period * 1000)
    return simulate(Schedule(jobs), links, service, clocking, frames, **more)


def test_the_interval_is_the_slowest_stage() -> None:
    # s0 0-3, s1 4-11, s2 12-14, and with a slot more than the one at work s1 never waits: a frame every 7 cycles.
    timeline = stages([3, 7, 2], capacity=2)
    assert timeline.finished_ps.tolist() == [14_000 + 7_000 * frame for frame in range(8)]
    assert timeline.interval_ps(WHOLE) == 7_000
    # With one slot alone, the next token comes a cycle after s0 could put it: when s1 is done.
    assert stages([3, 7, 2], capacity=1).interval_ps(WHOLE) == 8_000


@pytest.mark.parametrize("slower", range(5))
def test_a_slower_bottleneck_moves_the_interval_by_as_much(slower: int) -> None:
    assert stages([3, 7 + slower, 2], capacity=2).interval_ps(WHOLE) == 7_000 + 1000 * slower
    assert stages([3 + min(slower, 3), 7, 2 + slower], capacity=2).interval_ps(WHOLE) == 7_000


def test_in_real_time_the_interval_is_that_of_the_frames() -> None:
    timeline = stages([3, 7, 2], capacity=2, period=20)
    assert (timeline.interval_ps(WHOLE), timeline.frames_in_flight()) == (20_000, 1)
    assert timeline.utterance_latency_ps(WHOLE).tolist() == [14_000]
    assert stages([3, 7, 2], capacity=2, period=5).interval_ps(WHOLE) == 7_000


def test_from_utterance_to_utterance_bursts_do_not_count() -> None:
    # s1 waits for all four frames of an utterance and then lets them go at 2 cycles each; s0 takes 10 for each of them.
    starts = np.array([0, 4, 8, 12])
    rates = np.tile([4, 0, 0, 0], 3), np.ones(12, np.int64)
    timeline = stages([10, 2], capacity=8, frames=12, tokens={("j1", "s0->s1"): rates})
    # The first utterance is there at 41: 41-49; the second at 81, the third at 121.
    first = [43_000, 45_000, 47_000, 49_000]
    assert timeline.finished_ps.tolist() == [ps + 40_000 * u for u in range(3) for ps in first]
    assert timeline.interval_ps(starts) == 10_000
    assert timeline.interval_ps(np.array([0, 12])) == (129_000 - 43_000) / 11
    # The last frame of an utterance begins at 30, 70 and 110; at 40 s0 begins the next one while four are not finished.
    assert timeline.utterance_latency_ps(starts).tolist() == [19_000] * 3
    assert timeline.frames_in_flight() == 5
    # An utterance without frames has neither an end nor a latency.
    assert timeline.utterance_latency_ps(np.array([0, 0, 4, 4, 12])).tolist() == [19_000, 19_000]
    assert timeline.interval_ps(np.array([0, 0, 4, 4, 12])) == 10_000


def test_one_frame_has_no_interval() -> None:
    timeline = stages([3, 7], frames=1)
    assert timeline.interval_ps(np.array([0, 1])) == 0
    assert timeline.frames_in_flight() == 1


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 3), st.integers(1, 12))
def test_channels_bound_the_frames_in_flight(data: st.DataObject, count: int, capacity: int, frames: int) -> None:
    """One frame in every stage but the last, which may be at work or wait to put, and what the channels hold."""
    cycles = [data.draw(st.lists(st.integers(1, 9), min_size=frames, max_size=frames)) for _ in range(count)]
    timeline = stages(cycles, capacity, frames)
    inside = timeline.frames_in_flight()
    assert 1 <= inside <= max(count - 1 + capacity * (count - 1), 1)
    # The same by looking at every cycle.
    every = np.arange(0, timeline.duration_ps, 1000)[:, None]
    assert inside == int(((timeline.arrived_ps <= every) & (every < timeline.finished_ps)).sum(axis=1).max())


@cache
def tile() -> Result:
    return accelsim.run("memristor_tile", overrides={"workload.inputs.utterances": "2"})


def test_the_record_of_a_pipeline() -> None:
    p = tile().performance
    assert p.interval_cycles == pytest.approx(p.cycles_per_frame, rel=0.01)
    assert p.frames_in_flight > 1
    assert p.utterance_latency_cycles == p.latency_cycles, "every frame takes as long as any other"


def rows(result: Result) -> dict[str, tuple[str, ...]]:
    return {row.name: row.values for row in headlines(result)}


def test_headlines_of_a_pipeline() -> None:
    p = tile().performance
    shown = rows(tile())
    assert shown["interval between frames"] == (f"{p.interval_cycles:.1f}",)
    assert shown["frames in flight"] == (str(p.frames_in_flight),)
    assert "of an utterance" not in shown
    later = p.model_copy(update={"utterance_latency_cycles": Latency(p50=1000, p99=2000, max=3000)})
    assert rows(tile().model_copy(update={"performance": later}))["of an utterance"] == ("10 us / 30 us",)


def test_a_chip_of_one_frame_at_a_time_has_no_such_rows() -> None:
    one = tile().performance.model_copy(update={"frames_in_flight": 1})
    shown = rows(tile().model_copy(update={"performance": one}))
    assert not {"interval between frames", "frames in flight", "of an utterance"} & shown.keys()


def test_records_of_before_have_none_of_it() -> None:
    new = {"interval_cycles", "frames_in_flight", "utterance_latency_cycles"}
    old = Result.model_validate(tile().model_dump(by_alias=True, exclude={"performance": new}))
    assert old.performance.frames_in_flight == 0
    assert not {"interval between frames", "frames in flight", "of an utterance"} & rows(old).keys()
