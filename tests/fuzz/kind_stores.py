"""A results.sqlite that somebody else wrote: its report, and a sweep or a search that is to go on with it."""

from __future__ import annotations

import io
import json
import random
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import damaged_json
from harness import Case
from kind_records import check_page
from kind_tables import COMPARE, FILES, study_store
from pages import full_run, small_sweep

_SWEEP = [
    "sweep", "rsnn28nm", "-w", "rsnn_paper_activity", "-s", "workload.inputs.frames=1", "-s",
    "clocks.main.frequency=100 kHz,200 kHz", "--objectives", "energy,power", "-o", "out",
]  # fmt: skip
_SEARCH = ["search", *_SWEEP[1:-2], "--trials", "2", "-o", "out"]
_CELLS = (
    None, 0, -1, 1, 7, 10**18, -(2**63), 2**63 - 1, 1e308, -1e308, 5e-324, float("inf"), -float("inf"), "", "x", "1",
    "done", "failed", b"", b"\x00\xff", "NaN", "a\x00b", "x" * 30_000, "null", "[]", "{}", "{", "[1]", '{"a": 1}',
    "\"\\ud800\"", "{\"a\": \"\\ud800\"}", "9" * 5000, "[" * 30_000, '["energy_j"]', '["area<=2 mm2"]', '["area<=nan"]',
    '["energy_j", "energy_j"]', '[{"a": ["b"]}]',
)  # fmt: skip
_VIEWS = (
    "SELECT * FROM old",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS point, i AS key, i AS value FROM n",
    "SELECT zeroblob(2000000000) AS point, zeroblob(2000000000) AS value, 'schema' AS key",
    "SELECT 1 AS point",
)


@cache
def _sweep() -> bytes:
    """Return a store of a sweep of four points, all of them done."""
    from accelsim.cli import app

    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        app([*_SWEEP[:-1], folder], standalone_mode=False)
        return _content(Path(folder))


@cache
def _searched() -> Mapping[str, bytes]:
    """Return what a search of two points leaves: its store, and what Optuna keeps."""
    from accelsim.cli import app

    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        app([*_SEARCH[:-1], folder], standalone_mode=False)
        study = (Path(folder) / "study.sqlite").read_bytes()
        return {"out/results.sqlite": _content(Path(folder)), "out/study.sqlite": study}


@cache
def _example() -> bytes:
    """Return a store of seven configurations, one of which failed."""
    with tempfile.TemporaryDirectory() as folder:
        return _content(small_sweep(Path(folder) / "sweep", full_run()))


def _content(folder: Path) -> bytes:
    with closing(sqlite3.connect(folder / "results.sqlite")) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return (folder / "results.sqlite").read_bytes()


def _tables(at: sqlite3.Connection) -> list[str]:
    """Return the tables of a database: ours, or those of Optuna."""
    return [name for (name,) in at.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]


def _cell(rng: random.Random, at: sqlite3.Connection) -> None:
    table = rng.choice(_tables(at))
    column = rng.choice([row[1] for row in at.execute(f"PRAGMA table_info({table})")])
    where = "" if rng.random() < 0.5 else f" WHERE rowid = {rng.randrange(1, 9)}"
    at.execute(f'UPDATE OR REPLACE {table} SET "{column}" = ?{where}', [rng.choice(_CELLS)])


def _metric(rng: random.Random, at: sqlite3.Connection) -> None:
    from accelsim.explore.metrics import METRICS

    where = "" if rng.random() < 0.5 else f" WHERE rowid = {rng.randrange(1, 9)}"
    for name in rng.sample(sorted(METRICS), rng.randrange(1, 6)):
        at.execute(f'UPDATE points SET "{name}" = ?{where}', [rng.choice(_CELLS[:13])])


def _invalid_text(rng: random.Random, at: sqlite3.Connection) -> None:
    table = rng.choice(_tables(at))
    column = rng.choice([row[1] for row in at.execute(f"PRAGMA table_info({table})")])
    at.execute(f"UPDATE OR REPLACE {table} SET \"{column}\" = CAST(x'41ff42' AS TEXT)")


def _json_cell(rng: random.Random, at: sqlite3.Connection) -> None:
    """Damage JSON within a cell: a result, the keys of a point, what was asked for."""
    table, column = rng.choice((("points", "result_json"), ("points", "keys"), ("meta", "value"), ("meta", "value")))
    rows = at.execute(f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
    if rows:
        row, text = rng.choice(rows)
        try:
            data = {"a": json.loads(text)}
        except (ValueError, TypeError):
            return
        data = damaged_json.damaged(rng, data)
        new = damaged_json.text_of(data.get("a") if isinstance(data, dict) else data)
        at.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", [new.encode("utf-8", "replace").decode(), row])


def _meta(rng: random.Random, at: sqlite3.Connection) -> None:
    keys = [key for (key,) in at.execute("SELECT key FROM meta")]
    if keys:
        key = rng.choice(keys)
        if rng.random() < 0.3:
            at.execute("DELETE FROM meta WHERE key = ?", [key])
        else:
            at.execute("UPDATE meta SET value = ? WHERE key = ?", [rng.choice(_CELLS), key])


def _rows(rng: random.Random, at: sqlite3.Connection) -> None:
    table = rng.choice(_tables(at))
    if rng.random() < 0.7:
        at.execute(f"DELETE FROM {table} WHERE random() % 3 = 0 OR {rng.randrange(3)} = 0")
    elif table == "points":
        columns = [row[1] for row in at.execute("PRAGMA table_info(points)") if row[1] != "point"]
        listed = ", ".join(f'"{name}"' for name in columns)
        at.execute(f"INSERT INTO points ({listed}) SELECT {listed} FROM points")


def _schema(rng: random.Random, at: sqlite3.Connection) -> None:
    table = rng.choice(_tables(at))
    column = rng.choice([row[1] for row in at.execute(f"PRAGMA table_info({table})")])
    rng.choice(
        (
            lambda: at.execute(f"DROP TABLE {table}"),
            lambda: at.execute(f'ALTER TABLE {table} RENAME COLUMN "{column}" TO other'),
            lambda: at.execute(f'ALTER TABLE {table} DROP COLUMN "{column}"'),
            lambda: at.execute(f'ALTER TABLE {table} ADD COLUMN "more ""{rng.random()}" TEXT DEFAULT 3'),
            lambda: at.execute(f"ALTER TABLE {table} ADD COLUMN made TEXT AS (hex(zeroblob(100000000)))"),
            lambda: at.executescript(f"ALTER TABLE {table} RENAME TO old; CREATE VIEW {table} AS {rng.choice(_VIEWS)}"),
            lambda: at.executescript(
                f"CREATE TRIGGER t AFTER INSERT ON {table} BEGIN "
                f"INSERT INTO {table}({column}) SELECT {column} FROM {table}; DELETE FROM meta; END"
            ),
            lambda: at.executescript(
                f"CREATE TABLE new AS SELECT * FROM {table}; DROP TABLE {table}; ALTER TABLE new RENAME TO {table}"
            ),
            lambda: at.execute(f'CREATE INDEX i ON {table} ("{column}")'),
            lambda: at.execute(f"CREATE VIEW mine AS SELECT * FROM {table}"),
            lambda: at.executescript(f"DROP TABLE {table}; CREATE VIRTUAL TABLE {table} USING fts5(point, key, value)"),
        )
    )()


_CHANGES: tuple[Callable[[random.Random, sqlite3.Connection], None], ...] = (
    _cell, _cell, _metric, _metric, _metric, _invalid_text, _json_cell, _json_cell, _json_cell, _meta, _rows, _schema,
)  # fmt: skip


def _damaged(rng: random.Random, content: bytes) -> bytes:
    if rng.random() < 0.15:
        return damaged_json.spoilt(rng, content)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.deserialize(content)
        connection.create_function("random", 0, lambda: rng.randrange(1 << 30))
        for _ in range(rng.choice((1, 1, 2, 4))):
            try:
                rng.choice(_CHANGES)(rng, connection)
            except (sqlite3.Error, IndexError):
                continue  # what an earlier change left does not take this one
        return connection.serialize()


class Stores:
    name = "stores"
    weight = 1.0
    check = staticmethod(check_page)

    @property
    def warm(self) -> tuple[Case, ...]:
        store = {"run/results.sqlite": _example()}
        report = ["report", "run", "--out", "out", "--format"]
        return (
            Case(store, [*report, "html"]), Case(store, [*report, "svg"]), Case({}, _SWEEP),
            Case({"out/results.sqlite": _sweep()}, [*_SWEEP, "--resume"]), Case(_searched(), [*_SEARCH, "--resume"]),
        )  # fmt: skip

    def case(self, rng: random.Random) -> Case:
        draw = rng.random()
        if draw < 0.65:
            files = {"run/results.sqlite": _damaged(rng, _example())}
            if rng.random() < 0.05:
                files |= {"run/results.sqlite-wal": bytes(rng.randrange(256) for _ in range(5000))}
            formats = "svg" if rng.random() < 0.1 else "html"
            # SQLite makes files of its own beside the one that it reads.
            return Case(files, ["report", "run", "--out", "out", "--format", formats], may_write=("out", "run"))
        if draw < 0.7:
            files = FILES | {"studies/small/results.sqlite": _damaged(rng, study_store())}
            return Case(files, COMPARE, may_write=("out", "studies"))
        if draw < 0.76:
            files = dict(_searched())
            for name in rng.choice((list(files), [rng.choice(list(files))])):
                files[name] = _damaged(rng, files[name])
            return Case(files, [*_SEARCH, "--resume"])
        more = rng.choice(([], [], ["--export", "csv"], ["--table", "out/a.csv"]))
        return Case({"out/results.sqlite": _damaged(rng, _sweep())}, [*_SWEEP, "--resume", *more])


KIND = Stores()
