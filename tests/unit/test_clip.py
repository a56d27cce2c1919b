"""Silence around a word, and words that are too long: the same in a recipe and a run, counted and said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import accelsim.inputs
from accelsim.data import data_folder
from accelsim.data.clip import Clips, is_quiet, of_length, trimmed
from accelsim.errors import InputError
from accelsim.inputs import load_batch
from accelsim.report.headline import notes, warnings
from accelsim.workload import load_workload

DIGITS = pytest.mark.skipif(not (data_folder() / "fsdd_8k_int16.npz").exists(), reason="FSDD is not at hand")
WORD = np.full(1600, 0.5, np.float32)  # ten windows of 10 ms
SILENCE = np.zeros(3200, np.float32)


def test_what_is_quieter_than_the_loudest_by_so_much_is_cut_off_at_the_ends_alone():
    faint = np.full(160, 0.5 * 10 ** (-35 / 20), np.float32)  # 35 dB below the word
    audio = np.concatenate([SILENCE, faint, WORD, SILENCE, WORD, faint, SILENCE])
    assert len(trimmed(audio, 40)) == 160 + 1600 + 3200 + 1600 + 160
    assert len(trimmed(audio, 30)) == 1600 + 3200 + 1600
    assert np.array_equal(trimmed(WORD, 40), WORD)
    assert np.array_equal(trimmed(SILENCE, 40), SILENCE), "silence alone stays whole"
    assert np.array_equal(trimmed(WORD[:100], 40), WORD[:100]), "less than a window stays whole"


def test_a_rest_shorter_than_a_window_stays_with_the_last_one():
    assert len(trimmed(np.concatenate([SILENCE, WORD, WORD[:70]]), 40)) == 1670
    assert len(trimmed(np.concatenate([WORD, SILENCE, SILENCE[:70]]), 40)) == 1600


def test_noise_around_a_word_is_noticed():
    noise = np.random.default_rng(0).normal(0, 0.005, 3200).astype(np.float32)  # 40 dB below the word
    noisy = np.concatenate([noise, WORD, noise])
    assert len(trimmed(noisy, 60)) == len(noisy) and is_quiet(noisy)
    assert not is_quiet(trimmed(noisy, 35)) and not is_quiet(WORD)


def around(seconds: float):
    silence = np.zeros(round(seconds * 16_000), np.float32)
    return lambda u: replace(u, audio=np.concatenate([silence, u.audio, silence]))


@pytest.fixture
def changed(monkeypatch):
    """Make every data set hand out utterances that are changed first."""

    def use(change):
        read = accelsim.data.load
        monkeypatch.setattr(accelsim.inputs, "load", lambda name, split: [*map(change, read(name, split))])

    return use


FEW = {"inputs.utterances": 40}


@DIGITS
@pytest.mark.parametrize("name", ["s4d_digits", "s4d_digits10", "s4d_gated"])
def test_a_word_with_silence_around_it_is_the_same_word(name, changed):
    plain = load_batch(load_workload(name, FEW))
    changed(around(0.3))
    padded, untrimmed = (load_batch(load_workload(name, {**FEW, **more})) for more in ({}, {"inputs.trim_db": "null"}))
    # Ends are found to 10 ms.
    assert np.abs(np.diff(padded.starts) - np.diff(plain.starts)).max() <= round(0.01 / plain.frame_period_s)
    assert len(untrimmed.features) > 1.5 * len(plain.features)
    first = slice(0, plain.starts[1] - 1)
    difference = padded.features[first].astype(int) - plain.features[first]
    assert np.abs(difference).mean() < 2
    assert padded.clips.trimmed == padded.clips.utterances == 40
    assert padded.clips.trimmed_s == pytest.approx(40 * 0.6, abs=0.4) and untrimmed.clips.trimmed == 0
    assert untrimmed.clips.quiet == 40 and padded.clips.quiet <= 4, "silence around words counts without trim_db too"


@DIGITS
@pytest.mark.parametrize(
    ("name", "utterances", "quiet"), [("s4d_digits", 171, 0), ("s4d_digits10", 500, 4), ("s4d_gated", 500, 4)]
)
def test_nothing_is_cut_off_the_test_utterances_that_the_published_figures_are_of(name, utterances, quiet):
    assert load_batch(load_workload(name)).clips == Clips(utterances=utterances, quiet=quiet)


@DIGITS
def test_what_is_longer_than_the_network_takes_is_cut_counted_and_said(changed):
    changed(lambda u: replace(u, audio=np.tile(u.audio, 4)))
    batch = load_batch(load_workload("s4d_gated", FEW))
    assert np.diff(batch.starts).max() == 100 and batch.clips.cut == 40
    whole = load_batch(load_workload("s4d_gated", {**FEW, "inputs.longest_s": "null"}))
    assert batch.clips.cut_s == pytest.approx((len(whole.features) - len(batch.features)) * 0.01)


@DIGITS
def test_the_console_and_the_record_say_what_was_cut_off(changed):
    changed(lambda u: around(0.3)(replace(u, audio=np.tile(u.audio, 4))))
    result = accelsim.run("imssa28", overrides={"workload.inputs.utterances": 3})
    assert result.clips.trimmed == 3 and result.clips.cut == 3
    told = dict(notes(result))
    assert told["silence"].startswith("cut off at the ends of 3 of 3 utterances, 1.7")
    assert told["cut short"].startswith("3 of 3 utterances, ")


@DIGITS
@pytest.mark.parametrize(("trim_db", "warned"), [("null", True), (60, False)])
def test_words_in_silence_are_a_warning(changed, trim_db, warned):
    changed(around(0.3))
    result = accelsim.run("imssa28", overrides={"workload.inputs.utterances": 3, "workload.inputs.trim_db": trim_db})
    said = "3 of 3 utterances begin or end with more than 0.2 s of silence or noise"
    assert any(one.startswith(said) for one in warnings(result)) == warned


def test_speech_recognisers_are_left_alone():
    batch = load_batch(load_workload("rsnn_phoneme", {"inputs.utterances": 1}))
    assert batch.clips == Clips(utterances=1)


KEYS = {"inputs.longest_s": "null", "inputs.trim_db": "null", "inputs.length_s": 0.5}


@DIGITS
def test_every_utterance_is_made_one_length_counted_and_said(changed):
    lengths = iter([0.3, 0.5, 0.9])
    changed(lambda u: replace(u, audio=np.full(round(next(lengths, 1.0) * 16_000), 0.1, np.float32)))
    batch = load_batch(load_workload("s4d_gated", {**KEYS, "inputs.utterances": 3}))
    assert len(set(np.diff(batch.starts))) == 1
    clips = batch.clips
    assert (clips.padded, clips.cut, clips.trimmed) == (1, 1, 0)
    assert clips.padded_s == pytest.approx(0.2) and clips.cut_s == pytest.approx(0.4)


def test_silence_is_added_at_the_end_and_cut_off_there():
    assert np.array_equal(of_length(WORD, 0.2), np.concatenate([WORD, np.zeros(1600, np.float32)]))
    assert np.array_equal(of_length(WORD, 0.05), WORD[:800]) and len(of_length(WORD[:0], 0.05)) == 800


@DIGITS
def test_the_console_says_what_was_added(changed):
    changed(lambda u: replace(u, audio=u.audio[:1600]))
    result = accelsim.run(
        "imssa28", overrides={"workload.inputs.utterances": 3, **{f"workload.{k}": v for k, v in KEYS.items()}}
    )
    assert dict(notes(result))["made longer"].startswith("3 of 3 utterances with silence, 1.2 s in all")


def test_two_lengths_are_one_too_many():
    with pytest.raises(InputError, match="'longest_s' and 'length_s': give one of them"):
        load_workload("s4d_gated", {"inputs.length_s": 1})
