"""What the record and the console say of a run on an NPU: plan, duty cycle, late chunks, traffic, faults."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from chips import text
from graphs import Streaming, chip, write_graph
from rich.console import Console
from safetensors.numpy import save_file

import accelsim
from accelsim.pipeline import run_in_full
from accelsim.record import Run, record
from accelsim.report.console import summary
from accelsim.report.headline import headlines, notes
from accelsim.report.html import run_page
from accelsim.result import Result
from accelsim.workload import load_workload

SHAPE = Streaming(chunk=4, left=6)
"""A chunk is 4 rows of 4 frames of 10 ms each: 160 ms."""
SECONDS = 0.5
"""50 frames: 13 rows of 4 frames each, 4 chunks, the last one filled up."""
PERIOD_S = 0.16
SMALL_L2 = {"components.l2.banks": 67, "components.l2.weight_banks": 64, "components.l2.width_bits": 32}


def run(folder: Path, shape: Streaming = SHAPE, **keys: object) -> Run:
    path = write_graph(folder, shape.layers(), bands=shape.bands, seconds=SECONDS)
    return run_in_full("edge_npu", path, overrides={key: text(value) for key, value in keys.items()})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("npu"))


def shown(result: Result) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(summary(result, full=True))
    return console.export_text()


def row(result: Result, name: str) -> tuple[tuple[str, ...], str]:
    """Return the values of a headline, this run's first, and its note."""
    found = [line for line in headlines(result) if line.name == name]
    assert len(found) == 1, name
    return found[0].values, found[0].note


# A run that keeps up


def test_time_of_chunks(made: Run) -> None:
    result = record(made)
    p, timeline = result.performance, made.outcome.timeline
    assert (p.frames, p.utterances) == (4, 1)
    assert p.audio_seconds == pytest.approx(SECONDS)
    assert result.plan is not None and (result.plan.frames, result.plan.seconds) == (4, pytest.approx(PERIOD_S))
    # Chunk n arrives n periods after the first one, and is worked on for well below a period: one at a time.
    assert np.diff(timeline.arrived_ps).tolist() == [160_000_000_000] * 3
    latency_ps = timeline.finished_ps - timeline.arrived_ps
    period_ps = 2500  # 400 MHz
    assert p.latency_cycles.max == -(-int(latency_ps.max()) // period_ps)
    assert p.latency_cycles.p50 <= p.latency_cycles.p99 <= p.latency_cycles.max < PERIOD_S * 400e6
    assert p.frames_in_flight == 1 and p.deadline_misses == 0
    # The chip is at work from the arrival of a chunk, which the CPU starts, to its end; duty cycle = the share of that
    # in all of the time. The run lasts until the period of its last chunk is over.
    work_ps = latency_ps
    assert p.duty_cycle == pytest.approx(work_ps.mean() / 160e9)
    assert p.seconds == pytest.approx(4 * PERIOD_S)
    assert p.cycles_per_frame == pytest.approx(work_ps.mean() / period_ps)
    assert 0 < p.duty_cycle < 0.01

    point = result.operating_points["throughput"]
    assert point.performance.duty_cycle == 1 and point.performance.deadline_misses == 0, "a chunk follows the other"
    # One meaning at both points: the CPU starts a chunk when it has read the outputs of the one before. In real time
    # each of the four finds LPDDR in self-refresh, which it takes 187.5 ns, 75 cycles, to leave; back to back the first
    # one alone does: 3 * 75 cycles less of four chunks, but for the edges of the clocks.
    assert point.performance.cycles_per_frame == pytest.approx(point.performance.cycles / 4, rel=1e-4)
    assert p.cycles_per_frame - point.performance.cycles_per_frame == pytest.approx(3 * 75 / 4, abs=0.1)
    assert point.performance.seconds < p.seconds
    assert point.performance.real_time_factor == pytest.approx(point.performance.seconds / SECONDS)
    assert p.real_time_factor == pytest.approx(p.seconds / SECONDS)


def test_the_first_jobs_of_a_chunk_are_the_cpus(made: Run) -> None:
    """Latency counts from the arrival of the chunk: 36000 cycles of 1.8 GHz to start it, 20 us, before any work."""
    timeline = made.outcome.timeline
    dispatch_ps = 36000 * 556  # the period of 1.8 GHz, in whole picoseconds
    assert (timeline.started_ps - timeline.arrived_ps >= dispatch_ps).all()
    assert (timeline.finished_ps - timeline.arrived_ps > 2 * dispatch_ps).all()  # the outputs are read by it too


def test_energy_of_audio_and_of_waiting(made: Run) -> None:
    result = record(made)
    for point in (result, result.operating_points["throughput"]):
        energy = point.energy
        assert energy.per_audio_second_j == pytest.approx(energy.total_j / SECONDS)
        assert energy.per_frame_j == pytest.approx(energy.total_j / 4)
        shares = (energy.dynamic_j, energy.clock_j, energy.standby_j, energy.leakage_j, energy.wake_j)
        assert energy.total_j == pytest.approx(sum(shares))
        assert 0 < energy.idle_power_w < point.power_w
    # Work costs the same at any pace; waiting costs by the second.
    assert result.energy.dynamic_j == pytest.approx(result.operating_points["throughput"].energy.dynamic_j)
    assert result.energy.total_j > 10 * result.operating_points["throughput"].energy.total_j


def test_traffic_is_counted_in_words(made: Run) -> None:
    """Words of 64 bits of the DRAM's reads and writes, and of the DMA's transfers between its ends."""
    result = record(made)
    dram = next(c for c in result.components if c.kind == "dram")
    assert result.dram_bytes() == 8 * (dram.actions["read"] + dram.actions["write"])
    values, note = row(result, "LPDDR traffic")
    assert values[0] == f"{result.dram_bytes() / SECONDS / 1000:.3g} kB/s"
    # All that moves: weights, word by word; features of 16 frames of 8 bytes in, 4 rows of 5 float16 out, 40 bytes.
    assert result.plan is not None and not result.plan.spilled and result.plan.state_in_l2
    assert result.plan.lpddr_bytes == result.plan.weight_bytes
    loads = [int(job.work.row()["weight_bits"]) for job in made.schedule.jobs if job.work.row()["stage"] == "load"]
    assert sum(loads) == 8 * result.plan.weight_bytes
    assert result.dram_bytes() == 4 * 8 * (sum(-(-bits // 64) for bits in loads) + 16 * 8 // 8 + 40 // 8)
    assert note.startswith("of audio; ") and note.endswith("of weights a chunk")


def test_plan_by_hand(made: Run) -> None:
    """Float16 weights of the network, layer by layer, and the state that chunks hand on."""
    c, d, f = 3, 12, 20
    plan = record(made).plan
    assert plan is not None
    front = 9 * 1 * c + 9 * c + 2 * c * d  # 3 x 3 of one channel, 3 x 3 of each of three, two bands of those to 12
    block = 2 * 2 * d * f + 2 * d * d + 3 * d + d * d + 3 * d * d + d * d  # the last: q, k, v and what follows heads
    places = (6 + 2 * 4 - 1) * d  # vectors of 13 distances
    output = d * 5
    assert plan.weight_bytes == 2 * (front + block + places + output)
    # A row behind each convolution with a stride of two, of 8 codes and of 4 x 3 numbers; two rows behind the
    # depthwise one; keys and values of six rows.
    assert plan.state_bytes == 8 * 1 + 2 * (4 * c) + 2 * (2 * d) + 2 * (6 * 2 * d)
    assert plan.room_bytes == 8 * 4096 * 128 // 8  # 8 banks
    assert plan.pieces == {} and plan.spilled == {} and plan.on_cpu == []
    # The most: scores and those of positions of two heads, 4 x 10 each, beside 4 rows of the residual, of q, k and v,
    # and of what attention gives.
    assert plan.peak_bytes - plan.state_bytes == 2 * (2 * 2 * 4 * 10 + 4 * d + 4 * 3 * d + 4 * d) == 800


def test_headlines_and_notes(made: Run) -> None:
    result = record(made)
    assert row(result, "chunk") == (("160 ms", ""), "4 frames of the output")
    values, note = row(result, "duty cycle")
    assert values == (f"{result.performance.duty_cycle:.2%}", "100.00%")
    assert note == "0 of 4 chunks missed their deadline, the arrival of the next one"
    values, note = row(result, "between chunks")
    assert all(value.endswith("W") for value in values) and note == "clocks, standby and leakage"
    values, _ = row(result, "energy per second of audio")
    assert all(value.endswith("J") for value in values)
    about = dict(notes(result))
    assert set(about) - {"float16", "saturated"} == {"L2"}
    assert about["L2"] == "1.17 kB of 524 kB at the most, with 368 B of state"  # 800 + 368 bytes, of 2^19
    page = shown(result)
    for words in ("chunk", "LPDDR traffic", "duty cycle", "between chunks", "energy per second of audio", about["L2"]):
        assert words in page, words


def test_other_chips_have_no_plan() -> None:
    result = accelsim.run("rsnn28nm", "rsnn_paper_activity", overrides={"workload.inputs.frames": "5"})
    assert result.plan is None and result.dram_bytes() == 0 and not notes(result)
    assert not {"chunk", "LPDDR traffic", "duty cycle", "between chunks"} & {line.name for line in headlines(result)}


# Little room


def test_pieces_are_told(tmp_path: Path) -> None:
    """In 1008 bytes attention finds no room whole beside all state: 800 and 368 bytes, see above.

    In two pieces it does, with half of 4 x 10 x 2 x 2 numbers of scores. Without pieces the state goes to LPDDR.
    """
    keys = {**SMALL_L2, "components.l2.rows": 84}
    result = record(run(tmp_path, **keys))
    plan = result.plan
    assert plan is not None and plan.room_bytes == 3 * 84 * 4
    assert (plan.pieces, plan.spilled, plan.state_in_l2) == ({"blocks.0.attention.heads": 2}, {}, True)
    assert plan.peak_bytes == 480 + 160 + 368
    about = dict(notes(result))
    assert about["L2"] == "1.01 kB of 1.01 kB at the most, with 368 B of state"
    assert about["split"] == "blocks.0.attention.heads: 2 pieces a chunk" and "spilled" not in about
    assert about["split"] in shown(result)

    result = record(run(tmp_path, **keys, **{"compiler.split": False}))
    plan = result.plan
    assert plan is not None and (plan.pieces, plan.spilled, plan.state_in_l2) == ({}, {}, False)
    about = dict(notes(result))
    assert "split" not in about and about["L2"] == "800 B of 1.01 kB at the most, without 368 B of state"
    assert result.dram_bytes() > 4 * plan.lpddr_bytes


def test_spills_are_told(tmp_path: Path) -> None:
    """In 672 bytes the residual, 4 rows of 12 float16, then q, k and v, 4 rows of 36, find no room beside scores."""
    keys = {**SMALL_L2, "components.l2.rows": 56, "compiler.split": False}
    result = record(run(tmp_path, **keys))
    plan = result.plan
    assert plan is not None and (plan.pieces, plan.state_in_l2) == ({}, False)
    assert plan.spilled == {"blocks.0.conv.add": 4 * 12 * 2, "blocks.0.attention.qkv": 4 * 36 * 2}
    about = dict(notes(result))
    assert about["spilled"] == "to LPDDR, each chunk: blocks.0.conv.add 96 B, blocks.0.attention.qkv 288 B"
    assert about["spilled"] in shown(result)
    assert result.dram_bytes() > 4 * plan.lpddr_bytes


def test_layers_on_the_cpu_are_told(tmp_path: Path) -> None:
    result = record(run(tmp_path, **{"compiler.layout": "BSC"}))
    plan = result.plan
    assert plan is not None
    # Two convolutions, the depthwise one, its gate, and six norms of a block: ff1, conv, after it, attention, ff2, end.
    assert len(plan.on_cpu) == 10
    assert [name for name in plan.on_cpu if not name.endswith("norm")] == [
        "c0", "c1", "blocks.0.conv.glu", "blocks.0.conv.depthwise",
    ]  # fmt: skip
    about = dict(notes(result))
    assert about["on the CPU"] == "10 layers: c0, c1, blocks.0.ff1.norm, blocks.0.conv.norm .."
    assert about["on the CPU"] in shown(result)


# A chip that falls behind


def test_late_chunks(tmp_path: Path) -> None:
    """At 20 kHz a chunk takes longer than its period, and each one waits longer behind those before it.

    Latency is from the arrival of a chunk, not from its start: it grows by work - period from chunk to chunk.
    """
    slow = {"clocks.npu.frequency": "20 kHz", "clocks.memory.frequency": "20 kHz"}
    made = run(tmp_path, **slow)
    timeline, result = made.outcome.timeline, record(made)
    latency_ps = timeline.finished_ps - timeline.arrived_ps
    assert np.diff(timeline.arrived_ps).tolist() == [160_000_000_000] * 3
    assert (latency_ps > 160e9).all() and (np.diff(latency_ps) > 0).all()
    # From one end to the next it takes the same work, all chunks being alike; and the next one waited meanwhile.
    work = np.diff(timeline.finished_ps)
    assert work.max() - work.min() <= 50_000_000 and work.min() > 160e9
    p, period_ps = result.performance, 50_000_000
    assert p.deadline_misses == 4 == p.frames
    assert p.latency_cycles.p50 <= p.latency_cycles.p99 <= p.latency_cycles.max == -(-latency_ps[-1] // period_ps)
    assert p.latency_cycles.p50 < p.latency_cycles.max
    assert p.frames_in_flight >= 2
    # After the CPU has started the first chunk it never rests.
    assert p.real_time_factor > 1 and 0.99 < p.duty_cycle <= 1
    values, note = row(result, "time")
    assert note.endswith("; 4 frames late") and values[0]
    # Back to back it is just as late, and the factor tells it without the wait for the first chunk.
    point = result.operating_points["throughput"].performance
    assert point.real_time_factor == pytest.approx(point.seconds / SECONDS) and point.real_time_factor > 1


def test_a_period_of_just_the_work(tmp_path: Path) -> None:
    """With periods as long as the latency none is late, a picosecond less and all may be: the border is the period."""
    made = run(tmp_path)
    latency_ps = int((made.outcome.timeline.finished_ps - made.outcome.timeline.arrived_ps).max())
    # The period of a chunk is that of 16 features; deadlines are those of the audio, so slow the clocks instead.
    scale = latency_ps / 160e9
    for factor, late in ((1.05, 0), (0.95, 4)):
        slower = {
            f"clocks.{name}.frequency": f"{hertz * scale * factor:.0f} Hz"
            for name, hertz in (("npu", 400e6), ("memory", 800e6), ("cpu", 1.8e9))
        }
        assert record(run(tmp_path, **slower)).performance.deadline_misses == late, factor


# Numbers that go wrong


def loud(folder: Path, size: float) -> Path:
    """Write the network with weights of q, k and v so large that their products leave float16."""
    path = write_graph(folder, SHAPE.layers(), bands=SHAPE.bands, seconds=SECONDS)
    tensors = dict(load_workload(path).tensors)
    name = "blocks.0.ff1.linear1.weight"
    tensors[name] = np.full_like(tensors[name], size)
    save_file(tensors, folder / "w.safetensors")
    path.write_text(path.read_text().replace("generated_weights: {seed: 1}", "weights: w.safetensors"))
    return path


def test_faults_land_in_the_record(tmp_path: Path) -> None:
    plain = {"components.vector.norm": "plain", "components.vector.softmax": "plain"}
    result = accelsim.run("edge_npu", loud(tmp_path, 60_000), overrides=plain)
    faults = {layer.name: layer.faults for layer in result.layers}
    assert faults["blocks.0.ff1.norm"]["overflow"] == 0, "nothing wrong before the loud layer"
    assert faults["blocks.0.ff1.linear1"]["overflow"] > 0
    assert faults["blocks.0.ff1.linear1"]["infinity"] > 0
    assert faults["output"]["nan"] > 0 or faults["blocks.0.norm"]["nan"] > 0
    told = [message for name, message in notes(result) if name == "float16"]
    for kind in ("overflow", "infinity", "nan"):
        total = sum(each.get(kind, 0) for each in faults.values())
        worst = max(faults, key=lambda name: faults[name].get(kind, 0))
        line = f"{total:,} x {kind}, most in {worst} ({faults[worst][kind]:,})"
        assert line in told and line in " ".join(shown(result).split())
    assert Result.from_json(result.to_json()) == result


def test_a_quiet_network_has_none(tmp_path: Path) -> None:
    result = record(run(tmp_path))
    for layer in result.layers:
        assert {kind: layer.faults.get(kind, 0) for kind in ("overflow", "infinity", "nan")} == {
            "overflow": 0, "infinity": 0, "nan": 0,
        }  # fmt: skip
    assert not [message for _, message in notes(result) if re.search(r"overflow|infinity|nan", message)]


def test_large_scores_overflow_a_plain_softmax_alone(tmp_path: Path) -> None:
    """exp of a score beyond 11.09 is more than float16 holds, 65504: plain overflows, the other forms do not."""
    path = write_graph(tmp_path, SHAPE.layers(), bands=SHAPE.bands, seconds=SECONDS)
    tensors = dict(load_workload(path).tensors)
    tensors["blocks.0.attention.qkv.weight"] = tensors["blocks.0.attention.qkv.weight"] * np.float16(8)
    save_file(tensors, tmp_path / "w.safetensors")
    path.write_text(path.read_text().replace("generated_weights: {seed: 1}", "weights: w.safetensors"))
    found = {}
    for form in ("plain", "shifted", "rescaled"):
        result = accelsim.run("edge_npu", path, overrides={"components.vector.softmax": form})
        found[form] = next(x for x in result.layers if x.name == "blocks.0.attention.heads").faults
    assert found["plain"]["overflow"] > 0
    assert found["shifted"]["overflow"] == found["rescaled"]["overflow"] == 0
    assert found["rescaled"]["rescaled"] > 0


def test_chips_without_an_npu_count_what_goes_wrong_too(tmp_path: Path) -> None:
    shape = Streaming(weight_bits=8)
    path = write_graph(tmp_path, shape.layers(), bands=shape.bands, seconds=0.2)
    result = accelsim.run("conformer_digital28", path)
    counted = [layer.faults for layer in result.layers if layer.faults]
    assert len(counted) == len(result.layers) - 1, "all but the layer that takes the features in"
    assert all(faults[kind] == 0 for faults in counted for kind in ("overflow", "infinity", "nan"))
    assert not any(name == "L2" for name, _ in notes(result))
    assert chip({}, "conformer_digital28").of_kind("dram") == {} and result.dram_bytes() == 0


def test_the_page_tells_them_too(tmp_path: Path) -> None:
    result = record(run(tmp_path, **{"compiler.layout": "BSC"}))
    page = run_page(result)
    assert "<b>on the CPU</b> 10 layers: c0, c1" in page and "<b>L2</b>" in page
