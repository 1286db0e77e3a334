"""Recipes, their batches, and datasets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgeprune.errors import UsageError
from edgeprune.model import (
    InputSpec,
    dataset_from_batches,
    input_specs,
    load_dataset,
    load_model,
    random_dataset,
    training_batches,
)
from edgeprune.model.defaults import cross_entropy, top1_accuracy

RECIPES = sorted(Path(__file__).parents[1].glob("recipes/[a-z]*.py"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_load(path):
    model = load_model(path)
    assert model.name == path.stem
    assert model.kind == "torch"
    assert not model.module.training
    data = dataset_from_batches(model.training.train_data(), 20, model.example_inputs)
    assert data.samples == 20
    assert data.inputs[0].shape[1:] == input_specs(model)[0].shape
    score = model.training.metric(model.module, model.training.test_data())
    assert 0 <= score <= (1 if model.training.higher_is_better else np.inf)


def test_batches_of_several_inputs_are_cut_at_the_limit():
    batches = [((torch.ones(3, 2), np.zeros((3, 4))), [0, 1, 2])] * 3
    data = dataset_from_batches(batches, 7)
    assert [array.shape for array in data.inputs] == [(7, 2), (7, 4)]
    assert data.inputs[1].dtype == np.float32
    np.testing.assert_array_equal(data.labels, [0, 1, 2, 0, 1, 2, 0])


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (torch.ones(3, 2), "a Tensor: a pair"),
        ((torch.ones(3, 2),), "a tuple of 1"),
        ((torch.ones(3, 2), torch.ones(2)), r"shapes are \[3, 2\], \[2\]"),
        ((torch.ones(0, 2), torch.ones(0)), "is empty"),
        (("text", torch.ones(1)), "x is a str"),
        ((torch.ones(1, 2), "label"), "y is a str"),
    ],
)
def test_malformed_batches(batch, expected):
    with pytest.raises(UsageError, match=expected):
        list(training_batches([batch]))


def test_batches_that_disagree_with_the_example():
    batches = [(torch.ones(3, 5), torch.zeros(3))]
    with pytest.raises(UsageError, match=r"\[\[5\]\], but example_input\(\) has \[\[4\]\]"):
        dataset_from_batches(batches, 3, (torch.ones(1, 4),))
    with pytest.raises(UsageError, match="int64"):
        dataset_from_batches(batches, 3, (torch.ones(1, 5, dtype=torch.int64),))
    with pytest.raises(UsageError, match="no batches"):
        dataset_from_batches([], 3)


def test_random_data_is_seeded_and_in_range():
    specs = (InputSpec("a", (3,), low=-2.0, high=-1.0), InputSpec("b", (4,), "int64", 0, 7))
    first, second, other = (random_dataset(specs, 50, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.inputs[0], second.inputs[0])
    assert not np.array_equal(first.inputs[0], other.inputs[0])
    assert first.inputs[0].dtype == np.float32
    assert -2 <= first.inputs[0].min() <= first.inputs[0].max() <= -1
    assert first.inputs[1].min() >= 0
    assert first.inputs[1].max() <= 6


def test_data_files(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x_0=np.ones((2, 3)), x_1=np.zeros((2, 4), np.int8), y=np.array([1, 0]))
    data = load_dataset(path, (InputSpec("a", (3,)), InputSpec("b", (4,), "int64")))
    assert [array.dtype for array in data.inputs] == [np.float32, np.int64]
    np.testing.assert_array_equal(data.labels, [1, 0])


def test_default_loss_and_metric():
    network = nn.Identity()
    outputs = torch.tensor([[3.0, 0.0], [0.0, 1.0], [2.0, 1.0]])
    assert top1_accuracy(network, [(outputs, torch.tensor([0, 1, 1]))]) == pytest.approx(2 / 3)
    assert float(cross_entropy(outputs * 100, torch.tensor([0, 1, 0]))) == pytest.approx(0)
    with pytest.raises(UsageError, match=r"define metric\(\) in the recipe"):
        top1_accuracy(network, [(outputs, torch.ones(3))])
    with pytest.raises(UsageError, match=r"define loss\(\) in the recipe"):
        cross_entropy(outputs, outputs)
