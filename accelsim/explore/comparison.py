"""Our figures beside published ones, with their roles kept apart; and chips beside each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean, stdev
from types import UnionType
from typing import Any, Union, get_args, get_origin

from accelsim.architecture import load_architecture
from accelsim.cost import check_point, check_prices
from accelsim.engines.deploy import deploy
from accelsim.errors import DataError, InputError, Problem, did_you_mean, nearest
from accelsim.explore.metrics import METRICS, Metric
from accelsim.explore.space import Axis, points_of
from accelsim.explore.store import Store
from accelsim.explore.sweep import Sweep, fixed_and_varied, full_axes, load_sweep
from accelsim.library import find, names
from accelsim.pipeline import Progress, run, split_overrides
from accelsim.result import Record, Result
from accelsim.schema import Overrides, Source, check_schema_tag, load_yaml, parse
from accelsim.schema.paper import Figure, Paper, PaperRun, StudyRun
from accelsim.workload import load_workload, workload_name

CHIP_METRICS = (
    "error_percent", "audio_per_frame_s", "cycles_per_frame", "latency_p50_s", "latency_p99_s", "latency_max_s",
    "real_time_factor", "duty_cycle", "energy_per_frame_j", "energy_per_audio_second_j", "power_w", "area_mm2",
    "tops_per_w", "gops_per_mm2", "dram_bytes_per_audio_second",
)  # fmt: skip

PER_FRAME = ("cycles_per_frame", "latency_p50_s", "latency_p99_s", "latency_max_s", "energy_per_frame_j")
"""Figures that do not compare directly where a frame stands for more audio on one chip than on another."""

SAME_FRAME = 0.05
"""Frames whose audio differs by no more than this share are of one length: the end of an utterance is a part of one."""

SWEEPS = "arch/sweeps"

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
    """One figure: stated, ours, their ratio, and whether a judged one holds (None: not judged).

    ``runs``: how many ours is the mean of; ``sd``: their sample standard deviation, None for one run and for a ratio.
    """

    figure: Figure
    ours: float | None
    ratio: float | None
    holds: bool | None
    runs: int = 1
    sd: float | None = None


@dataclass(frozen=True)
class Comparison:
    """All figures of a paper, and the Results that ours came from; those of studies stay in their stores.

    ``missing``: why runs were left out, by name: their data or study is not on this machine. Their figures have no
    value.
    """

    paper: Paper
    rows: tuple[Row, ...]
    results: dict[str, Result]
    missing: dict[str, str]

    def holds(self) -> bool:
        """Tell whether every judged figure is within its bounds."""
        return all(row.holds is not False for row in self.rows)


@dataclass(frozen=True)
class ChipRow:
    """One figure of every chip, in its unit; None where a chip has no such figure.

    ``ratios``: of every further chip over the first, None where there is none or where the two measure different
    things. ``best``: which chips have the best value; empty where all have the same, or where the values do not compare
    directly.
    """

    metric: Metric
    values: tuple[float | None, ...]
    ratios: tuple[float | None, ...]
    best: frozenset[int]


def load_paper(name: str | Path) -> Paper:
    """Read and check a file of published figures by name or path; raises InputError."""
    source = load_yaml(find(name, "arch/papers"))
    check_schema_tag(source, "paper")
    paper = parse(Paper, source)
    problems = [
        problem
        for key, spec in paper.runs.items()
        if isinstance(spec, StudyRun)
        for problem in _study_problems(spec, source, key)
    ]
    for index, figure in enumerate(paper.figures):
        for key, path in (("path", figure.path), ("per", figure.per)):
            wrong = _wrong_part(Result, path.split(".")) if path is not None else None
            if wrong is not None:
                part, known = wrong
                hint = did_you_mean(part, known) if known else None
                problems.append(source.problem(f"a result has no number at '{path}'", ("figures", index, key), hint))
    if problems:
        raise InputError(problems)
    return paper


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

    ratio = ours / stated; a judged figure holds when |ratio - 1| <= tolerance, or 1 / factor <= ratio <= factor.
    ``studies``: the folder with the stores of finished sweeps, each named after its file, that runs of studies are
    taken from. Raises InputError.
    """
    paper = load_paper(name)
    needed = [r for r in paper.runs if any(r in (f.run, f.relative_to) for f in paper.figures)]
    results: dict[str, Result] = {}
    studied: dict[str, tuple[Result, ...]] = {}
    missing: dict[str, str] = {}
    for done, key in enumerate(needed):
        if on_run is not None:
            on_run(key, done, len(needed))
        spec = paper.runs[key]
        try:
            if isinstance(spec, StudyRun):
                studied[key] = _studied(spec, studies)
                continue
            results[key] = run(
                paper.architecture,
                spec.workload,
                overrides=spec.set,
                seed=seed,
                command=f"compare {paper.name}",
                progress=progress,
            )
        except DataError as error:
            missing[key] = str(error)
    found = {key: (result,) for key, result in results.items()} | studied
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
    chips: Sequence[str | Path],
    workload: str | Path | None = None,
    *,
    overrides: Overrides | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    on_run: OnRun | None = None,
) -> tuple[tuple[Result, ...], tuple[ChipRow, ...]]:
    """Run two or more chips, each with its own workload or all with the given one, and set their figures side by side.

    ``overrides`` hold for all. Mistakes in any of the files are told before the first chip runs. Figures that no chip
    has are left out. Raises InputError.
    """
    if len(chips) < 2:
        raise InputError.of(f"expected two or more architectures to compare, found {len(chips)}")
    _check_chips(chips, workload, overrides or {})
    results = []
    for done, chip in enumerate(chips):
        if on_run is not None:
            on_run(str(chip), done, len(chips))
        results.append(run(chip, workload, overrides=overrides, seed=seed, command="compare", progress=progress))
    rows = [_chip_row(_METRICS[name], results) for name in CHIP_METRICS]
    return tuple(results), tuple(row for row in rows if any(value is not None for value in row.values))


def value_at(result: Result, path: str) -> float | None:
    """Return the number at a dotted path of a Result, None where it is absent; raises InputError on a wrong path.

    Parts of a path are keys of records, or names of the records in a list: ``components.adc.area_mm2``. A name may hold
    dots, the longest that fits wins; a pattern such as ``layers.*.linear_pos.cycles`` is the sum over all that match.
    """
    values = _values_at(result.model_dump(), path.split("."))
    if not values:
        raise InputError.of(f"a result has no '{path}'")
    numbers = [value for value in values if value is not None]
    return sum(map(float, numbers)) if numbers else None


def _values_at(data: Any, path: list[str]) -> list[Any]:
    """Return all that a path leads to, nothing where it leads nowhere."""
    if data is None or not path:
        return [data]
    if isinstance(data, list):
        data = {item["name"]: item for item in data if isinstance(item, dict)}
    if not isinstance(data, dict):
        return []
    for length in range(len(path), 0, -1):
        wanted, rest = ".".join(path[:length]), path[length:]
        items = [item for name, item in data.items() if name == wanted or fnmatchcase(name, wanted)]
        if values := [value for item in items for value in _values_at(item, rest)]:
            return values
    return []


def _wrong_part(annotation: Any, path: list[str]) -> tuple[str, list[str]] | None:
    """Return the first part of a path that a record cannot have and what it could be, None when it ends at a number.

    Names within lists and mappings depend on the run, so any will do, of any number of parts.
    """
    inner = [a for a in get_args(annotation) if a is not type(None)]
    if get_origin(annotation) in (Union, UnionType):
        return _wrong_part(inner[0], path)
    if not path:
        return None if annotation in (int, float) else ("", [])
    if get_origin(annotation) is dict or (get_origin(annotation) is list and _is_record(inner[0])):
        wrong = [_wrong_part(inner[-1], path[length:]) for length in range(len(path), 0, -1)]
        if None in wrong:
            return None
        return next((part for part in wrong if part is not None and nearest(*part)), wrong[-1])
    fields = annotation.model_fields if _is_record(annotation) else {}
    if path[0] not in fields:
        return path[0], list(fields)
    return _wrong_part(fields[path[0]].annotation, path[1:])


def _is_record(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Record)


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


def _studied(spec: StudyRun, studies: Path | None) -> tuple[Result, ...]:
    """Return the Results of all seeds of a study's point, from the store of its finished sweep.

    Raises DataError where the store or a seed is missing, InputError where today's files are not those of the store.
    """
    what = load_sweep(find(spec.study, SWEEPS))
    folder = (studies or Path("DIR")) / spec.name()
    command = f"run accelsim sweep {spec.file()} -o {folder}"
    if studies is None or not Store.begun(folder):
        raise DataError.of(f"study {spec.name()} is not in --studies: {command}")
    settings = _matching(_configurations(what), spec.point)[0]
    (axis,) = full_axes([Axis(tuple(settings), (tuple(settings.values()),))], load_architecture(what.architecture))
    settings = axis.step(0)
    with Store.open(folder) as store:
        fixed = store.meta()["set"]
        rows = [row for row in store.points() if row["status"] == "done" and {**fixed, **row["keys"]} == settings]
        numbers = {row["seed"]: row["point"] for row in rows}
        results = tuple(result for number in numbers.values() if (result := store.result(number)) is not None)
    if len(results) < what.seeds:
        point = ", ".join(f"{key} = {value}" for key, value in spec.point.items())
        found = f"has {len(results)} of {what.seeds} seeds" + (f" with {point}" if point else "")
        raise DataError.of(f"study {spec.name()} {found}: {command} --resume")
    for_chip, for_network = split_overrides(settings)
    chip = load_architecture(what.architecture, for_chip)
    network = load_workload(what.workload or chip.spec.workload, for_network)
    for result in results:
        for kind, then, now in (("architecture", result.arch, chip), ("workload", result.workload, network)):
            if then.sha256 != now.sha256:
                message = f"the study in {folder} was made of other files: {kind} '{then.name}' has changed since"
                raise InputError.of(message, hint=f"{command}, with an empty folder")
    return results


def _check_chips(chips: Sequence[str | Path], workload: str | Path | None, overrides: Overrides) -> None:
    """Raise InputError with all that is wrong with the files of all chips, or that keeps a network off its chip."""
    for_chip, for_network = split_overrides(overrides)
    problems: list[Problem] = []
    for name in chips:
        try:
            chip = load_architecture(name, for_chip)
            for point in (chip, *chip.operating_points.values()):
                check_point(point)
                check_prices(point)
            deploy(load_workload(workload or chip.spec.workload, for_network), chip)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


def _chip_row(metric: Metric, results: Sequence[Result]) -> ChipRow:
    values = tuple(metric.of(result) for result in results)
    measured = [_measured(metric, result) for result in results]
    first = values[0]
    ratios = tuple(
        value / first if first and value is not None and what == measured[0] else None
        for value, what in zip(values[1:], measured[1:], strict=True)
    )
    return ChipRow(metric, values, ratios, _best(metric, results, values, measured))


def _best(
    metric: Metric, results: Sequence[Result], values: tuple[float | None, ...], measured: list[tuple[str, ...]]
) -> frozenset[int]:
    badness = {index: metric.badness(value) for index, value in enumerate(values) if value is not None}
    if metric is _AUDIO or len({measured[index] for index in badness}) > 1 or len(set(badness.values())) < 2:
        return frozenset()
    audio = [_audio_per_frame(results[index]) or 0.0 for index in badness]
    if metric.name in PER_FRAME and max(audio) - min(audio) > SAME_FRAME * max(audio):
        return frozenset()
    return frozenset(index for index, value in badness.items() if value == min(badness.values()))


def _measured(metric: Metric, result: Result) -> tuple[str, ...]:
    """Return what a figure of a chip measures, where that is not the same on every chip."""
    if metric.name == "error_percent" and result.accuracy is not None:
        return result.accuracy.metric, result.accuracy.dataset
    return ()


def _row(figure: Figure, found: Mapping[str, tuple[Result, ...]]) -> Row:
    if not {figure.run, figure.relative_to or figure.run} <= found.keys():
        return Row(figure, None, None, None)
    ours = _values_of(figure, found[figure.run])
    base = [1.0] if figure.relative_to is None else _values_of(figure, found[figure.relative_to])
    if not ours or not base or not fmean(base):
        return Row(figure, None, None, False if figure.judged() else None)
    factor = figure.scale / fmean(base)
    value = factor * fmean(ours)
    ratio = value / figure.value
    sd = factor * stdev(ours) if len(ours) > 1 and figure.relative_to is None else None
    return Row(figure, value, ratio, figure.holds(ratio), len(ours), sd)


def _values_of(figure: Figure, results: tuple[Result, ...]) -> list[float]:
    """Return a figure's value, or its share of another one, in each Result; nothing where one has none."""
    values = []
    for result in results:
        value = value_at(result, figure.path)
        whole = 1.0 if figure.per is None else value_at(result, figure.per)
        if value is None or not whole:
            return []
        values.append(value / whole)
    return values
