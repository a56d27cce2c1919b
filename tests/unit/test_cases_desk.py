"""What small inputs of a user's desk did wrong once: labels, numbers, weights, constraints, recordings, names."""

from __future__ import annotations

import html
import json
import os
import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest

import accelsim as accelsim_package
from accelsim.data import data_folder
from accelsim.errors import InputError
from accelsim.explore import compare_chips
from accelsim.explore.front import front_of
from accelsim.explore.store import Store
from accelsim.inputs import load_batch
from accelsim.library import find, find_workload
from accelsim.result import Result
from accelsim.score.frames import FrameClasses
from accelsim.score.score import SCORES
from accelsim.workload import load_workload

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
    with pytest.raises(InputError, match=r"s4d_digits/workload\.yaml:\d+: 'classes' does not have 'two', the label of"):
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


# Names with brackets


@pytest.fixture
def bracketed(tmp_path) -> tuple[Path, Path]:
    """A chip and a network that runs on it, whose names look like rich's markup."""
    chip = find("rsnn28nm", "arch").read_text().replace("name: rsnn28nm\n", 'name: "[red]chip[/]"\n')
    (tmp_path / "chip.yaml").write_text(chip)
    network = find_workload("rsnn_paper_activity").read_text().replace("3000", "4")
    network = network.replace("name: rsnn_paper_activity", 'name: "[b]net[/c] :smile:"')
    network = network.replace("name: l0,", 'name: "[/d]",').replace("input: l0,", 'input: "[/d]",')
    (tmp_path / "net.yaml").write_text(network)
    return tmp_path / "chip.yaml", tmp_path / "net.yaml"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("run", "{chip}", "-w", "{net}"), ["[b]net[/c] :smile: on [red]chip[/]", "\n[/d] "]),
        (("schedule", "{chip}", "-w", "{net}"), ["\n[/d].input "]),
        (("compare", "{chip}", "rsnn28nm", "-w", "{net}"), ["[red]chip[/]", "[b]net[/c] :smile:"]),
        (("sweep", "{chip}", "-w", "{net}", "-s", "components.lif.units=64,128", "-o", "out"),
         ["[b]net[/c] :smile: on [red]chip[/]"]),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_names_with_brackets_are_printed_as_they_are(accelsim, bracketed, command, shown) -> None:
    chip, network = bracketed
    outcome = accelsim(*(part.format(chip=chip, net=network) for part in command))
    assert outcome.code == 0, outcome.err
    assert all(text in outcome.out for text in shown), outcome.out


def test_names_with_brackets_are_text_on_the_page_too(accelsim, bracketed) -> None:
    chip, network = bracketed
    chip.write_text(chip.read_text().replace("[red]chip[/]", "<i>chip</i>"))
    assert accelsim("run", chip, "-w", network, "--out", "out").code == 0
    assert accelsim("report", "out").code == 0
    page = Path("out/report.html").read_text()
    assert "&lt;i&gt;chip&lt;/i&gt;" in page and "<i>chip" not in page and "[/d]" in page


@pytest.mark.parametrize(
    "name", ["a[1]", "[red]x[/]", "a->b", "sum of a", "/x]", "=1+1", "-x", "ä", "a" * 65, "..", "a/b"]
)
def test_a_component_whose_name_means_something_else_is_refused(accelsim, tmp_path, name) -> None:
    text = find("rsnn28nm", "arch").read_text().replace("  lif:", f'  "{name}":')
    (tmp_path / "chip.yaml").write_text(
        text.replace("to: lif,", f'to: "{name}",').replace("from: lif,", f'from: "{name}",')
    )
    outcome = accelsim("validate", "chip.yaml")
    assert outcome.code == 2 and f"'{name}': a name is of 1 to 64 letters" in outcome.err


def test_no_text_of_accelsim_is_markup() -> None:
    package = Path(accelsim_package.__file__).parent
    tags = re.compile(r"\[/\]|\[(?:bold|dim|red|green|yellow|cyan|blue)\]")
    assert not [path for path in package.rglob("*.py") if tags.search(path.read_text())]


# Constraints that nothing keeps

FAST = ("-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=4", "-s", "pe.switch_cycles=0,3", "-o", "out")
UNMET = "no configuration keeps 'area<=0.001 mm2' (nearest: 0.3"


@pytest.mark.parametrize("command", ["search", "sweep"])
def test_constraints_that_nothing_keeps_are_said_marked_and_exit_code_1(accelsim, command) -> None:
    pytest.importorskip("optuna")
    options = ("--trials", "3") if command == "search" else ("--export", "csv")
    outcome = accelsim(
        command, "rsnn28nm", *FAST, "--objectives", "energy", "--constraint", "area<=0.001 mm2", *options
    )
    assert outcome.code == 1
    assert f"error: {UNMET}" in outcome.err
    assert UNMET in outcome.out and len(re.findall(r"^x ", outcome.out, re.MULTILINE)) == (
        3 if options[1] == "3" else 2
    )
    with Store.open(Path("out")) as store:
        assert {row["allowed"] for row in store.points()} == {0}
        columns, rows = store._table("points")
        assert {row[columns.index("allowed")] for row in rows} == {0}
        assert not front_of(store).best.any()
    assert accelsim("report", "out").code == 0
    page = html.unescape(Path("out/report.html").read_text())
    assert "no configuration keeps 'area<=0.001 mm²'" in page and page.count(">breaks a constraint</td>") >= 2


def test_constraints_that_some_keep(accelsim) -> None:
    outcome = accelsim("sweep", "rsnn28nm", *FAST, "--objectives", "energy", "--constraint", "cycles<=830")
    assert outcome.code == 0, outcome.err
    assert "[x] 1 break cycles<=830; [*] Pareto front of energy: 1" in outcome.out
    with Store.open(Path("out")) as store:
        assert [row["allowed"] for row in store.points()] == [1, 0]
    without = accelsim("sweep", "rsnn28nm", *FAST[:-1], "plain")
    assert without.code == 0 and "[x]" not in without.out
    with Store.open(Path("plain")) as store:
        assert [row["allowed"] for row in store.points()] == [None, None]


def test_a_figure_that_no_point_has_keeps_no_constraint(accelsim) -> None:
    outcome = accelsim("sweep", "rsnn28nm", *FAST, "--constraint", "accuracy>=0.5")
    assert outcome.code == 1 and "'accuracy>=0.5' (none has this figure)" in outcome.err
    wrong = accelsim("sweep", "rsnn28nm", *FAST[:-1], "other", "--constraint", "are<=5")
    assert wrong.code == 2 and "did you mean 'area'?" in wrong.err


def test_a_sweep_file_may_hold_constraints(accelsim, tmp_path) -> None:
    text = "schema: accelsim/sweep@1\narchitecture: rsnn28nm\nworkload: rsnn_paper_activity\n"
    text += "constraints: ['area<=0.001']\naxes: [{workload.inputs.frames: [4, 5]}]\n"
    (tmp_path / "sweep.yaml").write_text(text)
    assert accelsim("sweep", "sweep.yaml", "-o", "out").code == 1


def test_a_store_that_lacks_a_column_is_read_and_goes_on(accelsim) -> None:
    assert accelsim("sweep", "rsnn28nm", *FAST).code == 0
    with sqlite3.connect("out/results.sqlite") as connection:
        connection.execute("ALTER TABLE points DROP COLUMN allowed")
        connection.execute("DELETE FROM points WHERE point = 1")
    resumed = accelsim("sweep", "rsnn28nm", *FAST, "--resume")
    assert resumed.code == 0 and "2 of 2 configurations done" in resumed.out
    with Store.open(Path("out")) as store:
        assert [row["allowed"] for row in store.points()] == [None, None]


# Passwords

STORAGES = [
    "postgresql://u:se@cr/et@host/x", "postgresql+psycopg2://u:hush@host/x", "mysql://host/x?user=u&password=hush",
    "postgresql://u:hush@host:5432/x?sslmode=require",
]  # fmt: skip


@pytest.mark.parametrize("url", STORAGES)
def test_the_password_of_a_storage_is_told_nowhere(accelsim, tmp_path, url) -> None:
    pytest.importorskip("optuna")
    outcome = accelsim("search", "rsnn28nm", *FAST, "--trials", "2", "--storage", url)
    assert outcome.code == 1 and "cannot use the storage " in outcome.err and "***" in outcome.err
    left = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert not [secret for secret in ("hush", "se@cr") if secret in outcome.out + outcome.err + left]


@pytest.mark.filterwarnings("ignore:Query string argument")
def test_the_recorded_command_line_has_no_password(accelsim) -> None:
    pytest.importorskip("optuna")
    url = f"sqlite:///{Path.cwd()}/study.sqlite?token=hush"
    assert accelsim("search", "rsnn28nm", *FAST, "--trials", "2", "--storage", url).code == 0
    with Store.open(Path("out")) as store:
        command = store.meta()["command"]
    assert "token=***" in command and "hush" not in command
    assert accelsim("report", "out").code == 0
    assert "hush" not in Path("out/report.html").read_text()


# Late


def test_a_chip_that_cannot_keep_up_says_so_first(accelsim) -> None:
    slow = ("rsnn28nm", "-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=40")
    outcome = accelsim("run", *slow, "-s", "clocks.main.frequency=1 kHz", "--out", "out")
    assert outcome.code == 0, "it is what was asked for"
    first = outcome.out.splitlines()[0]
    # Every frame comes late; some 880 cycles of 1 ms take 88 times the 10 ms of a frame.
    pace = Result.from_json(Path("out/result.json").read_text()).performance.interval_cycles / 10
    assert first.startswith("warning 40 of 40 frames were late: not finished when the next one came; the chip takes ")
    assert f"{pace:.3g} times as long as the speech at 1 kHz" in first and 80 < pace < 95
    assert accelsim("report", "out").code == 0
    assert first.removeprefix("warning ").strip() in Path("out/report.html").read_text()
    # At 100 kHz one frame of random activity has more work than a period holds.
    few = accelsim("run", *slow)
    assert re.match(
        r"warning 1 of 40 frames were late: .*; the latest one took .* ms, on average the chip keeps", few.out
    )
    quiet = accelsim("run", *slow, "-s", "clocks.main.frequency=200 kHz")
    assert "warning" not in quiet.out + quiet.err
    told = accelsim("run", *slow, "-s", "clocks.main.frequency=1 kHz", "--json")
    assert told.err.startswith("warning: 40 of 40 frames were late") and json.loads(told.out)


def test_a_chip_that_falls_behind_slowly_is_not_said_to_keep_up(accelsim) -> None:
    # Frames of 880 cycles on average, one every 870: only the first few are in time.
    outcome = accelsim(
        "run", "rsnn28nm", "-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=100", "-s",
        "clocks.main.frequency=87 kHz",
    )  # fmt: skip
    assert re.match(r"warning \d+ of 100 frames were late: .*; the chip takes 1\.0\d times as long as", outcome.out)


def test_late_chips_of_a_comparison_and_a_sweep(accelsim) -> None:
    short = ("-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=40")
    slow = find("rsnn28nm", "arch").read_text().replace("frequency: 100 kHz", "frequency: 1 kHz")
    Path("slow.yaml").write_text(slow.replace("name: rsnn28nm", "name: slow"))
    assert "warning slow: 40 of 40 frames were late" in accelsim("compare", "slow.yaml", "rsnn28nm", *short).out
    assert accelsim("compare", "slow.yaml", "rsnn28nm", *short, "-o", "page.md").code == 0
    assert "- slow: 40 of 40 frames were late" in Path("page.md").read_text()
    sweep = accelsim("sweep", "rsnn28nm", *short, "-s", "clocks.main.frequency=1 kHz,100 kHz", "-o", "out")
    assert "2 of them late: frames miss their deadline" in sweep.out


# From Python


def test_overrides_may_be_numbers_everywhere(tmp_path) -> None:
    one = {"workload.time_steps": 1, "workload.inputs.frames": 4, "clocks.main.frequency": "200 kHz"}
    result = accelsim_package.run("rsnn28nm", "rsnn_paper_activity", overrides=one)
    assert result.performance.clock_hz == 200e3 and result.performance.frames == 4
    axes = {"workload.time_steps": [1, 2], "workload.inputs.frames": [4], "components.zero_skip.skip_spikes": [True]}
    swept = accelsim_package.sweep("rsnn28nm", axes, tmp_path / "out", workload="rsnn_paper_activity")
    assert [swept.result(point).performance.frames for point in (0, 1)] == [4, 4]
    results, _ = compare_chips(["rsnn28nm"] * 2, "rsnn_paper_activity", overrides={"workload.inputs.frames": 4})
    assert [result.performance.frames for result in results] == [4, 4]


def test_too_little_memory_is_said_without_a_traceback(accelsim, monkeypatch) -> None:
    def exhausted(*arguments: object, **options: object) -> None:
        raise MemoryError("Unable to allocate 32.0 GiB")

    monkeypatch.setattr("accelsim.pipeline.run_in_full", exhausted)
    outcome = accelsim("run", "rsnn28nm")
    assert outcome.code == 1 and outcome.err.startswith("error: not enough memory: Unable to allocate 32.0 GiB (")
