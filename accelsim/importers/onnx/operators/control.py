"""Control flow: If whose condition is known."""

from __future__ import annotations

from accelsim.importers.onnx.fold import Const, Refused
from accelsim.importers.onnx.lowering import Anything, Lowering, Read, onnx_op
from accelsim.importers.onnx.nodes import count_readers, lower_node, spelt_out
from accelsim.importers.onnx.proto import Graph, Node


@onnx_op("If")
def branch_taken(lowering: Lowering, node: Node, read: Read) -> list[Anything]:
    """Run the branch that a constant condition chooses."""
    condition = read[0]
    if not isinstance(condition, Const) or condition.array.size != 1:
        raise Refused("its condition depends on the data; a constant one is read (-O constants.NAME=VALUE)")
    branch = node.attributes.get("then_branch" if condition.array.item() else "else_branch")
    if not isinstance(branch, Graph):
        raise Refused("it has no branch to take")
    for name, tensor in branch.initializers.items():
        lowering.values[name] = Const(tensor.array, tensor.four_bits)
    inner = spelt_out(lowering, branch.nodes)
    given = [output.name for output in branch.outputs]
    # What the branch gives is what the node gives: who reads it is known only now.
    for inside, outside in zip(given, node.outputs, strict=False):
        lowering.consumers[inside] = [*lowering.consumers.get(inside, []), *lowering.consumers.get(outside, [])]
        if outside in lowering.results:
            lowering.results.append(inside)
    count_readers(lowering, inner)
    made, remarks = [], list(lowering.remarks)
    for one in inner:
        lower_node(lowering, one)
        made += lowering.made
    lowering.made, lowering.remarks, lowering.how = made, [*remarks, "the branch that its condition takes"], "exact"
    missing = [name for name in given if name not in lowering.values]
    if missing or len(given) < len(node.outputs):
        raise Refused("its branch does not give what it should")
    return [lowering.values[name] for name in given]
