"""Proof that a build computes what the reference defines: samples, comparison, accuracy."""

from edgeprune.verify.compare import (
    Mismatch,
    Verification,
    compare_layers,
    reference_outputs,
    relative_difference,
    runs_to,
    verify_outputs,
)
from edgeprune.verify.given import compare_given, differing_samples
from edgeprune.verify.samples import Samples, real_outputs, stored_inputs

__all__ = [
    "Mismatch",
    "Samples",
    "Verification",
    "compare_given",
    "compare_layers",
    "differing_samples",
    "real_outputs",
    "reference_outputs",
    "relative_difference",
    "runs_to",
    "stored_inputs",
    "verify_outputs",
]
