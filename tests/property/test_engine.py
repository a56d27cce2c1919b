"""The event engine against a plain loop over ticks, on random graphs of jobs; order must not matter."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_engine import Stuck, TickLoop

from accelsim.errors import DeadlockError
from accelsim.schedule.job import Job, Schedule
from accelsim.simulate import Clocking, Link, Timeline, engine, simulate
from accelsim.simulate.arbiter import POLICIES


@dataclass
class Case:
    """A random machine and its work."""

    schedule: Schedule
    links: list[Link]
    service: dict[tuple[str, str], np.ndarray]
    clocking: Clocking
    frames: int
    arbitration: dict[str, str]

    def engine(self, process_order: list[str] | None = None) -> Timeline:
        return simulate(
            self.schedule, self.links, self.service, self.clocking, self.frames, arbitration=self.arbitration,
            process_order=process_order,
        )  # fmt: skip

    def plain(self) -> TickLoop:
        periods, frame_period = dict(self.clocking.period_ps), self.clocking.frame_period_ps
        return TickLoop(
            self.schedule.jobs, self.links, self.service, periods, frame_period, self.frames, self.arbitration
        )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Jobs in a row, each led by one of a few components; tokens go from earlier jobs to later ones.

    Some jobs belong to a copy of a layer and work in every second or third frame only.

    Such a machine can still jam, where small channels fill up in the wrong order.
    """
    leaders = [f"c{i}" for i in range(draw(st.integers(1, 4)))]
    shared = [f"m{i}" for i in range(draw(st.integers(0, 3)))]
    count, frames = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    led_by = [draw(st.sampled_from(leaders)) for _ in range(count)]
    takes: list[list[str]] = [[] for _ in range(count)]
    gives: list[list[str]] = [[] for _ in range(count)]
    links = []
    for later in range(1, count):
        for earlier in draw(st.sets(st.integers(0, later - 1), max_size=2)):
            capacity, latency = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 2, 5]))
            # Several edges between the same two leaders need names of their own: a producer's name per edge.
            links.append(Link(f"job{earlier}-job{later}", led_by[later], capacity, latency))
            takes[later].append(links[-1].name())
            gives[earlier].append(links[-1].name())
    jobs, service = [], {}
    for index in range(count):
        members = draw(st.lists(st.sampled_from(shared), unique=True)) if shared else []
        is_sink = not gives[index]
        copies = draw(st.sampled_from([1, 1, 2, 3])) if 0 < index < count - 1 else 1
        job = Job(
            f"job{index}", "layer", led_by[index], tuple(members), tuple(takes[index]), tuple(gives[index]),
            paced=index == 0, last=(is_sink and draw(st.booleans())) or index == count - 1,
            copies=copies, copy=draw(st.integers(0, copies - 1)),
        )  # fmt: skip
        jobs.append(job)
        for member in job.members():
            cycles = draw(st.lists(st.sampled_from([0, 0, 1, 1, 2, 3, 7]), min_size=frames, max_size=frames))
            service[job.name, member] = np.array(cycles, np.int64)
    if draw(st.booleans()):
        period = dict.fromkeys([*leaders, *shared], 1000)
    else:
        period = {name: draw(st.sampled_from([500, 1000, 1500, 2500])) for name in [*leaders, *shared]}
    frame_period = draw(st.sampled_from([0, 0, 1000, 10_000, 25_500]))
    arbitration = {name: draw(st.sampled_from(POLICIES)) for name in shared}
    return Case(Schedule(tuple(jobs)), links, service, Clocking(period, frame_period), frames, arbitration)


@settings(max_examples=500)
@given(cases(), st.randoms(use_true_random=False))
def test_engine_is_the_plain_loop(case: Case, random: object) -> None:
    try:
        loop = case.plain()
    except Stuck:
        with pytest.raises(DeadlockError):
            case.engine()
        return
    timeline = case.engine()
    assert (timeline.finished_ps // loop.tick).tolist() == loop.finished
    assert (timeline.arrived_ps // loop.tick).tolist() == loop.arrived
    assert timeline.duration_ps == loop.end * loop.tick
    if any(not job.paced for job in case.schedule.jobs):
        assert (timeline.started_ps // loop.tick).tolist() == loop.started
    for name, scale in loop.scale.items():
        total = -(-loop.end // scale)
        states = {state: loop.spent[name, state] // scale for state in ("busy", "wait_input", "wait_output")}
        assert timeline.total[name] == total
        assert timeline.cycles[name] == states | {"idle": total - sum(states.values())}
        # The law of every run: all cycles are accounted for.
        assert sum(timeline.cycles[name].values()) == timeline.total[name]
        assert min(timeline.cycles[name].values()) >= 0
    for job in case.schedule.jobs:
        assert timeline.job_cycles[job.name] == loop.job_ticks[job.name] // loop.scale[job.component]

    # The order in which the processes happen to be started must not matter.
    order = list(case.schedule.leaders())
    for _ in range(3):
        random.shuffle(order)
        assert_same(timeline, case.engine(order))


def assert_same(one: Timeline, other: Timeline) -> None:
    for name, value in vars(one).items():
        assert np.array_equal(value, getattr(other, name)), name


def run(
    jobs: list[Job], links: list[Link], frames: int = 2, order: list[str] | None = None, **more: object
) -> Timeline:
    """Run jobs of 3 cycles on one clock."""
    members = {member for job in jobs for member in job.members()}
    service = {(job.name, member): np.full(frames, 3) for job in jobs for member in job.members()}
    clocking = Clocking(dict.fromkeys(sorted(members), 1000))
    return simulate(Schedule(tuple(jobs)), links, service, clocking, frames, process_order=order, **more)


@pytest.mark.parametrize("policy", POLICIES)
def test_order_of_processes_with_members_taken_one_after_the_other(policy: str) -> None:
    # x wants m0 and then m1, y wants m1 alone, z wants m0 alone: whether x asks for m1 in the same instant as y
    # does must not depend on which of the two processes was started first.
    jobs = [Job("jx", "l", "x", ("m0", "m1"), last=True), Job("jy", "l", "y", ("m1",)), Job("jz", "l", "z", ("m0",))]
    timelines = [
        run(jobs, [], order=list(order), arbitration={"m0": policy, "m1": policy})
        for order in ("xyz", "xzy", "yxz", "yzx", "zxy", "zyx")
    ]
    for other in timelines[1:]:
        assert_same(timelines[0], other)


def test_policies_by_hand() -> None:
    # x and y both ask for m at cycle 0, and each again as soon as it is done; every job takes 3 cycles.
    jobs = [Job("jx", "l", "x", ("m",)), Job("jy", "l", "y", ("m",), last=True)]
    # x leads the order: x 0-3. At 3 both ask, y for longer: y 3-6; then x 6-9, y 9-12.
    assert run(jobs, []).finished_ps.tolist() == [6000, 12000]
    # With fixed priority x goes first whenever it asks: x 0-3, x 3-6, then y 6-9, y 9-12.
    fixed = run(jobs, [], arbitration={"m": "fixed_priority"})
    assert fixed.finished_ps.tolist() == [9000, 12000]
    assert fixed.cycles["y"] == {"busy": 6, "wait_input": 6, "wait_output": 0, "idle": 0}
    assert fixed.cycles["m"] == {"busy": 12, "wait_input": 0, "wait_output": 0, "idle": 0}
    assert run(jobs, [], arbitration={"m": "round_robin"}).finished_ps.tolist() == [6000, 12000]


def test_channel_by_hand() -> None:
    # a takes 3 cycles and puts at 3; b sees the token 2 cycles later and works 5-8: the slot is free at 8. a is done
    # with frame 1 at 6, waits for the slot until 8; b sees that token at 10 and works 10-13.
    jobs = [Job("ja", "l", "a", gives=("a->b",), paced=True), Job("jb", "l", "b", takes=("a->b",), last=True)]
    timeline = run(jobs, [Link("a", "b", capacity=1, latency=2)])
    assert timeline.finished_ps.tolist() == [8000, 13000]
    assert timeline.started_ps.tolist() == [5000, 10000]
    assert timeline.cycles["a"] == {"busy": 6, "wait_input": 0, "wait_output": 2, "idle": 5}
    assert timeline.cycles["b"] == {"busy": 6, "wait_input": 7, "wait_output": 0, "idle": 0}
    assert timeline.channel_peak == {"a->b": 1}
    # With room for two, a never waits; b works 5-8 and, since the second token can be seen from 8 on, 8-11.
    assert run(jobs, [Link("a", "b", capacity=2, latency=2)]).finished_ps.tolist() == [8000, 11000]


def test_work_after_the_last_job_counts() -> None:
    # b goes on for 3 cycles after the frame is finished: they belong to the run.
    jobs = [Job("ja", "l", "a", gives=("a->b",), paced=True, last=True), Job("jb", "l", "b", takes=("a->b",))]
    timeline = run(jobs, [Link("a", "b", 1, 1)], frames=1)
    assert timeline.finished_ps.tolist() == [3000]
    assert timeline.total == {"a": 7, "b": 7}
    assert timeline.cycles["b"] == {"busy": 3, "wait_input": 4, "wait_output": 0, "idle": 0}


def test_a_circle_of_waiting_is_reported() -> None:
    jobs = [
        Job("ja", "l", "a", takes=("b->a",), gives=("a->b",), paced=True),
        Job("jb", "l", "b", takes=("a->b",), gives=("b->a",), last=True),
    ]
    with pytest.raises(DeadlockError) as error:
        run(jobs, [Link("a", "b", 1, 1), Link("b", "a", 1, 1)])
    assert "a waits in ja (frame 0) for a token on b->a" in str(error.value)
    assert "b waits in jb (frame 0) for a token on a->b" in str(error.value)


@settings(max_examples=150, deadline=None)
@given(case=cases(), kinds=st.integers(1, 2), frames=st.integers(4, 16), slack=st.integers(1, 60))
def test_frames_that_repeat_are_booked_as_if_they_had_run(case: Case, kinds: int, frames: int, slack: int) -> None:
    """With a process order given, the engine runs every frame; without one it may run one of each kind.

    Frames come so slowly, or nearly so, that each finds the machine idle.
    """
    service = {key: cycles[np.arange(frames) % min(kinds, len(cycles))] for key, cycles in case.service.items()}
    clocking = replace(case.clocking, frame_period_ps=7500 * slack)
    case = replace(case, service=service, clocking=clocking, frames=frames)
    order = list(case.schedule.leaders())
    try:
        every_frame = case.engine(order)
    except DeadlockError:
        with pytest.raises(DeadlockError):
            case.engine()
        return
    repeated = case.engine()
    for name in ("cycles", "total", "duration_ps", "job_cycles", "channel_peak"):
        assert getattr(repeated, name) == getattr(every_frame, name), name
    for name in ("arrived_ps", "started_ps", "finished_ps"):
        assert getattr(repeated, name).tolist() == getattr(every_frame, name).tolist(), name


def test_repeated_frames_are_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty equal frames cost one; a frame longer than its period makes all of them run."""
    made = []
    ran = engine._Run.result
    monkeypatch.setattr(engine._Run, "result", lambda run, order: made.append(run.frames) or ran(run, order))
    job = Job("a", "layer", "x", paced=True, last=True)
    for cycles, expected in ((3, [1]), (40, [1, 50])):
        made.clear()
        service = {("a", "x"): np.full(50, cycles)}
        timeline = simulate(Schedule((job,)), [], service, Clocking({"x": 1000}, 10_000), 50)
        assert made == expected
        assert timeline.cycles["x"]["busy"] == 50 * cycles


def test_a_token_that_nobody_puts_is_reported() -> None:
    jobs = [Job("ja", "l", "a", paced=True), Job("jb", "l", "b", takes=("a->b",), last=True)]
    with pytest.raises(DeadlockError, match=r"b waits in jb \(frame 0\) for a token on a->b"):
        run(jobs, [Link("a", "b", 1, 1)])


def test_a_token_that_nobody_takes_is_reported() -> None:
    # Room for both frames' tokens: every job gets done, and still two tokens are left over.
    jobs = [Job("ja", "l", "a", gives=("a->b",), paced=True, last=True)]
    with pytest.raises(DeadlockError, match=r"a->b holds 2"):
        run([*jobs, Job("jb", "l", "b")], [Link("a", "b", 2, 1)])


def test_no_room_is_reported() -> None:
    jobs = [Job("ja", "l", "a", gives=("a->b",), paced=True, last=True), Job("jb", "l", "b")]
    with pytest.raises(DeadlockError, match=r"a waits in ja \(frame 1\) for room on a->b"):
        run(jobs, [Link("a", "b", 1, 1)])


def test_a_leader_is_nobody_elses_member() -> None:
    jobs = [Job("jx", "l", "x", ("y",), paced=True), Job("jy", "l", "y", last=True)]
    with pytest.raises(ValueError, match="y leads jobs and is also in lock-step with x"):
        run(jobs, [])


def test_a_channel_has_one_leader_at_either_end() -> None:
    link = Link("x", "y", 2, 1)
    x, y, z = (Job(f"j{name}", "l", name) for name in "xyz")
    channel = ("x->y",)
    with pytest.raises(ValueError, match="x->y is taken from by y and z"):
        run([replace(x, gives=channel), replace(y, takes=channel), replace(z, takes=channel)], [link])
    with pytest.raises(ValueError, match="x->y is given to by x and z"):
        run([replace(x, gives=channel), replace(y, takes=channel), replace(z, gives=channel)], [link])
