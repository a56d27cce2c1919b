"""Who runs the points: this process, several processes of this machine, or a Dask cluster; the results are the same."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shlex
import signal
import threading
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import accelsim
from accelsim import limits
from accelsim.errors import AccelsimError, InputError, interruption
from accelsim.explore.reuse import Reuse
from accelsim.explore.space import Point
from accelsim.explore.store import Outcome
from accelsim.limits import Limits
from accelsim.pipeline import Progress, run_in_full
from accelsim.plugins import load_plugin
from accelsim.record import record
from accelsim.simulate import Timeline

News = list[tuple[Hashable, tuple[Timeline, int]]]
"""Timelines that a process has made, with their keys and time bases."""

_ATTEMPTS = 2
_POINTS_PER_TASK = 16
_SECONDS_TO_ANSWER = 10
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class RunTemplate:
    """What every point runs: an architecture and a workload, by name or path, and the keys that all points set.

    ``plugins``: files that a process runs before its first point; ``most``: the limits of each process.
    """

    architecture: str
    workload: str | None
    keys: Mapping[str, str]
    plugins: tuple[str, ...] = ()
    most: Limits = field(default_factory=limits.current)

    def overrides(self, point: Point) -> dict[str, str]:
        return {**self.keys, **point.keys}

    def command(self, point: Point) -> str:
        """Return the command that runs a point alone."""
        network = ["-w", self.workload] if self.workload else []
        settings = [text for key, value in self.overrides(point).items() for text in ("-s", f"{key}={value}")]
        plugins = [text for file in self.plugins for text in ("--plugin", file)]
        tail = [*network, *settings, *plugins, "--seed", str(point.seed)]
        return shlex.join(["accelsim", "run", self.architecture, *tail])


def evaluate(template: RunTemplate, point: Point, reuse: Reuse, progress: Progress | None = None) -> Outcome:
    """Run a point; whatever goes wrong becomes its outcome."""
    try:
        for file in template.plugins:
            load_plugin(file)
        overrides, stages = template.overrides(point), reuse.stages()
        with limits.within(template.most):
            run = run_in_full(
                template.architecture, template.workload, overrides=overrides, seed=point.seed, stages=stages,
                progress=progress, one_frame=False,
            )  # fmt: skip
            return Outcome(point, record(run, template.command(point)))
    except Exception as error:  # a mistake in accelsim must not take the other points with it
        if (end := interruption(error)) is not None:
            raise end from None
        if isinstance(error, AccelsimError):
            return Outcome(point, None, str(error))
        return Outcome(point, None, f"{type(error).__name__}: {error}")


def evaluate_here(
    template: RunTemplate, points: Sequence[Point], progress: Progress | None = None
) -> Iterator[Outcome]:
    """Run the points one after the other in this process; ``progress``: of each."""
    reuse = Reuse()
    for point in points:
        yield evaluate(template, point, reuse, progress)


def evaluate_in_processes(template: RunTemplate, points: Sequence[Point], jobs: int) -> Iterator[Outcome]:
    """Run the points in several processes and yield each as it is done.

    Every process works through a stretch of its own, because neighbours share values; one that is done takes from the
    far end of the longest stretch left. What one learns of the engine's timelines it tells the others. A point whose
    process dies is tried once more, then it failed.
    """
    jobs = max(min(jobs, len(points)), 1)
    if (memory := template.most.memory_bytes()) is not None:
        template = replace(template, most=replace(template.most, memory=max(memory // jobs, 1)))
    stretches = [deque(points[i * len(points) // jobs : (i + 1) * len(points) // jobs]) for i in range(jobs)]
    attempts: dict[int, int] = {}
    with _threads_shared_out(jobs):
        workers = [_Worker(template) for _ in range(jobs)]
    doing: dict[int, Point] = {}

    def begin(index: int) -> None:
        stretch = stretches[index]
        longest = max(stretches, key=len)
        if stretch or longest:
            doing[index] = point = stretch.popleft() if stretch else longest.pop()
            attempts[point.number] = attempts.get(point.number, 0) + 1
            workers[index].send(point)

    try:
        for index in range(jobs):
            begin(index)
        while doing:
            of = {workers[index].connection: index for index in doing}
            for ready in wait(list(of)):
                index = of[ready]  # type: ignore[index]
                point = doing.pop(index)
                answer = workers[index].receive()
                outcome, news = answer or (None, [])
                for other in (worker for worker in workers if worker is not workers[index]):
                    other.news += news
                if answer is None:
                    code = workers[index].stop()
                    if code > 0:
                        hint = 'in a script call sweep under `if __name__ == "__main__":`'
                        raise AccelsimError(f"the processes for the points do not start (exit code {code}); {hint}")
                    with _threads_shared_out(jobs):
                        workers[index] = _Worker(template)
                    if attempts[point.number] < _ATTEMPTS:
                        stretches[index].appendleft(point)
                    else:
                        error = f"the process that ran it died {_ATTEMPTS} times (signal {-code})"
                        outcome = Outcome(point, None, error)
                begin(index)
                if outcome is not None:
                    yield outcome
    finally:
        for worker in workers:
            worker.stop()


def evaluate_on_cluster(template: RunTemplate, points: Sequence[Point], scheduler: str) -> Iterator[Outcome]:
    """Run the points on the workers of a Dask scheduler and yield each task's as it is done.

    The workers need this version of accelsim and the same files, plug-ins too. A task is 16 neighbouring points; Dask
    gives those of a lost worker to another one. Raises InputError where no scheduler answers or it has no workers,
    AccelsimError when it goes away.
    """
    with _cluster(scheduler) as client:
        from distributed import CancelledError, KilledWorker, as_completed

        groups = [points[i : i + _POINTS_PER_TASK] for i in range(0, len(points), _POINTS_PER_TASK)]
        tasks = {client.submit(_evaluate_task, template, group, pure=False): group for group in groups}
        try:
            for future in as_completed(list(tasks), loop=client.loop, raise_errors=False):
                error = None if future.status == "finished" else future.exception()
                if error is None:
                    yield from future.result()
                elif isinstance(error, KilledWorker):
                    for point in tasks[future]:
                        yield Outcome(point, None, "the workers that ran it died, one after the other")
                else:
                    raise error
        except (OSError, CancelledError):
            kept = "every point that was written stays; go on with --resume"
            raise AccelsimError(f"the Dask scheduler at {scheduler} is gone; {kept}") from None


class _Worker:
    """A process that runs points for as long as its connection is open."""

    def __init__(self, template: RunTemplate) -> None:
        context = multiprocessing.get_context("spawn")
        self.news: News = []
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(theirs, template), daemon=True)
        self.process.start()
        theirs.close()

    def send(self, point: Point) -> None:
        with suppress(OSError):  # it died: receive tells
            self.connection.send((point, self.news))
        self.news = []

    def receive(self) -> tuple[Outcome, News] | None:
        """Return what came of the point, and the timelines that it made; None when the process died."""
        try:
            answer: tuple[Outcome, News] = self.connection.recv()
            return answer
        except (EOFError, OSError):
            return None

    def stop(self) -> int:
        """End the process and return its exit code: below zero for a signal, above it when it could not begin."""
        self.connection.close()
        self.process.join(0.2)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join()
        return self.process.exitcode or 0


def _work(connection: Connection, template: RunTemplate) -> None:
    # An interrupt is for the parent, whose end of the connection then closes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reuse = Reuse()
    try:
        while True:
            point, news = connection.recv()
            reuse.timelines.learn(news)
            connection.send((evaluate(template, point, reuse), reuse.timelines.news()))
    except (EOFError, OSError):
        return


@contextmanager
def _threads_shared_out(jobs: int) -> Iterator[None]:
    """Give each process that is started here its share of the cores; what the user has set stays."""
    share = str(max(len(os.sched_getaffinity(0)) // jobs, 1))
    added = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(added, share))
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


_OF_THREAD = threading.local()


def _evaluate_task(template: RunTemplate, points: Sequence[Point]) -> list[Outcome]:
    """Run points on a Dask worker; each of its threads remembers what it made."""
    if not hasattr(_OF_THREAD, "reuse"):
        _OF_THREAD.reuse = Reuse()
    return [evaluate(template, point, _OF_THREAD.reuse) for point in points]


@contextmanager
def _cluster(scheduler: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError:
        hint = "pip install 'accelsim-speech[explore]'"
        raise InputError.of("a Dask cluster needs Dask", hint=hint) from None
    for name in ("distributed", "distributed.client", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters of it is said in our own words
    try:
        client = Client(scheduler, timeout=_SECONDS_TO_ANSWER, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        hint = "start one with `dask scheduler`, and workers with `dask worker ADDRESS`"
        raise InputError.of(
            f"no Dask scheduler answers at {scheduler}: {error}", file="--scheduler", hint=hint
        ) from None
    try:
        versions = client.run(_version)
        if not versions:
            hint = f"dask worker {scheduler}"
            raise InputError.of(f"the Dask scheduler at {scheduler} has no workers", file="--scheduler", hint=hint)
        other = {found for found in versions.values() if found != accelsim.__version__}
        if other:
            raise InputError.of(
                f"the workers of {scheduler} have accelsim {', '.join(sorted(other))}, this is {accelsim.__version__}"
            )
        yield client
    finally:
        client.close(timeout=1)


def _version() -> str:
    return accelsim.__version__
