"""Lowering of Div against ONNX Runtime: by constants as Mul, of activations as it is."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.errors import UsageError
from edgeprune.graph.onnx_import import import_onnx
from tests.ops.test_linear_onnx import Model, assert_matches


@pytest.mark.parametrize(
    "divisor", [np.float32(1.4142135), np.float32(-7), np.array([[[2.0]], [[3.0]]], np.float32)]
)
def test_a_constant_divisor_becomes_a_multiplication(divisor):
    model = Model(1)
    y = model.op("Div", [model.input(1, 2, 4, 5), model.constant(divisor)], scale=0.05)
    assert [node.op for node in assert_matches(model, y).nodes] == ["Mul"]


def test_a_quantised_constant_divisor_too():
    model = Model(2)
    stored = [model.constant(value) for value in (np.int8(100), np.float32(0.03), np.int8(20))]
    divisor = model.op("DequantizeLinear", stored, scale=None)
    y = model.op("Div", [model.input(3, 5), divisor], scale=0.05)
    assert [node.op for node in assert_matches(model, y).nodes] == ["Mul"]


def test_computed_divisors_and_constant_dividends():
    model = Model(3)
    positive = model.input(1, 6, scale=0.1, zero=-128)
    y = model.op("Div", [model.input(4, 6), positive], scale=0.3)
    assert_matches(model, y)
    model = Model(4)
    y = model.op("Div", [model.constant(np.float32(3.0)), model.input(4, 6, scale=0.1, zero=-128)], scale=0.3)
    assert_matches(model, y)


def test_a_constant_zero_is_refused():
    model = Model(5)
    y = model.op("Div", [model.input(3, 2), model.constant(np.array([1.0, 0.0], np.float32))], scale=0.05)
    with pytest.raises(UsageError, match="divides by a constant 0"):
        import_onnx(model.finish(y), "net", islands=False)
