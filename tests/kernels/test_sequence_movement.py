"""LayerNormalization and Gather: kernels against references, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.device import Device
from edgeprune.graph.build import Builder, constant
from edgeprune.graph.ir import Array, Node, Quant, Tensor
from edgeprune.kernels import families
from edgeprune.ops import operator_for, operators
from edgeprune.ops.base import OnnxNode
from tests.support.host_kernel import random_stored, reference, run_on_host

HOST = Device("host", "", "host", 1, (), None, False, True, "gcc", (), None)


def normalization(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    x_scale: float,
    y_scale: float,
    gain: float = 1.0,
    axis: int = -1,
) -> Node:
    build, size = Builder(), shape[axis:]
    inputs = (
        Tensor("x", shape, "int8", Quant.per_tensor(x_scale, -7)),
        constant("gamma", rng.normal(gain, gain / 3, size).astype(np.float32)),
        constant("beta", rng.normal(0, gain / 2, size).astype(np.float32)),
    )
    outputs = (Tensor("y", shape, "int8", Quant.per_tensor(y_scale, 4)),)
    operators()["LayerNormalization"].lower(
        OnnxNode("LayerNormalization", "norm", inputs, outputs, {"axis": axis, "epsilon": 1e-5}, 20), build
    )
    (node,) = build.nodes
    operator_for(node).check(node)
    return node


def extreme_rows(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Random rows, and rows that are constant, nearly constant, one spike, and half at either extreme."""
    x = random_stored(rng, shape)
    flat = x.reshape(-1, shape[-1])
    flat[0] = rng.integers(-128, 128)
    flat[1], flat[1, 0] = 3, 4
    flat[2], flat[2, -1] = -128, 127
    flat[3], flat[3, ::2] = -128, 127
    flat[4] = 127
    return x


@pytest.mark.parametrize(
    ("shape", "x_scale", "y_scale", "gain", "axis"),
    [
        ((1, 9, 64), 0.03, 0.025, 1.0, -1),
        ((9, 1), 0.03, 0.025, 1.0, -1),
        ((7, 2), 1e-4, 0.01, 0.5, -1),
        ((6, 33), 20.0, 0.001, 30.0, -1),
        ((5, 1023), 2e-3, 0.04, 1.0, -1),
        ((5, 3, 8), 0.1, 0.02, 1.0, -2),
    ],
)
def test_normalization_kernel(
    shape: tuple[int, ...], x_scale: float, y_scale: float, gain: float, axis: int
) -> None:
    rng = np.random.default_rng(3)
    node = normalization(rng, shape, x_scale, y_scale, gain, axis)
    x = extreme_rows(rng, shape)
    (candidate,) = families()["layer_normalization_s8_c"].candidates((node,), HOST)
    expected = reference((node,), {"x": x})["y"]
    np.testing.assert_array_equal(run_on_host(candidate, {"x": x})["y"], expected)
    np.testing.assert_array_equal(run_on_host(candidate, {"x": x}, overlapped="x")["y"], expected)


@pytest.mark.parametrize("kind", ["embedding", "computed", "constant indices", "ids along the last axis"])
def test_gather_kernel(kind: str) -> None:
    rng = np.random.default_rng(5)
    quant = Quant.per_tensor(0.1, 3)
    data = Tensor("data", (2, 5, 3), "int8", quant)
    axis, ids = 1, Tensor("ids", (4,), "int32")
    if kind == "embedding":
        data, axis = constant("data", random_stored(rng, (11, 6)), quant), 0
    elif kind == "constant indices":
        ids = constant("ids", np.array([4, 0, 0, 2], np.int32))
    elif kind == "ids along the last axis":
        axis = 2
    shape = (*data.shape[:axis], 4, *data.shape[axis + 1 :])
    node = Node("Gather", "gather", (data, ids), (Tensor("y", shape, "int8", quant),), {"axis": axis})
    values = {"data": random_stored(rng, data.shape), "ids": np.array([0, -1, 2**31 - 1, -(2**31)], np.int32)}
    values = {t.name: values[t.name] for t in (data, ids) if t.value is None}
    (candidate,) = families()["gather_c"].candidates((node,), HOST)
    np.testing.assert_array_equal(run_on_host(candidate, values)["y"], reference((node,), values)["y"])
