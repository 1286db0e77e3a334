"""A trained network on real images keeps its accuracy in int8."""

from pathlib import Path

import pytest
import torch

from edgeprune.model import dataset_from_batches, load_model
from edgeprune.quantize import quantize, run_onnx, signal_to_noise_db
from tests.support.completeness import unquantised_tensors

RECIPE = Path(__file__).parents[3] / "shared/recipes/ic_resnet8.py"


@pytest.mark.skipif(not RECIPE.exists(), reason="needs the images of the shared data")
def test_resnet8_within_a_point_and_a_half_of_float():
    model = load_model(RECIPE)
    calibration = dataset_from_batches(model.training.train_data(), 64, model.example_inputs)
    test = dataset_from_batches(model.training.test_data(), 500, model.example_inputs)
    data = quantize(model, calibration)
    with torch.no_grad():
        expected = model.module(torch.from_numpy(test.inputs[0])).numpy()
    (actual,) = run_onnx(data, test.inputs)
    accuracies = [(output.argmax(1) == test.labels).mean() for output in (expected, actual)]
    assert accuracies[0] - accuracies[1] <= 0.015
    assert signal_to_noise_db([expected], [actual]) > 27
    assert unquantised_tensors(data) == []
