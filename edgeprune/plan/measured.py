"""Cycles of candidates as measured in the emulator, in the place of what their families estimate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

from edgeprune.kernels.base import Candidate
from edgeprune.plan.choose import Option
from edgeprune.plan.schedule import Schedule

__all__ = ["MeasuredCycles", "candidate_key", "with_measured"]

MeasuredCycles: TypeAlias = Mapping[tuple[str, str], int]
"""Cycles of one run, by the name of the step's last node and of the candidate."""


def candidate_key(candidate: Candidate) -> tuple[str, str]:
    """What measurements of a candidate are filed under: within a graph and a device there is no other like it."""
    return candidate.nodes[-1].name, candidate.name


def with_measured(table: Schedule, measured: MeasuredCycles) -> Schedule:
    """`table` with measured cycles where there are any; what was not measured keeps its estimate."""
    if not measured:
        return table
    return replace(
        table, options=tuple(tuple(_priced(option, measured) for option in step) for step in table.options)
    )


def _priced(option: Option, measured: MeasuredCycles) -> Option:
    candidate = option.candidate
    cycles = measured.get(candidate_key(candidate), candidate.cycles)
    return replace(option, candidate=replace(candidate, cycles=cycles))
