"""From program to C sources."""

from edgeprune.codegen.generate import FLOAT_TOLERANCE, Golden, generate
from edgeprune.codegen.sources import Layer, Port, Sources

__all__ = ["FLOAT_TOLERANCE", "Golden", "Layer", "Port", "Sources", "generate"]
