"""Power of crossbar tiles while they are read: of their cells, and of the wires before and behind them."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.converters import DacTransfer, bit_phases
from accelsim.kernels.crossbar import Tiles


def read_power(
    tiles: Tiles, codes: NDArray[np.int16], dac: DacTransfer | None = None, *, per_tile: bool = False
) -> NDArray[np.float64]:
    """Return the power that the drivers give while tiles are read, in W per frame: P = sum_i V_i sum_j I_j(V_i).

    The sum goes over all cells of all arrays of the matrix, or with ``per_tile`` of each tile, padded cells included.
    Behind wires it is P = V^T Y V with the admittance Y that the drivers see: sum_i V_i I_i(V_i) + sum_i sum_k!=i Y_ik
    V_i V_k, with I_i(V_i) of driver i while it alone drives. That is exact for ohmic cells; of others I_i follows the
    curves, and is exact at the read voltage, and the currents between rows are those of chords at that voltage.

    Where rows without a bit are open, it is what the driven rows give, see `accelsim.kernels.gated_rows`.

    A bit-serial DAC has a power per phase, and the mean over the phases is returned. The energy of a read is P times
    its duration, and with a bit-serial DAC times the phases.

    codes: int16 [frames, inputs] as for `multiply`. Returns [frames], or [frames, row tiles, column tiles].
    """
    dac = dac or DacTransfer()
    voltage, curves = dac.levels(), tiles.curves
    low, high = voltage * np.polyval(curves.low, voltage), voltage * np.polyval(curves.high, voltage)
    row_tiles, column_tiles, rows = tiles.row_state.shape
    phases = codes[None] if dac.phases == 1 else bit_phases(codes, dac)
    power = np.zeros((len(codes), row_tiles, column_tiles))
    if tiles.gated is not None:
        tiles.gated.check(dac)
        for k, m in np.ndindex(row_tiles, column_tiles):
            for bits in phases[:, :, k * rows : (k + 1) * rows]:
                power[:, k, m] += tiles.gated.read(k, m, bits).power.sum(axis=1) / len(phases)
        return power if per_tile else np.asarray(power.sum(axis=(1, 2)))
    for k in range(row_tiles):
        part = phases[:, :, k * rows : (k + 1) * rows].astype(np.intp) + len(voltage) // 2
        state = tiles.row_state[k, :, : part.shape[2]].T
        fixed = low[part].mean(axis=0).sum(axis=1) * tiles.cells_per_row
        power[:, k] = fixed[:, None] + (high - low)[part].mean(axis=0) @ state
        for term in tiles.terms:
            watts = voltage * np.polyval(term.voltage, voltage)
            power[:, k] += watts[part].mean(axis=0) @ term.row_sum[k, :, : part.shape[2]].T
        if tiles.coupling is not None:
            scale = (voltage[-1] / (len(voltage) // 2)) ** 2 / len(phases)
            for phase in phases[:, :, k * rows : (k + 1) * rows].astype(np.float64):
                for m, between in enumerate(tiles.coupling[k, :, : phase.shape[1], : phase.shape[1]]):
                    power[:, k, m] += scale * (phase @ between * phase).sum(axis=1)
    return power if per_tile else np.asarray(power.sum(axis=(1, 2)))


def depthwise_power(
    tiles: Tiles, codes: NDArray[np.int16], dac: DacTransfer | None = None, *, step: int = 1
) -> NDArray[np.float64]:
    """Return the power of depthwise columns while they are read, in W per frame: P = sum_c sum_i V I of channel c.

    As `read_power`, but every column has inputs of its own; padded columns are not driven. Behind wires the cells of a
    column share its wire alone. codes and ``step``: as for `multiply_depthwise`. Returns [frames].
    """
    dac = dac or DacTransfer()
    voltage, curves = dac.levels(), tiles.curves
    low, high = voltage * np.polyval(curves.low, voltage), voltage * np.polyval(curves.high, voltage)
    taps = tiles.difference.shape[1]
    # Per tap and channel, over all planes and both signs: the sum of the states, 1 + total for each pair.
    state = (1 + tiles.total[0] / tiles.total_scale).reshape(taps, tiles.planes, -1).sum(axis=1)
    if tiles.column_state is not None:
        state = tiles.column_state
    terms = [
        (
            voltage * np.polyval(term.voltage, voltage),
            (2 * term.total[0] / tiles.total_scale).reshape(taps, tiles.planes, -1).sum(axis=1),
        )
        for term in (tiles.terms if tiles.column_state is None else ())
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
        if tiles.coupling is not None:
            scale = (voltage[-1] / (len(voltage) // 2)) ** 2
            power += scale * _between_taps(np.ascontiguousarray(phase, np.int64), tiles.coupling, step, len(power))
    return power / len(phases)


@compiled(parallel=True)
def _between_taps(codes, coupling, step, frames):  # type: ignore[no-untyped-def]
    """sum_c sum_i sum_k Y_cik code_i code_k of every frame, whose codes of column c begin at row step * frame."""
    columns, taps, _ = coupling.shape
    out = np.zeros(frames)
    for t in numba.prange(frames):
        for c in range(columns):
            for i in range(taps):
                given = codes[step * t + i, c]
                if given != 0:
                    current = 0.0
                    for k in range(taps):
                        current += coupling[c, i, k] * codes[step * t + k, c]
                    out[t] += given * current
    return out
