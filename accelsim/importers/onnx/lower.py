"""From an ONNX graph to the network of ops that its outputs need."""

from __future__ import annotations

import importlib
import math
import pkgutil
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.importers.importer import Note
from accelsim.importers.onnx import operators
from accelsim.importers.onnx.fold import Const, Refused
from accelsim.importers.onnx.inputs import read_inputs
from accelsim.importers.onnx.lowering import MOST_TAPS, Lowering
from accelsim.importers.onnx.nodes import count_readers, lower_node, spelt_out
from accelsim.importers.onnx.values import State, StateOut, Value
from accelsim.ops.op import FEATURES, Edge

for _module in pkgutil.iter_modules(operators.__path__):  # each enters its rules
    importlib.import_module(f"{operators.__name__}.{_module.name}")


@dataclass(frozen=True)
class Lowered:
    """A network of ops: as a workload has them, their tensors, what became of each node, the features' codes."""

    ops: list[dict[str, Any]]
    tensors: dict[str, NDArray[Any]]
    reference: dict[str, NDArray[Any]]
    notes: list[Note]
    features: Edge
    given: Edge
    states: list[str]
    quantised: bool
    clips: bool
    """Whether a recording is one call that gives one row."""


def lower(lowering: Lowering) -> Lowered | None:
    """Return the network; None where something was refused, which ``refusals`` then has."""
    graph, refusals = lowering.graph, lowering.refusals
    if not 7 <= lowering.version <= 30:
        refusals.add("graph", "ONNX", f"operator set {lowering.version} of ONNX, 7 to 30 are read")
        return None
    _constants(lowering)
    nodes = spelt_out(lowering, graph.nodes)
    count_readers(lowering, nodes)
    lowering.results = [output.name for output in graph.outputs]
    if not refusals.found:
        read_inputs(lowering)
    if refusals.found:
        return None
    for node in nodes:
        lower_node(lowering, node)
    if refusals.found:
        return None
    try:
        return _finished(lowering)
    except Refused as error:
        refusals.add(lowering.output or (lowering.results or [""])[0], "output", str(error))
        return None


def _constants(lowering: Lowering) -> None:
    """Make values of the constants of the file, and of inputs that options make constant."""
    for name, tensor in lowering.graph.initializers.items():
        lowering.values[name] = Const(tensor.array, tensor.four_bits)
    for name, value in lowering.constants.items():
        info = next((one for one in lowering.graph.inputs if one.name == name), None)
        kind = {7: np.int64, 6: np.int32}.get(info.type if info else 0, np.float32)
        shape = [size if isinstance(size, int) and size > 0 else 1 for size in (info.shape or [])] if info else []
        if math.prod(shape) > MOST_TAPS:
            lowering.refusals.add(name, "input", f"a constant of shape {shape}")
            continue
        lowering.values[name] = Const(np.full(shape, value, kind))


def _finished(lowering: Lowering) -> Lowered:
    """Return the network that the outputs need, and nothing else."""
    given = [(name, lowering.values.get(name)) for name in lowering.results]
    states = {name: value for name, value in given if isinstance(value, StateOut)}
    rest = [output.name for output in lowering.graph.outputs if output.name not in states]
    if lowering.output is not None and lowering.output not in rest:
        raise Refused(f"no output has this name; there are {', '.join(rest)}")
    if lowering.output is None and len(rest) != 1:
        raise Refused(f"{len(rest)} outputs, {', '.join(rest)}: say which one is read, -O output=NAME")
    name = lowering.output or rest[0]
    value = lowering.values.get(name)
    if not isinstance(value, Value):
        raise Refused("it does not depend on the features")
    lowering.made, lowering.remarks = [], []
    value = value.unpadded()
    # The axes of one time as the file has them, so that a row reads as a tensor of it does.
    value = lowering.arranged(None, value, [axis for dim in value.dims for axis in dim if not axis.time], name=name)
    if value.op == FEATURES:
        raise Refused("it gives the features as they are")
    unread = {one.name for one in lowering.values.values() if isinstance(one, State)} - {
        one.name for one in states.values()
    }
    if unread:
        raise Refused(f"state '{', '.join(sorted(unread))}' is read, and no output gives its next one")
    kept: set[str] = {value.op}
    for op in reversed(lowering.ops):
        if op.name in kept:
            kept.update(op.reads())
    ops = [(op, item) for op, item in zip(lowering.ops, lowering.items, strict=True) if op.name in kept]
    ops.sort(key=lambda pair: pair[0].name == value.op)
    names = {op.tensor_name(end) for op, _ in ops for end in op.shapes([lowering.edges[n] for n in op.reads()])}
    return Lowered(
        [item for _, item in ops],
        {name: tensor for name, tensor in lowering.tensors.items() if name in names},
        {name: tensor for name, tensor in lowering.reference.items() if name in names},
        [
            note if note.ours else replace(note, remark=note.remark or "nothing moves")
            for note in lowering.notes.values()
        ],
        lowering.edges[FEATURES],
        value.edge,
        lowering.states,
        lowering.quantised,
        lowering.timed and value.time is None,
    )
