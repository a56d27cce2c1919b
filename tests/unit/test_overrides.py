"""Overrides from Python: text, numbers and booleans mean what the same text means on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelsim
from accelsim.architecture import load_architecture
from accelsim.errors import InputError
from accelsim.explore import compare_chips
from accelsim.explore.comparison import settings_of_each
from accelsim.pipeline import split_overrides
from accelsim.workload import load_workload

FRAMES = "workload.inputs.frames"


def test_a_run_takes_numbers_booleans_and_text() -> None:
    """The case of an AttributeError: an int for a key of the workload, and one of each kind for the chip."""
    typed = {"workload.time_steps": 1, FRAMES: 20, "components.zero_skip.merge_spikes": False,
             "technology.voltage": "0.8 V"}  # fmt: skip
    texts = {"workload.time_steps": "1", FRAMES: "20", "components.zero_skip.merge_spikes": "false",
             "technology.voltage": "0.8 V"}  # fmt: skip
    result = accelsim.run("rsnn28nm", "rsnn_paper_activity", overrides=typed)
    assert result == accelsim.run("rsnn28nm", "rsnn_paper_activity", overrides=texts), "the same hashes too"
    assert result.performance.frames == 20
    two_steps = accelsim.run("rsnn28nm", "rsnn_paper_activity", overrides=typed | {"workload.time_steps": 2})
    assert two_steps.performance.macs_dense > result.performance.macs_dense


def test_chips_are_compared_with_numbers_too() -> None:
    results, _ = compare_chips(["rsnn28nm", "rsnn28nm"], "rsnn_paper_activity", overrides={FRAMES: 4})
    assert [result.performance.frames for result in results] == [4, 4]


def test_a_key_of_a_component_is_set_on_the_chips_that_have_it() -> None:
    chips = ["rsnn28nm", "memristor_tile", "imssa"]
    given = {"components.crossbar.noise": "none", "technology.temperature": "310 K", "components.pes.sets": "4"}
    crossbar, everywhere, unknown = ({key: str(value)} for key, value in given.items())
    assert settings_of_each(chips, given) == [
        everywhere | unknown, crossbar | everywhere | unknown, crossbar | everywhere | unknown
    ]  # fmt: skip
    with pytest.raises(InputError, match="pes"):
        compare_chips(chips[:2], overrides={"components.pes.sets": "4"})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (-(2**70), "-1180591620717411303424"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-300, "1e-300"),
        (True, "true"),
        (np.int64(3), "3"),
        (np.float64(0.5), "0.5"),
        (np.float32(0.1), "0.10000000149011612"),
        ("1e-3", "1e-3"),
        (None, "null"),
        ([1, "2", 0.5, (True, None)], '[1, "2", 0.5, [true, null]]'),
        ({"kind": "adc", "rate": "10 MHz", "units": np.arange(2)}, "{kind: adc, rate: 10 MHz, units: [0, 1]}"),
        (Path("a/my chip.yaml"), "a/my chip.yaml"),
        (np.bool_(False), "false"),
    ],
)
def test_the_text_of_a_value(value: Any, text: str) -> None:
    assert split_overrides({"a": value, "workload.b": value}) == ({"a": text}, {"b": text})


def test_a_number_is_read_to_the_bit() -> None:
    for share in (0.1 + 0.2, 2.0**-40, 1 / 3, 5e-324):
        key = "components.crossbar.device_settings.stuck_at_low_resistance"
        assert load_architecture("imssa", {key: share}).devices["crossbar"].model_dump()[key.split(".")[-1]] == share


@pytest.mark.parametrize(
    ("value", "inner"), [(1j, ""), (b"1", ""), ({1, 2}, ""), (object(), ""), ({"a": [1, {"b": 1j}]}, ": a.1.b")]
)
def test_other_types_are_refused_by_their_key(value: Any, inner: str) -> None:
    for load, name in ((load_architecture, "rsnn28nm"), (load_workload, "rsnn_paper_activity")):
        with pytest.raises(InputError, match=rf"^--set x.y{inner}: expected text, a number, .*, found .*as in YAML"):
            load(name, {"x.y": value})


def test_a_mapping_or_list_sets_a_whole_part() -> None:
    whole = load_architecture("imssa", {"components.adc": {"kind": "adc", "tiles": 1, "units": 2, "shared_by": 16,
                                        "precision_bits": 8, "range_bits": 8, "rate": "10 MHz"}})  # fmt: skip
    adc = whole.spec.components["adc"].model_dump()
    assert (adc["units"], adc["shared_by"]) == (2, 16)
    shares = load_workload("rsnn_paper_activity", {"inputs": {"source": "random", "frames": 7, "frame_period": "10 ms",
                           "features": 40, "input_ones": 0.5, "spikes": 0.2, "readout": 0.3}})  # fmt: skip
    assert shares.spec.inputs.model_dump()["frames"] == 7


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({1: 2}, "expected a word as the key, found 1"),
        ({"a": {"b": float("inf")}}, "--set x: a.b: expected text"),
        ([[0] * 3] * 400_000, "more than"),
        (["\ud800"], "--set x: 0: expected text"),
    ],
)
def test_what_yaml_cannot_hold_is_refused(value: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_architecture("rsnn28nm", {"x": value})


def test_what_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InputError, match=r"--set x: 0\.0\.0"):
        load_architecture("rsnn28nm", {"x": endless})


def test_wrong_types_are_told_all_at_once() -> None:
    value = 1j
    with pytest.raises(InputError) as error:
        accelsim.run("rsnn28nm", overrides={"x": value, "workload.y": value})
    assert len(error.value.problems) == 2


def test_a_number_of_the_wrong_kind_is_told_as_on_the_command_line() -> None:
    with pytest.raises(InputError, match=r"--set components.pe.sets: 'sets': must be greater than 0, found -2"):
        load_architecture("rsnn28nm", {"components.pe.sets": -2})
    with pytest.raises(InputError, match=r"'sets': expected a whole number, found 2.0"):
        load_architecture("rsnn28nm", {"components.pe.sets": 2.0})
    with pytest.raises(InputError, match=r"'nan' is not a finite number"):
        load_architecture("rsnn28nm", {"technology.voltage": float("nan")})
