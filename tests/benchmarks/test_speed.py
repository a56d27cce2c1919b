"""How fast, how soon, how much memory: figures to print (pytest -m benchmark -s), nothing asserted about them.

The network has the paper's size; its input is ten minutes of made-up codes with speech's density of ones. Each figure
comes from a process of its own with one thread, compiled kernels already in numba's cache; speed is per second of
processor time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from chips import random_weights, write_speech_network

pytestmark = pytest.mark.benchmark

SECONDS = 600
FRAMES = SECONDS * 100
THRESHOLDS = ("100", "20")  # of the two layers: with these about 18 % of the neurons spike in a time step
ONE_CORE = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

PROGRAM = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[1])
import numpy as np
from chips import batch_of, clocking, links, rsnn28nm
from accelsim.cost import price
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute, service_of
from accelsim.pipeline import supplies
from accelsim.simulate import Trace, close_books, simulate
from accelsim.workload import load_workload

frames, what = int(sys.argv[3]), sys.argv[4]
workload = load_workload(sys.argv[2], {"graph.l0.threshold": sys.argv[5], "graph.l1.threshold": sys.argv[6]})
chip = rsnn28nm()
deployment = deploy(workload, chip)
schedule = deployment.schedule
generator = np.random.default_rng(0)
bits = generator.random((frames, 40, 8), np.float32) < 0.43
features = np.packbits(bits, axis=2)[:, :, 0]
del bits
warm = execute(deployment, batch_of(features[:50], [0, 50]))
batch = batch_of(features, list(range(0, frames, 1000)) + [frames])
begun = time.process_time()  # of this process alone: other work on the machine does not count
execution = execute(deployment, batch)
values = time.process_time() - begun
if what == "trace":
    # Off and on in turn, so that both see the same machine.
    service, clocks, seconds = service_of(schedule, chip, execution.activity), clocking(chip), {"off": [], "on": []}
    for _ in range(5):
        for state, recorder in (("off", None), ("on", Trace(schedule, clocks, 0, 2**62))):
            started = time.process_time()
            simulate(schedule, links(chip), service, clocks, frames, trace=recorder)
            seconds[state].append(time.process_time() - started)
    print(json.dumps({state: sorted(taken)[2] for state, taken in seconds.items()} | {"events": recorder.events}))
    sys.exit()
if what == "engine":
    service = service_of(schedule, chip, execution.activity)
    timeline = simulate(schedule, links(chip), service, clocking(chip), frames)
    ledger = close_books(schedule, service, timeline, execution.activity, supplies(chip))
    price(chip, schedule, execution.activity, ledger)
print(json.dumps({
    "values_s": values,
    "all_s": time.process_time() - begun,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "spikes": {name: float(made.mean()) for name, made in execution.spikes.items()},
}))
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a network of the paper's size that spikes much, but not always."""
    weights = random_weights(np.random.default_rng(0), 40, [128, 128], 1920)
    weights = {name: np.maximum(tensor, -7) for name, tensor in weights.items()}  # zero on average
    folder = tmp_path_factory.mktemp("network")
    return write_speech_network(folder, weights, features=40, hidden=[128, 128], classes=1920, steps=2)


def measure(network: Path, what: str, frames: int = FRAMES) -> dict:
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", PROGRAM, tests, str(network), str(frames), what, *THRESHOLDS]
    done = subprocess.run(command, env=os.environ | ONE_CORE, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_values_alone(network: Path) -> None:
    figures = measure(network, "values")
    print(f"\nvalues alone, one core: {SECONDS / figures['values_s']:.0f} s of speech per second", figures)


def test_values_and_engine(network: Path) -> None:
    figures = measure(network, "engine")
    print(f"\nvalues, cycles and cost, one core: {SECONDS / figures['all_s']:.0f} s of speech per second", figures)
    print(f"peak memory for {SECONDS // 60} minutes of speech: {figures['peak_mib']:.0f} MiB")


def test_engine_with_and_without_a_trace(network: Path) -> None:
    figures = measure(network, "trace", frames=2000)
    ratio = figures["on"] / figures["off"]
    print(f"\nengine with a trace: {ratio:.2f} of its time without one, {figures['events']} events", figures)


def test_start_of_the_command_line() -> None:
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "accelsim", "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - begun)
    print(f"\naccelsim --help: {statistics.median(times):.2f} s (median of 5), {min(times):.2f} s at best")


def test_memory_of_a_whole_run() -> None:
    """Ten minutes of random activity through the command line: peak memory of the process, imports included."""
    program = (
        "import resource, sys, accelsim;"
        f"accelsim.run('rsnn28nm', 'rsnn_paper_activity', overrides={{'workload.inputs.frames': '{FRAMES}'}});"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=os.environ | ONE_CORE, capture_output=True, text=True, check=True)
    print(f"\npeak memory of a run over {SECONDS // 60} minutes of random activity: {float(done.stdout):.0f} MiB")
