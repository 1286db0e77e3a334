"""Budgets as numbers, what a network uses of them, and the sentence that says why nothing fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from edgeprune.costs import CostTable, MemoryRow
from edgeprune.errors import OverBudget

__all__ = ["Infeasible", "Limits", "NothingFits", "Resources", "binding_row", "resources"]


@dataclass(frozen=True)
class Limits:
    """What a network may use at most; None where there is no limit."""

    flash_bytes: int | None = None
    ram_bytes: int | None = None
    cycles: int | None = None
    macs: int | None = None
    parameters: int | None = None

    def given(self) -> Mapping[str, int]:
        """The limits that are set, by name."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def hold(self, used: Resources) -> bool:
        """Whether `used` stays within every limit."""
        return all(getattr(used, name) <= limit for name, limit in self.given().items())


@dataclass(frozen=True)
class Resources:
    """What a network uses, by its cost table."""

    flash_bytes: int
    ram_bytes: int
    cycles: int
    macs: int
    parameters: int


@dataclass(frozen=True)
class Infeasible:
    """Why no widths hold the limits.

    `binding` names the limits that no widths hold even alone; it is empty where each can be held alone but
    not all together. `step` is the memory row that binds, where RAM does. `nearest` is what the network uses
    whose worst excess over the limits is least, at `widths`. `least` is the nearest feasible budget on each
    limited axis: the least that any widths take of it with the other limits kept, as far as these can be held at
    all; an axis is missing where the others cannot be held together. `proven`: by the table no widths hold the
    limits for certain; otherwise none were found, or the table only estimates what they need.
    """

    binding: tuple[str, ...]
    step: str | None
    nearest: Resources
    widths: Mapping[str, int]
    least: Mapping[str, int]
    proven: bool = True


class NothingFits(OverBudget):
    """No widths hold the limits; `infeasible` says which bind and what would fit."""

    def __init__(self, sentence: str, infeasible: Infeasible, nearest: Mapping[str, float]) -> None:
        self.infeasible = infeasible
        super().__init__(sentence, nearest)


def resources(table: CostTable, widths: Mapping[str, int]) -> Resources:
    """What the network uses at `widths`."""
    return Resources(
        table.flash_bytes(widths),
        table.ram_bytes(widths),
        table.cycles(widths),
        table.macs(widths),
        table.parameters(widths),
    )


def binding_row(table: CostTable, widths: Mapping[str, int]) -> MemoryRow | None:
    """The step at which most memory is in use, or None for a table without memory rows."""
    return max(table.rows, key=lambda row: table.row_bytes(row, widths), default=None)
