"""The float network of a bundle: what runs off the microcontroller is the network that was deployed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import edgeprune
from edgeprune.errors import UsageError
from edgeprune.pipeline import Deployment
from edgeprune.quantize import run_onnx

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
RECIPE = RECIPES / "residual.py"


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A residual network with three fifths of its multiply-accumulates."""
    return edgeprune.deploy(
        RECIPE, device="host", macs="60%", effort=5, rounds=1, samples=4, ignore=["body.1.conv1"],
        output=tmp_path_factory.mktemp("float") / "bundle",
    )  # fmt: skip


@pytest.fixture(scope="module")
def directory(pruned: Deployment) -> Path:
    assert pruned.directory is not None, pruned.report["reason"]
    return pruned.directory


def inputs() -> torch.Tensor:
    return torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(3))


def answers(module: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([module(one[None]) for one in inputs()])


def test_the_users_class_onnx_and_torch_program_are_one_network(directory: Path) -> None:
    module = edgeprune.load_pruned(RECIPE, directory)
    assert type(module).__name__ == "Network"
    assert not module.training
    expected = answers(module)
    program = torch.export.load(directory / "float.pt2").module()
    torch.testing.assert_close(answers(program), expected, atol=1e-5, rtol=1e-5)
    (in_onnx,) = run_onnx((directory / "float.onnx").read_bytes(), (inputs().numpy(),))
    np.testing.assert_allclose(in_onnx, expected.numpy(), atol=1e-5, rtol=1e-5)


def test_layers_keep_their_names_in_onnx(directory: Path) -> None:
    nodes = onnx.load(directory / "float.onnx").graph.node
    assert {"stem.0", "body.1.shortcut", "head"} <= {node.name for node in nodes}
    assert str(RECIPES).encode() not in (directory / "float.onnx").read_bytes()


def test_weights_are_plain_tensors_of_the_widths_in_the_report(directory: Path) -> None:
    state = torch.load(directory / "float_state.pt", weights_only=True)
    report = json.loads((directory / "report.json").read_text())
    groups = {group["name"]: group for group in report["pruning"]["groups"]}
    assert any(group["after"] < group["before"] for group in groups.values())
    for name, group in groups.items():
        assert len(group["kept"] or range(group["before"])) == group["after"]
        assert len(state[f"{name}.weight"]) == group["after"]
    assert len(state["body.1.conv1.weight"]) == 32
    assert report["pruning"]["ignored"] == ["body.1.conv1"]


def test_the_original_is_what_the_pruned_network_is_timed_against(pruned: Deployment) -> None:
    host = pruned.report["host"]
    assert host["threads"] == 1
    assert host["samples"] >= 3
    for runtime in ("onnxruntime_ms", "torch_ms"):
        pair = host[runtime]
        assert pair["ratio"] == pytest.approx(pair["pruned"] / pair["original"])


def test_a_bundle_of_another_network_or_without_weights_is_refused(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not of the network|no channel group|to ignore"):
        edgeprune.load_pruned(RECIPES / "autoencoder.py", directory)
    with pytest.raises(UsageError, match="not an edgeprune bundle"):
        edgeprune.load_pruned(RECIPE, tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(directory, copy)
    (copy / "float_state.pt").write_bytes(b"not weights")
    with pytest.raises(UsageError, match=r"float_state\.pt is missing or damaged"):
        edgeprune.load_pruned(RECIPE, copy)


def test_a_network_that_fits_as_it_is_has_the_files_too(tmp_path: Path) -> None:
    recipe = tmp_path / "small.py"
    recipe.write_text(
        "import torch\n"
        "def model():\n    torch.manual_seed(0)\n    return torch.nn.Linear(6, 4)\n"
        "def example_input(): return torch.zeros(1, 6)\n"
        "def train_data(): return [(torch.rand(8, 6), torch.arange(8) % 4)]\n"
        "test_data = train_data\n"
    )
    made = edgeprune.deploy(recipe, device="host", samples=2, output=tmp_path / "out")
    assert made.directory is not None
    assert made.report["host"] is None
    module = edgeprune.load_pruned(recipe, made.directory)
    given = torch.rand(3, 6)
    (found,) = run_onnx((made.directory / "float.onnx").read_bytes(), (given.numpy(),))
    np.testing.assert_allclose(found, module(given).detach().numpy(), atol=1e-5)
    assert edgeprune.deploy(
        made.directory / "float.pt2", device="host", samples=2, output=tmp_path / "again",
        calibration=_calibration(tmp_path),
    ).directory is not None  # fmt: skip


def _calibration(folder: Path) -> Path:
    path = folder / "calibration.npz"
    np.savez(path, x=np.random.default_rng(0).random((16, 6), np.float32))
    return path
