"""Read noise in what a state-space kernel feeds back: to the bit a plain loop, and of the size that cells have."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
import reference_ssm
from chips import batch_of
from hypothesis import given, settings
from hypothesis import strategies as st
from test_state_space import load, tiles

from accelsim.devices import Gaussian, load_device
from accelsim.engines.execute import execute
from accelsim.kernels.cells import RESTING
from accelsim.kernels.converters import DacTransfer
from accelsim.kernels.counter_random import STATE_STREAM, normals_into
from accelsim.kernels.crossbar import Terms
from accelsim.kernels.read_noise import ReadNoise
from accelsim.kernels.ssm import Kernels, expand, largest_level, program_kernels, recurrence

VOLTS = 0.2
OHMIC = Gaussian(
    kind="gaussian", name="noisy", source="test", levels=("5 uS", "150 uS"), write_noise="10 uS",
    stuck_at_low_resistance=0.01, stuck_at_high_resistance=0.02,
)  # fmt: skip
DEVICES = {"ohmic": OHMIC, "synaptogen": load_device("synaptogen")}
KB, ELECTRON = 1.380649e-23, 1.602e-19


def factors(model: str, kelvin: float, seconds: float) -> tuple[float, float]:
    bandwidth, charge = (1 / seconds, ELECTRON) if model == "physical" else (1e-8, 2.71828)
    return 4 * KB * kelvin * bandwidth, 2 * charge * bandwidth


def own_of(device, cell_bits: int):
    """Variance of a cell of a state, in S^2: (4 % of its conductance)^2."""
    curves = device.curves(VOLTS, cell_bits)
    low, high = (float(np.polyval(curve, VOLTS)) / VOLTS for curve in (curves.low, curves.high))
    return lambda r: (0.04 * (low * (1 - r) + high * r)) ** 2


def drawn(seed: int, kernels: int, states: int, bits: int) -> tuple[np.ndarray, ...]:
    generator, q = np.random.default_rng(seed), largest_level(bits)
    return tuple(generator.integers(-q, q + 1, (kernels, states, 2)).astype(np.int8) for _ in range(3))


def programmed(device, weights, bits: int, *, own=False, rows=64, columns=64, first_array=5) -> Kernels:
    cell_bits = max(bits - 1, 1)
    return program_kernels(
        *weights, device.programmer(1, read_voltage=VOLTS, cell_bits=cell_bits), device.curves(VOLTS, cell_bits),
        weight_bits=bits, rows=rows, columns=columns, first_array=first_array,
        read_variance=own_of(device, cell_bits) if own else None,
    )  # fmt: skip


def cells_of(device, weights, bits: int, per_crossbar: int, rows: int, columns: int, first_array: int) -> np.ndarray:
    """States of every crossbar as programmed, [crossbars, rows, columns]."""
    blocks = expand(*weights)
    size = blocks.shape[1]
    levels = np.full((-(-len(blocks) // per_crossbar), rows, columns), RESTING, np.uint8)
    for k, block in enumerate(blocks):
        at = k % per_crossbar * size
        levels[k // per_crossbar, at : at + size, at : at + size] = block
    arrays = first_array + np.arange(len(levels))
    return device.program(levels, arrays, seed=1, read_voltage=VOLTS, cell_bits=max(bits - 1, 1)).states.astype(float)


def draws(seed: int, array: int, frame: int, columns: int) -> np.ndarray:
    """The draws of a step, as the generator's page has them: counter (draw, step, crossbar, high half of the seed)."""
    groups = -(-columns // 4)
    out = np.zeros(4 * groups, np.float32)
    halves = np.uint64(seed >> 32), np.uint64(seed & 0xFFFFFFFF)
    normals_into(out, groups, np.uint64(0), np.uint64(frame), np.uint64(array), *halves, np.uint64(STATE_STREAM))
    return out


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    device=st.sampled_from(sorted(DEVICES)),
    kernels=st.integers(1, 5),
    states=st.integers(1, 4),
    bits=st.integers(2, 4),
    converter=st.integers(6, 12),
    model=st.sampled_from(["physical", "legacy"]),
    kelvin=st.sampled_from([250.0, 300.0, 400.0]),
    seconds=st.sampled_from([1e-8, 1e-9]),
    own=st.booleans(),
    lengths=st.lists(st.integers(0, 8), min_size=1, max_size=3),
)
def test_the_plain_loop_gives_the_same_codes(
    seed, device, kernels, states, bits, converter, model, kelvin, seconds, own, lengths
) -> None:
    cells, weights, q = DEVICES[device], drawn(seed, kernels, states, bits), largest_level(bits)
    space = programmed(cells, weights, bits, own=own, rows=48, columns=40)
    top, gain, cell_bits = 2 ** (converter - 1), 0.7 / q, max(bits - 1, 1)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    codes = np.random.default_rng(seed).integers(-top, top + 1, (starts[-1], kernels)).astype(np.int16)
    found = recurrence(
        space, codes, starts, dac=DacTransfer(converter, VOLTS), state_gain=gain, output_gain=0.3,
        noise=ReadNoise(model, kelvin, seconds), seed=seed, first_step=1000,
    )  # fmt: skip
    crossbars = cells_of(cells, weights, bits, space.per_crossbar, 48, 40, 5)
    width, variance = 2 * states + 1, own_of(cells, cell_bits) if own and model == "physical" else None
    span = 2 * space.per_crossbar * width
    plus, minus = crossbars[:, :span, :span:2], crossbars[:, :span, 1:span:2]
    largest = float((variance(plus) + variance(minus)).max()) if variance else 0.0
    for b, states_of_cells in enumerate(crossbars):
        first = b * space.per_crossbar
        placed = min(space.per_crossbar, kernels - first)
        for u in range(len(lengths)):
            part = codes[starts[u] : starts[u + 1], first : first + placed]
            outputs, last = reference_ssm.noisy_cells(
                states_of_cells.tolist(), placed, width, cells.curves(VOLTS, cell_bits), part.tolist(),
                top=top, volts=VOLTS, state_gain=gain, output_gain=0.3, levels=q, steps=[q] * placed * width,
                factors=factors(model, kelvin, seconds), own=variance, largest_own=largest,
                normals=lambda t, b=b, u=u: draws(seed, 5 + b, 1000 + starts[u] + t, space.per_crossbar * width),
            )  # fmt: skip
            assert found.outputs[starts[u] : starts[u + 1], first : first + placed].tolist() == outputs
            wanted = [last[k * width + j] for k in range(placed) for j in range(width - 1)]
            assert found.states[u, first : first + placed].reshape(-1).tolist() == wanted


@pytest.mark.parametrize("device", sorted(DEVICES))
@pytest.mark.parametrize("own", [False, True])
def test_the_noise_of_a_state_is_that_of_its_cells(device, own) -> None:
    """After one step of 6,000 utterances: x = gain (B u + noise), in codes that are finer than the noise.

    Cell by cell: the row of the input has its voltage, all other rows of the crossbar have none.
    """
    cells, bits, utterances, u, top = DEVICES[device], 3, 6000, 1500, 2048
    weights = drawn(2, 2, 3, bits)
    space = programmed(cells, weights, bits, own=own, rows=64, columns=64)
    codes = np.full((utterances, 2), u, np.int16)
    how = {"dac": DacTransfer(12, VOLTS), "state_gain": 0.25, "output_gain": 0.25}
    noise = ReadNoise("physical", 350.0, 2e-9)
    starts = np.arange(utterances + 1)
    found = recurrence(space, codes, starts, noise=noise, **how).states.reshape(utterances, -1).astype(float)
    silent = recurrence(space, codes[:1], starts[:2], **how).states.reshape(-1)
    assert np.abs(found).max() < top  # nothing was clamped
    r = cells_of(cells, weights, bits, 2, 64, 64, 5)[0]
    thermal, shot = factors("physical", 350.0, 2e-9)
    curves, variance = cells.curves(VOLTS, 2), own_of(cells, 2)
    for j, column in enumerate([*range(6), *range(7, 13)]):
        total = 0.0
        for row in range(64):
            v = u / top * VOLTS if row in (12, 26) else 0.0  # rows u+ of both kernels
            for state in (r[row, 2 * column], r[row, 2 * column + 1]):
                chord = sum(
                    share * sum(k * v**n for n, k in enumerate(reversed(curve[:-1])))
                    for share, curve in ((1 - state, curves.low), (state, curves.high))
                )
                total += (thermal + shot * v) * chord + own * v * v * variance(state)
        sigma = 0.25 * math.sqrt(total) * top / curves.unit
        assert sigma > 2
        apart = found[:, j] - silent[j]
        assert abs(apart.mean()) < 5 * sigma / math.sqrt(utterances) + 0.5
        assert apart.std() == pytest.approx(math.sqrt(sigma**2 + 1 / 12), rel=5 / math.sqrt(2 * utterances))
    correlation = np.corrcoef(np.concatenate([found[:-1], found[1:]], axis=1).T)
    assert np.abs(correlation[np.triu_indices(24, 1)]).max() < 5 / math.sqrt(utterances)


def test_thermal_noise_at_400_kelvin_has_four_thirds_of_the_variance() -> None:
    """Without an input all noise of a first step is thermal; the same draws, so that states grow by sqrt(4 / 3)."""
    space, utterances = programmed(OHMIC, drawn(3, 2, 3, 3), 3), 500
    how = {"dac": DacTransfer(12, VOLTS), "state_gain": 3.0, "output_gain": 1.0}
    cold, hot = (
        recurrence(
            space, np.zeros((utterances, 2), np.int16), np.arange(utterances + 1),
            noise=ReadNoise("physical", kelvin, 1e-9), **how,
        ).states.astype(float)
        for kelvin in (300.0, 400.0)
    )  # fmt: skip
    assert np.abs(hot).max() < 2048 and cold.std() > 20
    assert np.abs(hot - math.sqrt(4 / 3) * cold).max() < 1.1  # both are rounded


def test_the_same_bits_for_any_threads_and_batches() -> None:
    space = programmed(OHMIC, drawn(6, 7, 4, 4), 4, own=True)
    starts = np.array([0, 100, 137, 300])
    codes = np.random.default_rng(3).integers(-30, 31, (300, 7)).astype(np.int16)
    how = {"dac": DacTransfer(8, VOLTS), "state_gain": 0.9 / 7, "output_gain": 0.1}
    noise = ReadNoise("physical", 300.0, 1e-9)
    how["seed"] = 8
    whole = recurrence(space, codes, starts, noise=noise, **how)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = recurrence(space, codes, starts, noise=noise, **how)
    finally:
        numba.set_num_threads(before)
    assert alone.outputs.tobytes() == whole.outputs.tobytes()
    part = recurrence(space, codes[100:137], np.array([0, 37]), noise=noise, first_step=100, **how)
    assert np.array_equal(part.outputs, whole.outputs[100:137])
    for other in ({"seed": 9}, {"first_step": 1}, {"noise": ReadNoise()}):
        apart = recurrence(space, codes, starts, **{"noise": noise, **how, **other})
        assert not np.array_equal(apart.outputs, whole.outputs)


def test_own_noise_is_in_physical_noise_alone() -> None:
    with_own, without = (programmed(OHMIC, drawn(6, 2, 4, 4), 4, own=own) for own in (True, False))
    codes = np.random.default_rng(3).integers(-90, 91, (50, 2)).astype(np.int16)
    for model, same in (("off", True), ("legacy", True), ("physical", False)):
        one, other = (
            recurrence(
                space, codes, np.array([0, 50]), dac=DacTransfer(8, VOLTS), state_gain=0.1, output_gain=0.1,
                noise=ReadNoise(model),
            ).outputs
            for space in (with_own, without)
        )  # fmt: skip
        assert np.array_equal(one, other) is same


def test_cells_with_further_terms() -> None:
    """A cube that depends on the state, cell by cell in plain Python: x <- clamp(round(gain z)), power and all."""
    scale = 4e-3

    def coefficient(r: float) -> float:
        return max(min(r * (1 - r), 1.0), -1.0)

    terms = Terms(((scale, 0.0, 0.0, 0.0),), lambda r: np.clip(r * (1 - r), -1, 1)[None])
    bits, steps, kernels, states = 3, 10, 2, 3
    weights = drawn(4, kernels, states, bits)
    curves = OHMIC.curves(VOLTS, 2)
    space = program_kernels(
        *weights, OHMIC.programmer(1, read_voltage=VOLTS, cell_bits=2), curves, weight_bits=bits, terms=terms
    )
    codes = np.random.default_rng(2).integers(-900, 901, (steps, kernels)).astype(np.int16)
    how = {"dac": DacTransfer(12, VOLTS), "state_gain": 0.2, "output_gain": 0.1}
    found = recurrence(space, codes, np.array([0, steps]), **how)
    r = cells_of(OHMIC, weights, bits, space.per_crossbar, 64, 64, 0)[0]
    width, top = 2 * states + 1, 2048

    def current(state: float, v: float) -> float:
        return (150e-6 * (1 - state) + 5e-6 * state) * v + scale * v**3 * coefficient(state)

    x, apart = [0] * (kernels * width), 0
    for t in range(steps):
        for k in range(kernels):
            x[k * width + width - 1] = int(codes[t, k])
        volts = [0.0] * 64
        for i, code in enumerate(x):
            volts[2 * i + (code < 0)] = abs(code) / top * VOLTS
        watts = sum(v * sum(current(cell, v) for cell in r[row]) for row, v in enumerate(volts) if v)
        assert found.watts[t, 0] == pytest.approx(watts, rel=1e-3)
        after = []
        for j in range(kernels * width):
            amperes = sum(current(r[i, 2 * j], v) - current(r[i, 2 * j + 1], v) for i, v in enumerate(volts) if v)
            gain = 0.1 if j % width == width - 1 else 0.2
            after.append(max(-top, min(top, round(amperes / curves.unit * top * gain))))
        outputs = after[width - 1 :: width]
        apart = max(apart, int(np.abs(found.outputs[t] - np.array(outputs)).max()))
        x = after
    assert apart <= 1
    plainly = program_kernels(*weights, OHMIC.programmer(1, read_voltage=VOLTS, cell_bits=2), curves, weight_bits=bits)
    assert np.abs(recurrence(plainly, codes, np.array([0, steps]), **how).outputs - found.outputs).max() > 10


ON_CROSSBARS = {
    "components.crossbar.device": "ideal", "components.crossbar.wires": "none",
    "components.crossbar.device_settings": "{}",
    "components.state_registers.entries": "64", "components.output_registers.entries": "16",
    "components.dac.units": "64", "components.adc.shared_by": "16", "components.sample_hold.units": "32",
    "components.weights.entries": "2000", **tiles(20),
}  # fmt: skip


def run(changes: dict[str, str], seed: int = 0) -> np.ndarray:
    """Outputs of a random network of state-space kernels on the crossbars of imssa10."""
    network = load(changes, channels=5, states=3, bits=3, layers=2, seed=2)
    features = np.random.default_rng(1).integers(0, 256, (60, 3)).astype(np.uint8)
    outputs = execute(network, batch_of(features, np.array([0, 25, 60])), seed=seed).outputs
    assert outputs is not None
    return outputs


def test_the_engine_reads_with_noise_and_the_temperature_of_its_chip() -> None:
    chip = ON_CROSSBARS | {"components.crossbar.noise": "physical", "components.crossbar.read_time": "1 ns"}
    silent = run(chip | {"components.crossbar.noise": "none"})
    found = {kelvin: run(chip | {"technology.temperature": f"{kelvin} K"}) for kelvin in (300, 390)}
    assert np.array_equal(run(chip), found[300]) and not np.array_equal(run(chip, seed=1), found[300])
    assert not np.array_equal(found[300], silent) and not np.array_equal(found[390], found[300])
    assert not np.array_equal(run(chip | {"components.crossbar.noise": "legacy"}), found[300])
    hot = run(chip | {"components.crossbar.noise": "none", "technology.temperature": "390 K"})
    assert np.array_equal(hot, silent)
