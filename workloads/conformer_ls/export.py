"""Export the quantised networks of train.py as integers and scales, and measure them on accelsim's kernels.

    python export.py --work W           # writes beside this file, prints word error rates

Characters are read off by a beam over prefixes, without a language model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.numpy import save_file
from train import NAMES, SCALE, feature_codes  # first: it finds the folder of the modules below

from accelsim.data import load
from accelsim.score.ctc import CtcClasses

from integer import layers, run  # isort: skip
from training import log_probabilities, network  # isort: skip

HERE = Path(__file__).parent
BEAM = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    decoder = CtcClasses(NAMES, BEAM, "character")
    parts = {part: load("mini_librispeech", part) for part in ("dev", "test")}
    codes = {part: [feature_codes(u) for u in spoken] for part, spoken in parts.items()}
    for path in sorted(options.work.glob("*_*.pt")):
        model, exact = network(path), not path.stem.endswith("_float")
        if exact:
            save_file(model.tensors(), HERE / f"{path.stem}.safetensors", {"shape": model.shape.to_json()})
        for part, spoken in parts.items():
            if exact:
                logits = run(layers(model.shape), model.tensors(), codes[part], SCALE)[0]
            else:
                logits = log_probabilities(model, [x[:, :, None] for x in codes[part]], SCALE)
            rate = decoder.score(logits, [(u.text or "").split() for u in spoken])
            print(f"{path.stem} {part}: word error rate {rate.value:.1f} % ({rate.low:.1f} to {rate.high:.1f})")


if __name__ == "__main__":
    main()
