"""Ring, and recurrent layers that keep 32 bits of state: kernels against references, run after run in place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeprune.device import Device
from edgeprune.graph.ir import Node, Quant, Tensor
from edgeprune.kernels import families
from edgeprune.ops import operator_for
from edgeprune.ops._recurrent import Q16
from tests.support import recurrent_nodes
from tests.support.host_kernel import random_stored, reference, run_on_host
from tests.support.recurrent_nodes import Recurrence

HOST = Device("host", "", "host", 1, (), None, False, True, "gcc", (), None)
QUANT = Quant.per_tensor(0.05, -7)


def ring(frame: tuple[int, ...], axis: int, kernel: int, dilation: int) -> Node:
    slots = (kernel - 1) * dilation
    window = (*frame[:axis], kernel, *frame[axis + 1 :])
    tensors = {name: Tensor(name, (slots, *frame), "int8", QUANT) for name in ("ring", "kept")}
    places = {name: Tensor(name, (1,), "int32") for name in ("place", "next")}
    return Node(
        "Ring",
        "ring",
        (Tensor("x", frame, "int8", QUANT), tensors["ring"], places["place"]),
        (Tensor("y", window, "int8", QUANT), tensors["kept"], places["next"]),
        {"axis": axis, "kernel": kernel, "dilation": dilation},
    )


@pytest.mark.parametrize(
    ("frame", "axis", "kernel", "dilation"),
    [
        ((1, 1, 1, 5), 2, 3, 1),
        ((1, 1, 1, 8), 2, 2, 7),
        ((1, 1, 4, 3), 1, 5, 3),
        ((1, 1, 1, 1), 2, 2, 1),
        ((1, 5, 1, 1), 2, 3, 2),
        ((1, 3, 1, 8), 2, 4, 1),
        ((1, 2, 1, 6), 2, 2, 3),
    ],
)
def test_ring_equals_reference_through_every_slot(
    frame: tuple[int, ...], axis: int, kernel: int, dilation: int
) -> None:
    rng, node = np.random.default_rng(1), ring(frame, axis, kernel, dilation)
    operator_for(node).check(node)
    assert operator_for(node).infer_shapes(node) == tuple(tensor.shape for tensor in node.outputs)
    (candidate,) = families()["ring_s8_c"].candidates((node,), HOST)
    frames = [np.full(frame, -7, np.int8)] * ((kernel - 1) * dilation)
    state = {"ring": np.full(node.inputs[1].shape, -7, np.int8), "place": np.zeros(1, np.int32)}
    for _ in range(2 * len(frames) + 1):
        values = {"x": random_stored(rng, frame), **state}
        frames.append(values["x"])
        expected, got = reference((node,), values), run_on_host(candidate, values)
        for name, array in got.items():
            np.testing.assert_array_equal(array, expected[name], err_msg=name)
        taps = [frames[-1 - (kernel - 1 - tap) * dilation] for tap in range(kernel)]
        np.testing.assert_array_equal(got["y"], np.concatenate(taps, axis=axis))
        state = {"ring": got["kept"], "place": got["next"]}


@pytest.mark.parametrize(
    "case",
    [
        Recurrence("LSTM", steps=1, emits=(1, 1, 1), states="computed"),
        Recurrence("GRU", steps=1, emits=(1, 1), states="computed"),
        Recurrence("GRU", steps=1, emits=(1, 1), states="computed", linear_before_reset=0, gain=8.0),
    ],
    ids=lambda case: f"{case.op}-{case.linear_before_reset}",
)
def test_states_in_32_bits(case: Recurrence) -> None:
    rng = np.random.default_rng(5)
    (lowered,) = recurrent_nodes.lower(case, rng)
    operator = operator_for(lowered)
    kept = "c0" if case.op == "LSTM" else "h0"

    def wide(tensor: Tensor) -> Tensor:
        same = tensor.name in (kept, f"Y_{kept[0]}")
        return replace(tensor, dtype="int32", quant=Q16) if same else tensor

    node = replace(
        lowered, inputs=tuple(map(wide, lowered.inputs)), outputs=tuple(map(wide, lowered.outputs))
    )
    operator.check(node)
    assert len(operator.updates(node)) == (2 if case.op == "LSTM" else 1)
    (candidate,) = families()[f"{case.op.lower()}_s8_c"].candidates((node,), HOST)
    values = {
        t.name: random_stored(rng, t.shape) for t in node.inputs if t.value is None and t.dtype == "int8"
    }
    values[kept] = rng.integers(-(1 << 16), 1 << 16, (1, 1, case.hidden)).astype(np.int32)
    for _ in range(5):
        expected, got = reference((node,), values), run_on_host(candidate, values)
        for name, array in got.items():
            np.testing.assert_array_equal(array, expected[name], err_msg=name)
        values |= {kept: got[f"Y_{kept[0]}"]}
