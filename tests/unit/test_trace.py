"""Traces: windows, a trace by hand in picoseconds, where it is cut, and the files that `accelsim run` writes."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import pywellen
from chips import batch_of

from accelsim.cost import Power
from accelsim.errors import InputError
from accelsim.pipeline import Stages, run_in_full, trace
from accelsim.report.perfetto import write_perfetto
from accelsim.report.vcd import write_vcd
from accelsim.schedule.job import Job, Schedule, part_of
from accelsim.simulate import Clocking, Link, Timeline, Trace, Window, simulate

ARGUMENTS = ("run", "rsnn28nm", "-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=6")


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("0ms:5ms", Window(0, 5_000_000_000)),
        (" 1.5 us : 2 us ", Window(1_500_000, 2_000_000)),
        ("2s:", Window(2_000_000_000_000)),
        (":7ps", Window(None, 7)),
        ("10:12", Window(10, 12, frames=True)),
        ("3:", Window(3, None, frames=True)),
    ],
)
def test_windows(text: str, window: Window) -> None:
    assert Window.parse(text) == window


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5ms", r"'5ms' is not a window BEGIN:END \(write 0ms:5ms .*\)"),
        (":", "':' is not a window BEGIN:END .*"),
        ("3:5ms", "'3:5ms' mixes a time and a number of frames .*"),
        ("5ms:5ms", "the window '5ms:5ms' is empty .*"),
        ("12:10", "the window '12:10' is empty .*"),
        ("-1ms:2ms", "the window '-1ms:2ms' is empty .*"),
        ("0 pJ:1 pJ", ".*0 pJ.* is an energy, expected a time such as '16 ms'.*"),
    ],
)
def test_no_windows(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        Window.parse(text)


# Two clocks without a common multiple near: a of 333 ps, b of 500 ps; a tick is 1 ps. a works 3 cycles a frame, b 2,
# and there is room for one token between them, one cycle of b on the way.
# a: frame 0 from 0 to 999 ps and puts; frame 1 runs 999 to 1998, waits for the slot.
# b: sees the token at 999 + 500 = 1499, starts on its edge at 1500, is done and frees the slot at 2500.
# a: puts at 2500 and is done. b: sees it at 3000, which is an edge, and works to 4000.
A, B = 333, 500


def by_hand(begin: int = 0, end: int = 4000, longest: int = 1000) -> tuple[Trace, Timeline]:
    jobs = (Job("ja", "l", "a", gives=("a->b",), paced=True), Job("jb", "l", "b[7]", takes=("a->b",), last=True))
    schedule, clocking = Schedule(jobs), Clocking({"a": A, "b[7]": B, "c": A})
    recorded = Trace(schedule, clocking, begin, end, longest)
    service = {("ja", "a"): np.array([3, 3]), ("jb", "b[7]"): np.array([2, 2])}
    links = [NamedLink("a", "b[7]", 1, 1)]
    return recorded, simulate(schedule, links, service, clocking, 2, trace=recorded)


class NamedLink(Link):
    def name(self) -> str:
        return "a->b"


def json_of(recorded: Trace) -> str:
    packed = io.BytesIO()
    write_perfetto(recorded, Power(np.array([0]), np.array([2e-6]), recorded.end_ps), packed)
    return gzip.decompress(packed.getvalue()).decode()


def spans_in(text: str) -> list[tuple[str, str, str]]:
    events = json.loads(text, parse_float=str)["traceEvents"]
    return [(event["name"], event["ts"], event["dur"]) for event in events if event["ph"] == "X"]


def test_two_clocks_by_hand_in_exact_decimals() -> None:
    recorded, _ = by_hand()
    text = json_of(recorded)
    assert spans_in(text) == [
        ("ja 0", "0.000000", "0.000999"),
        ("ja 1", "0.000999", "0.000999"),
        ("wait_output ja 1", "0.001998", "0.000502"),
        ("wait_input jb 0", "0.000000", "0.001500"),
        ("jb 0", "0.001500", "0.001000"),
        ("wait_input jb 1", "0.002500", "0.000500"),
        ("jb 1", "0.003000", "0.001000"),
    ]
    events = json.loads(text, parse_float=str)["traceEvents"]
    # b frees the last slot at 4000, the end itself, which does not belong to the trace any more.
    slots = [(e["ts"], e["args"]["slots"]) for e in events if e["ph"] == "C" and e["name"] == "a->b"]
    assert slots == [
        ("0.000000", 0), ("0.000999", 1), ("0.002500", 0), ("0.002500", 1), ("0.004000", 1),
    ]  # fmt: skip
    assert [e["args"] for e in events if e["name"] == "power"] == [{"uW": "2.0"}, {"uW": "2.0"}]
    assert [e["args"]["name"] for e in events if e["name"] == "thread_name"] == ["a", "b[7]", "c"]


def test_a_window_clips() -> None:
    # The window's ends lie within spans and on no edge of either clock.
    recorded, _ = by_hand(1001, 2600)
    assert spans_in(json_of(recorded)) == [
        ("ja 1", "0.001001", "0.000997"),
        ("wait_output ja 1", "0.001998", "0.000502"),
        ("wait_input jb 0", "0.001001", "0.000499"),
        ("jb 0", "0.001500", "0.001000"),
        ("wait_input jb 1", "0.002500", "0.000100"),
    ]
    # The token that a put before the window is there from its begin on.
    assert recorded.depths().tolist() == [[1001, 0, 1], [2500, 0, 0], [2500, 0, 1]]


def test_windows_of_frames() -> None:
    _, timeline = by_hand()
    assert Window(1, None, frames=True).bounds_ps(timeline) == (999, 4000)
    assert Window(0, 1, frames=True).bounds_ps(timeline) == (0, 2500)
    assert Window(3000, 10**9).bounds_ps(timeline) == (3000, 4000)
    assert Window().bounds_ps(timeline) == (0, 4000)
    nothing = simulate(
        Schedule((Job("j", "l", "a", paced=True, last=True),)),
        [],
        {("j", "a"): np.array([0, 3])},
        Clocking({"a": A}),
        2,
    )
    with pytest.raises(InputError, match="the frames of the window take no time"):
        Window(0, 1, frames=True).bounds_ps(nothing)
    with pytest.raises(InputError, match="begins after the end of the run, which lasts 2 frames"):
        Window(2, 3, frames=True).bounds_ps(timeline)
    with pytest.raises(InputError, match="begins after the end of the run, which lasts 4e-09 s"):
        Window(4000).bounds_ps(timeline)


def test_too_long_a_trace_is_cut_where_it_is_still_whole() -> None:
    # Events in the order in which they are over: ja 0 (its run and its span), the token's put at 999, ...
    recorded, timeline = by_hand(longest=3)
    assert (recorded.cut, recorded.end_ps) == (True, 999)
    assert spans_in(json_of(recorded)) == [
        ("ja 0", "0.000000", "0.000999"),
        ("wait_input jb 0", "0.000000", "0.000999"),
    ]
    assert timeline.duration_ps == 4000, "the run itself goes on"
    assert not by_hand(longest=1000)[0].cut


def test_names_in_a_dump(tmp_path: Path) -> None:
    recorded, _ = by_hand(longest=10)
    with (tmp_path / "trace.vcd").open("wb") as file:
        write_vcd(recorded, file)
    assert "cut after too many events" in (tmp_path / "trace.vcd").read_text()
    dump = pywellen.Waveform(str(tmp_path / "trace.vcd"))
    names = {variable.full_name for variable in dump.all_vars()}
    assert {"components.b(7).state", "channels.a->b"} <= names


def spent_in(events: list[dict], period_us: Decimal) -> Counter[tuple[str, str]]:
    """Return the cycles of all copies of a component in a state, from the spans."""
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    spent: Counter[tuple[str, str]] = Counter()
    for event in events:
        if event["ph"] == "X":
            spent[part_of(tracks[event["tid"]]), event["cat"]] += event["dur"] / period_us
    return spent


def test_the_files_hold_the_run(accelsim, tmp_path: Path) -> None:
    done = accelsim(*ARGUMENTS, "--out", "runs", "--trace", "perfetto", "--trace", "vcd")
    assert done.code == 0, done.err
    written = ["runs/result.json", "runs/trace.json.gz", "runs/trace.vcd"]
    assert done.err.splitlines() == [f"wrote {name}" for name in written]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [Path(name).name for name in written]

    result = json.loads((tmp_path / "runs/result.json").read_text())
    with gzip.open(tmp_path / "runs/trace.json.gz") as file:
        events = json.load(file, parse_float=Decimal)["traceEvents"]
    period_us = Decimal(round(1e12 / result["performance"]["clock_hz"])) / 1_000_000
    spent = spent_in(events, period_us)
    for component in result["components"]:
        for state in ("busy", "wait_input", "wait_output"):
            assert spent[component["name"], state] == component[f"{state}_cycles"]

    samples = [(e["ts"], e["args"]["uW"]) for e in events if e["name"] == "power"]
    joules = sum(float(power * (then - now)) * 1e-12 for (now, power), (then, _) in pairwise(samples))
    assert joules == pytest.approx(result["energy"]["total_j"], rel=1e-9)

    dump = pywellen.Waveform(str(tmp_path / "runs/trace.vcd"))
    busy: Counter[str] = Counter()
    for variable in dump.all_vars():
        if variable.name == "state":
            changes = list(variable.tv)
            for (now, state), (then, _) in zip(changes, [*changes[1:], (None, None)], strict=True):
                if state == "busy":
                    end = round(result["performance"]["seconds"] * 1e12) if then is None else then
                    busy[variable.full_name.split(".")[1]] += end - now
    period_ps = int(period_us * 1_000_000)
    assert {name: ps // period_ps for name, ps in busy.items()} == {
        component["name"]: component["busy_cycles"] for component in result["components"] if component["busy_cycles"]
    }


def test_copies_in_tiles_have_tracks_of_their_own() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (20, 360)).astype(np.uint8)
    run = run_in_full(
        "memristor_tile",
        overrides={"components.crossbar.device": "ideal", "components.crossbar.wires": "none"},
        stages=Stages(load_batch=lambda *_: batch_of(frames, [0, len(frames)])),
    )
    recorded, power = trace(run, Window())
    packed = io.BytesIO()
    write_perfetto(recorded, power, packed)
    events = json.loads(gzip.decompress(packed.getvalue()), parse_float=Decimal)["traceEvents"]
    tracks = [e["args"]["name"] for e in events if e["name"] == "thread_name"]
    assert [name for name in tracks if part_of(name) == "adc"] == ["adc[0]", "adc[1]", "adc[2]"]
    spent = spent_in(events, Decimal("0.01"))
    for name, states in run.outcome.ledger.cycles.items():
        assert {state: spent[name, state] for state in states if state != "idle"} == {
            state: cycles for state, cycles in states.items() if state != "idle"
        }
    assert power.joules() == pytest.approx(run.outcome.bill.total_j(), rel=1e-9)


def test_a_window_on_the_command_line(accelsim, tmp_path: Path) -> None:
    done = accelsim(*ARGUMENTS, "--out", "runs", "--trace", "perfetto", "--trace-window", "2:4")
    assert done.code == 0
    with gzip.open("runs/trace.json.gz") as file:
        content = json.load(file, parse_float=Decimal)
    # A frame arrives every 10 ms: the window lasts from 20 ms until frame 3 is finished.
    assert content["otherData"]["begin_us"] == "20000.000000"
    assert 30_000 < Decimal(content["otherData"]["end_us"]) < 40_000
    assert {e["args"]["frame"] for e in content["traceEvents"] if e["ph"] == "X" and e["cat"] == "busy"} == {2, 3}
    assert not (tmp_path / "runs/trace.vcd").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--trace", "vcd"), "error: --trace needs a folder to write to (add --out FOLDER)\n"),
        (("--trace-window", "0:1"), "error: --trace-window without a trace (add --trace perfetto or --trace vcd)\n"),
        (
            ("--trace", "vcd", "--out", "runs", "--trace-window", "6:7"),
            "error: the window begins after the end of the run, which lasts 6 frames\n",
        ),
    ],
)
def test_bad_traces_leave_no_trace(accelsim, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = accelsim(*ARGUMENTS, *arguments)
    assert (done.code, done.err.removeprefix("wrote runs/result.json\n")) == (2, message)
    assert not list(tmp_path.glob("runs/*trace*"))


def test_a_cut_trace_is_told(accelsim) -> None:
    done = accelsim(*ARGUMENTS, "--out", "runs", "--trace", "vcd", "--limit", "events=50")
    assert done.code == 0
    assert "the trace ends at " in done.err and "after 50 events" in done.err and "--trace-window" in done.err


@pytest.mark.parametrize("text", ["1e309ms:", "1:" + "9" * 5000, "0ms:1e400 s"])
def test_a_window_of_no_number_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a window BEGIN:END"):
        Window.parse(text)
