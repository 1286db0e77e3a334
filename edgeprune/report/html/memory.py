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
_TICKS, _MOST_STEPS = 4, 160
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
    """The map of one region; of a very deep network, the steps around the peak."""

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
        return next(row for row in self.rows if row.peak)


def map_charts(report: Mapping[str, Any]) -> tuple[MapChart, ...]:
    """A chart per region of memory."""
    return tuple(_chart(memory) for memory in memory_maps(report) if memory.size_bytes)


def _chart(memory: MemoryMap) -> MapChart:
    wide, peak = 100 - _LEFT, memory.peak
    begin = max(0, min(peak - _MOST_STEPS // 2, len(memory.steps) - _MOST_STEPS))
    end = min(begin + _MOST_STEPS, len(memory.steps))
    rows = tuple(
        MapRow(step, memory.steps[step], memory.used_bytes(step), HEAD_HEIGHT + i * ROW_HEIGHT, step == peak)
        for i, step in enumerate(range(begin, end))
    )
    rectangles = []
    for block in memory.blocks:
        first, last = max(block.first, begin), min(block.last, end - 1)
        if first <= last:
            x, width = (
                _LEFT + wide * block.offset / memory.size_bytes,
                wide * block.size / memory.size_bytes,
            )
            y, height = HEAD_HEIGHT + (first - begin) * ROW_HEIGHT, (last - first + 1) * ROW_HEIGHT
            rectangles.append(Rectangle(x, y, width, height, _KINDS.index(block.kind) + 1, block))
    present = {block.kind for block in memory.blocks}
    kinds = tuple((kind, i) for i, kind in enumerate(_KINDS, 1) if kind in present)
    ticks = tuple(
        (_LEFT + wide * i / _TICKS, round(memory.size_bytes * i / _TICKS)) for i in range(_TICKS + 1)
    )
    height = HEAD_HEIGHT + len(rows) * ROW_HEIGHT + 1
    return MapChart(memory, rows, tuple(rectangles), ticks, kinds, _LEFT, height)
