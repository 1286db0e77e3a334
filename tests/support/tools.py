"""Tools that `make` installs: without one a test may be skipped on a developer's machine, and fails in CI."""

from __future__ import annotations

import os
import shutil

__all__ = ["lacking"]


def lacking(*tools: str) -> bool:
    """Whether none of `tools` is there, and that is no reason to fail."""
    return "CI" not in os.environ and not any(map(shutil.which, tools))
