"""A short way to write the ops of Conformer blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from annotated_types import Ge, Len
from pydantic import PositiveInt, model_validator

from accelsim.ops.activation import GluOp, SiluOp
from accelsim.ops.attention import AttentionOp, PositionsOp, check_chunk
from accelsim.ops.conv import DepthwiseOp
from accelsim.ops.elementwise import AddOp
from accelsim.ops.linear import LinearOp
from accelsim.ops.norm import LayerNormOp
from accelsim.ops.op import OPS, Op, ShortForm, WeightBits

Positions = Literal["none", "relative", "relative_no_linear", "learnable", "learnable_no_linear"]
Module = Literal["ff1", "ff2", "conv", "attention"]


class ConformerOp(ShortForm):
    """``blocks`` Conformer blocks, a short way to write their ops; block i is named ``<name>.<i>``.

    A block adds its modules in the ``order`` given and ends in a LayerNorm: ``ff1``, ``ff2`` x + FF(x) / 2 with
    ``feed_forward`` hidden values and SiLU; ``conv`` pointwise1, GLU, depthwise of ``kernel`` taps, LayerNorm, SiLU,
    pointwise2; ``attention`` of ``heads`` heads. ``positions`` as in arXiv 2606.13379, learnable ones up to ``reach``
    frames away. The matrices have ``weight_bits``. ``width`` must be that of the input. With a ``chunk`` the blocks
    stream: attention sees a chunk and ``left`` frames before it, see `AttentionOp`, and the convolution is causal.
    """

    op: Literal["conformer"]
    input: str
    blocks: PositiveInt
    width: PositiveInt
    heads: PositiveInt
    feed_forward: PositiveInt
    kernel: PositiveInt = 31
    positions: Positions = "none"
    reach: PositiveInt = 256
    order: Annotated[list[Module], Len(1)] = ["ff1", "conv", "attention", "ff2"]
    weight_bits: WeightBits = 8
    chunk: PositiveInt | None = None
    left: Annotated[int, Ge(0)] = 0

    @model_validator(mode="after")
    def _chunk_fits_cache(self) -> ConformerOp:
        check_chunk(self.chunk, self.left)
        return self

    @model_validator(mode="after")
    def _each_module_once(self) -> ConformerOp:
        if len(set(self.order)) != len(self.order):
            raise ValueError(f"a block has each module once, found order {', '.join(self.order)}")
        return self

    def ops(self) -> Iterator[Op]:
        """Yield the ops of all blocks, in order."""
        x = self.input
        for block in range(self.blocks):
            name = f"{self.name}.{block}"
            for module in self.order:
                inside = {"conv": self._convolution, "attention": self._attention}.get(module, self._feed_forward)
                ops = inside(f"{name}.{module}", x)
                yield from ops
                factor = 0.5 if module in ("ff1", "ff2") else 1.0
                add = AddOp(op="add", name=f"{name}.{module}.add", input=ops[-1].name, residual=x, factor=factor)
                yield add
                x = add.name
            yield LayerNormOp(op="layer_norm", name=f"{name}.norm", input=x)
            x = f"{name}.norm"

    def _linear(self, name: str, x: str, outputs: int) -> LinearOp:
        return LinearOp(op="linear", name=name, input=x, outputs=outputs, weight_bits=self.weight_bits)

    def _feed_forward(self, name: str, x: str) -> list[Op]:
        return [
            LayerNormOp(op="layer_norm", name=f"{name}.norm", input=x),
            self._linear(f"{name}.linear1", f"{name}.norm", self.feed_forward),
            SiluOp(op="silu", name=f"{name}.silu", input=f"{name}.linear1"),
            self._linear(f"{name}.linear2", f"{name}.silu", self.width),
        ]

    def _convolution(self, name: str, x: str) -> list[Op]:
        return [
            LayerNormOp(op="layer_norm", name=f"{name}.norm", input=x),
            self._linear(f"{name}.pointwise1", f"{name}.norm", 2 * self.width),
            GluOp(op="glu", name=f"{name}.glu", input=f"{name}.pointwise1"),
            DepthwiseOp(
                op="depthwise", name=f"{name}.depthwise", input=f"{name}.glu", taps=self.kernel,
                weight_bits=self.weight_bits, causal=self.chunk is not None,
            ),
            LayerNormOp(op="layer_norm", name=f"{name}.depthwise_norm", input=f"{name}.depthwise"),
            SiluOp(op="silu", name=f"{name}.silu", input=f"{name}.depthwise_norm"),
            self._linear(f"{name}.pointwise2", f"{name}.silu", self.width),
        ]  # fmt: skip

    def _attention(self, name: str, x: str) -> list[Op]:
        ops: list[Op] = [
            LayerNormOp(op="layer_norm", name=f"{name}.norm", input=x),
            self._linear(f"{name}.qkv", f"{name}.norm", 3 * self.width),
        ]
        p = None
        if self.positions != "none":
            reach = self.reach if self.positions.startswith("learnable") else None
            p = f"{name}.positions"
            ops.append(PositionsOp(op="positions", name=p, width=self.width, reach=reach))
            if not self.positions.endswith("no_linear"):
                ops.append(self._linear(f"{name}.linear_pos", p, self.width))
                p = ops[-1].name
        ops.append(
            AttentionOp(
                op="attention", name=f"{name}.heads", input=f"{name}.qkv", heads=self.heads, positions=p,
                chunk=self.chunk, left=self.left,
            )
        )  # fmt: skip
        ops.append(self._linear(f"{name}.out", f"{name}.heads", self.width))
        return ops


OPS.register("conformer", ConformerOp)
