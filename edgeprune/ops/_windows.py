"""Lowering of sliding windows (Conv, pools): ONNX's attributes, padding modes, layouts and 1-D forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Shape, Tensor
from edgeprune.ops.base import OnnxNode

__all__ = ["Window", "auto_pad", "in_channel_last", "pair", "spatial_rank", "window"]


@dataclass(frozen=True)
class Window:
    """A two-dimensional window; `pads` are top, left, bottom, right.

    `overhang` is how far, at the bottom and the right, ceil_mode's last windows reach beyond the padded
    input; `pads` include it.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    overhang: tuple[int, int]


def spatial_rank(node: OnnxNode) -> int:
    """The number of spatial axes of the node's first input, 1 or 2.

    Raises:
        UsageError: it has more (volumes are not supported), or none.
    """
    rank = len(node.required(0).shape) - 2
    if rank not in (1, 2):
        raise UsageError(
            f"{node.op_type} node {node.name!r} has {rank} spatial axes; only 1 and 2 are supported"
        )
    return rank


def auto_pad(node: OnnxNode) -> str:
    """The node's auto_pad mode."""
    mode = node.attrs.get("auto_pad", "NOTSET")
    return mode.decode() if isinstance(mode, bytes) else str(mode)


def pair(node: OnnxNode, key: str, default: int = 1) -> tuple[int, int]:
    """The attribute `key`, one value per spatial axis, as (height, width); a 1-D signal has height 1."""
    rank = spatial_rank(node)
    values = tuple(int(value) for value in node.attrs.get(key) or (default,) * rank)
    if len(values) != rank:
        raise UsageError(f"{node.op_type} node {node.name!r} has {len(values)} {key} for {rank} spatial axes")
    return (default, values[0]) if rank == 1 else (values[0], values[1])


def window(node: OnnxNode, kernel: tuple[int, int]) -> Window:
    """The window of a Conv or pooling node whose kernel is `kernel` (height, width).

    Raises:
        UsageError: the attributes contradict each other or the input is smaller than the window.
    """
    rank = spatial_rank(node)
    where = f"{node.op_type} node {node.name!r}"
    sizes = (1, 1, *node.required(0).shape[2:])[-2:]
    strides, dilations = pair(node, "strides"), pair(node, "dilations")
    extents = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    mode = auto_pad(node)
    given = tuple(int(pad) for pad in node.attrs.get("pads") or (0,) * (2 * rank))
    if len(given) != 2 * rank or min(given) < 0:
        raise UsageError(f"{where} has pads {list(given)}; it needs {2 * rank} that are not negative")
    begins, ends = [0] * (2 - rank) + list(given[:rank]), [0] * (2 - rank) + list(given[rank:])
    overhang = [0, 0]
    for axis in range(2):
        size, stride, extent = sizes[axis], strides[axis], extents[axis]
        if mode in ("SAME_UPPER", "SAME_LOWER"):
            total = max(0, (-(-size // stride) - 1) * stride + extent - size)
            begins[axis] = total // 2 if mode == "SAME_UPPER" else total - total // 2
            ends[axis] = total - begins[axis]
        elif mode == "VALID":
            begins[axis] = ends[axis] = 0
        elif mode != "NOTSET":
            raise UsageError(f"{where} has an unknown auto_pad {mode!r}")
        free = size + begins[axis] + ends[axis] - extent
        if free < 0:
            raise UsageError(f"{where} has a kernel larger than its padded input of {list(sizes)}")
        if node.attrs.get("ceil_mode", 0) and mode == "NOTSET":
            # The last window must start inside the image or its leading padding.
            steps = -(-free // stride)
            steps -= steps * stride >= size + begins[axis]
            overhang[axis] = max(0, steps * stride - free)
            ends[axis] += overhang[axis]
    return Window(
        kernel, strides, dilations, (begins[0], begins[1], ends[0], ends[1]), (overhang[0], overhang[1])
    )


def in_channel_last(
    node: OnnxNode, build: Builder, out_shape: Shape, emit: Callable[[Tensor, Tensor], None]
) -> None:
    """Surround what `emit(x, y)` appends with the changes of layout from and to ONNX's channel-first axes.

    Args:
        node: its first input is [N, C, L] or [N, C, H, W], its first output likewise.
        build: where nodes go.
        out_shape: the shape [N, H, W, C] of y.
        emit: appends the operator from x [N, H, W, C] to y.
    """
    x, y = node.required(0), node.outputs[0]
    signal = spatial_rank(node) == 1
    if signal:
        n, length, channels = x.shape[0], x.shape[2], x.shape[1]
        moved = build.reshape(build.transpose(x, (0, 2, 1)), (n, 1, length, channels))
    else:
        moved = build.transpose(x, (0, 2, 3, 1))
    result = build.tensor(y.name, out_shape, y.dtype, y.quant)
    emit(moved, result)
    if signal:
        rows = build.reshape(result, (out_shape[0], out_shape[2], out_shape[3]))
        build.transpose(rows, (0, 2, 1), output=y)
    else:
        build.transpose(result, (0, 3, 1, 2), output=y)
