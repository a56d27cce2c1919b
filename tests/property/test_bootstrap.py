"""The bootstrap of error rates against a plain one, resample by resample, and against moments in closed form."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.cost import SAMPLES
from accelsim.explore.intervals import Evidence, Heard, error_rates, programmings, spread_of


def plain(
    over: list[list[int]], under: list[list[int]], lengths: list[int], draws: int = 4000, paired: bool = True
) -> list[float]:
    """Return sorted ratios of two error rates, each the mean over its programmings, by picking one thing at a time."""
    dice, count, ratios = random.Random(7), len(lengths), []

    def mean(runs: list[list[int]], heard: list[int]) -> float:
        rates = [sum(run[i] for i in heard) / sum(lengths[i] for i in heard) for run in runs]
        picked = [dice.choice(rates) for _ in rates]
        centre = sum(rates) / len(rates)
        more = (len(rates) / (len(rates) - 1)) ** 0.5 if len(rates) > 1 else 1.0
        return centre + more * (sum(picked) / len(picked) - centre)

    for _ in range(draws):
        heard = [dice.randrange(count) for _ in range(count)]
        other = heard if paired else [dice.randrange(count) for _ in range(count)]
        ratios.append(mean(over, heard) / mean(under, other))
    return sorted(ratios)


def ends(ratios: list[float]) -> tuple[float, float]:
    return ratios[len(ratios) // 20], ratios[-len(ratios) // 20]


def evidence(name: str, errors: list[list[int]], lengths: list[int], dataset: str = "d") -> Evidence:
    heard = Heard(dataset, "words", tuple(lengths), tuple(map(tuple, errors)))
    return Evidence(name, {"accuracy.value": [1.0]}, heard)


def ratio(over: Evidence, under: Evidence) -> tuple[float, float]:
    spread = spread_of(over.draws("accuracy.value", None) / under.draws("accuracy.value", None), None)
    return spread.low, spread.high


def words(seed: int, utterances: int, runs: int, rate: float) -> tuple[list[int], list[list[int]]]:
    """Return lengths, and errors of several programmings that agree in which utterances are hard."""
    random_ = np.random.default_rng(seed)
    lengths = random_.integers(2, 12, utterances)
    hard = random_.beta(1, 5, utterances) * 6 * rate
    return lengths.tolist(), [random_.binomial(lengths, np.minimum(hard, 1)).tolist() for _ in range(runs)]


@pytest.mark.parametrize(("seed", "runs"), [(1, (5, 1)), (2, (2, 2)), (3, (1, 1)), (4, (5, 5))])
def test_paired_ratios_against_a_plain_bootstrap(seed: int, runs: tuple[int, int]) -> None:
    lengths, errors = words(seed, 60, sum(runs), 0.2)
    over, under = errors[: runs[0]], errors[runs[0] :]
    mine = ratio(evidence("a", over, lengths), evidence("b", under, lengths))
    theirs = ends(plain(over, under, lengths))
    assert mine == pytest.approx(theirs, abs=0.06 * (theirs[1] - theirs[0]))


def test_the_same_utterances_are_paired_and_others_are_not() -> None:
    lengths, errors = words(5, 80, 2, 0.25)
    same = ratio(evidence("a", [errors[0]], lengths), evidence("b", [errors[0]], lengths))
    assert same == (1.0, 1.0), "one run over itself"
    paired = ratio(evidence("a", [errors[0]], lengths), evidence("b", [errors[1]], lengths))
    apart = ratio(evidence("a", [errors[0]], lengths), evidence("b", [errors[1]], lengths, dataset="other"))
    assert apart[1] - apart[0] > 1.5 * (paired[1] - paired[0])
    assert apart == pytest.approx(ends(plain([errors[0]], [errors[1]], lengths, paired=False)), rel=0.06)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 50), min_size=2, max_size=8))
def test_programmings_have_the_variance_of_a_mean(values: list[float]) -> None:
    """Mean and variance of the draws are those of the mean of n values: s^2 / n, s^2 with n - 1."""
    drawn = programmings(np.array([values]), "a")
    assert drawn.shape == (SAMPLES,)
    error = np.std(values, ddof=1) / len(values) ** 0.5
    assert drawn.mean() == pytest.approx(np.mean(values), abs=5 * error / SAMPLES**0.5 + 1e-9)
    assert drawn.std() == pytest.approx(error, rel=0.1, abs=1e-9)


def test_loss_and_reference_are_drawn_on_the_same_utterances() -> None:
    lengths, (ours, theirs) = words(6, 40, 2, 0.3)
    heard = Heard("d", "words", tuple(lengths), (tuple(ours),), tuple(theirs))
    value, reference, loss = (
        error_rates(heard, f"accuracy.{key}", "a") for key in ("value", "reference_value", "loss")
    )
    assert np.allclose(loss, value - reference)
    alike = Heard("d", "words", tuple(lengths), (tuple(ours),), tuple(ours))
    assert np.abs(error_rates(alike, "accuracy.loss", "a")).max() < 1e-9
    # Both are rates in percent of what was said.
    assert value.mean() == pytest.approx(100 * sum(ours) / sum(lengths), rel=0.02)
    assert reference.mean() == pytest.approx(100 * sum(theirs) / sum(lengths), rel=0.02)


def test_runs_of_other_names_pick_their_programmings_apart() -> None:
    values = np.array([[1.0, 2.0, 6.0]])
    assert np.array_equal(programmings(values, "a"), programmings(values, "a"))
    assert abs(np.corrcoef(programmings(values, "a"), programmings(values, "b"))[0, 1]) < 0.06
