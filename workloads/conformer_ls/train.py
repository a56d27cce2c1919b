"""Train a Conformer on mini LibriSpeech: phones with CTC from 80 log-mel bands, VGG front end, time / 4.

    python train.py relative float --work W
    python train.py relative 4 --work W          # 4-bit weights, starts from W/relative_float.pt

Model and training are those of ../conformer_an4; words that the dictionary lacks follow ../rsnn_phoneme's rules.
Reads mini LibriSpeech and cmudict.0.7a.txt from the folder that ACCELSIM_DATA names; `accelsim data get
mini_librispeech` fetches the speech. Train, dev and test speakers are disjoint. Seeded and resumable; features are kept
in the work folder.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path += [str(Path(__file__).parent.parent / "conformer_an4")]

from phones import SCALE, data
from shape import POSITIONS, FrontConv, Shape
from training import Plan, command_line

# The front end of arXiv 2505.24721 with fewer channels, and a first convolution that takes every second band: it saves
# a quarter of the training time (174 against 230 s an epoch on a free core; 8 channels in the second one save nothing).
SHAPE = Shape(
    bands=80, planes=1, classes=0,
    front=(FrontConv(8, stride=(1, 2)), FrontConv(16, pool=(2, 2)), FrontConv(16), FrontConv(32, pool=(2, 2))),
    width=144, heads=4, feed_forward=576, blocks=4, dropout=0.0,
)  # fmt: skip


def plan(epochs: int, rate: float, bits: int | None = None) -> Plan:
    """Return what all stages share, with small batches: the first alignments of CTC take many updates."""
    return Plan(
        epochs, rate, bits=bits, frames_per_batch=3200, shortest_first=bits is None,
        time_masks=4, longest_time_mask=40, widest_band_mask=16,
    )  # fmt: skip


SHAPES = {position: replace(SHAPE, position=position) for position in POSITIONS}

PLANS = {
    "float": plan(10, 1.5e-3),
    "8": plan(1, 2e-4, 8),
    "4": plan(1, 4e-4, 4),
    "3": plan(1, 4e-4, 3),
}


if __name__ == "__main__":
    command_line(__doc__, SHAPES, PLANS, SCALE, data)
