"""Limits on what users hand over: their defaults, how they are raised and lowered, and what is free."""

from __future__ import annotations

import doctest
from dataclasses import fields

import pytest
from typer.testing import CliRunner

from accelsim import limits
from accelsim.cli import app
from accelsim.errors import InputError
from accelsim.explore.space import points_of, read_axes
from accelsim.limits import Limits, read_size, size_text
from accelsim.schema import parse_yaml


def test_they_hold_within_a_block_alone():
    assert limits.current() == Limits()
    with limits.within(points=5, ops=7) as inner:
        assert (inner.points, inner.ops, inner.yaml_depth) == (5, 7, 100)
        with limits.within(points=1e9):
            assert (limits.current().points, limits.current().ops) == (10**9, 7)
        with limits.within(Limits(), ops=3):
            assert limits.current() == Limits(ops=3)
        assert limits.current() is inner
    assert limits.current() == Limits()


def test_a_wrong_one_is_refused_with_all_the_others():
    with pytest.raises(InputError) as error, limits.within(point=5, ops=0, frames=1.5, yaml_depth=1e6):
        pass
    assert str(error.value).splitlines() == [
        "no limit 'point' (did you mean 'points'?)",
        "limit 'ops' must be a whole number above 0, found 0",
        "limit 'frames' must be a whole number above 0, found 1.5",
        "limit 'yaml_depth' must be at most 250, found 1,000,000",
    ]


def test_the_message_says_how_to_raise_it():
    assert doctest.testmod(limits).failed == 0
    assert limits.over("yaml_bytes", 12_340_000) == ("larger than 10 MB", "raise it: --limit yaml_bytes=13MB")
    assert limits.over("points", 1.01e9) == ("more than 100,000 points", "raise it: --limit points=1.1e9")
    assert limits.over("yaml_depth", 10_000) == ("more than 100 levels of nesting", None)  # no option raises it so far
    limits.check("ops", 10_000)
    with pytest.raises(InputError, match=r"^net.yaml:3: more than 10,000 ops \(raise it: --limit ops=1.1e4\)$"):
        limits.check("ops", 10_001, file="net.yaml", line=3)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1e9", 10**9), ("1_000_000", 10**6), ("1,000", 1000), ("4GB", 4 * 10**9), ("4 gb", 4 * 10**9),
        ("512MiB", 2**29), ("1.5k", 1500), ("2Ki", 2048), ("7 B", 7), ("0", None), ("-1", None), ("GB", None),
        ("1e400", None), ("nan", None), ("4 GHz", None), ("", None), ("9" * 1000, None),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int | None):
    assert read_size(text) == size


def test_what_is_suggested_can_be_given_and_is_enough():
    for one in fields(Limits):
        for found in (1.0, 12.0, 999.0, 123_456.0, 9.99e6, 1.23456e11):
            message, hint = limits.over(one.name, found) if one.name != "memory" else ("", None)
            if hint is not None:
                name, _, value = hint.removeprefix("raise it: --limit ").partition("=")
                assert limits.read_limits({name: value})[name] >= found, (hint, message)
    assert [size_text(size) for size in (5, 2e3, 99e6, 8e8, 3e9)] == ["5 bytes", "2 kB", "99 MB", "0.8 GB", "3 GB"]


def test_they_bound_what_is_read():
    with limits.within(yaml_values=10), pytest.raises(InputError, match=r"more than 10 values .*yaml_values=100"):
        parse_yaml("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]")
    assert len(parse_yaml("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]").data) == 10
    with limits.within(yaml_values=10), pytest.raises(InputError):  # what was read before does not make it pass
        parse_yaml("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]")
    with limits.within(yaml_depth=3), pytest.raises(InputError, match="more than 3 levels"):
        parse_yaml("[[[[1]]]]")
    axes = read_axes(["a=1:1000", "b=1:1000"])
    wanted = r"more than 100,000 points: 1,000 x 1,000 \(.*--limit points=1e6\)"
    with pytest.raises(InputError, match=wanted):
        points_of(axes, "grid", None, 0, 1)
    with pytest.raises(InputError, match=r"more than 100,000 points: 100 x 10,000"):
        points_of(read_axes(["a=1:100"]), "grid", None, 0, 10_000)
    with pytest.raises(InputError, match=r"more than 100,000 points: 1,000,000,000 \("):
        points_of(axes, "lhs", 10**9, 0, 1)
    with limits.within(points=4), pytest.raises(InputError, match="more than 4 points"):
        read_axes(["a=1:5;b=1,2,3,4,5"])


def command(*words: str) -> str:
    done = CliRunner().invoke(app, words)
    return done.output + (str(done.exception) if done.exception else "")


def test_the_command_line_raises_and_lowers_them():
    assert "more than 10 values" in command("validate", "--limit", "yaml_values=10", "arch/imssa.yaml")
    assert "larger than 1 kB" in command("run", "imssa", "--limit", "yaml_bytes=1kB")
    assert "architecture" in command("validate", "arch/imssa.yaml")
    assert limits.current() == Limits()
    assert "no limit 'pints' (did you mean 'points'?)" in command("run", "imssa", "--limit", "pints=3")
    assert "'--limit points' is not NAME=VALUE" in command("run", "imssa", "--limit", "points")
    assert "'many' is not a number for 'points' (for example 1e6)" in command("run", "imssa", "--limit", "points=many")
    assert "'much' is not a size (for example 4GB)" in command("run", "imssa", "--memory", "much")


def test_what_a_control_group_leaves(tmp_path):
    for version, lines, group, names in (
        (2, "0::/a/b\n", "a", ("memory.max", "memory.current", "inactive_file")),
        (1, "4:memory:/a/b\n1:cpu:/\n", "memory/a", ("memory.limit_in_bytes", "memory.usage_in_bytes",
                                                     "total_inactive_file")),
    ):  # fmt: skip
        root, own = tmp_path / str(version), tmp_path / f"own{version}"
        own.write_text(lines)
        outer = root / group
        (outer / "b").mkdir(parents=True)
        assert limits._free_in_cgroup(root, own) is None
        for folder, most, used in ((outer, "1000", "300"), (outer / "b", "max" if version == 2 else "99999", "200")):
            (folder / names[0]).write_text(f"{most}\n")
            (folder / names[1]).write_text(f"{used}\n")
        assert limits._free_in_cgroup(root, own) == 700
        (outer / "memory.stat").write_text(f"anon 5\n{names[2]} 50\n")  # pages of files are given back
        assert limits._free_in_cgroup(root, own) == 750
        (outer / names[1]).write_text("2000")
        assert limits._free_in_cgroup(root, own) == 0
    assert limits._free_in_cgroup(tmp_path, tmp_path / "none") is None


def test_what_is_free_here():
    free = limits.free_memory()
    assert free is None or free > 10**6
    assert Limits(memory=5).memory_bytes() == 5
