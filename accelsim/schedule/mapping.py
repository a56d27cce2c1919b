"""How matrices lie on crossbar tiles: cut, padded, bit-sliced, replicated, counted; no values, no time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from accelsim.errors import InputError, Problem
from accelsim.kernels.crossbar import Sign, planes_of

SMALLEST_TILE, LARGEST_TILE = 64, 512
LARGEST_WEIGHT_BITS = 16


@dataclass(frozen=True)
class Matrix:
    """A matrix to be mapped: ``inputs`` x ``outputs`` signed weights of ``weight_bits``.

    ``depthwise``: every output is a column of its own with ``inputs`` taps, outside the tiles. ``copies``: how often
    the matrix is programmed, so that as many frames are worked on at a time. ``planes``: how many planes are provided,
    to be checked; as many as the weights need when it is not given.
    """

    name: str
    inputs: int
    outputs: int
    weight_bits: int
    depthwise: bool = False
    copies: int = 1
    planes: int | None = None


@dataclass(frozen=True)
class TileMapping:
    """A matrix on tiles of ``tile_rows`` x ``tile_columns`` cells of ``cell_bits``.

    ``first_tile``: number of its first tile; a copy's tiles follow those of the copy before, and within a copy tile
    (k, m) is k * column_tiles + m further on.
    """

    matrix: Matrix
    tile_rows: int
    tile_columns: int
    cell_bits: int
    sign: Sign
    first_tile: int = 0

    @property
    def planes(self) -> int:
        """Return the planes of a weight: ceil((weight_bits - 1) / cell_bits), with an offset column of one bit more."""
        return planes_of(self.matrix.weight_bits, self.cell_bits, self.sign)

    @property
    def row_tiles(self) -> int:
        """Return the tiles below each other, ceil(inputs / tile_rows); a depthwise column is never cut."""
        return 1 if self.matrix.depthwise else -(-self.matrix.inputs // self.tile_rows)

    @property
    def column_tiles(self) -> int:
        """Return the tiles beside each other, ceil(outputs / tile_columns)."""
        return -(-self.matrix.outputs // self.tile_columns)

    @property
    def numbers(self) -> int:
        """Return how many tile numbers are taken; depthwise columns take one for ``tile_columns`` of them."""
        return self.matrix.copies * self.row_tiles * self.column_tiles

    def tile_numbers(self) -> range:
        """Return the numbers of its tiles on the chip, those of all copies."""
        return range(self.first_tile, self.first_tile + self.numbers)

    def place(self, tile: int) -> tuple[int, int, int]:
        """Return copy, row and column of a tile by its number on the chip."""
        copy, within = divmod(tile - self.first_tile, self.row_tiles * self.column_tiles)
        return copy, *divmod(within, self.column_tiles)

    @property
    def tiles(self) -> int:
        """Return the tiles of all copies; depthwise columns take none."""
        return 0 if self.matrix.depthwise else self.numbers

    @property
    def arrays(self) -> int:
        """Return the arrays: one per tile and plane, two with differential pairs."""
        return self.tiles * self.planes * self._arrays_per_plane

    @property
    def columns(self) -> int:
        """Return the single columns outside the tiles: one per channel, plane and sign of a depthwise matrix."""
        depthwise = self.matrix.outputs * self.matrix.copies if self.matrix.depthwise else 0
        return depthwise * self.planes * self._arrays_per_plane

    @property
    def cells(self) -> int:
        """Return all cells, those of offset columns included (one more column per array)."""
        if self.matrix.depthwise:
            return self.columns * self.matrix.inputs
        columns = self.tile_columns + (1 if self.sign == "offset" else 0)
        return self.arrays * self.tile_rows * columns

    @property
    def cells_used(self) -> int:
        """Return the cells that belong to a weight or to its offset."""
        if self.matrix.depthwise:
            return self.cells
        columns = self.matrix.outputs + (self.column_tiles if self.sign == "offset" else 0)
        return self.matrix.copies * self.matrix.inputs * columns * self.planes * self._arrays_per_plane

    @property
    def cells_padded(self) -> int:
        """Return the cells that only fill up a tile."""
        return self.cells - self.cells_used

    @property
    def conversions_per_frame(self) -> int:
        """Return the conversions per frame and DAC phase: one per plane, row of tiles and output; copies take turns."""
        return self.row_tiles * self.planes * self.matrix.outputs

    @property
    def _arrays_per_plane(self) -> int:
        return 2 if self.sign == "pair" else 1

    def row(self) -> dict[str, int | str]:
        """Return the mapping as one row of a table."""
        return {
            "matrix": self.matrix.name,
            "inputs": self.matrix.inputs,
            "outputs": self.matrix.outputs,
            "copies": self.matrix.copies,
            "planes": self.planes,
            "tiles": self.tiles,
            "arrays": self.arrays,
            "columns": self.columns,
            "cells": self.cells,
            "used": self.cells_used,
            "padded": self.cells_padded,
            "conversions per vector": self.conversions_per_frame,
        }


Total = Literal["tiles", "arrays", "columns", "cells", "cells_used", "cells_padded"]


@dataclass(frozen=True)
class TileMap:
    """All matrices of a network on tiles of one size."""

    mappings: tuple[TileMapping, ...]

    def total(self, what: Total) -> int:
        """Return the sum of a count over all matrices."""
        return sum(getattr(mapping, what) for mapping in self.mappings)

    def conversions_per_frame(self, depthwise: bool | None = None) -> int:
        """Return the conversions per frame and phase: of all matrices, or of those that are (not) depthwise."""
        chosen = (m for m in self.mappings if depthwise is None or m.matrix.depthwise == depthwise)
        return sum(mapping.conversions_per_frame for mapping in chosen)

    def table(self) -> list[dict[str, int | str]]:
        """Return one printable row per matrix and a last one with the sums."""
        rows = [mapping.row() for mapping in self.mappings]
        summed = ("tiles", "arrays", "columns", "cells", "used", "padded", "conversions per vector")
        last: dict[str, int | str] = {"matrix": "all"}
        for key in summed:
            last[key] = sum(int(row[key]) for row in rows)
        return [*rows, last]


def map_matrices(
    matrices: Iterable[Matrix],
    *,
    tile_rows: int = 128,
    tile_columns: int = 128,
    cell_bits: int = 1,
    sign: Sign = "pair",
    tiles: int | None = None,
) -> TileMap:
    """Lay matrices onto tiles one after the other; ``tiles``: how many the chip has.

    Raises InputError with everything that does not fit: tiles of an impossible size, weights out of range, more planes
    than bits, a depthwise column longer than a tile or with an offset, a matrix larger than the chip.
    """
    listed = list(matrices)
    problems = [*_tile_problems(tile_rows, tile_columns, cell_bits)]
    if problems:
        raise InputError(problems)
    placed: list[TileMapping] = []
    first = 0
    for matrix in listed:
        found = list(_matrix_problems(matrix, tile_rows, cell_bits, sign))
        problems += found
        if not found:
            placed.append(TileMapping(matrix, tile_rows, tile_columns, cell_bits, sign, first))
            first += placed[-1].numbers
    problems += _size_problems(placed, tiles)
    if problems:
        raise InputError(problems)
    return TileMap(tuple(placed))


def _tile_problems(tile_rows: int, tile_columns: int, cell_bits: int) -> Iterable[Problem]:
    for what, size in (("rows", tile_rows), ("columns", tile_columns)):
        if not SMALLEST_TILE <= size <= LARGEST_TILE:
            yield Problem(f"a tile must have from {SMALLEST_TILE} to {LARGEST_TILE} {what}, found {size}")
    if not 1 <= cell_bits <= 6:
        yield Problem(f"a cell must have from 1 to 6 bits, found {cell_bits}")


def _matrix_problems(matrix: Matrix, tile_rows: int, cell_bits: int, sign: Sign) -> Iterable[Problem]:
    name = f"matrix '{matrix.name}'"
    if matrix.inputs < 1 or matrix.outputs < 1 or matrix.copies < 1:
        yield Problem(f"{name}: inputs, outputs and copies must be at least 1")
        return
    if not 1 <= matrix.weight_bits <= LARGEST_WEIGHT_BITS:
        yield Problem(f"{name}: weights must have from 1 to {LARGEST_WEIGHT_BITS} bits, found {matrix.weight_bits}")
        return
    needed = planes_of(matrix.weight_bits, cell_bits, sign)
    bits = planes_of(matrix.weight_bits, 1, sign)
    if matrix.planes is not None and matrix.planes > bits:
        yield Problem(f"{name}: more planes than bits: {matrix.planes} planes for {bits} bits of a weight")
    elif matrix.planes is not None and matrix.planes != needed:
        yield Problem(f"{name}: {bits} bits in cells of {cell_bits} need {needed} planes, found {matrix.planes}")
    if matrix.depthwise and matrix.inputs > tile_rows:
        yield Problem(f"{name}: a depthwise column of {matrix.inputs} taps is longer than a tile of {tile_rows} rows")
    if matrix.depthwise and sign == "offset":
        yield Problem(f"{name}: depthwise columns have no inputs in common, so they cannot share an offset column")


def _size_problems(placed: Sequence[TileMapping], tiles: int | None) -> Iterable[Problem]:
    if tiles is None:
        return
    for mapping in placed:
        if mapping.tiles > tiles:
            yield Problem(
                f"matrix '{mapping.matrix.name}' is larger than the chip: it needs {mapping.tiles} tiles of {tiles}"
            )
    taken = list(itertools.accumulate(mapping.tiles for mapping in placed))
    if placed and taken[-1] > tiles:
        without = next(m.matrix.name for m, sum_so_far in zip(placed, taken, strict=True) if sum_so_far > tiles)
        yield Problem(
            f"the matrices need {taken[-1]} tiles, the chip has {tiles}: {taken[-1] - tiles} are missing, from matrix "
            f"'{without}' on"
        )
