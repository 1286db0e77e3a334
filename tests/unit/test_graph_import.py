"""Import and passes: every model means the same before and after, and as onnxruntime sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgeprune.errors import UsageError
from edgeprune.graph.execute import execute, quantize
from edgeprune.graph.ir import Graph
from edgeprune.graph.onnx_import import import_onnx
from edgeprune.graph.passes import simplify
from edgeprune.progress import SilentProgress
from edgeprune.verify import Samples, real_outputs, reference_outputs, stored_inputs
from tests.support.onnx_models import MODELS, QdqBuilder, conv_block, flatten_net

SHARED = Path(__file__).resolve().parents[3] / "shared"


def random_samples(graph: Graph, count: int, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    inputs = tuple(
        (rng.normal(0, 40, (count, *t.shape[1:])) * t.scale).astype(np.float32) for t in graph.inputs
    )
    return Samples(inputs, None, "random")


def onnx_outputs(data: bytes, samples: Samples) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    rows = [
        session.run(None, {name: array[i : i + 1] for name, array in zip(names, samples.inputs, strict=True)})
        for i in range(samples.count)
    ]
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def simplified_and_plain(data: bytes) -> tuple[Graph, Graph]:
    plain = import_onnx(data, "net")
    return plain, simplify(plain)


@pytest.mark.parametrize("name", MODELS)
def test_simplify_keeps_the_meaning_and_removes_transposes(name: str) -> None:
    plain, simple = simplified_and_plain(MODELS[name]())
    samples = random_samples(plain, 3)
    outputs = real_outputs(
        simple, reference_outputs(simple, stored_inputs(simple, samples), SilentProgress())
    )
    for i in range(3):
        stored = [
            quantize(array[i : i + 1], t) for array, t in zip(samples.inputs, plain.inputs, strict=True)
        ]
        values = execute(plain, stored)
        for tensor, output in zip(plain.outputs, outputs, strict=True):
            real = (values[tensor.name].astype(np.float32) - tensor.zero_point) * np.float32(tensor.scale)
            np.testing.assert_array_equal(output[i], real[0])
    assert [node.op for node in simple.nodes if node.op in ("Transpose", "Relu")] == []


@pytest.mark.parametrize("name", MODELS)
def test_reference_is_near_onnxruntime(name: str) -> None:
    data = MODELS[name]()
    graph = simplify(import_onnx(data, name))
    samples = random_samples(graph if not graph.layouts else import_onnx(data, name), 4)
    ours = real_outputs(graph, reference_outputs(graph, stored_inputs(graph, samples), SilentProgress()))
    for tensor, one, other in zip(graph.outputs, ours, onnx_outputs(data, samples), strict=True):
        assert np.abs(one - other).max() / tensor.scale < 3.01


def test_uint8_activations_are_rewritten_exactly() -> None:
    signed, unsigned = (simplify(import_onnx(flatten_net(kind), "net")) for kind in (np.int8, np.uint8))
    samples = random_samples(import_onnx(flatten_net(), "net"), 4)
    results = [
        reference_outputs(graph, stored_inputs(graph, samples), SilentProgress())
        for graph in (signed, unsigned)
    ]
    np.testing.assert_array_equal(results[0][0], results[1][0])


def test_channel_last_layouts_are_recorded() -> None:
    graph = simplify(import_onnx(MODELS["residual"](), "net"))
    assert graph.layouts[graph.inputs[0].name] == (0, 2, 3, 1)
    assert graph.layouts[graph.outputs[1].name] == (0, 2, 3, 1)
    assert graph.inputs[0].shape == (1, 8, 8, 3)


def test_qlinear_operators_equal_their_qdq_form() -> None:
    rng = np.random.default_rng(7)
    helper, array = onnx.helper, onnx.numpy_helper.from_array
    weights = rng.integers(-128, 128, (4, 3, 3, 3)).astype(np.int8)
    scales = rng.uniform(0.002, 0.01, 4).astype(np.float32)
    bias = rng.integers(-500, 500, 4).astype(np.int32)
    initializers = [
        array(np.float32(0.05), "xs"), array(np.int8(4), "xz"), array(weights, "w"), array(scales, "ws"),
        array(np.zeros(4, np.int8), "wz"), array(np.float32(0.2), "ys"), array(np.int8(-9), "yz"), array(bias, "b"),
    ]  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node(
            "QLinearConv", ["xq", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["yq"], pads=[1] * 4
        ),
        helper.make_node("DequantizeLinear", ["yq", "ys", "yz"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "net", [value("x", 1, (1, 3, 5, 5))], [value("y", 1, (1, 4, 5, 5))], initializers
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data = model.SerializeToString()
    ours = simplify(import_onnx(data, "net"))
    samples = random_samples(import_onnx(data, "net"), 5)
    real = real_outputs(ours, reference_outputs(ours, stored_inputs(ours, samples), SilentProgress()))[0]
    assert np.abs(real - onnx_outputs(data, samples)[0]).max() < 0.2 * 1.01


def test_unsupported_operator_is_named_with_its_inputs() -> None:
    b = QdqBuilder()
    x = b.op("Det", [b.input(1, 2, 4, 4)])
    with pytest.raises(UsageError, match=r"operator Det \(node 'node_det_\d+', reached from 'input_1'\)"):
        import_onnx(b.model(x), "net", islands=False)


@pytest.mark.parametrize("behind", ["Det", "Relu"])
@pytest.mark.parametrize("operator", ["Relu", "Neg", "Foo", "QLinearAdd"])
def test_an_operator_of_another_domain_is_no_operator_of_onnx(operator: str, behind: str) -> None:
    """Behind integers as behind real numbers."""
    b = QdqBuilder()
    x = b.op(behind, [b.input(1, 2, 4, 4)], scale=None if behind == "Det" else 0.1)
    y = b.op(operator, [x], domain="com.acme")
    with pytest.raises(
        UsageError, match=rf"operator com\.acme\.{operator} \(node .* is not supported in int8"
    ):
        import_onnx(b.model(y), "net")


def test_an_operator_of_onnxruntime_behind_real_numbers_is_refused() -> None:
    b = QdqBuilder()
    y = b.op("FastGelu", [b.op("Det", [b.input(1, 2, 4, 4)], scale=None)], domain="com.microsoft")
    with pytest.raises(
        UsageError, match=r"operator com\.microsoft\.FastGelu \(node .* is not supported in int8"
    ):
        import_onnx(b.model(y), "net")


def test_unquantised_value_is_named() -> None:
    b = QdqBuilder()
    x = conv_block(b, b.input(1, 2, 4, 4), 2, 4, relu=False)
    hidden = b.op("HardSwish", [b.op("Mul", [x, b.op("Neg", [x])], scale=None)])
    with pytest.raises(UsageError, match=r"output of Mul node .* is not quantised"):
        import_onnx(b.model(hidden), "net")


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is missing")
@pytest.mark.parametrize(("model", "data"), [("kws", "kws01"), ("ic", "ic200")])
def test_real_networks_reach_their_accuracy(model: str, data: str) -> None:
    graph = simplify(import_onnx((SHARED / f"models/{model}.onnx").read_bytes(), model))
    assert not {node.op for node in graph.nodes} & {"Transpose", "Relu", "Requantize"}
    with np.load(SHARED / f"data/{data}.npz") as file:
        samples = Samples((file["x"][:60],), file["y"][:60], data)
    outputs = real_outputs(graph, reference_outputs(graph, stored_inputs(graph, samples), SilentProgress()))[
        0
    ]
    assert np.mean(outputs.argmax(1) == samples.labels) > 0.7


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is missing")
def test_keyword_spotting_recognises_nine_hundred_of_a_thousand() -> None:
    """The integer reference on the whole test set: what every build of kws.onnx must give too."""
    graph = simplify(import_onnx((SHARED / "models/kws.onnx").read_bytes(), "kws"))
    with np.load(SHARED / "data/kws01.npz") as file:
        samples = Samples((file["x"],), file["y"], "kws01")
    outputs = real_outputs(graph, reference_outputs(graph, stored_inputs(graph, samples), SilentProgress()))[
        0
    ]
    assert int(np.sum(outputs.argmax(1) == samples.labels)) >= 900
