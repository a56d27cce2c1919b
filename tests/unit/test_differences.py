"""Differences that recordings, seeds and prices cannot tell are called nothing but that, in sweeps and of chips."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import small_run
from rich.console import Console

from accelsim.api.comparisons import ChipComparison
from accelsim.api.sweeps import Sweep
from accelsim.errors import InputError
from accelsim.explore import comparison
from accelsim.explore.comparison import compare_chips
from accelsim.explore.front import front_of
from accelsim.explore.metrics import METRICS
from accelsim.explore.space import Point
from accelsim.explore.spreads import interval, is_less
from accelsim.explore.store import Outcome, Store
from accelsim.report.comparison import chips_markdown
from accelsim.report.sweep import sweep_table
from accelsim.report.sweep_html import sweep_page
from accelsim.result import AccuracyRecord, Result, UtteranceRecord

ERROR, ENERGY = METRICS["error_percent"], METRICS["energy_per_frame_j"]
# One of 2,463 frames is another one: 50.47 % against 50.51 %.
FRAMES = (500, 500, 500, 500, 463)
BY_A_FRAME = ((250, 260, 240, 250, 243), (250, 261, 240, 250, 243))
# Twelve utterances of 100 phones: the second errs once more in each of them, and they differ by far more than that.
PHONES = (100,) * 12
BY_ONE_EACH = ((5, 40, 12, 33, 8, 25, 50, 2, 19, 28, 14, 37), (6, 41, 13, 34, 9, 26, 51, 3, 20, 29, 15, 38))


@pytest.fixture(scope="module")
def made() -> Result:
    return small_run()


def with_errors(result: Result, lengths: Sequence[int], errors: Sequence[int], nanojoules: float = 1.0) -> Result:
    """Return a result that heard utterances of such lengths, with so many errors in each."""
    value = 100 * sum(errors) / sum(lengths)
    accuracy = AccuracyRecord(
        metric="phoneme error rate", value=value, low=value - 1, high=value + 1, reference_value=None, loss=None,
        n=sum(lengths), counted="phones", unit="%", dataset="a test",
        per_utterance=UtteranceRecord(lengths=list(lengths), errors=[list(errors)]),
    )  # fmt: skip
    energy = result.energy.model_copy(update={"per_frame_j": nanojoules * 1e-9})
    return result.model_copy(update={"accuracy": accuracy, "energy": energy})


def store_of(folder: Path, configurations: Sequence[Sequence[Result]], objectives: Sequence[str]) -> Path:
    """Write a store of configurations, each with the results of its seeds."""
    first = configurations[0][0]
    meta = {
        "kind": "sweep", "architecture": {"name": first.arch.name, "sha256": "0" * 64}, "method": "grid",
        "workload": {"name": first.workload.name, "sha256": "1" * 64}, "set": {}, "points": None,
        "axes": [{"x": [str(i) for i in range(len(configurations))]}], "swept": ["x"], "seed": 0,
        "seeds": len(configurations[0]), "objectives": list(objectives), "constraints": [], "accelsim": "0.1.0",
        "command": "accelsim sweep chip",
    }  # fmt: skip
    with Store.create(folder, meta) as store:
        for number, results in enumerate(configurations):
            for seed, result in enumerate(results):
                point = Point(number * len(results) + seed, number, seed, {"x": str(number)})
                store.add(Outcome(point, result))
    return folder


def shown(store: Store) -> str:
    console = Console(width=160, record=True, file=StringIO())
    console.print(sweep_table(store))
    return console.export_text()


def test_a_frame_of_two_thousand_makes_nothing_best(made: Result, tmp_path: Path) -> None:
    folder = store_of(tmp_path, [[with_errors(made, FRAMES, errors)] for errors in BY_A_FRAME], ["error_percent"])
    with Store.open(folder) as store:
        found = front_of(store)
        assert [f"{c.mean['error_percent']:.2f}" for c in found.done] == ["50.47", "50.51"]
        assert found.best.tolist() == [True, True], "neither is known to be worse"
        assert [c.number for c in found.leaders(ERROR)] == [0, 1]
        low, high = found.interval(found.done[0], ERROR)
        assert low < 50.47 < high
        text = shown(store)
        assert re.search(
            r"error: 50\.47 % \(49\.2\d* % to 51\.7\d* %\) is among the best: 1 more of the front cannot", text
        )
        assert (low, high) == pytest.approx((49.20, 51.77), abs=0.01)
        assert "50.47 % ±1.28" in text
        assert "1 more cannot be told from it" in sweep_page(store)


def test_a_table_of_python_has_the_ends(made: Result, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    folder = store_of(tmp_path, [[with_errors(made, FRAMES, errors)] for errors in BY_A_FRAME], ["error_percent"])
    frame = Sweep(folder).to_frame()
    assert frame["on_front"].all()
    with Store.open(folder) as store:
        found = front_of(store)
        ends = [found.interval(c, ERROR) for c in found.done]
    assert list(zip(frame["error_percent_low"], frame["error_percent_high"], strict=True)) == ends


def test_a_small_difference_in_every_utterance_is_told(made: Result, tmp_path: Path) -> None:
    folder = store_of(tmp_path, [[with_errors(made, PHONES, errors)] for errors in BY_ONE_EACH], ["error_percent"])
    with Store.open(folder) as store:
        found = front_of(store)
        ends = [found.interval(c, ERROR) for c in found.done]
        assert ends[1][0] < ends[0][1], "the intervals overlap: only the pairs tell"
        assert found.best.tolist() == [True, False] and [c.number for c in found.leaders(ERROR)] == [0]
        assert "is the best, beyond the interval of every difference" in shown(store)
        assert "cannot be told" not in sweep_page(store)


def test_what_costs_more_for_nothing_is_beaten_all_the_same(made: Result, tmp_path: Path) -> None:
    """0 and 1 differ in a frame and cost as much; 2 has the error of 1 and costs more; 3 is cheaper and far worse."""
    many = [e + 100 for e in BY_A_FRAME[1]]
    results = [
        with_errors(made, FRAMES, BY_A_FRAME[0], 2.0), with_errors(made, FRAMES, BY_A_FRAME[1], 2.0),
        with_errors(made, FRAMES, BY_A_FRAME[1], 3.0), with_errors(made, FRAMES, many, 1.0),
    ]  # fmt: skip
    folder = store_of(tmp_path, [[result] for result in results], ["energy_per_frame_j", "error_percent"])
    with Store.open(folder) as store:
        found = front_of(store)
        assert found.best.tolist() == [True, True, False, True]
        assert [c.number for c in found.leaders(ERROR)] == [0, 1] and [c.number for c in found.leaders(ENERGY)] == [3]


def test_seeds_are_drawn_in_pairs(made: Result, tmp_path: Path) -> None:
    def at(*nanojoules: float) -> list[Result]:
        plain = made.model_copy(update={"accuracy": None})
        return [
            plain.model_copy(update={"energy": made.energy.model_copy(update={"per_frame_j": joules * 1e-9})})
            for joules in nanojoules
        ]

    # The seeds differ by far more than the configurations: 1 is above 0 with every seed, 2 with some of them alone.
    folder = store_of(
        tmp_path, [at(1.0, 3.0, 2.0, 5.0), at(1.1, 3.1, 2.1, 5.1), at(1.2, 2.9, 2.2, 5.0)], ["energy_per_frame_j"]
    )
    with Store.open(folder) as store:
        found = front_of(store)
        assert found.best.tolist() == [True, False, True]
        assert [c.number for c in found.leaders(ENERGY)] == [0, 2]
        low, high = found.interval(found.done[0], ENERGY)
        assert low < 2.75e-9 < high
        # Means of four seeds picked with replacement, spread about their mean by sqrt(4 / 3), as draws of runs are.
        picks = np.array(np.meshgrid(*[[1.0, 3.0, 2.0, 5.0]] * 4)).reshape(4, -1).mean(axis=0)
        by_hand = 2.75 + np.sqrt(4 / 3) * (picks - 2.75)
        assert (low, high) == pytest.approx(tuple(np.percentile(by_hand, (2.5, 97.5)) * 1e-9), rel=0.03)


def test_what_was_heard_in_a_damaged_store_is_refused_with_its_place(made: Result, tmp_path: Path) -> None:
    folder = store_of(tmp_path, [[with_errors(made, FRAMES, BY_A_FRAME[0])]], ["error_percent"])
    with Store.open(folder) as store:
        (point,) = store.heard()
        assert store.heard()[point].errors == (BY_A_FRAME[0],) and store.heard()[point].lengths == FRAMES
        for broken, wrong in (('"lengths":[500', '"lengths":[-5'), ('"dataset":"a test"', '"dataset":7')):
            (text,) = store._read("SELECT result_json FROM points")[0]
            assert broken in text
            store._connection.execute("UPDATE points SET result_json = ?", [text.replace(broken, wrong)])
            with pytest.raises(InputError, match=r"results\.sqlite: points: the result of point 0: accuracy: "):
                store.heard()
            store._connection.execute("UPDATE points SET result_json = ?", [text])
        store._connection.execute("UPDATE points SET result_json = 'no JSON'")
        assert store.heard() == {}, "who reads that result says what is wrong with it"


def test_intervals_of_numbers_and_of_draws() -> None:
    draws = np.arange(1001) / 10
    assert interval(draws) == (2.5, 97.5) and interval(3.0) is None and interval(np.array([1.0, np.nan])) is None
    assert is_less(1.0, 2.0) and not is_less(2.0, 2.0) and not is_less(2.0, 1.0)
    assert is_less(draws, draws + 1e-9), "draw by draw"
    assert not is_less(draws, draws[::-1] + 90), "in 5 % of the draws it is not"


def side_by_side(
    monkeypatch: pytest.MonkeyPatch, results: Sequence[Result], draws: Sequence[dict[str, Any]]
) -> tuple[tuple[Result, ...], dict[str, Any]]:
    later = iter(zip(results, draws, strict=True))
    monkeypatch.setattr(comparison, "_run_chip", lambda *_, **__: next(later))
    found, rows = compare_chips(["rsnn28nm"] * len(results), "rsnn_paper_activity")
    return found, {row.metric.name: row for row in rows}


def test_chips_that_cannot_be_told_apart_share_what_is_best(monkeypatch: pytest.MonkeyPatch, made: Result) -> None:
    errors = (*BY_A_FRAME, [e + 100 for e in BY_A_FRAME[0]])
    three = [with_errors(made, FRAMES, one) for one in errors]
    _, rows = side_by_side(monkeypatch, three, [{}, {}, {}])
    row = rows["error_percent"]
    assert row.best == {0, 1}
    assert all(low < value < high for value, (low, high) in zip(row.values, row.intervals, strict=True))
    low, high = row.ratio_intervals[0]
    assert low <= 1 < high < 1.01, "of the same utterances: far narrower than the rates"
    _, rows = side_by_side(monkeypatch, three[:2], [{}, {}])
    assert rows["error_percent"].best == frozenset(), "nothing is best of two that are alike"
    _, rows = side_by_side(monkeypatch, [with_errors(made, PHONES, one) for one in BY_ONE_EACH], [{}, {}])
    assert rows["error_percent"].best == {0}


def test_costs_whose_prices_move_together_are_told_apart(monkeypatch: pytest.MonkeyPatch, made: Result) -> None:
    together, apart = np.linspace(0.5, 2.0, 4096), np.linspace(2.0, 0.5, 4096)
    pytest.importorskip("pandas")
    chips = [made.model_copy(update={"power_w": value}) for value in (1.0, 1.1, 1.1)]
    draws = [{"power_w": together}, {"power_w": 1.1 * together}, {"power_w": 1.1 * apart}]
    results, rows = side_by_side(monkeypatch, chips, draws)
    row = rows["power_w"]
    assert row.best == {0, 2}, "the second costs more whatever the price is; of the third nobody knows"
    assert row.ratio_intervals[0] == pytest.approx((1.1, 1.1))
    assert row.ratio_intervals[1][0] < 0.4 and row.ratio_intervals[1][1] > 3
    page = chips_markdown(results, list(rows.values()), "accelsim compare a b c")
    low, high = row.ratio_intervals[1]
    frame = ChipComparison(results, tuple(rows.values())).to_frame()
    assert frame.loc["power_w", ["ratio 3 low", "ratio 3 high"]].tolist() == [low, high]
    assert f"| **1 W** | 1.1 W | **1.1 W** | 1.1 | 1.1 ({low:.3g} to {high:.3g}) |" in page


def test_the_command_line_gives_intervals_of_chips(accelsim: Any) -> None:
    """The same chip at another clock: leakage and clocks cost the same, whatever they cost."""
    text = "workload.inputs.frames=20"
    outcome = accelsim("compare", "rsnn28nm", "memristor_tile", "-w", "rsnn_paper_activity", "-s", text, "--json")
    assert outcome.code == 2, "no engine of the tile runs spikes"
    outcome = accelsim("compare", "rsnn28nm", "rsnn28nm", "-w", "rsnn_paper_activity", "-s", text, "--json")
    rows = {row["name"]: row for row in json.loads(outcome.out)["figures"]}
    for name in ("power_w", "energy_per_frame_j", "area_mm2", "tops_per_w", "gops_per_mm2"):
        (low, high), value = rows[name]["intervals"][0], rows[name]["values"][0]
        assert low < value < high, name
        assert rows[name]["ratio_intervals"] == [[1.0, 1.0]], "the same prices on both"
        assert rows[name]["best"] == []
    assert rows["cycles_per_frame"]["intervals"] == [None, None], "counted"
