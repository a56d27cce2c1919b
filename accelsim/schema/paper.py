"""The grammar of published figures and of what they are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from accelsim.errors import did_you_mean
from accelsim.schema.names import Label, Name
from accelsim.schema.parse import Model

Role = Literal["input", "calibrated", "predicted", "bookkeeping"]
JUDGED = ("predicted", "bookkeeping")
NO_EFFECT = 1.0
"""Ratio of a figure to that of another run where nothing differs."""


class PaperRun(Model):
    """One run that a comparison needs: a workload, and the keys of chip or workload that differ from their files."""

    workload: str
    set: dict[str, str] = {}


class StudyRun(Model):
    """One configuration of a study: a sweep file of arch/sweeps, and as many of its keys as tell which one.

    ``point``: key -> value, both as the sweep file writes them. The study's runs of all its seeds count.
    """

    study: str
    point: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _nothing_else(cls, data: Any) -> Any:
        unknown = [key for key in data if key not in cls.model_fields] if isinstance(data, dict) else []
        if unknown:
            raise ValueError(
                f"a run of a study has the keys 'study' and 'point' alone, found '{unknown[0]}': "
                "the sweep file says which workload is run, and with what settings"
            )
        return data

    def name(self) -> str:
        """Return the study's name, that of its folder too."""
        return Path(self.study).stem

    def file(self) -> str:
        """Return the path of its sweep file, for a person to read."""
        return f"arch/sweeps/{self.study}.yaml" if self.study == self.name() else self.study


def _kind_of_run(data: Any) -> str:
    of_study = "study" in data if isinstance(data, dict) else isinstance(data, StudyRun)
    return "run of a study" if of_study else "run of a workload"


AnyRun = Annotated[
    Annotated[PaperRun, Tag("run of a workload")] | Annotated[StudyRun, Tag("run of a study")],
    Discriminator(_kind_of_run),
]


class Figure(Model):
    """One published figure and where ours comes from.

    Ours is ``scale`` times the value at ``path`` in the Result of ``run``, divided by the value at ``per``, or its
    ratio to the same value of the run ``relative_to``. Of a study's run it is the mean over all seeds, and relative to
    another one the ratio of the means.

    A path goes through records by key and through lists by name: ``components.adc.energy_j.dynamic``. A name may hold
    dots, the longest that fits wins: ``layers.blocks.0.attention.linear_pos.adc.clipped``. It may be a pattern, where *
    stands for any text with or without dots: ``layers.*.linear_pos.adc.clipped`` is the sum over all that match.

    ``role``: ``input`` (we were given it), ``calibrated`` (a number of ours was fitted to it), ``predicted``, or
    ``bookkeeping`` (the parts are the paper's own, our sum of them is checked: no evidence for the parts). Predicted
    figures are judged by the interval of ours: over the ranges of prices and assumed sizes, or over utterances and
    programmings, or between the values of the runs ``between``, which have assumed sizes at their ends. Bookkeeping
    figures, and predicted ones that are exact counts, have bounds instead, with their reason in ``note``: a
    ``tolerance``, the largest relative deviation, or a ``factor``, the largest ratio either way: 1 / factor <= ours /
    stated <= factor. ``rival``: the value that the figure has to be told from; that of no effect, 1, where it is a
    ratio to another run, unless the paper has 1 itself. ``short``: how the table of a run shows the figure beside its
    own, where chip, workload and settings are those of ``run``.
    """

    name: Label
    value: float
    unit: str
    tag: Literal["stated", "derived"]
    role: Role
    run: str
    path: str
    scale: Annotated[float, Field(gt=0)] = 1.0
    per: str | None = None
    relative_to: str | None = None
    tolerance: Annotated[float, Field(gt=0)] | None = None
    factor: Annotated[float, Field(gt=1)] | None = None
    rival: float | None = None
    between: tuple[str, str] | None = None
    short: str | None = None
    note: str = ""

    @model_validator(mode="after")
    def _judged_only_if_predicted(self) -> Figure:
        if self.judged() and self.role not in JUDGED:
            raise ValueError(f"only a predicted figure can be judged: no tolerance for one that is {self.role}")
        if self.tolerance is not None and self.factor is not None:
            raise ValueError("expected either a tolerance or a factor, found both")
        if self.judged() and (self.rival is not None or self.between):
            raise ValueError("a figure with bounds of its own is judged by them: leave 'rival' and 'between' out")
        if self.role == "bookkeeping" and not self.judged():
            raise ValueError("bookkeeping needs a tolerance or a factor")
        if self.rival is not None and self.rival == self.value:
            raise ValueError("expected a rival other than the value")
        if self.short is not None and (self.per or self.relative_to):
            raise ValueError("no run shows a ratio beside its own figures: leave 'short' out")
        return self

    def against(self) -> float | None:
        """Return the value that the figure has to be told from, None where there is none."""
        if self.rival is not None or self.relative_to is None or self.value == NO_EFFECT:
            return self.rival
        return NO_EFFECT

    def runs(self) -> list[str]:
        """Return the names of the runs that the figure needs."""
        return [name for name in (self.run, self.relative_to, *(self.between or ())) if name is not None]

    def judged(self) -> bool:
        """Tell whether the figure has bounds."""
        return self.tolerance is not None or self.factor is not None

    def holds(self, ratio: float) -> bool | None:
        """Tell whether ours over stated lies within the bounds, None when there are none."""
        if self.factor is not None:
            return 1 / self.factor <= ratio <= self.factor
        return abs(ratio - 1) <= self.tolerance if self.tolerance is not None else None

    def bounds(self) -> str:
        """Return the bounds in words."""
        if self.factor is not None:
            return f"within a factor of {self.factor:g}"
        return f"within {100 * self.tolerance:g}%" if self.tolerance is not None else ""


class Paper(Model):
    """The published figures of one system, and the runs that reproduce them."""

    name: Name
    title: str
    reference: str
    architecture: str
    runs: dict[Name, AnyRun]
    figures: list[Figure]

    @model_validator(mode="after")
    def _runs_exist(self) -> Paper:
        for figure in self.figures:
            for run in figure.runs():
                if run not in self.runs:
                    raise ValueError(f"'{figure.name}': no run named '{run}'; {did_you_mean(run, self.runs)}")
            if figure.short is not None and isinstance(self.runs[figure.run], StudyRun):
                raise ValueError(f"'{figure.name}': no run alone shows the figure of a study: leave 'short' out")
        return self
