"""Unary operators: the table is the rounded float function, and the function is ONNX Runtime's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.errors import UsageError
from edgeprune.graph.ir import Node, Quant, Tensor
from edgeprune.ops import operator_for, operators
from edgeprune.ops._table import UnaryTable
from tests.support.host_kernel import random_stored
from tests.support.lowering import lower, run_nodes, run_onnxruntime

LISTED = [
    ("Abs", {}, {}),
    ("Ceil", {}, {}),
    ("Celu", {"alpha": 0.7}, {}),
    ("Clip", {}, {1: np.float32(-1.3), 2: np.float32(2.2)}),
    ("Clip", {}, {2: np.float32(0.5)}),
    ("Cos", {}, {}),
    ("Elu", {"alpha": 1.5}, {}),
    ("Erf", {}, {}),
    ("Exp", {}, {}),
    ("Floor", {}, {}),
    ("Gelu", {"approximate": "tanh"}, {}),
    ("Gelu", {}, {}),
    ("HardSigmoid", {}, {}),
    ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}, {}),
    ("HardSwish", {}, {}),
    ("LeakyRelu", {}, {}),
    ("Log", {}, {}),
    ("Mish", {}, {}),
    ("Neg", {}, {}),
    ("PRelu", {}, {1: np.array([-0.3], np.float32)}),
    ("Pow", {}, {1: np.float32(3.0)}),
    ("Reciprocal", {}, {}),
    ("Relu", {}, {}),
    ("Round", {}, {}),
    ("Selu", {}, {}),
    ("Sigmoid", {}, {}),
    ("Sign", {}, {}),
    ("Sin", {}, {}),
    ("Softplus", {}, {}),
    ("Softsign", {}, {}),
    ("Sqrt", {}, {}),
    ("Tanh", {}, {}),
    ("ThresholdedRelu", {"alpha": 0.8}, {}),
]
TRIED_BELOW = ("Swish",)  # newer than ONNX Runtime
CASES = LISTED + [
    (operator.onnx_types[0], {}, {})
    for name, operator in sorted(operators().items())
    if isinstance(operator, UnaryTable) and operator.onnx_types and name not in {case[0] for case in LISTED}
    if name not in TRIED_BELOW
]
"""Attributes and constants worth trying, and every other operator of this kind as it comes."""
STORED = np.arange(-128, 128, dtype=np.int8)


def tensor(name: str, scale: float, zero_point: int, shape: tuple[int, ...] = (256,)) -> Tensor:
    return Tensor(name, shape, "int8", Quant.per_tensor(scale, zero_point))


@pytest.mark.parametrize(("op_type", "attrs", "constants"), CASES)
def test_function_is_onnxruntimes_and_table_its_rounding(op_type, attrs, constants):
    x, y = tensor("x", 0.03, 5), tensor("y", 0.02, -7)
    (node,) = lower(op_type, [x], [y], constants, attrs, 20)
    operator = operator_for(node)
    assert isinstance(operator, UnaryTable)
    real = 0.03 * (STORED.astype(np.float64) - 5)
    expected = run_onnxruntime(op_type, [real], constants, attrs, 20)[0].astype(np.float64)
    with np.errstate(all="ignore"):
        (mine,) = operator.float_reference(node, real)
    np.testing.assert_allclose(mine, expected, rtol=2e-5, atol=2e-6)
    rounded = np.clip(np.rint(np.nan_to_num(mine, posinf=1e9, neginf=-1e9) / 0.02) - 7, -128, 127)
    np.testing.assert_array_equal(run_nodes([node], [x], [STORED])["y"], rounded)


def test_swish_and_relu6():
    x, y = tensor("x", 0.05, 0), tensor("y", 0.05, 0)
    real = 0.05 * STORED.astype(np.float64)
    (swish,) = lower("Swish", [x], [y], {}, {}, 24)
    np.testing.assert_allclose(
        operator_for(swish).float_reference(swish, real)[0], real / (1 + np.exp(-real))
    )
    (relu6,) = lower("Relu6", [x], [y], {}, {}, 1)
    np.testing.assert_array_equal(run_nodes([relu6], [x], [STORED])["y"], np.clip(STORED, 0, 120))


def test_clip_in_the_old_style():
    x = tensor("x", 0.5, 0)
    (node,) = lower("Clip", [x], [x], {}, {"min": -1.0, "max": 3.0}, 6)
    assert node.attrs == {"min": -1.0, "max": 3.0}


@given(
    st.floats(0.01, 1.0),
    st.integers(-128, 127),
    st.floats(-10, 10),
    st.floats(-10, 10),
    st.integers(0, 1 << 16),
)
def test_clamp_range_says_exactly_what_the_table_does(scale, zero_point, low, high, seed):
    x = tensor("x", scale, zero_point)
    y = Tensor("y", x.shape, "int8", x.quant)
    node = Node("Clip", "n", (x,), (y,), {"min": min(low, high), "max": max(low, high)})
    operator = operator_for(node)
    assert isinstance(operator, UnaryTable)
    limits = operator.clamp_range(node)
    assert limits is not None
    stored = random_stored(np.random.default_rng(seed), x.shape)
    np.testing.assert_array_equal(operator.reference(node, stored)[0], np.clip(stored, *limits))


def test_clamp_range_of_relu_needs_one_scale():
    x = tensor("x", 0.1, -20)
    relu = operators()["Relu"]
    assert isinstance(relu, UnaryTable)
    same, other = tensor("y", 0.1, -20), tensor("y", 0.2, -20)
    assert relu.clamp_range(Node("Relu", "n", (x,), (same,))) == (-20, 127)
    assert relu.clamp_range(Node("Relu", "n", (x,), (other,))) is None
    sigmoid = operators()["Sigmoid"]
    assert isinstance(sigmoid, UnaryTable)
    assert sigmoid.clamp_range(Node("Sigmoid", "n", (x,), (same,))) is None


@given(st.floats(1e-3, 10), st.integers(-128, 127), st.floats(1e-3, 10), st.integers(-128, 127))
def test_requantize_is_within_half_a_step(scale, zero_point, to_scale, to_zero):
    x, y = tensor("x", scale, zero_point), tensor("y", to_scale, to_zero)
    result = run_nodes([Node("Requantize", "n", (x,), (y,))], [x], [STORED])["y"].astype(np.float64)
    exact = scale * (STORED.astype(np.float64) - zero_point) / to_scale + to_zero
    inside = (exact > -128) & (exact < 127)
    assert np.abs(result - exact)[inside].max(initial=0.0) <= 0.5 + 1e-9
    np.testing.assert_array_equal(result[~inside], np.where(exact[~inside] < 0, -128, 127))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 3, 7), (2, 3)])
def test_prelu_per_channel_is_within_a_step_of_float(shape):
    slope = np.array([0.1, 1.7, -0.6], np.float32).reshape(3, *(1,) * (len(shape) - 2))
    x, y = tensor("x", 0.05, 9, shape), tensor("y", 0.04, -20, shape)
    stored = random_stored(np.random.default_rng(3), shape)
    nodes = lower("PRelu", [x], [y], {1: slope}, {}, 16)
    real = run_onnxruntime("PRelu", [0.05 * (stored.astype(np.float32) - 9)], {1: slope}, {}, 16)[0]
    expected = np.clip(np.rint(real / 0.04) - 20, -128, 127)
    assert np.abs(run_nodes(nodes, [x], [stored])["y"] - expected).max() <= 1


@pytest.mark.parametrize(
    ("op_type", "constants", "attrs", "words"),
    [
        ("PRelu", {1: np.ones((2, 3, 4), np.float32)}, {}, "one number, or one per channel"),
        ("Gelu", {}, {"approximate": "fast"}, "none or tanh"),
        ("Pow", {1: np.ones(3, np.float32)}, {}, "scalar"),
        ("FastGelu", {1: np.ones(4, np.float32)}, {}, "bias"),
    ],
)
def test_refusals_name_the_node(op_type, constants, attrs, words):
    x = tensor("x", 0.1, 0, (2, 3, 4))
    with pytest.raises(UsageError, match=words) as refused:
        lower(op_type, [x], [x], constants, attrs, 20)
    assert "'node'" in str(refused.value)


def test_tables_want_quantised_int8():
    node = Node("Relu", "n", (Tensor("x", (3,), "int32"),), (tensor("y", 0.1, 0, (3,)),))
    with pytest.raises(ValueError, match="int8"):
        operator_for(node).check(node)
