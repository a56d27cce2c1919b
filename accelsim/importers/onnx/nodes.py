"""The nodes of a graph one after the other: each by its rule, and why one is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from accelsim.importers.onnx.fold import FOLDED, Const, Refused, fold
from accelsim.importers.onnx.lowering import SPELLINGS, STATES_PASS, Anything, Lowering, Read, rule_of
from accelsim.importers.onnx.proto import Graph, Node
from accelsim.importers.onnx.values import Last, State, Unknown, Value


def count_readers(lowering: Lowering, nodes: Sequence[Node]) -> None:
    """Note who reads what; an If reads what its branches do."""
    for node in nodes:
        for name in dict.fromkeys([*node.inputs, *_read_inside(node)]):
            lowering.consumers.setdefault(name, []).append(node)


def spelt_out(lowering: Lowering, nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes with those of `SPELLINGS` written as several others; what cannot be is noted."""
    found: list[Node] = []
    for node in nodes:
        try:
            spell = SPELLINGS.get((node.domain, node.op))
            parts = [node] if spell is None else spell(node)
        except Refused as error:
            lowering.refusals.add(node.name, node.op, str(error))
            continue
        for part in parts:
            lowering.parts[id(part)] = node
        found += parts
    return found


def lower_node(lowering: Lowering, node: Node) -> None:
    """Make ops of a node; one that is refused is noted, and what reads it is not looked at."""
    lowering.made, lowering.remarks, lowering.how = [], [], "exact"
    origin = lowering.parts[id(node)]
    read = [lowering.values.get(name) if name else None for name in node.inputs]
    try:
        if any(isinstance(value, Last) for value in read):
            raise Refused("it reads the last state of a recurrence, not its rows")
        unknown = any(isinstance(value, Unknown) for value in read)
        if id(node) in lowering.absorbed and not unknown:
            into = lowering.absorbed[id(node)]
            lowering.values[node.outputs[0]] = _passed(node, read)
            lowering.note(origin, (into,), "exact", f"in {into}")
            return
        for name, value in zip(node.inputs, read, strict=True):
            if name and value is None:
                raise Refused(f"it reads '{name}', which nothing before it gives")
        if unknown:
            given: list[Anything] = [Unknown() for _ in node.outputs]
        else:
            given = _given(lowering, node, read)
    except Refused as error:
        lowering.refusals.add(origin.name, origin.op, str(error))
        given = [Unknown() for _ in node.outputs]
    except (ValueError, ArithmeticError) as error:  # whatever NumPy says of constants that do not fit
        lowering.refusals.add(origin.name, origin.op, f"its constants do not fit: {error}")
        given = [Unknown() for _ in node.outputs]
    for name, value in zip(node.outputs, given, strict=False):
        if name:
            if name in lowering.values and not isinstance(lowering.values[name], Unknown):
                lowering.refusals.add(origin.name, origin.op, f"'{name}' is given twice")
            lowering.values[name] = value
    if not isinstance(next(iter(given), None), Unknown):
        ours = tuple(lowering.made)
        if ours or (given and not isinstance(given[0], Const)):
            lowering.note(origin, ours, lowering.how, "; ".join(dict.fromkeys(lowering.remarks)))


def _passed(node: Node, read: Read) -> Anything:
    """Return what a node gives that was folded into one before it."""
    value = next(one for one in read if isinstance(one, Value))
    return replace(value, real=False) if node.op == "QuantizeLinear" else value


def _given(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Return what a node gives: a constant of constants, or what its rule says."""
    if node.domain not in ("", "com.microsoft"):
        raise Refused(f"operators of '{node.domain}' are not known")
    rule = rule_of(node)
    if node.op != "Constant" and (node.op in FOLDED or rule is not None):
        _check_inputs(node, 1 if rule is None else rule.inputs)
    constant = all(isinstance(one, Const) or one is None for one in read)
    if constant and node.op in FOLDED:
        arrays = [one.array if isinstance(one, Const) else None for one in read]
        folded = fold(node, arrays, lowering.version)
        lowering.refusals.count(array for array in folded if array.base is None)
        return [Const(array) for array in folded]
    if rule is None:
        raise Refused("this op is not supported")
    state = next((one for one in read if isinstance(one, State)), None)
    if state is not None and node.op in STATES_PASS:
        return [state]
    if state is not None and rule.moves:
        raise Refused("it changes the shape of a state")
    return rule.function(lowering, node, read)


def _check_inputs(node: Node, least: int) -> None:
    """Raise `Refused` unless a node has the inputs and outputs that its op cannot be without."""
    if len(node.inputs) < least or not all(node.inputs[:least]):
        raise Refused(f"it has {sum(map(bool, node.inputs))} inputs, and needs {least}")
    if not node.outputs or not node.outputs[0]:
        raise Refused("it gives nothing")


def _read_inside(node: Node) -> list[str]:
    """Return what the graphs in a node's attributes read, their own values too."""
    names: list[str] = []
    for value in node.attributes.values():
        for graph in value if isinstance(value, list) else [value]:
            if isinstance(graph, Graph):
                for inner in graph.nodes:
                    names += [*inner.inputs, *_read_inside(inner)]
                names += [output.name for output in graph.outputs]
    return names
