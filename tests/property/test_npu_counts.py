"""Counts of chunks on an NPU against plain loops: what each step reads, multiplies, writes, and what the CPU copies.

The network's layers, widths and weights are data; everything else is done here once more: rows of a chunk, keys seen,
tiles of the array, bits into words, which layers fall back. L2 is large enough for all tensors, nothing is split; what
moves when it is not has laws of its own in test_npu_plan.py.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from graphs import Streaming, chip, graph, streaming
from graphs import frames as made_up
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_graph import arithmetic

from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute, service_of
from accelsim.workload import Workload

NUMBER = 16
"""Bits of everything but the features, which have eight."""

ON_CPU = {"BC1S": ["layer_norm"], "BSC": ["conv", "depthwise", "layer_norm", "glu"]}


def filled(bits: int, width: int) -> int:
    """Fill words of so many bits."""
    return len(range(0, bits, width))


class PlainChunk:
    """``seen[job, part, action]`` of one chunk; ``once``: the jobs of the first chunk alone."""

    def __init__(self, workload: Workload, npu: Any, chunk: int, left: int) -> None:
        self.workload, self.chunk, self.left = workload, chunk, left
        self.part, self.compiler = npu.components(), npu.spec.compiler
        self.edges = workload.graph.edges
        self.seen: Counter = Counter()
        self.macs: Counter = Counter()
        self.half, self.once = 0, set()
        self.taken = [0, 0]  # bits of the weights that stay in each half
        self.apart: set[str] = set()  # what depends on distances alone is made before the first chunk
        ops = workload.graph.ops
        features = self.rows("features") * self.edges["features"].width * 8
        self.cpu("start", given=features)
        for op in ops:
            if op.op == "positions" or (op.reads() and all(name in self.apart for name in op.reads())):
                self.apart.add(op.name)
            elif op.op in ON_CPU[self.compiler.layout]:
                self.fallback(op)
            elif op.op == "attention":
                self.attention(op)
            elif op.op in ("linear", "conv", "depthwise"):
                self.product(op)
            else:
                operations = [what for _ in range(self.rows(op.name)) for what in self.work(op)]
                self.step(op.name)
                self.vector(op.name, operations.count("operation"), operations.count("special"))
                self.l2(op.name, "l2[2]", read=self.read(op), written=self.bits(op.name))
        self.cpu("end", taken=self.bits(ops[-1].name))

    def rows(self, name: str) -> int:
        return self.chunk * self.edges[self.workload.graph.ops[-1].name].stride // self.edges[name].stride

    def bits(self, name: str) -> int:
        return self.rows(name) * self.edges[name].width * (8 if name == "features" else NUMBER)

    def read(self, op: Any) -> int:
        return sum(self.bits(name) for name in op.reads())

    def kept(self, op: Any) -> int:
        """Bits of the rows before a chunk's that its first row looks back at."""
        if op.op not in ("conv", "depthwise"):
            return 0
        taps = op.kernel[0] if op.op == "conv" else op.taps
        rows = taps - 1 if op.causal else (taps - 1) // 2
        return rows * self.edges[op.input].width * (8 if op.input == "features" else NUMBER)

    def note(self, job: str, part: str, **counts: int) -> None:
        for action, count in counts.items():
            self.seen[job, part, action] += count

    def step(self, job: str, steps: int = 1) -> None:
        self.note(job, "sequencer", step=steps)

    def vector(self, job: str, operations: int, specials: int = 0) -> None:
        self.note(job, "vector", operation=operations, special=specials)

    def l2(self, job: str, bank: str, read: int = 0, written: int = 0) -> None:
        spec = self.part["l2"]
        words = {"read": filled(read, spec.width_bits), "write": filled(written, spec.width_bits)}
        banks = spec.banks - spec.weight_banks if bank == "l2[2]" else spec.weight_banks // 2
        self.note(job, bank, **words, bank_accesses=len(range(0, sum(words.values()), banks)))

    def dram(self, job: str, read: int = 0, written: int = 0) -> None:
        spec = self.part["lpddr"]
        for action, bits in (("read", read), ("write", written)):
            self.note(job, "lpddr", **{action: filled(bits, spec.width_bits)})
            self.note(job, "lpddr", activate=filled(filled(bits, 8), spec.row_bytes))

    def cpu(
        self, job: str, taken: int = 0, kept: int = 0, given: int = 0, weights: int = 0, operations: int = 0
    ) -> None:
        """Operands go from L2 through DRAM to the CPU, and results the same way back; weights lie in DRAM."""
        copied = filled(taken + kept, self.part["cpu"].copy_bits_per_cycle)
        copied += filled(given, self.part["cpu"].copy_bits_per_cycle)
        self.note(job, "cpu", dispatch=1, copy=copied, operation=operations)
        self.l2(job, "l2[2]", read=taken + kept, written=given)
        self.dram(job, read=given + weights, written=taken + kept)

    def load(self, job: str, bits: int) -> str:
        """Weights come into one half of their banks and the other in turns; or to stay, in the first with room."""
        bank = f"l2[{self.half}]"
        self.half = 1 - self.half
        if self.compiler.weights == "resident":
            self.once.add(f"{job}.weights")
            spec = self.part["l2"]
            halves = [
                half
                for half in (0, 1)
                if self.taken[half] + bits <= spec.weight_banks // 2 * spec.rows * spec.width_bits
            ]
            bank = f"l2[{halves[0]}]" if halves else "l2[2]"
            if halves:
                self.taken[halves[0]] += bits
        self.note(f"{job}.weights", "dma[0]", descriptor=1, word=filled(bits, self.part["dma"].width_bits))
        self.dram(f"{job}.weights", read=bits)
        self.l2(f"{job}.weights", bank, written=bits)
        return bank

    def operands(self, job: str, bank: str, read: int, weights: int, written: int) -> None:
        """Weights come out of their half, or out of the banks of tensors with all else."""
        if bank == "l2[2]":
            self.l2(job, bank, read=read + weights, written=written)
            return
        self.l2(job, "l2[2]", read=read, written=written)
        self.l2(job, bank, read=weights)

    def work(self, op: Any) -> list[str]:
        return list(arithmetic(op, self.edges[op.name].width))

    # Products

    def shape(self, op: Any) -> tuple[int, int, int]:
        """Vectors of the unrolled inputs, how long each is, and outputs of each."""
        *window, outputs = self.workload.tensors[f"{op.name}.weight"].shape
        long = 1
        for n in window:
            long *= n
        places = self.edges[op.name].bands if op.op == "conv" else 1
        return self.rows(op.name) * places, long, outputs

    def on_array(self, job: str, m: int, k: int, n: int, times: int = 1) -> tuple[int, int]:
        """Count tile by tile and return the words read as left and as right operands."""
        array = self.part["array"]
        left = right = 0
        for _ in range(times):
            for i in range(0, k, array.rows):
                for j in range(0, n, array.columns):
                    rows, columns = min(array.rows, k - i), min(array.columns, n - j)
                    blocks = len(range(0, m, array.accumulator_rows)) if k > array.rows else 1
                    self.note(job, "array", mac=m * rows * columns)
                    left += m * rows
                    right += rows * columns * blocks
        self.note(job, "array", stream=left + right)
        return left, right

    def product(self, op: Any) -> None:
        m, k, n = self.shape(op)
        bank = self.load(op.name, k * n * NUMBER)
        self.macs[op.name] += m * k * n
        biased = self.bits(op.name) // NUMBER if f"{op.name}.bias" in self.workload.tensors else 0
        self.step(op.name)
        if op.op == "depthwise" or (op.op == "conv" and op.depthwise):
            self.vector(op.name, 2 * m * k * n + biased)
            self.operands(op.name, bank, self.read(op) + self.kept(op), k * n * NUMBER, self.bits(op.name))
            return
        left, right = self.on_array(op.name, m, k, n)
        self.vector(op.name, biased)
        self.operands(op.name, bank, left * NUMBER, right * NUMBER, self.bits(op.name))

    def attention(self, op: Any) -> None:
        """Each of a chunk's queries meets the chunk's keys and those to its left, head by head."""
        heads, width = op.heads, self.edges[op.name].width
        rows, keys, size = self.chunk, self.left + self.chunk, width // op.heads
        scores = rows * keys * heads
        at = op.name
        read = self.on_array(f"{at}.scores", rows, size, keys, heads)
        self.step(f"{at}.scores", heads)
        self.vector(f"{at}.scores", 0)
        self.l2(f"{at}.scores", "l2[2]", read=sum(read) * NUMBER, written=scores * NUMBER)
        self.macs[f"{at}.scores"] += rows * keys * width
        if op.positions is not None:
            distances = len(range(-(self.chunk - 1), self.left + self.chunk))
            bank = self.load(f"{at}.places", distances * width * NUMBER)
            left, right = self.on_array(f"{at}.places", rows, size, distances, heads)
            self.step(f"{at}.places", heads)
            self.vector(f"{at}.places", 0)
            self.operands(f"{at}.places", bank, left * NUMBER, right * NUMBER, scores * NUMBER)
            self.macs[f"{at}.places"] += rows * distances * width
        operations = specials = 0
        for _ in range(scores):
            operations += len(("scale", "largest", "difference", "sum", "product with 1 / sum"))
            operations += len(("plus that of the place",)) if op.positions is not None else 0
            specials += 1  # exponential
        specials += rows * heads  # 1 / sum
        self.step(f"{at}.softmax")
        self.vector(f"{at}.softmax", operations, specials)
        given = scores * NUMBER * (1 if op.positions is None else 2)
        self.l2(f"{at}.softmax", "l2[2]", read=given, written=scores * NUMBER)
        read = self.on_array(f"{at}.context", rows, keys, size, heads)
        self.step(f"{at}.context", heads)
        self.vector(f"{at}.context", 0)
        self.l2(f"{at}.context", "l2[2]", read=sum(read) * NUMBER, written=self.bits(at))
        self.macs[f"{at}.context"] += rows * keys * width

    def fallback(self, op: Any) -> None:
        weights = operations = 0
        if op.op in ("conv", "depthwise"):
            m, k, n = self.shape(op)
            weights = k * n * NUMBER
            self.macs[op.name] += m * k * n
            biased = self.bits(op.name) // NUMBER if f"{op.name}.bias" in self.workload.tensors else 0
            operations = 2 * m * k * n + biased
        else:
            operations = sum(1 for _ in range(self.rows(op.name)) for _ in self.work(op))
        self.cpu(
            op.name, taken=self.read(op), kept=self.kept(op), given=self.bits(op.name), weights=weights,
            operations=operations,
        )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    shape=streaming(), layout=st.sampled_from(["BC1S", "BSC"]), rows=st.integers(1, 8), columns=st.integers(1, 8),
    keep=st.sampled_from([4, 256]), l2=st.sampled_from([32, 128]), dma=st.sampled_from([8, 128]),
    dram=st.sampled_from([8, 64]), row_bytes=st.sampled_from([16, 2048]), copy=st.sampled_from([8, 32]),
    frames=st.integers(1, 2), resident=st.booleans(), many=st.booleans(),
)  # fmt: skip
def test_counts_are_those_of_plain_loops(
    tmp_path_factory: pytest.TempPathFactory, shape: Streaming, layout: str, rows: int, columns: int, keep: int,
    l2: int, dma: int, dram: int, row_bytes: int, copy: int, frames: int, resident: bool, many: bool,
) -> None:  # fmt: skip
    shape = Streaming(**{**vars(shape), "weight_bits": 16})
    workload = graph(tmp_path_factory.mktemp("counts"), shape.layers(), bands=shape.bands)
    fallback = f"{{BC1S: [{', '.join(ON_CPU['BC1S'])}], BSC: [{', '.join(ON_CPU['BSC'])}]}}"
    npu = chip(
        {
            "components.array.rows": rows, "components.array.columns": columns,
            "components.array.accumulator_rows": keep, "components.l2.weight_banks": 2,
            # Much room for tensors, and for weights as well, or for hardly any.
            "components.l2.rows": 16 if many and resident else 2**20, "components.l2.banks": 2**18 if many else 6,
            "compiler.weights": "resident" if resident else "streamed",
            "components.l2.width_bits": l2, "components.dma.width_bits": dma,
            "components.lpddr.width_bits": dram, "components.lpddr.row_bytes": row_bytes,
            "components.cpu.copy_bits_per_cycle": copy, "components.vector.norm": "plain",
            "components.vector.softmax": "shifted", "compiler.layout": layout, "compiler.fallback": fallback,
            "compiler.split": False, "pacing.mode": "back_to_back",
        },
        "edge_npu",
    )  # fmt: skip
    deployment = deploy(workload, npu)
    activity = execute(deployment, made_up(workload, [frames * deployment.frame])).activity
    plain = PlainChunk(workload, npu, shape.chunk, shape.left)

    checked_elsewhere = {"load", "accumulate", "drain", "cycles"}  # of the array: test_systolic_array.py
    found: Counter = Counter()
    for (job, part), counts in activity.counts.items():
        for action, values in counts.items():
            later = values[1:]
            assert (later == (0 if job in plain.once else values[0])).all(), "every chunk costs the same"
            if part != "array" or action not in checked_elsewhere:
                found[job, part, action] = int(values[0])
    assert {key[:2] for key in found} == {key[:2] for key in plain.seen}
    assert found == plain.seen
    assert {job: macs["dense"] for job, macs in activity.macs.items()} == {
        job: frames * macs for job, macs in plain.macs.items()
    }
    service = service_of(deployment.schedule, npu, activity)
    cpu = npu.components()["cpu"]
    for job in ("start", "end"):
        copies = plain.seen[job, "cpu", "copy"]
        assert service[job, "cpu"].tolist() == [cpu.dispatch_cycles + copies] * frames
