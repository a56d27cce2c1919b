"""Golden figures of two papers' Conformers on 128 x 128 tiles: arXiv 2505.24721 and arXiv 2606.13379, all exact.

Tiles, arrays, cells and conversions are stated in the papers or follow from their mapping; see memristor_asr.md and
positional_encoding.md. Both papers convert once for every plane, row of tiles and output, in every frame of 40 ms.
"""

from __future__ import annotations

from functools import cache
from math import ceil

import numpy as np
import pytest
from graphs import counted, rows_in

from accelsim.architecture import load_architecture
from accelsim.engines.deploy import Deployment, deploy
from accelsim.schedule.mapping import TileMap
from accelsim.workload import load_workload

BLOCKS = 12
CELLS = 128 * 128


@cache
def deployed(paper: str, bits: int) -> tuple[Deployment, TileMap]:
    """Return a paper's network with weights of so many bits, as `--set` has it, on its chip with planes for them."""
    planes = bits - 1
    keys = {
        "components.crossbar.planes": str(planes), "components.adc.units": str(planes * 128 // 64),
        "components.sample_hold.units": str(planes * 128),
    }  # fmt: skip
    workload = load_workload(f"conformer_{paper}", {"graph.blocks.weight_bits": str(bits)})
    chip = load_architecture(f"memristor_conformer_{paper}", keys)
    deployment = deploy(workload, chip)
    return deployment, deployment.engines["crossbar_tiles"].map  # type: ignore[attr-defined]


# Matrices of a block, inputs x outputs. Tiles: ceil(inputs / 128) ceil(outputs / 128); conversions of a plane and
# frame: ceil(inputs / 128) outputs.
SMALL = {
    "ff1.linear1": (384, 1536),  # 3 x 12 = 36 tiles, 3 x 1536 = 4,608 conversions
    "ff1.linear2": (1536, 384),  # 12 x 3 = 36,       12 x 384 = 4,608
    "attention.qkv": (384, 1152),  # 3 x 9 = 27,       3 x 1152 = 3,456
    "attention.out": (384, 384),  # 3 x 3 = 9,         3 x 384 = 1,152
    "conv.pointwise1": (384, 768),  # 3 x 6 = 18,      3 x 768 = 2,304
    "conv.pointwise2": (384, 384),  # 3 x 3 = 9,       3 x 384 = 1,152
    "ff2.linear1": (384, 1536),  # 36, 4,608
    "ff2.linear2": (1536, 384),  # 36, 4,608: 207 tiles, 26,496 conversions
}
LARGE = {
    "ff1.linear1": (512, 2048),  # 4 x 16 = 64 tiles, 4 x 2048 = 8,192 conversions
    "ff1.linear2": (2048, 512),  # 16 x 4 = 64,       16 x 512 = 8,192
    "conv.pointwise1": (512, 1024),  # 4 x 8 = 32,     4 x 1024 = 4,096
    "conv.pointwise2": (512, 512),  # 4 x 4 = 16,      4 x 512 = 2,048
    "attention.qkv": (512, 1536),  # 4 x 12 = 48,      4 x 1536 = 6,144
    "attention.linear_pos": (512, 512),  # 16, 2,048
    "attention.out": (512, 512),  # 16, 2,048
    "ff2.linear1": (512, 2048),  # 64, 8,192
    "ff2.linear2": (2048, 512),  # 64, 8,192: 384 tiles, 49,152 conversions
}


@pytest.mark.parametrize(("paper", "bits", "matrices"), [("42m", 4, SMALL), ("77m", 4, LARGE)])
def test_the_matrices_of_a_block(paper: str, bits: int, matrices: dict[str, tuple[int, int]]) -> None:
    """All matrices lie on tiles but those of the front end and the output layer, and no others do."""
    _, tile_map = deployed(paper, bits)
    dense = [m for m in tile_map.mappings if not m.matrix.depthwise]
    sizes = {m.matrix.name: (m.matrix.inputs, m.matrix.outputs) for m in dense}
    assert sizes == {f"blocks.{i}.{name}": size for i in range(BLOCKS) for name, size in matrices.items()}
    for mapping in dense:
        inputs, outputs = sizes[mapping.matrix.name]
        assert mapping.tiles == ceil(inputs / 128) * ceil(outputs / 128)
    columns = {m.matrix.name: (m.matrix.inputs, m.matrix.outputs) for m in tile_map.mappings if m not in dense}
    width = matrices["attention.out"][0]
    assert columns == {f"blocks.{i}.conv.depthwise": (31, width) for i in range(BLOCKS)}


# Tiles x planes x 2, planes = bits - 1; conversions 12 x 26,496 or 12 x 49,152 a plane; depthwise 12 x width a plane.
@pytest.mark.parametrize(
    ("paper", "bits", "per_block", "tiles", "arrays", "conversions", "depthwise"),
    [
        ("42m", 3, 207, 2_484, 9_936, 635_904, 9_216),
        ("42m", 4, 207, 2_484, 14_904, 953_856, 13_824),
        ("42m", 8, 207, 2_484, 34_776, 2_225_664, 32_256),
        ("77m", 4, 384, 4_608, 27_648, 1_769_472, 18_432),
        ("77m", 8, 384, 4_608, 64_512, 4_128_768, 43_008),
    ],
)
def test_tiles_arrays_cells_and_conversions(
    paper: str, bits: int, per_block: int, tiles: int, arrays: int, conversions: int, depthwise: int
) -> None:
    deployment, tile_map = deployed(paper, bits)
    for block in range(BLOCKS):
        inside = [m for m in tile_map.mappings if m.matrix.name.startswith(f"blocks.{block}.")]
        assert sum(m.tiles for m in inside) == per_block
    assert tile_map.total("tiles") == tiles
    assert tile_map.total("arrays") == arrays
    assert tile_map.conversions_per_frame(depthwise=False) == conversions
    assert tile_map.conversions_per_frame(depthwise=True) == depthwise
    assert sum(m.cells for m in tile_map.mappings if not m.matrix.depthwise) == arrays * CELLS
    # A depthwise channel has a column of 31 cells for each plane and sign: twice the conversions of a frame.
    assert tile_map.total("columns") == 2 * depthwise
    assert tile_map.total("cells") == arrays * CELLS + 2 * depthwise * 31

    # What is counted in a run of 5 frames. The papers' figure has linear_pos in every frame; here it is evaluated once,
    # for the 9 distances between the frames of the longest utterance.
    names = [m.matrix.name for m in tile_map.mappings]
    watts = {n: np.zeros(9 if "linear_pos" in n else 5 * rows_in(deployment.network, n)) for n in names}
    conversions_of = counted(deployment, [5], watts).conversions
    once = sum(m.conversions_per_frame for m in tile_map.mappings if m.matrix.name.endswith("linear_pos"))
    assert once == (0 if paper == "42m" else 12 * 2_048 * (bits - 1))
    assert sum(made for made, _ in conversions_of.values()) == 5 * (conversions + depthwise - once) + 9 * once


def test_cells_of_the_77m_as_stated() -> None:
    """453 M at 4 bits, 1.057 G at 8: those of the arrays, without the depthwise columns."""
    million = {bits: deployed("77m", bits)[1].total("arrays") * CELLS / 1e6 for bits in (4, 8)}
    assert (round(million[4]), round(million[8])) == (453, 1_057)


@pytest.mark.parametrize(("paper", "numbers"), [("42m", 2_484 + 36), ("77m", 4_608 + 48)])
def test_the_chips_have_the_tiles_that_they_need(paper: str, numbers: int) -> None:
    """Those of the matrices, and of the depthwise columns 12 x 384 / 128 and 12 x 512 / 128."""
    deployment, tile_map = deployed(paper, 4)
    assert sum(m.numbers for m in tile_map.mappings) == numbers
    assert {part.tiles for part in deployment.chip.components().values() if hasattr(part, "tiles")} == {
        1,
        numbers,
    }  # 1: features
