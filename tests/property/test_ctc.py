"""The CTC decoders against plain ones that look at every path."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.score.ctc import (
    CtcClasses,
    CtcWords,
    best_path,
    best_words,
    bigram_log_probabilities,
    log_softmax,
    prefix_beam,
)

seeds = st.integers(0, 2**31)


def collapsed(path):
    """Merge repetitions, drop blanks."""
    return tuple(c for c, _ in itertools.groupby(path) if c != 0)


def all_paths(logp):
    """Yield (what is said, ln P) of every path."""
    frames, classes = logp.shape
    for path in itertools.product(range(classes), repeat=frames):
        yield collapsed(path), sum(logp[t, c] for t, c in enumerate(path))


def random_logp(random, frames, classes):
    return log_softmax(random.normal(0, 2, (frames, classes)))


@settings(max_examples=60)
@given(seeds, st.integers(0, 6), st.integers(2, 4))
def test_best_path_is_what_the_most_likely_path_says(seed, frames, classes):
    logp = random_logp(np.random.default_rng(seed), frames, classes)
    assert best_path(logp) == max(all_paths(logp), key=lambda path: path[1])[0]


@settings(max_examples=60)
@given(seeds, st.integers(0, 5), st.integers(2, 4), st.booleans())
def test_a_wide_beam_finds_the_best_sum_over_paths(seed, frames, classes, with_bigram):
    random = np.random.default_rng(seed)
    logp = random_logp(random, frames, classes)
    bigram = random.normal(-1, 1, (classes, classes)) if with_bigram else np.zeros((classes, classes))
    total = defaultdict(float)
    for said, score in all_paths(logp):
        total[said] += np.exp(score)
    scores = {
        said: np.log(p) + 0.5 * sum(bigram[a, b] for a, b in zip((0, *said), said, strict=False))
        for said, p in total.items()
    }

    found, score = prefix_beam(logp, beam=1000, bigram=bigram if with_bigram else None, lm_weight=0.5)

    assert score == pytest.approx(max(scores.values()), abs=1e-9)
    assert scores[found] == pytest.approx(score, abs=1e-9)


def test_a_beam_sums_over_paths_where_the_best_path_is_wrong():
    """Two frames, P(blank) = 0.6, P(a) = 0.4: the best path says nothing (0.36), the paths of "a" sum to 0.64."""
    logp = np.log([[0.6, 0.4], [0.6, 0.4]])
    assert best_path(logp) == ()
    said, score = prefix_beam(logp, beam=2)
    assert said == (1,) and score == pytest.approx(np.log(0.64))


def test_a_beam_needs_a_prefix():
    with pytest.raises(ValueError, match="at least 1 prefix, found 0"):
        prefix_beam(np.zeros((1, 2)), beam=0)


@settings(max_examples=40)
@given(seeds, st.integers(0, 5))
def test_words_are_those_of_the_best_path(seed, frames):
    """Three pronunciations of two words over three classes, one class that repeats: all sequences, all paths."""
    random = np.random.default_rng(seed)
    logp = random_logp(random, frames, 4)
    pronunciations = [(0, (1, 1)), (0, (2,)), (1, (2, 3))]
    lexicon = np.array([[1, 1], [2, -1], [2, 3]])
    bigram = random.normal(-1, 1, (3, 3))
    best_of = {}
    for said, score in all_paths(logp):
        best_of[said] = max(score, best_of.get(said, -np.inf))
    best_score, words_of = -np.inf, {}
    for count in range(frames + 1):
        for chosen in itertools.product(pronunciations, repeat=count):
            said = tuple(itertools.chain.from_iterable(phones for _, phones in chosen))
            words = [word for word, _ in chosen]
            if said in best_of:
                language = sum(bigram[a, b] for a, b in zip([2, *words], [*words, 2], strict=True))
                score = best_of[said] + 0.5 * language - 0.25 * count
                words_of.setdefault(tuple(words), []).append(score)
                best_score = max(best_score, score)

    found, score = best_words(logp, lexicon, np.array([0, 0, 1]), bigram, lm_weight=0.5, insertion_penalty=-0.25)

    assert score == pytest.approx(best_score, abs=1e-9)
    assert max(words_of[found]) == pytest.approx(score, abs=1e-9)


@settings(max_examples=30)
@given(seeds, st.integers(1, 4))
def test_a_bigram_sums_to_one(seed, words):
    random = np.random.default_rng(seed)
    sentences = [random.integers(0, words, random.integers(0, 5)).tolist() for _ in range(3)]
    np.testing.assert_allclose(np.exp(bigram_log_probabilities(sentences, words)).sum(axis=1), 1, rtol=1e-5)


def test_a_bigram_by_hand():
    """One sentence, word 0 alone: start -> 0 -> end. P(0) = (1 + 1) / (2 + 2), P(0 | start) = 0.3 + 0.7 * 0.5."""
    table = np.exp(bigram_log_probabilities([[0]], 1))
    np.testing.assert_allclose(table, [[0.35, 0.65], [0.65, 0.35]], rtol=1e-6)


def decoder(**changes):
    tensors = {
        "lexicon": np.array([[1, 2], [2, -1]], np.int16),
        "word_of": np.array([0, 1], np.int16),
        "bigram": bigram_log_probabilities([[0, 1]], 2),
    }
    return CtcWords.from_tensors({**tensors, **changes}, ["ab", "b"], lm_weight=0.0, insertion_penalty=0.0)


def test_word_error_rate_of_logits():
    """Frames that say a, b, blank, b: the words "ab" and "b"; of three reference words one is missing."""
    logits = np.full((4, 3), -9.0)
    logits[range(4), [1, 2, 0, 2]] = 9
    done = []
    accuracy = decoder().score([logits], [["ab", "b", "b"]], progress=lambda *counts: done.append(counts))
    assert done == [(1, 1)]
    assert (accuracy.metric, accuracy.n, accuracy.unit) == ("word error rate", 3, "%")
    assert accuracy.value == pytest.approx(100 / 3)
    assert accuracy.detail == {"substitutions": 0, "deletions": 1, "insertions": 0}


@pytest.mark.parametrize("beam", [0, 4])
def test_phones_and_characters(beam):
    logits = np.full((5, 4), -9.0)
    logits[range(5), [1, 3, 2, 0, 2]] = 9
    phones = CtcClasses(("", "AA", "B", "IY"), beam)
    assert phones.decode(logits) == ("AA", "IY", "B", "B")
    assert phones.score([logits], [["AA", "IY", "B"]]).value == pytest.approx(100 / 3)
    letters = CtcClasses(("", "a", "b", " "), beam, "character")
    assert letters.decode(logits) == ("a", "bb")
    assert letters.score([logits], [["a", "b"]]).metric == "word error rate"


def test_a_decoder_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="lacks the tensors bigram"):
        CtcWords.from_tensors(
            {"lexicon": np.zeros((1, 1)), "word_of": np.zeros(1)}, ["a"], lm_weight=1, insertion_penalty=0
        )
    with pytest.raises(ValueError, match="do not fit 2 words"):
        decoder(word_of=np.array([0, 0], np.int16))
