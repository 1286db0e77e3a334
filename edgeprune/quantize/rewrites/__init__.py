"""Rewrites of the float model, one per file, each exact in real arithmetic; each is `apply(model)`, in place."""

from __future__ import annotations

import onnx_ir as ir

from edgeprune.quantize.rewrites import attention_scale, linear, recurrent_state, standalone_batch_norm

__all__ = ["rewrite"]


def rewrite(model: ir.Model) -> None:
    """Every rewrite, in order."""
    for step in (standalone_batch_norm, linear, recurrent_state, attention_scale):
        step.apply(model)
