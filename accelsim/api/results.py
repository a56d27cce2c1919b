"""`accelsim.run`, and what it returns: a Result with tables, figures and a form for notebooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr

from accelsim import result as records
from accelsim.api import frames
from accelsim.api.notebook import shown
from accelsim.architecture import AnyArchitecture
from accelsim.engines.execute import Activity
from accelsim.errors import InputError
from accelsim.pipeline import Progress, run_in_full
from accelsim.record import Run, record
from accelsim.schema import Overrides, format_si
from accelsim.workload import AnyWorkload, Given

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

Table = Literal["figures", "components", "layers", "utterances", "frames"]


class Result(records.Result):
    """Everything that one run told: the keys of result.json as attributes, and ways to look at them.

    >>> result = accelsim.run("rsnn28nm", "rsnn_paper_activity", overrides={"workload.inputs.frames": 20})
    >>> result.performance.frames, result.area_mm2 > 0
    (20, True)
    """

    _run: Run | None = PrivateAttr(None)

    @classmethod
    def of(cls, result: records.Result, run: Run | None = None) -> Result:
        """Return a plain record as a Result; ``run``: what it was made of, where that is kept."""
        fields = type(result).model_fields
        made = cls.model_construct(result.model_fields_set, **{name: getattr(result, name) for name in fields})
        made._run = run
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, records.Result) and self.__dict__ == other.__dict__

    def __repr__(self) -> str:
        p, told = self.performance, []
        if self.accuracy is not None:
            a = self.accuracy
            told.append(f"{a.metric} {a.value:.2f} {a.unit} ({a.low:.1f} to {a.high:.1f})")
        told += [format_si(self.power_w, "W"), f"{format_si(self.energy.per_frame_j, 'J')} a frame"]
        told += [f"{self.area_mm2:.3g} mm2", f"{p.frames:,} frames"]
        if p.deadline_misses:
            told.append(f"{p.deadline_misses:,} late")
        return f"<Result {self.workload.name} on {self.arch.name}: {', '.join(told)}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from accelsim.report.notebook import result_html

        return result_html(self)

    def to_frame(self, table: Table = "figures") -> pandas.DataFrame:
        """Return a table of the run as a pandas DataFrame.

        ``figures``: energy, power, area, error .., with units and intervals; ``components`` and ``layers``: energy in
        J, cycles, area; ``utterances``: units said and errors of each; ``frames``: when each arrived and was done, of a
        run with ``keep=True``. Raises InputError for another name, and where pandas is not installed.

        >>> result = accelsim.run("rsnn28nm", "rsnn_paper_activity", overrides={"workload.inputs.frames": 20})
        >>> parts = result.to_frame("components")
        >>> bool(abs(parts.energy_j.sum() / result.energy.total_j - 1) < 1e-9)
        True
        """
        if table == "frames":
            return frames.pandas_module().DataFrame(frames.frames(self._kept("frames")))
        if table == "utterances":
            names = None if self._run is None else self._run.batch.names
            return frames.frame(frames.utterances(self, names), "utterance")
        tables: dict[str, tuple[Callable[[records.Result], list[frames.Row]], str]] = {
            "figures": (frames.figures, "figure"),
            "components": (frames.components, "component"),
            "layers": (frames.layers, "layer"),
        }
        if table not in tables:
            raise InputError.of(f"no table '{table}'", hint=f"one of: {', '.join([*tables, 'utterances', 'frames'])}")
        make, index = tables[table]
        return frames.frame(make(self), index)

    @property
    def plot(self) -> Plots:
        """The figures of the run, drawn with matplotlib: ``result.plot.energy()``."""
        return Plots(self)

    @property
    def outputs(self) -> list[NDArray[Any]]:
        """What the last layer gave on the chip, [rows, classes] of each utterance; of a run with ``keep=True``."""
        execution = self._kept("outputs").execution
        if execution.outputs is None:
            raise InputError.of(f"workload '{self.workload.name}' has no outputs: random activity has no values")
        return np.split(execution.outputs, execution.output_starts[1:-1])

    @property
    def activity(self) -> Activity:
        """What was counted in each frame, by job and component; of a run with ``keep=True``."""
        return self._kept("activity").execution.activity

    def _kept(self, what: str) -> Run:
        if self._run is None:
            raise InputError.of(f"{what} were not kept", hint="accelsim.run(..., keep=True)")
        return self._run


class Plots:
    """The figures of a run, each a matplotlib Figure, which a notebook shows and ``savefig`` writes."""

    def __init__(self, result: Result) -> None:
        self._result = result

    def energy(self) -> Figure:
        """Draw the energy by component, what is dynamic, clock, standby and leakage apart.

        Raises InputError where there is no energy to draw, and where matplotlib is not installed.
        """
        return self._figure("energy")

    def roofline(self) -> Figure:
        """Draw how fast each layer worked, against what multipliers and the busiest data path allow.

        Raises InputError where no layer multiplies, and where matplotlib is not installed.
        """
        return self._figure("roofline")

    def timeline(self) -> Figure:
        """Draw what every component did for one frame of the run, from its arrival until it was done.

        Raises InputError for a record of before, which has no such frame, and where matplotlib is not installed.
        """
        from accelsim.report.notebook import shown_figure
        from accelsim.report.plots import timeline_figure

        frame = self._result.frame
        if frame is None:
            raise InputError.of("the record has no timeline of a frame", hint="run it again")
        return shown_figure(timeline_figure(frame))

    def _figure(self, name: str) -> Figure:
        from accelsim.report.notebook import shown_figure
        from accelsim.report.plots import run_figures

        drawn = run_figures(self._result)
        if name not in drawn:
            raise InputError.of(f"no {name} to draw: the run has {' and '.join(drawn)}")
        return shown_figure(drawn[name])

    def __repr__(self) -> str:
        return f"<figures of {self._result!r}: energy(), roofline(), timeline()>"


def run(
    architecture: AnyArchitecture,
    workload: AnyWorkload | None = None,
    *,
    inputs: Given | None = None,
    overrides: Overrides | None = None,
    seed: int = 0,
    progress: Progress | bool | None = None,
    keep: bool = False,
    command: str = "",
) -> Result:
    """Simulate one workload on one architecture and return what came out.

    ``architecture``: a name of the library, a path, a mapping or an Architecture, see `load_architecture`;
    ``workload``: likewise, see `load_workload`; by default the one that the architecture names. ``inputs``:
    recordings of one's own in the place of the workload's: the path of a manifest or of a folder, a list of
    `accelsim.Recording`, or keys of ``inputs``. ``overrides``: dotted key -> value, for any key of the architecture, or
    of the workload with the prefix ``workload.``, see `load_architecture`.
    ``seed``: of every random draw. ``progress``: called with (stage, done, total); by default a notebook draws a bar,
    False for none. ``keep``: keep outputs, activity and when everything happened, which may take much memory.
    ``command``: recorded as what made the result.

    Raises InputError for anything wrong with the files, with every problem at once, and for a run that needs more
    memory than it may take, see `accelsim.limits`; DeadlockError when the chip stops before its work is done.

    >>> accelsim.run("rsnn28nm", "rsnn_paper_activity", overrides={"workload.inputs.frames": 20})
    <Result rsnn_paper_activity on rsnn28nm: 71.1 uW, 711 nJ a frame, 0.314 mm2, 20 frames>
    """
    with shown(progress) as tell:
        done = run_in_full(architecture, workload, inputs=inputs, overrides=overrides, seed=seed, progress=tell)
        return Result.of(record(done, command), done if keep else None)
