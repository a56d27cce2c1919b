"""What the jobs of an NPU do: a small type for each kind of work, with the sizes that it is counted from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from accelsim.schedule.job import Work


@dataclass(frozen=True, kw_only=True)
class Start(Work):
    """The CPU starts a chunk and brings its features into L2, ``in_bits``; ``sent_bits``: to other engines."""

    stage: ClassVar[str] = "start"
    in_bits: int
    out_bits: int = 0
    sent_bits: int | None = None


@dataclass(frozen=True, kw_only=True)
class End(Work):
    """The CPU reads the outputs of a chunk."""

    stage: ClassVar[str] = "end"
    in_bits: int = 0
    out_bits: int


@dataclass(frozen=True, kw_only=True)
class Load(Work):
    """Weights come from LPDDR into a half of the weight banks, or into those of tensors, to be held there.

    In every chunk, or once a run.
    """

    stage: ClassVar[str] = "load"
    weight_bits: int


@dataclass(frozen=True, kw_only=True)
class Step(Work):
    """An op, or a part of one, for ``rows`` rows that it gives.

    ``in_bits``, ``out_bits``, ``state_bits``: operands, results and state, read and written in L2; ``spill_in`` and
    ``spill_out``: moved over LPDDR; ``received_bits``: of tensors that other engines gave; ``sent_bits``: to others.
    """

    rows: int
    out_bits: int
    in_bits: int
    state_bits: int
    spill_in: int
    spill_out: int
    received_bits: int | None = None
    sent_bits: int | None = None

    def row(self) -> dict[str, Any]:
        values = super().row()
        stage = values.pop("stage")
        sizes = {field.name: values.pop(field.name) for field in fields(Step) if field.name in values}
        return {**sizes, "stage": stage, **values}


@dataclass(frozen=True, kw_only=True)
class Fallback(Step):
    """The CPU does the op."""

    stage: ClassVar[str] = "fallback"
    weight_bits: int


@dataclass(frozen=True, kw_only=True)
class Vector(Step):
    """The vector unit does the op."""

    stage: ClassVar[str] = "vector"


@dataclass(frozen=True, kw_only=True)
class Matrices:
    """``times`` products [m, k] x [k, n]."""

    m: int
    k: int
    n: int
    times: int

    @property
    def macs(self) -> int:
        """The multiplications: m k n times."""
        return self.m * self.k * self.n * self.times


@dataclass(frozen=True, kw_only=True)
class Product(Matrices, Step):
    """A block of columns of an op's weights; ``first`` of its blocks; ``held``: its weights lie among the tensors."""

    stage: ClassVar[str] = "product"
    first: bool
    held: bool
    weight_bits: int


@dataclass(frozen=True, kw_only=True)
class Depthwise(Product):
    """A block of channels, each multiplied for itself, on the vector unit."""

    stage: ClassVar[str] = "depthwise"


@dataclass(frozen=True, kw_only=True)
class ProductOnVector(Product):
    """A block of columns on the vector unit, where the array does not take the op's numbers."""

    stage: ClassVar[str] = "product_on_vector"


@dataclass(frozen=True, kw_only=True)
class Recurrent(Matrices, Step):
    """A product of the last state of a recurrent layer by its weights, which stay in L2 for all steps of a chunk."""

    stage: ClassVar[str] = "recurrent"
    held: bool
    weight_bits: int


@dataclass(frozen=True, kw_only=True)
class RecurrentOnVector(Recurrent):
    """The same on the vector unit, where the array does not take the layer's numbers."""

    stage: ClassVar[str] = "recurrent_on_vector"


@dataclass(frozen=True, kw_only=True)
class Gates(Step):
    """The vector unit makes the next state of such a product, or what the next product takes."""

    stage: ClassVar[str] = "gates"
    round: int


@dataclass(frozen=True, kw_only=True)
class OfAttention(Step):
    """A part of attention, in so many ``steps`` of the sequencer."""

    steps: int = 1


@dataclass(frozen=True, kw_only=True)
class Inner(Matrices, OfAttention):
    """A product of two tensors on the array: queries by keys, or scores by values."""

    stage: ClassVar[str] = "inner"


@dataclass(frozen=True, kw_only=True)
class InnerOnVector(Inner):
    """The same on the vector unit, where the array takes integers alone."""

    stage: ClassVar[str] = "inner_on_vector"


@dataclass(frozen=True, kw_only=True)
class Places(Matrices, OfAttention):
    """Queries by the vectors of relative positions, which come as weights do."""

    stage: ClassVar[str] = "product"
    held: bool
    weight_bits: int


@dataclass(frozen=True, kw_only=True)
class PlacesOnVector(Places):
    """The same on the vector unit, where the array takes integers alone."""

    stage: ClassVar[str] = "product_on_vector"


@dataclass(frozen=True, kw_only=True)
class Softmax(OfAttention):
    """The softmax of ``scores`` scores in all; ``relative``: of those of positions added to them."""

    stage: ClassVar[str] = "softmax"
    scores: int
    relative: bool
    heads: int


@dataclass(frozen=True, kw_only=True)
class Transpose(OfAttention):
    """A DMA engine turns operands round, reading and writing ``move_bits``."""

    stage: ClassVar[str] = "transpose"
    move_bits: int
