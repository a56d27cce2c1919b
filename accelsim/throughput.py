"""What counts as an operation: papers rarely say, so every definition is computed and named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from accelsim.architecture import Architecture
from accelsim.result import Performance, Throughput

DEFAULT_DEFINITION = "dense"

_MEANING = {
    "dense": "2 per MAC of the dense network, skipped work counted",
    "performed": "2 per MAC that was carried out",
    "peak": "2 per multiplication, all multipliers at full rate and power",
    "peak_and_add": "4 per multiplication, likewise: AND, shift, add, saturate",
}


@dataclass(frozen=True)
class Multiplied:
    """What a component multiplied in a run: ``macs``, and the dynamic energy of the layers that it did it for."""

    macs: int
    energy_j: float


def definitions(
    architecture: Architecture,
    performance: Performance,
    multiplied: Mapping[str, Multiplied],
    *,
    power_w: float,
    static_w: float,
    area_m2: float,
) -> Mapping[str, Throughput]:
    """Return GOPS, TOPS/W and GOPS/mm2 under each definition.

    Dense and performed operations are those of the run, over its time and at its average power ``power_w``. Peak ones
    are those of a chip whose multipliers never wait, at the power that this takes:
    P = sum_c 2 R_c E_c / (2 N_c) + P_static, R_c from `multiplications_hz`, N_c multiplications and E_c dynamic energy
    of the layers that component c multiplies for, whatever in them draws it. What multiplies nothing in a run has no
    energy per operation, and no part in its peak. ``static_w``: what clocks, standby and leakage draw while all parts
    work, whatever is gated or switched off in a pause; ``area_m2``: of the chip.
    """
    used = {name: done for name, done in multiplied.items() if done.macs}
    rates_hz = {name: multiplications_hz(architecture, name) for name in used}
    multiplications = sum(rates_hz.values())
    peak_w = static_w + sum(rates_hz[name] * done.energy_j / done.macs for name, done in used.items())
    at = {
        "dense": (2 * performance.macs_dense / performance.seconds, power_w),
        "performed": (2 * performance.macs_performed / performance.seconds, power_w),
        "peak": (2 * multiplications, peak_w),
    }
    if architecture.of_kind("pe_array"):
        at["peak_and_add"] = (4 * multiplications, peak_w)
    return {
        name: Throughput(
            definition=_MEANING[name],
            gops=rate / 1e9,
            tops_per_w=rate / watt / 1e12 if rate else 0.0,
            gops_per_mm2=rate / 1e9 / (area_m2 * 1e6),
        )
        for name, (rate, watt) in at.items()
    }


def multiplications_hz(architecture: Architecture, name: str) -> float:
    """Return the most multiplications that a component can do in a second.

    multipliers / (phases * t), t = max of the passes of the component and of the parts beside it, each in its clock: a
    crossbar is read no faster than its rows are driven and its columns converted, and takes its inputs in as many
    phases as its drivers. Beside it: joined by a channel; of several of a kind, the fastest.
    """
    specs = architecture.components()
    beside = [end for c in architecture.spec.channels if name in (c.from_, c.to) for end in (c.from_, c.to)]
    passes: dict[str, float] = {}
    for part in {name, *beside}:
        seconds = specs[part].pass_cycles() * architecture.period_ps(part) * 1e-12
        if seconds and (part == name or not specs[part].multipliers()):
            kind = specs[part].kind
            passes[kind] = min(passes.get(kind, seconds), seconds)
    phases = max((specs[part].phases() for part in beside), default=1)
    return specs[name].multipliers() / (phases * max(passes.values()))
