"""Which kernel candidates can run a group of nodes on a device, with the weights it has."""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.errors import UsageError
from edgeprune.graph.ir import Node
from edgeprune.kernels.base import Candidate, KernelFamily, families, weights_of
from edgeprune.ops import operator_for

__all__ = ["admitted_candidates", "offered_candidates"]


def admitted_candidates(nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
    """Every family's candidates for `nodes` whose exactness holds for the nodes' weights.

    Raises:
        UsageError: there is none; the sentence names operator, node and device.
    """
    found = offered_candidates(nodes, device)
    if not found:
        offered = [family for family in families().values() if family.candidates(nodes, device)]
        raise UsageError(_refusal(nodes, device, offered))
    return found


def offered_candidates(nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
    """Like `admitted_candidates`, but empty where there is none, as for most groups of nodes."""
    weights = weights_of(nodes)
    return tuple(
        candidate
        for family in families().values()
        for candidate in family.candidates(nodes, device)
        if family.admits(candidate, weights)
    )


def _refusal(nodes: tuple[Node, ...], device: Device, offered: list[KernelFamily]) -> str:
    node = nodes[-1]
    title = operator_for(node).title(node)
    types = ", ".join(f"{t.dtype}{list(t.shape)}" for t in (*node.inputs[:1], *node.outputs[:1]))
    if offered:
        names = ", ".join(dict.fromkeys(family.name for family in offered))
        return (
            f"the weights of {title} node {node.name!r} are outside the range in which {names} is exact on "
            f"{device.name}; retrain or rescale that layer"
        )
    return (
        f"no kernel for {title} ({types}) on {device.name}, needed by node {node.name!r}; "
        "change that layer or deploy for another device"
    )
