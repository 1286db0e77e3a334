"""What may be asked of pruning besides a device's budget: ceilings, a loss, criteria, rounds, single weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edgeprune
from edgeprune.api import Deployment
from edgeprune.errors import UsageError

RECIPE = Path(__file__).parents[1] / "recipes" / "residual.py"


def deploy(place: Path, **options: Any) -> Deployment:
    given = {"device": "host", "effort": 8, "samples": 4, "rounds": 1, "output": place, **options}
    return edgeprune.deploy(RECIPE, **given)


def test_ceilings_on_work_and_size_in_rounds(tmp_path: Path) -> None:
    report = deploy(tmp_path / "out", macs="45%", params="60%", rounds=2, effort=20).report
    assert report["fits"] and report["verify"]["bit_exact"]
    assert report["macs"] <= report["budget"]["macs"] == int(0.45 * report["pruning"]["unpruned"]["macs"])
    assert report["parameters"] <= report["budget"]["parameters"]
    pruning = report["pruning"]
    assert pruning["rounds"] == 2 and pruning["steps"] == 20
    assert [record["steps"] for record in pruning["history"]] == [2]
    assert set(pruning["generalization"]) == {"train_loss", "test_loss", "gap"}
    before = pruning["history"][0]["widths"]
    assert all(group["after"] <= before[group["name"]] <= group["before"] for group in pruning["groups"])


def test_a_ceiling_that_cannot_be_kept_is_named(tmp_path: Path) -> None:
    result = deploy(tmp_path / "out", params="100")
    assert result.directory is None
    assert "parameters" in result.report["reason"] and result.report["nearest"]["parameters"] > 100


def test_the_smallest_network_within_a_loss(tmp_path: Path) -> None:
    result = deploy(tmp_path / "out", accuracy_drop=60.0, optimize="flash", rounds=None)
    assert result.report["fits"]
    assert result.report["flash"]["total"] < 0.5 * result.report["pruning"]["unpruned"]["flash"]


def test_single_weights_go_and_stay_gone(tmp_path: Path) -> None:
    result = deploy(tmp_path / "out", sparsity="unstructured:0.25", sparsify="during", effort=20)
    assert result.report["fits"] and result.directory is not None
    assert result.report["pruning"]["sparsity"] == {
        "pattern": "unstructured",
        "density": 0.25,
        "when": "during",
    }
    state = torch.load(result.directory / "float_state.pt", weights_only=True)
    weights = [value for name, value in state.items() if name.endswith("weight") and value.dim() > 1]
    kept = sum(int(value.count_nonzero()) for value in weights) / sum(value.numel() for value in weights)
    assert kept == pytest.approx(0.25, abs=0.01)
    sparse = [layer["sparsity"] for layer in result.report["layers"] if layer["sparsity"] is not None]
    assert np.mean(sparse) > 0.5


def test_every_criterion_has_a_name_to_ask_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no importance 'luck'; choose one of .*taylor"):
        deploy(tmp_path / "out", macs="50%", importance="luck")
    report = deploy(tmp_path / "out", macs="50%", importance="taylor", effort=2).report
    assert report["pruning"]["criterion"] == "taylor"
