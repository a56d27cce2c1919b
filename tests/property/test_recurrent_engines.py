"""Recurrent layers on every engine: values to the bit, multiplications and cycles counted once more by plain loops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from graphs import IDEAL, chip, frames, tile_keys
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent import FLOATS, INTEGERS, alone, by_reference, lone_chip, network, roundings

from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute, service_of
from accelsim.ops.op import FEATURES, Datapath
from accelsim.ops.streaming import Stream
from accelsim.workload import Workload

NPU = {"components.vector.accumulator": "float32", "components.vector.norm": "plain",
       "components.vector.softmax": "shifted", "pacing.mode": "back_to_back"}  # fmt: skip
sizes = {"units": st.integers(1, 20), "inputs": st.integers(1, 20), "seed": st.integers(0, 999)}
lengths = st.lists(st.integers(1, 6), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    return lambda: tmp_path_factory.mktemp("network")


def changes(found: Workload, lengths: list[int]) -> np.ndarray:
    """Return how many inputs and states of each row are multiplied, [rows, 2]: all, or those that changed enough."""
    op = found.graph.by_name["r"]
    batch = frames(found, lengths)
    outputs = by_reference(found, batch.signal(found.graph.edges[FEATURES]))["r"]
    edge = found.graph.edges[FEATURES]
    rows = []
    for first, last in zip(batch.starts[:-1], batch.starts[1:], strict=True):
        kept = [np.zeros(edge.width), np.zeros(op.units)]  # type: ignore[attr-defined]
        state = np.zeros(op.units)  # type: ignore[attr-defined]
        for t in range(first, last):
            if op.op != "delta_gru":
                rows.append([edge.width, op.units])  # type: ignore[attr-defined]
                continue
            now = [batch.features[t] - float(edge.zero_point), state]
            scales, row = [edge.scale, 0.0078125], []
            limits = [op.threshold, op.threshold if op.state_threshold is None else op.state_threshold]  # type: ignore[attr-defined]
            for new, old, limit, scale in zip(now, kept, limits, scales, strict=True):
                row.append(0)
                for i in range(len(new)):
                    if abs(new[i] - old[i]) > np.floor(limit / scale):
                        old[i] = new[i]
                        row[-1] += 1
            rows.append(row)
            state = outputs[t] + 3.0
    return np.array(rows)


def state_bits(layer: str, inputs: int, units: int) -> int:
    """Return the bits of the state of integers: codes of 8, words of 16, sums of 32."""
    if "lstm" in layer:
        return units * 8 + units * 16
    if "delta" not in layer:
        return units * 16
    return units * 16 + (inputs + units) * 8 + 2 * 3 * units * 32


def blocks(inputs: int, outputs: int, rows: int, columns: int) -> int:
    return sum(1 for _ in range(0, inputs, rows) for _ in range(0, outputs, columns))


@settings(max_examples=12, deadline=None)
@given(
    layer=st.sampled_from(INTEGERS), rounding=roundings, queued=st.booleans(), pool=st.integers(1, 2), lengths=lengths,
    **sizes,
)  # fmt: skip
def test_digital_arrays(folder, layer, rounding, queued, pool, lengths, units, inputs, seed) -> None:
    pool = pool if queued else 1
    if not queued:
        lengths = [max(lengths)]
    found = network(folder(), layer, units=units, inputs=inputs, seed=seed, pool=pool, rounding=rounding)
    lengths = [length * pool for length in lengths]
    if queued:
        arch = chip({"components.vector.number": "float32"}, "conformer_digital28")
    else:  # the dense layer needs a queue: the recurrent one gives the outputs
        found = alone(found)
        arch = lone_chip(folder())
    deployment = deploy(found, arch)
    run = execute(deployment, frames(found, lengths))
    wanted = by_reference(found, frames(found, lengths).signal(found.graph.edges[FEATURES]))
    assert run.outputs.tolist() == wanted[found.graph.last.name].tolist()
    columns = (4 if "lstm" in layer else 3) * units
    second = columns if "reset_after: false" not in layer else columns * 2 // 3
    macs = skipped = cycles = words = 0
    memory = arch.components()["weights"]

    def row_words(inputs: int, taken: int, outputs: int) -> int:
        """Fill words: one for each weight in registers, packed in SRAM, row by row where rows are left out."""
        if memory.kind == "register_file":
            return taken * outputs
        if "delta" in layer:
            return taken * len(range(0, outputs * 8, memory.width_bits))
        return len(range(0, inputs * outputs * 8, memory.width_bits))

    array = arch.components()["array"]
    for taken, states in changes(found, lengths).tolist():
        macs += taken * columns + states * columns
        skipped += (inputs - taken) * columns + (units - states) * columns
        cycles += blocks(taken, columns, array.rows, array.columns) + blocks(states, second, array.rows, array.columns)
        words += row_words(inputs, taken, columns) + row_words(units, states, second)
        if second < columns:
            cycles += blocks(states, columns - second, array.rows, array.columns)
            words += row_words(units, states, columns - second)
    steps = {name: one for name, one in run.activity.macs.items() if name.startswith("r.")}
    assert sum(one["performed"] for one in steps.values()) == macs
    assert sum(one["skipped"] for one in steps.values()) == skipped
    counts = run.activity.counts
    assert sum(int(counts[job, "array"]["blocks"].sum()) for job in steps) == cycles
    read = sum(int(counts[job, "weights"]["read"].sum()) for job in steps)
    assert read == words
    store, kept = ("activations[0]", 256) if queued else ("states", 8)
    seen = [sum(int(value[what].sum()) for (job, part), value in counts.items()
                if job.startswith("r.") and part == store) for what in ("read", "write")]  # fmt: skip
    state = -(-state_bits(layer, inputs, units) // kept)
    between = -(-units * 8 // kept) * (second < columns)  # what the reset gate leaves of h, written and read
    given = -(-units * 8 // kept) * queued  # without a queue it is handed on
    assert seen == [sum(lengths) * (state + between), sum(lengths) * (state + between + given)]
    if "delta" in layer:
        every = sum(lengths) * (inputs + units)
        assert run.activity.sparsity["r"] == pytest.approx(1 - changes(found, lengths).sum() / every)


@settings(max_examples=12, deadline=None)
@given(
    layer=st.sampled_from((*INTEGERS, *FLOATS)), chunk=st.integers(1, 4), resident=st.booleans(), int8=st.booleans(),
    number=st.sampled_from(["float16", "float32"]), lengths=lengths, **sizes,
)  # fmt: skip
def test_npu(folder, layer, chunk, resident, int8, number, lengths, units, inputs, seed) -> None:
    """One product of a row with the state each step, a step behind the other; fill and drain of the array each time."""
    int8 = int8 and "output" in layer
    keys = {**NPU, "components.vector.number": number, "compiler.weights": "resident" if resident else "streamed"}
    if int8:
        keys |= {"components.array.number": "int8", "components.array.accumulator": "int32"}
    found = network(folder(), layer, units=units, inputs=inputs, seed=seed, chunk=chunk)
    arch = chip(keys, "edge_npu")
    deployment = deploy(found, arch)
    batch = frames(found, [length * chunk for length in lengths])
    run = execute(deployment, batch)
    wanted = by_reference(found, batch.signal(found.graph.edges[FEATURES]), number)
    assert np.array_equal(run.outputs, wanted["y"])
    columns = (4 if "lstm" in layer else 3) * units
    chunks = sum(lengths)
    macs = sum(one["dense"] for name, one in run.activity.macs.items() if name.startswith("r."))
    assert macs == chunks * chunk * columns * (inputs + units)
    service = service_of(deployment.schedule, arch, run.activity)
    array, vector = arch.components()["array"], arch.components()["vector"]
    second = [columns] if "reset_after: false" not in layer else [columns * 2 // 3, columns // 3]
    state = [job for job in deployment.schedule.jobs if job.work.stage.startswith("recurrent")]
    assert len(state) == chunk * len(second)
    for place, job in enumerate(state):
        n = second[place % len(second)]
        if "weight_bits: 32" in layer:  # no array takes them
            assert set(service[job.name, "vector"].tolist()) == {-(-2 * units * n // vector.lanes)}
            continue
        if int8 and not resident:  # weights lie among the tensors; words of 16 bits, codes of 8
            read = units * -(-n // array.columns) * 8 + units * n * 8
            moved = run.activity.counts[job.name, "l2[2]"]
            assert (moved["read"][0], moved["write"][0]) == (-(-read // 128), -(-n * 16 // 128))
            after = run.activity.counts[job.name.replace("state", "gates"), "l2[2]"]
            last = place % len(second) == len(second) - 1
            state_read = state_bits(layer, inputs, units) if place % len(second) == 0 else 0
            written = units * 8 + state_bits(layer, inputs, units) if last else units * 8
            assert (after["read"][0], after["write"][0]) == (-(-(2 * n * 16 + state_read) // 128), -(-written // 128))
        tiles = blocks(units, n, array.rows, array.columns)
        fill = (tiles - 1) * array.rows + 1 + 2 * array.rows + array.columns - 2
        assert set(service[job.name, "array"].tolist()) == {fill}


@settings(max_examples=5, deadline=None)
@given(layer=st.sampled_from(INTEGERS), lengths=lengths, **sizes)
def test_tiles_of_ideal_cells(folder, layer, lengths, units, inputs, seed) -> None:
    """Both matrices on tiles: values of ideal cells are those of the definition; a conversion for each column read."""
    found = network(folder(), layer, units=units, inputs=inputs, seed=seed)
    keys = {**tile_keys(digital=[]), **IDEAL, "components.vector.number": "float32", "pacing.mode": "back_to_back"}
    keys["placement"] = "{r: {engine: crossbar_tiles}, y: {engine: crossbar_tiles}}"
    batch = frames(found, lengths)
    run = execute(deploy(found, chip(keys)), batch)
    wanted = by_reference(found, batch.signal(found.graph.edges[FEATURES]))
    assert run.outputs.tolist() == wanted["y"].tolist()
    assert run.exact is not None and run.exact().tolist() == wanted["y"].tolist()
    columns, twice = (4 if "lstm" in layer else 3) * units, 2 if "reset_after: false" in layer else 1
    planes = 7
    reads = -(-inputs // 64) + twice * -(-units // 64)
    assert run.activity.conversions["r"][0] == sum(lengths) * columns * planes * reads
    macs = sum(one["dense"] for name, one in run.activity.macs.items() if name.startswith("r."))
    assert macs == sum(lengths) * columns * (inputs + twice * units)
    written = sum(int(value["write"].sum()) for (job, part), value in run.activity.counts.items()
                  if job.startswith("r.") and part.startswith("tile_inputs"))  # fmt: skip
    tiles = len(range(0, columns, 64))  # side by side, each with inputs of its own
    assert written == sum(lengths) * tiles * (inputs + twice * units)


@settings(max_examples=10, deadline=None)
@given(layer=st.sampled_from((*INTEGERS, *FLOATS)), cuts=st.sets(st.integers(1, 11), max_size=4), **sizes)
def test_a_stream_is_the_whole(folder, layer, cuts, units, inputs, seed) -> None:
    found = network(folder(), layer, units=units, inputs=inputs, seed=seed)
    batch = frames(found, [12])
    whole = by_reference(found, batch.signal(found.graph.edges[FEATURES]))["y"]
    stream = Stream(found.graph, Datapath(found.tensors))
    parts = [stream.push(part) for part in np.split(batch.features, sorted(cuts))]
    assert np.concatenate(parts).tolist() == whole.tolist()


@pytest.mark.parametrize("layer", ["op: lstm, weight_bits: 16", INTEGERS[3]])
def test_a_layer_that_falls_back(tmp_path: Path, layer: str) -> None:
    """On the CPU: all products of a chunk of 3 rows, 2 operations each, and the work of gates beside them."""
    found = network(tmp_path, layer, units=5, inputs=4, seed=1, chunk=3)
    kind = found.graph.by_name["r"].op
    keys = {**NPU, "compiler.fallback": f"{{BC1S: [{kind}]}}"}
    deployment = deploy(found, chip(keys, "edge_npu"))
    batch = frames(found, [6])
    run = execute(deployment, batch)
    assert np.array_equal(run.outputs, by_reference(found, batch.signal(found.graph.edges[FEATURES]), "float16")["y"])
    columns = (4 if kind == "lstm" else 3) * 5
    macs = 3 * columns * (4 + 5)
    assert run.activity.macs["r"]["dense"] == 2 * macs
    operations = run.activity.counts["r", "cpu"]["operation"].tolist()
    assert operations == [operations[0]] * 2 and operations[0] > 2 * macs
    state = 2 * 5 * 16 if kind == "lstm" else 5 * 16  # h and c in float16, or words of h alone
    read = 3 * 4 * 8 + state
    assert run.activity.counts["r", "l2[2]"]["read"].tolist() == [-(-read // 128)] * 2
