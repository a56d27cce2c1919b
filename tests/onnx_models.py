"""ONNX files made by tests, what onnxruntime computes of them without rewriting, and what the imported network does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from accelsim.importers.importer import import_model, write
from accelsim.ops.op import FEATURES, Datapath, DatapathOp, Signal, evaluate
from accelsim.workload import Workload

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

FLOAT, UINT8, INT8 = 1, 2, 3


def node(op: str, reads: str, gives: str, name: str = "", **attributes: Any) -> Any:
    """Return a node; names of what it reads and gives stand side by side, '-' for one that is left out."""
    inputs = ["" if one == "-" else one for one in reads.split()]
    domain = attributes.pop("domain", "")
    return onnx.helper.make_node(op, inputs, gives.split(), name=name or gives.split()[0], domain=domain, **attributes)


def model(
    nodes: Sequence[Any],
    constants: Mapping[str, NDArray[Any]],
    shape: Sequence[Any],
    *,
    outputs: Sequence[str] = ("y",),
    kind: int = FLOAT,
    states: Mapping[str, Sequence[int]] | None = None,
    opset: int = 17,
) -> Any:
    """Return a model that reads 'x' of this shape, and states."""
    make = onnx.helper.make_tensor_value_info
    inputs = [make("x", kind, shape), *(make(name, FLOAT, size) for name, size in (states or {}).items())]
    given = [make(name, kind if kind != FLOAT and name == "y" else FLOAT, None) for name in outputs]
    tensors = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = onnx.helper.make_graph(list(nodes), "graph", inputs, given, tensors)
    imports = [onnx.helper.make_opsetid("", opset), onnx.helper.make_opsetid("com.microsoft", 1)]
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=9)


def session(path: Path) -> Any:
    """Return a session that computes the nodes as they stand."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def imported(made: Any, folder: Path, **settings: Any) -> Workload:
    """Save a model, import it, and return the workload that was written."""
    path = folder / "model.onnx"
    onnx.save(made, path)
    return write(import_model(path, settings), folder / "net")


def real_features(workload: Workload, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what codes of the features stand for."""
    edge = workload.graph.edges[FEATURES]
    return (codes.astype(np.int32) - edge.zero_point).astype(np.float32) * np.float32(edge.scale)


def reference_values(workload: Workload, codes: NDArray[np.uint8], starts: Sequence[int]) -> dict[str, Signal]:
    """Return all values of a network by the ops' own references, in float32 and integers."""
    signals = {FEATURES: Signal(codes, np.array(starts, np.int64), workload.graph.edges[FEATURES])}
    for op in workload.graph.ops:
        read = [signals[name] for name in op.reads()]
        values = op.reference(read, workload.tensors, "float32")
        signals[op.name] = Signal(values, op.starts(read), workload.graph.edges[op.name])
    return signals


def float_values(workload: Workload, codes: NDArray[np.uint8], starts: Sequence[int]) -> dict[str, Signal]:
    """Return all values of the float network beside it."""
    assert workload.reference is not None
    signals = {FEATURES: Signal(codes, np.array(starts, np.int64), workload.graph.edges[FEATURES])}
    exact = Datapath(workload.reference, longest=int(np.diff(starts).max()))
    for op in workload.graph.ops:
        values, cut = op.float_values([signals[name] for name in op.reads()], exact, workload.spec.reference_unit)
        edge = workload.graph.edges[op.name]
        signals[op.name] = Signal(values, cut, replace(edge, kind="real") if values.dtype.kind == "f" else edge)
    return signals


def oracle(path: Path, x: NDArray[Any], time_axis: int, shape: Sequence[int]) -> NDArray[Any]:
    """Return the outputs of one recording as rows of time: x [frames, width] lies in ``shape``, time at its axis."""
    run = session(path)
    rest = [size for place, size in enumerate(shape) if place != time_axis]
    whole = np.moveaxis(x.reshape(len(x), *rest), 0, time_axis)
    return np.asarray(run.run(None, {run.get_inputs()[0].name: whole})[0])


def computed(workload: Workload, codes: NDArray[np.uint8], starts: Sequence[int]) -> dict[str, Signal]:
    """Return all values of a network by the kernels of a digital engine, in float32 and integers."""
    signals = {FEATURES: Signal(codes, np.array(starts, np.int64), workload.graph.edges[FEATURES])}
    unit = Datapath(workload.tensors, longest=int(np.diff(starts).max()))
    evaluate([op for op in workload.graph.ops if isinstance(op, DatapathOp)], signals, workload.graph.edges, unit)
    return signals
