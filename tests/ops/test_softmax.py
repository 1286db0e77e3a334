"""Softmax and LogSoftmax: within 1 of the rounded float everywhere, and ONNX's axis rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.graph.ir import Array, Node, Quant, Tensor
from edgeprune.ops import operator_for
from edgeprune.ops._exponentials import exponentials
from tests.support.host_kernel import random_stored
from tests.support.lowering import lower, run_nodes, run_onnxruntime

NATURAL = Quant.per_tensor(1 / 256, -128)


def difference(op: str, x_quant: Quant, y_quant: Quant, stored: Array) -> float:
    """The largest distance to the rounded float result."""
    x, y = Tensor("x", stored.shape, "int8", x_quant), Tensor("y", stored.shape, "int8", y_quant)
    node = Node(op, "n", (x,), (y,))
    result = run_nodes([node], [x], [stored])["y"].astype(np.float64)
    real = x.scale * (stored.astype(np.float64) - x.zero_point)
    (exact,) = operator_for(node).float_reference(node, real)
    return float(np.abs(result - np.clip(np.rint(exact / y.scale) + y.zero_point, -128, 127)).max())


scales = st.floats(-4, 1.5).map(lambda exponent: 10.0**exponent)


@settings(max_examples=150, deadline=None)
@given(
    scales, st.floats(-5.8, 1.0), st.integers(-128, 127), st.sampled_from([1, 2, 10, 64, 4096]), st.booleans()
)
def test_softmax_is_within_a_step_of_float(scale, exponent, zero_point, length, peaked):
    rng = np.random.default_rng(length)
    stored = random_stored(rng, (2, length))
    if peaked:
        stored[:, 1:] = -128
    quant = Quant.per_tensor(10.0**exponent, zero_point)
    assert difference("Softmax", Quant.per_tensor(scale, 3), quant, stored) <= 1
    assert difference("Softmax", Quant.per_tensor(scale, 3), NATURAL, stored) <= 1


@settings(max_examples=100, deadline=None)
@given(scales, st.floats(0.01, 1.0), st.integers(0, 127), st.sampled_from([1, 2, 10, 64, 4096]))
def test_log_softmax_is_within_a_step_of_float(scale, y_scale, zero_point, length):
    stored = random_stored(np.random.default_rng(length), (2, length))
    quant = Quant.per_tensor(y_scale, zero_point)
    if scale / y_scale <= 1 << 10:
        assert difference("LogSoftmax", Quant.per_tensor(scale, 3), quant, stored) <= 1


@pytest.mark.parametrize("filler", [-128, 90])
def test_rows_as_long_as_the_proof_allows(filler):
    stored = np.full((1, 1 << 20), filler, np.int8)
    stored[0, 0] = 127
    assert difference("Softmax", Quant.per_tensor(0.1, 0), NATURAL, stored) <= 1
    assert difference("Softmax", Quant.per_tensor(1e-6, 0), Quant.per_tensor(2.0**-20, 0), stored) <= 1


@pytest.mark.parametrize("scale", [1e-6, 0.01, 0.1, 1.0, 40.0])
def test_exponentials_are_within_their_bound(scale):
    exact = 2.0**30 * np.exp(-scale * np.arange(256.0))
    assert np.abs(exponentials(scale).astype(np.float64) - exact).max() <= 1.5
    assert exponentials(scale)[0] == 1 << 30


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(
    ("axis", "opset"), [(None, 18), (1, 18), (0, 13), (-1, 18), (None, 11), (2, 11), (0, 1)]
)
def test_axes_of_every_opset(op_type, axis, opset):
    x_quant = Quant.per_tensor(0.06, 4)
    y_quant = NATURAL if op_type == "Softmax" else Quant.per_tensor(0.08, 127)
    shape = (2, 3, 4)
    x, y = Tensor("x", shape, "int8", x_quant), Tensor("y", shape, "int8", y_quant)
    attrs = {} if axis is None else {"axis": axis}
    stored = random_stored(np.random.default_rng(0), shape)
    result = run_nodes(lower(op_type, [x], [y], {}, attrs, opset), [x], [stored])["y"]
    real = run_onnxruntime(op_type, [0.06 * (stored.astype(np.float32) - 4)], {}, attrs, opset)[0]
    expected = np.clip(np.rint(real / y.scale) + y.zero_point, -128, 127)
    assert np.abs(result - expected).max() <= 1


def test_checks_refuse_what_the_proof_excludes():
    x = Tensor("x", (2, 4), "int8", NATURAL)
    fine = Tensor("y", (2, 4), "int8", Quant.per_tensor(1e-7, 0))
    for op in ("Softmax", "LogSoftmax"):
        node = Node(op, "n", (x,), (fine,))
        with pytest.raises(ValueError, match="scale"):
            operator_for(node).check(node)
    long = Tensor("x", (1, (1 << 20) + 1), "int8", NATURAL)
    node = Node("Softmax", "n", (long,), (Tensor("y", long.shape, "int8", NATURAL),))
    with pytest.raises(ValueError, match="longer"):
        operator_for(node).check(node)
