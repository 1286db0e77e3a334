"""Labels on channels: the state that dependency rules read and tie together.

Every element of every activation carries an integer label that says which channel it belongs to. Operators
that only move data are run on the labels themselves; operators that need channels to match tie labels, and
what no rule understands is frozen. A set of tied labels is one channel that can only go as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import torch

from edgeprune.graph.skeleton import LayerGroups
from edgeprune.prune.coupling import Role
from edgeprune.prune.grids import Grid, Grids
from edgeprune.prune.trace import Operand
from edgeprune.prune.union_find import UnionFind

__all__ = ["Channels", "Labels", "Piece", "Uncoupled"]


class Uncoupled(Exception):
    """A rule cannot follow a call: the text says why, and everything the call touches is frozen for it."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A dimension of a parameter whose indices belong to channels: one label per index."""

    parameter: str
    dim: int
    role: Role
    labels: torch.Tensor


@dataclass(frozen=True, eq=False)
class Channels:
    """Which channel every element of every activation belongs to.

    `values` has int64 tensors of the activations' shapes, by the names of calls and inputs, a tuple for an
    operator of several outputs. `heads` lists the channels that are a head of attention: its own channel goes
    when all of them do. `counted` are those that operators without parameters read.
    """

    values: Mapping[str, torch.Tensor | tuple[torch.Tensor, ...]]
    heads: Mapping[int, frozenset[int]]
    counted: frozenset[int]

    def gone(self, removed: Iterable[int]) -> frozenset[int]:
        """`removed` channels with the heads that go along."""
        lost = frozenset(removed)
        return lost | {head for head, cells in self.heads.items() if cells <= lost}


class Labels:
    """The labels of one trace while rules run over it; int64 tensors of the activations' own shapes."""

    def __init__(self, splits: Collection[str] = (), packed: Mapping[str, Operand] | None = None) -> None:
        """The labels of a trace before its first call.

        Args:
            splits: Names of the reshapes that lay attention's channels out as heads by columns.
            packed: Per part of a parameter that holds the weights of several layers, that parameter.
        """
        self._splits = frozenset(splits)
        self._packed = packed or {}
        self._packed_states = {operand.state for operand in self._packed.values()}
        self._sets = UnionFind()
        self._grids = Grids(self._sets)
        self._counted: list[torch.Tensor] = []
        self._queries: list[torch.Tensor] = []
        self._values: dict[str, torch.Tensor | tuple[torch.Tensor, ...]] = {}
        self._data: dict[str, torch.Tensor] = {}
        self._data_names: dict[str, str] = {}
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
            self._data_names[operand.name] = operand.state
            if operand.state not in self._data:
                self._data[operand.state] = self._of_data(operand)
            return self._data[operand.state]
        value = self._values[operand.name]
        if not isinstance(value, torch.Tensor):
            raise Uncoupled("it reads several values as one")
        return value

    def _of_data(self, operand: Operand) -> torch.Tensor:
        if operand.state in self._packed_states:
            rows = self.fresh(operand.shape[0]).reshape(-1, *[1] * (len(operand.shape) - 1))
            return rows.expand(operand.shape).clone()
        return self.fresh(int(torch.Size(operand.shape).numel())).reshape(operand.shape)

    def packed(self, operand: Operand) -> Operand | None:
        """The parameter that `operand` is some of the rows of, where it holds the weights of several layers."""
        return self._packed.get(operand.name)

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

    def splits_heads(self, call_name: str) -> bool:
        """Whether a reshape lays attention's channels out, so that it need not tie what it splits."""
        return call_name in self._splits

    def heads(self, cells: torch.Tensor) -> torch.Tensor:
        """Attention's channels [..., columns] lose whole heads or whole columns; a label for each head, [...]."""
        return self._grids.heads(cells)

    def cells_of(self, heads: torch.Tensor) -> torch.Tensor | None:
        """The channels [..., columns] of these heads, or None where the labels are not those of heads."""
        return self._grids.cells(heads)

    def query(self, columns: torch.Tensor) -> None:
        """Note that scores sum over these `columns` [..., columns] of a query."""
        self._queries.append(columns)

    def queries(self) -> tuple[tuple[torch.Tensor, Mapping[str, tuple[int, ...]]], ...]:
        """Per query the channels of its columns, [..., columns], and which rows of which parameters make it."""
        return tuple(
            (self._sets.roots(columns), self._rows_of(set(columns.reshape(-1).tolist())))
            for columns in self._queries
        )

    def _rows_of(self, members: set[int]) -> Mapping[str, tuple[int, ...]]:
        """Per parameter that makes channels, the rows that bear `members`, untied."""
        rows = {
            piece.parameter: tuple(at for at, label in enumerate(piece.labels.tolist()) if label in members)
            for piece in self.pieces
            if piece.role == "produces" and piece.dim == 0
        }
        return {parameter: indices for parameter, indices in rows.items() if indices}

    def tie_heads(self, cells: torch.Tensor) -> None:
        """All heads of [..., columns] lose the same columns, and none goes as a whole."""
        self._grids.tie_heads(cells)

    def count(self, labels: torch.Tensor) -> None:
        """An operator without parameters reads these channels: a mean, a normalisation, a product.

        Without a channel it works over those that stay, which zeroed weights cannot imitate.
        """
        self._counted.append(labels)

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
        cut_elsewhere = {piece.parameter for piece in self.pieces} - self._packed_states
        for name, labels in self._data.items():
            varying = [dim for dim in range(labels.dim()) if self.varies(labels, dim)]
            if len(varying) == 1 and name not in cut_elsewhere:
                vector = self.column(labels, varying[0])
                role: Role = "produces" if name in self._packed_states else "follows"
                self.pieces.append(Piece(name, varying[0], role, vector))
            else:
                self.freeze(labels, f"parameter {name!r} holds them in a way that cannot be cut")

    def grids(self) -> list[Grid]:
        """Attention's grids whose heads can go one by one; the heads of others are tied. After `settle`."""
        placed = [label for piece in self.pieces for label in torch.unique(piece.labels).tolist()]
        grids = self._grids.settle(self._reasons.keys(), placed)
        held = self._grids.rows().keys() & set(
            self._sets.roots(torch.tensor(placed, dtype=torch.int64)).tolist()
        )
        for head in held:
            self._reasons.setdefault(
                head, "there is one for each head of attention, which keeps its heads for that"
            )
        return grids

    def channels(self) -> Channels:
        """All activations' channels, for good. After `grids`."""
        data = {name: self._data[state] for name, state in self._data_names.items()}
        values = {
            name: tuple(map(self._sets.roots, value)) if isinstance(value, tuple) else self._sets.roots(value)
            for name, value in (*self._values.items(), *data.items())
        }
        counted = {
            root for labels in self._counted for root in torch.unique(self._sets.roots(labels)).tolist()
        }
        return Channels(values, self._grids.rows(), frozenset(counted))

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
