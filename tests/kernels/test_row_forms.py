"""Kernels that run row by row against the operators' references, byte for byte, in their portable form on the host."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeprune.graph.ir import Node
from edgeprune.kernels.base import RowForm, families, weights_of
from tests.support import cases
from tests.support.dsp_kernels import DSP, PLAIN, SLOW, scaled_by
from tests.support.host_kernel import random_stored, reference
from tests.support.host_rows import run_rows_on_host

SAME = {"kernel": (3, 3), "pads": (1, 1, 1, 1)}
CONVOLUTIONS = [
    {},
    {"in_channels": 3, "out_channels": 5, "width": 9},
    {"in_channels": 1, "kernel": (10, 4), "pads": (4, 1, 5, 1), "strides": (2, 2), "height": 13, "width": 10},
    {"strides": (2, 2), "pads": (0, 0, 1, 1), "in_channels": 8},
    {"dilations": (2, 1), "pads": (2, 1, 2, 1), "in_channels": 4},
    {"dilations": (2, 2), "pads": (2, 2, 2, 2), "in_channels": 5},
    {"kernel": (2, 2), "pads": (0, 0, 0, 0), "width": 9, "in_channels": 12, "out_channels": 3},
    {"kernel": (3, 2), "pads": (2, 0, 0, 0), "width": 13, "strides": (1, 3)},
    {"kernel": (5, 3), "pads": (2, 1, 2, 1), "width": 4, "height": 3, "out_channels": 2},
    {"width": 16, "in_channels": 20, "out_channels": 7, **SAME},
]
DEPTHWISE = [
    {},
    {"in_channels": 5, "out_channels": 5, "group": 5, "width": 5},
    {"strides": (2, 2), "pads": (0, 0, 1, 1)},
    {"kernel": (5, 4), "pads": (2, 1, 2, 2), "strides": (1, 2)},
    {"dilations": (2, 1), "pads": (2, 1, 2, 1), "height": 9},
    {"kernel": (3, 3), "pads": (0, 0, 0, 0), "width": 11},
]


def forms_of(nodes: tuple[Node, ...], device) -> list[RowForm]:
    """Every family's own row forms that admit the weights."""
    weights = weights_of(nodes)
    return [
        form
        for family in families().values()
        for form in family.row_forms(nodes, device)
        if family.admits(form.candidate, weights)
    ]


def assert_exact(nodes: tuple[Node, ...], values: dict[str, np.ndarray], device) -> set[str]:
    """Families whose forms were run."""
    expected = reference(nodes, values)[nodes[-1].output.name]
    found = forms_of(nodes, device)
    for form in found:
        for first in {1, form.rows}:
            got = run_rows_on_host(form, values, first)
            np.testing.assert_array_equal(got, expected, err_msg=f"{form.candidate.name}, {first} first")
    return {form.candidate.family for form in found}


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolutions(case):
    rng = np.random.default_rng(1)
    node = cases.conv_node(rng, **case)
    values = cases.stored_inputs(rng, node)
    for scaled in (node, scaled_by(node, 0.01, -128, (-128, 127))):
        run = assert_exact((scaled,), values, SLOW)
        assert "conv_s8_dsp" in run
        assert scaled is node or case.get("dilations", (1, 1))[0] > 1 or "conv_s8_dsp_turns" in run


@pytest.mark.parametrize("case", [*CONVOLUTIONS, {"in_channels": 6, "out_channels": 9, "group": 3}], ids=str)
def test_portable_convolutions(case):
    rng = np.random.default_rng(6)
    node = cases.conv_node(rng, **case)
    assert assert_exact((node,), cases.stored_inputs(rng, node), PLAIN) == {"conv_s8_c_rows"}


@pytest.mark.parametrize("case", DEPTHWISE, ids=str)
def test_portable_depthwise_convolutions(case):
    rng = np.random.default_rng(7)
    node = cases.conv_node(rng, **{"in_channels": 8, "out_channels": 8, "group": 8, **case})
    assert assert_exact((node,), cases.stored_inputs(rng, node), PLAIN) == {"conv_s8_c_rows"}


@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (1, 4)])
@pytest.mark.parametrize("width", [4, 8, 12])
def test_quarters_of_a_row_side_by_side(strides, width):
    rng = np.random.default_rng(width)
    node = cases.conv_node(rng, width=width * strides[1], strides=strides, out_channels=5, **SAME)
    values = cases.stored_inputs(rng, node)
    scaled = scaled_by(node, 0.01, 3, (-128, 127))
    assert "conv_s8_dsp_rows" in assert_exact((scaled,), values, SLOW)
    strips = [form.candidate.name for form in forms_of((scaled,), SLOW) if "_strip" in form.candidate.name]
    assert len(strips) == {4: 0, 8: 1, 12: 2}[width]


@pytest.mark.parametrize("case", DEPTHWISE, ids=str)
def test_depthwise_convolutions(case):
    rng = np.random.default_rng(2)
    node = cases.conv_node(rng, **{"in_channels": 8, "out_channels": 8, "group": 8, **case})
    values = cases.stored_inputs(rng, node)
    for scaled in (node, scaled_by(node, 0.01, -128, (-128, 127))):
        assert "depthwise_s8_dsp_rows" in assert_exact((scaled,), values, DSP)


@pytest.mark.parametrize("op", ["Mul", "Div", "Sub", "MaxPool"])
@pytest.mark.parametrize("head", ["conv", "fully connected", "pool"])
def test_pairs_of_any_kind_are_taken_or_left(head, op):
    """The planner asks every family about every node and the one that reads it."""
    rng = np.random.default_rng(8)
    nodes = {
        "conv": lambda: cases.conv_node(rng, **SAME),
        "fully connected": lambda: cases.fully_connected_node(rng),
        "pool": lambda: cases.max_pool_node(rng),
    }
    first = nodes[head]()
    c = replace(first.output, name="c")
    if op == "MaxPool":
        second = cases.max_pool_node(rng)
        second = replace(second, inputs=(replace(second.inputs[0], name="c"),))
    else:
        second = cases.binary_node(rng, op, c.shape, c.shape)
        second = replace(second, inputs=(c, second.inputs[1]))
    pair = (replace(first, outputs=(c,)), second)
    for device in (DSP, PLAIN, SLOW):
        for family in families().values():
            for found in (family.candidates(pair, device), family.row_forms(pair, device)):
                assert op == "Sub" or found == ()


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("width", [8, 7])
def test_sums_behind_convolutions(first, width):
    rng = np.random.default_rng(3)
    conv = scaled_by(cases.conv_node(rng, width=width, out_channels=6, **SAME), 0.01, 4, (-128, 127))
    conv = replace(conv, outputs=(replace(conv.output, name="conv"),))
    add = cases.binary_node(rng, "Add", conv.output.shape, conv.output.shape)
    shortcut = replace(add.inputs[0], name="shortcut")
    inputs = (conv.output, shortcut) if first else (shortcut, conv.output)
    values = {**cases.stored_inputs(rng, conv), "shortcut": random_stored(rng, add.output.shape)}
    families_run = assert_exact((conv, replace(add, inputs=inputs)), values, SLOW)
    assert families_run >= {"conv_add_s8_dsp", "conv_s8_dsp_winograd_rows"} | (
        {"conv_s8_dsp_rows"} if width == 8 else set()
    )


@pytest.mark.parametrize(
    ("height", "width", "pads", "channels"),
    [(5, 5, (1, 1, 1, 1), 7), (9, 20, (1, 1, 1, 1), 2), (6, 7, (0, 2, 1, 0), 1), (4, 3, (2, 1, 0, 2), 3)],
)
def test_winograd_tiles_of_a_turn(height, width, pads, channels):
    rng = np.random.default_rng(height)
    shape = {"height": height, "width": width, "pads": pads, "out_channels": channels, "in_channels": 8}
    node = cases.conv_node(rng, kernel=(3, 3), **shape)
    values = cases.stored_inputs(rng, node)
    for scaled in (node, scaled_by(node, 0.01, 3, (-128, 127))):
        assert "conv_s8_dsp_winograd_rows" in assert_exact((scaled,), values, DSP)


@pytest.mark.parametrize(("device", "channels", "width"), [(PLAIN, 7, 3), (DSP, 8, 3), (DSP, 4, 51)])
def test_means(device, channels, width):
    rng = np.random.default_rng(4)
    node = cases.reduce_mean_node(rng, (1, 5, width, channels), (1, 2))
    families_run = assert_exact((node,), cases.stored_inputs(rng, node), device)
    assert families_run == {"reduce_mean_s8_rows"} | ({"reduce_mean_s8_dsp"} if device is DSP else set())
