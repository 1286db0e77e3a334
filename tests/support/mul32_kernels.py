"""What the tests of the kernels for small cores share: devices, and the check of every candidate."""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from tests.support import cases
from tests.support.candidates import assert_equal_on_host
from tests.support.dsp_kernels import candidates_of

M0PLUS, M3, RV32 = (
    Device(core, "", core, 1, (), None, False, False, "gcc", (), None)
    for core in ("cortex-m0plus", "cortex-m3", "rv32imac")
)


def assert_exact(
    node: Node, family: str, rng: np.random.Generator, devices: tuple[Device, ...] = (M0PLUS, RV32)
) -> None:
    """Every candidate equals the reference, also with the input as near the output as it declares.

    On the host no core's assembly is compiled; the devices by default take all that differs in C but how fully
    connected layers read their weights.
    """
    values = cases.stored_inputs(rng, node)
    for device in devices:
        assert_equal_on_host(candidates_of(node, family, device), values, align=4)
