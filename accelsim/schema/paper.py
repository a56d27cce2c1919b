"""The grammar of published figures and of what they are compared with."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from accelsim.errors import did_you_mean
from accelsim.schema.parse import Model

Role = Literal["input", "calibrated", "predicted"]


class PaperRun(Model):
    """One run that a comparison needs: a workload, and the keys of chip or workload that differ from their files."""

    workload: str
    set: dict[str, str] = {}


class Figure(Model):
    """One published figure and where ours comes from.

    Ours is ``scale`` times the value at ``path`` in the Result of ``run``, or its ratio to the same value of the run
    ``relative_to``. ``role``: ``input`` (we were given it), ``calibrated`` (a number of ours was fitted to it) or
    ``predicted``. Only predicted figures with a ``tolerance``, the largest relative deviation, are judged.
    ``short``: how a run's table shows the figure beside its own.
    """

    name: str
    value: float
    unit: str
    tag: Literal["stated", "derived"]
    role: Role
    run: str
    path: str
    scale: Annotated[float, Field(gt=0)] = 1.0
    relative_to: str | None = None
    tolerance: Annotated[float, Field(gt=0)] | None = None
    short: str | None = None
    note: str = ""

    @model_validator(mode="after")
    def _judged_only_if_predicted(self) -> Figure:
        if self.tolerance is not None and self.role != "predicted":
            raise ValueError(f"only a predicted figure can be judged: no tolerance for one that is {self.role}")
        return self


class Paper(Model):
    """The published figures of one system, and the runs that reproduce them."""

    name: str
    title: str
    reference: str
    architecture: str
    runs: dict[str, PaperRun]
    figures: list[Figure]

    @model_validator(mode="after")
    def _runs_exist(self) -> Paper:
        for figure in self.figures:
            for run in (figure.run, figure.relative_to):
                if run is not None and run not in self.runs:
                    raise ValueError(f"'{figure.name}': no run named '{run}'; {did_you_mean(run, self.runs)}")
        return self
