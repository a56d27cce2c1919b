"""Recurrent layers: LSTM, GRU, and delta GRU, whose products are those of what has changed."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray
from pydantic import PositiveInt, field_validator, model_validator

from accelsim.kernels import recurrent as kernels
from accelsim.kernels.conv import Starts
from accelsim.kernels.float_product import product
from accelsim.kernels.number import Number, Values, values_of
from accelsim.kernels.recurrent import GATE_BITS, ONE_BITS, DeltaState, Gates, GruIntegers, LstmIntegers
from accelsim.kernels.requantise import Scaling
from accelsim.ops import plain, plain_integer, plain_recurrent
from accelsim.ops.linear import LinearOp
from accelsim.ops.op import (
    FLOAT_BITS,
    LARGEST_INTEGER_BITS,
    OPS,
    SUM_BITS,
    Datapath,
    Edge,
    QuantisedOp,
    Signal,
    Tensors,
    Work,
    finite_problem,
    integer_problem,
    integer_weights,
    normal,
    real,
)
from accelsim.schema.parse import Model

Memory = dict[str, NDArray[Any]]
"""The state of a layer by name, [utterances, ..]."""

WORD_BITS = 16
"""Bits of the word of a gate, in integers."""
WIDE_BITS = 32
"""Bits of a float32 weight."""
WORD = 2.0**-GATE_BITS
"""The scale of the sum of a gate, in integers."""
ONE = 2.0**-ONE_BITS
"""The scale of an activation, in integers."""
DELTAS = 2
"""Operations on a value that may have changed: difference and comparison."""

_REQUANTISE = 3
"""Operations on a sum: offset, product, and rounding within its word."""
_SIGMOID = Work(1, 2)  # 1 + e; exponential and quotient
_TANH = Work(4 + 2 * (len(plain.TANH) - 1) + 3 + 1, 2)  # as the op `tanh`
_OF_WORDS = {
    "interpolated": Work(3, 1),  # 3 x, product and sum of a chord; its place in the table
    # x^2, x^3, x^4; five of the series, two of its factor; a product for each of five bits; 1 + e, and its reciprocal
    # by a product, a sum and three steps of four; the sign.
    "fixed_point": Work(3 + 5 + 2 + 5 + 1 + 2 + 3 * 4 + 1),
}


@dataclass(frozen=True)
class Round:
    """A product with the last state in a step, and what a vector unit does with its sums before the next product.

    ``columns``: of the recurrent matrix, as many outputs; ``work``: on all of them together.
    """

    columns: int
    work: Work


class Cell(Model):
    """The cell of an integer LSTM: words of 16 bits of ``scale``, a power of two, whose real values end at +-``clip``.

    A ``clip`` of 0 is none.
    """

    scale: Annotated[float, Gt(0)]
    clip: Annotated[float, Ge(0)] = 0.0

    @field_validator("scale")
    @classmethod
    def _power_of_two(cls, scale: float) -> float:
        if math.frexp(scale)[0] != 0.5 or not -ONE_BITS <= math.log2(scale) <= -11:
            raise ValueError(f"the scale of a cell is a power of two from 2^-15 to 2^-11, found {scale:g}")
        return scale

    def places(self) -> int:
        """Return n of the scale 2^(n - 12)."""
        return round(math.log2(self.scale)) + GATE_BITS

    def limit(self) -> int:
        """Return the largest magnitude of a word."""
        most = (1 << ONE_BITS) - 1
        return min(round(self.clip / self.scale), most) if self.clip else most + 1


class RecurrentOp(QuantisedOp):
    """A layer of ``units`` whose output h[t] = f(x[t], h[t - 1]) depends on that of the step before.

    h is 0, and all other state real 0, where an utterance begins. Tensors: ``<name>.weight`` [inputs, columns],
    ``.recurrent_weight`` [units, columns] and ``.bias`` [columns], one column for each unit of every gate, gates side
    by side. ``weight_bits: 16`` or 32: float16 or float32 weights, biases of both.

    With an ``output`` it computes integers, whose gates are 16-bit words: it reads 8-bit codes, weights are int8 and
    biases int32; h is given as such codes. Sums a = S (q - z) q_w + b of each of the two matrices become words of scale
    2^-12 by M = s_in s_w / 2^-12, rounded as ``rounding`` says; s_w, one for each gate, are ``.weight_scale`` and
    ``.recurrent_weight_scale`` [gates]. ``gates``: how s(x) = 1 / (1 + e^-x) and tanh are made of
    words, ``interpolated`` by the chords of a table, as in TensorFlow Lite Micro, or in gemmlowp's ``fixed_point``, as
    in LiteRT; s_in s_w is a product of doubles in the one, of float32 numbers in the other. See
    `accelsim.kernels.recurrent`.
    """

    over_frames: ClassVar[bool] = True
    gate_names: ClassVar[str]
    """A letter for each gate, in the order of its columns."""
    recurrent_bias: ClassVar[bool] = False
    """Whether the products with h have a bias of their own."""

    input: str
    units: PositiveInt
    weight_bits: Literal[8, 16, 32] = 8
    gates: Literal["interpolated", "fixed_point"] = "interpolated"

    @model_validator(mode="after")
    def _floats_or_integers(self) -> RecurrentOp:
        if (self.output is None) == (self.weight_bits == LARGEST_INTEGER_BITS):
            raise ValueError(
                "it has float weights, 'weight_bits: 16' or 32, or an 'output' of integers and 'weight_bits: 8'"
            )
        if self.output is not None and self.output.bits != LARGEST_INTEGER_BITS:
            raise ValueError(f"h travels as codes of 8 bits, found an output of {self.output.bits}")
        if self.output is None and "gates" in self.model_fields_set:
            raise ValueError("'gates' says how integers are computed, and there is no 'output'")
        return self

    # What engines ask

    def in_float(self) -> bool:
        """Return whether the weights are floating-point numbers."""
        return self.output is None

    def columns(self) -> int:
        """Return the columns of its matrices: units of all gates."""
        return len(self.gate_names) * self.units

    def matrices(self, read: Sequence[Edge]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return inputs and outputs of the matrix of the inputs, and of the recurrent one."""
        return (read[0].width, self.columns()), (self.units, self.columns())

    def products(self, read: Sequence[Edge], given: Edge) -> int:
        return sum(inputs * outputs for inputs, outputs in self.matrices(read))

    def layers(self) -> tuple[LinearOp, LinearOp]:
        """Return its matrices of integers as dense layers, of what it reads and of what it gives."""
        return tuple(  # type: ignore[return-value]
            LinearOp(
                name=f"{self.name}.{end}", op="linear", input=source, outputs=self.columns(), gives="codes",
                weights=f"{self.name}.{end}",
            )
            for end, source in (("weight", self.input), ("recurrent_weight", self.name))
        )  # fmt: skip

    @abstractmethod
    def rounds(self) -> tuple[Round, ...]:
        """Return the products with the state in a step, one after the other, each waiting for the work before it."""

    def input_work(self, read: Sequence[Edge]) -> Work:
        """Return what a vector unit does with the sums of the inputs' products of a row: bias, or words of gates."""
        return Work(self.columns() * (1 if self.in_float() else _REQUANTISE))

    def skips(self) -> bool:
        """Return whether columns of its matrices can be left out, see `Datapath.taken`."""
        return False

    def change_work(self, read: Sequence[Edge]) -> Work:
        """Return what a vector unit does in a step to find what has changed."""
        return Work(0)

    def sum_bits(self, number_bits: int) -> int:
        """Return the bits of a sum on its way to the gates: of a number of the unit that makes it, or of a word."""
        return number_bits if self.in_float() else WORD_BITS

    @abstractmethod
    def state_bits(self, read: Sequence[Edge], number_bits: int) -> int:
        """Return the bits of its state; ``number_bits``: of a number of the unit that makes it."""

    # What every op says

    def infer(self, read: Sequence[Edge]) -> Edge:
        shape = Edge(self.units, 1, read[0].stride, distances=read[0].distances)
        if self.output is None:
            return real(shape)
        self.check_codes(read, bits=(LARGEST_INTEGER_BITS,))
        return self.output.edge(shape)

    def shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        first, second = self.matrices(read)
        found: dict[str, tuple[int, ...]] = {"weight": first, "recurrent_weight": second, "bias": second[1:]}
        found |= {"recurrent_bias": second[1:]} if self.recurrent_bias else {}
        if self.output is not None:
            found |= dict.fromkeys(("weight_scale", "recurrent_weight_scale"), (len(self.gate_names),))
        return found

    def optional(self) -> frozenset[str]:
        return frozenset({"bias", "recurrent_bias"})

    def spread_of(self, read: Sequence[float]) -> float:
        return 0.4

    def generated(
        self, read: Sequence[Edge], spread: float, random: np.random.Generator, *, last: bool
    ) -> dict[str, NDArray[Any]]:
        """Return weights whose sums have a deviation of about 1, biases of 0.1, and scales that fit."""
        found: dict[str, NDArray[Any]] = {}
        scales = (read[0].scale, 1.0 if self.output is None else self.output.scale)
        for end, given, bias, scale, (inputs, columns) in zip(
            ("weight", "recurrent_weight"), (spread, 0.5), ("bias", "recurrent_bias"), scales, self.matrices(read),
            strict=True,
        ):  # fmt: skip
            gain = 1 / (given * math.sqrt(inputs))
            added = normal(random, (columns,), 0.1)
            biased = bias in self.shapes(read)
            if self.output is None:
                kind = np.float16 if self.weight_bits == FLOAT_BITS else np.float32
                found[f"{self.name}.{end}"] = normal(random, (inputs, columns), gain).astype(kind)
                found |= {f"{self.name}.{bias}": added} if biased else {}
                continue
            weight = integer_weights(random, (inputs, columns), LARGEST_INTEGER_BITS)
            deviation = math.sqrt(float((weight.astype(np.float64) ** 2).mean())) or 1.0
            of_gates = random.uniform(0.5, 1.5, len(self.gate_names)) * gain / deviation
            found[f"{self.name}.{end}"] = weight
            found[f"{self.name}.{end}_scale"] = of_gates.astype(np.float32)
            if biased:
                step = np.repeat(of_gates, self.units) * scale
                found[f"{self.name}.{bias}"] = np.rint(added / step).astype(np.int32)
        return found

    def tensor_problem(self, end: str, tensor: NDArray[Any], tensors: Tensors) -> str | None:
        if end.endswith("_scale"):
            wrong = tensor[~(np.isfinite(tensor) & (tensor > 0))]
            return f"must be finite and greater than 0, found {float(wrong[0]):g}" if wrong.size else None
        if self.output is None:
            wanted = np.float16 if self.weight_bits == FLOAT_BITS else np.float32
            if end.endswith("weight") and tensor.dtype != wanted:
                return f"has type {tensor.dtype}, expected {np.dtype(wanted)}"
            return finite_problem(tensor)
        if end.endswith("bias"):
            return None if tensor.dtype == np.int32 else f"has type {tensor.dtype}, expected int32"
        return integer_problem(tensor, -128, 127, LARGEST_INTEGER_BITS) or self._overflow(end, tensor, tensors)

    def _overflow(self, end: str, weight: NDArray[np.int8], tensors: Tensors) -> str | None:
        """Return what is wrong with sums that 32 bits do not hold, whatever the codes."""
        sums = 255 * np.abs(weight.astype(np.int64)).sum(axis=0)
        bias = tensors.get(f"{self.name}.{end.replace('weight', 'bias')}")
        if bias is not None and bias.shape == sums.shape and bias.dtype.kind == "i":
            sums = sums + np.abs(bias.astype(np.int64))
        most = int(sums.max(initial=0))
        return None if most < 1 << (SUM_BITS - 1) else f"makes sums of up to {most:,}, which 32 bits do not hold"

    def float_shapes(self, read: Sequence[Edge]) -> dict[str, tuple[int, ...]]:
        return {end: shape for end, shape in self.shapes(read).items() if not end.endswith("_scale")}

    # Values

    @abstractmethod
    def memory(self, utterances: int, read: Sequence[Edge], tensors: Tensors) -> Memory:
        """Return the state where utterances begin."""

    @abstractmethod
    def run(self, x: Signal, unit: Datapath, memory: Memory) -> NDArray[Any]:
        """Return h of all rows, going on from a state and leaving that behind the last rows in ``memory``."""

    def compute(self, read: Sequence[Signal], unit: Datapath) -> tuple[NDArray[Any], Starts]:
        starts = read[0].starts
        memory = self.memory(len(starts) - 1, [signal.edge for signal in read], unit.tensors)
        return self.run(read[0], unit, memory), starts

    def advance(self, read: Sequence[Signal], state: Any, unit: Datapath) -> tuple[NDArray[Any], Any]:
        """Return h of the next rows of one utterance, and all of its state behind them."""
        memory = self.memory(1, [signal.edge for signal in read], unit.tensors) if state is None else state
        return self.run(read[0], unit, memory), memory

    def float_values(self, read: Sequence[Signal], exact: Datapath, unit: float | None) -> tuple[NDArray[Any], Starts]:
        """Return h in float32, from the float network's weights."""
        x = read[0]
        signal = Signal(x.reals(), x.starts, real(x.edge))
        layer = self.model_copy(update={"output": None, "weight_bits": WIDE_BITS})
        return layer.compute([signal], exact)

    def _parts(self, x: Values, unit: Datapath) -> Values:
        """Return the products with the inputs and their bias, R(A(acc + b))."""
        return product(
            x, unit.tensors[f"{self.name}.weight"], unit.tensors.get(f"{self.name}.bias"), unit.vector.number,
            accumulator=self._accumulator(unit), exceptions=unit.exceptions_of(self),
        )  # fmt: skip

    def _accumulator(self, unit: Datapath) -> Number:
        """Return the format of its sums: no array multiplies float32 weights, but a vector unit."""
        return (unit.vector if self.weight_bits == WIDE_BITS else unit.array).accumulator

    def _float(self, end: str, number: Number, tensors: Tensors) -> Values | None:
        """Return a tensor in the numbers of a unit."""
        tensor = tensors.get(f"{self.name}.{end}")
        return None if tensor is None else values_of(tensor, number)

    def _scaling(self, end: str, scale: float, tensors: Tensors) -> Scaling:
        """Return the factors from a matrix's sums to words, one for each output."""
        # The one runtime multiplies the scales in double precision, the other in single precision.
        of_gates = np.asarray(tensors[f"{self.name}.{end}_scale"], np.float32)
        wide = np.float64(np.float32(scale)) * of_gates.astype(np.float64)
        if self.gates == "fixed_point":
            wide = (np.float32(scale) * of_gates).astype(np.float64)
        return Scaling.of(np.repeat(wide / WORD, self.units), self.how())

    def _offsets(self, end: str, zero: int, tensors: Tensors) -> NDArray[np.int64]:
        """Return what is added to the sums of codes of a zero point: its products, and the bias."""
        weight = tensors[f"{self.name}.{end}"]
        found = -zero * weight.sum(axis=0, dtype=np.int64)
        bias = tensors.get(f"{self.name}.{end.replace('weight', 'bias')}")
        if bias is None or (end == "recurrent_weight" and not self.recurrent_bias):
            return found
        return found + bias.astype(np.int64)

    def _given(self) -> tuple[int, int, int, bool, bool]:
        assert self.output is not None
        return (self.output.zero_point, *self.output.limits(), *self.output.counted())

    def _words(self, codes: NDArray[np.int8], zero: int, x: Signal, unit: Datapath) -> NDArray[np.int16]:
        """Return the words of the inputs' products."""
        sums, _ = unit.multiply(self.layers()[0], codes, x.starts)
        words, clamped = kernels.gate_words(
            sums, self._offsets("weight", zero, unit.tensors), self._scaling("weight", x.edge.scale, unit.tensors)
        )
        unit.saturated(self, clamped)
        return words

    def _recurrent_sums(self, codes: NDArray[Any], unit: Datapath) -> NDArray[np.int64]:
        """Return the sums of one step's products with the codes of h, as the unit's multiplier makes them."""
        one = np.arange(len(codes) + 1)  # every utterance for itself
        sums, _ = unit.multiply(self.layers()[1], codes.astype(np.int8), one)
        return sums if sums.dtype.kind == "i" else np.rint(sums).astype(np.int64)


def steps(starts: Starts) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return for each step the utterances that have it, and their rows."""
    lengths = np.diff(starts)
    having = [np.flatnonzero(lengths > t) for t in range(int(lengths.max(initial=0)))]
    return [(mine, np.asarray(starts)[mine] + t) for t, mine in enumerate(having)]


class LstmOp(RecurrentOp):
    """A layer of long short-term memory, gates i, f, g, o; a = W x + b + R h for each of them.

    c' = s(a_f) c + s(a_i) tanh(a_g), h' = s(a_o) tanh(c'), s(x) = 1 / (1 + e^-x).

    In integers, as TFLite's UNIDIRECTIONAL_SEQUENCE_LSTM of int8 with 16-bit gates: ``cell``: {scale, clip} of c; see
    `accelsim.kernels.recurrent.lstm_integers`.
    """

    op: Literal["lstm"]
    gate_names: ClassVar[str] = "ifgo"
    cell: Cell | None = None

    @model_validator(mode="after")
    def _cell_of_integers(self) -> LstmOp:
        if (self.cell is None) != (self.output is None):
            raise ValueError("an integer LSTM has an 'output' and a 'cell: {scale: ..}', and one of floats has neither")
        return self

    def state(self, read: Sequence[Edge]) -> Mapping[str, tuple[int, ...]]:
        return {"h": (self.units,), "c": (self.units,)}

    def state_bits(self, read: Sequence[Edge], number_bits: int) -> int:
        return self.units * (2 * number_bits if self.output is None else LARGEST_INTEGER_BITS + WORD_BITS)

    def rounds(self) -> tuple[Round, ...]:
        columns = self.columns()
        if self.output is None:
            each = Work(
                4 + 3 * _SIGMOID.operations + 2 * _TANH.operations + 4, 3 * _SIGMOID.special + 2 * _TANH.special
            )
        else:  # both parts of a gate added; f c, i g, their sum and its limit; o tanh c
            one = _OF_WORDS[self.gates]
            each = Work(4 * (_REQUANTISE + 1) + 5 * one.operations + 3 + 3 + 2 + 3, 5 * one.special)
        return (Round(columns, Work(each.operations * self.units, each.special * self.units)),)

    def memory(self, utterances: int, read: Sequence[Edge], tensors: Tensors) -> Memory:
        kind = np.float32 if self.output is None else np.int32
        return {name: np.zeros((utterances, self.units), kind) for name in ("h", "c")}

    def run(self, x: Signal, unit: Datapath, memory: Memory) -> NDArray[Any]:
        if self.output is not None:
            return self._integers(x, unit, memory)
        number = unit.vector.number
        weight = self._float("recurrent_weight", number, unit.tensors)
        assert weight is not None
        return kernels.lstm(
            self._parts(unit.real(x), unit), weight, x.starts, memory["h"], memory["c"], number,
            accumulator=self._accumulator(unit), exceptions=unit.exceptions_of(self),
        )  # fmt: skip

    def _integers(self, x: Signal, unit: Datapath, memory: Memory) -> NDArray[Any]:
        codes, zero = x.codes()
        assert self.output is not None
        words = self._words(codes, zero, x, unit)
        # A unit's multiplier takes codes; the kernel multiplies them less their zero point.
        how = self._how(unit.tensors, 0 if unit.multiplier is None else self.output.zero_point)
        if unit.multiplier is None:
            weight = unit.tensors[f"{self.name}.recurrent_weight"]
            out, clamped = kernels.lstm_integers(words, weight, how, x.starts, memory["h"], memory["c"])
            unit.saturated(self, clamped)
            return out
        out = np.empty((len(words), self.units), np.int8)
        for mine, rows in steps(x.starts):
            h, c = memory["h"][mine], memory["c"][mine]
            sums = self._recurrent_sums(h.astype(np.int64) + self.output.zero_point, unit)
            out[rows], clamped = kernels.lstm_integer_step(words[rows], sums, how, h, c)
            memory["h"][mine], memory["c"][mine] = h, c
            unit.saturated(self, clamped)
        return out

    def _how(self, tensors: Tensors, zero: int) -> LstmIntegers:
        assert self.output is not None and self.cell is not None
        given, cell = float(np.float32(self.output.scale)), self.cell
        inner = Scaling.of([ONE, ONE * ONE / cell.scale, ONE * ONE / given], self.how())
        return LstmIntegers(
            self._scaling("recurrent_weight", given, tensors),
            self._offsets("recurrent_weight", zero, tensors), inner, cell.places(), cell.limit(),
            self._given(), Gates.of(self.gates, cell.places()),
        )  # fmt: skip

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return h step by step, in the numbers of a unit or in integers."""
        x, name = read[0], self.name
        if self.output is not None:
            return self._plain_integers(x, tensors)

        def r(values: NDArray[Any]) -> plain.Values:
            return plain.rounded(values, number)

        w, v = (r(tensors[f"{name}.{end}"]) for end in ("weight", "recurrent_weight"))
        values = plain.real(x, number)
        out = np.zeros((len(values), self.units), np.float32)
        with np.errstate(all="ignore"):
            for first, last in pairwise(x.starts.tolist()):
                h = c = np.zeros(self.units, np.float32)
                for t in range(first, last):
                    parts = plain_recurrent.products(values[t], w, tensors.get(f"{name}.bias"), number)
                    a = r(parts + plain_recurrent.products(h, v, None, number))
                    i, f, g, o = np.split(a, 4)
                    i, f, o = (r(np.float32(1) / plain.gate(one, number)) for one in (i, f, o))
                    c = r(r(f * c) + r(i * r(plain.tanh(g))))
                    h = out[t] = r(o * r(plain.tanh(c)))
        return out

    def _plain_integers(self, x: Signal, tensors: Tensors) -> NDArray[Any]:
        assert self.output is not None and self.cell is not None
        output, cell, how, form = self.output, self.cell, self.how(), self.gates
        h_scale = float(np.float32(output.scale))
        out = np.zeros((len(x.values), self.units), np.int8)
        codes, places = plain_integer.centred(x), round(math.log2(cell.scale)) + 12
        limit = None if not cell.clip else min(round(cell.clip / cell.scale), 32767)
        for first, last in pairwise(x.starts.tolist()):
            h = c = np.zeros(self.units, np.int64)
            for t in range(first, last):
                parts = plain_recurrent.words(self, "weight", codes[t], x.edge.scale, tensors)
                more = plain_recurrent.sums(self, "recurrent_weight", h, h_scale, tensors)
                a = plain_recurrent.word(parts + (plain_recurrent.word(more) if form == "interpolated" else more))
                i, f, g, o = np.split(a, 4)
                i, f, o = (plain_recurrent.sigmoid(one, form) for one in (i, f, o))
                g = plain_recurrent.tanh(g, form)
                if form == "interpolated":
                    kept = plain_recurrent.word(plain_integer.scaled(f * c, 2.0**-15, how))
                    new = plain_recurrent.word(plain_integer.scaled(i * g, 2.0**-30 / cell.scale, how))
                else:
                    kept, new = plain_recurrent.away(f * c, 15), plain_recurrent.away(i * g, 18 + places)
                c = plain_recurrent.word(kept + new)
                c = c if limit is None else np.clip(c, -limit, limit)
                y = o * plain_recurrent.tanh(c, form, places)
                out[t] = plain_integer.clamped(plain_integer.scaled(y, 2.0**-30 / h_scale, how), output)
                h = out[t].astype(np.int64) - output.zero_point
        return out


class _GruOp(RecurrentOp):
    """A gated recurrent unit, with or without products of what has changed alone."""

    gate_names: ClassVar[str] = "rzn"
    recurrent_bias: ClassVar[bool] = True

    def resets_after(self) -> bool:
        """Return whether the reset gate multiplies products with h, not h before them."""
        return True

    def thresholds(self) -> tuple[float, float]:
        """Return by how much inputs and states must change to be taken anew; below 0 all are."""
        return -1.0, -1.0

    def state(self, read: Sequence[Edge]) -> Mapping[str, tuple[int, ...]]:
        return {"h": (self.units,)}

    def state_bits(self, read: Sequence[Edge], number_bits: int) -> int:
        return self.units * (number_bits if self.output is None else WORD_BITS)

    def rounds(self) -> tuple[Round, ...]:
        n, floats = self.units, self.output is None
        sigmoid, tanh = (_SIGMOID, _TANH) if floats else (_OF_WORDS[self.gates],) * 2
        of_sum = 1 if floats else _REQUANTISE  # bias, or a word
        times = 1 if floats else 2  # a product, rounded where it is one of words
        gates = Work(2 * (of_sum + 1 + sigmoid.operations), 2 * sigmoid.special)
        # The new h: n; u h, 1 - u, its product with n, their sum; in integers its code.
        new = Work(of_sum + 1 + tanh.operations + 2 * times + 2 + (0 if floats else _REQUANTISE), tanh.special)
        if self.resets_after():
            every = Work(gates.operations + times + new.operations, gates.special + new.special)
            return (Round(3 * n, Work(every.operations * n, every.special * n)),)
        return (
            Round(2 * n, Work((gates.operations + times) * n, gates.special * n)),
            Round(n, Work(new.operations * n, new.special * n)),
        )

    def memory(self, utterances: int, read: Sequence[Edge], tensors: Tensors) -> Memory:
        kind = np.float32 if self.output is None else np.int32
        return {"h": np.zeros((utterances, self.units), kind)}

    def run(self, x: Signal, unit: Datapath, memory: Memory) -> NDArray[Any]:
        if self.output is not None:
            return self._integers(x, unit, memory)
        number = unit.vector.number
        weight = self._float("recurrent_weight", number, unit.tensors)
        assert weight is not None
        return kernels.gru(
            self._parts(unit.real(x), unit), weight, self._float("recurrent_bias", number, unit.tensors), x.starts,
            memory["h"], number, reset_after=self.resets_after(), accumulator=self._accumulator(unit),
            exceptions=unit.exceptions_of(self),
        )  # fmt: skip

    def _integers(self, x: Signal, unit: Datapath, memory: Memory) -> NDArray[Any]:
        assert self.output is not None
        (codes, zero), z = x.codes(), self.output.zero_point
        limits = self._limits(x.edge.scale)
        taken = np.zeros((len(codes), 2), np.int64)
        if "inputs" in memory:
            centred = codes.astype(np.int32) - zero
            centred, taken[:, 0] = kernels.taken_codes(centred, limits[0], x.starts, memory["inputs"])
            codes = (centred + zero).astype(np.int8)
        words = self._words(codes, zero, x, unit)
        how = self._how(unit.tensors, 0 if unit.multiplier is None else z)
        held = memory.get("state", np.zeros_like(memory["h"]))
        if unit.multiplier is None:
            weight = unit.tensors[f"{self.name}.recurrent_weight"]
            out, taken[:, 1], clamped = kernels.gru_integers(
                words, weight, how, limits[1], x.starts, memory["h"], held
            )  # fmt: skip
            unit.saturated(self, clamped)
        else:
            out = self._on_multiplier(words, how, limits[1], x.starts, unit, memory["h"], held, taken)
        if "inputs" in memory:
            unit.taken[self.name] = taken, x.starts
        return out

    def _on_multiplier(
        self, words: NDArray[np.int16], how: GruIntegers, limit: int, starts: Starts, unit: Datapath,
        state: NDArray[np.int32], held: NDArray[np.int32], taken: NDArray[np.int64],
    ) -> NDArray[Any]:  # fmt: skip
        """Return the codes of h, products with it made step by step by a unit's multiplier."""
        n, z = self.units, how.output[0]
        out = np.empty((len(words), n), np.int8)
        for mine, rows in steps(starts):
            h, kept = state[mine], held[mine]
            d = kernels.gru_codes(how, h)
            new = np.abs(d - kept) > limit
            kept = np.where(new, d, kept)
            taken[rows, 1] = new.sum(axis=1)
            sums = self._recurrent_sums(kept + z, unit)
            gates, clamped = kernels.gru_integer_reset(words[rows], sums, how)
            unit.saturated(self, clamped)
            if not self.resets_after():
                sums = self._recurrent_sums(kernels.reset_codes(gates[:, :n], kept) + z, unit)
            out[rows], clamped = kernels.gru_integer_update(words[rows], sums[:, 2 * n :], gates, how, h)
            unit.saturated(self, clamped)
            state[mine], held[mine] = h, kept
        return out

    def _limits(self, scale: float) -> tuple[int, int]:
        """Return the thresholds in codes of the inputs, and of h: the largest changes that are not taken."""
        assert self.output is not None
        both = zip(self.thresholds(), (scale, float(np.float32(self.output.scale))), strict=True)
        return tuple(math.floor(threshold / of) if threshold >= 0 else -1 for threshold, of in both)  # type: ignore[return-value]

    def _how(self, tensors: Tensors, zero: int) -> GruIntegers:
        assert self.output is not None
        given = float(np.float32(self.output.scale))
        return GruIntegers(
            self._scaling("recurrent_weight", given, tensors),
            self._offsets("recurrent_weight", zero, tensors), Scaling.of([ONE / given], self.how()),
            self._given(), self.resets_after(), Gates.of(self.gates),
        )  # fmt: skip

    def reference(self, read: Sequence[Signal], tensors: Tensors, number: Number = "float32") -> NDArray[Any]:
        """Return h step by step, in the numbers of a unit or in integers."""
        if self.output is not None:
            return self._plain_integers(read[0], tensors)
        return self._plain_floats(read[0], tensors, number)

    def _plain_floats(self, x: Signal, tensors: Tensors, number: Number) -> NDArray[Any]:
        def r(values: NDArray[Any]) -> plain.Values:
            return plain.rounded(values, number)

        name, n = self.name, self.units
        w, v = (r(tensors[f"{name}.{end}"]) for end in ("weight", "recurrent_weight"))
        bias = tensors.get(f"{name}.recurrent_bias")
        values = plain.real(x, number)
        out = np.zeros((len(values), n), np.float32)
        with np.errstate(all="ignore"):
            for first, last in pairwise(x.starts.tolist()):
                h = np.zeros(n, np.float32)
                for t in range(first, last):
                    parts = plain_recurrent.products(values[t], w, tensors.get(f"{name}.bias"), number)
                    sums = plain_recurrent.products(h, v, bias, number)
                    reset, update = (
                        r(np.float32(1) / plain.gate(r(parts[at : at + n] + sums[at : at + n]), number))
                        for at in (0, n)
                    )
                    if self.resets_after():
                        last_sums = r(reset * sums[2 * n :])
                    else:
                        last_sums = plain_recurrent.products(r(reset * h), v, bias, number)[2 * n :]
                    new = r(plain.tanh(r(parts[2 * n :] + last_sums)))
                    h = out[t] = r(r(update * h) + r(r(np.float32(1) - update) * new))
        return out

    def _plain_integers(self, x: Signal, tensors: Tensors) -> NDArray[Any]:
        assert self.output is not None
        output, how, form, n = self.output, self.how(), self.gates, self.units
        h_scale = float(np.float32(output.scale))
        out = np.zeros((len(x.values), n), np.int8)
        codes = plain_integer.centred(x)
        limits = [
            -1 if threshold < 0 else int(np.floor(threshold / scale))
            for threshold, scale in zip(self.thresholds(), (x.edge.scale, h_scale), strict=True)
        ]
        word, away = plain_recurrent.word, plain_recurrent.away
        for first, last in pairwise(x.starts.tolist()):
            h, held, inputs = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(codes.shape[1], np.int64)
            code = np.zeros(n, np.int64)
            for t in range(first, last):
                inputs = np.where(np.abs(codes[t] - inputs) > limits[0], codes[t], inputs)
                held = np.where(np.abs(code - held) > limits[1], code, held)
                parts = plain_recurrent.words(self, "weight", inputs, x.edge.scale, tensors)
                sums = plain_recurrent.words(self, "recurrent_weight", held, h_scale, tensors)
                reset, update, _ = np.split(plain_recurrent.sigmoid(word(parts + sums), form), 3)
                if self.resets_after():
                    last_sums = away(reset * sums[2 * n :], 15)
                else:
                    kept = away(reset * held, 15)
                    last_sums = plain_recurrent.words(self, "recurrent_weight", kept, h_scale, tensors)[2 * n :]
                new = plain_recurrent.tanh(word(parts[2 * n :] + last_sums), form)
                h = word(away(update * h, 15) + away((32768 - update) * new, 15))
                out[t] = plain_integer.clamped(plain_integer.scaled(h, 2.0**-15 / h_scale, how), output)
                code = out[t].astype(np.int64) - output.zero_point
        return out


class GruOp(_GruOp):
    """A gated recurrent unit, gates r, z, n; a = W x + b, v = R h + b_h for each of them, s(x) = 1 / (1 + e^-x).

    r = s(a_r + v_r), z = s(a_z + v_z), n = tanh(a_n + r v_n), h' = z h + (1 - z) n. Without ``reset_after`` v_n is that
    of r h, and the product waits for r. Tensors: ``.recurrent_bias`` too.

    In integers h is kept in words of scale 2^-15, and given as codes, see `accelsim.kernels.recurrent.gru_integers`.
    """

    op: Literal["gru"]
    reset_after: bool = True

    def resets_after(self) -> bool:
        return self.reset_after


class DeltaGruOp(_GruOp):
    """A GRU, reset after the product, that multiplies only what has changed (Neil et al. 2017, arXiv 1612.05571).

    An input is taken anew, x^ = x, when |x - x^| > ``threshold``, and a unit of the last h when it differs by more than
    ``state_threshold``, the same unless it is given. W x^ and R h^ stand for W x and R h: the columns of all others are
    skipped, since their products are in the sums already. Thresholds are real numbers, in codes rounded down.
    """

    op: Literal["delta_gru"]
    threshold: Annotated[float, Ge(0)]
    state_threshold: Annotated[float, Ge(0)] | None = None

    def thresholds(self) -> tuple[float, float]:
        return self.threshold, self.threshold if self.state_threshold is None else self.state_threshold

    def skips(self) -> bool:
        return True

    def input_work(self, read: Sequence[Edge]) -> Work:
        return Work(0) if self.in_float() else super().input_work(read)  # biases are in the sums from the start

    def change_work(self, read: Sequence[Edge]) -> Work:
        return Work(DELTAS * (read[0].width + self.units))

    def rounds(self) -> tuple[Round, ...]:
        (one,) = super().rounds()
        biased = self.columns() if self.in_float() else 0
        return (Round(one.columns, Work(one.work.operations - biased, one.work.special)),)

    def state(self, read: Sequence[Edge]) -> Mapping[str, tuple[int, ...]]:
        sums = (self.columns(),)
        return {
            "h": (self.units,), "inputs": (read[0].width,), "state": (self.units,), "input_sums": sums,
            "state_sums": sums,
        }  # fmt: skip

    def state_bits(self, read: Sequence[Edge], number_bits: int) -> int:
        values, sums = read[0].width + self.units, 2 * self.columns() * SUM_BITS
        if self.output is None:
            return (self.units + values) * number_bits + sums
        return self.units * WORD_BITS + values * LARGEST_INTEGER_BITS + sums

    def memory(self, utterances: int, read: Sequence[Edge], tensors: Tensors) -> Memory:
        found = super().memory(utterances, read, tensors)
        kind = found["h"].dtype
        found |= {
            "inputs": np.zeros((utterances, read[0].width), kind), "state": np.zeros((utterances, self.units), kind),
        }  # fmt: skip
        if self.output is not None:
            return found  # sums of integers are those of what was taken, whenever that was
        for sums, bias in (("input_sums", "bias"), ("state_sums", "recurrent_bias")):
            first = tensors.get(f"{self.name}.{bias}", np.zeros(self.columns()))
            found[sums] = np.tile(np.asarray(first, np.float32), (utterances, 1))
        return found

    def run(self, x: Signal, unit: Datapath, memory: Memory) -> NDArray[Any]:
        if self.output is not None:
            return self._integers(x, unit, memory)
        number = unit.vector.number
        weight, recurrent = (self._float(end, number, unit.tensors) for end in ("weight", "recurrent_weight"))
        assert weight is not None and recurrent is not None
        state = DeltaState(*(memory[name] for name in ("h", "inputs", "state", "input_sums", "state_sums")))
        for sums in (state.input_sums, state.state_sums):
            sums[:] = values_of(sums, self._accumulator(unit))
        out, taken = kernels.delta_gru(
            unit.real(x), weight, recurrent, self.thresholds(), x.starts, state, number,
            accumulator=self._accumulator(unit), exceptions=unit.exceptions_of(self),
        )  # fmt: skip
        unit.taken[self.name] = taken, x.starts
        return out

    def _plain_floats(self, x: Signal, tensors: Tensors, number: Number) -> NDArray[Any]:
        def r(values: NDArray[Any]) -> plain.Values:
            return plain.rounded(values, number)

        def add_changes(
            now: plain.Values, held: plain.Values, limit: float, weight: plain.Values, sums: plain.Values
        ) -> None:
            for i in range(len(now)):
                change = r(now[i] - held[i])
                if abs(change) > np.float32(limit):
                    held[i] = now[i]
                    sums += change * weight[i]

        name, n = self.name, self.units
        w, v = (r(tensors[f"{name}.{end}"]) for end in ("weight", "recurrent_weight"))
        values = plain.real(x, number)
        out = np.zeros((len(values), n), np.float32)
        with np.errstate(all="ignore"):
            for first, last in pairwise(x.starts.tolist()):
                h, held_h, held_x = np.zeros(n, np.float32), np.zeros(n, np.float32), np.zeros_like(values[0])
                m, k = (
                    np.array(tensors.get(f"{name}.{end}", np.zeros(3 * n)), np.float32)
                    for end in ("bias", "recurrent_bias")
                )
                for t in range(first, last):
                    add_changes(values[t], held_x, self.thresholds()[0], w, m)
                    add_changes(h, held_h, self.thresholds()[1], v, k)
                    parts, sums = r(m), r(k)
                    reset, update = (
                        r(np.float32(1) / plain.gate(r(parts[at : at + n] + sums[at : at + n]), number))
                        for at in (0, n)
                    )
                    new = r(plain.tanh(r(parts[2 * n :] + r(reset * sums[2 * n :]))))
                    h = out[t] = r(r(update * h) + r(r(np.float32(1) - update) * new))
        return out


OPS.register("lstm", LstmOp)
OPS.register("gru", GruOp)
OPS.register("delta_gru", DeltaGruOp)
