"""State-space kernels whose A, B and C have bits of their own: in whole numbers, cell by cell, on both engines."""

from __future__ import annotations

import math
import tempfile
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import reference_ssm
from chips import batch_of
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from accelsim.architecture import load_architecture
from accelsim.devices import Gaussian, Ideal, load_device, program_mixed
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute
from accelsim.errors import InputError
from accelsim.kernels.cells import RESTING
from accelsim.kernels.converters import DacTransfer
from accelsim.kernels.ssm import Bits, expand, program_kernels, recurrence
from accelsim.ops.op import FEATURES, Signal
from accelsim.workload import Workload, load_workload

IDEAL = Ideal(kind="ideal", name="ideal", source="test", lowest="5 uS", highest="150 uS")
NOISY = Gaussian(kind="gaussian", name="noisy", source="test", levels=("5 uS", "150 uS"), write_noise="10 uS")
bits_of_parts = st.tuples(*[st.integers(1, 7)] * 3)


def top_of(bits: int) -> int:
    """The largest level: 1, 1, 3, 7 ... for 1, 2, 3, 4 ... bits."""
    return 1 if bits == 1 else 2 ** (bits - 1) - 1


def drawn(seed: int, kernels: int, states: int, bits: tuple[int, ...]) -> list[np.ndarray]:
    generator, found = np.random.default_rng(seed), []
    for n in bits:
        levels = generator.integers(-top_of(n), top_of(n) + 1, (kernels, states, 2))
        found.append((np.where(levels == 0, 1, levels) if n == 1 else levels).astype(np.int8))
    return found


def on_one_grid(weights: list, bits: tuple[int, ...]) -> tuple[list, int]:
    """A and B as whole steps of 1 / L of their range, C as it is, and L, in plain Python."""
    steps = math.lcm(top_of(bits[0]), top_of(bits[1]))
    a, b, c = weights
    a, b = ([[part * steps // top_of(n) for part in pair] for pair in w] for w, n in ((a, bits[0]), (b, bits[1])))
    return [a, b, c], steps


def programmed(device, weights, bits: tuple[int, ...], seed: int = 1):
    cell_bits = max(max(bits) - 1, 1)
    return program_kernels(
        *weights, device.programmer(seed, read_voltage=0.2, cell_bits=cell_bits), device.curves(0.2, cell_bits),
        weight_bits=Bits(*bits),
    )  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**20), kernels=st.integers(1, 4), states=st.integers(1, 5), bits=bits_of_parts,
    converter=st.integers(3, 12), scale=st.floats(0.1, 1.3), output_gain=st.floats(0.01, 1.0),
    lengths=st.lists(st.integers(0, 20), min_size=1, max_size=3),
)  # fmt: skip
def test_ideal_cells_give_the_plain_integers(seed, kernels, states, bits, converter, scale, output_gain, lengths):
    weights = drawn(seed, kernels, states, bits)
    top, gain = 2 ** (converter - 1), scale / math.lcm(top_of(bits[0]), top_of(bits[1]))
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    codes = np.random.default_rng(seed + 1).integers(-top, top + 1, (starts[-1], kernels)).astype(np.int16)
    found = recurrence(
        programmed(IDEAL, weights, bits), codes, starts, dac=DacTransfer(converter, 0.2), state_gain=gain,
        output_gain=output_gain,
    )  # fmt: skip
    saturated = np.zeros(len(codes), np.int64)
    for k in range(kernels):
        (a, b, c), steps = on_one_grid([w[k].tolist() for w in weights], bits)
        assert steps * gain == pytest.approx(scale)
        for u, (first, last) in enumerate(pairwise(starts)):
            y, x, clamped = reference_ssm.integers(
                a, b, c, codes[first:last, k].tolist(), top=top, state_gain=gain, output_gain=output_gain
            )
            assert found.outputs[first:last, k].tolist() == y
            assert found.states[u, k].tolist() == [list(pair) for pair in x]
            saturated[first:last] += np.array(clamped, np.int64)
    assert found.saturated.sum(axis=1).tolist() == saturated.tolist()


def test_one_step_by_hand() -> None:
    """A of 3 bits, (2 - 3j) / 3, B of 2, 1 + 0j, C of 4, (7 + 3j) / 7, in a range of 0.9: L = lcm(3, 1) = 3.

    Column steps of re' are 2 re + 3 im + 3 u, of im' -3 re + 2 im, each times 0.9 / 3 = 0.3; y = 0.1 (7 re - 3 im).
    u = 10, 0, 0: x = (9, 0), then 0.3 (18, -27) = (5.4, -8.1), then 0.3 (10 - 24, -15 - 16) = (-4.2, -9.3).
    """
    weights = [np.array([[pair]], np.int8) for pair in ((2, -3), (1, 0), (7, 3))]
    space = programmed(IDEAL, weights, (3, 2, 4))
    found = recurrence(
        space, np.array([[10], [0], [0], [0]], np.int16), np.array([0, 4]), dac=DacTransfer(8, 0.2), state_gain=0.9 / 3,
        output_gain=0.1,
    )  # fmt: skip
    # y: 0, then 0.1 * 63 = 6.3, 0.1 (35 + 24) = 5.9, 0.1 (-28 + 27) = -0.1
    assert found.outputs[:, 0].tolist() == [0, 6, 6, 0]
    # The fourth state: 0.3 (2 * -4 + 3 * -9) = -10.5 and 0.3 (12 - 18) = -1.8: halves go to the even code.
    assert found.states[0, 0].tolist() == [[-10, -2]]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), kernels=st.integers(1, 4), states=st.integers(1, 5), bits=bits_of_parts)
def test_every_cell_has_its_share_of_the_one_range(seed, kernels, states, bits) -> None:
    """A cell of level l is at l / q of the range, plus a noise that is its own whatever bits it and others have."""
    weights = drawn(seed, kernels, states, bits)
    found: list[np.ndarray] = []

    def program(levels, arrays, of_cells=None):
        made = NOISY.programmer(3, read_voltage=0.2, cell_bits=max(max(bits) - 1, 1))(levels, arrays, of_cells)
        found.append(made.astype(np.float64))
        return made

    program_kernels(*weights, program, NOISY.curves(0.2, 1), weight_bits=Bits(*bits))
    # The noise of every cell, from the same cells at the highest level, where none is clipped at 0 S.
    one = np.ones((len(found[0]), 64, 64), np.uint8)
    noise = 145e-6 * -NOISY.program(one, np.arange(len(one)), seed=3, read_voltage=0.2, cell_bits=1).states
    size = 4 * states + 2
    for k, block in enumerate(expand(*weights)):
        first = k % (64 // size) * size
        for i in range(size):
            for j in range(size):
                cell = (k // (64 // size), first + i, first + j)
                if block[i, j] == RESTING:
                    wanted = 5e-6
                else:
                    q = top_of(bits[2] if j >= size - 2 else bits[1] if i >= size - 2 else bits[0])
                    wanted = max(5e-6 + 145e-6 * block[i, j] / q + float(noise[cell]), 0)
                assert 150e-6 - 145e-6 * found[0][cell] == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize("device", [IDEAL, NOISY, load_device("synaptogen")], ids=["ideal", "noisy", "synaptogen"])
def test_mixed_cells_are_those_of_one_number_of_bits_and_counted_once(device) -> None:
    """Columns of 1, 2 and 3 bits: each cell is the one of an array of its bits alone; counts of the parts add up."""
    random = np.random.default_rng(1)
    bits = np.broadcast_to(random.integers(1, 4, 20).astype(np.uint8), (2, 30, 20))
    levels = random.integers(0, 2**bits).astype(np.uint8)
    levels[:, ::3, ::2] = RESTING
    arrays = np.array([4, 7])

    def program(levels, arrays, cell_bits):
        return device.program(levels, arrays, seed=2, read_voltage=0.2, cell_bits=cell_bits)

    mixed = program_mixed(program, levels, arrays, bits)
    # Of no more than 1, 2, 3 bits: levels of cells that have more are cut, and not looked at.
    wholes = {
        n: program(np.where(levels == RESTING, levels, np.minimum(levels, 2**n - 1)), arrays, n) for n in (1, 2, 3)
    }
    for n, whole in wholes.items():
        assert np.array_equal(mixed.states[bits == n], whole.states[bits == n])
    alike = program_mixed(program, levels, arrays, np.full_like(bits, 3))
    plain = program(levels, arrays, 3)
    assert np.array_equal(alike.states, plain.states) and np.array_equal(alike.pulses, plain.pulses)
    # Counts, column by column: what each adds to those of an array at rest.
    resting = np.full_like(levels, RESTING)
    for count in ("pulses", "reached"):
        before = getattr(program(resting, arrays, 1), count)
        assert (getattr(mixed, count) is None) == (before is None)
        if before is not None:
            wanted = before.copy()
            for column, n in enumerate(bits[0, 0].tolist()):
                one = resting.copy()
                one[..., column] = levels[..., column]
                wanted += getattr(program(one, arrays, n), count) - before
            assert getattr(mixed, count).tolist() == wanted.tolist()


def network(folder: Path, weights, bits: tuple[int, ...], code_bits: int, gain: float) -> Workload:
    kernels, states, _ = weights[0].shape
    save_file({f"s.{part}": w for part, w in zip("abc", weights, strict=True)}, folder / "weights.safetensors")
    a, b, c = bits
    (folder / "workload.yaml").write_text(
        "schema: accelsim/workload@1\nname: network\nweights: weights.safetensors\n"
        "inputs: {source: speech, dataset: librivox_sample, split: test, features: {bands: 1}}\ngraph:\n"
        f"  - {{name: s, op: s4d, input: features, kernels: {kernels}, states: {states}, scale: 0.7, "
        f"weight_bits: {{a: {a}, b: {b}, c: {c}}}, code_bits: {code_bits}, "
        f"input_scale: {2.0 ** (code_bits - 8) * 1.5}, input_offset: {2 ** (code_bits - 1)}, output_gain: {gain}}}\n"
    )
    return load_workload(folder)


def crossbar(code_bits: int) -> dict[str, str]:
    return {
        "components.crossbar.device": "ideal", "components.crossbar.wires": "none",
        "components.crossbar.device_settings": "{}",
        "components.sample_hold.units": "32", "components.adc.units": "32", "components.dac.units": "64",
        "components.dac.bits": str(code_bits), "components.adc.range_bits": str(code_bits),
        "components.state_registers.entries": "32", "components.state_registers.width_bits": "12",
        "components.output_registers.entries": "10", "components.output_registers.width_bits": "12",
        "components.readout.width_bits": "32",
    }  # fmt: skip


ARRAY = {
    "components.weights": "{kind: sram, stores: weights, rows: 9999, width_bits: 24, banks: 1}",
    "components.array.input_bits": "12", "components.array.weight_bits": "13",
    "components.array.accumulator_bits": "40", "components.state_registers.entries": "99",
    "components.state_registers.width_bits": "12",
    "components.readout.width_bits": "32", "pacing.mode": "back_to_back",
}  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**20), kernels=st.integers(1, 2), states=st.integers(1, 6), bits=bits_of_parts,
    code_bits=st.integers(3, 12), gain=st.floats(0.05, 1), lengths=st.lists(st.integers(1, 12), min_size=1, max_size=3),
)  # fmt: skip
def test_crossbar_and_array_are_the_reference(seed, kernels, states, bits, code_bits, gain, lengths) -> None:
    weights = drawn(seed, kernels, states, bits)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    features = np.random.default_rng(seed).integers(0, 256, (starts[-1], 1)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        made = network(Path(folder), weights, bits, code_bits, gain)
    batch = batch_of(features, starts)
    (op,) = made.graph.ops
    wanted = op.reference([Signal(features, starts, made.graph.edges[FEATURES])], made.tensors)
    for k in range(kernels):
        (a, b, c), steps = on_one_grid([w[k].tolist() for w in weights], bits)
        top = 2 ** (code_bits - 1)
        for first, last in pairwise(starts):
            # round(1.5 2^n x) of whole x in exact numbers; halves to even, as NumPy takes them
            scaled = [
                Fraction(int(x)) * Fraction(3, 2) * Fraction(2) ** (code_bits - 8) for x in features[first:last, 0]
            ]
            u = [max(-top, min(top, round(x) - top)) for x in scaled]
            y, _, _ = reference_ssm.integers(a, b, c, u, top=top, state_gain=0.7 / steps, output_gain=gain)
            assert wanted[first:last, k].tolist() == y
    for name, changes in (("imssa", crossbar(code_bits)), ("s4d_digital28", ARRAY)):
        assert execute(deploy(made, load_architecture(name, changes)), batch).outputs.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("bits", "of_states"),
    [((2, 2, 2), 2), ((1, 1, 1), 1), ((1, 1, 3), 1), ((4, 2, 2), 4), ((2, 5, 3), 5), ((3, 5, 2), 5), ((3, 4, 4), 6),
     ((4, 5, 1), 8), ((1, 3, 2), 3)],
)  # fmt: skip
def test_an_array_of_integers_keeps_a_and_b_in_steps_of_their_sum(tmp_path, bits, of_states) -> None:
    """lcm(7, 3) = 21 takes 6 bits with its sign, lcm(7, 15) = 105 takes 8; C keeps its own. Words of 24 bits, full."""
    weights = [np.ones((1, 5, 2), np.int8) * (1 if n == 1 else 0) for n in bits]
    if bits[0] == 1:
        weights[0] = np.ones((1, 5, 2), np.int8)
    made = network(tmp_path, weights, bits, 8, 0.5)
    batch = batch_of(np.zeros((1, 1), np.uint8), [0, 1])
    activity = execute(deploy(made, load_architecture("s4d_digital28", ARRAY)), batch).activity
    values = {of_states: 20}  # ar, ai, br, bi of five states
    values[bits[2]] = values.get(bits[2], 0) + 10
    words = sum(-(-n * count // 24) for n, count in values.items())
    assert activity.counts["s.multiply", "weights"]["read"].tolist() == [words]
    narrow = ARRAY | {"components.array.weight_bits": str(max(of_states, bits[2]) - 1)}
    if max(of_states, bits[2]) > 1:
        with pytest.raises(InputError, match=f"layer 's' has {max(of_states, bits[2])}-bit weights, 'array' takes"):
            deploy(made, load_architecture("s4d_digital28", narrow))


def test_sums_of_an_array_hold_both_grids(tmp_path) -> None:
    """A of 3 bits, 1/3 each, B of 4, 2/7: 21 steps, |ar| + |ai| + |b| = 7 + 7 + 6 = 20, times 128 = 2,560: 13 bits."""
    weights = [np.full((1, 1, 2), level, np.int8) for level in (1, 2, 1)]
    made = network(tmp_path, weights, (3, 4, 2), 8, 0.5)
    deploy(made, load_architecture("s4d_digital28", ARRAY | {"components.array.accumulator_bits": "13"}))
    with pytest.raises(InputError, match=r"layer 's' has sums up to 2,560, the 12-bit sums of 'array' hold 2,047"):
        deploy(made, load_architecture("s4d_digital28", ARRAY | {"components.array.accumulator_bits": "12"}))


def test_bits_of_a_crossbar_s_cells_are_those_of_the_most_levels(tmp_path) -> None:
    weights = [np.zeros((1, 1, 2), np.int8)] * 3
    made = network(tmp_path, weights, (4, 2, 3), 8, 0.5)
    deploy(made, load_architecture("imssa", {"components.crossbar.cell_bits": "3"}))
    with pytest.raises(InputError, match="a weight of layer 's' lies whole in 1, 2 and 3-bit cells"):
        deploy(made, load_architecture("imssa", {"components.crossbar.cell_bits": "2"}))
    levels = {"components.crossbar.device_settings.levels": "[5 uS, 10 uS, 20 uS, 40 uS, 60 uS, 80 uS, 100 uS, 150 uS]"}
    with pytest.raises(InputError, match="has 8 levels, cells of 2 bits need 4"):  # 1 bit takes the outer ones
        execute(deploy(made, load_architecture("imssa", levels)), batch_of(np.zeros((1, 1), np.uint8), [0, 1]))
