"""A trace against the plain loop, tick by tick, read back from its files by readers that are not ours."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pytest
import pywellen
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference_engine import Stuck, TickLoop
from test_engine import Case, cases

from accelsim.cost import Bill, Power, power_over_time
from accelsim.cost.lookup import Range
from accelsim.cost.pricing import Term
from accelsim.report.perfetto import write_perfetto
from accelsim.report.vcd import write_vcd
from accelsim.simulate import Timeline, Trace

IDLE = ("idle", "", None)


class Traced(NamedTuple):
    """A random machine that has run, and the part of it that was traced."""

    case: Case
    loop: TickLoop
    timeline: Timeline
    trace: Trace
    power: Power
    energy_j: dict[str, np.ndarray]
    even_j: float

    def ticks(self) -> range:
        """Return the ticks of the window; both its ends lie on one."""
        return range(self.trace.begin_ps // self.loop.tick, self.trace.end_ps // self.loop.tick)


@st.composite
def traced(draw: st.DrawFn, whole: bool = False) -> Traced:
    case = draw(cases())
    try:
        loop = case.plain()
    except Stuck:
        assume(False)
    assume(loop.end)
    begin = 0 if whole else draw(st.integers(0, loop.end - 1))
    end = loop.end if whole else draw(st.integers(begin + 1, loop.end))
    longest = 10**6 if whole else draw(st.sampled_from([5, 20, 10**6]))
    trace = Trace(case.schedule, case.clocking, begin * loop.tick, end * loop.tick, longest)
    timeline = case.engine(trace=trace)
    joules = st.floats(0, 1e-9)
    energy_j = {
        job.name: np.array([draw(joules) * job.runs_in(f) for f in range(case.frames)]) for job in case.schedule.jobs
    }
    terms = tuple(Term("c", share, 1.0, Range(draw(joules), 0, 0, "row")) for share in ("clock", "leakage"))
    bill = Bill({}, {}, {}, terms, ())
    power = power_over_time(trace, case.schedule, case.service, energy_j, bill, timeline.duration_ps)
    return Traced(case, loop, timeline, trace, power, energy_j, bill.total_j())


def read_perfetto(run: Traced) -> list[dict]:
    packed = io.BytesIO()
    write_perfetto(run.trace, run.power, packed)
    return json.loads(gzip.decompress(packed.getvalue()), parse_float=Decimal)["traceEvents"]


def tick_of(run: Traced, microseconds: Decimal) -> int:
    """Return the tick of a time, which must lie on one exactly."""
    ticks = microseconds * 1_000_000 / run.loop.tick
    assert ticks == int(ticks)
    return int(ticks)


@settings(max_examples=200, deadline=None)
@given(traced())
def test_perfetto_is_the_plain_loop_tick_by_tick(run: Traced) -> None:
    events = read_perfetto(run)
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert sorted(names.values()) == sorted(run.case.clocking.period_ps)
    shown = {}
    for event in events:
        if event["ph"] == "X":
            component, args = names[event["tid"]], event["args"]
            start, end = tick_of(run, event["ts"]), tick_of(run, event["ts"] + event["dur"])
            assert run.trace.begin_ps <= start * run.loop.tick < end * run.loop.tick <= run.trace.end_ps
            title = f"{args['job']} {args['frame']}"
            assert event["name"] == (title if event["cat"] == "busy" else f"{event['cat']} {title}")
            cycles = event["dur"] * 1_000_000 / run.case.clocking.period_ps[component]
            assert abs(cycles - Decimal(str(args["cycles"]))) < Decimal("0.001")
            for tick in range(start, end):
                assert (component, tick) not in shown, "two spans of a component overlap"
                shown[component, tick] = (event["cat"], args["job"], args["frame"])
    inside = run.ticks()
    assert shown == {(name, tick): what for (name, tick), what in run.loop.doing.items() if tick in inside}


@settings(max_examples=100, deadline=None)
@given(traced(whole=True))
def test_spans_of_a_whole_run_add_up_to_the_ledger(run: Traced) -> None:
    spent = dict.fromkeys(
        [(n, s) for n in run.timeline.total for s in ("busy", "wait_input", "wait_output")], Decimal(0)
    )
    events = read_perfetto(run)
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    for event in events:
        if event["ph"] == "X":
            spent[names[event["tid"]], event["cat"]] += event["dur"] * 1_000_000
    for name, cycles in run.timeline.cycles.items():
        period = run.case.clocking.period_ps[name]
        assert spent[name, "busy"] == cycles["busy"] * period
        for state in ("wait_input", "wait_output"):
            assert spent[name, state] // period == cycles[state]


@settings(max_examples=100, deadline=None)
@given(traced())
def test_counters_are_the_plain_loop_tick_by_tick(run: Traced) -> None:
    samples: dict[str, dict[int, Decimal]] = {}
    for event in read_perfetto(run):
        if event["ph"] == "C":
            (value,) = event["args"].values()
            # Of several changes at one instant the last one counts.
            samples.setdefault(event["name"], {})[tick_of(run, event["ts"])] = value
    # What a job draws, from the number of ticks in which the loop ran it.
    ran = [pair for pairs in run.loop.running.values() for pair in pairs]
    length_s = {pair: ran.count(pair) * run.loop.tick * 1e-12 for pair in set(ran)}
    instant = sum(
        joules
        for job, per_frame in run.energy_j.items()
        for f, joules in enumerate(per_frame)
        if (job, f) not in length_s
    )
    even_w = (run.even_j + instant) / (run.timeline.duration_ps * 1e-12)
    shown = dict.fromkeys(samples)
    for tick in run.ticks():
        shown |= {name: times[tick] for name, times in samples.items() if tick in times}
        for channel in run.trace.channels:
            assert shown[channel] == run.loop.depth[channel, tick]
        drawn = sum(run.energy_j[job][frame] / length_s[job, frame] for job, frame in run.loop.running.get(tick, []))
        assert float(shown["power"]) * 1e-6 == pytest.approx(even_w + drawn, rel=1e-9, abs=1e-12)
    assert all(max(times) == run.ticks().stop for times in samples.values())


@settings(max_examples=100, deadline=None)
@given(traced(whole=True))
def test_the_energy_under_the_power_is_the_bill(run: Traced) -> None:
    total = run.even_j + sum(float(joules.sum()) for joules in run.energy_j.values())
    assert run.power.joules() == pytest.approx(total, rel=1e-9, abs=1e-24)


@settings(max_examples=100, deadline=None)
@given(traced())
def test_vcd_is_the_plain_loop_tick_by_tick(run: Traced) -> None:
    with tempfile.NamedTemporaryFile(suffix=".vcd") as file:
        write_vcd(run.trace, file)
        file.flush()
        dump = pywellen.Waveform(file.name)
        variables = {variable.full_name: variable.tv for variable in dump.all_vars()}
    assert str(dump.timescale) == "1ps"
    expected = {f"components.{name}.{what}" for name in run.trace.components for what in ("state", "job", "frame")}
    assert set(variables) == expected | {f"channels.{name}" for name in run.trace.channels}
    steps = {
        name: dict((time // run.loop.tick, value) for time, value in changes) for name, changes in variables.items()
    }
    shown = dict.fromkeys(steps)
    for tick in run.ticks():
        shown |= {name: times[tick] for name, times in steps.items() if tick in times}
        for name in run.trace.components:
            state, job, frame = run.loop.doing.get((name, tick), IDLE)
            assert shown[f"components.{name}.state"] == state
            assert shown[f"components.{name}.job"] == job
            assert shown[f"components.{name}.frame"] == (frame if frame is not None else "z" * 64)
        for channel in run.trace.channels:
            assert shown[f"channels.{channel}"] == run.loop.depth[channel, tick]
