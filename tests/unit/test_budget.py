"""Budgets as asked for, and what a build takes held against them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeprune.config import Budget, Ceiling, Settings, parse_ceiling
from edgeprune.errors import UsageError
from edgeprune.verdict import Cost, missed, spent, worst_excess

COST = Cost(1000, 200, 2.5, 30_000, 400)


@pytest.mark.parametrize(
    ("text", "whole", "expected"),
    [("50%", 1001, 500), ("100 %", 7, 7), ("6.1M", 1, 6_100_000), ("250k", 1, 250_000), ("12", 1, 12)],
)
def test_ceilings_are_shares_or_numbers(text: str, whole: int, expected: int) -> None:
    assert parse_ceiling(text, "--macs").of(whole) == expected


@pytest.mark.parametrize("text", ["", "0", "0%", "120%", "-3", "5 ms", "half", "1e999", "nan"])
def test_other_ceilings_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--macs"):
        parse_ceiling(text, "--macs")


def test_settings_name_their_ceilings() -> None:
    settings = Settings(Path("m.py"), "host", macs="40%", params="9k")
    assert settings.ceilings() == {"macs": Ceiling(share=0.4), "parameters": Ceiling(count=9000)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"accuracy_drop": 0.0},
        {"accuracy_drop": 100.0},
        {"rounds": 0},
        {"sparsity": "unstructured:1.0"},
        {"sparsity": "unstructured:0"},
        {"sparsity": "diagonal:0.5"},
        {"sparsity": "auto:0.5"},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Settings(Path("m.py"), "host", **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"flash_bytes": 999}, {"flash"}),
        ({"ram_bytes": 199, "latency_ms": 2.4}, {"ram", "latency_ms"}),
        ({"macs": 29_999, "parameters": 400}, {"macs"}),
        ({"parameters": 399}, {"parameters"}),
        ({"flash_bytes": 1000, "ram_bytes": 200, "latency_ms": 2.5, "macs": 30_000}, set()),
    ],
)
def test_a_cost_is_held_against_every_limit(limits: dict[str, float], words: set[str]) -> None:
    budget = Budget(**limits)  # type: ignore[arg-type]
    assert set(missed(COST, budget)) == words
    assert COST.fits(budget) == (not words)
    assert (worst_excess(COST, budget) > 1) == bool(words)


def test_a_device_without_time_keeps_any_latency() -> None:
    timeless = Cost(1, 1, None, 1, 1)
    assert timeless.fits(Budget(latency_ms=0.1))
    assert "latency_ms" not in spent(timeless)
