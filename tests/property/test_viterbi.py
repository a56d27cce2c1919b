"""The fast decoder against a plain one that walks every state of every frame."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.score.viterbi import best_phones


def slow_best_phones(acoustic, tied, stay, leave, between):
    """Dictionaries and loops: score and phones so far of the best path into each state (left, phone, part)."""
    phones = len(tied)
    paths = {(0, p, 0): (between[0][p] + acoustic[0][tied[0][p][0]], (p,)) for p in range(phones)}
    for frame in acoustic[1:]:
        extended = {}

        def offer(state, score, said, extended=extended):
            if state not in extended or score > extended[state][0]:
                extended[state] = (score, said)

        for (left, p, k), (score, said) in paths.items():
            offer((left, p, k), score + stay[p][k], said)
            if k < 2:
                offer((left, p, k + 1), score + leave[p][k], said)
            else:
                for q in range(phones):
                    offer((p, q, 0), score + leave[p][2] + between[p][q], (*said, q))
        paths = {
            state: (score + frame[tied[state[0]][state[1]][state[2]]], said)
            for state, (score, said) in extended.items()
        }
    return max(paths.values(), key=lambda path: path[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 12))
def test_fast_decoder_finds_the_best_path(seed, phones, frames):
    random = np.random.default_rng(seed)
    states = 3 * phones + 2
    acoustic = random.normal(0, 2, (frames, states)).astype(np.float32)
    tied = random.integers(0, states, (phones, phones, 3)).astype(np.int16)
    stay = np.log(random.uniform(0.1, 0.9, (phones, 3))).astype(np.float32)
    leave = np.log(random.uniform(0.1, 0.9, (phones, 3))).astype(np.float32)
    between = random.normal(-1, 1, (phones, phones)).astype(np.float32)

    score, said = slow_best_phones(acoustic, tied, stay, leave, between)
    found = tuple(best_phones(acoustic, tied, stay, leave, between))

    if found != said:  # equally good up to rounding: then its own score must say so
        assert abs(score_of(found, acoustic, tied, stay, leave, between) - score) < 1e-3
    assert found[0] in range(phones)


def score_of(said, acoustic, tied, stay, leave, between):
    """Best score of one given phone sequence, by a left-to-right walk through its states."""
    chain = [(0 if i == 0 else said[i - 1], p, k) for i, p in enumerate(said) for k in range(3)]
    best = [-np.inf] * len(chain)
    best[0] = between[0][said[0]] + acoustic[0][tied[chain[0]]]
    for frame in acoustic[1:]:
        came = [-np.inf] * len(chain)
        for i, (left, p, k) in enumerate(chain):
            came[i] = best[i] + stay[p][k]
            if k:
                came[i] = max(came[i], best[i - 1] + leave[p][k - 1])
            elif i:
                came[i] = max(came[i], best[i - 1] + leave[left][2] + between[left][p])
            came[i] += frame[tied[left, p, k]]
        best = came
    return max(best[-3:])


def test_decoder_hears_what_the_frames_say():
    """Two phones, states one-hot in the frames: silence, phone 1 for six frames, silence."""
    tied = np.arange(6, dtype=np.int16).reshape(1, 2, 3).repeat(2, axis=0)
    frames = [0, 1, 2, 3, 3, 4, 4, 5, 5, 0, 1, 2]
    acoustic = np.full((len(frames), 6), -20, np.float32)
    acoustic[np.arange(len(frames)), frames] = 0
    half = np.full((2, 3), np.log(0.5), np.float32)
    between = np.full((2, 2), np.log(0.5), np.float32)
    assert best_phones(acoustic, tied, half, half, between).tolist() == [0, 1, 0]
