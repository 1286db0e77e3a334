"""Networks in int8 with operators that have no integer form in between."""

from __future__ import annotations

from onnx import helper

from tests.support.float_models import FloatWeights

__all__ = ["float_network"]


def float_network(neighbours: int = 3) -> bytes:
    """Convolution, ReLU, local response normalisation, convolution, the norm of each row, mean, product."""
    weights = FloatWeights()
    constant = weights.constant
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
    return weights.model("islands", nodes, ("x", (1, 3, 8, 8)), ("y", (1, 5)))
