"""Convolutions and products of 8-bit integers on plain values: exact, as the specification has them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from benchmarks.conformance import run_in_process
from edgeprune.codegen import generate
from edgeprune.compile import lower
from edgeprune.device import load_device
from edgeprune.errors import UsageError
from edgeprune.graph.execute import execute
from edgeprune.ops._onnx_integers import fixed_point, in_integers
from edgeprune.plan import Objective, plan

TYPES = {"int8": TensorProto.INT8, "uint8": TensorProto.UINT8}


def qlinear_conv(stored: str, channels: int = 3, scale: float = 0.0137, largest_bias: int = 1500) -> bytes:
    """A padded, strided convolution with a bias and a scale for each output channel."""
    random = np.random.default_rng(1)
    numbers, weights = np.iinfo(stored), np.iinfo("int8")
    constants = {
        "xs": np.float32(scale),
        "xz": np.array(numbers.max // 3, stored),
        "w": random.integers(weights.min, weights.max, (4, channels, 3, 2), np.int8, endpoint=True),
        "ws": np.array([0.01, 0.003, 0.02, 0.0071], np.float32),
        "wz": np.zeros(4, np.int8),
        "ys": np.float32(0.021),
        "yz": np.array(numbers.max // 2, stored),
        "bias": np.array([0, largest_bias, -3000, 7], np.int32),
    }
    node = helper.make_node(
        "QLinearConv", ["x", *constants], ["y"], strides=[2, 1], pads=[1, 0, 1, 1], name="conv"
    )
    graph = helper.make_graph(
        [node],
        "conv",
        [helper.make_tensor_value_info("x", TYPES[stored], [1, channels, 9, 5])],
        [helper.make_tensor_value_info("y", TYPES[stored], None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("stored", ["int8", "uint8"])
def test_a_quantised_convolution_is_exact(stored: str, tmp_path: Path) -> None:
    """The library equals the definition byte for byte; onnxruntime, which rounds in float32, is within one step."""
    data = qlinear_conv(stored)
    graph = lower(data, "conv", dtype="float32")
    sources = generate(plan(graph, load_device("host"), Objective()), "conv")
    limits = np.iinfo(stored)
    random = np.random.default_rng(2)
    for image in (
        random.integers(limits.min, limits.max, graph.inputs[0].shape, stored, endpoint=True),
        np.full(graph.inputs[0].shape, limits.min, stored),
        np.full(graph.inputs[0].shape, limits.max, stored),
    ):
        expected = execute(graph, [image])[graph.outputs[0].name]
        found = run_in_process(sources, (image[None],), tmp_path)[0]
        assert np.array_equal(found, expected.ravel())
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        theirs = session.run(None, {"x": image})[0]
        assert np.abs(theirs.astype(int) - expected).max() <= 1


def test_weights_stay_eight_bits_wide() -> None:
    graph = lower(qlinear_conv("uint8"), "conv", dtype="float32")
    sources = generate(plan(graph, load_device("host"), Objective()), "conv")
    weights = "\n".join(text for name, text in sources.files.items() if name.endswith("weights.c"))
    assert "int8_t" in weights
    assert "float" not in weights


def test_more_products_than_a_sum_holds_are_refused() -> None:
    graph = lower(qlinear_conv("uint8", channels=6000), "conv", dtype="float32")
    with pytest.raises(UsageError, match="adds more than 32,767 products"):
        plan(graph, load_device("host"), Objective())


def test_a_bias_that_a_sum_may_not_hold_is_refused() -> None:
    """Of 18 products, each up to 255^2, and a bias, the sum must stay below 2^31."""
    room = (1 << 31) - 18 * 255**2
    in_integers(onnx.load_model_from_string(qlinear_conv("uint8", largest_bias=room - 1)))
    with pytest.raises(
        UsageError, match=rf"adds a bias of {room:,} to 18 products, which 32 bits may not hold"
    ):
        in_integers(onnx.load_model_from_string(qlinear_conv("uint8", largest_bias=room)))


@settings(max_examples=200, deadline=None)
@given(st.floats(2.0**-60, 2.0**22, allow_nan=False, width=32), st.integers(-(1 << 31), (1 << 31) - 1))
def test_rounding_is_that_of_the_exact_product(scale: float, total: int) -> None:
    """The formula of the module against fractions, ties included."""
    factor, shift = (int(value) for value in fixed_point(np.float32(scale)))
    size = abs(total * factor)
    assert size < 1 << 55
    rounded = (size + (1 << (shift - 1)) - 1 + (size >> shift & 1)) >> shift
    assert (rounded if total >= 0 else -rounded) == round(Fraction(scale) * total)


@pytest.mark.parametrize("total", [1, 3, 5, -1, -3, -5, 7])
def test_ties_go_to_even(total: int) -> None:
    factor, shift = (int(value) for value in fixed_point(np.float32(0.5)))
    size = abs(total * factor)
    rounded = (size + (1 << (shift - 1)) - 1 + (size >> shift & 1)) >> shift
    assert rounded == round(abs(total) / 2)
