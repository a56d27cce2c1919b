"""State-space layers: the grammar, what is wrong with tensors, and how kernels lie on crossbars."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from accelsim.errors import InputError
from accelsim.kernels.cells import RESTING
from accelsim.kernels.ssm import expand
from accelsim.schedule.ssm import map_kernels
from accelsim.schema.ssm import S4dOp, s4d_problems


def op(**change) -> S4dOp:
    given = {
        "op": "s4d", "name": "s4d", "input": "features", "kernels": 2, "states": 3, "weight_bits": 3, "scale": 0.9,
        "weights": "net", "output_gain": 0.1,
    }  # fmt: skip
    return S4dOp(**given | change)


def tensors(kind=np.int8, **change) -> dict[str, np.ndarray]:
    given = {"a": np.ones((2, 3, 2)), "b": np.ones((2, 3, 2)), "c": np.ones((2, 3, 2))} | change
    return {f"net.{part}": np.asarray(value).astype(kind) for part, value in given.items()}


def test_a_layer_knows_its_gain_and_its_width():
    assert op().width() == 2
    assert op().state_gain() == 0.9 / 3
    assert op(weight_bits=1, scale=0.6).state_gain() == 0.6
    assert list(s4d_problems(op(), tensors(), integers=True)) == []
    for wrong in ({"scale": 0.0}, {"weight_bits": 8}, {"states": 0}, {"code_bits": 13}):
        with pytest.raises(ValidationError):
            op(**wrong)


@pytest.mark.parametrize(
    ("changed", "integers", "message"),
    [
        (tensors(a=np.full((2, 3, 2), 3)), True, r"6 of 6 states are unstable: \|a\| = 1.273 in state 0 of kernel 0"),
        (tensors(b=np.full((2, 3, 2), 4)), True, "the levels of 'net.b' must be from -3 to 3 with 3-bit weights"),
        (tensors(c=np.ones((2, 4, 2))), True, r"tensor 'net.c' has shape \(2, 4, 2\), expected \(2, 3, 2\)"),
        ({}, True, "no tensor 'net.a'"),
        (tensors(float, b=np.full((2, 3, 2), np.nan)), False, "12 values of tensor 'net.b' are not finite numbers"),
        (
            tensors(float, a=np.full((2, 3, 2), 0.8)),
            False,
            r"\|a\| = 1.131 in state 0 of kernel 0, expected less than 1",
        ),
    ],
)
def test_tensors_that_cannot_run_are_named(changed, integers, message):
    with pytest.raises(AssertionError, match=message):
        assert not list(s4d_problems(op(), changed, integers=integers))


def test_binary_weights_have_no_zero():
    found = list(s4d_problems(op(weight_bits=1, scale=0.6), tensors(c=np.zeros((2, 3, 2))), integers=True))
    assert found == ["layer 's4d': the levels of 'net.c' must be -1 or 1 with 1-bit weights"]


def test_the_paper_s_kernel_on_its_crossbar():
    (only,) = map_kernels([("s4d", 1, 14)], rows=64, columns=64, crossbars=1)
    assert only.row() == {
        "layer": "s4d", "kernels": 1, "states": 14, "side": 58, "per crossbar": 1, "crossbars": 1, "written": 448,
        "resting": 4096 - 448, "conversions per step": 29,
    }  # fmt: skip


@pytest.mark.parametrize(("kernels", "states"), [(1, 14), (16, 3), (5, 7), (7, 1)])
def test_the_counts_are_those_of_the_cells(kernels, states):
    (only,) = map_kernels([("s4d", kernels, states)], rows=64, columns=70, crossbars=20)
    ones = np.ones((kernels, states, 2), np.int8)
    assert only.cells_written == (expand(ones, ones, ones) != RESTING).sum()
    assert only.cells_written + only.cells_resting == only.crossbars * 64 * 70


def test_layers_follow_one_another_until_the_chip_is_full():
    layers = [("one", 16, 3), ("two", 16, 3)]
    placed = map_kernels(layers, rows=64, columns=64, crossbars=8)
    assert [(m.per_crossbar, m.crossbars, m.first_crossbar) for m in placed] == [(4, 4, 0), (4, 4, 4)]
    with pytest.raises(InputError, match="the kernels need 8 crossbars of 64 x 64, the chip has 7"):
        map_kernels(layers, rows=64, columns=64, crossbars=7)


def test_a_state_too_large_for_the_crossbar_is_refused():
    with pytest.raises(InputError, match="needs 66 x 66 cells, a crossbar has 64 x 64: at most 15 states fit"):
        map_kernels([("s4d", 1, 16)], rows=64, columns=64, crossbars=1)
    assert map_kernels([("s4d", 1, 15)], rows=64, columns=64, crossbars=1)[0].crossbars == 1
