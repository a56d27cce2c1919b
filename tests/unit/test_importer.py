"""What all importers share: options, limits of files, names, the files that are written, and the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from accelsim import cli
from accelsim.errors import InputError
from accelsim.importers.importer import (
    IMPORTERS,
    Imported,
    Importer,
    Names,
    Note,
    Options,
    Refusals,
    import_model,
    size_of,
    write,
)
from accelsim.inputs import load_batch
from accelsim.schema import parse_yaml
from accelsim.schema.written import as_yaml
from accelsim.workload import load_workload


class ToyOptions(Options):
    gain: float = 1.0
    refuse: bool = False


class Toy(Importer):
    """A format whose file is the number of outputs of a dense layer of three inputs."""

    suffixes = (".toy",)
    what = "toys"
    options = ToyOptions

    def read(self, path: Path, options: ToyOptions, largest: int = 0) -> Imported:
        refused = Refusals(path)
        if options.refuse:
            refused.add("a", "FLIP", "flips are not computed here")
            refused.add("b", "FLOP", "flops are not computed here")
        refused.stop()
        outputs = int(path.read_text())
        graph = [
            {"name": "conv", "op": "conv", "input": "features", "channels": 5, "kernel": [3, 1], "stride": [2, 1],
             "causal": True, "bands": 1, "weight_bits": 16},
            {"name": "a|b", "op": "linear", "input": "conv", "outputs": outputs, "weight_bits": 16},
        ]  # fmt: skip
        tensors = {
            "conv.weight": np.full((3, 1, 40, 5), options.gain, np.float16),
            "a|b.weight": np.ones((5, outputs), np.float16),
            "a|b.bias": np.ones(outputs, np.float32),
        }
        notes = [Note("n|1", "CONV", ("conv",)), Note("n2", "DENSE", ("a|b",), "approximate", "in float16")]
        workload: dict[str, Any] = {"name": options.name or path.stem, "description": "A toy: it plays."}
        workload |= {"inputs": options.inputs(40), "graph": graph}
        return Imported(workload, tensors, tensors, notes, ["Played with."])


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the toy format for one test."""
    assert list(IMPORTERS)  # those of the package are loaded now, not while another table stands in their place
    held = dict(IMPORTERS._registered)
    monkeypatch.setattr(IMPORTERS, "_registered", held)
    monkeypatch.setattr(IMPORTERS, "_found", {})
    if "toy" not in IMPORTERS:
        IMPORTERS.register("toy", Toy)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.toy"
    path.write_text("4")
    return path


SPEECH = {"dataset": "librivox_sample"}


def test_what_is_written_is_a_checked_workload_with_a_page(model: Path, tmp_path: Path) -> None:
    made = write(import_model(model, SPEECH), tmp_path / "out")
    assert [op.name for op in made.graph.ops] == ["conv", "a|b"]
    assert made.reference is not None
    # A row of the outputs is a row of the convolution: 3 x 40 x 5 and 5 x 4; it keeps taps before the newest row.
    size = size_of(made.graph, made.tensors)
    assert (size.macs, size.parameters, size.state_values) == (620, 624, 2 * 40)
    page = (tmp_path / "out" / "import.md").read_text()
    assert "| n\\|1 | CONV | conv | exact |" in page
    assert "2 nodes: 1 exact, 1 approximate" in page
    assert "- Played with." in page


def test_options_are_checked_and_named_as_flags(model: Path) -> None:
    with pytest.raises(InputError, match=r"no option '--gian' \(did you mean 'gain'\?\)"):
        import_model(model, {"gian": 2.0})
    with pytest.raises(InputError, match="'--gain': expected a number"):
        import_model(model, {"gain": "much"})
    assert import_model(model, {"gain": 2.5}).tensors["conv.weight"].max() == 2.5


def test_all_refused_nodes_are_named_at_once(model: Path) -> None:
    with pytest.raises(InputError) as error:
        import_model(model, {"refuse": True})
    assert [str(problem) for problem in error.value.problems] == [
        f"{model}: node 'a' (FLIP): flips are not computed here",
        f"{model}: node 'b' (FLOP): flops are not computed here",
    ]


def test_what_is_no_model_file_is_said_before_it_is_read(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such model file: .*nte\.toy \(did you mean 'net\.toy'\?\)"):
        import_model(tmp_path / "nte.toy")
    with pytest.raises(InputError, match=r"of 0\.0 MB, at most 1e-07 MB are read \(--max-size MB"):
        model.write_text("44")
        import_model(model, largest=0.1)  # type: ignore[arg-type]
    other = tmp_path / "net.doll"
    other.write_text("4")
    with pytest.raises(InputError, match=r"no model format has the suffix '\.doll'"):
        import_model(other)
    assert import_model(other, format="toy").notes
    with pytest.raises(InputError, match="unknown model format 'toi'"):
        import_model(other, format="toi")


def test_names_are_kept_once() -> None:
    names = Names()
    assert [names.new(n) for n in ("a/b;c:0", "a/b;c:0", "features", "a b\n", "")] == [
        "a/b;c:0", "a/b;c:0#2", "features#2", "a_b_", "node",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [1, -3, 0.1, 1e-5, 1e22, 5e-324, float(np.float32(0.0234)), "plain", "yes", "null", "1e5", "a: b", "ü\n{", "",
     "a,b", "#x", True, None, [1, [2, "x"]], {"a b": {"c": [1.5]}}, [], {}, [{"a": 1}, {"b": "no"}]],
)  # fmt: skip
def test_yaml_reads_back_as_it_was(value: Any) -> None:
    assert parse_yaml(as_yaml({"key": value})).data == {"key": value}


def run(*args: str) -> Any:
    return CliRunner().invoke(cli.app, ["import", *args])


def test_the_command_writes_and_says_what(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "mynet"
    done = run(str(model), "--out", str(out), "--dataset", "librivox_sample", "-O", "gain=2", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["macs"] == 620
    assert {path.name for path in out.iterdir()} == {
        "workload.yaml", "weights.safetensors", "reference.safetensors", "import.md",
    }  # fmt: skip
    assert "rounding" in str(run(str(model), "-o", str(out), "--rounding", "single").exception)


def test_the_command_ends_with_2_for_a_bad_model(model: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["accelsim", "import", str(model.with_suffix(".toyy")), "--out", "x"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "no such model file" in capsys.readouterr().err


def test_recordings_of_ones_own_are_heard_by_what_is_imported(model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 0.1 * np.sin(np.arange(8000)), 8000)
    (tmp_path / "my.tsv").write_text("path\ttext\na.wav\tyes\n")
    done = run(str(model), "--out", str(tmp_path / "net"), "--recordings", str(tmp_path / "my.tsv"))
    assert done.exit_code == 0, done.output
    batch = load_batch(load_workload(tmp_path / "net"))
    assert batch.source == "my.tsv" and batch.names == ("a",) and len(batch.features) == 98
    both = run(str(model), "-o", "x", "--recordings", "my.tsv", "--dataset", "librivox_sample")
    assert "'--dataset' and '--recordings': give one of them" in str(both.exception)
