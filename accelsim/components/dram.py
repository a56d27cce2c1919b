"""DRAM: the memory outside the chip (LPDDR4X, LPDDR5), with its interface on the chip."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from accelsim.components.kind import ComponentSpec, Counts, StandbyState, Width, component_kind
from accelsim.schema import Effect, PositiveDataSize, PositiveTime

_FINEST_SHARE = 10**6


class Dram(ComponentSpec):
    """``capacity``, of which ``width_bits`` are moved per cycle of its clock at the peak rate.

    Rows (pages) of ``row_bytes`` are opened before they are read; ``cycles_per_activate`` is the part of tRP + tRCD
    that other banks do not hide. For ``refresh_share`` of the time, tRFC / tREFI, it is refreshed and moves nothing.
    The power of refresh and standby is drawn whether there is work or not. ``power_down_after`` a job its clock stops,
    and the next job waits ``power_down_exit`` (tXP); ``self_refresh_after`` a job it refreshes itself, and the next one
    waits ``self_refresh_exit`` (tXSR). Unless they are given, the exits are those of LPDDR4 with 3 Gb a channel
    (JESD209-4: 7.5 ns, and tRFCab + 7.5 ns), and the waits of its controller 100 ns and 10 us, an assumption.
    """

    kind: Literal["dram"]
    effects = {
        "capacity": Effect(energy="more", area="more", spare="memory that nothing lies in"),
        "width_bits": Effect(counts="less", cycles="less", energy="more", area="more"),
        "row_bytes": Effect(
            counts="less", cycles="less", energy="more", area="more", given="the page of the data sheet"
        ),
        "cycles_per_activate": Effect(cycles="more", given="tRP + tRCD of the data sheet"),
        "refresh_share": Effect(cycles="more", given="tRFC / tREFI of the data sheet"),
        "power_down_after": Effect(cycles="less", energy="either", given="the idle timer of the memory's controller"),
        "power_down_exit": Effect(cycles="more", energy="either", given="tXP of the data sheet"),
        "self_refresh_after": Effect(cycles="less", energy="either", given="the idle timer of the memory's controller"),
        "self_refresh_exit": Effect(cycles="more", energy="either", given="tXSR of the data sheet"),
    }
    capacity: PositiveDataSize
    width_bits: Width
    row_bytes: PositiveInt
    cycles_per_activate: Annotated[int, Ge(0)]
    refresh_share: Annotated[float, Ge(0), Le(0.5)]
    power_down_after: PositiveTime = 100e-9
    power_down_exit: PositiveTime = 7.5e-9
    self_refresh_after: PositiveTime = 10e-6
    self_refresh_exit: PositiveTime = 187.5e-9

    @model_validator(mode="after")
    def _deeper_later(self) -> Dram:
        if self.self_refresh_after <= self.power_down_after:
            raise ValueError("expected self_refresh_after beyond power_down_after")
        return self

    def standby_states(self) -> tuple[StandbyState, ...]:
        return (
            StandbyState("active", 0.0, 0.0),
            StandbyState("power_down", self.power_down_after, self.power_down_exit),
            StandbyState("self_refresh", self.self_refresh_after, self.self_refresh_exit),
        )

    def words(self, bits: int) -> int:
        """Return the words of one transfer: ceil(bits / width_bits)."""
        return -(-bits // self.width_bits)

    def activates(self, bytes_: int) -> int:
        """Return the rows that a transfer opens which starts at the beginning of one: ceil(bytes / row_bytes)."""
        return -(-bytes_ // self.row_bytes)

    def moved_bits(self, counts: Mapping[str, int]) -> int:
        """Return width_bits * (reads + writes)."""
        return self.width_bits * (counts.get("read", 0) + counts.get("write", 0))

    def peak_bits_per_cycle(self) -> float:
        """Return width_bits, between refreshes and in an open row."""
        return self.width_bits

    def refresh(self) -> Fraction:
        """Return the cycles of refresh per cycle of work: s / (1 - s), the share s as it is written, to a millionth."""
        share = Fraction(repr(self.refresh_share)).limit_denominator(_FINEST_SHARE)
        return share / (1 - share)

    def dimensions(self) -> dict[str, float]:
        return super().dimensions() | {"gibibytes": self.capacity / 2**33}

    def flip_flops(self) -> int:
        """Return 0: its clock is part of its standby power."""
        return 0


def service_cycles(spec: Dram, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = work + ceil(work s / (1 - s)), work = reads + writes + cycles_per_activate * activates.

    s: refresh_share, of all the time that a job takes. Jobs are shorter than the time between two refreshes; each bears
    its share of them.
    """
    work = counts["read"] + counts["write"] + spec.cycles_per_activate * counts["activate"]
    extra = spec.refresh()
    return work - (-work * extra.numerator // extra.denominator)


component_kind(
    "dram",
    Dram,
    {
        "read": "one word read, with its way over the interface",
        "write": "one word written, with its way over the interface",
        "activate": "one row opened and closed again",
    },
    service_cycles,
)
