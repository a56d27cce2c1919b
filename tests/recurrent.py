"""Recurrent networks for the tests, and a chip whose array does one op after the other beside a vector unit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from graphs import write_graph
from hypothesis import strategies as st

from accelsim.architecture import Architecture, load_architecture
from accelsim.ops.graph import Graph
from accelsim.ops.op import FEATURES, Signal
from accelsim.workload import Workload, load_workload

H = "output: {scale: 0.0078125, zero_point: -3}"
LSTM = f"op: lstm, {H}, cell: {{scale: 0.00048828125, clip: 10}}"
INTEGERS = (
    LSTM, f"{LSTM}, gates: fixed_point", f"op: gru, {H}", f"op: gru, {H}, reset_after: false",
    f"op: delta_gru, {H}, threshold: 0.2", f"op: delta_gru, {H}, threshold: 0.5, state_threshold: 0.03",
)  # fmt: skip
FLOATS = (
    "op: lstm, weight_bits: 16", "op: lstm, weight_bits: 32", "op: gru, weight_bits: 16",
    "op: gru, weight_bits: 16, reset_after: false", "op: gru, weight_bits: 32",
    "op: delta_gru, weight_bits: 16, threshold: 0.1",
)  # fmt: skip
roundings = st.sampled_from(["double_away", "double_up", "single", "half_even"])


def network(
    folder: Path, layer: str, *, units: int, inputs: int, seed: int, chunk: int = 1, pool: int = 1, rounding: str = ""
) -> Workload:
    """Return features, a recurrent layer, a dense one; ``pool``: rows of the one for one of the other."""
    integers = "output" in layer
    end = "output: {scale: 0.02}" if integers else "weight_bits: 16"
    layers = [f"{{name: r, input: features, units: {units}, {layer}}}"]
    before = "r"
    if pool > 1:
        given = ", output: {scale: 0.0078125, zero_point: -3}" if integers else ""
        layers.append(f"{{name: p, op: max_pool, input: r, size: [{pool}, 1]{given}}}")
        before = "p"
    layers.append(f"{{name: y, op: linear, input: {before}, outputs: 4, {end}}}")
    path = write_graph(folder, layers, bands=inputs, seed=seed)
    more = f"chunk: {chunk}\n" + (f"rounding: {rounding}\n" if rounding else "")
    path.write_text(path.read_text() + more)
    return load_workload(path)


def by_reference(found: Workload, features: Signal, number: str = "float32") -> dict[str, np.ndarray]:
    """Return what every op gives, by its definition."""
    signals = {FEATURES: features}
    for op in found.graph.ops:
        read = [signals[name] for name in op.reads()]
        values = op.reference(read, found.tensors, number)  # type: ignore[arg-type]
        signals[op.name] = Signal(values, op.starts(read), found.graph.edges[op.name])
    return {name: signal.values for name, signal in signals.items()}


def lone_chip(folder: Path, **keys: Any) -> Architecture:
    """Return an array of 2 x 4 multipliers with a vector unit of 4 lanes, registers for states, and no task queue."""
    register = {"kind": "register_file", "width_bits": 8}
    data = {
        "schema": "accelsim/arch@1", "name": "lone", "workload": "none", "clocks": {"main": {"frequency": "100 MHz"}},
        "technology": {"cost": "cmos28_lstp", "voltage": "0.9 V", "temperature": "300 K"},
        "pacing": {"mode": "back_to_back"},
        "components": {
            "input_buffer": {**register, "stores": "features", "entries": 64, "writes_per_cycle": 64},
            "array": {"kind": "mac_array", "rows": 2, "columns": 4, "input_bits": 8, "weight_bits": 8,
                      "accumulator_bits": 32},
            "weights": {**register, "stores": "weights", "entries": 4096},
            "states": {**register, "stores": "states", "entries": 4096, "writes_per_cycle": 4096},
            "vector": {"kind": "vector_unit", "lanes": 4, "special_lanes": 2, "number": "float32"},
        },
        "channels": [
            {"from": "input_buffer", "to": "array", "capacity": 1, "latency": 1},
            *({"from": one, "to": "array", "lockstep": True} for one in ("weights", "states", "vector")),
        ],
    }  # fmt: skip
    path = folder / "lone.yaml"
    path.write_text(json.dumps(data))
    return load_architecture(path, {key: str(value) for key, value in keys.items()})


def alone(found: Workload) -> Workload:
    """Return a network without the layers behind the recurrent one."""
    graph = Graph((found.graph.by_name["r"],), {name: found.graph.edges[name] for name in (FEATURES, "r")}, {"r": 0})
    return dataclasses.replace(found, graph=graph)
