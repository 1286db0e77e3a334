"""IR nodes of the operator `Onnx`, which compute what an ONNX node does on values as they are."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Tensor

__all__ = ["add_onnx_node", "kept_outputs"]


def add_onnx_node(
    build: Builder,
    node: ir.Node,
    label: str,
    tensors: tuple[Sequence[Tensor], Sequence[Tensor]],
    types: Sequence[int],
    opset: int,
) -> None:
    """Append `node` as it is.

    Args:
        build: What collects the nodes.
        node: The ONNX node.
        label: Its name in the graph.
        tensors: Its operands without the absent ones, and its results, one for each of `kept_outputs`.
        types: The ONNX element types of both.
        opset: The version of ONNX's operators.
    """
    kept = set(kept_outputs(node, opset))
    proto = ir.to_proto(node)
    for position, value in enumerate(node.outputs):
        if value not in kept:
            proto.output[position] = ""
    attrs = {
        "node": proto.SerializeToString(deterministic=True),
        "type": node.op_type,
        "opset": opset,
        "types": tuple(types),
    }
    build.add("Onnx", label, *tensors, attrs)


def kept_outputs(node: ir.Node, opset: int) -> Sequence[ir.Value]:
    """The outputs that something reads, and those that the operator cannot leave out."""
    import onnx

    schema = onnx.defs.get_schema(node.op_type, opset)
    optional = onnx.defs.OpSchema.FormalParameterOption.Optional

    def optional_at(position: int) -> bool:
        return position < len(schema.outputs) and schema.outputs[position].option == optional

    return [
        value
        for position, value in enumerate(node.outputs)
        if value.name and (value.uses() or value.is_graph_output() or not optional_at(position))
    ]
