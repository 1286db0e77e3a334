"""What the tests of the kernels for small cores share: devices, and the check of every candidate."""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import families
from edgeprune.kernels.base import Candidate, weights_of
from tests.support import cases
from tests.support.host_kernel import reference, run_on_host

M0PLUS, M3, RV32 = (
    Device(core, "", core, 1, (), None, False, False, "gcc", (), None)
    for core in ("cortex-m0plus", "cortex-m3", "rv32imac")
)


def admitted(node: Node, family: str, device: Device = M3) -> tuple[Candidate, ...]:
    """The family's candidates for the node that admit its weights, at least one."""
    offered = families()[family].candidates((node,), device)
    found = tuple(c for c in offered if families()[family].admits(c, weights_of((node,))))
    assert found
    return found


def assert_exact(
    node: Node, family: str, rng: np.random.Generator, devices: tuple[Device, ...] = (M0PLUS, RV32)
) -> None:
    """Every candidate equals the reference, also with the input as near the output as it declares.

    On the host no core's assembly is compiled; the devices by default take all that differs in C but how fully
    connected layers read their weights.
    """
    values = cases.stored_inputs(rng, node)
    expected = reference((node,), values)["y"]
    for device in devices:
        for candidate in admitted(node, family, device):
            got = run_on_host(candidate, values)["y"]
            np.testing.assert_array_equal(got, expected, err_msg=f"{candidate.name} for {device.core}")
            if candidate.overlap[0] is not None:
                got = run_on_host(candidate, values, overlapped="x", align=4)["y"]
                np.testing.assert_array_equal(got, expected, err_msg=f"distance {candidate.overlap[0]}")
