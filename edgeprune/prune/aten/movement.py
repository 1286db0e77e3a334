"""Operators that only move data: they are run on the labels themselves."""

from __future__ import annotations

import torch

from edgeprune.prune.aten.rule import Output
from edgeprune.prune.labels import Labels, Uncoupled
from edgeprune.prune.trace import Call, Operand

__all__ = ["RULES"]


def _moved(call: Call, labels: Labels) -> Output:
    """The operator itself, on labels in place of values; contiguous, or a view could not be taken of them."""

    def of(operand: Operand) -> torch.Tensor:
        return labels.of(operand).contiguous()

    arguments = {
        name: torch.utils._pytree.tree_map_only(Operand, of, value) for name, value in call.arguments.items()
    }
    result = call.function(**arguments)
    return tuple(result) if isinstance(result, (list, tuple)) else result


def _reshaped(call: Call, labels: Labels) -> Output:
    """A reshape that splits channels over several dimensions keeps all but the last of them whole.

    What is left after a cut must be a box again, so channels are tied along the dimensions before the last.
    Those that attention lays out as heads by columns are not: it sees to that itself.
    """
    source = labels.of(call.operand("self"))
    result = _moved(call, labels)
    assert isinstance(result, torch.Tensor)
    if labels.splits_heads(call.name):
        return result
    spread_over = [dim for dim in range(result.dim()) if labels.varies(result, dim)]
    if len(spread_over) > sum(labels.varies(source, dim) for dim in range(source.dim())):
        for dim in spread_over[:-1]:
            labels.tie(result.narrow(dim, 0, 1).expand_as(result), result)
    return result


def _parts(call: Call, labels: Labels) -> Output:
    """Equal parts of a dimension shrink alike, because their number or the ratio of their sizes is fixed."""
    parts = _moved(call, labels)
    assert isinstance(parts, tuple)
    if len({part.shape for part in parts}) == 1:
        for part in parts[1:]:
            labels.tie(parts[0], part)
    return parts


def _slice(call: Call, labels: Labels) -> Output:
    """A slice that is one of several equal parts of a dimension is one of a chunk."""
    value, dim = labels.of(call.operand("self")), int(call.arguments["dim"])
    result = _moved(call, labels)
    assert isinstance(result, torch.Tensor)
    size, part, start = value.shape[dim], result.shape[dim], int(call.arguments["start"] or 0)
    start = start + size if start < 0 else start
    equal_part = int(call.arguments["step"]) == 1 and 0 < part < size and not size % part and not start % part
    if equal_part and labels.varies(value, dim):
        for other in range(0, size, part):
            labels.tie(result, value.narrow(dim, other, part))
    return result


def _joined(call: Call, labels: Labels) -> Output:
    """Along every other dimension than the one they are joined on, the parts' channels are the same."""
    dim = int(call.arguments["dim"])
    parts = [labels.of(operand) for operand in call.operands()]
    dim %= parts[0].dim()
    for other in range(parts[0].dim()):
        if other != dim and any(labels.varies(part, other) for part in parts):
            first, *rest = (labels.column(part, other) for part in parts)
            for column in rest:
                labels.tie(first, column)
    return _moved(call, labels)


def _stacked(call: Call, labels: Labels) -> Output:
    """Stacked tensors have the same channels, for what is cut from one must be cut from all."""
    first, *rest = (labels.of(operand) for operand in call.operands())
    for part in rest:
        labels.tie(first, part)
    return _moved(call, labels)


def _item(call: Call, labels: Labels) -> Output:
    """One of an operator's several outputs."""
    return labels.several(call.operand("a"))[int(call.arguments["b"])]


def _padded(call: Call, labels: Labels) -> Output:
    """Padding along channels adds new ones; along any other dimension it belongs to the channel it extends."""
    value, pads = labels.of(call.operand("self")), list(call.arguments["pad"])
    for position in range(0, len(pads), 2):
        dim = value.dim() - 1 - position // 2
        before, after = int(pads[position]), int(pads[position + 1])
        if labels.varies(value, dim):
            value = _with_new_channels(labels, value, dim, before, after)
        else:
            keep = torch.zeros(value.shape[dim] + before + after, dtype=torch.int64)
            value = value.index_select(dim, keep)
    if tuple(value.shape) != call.output:
        raise Uncoupled("it pads in a way that is not understood")
    return value


def _with_new_channels(
    labels: Labels, value: torch.Tensor, dim: int, before: int, after: int
) -> torch.Tensor:
    middle = value.narrow(dim, max(0, -before), value.shape[dim] + min(0, before) + min(0, after))

    def new(count: int) -> torch.Tensor:
        lined = labels.fresh(max(0, count)).reshape([-1 if axis == dim else 1 for axis in range(value.dim())])
        return lined.expand([-1 if axis == dim else size for axis, size in enumerate(value.shape)])

    return torch.cat([new(before), middle, new(after)], dim)


_RESHAPES = (
    "reshape.default view.default _unsafe_view.default flatten.using_ints unflatten.int unsafe_view.default"
)
_MOVES = (
    "permute.default transpose.int t.default numpy_T.default movedim.int swapaxes.default select.int "
    "expand.default unsqueeze.default squeeze.default squeeze.dim squeeze.dims narrow.default flip.default "
    "roll.default repeat.default pixel_shuffle.default pixel_unshuffle.default channel_shuffle.default "
    "adjoint.default expand_as.default mT.default mH.default"
)
_PARTS = "chunk.default split.Tensor split_with_sizes.default split.sizes unbind.int tensor_split.sections"

RULES = {
    **{f"aten.{name}": _reshaped for name in _RESHAPES.split()},
    **{f"aten.{name}": _moved for name in _MOVES.split()},
    **{f"aten.{name}": _parts for name in _PARTS.split()},
    "aten.slice.Tensor": _slice,
    "aten.cat.default": _joined,
    "aten.stack.default": _stacked,
    "aten.pad.default": _padded,
    "aten.constant_pad_nd.default": _padded,
    "aten.reflection_pad1d.default": _padded,
    "aten.reflection_pad2d.default": _padded,
    "aten.replication_pad1d.default": _padded,
    "aten.replication_pad2d.default": _padded,
    "getitem": _item,
}
