"""Prune, quantise and compile neural networks into plain C that provably fits a microcontroller.

import edgeprune

deployment = edgeprune.deploy("kws.onnx", device="nucleo-l4r5zi", flash="128K", ram="32K")
print(deployment.report["flash"], deployment.directory)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgeprune.version import __version__

if TYPE_CHECKING:
    from edgeprune.api import Deployment, deploy, load_pruned

__all__ = ["Deployment", "__version__", "deploy", "load_pruned"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: the pipeline brings torch and ONNX, and `edgeprune --help` needs neither.
    if name in ("Deployment", "deploy", "load_pruned"):
        return getattr(importlib.import_module("edgeprune.api"), name)
    raise AttributeError(f"module 'edgeprune' has no attribute {name!r}")
