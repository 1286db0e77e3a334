"""One file per operator, with everything known about it; `operators()` finds them."""

from edgeprune.ops.base import OnnxNode, Operator, operator_for, operators

__all__ = ["OnnxNode", "Operator", "operator_for", "operators"]
