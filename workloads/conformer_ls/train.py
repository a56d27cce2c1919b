"""Train a Conformer on mini LibriSpeech: characters with CTC from 80 log-mel bands, VGG front end, time / 4.

    python train.py relative float --work W
    python train.py relative 4 --work W          # 4-bit weights, starts from W/relative_float.pt

Model and training are those of ../conformer_an4. Reads mini LibriSpeech from the folder that ACCELSIM_DATA names, or
where `accelsim data get mini_librispeech` put it; train, dev and test speakers are disjoint. Seeded and resumable.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.append(str(Path(__file__).parent.parent / "conformer_an4"))

from model import Conformer
from shape import FrontConv, Shape
from training import Example, Plan, command_line, log_probabilities, stretched

from accelsim.data import load
from accelsim.data.datasets import Utterance
from accelsim.data.features import LogMel
from accelsim.score.ctc import CtcClasses

FEATURES = LogMel(bands=80)
MEAN_CODE = 80  # the code of a band at its running mean
SCALE = 1 / 32
SPEEDS = (1.0, 0.9, 1.1)
NAMES = ("", " ", "'", *"abcdefghijklmnopqrstuvwxyz")

# The front end of arXiv 2505.24721 with a quarter of its channels, so that two CPU cores can train it.
SHAPE = Shape(
    bands=80, planes=1, classes=0,
    front=(FrontConv(8), FrontConv(16, pool=(2, 2)), FrontConv(16), FrontConv(32, pool=(2, 2))),
    width=192, heads=4, feed_forward=768, blocks=6, dropout=0.1,
)  # fmt: skip

PLANS = {
    "float": Plan(epochs=60, rate=1.5e-3, widest_band_mask=16, longest_time_mask=40),
    "8": Plan(epochs=4, rate=2e-4, bits=8, widest_band_mask=16, longest_time_mask=40),
    "4": Plan(epochs=10, rate=5e-4, bits=4, widest_band_mask=16, longest_time_mask=40),
    "3": Plan(epochs=10, rate=6e-4, bits=3, widest_band_mask=16, longest_time_mask=40),
}


def feature_codes(utterance: Utterance) -> np.ndarray:
    """Return the network's inputs, int8 [frames, 80]: log-mel codes above their running mean."""
    return np.clip(FEATURES.codes(utterance.audio).astype(np.int16) - MEAN_CODE, -127, 127).astype(np.int8)


def example(utterance: Utterance) -> Example:
    """Return one utterance as the training loop takes it."""
    codes, text = feature_codes(utterance), utterance.text or ""
    speeds = [codes if speed == 1 else np.rint(stretched(codes.astype(np.float32), speed)) for speed in SPEEDS]
    return Example(tuple(x.astype(np.int8)[:, :, None] for x in speeds), tuple(NAMES.index(c) for c in text))


def data() -> tuple[int, list[Example], Callable[[Conformer], str]]:
    """Return the number of classes, what is learned from, and the report on the development speakers."""
    learned = [example(u) for u in tqdm(load("mini_librispeech", "train"), desc="features")]
    dev = load("mini_librispeech", "dev")
    codes = [feature_codes(u)[:, :, None] for u in dev]
    references = [(u.text or "").split() for u in dev]
    decoder = CtcClasses(NAMES, unit="character")

    def report(model: Conformer) -> str:
        rate = decoder.score(log_probabilities(model, codes, SCALE), references)
        return f"dev word error rate {rate.value:.2f} %"

    return len(NAMES), learned, report


if __name__ == "__main__":
    command_line(__doc__, SHAPE, PLANS, SCALE, data)
