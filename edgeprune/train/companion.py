"""What goes along with a training: masks that are held, arithmetic that is imitated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch

__all__ = ["Companion", "HeldZeros", "prunable_weights"]


class Companion(Protocol):
    """Accompanies a training from before its first step until after its last."""

    @property
    def name(self) -> str:
        """What it is, with its settings: trainings with other companions are other trainings."""

    def attach(self, subject: torch.nn.Module) -> None:
        """Prepare `subject`, which may still be moved to another device."""

    def after_step(self, step: int) -> None:
        """The optimizer has taken step number `step`, counted from 1."""

    def finish(self, trained: torch.nn.Module) -> None:
        """Leave `trained`, the subject or a network with its parameters, as it is to be used; may come twice."""

    def state(self) -> dict[str, Any]:
        """What must be kept besides the network's own values to go on later."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; called after `attach`, with the network's values restored."""


def prunable_weights(module: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """By name, the weights of `module` that are matrices or kernels, train, and are no table of embeddings."""
    tables = {
        id(part.weight)
        for part in module.modules()
        if isinstance(part, torch.nn.Embedding | torch.nn.EmbeddingBag)
    }
    return {
        name: parameter
        for name, parameter in module.named_parameters()
        if "weight" in name.rpartition(".")[2]
        and parameter.dim() >= 2
        and parameter.requires_grad
        and id(parameter) not in tables
    }


class HeldZeros:
    """Keeps weights that are zero when training starts at zero: a sparse network stays sparse.

    A weight that is zero throughout is a start of its own (as of a residual branch) and not held.
    """

    name = "held zeros"

    def __init__(self) -> None:
        self._subject: torch.nn.Module | None = None
        self._masks: dict[str, torch.Tensor] = {}

    def attach(self, subject: torch.nn.Module) -> None:
        """Note which weights are zero."""
        self._subject = subject
        weights = prunable_weights(subject)
        self._masks = {name: weight.detach() != 0 for name, weight in weights.items() if weight.any()}

    def after_step(self, step: int) -> None:
        """Set them to zero again."""
        assert self._subject is not None
        self._zero(self._subject)

    def finish(self, trained: torch.nn.Module) -> None:
        """Set them to zero in `trained`."""
        self._zero(trained)

    def state(self) -> dict[str, Any]:
        """Nothing: the zeros are in the network."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to do."""

    @torch.no_grad()
    def _zero(self, network: torch.nn.Module) -> None:
        for name, weight in prunable_weights(network).items():
            if name in self._masks:
                weight.mul_(self._masks[name].to(weight.device))
