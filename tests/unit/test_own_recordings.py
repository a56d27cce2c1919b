"""Recordings of one's own: manifests, folders of classes, Parquet and arrays; what is wrong is told at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from chips import random_weights, write_speech_network

import accelsim
from accelsim.data import get
from accelsim.data.clip import speech_end_s
from accelsim.data.dataset import Recording, Utterance
from accelsim.data.digits import WORDS
from accelsim.data.recordings import (
    BAD,
    clipped_samples,
    hear,
    read_recordings,
    rows_of,
    rows_of_arrays,
    split_of,
)
from accelsim.errors import InputError
from accelsim.inputs import listen, load_batch
from accelsim.report.headline import head
from accelsim.result import Result
from accelsim.workload import load_workload

RATE = 16_000
Shell = Callable[..., subprocess.CompletedProcess[str]]


def word(seconds: float = 0.5, hz: float = 500.0, rate: int = RATE) -> np.ndarray:
    """Return something that is loud enough, and different at every sample."""
    t = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * hz * t) * np.sin(np.pi * t / seconds)).astype(np.float32)


def manifest(folder: Path, table: str, name: str = "my.tsv", **recordings: np.ndarray) -> Path:
    for stem, audio in recordings.items():
        soundfile.write(folder / f"{stem}.wav", audio, RATE, subtype="FLOAT")
    (folder / name).write_text(table, encoding="utf-8")
    return folder / name


def network(folder: Path, inputs: str, score: str = "") -> Path:
    """Write a small network that hears six bands, with three outputs."""
    path = write_speech_network(
        folder, random_weights(np.random.default_rng(1), 6, [4], 3), features=6, hidden=[4], classes=3, steps=1
    )
    text = path.read_text()
    path.write_text(text.replace("source: speech, dataset: timit_sample, split: test", inputs) + score)
    return path


def messages(error: pytest.ExceptionInfo[InputError]) -> list[str]:
    return [f"{Path(str(one.file)).name}:{one.line}: {one.message}" for one in error.value.problems]


# What a manifest says


@pytest.mark.parametrize(
    ("form", "subtype"), [("wav", "PCM_16"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("ogg", "VORBIS"), ("opus", "OPUS")]
)
@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_any_format_and_rate_is_heard_at_16_khz(form: str, subtype: str, rate: int, tmp_path: Path) -> None:
    if (form, rate) == ("opus", 44_100):
        pytest.skip("Opus has no such rate")
    soundfile.write(tmp_path / f"a.{form}", word(rate=rate), rate, format="OGG" if form == "opus" else form.upper(),
                    subtype=subtype)  # fmt: skip
    (one,) = read_recordings(manifest(tmp_path, f"path\ttext\na.{form}\tyes\n"))
    assert len(one.audio) == pytest.approx(8000, abs=2)
    assert np.abs(one.audio[800:7200] - word()[800:7200]).max() < (0.08 if form == "opus" else 0.03)


def test_columns_of_a_manifest(tmp_path: Path) -> None:
    table = (
        "speaker\tpath\tstart\tend\ttext\tclass\tphones\tnotes\nanna\ta.wav\t0.125\t0.375\tyes please\tyes\tY EH S\t\n"
    )
    whole = word()
    (one,) = read_recordings(manifest(tmp_path, table, a=whole))
    assert (one.name, one.speaker, one.text, one.label, one.phones) == (
        "a@0.125", "anna", "yes please", "yes", ("Y", "EH", "S"),
    )  # fmt: skip
    assert np.array_equal(one.audio, whole[2000:6000])


def test_a_table_with_commas_and_quotes(tmp_path: Path) -> None:
    path = manifest(tmp_path, 'file,sentence\n"a.wav","yes, ""please"""\n\na.wav,no\n', "my.csv", a=word())
    assert [(one.line, one.text) for one in rows_of(path)] == [(2, 'yes, "please"'), (4, "no")]


def test_other_columns_than_a_label_are_told_where_one_was_meant(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"my.tsv:1: no column 'text' .did you mean 'texts'"):
        rows_of(manifest(tmp_path, "path\ttexts\na.wav\tyes\n"))
    with pytest.raises(InputError, match=r"my.tsv:1: columns 'path' and 'file' are both 'path'"):
        rows_of(manifest(tmp_path, "path\tfile\na.wav\tyes\n"))
    with pytest.raises(InputError, match=r"my.tsv:1: no column 'path' .did you mean 'paths'"):
        rows_of(manifest(tmp_path, "paths\ttext\na.wav\tyes\n"))
    with pytest.raises(InputError, match=r"a manifest is a file .tsv, .csv or .parquet, found '.xlsx'"):
        rows_of(manifest(tmp_path, "path\n", "my.xlsx"))


def test_all_wrong_rows_are_told_at_once(tmp_path: Path) -> None:
    table = "path\tstart\tend\ttext\na.wav\t1\t0.5\tx\n\tx\t\tx\na.wav\t-1\t\tx\na.wav\t\t1e9\tx\na.wav\n"
    with pytest.raises(InputError) as told:
        rows_of(manifest(tmp_path, table))
    assert messages(told) == [
        "my.tsv:2: 'end' 0.5 is not behind 'start' 1",
        "my.tsv:3: 'path' is empty",
        "my.tsv:4: 'start': expected seconds, 0 or more, found '-1'",
        "my.tsv:5: 'end': expected seconds, 0 or more, found '1e9'",
        "my.tsv:6: expected 4 columns, found 1",
    ]


@pytest.mark.parametrize("raw", [b"\xff\xfep\0a\0t\0h\0", b'path,text\na.wav,"no end\n'])
def test_tables_that_are_none(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_bytes(raw)
    with pytest.raises(InputError, match=r"my.csv:\d: (not UTF-8 text|not a table with commas)"):
        rows_of(tmp_path / "my.csv")


# Folders and Parquet


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    for place in ("yes/a_nohash_0.wav", "yes/deep/b_nohash_1.wav", "no/c.WAV", "_noise/d.wav", ".cache/e.wav"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / place, word(), RATE, format="WAV")
    (tmp_path / "no/readme.txt").write_text("no recording")
    heard = read_recordings(tmp_path)
    assert [(one.name, one.label, one.speaker) for one in heard] == [
        ("no/c", "no", ""), ("yes/a_nohash_0", "yes", "a"), ("yes/b_nohash_1", "yes", "b"),
    ]  # fmt: skip
    batch = load_batch(load_workload(network(tmp_path, f"source: folder, path: {tmp_path}")))
    assert batch.source == tmp_path.name and len(batch.names) == 3


def test_an_empty_folder_says_what_it_should_hold(tmp_path: Path) -> None:
    (tmp_path / "yes").mkdir()
    with pytest.raises(InputError, match=r"recordings.tsv: .* \(write one, or give every class a folder"):
        rows_of(tmp_path)


def parquet_file(path: Path, **columns: list[object]) -> Path:
    """Write a table as Hugging Face's `datasets` does: audio as bytes, a class as a number with names beside it."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = {"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}
    table = pyarrow.table(columns).replace_schema_metadata({"huggingface": json.dumps(names)})
    parquet.write_table(table, path)
    return path


def test_parquet_of_hugging_face(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", word(), RATE)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").unlink()
    audio = [{"bytes": content, "path": "a.flac"}, {"bytes": content, "path": None}]
    path = parquet_file(tmp_path / "test-0.parquet", audio=audio, label=[1, 0], speaker_id=[7, 8], n=[0, 0])
    for place in (path, tmp_path):  # one shard, or all of a folder
        first, second = read_recordings(place)
        assert (first.label, first.speaker, second.label, len(second.audio)) == ("yes", "7", "no", 8000)
    assert (first.name, second.name) == ("test-0-0", "test-0-1")
    heard = hear(rows_of(parquet_file(path, audio=[{"bytes": b"RIFF", "path": "b.wav"}], label=[1])))
    assert "test-0-0: not a recording" in str(heard.findings[0].problem)
    with pytest.raises(InputError, match=r"row 0: class 2 of 2"):
        rows_of(parquet_file(path, audio=["a.wav"], label=[2]))
    path.write_bytes(b"PAR1" + bytes(40) + b"PAR1")
    with pytest.raises(InputError, match=r"test-0.parquet: not a Parquet file: "):
        rows_of(path)


# Splits


def test_a_column_says_what_is_in_which_split(tmp_path: Path) -> None:
    table = "path\ttext\tspeaker\tsplit\na.wav\tx\tanna\ttest\na.wav\ty\tben\ttrain\na.wav\tz\tanna\ttrain\n"
    path = manifest(tmp_path, table, a=word())
    assert [one.text for one in read_recordings(path, split="train")] == ["y", "z"]
    assert [one.text for one in read_recordings(path, split="train", speakers=["anna"])] == ["z"]
    with pytest.raises(InputError, match=r"no split 'tests' in column 'split' .did you mean 'test'"):
        read_recordings(path, split="tests")
    with pytest.raises(InputError, match=r"no recording of speaker 'ana' .did you mean 'anna'"):
        read_recordings(path, speakers=["ana"])
    with pytest.raises(InputError, match=r"no recording of these speakers is in split 'test'"):
        read_recordings(path, split="test", speakers=["ben"])


def test_without_a_column_no_speaker_is_in_two_splits(tmp_path: Path) -> None:
    table = "path\ttext\tspeaker\n" + "".join(f"a.wav\t{n}\tspeaker {n % 10}\n" for n in range(30))
    path = manifest(tmp_path, table, a=word(0.1))
    parts = [{one.speaker for one in read_recordings(path, split=name)} for name in ("train", "dev", "test")]
    assert [len(part) for part in parts] == [6, 2, 2] and len(set.union(*parts)) == 10
    assert split_of(["c", "a", "b"]) == split_of(["b", "c", "a", "a"])
    with pytest.raises(InputError, match="take three speakers, found 2"):
        split_of(["a", "b"])
    nameless = manifest(tmp_path, "path\ttext\na.wav\tx\n", "nameless.tsv")
    with pytest.raises(InputError, match=r"nameless.tsv:2: a.wav: has no speaker"):
        read_recordings(nameless, split="test")
    with pytest.raises(InputError, match="no split 'all': there is no column 'split'"):
        read_recordings(nameless, split="all")


# What is wrong with recordings


def bad_recordings(folder: Path) -> Path:
    """Write a manifest of eight good recordings, two of them stereo, and one of every kind of bad ones."""
    loud = np.clip(8 * word(), -1, 1)
    cut = np.frombuffer(b"", np.float32)
    nan = word().copy()
    nan[7] = np.nan
    recordings = {"good": word(), "loud": loud, "cut": cut, "nan": nan, "quiet": np.zeros(800, np.float32),
                  "wide": np.stack([word(), word()], axis=1), "tiny": word(0.005)}  # fmt: skip
    soundfile.write(folder / "slow.wav", word(), 2000)
    (folder / "phone.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    rows = ["path\tstart\tend\tclass", *["good.wav\t\t\tyes"] * 6, "good.wav\t0.2\t\tno", "good.wav\t\t0.3\tno",
            "gone.wav\t\t\tyes", "phone.m4a\t\t\tyes", "cut.wav\t\t\tyes", "nan.wav\t\t\tyes", "slow.wav\t\t\tyes",
            "wide.wav\t\t\tyes", "good.wav\t0.4\t0.9\tyes", "tiny.wav\t\t\tyes", "good.wav\t\t\t",
            "good.wav\t\t\tmaybe", "quiet.wav\t\t\tyes", "loud.wav\t\t\tyes"]  # fmt: skip
    return manifest(folder, "\n".join(rows) + "\n", **recordings)


FIRST_BAD = 10
CLASSES = "score: {kind: output_class, classes: ['yes', 'no', other]}\n"


def test_every_kind_of_bad_recording_is_found(tmp_path: Path) -> None:
    bad_recordings(tmp_path)
    found = listen(load_workload(network(tmp_path, "source: recordings, manifest: my.tsv", CLASSES)))
    assert [one.kind for one in found.findings] == list(BAD)
    assert [one.problem.line for one in found.findings] == list(range(FIRST_BAD, FIRST_BAD + len(BAD)))
    texts = [one.problem.message for one in found.findings]
    assert texts[7].startswith("tiny.wav: is shorter than one frame of the features: 0.005 s")
    assert texts[8] == "good.wav: has no 'class', which score 'output_class' compares"
    assert texts[9] == "good.wav: 'maybe' is none of the classes"


def test_a_run_refuses_all_of_them_at_once(tmp_path: Path) -> None:
    bad_recordings(tmp_path)
    workload = load_workload(network(tmp_path, "source: recordings, manifest: my.tsv", CLASSES))
    with pytest.raises(InputError) as told:
        load_batch(workload)
    lines = [one.line for one in told.value.problems]
    assert lines == list(range(FIRST_BAD, FIRST_BAD + len(BAD) - 2)), "but the silent and the clipped one"


def test_bad_ones_are_skipped_and_counted(tmp_path: Path) -> None:
    bad_recordings(tmp_path)
    path = network(tmp_path, "source: recordings, manifest: my.tsv, skip: bad", CLASSES)
    batch = load_batch(load_workload(path))
    assert len(batch.names) == 8 and batch.skipped == dict.fromkeys(BAD, 1) and batch.doubtful == {}
    assert batch.references == (("yes",),) * 6 + (("no",),) * 2
    mixed = load_batch(load_workload(path, {"inputs.channels": "mix"}))
    assert len(mixed.names) == 9 and "stereo" not in mixed.skipped
    some = [kind for kind in BAD if kind not in ("silent", "clipped")]
    batch = load_batch(load_workload(path, {"inputs.skip": f"[{', '.join(some)}]"}))
    assert len(batch.names) == 10 and batch.doubtful == {"silent": 1, "clipped": 1}
    with pytest.raises(InputError, match=r"skip.*'bade'|'bade'"):
        load_workload(path, {"inputs.skip": "bade"})


def test_data_check_lists_them_all(tmp_path: Path, accelsim_run: Shell) -> None:
    path = bad_recordings(tmp_path)
    network(tmp_path, "source: recordings, manifest: my.tsv", CLASSES)
    alone = accelsim_run("data", "check", "my.tsv")
    assert alone.returncode == 2
    refused = "a run refuses 8 of 20 recordings (mend them, or leave them out with 'skip: bad')"
    assert alone.stderr == f"error: my.tsv: {refused}\n"
    told = alone.stdout.splitlines()
    lines = [int(line.split(":")[1]) for line in told if line.startswith("my.tsv:")]
    labelled = [line for line in range(FIRST_BAD, FIRST_BAD + len(BAD)) if line not in (17, 19)]
    assert lines == labelled, "without a workload nobody knows frames and classes"
    assert told[len(lines) :] == [
        "12 of 20 recordings can be used: 4.7 s",
        "sample rates: 16,000 Hz (14)",
        "labels: yes (9), no (2), maybe (1)",
        "wrong: 1 missing, 1 damaged, 1 empty, 1 not finite, 1 wrong rate, 1 stereo, 1 segment, 1 unlabelled, "
        "1 silent, 1 clipped",
    ]
    heard = accelsim_run("data", "check", "my.tsv", "--workload", "workload.yaml")
    assert heard.returncode == 2 and heard.stdout.count("my.tsv:") == len(BAD)
    assert "'maybe' is none of the classes (one of: yes, no, other)" in heard.stdout
    good = "\n".join(path.read_text().splitlines()[: FIRST_BAD - 1]) + "\nloud.wav\t\t\tyes\n"
    path.write_text(good)
    usable = accelsim_run("data", "check", "my.tsv", "-w", "workload.yaml", "-s", "workload.inputs.trim_db=30")
    assert usable.returncode == 0 and usable.stdout.splitlines()[-1] == "wrong: 1 clipped"
    assert accelsim_run("data", "check", "my.tsv", "-s", "inputs.trim_db=30").returncode == 2


def test_a_run_of_the_command_line_hears_them(tmp_path: Path, accelsim_run: Shell) -> None:
    (tmp_path / "net").mkdir()
    network(tmp_path / "net", "source: speech, dataset: timit_sample, split: test", CLASSES)
    bad_recordings(tmp_path)
    command = ("run", "rsnn28nm", "-w", "net", "--inputs", "my.tsv")
    refused = accelsim_run(*command)
    assert refused.returncode == 2 and refused.stderr.count("my.tsv:") == len(BAD) - 2
    done = accelsim_run(*command, "-s", "workload.inputs.skip=bad", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["accuracy"]["dataset"] == "my.tsv" and record["skipped"] == dict.fromkeys(BAD, 1)
    by_key = accelsim_run("run", "rsnn28nm", "-w", "net", "-s", "workload.inputs.skip=bad", "-s",
                          "workload.inputs=my.tsv", "--json")  # fmt: skip
    assert json.loads(by_key.stdout)["accuracy"] == record["accuracy"]


@pytest.fixture
def accelsim_run(tmp_path: Path) -> Shell:
    """Return what runs the command line in a folder of its own."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "accelsim", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    return run


def test_where_all_are_bad_that_is_said(tmp_path: Path) -> None:
    manifest(tmp_path, "path\ttext\na.wav\tyes\nb.wav\tno\n")
    workload = load_workload(network(tmp_path, "source: recordings, manifest: my.tsv, skip: bad"))
    with pytest.raises(InputError, match="no recording is left of 2: 2 missing"):
        load_batch(workload)


def test_only_so_many_are_read(tmp_path: Path) -> None:
    bad_recordings(tmp_path)
    workload = load_workload(network(tmp_path, "source: recordings, manifest: my.tsv, utterances: 3", CLASSES))
    assert len(load_batch(workload).names) == 3


def test_a_rate_that_is_too_low_for_the_features_is_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", word(rate=8000), 8000)
    manifest(tmp_path, "path\tclass\na.wav\tyes\n")
    path = network(tmp_path, "source: recordings, manifest: my.tsv, skip: bad", CLASSES)
    batch = load_batch(load_workload(path))
    assert batch.doubtful == {"narrow": 1} and not batch.skipped, "a whole data set has one rate"
    assert load_batch(load_workload(path, {"inputs.features.high_hz": 4000})).doubtful == {}
    with pytest.raises(InputError, match="no recording is left of 1: 1 narrow"):
        load_batch(load_workload(path, {"inputs.skip": "narrow"}))


@pytest.mark.parametrize(
    ("audio", "samples"),
    [
        (np.clip(8 * word(), -1, 1), 3000),
        (word() / np.abs(word()).max(), 0),
        (np.array([0.0, 1.0, 1.0, 0.0]), 0),
        (np.array([0.0, 1.0, 1.0, 1.0]), 3),
        (np.array([-1.0, -1.0, -1.0, 0.5, 1.0]), 3),
        (np.array([0.5, 0.5, 0.5, 0.5]), 0),
        (np.array([2.0, 2.0, 2.0, -1.0, -1.0, -1.0]), 3),
    ],
)
def test_what_counts_as_clipped(audio: np.ndarray, samples: int) -> None:
    found = clipped_samples(audio.astype(np.float32)[:, None])
    assert found == samples if samples < 1000 else found > samples


# Scores


def test_an_unscored_run_needs_no_labels(tmp_path: Path) -> None:
    manifest(tmp_path, "path\na.wav\n", a=word())
    assert load_batch(load_workload(network(tmp_path, "source: recordings, manifest: my.tsv"))).names == ("a",)


def test_labels_of_frames_are_not_in_a_manifest(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path\ttext\na.wav\tyes\n", a=word())
    workload = load_workload("tile_frames", inputs=path)
    with pytest.raises(
        InputError, match=r"workload.yaml:\d+: the references of score 'frame_error' are those of other"
    ):
        load_batch(workload)
    assert load_batch(load_workload("tile_frames", {"score": "null"}, path)).names == ("a",)


def test_words_phones_and_detections(tmp_path: Path) -> None:
    from accelsim.score.score import SCORES

    one = Utterance("a", "", word(), ("Y", "EH", "S"), "yes please", "yes")
    settings = {
        "viterbi_phonemes": ("phones", ("Y", "EH", "S")),
        "output_class": ("class", ("yes",)),
        "utterance_class": ("class", ("yes",)),
        "ctc_words": ("text", ("yes", "please")),
        "detections": ("text", ("yes", repr(speech_end_s(one.audio)))),
    }
    for kind, (column, said) in settings.items():
        score = SCORES[kind].model_construct(kind=kind, wake_word="yes", other=None)
        assert score.reads() == column and tuple(map(str, score.said(one) or ())) == said


# From Python


def test_arrays_from_python() -> None:
    ints = Recording((word() * 2**15).astype(np.int16))
    two = Recording(np.stack([word(), word()], axis=1), text="yes")
    rows = rows_of_arrays([Recording(word(rate=8000), np.int64(8000), label="no", speaker="me"), ints, two])
    heard = hear(rows)
    assert [one.kind for one in heard.findings] == ["damaged", "stereo"]
    assert str(heard.findings[0].problem).startswith("recording 1: expected floats [samples], found int16")
    (one,) = heard.utterances
    assert (one.label, one.text, one.speaker, len(one.audio)) == ("no", "no", "me", 8000)
    assert len(hear(rows, mix=True).utterances) == 2
    with pytest.raises(InputError, match=r"recording 0: expected an accelsim.Recording, found ndarray"):
        rows_of_arrays([word()])  # type: ignore[list-item]


def test_inputs_take_the_place_of_those_of_a_workload(tmp_path: Path) -> None:
    base = "source: speech, dataset: timit_sample, split: test, longest_s: 0.2"
    path = network(tmp_path, base, CLASSES)
    table = manifest(tmp_path, "path\tclass\na.wav\tyes\nb.wav\tno\n", a=word(), b=word(0.6, 900))
    given = [Recording(word(), label="yes", name="a"), Recording(word(0.6, 900), label="no", name="b")]
    batches = [
        load_batch(load_workload(path, inputs=inputs))
        for inputs in (table, str(table), {"source": "recordings", "manifest": str(table)}, given)
    ]
    assert [batch.source for batch in batches] == ["my.tsv"] * 3 + ["recordings from Python"]
    for batch in batches:
        assert np.array_equal(batch.features, batches[0].features) and batch.references == (("yes",), ("no",))
        assert batch.clips.cut == 2, "the workload's treatment of length stays"
    again = load_workload(path, {"inputs.utterances": 1}, table)
    assert load_batch(again).names == ("a",)
    assert len({load_workload(path, inputs=one).sha256 for one in (table, str(table))}) == 1
    assert load_workload(path, inputs=given).sha256 != load_workload(path, inputs=given[::-1]).sha256
    assert load_batch(load_workload(path, {"score": "null"}, {"utterances": 2})).source == "timit_sample/test"


def test_inputs_that_do_not_fit_are_told(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"workload.yaml:\d+: recordings need features, which .source: features. has not"
    ):
        load_workload("conformer_an4", inputs=[Recording(word())])
    path = network(tmp_path, "source: array")
    with pytest.raises(InputError, match=r"workload.yaml:\d+: 'source: array' hears recordings from Python"):
        load_batch(load_workload(path))
    with pytest.raises(InputError, match=r"inputs: unknown key 'split_'|split_"):
        load_workload(path, inputs={"source": "array", "split_": "x"})
    with pytest.raises(InputError, match=r"gone.tsv: no such"):
        load_batch(load_workload(path, inputs="gone.tsv"))


def test_a_run_hears_them_and_its_record_counts(tmp_path: Path) -> None:
    path = network(tmp_path, "source: recordings, manifest: my.tsv, skip: bad", CLASSES)
    bad_recordings(tmp_path)
    result = accelsim.run("rsnn28nm", path)
    assert result.skipped == dict.fromkeys(BAD, 1) and result.performance.utterances == 8
    assert result.accuracy is not None and result.accuracy.n == 8 and result.accuracy.dataset == "my.tsv"
    assert Result.from_json(result.to_json()).skipped == result.skipped
    speech = next(line for line in head(result)[1] if line.name == "speech")
    assert f"{len(BAD)} bad recordings left out" in speech.parts


def test_they_are_as_loud_as_the_data_set_that_the_network_learned_from(tmp_path: Path) -> None:
    folder, rows = get("fsdd_sample"), ["path\tclass\tspeaker"]
    for path in sorted(folder.glob("*.flac")):
        digit, speaker, _ = path.stem.split("_")
        audio, rate = soundfile.read(path)
        soundfile.write(tmp_path / f"{path.stem}.wav", audio / 16, rate, subtype="FLOAT")  # another microphone
        rows.append(f"{path.stem}.wav\t{WORDS[int(digit)]}\t{speaker}")
    table = manifest(tmp_path, "\n".join(rows) + "\n")
    sample = {"inputs.dataset": "fsdd_sample"}
    ours, theirs = (load_batch(load_workload("s4d_digits10", *one)) for one in (({}, table), (sample,)))
    assert np.array_equal(ours.features, theirs.features) and ours.references == theirs.references
    softer = load_batch(load_workload("s4d_digits10", {"inputs.loudness": 0.01}, table))
    assert not np.array_equal(softer.features, theirs.features)
