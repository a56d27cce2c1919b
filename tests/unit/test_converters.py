"""Converters: rounding, clamping, counts, bits one after the other, and messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.kernels.converters import (
    AdcTransfer,
    DacTransfer,
    adc_codes,
    bit_phases,
    convert,
    dac_clipped,
    dac_codes,
    per_adc,
)


def test_the_dac_has_257_codes_and_rounds_half_to_even() -> None:
    dac = DacTransfer(8)
    assert len(dac.levels()) == 257
    assert dac.levels()[[0, 128, 256]].tolist() == [-0.6, 0.0, 0.6]
    halves = np.array([0.5, 1.5, 2.5, -0.5, -1.5]) / 128
    assert dac_codes(halves, dac).tolist() == [0, 2, 2, 0, -2]
    assert dac_codes([1.0, -1.0, 2.0, -9.0], dac).tolist() == [128, -128, 128, -128]
    assert dac_clipped([1.0, -1.0, 2.0, 1.003, 1.005], dac) == 2


def test_the_adc_rounds_half_to_even_clamps_and_counts() -> None:
    adc = AdcTransfer(4, 4)
    codes, clipped = adc_codes(np.array([1 / 32, 3 / 32, -1 / 32, 8.0, 8.03, 8.04, -9.0, 100.0]), adc)
    assert codes.tolist() == [0, 2, 0, 128, 128, 128, -128, -128 + 256]
    assert clipped == 3
    values, _ = convert([0.1, 7.99, 8.5], adc)
    assert values.tolist() == [2 / 16, 8.0, 8.0]
    assert convert([0.1], AdcTransfer(ideal=True)) == (np.array([0.1]), 0)


@pytest.mark.parametrize(("precision", "range_bits", "clip"), [(4, 4, 8.0), (1, 7, 64.0), (4, 8, 128.0), (2, 6, 32.0)])
def test_the_range_is_two_to_the_range_bits(precision: int, range_bits: int, clip: float) -> None:
    adc = AdcTransfer(precision, range_bits)
    assert convert([1e9], adc)[0][0] == clip
    assert adc.largest_code / 2**precision == clip


@given(st.lists(st.integers(-128, 128), min_size=1, max_size=20))
def test_phases_add_up_to_the_code(codes: list[int]) -> None:
    dac = DacTransfer(8, mode="bit_serial")
    phases = bit_phases(np.array(codes, np.int16), dac)
    assert phases.shape == (8, len(codes)) and set(np.unique(phases)) <= {-1, 0, 1}
    assert (phases * (1 << np.arange(8))[:, None]).sum(axis=0).tolist() == codes


def test_settings_per_adc() -> None:
    settings = np.array([[[AdcTransfer(4, 4), AdcTransfer(1, 7), AdcTransfer(ideal=True)]]], object)
    steps, limits = per_adc(settings, (2, 1, 3))
    assert steps.tolist() == [[[16.0, 2.0, 0.0]]] * 2 and limits.tolist() == [[[128.0, 128.0, 0.0]]] * 2
    with pytest.raises(ValueError, match=r"ADC settings of shape \(2,\) do not fit \(1, 1, 3\)"):
        per_adc(np.array([AdcTransfer(), AdcTransfer()], object), (1, 1, 3))
    with pytest.raises(ValueError, match="expected AdcTransfer settings, or objects with a method 'transfer'"):
        per_adc(np.array([4, 4, 4], object), (1, 1, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdcTransfer(4, 0), "ADC range bits must be at least 1, found 0"),
        (lambda: AdcTransfer(-1, 4), "ADC precision bits must be at least 0, found -1"),
        (lambda: AdcTransfer(20, 20), r"at most 24 together, found 20 \+ 20"),
        (lambda: DacTransfer(0), "DAC bits must be from 1 to 12, found 0"),
        (lambda: DacTransfer(8, 0.0), "full-scale voltage must be greater than 0 V, found 0 V"),
        (lambda: DacTransfer(8, 0.6, "serial"), "unknown DAC mode 'serial'"),
        (lambda: dac_codes([float("nan")], DacTransfer()), "not a number"),
        (lambda: adc_codes([0.0], AdcTransfer(ideal=True)), "an ideal ADC has no codes"),
    ],
)
def test_wrong_settings_are_named(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
