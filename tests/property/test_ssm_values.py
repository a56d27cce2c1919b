"""State-space kernels on crossbars: bit-exact to the plain recurrence with ideal cells, else cell by cell."""

from __future__ import annotations

from itertools import pairwise

import numba
import numpy as np
import pytest
import reference_ssm
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.devices import Gaussian, Ideal, load_device
from accelsim.kernels.cells import RESTING
from accelsim.kernels.converters import DacTransfer
from accelsim.kernels.ssm import Kernels, expand, largest_level, program_kernels, recurrence

IDEAL = Ideal(kind="ideal", name="ideal", source="test", lowest="5 uS", highest="150 uS")
NOISY = Gaussian(
    kind="gaussian", name="noisy", source="test", levels=("5 uS", "150 uS"), write_noise="10 uS",
    stuck_at_low_resistance=0.01, stuck_at_high_resistance=0.02,
)  # fmt: skip


def drawn(seed: int, kernels: int, states: int, bits: int) -> tuple[np.ndarray, ...]:
    generator, q = np.random.default_rng(seed), largest_level(bits)
    weights = [generator.integers(-q, q + 1, (kernels, states, 2)).astype(np.int8) for _ in range(3)]
    return tuple(np.where(w == 0, 1, w).astype(np.int8) if bits == 1 else w for w in weights)


def programmed(device, weights, bits: int, rows: int = 64, columns: int = 64, seed: int = 1) -> Kernels:
    cell_bits = max(bits - 1, 1)
    return program_kernels(
        *weights, device.programmer(seed, read_voltage=0.2, cell_bits=cell_bits), device.curves(0.2, cell_bits),
        weight_bits=bits, rows=rows, columns=columns,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    kernels=st.integers(1, 5),
    states=st.integers(1, 6),
    bits=st.integers(1, 7),
    converter=st.integers(3, 12),
    scale=st.floats(0.1, 1.3),
    output_gain=st.floats(0.01, 1.0),
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=4),
)
def test_ideal_cells_give_the_plain_integers(seed, kernels, states, bits, converter, scale, output_gain, lengths):
    weights = drawn(seed, kernels, states, bits)
    top, gain = 2 ** (converter - 1), scale / largest_level(bits)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    codes = np.random.default_rng(seed + 1).integers(-top, top + 1, (starts[-1], kernels)).astype(np.int16)
    found = recurrence(
        programmed(IDEAL, weights, bits), codes, starts, dac=DacTransfer(converter, 0.2), state_gain=gain,
        output_gain=output_gain,
    )  # fmt: skip
    saturated = np.zeros(len(codes), np.int64)
    for k in range(kernels):
        a, b, c = (w[k].tolist() for w in weights)
        for u, (first, last) in enumerate(pairwise(starts)):
            y, x, clamped = reference_ssm.integers(
                a, b, c, codes[first:last, k].tolist(), top=top, state_gain=gain, output_gain=output_gain
            )
            assert found.outputs[first:last, k].tolist() == y
            assert found.states[u, k].tolist() == [list(pair) for pair in x]
            saturated[first:last] += np.array(clamped, np.int64)
    assert found.saturated.sum(axis=1).tolist() == saturated.tolist()


@pytest.mark.parametrize("device", [IDEAL, NOISY, load_device("synaptogen")], ids=["ideal", "noisy", "synaptogen"])
@pytest.mark.parametrize(("kernels", "states", "rows", "columns"), [(1, 14, 64, 64), (3, 3, 64, 72), (2, 7, 60, 60)])
def test_any_cells_give_what_they_carry(device, kernels, states, rows, columns) -> None:
    bits, converter, steps = 3, 8, 12
    weights = drawn(4, kernels, states, bits)
    space = programmed(device, weights, bits, rows, columns)
    codes = np.random.default_rng(2).integers(-40, 41, (steps, kernels)).astype(np.int16)
    found = recurrence(
        space, codes, np.array([0, steps]), dac=DacTransfer(converter, 0.2), state_gain=0.2, output_gain=0.1
    )  # fmt: skip
    size = 4 * states + 2
    levels = np.full((1, rows, columns), RESTING, np.uint8)
    for k, block in enumerate(expand(*weights)):
        levels[0, k * size : (k + 1) * size, k * size : (k + 1) * size] = block
    cells = device.program(levels, np.array([0]), seed=1, read_voltage=0.2, cell_bits=2).states[0]
    outputs, watts = reference_ssm.cells(
        cells.tolist(), kernels, 2 * states + 1, device.curves(0.2, 2), codes.tolist(),
        top=128, volts=0.2, state_gain=0.2, output_gain=0.1,
    )  # fmt: skip
    # The grids move a column by 1e-3 of a code at most; one that close to the middle of two codes may go either way,
    # and the states carry it on.
    apart = np.abs(found.outputs.astype(int) - np.array(outputs))
    assert apart.max() <= 1 and (apart == 0).mean() > 0.9
    assert found.watts[:, 0] == pytest.approx(np.array(watts), rel=2e-2, abs=1e-12)
    assert found.watts[0, 0] == pytest.approx(watts[0], rel=1e-6)


def test_a_complex_weight_takes_sixteen_cells_and_a_kernel_448() -> None:
    """The counts of the paper's page at N = 14: 224 cells of A, 112 of B and 112 of C, 58 rows and columns."""
    ones = np.ones((1, 14, 2), np.int8)
    levels = expand(ones, ones, ones)
    assert levels.shape == (1, 58, 58)
    written = levels[0] != RESTING
    assert written.sum() == 448
    assert written[:56, :56].sum() == 224 and written[56:].sum() == 112 and written[:, 56:].sum() == 112


def test_the_block_of_one_weight_by_hand() -> None:
    """a = 2 - 3j, b = 1, c = j: rows re+ re- im+ im- u+ u-, columns re+ re- im+ im- y+ y-."""
    a, b, c = (np.array([[pair]], np.int8) for pair in ((2, -3), (1, 0), (0, 1)))
    block = np.where(expand(a, b, c)[0] == RESTING, -1, expand(a, b, c)[0].astype(int))
    assert block.tolist() == [
        [2, 0, 0, 3, 0, 0],
        [0, 2, 3, 0, 0, 0],
        [3, 0, 2, 0, 0, 1],  # re' = 2 re + 3 im; y = -im
        [0, 3, 0, 2, 1, 0],
        [1, 0, 0, 0, -1, -1],
        [0, 1, 0, 0, -1, -1],
    ]


def test_kernels_of_one_crossbar_do_not_meet_while_their_cells_rest_and_do_when_one_is_stuck() -> None:
    weights = drawn(5, 2, 3, 2)
    codes = np.random.default_rng(1).integers(-60, 61, (40, 2)).astype(np.int16)
    silent = codes.copy()
    silent[:, 1] = 0
    options = {"dac": DacTransfer(8, 0.2), "state_gain": 0.6, "output_gain": 0.4}
    for device, meet in ((IDEAL, False), (NOISY.model_copy(update={"stuck_at_low_resistance": 0.2}), True)):
        space = programmed(device, weights, 2)
        alone, together = (recurrence(space, u, np.array([0, 40]), **options).outputs[:, 0] for u in (silent, codes))
        assert np.array_equal(alone, together) is not meet


def test_the_same_bits_for_any_threads_and_batches() -> None:
    weights = drawn(6, 7, 4, 4)
    space = programmed(NOISY, weights, 4)
    assert space.per_crossbar == 3 and space.weights.shape[1] == 3
    starts = np.array([0, 100, 137, 300])
    codes = np.random.default_rng(3).integers(-30, 31, (300, 7)).astype(np.int16)
    options = {"dac": DacTransfer(8, 0.2), "state_gain": 0.9 / 7, "output_gain": 0.1}
    whole = recurrence(space, codes, starts, **options)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = recurrence(space, codes, starts, **options)
    finally:
        numba.set_num_threads(before)
    assert alone.outputs.tobytes() == whole.outputs.tobytes() and alone.watts.tobytes() == whole.watts.tobytes()
    part = recurrence(space, codes[100:137], np.array([0, 37]), **options)
    assert np.array_equal(part.outputs, whole.outputs[100:137])
    assert np.array_equal(part.saturated, whole.saturated[100:137])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"states": 16}, "a kernel of 16 states needs 66 x 66 cells, a crossbar has 64 x 64"),
        ({"bits": 8}, "weights must have from 1 to 7 bits, found 8"),
        ({"level": 2}, "the levels of 2-bit weights must be from -1 to 1"),
        ({"bits": 1, "level": 0}, "the levels of 1-bit weights must be -1 or 1"),
        ({"code": 129}, "a DAC of 8 bits has codes from -128 to 128, found 129"),
        ({"inputs": 2}, r"expected codes \[steps, 1\], found shape \(4, 2\)"),
        ({"mode": "bit_serial"}, "the DAC's mode must be 'amplitude'"),
    ],
)
def test_wrong_calls_are_named(change, message) -> None:
    given = {"states": 14, "bits": 2, "level": 1, "code": 0, "inputs": 1, "mode": "amplitude"} | change
    weights = np.full((3, 1, given["states"], 2), given["level"], np.int8)
    with pytest.raises(ValueError, match=message):
        program = IDEAL.programmer(1, cell_bits=min(max(given["bits"] - 1, 1), 6))
        space = program_kernels(*weights, program, IDEAL.curves(0.2), weight_bits=given["bits"])
        codes = np.full((4, given["inputs"]), given["code"], np.int16)
        dac = DacTransfer(8, 0.2, given["mode"])
        recurrence(space, codes, np.array([0, 4]), dac=dac, state_gain=0.5, output_gain=0.5)


def test_cells_at_rest_have_no_write_noise_but_may_be_stuck() -> None:
    levels = np.full((2, 64, 64), RESTING, np.uint8)
    levels[:, :32] = 1
    cells = NOISY.program(levels, np.arange(2), seed=1, cell_bits=2)
    resting = cells.states[:, 32:]
    assert set(np.unique(resting.round(5))) == {0.0, 1.0}  # stuck at the highest conductance, or at the lowest
    assert 0.005 < (resting == 0).mean() < 0.02  # 1 % of 4,096
    written = cells.states[:, :32]
    assert np.std(written[(written > 0) & (written < 1)]) > 0.05
    assert cells.pulses.tolist() == [2048, 2048]
    for device in (IDEAL, load_device("synaptogen")):
        as_zero = device.program(np.where(levels == RESTING, 0, levels).astype(np.uint8), np.arange(2), seed=1)
        assert np.array_equal(device.program(levels, np.arange(2), seed=1).states, as_zero.states)


def test_fifteen_states_still_fit() -> None:
    assert programmed(IDEAL, drawn(1, 1, 15, 2), 2).weights.shape == (1, 1, 62, 31)
