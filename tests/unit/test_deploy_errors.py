"""What is said where a network finds no engine on a chip: the key of the chip's file, its line, what would be right.

Every case is a file and goes through the command line's `main`, so that words and exit code are what a user meets.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from chips import write_random_network
from graphs import write_graph

from accelsim.architecture import load_architecture
from accelsim.cli import main
from accelsim.engines.deploy import deploy
from accelsim.errors import InputError
from accelsim.library import find
from accelsim.workload import load_workload

LINEAR = "{name: y, op: linear, input: features, outputs: 5, weight_bits: 4}"
RELU = "{name: r, op: relu, input: features}"
BOTH = [RELU, "{name: y, op: linear, input: r, outputs: 5, weight_bits: 4}"]
TILES = '  "op:linear": {engine: crossbar_tiles}\n'
HEAD = "placement:\n"


def chip(folder: Path, name: str, *changes: tuple[str, str], placement: str | None = None) -> Path:
    """Return the file of a chip of the library with some of its text replaced, and its placement by another one."""
    text = find(name, "arch").read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    if placement is not None:
        head, _, rest = text.partition("placement:\n")
        text = head + placement + rest[rest.index("\nassumptions:") :]
        # Entries for layers are meant for the network that the file names.
        text = text.replace("workload: conformer_an4", "workload: small_graph")
    path = folder / "chip.yaml"
    path.write_text(text)
    return path


def said(capsys: pytest.CaptureFixture[str], *words: str | Path) -> list[str]:
    """Return what the command line says of bad input, one problem a line, without the folder of the files."""
    before, sys.argv = sys.argv, ["accelsim", *map(str, words)]
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv = before
    assert ended.value.code == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    lines = text.removeprefix("error: ").splitlines()
    if re.fullmatch(r"\d+ errors:", lines[0]):
        assert int(lines[0].split()[0]) == len(lines) - 1
        del lines[0]
    return [line.removeprefix(f"{Path(words[1]).parent}/") for line in lines]


def line_of(path: Path, text: str) -> int:
    """Return the line of a file where a text stands."""
    (line,) = (number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)
    return line


ON = "workload 'small_graph' on 'memristor_conformer': "


@pytest.mark.parametrize(
    ("layers", "placement", "at", "message"),
    [
        # Ops that could run at two places.
        ([LINEAR], "", "schema: ",
         "layer 'y' (linear) could run on 'crossbar_tiles' and on 'digital' "
         "(say where: placement: {y: {engine: crossbar_tiles}})"),
        (["{name: x, op: linear, input: features, outputs: 5}", "{name: y, op: linear, input: x, outputs: 5}"],
         HEAD + "  \"op:conv\": {engine: digital}\n", "placement:",
         "layers 'x', 'y' (linear) could run on 'crossbar_tiles' and on 'digital' "
         "(say where: placement: {'op:linear': {engine: crossbar_tiles}})"),
        ([f"{{name: y{i}, op: linear, input: {f'y{i - 1}' if i else 'features'}, outputs: 5}}" for i in range(14)],
         HEAD + "  \"op:conv\": {engine: digital}\n", "placement:",
         f"layers {', '.join(repr(f'y{i}') for i in range(12))} and 2 more (linear) could run on 'crossbar_tiles' "),
        # Engines that are named, and are not there or do not run the op.
        (BOTH, HEAD + TILES + "  r: {engine: crossbar_tiles}\n", "r: {engine",
         "'crossbar_tiles' cannot run layer 'r' (relu), placed there: a crossbar_tiles does not run relu "
         "('digital' can)"),
        ([LINEAR], HEAD + "  y: {engine: digitl}\n", "digitl",
         "placement of 'y' names engine 'digitl', which the chip does not have (did you mean 'digital'?)"),
        ([LINEAR], HEAD + "  y:\n    engine: npu\n", "engine: npu",
         "placement of 'y' names engine 'npu', which the chip does not have: it needs a systolic array, "),
        # Entries that nothing reads.
        ([LINEAR], HEAD + TILES + "  yy: {copies: 2}\n", "yy:",
         "placement names 'yy', there is no such layer (did you mean 'y'?)"),
        (BOTH, HEAD + TILES + "  'front.*': {engine: digital}\n", "front.*",
         "placement names 'front.*', there is no such layer (one of: r, y)"),
        (BOTH, HEAD + TILES + '  "op:liner": {copies: 2}\n', "op:liner",
         "placement names 'op:liner', there is no such kind of op (did you mean 'op:linear'?)"),
        ([LINEAR], HEAD + "  y: {engine: digital, copies: 2}\n", "copies",
         "placement of 'y' sets 'copies', which engine 'digital' does not read (it reads batch)"),
        (BOTH, HEAD + TILES + "  y:\n    engine: crossbar_tiles\n    batch: 2\n", "batch: 2",
         "placement of 'y' sets 'batch', which engine 'crossbar_tiles' does not read "
         "(it reads adc, converters, copies)"),
        ([LINEAR], HEAD + "  '*': {copies: 2}\n  y: {engine: crossbar_tiles}\n", "copies: 2",
         "placement of '*' sets 'copies', but the settings of these layers are those of 'y'"),
        # Settings that are read and do not fit.
        ([LINEAR], HEAD + "  y:\n    engine: crossbar_tiles\n    adc: ad\n", "adc: ad",
         "layer 'y' has no converters named 'ad' (did you mean 'adc'?)"),
        ([LINEAR], HEAD + "  y:\n    engine: crossbar_tiles\n    converters:\n    - plane: 1\n      range_bits: 4\n"
         "    - plane: 3\n      range_bits: 4\n", "plane: 3",
         "layer 'y' has 3 converters along plane, found plane 3"),
    ],
)  # fmt: skip
def test_placement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layers: list[str], placement: str, at: str, message: str
) -> None:
    path, network = chip(tmp_path, "memristor_conformer", placement=placement), write_graph(tmp_path, layers)
    (found,) = said(capsys, "run", path, "-w", network)
    expected = f"chip.yaml:{line_of(path, at)}: {ON}{message}"
    # A message that ends here goes on with what is not of interest: the parts of a kind, more choices.
    assert found.startswith(expected) if message.endswith((" ", ": ")) else found == expected, found


def test_an_op_that_no_engine_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Why each engine does not run it, and what is missing for an engine that would; or why the one named does not."""
    network = write_random_network(tmp_path, features=7, hidden=[9, 5], classes=3, steps=1, frames=2)
    on = "workload 'random_network' on 'memristor_conformer': "
    found = said(capsys, "run", chip(tmp_path, "memristor_conformer", placement=""), "-w", network)
    lines = [f"workload.yaml:{line_of(network, f'name: {name},')}: " for name in ("l0", "out")]
    each = zip(found, lines, ("layers 'l0', 'l1'", "layer 'out'"), ("lif", "spike_sum"), strict=True)
    for problem, line, layers, op in each:
        assert problem == (
            f"{line}{on}no engine of the chip runs {layers} ({op}); 'crossbar_tiles': a crossbar_tiles does not run "
            f"{op}; 'digital': a digital does not run {op}; no spike_pes: it needs a controller, LIF units, a memory "
            "with 'stores: membranes', a set of spike-driven PEs, a zero-skip unit, a memory with 'stores: spikes'"
        )
    path = chip(
        tmp_path, "memristor_conformer", placement=HEAD + "  'l*': {engine: digital}\n  out: {engine: digital}\n"
    )
    there = line_of(path, "'l*'")
    assert said(capsys, "run", path, "-w", network) == [
        f"chip.yaml:{there}: {on}'digital' cannot run layers 'l0', 'l1' (lif), placed there: a digital does not run "
        "lif",
        f"chip.yaml:{there + 1}: {on}'digital' cannot run layer 'out' (spike_sum), placed there: a digital does not "
        "run spike_sum",
    ]


def test_several_problems_of_a_placement_are_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    placement = HEAD + TILES + "  a: {copies: 2}\n  b: {batch: 2}\n  r: {copies: 2}\n"
    path = chip(tmp_path, "memristor_conformer", placement=placement)
    found = said(capsys, "run", path, "-w", write_graph(tmp_path, BOTH))
    first = line_of(path, "a: {copies")
    assert [problem.split(":")[1] for problem in found] == [str(first), str(first + 1), str(first + 2)]


ENGINE_MISTAKES = [
    ("  tiles: {kind: crossbar_tile}", "crossbar_tile}",
     "engine 'tiles' has an unknown kind 'crossbar_tile' (did you mean 'crossbar_tiles'?)"),
    ("  tiles: {kind: crossbar_tiles, parts: {driver: dak}}", "dak",
     "engine 'tiles' (crossbar_tiles): driver 'dak' is no component of the chip (did you mean 'dac'?)"),
    ("  tiles:\n    kind: crossbar_tiles\n    parts:\n      driver: dac\n      drivers: dac", "drivers: dac",
     "engine 'tiles' (crossbar_tiles) has no role 'drivers' (did you mean 'driver'?)"),
    ("  tiles: {kind: crossbar_tiles, parts: {driver: adc}}", "driver: adc",
     "engine 'tiles' (crossbar_tiles): driver 'adc' is a adc, it needs row drivers (such as dac)"),
    ("  tiles: {kind: spike_pes}", "spike_pes",
     "engine 'tiles' (spike_pes): it needs a controller, LIF units, "),
]  # fmt: skip


@pytest.mark.parametrize("command", ["run", "validate"])
@pytest.mark.parametrize(("engines", "at", "message"), ENGINE_MISTAKES)
def test_engines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, engines: str, at: str, message: str
) -> None:
    """The same is said with a network and without."""
    text = f"engines:\n{engines}\n  digital: {{kind: digital}}\nplacement:\n"
    path = chip(tmp_path, "memristor_conformer", ("placement:\n", text))
    words = ["-w", str(write_graph(tmp_path, [LINEAR]))] if command == "run" else []
    found = said(capsys, command, path, *words)
    expected = f"chip.yaml:{line_of(path, at)}: {message}"
    assert found[0].startswith(expected) if message.endswith(" ") else found == [expected], found


def test_a_part_that_could_be_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which of two must be named, under `engines`; then there is nothing wrong."""
    second = ("  queue: {kind", "  dac2: {kind: dac, tiles: 272, units: 128, bits: 8, mode: amplitude}\n  queue: {kind")
    wire = ("  - {from: dac, to: crossbar, lockstep: true}",
            "  - {from: dac, to: crossbar, lockstep: true}\n"
            "  - {from: dac2, to: crossbar, lockstep: true}")  # fmt: skip
    path = chip(tmp_path, "memristor_conformer", second, wire)
    found = said(capsys, "run", path)
    needs = "it needs row drivers for 'driver', and there are dac2, dac: name one under 'engines'"
    assert len(found) == 2 and all(problem.endswith(needs) for problem in found), found
    named = "engines:\n  crossbar_tiles: {kind: crossbar_tiles, parts: {driver: dac}}\n  digital: {kind: digital}\n"
    path = chip(tmp_path, "memristor_conformer", second, wire, ("placement:\n", f"{named}placement:\n"))
    deploy(load_workload("conformer_an4"), load_architecture(path))


CHANNEL_MISTAKES = [
    ("{from: pe, to: membranes, lockstep: true}",
     "'pe' and 'membranes' never work in lock-step: no engine uses the channel"),
    ("{from: pe, to: spike_registers}", "no engine sends tokens from 'pe' to 'spike_registers'"),
    ("{from: lif, to: pe}", "no engine sends tokens from 'lif' to 'pe' (tokens go the other way, from 'pe' to 'lif')"),
    ("{from: fc_accumulator, to: pe, lockstep: true}",
     "'fc_accumulator' and 'pe' never work in lock-step: no engine uses the channel "
     "(tokens go the other way, from 'pe' to 'fc_accumulator')"),
    ("{from: pe, to: weight_bus}",
     "no engine sends tokens from 'pe' to 'weight_bus' (they work in lock-step: 'lockstep: true')"),
]  # fmt: skip


@pytest.mark.parametrize("command", ["run", "validate"])
@pytest.mark.parametrize(("channel", "message"), CHANNEL_MISTAKES)
def test_channels_that_no_engine_uses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, channel: str, message: str
) -> None:
    path = chip(tmp_path, "rsnn28nm", ("channels:\n", f"channels:\n  - {channel}\n"))
    assert said(capsys, command, path) == [f"chip.yaml:{line_of(path, channel)}: {message}"]


def test_channels_over_what_moves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = chip(tmp_path, "rsnn28nm", ("{from: pe, to: lif, capacity: 1,", "{from: pe, to: lif, over: lif,"))
    message = "channel pe->lif goes over 'lif', which is no bus or mesh (one of: weight_bus)"
    assert said(capsys, "validate", path) == [f"chip.yaml:{line_of(path, 'over: lif')}: {message}"]


def test_channels_that_are_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Between the parts of an engine, and between two engines; a channel in lock-step carries no tokens."""
    inside = "  - {from: pe, to: lif, capacity: 1, latency: 1}\n"
    path = chip(tmp_path, "rsnn28nm", (inside, ""))
    on = "workload 'rsnn_paper_activity' on 'rsnn28nm': "
    assert said(capsys, "run", path, "-w", "rsnn_paper_activity") == [
        f"chip.yaml:{line_of(path, 'channels:')}: {on}it needs a bounded channel from 'pe' to 'lif' "
        "(add '{from: pe, to: lif}')"
    ]
    between = "  - {from: queue, to: tile_inputs, capacity: 16, latency: 1}\n"
    path = chip(tmp_path, "memristor_conformer", (between, ""), placement=HEAD + TILES)
    assert said(capsys, "run", path, "-w", write_graph(tmp_path, BOTH)) == [
        f"chip.yaml:{line_of(path, 'channels:')}: {ON}it needs a bounded channel from 'queue' to 'tile_inputs' "
        "(add '{from: queue, to: tile_inputs}')"
    ]


def test_a_memory_that_stores_a_word_nearly_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = chip(tmp_path, "rsnn28nm", ("stores: readout_weights", "stores: readout_weight"))
    (found,) = said(capsys, "run", path, "-w", "rsnn_paper_activity")
    assert "no engine of the chip runs layer 'fc' (spike_sum); 'spike_pes': it needs a memory with " in found
    assert found.endswith("('weights_fc' stores 'readout_weight': did you mean 'readout_weights'?)")


def test_features_have_one_memory(tmp_path: Path) -> None:
    network = load_workload("rsnn_paper_activity")
    path = chip(tmp_path, "rsnn28nm", ("stores: features", "stores: sounds"))
    with pytest.raises(InputError, match=r"chip\.yaml:\d+: .*the features need one memory with 'stores: features', "
                                         r"found none"):  # fmt: skip
        deploy(network, load_architecture(path))


def test_a_key_of_the_command_line_is_named_in_place_of_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = write_graph(tmp_path, [LINEAR])
    (found,) = said(capsys, "run", "memristor_conformer", "-w", network, "-s", "placement={y: {engine: digitl}}")
    assert found.startswith(f"--set placement: {ON}placement of 'y' names engine 'digitl', which the chip does not")


def test_every_chip_of_the_library_is_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    from accelsim.explore.validate import validate_file
    from accelsim.library import names

    for name in names("arch"):
        assert validate_file(find(name, "arch")) == f"architecture '{name}'"
