"""Stages of a run that remember what they made, by the content of everything that it depends on.

Values depend on the workload, the seed, the schedule and on the keys of the architecture that may change a value or a
count; the engine's timeline on the schedule, the channels, the service cycles, the arbitration and the ratios of the
clocks. So a change of price or clock never runs the engine again, and one of timing never computes values again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from accelsim.architecture import Architecture, ArchitectureSpec
from accelsim.components.crossbar import Crossbar
from accelsim.engines.deploy import Deployment
from accelsim.engines.execute import Activity, Execution, execute
from accelsim.inputs import Batch, load_batch
from accelsim.pipeline import Stages, score, score_reference
from accelsim.schedule import Job, Schedule
from accelsim.schema import keeps_values
from accelsim.score import Accuracy
from accelsim.simulate import Clocking, Link, Timeline, simulate
from accelsim.simulate.domain import in_ticks
from accelsim.workload import Workload, load_workload

T = TypeVar("T")

USUAL_KELVIN = 300.0
"""A temperature that `functional` leaves out, as a key at its default."""

_EXECUTIONS = 2  # points that share values come one after the other
_NETWORKS = 2
_TIMELINE_BYTES = 256e6
_OTHERS = 64
_PROSE = frozenset({"name", "description", "source", "note"})
"""Keys of a device's file that nothing follows from."""
_BYTES_PER_FRAME = 24  # of a timeline: arrived, started, finished


class Remembered(Generic[T]):
    """The values that were asked for last, by key; ``computed`` counts those that had to be made."""

    def __init__(self) -> None:
        self.computed = 0
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._new: list[Hashable] = []

    def get(self, key: Hashable, make: Callable[[], T], room: int = _OTHERS) -> T:
        """Return the value of a key, made if it is not at hand; at most ``room`` values stay."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        self.computed += 1
        self._kept[key] = value = make()
        self._new.append(key)
        while len(self._kept) > room:
            self._kept.popitem(last=False)
        return value

    def news(self) -> list[tuple[Hashable, T]]:
        """Return what was made since the last call, for others to learn."""
        news = [(key, self._kept[key]) for key in self._new if key in self._kept]
        self._new.clear()
        return news

    def learn(self, news: Iterable[tuple[Hashable, T]]) -> None:
        """Take over what others have made."""
        self._kept.update(news)


class Reuse:
    """The stages of a sweep's runs; one for each process or thread that runs points."""

    def __init__(self) -> None:
        self.workloads: Remembered[Workload] = Remembered()
        self.batches: Remembered[Batch] = Remembered()
        self.executions: Remembered[Execution] = Remembered()
        self.timelines: Remembered[tuple[Timeline, int]] = Remembered()
        self.accuracies: Remembered[Accuracy] = Remembered()
        self.references: Remembered[Accuracy] = Remembered()

    def stages(self) -> Stages:
        """Return the stages for `pipeline.run_in_full`."""
        return Stages(
            load_workload=self._load_workload,
            load_batch=self._load_batch,
            execute=self._execute,
            simulate=self._simulate,
            score=self._score,
            score_reference=self._score_reference,
        )

    def computed(self) -> Counter[str]:
        """Return how often each stage really ran."""
        return Counter({name: kept.computed for name, kept in vars(self).items()})

    def _load_workload(self, name: str | Path, overrides: Mapping[str, str]) -> Workload:
        key = (str(name), *overrides.items())
        return self.workloads.get(key, lambda: load_workload(name, overrides), room=_NETWORKS)

    def _load_batch(self, workload: Workload, progress: Callable[[str, int, int], None]) -> Batch:
        return self.batches.get(workload.sha256, lambda: load_batch(workload, progress), room=_NETWORKS)

    def _execute(self, deployment: Deployment, batch: Batch, **options: Any) -> Execution:
        network, chip, run = deployment.network, deployment.chip, options.get("programming_run", 0)
        key = (network.sha256, options["seed"], run, functional(chip), repr(deployment.schedule.jobs))

        def make() -> Execution:
            execution = execute(deployment, batch, **options)
            # Further programming runs are only scored: nothing else of them is worth its room.
            return replace(execution, spikes={}, activity=Activity({}, {}, {}, {})) if run else execution

        return self.executions.get(key, make, room=_EXECUTIONS * chip.spec.programming_runs)

    def _simulate(
        self,
        schedule: Schedule,
        links: Sequence[Link],
        service: Mapping[tuple[str, str], NDArray[np.int64]],
        clocking: Clocking,
        frames: int,
        **options: Any,
    ) -> Timeline:
        tick = clocking.tick_ps()
        key = _engine_key(schedule, links, service, clocking, frames, options)
        timeline, its_tick = self.timelines.get(
            key,
            lambda: (simulate(schedule, links, service, clocking, frames, **options), tick),
            room=max(int(_TIMELINE_BYTES / (frames * _BYTES_PER_FRAME)), 2),
        )
        return rescaled(timeline, its_tick, tick)

    def _score(
        self, workload: Workload, batch: Batch, outputs: NDArray[Any], starts: NDArray[np.int64], *options: Any
    ) -> Accuracy:
        digest = hashlib.sha256(outputs.tobytes() + starts.tobytes()).digest()
        key = (workload.sha256, outputs.dtype.str, outputs.shape, digest)
        return self.accuracies.get(key, lambda: score(workload, batch, outputs, starts, *options))

    def _score_reference(self, workload: Workload, batch: Batch, *options: Any) -> Accuracy:
        return self.references.get(workload.sha256, lambda: score_reference(workload, batch, *options))


def functional(architecture: Architecture) -> str:
    """Return everything of an architecture that may change a value or a count, as text.

    Keys at their defaults are left out, so that a new key does not put the tables of finished studies out of date, and
    so is prose.
    """
    spec = architecture.spec
    components = {
        name: part.model_dump(mode="json", exclude_defaults=True, exclude=set(part.changes_no_value()))
        for name, part in spec.components.items()
    }
    without = {*keeps_values(ArchitectureSpec), "components"}
    rest = spec.model_dump(mode="json", exclude_defaults=True, exclude=without)
    if _reads_with_noise(spec) and spec.technology.temperature != USUAL_KELVIN:
        rest["temperature"] = spec.technology.temperature
    converters = {name: _without_prose(of.model_dump(mode="json")) for name, of in architecture.converters.items()}
    return json.dumps([components, rest, cells_of(architecture), *([converters] if converters else [])])


def cells_of(architecture: Architecture) -> dict[str, Any]:
    """Return what the devices of a chip are, by component: all keys of their files but defaults and prose."""
    devices = architecture.devices.items()
    return {name: _without_prose(device.model_dump(mode="json", exclude_defaults=True)) for name, device in devices}


def _without_prose(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_prose(value) for key, value in data.items() if key not in _PROSE}
    return [_without_prose(value) for value in data] if isinstance(data, list) else data


def _reads_with_noise(spec: ArchitectureSpec) -> bool:
    """Return whether the temperature of a chip, which is among its prices, changes values too."""
    return any(isinstance(part, Crossbar) and part.noise != "none" for part in spec.components.values())


def is_functional(key: str, spec: ArchitectureSpec) -> bool:
    """Tell whether a dotted key of the architecture, or of the workload, may change a value or a count."""
    first, _, rest = key.partition(".")
    if first == "workload":
        return True
    name, _, inner = rest.partition(".")
    if first == "components" and name in spec.components:
        return inner not in spec.components[name].changes_no_value()
    if key == "technology.temperature" and _reads_with_noise(spec):
        return True
    return first not in keeps_values(ArchitectureSpec)


def rescaled(timeline: Timeline, tick_ps: int, new_tick_ps: int) -> Timeline:
    """Return a timeline whose time base was ``tick_ps`` as the same engine run would give it at another one."""
    if tick_ps == new_tick_ps:
        return timeline

    def times(ps: Any) -> Any:
        return ps // tick_ps * new_tick_ps

    return replace(
        timeline,
        duration_ps=times(timeline.duration_ps),
        arrived_ps=times(timeline.arrived_ps),
        started_ps=times(timeline.started_ps),
        finished_ps=times(timeline.finished_ps),
        asleep_ps={name: {state: times(ps) for state, ps in of.items()} for name, of in timeline.asleep_ps.items()},
        waking_ps={name: times(ps) for name, ps in timeline.waking_ps.items()},
        worked_ps=times(timeline.worked_ps),
    )


def _engine_key(
    schedule: Schedule,
    links: Sequence[Link],
    service: Mapping[tuple[str, str], NDArray[np.int64]],
    clocking: Clocking,
    frames: int,
    options: Mapping[str, Any],
) -> bytes:
    """Return a digest of what the engine works on: its time base is the greatest common divisor of all periods."""
    tick = clocking.tick_ps()
    # The engine reads neither how the kernels cut a job nor of which layer it is.
    ours = [field.name for field in fields(Job) if field.name not in ("work", "layer", "roles")]
    ratios = {name: period // tick for name, period in clocking.period_ps.items()}
    what = (
        [[getattr(job, name) for name in ours] for job in schedule.jobs],
        list(links),
        ratios,
        clocking.frame_period_ps // tick,
        frames,
        dict(options["arbitration"]),
        in_ticks(options["domains"], tick),
    )
    digest = hashlib.sha256(repr(what).encode())
    rates = {(*key, which): rate for key, both in options["tokens"].items() for which, rate in enumerate(both)}
    for name, values in (*service.items(), *rates.items()):
        digest.update(repr((name, values.dtype.str, values.shape)).encode())
        digest.update(values.tobytes())
    return digest.digest()
