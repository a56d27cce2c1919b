"""Exact wires against node equations, against the published equations of CrossSim, and against hands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from property import reference_wires

from accelsim.kernels.gated_rows import gated_read
from accelsim.kernels.wires import Wires, effective

TOLERANCE = 1e-10  # of the largest current
BALANCE = 1e-9  # of the drivers' power

OHM = st.sampled_from([0.0, 0.01, 0.35, 2.5, 10.0])
TERMINAL = st.sampled_from([0.0, 1.0, 300.0])


@st.composite
def arrays(draw, rows=64, columns=48):
    """Conductances [rows, columns] from 1 uS to 0.3 mS, some cells broken, and wires."""
    shape = draw(st.integers(1, rows)), draw(st.integers(1, columns))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    cells = 10 ** generator.uniform(-6, -3.5, shape)
    if draw(st.booleans()):
        cells[generator.random(shape) < 0.2] = 0
    wires = {"row": draw(OHM), "column": draw(OHM), "driver": draw(TERMINAL), "amplifier": draw(TERMINAL)}
    return cells, {**wires, "both_ends": draw(st.booleans())}, generator


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * max(np.abs(expected).max(), 1e-300))


@settings(max_examples=25)
@given(arrays())
def test_node_equations(case) -> None:
    """Currents of columns and drivers, and the balance of the power, for any voltages."""
    cells, wires, generator = case
    volts = generator.uniform(-0.6, 0.6, len(cells)) * (generator.random(len(cells)) < 0.7)
    found = effective(cells[None], Wires(**wires))
    plain = reference_wires.read(cells, volts, **wires)
    close(volts @ found.conductances[0], plain.columns)
    close(found.drivers[0] @ volts, plain.rows)
    power = volts @ found.drivers[0] @ volts
    assert power == pytest.approx(sum(plain.power.values()), rel=BALANCE, abs=1e-30)


@settings(max_examples=10)
@given(arrays(20, 20))
def test_floating_rows(case) -> None:
    """Rows without a driver give no current: their voltages follow from the drivers' admittance."""
    cells, wires, generator = case
    cells = np.maximum(cells, 1e-7)
    volts = generator.uniform(0.1, 0.6, len(cells)) * (generator.random(len(cells)) < 0.5)
    found = effective(cells[None], Wires(**wires))
    floats, admittance = volts == 0, found.drivers[0]
    if floats.any():
        volts_there = np.linalg.solve(admittance[np.ix_(floats, floats)], -admittance[floats] @ volts)
    else:
        volts_there = np.zeros(0)
    seen = volts.copy()
    seen[floats] = volts_there
    plain = reference_wires.read(cells, volts, **wires, open_rows="floating")
    close(seen @ found.conductances[0], plain.columns)


@settings(max_examples=20)
@given(arrays(40, 24))
def test_gated_rows(case) -> None:
    cells, wires, generator = case
    bits = generator.integers(-1, 2, (3, len(cells)))
    bits[0] = np.abs(bits[0])
    negative = cells * generator.uniform(0.8, 1.2, cells.shape)
    found = gated_read(cells[None], bits, Wires(**wires), 0.4, negative=negative[None])
    for frame, pattern in enumerate(bits):
        seen = np.where(pattern[:, None] > 0, cells, negative)
        plain = reference_wires.read(seen, 0.4 * pattern, **wires, open_rows="gated")
        close(found.currents[frame, 0], plain.columns)
        assert found.power[frame, 0] == pytest.approx(0.4 * pattern @ plain.rows, rel=BALANCE, abs=1e-30)
        assert found.power[frame, 0] == pytest.approx(sum(plain.power.values()), rel=BALANCE, abs=1e-30)
    assert not found.variance.any()


@settings(max_examples=15)
@given(arrays(12, 3))
def test_noise_of_gated_rows(case) -> None:
    """A cell's noise current goes into the column's node behind it: what the amplifiers sense of it, cell by cell."""
    cells, wires, generator = case
    bits = generator.integers(-1, 2, (1, len(cells)))
    spread = cells**2 * 1e-3
    found = gated_read(cells[None], bits, Wires(**wires), 0.4, thermal=1e-12, shot=3e-12, cell_variance=spread[None])
    plain = reference_wires.read(cells, 0.4 * bits[0], **wires, open_rows="gated")
    expected = np.zeros(cells.shape[1])
    for i in np.flatnonzero(bits[0]):
        for j in range(cells.shape[1]):
            g, v = cells[i, j], plain.cell_volts[i, j]
            # A current into a node is one into the cell's driven side, whose other cells are at 0 V: 1 A over g.
            alone = reference_wires.read(
                cells[:, j : j + 1], 0.4 * bits[0], **wires, open_rows="gated", injected={(int(i), 0): 1.0}
            )
            share = alone.sensed[0]
            expected[j] += share**2 * (1e-12 * g + 3e-12 * g * abs(v) + spread[i, j] * v**2)
    np.testing.assert_allclose(found.variance[0, 0], expected, rtol=1e-8, atol=1e-40)


def test_gated_rows_see_each_pattern_alone() -> None:
    """Any batch and any order of frames and arrays give the same bits."""
    generator = np.random.default_rng(3)
    cells, bits = 10 ** generator.uniform(-6, -4, (3, 20, 7)), generator.integers(-1, 2, (9, 20))
    wires = Wires(0.0, 1.0, amplifier=50.0, both_ends=True)
    whole = gated_read(cells, bits, wires, thermal=1.0, shot=2.0)
    for frame in range(9):
        one = gated_read(cells[::-1], bits[frame : frame + 1], wires, thermal=1.0, shot=2.0)
        assert all(np.array_equal(a[0, ::-1], b[frame]) for a, b in zip(one, whole, strict=True))


def crosssim(cells: np.ndarray, volts: np.ndarray, row: float, column: float, amplifier: float) -> np.ndarray:
    """Currents of columns by the equations of CrossSim's array whose inputs are its sources.

    A cell's voltage is V_i less the drops along its row, cumsum_j(row sum_{k >= j} I_ik), and along its column,
    sum_{k >= i} column sum_{l <= k} I_lj, the terminal's resistance in the last length. Written anew and solved at
    once; CrossSim iterates. Source: sandialabs/cross-sim, simulator/circuits/array/NonInterleaved_InputSource.py.
    """
    rows, columns = cells.shape
    lengths = np.full(rows, column)
    lengths[-1] += amplifier

    def drops(through: np.ndarray) -> np.ndarray:
        along_row = np.cumsum(row * np.cumsum(through[:, ::-1], axis=1)[:, ::-1], axis=1)
        along_column = np.cumsum((lengths[:, None] * np.cumsum(through, axis=0))[::-1], axis=0)[::-1]
        return along_row + along_column

    unit = np.eye(cells.size).reshape(-1, rows, columns)
    system = np.stack([(one + drops(cells * one)).ravel() for one in unit], axis=1)
    across = np.linalg.solve(system, np.repeat(volts, columns)).reshape(cells.shape)
    return (cells * across).sum(axis=0)


@pytest.mark.parametrize(("row", "column", "amplifier"), [(0.35, 0.35, 0), (10, 1, 0), (0, 5, 100), (2, 0, 30)])
def test_equations_of_crosssim(row: float, column: float, amplifier: float) -> None:
    generator = np.random.default_rng(1)
    cells, volts = 10 ** generator.uniform(-6, -3.5, (24, 20)), generator.uniform(0, 0.6, 24)
    found = effective(cells[None], Wires(row, column, amplifier=amplifier))
    close(volts @ found.conductances[0], crosssim(cells, volts, row, column, amplifier))


def test_one_cell_by_hand() -> None:
    """1 kohm behind 10 ohm of driver, 2 of row, 3 of column and 5 of amplifier: 1 / 1020 S; both ends: 1 / 1016 S."""
    cell = np.full((1, 1, 1), 1e-3)
    one = effective(cell, Wires(2, 3, 10, 5))
    assert one.conductances.item() == pytest.approx(1 / 1020, rel=1e-14)
    assert one.drivers.item() == pytest.approx(1 / 1020, rel=1e-14)
    both = effective(cell, Wires(2, 3, 10, 5, both_ends=True))
    assert both.conductances.item() == pytest.approx(1 / 1016, rel=1e-14)
    assert both.drivers.item() == pytest.approx(1 / 1016, rel=1e-14)


def test_two_cells_of_a_row_by_hand() -> None:
    """100 ohm of wire in front of each of two cells of 1 kohm, columns without resistance.

    The second cell's branch is 1100 ohm, beside the first one 1000 * 1100 / 2100 ohm, behind 100 ohm: 623.81 ohm. The
    first takes 1100 / 2100 of the current.
    """
    found = effective(np.full((1, 1, 2), 1e-3), Wires(100, 0))
    total = 1 / (100 + 1000 * 1100 / 2100)
    assert found.drivers.item() == pytest.approx(total, rel=1e-14)
    np.testing.assert_allclose(found.conductances[0, 0], [total * 11 / 21, total * 10 / 21], rtol=1e-14)


def test_two_cells_of_a_column_by_hand() -> None:
    """1 V on the upper of two cells of 1 kohm, 100 ohm of column behind each, the lower row at 0 V.

    The lower cell draws 1 mS and the last 100 ohm 10 mS of the joint node: 1 / 11 kohm, in series with 1100 ohm. 10/11
    of that current are sensed, and 1/11 goes back into the lower driver.
    """
    found = effective(np.full((1, 2, 1), 1e-3), Wires(0, 100))
    given = 1 / (1100 + 1000 / 11)
    np.testing.assert_allclose(found.drivers[0][:, 0], [given, -given / 11], rtol=1e-14)
    # 1 V on the lower cell: its node sees 10 mS of wire and 1 / 1100 ohm of the upper branch.
    lower = 1 / (1000 + 1 / (1 / 100 + 1 / 1100))
    sensed = lower * (1 / 100) / (1 / 100 + 1 / 1100)
    np.testing.assert_allclose(found.conductances[0][:, 0], [given * 10 / 11, sensed], rtol=1e-14)


def test_wires_without_resistance_leave_the_cells_alone() -> None:
    cells = 10 ** np.random.default_rng(1).uniform(-6, -3, (2, 19, 23))
    found = effective(cells, Wires(0, 0, both_ends=True))
    np.testing.assert_allclose(found.conductances, cells, rtol=1e-15)
    np.testing.assert_allclose(found.drivers, np.stack([np.diag(one.sum(axis=1)) for one in cells]), atol=1e-16)
    thin = effective(cells, Wires(1e-9, 1e-9))
    np.testing.assert_allclose(thin.conductances, cells, rtol=1e-6)


@settings(max_examples=15)
@given(arrays(40, 40))
def test_reciprocity_and_conservation(case) -> None:
    """Drivers' admittance is symmetric; all that drivers give is sensed when all rows have the same voltage."""
    cells, wires, _ = case
    found = effective(cells[None], Wires(**wires))
    assert np.array_equal(found.drivers, found.drivers.swapaxes(1, 2))
    np.testing.assert_allclose(found.drivers.sum(axis=1), found.conductances.sum(axis=2), rtol=0, atol=1e-15)
    assert (found.conductances >= -1e-18).all() and (found.conductances <= cells.max() * (1 + 1e-12)).all()


def test_mirror_image_is_the_transposed_array() -> None:
    """Driving columns in place of rows: by reciprocity the array reads the same, turned over."""
    cells = 10 ** np.random.default_rng(2).uniform(-6, -3.5, (1, 30, 21))
    there = effective(cells, Wires(0.7, 1.9, 20, 50))
    turned = np.ascontiguousarray(cells.swapaxes(1, 2)[:, ::-1, ::-1])
    back = effective(turned, Wires(1.9, 0.7, 50, 20))
    close(back.conductances[:, ::-1, ::-1].swapaxes(1, 2), there.conductances)


def test_same_bits_for_any_threads_order_and_batch() -> None:
    cells = 10 ** np.random.default_rng(4).uniform(-6, -4, (5, 37, 29))
    wires = Wires(0.35, 0.5, 10, 20)
    one, two = effective(cells, wires, threads=1), effective(cells, wires, threads=2)
    turned, alone = effective(cells[::-1], wires), effective(cells[3:4], wires)
    for k in range(2):
        assert np.array_equal(one[k], two[k])
        assert np.array_equal(one[k], turned[k][::-1])
        assert np.array_equal(one[k][3:4], alone[k])


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"resistance of column must be finite and at least 0 ohm, found -1"):
        Wires(0, -1)
    with pytest.raises(ValueError, match=r"resistance of driver .* found inf"):
        Wires(0, 0, float("inf"))
    with pytest.raises(ValueError, match=r"expected conductances \[arrays, rows, columns\], found shape \(3, 3\)"):
        effective(np.ones((3, 3)), Wires(1, 1))
    with pytest.raises(ValueError, match="conductances must be finite and at least 0 S"):
        effective(-np.ones((1, 3, 3)), Wires(1, 1))
    with pytest.raises(ValueError, match=r"bits of shape \(2, 4\) do not fit conductances of shape \(1, 3, 3\)"):
        gated_read(np.ones((1, 3, 3)), np.zeros((2, 4), int), Wires(1, 1))
    with pytest.raises(ValueError, match="takes the bits -1, 0 and 1"):
        gated_read(np.ones((1, 3, 3)), np.full((1, 3), 2), Wires(1, 1))
