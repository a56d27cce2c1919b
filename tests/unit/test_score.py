"""Error rates by hand, and the decoder's checks."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim.score import ViterbiPhonemes, phoneme_error_rate
from accelsim.score.error_rate import word_error_rate


def test_error_rate_counts_substitutions_deletions_and_insertions():
    # "K AE T" heard as "K AH T S": one substitution, one insertion; "D AO G" heard as "D G": one deletion. 3 of 6.
    rate = phoneme_error_rate([["K", "AH", "T", "S"], ["D", "G"]], [["K", "AE", "T"], ["D", "AO", "G"]])
    assert rate.value == pytest.approx(50.0)
    assert rate.n == 6
    assert rate.detail == {"substitutions": 1, "deletions": 1, "insertions": 1}
    assert rate.low <= rate.value <= rate.high


def test_error_rate_folds_the_usual_classes():
    assert phoneme_error_rate([["AA", "SH"]], [["AO", "ZH"]]).value == 0.0


def test_error_rate_can_exceed_one_hundred_percent():
    assert phoneme_error_rate([["S", "S", "S"]], [["T"]]).value == pytest.approx(300.0)


def test_error_rate_interval_is_the_same_every_time():
    said, heard = [["A"] * n for n in range(1, 9)], [["A"] * (n - 1) for n in range(1, 9)]
    assert phoneme_error_rate(heard, said) == phoneme_error_rate(heard, said)


@pytest.mark.parametrize(("heard", "said"), [([["A"]], []), ([[]], [[]])])
def test_error_rate_refuses_what_it_cannot_count(heard, said):
    with pytest.raises(ValueError, match="references"):
        phoneme_error_rate(heard, said)


def decoder_tensors(phones: int = 2, states: int = 6) -> dict[str, np.ndarray]:
    return {
        "tied": np.arange(states, dtype=np.int16).reshape(1, phones, 3).repeat(phones, axis=0),
        "stay": np.full((phones, 3), 0.5, np.float32),
        "bigram": np.full((phones, phones), np.log(1 / phones), np.float32),
        "bias": np.zeros(states, np.float32),
        "output_scale": np.full(states, 2.0, np.float32),
        "reference_bias": np.ones(states, np.float32),
        "log_prior": np.full(states, -np.log(states), np.float32),
    }


OPTIONS = {
    "output_delay": 2, "acoustic_scale": 1.0, "lm_weight": 1.0, "insertion_penalty": 0.0
}  # fmt: skip


def test_decoder_drops_silence_and_the_delay():
    decoder = ViterbiPhonemes.from_tensors(decoder_tensors(), ["SIL", "AH"], reference=False, **OPTIONS)
    outputs = np.full((11, 6), -10, np.int16)
    for frame, state in enumerate([3, 3, 0, 1, 2, 3, 4, 5, 0, 1, 2]):  # the first two frames answer nothing
        outputs[frame, state] = 10
    assert decoder.decode(outputs) == ("AH",)
    assert decoder.decode(outputs[:2]) == ()
    assert decoder.score([outputs], [("AH",)]).value == 0.0


def test_decoder_of_the_reference_takes_its_own_bias_and_scale():
    decoder = ViterbiPhonemes.from_tensors(decoder_tensors(), ["SIL", "AH"], reference=True, **OPTIONS)
    assert decoder.output_scale.tolist() == [1.0] * 6
    assert decoder.bias.tolist() == [1.0] * 6


def test_every_state_has_its_own_scale():
    """At scales of 1 the first state of AH wins the frame; at 10 that of SIL, with half as large an output, does."""
    outputs = np.zeros((1, 6), np.int16)
    outputs[0, [0, 3]] = 1, 2
    for scale, heard in ((1.0, ("AH",)), (10.0, ())):
        tensors = decoder_tensors() | {"output_scale": np.array([scale, 1, 1, 1, 1, 1], np.float32)}
        decoder = ViterbiPhonemes.from_tensors(tensors, ["SIL", "AH"], reference=False, **OPTIONS | {"output_delay": 0})
        assert decoder.decode(outputs) == heard


def test_decoder_names_the_tensors_that_are_missing():
    tensors = decoder_tensors()
    del tensors["bigram"]
    with pytest.raises(ValueError, match=r"lacks the tensors bigram"):
        ViterbiPhonemes.from_tensors(tensors, ["SIL", "AH"], reference=False, **OPTIONS)


def test_decoder_refuses_tensors_that_do_not_fit():
    with pytest.raises(ValueError, match=r"do not fit 3 phones"):
        ViterbiPhonemes.from_tensors(decoder_tensors(), ["SIL", "AH", "S"], reference=False, **OPTIONS)


@pytest.mark.parametrize(("stay", "said"), [(0.9, ("AH",)), (0.1, ("AH", "AH"))])
def test_a_state_is_left_at_one_minus_what_it_is_kept_at(stay, said):
    """Six frames in which every state is heard alike; after any phone AH follows at 0.99.

    One phone: three times kept and twice left; two: five times left, and AH once more. At 0.9 that is 0.9^3 0.1^2 =
    0.0073 against 0.1^5 0.99; at 0.1 it is 0.1^3 0.9^2 = 0.00081 against 0.9^5 0.99 = 0.58.
    """
    tensors = decoder_tensors()
    tensors["stay"][:] = stay
    tensors["bigram"][:] = np.log([0.01, 0.99])
    options = {**OPTIONS, "output_delay": 0}
    decoder = ViterbiPhonemes.from_tensors(tensors, ["SIL", "AH"], reference=False, **options)
    assert decoder.decode(np.zeros((6, 6), np.int16)) == said


def test_the_interval_is_of_95_percent():
    """Three utterances of ten words are drawn three times: all good in 1 of 27 draws, 3.7 %, if one of them is good.

    So the 2.5 % point is 0 and the 5 % point would be a third; and the other way round if two are.
    """
    words, wrong = [f"w{n}" for n in range(10)], [f"x{n}" for n in range(10)]
    assert word_error_rate([words, wrong, wrong], [words] * 3).low == 0
    assert word_error_rate([words, words, wrong], [words] * 3).high == 100
