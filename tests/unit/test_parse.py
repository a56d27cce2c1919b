"""Models from YAML: every mistake of a file at once, in plain words, on its line."""

from __future__ import annotations

import enum
import re
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator, model_validator

from accelsim.errors import InputError
from accelsim.schema import (
    DataSize,
    Model,
    PositiveEnergy,
    PositiveFrequency,
    Voltage,
    check_schema_tag,
    json_schema,
    parse,
    parse_yaml,
)


class Sram(Model):
    kind: Literal["sram"]
    name: str
    size: DataSize


class Lif(Model):
    kind: Literal["lif"]
    name: str
    lif: int = Field(gt=0)  # named like the kind on purpose
    size: int = 1


class Mode(enum.Enum):
    PARALLEL = "parallel"
    SEQUENTIAL = "sequential"


Part = Annotated[Sram | Lif, Field(discriminator="kind")]


class Chip(Model):
    clock: PositiveFrequency
    rows: int = Field(ge=1, le=512)
    vdd: Voltage = 0.9
    gain: float = 1.0
    on: bool = True
    title: str = ""
    mode: Mode = Mode.PARALLEL
    node: Literal["cmos28", "cmos65"] = "cmos28"
    bits: Literal[1, 2, 4] = 1
    shape: tuple[int, ...] = ()
    pair: tuple[int, float] = (1, 1.0)
    few: list[int] = Field(default=[], max_length=2)
    extra: int | list[int] | PositiveEnergy = 0
    table: dict[str, int] = {}
    parts: list[Part] = []
    one: Part | None = None

    @field_validator("gain")
    @classmethod
    def _gain(cls, gain: float) -> float:
        if gain == 13:
            raise ValueError("13 is unlucky")
        return gain

    @model_validator(mode="after")
    def _whole(self) -> Chip:
        if self.title == "bad":
            raise ValueError("the chip as a whole is bad")
        return self


def chip(text: str, **changes: str) -> Chip:
    """A chip from `clock` and `rows`, which stand on lines 1 and 2, and more YAML from line 3."""
    source = parse_yaml(f"clock: 1 Hz\nrows: 4\n{text}", "c.yaml")
    for path, value in changes.items():
        source = source.override(path, value)
    return parse(Chip, source)


def mistakes(text: str, **changes: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        chip(text, **changes)
    return str(caught.value).splitlines()


def test_a_right_file():
    read = chip(
        "schema: accelsim/chip@1\nvdd: 0.7 V\ngain: 2\nmode: sequential\nshape: [1, 2]\nextra: 2 pJ\n"
        "parts: [{kind: sram, name: a, size: 1 KiB}, {kind: lif, name: b, lif: 3}]\none: {kind: lif, name: c, lif: 1}"
    )
    assert (read.clock, read.vdd, read.gain, read.mode, read.shape) == (1.0, 0.7, 2.0, Mode.SEQUENTIAL, (1, 2))
    assert [type(part) for part in read.parts] == [Sram, Lif]
    assert read.extra == 2e-12
    with pytest.raises(ValidationError, match="frozen"):
        read.rows = 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vdd: 0.9", "'vdd': 0.9 has no unit; write for example '0.9 V'"),
        ("vdd: 9 kHz", "'vdd': '9 kHz' is a frequency, expected a voltage such as '0.9 V'"),
        ("vdd: 9 Vo", "'vdd': unknown unit 'Vo' in '9 Vo', expected a voltage such as '0.9 V' (did you mean 'V'?)"),
        ("rowz: 4", "unknown key 'rowz' (did you mean 'rows'?)"),
        ("titel: x", "unknown key 'titel' (did you mean 'title'?)"),
        ("gain: '2'", "'gain': expected a number, found '2'"),
        ("gain: true", "'gain': expected a number, found true"),
        ("gain: 13", "'gain': 13 is unlucky"),
        ("on: 1", "'on': expected true or false, found 1"),
        ("on: 'yes'", "'on': expected true or false, found 'yes'"),
        ("title: 3", "'title': expected text, found 3 (quote it to make it text)"),
        ("title:", "'title': expected text, found nothing"),
        ("mode: parallle", "'mode': unknown value 'parallle' (did you mean 'parallel'?)"),
        ("node: cmos", "'node': unknown value 'cmos' (did you mean 'cmos28'?)"),
        ("node: 28", "'node': expected 'cmos28' or 'cmos65', found 28"),
        ("bits: 3", "'bits': expected 1, 2 or 4, found 3"),
        ("bits: 2.0", "'bits': expected 1, 2 or 4, found 2.0"),
        ("bits: true", "'bits': expected 1, 2 or 4, found true"),
        ("shape: 3", "'shape': expected a list, found 3"),
        ("shape: [1, 2.5]", "'shape[1]': expected a whole number, found 2.5"),
        ("shape: [1, 1e6]", "'shape[1]': expected a whole number, found 1000000.0 (write 1000000)"),
        ("shape: [true]", "'shape[0]': expected a whole number, found true"),
        ("pair: [1, x]", "'pair[1]': expected a number, found 'x'"),
        ("few: [1, 2, 3]", "'few': expected at most 2 items, found 3"),
        ("extra: foo", "'extra': expected a whole number or a list or an energy such as '1.2 pJ', found 'foo'"),
        ("table: {a: x}", "'a': expected a whole number, found 'x'"),
        ("table: 3", "'table': expected a mapping (key: value), found 3"),
        ("parts: [3]", "'parts[0]': expected a mapping (key: value), found 3"),
        ("parts: [{name: a}]", "missing key 'kind'"),
        ("parts: [{kind: sran}]", "unknown kind 'sran' (did you mean 'sram'?)"),
        ("parts: [{kind: dma}]", "unknown kind 'dma' (one of: sram, lif)"),
        ("parts: [{kind: 3}]", "unknown kind 3 (one of: sram, lif)"),
        ("parts: [{kind: lif, name: a, lif: -3}]", "'lif': must be greater than 0, found -3"),
        ("parts: [{kind: lif, name: a, lif: 1, sram: 3}]", "unknown key 'sram' (one of: kind, name, lif, size)"),
        ("parts: [{kind: lif, name: a, lif: {lif: 3}}]", "'lif': expected a whole number, found a mapping"),
        ("parts: [{kind: sram, name: a, size: 3}]", "'size': 3 has no unit; write for example '3 KiB'"),
        ("one: {kind: sram, name: a}", "missing key 'size'"),
        ("one: {kind: sram, name: a, siez: 3 B}", "unknown key 'siez' (did you mean 'size'?)"),
        ("title: bad", "the chip as a whole is bad"),
    ],
)  # fmt: skip
def test_one_mistake(text, message):
    line = 1 if text == "title: bad" else 3
    assert mistakes(text) == [f"c.yaml:{line}: {message}"]


def test_every_mistake_at_once_each_on_its_line():
    text = """\
vdd: 0.9
parts:
  - kind: sram
    name: l0
    size: 5 V
    lif: 3
  - kind: lif
    name: l1
    lif:
      0
shape: [1,
  x]
"""
    assert mistakes(text, rows="0", clock="0 Hz", leef="1") == [
        "--set clock: 'clock': must be greater than 0, found '0 Hz'",
        "--set leef: unknown key 'leef' (one of: clock, rows, vdd, gain, on, title, mode, node, bits, shape, pair, "
        "few and 4 more)",
        "--set rows: 'rows': must be at least 1, found 0",
        "c.yaml:3: 'vdd': 0.9 has no unit; write for example '0.9 V'",
        "c.yaml:7: 'size': '5 V' is a voltage, expected a data size such as '64 KiB'",
        "c.yaml:8: unknown key 'lif' (one of: kind, name, size)",
        "c.yaml:11: 'lif': must be greater than 0, found 0",
        "c.yaml:14: 'shape[1]': expected a whole number, found 'x'",
    ]


def test_a_misspelt_key_is_not_also_a_missing_one():
    with pytest.raises(InputError) as caught:
        parse(Chip, parse_yaml("clok: 1 Hz\nrow: 4", "c.yaml"))
    assert str(caught.value).splitlines() == [
        "c.yaml:1: unknown key 'clok' (did you mean 'clock'?)",
        "c.yaml:2: unknown key 'row' (did you mean 'rows'?)",
    ]
    with pytest.raises(InputError) as caught:
        parse(Chip, parse_yaml("title: x", "c.yaml"))
    assert str(caught.value).splitlines() == ["c.yaml:1: missing key 'clock'", "c.yaml:1: missing key 'rows'"]


def test_a_file_that_is_no_mapping():
    with pytest.raises(InputError, match=r"^c.yaml:1: expected a mapping \(key: value\), found a list$"):
        parse(Chip, parse_yaml("- 1", "c.yaml"))


def test_python_callers_may_give_lists_but_not_other_numbers():
    assert Chip(clock="1 Hz", rows=1, shape=[1, 2]).shape == (1, 2)
    for bad in ({"rows": "1"}, {"rows": 1.0}, {"rows": True}, {"rows": 1, "gain": float("nan")}):
        with pytest.raises(ValidationError):
            Chip(clock="1 Hz", **bad)


class Tree(Model):
    a: Tree | None = None
    b: int = 0


def test_a_model_nested_in_itself():
    text = "{a: " * 60 + "{b: x}" + "}" * 60
    with pytest.raises(InputError, match=r"^t:1: 'b': expected a whole number, found 'x'$"):
        parse(Tree, parse_yaml(text, "t"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["sram", "lif", "1 V", "1 KiB"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "name", "lif", "a"]), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*Chip.model_fields, "other"]), JSON))
def test_any_data_is_a_model_or_refused(data: Any):
    source = parse_yaml("a: 1", "c.yaml")
    source = type(source)("c.yaml", data, source._place)
    try:
        parse(Chip, source)
    except InputError as error:
        # pydantic's own words never reach the user
        assert not re.search(r"Input should|Value error|valid |Field required|Extra inputs", str(error))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1", r"^c:1: missing key 'schema' \(write 'schema: accelsim/arch@1'\)$"),
        ("- 1", r"^c:1: expected a mapping \(key: value\), found a list$"),
        ("a: 1\nschema: arch", r"^c:2: unknown schema 'arch' \(write 'schema: accelsim/arch@1'\)$"),
        ("schema: 1", r"unknown schema 1"),
        ("schema: accelsim/arch@0", r"unknown schema 'accelsim/arch@0'"),
        ("schema: accelsim/cost@1", r"this is a file of schema 'accelsim/cost@1', expected 'accelsim/arch@1'"),
        ("schema: accelsim/arch@2", r"newer than this accelsim, which reads 'accelsim/arch@1' \(update accelsim\)"),
    ],
)
def test_schema_tag_refused(text, message):
    with pytest.raises(InputError, match=message):
        check_schema_tag(parse_yaml(text, "c"), "arch")


def test_schema_tag():
    assert check_schema_tag(parse_yaml("schema: accelsim/arch@1"), "arch") == 1
    assert check_schema_tag(parse_yaml("schema: accelsim/arch@1"), "arch", newest=2) == 1


def test_json_schema():
    schema = json_schema(Chip, "chip")
    assert schema["properties"]["schema"] == {"const": "accelsim/chip@1"}
    assert schema["required"] == ["schema", "clock", "rows"]
    assert schema["additionalProperties"] is False
    assert "schema" not in json_schema(Chip)["properties"]


def test_dotted_paths_reach_items_whose_names_hold_dots() -> None:
    source = parse_yaml("graph:\n  - {name: front, bits: 4}\n  - {name: front.convs.0, bits: 8}\n")
    assert source.override("graph.front.convs.0.bits", "16").data["graph"][1]["bits"] == 16
    assert source.override("graph.front.bits", "16").data["graph"][0]["bits"] == 16
    with pytest.raises(InputError, match=r"no 'graph.front.convs.1.bits'"):
        source.override("graph.front.convs.1.bits", "16")
