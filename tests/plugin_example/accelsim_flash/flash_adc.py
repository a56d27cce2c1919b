"""Flash converters: a comparator for every threshold, so that a conversion takes one cycle whatever its bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Len
from numpy.typing import NDArray
from pydantic import model_validator

from accelsim.components import Effect, component_kind
from accelsim.components.abstract import Converter
from accelsim.components.kind import TILE_COUNTS, Counts, of_busiest, rows_of


@dataclass(frozen=True)
class Thresholds:
    """Code k of a current is the number of thresholds that it reaches; a code stands for the middle of its step."""

    at: tuple[float, ...]

    @property
    def bits(self) -> int:
        """Return the bits of a code."""
        return len(self.at).bit_length()

    def transfer(self, currents: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the values of the codes, and which currents lie outside the outer thresholds; any shape."""
        codes = np.searchsorted(self.at, currents, side="right")
        edges = np.array([self.at[0], *self.at, self.at[-1]])
        return (edges[codes] + edges[codes + 1]) / 2, (codes == 0) | (codes == len(self.at))


class FlashAdc(Converter):
    """``units`` in each of ``tiles`` tiles, each shared by ``shared_by`` columns, ``ways`` of which it takes at a time.

    ``thresholds``: where its code changes, ascending, in weight units.
    """

    kind: Literal["flash_adc"]
    effects = dict(
        thresholds=Effect(values="either", energy="more", area="more"), ways=Effect(cycles="less", area="more")
    )
    thresholds: Annotated[tuple[float, ...], Len(min_length=1)]
    ways: Annotated[int, Ge(1)] = 1

    @model_validator(mode="after")
    def _ascending(self) -> FlashAdc:
        if any(a >= b for a, b in zip(self.thresholds, self.thresholds[1:], strict=False)):
            raise ValueError("expected thresholds in ascending order")
        return self

    def instances(self) -> int:
        return self.tiles * self.units * self.ways

    def resolution(self) -> int:
        return Thresholds(self.thresholds).bits

    def transfer(self, changes: dict[str, int]) -> Thresholds:
        if changes:
            raise ValueError("the thresholds of a flash ADC cannot be set by its bits")
        return Thresholds(self.thresholds)

    def dimensions(self) -> dict[str, float]:
        return super().dimensions() | {"comparators": len(self.thresholds)}


def service_cycles(spec: FlashAdc, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = rows * ceil(min(shared_by, conversions of the busiest tile) / ways)."""
    return rows_of(counts) * -(-np.minimum(spec.shared_by, of_busiest(counts, "convert")) // spec.ways)


component_kind("flash_adc", FlashAdc, {"convert": "one column converted"}, service_cycles, TILE_COUNTS)
