"""The wake words of pymicro-wakeword through the recipe: the probabilities of their own runtimes, on every chip."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from accelsim import library
from accelsim.data.recordings import read_recordings
from accelsim.pipeline import run_in_full

pytest.importorskip("tflite", reason="pip install 'accelsim-speech[import]'")
pytest.importorskip("pymicro_wakeword", reason="pip install 'accelsim-speech[test-import]'")
RECIPE = library.root() / "workloads" / "wake_word"


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("wake_word_make", RECIPE / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def voices(tmp_path_factory) -> Path:
    """Return a folder in which the wake word is said four times, and two other phrases once."""
    import shutil
    import subprocess

    if shutil.which("espeak-ng") is None:
        pytest.skip("needs espeak-ng (apt install espeak-ng)")
    folder = tmp_path_factory.mktemp("voices")
    command = [sys.executable, RECIPE / "voices.py", "okay nabu", "--positives", "4", "--others", "2", "--out", folder]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def of_the_package(voices: Path) -> tuple[np.ndarray, list[bool]]:
    """Return the probabilities as the package computes them of audio, times 256, and what it detects."""
    from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

    probabilities, detected = [], []
    for one in read_recordings(voices):
        model, features = MicroWakeWord.from_builtin(Model.OKAY_NABU), MicroWakeWordFeatures()
        audio = np.rint(one.audio * 2**15).astype(np.int16).tobytes()
        heard = False
        for number, row in enumerate(features.process_streaming(audio), 1):
            heard |= bool(model.process_streaming(row))
            if number % model.stride == 0:
                probabilities.append(round(model._probabilities[-1] * 256))
        detected.append(heard)
    return np.array(probabilities), detected


PACE = {"pacing.mode": "back_to_back"}


@pytest.mark.parametrize("chip", ["wake_word_digital28", "wake_word_npu"])
def test_the_library_of_the_package_gives_the_same_codes_and_detections(chip, recipe, voices, tmp_path):
    """From audio to detections: micro front end, network and score of ours against the package's own, to the bit."""
    recipe.make("okay_nabu", tmp_path, voices, rounding="double_up")
    run = run_in_full(chip, tmp_path, overrides=PACE)
    theirs, detected = of_the_package(voices)
    outputs, starts = run.execution.outputs[:, 0].astype(int) + 128, run.execution.output_starts
    whole = np.diff(run.batch.starts) // 3
    ours = np.concatenate([outputs[start : start + n] for start, n in zip(starts, whole, strict=False)])
    assert np.array_equal(ours, theirs) and theirs.max() > 230 and theirs.min() < 26
    assert run.accuracy.value == pytest.approx(100 * (1 - np.mean(detected[:4]))) and any(detected[:4])
    assert run.accuracy.further[0].value == sum(detected[4:]) == 0


@pytest.mark.parametrize("model", ["okay_nabu", "hey_jarvis", "hey_mycroft", "alexa"])
def test_every_model_becomes_a_workload_for_every_chip(model, recipe, tmp_path):
    recipe.make(model, tmp_path)
    (tmp_path / "voices").mkdir()
    audio = np.random.default_rng(0).normal(0, 0.05, 16_000)
    import soundfile

    soundfile.write(tmp_path / "voices/a.wav", audio, 16_000)
    (tmp_path / "voices/recordings.tsv").write_text(f"file\ttext\na.wav\t{model.replace('_', ' ')}\n")
    keys = PACE | {"programming_runs": "1"}
    for chip in ("wake_word_digital28", "wake_word_npu", "wake_word_tiles"):
        run = run_in_full(chip, tmp_path, overrides=keys if chip == "wake_word_tiles" else PACE)
        assert run.accuracy.metric == "missed wake words" and run.accuracy.n == 1, chip
    spec = run.workload.spec
    assert spec.graph[0].name == "front" and spec.score.window == 5 and 0.8 < spec.score.cutoff < 1
