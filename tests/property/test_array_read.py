"""Reads of cells that are not ohmic: node equations with the chords that they settle at, a hand, what is left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from property import reference_wires

from accelsim.devices import load_device
from accelsim.kernels import array_read
from accelsim.kernels.array_read import residue, solve_read
from accelsim.kernels.arrays import EXACT_READS, ArrayModel
from accelsim.kernels.crossbar import Curves, Terms, chords, program_tiles, states_of
from accelsim.kernels.wires import Wires, effective

CURVES = load_device("synaptogen").curves(0.6)
OHMIC = Curves((2e-4, 0.0), (1e-5, 0.0), 1e-4)
TERMS = Terms(((3e-5, 0.0, 0.0), (4e-5, 0.0, 0.0, 0.0)), lambda r: np.stack([r * (1 - r), np.sin(3 * r) / 2]))
OHM = st.sampled_from([0.0, 0.1, 1.0, 10.0])


def plain_current(r: float, volts: float, terms: bool) -> float:
    """One cell by its law, written out."""
    low, high = (sum(c * volts**n for n, c in enumerate(reversed(part))) for part in (CURVES.low, CURVES.high))
    current = low * (1 - r) + high * r
    if terms:
        current += 3e-5 * volts**2 * r * (1 - r) + 4e-5 * volts**3 * np.sin(3 * r) / 2
    return float(current)


@settings(max_examples=15)
@given(
    st.tuples(st.integers(1, 14), st.integers(1, 11)),
    st.tuples(OHM, OHM, st.sampled_from([0.0, 100.0]), st.sampled_from([0.0, 50.0])),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_node_equations_with_the_chords_of_the_cells(shape, ohms, both_ends, terms, seed) -> None:
    generator = np.random.default_rng(seed)
    states = generator.uniform(0.1, 0.85, shape)
    reads = generator.uniform(-0.6, 0.6, (2, shape[0])) * (generator.random((2, shape[0])) < 0.8)
    names = dict(zip(("row", "column", "driver", "amplifier"), ohms, strict=True))
    wires = Wires(**names, both_ends=both_ends)
    found = solve_read(states, CURVES, wires, reads, TERMS if terms else None)
    for n, volts in enumerate(reads):
        currents = [
            [plain_current(r, v, terms) for r, v in zip(*line, strict=True)]
            for line in zip(states, found.cells[n], strict=True)
        ]
        chord = np.array(currents) / np.where(found.cells[n] == 0, 1, found.cells[n])
        chord[np.abs(found.cells[n]) < 1e-9] = 1e-4  # carries nothing whatever it conducts
        plain = reference_wires.read(chord, volts, **names, both_ends=both_ends)
        scale = max(np.abs(plain.columns).max(), np.abs(plain.rows).max(), 1e-12)
        np.testing.assert_allclose(found.cells[n], plain.cell_volts, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.columns[n], plain.columns, rtol=0, atol=1e-9 * scale)
        np.testing.assert_allclose(found.drivers[n], plain.rows, rtol=0, atol=1e-9 * scale)
        power = volts @ found.drivers[n]
        assert power == pytest.approx(sum(plain.power.values()), rel=1e-8, abs=1e-15)


def test_a_cubic_cell_by_hand() -> None:
    """v + 1 kohm (1 mS v + 1 mS v^3 / V^2) = V: for v = 0.2 V, V = 0.2 + 0.2 + 0.008 = 0.408 V, I = 0.208 mA."""
    cubic = Curves((1e-3, 0.0, 1e-3, 0.0), (1e-5, 0.0), 1e-4)
    found = solve_read(np.zeros((1, 1)), cubic, Wires(100, 200, 300, 400), np.array([[0.408]]))
    assert found.cells.item() == pytest.approx(0.2, rel=1e-11)
    assert found.columns.item() == pytest.approx(2.08e-4, rel=1e-11)
    assert found.drivers.item() == pytest.approx(2.08e-4, rel=1e-11)


@pytest.mark.parametrize("wires", [Wires(0.35, 0.35), Wires(10, 10), Wires(1, 2, 30, 40, both_ends=True)])
def test_ohmic_cells_read_as_their_effective_conductances(wires: Wires) -> None:
    generator = np.random.default_rng(5)
    states, reads = generator.random((60, 50)), generator.uniform(-0.6, 0.6, (3, 60))
    found = effective(chords(states, OHMIC, None, 0.6)[None], wires)
    read = solve_read(states, OHMIC, wires, reads)
    expected = reads @ found.conductances[0]
    np.testing.assert_allclose(read.columns, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    given_ = reads @ found.drivers[0]
    np.testing.assert_allclose(read.drivers, given_, rtol=0, atol=1e-10 * np.abs(given_).max())
    seen = states_of(found.conductances[0], OHMIC, None, 0.6)
    assert residue(states, seen, OHMIC, wires, reads).largest < 1e-9


def test_the_linear_network_is_off_by_less_than_the_wires_take() -> None:
    """Synaptogen's cells behind 0.35 ohm: a residue that is there, and a tenth of what no wires would be off by."""
    generator = np.random.default_rng(6)
    states, reads = generator.uniform(0.1, 0.8, (64, 64)), (generator.random((4, 64)) < 0.5) * 0.6
    wires = Wires(0.35, 0.35)
    seen = states_of(effective(chords(states, CURVES, None, 0.6)[None], wires).conductances[0], CURVES, None, 0.6)
    ours, without = (residue(states, one, CURVES, wires, reads) for one in (seen, states))
    assert 0 < ours.rms < without.rms / 10
    assert ours.rms <= ours.largest


def test_a_read_that_does_not_settle_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(array_read, "SWEEPS", 2)
    with pytest.raises(ValueError, match=r"did not settle in 2 sweeps: a node is off by \d\.\de-\d\d of the largest"):
        solve_read(np.full((30, 30), 0.2), CURVES, Wires(5, 5), np.full((1, 30), 0.6))
    with pytest.raises(ValueError, match=r"voltages of shape \(1, 3\) do not fit 30 rows"):
        solve_read(np.full((30, 30), 0.2), CURVES, Wires(5, 5), np.full((1, 3), 0.6))


def test_same_bits_for_any_batch_of_reads() -> None:
    generator = np.random.default_rng(7)
    states, reads = generator.uniform(0.1, 0.8, (9, 12)), generator.uniform(-0.6, 0.6, (5, 9))
    whole = solve_read(states, CURVES, Wires(1, 1), reads)
    for n in range(5):
        one = solve_read(states, CURVES, Wires(1, 1), reads[n : n + 1])
        assert all(np.array_equal(a[0], b[n]) for a, b in zip(one, whole, strict=True))


def test_a_matrix_says_how_far_its_first_array_is_off() -> None:
    """Of ohmic cells nothing, of others the residue of reads with half the rows at the read voltage."""
    weights = np.random.default_rng(8).integers(-1, 2, (40, 20))
    wires, synaptogen = Wires(1, 1), load_device("synaptogen")
    first: list[np.ndarray] = []

    def program(levels, arrays):
        states = synaptogen.programmer(1)(levels, arrays)
        first.append(states[0])
        return states

    model = ArrayModel(CURVES, 0.6, wires=wires)
    size = {"weight_bits": 2, "tile_rows": 48, "tile_columns": 32}
    program_tiles(weights, program, CURVES, model=model, **size)
    found = model.drops.residue
    assert found is not None and 0 < found.rms <= found.largest
    generator = np.random.default_rng(9)
    reads = (generator.random((20 * EXACT_READS, 48)) < 0.5) * 0.6
    seen = states_of(effective(chords(first[0], CURVES, None, 0.6)[None], wires).conductances[0], CURVES, None, 0.6)
    assert found.rms == pytest.approx(residue(first[0], seen, CURVES, wires, reads).rms, rel=0.5)
    ideal = load_device("ideal")
    straight = ArrayModel(ideal.curves(0.6), 0.6, wires=wires)
    program_tiles(weights, ideal.programmer(1), ideal.curves(0.6), model=straight, **size)
    assert straight.drops.residue is None
