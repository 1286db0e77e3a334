"""Cycles, estimated: models of cores and their flash, applied to the blocks of code that ran."""

from edgeprune.cycles.model import CoreModel, Validation, core_models

__all__ = ["CoreModel", "Validation", "core_models"]
