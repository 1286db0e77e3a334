"""Which buffers of a kernel are its own registers or stack, and which lie in its scratch; one rule for C and LLVM."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["LOCAL_BYTES", "Scratch", "buffer_bytes", "rounded"]

LOCAL_BYTES = 256
"""Of a buffer that may be a local array; any larger one lies in the scratch, never on the stack."""
_ALIGN = 8


def buffer_bytes(buffer: Any) -> int:
    """Size of a flat TIR buffer."""
    elements = math.prod(int(extent) for extent in buffer.ty.shape)
    return elements * np.dtype(str(buffer.ty.dtype)).itemsize


def rounded(size: int) -> int:
    """`size` up to the next place where anything may begin."""
    return -(-size // _ALIGN) * _ALIGN


class Scratch:
    """The scratch of one kernel, filled in the order in which its buffers are met."""

    def __init__(self) -> None:
        self.bytes = 0

    def place(self, buffer: Any) -> int | None:
        """Where in the scratch `buffer` lies, which takes its place there; None for a local array."""
        size = buffer_bytes(buffer)
        if size <= LOCAL_BYTES:
            return None
        offset = self.bytes
        self.bytes += rounded(size)
        return offset
