"""How the tests run: the same examples every time, and numba no wider than two threads."""

from __future__ import annotations

import os

os.environ.setdefault("NUMBA_NUM_THREADS", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from accelsim.plugins import registries

# Derandomized: a red test is red for everybody. HYPOTHESIS_PROFILE=explore looks for new examples.
_quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
_phases = [Phase.explicit, Phase.generate, Phase.shrink]
settings.register_profile(
    "fixed", deadline=None, derandomize=True, database=None, suppress_health_check=_quiet, phases=_phases
)
settings.register_profile("explore", deadline=None, max_examples=2000, suppress_health_check=_quiet)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fuzz", "damaged inputs (-m fuzz)")
    group.addoption("--count", type=int, default=10_000, help="inputs over all kinds")
    group.addoption("--seed", type=int, default=1, help="seed of the inputs; the short run has 0")


@pytest.fixture
def distribution(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Yield a function that puts a distribution on the path, as pip would, until the test ends.

    It takes a name, a group, the group's entry points {name: module}, files {path: text} and a version.
    """
    paths, modules = list(sys.path), set(sys.modules)
    for registry in registries():
        registry.loaded()  # what is imported once does not register again
    known = [(registry, registry.__dict__.copy()) for registry in registries()]
    for registry, state in known:
        registry.__dict__.update({key: copy(value) for key, value in state.items()}, _points=None)

    def add(name: str, group: str, points: dict[str, str], files: dict[str, str], version: str = "1.2") -> None:
        site = tmp_path / "sites" / name
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [f"{point} = {value}" for point, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]) + "\n")
        for path, text in files.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text)
        sys.path.insert(0, str(site))

    yield add
    sys.path[:] = paths
    for registry, state in known:
        registry.__dict__.update(state)
    for module in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]
