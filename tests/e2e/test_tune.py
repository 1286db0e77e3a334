"""`--tune`: candidates measured in the emulator, remembered, and chosen by what they took."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeprune.compile import lower
from edgeprune.config import Settings
from edgeprune.device import load_device
from edgeprune.pipeline import deploy
from edgeprune.progress import SilentProgress
from edgeprune.tune import tune
from edgeprune.tune.measure import code_digest
from edgeprune.tune.trials import rivals, trial_programs
from tests.support.onnx_models import residual_net, sequence_net

DEVICE = "nucleo-l4r5zi"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def report(tmp_path: Path, tuned: bool) -> dict[str, Any]:
    model = tmp_path / "net.onnx"
    model.write_bytes(residual_net())
    place = tmp_path / f"bundle_{tuned}"
    return deploy(Settings(model, DEVICE, samples=2, tune=tuned, output=place)).report


def test_a_tuned_network_is_exact_and_no_slower(tmp_path: Path) -> None:
    tuned, plain = report(tmp_path, tuned=True), report(tmp_path, tuned=False)
    assert tuned["verify"]["bit_exact"]
    assert tuned["tuning"]["measured_candidates"] > len(tuned["layers"])
    assert plain["tuning"]["measured_candidates"] == 0
    # Beside other layers a candidate finds other lines in the flash's cache than in its trial.
    assert tuned["latency"]["cycles"] <= 1.02 * plain["latency"]["cycles"]
    assert all(layer["next_best"]["cycles"] > 0 for layer in tuned["layers"] if layer["next_best"])


def test_what_was_measured_is_remembered(tmp_path: Path) -> None:
    graph, device = lower(residual_net(), "net"), load_device(DEVICE)
    first = tune(graph, device, tmp_path / "first", SilentProgress())
    assert tune(graph, device, tmp_path / "second", SilentProgress()) == first
    assert not (tmp_path / "second").exists()
    assert set(first) == {(one.nodes[-1].name, one.name) for one in rivals(graph, device)}


def test_other_measuring_code_is_told_from_this(tmp_path: Path) -> None:
    def digest(**files: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            (folder / name).mkdir(parents=True)
            (folder / name / "model.py").write_text(text)
        return code_digest((folder,))

    assert digest(cores="WAIT = 1") == digest(cores="WAIT = 1")
    assert len({digest(cores="WAIT = 1"), digest(cores="WAIT = 2"), digest(core="WAIT = 1")}) == 3


def test_trials_hold_every_candidate_once_within_the_board() -> None:
    graph, device = lower(sequence_net(), "net"), load_device(DEVICE)
    assert device.emulator is not None
    candidates = rivals(graph, device)
    small = replace(device.emulator, flash_bytes=8 << 10)
    programs = list(trial_programs(candidates, replace(device, emulator=small)))
    assert len(programs) > 1
    found = [step.candidate for program in programs for step in program.steps]
    assert found == [one for one in candidates if one.flash_bytes <= small.flash_bytes // 2]
