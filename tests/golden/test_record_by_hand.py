"""Every figure of a record from a hand-made run: a timeline, a ledger and a bill of a few numbers each.

The chip is that of `rsnn28nm` at 1 MHz, a cycle a microsecond, with a frame every 100 us; nothing of it is run. All
else is written down here: 200 frames of three utterances, two layers, four parts that do anything.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from accelsim.architecture import load_architecture
from accelsim.cost.lookup import Range
from accelsim.cost.pricing import Bill, Term
from accelsim.engines.execute import Activity, Execution
from accelsim.inputs import Batch
from accelsim.record import Outcome, Run, record
from accelsim.report.roofline import roofline
from accelsim.result import Latency, Result
from accelsim.schedule.job import Job, Schedule
from accelsim.schedule.plan import Summary
from accelsim.score.error_rate import Accuracy
from accelsim.simulate import Ledger, Timeline
from accelsim.workload import load_workload

CYCLE_PS = 1_000_000
FRAMES = 200
STARTS = [0, 50, 120, 200]
AUDIO_S = 0.02

# Cycles from arrival to end: 100 frames of 40, 97 of 60, and one each of 100, 130.5 and 250.
LATENCY = [40.0] * 100 + [60.0] * 100
LATENCY[119], LATENCY[110], LATENCY[111] = 100.0, 250.0, 130.5

JOBS = (
    Job("load", "features", "input_buffer", paced=True),
    Job("a.rows", "a", "pe", ("weights_fc", "weight_bus")),
    Job("a.more", "a", "pe", ("weights_fc", "weight_bus")),
    Job("b.rows", "b", "pe", ("weights_fc", "weight_bus")),
    Job("b.output", "b", "fc_accumulator", last=True),
)
"""Two layers; the PEs, the readout's weights and the bus work on both."""


def each(value: int) -> np.ndarray:
    return np.full(FRAMES, value, np.int64)


def rows(steps: int, blocks: int, read: int) -> dict[str, dict[str, np.ndarray]]:
    return {
        "pe": {"steps": each(steps), "blocks": each(blocks), "accumulate": each(7)},
        "weights_fc": {"read": each(read), "bank_accesses": each(read)},
        "weight_bus": {"transfer": each(read)},
    }


COUNTS = {
    ("load", "input_buffer"): {"write": each(48)},
    **{("a.rows", part): counts for part, counts in rows(10, 2, 3).items()},
    **{("a.more", part): counts for part, counts in rows(5, 1, 1).items()},
    **{("b.rows", part): counts for part, counts in rows(1, 1, 30).items()},
    ("b.output", "fc_accumulator"): {"add": each(0), "write": each(9), "groups": each(1)},
}

ACTIVITY = Activity(
    COUNTS,
    macs={
        "a.rows": {"dense": 1000, "performed": 600, "skipped": 400},
        "a.more": {"dense": 200, "performed": 100, "skipped": 100},
        "b.rows": {"dense": 500, "performed": 300, "skipped": 200},
    },
    saturations={"a": 4},
    sparsity={"a": 0.25},
    conversions={"b": (90, 3)},
    exceptions={"b": {"overflow": 2}},
)

TIMELINE = Timeline(
    cycles={},
    total={},
    duration_ps=20_000 * CYCLE_PS + 500_000,  # half a cycle more than 200 periods
    arrived_ps=np.arange(FRAMES) * 100 * CYCLE_PS,
    started_ps=np.zeros(FRAMES, np.int64),
    finished_ps=np.arange(FRAMES) * 100 * CYCLE_PS + (np.array(LATENCY) * CYCLE_PS).astype(np.int64),
    job_cycles={"load": 200, "a.rows": 2400, "a.more": 1200, "b.rows": 3000, "b.output": 200},
    channel_peak={},
    worked_ps=9000 * CYCLE_PS,
)

ADD = Range(2e-12, 1e-12, 6e-12, "add")
FITTED = Range(5e-12, 5e-12, 5e-12, "fitted", calibrated=True)
TREE = Range(1e-13, 1e-13, 1e-13, "tree")
LEAK = Range(1e-6, 1e-6, 1e-6, "leak")
SECONDS = 0.0200005


def price(value: float) -> Range:
    return Range(value, value, value, "area")


@cache
def chip():
    return load_architecture(
        "rsnn28nm", {"clocks.main.frequency": "1 MHz", "pacing.frame_period": "100 us", "operating_points": "{}"}
    )


def bill() -> Bill:
    """2 nJ of additions, 1 nJ of fitted readout, 2 nJ of clock, 20.0005 nJ of leakage; 0.2 mm2."""
    terms = (
        Term("pe", "dynamic", 1000, ADD),
        Term("fc_accumulator", "dynamic", 200, FITTED),
        Term("controller", "clock", 20_000, TREE),
        Term("weights_fc", "leakage", SECONDS, LEAK),
    )
    energy = {
        name: {"dynamic": 0.0, "clock": 0.0, "standby": 0.0, "leakage": 0.0, "wake": 0.0}
        for name in chip().components()
    }
    for term in terms:
        energy[term.component][term.share] += term.amount * term.price.value
    areas = dict.fromkeys(chip().components(), 0.0) | {"pe": 0.05e-6, "weights_fc": 0.15e-6}
    lines = tuple(Term(name, "area", 1, price(area)) for name, area in areas.items())
    return Bill(energy, {"a": 1.5e-9, "b": 0.5e-9}, areas, terms, lines, idle_w=1.1e-6, full_w=8e-6)


def ledger() -> Ledger:
    cycles = {n: {"busy": 1, "wait_input": 2, "wait_output": 3, "idle": 4} for n in chip().components()}
    return Ledger(cycles, {}, {"pe": {"accumulate": 1000}})


def hand_made(**changes: object) -> Run:
    batch = Batch(
        np.zeros((FRAMES, 48), np.uint8),
        np.array(STARTS),
        ("x", "y", "z"),
        "made up",
        None,
        AUDIO_S,
        1e-4,
        spoken_by=("ann", "bob", "cid"),
    )
    execution = Execution(None, {}, ACTIVITY, np.array(STARTS), np.array(STARTS))
    run = Run(
        workload=load_workload("rsnn_paper_activity"),
        batch=batch,
        schedule=Schedule(JOBS),
        execution=execution,
        outcome=Outcome(chip(), TIMELINE, ledger(), bill()),
        points={},
        accuracy=None,
        reference=None,
        seed=7,
    )
    return replace(run, **changes)


@pytest.fixture(scope="module")
def made() -> Result:
    return record(hand_made())


def test_latencies(made: Result) -> None:
    """Sorted: 40 in places 0 to 99, 60 in 100 to 196, then 100, 130.5 and 250; a cycle begun is a cycle.

    p50: place ceil(0.5 * 199) = 100; p99: place ceil(0.99 * 199) = ceil(197.01) = 198.
    Of the three utterances: frames 49, 119 and 199, 40, 100 and 60 cycles; places ceil(1) = 1 and ceil(1.98) = 2.
    """
    p = made.performance
    assert p.latency_cycles == Latency(p50=60, p99=131, max=250)
    assert p.utterance_latency_cycles == Latency(p50=60, p99=100, max=100)


def test_deadlines(made: Result) -> None:
    """A frame period is 100 cycles. A frame of exactly 100 is in time; those of 130.5 and 250 are late."""
    assert made.performance.deadline_misses == 2


def test_a_frame_of_several_inputs_has_their_periods() -> None:
    """Two of the batch's frames in one of the schedule: 200 cycles, which only the one of 250 exceeds."""
    run = hand_made()
    assert record(replace(run, execution=replace(run.execution, subsampling=2))).performance.deadline_misses == 1


def test_frames_back_to_back_have_no_deadline() -> None:
    packed = load_architecture("rsnn28nm", {"clocks.main.frequency": "1 MHz", "pacing.mode": "back_to_back"})
    run = hand_made(outcome=Outcome(packed, TIMELINE, ledger(), bill()))
    of_both = record(hand_made()).performance, record(run).performance
    assert [p.deadline_misses for p in of_both] == [2, 0]
    same = {name: getattr(of_both[0], name) for name in type(of_both[0]).model_fields if name != "deadline_misses"}
    assert same == {name: getattr(of_both[1], name) for name in same}, "one meaning in every mode"


def test_the_pipeline(made: Result) -> None:
    """From the end of frame 49, 4,940, to that of frame 199, 19,960: 15,020 cycles for 150 frames.

    At 11,200 frames 110 (until 11,250), 111 (until 11,230.5) and 112 (until 11,260) are there.
    """
    assert made.performance.interval_cycles == pytest.approx(15_020 / 150)
    assert made.performance.frames_in_flight == 3


def test_time_and_work(made: Result) -> None:
    """20,000.5 cycles are 20,001 begun; 9,000 at work are 45 a frame and 9,000 / 20,000.5 of the time."""
    p = made.performance
    assert (p.frames, p.utterances, p.cycles, p.clock_hz) == (200, 3, 20_001, 1e6)
    assert p.seconds == pytest.approx(0.0200005)
    assert p.cycles_per_frame == 45
    assert p.duty_cycle == pytest.approx(0.44998875, rel=1e-7)
    assert (p.audio_seconds, p.real_time_factor) == (0.02, pytest.approx(1.000025))
    # 1,000 MACs of 1,700, in 0.02 s of audio: 50,000 a second.
    assert (p.macs_dense, p.macs_performed) == (1700, 1000)
    assert p.mmac_per_audio_second == pytest.approx(0.05)


def test_energy(made: Result) -> None:
    """2 + 1 + 2 + 20.0005 = 25.0005 nJ, in 20.0005 ms; a chip at rest draws what its bill says."""
    e = made.energy
    assert e.total_j == pytest.approx(25.0005e-9)
    assert (e.dynamic_j, e.clock_j, e.leakage_j) == pytest.approx((3e-9, 2e-9, 20.0005e-9))
    assert e.per_frame_j == pytest.approx(125.0025e-12)
    assert e.per_audio_second_j == pytest.approx(1.250025e-6)
    assert e.idle_power_w == 1.1e-6
    assert made.power_w == pytest.approx(25.0005e-9 / 0.0200005)
    assert made.area_mm2 == pytest.approx(0.2)
    assert made.efficiency.mw_per_mm2 == pytest.approx(1.24999375e-3 / 0.2, rel=1e-6)


def test_efficiency(made: Result) -> None:
    """Of the run: 3,400 dense operations in 20.0005 ms, 2,000 performed, at 25.0005 nJ.

    Peak: 2 x 128 PEs at 1 MHz, 256 million multiplications a second. The layers that they multiply for took 2 nJ for
    1,000: 2 pJ each, 512 uW. With all parts at work the bill has 8 uW of clocks and leakage beside it.
    """
    found = made.efficiency.definitions
    assert set(found) == {"dense", "performed", "peak", "peak_and_add"}
    assert found["dense"].gops == pytest.approx(3400 / 0.0200005 / 1e9)
    assert found["dense"].tops_per_w == pytest.approx(3400 / 25.0005e-9 / 1e12)
    assert found["performed"].gops == pytest.approx(2000 / 0.0200005 / 1e9)
    assert found["performed"].tops_per_w == pytest.approx(2000 / 25.0005e-9 / 1e12)
    peak_w = 520e-6
    assert found["peak"].gops == pytest.approx(0.512)
    assert found["peak"].gops_per_mm2 == pytest.approx(0.512 / 0.2)
    assert found["peak"].tops_per_w == pytest.approx(0.512e-3 / peak_w)
    assert found["peak_and_add"].gops == pytest.approx(1.024)
    assert found["peak_and_add"].tops_per_w == pytest.approx(1.024e-3 / peak_w)
    chosen = made.efficiency
    assert chosen.op_definition == "dense"
    assert (chosen.gops, chosen.tops_per_w, chosen.gops_per_mm2) == (
        found["dense"].gops, found["dense"].tops_per_w, found["dense"].gops_per_mm2,
    )  # fmt: skip


def test_spread(made: Result) -> None:
    """Only the additions have a range: 1 to 6 pJ around 2, 1,000 of them, beside 23.0005 nJ.

    A quantile q lies at 2 (1 / 2)^(1 - sqrt(2 q)) below the value and 2 (6 / 2)^(1 - sqrt(2 - 2 q)) above it. At 5 and
    95 %: 1 - sqrt(0.1) = 0.68377: 1.2450 and 4.2389 pJ, 24.2455 and 27.2394 nJ. Of 4,096 draws, to 1 % of that.
    """
    low, high = made.uncertainty.power_w
    assert (low, high) == pytest.approx((24.2455e-9 / SECONDS, 27.2394e-9 / SECONDS), rel=0.002)
    assert made.uncertainty.area_mm2 == pytest.approx((0.2, 0.2))
    assert made.uncertainty.mw_per_mm2 == pytest.approx((low * 1e3 / 0.2, high * 1e3 / 0.2))


def test_layers(made: Result) -> None:
    """Layer a: the PEs work (10 + 2) + (5 + 1) = 18 cycles a frame, the weights 3 + 1 in the busiest bank, the bus
    ceil(3 / 2) + ceil(1 / 2) = 3. Layer b: 1 + 1 = 2, 30, 15: the memory sets its pace.

    Words of 512 bits, 64 bytes: 200 x 4 and 200 x 30 of them. Features: 48 writes of a byte.
    """
    features, a, b = made.layers
    assert (features.name, a.name, b.name) == ("features", "a", "b")
    assert (a.cycles, b.cycles) == (3600, 3200)
    assert (a.macs_dense, a.macs_performed, b.macs_dense, b.macs_performed) == (1200, 700, 500, 300)
    assert (a.sparsity, b.sparsity, a.saturations, b.saturations) == (0.25, None, 4, 0)
    assert a.adc is None and b.adc is not None and (b.adc.conversions, b.adc.clipped) == (90, 3)
    assert (a.energy_j, b.energy_j, features.energy_j) == (1.5e-9, 0.5e-9, 0.0)
    assert (a.pace_s, b.pace_s) == pytest.approx((200 * 18e-6, 200 * 30e-6))
    assert a.moved_bytes == {"weights_fc": 200 * 4 * 64, "weight_bus": 200 * 4 * 64}
    assert b.moved_bytes == {"weights_fc": 200 * 30 * 64, "weight_bus": 200 * 30 * 64}
    assert features.moved_bytes == {"input_buffer": 200 * 48}
    assert (a.faults, b.faults) == ({}, {"overflow": 2})


def test_components(made: Result) -> None:
    """A bus of two lanes of 64 bytes, at 1 MHz; two banks of 64 bytes; 48 registers of a byte a cycle."""
    parts = {part.name: part for part in made.components}
    pe = parts["pe"]
    assert (pe.busy_cycles, pe.wait_input_cycles, pe.wait_output_cycles, pe.idle_cycles) == (1, 2, 3, 4)
    assert (pe.kind, pe.actions, pe.area_mm2) == ("pe_array", {"accumulate": 1000}, pytest.approx(0.05))
    assert (pe.energy_j.dynamic, parts["controller"].energy_j.clock) == pytest.approx((2e-9, 2e-9))
    assert parts["weights_fc"].energy_j.leakage == pytest.approx(20.0005e-9)
    paths = ("pe", "weight_bus", "weights_fc", "input_buffer")
    assert [parts[name].peak_bytes_per_s for name in paths] == pytest.approx([0, 128e6, 128e6, 48e6])
    # 48, 2 x 192 and 2 x 960 rows of 64 bytes; 48 of features, 256 membranes of two bytes, 512 spikes.
    assert made.memory_bytes == {"sram": 150_528, "edram": 0, "register_file": 48 + 512 + 64, "l2": 0}


def test_leakage_bracket(made: Result) -> None:
    """150,528 bytes are 147 KiB; without leakage the chip draws 5 nJ / 20.0005 ms = 0.24999 uW.

    CACTI 7 LSTP: 0.0262 uW per KiB, 3.8514 uW; ODIN: 0.758, 111.426 uW (papers' own rows in arch/cost/cmos28.yaml).
    """
    found = {row.name: row.power_w for row in made.leakage_bracket}
    assert found["CACTI 7 LSTP 32 nm"] == pytest.approx(0.24999e-6 + 3.8514e-6, rel=1e-5)
    assert found["ODIN silicon 28 nm FDSOI"] == pytest.approx(0.24999e-6 + 111.426e-6, rel=1e-5)
    assert len(found) == 6


def test_provenance(made: Result) -> None:
    """1 of 25.0005 nJ rests on a fitted row: 4.0 %."""
    assert made.provenance.calibrated[-1] == "fitted (cost table 'cmos28_rsnn'): 4.0% of the energy"
    assert "96.0% of the energy" in made.provenance.predicted
    assert made.seed == 7


def test_accuracy() -> None:
    """Runs of 10, 13 and 16 %: mean 13, sample deviation 3; low ends 8, 11, 14, high ends 12, 15, 18."""
    runs = [Accuracy("word error rate", v, v - 2, v + 2, 500, "words", "%", {}) for v in (10.0, 13.0, 16.0)]
    reference, exact = (replace(runs[0], value=v) for v in (9.0, 9.5))
    several = hand_made(accuracy=runs[0], programmed_again=tuple(runs[1:]), reference=reference, exact=exact)
    found = record(several).accuracy
    assert found is not None
    assert (found.value, found.mean, found.sd) == pytest.approx((13, 13, 3))
    assert (found.low, found.high, found.loss) == pytest.approx((11, 15, 4))
    assert (found.runs, found.reference_value, found.exact_value) == ([10, 13, 16], 9.0, 9.5)
    assert (found.n, found.counted, found.unit, found.dataset, found.speakers) == (500, "words", "%", "made up", 3)
    assert (found.by_speaker, found.speaker_sd) == ([], None), "no errors of each utterance, so none of each speaker"
    alone = record(hand_made(accuracy=runs[0])).accuracy
    assert alone is not None
    assert (alone.value, alone.low, alone.high, alone.loss) == (10, 8, 12, None)
    assert (alone.runs, alone.mean, alone.sd) == ([], None, None)


def test_accuracy_of_each_speaker() -> None:
    """Ann 2 and 4 of 10, Bob 10 and 8 of 40, twice; Cid says nothing: 30 and 22.5 %, deviation 7.5 / sqrt(2)."""

    def of(*errors: int) -> Accuracy:
        return Accuracy("word error rate", 24.0, 20, 28, 50, "words", "%", {}, errors, (10, 40, 0))

    batch = replace(hand_made().batch, spoken_by=("ann", "bob", "cid"))
    run = hand_made(accuracy=of(2, 10, 0), programmed_again=(of(4, 8, 0),), reference=of(1, 2, 0), batch=batch)
    found = record(run).accuracy
    assert found is not None
    ann, bob = found.by_speaker
    assert (ann.name, ann.value, ann.n, ann.reference_value) == ("ann", 30.0, 10, 10.0)
    assert (bob.name, bob.value, bob.n, bob.reference_value) == ("bob", 22.5, 40, 5.0)
    assert found.speaker_sd == pytest.approx(7.5 / 2**0.5)
    misses = Accuracy("missed wake words", 50.0, 0, 100, 2, "wake words", "%", {}, (0, 1), (1, 1), heard=(0, 2))
    of_words = record(replace(run, accuracy=misses, programmed_again=(), reference=None)).accuracy
    assert of_words is not None and [(one.name, one.value) for one in of_words.by_speaker] == [
        ("ann", 0.0),
        ("cid", 100.0),
    ]
    plugged = replace(misses, heard=())  # of a plug-in that says not which utterances it counted
    unknown = record(replace(run, accuracy=plugged, programmed_again=(), reference=None)).accuracy
    assert unknown is not None and unknown.by_speaker == []
    for spoken_by in (("ann", "ann", "ann"), ("ann", "", "cid"), ()):
        alone = record(replace(run, batch=replace(batch, spoken_by=spoken_by))).accuracy
        assert alone is not None and (alone.by_speaker, alone.speaker_sd) == ([], None)


def test_plan() -> None:
    """Bits become bytes; two inputs of 0.1 ms make a frame of the plan."""
    plan = Summary(
        chunk=4, pieces={"a": 2}, spilled={"b": 80}, weight_bits=800, state_bits=160, state_in_l2=True, peak_bits=2400,
        room_bits=8192, lpddr_bits=88, on_cpu=("b",),
    )  # fmt: skip
    found = record(hand_made(schedule=Schedule(JOBS, inputs_per_frame=2, plan=plan))).plan
    assert found is not None
    assert found.model_dump() == {
        "frames": 4, "seconds": pytest.approx(2e-4), "pieces": {"a": 2}, "spilled": {"b": 10}, "weight_bytes": 100,
        "state_bytes": 20, "state_in_l2": True, "peak_bytes": 300, "room_bytes": 1024, "lpddr_bytes": 11,
        "on_cpu": ["b"],
    }  # fmt: skip


def test_programming() -> None:
    """300 pulses at 2 nJ (1 to 6); 128 cells are written at once, in 10 ns: three times."""
    tile = load_architecture("memristor_tile")
    names = tile.components()
    idle = dict.fromkeys(("busy", "wait_input", "wait_output", "idle"), 0)
    written = Term("crossbar", "programming", 300, Range(2e-9, 1e-9, 6e-9, "pulse"))
    parts = {name: {"dynamic": 0.0, "clock": 0.0, "standby": 0.0, "leakage": 0.0, "wake": 0.0} for name in names}
    priced = replace(bill(), energy_j=parts, area_m2=dict.fromkeys(names, 1e-9), programming=(written,))
    outcome = Outcome(tile, TIMELINE, Ledger(dict.fromkeys(names, idle), {}, {}), priced)
    run = hand_made(outcome=outcome, schedule=Schedule(()), workload=load_workload("tile_frames"))
    activity = replace(ACTIVITY, programming={"cells": 40, "write_pulses": 300})
    found = record(replace(run, execution=replace(run.execution, activity=activity))).programming
    assert (found.cells, found.write_pulses) == (40, 300)
    assert found.time_s == pytest.approx(30e-9)
    assert found.energy_j == pytest.approx(600e-9)
    assert found.energy_interval_j == pytest.approx((300e-9, 1800e-9))
    assert record(hand_made()).programming.cells == 0


def test_roofline(made: Result) -> None:
    """Layer b: 2 x 300 operations in 6 ms over 200 x 30 words of 64 bytes; a: 2 x 700 in 3.6 ms over 200 x 4.

    The bus passes 128 MB/s and the PEs do 0.512 G operations a second: at 1/640 operation a byte b may do 0.2 M
    operations a second, and a, at 1,400 / 51,200, 3.5 M.
    """
    spots = {(spot.layer, spot.path): spot for spot in roofline(made)}
    b, a = spots["b", "weight_bus"], spots["a", "weight_bus"]
    assert (b.operations, b.bytes, b.intensity) == (600, 384_000, pytest.approx(1 / 640))
    assert (a.rate, b.rate) == pytest.approx((1400 / 3.6e-3, 600 / 6e-3))
    assert (a.peak, a.bytes_per_s) == pytest.approx((0.512e9, 128e6))
    assert (a.roof, b.roof) == pytest.approx((3.5e6, 0.2e6))
    assert not a.compute_bound and not b.compute_bound
    quick = replace(a, bytes_per_s=1e12)
    assert quick.compute_bound and quick.roof == pytest.approx(0.512e9)
