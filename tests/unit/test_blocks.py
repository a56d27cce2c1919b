"""Layers folded by block."""

from __future__ import annotations

import pytest

from accelsim.report.blocks import LEGIBLE, alike, block_of, folded, legible
from accelsim.result import AdcRecord, LayerRecord


def layer(name: str, times: int = 1) -> LayerRecord:
    return LayerRecord(
        name=name, cycles=10 * times, macs_dense=100 * times, macs_performed=90 * times, sparsity=0.5,
        saturations=times, adc=AdcRecord(conversions=8 * times, clipped=times), energy_j=2.0 * times,
        pace_s=3.0 * times, moved_bytes={"bus": 4.0 * times}, faults={"overflow": times},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("blocks.3.ff1.norm", "blocks.3"), ("front.relu.2", "front"), ("l1.recurrent", "l1"), ("phones", "phones"),
        ("encoder.12", "encoder.12"),
    ],
)  # fmt: skip
def test_the_block_of_a_layer(name, block):
    assert block_of(name) == block


def test_a_block_is_the_sum_of_its_layers_and_a_block_of_one_the_layer():
    two = [layer("blocks.0.a"), layer("blocks.0.b", 2)]
    front = layer("front")
    first, block = folded([front, *two])
    assert first is front
    assert block == layer("blocks.0 (2 layers)", 3).model_copy(update={"sparsity": None})


def test_few_layers_are_left_as_they_are_and_so_are_those_of_no_block():
    few = [layer(f"blocks.0.{i}") for i in range(LEGIBLE)]
    assert legible(few) == few
    assert [one.name for one in legible([*few, layer("blocks.0.more")])] == [f"blocks.0 ({LEGIBLE + 1} layers)"]
    of_none = [layer(f"conv_{i}") for i in range(LEGIBLE + 1)]
    assert legible(of_none) == of_none


def test_layers_that_differ_in_a_number_alone_are_alike():
    found = alike([layer("blocks.0.a"), layer("blocks.1.a", 2), layer("blocks.0.b"), layer("front.1")])
    assert [one.name for one in found] == ["blocks.*.a x 2", "blocks.0.b", "front.1"]
    assert found[0] == layer("blocks.*.a x 2", 3).model_copy(update={"sparsity": None})
