"""Correcting the weights that stay for the channels that go.

After a cut every layer reads less. Its surviving weights are set to those that come nearest, in least squares over
calibration data, to what the layer answered in the whole network (He et al., "Channel Pruning for Accelerating Very
Deep Neural Networks", ICCV 2017; for the removal of a set of inputs this is the weight update of Hassibi and Stork,
"Second order derivatives for network pruning: Optimal Brain Surgeon", NIPS 1992, in the layer-wise form of Dong et
al., NIPS 2017). Layers are corrected front to back, so that each sees what the corrected layers before it answer.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from edgeprune.progress import Progress, SilentProgress
from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling, PruningPlan
from edgeprune.prune.equivalence import is_maskable, mask
from edgeprune.prune.moments import Moments, Weighted, answers, fittable, moments, weighted

__all__ = ["DAMPING", "Correction", "correction", "fitted", "reconstruct"]

DAMPING = 1e-2
"""Weights are held to their old values with this share of the patches' mean square."""
_LEAST_DAMPING = 1e-10
"""So much there is always: a channel that is never active leaves its weights open."""


def reconstruct(
    module: torch.nn.Module,
    coupling: Coupling,
    plan: PruningPlan,
    calibration: Calibration,
    damping: float = DAMPING,
    progress: Progress | None = None,
) -> torch.nn.Module:
    """A copy of `module`, still whole, whose weights are right for the cut that `plan` describes.

    `surgery.prune` of the result with the same plan is the corrected, smaller network; its gate holds as ever.
    Convolutions in one and two dimensions and linear layers are corrected, weights and biases; other layers, ones
    whose parameters need no gradient, and ones that share a weight stay as they are, and so does a network whose
    cut only an actual cut imitates (see `equivalence.is_maskable`).

    Args:
        module: The network; it is not changed.
        coupling: Its channel groups.
        plan: What goes.
        calibration: Its batches are run once through the network for every corrected layer.
        damping: How much weights are held to their old values.
        progress: Told of every layer.
    """
    whole = copy.deepcopy(module).eval()
    corrected = copy.deepcopy(whole)
    if not any(plan.removed(group) for group in coupling.groups) or not is_maskable(coupling, plan):
        return corrected
    subject = mask(whole, coupling, plan)
    wanted = answers(whole, fittable(whole).keys(), calibration.batches)
    with (progress or SilentProgress()).task("correcting weights", len(wanted)) as task:
        for name in wanted:
            task.advance(note=name)
            layer = weighted(subject, name)
            found = moments(subject, {name: wanted[name]}, calibration.batches)[name]
            alive = _alive_inputs(coupling, plan, name, layer)
            weight, bias = fitted(layer, found, alive, damping)
            for target in (layer, weighted(corrected, name)):
                _put(target, weight, bias, alive)
    return corrected


def _alive_inputs(coupling: Coupling, plan: PruningPlan, name: str, layer: Weighted) -> torch.Tensor:
    """Which entries of dimension 1 of the layer's weight are still read, as truth values."""
    alive = torch.ones(layer.weight.shape[1], dtype=torch.bool)
    for group in coupling.groups:
        for piece in group.slices:
            if piece.parameter == f"{name}.weight" and piece.dim == 1 and piece.role == "consumes":
                for channel in plan.removed(group):
                    alive[list(piece.indices[channel])] = False
    return alive


@dataclass(frozen=True, eq=False)
class Correction:
    """What correcting any cut of one network takes, where the layers before the readers stay as they are.

    Cheaper than `reconstruct` by the passes over the data, so that many cuts can be tried.
    """

    module: torch.nn.Module
    coupling: Coupling
    moments: Mapping[str, Moments]

    def corrects(self, plan: PruningPlan) -> bool:
        """Whether the cut is read by layers that can be corrected."""
        return bool(self._readers(plan)) and is_maskable(self.coupling, plan)

    def masked(self, plan: PruningPlan) -> torch.nn.Module:
        """The network with the cut masked, and its direct readers corrected for it."""
        subject = mask(self.module, self.coupling, plan)
        if self.corrects(plan):
            for name in self._readers(plan):
                layer = weighted(subject, name)
                alive = _alive_inputs(self.coupling, plan, name, layer)
                whole = weighted(self.module, name)
                _put(layer, *fitted(whole, self.moments[name], alive), alive)
        return subject

    def _readers(self, plan: PruningPlan) -> tuple[str, ...]:
        cut = [group for group in self.coupling.groups if plan.removed(group)]
        names = {
            piece.parameter.removesuffix(".weight")
            for group in cut
            for piece in group.slices
            if piece.role == "consumes" and piece.dim == 1
        }
        return tuple(name for name in self.moments if name in names)


def correction(module: torch.nn.Module, coupling: Coupling, calibration: Calibration) -> Correction:
    """Gather what all readers of groups read, in one pass over the data."""
    whole = copy.deepcopy(module).eval()
    read = {
        piece.parameter for group in coupling.groups for piece in group.slices if piece.role == "consumes"
    }
    names = [name for name in fittable(whole) if f"{name}.weight" in read]
    wanted = answers(whole, names, calibration.batches)
    return Correction(whole, coupling, moments(whole, wanted, calibration.batches))


@torch.no_grad()
def fitted(
    layer: Weighted, found: Moments, alive: torch.Tensor, damping: float = DAMPING
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Weight and bias of least squared error that read only `alive` inputs; what is not alive is zero."""
    groups, patch, outputs = found.cross.shape
    old = layer.weight.detach().double().reshape(groups, outputs, -1).mT
    if layer.bias is not None:
        old = torch.cat([old, layer.bias.detach().double().reshape(groups, 1, outputs)], 1)
    columns = _columns(layer, alive, patch)
    gram = found.gram[:, columns][:, :, columns]
    ridge = max(damping, _LEAST_DAMPING) * gram.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-30)
    damped = gram + ridge[:, None, None] * torch.eye(len(columns), dtype=gram.dtype)
    change = torch.linalg.solve(damped, found.cross[:, columns] - gram @ old[:, columns])
    new = torch.zeros_like(old)
    new[:, columns] = old[:, columns] + change
    bias = None
    if layer.bias is not None:
        bias = new[:, -1].reshape(-1).to(layer.bias.dtype)
        new = new[:, :-1]
    return new.mT.reshape(layer.weight.shape).to(layer.weight.dtype), bias


def _columns(layer: Weighted, alive: torch.Tensor, patch: int) -> torch.Tensor:
    """Positions in a patch of the inputs that are alive, and of the bias."""
    taps = layer.weight[0, 0].numel()
    found = alive.repeat_interleave(taps).nonzero().flatten()
    return found if layer.bias is None else torch.cat([found, torch.tensor([patch - 1])])


@torch.no_grad()
def _put(layer: Weighted, weight: torch.Tensor, bias: torch.Tensor | None, alive: torch.Tensor) -> None:
    """Set what is alive; the rest, which goes, keeps its values."""
    layer.weight[:, alive] = weight[:, alive]
    if bias is not None and layer.bias is not None:
        layer.bias.copy_(bias)
