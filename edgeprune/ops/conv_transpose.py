"""ConvTranspose: the transposed convolution of int8 images, every input pixel spread over a window.

Inputs x [N, H, W, C] int8, w [out, kh, kw, C / group] int8 (or int16 within [-255, 255]), b [out] int32;
attributes strides (height, width), pads (top, left, bottom, right) cropped from the result, dilations,
output_padding, group, clamp (low, high).

Output pixel (p, q) sums w[tap (i, j)] * (x[h, v] - zx) over h * stride + i * dilation = p + top, and likewise
across; requantisation is Conv's.
"""

from __future__ import annotations

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, AttributeValue, Node, Quant, Shape, Tensor
from edgeprune.ops._convolution import check_weighted, requantize_channels
from edgeprune.ops._weights import quantized_weights, weights_and_bias
from edgeprune.ops._windows import auto_pad, in_channel_last, pair, spatial_rank
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "ConvTranspose"]


class ConvTranspose(Operator):
    """y = clamp(requantise(b + the sum of all input pixels' weighted windows))."""

    name = "ConvTranspose"
    onnx_types = ("ConvTranspose",)

    def lower(self, node: OnnxNode, build: Builder) -> None:
        x = node.required(0)
        group = int(node.attrs.get("group", 1))
        w = _weights(node, build, group)
        attrs: dict[str, AttributeValue] = {
            "strides": pair(node, "strides"),
            "dilations": pair(node, "dilations"),
            "output_padding": pair(node, "output_padding", 0),
            "group": group,
            "clamp": (-128, 127),
        }
        attrs["pads"], attrs["output_padding"] = _pads(node, (w.shape[1], w.shape[2]))
        w, b = weights_and_bias(node, 2, x, w, build)
        shape = node.outputs[0].shape
        signal = spatial_rank(node) == 1
        out_shape = (shape[0], 1, shape[2], shape[1]) if signal else (shape[0], shape[2], shape[3], shape[1])

        def emit(source: Tensor, result: Tensor) -> None:
            build.add(self.name, node.name, [source, w, b], [result], attrs)

        in_channel_last(node, build, out_shape, emit)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        x, w, _ = node.inputs
        if w.shape[3] * node.int("group") != x.shape[3] or w.shape[0] % node.int("group"):
            raise ValueError(f"weights of shape {list(w.shape)} do not fit {x.shape[3]} channels")
        top, left, bottom, right = node.ints("pads")
        height, width = _full_size(node)
        return ((x.shape[0], height - top - bottom, width - left - right, w.shape[0]),)

    def check(self, node: Node) -> None:
        check_weighted(node)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, w, b = inputs
        sums = _spread(node, x.astype(np.float64) - node.inputs[0].zero_point, w)
        return (requantize_channels(node, sums.astype(np.int64) + b.astype(np.int64)),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, w, b = inputs
        return (_spread(node, x, w) + b,)

    def macs(self, node: Node) -> int:
        x, w, _ = node.inputs
        return x.elements * w.elements // w.shape[3] // node.int("group")


def _full_size(node: Node) -> tuple[int, int]:
    """Height and width before the pads are cropped."""
    sizes = zip(
        node.inputs[0].shape[1:3],
        node.inputs[1].shape[1:3],
        node.ints("strides"),
        node.ints("dilations"),
        node.ints("output_padding"),
        strict=True,
    )
    height, width = ((n - 1) * s + (k - 1) * d + 1 + extra for n, k, s, d, extra in sizes)
    return height, width


def _spread(node: Node, x: Array, w: Array) -> Array:
    """The sums in float64, [N, out height, out width, out]: exact for integers below 2**53."""
    batch, height, width, _ = x.shape
    out, kernel_height, kernel_width, _ = w.shape
    group = node.int("group")
    (stride_y, stride_x), (step_y, step_x) = node.ints("strides"), node.ints("dilations")
    full_height, full_width = _full_size(node)
    full = np.zeros((batch, full_height, full_width, out))
    images = x.astype(np.float64).reshape(-1, group, x.shape[3] // group).transpose(1, 0, 2)
    taps = w.astype(np.float64).reshape(group, out // group, kernel_height, kernel_width, -1)
    for i, j in np.ndindex(kernel_height, kernel_width):
        sums = np.matmul(images, taps[:, :, i, j, :].transpose(0, 2, 1))
        rows = slice(i * step_y, i * step_y + (height - 1) * stride_y + 1, stride_y)
        columns = slice(j * step_x, j * step_x + (width - 1) * stride_x + 1, stride_x)
        full[:, rows, columns] += sums.transpose(1, 0, 2).reshape(batch, height, width, out)
    top, left, bottom, right = node.ints("pads")
    return full[:, top : full_height - bottom, left : full_width - right]


def _weights(node: OnnxNode, build: Builder, group: int) -> Tensor:
    """ONNX's weights [C, out / group, kh, kw] as [out, kh, kw, C / group], scales along axis 0."""
    weights = quantized_weights(node, 1)
    quant = weights.quant
    assert quant is not None
    where = f"ConvTranspose node {node.name!r}"
    if len(weights.shape) != len(node.required(0).shape) or weights.shape[0] != node.required(0).shape[1]:
        raise UsageError(f"the weights of {where} do not fit its input's channels")
    if weights.shape[0] % group:
        raise UsageError(f"{where} has {weights.shape[0]} channels, which {group} groups do not divide")
    if quant.axis == 0 and len(set(quant.scale)) > 1:
        raise UsageError(f"the weights of {where} are quantised per input channel; quantise them per output")
    scales = quant.scale * group if quant.axis == 1 else quant.scale[:1]
    value = node.constant(1, "weights")
    value = value.reshape(group, value.shape[0] // group, value.shape[1], *(1, *value.shape[2:])[-2:])
    value = value.transpose(0, 2, 3, 4, 1).reshape(-1, *value.shape[3:], value.shape[1])
    stored = Quant(scales, (0,) * len(scales), 0 if len(scales) > 1 else None)
    return build.constant(weights.name, value, stored)


def _pads(node: OnnxNode, kernel: tuple[int, int]) -> tuple[tuple[int, ...], tuple[int, int]]:
    """What is cropped (top, left, bottom, right), and the output padding, from all of ONNX's ways to say it.

    Raises:
        UsageError: an unknown padding mode, or pads of the wrong number.
    """
    rank = spatial_rank(node)
    where = f"ConvTranspose node {node.name!r}"
    extra = pair(node, "output_padding", 0)
    given = tuple(int(pad) for pad in node.attrs.get("pads") or (0,) * (2 * rank))
    if len(given) != 2 * rank or min(given) < 0:
        raise UsageError(f"{where} has pads {list(given)}; it needs {2 * rank} that are not negative")
    begins, ends = [0] * (2 - rank) + list(given[:rank]), [0] * (2 - rank) + list(given[rank:])
    mode = auto_pad(node)
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise UsageError(f"{where} has an unknown auto_pad {mode!r}")
    if mode == "VALID":
        begins, ends = [0, 0], [0, 0]
    if node.attrs.get("output_shape") or mode.startswith("SAME"):
        sizes = (1, 1, *node.required(0).shape[2:])[-2:]
        wanted = (1, 1, *node.outputs[0].shape[2:])[-2:]
        strides, dilations = pair(node, "strides"), pair(node, "dilations")
        grown = list(extra)
        for axis in range(2):
            full = (sizes[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1 + extra[axis]
            total = max(0, full - wanted[axis])
            grown[axis] += max(0, wanted[axis] - full)
            smaller, larger = total // 2, total - total // 2
            upper = mode == "SAME_UPPER"
            begins[axis], ends[axis] = (smaller, larger) if upper else (larger, smaller)
        extra = (grown[0], grown[1])
    return (*begins, *ends), extra


OPERATOR = ConvTranspose()
