"""How parts that wait are paid, by hand: gated and ungated clocks, a wake-up, LPDDR at rest, a whole chip at rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelsim.architecture import POWER_RULES, Architecture, ArchitectureSpec, load_architecture
from accelsim.cost import Bill, price
from accelsim.engines.execute import Activity
from accelsim.pipeline import clocking, domains, supplies
from accelsim.schedule.job import Job, Schedule
from accelsim.schema.cost import CostTable
from accelsim.simulate import Ledger, PowerTimes, Timeline, close_books, simulate

KINDS = ("lif", "dram", "controller")


def row(kind: str, value: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "value": value, "low": value, "high": value, "source": "a test", "tag": "read"} | more


TABLE = CostTable.model_validate(
    {
        "name": "test", "node": "28 nm", "voltage": "0.9 V", "temperature": "300 K",
        "energy": [
            row("lif", "2 pJ", action="update"), row("controller", "1 pJ", action="dispatch"),
            *(row("dram", "1 pJ", action=action) for action in ("read", "write", "activate")),
        ],
        "clock": [
            row("*", "1.2 fJ", state="clocked"), row("*", "0.036 fJ", state="gated"),
            {"kind": "controller", "state": "working", "included_in": "actions", "source": "a test", "tag": "read"},
        ],
        "standby": [
            row("lif", "1 uW"), row("controller", "0 uW"), row("dram", "50 mW", state="active"),
            row("dram", "14 mW", state="power_down"), row("dram", "1.6 mW", state="self_refresh"),
        ],
        "area": [row(kind, "1 um2") for kind in KINDS],
        "leakage": [row("lif", "0.5 uW"), row("controller", "0 uW"), row("dram", "0 uW")],
        "leakage_scaling": {"dibl": 0.1, "swing_mv_per_decade": 90.0, "doubling_kelvin": 16.5, "source": "one point"},
    }
)  # fmt: skip


def run(
    component: dict[str, Any], counts: dict[str, int], cycles: int, period: str, frames: int, power: dict[str, Any]
) -> tuple[Timeline, Ledger, Bill]:
    """Run frames of one job of so many cycles of 10 ns on one component, ``part``."""
    spec = ArchitectureSpec.model_validate(
        {
            "name": "test", "workload": "none", "clocks": {"main": {"frequency": "100 MHz"}},
            "technology": {"cost": "test", "voltage": "0.9 V", "temperature": "300 K"},
            "pacing": {"mode": "real_time", "frame_period": period}, "power": power,
            "components": {"part": component},
        }
    )  # fmt: skip
    chip = Architecture(spec=spec, cost=TABLE, sha256="", operating_points={})
    schedule = Schedule((Job("work", "layer", "part", paced=True, last=True),))
    each = {name: np.full(frames, count) for name, count in counts.items()}
    activity = Activity({("work", "part"): each}, {}, {}, {})
    service = {("work", "part"): np.full(frames, cycles)}
    timeline = simulate(
        schedule, [], service, clocking(chip, schedule), frames, domains=domains(chip, schedule)
    )  # fmt: skip
    ledger = close_books(schedule, service, timeline, activity, supplies(chip))
    return timeline, ledger, price(chip, schedule, activity, ledger)


# Two units of 8 bits, 16 flip-flops, at work for 3 of 10 cycles in each of 4 frames: 12 of 40 cycles, 400 ns.
UNITS = {"kind": "lif", "units": 2, "membrane_bits": 8}
WORK = ({"update": 5, "neurons": 2, "time_steps": 1}, 3, "100 ns", 4)
DYNAMIC_PJ = 4 * 5 * 2.0


def picojoules(bill: Bill) -> dict[str, float]:
    return {share: joules * 1e12 for share, joules in bill.energy_j["part"].items()}


def test_an_idle_period_with_its_clock_gated() -> None:
    """At work 12 cycles x 16 x 1.2 fJ = 0.2304 pJ, gated 28 x 16 x 0.036 fJ = 0.016128 pJ; 2 units of 1 and 0.5 uW for
    400 ns: 0.8 and 0.4 pJ. At rest 3 uW and 16 x 0.036 fJ x 100 MHz = 0.0576 uW."""
    timeline, ledger, bill = run(UNITS, *WORK, power={})
    assert timeline.cycles["part"] == {"busy": 12, "wait_input": 0, "wait_output": 0, "idle": 28}
    assert ledger.power["part"] == PowerTimes(800_000, 240_000, 0, 560_000)
    expected = {"dynamic": DYNAMIC_PJ, "clock": 0.2304 + 0.016128, "standby": 0.8, "leakage": 0.4, "wake": 0}
    assert picojoules(bill) == pytest.approx(expected)
    assert bill.idle_w == pytest.approx(3.0576e-6)


def test_an_idle_period_without_a_gate() -> None:
    """All of 40 cycles x 16 x 1.2 fJ = 0.768 pJ; at rest 3 uW and 16 x 1.2 fJ x 100 MHz = 1.92 uW."""
    _, ledger, bill = run(UNITS, *WORK, power={"all": {"parts": ["*"], "clock_gate": False}})
    assert ledger.power["part"] == PowerTimes(800_000, 240_000, 560_000, 0)
    expected = {"dynamic": DYNAMIC_PJ, "clock": 0.768, "standby": 0.8, "leakage": 0.4, "wake": 0}
    assert picojoules(bill) == pytest.approx(expected)
    assert bill.idle_w == pytest.approx(4.92e-6)


def test_a_cycle_at_work_whose_actions_hold_the_clock() -> None:
    """A controller of 256 flip-flops, gated or at work: 40 x 256 x 0.036 fJ = 0.36864 pJ."""
    _, _, bill = run({"kind": "controller"}, {"dispatch": 3}, *WORK[1:], power={})
    assert picojoules(bill)["clock"] == pytest.approx(0.36864)


def test_a_wake_up_in_cycles_and_joules() -> None:
    """Off 30 ns after work, awake after 15 ns, so on the edge at 20 ns, for 3 pJ; a tenth stays.

    A frame: waking 0 to 15 ns, wait for the edge to 20, work to 50, idle to 80, off to 100. A run begins off. In all
    waking 60 ns, idle 4 x (5 + 30), off 80 ns. Clock: 12 cycles at work 0.2304 pJ; gated 20 x 16 x 0.036 = 0.01152 pJ,
    waking among them. Supplied (400 - 80) + 8 = 328 ns: 0.656 and 0.328 pJ. Wake-ups 4 x 3 pJ. At rest a tenth of 3 uW.
    """
    gate = {"after": "30 ns", "wake": "15 ns", "wake_energy": "3 pJ", "retention": 0.1}
    timeline, ledger, bill = run(UNITS, *WORK, power={"core": {"parts": ["pa*"], "power_gate": gate}})
    tick_ps = 10_000  # the only clock's period: 15 ns are two ticks of waking
    assert timeline.finished_ps.tolist() == [50_000 + 100_000 * frame for frame in range(4)]
    assert timeline.cycles["part"] == {"busy": 12, "wait_input": 8, "wait_output": 0, "idle": 20}
    assert timeline.wakes == {"core": 4} and timeline.waking_ps == {"core": 4 * 2 * tick_ps}
    assert timeline.asleep_ps == {"core": {"off": 4 * 20_000}}
    assert ledger.power["part"] == PowerTimes(800_000, 240_000, 0, 2 * 120_000, 2 * 80_000, {"off": 2 * 80_000})
    expected = {"dynamic": DYNAMIC_PJ, "clock": 0.2304 + 0.01152, "standby": 0.656, "leakage": 0.328, "wake": 12.0}
    assert picojoules(bill) == pytest.approx(expected)
    assert bill.idle_w == pytest.approx(0.3e-6)
    assert bill.total_j("wake") == pytest.approx(12e-12)


def test_lpddr_in_self_refresh() -> None:
    """1 GiB, power-down 20 ns and self-refresh 60 ns after work, out again in 10 and 30 ns; work of 30 ns in 200.

    A frame begins in self-refresh: 30 ns out of it, 30 ns of work, 20 active, 40 in power-down, 80 in self-refresh:
    50 mW x 80 ns + 14 mW x 40 ns + 1.6 mW x 80 ns = 4 + 0.56 + 0.128 nJ, three times.
    """
    memory = {
        "kind": "dram", "capacity": "1 GiB", "width_bits": 64, "row_bytes": 2048, "cycles_per_activate": 0,
        "refresh_share": 0.0, "power_down_after": "20 ns", "power_down_exit": "10 ns", "self_refresh_after": "60 ns",
        "self_refresh_exit": "30 ns",
    }  # fmt: skip
    timeline, _, bill = run(memory, {"read": 3, "write": 0, "activate": 0}, 3, "200 ns", 3, power={})
    assert timeline.finished_ps.tolist() == [60_000, 260_000, 460_000]
    assert timeline.cycles["part"] == {"busy": 9, "wait_input": 9, "wait_output": 0, "idle": 42}
    (asleep,), (waking,), (wakes,) = (d.values() for d in (timeline.asleep_ps, timeline.waking_ps, timeline.wakes))
    assert (asleep, waking, wakes) == ({"power_down": 120_000, "self_refresh": 240_000}, 90_000, 3)
    assert bill.energy_j["part"]["standby"] == pytest.approx(3 * 4.688e-9)
    assert bill.idle_w == pytest.approx(1.6e-3)
    # Work before it falls so far asleep: from power-down it is out in 10 ns. On the dot of 60 ns it takes 30 again.
    timeline, _, _ = run(memory, {"read": 3, "write": 0, "activate": 0}, 3, "90 ns", 3, power={})
    assert timeline.finished_ps.tolist() == [60_000, 130_000, 220_000]
    timeline, _, _ = run(memory, {"read": 3, "write": 0, "activate": 0}, 3, "100 ns", 3, power={})
    assert timeline.finished_ps.tolist() == [60_000, 140_000, 260_000]


def at_rest(name: str, rule: str) -> Bill:
    """Price a second in which no part of a chip of the library works."""
    chip = load_architecture(name, {"power": POWER_RULES[rule]})
    second = 10**12
    power = {}
    for part, spec in chip.components().items():
        all_ps = spec.instances() * second
        power[part] = PowerTimes(all_ps, 0, *((0, all_ps) if chip.clock_gated(part) else (all_ps, 0)))
    return price(chip, Schedule(()), Activity({}, {}, {}, {}), Ledger({}, {}, {}, power))


def test_a_second_of_memristor_conformer_at_rest() -> None:
    """272 tiles of 128 x 8 input bits, 6 converters of 2 x 8, 6 adders of 16 and 4 of 24 flip-flops: 272 x 1,312 =
    356,864, and 160 x 8 of the features, 72 x 64 of the queue, 40 + 4 memories of 256 + 11 and 512 + 10, 4 x 32 x 100
    of the vector units, 4 x 84 x 64 of the attention (64 + 5 x 4 multiply-adders of 64), 256 multipliers of 48. Clocks
    0.036 or 1.2 fJ at 100 MHz. Converters 1,632 x 0.2 x 1.3332 pJ x 100 MHz = 43.5 mW, drivers 34,816 x 0.39 uW x
    0.841 (32 to 28 nm) = 11.4 mW, and 0.00195 uW x 0.841 of each of 104,448 samplers.
    """
    registers = 272 * (128 * 8 + 6 * 16 + 6 * 16 + 4 * 24) + 160 * 8 + 72 * 64 + 40 * 267 + 4 * 522
    registers += 4 * 3200 + 4 * 84 * 64 + 256 * 48
    gated, ungated = at_rest("memristor_conformer", "gated"), at_rest("memristor_conformer", "ungated")
    assert gated.total_j("clock") == pytest.approx(registers * 0.036e-15 * 100e6)
    assert ungated.total_j("clock") == pytest.approx(registers * 1.2e-15 * 100e6)
    to_28 = 0.37 / 0.44  # DeepScaleTool, energy at 28 and 32 nm
    converters, drivers = 1632 * 0.2 * 1.3332e-12 * 100e6, 34_816 * 0.39e-6 * to_28
    assert converters == pytest.approx(43.5e-3, rel=1e-3)
    samplers = 104_448 * 0.00195e-6 * to_28
    assert gated.total_j("standby") == pytest.approx(converters + drivers + samplers, rel=1e-3)
    assert gated.total_j("dynamic") == gated.total_j("wake") == 0
    assert gated.idle_w == pytest.approx(gated.total_j())
    assert ungated.idle_w == pytest.approx(ungated.total_j())
