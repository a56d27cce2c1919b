"""What the TFLite importer does not take: each node by its name, with the reason, all at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tflite_networks import Network

from accelsim.errors import InputError
from accelsim.importers.importer import import_model, write


@pytest.fixture(autouse=True)
def _installed() -> None:
    for needed in ("tflite", "ai_edge_litert"):
        pytest.importorskip(needed)


def of(build: Callable[[Network], int]) -> bytes:
    """Return the file of a network whose output a function gives."""
    net = Network(1)
    return net.file(build(net))


def conv(net: Network, **keys: Any) -> int:
    return net.conv(net.input([1, 6, 4, 4]), 4, (3, 3), **keys)


def no_op(net: Network) -> int:
    return net.same("HARD_SWISH", net.same("ABS", conv(net), 0.03, 5), 0.03, 5)


def in_groups(net: Network) -> int:
    x = net.input([1, 6, 4, 4])
    weight, bias = net.weights([4, 3, 3, 2], 4, 0, x)
    y = net.tensor([1, 6, 4, 4], "int8", 0.03, 5)
    keys = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    return net.op("CONV_2D", [x, weight, bias], [y], "Conv2DOptions", **keys)


def fused_tanh(net: Network) -> int:
    return conv(net, activation="TANH")


def weights_with_a_zero_point(net: Network) -> int:
    y = conv(net)
    weight = net.ops[-1].inputs[1]
    net.tensors[weight].quantization.zeroPoint[1] = 3
    return y


def words(net: Network) -> int:
    y = conv(net)
    net.tensors[y].type = 7  # int16
    return y


def padded_pool(net: Network) -> int:
    x = net.input([1, 7, 4, 2])
    y = net.tensor([1, 4, 2, 2], "int8", 0.05, -3)
    keys = {"padding": 0, "strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2}
    return net.op("MAX_POOL_2D", [x], [y], "Pool2DOptions", **keys)


def overlapping_pool(net: Network) -> int:
    x = net.input([1, 7, 4, 2])
    y = net.tensor([1, 5, 4, 2], "int8", 0.05, -3)
    keys = {"padding": 1, "strideH": 1, "strideW": 1, "filterHeight": 3, "filterWidth": 1}
    return net.op("AVERAGE_POOL_2D", [x], [y], "Pool2DOptions", **keys)


def repeated(net: Network) -> int:
    x = net.input([1, 6, 4, 4])
    row = net.slice(x, [0, 0, 0, 0], [0, 0, 1, 0], 0b1111, 0b1011)
    y = net.tensor([1, 6, 4, 4], "int8", 0.1, 0)
    return net.op("ADD", [x, row], [y], "AddOptions", fusedActivationFunction=0)


def with_a_constant(net: Network) -> int:
    x = net.input([1, 6, 4, 4])
    one = net.tensor([1, 6, 4, 4], "int8", 0.1, 0, np.ones((1, 6, 4, 4), np.int8))
    y = net.tensor([1, 6, 4, 4], "int8", 0.1, 0)
    return net.op("MUL", [x, one], [y], "MulOptions", fusedActivationFunction=0)


def beta(net: Network) -> int:
    return net.same("SOFTMAX", net.input([1, 4]), 1 / 256, -128, "SoftmaxOptions", beta=2.0)


def logistic_scale(net: Network) -> int:
    return net.same("LOGISTIC", net.input([1, 4]), 1 / 128, -128)


def every_second(net: Network) -> int:
    x = net.input([1, 6, 4, 4])
    y = net.like(x, [1, 3, 4, 4])
    inputs = [x, *(net.integers(v) for v in ([0, 0, 0, 0], [1, 6, 4, 4], [1, 2, 1, 1]))]
    return net.op("STRIDED_SLICE", inputs, [y], "StridedSliceOptions")


def padded_step(net: Network) -> int:
    return net.conv(net.ring(net.input([1, 1, 1, 4]), 2, "a"), 4, (3, 1), padding="SAME")


def old_rows(net: Network) -> int:
    ring = net.ring(net.input([1, 1, 1, 4]), 4, "a")
    old = net.slice(ring, [0, 0, 0, 0], [0, 3, 0, 0], 0b1101, 0b1101)
    return net.conv(old, 4, (3, 1), padding="VALID")


def joined_state(net: Network) -> int:
    x = net.input([1, 1, 1, 4])
    handle = net.tensor([], "resource")
    net.op("VAR_HANDLE", [], [handle], "VarHandleOptions", container=b"", sharedName=b"old")
    state = net.like(x, [1, 1, 1, 4])
    net.op("READ_VARIABLE", [handle], [state], "ReadVariableOptions")
    net.starts.append(("old", state))
    y = net.tensor([1, 1, 1, 4], "int8", 0.1, 0)
    return net.op("ADD", [x, state], [y], "AddOptions", fusedActivationFunction=0)


REFUSED: dict[str, tuple[Callable[[Network], int], str]] = {
    one.__name__: (one, reason)
    for one, reason in (
        (no_op, r"\(ABS\): no op of accelsim computes it"),
        (in_groups, r"\(CONV_2D\): it multiplies 2 channels of the 4 that it reads: in groups"),
        (fused_tanh, r"\(CONV_2D\): its fused activation 4 is none of RELU, RELU_N1_TO_1 and RELU6"),
        (weights_with_a_zero_point, r"\(CONV_2D\): its weights have no scale, or a zero point other than 0"),
        (words, r"\(CONV_2D\): 't3' is int16, expected int8"),
        (padded_pool, r"\(MAX_POOL_2D\): it pads what it pools"),
        (overlapping_pool, r"\(AVERAGE_POOL_2D\): its windows of 3 at a distance of 1 overlap"),
        (repeated, r"\(ADD\): it joins tensors of different shapes: one is repeated"),
        (with_a_constant, r"\(MUL\): its input 't1' is a constant"),
        (beta, r"\(SOFTMAX\): its beta is 2, expected 1"),
        (logistic_scale, r"\(LOGISTIC\): its output has not the scale 0.00390625 and zero point -128"),
        (every_second, r"\(STRIDED_SLICE\): it takes every one of steps \[1, 2, 1, 1\]"),
        (padded_step, r"\(CONV_2D\): it pads each step over time"),
        (old_rows, r"\(CONV_2D\): it does not read the newest 2 rows"),
        (joined_state, r"\(ADD\): it reads a state that no CONCATENATION joins with new rows"),
    )
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_node_is_refused_by_name_with_the_reason(name: str, tmp_path: Path) -> None:
    build, reason = REFUSED[name]
    path = tmp_path / f"{name}.tflite"
    path.write_bytes(of(build))
    with pytest.raises(InputError, match=reason) as error:
        import_model(path)
    assert all(f"{path}: node '" in str(problem) for problem in error.value.problems)
    assert error.value.exit_code == 2


def test_all_nodes_are_named_at_once_but_none_that_only_follows(tmp_path: Path) -> None:
    net = Network(1)
    x = net.input([1, 6, 4, 4])
    first = net.same("ABS", x, 0.05, -3)
    after = net.conv(first, 4, (3, 3))  # its input is unknown, which is no fault of its own
    second = net.same("NEG", net.conv(x, 4, (1, 1)), 0.03, 5)
    y = net.tensor([1, 6, 4, 4], "int8", 0.1, 0)
    path = tmp_path / "two.tflite"
    path.write_bytes(net.file(net.op("ADD", [after, second], [y], "AddOptions", fusedActivationFunction=0)))
    with pytest.raises(InputError) as error:
        import_model(path)
    found = [str(problem) for problem in error.value.problems]
    assert len(found) == 2 and "(ABS)" in found[0] and "(NEG)" in found[1], found


def test_a_state_that_does_not_begin_with_zeros_is_refused(tmp_path: Path) -> None:
    net = Network(1)
    y = net.conv(net.ring(net.input([1, 1, 1, 4]), 2, "a"), 4, (3, 1), padding="VALID")
    data = bytearray(net.file(y))
    zeros = bytes([253]) * 8  # two rows of four codes -3
    assert data.count(zeros) == 1
    data[data.index(zeros) + 5] = 7
    path = tmp_path / "started.tflite"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"\(CONCATENATION\): the state 'a' does not begin with real zeros, code -3"):
        import_model(path)


def test_what_is_no_tflite_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "not.tflite"
    for data, reason in (
        (b"", "an empty file"),
        (b"PK\x03\x04 a zip", "no TFL3 file: its identifier is missing"),
        (b"\x08\x00\x00\x00TFL3", "lies beyond the end of 8 bytes"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=reason):
            import_model(path)


def test_what_nothing_reads_is_left_out(tmp_path: Path) -> None:
    net = Network(1)
    x = net.input([1, 6, 4, 4])
    y = net.conv(x, 4, (3, 3))
    net.conv(y, 3, (1, 1))
    path = tmp_path / "dead.tflite"
    path.write_bytes(net.file(y))
    made = write(import_model(path), tmp_path / "out")
    assert [op.op for op in made.graph.ops] == ["conv"]
    assert "nothing reads it, left out" in (tmp_path / "out" / "import.md").read_text()


def test_a_model_of_fifty_megabytes_is_read_through_a_map(tmp_path: Path) -> None:
    """Reading takes its weights once, 50 MB, and not the file beside them; both limits are the file's size and more."""
    import tracemalloc

    net = Network(1)
    x = net.input([1, 1, 4096])
    for _ in range(3):
        x = net.dense(x, 4096)
    path = tmp_path / "large.tflite"
    path.write_bytes(net.file(x))
    size = path.stat().st_size
    assert size > 50_000_000
    del net
    tracemalloc.start()
    imported = import_model(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(tensor.nbytes for tensor in imported.tensors.values()) > 50_000_000
    assert most < 1.5 * size
    with pytest.raises(InputError, match=r"a model file of 50\.\d MB, at most 10 MB are read"):
        import_model(path, largest=10_000_000)
