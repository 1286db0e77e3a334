"""The numbers written into an exported graph, made to agree with the channels that stay.

A traced graph says `view(x, [n, 4, 8])` where the code said `view(n, heads, -1)`. The labels of every operator's
output tell how many indices of each dimension stay, so every size, start and count can be written anew. One
function per family of operators; operators without such numbers need none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from edgeprune.prune.trace import bind

__all__ = ["CannotResize", "Sizes", "resize"]


class CannotResize(Exception):
    """A call cannot be written for the channels that stay; the text says why."""


@dataclass(frozen=True, eq=False)
class Sizes:
    """Which elements of every value stay: bool tensors of the values' own shapes, tuples for several outputs.

    Values go by the names of their calls and inputs, parameters by their qualified names after "get_attr ".
    """

    kept: Mapping[str, torch.Tensor | tuple[torch.Tensor, ...]]

    def touches(self, node: Node) -> bool:
        """Whether the call's output or anything that it reads loses elements."""
        values = (self.kept.get(_key(one)) for one in (node, *node.all_input_nodes))
        parts = (part for value in values for part in (value if isinstance(value, tuple) else (value,)))
        return any(part is not None and not bool(part.all()) for part in parts)

    def line(self, kept: torch.Tensor, dim: int) -> torch.Tensor:
        """Which indices along `dim` stay; those of a box are the same everywhere else."""
        return kept.movedim(dim, 0).reshape(kept.shape[dim], -1).any(1)

    def shape(self, kept: torch.Tensor) -> tuple[int, ...]:
        """The shape of what stays, which must be a box.

        Raises:
            CannotResize: it is none.
        """
        shape = tuple(int(self.line(kept, dim).sum()) for dim in range(kept.dim()))
        if torch.Size(shape).numel() != int(kept.sum()):
            raise CannotResize("what is left of a value is no box")
        return shape

    def of(self, node: Any) -> torch.Tensor:
        """What stays of a call's only output.

        Raises:
            CannotResize: it has several.
        """
        kept = self.kept.get(_key(node)) if isinstance(node, Node) else None
        if not isinstance(kept, torch.Tensor):
            raise CannotResize(f"the channels of {node} are not known")
        return kept


def _key(node: Node) -> str:
    return f"get_attr {node.target}" if node.op == "get_attr" else node.name


def resize(node: Node, sizes: Sizes) -> None:
    """Rewrite the numbers among the arguments of one call, in place.

    Raises:
        CannotResize: what stays of a value is no box, or a number depends on the samples.
    """
    if not sizes.touches(node):
        return
    change = _CHANGES.get(str(node.target))
    if change is not None:
        change(node, bind(node), sizes)


def _set(node: Node, name: str, value: Any) -> None:
    """Give argument `name` of a call another value."""
    assert isinstance(node.target, torch._ops.OpOverload)
    names = [argument.name for argument in node.target._schema.arguments]
    position = names.index(name)
    if position < len(node.args):
        node.args = (*node.args[:position], value, *node.args[position + 1 :])
    else:
        node.kwargs = {**node.kwargs, name: value}


def _new_sizes(given: list[Any], kept: torch.Tensor, sizes: Sizes, first_dim: int = 0) -> list[Any]:
    """`given` sizes with those that shrink replaced; one that depends on the samples can become -1, once."""
    shape, result = sizes.shape(kept), list(given)
    for position, entry in enumerate(given):
        before, after = kept.shape[position + first_dim], shape[position + first_dim]
        if before == after or (isinstance(entry, int) and entry == -1):
            continue
        if not isinstance(entry, int) and any(isinstance(other, int) and other == -1 for other in result):
            raise CannotResize("two sizes depend on the number of samples")
        result[position] = after if isinstance(entry, int) else -1
    return result


def _sized(argument: str) -> Callable[[Node, Mapping[str, Any], Sizes], None]:
    def change(node: Node, arguments: Mapping[str, Any], sizes: Sizes) -> None:
        _set(node, argument, _new_sizes(list(arguments[argument]), sizes.of(node), sizes))

    return change


def _unflatten(node: Node, arguments: Mapping[str, Any], sizes: Sizes) -> None:
    rank = sizes.of(arguments["self"]).dim()
    kept = sizes.of(node)
    _set(node, "sizes", _new_sizes(list(arguments["sizes"]), kept, sizes, int(arguments["dim"]) % rank))


def _slice(node: Node, arguments: Mapping[str, Any], sizes: Sizes) -> None:
    line = sizes.line(sizes.of(arguments["self"]), int(arguments["dim"]))
    if bool(line.all()):
        return
    if int(arguments["step"]) != 1:
        raise CannotResize("it takes every second channel or fewer")
    for name, default in (("start", 0), ("end", len(line))):
        value = arguments[name]
        at = default if value is None else int(value)
        at = max(0, min(at + len(line) if at < 0 else at, len(line)))
        _set(node, name, int(line[:at].sum()))


def _narrow(node: Node, arguments: Mapping[str, Any], sizes: Sizes) -> None:
    line = sizes.line(sizes.of(arguments["self"]), int(arguments["dim"]))
    if not bool(line.all()):
        start, length = int(arguments["start"]) % len(line), int(arguments["length"])
        _set(node, "start", int(line[:start].sum()))
        _set(node, "length", int(line[start : start + length].sum()))


def _select(node: Node, arguments: Mapping[str, Any], sizes: Sizes) -> None:
    line = sizes.line(sizes.of(arguments["self"]), int(arguments["dim"]))
    if not bool(line.all()):
        _set(node, "index", int(line[: int(arguments["index"]) % len(line)].sum()))


def _parts(node: Node, arguments: Mapping[str, Any], sizes: Sizes) -> None:
    """Every split becomes one by sizes."""
    parts = sizes.kept[node.name]
    source = sizes.of(arguments["self"])
    dim = int(arguments.get("dim", 0)) % source.dim()
    if bool(sizes.line(source, dim).all()):
        return
    assert isinstance(parts, tuple)
    lengths = [sizes.shape(part)[dim] for part in parts]
    node.target = torch.ops.aten.split_with_sizes.default
    node.args, node.kwargs = (arguments["self"], lengths, dim), {}


def _pad(node: Node, arguments: Mapping[str, Any], sizes: Sizes) -> None:
    source, result, pads = sizes.of(arguments["self"]), sizes.of(node), list(arguments["pad"])
    for position in range(0, len(pads), 2):
        dim = result.dim() - 1 - position // 2
        inner, outer = sizes.line(source, dim), sizes.line(result, dim)
        if bool(inner.all()) and bool(outer.all()):
            continue
        before, after = int(pads[position]), int(pads[position + 1])
        pads[position] = int(outer[:before].sum()) if before >= 0 else -int(inner[:-before].sum())
        pads[position + 1] = (
            int(outer[len(outer) - after :].sum()) if after >= 0 else -int(inner[len(inner) + after :].sum())
        )
    _set(node, "pad", pads)


def _convolution(node: Node, arguments: Mapping[str, Any], sizes: Sizes) -> None:
    spatial = re.search(r"([123])d", str(node.target))
    assert spatial is not None
    _follow_channels(node, "groups", arguments, sizes, -1 - int(spatial.group(1)))


def _group_norm(node: Node, arguments: Mapping[str, Any], sizes: Sizes) -> None:
    _follow_channels(node, "num_groups", arguments, sizes, 1)


def _follow_channels(node: Node, name: str, arguments: Mapping[str, Any], sizes: Sizes, axis: int) -> None:
    """A number of groups that is that of the channels follows them; any other stays."""
    line = sizes.line(sizes.of(arguments["input"]), axis)
    if int(arguments[name]) == len(line) > 1:
        _set(node, name, int(line.sum()))


def _normalized(node: Node, arguments: Mapping[str, Any], sizes: Sizes) -> None:
    rank = len(arguments["normalized_shape"])
    _set(node, "normalized_shape", list(sizes.shape(sizes.of(arguments["input"]))[-rank:]))


def _attention(node: Node, arguments: Mapping[str, Any], sizes: Sizes) -> None:
    """The scale of the original, for torch's default follows the number of columns; a mask of the heads that stay."""
    query, mask = sizes.of(arguments["query"]), arguments.get("attn_mask")
    if arguments.get("scale") is None:
        _set(node, "scale", query.shape[-1] ** -0.5)
    if not isinstance(mask, Node):
        return
    offset = query.dim() - sizes.of(mask).dim()
    for dim in range(offset, query.dim() - 2):
        line = sizes.line(query, dim)
        if sizes.of(mask).shape[dim - offset] == len(line) and not bool(line.all()):
            with node.graph.inserting_before(node):
                mask = _picked(node.graph, mask, dim - offset, line.tolist())
            _set(node, "attn_mask", mask)


def _picked(graph: torch.fx.Graph, value: Node, dim: int, line: list[bool]) -> Node:
    """The indices of `value` that stay along `dim`, run by run."""
    starts = [at for at, stays in enumerate(line) if stays and not (at and line[at - 1])]
    ends = [at + 1 for at, stays in enumerate(line) if stays and not (at + 1 < len(line) and line[at + 1])]
    runs = [
        graph.call_function(torch.ops.aten.slice.Tensor, (value, dim, start, end))
        for start, end in zip(starts, ends, strict=True)
    ]
    return runs[0] if len(runs) == 1 else graph.call_function(torch.ops.aten.cat.default, (runs, dim))


_CHANGES: Mapping[str, Callable[[Node, Mapping[str, Any], Sizes], None]] = {
    "aten.reshape.default": _sized("shape"),
    **{
        f"aten.{name}.default": _sized("size") for name in ("view", "_unsafe_view", "expand", "zeros", "ones")
    },
    **{f"aten.{name}.default": _sized("size") for name in ("full", "empty", "randn", "rand")},
    **{f"aten.new_{name}.default": _sized("size") for name in ("zeros", "ones", "full", "empty")},
    "aten.unflatten.int": _unflatten,
    "aten.slice.Tensor": _slice,
    "aten.narrow.default": _narrow,
    "aten.select.int": _select,
    **{f"aten.{name}": _parts for name in ("chunk.default", "split.Tensor", "split_with_sizes.default")},
    "aten.split.sizes": _parts,
    "aten.tensor_split.sections": _parts,
    "aten.pad.default": _pad,
    "aten.constant_pad_nd.default": _pad,
    **{f"aten.conv{rank}d.{name}": _convolution for rank in (1, 2, 3) for name in ("default", "padding")},
    "aten.conv_transpose1d.default": _convolution,
    "aten.conv_transpose2d.input": _convolution,
    "aten.conv_transpose3d.input": _convolution,
    "aten.group_norm.default": _group_norm,
    "aten.layer_norm.default": _normalized,
    "aten.rms_norm.default": _normalized,
    "aten.scaled_dot_product_attention.default": _attention,
}
