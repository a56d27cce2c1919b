"""A sweep on a Dask cluster: a real scheduler and two workers on this machine, one of which is killed mid-sweep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweeps import sweep
from unit.test_sweep import CHIP, FAST, NETWORK, small, table

from accelsim.errors import AccelsimError, InputError

distributed = pytest.importorskip("distributed")

AXES = [*FAST, "pe.switch_cycles=0:39", "zero_skip.skip_spikes=true,false", "clocks.main.frequency=1 MHz,500 MHz"]


class Cluster:
    """The processes of a scheduler and its workers."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1")
        for _ in range(workers):
            self.start_worker()
        self.client = distributed.Client(scheduler_file=str(self.file), timeout=60, set_as_default=False)
        if workers:
            self.client.wait_for_workers(workers, timeout=60)
        self.address = self.client.scheduler.address

    def start_worker(self) -> None:
        # Without a nanny nobody starts it again.
        self._start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")

    def _start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-m", "dask", what, "--scheduler-file", str(self.file), *options]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.processes.append(subprocess.Popen(program, cwd=self.folder, **quiet))
        return self.processes[-1]

    def stop(self) -> None:
        self.client.close(timeout=1)
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    running = Cluster(tmp_path, 2)
    yield running
    running.stop()


def test_a_worker_killed_mid_sweep_loses_nothing(cluster: Cluster, tmp_path: Path) -> None:
    workers = cluster.client.run(os.getpid)
    assert len(workers) == 2

    def kill_one(stage: str, done: int | None, total: int | None) -> None:
        if done and workers:
            os.kill(workers.popitem()[1], signal.SIGKILL)
            workers.clear()

    sweep(CHIP, AXES, tmp_path / "far", workload=NETWORK, scheduler=cluster.address, progress=kill_one).close()
    small(tmp_path / "near", AXES).close()
    assert len(cluster.client.run(os.getpid)) == 1
    assert table(tmp_path / "far") == table(tmp_path / "near")


@pytest.mark.slow
def test_a_scheduler_that_dies_loses_nothing_that_was_done(cluster: Cluster, tmp_path: Path) -> None:
    def kill_it(stage: str, done: int | None, total: int | None) -> None:
        if done:
            cluster.scheduler.kill()

    with pytest.raises(AccelsimError, match=r"the Dask scheduler at .* is gone.*--resume"):
        sweep(CHIP, AXES, tmp_path / "out", workload=NETWORK, scheduler=cluster.address, progress=kill_it)
    with small(tmp_path / "out", AXES, resume=True) as store:
        assert len(store.done()) == 160


@pytest.mark.slow
def test_no_scheduler_and_no_workers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127.0.0.1:1: .*dask scheduler"):
        small(tmp_path / "out", scheduler="tcp://127.0.0.1:1")
    empty = Cluster(tmp_path, 0)
    try:
        with pytest.raises(InputError, match=r"has no workers.*dask worker"):
            small(tmp_path / "other", scheduler=empty.address)
    finally:
        empty.stop()
