"""NIR files as workloads: spikes of a plain model of the equations, what is refused, sizes, and a run on PEs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chips import batch_of
from typer.testing import CliRunner

import accelsim
from accelsim import cli
from accelsim.architecture import load_architecture
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute
from accelsim.errors import InputError
from accelsim.importers.importer import Imported, import_model, size_of, write
from accelsim.inputs import load_batch
from accelsim.ops.op import FEATURES, Datapath, Signal
from accelsim.workload import Workload

nir = pytest.importorskip("nir")

DT = 2.0**-10
OPTIONS = {"dt": f"{DT * 1e9:.10g} ns", "reset": "subtract", "order": "new", "utterances": 2, "rows": 5}
WIDE = {
    "components.pe.accumulator_bits": "24", "components.lif.membrane_bits": "31",
    "components.membranes.width_bits": "31", "components.membranes.entries": "1000",
    "components.spike_registers.entries": "1000",
}  # fmt: skip
INPUTS, HIDDEN, OUTPUTS = 5, 8, 3


def grid(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).integers(-64, 97, shape) / 64).astype(np.float32)


def chain(*nodes: Any) -> Any:
    return nir.NIRGraph.from_list(*nodes)


def imported(folder: Path, graph: Any, **options: Any) -> Imported:
    nir.write(folder / "net.nir", graph)
    return import_model(folder / "net.nir", {**OPTIONS, **options})


def made(folder: Path, graph: Any, **options: Any) -> Workload:
    return write(imported(folder, graph, **options), folder / "made")


def spikes_of(seed: int, rows: int = 40, width: int = INPUTS) -> np.ndarray:
    return (np.random.default_rng(seed).random((rows, 1, width)) < 0.4).astype(np.uint8)


def in_float(workload: Workload, spikes: np.ndarray) -> dict[str, np.ndarray]:
    starts = np.array([0, len(spikes)])
    signals = {FEATURES: Signal(spikes, starts, workload.graph.edges[FEATURES])}
    for op in workload.graph.ops:
        values, _ = op.float_values([signals[name] for name in op.reads()], Datapath(workload.reference), None)
        signals[op.name] = Signal(values, starts, workload.graph.edges[op.name])
    return {op.name: signals[op.name].values for op in workload.graph.ops}


def neurons(node: Any, currents: np.ndarray, reset: str, old: bool) -> np.ndarray:
    """The equations of NIR by Euler's method in float64, one neuron and one time step after the other."""
    fired = np.zeros(currents.shape)
    for j in range(currents.shape[1]):
        rest = float(node.v_leak[j]) if hasattr(node, "v_leak") else 0.0
        v, i = rest, 0.0
        for t in range(len(currents)):
            x = float(currents[t, j])
            if hasattr(node, "tau_syn"):
                before = i
                i += DT / node.tau_syn[j] * (node.w_in[j] * x - i)
                x = before if old else i
            if hasattr(node, "v_leak"):
                v += DT / (node.tau_mem if hasattr(node, "tau_mem") else node.tau)[j] * (rest + node.r[j] * x - v)
            else:
                v += DT * node.r[j] * x
            if v > node.v_threshold[j]:
                fired[t, j] = 1
                v = v - node.v_threshold[j] if reset == "subtract" else float(node.v_reset[j])
    return fired


def cell(kind: str, seed: int, width: int = HIDDEN, **changes: Any) -> Any:
    random, one = np.random.default_rng(seed), np.ones(width)
    taus = random.uniform(0.002, 0.02, (2, width))
    given = {"r": random.uniform(2, 4, width), "v_leak": random.uniform(-0.2, 0.3, width),
             "v_threshold": random.uniform(0.5, 1.5, width), "v_reset": random.uniform(-0.3, 0.1, width)}  # fmt: skip
    if kind == "CubaLIF":
        return nir.CubaLIF(**given | {"tau_syn": taus[0], "tau_mem": taus[1], "w_in": 3 * one} | changes)
    if kind == "LIF":
        return nir.LIF(**given | {"tau": taus[0]} | changes)
    return nir.IF(**{"r": given["r"] * 100, "v_threshold": given["v_threshold"], "v_reset": 0 * one} | changes)


@pytest.mark.parametrize("kind", ["CubaLIF", "LIF", "IF"])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("order", ["new", "old"])
def test_the_equations(tmp_path, kind, reset, order) -> None:
    """v_leak and v_reset that are not 0, every reset and order: float32 spikes are those of float64."""
    node, weight = cell(kind, 3), grid(1, HIDDEN, INPUTS)
    workload = made(tmp_path, chain(nir.Linear(weight), node), reset=reset, order=order)
    spikes = spikes_of(2)
    wanted = neurons(node, spikes[:, 0] @ weight.T, reset, order == "old")
    assert 10 < wanted.sum() < wanted.size - 10
    found = in_float(workload, spikes)[workload.graph.last.name][:, 0]
    assert np.count_nonzero(found != wanted) == 0


def test_delays_scales_and_products(tmp_path) -> None:
    """Delays of inputs and of currents, a scale, two matrices in a row: all in one layer."""
    first, second, scale = grid(1, 4, INPUTS), grid(2, HIDDEN, 4), np.linspace(0.5, 1.5, HIDDEN)
    late, later = np.arange(INPUTS) * DT, (np.arange(HIDDEN) % 3) * DT
    node = cell("LIF", 4)
    graph = chain(nir.Delay(late), nir.Linear(first), nir.Linear(second), nir.Scale(scale), nir.Delay(later), node)
    workload = made(tmp_path, graph)
    spikes = spikes_of(5)
    x = np.zeros((40, INPUTS))
    for i in range(INPUTS):
        x[i:, i] = spikes[: 40 - i, 0, i]
    current, delayed = x @ (second @ first).T * scale, np.zeros((40, HIDDEN))
    for j in range(HIDDEN):
        delayed[j % 3 :, j] = current[: 40 - j % 3, j]
    wanted = neurons(node, delayed, "subtract", False)
    assert wanted.sum() > 10
    assert np.count_nonzero(in_float(workload, spikes)[workload.graph.last.name][:, 0] != wanted) == 0
    assert workload.graph.last.delays == 4 + 2


def test_a_threshold_is_strict_and_keeps_nothing(tmp_path) -> None:
    """Sums of halves against thresholds that they meet exactly."""
    weight = np.array([[0.5, 0.5, -0.5, 1, 0.5]], np.float32).repeat(3, axis=0)
    workload = made(tmp_path, chain(nir.Linear(weight), nir.Threshold(np.array([0.5, 1.0, 1.5]))))
    spikes = spikes_of(6)
    wanted = (spikes[:, 0] @ weight.T) > np.array([0.5, 1.0, 1.5])
    assert (spikes[:, 0] @ weight.T == 0.5).any()
    assert np.array_equal(in_float(workload, spikes)[workload.graph.last.name][:, 0], wanted)


def test_readouts(tmp_path) -> None:
    """A leaky integrator goes on from row to row, a matrix begins anew."""
    hidden, weight, out = cell("LIF", 1), grid(1, HIDDEN, INPUTS), grid(2, OUTPUTS, HIDDEN)
    leaky = nir.LI(tau=np.full(OUTPUTS, 0.01), r=np.full(OUTPUTS, 2.0), v_leak=np.zeros(OUTPUTS))
    for last in ([leaky], [nir.I(r=np.full(OUTPUTS, 2.0))], []):
        workload = made(tmp_path, chain(nir.Linear(weight), hidden, nir.Linear(out), *last))
        values = in_float(workload, spikes_of(7))
        fired, y, wanted = values["lif"][:, 0] @ out.T, np.zeros(OUTPUTS), []
        for row in fired:
            y = row if not last else y + DT * 2 * row if last[0] is not leaky else y + DT / 0.01 * (2 * row - y)
            wanted.append(y)
        np.testing.assert_allclose(values[workload.graph.last.name], wanted, rtol=1e-4, atol=1e-5)


def test_a_graph_within_a_graph_is_the_same(tmp_path) -> None:
    node, weight = cell("CubaLIF", 2), grid(1, HIDDEN, INPUTS)
    again = nir.Affine(grid(3, HIDDEN, HIDDEN), grid(4, HIDDEN))
    ends = {"input": nir.Input(np.array([HIDDEN])), "output": nir.Output(np.array([HIDDEN]))}
    loop = [("lif", "w_rec"), ("w_rec", "lif")]
    inner = nir.NIRGraph({**ends, "lif": node, "w_rec": again}, [("input", "lif"), *loop, ("lif", "output")])
    outer = {"input": nir.Input(np.array([INPUTS])), "fc": nir.Linear(weight), "output": ends["output"]}
    edges = [("input", "fc"), ("fc", "rnn"), ("rnn", "output")]
    nested = nir.NIRGraph({**outer, "rnn": inner}, edges, type_check=False)
    flat = nir.NIRGraph({**outer, "lif": node, "w_rec": again},
                        [("input", "fc"), ("fc", "lif"), *loop, ("lif", "output")])  # fmt: skip
    values = []
    for number, graph in enumerate((nested, flat)):
        (tmp_path / str(number)).mkdir()
        workload = made(tmp_path / str(number), graph)
        values.append(in_float(workload, spikes_of(3))[workload.graph.last.name])
    assert values[0].sum() > 10 and np.array_equal(*values)


def recurrent() -> Any:
    ends = {"input": nir.Input(np.array([INPUTS])), "output": nir.Output(np.array([OUTPUTS]))}
    linear = {
        "fc1": nir.Affine(grid(1, HIDDEN, INPUTS), grid(2, HIDDEN) / 8), "fc2": nir.Linear(grid(5, OUTPUTS, HIDDEN)),
        "rec": nir.Affine(grid(3, HIDDEN, HIDDEN), grid(4, HIDDEN) / 8),
    }  # fmt: skip
    cells = {"lif1": cell("CubaLIF", 5, v_leak=np.zeros(HIDDEN)), "lif2": cell("LIF", 6, OUTPUTS)}
    nodes = {**ends, **linear, **cells}
    edges = [("input", "fc1"), ("fc1", "lif1"), ("lif1", "rec"), ("rec", "lif1"), ("lif1", "fc2"), ("fc2", "lif2"),
             ("lif2", "output")]  # fmt: skip
    return nir.NIRGraph(nodes, edges)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantised_network_runs_on_pes(tmp_path, bits) -> None:
    """A whole run from the written folder; engine and references agree, and import.md states the change in spikes."""
    workload = made(tmp_path, recurrent(), bits=bits, reset="zero")
    keys = WIDE | {"components.pe.weight_bits": str(bits)}
    keys |= {f"components.weights_{name}.width_bits": str(128 * bits) for name in ("input", "recurrent", "fc")}
    batch = load_batch(workload)
    assert batch.features.shape == (10, 1, INPUTS) and batch.starts.tolist() == [0, 5, 10]
    spikes = spikes_of(9, 60)
    inputs = batch_of(spikes, np.array([0, 20, 60]))
    found = execute(deploy(workload, load_architecture("rsnn28nm", keys)), inputs)
    signals = {FEATURES: inputs.signal(workload.graph.edges[FEATURES])}
    for op in workload.graph.ops:
        read = [signals[name] for name in op.reads()]
        signals[op.name] = Signal(op.reference(read, workload.tensors), inputs.starts, workload.graph.edges[op.name])
    assert sum(found.activity.saturations.values()) == 0
    assert found.outputs.sum() > 5
    assert np.array_equal(found.spikes["lif2"], signals["lif2"].values)
    assert np.array_equal(found.outputs, signals["lif2"].values.sum(axis=1, dtype=int))
    page, asked = (tmp_path / "made" / "import.md").read_text(), "dt 0.9765625 ms, reset to v_reset, order: membranes"
    assert "differ in place" in page and f"{asked} take the new current" in page
    assert "dt 0.9765625 ms" in (tmp_path / "made" / "workload.yaml").read_text()


def test_more_bits_change_fewer_spikes(tmp_path) -> None:
    """How often each neuron spikes, without recurrence: with 8 bits it is a hundredth off at most."""
    graph = chain(nir.Affine(grid(1, HIDDEN, INPUTS), grid(2, HIDDEN)), cell("CubaLIF", 5))
    spikes, starts, away = spikes_of(9, 300), np.array([0, 300]), []
    for bits in (2, 4, 8):
        workload = made(tmp_path, graph, bits=bits)
        features = Signal(spikes, starts, workload.graph.edges[FEATURES])
        whole = workload.graph.last.reference([features], workload.tensors).sum(axis=(0, 1), dtype=int)
        real = in_float(workload, spikes)[workload.graph.last.name].sum(axis=(0, 1), dtype=int)
        away.append(np.abs(whole - real).sum() / real.sum())
    assert away[0] > away[1] > away[2] and away[2] <= 0.01


def test_bits_by_node(tmp_path) -> None:
    workload = made(tmp_path, recurrent(), bits={"all": 3, "lif2": 5})
    assert [op.weight_bits for op in workload.graph.ops] == [3, 5]
    with pytest.raises(InputError, match=r"--bits names 'lif3', which is no node .did you mean 'lif"):
        imported(tmp_path, recurrent(), bits={"lif3": 4})


def test_sizes_by_hand(tmp_path) -> None:
    """Products of a time step, weights and biases, and the state between two time steps."""
    workload = made(tmp_path, recurrent())
    size = size_of(workload.graph, workload.tensors)
    weights = INPUTS * HIDDEN + HIDDEN * HIDDEN + HIDDEN * OUTPUTS
    assert size.macs == weights
    assert size.parameters == weights + 2 * HIDDEN
    assert size.state_values == (HIDDEN + HIDDEN + HIDDEN) + OUTPUTS  # current, membrane, own spikes; membrane


def test_given_inputs_are_the_inputs(tmp_path) -> None:
    spikes = spikes_of(1, 12)
    np.savez(tmp_path / "in.npz", spikes=spikes, starts=np.array([0, 4, 12]))
    workload = made(tmp_path, recurrent(), spikes=str(tmp_path / "in.npz"))
    assert np.array_equal(load_batch(workload).features, spikes)
    assert "2 utterances of the inputs given, 12 time steps" in (tmp_path / "made" / "import.md").read_text()


def conv() -> Any:
    return nir.Conv1d(4, np.ones((1, 1, 3)), 1, 0, 1, 1, np.zeros(1))


def test_all_nodes_that_cannot_be_taken_are_named(tmp_path) -> None:
    graph = chain(nir.Input(np.array([1, 4])), conv(), nir.Flatten({"input": np.array([1, 2])}, 0, -1),
                  cell("LIF", 1, 2, tau=np.array([0.0001, 0.1])), nir.CubaLI(*[np.ones(2)] * 4))  # fmt: skip
    with pytest.raises(InputError) as error:
        imported(tmp_path, graph)
    said = [problem.message for problem in error.value.problems]
    assert len(said) == 3
    assert any(one.startswith("node 'conv1d' (Conv1d): no op here computes it on spikes") for one in said)
    assert any(one.startswith("node 'cubali' (CubaLI): no op here computes it on spikes") for one in said)
    assert any("node 'lif' (LIF): a time step of 0.000976562 s is longer than 'tau', 0.0001 s" in one for one in said)


def feedback() -> Any:
    a, b = (cell("LIF", n, 2) for n in (1, 2))
    nodes = {"input": nir.Input(np.array([2])), "w": nir.Linear(grid(1, 2, 2)), "a": a, "b": b,
             "back": nir.Linear(grid(2, 2, 2)), "output": nir.Output(np.array([2]))}  # fmt: skip
    edges = [("input", "w"), ("w", "a"), ("a", "b"), ("b", "back"), ("back", "a"), ("b", "output")]
    return nir.NIRGraph(nodes, edges)


@pytest.mark.parametrize(
    ("graph", "options", "message"),
    [
        (recurrent, {"dt": None}, "a NIR file does not say it: give --dt"),
        (recurrent, {"reset": None}, "give --reset, subtract"),
        (recurrent, {"dataset": "librivox_sample"}, "a network of spikes does not hear recordings"),
        (recurrent, {"order": None}, "give --order, new or old"),
        (feedback, {}, r"node 'a' \(LIF\): it reads spikes of one node beside its own, found 'b', 'input'"),
        (lambda: chain(nir.Delay(np.full(2, 1.5 * DT)), nir.Linear(grid(1, 2, 2)), cell("LIF", 1, 2)), {},
         r"node 'delay' \(Delay\): its delays are no whole time steps"),
        (lambda: chain(nir.Linear(grid(1, 2, 2)), cell("LIF", 1, 2, v_threshold=np.zeros(2))), {},
         r"node 'lif' \(LIF\): a threshold that is not above 0"),
        (lambda: chain(nir.Linear(np.full((2, 2), np.nan)), cell("LIF", 1, 2)), {},
         r"node 'linear' \(Linear\): 'weight' holds NaN"),
        (lambda: chain(nir.Linear(grid(1, 2, 2)), nir.LI(np.array([0.1, 0.2]), np.ones(2), np.zeros(2))), {},
         r"node 'li' \(LI\): its neurons have several 'tau'"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, graph, options, message) -> None:
    nir.write(tmp_path / "net.nir", graph())
    settings = {key: value for key, value in {**OPTIONS, **options}.items() if value is not None}
    with pytest.raises(InputError, match=message):
        import_model(tmp_path / "net.nir", settings)


def test_what_nir_itself_cannot_read_is_said(tmp_path) -> None:
    """As with files of its own repository: shapes that do not fit, and an edge to a node that is not there."""
    ends = {"input": nir.Input(np.array([3])), "output": nir.Output(np.array([2]))}
    wrong = nir.NIRGraph({**ends, "w": nir.Linear(grid(1, 2, 4))}, [("input", "w"), ("w", "output")], type_check=False)
    nir.write(tmp_path / "net.nir", wrong)
    with pytest.raises(InputError, match=r"nir 1\.\d+\.\d+ cannot read it: ValueError: Type inference error"):
        import_model(tmp_path / "net.nir", OPTIONS)
    nowhere = nir.NIRGraph(
        {**ends, "w": nir.Linear(grid(1, 2, 3))}, [("input", "w"), ("w", "nobody")], type_check=False
    )
    nir.write(tmp_path / "net.nir", nowhere)
    with pytest.raises(InputError, match=r"cannot read it: ValueError: .*nobody"):
        import_model(tmp_path / "net.nir", OPTIONS)


def test_the_command(tmp_path) -> None:
    nir.write(tmp_path / "net.nir", recurrent())
    command = ["import", str(tmp_path / "net.nir"), "--out", str(tmp_path / "made")]
    refused = CliRunner().invoke(cli.app, command)
    assert isinstance(refused.exception, InputError) and refused.exception.exit_code == 2
    said = [*command, "--dt", "1 ms", "--reset", "zero", "--order", "old", "--bits", "4", "-O", "rows=5"]
    done = CliRunner().invoke(cli.app, said)
    assert done.exit_code == 0, done.output
    assert "current: old" in (tmp_path / "made" / "workload.yaml").read_text()


def test_the_braille_network_on_a_priced_chip(tmp_path) -> None:
    """A design of 8-bit PEs and 24-bit neurons at the general prices of 28 nm: no word saturates."""
    model = Path(os.environ.get("ACCELSIM_DATA", "../shared/data")) / "models" / "braille_noDelay_noBias_subtract.nir"
    if not model.is_file():
        pytest.skip(f"no {model}")
    workload = write(import_model(model, {"dt": "0.1 ms", "reset": "subtract", "order": "new"}), tmp_path)
    # 12 inputs, 40 recurrent neurons, 7 outputs; the file's own arrays have so many numbers.
    weights = 12 * 40 + 40 * 40 + 40 * 7
    size = size_of(workload.graph, workload.tensors)
    assert (size.macs, size.parameters, size.state_values) == (weights, weights, 3 * 40 + 2 * 7)
    chip = WIDE | {
        "technology.cost": "cmos28", "pacing.frame_period": "0.1 ms", "clocks.main.frequency": "10 MHz",
        "components.pe.weight_bits": "8", "components.lif.membrane_bits": "24", "components.membranes.width_bits": "24",
        **{f"components.weights_{name}.width_bits": "1024" for name in ("input", "recurrent", "fc")},
        "components.weight_bus.width_bits": "1024",
    }  # fmt: skip
    result = accelsim.run("rsnn28nm", tmp_path / "workload.yaml", overrides=chip)
    assert result.performance.frames == 2000
    assert result.energy.total_j > 0 and sum(layer.saturations for layer in result.layers) == 0
