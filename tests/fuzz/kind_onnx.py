"""ONNX files, damaged in their structure and bytes, for `accelsim import`."""

from __future__ import annotations

import random
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from binary import damaged
from harness import Case

SEEDS = Path(__file__).parent / "seeds"


@cache
def small() -> bytes:
    return (SEEDS / "small.onnx").read_bytes()


class Onnx:
    name = "onnx"
    weight = 1.0
    warm = (["import", str(SEEDS / "small.onnx"), "--out", "warm-onnx", "-O", "time_axis=2"],)

    def case(self, rng: random.Random) -> Case:
        time_axis = 2
        if find_spec("onnx") is None or rng.random() < 0.2:
            raw = damaged(rng, small())
        else:
            raw, time_axis = _mutated(rng)
        argv = ["import", "model.onnx", "--out", "out"]
        if rng.random() < 0.9:
            argv += ["-O", f"time_axis={rng.choice((time_axis, time_axis, time_axis, 'none', 0, 1, 7, -1))}"]
        for option in ("output=y", "feature_scale=0.1", "feature_offset=255", "constants={h: 1}"):
            if rng.random() < 0.1:
                argv += ["-O", option]
        return Case({"model.onnx": raw}, argv)


def _mutated(rng: random.Random) -> tuple[bytes, str | int]:
    import onnx_mutations

    seed = rng.getrandbits(40)
    kinds = _kinds()
    return onnx_mutations.mutated(seed, kinds), "none" if seed % len(kinds) == 3 else 2


@cache
def _kinds() -> list[object]:
    import onnx_mutations

    return onnx_mutations.seeds()


KIND = Onnx()
