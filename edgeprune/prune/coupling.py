"""What channel analysis finds and what surgery takes: groups of channels that can only be removed together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch

from edgeprune.errors import UsageError
from edgeprune.graph.skeleton import LayerGroups
from edgeprune.prune.ladder import ladder

if TYPE_CHECKING:
    from edgeprune.prune.anatomy import Anatomy

__all__ = ["Coupling", "Form", "Group", "PruningPlan", "Role", "Slices", "group_widths", "weighted_layers"]

Role = Literal["produces", "follows", "consumes"]
"""A parameter's part in a channel: it makes it, is applied along it (batch norm), or reads it."""


Form = Literal["module", "graph"]


@dataclass(frozen=True)
class Slices:
    """Where a group lives in one dimension of one parameter or buffer: per channel, the indices it takes."""

    parameter: str
    dim: int
    role: Role
    indices: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Group:
    """Interchangeable channels of one width: each lives in the same dimensions of the same parameters."""

    name: str
    slices: tuple[Slices, ...]
    heads: int = 1
    """Attention's channels are a grid of so many heads by columns, row by row; what stays of it is a box."""

    @property
    def size(self) -> int:
        """Number of channels."""
        return len(self.slices[0].indices)

    @property
    def multiplicity(self) -> int:
        """How many rows of every parameter a channel takes at least, as a common divisor."""
        return math.gcd(*(len(piece.indices[0]) for piece in self.slices))


@dataclass(frozen=True, eq=False)
class Coupling:
    """A network's channel groups.

    `groups` may be pruned, and each was pruned once and proven equal to masking when this value was made.
    `frozen` names the others by their first producing layer, with the reason. `layers` labels the channels of
    every weighted layer. `example_inputs` are what the network was traced with, `anatomy` is what the trace
    taught. `form` says what pruning gives: "module", an object of the network's own class, or "graph", its
    exported graph, because for `reason` the class's own code cannot follow every cut.
    """

    groups: tuple[Group, ...]
    frozen: Mapping[str, str]
    layers: Mapping[str, LayerGroups]
    example_inputs: tuple[torch.Tensor, ...]
    anatomy: Anatomy
    form: Form = "module"
    reason: str | None = None

    def group(self, name: str) -> Group:
        """The group called `name`.

        Raises:
            UsageError: there is none.
        """
        for group in self.groups:
            if group.name == name:
                return group
        known = ", ".join(repr(group.name) for group in self.groups) or "none"
        raise UsageError(f"there is no channel group {name!r} to prune; the network's are: {known}")


@dataclass(frozen=True)
class PruningPlan:
    """Per group the channels that stay, ascending; a group that is not named stays whole."""

    keep: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def removed(self, group: Group) -> tuple[int, ...]:
        """The channels of `group` that go, ascending."""
        kept = set(self.keep.get(group.name, range(group.size)))
        return tuple(channel for channel in range(group.size) if channel not in kept)


def weighted_layers(coupling: Coupling) -> Mapping[str, LayerGroups]:
    """Per weighted layer (by torch qualified name), the group of each input and output channel."""
    return coupling.layers


def group_widths(
    coupling: Coupling,
    multiple: int = 4,
    minimum: Mapping[str, int] | None = None,
    most: int = 256,
) -> Mapping[str, tuple[int, ...]]:
    """The widths each group may take: ascending, the last being the whole group.

    Args:
        coupling: The network's groups.
        multiple: Layers keep multiples of this many channels, as kernels like them. Where a group's channel
            takes several rows of each parameter, they count together.
        minimum: Per group, the fewest channels it must keep.
        most: About how many widths a group may have at most; wide groups step in larger multiples.

    Raises:
        UsageError: `minimum` names an unknown group, or more channels than the group has.
    """
    floor = {coupling.group(name).name: width for name, width in (minimum or {}).items()}
    for name, width in floor.items():
        if width > coupling.group(name).size:
            raise UsageError(
                f"group {name!r} cannot keep {width} channels: it has {coupling.group(name).size}"
            )
    return {group.name: _widths(group, multiple, floor.get(group.name, 1), most) for group in coupling.groups}


def _widths(group: Group, multiple: int, minimum: int, most: int) -> tuple[int, ...]:
    size = group.size
    if group.heads > 1:
        sizes = [heads * columns for heads, columns in ladder(group.heads, size // group.heads)]
        return tuple(sorted(width for width in sizes if width >= minimum or width == size))
    step = multiple // math.gcd(multiple, group.multiplicity)
    stride = step * max(1, math.ceil(size / step / most))
    return (*(width for width in range(stride, size, stride) if width >= minimum), size)
