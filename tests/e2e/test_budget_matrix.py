"""A budget holds as measured, or its refusal is true: a part of `benchmarks.budget_matrix`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.budget_matrix import BUDGETS, NETWORKS, Matrix


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    return Matrix(tmp_path_factory.mktemp("matrix"))


@pytest.mark.parametrize(
    ("network", "budget"), [("lstm", "70 % flash"), ("depthwise_separable", "50 % latency")]
)
def test_a_budget_ends_in_a_fit_or_a_true_refusal(matrix: Matrix, network: str, budget: str) -> None:
    cell = matrix.cell(network, budget)
    assert cell.outcome != "failure", cell
    assert cell.used is not None
    if cell.outcome == "fits":
        assert all(share <= 1 for share in cell.used.values())
        assert max(cell.used.values()) > 0.75, "it was cut far more than needed"


def test_an_impossible_budget_names_the_limits_and_a_budget_that_is_reached(matrix: Matrix) -> None:
    cell = matrix.cell("depthwise_separable", "5 % of all")
    assert cell.outcome == "over budget", cell
    assert cell.nearest_is_reached
    assert cell.reason is not None
    assert all(word in cell.reason for word in ("flash", "RAM", "latency", "smallest network"))


def test_the_matrix_holds_recipes_of_every_family() -> None:
    recipes = Path(__file__).resolve().parents[1] / "recipes"
    assert all((recipes / f"{name}.py").is_file() for name in NETWORKS)
    assert len(NETWORKS) * len(BUDGETS) >= 32
