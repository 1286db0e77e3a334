"""Torch-Pruning's methods (Fang et al., "DepGraph", CVPR 2023; release 1.6.1) under the benchmark's protocol.

Each importance ranks uniformly (every layer loses the same share) or globally (all channels in one ranking). The
share is searched so that the network's multiply-accumulates come as near below the target as the method can. Methods
that end in "-rounds" remove a little at a time and look at the network anew before each piece, as the library's
iterative pruning does; those that end in "-by-4" keep multiples of 4.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.pruning_protocol import Bench, products

__all__ = ["INSTALL", "METHODS", "peer_prune"]

INSTALL = "install the peer first: python -m pip install --no-deps torch-pruning==1.6.1"
_IMPORTANCES = ("l1", "l2", "taylor", "hessian", "lamp", "fpgm", "bn", "random")
METHODS = (
    *(f"{name}-{scope}" for name in _IMPORTANCES for scope in ("uniform", "global")),
    *(f"{name}-global-rounds" for name in ("l2", "taylor", "hessian")),
    *(f"{name}-by-4" for name in ("l1-uniform", "l2-global", "taylor-global")),
)
_PIECES = 100
_GRADIENT_SAMPLES = 512


def peer_prune(bench: Bench, method: str, share: float, seed: int) -> nn.Module:
    """The network with channels removed until its products are at most `share` of the whole's.

    Raises:
        ImportError: Torch-Pruning is not installed.
    """
    example = bench.model.example_inputs[0]
    target = share * products(bench.network, example)
    if method.endswith("-rounds"):
        return _in_pieces(bench, method, target, seed)
    # The largest network at or below the target: the share of channels that goes, by halving.
    low, high, best = 0.0, 0.95, None
    for _ in range(9):
        middle = (low + high) / 2
        network = _one_piece(bench, method, middle, seed)
        if products(network, example) <= target:
            high, best = middle, network
        else:
            low = middle
    if best is None:
        raise RuntimeError(f"{method} does not reach {share:.0%} of the products")
    return best


def _one_piece(bench: Bench, method: str, ratio: float, seed: int) -> nn.Module:
    network = copy.deepcopy(bench.network)
    torch.manual_seed(seed)
    importance, look = _importance(method)
    pruner = _pruner(bench, network, importance, method, ratio, pieces=1)
    look(bench, network, importance, seed)
    pruner.step()
    return network


def _in_pieces(bench: Bench, method: str, target: float, seed: int) -> nn.Module:
    network = copy.deepcopy(bench.network)
    torch.manual_seed(seed)
    importance, look = _importance(method)
    pruner = _pruner(bench, network, importance, method, 0.95, pieces=_PIECES)
    for _ in range(_PIECES):
        look(bench, network, importance, seed)
        pruner.step()
        if products(network, bench.model.example_inputs[0]) <= target:
            return network
    raise RuntimeError(f"{method} does not reach the target")


def _pruner(bench: Bench, network: nn.Module, importance: Any, method: str, ratio: float, pieces: int) -> Any:
    import torch_pruning

    return torch_pruning.pruner.BasePruner(
        network,
        bench.model.example_inputs[0],
        importance=importance,
        global_pruning="-global" in method,
        pruning_ratio=ratio,
        max_pruning_ratio=0.95,
        iterative_steps=pieces,
        ignored_layers=[network.fc],
        round_to=4 if method.endswith("-by-4") else None,
    )


def _importance(method: str) -> tuple[Any, Callable[[Bench, nn.Module, Any, int], None]]:
    """The library's importance, and what has to be done to the network before it is asked."""
    from torch_pruning import importance

    made = {
        "l1": lambda: importance.GroupMagnitudeImportance(p=1),
        "l2": lambda: importance.GroupMagnitudeImportance(p=2),
        "taylor": importance.GroupTaylorImportance,
        "hessian": importance.GroupHessianImportance,
        "lamp": importance.LAMPImportance,
        "fpgm": importance.FPGMImportance,
        "bn": importance.BNScaleImportance,
        "random": importance.RandomImportance,
    }
    name = method.partition("-")[0]
    looks = {"taylor": _gradients, "hessian": _squared_gradients}
    return made[name](), looks.get(name, _nothing)


def _nothing(bench: Bench, network: nn.Module, importance: Any, seed: int) -> None:
    """Needs no data."""


def _gradients(bench: Bench, network: nn.Module, importance: Any, seed: int) -> None:
    """The gradient of the mean loss over some training images."""
    network.zero_grad()
    images, labels = _samples(bench, seed)
    for part, target in zip(images.split(128), labels.split(128), strict=True):
        torch.autograd.backward(F.cross_entropy(network(part), target, reduction="sum") / len(images))


def _squared_gradients(bench: Bench, network: nn.Module, importance: Any, seed: int) -> None:
    """The mean square of each image's own gradient, where the importance reads it.

    The library's `accumulate_grad` means to build it up image by image, and in this release keeps the last image's
    only (it looks its sums up by name and stores them by parameter). So the mean is put in place for it.
    """
    images, labels = _samples(bench, seed)
    parameters = {name: value.detach() for name, value in network.named_parameters()}
    buffers = {name: value.detach() for name, value in network.named_buffers()}

    def loss(values: dict[str, torch.Tensor], image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        output = torch.func.functional_call(network, (values, buffers), (image[None],))
        return F.cross_entropy(output, label[None])

    each = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))
    total = {name: torch.zeros_like(value) for name, value in parameters.items()}
    for part, target in zip(images.split(64), labels.split(64), strict=True):
        for name, gradient in each(parameters, part, target).items():
            total[name] += gradient.square().sum(0)
    importance.zero_grad()
    for name, parameter in network.named_parameters():
        parameter.grad = total[name] / len(images)


def _samples(bench: Bench, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = bench.train
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    chosen = order[:_GRADIENT_SAMPLES]
    return images[chosen], labels[chosen]
