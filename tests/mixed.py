"""A chip that has an engine of every kind, and random networks whose ops are placed on them at random."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from accelsim.architecture import Architecture, load_architecture
from accelsim.workload import Workload, load_workload

TILE = {"tiles": 40}
COMPONENTS = {
    "features": {"kind": "register_file", "stores": "features", "entries": 64, "width_bits": 8, "writes_per_cycle": 4},
    # Clusters: a digital engine and tiles that share vector units and memory.
    "queue": {"kind": "task_queue", "entries": 40},
    "activations": {"kind": "sram", "stores": "activations", "banks": 8, "rows": 512, "width_bits": 64},
    "vector": {"kind": "vector_unit", "units": 2, "lanes": 4, "special_lanes": 2, "number": "float32"},
    "attention": {"kind": "attention_engine", "units": 2, "macs": 8, "exponentials": 1, "frames": 16,
                  "number": "float32"},
    "array": {"kind": "mac_array", "rows": 4, "columns": 4, "input_bits": 8, "weight_bits": 8, "accumulator_bits": 32},
    "weights": {"kind": "sram", "stores": "weights", "banks": 2, "rows": 512, "width_bits": 64},
    "bus": {"kind": "bus", "units": 2, "width_bits": 32, "length": "1 mm"},
    "tile_inputs": {"kind": "register_file", "stores": "tile_inputs", "entries": 64, "width_bits": 8,
                    "writes_per_cycle": 8, **TILE},
    "dac": {"kind": "dac", "units": 64, "bits": 8, **TILE},
    "crossbar": {"kind": "crossbar", "planes": 7, "rows": 64, "columns": 64, "device": "ideal", "noise": "none",
                 "read_voltage": "0.6 V", "read_time": "10 ns", "write_time": "10 ns", "cells_written_at_once": 64,
                 **TILE},
    "hold": {"kind": "sample_hold", "units": 448, **TILE},
    "adc": {"kind": "adc", "units": 56, "shared_by": 8, "precision_bits": 4, "range_bits": 4, "ideal": True,
            "rate": "100 MHz", **TILE},
    "shift_add": {"kind": "shift_add", "units": 14, "width_bits": 16, **TILE},
    "sums": {"kind": "accumulator", "units": 4, "width_bits": 24, **TILE},
    # Tiles that work on their own.
    "lone_inputs": {"kind": "register_file", "stores": "tile_inputs", "entries": 64, "width_bits": 8, **TILE},
    "lone_dac": {"kind": "dac", "units": 64, "bits": 8, **TILE},
    "lone_crossbar": {"kind": "crossbar", "planes": 7, "rows": 64, "columns": 64, "device": "ideal", "noise": "none",
                      "read_voltage": "0.6 V", "read_time": "10 ns", "write_time": "10 ns",
                      "cells_written_at_once": 64, **TILE},
    "lone_hold": {"kind": "sample_hold", "units": 448, **TILE},
    "lone_adc": {"kind": "adc", "units": 28, "shared_by": 16, "precision_bits": 4, "range_bits": 4, "ideal": True,
                 "rate": "100 MHz", **TILE},
    "lone_shift_add": {"kind": "shift_add", "units": 28, "width_bits": 16, **TILE},
    "lone_outputs": {"kind": "register_file", "stores": "tile_outputs", "entries": 64, "width_bits": 16, **TILE},
    "lone_bus": {"kind": "bus", "width_bits": 64, "length": "1 mm"},
    "lone_sums": {"kind": "accumulator", "units": 4, "width_bits": 24},
    # Spike-driven PEs.
    "select": {"kind": "zero_skip", "units": 2, "width": 64},
    "input_weights": {"kind": "sram", "stores": "input_weights", "rows": 512, "width_bits": 64},
    "recurrent_weights": {"kind": "sram", "stores": "recurrent_weights", "rows": 512, "width_bits": 64, "banks": 2},
    "readout_weights": {"kind": "sram", "stores": "readout_weights", "rows": 512, "width_bits": 64, "banks": 2},
    "weight_bus": {"kind": "bus", "width_bits": 64, "length": "0.2 mm", "lanes": 2},
    "pe": {"kind": "pe_array", "sets": 2, "pes": 8, "weight_bits": 8, "accumulator_bits": 30},
    "lif": {"kind": "lif", "units": 4, "membrane_bits": 31},
    "membranes": {"kind": "register_file", "stores": "membranes", "entries": 256, "width_bits": 31,
                  "writes_per_cycle": 4},
    "spike_registers": {"kind": "register_file", "stores": "spikes", "entries": 256, "width_bits": 1,
                        "writes_per_cycle": 8},
    "currents": {"kind": "register_file", "stores": "currents", "entries": 64, "width_bits": 32},
    "readout": {"kind": "accumulator", "units": 4, "width_bits": 31},
    "control": {"kind": "controller"},
    # State crossbars.
    "state_registers": {"kind": "register_file", "stores": "states", "entries": 64, "width_bits": 8,
                        "writes_per_cycle": 8, **TILE},
    "state_dac": {"kind": "dac", "units": 64, "bits": 8, **TILE},
    "state_crossbar": {"kind": "crossbar", "planes": 1, "rows": 64, "columns": 64, "sign": "neighbours",
                       "device": "ideal", "noise": "none", "read_voltage": "0.2 V", "read_time": "10 ns",
                       "write_time": "10 ns", "cells_written_at_once": 1, **TILE},
    "state_hold": {"kind": "sample_hold", "units": 32, **TILE},
    "state_adc": {"kind": "adc", "units": 8, "shared_by": 4, "precision_bits": 0, "range_bits": 8, "rate": "10 MHz",
                  **TILE},
    "state_outputs": {"kind": "register_file", "stores": "outputs", "entries": 16, "width_bits": 8, **TILE},
    # An array that does one op after the other.
    "lone_array": {"kind": "mac_array", "rows": 2, "columns": 3, "input_bits": 8, "weight_bits": 8,
                   "accumulator_bits": 32},
    "lone_weights": {"kind": "register_file", "stores": "weights", "entries": 4096, "width_bits": 8},
    "lone_states": {"kind": "register_file", "stores": "states", "entries": 256, "width_bits": 8,
                    "writes_per_cycle": 16},
}  # fmt: skip

ENGINES = {
    "digital": {"kind": "digital", "parts": {"array": "array", "weights": "weights", "states": [], "readout": []}},
    "clusters": {"kind": "crossbar_tiles", "parts": {
        "crossbar": "crossbar", "driver": "dac", "sample_hold": "hold", "converter": "adc", "shift_add": "shift_add",
        "accumulator": "sums", "network": "bus", "tile_inputs": "tile_inputs", "tile_outputs": []}},
    "lone": {"kind": "crossbar_tiles", "parts": {
        "crossbar": "lone_crossbar", "driver": "lone_dac", "sample_hold": "lone_hold", "converter": "lone_adc",
        "shift_add": "lone_shift_add", "accumulator": "lone_sums", "network": "lone_bus",
        "tile_inputs": "lone_inputs", "vector": [], "activations": []}},
    "pes": {"kind": "spike_pes", "parts": {"bus": "weight_bus", "readout": "readout"}},
    "kernels": {"kind": "state_crossbar", "parts": {
        "driver": "state_dac", "sample_hold": "state_hold", "converter": "state_adc", "states": "state_registers",
        "readout": []}},
    "array": {"kind": "digital", "parts": {
        "array": "lone_array", "weights": "lone_weights", "states": "lone_states", "vector": [], "attention": [],
        "queue": [], "activations": [], "readout": []}},
}  # fmt: skip

EXITS = ("features", "queue", "sums", "lone_sums", "spike_registers", "readout", "state_outputs", "lone_array")
ENTRIES = ("queue", "tile_inputs", "lone_inputs", "select", "currents", "state_registers", "lone_array")
INSIDE = (
    ("tile_inputs", "crossbar"), ("crossbar", "adc"), ("adc", "sums"), ("lone_inputs", "lone_crossbar"),
    ("lone_crossbar", "lone_adc"), ("lone_adc", "lone_outputs"), ("lone_outputs", "lone_sums"), ("pe", "lif"),
    ("pe", "readout"), ("currents", "lif"), ("state_registers", "state_crossbar"), ("state_crossbar", "state_adc"),
    ("state_adc", "state_registers"), ("state_adc", "state_outputs"),
)  # fmt: skip
TOGETHER = (
    ("weights", "array"), ("queue", "array"), ("queue", "vector"), ("queue", "attention"), ("queue", "activations"),
    ("crossbar", "dac"), ("crossbar", "hold"), ("adc", "shift_add"), ("bus", "tile_inputs"), ("bus", "sums"),
    ("lone_crossbar", "lone_dac"), ("lone_crossbar", "lone_hold"), ("lone_adc", "lone_shift_add"),
    ("lone_bus", "lone_inputs"), ("select", "input_weights"), ("select", "recurrent_weights"),
    ("select", "readout_weights"), ("weight_bus", "pe"), ("control", "pe"), ("membranes", "lif"),
    ("state_dac", "state_crossbar"), ("state_crossbar", "state_hold"), ("lone_weights", "lone_array"),
    ("lone_states", "lone_array"),
)  # fmt: skip


def write_chip(folder: Path, *, capacity: int = 1, latency: int = 1, over: bool = False) -> Path:
    """Write the chip and return its path; ``over``: what comes to array and kernels goes over buses of their own."""
    components = dict(COMPONENTS)
    channels = [
        {"from": a, "to": b, "capacity": capacity, "latency": latency} for a in EXITS for b in ENTRIES if a != b
    ]  # fmt: skip
    channels += [{"from": "queue", "to": "queue", "capacity": capacity, "latency": latency}]
    channels += [{"from": a, "to": b, "latency": latency} for a, b in INSIDE]
    if over:
        components["main_bus"] = {"kind": "bus", "width_bits": 16, "length": "1 mm"}
        for channel in channels:
            if channel["to"] in ("lone_array", "state_registers") and channel["from"] in EXITS:
                channel["over"] = "main_bus"
    data = {
        "schema": "accelsim/arch@1",
        "name": "mixed",
        "workload": "none",
        "clocks": {"main": {"frequency": "100 MHz"}},
        "technology": {"cost": "cmos28_dac", "voltage": "0.9 V", "temperature": "300 K"},
        "pacing": {"mode": "back_to_back"},
        "components": components,
        "engines": ENGINES,
        "channels": [*channels, *({"from": a, "to": b, "lockstep": True} for a, b in TOGETHER)],
    }
    path = folder / "mixed.yaml"
    path.write_text(json.dumps(data))
    return path


@dataclass
class Made:
    """An op that a random network has: its keys, and the engines that can run it."""

    keys: dict
    engines: tuple[str, ...]
    kind: str
    width: int


def random_network(folder: Path, seed: int, ops: int) -> tuple[Workload, dict[str, str]]:
    """Write a chain of random ops with a few second readers, and return it with a random engine for every op.

    Every op reads the one before it, so that all are read; what kinds of edges it can read decides what may follow.
    """
    random = np.random.default_rng(seed)
    features = int(random.integers(3, 9))
    made = [Made({"name": "features"}, (), "features", features)]
    for place in range(ops):
        made.append(_op(random, made, f"op{place}", last=place == ops - 1))
    (folder / "workload.yaml").write_text(
        json.dumps({
            "schema": "accelsim/workload@1", "name": "random", "weights": "weights.safetensors",
            "time_steps": int(random.integers(1, 3)), "feature_offset": 120, "feature_scale": 0.03,
            "inputs": {"source": "speech", "dataset": "librivox_sample", "split": "test",
                       "features": {"bands": features}},
            "graph": [one.keys for one in made[1:]],
        })
    )  # fmt: skip
    save_file(_tensors(random, made), folder / "weights.safetensors")
    return load_workload(folder), _placement(random, made)


def _placement(random: np.random.Generator, made: list[Made]) -> dict[str, str]:
    """Return a random engine for every op.

    An array alone and tiles alone do a frame's ops in turn. So none of their ops may need later frames of another one.
    """
    found: dict[str, str] = {}
    depends: dict[str, dict[str, bool]] = {"features": {}}  # by engine: whether later frames of its ops are needed
    for one in made[1:]:
        keys, name = one.keys, one.keys["name"]
        ahead = keys["op"] in ("conv", "attention") or (
            keys["op"] == "depthwise" and keys["taps"] > 1 and not keys["causal"]
        )
        depends[name] = {}
        for read in (keys["input"], keys.get("residual", "features")):
            for engine, later in depends[read].items():
                depends[name][engine] = depends[name].get(engine, False) or later or ahead
        fit = [engine for engine in one.engines if not depends[name].get(engine, False)]
        if not fit:  # the last op, of kernels for an array alone: nothing else goes there
            fit = list(one.engines)
            others = [other for other in made[1:] if found.get(other.keys["name"]) == fit[0]]
            found |= {other.keys["name"]: other.engines[0] for other in others}
        found[name] = str(random.choice(fit))
        if found[name] in ("lone", "array"):
            depends[name][found[name]] = False
    return found


def _op(random: np.random.Generator, made: list[Made], name: str, last: bool) -> Made:
    """Return an op that reads the last one made."""
    before = made[-1]
    source, width = before.keys["name"], before.width
    out = int(random.integers(2, 9))
    codes = {"input_scale": float(random.choice([0.5, 0.03, 1.0])), "input_offset": int(random.integers(-3, 4))}
    choices = []
    if before.kind in ("real", "features", "codes"):
        choices += ["layer_norm", "relu", "silu", "linear", "depthwise", "sums", "s4d", "lif_currents"]
        choices += ["glu"] if width % 2 == 0 else []
        choices += ["conv"] if width > 1 else []
        choices += ["attention"] if width % 3 == 0 and before.kind == "real" else []
        others = [one for one in made[1:-1] if one.kind in ("real", "codes") and one.width == width]
        choices += ["add", "add"] if others else []
    if before.kind in ("features", "spikes"):
        choices += ["lif", "lif"]
    if before.kind == "spikes":
        choices += ["spike_sum"]
    op = str(random.choice(choices))
    weights = int(random.choice([2, 4, 8]))
    keys: dict = {"name": name, "input": source}
    if op == "lif_currents":
        keys |= {"op": "lif", "neurons": width, "feedforward": False, "weight_bits": weights}
        if before.kind != "codes" or before.keys["op"] == "s4d":  # currents are sums: put a matrix in front
            op = "sums"
    if op in ("lif", "lif_currents"):
        neurons = width if op == "lif_currents" else out
        keys |= {
            "op": "lif", "neurons": neurons, "weight_bits": weights, "recurrent": bool(random.integers(0, 2)),
            "beta": float(random.choice([0.5, 0.875])), "threshold": int(random.integers(1, 200)),
            "reset": str(random.choice(["zero", "subtract"])), "recurrent_shift": int(random.integers(-1, 2)),
            "input_shift": int(random.integers(-2, 1)),
        }  # fmt: skip
        return Made(keys, ("pes",), "spikes", neurons)
    if op == "spike_sum":
        return Made({**keys, "op": op, "neurons": out, "weight_bits": weights}, ("pes",), "codes", out)
    if op == "s4d":
        kernels = out if width == 1 else width
        keys |= {
            "op": op,
            "kernels": kernels,
            "states": int(random.integers(1, 4)),
            "weight_bits": 2,
            "scale": 0.65,
            "output_gain": 0.5,
            "output_scale": 0.02,
            "input_scale": 0.5 if before.kind == "features" else 8.0,
        }
        keys["input_offset"] = 60 if before.kind == "features" else 0
        alone = not last or kernels <= 64 // (4 * keys["states"] + 2)  # several crossbars do not end a frame together
        return Made(keys, ("kernels", "array") if alone else ("array",), "codes", kernels)
    if op == "sums":
        keys = {"name": name, "input": source, "op": "linear", "gives": "codes", "outputs": out, "weight_bits": weights}
        return Made(keys | codes, ("digital", "clusters", "lone", "array"), "codes", out)
    if op == "linear":
        return Made({**keys, "op": op, "outputs": out, "weight_bits": weights}, ("digital", "clusters"), "real", out)
    if op == "conv":
        keys |= {"op": op, "channels": 2, "kernel": [3, 1], "bands": width, "weight_bits": weights}
        return Made(keys, ("digital", "clusters"), "real", 2 * width)
    if op == "depthwise":
        keys |= {
            "op": op,
            "taps": int(random.integers(1, 5)),
            "causal": bool(random.integers(0, 2)),
            "weight_bits": weights,
        }
        return Made(keys, ("digital", "clusters"), "real", width)
    if op == "attention":
        return Made({**keys, "op": op, "heads": 1}, ("digital",), "real", width // 3)
    if op == "add":
        others = [one for one in made[1:-1] if one.kind in ("real", "codes") and one.width == width]
        residual = others[int(random.integers(len(others)))].keys["name"]
        return Made({**keys, "op": op, "residual": residual, "factor": 0.5}, ("digital",), "real", width)
    return Made({**keys, "op": op}, ("digital",), "real", width // 2 if op == "glu" else width)


def _tensors(random: np.random.Generator, made: list[Made]) -> dict[str, np.ndarray]:
    """Return random tensors for every op, of the widths that it reads."""
    found: dict[str, np.ndarray] = {}
    widths = {one.keys["name"]: one.width for one in made}
    for one in made[1:]:
        keys, name = one.keys, one.keys["name"]
        width, largest = widths[keys["input"]], 2 ** (keys.get("weight_bits", 2) - 1) - 1

        def weights(*shape: int, largest: int = largest) -> np.ndarray:
            return random.integers(-largest, largest + 1, shape).astype(np.int8)

        if keys["op"] in ("linear", "conv", "depthwise"):
            shape = {"linear": (width, one.width), "conv": (3, 1, 1, 2), "depthwise": (keys.get("taps", 1), width)}
            found[f"{name}.weight"] = weights(*shape[keys["op"]])
            if keys.get("gives") != "codes":
                found[f"{name}.weight_scale"] = np.array(0.1 / largest, np.float32)
                found[f"{name}.input_scale"] = np.array(0.05, np.float32)
                found[f"{name}.bias"] = random.normal(0, 0.2, shape[keys["op"]][-1]).astype(np.float32)
                if random.integers(0, 2):
                    found[f"{name}.output_scale"] = np.array(0.04, np.float32)
        elif keys["op"] == "layer_norm":
            found[f"{name}.gain"] = random.normal(1, 0.2, width).astype(np.float32)
            found[f"{name}.bias"] = random.normal(0, 0.2, width).astype(np.float32)
        elif keys["op"] == "s4d":
            for part in "abc":
                found[f"{name}.{part}"] = weights(keys["kernels"], keys["states"], 2, largest=1)
        elif keys["op"] == "lif":
            if keys.get("feedforward", True):
                found[f"{name}.weight"] = weights(width, one.width)
            if keys["recurrent"]:
                found[f"{name}.recurrent_weight"] = weights(one.width, one.width)
        elif keys["op"] == "spike_sum":
            found[f"{name}.weight"] = weights(width, one.width)
    return found


def mixed_chip(folder: Path, placement: dict[str, str], **how: object) -> Architecture:
    """Return the chip with a placement of ops."""
    placed = json.dumps({name: {"engine": engine} for name, engine in placement.items()})
    return load_architecture(write_chip(folder, **how), {"placement": placed})  # type: ignore[arg-type]
