"""Networks of every family, from a torch recipe to a verified library."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeprune.config import Settings
from edgeprune.pipeline import deploy

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
NAMES = sorted(path.stem for path in RECIPES.glob("*.py") if not path.stem.startswith("_"))


@pytest.mark.parametrize("name", NAMES)
def test_recipe_is_deployed_bit_exact(name: str, tmp_path: Path) -> None:
    result = deploy(Settings(RECIPES / f"{name}.py", "nucleo-l4r5zi", output=tmp_path / name, samples=6))
    assert result.directory is not None, result.report["reason"]
    assert result.report["verify"]["bit_exact"]
    assert result.report["verify"]["max_difference_to_onnx"] <= 3
    assert {path.name for path in result.directory.iterdir()} == {
        "library", "package", "model.onnx", "report.html", "report.json", "verification.npz",
        "float.onnx", "float.pt2", "float_state.pt",
    }  # fmt: skip


def test_pruning_makes_a_recipe_fit(tmp_path: Path) -> None:
    """Half of the flash and four fifths of the RAM and time, as linked and as run."""
    recipe = RECIPES / "depthwise_separable.py"
    whole = deploy(Settings(recipe, "nucleo-f446re", output=tmp_path / "whole", samples=5)).report
    budget = {
        "flash": str(int(whole["flash"]["total"] * 0.6)),
        "ram": str(int(whole["ram"]["total"] * 0.8)),
        "latency": f"{whole['latency']['ms'] * 0.8:.4f}ms",
    }
    result = deploy(
        Settings(recipe, "nucleo-f446re", output=tmp_path / "pruned", samples=5, effort=10, **budget)
    )
    assert result.directory is not None, result.report["reason"]
    report = result.report
    assert report["flash"]["total"] <= report["budget"]["flash"]
    assert report["ram"]["total"] <= report["budget"]["ram"]
    assert report["latency"]["ms"] <= report["budget"]["latency_ms"]
    assert any(group["after"] < group["before"] for group in report["pruning"]["groups"])
    assert report["accuracy"]["pruned"] is not None


def test_impossible_budget_for_a_recipe_says_so(tmp_path: Path) -> None:
    recipe = RECIPES / "depthwise_separable.py"
    place = tmp_path / "none"
    result = deploy(Settings(recipe, "nucleo-f446re", output=place, samples=5, effort=5, ram="256"))
    assert result.directory is None
    assert not place.exists()
    assert result.report["reason"]
    assert result.report["nearest"]["ram"] > 256
