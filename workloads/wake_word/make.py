"""Make a workload of a wake word that microWakeWord has trained, out of the package that holds it.

    pip install 'accelsim-speech[import]' pymicro-wakeword
    python workloads/wake_word/make.py okay_nabu --out nabu
    accelsim run wake_word_digital28 -w nabu

Writes workload.yaml, weights.safetensors and import.md as `accelsim import` does, with the micro front end as its
inputs, the recordings of ``--recordings`` (`voices.py` makes some), and the score of detections with the model's own
cutoff and window. Without recordings the folder ``voices`` beside the workload is named. ``--rounding double_up`` for
the codes of LiteRT's optimised kernels, which the package runs on a PC; the default is what microcontrollers compute.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelsim.data.micro import Micro
from accelsim.importers.importer import Imported, import_model, size_of, write

MODELS = ("okay_nabu", "hey_jarvis", "hey_mycroft", "alexa")


def model_folder() -> Path:
    """The folder of the models in the installed package, which is not imported: its library is not needed."""
    found = importlib.util.find_spec("pymicro_wakeword")
    if found is None or found.origin is None:
        raise SystemExit("the models come with a package: pip install pymicro-wakeword")
    return Path(found.origin).parent / "models"


def scored(imported: Imported, about: dict[str, Any], inputs: dict[str, Any]) -> Imported:
    """Return a network with its inputs, and with the cutoff and window that its makers give it."""
    scale, zero_point = (imported.workload[key] for key in ("feature_scale", "feature_offset"))
    features = {"kind": "micro"}
    if (scale, zero_point) != (Micro.code_scale, Micro.code_offset):
        features |= {"code_scale": scale, "code_offset": zero_point}
    imported.workload |= {
        "inputs": {**inputs, "features": features},
        "score": {
            "kind": "detections",
            "wake_word": about["wake_word"].lower(),
            "cutoff": about["micro"]["probability_cutoff"],
            "window": about["micro"]["sliding_window_size"],
        },
    }
    return imported


def front_named(imported: Imported) -> Imported:
    """Return a network whose first convolution is called ``front``, so that a chip can say where it goes."""
    graph = imported.workload["graph"]
    old = graph[0]["name"]
    for item in graph:
        for key in ("name", "input", "inputs"):
            value = item.get(key)
            if isinstance(value, list):
                item[key] = ["front" if name == old else name for name in value]
            elif value == old:
                item[key] = "front"
    tensors = {name.replace(f"{old}.", "front.", 1): tensor for name, tensor in imported.tensors.items()}
    notes = [
        replace(note, ours=tuple("front" if name == old else name for name in note.ours)) for note in imported.notes
    ]
    return replace(imported, tensors=tensors, notes=notes)


def make(model: str, out: Path, recordings: Path | None = None, rounding: str = "double_away") -> None:
    """Write the workload of a model of the package."""
    about = json.loads((model_folder() / f"{model}.json").read_text(encoding="utf-8"))
    path = "voices" if recordings is None else os.path.relpath(recordings.resolve(), out.resolve())
    imported = import_model(model_folder() / about["model"], {"name": model, "rounding": rounding})
    made = write(scored(front_named(imported), about, {"source": "folder", "path": path}), out)
    size = size_of(made.graph, made.tensors)
    print(f"{model} in {out}: {size.macs:,.0f} multiply-accumulates a step of 30 ms, {size.parameters:,} parameters")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recordings", type=Path, help="folder with recordings.tsv, see voices.py")
    parser.add_argument("--rounding", default="double_away", choices=("double_away", "double_up", "single"))
    options = parser.parse_args()
    make(options.model, options.out, options.recordings, options.rounding)


if __name__ == "__main__":
    main()
