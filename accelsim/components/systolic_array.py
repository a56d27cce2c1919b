"""Systolic array: multiply-accumulators that hand their operands on to the next, so that each word is read once."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from accelsim.components.kind import ComponentSpec, Counts, component_kind
from accelsim.schema import Effect

_OPERAND_BITS = {"int8": 8, "float16": 16}
_SUM_BITS = {"int32": 32, "float32": 32, "float16": 16}
_SUMS_OF = {"int8": ("int32",), "float16": ("float32", "float16")}


class SystolicArray(ComponentSpec):
    """R = ``rows`` x C = ``columns`` elements for [m, k] x [k, n]: operands of ``number``, sums of ``accumulator``.

    ``weight_stationary``: a tile is R of k by C of n. Its weights are shifted in from the top, one row a cycle, R
    cycles. Then row j of the inputs enters from the left, word i in row i in cycle j + i; PE (i, c) adds
    x[j, i] w[i, c] to the sum from above in cycle j + i + c, and the sum leaves the bottom of column c in cycle
    j + R - 1 + c: m + R + C - 2 cycles. Where k > R, tile after tile of k is added in ``accumulator_rows`` x C
    accumulators below the array, in the cycle in which its sums leave; a product of more rows than those is done in
    blocks of rows, which load their weights anew.

    ``output_stationary``: a tile is R of m by C of n. Word q of input row i enters from the left in cycle q + i, word q
    of weight column c from the top in cycle q + c; PE (i, c) adds x[i, q] w[q, c] in cycle q + i + c: k + R + C - 2
    cycles. Then the sums are shifted out at the bottom, one row a cycle, R cycles.

    Without ``double_buffered`` a tile begins when the array is empty. With it, every PE has a second weight register
    (weight stationary) or a second sum (output stationary). The next tile's weights are shifted in behind the present
    one's inputs, column c a cycle after column c - 1, and a PE takes them over with the first input of their tile; or
    the sums are shifted out while the next tile is summed, column by column. A tile then begins max(m, R) or max(k, R)
    cycles after the one before it: its weights, or the sums of the one before, need the column for R cycles.

    Tiles at the edge are padded with zeros, and take as long as whole ones.
    """

    kind: Literal["systolic_array"]
    effects = {
        "rows": Effect(
            counts="either", cycles="either", energy="either", area="more", spare="more than the matrices have"
        ),
        "columns": Effect(
            counts="either", cycles="either", energy="either", area="more", spare="more than the matrices have"
        ),
        "accumulator_rows": Effect(
            counts="less", cycles="less", energy="more", area="more", spare="more rows than products have"
        ),
    }
    rows: PositiveInt
    columns: PositiveInt
    dataflow: Literal["weight_stationary", "output_stationary"]
    number: Literal["int8", "float16"]
    accumulator: Literal["int32", "float32", "float16"]
    double_buffered: bool = True
    accumulator_rows: PositiveInt = 256
    """Sums that each column can keep below the array; for ``weight_stationary`` alone."""

    @model_validator(mode="after")
    def _sums_of_operands(self) -> SystolicArray:
        if self.accumulator not in _SUMS_OF[self.number]:
            allowed = " or ".join(_SUMS_OF[self.number])
            raise ValueError(f"expected an accumulator of {allowed} for {self.number}, found {self.accumulator}")
        return self

    def instances(self) -> int:
        return self.rows * self.columns

    def multipliers(self) -> int:
        return self.rows * self.columns

    def operand_bits(self) -> int:
        """Return the bits of an input or a weight."""
        return _OPERAND_BITS[self.number]

    def sum_bits(self) -> int:
        """Return the bits of a sum."""
        return _SUM_BITS[self.accumulator]

    def blocks(self, m: int, k: int) -> int:
        """Return the blocks of rows that a product is done in: ceil(m / accumulator_rows) where k > R, else 1."""
        if self.dataflow == "output_stationary" or k <= self.rows:
            return 1
        return -(-m // self.accumulator_rows)

    def tiles(self, m: int, k: int, n: int) -> int:
        """Return ceil(k / R) ceil(n / C) blocks (weight stationary) or ceil(m / R) ceil(n / C) (output stationary)."""
        if 0 in (m, k, n):
            return 0
        down = k if self.dataflow == "weight_stationary" else m
        return -(-down // self.rows) * -(-n // self.columns) * self.blocks(m, k)

    def cycles(self, m: int, k: int, n: int) -> int:
        """Return the cycles of a product [m, k] x [k, n], with T tiles of length L: m (weight stationary) or k.

        Not buffered: T (L + 2 R + C - 2). Double buffered: (T - 1) max(L, R) + L + 2 R + C - 2, with the weights of the
        first tile in front or the sums of the last one behind. In blocks of rows, L is that of each block.
        """
        tiles = self.tiles(m, k, n)
        if tiles == 0:
            return 0
        blocks = self.blocks(m, k)
        if self.dataflow == "output_stationary":
            length = last = k
        else:
            length = self.accumulator_rows if blocks > 1 else m
            last = m - (blocks - 1) * length
        short = tiles // blocks  # tiles of the last block, which may have fewer rows
        full = tiles - short
        around = 2 * self.rows + self.columns - 2
        if not self.double_buffered:
            return full * (length + around) + short * (last + around)
        return full * max(length, self.rows) + (short - 1) * max(last, self.rows) + last + around

    def utilisation(self, m: int, k: int, n: int) -> float:
        """Return m k n / (R C cycles), the share of multiplications that it could have done; 0 for an empty product."""
        cycles = self.cycles(m, k, n)
        return m * k * n / (self.multipliers() * cycles) if cycles else 0.0

    def input_words(self, m: int, k: int, n: int) -> int:
        """Return how many inputs are read: m k ceil(n / C), every input once for each column of tiles."""
        return m * k * -(-n // self.columns)

    def weight_words(self, m: int, k: int, n: int) -> int:
        """Return how many weights are read: k n blocks (weight stationary) or k n ceil(m / R) (output stationary)."""
        if m == 0:
            return 0
        return k * n * (self.blocks(m, k) if self.dataflow == "weight_stationary" else -(-m // self.rows))

    def output_words(self, m: int, k: int, n: int) -> int:
        """Return how many sums it hands on to others: m n."""
        return m * n

    def counts(self, m: int, k: int, n: int) -> dict[str, int]:
        """Return what happens in a product: its ``cycles`` and how often each action is done.

        mac = m k n; stream = inputs and weights that are read. Padding is gated, and counts nothing.
        Weight stationary: a weight for row i of a tile passes i + 1 registers, which gives ``load`` r (r + 1) / 2 for a
        column of r weights; accumulate = m n (ceil(k / R) - 1); ``drain``: sums go on through the rows of the padding.
        Output stationary: a weight passes a register for each mac; ``drain``: a sum of row i passes R - i registers.
        """
        if 0 in (m, k, n):
            return dict.fromkeys(("cycles", "mac", "load", "stream", "accumulate", "drain"), 0)
        rows, macs = self.rows, m * k * n
        if self.dataflow == "weight_stationary":
            tiles, (whole, part) = -(-k // rows), divmod(k, rows)
            load = (whole * rows * (rows + 1) + part * (part + 1)) // 2 * n * self.blocks(m, k)
            accumulate, drain = m * n * (tiles - 1), m * n * (tiles * rows - k)
        else:
            whole, part = divmod(m, rows)
            load, accumulate = macs, 0
            drain = (whole * rows * (rows + 1) + part * (2 * rows - part + 1)) // 2 * n
        return {
            "cycles": self.cycles(m, k, n),
            "mac": macs,
            "load": load,
            "stream": self.input_words(m, k, n) + self.weight_words(m, k, n),
            "accumulate": accumulate,
            "drain": drain,
        }

    def dimensions(self) -> dict[str, float]:
        stationary = self.dataflow == "weight_stationary"
        return super().dimensions() | {
            "number_bits": self.operand_bits(),
            "sum_bits": self.sum_bits(),
            "mac_bits": self.operand_bits() + self.sum_bits(),  # 40, 48 or 32: tells the three formats apart
            "accumulator_bits": self.accumulator_rows * self.sum_bits() / self.rows if stationary else 0,  # of one PE
            "second_bits": self._second_bits(),
        }

    def _second_bits(self) -> int:
        """Return the bits of a PE's second register."""
        if not self.double_buffered:
            return 0
        return self.operand_bits() if self.dataflow == "weight_stationary" else self.sum_bits()

    def flip_flops(self) -> int:
        """Return the bits of a PE's input, weight, sum and second register."""
        return 2 * self.operand_bits() + self.sum_bits() + self._second_bits()


def service_cycles(spec: SystolicArray, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = those of the job's products, one after the other (``SystolicArray.cycles``)."""
    return counts["cycles"]


component_kind(
    "systolic_array",
    SystolicArray,
    {
        "mac": "one product added to a sum, with the registers of its input and its sum",
        "load": "one weight shifted into a register of a PE",
        "stream": "one input or weight moved from the memory's port to the edge of the array",
        "accumulate": "one partial sum written to the accumulators below the array and read again",
        "drain": "one sum shifted on by a row to which it adds nothing, or out of the array",
    },
    service_cycles,
    {"cycles": "cycles of the job's products, see `SystolicArray.cycles`"},
)
