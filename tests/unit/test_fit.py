"""Fitting a fixed network: plans stand in for builds, each with an estimate and what it takes once linked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import edgeprune.compress.fit as fit
from edgeprune.config import Budget
from edgeprune.errors import OverBudget
from edgeprune.plan import Objective
from edgeprune.progress import SilentProgress
from edgeprune.verdict import Cost


@dataclass(frozen=True)
class Plan:
    """What the planner knows of a plan (`arena`, `estimate`, `cycles`), and what it takes (`linked`, `stack`)."""

    arena: int
    estimate: int
    cycles: int
    linked: int
    stack: int = 190

    @property
    def cost(self) -> Cost:
        return Cost(self.linked, self.arena + self.stack, self.cycles / 1000, 1, 1)


FAST = Plan(arena=9_616, estimate=23_964, cycles=30_600, linked=25_972)
THRIFTY = Plan(arena=9_344, estimate=23_805, cycles=49_000, linked=25_656)
SHARED = Plan(arena=8_476, estimate=24_028, cycles=81_000, linked=25_376)
PLANS = (FAST, THRIFTY, SHARED)
WITH_ALL = Plan(arena=9_700, estimate=25_000, cycles=29_000, linked=26_000)
"""Of the network that kept the channels which are constant: faster kernels, more of all else."""


def plan(limits: Objective, _place: Path, /, *, compacted: bool) -> Any:
    """The best of the plans that keep the arena's limit, and the flash limit by estimate where one does."""
    by = {"latency": "cycles", "ram": "arena", "flash": "estimate"}[limits.optimize]
    plans = PLANS if compacted else (*PLANS, WITH_ALL)
    ordered = sorted(plans, key=lambda one: getattr(one, by))
    small = [one for one in ordered if limits.ram_bytes is None or one.arena <= limits.ram_bytes]
    if not small:
        raise OverBudget("no arena: at step 'x'")
    allowed = [one for one in small if limits.flash_bytes is None or one.estimate <= limits.flash_bytes]
    chosen = allowed[0] if allowed else min(small, key=lambda one: one.estimate)
    steps = (SimpleNamespace(candidate=SimpleNamespace(flash_bytes=chosen.estimate)),)
    return SimpleNamespace(
        plan=chosen,
        program=SimpleNamespace(
            arena_bytes=chosen.arena, steps=steps, fits_memories=True, leaves_room=lambda _size: True
        ),
        graph=None,
        lossless_channels=1 if compacted else 0,
    )


@pytest.fixture(autouse=True)
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_measure", lambda built, _progress: built.plan.cost)


def fitted(budget: Budget, optimize: str = "latency") -> fit.Fitted:
    return fit.fit_program(plan, budget, Objective(optimize), Path("unused"), SilentProgress())


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("optimize", ["latency", "ram", "flash"])
def test_a_budget_that_a_plan_keeps_exactly_is_kept(plan: Plan, optimize: str) -> None:
    cost = plan.cost
    assert fitted(Budget(cost.flash_bytes, cost.ram_bytes, cost.latency_ms), optimize).fits
    assert fitted(Budget(flash_bytes=cost.flash_bytes), optimize).fits
    assert fitted(Budget(ram_bytes=cost.ram_bytes), optimize).fits
    assert fitted(Budget(latency_ms=cost.latency_ms), optimize).fits


def test_a_miss_of_flash_alone_is_not_blamed_on_memory() -> None:
    found = fitted(Budget(flash_bytes=24_000, ram_bytes=SHARED.cost.ram_bytes))
    assert not found.fits
    assert found.cost == SHARED.cost
    assert found.binds is None


def test_a_miss_of_memory_comes_with_the_planners_sentence() -> None:
    found = fitted(Budget(ram_bytes=8_000))
    assert not found.fits
    assert found.binds == "no arena: at step 'x'"
    assert found.cost == SHARED.cost


def test_the_network_is_tried_with_the_channels_that_are_constant() -> None:
    found = fitted(Budget(latency_ms=WITH_ALL.cost.latency_ms))
    assert found.fits
    assert found.cost == WITH_ALL.cost
    far = fitted(Budget(latency_ms=1.0))
    assert not far.fits
    assert far.cost == FAST.cost


def test_the_fastest_plan_that_fits_by_its_own_stack_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fastest plan for the whole budget misses by its stack; the next one's shows that a faster one fits."""
    deep = Plan(arena=10_000, estimate=1, cycles=10_000, linked=1, stack=300)
    flat = Plan(arena=9_850, estimate=1, cycles=20_000, linked=1, stack=100)
    slow = Plan(arena=9_600, estimate=1, cycles=30_000, linked=1, stack=120)
    monkeypatch.setattr("tests.unit.test_fit.PLANS", (deep, flat, slow))
    found = fitted(Budget(ram_bytes=10_000))
    assert found.fits
    assert found.cost == flat.cost
    assert fitted(Budget(ram_bytes=9_900)).cost == slow.cost


def test_a_larger_arena_is_tried_whose_kernels_have_less_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest arena misses by four bytes of stack; one between it and the fastest does with less in all."""
    fast = Plan(arena=152, estimate=1, cycles=100, linked=1, stack=116)
    between = Plan(arena=76, estimate=1, cycles=110, linked=1, stack=104)
    least = Plan(arena=64, estimate=1, cycles=150, linked=1, stack=120)
    monkeypatch.setattr("tests.unit.test_fit.PLANS", (fast, between, least))
    found = fitted(Budget(ram_bytes=183))
    assert found.fits
    assert found.cost == between.cost
    assert not fitted(Budget(ram_bytes=179)).fits
