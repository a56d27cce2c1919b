"""The contract suites tell an author what is wrong with a component or a device."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from annotated_types import Ge

from accelsim.components import ComponentSpec, Effect, component_kind
from accelsim.components.kind import Counts
from accelsim.devices import DEVICES, Ideal
from accelsim.library import find
from accelsim.testing import ComponentContract, DeviceContract


@pytest.fixture(autouse=True)
def forgotten(distribution: Callable[..., None]) -> None:
    """What a test registers is forgotten after it."""


class Flash(ComponentSpec):
    """Converts all columns in one step."""

    kind: Literal["flash"]
    effects = {"units": Effect(cycles="less", energy="more", area="more")}
    units: Annotated[int, Ge(1)]


def per_unit(spec: Any, counts: Counts) -> Any:
    """Return conversions / units, rounded up."""
    return -(-counts["convert"] // spec.units)


def unsaid(spec: Any, counts: Counts) -> Any:
    return counts["convert"]


def told(test: str, cycles: Any = per_unit, spec: Any = Flash, actions: Any = None, **changes: Any) -> str:
    """Register a component and return what a test of the contract says of it; "" where it passes."""
    component_kind("flash", spec, {"convert": "one column converted"} if actions is None else actions, cycles)
    contract = type("Contract", (ComponentContract,), {"names": ["flash"], **changes})()
    try:
        getattr(contract, f"test_{test}")("flash")
    except AssertionError as error:
        return str(error)
    return ""


TESTS = [name.removeprefix("test_") for name in dir(ComponentContract) if name.startswith("test_")]


@pytest.mark.parametrize("test", [name for name in TESTS if name != "has_prices"])
def test_a_sound_component_passes(test: str) -> None:
    assert told(test) == ""


def test_a_component_without_prices_is_told_which(tmp_path: Path) -> None:
    assert "action 'convert'" in told("has_prices")


def test_a_component_with_prices_passes(tmp_path: Path) -> None:
    row = "low: 1, high: 3, tag: estimated, source: made up for a test}"
    prices = tmp_path / "prices.yaml"
    prices.write_text(f"""
schema: accelsim/cost@1
name: prices
base: cmos28
node: 28 nm
voltage: 0.9 V
temperature: 300 K
energy: [{{kind: flash, action: convert, value: 2 pJ, {row.replace("1,", "1 pJ,").replace("3,", "3 pJ,")}]
area: [{{kind: flash, value: 2 um2, {row.replace("1,", "1 um2,").replace("3,", "3 um2,")}]
standby: [{{kind: flash, included_in: leakage, source: made up, tag: estimated}}]
leakage: [{{kind: flash, value: 2 uW, {row.replace("1,", "1 uW,").replace("3,", "3 uW,")}]
""")
    assert told("has_prices", costs=[prices]) == ""


class Unbounded(ComponentSpec):
    """Its number of units may be negative."""

    kind: Literal["flash"]
    units: int


class Nameless(ComponentSpec):
    """Its kind may be any word."""

    units: Annotated[int, Ge(1)]


class Mute(ComponentSpec):
    kind: Literal["flash"]
    units: Annotated[int, Ge(1)]


class Unkeyed(Flash):
    """Declares an effect of a key that it has not."""

    effects = {"rate": Effect(cycles="less")}


class Undeclared(Flash):
    """Does not say what a list of numbers changes."""

    thresholds: tuple[float, ...] = ()


class Idle(Flash):
    """Has a key that changes nothing."""

    effects = {"units": Effect()}


def falling(spec: Any, counts: Counts) -> Any:
    """Return less for more."""
    return np.where(counts["convert"] == 0, 0, 1000 - counts["convert"])


@pytest.mark.parametrize(
    ("test", "changes", "message"),
    [
        ("says_what_it_is", {"cycles": unsaid}, "its service time has no docstring"),
        ("says_what_it_is", {"actions": {"convert": ""}}, "an action does not say what it means"),
        ("says_what_it_is", {"spec": Nameless}, r'its Spec needs the key kind: Literal\["flash"\]'),
        ("says_what_it_is", {"spec": Mute}, "its Spec has no docstring"),
        ("declares_what_every_numeric_key_may_change", {"spec": Unkeyed}, "effects names 'rate', which is no key"),
        ("declares_what_every_numeric_key_may_change", {"spec": Undeclared},
         "flash: the numeric key 'thresholds' does not declare what it may change: add effects"),
        ("declares_what_every_numeric_key_may_change", {"spec": Idle},
         "flash: the numeric key 'units' does not declare what it may change: add effects"),
        ("declares_counts", {"actions": {}}, r"asks for counts that it does not declare: \['convert'\]"),
        ("refuses_sizes_below_the_smallest", {"spec": Unbounded}, "these keys were accepted: .*'units': 0"),
        ("service_time_is_a_pure_function_of_each_frame", {"cycles": lambda spec, counts: counts["convert"] / 2},
         "cycles are whole numbers, found float64"),
        ("service_time_is_a_pure_function_of_each_frame", {"cycles": lambda spec, counts: np.cumsum(counts["convert"])},
         "a frame's time depends on other frames"),
        ("service_time_is_a_pure_function_of_each_frame",
         {"cycles": lambda spec, counts: np.add(counts["convert"], 1, out=counts["convert"]).copy()},
         "asked twice, answered differently"),
        ("more_work_never_takes_less_time", {"cycles": falling}, "1 more of 'convert' take less time"),
        ("no_work_takes_no_time", {"cycles": lambda spec, counts: counts["convert"] + 1}, "no work takes time"),
    ],
)  # fmt: skip
def test_a_faulty_component_is_told_what_is_wrong(test: str, changes: dict[str, Any], message: str) -> None:
    assert re.search(message, told(test, **changes)), "no word of it"


class Fickle(Ideal):
    """Draws without the seed."""

    kind: Literal["fickle"]  # type: ignore[assignment]

    def write(self, levels: Any, arrays: Any, **options: Any) -> Any:
        written = super().write(levels, arrays, **options)
        noise = np.random.default_rng().normal(0, 1e-3, written.states.shape)
        return written._replace(states=(written.states + noise).astype(np.float32))


class Upside(Ideal):
    """Programs the highest level for the lowest."""

    kind: Literal["upside"]  # type: ignore[assignment]

    def write(self, levels: Any, arrays: Any, **options: Any) -> Any:
        written = super().write(levels, arrays, **options)
        return written._replace(states=1 - written.states)


class Careless(Ideal):
    """Counts no pulses."""

    kind: Literal["careless"]  # type: ignore[assignment]

    def write(self, levels: Any, arrays: Any, **options: Any) -> Any:
        written = super().write(levels, arrays, **options)
        return written._replace(pulses=np.zeros(1, np.int64))


@pytest.mark.parametrize(
    ("device", "test", "message"),
    [
        (Fickle, "the_seed_decides_every_draw", "asked twice, answered otherwise"),
        (Upside, "a_higher_level_carries_more_current", "mean currents of the levels"),
        (Careless, "programs_every_cell", r"write pulses of the three arrays: \[0\]"),
    ],
)
def test_a_faulty_device_is_told_what_is_wrong(device: type[Ideal], test: str, message: str, tmp_path: Path) -> None:
    name = device.__name__.lower()
    DEVICES.register(name, device)
    file = tmp_path / "cell.yaml"
    file.write_text(find("ideal", "arch/devices").read_text().replace("kind: ideal", f"kind: {name}"))
    contract = DeviceContract()
    with pytest.raises(AssertionError, match=message):
        getattr(contract, f"test_{test}")(str(file), 1)


def test_an_authors_test_file_is_collected(tmp_path: Path) -> None:
    (tmp_path / "test_author.py").write_text(
        "from accelsim.testing import ComponentContract, DeviceContract\n"
        "class TestMine(ComponentContract):\n    names = ['adc', 'dac']\n"
        "class TestCells(DeviceContract):\n    files = ['ideal']\n    cell_bits = (1, 2)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_author.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    devices = [test for name, test in vars(DeviceContract).items() if name.startswith("test_")]
    # Tests of a device that ask for bits are run for 1 and 2 of them.
    expected = 2 * len(TESTS) + sum(2 if "bits" in signature(test).parameters else 1 for test in devices)
    assert f"{expected} passed" in ran.stdout, ran.stdout
