"""What a cycle model of a core is, and how the models are found."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from edgeprune.cycles.cost import Cost
from edgeprune.cycles.instruction import Instruction

__all__ = ["UNVALIDATED", "CoreModel", "Validation", "core_models"]

UNVALIDATED = "unvalidated"


@dataclass(frozen=True)
class Validation:
    """How far a model's estimates were from silicon, and on what; percent of the measured cycles."""

    cases: int
    rms_percent: float
    worst_percent: float
    silicon: str

    def __str__(self) -> str:
        return (
            f"{self.rms_percent:g} % rms, {self.worst_percent:g} % worst, on {self.cases} networks measured "
            f"on {self.silicon}"
        )


class CoreModel(Protocol):
    """Cycles of straight code on a core, from its published timing; one per file of `edgeprune.cycles.cores`.

    Attributes:
        cores: names that device profiles give the core.
        name: what reports call the model.
        source: where its figures come from.
        validation: None if it was never compared with silicon.
        float_validated: whether the comparison covers floating-point code.
        unaligned_cycles: what an access that is not aligned costs besides.
        flash_load_cycles: what a load from flash costs besides the flash's own wait.
        macs_per_cycle: the core's peak of int8 multiply-accumulates.
    """

    @property
    def cores(self) -> tuple[str, ...]: ...
    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def validation(self) -> Validation | None: ...
    @property
    def float_validated(self) -> bool: ...
    @property
    def unaligned_cycles(self) -> float: ...
    @property
    def flash_load_cycles(self) -> float: ...
    @property
    def macs_per_cycle(self) -> float: ...

    def cost(self, code: tuple[Instruction, ...], executions: int, taken: int) -> Cost:
        """Cycles of a block's executions, memory never waited for.

        Args:
            code: the block, at least one instruction; only its last may branch.
            executions: how often the block ran.
            taken: how often control did not go on behind it.
        """
        ...


def core_models() -> Mapping[str, CoreModel]:
    """Every model, by each name of its core."""
    found: dict[str, CoreModel] = {}
    package = importlib.import_module("edgeprune.cycles.cores")
    for info in pkgutil.iter_modules(package.__path__):
        if not info.name.startswith("_"):
            model: CoreModel = importlib.import_module(f"{package.__name__}.{info.name}").MODEL
            assert not found.keys() & set(model.cores), info.name
            found.update(dict.fromkeys(model.cores, model))
    return found
