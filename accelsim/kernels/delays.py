"""Synaptic delays in whole time steps: time runs over all steps of all frames of an utterance."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.accumulate import can_saturate, spike_rows
from accelsim.kernels.compile import compiled
from accelsim.kernels.fixed_point import signed_range

Delays = int | NDArray[np.integer[Any]]


def delayed(spikes: NDArray[np.uint8], starts: NDArray[np.int64], delays: Delays) -> NDArray[np.uint8]:
    """Return every input's spikes so many time steps later: out[n, i] = m[n - d_i, i], 0 before an utterance starts.

    n = t steps + s counts the time steps of an utterance, so that a delay reaches over frames. What would come after
    the end of the utterance is lost.

    spikes: [frames, steps, inputs] multiplicities m; starts: frame offsets, [utterances + 1]; delays d >= 0: one for
    all, or [inputs], else ValueError. Returns the same shape. Delays per synapse: `delayed_rows`.
    """
    frames, steps, inputs = spikes.shape
    each = _checked(delays, (inputs,))
    flat = spikes.reshape(frames * steps, inputs)
    out = np.zeros_like(flat)
    step = np.arange(frames * steps)
    since = step - np.repeat(np.asarray(starts[:-1]) * steps, np.diff(starts) * steps)
    for delay in np.unique(each):
        columns, rows = np.flatnonzero(each == delay), step[since >= delay]
        out[np.ix_(rows, columns)] = flat[np.ix_(rows - delay, columns)]
    return out.reshape(spikes.shape)


def delayed_rows(
    spikes: NDArray[np.uint8],
    weights: NDArray[np.int8],
    delays: Delays,
    starts: NDArray[np.int64],
    banks: int,
    accumulator_bits: int,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Accumulate spikes over synapses with delays, for every time step: P[n, j] = sum_i w_ij m[n - d_ij, i].

    n counts time steps as in `delayed`. The sum over a bank of inputs saturates at each addition, inputs ascending; the
    banks are added without loss. Where nothing can saturate, it is the sum over the distinct delays d of products of
    all spikes d steps later by the weights whose delay is d.

    spikes: [frames, steps, inputs] multiplicities m; weights: [inputs, neurons]; delays d >= 0: one for all, [inputs]
    or [inputs, neurons], else ValueError; starts: [utterances + 1]. Returns P [frames, steps, neurons] and the
    saturated additions per frame [frames].
    """
    (frames, steps, _), neurons = spikes.shape, weights.shape[1]
    given = np.asarray(delays)
    each = _checked(given[:, None] if given.ndim == 1 else given, weights.shape)
    if can_saturate(weights, accumulator_bits, int(spikes.max(initial=0))):
        low, high = signed_range(accumulator_bits)
        return _delayed_rows(spikes, weights.astype(np.int32), each, np.asarray(starts, np.int64), banks, low, high)
    sums = np.zeros((frames * steps, neurons), np.int32)
    for delay in np.unique(each):
        part = np.where(each == delay, weights, weights.dtype.type(0))
        used = part.any(axis=1)
        later = delayed(spikes[:, :, used], starts, int(delay)).reshape(frames * steps, 1, int(used.sum()))
        sums += spike_rows(later, part[used], banks, accumulator_bits, shared=False)[0]
    return sums.reshape(frames, steps, neurons), np.zeros(frames, np.int64)


def _checked(delays: Delays, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return whole delays from 0 on, of the shape."""
    given = np.asarray(delays)
    if not np.issubdtype(given.dtype, np.integer) or given.min(initial=0) < 0:
        raise ValueError("delays must be whole numbers of time steps, at least 0")
    try:
        return np.array(np.broadcast_to(given, shape), np.int64)
    except ValueError:
        raise ValueError(f"delays of shape {given.shape} do not fit {shape}") from None


@compiled(parallel=True)
def _delayed_rows(spikes, weights, delays, starts, banks, low, high):  # type: ignore[no-untyped-def]
    frames, steps, inputs = spikes.shape
    neurons = weights.shape[1]
    rows_per_bank = -(-inputs // banks)
    out = np.zeros((frames, steps, neurons), np.int32)
    saturations = np.zeros(frames, np.int64)
    for u in numba.prange(len(starts) - 1):
        accumulator = np.zeros((banks, neurons), np.int32)
        first = starts[u] * steps
        for t in range(starts[u], starts[u + 1]):
            for s in range(steps):
                accumulator[:] = 0
                for i in range(inputs):
                    bank = i // rows_per_bank
                    for j in range(neurons):
                        source = t * steps + s - delays[i, j]
                        if source >= first:
                            total = accumulator[bank, j] + weights[i, j] * spikes[source // steps, source % steps, i]
                            kept = min(max(total, low), high)
                            saturations[t] += total != kept
                            accumulator[bank, j] = kept
                for k in range(banks):
                    for j in range(neurons):
                        out[t, s, j] += accumulator[k, j]
    return out, saturations
