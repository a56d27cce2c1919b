"""The axes of a sweep as they are drawn: keys together, numbers with their units, and what one picture shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import accuracy, small_run

from accelsim.explore.front import Front, front_of
from accelsim.explore.metrics import METRICS
from accelsim.explore.space import Point
from accelsim.explore.store import Outcome, Store
from accelsim.report.plots import sweep_figures
from accelsim.report.steps import Slice, Steps, slice_of, steps_of
from accelsim.result import Result


@pytest.fixture(scope="module")
def made() -> Result:
    return small_run()


def store_of(folder: Path, result: Result, axes: list[dict[str, list[str]]], seeds: int = 1) -> Store:
    """Return a store of the grid of axes whose energy and error are known: n nJ and 50 - n %, n the configuration."""
    steps: list[dict[str, str]] = [{}]
    for axis in axes:
        rows = [dict(zip(axis, values, strict=True)) for values in zip(*axis.values(), strict=True)]
        steps = [{**before, **row} for before in steps for row in rows]
    meta = {
        "kind": "sweep", "architecture": {"name": "a", "sha256": "0" * 64},
        "workload": {"name": "w", "sha256": "1" * 64},
        "set": {}, "method": "grid", "points": None, "axes": axes, "swept": [key for axis in axes for key in axis],
        "seed": 0, "seeds": seeds, "objectives": ["energy_per_frame_j", "error_percent"], "constraints": [],
        "accelsim": "0.1.0", "command": "",
    }  # fmt: skip
    store = Store.create(folder, meta)
    for number, keys in enumerate(steps):
        for seed in range(seeds):
            energy = result.energy.model_copy(update={"per_frame_j": (1 + number + 0.1 * seed) * 1e-9})
            point = Point(number * seeds + seed, number, seed, keys)
            store.add(Outcome(point, result.model_copy(update={"energy": energy, "accuracy": accuracy(50.0 - number)})))
    return store


def drawn(store: Store) -> tuple[list[Steps], Slice | None, Front]:
    found, meta = front_of(store), store.meta()
    axes = steps_of(meta["axes"], meta["swept"], found.done)
    return axes, slice_of(axes, found), found


def test_keys_that_step_together_are_one_axis_and_draw_one_curve(made, tmp_path):
    pytest.importorskip("matplotlib")
    axes = [{"components.crossbar.rows": ["64", "128", "256"], "components.adc.shared_by": ["8", "16", "32"]}]
    with store_of(tmp_path / "two", made, axes, seeds=3) as store:
        (axis,), shown, found = drawn(store)
        figures = sweep_figures(store)
    assert (axis.name, axis.texts) == ("crossbar.rows & adc.shared_by", ["64 & 8", "128 & 16", "256 & 32"])
    assert axis.numbers == [64, 128, 256] and axis.logarithmic and shown is not None and shown.other is None
    (drawing,) = figures["curves_energy"].axes
    (container,) = drawing.containers
    line = container.lines[0]
    assert line.get_xdata().tolist() == [64, 128, 256]
    assert line.get_ydata() == pytest.approx([1.1e-9, 2.1e-9, 3.1e-9]), "means of three seeds"
    (bars,) = container.lines[2]
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    assert ends == [pytest.approx(found.interval(c, METRICS["energy_per_frame_j"])) for c in found.done]
    assert all(low < n * 1e-9 and (n + 0.2) * 1e-9 < high for n, (low, high) in enumerate(ends, 1)), "of three seeds"
    assert drawing.get_xlabel() == "rows & shared by"
    assert [tick.get_text() for tick in drawing.get_xticklabels()] == ["64 & 8", "128 & 16", "256 & 32"]
    assert drawing.get_ylabel() == "energy per frame, nJ", "in a multiple of the unit"
    assert [tick.get_text() for tick in drawing.get_yticklabels()][:2] == ["0.5", "1"]


def test_keys_with_equal_values_are_said_once(made, tmp_path):
    with store_of(tmp_path / "s", made, [{"a.bits": ["4", "6", "8"], "b.bits": ["4", "6", "8"]}]) as store:
        (axis,), _, _ = drawn(store)
    assert (axis.name, axis.texts) == ("a.bits = b.bits", ["4", "6", "8"])


@pytest.mark.parametrize(
    ("texts", "numbers", "unit", "multiple"),
    [
        (["500 kHz", "1 MHz", "100 kHz"], [1e5, 5e5, 1e6], "Hz", True),
        (["0.9 V", "0.6 V", "0.75 V"], [0.6, 0.75, 0.9], "V", False),
        (["8", "10", "9"], [8, 9, 10], "", False),
        (["none", "nonlinear", "linear"], None, "", False),
        (["1 V", "2", "3 V"], None, "", False),
        (["1", "1.0", "2"], None, "", False),
    ],
)
def test_numbers_are_in_the_unit_in_which_they_are_written_or_in_that_of_si(
    made, tmp_path, texts, numbers, unit, multiple
):
    with store_of(tmp_path / "s", made, [{"key": texts}]) as store:
        (axis,), shown, _ = drawn(store)
    assert axis.numbers == numbers
    if numbers is None:
        assert shown is None
    else:
        assert (axis.unit, axis.multiple) == (unit, multiple)
        assert sorted(axis.texts, key=axis.texts.index) == sorted(texts, key=lambda t: numbers[axis.texts.index(t)])


def test_of_more_axes_than_two_the_others_stay_at_the_best(made, tmp_path):
    pytest.importorskip("matplotlib")
    axes = [{"bits": ["4", "5", "6", "7"]}, {"rows": ["1", "2", "3"]}, {"mode": ["x", "y"]}]
    with store_of(tmp_path / "s", made, axes) as store:
        _, shown, found = drawn(store)
        figures = sweep_figures(store)
    assert shown is not None and shown.other is not None
    best = found.front()[0]
    assert (shown.along.name, shown.other.name, shown.held) == ("bits", "rows", {"mode": best.keys["mode"]})
    assert {found.done[i].keys["mode"] for i in shown.chosen} == {best.keys["mode"]} and len(shown.chosen) == 12
    assert set(figures) == {"pareto_error", "curves_energy", "heat_energy", "curves_error", "heat_error"}
    heat = figures["heat_error"].axes[0]
    values = {(int(c.keys["rows"]) - 1, int(c.keys["bits"]) - 4): c.mean["error_percent"]
              for c in found.done if c.keys["mode"] == best.keys["mode"]}  # fmt: skip
    cells = heat.images[0].get_array()
    assert {place: float(cells[place]) for place in values} == values
    assert heat.get_title() == f"at mode = {best.keys['mode']}"


def test_a_sweep_of_names_draws_no_curve(made, tmp_path):
    pytest.importorskip("matplotlib")
    with store_of(tmp_path / "s", made, [{"mode": ["x", "y", "z"]}]) as store:
        assert set(sweep_figures(store)) == {"pareto_error"}
