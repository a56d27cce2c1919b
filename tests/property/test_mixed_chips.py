"""Random networks on a chip with an engine of every kind: values as the ops say, time as a plain loop over ticks.

Every op is placed at random among the engines that can run it, so that tokens go between all of them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from chips import batch_of
from hypothesis import given, settings
from hypothesis import strategies as st
from mixed import mixed_chip, random_network
from reference_engine import TickLoop

from accelsim.architecture import Architecture
from accelsim.engines.deploy import Deployment, deploy
from accelsim.engines.execute import Execution, execute, service_of
from accelsim.inputs import Batch
from accelsim.ops.op import FEATURES, Signal
from accelsim.pipeline import arbitration, clocking, links
from accelsim.simulate import close_books, simulate

seeds = st.integers(0, 2**31)
lengths = st.lists(st.integers(1, 3), min_size=1, max_size=2)


def run(seed: int, ops: int, of_frames: list[int], **how: object) -> tuple[Deployment, Batch, Execution]:
    """Deploy a random network and execute it over utterances of so many frames."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "network").mkdir()
        network, placement = random_network(folder / "network", seed, ops)
        chip = mixed_chip(folder, placement, **how)
        deployment = deploy(network, chip)
        random = np.random.default_rng(seed + 1)
        shape = (sum(of_frames), network.graph.edges[FEATURES].width)
        batch = batch_of(random.integers(0, 256, shape).astype(np.uint8), [0, *np.cumsum(of_frames)])
        return deployment, batch, execute(deployment, batch)


@settings(max_examples=120, deadline=None)
@given(seed=seeds, ops=st.integers(1, 12), of_frames=lengths)
def test_values_are_those_of_the_references(seed: int, ops: int, of_frames: list[int]) -> None:
    """Exact cells and converters: every engine, analogue ones too, gives what the ops' plain definitions give."""
    deployment, batch, execution = run(seed, ops, of_frames)
    graph, tensors = deployment.network.graph, deployment.network.tensors
    signals = {FEATURES: batch.signal(graph.edges[FEATURES])}
    for op in graph.ops:
        read = [signals[name] for name in op.reads()]
        signals[op.name] = Signal(op.reference(read, tensors), read[0].starts, graph.edges[op.name])
    wanted = signals[graph.last.name].values
    if graph.given.kind == "spikes":  # as outputs they are counted in each row
        wanted = wanted.sum(axis=1, dtype=np.int64)
    assert execution.outputs is not None
    assert np.array_equal(np.asarray(execution.outputs, np.float64), np.asarray(wanted, np.float64))


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    ops=st.integers(2, 8),
    of_frames=lengths,
    capacity=st.integers(1, 3),
    latency=st.integers(1, 2),
    over=st.booleans(),
    shuffle=st.randoms(use_true_random=False),
)
def test_time_is_that_of_the_plain_loop(seed, ops, of_frames, capacity, latency, over, shuffle) -> None:
    deployment, _, execution = run(seed, ops, of_frames, capacity=capacity, latency=latency, over=over)
    chip: Architecture = deployment.chip
    schedule, activity, frames = deployment.schedule, execution.activity, execution.frames
    service, clocks = service_of(schedule, chip, activity), clocking(chip, schedule)
    policies, joined = arbitration(chip, schedule), links(chip, schedule)
    how = {"tokens": activity.tokens, "arbitration": policies}
    timeline = simulate(schedule, joined, service, clocks, frames, **how)
    close_books(schedule, service, timeline, activity)
    order = list(schedule.leaders())
    shuffle.shuffle(order)
    again = simulate(schedule, joined, service, clocks, frames, process_order=order, **how)
    assert again.finished_ps.tolist() == timeline.finished_ps.tolist() and again.cycles == timeline.cycles
    loop = TickLoop(
        schedule.jobs, joined, service, dict(clocks.period_ps), 0, frames, policies, activity.tokens, patience=5000
    )
    assert (timeline.finished_ps // loop.tick).tolist() == loop.finished
    assert timeline.duration_ps == loop.end * loop.tick
    for name in {job.component for job in schedule.jobs}:
        for state in ("busy", "wait_input", "wait_output"):
            assert timeline.cycles[name][state] == loop.spent[name, state], (name, state)


def test_every_engine_is_met_and_most_pairs_of_engines() -> None:
    """The networks above are no longer a test when an engine is never drawn."""
    pairs: set[tuple[str, str]] = set()
    met: set[str] = set()
    for seed in range(60):
        with tempfile.TemporaryDirectory() as name:
            network, placement = random_network(Path(name), seed, 3 + seed % 10)
        met |= set(placement.values())
        for op in network.graph.ops:
            pairs |= {(placement[read], placement[op.name]) for read in op.reads() if read != FEATURES}
    assert met == {"digital", "clusters", "lone", "pes", "kernels", "array"}
    assert len([pair for pair in pairs if pair[0] != pair[1]]) >= 18
