"""How a network is cut into jobs, and what is said when it does not fit the chip."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from chips import rsnn28nm

from accelsim.architecture import Architecture, ArchitectureSpec
from accelsim.engines.deploy import deploy
from accelsim.engines.spike_pes import RowWalk
from accelsim.errors import InputError
from accelsim.ops.graph import Graph, GraphError
from accelsim.workload import Workload, WorkloadSpec


def lif(name: str, source: str, neurons: int, **more: Any) -> dict[str, Any]:
    layer = {"op": "lif", "name": name, "input": source, "neurons": neurons, "weight_bits": 4, "beta": 0.5}
    return layer | {"threshold": 8, "reset": "zero"} | more


def spike_sum(name: str, source: str, neurons: int) -> dict[str, Any]:
    return {"op": "spike_sum", "name": name, "input": source, "neurons": neurons, "weight_bits": 4}


USUAL = [lif("l0", "features", 128), lif("l1", "l0", 128), spike_sum("fc", "l1", 1920)]


def network(layers: list[dict[str, Any]] = USUAL, steps: int = 2, features: int = 40) -> Workload:
    inputs = {"source": "random", "frames": 1, "frame_period": "10 ms", "features": features}
    inputs |= {"input_ones": 0.4, "spikes": 0.3, "readout": 0.4}
    spec = WorkloadSpec.model_validate({"name": "n", "time_steps": steps, "inputs": inputs, "graph": layers})
    return workload_of(spec)


def workload_of(spec: WorkloadSpec) -> Workload:
    graph = Graph.of(spec.graph, spec.features())
    return Workload(spec=spec, graph=graph, tensors={}, reference=None, decoder=None, folder=Path(), sha256="")


def test_the_jobs_of_the_paper() -> None:
    schedule = deploy(network(), rsnn28nm()).schedule
    assert [job.name for job in schedule.jobs] == [
        "load", "l0.input", "l0.recurrent", "l0.neurons", "l1.feedforward", "l1.recurrent", "l1.neurons", "fc.sum",
        "fc.output",
    ]  # fmt: skip
    assert schedule.leaders() == ("input_buffer", "pe", "lif", "fc_accumulator")
    readout = next(job for job in schedule.jobs if job.name == "fc.sum")
    assert readout.members() == ("pe", "zero_skip", "weights_fc", "weight_bus", "controller")
    assert readout.takes == ("spike_registers->zero_skip",)
    assert readout.gives == ("pe->fc_accumulator",)
    assert readout.work == RowWalk("sum", "merged", "C", banks=2, skip=True, groups=15, accesses_per_row=1)
    assert readout.part("weights") == "weights_fc"
    assert len(schedule.table()) == len(schedule.jobs)


@pytest.mark.parametrize(
    ("steps", "keys", "recurrent", "readout"),
    [
        (1, {}, ("each", "B", 2, True), ("each", "B", 2, True)),
        (2, {}, ("shared", "D", 1, False), ("merged", "C", 2, True)),
        (2, {"components.zero_skip.merge_spikes": False}, ("shared", "D", 1, False), ("shared", "B", 1, True)),
        (2, {"components.controller.time_steps": "sequential"}, ("each", "B", 2, True), ("each", "B", 2, True)),
        (2, {"components.zero_skip.skip_spikes": False}, ("shared", "D", 1, False), ("merged", "C", 2, False)),
        (1, {"components.zero_skip.skip_spikes": False}, ("each", "B", 2, False), ("each", "B", 2, False)),
    ],
)
def test_how_rows_are_walked(steps: int, keys: dict, recurrent: tuple, readout: tuple) -> None:
    work = {job.name: job.work for job in deploy(network(steps=steps), rsnn28nm(keys)).schedule.jobs}
    for job, expected in (("l0.recurrent", recurrent), ("l1.feedforward", recurrent), ("fc.sum", readout)):
        assert tuple(getattr(work[job], key) for key in ("walk", "type", "banks", "skip")) == expected


def test_narrow_words_take_several_accesses_per_row() -> None:
    chip = rsnn28nm({"components.weights_fc.width_bits": 200, "components.weights_fc.rows": 9999})
    work = {job.name: job.work for job in deploy(network(), chip).schedule.jobs}
    assert work["fc.sum"].accesses_per_row == 3  # 128 x 4 bits in words of 200
    assert work["l0.recurrent"].accesses_per_row == 1


def test_spikes_may_be_the_outputs() -> None:
    jobs = deploy(network([lif("l0", "features", 8)]), rsnn28nm()).schedule.jobs
    assert [job.name for job in jobs] == ["load", "l0.input", "l0.recurrent", "l0.neurons"]
    assert [job.last for job in jobs] == [False, False, False, True] and jobs[-1].gives == ()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([spike_sum("fc", "features", 8)], r"layer 'fc' \(spike_sum\) takes spikes, and 'features' gives codes"),
        ([lif("l0", "features", 8), lif("l1", "features", 8), spike_sum("fc", "l1", 8)], "layer 'l0' is read by none"),
        ([lif("l0", "features", 8), spike_sum("a", "l0", 8), spike_sum("b", "l0", 8)], "layer 'a' is read by none"),
        (
            [lif("l0", "features", 8), spike_sum("a", "l0", 8), lif("l1", "a", 8)],
            "layer 'l1': its weights take features or spikes, 'a' gives sums: write 'feedforward: false'",
        ),
    ],
)
def test_layers_that_do_not_follow_each_other(layers: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        network(layers)


WIDE = [lif("l0", "features", 300), spike_sum("fc", "l0", 8)]


@pytest.mark.parametrize(
    ("workload", "keys", "message"),
    [
        (
            network([lif("l0", "features", 8, weight_bits=8), spike_sum("fc", "l0", 8)]), {},
            "layer 'l0' has 8-bit weights, the PEs of 'pe' take 4",
        ),
        (
            network([lif("l0", "features", 8, threshold=40_000), spike_sum("fc", "l0", 8)]), {},
            "threshold 40000 of layer 'l0' does not fit the 16-bit membranes of 'lif'",
        ),
        (network(WIDE), {}, "layer 'l0' has 300 inputs, 'zero_skip' selects among 2 x 64"),
        (network(WIDE), {}, "300 membranes do not fit the 256 entries of 'membranes'"),
        (network(WIDE), {}, "600 spikes of all time steps do not fit the 512 entries of 'spike_registers'"),
        (
            network(WIDE), {},
            "the recurrent_weights need 450 rows of 512 bits in each bank, 'weights_recurrent' has 2 x 192",
        ),
        (network(features=49), {}, "49 features of a frame do not fit the 48 entries of 'input_buffer'"),
        (
            network(features=49), {},
            "the input_weights need 49 rows of 512 bits in each bank, 'weights_input' has 1 x 48",
        ),
        (network(), {"components.input_buffer.width_bits": 7}, "8-bit features do not fit the words of 'input_buffer'"),
        (network(), {"components.pe.sets": 3}, "8-bit inputs do not split evenly over 3 PE sets"),
        (
            network(), {"components.pe.sets": 1},
            "2 parallel time steps need a multiple of 2 PE sets, 'pe' has 1",
        ),
        (
            network(), {"components.weights_fc.stores": "readout_weight"},
            r"no engine of the chip runs layer 'fc' \(spike_sum\); 'spike_pes': it needs a memory with 'stores: "
            r"readout_weights' \('weights_fc' stores 'readout_weight': did you mean 'readout_weights'\?\)$",
        ),
    ],
)  # fmt: skip
def test_refused(workload: Workload, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        deploy(workload, rsnn28nm(keys))


def test_more_than_two_merged_time_steps_are_refused() -> None:
    inputs = {"source": "speech", "dataset": "x", "split": "y"}
    layers = [
        lif("l0", "features", 8, weights="a", recurrent_weights="b"),
        spike_sum("fc", "l0", 8) | {"weights": "c"},
    ]
    spec = {"name": "n", "weights": "w", "time_steps": 4, "inputs": inputs, "graph": layers}
    workload = workload_of(WorkloadSpec.model_validate(spec))
    with pytest.raises(InputError, match="shift by at most one place: two time steps, not more"):
        deploy(workload, rsnn28nm({"components.pe.sets": 4}))


def changed(**sections: Any) -> Architecture:
    """Return the chip with whole sections replaced."""
    chip = rsnn28nm()
    data = chip.spec.model_dump(mode="json", by_alias=True, exclude_unset=True) | sections
    return dataclasses.replace(chip, spec=ArchitectureSpec.model_validate(data))


def test_a_missing_part_is_named() -> None:
    data = rsnn28nm().spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    without = {name: part for name, part in data["components"].items() if name != "lif"}
    message = r"no engine of the chip runs layers 'l0', 'l1' \(lif\); no spike_pes: it needs LIF units\n"
    with pytest.raises(InputError, match=message):
        deploy(network(), changed(components=without))
    two = data["components"] | {"second": data["components"]["pe"]}
    message = "no spike_pes: it needs a set of spike-driven PEs for 'pe', and there are pe, second: name one under"
    with pytest.raises(InputError, match=message):
        deploy(network(), changed(components=two))


def test_a_missing_channel_is_named() -> None:
    channels = [
        c
        for c in rsnn28nm().spec.model_dump(mode="json", by_alias=True, exclude_unset=True)["channels"]
        if c["to"] != "lif"
    ]
    with pytest.raises(InputError, match="needs a bounded channel from 'pe' to 'lif'"):
        deploy(network(), changed(channels=channels))


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(InputError) as error:
        deploy(network(WIDE, features=49), rsnn28nm({"components.pe.sets": 3}))
    assert len(error.value.problems) >= 6
