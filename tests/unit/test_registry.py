"""Registries: entries of accelsim and of plug-ins by name, and what is said when one cannot be had."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable

import pytest

from accelsim.components import KINDS
from accelsim.errors import InputError
from accelsim.registry import Registry, UnknownNameError

GROUP = "test_registry.fruits"

Install = Callable[..., None]


@pytest.fixture
def install(distribution: Callable[..., None]) -> Install:
    """Return a function that installs a distribution: entry points (name -> module), and files (path -> text)."""

    def add(name: str, points: dict[str, str], files: dict[str, str], version: str = "1.2") -> None:
        distribution(name, GROUP, points, files, version)

    return add


@pytest.fixture
def fruits(install: Install) -> Registry[str]:
    """Return a registry whose own entries are the two files of orchard/own; no metadata declare them."""
    made = f"F = Registry('{GROUP}', 'fruit', 'orchard.own')"
    install("orchard", {}, {
        "orchard/__init__.py": f"from accelsim.registry import Registry\n{made}",
        "orchard/own/__init__.py": "",
        "orchard/own/apple.py": "from orchard import F\nF.register('apple', 'red')",
        "orchard/own/pear.py": "from orchard import F\nF.register('pear', 'green')",
    })  # fmt: skip
    import orchard  # type: ignore[import-not-found]

    return orchard.F  # type: ignore[no-any-return]


def plug_in(name: str, colour: str, then: str = "") -> str:
    return f"from orchard import F\nF.register({name!r}, {colour!r})\n{then}"


def test_every_file_of_the_own_package_is_found_without_an_entry_point(fruits: Registry[str]) -> None:
    assert dict(fruits) == {"apple": "red", "pear": "green"}
    assert fruits.origin("pear").builtin
    assert fruits.origin("pear").module == "orchard.own.pear"


def test_only_the_plug_in_that_is_asked_for_is_imported(fruits: Registry[str], install: Install) -> None:
    install("citrus", {"lemon": "lemon_file", "lime": "lime_file"},
            {"lemon_file.py": plug_in("lemon", "yellow"), "lime_file.py": plug_in("lime", "green")})  # fmt: skip
    assert fruits.names() == ["apple", "pear", "lemon", "lime"]
    assert "lime" in fruits and "plum" not in fruits
    assert "lemon_file" not in sys.modules
    assert fruits["lemon"] == "yellow"
    assert "lemon_file" in sys.modules and "lime_file" not in sys.modules


def test_an_entry_point_may_be_a_package_of_several_files(fruits: Registry[str], install: Install) -> None:
    files = {"box/__init__.py": "", "box/a.py": plug_in("fig", "blue"), "box/b.py": plug_in("date", "brown")}
    install("box", {"fig": "box", "date": "box"}, files)
    assert (fruits["date"], fruits["fig"]) == ("brown", "blue")


def test_the_origin_names_distribution_version_module_and_content(fruits: Registry[str], install: Install) -> None:
    text = plug_in("lemon", "yellow")
    install("citrus", {"lemon": "lemon_file"}, {"lemon_file.py": text}, version="3.1")
    origin = fruits.origin("lemon")
    assert (origin.distribution, origin.version, origin.module) == ("citrus", "3.1", "lemon_file")
    assert origin.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert not origin.builtin
    assert str(origin) == "citrus 3.1 (lemon_file)"


def test_an_unknown_name_names_the_nearest_plug_in(fruits: Registry[str], install: Install) -> None:
    install("citrus", {"lemon": "lemon_file"}, {"lemon_file.py": plug_in("lemon", "yellow")})
    with pytest.raises(UnknownNameError) as caught:
        fruits["lemmon"]
    assert str(caught.value) == "unknown fruit 'lemmon' (did you mean 'lemon'?)"
    assert isinstance(caught.value, KeyError)
    assert fruits.get("lemmon") is None
    assert "lemon_file" not in sys.modules


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        (plug_in("lemon", "yellow", "1 / 0"), "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        (plug_in("lime", "yellow"), "it registers 'lime', not 'lemon'"),
        ("", "it registers nothing, not 'lemon'"),
        (plug_in("apple", "blue"), "two plug-ins register the fruit 'apple': accelsim-speech 0.1.0 (orchard.own.apple) "
                                   "and citrus 1.2 (lemon_file)"),
    ],
)  # fmt: skip
def test_a_broken_plug_in_is_an_error_only_where_it_is_asked_for(
    fruits: Registry[str], install: Install, text: str, reason: str
) -> None:
    install("citrus", {"lemon": "lemon_file"}, {"lemon_file.py": text})
    install("stone", {"plum": "plum_file"}, {"plum_file.py": plug_in("plum", "blue")})
    assert (fruits["apple"], fruits["plum"]) == ("red", "blue")
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            fruits["lemon"]
        assert str(caught.value) == (
            f"cannot load fruit 'lemon' from citrus 1.2, entry point lemon = lemon_file of {GROUP}: {reason}"
        )
        assert not isinstance(caught.value, KeyError)
        assert caught.value.exit_code == 2
    assert "lemon" in fruits.names()
    assert fruits["apple"] == "red"
    assert "lemon" not in dict(fruits.items())
    assert {"red", "blue"} <= set(fruits.values())


def test_two_distributions_with_one_name_are_both_named(fruits: Registry[str], install: Install) -> None:
    install("citrus", {"lemon": "lemon_file"}, {"lemon_file.py": plug_in("lemon", "yellow")})
    install("sour", {"lemon": "sour_file"}, {"sour_file.py": plug_in("lemon", "green")})
    with pytest.raises(InputError, match=r"two plug-ins register the fruit 'lemon': ") as caught:
        fruits["lemon"]
    assert "citrus 1.2 (lemon_file)" in str(caught.value) and "sour 1.2 (sour_file)" in str(caught.value)
    assert fruits["pear"] == "green"
    assert {one.distribution for one in fruits.declared("lemon")} == {"citrus", "sour"}


def test_a_plug_in_may_not_take_the_name_of_a_built_in(fruits: Registry[str], install: Install) -> None:
    install("citrus", {"apple": "apple_file"}, {"apple_file.py": plug_in("apple", "yellow")})
    with pytest.raises(InputError, match=r"two plug-ins .* 'apple': accelsim-speech .* and citrus 1\.2 \(apple_file\)"):
        fruits["apple"]
    assert fruits["pear"] == "green"


def test_a_file_that_is_imported_by_hand_registers_too(fruits: Registry[str], install: Install) -> None:
    install("loose", {}, {"loose_file.py": plug_in("kiwi", "brown"), "second_file.py": plug_in("kiwi", "gold")})
    import loose_file  # type: ignore[import-not-found]  # noqa: F401

    assert fruits["kiwi"] == "brown"
    assert fruits.origin("kiwi").distribution is None
    assert str(fruits.origin("kiwi")).endswith("loose_file.py")
    with pytest.raises(InputError, match=r"two plug-ins .* 'kiwi': .*loose_file\.py and .*second_file\.py"):
        import second_file  # type: ignore[import-not-found]  # noqa: F401
    assert fruits["kiwi"] == "brown"


def test_components_are_found_in_the_source_tree() -> None:
    assert {"adc", "crossbar", "systolic_array"} <= set(KINDS)
    assert KINDS.origin("adc").module == "accelsim.components.adc"
    assert KINDS.origin("adc").builtin
