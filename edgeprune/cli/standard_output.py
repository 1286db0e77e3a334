"""Keeping standard output for results: whatever else is printed goes to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

__all__ = ["kept_for_results"]

_OUTPUT, _ERROR = 1, 2
"""File descriptors, which libraries written in C print to: HiGHS does, though it is told to be silent."""


@contextmanager
def kept_for_results() -> Iterator[None]:
    """Within, what Python prints goes to standard error, and what libraries print by themselves as well."""
    try:
        os.fstat(_ERROR)
        kept = os.dup(_OUTPUT)
    except OSError:  # the process was started without one of them
        with redirect_stdout(sys.stderr):
            yield
        return
    try:
        sys.stdout.flush()
        os.dup2(_ERROR, _OUTPUT)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _flush_c()
        os.dup2(kept, _OUTPUT)
        os.close(kept)


def _flush_c() -> None:
    """Write out what the C library still holds of standard output, before that is itself again."""
    import ctypes

    try:
        ctypes.CDLL(None).fflush(None)
    except (OSError, TypeError, AttributeError):  # no such library by this name, as on Windows
        return
