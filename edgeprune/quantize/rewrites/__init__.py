"""Rewrites of the float model, one per file: `apply(model)`, in place, exact in real arithmetic but for `mask`."""

from __future__ import annotations

import onnx_ir as ir

from edgeprune.quantize.rewrites import (
    attention_scale,
    batch_norm,
    division,
    gemm,
    linear,
    mask,
    recurrent_state,
)

__all__ = ["rewrite"]


def rewrite(model: ir.Model) -> None:
    """Every rewrite, in order."""
    for step in (gemm, batch_norm, division, linear, recurrent_state, attention_scale, mask):
        step.apply(model)
