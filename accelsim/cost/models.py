"""Prices that follow from a published formula instead of a row of numbers; tables name them as ``model``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

Dimensions = Mapping[str, float]


def adc_energy_andrulis(dimensions: Dimensions, node: float) -> float:
    """Return the energy of one conversion in joule, from the survey regression of Andrulis et al.

    SNDR = 6.0206 b + 1.7609; FOMS = min(213.7807 - 2.8719 ln f, 128.3068 + 3.2205 ceil(b)) in dB;
    E[pJ] = 1 / (2 10^((FOMS - SNDR) / 10)) exp(26.0496 + 1.8800 ln N - 2.8291 ln b - 1.4702).
    b: resolution in bits (4 or more), f: conversions per second of one converter, N: node in nm. The last constant
    makes it the best 20 % of the survey. ``dimensions``: bits, rate. Raises ValueError below 4 bits.

    Source: accelergy-adc-plug-in, model.py and adc_data/model.yaml.
    """
    bits, rate_hz, nm = dimensions["bits"], dimensions["rate"], node * 1e9
    if bits < 4:
        raise ValueError(f"the survey's regression is undefined below 4 bits, found {bits:g}")
    sndr = 6.0206 * bits + 1.7609
    figure_of_merit = min(213.7806687 - 2.8719030 * math.log(rate_hz), 128.3068287 + 3.2205115 * math.ceil(bits))
    technology = 26.0496216 + 1.8800369 * math.log(nm) - 2.8291256 * math.log(bits) - 1.4702022
    return 1e-12 / (2 * 10 ** ((figure_of_merit - sndr) / 10)) * math.exp(technology)


def adc_area_andrulis(dimensions: Dimensions, node: float) -> float:
    """Return the area of one converter in square metre, from the same regression.

    A[um2] = exp(1.3462 + 0.9933 ln N + 0.1807 ln f + 0.2991 ln E[pJ]), E from `adc_energy_andrulis`.
    """
    energy_pj = adc_energy_andrulis(dimensions, node) * 1e12
    size = 1.3461916 + 0.9932795 * math.log(node * 1e9) + 0.1807154 * math.log(dimensions["rate"])
    return 1e-12 * math.exp(size + 0.2991243 * math.log(energy_pj))


STANDBY_SHARE = 0.2
"""Share of a converter's power at its full rate that it draws all the time, for bias and references.

The models of this field book a fifth of a converter's energy as static power (hwcomponents-adc: 80 % of E per
conversion, 20 % of E f as leakage); PUMA's constants have a tenth (0.2 of 2.0 mW).
"""


def adc_conversion_andrulis(dimensions: Dimensions, node: float) -> float:
    """Return the part of a conversion's energy that is drawn in conversions alone, 0.8 E, in joule.

    E: `adc_energy_andrulis`.
    """
    return (1 - STANDBY_SHARE) * adc_energy_andrulis(dimensions, node)


def adc_standby_andrulis(dimensions: Dimensions, node: float) -> float:
    """Return the power that a converter draws whether it converts or not, 0.2 E f, in watt.

    E: `adc_energy_andrulis`; f: ``rate``, conversions per second. At its full rate it takes E a conversion in all.
    """
    return STANDBY_SHARE * adc_energy_andrulis(dimensions, node) * dimensions["rate"]


MODELS: dict[str, Callable[[Dimensions, float], float]] = {
    "adc_energy_andrulis": adc_energy_andrulis,
    "adc_conversion_andrulis": adc_conversion_andrulis,
    "adc_standby_andrulis": adc_standby_andrulis,
    "adc_area_andrulis": adc_area_andrulis,
}
