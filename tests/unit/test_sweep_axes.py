"""Axes and points: what a range means, what a draw gives, and what is refused."""

from __future__ import annotations

import inspect
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import qmc

from accelsim.errors import InputError
from accelsim.explore.metrics import read_constraint
from accelsim.explore.space import _latin_hypercube, points_of, read_axes, read_axis


def values(text: str) -> list[str]:
    (axis,) = read_axes([f"key={text}"])
    return [axis.step(i)["key"] for i in range(axis.count())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("64,128,256", ["64", "128", "256"]),
        ("1:4", ["1", "2", "3", "4"]),
        ("1:8:3", ["1", "4", "7"]),
        ("-1:1", ["-1", "0", "1"]),
        ("0.1:0.3:0.1", ["0.1", "0.2", "0.3"]),
        ("0.6 V:0.9 V:0.1 V", ["0.6 V", "0.7 V", "0.8 V", "0.9 V"]),
        ("100 MHz,200 MHz", ["100 MHz", "200 MHz"]),
        ("5", ["5"]),
        ("true,false", ["true", "false"]),
        ("{kind: bus, length: 1 mm},{kind: mesh}", ["{kind: bus, length: 1 mm}", "{kind: mesh}"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ("C:name", ["C:name"]),
    ],
)
def test_values_of_a_text(text: str, expected: list[str]) -> None:
    assert values(text) == expected


@given(st.integers(-50, 50), st.integers(0, 30), st.integers(1, 7))
def test_a_range_is_pythons_with_its_end(low: int, length: int, step: int) -> None:
    assert values(f"{low}:{low + length}:{step}") == [str(n) for n in range(low, low + length + 1, step)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key=8:1", "is empty"),
        ("key=1:8:0", "step above 0"),
        ("key=1 V:2 mV:1 mV", "mixes units"),
        ("key=1,,2", "an empty value for 'key'"),
        ("key=", "no values for 'key'"),
        ("key", "is not KEY=VALUES"),
        ("a=1,2;b=1,2,3", "'a' has 2, 'b' has 3"),
        ("a=1,2;b=0.1 V:0.2 V", "needs a step"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_axes([text])


def test_an_axis_has_a_key() -> None:
    with pytest.raises(InputError, match="an axis without a key"):
        read_axis({})


def test_all_problems_at_once() -> None:
    with pytest.raises(InputError) as caught:
        read_axes(["a=2:1", "b", "c="])
    assert len(caught.value.problems) == 3


def test_keys_of_one_axis_step_together_and_axes_are_combined() -> None:
    axes = read_axes(["rows=64,128; units=192,384", "bits=1:2"])
    points = points_of(axes, "grid", None, 5, 2)
    assert [point.number for point in points] == list(range(8))
    assert [(p.configuration, p.seed) for p in points[:3]] == [(0, 5), (0, 6), (1, 5)]
    assert [tuple(p.keys.values()) for p in points[::2]] == [
        ("64", "192", "1"), ("64", "192", "2"), ("128", "384", "1"), ("128", "384", "2"),
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["random", "lhs"])
def test_a_draw_is_decided_by_its_seed(method: str) -> None:
    axes = read_axes(["a=1:8", "b=0.5 V:1 V", "c=x,y"])
    drawn = points_of(axes, method, 16, 3, 1)
    assert drawn == points_of(axes, method, 16, 3, 1)
    assert drawn != points_of(axes, method, 16, 4, 1)
    assert {p.keys["c"] for p in drawn} == {"x", "y"}
    assert all(0.5 <= float(p.keys["b"].removesuffix(" V")) <= 1 for p in drawn)


def test_a_latin_hypercube_has_one_point_in_every_row() -> None:
    points = points_of(read_axes(["a=1:16", "b=0:1"]), "lhs", 16, 0, 1)
    assert sorted(int(p.keys["a"]) for p in points) == list(range(1, 17))
    assert [p.keys["b"] for p in points].count("0") == 8


@pytest.mark.parametrize(("count", "axes"), [(1, 1), (16, 3), (7, 2), (3, 0)])
def test_a_latin_hypercube_is_that_of_scipy(count: int, axes: int) -> None:
    ours, theirs = (np.random.Generator(np.random.Philox(5)) for _ in range(2))
    name = "rng" if "rng" in inspect.signature(qmc.LatinHypercube).parameters else "seed"
    expected = qmc.LatinHypercube(axes, **{name: theirs}).random(count) if axes else np.empty((count, 0))
    assert np.array_equal(_latin_hypercube(ours, count, axes), expected)


def test_a_grid_needs_steps_and_an_end() -> None:
    with pytest.raises(InputError, match="a grid needs a step"):
        points_of(read_axes(["a=0.5 V:1 V"]), "grid", None, 0, 1)
    with pytest.raises(InputError, match="more than 100,000 points"):
        points_of(read_axes(["a=1:2000", "b=1:2000"]), "grid", None, 0, 1)
    with pytest.raises(InputError, match="needs a number of points"):
        points_of(read_axes(["a=1:2"]), "lhs", None, 0, 1)


def test_lists_of_a_file_become_texts() -> None:
    axis = read_axis({"a": [64, True, "5 V", 0.5]})
    assert [axis.step(i)["a"] for i in range(4)] == ["64", "true", "5 V", "0.5"]


def test_constraints_in_any_unit() -> None:
    assert read_constraint("area<=2 mm2").limit == pytest.approx(2)
    assert read_constraint("area_mm2 <= 2").limit == 2
    assert read_constraint("traffic<=250 MB/s").limit == pytest.approx(250e6)
    power = read_constraint("power>=1 mW")
    assert power.limit == pytest.approx(1e-3)
    assert power.excess({"power_w": 2e-3}) < 0 < power.excess({"power_w": 0.5e-3})
    for text, message in [("area<2", "not a constraint"), ("are<=2", "did you mean 'area'"), ("error<=x", "not a num")]:
        with pytest.raises(InputError, match=message):
            read_constraint(text)


@pytest.mark.parametrize(
    "text",
    ["1:1e999999", "1e-999999:1", "1:2:1e-400", "1:9e99999999", f"1:1e{'9' * 50}", f"1:{'2' * 200}", "1:-1e-9999:1"],
)
def test_numbers_that_no_float_holds_are_refused(text):
    with pytest.raises(InputError, match=r"of 'a' has a number that is too long, too large or too small$"):
        read_axes([f"a={text}"])


def test_zero_is_zero_whatever_its_exponent():
    (axis,) = read_axes([f"a=0e{'9' * 50}:-0.0e-9999:1"])
    assert axis.count() == 1 and axis.step(0) == {"a": "0"}


def test_a_long_text_takes_no_longer_than_it_is_long():
    begun = time.process_time()
    (axis,) = read_axes(["a=" + ",".join("1" * 50_000)])
    assert axis.count() == 50_000
    assert read_axes(["a=" + "[" * 300_000])[0].count() == 1
    assert time.process_time() - begun < 3
