"""Float networks: deployed as they are, linked, run in the emulator, within 1e-4 of onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeprune.config import Settings
from edgeprune.errors import UsageError
from edgeprune.pipeline import deploy
from edgeprune.recheck import verify_bundle

DEVICE = "mps2-an386"


def network() -> bytes:
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


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    path.write_bytes(network())
    return path


def test_a_float_network_is_deployed_as_it_is(model: Path, tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    report = deploy(Settings(model, DEVICE, output=place, dtype="float32", samples=4)).report
    assert report["fits"]
    assert (report["dtype"], report["backend"]) == ("float32", "tvm")
    assert report["verify"]["tolerance"] == 1e-4
    assert report["verify"]["max_relative_difference"] < 1e-5
    assert {layer["source"] for layer in report["layers"]} == {"tvm"}
    assert [layer["name"] for layer in report["layers"]][:3] == ["first", "depthwise", "pointwise"]
    assert "float *small_input_0(" in (place / "library/small.h").read_text()
    assert verify_bundle(place, layer_by_layer=True).layers == len(report["layers"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"backend": "c"}, "come from TVM"),
        ({"device": "bluepill-f103c8"}, "no FPU"),
        ({"calibration": Path("x.npz")}, "--calibration"),
        ({"dtype": "int8", "backend": "tvm"}, "TVM's kernels are for float32"),
    ],
)
def test_what_float32_cannot_be_asked_for(model: Path, changes: dict[str, object], sentence: str) -> None:
    settings = Settings(**{"model": model, "device": DEVICE, "dtype": "float32", **changes})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=sentence):
        deploy(settings)
