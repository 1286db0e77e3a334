"""int16 weights within [-255, 255] in the portable kernels, byte for byte; the DSP kernels leave them alone."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.device import Device, load_device
from edgeprune.graph.build import constant
from edgeprune.graph.ir import Node
from edgeprune.kernels import families
from edgeprune.plan.candidates import admitted_candidates
from tests.support import cases
from tests.support.host_kernel import emit_file, reference, run_on_host

DEVICE = Device("host", "", "host", 1, (), None, False, True, "gcc", (), None)
CONVOLUTIONS = [
    {"out_channels": 10},
    {"in_channels": 6, "out_channels": 10, "group": 2, "strides": (2, 1)},
    {"kernel": (3, 4), "dilations": (1, 2), "pads": (2, 2, 1, 3), "per_tensor": True},
    {"kernel": (1, 1), "pads": (0, 0, 0, 0), "in_channels": 9, "out_channels": 3},
    {"height": 1, "width": 20, "kernel": (1, 5), "pads": (0, 4, 0, 0), "batch": 2},
]
DEPTHWISE = [
    (8, {"strides": (2, 2)}),
    (7, {"pads": (0, 1, 2, 0), "dilations": (2, 2)}),
    (1, {"per_tensor": True}),
]
TRANSPOSED = [
    {},
    {"in_channels": 6, "out_channels": 10, "group": 2, "output_padding": (1, 1)},
    {"kernel": (3, 2), "dilations": (2, 3), "strides": (1, 3), "pads": (1, 2, 0, 1), "per_tensor": True},
]


def assert_exact(node: Node, family: str, rng: np.random.Generator) -> None:
    """Equal to the reference on random inputs, and at the extremes of every accumulator."""
    (candidate,) = families()[family].candidates((node,), DEVICE)
    assert "int16_t constant_weights" in emit_file(candidate)[0]
    (x, w, _) = node.inputs
    assert w.value is not None
    given = [
        cases.stored_inputs(rng, node)["x"],
        np.full(x.shape, -128, np.int8),
        np.full(x.shape, 127, np.int8),
    ]
    for value in given:
        expected = reference((node,), {"x": value})["y"]
        np.testing.assert_array_equal(run_on_host(candidate, {"x": value})["y"], expected)
    for name, distance in zip(candidate.activation_inputs, candidate.overlap, strict=True):
        if distance is not None:
            got = run_on_host(candidate, {"x": given[0]}, overlapped=name)["y"]
            np.testing.assert_array_equal(got, reference((node,), {"x": given[0]})["y"])


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_conv(case):
    rng = np.random.default_rng(1)
    assert_exact(cases.with_wide_weights(rng, cases.conv_node(rng, **case)), "conv_s8_c", rng)


@pytest.mark.parametrize(("channels", "case"), DEPTHWISE, ids=str)
def test_depthwise(channels, case):
    rng = np.random.default_rng(2)
    node = cases.conv_node(rng, in_channels=channels, out_channels=channels, group=channels, **case)
    assert_exact(cases.with_wide_weights(rng, node), "depthwise_s8_c", rng)


@pytest.mark.parametrize(("rows", "depth", "channels"), [((1,), 16, 8), ((3,), 5, 7), ((1,), 33, 1)])
def test_fully_connected(rows, depth, channels):
    rng = np.random.default_rng(3)
    node = cases.fully_connected_node(rng, rows=rows, in_features=depth, out_features=channels)
    assert_exact(cases.with_wide_weights(rng, node), "fully_connected_s8_c", rng)


@pytest.mark.parametrize("case", TRANSPOSED, ids=str)
def test_conv_transpose(case):
    rng = np.random.default_rng(4)
    assert_exact(
        cases.with_wide_weights(rng, cases.conv_transpose_node(rng, **case)), "conv_transpose_s8_c", rng
    )


def test_weights_cost_two_bytes_each():
    rng = np.random.default_rng(5)
    for narrow in (cases.conv_node(rng), cases.fully_connected_node(rng), cases.conv_transpose_node(rng)):
        wide = cases.with_wide_weights(rng, narrow)
        (small,), (large,) = (admitted_candidates((node,), DEVICE) for node in (narrow, wide))
        assert large.flash_bytes - small.flash_bytes == narrow.inputs[1].elements


@pytest.mark.parametrize("values", ["over 8 bits", "within 8 bits"])
def test_only_portable_kernels_are_offered_on_a_dsp_core(values):
    rng = np.random.default_rng(6)
    nodes = [
        cases.conv_node(rng, in_channels=8),
        cases.conv_node(rng, in_channels=8, out_channels=8, group=8),
        cases.fully_connected_node(rng),
        cases.fully_connected_node(rng, rows=(4,)),
    ]
    for node in nodes:
        wide = cases.with_wide_weights(rng, node)
        if values == "within 8 bits":
            x, w, b = wide.inputs
            wide = Node(
                node.op, node.name, (x, constant("w", w.value // 4, w.quant), b), wide.outputs, node.attrs
            )
        found = {candidate.family for candidate in admitted_candidates((wide,), load_device("nucleo-f446re"))}
        assert found
        assert all(family.endswith("_s8_c") for family in found)
