"""Readable, unique node names: a layer's qualified name travels from torch to the report through them."""

from __future__ import annotations

import ast
import re

import onnx_ir as ir

from edgeprune.quantize.operators import constant_of, weight_inputs

__all__ = ["name_nodes"]

_SCOPES = "pkg.torch.onnx.name_scopes"
_NAMED = "edgeprune.name"
_PARAMETER = re.compile(r"(.+)\.weight")


def name_nodes(graph: ir.Graph) -> None:
    """Name every node that has not been named by an earlier call.

    A node with weights is called after its torch module, another after the module and the operation in it;
    names of an ONNX file that torch did not write are kept. A name taken already gets a number.
    """
    nodes = list(graph)
    taken = {node.name for node in nodes if _NAMED in node.metadata_props}
    # Layers first, so that the plain module name is theirs.
    for node in sorted(nodes, key=lambda node: not _is_layer(node)):
        if _NAMED in node.metadata_props:
            continue
        wanted = _wanted(node)
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted}_{number}"
        node.name = name
        node.metadata_props[_NAMED] = name
        taken.add(name)


def _is_layer(node: ir.Node) -> bool:
    return any(True for _ in weight_inputs(node)) or node.op_type == "LayerNormalization"


def _wanted(node: ir.Node) -> str:
    scopes = [scope for scope in ast.literal_eval(node.metadata_props.get(_SCOPES, "[]")) if scope]
    if not scopes:
        return node.name or node.outputs[0].name or node.op_type
    module = scopes[-2] if len(scopes) > 1 else ""
    if _is_layer(node):
        return _module_of_weights(node) or module or scopes[-1]
    own = f"{module}.{scopes[-1]}" if module else scopes[-1]
    results = {output.name for output in node.outputs}
    return own if scopes[-1] in results or not module else f"{own}.{node.op_type}"


def _module_of_weights(node: ir.Node) -> str | None:
    """The module that owns the node's weights, where batch norm may be folded in: that changes the scope.

    Elsewhere the scope is right, and the weights' name may not be: equal constants are stored once.
    """
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm"):
        return None
    value = node.inputs[1]
    match = _PARAMETER.fullmatch(value.name or "") if constant_of(value) is not None and value else None
    return None if match is None else match.group(1)
