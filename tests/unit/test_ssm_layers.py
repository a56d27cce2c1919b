"""State-space layers: the grammar, what is wrong with tensors, and how kernels lie on crossbars."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from accelsim.engines.kernel_map import map_kernels, too_large
from accelsim.kernels.cells import RESTING
from accelsim.kernels.ssm import expand
from accelsim.ops.graph import Graph
from accelsim.ops.op import Datapath, Edge, Signal
from accelsim.ops.s4d import S4dOp


def op(**change) -> S4dOp:
    given = {
        "op": "s4d", "name": "s4d", "input": "features", "kernels": 2, "states": 3, "weight_bits": 3, "scale": 0.9,
        "weights": "net", "output_gain": 0.1,
    }  # fmt: skip
    return S4dOp(**given | change)


def tensors(kind=np.int8, **change) -> dict[str, np.ndarray]:
    given = {"a": np.ones((2, 3, 2)), "b": np.ones((2, 3, 2)), "c": np.ones((2, 3, 2))} | change
    return {f"net.{part}": np.asarray(value).astype(kind) for part, value in given.items()}


def problems(layer: S4dOp, found: dict[str, np.ndarray], *, integers: bool) -> list[str]:
    graph = Graph.of([layer], Edge(1, kind="codes", bits=8))
    return [message for _, message, _ in graph.tensor_problems(found, reference=not integers)]


def test_the_float_network_reads_features_without_a_unit():
    """Without a unit the float network reads the words, not rounded."""
    layer = op(weights="net", input_scale=0.5, input_offset=40)
    found = tensors(float, a=np.full((2, 3, 2), 0.1))
    codes = np.array([[100], [80], [90]], np.uint8)
    edge = Edge(1, kind="codes", bits=8)
    starts = np.array([0, 3])
    values, _ = layer.float_values([Signal(codes, starts, edge)], Datapath(found), None)
    words = codes * 0.5 - 40
    given = layer.model_copy(update={"input": "x"})
    wanted, _ = given.float_values([Signal(words, starts, edge)], Datapath(found), None)
    np.testing.assert_allclose(values, wanted, atol=1e-5)


def test_a_layer_knows_its_gain_and_its_width():
    assert op().infer([Edge(1)]) == Edge(2, kind="codes", bits=8, scale=1.0)
    assert op().infer([Edge(2, stride=4)]).stride == 4
    with pytest.raises(ValueError, match="has 2 kernels for 3 input channels"):
        op().infer([Edge(3)])
    assert op().state_gain() == 0.9 / 3
    assert op(weight_bits=1, scale=0.6).state_gain() == 0.6
    assert problems(op(), tensors(), integers=True) == []
    for wrong in ({"scale": 0.0}, {"weight_bits": 8}, {"states": 0}, {"code_bits": 13}):
        with pytest.raises(ValidationError):
            op(**wrong)


@pytest.mark.parametrize(
    ("changed", "integers", "message"),
    [
        (
            tensors(a=np.full((2, 3, 2), 3)), True,
            "tensor 'net.a' makes 6 of 6 states unstable: |a| = 1.273 in state 0 of kernel 0, expected less than 1",
        ),
        (
            tensors(b=np.full((2, 3, 2), 4)), True,
            "tensor 'net.b' has levels that are not from -3 to 3, as 3-bit weights are",
        ),
        (tensors(c=np.ones((2, 4, 2))), True, "tensor 'net.c' has shape [2, 4, 2], expected [2, 3, 2]"),
        (
            tensors(float, a=np.full((2, 3, 2), 0.5), b=np.full((2, 3, 2), np.nan)), False,
            "tensor 'net.b' has 12 values that are not finite numbers",
        ),
        (
            tensors(float, a=np.full((2, 3, 2), 0.8)), False,
            "tensor 'net.a' makes 6 of 6 states unstable: |a| = 1.131 in state 0 of kernel 0, expected less than 1",
        ),
    ],
)  # fmt: skip
def test_tensors_that_cannot_run_are_named(changed, integers, message):
    assert problems(op(), changed, integers=integers) == [message]


def test_missing_tensors_are_named():
    assert problems(op(), {}, integers=True) == [f"no tensor 'net.{part}'" for part in "abc"]


def test_binary_weights_have_no_zero():
    found = problems(op(weight_bits=1, scale=0.6), tensors(c=np.zeros((2, 3, 2))), integers=True)
    assert found == ["tensor 'net.c' has levels that are not -1 or 1, as 1-bit weights are"]


def test_the_paper_s_kernel_on_its_crossbar():
    (only,) = map_kernels([("s4d", 1, 14)], rows=64, columns=64)
    assert only.row() == {
        "layer": "s4d", "kernels": 1, "states": 14, "side": 58, "per crossbar": 1, "crossbars": 1, "written": 448,
        "resting": 4096 - 448, "conversions per step": 29,
    }  # fmt: skip


@pytest.mark.parametrize(("kernels", "states"), [(1, 14), (16, 3), (5, 7), (7, 1)])
def test_the_counts_are_those_of_the_cells(kernels, states):
    (only,) = map_kernels([("s4d", kernels, states)], rows=64, columns=70)
    ones = np.ones((kernels, states, 2), np.int8)
    assert only.cells_written == (expand(ones, ones, ones) != RESTING).sum()
    assert only.cells_written + only.cells_resting == only.crossbars * 64 * 70


def test_layers_follow_one_another():
    placed = map_kernels([("one", 16, 3), ("two", 17, 3)], rows=64, columns=64)
    assert [(m.per_crossbar, m.crossbars, m.first_crossbar) for m in placed] == [(4, 4, 0), (4, 5, 4)]
    assert [list(m.numbers()) for m in placed] == [[0, 1, 2, 3], [4, 5, 6, 7, 8]]


@pytest.mark.parametrize(("rows", "columns", "fit"), [(64, 64, 15), (61, 80, 14), (80, 9, 1), (5, 5, 0)])
def test_a_state_too_large_for_the_crossbar_is_named(rows, columns, fit):
    assert too_large(fit, rows=rows, columns=columns) is None
    side = 4 * (fit + 1) + 2
    assert too_large(fit + 1, rows=rows, columns=columns) == (
        f"a kernel of {fit + 1} states needs {side} x {side} cells, a crossbar has {rows} x {columns}: at most {fit} "
        "states fit"
    )


MIXED = {"a": 3, "b": 2, "c": 4}


def test_each_matrix_may_have_bits_of_its_own():
    """Of 3, 2 and 4 bits, q = 3, 1, 7: states in steps of 1 / lcm(3, 1) of the range, cells of up to 3 bits."""
    layer = op(weight_bits=MIXED)
    assert layer.state_gain() == 0.9 / 3 and layer.cell_bits() == 3 and tuple(layer.bits()) == (3, 2, 4)
    assert op(weight_bits={"a": 4, "b": 3, "c": 2}).state_gain() == 0.9 / 21
    fits = tensors(a=np.full((2, 3, 2), 2), b=np.ones((2, 3, 2)), c=np.full((2, 3, 2), -7))
    assert problems(layer, fits, integers=True) == []
    assert problems(layer, fits | tensors(b=np.full((2, 3, 2), 2), a=np.full((2, 3, 2), 3)), integers=True) == [
        "tensor 'net.a' makes 6 of 6 states unstable: |a| = 1.273 in state 0 of kernel 0, expected less than 1",
        "tensor 'net.b' has levels that are not from -1 to 1, as 2-bit weights are",
    ]
    drawn = layer.generated([Edge(1)], 1.0, np.random.default_rng(0), last=True)
    assert set(np.unique(drawn["net.b"])) == {-1, 0, 1} and np.abs(drawn["net.c"]).max() > 1
    assert problems(layer, drawn, integers=True) == []
    for wrong in ({"a": 3, "b": 2}, {**MIXED, "c": 8}, {**MIXED, "d": 2}, {**MIXED, "b": 0}):
        with pytest.raises(ValidationError):
            op(weight_bits=wrong)
