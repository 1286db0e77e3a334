"""Nodes in forms that TVM's importer has, and has right, each by its definition in the ONNX specification.

QuantizeLinear and DequantizeLinear take scales for blocks of elements too; ConvTranspose may be told its result's
shape; SpaceToDepth has two orders of channels. `resize` has Resize, `ops._onnx_integers` what is in integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.ops._onnx_edit import Edit, Rule, attributes_of, rewritten
from edgeprune.ops._onnx_integers import in_integers

if TYPE_CHECKING:
    import onnx

__all__ = ["importable"]


def importable(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` without the nodes that the importer lacks or would take for something else.

    Raises:
        UsageError: a node has no such form.
    """
    return rewritten(in_integers(model), _RULES)


def _quantize(node: onnx.NodeProto, edit: Edit) -> bool:
    """saturate(round_half_even(x / scale) + zero_point), in float32 up to the last cast."""
    from onnx import helper

    x, scale, zero = [*node.input, ""][:3]
    attributes, onnx_type = attributes_of(node), edit.onnx_type(node.output[0])
    limits = np.iinfo(helper.tensor_dtype_to_np_dtype(onnx_type))
    real = edit.add("Round", edit.add("Div", x, _spread(node, edit, scale, attributes)))
    if zero:
        real = edit.add("Add", real, _real(edit, _spread(node, edit, zero, attributes)))
    low, high = (edit.constant(np.array(limit, np.float32)) for limit in (limits.min, limits.max))
    clipped = edit.add("Min", edit.add("Max", real, low), high)
    edit.add("Cast", clipped, result=node.output[0], to=onnx_type)
    return True


def _dequantize(node: onnx.NodeProto, edit: Edit) -> bool:
    """(x - zero_point) * scale, of which the difference is an integer."""
    from onnx import TensorProto

    x, scale, zero = [*node.input, ""][:3]
    attributes = attributes_of(node)
    stored = edit.add("Cast", x, to=TensorProto.INT32)
    if zero:
        wide = edit.add("Cast", _spread(node, edit, zero, attributes), to=TensorProto.INT32)
        stored = edit.add("Sub", stored, wide)
    factor = _spread(node, edit, scale, attributes)
    edit.add("Mul", _real(edit, stored), factor, result=node.output[0])
    return True


def _real(edit: Edit, stored: str) -> str:
    from onnx import TensorProto

    return edit.add("Cast", stored, to=TensorProto.FLOAT)


def _spread(node: onnx.NodeProto, edit: Edit, name: str, attributes: Mapping[str, int]) -> str:
    """A scale or zero point, in a shape that meets the value's element by element."""
    full, own, array = edit.shape(node.input[0]), edit.shape(name), edit.known(name)
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    if block:
        if array is None:
            raise UsageError(f"{node.op_type} node {node.name!r} computes its scale; it must be a constant")
        return edit.constant(np.repeat(array, block, axis).take(range(full[axis]), axis))
    if len(own) != 1 or len(full) <= 1:
        return name
    shape = [1] * len(full)
    if own != (1,):
        shape[axis] = -1
    if array is not None:
        return edit.constant(array.reshape(shape))
    return edit.add("Reshape", name, edit.constant(np.array(shape, np.int64)))


def _conv_transpose(node: onnx.NodeProto, edit: Edit) -> bool:
    """With `pads` and `output_padding` such as give `output_shape`; an odd row is cut off in front.

    Only SAME_UPPER, as the specification has it, cuts it off behind.
    """
    attributes = attributes_of(node)
    if "output_shape" not in attributes:
        return False
    filters = edit.shape(node.input[1])[2:]
    sizes = edit.shape(node.input[0])[2:]
    wanted = attributes.pop("output_shape")[-len(sizes) :]
    same, ones = attributes.pop("auto_pad", b"NOTSET").decode(), [1] * len(sizes)
    steps, spread = attributes.get("strides", ones), attributes.get("dilations", ones)
    extra = list(attributes.pop("output_padding", [0] * len(sizes)))
    first, last = [], []
    for position, (size, filter_size) in enumerate(zip(sizes, filters, strict=True)):
        whole = steps[position] * (size - 1) + (filter_size - 1) * spread[position] + 1
        total = whole + extra[position] - wanted[position]
        if total < 0:
            extra[position], total = extra[position] - total, 0
        less = total // 2
        first.append(less if same == "SAME_UPPER" else total - less)
        last.append(total - first[-1])
    edit.add(
        "ConvTranspose",
        *node.input,
        result=node.output[0],
        **{**attributes, "pads": [*first, *last], "output_padding": extra},
    )
    return True


def _space_to_depth(node: onnx.NodeProto, edit: Edit) -> bool:
    attributes = attributes_of(node)
    if attributes.get("mode", b"DCR") != b"CRD":
        return False
    block = attributes["blocksize"]
    n, c, h, w = edit.shape(node.input[0])
    apart = np.array([n, c, h // block, block, w // block, block], np.int64)
    joined = np.array([n, c * block * block, h // block, w // block], np.int64)
    pixels = edit.add("Reshape", node.input[0], edit.constant(apart))
    moved = edit.add("Transpose", pixels, perm=[0, 1, 3, 5, 2, 4])
    edit.add("Reshape", moved, edit.constant(joined), result=node.output[0])
    return True


def _power(node: onnx.NodeProto, edit: Edit) -> bool:
    """With the exponent in the type of the base."""
    base, exponent = (edit.onnx_type(name) for name in node.input)
    if base == exponent:
        return False
    edit.add("Pow", node.input[0], edit.add("Cast", node.input[1], to=base), result=node.output[0])
    return True


_RULES: Mapping[str, Rule] = {
    "ConvTranspose": _conv_transpose,
    "DequantizeLinear": _dequantize,
    "Pow": _power,
    "QuantizeLinear": _quantize,
    "SpaceToDepth": _space_to_depth,
}
