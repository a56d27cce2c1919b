"""Networks that read spikes and give spikes on PEs, with constants of each neuron: values and counts by plain loops."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from chips import batch_of
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from test_op_references import by_reference
from test_spiking_options import WIDE

import accelsim
from accelsim.architecture import load_architecture
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute
from accelsim.errors import InputError
from accelsim.inputs import load_batch
from accelsim.ops.op import FEATURES, Signal
from accelsim.workload import Workload, load_workload

INPUTS, HIDDEN, OUTPUTS = 5, 7, 3
OWN = ("beta", "threshold", "synapse_beta", "rest", "recurrent_bias", "bias")


def network(folder: Path, seed: int, own: set[str], steps: int = 1, keys: str = "", outputs: str = "") -> Workload:
    """A recurrent layer with a synaptic current and a layer of outputs; ``own``: constants of each neuron."""
    random = np.random.default_rng(seed)

    def drawn(low: int, high: int, *shape: int) -> np.ndarray:
        return random.integers(low, high, shape)

    tensors = {
        "l0.weight": drawn(-8, 8, INPUTS, HIDDEN), "l0.recurrent_weight": drawn(-8, 8, HIDDEN, HIDDEN),
        "l1.weight": drawn(-8, 8, HIDDEN, OUTPUTS),
    }  # fmt: skip
    tensors = {name: tensor.astype(np.int8) for name, tensor in tensors.items()}
    ranges = {"beta": (0, 257), "threshold": (1, 30), "synapse_beta": (0, 257)}
    for end in sorted(own):
        tensors[f"l0.{end}"] = drawn(*ranges.get(end, (-4, 5)), HIDDEN).astype(np.int32)
    said = {"beta": "0.75", "threshold": "12", "synapse_beta": "0.5"}
    said |= {end: "per_neuron" for end in own & said.keys()}
    constants = ", ".join(f"{key}: {value}" for key, value in said.items())
    save_file(tensors, folder / "weights.safetensors")
    (folder / "workload.yaml").write_text(
        f"schema: accelsim/workload@1\nname: network\nweights: weights.safetensors\ntime_steps: {steps}\n"
        f"inputs: {{source: file, path: in.npz, frame_period: '1 ms', width: {INPUTS}, spikes: true}}\ngraph:\n"
        f"  - {{name: l0, op: lif, input: features, neurons: {HIDDEN}, weight_bits: 4, reset: subtract, {constants}"
        f"{keys}}}\n  - {{name: l1, op: lif, input: l0, neurons: {OUTPUTS}, weight_bits: 4, recurrent: false, "
        f"beta: 0.5, threshold: 5, reset: zero{outputs}}}\n"
    )
    return load_workload(folder)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), lengths=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    steps=st.integers(1, 2), own=st.sets(st.sampled_from(OWN)), strict=st.booleans(), old=st.booleans(),
    delays=st.booleans(), skip=st.booleans(),
)  # fmt: skip
def test_values_and_counts(seed, lengths, steps, own, strict, old, delays, skip) -> None:
    keys = f", strict: {str(strict).lower()}, current: {'old' if old else 'new'}"
    with tempfile.TemporaryDirectory() as folder:
        workload = network(Path(folder), seed, own, steps, keys)
        if delays:
            late = {"l0.delays": np.random.default_rng(seed).integers(0, 3, INPUTS).astype(np.int32)}
            save_file({**workload.tensors, **late}, Path(folder) / "weights.safetensors")
            file = Path(folder) / "workload.yaml"
            file.write_text(file.read_text().replace(keys, f"{keys}, delays: 2"))
            workload = load_workload(folder)
    starts = np.cumsum([0, *lengths])
    spikes = np.random.default_rng(seed).integers(0, 2, (starts[-1], steps, INPUTS)).astype(np.uint8)
    inputs = batch_of(spikes, starts)
    chip = load_architecture("rsnn28nm", WIDE | {"components.zero_skip.skip_spikes": str(skip).lower()})
    found = execute(deploy(workload, chip), inputs)
    wanted = by_reference(workload, inputs.signal(workload.graph.edges[FEATURES]))
    assert sum(found.activity.saturations.values()) == 0
    assert found.spikes.keys() == {"l0", "l1"}
    assert found.spikes["l0"].tolist() == wanted["l0"].tolist()
    assert found.spikes["l1"].tolist() == wanted["l1"].tolist()
    assert found.outputs.tolist() == [[sum(row[:, j]) for j in range(OUTPUTS)] for row in wanted["l1"].astype(int)]

    counts, first = found.activity.counts, np.concatenate([[0], np.cumsum(lengths)])
    late = workload.tensors.get("l0.delays", np.zeros(INPUTS, int))
    for utterance, length in enumerate(lengths):
        line = [spikes[first[utterance] + n // steps, n % steps] for n in range(length * steps)]
        for frame in range(length):
            t, added, rows = first[utterance] + frame, 0, 0
            for i in range(INPUTS):
                seen = [n - int(late[i]) for n in range(frame * steps, (frame + 1) * steps)]
                of_row = [int(line[n][i]) if n >= 0 else 0 for n in seen]
                added += sum(of_row) * HIDDEN
                each = steps == 1  # one time step after the other, else all share a row, and none is skipped
                rows += sum(of_row) if each and skip else len(of_row) if each else 1
            assert counts["l0.feedforward", "pe"]["accumulate"][t] == added
            assert counts["l0.feedforward", "weights_recurrent"]["read"][t] == rows
    macs = found.activity.macs["l0.feedforward"]
    assert macs["dense"] == len(spikes) * steps * INPUTS * HIDDEN == macs["performed"] + macs["skipped"]
    # A word for each constant that neurons have for themselves, read and never written; two words of state.
    assert set(counts["l0.neurons", "membranes"]["read"]) == {HIDDEN * steps * (2 + len(own))}
    assert set(counts["l0.neurons", "membranes"]["write"]) == {HIDDEN * steps * 2}
    assert set(counts["load", "input_buffer"]["write"]) == {INPUTS * steps}


def test_a_run_from_spikes_in_a_file_to_spikes(tmp_path) -> None:
    """The whole path: load, run, energy, and the class whose neuron spikes most often in an utterance."""
    workload = network(tmp_path, 3, {"threshold"})
    spikes = np.random.default_rng(4).integers(0, 2, (20, 1, INPUTS)).astype(np.uint8)
    starts = np.array([0, 8, 20])
    by_op = by_reference(workload, Signal(spikes, starts, workload.graph.edges[FEATURES]))["l1"]
    counts = [by_op[a:b].sum(axis=(0, 1), dtype=int) for a, b in pairwise(starts)]
    classes = ["a", "b", "c"]
    labels = np.array([classes[int(np.argmax(counts[0]))], classes[int(np.argmin(counts[1]))]])  # one right, one wrong
    np.savez(tmp_path / "in.npz", spikes=spikes, starts=starts, labels=labels)
    unit = {"count.weight": np.eye(OUTPUTS, dtype=np.float32), "count.bias": np.zeros(OUTPUTS, np.float32)}
    save_file(unit, tmp_path / "decoder.safetensors")
    with (tmp_path / "workload.yaml").open("a") as file:
        file.write("score: {kind: utterance_class, readout: count, decoder: decoder.safetensors, classes: [a, b, c]}\n")
    batch = load_batch(load_workload(tmp_path))
    assert np.array_equal(batch.features, spikes) and batch.frame_period_s == 0.001
    result = accelsim.run("rsnn28nm", tmp_path / "workload.yaml", overrides={"pacing.mode": "back_to_back", **WIDE})
    assert result.performance.frames == 20 and result.energy.total_j > 0
    assert result.accuracy is not None and (result.accuracy.n, result.accuracy.value) == (2, 50.0)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ({"codes": np.zeros((4, INPUTS), np.uint8)}, "no array 'spikes'"),
        ({"spikes": np.zeros((4, INPUTS), np.uint8)}, r"'spikes': expected \[frames, 1, 5\] of uint8"),
        ({"spikes": np.full((4, 1, INPUTS), 2, np.uint8)}, "'spikes': expected spikes, 0 or 1, found 2"),
    ],
)
def test_files_without_spikes_are_refused(tmp_path, array, message) -> None:
    workload = network(tmp_path, 3, set())
    np.savez(tmp_path / "in.npz", **array)
    with pytest.raises(InputError, match=message):
        load_batch(workload)


@pytest.mark.parametrize(
    ("end", "values", "message"),
    [
        ("beta", np.full(HIDDEN, 257), "has values from 257 to 257, expected 0 .. 256"),
        ("threshold", np.zeros(HIDDEN), "has values from 0 to 0, expected 1 .. 2147483647"),
        ("rest", np.zeros(HIDDEN, np.float32), "has type float32, expected int32"),
        ("synapse_beta", np.zeros(HIDDEN + 1), r"has shape \[8\], expected \[7\]"),
    ],
)
def test_constants_that_are_wrong(tmp_path, end, values, message) -> None:
    tensors = dict(network(tmp_path, 3, {end}).tensors)
    tensors[f"l0.{end}"] = values if values.dtype == np.float32 else values.astype(np.int32)
    save_file(tensors, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match=message):
        load_workload(tmp_path)


def test_constants_that_do_not_fit_the_words(tmp_path) -> None:
    workload = network(tmp_path, 3, {"beta", "rest", "threshold"})
    change = {"l0.rest": np.full(HIDDEN, 128), "l0.threshold": np.full(HIDDEN, 200), "l0.beta": np.full(HIDDEN, 256)}
    save_file(
        {**workload.tensors, **{k: v.astype(np.int32) for k, v in change.items()}}, tmp_path / "weights.safetensors"
    )
    with pytest.raises(InputError) as error:
        deploy(load_workload(tmp_path), load_architecture("rsnn28nm", WIDE | {"components.lif.membrane_bits": "8"}))
    for said in ("threshold 200 of layer 'l0'", "the rest of layer 'l0' has values from 128 to 128",
                 "the beta of layer 'l0' has numerators up to 256"):  # fmt: skip
        assert said in str(error.value)


def test_an_old_current_needs_a_synapse(tmp_path) -> None:
    with pytest.raises(InputError, match="'current: old' is about a synaptic current"):
        network(tmp_path, 3, set(), outputs=", current: old")
