"""Synaptic delays in whole time steps: time runs over all steps of all frames of an utterance."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.accumulate import check_sums
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
        rows, later = step[since >= delay], np.zeros_like(flat)
        later[rows] = flat[rows - delay]
        out = np.where(each == delay, later, out)
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
    banks are added without loss. Without saturation this is the sum over the distinct delays d of the products of all
    spikes, d steps later, by the weights whose delay is d.

    spikes: [frames, steps, inputs] multiplicities m; weights: [inputs, neurons]; delays d >= 0: one for all, [inputs]
    or [inputs, neurons]; starts: [utterances + 1]. Returns P [frames, steps, neurons] and the saturated additions per
    frame [frames]. Raises ValueError for other delays, and where the sums of all rows do not fit into 32 bits.
    """
    frames, steps, inputs = spikes.shape
    check_sums(weights, int(spikes.max(initial=0)))
    given = np.asarray(delays)
    each = _checked(given[:, None] if given.ndim == 1 else given, weights.shape)
    distinct = np.unique(each)
    # One matrix per delay, 0 elsewhere: a whole row is added at once, and to add 0 saturates nothing.
    apart = np.where(each == distinct[:, None, None], weights.astype(np.int32), np.int32(0))
    flat, begins = spikes.reshape(frames * steps, inputs), np.asarray(starts, np.int64)
    return _delayed_rows(flat, apart, distinct, begins, steps, banks, *signed_range(accumulator_bits))


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
def _delayed_rows(spikes, weights, delays, starts, steps, banks, low, high):  # type: ignore[no-untyped-def]
    inputs, neurons = weights.shape[1:]
    rows_per_bank = -(-inputs // banks)
    out = np.zeros((len(spikes) // steps, steps, neurons), np.int32)
    saturations = np.zeros(len(out), np.int64)
    for u in numba.prange(len(starts) - 1):
        accumulator = np.zeros((banks, neurons), np.int32)
        for t in range(starts[u], starts[u + 1]):
            for s in range(steps):
                accumulator[:] = 0
                for i in range(inputs):
                    bank = i // rows_per_bank
                    for n in range(len(delays)):
                        source = t * steps + s - delays[n]
                        if source >= starts[u] * steps and spikes[source, i]:
                            for j in range(neurons):
                                total = accumulator[bank, j] + weights[n, i, j] * spikes[source, i]
                                kept = min(max(total, low), high)
                                saturations[t] += total != kept
                                accumulator[bank, j] = kept
                for k in range(banks):
                    for j in range(neurons):
                        out[t, s, j] += accumulator[k, j]
    return out, saturations
