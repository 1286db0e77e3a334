"""Whether TVM is there, and what to say where it is not."""

from __future__ import annotations

import importlib.metadata
import importlib.util

from edgeprune.errors import MissingTool

__all__ = ["require_tvm", "tvm_version"]


def require_tvm(what: str) -> None:
    """Check that TVM can be imported; `what` is what needs it.

    Raises:
        MissingTool: it is not installed.
    """
    if importlib.util.find_spec("tvm") is None:
        raise MissingTool(f"{what} needs Apache TVM, which is not installed: pip install 'edgeprune[tvm]'")


def tvm_version() -> str:
    """The version of the TVM that is installed."""
    return importlib.metadata.version("apache-tvm")
