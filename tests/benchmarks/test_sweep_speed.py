"""Speed of sweeps: 1,000 points against single runs, two processes against one.

Run with `pytest -m benchmark -s` on an otherwise idle machine; every figure is printed with its limit.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from sweeps import sweep

import accelsim
from accelsim.explore.store import Store

pytestmark = pytest.mark.benchmark

CHIP = "memristor_tile"
TILED = ("tile_inputs", "dac", "crossbar", "sample_hold", "adc", "shift_add", "tile_outputs")
ROOMY = [*(f"{part}.tiles=6" for part in TILED), "dac.units=768", "tile_inputs.entries=256"]
AXES = [
    *ROOMY,
    "crossbar.rows=64,96,128,192,256",
    "adc.precision_bits=3:7",
    "adc.shared_by=4,8,16,32,64; adc.units=96,48,24,12,6",
    "clocks.main.frequency=25 MHz:200 MHz:25 MHz",
]
SAMPLE = 10


def test_a_thousand_points_against_single_runs(tmp_path: Path) -> None:
    """Crossbar rows x converter bits x sharing x clock: at most 1/20 of 1,000 single runs, start-up not counted."""
    begun = time.perf_counter()
    with sweep(CHIP, AXES, tmp_path / "out", objectives=["energy", "error", "area"]) as store:
        swept = time.perf_counter() - begun
        rows, fixed = store.points(), store.meta()["set"]
        results = {row["point"]: store.result(row["point"]) for row in random.Random(0).sample(rows, SAMPLE)}
    assert len(rows) == 1000 and all(row["status"] == "done" for row in rows)
    single = 0.0
    for number, result in results.items():
        begun = time.perf_counter()
        alone = accelsim.run(CHIP, overrides={**fixed, **rows[number]["keys"]}, command=result.command)
        single += (time.perf_counter() - begun) / SAMPLE
        assert alone == result
    print(
        f"\n1,000 points: {swept:.1f} s; a single run: {single:.2f} s (mean of {SAMPLE}); "
        f"1/{1000 * single / swept:.1f} of 1,000 single runs (limit 1/20)"
    )


def test_two_processes_against_one(tmp_path: Path) -> None:
    """The same grid, every process loading for itself: at least 1.7 times the throughput, measured in turns."""
    seconds = {1: 0.0, 2: 0.0}
    for turn in range(2):
        for jobs in (1, 2):
            begun = time.perf_counter()
            sweep(CHIP, AXES, tmp_path / f"{turn}-{jobs}", jobs=jobs).close()
            seconds[jobs] += time.perf_counter() - begun
    with Store.open(tmp_path / "0-1") as one, Store.open(tmp_path / "0-2") as two:
        assert one.points() == two.points()
    print(
        f"\n2,000 points: {seconds[1]:.1f} s in one process, {seconds[2]:.1f} s in two: "
        f"{seconds[1] / seconds[2]:.2f} times the throughput (limit 1.7)"
    )
