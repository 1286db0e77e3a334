"""Labels on channels: the state that dependency rules read and tie together.

Every element of every activation carries an integer label that says which channel it belongs to. Operators
that only move data are run on the labels themselves; operators that need channels to match tie labels, and
what no rule understands is frozen. A set of tied labels is one channel that can only go as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from edgeprune.graph.skeleton import LayerGroups
from edgeprune.prune.coupling import Role
from edgeprune.prune.trace import Operand
from edgeprune.prune.union_find import UnionFind

__all__ = ["Labels", "Piece", "Uncoupled"]


class Uncoupled(Exception):
    """A rule cannot follow a call: the text says why, and everything the call touches is frozen for it."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A dimension of a parameter whose indices belong to channels: one label per index."""

    parameter: str
    dim: int
    role: Role
    labels: torch.Tensor


class Labels:
    """The labels of one trace while rules run over it; int64 tensors of the activations' own shapes."""

    def __init__(self) -> None:
        self._sets = UnionFind()
        self._values: dict[str, torch.Tensor | tuple[torch.Tensor, ...]] = {}
        self._data: dict[str, torch.Tensor] = {}
        self._reasons: dict[int, str] = {}
        self._layers: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self.pieces: list[Piece] = []

    def __contains__(self, operand: Operand) -> bool:
        return operand.state is not None or operand.name in self._values

    def fresh(self, count: int) -> torch.Tensor:
        """`count` labels of new channels."""
        return self._sets.fresh(count)

    def of(self, operand: Operand) -> torch.Tensor:
        """The labels of an activation, or of a parameter read as data: then one label per element."""
        if operand.state is not None:
            if operand.state not in self._data:
                count = int(torch.Size(operand.shape).numel())
                self._data[operand.state] = self.fresh(count).reshape(operand.shape)
            return self._data[operand.state]
        value = self._values[operand.name]
        if not isinstance(value, torch.Tensor):
            raise Uncoupled("it reads several values as one")
        return value

    def several(self, operand: Operand) -> tuple[torch.Tensor, ...]:
        """The labels of an operator's several outputs."""
        value = self._values[operand.name]
        return value if isinstance(value, tuple) else (value,)

    def put(self, name: str, labels: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
        """Set the labels of a call's output."""
        self._values[name] = labels

    def tie(self, left: torch.Tensor, right: torch.Tensor) -> None:
        """Entry by entry, make two tensors' channels one."""
        if left is not right and not torch.equal(left, right):
            self._sets.unite(left, right)

    def column(self, labels: torch.Tensor, dim: int) -> torch.Tensor:
        """Tie all labels that share an index along `dim`; the labels along it, [size of dim]."""
        flat = labels.movedim(dim, 0).reshape(labels.shape[dim], -1)
        first = flat[:, 0].clone()
        self.tie(first[:, None].expand_as(flat), flat)
        return first

    def tie_copies(self, labels: torch.Tensor, copies: int) -> None:
        """Tie entry j of each of `copies` equal parts of a vector."""
        parts = labels.reshape(copies, -1)
        self.tie(parts[:1].expand_as(parts), parts)

    def varies(self, labels: torch.Tensor, dim: int) -> bool:
        """Whether channels differ along `dim`."""
        if labels.numel() == 0 or labels.shape[dim] == 1:
            return False
        roots = self._sets.roots(labels)
        return bool((roots != roots.narrow(dim, 0, 1)).any())

    def freeze(self, labels: torch.Tensor, reason: str) -> None:
        """These channels must stay; the first reason given is the one reported."""
        for label in torch.unique(labels).tolist():
            self._reasons.setdefault(label, reason)

    def piece(self, operand: Operand | None, dim: int, labels: torch.Tensor, role: Role) -> None:
        """Index i of dimension `dim` of a parameter belongs to channel `labels[i]`.

        A parameter used by several calls ties their channels.

        Raises:
            Uncoupled: the operand is computed, so that nothing can be cut from it.
        """
        if operand is None:
            return
        if operand.state is None:
            raise Uncoupled("its weights are computed, not parameters")
        for known in self.pieces:
            if known.parameter == operand.state and known.dim == dim:
                self.tie(known.labels, labels)
        self.pieces.append(Piece(operand.state, dim, role, labels))

    def layer(self, weight: Operand, inputs: torch.Tensor, outputs: torch.Tensor, number: int = 1) -> None:
        """Note the channels of the weighted layer that owns `weight`.

        The second and further of a module's stacked layers are named as ONNX's nodes are: lstm, lstm_2 ...
        """
        if weight.state is not None:
            name = weight.state.rpartition(".")[0]
            self._layers.setdefault(name if number == 1 else f"{name}_{number}", (inputs, outputs))

    def settle(self) -> None:
        """Turn parameters read as data into pieces, where their channels lie along one dimension."""
        cut_elsewhere = {piece.parameter for piece in self.pieces}
        for name, labels in self._data.items():
            varying = [dim for dim in range(labels.dim()) if self.varies(labels, dim)]
            if len(varying) == 1 and name not in cut_elsewhere:
                vector = self.column(labels, varying[0])
                self.pieces.append(Piece(name, varying[0], "follows", vector))
            else:
                self.freeze(labels, f"parameter {name!r} holds them in a way that cannot be cut")

    def roots(self, labels: torch.Tensor) -> list[int]:
        """The channel of each entry of a vector."""
        roots: list[int] = self._sets.roots(labels).tolist()
        return roots

    def frozen(self) -> Mapping[int, str]:
        """Channel -> why it must stay."""
        frozen: dict[int, str] = {}
        for label, reason in self._reasons.items():
            frozen.setdefault(self._sets.root(label), reason)
        return frozen

    def layers(self, names: Mapping[int, str]) -> Mapping[str, LayerGroups]:
        """Every weighted layer's channels by group name; `names` maps channels to groups."""
        return {
            layer: LayerGroups(*(tuple(names.get(root) for root in self.roots(side)) for side in sides))
            for layer, sides in self._layers.items()
        }

    def by_dimension(self) -> Mapping[tuple[str, int], Piece]:
        """One piece per dimension of a parameter; a consuming one wins over others of the same dimension."""
        chosen: dict[tuple[str, int], Piece] = {}
        for piece in self.pieces:
            key = (piece.parameter, piece.dim)
            if key not in chosen or piece.role == "consumes":
                chosen[key] = piece
        return chosen
