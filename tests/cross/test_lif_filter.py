"""Leaky integrate-and-fire against scipy's recursive filters: between spikes a membrane is a first-order low-pass."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import lfilter

from accelsim.kernels.lif import lif, lif_float


def fire(drive: np.ndarray, beta: float, threshold: float, subtract: bool) -> tuple[np.ndarray, float]:
    """Return the spikes [steps] of one neuron and how near its membrane came to an undecided comparison.

    The whole rest of the drive is filtered at once; at the first crossing it is cut, reset, and filtered anew.
    """
    spikes, begin, state, margin = np.zeros(len(drive), np.uint8), 0, 0.0, np.inf
    while begin < len(drive):
        membrane, _ = lfilter([1.0], [1.0, -beta], drive[begin:], zi=[beta * state])
        above = np.flatnonzero(membrane >= threshold)
        end = int(above[0]) if len(above) else len(membrane) - 1
        margin = min(margin, float(np.abs(membrane[: end + 1] - threshold).min()))
        if not len(above):
            break
        spikes[begin + end] = 1
        state = membrane[end] - threshold if subtract else 0.0
        begin += end + 1
    return spikes, margin


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("beta", [0.5, 0.9375, 0.99])
@pytest.mark.parametrize("steps", [1, 2])
def test_float_spikes(steps, beta, subtract):
    rng = np.random.default_rng(round(1000 * beta) + steps)
    frames, neurons = 200, 8
    current = rng.normal(0.15, 0.4, (frames, steps, neurons)).astype(np.float32)
    silent = np.zeros((neurons, neurons), np.float32)
    starts = np.array([0, 120, frames], np.int64)
    spikes = lif_float(current, silent, starts, beta, 1.0, subtract, True)
    for first, last in pairwise(starts):
        for neuron in range(neurons):
            drive = current[first:last, :, neuron].astype(np.float64).ravel()  # time steps follow one another
            expected, margin = fire(drive, float(np.float32(beta)), 1.0, subtract)
            assert margin > 1e-5, "pick another seed: float32 may decide either way"
            np.testing.assert_array_equal(spikes[first:last, :, neuron].ravel(), expected)
    assert 0.02 < spikes.mean() < 0.8


def quantised(beta_numerator: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Run a recurrent layer in fixed point; return drive without leak [frames, neurons], spikes and membranes."""
    frames, neurons, threshold, shift = 300, 16, 400, 2
    current = np.rint(rng.normal(30, 150, (frames, 1, neurons))).astype(np.int32)
    recurrent = rng.integers(-8, 8, (neurons, neurons)).astype(np.int8)
    spikes, membranes, in_sum, in_membrane = lif(
        current,
        recurrent,
        np.array([0, frames], np.int64),
        recurrent_shift=shift,
        beta_numerator=beta_numerator,
        beta_bits=8,
        threshold=threshold,
        reset_subtract=True,
        membrane_carry=True,
        membrane_bits=24,
        accumulator_bits=16,
        banks=2,
    )
    assert in_sum.sum() == in_membrane.sum() == 0
    spiked = spikes[:, 0].astype(np.int64)
    fed_back = np.vstack([np.zeros((1, neurons), np.int64), spiked[:-1] @ recurrent.astype(np.int64)]) << shift
    drive = current[:, 0] + fed_back - threshold * spiked  # a reset by subtraction is one more input
    return drive, spiked, membranes[:, 0]


def test_without_leak_the_membrane_is_a_running_sum():
    drive, spiked, membranes = quantised(256, np.random.default_rng(1))
    np.testing.assert_array_equal(membranes, np.cumsum(drive, axis=0))
    assert 0.01 < spiked.mean() < 0.95


@pytest.mark.parametrize("beta_numerator", [128, 240, 253])
def test_with_leak_the_membrane_is_the_filter_less_what_rounding_takes(beta_numerator):
    beta = beta_numerator / 256
    drive, spiked, membranes = quantised(beta_numerator, np.random.default_rng(beta_numerator))
    lost = lfilter([1.0], [1.0, -beta], drive, axis=0) - membranes
    # Each step rounds beta * u down by less than 1, and the leak forgets what was lost before.
    assert lost.min() >= -1e-6
    assert 0.1 / (1 - beta) < lost.max() < 1 / (1 - beta)
    assert 0.01 < spiked.mean() < 0.95
