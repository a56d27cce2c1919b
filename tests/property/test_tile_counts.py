"""Counts of crossbar tiles that work tile by tile, against plain loops over tiles, rows, columns, words and links.

Nothing is taken from the engine: the size of the matrix, the keys of the chip as they were drawn, and the names of jobs
and parts. A mesh is walked link by link.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from chips import batch_of, tiles
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from test_tiles_cycles import write_layer

from accelsim.architecture import load_architecture
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute, service_of
from accelsim.workload import load_workload


def links(number: int, columns: int) -> list[tuple[int, int]]:
    """Walk from router 0 to a tile's: east along the first row, then south."""
    here, way = 0, []
    for _ in range(number % columns):
        way.append((here, here + 1))
        here += 1
    for _ in range(number // columns):
        way.append((here, here + columns))
        here += columns
    return way


def back(number: int, columns: int) -> list[tuple[int, int]]:
    """Walk from a tile's router to router 0: west along its own row, then north."""
    here, way = number, []
    for _ in range(number % columns):
        way.append((here, here - 1))
        here -= 1
    for _ in range(number // columns):
        way.append((here, here - columns))
        here -= columns
    return way


def words(values: int, bits: int, width: int) -> int:
    """Fill words bit by bit."""
    return len(range(0, values * bits, width))


@settings(max_examples=60, deadline=None)
@given(
    inputs=st.sampled_from([3, 64, 65, 130, 190]),
    outputs=st.sampled_from([1, 10, 64, 70, 130]),
    weight_bits=st.integers(2, 4),
    cells=st.sampled_from([(1, "pair"), (2, "pair"), (1, "offset")]),
    phases=st.sampled_from([1, 8]),
    bus=st.sampled_from([16, 64, 256]),
    network=st.sampled_from(["bus", "mesh"]),
    columns_of_mesh=st.integers(1, 6),
    cycles_per_hop=st.integers(0, 3),
    copies=st.integers(1, 3),
    units=st.sampled_from([1, 16, 100]),
    frames=st.integers(1, 4),
)
def test_counts_are_those_of_plain_loops(
    inputs, outputs, weight_bits, cells, phases, bus, network, columns_of_mesh, cycles_per_hop, copies, units, frames
) -> None:
    cell_bits, sign = cells
    changes = {
        "components.crossbar.rows": "64", "components.crossbar.columns": "64", **tiles(36),
        "components.crossbar.device": "ideal", "components.crossbar.wires": "none", "components.crossbar.planes": "4",
        "components.crossbar.cell_bits": str(cell_bits), "components.crossbar.sign": sign,
        "components.adc.units": "32", "components.sample_hold.units": "256", "components.dac.units": "768",
        "components.dac.mode": "bit_serial" if phases == 8 else "amplitude", "components.accumulator.units": str(units),
        "components.accumulator.width_bits": "40", "components.shift_add.width_bits": "30",
        "components.tile_outputs.width_bits": "20",
        "components.tile_bus.width_bits": str(bus), "placement": f"{{y: {{copies: {copies}}}}}",
    }  # fmt: skip
    if network == "mesh":
        del changes["components.tile_bus.width_bits"]
        changes["components.tile_bus"] = (
            f"{{kind: mesh, columns: {columns_of_mesh}, rows: 36, width_bits: {bus}, length: 1 mm, "
            f"cycles_per_hop: {cycles_per_hop}}}"
        )
    chip = load_architecture("memristor_tile", changes)
    with tempfile.TemporaryDirectory() as folder:
        deployment = deploy(load_workload(write_layer(Path(folder), inputs, outputs, weight_bits)), chip)
    features = np.random.default_rng(0).integers(0, 256, (frames, inputs)).astype(np.uint8)
    activity = execute(deployment, batch_of(features, [0, frames])).activity
    service = service_of(deployment.schedule, chip, activity)

    # A weight's magnitude in slices of cell_bits (pair); with an offset column its sign's bit is a bit like others.
    bits = weight_bits - 1 if sign == "pair" else weight_bits
    planes = len(range(0, bits, cell_bits))
    arrays = planes * (2 if sign == "pair" else 1)
    grid = [(i, j) for i in range(0, inputs, 64) for j in range(0, outputs, 64)]
    expected: Counter = Counter()
    cycles: Counter = Counter()

    def note(job: str, part: str, frame: int, **counts: int) -> None:
        for name, value in counts.items():
            expected[job, part, name, frame] += value

    def way(job: str, path: list[tuple[int, int]], frame: int, sent: int, mine: int) -> None:
        if network == "bus":
            note(job, "tile_bus", frame, transfer=sent)
            cycles[job, "tile_bus", frame] += sent
            return
        for start, end in path:
            link = f"tile_bus[{start}>{end}]"
            note(job, link, frame, transfer=sent, route=sent, hops=mine * len(path))
            cycles[job, link, frame] += sent + mine * sum(cycles_per_hop for _ in path)

    tile = 0
    for copy in range(copies):
        for i, j in grid:
            rows, columns, name = min(64, inputs - i), min(64, outputs - j), f"y[{tile}]"
            for t in range(frames):
                mine = int(t % copies == copy)
                sent = words(rows, 8, bus) * mine
                note(f"{name}.deliver", f"tile_inputs[{tile}]", t, write=mine * rows, rows=mine, busiest=mine * rows)
                path = links(tile, columns_of_mesh)
                way(f"{name}.deliver", path, t, sent, mine)
                for phase in range(phases):
                    for read, part, counts in (
                        ("read", "dac", {"phases": 1, "drive": rows * arrays}),
                        ("read", "sample_hold", {"phases": 1, "sample": columns * planes}),
                        ("read", "crossbar", {"phases": 1}),
                        ("convert", "adc", {"convert": columns * planes, "rows": 1, "busiest": columns * planes}),
                        ("convert", "shift_add", {"add": columns * planes, "rows": 1, "busiest": columns * planes}),
                    ):
                        done = {what: mine * value for what, value in counts.items()}
                        note(f"{name}.{read}.{phase}", f"{part}[{tile}]", t, **done)
                sent = words(columns, 20, bus) * mine
                counts = {"write": mine * columns, "rows": mine, "busiest": mine * columns}
                note(f"{name}.send", f"tile_outputs[{tile}]", t, **counts)
                way(f"{name}.send", back(tile, columns_of_mesh), t, sent, mine)
            tile += 1
    below = len({i for i, _ in grid})
    for t in range(frames):
        added = sum(1 for _ in range(below - 1) for _ in range(outputs))  # each tile below the first adds its sums
        groups = max(len(range(0, added, units)), len(range(0, outputs, units)))
        note("y.sum", "accumulator", t, add=added, write=outputs, groups=groups)

    found: Counter = Counter()
    for (job, part), counts in activity.counts.items():
        if job == "load":
            continue
        for action, values in counts.items():
            if action != "read_nanowatt":  # what cells draw is another test's
                for t, value in enumerate(values.tolist()):
                    found[job, part, action, t] = value
    assert {key for key in found if key[3] == 0} == {key for key in expected if key[3] == 0}
    assert found == expected
    for (job, link, t), taken in cycles.items():
        assert service[job, link][t] == taken, (job, link, t)
    assert activity.macs == {
        "y.sum": {"dense": frames * inputs * outputs, "performed": frames * inputs * outputs, "skipped": 0}
    }
    assert activity.conversions["y"][0] == phases * planes * frames * sum(min(64, outputs - j) for _, j in grid)


def test_a_residual_is_added(tmp_path: Path) -> None:
    """70 outputs of 2 row tiles: 70 additions of sums; with a residual 70 more, of every frame."""
    generator = np.random.default_rng(0)
    shapes = {"a": (130, 70), "b": (70, 70)}
    save_file(
        {name: generator.integers(-3, 4, shape).astype(np.int8) for name, shape in shapes.items()},
        tmp_path / "weights.safetensors",
    )
    (tmp_path / "workload.yaml").write_text(
        "schema: accelsim/workload@1\nname: sums\nweights: weights.safetensors\n"
        "inputs: {source: speech, dataset: librivox_sample, split: test, features: {bands: 130, window_s: 0.1}}\n"
        "graph:\n"
        "  - {name: a, op: linear, input: features, outputs: 70, weight_bits: 3, gives: codes, weights: a,\n"
        "     input_offset: 128}\n"
        "  - {name: b, op: linear, input: a, outputs: 70, weight_bits: 3, gives: codes, weights: b, residual: a,\n"
        "     output_scale: 0.5}\n"
    )
    chip = load_architecture(
        "memristor_tile",
        {
            **tiles(12), "components.crossbar.rows": "64", "components.crossbar.columns": "64",
            "components.crossbar.device": "ideal", "components.crossbar.wires": "none",
        },
    )  # fmt: skip
    deployment = deploy(load_workload(tmp_path), chip)
    features = generator.integers(0, 256, (3, 130)).astype(np.uint8)
    activity = execute(deployment, batch_of(features, [0, 3])).activity
    assert activity.counts["a.sum", "accumulator"]["add"].tolist() == [2 * 70] * 3
    assert activity.counts["b.sum", "accumulator"]["add"].tolist() == [70 + 70] * 3
    assert activity.counts["b.sum", "accumulator"]["groups"].tolist() == [-(-140 // 16)] * 3
