"""What an NPU and a graph that streams cannot do, and what is said about it: names, numbers, lines, exit code 2."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import Streaming, chip, graph, tile_keys, write_graph
from safetensors.numpy import save_file

from accelsim.engines.deploy import deploy
from accelsim.errors import InputError
from accelsim.workload import Workload, load_workload

QKV = "{name: qkv, op: linear, input: features, outputs: 6, weight_bits: 16}"
HEADS = "{name: heads, op: attention, input: qkv, heads: 1, chunk: 4, left: 4}"
Y = "{name: y, op: linear, input: heads, outputs: 2, weight_bits: 16}"
SMALL = [QKV, HEADS, Y]
INTEGERS = [line.replace("weight_bits: 16", "weight_bits: 8") for line in SMALL]
WIDE = [
    QKV.replace("outputs: 6", "outputs: 12288"),
    HEADS.replace("chunk: 4, left: 4", "chunk: 64, left: 64"),
    Y,
]


def said(error: InputError) -> str:
    """Return all problems, a line each, without folders and without the names of workload and chip in front.

    Those of the network come first, wherever the files lie.
    """
    return "\n".join(
        re.sub(r"^/.*/arch/\w+\.yaml:[0-9]+: |workload '.*?' on '.*?': |^/.*/(?=workload\.yaml)", "", str(problem))
        for problem in sorted(error.problems, key=lambda one: not str(one.file).endswith("workload.yaml"))
    )


def problems(folder: Path, layers: list[str], keys: dict[str, Any], name: str = "edge_npu", bands: int = 4) -> str:
    with pytest.raises(InputError) as error:
        deploy(graph(folder, layers, bands=bands), chip(keys, name))
    return said(error.value)


@pytest.mark.parametrize(
    ("layers", "keys", "message"),
    [
        # Memories. 64 rows of 12288 float16 are 1.5 MiB; 64 rows of keys and values, two thirds of that, 1 MiB; weights
        # 4 x 12288 and 4096 x 2 numbers, 112 KiB.
        (WIDE, {"components.lpddr.capacity": "1 MiB"},
         r"what layer 'qkv' makes of a chunk takes 1\.5 MiB and fits no memory: 'l2' has 0\.5 for tensors, 'lpddr' 1\.0"
         r"\nweights and state take 1\.1 MiB, 'lpddr' has 1\.0"),
        (WIDE, {"components.lpddr.capacity": "1 MiB", "components.l2.banks": 72, "components.l2.weight_banks": 48},
         r"weights and state take 1\.1 MiB, 'lpddr' has 1\.0"),
        # 4 KiB a bank: a half of the weights of 4 KiB, a tensor of 8 KiB at the most. 4096 float16 weights are 8 KiB.
        ([*SMALL, "{name: z, op: linear, input: y, outputs: 4096, weight_bits: 16}",
                      "{name: r, op: relu, input: z}",
                      "{name: q, op: linear, input: r, outputs: 2, weight_bits: 16}"],
         {"components.l2.banks": 3, "components.l2.weight_banks": 2, "components.l2.rows": 256},
         r"the weights of one output of layer 'q' take 8\.0 KiB, half of the weight banks of 'l2' has 4\.0"),
        # 128 rows by 128 + 128 keys are 32768 scores of 2 bytes, 64 KiB.
        ([QKV, HEADS.replace("chunk: 4, left: 4", "chunk: 128, left: 128"), Y],
         {"components.l2.banks": 9, "components.l2.rows": 2048, "compiler.split": False},
         r"the scores of layer 'heads' take 64\.0 KiB for a chunk, 'l2' has 32\.0 for tensors, "
         r"and 'split: false' takes all rows of a chunk at once"),
        ([QKV, HEADS.replace("chunk: 4, left: 4", "chunk: 128, left: 128"), Y],
         {"components.l2.banks": 9, "components.l2.rows": 16},
         r"the scores of layer 'heads' take 64\.0 KiB for a chunk, 'l2' has 0\.2 for tensors"),
        (SMALL, {"components.dma.engines": 1},
         r"'dma' has one engine: weights need one, and tensors that do not stay in L2 another"),
        # What falls back.
        ([QKV, "{name: n, op: layer_norm, input: qkv}", "{name: g, op: silu, input: n}",
          HEADS.replace("qkv,", "g,"), Y],
         {"compiler.layout": "BSC", "compiler.cpu": "[conv]", "compiler.fallback": "{BSC: [silu, layer_norm]}"},
         r"workload\.yaml:9: layer 'n' \(layer_norm\): the NPU does not take it in layout BSC, and the CPU has no "
         r"kernel for it \('compiler\.cpu'\)\n"
         r"workload\.yaml:10: layer 'g' \(silu\): the NPU does not take it in layout BSC, and the CPU has no kernel "
         r"for it .*"),
        # What is no stream.
        ([QKV, "{name: heads, op: attention, input: qkv, heads: 1}", Y], {},
         r"workload\.yaml:9: layer 'heads' attends over whole utterances: a graph that runs chunk by chunk says how "
         r"long they are, 'chunk: \.\.' and 'left: \.\.'"),
        ([*SMALL[:2], "{name: q2, op: linear, input: heads, outputs: 6, weight_bits: 16}",
          "{name: h2, op: attention, input: q2, heads: 1, chunk: 2, left: 4}"], {},
         r"attention has chunks of different lengths: 2, 4"),
        ([*SMALL[:2], "{name: p, op: max_pool, input: heads, size: [2, 1]}"], {},
         r"workload\.yaml:9: layer 'heads' attends over rows of another rate than the outputs'"),
        (["{name: c, op: conv, input: features, channels: 3, kernel: [5, 3], weight_bits: 16, stride: [2, 1]}",
          "{name: d, op: depthwise, input: c, taps: 3, weight_bits: 16}", QKV.replace("features", "d"), *SMALL[1:]],
         {"components.dma.engines": 1},
         r"workload\.yaml:8: layer 'c' looks 1 rows ahead: the end of a chunk would wait for the next one "
         r"\(a convolution .*\)\n"
         r"workload\.yaml:9: layer 'd' looks 1 rows ahead: .* \(a convolution looks back alone with 'causal: true', "
         r".*\)\n'dma' has one engine: .*"),
        (["{name: c, op: conv, input: features, channels: 3, weight_bits: 16}", QKV.replace("features", "c"),
          *SMALL[1:]], {},
         r"workload\.yaml:8: layer 'c' looks 1 rows ahead: .*"),
        # Numbers.
        (SMALL, {"components.array.number": "int8", "components.array.accumulator": "int32"},
         r"layer 'qkv' has float16 weights, 'array' multiplies int8\nlayer 'y' has float16 weights, .*"),
        (INTEGERS, {"components.array.accumulator": "float16"},
         r"layer 'qkv' has sums up to \d+,\d{3}, float16 sums of 'array' hold whole numbers below 2,048\n"
         r"layer 'y' has sums up to \d+,\d{3}, .*"),
    ],
)  # fmt: skip
def test_a_graph_that_an_npu_cannot_run(tmp_path: Path, layers: list[str], keys: dict[str, Any], message: str) -> None:
    found = problems(tmp_path, layers, keys)
    assert re.fullmatch(message, found), found


def test_what_just_fits(tmp_path: Path) -> None:
    """A little more room, a stride more, and the graphs above run. Weights and state of `WIDE`: 112 + 1024 KiB."""
    l2 = {"components.l2.banks": 72, "components.l2.weight_banks": 48}  # 24 banks of 64 KiB for tensors: 1.5 MiB
    deploy(graph(tmp_path, WIDE, bands=4), chip({**l2, "components.lpddr.capacity": "1136 KiB"}, "edge_npu"))
    found = problems(tmp_path, WIDE, {**l2, "components.lpddr.capacity": "1135 KiB"})
    assert found == "weights and state take 1.1 MiB, 'lpddr' has 1.1"
    long = [QKV, HEADS.replace("chunk: 4, left: 4", "chunk: 128, left: 128"), Y]
    keys: dict[str, Any] = {"components.l2.banks": 9, "components.l2.rows": 4096, "compiler.split": False}
    deploy(graph(tmp_path, long, bands=4), chip(keys, "edge_npu"))  # 64 KiB, all of it for scores
    keys |= {"components.l2.rows": 2048, "compiler.split": True}
    made = deploy(graph(tmp_path, long, bands=4), chip(keys, "edge_npu")).schedule.plan
    assert made is not None and any("heads" in name for name in made.pieces)
    ahead = "{name: c, op: conv, input: features, channels: 3, kernel: [5, 3], weight_bits: 16, stride: [3, 1]}"
    deploy(graph(tmp_path, [ahead, QKV.replace("features", "c"), *SMALL[1:]], bands=4), chip({}, "edge_npu"))
    kernels = {"compiler.layout": "BSC", "compiler.cpu": "[silu]", "compiler.fallback": "{BSC: [silu]}"}
    silu = [QKV, "{name: g, op: silu, input: qkv}", HEADS.replace("qkv,", "g,"), Y]
    deploy(graph(tmp_path, silu, bands=4), chip(kernels, "edge_npu"))


# Weights in a file


def stored(folder: Path, tensors: dict[str, np.ndarray], bits: int = 8) -> Workload:
    """Return the small graph with tensors in a file, those given in place of the generated ones."""
    layers = [line.replace("weight_bits: 16", f"weight_bits: {bits}") for line in SMALL]
    path = write_graph(folder, layers, bands=1)
    generated = load_workload(path).tensors
    save_file({**generated, **tensors}, folder / "w.safetensors")
    path.write_text(path.read_text().replace("generated_weights: {seed: 1}", "weights: w.safetensors"))
    return load_workload(path)


def test_sums_up_to_the_last_whole_number(tmp_path: Path) -> None:
    """127 x 16 = 2032 < 2048 <= 127 x 17 = 2159, of one input; of two, the columns' sums of magnitudes count."""
    low, high = {"components.array.accumulator": "float16"}, {"components.array.accumulator": "float32"}
    fits = {"qkv.weight": np.full((1, 6), -16, np.int8), "y.weight": np.array([[8, -8], [-8, 7]], np.int8)}
    deploy(stored(tmp_path, fits), chip(low, "edge_npu"))
    more = {"qkv.weight": np.array([[1, 2, -17, 4, 5, 6]], np.int8), "y.weight": np.array([[8, 8], [9, -9]], np.int8)}
    network = stored(tmp_path, more)
    deploy(network, chip(high, "edge_npu"))
    with pytest.raises(InputError) as error:
        deploy(network, chip(low, "edge_npu"))
    whole = "float16 sums of 'array' hold whole numbers below 2,048"
    assert said(error.value) == f"layer 'qkv' has sums up to 2,159, {whole}\nlayer 'y' has sums up to 2,159, {whole}"


def test_float16_tensors(tmp_path: Path) -> None:
    good = {"qkv.weight": np.ones((1, 6), np.float16), "y.weight": np.ones((2, 2), np.float16)}
    deploy(stored(tmp_path, good, 16), chip({}, "edge_npu"))
    bad = {"qkv.weight": np.ones((1, 6), np.float32), "y.weight": np.array([[1, np.nan], [1, 1]], np.float16)}
    with pytest.raises(InputError) as error:
        stored(tmp_path, bad, 16)
    assert said(error.value).splitlines() == [
        "workload.yaml:8: tensor 'qkv.weight' has type float32, expected float16 in w.safetensors",
        "workload.yaml:10: tensor 'y.weight' holds NaN or infinity in w.safetensors",
    ]
    bad = {"qkv.weight": np.ones((1, 5), np.float16), "y.weight": np.full((2, 2), -np.inf, np.float16)}
    with pytest.raises(InputError) as error:
        stored(tmp_path, bad, 16)
    assert said(error.value).splitlines() == [
        "workload.yaml:8: tensor 'qkv.weight' has shape [1, 5], expected [1, 6] in w.safetensors",
        "workload.yaml:10: tensor 'y.weight' holds NaN or infinity in w.safetensors",
    ]


# What the files say, with the line


CONFORMER = "{name: b, op: conformer, input: features, blocks: 1, width: 4, heads: 1, feed_forward: 4, kernel: 1"


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([QKV, HEADS.replace("chunk: 4", "chunk: 8"), Y],
         r"workload\.yaml:9: 'graph\[1\]': a chunk of 8 frames is longer than the attention cache, 'left: 4'"),
        ([CONFORMER + ", chunk: 8, left: 4}"],
         r"workload\.yaml:8: 'graph\[0\]': a chunk of 8 frames is longer than the attention cache, 'left: 4'"),
        ([CONFORMER + ", chunk: 8}"],
         r"workload\.yaml:8: 'graph\[0\]': a chunk of 8 frames is longer than the attention cache, 'left: 0'"),
        ([QKV, HEADS.replace("chunk: 4, ", ""), Y],
         r"workload\.yaml:9: 'graph\[1\]': 'left: 4' is the cache between chunks: say .*, 'chunk: \.\.\.'"),
        ([CONFORMER + ", left: 4}"],
         r"workload\.yaml:8: 'graph\[0\]': 'left: 4' is the cache between chunks: .*"),
        ([QKV, HEADS.replace("chunk: 4", "chunk: 8"), HEADS.replace("chunk: 4, ", "").replace("heads,", "h2,"), Y],
         r"workload\.yaml:9: .* a chunk of 8 .*\nworkload\.yaml:10: .* 'left: 4' is the cache .*"),
        (["{name: c, op: conv, input: features, channels: 3, bands: 2, depthwise: true}"],
         r"workload\.yaml:8: layer 'c': depthwise, it has 3 channels and reads 2"),
        ([QKV.replace("16", "12")], r"workload\.yaml:8: 'weight_bits': must be 1 to 8, or 16 for float16, found 12"),
    ],
)  # fmt: skip
def test_a_graph_that_is_no_stream(tmp_path: Path, layers: list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        graph(tmp_path, layers, bands=4)
    assert re.fullmatch(message, said(error.value)), said(error.value)


@pytest.mark.parametrize(
    ("keys", "name", "message"),
    [
        ({"compiler.layout": "BC1SS"}, "edge_npu",
         r"--set compiler\.layout: 'layout': unknown value 'BC1SS' \(did you mean 'BC1S'\?\)"),
        ({"compiler.fallback": "{BC2S: [glu]}"}, "edge_npu",
         r"--set compiler\.fallback: 'BC2S': unknown value 'BC2S' \(did you mean 'BC1S'\?\)"),
        ({"compiler.fallback": "{BSC: [glu, add, glu]}"}, "edge_npu",
         r".*: fallback of BSC names 'glu' twice"),
        ({"compiler.attention": "batch"}, "edge_npu",
         r"--set compiler\.attention: 'attention': unknown value 'batch' \(did you mean 'batched'\?\)"),
        ({"compiler.splits": True}, "edge_npu",
         r"--set compiler\.splits: unknown key 'splits' \(did you mean 'split'\?\)"),
    ],
)  # fmt: skip
def test_a_compiler_that_does_not_exist(keys: dict[str, Any], name: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        chip(keys, name)
    assert re.fullmatch(message, said(error.value)), said(error.value)


def test_ops_that_do_not_exist(tmp_path: Path) -> None:
    """What falls back, and what the CPU can do, are names of ops; a short form of several ops is none."""
    keys = {"compiler.fallback": "{BSC: [layer_norms], BC1S: [conformer]}", "compiler.cpu": "[gluu, conv]"}
    found = problems(tmp_path, SMALL, keys).splitlines()
    assert found[0] == "'compiler.fallback.BSC' names 'layer_norms', there is no such op (did you mean 'layer_norm'?)"
    assert found[1].startswith("'compiler.fallback.BC1S' names 'conformer', there is no such op (one of: ")
    assert found[2:] == ["'compiler.cpu' names 'gluu', there is no such op (did you mean 'glu'?)"]


def test_nobody_reads_the_compiler_of_another_chip() -> None:
    with pytest.raises(InputError) as error:
        deploy(load_workload("rsnn_paper_activity"), chip({"compiler": "{layout: BSC}"}, "rsnn28nm"))
    message = "--set compiler: workload 'rsnn_paper_activity' on 'rsnn28nm': the chip has a 'compiler' section, and no "
    assert str(error.value) == message + "engine that compiles a graph"


def test_recurrent_layers_are_refused() -> None:
    """The NPU runs what a datapath computes row by row; neurons with membranes it does not."""
    with pytest.raises(InputError) as error:
        deploy(load_workload("rsnn_paper_activity"), chip({}, "edge_npu"))
    first = said(error.value).splitlines()[0]
    assert first.startswith(
        "workload.yaml:17: no engine of the chip runs layers 'l0', 'l1' (lif); 'npu': a npu does not run lif"
    ), first


def test_chunks_of_workload_and_attention(tmp_path: Path) -> None:
    """Without attention the workload says how long a chunk is; with it both have to say the same."""

    def made(layers: list[str], chunk: int | None) -> int:
        path = write_graph(tmp_path, layers, bands=4)
        network = load_workload(path, {"chunk": str(chunk)} if chunk else {})
        plan = deploy(network, chip({}, "edge_npu")).schedule.plan
        assert plan is not None
        return plan.chunk

    assert made([QKV], None) == 1 and made([QKV], 8) == 8
    assert made(SMALL, None) == made(SMALL, 4) == 4
    with pytest.raises(InputError) as error:
        made(SMALL, 8)
    assert said(error.value) == "the workload says 'chunk: 8', and attention has chunks of 4"


def test_lines_of_an_architecture_file(tmp_path: Path) -> None:
    """All that is wrong with `compiler:` in a file, at once, each with its line."""
    text = chip_text()
    line = text[: text.index("  layout: BC1S")].count("\n") + 1
    text = text.replace("layout: BC1S", "layout: BC1").replace("attention: einsum", "attention: einsums")
    path = tmp_path / "npu.yaml"
    path.write_text(text.replace("split: true", "split: yes please"))
    from accelsim.architecture import load_architecture

    with pytest.raises(InputError) as error:
        load_architecture(path)
    found = said(error.value).replace(f"{path}:", "npu.yaml:").splitlines()
    assert [re.sub(r"^/.*/", "", each) for each in found] == [
        f"npu.yaml:{line}: 'layout': unknown value 'BC1' (did you mean 'BC1S'?)",
        f"npu.yaml:{line + 1}: 'split': expected true or false, found 'yes please'",
        f"npu.yaml:{line + 2}: 'attention': unknown value 'einsums' (did you mean 'einsum'?)",
    ]


def chip_text() -> str:
    from accelsim.library import find

    return find("edge_npu", "arch").read_text()


# Float16 weights on chips of integers


@pytest.mark.parametrize(
    ("name", "keys", "part"),
    [
        ("conformer_digital28", {}, "array"),
        ("conformer_digital28", {"components.array.weight_bits": 16}, "array"),
        ("memristor_conformer", {"placement": "{}"}, "crossbar"),
        ("memristor_conformer", {**tile_keys(planes=15), "placement": "{}"}, "crossbar"),
        ("memristor_conformer", {"placement": "{'*': {engine: digital}}"}, "array"),
    ],
)
def test_float16_weights_on_a_chip_of_integers(tmp_path: Path, name: str, keys: dict[str, Any], part: str) -> None:
    """Also where a matrix of 16-bit integers would find its place."""
    found = problems(tmp_path, SMALL, keys, name).splitlines()
    assert len(found) == 1 and "layers 'qkv', 'y' (linear)" in found[0]
    assert f": it has float16 weights, '{part}' multiplies integers" in found[0]


def test_convolutions_too(tmp_path: Path) -> None:
    shape = Streaming()
    found = problems(tmp_path, shape.layers(), {"placement": "{'c*': {engine: digital}}"}, "memristor_conformer", 8)
    depthwise, linear = sorted(line for line in found.splitlines() if "no engine" in line)
    placed = [line for line in found.splitlines() if "no engine" not in line]
    assert len(placed) == 1 and placed[0].endswith(
        "'digital' cannot run layers 'c0', 'c1' (conv), placed there: "
        "it has float16 weights, 'array' multiplies integers"
    )
    assert linear.startswith("no engine of the chip runs layers 'front', 'blocks.0.ff1.linear1', ")
    assert "'crossbar_tiles': it has float16 weights, 'crossbar' multiplies integers; " in linear
    assert "layer 'blocks.0.conv.depthwise' (depthwise)" in depthwise


# The command line


@pytest.mark.parametrize(
    ("layers", "keys", "messages"),
    [
        (SMALL, ("components.dma.engines=1", "components.array.number=int8", "components.array.accumulator=int32"),
         [r"layer 'qkv' has float16 weights, 'array' multiplies int8", r"'dma' has one engine"]),
        ([QKV, HEADS.replace("chunk: 4", "chunk: 8"), Y], (), [r"workload\.yaml:9: .*a chunk of 8 frames is longer"]),
        (SMALL, ("compiler.fallback={BSC: [linaer]}",), [r"names 'linaer', there is no such op"]),
        (SMALL, ("components.lpddr.capacity=1 bit",), [r"weights and state take 0\.0 MiB, 'lpddr' has 0\.0"]),
    ],
)  # fmt: skip
def test_the_command_line_says_it_and_exits_with_2(
    tmp_path: Path, layers: list[str], keys: tuple[str, ...], messages: list[str]
) -> None:
    path = write_graph(tmp_path, layers)
    options = [word for key in keys for word in ("-s", key)]
    done = subprocess.run(
        [sys.executable, "-m", "accelsim", "run", "edge_npu", "-w", str(path), *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    for message in messages:
        assert re.search(message, " ".join(done.stderr.split())), done.stderr
