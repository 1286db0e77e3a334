"""Kernel families, one file each with its template; `families()` finds them."""

from edgeprune.kernels.base import (
    Candidate,
    Code,
    Constant,
    Function,
    KernelFamily,
    LayerNames,
    Placement,
    families,
)

__all__ = ["Candidate", "Code", "Constant", "Function", "KernelFamily", "LayerNames", "Placement", "families"]
