"""Running sums along every axis, both ways, with and without their own element, by the numbers of ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeprune.config import Settings
from edgeprune.pipeline import deploy

pytest.importorskip("tvm")

SHAPE = (1, 3, 5, 4)
CASES = [(1, 0, 0), (2, 1, 0), (-1, 0, 1), (2, 1, 1)]
"""Axis, exclusive, reverse."""


def running_sums() -> bytes:
    nodes, axes = [], []
    for number, (axis, exclusive, reverse) in enumerate(CASES):
        axes.append(numpy_helper.from_array(np.array(axis, np.int64), f"axis_{number}"))
        operands = ["x" if number == 0 else f"y_{number - 1}", f"axis_{number}"]
        nodes.append(
            helper.make_node("CumSum", operands, [f"y_{number}"], exclusive=exclusive, reverse=reverse)
        )
    last = f"y_{len(CASES) - 1}"
    nodes.append(helper.make_node("Cast", [last], ["whole"], to=TensorProto.INT32))
    nodes.append(helper.make_node("CumSum", ["whole", "axis_0"], ["sums"]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)
    results = [
        helper.make_tensor_value_info(last, TensorProto.FLOAT, SHAPE),
        helper.make_tensor_value_info("sums", TensorProto.INT32, SHAPE),
    ]
    graph = helper.make_graph(nodes, "sums", [x], results, axes)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def test_running_sums_are_those_of_onnxruntime(tmp_path: Path) -> None:
    path = tmp_path / "sums.onnx"
    path.write_bytes(running_sums())
    settings = Settings(path, "mps2-an386", output=tmp_path / "bundle", dtype="float32", samples=3)
    report = deploy(settings).report
    kernels = [row["kernel"] for row in report["layers"]]
    assert kernels.count("cumsum_float32_c") == len(CASES)
    assert kernels.count("cumsum_int32_c") == 1
    assert report["verify"]["max_relative_difference"] < 1e-5
