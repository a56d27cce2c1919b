"""Error rates from edit distances, with confidence intervals over utterances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# CMUdict's 39 phones to the usual scoring classes (Lee & Hon 1989): AA with AO, SH with ZH.
FOLD = {"AO": "AA", "ZH": "SH"}

_RESAMPLES = 2000


@dataclass(frozen=True)
class Accuracy:
    """How well a batch was recognised; ``low`` and ``high``: 95 % bootstrap interval, ``n``: of what is ``counted``.

    ``errors`` and ``lengths``: of each utterance, value = 100 sum(errors) / sum(lengths); empty where a judge has none.
    ``heard``: places in the batch of the utterances that these are of; empty where they are of all.
    ``further``: what else was measured on the same outputs, such as the false accepts beside the misses.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int
    counted: str
    unit: str
    detail: Mapping[str, int]
    errors: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()
    heard: tuple[int, ...] = ()
    further: tuple[Accuracy, ...] = ()


def phoneme_error_rate(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> Accuracy:
    """Return 100 (S + D + I) / N in percent, over all utterances, after folding AO to AA and ZH to SH.

    S, D, I: substitutions, deletions, insertions of the minimum edit distance; N: phones of the references.
    Raises ValueError when the numbers of utterances differ or the references are empty.
    """
    return _error_rate(
        "phoneme error rate", "phone", [[*map(folded, h)] for h in hypotheses], [[*map(folded, r)] for r in references]
    )


def word_error_rate(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> Accuracy:
    """Return 100 (S + D + I) / N in percent, over all utterances, N: words of the references.

    Raises ValueError when the numbers of utterances differ or the references are empty.
    """
    return _error_rate("word error rate", "word", hypotheses, references)


def _error_rate(
    metric: str, token: str, hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[str]]
) -> Accuracy:
    from rapidfuzz.distance import Levenshtein

    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses for {len(references)} references")
    edits = np.zeros((len(references), 3), np.int64)
    lengths = np.array([len(reference) for reference in references], np.int64)
    if not lengths.sum():
        raise ValueError(f"the references hold no {token}s")
    for row, (hypothesis, reference) in enumerate(zip(hypotheses, references, strict=True)):
        operations = Levenshtein.editops(reference, hypothesis)
        for column, tag in enumerate(("replace", "delete", "insert")):
            edits[row, column] = sum(operation.tag == tag for operation in operations)
    substitutions, deletions, insertions = (int(total) for total in edits.sum(axis=0))
    detail = {"substitutions": substitutions, "deletions": deletions, "insertions": insertions}
    return bootstrap(metric, f"{token}s", edits.sum(axis=1), lengths, detail)


def bootstrap(
    metric: str, counted: str, errors: NDArray[np.int64], lengths: NDArray[np.int64], detail: Mapping[str, int]
) -> Accuracy:
    """Return 100 sum(errors) / sum(lengths) in percent with its 95 % bootstrap interval.

    Whole utterances are resampled (2,000 times, seeded), since errors within one are not independent.
    errors, lengths: tokens per utterance.
    """
    picks = resamples(len(errors))
    rates = 100 * errors[picks].sum(axis=1) / np.maximum(lengths[picks].sum(axis=1), 1)
    low, high = np.percentile(rates, (2.5, 97.5))
    return Accuracy(
        metric=metric,
        value=float(100 * errors.sum() / lengths.sum()),
        low=float(low),
        high=float(high),
        n=int(lengths.sum()),
        counted=counted,
        unit="%",
        detail=detail,
        errors=tuple(errors.tolist()),
        lengths=tuple(lengths.tolist()),
    )


def mean_of(
    metric: str, values: NDArray[np.float64], counted: str, unit: str, further: tuple[Accuracy, ...] = ()
) -> Accuracy:
    """Return the mean of a figure of each utterance, in ``unit``, with its 95 % bootstrap interval."""
    low, high = np.percentile(values[resamples(len(values))].mean(axis=1), (2.5, 97.5))
    return Accuracy(
        metric=metric,
        value=float(values.mean()),
        low=float(low),
        high=float(high),
        n=len(values),
        counted=counted,
        unit=unit,
        detail={},
        further=further,
    )


def resamples(utterances: int) -> NDArray[np.int64]:
    """Return which utterances each of the 2,000 seeded resamples holds, [resamples, utterances]."""
    return np.random.Generator(np.random.Philox(0)).integers(0, utterances, (_RESAMPLES, utterances))


def folded(phone: str) -> str:
    """Return the scoring class of a phone."""
    return FOLD.get(phone, phone)
