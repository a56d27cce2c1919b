"""Export the networks of train.py, float16 and 8-bit, and measure them on accelsim's kernels.

    python export.py --work W           # writes beside this file, prints the README's table

Phones are read off the best path, without a language model. Networks in float are measured in float32 with the float16
weights that are written here.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path += [str(Path(__file__).parent.parent / folder) for folder in ("conformer_ls", "conformer_an4")]

from integer import run
from phones import NAMES, SCALE, spoken
from safetensors.numpy import save_file
from tqdm import tqdm
from training import network

from accelsim.score.ctc import CtcClasses

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    decoder = CtcClasses(NAMES)
    parts = {part: spoken(part, options.work) for part in ("dev", "test")}
    print("| network | part | PER, % | 95 % interval | subst. / del. / ins. | utterances / phones |")
    print("|---|---|---|---|---|---|")
    for path in sorted(options.work.glob("*_*.pt")):
        model, name = network(path), path.stem.replace("_float", "_16")
        tensors = model.tensors()
        save_file(tensors, HERE / f"{name}.safetensors", {"shape": model.shape.to_json()})
        for part, utterances in parts.items():
            codes = tqdm([u.codes for u in utterances], desc=f"{name} {part}", leave=False)
            logits = [run(model.shape, tensors, [x], SCALE)[0][0] for x in codes]
            rate = decoder.score(logits, [u.phones for u in utterances])
            edits = " / ".join(str(rate.detail[key]) for key in ("substitutions", "deletions", "insertions"))
            size = f"{len(utterances)} / {sum(len(u.phones) for u in utterances)}"
            interval = f"{rate.low:.1f} to {rate.high:.1f}"
            print(f"| {name} | {part} | {rate.value:.2f} | {interval} | {edits} | {size} |", flush=True)


if __name__ == "__main__":
    main()
