"""Chains of operators that a quantiser left in float become one table, exactly ONNX Runtime's numbers."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper
from scipy.special import erf

from edgeprune.errors import UsageError
from edgeprune.graph.execute import execute
from edgeprune.graph.onnx_import import import_onnx
from tests.ops.test_linear_onnx import Model, assert_matches


def constant(model: Model, value: float) -> str:
    return model.constant(np.float32(value))


def gelu(model: Model, x: str) -> str:
    scaled = model.op("Div", [x, constant(model, 1.4142135)], scale=None)
    doubled = model.op("Add", [model.op("Erf", [scaled], scale=None), constant(model, 1)], scale=None)
    return model.op("Mul", [x, doubled], scale=0.04)


def hard_swish(model: Model, x: str) -> str:
    gate = model.op("Add", [x, constant(model, 3)], scale=None)
    gate = model.op("Clip", [gate, constant(model, 0), constant(model, 6)], scale=None)
    return model.op(
        "Div", [model.op("Mul", [gate, x], scale=None), constant(model, 6)], scale=0.05, zero=-100
    )


def mish(model: Model, x: str) -> str:
    gate = model.op("Tanh", [model.op("Softplus", [x], scale=None)], scale=None)
    return model.op("Mul", [x, gate], scale=0.03)


def reversed_powers(model: Model, x: str) -> str:
    below = model.op("Sub", [constant(model, 2), model.op("Exp", [x], scale=None)], scale=None)
    square = model.op("Pow", [model.op("Neg", [below], scale=None), constant(model, 2)], scale=None)
    return model.op("Min", [square, constant(model, 3)], scale=0.02)


@pytest.mark.parametrize("function", [gelu, hard_swish, mish, reversed_powers])
@pytest.mark.parametrize("activation", [np.int8, np.uint8])
def test_a_chain_is_one_table(function, activation):
    model = Model(1, activation)
    graph = assert_matches(model, function(model, model.input(2, 3, 50, scale=0.03)))
    assert [node.op for node in graph.nodes] == ["Lookup"]


def test_each_value_is_rounded_once():
    model = Model(2)
    graph = import_onnx(model.finish(gelu(model, model.input(256, scale=0.03, zero=0))), "net")
    stored = np.arange(-128, 128).astype(np.int8)
    (lookup,) = graph.nodes
    x = 0.03 * stored
    exact = np.clip(np.rint(x * (1 + erf(x / 1.4142135)) / np.float32(0.04)) - 5, -128, 127)
    assert np.abs(execute(graph, [stored])[lookup.output.name] - exact).max() == 0


@pytest.mark.parametrize("steep", ["Exp", "Sqrt"])
def test_what_has_no_scale_that_follows_is_refused(steep):
    model = Model(3)
    product = model.op("Mul", [model.input(4), model.input(4)], scale=None)
    with pytest.raises(UsageError, match=r"output of Mul node .* is not quantised"):
        import_onnx(model.finish(model.op("Neg", [product])), "net")
    model = Model(4)
    values = model.op(steep, [model.input(1, 4)], scale=None)
    with pytest.raises(UsageError, match=rf"output of {steep} node .* is not quantised"):
        import_onnx(model.finish(model.op("ReduceMean", [values, model.constant(np.array([1]))])), "net")


def difference_of_two(model: Model) -> str:
    return model.op("Tanh", [model.op("Sub", [model.input(2, 30), model.input(30)], scale=None)], scale=0.05)


def one_constant_per_channel(model: Model) -> str:
    mean, deviation = (model.constant(np.array(v, np.float32)) for v in ([1, 2, -0.5], [0.5, 0.6, 0.55]))
    centred = model.op("Sub", [model.input(4, 3), mean], scale=None)
    return model.op("Neg", [model.op("Div", [centred, deviation], scale=None)], scale=0.2)


def relu_of_a_reshaped_function(model: Model) -> str:
    shape = model.constant(np.array([60], np.int64))
    reshaped = model.op("Reshape", [model.op("Gelu", [model.input(3, 20)], scale=None), shape], scale=None)
    return model.op("Relu", [reshaped], scale=0.05, zero=-128)


@pytest.mark.parametrize(
    "network", [difference_of_two, one_constant_per_channel, relu_of_a_reshaped_function]
)
def test_a_scale_follows_from_ranges(network):
    """Within two steps of the result: the value between has steps of its own."""
    model = Model(5)
    assert_matches(model, network(model), steps=2)


def test_a_normalised_input_takes_the_scale_behind():
    model = Model(6)
    model.inputs.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 8, 8)))
    centred = model.op("Sub", ["image", constant(model, 0.45)], scale=None)
    y = model.op("Div", [centred, constant(model, 0.225)], scale=0.02, zero=-7)
    graph = import_onnx(model.finish(y), "net")
    (x,), (lookup,) = graph.inputs, graph.nodes
    assert lookup.op == "Lookup"
    lowest, highest = (x.scale * (end - x.zero_point) for end in (-128, 127))
    assert lowest == pytest.approx(0.45 + 0.225 * 0.02 * (-128 + 7), abs=x.scale)
    assert highest == pytest.approx(0.45 + 0.225 * 0.02 * (127 + 7), abs=x.scale)
