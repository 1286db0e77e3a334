"""Recipes that lack something or fail: each is refused in one sentence."""

from pathlib import Path

import pytest
import torch

from edgeprune.errors import UsageError
from edgeprune.model import load_model
from tests.support.refusals import load_refusal

RECIPE = """
import torch
from torch import nn


def model():
    return nn.Linear(3, 2)


def example_input():
    return torch.zeros(1, 3)


def train_data():
    return [(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))]


test_data = train_data
"""


def recipe(folder, text):
    path = folder / "recipe.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["model", "example_input", "train_data", "test_data"])
def test_recipe_lacks_a_function(tmp_path, name):
    text = RECIPE.replace(f"def {name}(", "def other(").replace("test_data = train_data", "test_data = other")
    if name == "test_data":
        text = RECIPE.replace("test_data = train_data", "")
    elif name != "train_data":
        text = text.replace("test_data = other", "test_data = train_data")
    assert f"{name}()" in load_refusal(recipe(tmp_path, text))


def test_recipe_without_data_serves_an_analysis(tmp_path):
    text = RECIPE.split("def train_data")[0]
    assert "train_data() and test_data()" in load_refusal(recipe(tmp_path, text))
    assert load_model(recipe(tmp_path, text), needs_data=False).training is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "return nn.Linear(3, 2)",
            "raise ValueError('no\\nweights')",
            "recipe.py:7: model() raised ValueError: no",
        ),
        ("return nn.Linear(3, 2)", "return 7", "returns a int"),
        ("return nn.Linear(3, 2)", "return nn.Linear(4, 2)", "model() called on example_input()"),
        ("return nn.Linear(3, 2)", "exit(3)", "SystemExit"),
        ("return torch.zeros(1, 3)", "return [1.0]", "a tensor or a tuple of tensors"),
        ("return torch.zeros(1, 3)", "return torch.zeros(0, 3)", "[0, 3]"),
        ("import torch\n", "import torhc\n", "recipe.py:2: the recipe raised ModuleNotFoundError"),
        ("def model():", "def model(:", "recipe.py:6: the recipe raised SyntaxError"),
        (
            "return nn.Linear(3, 2)",
            "net = nn.Linear(3, 2); net.weight.data[0] = float('nan'); return net",
            "'weight'",
        ),
    ],
)
def test_recipe_that_fails(tmp_path, old, new, expected):
    assert old in RECIPE
    assert expected in load_refusal(recipe(tmp_path, RECIPE.replace(old, new, 1)))


def test_recipe_named_by_a_relative_path_that_fails(tmp_path, monkeypatch):
    recipe(tmp_path, RECIPE.replace("return nn.Linear(3, 2)", "raise ValueError('no')"))
    monkeypatch.chdir(tmp_path)
    assert load_refusal(Path("recipe.py")).startswith("recipe.py:7: model() raised")


@pytest.mark.parametrize(("value", "says"), [("'x'", "str"), ("output - output", r"shape \[4, 2\]")])
def test_recipe_whose_loss_is_no_number(tmp_path, value, says):
    model = load_model(recipe(tmp_path, RECIPE + f"\ndef loss(output, y): return {value}\n"))
    with pytest.raises(UsageError, match=rf"loss\(\) returns {says}"):
        model.training.loss(torch.zeros(4, 2), torch.zeros(4))


def test_recipe_whose_data_fails_while_it_is_read(tmp_path):
    text = RECIPE.replace("return [(", "yield from [(").replace(
        "int64))]", "int64))]\n    raise OSError('disk')"
    )
    model = load_model(recipe(tmp_path, text))
    with pytest.raises(UsageError, match=r"recipe.py:\d+: iterating train_data\(\) raised OSError: disk"):
        list(model.training.train_data())
