"""One wake word on three chips: the table study.csv beside this, from the installed package and espeak-ng alone.

    pip install 'accelsim-speech[import,test-import]'     # and: apt install espeak-ng
    python workloads/wake_word/study.py --out study --table workloads/wake_word/study.csv

Positives and other phrases are those of `voices.py`, seed 1; false accepts an hour are counted on read speech, the
test split of `mini_librispeech` (``ACCELSIM_DATA``). The reference is tflite-micro on the same features, step by
step. Bounds, set before the first run: on digital chips every probability within 0.005 of the reference, 0 apart
where the arithmetic is the same, and the same detections; of tiles what is lost over five programmings is told, not
bounded.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from make import make, model_folder

from accelsim.inputs import Batch, load_batch
from accelsim.pipeline import Run, run_in_full
from accelsim.record import record
from accelsim.workload import load_workload

NO_WIRES = {"components.crossbar.wires": "none"}
CHIPS: dict[str, tuple[str, dict[str, str]]] = {
    "NPU, weights in every step": ("wake_word_npu", {"compiler.weights": "streamed"}),
    "NPU, weights resident": ("wake_word_npu", {}),
    "digital, 28 nm": ("wake_word_digital28", {}),
    "tiles, 28 nm": ("wake_word_tiles", NO_WIRES | {"programming_runs": "5"}),
    "tiles, cells that hold what they are given": (
        "wake_word_tiles",
        NO_WIRES | {"components.crossbar.device": "ideal"},
    ),
}
READ_SPEECH = "{source: speech, dataset: mini_librispeech, split: test, features: {kind: micro}}"
SETS = {"voices": {}, "read speech": {"workload.inputs": READ_SPEECH}}


def reference(model: str, batch: Batch) -> np.ndarray:
    """Return the codes of the model's output in tflite-micro, step by step, each utterance from the initial state."""
    from tflite_micro import runtime

    codes = []
    path = str(model_folder() / f"{model}.tflite")
    for start, end in zip(batch.starts, batch.starts[1:], strict=False):
        interpreter = runtime.Interpreter.from_file(path)
        rows = (batch.features[start:end].astype(np.int16) - 128).astype(np.int8)
        for step in range(len(rows) // 3):
            interpreter.set_input(rows[3 * step : 3 * step + 3][None], 0)
            interpreter.invoke()
            codes.append(int(interpreter.get_output(0).ravel()[0]))
    return np.array(codes)


def outputs_of(run: Run) -> np.ndarray:
    """Return a run's outputs as unsigned codes, whole steps alone: a last one of fewer than three rows is left out."""
    assert run.execution.outputs is not None
    codes = run.execution.outputs[:, 0].astype(int) + 128
    whole = np.diff(run.batch.starts) // 3
    return np.concatenate(
        [codes[start : start + n] for start, n in zip(run.execution.output_starts, whole, strict=False)]
    )


def row_of(title: str, heard: str, run: Run, codes: np.ndarray) -> dict[str, Any]:
    """Return the figures of a run as a row of the table."""
    result, ours = record(run), outputs_of(run)
    a = result.accuracy
    assert a is not None
    further = {one.metric: one for one in a.further} | {a.metric: a}
    missed, accepts, delay = (
        further.get(name) for name in ("missed wake words", "false accepts", "delay of detections")
    )

    def figures(one: Any, digits: int) -> list[str]:
        if one is None:
            return ["", "", ""]
        return [f"{value:.{digits}f}" for value in (one.value, one.low, one.high)]

    return {
        "chip": title,
        "heard": heard,
        "utterances": len(run.batch.names),
        "steps": len(codes),
        "codes_that_differ": int(np.count_nonzero(ours != codes)),
        "largest_difference_of_p": f"{np.abs(ours - codes).max() / 256:.4f}",
        **dict(zip(("missed_percent", "missed_low", "missed_high"), figures(missed, 1), strict=True)),
        "missed_of_each_programming": " ".join(f"{value:.1f}" for value in (missed.runs if missed else [])),
        **dict(zip(("false_accepts_per_h", "accepts_low", "accepts_high"), figures(accepts, 2), strict=True)),
        "delay_s": figures(delay, 3)[0],
        "energy_per_step_uj": f"{result.energy.per_frame_j * 1e6:.4g}",
        "power_uw": f"{result.power_w * 1e6:.4g}",
        "area_mm2": f"{result.area_mm2:.4g}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("study"), help="for recordings and the workload")
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--model", default="okay_nabu")
    options = parser.parse_args()
    voices, folder = options.out / "voices", options.out / options.model
    script = Path(__file__).with_name("voices.py")
    words = options.model.replace("_", " ")
    subprocess.run([sys.executable, script, words, "--out", voices, "--seed", "1"], check=True)
    make(options.model, folder, voices)
    rows = []
    for heard, inputs in SETS.items():
        workload = load_workload(folder, {key.removeprefix("workload."): value for key, value in inputs.items()})
        codes = reference(options.model, load_batch(workload))
        for title, (chip, keys) in CHIPS.items():
            rows.append(row_of(title, heard, run_in_full(chip, folder, overrides={**inputs, **keys}), codes))
            print({key: value for key, value in rows[-1].items() if value != ""}, flush=True)
            with options.table.open("w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                table.writeheader()
                table.writerows(rows)


if __name__ == "__main__":
    main()
