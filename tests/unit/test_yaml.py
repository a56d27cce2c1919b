"""YAML files: numbers in any usual spelling, no surprises, every refusal with its line."""

from __future__ import annotations

import pickle
import re
import time
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import InputError, Problem, did_you_mean, nearest, show
from accelsim.limits import Limits
from accelsim.schema import load_yaml, parse_yaml, source


def value(text: str):
    return parse_yaml(f"key: {text}").data["key"]


def refused(call, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1), ("-12", -12), ("+3", 3), ("0", 0), ("1_000", 1000), ("0x1F", 31), ("0o17", 15), ("0b101", 5),
        ("1e-9", 1e-9), ("1E6", 1e6), (".5", 0.5), ("1.", 1.0), ("-1.5e+3", -1500.0), ("1_000.5", 1000.5),
        ("0.25", 0.25), ("true", True), ("False", False), ("~", None), ("null", None), ("", None),
        ("1:30", "1:30"), ("2024-01-02", "2024-01-02"), ("0.9 V", "0.9 V"), ("'no'", "no"), ('"010"', "010"),
        ("y", "y"), ("n", "n"), ("1__0", "1__0"), ("'1'", "1"), ("! 12", "12"), ("1.2.3", "1.2.3"), ("=", "="),
    ],
)  # fmt: skip
def test_plain_values(text, expected):
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no", r"^x.yaml:1: 'no' is neither a boolean nor clearly text \(write false, or quote it: 'no'\)$"),
        ("On", r"write true, or quote it: 'On'"),
        ("010", r"'010' starts with 0, which some read as octal \(write 10, or quote it: '010'\)"),
        ("-00.5", r"'-00.5' starts with 0, which some read as octal \(write -0.5, or"),
        (".inf", r"'\.inf' is not a finite number"),
        ("-.INF", r"not a finite number"),
        ("NaN", r"'NaN' is not a finite number \(quote it if it is text\)"),
        ("1e999", r"1e999 is too large for a number"),
        ("9" * 200, r"a number of more than 100 characters"),
        ("0x_", r"stray underscore"),
        ("!!python/object:os.system {}", r"the tag 'tag:yaml.org,2002:python/object:os.system' is not supported"),
        ("!!float 3", r"the tag .* is not supported \(leave it out; quotes make text\)"),
        (r'"\ud800"', r"half of a surrogate pair"),
        (r'"\UFFFFFFFF"', r"not valid YAML"),
        ("[1, 2", r"^x.yaml:\d+: not valid YAML"),
        ("a: b", r"mapping values are not allowed here"),
        ("&a [*a]", r"alias '\*a' stands before its anchor is complete"),
        ("*nowhere", r"alias '\*nowhere'"),
    ],
)
def test_refused_values(text, message):
    assert re.search(message, refused(parse_yaml, f"key: {text}", "x.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"^x:3: duplicate key 'a' \(first on line 1\)$"),
        ("a: 1\n---\nb: 2", r"^x:2: a second document starts here"),
        ("[a, b]: 1", r"^x:1: a key must be a word"),
        ('"": 1', r"^x:1: a key is missing before ':'"),
        ("a: &a {b: 1}\nc:\n  <<: *a", r"^x:3: the merge key '<<' is not supported"),
        ("!!str a: 1", r"the tag .* is not supported on a key"),
        ("a:\n\tb: 1", r"^x:2: not valid YAML: .*\(indent with spaces, not tabs\)$"),
        ("a: 1\nb: \x07", r"^x:2: a character that YAML does not allow: U\+0007$"),
        ("[" * 200, r"more than 100 levels of nesting"),
        ("", r"^x: the file is empty$"),
        ("# only a comment\n", r"the file is empty"),
    ],
)
def test_refused_files(text, message):
    assert re.search(message, refused(parse_yaml, text, "x"))


def test_all_problems_at_once():
    assert refused(parse_yaml, "a: no\nb: 010\na: .nan", "x").splitlines() == [
        "x:1: 'no' is neither a boolean nor clearly text (write false, or quote it: 'no')",
        "x:2: '010' starts with 0, which some read as octal (write 10, or quote it: '010')",
        "x:3: '.nan' is not a finite number (quote it if it is text)",
        "x:3: duplicate key 'a' (first on line 1)",
    ]


def test_keys_stay_as_written():
    assert parse_yaml("no: 1\n0.9: 2\n010: 3\n1e-9: 4").data == {"no": 1, "0.9": 2, "010": 3, "1e-9": 4}


def test_aliases():
    source = parse_yaml("a: &x\n  b: [1, 2]\nc: *x\nd: &y 5\ne: *y")
    assert source.data == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}, "d": 5, "e": 5}
    assert source.line(("c",)) == 3
    assert source.line(("c", "b")) == 2


def test_alias_bomb_is_refused_at_once():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    start = time.perf_counter()
    assert re.search(r"more than 1,000,000 values once its aliases", refused(parse_yaml, "\n".join(lines)))
    assert time.perf_counter() - start < 5


def test_lines():
    source = parse_yaml("# comment\na: 1\nb:\n  - c: 2\n    d: 3\n  - [4,\n     5]\n")
    lines = {("a",): 2, ("b",): 3, ("b", 0): 4, ("b", 0, "d"): 5, ("b", 1): 6, ("b", 1, 1): 7}
    assert {location: source.line(location) for location in lines} == lines
    assert source.line(("b", 0, "missing", 3)) == 4
    assert source.line(("missing",)) == source.line(()) == 2
    assert str(source.problem("wrong", ("b", 0, "d"), "mend it")) == "<text>:5: wrong (mend it)"


def test_load(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes("\ufeffa: 1 µW\r\nb: 2\r\n".encode())
    source = load_yaml(path)
    assert source.path == str(path)
    assert source.data == {"a": "1 µW", "b": 2}
    assert source.line(("b",)) == 2


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "chip.yaml").write_bytes(b"a: 1\nb: \xff\n")
    assert re.search(r"chip.yaml:2: not UTF-8 text$", refused(load_yaml, tmp_path / "chip.yaml"))
    message = refused(load_yaml, tmp_path / "chop.yaml")
    assert re.search(r"chop.yaml: no such file \(did you mean '.*chip.yaml'\?\)$", message)
    assert re.search(r"no such file$", refused(load_yaml, tmp_path / "no" / "such"))
    assert re.search(r"is a directory, expected a YAML file$", refused(load_yaml, tmp_path))
    assert re.search(r"not the name of a file$", refused(load_yaml, "a\0b"))
    assert re.search(r"cannot read: ", refused(load_yaml, tmp_path / "chip.yaml" / "x"))
    (tmp_path / "big.yaml").write_bytes(b"#" * 10_000_001)
    too_large = refused(load_yaml, tmp_path / "big.yaml")
    assert re.search(r"larger than 10 MB \(raise it: --limit yaml_bytes=100MB\)$", too_large)
    (tmp_path / "big.yaml").write_bytes(b"")
    assert re.search(r"the file is empty$", refused(load_yaml, tmp_path / "big.yaml"))


CHIP = """\
clock: 100 kHz
graph:
  - name: l0
    threshold: 3
  - name: l1
    threshold: &t [1, 2]
again: *t
a.b: {c: 1}
nothing:
"""


@pytest.mark.parametrize(
    ("path", "text", "location", "expected"),
    [
        ("clock", "1 MHz", ("clock",), "1 MHz"),
        ("graph.l0.threshold", "1e-3", ("graph", 0, "threshold"), 1e-3),
        ("graph.1.threshold", "{x: [1]}", ("graph", 1, "threshold"), {"x": [1]}),
        ("graph.l1.threshold.0", "9", ("graph", 1, "threshold", 0), 9),
        ("graph.l0.new", "'text'", ("graph", 0, "new"), "text"),
        ("new", "", ("new",), None),
        ("a.b.c", "2", ("a.b", "c"), 2),
        ("graph.1", "5", ("graph", 1), 5),
    ],
)
def test_override(path, text, location, expected):
    source = parse_yaml(CHIP, "chip.yaml")
    before = pickle.dumps(source)
    new = source.override(path, text)
    found = new.data
    for key in location:
        found = found[key]
    assert found == expected
    assert new.where(location) == (f"--set {path}", None)
    assert new.where(("clock",)) == (("--set clock", None) if path == "clock" else ("chip.yaml", 1))
    assert pickle.dumps(source) == before
    assert new.data["again"] == [1, 2]  # an alias elsewhere keeps its value


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("grap.l0.threshold", "1", r"^--set grap.l0.threshold: no 'grap.l0.threshold' in chip.yaml "
         r"\(did you mean 'graph.l0.threshold'\?\)$"),
        ("x.threshold", "1", r"did you mean 'graph.l0.threshold'\?"),
        ("graph.l7.threshold", "1", r"did you mean 'graph.l\d.threshold'\?"),
        ("graph.2", "1", r"no 'graph.2'"),
        ("graph.-1", "1", r"no 'graph.-1'"),
        ("clock.x", "1", r"no 'clock.x' in chip.yaml \(did you mean 'clock'\?\)"),
        ("nothing.x", "1", r"no 'nothing.x'"),
        ("zzz.qqq", "1", r"one of: clock, graph, again, a.b, nothing"),
        ("", "1", r"no '' in chip.yaml"),
        ("clock", "no", r"^--set clock: 'no' is neither a boolean"),
        ("clock", "[1", r"^--set clock: not valid YAML"),
    ],
)  # fmt: skip
def test_override_refused(path, text, message):
    assert re.search(message, refused(parse_yaml(CHIP, "chip.yaml").override, path, text))


# Pieces of YAML meet each other's rules far more often than random characters do.
PIECES = st.sampled_from(
    ["a", "b", "- ", "-", ": ", "\n", "\n  ", " ", "[", "]", "{", "}", ",", "&a ", "*a", "!", "!!str ", "!<x> ", "|",
     ">-", "|2", "? ", "<<: *a", "\t", "1", "0", "1e9", ".inf", "no", "~", "@", "%", "%YAML 1.1\n", "---\n", "...\n",
     "%YAML 99999999999999999999\n", '"', "'", "\\", "\\x", "\\uD800", "\\UFFFFFFFF", "\u2028", "\x85", "\r", "#",
     "\ufeff", "%TAG ! x\n", "!%FF", "é", "\U0001f600", "\0"]
)  # fmt: skip


@given(st.one_of(st.lists(PIECES, max_size=25).map("".join), st.text()))
def test_any_text_loads_or_is_refused(text):
    try:
        source = parse_yaml(text, "x.yaml")
    except InputError as error:
        assert str(error).isprintable() or "\n" in str(error)
    else:
        source.line(())
        repr(source.data).encode()


@pytest.mark.skipif(source._LIBYAML is None, reason="PyYAML was built without libyaml")
@given(st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text()))
def test_libyaml_and_the_loader_in_python_read_alike(text):
    def read() -> object:
        try:
            return source._read.__wrapped__(text, "x.yaml", Limits())
        except InputError as error:
            return str(error)

    fast = read()
    with mock.patch.object(source, "_LIBYAML", None):
        assert fast == read()


@given(st.binary())
def test_any_file_loads_or_is_refused(tmp_path, data):
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    try:
        load_yaml(path)
    except InputError as error:
        assert all(problem.file == str(path) for problem in error.problems)


def test_problems_in_order_and_on_one_line():
    error = InputError(
        [Problem("second", "b", 1), Problem("last", "b", 12, "mend\nit"), Problem("first", "a"), Problem("none")]
    )
    assert str(error) == "none\na: first\nb:1: second\nb:12: last (mend it)"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert error.exit_code == 2
    assert str(InputError.of("red \x1b[31m", file="f")) == r"f: red \x1b[31m"


def test_nearest():
    assert nearest("rowz", ["cols", "rows"]) == "rows"
    assert nearest("ROWS", ["rows"]) == "rows"
    assert nearest("x", ["rows"]) is None
    assert did_you_mean("rowz", ["rows"]) == "did you mean 'rows'?"
    assert did_you_mean("x", ["a1", "b1"]) == "one of: a1, b1"
    assert did_you_mean("x", []) is None
    assert did_you_mean("?", [f"k{i}" for i in range(20)]).endswith("k11 and 8 more")


def test_show():
    shown = [show(v) for v in (None, True, {}, [], "a", 1.5, "x" * 99)]
    assert shown[:-1] == ["nothing", "true", "a mapping", "a list", "'a'", "1.5"]
    assert len(shown[-1]) == 60
