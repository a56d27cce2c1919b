"""L2, DMA, DRAM, CPU and sequencer of a watch-class NPU: sizes by hand, a full cycle and one more, loops."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.components import KINDS, ComponentSpec
from accelsim.components.cpu import Cpu
from accelsim.components.dma import Dma
from accelsim.components.dram import Dram
from accelsim.components.l2 import L2
from accelsim.components.sequencer import Sequencer
from accelsim.errors import InputError
from accelsim.schema import parse, parse_yaml

work = st.integers(0, 200)


def cycles_of(spec: ComponentSpec, **counts: int) -> int:
    return int(KINDS[spec.kind].service_cycles(spec, {name: np.array([n]) for name, n in counts.items()})[0])


def l2(banks: int = 12, weight_banks: int = 8, **more: object) -> L2:
    keys = {"banks": banks, "weight_banks": weight_banks, "rows": 512, "width_bits": 128}
    return L2.model_validate({"kind": "l2", **keys, **more})


def dram(**more: object) -> Dram:
    keys = {"capacity": "1 GiB", "width_bits": 128, "row_bytes": 2048, "cycles_per_activate": 36, "refresh_share": 0.05}
    return Dram.model_validate({"kind": "dram", **keys, **more})


def cpu(**more: object) -> Cpu:
    keys = {"dispatch_cycles": 2000, "copy_bits_per_cycle": 64, "operations_per_cycle": 8}
    return Cpu.model_validate({"kind": "cpu", **keys, **more})


def test_l2_by_hand() -> None:
    """12 banks of 8 KiB: two halves of 32 KiB for weights, 32 KiB for activations."""
    memory = l2()
    assert (memory.instances(), memory.bits()) == (12, 12 * 65536)
    assert (memory.weight_bits_of_half(), memory.activation_banks(), memory.activation_bits()) == (4 * 65536, 4, 262144)
    assert memory.dimensions()["macro_bits"] == 65536
    assert memory.moved_bits({"read": 3, "write": 2}) == 640
    assert l2(cycles_per_access=2).peak_bits_per_cycle() == 768
    assert [cycles_of(l2(cycles_per_access=2), bank_accesses=n) for n in (0, 1, 7)] == [0, 2, 14]


@pytest.mark.parametrize("banks", [8, 9])
def test_weights_leave_banks_for_activations(banks: int) -> None:
    """8 banks of weights: not of 8, of 9."""
    if banks == 9:
        assert l2(banks).activation_banks() == 1
        return
    with pytest.raises(InputError, match=r"fewer weight_banks than banks \(8\), found 8"):
        parse(L2, parse_yaml("{kind: l2, banks: 8, weight_banks: 8, rows: 512, width_bits: 128}"))


def test_the_halves_are_equal() -> None:
    with pytest.raises(InputError, match="'weight_banks': must be a multiple of 2, found 7"):
        parse(L2, parse_yaml("{kind: l2, banks: 9, weight_banks: 7, rows: 512, width_bits: 128}"))


@given(work, work, st.integers(1, 40))
def test_dma(descriptors: int, words: int, setup: int) -> None:
    engine = Dma(kind="dma", width_bits=128, setup_cycles=setup)
    cycles = 0
    for _ in range(descriptors):
        for _ in range(setup):
            cycles += 1
    for _ in range(words):
        cycles += 1
    assert cycles_of(engine, descriptor=descriptors, word=words) == cycles


def test_dma_by_hand() -> None:
    two = Dma(kind="dma", engines=2, width_bits=128, setup_cycles=20)
    assert (two.instances(), two.peak_bits_per_cycle(), two.moved_bits({"descriptor": 4, "word": 3})) == (2, 256, 384)
    assert [two.words(bits) for bits in (0, 127, 128, 129)] == [0, 1, 1, 2]
    assert cycles_of(two, descriptor=1, word=8) == 28


@given(work, work, st.integers(0, 5), st.integers(0, 40), st.integers(0, 50))
def test_dram(reads: int, writes: int, rows: int, each: int, percent: int) -> None:
    """Every cycle of work earns s / (1 - s) of a cycle of refresh; the last one is taken whole."""
    memory = dram(cycles_per_activate=each, refresh_share=percent / 100)
    cycles, owed = 0, 0  # in (100 - percent)-ths of a cycle
    for _ in range(reads + writes + rows * each):
        cycles, owed = cycles + 1, owed + percent
        while owed >= 100 - percent:
            cycles, owed = cycles + 1, owed - (100 - percent)
    cycles += owed > 0
    assert cycles_of(memory, read=reads, write=writes, activate=rows) == cycles


@pytest.mark.parametrize(("words", "cycles"), [(0, 0), (1, 2), (19, 20), (20, 22), (38, 40), (39, 42)])
def test_refresh_takes_its_share_of_the_time(words: int, cycles: int) -> None:
    """A twentieth of the time: nineteen words and one cycle of refresh, the twentieth word begins another one."""
    assert cycles_of(dram(), read=words, write=0, activate=0) == cycles
    assert cycles_of(dram(), read=0, write=words, activate=0) == cycles
    assert cycles_of(dram(refresh_share=0.0), read=words, write=0, activate=0) == words


def test_dram_by_hand() -> None:
    memory = dram()
    assert (memory.capacity, memory.dimensions()["gibibytes"], memory.peak_bits_per_cycle()) == (2**33, 1, 128)
    assert [memory.activates(n) for n in (0, 1, 2047, 2048, 2049)] == [0, 1, 1, 1, 2]
    assert [memory.words(n) for n in (0, 127, 128, 129)] == [0, 1, 1, 2]
    assert memory.moved_bits({"read": 2, "write": 1, "activate": 9}) == 384
    assert memory.refresh() == Fraction(1, 19), "0.05 as it is written, not as the nearest binary number"
    assert cycles_of(dram(refresh_share=0.0), read=4, write=2, activate=3) == 6 + 108


@pytest.mark.parametrize(("n", "cycles"), [(0, 0), (1, 1), (7, 1), (8, 1), (9, 2), (16, 2), (17, 3)])
def test_lanes_of_a_cpu(n: int, cycles: int) -> None:
    assert cycles_of(cpu(), dispatch=0, copy=0, operation=n) == cycles


def test_cpu_by_hand() -> None:
    core = cpu()
    assert [core.copies(bits) for bits in (0, 63, 64, 65)] == [0, 1, 1, 2]
    assert (core.moved_bits({"copy": 3}), core.peak_bits_per_cycle(), core.multipliers()) == (192, 64, 0)
    assert cycles_of(core, dispatch=2, copy=5, operation=9) == 4000 + 5 + 2


@pytest.mark.parametrize("n", [0, 1, 2])
def test_sequencer(n: int) -> None:
    assert cycles_of(Sequencer(kind="sequencer", cycles_per_step=3), step=n) == 3 * n
