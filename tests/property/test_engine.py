"""The event engine against a plain loop over ticks, on random graphs of jobs; order must not matter."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_engine import Stuck, TickLoop

from accelsim.errors import DeadlockError
from accelsim.schedule.job import Job, Schedule
from accelsim.simulate import Clocking, Domain, Link, Sleep, Timeline, Trace, engine, simulate
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
    tokens: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]
    domains: list[Domain]

    def engine(self, process_order: list[str] | None = None, trace: Trace | None = None) -> Timeline:
        return simulate(
            self.schedule, self.links, self.service, self.clocking, self.frames, tokens=self.tokens,
            arbitration=self.arbitration, domains=self.domains, process_order=process_order,
            trace=trace,
        )  # fmt: skip

    def plain(self) -> TickLoop:
        periods, frame_period = dict(self.clocking.period_ps), self.clocking.frame_period_ps
        return TickLoop(
            self.schedule.jobs, self.links, self.service, periods, frame_period, self.frames, self.arbitration,
            self.tokens, domains=self.domains,
        )  # fmt: skip


@st.composite
def rates(draw: st.DrawFn, tokens: int, frames: int) -> tuple[list[int], list[int]]:
    """How many of so many tokens a job takes and frees in each of its frames: in windows, or in any way there is."""
    any_way = draw(st.booleans()) or tokens != frames
    if any_way:
        at = st.lists(st.integers(0, frames - 1), min_size=tokens, max_size=tokens)
        takes, frees = sorted(draw(at)), sorted(draw(at))
        frees = [max(both) for both in zip(takes, frees, strict=True)]
    else:
        # Utterances of some frames: a window that looks ahead, as far as their end, and back, or all of it.
        takes, frees, first = [], [], 0
        ahead, behind = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        while first < frames:
            last = draw(st.integers(first, frames - 1))
            for place in range(first, last + 1):
                takes.append(max(place - ahead, first))
                frees.append(min(place + behind, last))
            first = last + 1
    return [takes.count(frame) for frame in range(frames)], [frees.count(frame) for frame in range(frames)]


@st.composite
def cases(draw: st.DrawFn, rated: bool = True) -> Case:
    """Jobs in a row, each led by one of a few components; tokens go from earlier jobs to later ones.

    Some jobs belong to a copy of a layer and work in every second or third frame only, some in the first alone. If
    ``rated``, some take several tokens in one frame and none in another.

    Such a machine can still jam, where small channels fill up in the wrong order.
    """
    rated = rated and draw(st.booleans())
    # A window over the output of one's own leader mostly jams: with rates, give most jobs a leader of their own.
    leaders = [f"c{i}" for i in range(6 if rated and draw(st.booleans()) else draw(st.integers(1, 4)))]
    shared = [f"m{i}" for i in range(draw(st.integers(0, 3)))]
    count, frames = draw(st.integers(1 + rated, 6)), draw(st.integers(1 + rated, 8 if rated else 4))
    capacities = st.sampled_from([frames, frames, frames, 1, 2, 3] if rated else [1, 2, 3])
    led_by = leaders[:count] if len(leaders) == 6 else [draw(st.sampled_from(leaders)) for _ in range(count)]
    takes: list[list[str]] = [[] for _ in range(count)]
    gives: list[list[str]] = [[] for _ in range(count)]
    links = []
    for later in range(1, count):
        for earlier in draw(st.sets(st.integers(0, later - 1), min_size=int(rated), max_size=2)):
            capacity, latency = draw(capacities), draw(st.sampled_from([1, 1, 2, 5]))
            # Several edges between the same two leaders need names of their own: a producer's name per edge.
            links.append(Link(f"job{earlier}-job{later}", led_by[later], capacity, latency))
            takes[later].append(links[-1].name())
            gives[earlier].append(links[-1].name())
    jobs, service = [], {}
    for index in range(count):
        members = draw(st.lists(st.sampled_from(shared), unique=True)) if shared else []
        is_sink = not gives[index]
        inner = 0 < index < count - 1
        copies = draw(st.sampled_from([1, 1, 2, 3])) if inner else 1
        once = inner and copies == 1 and draw(st.sampled_from([False, False, False, True]))
        job = Job(
            f"job{index}", "layer", led_by[index], tuple(members), tuple(takes[index]), tuple(gives[index]),
            paced=index == 0, last=(is_sink and draw(st.booleans())) or index == count - 1,
            copies=copies, copy=draw(st.integers(0, copies - 1)), once=once,
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
    tokens = {}
    for producer, consumer, channel in [(p, c, n) for p in jobs for c in jobs for n in c.takes if n in p.gives]:
        put, worked = (np.flatnonzero([job.runs_in(frame) for frame in range(frames)]) for job in (producer, consumer))
        if rated and len(worked) and draw(st.sampled_from([True, True, False])):
            both = np.zeros((2, frames), np.int64)
            both[:, worked] = draw(rates(len(put), len(worked)))
            tokens[consumer.name, channel] = (both[0], both[1])
    clocking = Clocking(period, frame_period)
    asleep = draw(domains(list(period)))
    return Case(Schedule(tuple(jobs)), links, service, clocking, frames, arbitration, tokens, asleep)


@st.composite
def domains(draw: st.DrawFn, components: list[str]) -> list[Domain]:
    """None to three power domains of some components, with one to three states of rest each."""
    found, left = [], list(components)
    for number in range(draw(st.sampled_from([0, 0, 1, 2, 3]))):
        members = draw(st.sets(st.sampled_from(left), min_size=1)) if left else set()
        left = [name for name in left if name not in members]
        after = sorted(draw(st.sets(st.sampled_from([100, 500, 1000, 3000, 7777, 20_000]), min_size=1, max_size=3)))
        states = tuple(Sleep(f"s{ps}", ps, draw(st.sampled_from([1, 500, 1200, 5000]))) for ps in after)
        if members:
            found.append(Domain(f"d{number}", frozenset(members), states))
    return found


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
    assert timeline.worked_ps == loop.worked * loop.tick
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
    for domain in case.domains:
        room = loop.rooms[domain.name]
        asleep = {state.name: room.spent[place] * loop.tick for place, state in enumerate(domain.states)}
        assert timeline.asleep_ps[domain.name] == asleep
        assert timeline.waking_ps[domain.name] == room.spent["waking"] * loop.tick
        assert timeline.wakes[domain.name] == room.wakes
    for job in case.schedule.jobs:
        assert timeline.job_cycles[job.name] == loop.job_ticks[job.name] // loop.scale[job.component]
    assert timeline.channel_peak == {name: wire.peak for name, wire in loop.wires.items()}

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
@given(case=cases(rated=False), kinds=st.integers(1, 2), frames=st.integers(4, 16), slack=st.integers(1, 60))
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
    for name in (
        "cycles",
        "total",
        "duration_ps",
        "job_cycles",
        "channel_peak",
        "worked_ps",
        "asleep_ps",
        "waking_ps",
        "wakes",
    ):
        assert getattr(repeated, name) == getattr(every_frame, name), name
    for name in ("arrived_ps", "started_ps", "finished_ps"):
        assert getattr(repeated, name).tolist() == getattr(every_frame, name).tolist(), name


def test_what_waits_for_a_constant_alone_runs_ahead_of_the_frames() -> None:
    # k works once, 0-3; b takes its token at 4 and works 4-7, then 7-10, 10-13 and so on: frames that come every 50
    # cycles do not hold it.
    jobs = [Job("ja", "l", "a", paced=True), Job("jk", "l", "k", gives=("k->b",), once=True),
            Job("jb", "l", "b", takes=("k->b",), last=True)]  # fmt: skip
    service = {(job.name, job.component): np.full(12, 3) for job in jobs}
    clocking = Clocking(dict.fromkeys("abk", 1000), 50_000)
    timeline = simulate(Schedule(tuple(jobs)), [Link("k", "b", 1, 1)], service, clocking, 12)
    assert timeline.finished_ps.tolist() == [7000 + 3000 * frame for frame in range(12)]


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


A_TO_B = (
    Job("ja", "l", "a", gives=("a->b",), paced=True),
    Job("jb", "l", "b", takes=("a->b",), last=True),
)


def rated(taken: list[int], freed: list[int]) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    return {("jb", "a->b"): (np.array(taken), np.array(freed))}


def test_a_window_by_hand() -> None:
    # a puts at 3, 6, 9 and 12. b's frame 0 needs two tokens, seen from 7 on: 7-10. Frame 1 needs the third one, seen at
    # 10: 10-13; frame 2 the fourth: 13-16, and frame 3 nothing more: 16-19. The peak is before b frees at 10.
    timeline = run(list(A_TO_B), [Link("a", "b", 3, 1)], frames=4, tokens=rated([2, 1, 1, 0], [1, 1, 1, 1]))
    assert timeline.finished_ps.tolist() == [10_000, 13_000, 16_000, 19_000]
    assert timeline.cycles["b"] == {"busy": 12, "wait_input": 7, "wait_output": 0, "idle": 0}
    assert timeline.channel_peak == {"a->b": 3}
    # With room for two, a waits with its third token until 10, b until 11 and 14.
    timeline = run(list(A_TO_B), [Link("a", "b", 2, 1)], frames=4, tokens=rated([2, 1, 1, 0], [1, 1, 1, 1]))
    assert timeline.finished_ps.tolist() == [10_000, 14_000, 18_000, 21_000]
    assert timeline.cycles["a"] == {"busy": 12, "wait_input": 0, "wait_output": 2, "idle": 7}


def test_a_whole_utterance_at_once_by_hand() -> None:
    # b waits for both frames, seen from 7 on, and frees them after its second: 7-10, 10-13. Of a's next two frames the
    # first finds room at 9, the second waits from 12 on until 13; then b goes on from 14 to 20.
    timeline = run(list(A_TO_B), [Link("a", "b", 3, 1)], frames=4, tokens=rated([2, 0, 2, 0], [0, 2, 0, 2]))
    assert timeline.finished_ps.tolist() == [10_000, 13_000, 17_000, 20_000]
    assert timeline.cycles["a"]["wait_output"] == 1


def test_a_window_that_does_not_fit_is_reported() -> None:
    with pytest.raises(DeadlockError) as error:
        run(list(A_TO_B), [Link("a", "b", 2, 1)], frames=4, tokens=rated([3, 1, 0, 0], [1, 1, 1, 1]))
    assert "a waits in ja (frame 2) for room on a->b" in str(error.value)
    assert "b waits in jb (frame 0) for 3 tokens on a->b" in str(error.value)
    assert "a->b holds 2 of 2" in str(error.value)


@settings(max_examples=100, deadline=None)
@given(cases(rated=False))
def test_one_token_each_is_no_rate_at_all(case: Case) -> None:
    jobs = tuple(replace(job, copies=1, copy=0, once=False) for job in case.schedule.jobs)
    one = np.ones(case.frames, np.int64)
    case = replace(case, schedule=Schedule(jobs))
    spelt_out = replace(case, tokens={(job.name, channel): (one, one) for job in jobs for channel in job.takes})
    try:
        expected = case.engine()
    except DeadlockError as error:
        with pytest.raises(DeadlockError, match=re.escape(str(error))):
            spelt_out.engine()
        return
    assert_same(expected, spelt_out.engine())


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (rated([1, 1], [1]), "that jb takes from a->b and frees must be counts of 2 frames"),
        (rated([3, -1], [1, 1]), "that jb takes from a->b and frees must be counts of 2 frames"),
        (rated([1, 1], [2, 0]), "that jb takes from a->b and frees must all be freed, and none before it is taken"),
        (rated([1, 1], [1, 0]), "that jb takes from a->b and frees must all be freed, and none before it is taken"),
        (rated([1, 0], [1, 0]), "1 more tokens are put on a->b than are taken"),
        ({("ja", "a->b"): (np.ones(2, int), np.ones(2, int))}, "ja takes nothing from a->b"),
    ],
)
def test_rates_that_do_not_come_out_even(tokens: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(list(A_TO_B), [Link("a", "b", 2, 1)], tokens=tokens)


def test_rates_of_a_copy_in_a_frame_of_another() -> None:
    jobs = [A_TO_B[0], replace(A_TO_B[1], copies=2)]
    assert run(jobs, [Link("a", "b", 2, 1)], tokens=rated([2, 0], [2, 0])).finished_ps.tolist() == [10_000, 0]
    with pytest.raises(ValueError, match="in a frame in which it has no work"):
        run(jobs, [Link("a", "b", 2, 1)], tokens=rated([1, 1], [1, 1]))


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
