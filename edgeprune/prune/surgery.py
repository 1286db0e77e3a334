"""`prune`: take channels out of a copy of the network, which stays an object of the user's own classes."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping

import torch

from edgeprune.errors import UsageError
from edgeprune.prune.attributes import refresh
from edgeprune.prune.coupling import Coupling, PruningPlan
from edgeprune.prune.equivalence import difference, mask

__all__ = ["CutRefused", "prune"]


class CutRefused(UsageError):
    """A cut that would not leave the same function; `reason` is the clause that says why."""

    def __init__(self, groups: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"cannot remove channels of {groups}: {reason}; put them on the list to ignore")


def prune(module: torch.nn.Module, coupling: Coupling, plan: PruningPlan) -> torch.nn.Module:
    """A smaller copy of `module`, with the channels that `plan` removes gone for good.

    Parameters and buffers are cut along their dimensions and the sizes that torch's modules keep are set
    anew. The result must be the function that the original is with those channels' readers set to zero: see
    `edgeprune.prune.equivalence`, which every cut passes.

    Raises:
        CutRefused: the pruned network does not run or is another function; one of the groups cannot be cut.
        UsageError: the plan names an unknown group or channel, or empties a group.
    """
    _check(coupling, plan)
    kept = _kept(module, coupling, plan)
    if not kept:
        return copy.deepcopy(module)
    pruned = copy.deepcopy(module)
    _cut(pruned, kept)
    problem = difference(pruned, mask(module, coupling, plan), coupling.example_inputs)
    if problem is not None:
        cut = ", ".join(group.name for group in coupling.groups if plan.removed(group))
        raise CutRefused(cut, problem)
    return pruned


def _check(coupling: Coupling, plan: PruningPlan) -> None:
    for name, channels in plan.keep.items():
        size = coupling.group(name).size
        if not channels or any(not 0 <= channel < size for channel in channels):
            raise UsageError(
                f"the plan for group {name!r} must keep between 1 and {size} of its channels 0 to {size - 1}"
            )


def _kept(
    module: torch.nn.Module, coupling: Coupling, plan: PruningPlan
) -> Mapping[str, Mapping[int, torch.Tensor]]:
    """Per parameter and dimension that loses something, the indices that stay."""
    gone: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for group in coupling.groups:
        for channel in plan.removed(group):
            for piece in group.slices:
                gone[piece.parameter][piece.dim].update(piece.indices[channel])
    state = dict(module.named_parameters()) | dict(module.named_buffers())
    return {
        name: {
            dim: torch.tensor([index for index in range(state[name].shape[dim]) if index not in indices])
            for dim, indices in dims.items()
        }
        for name, dims in gone.items()
    }


def _cut(module: torch.nn.Module, kept: Mapping[str, Mapping[int, torch.Tensor]]) -> None:
    """Replace the tensors of `module` in every place that holds them, shared ones too."""
    state = dict(module.named_parameters()) | dict(module.named_buffers())
    smaller: dict[int, torch.Tensor] = {}
    for name, dims in kept.items():
        tensor = state[name]
        value = tensor.detach()
        for dim, indices in dims.items():
            value = value.index_select(dim, indices.to(value.device))
        value = value.clone()
        is_parameter = isinstance(tensor, torch.nn.Parameter)
        smaller[id(tensor)] = torch.nn.Parameter(value, tensor.requires_grad) if is_parameter else value
    for part in module.modules():
        own = {**part._parameters, **part._buffers}
        changed = {name: smaller[id(tensor)] for name, tensor in own.items() if id(tensor) in smaller}
        for name, value in changed.items():
            setattr(part, name, value)
        if changed:
            refresh(part)
