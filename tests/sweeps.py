"""Sweeps in the fewest words, which give their store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelsim.explore.space import read_axes, read_axis
from accelsim.explore.store import Store
from accelsim.explore.sweep import Sweep, run_sweep


def sweep(
    architecture: str | Path,
    axes: Mapping[str, Any] | Sequence[str],
    out: str | Path,
    *,
    workload: str | Path | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    progress: Any = None,
    **options: Any,
) -> Store:
    """Run a sweep into a folder and return its store; ``axes``: as `accelsim.sweep` and ``--set`` take them."""
    each = [{key: values} for key, values in axes.items()] if isinstance(axes, Mapping) else None
    read = tuple(read_axes(axes)) if each is None else tuple(map(read_axis, each))
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    what = Sweep(str(architecture), None if workload is None else str(workload), read, **options)
    return run_sweep(what, Path(out), jobs=jobs, scheduler=scheduler, resume=resume, progress=progress)
