"""A library that takes an image of bytes, deployed as a user does: the bundle verifies itself again, and says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgeprune
from edgeprune.bundle import read_bundle
from edgeprune.config import Settings
from edgeprune.errors import UsageError
from edgeprune.pipeline import deploy
from edgeprune.recheck import verify_bundle
from tests.support.onnx_models import residual_net

MEANS, STDS = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def test_a_bundle_that_takes_bytes(tmp_path: Path) -> None:
    model, data, place = tmp_path / "net.onnx", tmp_path / "data.npz", tmp_path / "bundle"
    model.write_bytes(residual_net())
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8)).astype(np.float32)
    normalised = (images - np.float32(MEANS).reshape(3, 1, 1)) / np.float32(STDS).reshape(3, 1, 1)
    np.savez(data, x=normalised)
    result = edgeprune.deploy(
        model,
        device="nucleo-l4r5zi",
        data=data,
        output=place,
        input_uint8=True,
        input_mean=MEANS,
        input_std=",".join(map(str, STDS)),
    )
    report = result.report
    assert report["verify"]["bit_exact"]
    assert report["layers"][0]["op"] == "FromBytes"
    assert " ".join(report["command"]).count("--input-") == 3
    stored = read_bundle(place).inputs[0]
    np.testing.assert_array_equal(stored[:, 0], images.transpose(0, 2, 3, 1))
    assert stored.dtype == np.uint8
    assert verify_bundle(place, layer_by_layer=True).layers == len(report["layers"])


def test_bytes_are_no_floats(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(residual_net())
    asked = Settings(tmp_path / "net.onnx", "nucleo-l4r5zi", dtype="float32", input_uint8=True, input_std="1")
    with pytest.raises(UsageError, match="leave out --input-uint8, or --dtype float32"):
        deploy(asked)
