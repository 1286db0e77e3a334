"""`--tune`: every kernel candidate of a network's own layers, measured in the emulator before one is chosen."""

from edgeprune.tune.measure import tune

__all__ = ["tune"]
