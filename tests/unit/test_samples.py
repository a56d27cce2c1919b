"""Samples that ship: what a run reads where its data set is not on the machine, and what it says of it."""

import os
import re
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import beta

import accelsim
from accelsim.data import DATASETS, Featured, feature_set, load, load_features
from accelsim.data.digits import AUDIOMNIST_TEST_SPEAKERS, FSDD_TEST_SPEAKERS, WORDS
from accelsim.errors import DataError, InputError
from accelsim.inputs import load_batch
from accelsim.library import root
from accelsim.report.console import summary
from accelsim.result import AccuracyRecord, UtteranceRecord
from accelsim.workload import load_workload

DATA = os.environ.get("ACCELSIM_DATA")
WITH_SAMPLE = {
    "s4d_digits": "zero_one_sample",
    "s4d_digits10": "fsdd_sample",
    "conformer_an4": "an4_sample",
    "conformer_stream": "librivox_sample",
}


@pytest.fixture(autouse=True)
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))


@pytest.mark.parametrize(("network", "sample"), WITH_SAMPLE.items())
def test_a_run_takes_the_sample_of_a_set_that_is_not_there_and_says_so(network: str, sample: str) -> None:
    workload = load_workload(network, {"inputs.utterances": 2})
    batch = load_batch(workload)
    assert batch.source == f"{sample}/test"
    assert batch.instead_of == workload.spec.inputs.origin()
    assert len(batch.names) == 2 and batch.references is not None and batch.unknown == 0


@pytest.mark.parametrize("network", WITH_SAMPLE)
def test_who_asks_for_the_whole_set_gets_no_sample(network: str) -> None:
    with pytest.raises(DataError, match="is not in"):
        load_batch(load_workload(network), samples=False)


def test_a_split_without_a_sample_is_missing() -> None:
    with pytest.raises(DataError, match="is not in"):
        load_batch(load_workload("conformer_an4", {"inputs.split": "train"}))


def test_a_sample_by_its_own_name_stands_in_for_nothing() -> None:
    batch = load_batch(load_workload("s4d_digits", {"inputs.dataset": "zero_one_sample", "inputs.utterances": 1}))
    assert batch.source == "zero_one_sample/test" and batch.instead_of is None


def test_a_set_that_is_there_and_damaged_is_no_reason_for_a_sample(tmp_path: Path) -> None:
    (tmp_path / "an4_mfcc13.npz").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"an4_mfcc13\.npz") as error:
        load_batch(load_workload("conformer_an4"))
    assert not isinstance(error.value, DataError)


def test_samples_hold_what_their_licences_say() -> None:
    words = load("zero_one_sample", "test")
    assert {one.speaker for one in words} == set(AUDIOMNIST_TEST_SPEAKERS)
    assert {one.text for one in words} == {"zero", "one"}
    sentences = load_features("an4_sample", "test")
    assert len({one.speaker for one in sentences}) == 7
    digits = load("fsdd_sample", "test")
    assert {one.speaker for one in digits} == set(FSDD_TEST_SPEAKERS) and {one.text for one in digits} == set(WORDS)
    for name, one in DATASETS.items():
        if one.shipped is not None:
            notice = (one.shipped() / "LICENSE.txt").read_text()
            assert any(words in notice for words in ("Copyright (c)", "CC BY", "by-sa/4.0", "public domain")), name


def test_every_sample_is_a_set_of_the_same_kind_that_ships() -> None:
    for one in DATASETS.values():
        if one.sample is not None:
            assert type(DATASETS[one.sample]) is type(one)
            assert DATASETS[one.sample].shipped is not None


SHIPPED = sorted(
    path for path in (root() / "workloads").glob("*/*.yaml") if "dataset:" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_network_that_ships_has_speech_without_a_download(path: Path) -> None:
    found = re.search(r"\bdataset: (\w+)[\s\S]*?\bsplit: (\w+)", path.read_text(encoding="utf-8"))
    assert found is not None
    known = DATASETS[found[1]]
    at_hand = known if known.shipped is not None else DATASETS[known.sample or ""]
    assert at_hand.shipped is not None and found[2] in at_hand.splits


def test_features_of_the_sample_are_those_of_the_set(monkeypatch: pytest.MonkeyPatch) -> None:
    if DATA is None:
        pytest.skip("ACCELSIM_DATA is not set")
    sample = load_features("an4_sample", "test")
    monkeypatch.setenv("ACCELSIM_DATA", DATA)
    whole = {one.name: one for one in load_features("an4", "test")}
    assert feature_set("an4", "test").width == feature_set("an4_sample", "test").width
    assert all(_same(one, whole[one.name]) for one in sample)


def _same(one: Featured, other: Featured) -> bool:
    return np.array_equal(one.codes, other.codes) and (one.text, one.speaker) == (other.text, other.speaker)


@pytest.mark.parametrize(
    ("errors", "interval"),
    [
        ([0] * 36, (0.0, 100 * float(beta.ppf(0.975, 1, 36)))),  # Clopper and Pearson, of 0 in 36: 9.7 %
        ([0] * 35 + [1], (1.0, 2.0)),  # that of the record
        ([1], None),
        ([0], None),
    ],
)
def test_a_rate_without_an_error_has_an_interval_and_one_utterance_has_none(
    errors: list[int], interval: tuple[float, float] | None
) -> None:
    low, high = (1.0, 2.0) if any(errors) else (0.0, 0.0)
    found = AccuracyRecord(
        metric="classification error", value=low, low=low, high=high, reference_value=None, loss=None, n=len(errors),
        counted="utterances", unit="%", dataset="d",
        per_utterance=UtteranceRecord(lengths=[1] * len(errors), errors=[errors]),
    )  # fmt: skip
    assert found.interval() == (None if interval is None else pytest.approx(interval))


@pytest.mark.parametrize("width", [80, 160])
def test_the_first_lines_of_a_run_say_that_it_heard_a_sample(width: int) -> None:
    result = accelsim.run("imssa", overrides={"workload.inputs.utterances": 2})
    assert result.instead_of == "zero_one/test" and result.accuracy is not None
    console = Console(width=width, file=StringIO())
    console.print(summary(result))
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()[:10]
    (said,) = [line for line in lines if "accelsim data get zero_one` for all" in line]
    assert said.startswith("sample") and "2 utterances" in said
    assert any("classification error" in line and "(95 %: 0.0 to 84.2)" in line for line in lines)
