"""Recipes on words of one's own: what comes from the data, who decides, and that a run hears what the recipe heard.

Needs PyTorch, of the extras train and test. The words are tones that rise or fall, by speakers of several pitches.
"""

from __future__ import annotations

import csv
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

import accelsim
from accelsim import library
from accelsim.architecture import load_architecture
from accelsim.workload import load_workload

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")

FOLDERS = {name: library.root() / "workloads" / name for name in ("s4d_digits", "s4d_digits10")}
if not FOLDERS["s4d_digits"].joinpath("own.py").exists():
    pytest.skip("the recipes come with a source checkout", allow_module_level=True)
RATE = 6000
SPEAKERS = 6


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six speakers who say two words three times each, with silence and a little noise around them; longest 0.48 s."""
    folder, random = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    rows = ["path\tclass\tspeaker"]
    for speaker in range(SPEAKERS):
        for word, (first, last) in {"up": (1, 3), "down": (3, 1)}.items():
            for take in range(3):
                samples = int(RATE * 0.48) if (speaker, take) == (0, 0) else int(RATE * random.uniform(0.3, 0.45))
                pitch = 300 * 1.07**speaker * np.linspace(first, last, samples)
                tone = 0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)
                audio = np.pad(tone, int(RATE * random.uniform(0.1, 0.3)))
                audio += 1e-5 * random.standard_normal(len(audio))
                soundfile.write(folder / f"{word}_{speaker}_{take}.flac", audio, RATE)
                split = ("test", "test", "dev", "train", "train", "train")[(speaker + 4) % SPEAKERS]
                rows.append(f"{word}_{speaker}_{take}.flac\t{word}\ts{speaker}\t{split}")
    rows[0] += "\tsplit"
    (folder / "my.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "my.tsv"


def module(folder: str, name: str) -> ModuleType:
    """Import a file of a recipe; those of other recipes have the same names."""
    sys.path[:0] = [str(FOLDERS[folder]), str(FOLDERS["s4d_digits"])]
    sys.modules.pop(name, None)
    try:
        return importlib.import_module(name)
    finally:
        del sys.path[:2]
        sys.modules.pop("train", None)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before, path = torch.get_num_threads(), list(sys.path)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    sys.path[:] = path


def heard(folder: Path, key: str) -> dict[str, tuple[int, float]]:
    """Return the recordings and errors of each test speaker as the recipe wrote them."""
    with (folder / "speakers.csv").open(encoding="utf-8") as file:
        return {row["speaker"]: (int(row["recordings"]), float(row[key])) for row in csv.DictReader(file)}


def check(out: Path, manifest: Path, chip: str, key: str, said: str) -> None:
    """What the recipe measured is what a run on ideal cells says, speaker by speaker, and all of it was told."""
    spec = load_workload(out).spec
    assert spec.score is not None and spec.score.classes == ["down", "up"]  # type: ignore[attr-defined]
    assert spec.inputs.trim_db in (60, 40, 30) and spec.inputs.split == "test"  # type: ignore[union-attr]
    assert spec.inputs.longest_s == 0.65, "1.25 times the longest word of training, without the silence around it"  # type: ignore[union-attr]
    ideal = {"components.crossbar.wires": "none", "components.crossbar.device": "ideal"}
    found = accelsim.run(load_architecture(chip).spec.name, out, overrides=ideal).accuracy
    assert found is not None and found.n == 12
    of_run = {one.name: (one.n, round(one.value, 2)) for one in found.by_speaker}
    of_recipe = heard(out, key)
    assert set(of_recipe) == {"s2", "s3"} and of_run == of_recipe
    of_float = {one.name: (one.n, round(one.reference_value or 0.0, 2)) for one in found.by_speaker}
    assert of_float == heard(out, "float_error_percent")
    assert "test: 12 recordings, 2 speakers" in said and "of dev wrong" in said
    assert "12 of 12 trimmed" in said and "standard deviation" in said


def test_ten_digits_become_own_words(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = module("s4d_digits10", "train")
    monkeypatch.setattr(recipe, "OWN_SEEDS", (1.0,))
    monkeypatch.setattr(recipe.own, "TRIMS_DB", (60.0, 40.0))
    recipe.own_words(manifest, tmp_path / "mine", epochs=1)
    check(tmp_path / "mine", manifest, "imssa10", "integer_error_percent", capsys.readouterr().out)
    features = load_workload(tmp_path / "mine").spec.inputs.features  # type: ignore[union-attr]
    assert features.high_hz == pytest.approx(0.475 * RATE), "nothing is above half the rate of the recordings"


def test_two_digits_become_own_words(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = module("s4d_digits", "train")
    monkeypatch.setattr(recipe, "SEEDS", 1)
    monkeypatch.setattr(recipe, "STEPS", 40)
    recipe.own_words(manifest, tmp_path / "mine")
    check(tmp_path / "mine", manifest, "imssa", "2bit_error_percent", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("s5\ttrain", "s2\ttrain", "s2 in train and in test: a speaker belongs to one of them"),
        ("\tdown\ts5\ttrain", "\tsideways\ts5\ttrain", None),
        ("\tup\ts2\ttest", "\tsideways\ts2\ttest", "no training speaker says sideways"),
        ("\tup\t", "\tdown\t", "every recording needs a word in 'class' or 'text', and there are to be two or more"),
    ],
)
def test_speakers_and_words_that_do_not_serve(manifest: Path, old: str, new: str, said: str | None) -> None:
    own = module("s4d_digits", "own")
    changed = manifest.with_name("changed.tsv")
    changed.write_text(manifest.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    if said is None:
        assert own.read(changed).words == ("down", "sideways", "up"), "the words are those of training"
        return
    with pytest.raises(SystemExit) as stopped:
        own.read(changed)
    assert said in str(stopped.value)


def test_the_fewest_errors_on_dev_decide_then_the_loss_then_the_order(capsys: pytest.CaptureFixture[str]) -> None:
    own = module("s4d_digits", "own")
    judged = {60.0: (0.1, 0.2), 40.0: (0.05, 0.4), 30.0: (0.05, 0.3)}
    assert own.best((60.0, 40.0, 30.0), judged.__getitem__, "trim_db") == 30
    assert own.best((60.0, 40.0), lambda _: (0.0, 1.0), "trim_db") == 60
    assert "40: 5.00 % (loss 0.400)" in capsys.readouterr().out
