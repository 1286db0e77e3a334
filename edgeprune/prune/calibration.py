"""A few batches of training data, gathered once, on which channels and widths are judged."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from edgeprune.errors import UsageError
from edgeprune.model.data import dataset_from_batches
from edgeprune.model.model import Model
from edgeprune.model.user_code import guarded

__all__ = ["Batch", "Calibration", "gather"]

Batch: TypeAlias = tuple[tuple[torch.Tensor, ...], torch.Tensor]
"""The network's inputs and the targets, of one length."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Batches of training data and the loss that judges them."""

    batches: tuple[Batch, ...]
    loss: Callable[[Any, Any], torch.Tensor]


def gather(model: Model, samples: int = 512, batch_size: int = 128, seed: int = 0) -> Calibration:
    """The first `samples` samples of the training data, shuffled as a loader does it under `seed`.

    They are laid anew into equal batches of at most `batch_size`, because statistics of a batch stand in for
    those of the data (see `edgeprune.prune.batch_norm`).

    Raises:
        UsageError: there is no training data, a single sample, or it is malformed.
    """
    if model.training is None:
        raise UsageError(f"{model.name} has no training data; give a recipe with train_data() to prune it")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        data = dataset_from_batches(model.training.train_data(), samples, model.example_inputs or None)
    assert data.labels is not None
    if data.samples < 2:
        raise UsageError(f"train_data() of {model.name} holds a single sample: statistics need two or more")
    whole = [torch.from_numpy(array) for array in (*data.inputs, data.labels)]
    count = math.ceil(data.samples / batch_size)
    rows = zip(*(value.tensor_split(count) for value in whole), strict=True)
    batches = tuple((tuple(inputs), target) for *inputs, target in rows)
    return Calibration(batches, guarded(model.path, "loss", model.training.loss))
