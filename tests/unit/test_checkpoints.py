"""Checkpoints: what stays after which ending, and which runs may go on from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edgeprune.compress.checkpoints import checkpoints
from edgeprune.config import Settings
from edgeprune.errors import OverBudget, UsageError
from edgeprune.model import Model
from edgeprune.progress import SilentProgress

QUIET = SilentProgress()
MODEL = Model("m", Path("m.onnx"), "onnx-int8", onnx=b"")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    recipe = tmp_path / "recipe.py"
    recipe.write_text("one = 1\n")
    return Settings(recipe, "host", flash="10K")


def ends(settings: Settings, place: Path, error: BaseException) -> None:
    """A run that saves a stage and then ends with `error`."""
    with checkpoints(settings, MODEL, place, QUIET) as kept:
        kept.save("round_1", {"weights": torch.arange(3), "widths": {"a": 4}})
        raise error


def interrupted(settings: Settings, place: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ends(settings, place, KeyboardInterrupt())


def test_an_interrupted_run_goes_on(settings: Settings, tmp_path: Path) -> None:
    interrupted(settings, tmp_path / "out")
    with checkpoints(replace(settings, resume=True), MODEL, tmp_path / "out", QUIET) as kept:
        found = kept.load("round_1")
        assert found is not None
        assert found["widths"] == {"a": 4} and found["weights"].tolist() == [0, 1, 2]
        assert kept.load("round_2") is None
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.py"]


def test_without_resume_a_run_starts_anew(settings: Settings, tmp_path: Path) -> None:
    interrupted(settings, tmp_path / "out")
    with checkpoints(settings, MODEL, tmp_path / "out", QUIET) as kept:
        assert kept.load("round_1") is None


@pytest.mark.parametrize("change", ["settings", "recipe"])
def test_another_run_is_refused(settings: Settings, tmp_path: Path, change: str) -> None:
    interrupted(settings, tmp_path / "out")
    other = replace(settings, resume=True)
    if change == "settings":
        other = replace(other, flash="11K")
    else:
        settings.model.write_text("one = 2\n")
    with pytest.raises(UsageError, match="start anew without --resume"):
        checkpoints(other, MODEL, tmp_path / "out", QUIET).__enter__()


def test_a_refusal_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(OverBudget):
        ends(settings, tmp_path / "out", OverBudget("over budget"))
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.py"]


def test_a_failure_that_names_its_checkpoint_leaves_it(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / ".out.checkpoint"
    with pytest.raises(UsageError):
        ends(settings, tmp_path / "out", UsageError(f"the last good network is in {folder}"))
    assert (folder / "round_1.pt").is_file()


def test_a_damaged_checkpoint_is_refused(settings: Settings, tmp_path: Path) -> None:
    with checkpoints(settings, MODEL, tmp_path / "out", QUIET) as kept:
        kept.path("round_1").write_bytes(b"not a checkpoint")
        with pytest.raises(UsageError, match="damaged"):
            kept.load("round_1")
