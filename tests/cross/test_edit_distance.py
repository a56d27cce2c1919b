"""The error rate against the edit distance of the textbook (Wagner and Fischer, 1974)."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim.score import phoneme_error_rate

PHONES = ["AA", "AO", "SH", "ZH", "T", "S"]
CLASSES = {"AO": "AA", "ZH": "SH"}


def distance(heard: list[str], said: list[str]) -> int:
    """Return the smallest number of insertions, deletions and substitutions from one to the other."""
    table = np.zeros((len(said) + 1, len(heard) + 1), int)
    table[:, 0], table[0] = np.arange(len(said) + 1), np.arange(len(heard) + 1)
    for i, one in enumerate(said, start=1):
        for j, other in enumerate(heard, start=1):
            differs = CLASSES.get(one, one) != CLASSES.get(other, other)
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + differs)
    return int(table[-1, -1])


@pytest.mark.parametrize("seed", range(5))
def test_error_rate(seed):
    rng = np.random.default_rng(seed)
    said = [list(rng.choice(PHONES, rng.integers(1, 15))) for _ in range(20)]
    heard = [[p for p in line if rng.random() > 0.2] + list(rng.choice(PHONES, rng.integers(0, 4))) for line in said]
    rate = phoneme_error_rate(heard, said)
    errors = sum(distance(h, s) for h, s in zip(heard, said, strict=True))
    total = sum(map(len, said))
    assert errors > 0
    assert rate.n == total
    assert sum(rate.detail.values()) == errors
    assert rate.value == pytest.approx(100 * errors / total)
    assert rate.low < rate.value < rate.high
