"""Matrices on tiles: the counts of the two papers, any tile size, and messages."""

from __future__ import annotations

import pytest

from accelsim.errors import InputError
from accelsim.schedule.mapping import Matrix, map_matrices


def conformer(width: int, forward: int, bits: int, blocks: int, positions: bool) -> list[Matrix]:
    """The mapped matrices of a Conformer: feed-forward twice, attention, convolution."""
    layers = [
        ("ff1.in", width, forward), ("ff1.out", forward, width),
        ("ff2.in", width, forward), ("ff2.out", forward, width),
        ("qkv", width, 3 * width), ("out", width, width), ("pw1", width, 2 * width), ("pw2", width, width),
    ]  # fmt: skip
    if positions:
        layers.append(("linear_pos", width, width))
    matrices = []
    for block in range(blocks):
        matrices += [Matrix(f"{block}.{name}", rows, columns, bits) for name, rows, columns in layers]
        matrices.append(Matrix(f"{block}.depthwise", 31, width, bits, depthwise=True))
    return matrices


# arXiv 2505.24721: 207 tiles a layer, 2,484 in all; arrays and conversions per frame by weight bits.
@pytest.mark.parametrize(
    ("bits", "arrays", "conversions", "depthwise"),
    [(3, 9_936, 635_904, 9_216), (4, 14_904, 953_856, 13_824), (8, 34_776, 2_225_664, 32_256)],
)
def test_counts_of_the_conformer_without_positions(bits: int, arrays: int, conversions: int, depthwise: int) -> None:
    assert map_matrices(conformer(384, 1536, bits, 1, False)).total("tiles") == 207
    chip = map_matrices(conformer(384, 1536, bits, 12, False))
    assert chip.total("tiles") == 2_484
    assert chip.total("arrays") == arrays
    assert chip.conversions_per_frame(depthwise=False) == conversions
    assert chip.conversions_per_frame(depthwise=True) == depthwise
    assert chip.total("cells_padded") == 0


# arXiv 2606.13379: 384 tiles a block, 4,608 in all.
@pytest.mark.parametrize(
    ("bits", "arrays", "cells", "conversions", "depthwise"),
    [(4, 27_648, 453e6, 1_769_472, 18_432), (8, 64_512, 1.057e9, 4_128_768, 43_008)],
)
def test_counts_of_the_conformer_with_positions(
    bits: int, arrays: int, cells: float, conversions: int, depthwise: int
) -> None:
    chip = map_matrices(conformer(512, 2048, bits, 12, True))
    assert map_matrices(conformer(512, 2048, bits, 1, True)).total("tiles") == 384
    assert chip.total("tiles") == 4_608
    assert chip.total("arrays") == arrays
    assert sum(m.cells for m in chip.mappings if not m.matrix.depthwise) == pytest.approx(cells, rel=1e-3)
    assert chip.conversions_per_frame(depthwise=False) == conversions
    assert chip.conversions_per_frame(depthwise=True) == depthwise


@pytest.mark.parametrize("rows", [64, 100, 128, 256, 512])
@pytest.mark.parametrize("sign", ["pair", "offset"])
def test_cells_are_used_or_padded(rows: int, sign) -> None:
    mapping = map_matrices(
        [Matrix("a", 300, 130, 5)], tile_rows=rows, tile_columns=64, cell_bits=2, sign=sign
    ).mappings[0]
    assert mapping.row_tiles == -(-300 // rows) and mapping.column_tiles == 3
    assert mapping.planes == (2 if sign == "pair" else 3)
    used = 300 * (130 * 2 * 2 if sign == "pair" else (130 + 3) * 3)
    assert mapping.cells_used == used
    assert mapping.cells_padded == mapping.arrays * rows * (64 if sign == "pair" else 65) - used


def test_copies_take_tiles_but_no_conversions() -> None:
    chip = map_matrices([Matrix("a", 128, 128, 4), Matrix("b", 200, 256, 4, copies=3)])
    a, b = chip.mappings
    assert (a.tile_numbers(), b.tile_numbers()) == (range(0, 1), range(1, 13))
    assert chip.total("tiles") == 1 + 2 * 2 * 3
    assert b.conversions_per_frame == 2 * 256 * 3
    assert [b.place(tile) for tile in (1, 2, 3, 5, 12)] == [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (2, 1, 1)]


def test_the_table_ends_with_its_sums() -> None:
    rows = map_matrices(conformer(384, 1536, 4, 1, False)).table()
    assert rows[-1]["tiles"] == 207 and rows[-1]["columns"] == 384 * 3 * 2
    assert [row["matrix"] for row in rows][-2:] == ["0.depthwise", "all"]


@pytest.mark.parametrize(
    ("matrices", "options", "message"),
    [
        ([Matrix("a", 8, 8, 4, planes=5)], {}, "matrix 'a': more planes than bits: 5 planes for 3 bits of a weight"),
        ([Matrix("a", 8, 8, 5, planes=3)], {"cell_bits": 2}, "4 bits in cells of 2 need 2 planes, found 3"),
        ([Matrix("a", 8, 8, 0)], {}, "weights must have from 1 to 16 bits, found 0"),
        ([Matrix("a", 0, 8, 4)], {}, "inputs, outputs and copies must be at least 1"),
        ([Matrix("a", 1000, 1000, 4)], {"tiles": 9}, "matrix 'a' is larger than the chip: it needs 64 tiles of 9"),
        (
            [Matrix("a", 128, 128, 4)] * 3,
            {"tiles": 2},
            "the matrices need 3 tiles, the chip has 2: 1 are missing, from matrix 'a' on",
        ),
        ([Matrix("a", 129, 8, 4, depthwise=True)], {}, "column of 129 taps is longer than a tile of 128 rows"),
        ([Matrix("a", 31, 8, 4, depthwise=True)], {"sign": "offset"}, "cannot share an offset column"),
        ([], {"tile_rows": 32}, "a tile must have from 64 to 512 rows, found 32"),
        ([], {"cell_bits": 7}, "a cell must have from 1 to 6 bits, found 7"),
    ],
)
def test_what_does_not_fit_is_named(matrices, options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        map_matrices(matrices, **options)


def test_all_problems_at_once() -> None:
    with pytest.raises(InputError) as caught:
        map_matrices([Matrix("a", 8, 8, 4, planes=5), Matrix("b", 8, 8, 0)])
    assert len(caught.value.problems) == 2
