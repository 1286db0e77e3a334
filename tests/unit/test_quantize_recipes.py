"""Every recipe of the tests, quantised: complete, near to float, its layers named, the same bytes every time."""

from pathlib import Path

import onnx
import pytest
import torch

from edgeprune.model import dataset_from_batches, load_model
from edgeprune.quantize import quantize, run_onnx, signal_to_noise_db
from tests.support.completeness import unquantised_tensors

RECIPES = sorted(Path(__file__).parents[1].glob("recipes/[a-z]*.py"))
LAYERS = {
    "depthwise_separable": [
        "stem.0",
        "body.0.0",
        "body.0.3",
        "body.1.0",
        "body.1.3",
        "body.2.0",
        "body.2.3",
        "head",
    ],
    "embedding_classifier": ["embed", "norm", "hidden", "head"],
    "gru": ["rnn", "head"],
    "lstm": ["rnn", "rnn_2", "head"],
    "unet": ["down1.0", "down2.0", "middle.0", "up2", "merge2.0", "merge1.0", "head"],
}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_quantise_completely_and_closely(path):
    model = load_model(path)
    calibration = dataset_from_batches(model.training.train_data(), 32, model.example_inputs)
    test = dataset_from_batches(model.training.test_data(), 32, model.example_inputs)
    data = quantize(model, calibration)
    with torch.no_grad():
        expected = model.module(torch.from_numpy(test.inputs[0])).numpy()
    assert unquantised_tensors(data) == []
    assert signal_to_noise_db([expected], run_onnx(data, test.inputs)) > 28
    nodes = onnx.load_model_from_string(data).graph.node
    names = [node.name for node in nodes if not node.op_type.endswith(("QuantizeLinear", "DequantizeLinear"))]
    assert len(set(names)) == len(names)
    assert [name for name in names if name in LAYERS.get(path.stem, ())] == LAYERS.get(path.stem, [])
    if path.stem in ("gru", "unet"):
        assert quantize(model, calibration) == data
