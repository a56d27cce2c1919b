"""Our figures beside published ones, with their roles kept apart; and two chips beside each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from accelsim.architecture import load_architecture
from accelsim.errors import DataError, InputError, did_you_mean
from accelsim.explore.metrics import METRICS, Metric
from accelsim.library import find, names
from accelsim.pipeline import Progress, run, split_overrides
from accelsim.result import Record, Result
from accelsim.schema import check_schema_tag, load_yaml, parse
from accelsim.schema.paper import Figure, Paper

CHIP_METRICS = (
    "error_percent", "cycles_per_frame", "latency_p50_s", "latency_max_s", "real_time_factor", "energy_per_frame_j",
    "power_w", "area_mm2", "tops_per_w", "gops_per_mm2",
)  # fmt: skip

OnRun = Callable[[str, int, int], None]
"""Called with (name, done, total) before each run."""


@dataclass(frozen=True)
class Row:
    """One figure: stated, ours, their ratio, and whether a judged one holds (None: not judged)."""

    figure: Figure
    ours: float | None
    ratio: float | None
    holds: bool | None


@dataclass(frozen=True)
class Comparison:
    """All figures of a paper, and the Results that ours came from.

    ``missing``: why runs were left out, by name: their data is not on this machine. Their figures have no value.
    """

    paper: Paper
    rows: tuple[Row, ...]
    results: dict[str, Result]
    missing: dict[str, str]

    def holds(self) -> bool:
        """Tell whether every judged figure is within its bounds."""
        return all(row.holds is not False for row in self.rows)


@dataclass(frozen=True)
class ChipRow:
    """One figure of two chips, in its unit, and the second over the first; None where a chip has no such figure."""

    metric: Metric
    first: float | None
    second: float | None
    ratio: float | None


def load_paper(name: str | Path) -> Paper:
    """Read and check a file of published figures by name or path; raises InputError."""
    source = load_yaml(find(name, "arch/papers"))
    check_schema_tag(source, "paper")
    paper = parse(Paper, source)
    problems = []
    for index, figure in enumerate(paper.figures):
        for key, path in (("path", figure.path), ("per", figure.per)):
            wrong = _wrong_part(Result, path.split(".")) if path is not None else None
            if wrong is not None:
                part, known = wrong
                hint = did_you_mean(part, known) if known else None
                problems.append(source.problem(f"a result has no number at '{path}'", ("figures", index, key), hint))
    if problems:
        raise InputError(problems)
    return paper


def compare(
    name: str | Path, *, seed: int = 0, progress: Progress | None = None, on_run: OnRun | None = None
) -> Comparison:
    """Run what a paper's figures need, once each, and set ours beside them.

    ratio = ours / stated; a judged figure holds when |ratio - 1| <= tolerance, or 1 / factor <= ratio <= factor.
    Raises InputError.
    """
    paper = load_paper(name)
    needed = [r for r in paper.runs if any(r in (f.run, f.relative_to) for f in paper.figures)]
    results: dict[str, Result] = {}
    missing: dict[str, str] = {}
    for done, key in enumerate(needed):
        if on_run is not None:
            on_run(key, done, len(needed))
        spec = paper.runs[key]
        try:
            results[key] = run(
                paper.architecture,
                spec.workload,
                overrides=spec.set,
                seed=seed,
                command=f"compare {paper.name}",
                progress=progress,
            )
        except DataError as error:
            missing[key] = str(error)
    return Comparison(paper, tuple(_row(figure, results) for figure in paper.figures), results, missing)


def compare_all(
    *, seed: int = 0, progress: Progress | None = None, on_run: OnRun | None = None
) -> tuple[Comparison, ...]:
    """Compare with every paper of the library, in the order of their names; raises InputError."""
    return tuple(compare(name, seed=seed, progress=progress, on_run=on_run) for name in names("arch/papers"))


def compare_chips(
    first: str | Path,
    second: str | Path,
    workload: str | Path | None = None,
    *,
    overrides: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    on_run: OnRun | None = None,
) -> tuple[tuple[Result, Result], tuple[ChipRow, ...]]:
    """Run two chips, each with its own workload or both with the given one, and set their figures side by side.

    ``overrides`` hold for both. Figures that neither chip has are left out. Raises InputError.
    """
    for chip in (first, second):  # a mistake in the second file is told before the first one runs
        load_architecture(chip, split_overrides(overrides or {})[0])
    results = []
    for done, chip in enumerate((first, second)):
        if on_run is not None:
            on_run(str(chip), done, 2)
        results.append(run(chip, workload, overrides=overrides, seed=seed, command="compare", progress=progress))
    rows = [_chip_row(METRICS[name], results[0], results[1]) for name in CHIP_METRICS]
    return (results[0], results[1]), tuple(row for row in rows if (row.first, row.second) != (None, None))


def value_at(result: Result, path: str) -> float | None:
    """Return the number at a dotted path of a Result, None where it is absent; raises InputError on a wrong path.

    Parts of a path are keys of records, or names of the records in a list: ``components.adc.area_mm2``.
    """
    data: object = result.model_dump()
    for part in path.split("."):
        if isinstance(data, list):
            data = {item["name"]: item for item in data}
        if data is None:
            return None
        if not isinstance(data, dict) or part not in data:
            raise InputError.of(f"a result has no '{path}'")
        data = data[part]
    return None if data is None else float(data)  # type: ignore[arg-type]


def _wrong_part(annotation: Any, path: list[str]) -> tuple[str, list[str]] | None:
    """Return the first part of a path that a record cannot have and what it could be, None when it ends at a number.

    Names within lists and mappings depend on the run, so any will do.
    """
    inner = [a for a in get_args(annotation) if a is not type(None)]
    if get_origin(annotation) in (Union, UnionType):
        return _wrong_part(inner[0], path)
    if not path:
        return None if annotation in (int, float) else ("", [])
    if get_origin(annotation) in (list, dict):
        return _wrong_part(inner[-1], path[1:])
    fields = annotation.model_fields if isinstance(annotation, type) and issubclass(annotation, Record) else {}
    if path[0] not in fields:
        return path[0], list(fields)
    return _wrong_part(fields[path[0]].annotation, path[1:])


def _chip_row(metric: Metric, first: Result, second: Result) -> ChipRow:
    ours, theirs = metric.of(first), metric.of(second)
    return ChipRow(metric, ours, theirs, theirs / ours if ours and theirs is not None else None)


def _row(figure: Figure, results: dict[str, Result]) -> Row:
    if not {figure.run, figure.relative_to or figure.run} <= results.keys():
        return Row(figure, None, None, None)
    ours = value_at(results[figure.run], figure.path)
    base: float | None = 1.0
    if figure.relative_to is not None:
        base = value_at(results[figure.relative_to], figure.path)
    elif figure.per is not None:
        base = value_at(results[figure.run], figure.per)
    if ours is None or not base:
        return Row(figure, None, None, False if figure.judged() else None)
    ours *= figure.scale / base
    ratio = ours / figure.value
    return Row(figure, ours, ratio, figure.holds(ratio))
