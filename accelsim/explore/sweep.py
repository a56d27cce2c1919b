"""A sweep: many runs of one workload on variants of one architecture, into one store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt

import accelsim
from accelsim import limits
from accelsim.architecture import Architecture, load_architecture, whole_key
from accelsim.errors import InputError, Problem
from accelsim.explore.metrics import Metric, metric_named, read_constraint, read_constraints
from accelsim.explore.reuse import is_functional
from accelsim.explore.space import METHODS, Axis, Point, points_of, read_axes, read_axis
from accelsim.explore.store import FILE, Outcome, Store
from accelsim.explore.workers import RunTemplate, evaluate_here, evaluate_in_processes, evaluate_on_cluster
from accelsim.library import find, find_workload
from accelsim.limits import LARGEST_SEED
from accelsim.pipeline import Progress, network_on, split_overrides
from accelsim.plugins import loaded_files
from accelsim.schema import Model, check_schema_tag, load_yaml, parse
from accelsim.schema.source import Location

OBJECTIVES = ("energy_per_frame_j", "error_percent", "area_mm2")


class SweepSpec(Model):
    """What a sweep file (schema ``accelsim/sweep@1``) may say; the options of the command line win over it.

    ``axes``: each a mapping from a key to a list of values or a range such as ``1:8``; the keys of one mapping step
    together, different axes are combined. One value alone is set for all points.
    """

    architecture: str
    workload: str | None = None
    axes: list[dict[str, Any]]
    method: Literal["grid", "random", "lhs"] = "grid"
    points: PositiveInt | None = None
    seed: NonNegativeInt = 0
    seeds: PositiveInt = 1
    objectives: list[str] = list(OBJECTIVES)
    constraints: list[str] = []
    """Such as ``area<=2 mm2``: only configurations that keep all of them are on the front."""


@dataclass(frozen=True)
class Sweep:
    """What is swept: an architecture and a workload by name or path, the axes, and how points are made of them.

    ``method``: "grid" (every combination), "random" or "lhs" (``points`` of them, drawn with ``seed``). ``seeds``: runs
    per configuration, with the seeds from ``seed`` up. ``objectives``: metrics of the Pareto front; ``constraints``:
    what a configuration on it keeps.
    """

    architecture: str
    workload: str | None
    axes: tuple[Axis, ...]
    method: str = "grid"
    points: int | None = None
    seed: int = 0
    seeds: int = 1
    objectives: tuple[str, ...] = OBJECTIVES
    constraints: tuple[str, ...] = ()
    command: str = field(default="", compare=False)

    def changed(self, axes: Sequence[str] = (), **options: Any) -> Sweep:
        """Return the sweep with the axes of texts ``KEY=VALUES`` put in, and with the options that are not None.

        An axis of the same key is replaced. Raises InputError.
        """
        given = tuple(read_axes(axes))
        keys = {key for axis in given for key in axis.keys}
        kept = tuple(axis for axis in self.axes if not keys & set(axis.keys))
        chosen = {name: value for name, value in options.items() if value is not None}
        return replace(self, axes=(*kept, *given), **chosen)

    def metrics(self) -> list[Metric]:
        """Return the objectives, each once; raises InputError for one that is no metric."""
        return list(dict.fromkeys(metric_named(name) for name in dict.fromkeys(self.objectives)))


def load_sweep(path: str | Path) -> Sweep:
    """Read and check a sweep file; raises InputError with every problem of it, each with its line."""
    source = load_yaml(path)
    check_schema_tag(source, "sweep")
    spec = parse(SweepSpec, source)
    axes: list[Axis] = []

    def read(index: int) -> None:
        axes.append(replace(read_axis(spec.axes[index]), place=source.where(("axes", index))))

    looks: list[tuple[Location, Callable[[], Any]]] = [(("architecture",), partial(find, spec.architecture, "arch"))]
    if spec.workload is not None:
        looks.append((("workload",), partial(find_workload, spec.workload)))
    looks += [(("axes", i), partial(read, i)) for i in range(len(spec.axes))]
    looks += [(("objectives", i), partial(metric_named, one)) for i, one in enumerate(spec.objectives)]
    looks += [(("constraints", i), partial(read_constraint, one)) for i, one in enumerate(spec.constraints)]
    if problems := source.problems_of(looks):
        raise InputError(problems)
    options = spec.model_dump(exclude={"axes", "objectives", "constraints"})
    objectives, constraints = tuple(spec.objectives), tuple(spec.constraints)
    return Sweep(**options, axes=tuple(axes), objectives=objectives, constraints=constraints)


def is_sweep_file(name: str) -> bool:
    """Tell whether a name is that of a file of schema ``accelsim/sweep@...``; raises InputError for a broken file."""
    if not os.path.isfile(name):
        return False
    data = load_yaml(name).data
    return isinstance(data, dict) and str(data.get("schema")).startswith("accelsim/sweep@")


def run_sweep(
    what: Sweep,
    out: Path,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Store:
    """Run the points of a sweep that are not in the store yet, each durable as soon as it is done."""
    tell = progress or (lambda stage, done, total: None)
    tell("check", None, None)
    chip, fixed, axes, points = prepared(what, jobs)
    asked = describe(what, fixed, axes, chip) | {
        "kind": "sweep", "method": what.method, "points": what.points, "seeds": what.seeds,
    }  # fmt: skip
    with closing_on_error(begin_or_resume(out, asked, resume)) as store:
        _check_points(store, points)
        left = _in_order(points, axes, chip, store.done())
        template = RunTemplate(what.architecture, what.workload, fixed, loaded_files())
        told = PointsTold(tell, "points", len(points) - len(left), len(points))
        for outcome in _outcomes(template, left, jobs, scheduler, told.stage):
            store.add(outcome)
            told.next()
    return store


def prepared(what: Sweep, jobs: int = 1) -> tuple[Architecture, dict[str, str], tuple[Axis, ...], list[Point]]:
    """Return the chip of a sweep, what all of its points set, its axes and its points; raises InputError."""
    chip = load_architecture(what.architecture)
    axes = full_axes(what.axes, chip)
    _check_options(what, jobs)
    places = {key: axis.place for axis in axes for key in axis.keys if axis.place is not None}
    fixed, axes = fixed_and_varied(axes)
    points = points_of(axes, what.method, what.points, what.seed, what.seeds)
    what.metrics()
    try:
        check_axes(what.architecture, what.workload, fixed, axes)
    except InputError as error:
        raise error.said_at(places) from None
    return chip, fixed, axes, points


class PointsTold:
    """Tells how many points or trials are done, and with them the stage of the one that runs here."""

    def __init__(self, tell: Progress, what: str, done: int, total: int) -> None:
        self._tell, self._what, self.done, self.total = tell, what, done, total
        self._say("")

    def next(self) -> None:
        """Say that one more is done."""
        self.done += 1
        self._say("")

    def stage(self, stage: str, done: int | None, total: int | None) -> None:
        """Say what goes on in the one that runs: of all there are, it is one."""
        self._say(f": {stage}")

    def _say(self, stage: str) -> None:
        self._tell(f"{self.done} of {self.total} {self._what}{stage}", self.done, self.total)


@contextmanager
def closing_on_error(store: Store) -> Iterator[Store]:
    """Give a store, and close it only when something goes wrong: else the caller goes on reading it."""
    try:
        yield store
    except BaseException:
        store.close()
        raise


def full_axes(axes: Sequence[Axis], chip: Architecture) -> tuple[Axis, ...]:
    """Return the axes with whole keys: ``adc.units`` is short for ``components.adc.units``.

    Raises InputError for a key that is set twice, and for more axes than the limit.
    """
    limits.check("axes", len(axes))
    parts = chip.spec.components
    whole = tuple(replace(axis, keys=tuple(whole_key(key, parts) for key in axis.keys)) for axis in axes)
    asked = [(key, axis.place or (None, None)) for axis in whole for key in axis.keys]
    twice = [one for index, one in enumerate(asked) if one[0] in (key for key, _ in asked[:index])]
    if twice:
        raise InputError(Problem(f"'{key}' is set twice", *place) for key, place in twice)
    return whole


def fixed_and_varied(axes: Sequence[Axis]) -> tuple[dict[str, str], tuple[Axis, ...]]:
    """Return what all points set, and the axes of more than one value."""
    fixed = {key: value for axis in axes if axis.count() == 1 for key, value in axis.step(0).items()}
    return fixed, tuple(axis for axis in axes if axis.count() != 1)


def check_axes(architecture: str, workload: str | None, fixed: Mapping[str, str], axes: Sequence[Axis]) -> None:
    """Load the files once with every value of every axis, the others at their first; raises InputError.

    What only a combination brings about is left to the points themselves.
    """
    first = {**fixed, **{key: value for axis in axes for key, value in axis.at(0.0).items()}}
    problems: dict[Problem, None] = {}
    loaded: set[tuple[tuple[str, str], ...]] = set()
    for settings in [first, *({**first, **step} for axis in axes for step in axis.samples())]:
        if (key := tuple(settings.items())) in loaded:
            continue
        loaded.add(key)
        for_chip, for_network = split_overrides(settings)
        try:
            chip = load_architecture(architecture, for_chip)
            if for_network or len(loaded) == 1 or "workload" in for_chip:
                network_on(chip, workload, for_network)
        except InputError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise InputError(problems)


def describe(what: Sweep, fixed: Mapping[str, str], axes: Sequence[Axis], chip: Architecture) -> dict[str, Any]:
    """Return what the store's meta table says of a sweep or search."""
    network = network_on(chip, what.workload, {})
    return {
        "architecture": {"name": chip.spec.name, "sha256": chip.sha256},
        "workload": {"name": network.spec.name, "sha256": network.sha256},
        "plugins": {Path(file).name: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in loaded_files()},
        "set": dict(fixed),
        "axes": [axis.asked() for axis in axes],
        "swept": [key for axis in axes for key in axis.keys],
        "seed": what.seed,
        "objectives": [metric.name for metric in what.metrics()],
        "constraints": list(what.constraints),
        "accelsim": accelsim.__version__,
        "command": what.command,
    }


def begin_or_resume(out: Path, asked: Mapping[str, Any], resume: bool) -> Store:
    """Return a new store, or with ``resume`` the one in the folder if there is any and it is of the same sweep.

    Raises InputError otherwise.
    """
    if not (resume and Store.begun(out)):
        return Store.create(out, asked)
    with closing_on_error(Store.open(out)) as store:
        found = store.meta()
        other = [key for key, value in asked.items() if key != "command" and found.get(key) != value]
        if other:
            was = "; ".join(f"{key} was {found.get(key)}, now {asked[key]}" for key in other)
            raise InputError.of(f"{out} holds another {found.get('kind')}: {was}", hint="choose another folder")
        return store


def _check_points(store: Store, points: Sequence[Point]) -> None:
    """Raise InputError where a row of a store that goes on is not the point of its number."""
    for row in store.points():
        number = row["point"]
        point = points[number] if number < len(points) else None
        if point != Point(number, row["configuration"], row["seed"], row["keys"]):
            message = f"point {number} is not that of this sweep"
            raise InputError.of(message, file=store.folder / FILE, hint="choose another folder")


def _check_options(what: Sweep, jobs: int) -> None:
    problems = []
    if what.method not in METHODS:
        problems.append(Problem(f"unknown method '{what.method}'", hint=f"one of: {', '.join(METHODS)}"))
    if what.method == "grid" and what.points is not None:
        problems.append(Problem("a grid has as many points as its axes make", hint="--method lhs --points N"))
    for name, value in (("points", what.points), ("seeds", what.seeds), ("jobs", jobs)):
        if value is not None and value < 1:
            problems.append(Problem(f"{name} must be at least 1, found {value}", hint=f"--{name} N"))
    if not 0 <= what.seed <= LARGEST_SEED - what.seeds + 1:
        found = f"{what.seed}" if what.seeds == 1 else f"{what.seed} and {what.seeds} of them"
        problems.append(Problem(f"seeds must be from 0 to {LARGEST_SEED}, found {found}", hint="--seed N"))
    try:
        read_constraints(what.constraints)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)


def _in_order(points: Sequence[Point], axes: Sequence[Axis], chip: Architecture, done: set[int]) -> list[Point]:
    """Return the points that are left, those that share values side by side."""
    decisive = [key for axis in axes for key in axis.keys if is_functional(key, chip.spec)]
    first: dict[tuple[Any, ...], int] = {}
    for point in points:
        first.setdefault(_values_of(point, decisive), point.number)
    left = [point for point in points if point.number not in done]
    return sorted(left, key=lambda point: (first[_values_of(point, decisive)], point.number))


def _values_of(point: Point, keys: Sequence[str]) -> tuple[Any, ...]:
    return (point.seed, *(point.keys.get(key) for key in keys))


def _outcomes(
    template: RunTemplate, points: Sequence[Point], jobs: int, scheduler: str | None, progress: Progress
) -> Iterator[Outcome]:
    if scheduler is not None:
        return evaluate_on_cluster(template, points, scheduler)
    return evaluate_in_processes(template, points, jobs) if jobs > 1 else evaluate_here(template, points, progress)
