"""Training data as an endless stream of batches, and on the device that trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from edgeprune.errors import UsageError
from edgeprune.prune.calibration import Batch, split_batch

__all__ = ["best_device", "endless", "first_samples", "to_device"]


def endless(data: Callable[[], Iterable[Any]]) -> Iterator[Batch]:
    """Batches without end: a loader is run through again and again, a one-shot iterator is asked for anew.

    Raises:
        UsageError: the data yields no batch, or something else than pairs.
    """
    loader = data()
    while True:
        batches = iter(loader)
        empty = True
        for item in batches:
            empty = False
            yield split_batch(item)
        if empty:
            raise UsageError("train_data() yields no batch; give it at least one")
        if batches is loader:
            loader = data()


def first_samples(data: Iterable[Any], limit: int) -> list[Any]:
    """The first batches of `data`, as they are, until they hold `limit` samples; the last may go beyond."""
    taken: list[Any] = []
    count = 0
    for item in data:
        if count >= limit:
            break
        taken.append(item)
        count += len(split_batch(item)[0][0])
    return taken


def best_device() -> torch.device:
    """A CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def to_device(value: Any, device: torch.device) -> Any:
    """`value` with every tensor inside it on `device`."""
    return torch.utils._pytree.tree_map_only(torch.Tensor, lambda tensor: tensor.to(device), value)
