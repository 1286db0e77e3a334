"""Float networks: deployed as they are, linked, run in the emulator, within 1e-4 of onnxruntime."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeprune.config import Settings
from edgeprune.errors import UsageError
from edgeprune.pipeline import deploy
from edgeprune.recheck import verify_bundle
from tests.support.float_models import separable

DEVICE = "mps2-an386"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    path.write_bytes(separable())
    return path


def test_a_float_network_is_deployed_as_it_is(model: Path, tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    report = deploy(Settings(model, DEVICE, output=place, dtype="float32", samples=4)).report
    assert report["fits"]
    assert (report["dtype"], report["backend"]) == ("float32", "tvm")
    assert report["verify"]["tolerance"] == 1e-4
    assert report["verify"]["max_relative_difference"] < 1e-5
    assert {layer["source"] for layer in report["layers"]} == {"tvm"}
    assert [layer["name"] for layer in report["layers"]][:3] == ["first", "depthwise", "pointwise"]
    assert "float *small_input_0(" in (place / "library/small.h").read_text()
    assert verify_bundle(place, layer_by_layer=True).layers == len(report["layers"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"backend": "c"}, "come from TVM"),
        ({"device": "bluepill-f103c8"}, "no FPU"),
        ({"calibration": Path("x.npz")}, "--calibration"),
        ({"dtype": "int8", "backend": "tvm"}, "TVM's kernels are for float32"),
        ({"tvm_output": "object", "package": ("amalgamation",)}, "holds no machine code"),
        ({"tvm_output": "object", "dtype": "int8", "backend": "c"}, "machine code is of TVM's kernels"),
    ],
)
def test_what_float32_cannot_be_asked_for(model: Path, changes: dict[str, object], sentence: str) -> None:
    settings = Settings(**{"model": model, "device": DEVICE, "dtype": "float32", **changes})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=sentence):
        deploy(settings)
