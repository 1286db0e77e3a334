"""Runs every candidate of a node on the host, apart from its inputs and over them, against the reference."""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import DTYPES, Array, Node
from edgeprune.kernels import families
from edgeprune.ops import operator_for
from tests.support.host_kernel import reference, run_on_host

__all__ = ["HOST", "assert_exact"]

HOST = Device("host", "", "host", 1, (), None, False, True, "gcc", (), None)


def assert_exact(node: Node, family: str, values: dict[str, Array]) -> None:
    """Each candidate of `family` gives the reference's bytes, also at the least distance to each input."""
    operator = operator_for(node)
    assert operator.infer_shapes(node) == (node.output.shape,)
    operator.check(node)
    candidates = families()[family].candidates((node,), HOST)
    assert candidates, node
    expected = reference((node,), values)[node.output.name]
    size = DTYPES[node.output.dtype].itemsize
    for candidate in candidates:
        assert len(candidate.overlap) == len(candidate.activation_inputs)
        result = run_on_host(candidate, values)[node.output.name]
        np.testing.assert_array_equal(result, expected, err_msg=candidate.name)
        for name, distance in zip(candidate.activation_inputs, candidate.overlap, strict=True):
            if distance is not None:
                result = run_on_host(candidate, values, overlapped=name, align=size)[node.output.name]
                np.testing.assert_array_equal(result, expected, err_msg=f"{candidate.name} at {distance}")
