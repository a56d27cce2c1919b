"""What a sweep reuses is what a run of its own would have made."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chips import text
from graphs import IDEAL, Shape, Streaming, tile_keys, write_graph
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelsim import run
from accelsim.architecture import ArchitectureSpec, load_architecture
from accelsim.components import KINDS
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute, service_of
from accelsim.errors import InputError
from accelsim.explore.reuse import Reuse, functional, is_functional, rescaled
from accelsim.explore.space import Point
from accelsim.explore.workers import RunTemplate, evaluate
from accelsim.inputs import load_batch
from accelsim.pipeline import clocking, links
from accelsim.schema import json_schema, keeps_values
from accelsim.simulate import simulate
from accelsim.workload import load_workload

FRAMES = {"workload.inputs.frames": "12"}
SPIKING = ("rsnn28nm", "rsnn_paper_activity")
MESH = {"components.tile_bus": "{kind: mesh, columns: 2, rows: 2, width_bits: 64, length: 1 mm}"}
CONFORMER = {key: text(value) for key, value in {**tile_keys(), **IDEAL}.items()}
GRAPH = str(write_graph(Path(tempfile.mkdtemp()), Shape().layers()))
STREAM = str(write_graph(Path(tempfile.mkdtemp()), Streaming().layers(), bands=Streaming().bands))
CHIPS = {
    "conformer": ("memristor_conformer", {**CONFORMER, "workload": GRAPH}),
    "spiking": ("rsnn28nm", {}),
    "tile on a bus": ("memristor_tile", {}),
    "tile on a mesh": ("memristor_tile", MESH),
    "isaac": ("isaac_tile", {}),
    "npu": ("edge_npu", {"workload": STREAM}),
}


@functools.cache
def inputs(workload: str) -> tuple[Any, Any]:
    """Return a network and twelve frames of its inputs."""
    network = load_workload(workload)
    batch = load_batch(network)
    few = dataclasses.replace(batch, features=batch.features[:12], starts=np.array([0, 12]), references=None)
    return network, few


def execution(chip: Any) -> Any:
    """Return the values and counts of a few frames."""
    network, batch = inputs(chip.spec.workload)
    return execute(deploy(network, chip), batch, seed=1)


def changed(chip: Any, component: str, key: str) -> dict[str, str]:
    """Return an override that gives a component's key another value."""
    value = getattr(chip.components()[component], key)
    rule = json_schema(KINDS[chip.components()[component].kind].spec)["properties"][key]
    if key == "clock":
        return {"clocks.other": "{frequency: 50 MHz}", f"components.{component}.clock": "other"}
    if "examples" in rule:
        unit = rule["examples"][0].split()[1]
        return {f"components.{component}.{key}": f"{value * 2} {unit.lstrip('kmunp') or unit}"}
    return {f"components.{component}.{key}": str(value / 2 if isinstance(value, float) else value * 2 + 1)}


def cases() -> list[tuple[str, str, str]]:
    """Return every key that a kind lists, once, on a chip that has such a component."""
    found: dict[tuple[str, str], tuple[str, str, str]] = {}
    for label, (architecture, overrides) in CHIPS.items():
        for name, spec in load_architecture(architecture, overrides).components().items():
            found |= {(spec.kind, key): (label, name, key) for key in sorted(keeps_values(type(spec)))}
    return list(found.values())


@functools.cache
def plain(label: str) -> Any:
    return execution(load_architecture(*CHIPS[label]))


@pytest.mark.parametrize(("label", "component", "key"), cases())
def test_what_keeps_values_changes_no_value_and_no_count(label: str, component: str, key: str) -> None:
    architecture, overrides = CHIPS[label]
    chip = load_architecture(architecture, overrides)
    other = load_architecture(architecture, overrides | changed(chip, component, key))
    assert other.spec != chip.spec
    assert functional(chip) == functional(other)
    try:
        expected, found = plain(label), execution(other)
    except InputError:
        assert (label, component, key) == ("isaac", "crossbar", "planes")  # more planes than converters serve
        return
    assert np.array_equal(expected.outputs, found.outputs)
    ours, theirs = expected.activity, found.activity
    assert ours.counts.keys() == theirs.counts.keys()
    for where, counts in ours.counts.items():
        assert counts.keys() == theirs.counts[where].keys()
        assert all(np.array_equal(values, theirs.counts[where][name]) for name, values in counts.items())
    assert (ours.macs, ours.saturations, ours.sparsity) == (theirs.macs, theirs.saturations, theirs.sparsity)
    assert (ours.conversions, ours.programming) == (theirs.conversions, theirs.programming)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_keeps_the_values_of_a_kind_are_keys_of_it(kind: str) -> None:
    assert keeps_values(KINDS[kind].spec) <= KINDS[kind].spec.model_fields.keys()
    assert keeps_values(ArchitectureSpec) <= ArchitectureSpec.model_fields.keys()


def test_every_key_that_a_kind_lists_is_tried() -> None:
    listed = {(kind.name, key) for kind in KINDS.values() for key in keeps_values(kind.spec) - {"clock"}}
    chips = {label: load_architecture(*CHIPS[label]) for label in CHIPS}
    assert listed <= {(chips[label].components()[name].kind, key) for label, name, key in cases()}


def test_which_keys_are_functional() -> None:
    spec = load_architecture("memristor_tile").spec
    assert is_functional("components.adc.precision_bits", spec)
    assert is_functional("workload.graph.phones.weight_bits", spec)
    assert is_functional("placement.phones.copies", spec)
    assert not is_functional("components.adc.rate", spec)
    assert not is_functional("clocks.main.frequency", spec)
    assert not is_functional("technology.voltage", spec)


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "clocks.main.frequency": st.sampled_from(["100 kHz", "1 MHz", "500 MHz"]),
                "technology.voltage": st.sampled_from(["0.8 V", "0.9 V"]),
                "pacing.mode": st.sampled_from(["back_to_back", "real_time"]),
                "components.pe.switch_cycles": st.sampled_from(["0", "3"]),
                "components.zero_skip.skip_spikes": st.sampled_from(["true", "false"]),
                "workload.time_steps": st.sampled_from(["1", "2"]),
                "components.weights_fc.banks": st.sampled_from(["4", "8"]),
            },
        ),
        min_size=2,
        max_size=3,
    ),
    st.integers(0, 1),
)
def test_a_point_is_a_run_of_its_own(points: list[dict[str, str]], seed: int) -> None:
    architecture, workload = SPIKING
    reuse, job = Reuse(), RunTemplate(architecture, workload, FRAMES)
    for number, keys in enumerate(points):
        point = Point(number, number, seed, keys)
        outcome = evaluate(job, point, reuse)
        assert outcome.error is None
        expected = run(architecture, workload, overrides={**FRAMES, **keys}, seed=seed, command=job.command(point))
        # Of a point nobody watches one frame.
        assert outcome.result.to_json() == expected.model_copy(update={"frame": None}).to_json()


def test_prices_and_clocks_never_run_the_engine_again() -> None:
    architecture, workload = SPIKING
    reuse = Reuse()
    job = RunTemplate(architecture, workload, {**FRAMES, "pacing.mode": "back_to_back", "operating_points": "{}"})
    for number, keys in enumerate(
        [
            {},
            {"clocks.main.frequency": "1 MHz"},
            {"clocks.main.frequency": "250 MHz"},
            {"technology.voltage": "0.8 V"},
            {"technology.temperature": "350 K"},
            {"components.weight_bus.length": "3 mm"},
        ]
    ):
        assert evaluate(job, Point(number, number, 0, keys), reuse).error is None
    assert (reuse.executions.computed, reuse.timelines.computed) == (1, 1)
    evaluate(job, Point(9, 9, 0, {"components.pe.switch_cycles": "4"}), reuse)
    assert (reuse.executions.computed, reuse.timelines.computed) == (1, 2)
    evaluate(job, Point(10, 10, 1, {}), reuse)
    assert reuse.executions.computed == 2


@pytest.mark.parametrize(("slow", "fast"), [("100 MHz", "1 GHz"), ("500 MHz", "30 MHz")])
def test_a_timeline_at_another_clock(slow: str, fast: str) -> None:
    network = load_workload(SPIKING[1], {"inputs.frames": "12"})
    timelines, ticks = [], []
    for frequency in (slow, fast):
        chip = load_architecture(SPIKING[0], {"clocks.main.frequency": frequency, "pacing.mode": "back_to_back"})
        deployment, batch = deploy(network, chip), load_batch(network)
        schedule = deployment.schedule
        service = service_of(schedule, chip, execute(deployment, batch, seed=0).activity)
        clocks = clocking(chip, schedule)
        timelines.append(simulate(schedule, links(chip, schedule), service, clocks, 12))
        ticks.append(clocks.tick_ps())
    ours, expected = rescaled(timelines[0], *ticks), timelines[1]
    for name in expected.__dataclass_fields__:
        assert np.array_equal(getattr(ours, name), getattr(expected, name)), name


def test_what_one_learns_the_other_need_not_make() -> None:
    ours, theirs = Reuse(), Reuse()
    job, point = RunTemplate(*SPIKING, {**FRAMES, "operating_points": "{}"}), Point(0, 0, 0, {})
    expected = evaluate(job, point, ours).result
    theirs.timelines.learn(ours.timelines.news())
    assert evaluate(job, point, theirs).result == expected
    assert (theirs.timelines.computed, theirs.timelines.news(), ours.timelines.news()) == (0, [], [])
