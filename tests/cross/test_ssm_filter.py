"""State-space kernels against scipy: in float a recursive filter, in whole numbers the same but for rounding."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import dlsim, lfilter

from accelsim.devices import load_device
from accelsim.kernels.converters import DacTransfer
from accelsim.kernels.ssm import convolve, largest_level, program_kernels, quantised, radius, recurrence


def drawn(seed: int, kernels: int, states: int, scale: float) -> np.ndarray:
    """A, B and C, [3, kernels, states, 2], within the range and stable."""
    generator = np.random.default_rng(seed)
    return generator.uniform(-scale, scale, (3, kernels, states, 2))


def filtered(a, b, c, u) -> np.ndarray:
    """One kernel as a sum of complex one-pole filters, delayed by one step."""
    poles, gains = a[:, 0] + 1j * a[:, 1], (b[:, 0] + 1j * b[:, 1]) * (c[:, 0] + 1j * c[:, 1])
    return sum(lfilter([0, gain], [1, -pole], u.astype(complex)).real for pole, gain in zip(poles, gains, strict=True))


def test_the_convolution_is_a_sum_of_one_pole_filters_and_a_real_system() -> None:
    a, b, c = drawn(1, 3, 5, 0.65)
    starts = np.array([0, 50, 51, 200])
    u = np.random.default_rng(2).normal(size=(200, 3))
    found = convolve(a, b, c, u, starts)
    for k in range(3):
        for first, last in pairwise(starts):
            np.testing.assert_allclose(found[first:last, k], filtered(a[k], b[k], c[k], u[first:last, k]), atol=1e-12)
    # The same as a real system of two states per complex one; dlsim's y[t] = C x[t] is the crossbar's y[t-1] at t.
    system = np.zeros((10, 10))
    for n, (re, im) in enumerate(a[0]):
        system[2 * n : 2 * n + 2, 2 * n : 2 * n + 2] = [[re, -im], [im, re]]
    read = np.stack([c[0, :, 0], -c[0, :, 1]], axis=1).reshape(1, -1)
    _, y, _ = dlsim((system, b[0].reshape(-1, 1), read, [[0]], 1), u[:50, 0])
    np.testing.assert_allclose(found[:50, 0], y[:, 0], atol=1e-12)


@pytest.mark.parametrize(("bits", "scale"), [(1, 0.5), (2, 0.6), (5, 0.65)])
def test_the_recurrence_is_the_convolution_within_its_rounding(bits, scale) -> None:
    """Every rounding is an input of at most half a code to a stable filter, re and im alike: sqrt(1/2) / (1 - |a|)."""
    q, states, steps = largest_level(bits), 14, 400
    levels = [quantised(w, scale, bits) for w in drawn(bits, 1, states, scale)]
    gain, output_gain, device, cell_bits = scale / q, 0.5, load_device("ideal"), max(bits - 1, 1)
    assert radius(levels[0], gain).max() < 1
    kernels = program_kernels(
        *levels, device.programmer(1, read_voltage=0.2, cell_bits=cell_bits), device.curves(0.2, cell_bits),
        weight_bits=bits,
    )  # fmt: skip
    codes = np.rint(np.random.default_rng(7).normal(0, 12, (steps, 1))).astype(np.int16)
    starts = np.array([0, steps])
    found = recurrence(kernels, codes, starts, dac=DacTransfer(12, 0.2), state_gain=gain, output_gain=output_gain)
    assert found.saturated.sum() == 0
    a, b, c = (w.astype(float) for w in levels)
    exact = convolve(a * gain, b * gain, c * output_gain, codes.astype(float), starts)
    error = np.abs(found.outputs[:, 0] - exact[:, 0])
    pole = np.hypot(*(a[0] * gain).T)
    bound = 0.5 + (np.hypot(*(c[0] * output_gain).T) * np.sqrt(0.5) / (1 - pole)).sum()
    assert 0.25 < error.max() < bound
    assert np.abs(exact).max() > 20 * error.std()
