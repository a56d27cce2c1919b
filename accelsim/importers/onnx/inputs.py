"""The inputs of a graph: its features, and the states that go in with every call."""

from __future__ import annotations

from accelsim.importers.onnx.codes import INTEGERS, Codes
from accelsim.importers.onnx.fold import Refused
from accelsim.importers.onnx.lowering import QUANTISING, STATES_PASS, Lowering, rule_of
from accelsim.importers.onnx.proto import ValueInfo
from accelsim.importers.onnx.values import Axis, State, Value, axes_of, width
from accelsim.ops.op import FEATURES, Edge


def read_inputs(lowering: Lowering) -> None:
    """Make values of the inputs; what cannot be taken is noted."""
    given = [one for one in lowering.graph.inputs if one.name not in lowering.values]
    used = [one for one in given if one.name in lowering.consumers]
    if not used:
        lowering.refusals.add("graph", "input", "the graph reads no input")
        return
    first, *others = sorted(used, key=lambda one: _looks_like_state(lowering, one))
    for info in others:
        sizes = tuple(size if isinstance(size, int) and size > 0 else None for size in info.shape or [])
        lowering.values[info.name] = State(info.name, sizes)
    try:
        features = _features(lowering, first)
    except Refused as error:
        lowering.refusals.add(first.name, "input", str(error))
        return
    lowering.timed = features.time is not None
    lowering.values[first.name] = features


def _looks_like_state(lowering: Lowering, info: ValueInfo) -> bool:
    """Return whether all that reads an input takes it as a state: of a recurrence, or in front of new rows."""
    seen, names, done = False, [info.name], set[str]()
    while names:
        name = names.pop()
        if name in done:
            continue
        done.add(name)
        for node in lowering.consumers.get(name, []):
            place = node.inputs.index(name) if name in node.inputs else 0
            rule = rule_of(node)
            state = rule.state(node, place) if rule is not None and rule.state is not None else None
            if node.op in STATES_PASS:
                names += node.outputs[:1]
            elif state is None:
                return False
            else:
                seen = seen or state
    return seen


def _features(lowering: Lowering, info: ValueInfo) -> Value:
    """Return the features: which dimension is time, which of them lie in a row, and their codes."""
    if info.shape is None:
        raise Refused("its shape is not said")
    sizes = [size if isinstance(size, int) and size > 0 else None for size in info.shape]
    axis = lowering.time_axis
    if axis is None:
        opened = [place for place, size in enumerate(sizes) if size is None]
        axis = opened[-1] if opened and (opened[-1] != 0 or len(opened) == 1) else "none"
        if len([place for place in opened if place]) > 1:
            raise Refused(f"sizes {sizes} leave more than one dimension open: say which is time, -O time_axis=..")
    if isinstance(axis, int) and not -len(sizes) <= axis < len(sizes):
        raise Refused(f"time_axis {axis} of {len(sizes)} dimensions")
    place = None if isinstance(axis, str) else axis % max(len(sizes), 1)
    dims: list[tuple[Axis, ...]] = []
    for at, size in enumerate(sizes):
        if at == place:
            dims.append((Axis(size, time=True),))
        elif size is None and at == 0:
            dims.append(())  # a batch of one
        elif size is None:
            raise Refused(f"dimension {at} is open, and time is dimension {place}: only a batch can be as well")
        else:
            dims.append(axes_of(size))
    order = tuple(one for dim in dims for one in dim if not one.time)
    wide = width(order)
    if wide > 65_536:
        raise Refused(f"{wide:,} values in a row of its own, at most 65,536 are read")
    shift, real = 0, info.type not in INTEGERS
    bits = 8 if real else INTEGERS[info.type][1]
    if info.type not in (0, 1, 10, 11, 2, 3) or bits != 8:
        raise Refused(f"type {info.type} of TensorProto.DataType; floating-point numbers and 8-bit codes are read")
    scale, zero = lowering.scale, lowering.offset
    found = _input_codes(lowering, info.name)
    if found is not None:
        scale, zero, shift = found.scale, found.zero_point + 128, found.shift
    elif not real:
        raise Refused("no node says the scale of its codes")
    edge = Edge(wide, wide, 1, "codes", bits=8, scale=scale, zero_point=zero, unsigned=True)
    lowering.edges[FEATURES] = edge
    return Value(FEATURES, edge, tuple(dims), order, shift=shift, real=real, raw=real)


def _input_codes(lowering: Lowering, name: str) -> Codes | None:
    """Return the codes of the input, from the node that quantises it, or reads its codes."""
    names, seen = [name], set[str]()
    while names:
        name = names.pop(0)
        for node in lowering.consumers.get(name, []) if name not in seen else []:
            if node.op in QUANTISING:
                try:
                    return lowering.codes_of(node)
                except Refused:
                    return None
            rule = rule_of(node)
            if rule is not None and rule.moves:
                names += node.outputs[:1]
        seen.add(name)
    return None
