"""Networks with zeros, whole: those that arrive with them as ONNX, and those that edgeprune makes sparse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import edgeprune
from benchmarks.synthetic import Layer, network
from edgeprune.report.zeros import zeros_facts

TESTS = Path(__file__).parents[1]
RECIPE, ZEROS = TESTS / "recipes" / "residual.py", TESTS / "support" / "zeros_recipe.py"
BY_INPUTS = ("conv_s8_dsp_gathered", "conv_s8_dsp_picked")
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
    assert rows["sparse"]["kernel"].startswith((*BY_INPUTS, "conv_s8_c_indexed"))
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
    assert any(layer["kernel"].startswith(BY_INPUTS) for layer in report["layers"])


def test_patterns_are_chosen_by_layer_where_a_budget_calls_for_them(tmp_path: Path) -> None:
    whole = edgeprune.deploy(
        RECIPE, device="nucleo-l4r5zi", sparsity="auto", samples=2, output=tmp_path / "whole"
    ).report
    assert whole["pruning"]["sparsity"] is None
    assert all(layer["density"] in (None, 1) for layer in whole["layers"])
    report = edgeprune.deploy(
        RECIPE,
        device="nucleo-l4r5zi",
        sparsity="auto",
        latency=f"{0.85 * whole['latency']['ms']}ms",
        minimum={"stem.0": 16, "body.0.conv1": 16, "body.1.conv1": 32, "body.1.conv2": 32},
        effort=8,
        samples=2,
        output=tmp_path / "sparse",
    ).report
    assert report["fits"] and report["verify"]["bit_exact"]
    assert all(group["before"] == group["after"] for group in report["pruning"]["groups"])
    chosen = report["pruning"]["sparsity"]["layers"]
    rows = {layer["name"]: layer for layer in report["layers"]}
    assert chosen
    assert report["pruning"]["sparsity"]["density"] < 1
    assert all(rows[one["name"]]["sparsity"] > 0.4 for one in chosen)
    assert any((rows[one["name"]]["zeros_saved"] or {"cycles": 0})["cycles"] > 0 for one in chosen)


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_every_pattern_of_a_network_that_arrives_is_found(kind: str, tmp_path: Path) -> None:
    """As a recipe, and as the int8 ONNX file that a deployment of it wrote; single rows and weights among them."""
    options = {"device": "nucleo-l4r5zi", "samples": 3}
    report = edgeprune.deploy(ZEROS, train=False, **options, output=tmp_path / "torch").report
    if kind == "onnx":
        model = tmp_path / "torch" / "model.onnx"
        report = edgeprune.deploy(model, **options, output=tmp_path / "onnx").report
    assert report["fits"] and report["verify"]["bit_exact"]
    rows = {layer["name"]: layer for layer in report["layers"]}
    for name in ("shared", "blocks", "singles", "rows", "wide"):
        assert rows[name]["density"] < 0.7, name
        assert rows[name]["zeros_saved"] is not None
    for name in ("first", "last"):
        assert rows[name]["density"] == 1
        assert rows[name]["zeros_saved"] is None
    (words,) = (words for title, words in zeros_facts(report["layers"]) if title == "zeros")
    assert "skipped in " in words and "few" in words
