"""Small networks in float32 as ONNX files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeprune.graph.ir import Shape

__all__ = ["FloatWeights", "separable"]


class FloatWeights:
    """Random weights of a network, which keep sums of products about as large as what is summed."""

    def __init__(self) -> None:
        self.tensors: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def constant(self, name: str, *shape: int) -> str:
        """Adds a tensor; gives its name back."""
        value = self._random.standard_normal(shape) / max(1, np.prod(shape[1:])) ** 0.5
        self.tensors.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def model(
        self, name: str, nodes: Sequence[onnx.NodeProto], x: tuple[str, Shape], y: tuple[str, Shape]
    ) -> bytes:
        """The file of a network with an input and an output in float32, each a name and a shape."""
        ends = [helper.make_tensor_value_info(one, TensorProto.FLOAT, list(shape)) for one, shape in (x, y)]
        graph = helper.make_graph(nodes, name, ends[:1], ends[1:], self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        return bytes(model.SerializeToString())


def separable() -> bytes:
    """Padded, depthwise and pointwise convolutions, a residual sum, a mean, a product and a softmax."""
    weights = FloatWeights()
    constant = weights.constant

    def conv(x: str, y: str, name: str, *shape: int, **attributes: object) -> list[onnx.NodeProto]:
        names = [x, constant(f"{name}.weight", *shape), constant(f"{name}.bias", shape[0])]
        return [
            helper.make_node("Conv", names, [f"{y}.sum"], name=name, **attributes),
            helper.make_node("Relu", [f"{y}.sum"], [y]),
        ]

    weights.tensors.append(numpy_helper.from_array(np.array([1, -1], np.int64), "flat"))
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
    return weights.model("small", nodes, ("input", (1, 3, 14, 10)), ("output", (1, 5)))
