"""Names and paths of what ships with accelsim, from a checkout and from a wheel."""

from __future__ import annotations

import re

import pytest

from accelsim import library
from accelsim.errors import InputError
from accelsim.explore.validate import validate_file


def refused(call, *arguments: str) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "folder", "found"),
    [
        ("rsnn28nm", "arch", "arch/rsnn28nm.yaml"),
        ("rsnn28nm.yaml", "arch", "arch/rsnn28nm.yaml"),
        ("rsnn28nm", "arch/papers", "arch/papers/rsnn28nm.yaml"),
        ("cmos28", "arch/cost", "arch/cost/cmos28.yaml"),
    ],
)
def test_find_by_name(name, folder, found):
    assert library.find(name, folder) == library.root() / found


def test_a_path_that_exists_wins_over_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rsnn28nm").write_text("mine")
    assert library.find("rsnn28nm", "arch").read_text() == "mine"


def test_a_folder_of_the_same_name_does_not_hide_the_library(tmp_path, monkeypatch):
    """A user keeps results in ./rsnn28nm and still runs rsnn28nm."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rsnn28nm").mkdir()
    assert library.find("rsnn28nm", "arch") == library.root() / "arch/rsnn28nm.yaml"


@pytest.mark.parametrize(
    ("name", "folder", "message"),
    [
        ("rsnn28mn", "arch", r"no architecture named 'rsnn28mn', and no such file \(did you mean 'rsnn28nm'\?\)"),
        ("cmos82", "arch/cost", r"no cost table named 'cmos82', and no such file \(did you mean 'cmos28'\?\)"),
        ("zzz", "arch/papers", r"no paper named 'zzz', and no such file \(one of: .*rsnn28nm.*\)"),
        ("there/rsnn28mn.yaml", "arch", r"no such file: there/rsnn28mn.yaml \(did you mean 'rsnn28nm'\?\)"),
        ("a" * 5000, "arch", r"no architecture named 'a+', and no such file .*"),
        ("rsnn\0", "arch", r"no architecture named 'rsnn\\x00', and no such file .*"),
    ],
)
def test_find_names_the_nearest(name, folder, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert re.fullmatch(message, refused(library.find, name, folder))


def test_find_workload(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = library.root() / "workloads" / "rsnn_paper_activity" / "workload.yaml"
    assert library.find_workload("rsnn_paper_activity") == shipped
    assert library.find_workload(shipped.parent) == shipped
    assert library.find_workload(str(shipped)) == shipped
    mine = tmp_path / "mine"
    mine.mkdir()
    assert refused(library.find_workload, "mine") == "no workload.yaml in the folder mine"
    (mine / "workload.yaml").write_text("name: mine")
    assert library.find_workload("mine").read_text() == "name: mine"
    nearest = refused(library.find_workload, "rsnn_paper_activty")
    assert nearest.endswith("(did you mean 'rsnn_paper_activity'?)")
    assert refused(library.find_workload, "a" * 5000).startswith("no workload named")


def test_a_wheel_carries_its_library_inside_the_package(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "accelsim"
    (package / "_library" / "arch").mkdir(parents=True)
    (package / "_library" / "arch" / "chip.yaml").write_text("")
    (package / "_library" / "workloads" / "net").mkdir(parents=True)
    (package / "_library" / "workloads" / "net" / "workload.yaml").write_text("")
    (package / "_library" / "workloads" / "unfinished").mkdir()
    monkeypatch.setattr(library, "_PACKAGE", package)
    assert library.root() == package / "_library"
    assert library.names("arch") == ["chip"]
    assert library.workload_names() == ["net"]
    assert library.find("chip", "arch") == package / "_library" / "arch" / "chip.yaml"


def test_everything_that_ships_is_valid():
    shelves = ("arch", "arch/cost", "arch/papers")
    files = [library.find(name, shelf) for shelf in shelves for name in library.names(shelf)]
    files += [library.find_workload(name) for name in library.workload_names()]
    assert len(files) >= 4
    for file in files:
        assert validate_file(file)
