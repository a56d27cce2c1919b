"""Tensors in a file that no layer reads are refused: a misspelt name would silently leave a bias or a scale out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from accelsim.errors import InputError
from accelsim.workload import Workload, load_workload


def network(
    folder: Path, *, reference: bool = False, overrides: dict[str, str] | None = None, **extra: float
) -> Workload:
    """Two dense layers; ``extra``: tensors of one value for each output, with __ for the dot of their names."""
    scales = {f"{name}.{end}_scale": np.float32(1) for name in "ho" for end in ("input", "weight")}
    weights = {f"{name}.weight": np.ones((4, 4), np.int8) for name in "ho"}
    more = {name.replace("__", "."): np.full(4, value, np.float32) for name, value in extra.items()}
    tensors = {name: np.asarray(tensor) for name, tensor in (weights | scales).items()}
    save_file(tensors | ({} if reference else more), folder / "weights.safetensors")
    floats = {name: tensor.astype(np.float32) for name, tensor in weights.items()}
    save_file(floats | (more if reference else {}), folder / "float.safetensors")
    (folder / "workload.yaml").write_text(
        "schema: accelsim/workload@1\nname: small\nweights: weights.safetensors\nreference_weights: float.safetensors\n"
        "inputs: {source: speech, dataset: librivox_sample, split: test, features: {bands: 4}}\ngraph:\n"
        "  - {name: h, op: linear, input: features, outputs: 4}\n"
        "  - {name: o, op: linear, input: h, outputs: 4}\n"
    )
    return load_workload(folder, overrides)


def test_a_bias_is_read(tmp_path: Path) -> None:
    assert "o.bias" in network(tmp_path, o__bias=5).tensors


@pytest.mark.parametrize("reference", [False, True])
def test_a_misspelt_bias_is_refused(tmp_path: Path, reference: bool) -> None:
    with pytest.raises(InputError) as error:
        network(tmp_path, reference=reference, o__biases=5)
    (problem,) = error.value.problems
    file = "float.safetensors" if reference else "weights.safetensors"
    assert problem.message == f"no layer reads tensor 'o.biases' in {file}"
    assert problem.hint == "did you mean 'o.bias'?"
    assert problem.line == 8


@pytest.mark.parametrize("name", ["o__zero_point", "o__output_scal", "p__bias", "bias"])
def test_whatever_no_layer_reads_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"no layer reads tensor '{name.replace('__', '.')}'"):
        network(tmp_path, **{name: 1})


def test_a_network_that_is_cut_short_leaves_the_tensors_of_its_other_layers(tmp_path: Path) -> None:
    network(tmp_path, p__bias=5, overrides={"graph.o.weight_bits": "8"})
    with pytest.raises(InputError, match=r"no layer reads tensor 'o.biases'"):
        network(tmp_path, o__biases=5, overrides={"graph.o.weight_bits": "8"})
