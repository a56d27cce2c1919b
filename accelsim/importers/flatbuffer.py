"""Reading a flatbuffer of others: every offset and every length is checked before it is used.

A table begins with the distance back to its list of fields: the bytes of that list, the bytes of the table, and for
each field its place in the table, 0 where it is absent. What is no number stands elsewhere, at a distance from its
place in the table; vectors and texts begin with their length. All little-endian (FlatBuffers, "FlatBuffer internals").
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST_TEXT = 4096
MOST_ITEMS = 100_000


class DamagedError(ValueError):
    """A flatbuffer that leads out of itself, or has more in it than any network."""


@dataclass(frozen=True)
class Table:
    """A table of a flatbuffer. ``data``: the whole file; ``at``: where the table begins."""

    data: Any
    at: int

    @classmethod
    def root(cls, data: Any, identifier: bytes) -> Table:
        """Return the root of a flatbuffer; raises DamagedError for another identifier than expected."""
        if len(data) < 8 or bytes(data[4:8]) != identifier:
            raise DamagedError(f"no {identifier.decode()} file: its identifier is missing")
        return cls(data, _number(data, 0, "<I"))

    def scalar(self, field: int, kind: str, default: Any = 0) -> Any:
        """Return a number of a `struct` format, or its default."""
        place = self._place(field)
        return default if place is None else _number(self.data, place, f"<{kind}")

    def table(self, field: int) -> Table | None:
        """Return a table, or None where there is none."""
        place = self._place(field)
        return None if place is None else Table(self.data, _follow(self.data, place))

    def text(self, field: int) -> str:
        """Return a text, empty where there is none."""
        begin, length = self._vector(field, 1)
        if length > LONGEST_TEXT:
            raise DamagedError(f"a text of {length:,} bytes, at most {LONGEST_TEXT:,} are read")
        return bytes(self.data[begin : begin + length]).decode("utf-8", "replace")

    def numbers(self, field: int, kind: str, most: int = MOST_ITEMS) -> NDArray[Any]:
        """Return a vector of numbers of a NumPy type as it lies in the file, empty where there is none."""
        dtype = np.dtype(kind)
        begin, length = self._vector(field, dtype.itemsize)
        if length > most:
            raise DamagedError(f"a list of {length:,} numbers, at most {most:,} are read")
        return np.frombuffer(self.data, dtype, length, begin) if length else np.zeros(0, dtype)

    def tables(self, field: int, most: int = MOST_ITEMS) -> list[Table]:
        """Return a vector of tables."""
        begin, length = self._vector(field, 4)
        if length > most:
            raise DamagedError(f"a list of {length:,} entries, at most {most:,} are read")
        return [Table(self.data, _follow(self.data, begin + 4 * i)) for i in range(length)]

    def _vector(self, field: int, item: int) -> tuple[int, int]:
        """Return where the items of a vector begin, and how many they are; all lie in the file."""
        place = self._place(field)
        if place is None:
            return 0, 0
        begin = _follow(self.data, place)
        length = _number(self.data, begin, "<I")
        if begin + 4 + length * item > len(self.data):
            raise DamagedError(f"a list of {length:,} items at byte {begin:,} reaches beyond the end")
        return begin + 4, length

    def _place(self, field: int) -> int | None:
        """Return where a field lies, None where it is absent."""
        fields = self.at - _number(self.data, self.at, "<i")
        if fields < 0:
            raise DamagedError(f"the fields of the table at byte {self.at:,} lie before the beginning")
        slot = 4 + 2 * field
        if slot + 2 > _number(self.data, fields, "<H"):
            return None
        within = _number(self.data, fields + slot, "<H")
        return self.at + within if within else None


def _number(data: Any, at: int, kind: str) -> Any:
    if at < 0 or at + struct.calcsize(kind) > len(data):
        raise DamagedError(f"byte {at:,} lies beyond the end of {len(data):,} bytes")
    return struct.unpack_from(kind, data, at)[0]


def _follow(data: Any, place: int) -> int:
    return int(place + _number(data, place, "<I"))
