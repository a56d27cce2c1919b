"""Front and hypervolume against the definitions, point by point and cell by cell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.explore.metrics import METRICS
from accelsim.explore.pareto import front, hypervolume

SIDE = 6


def dominated(a, b) -> bool:
    """Tell whether b is at most as large as a everywhere and smaller somewhere."""
    return all(y <= x for x, y in zip(a, b, strict=True)) and any(y < x for x, y in zip(a, b, strict=True))


def cells(points, objectives: int) -> int:
    """Count the unit cells of a SIDE^d box that some point lies below."""
    return sum(
        any(all(x <= corner for x, corner in zip(point, cell, strict=True)) for point in points)
        for cell in itertools.product(range(SIDE), repeat=objectives)
    )


@st.composite
def point_sets(draw):
    objectives = draw(st.integers(1, 3))
    point = st.tuples(*[st.integers(0, SIDE + 1)] * objectives)
    return objectives, draw(st.lists(point, max_size=12))


@given(point_sets())
def test_front_is_what_nothing_dominates(drawn) -> None:
    objectives, points = drawn
    expected = [not any(dominated(a, b) for b in points) for a in points]
    assert front(np.array(points, float).reshape(-1, objectives)).tolist() == expected


@given(point_sets())
def test_hypervolume_is_the_number_of_dominated_cells(drawn) -> None:
    objectives, points = drawn
    assert hypervolume(np.array(points).reshape(-1, objectives), [SIDE] * objectives) == cells(points, objectives)


@given(point_sets())
def test_the_front_alone_has_the_whole_hypervolume(drawn) -> None:
    objectives, points = drawn
    values = np.array(points, float).reshape(-1, objectives)
    reference = [SIDE] * objectives
    assert hypervolume(values[front(values)], reference) == hypervolume(values, reference)


def test_three_boxes_by_hand() -> None:
    points = [(0, 1.5), (1, 1), (1.5, 0)]
    # From left to right: x in 0 .. 1 has height 0.5, 1 .. 1.5 has height 1, 1.5 .. 2 has height 2.
    assert hypervolume(points, (2, 2)) == pytest.approx(1 * 0.5 + 0.5 * 1 + 0.5 * 2)


def test_less_is_better_but_where_more_is() -> None:
    """A front asks for little of everything: of what is good in plenty its negative."""
    assert METRICS["energy_j"].badness(2.0) == 2.0
    assert METRICS["accuracy"].badness(0.9) == -0.9
    higher = {name for name, metric in METRICS.items() if metric.badness(1.0) < 0}
    assert higher == {"accuracy", "gops", "tops_per_w", "gops_per_mm2"}
