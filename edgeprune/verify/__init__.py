"""Proof that a build computes what the reference defines: samples, comparison, accuracy."""

from edgeprune.verify.compare import Mismatch, Verification, compare_layers, verify_outputs
from edgeprune.verify.samples import Samples, stored_inputs

__all__ = ["Mismatch", "Samples", "Verification", "compare_layers", "stored_inputs", "verify_outputs"]
