"""TFLite files, damaged in their structure and bytes, for `accelsim import`."""

from __future__ import annotations

import random
import struct
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from binary import damaged
from harness import Case

SEEDS = Path(__file__).parent / "seeds"


@cache
def small() -> bytes:
    return (SEEDS / "small.tflite").read_bytes()


class Tflite:
    name = "tflite"
    weight = 1.0
    warm = (["import", str(SEEDS / "small.tflite"), "--out", "warm-tflite"],) if find_spec("tflite") else ()

    def case(self, rng: random.Random) -> Case:
        if find_spec("tflite") is None or find_spec("ai_edge_litert") is None or rng.random() < 0.2:
            raw = damaged(rng, small())
        else:
            raw = _mutated(rng)
        argv = ["import", "model.tflite", "--out", "out"]
        for option in ("rounding=single", "rounding=double_up", "reference=true"):
            if rng.random() < 0.2:
                argv += ["-O", option]
        return Case({"model.tflite": raw}, argv)


def _mutated(rng: random.Random) -> bytes:
    from tflite_mutations import damaged_bytes, damaged_structure

    raw = rng.choice(_seeds())
    try:
        return rng.choice((damaged_bytes, damaged_structure))(np.random.default_rng(rng.getrandbits(64)), raw)
    except (struct.error, TypeError, ValueError, OverflowError):  # what cannot be written down
        return damaged(rng, raw)


@cache
def _seeds() -> list[bytes]:
    from tflite_mutations import seeds

    return seeds()


KIND = Tflite()
