"""LayerNormalization over the trailing axes, in integers.

For a row of K stored values x (the zero point cancels), with d = K x - sum(x) = K (x - mean):

    normalised = (x - mean) / sqrt(variance + epsilon / scale_x**2) = d / sqrt(V + E),
    V = K sum(x**2) - sum(x)**2 (exact),  E = K**2 epsilon / scale_x**2.

1. A = (V << p) + round(E 2**p), with p the largest even number at which A stays below 2**62.
2. (q, z) = the reciprocal square root of A, see `_inverse_root`: about q 2**(z - 60), q within [0.99 * 2**29, 2**30].
3. n = (d * 2**e * q) >> 32 with e = F + p / 2 + z - 28: the normalised value in units of 2**-F. |normalised| is
   at most sqrt(K), for any row, so |d * 2**e| <= sqrt(K) 2**(F + 32) / q < 2**31 for F = 27 - ceil(log2(K) / 2).
   e >= 0 is checked. A row with V = 0 has d = 0, and n = 0.
4. y = clamp((((n * g) >> 32) + b) >> s), where g = round(gamma / scale_y * 2**(32 + s - F)), b = round((beta /
   scale_y + zero_y + 1 / 2) * 2**s), and s, at most 16, is the largest shift at which g and the sum fit int32.

Products are of two int32, kept in their high words. The errors: 2**-F and the relative 5.9e-8 of n, then
2**-s: far below half an output step, so y differs from the rounded float result only near ties, by 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Quant, Shape, Tensor
from edgeprune.ops._fixed_point import clamp_int8
from edgeprune.ops._inverse_root import LIMIT, inverse_root
from edgeprune.ops._values import normalized_axis, real_value
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "LayerNormalization", "NormArithmetic"]

_LONGEST_ROW = 1 << 15
_LARGEST_SHIFT = 16
_PARAMETER_BITS = 30


@dataclass(frozen=True)
class NormArithmetic:
    """The integers every row shares: K, p, round(E 2**p), F and s."""

    length: int
    root_shift: int
    epsilon: int
    fraction_bits: int
    shift: int

    @property
    def exponent(self) -> int:
        """e - z."""
        return self.fraction_bits + self.root_shift // 2 - 28


class LayerNormalization(Operator):
    """y = (x - mean) / sqrt(variance + epsilon) * gamma + beta over axes `axis` ... of x.

    Inputs: x int8 [..., K], gamma and beta int32 [K] at a power-of-two scale each, 30 bits and a sign.
    Attributes: `axis`, the first normalised axis; `epsilon`.
    """

    name = "LayerNormalization"
    onnx_types = ("LayerNormalization",)

    def lower(self, node: OnnxNode, build: Builder) -> None:
        x = node.required(0)
        if any(output.name for output in node.outputs[1:]):
            raise UsageError(
                f"LayerNormalization node {node.name!r} also returns its mean or deviation, which is not "
                "supported; export the model for inference"
            )
        axis = normalized_axis(node, int(node.attrs.get("axis", -1)), len(x.shape))
        gamma = _parameter(node, 1, "gamma", 1.0, x.shape[axis:], build)
        beta = _parameter(node, 2, "beta", 0.0, x.shape[axis:], build)
        attrs = {"axis": axis, "epsilon": float(node.attrs.get("epsilon", 1e-5))}
        build.add(self.name, node.name, [x, gamma, beta], node.outputs[:1], attrs)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        return (node.inputs[0].shape,)

    def one_position(self, node: Node, axis: int) -> tuple[int, Attributes] | None:
        return (axis, node.attrs) if axis < node.int("axis") else None

    def check(self, node: Node) -> None:
        x, gamma, beta = node.inputs
        for tensor in (x, node.output):
            if tensor.dtype != "int8" or tensor.quant is None or tensor.quant.axis is not None:
                raise ValueError(f"{tensor.name} must be int8 with one scale and one zero point")
        length = math.prod(x.shape[node.int("axis") :])
        if gamma.shape != (length,) or beta.shape != (length,) or gamma.dtype != "int32":
            raise ValueError(f"gamma and beta must be int32 of {length} elements")
        if length > _LONGEST_ROW:
            raise ValueError(f"a row longer than {_LONGEST_ROW} may overflow its integer sums")
        if _fraction_bits(length) + self._root_argument(node, length)[0] // 2 < 28:
            raise ValueError("epsilon dwarfs every variance that the input's scale can express")
        if gamma.value is not None and beta.value is not None:
            self.arithmetic(node, gamma.value, beta.value)

    def arithmetic(self, node: Node, gamma: Array, beta: Array) -> NormArithmetic:
        """The integers of this node for these stored parameters.

        Raises:
            ValueError: gamma or beta is so large, in output steps, that the sum of step 4 may overflow.
        """
        length = math.prod(node.inputs[0].shape[node.int("axis") :])
        fraction_bits = _fraction_bits(length)
        real_gamma, real_beta = self._real_parameters(node, gamma, beta)
        root_shift, epsilon = self._root_argument(node, length)
        largest_sum = math.sqrt(length) * 1.01 * np.abs(real_gamma).max() + np.abs(real_beta).max() + 1
        by_sum = 30 - math.frexp(largest_sum)[1]
        by_gamma = fraction_bits - 2 - math.frexp(float(np.abs(real_gamma).max()))[1]
        shift = min(_LARGEST_SHIFT, by_sum, by_gamma)
        if shift < 1:
            raise ValueError("gamma or beta is too large for the output's scale")
        return NormArithmetic(length, root_shift, epsilon, fraction_bits, shift)

    def channel_parameters(self, node: Node, gamma: Array, beta: Array) -> tuple[Array, Array]:
        """g and b of every channel, int64 [K], within int32."""
        p = self.arithmetic(node, gamma, beta)
        real_gamma, real_beta = self._real_parameters(node, gamma, beta)
        g = np.rint(real_gamma * 2.0 ** (32 + p.shift - p.fraction_bits)).astype(np.int64)
        b = np.rint((real_beta + 0.5) * 2.0**p.shift).astype(np.int64)
        assert max(np.abs(g).max(), np.abs(b).max()) < 1 << 31, node.name
        return g, b

    def _real_parameters(self, node: Node, gamma: Array, beta: Array) -> tuple[Array, Array]:
        """gamma and beta in output steps, beta with the output's zero point added."""
        y = node.output
        real_gamma = real_value(node.inputs[1], gamma) / y.scale
        return real_gamma, real_value(node.inputs[2], beta) / y.scale + y.zero_point

    def _root_argument(self, node: Node, length: int) -> tuple[int, int]:
        """p and round(E 2**p)."""
        epsilon = node.attrs["epsilon"]
        assert isinstance(epsilon, float)
        exact = length**2 * epsilon / node.inputs[0].scale ** 2
        root_shift = 60
        while root_shift > 0 and (_largest_variance(length) + exact) * 2.0**root_shift >= LIMIT - 1:
            root_shift -= 2
        return root_shift, round(exact * 2.0**root_shift)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, gamma, beta = inputs
        p = self.arithmetic(node, gamma, beta)
        g, b = self.channel_parameters(node, gamma, beta)
        rows = x.reshape(-1, p.length).astype(np.int64)
        total = rows.sum(axis=1)
        variance = p.length * (rows * rows).sum(axis=1) - total * total
        q, z = inverse_root(np.maximum((variance << p.root_shift) + p.epsilon, 1))
        e = np.where(variance > 0, p.exponent + z, 0)
        n = (((p.length * rows - total[:, None]) << e[:, None]) * q[:, None]) >> 32
        y = clamp_int8((((n * g) >> 32) + b) >> p.shift)
        return (y.reshape(x.shape),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, gamma, beta = inputs
        epsilon = node.attrs["epsilon"]
        assert isinstance(epsilon, float)
        rows = x.reshape(-1, gamma.size)
        centred = rows - rows.mean(axis=1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + epsilon)
        return ((centred / deviation * gamma + beta).reshape(x.shape),)


def _largest_variance(length: int) -> int:
    """The largest V of a row of `length` int8 values: half of them -128, half 127."""
    return (255 * length) ** 2 // 4


def _fraction_bits(length: int) -> int:
    return 27 - math.ceil(math.log2(length) / 2)


def _parameter(node: OnnxNode, index: int, role: str, default: float, shape: Shape, build: Builder) -> Tensor:
    """Input `index` broadcast to `shape`, flattened, as int32 at the finest power of two that holds it."""
    tensor = node.input(index)
    real = np.array(default)
    if tensor is not None:
        node.constant(index, role)
        real = real_value(tensor)
    try:
        flat = np.broadcast_to(real, shape).reshape(-1)
    except ValueError:
        raise UsageError(
            f"LayerNormalization node {node.name!r} has a {role} of shape {list(real.shape)}; the normalised axes "
            f"are {list(shape)}"
        ) from None
    exponent = _PARAMETER_BITS - math.frexp(float(np.abs(flat).max()))[1]
    scale = math.ldexp(1.0, -min(exponent, _PARAMETER_BITS))
    stored = np.rint(flat / scale).astype(np.int32)
    return build.constant(f"{node.name}.{role}", stored, Quant.per_tensor(scale, 0))


OPERATOR = LayerNormalization()
