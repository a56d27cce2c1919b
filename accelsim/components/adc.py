"""Analogue-to-digital converters: shared by columns, each converts one of them at a time."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from accelsim.components.abstract import AdcTransfer, Converter
from accelsim.components.kind import TILE_COUNTS, Counts, component_kind, cycles_of, of_busiest, rows_of
from accelsim.kernels.converters import LARGEST_ADC_BITS
from accelsim.schema import Effect, PositiveFrequency


class Adc(Converter):
    """``units`` converters in each of ``tiles`` tiles, each shared by ``shared_by`` columns.

    Codes have ``precision_bits`` after the point and ``range_bits`` before it, see `accelsim.kernels.converters`.
    ``rate``: conversions per second that one unit is built for, with all of its bits. It decides the price, and a
    conversion takes ``cycles_per_conversion`` cycles or as many as 1 / rate does, whichever are more.
    """

    kind: Literal["adc"]
    effects = {
        "precision_bits": Effect(values="either", counts="either", cycles="more", energy="more", area="more"),
        "range_bits": Effect(
            values="either", counts="either", cycles="more", energy="more", area="more", spare="a range beyond all sums"
        ),
        "rate": Effect(cycles="less", energy="either", area="more", spare="faster than its clock asks"),
        "cycles_per_conversion": Effect(cycles="more", spare="fewer than its rate takes"),
    }
    precision_bits: Annotated[int, Ge(0), Le(16)]
    range_bits: Annotated[int, Ge(1), Le(16)]
    ideal: bool = False
    rate: PositiveFrequency
    cycles_per_conversion: PositiveInt = 1

    @model_validator(mode="after")
    def _few_enough_bits(self) -> Self:
        if self.resolution() > LARGEST_ADC_BITS:
            found = f"{self.precision_bits} + {self.range_bits}"
            message = f"'precision_bits' and 'range_bits' must be at most {LARGEST_ADC_BITS} together, found {found}"
            raise ValueError(message)
        return self

    def clocked(self, frequency: float) -> Self:
        """Return the converters with the cycles of a conversion: max(cycles_per_conversion, ceil(frequency / rate))."""
        cycles = max(self.cycles_per_conversion, cycles_of("rate", 1 / self.rate, frequency))
        return self.model_copy(update={"cycles_per_conversion": cycles})

    def instances(self) -> int:
        return self.tiles * self.units

    def resolution(self) -> int:
        return self.precision_bits + self.range_bits

    def decisions(self) -> tuple[int, float]:
        """Return one decision a bit, and one time for the sample: successive approximation; and the rate."""
        return self.resolution() + 1, self.rate

    def transfer(self, changes: dict[str, int]) -> AdcTransfer:
        bits = {"precision_bits": self.precision_bits, "range_bits": self.range_bits, **changes}
        return AdcTransfer(bits["precision_bits"], bits["range_bits"], self.ideal)

    def pass_cycles(self) -> int:
        return self.shared_by * self.cycles_per_conversion

    def dimensions(self) -> dict[str, float]:
        return super().dimensions() | {"bits": self.precision_bits + self.range_bits, "rate": self.rate}

    def flip_flops(self) -> int:
        """Return 2 bits: the register of the code, and as many steps of the sequencer."""
        return 2 * self.resolution()


def service_cycles(spec: Adc, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = rows * min(shared_by, conversions of the busiest tile) * cycles_per_conversion."""
    conversions = np.minimum(spec.shared_by, of_busiest(counts, "convert"))
    return rows_of(counts) * conversions * spec.cycles_per_conversion


component_kind("adc", Adc, {"convert": "one column converted"}, service_cycles, TILE_COUNTS)
