"""What the layers of a cluster share: a vector unit, a bank of activation memory, a bus; consecutive layers share one.

All values that travel between layers lie in the activation memory; what another engine made is written there before the
first layer reads it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.components.abstract import Memory
from accelsim.components.kind import NUMBER_BITS
from accelsim.components.vector_unit import VectorUnit
from accelsim.engines.engine import Counts, Engine, Grid
from accelsim.ops.op import FEATURES, LARGEST_INTEGER_BITS, Op, WeightedOp
from accelsim.schedule.job import part_of

CODE_BITS = LARGEST_INTEGER_BITS
"""What a layer's rounded output takes in memory, and an input on its way to a matrix."""

SHARED = ("network", "vector", "activations", "attention")
"""Roles of what stands once, or in equal shares, in each cluster."""

QUANTISE, RESCALE, DEQUANTISE = 2, 2, 1
"""Operations on a value: product with 1 / scale and rounding; product and bias; product."""

REQUANTISE = 4
"""Operations that make a code of a sum: bias, product, rounding shift, zero point.

They are ones on words of 32 bits; each counts as one operation of the unit, also where its own numbers are narrower.
"""


class Cluster:
    """The clusters of an engine that has the roles ``vector`` and ``activations``, as its layers use them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.vector: VectorUnit = engine.parts.spec("vector")
        self.memory: Memory = engine.parts.spec("activations")
        self.number_bits = NUMBER_BITS[self.vector.number]
        graph = engine.graph
        self.order = {op.name: place for place, op in enumerate(op for op in graph.ops if op.reads())}
        self.mine = {op.name for op in engine.ops}

    def number(self, op: Op) -> int:
        """Return the cluster of a layer: consecutive layers share one, all clusters have as many."""
        return self.order[op.name] * self.vector.units // len(self.order)

    def parts(self, op: Op, *roles: str) -> list[tuple[str, str]]:
        """Return the parts of an op's cluster that have some roles."""
        return [(role, f"{self.engine.parts.name(role)}[{self.number(op)}]") for role in roles]

    def instances_of(self, copy: str) -> int | None:
        """Return how many instances of a shared component one cluster has; None for a component that is not shared."""
        names = {self.engine.parts.name(role) for role in SHARED if role in self.engine.parts}
        name = part_of(copy)
        return self.engine.chip.components()[name].instances() // self.vector.units if name in names else None

    # Rows and words

    def rows(self, op: Op, grid: Grid) -> NDArray[np.int64]:
        """Return the rows that an op gives in each frame, [frames]; those of distances are all made in the first."""
        graph = self.engine.graph
        if graph.distances(op.name):
            rows = np.zeros(grid.frames, np.int64)
            longest = int(np.diff(grid.starts).max()) * self.engine.rows_in(graph.last.name)
            rows[0] = 2 * min(longest, graph.reach) - 1
            return rows
        return self.engine.window(op).worked_on(grid.starts) * self.engine.rows_in(op.name)

    def rows_read(self, op: Op, read: str, grid: Grid) -> NDArray[np.int64]:
        """Return the rows of ``read`` that an op reads anew in each frame, [frames]."""
        graph = self.engine.graph
        if graph.distances(read):
            return self.rows(op, grid)
        return self.rows(op, grid) * graph.edges[op.name].stride // graph.edges[read].stride

    def bits(self, name: str) -> int:
        """Return the bits of a row in memory."""
        graph = self.engine.graph
        edge = graph.edges[name]
        if name == FEATURES:
            return edge.width * CODE_BITS
        return edge.width * graph.by_name[name].value_bits(edge, self.engine.tensors, self.number_bits)

    def words(self, bits: int) -> int:
        """Return the words of the activation memory that so many bits take."""
        return self.memory.words_of(1, bits)

    def words_read(self, op: Op, grid: Grid) -> NDArray[np.int64]:
        """Return the words that an op reads from the activation memory; features come from their own registers."""
        words = np.zeros(grid.frames, np.int64)
        for read in op.reads():
            if read != FEATURES:
                words += self.rows_read(op, read, grid) * self.words(self.bits(read))
        return words

    def words_brought(self, op: Op, grid: Grid) -> NDArray[np.int64]:
        """Return the words that other engines made for an op, which are written before it reads them."""
        words = np.zeros(grid.frames, np.int64)
        for read in op.reads():
            if read != FEATURES and read not in self.mine and not self._shares_memory(read):
                words += self.rows_read(op, read, grid) * self.words(self.bits(read))
        return words

    def given_words(self, op: Op, grid: Grid) -> NDArray[np.int64]:
        """Return the words that an op writes."""
        return self.rows(op, grid) * self.words(self.bits(op.name))

    def access(self, op: Op, read: NDArray[np.int64], written: NDArray[np.int64], grid: Grid) -> Counts:
        """Return the counts of the activation memory of a cluster."""
        return self.memory.accesses(read, written + self.words_brought(op, grid), share=self.vector.units)

    def rounding(self, op: WeightedOp) -> int:
        """Return the operations that make a row of an op's sums its output."""
        if op.gives == "codes":
            return 0
        if op.output is not None:
            return REQUANTISE * self.engine.graph.edges[op.name].width
        rounded = QUANTISE + DEQUANTISE if f"{op.name}.output_scale" in self.engine.tensors else 0
        return (RESCALE + rounded) * self.engine.graph.edges[op.name].width

    def quantising(self, op: WeightedOp) -> int:
        """Return the operations that make a code of each value that an op reads; codes are read as they are."""
        return QUANTISE if op.output is None else 0

    def check(self, *roles: str) -> None:
        """Note where parts that stand once a cluster are not as many as there are clusters."""
        add, parts, units = self.engine.problems.add, self.engine.parts, self.vector.units
        for role in roles:
            if role in parts and (found := parts.spec(role).units) != units:
                add(f"'{parts.name('vector')}' has {units} units, one per cluster, '{parts.name(role)}' has {found}")
        banks = getattr(self.memory, "banks", units)
        if banks % units:
            name = parts.name("activations")
            add(f"the {banks} banks of '{name}' cannot be shared out to {units} clusters")

    def check_memory(self, held: Any, longest: int, unlimited: int) -> None:
        """Note whether all buffers fit the activation memory; ``held``: tokens of the channels behind each layer.

        ``longest``: frames of the longest utterance that the engines can hold.
        """
        engine, graph = self.engine, self.engine.graph
        reach = min(longest, graph.reach)
        bits = 0
        for name, tokens in held.items():
            if name == FEATURES or not (name in self.mine or self._shares_memory(name)):
                continue
            per_token = self.bits(name) * engine.rows_in(name)
            bits += (2 * reach - 1 if graph.distances(name) else max(tokens, default=1)) * per_token
        tables = [op for op in graph.ops if not op.reads()]
        for table in tables:
            shape = table.shapes([]).get("table")
            bits += 0 if shape is None else shape[0] * shape[1] * CODE_BITS
        if any("table" not in table.shapes([]) for table in tables):
            width = max(graph.edges[table.name].width for table in tables)
            bits += (2 * reach - 1) * width * CODE_BITS
        if bits > self.memory.bits():
            length = "" if longest == unlimited else f" for utterances of {longest} frames"
            engine.problems.add(
                f"the buffers between layers take {bits / 8192:.0f} KiB{length}, "
                f"'{engine.parts.name('activations')}' has {self.memory.bits() / 8192:.0f}"
            )

    def _shares_memory(self, name: str) -> bool:
        """Return whether the op of an edge runs on an engine that has the same activation memory."""
        return name in self.engine.assignment.memories.get(self.engine.parts.name("activations"), ())
