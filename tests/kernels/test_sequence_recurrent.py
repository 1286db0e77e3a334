from __future__ import annotations

import numpy as np
import pytest

from edgeprune.device import Device
from edgeprune.kernels import families
from tests.support.host_kernel import random_stored, reference, run_on_host
from tests.support.recurrent_nodes import Recurrence, lower

HOST = Device("host", "", "host", 1, (), None, False, True, "gcc", (), None)

CASES = [
    Recurrence("LSTM"),
    Recurrence("LSTM", inputs=3, hidden=8, states="computed", emits=(1, 1, 1)),
    Recurrence("LSTM", inputs=9, hidden=4, direction="reverse", emits=(0, 1, 0)),
    Recurrence("LSTM", steps=1, inputs=1, hidden=1, emits=(0, 1, 0)),
    Recurrence("LSTM", direction="reverse", batch=2, emits=(1, 1, 1), states="computed", weights="int8"),
    Recurrence("LSTM", direction="bidirectional", emits=(0, 0, 1), states="constant", gain=30.0),
    Recurrence("LSTM", direction="bidirectional", batch=2, emits=(1, 0, 1), states="computed"),
    Recurrence("LSTM", steps=70, emits=(0, 1, 1), gain=8.0),
    Recurrence("GRU"),
    Recurrence("GRU", inputs=9, hidden=4, states="computed"),
    Recurrence("GRU", steps=1, inputs=1, hidden=1, emits=(0, 1), linear_before_reset=0),
    Recurrence("GRU", direction="reverse", batch=2, emits=(1, 1), states="computed", weights="int8"),
    Recurrence("GRU", direction="bidirectional", emits=(0, 1), states="constant", gain=30.0),
    Recurrence("GRU", direction="bidirectional", emits=(1, 1), states="computed", linear_before_reset=0),
    Recurrence("GRU", steps=70, emits=(0, 1), gain=8.0, linear_before_reset=0),
    Recurrence("RNN"),
    Recurrence("RNN", direction="bidirectional", batch=2, emits=(0, 1), states="computed", gain=8.0),
]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.op}-{case.direction}-{case.emits}-{case.steps}"
)
def test_kernel_equals_reference(case: Recurrence) -> None:
    rng = np.random.default_rng(7)
    nodes = lower(case, rng)
    (node,) = nodes
    (candidate,) = families()[f"{case.op.lower()}_s8_c"].candidates(nodes, HOST)
    inputs = {t.name: t for t in node.inputs if t.value is None}
    values = {name: random_stored(rng, tensor.shape) for name, tensor in inputs.items()}
    expected = reference(nodes, values)
    for overlapped, distance in zip(
        (None, *candidate.activation_inputs), (0, *candidate.overlap), strict=True
    ):
        if distance is not None:
            for name, got in run_on_host(candidate, values, overlapped=overlapped).items():
                np.testing.assert_array_equal(got, expected[name], err_msg=f"{name} over {overlapped}")
