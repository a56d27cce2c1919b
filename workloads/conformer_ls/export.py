"""Export the quantised networks of train.py as integers and scales, and measure them on accelsim's kernels.

    python export.py --work W           # writes beside this file, prints the README's table

Phones are read off the best path, without a language model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from phones import NAMES, SCALE, spoken  # first: it finds the folder of the modules below
from safetensors.numpy import save_file
from tqdm import tqdm

from accelsim.score.ctc import CtcClasses

from integer import run  # isort: skip
from training import log_probabilities, network  # isort: skip

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
        model, exact = network(path), not path.stem.endswith("_float")
        if exact:
            save_file(model.tensors(), HERE / f"{path.stem}.safetensors", {"shape": model.shape.to_json()})
        for part, utterances in parts.items():
            codes = tqdm([u.codes for u in utterances], desc=f"{path.stem} {part}", leave=False)
            if exact:
                tensors = model.tensors()
                logits = [run(model.shape, tensors, [x], SCALE)[0][0] for x in codes]
            else:
                logits = [log_probabilities(model, [x[:, :, None]], SCALE)[0] for x in codes]
            rate = decoder.score(logits, [u.phones for u in utterances])
            edits = " / ".join(str(rate.detail[key]) for key in ("substitutions", "deletions", "insertions"))
            size = f"{len(utterances)} / {sum(len(u.phones) for u in utterances)}"
            interval = f"{rate.low:.1f} to {rate.high:.1f}"
            print(f"| {path.stem} | {part} | {rate.value:.2f} | {interval} | {edits} | {size} |", flush=True)


if __name__ == "__main__":
    main()
