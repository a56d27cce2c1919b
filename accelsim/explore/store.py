"""The results of a sweep or a search: one SQLite file, in which every finished point is durable at once.

``DIR/results.sqlite`` (WAL mode) holds four tables:

``points``      one row per point.
                ``point`` INTEGER PRIMARY KEY; ``configuration`` INTEGER: points that differ in their seed alone share
                it; ``seed`` INTEGER; ``keys`` TEXT: JSON object, swept key -> value as text, in the order of the axes;
                ``status`` TEXT: ``done`` or ``failed``; ``error`` TEXT: why it failed, else NULL;
                one REAL column per metric of `accelsim.explore.metrics.METRICS` (NULL where it does not apply);
                ``result_json`` TEXT: the whole `accelsim.Result`, NULL for a failed point;
                ``allowed`` INTEGER: 1 where the point keeps all constraints, 0 where it breaks one, NULL where there
                are none, and where it failed.
``layers``      ``point``, ``position`` (in the order of the schedule), ``layer``, ``cycles``, ``macs_dense``,
                ``macs_performed``, ``sparsity``, ``saturations``, ``adc_conversions``, ``adc_clipped``, ``energy_j``.
``components``  ``point``, ``position``, ``component``, ``kind``, ``busy_cycles``, ``wait_input_cycles``,
                ``wait_output_cycles``, ``idle_cycles``, ``dynamic_j``, ``clock_j``, ``leakage_j``, ``area_mm2``,
                ``actions`` (JSON object, action -> count), ``standby_j``, ``wake_j``.
``meta``        ``key`` TEXT PRIMARY KEY, ``value`` TEXT (JSON): ``schema`` = "accelsim/store@1"; ``kind`` = "sweep" or
                "search"; ``architecture`` and ``workload`` = {name, sha256} of the files without overrides;
                ``plugins`` = {file: sha256} of those given by --plugin; ``set`` = {key: value} fixed for all points;
                ``axes`` = [{key: what was asked for}]; ``swept`` = [keys that vary]; ``method`` = "grid", "random",
                "lhs", "tpe" or "nsga2"; ``points`` = how many configurations were asked for; ``seed``, ``seeds``;
                ``objectives`` = [names of metrics] (for the Pareto front); ``constraints`` = [text]; ``accelsim`` =
                version; ``command`` = what began it.

Columns are only ever added; a store made before reads as if they held NULL.

No time and no random number is stored, so that a sweep that was killed and resumed equals an undisturbed one.
"""

from __future__ import annotations

import csv
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Json, TypeAdapter, ValidationError

from accelsim import limits
from accelsim.errors import AccelsimError, InputError, Problem, show
from accelsim.explore.intervals import Heard
from accelsim.explore.metrics import METRICS, read_constraints
from accelsim.explore.space import Point
from accelsim.result import Identity, Result, UtteranceRecord, check_writable, problems_of
from accelsim.text import csv_row

FILE = "results.sqlite"
SCHEMA = "accelsim/store@1"
TABLES = ("points", "layers", "components")
_NEWEST = 1

_LAYER = (
    "cycles",
    "macs_dense",
    "macs_performed",
    "sparsity",
    "saturations",
    "adc_conversions",
    "adc_clipped",
    "energy_j",
)
_COMPONENT = ("busy_cycles", "wait_input_cycles", "wait_output_cycles", "idle_cycles")
_COSTS = ("dynamic_j", "clock_j", "leakage_j", "area_mm2")

_COLUMNS = {
    "points": {
        "point": "INTEGER PRIMARY KEY", "configuration": "INTEGER", "seed": "INTEGER", "keys": "TEXT", "status": "TEXT",
        "error": "TEXT", **dict.fromkeys(METRICS, "REAL"), "result_json": "TEXT", "allowed": "INTEGER",
    },
    "layers": {
        "point": "INTEGER", "position": "INTEGER", "layer": "TEXT", **dict.fromkeys(_LAYER, "INTEGER"),
        "sparsity": "REAL", "energy_j": "REAL",
    },
    "components": {
        "point": "INTEGER", "position": "INTEGER", "component": "TEXT", "kind": "TEXT",
        **dict.fromkeys(_COMPONENT, "INTEGER"), **dict.fromkeys(_COSTS, "REAL"), "actions": "TEXT",
        "standby_j": "REAL", "wake_j": "REAL",
    },
    "meta": {"key": "TEXT PRIMARY KEY", "value": "TEXT"},
}  # fmt: skip
_NEEDED = {
    "points": ("point", "configuration", "seed", "keys", "status", "error", "result_json"),
    "layers": ("point", "position"),
    "components": ("point", "position"),
    "meta": ("key", "value"),
}
"""Columns without which a table is none of ours; a store of before may lack others."""
_OF_THE_MACHINE = frozenset(
    {
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL,
    }
)  # fmt: skip
"""Primary codes of errors that are not the file's."""


def _known(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"no metric named '{name}'")
    return name


class Meta(BaseModel):
    """What the table ``meta`` says of a sweep or search; keys that a later accelsim adds are kept."""

    model_config = ConfigDict(extra="allow", strict=True)

    kind: Literal["sweep", "search"]
    architecture: Identity
    workload: Identity
    plugins: dict[str, str] = {}
    set: dict[str, str] = {}
    axes: list[dict[str, str | list[str]]]
    swept: list[str]
    method: str
    points: int | None = None
    seed: int
    seeds: Annotated[int, Field(ge=1)] = 1
    objectives: list[Annotated[str, AfterValidator(_known)]]
    constraints: list[str] = []
    accelsim: str = ""
    command: str = ""


class PointRow(BaseModel):
    """A row of the table ``points`` without its metrics and its result."""

    model_config = ConfigDict(strict=True)

    point: Annotated[int, Field(ge=0)]
    configuration: int
    seed: int
    keys: Json[dict[str, str]]
    status: Literal["done", "failed"]
    error: str | None
    allowed: Literal[0, 1] | None = None


class _Accuracy(BaseModel):
    """What of the accuracy of a result tells which utterances went wrong."""

    dataset: str
    counted: str
    per_utterance: UtteranceRecord | None = None


_ROWS: TypeAdapter[list[PointRow]] = TypeAdapter(list[PointRow])
_META_ROWS: TypeAdapter[list[tuple[str, Any]]] = TypeAdapter(
    list[tuple[str, Json[Any]]], config=ConfigDict(strict=True)
)
_KINDS: dict[str, tuple[type, ...]] = {
    "INTEGER": (int, type(None)), "REAL": (float, type(None)), "TEXT": (str, type(None))
}  # fmt: skip
_METRIC: TypeAdapter[list[dict[str, float | None]]] = TypeAdapter(
    list[dict[str, float | None]], config=ConfigDict(strict=True)
)


@dataclass(frozen=True)
class Outcome:
    """What came of a point: its result, or why there is none."""

    point: Point
    result: Result | None
    error: str | None = None


@dataclass(frozen=True)
class Configuration:
    """The points that differ in their seed alone: what they set, and their metrics' mean, lowest and highest value.

    ``points``: their numbers; ``errors``: why some failed. A metric that does not apply is missing.
    """

    number: int
    keys: Mapping[str, str]
    points: tuple[int, ...]
    errors: tuple[str, ...]
    mean: Mapping[str, float]
    lowest: Mapping[str, float]
    highest: Mapping[str, float]


class Store:
    """The results of a sweep or search in a folder: written by one process, read by any number at the same time."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._connection = connection

    @classmethod
    def create(cls, folder: Path, meta: Mapping[str, Any]) -> Store:
        """Begin a store in a folder; raises InputError where one is, or where it cannot be written."""
        check_writable(folder)
        path = folder / FILE
        hint = "go on with --resume, or choose another folder"
        there = InputError.of(f"{path} holds results already", hint=hint)
        if cls.begun(folder):
            raise there
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError.of(f"cannot write to the output folder {folder}: {error.strerror}") from None
        store = cls(folder, _connect(path, new=True))
        with store._transaction():
            if store._read("SELECT name FROM sqlite_master"):  # another writer has been faster
                raise there
            for table, columns in _COLUMNS.items():
                listed = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
                key = "" if table in ("points", "meta") else ", PRIMARY KEY (point, position)"
                store._connection.execute(f"CREATE TABLE {table} ({listed}{key})")
            for key, value in {"schema": SCHEMA, **meta}.items():
                store._insert("meta", [key, json.dumps(value)])
        return store

    @classmethod
    def begun(cls, folder: Path) -> bool:
        """Tell whether a folder holds a store, or anything else of its name; one killed at its birth has no tables."""
        path = folder / FILE
        if not os.path.isfile(path):
            return False
        store = cls(folder, _connect(path))
        tables = store._read("SELECT name FROM sqlite_master")
        store.close()
        return bool(tables)

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open the store in a folder; raises InputError where there is none, or one that this accelsim cannot read."""
        path = folder / FILE
        if not os.path.isfile(path):
            raise InputError.of(
                f"no results in {folder}", hint=f"a folder that `accelsim sweep --out` made has a {FILE}"
            )
        store = cls(folder, _connect(path))
        try:
            store._check_tables()
            (schema,) = [value for key, value in store._meta_rows() if key == "schema"] or [None]
            version = str(schema).removeprefix("accelsim/store@") if isinstance(schema, str) else ""
            if not (version.isascii() and version.isdigit()):
                raise InputError.of(f"not a store of accelsim: its schema is {show(schema)}", file=path)
            if len(version) > 9 or int(version) > _NEWEST:
                message = f"newer than this accelsim, which reads {SCHEMA!r}: found {show(schema)}"
                raise InputError.of(message, file=path, hint="update accelsim")
        except BaseException:
            store.close()
            raise
        return store

    def meta(self) -> dict[str, Any]:
        """Return what the sweep or search was asked for, see `Meta`; raises InputError where a key is wrong."""
        found = {key: value for key, value in self._meta_rows() if key != "schema"}
        try:
            meta = Meta.model_validate(found)
            read_constraints(meta.constraints)
        except ValidationError as error:
            raise InputError(problems_of(error, "meta", str(self._path))) from None
        except InputError as error:
            raise InputError(Problem(p.message, self._path, hint=p.hint) for p in error.problems) from None
        return meta.model_dump()

    def add(self, outcome: Outcome) -> None:
        """Write a finished point with its layers and components, all or nothing, and wait until it is on the disk.

        A point that is there already is replaced. Raises AccelsimError when the disk is full.
        """
        point, result = outcome.point, outcome.result
        with self._transaction():
            for table in TABLES:
                self._connection.execute(f"DELETE FROM {table} WHERE point = ?", [point.number])
            status = "failed" if result is None else "done"
            metrics = [None if result is None else _number(metric.of(result)) for metric in METRICS.values()]
            text = None if result is None else result.model_dump_json(by_alias=True)
            keys = json.dumps(dict(point.keys))
            row = [point.number, point.configuration, point.seed, keys, status, outcome.error, *metrics, text]
            row.append(None if result is None else self._allowed(result))
            self._insert("points", row)
            for position, layer in enumerate(result.layers if result else ()):
                adc = (layer.adc.conversions, layer.adc.clipped) if layer.adc else (None, None)
                values = layer.model_dump() | {"adc_conversions": adc[0], "adc_clipped": adc[1]}
                self._insert("layers", [point.number, position, layer.name, *(values[name] for name in _LAYER)])
            for position, part in enumerate(result.components if result else ()):
                cycles = [getattr(part, name) for name in _COMPONENT]
                energy = part.energy_j
                costs = [energy.dynamic, energy.clock, energy.leakage, part.area_mm2]
                listed = [point.number, position, part.name, part.kind, *cycles, *costs, json.dumps(part.actions)]
                self._insert("components", [*listed, energy.standby, energy.wake])

    def done(self) -> set[int]:
        """Return the numbers of the points that have a result."""
        return {number for (number,) in self._read("SELECT point FROM points WHERE status = 'done'")}

    def points(self) -> list[dict[str, Any]]:
        """Return the rows of all points in order, without their whole results; ``keys`` as a dict.

        Raises InputError where one is no point.
        """
        ((count,),) = self._read("SELECT count(*) FROM points")
        limits.check("points", count, file=self._path)
        columns = [name for name in self._columns("points") if name != "result_json"]
        rows = self._read(f"SELECT {_listed(columns)} FROM points ORDER BY point")
        found = [dict(zip(columns, row, strict=True)) for row in rows]
        try:
            points = _ROWS.validate_python(found)
            metrics = _METRIC.validate_python([{name: row.get(name) for name in METRICS} for row in found])
        except ValidationError as error:
            raise InputError(problems_of(error, "points, row", str(self._path))) from None
        return [{**vars(point), **of_point} for point, of_point in zip(points, metrics, strict=True)]

    def result(self, point: int) -> Result | None:
        """Return the whole result of a point, None where it failed or is not there."""
        for (text,) in self._read("SELECT result_json FROM points WHERE point = ?", point):
            if text is None:
                return None
            if not isinstance(text, str):
                raise InputError.of(f"points: the result of point {point} is no text", file=self._path)
            return Result.from_json(text, str(self._path))
        return None

    def heard(self) -> dict[int, Heard]:
        """Return what was counted in each utterance, by point, of those whose result has it and is not damaged.

        Raises InputError where it is not what a result holds.
        """
        record = "CASE WHEN json_valid(result_json) THEN json_extract(result_json, '$.accuracy') END"
        found = {}
        for point, text in self._read(f"SELECT point, {record} FROM points WHERE status = 'done' ORDER BY point"):
            if text is None:
                continue
            try:
                accuracy = _Accuracy.model_validate_json(text)
            except ValidationError as error:
                what = f"points: the result of point {show(point)}: accuracy"
                raise InputError(problems_of(error, what, str(self._path))) from None
            if (counted := accuracy.per_utterance) is not None:
                errors = tuple(tuple(of_run) for of_run in counted.errors)
                found[point] = Heard(accuracy.dataset, accuracy.counted, tuple(counted.lengths), errors)
        return found

    def configurations(self) -> list[Configuration]:
        """Return the configurations in order, with the metrics of their seeds put together."""
        groups: dict[int, list[dict[str, Any]]] = {}
        for row in self.points():
            groups.setdefault(row["configuration"], []).append(row)
        return [_configuration(number, rows) for number, rows in sorted(groups.items())]

    def export_csv(self) -> list[Path]:
        """Write points.csv, layers.csv and components.csv into the folder, one column for each swept key."""
        paths = []
        for table in TABLES:
            columns, rows = self._table(table)
            paths.append(self.folder / f"{table}.csv")
            with _written(paths[-1]) as temporary, temporary.open("x", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerows(map(csv_row, [columns, *rows]))
        return paths

    def export_parquet(self) -> list[Path]:
        """Write the same tables as Parquet files, with DuckDB; raises InputError where that is not installed."""
        try:
            import duckdb
        except ImportError:
            raise InputError.of("Parquet needs DuckDB", hint="pip install 'accelsim-speech[explore]'") from None
        paths = []
        for table, source in zip(TABLES, self.export_csv(), strict=True):
            kinds = {"INTEGER": "BIGINT", "REAL": "DOUBLE", "TEXT": "VARCHAR"}
            known = {name: kinds[kind.split()[0]] for name, kind in _COLUMNS[table].items()}
            types = {name: known.get(name, "VARCHAR") for name in self._table(table)[0]}
            paths.append(source.with_suffix(".parquet"))
            with _written(paths[-1]) as temporary, duckdb.connect() as connection:
                # In SQL: the Python method read_csv knows `columns` only since DuckDB 1.1.
                query = "SELECT * FROM read_csv($path, header = true, columns = $types)"
                try:
                    read = connection.sql(query, params={"path": str(source), "types": types})
                    read.write_parquet(str(temporary))
                except duckdb.Error as error:  # a full disk, for example
                    raise AccelsimError(f"cannot write {paths[-1]}: {error}") from None
        return paths

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _table(self, table: str) -> tuple[list[str], list[list[Any]]]:
        """Return a table for export: its columns, those of the swept keys included, and its rows in order."""
        stored = [name for name in self._columns(table) if name not in ("keys", "result_json")]
        keys = {row["point"]: row["keys"] for row in self.points()}
        swept = list(dict.fromkeys(key for settings in keys.values() for key in settings))
        rows = self._read(f"SELECT {_listed(stored)} FROM {table} ORDER BY {_listed(stored[:2])}")
        kinds = [_KINDS[_COLUMNS[table][name].split()[0]] for name in stored]
        for row in rows:
            wrong = [name for name, kind, value in zip(stored, kinds, row, strict=True) if not isinstance(value, kind)]
            if row[0] not in keys or wrong:
                what = f"no '{wrong[0]}'" if row[0] in keys else "of no point"
                raise InputError.of(f"{table}: a row of point {show(row[0])} is {what}", file=self._path)
        wide = [[row[0], *(keys[row[0]].get(key) for key in swept), *row[1:]] for row in rows]
        return [stored[0], *swept, *stored[1:]], wide

    @property
    def _path(self) -> Path:
        return self.folder / FILE

    def _check_tables(self) -> None:
        """Raise InputError where the database does not have our tables, or does something on its own."""
        kinds = {
            name: "virtual table" if sql and sql.upper().startswith("CREATE VIRTUAL") else kind
            for kind, name, sql in self._read("SELECT type, name, sql FROM sqlite_master WHERE type != 'index'")
        }
        problems = []
        for table, needed in _NEEDED.items():
            if (kind := kinds.get(table)) != "table":
                problems.append(f"no table '{table}'" if kind is None else f"'{table}' is a {kind}")
            else:
                there = self._columns(table)
                problems += [f"table '{table}' has no column '{name}'" for name in needed if name not in there]
        # It would be run with every point that is written.
        problems += [f"a trigger, {show(name)}" for name, kind in kinds.items() if kind == "trigger"]
        if problems:
            raise InputError(Problem(f"not a store of accelsim: {problem}", self._path) for problem in problems)

    def _meta_rows(self) -> list[tuple[str, Any]]:
        """Return the keys of the table ``meta`` with their values, which are JSON."""
        rows = self._read("SELECT key, value FROM meta ORDER BY rowid")
        try:
            return [(key, value) for key, value in _META_ROWS.validate_python(rows)]
        except ValidationError as error:
            raise InputError(problems_of(error, "meta, row", str(self._path))) from None

    def _columns(self, table: str) -> list[str]:
        """Return those columns of a table that this store has."""
        there = {row[1] for row in self._read(f"PRAGMA table_info({table})")}
        return [name for name in _COLUMNS[table] if name in there]

    def _allowed(self, result: Result) -> bool | None:
        """Return whether a result keeps the constraints, None where there are none."""
        limits = read_constraints(self.meta().get("constraints", []))
        values = {limit.metric.name: limit.metric.of(result) for limit in limits}
        return all(limit.keeps(values) for limit in limits) if limits else None

    def _insert(self, table: str, values: list[Any]) -> None:
        row = dict(zip(_COLUMNS[table], values, strict=True))
        columns = self._columns(table)
        marks = ", ".join("?" * len(columns))
        there = [row[name] for name in columns]
        self._connection.execute(f"INSERT INTO {table} ({_listed(columns)}) VALUES ({marks})", there)

    def _read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _unreadable(self._path, error) from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                yield
        except sqlite3.Error as error:
            kept = "every point that was written stays; make room and go on with --resume"
            raise AccelsimError(f"cannot write {self.folder / FILE}: {error}; {kept}") from None


def _connect(path: Path, new: bool = False) -> sqlite3.Connection:
    """Open a database; raises InputError where it is none. Nothing in it is trusted, and its cells are bounded."""
    try:
        connection = sqlite3.connect(path, timeout=60, isolation_level=None)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(limits.current().record_bytes, 2**31 - 1))
        connection.execute("PRAGMA trusted_schema = OFF")
        if new:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.DatabaseError as error:
        raise InputError.of(f"cannot open {path}: {error}") from None
    return connection


def _unreadable(path: Path, error: Exception) -> AccelsimError:
    """Return what to raise where a database cannot be read: the file's fault, or that of the machine."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_MACHINE:
        return AccelsimError(f"cannot read {path}: {error}")
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_TOOBIG:
        message, hint = limits.over("record_bytes")
        return InputError.of(f"a cell is {message}", file=path, hint=hint)
    return InputError.of(f"cannot be read: {error}", file=path)


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to, and rename it to ``path`` when all is written."""
    temporary = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise AccelsimError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _configuration(number: int, rows: list[dict[str, Any]]) -> Configuration:
    values = {name: [row[name] for row in rows if row[name] is not None] for name in METRICS}
    known = {name: numbers for name, numbers in values.items() if numbers}
    return Configuration(
        number,
        rows[0]["keys"],
        tuple(row["point"] for row in rows),
        tuple(row["error"] for row in rows if row["error"] is not None),
        {name: sum(numbers) / len(numbers) for name, numbers in known.items()},
        {name: min(numbers) for name, numbers in known.items()},
        {name: max(numbers) for name, numbers in known.items()},
    )


def _listed(columns: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
