"""What a run or a sweep would take: its points, memory and time, from the beginning of its first run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np

from accelsim.architecture import AnyArchitecture, Architecture
from accelsim.engines.memory import Memory, check_memory
from accelsim.explore import search, sweep
from accelsim.explore.reuse import Reuse, is_functional
from accelsim.explore.space import Axis
from accelsim.explore.sweep import Sweep
from accelsim.inputs import Batch
from accelsim.kernels.compile import watched
from accelsim.pipeline import Progress, Stages, run_in_full
from accelsim.schema import Overrides
from accelsim.workload import AnyWorkload, Given

VALUES, CYCLES, REST, _NOT_COUNTED = "values", "cycles", "rest", "features"
"""Parts of a run: values and scores, the engine's timeline, and all else; features are made once."""

T = TypeVar("T")

_FIRST_FRAMES = 100
_TIMES = 4
"""Every further beginning has so many times the frames of the one before."""
_ENOUGH_S = 0.5
"""A difference between two beginnings that the clock tells well."""
_MOST_AXES = 8
"""Axes that are tried one by one for whether cycles depend on them; where there are more it is taken for granted."""


@dataclass(frozen=True)
class Estimate:
    """What a command would take before it runs.

    ``chip``, ``network``: names; ``frames`` of ``utterances``; ``points``: how many runs are left to do, ``values`` and
    ``cycles``: how often the values and the engine's timeline have to be computed for them; ``jobs``: processes;
    ``seconds``: in all, of which ``features_s`` go to the features, once in each process; ``memory``: of the first run.
    """

    chip: str
    network: str
    frames: int
    utterances: int
    seconds: float
    features_s: float
    memory: Memory
    points: int = 1
    values: int = 1
    cycles: int = 1
    jobs: int = 1

    def figures(self) -> dict[str, Any]:
        """Return the estimate as plain data."""
        return {**asdict(self), "memory": self.memory.total()}

    def lines(self) -> list[str]:
        """Return the estimate in words."""
        several = self.points != 1
        heard = f"{self.utterances:,} utterances" if self.utterances != 1 else "1 utterance"
        told = [f"{self.network} on {self.chip}: {self.frames:,} frames of {heard}"]
        if several:
            points = f"{self.points:,} points to run, values for {self.values:,} of them, cycles for {self.cycles:,}"
            told.append(points + "; the others share theirs")
        each = f" in each of {self.jobs} processes" if self.jobs > 1 else ""
        in_all = f" in {self.jobs} processes" if self.jobs > 1 else ""
        first = ", if all points take as long as the first" if several else ""
        told.append(f"time: {in_words(self.seconds)}{in_all}{first}; memory: {self.memory.text()}{each}")
        return told


def in_words(seconds: float) -> str:
    """Return a time to two digits: under 1 s, about 12 s, about 3.5 min, about 2 h, about 3 days."""
    if seconds < 1:
        return "under 1 s"
    for unit, size, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800), ("days", 86_400, float("inf"))):
        if seconds < most:
            number = seconds / size
            return f"about {number:.2g} {unit}" if number < 99.5 else f"about {round(number, -1):.0f} {unit}"
    raise AssertionError


def estimate_run(
    architecture: AnyArchitecture,
    workload: AnyWorkload | None = None,
    *,
    overrides: Overrides | None = None,
    inputs: Given | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    """Return what `pipeline.run_in_full` would take with the same arguments.

    The features of all recordings are made, since their number decides; then longer and longer beginnings of them are
    run, until the time of a frame and the time that does not depend on frames are known. Kernels that have to be
    compiled are not counted: they are compiled now. Raises InputError where the run would.
    """
    probe = _Probe(architecture, workload, overrides or {}, inputs, seed, progress, one_frame=True)
    seconds = probe.measured()
    return probe.estimate(sum(seconds.values()))


def estimate_sweep(what: Sweep, *, jobs: int = 1, done: int = 0, progress: Progress | None = None) -> Estimate:
    """Return what a sweep would take where so many points are ``done`` already.

    Time is that of the first point for all of them, but that points share values where no key between them changes a
    value, and cycles where none changes their number. Raises InputError where the sweep would.
    """
    chip, fixed, axes, points = sweep.prepared(what, jobs)
    grid = what.method == "grid"
    return _of_points(what, chip, fixed, axes, max(len(points) - done, 0), what.seeds, grid, jobs, progress)


def estimate_search(what: Sweep, *, trials: int, done: int = 0, progress: Progress | None = None) -> Estimate:
    """Return what a search would take, as `estimate_sweep` does of a sweep of as many points that are drawn."""
    what.metrics()
    chip, fixed, axes, _ = search.prepared(what, trials)
    return _of_points(what, chip, fixed, axes, max(trials - done, 0), 1, False, 1, progress)


def _of_points(
    what: Sweep,
    chip: Architecture,
    fixed: Mapping[str, str],
    axes: Sequence[Axis],
    left: int,
    seeds: int,
    grid: bool,
    jobs: int,
    progress: Progress | None,
) -> Estimate:
    first = {**fixed, **{key: value for axis in axes for key, value in axis.at(0.0).items()}}
    probe = _Probe(what.architecture, what.workload, first, None, what.seed, progress, one_frame=False)
    seconds = probe.measured()
    decisive = [axis for axis in axes if any(is_functional(key, chip.spec) for key in axis.keys)]
    others = [axis for axis in axes if axis not in decisive]
    timed = others if len(others) > _MOST_AXES else [axis for axis in others if probe.changes_cycles(first, axis)]

    def distinct(along: Sequence[Axis]) -> int:
        """Return how many points that are left differ along some axes, or in their seed."""
        counts = [axis.count() or left for axis in along]
        return left if along and not grid else min(math.prod(counts) * seeds, left)

    values, cycles = distinct(decisive), distinct([*decisive, *timed])
    at_once = max(min(jobs, left), 1)
    work = values * seconds[VALUES] + cycles * seconds[CYCLES] + left * seconds[REST]
    estimate = probe.estimate(work / at_once)
    return replace(estimate, points=left, values=values, cycles=cycles, jobs=at_once)


class _Probe:
    """Runs beginnings of a run, and takes the time of its stages."""

    def __init__(
        self,
        architecture: AnyArchitecture,
        workload: AnyWorkload | None,
        overrides: Overrides,
        inputs: Given | None,
        seed: int,
        progress: Progress | None,
        one_frame: bool,
    ) -> None:
        self._what = architecture, workload
        self._overrides = overrides
        self._how: dict[str, Any] = {"inputs": inputs, "seed": seed, "one_frame": one_frame}
        self._tell: Progress = progress or (lambda stage, done, total: None)
        self._batch: Batch | None = None
        self._memory: Memory | None = None
        self._names = "", ""
        self._features_s = 0.0
        self._frames = 0
        self._spent: dict[str, float] = {}

    def measured(self) -> dict[str, float]:
        """Return the seconds of each part of a run over all frames: t(n) = a + b n, from two beginnings of it."""
        frames = _FIRST_FRAMES
        self._time(frames)  # machine code is made, or read, now
        before = self._time(frames)
        while True:
            frames *= _TIMES
            now = self._time(frames)
            (n, short), (m, long) = before, now
            if m == n or m == self.frames() or sum(long.values()) - sum(short.values()) > _ENOUGH_S:
                break
            before = now
        return {part: extended(n, short[part], m, long[part], self.frames()) for part in (VALUES, CYCLES, REST)}

    def changes_cycles(self, first: Mapping[str, str], axis: Axis) -> bool:
        """Return whether the engine has to run once more where an axis takes its second value."""
        reuse = Reuse()
        self._run(_FIRST_FRAMES, first, reuse.stages())
        before = reuse.computed()["timelines"]
        self._run(_FIRST_FRAMES, {**first, **axis.samples()[1]}, reuse.stages())
        return reuse.computed()["timelines"] > before

    def estimate(self, seconds: float) -> Estimate:
        """Return the estimate of a run, or of several, that take so long without the features."""
        assert self._batch is not None and self._memory is not None
        utterances = len(self._batch.starts) - 1
        chip, network = self._names
        return Estimate(
            chip, network, self.frames(), utterances, seconds + self._features_s, self._features_s, self._memory
        )

    def frames(self) -> int:
        """Return how many frames of the input there are in all."""
        return 0 if self._batch is None else len(self._batch.features)

    def _time(self, frames: int) -> tuple[int, dict[str, float]]:
        """Return of how many frames a beginning really was, and the seconds of its parts."""
        self._spent = dict.fromkeys((VALUES, CYCLES, _NOT_COUNTED), 0.0)
        begun = time.perf_counter()
        with watched() as compiling:
            self._run(frames, self._overrides, Stages())
        in_all = time.perf_counter() - begun - compiling.seconds
        # Where kernels are compiled they are a part of the values: then nobody looks at how long these took.
        return self._frames, {**self._spent, REST: max(in_all - sum(self._spent.values()), 0.0)}

    def _run(self, frames: int, overrides: Overrides, stages: Stages) -> None:
        """Run a beginning of so many frames or some more, with every stage timed."""

        def load(*arguments: Any) -> Batch:
            if self._batch is None:
                with self._timed(_NOT_COUNTED):
                    self._batch = stages.load_batch(*arguments)
                self._features_s = self._spent[_NOT_COUNTED]
            batch = beginning(self._batch, frames)
            self._frames = len(batch.features)
            return batch

        def execute(deployment: Any, batch: Batch, **options: Any) -> Any:
            if self._memory is None:
                assert self._batch is not None
                self._memory = check_memory(deployment, self._batch)
                self._names = deployment.chip.spec.name, deployment.network.spec.name
            return self._in(VALUES, stages.execute)(deployment, batch, **options)

        run_in_full(
            *self._what, overrides=overrides, progress=self._tell, **self._how,
            stages=replace(
                stages, load_batch=load, execute=execute, simulate=self._in(CYCLES, stages.simulate),
                score=self._in(VALUES, stages.score), score_reference=self._in(VALUES, stages.score_reference),
            ),
        )  # fmt: skip

    def _in(self, part: str, stage: Callable[..., T]) -> Callable[..., T]:
        """Return a stage whose time counts for a part."""

        def timed(*arguments: Any, **options: Any) -> T:
            with self._timed(part):
                return stage(*arguments, **options)

        return timed

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self._spent[part] = self._spent.get(part, 0.0) + time.perf_counter() - begun


def beginning(batch: Batch, frames: int) -> Batch:
    """Return the first utterances of a batch that have so many frames together, all of it where it has fewer.

    A single one that is far longer is cut, and then it is not scored.
    """
    utterances = min(int(np.searchsorted(batch.starts, frames)), len(batch.starts) - 1)
    end, cut = int(batch.starts[utterances]), False
    if end > _TIMES * frames:
        end, cut = frames, True
    starts = np.minimum(batch.starts[: utterances + 1], end)
    return replace(
        batch,
        features=batch.features[:end],
        starts=starts,
        names=batch.names[:utterances],
        references=None if cut or batch.references is None else batch.references[:utterances],
        audio_seconds=end * batch.frame_period_s,
        spoken_by=batch.spoken_by[:utterances],
    )


def extended(n: int, short: float, m: int, long: float, frames: int) -> float:
    """Return t(frames) of the line through t(n) = short and t(m) = long, where neither part of it is below zero."""
    each = max(long - short, 0.0) / (m - n) if m > n else 0.0
    return max(long - each * m, 0.0) + each * frames
