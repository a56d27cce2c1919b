"""Physical quantities: written with a unit in YAML, plain SI numbers inside.

Units are read by a small parser here, not by pint: importing pint and building its
registry takes about half a second, more than all the rest of a short run's start.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from accelsim.errors import InputError, nearest, show

_Dimension = tuple[int, int, int, int, int, int]  # powers of kg, m, s, A, K, bit

_PREFIXES = {
    "a": -18, "f": -15, "p": -12, "n": -9, "u": -6, "m": -3, "": 0,
    "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
_BINARY_PREFIXES = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}
_BIT: _Dimension = (0, 0, 0, 0, 0, 1)
_BASES: dict[str, tuple[Fraction | int, _Dimension]] = {
    "m": (1, (0, 1, 0, 0, 0, 0)),
    "s": (1, (0, 0, 1, 0, 0, 0)),
    "A": (1, (0, 0, 0, 1, 0, 0)),
    "K": (1, (0, 0, 0, 0, 1, 0)),
    "Hz": (1, (0, 0, -1, 0, 0, 0)),
    "J": (1, (1, 2, -2, 0, 0, 0)),
    "W": (1, (1, 2, -3, 0, 0, 0)),
    "V": (1, (1, 2, -3, -1, 0, 0)),
    "F": (1, (-1, -2, 4, 2, 0, 0)),
    "S": (1, (-1, -2, 3, 2, 0, 0)),
    "ohm": (1, (1, 2, -3, -2, 0, 0)),
    "Ohm": (1, (1, 2, -3, -2, 0, 0)),
    "b": (1, _BIT),
    "bit": (1, _BIT),
    "B": (8, _BIT),
}
_LONE: dict[str, tuple[Fraction | int, _Dimension]] = {
    "cm": (Fraction(1, 100), (0, 1, 0, 0, 0, 0)),
    "min": (60, (0, 0, 1, 0, 0, 0)),
    "h": (3600, (0, 0, 1, 0, 0, 0)),
    **dict.fromkeys(("day", "days"), (86_400, (0, 0, 1, 0, 0, 0))),
    **dict.fromkeys(("month", "months"), (30 * 86_400, (0, 0, 1, 0, 0, 0))),
    **dict.fromkeys(("year", "years"), (365 * 86_400, (0, 0, 1, 0, 0, 0))),
    "bits": (1, _BIT),
    "byte": (8, _BIT),
    "bytes": (8, _BIT),
}
_UNITS: dict[str, tuple[Fraction, _Dimension]] = {
    **{
        prefix + unit: (Fraction(10) ** power * scale, dimension)
        for unit, (scale, dimension) in _BASES.items()
        for prefix, power in _PREFIXES.items()
    },
    **{
        prefix + unit: (Fraction(2) ** power * _BASES[unit][0], _BIT)
        for unit in ("b", "bit", "B")
        for prefix, power in _BINARY_PREFIXES.items()
    },
    **{unit: (Fraction(scale), dimension) for unit, (scale, dimension) in _LONE.items()},
}
_CELSIUS = {"C", "degC", "°C", "celsius"}
_ZERO_CELSIUS = Fraction("273.15")
# Signs that look alike: the micro sign and mu, the ohm sign and omega, a minus sign.
_SAME_SIGN = str.maketrans(
    {"\u00b5": "u", "\u03bc": "u", "\u2126": "ohm", "\u03a9": "ohm", "\u2212": "-",
     "\u00b7": "*", "\u00b2": "^2", "\u00b3": "^3"}
)  # fmt: skip

_NUMBER = r"[-+]?(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?"
_QUANTITY = re.compile(rf"({_NUMBER})\s*(.*)")
_FACTOR = re.compile(r"\s*([/*]?)\s*([A-Za-z°%]+)(?:(?:\^|\*\*)?(-?[0-9]))?")
_LONGEST = 100


@dataclass(frozen=True)
class _Kind:
    """What a quantity measures, and how it is spoken of."""

    name: str
    article: str
    unit: str
    example: str
    dimension: _Dimension
    least: float
    """The smallest one there is, but for 0."""
    most: float
    lowest: int | None = None

    @property
    def phrase(self) -> str:
        return f"{self.article} {self.name} such as '{self.example}'"


def _kinds() -> dict[str, _Kind]:
    # What no chip, cell or wire has, with room of several powers of ten: products and ratios of a few of them, and sums
    # over all that 64 bits count, stay far within a double (1e-308 to 1e308).
    rows: list[tuple[str, str, str, float, float, int | None]] = [
        ("frequency", "Hz", "100 kHz", 1e-9, 1e15, None),  # once in 30 years; light
        ("voltage", "V", "0.9 V", 1e-12, 1e4, None),  # far below thermal noise; silicon carbide breaks down
        ("energy", "J", "1.2 pJ", 1e-30, 1e6, None),  # kT at 0.1 uK; a hundred watt for three hours
        ("power", "W", "71.2 uW", 1e-24, 1e9, None),  # an electron a day at 1 V; a power station
        ("area", "m2", "0.023 mm2", 1e-24, 1e2, None),  # a square picometre, atoms are 1e4 of them; 1,000 wafers
        ("time", "s", "16 ms", 1e-18, 1e12, None),  # light through an atom; 30,000 years
        ("length", "m", "65 nm", 1e-13, 1e4, None),  # a thousandth of an atom; wires beyond any board
        ("temperature", "K", "25 degC", 1e-9, 1e4, 0),  # colder than any cryostat; hotter than the sun's surface
        ("capacitance", "F", "10 fF", 1e-24, 1e4, None),  # a millionth of a transistor's gate; supercapacitors
        ("conductance", "S", "50 uS", 1e-21, 1e9, None),  # the inverses of resistances
        ("resistance", "ohm", "10 kohm", 1e-9, 1e21, None),  # a superconductor's joint; quartz
        ("current", "A", "10 uA", 1e-24, 1e6, None),  # an electron in two days; an aluminium smelter
        ("data size", "bit", "64 KiB", 1, 1e18, 0),  # a bit; more than a data centre, and still counted in 64 bits
        ("data rate", "bit/s", "12.8 GB/s", 1e-6, 1e18, None),  # a bit in 12 days; a thousand stacks of memory
        ("energy per bit", "J/bit", "4 pJ/bit", 1e-30, 1.0, None),  # as energies; a joule for a bit
        ("energy per bit and length", "J/bit/m", "0.08 pJ/bit/mm", 1e-30, 1e3, None),  # as energies; 1 J/bit/mm
        ("power per capacity", "W/bit", "0.45 uW/KiB", 1e-30, 1.0, None),  # 1 aW a Tbit; a watt for a bit
        ("area per capacity", "m2/bit", "0.3 um2/bit", 1e-24, 1.0, None),  # as areas; a square metre for a bit
    ]
    return {
        name: _Kind(name, "an" if name[0] in "ae" else "a", unit, example, _unit(unit)[1], least, most, lowest)
        for name, unit, example, least, most, lowest in rows
    }


class _Refused(ValueError):
    """A quantity that cannot be read: the message, and a hint that may help."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def _unit(text: str) -> tuple[Fraction, _Dimension]:
    """A unit such as `pJ/bit/mm` as a factor to SI and a dimension."""
    factor, dimension, position = Fraction(1), [0] * 6, 0
    while position < len(text):
        match = _FACTOR.match(text, position)
        if not match or (position == 0 and match[1]):
            raise _Refused(f"cannot read the unit '{text}'", "write for example 'pJ/bit/mm' or 'um2'")
        position = match.end()
        if match[2] not in _UNITS:
            raise _Refused(f"unknown unit '{match[2]}'", _unit_hint(match[2]))
        scale, powers = _UNITS[match[2]]
        exponent = int(match[3] or 1) * (-1 if match[1] == "/" else 1)
        factor *= scale**exponent
        dimension = [d + exponent * p for d, p in zip(dimension, powers, strict=True)]
    return factor, tuple(dimension)  # type: ignore[return-value]


def _unit_hint(unit: str) -> str | None:
    if unit in ("KB", "Kb", "Kbit"):
        rest = unit[1:]
        return f"write 'Ki{rest}' for 1024 or 'k{rest}' for 1000"
    if unit in _CELSIUS:
        return "degrees Celsius stand alone, as in '25 degC'"
    other_case = [known for known in _UNITS if known.lower() == unit.lower() and not _too_small(known)]
    if other_case:
        return f"did you mean {' or '.join(map(repr, other_case))}?"
    close = nearest(unit, [known for known in (*_UNITS, *_CELSIUS) if not _too_small(known)])
    return f"did you mean '{close}'?" if close else None


def _too_small(unit: str) -> bool:
    """Tell whether a unit is a part of a hertz or of a bit, which nobody means: mHz for MHz, mB for MB."""
    prefix, base = next(((unit[:1], base) for base in ("Hz", "bit", "B", "b") if unit[1:] == base), ("", ""))
    return bool(base) and _PREFIXES.get(prefix, 0) < 0


def _meant(text: str) -> str | None:
    """Return a hint for a quantity that is too small because its unit is: 'mHz' where 'MHz' was meant."""
    unit = next((word for word in re.findall("[A-Za-z]+", text) if word[0] == "m" and _too_small(word)), None)
    return f"did you mean 'M{unit[1:]}'?" if unit else None


_KINDS = _kinds()


def _convert(value: object, kind: _Kind) -> Fraction:
    """A written quantity in SI units; raises _Refused."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Refused(f"expected {kind.phrase}, found {show(value)}")
    shown = str(value).strip()
    if len(shown) > _LONGEST:
        raise _Refused(f"expected {kind.phrase}, found a text of {len(shown)} characters")
    match = _QUANTITY.fullmatch(shown.translate(_SAME_SIGN))
    if not match:
        raise _Refused(f"expected {kind.phrase}, found '{shown}'")
    unit = match[2]
    if not unit:
        raise _Refused(f"{shown} has no unit; write for example '{shown} {kind.example.split()[1]}'")
    number = Fraction(match[1].replace("_", ""))
    if unit in _CELSIUS:
        result, dimension = number + _ZERO_CELSIUS, _KINDS["temperature"].dimension
    else:
        try:
            factor, dimension = _unit(unit)
        except _Refused as error:
            raise _Refused(f"{error} in '{shown}', expected {kind.phrase}", error.hint) from None
        result = number * factor
    if dimension != kind.dimension:
        other = next((k for k in _KINDS.values() if k.dimension == dimension), None)
        named = f"is {other.article} {other.name}" if other else f"is in '{unit}'"
        raise _Refused(f"'{shown}' {named}, expected {kind.phrase}")
    if abs(result) > Fraction(10) ** 300:
        raise _Refused(f"'{shown}' is too large")
    if kind.lowest is not None and result < kind.lowest:
        limit = "0 K, absolute zero" if kind.name == "temperature" else str(kind.lowest)
        raise _Refused(f"must be at least {limit}, found '{shown}'")
    return result


@dataclass(frozen=True)
class Quantity:
    """A pydantic annotation: a float (or whole bits) read from a text with a unit."""

    kind: str
    above: float | None = None  # strictly
    at_least: float | None = None
    at_most: float | None = None

    def _limit(self, value: float) -> str:
        """Return a limit as it is told: 0 needs no unit."""
        return format_si(value, _KINDS[self.kind].unit) if value else "0"

    def read(self, value: object) -> float | int:
        """The SI value of a written quantity; raises PydanticCustomError for pydantic."""
        try:
            return self._read(value)
        except _Refused as error:
            context = {"message": str(error), "hint": error.hint}
            raise PydanticCustomError("quantity", "{message}", context) from None

    def _read(self, value: object) -> float | int:
        kind = _KINDS[self.kind]
        result = _convert(value, kind)
        if self.above is not None and not result > self.above:
            raise _Refused(f"must be greater than {self.above:g}, found '{value}'")
        if self.at_least is not None and not result >= self.at_least:
            raise _Refused(f"must be at least {self._limit(self.at_least)}, found '{value}'", _meant(str(value)))
        most = kind.most if self.at_most is None else self.at_most
        if not result <= most:
            raise _Refused(f"must be at most {self._limit(most)}, found '{value}'")
        if not result >= -kind.most:
            raise _Refused(f"must be at least {self._limit(-kind.most)}, found '{value}'")
        found = _number(result, value, kind)
        if result and abs(found) < kind.least:
            or_0 = "" if self.above is not None else "0 or "
            message = f"must be {or_0}at least {self._limit(kind.least)}, found '{value}'"
            raise _Refused(message, _meant(str(value)))
        return found

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        unit = _KINDS[self.kind].unit
        return core_schema.no_info_plain_validator_function(
            self.read,
            # JSON gets the unit back, so that a dumped model can be read again, bit for bit.
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: f"{value!r} {unit}", when_used="json-unless-none"
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        kind = _KINDS[self.kind]
        limit = ""
        if self.above is not None:
            limit = f", greater than {self.above:g}"
        if self.at_least is not None:
            limit = f", at least {self._limit(self.at_least)}"
        if self.at_most is not None:
            limit += f", at most {self._limit(self.at_most)}"
        return {
            "type": "string",
            "pattern": rf"^\s*{_NUMBER}\s*[A-Za-z\u00b0\u00b5\u03bc\u03a9\u2126].*$",
            "examples": [kind.example],
            "description": f"{kind.article.capitalize()} {kind.name} with its unit{limit}.",
        }


def _number(result: Fraction, value: object, kind: _Kind) -> float | int:
    """Return what a model holds of a quantity; ``value``: as it is written."""
    if kind.name != "data size":
        return float(result)
    if result.denominator != 1:
        raise _Refused(f"must be a whole number of bits, found '{value}'", _meant(str(value)))
    return int(result)


def parse_quantity(text: str, kind: str) -> float:
    """The SI value of a text such as '100 kHz', a `kind` such as 'frequency'; raises InputError."""
    try:
        return _number(_convert(text, _KINDS[kind]), text, _KINDS[kind])
    except _Refused as error:
        raise InputError.of(str(error), hint=error.hint) from None


def measured(text: str) -> tuple[float, str] | None:
    """Return the SI value and unit of a text such as '100 kHz', (64.0, "") of '64'; None where it is no number."""
    try:
        return float(text), ""
    except ValueError:
        pass
    for kind in _KINDS.values():
        try:
            return float(_number(_convert(text, kind), text, kind)), kind.unit
        except _Refused:
            continue
    return None


def largest(kind: str) -> float:
    """Return the largest quantity of a kind that a file may have, in SI units."""
    return _KINDS[kind].most


def format_si(value: float, unit: str, digits: int = 3) -> str:
    """A value in SI units for people to read: `format_si(71.2e-6, "W")` is '71.2 uW'."""
    if value == 0 or not math.isfinite(value):
        return f"{abs(value) if value == 0 else value:g} {unit}".strip()
    # The prefix belongs to the first unit, and is squared with it: 1 mm2 is 1e-6 m2.
    power = int(match[1]) if (match := re.match(r"[A-Za-z]+\^?([2-9])", unit)) else 1
    # Rounded first, since 999.96 uW is 1 mW to three digits, not 1000 uW.
    rounded = Decimal(f"{value:.{digits - 1}e}")
    step = rounded.adjusted() // (3 * power) * 3
    prefix = next((prefix for prefix, exponent in _PREFIXES.items() if exponent == step), None)
    if prefix is None:
        return f"{value:.{digits}g} {unit}".strip()
    number = f"{rounded.scaleb(-step * power):f}"
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number} {prefix}{unit}".strip()


def multiple_of(unit: str, value: float) -> tuple[float, str]:
    """Return the multiple of a unit in which a value is written, and its name: (1e-9, "nJ") of joules for 2.3e-8."""
    powers = sorted(_PREFIXES.items(), key=lambda prefix: prefix[1])
    prefix, power = next(((p, e) for p, e in reversed(powers) if abs(value) >= 10.0**e * 0.9995), powers[0])
    return (10.0**power, prefix + unit) if value else (1.0, unit)


PREFIXED = frozenset(("J", "W", "s", "B/s"))
"""Units whose figures are shown with a prefix, as 1.5 mJ; all others are shown as they are."""


def format_figure(value: float, unit: str) -> str:
    """A figure in its unit for a table: `format_figure(1.5e-3, "J")` is '1.5 mJ', (2.5, "mm2") is '2.5 mm2'."""
    return format_si(value, unit) if unit in PREFIXED else f"{value:.4g} {unit}".rstrip()


# Inside a model each of these is a plain number in the SI unit of its comment. A further
# limit goes on top: Annotated[Voltage, Gt(0.3)].
Frequency = Annotated[float, Quantity("frequency")]  # Hz
ClockFrequency = Annotated[float, Quantity("frequency", above=0, at_least=1.0)]  # Hz; a millihertz is no clock
FramePeriod = Annotated[float, Quantity("time", above=0, at_least=1e-12, at_most=3600.0)]  # s; whole picoseconds
Voltage = Annotated[float, Quantity("voltage")]  # V
Energy = Annotated[float, Quantity("energy")]  # J
Power = Annotated[float, Quantity("power")]  # W
Area = Annotated[float, Quantity("area")]  # m2
Time = Annotated[float, Quantity("time")]  # s
Length = Annotated[float, Quantity("length")]  # m
Temperature = Annotated[float, Quantity("temperature")]  # K
Capacitance = Annotated[float, Quantity("capacitance")]  # F
Conductance = Annotated[float, Quantity("conductance")]  # S
Resistance = Annotated[float, Quantity("resistance")]  # ohm
Current = Annotated[float, Quantity("current")]  # A
DataSize = Annotated[int, Quantity("data size")]  # whole bits
DataRate = Annotated[float, Quantity("data rate")]  # bit/s
EnergyPerBit = Annotated[float, Quantity("energy per bit")]  # J/bit
EnergyPerBitLength = Annotated[float, Quantity("energy per bit and length")]  # J/bit/m
PowerPerCapacity = Annotated[float, Quantity("power per capacity")]  # W/bit
AreaPerCapacity = Annotated[float, Quantity("area per capacity")]  # m2/bit

PositiveFrequency = Annotated[float, Quantity("frequency", above=0)]
PositiveVoltage = Annotated[float, Quantity("voltage", above=0)]
PositiveEnergy = Annotated[float, Quantity("energy", above=0)]
PositivePower = Annotated[float, Quantity("power", above=0)]
PositiveArea = Annotated[float, Quantity("area", above=0)]
PositiveTime = Annotated[float, Quantity("time", above=0)]
PositiveLength = Annotated[float, Quantity("length", above=0)]
PositiveCapacitance = Annotated[float, Quantity("capacitance", above=0)]
PositiveConductance = Annotated[float, Quantity("conductance", above=0)]
PositiveResistance = Annotated[float, Quantity("resistance", above=0)]
PositiveCurrent = Annotated[float, Quantity("current", above=0)]
PositiveDataSize = Annotated[int, Quantity("data size", above=0)]
PositiveDataRate = Annotated[float, Quantity("data rate", above=0)]
PositiveEnergyPerBit = Annotated[float, Quantity("energy per bit", above=0)]
PositiveEnergyPerBitLength = Annotated[float, Quantity("energy per bit and length", above=0)]
PositivePowerPerCapacity = Annotated[float, Quantity("power per capacity", above=0)]
PositiveAreaPerCapacity = Annotated[float, Quantity("area per capacity", above=0)]

NonNegativeFrequency = Annotated[float, Quantity("frequency", at_least=0)]
NonNegativeVoltage = Annotated[float, Quantity("voltage", at_least=0)]
NonNegativeEnergy = Annotated[float, Quantity("energy", at_least=0)]
NonNegativePower = Annotated[float, Quantity("power", at_least=0)]
NonNegativeArea = Annotated[float, Quantity("area", at_least=0)]
NonNegativeTime = Annotated[float, Quantity("time", at_least=0)]
NonNegativeLength = Annotated[float, Quantity("length", at_least=0)]
NonNegativeCapacitance = Annotated[float, Quantity("capacitance", at_least=0)]
NonNegativeConductance = Annotated[float, Quantity("conductance", at_least=0)]
NonNegativeResistance = Annotated[float, Quantity("resistance", at_least=0)]
NonNegativeCurrent = Annotated[float, Quantity("current", at_least=0)]
NonNegativeDataRate = Annotated[float, Quantity("data rate", at_least=0)]
NonNegativeEnergyPerBit = Annotated[float, Quantity("energy per bit", at_least=0)]
NonNegativeEnergyPerBitLength = Annotated[float, Quantity("energy per bit and length", at_least=0)]
NonNegativePowerPerCapacity = Annotated[float, Quantity("power per capacity", at_least=0)]
NonNegativeAreaPerCapacity = Annotated[float, Quantity("area per capacity", at_least=0)]
