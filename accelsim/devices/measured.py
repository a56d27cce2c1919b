"""Cells as published measurements describe them: laws of programming, time and reading, each with its source.

A law is a function of a cell's conductance in pieces. Its argument is the conductance in the file's ``unit``, or as a
share of ``full_scale`` (``per: relative``); what it gives is in the file's ``unit``, or a plain number.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from pydantic import Field, model_validator

from accelsim.devices.device import DEVICES, MEASURED, Device, Programmed, Pulse, linear_curves, states_of, time_text
from accelsim.devices.ideal import check_range
from accelsim.kernels.cells import RESTING
from accelsim.kernels.crossbar import Curves, Terms
from accelsim.kernels.measured import Moments, measured_conductances
from accelsim.schema import (
    Model,
    NonNegativeConductance,
    NonNegativeTime,
    PositiveConductance,
    PositiveCurrent,
    PositiveResistance,
    PositiveTime,
    PositiveVoltage,
    format_si,
)

GRID = 1001
"""Conductances, evenly over the range, at which a law that must not be negative is tried."""
SMALLEST = 1e-7
"""The least argument of a logarithm or a power, as in the published models of PCM."""

Share = Annotated[float, Ge(0), Le(1)]
Per = Literal["conductance", "relative"]


class Piece(Model):
    """One piece of a law: a function of x, cut off at both ends of ``clamp``, null where there is no end.

    Exactly one of: ``polynomial``, sum_k c_k u^(n-k), highest power first, of u = x, ln x or log10 x (``of``);
    ``power``: [c, p], c x^p; ``saturating``: [a, b], a (1 - e^(-x/b)). ``below``: the piece holds for x under it, and
    the next one from there on; the last piece has none.
    """

    effects = dict.fromkeys(("below", "polynomial", "power", "saturating", "clamp"), MEASURED)
    below: float | None = None
    of: Literal["x", "ln x", "log10 x"] = "x"
    polynomial: Annotated[tuple[float, ...], Field(min_length=1)] | None = None
    power: tuple[float, float] | None = None
    saturating: tuple[float, Annotated[float, Gt(0)]] | None = None
    clamp: tuple[float | None, float | None] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Piece:
        if sum(form is not None for form in (self.polynomial, self.power, self.saturating)) != 1:
            raise ValueError("a piece of a law has exactly one of 'polynomial', 'power' and 'saturating'")
        if self.of != "x" and self.polynomial is None:
            raise ValueError(f"'of: {self.of}' is for a polynomial alone")
        if self.clamp is not None and None not in self.clamp and not self.clamp[0] <= self.clamp[1]:  # type: ignore[operator]
            raise ValueError(f"the clamp is reversed: {self.clamp[0]:g} lies above {self.clamp[1]:g}")
        return self

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the function's values at x, of any shape."""
        positive = np.maximum(x, SMALLEST)
        if self.power is not None:
            value = self.power[0] * positive ** self.power[1]
        elif self.saturating is not None:
            value = -self.saturating[0] * np.expm1(-x / self.saturating[1])
        else:
            assert self.polynomial is not None
            argument = {"x": x, "ln x": np.log(positive), "log10 x": np.log10(positive)}[self.of]
            value = np.polyval(self.polynomial, argument)
        return np.clip(value, *self.clamp) if self.clamp is not None else np.asarray(value)


Law = Annotated[tuple[Piece, ...], Field(min_length=1)]


def value_of(law: tuple[Piece, ...], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a law's values at x, of any shape, float64."""
    x = np.asarray(x, np.float64)
    ends = np.array([piece.below for piece in law[:-1]], np.float64)
    return np.asarray(np.choose(np.searchsorted(ends, x, side="right"), [piece(x) for piece in law]))


def _check_pieces(key: str, law: tuple[Piece, ...]) -> None:
    ends = [piece.below for piece in law]
    if ends[-1] is not None or None in ends[:-1]:
        raise ValueError(f"'{key}': every piece but the last needs 'below', the last has none")
    if any(not low < high for low, high in pairwise(ends[:-1])):  # type: ignore[operator]
        raise ValueError(f"'{key}': the ends of the pieces must ascend")


class Programming(Model):
    """What cells are like ``after`` a time: G = target + ``shift`` + ``sigma`` N(0, 1), sigma at the shifted target."""

    effects = dict.fromkeys(("after",), MEASURED)
    after: NonNegativeTime
    per: Per = "conductance"
    sigma: Law
    shift: tuple[Piece, ...] = ()


class DriftLaw(Model):
    """Power-law drift, G(t) = G(t0) (t / t0)^-nu, nu = |``exponent`` + ``spread`` N(0, 1)| at a cell's target.

    ``reference_time``: t0; the drift begins there.
    """

    effects = dict.fromkeys(("reference_time",), MEASURED)
    reference_time: PositiveTime
    per: Per = "relative"
    exponent: Law
    spread: Law


class Decay(Model):
    """What a conductance gains since ``after``: N(mean, spread^2), polynomials in ln(t / 1 s), highest power first."""

    effects = dict.fromkeys(("after", "mean", "spread"), MEASURED)
    after: PositiveTime
    mean: Annotated[tuple[float, ...], Field(min_length=1)]
    spread: Annotated[tuple[float, ...], Field(min_length=1)]


class ReadNoise(Model):
    """A cell's own noise, drawn anew in each read: ``sigma`` in the file's unit, or ``share`` of the conductance.

    ``one_over_f``: the noise has grown since the cell was written, by sqrt(ln((t + t_r) / (2 t_r))) of its age t and
    the time t_r of a read. The law's argument is the conductance before a power-law drift.
    """

    per: Per = "conductance"
    sigma: tuple[Piece, ...] = ()
    share: tuple[Piece, ...] = ()
    one_over_f: bool = False

    @model_validator(mode="after")
    def _one_law(self) -> ReadNoise:
        if bool(self.sigma) == bool(self.share):
            raise ValueError("read noise has exactly one of 'sigma' and 'share'")
        return self


class Stuck(Model):
    """Shares of the cells that stay at the highest and at the lowest conductance, whatever is written."""

    effects = dict.fromkeys(("at_low_resistance", "at_high_resistance"), MEASURED)
    at_low_resistance: Share = 0.0
    at_high_resistance: Share = 0.0

    @model_validator(mode="after")
    def _shares(self) -> Stuck:
        if self.at_low_resistance + self.at_high_resistance > 1:
            raise ValueError("the shares of stuck cells are greater than 1 together")
        return self


class Write(Model):
    """How a cell is written: ``pulses`` of ``volts`` for ``pulse_time`` each, a mean over the cells.

    ``current``: of a pulse; left out, what the middle of the range carries at that voltage.
    """

    effects = dict.fromkeys(("volts", "current", "pulse_time", "pulses"), MEASURED)
    volts: PositiveVoltage
    pulse_time: PositiveTime
    pulses: Annotated[float, Ge(1)] = 1.0
    current: PositiveCurrent | None = None


class Disturb(Model):
    """The voltage up to which a read leaves a cell as it is; above it nobody has measured, and the read is refused."""

    effects = dict.fromkeys(("volts",), MEASURED)
    volts: PositiveVoltage


class Current(Model):
    """What a cell's current has beyond G V: c2(G) V^2 + c3(G) V^3, G being its conductance near 0 V.

    ``square``, ``cubic``: c2 in A/V^2 and c3 in A/V^3, polynomials in log10(G / 1 S), highest power first; ``fitted``:
    the conductances between which they hold, one outside has those of the nearer end.
    """

    effects = dict.fromkeys(("square", "cubic", "fitted"), MEASURED)
    square: Annotated[tuple[float, ...], Field(min_length=1)]
    cubic: Annotated[tuple[float, ...], Field(min_length=1)]
    fitted: tuple[PositiveConductance, PositiveConductance]

    def of(self, conductances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return c2 and c3 of conductances in S, [2, *shape]."""
        x = np.log10(np.clip(conductances, *self.fitted))
        return np.array([np.polyval(self.square, x), np.polyval(self.cubic, x)])


class Measured(Device):
    """Cells between the ends of ``range``, programmed, ageing and read as published.

    ``levels``: the level map, conductances in ascending order; left out, cells of any number of bits have levels evenly
    over the range. ``unit``: of the figures of all laws; ``full_scale``: the conductance that 'per: relative' counts
    in, the highest that was measured, whatever part of it ``range`` uses. ``programming``: at given times, between
    them interpolated (``between``: in the logarithm of the time or in the time itself); before the first nobody knows
    the cells, beyond the last they are refused, or stay as they were (``beyond: hold``). ``limits``: where a
    conductance is cut off, otherwise at 0. ``access``: a resistance in series with each cell; levels are even in what
    is seen through it.
    """

    kind: Literal["measured"]
    effects = dict.fromkeys(("range", "levels", "unit", "full_scale", "limits", "access"), MEASURED)
    range: tuple[NonNegativeConductance, PositiveConductance]
    levels: Annotated[tuple[NonNegativeConductance, ...], Field(min_length=2, max_length=64)] | None = None
    unit: PositiveConductance = 1e-6
    full_scale: PositiveConductance | None = None
    programming: tuple[Programming, ...] = ()
    between: Literal["log_time", "time"] = "log_time"
    beyond: Literal["refuse", "hold"] = "refuse"
    drift: DriftLaw | None = None  # type: ignore[assignment]
    decay: Decay | None = None
    limits: tuple[NonNegativeConductance, PositiveConductance] | None = None
    read: ReadNoise | None = None
    stuck: Stuck = Stuck()
    access: PositiveResistance | None = None
    current: Current | None = None
    write_pulse: Annotated[Write | None, Field(alias="write")] = None
    disturb: Disturb | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Measured:
        check_range(*self.range)
        self._check_levels()
        self._check_times()
        for key, law, per in self._laws():
            _check_pieces(key, law)
            if per == "relative" and self.full_scale is None:
                raise ValueError(f"'{key}' counts in shares of 'full_scale', which is missing")
        if self.full_scale is not None and self.range[1] > self.full_scale * (1 + 1e-9):
            raise ValueError(
                f"the range goes up to {format_si(self.range[1], 'S')}, the device was measured up to "
                f"{format_si(self.full_scale, 'S')} ('full_scale')"
            )
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            raise ValueError("the limits of a conductance are reversed")
        self._check_positive()
        if self.current is not None:
            if self.read is not None or self.access:
                raise ValueError("'current' goes with neither 'read' nor 'access': no file describes cells with both")
            check_range(*self.current.fitted)
        return self

    def _laws(self) -> list[tuple[str, tuple[Piece, ...], Per]]:
        found: list[tuple[str, tuple[Piece, ...], Per]] = []
        for n, one in enumerate(self.programming):
            found.append((f"programming.{n}.sigma", one.sigma, one.per))
            found += [(f"programming.{n}.shift", one.shift, one.per)] if one.shift else []
        if self.drift is not None:
            found.append(("drift.exponent", self.drift.exponent, self.drift.per))
            found.append(("drift.spread", self.drift.spread, self.drift.per))
        if self.read is not None:
            key = "sigma" if self.read.sigma else "share"
            found.append((f"read.{key}", self.read.sigma or self.read.share, self.read.per))
        return found

    def _check_levels(self) -> None:
        if self.levels is None:
            return
        for below, above in pairwise(self.levels):
            check_range(below, above)
        if self.levels[0] < self.range[0] or self.levels[-1] > self.range[1]:
            raise ValueError("the levels must lie within the range")

    def _check_times(self) -> None:
        times = [one.after for one in self.programming]
        if any(not early < late for early, late in pairwise(times)):
            raise ValueError("the times of 'programming' must ascend")
        if len(times) > 1 and self.between == "log_time" and times[0] == 0:
            raise ValueError(
                "between 0 s and a later time nothing lies halfway in the logarithm: write 'between: time'"
            )
        if self.drift is not None and len(times) > 1:
            raise ValueError("'programming' after several times says how cells change: 'drift' would do it twice")

    def _check_positive(self) -> None:
        """Refuse laws of a spread that are negative somewhere in the range."""
        grid = np.linspace(*self.range, GRID)
        for key, law, per in self._laws():
            if key.endswith("shift"):
                continue
            value = value_of(law, self._argument(grid, per))
            if value.min() < 0:
                at = format_si(float(grid[value.argmin()]), "S")
                raise ValueError(f"'{key}' is negative in the range: {value.min():.3g} at {at}")
        if self.decay is not None:
            late = np.log(self.decay.after) + np.linspace(0, 25, GRID)
            if (spread := np.polyval(self.decay.spread, late)).min() < 0:
                raise ValueError(
                    f"'decay.spread' is negative at {format_si(math.exp(late[int(spread.argmin())]), 's')}"
                )

    def _argument(self, conductances: NDArray[np.float64], per: Per) -> NDArray[np.float64]:
        scale = self.full_scale if per == "relative" else self.unit
        assert scale is not None  # `_consistent`
        return conductances / scale

    # Levels and curves

    def seen(self, conductances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return conductances as they are seen through the access resistance, G / (1 + G R), in S."""
        return conductances / (1 + conductances * (self.access or 0.0))

    def targets(self, cell_bits: int) -> NDArray[np.float64]:
        """Return the conductances that the levels of cells of so many bits are programmed to, in S.

        Raises ValueError for a device without a level map for so many bits.
        """
        wanted = 1 << cell_bits
        if self.levels is None:
            low, high = self.seen(np.array(self.range)).tolist()
            seen = np.linspace(low, high, wanted)
            return np.asarray(seen / (1 - seen * (self.access or 0.0)))
        if wanted == len(self.levels):
            return np.array(self.levels)
        if wanted == 2:
            return np.array([self.levels[0], self.levels[-1]])
        raise ValueError(
            f"device '{self.name}' has no level map for cells of {cell_bits} bits: its file gives {len(self.levels)} "
            f"levels, {wanted} are needed"
        )

    def curves(self, read_voltage: float, cell_bits: int = 1) -> Curves:
        low, high = self.seen(self.targets(cell_bits)[[0, -1]]).tolist()
        if self.current is None:
            return linear_curves(low, high, read_voltage, cell_bits)
        (square_h, square_l), (cubic_h, cubic_l) = self.current.of(np.array([low, high])).tolist()
        in_low, in_high = (cubic_l, square_l, high, 0.0), (cubic_h, square_h, low, 0.0)  # in low and in high resistance
        unit = np.polyval(in_low, read_voltage) - np.polyval(in_high, read_voltage)
        return Curves(in_low, in_high, float(unit) / ((1 << cell_bits) - 1))

    def current_terms(self, read_voltage: float) -> Terms | None:
        """Return what c2 and c3 of a cell differ by from those of its two limiting curves, weighted by its state."""
        if (current := self.current) is None:
            return None
        low, high = self.targets(1)
        at_low, at_high = current.of(np.array([low, high])).T

        def beyond(states: NDArray[np.float64]) -> NDArray[np.float64]:
            r = np.clip(states, -1.0, 2.0)
            ends = np.multiply.outer(at_high, 1 - r) + np.multiply.outer(at_low, r)
            return np.asarray(current.of(high + (low - high) * r) - ends)

        # A state far out has the largest of all differences, or one between: more than twice that of the grid is none.
        scale = 2 * np.abs(beyond(np.linspace(-1.0, 2.0, GRID))).max(axis=1)
        scale[scale == 0] = 1.0

        def coefficients(states: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray((beyond(states).T / scale).T)

        return Terms(((float(scale[0]), 0.0, 0.0), (float(scale[1]), 0.0, 0.0, 0.0)), coefficients)

    def lowest_conductance(self, read_voltage: float) -> float:
        """Return the mean conductance of cells in high resistance, in S; noise that is cut off at 0 lifts it above."""
        mean, sigma = self.targets(1)[0], 0.0
        if self.programming:
            sigma = float(self._programmed(self.targets(1)[:1], self.programming[0].after)[1][0])
        if sigma > 0:
            z = mean / sigma
            mean = mean * (1 + math.erf(z / math.sqrt(2))) / 2 + sigma * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        seen = self.seen(np.array(mean))
        if self.current is not None:
            square, cubic = self.current.of(seen)
            seen = seen + square * read_voltage + cubic * read_voltage**2
        return float(seen)

    def largest_read_voltage(self) -> float:
        return math.inf if self.disturb is None else self.disturb.volts

    def pulse(self) -> Pulse | None:
        if (write := self.write_pulse) is None:
            return None
        middle = float(self.seen(np.array(self.range)).mean())
        current = write.current if write.current is not None else write.volts * middle
        return Pulse(write.volts, current, write.pulse_time)

    # Time

    def ages(self) -> tuple[float, float] | None:
        first, last = [one.after for one in self.programming], math.inf
        starts = [part.reference_time for part in (self.drift,) if part] + [p.after for p in (self.decay,) if p]
        grows = self.read is not None and self.read.one_over_f
        if len(first) < 2 and not starts and not grows:
            return None
        if len(first) > 1 and self.beyond == "refuse":
            last = first[-1]
        return max([*first[:1], *starts], default=0.0), last

    def wrong_age(self, age: float | None) -> str | None:
        reason = super().wrong_age(age)
        if reason and age is not None and (known := self.ages()) and age > known[1]:
            reason += "; the setting 'beyond: hold' keeps what was measured last"
        return reason

    def assumptions(self, age: float | None) -> list[str]:
        """Return where figures of another time were kept, and where no write pulse is stated."""
        said = []
        if len(self.programming) > 1 and age is not None and age > (last := self.programming[-1].after):
            said.append(
                f"device '{self.name}' after {time_text(age)}: as measured after {time_text(last)}, 'beyond: hold'"
            )
        if self.write_pulse is None:
            said.append(f"device '{self.name}' states no write pulse: one for each cell, as the crossbar's are priced")
        return said

    def _programmed(
        self, targets: NDArray[np.float64], age: float | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of programmed conductances at an age (s), in S."""
        if not self.programming:
            return targets, np.zeros_like(targets)
        tables = []
        for one in self.programming:
            mean = targets
            if one.shift:
                mean = targets + self.unit * value_of(one.shift, self._argument(targets, one.per))
            tables.append((mean, self.unit * np.maximum(value_of(one.sigma, self._argument(mean, one.per)), 0.0)))
        times = np.array([one.after for one in self.programming])
        at = np.array(times[0] if age is None else age)
        if self.between == "log_time" and len(times) > 1:
            times, at = np.log(times), np.log(at)
        place = float(np.interp(at, times, np.arange(len(times))))
        k = min(int(place), max(len(times) - 2, 0))
        share = place - k
        if share == 0:
            return tables[k]
        return tuple((1 - share) * early + share * late for early, late in zip(tables[k], tables[k + 1], strict=True))  # type: ignore[return-value]

    def moments(self, cell_bits: int, age: float | None) -> Moments:
        """Return what the laws say of the cells of each level at an age (s), as a kernel takes it."""
        targets = self.targets(cell_bits)
        mean, sigma = self._programmed(targets, age)
        exponent = spread = np.zeros_like(targets)
        log_ratio = decay = 0.0
        if self.decay is not None:
            assert age is not None  # `wrong_age`
            mean = mean + self.unit * float(np.polyval(self.decay.mean, math.log(age)))
            decay = self.unit * float(np.polyval(self.decay.spread, math.log(age)))
        if self.drift is not None:
            assert age is not None
            x = self._argument(targets, self.drift.per)
            exponent, spread = value_of(self.drift.exponent, x), value_of(self.drift.spread, x)
            log_ratio = math.log(age / self.drift.reference_time)
        low, high = self.limits or (0.0, math.inf)
        return Moments(mean, sigma, decay, exponent, spread, log_ratio, low, high)

    # Cells

    def write(
        self, levels: NDArray[np.uint8], arrays: NDArray[np.int64], *, seed: int, read_voltage: float, cell_bits: int
    ) -> Programmed:
        first = known[0] if (known := self.ages()) is not None else None
        return self._aged(levels, arrays, seed=seed, read_voltage=read_voltage, cell_bits=cell_bits, age=first)

    def _aged(
        self,
        levels: NDArray[np.uint8],
        arrays: NDArray[np.int64],
        *,
        seed: int,
        read_voltage: float,
        cell_bits: int,
        age: float | None,
    ) -> Programmed:
        flat = np.ascontiguousarray(levels.reshape(len(arrays), -1))
        targets = self.targets(cell_bits)
        cells = measured_conductances(
            flat,
            np.ascontiguousarray(arrays, np.int64),
            seed=seed,
            moments=self.moments(cell_bits, age),
            ends=(float(targets[0]), float(targets[-1])),
            stuck_low=self.stuck.at_low_resistance,
            stuck_high=self.stuck.at_high_resistance,
        )
        ends = self.seen(targets[[0, -1]])
        states = states_of(self.seen(cells), float(ends[0]), float(ends[1])).reshape(levels.shape)
        written = (flat != RESTING).sum(axis=1)
        each = self.write_pulse.pulses if self.write_pulse is not None else 1.0
        return Programmed(states, np.rint(written * each).astype(np.int64))

    def read_variance(
        self, conductances: NDArray[np.float64], *, age: float | None, read_time: float, temperature: float
    ) -> NDArray[np.float64] | None:
        """Return the variance of a cell's own read noise, in S^2: (sigma or share x G)^2, and its 1/f growth.

        The laws hold at 300 K and are taken at every ``temperature``. What a cell was before a power-law drift is told
        from what it is now by the mean exponent; through an access resistance R a conductance varies by (1 - G R)^2 of
        what the cell alone does.
        """
        if self.read is None:
            return None
        seen, ohm = np.maximum(np.asarray(conductances, np.float64), 0.0), self.access or 0.0
        if ohm:
            seen = np.minimum(seen, (1 - 1e-9) / ohm)
        own = seen / (1 - seen * ohm)
        law = self.read.sigma or self.read.share
        value = np.maximum(value_of(law, self._argument(self._before_drift(own, age), self.read.per)), 0.0)
        sigma = value * (self.unit if self.read.sigma else own) * (1 - seen * ohm) ** 2
        growth = 1.0
        if self.read.one_over_f:
            if (reason := self.wrong_age(age)) or age is None:
                raise ValueError(reason)
            growth = max(math.log((age + read_time) / (2 * read_time)), 0.0)
        return np.asarray(sigma**2 * growth)

    def _before_drift(self, conductances: NDArray[np.float64], age: float | None) -> NDArray[np.float64]:
        """Return the conductances that mean drift turned into these, in S."""
        if self.drift is None or age is None or age <= self.drift.reference_time:
            return conductances
        assert self.full_scale is not None or self.drift.per == "conductance"
        top = 2 * max(self.range[1], self.full_scale or 0.0)
        before = np.linspace(0, top, 2 * GRID)
        exponent = value_of(self.drift.exponent, self._argument(before, self.drift.per))
        after = before * (age / self.drift.reference_time) ** -exponent
        return np.interp(conductances, np.maximum.accumulate(after), before)


DEVICES.register("measured", Measured)
