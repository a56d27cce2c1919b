"""The record of a run: JSON both ways, and a file that is whole or not there."""

from __future__ import annotations

import json
import os
import stat

import pytest
from pydantic import ValidationError

import accelsim
from accelsim import result as result_module
from accelsim.errors import InputError
from accelsim.result import Result, check_writable


@pytest.fixture(scope="module")
def made() -> Result:
    return accelsim.run("rsnn28nm", "rsnn_paper_activity", overrides={"workload.inputs.frames": "20"}, command="a test")


def test_json_both_ways(made):
    text = made.to_json()
    assert text.endswith("}\n")
    assert json.loads(text)["schema"] == "accelsim/result@1"
    assert Result.from_json(text) == made
    assert Result.from_json(text).to_json() == text


def test_the_keys_that_others_read_are_there(made):
    data = json.loads(made.to_json())
    keys = (
        "schema arch workload seed versions command performance energy power_w area_mm2 efficiency accuracy layers "
        "components provenance"
    )
    assert set(keys.split()) <= set(data)
    performance = "frames utterances cycles cycles_per_frame clock_hz seconds audio_seconds real_time_factor"
    assert set(performance.split()) <= set(data["performance"])
    assert data["arch"]["name"] == "rsnn28nm" and len(data["arch"]["sha256"]) == 64
    assert data["command"] == "a test"
    assert data["versions"]["accelsim"] == accelsim.__version__


def test_a_record_is_frozen(made):
    with pytest.raises(ValidationError):
        made.power_w = 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("power_w"), "power_w: Field required"),
        (lambda d: d.update(power="1 mW"), "power: Extra inputs are not permitted"),
        (lambda d: d.update(schema="accelsim/result@2"), "schema: Input should be 'accelsim/result@1'"),
        (lambda d: d["performance"].update(cycles="many"), "performance.cycles: Input should be a valid integer"),
        (lambda d: d["layers"][0].pop("name"), "layers.0.name: Field required"),
    ],
)
def test_what_is_not_a_record_is_refused(made, change, message):
    data = json.loads(made.to_json())
    change(data)
    with pytest.raises(InputError) as caught:
        Result.from_json(json.dumps(data), "old/result.json")
    assert str(caught.value).startswith(f"old/result.json: not an accelsim/result@1 record: {message}")


def test_half_a_record_is_refused(made):
    with pytest.raises(InputError, match="not an accelsim/result@1 record"):
        Result.from_json(made.to_json()[:500])


def test_write_makes_the_folder_and_replaces_what_was_there(made, tmp_path):
    folder = tmp_path / "runs" / "first"
    path = made.write(folder)
    assert path == folder / "result.json"
    path.write_text("old")
    made.write(folder)
    assert Result.from_json(path.read_text()) == made
    assert os.listdir(folder) == ["result.json"]


def test_a_written_record_follows_the_umask(made, tmp_path):
    before = os.umask(0o027)
    try:
        path = made.write(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, OSError("disk full")])
def test_a_write_that_fails_leaves_the_old_record_and_nothing_else(made, tmp_path, monkeypatch, failure):
    (tmp_path / "result.json").write_text("old")

    def fail(_):
        raise failure

    monkeypatch.setattr(result_module.os, "fsync", fail)
    with pytest.raises(InputError if isinstance(failure, OSError) else failure):
        made.write(tmp_path)
    assert (tmp_path / "result.json").read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_writing_into_a_file_is_an_input_error(made, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*file/sub/result\.json: Not a directory"):
        made.write(tmp_path / "file" / "sub")


@pytest.mark.parametrize("name", ["file", "file/sub", "a" * 300, "nul\0"])
def test_check_writable_refuses(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to the output folder"):
        check_writable(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_check_writable_refuses_a_folder_without_permission(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(InputError, match="no permission"):
        check_writable(tmp_path / "closed" / "new")


def test_check_writable_makes_nothing(tmp_path):
    check_writable(tmp_path / "new" / "deep")
    check_writable(tmp_path)
    assert os.listdir(tmp_path) == []
