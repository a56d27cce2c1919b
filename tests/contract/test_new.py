"""`accelsim new`: every shipped chip and network can be begun from, and what is begun is the same but for its name."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from accelsim.architecture import ArchitectureSpec, load_architecture
from accelsim.errors import InputError
from accelsim.explore.new import CHIP_KEYS, NETWORK_KEYS, new_chip, new_network
from accelsim.library import find, find_workload, names, workload_names
from accelsim.schema import load_yaml, parse
from accelsim.workload import WorkloadSpec, load_workload


def comments(text: str) -> str:
    """Return the comments of a file as one line of text."""
    lines = (line.strip() for line in text.splitlines())
    return " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))


@pytest.mark.parametrize("begin", names("arch"))
def test_a_new_chip_is_the_one_that_it_began_from(tmp_path: Path, begin: str) -> None:
    file = new_chip("mine", begin, tmp_path / "mine.yaml")
    made, model = load_architecture(file), load_architecture(begin)
    assert made.spec == model.spec.model_copy(update={"name": "mine"})
    assert made.sha256 != model.sha256, "no paper's figures stand beside a chip that is another one by name"
    text = file.read_text()
    said, own = comments(text), comments(find(begin, "arch").read_text())
    assert all(CHIP_KEYS[key] in said for key in load_yaml(file).data if key != "schema")
    for kind in {spec.kind for spec in made.components().values()}:
        assert f" {kind}: " in said, f"nothing is said of {kind}"
    assert all(word in said for word in own.split()), "the file's own comments stay"
    added = set(text.splitlines()) - set(find(begin, "arch").read_text().splitlines())
    assert max(map(len, added)) <= 120 + len(str(tmp_path))


@pytest.mark.parametrize("begin", workload_names())
def test_a_new_network_is_the_one_that_it_began_from(tmp_path: Path, begin: str) -> None:
    folder = new_network("mine", begin, tmp_path / "mine")
    path = find_workload(begin)
    made, model = (parse(WorkloadSpec, load_yaml(file)) for file in (folder / "workload.yaml", path))
    assert made == model.model_copy(update={"name": "mine"})
    decoder = None if made.score is None else made.score.decoder_file()
    files = {file for file in (made.weights, made.reference_weights, decoder) if file is not None}
    assert {file.name for file in folder.iterdir()} == {"workload.yaml", *files}
    for file in files:
        assert (folder / file).read_bytes() == (path.parent / file).read_bytes()
    said = comments((folder / "workload.yaml").read_text())
    assert all(NETWORK_KEYS[key] in said for key in load_yaml(folder / "workload.yaml").data if key != "schema")
    assert all(f" {item.op}: " in said for item in made.graph)
    if made.generated_weights is None:  # else it takes seconds to draw them
        assert load_workload(folder).spec == made


def test_every_key_of_both_files_is_explained() -> None:
    assert set(CHIP_KEYS) == set(ArchitectureSpec.model_fields)
    assert set(NETWORK_KEYS) == set(WorkloadSpec.model_fields)


def refused(make, *arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        make(*arguments)
    return str(caught.value)


def test_what_is_refused_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "--from one of: conformer_digital28, " in refused(new_chip, "mine", None)
    assert "--from one of: conformer_42m, " in refused(new_network, "mine", None)
    assert "did you mean 'imssa'" in refused(new_chip, "mine", "imsa")
    for make, begin in ((new_chip, "imssa"), (new_network, "s4d_digits")):
        assert "a name is of 1 to 64 letters" in refused(make, "my chip", begin)
        assert "a name is of 1 to 64 letters" in refused(make, "../mine", begin)
    assert "relative_8.yaml:" in refused(new_network, "mine", "conformer_an4/relative_8")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine.yaml").write_text("mine")
    (tmp_path / "mine").mkdir()
    assert "mine.yaml is there already (another name, or --out)" in refused(new_chip, "mine", "imssa")
    assert "mine is there already" in refused(new_network, "mine", "s4d_digits")
    assert (tmp_path / "mine.yaml").read_text() == "mine" and list((tmp_path / "mine").iterdir()) == []


def test_a_chip_of_files_beside_it_is_begun_where_they_are_found(tmp_path: Path) -> None:
    """A cost table beside the chip is found from a folder that has it too, and else nothing is written."""
    text = find("imssa", "arch").read_text().replace("cost: cmos180", "cost: mine.yaml")
    (tmp_path / "chip.yaml").write_text(text)
    (tmp_path / "mine.yaml").write_text(find("cmos180", "arch/cost").read_text())
    assert load_architecture(new_chip("other", tmp_path / "chip.yaml", tmp_path / "other.yaml")).cost.name == "cmos180"
    (tmp_path / "elsewhere").mkdir()
    assert "mine" in refused(new_chip, "other", tmp_path / "chip.yaml", tmp_path / "elsewhere" / "other.yaml")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_tensors_that_lie_elsewhere_are_not_copied(tmp_path: Path) -> None:
    text = find_workload("s4d_digits").read_text().replace("weights: weights", "weights: ../weights", 1)
    (tmp_path / "net.yaml").write_text(text)
    told = refused(new_network, "mine", tmp_path / "net.yaml", tmp_path / "mine")
    assert f"{tmp_path / 'net.yaml'}:8: a file that lies elsewhere is not copied" in told
    assert not (tmp_path / "mine").exists()


def test_recordings_of_ones_own_are_found_from_the_new_folder_too(tmp_path: Path) -> None:
    begun = new_network("first", "s4d_digits", tmp_path / "first") / "workload.yaml"
    text = begun.read_text()
    for word in ("source: recordings", "manifest: my.tsv", "accelsim data check", "trim_db"):
        assert word in comments(text)
    shipped = "source: speech, dataset: zero_one, split: test"
    assert shipped in text
    begun.write_text(text.replace(shipped, "source: recordings, manifest: my.tsv"))
    told = refused(new_network, "second", tmp_path / "first", tmp_path / "second")
    assert "'my.tsv' is not found from another folder" in told and f"{begun}:" in told
    begun.write_text(text.replace(shipped, f"source: recordings, manifest: {tmp_path / 'my.tsv'}"))
    assert (
        str(tmp_path / "my.tsv")
        in (new_network("second", tmp_path / "first", tmp_path / "second") / "workload.yaml").read_text()
    )


@pytest.mark.parametrize("seen", [*itertools.permutations(("b: 1", "name: x", "a: 'one\n  two'"))])
def test_a_layout_that_bears_no_comments_is_refused(tmp_path: Path, seen: tuple[str, ...]) -> None:
    """On one line with others ``name`` cannot be replaced; a chip that loads is never written as another one."""
    from accelsim.explore.new import _commented

    path = tmp_path / "file.yaml"
    path.write_text("{" + ",\n ".join(seen) + "}\n")
    source = load_yaml(path)
    told = refused(_commented, source, "mine", ["head"], {("b",): "a comment", ("a",): "another"})
    assert "comments do not fit into this file" in told
