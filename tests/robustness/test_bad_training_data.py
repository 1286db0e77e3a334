"""Data that cannot be trained with: one sentence that says what to do, status 2."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgeprune.prune import gather
from edgeprune.train import (
    evaluate,
    fine_tune,
    generalisation,
    quantization_aware,
)
from tests.support.refusals import RECIPE, deploy, load, one_sentence, refused, save

DATA = "[(torch.rand(8, 1, 4, 4), torch.arange(8) % 3)]"
NETWORK = "nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3)).eval()"

IMAGE = "__import__('PIL.Image').Image.new('L', (4, 4))"
X, Y = "torch.rand(8, 1, 4, 4)", "torch.arange(8) % 3"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (f"[{{'x': {X}, 'y': {Y}}}]", r"a dict: a pair \(x, y\) is expected"),
        (f"[({{'image': {X}}}, {Y})]", "x is a dict: a tensor or an array of numbers is expected"),
        (f"[({IMAGE}, 3)]", "x is a Image: a tensor or an array"),
        (f"[([{IMAGE}] * 8, {Y})]", "x is a Image: a tensor or an array"),
        (f"[(({X}).mul(255).byte(), {Y})]", r"torch\.uint8, but example_input\(\) is torch\.float32: convert"),
        (f"[(({X}).long(), {Y})]", r"torch\.int64, but example_input\(\) is torch\.float32: convert"),
        (f"[(({X}) * 1j, {Y})]", "torch.complex64"),
        (f"[(({X}).to_sparse(), {Y})]", r"x is a tensor that is torch\.sparse_coo"),
        (f"[(({X}).to('meta'), {Y})]", "x is a tensor that is on the meta device"),
        (f"[({X}, __import__('numpy').array(list('abcabcab')))]", "y is an array of <U1"),
        (f"[({X}, __import__('numpy').array([None] * 8))]", "y is an array of object"),
        (f"[({X}, list('abcabcab'))]", "y is a list of 8"),
        (f"[({X}, None)]", "y is a NoneType"),
        (f"[({X}, {Y}, 3)]", "a tuple of 3: a pair"),
        (f"[({X}, torch.arange(7) % 3)]", "mixes lengths"),
        ("[None]", "a NoneType: a pair"),
        ("[]", "no batches"),
        ("iter(())", "no batches"),
        ("None", r"train_data\(\) returns a NoneType"),
        ("[(torch.rand(0, 1, 4, 4), torch.arange(0))]", "batch 0 of the recipe's data is empty"),
        (f"[({X}, {Y}), (torch.rand(0, 1, 4, 4), torch.arange(0))]", "batch 1 of the recipe's data is empty"),
        ("[(torch.rand(8, 1, 5, 4), torch.arange(8) % 3)]", r"shape \[\[1, 5, 4\]\], but example_input\(\) has"),
    ],
)  # fmt: skip
def test_data_of_odd_kinds(place: Path, data: str, says: str) -> None:
    path = save(place / "m.py", RECIPE.replace(DATA, data))
    refused(2, *deploy(path), says=says)


@pytest.mark.parametrize(
    "data",
    [
        "[(__import__('numpy').random.rand(8, 1, 4, 4), __import__('numpy').arange(8) % 3)]",
        f"[(({X}).numpy().astype('>f4')[:, :, ::-1], ({Y}).numpy())]",
        f"[[{X}, [0, 1, 2, 0, 1, 2, 0, 1]]]",
        f"[(({X}).half(), ({Y}).char())]",
        f"[(({X}).bfloat16(), torch.arange(8) % 2 == 0)]",
        f"[(({X}).double().requires_grad_(), {Y})]",
        f"[([{X}], {Y})]",
        f"(batch for batch in [({X}, {Y})])",
    ],
)  # fmt: skip
def test_data_of_odd_kinds_that_mean_something(tmp_path: Path, data: str) -> None:
    model = load(tmp_path, (DATA, data))
    gather(model)
    assert torch.isfinite(fine_tune(model, model.module, 2)(model.example_inputs[0])).all()
    assert 0 <= evaluate(model, model.module) <= 1
    generalisation(model, model.module)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ("torch.rand(8)", r"integer labels \[N\], not \[8, 3\] torch.float32 and \[8\] torch.float32: define loss"),
        ("torch.eye(3)[torch.arange(8) % 3]", r"\[8, 3\] torch.float32: define loss"),
        ("(torch.arange(8) % 3)[:, None]", r"\[8, 1\] torch.int64: define loss"),
        ("torch.arange(8)", "label 3 names no class: the network's 3 outputs are the classes 0 to 2"),
        ("torch.arange(8) % 3 - 1", "label -1 names no class"),
    ],
)  # fmt: skip
def test_labels_of_the_wrong_type_or_shape(tmp_path: Path, labels: str, says: str) -> None:
    model = load(tmp_path, ("torch.arange(8) % 3", labels))
    for train in (fine_tune, quantization_aware):
        with one_sentence(says):
            train(model, model.module, 2)
    with one_sentence(says):
        generalisation(model, model.module)


def test_a_single_sample_teaches_no_statistics(tmp_path: Path) -> None:
    network = (
        "nn.Sequential(nn.Flatten(), nn.Linear(16, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 3)).eval()"
    )
    model = load(tmp_path, (NETWORK, network), ("torch.rand(8,", "torch.rand(1,"), ("arange(8)", "arange(1)"))
    with one_sentence("a single sample: statistics need two or more"):
        gather(model)
    with one_sentence("holds one sample, of which batch normalisation cannot learn: .*drop_last=True"):
        fine_tune(model, model.module, 2)


def test_a_loader_that_dies_later(tmp_path: Path) -> None:
    more = "def train_data():\n    yield from test_data()\n    raise OSError('tape torn')"
    model = load(tmp_path, more=more)
    with one_sentence(r"m\.py:\d+: iterating train_data\(\) raised OSError: tape torn"):
        fine_tune(model, model.module, 5)
