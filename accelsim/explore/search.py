"""A search: Optuna chooses the points, each one after it has seen what came of those before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelsim.architecture import load_architecture
from accelsim.errors import AccelsimError, InputError, Problem, did_you_mean
from accelsim.explore.metrics import Constraint, Metric, metric_named, read_constraint
from accelsim.explore.reuse import Reuse
from accelsim.explore.space import Axis, Point
from accelsim.explore.store import Outcome, Store
from accelsim.explore.sweep import (
    Progress,
    Sweep,
    begin_or_resume,
    check_axes,
    describe,
    fixed_and_varied,
    full_axes,
)
from accelsim.explore.workers import Job, evaluate

SAMPLERS = ("tpe", "nsga2")
_STUDY = "accelsim"
_POPULATION = 24


def run_search(
    what: Sweep,
    out: Path,
    *,
    trials: int,
    sampler: str | None = None,
    constraints: Sequence[str] = (),
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
    chip = load_architecture(what.architecture)
    fixed, axes = fixed_and_varied(full_axes(what.axes, chip))
    objectives = [metric_named(name) for name in what.objectives]
    sampler = sampler or ("tpe" if len(objectives) == 1 else "nsga2")
    limits = _checked(sampler, trials, axes, constraints)
    check_axes(what.architecture, what.workload, fixed, axes)
    asked = describe(what, fixed, axes, chip) | {
        "kind": "search", "method": sampler, "points": None, "seeds": 1, "constraints": list(constraints),
    }  # fmt: skip
    with _study(storage or f"sqlite:///{out.resolve() / 'study.sqlite'}", resume) as open_study:
        store = begin_or_resume(out, asked, resume)
        try:
            study = open_study(sampler, what.seed, objectives)
            reuse, job = Reuse(), Job(what.architecture, what.workload, fixed)
            for trial, number in _trials(study, trials, store):
                tell(f"{number} of {trials} trials", number, trials)
                settings = {key: value for i, axis in enumerate(axes) for key, value in _suggested(trial, i, axis)}
                outcome = evaluate(job, Point(number, number, what.seed, settings), reuse)
                store.add(outcome)
                _report(study, trial, outcome, objectives, limits)
        except BaseException:
            store.close()
            raise
    return store


def _checked(sampler: str, trials: int, axes: Sequence[Axis], constraints: Sequence[str]) -> list[Constraint]:
    problems, limits = [], []
    if sampler not in SAMPLERS:
        problems.append(Problem(f"unknown sampler '{sampler}'", hint=did_you_mean(sampler, SAMPLERS)))
    if trials < 1:
        problems.append(Problem(f"trials must be at least 1, found {trials}"))
    if not axes:
        problems.append(Problem("nothing to search: no key has more than one value", hint="--set KEY=1:8"))
    for text in constraints:
        try:
            limits.append(read_constraint(text))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return limits


@contextmanager
def _study(storage: str, resume: bool) -> Iterator[Callable[[str, int, Sequence[Metric]], Any]]:
    """Give the function that opens the study, with Optuna's errors in our words."""
    try:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        raise InputError.of("a search needs Optuna", hint="pip install 'accelsim-speech[explore]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def open_study(sampler: str, seed: int, objectives: Sequence[Metric]) -> Any:
        chosen = (
            optuna.samplers.TPESampler(seed=seed)
            if sampler == "tpe"
            else optuna.samplers.NSGAIISampler(population_size=_POPULATION, seed=seed)
        )
        way = optuna.study.StudyDirection
        directions = [way.MAXIMIZE if metric.higher_is_better else way.MINIMIZE for metric in objectives]
        return optuna.create_study(
            storage=storage, study_name=_STUDY, sampler=chosen, directions=directions, load_if_exists=resume
        )

    try:
        yield open_study
    except optuna.exceptions.DuplicatedStudyError:
        hint = "go on with --resume, or give another --storage"
        raise InputError.of(f"{storage} holds a search already", hint=hint) from None
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError, ImportError) as error:
        raise AccelsimError(f"cannot use the storage {storage}: {str(error).splitlines()[0]}") from None


def _trials(study: Any, trials: int, store: Store) -> Iterator[tuple[Any, int]]:
    """Yield the trials to run with their numbers: those that a killed search left behind, then new ones."""
    import optuna

    for left in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        yield optuna.trial.Trial(study, left._trial_id), left.number
    while len(study.get_trials(deepcopy=False)) < trials:
        trial = study.ask()
        yield trial, trial.number


def _suggested(trial: Any, index: int, axis: Axis) -> Iterator[tuple[str, str]]:
    """Yield what a trial sets along an axis: a step of it, or a share of the way."""
    name, count = axis.keys[0], axis.count()
    if count is None:
        settings = axis.at(trial.suggest_float(name, 0.0, 1.0))
    elif axis.range is not None:
        settings = axis.step(trial.suggest_int(name, 0, count - 1))
    else:
        settings = axis.step(trial.suggest_categorical(name, list(range(count))))
    yield from settings.items()


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
