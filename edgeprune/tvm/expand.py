"""Operators taken apart as the ONNX specification itself defines them, where TVM has no form of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeprune.errors import UsageError

if TYPE_CHECKING:
    import onnx

__all__ = ["expanded", "must_expand"]


def must_expand(model: onnx.ModelProto) -> bool:
    """Whether `model` has an operator that TVM's importer would take for a narrower one, or rounds otherwise."""
    return any(
        node.op_type == "DynamicQuantizeLinear" or (node.op_type == "LayerNormalization" and _is_wide(node))
        for node in model.graph.node
    )


def expanded(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """`model` with every operator that ONNX defines by a function as that function; None where there is none.

    Raises:
        UsageError: a definition cannot be applied.
    """
    import onnx
    import onnx_ir as ir
    from onnx import inliner

    from edgeprune.graph.onnx_import.normalize import normalize

    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    kinds = {node.op_type for node in model.graph.node}
    defined = [kind for kind in sorted(kinds) if _is_function(onnx.defs.get_schema(kind, opset))]
    if not defined:
        return None
    functions = [("", kind) for kind in defined]
    typed = onnx.shape_inference.infer_shapes(model)
    try:
        taken_apart = inliner.inline_selected_functions(
            typed, functions, exclude=False, inline_schema_functions=True
        )
    except RuntimeError as error:  # how the onnx package reports what its inliner cannot type
        names = ", ".join(defined)
        raise UsageError(f"neither TVM nor ONNX's own definition gives {names} a form in C") from error
    folded: onnx.ModelProto = ir.to_proto(normalize(taken_apart.SerializeToString(), as_qdq=False))
    return folded


def _is_function(schema: Any) -> bool:
    return bool(schema.has_function or schema.has_context_dependent_function)


def _is_wide(node: onnx.NodeProto) -> bool:
    """Whether a normalisation is over more than the last axis, or asked for its statistics."""
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), -1)
    return axis != -1 or sum(bool(name) for name in node.output) > 1
