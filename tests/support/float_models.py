"""Small networks in float32 as ONNX files."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["separable"]


def separable() -> bytes:
    """Padded, depthwise and pointwise convolutions, a residual sum, a mean, a product and a softmax."""
    random = np.random.default_rng(0)
    weights: list[onnx.TensorProto] = []

    def constant(name: str, *shape: int) -> str:
        value = (random.standard_normal(shape) / max(1, np.prod(shape[1:])) ** 0.5).astype(np.float32)
        weights.append(numpy_helper.from_array(value, name))
        return name

    def conv(x: str, y: str, name: str, *shape: int, **attributes: object) -> list[onnx.NodeProto]:
        names = [x, constant(f"{name}.weight", *shape), constant(f"{name}.bias", shape[0])]
        return [
            helper.make_node("Conv", names, [f"{y}.sum"], name=name, **attributes),
            helper.make_node("Relu", [f"{y}.sum"], [y]),
        ]

    weights.append(numpy_helper.from_array(np.array([1, -1], np.int64), "flat"))
    nodes = [
        *conv("input", "a", "first", 8, 3, 3, 3, strides=[2, 2], pads=[1, 1, 1, 1]),
        *conv("a", "b", "depthwise", 8, 1, 3, 3, pads=[1, 1, 1, 1], group=8),
        *conv("b", "c", "pointwise", 8, 8, 1, 1),
        helper.make_node("Add", ["a", "c"], ["d"], name="residual"),
        helper.make_node("GlobalAveragePool", ["d"], ["e"], name="mean"),
        helper.make_node("Reshape", ["e", "flat"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", constant("w", 5, 8), constant("b5", 5)], ["g"], name="fc", transB=1),
        helper.make_node("Softmax", ["g"], ["output"], name="softmax"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 14, 10])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 5])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())
