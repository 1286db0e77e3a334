"""How much each channel matters, one criterion a file; `criteria()` finds them."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from edgeprune.prune.importance.criterion import Criterion, Scores, best

__all__ = ["Criterion", "Scores", "best", "criteria"]


@functools.cache
def criteria() -> Mapping[str, Criterion]:
    """Every criterion by its name."""
    package = importlib.import_module("edgeprune.prune.importance")
    found: dict[str, Criterion] = {}
    for info in pkgutil.iter_modules(package.__path__):
        if info.name != "criterion":
            one: Criterion = importlib.import_module(f"edgeprune.prune.importance.{info.name}").CRITERION
            found[one.name] = one
    return MappingProxyType(found)
