"""Weights of a workload: damaged safetensors files."""

from __future__ import annotations

import random

import numpy as np
from binary import damaged_safetensors, network
from harness import Case, Outcome

DRAW = np.random.default_rng(1)
TENSORS = {"l0.weight": DRAW.integers(-7, 8, (6, 4)).astype(np.int8),
           "l0.recurrent_weight": DRAW.integers(-7, 8, (4, 4)).astype(np.int8),
           "out.weight": DRAW.integers(-7, 8, (4, 3)).astype(np.int8)}  # fmt: skip


class Weights:
    name = "weights"
    weight = 1.0

    def case(self, rng: random.Random) -> Case:
        raw = damaged_safetensors(rng, TENSORS)
        names = rng.choice(("weights: w.safetensors", "weights: w.safetensors\nreference_weights: w.safetensors"))
        inputs = "{source: file, path: f.npz, frame_period: 10 ms, width: 6}"
        workload = network(inputs, weights=names)
        return Case({"workload.yaml": workload, "w.safetensors": raw}, ["validate", "workload.yaml"], ())

    @staticmethod
    def check(folder: object, outcome: Outcome) -> None:
        """A problem names the weights or the workload that asks for them."""
        if outcome.code == 2:
            assert "w.safetensors" in outcome.err or "workload.yaml" in outcome.err


KIND = Weights()
