"""What the section of a report must hold that says how a network was pruned."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgeprune.report.section import Count, Section

__all__ = ["PruningSection"]


class _Group(Section):
    name: str
    before: Annotated[int, Field(gt=0, lt=1 << 63)]
    after: Count


class _Frozen(Section):
    name: str
    reason: str


class _Unpruned(Section):
    flash: float
    ram: float
    latency_ms: float | None = None


class _Change(Section):
    before: float
    after: float


class _Round(Section):
    loss: _Change
    macs: Count
    steps: Count


class _QuantizationAware(Section):
    used: bool
    int8: _Change | None


class _Generalization(Section):
    train_loss: _Change
    test_loss: _Change
    gap: _Change


class _LayerPattern(Section):
    name: str
    pattern: str
    density: float


class _Sparsity(Section):
    density: float
    when: str
    layers: list[_LayerPattern] | None = None


class PruningSection(Section):
    """How many channels each group kept, and how training went."""

    groups: list[_Group]
    lossless_channels: Count = 0
    rounds: Count = 0
    steps: Count = 0
    frozen: list[_Frozen] = Field(default_factory=list)
    unpruned: _Unpruned | None = None
    history: list[_Round] | None = None
    quantization_aware: _QuantizationAware | None = None
    generalization: _Generalization | None = None
    sparsity: _Sparsity | None = None
