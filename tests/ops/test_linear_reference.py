"""Integer references of the linear operators against their float references, over random shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.graph.build import constant
from edgeprune.graph.ir import Node, Quant
from edgeprune.ops import operator_for
from edgeprune.ops._convolution import accumulator_bounds, conv_geometry
from tests.support import cases

SETTINGS = settings(max_examples=40, deadline=None)


def assert_within_one(node: Node, rng: np.random.Generator) -> None:
    """The stored result is within one of the real result, rounded and clamped; shapes are as inferred."""
    operator = operator_for(node)
    operator.check(node)
    given_values = cases.stored_inputs(rng, node)
    values = [t.value if t.value is not None else given_values[t.name] for t in node.inputs]
    (stored,) = operator.reference(node, *values)
    reals = [cases.real(t, v) for t, v in zip(node.inputs, values, strict=True)]
    (exact,) = operator.float_reference(node, *reals)
    y = node.output
    assert stored.dtype == np.int8
    assert stored.shape == exact.shape == y.shape
    low, high = node.attrs.get("clamp", (-128, 127))
    rounded = np.clip(np.rint(exact / y.scale) + y.zero_point, low, high)
    assert np.abs(stored - rounded).max() <= 1


@st.composite
def windows(draw):
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilations = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = tuple(draw(st.integers(0, e - 1)) for e in (*extents, *extents))
    return {
        "height": extents[0] + draw(st.integers(0, 5)),
        "width": extents[1] + draw(st.integers(0, 5)),
        "kernel": kernel,
        "dilations": dilations,
        "pads": pads,
        "strides": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
    }


seeds = st.integers(0, 2**32 - 1)


@SETTINGS
@given(
    windows(), st.sampled_from([(1, 1, 5), (1, 3, 4), (2, 2, 3), (3, 1, 1), (4, 1, 2)]), st.booleans(), seeds
)
def test_conv(window, channels, per_tensor, seed):
    group, per_in, per_out = channels
    rng = np.random.default_rng(seed)
    node = cases.conv_node(
        rng,
        **window,
        in_channels=group * per_in,
        out_channels=group * per_out,
        group=group,
        per_tensor=per_tensor,
        extremes=per_tensor,
        batch=1 + seed % 2,
    )
    assert_within_one(node, rng)


@SETTINGS
@given(windows(), st.sampled_from([(1, 1, 5), (1, 3, 4), (2, 2, 3), (3, 1, 1)]), st.booleans(), seeds)
def test_conv_transpose(window, channels, per_tensor, seed):
    group, per_in, per_out = channels
    rng = np.random.default_rng(seed)
    strides = window["strides"]
    window["pads"] = tuple(min(p, 1) for p in window["pads"])
    node = cases.conv_transpose_node(
        rng,
        **window,
        in_channels=group * per_in,
        out_channels=group * per_out,
        group=group,
        output_padding=(seed % strides[0], seed % strides[1]),
        per_tensor=per_tensor,
    )
    assert_within_one(node, rng)


@SETTINGS
@given(st.sampled_from([(1,), (3,), (2, 3), (1, 1, 1)]), st.integers(1, 70), st.integers(1, 9), seeds)
def test_fully_connected(rows, in_features, out_features, seed):
    rng = np.random.default_rng(seed)
    node = cases.fully_connected_node(rng, rows=rows, in_features=in_features, out_features=out_features)
    assert_within_one(node, rng)


@pytest.mark.parametrize(
    ("a", "b", "transpose"),
    [
        ((2, 5, 7), (2, 7, 6), False),
        ((2, 5, 7), (2, 6, 7), True),
        ((3, 1, 2, 4), (2, 4, 5), False),
        ((4, 6), (3, 6, 1), False),
        ((1, 1), (1, 1), True),
    ],
)
def test_matmul(a, b, transpose):
    rng = np.random.default_rng(5)
    assert_within_one(cases.matmul_node(rng, a, b, transpose_b=transpose), rng)
    assert_within_one(cases.matmul_node(rng, a, b, transpose_b=transpose, constant_b=True), rng)


@SETTINGS
@given(windows(), st.integers(1, 5), st.booleans(), seeds)
def test_pools(window, channels, include_pad, seed):
    rng = np.random.default_rng(seed)
    shape = (1, window.pop("height"), window.pop("width"), channels)
    assert_within_one(cases.max_pool_node(rng, shape, **window), rng)
    pads = window["pads"]
    window["overhang"] = (min(pads[2], 1), min(pads[3], 1))
    try:
        node = cases.average_pool_node(rng, shape, **window, count_include_pad=include_pad)
        operator_for(node).check(node)
    except ValueError:
        return
    assert_within_one(node, rng)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((1, 6, 7, 5), (1, 2)), ((2, 3, 4), (2,)), ((2, 3, 4), (0, 2)), ((4,), (0,)), ((2, 3), ())],
)
@pytest.mark.parametrize("keepdims", [True, False])
def test_reduce_mean(shape, axes, keepdims):
    rng = np.random.default_rng(6)
    assert_within_one(cases.reduce_mean_node(rng, shape, axes, keepdims=keepdims), rng)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize(
    ("a", "b"),
    [((1, 4, 5, 6), (1, 4, 5, 6)), ((2, 3), (3,)), ((1, 4, 1), (2, 1, 5)), ((3,), ()), ((), (2, 2))],
)
def test_binary(op, a, b):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        assert_within_one(cases.binary_node(rng, op, a, b, constant_b=seed % 3 == 0), rng)


def test_accumulator_bounds_hold_for_every_subset_of_taps():
    rng = np.random.default_rng(7)
    w = rng.integers(-128, 128, (3, 2, 2, 1), dtype=np.int8)
    b = rng.integers(-1000, 1000, 3)
    for zero_point in (-128, -3, 0, 127):
        low, high = accumulator_bounds(zero_point, w, b)
        for _ in range(300):
            x = rng.choice([-128, 127], 4) - zero_point
            taken = rng.integers(0, 2, 4)
            partial = w.reshape(3, 4).astype(int) @ (x * taken)
            for sums in (partial, partial + b):
                assert (low <= sums).all()
                assert (sums <= high).all()
    extreme = np.where(w.reshape(3, 4) > 0, 127 - 5, -128 - 5)
    low, high = accumulator_bounds(5, w, np.zeros(3, np.int64))
    assert (high == (w.reshape(3, 4).astype(int) * extreme).sum(axis=1)).all()


def test_an_accumulator_that_could_leave_int32_is_refused():
    node = cases.conv_node(np.random.default_rng(8), out_channels=2)
    x, w, b = node.inputs
    large = constant("b", np.array([0, 2**31 - 1], np.int32), b.quant)
    with pytest.raises(ValueError, match="output channel 1 could leave int32"):
        operator_for(node).check(Node(node.op, node.name, (x, w, large), node.outputs, node.attrs))


def test_weights_with_a_zero_point_are_refused():
    node = cases.fully_connected_node(np.random.default_rng(9))
    x, w, b = node.inputs
    moved = constant("w", w.value, Quant(w.quant.scale, (1,) * w.shape[0], 0))
    with pytest.raises(ValueError, match="zero points of 0"):
        operator_for(node).check(Node(node.op, node.name, (x, moved, b), node.outputs, node.attrs))


def test_padding_is_known_exactly():
    rng = np.random.default_rng(10)
    loose = cases.conv_node(rng, height=6, width=6, kernel=(2, 2), strides=(4, 4), pads=(0, 0, 1, 1))
    tight = cases.conv_node(rng, height=6, width=6, kernel=(2, 2), strides=(5, 5), pads=(0, 0, 1, 1))
    assert not conv_geometry(loose).is_padded
    assert conv_geometry(tight).is_padded
