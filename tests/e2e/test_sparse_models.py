"""Networks with zeros, whole: those that arrive with them as ONNX, and those that edgeprune makes sparse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import edgeprune
from benchmarks.synthetic import Layer, network

RECIPE = Path(__file__).parents[1] / "recipes" / "residual.py"
LAYERS = (
    Layer("conv", 32, (3, 3), pads=(1, 1, 1, 1)),
    Layer("conv", 48),
    Layer("mean"),
    Layer("fully_connected", 10),
)


def thinned(model: bytes) -> bytes:
    """The network with a quarter of the inputs of every 16 outputs left in its second convolution."""
    rng, proto = np.random.default_rng(0), onnx.load_from_string(model)
    for tensor in proto.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if tensor.name.endswith("weights_stored") and weights.shape == (48, 32, 1, 1):
            kept = np.repeat(rng.random((3, 32)) < 0.25, 16, axis=0).reshape(weights.shape)
            tensor.CopyFrom(numpy_helper.from_array(weights * kept, tensor.name))
    return proto.SerializeToString()


@pytest.mark.parametrize("device", ["nucleo-l4r5zi", "riscv-virt"])
def test_zeros_that_arrive_are_skipped_without_loss(device: str, tmp_path: Path) -> None:
    dense = network((16, 8, 8), LAYERS)
    reports = {}
    for name, model in (("dense", dense), ("sparse", thinned(dense))):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(model)
        reports[name] = edgeprune.deploy(path, device=device, samples=4, output=tmp_path / name).report
    rows = {name: report["layers"][1] for name, report in reports.items()}
    assert all(report["fits"] and report["verify"]["bit_exact"] for report in reports.values())
    assert rows["sparse"]["kernel"].startswith(("conv_s8_dsp_gathered", "conv_s8_c_indexed"))
    assert rows["sparse"]["density"] < 0.4 < 0.6 < rows["sparse"]["sparsity"]
    assert rows["dense"]["density"] == 1
    assert rows["sparse"]["cycles"] < 0.8 * rows["dense"]["cycles"]
    assert rows["sparse"]["flash"] < rows["dense"]["flash"]


def test_blocks_of_weights_go_and_are_skipped(tmp_path: Path) -> None:
    report = edgeprune.deploy(
        RECIPE,
        device="nucleo-l4r5zi",
        sparsity="shared16:0.2",
        effort=8,
        samples=2,
        output=tmp_path / "out",
    ).report
    assert report["fits"] and report["verify"]["bit_exact"]
    assert report["pruning"]["sparsity"] == {"pattern": "shared16", "density": 0.2, "when": "after"}
    assert any("gathered" in layer["kernel"] for layer in report["layers"])
