"""`--tvm-output object`: kernels as machine code by LLVM, linked, run and compared as those in C are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeprune.bundle import read_report
from edgeprune.config import Settings
from edgeprune.errors import UsageError
from edgeprune.pipeline import deploy
from edgeprune.recheck import verify_bundle
from tests.support.float_models import separable
from tests.support.islands import float_network
from tests.support.onnx_models import MODELS
from tests.support.packaged import call
from tests.support.tools import lacking

pytest.importorskip("tvm")


DEVICES = ("mps2-an386", "mps3-an547", "host")


@pytest.fixture(scope="module", params=DEVICES)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    model, place = folder / "small.onnx", folder / "bundle"
    model.write_bytes(separable())
    deploy(Settings(model, request.param, output=place, dtype="float32", tvm_output="object", samples=3))
    return place


def test_a_float_network_of_objects(bundle: Path) -> None:
    report = read_report(bundle)
    assert {row["compiled_by"] for row in report["layers"]} == {"llvm"}
    assert report["tools"]["llvm"].startswith("LLVM ")
    assert report["verify"]["max_relative_difference"] < 1e-5
    assert report["library"]["archives"] == ["libsmall_kernels.a"]
    assert (bundle / "library/libsmall_kernels.a").read_bytes().startswith(b"!<arch>\n")
    assert "fmaf" not in (bundle / "library/small.c").read_text()
    assert verify_bundle(bundle, layer_by_layer=True).layers == len(report["layers"])


@pytest.mark.skipif(lacking("cmake"), reason="CMake is not installed")
@pytest.mark.parametrize("bundle", DEVICES[:1], indirect=True)
def test_the_package_links_them(bundle: Path) -> None:
    folder = bundle / "package/cmake"
    call("cmake", "-S", ".", "-B", "build", "--toolchain", "cmake/toolchain.cmake", cwd=folder)
    call("cmake", "--build", "build", cwd=folder)
    assert "small: the self test passes" in call("ctest", "--test-dir", "build", "--verbose", cwd=folder)
    assert "small: the self test passes" in call("make", "run", cwd=folder)


def test_a_network_without_such_kernels_has_none(tmp_path: Path) -> None:
    model = tmp_path / "residual.onnx"
    model.write_bytes(MODELS["residual"]())
    with pytest.raises(UsageError, match="no kernel of this network comes from TVM"):
        deploy(Settings(model, "mps2-an386", output=tmp_path / "bundle", tvm_output="object"))


@pytest.mark.parametrize("device", ["nucleo-g0b1re", "riscv-virt"])
def test_islands_of_a_core_without_an_fpu(device: str, tmp_path: Path) -> None:
    model = tmp_path / "islands.onnx"
    model.write_bytes(float_network())
    images = np.random.default_rng(1).standard_normal((16, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "calibration.npz", x=images)
    settings = Settings(
        model,
        device,
        output=tmp_path / "bundle",
        calibration=tmp_path / "calibration.npz",
        samples=4,
        tvm_output="object",
    )
    report = deploy(settings).report
    assert report["backend"] == "auto"
    assert [row["name"] for row in report["layers"] if row["compiled_by"] == "llvm"] == ["normalise", "norm"]
    assert report["verify"]["first_mismatch"] is None
    said = call("make", "run", cwd=tmp_path / "bundle/package/cmake")
    assert "islands: the self test passes" in said
