"""Workloads that read ready-made features and are scored by CTC: their grammar, inputs and scorers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chips import random_weights, write_an4, write_speech_network, write_timit
from safetensors.numpy import save_file

from accelsim.errors import InputError
from accelsim.inputs import load_batch
from accelsim.score import CtcClasses, CtcWords
from accelsim.workload import Workload, load_workload

WORDS = "{kind: ctc_words, decoder: decoder.safetensors, words: [A, 'YES'], lm_weight: 0.5, insertion_penalty: -1}"
PHONES = "{kind: ctc_classes, names: ['', AH, EY, S, S]}"
CHARACTERS = "{kind: ctc_classes, names: ['', A, E, S, ' '], beam: 4, unit: character}"
AN4 = "{source: features, dataset: an4, split: test}"
TIMIT = "{source: speech, dataset: timit_sample, split: test, features: {bands: 39}}"


def write(folder: Path, *, inputs: str = AN4, score: str | None = WORDS, outputs: int = 5) -> Path:
    """Write a network of one dense layer, and a lexicon of two words: A (EY), YES (AH EY S)."""
    random = np.random.default_rng(0)
    weights = {
        "out.weight": random.integers(-7, 8, (39, outputs), np.int8),
        "out.weight_scale": np.float32(0.01),
        "out.input_scale": np.float32(1 / 32),
    }
    save_file({name: np.asarray(tensor) for name, tensor in weights.items()}, folder / "weights.safetensors")
    lexicon = np.array([[2, -1, -1], [1, 2, 3]], np.int16)
    tables = {"lexicon": lexicon, "word_of": np.array([0, 1], np.int16), "bigram": np.full((3, 3), -1, np.float32)}
    save_file(tables, folder / "decoder.safetensors")
    path = folder / "workload.yaml"
    path.write_text(
        f"""schema: accelsim/workload@1
name: ctc
weights: weights.safetensors
feature_offset: 128
feature_scale: 0.03125
inputs: {inputs}
graph:
  - {{op: linear, name: out, input: features, outputs: {outputs}}}
"""
        + (f"score: {score}\n" if score else "")
    )
    return path


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with AN4's test split of three utterances by two speakers, 20, 30 and 25 frames."""
    folder = tmp_path / "data"
    folder.mkdir()
    write_an4(folder, (20, 30, 25), ("x", "y", "x"), ("YES", "A A", "YES A"))
    monkeypatch.setenv("ACCELSIM_DATA", str(folder))
    return folder


def loaded(folder: Path, **changed: str | None) -> Workload:
    return load_workload(write(folder, **changed))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"inputs": "{source: features, dataset: an3, split: test}"},
         r"workload.yaml:6: 'inputs': no data set 'an3' that comes as features; did you mean 'an4'\?"),
        ({"inputs": "{source: features, dataset: an4, split: dev}"},
         r"workload.yaml:6: 'inputs': data set 'an4' has no split 'dev'; its splits: train, test"),
        ({"inputs": "{source: features, dataset: an4, split: test, context: {before: 1}}"},
         r"workload.yaml:6: unknown key 'context'"),
        ({"inputs": "{source: feature, dataset: an4, split: test}"},
         r"workload.yaml:6: unknown source 'feature' \(did you mean 'features'\?\)"),
        ({"inputs": "{source: features, dataset: an4, split: test, seconds: 0}"},
         r"workload.yaml:6: 'seconds': must be greater than 0, found 0"),
        ({"inputs": "{source: features, dataset: an4, split: test, seconds: 1}"},
         r"workload.yaml:1: 'seconds' cuts an utterance short, which cannot be scored: leave out 'score'"),
        ({"score": "{kind: ctc_word, decoder: d, words: [A], lm_weight: 1}"},
         r"workload.yaml:9: unknown kind 'ctc_word' \(did you mean 'ctc_words'\?\)"),
        ({"score": "{kind: ctc_words, decoder: d, words: [], lm_weight: 1}"},
         r"workload.yaml:9: 'words': expected at least 1 items, found 0"),
        ({"score": "{kind: ctc_words, decoder: d, words: [A], lm_weight: -1}"},
         r"workload.yaml:9: 'lm_weight': must be at least 0, found -1"),
        ({"score": "{kind: ctc_words, words: [A], lm_weight: 1}"}, r"workload.yaml:9: missing key 'decoder'"),
        ({"score": WORDS.replace("[A, 'YES']", "[A, 1]")}, r"workload.yaml:9: 'words\[1\]': expected text, found 1"),
        ({"score": WORDS.replace("[A, 'YES']", "[A, YES]")}, r"workload.yaml:9: 'YES' is neither a boolean nor"),
        ({"score": WORDS.replace("[A, 'YES']", "[A]")},
         r"workload.yaml:\d+: the decoder's tensors do not fit 1 words in decoder.safetensors"),
        ({"score": WORDS.replace("decoder.safe", "weights.safe")},
         r"workload.yaml:\d+: the decoder lacks the tensors lexicon, word_of, bigram in weights.safetensors"),
        ({"score": WORDS.replace("decoder.safe", "decode.safe")},
         r"no weights at .*decode.safetensors \(did you mean 'decoder.safetensors'\?\)"),
        ({"score": "{kind: ctc_classes, names: ['', A, B]}"},
         r"workload.yaml:9: the score names 3 classes, the network has 5"),
        ({"score": PHONES.replace("}", ", beam: -1}")}, r"workload.yaml:9: 'beam': must be at least 0, found -1"),
        ({"score": PHONES.replace("}", ", unit: word}")}, r"workload.yaml:9: 'unit': unknown value 'word'"),
        ({"score": PHONES.replace("}", ", decoder: d}")}, r"workload.yaml:9: unknown key 'decoder'"),
    ],
)  # fmt: skip
def test_wrong_files(tmp_path, changed, message):
    with pytest.raises(InputError, match=message):
        loaded(tmp_path, **changed)


def test_batch_of_features(tmp_path, data):
    batch = load_batch(loaded(tmp_path))
    assert batch.features.dtype == np.uint8 and batch.features.shape == (75, 39)
    assert batch.starts.tolist() == [0, 20, 50, 75] and batch.starts.dtype == np.int64
    assert batch.names == ("u0", "u1", "u2") and batch.speakers == 2
    assert batch.source == "an4/test"
    assert batch.references == (("YES",), ("A", "A"), ("YES", "A"))
    assert batch.audio_seconds == pytest.approx(0.75) and batch.frame_period_s == 0.01
    np.testing.assert_allclose(batch.features[:20].mean(axis=0), 128, atol=1)
    few = load_batch(loaded(tmp_path, inputs=AN4.replace("}", ", utterances: 1}")))
    np.testing.assert_array_equal(few.features, batch.features[:20])
    assert few.speakers == 1


def test_references_follow_the_unit(tmp_path, data):
    spelled = load_batch(loaded(tmp_path, score=CHARACTERS))
    assert spelled.references == (("YES",), ("A", "A"), ("YES", "A"))
    phones = load_batch(loaded(tmp_path, score=PHONES))
    assert phones.references == (("Y", "EH", "S"), ("EY", "EY"), ("Y", "EH", "S", "EY"))
    (data / "an4.dic").unlink()
    assert len(load_batch(loaded(tmp_path)).references) == 3, "words need no dictionary"
    with pytest.raises(InputError, match=r"no utterance of an4/test has a reference for the score 'ctc_classes'"):
        load_batch(loaded(tmp_path, score=PHONES))


def test_audio_has_words_and_phones_too(tmp_path, data):
    write_timit(data, (0.3, 0.2))
    phones, words = PHONES.replace("AH", "AA"), WORDS.replace("YES", "ah")
    characters = CHARACTERS.replace("A, E", "a, h")
    assert load_batch(loaded(tmp_path, inputs=TIMIT, score=phones)).references == (("AA",),) * 4
    assert load_batch(loaded(tmp_path, inputs=TIMIT, score=characters)).references == (("ah",),) * 4
    batch = load_batch(loaded(tmp_path, inputs=TIMIT, score=words))
    assert batch.references == (("ah",),) * 4 and batch.speakers == 2


def test_features_that_are_missing_or_damaged(tmp_path, data):
    workload = loaded(tmp_path)
    file = data / "an4_mfcc13.npz"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(InputError, match=r"an4_mfcc13.npz: not a whole .npz file: .* \(fetch the data set again\)"):
        load_batch(workload)
    np.savez(file, mfcc=np.zeros((3, 13)))
    with pytest.raises(InputError, match=r"data/an4_mfcc13.npz: no array 'offsets'"):
        load_batch(workload)
    file.unlink()
    with pytest.raises(InputError, match=r"data set 'an4' is not in .*data get an4.*ACCELSIM_DATA to .* an4/feat"):
        load_batch(workload, samples=False)


def test_features_are_not_audio(tmp_path, data):
    workload = loaded(tmp_path, inputs="{source: speech, dataset: an4, split: test, features: {bands: 39}}")
    with pytest.raises(InputError, match=r"'an4' comes as features, not as audio \(write 'source: features'\)"):
        load_batch(workload)


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [
        ("0.004", [0, 1]),
        ("0.2", [0, 20]),
        ("0.21", [0, 20, 21]),
        ("0.5", [0, 20, 50]),
        ("60", [0, 20, 50, 75]),
    ],
)
def test_seconds_cut_the_last_utterance(tmp_path, data, seconds, starts):
    whole = load_batch(loaded(tmp_path, score=None))
    assert whole.references is not None
    batch = load_batch(loaded(tmp_path, score=None, inputs=AN4.replace("}", f", seconds: {seconds}}}")))
    assert batch.starts.tolist() == starts
    assert batch.names == whole.names[: len(starts) - 1]
    assert batch.speakers == (1 if len(batch.names) == 1 else 2)
    assert batch.audio_seconds == pytest.approx(starts[-1] * 0.01)
    assert batch.references is None
    np.testing.assert_array_equal(batch.features, whole.features[: starts[-1]])


def test_seconds_of_audio(tmp_path, data):
    write_timit(data, (0.3, 0.2))
    tensors = random_weights(np.random.default_rng(1), 6, [4], 3)
    path = write_speech_network(tmp_path, tensors, features=6, hidden=[4], classes=3, steps=2)
    seen: list[int] = []
    batch = load_batch(load_workload(path, {"inputs.seconds": "0.4"}), lambda name, done, total: seen.append(done))
    assert batch.starts.tolist() == [0, 28, 40] and seen == [1, 2]


def test_scorers(tmp_path):
    words = loaded(tmp_path).scorer()
    assert isinstance(words, CtcWords)
    assert words.words == ("A", "YES") and (words.lm_weight, words.insertion_penalty) == (0.5, -1)
    assert loaded(tmp_path, score=PHONES).scorer() == CtcClasses(("", "AH", "EY", "S", "S"))
    assert loaded(tmp_path, score=CHARACTERS).scorer() == CtcClasses(("", "A", "E", "S", " "), 4, "character")
    with pytest.raises(ValueError, match="is not scored"):
        loaded(tmp_path, score=None).scorer()


def test_a_network_with_too_few_outputs_for_the_lexicon(tmp_path):
    judge = loaded(tmp_path, outputs=3).scorer()
    with pytest.raises(ValueError, match="the lexicon names class 3, found 3 outputs"):
        judge.score([np.zeros((2, 3))], [("A",)])
