"""Asymmetric weights of foreign models: moved to zero point 0, as int16 where they need it, and exact."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.graph.build import constant
from edgeprune.graph.ir import Node
from edgeprune.ops import operator_for
from edgeprune.ops._convolution import accumulator_bounds
from tests.ops.test_linear_onnx import Model, assert_matches
from tests.ops.test_linear_reference import assert_within_one
from tests.support import cases


class Asymmetric(Model):
    """A model whose weights are uint8 with zero points at or near an end of the range."""

    def weights(self, *shape: int, axis: int | None = 0, zeros: tuple[int, ...] = (0, 255, 200, 7)) -> str:
        channels = 1 if axis is None else shape[axis]
        stored = self.rng.integers(0, 256, shape).astype(np.uint8)
        stored.flat[:2] = 0, 255
        scales = self.rng.uniform(0.001, 0.01, channels).astype(np.float32)
        zero = np.resize(np.array(zeros, np.uint8), channels)
        attrs = {} if axis is None else {"axis": axis}
        names = [self.constant(stored, "w"), self.constant(scales if axis is not None else scales[0], "ws")]
        names.append(self.constant(zero if axis is not None else zero[0], "wz"))
        return self.op("DequantizeLinear", names, scale=None, **attrs)


@pytest.mark.parametrize("axis", [0, None])
@pytest.mark.parametrize(
    ("shape", "weights", "attrs"),
    [
        ((1, 3, 8, 9), (5, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
        ((1, 4, 7, 7), (4, 1, 3, 3), {"group": 4, "strides": [2, 2]}),
        ((1, 4, 8, 8), (6, 2, 3, 3), {"group": 2}),
        ((1, 3, 20), (5, 3, 5), {"pads": [4, 0]}),
    ],
    ids=str,
)
def test_conv(shape, weights, attrs, axis):
    model = Asymmetric(1, np.uint8)
    inputs = [model.input(*shape), model.weights(*weights, axis=axis)]
    graph = assert_matches(model, model.op("Conv", inputs, scale=0.2, **attrs))
    (conv,) = (node for node in graph.nodes if node.op == "Conv")
    assert conv.inputs[1].dtype == "int16"
    assert conv.inputs[1].quant.zero_point == (0,) * len(conv.inputs[1].quant.scale)


def test_conv_transpose():
    model = Asymmetric(2)
    inputs = [model.input(1, 3, 4, 5), model.weights(3, 4, 3, 3, axis=1)]
    assert_matches(model, model.op("ConvTranspose", inputs, scale=0.2, strides=[2, 2]))


@pytest.mark.parametrize("attrs", [{}, {"transB": 1}, {"alpha": -1.5}])
def test_gemm(attrs):
    model = Asymmetric(3, np.uint8)
    inputs = [model.input(2, 12), model.weights(*((5, 12) if "transB" in attrs else (12, 5)), axis=None)]
    assert_matches(model, model.op("Gemm", inputs, scale=0.2, **attrs))


def test_matmul():
    model = Asymmetric(4)
    assert_matches(
        model, model.op("MatMul", [model.input(2, 3, 12), model.weights(12, 5, axis=1)], scale=0.2)
    )


def test_weights_that_fit_after_moving_stay_int8():
    model = Asymmetric(5, np.uint8)
    inputs = [model.input(1, 3, 4, 4), model.weights(5, 3, 1, 1, axis=None, zeros=(128,))]
    graph = assert_matches(model, model.op("Conv", inputs, scale=0.2))
    (conv,) = (node for node in graph.nodes if node.op == "Conv")
    assert conv.inputs[1].dtype == "int8"


def test_a_negative_alpha_turns_minus_128_around():
    model = Asymmetric(6, np.uint8)
    inputs = [model.input(1, 4), model.weights(4, 3, axis=None, zeros=(128,))]
    graph = assert_matches(model, model.op("Gemm", inputs, scale=0.2, alpha=-1.0))
    assert graph.nodes[-1].inputs[1].value.max() == 128


def test_references_are_within_one_of_the_rounded_float():
    rng = np.random.default_rng(7)
    nodes = (cases.conv_node(rng, group=2), cases.conv_transpose_node(rng), cases.fully_connected_node(rng))
    for node in nodes:
        assert_within_one(cases.with_wide_weights(rng, node), rng)


def test_weights_beyond_255_are_refused():
    rng = np.random.default_rng(8)
    node = cases.with_wide_weights(rng, cases.fully_connected_node(rng))
    x, w, b = node.inputs
    beyond = constant("w", np.full(w.shape, 256, np.int16), w.quant)
    with pytest.raises(ValueError, match="255"):
        operator_for(node).check(Node(node.op, node.name, (x, beyond, b), node.outputs, node.attrs))


def test_accumulator_bounds_of_wide_weights_are_reached():
    w = np.array([[255, -255, 255]], np.int16)
    low, high = accumulator_bounds(-128, w, np.zeros(1, np.int64))
    assert (low[0], high[0]) == (-255 * 255, 2 * 255 * 255)
