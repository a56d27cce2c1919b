"""What a graph needs of a chip's parts, and what is said where the chip does not have it: names, numbers, exit code 2.

Which engine runs an op is in test_deploy_errors.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chips import write_random_network
from graphs import IDEAL, TILE_PARTS, Shape, chip, frames, graph, tile_keys, without, write_graph

from accelsim.architecture import load_architecture
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute
from accelsim.errors import InputError
from accelsim.workload import load_workload

SHAPE = Shape(positions="relative")
LINEAR = ["{name: y, op: linear, input: features, outputs: 5, weight_bits: 4}"]
ATTENTION = [
    "{name: qkv, op: linear, input: features, outputs: 1200}",
    "{name: heads, op: attention, input: qkv, heads: 2}",
]
TILES = '"op:linear": {engine: crossbar_tiles}, "op:depthwise": {engine: crossbar_tiles}'
KEYS = {**tile_keys(planes=8), "placement": f"{{{TILES}, 'front.*': {{engine: digital}}}}"}


def problems(folder: Path, layers: Any, keys: dict[str, Any], name: str = "memristor_conformer") -> list[str]:
    """Return what the schedule says, without the names of workload and chip in front."""
    with pytest.raises(InputError) as error:
        deploy(graph(folder, layers), chip(keys, name))
    names = r"^/.*/arch/\w+\.yaml:[0-9]+: |workload '.*?' on '.*?': "
    return [re.sub(names, "", str(problem)) for problem in error.value.problems]


@pytest.mark.parametrize(
    ("layers", "keys", "message"),
    [
        # Tiles. 20 inputs and 24 .. 60 outputs are a tile each: linear, 3 x 2 of the feed-forward modules and so on.
        (SHAPE, {"components.crossbar.tiles": 9},
         r"the matrices need 11 tiles, the chip has 9: 2 are missing, from matrix 'blocks\.0\.ff2\.linear2' on"),
        (["{name: y, op: linear, input: features, outputs: 130}"], {"components.crossbar.tiles": 2},
         r"matrix 'y' is larger than the chip: it needs 3 tiles of 2\nthe matrices need 3 tiles, .*"),
        (SHAPE, {"components.adc.tiles": 10}, r"'adc' stands in 10 tiles, 12 are needed, depthwise columns included"),
        (SHAPE, {"components.accumulator.tiles": 11}, r"'accumulator' stands in 11 tiles, 12 are needed, .*"),
        (LINEAR, {"components.tile_inputs.entries": 60}, r"'tile_inputs' holds 60 of the 64 inputs of a tile"),
        (LINEAR, {"components.dac.units": 63}, r"'dac' drives 63 of 64 rows"),
        (LINEAR, {"components.adc.units": 7}, r"7 converters shared by 64 serve 448 of the 512 columns of a tile"),
        (LINEAR, {"components.crossbar.planes": 2, "components.adc.units": 2},
         r"layer 'y' has 4-bit weights, 3 planes; 'crossbar' has 2"),
        (SHAPE, {"components.crossbar.sign": "offset", "components.crossbar.planes": 8},
         r"matrix 'blocks\.0\.conv\.depthwise': depthwise columns have no inputs in common, .*"),
        (["{name: y, op: depthwise, input: features, taps: 65}"], {},
         r"matrix 'y': a depthwise column of 65 taps is longer than a tile of 64 rows"),
        # Placement.
        (LINEAR, {"placement": "{y: {adc: ad}}"},
         r"--set placement: layer 'y' has no converters named 'ad' \(did you mean 'adc'\?\)"),
        (LINEAR, {"placement": "{y: {converters: [{plane: 3, range_bits: 4}]}}"},
         r"--set placement: layer 'y' has 3 converters along plane, found plane 3"),
        (LINEAR, {"placement": "{y: {converters: [{range_bits: 9}]}}"},
         r"--set placement: layer 'y' asks for 13 bits of 'adc', .* 8"),
        # Memories, queue, clusters.
        (SHAPE, {"components.queue.entries": 14}, r"'queue' has 14 entries for 15 layers"),
        (LINEAR, {"components.features.entries": 11},
         r"12 features of a frame do not fit the 11 entries of 'features'"),
        (ATTENTION, {"components.activations.rows": 1418, "components.activations.banks": 2},
         r"the buffers between layers take 89 KiB for utterances of 60 frames, 'activations' has 89"),
        (["{name: a, op: relu, input: features}", "{name: y, op: relu, input: a}"],
         {"components.activations.rows": 1, "components.activations.banks": 2, "components.activations.width_bits": 64},
         r"the buffers between layers take 0 KiB, 'activations' has 0"),
        (LINEAR, {"components.activations.banks": 5},
         r"the 5 banks of 'activations' cannot be shared out to 2 clusters"),
        (LINEAR, {"components.bus.units": 3}, r"'vector' has 2 units, one per cluster, 'bus' has 3"),
        (SHAPE, {"components.attention.units": 4}, r"'vector' has 2 units, one per cluster, 'attention' has 4"),
        # The digital array.
        (LINEAR, {"placement": "{y: {engine: digital}}", "components.weights.rows": 1, "components.weights.banks": 1,
                  "components.weights.width_bits": 239},
         r"the weights take 2 words of 'weights', which has 1"),
        (LINEAR, {"placement": "{y: {engine: digital}}", "components.array.weight_bits": 3},
         r"layer 'y' has 4-bit weights, 'array' takes 3 bits"),
        (LINEAR, {"placement": "{y: {engine: digital}}", "components.array.input_bits": 7},
         r"layer 'y' has 8-bit inputs, 'array' takes 7 bits"),
        # Graphs whose rates do not fit.
        (["{name: a, op: attention, input: features, heads: 2}", "{name: y, op: max_pool, input: a, size: [2, 1]}"], {},
         r".*/workload.yaml:8: layer 'a' attends over 2 rows for one of the outputs: pool or stride before it"),
    ],
)  # fmt: skip
def test_a_graph_that_does_not_fit(tmp_path: Path, layers: Any, keys: dict[str, Any], message: str) -> None:
    said = keys.get("placement", "{}").removeprefix("{").removesuffix("}")
    found = problems(tmp_path, layers, {**KEYS, **keys, "placement": f"{{{TILES}, {said}}}"})
    assert re.fullmatch(message, "\n".join(found)), found


def test_what_just_fits(tmp_path: Path) -> None:
    """A row more of memory, and the like: no problem any more.

    Buffers of `ATTENTION`: 60 frames of an utterance and 15 beyond, 1200 codes each; a row of 400 float16 outputs.
    """
    bits = (60 + 15) * 1200 * 8 + 400 * 16
    placement = f"{{{TILES}}}"
    keys: dict[str, Any] = {"placement": placement, "components.activations.rows": 1419,
                            "components.activations.banks": 2}  # fmt: skip
    assert 1418 * 2 * 256 < bits <= 1419 * 2 * 256
    deploy(graph(tmp_path, ATTENTION), chip({**KEYS, **keys}))
    keys = {f"components.{part}.tiles": 12 for part in TILE_PARTS} | {
        "components.queue.entries": 15,
        "placement": placement,
    }
    deploy(graph(tmp_path, SHAPE), chip({**KEYS, **keys}))


def said(network: Any, architecture: Any) -> str:
    """Return the one problem of a network on a chip."""
    with pytest.raises(InputError) as error:
        deploy(network, architecture)
    (problem,) = error.value.problems
    return str(problem)


def test_a_layer_that_the_chip_has_no_part_for(tmp_path: Path) -> None:
    network = graph(tmp_path, SHAPE)
    message = said(network, without(chip(KEYS), "attention"))
    assert "no engine of the chip runs layer 'blocks.0.attention.heads' (attention); " in message
    assert "; 'digital': it needs an attention engine; " in message
    for part in ("array", "weights"):
        message = said(network, without(chip(KEYS), part))
        needed = {"array": "an array of integer multipliers", "weights": "a memory with 'stores: weights'"}[part]
        assert message.endswith(f"'digital' cannot run layer 'front.linear' (linear), placed there: it needs {needed} "
                                f"('crossbar_tiles' can)"), message  # fmt: skip
    with pytest.raises(InputError) as error:
        deploy(network, without(chip(KEYS), "adc"))
    assert [str(problem) for problem in error.value.problems] == [
        f"--set placement: workload 'small_graph' on 'memristor_conformer': placement of '{key}' names engine "
        "'crossbar_tiles', which the chip does not have: it needs converters"
        for key in ("op:linear", "op:depthwise")
    ]


def test_networks_and_chips_of_other_kinds(tmp_path: Path) -> None:
    """A graph on a spiking chip, and a spiking network on a chip for graphs: both say what they miss."""
    message = said(graph(tmp_path, LINEAR), load_architecture("rsnn28nm"))
    assert "'small_graph' on 'rsnn28nm': no engine of the chip runs layer 'y' (linear); " in message
    assert "'spike_pes': a spike_pes does not run linear; no crossbar_tiles: it needs converters, a crossbar" in message
    spiking = load_workload(write_random_network(tmp_path, features=7, hidden=[9], classes=3, steps=1, frames=2))
    with pytest.raises(InputError) as error:
        deploy(spiking, chip({**KEYS, "placement": "{}"}))
    lif, spike_sum = map(str, error.value.problems)
    assert "on 'memristor_conformer': no engine of the chip runs layer 'l0' (lif); " in lif
    assert "layer 'out' (spike_sum); 'crossbar_tiles': a crossbar_tiles does not run spike_sum; " in spike_sum
    assert all("; no spike_pes: it needs a controller, LIF units, " in one for one in (lif, spike_sum)), lif


def test_utterances_that_are_too_long_or_too_short(tmp_path: Path) -> None:
    network, architecture = graph(tmp_path, Shape()), chip({**KEYS, **IDEAL})
    deployment = deploy(network, architecture)
    message = r"1 utterances are longer than the 60 frames of engine 'digital': 'u1' has 61"
    with pytest.raises(InputError, match=message):
        execute(deployment, frames(network, [60, 61, 2]))

    layers = [
        "{name: pool, op: max_pool, input: features, size: [3, 1]}",
        "{name: y, op: linear, input: pool, outputs: 2}",
    ]
    network, architecture = graph(tmp_path, layers), chip({**KEYS, **IDEAL, "placement": f"{{{TILES}}}"})
    deployment = deploy(network, architecture)
    with pytest.raises(InputError, match=r"layer 'pool': it takes 3 rows for one of its own: no utterance is so long"):
        execute(deployment, frames(network, [2, 1]))


@pytest.mark.parametrize(
    ("line", "keys", "message"),
    [
        ("{name: y, op: linear, input: features, outputs: 5, weight_bits: 9}", (),
         r"workload\.yaml:8: 'weight_bits': must be 1 to 8, or 16 for float16, found 9"),
        ("{name: y, op: linear, input: features, outputs: 1000}",
         ("components.crossbar.tiles=2", "placement={y: {engine: crossbar_tiles}}"),
         r"matrix 'y' is larger than the chip: it needs 8 tiles of 2"),
    ],
)  # fmt: skip
def test_the_command_line_says_it_and_exits_with_2(
    tmp_path: Path, line: str, keys: tuple[str, ...], message: str
) -> None:
    path = write_graph(tmp_path, [line])
    options = [word for key in keys for word in ("-s", key)]
    done = subprocess.run(
        [sys.executable, "-m", "accelsim", "run", "memristor_conformer", "-w", str(path), *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert re.search(message, " ".join(done.stderr.split())), done.stderr
