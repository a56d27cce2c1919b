"""Power of the cells of crossbar tiles while they are read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.converters import DacTransfer, bit_phases
from accelsim.kernels.crossbar import Tiles


def read_power(
    tiles: Tiles, codes: NDArray[np.int16], dac: DacTransfer | None = None, *, per_tile: bool = False
) -> NDArray[np.float64]:
    """Return the power that the cells take while they are read, in W per frame: P = sum_i V_i sum_j I_j(V_i).

    The sum goes over all cells of all arrays of the matrix, or with ``per_tile`` of each tile, padded cells included. A
    bit-serial DAC has a power per phase, and the mean over the phases is returned. The energy of a read is P times its
    duration, and with a bit-serial DAC times the phases.

    codes: int16 [frames, inputs] as for `multiply`. Returns [frames], or [frames, row tiles, column tiles].
    """
    dac = dac or DacTransfer()
    voltage, curves = dac.levels(), tiles.curves
    low, high = voltage * np.polyval(curves.low, voltage), voltage * np.polyval(curves.high, voltage)
    row_tiles, column_tiles, rows = tiles.row_state.shape
    phases = codes[None] if dac.phases == 1 else bit_phases(codes, dac)
    power = np.zeros((len(codes), row_tiles, column_tiles))
    for k in range(row_tiles):
        part = phases[:, :, k * rows : (k + 1) * rows].astype(np.intp) + len(voltage) // 2
        state = tiles.row_state[k, :, : part.shape[2]].T
        fixed = low[part].mean(axis=0).sum(axis=1) * tiles.cells_per_row
        power[:, k] = fixed[:, None] + (high - low)[part].mean(axis=0) @ state
        for term in tiles.terms:
            watts = voltage * np.polyval(term.voltage, voltage)
            power[:, k] += watts[part].mean(axis=0) @ term.row_sum[k, :, : part.shape[2]].T
    return power if per_tile else np.asarray(power.sum(axis=(1, 2)))


def depthwise_power(
    tiles: Tiles, codes: NDArray[np.int16], dac: DacTransfer | None = None, *, step: int = 1
) -> NDArray[np.float64]:
    """Return the power of depthwise columns while they are read, in W per frame: P = sum_c sum_i V I of channel c.

    As `read_power`, but every column has inputs of its own; padded columns are not driven. codes and ``step``: as for
    `multiply_depthwise`. Returns [frames].
    """
    dac = dac or DacTransfer()
    voltage, curves = dac.levels(), tiles.curves
    low, high = voltage * np.polyval(curves.low, voltage), voltage * np.polyval(curves.high, voltage)
    taps = tiles.difference.shape[1]
    # Per tap and channel, over all planes and both signs: the sum of the states, 1 + total for each pair.
    state = (1 + tiles.total[0] / tiles.total_scale).reshape(taps, tiles.planes, -1).sum(axis=1)
    terms = [
        (
            voltage * np.polyval(term.voltage, voltage),
            (2 * term.total[0] / tiles.total_scale).reshape(taps, tiles.planes, -1).sum(axis=1),
        )
        for term in tiles.terms
    ]
    phases = codes[None] if dac.phases == 1 else bit_phases(codes, dac)
    power = np.zeros((len(codes) - taps) // step + 1)
    for phase in phases:
        index = phase.astype(np.intp) + len(voltage) // 2
        for tap in range(taps):
            part = index[tap : tap + step * len(power) : step]
            power += (low[part] * (2 * tiles.planes) + (high - low)[part] * state[tap]).sum(axis=1)
            for watts, total in terms:
                power += (watts[part] * total[tap]).sum(axis=1)
    return power / len(phases)
