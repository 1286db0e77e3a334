"""Which candidates kernel families have for nodes, and the check on the host that each equals the reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import families
from edgeprune.kernels.base import Candidate, weights_of
from tests.support.host_kernel import reference, run_on_host

__all__ = ["admitted", "assert_equal_on_host"]


def admitted(nodes: tuple[Node, ...], names: Iterable[str], device: Device) -> tuple[Candidate, ...]:
    """The candidates of the families called `names` that admit the nodes' weights, at least one."""
    weights, named = weights_of(nodes), [families()[name] for name in names]
    offered = [(family, candidate) for family in named for candidate in family.candidates(nodes, device)]
    found = tuple(candidate for family, candidate in offered if family.admits(candidate, weights))
    assert found
    return found


def assert_equal_on_host(
    candidates: Iterable[Candidate], values: Mapping[str, Array], align: int = 1
) -> None:
    """Every candidate gives the references' bytes, also with each input as near the output as it declares.

    That distance is rounded up to `align`.
    """
    for candidate in candidates:
        y = candidate.nodes[-1].output.name
        expected = reference(candidate.nodes, dict(values))[y]
        alone = run_on_host(candidate, dict(values))[y]
        np.testing.assert_array_equal(alone, expected, err_msg=candidate.name)
        for name, distance in zip(candidate.activation_inputs, candidate.overlap, strict=True):
            if distance is not None:
                shared = run_on_host(candidate, dict(values), overlapped=name, align=align)[y]
                np.testing.assert_array_equal(
                    shared, expected, err_msg=f"{candidate.name}: {name} at {distance}"
                )
