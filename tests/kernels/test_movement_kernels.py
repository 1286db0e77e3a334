"""Data movement in C: byte for byte the references, for every element type, apart and over the input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.graph.build import constant
from edgeprune.graph.ir import Node, Quant, Tensor
from edgeprune.kernels import families
from edgeprune.kernels._strided import strided_copy
from tests.support.elementwise import HOST, assert_exact
from tests.support.host_kernel import random_stored

QUANT = Quant.per_tensor(0.05, 3)
DTYPES = st.sampled_from(["int8", "int8", "int8", "int16", "int32"])
extents = st.lists(st.integers(1, 5), min_size=1, max_size=5)


def activation(name: str, shape: tuple[int, ...], dtype: str = "int8") -> Tensor:
    return Tensor(name, tuple(shape), dtype, QUANT if dtype == "int8" else None)


def check(op, family, x, y_shape, attrs):
    """The kernel of a node with one input is exact on random values."""
    node = Node(op, "n", (x,), (activation("y", y_shape, x.dtype),), attrs)
    assert_exact(node, family, {"x": random_stored(np.random.default_rng(x.elements), x.shape, x.dtype)})


@settings(max_examples=25, deadline=None)
@given(st.data(), st.lists(st.integers(1, 5), min_size=1, max_size=6), DTYPES)
def test_transpose(data, shape, dtype):
    perm = tuple(data.draw(st.permutations(range(len(shape)))))
    check("Transpose", "copy_s8_c", activation("x", shape, dtype), [shape[i] for i in perm], {"perm": perm})


@settings(max_examples=25, deadline=None)
@given(st.data(), extents, DTYPES)
def test_slice(data, shape, dtype):
    starts, steps, sizes = [], [], []
    for extent in shape:
        start, step = data.draw(st.integers(0, extent - 1)), data.draw(st.sampled_from([1, 1, 2, -1, -2]))
        longest = len(range(start, extent if step > 0 else -1, step))
        starts, steps = [*starts, start], [*steps, step]
        sizes.append(data.draw(st.integers(1, longest)))
    attrs = {"starts": tuple(starts), "steps": tuple(steps), "sizes": tuple(sizes)}
    check("Slice", "copy_s8_c", activation("x", shape, dtype), sizes, attrs)


@settings(max_examples=10, deadline=None)
@given(st.data(), extents, DTYPES)
def test_expand(data, shape, dtype):
    singles = [data.draw(st.sampled_from([1, extent])) for extent in shape]
    check("Expand", "copy_s8_c", activation("x", singles, dtype), shape, {"shape": tuple(shape)})


@settings(max_examples=30, deadline=None)
@given(st.data(), st.lists(st.integers(1, 5), min_size=1, max_size=4), DTYPES, st.integers(-128, 127))
def test_pad(data, shape, dtype, value):
    mode = data.draw(st.sampled_from(["constant", "constant", "reflect", "edge"]))
    widest = [extent - 1 if mode == "reflect" else 3 for extent in shape]
    pads = [data.draw(st.sampled_from([0, min(1, wide), wide])) for wide in widest * 2]
    rank = len(shape)
    y_shape = [pads[i] + shape[i] + pads[rank + i] for i in range(rank)]
    attrs = {"pads": tuple(pads), "value": value, "mode": mode}
    check("Pad", "pad_s8_c", activation("x", shape, dtype), y_shape, attrs)


@settings(max_examples=15, deadline=None)
@given(st.data(), extents, DTYPES)
def test_concat(data, shape, dtype):
    axis = data.draw(st.integers(0, len(shape) - 1))
    rng = np.random.default_rng(math.prod(shape))
    shapes = [[*shape[:axis], data.draw(st.integers(1, 4)), *shape[axis + 1 :]] for _ in range(2)]
    a, b = (activation(name, shape, dtype) for name, shape in zip("ab", shapes, strict=True))
    stored = random_stored(rng, tuple(shape), dtype)
    fixed = constant("fixed", stored, a.quant)
    operands = (a, fixed, b, a)
    total = sum(tensor.shape[axis] for tensor in operands)
    y = activation("y", (*shape[:axis], total, *shape[axis + 1 :]), dtype)
    values = {t.name: random_stored(rng, t.shape, dtype) for t in (a, b)}
    assert_exact(Node("Concat", "n", operands, (y,), {"axis": axis}), "concat_s8_c", values)


@settings(max_examples=15, deadline=None)
@given(st.data(), st.tuples(*(st.integers(1, 4) for _ in range(4))), DTYPES)
def test_resize(data, shape, dtype):
    n, height, width, channels = shape
    rows = data.draw(st.lists(st.integers(0, height - 1), min_size=1, max_size=8))
    factor = data.draw(st.integers(1, 3))
    columns = tuple(i // factor for i in range(factor * width))
    attrs = {"rows": tuple(rows), "columns": columns}
    check(
        "Resize", "resize_s8_c", activation("x", shape, dtype), (n, len(rows), len(columns), channels), attrs
    )


@settings(max_examples=15, deadline=None)
@given(st.data(), st.tuples(*(st.integers(1, 4) for _ in range(4))))
def test_resize_linear(data, shape):
    n, height, width, channels = shape
    attrs = {}
    for key, extent in (("row", height), ("column", width)):
        indices = data.draw(st.lists(st.integers(0, extent - 1), min_size=1, max_size=6))
        weights = [data.draw(st.integers(0, 2047)) if i + 1 < extent else 0 for i in indices]
        attrs |= {f"{key}s": tuple(indices), f"{key}_weights": tuple(weights)}
    y_shape = (n, len(attrs["rows"]), len(attrs["columns"]), channels)
    check("ResizeLinear", "resize_linear_s8_c", activation("x", shape), y_shape, attrs)


def test_resize_by_whole_factors_needs_no_tables():
    x, y = activation("x", (1, 3, 4, 8)), activation("y", (1, 6, 12, 8))
    attrs = {"rows": (0, 0, 1, 1, 2, 2), "columns": tuple(i // 3 for i in range(12))}
    node = Node("Resize", "n", (x,), (y,), attrs)
    (candidate,) = families()["resize_s8_c"].candidates((node,), HOST)
    assert families()["resize_s8_c"].pack(candidate, {}) == ()
    check("Resize", "resize_s8_c", x, y.shape, attrs)


@pytest.mark.parametrize("dtype", ["int8", "int32"])
def test_reshape_costs_nothing(dtype):
    x, y = activation("x", (2, 6), dtype), activation("y", (3, 4), dtype)
    node = Node("Reshape", "n", (x,), (y,), {"shape": (3, 4)})
    (candidate,) = families()["view_c"].candidates((node,), HOST)
    assert (candidate.flash_bytes, candidate.cycles, candidate.overlap) == (0, 0, (0,))
    check("Reshape", "view_c", x, y.shape, {"shape": (3, 4)})


def test_a_pad_may_start_above_its_output_by_what_it_adds_before_the_last_run():
    x, y = activation("x", (1, 2, 3, 4)), activation("y", (1, 4, 6, 4))
    attrs = {"pads": (0, 1, 2, 0, 0, 1, 1, 0), "value": 0, "mode": "constant"}
    (candidate,) = families()["pad_s8_c"].candidates((Node("Pad", "n", (x,), (y,), attrs),), HOST)
    last_run_in, last_run_out = 1 * 12, (2 * 6 + 2) * 4
    assert candidate.overlap == (last_run_out - last_run_in,)


def test_axes_merge_into_runs():
    image = strided_copy((1, 8, 8, 3), (192, 24, 3, 1))
    assert (image.extents, image.block) == ((), 192)
    channel_first = strided_copy((1, 3, 8, 8), (192, 1, 24, 3))
    assert (channel_first.extents, channel_first.strides, channel_first.block) == ((3, 64), (1, 3), 1)
    rows = strided_copy((2, 4, 5), (60, 10, 1), offset=7)
    assert (rows.extents, rows.block, rows.index) == ((2, 4), 5, "7 + i0 * 60 + i1 * 10")
