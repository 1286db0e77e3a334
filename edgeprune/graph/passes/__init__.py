"""Passes, one file each: pure functions Graph -> Graph. `simplify` runs them in order."""

from edgeprune.graph.passes.pipeline import simplify

__all__ = ["simplify"]
