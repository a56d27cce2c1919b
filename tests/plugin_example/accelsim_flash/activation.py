"""A small engine of one component: lanes for functions of single values, such as ReLU and hard swish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components import ComponentSpec, Effect, component_kind
from accelsim.components.kind import Counts
from accelsim.engines.engine import Engine, Grid, Macs, Run, Tell, Wires
from accelsim.inputs import Batch
from accelsim.ops.op import EXACT, Datapath, Edge, Op, Signal, VectorOp, evaluate
from accelsim.placement import ENGINES, Parts, of_class
from accelsim.schedule.job import Job, Work


class ActivationUnit(ComponentSpec):
    """``lanes`` that each add, multiply or compare float32 numbers once a cycle."""

    kind: Literal["activation_unit"]
    effects = {"lanes": Effect(cycles="less", energy="more", area="more")}
    lanes: PositiveInt

    def instances(self) -> int:
        return self.lanes


def service_cycles(spec: ActivationUnit, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = ceil(operations / lanes)."""
    return -(-counts["operation"] // spec.lanes)


component_kind("activation_unit", ActivationUnit, {"operation": "one operation of one lane"}, service_cycles)


@dataclass(frozen=True)
class Activate(Work):
    """A function of the values of a row."""

    stage: ClassVar[str] = "activate"


class Activation(Engine):
    """Runs functions of single values that need no exponential, quotient or root."""

    kind = "activation"
    runs = (VectorOp,)
    roles = {"lanes": of_class("an activation unit", ActivationUnit)}
    needs = (frozenset(roles),)
    entries = exits = ("lanes",)

    @classmethod
    def refuses(cls, op: Op, read: Sequence[Edge], given: Edge, parts: Parts) -> str | None:
        assert isinstance(op, VectorOp)
        work = op.work(read, EXACT)
        if len(read) != 1 or op.over_frames or read[0].distances or given.width != read[0].width:
            return "its lanes see one value at a time"
        return "its lanes have no exponentials, quotients or roots" if work.special or work.special_per_row else None

    def takers(self, op: Op) -> tuple[str, ...]:
        return (self.parts.name("lanes"),)

    givers = takers

    def jobs(self, ops: Sequence[Op], wires: Wires) -> list[Job]:
        name = self.parts.name("lanes")
        return [
            Job.of(op.name, op.name, [("lanes", name)], Activate(), takes=wires.taken(op.name, name),
                   gives=wires.given(op.name, name), last=op is self.graph.last)
            for op in ops
        ]  # fmt: skip

    def start(self, batch: Batch, seed: int, tell: Tell) -> ActivationRun:
        return ActivationRun(self)


class ActivationRun(Run):
    """One run of the lanes."""

    def __init__(self, engine: Activation) -> None:
        super().__init__()
        self.engine = engine

    def values(self, ops: Sequence[Op], signals: dict[str, Signal]) -> None:
        evaluate(ops, signals, self.engine.graph.edges, Datapath({}))

    def count(self, job: Job, grid: Grid) -> tuple[Mapping[str, Counts], Macs | None]:
        graph, op = self.engine.graph, self.engine.graph.by_name[job.layer]
        values = grid.rows_in(graph.edges[op.name]) * graph.edges[op.name].width
        operations = values * op.work(graph.read(op), EXACT).operations
        return {"lanes": {"operation": np.full(grid.frames, operations)}}, None


ENGINES.register("activation", Activation)
