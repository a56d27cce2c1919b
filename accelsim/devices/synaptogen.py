"""Measured ReRAM cells: the generative model of Synaptogen, with the programming of arXiv 2505.24721."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from accelsim.devices.device import DEVICES, MEASURED, Device, Programmed
from accelsim.kernels.cells import RESTING
from accelsim.kernels.crossbar import Curves
from accelsim.kernels.synaptogen import FEATURES, ORDER, Parameters, Sequence, program_cells
from accelsim.schema import Model, PositiveVoltage, Voltage

Row = tuple[float, ...]
Eight = Annotated[Row, Field(min_length=8, max_length=8)]


class MixtureComponent(Model):
    """One Gaussian of the mixture over cells: [mu; sigma] = mean + factor N(0, I).

    The eight numbers are the offsets of the four features (log10 ohm, V, ohm, V) and then their scales; ``factor`` is
    the lower triangle of a Cholesky factor, row by row.
    """

    effects = dict.fromkeys(("weight", "mean", "factor"), MEASURED)
    weight: Annotated[float, Gt(0)]
    mean: Eight
    factor: Annotated[tuple[Row, ...], Field(min_length=8, max_length=8)]

    @model_validator(mode="after")
    def _triangle(self) -> MixtureComponent:
        if [len(row) for row in self.factor] != list(range(1, 9)):
            raise ValueError("the factor must be a lower triangle: rows of 1 to 8 numbers")
        return self


class Verify(Model):
    """Program-and-verify: further pulses until the current is within ``tolerance`` (a share of the whole range).

    ``step``: how much higher the next reset pulse is. See `kernels.synaptogen.Sequence`.
    """

    effects = dict.fromkeys(("pulses", "tolerance", "step"), MEASURED)
    pulses: PositiveInt
    tolerance: Annotated[float, Gt(0), Le(1)]
    step: PositiveVoltage = 0.01


class Synaptogen(Device):
    """The Synaptogen model; see `accelsim.kernels.synaptogen` for its equations.

    ``low_curve``, ``high_curve``: limiting currents, A/V^n, highest power first; ``reference_voltage``: where a
    resistance is read; ``full_reset_voltage``: Umax; ``eta``: exponent of the transition to HRS; ``feedback``: 4 x 44,
    innovations and then the ten last cycles, the oldest first; ``gamma``: 4 polynomials, highest power first;
    ``weight_units_per_ampere`` at ``unit_voltage``: what makes one level step of a binary cell one weight unit.

    ``wear_cycles``: 15 random pulses in +-2 V each, before a cell is programmed; ``set_voltage``, ``reset_voltage``:
    the programming pulses; levels between the outer ones are partial resets, at the voltage where cells on average take
    the level's share of the current.
    """

    kind: Literal["synaptogen"]
    effects = dict.fromkeys(
        ("low_curve", "high_curve", "reference_voltage", "full_reset_voltage", "eta", "feedback", "gamma",
         "weight_units_per_ampere", "unit_voltage", "set_voltage", "reset_voltage", "wear_cycles"),
        MEASURED,
    )  # fmt: skip
    low_curve: Annotated[Row, Field(min_length=2)]
    high_curve: Annotated[Row, Field(min_length=2)]
    reference_voltage: PositiveVoltage
    full_reset_voltage: PositiveVoltage
    eta: Annotated[float, Gt(0)]
    mixture: Annotated[tuple[MixtureComponent, ...], Field(min_length=1)]
    feedback: Annotated[tuple[Row, ...], Field(min_length=FEATURES, max_length=FEATURES)]
    gamma: Annotated[tuple[Row, ...], Field(min_length=FEATURES, max_length=FEATURES)]
    weight_units_per_ampere: Annotated[float, Gt(0)]
    unit_voltage: PositiveVoltage
    set_voltage: Voltage = -2.0
    reset_voltage: PositiveVoltage = 2.0
    wear_cycles: Annotated[int, Ge(0)] = 0
    verify: Verify | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Synaptogen:
        if any(len(row) != FEATURES * (1 + ORDER) for row in self.feedback):
            raise ValueError(f"'feedback' must have rows of {FEATURES * (1 + ORDER)} numbers")
        if len({len(row) for row in self.gamma}) != 1:
            raise ValueError("the polynomials of 'gamma' must be of one length")
        if self.low_curve[-1] != 0 or self.high_curve[-1] != 0:
            raise ValueError("a cell without voltage must carry no current: the last coefficient of a curve must be 0")
        volts = self.reference_voltage
        if not float(np.polyval(self.low_curve, volts)) > max(float(np.polyval(self.high_curve, volts)), 0.0):
            raise ValueError("the conductance range is reversed: 'low_curve' must carry more current than 'high_curve'")
        if not np.isfinite(self.population).all():
            raise ValueError("the mixture gives cells resistances beyond any number: its first feature is log10(ohm)")
        if self.set_voltage >= 0:
            raise ValueError("the set voltage must be below 0 V")
        if self.reset_voltage < self.full_reset_voltage:
            raise ValueError("the reset voltage must be at least the full-reset voltage")
        return self

    @cached_property
    def parameters(self) -> Parameters:
        """The tables as arrays."""
        factor = np.zeros((len(self.mixture), 2 * FEATURES, 2 * FEATURES))
        for k, component in enumerate(self.mixture):
            for row, values in enumerate(component.factor):
                factor[k, row, : len(values)] = values
        return Parameters(
            np.array(self.low_curve),
            np.array(self.high_curve),
            self.reference_voltage,
            self.full_reset_voltage,
            self.eta,
            np.array([component.weight for component in self.mixture]),
            np.array([component.mean for component in self.mixture]),
            factor,
            np.array(self.feedback),
            np.array(self.gamma),
        )

    def curves(self, read_voltage: float, cell_bits: int = 1) -> Curves:
        span = np.polyval(self.low_curve, [read_voltage, self.unit_voltage])
        span -= np.polyval(self.high_curve, [read_voltage, self.unit_voltage])
        unit = span[0] / span[1] / self.weight_units_per_ampere
        return Curves(self.low_curve, self.high_curve, float(unit) / ((1 << cell_bits) - 1))

    @cached_property
    def population(self) -> NDArray[np.float64]:
        """First cycles of 4,096 cells of a seed of their own, [4, cells]: HRS (ohm), set (V), LRS (ohm), reset (V)."""
        parameters, cells = self.parameters, 4096
        generator = np.random.Generator(np.random.Philox(key=0))
        component = generator.choice(len(self.mixture), cells, p=parameters.weights / parameters.weights.sum())
        drawn = np.einsum("cij,cj->ci", parameters.factor[component], generator.standard_normal((cells, 2 * FEATURES)))
        drawn += parameters.mean[component]
        x = parameters.feedback[:, :FEATURES] @ generator.standard_normal((FEATURES, cells))
        rows = [drawn[:, n] + drawn[:, FEATURES + n] * np.polyval(parameters.gamma[n], x[n]) for n in range(FEATURES)]
        with np.errstate(over="ignore"):  # checked when the file is read
            rows[0] = 10 ** rows[0]
        return np.array(rows)

    def typical_currents(self, read_voltage: float) -> tuple[float, float]:
        """Return the mean currents in HRS and in LRS at a voltage, in A, over `population`."""
        curves = self.curves(read_voltage)
        high, _, low, _ = self.population
        mean = [curves.current(self._state_of(r), np.array(read_voltage)).mean() for r in (high, low)]
        return float(mean[0]), float(mean[1])

    def lowest_conductance(self, read_voltage: float) -> float:
        return self.typical_currents(read_voltage)[0] / read_voltage

    def switched_by_read(self, read_voltage: float) -> tuple[float, float]:
        _, sets, _, resets = self.population
        return float((-read_voltage <= sets).mean()), float((read_voltage > resets).mean())

    def partial_reset_voltage(self, share: float, read_voltage: float) -> float:
        """Return the pulse that takes cells from LRS to a share (0 .. 1) of the span of mean currents, in V.

        Solved by bisection on the mean over `population` of the transition
        I = (I_LRS(x) - I_HRS) (|Umax - U| / |Umax - x|)^eta + I_HRS, x being the reset voltage of a cell, and of the
        current at the read voltage that follows from it; a cell with x >= U stays in LRS.
        """
        high, _, low, x = self.population
        r_high, r_low = self._state_of(high), self._state_of(low)
        curves, top = self.curves(read_voltage), self.full_reset_voltage
        at_high, at_low = self.typical_currents(read_voltage)
        y1 = curves.current(r_low, x)
        y2 = curves.current(r_high, np.array(top))

        def reached(volts: float) -> float:
            current = (y1 - y2) * (abs(top - volts) / abs(top - x)) ** self.eta + y2
            limits = np.polyval(self.low_curve, volts), np.polyval(self.high_curve, volts)
            state = np.where(x < volts, (limits[0] - current) / (limits[0] - limits[1]), r_low)
            return float(curves.current(state, np.array(read_voltage)).mean())

        below, above = float(x.min()), top
        for _ in range(50):
            middle = (below + above) / 2
            if reached(middle) > at_high + share * (at_low - at_high):
                below = middle
            else:
                above = middle
        return (below + above) / 2

    def sequence(self, read_voltage: float, cell_bits: int = 1) -> Sequence:
        """Return how cells of so many bits are programmed."""
        top = (1 << cell_bits) - 1
        at_high, at_low = self.typical_currents(read_voltage)
        partial = [self.partial_reset_voltage(level / top, read_voltage) for level in range(1, top)]
        return Sequence(
            wear_cycles=self.wear_cycles,
            reset_volts=self.reset_voltage,
            set_volts=self.set_voltage,
            partial_volts=np.array([0.0, *partial, 0.0]),
            verify_pulses=self.verify.pulses if self.verify else 0,
            verify_step_volts=self.verify.step if self.verify else 0.01,
            read_volts=read_voltage,
            targets=at_high + np.arange(top + 1) / top * (at_low - at_high),
            tolerance=self.verify.tolerance * (at_low - at_high) if self.verify else 0.0,
        )

    def write(
        self, levels: NDArray[np.uint8], arrays: NDArray[np.int64], *, seed: int, read_voltage: float, cell_bits: int
    ) -> Programmed:
        # Measured cells rest in their high-resistance state, as the sequence leaves those of level 0.
        flat = np.where(levels == RESTING, 0, levels).astype(np.uint8).reshape(len(arrays), -1)
        states, pulses, reached = program_cells(
            flat, arrays, seed=seed, parameters=self.parameters, sequence=self.sequence(read_voltage, cell_bits)
        )
        return Programmed(states.reshape(levels.shape), pulses, reached)

    def _state_of(self, resistance: NDArray[np.float64]) -> NDArray[np.float64]:
        """r(R) = (G_LL - 1/R) / (G_LL - G_HH), the conductances at the reference voltage."""
        volts = self.reference_voltage
        low, high = np.polyval(self.low_curve, volts) / volts, np.polyval(self.high_curve, volts) / volts
        return np.asarray((low - 1 / resistance) / (low - high))


DEVICES.register("synaptogen", Synaptogen)
