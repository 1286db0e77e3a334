"""What the tests of the Helium kernels share: a device with the extension, and exactness on the host."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeprune.device import Device, Flash
from edgeprune.graph.ir import Node
from edgeprune.kernels import families
from edgeprune.kernels.base import Candidate
from tests.support import cases
from tests.support.candidates import admitted, assert_equal_on_host
from tests.support.dsp_kernels import DSP

MVE = replace(DSP, name="m55", core="cortex-m55", mve=True)
SLOW = replace(MVE, flash=Flash(wait_states=30, line_bytes=32, instruction_lines=32, data_lines=8))
"""With slow flash and a small cache, for which families offer more candidates."""


def mve_candidates(node: Node, device: Device = SLOW) -> tuple[Candidate, ...]:
    """The candidates of all Helium families that admit the node's weights, at least one."""
    return admitted((node,), [name for name in families() if "_mve" in name], device)


def assert_exact(node: Node, rng: np.random.Generator, family: str | None = None) -> None:
    """Every candidate equals the reference, also with each input as near the output as it declares."""
    candidates = [one for one in mve_candidates(node) if family in (None, one.family)]
    assert candidates
    assert_equal_on_host(candidates, cases.stored_inputs(rng, node))
