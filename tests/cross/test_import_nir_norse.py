"""The float network of an imported NIR file against Norse 1.1.0, to the spike."""

from __future__ import annotations

import os
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from accelsim.importers.importer import import_model, write
from accelsim.ops.op import FEATURES, Datapath, Signal
from accelsim.workload import Workload

nir = pytest.importorskip("nir")
torch = pytest.importorskip("torch")
pytest.importorskip("norse.torch")

BRAILLE = Path(os.environ.get("ACCELSIM_DATA", "../shared/data")) / "models" / "braille_noDelay_noBias_subtract.nir"


def floats(made: Workload, spikes: np.ndarray) -> dict[str, np.ndarray]:
    """Return the spikes of every layer of the float network, [utterances, steps, neurons] as the inputs are."""
    utterances, steps, width = spikes.shape
    starts = np.arange(utterances + 1) * steps
    features = Signal(spikes.reshape(-1, 1, width), starts, made.graph.edges[FEATURES])
    signals = {FEATURES: features}
    for op in made.graph.ops:
        values, _ = op.float_values([signals[name] for name in op.reads()], Datapath(made.reference), None)
        signals[op.name] = Signal(values, starts, made.graph.edges[op.name])
    return {op.name: signals[op.name].values.reshape(utterances, steps, -1) for op in made.graph.ops}


def norse(path: Path, spikes: np.ndarray, dt: float, reset: str) -> dict[str, np.ndarray]:
    """Return what every node computes in Norse; what it returns itself is what it computed last, not the output."""
    from norse.torch.functional.reset import reset_subtract, reset_value
    from norse.torch.utils.import_nir import from_nir

    method = reset_subtract if reset == "subtract" else reset_value
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        network, state, seen = from_nir(nir.read(path), True, method, dt), None, []
        for t in range(spikes.shape[1]):
            _, state = network(torch.from_numpy(spikes[:, t].astype(np.float32)), state)
            seen.append({name: values.numpy().copy() for name, values in state.cache.items()})
    return {name: np.stack([step[name] for step in seen], axis=1) for name in seen[0]}


def test_the_braille_network(tmp_path) -> None:
    """50 random inputs of 256 time steps, sparse and dense ones."""
    if not BRAILLE.is_file():
        pytest.skip(f"no {BRAILLE}")
    options = {"dt": "0.1 ms", "reset": "subtract", "order": "new"}
    made = write(import_model(BRAILLE, {**options, "utterances": 2}), tmp_path)
    random = np.random.default_rng(7)
    spikes = (random.random((50, 256, 12)) < random.uniform(0.02, 0.5, (50, 1, 1))).astype(np.uint8)
    found, wanted = floats(made, spikes), norse(BRAILLE, spikes, 1e-4, "subtract")
    assert wanted["lif1_lif"].sum() > 4000 < wanted["lif2"].sum()
    for ours, theirs in (("lif1.lif", "lif1_lif"), ("lif2", "lif2")):
        assert np.count_nonzero(found[ours] != wanted[theirs]) == 0


def network(kind: str, seed: int, *, bias: bool, recurrent: bool) -> object:
    """Two layers; weights are multiples of 2^-6, so that their sums are exact in any order."""
    random, widths = np.random.default_rng(seed), (6, 9, 4)

    def grid(*shape: int) -> np.ndarray:
        return (random.integers(-64, 97, shape) / 64).astype(np.float32)

    def matrix(inputs: int, outputs: int) -> object:
        return nir.Affine(grid(outputs, inputs), grid(outputs) / 4) if bias else nir.Linear(grid(outputs, inputs))

    def neurons(width: int) -> object:
        taus, one = random.uniform(0.002, 0.02, (2, width)), np.ones(width)
        top = random.uniform(0.5, 1.5, width)
        if kind == "CubaLIF":
            gain = random.uniform(2, 6, (2, width))
            return nir.CubaLIF(tau_syn=taus[0], tau_mem=taus[1], r=gain[0], v_leak=0 * one, v_threshold=top,
                               w_in=gain[1])  # fmt: skip
        if kind == "LIF":
            return nir.LIF(tau=taus[0] / 2, r=one, v_leak=random.uniform(-0.2, 0.2, width), v_threshold=top / 2)
        return nir.IF(r=one / 2.0**-10, v_threshold=top)

    nodes = {
        "input": nir.Input(np.array(widths[:1])), "fc1": matrix(*widths[:2]), "n1": neurons(widths[1]),
        "fc2": matrix(*widths[1:]), "n2": neurons(widths[2]), "output": nir.Output(np.array(widths[2:])),
    }  # fmt: skip
    names = list(nodes)
    edges = list(pairwise(names))
    if recurrent:
        nodes["n1.w_rec"] = matrix(widths[1], widths[1])
        edges += [("n1", "n1.w_rec"), ("n1.w_rec", "n1")]
    return nir.NIRGraph(nodes, edges)


@pytest.mark.parametrize(
    ("kind", "reset"), [("CubaLIF", "subtract"), ("CubaLIF", "zero"), ("LIF", "zero"), ("IF", "zero")]
)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("recurrent", [False, True])
def test_networks_of_our_own(tmp_path, kind, reset, bias, recurrent) -> None:
    """Norse resets LIF and IF to zero alone, and takes the inputs of an IF as they are: r dt is 1 here."""
    dt = 2.0**-10
    for seed in range(3):
        path = tmp_path / f"{seed}.nir"
        nir.write(path, network(kind, seed, bias=bias, recurrent=recurrent))
        options = {"dt": f"{dt * 1e9:.10g} ns", "reset": reset, "order": "new", "utterances": 1, "rows": 2}
        made = write(import_model(path, options), tmp_path / "made")
        spikes = (np.random.default_rng(seed).random((8, 60, 6)) < 0.3).astype(np.uint8)
        found, wanted = floats(made, spikes), norse(path, spikes, dt, reset)
        assert wanted["n2"].sum() > 100 and wanted["n2"].mean() < 0.9
        for layer in ("n1", "n2"):
            assert np.count_nonzero(found[layer] != wanted[layer]) == 0
