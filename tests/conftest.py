"""How the tests run: the same examples every time, and numba no wider than two threads."""

from __future__ import annotations

import os

os.environ.setdefault("NUMBA_NUM_THREADS", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hypothesis import HealthCheck, Phase, settings

# Derandomized: a red test is red for everybody. HYPOTHESIS_PROFILE=explore looks for new examples.
_quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
_phases = [Phase.explicit, Phase.generate, Phase.shrink]
settings.register_profile(
    "fixed", deadline=None, derandomize=True, database=None, suppress_health_check=_quiet, phases=_phases
)
settings.register_profile("explore", deadline=None, max_examples=2000, suppress_health_check=_quiet)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))
