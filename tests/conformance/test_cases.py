"""ONNX's own node tests through the generated C: all of them on this machine, every fifth in the emulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.conformance import CASES, EXCLUDED, batches, run_cases

RUN = [name for names in CASES.values() for name in names if name not in EXCLUDED]


def test_exclusions_are_cases_with_a_reason() -> None:
    known = {name for names in CASES.values() for name in names}
    assert set(EXCLUDED) <= known
    assert all(len(reason) > 20 for reason in EXCLUDED.values())


@pytest.mark.parametrize(("tier", "most"), [("T1", 15), ("T2", 37), ("integer", 0)])
def test_few_are_excluded(tier: str, most: int) -> None:
    """Of T2's 253, 85 % are to pass."""
    assert sum(name in EXCLUDED for name in CASES[tier]) <= most


@pytest.mark.parametrize("names", batches(RUN), ids=lambda names: names[0])
def test_on_this_machine(names: list[str], tmp_path: Path) -> None:
    """One library of many cases, which compiles without a warning."""
    assert {n: reason for n, reason in run_cases(names, "host", tmp_path).items() if reason is not None} == {}


@pytest.mark.parametrize("names", batches(RUN[::5]), ids=lambda names: names[0])
def test_in_the_emulator(names: list[str], tmp_path: Path) -> None:
    found = run_cases(names, "mps2-an386", tmp_path)
    assert {n: reason for n, reason in found.items() if reason is not None} == {}
