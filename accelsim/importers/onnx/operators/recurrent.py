"""LSTM and GRU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.importers.onnx.fold import Const, Refused, attribute
from accelsim.importers.onnx.lowering import FLOAT16_LARGEST, Anything, Lowering, Read, onnx_op
from accelsim.importers.onnx.proto import Node
from accelsim.importers.onnx.values import Last, State, StateOut, Unknown, Value, axes_of, width


def _state(node: Node, place: int) -> bool | None:
    """Return whether a recurrence reads a state at this place: initial_h, initial_c."""
    return True if place >= 5 else None


@onnx_op("LSTM", "GRU", inputs=3, state=_state)
def recurrent(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """LSTM and GRU over time, or from call to call where a state goes in and out."""
    x = read[0]
    lstm = node.op == "LSTM"
    gates = 4 if lstm else 3
    if not isinstance(x, Value) or len(x.dims) != 3:
        raise Refused("it reads no value of three dimensions")
    x = x.readable()
    if attribute(node, "direction", "forward", str) != "forward":
        raise Refused("it goes backwards in time, or in both directions")
    for key in ("clip", "activations", "activation_alpha", "activation_beta"):
        if key in node.attributes:
            names = node.attributes[key]
            usual = [b"Sigmoid", b"Tanh", b"Tanh"] if lstm else [b"Sigmoid", b"Tanh"]
            if key == "activations" and names == usual:
                continue
            raise Refused(f"attribute '{key}': the usual activations, not clipped, are taken")
    if attribute(node, "input_forget", 0):
        raise Refused("input_forget couples its gates")
    layout = attribute(node, "layout", 0)
    sequence, batch = (1, 0) if layout else (0, 1)
    w, r = lowering.constant(node, 1, "W"), lowering.constant(node, 2, "R")
    if w.ndim != 3 or r.ndim != 3 or w.shape[0] != 1 or r.shape[0] != 1 or w.dtype.kind != "f" or (
            r.dtype.kind != "f"):  # fmt: skip
        raise Refused(f"weights of shapes {list(w.shape)} and {list(r.shape)}")
    units = r.shape[2]
    inputs = width(x.dims[2]) if not x.timed(2) else 0
    if w.shape[1:] != (gates * units, inputs) or r.shape[1] != gates * units or not units:
        raise Refused(f"weights of {list(w.shape)} and {list(r.shape)} for {inputs} inputs")
    if attribute(node, "hidden_size", units) != units:
        raise Refused("hidden_size is not that of its weights")
    if len(node.inputs) > 4 and node.inputs[4]:
        raise Refused("sequence_lens: utterances of a batch; one is read")
    if lstm and len(node.inputs) > 7 and node.inputs[7]:
        raise Refused("peephole weights")
    if (x.dims[batch] and not x.timed(batch)) or (x.dims[sequence] and not x.timed(sequence)):
        raise Refused("a batch of more than one, or steps that are no time")
    states = [lowering.optional(node, 5), lowering.optional(node, 6) if lstm else None]
    steps = x.timed(sequence)
    _check_states(states, steps)
    if list(x.order) != list(x.dims[2]):
        x = lowering.arranged(node, x, list(x.dims[2]))
    tensors, reference = _tensors(lowering, node, w[0], r[0], units, lstm)
    keys: dict[str, Any] = {"units": units, "weight_bits": 16}
    if not lstm:
        keys["reset_after"] = bool(attribute(node, "linear_before_reset", 0))
    new = axes_of(units)
    seq_dim, batch_dim = x.dims[sequence], x.dims[batch]
    dims = [batch_dim, seq_dim, (), new] if layout else [seq_dim, (), batch_dim, new]
    made = lowering.emit(
        node, "lstm" if lstm else "gru", {"input": x}, keys, tuple(dims), new, tensors=tensors, reference=reference
    )
    given: list[Anything] = [made]
    for place, state in enumerate(states[: 2 if lstm else 1]):
        name = node.outputs[place + 1] if place + 1 < len(node.outputs) else ""
        if isinstance(state, State):
            if not name or not lowering.is_result(name):
                raise Refused(f"state '{state.name}' is read, and no output of the graph gives the next one")
            lowering.states.append(state.name)
            lowering.remarks.append(f"state '{state.name}' goes on from row to row")
            given.append(StateOut(state.name))
        elif place == 0 and not steps and name:
            given.append(replace(made, dims=((), batch_dim, new)))
        else:
            given.append(Unknown() if not lowering.consumers.get(name) and name not in lowering.results else Last())
    return given


def _check_states(states: Read, steps: bool) -> None:
    """Raise `Refused` unless a recurrence starts at 0, and goes on from row to row."""
    for state in states:
        if isinstance(state, Const) and np.any(state.array):
            raise Refused("a first state other than 0")
        if state is not None and not isinstance(state, Const | State):
            raise Refused("a first state that depends on the input")
    if not steps and not any(isinstance(state, State) for state in states):
        raise Refused("every call starts anew, since no input of the graph carries its state: choose the time axis")


def _tensors(
    lowering: Lowering, node: Node, w: NDArray[Any], r: NDArray[Any], units: int, lstm: bool
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return the matrices with the gates in our order: i, o, f, c -> i, f, c, o; z, r, h -> r, z, n."""
    gates = [0, 2, 3, 1] if lstm else [1, 0, 2]
    bias = np.zeros((2, len(gates) * units), np.float32)
    if len(node.inputs) > 3 and node.inputs[3]:
        found = lowering.constant(node, 3, "B")
        if found.size != bias.size or found.dtype.kind != "f":
            raise Refused(f"a bias of shape {list(found.shape)}")
        bias = np.asarray(found, np.float32).reshape(2, -1)

    def turned(array: NDArray[Any]) -> NDArray[np.float32]:
        parts = np.asarray(array, np.float32).reshape(len(gates), units, -1)[gates]
        return parts.reshape(len(gates) * units, -1)

    plain: dict[str, NDArray[Any]] = {
        "weight": np.ascontiguousarray(turned(w).T), "recurrent_weight": np.ascontiguousarray(turned(r).T),
    }  # fmt: skip
    if lstm:
        plain["bias"] = turned(bias.sum(axis=0, dtype=np.float32)).reshape(-1)
    else:
        plain["bias"], plain["recurrent_bias"] = turned(bias[0]).reshape(-1), turned(bias[1]).reshape(-1)
    if any(not np.isfinite(one).all() or np.abs(one).max(initial=0) > FLOAT16_LARGEST for one in plain.values()):
        raise Refused("its weights do not lie in the range of float16")
    tensors = {
        end: one.astype(np.float16) if end.endswith("weight") else one for end, one in plain.items()
    }  # fmt: skip
    lowering.approximate("weights rounded to float16")
    return tensors, plain
