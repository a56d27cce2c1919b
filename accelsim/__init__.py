"""accelsim: cycle-level, bit-accurate simulation of accelerators for speech networks.

>>> import accelsim
>>> result = accelsim.run("rsnn28nm")
>>> result.power_w, result.accuracy.value
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelsim.architecture import load_architecture
    from accelsim.data.dataset import Recording
    from accelsim.explore import compare
    from accelsim.explore.sweep import sweep
    from accelsim.pipeline import run
    from accelsim.plugins import load_plugin
    from accelsim.weights import save_weights
    from accelsim.workload import load_workload

__version__ = "0.1.0"
__all__ = [
    "Recording",
    "__version__",
    "compare",
    "load_architecture",
    "load_plugin",
    "load_workload",
    "run",
    "save_weights",
    "sweep",
]

# Looked up on first use, so that `accelsim --help` does not wait for numba.
_HOMES = {
    "Recording": "accelsim.data.dataset",
    "compare": "accelsim.explore",
    "load_architecture": "accelsim.architecture",
    "load_plugin": "accelsim.plugins",
    "load_workload": "accelsim.workload",
    "run": "accelsim.pipeline",
    "save_weights": "accelsim.weights",
    "sweep": "accelsim.explore.sweep",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'accelsim' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
