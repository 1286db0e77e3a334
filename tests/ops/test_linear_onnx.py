"""Lowering and references of the linear operators against ONNX Runtime on QDQ models, within one step."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeprune.errors import UsageError
from edgeprune.graph.execute import execute
from edgeprune.graph.ir import Graph
from edgeprune.graph.onnx_import import import_onnx
from tests.support.onnx_models import QdqBuilder

OPSET = 21


class Model(QdqBuilder):
    """One operator between QuantizeLinear nodes."""

    def bias(self, channels: int) -> str:
        return self.constant(self.rng.normal(0, 0.5, channels).astype(np.float32), "bias")

    def finish(self, output: str) -> bytes:
        value = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "net", self.inputs, [value], self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        return onnx.shape_inference.infer_shapes(model, data_prop=True).SerializeToString()


def assert_matches(model: Model, output: str, steps: int = 1) -> Graph:
    """The imported graph and ONNX Runtime differ by at most `steps` of the output on random inputs."""
    data = model.finish(output)
    graph = import_onnx(data, "net")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    stored = [model.rng.integers(-128, 128, t.shape).astype(np.int8) for t in graph.inputs]
    reals = {
        i.name: (s.astype(np.float32) - t.zero_point) * np.float32(t.scale)
        for i, s, t in zip(session.get_inputs(), stored, graph.inputs, strict=True)
    }
    (expected,) = session.run(None, reals)
    y = graph.outputs[0]
    got = execute(graph, stored)[y.name]
    wanted = np.rint(expected / np.float32(y.scale)) + y.zero_point
    assert got.shape == wanted.shape
    assert np.abs(got - np.clip(wanted, -128, 127)).max() <= steps
    assert np.ptp(got.astype(int)) > 0 or got.size == 1
    return graph


CONVOLUTIONS = [
    ((1, 3, 8, 9), (5, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
    ((1, 3, 8, 9), (5, 3, 3, 2), {"pads": [0, 1, 2, 0], "strides": [2, 1], "dilations": [1, 2]}),
    ((1, 4, 7, 7), (4, 1, 3, 3), {"group": 4, "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ((1, 4, 8, 8), (8, 1, 3, 3), {"group": 4, "auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ((1, 4, 8, 8), (6, 2, 3, 3), {"group": 2, "auto_pad": "VALID"}),
    ((1, 3, 20), (5, 3, 5), {"pads": [4, 0], "dilations": [1], "strides": [2]}),
    ((1, 4, 20), (4, 1, 3), {"group": 4, "auto_pad": "SAME_UPPER"}),
    ((2, 3, 5, 5), (4, 3, 1, 1), {}),
]


@pytest.mark.parametrize(("shape", "weights", "attrs"), CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("biased", [False, True])
def test_conv(shape, weights, attrs, biased):
    model = Model(1, np.uint8 if biased else np.int8)
    inputs = [model.input(*shape), model.weights(*weights, axis=0 if biased else None)]
    inputs += [model.bias(weights[0])] if biased else []
    assert_matches(model, model.op("Conv", inputs, scale=0.03, **attrs))


TRANSPOSED = [
    ((1, 3, 4, 5), (3, 4, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    ((1, 3, 4, 5), (3, 4, 3, 2), {"strides": [2, 3], "dilations": [2, 1], "pads": [0, 1, 2, 0]}),
    ((1, 4, 4, 4), (4, 3, 2, 2), {"strides": [2, 2], "group": 2}),
    ((1, 3, 4, 4), (3, 2, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ((1, 3, 4, 4), (3, 2, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ((1, 3, 4, 4), (3, 2, 3, 3), {"strides": [2, 2], "output_shape": [8, 10]}),
    ((1, 3, 9), (3, 4, 4), {"strides": [2], "pads": [1, 1]}),
]


@pytest.mark.parametrize(("shape", "weights", "attrs"), TRANSPOSED, ids=str)
def test_conv_transpose(shape, weights, attrs):
    model = Model(2)
    inputs = [model.input(*shape), model.weights(*weights, axis=1)]
    inputs += [model.bias(weights[1] * attrs.get("group", 1))]
    assert_matches(model, model.op("ConvTranspose", inputs, scale=0.03, **attrs))


@pytest.mark.parametrize(
    ("shape", "weights", "axis", "attrs", "bias"),
    [
        ((1, 12), (12, 5), 1, {}, (5,)),
        ((3, 12), (5, 12), 0, {"transB": 1, "alpha": 0.5, "beta": 2.0}, (1, 5)),
        ((12, 2), (12, 5), 1, {"transA": 1, "alpha": -1.5}, ()),
        ((1, 12), (12, 1), 1, {}, None),
    ],
)
def test_gemm(shape, weights, axis, attrs, bias):
    model = Model(3)
    inputs = [model.input(*shape), model.weights(*weights, axis=axis)]
    if bias is not None:
        inputs.append(model.constant(model.rng.normal(0, 0.5, bias).astype(np.float32)))
    assert_matches(model, model.op("Gemm", inputs, scale=0.03, **attrs))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 3, 4), (2, 4, 5)),
        ((3, 4), (2, 4, 5)),
        ((4,), (2, 4, 5)),
        ((2, 3, 4), (4,)),
        ((1, 2, 3, 4), (4, 6)),
    ],
)
def test_matmul(a, b):
    model = Model(4)
    assert_matches(
        model, model.op("MatMul", [model.input(*a), model.input(*b, scale=0.02, zero=-9)], scale=0.1)
    )
    model = Model(5)
    axis = 1 if len(b) == 2 else None
    graph = assert_matches(
        model, model.op("MatMul", [model.input(*a), model.weights(*b, axis=axis)], scale=0.03)
    )
    assert any(node.op == "FullyConnected" for node in graph.nodes) == (len(b) == 2)


POOLS = [
    ((1, 3, 8, 9), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ((1, 3, 8, 9), {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 2, 1]}),
    ((1, 3, 8, 8), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    ((1, 3, 7, 7), {"kernel_shape": [3, 3], "strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    ((1, 3, 5, 6), {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ((1, 3, 5, 6), {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ((1, 3, 11), {"kernel_shape": [3], "strides": [2], "pads": [1, 1]}),
]


@pytest.mark.parametrize(("shape", "attrs"), POOLS, ids=str)
def test_pools(shape, attrs):
    model = Model(6)
    assert_matches(model, model.op("MaxPool", [model.input(*shape)], scale=0.05, zero=3, **attrs))
    for include in (0, 1):
        model = Model(7)
        x = model.input(*shape)
        assert_matches(model, model.op("AveragePool", [x], scale=0.02, count_include_pad=include, **attrs))


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("shape", [(1, 3, 5, 6), (1, 4, 7)])
def test_global_pools(op, shape):
    model = Model(8)
    scale, zero = (0.05, 3) if op == "GlobalMaxPool" else (0.02, -5)
    assert_matches(model, model.op(op, [model.input(*shape)], scale=scale, zero=zero))


@pytest.mark.parametrize(
    ("shape", "axes", "attrs"),
    [
        ((1, 3, 5, 6), [2, 3], {}),
        ((1, 3, 5, 6), [-1, -2], {"keepdims": 0}),
        ((1, 4, 6), [1], {}),
        ((1, 4, 6), [2], {"keepdims": 0}),
        ((2, 3, 4), None, {}),
        ((2, 3, 4), None, {"noop_with_empty_axes": 1}),
    ],
)
def test_reduce_mean(shape, axes, attrs):
    model = Model(9)
    inputs = [model.input(*shape)]
    if axes is not None:
        inputs.append(model.constant(np.array(axes, np.int64), "axes"))
    assert_matches(model, model.op("ReduceMean", inputs, scale=0.02, **attrs))


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
def test_binary(op):
    scale = 0.3 if op == "Mul" else 0.1
    model = Model(10)
    assert_matches(
        model, model.op(op, [model.input(1, 3, 4), model.input(3, 1, scale=0.08, zero=-20)], scale)
    )
    model = Model(11)
    real = model.constant(model.rng.normal(0, 2, (3, 1)).astype(np.float32))
    assert_matches(model, model.op(op, [model.input(1, 3, 4), real], scale))


def test_refusals_name_the_node():
    model = Model(12)
    volume = model.op("Conv", [model.input(1, 2, 4, 4, 4), model.weights(3, 2, 2, 2, 2)])
    with pytest.raises(UsageError, match=r"Conv node 'node_conv_.*3 spatial axes"):
        import_onnx(model.finish(volume), "net", islands=False)
    model = Model(13)
    unquantised = model.constant(model.rng.normal(0, 1, (3, 2, 2, 2)).astype(np.float32))
    with pytest.raises(UsageError, match=r"weights of Conv node 'node_conv_.*not quantised"):
        import_onnx(
            model.finish(model.op("Conv", [model.input(1, 2, 4, 4), unquantised])), "net", islands=False
        )
    model = Model(14)
    computed = model.op("Conv", [model.input(1, 2, 4, 4), model.input(3, 2, 2, 2)])
    with pytest.raises(UsageError, match="weights from a computed tensor"):
        import_onnx(model.finish(computed), "net", islands=False)


def test_an_int32_bias_is_kept_and_another_scale_is_converted():
    for factor in (1.0, 3.0):
        model = Model(15)
        weights = model.weights(5, 12, axis=None)
        scale = np.float32(
            numpy_helper.to_array(next(i for i in model.initializers if i.name.startswith("ws")))
        )
        stored = model.constant(model.rng.integers(-2000, 2000, 5).astype(np.int32), "bias")
        bias_scale = model.constant(np.float32(0.05) * scale * np.float32(factor))
        model.nodes.append(helper.make_node("DequantizeLinear", [stored, bias_scale], ["bias_real"]))
        inputs = [model.input(1, 12), weights, "bias_real"]
        graph = assert_matches(model, model.op("Gemm", inputs, scale=0.05, transB=1))
        value = next(n for n in graph.nodes if n.op == "FullyConnected").inputs[2].value
        given = numpy_helper.to_array(next(i for i in model.initializers if i.name == stored))
        np.testing.assert_array_equal(value, np.rint(given * factor))


def test_a_bias_beyond_int32_coarsens_its_channels_weights():
    model = Model(16)
    stored = model.constant(model.rng.integers(-127, 128, (5, 12)).astype(np.int8), "w")
    scales = model.constant(np.array([1e-3, 1e-12, 2e-3, 1e-3, 1e-3], np.float32), "ws")
    model.nodes.append(helper.make_node("DequantizeLinear", [stored, scales], ["w_real"], axis=0))
    bias = model.constant(np.array([0.1, -0.5, 0.2, 0.3, 0.4], np.float32), "bias")
    graph = assert_matches(
        model, model.op("Gemm", [model.input(1, 12), "w_real", bias], scale=0.01, transB=1)
    )
    node = next(n for n in graph.nodes if n.op == "FullyConnected")
    assert abs(int(node.inputs[2].value[1])) == 1 << 30
    np.testing.assert_array_equal(node.inputs[1].value[0], numpy_helper.to_array(model.initializers[0])[0])


def test_an_int32_bias_that_overflows_is_refused():
    model = Model(17)
    stored = model.constant(np.array([0, 2**31 - 1], np.int32), "bias")
    weights = model.weights(2, 12, axis=None)
    scale = np.float32(numpy_helper.to_array(next(i for i in model.initializers if i.name.startswith("ws"))))
    bias_scale = model.constant(np.float32(0.05) * scale)
    model.nodes.append(helper.make_node("DequantizeLinear", [stored, bias_scale], ["bias_real"]))
    output = model.op("Gemm", [model.input(1, 12), weights, "bias_real"], transB=1)
    with pytest.raises(UsageError, match=r"output channel 1 of Gemm node 'node_gemm_.*32 bits"):
        import_onnx(model.finish(output), "net", islands=False)
