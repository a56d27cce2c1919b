"""Spiking layers without recurrence, with bias, refractory, driven by synaptic currents; delays; leaky readouts."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import reference_lif as plain
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.accumulate import spike_rows
from accelsim.kernels.delays import delayed, delayed_rows
from accelsim.kernels.lif import leaky_sum, lif, lif_euler, lif_float

seeds = st.integers(0, 2**31)
lengths = st.lists(st.integers(0, 6), min_size=1, max_size=3)


def starts_of(frames: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(frames)]).astype(np.int64)


@settings(max_examples=150, deadline=None)
@given(
    seed=seeds, frames=lengths, steps=st.integers(1, 3), neurons=st.integers(1, 6), recurrent=st.booleans(),
    biased=st.booleans(), refractory=st.integers(0, 4), alpha=st.one_of(st.none(), st.integers(0, 16)),
    beta=st.integers(0, 16), input_shift=st.integers(-3, 2), recurrent_shift=st.integers(-1, 2),
    subtract=st.booleans(), carry=st.booleans(), membrane_bits=st.integers(5, 16), synapse_bits=st.integers(4, 16),
    accumulator_bits=st.integers(3, 16), banks=st.integers(1, 3), strict=st.booleans(), old=st.booleans(),
    own=st.sets(st.sampled_from(["beta", "threshold", "alpha", "rest", "recurrent_bias"])),
)  # fmt: skip
def test_lif(
    seed, frames, steps, neurons, recurrent, biased, refractory, alpha, beta, input_shift, recurrent_shift, subtract,
    carry, membrane_bits, synapse_bits, accumulator_bits, banks, strict, old, own,
) -> None:  # fmt: skip
    random, starts = np.random.default_rng(seed), starts_of(frames)
    current = random.integers(-12, 25, (starts[-1], steps, neurons)).astype(np.int32)
    weights = random.integers(-8, 8, (neurons, neurons)).astype(np.int8) if recurrent else None
    bias = random.integers(-9, 10, neurons) if biased else None
    threshold = int(random.integers(1, 2 ** (membrane_bits - 1)))
    of_all = {"beta": beta, "alpha": alpha or 0}
    betas, alphas = (random.integers(0, 17, neurons) if name in own else x for name, x in of_all.items())
    thresholds = random.integers(1, 2 ** (membrane_bits - 1), neurons) if "threshold" in own else threshold
    rest = random.integers(-9, 10, neurons) if "rest" in own else None
    later = random.integers(-9, 10, neurons) if "recurrent_bias" in own else None
    old = old and alpha is not None
    leak = {} if alpha is None else {"alpha_numerator": alphas, "alpha_bits": 4, "synapse_bits": synapse_bits}
    spikes, membranes, in_sum, in_words = lif(
        current, weights, starts, recurrent_shift=recurrent_shift, beta_numerator=betas, beta_bits=4, strict=strict,
        old_current=old, rest=rest, recurrent_bias=later, threshold=thresholds,
        reset_subtract=subtract, membrane_carry=carry, membrane_bits=membrane_bits,
        accumulator_bits=accumulator_bits, banks=banks, bias=bias, input_shift=input_shift, refractory=refractory,
        **leak,
    )  # fmt: skip

    def neuron(j: int) -> plain.Neuron:
        words = (None if alpha is None else synapse_bits, membrane_bits)
        mine = [int(np.broadcast_to(x, neurons)[j]) for x in (alphas, betas, thresholds, 0 if rest is None else rest)]
        of_synapse = None if alpha is None else Fraction(mine[0], 16)
        return plain.Neuron(
            of_synapse, Fraction(mine[1], 16), mine[2], subtract, refractory, words, strict, old, mine[3]
        )  # fmt: skip

    wanted = plain.layer(
        current, weights, np.zeros(neurons, int) if bias is None else bias, starts, carry, neuron,
        input_shift, recurrent_shift, banks, accumulator_bits, later,
    )  # fmt: skip
    np.testing.assert_array_equal(spikes, wanted[0])
    np.testing.assert_array_equal(membranes, wanted[1].astype(int))
    assert in_sum.tolist() == wanted[2] and in_words.tolist() == wanted[3]


@settings(max_examples=80, deadline=None)
@given(
    seed=seeds, frames=lengths, steps=st.integers(1, 3), neurons=st.integers(1, 6), recurrent=st.booleans(),
    biased=st.booleans(), refractory=st.integers(0, 4), alpha=st.sampled_from([None, 0.0, 0.3, 0.9]),
    beta=st.sampled_from([0.0, 0.7, 0.95, 1.0]), subtract=st.booleans(), carry=st.booleans(), strict=st.booleans(),
    old=st.booleans(), own=st.sets(st.sampled_from(["beta", "threshold", "alpha", "rest", "recurrent_bias"])),
)  # fmt: skip
def test_lif_float(
    seed, frames, steps, neurons, recurrent, biased, refractory, alpha, beta, subtract, carry, strict, old, own
) -> None:
    random, starts = np.random.default_rng(seed), starts_of(frames)
    current = random.normal(0.3, 0.5, (starts[-1], steps, neurons)).astype(np.float32)
    weights = random.normal(0, 0.5, (neurons, neurons)).astype(np.float32) if recurrent else None
    bias = random.normal(0, 0.3, neurons).astype(np.float32) if biased else None
    F, old = np.float32, old and alpha is not None
    each = {name: random.uniform(0, 1, neurons).astype(F) if name in own else F(x)
            for name, x in (("beta", beta), ("alpha", alpha or 0), ("threshold", 0.8))}  # fmt: skip
    rest, later = (
        random.normal(0, 0.3, neurons).astype(F) if name in own else None for name in ("rest", "recurrent_bias")
    )
    spikes = lif_float(
        current, weights, starts, each["beta"], each["threshold"], subtract, carry, bias=bias, refractory=refractory,
        alpha=None if alpha is None else each["alpha"], rest=rest, recurrent_bias=later, strict=strict, old_current=old,
    )  # fmt: skip

    def neuron(j: int) -> plain.Neuron:
        a, b, c = (np.broadcast_to(each[name], neurons)[j] for name in ("alpha", "beta", "threshold"))
        level = 0 if rest is None else rest[j]
        return plain.Neuron(None if alpha is None else a, b, c, subtract, refractory, None, strict, old, level)

    wanted = plain.layer(
        current, weights, np.zeros(neurons, F) if bias is None else bias, starts, carry, neuron, later=later
    )  # fmt: skip
    np.testing.assert_array_equal(spikes, wanted[0])


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds, frames=lengths, steps=st.integers(1, 2), neurons=st.integers(1, 5), recurrent=st.booleans(),
    own=st.sets(st.sampled_from(["synapse_step", "recurrent_bias", "input_gain", "resistance", "rest"])),
    flags=st.sets(st.sampled_from(["leaky", "old_current", "strict", "reset_subtract", "membrane_carry"])),
    refractory=st.integers(0, 2),
)  # fmt: skip
def test_lif_euler(seed, frames, steps, neurons, recurrent, own, flags, refractory) -> None:
    """Each neuron by itself, in numpy's float32 scalars: every operation is rounded."""
    random, starts, F = np.random.default_rng(seed), starts_of(frames), np.float32
    current = random.normal(0.3, 0.5, (starts[-1], steps, neurons)).astype(F)
    weights = random.normal(0, 0.5, (neurons, neurons)).astype(F) if recurrent else np.zeros((neurons, neurons), F)
    given = {name: random.uniform(0.1, 1, neurons).astype(F) for name in sorted(own)}
    step, top = random.uniform(0.1, 1, neurons).astype(F), random.uniform(0.1, 1, neurons).astype(F)
    options = {name: name in flags for name in ("leaky", "strict", "reset_subtract", "membrane_carry")}
    old = "old_current" in flags and "synapse_step" in own
    spikes = lif_euler(
        current, weights if recurrent else None, starts, membrane_step=step, threshold=top, refractory=refractory,
        old_current=old, **options, **given,
    )  # fmt: skip
    wanted, one, none = np.zeros(current.shape, int), np.ones(neurons, F), np.zeros(neurons, F)
    rest, gain, drop = (
        given.get(name, usual) for name, usual in (("rest", none), ("input_gain", one), ("resistance", one))
    )
    for first, last in pairwise(starts):
        v, i, quiet = list(rest), [F(0)] * neurons, [0] * neurons
        for t in range(first, last):
            if not options["membrane_carry"]:
                v, i, quiet = list(rest), [F(0)] * neurons, [0] * neurons
            for s in range(steps):
                for j in range(neurons):
                    again = F(0)
                    if t > first:
                        for k in range(neurons):
                            again = F(again + weights[k, j]) if wanted[t - 1, s, k] else again
                        again = F(again + given.get("recurrent_bias", none)[j])
                    x = F(gain[j] * F(current[t, s, j] + again))
                    if "synapse_step" in given:
                        before, i[j] = i[j], F(i[j] + F(given["synapse_step"][j] * F(F(0 - i[j]) + x)))
                        x = before if old else i[j]
                    if quiet[j]:
                        quiet[j] -= 1
                        continue
                    x = F(drop[j] * x)
                    x = F(F(x + rest[j]) - v[j]) if options["leaky"] else x
                    v[j] = F(v[j] + F(step[j] * x))
                    if v[j] > top[j] or (v[j] == top[j] and not options["strict"]):
                        wanted[t, s, j] = 1
                        v[j] = F(v[j] - top[j]) if options["reset_subtract"] else F(0)
                        quiet[j] = refractory
    np.testing.assert_array_equal(spikes, wanted)


def test_a_strict_threshold_by_hand() -> None:
    """U = 10, the threshold: it fires at it unless it is strict, and then at 11, from which 10 are taken."""
    assert one_neuron([10, 0]) == ([1, 0], [0, 0])
    assert one_neuron([10, 0], strict=True) == ([0, 0], [10, 5])
    assert one_neuron([11, 0], strict=True) == ([1, 0], [1, 0])


def test_a_potential_at_rest_and_an_old_current_by_hand() -> None:
    """U leaks to 4 from both sides, rounding down; the old current comes a time step later."""
    assert one_neuron([3, 0, 0, 0, 0], rest=np.array([4])) == ([0, 0, 0, 0, 0], [7, 5, 4, 4, 4])
    assert one_neuron([-5, 0, 0, 0, 0], rest=np.array([4]))[1] == [-1, 1, 2, 3, 3]
    alpha = {"alpha_numerator": 1, "alpha_bits": 1, "synapse_bits": 8}
    assert one_neuron([8, 0, 0, 0], old_current=True, **alpha)[1] == [0, 8, 8, 6]


def one_neuron(current: list[int], **options: int) -> tuple[list[int], list[int]]:
    """Spikes and membranes of one neuron that keeps half of its membrane, threshold 10, reset by subtraction."""
    usual = {
        "beta_numerator": 1, "beta_bits": 1, "threshold": 10, "reset_subtract": True, "membrane_carry": True,
        "membrane_bits": 16,
    }  # fmt: skip
    drive = np.array(current, np.int32).reshape(-1, 1, 1)
    spikes, membranes, _, _ = lif(drive, None, np.array([0, len(current)]), **usual | options)
    return spikes.ravel().tolist(), membranes.ravel().tolist()


def test_options_by_hand() -> None:
    assert one_neuron([30, 4, 4, 4]) == ([1, 1, 0, 0], [20, 4, 6, 7])
    # Refractory for two steps: 20 is held though it is above the threshold, then 20 / 2 + 4 fires.
    assert one_neuron([30, 4, 4, 4], refractory=2) == ([1, 0, 0, 1], [20, 20, 20, 4])
    # i = 8, 4, 2, 1 and what is left of -1 / 2 stays -1; U = U / 2 + i.
    alpha = {"alpha_numerator": 1, "alpha_bits": 1, "synapse_bits": 8}
    assert one_neuron([8, 0, 0, 0, -2, 0, 0], **alpha)[1] == [8, 8, 6, 4, 0, -1, -2]
    # A synaptic word of 4 bits holds 7 of 8; the bias comes before the shift: (7 + 1) >> 2 = 2.
    assert one_neuron([8, 0], **alpha | {"synapse_bits": 4})[1] == [7, 6]
    assert one_neuron([7, 3], bias=np.array([1]), input_shift=-2)[1] == [2, 2]


def test_a_refractory_neuron_rests_where_nothing_is_carried() -> None:
    """Two steps per frame: its refractory time ends with the frame, as its membrane does."""
    drive = np.full((3, 2, 1), 12, np.int32)
    options = {
        "beta_numerator": 1, "beta_bits": 1, "threshold": 10, "reset_subtract": False, "membrane_bits": 16,
        "refractory": 3,
    }  # fmt: skip
    starts = np.array([0, 3])
    assert lif(drive, None, starts, membrane_carry=False, **options)[0].ravel().tolist() == [1, 0, 1, 0, 1, 0]
    assert lif(drive, None, starts, membrane_carry=True, **options)[0].ravel().tolist() == [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha_numerator": 1, "alpha_bits": 1}, "needs a word: synapse_bits"),
        ({"refractory": -1}, "at least 0 time steps, found -1"),
        ({"bias": np.zeros(2, int)}, r"bias of shape \(2,\) does not fit 1 neurons"),
    ],
)
def test_wrong_options_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        one_neuron([1], **options)
    with pytest.raises(ValueError, match=r"recurrent weights of shape \(2, 2\) do not fit 1 neurons"):
        lif_float(np.zeros((1, 1, 1)), np.zeros((2, 2)), np.array([0, 1]), 0.5, 1.0, True, True)


# -- delays ------------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    seed=seeds, frames=lengths, steps=st.integers(1, 3), inputs=st.integers(1, 6), neurons=st.integers(1, 4),
    longest=st.integers(0, 9), kind=st.sampled_from(["one", "input", "synapse"]), bits=st.integers(3, 16),
    banks=st.integers(1, 3), most=st.integers(1, 2),
)  # fmt: skip
def test_delays(seed, frames, steps, inputs, neurons, longest, kind, bits, banks, most) -> None:
    random, starts = np.random.default_rng(seed), starts_of(frames)
    spikes = random.integers(0, most + 1, (starts[-1], steps, inputs)).astype(np.uint8)
    weights = random.integers(-8, 8, (inputs, neurons)).astype(np.int8)
    shape = {"one": (), "input": (inputs, 1), "synapse": (inputs, neurons)}[kind]
    delays = random.integers(0, longest + 1, shape)
    whole = np.broadcast_to(delays, weights.shape)
    given_delays = int(delays) if kind == "one" else delays[:, 0] if kind == "input" else delays
    sums, saturations = delayed_rows(spikes, weights, given_delays, starts, banks, bits)
    wanted, clamped = plain.delayed_sum(spikes, weights, whole, starts, banks, bits)
    np.testing.assert_array_equal(sums, wanted)
    assert saturations.tolist() == clamped
    if kind != "synapse":  # delays of inputs: spikes that come later
        later = delayed(spikes, starts, given_delays).reshape(-1, 1, inputs)
        np.testing.assert_array_equal(
            spike_rows(later, weights, banks, bits, shared=False)[0].reshape(sums.shape), sums
        )


def test_delays_by_hand() -> None:
    """Two steps per frame, utterances of two frames and one: delays of 1 and 3 reach over frames, not utterances."""
    spikes = np.array([[[1, 1], [0, 1]], [[1, 0], [0, 0]], [[0, 0], [1, 0]]], np.uint8)
    starts = np.array([0, 2, 3])
    later = delayed(spikes, starts, np.array([1, 3]))
    assert later[:, :, 0].ravel().tolist() == [0, 1, 0, 1, 0, 0]
    assert later[:, :, 1].ravel().tolist() == [0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("delays", [-1, np.array([0.5, 1.0]), np.array([1, 2, 3])])
def test_wrong_delays_are_refused(delays) -> None:
    spikes, weights = np.zeros((1, 1, 2), np.uint8), np.zeros((2, 2), np.int8)
    with pytest.raises(ValueError, match=r"whole numbers of time steps|do not fit"):
        delayed(spikes, np.array([0, 1]), delays)
    with pytest.raises(ValueError, match=r"whole numbers of time steps|do not fit"):
        delayed_rows(spikes, weights, delays, np.array([0, 1]), 1, 16)


# -- leaky readout -----------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    seed=seeds, frames=lengths, steps=st.integers(1, 3), inputs=st.integers(1, 9), neurons=st.integers(1, 4),
    alpha=st.integers(0, 16), carry=st.booleans(), banks=st.integers(1, 4), bits=st.integers(3, 16),
)  # fmt: skip
def test_leaky_sum(seed, frames, steps, inputs, neurons, alpha, carry, banks, bits) -> None:
    random, starts = np.random.default_rng(seed), starts_of(frames)
    spikes = random.integers(0, 3, (starts[-1], steps, inputs)).astype(np.uint8)
    weights = random.integers(-8, 8, (inputs, neurons)).astype(np.int8)
    how = {"alpha_numerator": alpha, "alpha_bits": 4, "carry": carry}
    y, saturations = leaky_sum(spikes, weights, starts, **how, banks=banks, accumulator_bits=bits)
    wanted, clamped = plain.leaky_sum(spikes, weights, starts, Fraction(alpha, 16), carry, banks, bits)
    np.testing.assert_array_equal(y, wanted)
    assert saturations.tolist() == clamped
    # In wide words: the equation as it stands, whatever the banks.
    y, _ = leaky_sum(spikes, weights, starts, **how, banks=banks, accumulator_bits=24)
    state = np.zeros(neurons, int)
    for t in range(starts[-1]):
        state = state * 0 if t in starts or not carry else state
        for s in range(steps):
            state = alpha * state // 16 + spikes[t, s].astype(int) @ weights
        assert y[t].tolist() == state.tolist()


@settings(max_examples=60, deadline=None)
@given(seeds, lengths, st.integers(1, 3), st.integers(1, 9), st.integers(1, 4), st.integers(3, 16))
def test_a_sum_without_leak_is_a_spike_sum(seed, frames, steps, inputs, banks, bits) -> None:
    random, starts = np.random.default_rng(seed), starts_of(frames)
    spikes = random.integers(0, 2, (starts[-1], steps, inputs)).astype(np.uint8)
    weights = random.integers(-8, 8, (inputs, 3)).astype(np.int8)
    found = leaky_sum(
        spikes, weights, starts, alpha_numerator=256, alpha_bits=8, carry=False, banks=banks, accumulator_bits=bits
    )  # fmt: skip
    wanted = spike_rows(spikes, weights, banks, bits, shared=True)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1], wanted[1])


def test_a_readout_that_grows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"alpha must lie from 0 to 1, found 3 / 2\^1"):
        leaky_sum(
            np.zeros((1, 1, 1), np.uint8), np.zeros((1, 1), np.int8), np.array([0, 1]),
            alpha_numerator=3, alpha_bits=1, carry=True, banks=1, accumulator_bits=16,
        )  # fmt: skip
