"""The memory map: who owns which byte at which step, and its picture in the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from edgeprune.report.memory_map import MemoryMap, memory_maps
from edgeprune.report.memory_text import memory_text
from tests.support.reports import deep_report, refused_report, small_report


@pytest.fixture
def memory() -> MemoryMap:
    (found,) = memory_maps(small_report())
    return found


def test_kinds(memory: MemoryMap) -> None:
    kinds = {block.name: block.kind for block in memory.blocks}
    assert kinds == {
        "input": "input", "conv_out": "activation", "stem.conv scratch": "scratch", "sum": "activation",
        "scores": "output",
    }  # fmt: skip


def test_every_byte_has_its_owners(memory: MemoryMap) -> None:
    def names(step: int, address: int) -> list[str]:
        return [block.name for block in memory.owners(step, address)]

    assert names(0, 0) == ["input"]
    assert names(0, 64) == ["stem.conv scratch"]
    assert names(0, 136) == []
    assert names(1, 256) == ["sum"]
    assert names(1, 320) == ["sum", "conv_out"]
    assert names(1, 511) == ["sum", "conv_out"]
    assert names(1, 512) == ["conv_out"]
    assert names(2, 0) == ["scores"]


def test_used_bytes_count_each_byte_once(memory: MemoryMap) -> None:
    for step in range(len(memory.steps)):
        by_byte = sum(bool(memory.owners(step, address)) for address in range(memory.size_bytes))
        assert memory.used_bytes(step) == by_byte
    assert (memory.size_bytes, memory.peak, memory.used_bytes(0)) == (576, 0, 392)


def test_one_map_for_each_region() -> None:
    report = small_report()
    report["buffers"][0]["region"] = "tcm"
    assert [memory.region for memory in memory_maps(report)] == ["tcm", "sram"]
    assert memory_maps(refused_report()) == ()


def test_in_the_terminal(memory: MemoryMap, snapshot: SnapshotAssertion) -> None:
    assert _drawn(memory) == snapshot


def test_deep_networks_are_drawn() -> None:
    (memory,) = memory_maps(deep_report(300))
    assert len(_drawn(memory).splitlines()) >= 600


def _drawn(memory: MemoryMap) -> str:
    console = Console(file=io.StringIO(), width=120, record=True)
    console.print(memory_text(memory))
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())
