"""ONNX's Resize as sums of gathered rows, exactly as the specification defines it for every mode.

Nearest, linear and cubic interpolation work along one axis after another, and along an axis each result is a sum of few
of the values there, at weights that depend on shapes alone. The weights are what ONNX's reference makes of an identity
matrix. So y[o] = c[o] + sum over t of w[t, o] * x[i[t, o]], with one t for nearest, two for linear and four for cubic;
c is the value for what lies outside of the image, where that may be asked for. Elsewhere weights add up to one, so that
one axis leaves what another has set to that value as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.ir import Array

if TYPE_CHECKING:
    import onnx

__all__ = ["without_resize"]

_SIZELESS = (b"asymmetric", b"half_pixel", b"pytorch_half_pixel")
"""Ways to find a result's place in the image from the scale alone, whatever the image's size."""


def without_resize(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with a Resize whose shapes are constants as Gather, Mul and Add; any other model as it is.

    Raises:
        UsageError: sizes or scales are computed, or do not give the result's size.
    """
    import onnx
    from onnx import helper, numpy_helper

    nodes = [node for node in model.graph.node if node.op_type == "Resize"]
    if len(model.graph.node) != 1 or not nodes:
        return model
    node = nodes[0]
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    shape, result = (
        tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (model.graph.input[0], model.graph.output[0])
    )
    if any(name and name not in known for name in node.input[1:]):
        raise UsageError(f"Resize node {node.name!r} computes its sizes; they must be constants")
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[:]
    del changed.graph.initializer[:]
    current = node.input[0]
    steps = list(_matrices(node, known, shape, result))
    for axis, matrix, outside in steps:
        sums = ""
        for number, (indices, weights) in enumerate(_taps(matrix)):
            name = f"resize_{axis}_{number}"
            changed.graph.initializer.append(numpy_helper.from_array(indices, f"{name}_i"))
            changed.graph.node.append(
                helper.make_node("Gather", [current, f"{name}_i"], [f"{name}_g"], axis=axis)
            )
            term = f"{name}_g"
            if not (weights == 1).all():
                wide = weights.reshape([-1 if one == axis else 1 for one in range(len(shape))])
                changed.graph.initializer.append(numpy_helper.from_array(wide, f"{name}_w"))
                changed.graph.node.append(helper.make_node("Mul", [term, f"{name}_w"], [f"{name}_m"]))
                term = f"{name}_m"
            if sums:
                changed.graph.node.append(helper.make_node("Add", [sums, term], [f"{name}_s"]))
                term = f"{name}_s"
            sums = term
        if outside.any():
            wide = outside.reshape([-1 if one == axis else 1 for one in range(len(shape))])
            changed.graph.initializer.append(numpy_helper.from_array(wide, f"resize_{axis}_c"))
            changed.graph.node.append(
                helper.make_node("Add", [sums, f"resize_{axis}_c"], [f"resize_{axis}_o"])
            )
            sums = f"resize_{axis}_o"
        current = sums
    changed.graph.node.append(helper.make_node("Identity", [current], [node.output[0]]))
    return changed


def _matrices(
    node: onnx.NodeProto, known: dict[str, Array], shape: Sequence[int], result: Sequence[int]
) -> list[tuple[int, Array, Array]]:
    """For each axis that changes, the matrix [result, size] that makes results of what is there, and what is added."""
    from onnx import helper

    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    axes = [int(axis) % len(shape) for axis in attributes.pop("axes", range(len(shape)))]
    policy = attributes.pop("keep_aspect_ratio_policy", b"stretch").decode()
    roi, scales, sizes = (_operand(node, known, position) for position in (1, 2, 3))
    if scales is None:
        assert sizes is not None
        factors = [size / shape[axis] for axis, size in zip(axes, sizes, strict=True)]
        if policy != "stretch":
            factors = [min(factors) if policy == "not_larger" else max(factors)] * len(factors)
        exact = policy != "stretch"
    else:
        factors, exact = [float(scale) for scale in scales], True
    found = []
    for position, axis in enumerate(axes):
        if shape[axis] == result[axis] and factors[position] == 1.0 and roi is None:
            continue
        part = None if roi is None else [roi[position], roi[position + len(axes)]]
        wanted = factors[position] if exact else None
        found.append((axis, *_along(attributes, shape[axis], result[axis], wanted, part)))
    return found


def _operand(node: onnx.NodeProto, known: dict[str, Array], position: int) -> Array | None:
    name = node.input[position] if len(node.input) > position else ""
    return known[name] if name and known[name].size else None


def _along(
    attributes: dict[str, Any], size: int, result: int, scale: float | None, roi: list[float] | None
) -> tuple[Array, Array]:
    """The matrix [result, size] and what is added to its products, [result], along one axis.

    A scale may round to a larger result than ONNX's reference takes it to. Then the axis goes on beyond the image's
    edge as it does there, with the values of the edge.
    """
    known = size
    while scale is not None and roi is None and int(scale * known) < result:
        known += 1
    if known > size and attributes.get("coordinate_transformation_mode", b"half_pixel") not in _SIZELESS:
        raise UsageError("Resize to a size that its scales do not give has no kernel")
    inner = {**attributes, "extrapolation_value": 0.0}
    matrix = _reference(inner, np.eye(known, dtype=np.float32), result, scale, roi).T[:result]
    matrix[:, size - 1] = matrix[:, size - 1 :].sum(axis=1)
    zeros = np.zeros((1, known), np.float32)
    return matrix[:, :size], _reference(attributes, zeros, result, scale, roi).reshape(-1)[:result]


def _reference(
    attributes: dict[str, Any], rows: Array, result: int, scale: float | None, roi: list[float] | None
) -> Array:
    """What ONNX's reference makes of each of `rows`."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    feeds: dict[str, Array] = {"x": rows}
    names = ["x", "", "", ""]
    if roi is not None:
        names[1], feeds["roi"] = "roi", np.array([0, roi[0], 1, roi[1]], np.float32)
    if scale is not None:
        names[2], feeds["scales"] = "scales", np.array([1.0, scale], np.float32)
    else:
        names[3], feeds["sizes"] = "sizes", np.array([len(rows), result], np.int64)
    while not names[-1]:
        names.pop()
    types = {"x": TensorProto.FLOAT, "roi": TensorProto.FLOAT, "scales": TensorProto.FLOAT}
    inputs = [helper.make_tensor_value_info(n, types.get(n, TensorProto.INT64), None) for n in feeds]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(
        [helper.make_node("Resize", names, ["y"], **attributes)], "axis", inputs, [output]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    outputs: Any = ReferenceEvaluator(model).run(None, feeds)
    return np.asarray(outputs[0], np.float32)


def _taps(matrix: Array) -> list[tuple[Array, Array]]:
    """The sum of each row as indices and weights, as many pairs as the fullest row has entries."""
    count = int((matrix != 0).sum(axis=1).max())
    order = np.argsort(matrix == 0, axis=1, kind="stable")[:, :count]
    weights = np.take_along_axis(matrix, order, axis=1)
    return [(order[:, t].astype(np.int64), weights[:, t].astype(np.float32)) for t in range(count)]
