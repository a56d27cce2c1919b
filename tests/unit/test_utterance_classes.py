"""Classes of whole utterances, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim.score import UtteranceClasses

# Two parts, one output: p = (first half, second half); "up" wins where the second half is larger.
TENSORS = {
    "net.weight": np.array([[1, 0], [0, 1]], np.float32),
    "net.bias": np.zeros(2, np.float32),
    "reference.weight": np.array([[1, 0], [0, 1]], np.float32),
    "reference.bias": np.array([100, 0], np.float32),
}


def judge(reference: bool = False, pool: str = "mean", tensors=TENSORS, segments: int = 2) -> UtteranceClasses:
    return UtteranceClasses.from_tensors(
        tensors, ["down", "up"], reference=reference, readout="net", segments=segments, pool=pool
    )


def column(*values: int) -> np.ndarray:
    return np.array(values, np.int16)[:, None]


@pytest.mark.parametrize(
    ("outputs", "mean", "magnitude"),
    [
        (column(1, 1, 2, 2), "up", "up"),
        (column(2, 2, -9, -9), "down", "up"),
        (column(0, 0, 3, 4, 0), "up", "up"),  # floor(t 2 / 5): three frames 0, 0, 3 and two 4, 0 -> 1 against 2
        (column(5), "down", "down"),  # the second part is empty
    ],
)
def test_parts_are_averaged_and_compared(outputs, mean, magnitude):
    assert judge().classify(outputs) == mean
    assert judge(pool="magnitude").classify(outputs) == magnitude


def test_the_error_rate_counts_utterances():
    outputs = [column(1, 1, 2, 2), column(2, 2, 1, 1), column(3, 3, 9, 9), column(1, 0, 0, 5)]
    seen = []
    found = judge().score(outputs, [("up",), ("down",), ("down",), ("up",)], lambda done, total: seen.append(done))
    assert found.value == 25.0 and found.n == 4 and found.metric == "classification error"
    assert found.low <= 25 <= found.high and seen == [1, 2, 3, 4]
    assert judge(reference=True).score(outputs, [("down",)] * 4).value == 0  # its bias decides
    assert judge().score(outputs[:1], [("left",)]).value == 100  # a word that is no class is never right


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tensors": {}}, r"lacks the tensors net.weight, net.bias"),
        ({"segments": 3}, "do not fit 2 classes and 3 segments"),
        ({"tensors": TENSORS | {"net.bias": np.zeros(3, np.float32)}}, "do not fit 2 classes"),
    ],
)
def test_a_readout_that_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        judge(**arguments)
