"""Our figures beside published ones, with their roles kept apart; and chips beside each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

import numpy as np

from accelsim.architecture import AnyArchitecture, load_architecture, whole_key
from accelsim.cost import check_point, check_prices
from accelsim.engines.deploy import deploy
from accelsim.errors import DataError, InputError, Problem, did_you_mean, show
from accelsim.explore.intervals import (
    RATES,
    Drawn,
    Evidence,
    Spread,
    drawn_at,
    drawn_result,
    error_rates,
    heard_in,
    is_cost,
    needed,
    of_result,
    spread_of,
)
from accelsim.explore.metrics import METRICS, Metric
from accelsim.explore.paths import wrong_part
from accelsim.explore.space import Axis, points_of
from accelsim.explore.spreads import interval, is_less
from accelsim.explore.store import Store
from accelsim.explore.studies import SHELF, StudyRow, evidence, read_table, rows_of
from accelsim.explore.sweep import Sweep, fixed_and_varied, full_axes, load_sweep
from accelsim.inputs import load_batch
from accelsim.library import find, find_workload, names
from accelsim.pipeline import Progress, Stages, network_on, run_in_full, split_overrides
from accelsim.record import record
from accelsim.result import Interval, Result
from accelsim.schema import Overrides, Source, check_schema_tag, load_yaml, override_texts, parse
from accelsim.schema.paper import JUDGED, Figure, Paper, PaperRun, StudyRun
from accelsim.schema.source import Location
from accelsim.workload import AnyWorkload, load_workload, workload_name

CHIP_METRICS = (
    "error_percent", "audio_per_frame_s", "cycles_per_frame", "latency_p50_s", "latency_p99_s", "latency_max_s",
    "real_time_factor", "duty_cycle", "energy_per_frame_j", "energy_per_audio_second_j", "power_w", "area_mm2",
    "tops_per_w", "gops_per_mm2", "dram_bytes_per_audio_second",
)  # fmt: skip

COSTS = {
    "energy_per_frame_j": "energy.per_frame_j", "energy_per_audio_second_j": "energy.per_audio_second_j",
    "power_w": "power_w", "area_mm2": "area_mm2", "tops_per_w": "efficiency.tops_per_w",
    "gops_per_mm2": "efficiency.gops_per_mm2",
}  # fmt: skip
"""Metrics of chips whose spread is over prices and assumed sizes, with their paths in a Result."""

PER_FRAME = ("cycles_per_frame", "latency_p50_s", "latency_p99_s", "latency_max_s", "energy_per_frame_j")
"""Figures that do not compare directly where a frame stands for more audio on one chip than on another."""

SAME_FRAME = 0.05
"""Frames whose audio differs by no more than this share are of one length: the end of an utterance is a part of one."""

SWEEPS = "arch/sweeps"

Verdict = Literal["holds", "misses", "cannot tell"]
HOLDS: Verdict = "holds"
MISSES: Verdict = "misses"
CANNOT_TELL: Verdict = "cannot tell"

OnRun = Callable[[str, int, int], None]
"""Called with (name, done, total) before each run."""


def _audio_per_frame(result: Result) -> float | None:
    return result.performance.audio_seconds / result.performance.frames or None


def _duty_cycle(result: Result) -> float | None:
    """Return the share of the time in which a chip is at work; None for records of before that hold no such share."""
    share = result.performance.duty_cycle
    return share if 0 < share <= 1 else None


_AUDIO = Metric("audio_per_frame_s", "audio_per_frame", "s", "time", 1, False, _audio_per_frame)
_METRICS = METRICS | {"audio_per_frame_s": _AUDIO, "duty_cycle": replace(METRICS["duty_cycle"], of=_duty_cycle)}


@dataclass(frozen=True)
class Row:
    """One figure: stated, ours with its 5 to 95 % interval, their ratio, and the verdict on a judged one.

    ``runs``: how many ours is the mean of; ``sd``: their sample standard deviation, None for one run and for a ratio.
    ``verdict``: None for a figure that is not judged or has no value. ``needed``: of ``spread.counted``, how many would
    tell the paper's value from its rival, where the verdict is `CANNOT_TELL` and speech decides; else 0.
    """

    figure: Figure
    ours: float | None
    ratio: float | None
    verdict: Verdict | None = None
    spread: Spread | None = None
    needed: int = 0
    runs: int = 1
    sd: float | None = None

    @property
    def holds(self) -> bool | None:
        """Tell whether a judged figure holds or misses; None where it is not judged, or where nobody can tell."""
        return None if self.verdict in (None, CANNOT_TELL) else self.verdict == HOLDS


@dataclass(frozen=True)
class Comparison:
    """All figures of a paper, and the Results that ours came from; those of studies stay in their tables.

    ``missing``: why runs were left out, by name: their data or study is not on this machine. Their figures have no
    value.
    """

    paper: Paper
    rows: tuple[Row, ...]
    results: dict[str, Result]
    missing: dict[str, str]

    def holds(self) -> bool:
        """Tell whether no judged figure misses."""
        return all(row.holds is not False for row in self.rows)


@dataclass(frozen=True)
class ChipRow:
    """One figure of every chip, in its unit; None where a chip has no such figure.

    ``ratios``: of every further chip over the first, None where there is none or where the two measure different
    things. ``best``: which chips have the best value, with those that are not known to be worse; empty where that are
    all of them, or where the values do not compare directly. ``intervals``, ``ratio_intervals``: 95 % of draws over
    utterances and programmings, of costs over prices and assumed sizes, the same for all chips; None where nothing is
    known to spread.
    """

    metric: Metric
    values: tuple[float | None, ...]
    ratios: tuple[float | None, ...]
    best: frozenset[int]
    intervals: tuple[Interval | None, ...]
    ratio_intervals: tuple[Interval | None, ...]


def load_paper(name: str | Path) -> Paper:
    """Read and check a file of published figures by name or path; raises InputError."""
    return _read_paper(name)[0]


def _read_paper(name: str | Path) -> tuple[Paper, Source]:
    source = load_yaml(find(name, "arch/papers"))
    check_schema_tag(source, "paper")
    paper = parse(Paper, source)
    problems = [
        problem
        for key, spec in paper.runs.items()
        if isinstance(spec, StudyRun)
        for problem in _study_problems(spec, source, key)
    ]
    looks: list[tuple[Location, Callable[[], Any]]] = [(("architecture",), partial(find, paper.architecture, "arch"))]
    looks += [
        (("runs", key, "workload"), partial(find_workload, spec.workload))
        for key, spec in paper.runs.items()
        if isinstance(spec, PaperRun)
    ]
    problems += source.problems_of(looks)
    for index, figure in enumerate(paper.figures):
        for key, path in (("path", figure.path), ("per", figure.per)):
            wrong = wrong_part(Result, path.split(".")) if path is not None else None
            if wrong is not None:
                part, known = wrong
                hint = did_you_mean(part, known) if known else None
                problems.append(source.problem(f"a result has no number at '{path}'", ("figures", index, key), hint))
        problems += _unjudgeable(paper, figure, source, index)
    if problems:
        raise InputError(problems)
    return paper, source


def _unjudgeable(paper: Paper, figure: Figure, source: Source, index: int) -> list[Problem]:
    """Return what keeps a figure that is to be judged from an interval."""
    if figure.role not in JUDGED or figure.judged():
        return []
    where = ("figures", index, "path")
    for path in (figure.path, figure.per or ""):
        if fnmatchcase(path, "layers.*.energy_j"):
            return [source.problem("the energy of a layer has no interval", where, "take that of components")]
        if is_cost(path) and any(isinstance(paper.runs[name], StudyRun) for name in figure.runs()):
            hint = "name a workload and its settings instead of the study"
            return [source.problem("a cost in a study has no interval", where, hint)]
    return []


def paper_beside(result: Result) -> Paper | None:
    """Return the paper whose figures stand beside a run, with those figures alone; None where no paper has any.

    A figure does where the run, or one of its other operating points, has the chip, the workload and the settings of
    the figure's run: the hashes of both, which hold their files and settings, are the same.
    """
    for name in names("arch/papers"):
        paper = load_paper(name)
        if paper.architecture != result.arch.name:
            continue
        shown = [figure for figure in paper.figures if figure.short]
        same = {run for run in {figure.run for figure in shown} if _is_run(result, paper, run)}
        if same:
            return paper.model_copy(update={"figures": [figure for figure in shown if figure.run in same]})
    return None


def _is_run(result: Result, paper: Paper, name: str) -> bool:
    """Tell whether a Result is that of a paper's run, at one of its operating points."""
    spec = paper.runs[name]
    assert isinstance(spec, PaperRun)  # the paper's check: no figure of a study is shown beside a run
    for_chip, for_network = split_overrides(spec.set)
    try:
        if result.workload.name != workload_name(spec.workload):  # seen without its tensors, which may take long
            return False
        chip = load_architecture(paper.architecture, for_chip)
        # What a point sets is no setting of the run that has the point.
        points = [point for point in chip.spec.operating_points.values() if point.items() <= for_chip.items()]
        others = [{key: value for key, value in for_chip.items() if key not in point} for point in points]
        chips = [chip, *(load_architecture(paper.architecture, settings) for settings in others)]
        if result.arch.sha256 not in {one.sha256 for one in chips}:
            return False
        return result.workload.sha256 == load_workload(spec.workload, for_network).sha256
    except InputError:
        return False  # the files of the library have been changed, so that the paper's run is not among them


def compare(
    name: str | Path,
    *,
    studies: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    on_run: OnRun | None = None,
) -> Comparison:
    """Run what a paper's figures need, once each, and set ours beside them.

    ratio = ours / stated; see `judged` for the verdicts. Runs of studies are taken from the tables of the library, see
    `accelsim.explore.studies`, or from the folder ``studies``, which has such tables, or the stores of finished sweeps,
    each named after its sweep's file. Raises InputError.
    """
    paper, source = _read_paper(name)
    needed = [r for r in paper.runs if any(r in figure.runs() for figure in paper.figures)]
    needed.sort(key=lambda key: not isinstance(paper.runs[key], StudyRun))  # a table that is refused costs no run
    results: dict[str, Result] = {}
    found: dict[str, Evidence] = {}
    missing: dict[str, str] = {}
    for done, key in enumerate(needed):
        if on_run is not None:
            on_run(key, done, len(needed))
        spec = paper.runs[key]
        paths = _paths(paper, key)
        settings = {} if isinstance(spec, StudyRun) else spec.set
        try:
            if isinstance(spec, StudyRun):
                found[key] = _studied(key, spec, studies, paths)
                continue
            full = run_in_full(
                paper.architecture, spec.workload, overrides=settings, seed=seed, progress=progress, one_frame=False,
                stages=Stages(load_batch=partial(load_batch, samples=False)),  # a paper is not judged on a sample
            )  # fmt: skip
        except DataError as error:
            missing[key] = str(error)
            continue
        except InputError as error:
            raise error.said_at({name: source.where(("runs", key, "set", name)) for name in settings}) from None
        results[key] = record(full, f"compare {paper.name}")
        with source.at(("runs", key)):
            found[key] = of_result(key, results[key], full, paths)
    return Comparison(paper, tuple(_row(figure, found) for figure in paper.figures), results, missing)


def compare_all(
    *,
    studies: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    on_run: OnRun | None = None,
) -> tuple[Comparison, ...]:
    """Compare with every paper of the library, in the order of their names; raises InputError."""
    options: dict[str, Any] = {"studies": studies, "seed": seed, "progress": progress, "on_run": on_run}
    return tuple(compare(name, **options) for name in names("arch/papers"))


def compare_chips(
    chips: Sequence[AnyArchitecture],
    workload: AnyWorkload | None = None,
    *,
    overrides: Overrides | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    on_run: OnRun | None = None,
) -> tuple[tuple[Result, ...], tuple[ChipRow, ...]]:
    """Run two or more chips, each with its own workload or all with the given one, and set their figures side by side.

    ``overrides`` hold for all that have what they name, see `settings_of_each`. Mistakes in any of the files are told
    before the first chip runs. Figures that no chip has are left out. Raises InputError.
    """
    if len(chips) < 2:
        raise InputError.of(f"expected two or more architectures to compare, found {len(chips)}")
    settings = settings_of_each(chips, overrides or {})
    _check_chips(chips, workload, settings)
    results, draws = [], []
    for done, (chip, its) in enumerate(zip(chips, settings, strict=True)):
        if on_run is not None:
            on_run(str(chip), done, len(chips))
        result, costs = _run_chip(chip, workload, overrides=its, seed=seed, progress=progress)
        results.append(result)
        draws.append(costs | _rates_drawn(result, str(done)))
    rows = [_chip_row(_METRICS[name], results, draws) for name in CHIP_METRICS]
    return tuple(results), tuple(row for row in rows if any(value is not None for value in row.values))


def _run_chip(chip: AnyArchitecture, workload: AnyWorkload | None, **options: Any) -> tuple[Result, dict[str, Drawn]]:
    """Run a chip; return its Result, and draws of those of its metrics that are costs."""
    full = run_in_full(chip, workload, **options)
    result = record(full, "compare")
    drawn = drawn_result(result, full)
    return result, {name: drawn_at(drawn, path) for name, path in COSTS.items()}


def _rates_drawn(result: Result, name: str) -> dict[str, Drawn]:
    """Return draws of the error rate, where errors were counted by utterance."""
    heard = heard_in([result]) if _METRICS["error_percent"].of(result) is not None else None
    return {} if heard is None else {"error_percent": error_rates(heard, "accuracy.value", name)}


def settings_of_each(chips: Sequence[AnyArchitecture], overrides: Overrides) -> list[dict[str, str]]:
    """Return what is set on each of several chips: a key of a component on those alone that have the component.

    A key of a component that none has is left for all, and so is every key for a chip that cannot be read: both are
    refused where they are run.
    """
    texts = override_texts(overrides)
    parts = [_parts_of(chip) for chip in chips]
    anywhere = frozenset().union(*(here for here in parts if here is not None))

    def holds(key: str, here: frozenset[str]) -> bool:
        first, _, rest = whole_key(key, anywhere).partition(".")
        name = rest.partition(".")[0]
        return first != "components" or name in here or name not in anywhere

    return [{key: text for key, text in texts.items() if here is None or holds(key, here)} for here in parts]


def _parts_of(chip: AnyArchitecture) -> frozenset[str] | None:
    """Return the names of a chip's components, None where its file is none."""
    try:
        return frozenset(load_architecture(chip).spec.components)
    except InputError:
        return None


def _study_problems(spec: StudyRun, source: Source, key: str) -> list[Problem]:
    """Return what is wrong with the run of a study: its sweep must exist and have one configuration of the point."""
    try:
        file = find(spec.study, SWEEPS)
    except InputError:
        hint = did_you_mean(spec.name(), names(SWEEPS))
        return [source.problem(f"no sweep named '{spec.study}' in {SWEEPS}", ("runs", key, "study"), hint)]
    configurations = _configurations(load_sweep(file))
    problems = []
    for setting, value in spec.point.items():
        values = list(dict.fromkeys(c[setting] for c in configurations if setting in c))
        where = ("runs", key, "point", setting)
        if not values:
            hint = did_you_mean(setting, configurations[0])
            problems.append(source.problem(f"the sweep {spec.name()} does not set '{setting}'", where, hint))
        elif value not in values:
            hint = did_you_mean(value, values)
            problems.append(source.problem(f"the sweep {spec.name()} has no {setting} of '{value}'", where, hint))
    if problems:
        return problems
    matching = _matching(configurations, spec.point)
    place = ("runs", key, "point" if spec.point else "study")
    if not matching:
        return [source.problem(f"no point of the sweep {spec.name()} has all of these values", place)]
    open_ = [setting for setting in matching[0] if len({c[setting] for c in matching}) > 1]
    if open_:
        message = f"{len(matching)} points of the sweep {spec.name()} have these values, expected one"
        return [source.problem(message, place, f"say which: {', '.join(open_)}")]
    return []


def _configurations(what: Sweep) -> list[dict[str, str]]:
    """Return what each configuration of a sweep sets, what is fixed for all of them included, as its file writes it."""
    fixed, axes = fixed_and_varied(what.axes)
    return [{**fixed, **point.keys} for point in points_of(axes, what.method, what.points, what.seed, seeds=1)]


def _matching(configurations: list[dict[str, str]], point: Mapping[str, str]) -> list[dict[str, str]]:
    return [c for c in configurations if point.items() <= c.items()]


def study_paths(name: str) -> list[str]:
    """Return the paths of the figures that the papers of the library take from a study."""
    found: dict[str, None] = {}
    for one in names("arch/papers"):
        paper = load_paper(one)
        for key, spec in paper.runs.items():
            if isinstance(spec, StudyRun) and spec.name() == name:
                found |= dict.fromkeys(_paths(paper, key))
    return list(found)


def _paths(paper: Paper, run: str) -> list[str]:
    """Return the paths of the figures that a paper takes from one of its runs."""
    figures = [figure for figure in paper.figures if run in figure.runs()]
    return list(dict.fromkeys(path for figure in figures for path in (figure.path, figure.per) if path is not None))


def _studied(key: str, spec: StudyRun, studies: Path | None, paths: Sequence[str]) -> Evidence:
    """Return the evidence of all seeds of a study's point, from its table or the store of its finished sweep.

    Raises DataError where neither is there or a seed is missing, InputError where they were made of other files.
    """
    what = load_sweep(find(spec.study, SWEEPS))
    rows, where = _rows(spec, what, studies, paths)
    if other := [row for row in rows if (row.architecture, row.workload) != (what.architecture, what.workload)]:
        message = f"{where} is of another sweep: it was run on {show(other[0].architecture)}"
        raise InputError.of(message, hint=f"{_command(spec, studies)}")
    settings = _matching(_configurations(what), spec.point)[0]
    (axis,) = full_axes([Axis(tuple(settings), (tuple(settings.values()),))], load_architecture(what.architecture))
    rows = list({row.seed: row for row in rows if row.settings == axis.step(0)}.values())
    if len(rows) < what.seeds:
        point = ", ".join(f"{key} = {value}" for key, value in spec.point.items())
        has = f"has {len(rows)} of {what.seeds} seeds" + (f" with {point}" if point else "")
        raise DataError.of(f"study {spec.name()} {has}: {_command(spec, studies)} --resume")
    return evidence(key, rows, paths, where)


def _rows(spec: StudyRun, what: Sweep, studies: Path | None, paths: Sequence[str]) -> tuple[list[StudyRow], str]:
    """Return the rows of a study, and where they are from: a folder that was given, or the library's tables."""
    name = spec.name()
    if studies is None:
        try:
            table = find(name, SHELF, ".csv")
        except InputError:
            raise DataError.of(f"study {name} has no table in {SHELF}: {_command(spec, studies)}") from None
        return read_table(table), f"the table of the study {name}"
    if os.path.isfile(table := studies / f"{name}.csv"):
        return read_table(table), str(table)
    if not Store.begun(studies / name):
        raise DataError.of(f"study {name} is not in {studies}: {_command(spec, studies)}")
    with Store.open(studies / name) as store:
        return rows_of(store, what, paths), f"the study in {studies / name}"


def _command(spec: StudyRun, studies: Path | None) -> str:
    folder = (studies or Path("DIR")) / spec.name()
    return f"run accelsim sweep {spec.file()} -o {folder}" + ("" if studies else f" --table {SHELF}/{spec.name()}.csv")


def _check_chips(
    chips: Sequence[AnyArchitecture], workload: AnyWorkload | None, settings: Sequence[Mapping[str, str]]
) -> None:
    """Raise InputError with all that is wrong with the files of all chips, or that keeps a network off its chip."""
    problems: list[Problem] = []
    for name, its in zip(chips, settings, strict=True):
        for_chip, for_network = split_overrides(its)
        try:
            chip = load_architecture(name, for_chip)
            for point in (chip, *chip.operating_points.values()):
                check_point(point)
                check_prices(point)
            deploy(network_on(chip, workload, for_network), chip)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


def _chip_row(metric: Metric, results: Sequence[Result], draws: Sequence[Mapping[str, Drawn]]) -> ChipRow:
    values = tuple(metric.of(result) for result in results)
    drawn = [None if value is None else of.get(metric.name, value) for value, of in zip(values, draws, strict=True)]
    measured = [_measured(metric, result) for result in results]
    ratios: list[float | None] = []
    spreads: list[Interval | None] = []
    for value, one, what in zip(values[1:], drawn[1:], measured[1:], strict=True):
        if not values[0] or value is None or one is None or drawn[0] is None or what != measured[0]:
            ratios.append(None)
            spreads.append(None)
            continue
        ratios.append(value / values[0])
        with np.errstate(divide="ignore", invalid="ignore"):  # a draw of utterances without an error
            spreads.append(interval(one / drawn[0]))
    best = _best(metric, results, values, drawn, measured)
    each = tuple(None if one is None else interval(one) for one in drawn)
    return ChipRow(metric, values, tuple(ratios), best, each, tuple(spreads))


def _best(
    metric: Metric,
    results: Sequence[Result],
    values: tuple[float | None, ...],
    drawn: Sequence[Drawn | float | None],
    measured: list[tuple[str, ...]],
) -> frozenset[int]:
    badness = {index: metric.badness(value) for index, value in enumerate(values) if value is not None}
    if metric is _AUDIO or len({measured[index] for index in badness}) > 1 or len(set(badness.values())) < 2:
        return frozenset()
    audio = [_audio_per_frame(results[index]) or 0.0 for index in badness]
    if metric.name in PER_FRAME and max(audio) - min(audio) > SAME_FRAME * max(audio):
        return frozenset()
    sign = -1 if metric.higher_is_better else 1
    draws = {index: sign * one for index, one in enumerate(drawn) if one is not None}
    first = min(badness, key=lambda index: badness[index])
    best = frozenset(index for index in badness if not is_less(draws[first], draws[index]))
    return best if len(best) < len(badness) else frozenset()


def _measured(metric: Metric, result: Result) -> tuple[str, ...]:
    """Return what a figure of a chip measures, where that is not the same on every chip."""
    if metric.name == "error_percent" and result.accuracy is not None:
        return result.accuracy.metric, result.accuracy.dataset
    return ()


def _row(figure: Figure, found: Mapping[str, Evidence]) -> Row:
    if not set(figure.runs()) <= found.keys():
        return Row(figure, None, None)
    ours = found[figure.run].values(figure.path, figure.per)
    base = [1.0] if figure.relative_to is None else found[figure.relative_to].values(figure.path, figure.per)
    if not ours or not base or not fmean(base):
        return Row(figure, None, None, MISSES if figure.role in JUDGED else None)
    factor = figure.scale / fmean(base)
    value = factor * fmean(ours)
    sd = factor * stdev(ours) if len(ours) > 1 and figure.relative_to is None else None
    spread = _spread(figure, found)
    verdict, more = (None, 0) if figure.role not in JUDGED else judged(figure, value, spread)
    return Row(figure, value, value / figure.value, verdict, spread, more, len(ours), sd)


def _spread(figure: Figure, found: Mapping[str, Evidence]) -> Spread:
    """Return the interval of a figure that has a value: of its draws, or of those of the runs that it is between."""
    ends = []
    for name in figure.between or (figure.run,):
        draws = found[name].draws(figure.path, figure.per)
        base = 1.0 if figure.relative_to is None else found[figure.relative_to].draws(figure.path, figure.per)
        assert draws is not None and base is not None  # the figure has a value
        heard = found[name].heard if figure.path in RATES else None
        with np.errstate(divide="ignore", invalid="ignore"):  # a draw of utterances without an error
            ends.append(spread_of(figure.scale * draws / base, heard))
    return replace(ends[0], low=min(end.low for end in ends), high=max(end.high for end in ends))


def judged(figure: Figure, ours: float, spread: Spread) -> tuple[Verdict, int]:
    """Return the verdict on a figure, and how much speech would decide it where nobody can tell, else 0.

    With bounds: whether ours over stated is within them. Else `HOLDS` where the paper's value lies inside the interval,
    `MISSES` where it lies outside, and `CANNOT_TELL` where the interval holds both the paper's value and its rival.
    """
    if figure.judged():
        return (HOLDS if figure.holds(ours / figure.value) else MISSES), 0
    if not spread.low <= figure.value <= spread.high:
        return MISSES, 0
    rival = figure.against()
    if rival is None or not spread.low <= rival <= spread.high:
        return HOLDS, 0
    return CANNOT_TELL, needed(spread, abs(figure.value - rival))
