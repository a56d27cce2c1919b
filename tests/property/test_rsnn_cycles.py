"""Closed forms and event engine against the plain per-cycle loop: equal to the cycle, and to the count."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from chips import (
    clocking,
    links,
    random_weights,
    rsnn28nm,
    text,
    write_random_network,
    write_speech_network,
    write_timit,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_chip import Chip, Link, Loop, Matrix, Task

from accelsim.architecture import Architecture, load_architecture
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import Activity, execute, service_of
from accelsim.inputs import load_batch
from accelsim.schedule import Schedule
from accelsim.simulate import Timeline, close_books, simulate
from accelsim.workload import Workload, load_workload

ACTIONS = {"accumulate", "idle", "select", "read", "write", "transfer", "dispatch", "update"}
CYCLE_PS = 10_000_000  # 100 kHz
MEMORY = {"input": "weights_input", "feedforward": "weights_recurrent", "recurrent": "weights_recurrent"}


def plain_chip(chip: Architecture) -> Chip:
    """Return the numbers of a chip as the plain loop wants them."""
    parts = chip.spec.components
    pe, skip, lif = parts["pe"], parts["zero_skip"], parts["lif"]
    memories = ("weights_input", "weights_recurrent", "weights_fc")

    def accesses(width_bits: int) -> int:
        words = 0  # a row of the PEs' weights, cut into words of the memory
        while words * width_bits < pe.pes * pe.weight_bits:
            words += 1
        return words

    return Chip(
        sets=pe.sets,
        pes=pe.pes,
        switch_cycles=pe.switch_cycles,
        accesses_per_row={name: accesses(parts[name].width_bits) for name in memories},
        banks={name: parts[name].banks for name in memories},
        cycles_per_access={name: parts[name].cycles_per_access for name in memories},
        lanes=parts["weight_bus"].lanes,
        bus_words_per_row=accesses(parts["weight_bus"].width_bits),
        cycles_per_dispatch=parts["controller"].cycles_per_dispatch,
        units=lif.units,
        cycles_per_update=lif.cycles_per_update,
        cycles_per_group=parts["fc_accumulator"].cycles_per_group,
        adders=parts["fc_accumulator"].units,
        selectors=skip.units,
        features_per_cycle=parts["input_buffer"].writes_per_cycle,
        membranes_per_cycle=parts["membranes"].writes_per_cycle,
        spikes_per_cycle=parts["spike_registers"].writes_per_cycle,
        skip_inputs=skip.skip_inputs,
        skip_spikes=skip.skip_spikes,
        merge=skip.merge_spikes,
        parallel=parts["controller"].time_steps == "parallel",
    )


def plain_loop(chip: Architecture, workload: Workload, drives: dict[str, np.ndarray]) -> Loop:
    """Build the plain loop for a network whose matrices are driven by ``drives``, and run it."""
    spec = workload.spec
    frames = len(next(iter(drives.values())))
    pe_tasks, lif_tasks, source = [], [], "to_datapath"
    for layer in spec.graph:
        width = layer.neurons
        if layer.op == "spike_sum":
            name = f"{layer.name}.sum"
            matrix = Matrix(name, "weights_fc", width, drives[name].tolist(), readout=True)
            pe_tasks.append(Task(matrix.name, source, "to_readout", matrix=matrix))
            continue
        first = "input" if layer.input == "features" else "feedforward"
        for part, takes, gives in ((first, source, None), ("recurrent", None, "to_neurons")):
            name = f"{layer.name}.{part}"
            pe_tasks.append(Task(name, takes, gives, matrix=Matrix(name, MEMORY[part], width, drives[name].tolist())))
        lif_tasks.append(Task(f"{layer.name}.neurons", "to_neurons", "from_neurons", neurons=width))
        source = "from_neurons"
    ends = {
        "to_datapath": ("input_buffer", "zero_skip"),
        "to_neurons": ("pe", "lif"),
        "from_neurons": ("spike_registers", "zero_skip"),
        "to_readout": ("pe", "fc_accumulator"),
    }
    channels = {(c.from_, c.to): c for c in chip.spec.channels}
    loop = Loop(
        plain_chip(chip),
        {
            "input_buffer": [Task("load", gives="to_datapath")],
            "pe": pe_tasks,
            "lif": lif_tasks,
            "fc_accumulator": [Task("output", "to_readout", neurons=spec.graph[-1].neurons)],
        },
        {name: Link(channels[end].capacity, channels[end].latency) for name, end in ends.items()},
        frames,
        spec.time_steps,
        spec.inputs.width(),
        clocking(chip).frame_period_ps // CYCLE_PS,
    )
    loop.run()
    return loop


def engine(
    chip: Architecture, schedule: Schedule, activity: Activity, frames: int
) -> tuple[Timeline, dict[str, dict[str, int]]]:
    """Run the event engine; return its timeline and the ledger's counts."""
    service = service_of(schedule, chip, activity)
    timeline = simulate(schedule, links(chip), service, clocking(chip), frames)
    return timeline, close_books(schedule, service, timeline, activity).counts


def assert_equal(
    chip: Architecture, schedule: Schedule, timeline: Timeline, counts: dict[str, dict[str, int]], loop: Loop
) -> None:
    """The engine's run is the plain loop's, to the cycle and to the count."""
    assert (timeline.finished_ps // CYCLE_PS).tolist() == loop.finished
    assert (timeline.arrived_ps // CYCLE_PS).tolist() == loop.arrived
    assert (timeline.started_ps // CYCLE_PS).tolist() == loop.started
    assert timeline.duration_ps == loop.total * CYCLE_PS
    for name in chip.components():
        spent = {state: loop.cycles[name, state] for state in ("busy", "wait_input", "wait_output")}
        spent["idle"] = loop.total - sum(spent.values())
        assert (name, timeline.cycles[name]) == (name, spent)
    assert any("accumulate" in actions for actions in counts.values())
    for name, actions in counts.items():
        for action in actions.keys() & ACTIONS:
            if name != "fc_accumulator":
                assert (name, action, actions[action]) == (name, action, loop.seen[name, action])


MODES = {  # time steps, schedule of time steps, merged, zero skipping of inputs and of spikes
    "one step": (1, "parallel", True, True, True),
    "two steps merged": (2, "parallel", True, True, True),
    "two steps unmerged": (2, "parallel", False, True, True),
    "two steps sequential": (2, "sequential", False, True, True),
    "no skipping of inputs": (2, "parallel", True, False, True),
    "no skipping of spikes": (2, "parallel", True, True, False),
    "no skipping, one step": (1, "parallel", True, False, False),
    "no skipping, unmerged": (2, "parallel", False, False, False),
    "no skipping, sequential": (2, "sequential", False, False, False),
}


@st.composite
def chip_keys(draw: st.DrawFn, mode: str) -> dict[str, object]:
    """Draw everything about the chip that decides about time."""
    steps, time_steps, merge, skip_inputs, skip_spikes = MODES[mode]
    sets = [n for n in (1, 2, 4) if time_steps == "sequential" or n % steps == 0]
    few = st.integers(1, 3)
    keys: dict[str, object] = {
        "components.pe.sets": draw(st.sampled_from(sets)),
        "components.pe.pes": draw(st.sampled_from([2, 4, 16])),
        "components.pe.switch_cycles": draw(st.integers(0, 3)),
        "components.zero_skip.units": draw(few),
        "components.zero_skip.skip_inputs": skip_inputs,
        "components.zero_skip.skip_spikes": skip_spikes,
        "components.zero_skip.merge_spikes": merge,
        "components.controller.time_steps": time_steps,
        "components.controller.cycles_per_dispatch": draw(few),
        "components.weight_bus.lanes": draw(few),
        "components.weight_bus.width_bits": draw(st.sampled_from([6, 8, 512])),
        "components.lif.units": draw(st.sampled_from([1, 3, 16])),
        "components.lif.cycles_per_update": draw(few),
        "components.fc_accumulator.cycles_per_group": draw(st.sampled_from([1, 2, 40])),
        "components.fc_accumulator.units": draw(st.sampled_from([1, 3, 16])),
        "components.input_buffer.writes_per_cycle": draw(st.sampled_from([1, 2, 48])),
        "components.membranes.writes_per_cycle": draw(st.sampled_from([2, 16])),
        "components.spike_registers.writes_per_cycle": draw(st.sampled_from([3, 16])),
    }
    for name in ("weights_input", "weights_recurrent", "weights_fc"):
        keys[f"components.{name}.rows"] = 4096
        keys[f"components.{name}.width_bits"] = draw(st.sampled_from([6, 8, 512]))
        keys[f"components.{name}.banks"] = draw(few)
        keys[f"components.{name}.cycles_per_access"] = draw(st.sampled_from([1, 1, 2]))
    for index, channel in enumerate(rsnn28nm().spec.channels):
        if not channel.lockstep:
            keys[f"channels.{index}.capacity"] = draw(few)
            keys[f"channels.{index}.latency"] = draw(st.sampled_from([1, 1, 2, 7]))
    if draw(st.booleans()):
        keys["pacing.mode"] = "back_to_back"
    else:
        keys["pacing.frame_period"] = f"{draw(st.sampled_from([1, 40, 200, 700])) * 10} us"
    return keys


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=30)
@given(data=st.data())
def test_random_activity(mode: str, data: st.DataObject) -> None:
    chip = rsnn28nm(data.draw(chip_keys(mode)))
    with tempfile.TemporaryDirectory() as folder:
        spikes = data.draw(st.sampled_from([0.0, 0.1, 0.4, 0.9, 1.0]))
        path = write_random_network(
            Path(folder),
            features=data.draw(st.integers(1, 6)),
            hidden=data.draw(st.lists(st.integers(1, 11), min_size=1, max_size=3)),
            classes=data.draw(st.integers(1, 9)),
            steps=MODES[mode][0],
            frames=data.draw(st.integers(1, 4)),
            ones=data.draw(st.sampled_from([0.0, 0.3, 0.6, 1.0])),
            spikes=spikes,
            readout=min(1.0, 1.5 * spikes),
        )
        workload = load_workload(path)
    seed = data.draw(st.integers(0, 10_000))
    deployment, batch = deploy(workload, chip), load_batch(workload)
    schedule = deployment.schedule
    activity = execute(deployment, batch, seed=seed).activity
    # What was drawn does not leave `execute`, so it is drawn once more.
    again = deployment.engines["spike_pes"].start(batch, seed, lambda _: None)
    again.draw(workload.spec.inputs)
    drives = again.drives
    timeline, counts = engine(chip, schedule, activity, len(batch.features))
    assert_equal(chip, schedule, timeline, counts, plain_loop(chip, workload, drives))


@pytest.mark.parametrize("mode", MODES)
def test_speech(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Real features of (made-up) audio, real integer weights: the spikes are those that the network makes.
    steps, time_steps, merge, skip_inputs, skip_spikes = MODES[mode]
    write_timit(tmp_path, seconds=(0.06, 0.05))
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    features, hidden, classes = 10, [20, 17], 30
    weights = random_weights(np.random.default_rng(3), features, hidden, classes)
    path = write_speech_network(tmp_path, weights, features=features, hidden=hidden, classes=classes, steps=steps)
    workload = load_workload(path)
    chip = rsnn28nm(
        {
            "components.pe.pes": 16,
            "components.zero_skip.skip_inputs": skip_inputs,
            "components.zero_skip.skip_spikes": skip_spikes,
            "components.zero_skip.merge_spikes": merge,
            "components.controller.time_steps": time_steps,
            "components.weights_input.rows": 200,
            "pacing.frame_period": "5 ms",
        }
    )
    deployment, batch = deploy(workload, chip), load_batch(workload)
    schedule = deployment.schedule
    execution = execute(deployment, batch)
    spikes = execution.spikes
    for layer in spikes.values():
        assert 0.05 < layer.mean() < 0.95
    before = {}
    for name, made in spikes.items():
        before[name] = np.zeros_like(made)
        for first, end in zip(batch.starts[:-1], batch.starts[1:], strict=True):
            before[name][first + 1 : end] = made[first : end - 1]
    drives = {
        "l0.input": batch.features,
        "l0.recurrent": before["l0"],
        "l1.feedforward": spikes["l0"],
        "l1.recurrent": before["l1"],
        "out.sum": spikes["l1"],
    }
    timeline, counts = engine(chip, schedule, execution.activity, len(batch.features))
    assert_equal(chip, schedule, timeline, counts, plain_loop(chip, workload, drives))


def test_the_quick_way_to_change_a_key_is_the_one_of_the_command_line() -> None:
    keys = {
        "components.pe.sets": 4,
        "components.zero_skip.skip_spikes": False,
        "channels.0.latency": 3,
        "pacing.frame_period": "4 ms",
    }
    loaded = load_architecture("rsnn28nm", {key: text(value) for key, value in keys.items()})
    assert loaded.spec == rsnn28nm(keys).spec
