"""Our bootstrap of error rates against SciPy's, on the same statistic."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from scipy.stats import bootstrap

from accelsim.explore.intervals import Heard, error_rates, spread_of

_GENERATOR = "rng" if "rng" in inspect.signature(bootstrap).parameters else "random_state"  # before SciPy 1.15


@pytest.mark.parametrize("seed", [0, 1])
def test_rates_and_paired_ratios(seed: int) -> None:
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 15, 91)
    first = random.binomial(lengths, random.beta(1, 8, 91))
    second = random.binomial(lengths, np.clip(first / lengths + 0.02, 0, 1))
    options = {"paired": True, "vectorized": True, "confidence_level": 0.9, "method": "percentile", "n_resamples": 8000,
               _GENERATOR: np.random.default_rng(3)}  # fmt: skip

    def rate(errors, said, axis):
        return 100 * errors.sum(axis=axis) / said.sum(axis=axis)

    def ratio(over, under, said, axis):
        return rate(over, said, axis) / rate(under, said, axis)

    def ours(errors):
        heard = Heard("d", "words", tuple(lengths.tolist()), (tuple(errors.tolist()),))
        return error_rates(heard, "accuracy.value", "a")

    for mine, theirs in (
        (ours(first), bootstrap((first, lengths), rate, **options)),
        (ours(second) / ours(first), bootstrap((second, first, lengths), ratio, **options)),
    ):
        spread, found = spread_of(mine, None), theirs.confidence_interval
        assert (spread.low, spread.high) == pytest.approx(found, abs=0.05 * (found.high - found.low))
