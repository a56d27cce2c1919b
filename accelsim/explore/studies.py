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

from accelsim.architecture import Architecture, load_architecture
from accelsim.cost import extrapolated, prices_of
from accelsim.errors import InputError
from accelsim.explore.intervals import Evidence, Heard, heard_in
from accelsim.explore.metrics import METRICS
from accelsim.explore.paths import value_at
from accelsim.explore.reuse import cells_of, functional
from accelsim.explore.store import Store
from accelsim.explore.sweep import Sweep
from accelsim.pipeline import network_on, split_overrides
from accelsim.result import Result, written_whole
from accelsim.text import cells, from_cell

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
    writer.writerow(cells([*head, *figures, "components", *_HEARD]))
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
        writer.writerow(cells([*about, *values, json.dumps(row.components), *spoken]))
    with written_whole(path) as file:
        file.write(text.getvalue().encode())


def read_table(path: Path) -> list[StudyRow]:
    """Read the table of a study; raises InputError where it is none."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_read(line) for line in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError.of(f"cannot be read: {error}", file=path) from None
    except (KeyError, ValueError, TypeError) as error:
        raise InputError.of(f"no table of a study: {error!r}", file=path, hint="accelsim sweep .. --table") from None


def _read(line: Mapping[str, str]) -> StudyRow:
    settings = {key.removeprefix(SET): from_cell(text) for key, text in line.items() if key.startswith(SET) and text}
    known = {"architecture", "workload", "seed", "values", "costs", "components", *_HEARD}
    figures = {
        key: float(text) if text else None for key, text in line.items() if key not in known and not key.startswith(SET)
    }
    heard = None
    if line["lengths"]:
        errors = tuple(_integers(one) for one in line["errors"].split(";"))
        reference = _integers(line["reference"]) or None
        heard = Heard(from_cell(line["dataset"]), line["counted"], _integers(line["lengths"]), errors, reference)
    parts = json.loads(line["components"])
    files = from_cell(line["architecture"]), from_cell(line["workload"]) or None
    return StudyRow(*files, settings, int(line["seed"]), line["values"], line["costs"], figures, heard, parts)


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


def _integers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split()))
