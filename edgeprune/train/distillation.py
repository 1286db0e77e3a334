"""The part of the loss that makes a pruned network answer as the whole one did."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

__all__ = ["distillation_loss"]

_TEMPERATURE = 4.0


def distillation_loss(student: Any, teacher: Any, target: Any) -> torch.Tensor:
    """How far the student's outputs are from the teacher's.

    Where targets are class numbers and outputs [N, classes], the Kullback-Leibler divergence of softened
    probabilities (Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, section 2). Otherwise
    the squared difference relative to the variance of the teacher's outputs, summed over outputs.
    """
    if _classifies(student, target):
        return _TEMPERATURE**2 * F.kl_div(
            F.log_softmax(student / _TEMPERATURE, 1),
            F.log_softmax(teacher / _TEMPERATURE, 1),
            reduction="batchmean",
            log_target=True,
        )
    pairs = zip(_tensors(student), _tensors(teacher), strict=True)
    return torch.stack([F.mse_loss(own, other) / other.var().clamp_min(1e-12) for own, other in pairs]).sum()


def _classifies(output: Any, target: Any) -> bool:
    return (
        isinstance(output, torch.Tensor)
        and isinstance(target, torch.Tensor)
        and output.dim() == 2
        and target.dim() == 1
        and not target.is_floating_point()
    )


def _tensors(output: Any) -> list[torch.Tensor]:
    leaves = torch.utils._pytree.tree_leaves(output)
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()]
