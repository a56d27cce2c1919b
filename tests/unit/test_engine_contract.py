"""The suite of engines tells an author what is wrong with an engine: the example's, with one mistake each."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from graphs import write_graph

from accelsim import plugins, testing
from accelsim.ops.op import Signal
from accelsim.placement import ENGINES
from accelsim.schedule.job import Job, Work
from accelsim.testing import EngineContract

EXAMPLE = Path(__file__).parents[1] / "plugin_example" / "accelsim_flash"
LAYERS = ("{name: a, op: hard_swish, input: features}", "{name: b, op: relu, input: a}")
TESTS = [name.removeprefix("test_") for name in dir(EngineContract) if name.startswith("test_")]


@pytest.fixture
def engine(distribution: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example's engine, registered until the test ends."""
    monkeypatch.setattr(plugins, "_FILES", {})
    for name in ("flash_adc", "hard_swish", "activation"):  # its cost table prices the converter too
        plugins.load_plugin(EXAMPLE / f"{name}.py")
    return ENGINES["activation"]


@pytest.fixture
def told(engine: Any, tmp_path: Path) -> Callable[[str], str]:
    """Return what a test of the suite says of the engine; "" where it passes."""
    data = {
        "schema": "accelsim/arch@1", "name": "lanes", "workload": "none", "clocks": {"main": {"frequency": "100 MHz"}},
        "technology": {"cost": str(EXAMPLE / "library" / "arch" / "cost" / "flash28.yaml"), "voltage": "0.9 V",
                       "temperature": "300 K"},
        "pacing": {"mode": "back_to_back"},
        "components": {
            "inputs": {"kind": "register_file", "stores": "features", "entries": 16, "width_bits": 8},
            "lanes": {"kind": "activation_unit", "lanes": 4},
        },
        "channels": [{"from": "inputs", "to": "lanes"}],
    }  # fmt: skip
    (tmp_path / "chip.yaml").write_text(yaml.safe_dump(data))
    network = write_graph(tmp_path / "net", LAYERS)

    def ask(test: str) -> str:
        contract = type("Contract", (EngineContract,), {"cases": {"activation": [(tmp_path / "chip.yaml", network)]}})
        try:
            getattr(contract(), f"test_{test}")("activation")
        except AssertionError as error:
            return str(error)
        return ""

    return ask


@pytest.mark.parametrize("test", TESTS)
def test_a_sound_engine_passes(told: Callable[[str], str], test: str) -> None:
    assert told(test) == ""


def jobs(change: Callable[[Job], Job]) -> Callable[[Any], None]:
    """Return a mistake in the jobs of an engine."""

    def of(engine: Any) -> None:
        before = engine.jobs
        engine.jobs = lambda self, ops, wires: [change(job) for job in before(self, ops, wires)]

    return of


def counts(**wrong: Any) -> Callable[[Any], None]:
    """Return a mistake in the counts of an engine's only part."""

    def of(engine: Any) -> None:
        engine.start = lambda self, batch, seed, tell: _counting(engine, self, wrong)

    return of


def _counting(engine: Any, made: Any, wrong: dict[str, Any]) -> Any:
    run = sys.modules[engine.__module__].ActivationRun(made)
    before = run.count
    run.count = lambda job, grid: ({"lanes": {**before(job, grid)[0]["lanes"], **wrong}}, None)
    return run


def another_value(engine: Any) -> None:
    module = sys.modules[engine.__module__]
    before = module.ActivationRun.values

    def values(self: Any, ops: Any, signals: dict[str, Signal]) -> None:
        before(self, ops, signals)
        signals["b"] = replace(signals["b"], values=np.nextafter(signals["b"].values, np.float32(9e9)))

    module.ActivationRun.values = values


def attribute(name: str, value: Any) -> Callable[[Any], None]:
    return lambda engine: setattr(engine, name, value)


@pytest.mark.parametrize(
    ("test", "mistake", "message"),
    [
        ("says_what_it_is", attribute("kind", "other"), "is registered with the kind 'other'"),
        ("says_what_it_is", attribute("__doc__", None), "its class has no docstring"),
        ("says_what_it_is", attribute("runs", ()), "it runs no classes of ops"),
        ("names_roles_that_it_has", attribute("exits", ("lane",)), r"it has no such roles: \['lane'\]"),
        ("names_roles_that_it_has", attribute("flows", (("lanes", "sums"),)), r"it has no such roles: \['sums'\]"),
        ("names_roles_that_it_has", attribute("job_roles", {"half": ("l2",)}), r"it has no such roles: \['l2'\]"),
        ("names_roles_that_it_has", attribute("settings", frozenset({"copy"})), r"no such keys: \['copy'\]"),
        ("names_roles_that_it_has", attribute("entries", ()), "no role that takes"),
        ("jobs_name_their_parts", jobs(lambda job: replace(job, roles=("lane",))), "a: 'lanes' plays no lane"),
        ("jobs_name_their_parts", jobs(lambda job: replace(job, work=Work())), "a does not say what it does"),
        ("counts_what_its_parts_declare", counts(operation=np.array(-1)), "operation is below 0"),
        ("counts_what_its_parts_declare", counts(operation=np.array(1.5)), "operation is float64"),
        ("counts_what_its_parts_declare", counts(special=np.array(1)), r"an? activation_unit counts no \['special'\]"),
        ("counts_what_its_parts_declare", counts(operation=np.ones(2, int)), r"operation has shape \(2,\)"),
        ("values_are_what_the_ops_define", another_value, r"layer 'b' \(relu\) of 'small_graph' differs"),
    ],
)
def test_a_mistake_is_told(
    engine: Any, told: Callable[[str], str], test: str, mistake: Callable[[Any], None], message: str
) -> None:
    mistake(engine)
    assert re.search(message, told(test)), told(test)


def test_a_refusal_without_words_is_told(engine: Any, told: Callable[[str], str]) -> None:
    before, calls = engine.refuses, []

    def refuses(*arguments: Any) -> Any:  # placement is content, then it says nothing
        calls.append(arguments)
        return before(*arguments) if len(calls) <= 2 else ""

    engine.refuses = refuses
    assert "hard_swish: ''" in told("refuses_with_a_reason")


def test_books_that_do_not_close_are_told(
    engine: Any, told: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A simulation that ends a picosecond later when it is told in which order to start its processes."""
    before = testing.simulate

    def simulate(*arguments: Any, process_order: Any, **rest: Any) -> Any:
        timeline = before(*arguments, process_order=process_order, **rest)
        return replace(timeline, finished_ps=timeline.finished_ps + 1)

    monkeypatch.setattr(testing, "simulate", simulate)
    assert "order matters" in told("the_books_close_in_any_order")
