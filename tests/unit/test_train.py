"""Fine-tuning, evaluation and batch-norm statistics on small networks and made-up data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from edgeprune.errors import UsageError
from edgeprune.model.model import Model, Training
from edgeprune.prune import gather, recalibrate
from edgeprune.train import Schedule, TrainingDiverged, evaluate, fine_tune
from edgeprune.train.data import endless
from edgeprune.train.distillation import distillation_loss
from tests.support.zoo import build

GENERATOR = torch.Generator().manual_seed(1)
X = torch.randn(200, 3, 8, 8, generator=GENERATOR)
Y = (X.mean((2, 3)) * torch.tensor([1.0, 1.0, -1.0])).argmax(1)


def loader(shuffle: bool = True) -> Iterable[Any]:
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), 20, shuffle=shuffle)


def accuracy(module: torch.nn.Module, data: Iterable[Any]) -> float:
    pairs = [(int((module(x).argmax(1) == y).sum()), len(y)) for x, y in data]
    return 100 * sum(right for right, _ in pairs) / sum(count for _, count in pairs)


TRAINING = Training(loader, lambda: loader(False), F.cross_entropy, accuracy, "top-1", True, None)
MODEL = Model("toy", Path("toy.py"), "torch", training=TRAINING)


class Counting:
    """Progress that remembers how far it came."""

    def __init__(self) -> None:
        self.done, self.total = 0.0, 0.0

    @contextmanager
    def task(self, title: str, total: float | None = None) -> Iterator[Counting]:
        self.total = total or 0
        yield self

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.done += amount

    def say(self, text: str) -> None: ...


def same(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_training_learns_repeatably_and_leaves_its_input_alone() -> None:
    network, _ = build("Residual")
    untouched, _ = build("Residual")
    progress = Counting()
    torch.manual_seed(5)
    first = fine_tune(MODEL, network, 40, seed=3, progress=progress)
    state = torch.get_rng_state()
    torch.manual_seed(5)
    assert torch.equal(state, torch.get_rng_state())
    assert same(first, fine_tune(MODEL, network, 40, seed=3))
    assert not same(first, fine_tune(MODEL, network, 40, seed=4))
    assert same(network, untouched)
    assert not first.training
    assert evaluate(MODEL, first) > evaluate(MODEL, network) + 10
    assert progress.done == progress.total == 40


def test_parameters_that_need_no_gradient_stay() -> None:
    network, _ = build("Residual")
    network.stem.weight.requires_grad_(False)
    trained = fine_tune(MODEL, network, 5)
    assert torch.equal(trained.stem.weight, network.stem.weight)
    assert not trained.stem.weight.requires_grad
    assert not torch.equal(trained.inner.weight, network.inner.weight)


def test_a_teacher_is_imitated() -> None:
    network, _ = build("Residual", seed=0)
    teacher, _ = build("Residual", seed=9)
    only_teacher = Schedule(distillation=1.0)
    trained = fine_tune(MODEL, network, 40, teacher=teacher, schedule=only_teacher)
    with torch.no_grad():
        before = float(distillation_loss(network(X), teacher(X), Y))
        assert float(distillation_loss(trained(X), teacher(X), Y)) < before / 2


def test_distillation_of_other_outputs_is_scale_free() -> None:
    teacher, student = torch.randn(4, 3, 6), torch.randn(4, 3, 6)
    once = distillation_loss((student,), (teacher,), torch.zeros(4, 3, 6))
    scaled = distillation_loss((student * 100,), (teacher * 100,), torch.zeros(4, 3, 6))
    assert float(once) == pytest.approx(float(scaled), rel=1e-4)
    assert float(distillation_loss(teacher, teacher, Y[:4])) == 0


def test_a_loss_that_is_no_number_stops_with_the_step_and_the_last_good_state() -> None:
    network, _ = build("Residual")
    calls = iter(range(1000))
    poisoned = dataclasses.replace(
        TRAINING, loss=lambda out, y: F.cross_entropy(out, y) * (float("nan") if next(calls) == 6 else 1.0)
    )
    with pytest.raises(TrainingDiverged, match="step 7: the loss is nan") as caught:
        fine_tune(dataclasses.replace(MODEL, training=poisoned), network, 20)
    assert caught.value.step == 7
    assert torch.isfinite(caught.value.last_good(X)).all()


def test_the_recipes_own_way_is_taken() -> None:
    seen: list[int] = []

    def own(
        module: torch.nn.Module, train: Iterable[Any], test: Iterable[Any], steps: int
    ) -> torch.nn.Module:
        seen.append(steps)
        return module

    network, _ = build("Residual")
    mine = dataclasses.replace(MODEL, training=dataclasses.replace(TRAINING, fine_tune=own))
    assert same(fine_tune(mine, network, 7), network)
    assert seen == [7]
    wrong = dataclasses.replace(TRAINING, fine_tune=lambda *_: None)
    with pytest.raises(UsageError, match="return the module"):
        fine_tune(dataclasses.replace(MODEL, training=wrong), network, 7)


def test_no_steps_change_nothing() -> None:
    network, _ = build("Residual")
    assert same(fine_tune(MODEL, network, 0), network)


def test_without_data_there_is_nothing_to_train_or_judge() -> None:
    network, _ = build("Residual")
    bare = dataclasses.replace(MODEL, training=None)
    with pytest.raises(UsageError, match="toy has no training data"):
        fine_tune(bare, network, 5)
    with pytest.raises(UsageError, match="toy has no test data"):
        evaluate(bare, network)
    with pytest.raises(UsageError, match="no batch"):
        next(endless(lambda: []))
    with pytest.raises(UsageError, match="toy has no training data"):
        gather(bare)
    with pytest.raises(UsageError, match="pair"):
        next(endless(lambda: [X]))


def test_metric_must_be_a_number() -> None:
    network, _ = build("Residual")
    broken = dataclasses.replace(TRAINING, metric=lambda *_: float("nan"))
    with pytest.raises(UsageError, match="'top-1' of toy is nan"):
        evaluate(dataclasses.replace(MODEL, training=broken), network)


def test_a_limit_takes_the_first_batches() -> None:
    network, _ = build("Residual")
    sizes: list[int] = []
    counting = dataclasses.replace(
        TRAINING, metric=lambda module, data: sizes.append(sum(len(y) for _, y in data)) or 1.0
    )
    evaluate(dataclasses.replace(MODEL, training=counting), network, limit=50)
    assert sizes == [60]


def test_what_the_recipes_code_raises_is_the_users() -> None:
    network, _ = build("Residual")
    broken = dataclasses.replace(TRAINING, loss=lambda out, y: F.cross_entropy(out, y + 100))
    with pytest.raises(UsageError, match=r"toy.py: training the network raised IndexError"):
        fine_tune(dataclasses.replace(MODEL, training=broken), network, 3)


def test_one_shot_iterators_are_asked_for_anew() -> None:
    stream = endless(lambda: iter([(X[:2], Y[:2])]))
    assert len([next(stream) for _ in range(5)]) == 5


def test_calibration_is_laid_into_equal_batches_and_repeatable() -> None:
    first, second = gather(MODEL, 90, 50), gather(MODEL, 90, 50)
    assert [len(y) for _, y in first.batches] == [45, 45]
    assert torch.equal(first.batches[1][0][0], second.batches[1][0][0])


def test_recalibrated_statistics_are_those_of_the_data() -> None:
    network, _ = build("Residual")
    recalibrate(network, [((X[:100],), None), ((X[100:],), None)])
    values = network.stem(X)
    assert torch.allclose(network.norm.running_mean, values.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(network.norm.running_var, values.var((0, 2, 3)), rtol=0.02)
    assert network.norm.momentum == 0.1
    assert not network.training
