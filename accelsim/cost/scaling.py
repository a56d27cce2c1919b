"""How a published number moves to another voltage, node or temperature; every rule with its source."""

from __future__ import annotations

import functools
import math

import numpy as np

# DeepScaleTool (Sarangi & Baas, arXiv 2102.10195), as transcribed in its workbook: factors relative to 45 nm
# (area) and 65 nm (energy, delay).
_NODES_NM = (130, 90, 65, 45, 40, 32, 28, 22, 14, 10, 7)
_AREA = (8.3, 3.94, 2.04, 1.0, 0.75, 0.49, 0.35, 0.22, 0.08, 0.03, 0.011)
_ENERGY = (2.52, 1.51, 1.0, 0.63, 0.55, 0.44, 0.37, 0.30, 0.19, 0.15, 0.11)
_DELAY = (1.96, 1.31, 1.0, 0.81, 0.76, 0.70, 0.67, 0.62, 0.60, 0.57, 0.53)

# Nominal supplies of high-performance logic: Intel's 130 to 65 nm (1.3, 1.2, 1.1 V), PTM's 45 and 32 nm (1.0, 0.9 V),
# 28 nm 0.9 V, Intel's 22 and 14 nm 0.8 V, 10 nm 0.75 V, ASAP7 0.7 V.
_NOMINAL_V = (1.3, 1.2, 1.1, 1.0, 1.0, 0.9, 0.9, 0.8, 0.8, 0.75, 0.7)

# Area of a high-density six-transistor SRAM cell, um2, as TSMC announced it for its nodes: 0.999 (90 nm), 0.499 (65),
# 0.296 (45), 0.242 (40), 0.127 (28), 0.081 (20), 0.070 (16), 0.042 (10), 0.027 (7); 180 and 130 nm: about 4.65 and 2.43
# with several foundries. Others lie within a quarter: at 32 nm the law gives 0.162, Intel has 0.171 and IBM 0.157.
_CELL_NODES_NM = (180, 130, 90, 65, 45, 40, 28, 20, 16, 10, 7)
_CELL_UM2 = (4.65, 2.43, 0.999, 0.499, 0.296, 0.242, 0.127, 0.081, 0.070, 0.042, 0.027)

# Leakage of one gate or cell relative to 28 nm, at equal voltage. Below: in proportion to the node, as transistors
# become narrower at one off-current per width (ITRS); CACTI 7's SRAM from 32 to 22 nm, its voltages taken out, goes
# with the powers 0.54 (LSTP, 0.026 to 0.017 uW/KiB) and 1.66 (HP, 176 to 84): the range. Above: transistors are wider,
# 6.4 times at 180 nm, and leak less for their width; no public sheet at hand says how much, so as much as at 28 nm,
# from a twentieth (as little as in cmos180) to 6.4 times.
_LEAKAGE_NODES_NM = (180, 28, 7)
_LEAKAGE = (1.0, 1.0, 0.25)
_LEAKAGE_LOW = (0.05, 1.0, 0.1)
_LEAKAGE_HIGH = (6.4, 1.0, 0.47)

_MOST_DECADES = 100

FINEST_NM, COARSEST_NM = 1.0, 1000.0

# Of the C library: NumPy's own differ in their last bit between its versions and between processors.
logarithms = np.vectorize(math.log, otypes=[np.float64])
exponentials = np.vectorize(math.exp, otypes=[np.float64])

CELSIUS_ZERO_K = 273.15


def voltage_energy_factor(voltage: float, reference: float) -> float:
    """Return (V / V0)^2, the dynamic energy at ``voltage`` over that at ``reference`` (both in volt).

    Equal to the Stillmaker HP polynomial (Integration 2017) within 10 % from 0.5 to 0.9 V at 28 nm.
    """
    return (voltage / reference) ** 2


def node_energy_factor(node: float, reference: float) -> float:
    """Return the dynamic energy at ``node`` over that at ``reference`` (both in metre), at equal voltage.

    Log-log interpolation of the DeepScaleTool table (arXiv 2102.10195); 45 -> 28 nm gives 0.587. The table does not say
    at which voltages it holds: taken at equal ones it agrees with Stillmaker's polynomials at 0.9 V (45 -> 28 nm: 0.532
    HP, 0.489 LP), see `node_energy_spread` for the other reading. Above 130 nm in proportion to the node, as
    capacitances; below 7 nm as from 10 to 7 nm. Raises ValueError outside 1 .. 1000 nm.
    """
    return _between_nodes(node, _ENERGY, 1) / _between_nodes(reference, _ENERGY, 1)


def node_energy_spread(node: float, reference: float) -> tuple[float, float]:
    """Return the low and the high end of `node_energy_factor` as factors of it; the nodes in metre.

    One of them is (V_reference / V_node)^2 of the nominal voltages: if the table holds at each node's own voltage, its
    factors have a V^2 in them that `voltage_energy_factor` counts once more. TPUv4i (ISCA 2021, Table 2) has 0.30 to
    0.35 for multipliers from 45 to 7 nm, the table 0.175.
    """
    other = (_nominal_voltage(reference) / _nominal_voltage(node)) ** 2
    return min(other, 1.0), max(other, 1.0)


def node_delay_factor(node: float, reference: float) -> float:
    """Return the delay of a gate at ``node`` over that at ``reference`` (both in metre), each at its nominal voltage.

    Log-log interpolation of the DeepScaleTool table (arXiv 2102.10195); 28 -> 7 nm gives 0.791. Beyond its ends as
    `node_energy_factor`. Raises ValueError outside 1 .. 1000 nm.
    """
    return _between_nodes(node, _DELAY, 1) / _between_nodes(reference, _DELAY, 1)


def speed_factor(voltage: float, reference: float, *, threshold: float, alpha: float) -> float:
    """Return the frequency that logic reaches at ``voltage`` over that at ``reference`` (both in volt).

    f(V) / f(V0) = ((V - Vth)^alpha / V) / ((V0 - Vth)^alpha / V0), the alpha-power law (Sakurai & Newton, JSSC 25,
    1990), and 0 at or below the threshold voltage Vth.
    """
    if voltage <= threshold:
        return 0.0
    return ((voltage - threshold) / (reference - threshold)) ** alpha * reference / voltage


def node_area_factor(node: float, reference: float) -> float:
    """Return the area at ``node`` over that at ``reference`` (both in metre).

    Log-log interpolation of the DeepScaleTool table (arXiv 2102.10195); 45 -> 28 nm gives 0.35. Above 130 nm with the
    square of the node, below 7 nm as from 10 to 7 nm. Raises ValueError outside 1 .. 1000 nm.
    """
    return _between_nodes(node, _AREA, 2) / _between_nodes(reference, _AREA, 2)


def bit_cell_area(node: float) -> float:
    """Return the area of a high-density six-transistor SRAM cell in square metre; ``node`` in metre.

    Log-log interpolation of announced cells: 0.127 um2 at 28 nm, 0.027 at 7 nm; beyond the ends as between the last
    two. Raises ValueError outside 1 .. 1000 nm.
    """
    return _along(node, _CELL_NODES_NM, _CELL_UM2) * 1e-12


def sram_area_factor(node: float, reference: float) -> float:
    """Return the area of an SRAM macro at ``node`` over that at ``reference`` (both in metre): that of its cells.

    28 -> 7 nm gives 0.213, where logic has 0.031. Its periphery is taken to keep its share.
    """
    return bit_cell_area(node) / bit_cell_area(reference)


def node_leakage_factor(node: float, reference: float) -> float:
    """Return the leakage of a gate or cell at ``node`` over that at ``reference`` (both in metre), at equal voltage.

    In proportion to the node below 28 nm, 0.25 at 7 nm; the same above it. Raises ValueError outside 1 .. 1000 nm.
    """
    return _along(node, _LEAKAGE_NODES_NM, _LEAKAGE) / _along(reference, _LEAKAGE_NODES_NM, _LEAKAGE)


def node_leakage_spread(node: float, reference: float) -> tuple[float, float]:
    """Return the low and the high end of `node_leakage_factor` as factors of it; the nodes in metre.

    At 7 nm from 28 nm 0.4 and 1.9: SRAM of CACTI 7, 32 -> 22 nm, goes with the powers 0.54 (LSTP) to 1.66 (HP).
    """
    ends = []
    for factors in (_LEAKAGE_LOW, _LEAKAGE_HIGH):
        here, there = (
            _along(nm, _LEAKAGE_NODES_NM, factors) / _along(nm, _LEAKAGE_NODES_NM, _LEAKAGE) for nm in (node, reference)
        )
        ends.append(here / there)
    return min(*ends, 1.0), max(*ends, 1.0)


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
    Volt and kelvin. Raises ValueError where the law has left every number behind, beyond 10^100.
    """
    decades = dibl * (voltage - reference_voltage) / (swing_mv_per_decade * 1e-3)
    decades += (temperature - reference_temperature) / doubling_kelvin * math.log10(2)
    if not abs(decades) <= _MOST_DECADES:
        raise ValueError(f"no leakage law reaches to {voltage:g} V and {temperature:g} K")
    return voltage / reference_voltage * 10**decades


def _nominal_voltage(node: float) -> float:
    return _along(min(max(node, _NODES_NM[-1] * 1e-9), _NODES_NM[0] * 1e-9), _NODES_NM, _NOMINAL_V)


def _between_nodes(node: float, factors: tuple[float, ...], power: int) -> float:
    """Return a factor of DeepScaleTool; beyond its oldest node, that node's times the ``power`` of their ratio."""
    nm = node * 1e9
    if _NODES_NM[0] < nm <= COARSEST_NM:
        return float(factors[0] * (nm / _NODES_NM[0]) ** power)
    return _along(node, _NODES_NM, factors)


@functools.lru_cache(maxsize=256)  # every price of a chip asks for the same few factors
def _along(node: float, nodes_nm: tuple[int, ...], values: tuple[float, ...]) -> float:
    """Interpolate log-log over nodes, the coarsest first; beyond the ends as between the last two."""
    nm = node * 1e9
    if not FINEST_NM - 1e-9 <= nm <= COARSEST_NM + 1e-6:
        raise ValueError(f"no scaling rule for {nm:g} nm, expected {FINEST_NM:g} to {COARSEST_NM:g} nm")
    x, y = logarithms(nodes_nm[::-1]), logarithms(values[::-1])
    right = int(np.clip(np.searchsorted(x, math.log(nm)), 1, len(x) - 1))
    share = (math.log(nm) - x[right - 1]) / (x[right] - x[right - 1])
    return math.exp(y[right - 1] + share * (y[right] - y[right - 1]))
