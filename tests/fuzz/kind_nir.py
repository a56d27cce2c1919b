"""NIR files, damaged in their groups, arrays and bytes, for `accelsim import`; each is read by a process of its own."""

from __future__ import annotations

import random
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from binary import damaged
from harness import Case

SEEDS = Path(__file__).parent / "seeds"


@cache
def small() -> bytes:
    return (SEEDS / "small.nir").read_bytes()


class Nir:
    name = "nir"
    weight = 0.3
    warm = (["import", str(SEEDS / "small.onnx"), "--out", "warm-onnx", "-O", "time_axis=2"],)

    def case(self, rng: random.Random) -> Case:
        if find_spec("nir") is None or find_spec("h5py") is None or rng.random() < 0.2:
            raw = damaged(rng, small())
        else:
            raw = _mutated(rng)
        argv = ["import", "model.nir", "--out", "out"]
        said = {"dt": "0.5 ms", "reset": "subtract", "order": "new"}
        if rng.random() < 0.2:
            key, value = rng.choice(
                (("dt", "1e-30 s"), ("dt", "1 s"), ("reset", "zero"), ("order", "old"), ("dt", "0"))
            )
            said[key] = value
        for key, value in said.items():
            if rng.random() < 0.98:
                argv += [f"--{key}", value]
        argv += ["-O", "utterances=1", "-O", f"rows={rng.choice((4, 4, 4, 1, 10**9))}"]
        return Case({"model.nir": raw}, argv)


def _mutated(rng: random.Random) -> bytes:
    from nir_mutations import mutated

    return mutated(rng.choice(_seeds()), np.random.default_rng(rng.getrandbits(64)))


@cache
def _seeds() -> list[bytes]:
    from nir_mutations import models

    return models()


KIND = Nir()
