"""What a network loses on data it was trained on and on data it was not: the generalisation gap."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from edgeprune.errors import UsageError
from edgeprune.model.data import training_batches
from edgeprune.model.model import Model
from edgeprune.model.user_code import running_user_code
from edgeprune.progress import Progress, SilentProgress
from edgeprune.seeding import seeded
from edgeprune.train.data import first_samples, on_device

__all__ = ["Gap", "generalisation"]


@dataclass(frozen=True)
class Gap:
    """Mean loss of a network, in evaluation mode, on training data and on test data."""

    train_loss: float
    test_loss: float

    @property
    def difference(self) -> float:
        """By how much the loss on test data is higher: what regularisation is to lower."""
        return self.test_loss - self.train_loss


def generalisation(
    model: Model,
    module: torch.nn.Module,
    limit: int = 2000,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Gap:
    """The recipe's loss of `module` on the first `limit` samples of training and of test data (whole batches).

    Training batches come as training gets them, augmented if the recipe augments, which raises their loss.

    Args:
        model: Where data and loss come from.
        module: The network to judge; left in evaluation mode.
        limit: About how many samples of each to judge by.
        seed: Makes the choice of training samples repeatable: equal for the same recipe and seed.
        progress: Told of it.

    Raises:
        UsageError: there are no data, they are malformed, or a loss is not a finite number.
    """
    if model.training is None:
        raise UsageError(
            f"{model.name} has no data to judge it by; give a recipe with train_data() and test_data()"
        )
    module.eval()
    with (progress or SilentProgress()).task("measuring the generalisation gap"):
        with seeded(seed, with_torch=True):
            train = _mean_loss(model, module, model.training.train_data(), limit, "training")
        return Gap(train, _mean_loss(model, module, model.training.test_data(), limit, "test"))


@torch.no_grad()
def _mean_loss(model: Model, module: torch.nn.Module, data: Iterable[Any], limit: int, kind: str) -> float:
    assert model.training is not None
    device = next((value.device for value in module.parameters()), torch.device("cpu"))
    total, count = 0.0, 0
    for batch in training_batches(first_samples(data, limit)):
        inputs, target = on_device(batch, device)
        with running_user_code(model.path, f"the loss of the network on {kind} data"):
            loss = float(model.training.loss(module(*inputs), target))
        if not math.isfinite(loss):
            raise UsageError(
                f"the network's loss on its {kind} data is {loss}; check its weights, data and loss"
            )
        total += loss * len(target)
        count += len(target)
    if count == 0:
        raise UsageError(f"the {kind} data of {model.name} has no batch; give it at least one")
    return total / count
