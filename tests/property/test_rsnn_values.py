"""Every value that the kernels give is the plain reference's: spikes, membranes, outputs and saturations."""

from __future__ import annotations

from pathlib import Path

import numba
import numpy as np
import pytest
from chips import batch_of, rsnn28nm
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_rsnn import Layer, Network, Neurons, bit_serial, rows_of_spikes

from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute
from accelsim.kernels import accumulate
from accelsim.kernels.lif import lif
from accelsim.ops.graph import Graph
from accelsim.workload import Workload, WorkloadSpec

seeds = st.integers(0, 2**32 - 1)
sets_of_pes = st.sampled_from([1, 2, 4])


def integers(generator: np.random.Generator, low: int, high: int, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Return integers of the whole range low .. high, both ends included."""
    return generator.integers(low, high + 1, shape).astype(dtype)


@st.composite
def utterance_starts(draw: st.DrawFn) -> list[int]:
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    return np.concatenate([[0], np.cumsum(lengths)]).tolist()


@settings(max_examples=120)
@given(seeds, st.integers(1, 6), st.integers(1, 7), sets_of_pes, st.integers(2, 13))
def test_bit_serial(seed: int, inputs: int, neurons: int, sets: int, accumulator_bits: int) -> None:
    generator = np.random.default_rng(seed)
    features = integers(generator, 0, 255, (3, inputs), np.uint8)
    weights = integers(generator, -8, 7, (inputs, neurons), np.int8)
    sums, saturations = accumulate.bit_serial(features, weights, 8, sets, accumulator_bits)
    for t in range(len(features)):
        expected = bit_serial(features[t].tolist(), weights.tolist(), 8, sets, accumulator_bits)
        assert (sums[t].tolist(), saturations[t]) == expected


@settings(max_examples=120)
@given(
    seeds, st.integers(1, 9), st.integers(1, 5), st.integers(1, 3), sets_of_pes, st.integers(2, 8), st.integers(1, 2),
    st.booleans(),
)  # fmt: skip
def test_spike_rows(
    seed: int, inputs: int, neurons: int, steps: int, banks: int, accumulator_bits: int, most: int, shared: bool
) -> None:
    generator = np.random.default_rng(seed)
    spikes = integers(generator, 0, most, (3, steps, inputs), np.uint8)
    weights = integers(generator, -8, 7, (inputs, neurons), np.int8)
    sums, saturations = accumulate.spike_rows(spikes, weights, banks, accumulator_bits, shared)
    for t in range(len(spikes)):
        expected = rows_of_spikes(spikes[t].tolist(), weights.tolist(), banks, accumulator_bits, shared)
        assert (sums[t].tolist(), saturations[t]) == expected


@settings(max_examples=150)
@given(
    seed=seeds,
    starts=utterance_starts(),
    neurons=st.integers(1, 6),
    steps=st.integers(1, 2),
    recurrent_shift=st.integers(-2, 2),
    beta_bits=st.integers(1, 8),
    reset=st.sampled_from(["subtract", "zero"]),
    carry=st.booleans(),
    membrane_bits=st.integers(3, 12),
    accumulator_bits=st.integers(3, 12),
    banks=sets_of_pes,
    data=st.data(),
)
def test_lif(
    seed: int, starts: list[int], neurons: int, steps: int, recurrent_shift: int, beta_bits: int, reset: str,
    carry: bool, membrane_bits: int, accumulator_bits: int, banks: int, data: st.DataObject,
) -> None:  # fmt: skip
    beta_numerator = data.draw(st.integers(0, 2**beta_bits))
    threshold = data.draw(st.integers(1, min(2 ** (membrane_bits - 1), 60)))
    generator = np.random.default_rng(seed)
    current = integers(generator, -40, 40, (starts[-1], steps, neurons), np.int32)
    recurrent = integers(generator, -8, 7, (neurons, neurons), np.int8)
    spikes, membranes, in_sum, in_membrane = lif(
        current, recurrent, np.asarray(starts), recurrent_shift=recurrent_shift, beta_numerator=beta_numerator,
        beta_bits=beta_bits, threshold=threshold, reset_subtract=reset == "subtract", membrane_carry=carry,
        membrane_bits=membrane_bits, accumulator_bits=accumulator_bits, banks=banks,
    )  # fmt: skip

    layer = Neurons(
        recurrent.tolist(), recurrent_shift, beta_numerator, beta_bits, threshold, reset, carry, membrane_bits,
        accumulator_bits, banks,
    )  # fmt: skip
    for u in range(len(starts) - 1):
        layer.begin_utterance(steps)
        for t in range(starts[u], starts[u + 1]):
            clamped = layer.accumulators_clamped, layer.membranes_clamped
            expected_spikes, expected_membranes = layer.frame(current[t].tolist())
            assert spikes[t].tolist() == expected_spikes
            assert membranes[t].tolist() == expected_membranes
            assert in_sum[t] == layer.accumulators_clamped - clamped[0]
            assert in_membrane[t] == layer.membranes_clamped - clamped[1]


MODES = {
    "one step": (1, "parallel", True),
    "two steps merged": (2, "parallel", True),
    "two steps unmerged": (2, "parallel", False),
    "two steps sequential": (2, "sequential", True),
    "four steps unmerged": (4, "parallel", False),
}


def network(
    seed: int, mode: str, sets: int, reset: str, carry: bool, accumulator_bits: int, membrane_bits: int,
    output_bits: int, skip: bool = True,
) -> tuple[Workload, object, Network]:  # fmt: skip
    """Return a random network as accelsim has it, its chip, and the same as the plain reference."""
    steps, time_steps, merge = MODES[mode]
    generator = np.random.default_rng(seed)
    features, first, second, classes = (int(n) for n in generator.integers(1, 8, 4))
    shifts = [int(n) for n in generator.integers(-4, 3, 4)]
    thresholds = [int(n) for n in generator.integers(1, min(2 ** (membrane_bits - 1), 60), 2)]
    betas = [int(n) for n in generator.integers(0, 9, 2)]
    shapes = {
        "a": (features, first),
        "ar": (first, first),
        "b": (first, second),
        "br": (second, second),
        "c": (second, classes),
    }
    tensors = {name: integers(generator, -8, 7, shape, np.int8) for name, shape in shapes.items()}

    def lif_layer(index: int, name: str, source: str, neurons: int, weights: str) -> dict:
        return {
            "op": "lif", "name": name, "input": source, "neurons": neurons, "weight_bits": 4, "weights": weights,
            "recurrent_weights": weights + "r", "input_shift": shifts[index], "recurrent_shift": shifts[index + 2],
            "beta": betas[index] / 8, "beta_bits": 3, "threshold": thresholds[index], "reset": reset,
            "membrane_carry": carry,
        }  # fmt: skip

    readout = {"op": "spike_sum", "name": "out", "input": "two", "neurons": classes, "weight_bits": 4, "weights": "c"}
    layers = [lif_layer(0, "one", "features", first, "a"), lif_layer(1, "two", "one", second, "b"), readout]
    inputs = {"source": "speech", "dataset": "none", "split": "none", "features": {"bands": features}}
    spec = WorkloadSpec.model_validate(
        {"name": "n", "weights": "n", "time_steps": steps, "inputs": inputs, "graph": layers}
    )
    chip = rsnn28nm(
        {
            "components.pe.sets": sets,
            "components.pe.accumulator_bits": accumulator_bits,
            "components.lif.membrane_bits": membrane_bits,
            "components.fc_accumulator.width_bits": output_bits,
            "components.controller.time_steps": time_steps,
            "components.zero_skip.merge_spikes": merge,
            "components.zero_skip.skip_inputs": skip,
            "components.zero_skip.skip_spikes": skip,
        }
    )
    plain = Network(steps, 8, sets, accumulator_bits, output_bits, time_steps == "parallel", merge, [], [])
    for index, (name, weights) in enumerate((("one", "a"), ("two", "b"))):
        neurons = Neurons(
            tensors[weights + "r"].tolist(), shifts[index + 2], betas[index], 3, thresholds[index], reset, carry,
            membrane_bits, accumulator_bits, plain.banks_of_a_layer(),
        )  # fmt: skip
        plain.layers.append(Layer(name, tensors[weights].tolist(), shifts[index], index == 0, neurons))
    plain.readout = tensors["c"].tolist()
    workload = Workload(
        spec=spec,
        graph=Graph.of(spec.graph, spec.features()),
        tensors=tensors,
        reference=None,
        decoder=None,
        folder=Path(),
        sha256="",
    )
    return workload, chip, plain


modes_and_sets = st.sampled_from(
    [
        (mode, sets)
        for mode, (steps, time_steps, _) in MODES.items()
        for sets in (1, 2, 4)
        if time_steps == "sequential" or sets % steps == 0
    ]
)


@settings(max_examples=150)
@given(
    seed=seeds,
    mode_and_sets=modes_and_sets,
    reset=st.sampled_from(["subtract", "zero"]),
    carry=st.booleans(),
    accumulator_bits=st.sampled_from([4, 5, 6, 7, 8, 12]),
    membrane_bits=st.sampled_from([4, 6, 8, 16]),
    output_bits=st.sampled_from([4, 5, 6, 16, 20]),
    starts=utterance_starts(),
    skip=st.booleans(),
)
def test_whole_network(
    seed: int, mode_and_sets: tuple[str, int], reset: str, carry: bool, accumulator_bits: int, membrane_bits: int,
    output_bits: int, starts: list[int], skip: bool,
) -> None:  # fmt: skip
    mode, sets = mode_and_sets
    workload, chip, plain = network(seed, mode, sets, reset, carry, accumulator_bits, membrane_bits, output_bits, skip)
    features = integers(np.random.default_rng(seed + 1), 0, 255, (starts[-1], workload.spec.inputs.width()), np.uint8)
    execution = execute(deploy(workload, chip), batch_of(features, starts))
    expected = plain.run(features.tolist(), starts)
    assert {name: spikes.tolist() for name, spikes in execution.spikes.items()} == expected["spikes"]
    assert execution.outputs.tolist() == expected["outputs"]
    assert execution.activity.saturations == expected["saturations"]


def test_small_words_do_saturate() -> None:
    # Guards the tests above: their words are small enough that clamping is common, in every place where it can be.
    everywhere = {"one": 0, "two": 0, "out": 0}
    for seed in range(20):
        workload, chip, _ = network(seed, "two steps merged", 2, "subtract", True, 4, 4, 4)
        features = integers(np.random.default_rng(seed), 0, 255, (8, workload.spec.inputs.width()), np.uint8)
        execution = execute(deploy(workload, chip), batch_of(features, [0, 8]))
        for layer, count in execution.activity.saturations.items():
            everywhere[layer] += count
    assert min(everywhere.values()) > 50


@pytest.mark.parametrize("mode", ["one step", "two steps merged", "two steps unmerged", "two steps sequential"])
def test_same_bits_for_any_number_of_threads_and_any_split_into_batches(mode: str) -> None:
    workload, chip, _ = network(5, mode, 2, "subtract", True, 6, 8, 8)
    deployment = deploy(workload, chip)
    lengths = [1, 7, 30, 2, 11, 50, 3]
    starts = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    features = integers(np.random.default_rng(9), 0, 255, (starts[-1], workload.spec.inputs.width()), np.uint8)

    def run(first: int, last: int) -> tuple[np.ndarray, dict, dict]:
        part = features[starts[first] : starts[last]]
        of_part = [start - starts[first] for start in starts[first : last + 1]]
        execution = execute(deployment, batch_of(part, of_part))
        return execution.outputs, dict(execution.spikes), dict(execution.activity.saturations)

    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = run(0, len(lengths))
        numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
        two = run(0, len(lengths))
    finally:
        numba.set_num_threads(before)
    _assert_same(one, [two])
    for cut in range(1, len(lengths)):
        _assert_same(one, [run(0, cut), run(cut, len(lengths))])
    _assert_same(one, [run(i, i + 1) for i in range(len(lengths))])


def _assert_same(whole: tuple, parts: list[tuple]) -> None:
    outputs, spikes, saturations = whole
    assert np.array_equal(outputs, np.concatenate([part[0] for part in parts]))
    for layer in spikes:
        assert np.array_equal(spikes[layer], np.concatenate([part[1][layer] for part in parts]))
    assert saturations == {layer: sum(part[2][layer] for part in parts) for layer in saturations}
