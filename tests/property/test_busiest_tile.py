"""A job on several tiles: priced for all of them, as long as the busiest; against a loop over tiles and cycles."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.components import KINDS, ComponentSpec
from accelsim.components.adc import Adc
from accelsim.components.register_file import RegisterFile
from accelsim.components.shift_add import ShiftAdd

per_tile = st.lists(st.integers(0, 40), min_size=1, max_size=6)
sizes = st.integers(1, 9)


def adc(shared_by: int, cycles: int) -> Adc:
    sizes = {"tiles": 9, "units": 4, "shared_by": shared_by, "cycles_per_conversion": cycles}
    return Adc.model_validate({"kind": "adc", "precision_bits": 4, "range_bits": 4, "rate": "100 MHz", **sizes})


def cycles_of(spec: ComponentSpec, action: str, tiles: Sequence[int]) -> int:
    counts = {action: np.array([sum(tiles)]), "busiest": np.array([max(tiles)])}
    return int(KINDS[spec.kind].service_cycles(spec, counts)[0])


def loop(tiles: Sequence[int], done_in_a_cycle: Callable[[int], int]) -> int:
    """Return after how many cycles nothing is left in any tile, when all tiles work in every cycle."""
    left, cycles = list(tiles), 0
    while any(left):
        left = [max(n - done_in_a_cycle(n), 0) for n in left]
        cycles += 1
    return cycles


@given(per_tile, sizes, sizes)
def test_shift_and_add(tiles: list[int], units: int, adds: int) -> None:
    spec = ShiftAdd(kind="shift_add", tiles=9, units=units, width_bits=16, adds_per_cycle=adds)
    assert cycles_of(spec, "add", tiles) == loop(tiles, lambda _: units * adds)


@given(per_tile, sizes)
def test_register_file(tiles: list[int], writes: int) -> None:
    spec = RegisterFile(kind="register_file", stores="x", entries=40, tiles=9, width_bits=8, writes_per_cycle=writes)
    assert cycles_of(spec, "write", tiles) == loop(tiles, lambda _: writes)


@given(per_tile, sizes, st.integers(1, 3))
def test_converters(tiles: list[int], shared_by: int, cycles: int) -> None:
    """Column j of a tile is the (j mod shared_by)-th of converter j // shared_by: the first one has the most."""
    first_converter = [min(n, shared_by) for n in tiles]
    assert cycles_of(adc(shared_by, cycles), "convert", tiles) == cycles * loop(first_converter, lambda _: 1)


@pytest.mark.parametrize(("busiest", "cycles"), [(7, 7), (8, 8), (9, 8)])
def test_converters_at_their_share(busiest: int, cycles: int) -> None:
    assert cycles_of(adc(8, 1), "convert", [busiest, 3, 1]) == cycles


@pytest.mark.parametrize(("busiest", "cycles"), [(15, 1), (16, 1), (17, 2)])
def test_a_full_cycle_and_one_more(busiest: int, cycles: int) -> None:
    adder = ShiftAdd(kind="shift_add", tiles=3, units=16, width_bits=16)
    buffer = RegisterFile(kind="register_file", stores="x", entries=40, tiles=3, width_bits=8, writes_per_cycle=16)
    assert cycles_of(adder, "add", [busiest, 15, 1]) == cycles
    assert cycles_of(buffer, "write", [busiest, 15, 1]) == cycles


def test_of_one_tile_the_action_is_enough() -> None:
    adder = ShiftAdd(kind="shift_add", tiles=1, units=16, width_bits=16)
    assert KINDS["shift_add"].service_cycles(adder, {"add": np.array([0, 16, 33])}).tolist() == [0, 1, 3]
