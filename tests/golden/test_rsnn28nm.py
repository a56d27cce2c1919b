"""Golden figures of the 28 nm chip, each with its derivation beside it.

Three kinds: a network so small that a sheet of paper does; the paper's own figures from probabilities, by exact
binomial sums and no sampling; and the directions in which each idea of the paper moves the figures.
"""

from __future__ import annotations

import functools
from math import comb
from pathlib import Path

import numpy as np
import pytest
from chips import batch_of, rsnn28nm, write_speech_network

import accelsim
from accelsim.architecture import Architecture, ArchitectureSpec
from accelsim.cost import price
from accelsim.cost.scaling import leakage_factor, node_area_factor, node_energy_factor
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import Activity, Execution, execute, service_of
from accelsim.pipeline import clocking, links, supplies
from accelsim.result import Result
from accelsim.schedule import Schedule
from accelsim.schema.cost import CostTable
from accelsim.simulate import Ledger, PowerTimes, Timeline, close_books, simulate
from accelsim.workload import load_workload

# --- 1. by hand -------------------------------------------------------------------------------------------------------
#
# Chip: 2 sets x 2 PEs (else as in arch/rsnn28nm.yaml), back to back at 100 kHz. Network: 2 features -> l0 (2 neurons)
# -> out (3 classes), two time steps, merged spikes, beta 1/2, threshold 60, reset by subtraction; one row per bank.
#
#   w = | 1 -2 |     r = | 2 -1 |     v = |  1  2  3 |     x(0) = (49,  0) = (0x31, 0x00)
#       | 3  6 |         | 0  3 |         | -4  5 -6 |     x(1) = (17, 24) = (0x11, 0x18)
#
# Values. Frame 0: I = 49 (1, -2) = (49, -98), the same in both steps; nobody spiked before.
#   step 0: U = (49, -98)                                        no spike    S = (0, 0)
#   step 1: U = (49 // 2 + 49, -98 // 2 - 98) = (73, -147)       73 >= 60    S = (1, 0), U = (13, -147)
#   merged spikes m = (1, 0): out = (1, 2, 3)
# Frame 1: I = 17 (1, -2) + 24 (3, 6) = (89, 110). Recurrent: step 0 sees step 0 of frame 0, step 1 sees step 1.
#   step 0: U = (13 // 2 + 89 + 0, -147 // 2 + 110 + 0) = (6 + 89, -74 + 110) = (95, 36)     S = (1, 0), U = (35, 36)
#   step 1: r(0) = (2, -1): U = (35 // 2 + 89 + 2, 36 // 2 + 110 - 1) = (108, 127)           S = (1, 1), U = (48, 67)
#   m = (2, 1): out = 2 (1, 2, 3) + (-4, 5, -6) = (-2, 9, 0)
#
# Steps of the datapath (one row, or one bit, per set and cycle), rows read, PEs that add; each step has 2 x 2 PE slots.
#                          frame 0                              frame 1
#   input, Type A          0x31: low 1 bit, high 2; 0x00: none  0x11: 1 and 1; 0x18: low 1, high 1
#                          2 steps, 1 row,  3 bits x 2 =  6     2 steps, 2 rows, 4 bits x 2 = 8 adds
#   recurrent, Type D      2 steps, 2 rows, 0 adds              2 steps, 2 rows, 1 spike x 2 = 2 adds
#   readout, Type C        2 groups (3 classes over 2 PEs)      2 groups
#                          2 steps, 2 rows, 1 x 3 = 3 adds      2 steps (both banks at once), 4 rows, 2 x 3 = 6 adds
#   in all: 12 steps = 48 slots, 25 adds, 23 left idle.  Rows: input 3, recurrent 4, readout 6.
#
# Cycles: a block costs one more (switch). PE: input 2 + 1, recurrent 2 + 1, readout 2 + 2 cycles; LIF 2; output 1.
#   load      0-1    put at 1, seen at 2       | frame 1: 1-2, its slot is free at 5: put at 5
#   input     2-5                              | 16-19  the PEs go on as soon as they are done with the readout
#   recurrent 5-8    put at 8, seen at 9       | 19-22
#   neurons   9-11   put at 11, seen at 12     | 23-25
#   readout   12-16  put at 16, seen at 17     | 26-30
#   output    17-18                            | 31-32

W, R, V = [[1, -2], [3, 6]], [[2, -1], [0, 3]], [[1, 2, 3], [-4, 5, -6]]
FEATURES = [[49, 0], [17, 24]]
SPIKES = [[[0, 0], [1, 0]], [[1, 0], [1, 1]]]
OUTPUTS = [[1, 2, 3], [-2, 9, 0]]


@pytest.fixture
def by_hand(tmp_path: Path) -> tuple[Architecture, Schedule, Execution, Timeline, Ledger]:
    tensors = {"l0.w": np.array(W, np.int8), "l0.r": np.array(R, np.int8), "out.w": np.array(V, np.int8)}
    path = write_speech_network(tmp_path, tensors, features=2, hidden=[2], classes=3, steps=2, threshold=60)
    keys = {"graph.l0.beta": "0.5", "graph.l0.input_shift": "0", "graph.l0.recurrent_shift": "0"}
    workload = load_workload(path, keys)
    chip = rsnn28nm({"components.pe.pes": 2, "pacing.mode": "back_to_back"})
    deployment = deploy(workload, chip)
    schedule = deployment.schedule
    execution = execute(deployment, batch_of(np.array(FEATURES, np.uint8), [0, 2]))
    service = service_of(schedule, chip, execution.activity)
    timeline = simulate(schedule, links(chip, schedule), service, clocking(chip, schedule), 2)
    ledger = close_books(schedule, service, timeline, execution.activity, supplies(chip))
    return chip, schedule, execution, timeline, ledger


def test_values_by_hand(by_hand: tuple) -> None:
    _, _, execution, _, _ = by_hand
    assert execution.spikes["l0"].tolist() == SPIKES
    assert execution.outputs.tolist() == OUTPUTS
    assert execution.activity.saturations == {"l0": 0, "out": 0}


def test_counts_by_hand(by_hand: tuple) -> None:
    _, _, execution, _, ledger = by_hand
    counts = {name: dict(actions) for name, actions in ledger.counts.items()}
    assert counts["weights_input"]["read"] == 3
    assert counts["weights_recurrent"]["read"] == 4
    assert counts["weights_fc"]["read"] == 6
    assert counts["weight_bus"]["transfer"] == 13
    assert (counts["pe"]["accumulate"], counts["pe"]["idle"]) == (25, 23)
    assert counts["zero_skip"]["select"] == 2 * (2 + 2 + 2 + 2)  # two units; input and readout skip, Type D does not
    assert counts["controller"]["dispatch"] == 2 * (1 + 1 + 2)
    assert counts["lif"]["update"] == 8
    assert (counts["membranes"]["read"], counts["membranes"]["write"], counts["spike_registers"]["write"]) == (8, 8, 8)
    assert counts["input_buffer"]["write"] == 4
    assert (counts["fc_accumulator"]["add"], counts["fc_accumulator"]["write"]) == (6, 6)
    # Dense MACs of two frames: input 2 x 8 bits x 2 = 32, recurrent 2 steps x 2 x 2 = 8, readout 2 steps x 2 x 3 = 12.
    macs = execution.activity.macs
    assert {job: m["dense"] for job, m in macs.items()} == {"l0.input": 64, "l0.recurrent": 16, "out.sum": 24}
    assert {job: m["performed"] for job, m in macs.items()} == {"l0.input": 14, "l0.recurrent": 2, "out.sum": 9}


def test_cycles_by_hand(by_hand: tuple) -> None:
    _, _, _, timeline, ledger = by_hand
    cycle_ps = 10_000_000
    assert (timeline.arrived_ps // cycle_ps).tolist() == [0, 1]
    assert (timeline.started_ps // cycle_ps).tolist() == [2, 16]
    assert (timeline.finished_ps // cycle_ps).tolist() == [18, 32]
    assert ledger.cycles["input_buffer"] == {"busy": 2, "wait_input": 0, "wait_output": 3, "idle": 27}
    assert ledger.cycles["pe"] == {"busy": 20, "wait_input": 2 + 4 + 4, "wait_output": 0, "idle": 2}
    # The selectors work 12 cycles and are held up by the PEs' 8 switches; before the PEs' first job they are idle.
    assert ledger.cycles["zero_skip"] == {"busy": 12, "wait_input": 8, "wait_output": 0, "idle": 12}
    assert ledger.cycles["lif"] == {"busy": 4, "wait_input": 9 + 12, "wait_output": 0, "idle": 7}
    assert ledger.cycles["membranes"] == {"busy": 2, "wait_input": 2, "wait_output": 0, "idle": 28}
    assert ledger.cycles["fc_accumulator"] == {"busy": 2, "wait_input": 17 + 13, "wait_output": 0, "idle": 0}


def test_energy_by_hand(by_hand: tuple) -> None:
    # Prices of arch/cost/cmos28.yaml in pJ. A register price is for 12 bits at 0.88 V: / 12 x bits x (0.9 / 0.88)^2.
    chip, schedule, execution, _, ledger = by_hand
    bill = price(chip, schedule, execution.activity, ledger)
    k = (0.9 / 0.88) ** 2
    dynamic_pj = {
        "weights_input": 3 * 10.4,
        "weights_recurrent": 4 * 11.7,
        "weights_fc": 6 * 20,
        "weight_bus": 13 * 512 * 0.25 * 0.08,
        "pe": 25 * 0.07 + 23 * 0.010,
        "zero_skip": 16 * 1.5 * 64 / 128,
        "controller": 8 * 0.5,
        "lif": 8 * 0.12,
        "membranes": 8 * (0.0466 + 0.00814) * 16 / 12 * k,
        "spike_registers": 8 * 0.0466 * 1 / 12 * k,
        "input_buffer": 4 * 0.0466 * 8 / 12 * k,
        "fc_accumulator": 6 * (0.0198 + 0.0466) * 16 / 12 * k,
    }
    for name, expected in dynamic_pj.items():
        assert bill.energy_j[name]["dynamic"] * 1e12 == pytest.approx(expected, rel=1e-9), name
    # Flip-flops: 48 x 8 of the input buffer, 2 selectors of 64, SRAM ports of 512 bits and addresses of 6, 2 x 8 and
    # 2 x 10, 2 x 2 PEs of 12, 128 LIF units and readout adders of 16, membranes 256 x 16, spikes 512, controller 256.
    # Of them 0.036 fJ in each of 32 cycles, at work or not; at work 1.164 fJ more where the actions do not hold their
    # clock: selectors 12 cycles, LIF 4, the three memories 3, 2 and 3 (rows of two banks side by side).
    registers = 48 * 8 + 2 * 64 + 518 + 2 * 520 + 2 * 522 + 4 * 12 + 2 * 128 * 16 + 256 * 16 + 512 + 256
    busy = {name: ledger.cycles[name]["busy"] for name in ("weights_input", "weights_recurrent", "weights_fc")}
    working = 128 * 12 + 128 * 16 * 4
    working += 518 * busy["weights_input"] + 1040 * busy["weights_recurrent"] + 1044 * busy["weights_fc"]
    clock_pj = registers * 32 * 0.036e-3 + working * 1.164e-3
    # 147 KiB at 0.4543 uW for 320 us.
    leakage_pj = 147 * 0.4543e-6 * 320e-6 * 1e12
    assert bill.total_j("dynamic") * 1e12 == pytest.approx(sum(dynamic_pj.values()))
    assert bill.total_j("clock") * 1e12 == pytest.approx(clock_pj)
    assert bill.total_j("leakage") * 1e12 == pytest.approx(leakage_pj)
    assert bill.total_j() * 1e12 == pytest.approx(sum(dynamic_pj.values()) + clock_pj + leakage_pj)
    assert sum(bill.layer_energy_j.values()) == pytest.approx(bill.total_j("dynamic"))


# --- 2. the paper's figures from probabilities ------------------------------------------------------------------------


def binomial(n: int, p: float) -> list[float]:
    """Return P(k successes in n), k = 0 .. n."""
    return [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


def mean_of_the_larger(n: int, p: float) -> float:
    """Return E[max(A, B)] of two independent binomials: sum_k P(max > k) = sum_k 1 - P(A <= k)^2."""
    at_most = np.cumsum(binomial(n, p))
    return float(sum(1 - at_most[k] ** 2 for k in range(n)))


ONES, SPIKE, ANY_STEP = 0.43, 0.296, 0.377  # workloads/rsnn_paper_activity

INPUT = 40 * mean_of_the_larger(4, ONES)  # a feature takes as long as the fuller of its two nibbles
BLOCK = mean_of_the_larger(64, SPIKE)  # 128 rows in two banks, walked side by side
READOUT_BLOCK = mean_of_the_larger(64, ANY_STEP)
# A switch per block: 1 input, 3 recurrent, 15 readout. While the neurons of a layer are updated (a cycle per time step)
# the PEs wait, and for the two hops to them and back (latency 1 each).
OVERHEAD_ONE_STEP = 1 + 3 + 15 + 2 * (1 + 1 + 1)
OVERHEAD_TWO_STEPS = 1 + 3 + 15 + 2 * (1 + 2 + 1)
EXPECTED = {
    "one_step": INPUT + 3 * BLOCK + 15 * READOUT_BLOCK + OVERHEAD_ONE_STEP,
    "unmerged": INPUT + 3 * 128 + 15 * 128 * ANY_STEP + OVERHEAD_TWO_STEPS,
    "merged": INPUT + 3 * 128 + 15 * READOUT_BLOCK + OVERHEAD_TWO_STEPS,
}
STATED = {"one_step": 574, "unmerged": 1224, "merged": 895}

PEAK = {"clocks.main.frequency": "500 MHz", "pacing.mode": "back_to_back"}
RUNS = {
    "one_step": {"workload.time_steps": "1"},
    "unmerged": {"components.zero_skip.merge_spikes": "false"},
    "merged": {},
    "every bit": {"components.zero_skip.skip_inputs": "false"},
    "every row": {"components.zero_skip.skip_spikes": "false"},
    "every row, unmerged": {"components.zero_skip.skip_spikes": "false", "components.zero_skip.merge_spikes": "false"},
    "sequential": {"components.controller.time_steps": "sequential"},
    "every row, sequential": {
        "components.zero_skip.skip_spikes": "false",
        "components.controller.time_steps": "sequential",
    },
}


@functools.cache
def paper_activity(name: str) -> Result:
    """Run the paper's chip on random activity at the paper's densities."""
    return accelsim.run("rsnn28nm", "rsnn_paper_activity", overrides=PEAK | RUNS[name])


def reads(name: str) -> dict[str, int]:
    """Return the rows read per memory."""
    return {c.name: c.actions["read"] for c in paper_activity(name).components if c.kind == "sram"}


@pytest.mark.parametrize("mode", STATED)
def test_expected_cycles_are_those_of_the_paper(mode: str) -> None:
    assert EXPECTED[mode] == pytest.approx(STATED[mode], rel=0.01)


@pytest.mark.parametrize("mode", STATED)
def test_simulated_cycles_are_the_expected_ones(mode: str) -> None:
    simulated = paper_activity(mode).performance.cycles_per_frame
    assert simulated == pytest.approx(STATED[mode], rel=0.01)
    # The mean of 3,000 frames scatters by far less than 1 %: a frame's standard deviation is about 2 %.
    assert simulated == pytest.approx(EXPECTED[mode], rel=0.002)


def test_complexity() -> None:
    # MACs carried out per frame: a set input bit adds one row (128 weights), as does a spike of a step; in the merged
    # readout the spikes of both steps add one row (1,920 weights) together.
    per_frame = 40 * 8 * ONES * 128 + 2 * 3 * 128 * SPIKE * 128 + 128 * ANY_STEP * 1920
    assert per_frame * 100 / 1e6 == pytest.approx(13.86, rel=0.02)
    assert paper_activity("merged").performance.mmac_per_audio_second == pytest.approx(13.86, rel=0.02)


def test_dense_macs_per_frame() -> None:
    # 40 x 8 bits x 128 = 40,960, once; 3 x 128 x 128 + 128 x 1920 = 294,912 per time step.
    assert paper_activity("one_step").performance.macs_dense == 3000 * 335_872
    assert paper_activity("merged").performance.macs_dense == 3000 * 630_784


def test_memory() -> None:
    # (48 + 2 x 192 + 2 x 960) rows of 512 bits.
    assert paper_activity("merged").memory_bytes["sram"] == (48 + 384 + 1920) * 512 // 8 == 150_528


# --- 3. which way each idea moves the figures -------------------------------------------------------------------------


def test_parallel_time_steps_read_each_row_once_for_both() -> None:
    # Nothing skipped: every row is fetched once per frame (parallel), or once per time step (sequential).
    parallel, sequential = reads("every row, unmerged"), reads("every row, sequential")
    for memory, rows in (("weights_recurrent", 3 * 128), ("weights_fc", 15 * 128)):
        assert parallel[memory] == 3000 * rows
        assert sequential[memory] == 3000 * rows * 2
    assert parallel["weights_input"] == sequential["weights_input"]


def test_merging_saves_27_percent_of_the_cycles_and_no_row() -> None:
    merged, unmerged = paper_activity("merged"), paper_activity("unmerged")
    assert 1 - merged.performance.cycles / unmerged.performance.cycles == pytest.approx(1 - 895 / 1224, abs=0.005)
    assert reads("merged") == reads("unmerged")
    assert merged.performance.macs_performed < unmerged.performance.macs_performed
    assert merged.energy.total_j < unmerged.energy.total_j


@pytest.mark.parametrize(("without", "memory"), [("every bit", "weights_input"), ("every row", "weights_fc")])
def test_zero_skipping_saves_cycles_rows_and_energy(without: str, memory: str) -> None:
    assert paper_activity(without).performance.cycles > paper_activity("merged").performance.cycles
    assert reads(without)[memory] > reads("merged")[memory]
    assert paper_activity(without).energy.total_j > paper_activity("merged").energy.total_j


def test_sequential_time_steps_cost_rows_and_energy() -> None:
    parallel, sequential = reads("merged"), reads("sequential")
    assert sum(sequential.values()) > 1.2 * sum(parallel.values())
    assert paper_activity("sequential").energy.total_j > 1.2 * paper_activity("merged").energy.total_j
    # The readout, five sixths of the weights, is read for each step's spikes: 2 x 0.296 instead of 0.377 of the rows.
    assert sequential["weights_fc"] / parallel["weights_fc"] == pytest.approx(2 * SPIKE / ANY_STEP, rel=0.01)


def test_where_sequential_time_steps_are_better() -> None:
    # In the recurrent layers the parallel schedule broadcasts every row (Type D), and that is not free: sequential
    # steps that skip (Type B) read 2 x 0.296 of the rows instead of all of them, and two banks side by side take
    # 2 E[max of two binomials] = 42 cycles per matrix instead of 128. Type D saves rows only where more than half of
    # them spike; the paper's gain comes from the readout.
    assert reads("sequential")["weights_recurrent"] / reads("merged")["weights_recurrent"] == pytest.approx(
        2 * SPIKE, rel=0.01
    )
    # In cycles the two effects nearly cancel (878 and 897 per frame): merging saves in the readout what the broadcast
    # costs in the recurrent layers. Without merging the parallel schedule is far slower.
    cycles = {name: paper_activity(name).performance.cycles_per_frame for name in ("sequential", "merged", "unmerged")}
    expected = INPUT + 2 * 3 * BLOCK + 2 * 15 * BLOCK + (1 + 2 * 3 + 15) + 2 * (1 + 2 + 1)
    assert cycles["sequential"] == pytest.approx(expected, rel=0.002)
    assert cycles["sequential"] == pytest.approx(cycles["merged"], rel=0.03)
    assert cycles["unmerged"] > 1.3 * cycles["sequential"]


# --- 4. power and scaling laws against published points ---------------------------------------------------------------


def odin_power_w(clock_hz: float, operations_hz: float) -> float:
    """Price one second of ODIN (Frenkel et al., TBioCAS 2019, Fig. 8b): 27.3 uW + 1.78 uW/MHz f + 8.43 pJ rate."""
    kinds, clock = ("lif", "controller"), (("*", "0 fJ"), ("controller", f"{1780 / 256} fJ"))  # of 256 flip-flops
    table = CostTable.model_validate(
        {
            "name": "odin",
            "node": "28 nm",
            "voltage": "0.55 V",
            "temperature": "297 K",
            "energy": [_row("lif", "8.43 pJ", action="update"), _row("controller", "1 fJ", action="dispatch")],
            "clock": [_row(kind, value, state=state) for kind, value in clock for state in ("clocked", "gated")],
            "standby": [{**_no_value(kind), "included_in": "leakage"} for kind in kinds],
            "area": [_row(kind, "0.0432 mm2") for kind in kinds],
            "leakage": [_row("lif", "27.3 uW"), {**_no_value("controller"), "included_in": "lif"}],
            "leakage_scaling": {
                "dibl": 0.1, "swing_mv_per_decade": 90.0, "doubling_kelvin": 16.5, "source": "not used at one point"
            },
        }
    )  # fmt: skip
    spec = ArchitectureSpec.model_validate(
        {
            "name": "odin",
            "workload": "none",
            "clocks": {"main": {"frequency": f"{clock_hz:.0f} Hz"}},
            "technology": {"cost": "odin", "voltage": "0.55 V", "temperature": "297 K"},
            "pacing": {"mode": "back_to_back"},
            "components": {
                "core": {"kind": "lif", "units": 1, "membrane_bits": 8},
                "control": {"kind": "controller"},
            },
        }
    )
    cycles = {"core": round(clock_hz), "control": round(clock_hz)}
    counts = {"core": {"update": round(operations_hz)}, "control": {"dispatch": 0}}
    chip = Architecture(spec=spec, cost=table, sha256="", operating_points={})
    second = 10**12
    power = {name: PowerTimes(second, 0, 0, second) for name in cycles}
    ledger = Ledger({name: {} for name in cycles}, cycles, counts, power)
    return price(chip, Schedule(()), Activity({}, {}, {}, {}), ledger).total_j()


def _no_value(kind: str) -> dict:
    return {"kind": kind, "source": "test", "tag": "read"}


def _row(kind: str, value: str, **more: str) -> dict:
    return {**_no_value(kind), "value": value, "low": value, "high": value, **more}


def test_power_is_affine_as_measured_on_odin() -> None:
    # A synaptic operation takes two cycles. Fastest: 75 MHz, 37.5 M operations/s, 477 uW (12.7 pJ each, the headline).
    assert odin_power_w(75e6, 37.5e6) == pytest.approx(477e-6, rel=0.005)
    # Biological time: 256 x 256 synapses at 10 Hz, 0.65 M operations/s at 1.3 MHz, 35 uW.
    assert odin_power_w(1.3e6, 0.65e6) == pytest.approx(35e-6, rel=0.005)
    # The headline energy per operation taken for a constant would miss that point by 76 %.
    assert pytest.approx(-0.76, abs=0.01) == 12.7e-12 * 0.65e6 / 35e-6 - 1


def test_leakage_law() -> None:
    # energy.md: 0.9 -> 0.5 V gives 0.11 to 0.27 over DIBL 0.15 .. 0.08 V/V and swing 85 .. 100 mV per decade.
    scaling = rsnn28nm().cost.leakage_scaling
    constants = scaling.model_dump(exclude={"source"})
    assert 0.11 < leakage_factor(0.5, 300, 0.9, 300, **constants) < 0.27
    assert leakage_factor(0.5, 300, 0.9, 300, dibl=0.15, swing_mv_per_decade=85, doubling_kelvin=16.5) == pytest.approx(
        0.5 / 0.9 * 10 ** (-0.15 * 0.4 / 0.085)
    )
    # CACTI 7 LSTP: 0.0262 uW/KiB at 300 K, 0.215 at 350 K.
    assert leakage_factor(0.9, 350, 0.9, 300, **constants) == pytest.approx(0.215 / 0.0262, rel=0.01)


def test_node_factors() -> None:
    # DeepScaleTool (arXiv 2102.10195): energy 0.37 / 0.63, area 0.35 / 1.
    assert node_energy_factor(28e-9, 45e-9) == pytest.approx(0.587, abs=0.001)
    assert node_area_factor(28e-9, 45e-9) == pytest.approx(0.35, abs=0.001)
