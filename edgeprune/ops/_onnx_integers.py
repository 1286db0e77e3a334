"""ONNX's integer operators by plain integer arithmetic: the definition that kernels are made from and compared with.

ConvInteger, MatMulInteger, QLinearConv and QLinearMatMul subtract zero points and add products in 32 bits, which a sum
of fewer than 2^15 products of 8 bits cannot leave: |(a - za) * (b - zb)| <= 255^2 < 2^16. A bias is added in 32 bits
too, so K products and a constant bias are taken where K * 255^2 + |bias| < 2^31.

The QLinear operators then scale the sum by m = x_scale * w_scale / y_scale, a float32: m = M * 2^-s with M < 2^24.
Since |sum| <= 2^31 the product sum * M is an exact int64, and

    round_half_even(a / 2^s) = (a + 2^(s - 1) - 1 + (a >> s & 1)) >> s    for a = |sum * M| and s >= 1:

with a = q * 2^s + r the addend carries into q + 1 for r > 2^(s-1), and for r = 2^(s-1) if q is odd. An s above 57 gives
0, since a < 2^55. So no rounding but the last takes place, which is what the specification asks for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.ir import Array
from edgeprune.ops._onnx_edit import Edit, attributes_of, rewritten

if TYPE_CHECKING:
    import onnx

__all__ = ["INTEGERS", "fixed_point", "in_integers"]

_MOST_PRODUCTS, _LARGEST_PRODUCT, _MANTISSA_BITS, _MOST_SHIFT = (1 << 15) - 1, 255**2, 24, 57


def in_integers(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with its integer operators as arithmetic of int32 and int64.

    Raises:
        UsageError: a scale is computed or out of range, a bias computed, or sums are of too much.
    """
    return rewritten(model, _RULES)


def fixed_point(real: Array) -> tuple[Array, Array]:
    """Float32 numbers, positive, as (M, s) in int64 with real = M * 2^-s and 1 <= s <= 57; see the module.

    Raises:
        ValueError: a number is not positive, or at least 2^23.
    """
    mantissa, exponent = np.frexp(real.astype(np.float32))
    if not np.isfinite(real).all() or (real <= 0).any() or (exponent >= _MANTISSA_BITS).any():
        raise ValueError("not a scale")
    factor = np.ldexp(mantissa.astype(np.float64), _MANTISSA_BITS).astype(np.int64)
    shift = (_MANTISSA_BITS - exponent).astype(np.int64)
    vanishing = shift > _MOST_SHIFT
    return np.where(vanishing, 0, factor), np.where(vanishing, _MOST_SHIFT, shift)


def _conv_integer(node: onnx.NodeProto, edit: Edit) -> bool:
    operands = [*node.input, "", ""][:4]
    x, w = _centred(edit, operands[0], operands[2], None), _centred(edit, operands[1], operands[3], 0)
    _convolution(node, edit, x, w, "", node.output[0])
    return True


def _qlinear_conv(node: onnx.NodeProto, edit: Edit) -> bool:
    x, xs, xz, w, ws, wz, ys, yz, bias = [*node.input, ""][:9]
    rank = len(edit.shape(x))
    sums = _convolution(node, edit, _centred(edit, x, xz, None), _centred(edit, w, wz, 0), bias)
    _requantized(node, edit, sums, (xs, ws, ys), yz, [-1, *[1] * (rank - 2)])
    return True


def _convolution(node: onnx.NodeProto, edit: Edit, x: str, w: str, bias: str, result: str = "") -> str:
    products = _check_products(node, edit.shape(node.input[1 if node.op_type == "ConvInteger" else 3])[1:])
    if bias:
        _check_bias(node, products, edit.known(bias))
    operands = [x, w] if not bias else [x, w, bias]
    return edit.add("Conv", *operands, result=result, **attributes_of(node))


def _matmul_integer(node: onnx.NodeProto, edit: Edit) -> bool:
    a, b, za, zb = [*node.input, "", ""][:4]
    _check_products(node, edit.shape(a)[-1:])
    rows = -2 if len(edit.shape(a)) > 1 else None
    edit.add("MatMul", _centred(edit, a, za, rows), _centred(edit, b, zb, -1), result=node.output[0])
    return True


def _qlinear_matmul(node: onnx.NodeProto, edit: Edit) -> bool:
    a, sa, za, b, sb, zb, sy, zy = node.input
    _check_products(node, edit.shape(a)[-1:])
    rows = -2 if len(edit.shape(a)) > 1 else None
    sums = edit.add("MatMul", _centred(edit, a, za, rows), _centred(edit, b, zb, -1))
    _requantized(node, edit, sums, (sa, sb, sy), zy, [-1])
    return True


_RULES = {
    "ConvInteger": _conv_integer,
    "MatMulInteger": _matmul_integer,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
}
INTEGERS = frozenset(_RULES)
"""The operators that are so defined."""


def _centred(edit: Edit, stored: str, zero: str, axis: int | None) -> str:
    """`stored` as int32 less its zero point, of which there may be one for each index along `axis`."""
    from onnx import TensorProto

    array, known_zero = edit.known(stored), edit.known(zero) if zero else np.zeros((), np.int8)
    shape = [1] * len(edit.shape(stored))
    if axis is not None:
        shape[axis] = -1
    if known_zero is not None and known_zero.size == 1:
        known_zero = known_zero.reshape(())
    elif known_zero is not None and known_zero.ndim == 1 and axis is not None:
        known_zero = known_zero.reshape(shape)
    if array is not None and known_zero is not None:
        return edit.constant(array.astype(np.int32) - known_zero.astype(np.int32))
    wide = edit.add("Cast", stored, to=TensorProto.INT32)
    if known_zero is not None:
        return edit.add("Sub", wide, edit.constant(known_zero.astype(np.int32))) if known_zero.any() else wide
    wide_zero = edit.add("Cast", zero, to=TensorProto.INT32)
    if axis is not None and len(edit.shape(zero)) == 1 and edit.shape(zero) != (1,):
        wide_zero = edit.add("Reshape", wide_zero, edit.constant(np.array(shape, np.int64)))
    return edit.add("Sub", wide, wide_zero)


def _requantized(
    node: onnx.NodeProto, edit: Edit, sums: str, scales: tuple[str, str, str], zero: str, channels: list[int]
) -> None:
    """The int32 `sums`, scaled by the first two of `scales` over the third, as the node's result."""
    from onnx import TensorProto, helper

    x, w, y = (edit.known(name) for name in scales)
    zero_point = edit.known(zero)
    if x is None or w is None or y is None or zero_point is None:
        raise UsageError(f"{node.op_type} node {node.name!r} computes its scale; it must be a constant")
    try:
        factor, shift = fixed_point(x.astype(np.float32) * w.astype(np.float32) / y.astype(np.float32))
    except ValueError as error:
        raise UsageError(f"{node.op_type} node {node.name!r} has a scale that is out of range") from error
    if factor.size > 1:
        factor, shift = factor.reshape(channels), shift.reshape(channels)
    else:
        factor, shift = factor.reshape(()), shift.reshape(())
    product = edit.add("Mul", edit.add("Cast", sums, to=TensorProto.INT64), edit.constant(factor))
    size, power = edit.add("Abs", product), edit.constant(np.left_shift(np.int64(1), shift))
    whole = edit.add("Div", size, power)
    odd = edit.add("Sub", whole, edit.add("Mul", edit.add("Div", whole, _two(edit)), _two(edit)))
    half = edit.constant(np.left_shift(np.int64(1), shift - 1) - 1)
    rounded = edit.add("Div", edit.add("Add", edit.add("Add", size, half), odd), power)
    signed = edit.add("Mul", rounded, edit.add("Sign", product))
    moved = edit.add("Add", signed, edit.constant(zero_point.astype(np.int64).reshape(())))
    limits = np.iinfo(zero_point.dtype)
    low, high = (edit.constant(np.array(limit, np.int64)) for limit in (limits.min, limits.max))
    clipped = edit.add("Min", edit.add("Max", moved, low), high)
    onnx_type = helper.np_dtype_to_tensor_dtype(zero_point.dtype)
    edit.add("Cast", clipped, result=node.output[0], to=onnx_type)


def _two(edit: Edit) -> str:
    return edit.constant(np.array(2, np.int64))


def _check_products(node: onnx.NodeProto, extents: tuple[int, ...]) -> int:
    """How many products a sum is of."""
    products = int(np.prod(extents, dtype=np.int64))
    if products > _MOST_PRODUCTS:
        raise UsageError(
            f"{node.op_type} node {node.name!r} adds more than {_MOST_PRODUCTS:,} products, which 32 bits may not hold"
        )
    return products


def _check_bias(node: onnx.NodeProto, products: int, bias: Array | None) -> None:
    if bias is None:
        raise UsageError(f"{node.op_type} node {node.name!r} computes its bias; it must be a constant")
    largest = int(np.abs(bias.astype(np.int64)).max(initial=0))
    if products * _LARGEST_PRODUCT + largest >= 1 << 31:
        raise UsageError(
            f"{node.op_type} node {node.name!r} adds a bias of {largest:,} to {products:,} products, which 32 bits may"
            " not hold"
        )
