"""Speed of Conformers on memristor tiles: the 77 M shape on ten seconds of speech, and the small trained network.

Run with `pytest -m benchmark -s` on an otherwise idle machine; every figure is printed with its limit.
"""

from __future__ import annotations

import resource
import time
from collections import Counter

import numba
import numpy as np
import pytest
from property import reference_tile

import accelsim
from accelsim.architecture import load_architecture
from accelsim.data import data_folder
from accelsim.data.an4 import FILE
from accelsim.devices import load_device
from accelsim.engines.cells import Cells
from accelsim.engines.deploy import deploy
from accelsim.kernels.converters import AdcTransfer, DacTransfer
from accelsim.pipeline import Stages, run_in_full

pytestmark = pytest.mark.benchmark

TILE = 128


@pytest.fixture
def programming(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Return seconds spent on programming cells, by the clock and by the processors, as they add up."""
    spent: Counter = Counter()
    tiles = Cells.tiles

    def timed(self, *arguments):
        wall, processor = time.perf_counter(), time.process_time()
        made = tiles(self, *arguments)
        spent["wall"] += time.perf_counter() - wall
        spent["processor"] += time.process_time() - processor
        return made

    monkeypatch.setattr(Cells, "tiles", timed)
    return spent


def test_the_77m_shape_on_ten_seconds_of_speech(programming: Counter) -> None:
    """453 M cells programmed in under 100 s; then values, timing and cost in at most 30 s, all in less than 8 GB."""
    one_block = {
        "workload.inputs.seconds": "0.3",
        "workload.graph.blocks.blocks": "1",
        "workload.graph.output.input": "blocks.0.norm",
    }
    accelsim.run("memristor_conformer_77m", overrides=one_block)  # compiles the kernels
    programming.clear()
    spent: Counter = Counter()

    def timed(name, work):
        def wrapped(*arguments, **options):
            start = time.perf_counter()
            made = work(*arguments, **options)
            spent[name] += time.perf_counter() - start
            return made

        return wrapped

    plain, used = Stages(), Counter()

    def execute(*arguments, **options):
        start = time.process_time()
        made = plain.execute(*arguments, **options)
        used["execute"] += time.process_time() - start
        return made

    stages = Stages(
        load_workload=timed("weights", plain.load_workload), load_batch=timed("features", plain.load_batch),
        execute=timed("execute", execute), simulate=timed("engine", plain.simulate),
    )  # fmt: skip
    wall, processor = time.perf_counter(), time.process_time()
    run = run_in_full("memristor_conformer_77m", stages=stages)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    cells = run.execution.activity.programming["cells"]
    frames = run.execution.frames
    deployment = deploy(run.workload, load_architecture("memristor_conformer_77m"))
    plain_frame = _plain_seconds_per_frame(deployment.engines["crossbar_tiles"].map)
    rest = wall - programming["wall"] - spent["weights"] - spent["features"]
    busy = processor - programming["processor"]
    values = (used["execute"] - programming["processor"]) / 2
    print(
        f"\n77 M shape, {frames} frames, {run.batch.audio_seconds:.1f} s of speech, {numba.get_num_threads()} threads; "
        f"{gigabytes:.1f} GB (at most 8)\n"
        f"  weights {spent['weights']:.1f} s, features {spent['features']:.1f} s\n"
        f"  programming {cells / 1e6:.0f} M cells: {programming['wall']:.1f} s (at most 100), "
        f"{programming['processor'] / 2:.1f} s of processor time on each of two cores\n"
        f"  values {spent['execute'] - programming['wall']:.1f} s, engine at {1 + len(run.points)} operating points "
        f"{spent['engine']:.1f} s; all but programming {rest:.1f} s (at most 30), {busy / 2:.1f} s of processor time "
        f"on each of two cores\n"
        f"  NumPy with noise per cell would take {plain_frame * frames:.0f} s for the values, "
        f"{plain_frame * frames / values:.0f} x (at least 300) their processor time on each of two cores"
    )
    assert cells > 453e6 and gigabytes < 8


def _plain_seconds_per_frame(tile_map) -> float:
    """Return what one frame of all matrices takes a NumPy tile with noise per cell, from one plane of one tile."""
    device, generator, frames = load_device("synaptogen"), np.random.default_rng(1), 20
    r = generator.uniform(0.1, 0.9, (2, TILE, TILE))
    codes = generator.integers(-128, 129, (frames, TILE)).astype(np.int16)
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        reference_tile.vectorised_product(
            codes, r[0], r[1], device.curves(0.6), DacTransfer(), AdcTransfer(), "physical", generator, frames
        )
        best = min(best, time.process_time() - start)
    return best / frames * sum(lies.tiles * lies.planes for lies in tile_map.mappings)


@pytest.mark.skipif(not (data_folder() / FILE).exists(), reason="AN4 is not at hand")
def test_the_trained_network_with_five_programming_runs(programming: Counter) -> None:
    """The whole test set of AN4, five programmings, at two operating points: under ten minutes."""
    wall, processor = time.perf_counter(), time.process_time()
    result = accelsim.run("memristor_conformer", overrides={"programming_runs": "5"})
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    accuracy = result.accuracy
    print(
        f"\nconformer_an4, {result.performance.utterances} utterances, five programmings: {wall:.0f} s (at most 600), "
        f"{processor / 2:.0f} s of processor time on each of two cores; {accuracy.metric} {accuracy.value:.2f} %, "
        f"runs {accuracy.runs}, exact {accuracy.exact_value:.2f} %"
    )
    assert len(accuracy.runs) == 5
