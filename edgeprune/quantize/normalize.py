"""Float ONNX in the one form that calibration and the QDQ writer work on.

Afterwards: functions are inlined, constants are folded initializers, every value has its type, batch
normalisation is folded (or is a depthwise convolution), a linear layer is one Gemm with its bias, and every node
has a unique name: that of its torch module where it has weights.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common

from edgeprune.errors import UsageError
from edgeprune.model.quiet import quiet_libraries
from edgeprune.quantize.names import name_nodes
from edgeprune.quantize.rewrites import rewrite

__all__ = ["normalize_float"]

_FOLD_LIMIT = 1 << 26


def normalize_float(model: ir.Model) -> ir.Model:
    """Bring a float model into the form above, in place.

    Raises:
        UsageError: its shapes are inconsistent.
    """
    with quiet_libraries():
        common.InlinePass()(model)
        _simplify(model)
        name_nodes(model.graph)
        rewrite(model)
        _simplify(model)
        name_nodes(model.graph)
    return model


def _simplify(model: ir.Model) -> None:
    from onnxscript import optimizer

    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    try:
        _infer(model)
        optimizer.fold_constants(
            model,
            onnx_shape_inference=True,
            input_size_limit=_FOLD_LIMIT,
            output_size_limit=_FOLD_LIMIT,
            should_fold=_always_folded,
        )
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        common.IdentityEliminationPass()(model)
        common.RemoveUnusedNodesPass()(model)
        common.TopologicalSortPass()(model)
        _infer(model)
    except UsageError:
        raise
    except Exception as error:  # the onnx package raises InferenceError and others
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(f"the ONNX model's shapes are inconsistent: {line}") from error


def _always_folded(node: ir.Node) -> bool | None:
    """onnxscript leaves ConstantOfShape for the size of the file; None is its own judgement."""
    return True if node.op_type == "ConstantOfShape" else None


def _infer(model: ir.Model) -> None:
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
