"""Quantities: every spelling of a unit, and what a wrong one is told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Annotated

import pytest
from annotated_types import Gt, Le
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from accelsim.architecture import load_architecture
from accelsim.errors import InputError
from accelsim.schema import (
    DataSize,
    Model,
    NonNegativePower,
    PositiveFrequency,
    Temperature,
    Voltage,
    format_figure,
    format_si,
    json_schema,
    parse_quantity,
)
from accelsim.schema.quantity import _KINDS, Quantity, measured, multiple_of


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("100 kHz", "frequency", 100e3), ("100kHz", "frequency", 100e3), ("5 s^-1", "frequency", 5.0),
        ("0.9 V", "voltage", 0.9), ("-.5V", "voltage", -0.5), ("900 mV", "voltage", 0.9),
        ("1.2 pJ", "energy", 1.2e-12), ("20.5 uW/MHz", "energy", 20.5e-12), ("2 nW*s", "energy", 2e-9),
        ("2 nW s", "energy", 2e-9), ("71.2 uW", "power", 71.2e-6), ("71.2 \u00b5W", "power", 71.2e-6),
        ("71.2 \u03bcW", "power", 71.2e-6), ("1e-9 W", "power", 1e-9), ("1_000 W", "power", 1000.0),
        ("3 um2", "area", 3e-12), ("3 um^2", "area", 3e-12), ("3 mm**2", "area", 3e-6), ("3 mm\u00b2", "area", 3e-6),
        ("1 cm2", "area", 1e-4), ("16 ms", "time", 0.016), ("2 min", "time", 120.0), ("1 h", "time", 3600.0),
        ("28 nm", "length", 28e-9), ("25 degC", "temperature", 298.15), ("25 C", "temperature", 298.15),
        ("-40 \u00b0C", "temperature", 233.15), ("300 K", "temperature", 300.0), ("10 fF", "capacitance", 1e-14),
        ("50 uS", "conductance", 50e-6), ("10 kohm", "resistance", 1e4), ("3 k\u03a9", "resistance", 3e3),
        ("3 M\u2126", "resistance", 3e6), ("10 uA", "current", 1e-5),
        ("0.08 pJ/bit/mm", "energy per bit and length", 8e-11), ("4 pJ/bit", "energy per bit", 4e-12),
        ("0.45 uW/KiB", "power per capacity", 0.45e-6 / 8192), ("0.3 um2/bit", "area per capacity", 3e-13),
        ("48 B", "data size", 384), ("64 KiB", "data size", 524288), ("512 b", "data size", 512),
        ("512 bits", "data size", 512), ("1 kB", "data size", 8000), ("2 Mibit", "data size", 2 << 20),
        ("12.8 GB/s", "data rate", 102.4e9),
    ],
)  # fmt: skip
def test_si_value(text, kind, expected):
    assert parse_quantity(text, kind) == expected


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("0.9", "voltage", r"^0.9 has no unit; write for example '0.9 V'$"),
        ("100 kHz", "voltage", r"^'100 kHz' is a frequency, expected a voltage such as '0.9 V'$"),
        ("100 Herz", "frequency", r"unknown unit 'Herz' in '100 Herz'.*\(did you mean 'Hz'\?\)$"),
        ("64 KB", "data size", r"write 'KiB' for 1024 or 'kB' for 1000"),
        ("5 C/W", "temperature", r"degrees Celsius stand alone"),
        ("25 C", "voltage", r"is a temperature, expected a voltage"),
        ("1 J W", "energy", r"'1 J W' is in 'J W', expected an energy"),
        ("abc", "area", r"^expected an area such as '0.023 mm2', found 'abc'$"),
        ("", "area", r"expected an area"),
        ("5 J/", "energy", r"cannot read the unit 'J/'"),
        ("5 /s", "frequency", r"cannot read the unit '/s'"),
        ("1 J" + "J" * 200, "energy", r"found a text of 203 characters"),
        ("-300 degC", "temperature", r"must be at least 0 K, absolute zero, found '-300 degC'"),
        ("0.3 b", "data size", r"must be a whole number of bits, found '0.3 b'"),
        ("-1 B", "data size", r"must be at least 0, found '-1 B'"),
        ("1e999 V", "voltage", r"'1e999 V' is too large"),
        ("nan V", "voltage", r"expected a voltage"),
    ],
)
def test_refused(text, kind, message):
    with pytest.raises(InputError) as caught:
        parse_quantity(text, kind)
    assert re.search(message, str(caught.value))


class Chip(Model):
    clock: PositiveFrequency
    vdd: Annotated[Voltage, Gt(0.3), Le(1.2)] = 0.9
    leakage: NonNegativePower = 0.0
    at: Temperature = 298.15
    memory: DataSize | None = None


def test_limits():
    assert Chip(clock="1 Hz", leakage="0 W").leakage == 0
    for bad, message in [
        ({"clock": "0 Hz"}, "must be greater than 0, found '0 Hz'"),
        ({"clock": "-1 Hz"}, "must be greater than 0, found '-1 Hz'"),
        ({"clock": 5.0}, "5.0 has no unit; write for example '5.0 kHz'"),
        ({"clock": True}, "expected a frequency such as '100 kHz', found true"),
        ({"clock": None}, "expected a frequency such as '100 kHz', found nothing"),
        ({"clock": [1]}, "expected a frequency such as '100 kHz', found a list"),
        ({"clock": "{message}"}, "found '{message}'"),
        ({"clock": "1 Hz", "leakage": "-1 W"}, "must be at least 0, found '-1 W'"),
        ({"clock": "1 Hz", "vdd": "0.3 V"}, "greater than 0.3"),
        ({"clock": "1 Hz", "vdd": "1.3 V"}, "less than or equal to 1.2"),
    ]:
        with pytest.raises(ValidationError, match=re.escape(message)):
            Chip(**bad)


def test_a_dumped_model_can_be_read_again():
    chip = Chip(clock="100.1 kHz", vdd="0.7 V", leakage="0.1 uW", at="25.3 degC", memory="3 KiB")
    text = json.dumps(chip.model_dump(mode="json"))
    assert '"100100.0 Hz"' in text
    assert Chip(**json.loads(text)) == chip
    assert type(chip.memory) is int


def test_json_schema():
    properties = json_schema(Chip)["properties"]
    assert properties["clock"]["type"] == "string"
    assert "greater than 0" in properties["clock"]["description"]
    pattern = re.compile(properties["clock"]["pattern"])
    for kind in _KINDS.values():
        assert pattern.match(kind.example)
        parse_quantity(kind.example, kind.name)
    assert not pattern.match("0.9")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (71.2e-6, "W", "71.2 uW"), (999.96e-6, "W", "1 mW"), (0, "W", "0 W"), (-0.0, "W", "0 W"), (-3e-3, "V", "-3 mV"),
        (100e3, "Hz", "100 kHz"), (2.3e-8, "m2", "23000 um2"), (8e-11, "J/bit/m", "80 pJ/bit/m"),
        (1e-30, "W", "1e-30 W"), (1.5, "", "1.5"), (float("nan"), "W", "nan W"), (float("inf"), "W", "inf W"),
        (123456, "J", "123 kJ"),
    ],
)  # fmt: skip
def test_format_si(value, unit, text):
    assert format_si(value, unit) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1.5e-3, "J", "1.5 mJ"), (223e6, "B/s", "223 MB/s"), (2.5, "mm2", "2.5 mm2"), (0.04047, "", "0.04047")],
)
def test_format_figure(value, unit, text):
    assert format_figure(value, unit) == text


def test_format_si_digits():
    assert format_si(71.23456e-6, "W", digits=5) == "71.235 uW"


def test_no_unit_library_is_loaded():
    code = "import sys, accelsim.schema; print('pint' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("100 mhz", r"unknown unit 'mhz' in '100 mhz', .* \(did you mean 'MHz'\?\)"),
        ("100 Mhz", r"did you mean 'MHz'\?"),
        ("100 MHZ", r"did you mean 'MHz'\?"),
        ("100 mHz", r"must be at least 1 Hz, found '100 mHz' \(did you mean 'MHz'\?\)"),
        ("1e-300 Hz", r"must be at least 1 Hz, found '1e-300 Hz'$"),
        ("0 Hz", r"must be greater than 0, found '0 Hz'"),
    ],
)
def test_a_millihertz_is_no_clock(text, message):
    with pytest.raises(InputError) as caught:
        load_architecture("rsnn28nm", {"clocks.main.frequency": text})
    assert re.search(message, str(caught.value)), caught.value


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("900 mv", "voltage", r"did you mean 'mV' or 'MV'\?"),
        ("5 kw", "power", r"did you mean 'kW'\?"),
        ("64 kib", "data size", r"did you mean 'kbit'|'Kib' or 'KiB'"),
        ("8.5 mB", "data size", r"must be a whole number of bits, found '8.5 mB' \(did you mean 'MB'\?\)"),
    ],
)
def test_a_hint_is_what_is_meant(text, kind, message):
    with pytest.raises(InputError) as caught:
        parse_quantity(text, kind)
    assert re.search(message, str(caught.value)), caught.value


@pytest.mark.parametrize(
    ("period", "message"), [("1e-13 s", "must be at least 1 ps"), ("10 Ms", "must be at most 3.6 ks, found '10 Ms'")]
)
def test_a_frame_period_has_ends(period, message):
    with pytest.raises(InputError, match=message):
        load_architecture("rsnn28nm", {"pacing.frame_period": period})


EVERY_KIND = [pytest.param(kind, id=name) for name, kind in _KINDS.items()]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_what_no_chip_has_is_refused(kind):
    """Of every kind, on both sides: products and quotients of what is left stay numbers."""
    read = Quantity(kind.name).read
    for sign in (1,) if kind.lowest == 0 else (1, -1):
        assert read(f"{sign * kind.most!r} {kind.unit}") == sign * kind.most
        assert read(f"{sign * kind.least!r} {kind.unit}") == sign * kind.least
        with pytest.raises(PydanticCustomError, match=r"must be at (most|least) "):
            read(f"{sign * 2 * kind.most!r} {kind.unit}")
        if kind.name != "data size":
            for tiny in (0.999 * kind.least, 5e-324):
                with pytest.raises(PydanticCustomError, match="must be 0 or at least "):
                    read(f"{sign * tiny!r} {kind.unit}")
    assert read(f"0 {kind.unit}") == 0
    assert 1e-30 <= kind.least < kind.most <= 1e30


def test_a_limit_of_a_field_is_told_first():
    with pytest.raises(PydanticCustomError, match=r"must be at most 3\.6 ks, found"):
        Quantity("time", above=0, at_most=3600.0).read("1e20 s")
    with pytest.raises(PydanticCustomError, match="must be at least 1 as, found"):
        Quantity("time", above=0).read("1e-300 s")


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [("J", 2.3e-8, (1e-9, "nJ")), ("W", 1.5, (1.0, "W")), ("s", 0.99996e-3, (1e-3, "ms")), ("J", 0.0, (1.0, "J")),
     ("Hz", -2e6, (1e6, "MHz")), ("J", 1e-25, (1e-18, "aJ"))],
)  # fmt: skip
def test_the_multiple_of_a_unit_in_which_a_value_is_written(unit, value, expected):
    scale, name = multiple_of(unit, value)
    assert (scale, name) == (pytest.approx(expected[0]), expected[1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("100 kHz", (1e5, "Hz")), ("64", (64.0, "")), ("8 W/bit", (8.0, "W/bit")), ("5 uS", (5e-6, "S")), ("linear", None),
     ("64 KiB", (524288.0, "bit")), ("25 degC", (298.15, "K")), ("", None)],
)  # fmt: skip
def test_what_a_text_measures(text, expected):
    found = measured(text)
    assert found == (expected if expected is None else (pytest.approx(expected[0]), expected[1]))
