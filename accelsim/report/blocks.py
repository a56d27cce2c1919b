"""Many layers as few: a network of a hundred layers as its dozen blocks, or as what is alike in all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from accelsim.result import AdcRecord, LayerRecord

LEGIBLE = 24
"""Of more layers than this, tables and figures show the blocks."""


def block_of(layer: str) -> str:
    """Return the block of a layer: of ``blocks.3.ff1.norm`` it is ``blocks.3``, of ``front.relu.2`` ``front``.

    A block is what stands before the first dot, with the number behind it where that is what follows.
    """
    first, *rest = layer.split(".")
    return f"{first}.{rest[0]}" if rest and rest[0].isdecimal() else first


def folded(layers: Sequence[LayerRecord]) -> list[LayerRecord]:
    """Return a record for each block in the order of the layers, whose figures are the sums over its layers.

    A sparsity is no sum: that of a block of several layers is None. A block of one layer is the layer.
    """
    blocks: dict[str, list[LayerRecord]] = {}
    for layer in layers:
        blocks.setdefault(block_of(layer.name), []).append(layer)
    return [
        together(f"{name} ({len(among)} layers)", among) if len(among) > 1 else among[0]
        for name, among in blocks.items()
    ]


def alike(layers: Sequence[LayerRecord]) -> list[LayerRecord]:
    """Return the layers with those put together that differ in a number alone, as the blocks of a network do.

    ``blocks.0.ff1`` to ``blocks.3.ff1`` become ``blocks.*.ff1 x 4``, with the sums of their figures.
    """
    groups: dict[str, list[LayerRecord]] = {}
    for layer in layers:
        groups.setdefault(re.sub(r"(?<=\.)\d+(?=\.)", "*", layer.name), []).append(layer)
    return [together(f"{name} x {len(among)}", among) if len(among) > 1 else among[0] for name, among in groups.items()]


def legible(layers: Sequence[LayerRecord]) -> list[LayerRecord]:
    """Return the layers, or where they are more than a person can take in, and fewer blocks, those."""
    blocks = folded(layers) if len(layers) > LEGIBLE else layers
    return list(blocks if len(blocks) < len(layers) else layers)


def together(name: str, layers: Sequence[LayerRecord]) -> LayerRecord:
    """Return several layers as one of a name, with the sums of their figures; sparsities are none."""
    moved: dict[str, float] = {}
    faults: dict[str, int] = {}
    for layer in layers:
        for path, amount in layer.moved_bytes.items():
            moved[path] = moved.get(path, 0.0) + amount
        for kind, count in layer.faults.items():
            faults[kind] = faults.get(kind, 0) + count
    adcs = [layer.adc for layer in layers if layer.adc is not None]
    adc = (
        AdcRecord(conversions=sum(a.conversions for a in adcs), clipped=sum(a.clipped for a in adcs)) if adcs else None
    )
    return LayerRecord(
        name=name,
        cycles=sum(layer.cycles for layer in layers),
        macs_dense=sum(layer.macs_dense for layer in layers),
        macs_performed=sum(layer.macs_performed for layer in layers),
        sparsity=None,
        saturations=sum(layer.saturations for layer in layers),
        adc=adc,
        energy_j=sum(layer.energy_j for layer in layers),
        pace_s=sum(layer.pace_s for layer in layers),
        moved_bytes=moved,
        faults=faults,
    )
