"""The pieces of the engine, and the laws checked at the end of every run."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import simpy

from accelsim.engines.execute import Activity
from accelsim.errors import InvariantError
from accelsim.schedule.job import Job, Schedule
from accelsim.simulate import Clocking, Link, Timeline, close_books, simulate
from accelsim.simulate.arbiter import Arbiter
from accelsim.simulate.channel import Channel


def test_channel_slots_and_latency() -> None:
    channel = Channel(simpy.Environment(), "a->b", capacity=2, latency=3)
    assert channel.arrival(1) is None
    channel.put(0)
    assert (channel.arrival(0), channel.arrival(1), channel.arrival(2), channel.full()) == (0, 3, None, False)
    channel.put(1)
    assert (channel.arrival(2), channel.full()) == (4, True)
    channel.take(2)
    assert channel.full(), "the slots stay in use until the consumer's job ends"
    channel.free(2, 4)
    assert (channel.full(), channel.peak, channel.used) == (False, 2, 0)


@pytest.mark.parametrize("puts_first", [True, False])
def test_the_peak_of_a_channel_is_that_at_the_end_of_an_instant(puts_first: bool) -> None:
    channel = Channel(simpy.Environment(), "a->b", capacity=3, latency=1)
    channel.put(0)
    channel.take(1)
    steps = [lambda: channel.put(2), lambda: channel.free(1, 2)]
    for step in steps if puts_first else reversed(steps):
        step()
    channel.take(1)
    channel.free(1, 3)
    assert channel.peak == 1


def test_a_channel_wakes_its_consumer_for_the_last_token_of_a_window() -> None:
    channel = Channel(simpy.Environment(), "a->b", capacity=3, latency=1)
    channel.put(0)
    waiting = channel.wait_for_tokens(3)
    channel.put(1)
    assert not waiting.triggered
    channel.put(2)
    assert waiting.triggered
    room = channel.wait_for_slot()
    channel.free(0, 3)
    assert not room.triggered
    channel.free(2, 3)
    assert room.triggered


def test_unknown_policy() -> None:
    with pytest.raises(ValueError, match="unknown arbitration policy 'luck'"):
        Arbiter(simpy.Environment(), ["a"], "luck")


def test_tick_is_the_greatest_common_divisor() -> None:
    assert Clocking({"a": 2000, "b": 3000}).tick_ps() == 1000
    assert Clocking({"a": 2000, "b": 3000}, frame_period_ps=10_500).tick_ps() == 500


def one_job() -> tuple[Schedule, dict, Timeline, Activity]:
    schedule = Schedule((Job("j", "layer", "pe", ("bus",), paced=True, last=True),))
    service = {("j", "pe"): np.array([3, 5]), ("j", "bus"): np.array([4, 1])}
    timeline = simulate(schedule, [], service, Clocking({"pe": 1000, "bus": 1000}), 2)
    counts = {("j", "pe"): {"accumulate": np.array([1, 2])}, ("j", "bus"): {"transfer": np.array([3, 4])}}
    activity = Activity(counts, {"j": {"dense": 5, "performed": 3, "skipped": 2}}, {}, {})
    return schedule, service, timeline, activity


def test_ledger_of_one_job() -> None:
    # Frame 0 lasts as long as the bus, 4 cycles; frame 1 as long as the PEs, 5.
    ledger = close_books(*one_job())
    assert ledger.total == {"pe": 9, "bus": 9}
    assert ledger.cycles["pe"] == {"busy": 8, "wait_input": 1, "wait_output": 0, "idle": 0}
    assert ledger.cycles["bus"] == {"busy": 5, "wait_input": 4, "wait_output": 0, "idle": 0}
    assert ledger.counts == {"pe": {"accumulate": 3}, "bus": {"transfer": 7}}


def test_real_time_waits_for_frames() -> None:
    # A frame every 20 cycles, 5 cycles of work: idle until the next one arrives, and to the end of its period.
    schedule = Schedule((Job("j", "layer", "pe", paced=True, last=True),))
    timeline = simulate(schedule, [], {("j", "pe"): np.array([5, 5])}, Clocking({"pe": 1000}, 20_000), 2)
    assert timeline.arrived_ps.tolist() == [0, 20_000]
    assert timeline.finished_ps.tolist() == [5_000, 25_000]
    assert timeline.cycles["pe"] == {"busy": 10, "wait_input": 0, "wait_output": 0, "idle": 30}


def test_two_clocks() -> None:
    # a at 3 ns: works 0-6, puts at 6. b at 2 ns sees it one of its cycles later, at 8, works 4 cycles: 8-16.
    # a's second token is put at 12 and seen at 14; b goes on at 16 and is done at 24.
    jobs = (
        Job("ja", "l", "a", gives=("a->b",), paced=True),
        Job("jb", "l", "b", takes=("a->b",), last=True),
    )
    service = {("ja", "a"): np.array([2, 2]), ("jb", "b"): np.array([4, 4])}
    timeline = simulate(Schedule(jobs), [Link("a", "b", 2, 1)], service, Clocking({"a": 3000, "b": 2000}), 2)
    assert timeline.finished_ps.tolist() == [16_000, 24_000]
    assert timeline.total == {"a": 8, "b": 12}
    assert timeline.cycles["a"] == {"busy": 4, "wait_input": 0, "wait_output": 0, "idle": 4}
    assert timeline.cycles["b"] == {"busy": 8, "wait_input": 4, "wait_output": 0, "idle": 0}


def test_books_that_do_not_balance_are_a_bug() -> None:
    schedule, service, timeline, activity = one_job()
    cycles = {name: dict(states) for name, states in timeline.cycles.items()}
    cycles["pe"]["idle"] += 1
    with pytest.raises(InvariantError, match=r"pe: cycles .* do not add up to 9"):
        close_books(schedule, service, dataclasses.replace(timeline, cycles=cycles), activity)
    cycles["pe"] = {"busy": 10, "wait_input": 0, "wait_output": 0, "idle": -1}
    with pytest.raises(InvariantError, match="do not add up"):
        close_books(schedule, service, dataclasses.replace(timeline, cycles=cycles), activity)
    longer = service | {("j", "pe"): np.array([4, 5])}
    with pytest.raises(InvariantError, match="pe: busy for 8 cycles, its jobs take 9"):
        close_books(schedule, longer, timeline, activity)
    macs = {"j": {"dense": 5, "performed": 3, "skipped": 1}}
    with pytest.raises(InvariantError, match=r"j: MACs performed \+ skipped are not the dense MACs"):
        close_books(schedule, service, timeline, dataclasses.replace(activity, macs=macs))
    counts = {**activity.counts, ("j", "bus"): {"transfer": np.array([-3, 1])}}
    with pytest.raises(InvariantError, match="bus: transfer counted -2 times"):
        close_books(schedule, service, timeline, dataclasses.replace(activity, counts=counts))


def test_progress_is_told() -> None:
    schedule = Schedule((Job("j", "layer", "pe", paced=True, last=True),))
    seen: list[int] = []
    simulate(schedule, [], {("j", "pe"): np.ones(600, int)}, Clocking({"pe": 1}), 600, progress=seen.append)
    assert seen == [*range(6, 601, 6)], "a hundred times, whatever the frames take"
    seen.clear()
    simulate(schedule, [], {("j", "pe"): np.ones(3, int)}, Clocking({"pe": 1}), 3, progress=seen.append)
    assert seen == [1, 2, 3], "few frames may be long ones"
    seen.clear()
    kinds = np.repeat([1, 2], 300)
    simulate(schedule, [], {("j", "pe"): kinds}, Clocking({"pe": 1}, 9), 600, progress=seen.append)
    assert seen == [300, 600], "frames that go alike are run once"


@pytest.mark.parametrize(
    ("cycles", "period", "latency", "worked"),
    [
        # Each frame: 0-3, a cycle on the channel, 4-9. Back to back the second's 3-6 is within the first's.
        ([3, 5], 0, 1, 14),  # 0-3, 3-4, 4-9, 9-14: no gap
        ([3, 5], 20, 1, 18),  # 0-9 and 20-29: between them nothing is left to do
        ([3, 5], 6, 1, 15),  # 0-9; the second comes at 6, is through s0 at 9, takes the channel to 10, s1 to 15
        ([3, 5], 0, 4, 17),  # 0-3, 3-7, 7-12, 12-17: a token on its way is work
        ([0, 5], 20, 0, 10),  # a job without cycles takes none
        ([3, 0], 20, 1, 8),
    ],
)
def test_for_how_long_the_chip_was_at_work(cycles: list[int], period: int, latency: int, worked: int) -> None:
    jobs = (Job("a", "l", "s0", gives=("s0->s1",), paced=True), Job("b", "l", "s1", takes=("s0->s1",), last=True))
    service = {(job.name, job.component): np.full(2, each) for job, each in zip(jobs, cycles, strict=True)}
    clocking = Clocking({"s0": 1000, "s1": 1000}, period * 1000)
    timeline = simulate(Schedule(jobs), [Link("s0", "s1", 2, latency)], service, clocking, 2)
    assert timeline.worked_ps == worked * 1000


def test_waiting_for_the_edge_of_a_clock_is_work() -> None:
    """a at 3 ns: 0-3; b at 4 ns waits for its edge at 4, and ends at 8: 8 ns without a pause."""
    jobs = (Job("a", "l", "a", gives=("a->b",), paced=True), Job("b", "l", "b", takes=("a->b",), last=True))
    service = {("a", "a"): np.ones(1, int), ("b", "b"): np.ones(1, int)}
    timeline = simulate(Schedule(jobs), [Link("a", "b", 1, 0)], service, Clocking({"a": 3000, "b": 4000}), 1)
    assert timeline.finished_ps.tolist() == [8000]
    assert timeline.worked_ps == 8000
