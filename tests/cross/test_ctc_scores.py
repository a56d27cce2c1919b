"""The scorer that a workload file makes of AN4's decoder, against the one that the recipe's export.py measures with."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest

from accelsim import library
from accelsim.data import data_folder
from accelsim.data.an4 import FILE, feature_codes, load_an4, load_dictionary
from accelsim.inputs import load_batch
from accelsim.score import CtcClasses, CtcWords
from accelsim.workload import load_workload

FOLDER = library.root() / "workloads" / "conformer_an4"
if not FOLDER.joinpath("integer.py").exists():
    pytest.skip("the recipes come with a source checkout", allow_module_level=True)
if not (data_folder() / FILE).exists():
    pytest.skip("AN4 is not at hand", allow_module_level=True)
sys.path.append(str(FOLDER))

from integer import run  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402
from shape import Shape  # noqa: E402

NETWORK = FOLDER / "none_4.safetensors"
UTTERANCES = 12
LM_WEIGHT, PENALTY = 0.25, -1.0


def class_names():
    """Return the names of the network's classes as export.py gives them to its phone decoder."""
    marked = {phone for variants in load_dictionary().values() for v in variants for phone in (*v[:-1], v[-1] + "#")}
    return ["", *(phone.rstrip("#") for phone in sorted(marked))]


def write(folder, score):
    """Write the shipped network without positions as a workload of the first test utterances."""
    path = folder / "workload.yaml"
    path.write_text(
        f"""schema: accelsim/workload@1
name: conformer_an4
weights: {NETWORK}
feature_offset: 128
feature_scale: 0.03125
inputs: {{source: features, dataset: an4, split: test, utterances: {UTTERANCES}}}
graph:
  - {{op: conv, name: front.convs.0, input: features, bands: 1, channels: 144, kernel: [3, 1], stride: [2, 1]}}
  - {{op: relu, name: front.relu.0, input: front.convs.0}}
  - {{op: conv, name: front.convs.1, input: front.relu.0, channels: 144, kernel: [3, 1], stride: [2, 1]}}
  - {{op: relu, name: front.relu.1, input: front.convs.1}}
  - {{op: linear, name: front.linear, input: front.relu.1, outputs: 144}}
  - {{op: conformer, name: blocks, input: front.linear, blocks: 4, width: 144, heads: 4, feed_forward: 576,
     weight_bits: 4}}
  - {{op: linear, name: output, input: blocks.3.norm, outputs: 52}}
score: {score}
"""
    )
    return load_workload(path)


@pytest.fixture(scope="module")
def logits():
    with safe_open(NETWORK, "numpy") as file:
        shape = Shape.from_json(file.metadata()["shape"])
    codes = [feature_codes(u.mfcc) for u in load_an4("test")[:UTTERANCES]]
    return run(shape, load_file(NETWORK), codes, 1 / 32)[0]


def test_words(tmp_path, logits):
    spoken, words = load_an4("test")[:UTTERANCES], list(load_dictionary())
    quoted = ", ".join(f"'{word}'" for word in words)
    decoder = FOLDER / "decoder.safetensors"
    score = f"{{kind: ctc_words, decoder: {decoder}, words: [{quoted}], lm_weight: 0.25, insertion_penalty: -1}}"
    workload = write(tmp_path, score)
    batch = load_batch(workload)
    assert batch.references == tuple(u.words for u in spoken)
    for (first, last), one in zip(pairwise(batch.starts), spoken, strict=True):
        np.testing.assert_array_equal(batch.features[first:last].astype(int) - 128, feature_codes(one.mfcc))

    theirs = CtcWords.from_tensors(load_file(decoder), words, lm_weight=LM_WEIGHT, insertion_penalty=PENALTY)
    ours = workload.scorer()
    assert [ours.decode(x) for x in logits] == [theirs.decode(x) for x in logits]
    found = ours.score(logits, batch.references)
    assert (
        found
        == theirs.score(logits, [u.words for u in spoken])
        == workload.scorer(reference=True).score(logits, batch.references)
    )
    assert found.value < 25 and found.counted == "words" and found.low <= found.value <= found.high


def test_phones(tmp_path, logits):
    spoken, dictionary, names = load_an4("test")[:UTTERANCES], load_dictionary(), class_names()
    workload = write(tmp_path, "{kind: ctc_classes, names: [" + ", ".join(f"'{n}'" for n in names) + "]}")
    batch = load_batch(workload)
    # As train.py's spoken_phones: the first pronunciation of every word, the letter A spelled out.
    said = [[p for word in u.words for p in (["EY"] if word == "A" else dictionary[word][0])] for u in spoken]
    assert [list(phones) for phones in batch.references] == said
    found = workload.scorer().score(logits, batch.references)
    assert found == CtcClasses(tuple(names)).score(logits, said)
    assert found.value < 25 and found.counted == "phones"
