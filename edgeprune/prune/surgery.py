"""`prune`: take channels out of a copy of the network, which stays of the user's own class where that can be."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from edgeprune.errors import UsageError
from edgeprune.prune.attributes import refresh
from edgeprune.prune.coupling import Coupling, Form, PruningPlan
from edgeprune.prune.exported import cut_graph
from edgeprune.prune.gate import Equivalence
from edgeprune.prune.ladder import is_box
from edgeprune.prune.resize import CannotResize

__all__ = ["Cut", "CutRefused", "cut", "prune"]


class CutRefused(UsageError):
    """A cut that would not leave the same function; `reason` is the clause that says why."""

    def __init__(self, groups: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"cannot remove channels of {groups}: {reason}; put them on the list to ignore")


def prune(module: torch.nn.Module, coupling: Coupling, plan: PruningPlan) -> torch.nn.Module:
    """A smaller copy of `module`, with the channels that `plan` removes gone for good.

    Parameters and buffers are cut along their dimensions and the sizes that torch's modules keep are set anew.
    Where the class's own code cannot follow (a number of channels written into `forward`), the result is the
    network's exported graph, cut likewise: see `edgeprune.prune.exported`. Either way it must be the function
    that the original is with those channels masked out, which every cut is tested for.

    Raises:
        CutRefused: the pruned network does not run or is another function; one of the groups cannot be cut.
        UsageError: the plan names an unknown group or channel, or empties a group.
    """
    return cut(module, coupling, plan).module


@dataclass(frozen=True, eq=False)
class Cut:
    """A pruned network; where it is a graph, `reason` says why its own class would not do."""

    module: torch.nn.Module
    form: Form = "module"
    reason: str | None = None


def cut(module: torch.nn.Module, coupling: Coupling, plan: PruningPlan) -> Cut:
    """As `prune`, and says in which form the network is returned."""
    _check(coupling, plan)
    kept = _kept(module, coupling, plan)
    if not kept:
        return Cut(copy.deepcopy(module))
    equivalence = Equivalence(module, coupling, plan)
    problem = ""
    for exact, pruned in _own_forms(module, coupling, plan, kept):
        refusal = equivalence.refusal(exact)
        if refusal is None:
            return Cut(pruned)
        problem = problem or refusal
    try:
        pruned = cut_graph(_cut(module, kept), coupling.anatomy, coupling.anatomy.gone(coupling.groups, plan))
        refusal = equivalence.refusal(pruned)
        if not equivalence.is_the_traced_network():
            refusal = "the network is not the one that was analysed"
    except CannotResize as error:
        refusal = str(error)
    if refusal is not None:
        names = ", ".join(group.name for group in coupling.groups if plan.removed(group))
        raise CutRefused(names, f"{problem}; nor does its exported graph: {refusal}")
    return Cut(pruned, "graph", problem)


def _own_forms(
    module: torch.nn.Module,
    coupling: Coupling,
    plan: PruningPlan,
    kept: Mapping[str, Mapping[int, torch.Tensor]],
) -> Iterator[tuple[torch.nn.Module, torch.nn.Module]]:
    """The cut network in its own class: as it is, and with queries that make up for another scale of scores.

    Each comes twice: first one to compare, in which no product is rounded to the network's own precision.
    """
    pruned = _cut(module, kept)
    yield pruned, pruned
    factors = coupling.anatomy.query_factors(coupling.groups, plan)
    if factors:
        doubled = copy.deepcopy(module).double()
        yield _cut(_scaled(doubled, factors), kept), _cut(_scaled(module, factors), kept)


def _scaled(module: torch.nn.Module, factors: Mapping[str, Mapping[int, float]]) -> torch.nn.Module:
    """A copy whose parameters' rows are multiplied by factors."""
    scaled = copy.deepcopy(module)
    state = dict(scaled.named_parameters())
    with torch.no_grad():
        for name, rows in factors.items():
            for row, factor in rows.items():
                state[name][row] *= factor
    return scaled


def _check(coupling: Coupling, plan: PruningPlan) -> None:
    for name, channels in plan.keep.items():
        size = coupling.group(name).size
        if not channels or any(not 0 <= channel < size for channel in channels):
            raise UsageError(
                f"the plan for group {name!r} must keep between 1 and {size} of its channels 0 to {size - 1}"
            )
        if coupling.group(name).heads > 1 and not is_box(channels, coupling.group(name).heads, size):
            raise UsageError(
                f"the plan for group {name!r} must keep whole heads of {size // coupling.group(name).heads} "
                "channels, or the same channels of every head that stays"
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


def _cut(module: torch.nn.Module, kept: Mapping[str, Mapping[int, torch.Tensor]]) -> torch.nn.Module:
    """A copy of `module` whose tensors are replaced in every place that holds them, shared ones too."""
    module = copy.deepcopy(module)
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
    return module
