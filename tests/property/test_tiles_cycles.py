"""Timing of crossbar tiles: the engine against the plain loop over ticks, and one tile against its closed form."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from chips import batch_of, tiles
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_engine import PATIENCE, TickLoop
from safetensors.numpy import save_file

from accelsim.architecture import load_architecture
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute, service_of
from accelsim.errors import InputError
from accelsim.pipeline import arbitration, clocking, links
from accelsim.simulate import close_books, simulate
from accelsim.workload import load_workload

FRAMES = 3


def write_layer(folder: Path, inputs: int, outputs: int, bits: int = 3) -> Path:
    """Write a workload of one dense layer with random weights."""
    low = -(1 << (bits - 1)) + 1
    weights = np.random.default_rng(inputs * outputs).integers(low, -low + 1, (inputs, outputs), np.int8)
    save_file({"w": weights}, folder / "weights.safetensors")
    (folder / "workload.yaml").write_text(
        f"""schema: accelsim/workload@1
name: layer
weights: weights.safetensors
inputs: {{source: speech, dataset: librivox_sample, split: test, features: {{bands: {inputs}, window_s: 0.1}}}}
graph:
  - {{name: y, op: linear, input: features, outputs: {outputs}, weight_bits: {bits}, weights: w, gives: codes,
  input_offset: 128}}
"""
    )
    return folder


def run_timing(inputs: int, outputs: int, changes: dict[str, str], frames: int = FRAMES):
    """Return schedule, service, architecture and timeline of a few random frames."""
    chip = load_architecture(
        "memristor_tile", {"components.crossbar.device": "ideal", "components.crossbar.wires": "none", **changes}
    )
    with tempfile.TemporaryDirectory() as folder:
        network = load_workload(write_layer(Path(folder), inputs, outputs))
    deployment = deploy(network, chip)
    schedule = deployment.schedule
    features = np.random.default_rng(0).integers(0, 256, (frames, inputs)).astype(np.uint8)
    execution = execute(deployment, batch_of(features, [0, frames]))
    service = service_of(schedule, chip, execution.activity)
    policies = arbitration(chip, schedule)
    timeline = simulate(
        schedule, links(chip, schedule), service, clocking(chip, schedule), frames, arbitration=policies
    )
    close_books(schedule, service, timeline, execution.activity)
    return chip, schedule, service, timeline


@settings(max_examples=110, deadline=None)
@given(
    inputs=st.sampled_from([3, 64, 65, 130, 190]),
    outputs=st.sampled_from([1, 10, 64, 70]),
    shared_by=st.sampled_from([1, 2, 8, 16, 384]),
    mode=st.sampled_from(["amplitude", "bit_serial"]),
    bus=st.sampled_from([16, 64, 256]),
    capacity=st.integers(1, 2),
    latency=st.integers(1, 3),
    reads=st.integers(1, 3),
    conversions=st.integers(1, 3),
    policy=st.sampled_from(["oldest_first", "fixed_priority", "round_robin"]),
    network=st.sampled_from(["bus", "mesh"]),
    copies=st.integers(1, 3),
    cells=st.sampled_from([(1, "pair"), (2, "pair"), (1, "offset")]),
)
def test_engine_is_the_plain_loop(
    inputs, outputs, shared_by, mode, bus, capacity, latency, reads, conversions, policy, network, copies, cells
) -> None:
    """Tiles that share their converters among columns, and one bus or the links of a mesh among each other."""
    changes = {
        "components.crossbar.rows": "64",
        "components.crossbar.columns": "64",
        **tiles(18),
        "components.crossbar.cell_bits": str(cells[0]),
        "components.crossbar.sign": cells[1],
        "placement": f"{{y: {{copies: {copies}}}}}",
        "components.crossbar.cycles_per_read": str(reads),
        "components.adc.units": str(-(-64 * 3 // min(shared_by, 192))),
        "components.adc.shared_by": str(min(shared_by, 192)),
        "components.adc.cycles_per_conversion": str(conversions),
        "components.dac.mode": mode,
        "components.tile_bus.width_bits": str(bus),
        "channels.5.capacity": str(capacity),
        "channels.9.latency": str(latency),
        "arbitration.tile_bus": policy,
    }
    if network == "mesh":
        changes["components.tile_bus"] = f"{{kind: mesh, columns: 5, rows: 4, width_bits: {bus}, length: 1 mm}}"
        del changes["components.tile_bus.width_bits"]
    chip, schedule, service, timeline = run_timing(inputs, outputs, changes)
    clocks = clocking(chip, schedule)
    longest = max(int(cycles.max()) for cycles in service.values())
    loop = TickLoop(
        schedule.jobs, links(chip, schedule), service, dict(clocks.period_ps), 0, FRAMES, arbitration(chip, schedule),
        patience=longest + PATIENCE,
    )  # fmt: skip
    assert (timeline.finished_ps // loop.tick).tolist() == loop.finished
    assert (timeline.duration_ps, timeline.worked_ps) == (loop.end * loop.tick, loop.worked * loop.tick)
    for name in {job.component for job in schedule.jobs}:
        for state in ("busy", "wait_input", "wait_output"):
            assert timeline.cycles[name][state] == loop.spent[name, state], (name, state)


@pytest.mark.parametrize("shared_by", [1, 8, 96])
@pytest.mark.parametrize("phases", [1, 8])
def test_one_tile_by_hand(shared_by: int, phases: int) -> None:
    """A frame on one tile, alone: every hand-over costs a cycle of latency.

    load ceil(64 / 64) = 1, +1; deliver over a 256-bit bus: 64 x 8 / 256 = 2, +1; the first read 1, +1; then phases
    conversions of c = min(shared_by, 10 outputs x 2 planes) cycles. The next read is over long before, but the
    sample-and-hold is free for it only when the conversion has ended, and shows it a cycle later: c + 1 per phase.
    Then +1; send 10 x 16 bits in 1, +1; the sum of 10 outputs on 16 adders 1.
    """
    changes = {
        "components.crossbar.tiles": "1",
        "components.adc.units": str(-(-128 * 3 // shared_by)),
        "components.adc.shared_by": str(shared_by),
        "components.dac.mode": "amplitude" if phases == 1 else "bit_serial",
    }
    _, _, _, timeline = run_timing(64, 10, changes, frames=1)
    conversion = min(shared_by, 10 * 2)
    converted = (phases - 1) * (conversion + 1) + conversion
    by_hand = (1 + 1) + (2 + 1) + (1 + 1) + converted + 1 + (1 + 1) + 1
    assert timeline.finished_ps[0] - timeline.arrived_ps[0] == by_hand * 10_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"components.crossbar.tiles": "1"}, r"matrix 'y' is larger than the chip: it needs 2 tiles of 1"),
        ({"components.adc.shared_by": "400"}, r"'adc' is shared by 400 columns, a tile has 384"),
        ({"components.adc.units": "10"}, r"10 converters shared by 8 serve 80 of the 384 columns"),
        (
            {"components.crossbar.planes": "1", "components.adc.units": "16"},
            r"3-bit weights, 2 planes; 'crossbar' has 1",
        ),
        ({"components.dac.bits": "4"}, r"8-bit inputs, 'dac' takes 4"),
        ({"components.dac.units": "64"}, r"'dac' drives 64 of 128 rows"),
        ({"components.crossbar.rows": "32"}, r"a tile must have from 64 to 512 rows, found 32"),
        ({"components.adc.range_bits": "0"}, r"must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_timing(140, 10, changes)


def test_a_second_layer_needs_tiles_of_its_own(tmp_path: Path) -> None:
    """Two layers of 2 x 2 tiles each do not lie on three."""
    folder = write_layer(tmp_path, 140, 140)
    path = folder / "workload.yaml"
    second = "  - {name: z, op: linear, input: y, outputs: 140, weight_bits: 3, weights: w, gives: codes}\n"
    path.write_text(path.read_text() + second)
    with pytest.raises(
        InputError, match=r"the matrices need 8 tiles, the chip has 3: 5 are missing, from matrix 'y' on"
    ):
        deploy(load_workload(path), load_architecture("memristor_tile"))


def test_cells_and_pulses_are_recorded() -> None:
    """Three tiles of three planes, a positive and a negative array each; every cell takes at least one pulse."""
    import accelsim

    programming = accelsim.run("memristor_tile").programming
    assert programming.cells == 3 * 3 * 2 * 128 * 128
    assert programming.write_pulses >= programming.cells
