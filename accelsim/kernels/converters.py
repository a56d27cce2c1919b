"""Digital-to-analogue and analogue-to-digital converters: round half to even, then clamp, and count what was clamped.

The step and the clamp are those of the memristor tiles of arXiv 2505.24721. Inputs are fractions of full scale, [-1,
1]; column results are in weight units, the current of one set cell less that of one reset cell at full-scale voltage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

LARGEST_DAC_BITS = 12
LARGEST_ADC_BITS = 24
DacMode = Literal["amplitude", "bit_serial"]


@dataclass(frozen=True)
class DacTransfer:
    """A converter of ``bits`` whose codes run from -2^(bits-1) to 2^(bits-1), both included: 257 codes at 8 bits.

    ``amplitude``: the whole code at once, V = code / 2^(bits-1) * full_scale_volts. ``bit_serial``: one bit of the
    magnitude per phase, least significant first, V = sign * bit * full_scale_volts; the phases are shifted and added
    behind the ADC. Raises ValueError for bits out of range or a full scale that is not positive.
    """

    bits: int = 8
    full_scale_volts: float = 0.6
    mode: DacMode = "amplitude"

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= LARGEST_DAC_BITS:
            raise ValueError(f"DAC bits must be from 1 to {LARGEST_DAC_BITS}, found {self.bits}")
        if not self.full_scale_volts > 0:
            found = f"{self.full_scale_volts:g} V"
            raise ValueError(f"the DAC's full-scale voltage must be greater than 0 V, found {found}")
        if self.mode not in ("amplitude", "bit_serial"):
            raise ValueError(f"unknown DAC mode '{self.mode}' (one of: amplitude, bit_serial)")

    @property
    def largest_code(self) -> int:
        """Return 2^(bits-1), the code of full scale."""
        return 1 << (self.bits - 1)

    @property
    def phases(self) -> int:
        """Return the analogue phases per input: 1, or ``bits`` for the magnitude 0 .. 2^(bits-1) bit by bit."""
        return 1 if self.mode == "amplitude" else self.bits

    def levels(self) -> NDArray[np.float64]:
        """Return the voltages of the codes that reach the rows in one phase, in V: all codes, or -1, 0, 1."""
        top = self.largest_code if self.mode == "amplitude" else 1
        return np.arange(-top, top + 1) / top * self.full_scale_volts


@dataclass(frozen=True)
class AdcTransfer:
    """A converter with ``precision_bits`` P and ``range_bits`` R: steps of 2^-P, clipped at +-2^(R-1) weight units.

    ``ideal``: no step and no clip, the value passes as it is. Raises ValueError for fewer than 0 precision bits, fewer
    than 1 range bit or more than 24 in all.
    """

    precision_bits: int = 4
    range_bits: int = 4
    ideal: bool = False

    def __post_init__(self) -> None:
        if self.precision_bits < 0:
            raise ValueError(f"ADC precision bits must be at least 0, found {self.precision_bits}")
        if self.range_bits < 1:
            raise ValueError(f"ADC range bits must be at least 1, found {self.range_bits}")
        if self.bits > LARGEST_ADC_BITS:
            raise ValueError(
                f"ADC precision and range bits must be at most {LARGEST_ADC_BITS} together, "
                f"found {self.precision_bits} + {self.range_bits}"
            )

    @property
    def bits(self) -> int:
        """Return the resolution P + R."""
        return self.precision_bits + self.range_bits

    @property
    def largest_code(self) -> int:
        """Return 2^(P+R-1), the code at which the converter clips."""
        return 1 << (self.bits - 1)


class Transfer(Protocol):
    """A converter with a transfer function of its own: the thresholds of a flash ADC, a measured curve."""

    def transfer(self, currents: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return what the digital side sees of column results, the values of their codes, and which were clipped.

        currents: [frames, columns] in weight units, noise included. Both results have the same shape; each depends on
        its own current alone, so that neither batches nor threads change it.
        """
        ...


Adcs = AdcTransfer | Transfer | NDArray[Any]
"""One converter for all, or an object array of them that broadcasts to [row tiles, planes, column tiles]."""

OWN_TRANSFER = -1.0
"""Stands for the steps per weight unit of a converter with a transfer function of its own."""


def dac_codes(inputs: ArrayLike, dac: DacTransfer) -> NDArray[np.int16]:
    """Convert inputs to codes: code = clamp(round(x 2^(bits-1)), -2^(bits-1), 2^(bits-1)), halves to even.

    inputs: any shape, 1 is full scale; not-a-number raises ValueError. Returns the same shape.
    Source: arXiv 2505.24721 and its public reference.
    """
    scaled = np.asarray(inputs, np.float64) * dac.largest_code
    if np.isnan(scaled).any():
        raise ValueError("an input of the DAC is not a number")
    return np.clip(np.rint(scaled), -dac.largest_code, dac.largest_code).astype(np.int16)


def dac_clipped(inputs: ArrayLike, dac: DacTransfer) -> int:
    """Count the inputs that a DAC clamps: |round(x 2^(bits-1))| > 2^(bits-1)."""
    return int((np.abs(np.rint(np.asarray(inputs, np.float64) * dac.largest_code)) > dac.largest_code).sum())


def bit_phases(codes: NDArray[np.int16], dac: DacTransfer) -> NDArray[np.int16]:
    """Split codes into the signed bits of a bit-serial DAC: codes = sum_k 2^k phase_k, phase_k in {-1, 0, 1}.

    codes: any shape. Returns [phases, *shape], least significant first.
    """
    bit = np.arange(dac.bits).reshape(-1, *[1] * codes.ndim)
    phases: NDArray[np.int16] = (np.sign(codes) * ((np.abs(codes) >> bit) & 1)).astype(np.int16)
    return phases


def adc_codes(values: ArrayLike, adc: AdcTransfer) -> tuple[NDArray[np.int32], int]:
    """Convert column results to codes: code = clamp(round(y 2^P), -2^(P+R-1), 2^(P+R-1)), halves to even.

    values: any shape, in weight units. Returns the codes and how many were clamped; the value of a code is code / 2^P.
    An ideal converter has no codes: ValueError. Source: arXiv 2505.24721 and its public reference.
    """
    if adc.ideal:
        raise ValueError("an ideal ADC has no codes")
    rounded = np.rint(np.asarray(values, np.float64) * 2.0**adc.precision_bits)
    clipped = int((np.abs(rounded) > adc.largest_code).sum())
    return np.clip(rounded, -adc.largest_code, adc.largest_code).astype(np.int32), clipped


def convert(values: ArrayLike, adc: AdcTransfer) -> tuple[NDArray[np.float64], int]:
    """Return what the digital side sees of column results, code / 2^P or the values themselves, and the clip count."""
    if adc.ideal:
        return np.asarray(values, np.float64), 0
    codes, clipped = adc_codes(values, adc)
    return codes / 2.0**adc.precision_bits, clipped


def transferred(adc: Transfer, currents: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Apply a converter's own transfer function; raises ValueError for results that do not have the currents' shape."""
    found = adc.transfer(currents)
    values, clipped = np.asarray(found[0], np.float64), np.asarray(found[1])
    if values.shape != currents.shape or clipped.shape != currents.shape or clipped.dtype != bool:
        raise ValueError(
            f"the transfer function of {type(adc).__name__} made values {values.shape} and clipped {clipped.shape} "
            f"{clipped.dtype} of currents {currents.shape}: expected both of that shape, and clipped bool"
        )
    return values, clipped


def adc_array(adc: Adcs, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Return the converters as an object array [row tiles, planes, column tiles].

    Raises ValueError where the array does not broadcast or holds anything but `AdcTransfer` and `Transfer`.
    """
    given = adc if isinstance(adc, np.ndarray) else np.empty((), object)
    if not isinstance(adc, np.ndarray):
        given[()] = adc
    try:
        settings = np.broadcast_to(given, shape)
    except ValueError:
        raise ValueError(
            f"the ADC settings of shape {given.shape} do not fit {shape} (row tiles, planes, column tiles)"
        ) from None
    if not all(isinstance(one, AdcTransfer) or _has_transfer(one) for one in given.flat):
        raise ValueError(
            "expected AdcTransfer settings, or objects with a method 'transfer', in the array of converters"
        )
    return settings


def _has_transfer(adc: object) -> bool:
    return callable(getattr(adc, "transfer", None))


def per_adc(adc: Adcs, shape: tuple[int, int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return steps per weight unit and largest codes of every ADC, float64 [row tiles, planes, column tiles].

    An ideal converter has 0 steps, one with a transfer function of its own `OWN_TRANSFER`. Raises ValueError as
    `adc_array` does.
    """
    of: list[tuple[float, float]] = []
    for one in adc_array(adc, shape).flat:
        if _has_transfer(one):
            of.append((OWN_TRANSFER, 0.0))
        else:
            of.append((0.0, 0.0) if one.ideal else (2.0**one.precision_bits, float(one.largest_code)))
    steps, limits = np.array(of, np.float64).reshape(-1, 2).T
    return steps.reshape(shape), limits.reshape(shape)
