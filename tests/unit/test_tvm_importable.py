"""Nodes rewritten for TVM's importer compute what they did."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeprune.graph.ir import Array
from edgeprune.tvm.importable import importable


def transposed_convolution(output_shape: list[int], auto_pad: str) -> onnx.ModelProto:
    """A convolution of [1, 1, 3, 4] whose whole result is 7 by 10, cut down to `output_shape`."""
    weights = np.arange(1, 13, dtype=np.float32).reshape(1, 1, 3, 4)
    node = helper.make_node(
        "ConvTranspose", ["x", "w"], ["y"], output_shape=output_shape, strides=[2, 2], auto_pad=auto_pad
    )
    graph = helper.make_graph(
        [node],
        "transposed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, *output_shape])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("auto_pad", ["NOTSET", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("output_shape", [[6, 7], [5, 9], [7, 10]])
def test_an_odd_row_is_cut_off_where_onnxruntime_does(output_shape: list[int], auto_pad: str) -> None:
    model = transposed_convolution(output_shape, auto_pad)
    rewritten = importable(model)
    assert not any(a.name == "output_shape" for node in rewritten.graph.node for a in node.attribute)
    image = np.random.default_rng(1).standard_normal((1, 1, 3, 4)).astype(np.float32)
    assert np.array_equal(_run(rewritten, image), _run(model, image))


def _run(model: onnx.ModelProto, image: Array) -> Array:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": image})[0])
