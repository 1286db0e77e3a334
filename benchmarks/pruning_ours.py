"""The product's pruning under the benchmark's protocol."""

from __future__ import annotations

import copy

from torch import nn

from benchmarks.pruning_protocol import Bench, Descent

__all__ = ["METHODS", "our_prune", "whole"]

METHODS: tuple[str, ...] = ()


def whole(bench: Bench) -> nn.Module:
    """The unpruned network."""
    return copy.deepcopy(bench.network)


def our_prune(bench: Bench, method: str, share: float, seed: int, descent: Descent) -> nn.Module:
    """The network pruned to `share` of its products; rounds spend steps of `descent`."""
    raise ValueError(method)
