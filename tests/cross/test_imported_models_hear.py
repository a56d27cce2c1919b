"""Front ends and scores with models of others: what was trained on such features hears what is said in recordings."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import accelsim
from accelsim.data import data_folder, load
from accelsim.importers.importer import Imported, import_model, write
from accelsim.pipeline import run_in_full

pytest.importorskip("tflite", reason="pip install 'accelsim-speech[import]'")
MODELS = data_folder() / "models"
PACE = {"pacing.mode": "back_to_back", "components.features.entries": "1024"}
MFCC = {
    "kind": "mfcc", "window_s": 0.03, "hop_s": 0.02, "power": 1, "peak": True, "bands": 40, "low_hz": 20.0,
    "high_hz": 4000.0, "triangles": "mel", "dct": "tensorflow", "coefficients": 10,
}  # fmt: skip
"""MLPerf Tiny's: see accelsim.data.mel.Mfcc."""
WORDS = ["down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "silence", "unknown"]
"""Classes of the model, in the order of mlcommons/tiny's keyword spotting."""


def taken(file: str) -> Imported:
    if not (MODELS / file).is_file():
        pytest.skip(f"{file} is not in ACCELSIM_DATA/models")
    return import_model(MODELS / file)


def codes(imported: Imported) -> dict[str, float]:
    """Return the scale and offset of a network's input as keys of a front end."""
    return {"code_scale": imported.workload["feature_scale"], "code_offset": imported.workload["feature_offset"]}


def test_keyword_spotter_of_mlperf_tiny_hears_49_times_10_coefficients(tmp_path: Path) -> None:
    imported = taken("kws_ref_model.tflite")
    words = {"yes_1000ms": "yes", "silence_1000ms": "silence", "noise_1000ms": "cough"}
    (tmp_path / "words").mkdir()
    for name in words:
        shutil.copy(MODELS / f"{name}.wav", tmp_path / "words")
    rows = "".join(f"{name}.wav\t{said}\n" for name, said in words.items())
    (tmp_path / "words/recordings.tsv").write_text("file\ttext\n" + rows)
    imported.workload |= {
        "inputs": {"source": "folder", "path": "words", "length_s": 1.0, "features": {**MFCC, **codes(imported)}},
        "score": {"kind": "output_class", "classes": WORDS, "other": "unknown"},
    }
    write(imported, tmp_path)
    run = run_in_full("conformer_digital28", tmp_path, overrides=PACE)
    assert run.batch.features.shape == (3 * 49, 10)
    assert run.accuracy.value == 0 and run.accuracy.n == 3
    assert (run.execution.outputs.max(axis=1) > 0).all(), "each is more likely than all others together"


def test_denoiser_takes_noise_out(tmp_path: Path) -> None:
    """White noise 5 dB below the speech: DTLN's first part gained 4.3 dB when this was written; half of it is asked."""
    imported = taken("dtln_noise_suppression.tflite")
    clean = load("librivox_sample", "test")[0].audio[:48_000]
    noise = np.random.default_rng(0).normal(0, 1, len(clean))
    noisy = clean + (noise * np.sqrt(np.mean(clean**2) * 10**-0.5 / np.mean(noise**2))).astype(np.float32)
    (tmp_path / "noisy").mkdir()
    soundfile.write(tmp_path / "noisy/a.wav", noisy, 16_000, subtype="FLOAT")
    (tmp_path / "noisy/recordings.tsv").write_text("file\ttext\na.wav\tspeech\n")
    tensors = {"noisy": noisy, "clean": clean, "starts": np.array([0, len(clean)])}
    accelsim.save_weights(tmp_path / "speech.safetensors", tensors)
    features = {"kind": "spectrum", "window_s": 0.032, "hop_s": 0.008, **codes(imported)}
    imported.workload |= {
        "inputs": {"source": "folder", "path": "noisy", "features": features},
        "score": {"kind": "si_sdr", "decoder": "speech.safetensors", "block": 512, "hop": 128},
    }
    write(imported, tmp_path)
    accuracy = run_in_full("conformer_digital28", tmp_path, overrides=PACE).accuracy
    (gained,) = accuracy.further
    assert accuracy.unit == "dB" and accuracy.value - gained.value == pytest.approx(5, abs=0.3) and gained.value >= 2
