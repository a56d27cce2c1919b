"""Manifests: tables that list recordings and what is said in them, as tabs, commas or Parquet."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelsim import limits
from accelsim.data.dataset import Recording
from accelsim.data.files import file_size, read_lines
from accelsim.errors import InputError, Problem, nearest, show

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "audio"),
    "start": ("start",),
    "end": ("end",),
    "text": ("text", "sentence", "transcription"),
    "class": ("class", "label"),
    "phones": ("phones",),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "split": ("split",),
}
"""The columns that are read, each with its names: ours first, then those of Hugging Face and Common Voice."""
LABELS = ("text", "class", "phones")
LONGEST_S = 1e6
_AS_TEXT = "write it as a table with a header, in UTF-8"


@dataclass(frozen=True)
class Row:
    """One recording that a table lists, or a folder holds, or Python gives: where it is, and what is known of it.

    ``path``: of the file, or the name of what ``content`` (its bytes) or ``given`` holds; ``table`` and ``line``: the
    place of the row, for messages, the file itself where there is no table; ``start_s``, ``end_s``: the part that
    counts.
    """

    path: Path
    table: Path
    line: int | None = None
    name: str = ""
    start_s: float = 0.0
    end_s: float | None = None
    text: str | None = None
    label: str | None = None
    phones: tuple[str, ...] | None = None
    speaker: str = ""
    split: str = ""
    content: bytes | None = None
    given: Recording | None = None

    def problem(self, message: str, hint: str | None = None) -> Problem:
        """Return a problem of this recording at its place."""
        about = "" if self.path == self.table else f"{self.name if self.line is None else self.path.name}: "
        return Problem(about + message, self.table, self.line, hint)


def rows_of_file(path: Path, *, inside: bool = False) -> list[Row]:
    """Return the rows of a manifest, see `accelsim.data.recordings`; with ``inside`` all lie below its folder.

    Raises InputError with everything that is wrong with the table.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _rows_of_parquet(path)
    if suffix not in (".tsv", ".txt", ".csv"):
        message = f"a manifest is a file .tsv, .csv or .parquet, found {show(path.suffix or path.name)}"
        raise InputError.of(message, file=path)
    header, *lines = [*(_commas if suffix == ".csv" else _tabs)(path)] or [(1, [])]
    names = _names(path, header[1])
    if not lines:
        raise InputError.of("names no recording", file=path)
    limits.check("utterances", len(lines), file=path)
    rows, problems = [], []
    for line, cells in lines:
        try:
            if len(cells) != len(header[1]):
                raise ValueError(f"expected {len(header[1])} columns, found {len(cells)}")
            row = dict(zip(header[1], cells, strict=True))
            rows.append(_row(path, line, {column: row[name].strip() for column, name in names.items()}, inside))
        except ValueError as error:
            problems.append(Problem(str(error), path, line))
    if problems:
        raise InputError(problems)
    return rows


def _tabs(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a table with tabs and their cells; empty lines are no rows."""
    for number, line in enumerate(read_lines(path, _AS_TEXT), 1):
        if line:
            yield number, line.split("\t")


def _commas(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a table with commas and their cells; in quotes, a cell may have commas and line feeds."""
    reader = csv.reader([line + "\n" for line in read_lines(path, _AS_TEXT)], strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise InputError.of(f"not a table with commas: {error}", file=path, line=reader.line_num) from None


def _names(path: Path, header: Sequence[str]) -> dict[str, str]:
    """Return the name that each column of ours has in a header; raises InputError for one that is missing or twice."""
    problems, found = [], {}
    for column, names in COLUMNS.items():
        there = [name for name in header if name.strip().lower() in names]
        if len(there) > 1:
            problems.append(Problem(f"columns '{there[0]}' and '{there[1]}' are both '{column}'", path, 1))
        elif there:
            found[column] = there[0]
    others = [name for name in header if name not in found.values()]
    if "path" not in found:
        near = nearest("path", others)
        hint = f"did you mean '{near}'?" if near else f"found: {', '.join(header[:12])}"
        problems.append(Problem("no column 'path'", path, 1, hint))
    if not any(column in found for column in LABELS):
        for column in LABELS:
            if near := nearest(column, others):
                problems.append(Problem(f"no column '{column}'", path, 1, f"did you mean '{near}'?"))
    if problems:
        raise InputError(problems)
    return found


def _row(table: Path, line: int | None, values: Mapping[str, str], inside: bool) -> Row:
    """Return the row of a line; raises ValueError."""
    written = values["path"]
    if not written:
        raise ValueError("'path' is empty")
    if inside and (Path(written).is_absolute() or ".." in Path(written).parts):
        raise ValueError(f"{show(written)} leads out of this folder")
    start_s = _seconds("start", values.get("start", "")) or 0.0
    end_s = _seconds("end", values.get("end", ""))
    if end_s is not None and end_s <= start_s:
        raise ValueError(f"'end' {end_s:g} is not behind 'start' {start_s:g}")
    part = f"@{start_s:g}" if start_s or end_s is not None else ""
    phones = tuple(values.get("phones", "").split())
    return Row(
        path=table.parent / written,
        table=table,
        line=line,
        name=Path(written).stem + part,
        start_s=start_s,
        end_s=end_s,
        text=values.get("text") or None,
        label=values.get("class") or None,
        phones=phones or None,
        speaker=values.get("speaker", ""),
        split=values.get("split", ""),
    )


def _seconds(column: str, text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST_S:
        raise ValueError(f"'{column}': expected seconds, 0 or more, found {show(text)}")
    return seconds


def _rows_of_parquet(path: Path) -> list[Row]:
    """Return the rows of a Parquet file as Hugging Face's `datasets` writes it.

    Its column of audio has the bytes of each recording, or its path; numbers of a class have their names in the
    metadata of the file.
    """
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        hint = 'pip install "accelsim-speech[parquet]"'
        raise InputError.of("Parquet is read with pyarrow, which is not installed", file=path, hint=hint) from None
    file_size(path, "data_bytes", "no such manifest")
    try:
        with parquet.ParquetFile(path) as file:
            schema, info = file.schema_arrow, file.metadata
            limits.check("utterances", info.num_rows, file=path)
            size = sum(info.row_group(at).total_byte_size for at in range(info.num_row_groups))
            limits.check("data_bytes", size, "its columns", file=path)
            names = _names(path, schema.names)
            read = file.read(list(names.values())).to_pydict()
            classes = _class_names(schema.metadata, names.get("class"))
    except InputError:
        raise
    except Exception as error:  # whatever pyarrow makes of a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError.of(f"not a Parquet file: {reason}", file=path) from None
    cells: list[dict[str, Any]] = [
        {column: read[name][at] for column, name in names.items()} for at in range(info.num_rows)
    ]
    rows, problems = [], []
    for at, row in enumerate(cells):
        try:
            rows.append(_row_of_parquet(path, at, row, classes))
        except ValueError as error:
            problems.append(Problem(f"row {at}: {error}", path))
    if problems:
        raise InputError(problems)
    return rows


def _row_of_parquet(table: Path, at: int, cells: Mapping[str, Any], classes: Sequence[str]) -> Row:
    """Return the row of a Parquet file; raises ValueError."""
    audio = cells["path"]
    packed = audio if isinstance(audio, dict) else {"path": audio, "bytes": None}
    content, written = packed.get("bytes"), packed.get("path")
    if content is not None and not isinstance(content, bytes):
        raise ValueError("'audio': expected the bytes of a recording")
    values = {"path": str(written or ("packed" if content else ""))}
    for column in cells.keys() - {"path"}:
        value = cells[column]
        if column == "class" and classes and isinstance(value, int):
            if not 0 <= value < len(classes):
                raise ValueError(f"class {value} of {len(classes)}")
            value = classes[value]
        values[column] = " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    row = _row(table, None, values, inside=False)
    # What is packed has lost its folders, and many recordings have one name.
    return row if content is None else replace(row, name=f"{table.stem}-{at}", content=content)


def _class_names(metadata: Mapping[bytes, bytes] | None, column: str | None) -> list[str]:
    """Return the names of the classes that Hugging Face's metadata give a column of numbers; none where it has none."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
    except (KeyError, TypeError, ValueError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []
