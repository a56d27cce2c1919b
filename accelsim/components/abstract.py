"""What components can do for an engine, whatever their kind: store, convert, multiply, move.

An engine asks for a part by one of these classes, so that a new kind of memory, converter, array or network that
derives from one fits without an edit.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Width
from accelsim.kernels.converter_errors import ConverterErrors
from accelsim.kernels.converters import AdcTransfer
from accelsim.schema import Effect
from accelsim.schema.converters import MeasuredConverters


class Memory(ComponentSpec):
    """A memory; ``stores`` names what an engine keeps in it."""

    effects = {
        "width_bits": Effect(
            values="either",
            counts="either",
            cycles="either",
            energy="more",
            area="more",
            spare="wider words than values",
        ),
    }
    stores: str
    width_bits: Width

    @abstractmethod
    def capacity(self) -> int:
        """Return how many words it holds."""

    @abstractmethod
    def bits(self) -> int:
        """Return the capacity in bits."""

    def words_of(self, values: int, bits: int) -> int:
        """Return the words that values of so many bits take: one each, or several where a word is narrower."""
        return values * -(-bits // self.width_bits)

    def accesses(self, read: Any, write: Any, share: int = 1) -> dict[str, Any]:
        """Return the counts of reads and writes of words; ``share``: the number of equal parts of its banks."""
        return {"read": read, "write": write}


class Converter(ComponentSpec):
    """Converters of column currents: ``units`` in each of ``tiles`` tiles, each shared by ``shared_by`` columns.

    Counts: ``convert`` for every conversion, see `accelsim.components.kind.of_busiest` and `rows_of`.
    """

    effects = {
        "tiles": Effect(energy="more", area="more", spare="tiles that no matrix lies on"),
        "units": Effect(energy="more", area="more", spare="more converters than columns"),
        "shared_by": Effect(cycles="more", spare="more columns than there are"),
    }
    tiles: PositiveInt
    units: PositiveInt
    shared_by: PositiveInt

    @abstractmethod
    def resolution(self) -> int:
        """Return the bits of a code."""

    def decisions(self) -> tuple[int, float] | None:
        """Return how many decisions a conversion takes one after the other, and conversions per second; None: unbound.

        They limit how fast it can be, whatever its rate, see `accelsim.cost.window.fastest_decision`.
        """
        return None

    @abstractmethod
    def transfer(self, changes: dict[str, int]) -> AdcTransfer | Any:
        """Return the transfer function of one converter, with some of its bits changed.

        It is an `accelsim.kernels.converters.AdcTransfer`, or any object with ``bits`` and a method
        ``transfer(currents)`` that takes partial sums in weight units and returns what their codes stand for, and which
        of them clipped. Raises ValueError for bits that it has not.
        """

    def measured_name(self) -> str | None:
        """Return the name or path of a file of measured converters; None where there is none."""
        return None

    def assumptions(self, name: str) -> list[str]:
        """Return what of its numbers no source gives; ``name``: of the component."""
        return []

    def imperfections(
        self, seed: int, tiles: NDArray[np.int64], places: NDArray[np.int64], measured: MeasuredConverters | None
    ) -> ConverterErrors | None:
        """Return the errors of the converters of some tiles, unit by unit, tile by tile; None where they are perfect.

        ``tiles``: numbers of the tiles on the chip, from which draws follow; ``places``: numbers among the tiles that
        these converters stand in; ``measured``: what the file says that `measured_name` names.
        """
        return None


class Interconnect(ComponentSpec):
    """Wires that carry words of ``width_bits`` from one place of a chip to another."""

    effects = {
        "width_bits": Effect(counts="less", cycles="less", energy="more", area="more"),
    }
    width_bits: Width

    @abstractmethod
    def way(self, name: str, start: int, end: int) -> tuple[str, ...]:
        """Return what a transfer between two places occupies, by the interconnect's name: itself, or its links."""

    @abstractmethod
    def transfers(self, words: Any, links: int) -> dict[str, Any]:
        """Return the counts of a transfer of words on each of the links of its way."""

    def places(self) -> int | None:
        """Return how many places it joins, where that is limited."""
        return None

    def words(self, bits: int) -> int:
        """Return the words of one transfer: ceil(bits / width_bits)."""
        return -(-bits // self.width_bits)


class MatrixArray(ComponentSpec):
    """Integer multipliers that meet several inputs with several outputs at a time.

    Counts: ``mac`` and ``add``, ``blocks`` for time.
    """

    effects = {
        "input_bits": Effect(values="either", energy="more", area="more", spare="wider factors than codes"),
        "weight_bits": Effect(values="either", energy="more", area="more", spare="wider factors than weights"),
    }
    input_bits: int
    weight_bits: int

    @abstractmethod
    def blocks(self, inputs: int, outputs: int) -> int:
        """Return how many blocks, of one step each, a vector takes through a matrix."""

    def sum_bits(self) -> int | None:
        """Return the bits of a signed sum, which must hold every sum; None where they hold any."""
        return None

    def steps(self, macs: int) -> int:
        """Return the blocks of so many multiplications that share no inputs: ceil(macs / multipliers)."""
        return -(-macs // self.multipliers())


__all__ = ["AdcTransfer", "Converter", "Interconnect", "MatrixArray", "Memory"]
