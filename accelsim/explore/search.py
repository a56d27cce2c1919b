"""A search: Optuna chooses the points, each one after it has seen what came of those before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelsim.architecture import Architecture, load_architecture
from accelsim.errors import AccelsimError, InputError, Problem, did_you_mean
from accelsim.explore.metrics import Constraint, Metric, read_constraints
from accelsim.explore.reuse import Reuse
from accelsim.explore.space import Axis, Point
from accelsim.explore.store import Outcome, Store
from accelsim.explore.sweep import (
    PointsTold,
    Sweep,
    begin_or_resume,
    check_axes,
    closing_on_error,
    describe,
    fixed_and_varied,
    full_axes,
)
from accelsim.explore.workers import RunTemplate, evaluate
from accelsim.pipeline import Progress
from accelsim.plugins import loaded_files
from accelsim.result import check_writable

SAMPLERS = ("tpe", "nsga2")
_STUDY = "accelsim"
_POPULATION = 24


def run_search(
    what: Sweep,
    out: Path,
    *,
    trials: int,
    sampler: str | None = None,
    storage: str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Store:
    """Let Optuna choose ``trials`` points of the axes that are good in all objectives; return their store.

    ``sampler``: "tpe" (the default for one objective) or "nsga2" (for several). ``storage``: URL of Optuna's own
    database, which several machines may share; a SQLite file in ``out`` by default. A killed search goes on with
    ``resume``: a trial that was not reported is run again. Raises InputError before anything runs.
    """
    tell = progress or (lambda stage, done, total: None)
    tell("check", None, None)
    objectives = what.metrics()
    sampler = sampler or ("tpe" if len(objectives) == 1 else "nsga2")
    chip, fixed, axes, limits = prepared(what, trials, sampler)
    asked = describe(what, fixed, axes, chip) | {
        "kind": "search", "method": sampler, "points": None, "seeds": 1,
    }  # fmt: skip
    reuse, template = Reuse(), RunTemplate(what.architecture, what.workload, fixed, loaded_files())
    check_writable(out)
    url = storage or f"sqlite:///{out.resolve() / 'study.sqlite'}"
    with _optuna_errors(url):
        study = _study(url, sampler, what.seed, objectives, resume)
    with closing_on_error(begin_or_resume(out, asked, resume)) as store:
        before = len(store.points())  # what cannot be read is told now
        told = PointsTold(tell, "trials", min(before, trials), trials)
        for trial in _each(_trials(study, trials, str(out.resolve())), url):
            with _optuna_errors(url):
                settings = {key: value for axis in axes for key, value in _suggested(trial, axis).items()}
            outcome = evaluate(template, Point(trial.number, trial.number, what.seed, settings), reuse, told.stage)
            store.add(outcome)
            with _optuna_errors(url):
                _report(study, trial, outcome, objectives, limits)
            told.next()
    return store


def prepared(
    what: Sweep, trials: int, sampler: str = SAMPLERS[0]
) -> tuple[Architecture, dict[str, str], tuple[Axis, ...], list[Constraint]]:
    """Return the chip of a search, what all of its trials set, its axes and its constraints; raises InputError."""
    chip = load_architecture(what.architecture)
    fixed, axes = fixed_and_varied(full_axes(what.axes, chip))
    limits = _checked(sampler, trials, axes, what.constraints)
    check_axes(what.architecture, what.workload, fixed, axes)
    return chip, fixed, axes, limits


def _checked(sampler: str, trials: int, axes: Sequence[Axis], constraints: Sequence[str]) -> list[Constraint]:
    problems: list[Problem] = []
    limits: list[Constraint] = []
    if sampler not in SAMPLERS:
        problems.append(Problem(f"unknown sampler '{sampler}'", hint=did_you_mean(sampler, SAMPLERS)))
    if trials < 1:
        problems.append(Problem(f"trials must be at least 1, found {trials}", hint="--trials N"))
    if not axes:
        problems.append(Problem("nothing to search: no key has more than one value", hint="--set KEY=1:8"))
    try:
        limits = read_constraints(constraints)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    return limits


@contextmanager
def _optuna_errors(storage: str) -> Iterator[None]:
    """Put what Optuna complains about into our words: it reads a database that others may have written or damaged."""
    try:
        import optuna
    except ImportError:
        raise InputError.of("a search needs Optuna", hint="pip install 'accelsim-speech[explore]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    except AccelsimError:
        raise
    except optuna.exceptions.DuplicatedStudyError:
        hint = "go on with --resume, or give another --storage"
        raise InputError.of(f"{storage} holds a search already", hint=hint) from None
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise AccelsimError(f"cannot use the storage {storage}: {reason}") from None


def _study(url: str, sampler: str, seed: int, objectives: Sequence[Metric], resume: bool) -> Any:
    """Return a new Optuna study, or with ``resume`` the one that is there."""
    import optuna

    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    way = optuna.study.StudyDirection
    directions = [way.MAXIMIZE if metric.higher_is_better else way.MINIMIZE for metric in objectives]
    study = optuna.create_study(storage=url, study_name=_STUDY, directions=directions, load_if_exists=resume)
    # One that goes on must not draw its first points once more.
    seed = (seed + len(study.get_trials(deepcopy=False))) % 2**32  # NumPy's older generators, of Optuna, take no more
    study.sampler = (
        optuna.samplers.TPESampler(seed=seed)
        if sampler == "tpe"
        else optuna.samplers.NSGAIISampler(population_size=_POPULATION, seed=seed)
    )
    return study


def _each(trials: Iterator[Any], storage: str) -> Iterator[Any]:
    """Yield trials, with what Optuna complains about while it makes one in our words."""
    while True:
        with _optuna_errors(storage):
            trial = next(trials, None)
        if trial is None:
            return
        yield trial


def _trials(study: Any, trials: int, folder: str) -> Iterator[Any]:
    """Yield the trials to run: those that a killed search of this folder left behind, then new ones."""
    import optuna

    for left in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        if left.user_attrs.get("folder", folder) == folder:
            yield optuna.trial.Trial(study, left._trial_id)
    while len(study.get_trials(deepcopy=False)) < trials:
        trial = study.ask()
        trial.set_user_attr("folder", folder)
        yield trial


def _suggested(trial: Any, axis: Axis) -> dict[str, str]:
    """Return what a trial sets along an axis: a step of it, or a share of the way."""
    name, count = axis.keys[0], axis.count()
    if count is None:
        return axis.at(trial.suggest_float(name, 0.0, 1.0))
    if axis.range is not None:
        return axis.step(trial.suggest_int(name, 0, count - 1))
    return axis.step(trial.suggest_categorical(name, list(range(count))))


def _report(
    study: Any, trial: Any, outcome: Outcome, objectives: Sequence[Metric], limits: Sequence[Constraint]
) -> None:
    """Tell Optuna what came of a trial; one that failed, or lacks a metric, gives it nothing."""
    import optuna

    wanted = {metric.name: metric for metric in (*objectives, *(limit.metric for limit in limits))}
    values = {name: None if outcome.result is None else metric.of(outcome.result) for name, metric in wanted.items()}
    known = {name: float(value) for name, value in values.items() if value is not None}
    if len(known) < len(wanted):
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return
    for index, limit in enumerate(limits):
        trial.set_constraint(str(index), limit.excess(known))
    study.tell(trial, [known[metric.name] for metric in objectives])
