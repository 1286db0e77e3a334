"""Cycles, estimated: models of cores and their flash, applied to the blocks of code that ran."""

from edgeprune.cycles.estimate import CycleEstimate, RegionEstimate, estimate
from edgeprune.cycles.latency import estimate_image, with_cycles
from edgeprune.cycles.model import CoreModel, Validation, core_models
from edgeprune.cycles.parts import Bound, bound

__all__ = [
    "Bound",
    "CoreModel",
    "CycleEstimate",
    "RegionEstimate",
    "Validation",
    "bound",
    "core_models",
    "estimate",
    "estimate_image",
    "with_cycles",
]
