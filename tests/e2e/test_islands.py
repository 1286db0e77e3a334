"""Operators without an integer form run in float32 between int8 layers, in one library; nothing does so unsaid."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from edgeprune.config import Settings
from edgeprune.emulate import Measurement
from edgeprune.errors import MissingTool, UsageError, VerificationFailed
from edgeprune.firmware import Image
from edgeprune.graph.ir import Array
from edgeprune.pipeline import deploy
from edgeprune.progress import Progress
from edgeprune.recheck import verify_bundle
from edgeprune.runners import QemuRunner
from tests.support.islands import float_network

FLOATS = ["normalise", "norm"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "islands.onnx"
    path.write_bytes(float_network())
    images = np.random.default_rng(1).standard_normal((16, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "calibration.npz", x=images)
    return path


def settings(model: Path, **changes: object) -> Settings:
    values = {"device": "mps2-an386", "calibration": model.parent / "calibration.npz", "samples": 6}
    return Settings(model, output=model.parent / "bundle", **{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("device", "fpu"), [("mps2-an386", True), ("mps2-an385", False)])
def test_two_operators_run_in_float(model: Path, device: str, fpu: bool) -> None:
    result = deploy(settings(model, device=device))
    report = result.report
    assert result.directory is not None
    assert (report["dtype"], report["backend"]) == ("int8", "auto")
    assert [row["name"] for row in report["layers"] if row["dtype"] == "float32"] == FLOATS
    assert [row["name"] for row in report["layers"] if row["source"] == "tvm"] == FLOATS
    assert report["tools"]["tvm"].startswith("0.")
    assert report["in_float"]["layers"] == FLOATS
    assert report["in_float"]["fpu"] is fpu
    assert 0 < report["in_float"]["share"] < 1
    assert report["verify"]["first_mismatch"] is None
    assert report["verify"]["max_difference_to_onnx"] <= 3
    assert verify_bundle(result.directory).layers == 0


def test_our_kernels_alone_refuse_them(model: Path) -> None:
    with pytest.raises(UsageError, match=r"operator LRN \(node 'normalise'.* without --backend c it runs in"):
        deploy(settings(model, backend="c"))


def test_without_tvm_it_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model.write_bytes(float_network(neighbours=5))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tvm" else find(name))
    with pytest.raises(MissingTool, match=r"LRN in float32 needs Apache TVM.*pip install 'edgeprune\[tvm\]'"):
        deploy(settings(model))


@dataclass(frozen=True)
class WrongBoard(QemuRunner):
    """A board that returns something else of its last input than its library computes."""

    place: str = "the board"

    def run(
        self, image: Image, inputs: tuple[Array, ...], *, progress: Progress | None = None
    ) -> Measurement:
        measurement = super().run(image, inputs, progress=progress)
        outputs = tuple(array.copy() for array in measurement.outputs)
        outputs[0][-1] ^= 1
        return replace(measurement, outputs=outputs)


def test_outputs_of_a_board_are_judged(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeprune.pipeline.choose_runner", lambda name, port: WrongBoard())
    with pytest.raises(VerificationFailed, match=r"the board differs .* element 0 of sample 5"):
        deploy(settings(model))
