"""From program to C sources."""

from edgeprune.codegen.generate import Golden, generate
from edgeprune.codegen.sources import Layer, Port, Sources

__all__ = ["Golden", "Layer", "Port", "Sources", "generate"]
