"""MLPerf Tiny's anomaly detection network as int8 ONNX with random weights: what its kernels cost, not what it knows.

640-128-128-128-128-8-128-128-128-128-640, all fully connected, ReLU behind all layers but the last.
"""

from __future__ import annotations

import itertools

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["WIDTHS", "autoencoder"]

WIDTHS = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)
_SEED = 0
_SCALE = 0.05
"""Of every activation; a weight's follows from it, so that sums of random products fill the range."""


def autoencoder(widths: tuple[int, ...] = WIDTHS) -> bytes:
    """The network of layers between `widths` as a QDQ model: input [1, widths[0]], output [1, widths[-1]]."""
    rng = np.random.default_rng(_SEED)
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, value: object) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def through_int8(name: str, zero_point: int) -> str:
        parameters = [
            constant(f"{name}_scale", np.float32(_SCALE)),
            constant(f"{name}_zero", np.int8(zero_point)),
        ]
        nodes.append(helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}_q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", *parameters], [f"{name}_dq"]))
        return f"{name}_dq"

    last = len(widths) - 2
    x = through_int8("input", 0)
    for index, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        stem = f"dense_{index}"
        scale = 1.0 / (64 * np.sqrt(inputs))
        matrix = constant(f"{stem}_weights", rng.integers(-127, 128, (outputs, inputs)).astype(np.int8))
        scales = constant(
            f"{stem}_weights_scale", (rng.uniform(0.5, 1.0, outputs) * scale).astype(np.float32)
        )
        zeros = constant(f"{stem}_weights_zero", np.zeros(outputs, np.int8))
        bias = constant(f"{stem}_bias", rng.uniform(-0.1, 0.1, outputs).astype(np.float32))
        nodes.append(helper.make_node("DequantizeLinear", [matrix, scales, zeros], [f"{stem}_w"], axis=0))
        nodes.append(helper.make_node("Gemm", [x, f"{stem}_w", bias], [stem], name=stem, transB=1))
        if index == last:
            x = through_int8(stem, 0)
        else:
            nodes.append(helper.make_node("Relu", [stem], [f"{stem}_relu"], name=f"{stem}_relu"))
            x = through_int8(f"{stem}_relu", -128)
    graph = helper.make_graph(
        nodes,
        "autoencoder",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, widths[0]])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, widths[-1]])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    serialized: bytes = model.SerializeToString()
    return serialized
