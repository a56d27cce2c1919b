"""How a published number moves to another voltage, node or temperature; every rule with its source."""

from __future__ import annotations

import math

import numpy as np

# DeepScaleTool (Sarangi & Baas, arXiv 2102.10195), as transcribed in its workbook: factors relative to 45 nm
# (area) and 65 nm (energy).
_NODES_NM = (130, 90, 65, 45, 40, 32, 28, 22, 14, 10, 7)
_AREA = (8.3, 3.94, 2.04, 1.0, 0.75, 0.49, 0.35, 0.22, 0.08, 0.03, 0.011)
_OLDEST_NM = 180
_ENERGY = (2.52, 1.51, 1.0, 0.63, 0.55, 0.44, 0.37, 0.30, 0.19, 0.15, 0.11)

CELSIUS_ZERO_K = 273.15


def voltage_energy_factor(voltage: float, reference: float) -> float:
    """Return (V / V0)^2, the dynamic energy at ``voltage`` over that at ``reference`` (both in volt).

    Equal to the Stillmaker HP polynomial (Integration 2017) within 10 % from 0.5 to 0.9 V at 28 nm.
    """
    return (voltage / reference) ** 2


def node_energy_factor(node: float, reference: float) -> float:
    """Return the dynamic energy at ``node`` over that at ``reference`` (both in metre), at equal voltage.

    Log-log interpolation of the DeepScaleTool table (arXiv 2102.10195); 45 -> 28 nm gives 0.587. From 130 to 180 nm,
    where the table ends, in proportion to the node, as capacitances do. Raises ValueError outside 7 .. 180 nm.
    """
    return _between_nodes(node, _ENERGY, 1) / _between_nodes(reference, _ENERGY, 1)


def node_area_factor(node: float, reference: float) -> float:
    """Return the area at ``node`` over that at ``reference`` (both in metre).

    Log-log interpolation of the DeepScaleTool table (arXiv 2102.10195); 45 -> 28 nm gives 0.35. From 130 to 180 nm,
    where the table ends, with the square of the node. Raises ValueError outside 7 .. 180 nm.
    """
    return _between_nodes(node, _AREA, 2) / _between_nodes(reference, _AREA, 2)


def leakage_factor(
    voltage: float,
    temperature: float,
    reference_voltage: float,
    reference_temperature: float,
    *,
    dibl: float,
    swing_mv_per_decade: float,
    doubling_kelvin: float,
) -> float:
    """Return the leakage power at (V, T) over that at (V0, T0).

    P / P0 = (V / V0) 10^(dibl (V - V0) / S) 2^((T - T0) / Td), with the drain-induced barrier lowering ``dibl`` in
    V/V, the subthreshold swing S, and Td fitted to CACTI 7 LSTP between 300 and 400 K (16.5 K).
    Volt and kelvin.
    """
    voltage_part = voltage / reference_voltage
    barrier_part = 10 ** (dibl * (voltage - reference_voltage) / (swing_mv_per_decade * 1e-3))
    return voltage_part * barrier_part * 2 ** ((temperature - reference_temperature) / doubling_kelvin)


def _between_nodes(node: float, factors: tuple[float, ...], power: int) -> float:
    """Return the table's factor; beyond its oldest node, that node's times the ``power`` of their ratio."""
    nm = node * 1e9
    if not _NODES_NM[-1] - 1e-6 <= nm <= _OLDEST_NM + 1e-6:
        raise ValueError(f"no scaling rule for {nm:g} nm, expected {_NODES_NM[-1]} to {_OLDEST_NM} nm")
    if nm > _NODES_NM[0]:
        return float(factors[0] * (nm / _NODES_NM[0]) ** power)
    return math.exp(np.interp(math.log(nm), np.log(_NODES_NM[::-1]), np.log(factors[::-1])))
