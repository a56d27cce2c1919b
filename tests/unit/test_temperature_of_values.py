"""The temperature of a chip is among its prices, and changes values where crossbars are read with noise."""

from __future__ import annotations

import pytest

from accelsim.architecture import load_architecture
from accelsim.explore.reuse import functional, is_functional

KEY = "technology.temperature"


@pytest.mark.parametrize(("noise", "matters"), [("physical", True), ("legacy", True), ("none", False)])
def test_values_are_computed_anew_at_another_temperature_where_reads_have_noise(noise: str, matters: bool) -> None:
    changes = {"components.crossbar.noise": noise}
    plain, hot = (load_architecture("memristor_tile", {**changes, KEY: kelvin}) for kelvin in ("300 K", "350 K"))
    assert is_functional(KEY, plain.spec) is matters
    assert (functional(plain) != functional(hot)) is matters


def test_a_chip_without_crossbars_has_the_same_values_at_any_temperature() -> None:
    plain, hot = (load_architecture("rsnn28nm", {KEY: kelvin}) for kelvin in ("300 K", "350 K"))
    assert not is_functional(KEY, plain.spec) and functional(plain) == functional(hot)


def test_300_kelvin_is_not_told_so_that_finished_tables_stay() -> None:
    """Values were those of 300 K wherever a chip stood, before its temperature reached its reads."""
    assert "temperature" not in functional(load_architecture("memristor_tile"))
    assert '"temperature": 310.0' in functional(load_architecture("edge_npu_tiles"))
