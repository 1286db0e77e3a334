"""Moves transposes down the graph until they cancel, become reshapes, or reach the library's boundary.

ONNX images are channel-first and convolutions here channel-last, so import leaves a Transpose on each side of
each convolution. This pass walks the graph once and gives every tensor a *form*: the tensor that holds its data,
and the permutation that would yield it, so a Transpose costs nothing by itself. An operator that commutes with
Transpose (`Operator.permute`) runs on the data as it lies; any other gets its inputs in the order it wants.

A graph input read through a Transpose is taken by the library in that order, and a graph output is left in the
order it was computed in; `Graph.layouts` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgeprune.graph.build import Builder, transposed_quant
from edgeprune.graph.ir import Graph, Node, Quant, Tensor
from edgeprune.ops.base import operator_for

__all__ = ["run"]


@dataclass(frozen=True)
class _Form:
    """The tensor stands for transpose(data, perm)."""

    data: Tensor
    perm: tuple[int, ...]

    @property
    def plain(self) -> bool:
        return self.perm == tuple(range(len(self.perm)))


def run(graph: Graph) -> Graph:
    """`graph` with as few transposes as its operators allow."""
    return _Sinking(graph).result()


class _Sinking:
    """One walk: `forms` maps every tensor of the old graph to where its data is in the new one."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.build = Builder({tensor.name for tensor in graph.tensors()})
        self.forms: dict[str, _Form] = {}
        self.made: dict[tuple[str, tuple[int, ...]], Tensor] = {}
        self.layouts = dict(graph.layouts)
        self.readers = graph.consumers()
        self.wanted: dict[str, set[tuple[int, ...]]] = {}

    def result(self) -> Graph:
        """The new graph."""
        inputs = [self._input(tensor) for tensor in self.graph.inputs]
        for node in self.graph.nodes:
            self._node(node)
        outputs = [self._output(tensor) for tensor in self.graph.outputs]
        return Graph(self.graph.name, tuple(self.build.nodes), tuple(inputs), tuple(outputs), self.layouts)

    def _input(self, tensor: Tensor) -> Tensor:
        perms = self._perms_behind(tensor)
        wanted = min(perms) if perms and tensor.name not in self.layouts else tuple(range(len(tensor.shape)))
        shape = tuple(tensor.shape[axis] for axis in wanted)
        data = replace(tensor, shape=shape)
        if wanted != tuple(range(len(wanted))):
            self.layouts[tensor.name] = wanted
        self.forms[tensor.name] = _Form(data, _inverse(wanted))
        return data

    def _perms_behind(self, tensor: Tensor) -> set[tuple[int, ...]]:
        """The permutations in which `tensor` is wanted, also behind operators that commute with them."""
        if tensor.name in self.wanted:
            return self.wanted[tensor.name]
        perms: set[tuple[int, ...]] = set()
        for node in self.readers.get(tensor.name, ()):
            if node.op == "Transpose":
                perms.add(node.ints("perm"))
            elif len(node.outputs) == 1 and node.output.shape == tensor.shape:
                behind = self._perms_behind(node.output)
                perms |= {perm for perm in behind if operator_for(node).permute(node, perm) is not None}
        self.wanted[tensor.name] = perms
        return perms

    def _output(self, tensor: Tensor) -> Tensor:
        form = self.forms[tensor.name]
        # An input that is returned as it is has one layout, which goes by its name.
        if form.plain or any(tensor.name == given.name for given in self.graph.inputs):
            return form.data
        own = form.data.name not in {t.name for t in (*self.graph.inputs, *self.graph.outputs)}
        if not own or _keeps_order(form.data.shape, form.perm):
            return self._in_order(form, tuple(range(len(form.perm))), tensor)
        self.layouts[tensor.name] = _inverse(form.perm)
        return self._rename(form.data, tensor.name)

    def _rename(self, data: Tensor, name: str) -> Tensor:
        """Give `data` the public name of a graph output."""
        named = replace(data, name=name)
        self.build.nodes = [
            replace(
                node,
                inputs=tuple(named if t.name == data.name else t for t in node.inputs),
                outputs=tuple(named if t.name == data.name else t for t in node.outputs),
            )
            for node in self.build.nodes
        ]
        self.forms = {
            k: _Form(named, f.perm) if f.data.name == data.name else f for k, f in self.forms.items()
        }
        return named

    def _node(self, node: Node) -> None:
        if node.op == "Transpose":
            form = self.forms[node.inputs[0].name]
            self.forms[node.output.name] = _Form(
                form.data, tuple(form.perm[axis] for axis in node.ints("perm"))
            )
        elif not self._moved_past(node):
            inputs = [self._plain(tensor) for tensor in node.inputs]
            self.build.add(node.op, node.name, inputs, node.outputs, node.attrs)
            self.forms.update({t.name: _Form(t, tuple(range(len(t.shape)))) for t in node.outputs})

    def _moved_past(self, node: Node) -> bool:
        """Run a commuting `node` on data as it lies; whether that was possible."""
        rank = len(node.output.shape)
        forms = [self.forms[t.name] for t in node.inputs if t.value is None]
        turned = [f for f in forms if not f.plain and len(f.perm) == rank]
        if not turned:
            return False
        perm = max(turned, key=lambda f: f.data.elements).perm
        back = _inverse(perm)
        attrs = operator_for(node).permute(node, back)
        if attrs is None:
            return False
        inputs = [self._turned(tensor, rank, back) for tensor in node.inputs]
        outputs = []
        for tensor in node.outputs:
            shape = tuple(tensor.shape[axis] for axis in back)
            data = self.build.tensor(tensor.name, shape, tensor.dtype, transposed_quant(tensor.quant, back))
            outputs.append(data)
            self.forms[tensor.name] = _Form(data, perm)
        self.build.add(node.op, node.name, inputs, outputs, attrs)
        return True

    def _turned(self, tensor: Tensor, rank: int, perm: tuple[int, ...]) -> Tensor:
        """`tensor`, broadcast to `rank` axes, in the order `perm` of its own axes."""
        wide = (1,) * (rank - len(tensor.shape)) + tensor.shape
        if tensor.value is not None:
            array = tensor.value.reshape(wide).transpose(perm)
            quant = None if tensor.quant is None else transposed_quant(_widened(tensor, rank), perm)
            return self.build.constant(tensor.name, array, quant)
        form = self.forms[tensor.name]
        if len(form.perm) == rank:
            return self._in_order(form, perm)
        data = self.build.reshape(self._plain(tensor), wide)
        return self._in_order(_Form(data, tuple(range(rank))), perm)

    def _plain(self, tensor: Tensor) -> Tensor:
        if tensor.value is not None:
            return tensor
        form = self.forms[tensor.name]
        return self._in_order(form, tuple(range(len(form.perm))))

    def _in_order(self, form: _Form, perm: Sequence[int], output: Tensor | None = None) -> Tensor:
        """transpose(transpose(data, form.perm), perm), made once."""
        total = tuple(form.perm[axis] for axis in perm)
        if total == tuple(range(len(total))) and output is None:
            return form.data
        key = (form.data.name, total)
        if key not in self.made or output is not None:
            if _keeps_order(form.data.shape, total):
                shape = tuple(form.data.shape[axis] for axis in total)
                made = self.build.reshape(form.data, shape, output)
            else:
                made = self.build.transpose(form.data, total, output)
            self.made[key] = made
        return self.made[key]


def _widened(tensor: Tensor, rank: int) -> Quant | None:
    quant = tensor.quant
    if quant is None or quant.axis is None:
        return quant
    return replace(quant, axis=quant.axis + rank - len(tensor.shape))


def _inverse(perm: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(axis) for axis in np.argsort(perm))


def _keeps_order(shape: Sequence[int], perm: Sequence[int]) -> bool:
    """Whether the permutation moves only axes of extent 1, so that the bytes stay as they are."""
    moved = [axis for axis in perm if shape[axis] != 1]
    return moved == sorted(moved)
