"""The tables of wires: where they lie, and how a geometry's resistance is looked up in them."""

from __future__ import annotations

from pathlib import Path

from accelsim.errors import did_you_mean
from accelsim.library import folders
from accelsim.schema import Source, check_schema_tag, load_yaml, parse
from accelsim.schema.wires import WireTable


def load_wire_table(path: str | Path) -> WireTable:
    """Return the table of wires of a file; raises InputError with all its problems."""
    return parse_wire_table(load_yaml(Path(path)))


def parse_wire_table(source: Source) -> WireTable:
    """Return the table of a file of schema ``accelsim/wires@1``; raises InputError with all its problems."""
    check_schema_tag(source, "wires")
    return parse(WireTable, source)


def ohm_per_cell(geometry: str, node: float, temperature: float, beside: Path) -> tuple[float, Path]:
    """Return the resistance of a cell's length of wire in ohm, and the table that says so.

    geometry: a name of one of the tables in the folder ``wires`` of the folder ``beside``, else of the libraries; node
    in m; temperature in K. Raises InputError for a table with problems, ValueError for a geometry that none has or two
    of a folder have, and for a node beyond the table.
    """
    known: list[str] = []
    for shelf in (beside / "wires", *(folder / "arch" / "wires" for folder in folders())):
        tables = {file: load_wire_table(file) for file in sorted(shelf.glob("*.yaml"))}
        having = [file for file, table in tables.items() if geometry in table.geometries]
        if len(having) > 1:
            raise ValueError(f"two tables of wires have a geometry '{geometry}': {' and '.join(map(str, having))}")
        if having:
            return tables[having[0]].ohm(geometry, node, temperature), having[0]
        known += [name for table in tables.values() for name in table.geometries]
    hint = did_you_mean(geometry, dict.fromkeys(known))
    raise ValueError(f"no table of wires has a geometry '{geometry}'" + (f": {hint}" if hint else ""))
