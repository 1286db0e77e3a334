"""Repeatable randomness: the same input and seed give the same bytes, whatever a recipe draws."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

__all__ = ["seeded"]


@contextmanager
def seeded(seed: int, with_torch: bool) -> Iterator[None]:
    """Seed every global generator inside the block, and put their states back after it.

    Args:
        seed: The seed of all of them.
        with_torch: Whether torch's too, which brings torch into the process.
    """
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        if not with_torch:
            yield
            return
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
