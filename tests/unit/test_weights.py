"""Tensors are written as they read, whatever their layout in memory."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import load_file, save_file

import accelsim
from accelsim.errors import InputError

WHOLE = np.arange(24, dtype=np.int8).reshape(4, 6)
VIEWS = {
    "transposed": WHOLE.T, "every other row": WHOLE[::2], "columns": WHOLE[:, 1:4], "backwards": WHOLE[::-1, ::-1],
    "column by column": np.asfortranarray(WHOLE), "one row for all": np.broadcast_to(WHOLE[0], (4, 6)),
    "big-endian": WHOLE.astype(">i4"), "a list": [[1, 2], [3, 4]], "a number": np.float32(3), "nothing": WHOLE[:0],
}  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_written_as_it_reads(view, tmp_path):
    path = accelsim.save_weights(
        tmp_path / "new" / "w.safetensors", {"a.w": VIEWS[view], "b": WHOLE}, {"made by": "me"}
    )
    held = load_file(path)
    assert np.array_equal(held["a.w"], VIEWS[view]) and held["a.w"].shape == np.shape(VIEWS[view])
    assert np.array_equal(held["b"], WHOLE)


@pytest.mark.skipif(
    tuple(map(int, version("safetensors").split(".")[:2])) < (0, 8), reason="older ones write it as it reads"
)
def test_the_way_of_the_library_alone_scrambles_a_transposed_tensor(tmp_path):
    """What save_weights is for; should this fail, the library has been mended."""
    save_file({"a": WHOLE.T}, tmp_path / "w.safetensors")
    held = load_file(tmp_path / "w.safetensors")["a"]
    assert held.shape == WHOLE.T.shape and not np.array_equal(held, WHOLE.T)


@settings(max_examples=30, deadline=None)
@given(arrays(np.int16, array_shapes(max_dims=4, max_side=4)), st.randoms())
def test_any_order_of_the_axes(tmp_path_factory, array, random):
    axes = random.sample(range(array.ndim), array.ndim)
    path = tmp_path_factory.mktemp("w") / "w.safetensors"
    accelsim.save_weights(path, {"a": array.transpose(axes)})
    assert np.array_equal(load_file(path)["a"], array.transpose(axes))


def test_what_is_no_tensor_is_refused_all_at_once_and_nothing_is_written(tmp_path):
    wrong = {"a": np.array(["x"]), "": np.zeros(2), "c": np.array([np.nan]), "d": np.array([1j]), "e": np.zeros(2)}
    with pytest.raises(InputError) as caught:
        accelsim.save_weights(tmp_path / "w.safetensors", wrong)
    assert len(caught.value.problems) == 4 and "tensor 'c' holds NaN or infinity" in str(caught.value)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="cannot write"):
        accelsim.save_weights("/proc/none/w.safetensors", {"e": np.zeros(2)})
