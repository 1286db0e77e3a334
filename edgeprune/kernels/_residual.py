"""A convolution's candidate with the Add or Sub behind it that alone reads its output."""

from __future__ import annotations

from dataclasses import replace

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost
from edgeprune.kernels.base import Candidate

__all__ = ["loop_cycles", "with_sum"]


def loop_cycles(device: Device, instructions: float, code_bytes: int) -> float:
    """Cycles of adding in a loop of `code_bytes` that takes `instructions` in all."""
    return _cost.cycles(device, {_cost.Kind.STREAM: instructions}) + _cost.code_waits(device, code_bytes)


def with_sum(
    one: Candidate,
    family: str,
    nodes: tuple[Node, ...],
    *,
    cycles: float,
    code_bytes: int,
    rows_bytes: int,
) -> Candidate:
    """`one`, a candidate of the convolution `nodes[0]` alone, as one of `family` for both nodes.

    Its outputs go to `rows_bytes` of scratch behind its own, from the parameter "rows" on, as many at a time; adding
    the shortcut's takes `cycles` in all, and `code_bytes`. The sum is stored when the convolution alone would
    have stored its outputs, so the input may lie as near as for that; of the shortcut an element is read before the
    sum's is written, and never again. The candidate of a row, whose place a stage decides, states no distance.
    """
    candidate = replace(
        one,
        family=family,
        name=one.name.replace(one.family, family, 1),
        nodes=nodes,
        flash_bytes=one.flash_bytes + code_bytes,
        cycles=one.cycles + round(cycles),
        scratch_bytes=one.scratch_bytes + -(-rows_bytes // 8) * 8,
        parameters={**one.parameters, "rows": one.scratch_bytes},
    )
    if not one.overlap:
        return candidate
    (distance,), x = one.overlap, nodes[0].inputs[0].name
    overlap = tuple(distance if name == x else 0 for name in candidate.activation_inputs)
    return replace(candidate, overlap=overlap)
