"""Optimal brain damage: the second-order change of the loss with the diagonal of its Hessian.

LeCun, Denker and Solla, "Optimal Brain Damage", NIPS 1989: half the sum of h w^2 over the weights that go, which for
a channel are those that read it. The diagonal is estimated by Hutchinson's method: with random signs v, the mean of
v (H v) is it. H v is a central difference of gradients, which every operator allows. Batch norm is in evaluation mode.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import ClassVar

import torch

from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling
from edgeprune.prune.filters import rows
from edgeprune.prune.importance.criterion import Criterion, Scores

__all__ = ["CRITERION"]

_PROBES = 8
_STEP = 1e-3
"""How far weights are moved along the random signs, relative to the root of their mean square."""


class _OptimalBrainDamage:
    name: ClassVar[str] = "obd"

    def score(self, module: torch.nn.Module, coupling: Coupling, calibration: Calibration) -> Scores:
        """Every group's scores; a channel whose removal the diagonal holds for a gain scores below zero."""
        read = {
            piece.parameter for group in coupling.groups for piece in group.slices if piece.role == "consumes"
        }
        subject = copy.deepcopy(module).eval().requires_grad_(True)
        parameters = {name: value for name, value in subject.named_parameters() if name in read}
        changes = {
            name: 0.5 * diagonal * parameters[name].detach().square()
            for name, diagonal in _diagonal(subject, parameters, calibration).items()
        }
        scores: dict[str, tuple[float, ...]] = {}
        for group in coupling.groups:
            total = torch.zeros(group.size, dtype=torch.float64)
            for piece in group.slices:
                if piece.role == "consumes" and piece.parameter in changes:
                    total += rows(piece, changes[piece.parameter]).sum(1)
            scores[group.name] = tuple(total.tolist())
        return scores


def _diagonal(
    subject: torch.nn.Module, parameters: Mapping[str, torch.nn.Parameter], calibration: Calibration
) -> Mapping[str, torch.Tensor]:
    """Hutchinson's estimate of the Hessian's diagonal, by parameter."""
    dice = torch.Generator().manual_seed(0)
    total = {name: torch.zeros_like(value) for name, value in parameters.items()}
    for probe in range(_PROBES):
        batch = calibration.batches[probe % len(calibration.batches)]
        one = Calibration((batch,), calibration.loss)
        signs = {
            name: torch.randint(0, 2, value.shape, generator=dice).to(value).mul_(2).sub_(1)
            for name, value in parameters.items()
        }
        steps = {
            name: _STEP * float(value.detach().square().mean().sqrt().clamp_min(1e-6))
            for name, value in parameters.items()
        }
        # One step length for all weights together is what makes this H v, so the smallest serves.
        step = min(steps.values(), default=_STEP)
        ahead = _gradients(subject, parameters, signs, step, one)
        behind = _gradients(subject, parameters, signs, -step, one)
        for name, sign in signs.items():
            total[name] += sign * (ahead[name] - behind[name]) / (2 * step * _PROBES)
    return total


def _gradients(
    subject: torch.nn.Module,
    parameters: Mapping[str, torch.nn.Parameter],
    signs: Mapping[str, torch.Tensor],
    step: float,
    calibration: Calibration,
) -> Mapping[str, torch.Tensor]:
    """Gradients with the weights moved by `step` along `signs`, and back after."""
    before = {name: value.detach().clone() for name, value in parameters.items()}
    with torch.no_grad():
        for name, value in parameters.items():
            value.add_(signs[name], alpha=step)
    subject.zero_grad()
    for inputs, target in calibration.batches:
        torch.autograd.backward(calibration.loss(subject(*inputs), target))
    found = {
        name: torch.zeros_like(value) if value.grad is None else value.grad.clone()
        for name, value in parameters.items()
    }
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(before[name])
    return found


CRITERION: Criterion = _OptimalBrainDamage()
