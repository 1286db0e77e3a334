"""Data movement: what each ONNX node lowers to gives ONNX Runtime's values, in both styles of opset."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.errors import UsageError
from edgeprune.graph.build import constant
from edgeprune.graph.ir import Array, Node, Quant, Tensor
from edgeprune.ops import operator_for, operators
from tests.support.host_kernel import random_stored
from tests.support.lowering import lower, run_nodes, run_onnxruntime

UNIT = Quant.per_tensor(1.0, 0)
"""Stored integers are the real numbers, so that ONNX Runtime can run on them."""


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def agree(op_type, shapes, attrs, constants, opset=18, outputs=1) -> tuple[Node, ...]:
    """The lowered node equals ONNX Runtime on random stored integers; its IR nodes."""
    rng = np.random.default_rng(len(shapes[0]))
    values = [random_stored(rng, shape) for shape in shapes]
    expected = run_onnxruntime(op_type, values, constants, attrs, opset, outputs)
    xs = [Tensor(f"x{i}", shape, "int8", UNIT) for i, shape in enumerate(shapes)]
    ys = [Tensor(f"y{i}", y.shape, "int8", UNIT) for i, y in enumerate(expected)]
    nodes = lower(op_type, xs, ys, constants, attrs, opset)
    known = run_nodes(nodes, xs, values)
    for y, value in zip(ys, expected, strict=True):
        np.testing.assert_array_equal(known[y.name], value.astype(np.int8))
    return nodes


@pytest.mark.parametrize(
    ("op_type", "shape", "attrs", "constants", "opset"),
    [
        ("Reshape", (1, 4, 6), {}, {1: ints(0, -1, 2)}, 18),
        ("Flatten", (1, 4, 6), {"axis": 2}, {}, 18),
        ("Squeeze", (1, 4, 1, 6), {"axes": [0, 2]}, {}, 11),
        ("Squeeze", (1, 4, 1, 6), {}, {1: ints(-2)}, 18),
        ("Squeeze", (1, 4, 1, 6), {}, {}, 18),
        ("Unsqueeze", (4, 6), {"axes": [0, 3]}, {}, 11),
        ("Unsqueeze", (4, 6), {}, {1: ints(0)}, 18),
        ("Identity", (4, 6), {}, {}, 18),
        ("Dropout", (4, 6), {}, {}, 18),
        ("Dropout", (4, 6), {"ratio": 0.25}, {}, 10),
        ("Transpose", (2, 3, 4), {}, {}, 18),
        ("Transpose", (1, 2, 3, 4), {"perm": [0, 2, 3, 1]}, {}, 18),
        ("Slice", (4, 6), {"starts": [1], "ends": [1000], "axes": [1]}, {}, 9),
        ("Slice", (4, 6), {"starts": [1, -3], "ends": [3, -1]}, {}, 9),
        ("Slice", (4, 6, 2), {}, {1: ints(-1, 0), 2: ints(-1000, 6), 3: ints(0, 1), 4: ints(-2, 4)}, 18),
        ("Slice", (4, 6), {}, {1: ints(2), 2: ints(np.iinfo(np.int64).min), 3: ints(-1), 4: ints(-1)}, 18),
        ("Pad", (2, 5), {"pads": [0, 1, 2, 0], "value": -1.0}, {}, 10),
        ("Pad", (2, 5), {"pads": [0, 2, 0, 3], "mode": "reflect"}, {}, 10),
        ("Pad", (2, 5), {"mode": "edge"}, {1: ints(1, 2, 0, 3)}, 18),
        ("Pad", (2, 5), {"mode": "reflect"}, {1: ints(1, 2, 1, 3)}, 18),
        ("Pad", (1, 2, 5), {}, {1: ints(1, -2, 0, 3), 2: np.float32(7), 3: ints(1, -1)}, 18),
        ("DepthToSpace", (1, 12, 2, 3), {"blocksize": 2, "mode": "DCR"}, {}, 18),
        ("DepthToSpace", (1, 18, 2, 3), {"blocksize": 3, "mode": "CRD"}, {}, 18),
        ("SpaceToDepth", (1, 3, 4, 6), {"blocksize": 2}, {}, 18),
        ("Expand", (3, 1), {}, {1: ints(2, 1, 4)}, 18),
        ("Tile", (2, 3), {}, {1: ints(2, 3)}, 18),
        ("Upsample", (1, 2, 3, 4), {"scales": [1.0, 1.0, 2.0, 3.0]}, {}, 8),
        ("Upsample", (1, 2, 3, 4), {}, {1: floats(1, 1, 2, 1.5)}, 9),
        ("Resize", (1, 2, 6, 4), {}, {1: floats(1, 1, 0.5, 2)}, 10),
        ("Resize", (1, 2, 3, 4), {}, {2: floats(1, 1, 2, 2)}, 18),
        ("Resize", (1, 2, 3), {}, {3: ints(1, 2, 7)}, 18),
        ("Resize", (1, 2, 3, 4), {"axes": [2, 3]}, {2: floats(2, 2.6)}, 18),
    ],
)
def test_equals_onnxruntime(op_type, shape, attrs, constants, opset):
    agree(op_type, [shape], attrs, constants, opset)


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    to_height=st.integers(1, 20),
    to_width=st.integers(1, 20),
    coordinates=st.sampled_from(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]),
    nearest=st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
)
def test_resize_by_nearest_neighbour(height, width, to_height, to_width, coordinates, nearest):
    attrs = {"coordinate_transformation_mode": coordinates, "nearest_mode": nearest}
    agree("Resize", [(1, 2, height, width)], attrs, {3: ints(1, 2, to_height, to_width)}, 18)


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    to_height=st.integers(1, 20),
    to_width=st.integers(1, 20),
    coordinates=st.sampled_from(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]),
)
def test_resize_by_interpolation_is_within_a_step(height, width, to_height, to_width, coordinates):
    attrs = {"coordinate_transformation_mode": coordinates, "mode": "linear"}
    sizes = {3: ints(1, 2, to_height, to_width)}
    x = Tensor("x", (1, 2, height, width), "int8", UNIT)
    y = Tensor("y", (1, 2, to_height, to_width), "int8", UNIT)
    stored = random_stored(np.random.default_rng(height), x.shape)
    (real,) = run_onnxruntime("Resize", [stored], sizes, attrs, 18)
    known = run_nodes(lower("Resize", [x], [y], sizes, attrs, 18), [x], [stored])
    assert np.abs(known["y"].astype(np.float64) - np.rint(real)).max() <= 1


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat(axis):
    shapes = [[1, 3, 4, 2] for _ in range(3)]
    shapes[1][axis] = 5
    agree("Concat", [tuple(shape) for shape in shapes], {"axis": axis}, {})


def test_concat_takes_constants_at_its_own_scale():
    x = Tensor("x", (1, 2), "int8", Quant.per_tensor(0.5, 10))
    y = Tensor("y", (1, 4), "int8", x.quant)
    (node,) = lower("Concat", [x], [y], {1: floats(1.0, -100.0).reshape(1, 2)}, {"axis": 1}, 18)
    known = run_nodes([node], [x], [np.array([[1, 2]], np.int8)])
    np.testing.assert_array_equal(known["y"], [[1, 2, 12, -128]])


@pytest.mark.parametrize(
    ("attrs", "constants", "opset", "outputs"),
    [
        ({"axis": 1}, {}, 11, 2),
        ({"axis": -1, "split": [1, 2, 4]}, {}, 11, 3),
        ({"axis": 2}, {1: ints(6, 1)}, 13, 2),
        ({"axis": 2, "num_outputs": 3}, {}, 18, 3),
    ],
)
def test_split(attrs, constants, opset, outputs):
    nodes = agree("Split", [(1, 4, 7)], attrs, constants, opset, outputs)
    assert {node.op for node in nodes} == {"Slice"}


def test_split_leaves_out_unused_outputs():
    x, y = Tensor("x", (1, 5), "int8", UNIT), Tensor("y", (1, 2), "int8", UNIT)
    nodes = lower("Split", [x], [Tensor("", (), "int8"), y], {1: ints(3, 2)}, {"axis": 1}, 18)
    known = run_nodes(nodes, [x], [np.arange(5, dtype=np.int8).reshape(1, 5)])
    np.testing.assert_array_equal(known["y"], [[3, 4]])


def test_pad_stores_real_values_at_the_inputs_scale():
    quant = Quant.per_tensor(0.5, -3)
    x, y = Tensor("x", (2,), "int8", quant), Tensor("y", (4,), "int8", quant)
    for value, stored in ((None, -3), (np.float32(2.0), 1), (np.float32(np.inf), 127)):
        constants = {1: ints(1, 1)} if value is None else {1: ints(1, 1), 2: value}
        (node,) = lower("Pad", [x], [y], constants, {}, 18)
        assert node.int("value") == stored


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (1, 3, 6), (2, 3), (1, 3, 2, 4, 5)])
def test_batch_normalization_is_within_a_step_of_float(shape):
    rng = np.random.default_rng(1)
    constants = {i: rng.uniform(0.5, 2.0, 3).astype(np.float32) for i in range(1, 5)}
    constants[1][0], constants[2][1] = -1e-9, -3.0
    x = Tensor("x", shape, "int8", Quant.per_tensor(0.05, 3))
    y = Tensor("y", shape, "int8", Quant.per_tensor(0.1, -10))
    stored = random_stored(rng, shape)
    known = run_nodes(lower("BatchNormalization", [x], [y], constants, {}, 15), [x], [stored])
    real = run_onnxruntime("BatchNormalization", [0.05 * (stored.astype(np.float32) - 3)], constants, {}, 15)[
        0
    ]
    expected = np.clip(np.rint(real / 0.1) - 10, -128, 127)
    assert np.abs(known["y"] - expected).max() <= 1


@pytest.mark.parametrize(
    ("op_type", "shape", "to", "attrs", "constants", "words"),
    [
        ("Resize", (1, 2, 3, 4), (1, 2, 6, 8), {"mode": "cubic"}, {2: floats(1, 1, 2, 2)}, "cubic"),
        ("Resize", (1, 2, 3, 4), (1, 4, 3, 4), {}, {3: ints(1, 4, 3, 4)}, "height and width"),
        (
            "Resize",
            (1, 2, 3, 4),
            (1, 2, 6, 8),
            {"coordinate_transformation_mode": "tf_crop_and_resize"},
            {3: ints(1, 2, 6, 8)},
            "tf_crop_and_resize",
        ),
        ("Pad", (2, 3), (2, 5), {"mode": "wrap"}, {1: ints(0, 1, 0, 1)}, "wrap"),
        ("Pad", (2, 3), (2, 9), {"mode": "reflect"}, {1: ints(0, 3, 0, 3)}, "reflects"),
        ("Slice", (2, 3), (2, 0), {}, {1: ints(2), 2: ints(2), 3: ints(1)}, "nothing"),
        ("Dropout", (2, 3), (2, 3), {}, {2: np.array(True)}, "training"),
        ("Concat", (2, 3), (2, 3), {"axis": 2}, {}, "axis 2"),
    ],
)
def test_refusals_name_the_node(op_type, shape, to, attrs, constants, words):
    x, y = Tensor("x", shape, "int8", UNIT), Tensor("y", to, "int8", UNIT)
    with pytest.raises(UsageError, match=words) as refused:
        lower(op_type, [x], [y], constants, attrs, 18)
    assert "'node'" in str(refused.value)


def test_movement_keeps_type_and_scale():
    x, other = Tensor("x", (2,), "int8", UNIT), Tensor("y", (2,), "int8", Quant.per_tensor(0.5, 0))
    node = Node("Concat", "n", (x,), (other,), {"axis": 0})
    with pytest.raises(ValueError, match="one type, scale and zero point"):
        operator_for(node).check(node)
    ids, joined = Tensor("ids", (2,), "int32"), Tensor("joined", (4,), "int32")
    node = Node("Concat", "n", (ids, constant("c", np.array([7, 1 << 30], np.int32))), (joined,), {"axis": 0})
    known = run_nodes([node], [ids], [np.array([-1, 5], np.int32)])
    np.testing.assert_array_equal(known["joined"], [-1, 5, 7, 1 << 30])


@pytest.mark.parametrize(
    ("op", "attrs", "shape", "to"),
    [
        ("Concat", {"axis": 2}, (2, 3, 4), (2, 3, 4)),
        ("Slice", {"starts": (1, 2, 0), "steps": (1, -1, 3), "sizes": (1, 3, 2)}, (2, 3, 4), (1, 3, 2)),
        ("Pad", {"pads": (1, 0, 2, 0, 1, 1), "value": 9, "mode": "reflect"}, (2, 3, 4), (3, 4, 7)),
    ],
)
def test_permuted_attributes_commute_with_transpose(op, attrs, shape, to):
    perm = (2, 0, 1)
    stored = random_stored(np.random.default_rng(0), shape)
    operator = operators()[op]

    def run(values: Array, wanted: tuple[int, ...], attributes: object) -> Array:
        x, y = Tensor("x", values.shape, "int8", UNIT), Tensor("y", wanted, "int8", UNIT)
        node = Node(op, "n", (x,), (y,), attributes)  # type: ignore[arg-type]
        assert operator.infer_shapes(node) == (wanted,)
        return operator.reference(node, values)[0]

    x, y = Tensor("x", shape, "int8", UNIT), Tensor("y", to, "int8", UNIT)
    permuted = operator.permute(Node(op, "n", (x,), (y,), attrs), perm)
    plain = np.transpose(run(stored, to, attrs), perm)
    np.testing.assert_array_equal(run(np.transpose(stored, perm), plain.shape, permuted), plain)
