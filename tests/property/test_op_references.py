"""What ops mean in plain NumPy: engines give the same values, bit for bit, wherever their words are wide enough."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from chips import batch_of
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from accelsim.architecture import load_architecture
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute
from accelsim.ops.graph import Graph
from accelsim.ops.lif import LifOp
from accelsim.ops.op import FEATURES, Edge, Signal
from accelsim.workload import Workload, load_workload

seeds = st.integers(0, 2**32 - 1)
lengths = st.lists(st.integers(1, 7), min_size=1, max_size=3)


def write(folder: Path, ops: list[str], tensors: dict[str, np.ndarray], *, bands: int, steps: int = 1) -> Workload:
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / "weights.safetensors")
    (folder / "workload.yaml").write_text(
        f"schema: accelsim/workload@1\nname: network\nweights: weights.safetensors\ntime_steps: {steps}\n"
        f"inputs: {{source: speech, dataset: librivox_sample, split: test, features: {{bands: {bands}}}}}\ngraph:\n"
        + "".join(f"  - {{{op}}}\n" for op in ops)
    )
    return load_workload(folder)


def by_reference(network: Workload, features: Signal) -> dict[str, np.ndarray]:
    """Return what every op of a network gives, by its reference."""
    signals = {FEATURES: features}
    for op in network.graph.ops:
        read = [signals[name] for name in op.reads()]
        signals[op.name] = Signal(op.reference(read, network.tensors), read[0].starts, network.graph.edges[op.name])
    return {op.name: signals[op.name].values for op in network.graph.ops}


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    kernels=st.integers(1, 12),
    states=st.integers(1, 6),
    bits=st.integers(1, 7),
    code_bits=st.integers(3, 12),
    narrow=st.booleans(),
    gain=st.floats(0.05, 1),
    lengths=lengths,
)
def test_kernels_on_ideal_crossbars(seed, kernels, states, bits, code_bits, narrow, gain, lengths) -> None:
    """``narrow``: one input for all kernels. Input and output gains are such that halves, and clamped codes, occur."""
    generator, q = np.random.default_rng(seed), max(2 ** (bits - 1) - 1, 1)
    tensors = {}
    for part in "abc":
        levels = generator.integers(-q, q + 1, (kernels, states, 2)).astype(np.int8)
        tensors[f"s.{part}"] = np.where(levels == 0, 1, levels).astype(np.int8) if bits == 1 else levels
    op = (
        f"name: s, op: s4d, input: features, kernels: {kernels}, states: {states}, weight_bits: {bits}, scale: 0.7, "
        f"code_bits: {code_bits}, input_scale: {2.0 ** (code_bits - 8) * 1.5}, input_offset: {2 ** (code_bits - 1)}, "
        f"output_gain: {gain}"
    )
    with tempfile.TemporaryDirectory() as folder:
        network = write(Path(folder), [op], tensors, bands=1 if narrow else kernels)
    each = 64 // (4 * states + 2)
    number = str(-(-kernels // each))
    parts = ("crossbar", "dac", "sample_hold", "adc", "state_registers", "output_registers")
    chip = load_architecture(
        "imssa",
        {f"components.{part}.tiles": number for part in parts} | {
            "components.crossbar.device": "ideal", "components.crossbar.wires": "none",
            "components.crossbar.device_settings": "{}",
            "components.sample_hold.units": "32", "components.adc.units": "32", "components.dac.units": "64",
            "components.dac.bits": str(code_bits), "components.adc.range_bits": str(code_bits),
            "components.state_registers.entries": "32", "components.state_registers.width_bits": "12",
            "components.output_registers.entries": "10", "components.output_registers.width_bits": "12",
            "components.input_buffer.entries": "12",
        },
    )  # fmt: skip
    starts = np.concatenate([[0], np.cumsum(lengths)])
    features = generator.integers(0, 256, (starts[-1], 1 if narrow else kernels)).astype(np.uint8)
    batch = batch_of(features, starts)
    found = execute(deploy(network, chip), batch).outputs
    wanted = by_reference(network, batch.signal(network.graph.edges[FEATURES]))["s"]
    assert found.dtype == wanted.dtype
    assert found.tolist() == wanted.tolist()


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    hidden=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    inputs=st.integers(1, 6),
    classes=st.integers(1, 5),
    steps=st.integers(1, 2),
    recurrent=st.booleans(),
    subtract=st.booleans(),
    carry=st.booleans(),
    shifts=st.tuples(st.integers(-4, 2), st.integers(-2, 2)),
    leak=st.integers(0, 256),
    threshold=st.integers(1, 60),
    lengths=lengths,
)
def test_spiking_layers_on_pes(
    seed, hidden, inputs, classes, steps, recurrent, subtract, carry, shifts, leak, threshold, lengths
) -> None:
    generator = np.random.default_rng(seed)
    tensors, ops, before, width = {}, [], "features", inputs
    for n, neurons in enumerate(hidden):
        tensors[f"l{n}.weight"] = generator.integers(-8, 8, (width, neurons)).astype(np.int8)
        if recurrent:
            tensors[f"l{n}.recurrent_weight"] = generator.integers(-8, 8, (neurons, neurons)).astype(np.int8)
        ops.append(
            f"name: l{n}, op: lif, input: {before}, neurons: {neurons}, weight_bits: 4, beta: {leak / 256}, "
            f"recurrent: {str(recurrent).lower()}, input_shift: {shifts[0]}, recurrent_shift: {shifts[1]}, "
            f"threshold: {threshold}, reset: {'subtract' if subtract else 'zero'}, membrane_carry: {str(carry).lower()}"
        )
        before, width = f"l{n}", neurons
    tensors["out.weight"] = generator.integers(-8, 8, (width, classes)).astype(np.int8)
    ops.append(f"name: out, op: spike_sum, input: {before}, neurons: {classes}, weight_bits: 4")
    with tempfile.TemporaryDirectory() as folder:
        network = write(Path(folder), ops, tensors, bands=inputs, steps=steps)
    wide = {
        "components.pe.accumulator_bits": "24", "components.lif.membrane_bits": "31",
        "components.membranes.width_bits": "31",
    }  # fmt: skip
    chip = load_architecture("rsnn28nm", wide | {"components.membranes.width_bits": "31"})
    starts = np.concatenate([[0], np.cumsum(lengths)])
    batch = batch_of(generator.integers(0, 256, (starts[-1], inputs)).astype(np.uint8), starts)
    execution = execute(deploy(network, chip), batch)
    assert sum(execution.activity.saturations.values()) == 0
    wanted = by_reference(network, batch.signal(network.graph.edges[FEATURES]))
    for name, spikes in execution.spikes.items():
        assert spikes.tolist() == wanted[name].tolist(), name
    assert execution.spikes.keys() == wanted.keys() - {"out"}
    assert execution.outputs.tolist() == wanted["out"].tolist()


@given(seed=seeds, recurrent=st.booleans(), steps=st.integers(1, 3), shift=st.integers(-3, 3))
@settings(max_examples=40, deadline=None)
def test_currents_are_the_sums_of_the_weights(seed, recurrent, steps, shift) -> None:
    """A layer that reads sums fires as one that has the weights which make them, in every time step."""
    generator = np.random.default_rng(seed)
    keys = {
        "op": "lif", "name": "l", "input": FEATURES, "neurons": 5, "recurrent": recurrent, "input_shift": shift,
        "beta": 0.75, "threshold": 40, "reset": "subtract",
    }  # fmt: skip
    weighted, fed = LifOp(**keys), LifOp(**keys, feedforward=False)
    weights, back = generator.integers(-8, 8, (3, 5)), generator.integers(-8, 8, (5, 5))
    tensors = {"l.weight": weights.astype(np.int8), "l.recurrent_weight": back.astype(np.int8)}
    features = Edge(3, kind="codes", bits=8, steps=steps)
    assert Graph.of([weighted], features).given == Edge(5, kind="spikes", bits=1, steps=steps)
    read = Signal(generator.integers(0, 256, (9, 3)).astype(np.uint8), np.array([0, 4, 9]), features)
    sums = replace(read, values=read.values @ weights, edge=replace(features, width=5, bits=32))
    spikes = weighted.reference([read], tensors)
    assert spikes.shape == (9, steps, 5)
    assert spikes.tolist() == fed.reference([sums], tensors).tolist()
