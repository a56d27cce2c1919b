"""Names and paths of what ships with accelsim, from a checkout and from a wheel."""

from __future__ import annotations

import re
import sys

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
        ("a" * 5000, "arch", r"no architecture named 'a+\.\.\..*"),
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


LIBRARY = "accelsim.library"


@pytest.fixture
def chips(distribution):
    """A distribution whose package holds a chip, a price list and a workload; importing it would fail."""
    distribution(
        "some-chips",
        LIBRARY,
        {"mine": "some_chips.yaml_files"},
        {
            "some_chips/__init__.py": "raise RuntimeError('a YAML file makes no Python run')",
            "some_chips/yaml_files/arch/mychip.yaml": library.find("rsnn28nm", "arch").read_text(),
            "some_chips/yaml_files/arch/cost/mycost.yaml": "",
            "some_chips/yaml_files/workloads/mynet/workload.yaml": "",
            "some_chips/yaml_files/workloads/mynet/other.yaml": "",
        },
    )


def test_a_plug_in_may_bring_a_library_which_is_never_imported(chips):
    assert library.find("mychip", "arch").parts[-3:] == ("yaml_files", "arch", "mychip.yaml")
    assert library.find("mycost", "arch/cost").name == "mycost.yaml"
    assert library.find_workload("mynet").name == "workload.yaml"
    assert library.find_workload("mynet/other").name == "other.yaml"
    assert {"mychip", "rsnn28nm"} <= set(library.names("arch"))
    assert {"mynet", "rsnn_phoneme"} <= set(library.workload_names())
    assert validate_file(library.find("mychip", "arch"))
    assert refused(library.find, "mychp", "arch").endswith("(did you mean 'mychip'?)")
    assert "some_chips" not in sys.modules


def test_two_libraries_with_one_name_are_both_named(chips, distribution):
    files = {"more_chips/arch/mychip.yaml": "", "more_chips/workloads/rsnn_phoneme/workload.yaml": ""}
    distribution("more-chips", LIBRARY, {"more": "more_chips"}, files)
    assert re.fullmatch(
        r"two libraries have an architecture named 'mychip': .*chips/.*mychip\.yaml and .*chips/.*mychip\.yaml "
        r"\(give the path of one\)",
        refused(library.find, "mychip", "arch"),
    )
    assert "two libraries have a workload named 'rsnn_phoneme'" in refused(library.find_workload, "rsnn_phoneme")
    path = library.root() / "workloads" / "rsnn_phoneme"
    assert library.find_workload(path) == path / "workload.yaml"
    assert library.find("rsnn28nm", "arch")


@pytest.mark.parametrize(
    ("files", "reason"),
    [({}, "no such package"), ({"gone/__init__.py": ""}, "the package has no folder arch or workloads")],
)
def test_a_library_that_is_not_there_is_told_only_with_a_name_that_is_not_found(distribution, files, reason):
    distribution("gone-chips", LIBRARY, {"lost": "gone"}, files)
    assert library.find("rsnn28nm", "arch")
    said = refused(library.find, "mychip", "arch")
    assert "no architecture named 'mychip', and no such file" in said
    assert f"cannot read library 'lost' from gone-chips 1.2, entry point lost = gone of {LIBRARY}: {reason}" in said
