"""Prune, quantise and compile neural networks into plain C that provably fits a microcontroller."""

__all__ = ["__version__"]

__version__ = "0.1.0"
