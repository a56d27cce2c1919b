"""What every shipped chip does is what was recorded: values, cycles, counts, joules and schedule.

A change that is meant to move a figure records the cases anew with ``record_runs.py``, in a commit that says why.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded_runs import CASES, FOLDER, differences, read, rerun

from accelsim import library

SHOWN = 12
NO_DATA = pytest.mark.skipif("ACCELSIM_DATA" not in os.environ, reason="ACCELSIM_DATA is not set")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[NO_DATA] if case.needs_data else []) for name, case in CASES.items()]
)
def test_a_run_is_what_was_recorded(name: str) -> None:
    found = list(differences(read(name), rerun(CASES[name])))
    assert not found, "\n".join([f"{name}: {len(found)} differences", *found[:SHOWN]])


def test_every_chip_has_a_case_and_every_case_a_record() -> None:
    assert {case.architecture for case in CASES.values()} == set(library.names("arch"))
    assert {path.name for path in Path(FOLDER).iterdir()} == {f"{name}.json.gz" for name in CASES}


def _result(change: Callable[[dict[str, Any]], None]) -> list[str]:
    old = read("memristor_tile")
    new = copy.deepcopy(old)
    change(new)
    return list(differences(old, new))


def test_the_smallest_change_is_found() -> None:
    old = read("memristor_tile")
    cycles, joules = old["result"]["performance"]["cycles"], old["result"]["energy"]["total_j"]
    more = math.nextafter(joules, 1)

    def a_cycle(new: dict[str, Any]) -> None:
        new["result"]["performance"]["cycles"] += 1

    def a_bit(new: dict[str, Any]) -> None:
        new["result"]["energy"]["total_j"] = more

    def a_key(new: dict[str, Any]) -> None:
        del new["result"]["layers"][0]["saturations"]

    def a_layer(new: dict[str, Any]) -> None:
        new["result"]["layers"].append({})

    def a_type(new: dict[str, Any]) -> None:
        new["result"]["seed"] = False

    def a_job(new: dict[str, Any]) -> None:
        new["schedule"][0]["job"] += "x"

    def a_column(new: dict[str, Any]) -> None:
        new["schedule"][0]["more"] = ""

    job = old["schedule"][0]["job"]
    assert _result(a_cycle) == [f"result.performance.cycles: {cycles} became {cycles + 1}"]
    assert _result(a_bit) == [f"result.energy.total_j: {joules!r} became {more!r}"]
    assert _result(a_key) == ["result.layers[0].saturations: gone"]
    assert _result(a_layer) == ["result.layers: 2 items became 3"]
    assert _result(a_type) == ["result.seed: 0 became False"]
    assert _result(a_job) == [f"schedule[0].job: {job!r} became {job + 'x'!r}"]
    assert _result(a_column) == ["schedule[0].more: new"]


def test_what_may_change() -> None:
    def keys(new: dict[str, Any]) -> None:
        new["result"]["more"] = 1
        new["result"]["layers"][0]["more"] = {}

    def last_bits(new: dict[str, Any]) -> None:
        new["result"]["uncertainty"]["power_w"][0] *= 1 + 1e-14

    def more_bits(new: dict[str, Any]) -> None:
        new["result"]["uncertainty"]["power_w"][0] *= 1 + 1e-11

    assert _result(keys) == []
    assert _result(last_bits) == []
    (found,) = _result(more_bits)
    assert found.startswith("result.uncertainty.power_w[0]: ")
