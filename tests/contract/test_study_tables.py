"""The committed tables of studies: there for every paper and page, small, and of today's files."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest

from accelsim.explore import load_paper
from accelsim.explore.comparison import SWEEPS, study_paths
from accelsim.explore.studies import SHELF, out_of_date, read_table
from accelsim.explore.sweep import load_sweep
from accelsim.library import names, root
from accelsim.schema.paper import StudyRun

TABLES = sorted((root() / SHELF).glob("*.csv"))


def test_every_study_of_a_paper_has_a_table() -> None:
    specs = [run for name in names("arch/papers") for run in load_paper(name).runs.values()]
    studies = {spec.name() for spec in specs if isinstance(spec, StudyRun)}
    assert studies <= {path.stem for path in TABLES}


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_table_is_small_whole_and_of_today(path: Path) -> None:
    assert path.stat().st_size < 1e6
    rows = read_table(path)
    assert rows and out_of_date(rows) == (), "its sweep is to be run again: accelsim sweep .. --table"
    header = next(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    assert set(study_paths(path.stem)) <= set(header)
    if path.stem in names(SWEEPS):
        what = load_sweep(root() / SWEEPS / f"{path.stem}.yaml")
        by_setting: dict[tuple[tuple[str, str], ...], set[int]] = {}
        for row in rows:
            by_setting.setdefault(tuple(row.settings.items()), set()).add(row.seed)
        assert all(seeds == set(range(what.seed, what.seed + what.seeds)) for seeds in by_setting.values())


def test_differences_of_the_noise_study_are_those_of_its_tables() -> None:
    folder = root() / "workloads" / "s4d_digits10"
    spec = importlib.util.spec_from_file_location("compare_noise", folder / "compare_noise.py")
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    assert recipe.TABLE.read_text(encoding="utf-8") == recipe.table(), "run compare_noise.py again"
