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


Each = int | NDArray[np.integer[Any]]
EachFloat = float | NDArray[np.floating[Any]]


class _Options(NamedTuple):
    """What a layer has that is off by default. None in its place compiles the kernels without, for speed.

    What a neuron may have of its own is an array [neurons].
    """

    bias: NDArray[Any]
    recurrent_bias: NDArray[Any]
    input_shift: int
    alpha_numerator: NDArray[Any]
    alpha_bits: int
    low: int
    high: int
    old_current: bool
    beta_numerator: NDArray[Any]
    rest: NDArray[Any]
    threshold: NDArray[Any]
    fires_from: NDArray[Any]
    refractory: int


class _FloatOptions(NamedTuple):
    bias: NDArray[np.float32]
    recurrent_bias: NDArray[np.float32]
    current_based: bool
    old_current: bool
    alpha: NDArray[np.float32]
    rest: NDArray[np.float32]
    strict: bool
    refractory: int


def lif(
    current: NDArray[np.integer[Any]],
    recurrent: NDArray[np.int8] | None,
    starts: NDArray[np.int64],
    *,
    beta_numerator: Each,
    beta_bits: int,
    threshold: Each,
    reset_subtract: bool,
    membrane_carry: bool,
    membrane_bits: int,
    recurrent_shift: int = 0,
    accumulator_bits: int = 32,
    banks: int = 1,
    bias: NDArray[np.integer[Any]] | None = None,
    recurrent_bias: NDArray[np.integer[Any]] | None = None,
    input_shift: int = 0,
    refractory: int = 0,
    alpha_numerator: Each = 0,
    alpha_bits: int = 0,
    synapse_bits: int | None = None,
    old_current: bool = False,
    rest: NDArray[np.integer[Any]] | None = None,
    strict: bool = False,
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Run a layer of leaky integrate-and-fire neurons over all frames; every option is off by default.

    In each time step s of frame t, in this order:

    1. I = shift(current[t,s] + bias, input_shift)
           + shift(sum_{j: S[t-1,s,j] = 1} Wr_j + recurrent_bias, recurrent_shift), the second term but in an
       utterance's first frame
    2. i = sat(floor(alpha_numerator i / 2^alpha_bits) + I) in ``synapse_bits``; without them, i = I
    3. A neuron that fired in one of the last ``refractory`` time steps does not fire, and U, its membrane, is held; its
       synaptic current i goes on. Steps 4 and 5 are for all others.
    4. U = sat(rest + floor(beta_numerator (U - rest) / 2^beta_bits) + i), with ``old_current`` the i before step 2
    5. S[t,s] = (U >= threshold), U > threshold if ``strict``; then U is set to 0, or reduced by the threshold
       (``reset_subtract``).

    With ``membrane_carry``, U, i and the refractory time go on from one frame to the next; else each frame begins with
    U = rest, i = 0 and no neuron refractory, as every utterance does. U saturates at ``membrane_bits``; the
    recurrent sum saturates per bank at ``accumulator_bits``; biases are added without loss.

    current: [frames, steps, neurons]; recurrent: [neurons, neurons] (row = one source neuron), or None; bias,
    recurrent_bias, rest: [neurons]; beta_numerator, alpha_numerator, threshold: one for all, or [neurons]; starts:
    frame offsets of the utterances, [utterances + 1]. Returns spikes [frames, steps, neurons], membranes after reset
    (same shape), and per frame the saturated additions of the accumulators, and those of the membranes and synaptic
    currents. Raises ValueError for alpha or an old current without synapse_bits, a negative refractory time and shapes
    that do not fit.
    """
    neurons = current.shape[2]
    if synapse_bits is None and (old_current or np.any(alpha_numerator)):
        raise ValueError("a synaptic current with a leak needs a word: synapse_bits")
    _check(neurons, recurrent, refractory, bias=bias, recurrent_bias=recurrent_bias, rest=rest)
    weights = np.zeros((0, neurons), np.int8) if recurrent is None else recurrent
    low, high = signed_range(accumulator_bits)
    membrane_low, membrane_high = signed_range(membrane_bits)
    options = None
    given = (bias, recurrent_bias, rest, synapse_bits)
    of_each = any(np.ndim(one) for one in (beta_numerator, threshold))
    if any(one is not None for one in given) or of_each or input_shift or refractory or strict:
        word = signed_range(synapse_bits or _WIDEST_BITS)
        top = _each(threshold, neurons, np.int64)
        added, later, leak, slow, level = (
            _each(one, neurons, np.int64) for one in (bias, recurrent_bias, alpha_numerator, beta_numerator, rest)
        )
        options = _Options(
            added, later, input_shift, leak, alpha_bits, *word, old_current, slow, level, top, top + int(strict),
            refractory,
        )  # fmt: skip
    beta, fires = (0, 0) if options is not None else (int(beta_numerator), int(threshold))
    return _lif(
        current,
        weights.astype(np.int32),
        starts,
        recurrent_shift,
        beta,
        beta_bits,
        fires,
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


def _each(value: Any, neurons: int, number: type) -> NDArray[Any]:
    """Return a value for each neuron, of one for all of them, or None for 0; of one type, so kernels compile once."""
    return np.full(neurons, 0 if value is None else value, number)


def _check(neurons: int, recurrent: NDArray[Any] | None, refractory: int, **each: NDArray[Any] | None) -> None:
    if recurrent is not None and recurrent.shape != (neurons, neurons):
        raise ValueError(f"recurrent weights of shape {recurrent.shape} do not fit {neurons} neurons")
    for name, values in each.items():
        if values is not None and np.shape(values) != (neurons,):
            raise ValueError(f"a {name} of shape {np.shape(values)} does not fit {neurons} neurons")
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
        if options is not None:
            potential[:] = options.rest
        synapse = np.zeros(neurons, np.int64)
        waits = np.zeros(neurons, np.int64)
        accumulator = np.zeros((banks, neurons), np.int32)
        total = np.zeros(neurons, np.int32)
        for t in range(starts[u], starts[u + 1]):
            if not membrane_carry:
                potential[:] = 0
                if options is not None:
                    potential[:] = options.rest
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
                    if options is None:
                        flow = current[t, s, j] + shift(np.int64(total[j]), recurrent_shift)
                        raw = ((beta_numerator * potential[j]) >> beta_bits) + flow
                        fires_from, less = threshold, threshold
                    else:
                        fed = np.int64(total[j])
                        if t > starts[u]:
                            fed += options.recurrent_bias[j]
                        flow = shift(current[t, s, j] + options.bias[j], options.input_shift)
                        flow += shift(fed, recurrent_shift)
                        flow += (options.alpha_numerator[j] * synapse[j]) >> options.alpha_bits
                        before = synapse[j]
                        synapse[j] = min(max(flow, options.low), options.high)
                        membrane_saturations[t] += flow != synapse[j]
                        flow = before if options.old_current else synapse[j]
                        if waits[j]:
                            waits[j] -= 1
                            membranes[t, s, j] = potential[j]
                            continue
                        raw = options.rest[j] + flow
                        raw += (options.beta_numerator[j] * (potential[j] - options.rest[j])) >> beta_bits
                        fires_from, less = options.fires_from[j], options.threshold[j]
                    kept = min(max(raw, membrane_low), membrane_high)
                    membrane_saturations[t] += raw != kept
                    if kept >= fires_from:
                        spikes[t, s, j] = 1
                        kept = kept - less if reset_subtract else 0
                        if options is not None:
                            waits[j] = options.refractory
                    potential[j] = kept
                    membranes[t, s, j] = kept
    return spikes, membranes, accumulator_saturations, membrane_saturations


def lif_float(
    current: NDArray[np.floating[Any]],
    recurrent: NDArray[np.floating[Any]] | None,
    starts: NDArray[np.int64],
    beta: EachFloat,
    threshold: EachFloat,
    reset_subtract: bool,
    membrane_carry: bool,
    *,
    bias: NDArray[np.floating[Any]] | None = None,
    recurrent_bias: NDArray[np.floating[Any]] | None = None,
    refractory: int = 0,
    alpha: EachFloat | None = None,
    old_current: bool = False,
    rest: NDArray[np.floating[Any]] | None = None,
    strict: bool = False,
) -> NDArray[np.uint8]:
    """Run the same layer in float32, in the order of `lif`; every option is off by default.

    I = current + bias + sum Wr_j, added in this order, j ascending, and last recurrent_bias; i = alpha i + I, or I
    without alpha; U = beta (U - rest) + rest + i, or beta U + i without rest; S = (U >= threshold), reset. A refractory
    neuron keeps U while its i goes on.

    current: [frames, steps, neurons]; recurrent: [neurons, neurons], or None; bias, recurrent_bias, rest: [neurons];
    alpha, beta, threshold: one for all, or [neurons]. Returns spikes [frames, steps, neurons].
    """
    neurons = current.shape[2]
    _check(neurons, recurrent, refractory, bias=bias, recurrent_bias=recurrent_bias, rest=rest)
    weights = np.zeros((0, neurons), np.float32) if recurrent is None else recurrent
    options = None
    if refractory or strict or any(one is not None for one in (bias, recurrent_bias, alpha, rest)):
        added, later, leak, level = (_each(one, neurons, np.float32) for one in (bias, recurrent_bias, alpha, rest))
        options = _FloatOptions(added, later, alpha is not None, old_current, leak, level, strict, refractory)
    leaks, tops = _each(beta, neurons, np.float32), _each(threshold, neurons, np.float32)
    spikes: NDArray[np.uint8] = _lif_float(
        current, weights, starts, leaks, tops, reset_subtract, membrane_carry, options
    )  # fmt: skip
    return spikes


@compiled(parallel=True)
def _lif_float(current, recurrent, starts, beta, threshold, reset_subtract, membrane_carry, options):  # type: ignore[no-untyped-def]
    frames, steps, neurons = current.shape
    spikes = np.zeros((frames, steps, neurons), np.uint8)
    for u in numba.prange(len(starts) - 1):
        potential = np.zeros(neurons, np.float32)
        if options is not None:
            potential[:] = options.rest
        synapse = np.zeros(neurons, np.float32)
        waits = np.zeros(neurons, np.int64)
        total = np.zeros(neurons, np.float32)
        for t in range(starts[u], starts[u + 1]):
            if not membrane_carry:
                potential[:] = 0
                if options is not None:
                    potential[:] = options.rest
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
                    if options is not None:
                        total += options.recurrent_bias
                for j in range(neurons):
                    flow, level = total[j], np.float32(0)
                    if options is not None:
                        level = options.rest[j]
                        if options.current_based:
                            before = synapse[j]
                            synapse[j] = options.alpha[j] * synapse[j] + flow
                            flow = before if options.old_current else synapse[j]
                        if waits[j]:
                            waits[j] -= 1
                            continue
                    value = beta[j] * (potential[j] - level) + level + flow
                    fires = value >= threshold[j]
                    if options is not None and options.strict:
                        fires = value > threshold[j]
                    if fires:
                        spikes[t, s, j] = 1
                        value = value - threshold[j] if reset_subtract else np.float32(0)
                        if options is not None:
                            waits[j] = options.refractory
                    potential[j] = value
    return spikes


def lif_euler(
    current: NDArray[np.floating[Any]],
    recurrent: NDArray[np.floating[Any]] | None,
    starts: NDArray[np.int64],
    *,
    membrane_step: NDArray[np.floating[Any]],
    threshold: NDArray[np.floating[Any]],
    reset_subtract: bool,
    synapse_step: NDArray[np.floating[Any]] | None = None,
    recurrent_bias: NDArray[np.floating[Any]] | None = None,
    input_gain: NDArray[np.floating[Any]] | None = None,
    resistance: NDArray[np.floating[Any]] | None = None,
    rest: NDArray[np.floating[Any]] | None = None,
    leaky: bool = True,
    old_current: bool = False,
    strict: bool = False,
    membrane_carry: bool = True,
    refractory: int = 0,
) -> NDArray[np.uint8]:
    """Run a layer in float32 by Euler's method, each operation rounded by itself, in the order of Norse's modules.

    In each time step, with g = ``input_gain`` and r = ``resistance``, 1 unless they are given:

        x = g (current + (sum_{j: S[t-1,j] = 1} Wr_j + recurrent_bias)), the bracket but in an utterance's first frame
        i = i + synapse_step ((0 - i) + x), or x without ``synapse_step``
        U = U + membrane_step ((r i + rest) - U), with ``old_current`` the i before; without ``leaky`` U + step (r i)
        S = (U >= threshold), U > threshold if ``strict``; then U is set to 0, or reduced by the threshold

    An utterance begins with U = ``rest``, 0 unless it is given, and i = 0; so does every frame without
    ``membrane_carry``. A neuron that fired in one of the last ``refractory`` time steps keeps U and does not fire.

    current: [frames, steps, neurons], biases of the input in it; recurrent: [neurons, neurons], or None; all others:
    [neurons]. Returns spikes [frames, steps, neurons].
    """
    neurons = current.shape[2]
    of_each = {"recurrent_bias": recurrent_bias, "input_gain": input_gain, "resistance": resistance, "rest": rest}
    _check(neurons, recurrent, refractory, membrane_step=membrane_step, threshold=threshold,
           synapse_step=synapse_step, **of_each)  # fmt: skip
    weights = np.zeros((0, neurons), np.float32) if recurrent is None else recurrent
    ones = np.ones(neurons, np.float32)
    later, level, slow = (_each(one, neurons, np.float32) for one in (recurrent_bias, rest, synapse_step))
    gain, drop = (_each(ones if one is None else one, neurons, np.float32) for one in (input_gain, resistance))
    fast, tops = _each(membrane_step, neurons, np.float32), _each(threshold, neurons, np.float32)
    spikes: NDArray[np.uint8] = _lif_euler(
        current.astype(np.float32, copy=False), weights.astype(np.float32, copy=False), starts, later, gain,
        synapse_step is not None, slow, drop, level, fast, tops, leaky, old_current, strict, reset_subtract,
        membrane_carry, refractory,
    )  # fmt: skip
    return spikes


@compiled(parallel=True)
def _lif_euler(  # type: ignore[no-untyped-def]
    current, recurrent, starts, later, gain, current_based, slow, drop, level, fast, tops, leaky, old_current, strict,
    reset_subtract, membrane_carry, refractory,
):  # fmt: skip
    frames, steps, neurons = current.shape
    spikes = np.zeros((frames, steps, neurons), np.uint8)
    for u in numba.prange(len(starts) - 1):
        potential = level.copy()
        synapse = np.zeros(neurons, np.float32)
        waits = np.zeros(neurons, np.int64)
        fed = np.zeros(neurons, np.float32)
        for t in range(starts[u], starts[u + 1]):
            if not membrane_carry:
                potential[:] = level
                synapse[:] = 0
                waits[:] = 0
            for s in range(steps):
                fed[:] = 0
                if t > starts[u]:
                    for i in range(len(recurrent)):
                        if spikes[t - 1, s, i]:
                            for j in range(neurons):
                                fed[j] += recurrent[i, j]
                    fed += later
                for j in range(neurons):
                    flow = gain[j] * (current[t, s, j] + fed[j])
                    if current_based:
                        before = synapse[j]
                        change = slow[j] * ((np.float32(0) - before) + flow)
                        synapse[j] = before + change
                        flow = before if old_current else synapse[j]
                    if waits[j]:
                        waits[j] -= 1
                        continue
                    flow = drop[j] * flow
                    if leaky:
                        flow = (flow + level[j]) - potential[j]
                    change = fast[j] * flow
                    value = potential[j] + change
                    fires = value > tops[j] if strict else value >= tops[j]
                    if fires:
                        spikes[t, s, j] = 1
                        value = value - tops[j] if reset_subtract else np.float32(0)
                        waits[j] = refractory
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
