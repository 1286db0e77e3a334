"""The memory map over time: steps downwards, addresses to the right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeprune.report.memory_map import Block, MemoryMap, memory_maps

__all__ = ["MapChart", "MapRow", "Rectangle", "map_charts"]

ROW_HEIGHT, HEAD_HEIGHT = 26, 34
_LEFT = 34.0
"""Where addresses begin: percent of the chart's width; left of it stand the steps and what they use."""
_TICKS = 4
_KINDS = ("activation", "scratch", "input", "output", "persistent")


@dataclass(frozen=True)
class Rectangle:
    """A buffer: `x` and `width` in percent, `y` and `height` in pixels."""

    x: float
    y: int
    width: float
    height: int
    series: int
    block: Block


@dataclass(frozen=True)
class MapRow:
    """A step."""

    index: int
    name: str
    used: int
    y: int
    peak: bool


@dataclass(frozen=True)
class MapChart:
    """The map of one region."""

    memory: MemoryMap
    rows: tuple[MapRow, ...]
    rectangles: tuple[Rectangle, ...]
    ticks: tuple[tuple[float, int], ...]
    """Per address shown at the top its x in percent and its value."""
    kinds: tuple[tuple[str, int], ...]
    """The kinds of buffers that occur, each with its series."""
    left: float
    height: int

    @property
    def peak(self) -> MapRow:
        """The step with most bytes in use."""
        return self.rows[self.memory.peak]


def map_charts(report: Mapping[str, Any]) -> tuple[MapChart, ...]:
    """A chart per region of memory."""
    return tuple(_chart(memory) for memory in memory_maps(report) if memory.size_bytes)


def _chart(memory: MemoryMap) -> MapChart:
    wide = 100 - _LEFT
    peak = memory.peak
    rows = tuple(
        MapRow(step, name, memory.used_bytes(step), HEAD_HEIGHT + step * ROW_HEIGHT, step == peak)
        for step, name in enumerate(memory.steps)
    )
    rectangles = tuple(
        Rectangle(
            _LEFT + wide * block.offset / memory.size_bytes,
            HEAD_HEIGHT + block.first * ROW_HEIGHT,
            wide * block.size / memory.size_bytes,
            (block.last - block.first + 1) * ROW_HEIGHT,
            _KINDS.index(block.kind) + 1,
            block,
        )
        for block in memory.blocks
    )
    present = {block.kind for block in memory.blocks}
    kinds = tuple((kind, i) for i, kind in enumerate(_KINDS, 1) if kind in present)
    ticks = tuple(
        (_LEFT + wide * i / _TICKS, round(memory.size_bytes * i / _TICKS)) for i in range(_TICKS + 1)
    )
    return MapChart(memory, rows, rectangles, ticks, kinds, _LEFT, HEAD_HEIGHT + len(rows) * ROW_HEIGHT + 1)
