"""Systolic array: closed forms against a loop over registers that also has to compute the product."""

from __future__ import annotations

import numpy as np
import pytest
import reference_systolic as plain
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.components import KINDS
from accelsim.components.systolic_array import SystolicArray
from accelsim.errors import InputError
from accelsim.schema import parse, parse_yaml

seeds, sides, lengths = st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 11)
dataflows = st.sampled_from(["weight_stationary", "output_stationary"])


def array(rows: int, columns: int, dataflow: str = "weight_stationary", **more: object) -> SystolicArray:
    keys = {"rows": rows, "columns": columns, "dataflow": dataflow, "number": "int8", "accumulator": "int32"}
    return SystolicArray.model_validate({"kind": "systolic_array", **keys, **more})


def operands(seed: int, m: int, k: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(-128, 128, (m, k)), random.integers(-128, 128, (k, n))


def loop(spec: SystolicArray, x: np.ndarray, w: np.ndarray) -> tuple[list[list[int]], dict[str, int]]:
    """Return the product that the registers hold at the end, and what was counted on the way."""
    sizes = (x.tolist(), w.tolist(), spec.rows, spec.columns)
    if spec.dataflow == "weight_stationary":
        return plain.weight_stationary(*sizes, spec.accumulator_rows, spec.double_buffered)
    return plain.output_stationary(*sizes, spec.double_buffered)


@settings(max_examples=400, deadline=None)
@given(seeds, sides, sides, lengths, lengths, lengths, dataflows, st.booleans(), st.integers(1, 6))
def test_closed_forms_are_those_of_a_working_array(seed, rows, columns, m, k, n, dataflow, double_buffered, keep):
    spec = array(rows, columns, dataflow, double_buffered=double_buffered, accumulator_rows=keep)
    x, w = operands(seed, m, k, n)
    found, counted = loop(spec, x, w)
    assert found == (x @ w).tolist()
    assert {name: counted[name] for name in spec.counts(m, k, n)} == spec.counts(m, k, n)
    assert spec.counts(m, k, n)["cycles"] == spec.cycles(m, k, n)
    assert counted["stream"] == spec.input_words(m, k, n) + spec.weight_words(m, k, n)


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(2, 5), sides, lengths, st.integers(1, 4), lengths)
def test_the_sums_of_a_short_tile_need_as_long_as_the_array_is_high(seed, rows, columns, m, k, n):
    """A cycle earlier than after R, with k < R: sums are lost on their way out, where there is a tile to lose."""
    k = min(k, rows - 1)
    spec = array(rows, columns, "output_stationary")
    x, w = operands(seed, m, k, n)
    x, w = np.where(x == 0, 1, x), np.abs(w) + 1
    args = (x.tolist(), w.tolist(), rows, columns, True)
    assert plain.output_stationary(*args, every=rows)[0] == (x @ w).tolist()
    if spec.tiles(m, k, n) > 1:
        with pytest.raises(AssertionError, match="still being shifted out"):
            plain.output_stationary(*args, every=rows - 1)


@pytest.mark.parametrize("dataflow", ["weight_stationary", "output_stationary"])
def test_known_forms(dataflow):
    """SCALE-Sim: 2 R + C + L - 2 for each tile, L = m or k; 4 x 3 on one tile, and on 2 x 2 of them."""
    single = array(4, 3, dataflow, double_buffered=False)
    assert single.cycles(4, 4, 3) == 2 * 4 + 3 + 4 - 2
    assert single.cycles(8, 8, 6) == 4 * (2 * 4 + 3 + 8 - 2)
    double = array(4, 3, dataflow)
    assert double.cycles(4, 4, 3) == 2 * 4 + 3 + 4 - 2
    assert double.cycles(8, 8, 6) == 3 * 8 + 2 * 4 + 3 + 8 - 2


@pytest.mark.parametrize(("m", "step"), [(1, 4), (3, 4), (4, 4), (5, 5), (6, 6)])
def test_a_tile_takes_its_weights_or_its_rows(m, step):
    """R = 4: up to four rows the next weights are what takes longest, from the fifth on the rows."""
    spec = array(4, 4)
    assert spec.cycles(m, 8, 4) - spec.cycles(m, 4, 4) == step


@pytest.mark.parametrize(("k", "tiles"), [(7, 1), (8, 1), (9, 2), (16, 2), (17, 3)])
def test_a_full_tile_and_one_more(k, tiles):
    assert array(8, 8).tiles(5, k, 8) == array(8, 8).tiles(5, 8, k) == tiles
    assert array(8, 8, "output_stationary").tiles(k, 5, 8) == tiles
    assert array(8, 8).counts(5, k, 8)["accumulate"] == 5 * 8 * (tiles - 1)


@pytest.mark.parametrize(("m", "blocks"), [(15, 1), (16, 1), (17, 2), (32, 2), (33, 3)])
def test_accumulators_bound_the_rows_of_a_product(m, blocks):
    """16 sums a column: a 17th row needs the weights once more, unless its sums are whole after one tile."""
    spec = array(8, 8, accumulator_rows=16)
    assert (spec.blocks(m, 9), spec.weight_words(m, 9, 8)) == (blocks, blocks * 9 * 8)
    assert (spec.blocks(m, 8), spec.weight_words(m, 8, 8)) == (1, 8 * 8)


@pytest.mark.parametrize("dataflow", ["weight_stationary", "output_stationary"])
@pytest.mark.parametrize("sizes", [(0, 3, 3), (3, 0, 3), (3, 3, 0)])
def test_nothing_to_do(dataflow, sizes):
    spec = array(2, 2, dataflow)
    assert set(spec.counts(*sizes).values()) == {0}
    assert spec.tiles(*sizes) == spec.utilisation(*sizes) == 0


def test_words_by_hand():
    """[10, 20] x [20, 6] on 8 x 4: 3 x 2 tiles of weights; 2 x 2 tiles of outputs."""
    spec = array(8, 4)
    assert (spec.tiles(10, 20, 6), spec.input_words(10, 20, 6), spec.weight_words(10, 20, 6)) == (6, 400, 120)
    assert (spec.output_words(10, 20, 6), spec.cycles(10, 20, 6)) == (60, 5 * 10 + 10 + 18)
    assert spec.utilisation(10, 20, 6) == 1200 / (32 * 78)
    assert spec.counts(10, 20, 6) == {
        "cycles": 78, "mac": 1200, "load": (36 + 36 + 10) * 6, "stream": 520, "accumulate": 120, "drain": 60 * 4
    }  # fmt: skip
    spec = array(8, 4, "output_stationary")
    assert (spec.tiles(10, 20, 6), spec.input_words(10, 20, 6), spec.weight_words(10, 20, 6)) == (4, 400, 240)
    assert spec.counts(10, 20, 6) == {
        "cycles": 3 * 20 + 20 + 18, "mac": 1200, "load": 1200, "stream": 640, "accumulate": 0, "drain": (36 + 8 + 7) * 6
    }  # fmt: skip


def test_sizes_by_hand():
    spec = array(8, 4, number="float16", accumulator="float32")
    assert (spec.instances(), spec.multipliers(), spec.operand_bits(), spec.sum_bits()) == (32, 32, 16, 32)
    sizes = spec.dimensions()
    assert (sizes["number_bits"], sizes["sum_bits"], sizes["mac_bits"]) == (16, 32, 48)
    assert (sizes["accumulator_bits"], sizes["second_bits"]) == (256 * 32 / 8, 16)
    still = array(8, 4, "output_stationary", double_buffered=False).dimensions()
    assert (still["accumulator_bits"], still["second_bits"]) == (0, 0)
    assert array(8, 4, "output_stationary").dimensions()["second_bits"] == 32


def test_a_job_takes_the_cycles_of_its_products():
    counts = {"cycles": np.array([0, 78, 156])}
    assert KINDS["systolic_array"].service_cycles(array(8, 4), counts).tolist() == [0, 78, 156]


@pytest.mark.parametrize(
    ("number", "accumulator", "allowed"),
    [("int8", "float32", "int32"), ("int8", "float16", "int32"), ("float16", "int32", "float32 or float16")],
)
def test_sums_that_do_not_fit_their_operands(number, accumulator, allowed):
    text = f"rows: 2, columns: 2, dataflow: weight_stationary, number: {number}, accumulator: {accumulator}"
    with pytest.raises(InputError, match=f"an accumulator of {allowed} for {number}, found {accumulator}"):
        parse(SystolicArray, parse_yaml(f"{{kind: systolic_array, {text}}}"))
