"""Published networks, whole: deployed, linked, run in the emulator, bit-exact on every core."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeprune.bundle import read_bundle
from edgeprune.config import Settings
from edgeprune.pipeline import deploy
from edgeprune.recheck import verify_bundle

SHARED = Path(__file__).resolve().parents[3] / "shared"
DATA = {"kws": "kws01", "ic": "ic200"}
DEVICES = ("nucleo-l4r5zi", "nucleo-h743zi", "nucleo-u575zi", "bluepill-f103c8", "host")

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is missing")


def settings(model: str, device: str, place: Path, samples: int, **changes: object) -> Settings:
    data = SHARED / f"data/{DATA[model]}.npz"
    memory = {"flash": "120K", "ram": "60K"} if device == "bluepill-f103c8" else {}
    return Settings(
        SHARED / f"models/{model}.onnx",
        device,
        output=place,
        data=data,
        samples=samples,
        **{**memory, **changes},
    )


@pytest.mark.parametrize("model", DATA)
def test_every_core_gives_the_same_bytes(model: str, tmp_path: Path) -> None:
    outputs = {}
    for device in DEVICES:
        if device == "bluepill-f103c8" and model == "ic":
            continue  # 85 KB of weights are more than its 64 KB of flash
        result = deploy(settings(model, device, tmp_path / device, samples=4))
        assert result.directory is not None, result.report["reason"]
        assert result.report["verify"]["bit_exact"]
        outputs[device] = read_bundle(result.directory).outputs[0]
    first = outputs.pop("nucleo-l4r5zi")
    for device, found in outputs.items():
        np.testing.assert_array_equal(first, found, err_msg=device)


@pytest.mark.parametrize(
    ("model", "ram_limit", "flash_limit", "instruction_limit", "least_accuracy"),
    [("kws", 20 << 10, 48 << 10, 7_701_392, 0.88), ("ic", 54 << 10, 110 << 10, 29_863_886, 0.72)],
)
def test_smaller_and_faster_than_the_peers(
    model: str,
    ram_limit: int,
    flash_limit: int,
    instruction_limit: int,
    least_accuracy: float,
    tmp_path: Path,
) -> None:
    """Limits are those of TensorFlow Lite Micro with CMSIS-NN, or tighter; fewer samples than the benchmark's."""
    report = deploy(settings(model, "nucleo-l4r5zi", tmp_path / model, samples=150)).report
    assert report["fits"]
    assert report["ram"]["total"] <= ram_limit
    assert report["flash"]["total"] <= flash_limit
    assert report["latency"]["instructions"] < instruction_limit
    assert report["accuracy"]["emulated"] >= least_accuracy
    assert report["accuracy"]["emulated"] == pytest.approx(report["accuracy"]["int8"], abs=0.03)


def test_a_finished_bundle_verifies_again_layer_by_layer(tmp_path: Path) -> None:
    place = tmp_path / "kws"
    deploy(settings("kws", "nucleo-l4r5zi", place, samples=3))
    checked = verify_bundle(place, layer_by_layer=True)
    assert checked.samples == 3
    assert checked.layers == 12


def test_ram_is_traded_for_time_when_asked(tmp_path: Path) -> None:
    fast = deploy(settings("kws", "nucleo-l4r5zi", tmp_path / "fast", samples=2)).report
    small = deploy(settings("kws", "nucleo-l4r5zi", tmp_path / "small", samples=2, optimize="ram")).report
    assert small["ram"]["total"] < fast["ram"]["total"]
    assert small["latency"]["instructions"] >= fast["latency"]["instructions"]


def test_impossible_budget_names_what_binds_and_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / "ic"
    result = deploy(settings("ic", "nucleo-l4r5zi", place, samples=2, ram="8K"))
    assert result.directory is None
    assert not place.exists()
    assert list(tmp_path.iterdir()) == []
    assert result.report["fits"] is False
    assert result.report["nearest"]["ram"] > 8 << 10
    assert "alive together" in result.report["reason"]
