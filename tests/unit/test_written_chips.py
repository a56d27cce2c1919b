"""Chips and workloads that Python builds, changes and writes: every one that ships comes back as it was."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim
from accelsim.architecture import load_architecture
from accelsim.errors import InputError
from accelsim.library import names, root, workload_names
from accelsim.schema import load_yaml, parse_yaml
from accelsim.schema.written import as_yaml
from accelsim.workload import load_workload

WORDS = st.text(max_size=12) | st.sampled_from(
    ["1e-3", "yes", "NULL", "~", "0x1f", "012", "500 MHz", "a: b", "# no", "- x", "12:30", "2001-01-01", "<<", "&a"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS.filter(bool), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(WORDS.filter(bool), VALUES, max_size=5))
def test_what_is_written_is_read_back(data: dict[str, Any]) -> None:
    assert parse_yaml(as_yaml(data)).data == data


@pytest.mark.parametrize("name", names("arch"))
def test_every_chip_is_written_as_it_is(name: str, tmp_path) -> None:
    chip = load_architecture(name)
    other = load_architecture(chip.write(tmp_path / "mine.yaml"))
    assert same(other) == same(chip)
    assert same(load_architecture(load_yaml(root() / "arch" / f"{name}.yaml").data)) == same(chip)


def same(chip: Any) -> Any:
    """Return everything of a chip but where it came from."""
    points = {name: same(point) for name, point in chip.operating_points.items()}
    devices = {name: repr(device.model_dump()) for name, device in chip.devices.items()}  # they hold arrays
    return dataclasses.replace(chip, sha256="", operating_points={}, devices={}), devices, points


@pytest.mark.parametrize("name", workload_names())
def test_every_workload_is_written_as_it_is(name: str, tmp_path) -> None:
    network = load_workload(name)
    other = load_workload(network.write(tmp_path).parent)
    plain = {"exclude": {"weights", "reference_weights", "inputs", "score"}}
    assert other.spec.model_dump(**plain) == network.spec.model_dump(**plain) and other.graph == network.graph
    for ours, theirs in ((other.tensors, network.tensors), (other.reference, network.reference)):
        assert (ours is None) == (theirs is None)
        assert (ours or {}).keys() == (theirs or {}).keys()
        assert all(
            np.array_equal(ours[key], theirs[key]) and ours[key].dtype == theirs[key].dtype for key in ours or ()
        )


def test_a_chip_that_is_changed_is_the_chip_with_these_overrides() -> None:
    first = {"components.adc.precision_bits": 6, "clocks.main.frequency": "5 MHz"}
    then = {"components.adc.precision_bits": 5}
    step = load_architecture("imssa").with_(first)
    assert step == load_architecture("imssa", first) and step.sha256 == load_architecture("imssa", first).sha256
    assert step.with_(then) == load_architecture("imssa", first | then) == load_architecture(step, then)
    assert step.spec.components["adc"].model_dump()["precision_bits"] == 6, "the first one stays"


def test_what_was_set_later_is_set_on_top(tmp_path) -> None:
    chip = load_architecture("imssa", {"components.adc.precision_bits": 5})
    adc = {
        "kind": "adc",
        "tiles": 1,
        "units": 4,
        "shared_by": 8,
        "precision_bits": 7,
        "range_bits": 8,
        "rate": "10 MHz",
    }
    whole = chip.with_({"components.adc": adc})
    assert whole.spec.components["adc"].model_dump()["precision_bits"] == 7
    again = whole.with_({"components.adc.precision_bits": 5})
    assert again.spec.components["adc"].model_dump()["precision_bits"] == 5


def test_what_is_set_is_fitted_and_assumed_no_more(tmp_path) -> None:
    chip = load_architecture("imssa")
    assert "calibrated" in parse_yaml(chip.to_yaml()).data and chip.spec.calibrated
    other = chip.with_({"components.crossbar.device": "ideal"})
    assert not other.spec.calibrated
    assert not load_architecture(other.write(tmp_path / "mine.yaml")).spec.calibrated


def test_files_beside_a_chip_are_found_from_elsewhere(tmp_path) -> None:
    library = root() / "arch"
    home = tmp_path / "home"
    (home / "cost").mkdir(parents=True)
    text = (library / "imssa.yaml").read_text().replace("cost: cmos180", "cost: mine")
    (home / "chip.yaml").write_text(text)
    (home / "cost" / "mine.yaml").write_text((library / "cost" / "cmos180.yaml").read_text())
    chip = load_architecture(home / "chip.yaml")
    other = load_architecture(chip.write(tmp_path / "far" / "away" / "chip.yaml"))
    assert other.cost == chip.cost and other.spec.technology.cost == "../../home/cost/mine.yaml"
    assert "cost: mine" in chip.to_yaml()
    with pytest.raises(InputError, match="no cost table named 'mine'"):
        load_architecture(load_yaml(home / "chip.yaml").data)


def test_a_mapping_with_mistakes_is_told_by_its_keys() -> None:
    data = load_yaml(root() / "arch" / "imssa.yaml").data
    wrong = {
        **data,
        "components": {**data["components"], "adc": {**data["components"]["adc"], "unitz": 4, "units": -1}},
    }
    with pytest.raises(InputError) as error:
        load_architecture(wrong)
    told = str(error.value)
    assert "architecture: components.adc.unitz: unknown key 'unitz'" in told
    assert "architecture: components.adc.units: 'units': must be greater than 0, found -1" in told
    with pytest.raises(InputError, match=r"^architecture: name: expected text, a number"):
        load_architecture({**data, "name": 1j})


WEIGHT = np.arange(12).reshape(4, 3) - 6
BIAS = np.array([1, 2, 3])


def net(**keys: Any) -> dict[str, Any]:
    """Return a network of one layer as Python writes it: int64 weights, a view among them."""
    return {
        "name": "mine",
        "weights": {"fc.weight": WEIGHT.T.copy().T, "fc.bias": BIAS},
        "inputs": {"source": "random", "frames": 3, "frame_period": "10 ms", "features": 4, "input_ones": 0.5,
                   "spikes": 0, "readout": 0},
        "graph": [{"name": "fc", "op": "linear", "input": "features", "outputs": 3, "gives": "codes"}],
    } | keys  # fmt: skip


def file_inputs(path: str) -> dict[str, Any]:
    return {"source": "file", "path": path, "frame_period": "10 ms", "width": 4}


def test_a_network_of_python_with_arrays(tmp_path) -> None:
    network = load_workload(net(inputs=file_inputs("no.npz")))
    assert network.tensors["fc.weight"].dtype == np.int8 and np.array_equal(network.tensors["fc.weight"], WEIGHT)
    assert network.tensors["fc.bias"].dtype.kind == "i"
    written = load_workload(network.write(tmp_path))
    assert written.graph == network.graph and np.array_equal(written.tensors["fc.weight"], WEIGHT)
    other = load_workload(net(inputs=file_inputs("no.npz"), weights={"fc.weight": WEIGHT + 1, "fc.bias": BIAS}))
    assert other.sha256 != network.sha256 == load_workload(net(inputs=file_inputs("no.npz"))).sha256
    assert repr(network) == "<Workload mine: 1 layers, 15 weights, no.npz>"


def test_arrays_that_do_not_fit_are_told_at_their_layers() -> None:
    wrong = {"fc.weight": WEIGHT.T, "fc.bias": np.array([0.5, 1, 2]), "fd.scale": np.ones(1)}
    with pytest.raises(InputError) as error:
        load_workload(net(inputs=file_inputs("no.npz"), weights=wrong))
    told = str(error.value)
    assert "has shape [3, 4], expected [4, 3] in weights.safetensors (its transpose fits: give array.T)" in told
    assert "tensor 'fc.bias' has type float64" in told and "no layer reads tensor 'fd.scale'" in told
    assert told.count("workload: graph.0") == 3
    with pytest.raises(InputError, match=r"workload: weights: tensor 'fc.weight': expected whole numbers or floats"):
        load_workload(net(inputs=file_inputs("no.npz"), weights={"fc.weight": np.array(["a"])}))


def test_save_weights_lays_arrays_out_as_the_workload_reads_them(tmp_path) -> None:
    (tmp_path / "workload.yaml").write_text(
        as_yaml({"schema": "accelsim/workload@1", **net(inputs=file_inputs("x.npz"), weights="w.safetensors")})
    )
    with pytest.raises(InputError, match="no weights at"):
        load_workload(tmp_path)
    given = {"fc.weight": WEIGHT.astype(np.float64), "fc.bias": BIAS}
    accelsim.save_weights(tmp_path / "w.safetensors", given, workload=tmp_path)
    assert load_workload(tmp_path).tensors["fc.weight"].dtype == np.int8
    (tmp_path / "w.safetensors").unlink()
    for wrong, said in (
        ({"fc.weight": WEIGHT + 0.5, "fc.bias": BIAS}, "tensor 'fc.weight' has type float64"),
        ({"fc.weight": WEIGHT * 100, "fc.bias": BIAS}, "tensor 'fc.weight'"),
        ({"fc.wheight": WEIGHT, "fc.bias": BIAS}, "did you mean 'fc.wheight'"),
    ):
        with pytest.raises(InputError, match=said):
            accelsim.save_weights(tmp_path / "w.safetensors", wrong, workload=tmp_path)
        assert not (tmp_path / "w.safetensors").exists()
