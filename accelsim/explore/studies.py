"""Finished sweeps as small tables: what each point set, what came out, and what that depends on.

``reports/studies/NAME.csv`` is the table of ``arch/sweeps/NAME.yaml``, one row a point:

``architecture``, ``workload``, ``seed``
                         of the point; the workload is empty where it is the architecture's own.
``set:KEY``              value of every key that the sweep sets.
``values``, ``costs``    digests of all that the values and the costs of the point depend on: the network, the seed, the
                         keys of the chip that are not at their defaults; of costs also every price that was paid. A
                         table whose digests are not those of today's files is refused: its sweep is to be run again.
METRIC, POINT.METRIC     metrics of `METRICS`, of the run and of its other operating points.
PATH                     figures of the Result that a paper takes from the study.
``components``           JSON object: what each component did and costs, and faults and bytes of the whole run.
``dataset``, ``counted``, ``lengths``, ``errors``, ``reference``
                         what was scored: of every utterance how much was said, the errors (a semicolon between runs of
                         programming), and those of the float network.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from accelsim import limits
from accelsim.architecture import Architecture, load_architecture
from accelsim.cost import extrapolated, prices_of
from accelsim.errors import LONGEST_LIST, InputError, Problem, show
from accelsim.explore.intervals import Evidence, Heard, heard_in
from accelsim.explore.metrics import METRICS
from accelsim.explore.paths import value_at
from accelsim.explore.reuse import cells_of, functional
from accelsim.explore.store import Store
from accelsim.explore.sweep import Sweep
from accelsim.pipeline import network_on, split_overrides
from accelsim.result import Result, problems_of, written_whole
from accelsim.text import csv_row, from_cell

csv.field_size_limit((1 << 31) - 1)  # of the whole process; a table is bounded as a whole

SHELF = "reports/studies"

SET = "set:"
_FURTHER = (
    "accuracy.low", "accuracy.high", "accuracy.reference_value", "accuracy.exact_value", "accuracy.sd", "accuracy.n",
    "performance.mmac_per_audio_second", "performance.frames", "performance.utterances", "energy.dynamic_j",
    "energy.leakage_j", "energy.idle_power_w", "programming.time_s", "programming.energy_j",
)  # fmt: skip
"""Figures that every table has besides the metrics, because pages quote them."""

_HEARD = ("dataset", "counted", "lengths", "errors", "reference")
# What no price and no clock changes.
_VALUES = frozenset({"error_percent", "accuracy", "macs_performed", "saturations", "adc_conversions", "adc_clipped"})
_VALUE = re.compile(
    r"accuracy\..+|layers\..+\.(adc\..+|macs_\w+|saturations|sparsity)|programming\.(cells|write_pulses)"
)


@dataclass(frozen=True)
class StudyRow:
    """One point of a study: its files, what it set, digests of what it depends on, its figures, and what was heard.

    ``workload``: None for the architecture's own.
    """

    architecture: str
    workload: str | None
    settings: Mapping[str, str]
    seed: int
    values: str
    costs: str
    figures: Mapping[str, float | None]
    heard: Heard | None
    components: Mapping[str, Mapping[str, float]]


def rows_of(store: Store, what: Sweep, paths: Iterable[str] = ()) -> list[StudyRow]:
    """Return the rows of a sweep's finished points, with the figures at ``paths`` besides the metrics.

    Raises InputError where today's files are not those of the store.
    """
    fixed, found = store.meta()["set"], []
    for point in store.points():
        result = store.result(point["point"])
        if result is not None:
            found.append((what.architecture, what.workload, {**fixed, **point["keys"]}, result))
    return rows_of_results(found, paths, str(store.folder))


def rows_of_results(
    found: Iterable[tuple[str, str | None, Mapping[str, str], Result]], paths: Iterable[str] = (), where: str = ""
) -> list[StudyRow]:
    """Return a row for each (architecture, workload or None for the chip's own, what was set, Result).

    Raises InputError where today's files are not those of a Result; ``where`` they are from, for its message.
    """
    files, rows = _Files(), []
    for architecture, workload, settings, result in found:
        chip, network = files.of(architecture, workload, settings)
        for kind, then, now in (("architecture", result.arch, chip.sha256), ("workload", result.workload, network)):
            if then.sha256 != now:
                message = f"the study in {where} was made of other files: {kind} '{then.name}' has changed since"
                raise InputError.of(message, hint="run its sweep again, with an empty folder")
        figures = _metrics(result) | {path: _value_or_none(result, path) for path in paths}
        seed, parts = result.seed, _parts(result)
        digests = files.digests(architecture, workload, settings, seed, parts)
        rows.append(StudyRow(architecture, workload, settings, seed, *digests, figures, heard_in([result]), parts))
    return rows


def out_of_date(rows: Iterable[StudyRow]) -> tuple[str, ...]:
    """Return what of a table is no longer of today's files: "values", "costs", or both."""
    files = _Files()
    found = [
        (row, files.digests(row.architecture, row.workload, row.settings, row.seed, row.components)) for row in rows
    ]
    old = {
        "values": any(row.values != now[0] for row, now in found),
        "costs": any(row.costs != now[1] for row, now in found),
    }
    return tuple(name for name, changed in old.items() if changed)


def write_table(path: Path, rows: Sequence[StudyRow]) -> None:
    """Write the table of a study, whole or not at all; raises InputError."""
    settings = list(dict.fromkeys(key for row in rows for key in row.settings))
    figures = list(dict.fromkeys(name for row in rows for name in row.figures))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["architecture", "workload", "seed", *(SET + key for key in settings), "values", "costs"]
    writer.writerow(csv_row([*head, *figures, "components", *_HEARD]))
    for row in rows:
        heard = row.heard
        spoken: list[str] = [""] * len(_HEARD)
        if heard is not None:
            errors = ";".join(map(_numbers, heard.errors))
            reference = "" if heard.reference is None else _numbers(heard.reference)
            spoken = [heard.dataset, heard.counted, _numbers(heard.lengths), errors, reference]
        values = ["" if (value := row.figures.get(name)) is None else repr(value) for name in figures]
        set_ = [row.settings.get(key, "") for key in settings]
        about = [row.architecture, row.workload or "", row.seed, *set_, row.values, row.costs]
        writer.writerow(csv_row([*about, *values, json.dumps(row.components), *spoken]))
    with written_whole(path) as file:
        file.write(text.getvalue().encode())


def read_table(path: Path) -> list[StudyRow]:
    """Read the table of a study; raises InputError with what is wrong with the lines of one that is none."""
    reader = csv.reader(io.StringIO(limits.read_text(path, "text_bytes"), newline=""), strict=True)
    rows, problems = [], []
    try:
        header = next(reader, [])
        _check_header(header, path)
        for line in reader:
            if line:
                try:
                    rows.append(_read(header, line))
                except ValueError as error:
                    problems.append(Problem(str(error), path, reader.line_num, _HINT))
    except csv.Error as error:
        raise InputError.of(f"cannot be read: {error}", file=path, line=reader.line_num) from None
    if problems:
        raise InputError(problems[:LONGEST_LIST])
    return rows


_HINT = "accelsim sweep .. --table"
_KNOWN = ("architecture", "workload", "seed", "values", "costs", "components", *_HEARD)
_LONGEST = (1 << 31) - 1
"""No utterance is longer; sums over all of them are whole numbers of 64 bits."""
_LARGEST = 1e100
"""Products of a few figures, and their squares, are still numbers."""
_PARTS: TypeAdapter[dict[str, dict[str, float]]] = TypeAdapter(
    dict[str, dict[str, float]], config=ConfigDict(strict=True)
)


def _check_header(header: list[str], path: Path) -> None:
    missing = [f"no column '{name}'" for name in _KNOWN if name not in header]
    twice = [f"more than one column {show(name)}" for name in dict.fromkeys(header) if header.count(name) > 1]
    if found := [*missing, *twice]:
        problems = (Problem(f"no table of a study: {what}", path, 1, _HINT) for what in found[:LONGEST_LIST])
        raise InputError(problems)


def _read(header: list[str], line: list[str]) -> StudyRow:
    """Return a row of the table; raises ValueError that says what is wrong with it."""
    if len(line) != len(header):
        raise ValueError(f"{len(line)} cells, of {len(header)} columns")
    cells = dict(zip(header, map(from_cell, line), strict=True))
    settings = {key.removeprefix(SET): text for key, text in cells.items() if key.startswith(SET) and text}
    figures = {key: _figure(key, text) for key, text in cells.items() if key not in _KNOWN and not key.startswith(SET)}
    files = cells["architecture"], cells["workload"] or None
    (seed,) = _integers("seed", cells["seed"], 1, limits.LARGEST_SEED)
    try:
        parts = _PARTS.validate_json(cells["components"])
    except ValidationError as error:
        raise ValueError(problems_of(error, "components")[0].message) from None
    return StudyRow(*files, settings, seed, cells["values"], cells["costs"], figures, _heard(cells), parts)


def _heard(cells: Mapping[str, str]) -> Heard | None:
    """Return what was heard in a row, whose numbers of utterances are the same for all that was counted."""
    if not cells["lengths"]:
        return None
    lengths = _integers("lengths", cells["lengths"])
    errors = tuple(_integers("errors", one, len(lengths)) for one in cells["errors"].split(";"))
    reference = _integers("reference", cells["reference"], len(lengths)) if cells["reference"].strip() else None
    if not lengths:
        raise ValueError("'lengths' is empty")
    return Heard(cells["dataset"], cells["counted"], lengths, errors, reference)


def _figure(name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{show(name)}: {show(text)} is not a number") from None
    if value and not 1 / _LARGEST < abs(value) < _LARGEST:
        raise ValueError(f"{show(name)}: {show(text)} is out of bounds")
    return value


def _integers(name: str, text: str, count: int | None = None, most: int = _LONGEST) -> tuple[int, ...]:
    """Return whole numbers from a text with spaces between them, as many as there have to be; raises ValueError."""
    words = text.split()
    if count is not None and len(words) != count:
        raise ValueError(f"'{name}': {len(words):,} numbers, expected {count:,}")
    for word in words:
        if not (word.isascii() and word.isdigit() and len(word) < 20 and int(word) <= most):
            raise ValueError(f"'{name}': {show(word)} is no whole number from 0 to {most}")
    return tuple(map(int, words))


def evidence(name: str, rows: Sequence[StudyRow], paths: Sequence[str], where: str) -> Evidence:
    """Return the evidence of one configuration, from its rows; raises InputError where they are out of date."""
    changed = out_of_date(rows)
    if old := [path for path in paths if ("values" if _of_values(path) else "costs") in changed]:
        message = f"{where} was made of other files: what '{old[0]}' depends on has changed since"
        raise InputError.of(message, hint="run its sweep again, with --table")
    missing = [path for path in paths if any(path not in row.figures for row in rows)]
    if missing:
        raise InputError.of(f"{where} has no column '{missing[0]}'", hint="write it again: accelsim sweep .. --table")
    heard = [row.heard for row in rows if row.heard is not None]
    together = None
    if len(heard) == len(rows) and len({(one.dataset, one.lengths) for one in heard}) == 1:
        together = replace(heard[0], errors=tuple(run for one in heard for run in one.errors))
    return Evidence(name, {path: [row.figures[path] for row in rows] for path in paths}, together)


class _Files:
    """The files of points as they are today, each read once."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], tuple[Architecture, str]] = {}

    def of(self, architecture: str, workload: str | None, settings: Mapping[str, str]) -> tuple[Architecture, str]:
        """Return the chip of a point, and the digest of its workload."""
        key = architecture, workload, *settings.items()
        if key not in self._found:
            for_chip, for_network = split_overrides(settings)
            chip = load_architecture(architecture, for_chip)
            network = network_on(chip, workload, for_network)
            self._found[key] = chip, network.sha256
        return self._found[key]

    def digests(
        self,
        architecture: str,
        workload: str | None,
        settings: Mapping[str, str],
        seed: int,
        did: Mapping[str, Mapping[str, float]],
    ) -> tuple[str, str]:
        """Return the digests of what the values and the costs of a point depend on; ``did``: its ``components``."""
        chip, network = self.of(architecture, workload, settings)
        actions = {name: {action for action, count in done.items() if count} for name, done in did.items()}
        return _digest(functional(chip), network, seed), _digest(costing(chip, actions), network, seed)


_PROSE = {"name", "description", "workload", "calibrated", "assumptions"}
"""Of a chip: nothing follows from it; the workload is named there and read apart."""


def costing(chip: Architecture, did: Mapping[str, Collection[str]]) -> str:
    """Return everything of a chip that time, energy, area and their intervals follow from, as text.

    Keys that are not at their defaults, without prose; every price that it pays for what its components ``did``, at
    their sizes and its operating points, see `accelsim.cost.prices_of`; and both ends of each assumed size. Prices in
    nine digits, which are the same on every machine.
    """
    spec = chip.spec
    parts = {name: part.model_dump(mode="json", exclude_defaults=True) for name, part in spec.components.items()}
    without = {*_PROSE, "components", "operating_points", "ranges"}
    rest = spec.model_dump(mode="json", exclude_defaults=True, exclude=without)
    del rest["technology"]["cost"]
    prices = []
    for what, price in prices_of(chip, did).items():
        figures = [f"{figure:.9g}" for figure in (price.value, price.low, price.high)]
        prices.append([*what, *figures, price.calibrated, price.moves_with()])
    points = {name: costing(point, did) for name, point in chip.operating_points.items()}
    ends = {key: [costing(low, did), costing(high, did)] for key, low, high in chip.at_ends()}
    return json.dumps([parts, rest, cells_of(chip), prices, bool(extrapolated(chip)), points, ends])


def _digest(*what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def _metrics(result: Result) -> dict[str, float | None]:
    """Return all metrics of a run, and those of its other operating points."""
    found = {name: metric.of(result) for name, metric in METRICS.items()}
    found |= {path: value_at(result, path) for path in _FURTHER}
    ends = result.uncertainty.model_dump()
    found |= {f"{name}.{end}": pair[at] for name, pair in ends.items() for at, end in enumerate(("low", "high"))}
    for point, there in result.operating_points.items():
        other = result.model_copy(update=dict(there))
        found |= {f"{point}.{name}": metric.of(other) for name, metric in METRICS.items() if name not in _VALUES}
    return found


def _value_or_none(result: Result, path: str) -> float | None:
    """Return a figure, None where a network of the sweep has no such layer: papers ask for it of the others."""
    try:
        return value_at(result, path)
    except InputError:
        return None


def _parts(result: Result) -> dict[str, dict[str, float]]:
    """Return what each component did and costs; under "(faults)" those of all layers, under "(plan)" an NPU's bytes."""
    parts: dict[str, dict[str, float]] = {}
    for one in result.components:
        joules = {f"{share}_j": value for share, value in one.energy_j.model_dump().items()}
        parts[one.name] = {**one.actions, **joules, "mm2": one.area_mm2}
    faults: dict[str, float] = {}
    for layer in result.layers:
        for kind, count in layer.faults.items():
            faults[kind] = faults.get(kind, 0) + count
    plan = {} if result.plan is None else result.plan.model_dump()
    spilled = {f"spilled {name}_bytes": size for name, size in plan.get("spilled", {}).items()}
    moved = {name: value for name, value in plan.items() if name.endswith("_bytes")} | spilled
    return parts | ({"(faults)": faults} if faults else {}) | ({"(plan)": moved} if moved else {})


def _of_values(name: str) -> bool:
    return name in _VALUES or _VALUE.fullmatch(name) is not None


def _numbers(values: Iterable[int]) -> str:
    return " ".join(map(str, values))
