"""Which weights of a layer may stay or go together, and how many stay: what sparse kernels skip and pruning chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

__all__ = ["SPARSITY_BLOCKS", "LayerPattern", "PatternMenu", "PatternMenus", "patterns_at"]

SPARSITY_BLOCKS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"unstructured": (1, 1), "shared16": (16, 1), "block2x4": (2, 4), "block8x4": (8, 4)}
)
"""Patterns by name: how many neighbouring outputs and inputs stay or go together."""


@dataclass(frozen=True)
class LayerPattern:
    """A pattern of `SPARSITY_BLOCKS` and the share of a layer's weights that it leaves."""

    name: str
    density: float

    @property
    def block(self) -> tuple[int, int]:
        """Outputs and inputs that stay or go together."""
        return SPARSITY_BLOCKS[self.name]


@dataclass(frozen=True)
class PatternMenu:
    """The patterns that a layer may take, the cheapest first; last, and not named, is that all its weights stay.

    To the solver a menu is one group more, whose "widths" are positions in it, counted from 1.
    """

    layer: str
    patterns: tuple[LayerPattern, ...]

    @property
    def group(self) -> str:
        """The name of the group that chooses among them."""
        return f"pattern of {self.layer}"

    @property
    def widths(self) -> tuple[int, ...]:
        """The positions; at the last all weights stay."""
        return tuple(range(1, len(self.patterns) + 2))

    def at(self, width: int) -> LayerPattern | None:
        """The pattern at a position; None where all weights stay."""
        return self.patterns[width - 1] if width <= len(self.patterns) else None


PatternMenus: TypeAlias = Mapping[str, PatternMenu]
"""By the name of their group."""


def patterns_at(menus: PatternMenus, widths: Mapping[str, int]) -> dict[str, LayerPattern]:
    """The patterns chosen at `widths`, by layer; layers whose weights all stay are not in it."""
    chosen = {menu.layer: menu.at(widths[group]) for group, menu in menus.items()}
    return {layer: pattern for layer, pattern in chosen.items() if pattern is not None}
