"""What every memristor device has in common: curves, programming, and what happens to a cell afterwards."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from pydantic import Field

from accelsim.kernels.cells import RESTING, CellProgram, drifted
from accelsim.kernels.crossbar import Curves, Terms
from accelsim.registry import Registry
from accelsim.schema import Effect, Model, PositiveTime, format_si
from accelsim.schema.names import Label

LARGEST_CELL_BITS = 6

MEASURED = Effect(values="either", counts="either", cycles="either", given="measured on cells")
"""What a number of a device may change: currents, and how many pulses write a cell."""


class Drift(Model):
    """Conductance drift, G(t) = G(t0) (t / t0)^-nu: nu of a cell is ``exponent`` + ``spread`` N(0, 1), at least 0.

    t: the crossbar's ``age``; ``reference_time``: t0, when the programmed conductances hold.
    """

    effects = dict.fromkeys(("reference_time", "exponent", "spread"), MEASURED)
    reference_time: PositiveTime = 1.0
    exponent: Annotated[float, Ge(0)]
    spread: Annotated[float, Ge(0)] = 0.0


class Programmed(NamedTuple):
    """States r of programmed cells, float32 [arrays, rows, columns], and the write pulses that each array took.

    ``reached``: cells of each array whose threshold a read at full scale reaches, None for a device without thresholds.
    """

    states: NDArray[np.float32]
    pulses: NDArray[np.int64]
    reached: NDArray[np.int64] | None = None


class Pulse(NamedTuple):
    """One write pulse of a cell as its device's file states it: V, A and s."""

    volts: float
    current: float
    time: float


class Device(Model):
    """A memristor device. ``drift`` is a switch: nothing drifts unless it is given."""

    kind: str
    name: Label
    description: str = ""
    source: str
    drift: Drift | None = None

    @abstractmethod
    def curves(self, read_voltage: float, cell_bits: int = 1) -> Curves:
        """Return the limiting I-V curves, and the current of one level step at the read voltage (V): a weight unit.

        Raises ValueError where the device does not have 2^cell_bits levels.
        """

    def current_terms(self, read_voltage: float) -> Terms | None:
        """Return what `curves` leaves of a cell's current at voltages up to that of a read (V); None: nothing."""
        return None

    def lowest_conductance(self, read_voltage: float) -> float:
        """Return the conductance of a cell in its high-resistance state at a voltage (V), in S."""
        curves = self.curves(read_voltage)
        return min(float(np.polyval(curve, read_voltage)) for curve in (curves.low, curves.high)) / read_voltage

    def switched_by_read(self, read_voltage: float) -> tuple[float, float]:
        """Return the shares of cells in HRS that a read of -V sets, and of cells in LRS that one of +V resets.

        Of cells as they are made; (0, 0) for a device without thresholds.
        """
        return 0.0, 0.0

    def largest_read_voltage(self) -> float:
        """Return the voltage up to which the file describes a read, in V; one above it is refused."""
        return math.inf

    def ages(self) -> tuple[float, float] | None:
        """Return the shortest and the longest time since programming that the file describes, in s.

        None for a device that does not change with time.
        """
        return None if self.drift is None else (self.drift.reference_time, math.inf)

    def wrong_age(self, age: float | None) -> str | None:
        """Return in words why cells cannot be read so long after they were programmed (s), None where they can."""
        if (known := self.ages()) is None:
            return None
        first, last = known
        if age is None:
            return (
                f"device '{self.name}' changes with time and 'age', the time since its cells were written, is missing"
            )
        if age < first:
            return f"device '{self.name}' is known from {time_text(first)} on, 'age' is {time_text(age)}"
        if age > last:
            return f"device '{self.name}' was measured up to {time_text(last)}, 'age' is {time_text(age)}"
        return None

    def assumptions(self, age: float | None) -> list[str]:
        """Return in words what of cells of an age (s) was not measured."""
        return []

    def pulse(self) -> Pulse | None:
        """Return the write pulse that the device's file states, None where it states none."""
        return None

    def read_variance(
        self, conductances: NDArray[np.float64], *, age: float | None, read_time: float, temperature: float
    ) -> NDArray[np.float64] | None:
        """Return the variance of the cells' own read noise, beyond thermal and shot noise, in S^2; None without any.

        Each read draws anew. conductances: of cells as they are read, in S, of any shape, below and above the range
        too; age: since programming, read_time: of one read, both in s; temperature in K. Never below 0 or NaN.
        """
        return None

    @abstractmethod
    def write(
        self, levels: NDArray[np.uint8], arrays: NDArray[np.int64], *, seed: int, read_voltage: float, cell_bits: int
    ) -> Programmed:
        """Program fresh cells, without drift: see `program`."""

    def program(
        self,
        levels: NDArray[np.uint8],
        arrays: NDArray[np.int64],
        *,
        seed: int,
        read_voltage: float = 0.6,
        cell_bits: int = 1,
        age: float | None = None,
    ) -> Programmed:
        """Program fresh cells to levels 0 (high resistance) .. 2^cell_bits - 1, then let time act.

        Drift turns a cell's conductance at the read voltage into another one, G' ; its state becomes
        r' = (LL - G' V) / (LL - HH) at that voltage, exact there and to first order elsewhere.

        levels: [arrays, rows, columns], `RESTING` for a cell that is not written; arrays: their numbers, which with the
        seed and the place in the array decide every draw; read_voltage in V; age: from programming to reading, in s.
        Raises ValueError for too many levels, or an age at which nobody knows the cells.
        """
        arrays = np.ascontiguousarray(arrays, np.int64)
        found = int(levels.max(initial=0, where=levels != RESTING))
        if found >= 1 << cell_bits:
            top = (1 << cell_bits) - 1
            raise ValueError(f"cells of {cell_bits} bits have levels up to {top}, found {found}")
        if reason := self.wrong_age(age):
            raise ValueError(reason)
        return self._aged(levels, arrays, seed=seed, read_voltage=read_voltage, cell_bits=cell_bits, age=age)

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
        """Program fresh cells and let them drift until they are ``age`` seconds old."""
        written = self.write(levels, arrays, seed=seed, read_voltage=read_voltage, cell_bits=cell_bits)
        if self.drift is None:
            return written
        assert age is not None  # `wrong_age`
        curves = self.curves(read_voltage, cell_bits)
        low, high = np.polyval(curves.low, read_voltage), np.polyval(curves.high, read_voltage)
        conductance = (low + (high - low) * written.states.astype(np.float64)) / read_voltage
        flat = drifted(
            conductance.reshape(len(arrays), -1),
            arrays,
            seed=seed,
            ratio=age / self.drift.reference_time,
            exponent=self.drift.exponent,
            spread=self.drift.spread,
        )
        states = (low - flat.reshape(conductance.shape) * read_voltage) / (low - high)
        return Programmed(states.astype(np.float32), written.pulses, written.reached)

    def programmer(
        self,
        seed: int,
        *,
        read_voltage: float = 0.6,
        cell_bits: int = 1,
        age: float | None = None,
        count: Callable[[Programmed], None] | None = None,
    ) -> CellProgram:
        """Return the function that `kernels.crossbar.program_tiles` and `kernels.ssm` call to program their arrays.

        ``count`` is told of all that is programmed.
        """

        def of_cells(levels: NDArray[np.uint8], arrays: NDArray[np.int64], cell_bits: int) -> Programmed:
            return self.program(levels, arrays, seed=seed, read_voltage=read_voltage, cell_bits=cell_bits, age=age)

        def program(
            levels: NDArray[np.uint8], arrays: NDArray[np.int64], bits: NDArray[np.uint8] | None = None
        ) -> NDArray[np.float32]:
            if bits is None:
                written = of_cells(levels, arrays, cell_bits)
            else:
                written = program_mixed(of_cells, levels, arrays, bits)
            if count is not None:
                count(written)
            return written.states

        return program


def program_mixed(
    program: Callable[[NDArray[np.uint8], NDArray[np.int64], int], Programmed],
    levels: NDArray[np.uint8],
    arrays: NDArray[np.int64],
    bits: NDArray[np.uint8],
) -> Programmed:
    """Program arrays whose cells have levels of different bits, by a function that takes those of one number of bits.

    Cells of each number are written in turn while all others rest, which changes nothing: a cell's draws are its own.
    A count of an array is sum_p n_p - (P - 1) n_0 over P such passes, n_0 that of an array at rest.

    levels, bits: [arrays, rows, columns]; the levels of a cell are 0 .. 2^bits - 1 whatever its neighbours have.
    """
    numbers = [int(n) for n in np.unique(bits)]
    passes = [program(np.where(bits == n, levels, np.uint8(RESTING)), arrays, n) for n in numbers]
    if len(passes) == 1:
        return passes[0]
    resting = program(np.full_like(levels, RESTING), arrays, numbers[0])
    states = np.select([bits == n for n in numbers], [one.states for one in passes])
    pulses = sum((one.pulses for one in passes), -(len(passes) - 1) * resting.pulses)
    reached = None
    if resting.reached is not None:
        found = [one.reached for one in passes if one.reached is not None]
        reached = sum(found, -(len(passes) - 1) * resting.reached)
    return Programmed(states, pulses, reached)


DEVICES: Registry[type[Device]] = Registry("accelsim.devices", "kind of device", builtin="accelsim.devices")


def time_text(seconds: float) -> str:
    """Return a time for people to read, from a day on in days."""
    days = seconds / 86_400
    return format_si(seconds, "s") if days < 1 else "1 day" if days == 1 else f"{days:.4g} days"


CellBits = Annotated[int, Field(ge=1, le=LARGEST_CELL_BITS)]


def linear_curves(lowest: float, highest: float, read_voltage: float, cell_bits: int) -> Curves:
    """Return the curves of ohmic cells between two conductances in S: LL = G_max V, HH = G_min V."""
    unit = (highest - lowest) * read_voltage / ((1 << cell_bits) - 1)
    return Curves((highest, 0.0), (lowest, 0.0), unit)


def states_of(conductances: NDArray[Any], lowest: float, highest: float) -> NDArray[np.float32]:
    """Return r = (G_max - G) / (G_max - G_min)."""
    return np.asarray((highest - conductances) / (highest - lowest), np.float32)
