"""Analogue-to-digital converters: shared by columns, each converts one of them at a time."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from accelsim.components.abstract import AdcTransfer, Converter
from accelsim.components.kind import TILE_COUNTS, Counts, component_kind, cycles_of, of_busiest, rows_of
from accelsim.kernels.converter_errors import ConverterErrors, draw_errors
from accelsim.kernels.converters import LARGEST_ADC_BITS
from accelsim.schema import Effect, PositiveFrequency
from accelsim.schema.converters import MeasuredConverters

LARGEST_GAIN_ERROR = 0.15
"""No draw, of 6.66 standard deviations at most, makes a gain negative."""

DEFAULT_TRIM_STEP = 0.25
"""Estimated: a trim that is finer than the rounding, and no further bit of a converter's own."""

_ERROR = Effect(values="either", counts="either", given="what the circuit and its mismatch leave")


class Adc(Converter):
    """``units`` converters in each of ``tiles`` tiles, each shared by ``shared_by`` columns.

    Codes have ``precision_bits`` after the point and ``range_bits`` before it, see `accelsim.kernels.converters`.
    ``rate``: conversions per second that one unit is built for, with all of its bits. It decides the price, and a
    conversion takes ``cycles_per_conversion`` cycles or as many as 1 / rate does, whichever are more.

    Converters are perfect unless errors are given, all in steps of a code (LSB): ``noise``, the standard deviation of
    each conversion, and over the converters those of ``offset``, ``gain_error`` (relative) and ``inl``, the peak of the
    smooth nonlinearity, drawn for each unit of each tile; another seed is another chip. Or ``errors`` names a file of
    measured ones, `accelsim.schema.converters`. `accelsim.kernels.converter_errors` has the equations, and which unit
    converts a column. ``calibrated``: what was trimmed before the run, in steps of ``trim_step``.
    """

    kind: Literal["adc"]
    effects = {
        "precision_bits": Effect(values="either", counts="either", cycles="more", energy="more", area="more"),
        "range_bits": Effect(
            values="either", counts="either", cycles="more", energy="more", area="more", spare="a range beyond all sums"
        ),
        "rate": Effect(cycles="less", energy="either", area="more", spare="faster than its clock asks"),
        "cycles_per_conversion": Effect(cycles="more", spare="fewer than its rate takes"),
        "shared_by": Effect(values="either", counts="either", cycles="more", spare="more columns than there are"),
        **dict.fromkeys(("noise", "offset", "gain_error", "inl", "trim_step"), _ERROR),
    }
    precision_bits: Annotated[int, Ge(0), Le(16)]
    range_bits: Annotated[int, Ge(1), Le(16)]
    ideal: bool = False
    rate: PositiveFrequency
    cycles_per_conversion: PositiveInt = 1
    noise: Annotated[float, Ge(0)] = 0.0
    offset: Annotated[float, Ge(0)] = 0.0
    gain_error: Annotated[float, Ge(0), Le(LARGEST_GAIN_ERROR)] = 0.0
    inl: Annotated[float, Ge(0)] = 0.0
    errors: str | None = None
    calibrated: Literal["none", "offset", "offset_and_gain"] = "none"
    trim_step: Annotated[float, Gt(0)] | None = None

    @model_validator(mode="after")
    def _errors_of_codes(self) -> Self:
        drawn = [f"'{key}'" for key in ("offset", "gain_error", "inl") if getattr(self, key)]
        given = [*drawn, *(["'noise'"] if self.noise else []), *(["'errors'"] if self.errors is not None else [])]
        if self.ideal and given:
            raise ValueError(
                f"'ideal: true' passes currents on as they are, and {' and '.join(given)} are in steps of a code: "
                "leave one of them out"
            )
        if self.errors is not None and drawn:
            raise ValueError(f"'errors' names measured converters: leave out {' and '.join(drawn)}, which draw others")
        if self.trim_step is not None and self.calibrated == "none":
            raise ValueError("'trim_step' is of a calibration: write 'calibrated: offset' or 'offset_and_gain'")
        return self

    @model_validator(mode="after")
    def _few_enough_bits(self) -> Self:
        if self.resolution() > LARGEST_ADC_BITS:
            found = f"{self.precision_bits} + {self.range_bits}"
            message = f"'precision_bits' and 'range_bits' must be at most {LARGEST_ADC_BITS} together, found {found}"
            raise ValueError(message)
        return self

    def clocked(self, frequency: float) -> Self:
        """Return the converters with the cycles of a conversion: max(cycles_per_conversion, ceil(frequency / rate))."""
        cycles = max(self.cycles_per_conversion, cycles_of("rate", 1 / self.rate, frequency))
        return self.model_copy(update={"cycles_per_conversion": cycles})

    def instances(self) -> int:
        return self.tiles * self.units

    def resolution(self) -> int:
        return self.precision_bits + self.range_bits

    def decisions(self) -> tuple[int, float]:
        """Return one decision a bit, and one time for the sample: successive approximation; and the rate."""
        return self.resolution() + 1, self.rate

    def transfer(self, changes: dict[str, int]) -> AdcTransfer:
        bits = {"precision_bits": self.precision_bits, "range_bits": self.range_bits, **changes}
        return AdcTransfer(bits["precision_bits"], bits["range_bits"], self.ideal)

    def changes_no_value(self) -> frozenset[str]:
        """Return ``shared_by`` as well where all converters are alike: it decides which of them takes a column."""
        alike = self.errors is None and not (self.offset or self.gain_error or self.inl)
        return super().changes_no_value() | (frozenset({"shared_by"}) if alike else frozenset())

    def measured_name(self) -> str | None:
        return self.errors

    def assumptions(self, name: str) -> list[str]:
        if self.calibrated == "none" or self.trim_step is not None:
            return []
        return [f"'{name}' is trimmed in steps of {DEFAULT_TRIM_STEP:g} of a code, as far as it needs: estimated"]

    def imperfections(
        self, seed: int, tiles: NDArray[np.int64], places: NDArray[np.int64], measured: MeasuredConverters | None
    ) -> ConverterErrors | None:
        if measured is not None:
            each = list(measured.converters)
            if len(each) == self.instances() != self.units:
                each = [each[place * self.units + unit] for place in places.tolist() for unit in range(self.units)]
            else:
                each = each * (len(tiles) * self.units // len(each))
            columns = [[getattr(one, key) for one in each] for key in ("offset", "gain")]
            offset, gain = np.array(columns, np.float64)
            none = np.zeros(len(each))
            curves = np.array([one.inl for one in each], np.float64).reshape(len(each), -1)
            errors = ConverterErrors(offset, gain, none, none, curves, self.noise)
        elif self.noise or self.offset or self.gain_error or self.inl:
            errors = draw_errors(
                seed, tiles, self.units, offset=self.offset, gain=self.gain_error, inl=self.inl, noise=self.noise
            )
        else:
            return None
        if self.calibrated == "none":
            return errors
        return errors.calibrated(
            trim_step=DEFAULT_TRIM_STEP if self.trim_step is None else self.trim_step,
            gain_too=self.calibrated == "offset_and_gain",
            largest_code=1 << (self.resolution() - 1),
        )

    def pass_cycles(self) -> int:
        return self.shared_by * self.cycles_per_conversion

    def dimensions(self) -> dict[str, float]:
        return super().dimensions() | {"bits": self.precision_bits + self.range_bits, "rate": self.rate}

    def flip_flops(self) -> int:
        """Return 2 bits: the register of the code, and as many steps of the sequencer."""
        return 2 * self.resolution()


def service_cycles(spec: Adc, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = rows * min(shared_by, conversions of the busiest tile) * cycles_per_conversion."""
    conversions = np.minimum(spec.shared_by, of_busiest(counts, "convert"))
    return rows_of(counts) * conversions * spec.cycles_per_conversion


component_kind("adc", Adc, {"convert": "one column converted"}, service_cycles, TILE_COUNTS)
