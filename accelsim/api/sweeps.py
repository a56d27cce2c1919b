"""`accelsim.sweep` and `accelsim.search`, and what they return."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from accelsim.api import frames
from accelsim.api.notebook import shown
from accelsim.api.results import Result
from accelsim.architecture import AnyArchitecture, Architecture, load_architecture
from accelsim.errors import InputError, did_you_mean
from accelsim.explore.front import Front, front_of
from accelsim.explore.search import run_search
from accelsim.explore.space import Axis, read_axes, read_axis
from accelsim.explore.store import Configuration, Store
from accelsim.explore.sweep import OBJECTIVES, run_sweep
from accelsim.explore.sweep import Sweep as Asked
from accelsim.pipeline import WORKLOAD_PREFIX, Progress, network_on
from accelsim.schema import Overrides, override_texts
from accelsim.schema.given import plain
from accelsim.workload import AnyWorkload, Given, Workload, load_workload

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

Axes = Mapping[str, Any] | Sequence[str | Mapping[str, Any]]
"""Key -> values; or several axes, each such a mapping, whose keys step together, or a text as ``--set`` takes it."""

Table = Literal["configurations", "points"]


class Sweep:
    """What a sweep or a search found: its store in a folder, read anew by every call.

    >>> sweep = accelsim.sweep("rsnn28nm", {"technology.voltage": ["0.8 V", "0.9 V"]}, workload="rsnn_paper_activity",
    ...                        overrides={"workload.inputs.frames": 20})
    >>> sweep
    <Sweep of rsnn_paper_activity on rsnn28nm over technology.voltage: 2 of 2 configurations done>
    >>> [point["technology.voltage"] for point in sweep.pareto()]
    ['0.8 V']
    """

    def __init__(self, folder: str | Path) -> None:
        """Open what ``accelsim sweep --out FOLDER`` wrote; raises InputError where there is none."""
        self.folder = Path(folder)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        Store.open(self.folder).close()

    def __len__(self) -> int:
        """Return how many configurations there are."""
        with Store.open(self.folder) as store:
            return len(store.configurations())

    def __repr__(self) -> str:
        with Store.open(self.folder) as store:
            meta, found = store.meta(), front_of(store)
        total = len(found.done) + len(found.failed)
        over = ", ".join(key.removeprefix("components.") for key in meta["swept"])
        what = f"{meta['workload']['name']} on {meta['architecture']['name']} over {over}"
        why = f", {len(found.failed)} failed: {found.failed[0].errors[0]}" if found.failed else ""
        return f"<{meta['kind'].capitalize()} of {what}: {len(found.done)} of {total} configurations done{why}>"

    def _repr_html_(self) -> str:
        from accelsim.report.notebook import sweep_html

        with Store.open(self.folder) as store:
            return sweep_html(store)

    def to_frame(self, table: Table = "configurations") -> pandas.DataFrame:
        """Return the swept keys and all metrics as a pandas DataFrame.

        ``configurations``: means over the seeds, ``on_front``, whether no other one is known to beat it, and for each
        objective that has one the ends of its 95 % interval over utterances and seeds, ``_low`` and ``_high``;
        ``points``: every run, with its seed and its error if it failed. Keys whose values are all numbers are numbers,
        with a column of their own for a unit. Raises InputError for another name, and where pandas is not installed.

        >>> sweep = accelsim.sweep("rsnn28nm", {"pe.sets": [2, 4]}, workload="rsnn_paper_activity",
        ...                        overrides={"workload.inputs.frames": 20})
        >>> list(sweep.to_frame()["components.pe.sets"])
        [2, 4]
        """
        if table not in ("configurations", "points"):
            raise InputError.of(f"no table '{table}'", hint=did_you_mean(table, ["configurations", "points"]))
        with Store.open(self.folder) as store:
            if table == "points":
                drop = ("keys", "configuration", "allowed")
                rows = [{**row["keys"], **{k: v for k, v in row.items() if k not in drop}} for row in store.points()]
                return frames.typed(frames.frame(rows, "point"), store.meta()["swept"])
            found = front_of(store)
            best = {c.number: bool(on) for c, on in zip(found.done, found.best, strict=True)}
            rows = [
                {"configuration": c.number, **c.keys, **c.mean, "seeds": len(c.points), "on_front": best.get(c.number)}
                | _ends(found, c)
                for c in store.configurations()
            ]
            return frames.typed(frames.frame(rows, "configuration"), store.meta()["swept"])

    def pareto(self) -> list[dict[str, Any]]:
        """Return the configurations that keep the constraints and that no other one is known to beat.

        Each is a mapping of the swept keys, as text, and the objectives, as means over the seeds; with pandas,
        ``pandas.DataFrame(sweep.pareto())``.
        """
        with Store.open(self.folder) as store:
            found = front_of(store)
            return [{**c.keys, **{m.name: c.mean[m.name] for m in found.objectives}} for c in found.front()]

    def configurations(self) -> list[Configuration]:
        """Return all configurations: what they set, and the mean, lowest and highest value of every metric."""
        with Store.open(self.folder) as store:
            return store.configurations()

    def result(self, point: int) -> Result | None:
        """Return the whole result of a point, counted from 0; None where it failed or is not there."""
        with Store.open(self.folder) as store:
            found = store.result(point)
        return None if found is None else Result.of(found)

    @property
    def plot(self) -> SweepPlots:
        """The figures of the sweep, drawn with matplotlib: ``sweep.plot.pareto()``."""
        return SweepPlots(self)


def _ends(found: Front, configuration: Configuration) -> dict[str, float]:
    """Return the ends of the intervals of a configuration's objectives; none where one of its seeds failed."""
    if configuration.errors:
        return {}
    ends = {m.name: found.interval(configuration, m) for m in found.objectives if m.name in configuration.mean}
    return {
        f"{name}_{end}": at for name, two in ends.items() if two for end, at in zip(("low", "high"), two, strict=True)
    }


class SweepPlots:
    """The figures of a sweep, each a matplotlib Figure."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep

    def all(self) -> dict[str, Figure]:
        """Return every figure by its name: fronts, and curves along axes of numbers. Raises InputError without any."""
        from accelsim.report.notebook import shown_figure
        from accelsim.report.plots import sweep_figures

        with Store.open(self._sweep.folder) as store:
            return {name: shown_figure(figure) for name, figure in sweep_figures(store).items()}

    def pareto(self) -> Figure:
        """Draw the front in the first objective against the second; raises InputError where there is none."""
        return self._first("pareto")

    def curves(self) -> Figure:
        """Draw the first objective along an axis of numbers, with bars over the seeds; raises InputError without."""
        return self._first("curves")

    def _first(self, kind: str) -> Figure:
        for name, figure in self.all().items():
            if name.startswith(kind):
                return figure
        raise InputError.of(f"no {kind} to draw: that takes a key of three numbers or more, and at most one other key")


def sweep(
    architecture: AnyArchitecture,
    axes: Axes,
    out: str | Path | None = None,
    *,
    workload: AnyWorkload | None = None,
    inputs: Given | None = None,
    overrides: Overrides | None = None,
    method: str = "grid",
    points: int | None = None,
    seed: int = 0,
    seeds: int = 1,
    jobs: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    objectives: Sequence[str] = OBJECTIVES,
    constraints: Sequence[str] = (),
    progress: Progress | bool | None = None,
) -> Sweep:
    """Run every combination of some keys' values, each point durable as soon as it is done.

    ``architecture``, ``workload``, ``inputs``: as for `run`; what has no file, such as recordings that Python gives, is
    written into ``out``, beside the results.
    ``axes``: {key: values}, with a list of values or a range such as "1:8" for each key (``adc.units`` is short for
    ``components.adc.units``); a list of such mappings for keys that step together. ``out``: the folder of the store;
    without one it is a temporary folder, which goes with the Sweep. ``overrides``: set for all points. ``method``:
    "grid", or "random" or "lhs" with the number of ``points``. ``seeds``: runs per configuration, from ``seed`` up.
    ``jobs``: processes; ``scheduler``: address of a Dask scheduler instead. ``resume``: go on with the sweep in
    ``out``. ``objectives``: metrics of the front; ``constraints``: such as "area<=2 mm2".

    Raises InputError before anything runs; a point that fails is a row with its error.

    >>> accelsim.sweep("rsnn28nm", {"pe.sets": [2, 4]}, workload="rsnn_paper_activity",
    ...                overrides={"workload.inputs.frames": 20})
    <Sweep of rsnn_paper_activity on rsnn28nm over pe.sets: 2 of 2 configurations done>
    """
    made = _folder(out)
    what = _asked(architecture, workload, inputs, axes, overrides, made[0])
    what = what.changed(
        method=method, points=points, seed=seed, seeds=seeds, objectives=tuple(objectives),
        constraints=tuple(constraints),
    )  # fmt: skip
    with shown(progress) as tell:
        run_sweep(what, made[0], jobs=jobs, scheduler=scheduler, resume=resume, progress=tell).close()
    return _found(*made)


def search(
    architecture: AnyArchitecture,
    axes: Axes,
    out: str | Path | None = None,
    *,
    trials: int,
    workload: AnyWorkload | None = None,
    inputs: Given | None = None,
    overrides: Overrides | None = None,
    sampler: str | None = None,
    storage: str | None = None,
    seed: int = 0,
    resume: bool = False,
    objectives: Sequence[str] = OBJECTIVES,
    constraints: Sequence[str] = (),
    progress: Progress | bool | None = None,
) -> Sweep:
    """Let Optuna look for the best values of some keys, under constraints.

    ``trials``: points to try in all. ``sampler``: "tpe", the default for one objective, or "nsga2", for several.
    ``storage``: URL of Optuna's own database; a file in ``out`` by default. All else as for `sweep`. Raises InputError
    before anything runs, and where Optuna is not installed.

    >>> accelsim.search("rsnn28nm", {"technology.voltage": "0.8 V:0.9 V:0.05 V"}, trials=3, objectives=["power"],
    ...                 workload="rsnn_paper_activity", overrides={"workload.inputs.frames": 20})
    <Search of rsnn_paper_activity on rsnn28nm over technology.voltage: 3 of 3 configurations done>
    """
    made = _folder(out)
    what = _asked(architecture, workload, inputs, axes, overrides, made[0])
    what = what.changed(seed=seed, objectives=tuple(objectives), constraints=tuple(constraints))
    with shown(progress) as tell:
        run_search(
            what, made[0], trials=trials, sampler=sampler, storage=storage, resume=resume, progress=tell
        ).close()  # fmt: skip
    return _found(*made)


def _folder(out: str | Path | None) -> tuple[Path, tempfile.TemporaryDirectory[str] | None]:
    if out is not None:
        return Path(out), None
    temporary = tempfile.TemporaryDirectory(prefix="accelsim-")
    return Path(temporary.name), temporary


def _found(folder: Path, temporary: tempfile.TemporaryDirectory[str] | None) -> Sweep:
    found = Sweep(folder)
    found._temporary = temporary  # it goes when nobody holds the Sweep any more
    return found


def _asked(
    architecture: AnyArchitecture,
    workload: AnyWorkload | None,
    inputs: Given | None,
    axes: Axes,
    overrides: Overrides | None,
    out: Path,
) -> Asked:
    """Return what is swept by names of files: other processes, and those who go on later, read it from there."""
    chip, of_chip = _named_chip(architecture, out)
    if inputs is not None:
        workload = network_on(load_architecture(architecture), workload, {}, inputs=inputs)
    network, of_network = (None, {}) if workload is None else _named_workload(workload, out)
    fixed = {**of_chip, **of_network, **override_texts(overrides)}
    swept = _axes(axes)
    keys = {key for axis in swept for key in axis.keys}
    set_for_all = [Axis((key,), ((text,),)) for key, text in fixed.items() if key not in keys]
    return Asked(chip, network, (*set_for_all, *swept))


def _named_chip(architecture: AnyArchitecture, out: Path) -> tuple[str, Mapping[str, str]]:
    if isinstance(architecture, str | Path):
        return str(architecture), {}
    chip = load_architecture(architecture)
    assert chip.as_given is not None
    if _is_file(chip):
        return chip.as_given.path, chip.settings
    return str(chip.write(out / "architecture.yaml")), {}


def _named_workload(workload: AnyWorkload, out: Path) -> tuple[str, Mapping[str, str]]:
    if isinstance(workload, str | Path):
        return str(workload), {}
    network = load_workload(workload)
    if _is_file(network) and network.as_given is not None and network.as_given.inputs is None:
        assert network.source is not None
        return network.source.path, {f"{WORKLOAD_PREFIX}{key}": text for key, text in network.settings.items()}
    return str(network.write(out / "workload")), {}


def _is_file(loaded: Architecture | Workload) -> bool:
    return loaded.source is not None and Path(loaded.source.path).suffix != ""


def _axes(axes: Axes) -> tuple[Axis, ...]:
    if isinstance(axes, Mapping):
        axes = [{key: values} for key, values in axes.items()]
    elif isinstance(axes, str):
        axes = [axes]
    found: list[Axis] = []
    for axis in axes:
        if isinstance(axis, str):
            found += read_axes([axis])
        else:
            found.append(read_axis({key: _values(key, values) for key, values in axis.items()}))
    return tuple(found)


def _values(key: str, values: Any) -> Any:
    """Return the values of an axis as those of a sweep file: a list or a text."""
    if isinstance(values, range):
        values = list(values)
    found = plain(values, f"axis {key}")
    return [override_texts({key: value})[key] for value in found] if isinstance(found, list) else found
