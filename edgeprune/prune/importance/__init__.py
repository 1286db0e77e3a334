"""How much each channel matters, one criterion a file; `criteria()` finds them."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

import torch

from edgeprune.errors import UsageError
from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling
from edgeprune.prune.importance.criterion import Criterion, Scores, best
from edgeprune.prune.ladder import ranked

__all__ = ["Criterion", "Scores", "best", "criteria", "criterion_named"]


class _Laddered:
    """A criterion whose best channels of attention's grids, counted as widths are, form boxes."""

    def __init__(self, criterion: Criterion) -> None:
        self.name = criterion.name
        self._criterion = criterion

    def score(self, module: torch.nn.Module, coupling: Coupling, calibration: Calibration) -> Scores:
        scores = self._criterion.score(module, coupling, calibration)
        return {
            name: ranked(values, coupling.group(name).heads) if coupling.group(name).heads > 1 else values
            for name, values in scores.items()
        }


@functools.cache
def criteria() -> Mapping[str, Criterion]:
    """Every criterion by its name."""
    package = importlib.import_module("edgeprune.prune.importance")
    found: dict[str, Criterion] = {}
    for info in pkgutil.iter_modules(package.__path__):
        if info.name != "criterion":
            one: Criterion = importlib.import_module(f"edgeprune.prune.importance.{info.name}").CRITERION
            found[one.name] = _Laddered(one)
    return MappingProxyType(found)


def criterion_named(name: str) -> Criterion:
    """The criterion of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in criteria():
        raise UsageError(f"there is no importance {name!r}; choose one of {', '.join(sorted(criteria()))}")
    return criteria()[name]
