"""Pairs of nodes that a kernel runs as one step, without the tensor between them, and which of them to try.

Whether a pair saves memory depends on its surroundings: where the first kernel would write over its own input, the
tensor between the two costs nothing; where its output is the larger one, or its input is still wanted, it costs its
bytes. So a pair is worth trying where it lowers what its own steps need, and whole plans are compared: first without
pairs and with those whose steps are near the top of the arena, then with one more, a few times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeprune.device import Device
from edgeprune.graph.ir import Graph, Node
from edgeprune.kernels.base import Candidate
from edgeprune.plan.candidates import offered_candidates
from edgeprune.plan.choose import Option
from edgeprune.plan.kept import touches_state
from edgeprune.plan.lifetimes import Group, activations, work_nodes
from edgeprune.plan.objective import Objective
from edgeprune.plan.schedule import Schedule
from edgeprune.plan.settle import Settled

__all__ = ["binding", "fusible_pairs", "least_needy", "memory_binds", "saving"]

_NEAR_TOP = 0.9
"""Of the arena, what a step needs that holds it up, or will when others are lower."""


def fusible_pairs(graph: Graph, device: Device) -> tuple[Group, ...]:
    """Disjoint pairs of a node and the only reader of its output for which some kernel family has candidates.

    Where a node could be in two, as the sum of two convolutions, it is with the one of the smaller input: that is what
    waits while the other runs.
    """
    returned = {tensor.name for tensor in graph.outputs}
    nodes = work_nodes(graph)
    apart = touches_state(graph)  # What is read and stored when is settled node by node: `plan.kept`.
    # Nodes of ONNX's own have their groups: `plan.grouping`.
    working = {node for node in nodes if node.op != "Onnx" and node not in apart}
    found = []
    for node in nodes:
        readers = [
            other for other in graph.nodes if any(t.name == node.outputs[0].name for t in other.inputs)
        ]
        alone = len(node.outputs) == 1 and node.outputs[0].name not in returned and len(readers) == 1
        paired = alone and node in working and readers[0] in working
        if paired and offered_candidates((node, readers[0]), device):
            found.append((node, readers[0]))
    taken: list[Group] = []
    for pair in sorted(found, key=_input_bytes):
        if not any(node in other for node in pair for other in taken):
            taken.append(pair)
    return tuple(pair for pair in found if pair in taken)


def memory_binds(table: Schedule, settled: Settled, objective: Objective) -> bool:
    """Whether less memory could buy what `objective` asks for: it asks for memory, or `settled` went without for it."""
    least = sum(_least(step, objective) for step in table.options)
    return objective.optimize == "ram" or sum(option.rank(objective)[0] for option in settled.chosen) > least


def saving(
    together: Schedule, apart: Schedule, settled: Settled, objective: Objective, *, memory: bool
) -> tuple[Group, ...]:
    """The pairs of `together` that need less than their two steps in the plan `settled` of `apart`; neediest first.

    That is less of what `objective` asks for first or, where `memory` is of interest, less of that.
    """
    needs, options_of = _needs(apart, settled), _options(apart)
    found = []
    for nodes, options in zip(together.steps, together.options, strict=True):
        if len(nodes) > 1 and nodes not in apart.steps:
            lower = min(option.need_bytes for option in options) < _need(nodes, needs)
            best = sum(_least(options_of[node], objective) for node in nodes)
            if (memory and lower) or (objective.optimize != "ram" and _least(options, objective) < best):
                found.append(nodes)
    return tuple(sorted(found, key=lambda nodes: -_need(nodes, needs)))


def binding(pairs: Sequence[Group], apart: Schedule, settled: Settled) -> tuple[Group, ...]:
    """The `pairs` that hold the arena up: a step of theirs in the plan `settled` of `apart` needs nearly all of it."""
    needs, top = _needs(apart, settled), _NEAR_TOP * settled.packing.arena_bytes
    return tuple(nodes for nodes in pairs if _need(nodes, needs) >= top)


def least_needy(pairs: Sequence[Group], fused: Schedule, settled: Settled) -> tuple[Group, ...]:
    """The `pairs`, which are steps of `fused`, those first whose steps need the least in its plan `settled`."""
    needs = _needs(fused, settled)
    return tuple(sorted(pairs, key=lambda nodes: needs[nodes[-1]]))


def _needs(table: Schedule, settled: Settled) -> dict[Node, int]:
    """Bytes that each node's step needs, but for a staged copy of its constants, which takes what is free."""
    chosen = zip(table.steps, settled.chosen, strict=True)
    return {nodes[-1]: option.need_bytes - _staged_bytes(option.candidate) for nodes, option in chosen}


def _staged_bytes(candidate: Candidate) -> int:
    return candidate.scratch_bytes - candidate.kernel_scratch_bytes


def _options(table: Schedule) -> dict[Node, Sequence[Option]]:
    return {nodes[-1]: options for nodes, options in zip(table.steps, table.options, strict=True)}


def _need(nodes: Group, needs: Mapping[Node, int]) -> int:
    return max(needs[node] for node in nodes)


def _least(options: Sequence[Option], objective: Objective) -> int:
    """Of what `objective` asks for first."""
    return min(option.rank(objective)[0] for option in options)


def _input_bytes(pair: Group) -> int:
    return sum(tensor.bytes for tensor in activations(pair[0].inputs))
