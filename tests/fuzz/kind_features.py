"""Features that were computed elsewhere: damaged .npz and safetensors files."""

from __future__ import annotations

import random

import numpy as np
from binary import damaged_npz, damaged_safetensors, network
from harness import Case

CODES = np.random.default_rng(0).integers(0, 256, (30, 6)).astype(np.uint8)
ARRAYS = {"codes": CODES, "starts": np.array([0, 12, 30]), "labels": np.array(["yes", "no way"]),
          "ends": np.array([0.1, 0.2])}  # fmt: skip
SPIKES = {"spikes": (CODES[:, None] & 1).repeat(2, axis=1), "starts": np.array([0, 12, 30])}
SCORE = "score: {kind: classes, classes: ['yes', 'no', 'way'], average: all}"


class Features:
    name = "features"
    weight = 1.0
    warm = (["run", "rsnn28nm", "-w", "rsnn_paper_activity"],)

    def case(self, rng: random.Random) -> Case:
        spikes = rng.random() < 0.2
        arrays = SPIKES if spikes else ARRAYS
        suffix = rng.choice((".npz", ".npz", ".safetensors", ".bin"))
        if suffix == ".safetensors":
            raw = damaged_safetensors(rng, {name: array for name, array in arrays.items() if array.dtype.kind != "U"})
        else:
            raw = damaged_npz(rng, arrays)
        width = rng.choice((6, 6, 6, 6, 5))
        inputs = f"{{source: file, path: f{suffix}, frame_period: 10 ms, width: {width}{', spikes: true' * spikes}}}"
        workload = network(inputs, f"time_steps: {2 if spikes else rng.choice((1, 1, 2))}")
        return Case({"workload.yaml": workload, f"f{suffix}": raw},
                    ["run", "rsnn28nm", "-w", "workload.yaml", "--out", "out"])  # fmt: skip


KIND = Features()
