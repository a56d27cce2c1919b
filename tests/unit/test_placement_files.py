"""Placements as files, entries of placement for other networks, and tokens over a bus or a mesh."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from chips import batch_of
from mixed import mixed_chip, random_network
from safetensors.numpy import save_file

import accelsim
from accelsim.architecture import load_architecture
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute, service_of
from accelsim.errors import InputError
from accelsim.library import find
from accelsim.pipeline import arbitration, clocking, links
from accelsim.placement import load_placement, place, placement_text
from accelsim.simulate import simulate
from accelsim.workload import load_workload


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "accelsim", *words], capture_output=True, text=True, check=False)


def test_a_placement_is_written_over_another_and_over_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "chip.yaml"
    file.write_text(chip := find("memristor_tile", "arch").read_text())
    refused = command("schedule", str(file), "--placement", str(file))
    assert refused.returncode == 2 and "accelsim/placement@1" in refused.stderr
    assert file.read_text() == chip
    placed = tmp_path / "placement.yaml"
    for _ in range(2):
        assert command("schedule", "memristor_tile", "--placement", str(placed)).returncode == 0


def test_a_placement_is_written_edited_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "placement.yaml"
    done = command("schedule", "memristor_tile", "--placement", str(file))
    assert done.returncode == 0, done.stderr
    assert "crossbar_tiles" in done.stdout
    same = accelsim.run("memristor_tile", overrides={"workload.inputs.utterances": 1})
    text = file.read_text()
    edited = tmp_path / "edited.yaml"
    edited.write_text(text.replace('{"engine": "crossbar_tiles"}', "{engine: crossbar_tiles, copies: 1}"))
    assert edited.read_text() != text
    for one in (file, edited):
        again = accelsim.run(
            "memristor_tile", overrides={"workload.inputs.utterances": 1, "placement": load_placement(one)}
        )
        assert again.performance == same.performance and again.energy == same.energy
        assert command("validate", str(one)).returncode == 0
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text.replace("crossbar_tiles", "crossbar_tile"))
    done = command("run", "memristor_tile", "--placement", str(wrong))
    assert done.returncode == 2 and "did you mean 'crossbar_tiles'?" in done.stderr and "Traceback" not in done.stderr
    wrong.write_text(text.replace('"engine"', '"engines"'))
    done = command("run", "memristor_tile", "--placement", str(wrong))
    assert done.returncode == 2 and f"{wrong}:4" in done.stderr.replace("\n", "")


def test_the_placement_of_a_random_network_is_the_one_that_was_wanted(tmp_path: Path) -> None:
    (tmp_path / "network").mkdir()
    network, placement = random_network(tmp_path / "network", seed=5, ops=9)
    chip = mixed_chip(tmp_path, placement)
    found = deploy(network, chip).placement
    assert dict(found.engine_of) == placement
    file = tmp_path / "placement.yaml"
    file.write_text(placement_text(found, "mixed", "random"))
    again = load_architecture(tmp_path / "mixed.yaml", {"placement": load_placement(file)})
    assert dict(deploy(network, again).placement.engine_of) == placement


def test_entries_of_a_chip_for_its_own_network_do_not_refuse_another(tmp_path: Path) -> None:
    """memristor_conformer places layers of its network by name; a network without them runs there as well."""
    (tmp_path / "workload.yaml").write_text(
        "schema: accelsim/workload@1\nname: other\ngenerated_weights: {}\n"
        "inputs: {source: speech, dataset: librivox_sample, split: test, features: {bands: 8}, seconds: 0.2}\n"
        "graph: [{name: one, op: linear, input: features, outputs: 5, weight_bits: 4}]\n"
    )
    network = load_workload(tmp_path)
    chip = load_architecture("memristor_conformer")
    assert "front.*" in chip.spec.placement
    assert deploy(network, chip).placement.engine_of == {"one": "crossbar_tiles"}
    changed = load_architecture(
        "memristor_conformer", {"placement": "{one: {engine: digital}, front: {engine: digital}}"}
    )
    with pytest.raises(InputError, match=r"--set placement.*placement names 'front', there is no such layer"):
        deploy(network, changed)


def chain(tmp_path: Path) -> Path:
    """Write a network whose sums go from tiles to an array: 8 features, 6 sums, 3 sums."""
    from safetensors.numpy import save_file

    random = np.random.default_rng(3)
    folder = tmp_path / "chain"
    folder.mkdir()
    save_file(
        {"a.weight": random.integers(-7, 8, (8, 6)).astype(np.int8),
         "b.weight": random.integers(-7, 8, (6, 3)).astype(np.int8)}, folder / "weights.safetensors",
    )  # fmt: skip
    (folder / "workload.yaml").write_text(
        "schema: accelsim/workload@1\nname: chain\nweights: weights.safetensors\n"
        "inputs: {source: speech, dataset: librivox_sample, split: test, features: {bands: 8}}\n"
        "graph:\n  - {name: a, op: linear, gives: codes, input: features, outputs: 6, weight_bits: 4, "
        "input_offset: 80}\n"
        "  - {name: b, op: linear, gives: codes, input: a, outputs: 3, weight_bits: 4, input_scale: 0.01}\n"
    )
    return folder


def test_tokens_over_a_bus_by_hand(tmp_path: Path) -> None:
    """Six sums of 32 bits over a bus of 16: 12 words. The array needs 3 x 1 = 3 steps; the bus needs 12 cycles."""
    network = load_workload(chain(tmp_path))
    timelines = {}
    for over in (False, True):
        chip = mixed_chip(tmp_path, {"a": "lone", "b": "array"}, over=over)
        deployment = deploy(network, chip)
        schedule = deployment.schedule
        execution = execute(deployment, batch_of(np.full((3, 8), 90, np.uint8), [0, 3]))
        service = service_of(schedule, chip, execution.activity)
        assert service["b.multiply", "lone_array"].tolist() == [3] * 3
        if over:
            assert execution.activity.counts["b.multiply", "main_bus"]["transfer"].tolist() == [12] * 3
            assert service["b.multiply", "main_bus"].tolist() == [12] * 3
        timelines[over] = simulate(
            schedule, links(chip, schedule), service, clocking(chip, schedule), 3,
            arbitration=arbitration(chip, schedule),
        )  # fmt: skip
    ends = {over: timeline.finished_ps // 10_000 for over, timeline in timelines.items()}
    assert (ends[True] - ends[False]).tolist()[0] == 12 - 3


def test_the_most_specific_entry_sets_how_a_layer_lies(tmp_path: Path) -> None:
    """A layer's own name, then the last pattern that fits, then the kind of op; messages point at the same entry."""
    layers = ("y", "ya", "yb", "z")
    tensors = {f"{name}.weight": np.ones((5, 5), np.int8) for name in layers}
    save_file(tensors, tmp_path / "weights.safetensors")
    lines = [
        f"  - {{name: {name}, op: linear, input: {before}, outputs: 5, weight_bits: 3, gives: codes}}\n"
        for before, name in zip(("features", *layers), layers, strict=False)
    ]
    (tmp_path / "workload.yaml").write_text(
        "schema: accelsim/workload@1\nname: layers\nweights: weights.safetensors\n"
        "inputs: {source: speech, dataset: librivox_sample, split: test, features: {bands: 5}}\ngraph:\n"
        + "".join(lines)
    )
    said = "{'op:linear': {copies: 5}, 'y*': {copies: 3}, 'yb*': {copies: 4}, y: {copies: 2}}"
    found = place(load_workload(tmp_path), load_architecture("memristor_tile", {"placement": said}))
    assert dict(found.keys) == {"y": "y", "ya": "y*", "yb": "yb*", "z": "op:linear"}
    assert {name: one.copies for name, one in found.settings.items()} == {"y": 2, "ya": 3, "yb": 4, "z": 5}
