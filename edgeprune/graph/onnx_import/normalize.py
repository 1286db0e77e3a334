"""An ONNX file in canonical form: functions inlined, shapes inferred, constants folded, QLinear as QDQ where asked.

After `normalize` with `as_qdq`, a model holds only DequantizeLinear, QuantizeLinear and ordinary operators; every
constant is an initializer; quantised weights still stand behind their DequantizeLinear.
"""

from __future__ import annotations

import logging

import onnx_ir as ir
from onnx_ir.passes import common

from edgeprune.errors import UsageError
from edgeprune.graph.onnx_import.explain import unsupported_operator
from edgeprune.graph.onnx_import.qlinear import rewrite_qlinear
from edgeprune.graph.onnx_import.steps_first import steps_first

__all__ = ["normalize"]

_FOLD_LIMIT = 1 << 26
_DOMAINS = ("", "ai.onnx", "com.microsoft")


def normalize(data: bytes, *, as_qdq: bool) -> ir.Model:
    """Parse and canonicalise an ONNX model.

    With `as_qdq` QLinear operators are rewritten to what they stand for; without it recurrent layers whose batch comes
    first have their steps first.

    Raises:
        UsageError: the bytes are not an ONNX model, or its shapes do not follow from its inputs; with `as_qdq`, an
            operator of another domain than ONNX's or onnxruntime's, whatever its name.
    """
    import onnx
    from onnxscript import optimizer

    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    try:
        proto = onnx.load_model_from_string(data)
        model = ir.from_proto(proto if as_qdq else steps_first(proto))
    except Exception as error:  # protobuf raises its own DecodeError, onnx-ir ValueError and others
        raise UsageError(f"the ONNX model cannot be read: {error}") from error
    common.InlinePass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    if as_qdq:
        _refuse_foreign(model)
        rewrite_qlinear(model)
    declared = [value.shape for value in model.graph.outputs]
    _fix_batch(model)
    try:
        common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
        optimizer.fold_constants(
            model, onnx_shape_inference=True, input_size_limit=_FOLD_LIMIT, output_size_limit=_FOLD_LIMIT
        )
        common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
    except Exception as error:  # the onnx package raises InferenceError and others
        raise UsageError(f"the ONNX model's shapes are inconsistent: {error}") from error
    for value, shape in zip(model.graph.outputs, declared, strict=True):
        if value.shape is None and shape is not None and shape.is_static():
            value.shape = shape  # what inference has no rule for
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.IdentityEliminationPass()(model)
    common.RemoveUnusedNodesPass()(model)
    common.TopologicalSortPass()(model)
    return model


def _refuse_foreign(model: ir.Model) -> None:
    """Operators are told apart by their names from here on, which mean nothing in a domain that nobody knows."""
    for node in model.graph:
        if node.domain not in _DOMAINS:
            raise unsupported_operator(node, in_float=False)


def _fix_batch(model: ir.Model) -> None:
    """A symbolic first dimension of an input is the batch: one inference at a time makes it 1."""
    for value in model.graph.inputs:
        if value.shape is not None and len(value.shape) > 0 and not isinstance(value.shape[0], int):
            value.shape = ir.Shape([1, *value.shape[1:]])
    for value in model.graph.outputs:
        value.shape = None
