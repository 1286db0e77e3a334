"""The portable kernels of the linear operators against their references, byte for byte, on the host."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.device import Device
from edgeprune.graph.ir import Node, Quant, Tensor
from edgeprune.kernels import families
from edgeprune.ops import operator_for
from tests.support import cases
from tests.support.host_kernel import reference, run_on_host

DEVICE = Device("host", "", "host", 1, (), None, False, True, "gcc", (), None)


def assert_exact(node: Node, family: str, rng: np.random.Generator) -> None:
    """Equal to the reference, also with each input at the least distance it may have to the output."""
    (candidate,) = families()[family].candidates((node,), DEVICE)
    values = cases.stored_inputs(rng, node)
    expected = reference((node,), values)["y"]
    np.testing.assert_array_equal(run_on_host(candidate, values)["y"], expected)
    assert len(candidate.overlap) in (0, len(candidate.activation_inputs))
    for name, distance in zip(candidate.activation_inputs, candidate.overlap, strict=False):
        if distance is not None:
            got = run_on_host(candidate, values, overlapped=name)["y"]
            np.testing.assert_array_equal(got, expected, err_msg=f"{name} at {distance}")


CONVOLUTIONS = [
    {},
    {"out_channels": 10},
    {
        "out_channels": 3,
        "in_channels": 1,
        "kernel": (10, 4),
        "pads": (4, 1, 5, 1),
        "strides": (2, 2),
        "height": 12,
    },
    {"in_channels": 6, "out_channels": 10, "group": 2},
    {"in_channels": 3, "out_channels": 6, "group": 3, "strides": (2, 2)},
    {"in_channels": 4, "group": 2, "dilations": (2, 1), "pads": (1, 0, 2, 3)},
    {"kernel": (1, 1), "pads": (0, 0, 0, 0), "out_channels": 3},
    {"kernel": (1, 1), "pads": (0, 0, 0, 0), "in_channels": 9, "out_channels": 16, "strides": (2, 3)},
    {"kernel": (3, 4), "dilations": (1, 2), "pads": (2, 2, 2, 2)},
    {"pads": (5, 4, 3, 5), "strides": (3, 2), "extremes": True, "per_tensor": True, "batch": 3},
    {"height": 1, "width": 20, "kernel": (1, 5), "pads": (0, 4, 0, 0), "dilations": (1, 2)},
    {"height": 1, "width": 1, "in_channels": 1, "out_channels": 1, "kernel": (1, 1), "pads": (0, 0, 0, 0)},
    {"kernel": (8, 8), "pads": (0, 0, 0, 0), "extremes": True},
]


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_conv(case):
    rng = np.random.default_rng(1)
    assert_exact(cases.conv_node(rng, **case), "conv_s8_c", rng)


DEPTHWISE = [
    (4, {}),
    (8, {"strides": (2, 2)}),
    (7, {"strides": (2, 2), "pads": (0, 1, 2, 0), "dilations": (2, 2)}),
    (1, {"pads": (0, 0, 0, 0), "extremes": True, "batch": 2}),
    (6, {"kernel": (5, 1), "pads": (4, 0, 4, 0), "per_tensor": True}),
    (5, {"kernel": (1, 1), "pads": (1, 1, 0, 0)}),
]


@pytest.mark.parametrize(("channels", "case"), DEPTHWISE, ids=str)
def test_depthwise(channels, case):
    rng = np.random.default_rng(2)
    node = cases.conv_node(rng, in_channels=channels, out_channels=channels, group=channels, **case)
    assert_exact(node, "depthwise_s8_c", rng)


@pytest.mark.parametrize(
    ("rows", "depth", "channels"), [((1,), 16, 8), ((3,), 5, 7), ((2, 2), 9, 3), ((1,), 33, 1), ((1,), 1, 4)]
)
def test_fully_connected(rows, depth, channels):
    rng = np.random.default_rng(3)
    node = cases.fully_connected_node(rng, rows=rows, in_features=depth, out_features=channels, extremes=True)
    assert_exact(node, "fully_connected_s8_c", rng)


TRANSPOSED = [
    {},
    {"out_channels": 3, "kernel": (2, 2), "pads": (0, 0, 0, 0)},
    {"in_channels": 6, "out_channels": 10, "group": 2, "output_padding": (1, 1)},
    {
        "kernel": (3, 2),
        "dilations": (2, 3),
        "strides": (1, 3),
        "pads": (1, 2, 0, 1),
        "batch": 2,
        "per_tensor": True,
    },
    {"kernel": (1, 1), "strides": (2, 2), "pads": (0, 0, 0, 0), "extremes": True},
]


@pytest.mark.parametrize("case", TRANSPOSED, ids=str)
def test_conv_transpose(case):
    rng = np.random.default_rng(4)
    assert_exact(cases.conv_transpose_node(rng, **case), "conv_transpose_s8_c", rng)


@pytest.mark.parametrize(
    ("a", "b", "transpose", "constant"),
    [
        ((2, 5, 7), (2, 7, 6), False, False),
        ((2, 5, 7), (2, 6, 7), True, False),
        ((3, 1, 2, 4), (2, 4, 5), False, True),
        ((4, 6), (3, 6, 1), False, False),
        ((1, 1), (1, 1), True, False),
        ((2, 2, 3, 9), (2, 1, 4, 9), True, True),
    ],
)
def test_matmul(a, b, transpose, constant):
    rng = np.random.default_rng(5)
    assert_exact(cases.matmul_node(rng, a, b, transpose_b=transpose, constant_b=constant), "matmul_s8_c", rng)


@pytest.mark.parametrize("clamp", [(-128, 127), (-20, 90)])
def test_every_division(clamp):
    """All 65,536 pairs, at ratios that round, vanish and saturate."""
    numbers = np.arange(-128, 128, dtype=np.int8)
    values = {"a": np.repeat(numbers, 256).reshape(256, 256), "b": np.tile(numbers, 256).reshape(256, 256)}
    for scales in ((0.1, 0.1, 0.02), (1e-6, 1.0, 1.0), (1.0, 1e-9, 1e-3), (0.3, 0.007, 1.1)):
        a, b, y = (
            Tensor(name, (256, 256), "int8", Quant.per_tensor(scale, zero))
            for name, scale, zero in zip("aby", scales, (3, -128, 5), strict=True)
        )
        node = Node("Div", "div", (a, b), (y,), {"clamp": clamp})
        (candidate,) = families()["div_s8_c"].candidates((node,), DEVICE)
        expected = reference((node,), values)["y"]
        np.testing.assert_array_equal(run_on_host(candidate, values)["y"], expected)
        (exact,) = operator_for(node).float_reference(node, *(cases.real(t, values[t.name]) for t in (a, b)))
        assert np.abs(expected - np.clip(np.rint(exact / y.scale) + 5, *clamp)).max() <= 1


POOLS = [
    {},
    {"kernel": (3, 3), "strides": (1, 1), "pads": (1, 1, 1, 1)},
    {"kernel": (3, 2), "strides": (2, 1), "pads": (1, 0, 2, 1), "dilations": (1, 2)},
    {"kernel": (6, 7), "strides": (1, 1)},
]


@pytest.mark.parametrize("case", POOLS, ids=str)
def test_pools(case):
    rng = np.random.default_rng(6)
    assert_exact(cases.max_pool_node(rng, **case), "pool_s8_c", rng)
    assert_exact(cases.max_pool_node(rng, (2, 6, 7, 3), **case), "pool_s8_c", rng)
    for include in (False, True):
        assert_exact(cases.average_pool_node(rng, **case, count_include_pad=include), "pool_s8_c", rng)


def test_average_pool_with_overhang():
    rng = np.random.default_rng(7)
    for include in (False, True):
        node = cases.average_pool_node(
            rng, kernel=(3, 3), pads=(1, 1, 2, 2), overhang=(1, 2), count_include_pad=include
        )
        assert_exact(node, "pool_s8_c", rng)


@pytest.mark.parametrize(
    ("shape", "axes", "keepdims"),
    [
        ((1, 6, 7, 5), (1, 2), True),
        ((2, 3, 4), (2,), False),
        ((2, 3, 4), (0, 2), True),
        ((2, 3, 4, 2), (0, 2), False),
        ((4,), (0,), True),
        ((2, 3), (), True),
    ],
)
def test_reduce_mean(shape, axes, keepdims):
    rng = np.random.default_rng(8)
    assert_exact(cases.reduce_mean_node(rng, shape, axes, keepdims=keepdims), "reduce_mean_s8_c", rng)


@pytest.mark.parametrize(
    ("op", "family"),
    [("Add", "add_s8_c"), ("Sub", "add_s8_c"), ("Mul", "mul_s8_c"), ("Div", "div_s8_c")],
)
@pytest.mark.parametrize(
    ("a", "b"),
    [((1, 4, 5, 6), (1, 4, 5, 6)), ((2, 3), (3,)), ((1, 4, 1), (2, 1, 5)), ((3,), ()), ((), (2, 2))],
)
@pytest.mark.parametrize("constant", [False, True])
def test_binary(op, family, a, b, constant):
    rng = np.random.default_rng(9)
    assert_exact(cases.binary_node(rng, op, a, b, constant_b=constant), family, rng)


@pytest.mark.parametrize("seed", range(5))
def test_random_windows(seed):
    rng = np.random.default_rng(100 + seed)
    kernel, dilations, strides = (tuple(map(int, rng.integers(1, high, 2))) for high in (5, 3, 4))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    frame = {
        "kernel": kernel,
        "dilations": dilations,
        "strides": strides,
        "pads": tuple(int(rng.integers(0, extent)) for extent in (*extents, *extents)),
    }
    height, width = (extent + int(rng.integers(0, 7)) for extent in extents)
    group, channels = int(rng.integers(1, 4)), int(rng.integers(1, 10))
    for family, sizes in {
        "conv_s8_c": {"in_channels": 2 * group, "out_channels": channels * group, "group": group},
        "depthwise_s8_c": {"in_channels": channels, "out_channels": channels, "group": channels},
    }.items():
        node = cases.conv_node(rng, height=height, width=width, **frame, **sizes)
        assert_exact(node, family, rng)
    assert_exact(cases.max_pool_node(rng, (1, height, width, channels), **frame), "pool_s8_c", rng)
