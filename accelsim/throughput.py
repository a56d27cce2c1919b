"""What counts as an operation: papers rarely say, so every definition is computed and named."""

from __future__ import annotations

from collections.abc import Mapping

from accelsim.architecture import Architecture
from accelsim.result import Performance, Throughput

DEFAULT_DEFINITION = "dense"

_MEANING = {
    "dense": "2 per MAC of the dense network, skipped work counted",
    "performed": "2 per MAC that was carried out",
    "peak": "2 per multiplier and cycle",
    "peak_and_add": "4 per multiplier and cycle: AND, shift, add, saturate",
}


def definitions(
    architecture: Architecture, performance: Performance, power_w: float, area_m2: float
) -> Mapping[str, Throughput]:
    """Return GOPS, TOPS/W and GOPS/mm2 under each definition; ``power_w`` and ``area_m2`` of this run."""
    multipliers_hz = sum(
        spec.multipliers() / (architecture.period_ps(name) * 1e-12) for name, spec in architecture.components().items()
    )
    operations_hz = {
        "dense": 2 * performance.macs_dense / performance.seconds,
        "performed": 2 * performance.macs_performed / performance.seconds,
        "peak": 2 * multipliers_hz,
    }
    if architecture.of_kind("pe_array"):
        operations_hz["peak_and_add"] = 4 * multipliers_hz
    return {
        name: Throughput(
            definition=_MEANING[name],
            gops=rate / 1e9,
            tops_per_w=rate / power_w / 1e12,
            gops_per_mm2=rate / 1e9 / (area_m2 * 1e6),
        )
        for name, rate in operations_hz.items()
    }
