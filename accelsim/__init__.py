"""accelsim: cycle-level, bit-accurate simulation of accelerators for speech networks.

>>> import accelsim
>>> accelsim.run("rsnn28nm", "rsnn_paper_activity", overrides={"workload.inputs.frames": 20})
<Result rsnn_paper_activity on rsnn28nm: ...>
"""

import typing as _typing

if _typing.TYPE_CHECKING:
    from accelsim.api.chips import (
        list_architectures,
        list_workloads,
        load_architecture,
        load_inputs,
        load_workload,
        save_weights,
    )
    from accelsim.api.comparisons import ChipComparison, compare
    from accelsim.api.reports import write_report
    from accelsim.api.results import Result, run
    from accelsim.api.sweeps import Sweep, search, sweep
    from accelsim.architecture import Architecture
    from accelsim.data.dataset import Recording
    from accelsim.errors import AccelsimError, InputError
    from accelsim.explore.comparison import Comparison
    from accelsim.plugins import load_plugin
    from accelsim.workload import Workload

__version__ = "0.1.0"

# Looked up on first use, so that `accelsim --help` does not wait for numba.
_HOMES = {
    "AccelsimError": "accelsim.errors",
    "Architecture": "accelsim.architecture",
    "ChipComparison": "accelsim.api.comparisons",
    "Comparison": "accelsim.explore.comparison",
    "InputError": "accelsim.errors",
    "Recording": "accelsim.data.dataset",
    "Result": "accelsim.api.results",
    "Sweep": "accelsim.api.sweeps",
    "Workload": "accelsim.workload",
    "compare": "accelsim.api.comparisons",
    "list_architectures": "accelsim.api.chips",
    "list_workloads": "accelsim.api.chips",
    "load_architecture": "accelsim.api.chips",
    "load_inputs": "accelsim.api.chips",
    "load_plugin": "accelsim.plugins",
    "load_workload": "accelsim.api.chips",
    "run": "accelsim.api.results",
    "save_weights": "accelsim.api.chips",
    "search": "accelsim.api.sweeps",
    "sweep": "accelsim.api.sweeps",
    "write_report": "accelsim.api.reports",
}
__all__ = [
    "AccelsimError",
    "Architecture",
    "ChipComparison",
    "Comparison",
    "InputError",
    "Recording",
    "Result",
    "Sweep",
    "Workload",
    "__version__",
    "compare",
    "list_architectures",
    "list_workloads",
    "load_architecture",
    "load_inputs",
    "load_plugin",
    "load_workload",
    "run",
    "save_weights",
    "search",
    "sweep",
    "write_report",
]


if not _typing.TYPE_CHECKING:  # to a type checker a name that is none stays one

    def __getattr__(name: str) -> _typing.Any:
        import importlib

        if name not in _HOMES:
            raise AttributeError(f"module 'accelsim' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
