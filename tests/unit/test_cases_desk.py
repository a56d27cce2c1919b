"""What small inputs of a user's desk did wrong once: labels, numbers, weights, constraints, recordings, names."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest

from accelsim.data import data_folder
from accelsim.errors import InputError
from accelsim.score.frames import FrameClasses
from accelsim.score.score import SCORES
from accelsim.workload import load_batch, load_workload

DIGITS = pytest.mark.skipif(not (data_folder() / "fsdd_8k_int16.npz").exists(), reason="FSDD is not at hand")
AN4 = pytest.mark.skipif(not (data_folder() / "an4_mfcc13.npz").exists(), reason="AN4 is not at hand")
SPEECH = pytest.mark.skipif("ACCELSIM_DATA" not in os.environ, reason="ACCELSIM_DATA is not set")


# Labels


@DIGITS
def test_a_label_that_is_no_class_is_told_with_its_file_and_utterance() -> None:
    network = load_workload("s4d_digits", {"score.classes": "[zero, onne]", "inputs.utterances": 60})
    with pytest.raises(InputError) as caught:
        load_batch(network)
    assert re.fullmatch(
        r"--set workload\.score\.classes: 'classes' does not have 'one', the label of utterance "
        r"'fsdd/1_george_0' in zero_one/test; 10 of 60 labels are unknown \(did you mean 'onne'\?\)",
        str(caught.value),
    ), caught.value


@DIGITS
def test_the_line_of_the_classes_is_told_too() -> None:
    network = load_workload("s4d_digits", {"inputs.dataset": "fsdd", "inputs.utterances": 200})
    with pytest.raises(InputError, match=r"s4d_digits/workload\.yaml:16: 'classes' does not have 'two', the label of"):
        load_batch(network)


def test_a_class_that_is_named_twice_is_refused() -> None:
    with pytest.raises(InputError, match="'classes' names 'zero' twice"):
        load_workload("s4d_digits", {"score.classes": "[zero, zero]"})


@AN4
def test_words_that_the_lexicon_lacks_are_counted_and_a_lexicon_of_another_language_is_refused() -> None:
    words = load_workload("conformer_an4").spec.score.words
    shouted = {"score.words": json.dumps([word.lower() for word in words])}
    with pytest.raises(InputError, match=r"'words' does not have '[A-Z]+', the label of .* in an4/test; 546 of 546"):
        load_batch(load_workload("conformer_an4", shouted))
    lost = {"score.words": json.dumps([word.replace("ENTER", "INTER") for word in words])}
    batch = load_batch(load_workload("conformer_an4", lost))
    said = [word for words in batch.references for word in words]
    assert batch.unknown == said.count("ENTER") > 0
    assert load_batch(load_workload("conformer_an4")).unknown == 0


@pytest.mark.parametrize(
    ("score", "known", "unknown"),
    [
        ({"kind": "ctc_classes", "names": ["-", "AA", "SH"]}, ["AA", "AO", "ZH"], ["-", "B", "aa"]),
        ({"kind": "ctc_classes", "names": ["-", "a", "b", " "], "unit": "character"}, ["ab", "a"], ["abc", "A"]),
        ({"kind": "viterbi_phonemes", "decoder": "d", "phones": ["SIL", "AO"], "acoustic_scale": 1.0, "lm_weight": 1.0},
         ["AA", "AO"], ["B"]),
    ],
)  # fmt: skip
def test_what_a_score_knows(score, known, unknown) -> None:
    made = SCORES[score["kind"]](**score)
    assert all(map(made.knows, known)) and not any(map(made.knows, unknown))


def test_labels_of_frames_that_are_no_class_are_refused() -> None:
    tensors = {"bias": np.zeros(3), "labels": np.array([0, 2, 3, -1]), "starts": np.array([0])}
    with pytest.raises(ValueError, match=r"'labels' has 2 frames of classes that 'bias' with its 3 classes does not"):
        FrameClasses.from_tensors(tensors, reference=False, output_scale=1.0)
