"""A few batches of training data, gathered once, on which channels and widths are judged."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from edgeprune.errors import UsageError
from edgeprune.model.model import Training

__all__ = ["Batch", "Calibration", "gather", "split_batch"]

Batch: TypeAlias = tuple[tuple[Any, ...], Any]
"""The network's inputs and the target."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Batches of training data and the loss that judges them."""

    batches: tuple[Batch, ...]
    loss: Callable[[Any, Any], torch.Tensor]


def split_batch(batch: Any) -> Batch:
    """A recipe's batch `(x, y)`, x a tensor or a tuple of them, as inputs and target.

    Raises:
        UsageError: it is not a pair.
    """
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise UsageError(f"the training data yields {type(batch).__name__}; make it yield pairs (x, y)")
    x, y = batch
    return (tuple(x) if isinstance(x, (tuple, list)) else (x,)), y


def gather(training: Training, samples: int = 512, batch_size: int = 128, seed: int = 0) -> Calibration:
    """The first `samples` samples of the training data, shuffled as a loader does it under `seed`.

    Where inputs and targets are tensors they are laid anew into equal batches of at most `batch_size`, because
    statistics of a batch stand in for those of the data (see `edgeprune.prune.batch_norm`).

    Raises:
        UsageError: there is no training data, or it does not yield pairs.
    """
    batches: list[Batch] = []
    count = 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for item in training.train_data():
            batch = split_batch(item)
            batches.append(batch)
            count += len(batch[0][0])
            if count >= samples:
                break
    if not batches:
        raise UsageError("train_data() yields no batch; give it at least one")
    return Calibration(_laid_anew(batches, samples, batch_size), training.loss)


def _laid_anew(batches: list[Batch], samples: int, batch_size: int) -> tuple[Batch, ...]:
    tensors = [(*inputs, target) for inputs, target in batches]
    if not all(isinstance(value, torch.Tensor) and value.dim() for row in tensors for value in row):
        return tuple(batches)
    columns = list(zip(*tensors, strict=True))
    if any(len({value.shape[1:] for value in column}) > 1 for column in columns):
        return tuple(batches)
    whole = [torch.cat(column)[:samples] for column in columns]
    count = math.ceil(len(whole[0]) / batch_size)
    parts = list(zip(*(value.tensor_split(count) for value in whole), strict=True))
    return tuple((tuple(inputs), target) for *inputs, target in parts)
