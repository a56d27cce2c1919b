"""Our figures beside published ones, with their roles kept apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from accelsim.errors import InputError
from accelsim.library import find
from accelsim.pipeline import Progress, run
from accelsim.result import Result
from accelsim.schema import check_schema_tag, load_yaml, parse
from accelsim.schema.paper import Figure, Paper


@dataclass(frozen=True)
class Row:
    """One figure: stated, ours, their ratio, and whether a judged one holds (None: not judged)."""

    figure: Figure
    ours: float | None
    ratio: float | None
    holds: bool | None


@dataclass(frozen=True)
class Comparison:
    """All figures of a paper, and the Results that ours came from."""

    paper: Paper
    rows: tuple[Row, ...]
    results: dict[str, Result]

    def holds(self) -> bool:
        """Tell whether every judged figure is within its tolerance."""
        return all(row.holds is not False for row in self.rows)


def load_paper(name: str | Path) -> Paper:
    """Read and check a file of published figures by name or path; raises InputError."""
    source = load_yaml(find(name, "arch/papers"))
    check_schema_tag(source, "paper")
    return parse(Paper, source)


def compare(
    name: str | Path,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    on_run: Callable[[str, int, int], None] | None = None,
) -> Comparison:
    """Run what a paper's figures need, once each, and set ours beside them.

    ratio = ours / stated; a predicted figure with a tolerance holds when |ratio - 1| <= tolerance.
    ``on_run``: called with (name, done, total) before each run. Raises InputError.
    """
    paper = load_paper(name)
    needed = [r for r in paper.runs if any(r in (f.run, f.relative_to) for f in paper.figures)]
    results = {}
    for done, key in enumerate(needed):
        if on_run is not None:
            on_run(key, done, len(needed))
        spec = paper.runs[key]
        results[key] = run(
            paper.architecture,
            spec.workload,
            overrides=spec.set,
            seed=seed,
            command=f"compare {paper.name}",
            progress=progress,
        )
    return Comparison(paper, tuple(_row(figure, results) for figure in paper.figures), results)


def value_at(result: Result, path: str) -> float | None:
    """Return the number at a dotted path of a Result, None where it is absent; raises InputError on a wrong path."""
    data: object = result.model_dump()
    for part in path.split("."):
        if data is None:
            return None
        if not isinstance(data, dict) or part not in data:
            raise InputError.of(f"a result has no '{path}'")
        data = data[part]
    return None if data is None else float(data)  # type: ignore[arg-type]


def _row(figure: Figure, results: dict[str, Result]) -> Row:
    ours = value_at(results[figure.run], figure.path)
    if figure.relative_to is not None and ours is not None:
        base = value_at(results[figure.relative_to], figure.path)
        ours = ours / base if base else None
    if ours is None:
        return Row(figure, None, None, False if figure.tolerance is not None else None)
    ours *= figure.scale
    ratio = ours / figure.value
    holds = abs(ratio - 1) <= figure.tolerance if figure.tolerance is not None else None
    return Row(figure, ours, ratio, holds)
