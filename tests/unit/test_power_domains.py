"""The ``power`` section of an architecture: what is said about a wrong one, and what a right one means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import accelsim
from accelsim.architecture import POWER_RULES, load_architecture
from accelsim.errors import InputError
from accelsim.library import find

GATE = "power_gate: {after: 20 us, wake: 5 us, wake_energy: 1 nJ, retention: 0.1}"
EDGE = "edge_npu"


@pytest.mark.parametrize(
    ("power", "message"),
    [
        ("converters: {parts: [adcs]}", r"chip\.yaml:\d+: no component 'adcs' \(did you mean 'adc'\?\)"),
        ("a: {parts: [adc]}\n  b: {parts: ['a*']}", r"chip\.yaml:\d+: 'adc' is in the domain 'a' as well"),
        ("converters: {parts: []}", "at least 1"),
        ("converters: {parts: [adc], clock_gated: true}", "unknown key 'clock_gated' .did you mean 'clock_gate'"),
        ("converters: {parts: [adc], power_gate: {after: 1 us, wake: 1 us, wake_energy: 1 nJ}}", "retention"),
        (f"converters: {{parts: [adc], {GATE.replace('0.1', '1.1')}}}", "retention"),
        (f"converters: {{parts: [adc], {GATE.replace('5 us', '0 us')}}}", "wake"),
        (f"converters: {{parts: [adc], {GATE.replace('1 nJ', '1 nW')}}}", "is a power, expected an energy"),
    ],
)
def test_what_is_wrong_with_a_domain(tmp_path: Path, power: str, message: str) -> None:
    (tmp_path / "chip.yaml").write_text(find("memristor_tile", "arch").read_text() + f"\npower:\n  {power}\n")
    with pytest.raises(InputError) as error:
        load_architecture(tmp_path / "chip.yaml")
    assert re.search(message, str(error.value)), error.value


def test_memory_that_rests_by_itself_is_not_switched() -> None:
    with pytest.raises(InputError, match="'lpddr' goes to rest by itself and cannot be power-gated"):
        load_architecture(EDGE, {"power": f"{{all: {{parts: ['*'], {GATE}}}}}"})
    with pytest.raises(InputError, match="expected self_refresh_after beyond power_down_after"):
        load_architecture(EDGE, {"components.lpddr.power_down_after": "10 us"})


def test_the_rule_in_words() -> None:
    rules = {rule: load_architecture("memristor_tile", {"power": text}) for rule, text in POWER_RULES.items()}
    assert rules["gated"].power_rule() == "clock gating of idle parts, no power gating"
    assert rules["ungated"].power_rule() == "all parts clocked always, no power gating"
    assert load_architecture("memristor_tile").power_rule() == rules["gated"].power_rule()
    some = f"{{analogue: {{parts: [dac, adc], {GATE}}}, bus: {{parts: ['*_bus'], clock_gate: false}}}}"
    chip = load_architecture("memristor_tile", {"power": some})
    assert chip.power_rule() == ("clock gating of idle parts but tile_bus; power gating: dac, adc off after 20 us")
    assert (chip.clock_gated("tile_bus"), chip.clock_gated("adc")) == (False, True)


def test_power_changes_time_and_cost_but_no_value() -> None:
    """A wake-up of 5 us with every frame; the words that are recognised stay."""
    paced = {"pacing": "{mode: real_time, frame_period: 10 ms}"}
    switched = f"{{analogue: {{parts: [dac, adc, sample_hold], {GATE}}}}}"
    plain, off = (accelsim.run("memristor_tile", overrides=paced | {"power": p}) for p in ("{}", switched))
    assert off.accuracy == plain.accuracy
    # While the first tile waits for its drivers the bus brings the others their inputs: a few cycles less than 500.
    assert 490 < off.performance.latency_cycles.p50 - plain.performance.latency_cycles.p50 <= 500
    assert off.energy.wake_j == pytest.approx(off.performance.frames * 1e-9)
    assert off.energy.standby_j < 0.5 * plain.energy.standby_j
    assert off.energy.dynamic_j == pytest.approx(plain.energy.dynamic_j)
    shares = (off.energy.dynamic_j, off.energy.clock_j, off.energy.standby_j, off.energy.leakage_j, off.energy.wake_j)
    assert off.energy.total_j == pytest.approx(sum(shares))
    states = next(c for c in off.components if c.name == "adc").power_states
    assert sum(states.values()) == pytest.approx(1)
    # Of 10 ms: waking 5 us, off but for that, 20 us before it goes off again and the work between.
    assert states["waking"] == pytest.approx(5e-6 / 10e-3) and states["clocked"] == 0
    assert 0.997 < states["off"] < 0.998 and 0 < states["active"] < 1e-4
    assert sum(c.energy_j.total() for c in off.components) == pytest.approx(off.energy.total_j)
