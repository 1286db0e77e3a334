"""How a layer, or a layer and the sum behind it, can run one output row at a time.

Where a row of the output takes no more than the same rows of the inputs, as for pointwise convolutions and
elementwise operators, the layer is a network of one row run as often as there are rows, by whatever kernel runs that.
Other layers run by rows where a kernel family offers it (`KernelFamily.row_forms`).

A signal, an image of one row, runs by positions: its layers are stood upright, so that width becomes height. That moves
no byte, of the activations or of the weights.
"""

from __future__ import annotations

import functools
from dataclasses import replace

from edgeprune.device import Device
from edgeprune.graph.ir import Node, Tensor
from edgeprune.kernels.base import Candidate, RowForm, RowWindow, families, weights_of
from edgeprune.ops import operator_for
from edgeprune.plan.candidates import offered_candidates
from edgeprune.plan.lifetimes import Group, activations

__all__ = ["RowForms", "image_rows", "row_bytes"]


def image_rows(tensor: Tensor) -> int:
    """Rows of an image, or positions of a signal, which has one row; 1 of any other tensor."""
    if len(tensor.shape) != 4:
        return 1
    return tensor.shape[1] if tensor.shape[1] > 1 else tensor.shape[2]


def row_bytes(tensor: Tensor) -> int:
    """Bytes of a row."""
    return tensor.bytes // image_rows(tensor)


_SLOWEST = 2
"""Of the fastest way to run a layer by rows, how much longer another may take."""


class RowForms:
    """Ways to run groups of nodes by rows on a device, each group asked for once."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._all: dict[Group, tuple[RowForm, ...]] = {}
        self._known: dict[Group, tuple[RowForm, ...]] = {}

    def all(self, nodes: Group) -> tuple[RowForm, ...]:
        """Every way to run `nodes` by rows that is exact for their weights."""
        if nodes not in self._all:
            self._all[nodes] = _row_forms(nodes, self.device)
        return self._all[nodes]

    def of(self, nodes: Group) -> tuple[RowForm, ...]:
        """Ways to run `nodes` by rows that are exact for their weights, fastest first; empty where there is none.

        A way is left out where another is as fast with as little scratch and as few rows in a turn, or twice as fast
        with as few: kernels without scratch hardly lower what a stage needs.
        """
        if nodes not in self._known:
            self._known[nodes] = _sensible(self.all(nodes))
        return self._known[nodes]


def _sensible(forms: tuple[RowForm, ...]) -> tuple[RowForm, ...]:
    kept: list[RowForm] = []
    for form in sorted(forms, key=lambda one: (one.candidate.cycles, one.candidate.scratch_bytes)):
        like = [other.candidate for other in kept if other.rows <= form.rows]
        slow = any(form.candidate.cycles > _SLOWEST * other.cycles for other in like)
        if not slow and all(form.candidate.scratch_bytes < other.scratch_bytes for other in like):
            kept.append(form)
    return tuple(kept)


@functools.lru_cache(maxsize=2048)
def _row_forms(given: Group, device: Device) -> tuple[RowForm, ...]:
    nodes = tuple(node for node in map(_upright, given) if node is not None)
    if len(nodes) < len(given):
        return ()
    weights = weights_of(nodes)
    own = [
        form
        for family in families().values()
        for form in family.row_forms(nodes, device)
        if family.admits(form.candidate, weights)
    ]
    return (*own, *_as_networks_of_one_row(nodes, device))


def _as_networks_of_one_row(nodes: Group, device: Device) -> tuple[RowForm, ...]:
    if any(not _is_image(tensor) for node in nodes for tensor in activations((*node.inputs, node.output))):
        return ()
    cut = tuple(_cut(node) for node in nodes)
    strides = [1 if node.op != "Conv" else node.ints("strides")[0] for node in nodes]
    if None in cut or any(stride != 1 for stride in strides[1:]):
        return ()
    one_row = tuple(node for node in cut if node is not None)
    rows, first = image_rows(nodes[-1].output), {tensor.name for tensor in nodes[0].inputs}
    return tuple(
        RowForm(
            replace(candidate, name=f"{candidate.name}_rows", cycles=rows * candidate.cycles, overlap=()),
            nodes,
            {
                name: RowWindow(stride=strides[0] if name in first else 1, keeps_place=distance == 0)
                for name, distance in zip(candidate.activation_inputs, _distances(candidate), strict=True)
            },
        )
        for candidate in offered_candidates(one_row, device)
        if not candidate.persistent_bytes
    )


def _upright(node: Node) -> Node | None:
    """`node` itself, or on signals as on images of one column; None where it makes the one of the other."""
    images = [t for t in activations((*node.inputs, *node.outputs)) if len(t.shape) == 4]
    if not any(tensor.shape[1] == 1 and tensor.shape[2] > 1 for tensor in images):
        return node
    constants = [tensor for tensor in node.inputs if tensor.value is not None and node.op != "Conv"]
    alike = all(tensor.elements == 1 or tensor.elements == tensor.shape[-1] for tensor in constants)
    if any(tensor.shape[1] > 1 for tensor in images) or not alike:
        return None
    swapped = {
        name: _swapped(node.ints(name)) for name in ("strides", "pads", "dilations") if name in node.attrs
    }
    inputs = tuple(
        _turned(tensor) if tensor.value is None or len(tensor.shape) == 4 else tensor
        for tensor in node.inputs
    )
    return replace(
        node, inputs=inputs, outputs=tuple(map(_turned, node.outputs)), attrs={**node.attrs, **swapped}
    )


def _swapped(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Height and width exchanged, in pairs."""
    return tuple(number for pair in zip(numbers[1::2], numbers[::2], strict=True) for number in pair)


def _turned(tensor: Tensor) -> Tensor:
    """The same bytes with the second and third axis, one of which is 1, exchanged."""
    if len(tensor.shape) != 4:
        return tensor
    n, height, width, channels = tensor.shape
    shape = (n, width, height, channels)
    return replace(tensor, shape=shape, value=None if tensor.value is None else tensor.value.reshape(shape))


def _is_image(tensor: Tensor) -> bool:
    return len(tensor.shape) == 4 and tensor.shape[0] == 1


def _distances(candidate: Candidate) -> tuple[int | None, ...]:
    missing = len(candidate.activation_inputs) - len(candidate.overlap)
    return (*candidate.overlap, *([None] * missing))


def _cut(node: Node) -> Node | None:
    """`node` on images of one row; None where a row needs more than that of each input."""
    attrs = dict(node.attrs)
    if node.op == "Conv":
        top, left, bottom, right = node.ints("pads")
        if node.inputs[1].shape[1] != 1 or top or bottom:
            return None
        attrs |= {"strides": (1, node.ints("strides")[1]), "pads": (0, left, 0, right)}
    elif not _is_elementwise(node):
        return None
    inputs = tuple(_one_row(tensor) if tensor.value is None else tensor for tensor in node.inputs)
    return Node(node.op, node.name, inputs, tuple(map(_one_row, node.outputs)), attrs)


def _is_elementwise(node: Node) -> bool:
    """Whether element i of the output takes element i of activations, and constants that are the same in every row."""
    if not operator_for(node).is_elementwise:
        return False
    shape = node.output.shape
    return len(node.outputs) == 1 and all(
        tensor.shape == shape if tensor.value is None else len(tensor.shape) < 3 or tensor.shape[-3] == 1
        for tensor in node.inputs
    )


def _one_row(tensor: Tensor) -> Tensor:
    return replace(tensor, shape=(1, 1, *tensor.shape[2:]))
