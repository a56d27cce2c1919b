"""Moves of an ONNX graph: whatever reshapes, turns, cuts and joins follow each other, rows hold the right values."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_models as models
from onnx_models import model, node

from accelsim.errors import InputError

FRAMES, BANDS, CHANNELS = 5, 4, 6
TAKEN: list[bool] = []


def divided(size: int, draw: Any) -> tuple[int, int]:
    """Return two sizes whose product is ``size``."""
    first = draw(st.sampled_from([one for one in range(1, size + 1) if size % one == 0]))
    return first, size // first


@st.composite
def graphs(draw: Any) -> Any:
    """Draw a chain of moves from [1, channels, bands, frames] on, that ends in a function, or in a product."""
    shape, nodes, constants, x = [1, CHANNELS, BANDS, FRAMES], [], {}, "x"
    for step in range(draw(st.integers(1, 6))):
        y, kind = (
            f"m{step}",
            draw(st.sampled_from(["turn", "divide", "join", "cut", "reverse", "double", "take", "one"])),
        )
        n = len(shape)
        axis = draw(st.integers(0, n - 1))
        if kind == "turn":
            perm = draw(st.permutations(range(n)))
            nodes.append(node("Transpose", x, y, perm=perm))
            shape = [shape[place] for place in perm]
        elif kind in ("divide", "join", "one"):
            if kind == "divide":
                new = [*shape[:axis], *divided(shape[axis], draw), *shape[axis + 1 :]]
            elif kind == "join" and axis + 1 < n:
                new = [*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]]
            else:
                new = [*shape[:axis], 1, *shape[axis:]]
            if len(new) > 6:
                continue
            constants[f"s{step}"] = np.array(new, np.int64)
            nodes.append(node("Reshape", f"{x} s{step}", y))
            shape = new
        elif kind in ("cut", "reverse"):
            begin = draw(st.integers(0, shape[axis] - 1))
            end = draw(st.integers(begin + 1, shape[axis]))
            by = (begin, end, 1) if kind == "cut" else (shape[axis], -(1 << 62), -1)
            for name, value in zip("bea", (*by[:2], axis), strict=True):
                constants[f"{name}{step}"] = np.array([value], np.int64)
            constants[f"t{step}"] = np.array([by[2]], np.int64)
            nodes.append(node("Slice", f"{x} b{step} e{step} a{step} t{step}", y))
            shape = [*shape[:axis], end - begin if kind == "cut" else shape[axis], *shape[axis + 1 :]]
        elif kind == "take":
            places = draw(st.lists(st.integers(0, shape[axis] - 1), min_size=1, max_size=5))
            constants[f"g{step}"] = np.array(places, np.int64)
            nodes.append(node("Gather", f"{x} g{step}", y, axis=axis))
            shape = [*shape[:axis], len(places), *shape[axis + 1 :]]
        else:
            nodes.append(node("Concat", f"{x} {x}", y, axis=axis))
            shape = [*shape[:axis], 2 * shape[axis], *shape[axis + 1 :]]
        x = y
    if draw(st.booleans()):
        constants["w"] = np.random.default_rng(shape[-1]).integers(-3, 4, (shape[-1], 3)).astype(np.float32)
        nodes.append(node("MatMul", f"{x} w", "y"))
    else:
        nodes.append(node("Relu", x, "y"))
    return model(nodes, constants, [1, CHANNELS, BANDS, FRAMES])


def ways(wanted: Any, rows: int) -> Any:
    """Yield an output with each part of a dimension that may be time in front."""
    for place, size in enumerate(wanted.shape):
        for before in range(1, size // rows + 1):
            if size % (before * rows) == 0:
                shape = [*wanted.shape[:place], before, rows, -1, *wanted.shape[place + 1 :]]
                yield np.moveaxis(wanted.reshape(shape), place + 1, 0)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(0, 3))
def test_moves_are_those_of_onnxruntime(made: Any, time_axis: int) -> None:
    """A chain is refused, or gives onnxruntime's numbers; whole numbers, so that no order of sums matters."""
    note(models.onnx.printer.to_text(made))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = [1, CHANNELS, BANDS, FRAMES]
        try:
            workload = models.imported(made, folder, time_axis=time_axis, feature_scale=1.0, feature_offset=9)
        except InputError:
            TAKEN.append(False)
            return
        TAKEN.append(True)
        rows, width = size[time_axis], CHANNELS * BANDS * FRAMES // size[time_axis]
        codes = np.random.default_rng(0).integers(0, 40, (rows, width)).astype(np.uint8)
        out = models.reference_values(workload, codes, [0, rows])[workload.graph.last.name]
        wanted = models.oracle(folder / "model.onnx", models.real_features(workload, codes), time_axis, size)
    got = out.values
    if len(got) > 1:
        # Time is somewhere in the output, maybe joined with others: its place is the one that gives these rows.
        assert any(np.array_equal(got, way.reshape(got.shape)) for way in ways(wanted, len(got)))
    else:
        np.testing.assert_array_equal(got.reshape(-1), wanted.reshape(-1))


def test_many_chains_are_taken() -> None:
    """Chains that are refused prove nothing: a third at least is taken."""
    if not TAKEN:
        pytest.skip("the chains were not drawn in this process")
    assert sum(TAKEN) > len(TAKEN) / 3
