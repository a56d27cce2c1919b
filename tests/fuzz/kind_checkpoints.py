"""State dicts of S4D modules and Conformer layers, damaged, for `accelsim import`."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from binary import damaged_safetensors
from harness import Case
from numpy.typing import NDArray

SEEDS = Path(__file__).parent / "seeds"
D, HIDDEN, STATES = 4, 6, 3


@cache
def state_dicts() -> dict[str, dict[str, NDArray[Any]]]:
    """Return the parameters of one small module of each kind that is read."""
    draw = np.random.default_rng(2)

    def f(*shape: int) -> NDArray[Any]:
        return (draw.standard_normal(shape) / 3).astype(np.float32)

    s4d = {"kernel.log_A_real": f(D, STATES), "kernel.A_imag": f(D, STATES), "kernel.log_dt": f(D) - 5,
           "kernel.C": f(D, STATES, 2), "D": f(D), "output_linear.0.weight": f(2 * D, D, 1),
           "output_linear.0.bias": f(2 * D)}  # fmt: skip
    torchaudio = {}
    for name in ("ffn1", "ffn2"):
        torchaudio |= {f"{name}.sequential.0.weight": f(D), f"{name}.sequential.0.bias": f(D),
                       f"{name}.sequential.1.weight": f(HIDDEN, D), f"{name}.sequential.1.bias": f(HIDDEN),
                       f"{name}.sequential.4.weight": f(D, HIDDEN), f"{name}.sequential.4.bias": f(D)}  # fmt: skip
    conv = "conv_module.sequential."
    torchaudio |= {
        "self_attn_layer_norm.weight": f(D), "self_attn_layer_norm.bias": f(D),
        "self_attn.in_proj_weight": f(3 * D, D), "self_attn.in_proj_bias": f(3 * D),
        "self_attn.out_proj.weight": f(D, D), "self_attn.out_proj.bias": f(D), "conv_module.layer_norm.weight": f(D),
        "conv_module.layer_norm.bias": f(D), f"{conv}0.weight": f(2 * D, D, 1), f"{conv}0.bias": f(2 * D),
        f"{conv}2.weight": f(D, 1, 3), f"{conv}2.bias": f(D), f"{conv}3.weight": f(D), f"{conv}3.bias": f(D),
        f"{conv}3.running_mean": f(D), f"{conv}3.running_var": np.abs(f(D)), f"{conv}5.weight": f(D, D, 1),
        f"{conv}5.bias": f(D), "final_layer_norm.weight": f(D), "final_layer_norm.bias": f(D),
    }  # fmt: skip
    return {"s4d": s4d, "conformer": {f"conformer_layers.0.{name}": one for name, one in torchaudio.items()}}


class Checkpoints:
    name = "checkpoints"
    weight = 1.0
    warm = (["import", str(SEEDS / "small.onnx"), "--out", "warm-onnx", "-O", "time_axis=2"],)

    def case(self, rng: random.Random) -> Case:
        form = rng.choice(("s4d", "conformer"))
        raw = damaged_safetensors(rng, state_dicts()[form])
        argv = ["import", "model.safetensors", "--format", form, "--out", "out"]
        if form == "conformer":
            argv += ["-O", f"heads={rng.choice((2, 2, 2, 3, 0, 10**9))}"]
        for option in ("prefix=conformer_layers.", "round_towards_zero=true", "causal=true", "feature_scale=1e-30"):
            if rng.random() < 0.15:
                argv += ["-O", option]
        return Case({"model.safetensors": raw}, argv)


KIND = Checkpoints()
