"""Networks in int8 with operators that have no integer form in between."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["float_network"]


def float_network(neighbours: int = 3) -> bytes:
    """Convolution, ReLU, local response normalisation, convolution, the norm of each row, mean, product."""
    random = np.random.default_rng(0)
    weights: list[onnx.TensorProto] = []

    def constant(name: str, *shape: int) -> str:
        value = (random.standard_normal(shape) / max(1, np.prod(shape[1:])) ** 0.5).astype(np.float32)
        weights.append(numpy_helper.from_array(value, name))
        return name

    nodes = [
        helper.make_node(
            "Conv", ["x", constant("w1", 8, 3, 3, 3), constant("b1", 8)], ["c1"], name="c1", pads=[1, 1, 1, 1]
        ),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu"),
        helper.make_node(
            "LRN", ["r1"], ["n1"], name="normalise", size=neighbours, alpha=0.3, beta=0.75, bias=1.0
        ),
        helper.make_node("Conv", ["n1", constant("w2", 4, 8, 1, 1), constant("b2", 4)], ["c2"], name="c2"),
        helper.make_node("ReduceL2", ["c2"], ["s"], name="norm", axes=[3]),
        helper.make_node("GlobalAveragePool", ["s"], ["m"], name="mean"),
        helper.make_node("Flatten", ["m"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", constant("w3", 5, 4), constant("b3", 5)], ["y"], name="fc", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "islands",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())
