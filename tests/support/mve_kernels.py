"""What the tests of the Helium kernels share: a device with the extension, and exactness on the host."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeprune.device import Device, Flash
from edgeprune.graph.ir import Node
from edgeprune.kernels import families
from edgeprune.kernels.base import Candidate, weights_of
from tests.support import cases
from tests.support.dsp_kernels import DSP
from tests.support.host_kernel import reference, run_on_host

MVE = replace(DSP, name="m55", core="cortex-m55", mve=True)
SLOW = replace(MVE, flash=Flash(wait_states=30, line_bytes=32, instruction_lines=32, data_lines=8))
"""With slow flash and a small cache, for which families offer more candidates."""


def mve_candidates(node: Node, device: Device = SLOW) -> tuple[Candidate, ...]:
    """The candidates of all Helium families that admit the node's weights, at least one."""
    named = [family for name, family in families().items() if name.endswith("_mve")]
    offered = [(family, candidate) for family in named for candidate in family.candidates((node,), device)]
    found = tuple(candidate for family, candidate in offered if family.admits(candidate, weights_of((node,))))
    assert found
    return found


def assert_exact(node: Node, rng: np.random.Generator, family: str | None = None) -> None:
    """Every candidate equals the reference, also with each input as near the output as it declares."""
    values = cases.stored_inputs(rng, node)
    expected = reference((node,), values)["y"]
    for candidate in mve_candidates(node):
        if family is not None and candidate.family != family:
            continue
        np.testing.assert_array_equal(run_on_host(candidate, values)["y"], expected)
        for name, distance in zip(candidate.activation_inputs, candidate.overlap, strict=True):
            if distance is not None:
                overlapped = run_on_host(candidate, values, overlapped=name)["y"]
                np.testing.assert_array_equal(overlapped, expected, err_msg=f"{name} at {distance}")
