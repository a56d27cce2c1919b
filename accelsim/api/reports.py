"""`accelsim.write_report`: the page of a run or a sweep, and figures for papers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accelsim.api.results import Result
from accelsim.api.sweeps import Sweep
from accelsim.explore import paper_beside
from accelsim.report import folder as pages


def write_report(
    what: Result | Sweep | str | Path, out: str | Path | None = None, formats: Sequence[str] = ("html",)
) -> list[Path]:
    """Write the report of a run, a sweep or a search, and return the paths of its files.

    ``what``: a Result, a Sweep, or the folder that ``accelsim run --out`` or ``accelsim sweep --out`` wrote. ``out``:
    the folder to write to; by default the one of the sweep, or the given one. ``formats``: of html, one page that works
    offline, and pdf, svg and png, figures for papers. Raises InputError.

    >>> import tempfile
    >>> result = accelsim.run("rsnn28nm", "rsnn_paper_activity", overrides={"workload.inputs.frames": 20})
    >>> folder = tempfile.TemporaryDirectory()
    >>> [path.name for path in accelsim.write_report(result, folder.name)]
    ['report.html']
    """
    if isinstance(what, Result):
        return pages.written(what, list(formats), Path("." if out is None else out), paper_beside)
    source = what.folder if isinstance(what, Sweep) else Path(what)
    return pages.write_report(source, list(formats), source if out is None else Path(out), paper_beside)
