"""FromBytes: an image of bytes, as a camera gives it, as the int8 tensor that the network reads.

Definition: y = clamp(zero_y + round(((byte - mean) / std) / scale_y)), rounded half to even, in float32 as ONNX's
QuantizeLinear computes it; `means` and `stds` have one entry, or one for each channel, which is the last axis. There
are 256 bytes, so the definition is a table for each of them.

No ONNX operator lowers to it: `graph.passes.take_bytes` puts it before a network's first layer.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Attributes, Graph, Node, Shape, Tensor
from edgeprune.ops.base import Operator

__all__ = ["OPERATOR", "FromBytes", "bytes_of", "image_reader", "mean_and_std", "reals_of"]


def image_reader(graph: Graph, tensor: Tensor) -> Node | None:
    """The FromBytes that reads an input of `graph` which holds the bytes of an image; None of any other tensor."""
    readers = graph.consumers().get(tensor.name, ())
    return readers[0] if len(readers) == 1 and readers[0].op == FromBytes.name else None


def mean_and_std(node: Node) -> tuple[Array, Array]:
    """Means and standard deviations, float32 [1] or [channels]."""
    found = []
    for key in ("means", "stds"):
        values = node.attrs[key]
        assert isinstance(values, tuple), (node.name, key)
        found.append(np.array(values, np.float32))
    return found[0], found[1]


def reals_of(node: Node, stored: Array) -> Array:
    """The real numbers, float32 [..., channels], that `stored` bytes stand for."""
    means, stds = mean_and_std(node)
    reals: Array = (stored.astype(np.float32) - means) / stds
    return reals


def bytes_of(node: Node, reals: Array) -> Array:
    """The bytes nearest to real numbers [..., channels], saturated: what a camera would have given."""
    means, stds = mean_and_std(node)
    stored: Array = np.clip(np.rint(reals.astype(np.float64) * stds + means), 0, 255).astype(np.uint8)
    return stored


class FromBytes(Operator):
    """y = (x - mean) / std, of bytes."""

    name = "FromBytes"
    is_elementwise = True

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        return (node.inputs[0].shape,)

    def check(self, node: Node) -> None:
        x, y = node.inputs[0], node.output
        if x.dtype != "uint8" or x.quant is not None:
            raise ValueError(f"{x.name} must be uint8 without a scale")
        if y.dtype != "int8" or y.quant is None or y.quant.axis is not None:
            raise ValueError(f"{y.name} must be int8 with one scale and one zero point")
        means, stds = mean_and_std(node)
        if len(means) != len(stds) or len(means) not in (1, x.shape[-1] if x.shape else 1):
            raise ValueError(f"{len(means)} means and {len(stds)} stds for an input of shape {x.shape}")

    def table(self, node: Node) -> Array:
        """The output for each byte, by channel: int8 [1 or channels, 256]."""
        count, y = len(mean_and_std(node)[0]), node.output
        reals = reals_of(node, np.repeat(np.arange(256)[:, None], count, axis=1)).T
        steps = np.rint(reals / np.float32(y.scale)) + y.zero_point
        stored: Array = np.clip(steps, -128, 127).astype(np.int8)
        return stored

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        table = self.table(node)
        channel = np.arange(inputs[0].shape[-1]) if len(table) > 1 else 0
        return (table[channel, inputs[0]],)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (reals_of(node, inputs[0]).astype(np.float64),)

    def permute(self, node: Node, perm: tuple[int, ...]) -> Attributes | None:
        return node.attrs if len(mean_and_std(node)[0]) == 1 else None


OPERATOR = FromBytes()
