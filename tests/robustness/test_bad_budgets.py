"""Budgets that cannot be kept: status 3, what binds, and the nearest thing that fits."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.onnx_models import flatten_net
from tests.support.refusals import RECIPE, deploy, run, save


def over_budget(path: Path, *options: str) -> dict[str, object]:
    result = run(*deploy(path, *options, "--json"))
    assert result.exit_code == 3, (result.stderr, result.exception)
    assert not (Path.cwd() / "out").exists()
    report = json.loads(result.stdout)
    assert report["fits"] is False
    assert report["reason"] in " ".join(result.stderr.split())
    return report


def test_nothing_to_prune_and_over_budget(place: Path) -> None:
    report = over_budget(save(place / "m.onnx", flatten_net()), "--flash", "500")
    assert report["nearest"]["flash"] > 500
    assert "give a recipe" in report["reason"]


def test_recipe_whose_channels_cannot_be_pruned(place: Path) -> None:
    text = RECIPE.replace(
        "nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3))",
        "nn.Sequential(nn.Flatten(), nn.Linear(16, 3))",
    )
    assert text != RECIPE
    report = over_budget(save(place / "m.py", text), "--flash", "100")
    assert "none of its channels can be pruned" in report["reason"]


def test_budget_smaller_than_any_network_names_the_step_that_binds(place: Path) -> None:
    report = over_budget(save(place / "m.onnx", flatten_net()), "--ram", "64")
    assert "alive together" in report["reason"]
    report = over_budget(save(place / "m.py", RECIPE), "--ram", "64", "--no-train")
    assert report["nearest"]["ram"] > 64
    assert "alive together" in report["reason"]
