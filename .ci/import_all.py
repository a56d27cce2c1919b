"""Import every module of accelsim, and every package that pyproject.toml declares by the modules that it brings."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.utils import canonicalize_name

import accelsim

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import licences

# Commands and stubs; torchaudio and what imports it load only beside the build of PyTorch that they were made for.
NOT_IMPORTED = {"ruff", "mypy", "types-pyyaml", "torchaudio", "silero-vad"}

ours = [
    module.name for module in pkgutil.walk_packages(accelsim.__path__, "accelsim.") if "__main__" not in module.name
]
brought = {
    canonicalize_name(name): module for module, names in sorted(packages_distributions().items()) for name in names
}
theirs = [brought[name] for name in licences.declared() if name in brought and name not in NOT_IMPORTED]
for name in [*ours, *theirs]:
    importlib.import_module(name)
print(f"{len(ours)} modules of accelsim, {len(theirs)} packages")
