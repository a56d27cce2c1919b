"""Tiles, arrays, cells and conversions of the Conformers of arXiv 2505.24721 and 2606.13379, by hand.

A matrix of I x O takes ceil(I / 128) ceil(O / 128) tiles, each of b - 1 planes and two signs of arrays; a frame of
40 ms takes ceil(I / 128) O (b - 1) conversions of it. Depthwise columns: 2 (b - 1) a channel, one conversion a pair.
"""

from __future__ import annotations

import functools

import pytest

from accelsim.architecture import load_architecture
from accelsim.schedule import build_schedule
from accelsim.schedule.mapping import TileMap
from accelsim.workload import Workload, load_workload

# width 384 (3 tiles), feed-forward 1536 (12): four of 3 x 12; qkv 3 x 9, out 3 x 3, pointwise 3 x 6 and 3 x 3
TILES_42M = {"ff": 4 * 3 * 12, "qkv": 3 * 9, "out": 3 * 3, "pointwise1": 3 * 6, "pointwise2": 3 * 3}
# width 512 (4 tiles), feed-forward 2048 (16): four of 4 x 16; qkv 4 x 12, out and linear_pos 4 x 4, pointwise 4 x 8 and
# 4 x 4
TILES_77M = {
    "ff": 4 * 4 * 16, "qkv": 4 * 12, "out": 4 * 4, "linear_pos": 4 * 4, "pointwise1": 4 * 8, "pointwise2": 4 * 4
}  # fmt: skip


@functools.cache
def network(name: str, bits: int) -> Workload:
    """Return a shape with weights drawn anew."""
    return load_workload(f"conformer_{name}", {"graph.blocks.weight_bits": str(bits)})


def tile_map(name: str, bits: int) -> TileMap:
    planes = str(bits - 1)
    units = str(-(-128 * (bits - 1) // 64))
    chip = {"components.crossbar.planes": planes, "components.adc.units": units}
    found = build_schedule(network(name, bits), load_architecture(f"memristor_conformer_{name}", chip)).tile_map
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("bits", "arrays", "conversions", "depthwise"),
    [(3, 9_936, 635_904, 9_216), (4, 14_904, 953_856, 13_824), (8, 34_776, 2_225_664, 32_256)],
)
def test_42m(bits: int, arrays: int, conversions: int, depthwise: int) -> None:
    """207 tiles a block, 2,484 in all; of 36 depthwise groups none counts as a tile."""
    assert sum(TILES_42M.values()) == 207
    found = tile_map("42m", bits)
    assert found.total("tiles") == 12 * 207 == 2_484
    assert found.total("arrays") == 2_484 * (bits - 1) * 2 == arrays
    # Rows of tiles times outputs: ff 3 x 1536 + 12 x 384 twice, qkv 3 x 1152, out 3 x 384, pointwise 3 x 768, 3 x 384.
    per_plane = 2 * (3 * 1536 + 12 * 384) + 3 * 1152 + 3 * 384 + 3 * 768 + 3 * 384
    assert found.conversions_per_frame(depthwise=False) == 12 * per_plane * (bits - 1) == conversions
    assert found.conversions_per_frame(depthwise=True) == 12 * 384 * (bits - 1) == depthwise
    assert found.total("columns") == 12 * 384 * (bits - 1) * 2


@pytest.mark.parametrize(
    ("bits", "arrays", "conversions", "depthwise"),
    [(4, 27_648, 1_769_472, 18_432), (8, 64_512, 4_128_768, 43_008)],
)
def test_77m(bits: int, arrays: int, conversions: int, depthwise: int) -> None:
    """384 tiles a block, 4,608 in all; 27,648 arrays of 16,384 cells at 4 bits are 453 M, 64,512 at 8 bits 1.057 G."""
    assert sum(TILES_77M.values()) == 384
    found = tile_map("77m", bits)
    assert found.total("tiles") == 12 * 384 == 4_608
    assert found.total("arrays") == 4_608 * (bits - 1) * 2 == arrays
    assert found.total("cells") - 31 * found.total("columns") == arrays * 16_384
    per_plane = 2 * (4 * 2048 + 16 * 512) + 4 * 1536 + 2 * 4 * 512 + 4 * 1024 + 4 * 512
    assert found.conversions_per_frame(depthwise=False) == 12 * per_plane * (bits - 1) == conversions
    assert found.conversions_per_frame(depthwise=True) == 12 * 512 * (bits - 1) == depthwise


@pytest.mark.parametrize(("name", "parameters"), [("42m", 42.07e6), ("77m", 77.3e6)])
def test_parameters(name: str, parameters: float) -> None:
    """Weights, biases, gains, biases of attention: the paper's within 1 %; its output layer is not published."""
    tensors = network(name, 4).tensors
    counted = sum(t.size for key, t in tensors.items() if not key.endswith("_scale"))
    assert counted == pytest.approx(parameters, rel=0.01)
