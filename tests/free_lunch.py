"""Every numeric key of every shipped chip, halved and doubled: what changed, who paid, what was refused.

    python tests/free_lunch.py [CHIP [COMPONENT]]     prints the table

A run is a few frames of a small network. All that it gives is kept as figures (`Figures`): values, counts, cycles,
energy, area. A changed key is judged (`judge`) by the declaration of its model, `accelsim.schema.Effect`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from chips import text
from graphs import Shape, Streaming, tile_keys, write_graph
from pydantic import BaseModel, TypeAdapter, ValidationError

from accelsim.architecture import Architecture, load_architecture
from accelsim.components import KINDS
from accelsim.cost.pricing import DYNAMIC, PROGRAMMING
from accelsim.errors import InputError
from accelsim.inputs import Batch, load_batch
from accelsim.pipeline import Stages, run_in_full
from accelsim.record import Run
from accelsim.schedule import part_of
from accelsim.schema import Effect, effects_of, numeric_keys
from accelsim.schema.quantity import Quantity
from accelsim.workload import Workload, load_workload

EQUAL = 1e-9
"""Relative; sums of floats in another order."""
LONGEST_CHAIN = 40
"""Halvings: what a float may lose (a factor of 1e12) before it is refused."""

# Networks


@functools.cache
def graph(kind: str) -> str:
    """Return a small network: a Conformer, or one that streams."""
    folder = Path(tempfile.mkdtemp())
    if kind == "conformer":
        return str(write_graph(folder, Shape(bands=24, positions="relative").layers(), bands=24))
    bits = {"stream": 16, "stream_on_tiles": 8}[kind]
    shape = Streaming(weight_bits=bits, width=20)
    return str(write_graph(folder, shape.layers(), bands=shape.bands))


SAMPLE = {"workload.inputs.dataset": "librivox_sample", "workload.score": "null", "workload.inputs.seconds": "1"}
"""The speech that ships."""
PACE = {"pacing.frame_period": "10 ms"}
"""Of the features of a small network, which has no stride."""
NOISY = {"components.adc.noise": "1"}
"""Where columns carry whole steps, an error of a tenth of one moves no code unless noise takes it further."""
_SMALL_TILES = {key: text(value) for key, value in tile_keys().items()}


@dataclass(frozen=True)
class Case:
    """A chip of the library on a small network; ``like``: further chips with the same components and keys."""

    architecture: str
    overrides: Mapping[str, str] = dataclasses.field(default_factory=dict)
    network: str = ""
    frames: int = 12
    like: tuple[str, ...] = ()


CASES = {
    "rsnn28nm": Case("rsnn28nm"),
    "tiles_and_pes": Case("tiles_and_pes", NOISY),
    "memristor_tile": Case("memristor_tile", like=("neurram_core",)),
    "memristor_tile_mesh": Case(
        "memristor_tile",
        {
            "components.tile_bus": "{kind: mesh, columns: 2, rows: 2, width_bits: 64, length: 1 mm}",
            "components.adc.offset": "1", "components.adc.calibrated": "offset_and_gain",
            "components.adc.trim_step": "0.5",
        },
    ),
    "isaac_tile": Case("isaac_tile", NOISY, frames=2),
    "imssa28": Case("imssa28", SAMPLE, like=("imssa",)),
    "imssa10": Case(
        "imssa10",
        {
            **SAMPLE,
            "components.crossbar.cell_bits": "2",
            "components.crossbar.device": "pcm_hermes",
            "components.crossbar.age": "1 h",
        },
    ),
    "s4d_digital28": Case("s4d_digital28", SAMPLE),
    "state_and_vector": Case("state_and_vector", SAMPLE),
    "memristor_conformer_wide": Case(
        "memristor_conformer_wide",
        {
            **_SMALL_TILES,
            **PACE,
            "placement": "{'*.linear_pos': {adc: adc_wide}, '*.ff1.linear1': {adc: adc_wide}, "
            + _SMALL_TILES["placement"][1:].replace(", 'op:conv': {engine: crossbar_tiles}", ""),
            "components.adc_wide.tiles": "8", "components.adc_wide.units": "7",
        },
        network="conformer",
        frames=6,
        like=(
            "memristor_conformer", "memristor_conformer_42m", "memristor_conformer_77m", "memristor_conformer_ls",
            "memristor_conformer_stream", "wake_word_tiles",
        ),
    ),
    "conformer_digital28": Case("conformer_digital28", {**PACE, "placement": "{'*': {batch: 4}}"},
        network="conformer", like=("conformer_digital28_77m", "wake_word_digital28")),
    "edge_npu": Case(
        "edge_npu", {"compiler.layout": "BSC"}, network="stream", like=("edge_npu_phone", "wake_word_npu")
    ),
    "edge_npu, resident": Case("edge_npu", {"compiler.weights": "resident"}, network="stream"),
    "edge_npu_tiles": Case(
        "edge_npu_tiles",
        {"components.crossbar.rows": "64", "components.crossbar.columns": "64"},
        network="stream_on_tiles",
    ),
}  # fmt: skip

# Keys

UNITS = {
    "frequency": "Hz", "voltage": "V", "energy": "J", "power": "W", "area": "m2", "time": "s", "length": "m",
    "temperature": "K", "capacitance": "F", "conductance": "S", "resistance": "ohm", "current": "A",
    "data size": "bit", "data rate": "bit/s",
}  # fmt: skip

ELSEWHERE = {
    "technology": "voltage, temperature and node: property tests of operating points",
    "clocks": "frequencies: property tests of operating points",
    "ranges": "ends of an interval, not of a figure",
    "programming_runs": "how often a result is drawn, no size of a chip: tests of programming runs",
}
"""Sections of an architecture whose numbers are not halved and doubled here, and where they are tested."""


@dataclass(frozen=True)
class Key:
    """A numeric key of a chip: its dotted path, the model that declares it, its name there, and its value."""

    path: str
    model: type[BaseModel]
    name: str
    value: Any

    @property
    def effect(self) -> Effect | None:
        return effects_of(self.model).get(self.name)

    @property
    def component(self) -> str | None:
        """The component that it is a key of, if it is one."""
        section, _, rest = self.path.partition(".")
        return rest.partition(".")[0] if section == "components" else None

    def written(self, value: Any) -> str:
        """Return a value as YAML has it."""
        if isinstance(value, tuple | list):
            return "[" + ", ".join(self.written(one) for one in value) + "]"
        if value is None:  # an end that is none
            return "null"
        field = self.model.model_fields[self.name]
        quantities = [one for one in (*field.metadata, *_metadata(field.annotation)) if isinstance(one, Quantity)]
        return f"{value} {UNITS[quantities[0].kind]}" if quantities else str(value)


def _metadata(annotation: Any) -> Iterator[Any]:
    """Yield what is said of a type and of the types that it is made of."""
    yield from getattr(annotation, "__metadata__", ())
    for part in getattr(annotation, "__args__", ()):
        yield from _metadata(part)


def keys_of(chip: Architecture) -> list[Key]:
    """Return every numeric key of a chip and of the devices of its cells."""
    found = []
    for section in type(chip.spec).model_fields:
        if section not in ELSEWHERE:
            found += list(_keys(type(chip.spec), chip.spec, section, section))
    for name, device in chip.devices.items():
        for key in type(device).model_fields:
            found += list(_keys(type(device), device, key, f"components.{name}.device_settings.{key}"))
    return found


def _keys(model: type[BaseModel], holder: BaseModel, name: str, path: str) -> Iterator[Key]:
    value = getattr(holder, name)
    if name in numeric_keys(model):
        if value is not None and value != ():
            yield Key(path, model, name, value)
    else:
        yield from _within(value, path)


def _within(value: Any, path: str) -> Iterator[Key]:
    """Yield the numeric keys of the models that a value holds."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _keys(type(value), value, name, f"{path}.{field.alias or name}")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _within(each, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _within(each, f"{path}.{index}")


# Runs


@dataclass(frozen=True)
class Figures:
    """All that a run gives. ``prices``: of an event, by component and row of the table; ``parts``: at work in it."""

    values: str
    lost: int
    """Saturated words, clipped conversions, faults of floating-point numbers."""
    counts: Mapping[str, int]
    time: Mapping[str, float]
    """Of the run, of all frames from arrival to end where they have a pace, and of programming, in s."""
    busy: Mapping[str, int]
    prices: Mapping[str, float]
    joules: Mapping[str, float]
    area: Mapping[str, float]
    parts: frozenset[str]
    channels: frozenset[str]


def figures(run: Run) -> Figures:
    """Return the figures of a run."""
    activity, outcome = run.execution.activity, run.outcome
    timeline, bill, chip = outcome.timeline, outcome.bill, outcome.architecture
    digest = hashlib.sha256()
    if run.execution.outputs is not None:
        digest.update(np.ascontiguousarray(run.execution.outputs).tobytes())
    digest.update(repr((dict(activity.saturations), dict(activity.conversions), dict(activity.exceptions))).encode())
    lost = sum(activity.saturations.values()) + sum(clipped for _, clipped in activity.conversions.values())
    lost += sum(sum(of.values()) for of in activity.exceptions.values())
    counts: dict[str, int] = {f"programming {name}": number for name, number in activity.programming.items()}
    for (_, member), names in activity.counts.items():
        for name, per_frame in names.items():
            key = f"{part_of(member)} {name}"
            counts[key] = counts.get(key, 0) + int(per_frame.sum())
    prices: dict[str, float] = {}
    joules: dict[str, float] = {}
    for term in (*bill.terms, *bill.programming):
        if term.share in (DYNAMIC, PROGRAMMING):
            prices[f"{term.component} {term.share} {term.price.row}"] = term.price.value
        key = f"{term.component} {term.share}"
        joules[key] = joules.get(key, 0.0) + term.joules()
    paced = chip.spec.pacing.mode == "real_time"
    programming_s = sum(chip.programming_s(name, pulses) for name, pulses in activity.written.items())
    return Figures(
        values=digest.hexdigest(),
        lost=lost,
        counts=counts,
        time={
            "run": timeline.duration_ps * 1e-12,
            "frames": float((timeline.finished_ps - timeline.arrived_ps).sum()) * 1e-12 if paced else 0.0,
            "programming": programming_s,
        },
        busy={name: of["busy"] for name, of in outcome.ledger.cycles.items()},
        prices=prices,
        joules=joules,
        area=dict(bill.area_m2),
        parts=frozenset(part_of(member) for job in run.schedule.jobs for member in job.members()),
        channels=frozenset(
            "->".join(map(part_of, channel.partition(" of ")[0].split("->")))
            for job in run.schedule.jobs
            for channel in (*job.takes, *job.gives)
        ),
    )


_networks: dict[Any, Workload] = {}
_batches: dict[Any, Batch] = {}


def _network(name: str | Path, overrides: Mapping[str, str]) -> Workload:
    key = (str(name), *overrides.items())
    if key not in _networks:
        _networks[key] = load_workload(name, overrides)
    return _networks[key]


def _stages(frames: int) -> Stages:
    def few(network: Workload, progress: Any) -> Batch:
        if (key := (network.sha256, frames)) not in _batches:
            batch = load_batch(network, progress)
            cut = min(frames, len(batch.features))
            _batches[key] = dataclasses.replace(
                batch, features=batch.features[:cut], starts=np.array([0, cut]), references=None
            )
        return _batches[key]

    return Stages(load_workload=_network, load_batch=few)


def overrides_of(case: Case) -> dict[str, str]:
    """Return the overrides of a case: those of its network too."""
    return {"operating_points": "{}", **case.overrides, **({"workload": graph(case.network)} if case.network else {})}


@functools.cache
def chip_of(name: str) -> Architecture:
    """Return the chip of a case as it is."""
    case = CASES[name]
    chip_keys = {k: v for k, v in overrides_of(case).items() if not k.startswith("workload.")}
    return load_architecture(case.architecture, chip_keys)


def ran(name: str, changes: Mapping[str, str]) -> Figures:
    """Return the figures of a case with some keys changed; raises InputError."""
    case = CASES[name]
    return figures(
        run_in_full(
            case.architecture,
            overrides={**overrides_of(case), **changes},
            stages=_stages(case.frames),
        )
    )


@functools.cache
def base(name: str) -> Figures:
    """Return the figures of a case as it is."""
    return ran(name, {})


# Judgement


@dataclass(frozen=True)
class Tried:
    """One change of a key: ``refused`` in these words, or what changed, and what is wrong with it."""

    key: Key
    value: Any
    refused: str = ""
    changed: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    free: bool = False
    """Something became smaller, and nothing paid for it."""

    def with_fault(self, fault: str) -> Tried:
        return dataclasses.replace(self, faults=(*self.faults, fault))

    def row(self) -> str:
        what = f"refused: {self.refused}" if self.refused else ", ".join(self.changed) or "nothing"
        faults = f"  !! {'; '.join(self.faults)}" if self.faults else ""
        return f"{self.key.path}: {self.key.value!r} -> {self.value!r}: {what}{faults}"


def judge(case: str, key: Key) -> list[Tried]:
    """Halve and double a key, and say what is wrong."""
    effect = key.effect
    if effect is None or not effect.named():
        return [Tried(key, key.value, faults=("declares no effect",))]
    tried = []
    for factor in (0.5, 2):
        value = changed(key, factor)
        one = Tried(key, value, refused="no smaller value" if factor < 1 else "no larger value")
        if value is not None:
            one = attempt(case, key, value)
        tried.append(one)
    less, more = tried
    if not at_work(case, key):
        return [dataclasses.replace(one, free=False) for one in tried]  # nothing of it is needed, nothing can pay
    chain = [less]
    if effect.spare:
        # Room beyond the need: it goes on until something pays, or it is refused.
        while chain[-1].free or not (chain[-1].changed or chain[-1].refused):
            value = changed(dataclasses.replace(key, value=chain[-1].value), 0.5)
            if value is None:
                break
            if len(chain) > LONGEST_CHAIN:
                break
            chain.append(attempt(case, dataclasses.replace(key, value=chain[-1].value), value, whole=key))
        if chain[-1].free:
            chain[-1] = chain[-1].with_fault(f"down to {chain[-1].value!r} nothing pays, and nothing is refused")
    elif less.free and not effect.given:
        chain[-1] = less.with_fault("a free lunch")
    if more.free and not effect.given:
        more = more.with_fault("a free lunch")
    tried = [*chain, more]
    if all(not one.changed and not one.refused for one in ([chain[-1], more] if effect.spare else tried)):
        return [*chain, more.with_fault("changes nothing")]
    if not effect.spare:
        tried = [one if one.changed or one.refused else one.with_fault("changes nothing") for one in tried]
    return tried


def at_work(case: str, key: Key) -> bool:
    """Return whether a key's component, or its channel, takes part in any job of the network."""
    if key.component is not None:
        return key.component in base(case).parts or KINDS[chip_of(case).components()[key.component].kind].actions == {}
    if key.path.startswith("channels."):
        return chip_of(case).spec.channels[int(key.path.split(".")[1])].name() in base(case).channels
    return True


def changed(key: Key, factor: float) -> Any:
    """Return a key's value times a factor, the nearest to it that its model allows, or None where there is none."""

    def times(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return type(value)(times(one) for one in value)
        if isinstance(value, int):
            return value * 2 or 1 if factor > 1 else value // 2
        return None if value is None else value * factor

    value = times(key.value)
    if value == key.value and factor < 1:
        return None
    if value == key.value == 0 and factor > 1:  # nothing of it, such as noise: a little
        quantity = any(isinstance(one, Quantity) for one in key.model.model_fields[key.name].metadata)
        return 1e-5 if quantity else 0.1
    if not isinstance(key.value, int):
        return value
    towards = 1 if factor < 1 else -1
    while value != key.value:
        if _allowed(key, value):
            return value
        value += towards
    return None


def _allowed(key: Key, value: int) -> bool:
    """Return whether the grammar of a key allows a value, whatever the other keys say."""
    field = key.model.model_fields[key.name]
    try:
        TypeAdapter(field.annotation).validate_python(value)
        for rule in field.metadata:
            for name, fits in (("ge", value.__ge__), ("gt", value.__gt__), ("le", value.__le__), ("lt", value.__lt__)):
                if (bound := getattr(rule, name, None)) is not None and not fits(bound):
                    return False
            if (step := getattr(rule, "multiple_of", None)) is not None and value % step:
                return False
    except ValidationError:
        return False
    return True


def attempt(case: str, key: Key, value: Any, whole: Key | None = None) -> Tried:
    """Run a case with a key changed and compare it with the case as it is; ``whole``: the key with its own value."""
    before = base(case)
    try:
        after = ran(case, {key.path: key.written(value)})
    except InputError as error:
        nowhere = [problem.message for problem in error.problems if problem.file is None]
        faults = tuple(f"refused without file and line: {message}" for message in nowhere[:1])
        return Tried(key, value, refused=str(error).splitlines()[0], faults=faults)
    start = (whole or key).value
    grown = _size(value) > _size(start)
    assert key.effect is not None
    changes, faults = compare(before, after, key, key.effect, grown=grown)
    return Tried(key, value, changed=tuple(changes), faults=tuple(faults), free=lunch(before, after, key))


def _size(value: Any) -> float:
    return sum(map(_size, value)) if isinstance(value, tuple | list) else abs(float(value or 0))


def compare(before: Figures, after: Figures, key: Key, effect: Effect, *, grown: bool) -> tuple[list[str], list[str]]:
    """Return which figures changed, and where that is not as declared."""
    moved = {
        "values": ["values"] if before.values != after.values else [],
        "counts": differing(before.counts, after.counts),
        "cycles": differing(before.time, after.time) + [f"busy {n}" for n in differing(before.busy, after.busy)],
        "area": differing(before.area, after.area),
        "energy": differing(before.prices, after.prices),
    }
    if not any(moved[name] for name in ("values", "counts", "cycles")):
        moved["energy"] += [name for name in differing(before.joules, after.joules) if name not in moved["energy"]]
    named, changes, faults = effect.named(), [], []
    if moved["values"] and "values" in named:
        named |= {"counts": "either", "cycles": "either"}  # other values are other work
    if moved["area"] and "area" in named:
        named.setdefault("energy", "either")  # more of it leaks more
    for figure, names in moved.items():
        if not names:
            continue
        changes.append(f"{figure} {sense(figure, before, after, key)}".strip())
        if figure not in named:
            faults.append(f"{figure} changed, undeclared: {', '.join(names[:3])}")
            continue
        wanted = named[figure]
        if figure == "values" or wanted == "either":
            continue
        found = sense(figure, before, after, key)
        if not grown:
            found = {"+": "-", "-": "+"}.get(found, found)
        if found not in ("", {"more": "+", "less": "-"}[wanted]):
            faults.append(f"{figure} is declared to be {wanted} when it grows")
    return changes, faults


def sense(figure: str, before: Figures, after: Figures, key: Key) -> str:
    """Return + or - for a figure that became larger or smaller, +- where some parts did the one and some the other."""
    if figure == "values":
        return ""
    old, new = {
        "counts": (before.counts, after.counts),
        "cycles": (
            {**before.time, "busy": before.busy.get(key.component or "", 0)},
            {**after.time, "busy": after.busy.get(key.component or "", 0)},
        ),
        "area": ({"": sum(before.area.values())}, {"": sum(after.area.values())}),
        "energy": (before.prices, after.prices),
    }[figure]
    signs = {"+" if new.get(name, 0) > old.get(name, 0) else "-" for name in differing(old, new)}
    return "".join(sorted(signs))


def lunch(before: Figures, after: Figures, key: Key) -> bool:
    """Return whether time, energy or area became smaller and nothing became larger, no value another one."""
    own = key.component or ""
    old = {**_totals(before), "busy": before.busy.get(own, 0)}
    new = {**_totals(after), "busy": after.busy.get(own, 0)}
    moved = differing(old, new)
    gains = [name for name in moved if new[name] < old[name] and name != "busy"]
    return bool(gains) and not any(new[name] > old[name] for name in moved) and before.values == after.values


def _totals(of: Figures) -> dict[str, float]:
    programming = sum(joules for name, joules in of.joules.items() if name.endswith(" programming"))
    return {
        **of.time,
        "energy": sum(of.joules.values()) - programming,
        "energy of programming": programming,
        "area": sum(of.area.values()),
    }


def differing(old: Mapping[str, float], new: Mapping[str, float]) -> list[str]:
    """Return the names whose numbers differ by more than rounding, or that one side has not."""
    return [
        name
        for name in dict.fromkeys([*old, *new])
        if abs(old.get(name, 0.0) - new.get(name, 0.0)) > EQUAL * max(abs(old.get(name, 0.0)), abs(new.get(name, 0.0)))
    ]


def main(arguments: Sequence[str]) -> None:
    """Print the table of all cases, of one, or of one component of it."""
    for case in arguments[:1] or CASES:
        for key in keys_of(chip_of(case)):
            if arguments[1:] and not key.path.startswith(f"components.{arguments[1]}."):
                continue
            for one in judge(case, key):
                print(f"{case}: {one.row()}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
