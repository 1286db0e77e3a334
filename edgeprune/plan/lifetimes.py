"""Storages: which activations share bytes, and from which step to which those bytes are in use.

A view (Reshape and its like) is its input's bytes under another shape, so it takes no step and no memory: its
tensor joins the storage of the tensor it looks at. That is safe whatever else reads either of them, because
values are assigned once and a storage lives until the last reader of any of its tensors has run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeprune.errors import UsageError
from edgeprune.graph.ir import Graph, Node, Tensor
from edgeprune.plan.kept import is_view, state_names, value_names

__all__ = ["Group", "Storage", "activations", "is_view", "storage_names", "storages", "work_nodes"]

Group = tuple[Node, ...]
"""The nodes that one step runs."""


@dataclass(frozen=True)
class Storage:
    """Bytes of the arena in use from step `first` to step `last`, both inclusive.

    `name` is that of the tensor which is computed into it; `tensors` lists it and its views, and is empty
    where the bytes hold no tensor: a step's scratch or persistent part.
    """

    name: str
    tensors: tuple[str, ...]
    size_bytes: int
    first: int
    last: int
    returned: bool = False
    """It holds an output of the graph, so that its bytes outlive the last step."""
    kept: bool = False
    """It holds a state of the graph, in the part of the arena that lasts between runs."""

    def dies_at(self, step: int) -> bool:
        """Whether nobody needs the bytes once `step` has read them."""
        return self.last == step and not self.returned


def work_nodes(graph: Graph) -> tuple[Node, ...]:
    """The nodes that compute something, in the graph's order."""
    return tuple(node for node in graph.nodes if not is_view(node))


def activations(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The tensors among `tensors` that live in the arena, each once."""
    return tuple({tensor.name: tensor for tensor in tensors if tensor.value is None}.values())


def storage_names(graph: Graph) -> dict[str, str]:
    """For every activation of `graph`, the name of the tensor whose storage holds it.

    Raises:
        UsageError: an output of the graph is a constant, which no step computes.
    """
    constant = next((tensor for tensor in graph.outputs if tensor.value is not None), None)
    if constant is not None:
        raise UsageError(
            f"output {constant.name!r} of the network is a constant; remove it from the model's outputs"
        )
    places = state_names(graph)
    return {name: places.get(value, value) for name, value in value_names(graph).items()}


def storages(graph: Graph, steps: Sequence[Group]) -> tuple[Storage, ...]:
    """The storages of all activations when `graph` runs as `steps`, inputs first, then in order of computation.

    Graph inputs are in use from step 0, because the caller writes them before the run; graph outputs to the
    last step, and states always. An activation that only the nodes of its own step read is held in no storage.
    """
    owner = storage_names(graph)
    tensors = {tensor.name: tensor for tensor in graph.tensors()}
    states = [state.before.name for state in graph.states]
    first = {tensor.name: 0 for tensor in graph.inputs} | dict.fromkeys(states, 0)
    last = dict(first)
    kept = _kept_outputs(graph, steps, owner)
    for index, nodes in enumerate(steps):
        for name in (one for one in kept[index] if owner[one] == one):
            first[name] = last[name] = index
        for tensor in activations([tensor for node in nodes for tensor in node.inputs]):
            if owner[tensor.name] in last:
                last[owner[tensor.name]] = index
    returned = {owner[tensor.name] for tensor in graph.outputs}.union(states)
    last.update(dict.fromkeys(returned, max(len(steps) - 1, 0)))
    members: dict[str, list[str]] = {name: [] for name in first}
    for name, holder in owner.items():
        if holder in members:
            members[holder].append(name)
    return tuple(
        Storage(
            name,
            tuple(members[name]),
            tensors[name].bytes,
            first[name],
            last[name],
            name in returned,
            name in states,
        )
        for name in first
    )


def _kept_outputs(
    graph: Graph, steps: Sequence[Group], owner: Mapping[str, str]
) -> tuple[tuple[str, ...], ...]:
    """Per step, the storages it leaves: all outputs of a single node, and what others read of a fused group."""
    step_of = {node: index for index, nodes in enumerate(steps) for node in nodes}
    needed = {owner[tensor.name] for tensor in graph.outputs}
    for node in graph.nodes:
        if is_view(node):
            continue
        for tensor in activations(node.inputs):
            producer = owner[tensor.name]
            if not any(producer in _output_names(inner) for inner in steps[step_of[node]]):
                needed.add(producer)
    return tuple(
        tuple(
            name
            for position, node in enumerate(nodes)
            for name in _output_names(node)
            if position == len(nodes) - 1 or name in needed
        )
        for nodes in steps
    )


def _output_names(node: Node) -> tuple[str, ...]:
    return tuple(tensor.name for tensor in node.outputs)
