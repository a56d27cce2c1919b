"""Train a streaming Conformer on mini LibriSpeech: phones with CTC, chunk by chunk, time / 4.

    python train.py separable float --work W
    python train.py separable 8 --work W         # 8-bit weights, starts from W/separable_float.pt
    python train.py vanilla float --work W       # the second convolution of the front end undivided

A frame sees its own chunk and 64 frames before it; every batch is trained with chunks of another length, so that one
network serves them all. Data and phones are those of ../conformer_ls, model and training those of ../conformer_an4.
Seeded and resumable; features are kept in the work folder.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path += [str(Path(__file__).parent.parent / folder) for folder in ("conformer_ls", "conformer_an4")]

from phones import SCALE, data
from shape import FrontConv, Shape
from training import Plan, command_line

CHANNELS = 64
FIRST = FrontConv(CHANNELS, stride=(2, 2))
VANILLA = (FIRST, FrontConv(CHANNELS, stride=(2, 2)))
SEPARABLE = (FIRST, FrontConv(CHANNELS, stride=(2, 2), depthwise=True), FrontConv(CHANNELS, kernel=(1, 1)))

SHAPE = Shape(
    bands=80, planes=1, classes=0, front=VANILLA, width=144, heads=4, feed_forward=576, kernel=15, blocks=4,
    dropout=0.1, chunk=16, left=64, trained_chunks=(4, 8, 16, 32, 64),
)  # fmt: skip
SHAPES = {"vanilla": SHAPE, "separable": replace(SHAPE, front=SEPARABLE)}


def plan(epochs: int, rate: float, bits: int | None = None) -> Plan:
    """Return what all stages share: the batches and masks of ../conformer_ls."""
    return Plan(
        epochs, rate, bits=bits, frames_per_batch=3200, shortest_first=bits is None,
        time_masks=4, longest_time_mask=40, widest_band_mask=16,
    )  # fmt: skip


PLANS = {"float": plan(40, 1.5e-3), "8": plan(2, 2e-4, 8)}

if __name__ == "__main__":
    command_line(__doc__, SHAPES, PLANS, SCALE, data)
