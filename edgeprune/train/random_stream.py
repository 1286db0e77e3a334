"""Streams of random numbers kept apart: what shuffles the data does not depend on what a network draws.

Data loaders and dropout draw from the same global generators. Training gives each a state of its own, so that going
through k batches anew brings the data's stream to where it stood after k steps, whatever the network drew meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from edgeprune.seeding import seeded

__all__ = ["RandomStream", "generator_states", "network_seed", "restore_generators", "seed_loader"]


class RandomStream:
    """A state of the global generators of Python, NumPy and torch's CPU, apart from the one outside."""

    def __init__(self, seed: int) -> None:
        with seeded(seed, with_torch=True):
            self._state = _cpu_states()

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Inside the block the global generators are this stream; after it they are as they were before."""
        outside = _cpu_states()
        _restore_cpu(self._state)
        try:
            yield
        finally:
            self._state = _cpu_states()
            _restore_cpu(outside)


def network_seed(seed: int) -> int:
    """The seed of what a network draws while it trains, another than that of its data."""
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])


def seed_loader(loader: Any, seed: int) -> None:
    """Seed the generators that a torch DataLoader brings along, which earlier passes may have moved on."""
    loader = getattr(loader, "batches", loader)
    sampler = getattr(loader, "sampler", None)
    batch_sampler = getattr(loader, "batch_sampler", None)
    for owner in (loader, sampler, batch_sampler, getattr(batch_sampler, "sampler", None)):
        generator = getattr(owner, "generator", None)
        if isinstance(generator, torch.Generator):
            generator.manual_seed(seed)


def generator_states() -> dict[str, Any]:
    """The states of all global generators, as tensors, tuples and numbers."""
    python, numpy, cpu = _cpu_states()
    kind, keys, *rest = numpy
    return {
        "python": python,
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": cpu,
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_generators(states: Mapping[str, Any]) -> None:
    """Bring the global generators to `states`, as `generator_states` gave them."""
    kind, keys, *rest = states["numpy"]
    _restore_cpu((states["python"], (kind, keys.numpy().astype(np.uint32), *rest), states["torch"]))
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


def _cpu_states() -> tuple[Any, Any, torch.Tensor]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _restore_cpu(states: tuple[Any, Any, torch.Tensor]) -> None:
    python, numpy, cpu = states
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(cpu)
