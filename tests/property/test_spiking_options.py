"""Options of neurons and readouts on PEs: values by references, counts by plain loops, and what does not fit."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from chips import batch_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_op_references import by_reference, write

from accelsim.architecture import load_architecture
from accelsim.engines.deploy import Deployment, deploy
from accelsim.engines.execute import Execution, execute
from accelsim.errors import InputError
from accelsim.inputs import Batch
from accelsim.ops.op import FEATURES
from accelsim.workload import Workload

WIDE = {
    "components.pe.accumulator_bits": "24", "components.lif.membrane_bits": "31", "components.membranes.width_bits":
    "31", "components.fc_accumulator.width_bits": "31", "components.membranes.entries": "1000",
    "components.spike_registers.entries": "1000",
}  # fmt: skip
INPUTS, HIDDEN, CLASSES = 5, 7, 6


def network(
    tensors: dict[str, np.ndarray], *, second: str = "", readout: str = "", steps: int = 1, bits: int = 4
) -> Workload:
    """Two layers and a readout; options of the second layer and of the readout."""
    ops = [
        f"name: l0, op: lif, input: features, neurons: {HIDDEN}, weight_bits: {bits}, recurrent: false, beta: 0.75, "
        "threshold: 40, reset: zero",
        f"name: l1, op: lif, input: l0, neurons: {HIDDEN}, weight_bits: {bits}, input_shift: 1, beta: 0.5, "
        f"threshold: 6, reset: subtract{second}",
        f"name: out, op: spike_sum, input: l1, neurons: {CLASSES}, weight_bits: {bits}{readout}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder), ops, tensors, bands=INPUTS, steps=steps)


def weights(generator: np.random.Generator, bits: int = 4) -> dict[str, np.ndarray]:
    shapes = {
        "l0.weight": (INPUTS, HIDDEN), "l1.weight": (HIDDEN, HIDDEN), "l1.recurrent_weight": (HIDDEN, HIDDEN),
        "out.weight": (HIDDEN, CLASSES),
    }  # fmt: skip
    top = 1 << (bits - 1)
    drawn = {name: generator.integers(-top, top, shape) for name, shape in shapes.items()}
    if bits == 1:
        drawn = {name: np.where(x == 0, 1, x) for name, x in drawn.items()}
    return {name: x.astype(np.int8) for name, x in drawn.items()}


def batch(generator: np.random.Generator, lengths: list[int]) -> Batch:
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return batch_of(generator.integers(0, 256, (starts[-1], INPUTS)).astype(np.uint8), starts)


def run(workload: Workload, inputs: Batch, keys: dict[str, str]) -> tuple[Deployment, Execution]:
    deployment = deploy(workload, load_architecture("rsnn28nm", WIDE | keys))
    return deployment, execute(deployment, inputs)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    steps=st.integers(1, 2),
    bits=st.sampled_from([1, 4]),
    bias=st.booleans(),
    delays=st.sampled_from(["none", "inputs", "synapses"]),
    synapse=st.sampled_from([None, 0.0, 0.5, 0.8125]),
    refractory=st.integers(0, 3),
    carry=st.booleans(),
    leak=st.sampled_from([1.0, 0.5, 0.3125, 0.0]),
    sums_on=st.booleans(),
    order=st.sampled_from(["parallel", "sequential"]),
    skip=st.booleans(),
)
@example(1, [4, 5], 1, 4, True, "synapses", 0.5, 1, True, 0.5, True, "parallel", True)
@example(2, [4, 5], 2, 4, False, "synapses", None, 0, True, 1.0, False, "sequential", True)
@example(3, [4, 5], 2, 4, True, "synapses", 0.5, 2, False, 0.5, False, "parallel", True)
@example(4, [4, 5], 2, 1, True, "inputs", 0.5, 1, True, 0.3125, True, "sequential", False)
def test_values_and_counts(
    seed, lengths, steps, bits, bias, delays, synapse, refractory, carry, leak, sums_on, order, skip
) -> None:
    generator = np.random.default_rng(seed)
    tensors = weights(generator, bits)
    if bits > 1:  # pruned, so that some rows have no weight of some delay
        tensors["l1.weight"] *= generator.integers(0, 2, (HIDDEN, HIDDEN)).astype(np.int8)
    second = f", refractory: {refractory}, membrane_carry: {str(carry).lower()}"
    if bias:
        tensors["l1.bias"] = generator.integers(-5, 6, HIDDEN).astype(np.int32)
    if synapse is not None:
        second += f", synapse_beta: {synapse}"
    if delays != "none":
        second += ", delays: 3"
        shape = (HIDDEN,) if delays == "inputs" else (HIDDEN, HIDDEN)
        tensors["l1.delays"] = generator.integers(0, 4, shape).astype(np.int8)
    workload = network(
        tensors, second=second, readout=f", beta: {leak}, carry: {str(sums_on).lower()}", steps=steps, bits=bits
    )
    inputs = batch(generator, lengths)
    keys = {"components.controller.time_steps": order, "components.zero_skip.skip_spikes": str(skip).lower()}
    deployment, found = run(workload, inputs, keys)
    wanted = by_reference(workload, inputs.signal(workload.graph.edges[FEATURES]))
    assert sum(found.activity.saturations.values()) == 0
    assert found.spikes["l0"].tolist() == wanted["l0"].tolist()
    assert found.spikes["l1"].tolist() == wanted["l1"].tolist()
    assert found.outputs.tolist() == wanted["out"].tolist()

    # Rows of the second layer's feedforward matrix, one weight at a time.
    work = deployment.schedule.jobs[[job.name for job in deployment.schedule.jobs].index("l1.feedforward")].work
    delay = tensors.get("l1.delays", np.zeros(HIDDEN, np.int8))
    delay = np.broadcast_to(delay[:, None] if delay.ndim == 1 else delay, (HIDDEN, HIDDEN))
    per_input = delays != "synapses"
    most_rows = -(-HIDDEN // work.banks)
    counts = {key: values for key, values in found.activity.counts.items() if key[0] == "l1.feedforward"}
    t = 0
    for utterance, length in enumerate(lengths):
        first = sum(lengths[:utterance])
        line = [found.spikes["l0"][first + n // steps, n % steps] for n in range(length * steps)]
        for frame in range(length):
            walked_steps = read = added = 0
            walks = [[s] for s in range(steps)] if work.walk == "each" else [list(range(steps))]
            for walk in walks:
                banks = [0] * work.banks
                for i in range(HIDDEN):
                    for d in sorted({int(x) for x in delay[i]}):
                        of_delay = [j for j in range(HIDDEN) if delay[i, j] == d]
                        if not per_input and not any(tensors["l1.weight"][i, j] for j in of_delay):
                            continue
                        times = [frame * steps + s - d for s in walk]
                        spikes = [int(line[n][i]) for n in times if n >= 0]
                        added += sum(spikes) * len(of_delay)
                        if any(spikes) or not work.skip:
                            banks[i // most_rows] += 1
                            read += 1
                walked_steps += max(banks)
            assert counts["l1.feedforward", "pe"]["accumulate"][t] == added
            assert counts["l1.feedforward", "weights_recurrent"]["read"][t] == read
            assert counts["l1.feedforward", "pe"]["steps"][t] == walked_steps
            t += 1
    macs = found.activity.macs["l1.feedforward"]
    assert macs["performed"] + macs["skipped"] == macs["dense"] == t * steps * HIDDEN * HIDDEN

    # A word more of state is read and written for each option that needs one; a bias is read alone.
    words = 1 + (synapse is not None) + (refractory > 0)
    neurons = found.activity.counts["l1.neurons", "membranes"]
    assert set(neurons["write"]) == {HIDDEN * steps * words}
    assert set(neurons["read"]) == {HIDDEN * steps * (words + bias)}
    updates = found.activity.counts["l1.neurons", "lif"]["update"]
    assert set(updates) == {HIDDEN * steps * (1 if synapse is None else 2)}
    leaks = 0 if leak == 1 else steps if sums_on else steps - 1
    for component, name, each in (("lif", "update", leaks), ("membranes", "write", int(sums_on))):
        seen = found.activity.counts.get(("out.output", component), {name: np.zeros(1, int)})[name]
        assert set(seen) == {each * CLASSES * 2}


@pytest.mark.parametrize(
    ("second", "readout", "change", "keys", "message"),
    [
        (", synapse_beta: 0.5", "", {}, {"components.membranes.entries": "20"},
         "21 words of membranes and other state do not fit the 20 entries of 'membranes'"),
        (", refractory: 2", "", {}, {"components.membranes.entries": "20"}, "21 words of membranes and other state"),
        ("", "", {"l1.bias": np.ones(HIDDEN, np.int32)}, {"components.membranes.entries": "20"},
         "21 words of membranes and other state"),
        ("", ", carry: true", {}, {"components.membranes.entries": "25"}, "26 words of membranes and other state"),
        (", delays: 3", "", {"l1.delays": np.ones(HIDDEN, np.int32)}, {"components.spike_registers.entries": "34"},
         "35 spikes of all time steps and delays do not fit the 34 entries of 'spike_registers'"),
        (", refractory: 200", "", {}, {"components.lif.membrane_bits": "8"},
         "refractory 200 of layer 'l1' does not fit the 8-bit words of 'lif'"),
        ("", "", {"l1.bias": np.full(HIDDEN, 128, np.int32)}, {"components.lif.membrane_bits": "8"},
         "the bias of layer 'l1' has values from 128 to 128, which do not fit the 8-bit words of 'lif'"),
        ("", ", carry: true", {}, {"components.membranes.width_bits": "23", "components.lif.membrane_bits": "20"},
         "'membranes' has words of 23 bits for the 24-bit sums that layer 'out' carries on"),
        (", delays: 3", "", {"l1.delays": np.arange(49, dtype=np.int32).reshape(7, 7) % 4},
         {"components.zero_skip.units": "1", "components.zero_skip.width": "27"},
         "layer 'l1' has 28 inputs, 'zero_skip' selects among 1 x 27"),
    ],
)  # fmt: skip
def test_what_does_not_fit(second, readout, change, keys, message) -> None:
    """Two layers of 7 neurons: 14 membranes and 14 spikes without options; a readout of 6 on two sets of PEs."""
    workload = network({**weights(np.random.default_rng(0)), **change}, second=second, readout=readout)
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        deploy(workload, load_architecture("rsnn28nm", WIDE | keys))
    fits = {key: str(int(value) + 1) for key, value in keys.items() if "entries" in key or "width" in key}
    if fits:
        deploy(workload, load_architecture("rsnn28nm", WIDE | keys | fits))


@pytest.mark.parametrize(
    ("keys", "tensors", "message"),
    [
        (", delays: 2", {}, "no tensor 'l1.delays'"),
        (", delays: 2", {"l1.delays": np.full(HIDDEN, 3, np.int32)}, "'l1.delays' has delays outside 0 .. 2"),
        (", delays: 2", {"l1.delays": np.full(HIDDEN, -1, np.int32)}, "'l1.delays' has delays outside 0 .. 2"),
        (", delays: 2", {"l1.delays": np.zeros(6, np.int32)}, r"has shape \[6\], expected \[7, 7\] or \[7\]"),
        (", delays: 2", {"l1.delays": np.zeros(HIDDEN, np.float32)}, "has type float32, expected whole time steps"),
        ("", {"l1.biases": np.zeros(HIDDEN, np.int32)}, "no layer reads tensor 'l1.biases' .*did you mean 'l1.bias'"),
        ("", {"l1.bias": np.zeros(HIDDEN, np.float32)}, "has type float32, expected int32"),
        (", synapse_beta: 0.3", {}, "expected synapse_beta to be a multiple of 2\\^-8, found 0.3"),
        (", feedforward: false, delays: 1", {}, "delays are those of spikes on their way to feedforward weights"),
    ],
)
def test_bad_options(keys, tensors, message) -> None:
    with pytest.raises(InputError, match=message):
        network({**weights(np.random.default_rng(0)), **tensors}, second=keys)
