"""Export trained networks and measure their phone error rates on accelsim's kernels, for the tables of the READMEs.

Phones are read off the best path, without a language model.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from integer import run
from model import Conformer
from numpy.typing import NDArray
from phones import NAMES, SCALE, spoken
from tqdm import tqdm
from training import log_probabilities, network

from accelsim.score.ctc import CtcClasses
from accelsim.weights import save_weights

Outputs = Callable[[NDArray[np.int8]], NDArray[np.float32]]


def exact(model: Conformer) -> Outputs:
    """Return what gives a network's outputs from the codes of an utterance, with the weights that are written."""
    tensors = model.tensors()
    return lambda codes: run(model.shape, tensors, [codes], SCALE)[0][0]


def in_float(model: Conformer) -> Outputs:
    """Return the same from PyTorch, in float32."""
    return lambda codes: log_probabilities(model, [codes[:, :, None]], SCALE)[0]


def command_line(description: str | None, folder: Path, named: Callable[[str], str | None]) -> None:
    """Write the networks of a work folder beside a recipe, and print their error rates on dev and test speakers.

    ``named``: the name under which a checkpoint is exported; None where it is only measured.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    decoder = CtcClasses(NAMES)
    parts = {part: spoken(part, options.work) for part in ("dev", "test")}
    print("| network | part | PER, % | 95 % interval | subst. / del. / ins. | utterances / phones |")
    print("|---|---|---|---|---|---|")
    for path in sorted(options.work.glob("*_*.pt")):
        model, name = network(path), named(path.stem)
        if name is not None:
            save_weights(folder / f"{name}.safetensors", model.tensors(), {"shape": model.shape.to_json()})
        outputs = in_float(model) if name is None else exact(model)
        for part, utterances in parts.items():
            codes = tqdm([u.codes for u in utterances], desc=f"{path.stem} {part}", leave=False)
            rate = decoder.score([outputs(x) for x in codes], [u.phones for u in utterances])
            edits = " / ".join(str(rate.detail[key]) for key in ("substitutions", "deletions", "insertions"))
            size = f"{len(utterances)} / {sum(len(u.phones) for u in utterances)}"
            interval = f"{rate.low:.1f} to {rate.high:.1f}"
            print(f"| {name or path.stem} | {part} | {rate.value:.2f} | {interval} | {edits} | {size} |", flush=True)
