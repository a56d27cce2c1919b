"""`accelsim.compare`: chips beside each other, or our figures beside a paper's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from accelsim.api import frames
from accelsim.api.notebook import shown
from accelsim.api.results import Result
from accelsim.architecture import AnyArchitecture
from accelsim.errors import InputError
from accelsim.explore import comparison as explored
from accelsim.explore.comparison import ChipRow, Comparison
from accelsim.pipeline import Progress
from accelsim.schema import Overrides, format_figure
from accelsim.workload import AnyWorkload

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, repr=False)
class ChipComparison:
    """Figures of two or more chips side by side: their results, and a row for each figure.

    >>> chips = accelsim.compare("rsnn28nm", "rsnn28nm", workload="rsnn_paper_activity",
    ...                          overrides={"workload.inputs.frames": 20})
    >>> float(chips.to_frame().loc["power_w", "ratio 2"])
    1.0
    """

    results: tuple[Result, ...]
    rows: tuple[ChipRow, ...]

    def names(self) -> list[str]:
        """Return the names of the chips, with a number where two are called alike."""
        chips = [result.arch.name for result in self.results]
        return [f"{name} ({i})" if chips.count(name) > 1 else name for i, name in enumerate(chips, 1)]

    def __repr__(self) -> str:
        return f"<ChipComparison of {', '.join(self.names())}: {len(self.rows)} figures>"

    def to_frame(self) -> pandas.DataFrame:
        """Return a row for each figure: its unit, the value of each chip, and the ratio of each further one to the
        first, with the ends of its 95 % interval. Raises InputError where pandas is not installed.
        """
        names = self.names()
        rows = [
            {"figure": row.metric.name, "unit": row.metric.unit}
            | dict(zip(names, row.values, strict=True))
            | {f"ratio {i}": ratio for i, ratio in enumerate(row.ratios, 2)}
            | {
                f"ratio {i} {end}": at
                for i, ends in enumerate(row.ratio_intervals, 2)
                for end, at in zip(("low", "high"), ends or (None, None), strict=True)
            }
            for row in self.rows
        ]
        return frames.frame(rows, "figure")

    def _repr_html_(self) -> str:
        from accelsim.report.notebook import table_html

        def text(row: ChipRow, value: float | None) -> str:
            return "-" if value is None else format_figure(value, row.metric.unit)

        ratios = [f"{name} / first" for name in self.names()[1:]]
        rows = [
            [row.metric.short, *(text(row, value) for value in row.values)]
            + ["-" if ratio is None else f"{ratio:.3g}" for ratio in row.ratios]
            for row in self.rows
        ]
        return table_html("chips side by side", ["figure", *self.names(), *ratios], rows)


@overload
def compare(paper: str, /, *, seed: int = 0, progress: Progress | bool | None = None) -> Comparison: ...


@overload
def compare(
    first: AnyArchitecture,
    second: AnyArchitecture,
    /,
    *more: AnyArchitecture,
    workload: AnyWorkload | None = None,
    overrides: Overrides | None = None,
    seed: int = 0,
    progress: Progress | bool | None = None,
) -> ChipComparison: ...


def compare(
    *what: AnyArchitecture,
    workload: AnyWorkload | None = None,
    overrides: Overrides | None = None,
    seed: int = 0,
    progress: Progress | bool | None = None,
) -> ChipComparison | Comparison:
    """Set two or more chips side by side, or our figures beside those of one paper.

    Chips are named, or given, as for `run`, and run with ``workload``, by default each with its own; ``overrides`` hold
    for all that have what they name. A paper is a name of the library or a path, and names its own runs. Raises
    InputError for mistakes in any of the files before the first chip runs.

    >>> accelsim.compare("rsnn28nm", "rsnn28nm", workload="rsnn_paper_activity",
    ...                  overrides={"workload.inputs.frames": 20})
    <ChipComparison of rsnn28nm (1), rsnn28nm (2): ... figures>
    """
    with shown(progress) as tell:
        if len(what) == 1:
            (paper,) = what
            if not isinstance(paper, str) or workload is not None or overrides:
                raise InputError.of("a paper is named alone: it names its own chip, workload and settings")
            return explored.compare(paper, seed=seed, progress=tell)
        results, rows = explored.compare_chips(what, workload, overrides=overrides, seed=seed, progress=tell)
    return ChipComparison(tuple(map(Result.of, results)), rows)
