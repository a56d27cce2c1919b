"""Sweeps and searches: what is stored, what is refused, and that nothing that was done is lost."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sweeps import sweep

import accelsim
from accelsim.errors import AccelsimError, InputError
from accelsim.explore import workers
from accelsim.explore.metrics import METRICS
from accelsim.explore.search import run_search
from accelsim.explore.space import read_axes
from accelsim.explore.store import FILE, Store
from accelsim.explore.sweep import Sweep, load_sweep, run_sweep
from accelsim.limits import LARGEST_SEED

CHIP, NETWORK = "rsnn28nm", "rsnn_paper_activity"
FAST = ["workload.inputs.frames=4", "operating_points={}"]
AXES = [*FAST, "pe.switch_cycles=0:3", "zero_skip.skip_spikes=true,false", "clocks.main.frequency=1 MHz,500 MHz"]
FAILING = "weights_fc.rows=1,1000000"


def small(out: Path, axes: list[str] = AXES, **options: Any) -> Store:
    return sweep(CHIP, axes, out, workload=NETWORK, **options)


def table(folder: Path) -> dict[str, list[Any]]:
    """Return everything that a store holds, sorted."""
    connection = sqlite3.connect(folder / FILE)
    tables = ("points", "layers", "components", "meta")
    rows = {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in tables}
    connection.close()
    return rows


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("sweep") / "out"
    small(out).close()
    return out


def command_line(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "accelsim.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_every_point_is_the_run_that_its_command_names(undisturbed: Path) -> None:
    store = Store.open(undisturbed)
    rows = store.points()
    assert len(rows) == 4 * 2 * 2
    assert list(rows[3]["keys"].items()) == [
        ("components.pe.switch_cycles", "0"),
        ("components.zero_skip.skip_spikes", "false"),
        ("clocks.main.frequency", "500 MHz"),
    ]
    result = store.result(3)
    alone = accelsim.run(
        CHIP, NETWORK, overrides={**store.meta()["set"], **rows[3]["keys"]}, seed=0, command=result.command
    )
    as_in_a_sweep = {**alone.model_dump(), "frame": None}  # what happened to one frame is taken down of single runs
    assert result.model_dump() == as_in_a_sweep
    assert result.command.startswith(f"accelsim run {CHIP} -w {NETWORK} -s workload.inputs.frames=4")
    assert {name: rows[3][name] for name in METRICS} == {name: metric.of(alone) for name, metric in METRICS.items()}


def test_layers_and_components_are_rows(undisturbed: Path) -> None:
    result, rows = Store.open(undisturbed).result(0), table(undisturbed)
    layers = [row for row in rows["layers"] if row[0] == 0]
    components = [row for row in rows["components"] if row[0] == 0]
    assert [row[2] for row in layers] == [layer.name for layer in result.layers]
    assert sum(row[-1] for row in layers) == pytest.approx(sum(layer.energy_j for layer in result.layers))
    assert {row[2]: json.loads(row[-3]) for row in components} == {c.name: c.actions for c in result.components}
    waited = {c.name: (c.energy_j.standby, c.energy_j.wake) for c in result.components}
    assert {row[2]: row[-2:] for row in components} == waited


def test_processes_give_the_same_table(undisturbed: Path, tmp_path: Path) -> None:
    small(tmp_path / "two", jobs=2).close()
    assert table(tmp_path / "two") == table(undisturbed)


def test_seeds_are_put_together(tmp_path: Path) -> None:
    with small(tmp_path / "out", [*FAST, "pe.switch_cycles=0,1"], seed=5, seeds=3) as store:
        assert [(row["configuration"], row["seed"]) for row in store.points()] == [
            (c, 5 + s) for c in (0, 1) for s in range(3)
        ]
        first, rows = store.configurations()[0], store.points()[:3]
        cycles = [row["cycles_per_frame"] for row in rows]
        assert len(set(cycles)) > 1
        assert first.mean["cycles_per_frame"] == pytest.approx(sum(cycles) / 3)
        assert (first.lowest["cycles_per_frame"], first.highest["cycles_per_frame"]) == (min(cycles), max(cycles))


def test_a_point_that_fails_is_a_row_with_its_error(tmp_path: Path) -> None:
    with small(tmp_path / "out", [*FAST, FAILING]) as store:
        bad, good = store.points()
        assert (bad["status"], good["status"]) == ("failed", "done")
        assert "the readout_weights need" in bad["error"] and bad["energy_j"] is None
        assert store.result(0) is None


def test_a_mistake_in_a_point_takes_no_other_one_with_it(tmp_path: Path, monkeypatch) -> None:
    real = workers.record

    def broken(run: Any, command: str) -> Any:
        if "switch_cycles=1" in command:
            raise ZeroDivisionError("a mistake")
        return real(run, command)

    monkeypatch.setattr(workers, "record", broken)
    with small(tmp_path / "out", [*FAST, "pe.switch_cycles=0:2"]) as store:
        assert [row["error"] for row in store.points()] == [None, "ZeroDivisionError: a mistake", None]
    monkeypatch.setattr(workers, "record", real)
    with small(tmp_path / "out", [*FAST, "pe.switch_cycles=0:2"], resume=True) as store:
        assert store.done() == {0, 1, 2}, "a failed point is tried again"


def test_an_interrupted_sweep_goes_on(tmp_path: Path, undisturbed: Path) -> None:
    def stop(stage: str, done: int | None, total: int | None) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small(tmp_path / "out", progress=stop)
    with Store.open(tmp_path / "out") as store:
        assert len(store.done()) == 5
    small(tmp_path / "out", resume=True, jobs=2).close()
    assert table(tmp_path / "out") == table(undisturbed)


KILLED = """
import os, random, shutil, signal, sqlite3, sys, time
from pathlib import Path
from accelsim.explore.space import read_axes
from accelsim.explore.sweep import Sweep, run_sweep

chip, network, folder, *axes = sys.argv[1:]
def run(out, **options):
    run_sweep(Sweep(chip, network, tuple(read_axes(axes))), Path(out), **options).close()

begun = time.monotonic()
run(folder + "/undisturbed")
lasts = time.monotonic() - begun
chosen, kills, killed = random.Random(1), 0, folder + "/killed"
while kills < 20:
    child = os.fork()  # a clone that has imported and compiled everything
    if child == 0:
        run(killed, resume=True)
        os._exit(0)
    time.sleep(chosen.uniform(0, lasts / 8))
    os.kill(child, signal.SIGKILL)
    if os.waitpid(child, 0)[1] == signal.SIGKILL:
        kills += 1
        if Path(killed, "results.sqlite").is_file():
            try:
                print(sqlite3.connect(killed + "/results.sqlite").execute("SELECT count(*) FROM points").fetchone()[0])
            except sqlite3.OperationalError:
                print("no tables yet")
    else:
        shutil.rmtree(killed)  # it was done before it could be killed: once more from the start
run(killed, resume=True)
"""


def test_a_sweep_killed_twenty_times_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    axes = [*FAST, "pe.switch_cycles=0:19", "zero_skip.skip_spikes=true,false", "clocks.main.frequency=1 MHz,500 MHz"]
    one_thread = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "NUMBA_THREADING_LAYER": "workqueue"}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, CHIP, NETWORK, str(tmp_path), *axes],
        capture_output=True, text=True, env={**os.environ, **one_thread}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    there = done.stdout.split("\n")
    assert len(set(there)) > 5, f"the kills came too early or too late to show anything: {there}"
    assert table(tmp_path / "killed") == table(tmp_path / "undisturbed")


def test_a_process_that_dies_takes_no_point_with_it(tmp_path: Path, undisturbed: Path) -> None:
    def kill_one(stage: str, done: int | None, total: int | None) -> None:
        if done == 3:
            next(iter(multiprocessing.active_children())).kill()

    small(tmp_path / "out", jobs=2, progress=kill_one).close()
    assert table(tmp_path / "out") == table(undisturbed)


def test_what_is_wrong_is_said_before_anything_runs(tmp_path: Path) -> None:
    for axes, message in [
        (["pe.swich_cycles=0:3"], "did you mean 'switch_cycles'"),
        (["components.pf.sets=1,2"], "did you mean 'components.pe.sets'"),
        (["workload.time_step=1,2"], "did you mean 'time_steps'"),
        (["pe.switch_cycles=-1:2"], "'switch_cycles': must be at least 0, found -1"),
        (["pe.switch_cycles=3:1"], "is empty"),
        (["pe.sets=1,2", "components.pe.sets=4"], "'components.pe.sets' is set twice"),
        (["technology.voltage=0.8 V,1 s"], "'1 s' is a time, expected a voltage"),
    ]:
        with pytest.raises(InputError, match=message):
            small(tmp_path / "out", axes)
        assert not (tmp_path / "out").exists()
    for options, message in [
        ({"method": "gird"}, "unknown method 'gird'"),
        ({"method": "lhs"}, "needs a number of points"),
        ({"points": 5}, "a grid has as many points"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"seed": -1}, f"seeds must be from 0 to {LARGEST_SEED}, found -1"),
        ({"seed": LARGEST_SEED, "seeds": 2}, f"found {LARGEST_SEED} and 2 of them"),
        ({"objectives": ["enrgy"]}, "did you mean 'energy'"),
    ]:
        with pytest.raises(InputError, match=message):
            small(tmp_path / "out", **options)


def test_the_largest_seed_is_one_that_a_store_holds(tmp_path: Path) -> None:
    with small(tmp_path / "out", seed=LARGEST_SEED) as store:
        assert {row["seed"] for row in store.points()} == {LARGEST_SEED}


def test_both_problems_of_two_axes(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        small(tmp_path / "out", ["pe.swich_cycles=0:3", "technology.voltage=1 s"])
    assert len(caught.value.problems) == 2


def test_resuming_another_sweep_is_refused(undisturbed: Path) -> None:
    with pytest.raises(InputError, match=r"holds results already.*--resume"):
        small(undisturbed)
    with pytest.raises(InputError, match=r"holds another sweep: axes was .*; swept was"):
        small(undisturbed, [*FAST, "pe.switch_cycles=0:3"], resume=True)


def test_a_store_killed_at_its_birth_begins_anew(tmp_path: Path, undisturbed: Path) -> None:
    (tmp_path / "out").mkdir()
    sqlite3.connect(tmp_path / "out" / FILE).execute("PRAGMA journal_mode = WAL").connection.close()
    small(tmp_path / "out", resume=True).close()
    assert table(tmp_path / "out") == table(undisturbed)


def test_a_newer_store_and_a_strange_file_are_refused(undisturbed: Path, tmp_path: Path) -> None:
    shutil.copytree(undisturbed, tmp_path / "newer")
    with sqlite3.connect(tmp_path / "newer" / FILE) as connection:
        connection.execute("UPDATE meta SET value = '\"accelsim/store@2\"' WHERE key = 'schema'")
    with pytest.raises(InputError, match=r"newer than this accelsim.*update accelsim"):
        Store.open(tmp_path / "newer")
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / FILE).write_bytes(b"not a database" * 100)
    with pytest.raises(InputError, match="file is not a database"):
        Store.open(tmp_path / "strange")
    with pytest.raises(InputError, match="no results in"):
        Store.open(tmp_path)


def test_a_full_database_keeps_what_is_there(tmp_path: Path, undisturbed: Path) -> None:
    store = Store.open(undisturbed)
    outcome = workers.Outcome(workers.Point(7, 7, 0, {}), store.result(7))
    shutil.copytree(undisturbed, tmp_path / "out")
    with Store.open(tmp_path / "out") as full:
        pages = full._connection.execute("PRAGMA page_count").fetchone()[0]
        full._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(AccelsimError, match=r"database or disk is full; every point that was written stays"):
            for number in range(100, 200):
                full.add(workers.Outcome(workers.Point(number, number, 0, {}), outcome.result))
        assert full.done() >= set(range(16))


@pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode != 0,
    reason="no user namespaces to mount a small tmpfs in",
)
def test_a_full_disk_loses_nothing(tmp_path: Path, undisturbed: Path) -> None:
    arguments = ["sweep", CHIP, "-w", NETWORK, *(text for axis in AXES for text in ("-s", axis)), "-o"]
    script = f"""
        mkdir disk && mount -t tmpfs -o size=300k tmpfs disk || exit 77
        {shlex.join([sys.executable, "-m", "accelsim.cli", *arguments, "disk/out"])}
        code=$?
        cp -r disk/out kept
        exit $code
    """
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("mounting is not allowed")
    assert done.returncode == 1, done.stderr
    assert "make room and go on with --resume" in done.stderr and "Traceback" not in done.stderr
    with Store.open(tmp_path / "kept") as store:
        assert 0 < len(store.done()) < 16
    small(tmp_path / "kept", resume=True).close()
    assert table(tmp_path / "kept")["points"] == table(undisturbed)["points"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write to the output folder.*ot a"):
        small(tmp_path / "file" / "out")


def test_tables_for_others(undisturbed: Path, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    shutil.copytree(undisturbed, tmp_path / "out")
    with Store.open(tmp_path / "out") as store:
        points, layers, components = store.export_parquet()
        rows = store.points()
    with (tmp_path / "out" / "points.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [float(row["power_w"]) for row in read] == [row["power_w"] for row in rows]
    assert [row["components.pe.switch_cycles"] for row in read] == [
        r["keys"]["components.pe.switch_cycles"] for r in rows
    ]
    with duckdb.connect() as connection:
        values = connection.execute(f"SELECT power_w FROM '{points}' ORDER BY point").fetchall()
        assert [value for (value,) in values] == [row["power_w"] for row in rows]
        assert connection.execute(f"SELECT count(*) FROM '{layers}'").fetchone() == (16 * 4,)
        (energy,) = connection.execute(f"SELECT sum(leakage_j) FROM '{components}' WHERE point = 3").fetchone()
    assert energy == pytest.approx(Store.open(undisturbed).result(3).energy.leakage_j)


def test_a_parquet_file_that_cannot_be_written(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    duckdb = pytest.importorskip("duckdb")
    shutil.copytree(undisturbed, tmp_path / "out")

    def full(*_: object) -> None:
        raise duckdb.IOException("No space left on device")

    monkeypatch.setattr(duckdb.DuckDBPyRelation, "write_parquet", full)
    with Store.open(tmp_path / "out") as store, pytest.raises(AccelsimError, match=r"points\.parquet: No space left"):
        store.export_parquet()
    assert not [*(tmp_path / "out").glob("*.parquet*"), *(tmp_path / "out").glob(".*")]


SWEEP_FILE = """
schema: accelsim/sweep@1
architecture: rsnn28nm
workload: rsnn_paper_activity
axes:
  - {workload.inputs.frames: 4}
  - {operating_points: "{}"}
  - {pe.switch_cycles: "0:3"}
  - {zero_skip.skip_spikes: [true, false]}
  - clocks.main.frequency: [1 MHz, 500 MHz]
objectives: [energy, cycles]
"""


def test_a_sweep_file(tmp_path: Path, undisturbed: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP_FILE)
    what = load_sweep(tmp_path / "sweep.yaml")
    run_sweep(what, tmp_path / "out").close()
    ours = table(tmp_path / "out")
    assert [ours[name] for name in ("points", "layers")] == [table(undisturbed)[name] for name in ("points", "layers")]
    wrong = SWEEP_FILE.replace("0:3", "3:0").replace("[1 MHz, 500 MHz]", "[]")
    (tmp_path / "sweep.yaml").write_text(wrong)
    with pytest.raises(InputError, match=r"(?s)sweep.yaml:8: the range '3:0'.*sweep.yaml:10: no values for 'clocks"):
        load_sweep(tmp_path / "sweep.yaml")
    (tmp_path / "sweep.yaml").write_text(SWEEP_FILE.replace("axes:", "axis:"))
    with pytest.raises(InputError, match="did you mean 'axes'"):
        load_sweep(tmp_path / "sweep.yaml")


def test_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP_FILE)
    done = command_line(
        "sweep", "sweep.yaml", "-s", "pe.switch_cycles=0,1", "-o", "out", "--export", "csv", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "sweep of rsnn_paper_activity on rsnn28nm" in done.stdout
    assert "8 of 8 configurations done; [*] Pareto front of energy, cycles: " in done.stdout
    assert "pe.switch_cycles 0 .. 1" in done.stdout
    assert (tmp_path / "out" / "points.csv").is_file()
    wrong = command_line("sweep", CHIP, "-s", "pe.swich=1:2", "--export", "xls", "-o", "new", cwd=tmp_path)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "cannot export to 'xls'" in wrong.stderr


def test_all_points_failed_is_exit_code_1(tmp_path: Path) -> None:
    done = command_line("sweep", CHIP, "-w", NETWORK, "-s", "weights_fc.rows=1,2", "-o", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "2 failed, for example" in done.stdout


def searched(out: Path, **options: Any) -> Store:
    axes = [*FAST, "pe.switch_cycles=0:7", "zero_skip.skip_spikes=true,false", "clocks.main.frequency=1 MHz:500 MHz"]
    what = Sweep(CHIP, NETWORK, tuple(read_axes(axes)), objectives=options.pop("objectives", ("power", "latency")),
                 constraints=options.pop("constraints", ()))  # fmt: skip
    return run_search(what, out, **{"trials": 12, **options})


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_search_goes_on_where_it_was_killed(tmp_path: Path, sampler: str) -> None:
    pytest.importorskip("optuna")

    def stop(stage: str, done: int | None, total: int | None) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "out", sampler=sampler, progress=stop)
    with searched(tmp_path / "out", sampler=sampler, resume=True) as store:
        rows = store.points()
        assert [row["point"] for row in rows] == list(range(12))
        assert len({tuple(row["keys"].values()) for row in rows}) > 6
        for row in rows:
            assert row["power_w"] == store.result(row["point"]).power_w
    with pytest.raises(InputError, match=r"holds (results|a search) already"):
        searched(tmp_path / "out", sampler=sampler)


def test_a_search_keeps_to_its_constraints_and_finds_the_best(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    with searched(tmp_path / "out", trials=30, objectives=["cycles"], constraints=["power<=1 mW"]) as store:
        rows = store.points()
    kept = [row for row in rows if row["power_w"] <= 1e-3]
    assert len(kept) > len(rows) / 2, "most trials keep to the constraint once it has been met"
    best = min(kept, key=lambda row: row["cycles_per_frame"])["keys"]
    assert (best["components.pe.switch_cycles"], best["components.zero_skip.skip_spikes"]) == ("0", "true")


def test_what_is_wrong_with_a_search(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    with pytest.raises(InputError) as caught:
        searched(tmp_path / "out", sampler="tpf", trials=0, constraints=["area<3"])
    assert len(caught.value.problems) == 3
    with pytest.raises(AccelsimError, match="cannot use the storage nothing://x"):
        searched(tmp_path / "out", storage="nothing://x")
