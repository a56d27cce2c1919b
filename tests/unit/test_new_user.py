"""A new user, from recordings to a figure and a table: in a terminal, and in a notebook.

Twenty recordings of two words, a manifest, a chip from `accelsim new`, a small network with a float reference, a run,
and a sweep of one key. Nothing but commands and public names of `accelsim` is used.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import accelsim

pytestmark = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng (apt install espeak-ng)")

WORDS = ("stop", "seven")
VOICES = ("en+m1", "en+f1", "en+m2", "en+f2", "en+m3", "en+f3", "en+m4", "en+f4", "en+m5", "en+f5")
TRAINED = 6
"""So many voices are learned from; the others are new to the network."""


def command(folder: Path, *arguments: str) -> str:
    """Run a command of accelsim in a folder, without speech data of the machine, and return what it prints."""
    environment = {key: value for key, value in os.environ.items() if key != "ACCELSIM_DATA"}
    done = subprocess.run(
        [sys.executable, "-m", "accelsim", *arguments],
        cwd=folder, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the user: recordings and manifest, chip.yaml, and a trained network in `words`."""
    folder = tmp_path_factory.mktemp("desk")
    rows = ["path\tclass\tspeaker\tsplit"]
    for number, voice in enumerate(VOICES):
        for word in WORDS:
            name = f"{word}_{number}.wav"
            subprocess.run(
                ["espeak-ng", "-v", voice, "-s", str(130 + 5 * number), "-w", folder / name, word], check=True
            )
            rows.append(f"{name}\t{word}\t{voice}\t{'train' if number < TRAINED else 'test'}")
    (folder / "my.tsv").write_text("\n".join(rows) + "\n")

    command(folder, "new", "chip", "chip", "--from", "memristor_tile")
    command(folder, "new", "network", "words", "--from", "tile_frames")
    file = folder / "words" / "workload.yaml"
    network = yaml.safe_load(file.read_text())
    network["inputs"] = {
        "source": "recordings", "manifest": "../my.tsv", "split": "test", "trim_db": 40,
        "context": network["inputs"]["context"],
    }  # fmt: skip
    network["graph"][0]["outputs"] = len(WORDS)
    network["score"] = {"kind": "output_class", "classes": [*WORDS]}
    trained = {"weights": network.pop("weights"), "reference_weights": network.pop("reference_weights")}
    untrained = {name: part for name, part in network.items() if name != "score"} | {"generated_weights": {"seed": 1}}
    file.write_text(yaml.safe_dump(untrained, sort_keys=False))
    weight = train(folder / "words", network["graph"][0]["input_offset"])
    file.write_text(yaml.safe_dump(network | trained, sort_keys=False))
    accelsim.save_weights(folder / "words/float.safetensors", {"weight": weight}, workload=file, reference=True)
    codes = np.rint(weight / np.abs(weight).max() * 7)  # 4 bits
    accelsim.save_weights(folder / "words/weights.safetensors", {"weight": codes}, workload=file)
    return folder


def train(network: Path, offset: int) -> np.ndarray:
    """Return weights [inputs, words] by least squares on the mean features of each recording."""
    heard = accelsim.load_inputs(network, overrides={"inputs.split": "train"})
    assert len(heard.names) == TRAINED * len(WORDS)
    codes = heard.features.astype(np.float64) - offset
    means = np.array([codes[a:b].mean(axis=0) for a, b in zip(heard.starts[:-1], heard.starts[1:], strict=True)])
    said = [name.partition("_")[0] for name in heard.names]
    wanted = np.array([[1.0 if one == word else -1.0 for word in WORDS] for one in said])
    return means.T @ np.linalg.solve(means @ means.T + 10 * np.eye(len(means)), wanted)


def test_in_a_terminal(desk: Path) -> None:
    assert "20 of 20 recordings can be used" in command(desk, "data", "check", "my.tsv")

    assert "chip" in command(desk, "validate", "chip.yaml", "words/workload.yaml")

    said = command(desk, "run", "chip.yaml", "-w", "words", "--out", "run")
    assert "classification error" in said
    result = json.loads((desk / "run/result.json").read_text())
    accuracy = result["accuracy"]
    assert accuracy["n"] == (len(VOICES) - TRAINED) * len(WORDS) and accuracy["speakers"] == len(VOICES) - TRAINED
    assert accuracy["reference_value"] == 0 and accuracy["value"] <= 25

    said = command(
        desk, "sweep", "chip.yaml", "-w", "words", "-s", "adc.precision_bits=2,4,6", "-o", "sweep", "--export", "csv"
    )
    assert "precision_bits" in said
    command(desk, "report", "run")
    command(desk, "report", "sweep")
    assert "<svg" in (desk / "run/report.html").read_text(encoding="utf-8")
    page = (desk / "sweep/report.html").read_text(encoding="utf-8")  # its figures are drawn as it is opened
    assert '<figure id="along-chart">' in page and "adc.precision_bits" in page
    rows = [*csv.DictReader((desk / "sweep/points.csv").open(encoding="utf-8"))]
    assert [row["components.adc.precision_bits"] for row in rows] == ["2", "4", "6"]
    assert all(row["status"] == "done" and row["error_percent"] for row in rows)


def test_in_a_notebook(desk: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("pandas")
    cells = [
        "import accelsim\nresult = accelsim.run('chip.yaml', 'words', inputs={'split': 'test'})\nresult",
        "result.to_frame()",
        "result.plot.energy()",
        "sweep = accelsim.sweep('chip.yaml', {'adc.precision_bits': [2, 4, 6]}, workload='words')\nsweep.to_frame()",
        "sweep.plot.curves()",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(desk)}}).execute()
    shown = [
        next(out["data"] for out in cell.outputs if out.output_type == "execute_result") for cell in book.cells[:2]
    ]
    assert "text/html" in shown[0] and "classification error" in shown[0]["text/html"]
    assert "text/html" in shown[1]
    for cell in (book.cells[2], book.cells[4]):
        kinds = {kind for out in cell.outputs for kind in out.get("data", {})}
        assert kinds & {"image/svg+xml", "image/png", "text/html"}
    frame = next(out["data"] for out in book.cells[3].outputs if out.output_type == "execute_result")
    assert frame["text/plain"].count("\n") >= 3 and "precision_bits" in frame["text/plain"]
