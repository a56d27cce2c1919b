"""Leaky integrate-and-fire layers and leaky readouts in fixed point, all utterances in one batch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.accumulate import add_rows, can_saturate
from accelsim.kernels.compile import compiled
from accelsim.kernels.fixed_point import shift, signed_range

_WIDEST_BITS = 63  # of a sum that is kept in no word: wider than any that 32-bit words add up to


class _Options(NamedTuple):
    """What a layer has that is off by default. None in its place compiles the kernels without, for speed."""

    bias: NDArray[Any]
    input_shift: int
    alpha_numerator: int
    alpha_bits: int
    low: int
    high: int
    refractory: int


class _FloatOptions(NamedTuple):
    bias: NDArray[np.float32]
    current_based: bool
    alpha: np.float32
    refractory: int


def lif(
    current: NDArray[np.integer[Any]],
    recurrent: NDArray[np.int8] | None,
    starts: NDArray[np.int64],
    *,
    beta_numerator: int,
    beta_bits: int,
    threshold: int,
    reset_subtract: bool,
    membrane_carry: bool,
    membrane_bits: int,
    recurrent_shift: int = 0,
    accumulator_bits: int = 32,
    banks: int = 1,
    bias: NDArray[np.integer[Any]] | None = None,
    input_shift: int = 0,
    refractory: int = 0,
    alpha_numerator: int = 0,
    alpha_bits: int = 0,
    synapse_bits: int | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Run a layer of leaky integrate-and-fire neurons over all frames; every option is off by default.

    In each time step s of frame t, in this order:

    1. I = shift(current[t,s] + bias, input_shift) + shift(sum_{j: S[t-1,s,j] = 1} Wr_j, recurrent_shift)
    2. i = sat(floor(alpha_numerator i / 2^alpha_bits) + I) in ``synapse_bits``; without them, i = I
    3. A neuron that fired in one of the last ``refractory`` time steps does not fire, and U, its membrane, is held; its
       synaptic current i goes on. Steps 4 and 5 are for all others.
    4. U = sat(floor(beta_numerator U / 2^beta_bits) + i)
    5. S[t,s] = (U >= threshold); then U is set to 0, or reduced by the threshold (``reset_subtract``).

    With ``membrane_carry``, U, i and the refractory time go on from one frame to the next; else each frame begins with
    U = i = 0 and no neuron refractory. All is 0 where an utterance starts. U saturates at ``membrane_bits``; the
    recurrent sum saturates per bank at ``accumulator_bits``; ``bias`` is added without loss.

    current: [frames, steps, neurons]; recurrent: [neurons, neurons] (row = one source neuron), or None; bias:
    [neurons]; starts: frame offsets of the utterances, [utterances + 1]. Returns spikes [frames, steps, neurons],
    membranes after reset (same shape), and per frame the saturated additions of the accumulators, and those of the
    membranes and synaptic currents. Raises ValueError for alpha without synapse_bits, a negative refractory time and
    shapes that do not fit.
    """
    neurons = current.shape[2]
    if alpha_numerator and synapse_bits is None:
        raise ValueError("a synaptic current with a leak needs a word: synapse_bits")
    _check(neurons, recurrent, bias, refractory)
    weights = np.zeros((0, neurons), np.int8) if recurrent is None else recurrent
    low, high = signed_range(accumulator_bits)
    membrane_low, membrane_high = signed_range(membrane_bits)
    options = None
    if bias is not None or input_shift or refractory or synapse_bits is not None:
        added = np.zeros(neurons, np.int64) if bias is None else np.asarray(bias, np.int64)
        word = signed_range(synapse_bits or _WIDEST_BITS)
        options = _Options(added, input_shift, alpha_numerator, alpha_bits, *word, refractory)
    return _lif(
        current,
        weights.astype(np.int32),
        starts,
        recurrent_shift,
        beta_numerator,
        beta_bits,
        threshold,
        reset_subtract,
        membrane_carry,
        membrane_low,
        membrane_high,
        low,
        high,
        -(-len(weights) // banks),
        banks,
        can_saturate(weights, accumulator_bits, 1),
        options,
    )


def _check(neurons: int, recurrent: NDArray[Any] | None, bias: NDArray[Any] | None, refractory: int) -> None:
    if recurrent is not None and recurrent.shape != (neurons, neurons):
        raise ValueError(f"recurrent weights of shape {recurrent.shape} do not fit {neurons} neurons")
    if bias is not None and bias.shape != (neurons,):
        raise ValueError(f"a bias of shape {bias.shape} does not fit {neurons} neurons")
    if refractory < 0:
        raise ValueError(f"a refractory time has at least 0 time steps, found {refractory}")


@compiled(parallel=True)
def _lif(  # type: ignore[no-untyped-def]
    current,
    recurrent,
    starts,
    recurrent_shift,
    beta_numerator,
    beta_bits,
    threshold,
    reset_subtract,
    membrane_carry,
    membrane_low,
    membrane_high,
    low,
    high,
    rows_per_bank,
    banks,
    saturating,
    options,
):
    frames, steps, neurons = current.shape
    spikes = np.zeros((frames, steps, neurons), np.uint8)
    membranes = np.zeros((frames, steps, neurons), np.int32)
    accumulator_saturations = np.zeros(frames, np.int64)
    membrane_saturations = np.zeros(frames, np.int64)
    for u in numba.prange(len(starts) - 1):
        potential = np.zeros(neurons, np.int64)
        synapse = np.zeros(neurons, np.int64)
        waits = np.zeros(neurons, np.int64)
        accumulator = np.zeros((banks, neurons), np.int32)
        total = np.zeros(neurons, np.int32)
        for t in range(starts[u], starts[u + 1]):
            if not membrane_carry:
                potential[:] = 0
                synapse[:] = 0
                waits[:] = 0
            for s in range(steps):
                total[:] = 0
                if t > starts[u]:
                    previous = spikes[t - 1, s]
                    if saturating:
                        accumulator[:] = 0
                        accumulator_saturations[t] += add_rows(
                            previous, recurrent, rows_per_bank, accumulator, low, high
                        )
                        for k in range(banks):
                            for j in range(neurons):
                                total[j] += accumulator[k, j]
                    else:
                        for i in range(len(recurrent)):
                            if previous[i]:
                                for j in range(neurons):
                                    total[j] += recurrent[i, j]
                for j in range(neurons):
                    flow = current[t, s, j] + shift(np.int64(total[j]), recurrent_shift)
                    if options is not None:
                        flow = shift(current[t, s, j] + options.bias[j], options.input_shift)
                        flow += shift(np.int64(total[j]), recurrent_shift)
                        flow += (options.alpha_numerator * synapse[j]) >> options.alpha_bits
                        synapse[j] = min(max(flow, options.low), options.high)
                        membrane_saturations[t] += flow != synapse[j]
                        flow = synapse[j]
                        if waits[j]:
                            waits[j] -= 1
                            membranes[t, s, j] = potential[j]
                            continue
                    raw = ((beta_numerator * potential[j]) >> beta_bits) + flow
                    kept = min(max(raw, membrane_low), membrane_high)
                    membrane_saturations[t] += raw != kept
                    if kept >= threshold:
                        spikes[t, s, j] = 1
                        kept = kept - threshold if reset_subtract else 0
                        if options is not None:
                            waits[j] = options.refractory
                    potential[j] = kept
                    membranes[t, s, j] = kept
    return spikes, membranes, accumulator_saturations, membrane_saturations


def lif_float(
    current: NDArray[np.floating[Any]],
    recurrent: NDArray[np.floating[Any]] | None,
    starts: NDArray[np.int64],
    beta: float,
    threshold: float,
    reset_subtract: bool,
    membrane_carry: bool,
    *,
    bias: NDArray[np.floating[Any]] | None = None,
    refractory: int = 0,
    alpha: float | None = None,
) -> NDArray[np.uint8]:
    """Run the same layer in float32, in the order of `lif`; every option is off by default.

    I = current + bias + sum Wr_j, added in this order, j ascending; i = alpha i + I, or I without alpha; U = beta U +
    i, S = (U >= threshold), reset. A refractory neuron keeps U while its i goes on.

    current: [frames, steps, neurons]; recurrent: [neurons, neurons], or None; bias: [neurons]. Returns spikes [frames,
    steps, neurons].
    """
    neurons = current.shape[2]
    _check(neurons, recurrent, bias, refractory)
    weights = np.zeros((0, neurons), np.float32) if recurrent is None else recurrent
    options = None
    if bias is not None or refractory or alpha is not None:
        added = np.zeros(neurons, np.float32) if bias is None else np.asarray(bias, np.float32)
        options = _FloatOptions(added, alpha is not None, np.float32(alpha or 0), refractory)
    spikes: NDArray[np.uint8] = _lif_float(
        current, weights, starts, np.float32(beta), np.float32(threshold), reset_subtract, membrane_carry, options
    )  # fmt: skip
    return spikes


@compiled(parallel=True)
def _lif_float(current, recurrent, starts, beta, threshold, reset_subtract, membrane_carry, options):  # type: ignore[no-untyped-def]
    frames, steps, neurons = current.shape
    spikes = np.zeros((frames, steps, neurons), np.uint8)
    for u in numba.prange(len(starts) - 1):
        potential = np.zeros(neurons, np.float32)
        synapse = np.zeros(neurons, np.float32)
        waits = np.zeros(neurons, np.int64)
        total = np.zeros(neurons, np.float32)
        for t in range(starts[u], starts[u + 1]):
            if not membrane_carry:
                potential[:] = 0
                synapse[:] = 0
                waits[:] = 0
            for s in range(steps):
                total[:] = current[t, s]
                if options is not None:
                    total += options.bias
                if t > starts[u]:
                    for i in range(len(recurrent)):
                        if spikes[t - 1, s, i]:
                            for j in range(neurons):
                                total[j] += recurrent[i, j]
                for j in range(neurons):
                    flow = total[j]
                    if options is not None:
                        if options.current_based:
                            synapse[j] = options.alpha * synapse[j] + flow
                            flow = synapse[j]
                        if waits[j]:
                            waits[j] -= 1
                            continue
                    value = beta * potential[j] + flow
                    if value >= threshold:
                        spikes[t, s, j] = 1
                        value = value - threshold if reset_subtract else np.float32(0)
                        if options is not None:
                            waits[j] = options.refractory
                    potential[j] = value
    return spikes


def leaky_sum(
    spikes: NDArray[np.uint8],
    weights: NDArray[np.int8],
    starts: NDArray[np.int64],
    *,
    alpha_numerator: int,
    alpha_bits: int,
    carry: bool,
    banks: int,
    accumulator_bits: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read spikes out with a leaky sum: y[s] = floor(alpha y[s-1]) + sum_j m[s,j] W_j, alpha = numerator / 2^bits.

    The output of a frame is y at its last time step. With ``carry``, y goes on from one frame to the next, and is 0
    where an utterance starts; else it is 0 where a frame starts. First comes the leak, then rows are added, inputs
    ascending, each addition saturating in the accumulator of its bank of inputs; y is the sum of the banks, without
    loss. What the leak of a bank rounds off goes to the next bank, so that the whole sum is rounded once, and the
    number of banks changes no value unless an accumulator saturates. With alpha = 1 and without ``carry`` this is
    `accelsim.kernels.accumulate.spike_rows` with ``shared``.

    spikes: [frames, steps, inputs] multiplicities m; weights: [inputs, neurons]; starts: [utterances + 1]. Returns y
    [frames, neurons] and the saturated additions per frame [frames]. Raises ValueError for alpha outside [0, 1].
    """
    if not 0 <= alpha_numerator <= 1 << alpha_bits:
        raise ValueError(f"alpha must lie from 0 to 1, found {alpha_numerator} / 2^{alpha_bits}")
    low, high = signed_range(accumulator_bits)
    return _leaky_sum(spikes, weights.astype(np.int32), starts, alpha_numerator, alpha_bits, carry, banks, low, high)


@compiled(parallel=True)
def _leaky_sum(spikes, weights, starts, alpha_numerator, alpha_bits, carry, banks, low, high):  # type: ignore[no-untyped-def]
    frames, steps, inputs = spikes.shape
    neurons = weights.shape[1]
    rows_per_bank = -(-inputs // banks)
    out = np.zeros((frames, neurons), np.int64)
    saturations = np.zeros(frames, np.int64)
    for u in numba.prange(len(starts) - 1):
        accumulator = np.zeros((banks, neurons), np.int32)
        left_over = np.zeros(neurons, np.int64)
        for t in range(starts[u], starts[u + 1]):
            if not carry:
                accumulator[:] = 0
            for s in range(steps):
                left_over[:] = 0
                for k in range(banks):
                    for j in range(neurons):
                        product = alpha_numerator * np.int64(accumulator[k, j]) + left_over[j]
                        accumulator[k, j] = product >> alpha_bits
                        left_over[j] = product - (np.int64(accumulator[k, j]) << alpha_bits)
                saturations[t] += add_rows(spikes[t, s], weights, rows_per_bank, accumulator, low, high)
            for k in range(banks):
                for j in range(neurons):
                    out[t, j] += accumulator[k, j]
    return out, saturations
