"""Diagonal state-space layers (S4D)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.kernels.arrays import ArrayModel
from accelsim.kernels.cells import CellProgram
from accelsim.kernels.conv import Starts
from accelsim.kernels.converter_errors import Assigned
from accelsim.kernels.converters import DacTransfer
from accelsim.kernels.crossbar import Curves, ReadVariance, Terms
from accelsim.kernels.fixed_point import requantise
from accelsim.kernels.number import Number
from accelsim.kernels.read_noise import SILENT, ReadNoise
from accelsim.kernels.ssm import (
    LARGEST_WEIGHT_BITS,
    Bits,
    Recurrence,
    convolve,
    largest_level,
    program_kernels,
    radius,
    recurrence,
)
from accelsim.ops.op import OPS, Datapath, Edge, Op, Signal, Tensors, float_words, normal
from accelsim.schema.parse import Model

PARTS = ("a", "b", "c")
MACS_PER_STATE = 8
"""Multiplications of a complex state in a step: 4 for A, 2 for B, 2 for the real part of C x."""

WeightBits = Annotated[int, Ge(1), Le(LARGEST_WEIGHT_BITS)]


class PartBits(Model):
    """Bits of the weights of A, B and C, each for itself."""

    a: WeightBits
    b: WeightBits
    c: WeightBits


class S4dOp(Op):
    """A layer of ``kernels`` state-space kernels of ``states`` complex states; `accelsim.kernels.ssm` has its maths.

    y[t] = Re(C x[t]), x[t + 1] = A x[t] + B u[t], A diagonal. Tensors ``<weights>.a``, ``.b`` and ``.c`` [kernels,
    states, 2], (re, im), whose levels of ``weight_bits``, of all or of ``a``, ``b`` and ``c`` each, stand for ``scale``
    / q * level, q the largest of each; ``weights`` is the op's name unless it is given. u = clamp(round(``input_scale``
    source) - ``input_offset``) are signed codes of ``code_bits``, as states and outputs are; ``output_gain``: from
    columns of level steps of C to codes of y. An op that takes real numbers reads ``output_scale`` y. The source has
    one value for every kernel, or one for all.
    """

    op: Literal["s4d"]
    over_frames: ClassVar[bool] = True
    input: str
    kernels: PositiveInt
    states: PositiveInt
    weight_bits: WeightBits | PartBits
    weights: str | None = None
    scale: Annotated[float, Gt(0)]
    code_bits: Annotated[int, Ge(2), Le(12)] = 8
    input_scale: Annotated[float, Gt(0)] = 1.0
    input_offset: int = 0
    output_gain: Annotated[float, Gt(0)]
    output_scale: Annotated[float, Gt(0)] = 1.0

    @property
    def input_bits(self) -> int:
        """The bits of the words that it reads, see `accelsim.ops.op.float_words`."""
        return self.code_bits

    def bits(self) -> Bits:
        """Return the bits of the weights of A, B and C."""
        given = self.weight_bits
        return Bits.of(given) if isinstance(given, int) else Bits(given.a, given.b, given.c)

    def state_gain(self) -> float:
        """Return what one step of a state's column adds to it: scale / L, see `accelsim.kernels.ssm`."""
        return self.scale / self.bits().state_steps()

    def cell_bits(self) -> int:
        """Return the bits of a cell that holds a level of one sign, of the matrix with the most."""
        return max(self.bits().cells())

    def stored(self) -> dict[int, int]:
        """Return the weights that a datapath of integers keeps: bits of a value -> how many values.

        It adds products of A and of B, so that both are kept in steps of the sum: signed integers up to L.
        """
        bits, found = self.bits(), dict[int, int]()
        steps = bits.state_steps()
        of_states = steps.bit_length() + 1 if max(bits.a, bits.b) > 1 else 1  # -1 and 1 alone take one bit
        for part in (of_states, of_states, bits.c):
            found[part] = found.get(part, 0) + 2 * self.states * self.kernels
        return found

    def largest_sum(self, tensors: Tensors) -> int:
        """Return the largest magnitude of a sum of products of integers, whatever the inputs, m the largest code.

        That of the next state, m (|ar| + |ai|) L / q_a + m |b| L / q_b for re and im, and of the output.
        """
        bits = self.bits()
        a, b, c = (np.abs(tensors[self.tensor_name(part)].astype(np.int64)) for part in PARTS)
        a, b = (w * (bits.state_steps() // largest_level(n)) for w, n in ((a, bits.a), (b, bits.b)))
        state, output = (a.sum(axis=2) + b.max(axis=2)).max(initial=0), c.sum(axis=(1, 2)).max(initial=0)
        return (1 << (self.code_bits - 1)) * int(max(state, output))

    def infer(self, read: Sequence[Edge]) -> Edge:
        if read[0].width not in (1, self.kernels):
            raise ValueError(f"has {self.kernels} kernels for {read[0].width} input channels")
        return Edge(self.kernels, 1, read[0].stride, "codes", bits=self.code_bits, scale=self.output_scale)

    def products(self, read: Sequence[Edge], given: Edge) -> int:
        return MACS_PER_STATE * self.states * self.kernels

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(PARTS, (self.kernels, self.states, 2))

    def tensor_name(self, end: str) -> str:
        return f"{self.weights or self.name}.{end}"

    def generated(
        self, read: Sequence[Edge], spread: float, random: np.random.Generator, *, last: bool
    ) -> dict[str, NDArray[Any]]:
        """Return levels: A of radius 0.5 to 0.95 and of any angle, rounded towards 0, so that states decay; B and C."""
        shape, bits = (self.kernels, self.states), self.bits()
        radius, angle = random.uniform(0.5, 0.95, shape), random.uniform(-math.pi, math.pi, shape)
        a = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1) / (self.scale / largest_level(bits.a))
        drawn = {"a": a} | {part: normal(random, (*shape, 2), largest_level(getattr(bits, part)) / 3) for part in "bc"}
        levels = {}
        for part, x in drawn.items():
            q = largest_level(getattr(bits, part))
            rounded = np.trunc(x) if part == "a" else np.rint(x)
            one_bit = getattr(bits, part) == 1
            levels[self.tensor_name(part)] = np.where(x < 0, -1, 1) if one_bit else np.clip(rounded, -q, q)
        return {name: x.astype(np.int8) for name, x in levels.items()}

    def tensor_problem(self, end: str, tensor: NDArray[Any], tensors: Tensors) -> str | None:
        """Return what is wrong with levels: not numbers, out of range, or with A states that do not decay, |a| >= 1."""
        bits = getattr(self.bits(), end)
        q = largest_level(bits)
        if message := self.float_problem(end, tensor):
            return message
        if np.abs(tensor.astype(np.int64)).max() > q or (bits == 1 and (tensor == 0).any()):
            allowed = "-1 or 1" if bits == 1 else f"from {-q} to {q}"
            return f"has levels that are not {allowed}, as {bits}-bit weights are"
        return self._unstable(tensor, self.scale / q) if end == "a" else None

    def float_problem(self, end: str, tensor: NDArray[Any]) -> str | None:
        """Return what is wrong with a tensor of the float network."""
        if not np.isfinite(tensor).all():
            return f"has {int((~np.isfinite(tensor)).sum())} values that are not finite numbers"
        if end == "a" and not np.issubdtype(tensor.dtype, np.integer):
            return self._unstable(tensor, 1.0)
        return None

    def _unstable(self, a: NDArray[Any], gain: float) -> str | None:
        found = radius(a, gain)
        worst = np.unravel_index(int(found.argmax()), found.shape)
        if found[worst] < 1:
            return None
        count = int((found >= 1).sum())
        return (
            f"makes {count} of {found.size} states unstable: |a| = {found[worst]:.4g} in state {worst[1]} of kernel "
            f"{worst[0]}, expected less than 1"
        )

    def state(self, read: Sequence[Edge]) -> Mapping[str, tuple[int, ...]]:
        return {"states": (self.kernels, self.states, 2)}

    def words(self, source: NDArray[Any]) -> tuple[NDArray[np.int16], int]:
        """Return the codes of u for every kernel [steps, kernels], and how many were clamped."""
        top = DacTransfer(self.code_bits).largest_code
        codes, clamped = requantise(source, self.input_scale, self.input_offset, -top, top)
        return np.ascontiguousarray(np.broadcast_to(codes, (len(codes), self.kernels))), clamped

    def recur(
        self,
        codes: NDArray[np.int16],
        starts: Starts,
        tensors: Tensors,
        program: CellProgram,
        curves: Curves,
        *,
        voltage: float = 1.0,
        first_array: int = 0,
        model: ArrayModel | None = None,
        terms: Terms | None = None,
        read_variance: ReadVariance | None = None,
        noise: ReadNoise = SILENT,
        errors: Assigned | None = None,
        seed: int = 0,
        first_tile: int = 0,
        rows: int,
        columns: int,
    ) -> Recurrence:
        """Run the kernels over all steps, on cells that ``program`` writes, in crossbars of rows x columns.

        ``model``: how the cells lie in their arrays, None for nothing between them and their converters.
        ``terms``, ``read_variance``: of the cells, ``errors``, ``first_tile``: of the converters, ``noise`` and
        ``seed``: of both, see `accelsim.kernels.ssm.recurrence`.

        Raises ValueError for levels that the cells do not have.
        """
        a, b, c = (tensors[self.tensor_name(part)] for part in PARTS)
        kernels = program_kernels(
            a, b, c, program, curves, weight_bits=self.bits(), first_array=first_array, terms=terms,
            read_variance=read_variance, model=model, rows=rows, columns=columns,
        )  # fmt: skip
        return recurrence(
            kernels, codes, starts, dac=DacTransfer(self.code_bits, voltage), state_gain=self.state_gain(),
            output_gain=self.output_gain, noise=noise, errors=errors, seed=seed, first_tile=first_tile,
        )  # fmt: skip

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return the codes of y, int16 [steps, kernels], from the recurrence in whole numbers; states begin at 0.

        y[t] = Q(output_gain Re sum_n c_n x_n[t]), then x_n[t + 1] = Q(scale / L (L / q_a a_n x_n[t] + L / q_b b_n
        u[t])), re and im each, L the least common multiple of the largest levels q_a and q_b, with Q(z) =
        clamp(round(z), -2^(code_bits - 1), 2^(code_bits - 1)); gain times sum in float64, halves to even.
        """
        top = 1 << (self.code_bits - 1)

        def code(values: NDArray[Any]) -> NDArray[np.int64]:
            return np.clip(np.rint(values), -top, top).astype(np.int64)

        (ar, ai), (br, bi), (cr, ci) = (
            np.moveaxis(tensors[self.tensor_name(part)].astype(np.int64), -1, 0) for part in PARTS
        )
        bits = self.bits()
        largest_a, largest_b = (max(2 ** (n - 1) - 1, 1) for n in (bits.a, bits.b))
        steps = math.lcm(largest_a, largest_b)
        gain = self.scale / steps
        ar, ai, br, bi = (
            w * (steps // q) for w, q in ((ar, largest_a), (ai, largest_a), (br, largest_b), (bi, largest_b))
        )
        u = np.clip(np.rint(read[0].values * self.input_scale) - self.input_offset, -top, top).astype(np.int64)
        outputs = np.zeros((len(u), self.kernels), np.int16)
        for first, last in pairwise(read[0].starts):
            re = im = np.zeros((self.kernels, self.states), np.int64)
            for t in range(first, last):
                outputs[t] = code(self.output_gain * (cr * re - ci * im).sum(axis=1))
                drive = u[t][:, None]  # [kernels, 1], or [1, 1] where all kernels read one value
                re, im = (
                    code(gain * (ar * re - ai * im + br * drive)),
                    code(gain * (ai * re + ar * im + bi * drive)),
                )
        return outputs

    def float_values(self, read: Sequence[Signal], exact: Datapath, unit: float | None) -> tuple[NDArray[Any], Starts]:
        tensors = exact.tensors
        x = float_words(self, read[0].values, unit)
        a, b, c = (tensors[self.tensor_name(part)] for part in PARTS)
        channels = np.broadcast_to(x, (len(x), self.kernels))
        return convolve(a, b, c, channels, read[0].starts), read[0].starts


OPS.register("s4d", S4dOp)
