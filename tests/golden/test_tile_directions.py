"""Where converter bits, crossbar rows and sharing move energy, area, latency and error; each direction by hand.

A frame of the tile workload is 360 x 40 weights in three binary planes. With R rows a crossbar it takes
ceil(360 / R) row tiles and 120 conversions in each: more rows, fewer conversions, so less energy and area, and fewer
transfers, so less latency; but the sum of more rows clips more often in a converter of the same range. More bits cost
energy and area by the survey regression and no time; where they are range bits they clip less.
"""

from __future__ import annotations

import functools
from itertools import pairwise

import pytest

import accelsim
from accelsim.cost.models import adc_energy_andrulis
from accelsim.result import Result

TILED = ("crossbar", "dac", "adc", "sample_hold", "shift_add", "tile_inputs", "tile_outputs")
FRAMES = 2463


@functools.cache
def tile(*, range_bits: int = 4, precision_bits: int = 4, rows: int = 128, shared_by: int = 8) -> Result:
    tiles, units = -(-360 // rows), 384 // shared_by
    changes = {
        **{f"{name}.tiles": tiles for name in TILED},
        "crossbar.rows": rows,
        "crossbar.wires": "none",
        "dac.units": 6 * rows,
        "tile_inputs.entries": rows,
        "adc.range_bits": range_bits,
        "adc.precision_bits": precision_bits,
        "adc.shared_by": shared_by,
        "adc.units": units,
        "shift_add.units": units,
    }
    return accelsim.run("memristor_tile", overrides={f"components.{key}": str(value) for key, value in changes.items()})


def converters_pj(result: Result) -> float:
    return next(c for c in result.components if c.kind == "adc").energy_j.dynamic * 1e12 / FRAMES


def array_pj(result: Result) -> float:
    return next(c for c in result.components if c.kind == "crossbar").energy_j.dynamic * 1e12 / FRAMES


def clipped(result: Result) -> float:
    adc = result.layers[-1].adc
    assert adc is not None
    return adc.clipped / adc.conversions


def error(result: Result) -> float:
    assert result.accuracy is not None
    return result.accuracy.value


def rising(values: list[float]) -> bool:
    return all(a < b for a, b in pairwise(values))


def falling(values: list[float]) -> bool:
    return rising(values[::-1])


def test_converter_bits() -> None:
    results = [tile(precision_bits=2, range_bits=bits) for bits in (3, 5, 8)]
    for bits, result in zip((5, 7, 10), results, strict=True):
        each = 0.8 * adc_energy_andrulis({"bits": bits, "rate": 100e6}, 28e-9) * 1e12  # a fifth is standby
        assert converters_pj(result) == pytest.approx(360 * each)
    assert rising([r.energy.per_frame_j for r in results])
    assert rising([r.area_mm2 for r in results])
    assert len({r.performance.latency_cycles.p50 for r in results}) == 1, "a conversion takes one cycle at any width"
    assert falling([clipped(r) for r in results])
    assert falling([error(r) for r in results])


def test_fewer_converter_bits_save_less_than_half_of_their_share() -> None:
    """4 bits instead of 8 save less than a factor of 2 (0.719 against 1.333 pJ), and nothing of the array."""
    narrow, wide = tile(precision_bits=0), tile()
    assert 1 < converters_pj(wide) / converters_pj(narrow) < 2
    assert array_pj(narrow) == array_pj(wide)


def test_rows_of_a_crossbar() -> None:
    results = [tile(rows=rows) for rows in (64, 128, 384)]
    for row_tiles, result in zip((6, 3, 1), results, strict=True):
        assert result.layers[-1].adc is not None
        assert result.layers[-1].adc.conversions == FRAMES * 120 * row_tiles
        assert converters_pj(result) == pytest.approx(120 * row_tiles * 0.8 * 1.3332, rel=1e-4)
        # The same 360 rows are driven, whatever the crossbars' size: other cells, the same power but for their draw.
        assert array_pj(result) == pytest.approx(array_pj(tile()), rel=0.01)
    assert falling([r.energy.per_frame_j for r in results])
    assert falling([r.area_mm2 for r in results])
    assert falling([r.performance.latency_cycles.p50 for r in results])
    assert rising([clipped(r) for r in results])
    assert rising([error(r) for r in results])


def test_columns_that_share_a_converter() -> None:
    """Half as many converters take half the area and 8 cycles more a block of 120 columns; energy and values stay."""
    few, many = tile(shared_by=16), tile()
    adc = [next(c for c in r.components if c.kind == "adc") for r in (few, many)]
    assert adc[0].area_mm2 == pytest.approx(adc[1].area_mm2 / 2)
    assert adc[0].energy_j.dynamic == adc[1].energy_j.dynamic
    assert few.performance.latency_cycles.p50 >= many.performance.latency_cycles.p50 + 8
    assert error(few) == error(many)


def test_the_run_says_what_is_predicted() -> None:
    provenance = tile().provenance
    assert provenance.calibrated == [], "no price of the tile was fitted"
    assert provenance.predicted == [
        "cycles from counted work",
        "100.0% of the energy",
        "area",
        "frame error rate",
        "time and energy of programming",
    ]
    assert any("read pulse 10 ns" in line for line in provenance.assumptions)
