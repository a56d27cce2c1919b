"""Scores of networks that always listen: detections, classes straight from outputs, and SI-SDR, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy import stats

import accelsim
from accelsim.data import Featured, Utterance
from accelsim.errors import InputError
from accelsim.explore.metrics import METRICS
from accelsim.report.headline import headlines
from accelsim.score import Detections, OutputClasses, ScaleInvariantRatio
from accelsim.score.score import AnyScore

JUDGE = Detections(cutoff=0.5, window=3, refractory_s=0.1, row_s=0.03)


def rows(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def kind(**keys):
    return TypeAdapter(AnyScore).validate_python(keys)


WAKE = {"kind": "detections", "wake_word": "Okay Nabu", "cutoff": 0.85, "window": 5}


@pytest.mark.parametrize(
    ("outputs", "found"),
    [
        (rows(1, 1), []),  # fewer than the window
        (rows(1, 1, 1), [2]),
        (rows(0, 0, 0.75, 0.75, 0), []),  # a mean of exactly the cutoff is none
        (rows(0, 0, 0.75, 0.75, 0.125), [4]),
        (rows(0, 1, 1, 0, 0, 0, 0, 1, 1, 0), [2, 8]),  # 0.18 s apart
        (rows(0, 1, 1, 1, 1, 1), [2]),  # the same word for 0.1 s
        (rows(0, *[1] * 9), [2, 6]),
    ],
)
def test_the_mean_of_a_sliding_window_goes_over_the_cutoff(outputs, found):
    assert JUDGE.rows(outputs) == found


def test_misses_false_accepts_an_hour_and_delay_by_hand():
    hit, miss = rows(0, 0, 1, 1, 1, 0), rows(0, 0, 0, 0, 0, 0)
    outputs = [hit, miss, hit, hit, miss]
    said = [("w", "0.09"), ("w", "0.1"), ("w", ""), ("other", ""), ("other", "0.1")]
    seen = []
    found = JUDGE.score(outputs, said, lambda done, total: seen.append((done, total)))
    assert (found.metric, found.value, found.n, found.unit) == ("missed wake words", pytest.approx(100 / 3), 3, "%")
    accepts, delay = found.further
    assert accepts.value == pytest.approx(1 / (12 * 0.03 / 3600)) and accepts.unit == "/h"
    assert delay.value == pytest.approx(4 * 0.03 - 0.09) and delay.n == 1
    assert found.low <= found.value <= found.high and accepts.low <= accepts.value <= accepts.high
    assert seen[-1] == (5, 5)
    assert found.heard == (0, 1, 2) and JUDGE.score(outputs[::-1], said[::-1]).heard == (2, 3, 4)


@pytest.mark.parametrize("outputs", [rows(1, 1, 1), rows(0, 0, 0)])
def test_none_and_all_have_the_exact_interval(outputs):
    """A bootstrap of equals has no width; Clopper and Pearson's interval does, as SciPy has it."""
    found = JUDGE.score([outputs] * 20, [("w", "")] * 20)
    exact = stats.binomtest(round(found.value / 5), 20).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((100 * exact.low, 100 * exact.high))


def test_no_false_accept_in_an_hour_is_not_none_at_all():
    quiet = JUDGE.score([rows(*[0] * 120_000)], [("other", "")])
    assert quiet.metric == "false accepts" and quiet.value == 0 == quiet.low
    assert quiet.high == pytest.approx(stats.chi2.ppf(0.975, 2) / 2)  # Poisson, no event in an hour


def test_the_interval_of_false_accepts_holds_the_rate_it_was_drawn_from():
    draw = np.random.default_rng(1)
    outputs = [rows(*(draw.random(2000) < 0.002).astype(float)) for _ in range(60)]
    found = replace(JUDGE, window=1).score(outputs, [("other", "")] * 60)
    true = 0.002 / 0.03 * 3600 * (1 - 0.002 * 3)  # less what falls into 0.1 s after another
    assert found.low < true < found.high < 1.5 * true


def test_utterances_are_told_apart_by_their_words_and_end_where_their_speech_does():
    audio = np.concatenate([np.full(8000, 0.1, np.float32), np.zeros(1600, np.float32)])
    score = kind(**WAKE)
    assert score.said(Utterance("a", "b", audio, None, "hello okay nabu please")) == ("Okay Nabu", "0.5")
    assert score.said(Utterance("a", "b", audio, None, "okay then nabu"))[0] == "other"
    codes = np.zeros((3, 40), np.uint8)
    assert score.said(Featured("a", "", codes, None, "okay nabu")) == ("Okay Nabu", "")
    assert score.said(Featured("a", "", codes, None, None, 0.25)) == ("other", "0.25")


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match=r"expected one output a row, found \[2\]"):
        JUDGE.rows(np.zeros((5, 2)))
    with pytest.raises(ValueError, match="neither a wake word nor other speech"):
        JUDGE.score([], [])
    with pytest.raises(ValueError, match="the network has 2"):
        kind(**WAKE).check(2)
    for wrong in ({"cutoff": 1.0}, {"window": 0}, {"refractory": "-1 s"}, {"wake_word": ""}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            kind(**{**WAKE, **wrong})


@pytest.mark.parametrize(("how", "expected"), [("mean", "b"), ("last", "a"), ("max", "c")])
def test_classes_are_the_largest_outputs(how, expected):
    outputs = np.array([[0, 4, 7], [0, 5, 0], [2, 1, 1]])
    assert OutputClasses(("a", "b", "c"), how).classify(outputs) == expected


def test_the_share_of_utterances_with_another_class():
    judge = OutputClasses(("yes", "no"), "last")
    found = judge.score([np.array([[1.0, 0]])] * 4, [("yes",), ("no",), ("yes",), ("yes",)])
    assert found.value == 25 and found.metric == "classification error" and found.n == 4
    with pytest.raises(ValueError, match="too short for a single row"):
        judge.classify(np.zeros((0, 2)))


def test_labels_that_are_no_class_are_the_other_one():
    keys = {"kind": "output_class", "classes": ["yes", "no", "unknown"]}
    cat = Featured("a", "", np.zeros((1, 1), np.uint8), None, "cat")
    assert kind(**keys, other="unknown").said(cat) == ("unknown",) and kind(**keys).said(cat) == ("cat",)
    assert not kind(**keys).knows("cat")
    with pytest.raises(ValueError, match="names 3 classes, the network has 2"):
        kind(**keys).check(2)
    for wrong in ({"other": "cat"}, {"classes": ["a", "a"]}):
        with pytest.raises(ValueError, match=r"'classes' names 'a' twice|'other': expected one of the classes"):
            kind(**{**keys, **wrong})


def separation(noisy, clean, block=8, hop=4) -> ScaleInvariantRatio:
    tensors = {"noisy": noisy, "clean": clean, "starts": np.array([0, len(noisy)])}
    return ScaleInvariantRatio.from_tensors(tensors, block=block, hop=hop)


def test_a_mask_of_ones_gives_the_noisy_speech_back_and_a_tone_is_taken_out_by_its_bin():
    clean = np.cos(2 * np.pi * np.arange(64) / 8).astype(np.float32)  # bin 1 of 8
    noise = np.cos(2 * np.pi * 3 * np.arange(64) / 8).astype(np.float32)  # bin 3
    judge = separation(clean + noise, clean)
    assert judge.enhanced(judge.noisy, np.ones((15, 5)))[4:60] == pytest.approx(judge.noisy[4:60], abs=1e-6)
    assert judge.ratio_db(judge.noisy, clean) == pytest.approx(0, abs=1e-5)  # as loud as the speech
    masked = judge.score([np.array([[0, 1, 0, 0, 0]] * 15)], [("clean",)])
    assert masked.value > 100 and masked.further[0].metric == "SI-SDR gained" and masked.unit == "dB"
    half = separation(clean + np.float32(0.1) * noise, clean)
    assert half.score([np.ones((15, 5))], [("clean",)]).value == pytest.approx(20, abs=1e-4)  # a tenth: 20 dB
    louder = half.ratio_db(7 * half.noisy, clean)
    assert louder == pytest.approx(20, abs=1e-4), "how loud it is does not count"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clean": None}, "lacks the tensors clean"),
        ({"clean": np.zeros(5, np.float32)}, "not of the same samples"),
        ({"starts": np.array([0, 99])}, "'starts' must rise"),
        ({"noisy": np.full(64, np.nan, np.float32)}, "NaN or infinity"),
    ],
)
def test_speech_that_does_not_belong_together(change, message):
    tensors = {"noisy": np.ones(64, np.float32), "clean": np.ones(64, np.float32), "starts": np.array([0, 64])} | change
    with pytest.raises(ValueError, match=message):
        ScaleInvariantRatio.from_tensors(
            {name: value for name, value in tensors.items() if value is not None}, block=8, hop=4
        )


def test_masks_that_are_not_of_the_speech():
    judge = separation(np.ones(64, np.float32), np.ones(64, np.float32))
    with pytest.raises(ValueError, match="the speech has 15 blocks, the network gave 14"):
        judge.score([np.ones((14, 5))], [("clean",)])
    with pytest.raises(ValueError, match="clean speech of 1 utterances, found 2"):
        judge.score([np.ones((15, 5))] * 2, [("clean",)] * 2)
    with pytest.raises(ValueError, match="silent"):
        separation(np.ones(64, np.float32), np.zeros(64, np.float32)).score([np.ones((15, 5))], [("clean",)])
    score = kind(kind="si_sdr", decoder="speech.safetensors", block=512, hop=128)
    score.check(257)
    with pytest.raises(ValueError, match="a block of 512 has 257 bins, the network 256 outputs"):
        score.check(256)
    with pytest.raises(ValueError, match="'hop' 100 does not divide"):
        kind(kind="si_sdr", decoder="speech.safetensors", block=512, hop=100).check(257)


def write(folder, score: str):
    """Write a network that hands its one feature on, 0 or 1, in steps of 30 ms."""
    hears = [np.full(20, 128, np.uint8), np.r_[np.full(10, 128), np.full(10, 255)].astype(np.uint8)] * 2
    np.savez(
        folder / "features.npz", codes=np.concatenate(hears)[:, None], starts=np.arange(5) * 20,
        labels=np.array(["music", "okay nabu"] * 2), ends=np.array([0.5, 0.33, 0.5, 0.33]),
    )  # fmt: skip
    accelsim.save_weights(
        folder / "weights.safetensors",
        {"out.weight": np.ones((1, 1), np.float16)},
    )
    (folder / "workload.yaml").write_text(
        "schema: accelsim/workload@1\nname: level\nweights: weights.safetensors\nfeature_offset: 128\n"
        f"feature_scale: {1 / 127!r}\n"
        "inputs: {source: file, path: features.npz, frame_period: '30 ms', width: 1}\n"
        "graph: [{name: out, op: linear, outputs: 1, weight_bits: 16, gives: real, input: features}]\n"
        f"score: {score}\n"
    )
    return folder


PACE = {"pacing.mode": "back_to_back"}
DETECTIONS = "{kind: detections, wake_word: okay nabu, cutoff: 0.5, window: 2, refractory: '0.1 s'}"


def test_a_run_says_misses_false_accepts_and_delay(tmp_path):
    result = accelsim.run("edge_npu", overrides=PACE, workload=write(tmp_path, DETECTIONS))
    assert result.accuracy.metric == "missed wake words" and result.accuracy.value == 0
    accepts, delay = result.accuracy.further
    assert accepts.value == 0 and accepts.n == 1  # 1.2 s without the wake word
    assert delay.value == pytest.approx(12 * 0.03 - 0.33, abs=1e-6)  # rows 10 and 11, and the end of the latter
    assert [h.name for h in headlines(result)][2:4] == ["false accepts", "delay of detections"]


def test_a_score_that_is_no_share_is_no_error_rate(tmp_path):
    result = accelsim.run(
        "edge_npu", overrides=PACE, workload=write(tmp_path, DETECTIONS.replace("okay nabu", "another"))
    )
    assert result.accuracy.unit == "/h"
    assert METRICS["accuracy"].of(result) is None and METRICS["error_percent"].of(result) is None


def test_a_wrong_score_stands_at_its_line(tmp_path):
    with pytest.raises(InputError, match=r"workload\.yaml:8: .*the score names 2 classes, the network has 1"):
        accelsim.run("edge_npu", overrides=PACE, workload=write(tmp_path, "{kind: output_class, classes: [a, b]}"))
