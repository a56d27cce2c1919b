"""Verdicts by hand: what holds, what misses, what nobody can tell and how much speech would; and pages of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from accelsim.cost import SAMPLES
from accelsim.errors import InputError
from accelsim.explore import Comparison, Row, load_paper
from accelsim.explore.comparison import CANNOT_TELL, HOLDS, MISSES, _row, judged
from accelsim.explore.intervals import Evidence, Heard, Spread, drawn_result, is_cost, needed, of_result, spread_of
from accelsim.explore.paths import value_at
from accelsim.library import names
from accelsim.pipeline import run_in_full
from accelsim.record import record
from accelsim.report.comparison import changed, comparison_table, markdown, tally, verdicts_of
from accelsim.schema.paper import JUDGED, Figure, Paper

ACTIVITY = {"workload.inputs.frames": "20", "clocks.main.frequency": "500 MHz", "pacing.mode": "back_to_back"}


def figure(**more: object) -> Figure:
    basis = {
        "name": "f",
        "value": 1.2,
        "unit": "1",
        "tag": "stated",
        "role": "predicted",
        "run": "r",
        "path": "power_w",
    }
    return Figure.model_validate(basis | more)


WORDS = {"n": 400, "counted": "words"}


@pytest.mark.parametrize(
    ("more", "low", "high", "verdict", "more_speech"),
    [
        ({}, 1.1, 1.3, HOLDS, 0),
        ({}, 1.2, 1.3, HOLDS, 0),
        ({}, 1.21, 1.3, MISSES, 0),
        ({}, 1.0, 1.19, MISSES, 0),
        # An absolute figure has no rival, however wide its interval.
        ({}, 0.1, 9.0, HOLDS, 0),
        # A ratio has to be told from 1.
        ({"relative_to": "s"}, 1.1, 1.3, HOLDS, 0),
        # 0.9 to 1.3 holds 1.2 and 1, 0.2 apart: the width 0.4 has to halve, so four times as many words.
        ({"relative_to": "s"}, 0.9, 1.3, CANNOT_TELL, 1600),
        ({"relative_to": "s"}, 0.9, 1.1, MISSES, 0),
        ({"relative_to": "s", "rival": 1.1}, 1.05, 1.25, CANNOT_TELL, 1600),
        # The paper found no effect: to be told from what the file says, else it holds.
        ({"relative_to": "s", "value": 1.0}, 0.9, 1.3, HOLDS, 0),
        ({"relative_to": "s", "value": 1.0, "rival": 1.1}, 0.9, 1.05, HOLDS, 0),
        ({"relative_to": "s", "value": 1.0, "rival": 1.1}, 0.9, 1.3, CANNOT_TELL, 6400),
        ({"value": 0.4, "rival": 0.0}, -5.0, 3.0, CANNOT_TELL, 160000),
    ],
)
def test_verdicts(more: dict[str, object], low: float, high: float, verdict: str, more_speech: int) -> None:
    assert judged(figure(**more), 1.15, Spread(low, high, **WORDS)) == (verdict, more_speech)


def test_bounds_decide_where_a_figure_has_some() -> None:
    wide = Spread(0.0, 9.0, **WORDS)
    assert judged(figure(tolerance=0.1), 1.31, wide) == (HOLDS, 0)
    assert judged(figure(tolerance=0.1), 1.33, wide) == (MISSES, 0)
    for key in ({"rival": 1.0}, {"between": ["a", "b"]}):
        with pytest.raises(ValidationError, match="leave 'rival' and 'between' out"):
            figure(tolerance=0.1, **key)
    with pytest.raises(ValidationError, match="expected a rival other than the value"):
        figure(rival=1.2)


def test_what_is_needed_is_whole_and_rounded_up() -> None:
    assert needed(Spread(0.0, 3.0, 100, "words"), 2.0) == 225
    assert needed(Spread(0.0, 1.0, 7, "words"), 0.3) == 78  # 7 / 0.09 = 77.8


def heard(errors: list[list[int]], lengths: list[int] | None = None, reference: list[int] | None = None) -> Heard:
    said = tuple(lengths or [1] * len(errors[0]))
    return Heard("d", "words", said, tuple(map(tuple, errors)), None if reference is None else tuple(reference))


def spoken(name: str, *errors: list[int]) -> Evidence:
    values = [100 * sum(run) / len(run) for run in errors]
    return Evidence(name, {"accuracy.value": values}, heard(list(errors)))


def test_a_row_by_hand() -> None:
    """Utterances of one word each, the same for both: where errors are the same in each, their ratio cannot spread."""
    first, twice = [0, 1] * 50, [0, 2] * 50
    found = {"a": spoken("a", twice), "b": spoken("b", first)}
    ratio = figure(value=2.0, run="a", relative_to="b", path="accuracy.value")
    row = _row(ratio, found)
    assert (row.ours, row.ratio, row.verdict) == (2.0, 1.0, HOLDS)
    assert (row.spread.low, row.spread.high) == pytest.approx((2.0, 2.0))
    # The same numbers in other places: the ratio spreads, and nobody could tell 2 from 1 of 10 words.
    few = {"a": spoken("a", [0, 2] * 5), "b": spoken("b", [1, 0] * 5)}
    row = _row(ratio, few)
    assert row.ours == 2.0 and row.verdict == CANNOT_TELL
    width = row.spread.high - row.spread.low
    assert row.needed == int(np.ceil(10 * width**2)) and row.spread.counted == "words"
    assert row.holds is None and _row(figure(run="a", path="accuracy.value"), found).holds is False


def test_a_figure_between_two_runs_spans_both() -> None:
    runs = {name: Evidence(name, {"power_w": [value]}) for name, value in (("r", 3.0), ("low", 1.0), ("high", 7.0))}
    row = _row(figure(value=5.0, between=["high", "low"], scale=2.0), runs)
    assert (row.ours, row.spread, row.verdict) == (6.0, Spread(2.0, 14.0), HOLDS)
    assert _row(figure(value=15.0, between=["high", "low"], scale=2.0), runs).verdict == MISSES
    assert _row(figure(between=["high", "elsewhere"]), runs).verdict is None, "a run that is not here"


def test_a_predicted_figure_without_a_value_misses() -> None:
    runs = {"r": Evidence("r", {"power_w": [None]})}
    assert _row(figure(), runs).verdict == MISSES
    assert _row(figure(role="calibrated"), runs).verdict is None


def test_draws_of_costs_agree_with_the_record() -> None:
    """Power, area and density of a run, drawn through its whole record, have the intervals that the record tells."""
    full = run_in_full("rsnn28nm", "rsnn_paper_activity", overrides=ACTIVITY)
    result = record(full)
    paths = ["power_w", "area_mm2", "efficiency.mw_per_mm2", "efficiency.tops_per_w", "energy.total_j", "power_w",
             "components.pe.energy_j.dynamic", "components.pe.area_mm2", "performance.cycles", "energy.per_frame_j",
             "efficiency.definitions.peak.gops_per_mm2", "energy.clock_j", "operating_points.peak.power_w",
             "operating_points.peak.efficiency.tops_per_w", "energy.idle_power_w"]  # fmt: skip
    found = of_result("r", result, full, paths)
    draws = {path: found.draws(path, None) for path in paths}
    told = result.uncertainty
    for path, interval in (
        ("power_w", told.power_w),
        ("area_mm2", told.area_mm2),
        ("efficiency.mw_per_mm2", told.mw_per_mm2),
    ):
        spread = spread_of(draws[path], None)
        assert (spread.low, spread.high) == pytest.approx(interval), path
    assert draws["performance.cycles"] == result.performance.cycles, "no price decides it"
    for path in paths:
        if is_cost(path):
            assert draws[path].shape == (SAMPLES,) and np.ptp(draws[path]) > 0, path
            low, high = np.percentile(draws[path], (0.1, 99.9))
            assert low <= value_at(result, path) <= high, path
    seconds, frames = result.performance.seconds, result.performance.frames
    assert np.allclose(draws["power_w"] * seconds, draws["energy.total_j"])
    assert np.allclose(draws["energy.per_frame_j"] * frames, draws["energy.total_j"])
    assert np.allclose(draws["efficiency.tops_per_w"] * draws["power_w"], result.efficiency.tops_per_w * result.power_w)
    # A share of the whole is drawn as one figure: what both hold moves together.
    share = found.draws("components.pe.energy_j.dynamic", "energy.total_j")
    assert np.allclose(share, draws["components.pe.energy_j.dynamic"] / draws["energy.total_j"])
    # All shares of all components are the whole.
    parts = [joules for part in drawn_result(result, full)["components"] for joules in part["energy_j"].values()]
    assert np.allclose(sum(parts), draws["energy.total_j"])


def paper(title: str, *figures: Figure) -> Paper:
    runs = {"r": {"workload": "w"}, "s": {"workload": "w"}}
    return Paper(name="p", title=title, reference="Someone", architecture="a", runs=runs, figures=list(figures))


def comparison(title: str, *rows: Row) -> Comparison:
    return Comparison(paper(title, *(row.figure for row in rows)), rows, {}, {})


def test_pages_are_read_back_and_compared() -> None:
    one, two, three = (figure(name=name) for name in ("one", "two, of 3", "three"))
    given = figure(name="given", role="input")
    undecided = Row(three, 1.1, 0.9, CANNOT_TELL, Spread(0.9, 1.3, 400, "words"), 1632)
    first = comparison(
        "First", Row(one, 1.2, 1.0, HOLDS, Spread(1.1, 1.3)), Row(two, 2.0, 1.7, MISSES, Spread(2.0, 2.0)), undecided,
        Row(given, 1.2, 1.0, None, Spread(1.2, 1.2)), Row(figure(name="bound", tolerance=0.1), 1.2, 1.0, HOLDS),
        Row(figure(name="absent"), None, None),
    )  # fmt: skip
    page = markdown([first])
    assert verdicts_of(page) == {
        ("First", "one"): "holds",
        ("First", "two, of 3"): "misses",
        ("First", "three"): "cannot tell",
        ("First", "given"): "",
        ("First", "bound"): "holds",
    }
    assert (
        "| three | 1.2 | stated | 1.1 | 0.9 to 1.3 | 0.900 | predicted | "
        "*cannot tell* (about 1,600 words would; ours are 400) |" in page
    )
    assert "| two, of 3 | 1.2 | stated | 2 | exact | 1.700 | predicted | **misses** |" in page
    assert tally([first]).startswith(
        "4 predicted: 2 hold, 1 miss, 1 cannot be told (1 more have no value here); 0 book"
    )
    assert "4 predicted: 2 hold, 1 miss, 1 cannot be told" in page
    assert comparison_table(first).row_count == 6

    assert changed([first], page) == []
    later = comparison("First", Row(one, 1.2, 1.0, MISSES, Spread(1.3, 1.4)), Row(two, 2.0, 1.7, MISSES), undecided)
    assert changed([later], page) == [
        "First: one: was holds, is misses",
        "First: given: was not judged, is not there",
        "First: bound: was holds, is not there",
    ]
    # What has no value on this machine is left out; another paper's figures are no concern of this one.
    assert changed([comparison("First", *(Row(row.figure, None, None) for row in first.rows))], page) == []
    other = comparison("Second", Row(one, 1.2, 1.0, HOLDS))
    assert changed([other], page) == ["Second: one: was not there, is holds"]


@pytest.mark.parametrize("name", names("arch/papers"))
def test_every_predicted_figure_of_a_shipped_paper_can_be_judged(name: str) -> None:
    """It has an interval or bounds; bounds have a reason, and nothing says that it is not judged."""
    for one in load_paper(name).figures:
        assert "not judged" not in one.note, one.name
        if one.judged():
            assert one.role in JUDGED and len(one.note) > 8, f"{one.name}: bounds need their reason"


PAPER = """\
schema: accelsim/paper@1
name: mine
title: A paper
reference: Someone, Some Journal
architecture: rsnn28nm
runs:
  base: {workload: rsnn_paper_activity}
  study: {study: imssa_stuck, point: {workload: s4d_digits, crossbar.device_settings.stuck_at_low_resistance: "0"}}
figures:
  - {name: f, value: 50, unit: "1", tag: stated, role: predicted, run: base, path: power_w}
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("path: layers.l0.energy_j", "the energy of a layer has no interval.*take that of components"),
        ("path: area_mm2, relative_to: study", "a cost in a study has no interval"),
        ("path: operating_points.peak.energy.total_j, relative_to: study", "a cost in a study has no interval"),
        ("path: power_w, between: [base, elsewhere]", "'f': no run named 'elsewhere'"),
    ],
)
def test_what_cannot_be_judged_is_told_before_anything_runs(tmp_path: Path, change: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(PAPER.replace("path: power_w", change))
    with pytest.raises(InputError, match=rf"mine\.yaml:\d*.*{message}"):
        load_paper(tmp_path / "mine.yaml")
