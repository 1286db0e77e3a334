"""What every pruning test of a network checks, and cuts at random."""

from __future__ import annotations

import random

import torch

from edgeprune.prune import Coupling, Group, PruningPlan, analyse, prune

__all__ = ["assert_cuts", "some_of"]


def some_of(group: Group, pick: random.Random) -> tuple[int, ...]:
    """A random cut; of attention's channels a box."""
    columns = group.size // group.heads
    heads, lines = (pick.sample(range(size), pick.randint(1, size)) for size in (group.heads, columns))
    return tuple(sorted(head * columns + line for head in heads for line in lines))


def assert_cuts(
    network: torch.nn.Module, inputs: tuple[torch.Tensor, ...], seed: str, cuts: int = 2
) -> Coupling:
    """Analyse, cut at random (surgery's own gate compares each cut to the mask), run with one sample and three."""
    before = [parameter.clone() for parameter in network.parameters()]
    coupling = analyse(network, inputs)
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    names = {name for name, _ in network.named_parameters()}
    pick = random.Random(seed)
    for _ in range(cuts):
        keep = {group.name: some_of(group, pick) for group in coupling.groups}
        smaller = prune(network, coupling, PruningPlan(keep))
        assert type(smaller) is type(network) or coupling.form == "graph"
        assert {name for name, _ in smaller.named_parameters()} <= names
        whole = all(len(keep[group.name]) == group.size for group in coupling.groups)
        assert whole or _count(smaller) < _count(network)
        for samples in (1, 3) if coupling.anatomy.trace.any_batch else (1,):
            results = smaller(*(torch.cat([value] * samples) for value in inputs))
            for result in torch.utils._pytree.tree_leaves(results):
                assert len(result) == samples
    return coupling


def _count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
