"""Tables, clamps, PRelu, Softmax and LogSoftmax in C: byte for byte the references, apart and in place."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.graph.build import constant
from edgeprune.graph.ir import Node, Quant, Tensor
from edgeprune.kernels import families
from edgeprune.ops import operators
from edgeprune.ops._table import UnaryTable
from tests.support.elementwise import HOST, assert_exact
from tests.support.host_kernel import random_stored

ALL = np.arange(-128, 128, dtype=np.int8)


def activation(name: str, shape: tuple[int, ...], scale: float = 0.05, zero_point: int = 3) -> Tensor:
    return Tensor(name, shape, "int8", Quant.per_tensor(scale, zero_point))


@pytest.mark.parametrize("op", ["Requantize", "Sigmoid", "Relu", "Abs"])
def test_tables(op):
    for y in (activation("y", (256,)), activation("y", (256,), 0.02, -100)):
        assert_exact(Node(op, "n", (activation("x", (256,)),), (y,)), "table_s8_c", {"x": ALL})


@pytest.mark.parametrize("limits", [(-1.0, 2.0), (0.0, float("inf")), (2.0, -1.0), (-99.0, 99.0)])
def test_a_clamp_needs_no_table(limits):
    node = Node(
        "Clip",
        "n",
        (activation("x", (256,)),),
        (activation("y", (256,)),),
        {"min": limits[0], "max": limits[1]},
    )
    clamp, table = families()["table_s8_c"].candidates((node,), HOST)
    assert families()["table_s8_c"].pack(clamp, {}) == ()
    assert clamp.flash_bytes < table.flash_bytes
    assert_exact(node, "table_s8_c", {"x": ALL})


def test_every_unary_operator_has_candidates():
    x, y = activation("x", (7,)), activation("y", (7,), 0.1)
    for name, operator in operators().items():
        if isinstance(operator, UnaryTable):
            attrs = {key: float(value) for key, value in operator.defaults.items()}
            attrs |= {"min": -1.0, "max": 1.0} if name == "Clip" else {}
            attrs |= {"exponent": 2.0} if name == "Pow" else {}
            node = Node(name, "n", (x,), (y,), {**attrs, "approximate": "none"})
            assert families()["table_s8_c"].candidates((node,), HOST), name


@pytest.mark.parametrize("y_scale", [1e-4, 0.05, 3.0])
@pytest.mark.parametrize("zero_points", [(3, -9), (-128, 127), (127, -128)])
def test_prelu(y_scale, zero_points):
    slope = constant("slope", np.array([0.25, -1.5, 100.0, 0.0, 0.999], np.float32))
    x = activation("x", (2, 256, 5), 0.05, zero_points[0])
    y = activation("y", x.shape, y_scale, zero_points[1])
    stored = np.ascontiguousarray(np.broadcast_to(ALL[None, :, None], x.shape))
    assert_exact(Node("PRelu", "n", (x, slope), (y,)), "prelu_s8_c", {"x": stored})


@pytest.mark.parametrize("shape", [(1, 1), (1, 10), (3, 2), (2, 5, 64), (1, 1000)])
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_softmax(op, shape):
    rng = np.random.default_rng(shape[-1])
    for scale, y_scale, y_zero in ((0.05, 1 / 256, -128), (1e-5, 0.01, 127), (8.0, 0.3, 0)):
        stored = random_stored(rng, shape)
        stored[..., rng.integers(shape[-1])] = 127
        node = Node(op, "n", (activation("x", shape, scale),), (activation("y", shape, y_scale, y_zero),))
        assert_exact(node, f"{'log_' if op == 'LogSoftmax' else ''}softmax_s8_c", {"x": stored})


@pytest.mark.parametrize("filler", [-128, 127])
@pytest.mark.parametrize(("op", "scale"), [("Softmax", 2.0**-20), ("LogSoftmax", 2.0**-12)])
def test_softmax_at_the_edge_of_its_proof(op, scale, filler):
    shape = (1, 1 << 20)
    stored = np.full(shape, filler, np.int8)
    stored[0, 5] = 127
    node = Node(op, "n", (activation("x", shape, 2.0**-22),), (activation("y", shape, scale, 127),))
    assert_exact(node, f"{'log_' if op == 'LogSoftmax' else ''}softmax_s8_c", {"x": stored})


def test_softmax_offers_speed_or_flash():
    x = activation("x", (1, 10))
    fast, small = families()["softmax_s8_c"].candidates((Node("Softmax", "n", (x,), (x,)),), HOST)
    assert fast.cycles < small.cycles
    assert fast.flash_bytes > small.flash_bytes + 800


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("means", "stds", "scale", "zero"), [((28.0,), (4.0,), 0.25, -100), ((28.5,), (4.0,), 0.3, 7)]
)
def test_bytes(channels, means, stds, scale, zero):
    """All bytes, and numbers of them of every residue of a word."""
    for count in (1, 2, 3, 4, 5, 86):
        image = np.resize(np.arange(256, dtype=np.uint8), (count, channels))
        y = activation("y", image.shape, scale, zero)
        attrs = {"means": means * channels, "stds": stds * channels}
        node = Node("FromBytes", "n", (Tensor("x", image.shape, "uint8"),), (y,), attrs)
        assert_exact(node, "from_bytes_u8_c", {"x": image})
