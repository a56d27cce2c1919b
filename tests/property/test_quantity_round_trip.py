"""Quantities: what is printed reads back, and no text breaks the reader."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import InputError
from accelsim.schema import format_si, parse_quantity
from accelsim.schema.quantity import _KINDS, _PREFIXES

FLOAT_KINDS = [kind for kind in _KINDS if kind not in ("data size", "temperature")]
NUMBERS = st.floats(min_value=1e-60, max_value=1e60) | st.floats(min_value=-1e60, max_value=-1e-60) | st.just(0.0)


@given(st.sampled_from(FLOAT_KINDS), NUMBERS)
def test_printed_in_full_reads_back_exactly(kind, value):
    assert parse_quantity(format_si(value, _KINDS[kind].unit, digits=17), kind) == value


@given(st.sampled_from(FLOAT_KINDS), NUMBERS, st.integers(1, 12))
def test_printed_to_some_digits_reads_back_to_as_many(kind, value, digits):
    read = parse_quantity(format_si(value, _KINDS[kind].unit, digits), kind)
    assert math.isclose(read, value, rel_tol=0.51 * 10.0 ** (1 - digits))


@given(st.sampled_from(FLOAT_KINDS), st.floats(min_value=1e-15, max_value=1e15), st.integers(1, 6))
def test_a_prefix_leaves_a_number_that_is_easy_to_read(kind, value, digits):
    unit = _KINDS[kind].unit
    number = float(format_si(value, unit, digits).split()[0])
    assert 1 <= number < (1e6 if unit.startswith("m2") else 1e3)


@given(st.decimals(-(10**6), 10**6, places=6), st.sampled_from(list(_PREFIXES)), st.sampled_from(["", " ", "  "]))
def test_a_prefix_is_a_power_of_ten(number, prefix, space):
    exact = Fraction(number) * Fraction(10) ** _PREFIXES[prefix]
    assert parse_quantity(f"{number}{space}{prefix}V", "voltage") == float(exact)


@given(st.integers(0, 2**60), st.sampled_from([("b", 1), ("B", 8), ("KiB", 8192), ("kbit", 1000), ("MiB", 1 << 23)]))
def test_sizes_are_exact(count, unit):
    bits = parse_quantity(f"{count} {unit[0]}", "data size")
    assert bits == count * unit[1]
    assert type(bits) is int


PIECES = st.sampled_from(
    ["1", ".5", "-", "1e", "e9", "9" * 50, " ", "/", "*", "^", "-1", "2", "k", "m", "u", "Ki", "W", "bit", "B", "J",
     "C", "°C", "µ", "Ω", "²", "_", "{", "}", "%", "\n", "\0", "٣", "E9"]
)  # fmt: skip


@given(st.one_of(st.lists(PIECES, max_size=10).map("".join), st.text()), st.sampled_from(list(_KINDS)))
def test_any_text_is_a_number_or_refused(text, kind):
    try:
        value = parse_quantity(text, kind)
    except InputError as error:
        assert str(error)
    else:
        assert math.isfinite(value)


def test_every_kind_is_told_apart():
    for kind in _KINDS.values():
        for other in _KINDS.values():
            if other is not kind:
                with pytest.raises(InputError, match=f"is an? {other.name}, expected an? {kind.name} such as"):
                    parse_quantity(other.example, kind.name)
