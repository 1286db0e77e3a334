"""First-order Taylor expansion of the loss at the removal of a channel.

Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019: the squared change of the loss,
to first order, averaged over batches. Here the removal of a channel is exactly the zeroing of the weights that
read it, so the change is the sum of weight times gradient over those. Batch norm is in evaluation mode.
"""

from __future__ import annotations

import copy
from itertools import islice
from typing import ClassVar

import torch

from edgeprune.prune.calibration import Batch, Calibration
from edgeprune.prune.coupling import Coupling, Group
from edgeprune.prune.importance.criterion import Criterion, Scores

__all__ = ["CRITERION", "squared_changes"]

_SAMPLES = 16
"""Samples a gradient is averaged over before it is squared: few, or opposite effects cancel."""


class _Taylor:
    name: ClassVar[str] = "taylor"

    def score(self, module: torch.nn.Module, coupling: Coupling, calibration: Calibration) -> Scores:
        """Every group's scores."""
        return squared_changes(module, coupling, calibration, _SAMPLES)


def squared_changes(
    module: torch.nn.Module,
    coupling: Coupling,
    calibration: Calibration,
    samples_together: int,
    most_parts: int | None = None,
) -> Scores:
    """The squared change of the loss, to first order, at each channel's removal, summed over parts of the data.

    Args:
        module: The network; it is not changed.
        coupling: Its groups.
        calibration: The data and the loss.
        samples_together: Samples of a part, whose gradients are averaged.
        most_parts: Look at so many parts only.
    """
    subject = copy.deepcopy(module).eval().requires_grad_(True)
    parameters = dict(subject.named_parameters())
    totals = {group.name: torch.zeros(group.size, dtype=torch.float64) for group in coupling.groups}
    parts = (part for batch in calibration.batches for part in _parts(batch, samples_together))
    for inputs, target in islice(parts, most_parts):
        subject.zero_grad()
        torch.autograd.backward(calibration.loss(subject(*inputs), target))
        for group in coupling.groups:
            totals[group.name] += _change(group, parameters).square()
    return {name: tuple(total.tolist()) for name, total in totals.items()}


def _parts(batch: Batch, samples: int) -> list[Batch]:
    """A batch in parts of `samples`."""
    inputs, target = batch
    columns = [torch.split(value, samples) for value in (*inputs, target)]
    return [(tuple(row), last) for *row, last in zip(*columns, strict=True)]


def _change(group: Group, parameters: dict[str, torch.nn.Parameter]) -> torch.Tensor:
    """The loss's change, to first order, at the removal of each channel."""
    change = torch.zeros(group.size, dtype=torch.float64)
    for piece in group.slices:
        parameter = parameters.get(piece.parameter)
        if piece.role != "consumes" or parameter is None or parameter.grad is None:
            continue
        products = (parameter.detach() * parameter.grad).double().movedim(piece.dim, 0)
        rows = products.reshape(products.shape[0], -1).sum(1).cpu()
        change += rows[torch.tensor(piece.indices)].sum(1)
    return change


CRITERION: Criterion = _Taylor()
