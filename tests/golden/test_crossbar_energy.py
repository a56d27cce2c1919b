"""One 128 x 128 crossbar product from first principles: 2.84 nJ, half of it array, half converters.

The example: 8-bit inputs bit by bit, half of the bits one; binary cells, half of them in the low-resistance state; one
8-bit conversion per column and bit; 0.3 V for 10 ns. Conductances of 50 and 5 uS behind a 5 kohm access transistor:
1 / (20 k + 5 k) = 40 uS and 1 / (200 k + 5 k) = 4.878 uS, 22.44 uS on average.

| term | arithmetic | pJ |
|---|---|---:|
| array | 8 bits x 128 x 128 cells x 1/2 x (0.3 V)^2 x 22.44 uS x 10 ns | 1324 |
| converters | 8 x 128 conversions x 1.333 pJ | 1365 |
| row drivers and word lines | 8 x 64 active rows x 0.063 pJ = 32, word lines 8 | 40 |
| sample-and-hold | 8 x 128 x 0.001 pJ | 1 |
| shift-and-add | 8 x 128 x 0.106 pJ | 108 |
| **total** | | **2838** |

A product here differs in three places, all small: 129 columns, because the sign is an offset column (+ 0.8 % of the
array); a driver is paid for every row, not only where the bit is one (64.5 pJ instead of 40); the shift-and-add stands
at 0.9 V, not 0.88 V (113 pJ).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chips import batch_of
from safetensors.numpy import save_file

from accelsim.architecture import load_architecture
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute
from accelsim.pipeline import operate
from accelsim.workload import load_workload

FRAMES = 20
TERMS = ("crossbar", "adc", "dac", "sample_hold", "shift_add")

# Levels 0 and 2 are the two states; the offset column holds level 1, their mean.
DEVICE = """schema: accelsim/device@1
kind: gaussian
name: example
source: "the 128 x 128 example: 50 and 5 uS behind 5 kohm, or other conductances in uS"
levels: [{low} uS, {middle} uS, {high} uS, {top} uS]
write_noise: 0 S
"""

NETWORK = """schema: accelsim/workload@1
name: product
weights: weights.safetensors
inputs: {source: speech, dataset: librivox_sample, split: test, features: {bands: 128}}
graph:
  - {name: y, op: linear, input: features, outputs: 128, weight_bits: 2, weights: w, gives: codes, input_offset: 128}
"""


def picojoules(
    folder: Path, ones: int = 4, microsiemens: tuple[float, float] = (5.0, 50.0), **crossbar: str
) -> Mapping[str, float]:
    """Return the energy of a product by term: random +-1 weights, inputs whose magnitudes have ``ones`` ones."""
    generator = np.random.default_rng(0)
    low, high = (1 / (1 / g + 5e-3) for g in microsiemens)
    levels = {"low": low, "middle": (low + high) / 2, "high": high, "top": high * 1.0001}
    (folder / "device.yaml").write_text(DEVICE.format(**levels))
    (folder / "workload.yaml").write_text(NETWORK)
    signs = generator.permuted(np.repeat(np.array([-1, 1], np.int8), 64 * 128)).reshape(128, 128)
    save_file({"w": signs}, folder / "weights.safetensors")
    chip = load_architecture(
        "memristor_tile",
        {
            **{f"components.{name}.tiles": "1" for name in ("tile_inputs", "tile_outputs", *TERMS)},
            "components.crossbar.planes": "1",
            "components.crossbar.wires": "none",
            "components.crossbar.cell_bits": "2",
            "components.crossbar.sign": "offset",
            "components.crossbar.device": str(folder / "device.yaml"),
            "components.crossbar.read_voltage": "0.3 V",
            "components.crossbar.read_time": "10 ns",
            "components.dac.mode": "bit_serial",
            "components.adc.units": "16",
            **{f"components.crossbar.{key}": value for key, value in crossbar.items()},
        },
    )
    network = load_workload(folder)
    deployment = deploy(network, chip)
    magnitudes = [m for m in range(128) if m.bit_count() == ones]
    inputs = generator.choice(magnitudes, (FRAMES, 128)) * generator.choice([-1, 1], (FRAMES, 128))
    batch = batch_of((inputs + 128).astype(np.uint8), [0, FRAMES])
    activity = execute(deployment, batch).activity
    energy = operate(chip, deployment.schedule, activity, FRAMES).bill.energy_j
    # The derivation has converters at their full rate, at which a fifth of the energy is standby.
    full_rate = {name: 1 / 0.8 if name == "adc" else 1.0 for name in TERMS}
    return {name: full_rate[name] * energy[name]["dynamic"] * 1e12 / FRAMES for name in TERMS}


def test_a_product_costs_2_84_nj_with_the_same_split(tmp_path: Path) -> None:
    energy = picojoules(tmp_path)
    assert sum(energy.values()) == pytest.approx(2838, rel=0.05)
    assert energy["crossbar"] == pytest.approx(1324, rel=0.01)
    assert energy["adc"] == pytest.approx(1365, rel=0.001)
    assert energy["shift_add"] == pytest.approx(108.5 * (0.9 / 0.88) ** 2, rel=0.001)
    assert energy["sample_hold"] == pytest.approx(1, abs=0.2)
    # Every row is driven here: 8 x 128 x 0.063 pJ; only those whose bit is one would take 32 pJ, 40 with word lines.
    assert energy["dac"] == pytest.approx(8 * 128 * 0.063, rel=0.001)


@pytest.mark.parametrize(
    ("changes", "tops_per_w"),
    [  # 2,048 MACs of 8 x 4 bits a product: eight columns a weight. The derivation's own sensitivities.
        ({}, 1.44),
        ({"read_voltage": "0.2 V"}, 1.95),
        ({"read_voltage": "0.5 V"}, 0.79),
        ({"read_voltage": "0.6 V"}, 0.60),
        ({"read_time": "1 ns"}, 2.49),
        ({"read_time": "5 ns"}, 1.88),
        ({"read_time": "50 ns"}, 0.50),
        ({"ones": 2}, 1.90),
        ({"microsiemens": (0.5, 5.0)}, 2.45),
        ({"microsiemens": (5.0, 150.0)}, 0.98),
    ],
)
def test_sensitivities(tmp_path: Path, changes: dict[str, Any], tops_per_w: float) -> None:
    total = sum(picojoules(tmp_path, **changes).values())
    assert 2 * 2048 / total == pytest.approx(tops_per_w, rel=0.05)
