"""Training data as an endless stream of batches, and on the device that trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from edgeprune.errors import UsageError
from edgeprune.model.data import check_against, training_batches
from edgeprune.prune.calibration import Batch
from edgeprune.train.random_stream import seed_loader

__all__ = ["best_device", "endless", "first_samples", "on_device"]


def endless(
    data: Callable[[], Iterable[Any]], seed: int | None = None, examples: Sequence[torch.Tensor] = ()
) -> Iterator[Batch]:
    """Batches without end: a loader is run through again and again, and asked for anew once it is used up.

    Args:
        data: Makes the loader.
        seed: Seeds a generator of the first loader's own, if it has one.
        examples: What the network takes; the first batch must be like it.

    Raises:
        UsageError: the data yields no batch, or something else than pairs of what the network takes.
    """
    while True:
        loader = data()
        if seed is not None:
            seed_loader(loader, seed)
            seed = None
        passes = 0
        while True:
            empty = True
            for batch in training_batches(loader):
                empty = False
                if examples:
                    check_against(batch[0], examples)
                    examples = ()
                yield batch
            if empty:
                break
            passes += 1
        if not passes:
            raise UsageError("train_data() yields no batch; give it at least one")


def first_samples(data: Iterable[Any], limit: int) -> Iterator[Any]:
    """Batches of `data`, as they are, until they hold `limit` samples; the last may go beyond."""
    count = 0
    for batch in training_batches(data):
        if count >= limit:
            return
        inputs, target = batch
        yield (inputs if len(inputs) > 1 else inputs[0]), target
        count += len(target)


def best_device() -> torch.device:
    """A CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def on_device(batch: Batch, device: torch.device) -> Batch:
    """`batch` on `device`, all that is floating-point in single precision as networks take and give it."""
    inputs, target = batch
    *moved, answer = (value.to(device) for value in (*inputs, target))
    *single, wanted = (value.float() if value.is_floating_point() else value for value in (*moved, answer))
    return tuple(single), wanted
