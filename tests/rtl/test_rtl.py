"""Verilog written apart from the kernels must give the same accumulators, membranes, spikes and cycles.

The benches in ``hdl/`` read random vectors that these tests write, run in Icarus Verilog, and print what the registers
hold. Narrow accumulators and membranes make sure that saturation is exercised, and the tests say so.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from accelsim.kernels.accumulate import add_rows, bit_serial, spike_rows
from accelsim.kernels.fixed_point import signed_range
from accelsim.kernels.lif import lif
from accelsim.kernels.zero_skip import bank_steps, bit_steps, merge

HDL = Path(__file__).parent / "hdl"
WEIGHT_BITS = 4

pytestmark = pytest.mark.skipif(
    not (shutil.which("iverilog") and shutil.which("vvp")),
    reason="Icarus Verilog (Debian package iverilog) is not installed",
)


def simulate(bench: str, folder: Path, **parameters: int) -> np.ndarray:
    """Compile a bench with its parameters, run it where its vectors lie, and return the numbers it prints."""
    overrides = [f"-P{bench}.{name}={value}" for name, value in parameters.items()]
    sources = [HDL / f"{bench}.v", *(HDL / f"{part}.v" for part in ("pe_set", "lif_unit", "zero_skip"))]
    subprocess.run(
        [
            "iverilog",
            "-g2005",
            "-Wall",
            "-Wno-timescale",
            "-s",
            bench,
            "-o",
            "bench.vvp",
            *overrides,
            *map(str, sources),
        ],
        cwd=folder,
        check=True,
    )
    done = subprocess.run(
        ["vvp", "-n", "bench.vvp"], cwd=folder, check=True, capture_output=True, text=True, timeout=300
    )
    return np.array([[int(word) for word in line.split()] for line in done.stdout.splitlines()], np.int64)


def pack(words: np.ndarray, bits: int) -> str:
    """Return rows of words [rows, words] as hexadecimal lines, word 0 in the lowest bits."""
    lines = []
    for row in np.asarray(words, np.int64) & ((1 << bits) - 1):
        lines.append(f"{sum(int(word) << (bits * place) for place, word in enumerate(row)):x}")
    return "\n".join(lines) + "\n"


def weight_rows(rng: np.random.Generator, inputs: int, neurons: int) -> np.ndarray:
    """Return 4-bit weights whose columns lean to one side, so that sums reach both ends of a narrow accumulator."""
    lean = rng.integers(-3, 4, neurons)
    return np.clip(rng.integers(-6, 7, (inputs, neurons)) + lean, -8, 7).astype(np.int8)


@pytest.mark.parametrize(
    ("inputs", "pes", "sets", "group_bits", "accumulator_bits", "skip", "density"),
    [
        (40, 128, 2, 4, 12, True, 0.43),  # the chip of the paper
        (40, 16, 2, 4, 8, True, 0.5),
        (40, 16, 2, 4, 8, False, 0.5),
        (13, 5, 4, 2, 7, True, 0.3),
        (9, 7, 1, 8, 11, True, 0.6),
    ],
)
def test_bit_walk(tmp_path, inputs, pes, sets, group_bits, accumulator_bits, skip, density):
    rng = np.random.default_rng([inputs, pes, sets, skip])
    frames, bits = 12, sets * group_bits
    features = ((rng.random((frames, inputs, bits)) < density) << np.arange(bits)).sum(axis=2).astype(np.uint8)
    features[0] = 0
    features[1] = (1 << bits) - 1
    weights = weight_rows(rng, inputs, pes)
    (tmp_path / "weights.hex").write_text(pack(weights, WEIGHT_BITS))
    (tmp_path / "features.hex").write_text(pack(features, bits))

    shape = {"INPUTS": inputs, "PES": pes, "SETS": sets, "GROUP_BITS": group_bits, "ACC_BITS": accumulator_bits}
    rtl = simulate("tb_bits", tmp_path, FRAMES=frames, SKIP=int(skip), **shape)

    steps, rows, _ = bit_steps(features, sets, group_bits, skip)
    total, saturations = bit_serial(features, weights, bits, sets, accumulator_bits)
    np.testing.assert_array_equal(rtl[:, 0], steps)
    np.testing.assert_array_equal(rtl[:, 1], rows)
    np.testing.assert_array_equal(rtl[:, 2], saturations)
    accumulators = rtl[:, 3:].reshape(frames, sets, pes)
    for group in range(sets):
        alone = features & (((1 << group_bits) - 1) << (group * group_bits))
        kernel, _ = bit_serial(alone, weights, bits, sets, accumulator_bits)
        np.testing.assert_array_equal(accumulators[:, group] << (group * group_bits), kernel)
    combined = (accumulators << (np.arange(sets) * group_bits)[:, None]).sum(axis=1)
    np.testing.assert_array_equal(combined, total)
    assert accumulator_bits == 12 or saturations.sum() > 0, "narrow cases must saturate"


@pytest.mark.parametrize(
    ("inputs", "pes", "sets", "steps", "accumulator_bits", "shared", "skip"),
    [
        (128, 128, 2, 1, 12, False, True),  # Type B
        (128, 128, 2, 2, 12, False, True),  # Type C: merged spikes
        (128, 128, 2, 2, 12, True, False),  # Type D: broadcast to two time steps
        (128, 128, 2, 2, 12, True, True),  # two time steps, unmerged readout
        (128, 16, 2, 1, 7, False, True),
        (128, 16, 2, 2, 7, False, True),
        (128, 16, 2, 2, 7, True, False),
        (128, 16, 2, 2, 7, True, True),
        (128, 16, 2, 1, 7, False, False),
        (33, 6, 4, 1, 6, False, True),
        (33, 6, 4, 2, 6, False, False),
    ],
)
def test_row_walk(tmp_path, inputs, pes, sets, steps, accumulator_bits, shared, skip):
    rng = np.random.default_rng([inputs, pes, steps, shared, skip])
    frames = 12
    spikes = (rng.random((frames, steps, inputs)) < rng.random((frames, 1, 1))).astype(np.uint8)
    spikes[0], spikes[1] = 0, 1
    weights = weight_rows(rng, inputs, pes)
    (tmp_path / "weights.hex").write_text(pack(weights, WEIGHT_BITS))
    (tmp_path / "spikes.hex").write_text(pack(spikes.reshape(frames * steps, inputs), 1))

    shape = {"INPUTS": inputs, "PES": pes, "SETS": sets, "STEPS": steps, "ACC_BITS": accumulator_bits}
    rtl = simulate("tb_rows", tmp_path, FRAMES=frames, SHARED=int(shared), SKIP=int(skip), **shape)

    drive, banks = merge(spikes), 1 if shared else sets
    walked, rows = bank_steps(drive, banks, skip)
    np.testing.assert_array_equal(rtl[:, 0], walked)
    np.testing.assert_array_equal(rtl[:, 1], rows)
    accumulators = rtl[:, 3:].reshape(frames, sets, pes)
    total, saturations = spike_rows(
        spikes if shared else drive[:, None], weights, banks, accumulator_bits, shared=False
    )
    np.testing.assert_array_equal(rtl[:, 2], saturations)
    np.testing.assert_array_equal(accumulators.sum(axis=1), total)
    low, high = signed_range(accumulator_bits)
    for t in range(frames):
        kernel = np.zeros((sets, pes), np.int32)
        for serial, active in enumerate(spikes[t] if shared else drive[t : t + 1]):
            part = kernel[serial : serial + 1] if shared else kernel
            add_rows(active, weights.astype(np.int32), -(-inputs // banks), part, low, high)
        np.testing.assert_array_equal(accumulators[t], kernel)
    assert accumulator_bits == 12 or saturations.sum() > 0, "narrow cases must saturate"


@pytest.mark.parametrize("reset_subtract", [True, False])
@pytest.mark.parametrize(
    ("neurons", "steps", "banks", "accumulator_bits", "membrane_bits", "beta", "beta_bits", "shift", "carry"),
    [
        (128, 2, 1, 12, 16, 240, 8, 3, True),  # the chip: two parallel time steps
        (128, 1, 2, 12, 16, 240, 8, 0, True),  # the chip: one time step
        (16, 2, 1, 6, 9, 15, 4, 2, True),
        (16, 1, 2, 5, 9, 200, 8, -1, False),
        (16, 3, 4, 4, 8, 256, 8, 1, True),  # no leak at all
        (16, 2, 2, 5, 9, 0, 8, 1, True),  # nothing kept
    ],
)
def test_layer(
    tmp_path, neurons, steps, banks, accumulator_bits, membrane_bits, beta, beta_bits, shift, carry, reset_subtract
):
    rng = np.random.default_rng([neurons, steps, banks, beta])
    starts = np.array([0, 9, 10, 24], np.int64)
    frames = int(starts[-1])
    _, high = signed_range(membrane_bits)
    threshold = high // 3
    current = np.rint(rng.normal(threshold / 6, threshold, (frames, steps, neurons))).astype(np.int32)
    recurrent = weight_rows(rng, neurons, neurons)
    (tmp_path / "weights.hex").write_text(pack(recurrent, WEIGHT_BITS))
    (tmp_path / "currents.hex").write_text(pack(current.reshape(frames * steps, neurons), 24))
    (tmp_path / "starts.hex").write_text("".join(f"{int(t in starts[:-1])}\n" for t in range(frames)))

    rtl = simulate(
        "tb_lif",
        tmp_path,
        FRAMES=frames,
        NEURONS=neurons,
        STEPS=steps,
        BANKS=banks,
        ACC_BITS=accumulator_bits,
        MEMBRANE_BITS=membrane_bits,
        BETA=beta,
        BETA_BITS=beta_bits,
        THRESHOLD=threshold,
        SUBTRACT=int(reset_subtract),
        CARRY=int(carry),
        REC_SHIFT=shift,
    ).reshape(frames, steps, 2 + 2 * neurons)

    spikes, membranes, in_sum, in_membrane = lif(
        current,
        recurrent,
        starts,
        recurrent_shift=shift,
        beta_numerator=beta,
        beta_bits=beta_bits,
        threshold=threshold,
        reset_subtract=reset_subtract,
        membrane_carry=carry,
        membrane_bits=membrane_bits,
        accumulator_bits=accumulator_bits,
        banks=banks,
    )
    np.testing.assert_array_equal(rtl[:, :, 2 : 2 + neurons], spikes)
    np.testing.assert_array_equal(rtl[:, :, 2 + neurons :], membranes)
    np.testing.assert_array_equal(rtl[:, :, 0].sum(axis=1), in_sum)
    np.testing.assert_array_equal(rtl[:, :, 1].sum(axis=1), in_membrane)
    assert 0.05 < spikes.mean() < 0.95
    assert accumulator_bits == 12 or (in_sum.sum() > 0 and in_membrane.sum() > 0), "narrow cases must saturate"
