"""Noise of a read: what the current of a cell varies by."""

from __future__ import annotations

from typing import Literal, NamedTuple

NoiseModel = Literal["physical", "legacy", "off"]

BOLTZMANN = 1.380649e-23
ELECTRON = 1.602e-19
READ_SECONDS = 1e-8


class ReadNoise(NamedTuple):
    """How reads vary: the model, the temperature in K and the time of a read in s."""

    model: NoiseModel = "off"
    temperature_kelvin: float = 300.0
    read_seconds: float = READ_SECONDS


SILENT = ReadNoise()
"""Reads without noise."""


def noise_constants(
    model: NoiseModel, temperature_kelvin: float = 300.0, read_seconds: float = READ_SECONDS
) -> tuple[float, float]:
    """Return the thermal and shot factors of the read noise of a cell: sigma^2 = thermal |I / V| + shot |I|, in A^2.

    physical: thermal = 4 kB T B, shot = 2 e B with B = 1 / t and e = 1.602e-19 C: a read of t = 10 ns has the 100 MHz
    of the published experiments, and a shorter one lets more noise through. legacy: the published experiments'
    slip, B = 1e-8 and e = 2.71828, which makes the noise 37 to 40 times larger. off: both 0.
    Source: arXiv 2505.24721 and its public reference.
    """
    if model == "off":
        return 0.0, 0.0
    if model not in ("physical", "legacy"):
        raise ValueError(f"unknown noise model '{model}' (one of: physical, legacy, off)")
    bandwidth, charge = (1 / read_seconds, ELECTRON) if model == "physical" else (1e-8, 2.71828)
    return 4 * BOLTZMANN * temperature_kelvin * bandwidth, 2 * charge * bandwidth
